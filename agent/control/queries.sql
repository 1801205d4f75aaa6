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
INSERT INTO execution (action, action_ref, config, status)
VALUES (%(action)s, %(action_ref)s, %(config)s::jsonb, 'requested')
RETURNING id;

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
 ORDER BY e.created DESC, e.id DESC
 LIMIT %(limit)s;

-- name: lock_execution
SELECT status::text, worker, action_ref FROM execution WHERE id = %(id)s FOR UPDATE;

-- name: cancel_waiting
UPDATE execution SET status = 'cancelled', result = %(result)s::jsonb WHERE id = %(id)s;

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

-- name: dispatcher_runs
-- A dispatcher holds this lock, shared, for as long as it runs.
SELECT EXISTS (
    SELECT 1 FROM pg_locks
     WHERE locktype = 'advisory' AND objsubid = 2 AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND classid = %(space)s::bigint::oid
       AND objid = (hashtext(current_schema())::bigint & 4294967295)::oid);
