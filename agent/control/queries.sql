-- name: find_action
SELECT a.id, a.ref, a.param_schema, a.runtime_version_constraint, a.required_worker_runtimes,
       a.worker_selector, a.worker_tolerations, a.worker_affinity, a.workflow_def IS NOT NULL AS is_workflow,
       r.name AS runtime_name, r.aliases AS runtime_aliases
  FROM action a
  LEFT JOIN runtime r ON r.id = a.runtime
 WHERE a.ref = %(ref)s;

-- name: action_refs
SELECT ref FROM action WHERE %(pack_ref)s::text IS NULL OR pack_ref = %(pack_ref)s ORDER BY ref;

-- name: candidates
SELECT id, name, status::text AS status, cordoned, cordon_reason,
       extract(epoch FROM clock_timestamp() - last_heartbeat)::float8 AS heartbeat_age, capabilities,
       (SELECT count(*) FROM execution e
         WHERE e.worker = w.id AND e.status IN ('scheduled', 'running', 'canceling'))::integer AS in_hand
  FROM worker w
 WHERE worker_role = 'action'
 ORDER BY name;

-- name: insert_execution
INSERT INTO execution (action, action_ref, config, max_retries, status)
SELECT a.id, a.ref, %(config)s::jsonb, a.max_retries, 'requested'
  FROM action a
 WHERE a.id = %(action)s AND a.ref = %(action_ref)s
RETURNING id;

-- name: supplied_names
SELECT k.name
  FROM key k
  JOIN action a ON a.id = %(action)s
 WHERE k.owner_type = 'system' OR k.owner_pack = a.pack OR k.owner_action = a.id;

-- name: insert_secret
INSERT INTO execution_secret_value
       (entity_type, entity_id, json_path, source_kind, source_ref, encrypted_value, encryption_key_hash)
VALUES ('execution_config', %(id)s, %(path)s, 'parameter_schema', %(path)s, %(value)s::jsonb, %(hash)s);

-- name: schedule_execution
UPDATE execution SET status = 'scheduled', worker = %(worker)s
 WHERE id = %(id)s AND status = 'requested'
RETURNING updated;

-- name: fail_undispatched
-- Only while nobody has taken it: a broker may have accepted the message before the connection broke.
UPDATE execution SET status = 'failed', result = %(result)s::jsonb
 WHERE id = %(id)s AND status = 'scheduled'
RETURNING id;

-- name: execution_state
SELECT e.id, e.action_ref, e.status::text AS status, e.result, e.worker AS worker_id, w.name AS worker,
       e.created, e.started_at, e.updated, e.config, a.param_schema
  FROM execution e
  LEFT JOIN worker w ON w.id = e.worker
  LEFT JOIN action a ON a.id = e.action
 WHERE e.id = %(id)s;

-- name: list_executions
SELECT e.id, e.action_ref, e.status::text AS status, e.result, e.worker AS worker_id, w.name AS worker,
       e.created, e.started_at, e.updated, e.config, a.param_schema
  FROM execution e
  LEFT JOIN worker w ON w.id = e.worker
  LEFT JOIN action a ON a.id = e.action
 WHERE (%(status)s::text IS NULL OR e.status::text = %(status)s)
   AND (%(action_ref)s::text IS NULL OR e.action_ref = %(action_ref)s)
   AND (%(before)s::bigint IS NULL
        OR (e.created, e.id) < (SELECT b.created, b.id FROM execution b WHERE b.id = %(before)s))
 ORDER BY e.created DESC, e.id DESC
 LIMIT %(limit)s;

-- name: lock_execution
SELECT status::text AS status, worker, action_ref FROM execution WHERE id = %(id)s FOR UPDATE;

-- name: cancel_waiting
UPDATE execution SET status = 'cancelled', result = %(result)s::jsonb
 WHERE id = %(id)s
RETURNING id, action AS action_id, action_ref, %(previous)s::text AS previous, status::text AS status, result, updated;

-- name: cancel_running
UPDATE execution SET status = 'canceling' WHERE id = %(id)s;

