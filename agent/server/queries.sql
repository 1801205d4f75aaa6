-- name: live_counts
SELECT status::text AS status, count(*) AS number
  FROM execution
 WHERE status IN ('requested', 'scheduling', 'scheduled', 'running', 'canceling')
 GROUP BY status;

-- name: unfinished_by_runtime
SELECT coalesce(r.name, 'any') AS runtime, count(*) FILTER (WHERE e.status = 'requested') AS waiting,
       count(*) AS unfinished
  FROM execution e
  LEFT JOIN action a ON a.id = e.action
  LEFT JOIN runtime r ON r.id = a.runtime
 WHERE e.status IN ('requested', 'scheduling', 'scheduled', 'running', 'canceling')
 GROUP BY 1
 ORDER BY 1;

-- name: workers_by_status
SELECT status::text AS status, count(*) AS number FROM worker GROUP BY status;

-- name: execution
SELECT e.id, e.action, e.action_ref, e.config, e.parent, e.enforcement, e.executor, e.permission_set_refs,
       e.artifact_retention_policy::text AS artifact_retention_policy, e.artifact_retention_limit, e.worker_selector,
       e.worker_tolerations, e.worker_affinity, e.worker, e.status::text AS status, e.result, e.original_execution,
       e.started_at, e.workflow_task, e.created, e.updated, e.retry_count, e.max_retries, e.retry_reason,
       split_part(e.action_ref, '.', 1) AS pack_ref
  FROM execution e
 WHERE e.id = %(id)s;

-- name: execution_facts
-- What permissions ask about executions.
SELECT id, action_ref, executor, split_part(action_ref, '.', 1) AS pack_ref FROM execution WHERE id = ANY (%(ids)s);

-- name: execution_ancestry
-- Whether one execution is another, or was started by it.
WITH RECURSIVE up AS (
    SELECT id, parent FROM execution WHERE id = %(id)s
    UNION
    SELECT e.id, e.parent FROM execution e JOIN up ON e.id = up.parent
)
SELECT 1 FROM up WHERE id = %(ancestor)s;

-- name: list_executions
SELECT e.id, e.action_ref, e.status::text AS status, e.parent, e.enforcement, f.rule_ref, f.trigger_ref, e.started_at,
       e.workflow_task, e.original_execution, e.created, e.updated
  FROM execution e
  LEFT JOIN enforcement f ON f.id = e.enforcement
 WHERE {filters}
 ORDER BY e.created DESC, e.id DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: refs_of_executions
-- The distinct refs of actions that have executions, one look into the index each.
WITH RECURSIVE refs AS (
    (SELECT min(action_ref) AS ref FROM execution)
    UNION ALL
    SELECT (SELECT min(e.action_ref) FROM execution e WHERE e.action_ref > refs.ref) FROM refs WHERE refs.ref IS NOT NULL
)
SELECT ref FROM refs WHERE ref LIKE %(pattern)s;

-- name: count_executions
SELECT count(*) AS total FROM execution e LEFT JOIN enforcement f ON f.id = e.enforcement WHERE {filters};

-- name: execution_place
SELECT created FROM execution WHERE id = %(id)s;

-- name: count_some
-- A status at a time, so that each gets the plan that fits its share; never more than so many rows are looked at.
SELECT {status} AS status, count(*) AS number FROM (SELECT FROM execution WHERE status = {status} LIMIT {most}) few;

-- name: estimated_counts
-- What the planner believes; good to a few per cent wherever autovacuum runs.
SELECT v.status, (v.share * c.reltuples)::bigint AS number
  FROM pg_stats s
  JOIN pg_class c ON c.oid = to_regclass('execution')
 CROSS JOIN unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS v (status, share)
 WHERE s.schemaname = current_schema() AND s.tablename = 'execution' AND s.attname = 'status';

-- name: execution_secrets
SELECT json_path, encrypted_value, encryption_key_hash, entity_type
  FROM execution_secret_value
 WHERE entity_id = %(id)s AND entity_type IN ('execution_config', 'execution_result');

-- name: find_answer
SELECT body_hash, execution FROM server_idempotency WHERE identity = %(identity)s AND key = %(key)s;

-- name: keep_answer
INSERT INTO server_idempotency (identity, key, body_hash, execution)
VALUES (%(identity)s, %(key)s, %(hash)s, %(execution)s);

-- name: lock_answer
-- Two requests with one key at once: the second one waits for what the first makes of it.
SELECT pg_advisory_xact_lock(%(space)s, hashtext(%(key)s));

-- name: list_workers
SELECT w.id, w.name, w.worker_type::text AS worker_type, w.worker_role::text AS worker_role, w.host, w.port,
       w.status::text AS status, w.last_heartbeat,
       extract(epoch FROM clock_timestamp() - w.last_heartbeat)::float8 AS heartbeat_age, w.cordoned, w.cordon_reason,
       w.cordoned_by, w.cordoned_at, w.capabilities, w.created, w.updated, coalesce(l.requested, 0) AS requested,
       coalesce(l.scheduling, 0) AS scheduling, coalesce(l.scheduled, 0) AS scheduled, coalesce(l.running, 0) AS running,
       coalesce(l.canceling, 0) AS canceling
  FROM worker w
  LEFT JOIN LATERAL (
       SELECT count(*) FILTER (WHERE e.status = 'requested') AS requested,
              count(*) FILTER (WHERE e.status = 'scheduling') AS scheduling,
              count(*) FILTER (WHERE e.status = 'scheduled') AS scheduled,
              count(*) FILTER (WHERE e.status = 'running') AS running,
              count(*) FILTER (WHERE e.status = 'canceling') AS canceling
         FROM execution e
        WHERE e.worker = w.id AND e.status IN ('scheduled', 'running', 'canceling')) l ON true
 WHERE (%(id)s::bigint IS NULL OR w.id = %(id)s)
   AND (%(role)s::text IS NULL OR w.worker_role::text = %(role)s)
   AND (%(cordoned)s::boolean IS NULL OR w.cordoned = %(cordoned)s)
 ORDER BY w.name;

-- name: list_runtimes
SELECT r.id, r.ref, r.pack, r.pack_ref, r.description, r.name, r.aliases, r.auto_detected, r.created, r.updated
  FROM runtime r
 WHERE %(pack_ref)s::text IS NULL OR r.pack_ref = %(pack_ref)s
 ORDER BY r.ref
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_runtimes
SELECT count(*) AS total FROM runtime r WHERE %(pack_ref)s::text IS NULL OR r.pack_ref = %(pack_ref)s;

-- name: runtime
SELECT id, ref, pack, pack_ref, description, name, aliases, distributions, installation, execution_config, auto_detected,
       created, updated
  FROM runtime
 WHERE ref = %(ref)s;

-- name: create_runtime
INSERT INTO runtime (ref, pack, pack_ref, description, name, aliases, distributions, installation, execution_config)
SELECT %(ref)s, p.id, p.ref, %(description)s, %(name)s, %(aliases)s, %(distributions)s::jsonb, %(installation)s::jsonb,
       %(execution_config)s::jsonb
  FROM (SELECT 1) one
  LEFT JOIN pack p ON p.ref = %(pack_ref)s
RETURNING ref;

-- name: update_runtime
UPDATE runtime
   SET name = coalesce(%(name)s, name),
       description = CASE WHEN %(set_description)s THEN %(description)s ELSE description END,
       distributions = coalesce(%(distributions)s::jsonb, distributions),
       installation = CASE WHEN %(set_installation)s THEN %(installation)s::jsonb ELSE installation END,
       execution_config = coalesce(%(execution_config)s::jsonb, execution_config)
 WHERE ref = %(ref)s
RETURNING ref;

-- name: delete_runtime
DELETE FROM runtime WHERE ref = %(ref)s RETURNING ref;

-- name: runtime_versions
SELECT v.id, v.runtime, v.runtime_ref, v.version, v.version_major, v.version_minor, v.version_patch, v.is_default,
       v.available, v.verified_at, v.meta, coalesce(v.meta -> 'disabled' = 'true', false) AS disabled, v.created, v.updated
  FROM runtime_version v
  JOIN runtime r ON r.id = v.runtime
 WHERE r.ref = %(ref)s AND (%(version)s::text IS NULL OR v.version = %(version)s)
 ORDER BY v.version_major DESC NULLS LAST, v.version_minor DESC NULLS LAST, v.version_patch DESC NULLS LAST, v.version;

-- name: switch_version
UPDATE runtime_version v
   SET meta = CASE WHEN %(disabled)s THEN coalesce(v.meta, '{}') || '{"disabled": true}' ELSE v.meta - 'disabled' END
  FROM runtime r
 WHERE r.id = v.runtime AND r.ref = %(ref)s AND v.version = %(version)s;