-- name: log_files
-- Either naming is in use: the worker's own metadata, or only the artifact's name.
SELECT v.file_path, v.content,
       coalesce(v.meta ->> 'stream', CASE WHEN a.ref LIKE '%%.stderr.log' THEN 'stderr' ELSE 'stdout' END) AS stream
  FROM artifact_version v
  JOIN artifact a ON a.id = v.artifact
 WHERE v.execution = %(id)s
   AND (a.ref LIKE '%%.stdout.log' OR a.ref LIKE '%%.stderr.log' OR v.meta ? 'stream')
 ORDER BY v.id;

-- name: list_workers
SELECT w.id, w.name, w.worker_type::text AS worker_type, w.worker_role::text AS worker_role, w.host, w.port,
       w.status::text AS status, w.cordoned, w.cordon_reason, w.last_heartbeat,
       extract(epoch FROM clock_timestamp() - w.last_heartbeat)::float8 AS heartbeat_age,
       w.capabilities, w.created,
       (SELECT count(1) FROM execution e WHERE e.worker = w.id AND e.status IN ('running', 'canceling')) AS running
  FROM worker w
 WHERE %(name)s::text IS NULL OR w.name = %(name)s
 ORDER BY w.name;

-- name: list_runtimes
SELECT r.ref, r.name, r.aliases, r.pack_ref, r.description, r.auto_detected,
       (SELECT array_agg(v.version ORDER BY v.version_major, v.version_minor, v.version_patch, v.version)
          FROM runtime_version v WHERE v.runtime = r.id) AS versions
  FROM runtime r
 ORDER BY r.ref;

-- name: list_runtime_versions
SELECT v.runtime_ref, v.version, v.is_default, v.available, v.verified_at
  FROM runtime_version v
  JOIN runtime r ON r.id = v.runtime
 WHERE %(ref)s::text IS NULL OR r.ref = %(ref)s
 ORDER BY v.runtime_ref, v.version_major, v.version_minor, v.version_patch, v.version;

-- name: offered_runtimes
SELECT name, capabilities -> 'runtimes' AS runtimes
  FROM worker
 WHERE worker_role = 'action' AND status IN ('active', 'busy')
   AND last_heartbeat > clock_timestamp() - interval '90 seconds'
 ORDER BY name;

-- name: insert_outbox
INSERT INTO server_outbox (exchange, routing_key, body, message_id, correlation_id, sent_at)
SELECT exchange, routing_key, body, message_id, correlation_id, sent_at
  FROM unnest(%(exchanges)s::text[], %(routing_keys)s::text[], %(bodies)b::bytea[], %(message_ids)s::text[],
              %(correlation_ids)s::text[], %(timestamps)s::bigint[])
       WITH ORDINALITY AS u (exchange, routing_key, body, message_id, correlation_id, sent_at, position)
 ORDER BY position;

-- name: has_broker_tables
SELECT to_regclass('mq_exchange') IS NOT NULL;

-- name: is_broker
-- Whoever uses the database as the broker declares the exchanges first.
SELECT EXISTS (SELECT FROM mq_exchange);

-- name: dispatcher_runs
-- A dispatcher holds this lock, shared, for as long as it runs.
SELECT EXISTS (
    SELECT 1 FROM pg_locks
     WHERE locktype = 'advisory' AND objsubid = 2 AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND classid = %(space)s::bigint::oid
       AND objid = (hashtext(current_schema())::bigint & 4294967295)::oid);

-- name: requestable_action
SELECT id, param_schema, default_execution_permission_set_refs AS permission_set_refs,
       coalesce(artifact_retention_policy, 'versions')::text AS retention_policy,
       coalesce(artifact_retention_limit, 5) AS retention_limit, max_retries
  FROM action
 WHERE ref = %(ref)s;

-- name: request_execution
INSERT INTO execution (action, action_ref, config, env_vars, parent, enforcement, executor, permission_set_refs,
                       artifact_retention_policy, artifact_retention_limit, worker_selector, worker_tolerations,
                       worker_affinity, max_retries, status)