-- name: default_version
UPDATE runtime_version v
   SET is_default = (v.version = %(version)s AND %(on)s)
  FROM runtime r
 WHERE r.id = v.runtime AND r.ref = %(ref)s
   AND v.is_default IS DISTINCT FROM (v.version = %(version)s AND %(on)s)
   AND (v.version = %(version)s OR %(on)s);

-- name: version_checks
-- What each live worker says about the versions of a runtime, and what it has of it at all.
SELECT w.id, w.name, w.capabilities -> 'runtime_verdicts' AS checks, w.capabilities -> 'runtime_versions' AS versions,
       w.capabilities -> 'runtimes' AS runtimes, w.capabilities @> '{"guarded_claim": true}' AS ours
  FROM worker w
 WHERE w.worker_role = 'action' AND w.status IN ('active', 'busy')
   AND w.last_heartbeat > clock_timestamp() - interval '90 seconds'
 ORDER BY w.name;

-- name: environments_of_pack
SELECT e.id, e.runtime_ref, e.runtime_version_text AS version, e.status::text AS status, e.env_path, e.installed_at,
       e.install_error, e.metadata, w.name AS worker
  FROM pack_environment e
  LEFT JOIN worker w
    ON w.id = CASE WHEN e.claimed_by_worker IS NOT NULL THEN e.claimed_by_worker
                   WHEN jsonb_typeof(e.metadata -> 'worker') = 'number' THEN (e.metadata -> 'worker')::numeric END
 WHERE e.pack = %(pack)s
 ORDER BY e.runtime_ref, e.runtime_version_text NULLS FIRST, e.id;

-- name: list_packs
SELECT p.id, p.ref, p.label, p.description, p.version, p.tags, p.is_standard, p.installed_by, p.created, p.updated
  FROM pack p
 ORDER BY p.ref;

-- name: pack
SELECT p.id, p.ref, p.label, p.description, p.version, p.conf_schema, p.config, p.meta, p.tags, p.runtime_deps,
       p.dependencies, p.is_standard, p.installed_by, p.created, p.updated
  FROM pack p
 WHERE p.ref = %(ref)s;

-- name: create_pack
INSERT INTO pack (ref, label, version, description, conf_schema, config, meta, tags, installed_by, installation_method)
VALUES (%(ref)s, %(label)s, %(version)s, %(description)s, %(conf_schema)s::jsonb, %(config)s::jsonb, %(meta)s::jsonb,
        %(tags)s, %(installed_by)s, 'api')
RETURNING ref;

-- name: update_pack
UPDATE pack
   SET label = coalesce(%(label)s, label), version = coalesce(%(version)s, version),
       description = CASE WHEN %(set_description)s THEN %(description)s ELSE description END,
       config = coalesce(%(config)s::jsonb, config), tags = coalesce(%(tags)s, tags)
 WHERE ref = %(ref)s
RETURNING ref;

-- name: set_installer
UPDATE pack SET installed_by = coalesce(installed_by, %(identity)s) WHERE ref = %(ref)s;

-- name: list_actions
SELECT a.id, a.ref, a.pack_ref, a.label, a.description, a.runtime, r.ref AS runtime_ref, a.runtime_version_constraint,
       a.required_worker_runtimes, a.workflow_def, a.is_adhoc, a.created, a.updated
  FROM action a
  LEFT JOIN runtime r ON r.id = a.runtime
 WHERE (%(pack_refs)s::text[] IS NULL OR a.pack_ref = ANY (%(pack_refs)s))
   AND (%(words)s::text IS NULL OR a.ref ILIKE %(words)s OR a.label ILIKE %(words)s OR a.description ILIKE %(words)s)
 ORDER BY a.ref
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_actions
SELECT count(*) AS total
  FROM action a
 WHERE (%(pack_refs)s::text[] IS NULL OR a.pack_ref = ANY (%(pack_refs)s))
   AND (%(words)s::text IS NULL OR a.ref ILIKE %(words)s OR a.label ILIKE %(words)s OR a.description ILIKE %(words)s);

-- name: action
SELECT a.id, a.ref, a.pack, a.pack_ref, a.label, a.description, a.entrypoint, a.runtime, r.ref AS runtime_ref,
       a.runtime_version_constraint, a.required_worker_runtimes, a.worker_selector, a.worker_tolerations,
       a.worker_affinity, a.param_schema, a.out_schema, a.workflow_def, a.is_adhoc, a.accesses_mcp,
       a.default_execution_permission_set_refs, a.artifact_retention_policy::text AS artifact_retention_policy,
       a.artifact_retention_limit, a.log_retention_policy::text AS log_retention_policy, a.log_retention_limit,
       a.parameter_delivery, a.parameter_format, a.output_format, a.timeout_seconds, a.max_retries, a.created, a.updated
  FROM action a
  LEFT JOIN runtime r ON r.id = a.runtime
 WHERE a.ref = %(ref)s;

-- name: create_action
INSERT INTO action (ref, pack, pack_ref, label, description, entrypoint, runtime, param_schema, out_schema,
                    runtime_version_constraint, required_worker_runtimes, worker_selector, worker_tolerations,
                    worker_affinity, default_execution_permission_set_refs, timeout_seconds, max_retries,
                    parameter_delivery, parameter_format, output_format, is_adhoc)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(label)s, %(description)s, %(entrypoint)s, %(runtime)s, %(param_schema)s::jsonb,
        %(out_schema)s::jsonb, %(runtime_version_constraint)s, %(required_worker_runtimes)s::jsonb,
        %(worker_selector)s::jsonb, %(worker_tolerations)s::jsonb, %(worker_affinity)s::jsonb,
        %(permission_set_refs)s, %(timeout_seconds)s, %(max_retries)s, %(parameter_delivery)s, %(parameter_format)s,
        %(output_format)s, true)
RETURNING ref;

-- name: update_action
UPDATE action
   SET label = coalesce(%(label)s, label), description = coalesce(%(description)s, description),
       entrypoint = coalesce(%(entrypoint)s, entrypoint), runtime = coalesce(%(runtime)s, runtime),
       param_schema = coalesce(%(param_schema)s::jsonb, param_schema),
       out_schema = coalesce(%(out_schema)s::jsonb, out_schema),
       runtime_version_constraint = CASE WHEN %(set_constraint)s THEN %(constraint)s ELSE runtime_version_constraint END,
       worker_selector = coalesce(%(worker_selector)s::jsonb, worker_selector),
       worker_tolerations = coalesce(%(worker_tolerations)s::jsonb, worker_tolerations),
       worker_affinity = coalesce(%(worker_affinity)s::jsonb, worker_affinity),
       timeout_seconds = coalesce(%(timeout_seconds)s, timeout_seconds),
       max_retries = coalesce(%(max_retries)s, max_retries)
 WHERE ref = %(ref)s
RETURNING ref;

-- name: delete_action
DELETE FROM action WHERE ref = %(ref)s RETURNING ref;

-- name: runtime_id
SELECT id FROM runtime WHERE (%(ref)s::text IS NOT NULL AND ref = %(ref)s) OR (%(ref)s::text IS NULL AND id = %(id)s);

-- name: queue_stats
SELECT q.action_id, a.ref AS action_ref, q.queue_length, q.active_count, q.max_concurrent, q.oldest_enqueued_at,
       q.total_enqueued, q.total_completed, q.last_updated
  FROM queue_stats q
  JOIN action a ON a.id = q.action_id
 WHERE a.ref = %(ref)s;

-- name: list_keys
SELECT k.id, k.ref, k.owner_type::text AS owner_type, k.owner, k.owner_identity, k.owner_pack_ref, k.owner_action_ref,
       k.owner_sensor_ref, k.name, k.encrypted, k.created, k.updated
  FROM key k
 WHERE (%(owner_type)s::text IS NULL OR k.owner_type::text = %(owner_type)s)
   AND (%(owner)s::text IS NULL OR k.owner = %(owner)s)
 ORDER BY k.ref;

-- name: key
SELECT k.id, k.ref, k.owner_type::text AS owner_type, k.owner, k.owner_identity, k.owner_pack, k.owner_pack_ref,
       k.owner_action, k.owner_action_ref, k.owner_sensor, k.owner_sensor_ref, k.name, k.encrypted, k.value,
       k.encryption_key_hash, k.created, k.updated
  FROM key k
 WHERE k.ref = %(ref)s;

-- name: list_identities
SELECT id, login, display_name, attributes, frozen, created, updated
  FROM identity
 ORDER BY login
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_identities
SELECT count(*) AS total FROM identity;