VALUES (%(action)s, %(action_ref)s, %(config)s::jsonb, %(env_vars)s::jsonb, %(parent)s, %(enforcement)s, %(executor)s,
        %(permission_set_refs)s, %(retention_policy)s::artifact_retention_enum, %(retention_limit)s,
        %(selector)s::jsonb, %(tolerations)s::jsonb, %(affinity)s::jsonb, %(max_retries)s, 'requested')
ON CONFLICT DO NOTHING
RETURNING id, action, action_ref, config, parent, enforcement, executor, permission_set_refs,
          artifact_retention_policy::text AS artifact_retention_policy, artifact_retention_limit, worker_selector,
          worker_tolerations, worker_affinity, worker, status::text AS status, result, original_execution, started_at,
          workflow_task, created, updated, retry_count, max_retries, retry_reason;

-- name: execution_of_enforcement
SELECT id FROM execution WHERE enforcement = %(enforcement)s AND parent IS NULL ORDER BY id LIMIT 1;

-- name: copy_execution
-- Somebody asks for another attempt, whatever was decided about retries; secrets of the parameters go along.
WITH again AS (
    INSERT INTO execution (action, action_ref, config, env_vars, parent, executor, permission_set_refs,
                           artifact_retention_policy, artifact_retention_limit, worker_selector, worker_tolerations,
                           worker_affinity, status, max_retries, retry_reason, original_execution)
    SELECT e.action, e.action_ref, e.config, e.env_vars, e.parent, coalesce(%(executor)s, e.executor),
           e.permission_set_refs, e.artifact_retention_policy, e.artifact_retention_limit, e.worker_selector,
           e.worker_tolerations, e.worker_affinity, 'requested', e.max_retries, %(reason)s,
           coalesce(e.original_execution, e.id)
      FROM execution e
     WHERE e.id = %(id)s AND e.action IS NOT NULL
       AND e.status IN ('completed', 'failed', 'cancelled', 'timeout', 'abandoned')
    RETURNING id, original_execution
), secrets AS (
    INSERT INTO execution_secret_value
           (entity_type, entity_id, json_path, source_kind, source_ref, encrypted_value, encryption_key_hash)
    SELECT s.entity_type, again.id, s.json_path, s.source_kind, s.source_ref, s.encrypted_value, s.encryption_key_hash
      FROM execution_secret_value s, again
     WHERE s.entity_type = 'execution_config' AND s.entity_id = %(id)s
)
SELECT id, original_execution FROM again;

-- name: execution_demands
SELECT e.id, e.status::text AS status, e.action_ref, e.worker, a.runtime_version_constraint, a.required_worker_runtimes,
       a.worker_selector, a.worker_tolerations, a.worker_affinity, r.name AS runtime_name,
       r.aliases AS runtime_aliases, e.worker_selector AS own_selector, e.worker_tolerations AS own_tolerations,
       e.worker_affinity AS own_affinity, w.name AS worker_name,
       extract(epoch FROM clock_timestamp() - e.updated)::float8 AS age
  FROM execution e
  LEFT JOIN action a ON a.id = e.action
  LEFT JOIN runtime r ON r.id = a.runtime
  LEFT JOIN worker w ON w.id = e.worker
 WHERE e.id = ANY (%(ids)s::bigint[]);

-- name: cordon
UPDATE worker SET cordoned = true, cordon_reason = %(reason)s, cordoned_by = %(by)s, cordoned_at = now()
 WHERE id = %(id)s RETURNING id;

-- name: uncordon
UPDATE worker SET cordoned = false, cordon_reason = NULL, cordoned_by = NULL, cordoned_at = NULL
 WHERE id = %(id)s RETURNING id;

-- name: return_unstarted
-- Only from a worker that runs nothing but what it has claimed: any other would run it as well.
UPDATE execution e SET status = 'requested', worker = NULL
  FROM worker w
 WHERE w.id = %(id)s AND e.worker = w.id AND e.status = 'scheduled' AND w.capabilities @> '{"guarded_claim": true}'
RETURNING e.id;