-- name: identity
SELECT i.id, i.login, i.display_name, i.attributes, i.frozen, i.created, i.updated,
       (SELECT coalesce(json_agg(json_build_object('id', r.id, 'role', r.role, 'source', r.source, 'managed', r.managed)
                                 ORDER BY r.role), '[]')
          FROM identity_role_assignment r WHERE r.identity = i.id) AS roles,
       (SELECT coalesce(json_agg(json_build_object('id', a.id, 'permission_set_ref', p.ref) ORDER BY p.ref), '[]')
          FROM permission_assignment a JOIN permission_set p ON p.id = a.permset
         WHERE a.identity = i.id) AS permission_sets
  FROM identity i
 WHERE i.id = %(id)s;

-- name: update_identity
UPDATE identity
   SET display_name = coalesce(%(display_name)s, display_name), password_hash = coalesce(%(hash)s, password_hash),
       attributes = coalesce(%(attributes)s::jsonb, attributes)
 WHERE id = %(id)s
RETURNING id;

-- name: delete_identity
DELETE FROM identity WHERE id = %(id)s RETURNING login;

-- name: freeze
UPDATE identity SET frozen = %(frozen)s WHERE id = %(id)s RETURNING id;

-- name: identity_permissions
SELECT a.id, a.identity AS identity_id, p.id AS permission_set_id, p.ref AS permission_set_ref, a.created
  FROM permission_assignment a
  JOIN permission_set p ON p.id = a.permset
 WHERE a.identity = %(id)s
 ORDER BY p.ref;

-- name: add_role
INSERT INTO identity_role_assignment (identity, role) VALUES (%(id)s, %(role)s)
RETURNING id, identity AS identity_id, role, source, managed, created, updated;

-- name: remove_role
DELETE FROM identity_role_assignment WHERE id = %(id)s RETURNING id;

-- name: permission_sets
SELECT p.id, p.ref, p.pack_ref, p.label, p.description, p.grants,
       (SELECT coalesce(json_agg(json_build_object('id', r.id, 'role', r.role) ORDER BY r.role), '[]')
          FROM permission_set_role_assignment r WHERE r.permset = p.id) AS roles
  FROM permission_set p
 WHERE (%(pack_ref)s::text IS NULL OR p.pack_ref = %(pack_ref)s) AND (%(id)s::bigint IS NULL OR p.id = %(id)s)
 ORDER BY p.ref;

-- name: update_permission_set
UPDATE permission_set
   SET label = coalesce(%(label)s, label), description = coalesce(%(description)s, description),
       grants = coalesce(%(grants)s::jsonb, grants)
 WHERE id = %(id)s
RETURNING id;

-- name: add_set_role
INSERT INTO permission_set_role_assignment (permset, role) VALUES (%(id)s, %(role)s)
RETURNING id, permset AS permission_set_id, role, created;

-- name: remove_set_role
DELETE FROM permission_set_role_assignment WHERE id = %(id)s RETURNING id;

-- name: add_assignment
INSERT INTO permission_assignment (identity, permset)
SELECT i.id, p.id FROM identity i, permission_set p
 WHERE p.ref = %(ref)s AND ((%(id)s::bigint IS NOT NULL AND i.id = %(id)s) OR i.login = %(login)s)
RETURNING id, identity AS identity_id, permset AS permission_set_id, created;

-- name: assignment
SELECT a.id, a.identity, p.ref, p.grants FROM permission_assignment a JOIN permission_set p ON p.id = a.permset
 WHERE a.id = %(id)s;

-- name: remove_assignment
DELETE FROM permission_assignment WHERE id = %(id)s RETURNING id;

-- name: integration_tokens
SELECT t.id, t.identity AS identity_id, t.label, t.description, t.token_prefix, t.token_suffix, t.created_by,
       t.expires_at, t.last_used_at, t.last_used_ip, t.revoked_at, t.revoked_by, t.revocation_reason, t.created, t.updated,
       t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp()) AS active
  FROM integration_token t
 WHERE t.identity = %(identity)s AND (%(id)s::bigint IS NULL OR t.id = %(id)s)
 ORDER BY t.id;

-- name: add_integration_token
INSERT INTO integration_token (identity, label, description, token_hash, token_prefix, token_suffix, created_by,
                               expires_at)
VALUES (%(identity)s, %(label)s, %(description)s, %(hash)s, %(prefix)s, %(suffix)s, %(by)s, %(expires_at)s)
RETURNING id;

-- name: revoke_integration_token
UPDATE integration_token
   SET revoked_at = clock_timestamp(), revoked_by = %(by)s, revocation_reason = %(reason)s
 WHERE id = %(id)s AND identity = %(identity)s AND revoked_at IS NULL
RETURNING id;

-- name: delete_integration_token
DELETE FROM integration_token WHERE id = %(id)s AND identity = %(identity)s RETURNING id;

-- name: audit_events
SELECT id, created, category::text AS category, event_type, outcome::text AS outcome, actor_identity, actor_login,
       actor_token_type, host(actor_ip) AS actor_ip, actor_user_agent, request_id::text AS request_id, resource_type,
       resource_id, resource_ref, http_method, http_path, http_status, duration_ms, details, correlation_chain
  FROM audit_event
 WHERE (%(category)s::text IS NULL OR category = %(category)s::audit_category_enum)
   AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s::audit_outcome_enum)
   AND (%(actor)s::bigint IS NULL OR actor_identity = %(actor)s)
 ORDER BY created DESC, id DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: worker_history
SELECT time, operation, entity_id, entity_ref, changed_fields, old_values, new_values
  FROM worker_history WHERE entity_id = %(id)s ORDER BY time DESC LIMIT %(limit)s OFFSET %(offset)s;

-- name: execution_history
SELECT time, operation, entity_id, entity_ref, changed_fields, old_values, new_values
  FROM execution_history WHERE entity_id = %(id)s ORDER BY time DESC LIMIT %(limit)s OFFSET %(offset)s;

-- name: executions_changed
-- The present state, as the notification of a change shows it; `place` is the id of an event.
SELECT json_build_object(
           'entity_type', 'execution', 'entity_id', e.id, 'id', e.id, 'action_id', e.action,
           'action_ref', e.action_ref, 'status', e.status, 'enforcement', e.enforcement, 'rule_ref', f.rule_ref,
           'trigger_ref', f.trigger_ref, 'parent', e.parent, 'started_at', e.started_at, 'created', e.created,
           'updated', e.updated) AS document,
       e.executor, (extract(epoch FROM e.updated) * 1000000)::bigint::text AS place
  FROM execution e
  LEFT JOIN enforcement f ON f.id = e.enforcement
 WHERE e.updated >= to_timestamp(%(since)s::float8)
 ORDER BY e.updated, e.id
 LIMIT %(limit)s;

-- name: database_time
SELECT extract(epoch FROM clock_timestamp())::float8 AS now;

-- name: executors
SELECT id, executor FROM execution WHERE id = ANY(%(ids)s::bigint[]);

-- name: accounts_that_count
-- With the grants of their permission sets, in the order in which a request reads them.
SELECT i.id,
       array(SELECT p.grants
               FROM permission_set p
              WHERE p.id IN (SELECT permset FROM permission_assignment WHERE identity = i.id
                             UNION ALL
                             SELECT r.permset
                               FROM permission_set_role_assignment r
                               JOIN identity_role_assignment o ON o.role = r.role
                              WHERE o.identity = i.id)
              ORDER BY p.ref) AS grants
  FROM identity i
 WHERE i.id = ANY(%(ids)s::bigint[]) AND NOT i.frozen;

-- name: execution_states
SELECT id, status::text AS status FROM execution WHERE id = ANY(%(ids)s::bigint[]);

-- name: log_of_execution
-- Either naming is in use: the worker's own metadata, or only the artifact's name.
SELECT v.file_path, v.content, v.size_bytes
  FROM artifact_version v
  JOIN artifact a ON a.id = v.artifact
 WHERE v.execution = %(id)s
   AND (v.meta ->> 'stream' = %(stream)s OR (v.meta ->> 'stream' IS NULL AND a.ref LIKE '%%.' || %(stream)s || '.log'))
 ORDER BY v.id DESC
 LIMIT 1;

-- name: insert_artifact
INSERT INTO artifact (ref, scope, owner, type, visibility, name, description, content_type, data, retention_policy,
                      retention_limit)
VALUES (%(ref)s, %(scope)s::owner_type_enum, %(owner)s, %(type)s::artifact_type_enum,
        %(visibility)s::artifact_visibility_enum, %(name)s, %(description)s, %(content_type)s, %(data)s,
        %(retention_policy)s::artifact_retention_enum, %(retention_limit)s)