-- name: worker_state
SELECT w.id, w.name, w.status::text AS status,
       extract(epoch FROM clock_timestamp() - w.last_heartbeat)::float8 AS heartbeat_age,
       (SELECT count(*) FROM execution e
         WHERE e.worker = w.id AND e.status IN ('running', 'canceling'))::integer AS running,
       (SELECT count(*) FROM execution e WHERE e.worker = w.id AND e.status = 'scheduled')::integer AS scheduled
  FROM worker w
 WHERE w.id = %(id)s;

-- name: remove_worker
-- Never one that lives or has something in hand.
DELETE FROM worker w
 WHERE w.id = %(id)s
   AND (w.status = 'inactive' OR w.last_heartbeat IS NULL OR w.last_heartbeat < now() - interval '90 seconds')
   AND NOT EXISTS (SELECT 1 FROM execution e
                    WHERE e.worker = w.id AND e.status IN ('scheduled', 'running', 'canceling'))
RETURNING id;

-- name: insert_key
INSERT INTO key (ref, owner_type, owner_identity, owner_pack, owner_pack_ref, owner_action, owner_action_ref,
                 owner_sensor, owner_sensor_ref, name, encrypted, encryption_key_hash, value)
VALUES (%(ref)s, %(owner_type)s::owner_type_enum, %(owner_identity)s, %(owner_pack)s, %(owner_pack_ref)s,
        %(owner_action)s, %(owner_action_ref)s, %(owner_sensor)s, %(owner_sensor_ref)s, %(name)s, %(encrypted)s, %(hash)s,
        %(value)s::jsonb)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: replace_key
UPDATE key
   SET value = %(value)s::jsonb, encrypted = %(encrypted)s, encryption_key_hash = %(hash)s,
       name = coalesce(%(name)s, name)
 WHERE ref = %(ref)s
RETURNING id;

-- name: list_keys
SELECT id, ref, owner_type::text AS owner_type, owner, name, encrypted, created, updated FROM key ORDER BY ref;

-- name: find_key
SELECT id, ref, owner_type::text AS owner_type, owner, name, encrypted, encryption_key_hash, value, created, updated
  FROM key WHERE ref = %(ref)s;

-- name: delete_key
DELETE FROM key WHERE ref = %(ref)s RETURNING id;

-- name: owner_pack
SELECT id, ref FROM pack WHERE (%(ref)s::text IS NOT NULL AND ref = %(ref)s) OR (%(ref)s::text IS NULL AND id = %(id)s);

-- name: owner_action
SELECT id, ref FROM action WHERE (%(ref)s::text IS NOT NULL AND ref = %(ref)s) OR (%(ref)s::text IS NULL AND id = %(id)s);

-- name: owner_sensor
SELECT id, ref FROM sensor WHERE (%(ref)s::text IS NOT NULL AND ref = %(ref)s) OR (%(ref)s::text IS NULL AND id = %(id)s);

-- name: owner_identity
SELECT id, login AS ref FROM identity
 WHERE (%(ref)s::text IS NOT NULL AND login = %(ref)s) OR (%(ref)s::text IS NULL AND id = %(id)s);

-- name: catalog_actions
SELECT a.ref, a.pack_ref AS pack, a.label, a.description, r.ref AS runtime, a.runtime_version_constraint AS version,
       a.required_worker_runtimes, a.entrypoint, a.param_schema AS parameters, a.out_schema AS output, a.timeout_seconds,
       a.max_retries, a.worker_selector, a.worker_tolerations, a.worker_affinity, a.workflow_def IS NOT NULL AS is_workflow,
       a.updated
  FROM action a
  LEFT JOIN runtime r ON r.id = a.runtime
 WHERE (%(pack_ref)s::text IS NULL OR a.pack_ref = %(pack_ref)s) AND (%(ref)s::text IS NULL OR a.ref = %(ref)s)
 ORDER BY a.ref;

-- name: catalog_pack
SELECT p.ref, p.label, p.version, p.description, p.tags, p.config, p.storage_path, p.installation_method, p.created,
       p.updated, array(SELECT a.ref FROM action a WHERE a.pack = p.id ORDER BY a.ref) AS actions,
       array(SELECT s.ref FROM sensor s WHERE s.pack = p.id ORDER BY s.ref) AS sensors,
       array(SELECT t.ref FROM trigger t WHERE t.pack = p.id ORDER BY t.ref) AS triggers,
       array(SELECT r.ref FROM runtime r WHERE r.pack = p.id ORDER BY r.ref) AS runtimes
  FROM pack p
 WHERE p.ref = %(ref)s;