RETURNING id, ref, scope::text AS scope, owner, type::text AS type, visibility::text AS visibility, name, description,
          content_type, size_bytes, data, retention_policy::text AS retention_policy, retention_limit, created, updated;

-- name: sensor_logs
SELECT a.id, a.ref, a.scope::text AS scope, a.owner, a.visibility::text AS visibility
  FROM artifact a
 WHERE a.ref = ANY(%(refs)s) AND a.scope = 'sensor'
 ORDER BY a.ref;

-- name: latest_files
SELECT file_path FROM artifact_version
 WHERE artifact = %(artifact)s AND file_path IS NOT NULL
 ORDER BY version DESC
 LIMIT %(most)s;

-- name: delete_artifact
WITH gone AS (DELETE FROM artifact WHERE id = %(id)s RETURNING id)
SELECT v.file_path FROM artifact_version v JOIN gone ON gone.id = v.artifact WHERE v.file_path IS NOT NULL;

-- name: delete_artifact_version
DELETE FROM artifact_version
 WHERE artifact = %(artifact)s AND version = %(version)s
RETURNING coalesce(file_path, '') AS file_path;

-- name: add_progress
UPDATE artifact
   SET data = (CASE WHEN jsonb_typeof(data) <> 'array' OR data IS NULL THEN '[]'
                    WHEN jsonb_array_length(data) >= %(most)s THEN data - 0 ELSE data END)
              || jsonb_build_array(%(entry)s::jsonb || jsonb_build_object('timestamp', now()))
 WHERE id = %(id)s
RETURNING id, ref, type::text AS type, data, updated;

-- name: set_artifact_data
UPDATE artifact SET data = %(data)s WHERE id = %(id)s RETURNING id, ref, type::text AS type, data, updated;

-- name: lock_artifact_ref
-- As workers do for the logs of an action: no ref has a unique index.
SELECT pg_advisory_xact_lock(hashtextextended(%(ref)s, 0));

-- name: lock_artifact_versions
-- Who numbers versions holds this lock, workers and Attune's other services included.
SELECT pg_advisory_xact_lock(%(id)s::bigint);

-- name: next_artifact_version
SELECT coalesce(max(version), 0) + 1 AS number FROM artifact_version WHERE artifact = %(id)s;

-- name: version_with_file
SELECT id FROM artifact_version WHERE file_path = %(file_path)s;

-- name: insert_artifact_version
INSERT INTO artifact_version (artifact, version, execution, content_type, size_bytes, content_json, file_path, meta,
                              created_by)
VALUES (%(artifact)s, %(version)s, %(execution)s, %(content_type)s, %(size_bytes)s, %(content_json)s, %(file_path)s,
        %(meta)s, %(created_by)s)
RETURNING id, artifact, version, execution, content_type, size_bytes, file_path, meta, created_by, created;

-- name: change_artifact
UPDATE artifact
   SET scope = coalesce(%(scope)s::owner_type_enum, scope), owner = coalesce(%(owner)s, owner),
       type = coalesce(%(type)s::artifact_type_enum, type),
       visibility = coalesce(%(visibility)s::artifact_visibility_enum, visibility),
       retention_policy = coalesce(%(retention_policy)s::artifact_retention_enum, retention_policy),
       retention_limit = coalesce(%(retention_limit)s, retention_limit),
       name = CASE WHEN %(set_name)s THEN %(name)s ELSE name END,
       description = CASE WHEN %(set_description)s THEN %(description)s ELSE description END,
       content_type = CASE WHEN %(set_content_type)s THEN %(content_type)s ELSE content_type END,
       data = CASE WHEN %(set_data)s THEN %(data)s::jsonb ELSE data END
 WHERE id = %(id)s
RETURNING id, ref, scope::text AS scope, owner, type::text AS type, visibility::text AS visibility, name, description,
          content_type, size_bytes, data, retention_policy::text AS retention_policy, retention_limit, created, updated;

-- name: retention_of_execution
SELECT coalesce(e.artifact_retention_policy, a.artifact_retention_policy)::text AS policy,
       coalesce(e.artifact_retention_limit, a.artifact_retention_limit) AS amount
  FROM execution e
  LEFT JOIN action a ON a.id = e.action
 WHERE e.id = %(id)s;