-- name: pack_needed
SELECT p.id,
       coalesce((SELECT 'execution ' || e.id || ' of it is not over'
                   FROM execution e JOIN action a ON a.id = e.action
                  WHERE a.pack = p.id AND e.status IN ('requested', 'scheduling', 'scheduled', 'running', 'canceling')
                  LIMIT 1),
                (SELECT 'action ' || a.ref || ' uses its runtime ' || r.ref
                   FROM action a JOIN runtime r ON r.id = a.runtime
                  WHERE r.pack = p.id AND a.pack <> p.id LIMIT 1))
  FROM pack p
 WHERE p.ref = %(ref)s
   FOR UPDATE OF p;

-- name: remove_pack
WITH keys AS (DELETE FROM key k USING pack p WHERE k.owner_pack = p.id AND p.ref = %(ref)s),
     actions AS (DELETE FROM action a USING pack p WHERE a.pack = p.id AND p.ref = %(ref)s)
DELETE FROM pack WHERE ref = %(ref)s;

-- name: action_runtime
SELECT runtime, runtime_version_constraint AS constraint FROM action WHERE ref = %(ref)s;

-- name: artifact
SELECT a.id, a.ref, a.scope::text AS scope, a.owner, a.type::text AS type, a.visibility::text AS visibility, a.name,
       a.description, a.content_type, a.size_bytes, a.data, a.retention_policy::text AS retention_policy,
       a.retention_limit, a.created, a.updated
  FROM artifact a
 WHERE a.id = %(id)s::bigint OR a.ref = %(ref)s::text
 ORDER BY a.id
 LIMIT 1;

-- name: list_artifacts
SELECT a.id, a.ref, a.scope::text AS scope, a.owner, a.type::text AS type, a.visibility::text AS visibility, a.name,
       a.description, a.content_type, a.size_bytes, a.retention_policy::text AS retention_policy, a.retention_limit,
       a.created, a.updated
  FROM artifact a
 WHERE (%(below)s::bigint IS NULL OR a.id < %(below)s)
   AND (%(scope)s::text IS NULL OR a.scope::text = %(scope)s)
   AND (%(owner)s::text IS NULL OR a.owner = %(owner)s)
   AND (%(type)s::text IS NULL OR a.type::text = %(type)s)
   AND (%(visibility)s::text IS NULL OR a.visibility::text = %(visibility)s)
   AND (%(name)s::text IS NULL OR strpos(lower(a.name), lower(%(name)s)) > 0)
   AND (%(execution)s::bigint IS NULL OR EXISTS (
       SELECT 1 FROM artifact_version v WHERE v.artifact = a.id AND v.execution = %(execution)s))
 ORDER BY a.id DESC
 LIMIT %(limit)s;

-- name: artifact_versions
SELECT id, artifact, version, execution, content_type, size_bytes, file_path, meta, created_by, created
  FROM artifact_version
 WHERE artifact = %(artifact)s
 ORDER BY version DESC
 LIMIT %(most)s;

-- name: artifact_version
SELECT id, artifact, version, execution, content_type, size_bytes, content, content_json, file_path, meta, created_by,
       created
  FROM artifact_version
 WHERE artifact = %(artifact)s AND (%(version)s::bigint IS NULL OR version = %(version)s)
 ORDER BY version DESC
 LIMIT 1;

-- name: artifacts_of_execution
SELECT a.id, a.ref, a.scope::text AS scope, a.owner, a.type::text AS type, a.visibility::text AS visibility, a.name,
       v.version, coalesce(v.content_type, a.content_type) AS content_type, v.size_bytes, v.file_path, v.meta, v.created
  FROM artifact_version v
  JOIN artifact a ON a.id = v.artifact
 WHERE v.execution = %(id)s
 ORDER BY v.id;
