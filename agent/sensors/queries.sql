-- name: wanted_sensors
-- Sensors that are on, with a rule that is on of a trigger that is. What a child is told of its rules is gathered by the
-- same statement that tells whether it has changed.
SELECT s.id, s.ref, s.pack, coalesce(s.pack_ref, '') AS pack_ref, s.entrypoint, s.runtime, n.name AS runtime_name,
       n.aliases AS runtime_aliases, s.runtime_version_constraint AS "constraint", s.config,
       coalesce(s.config, '{}')::text AS config_text, s.worker_selector AS selector, s.worker_tolerations AS tolerations,
       s.worker_affinity AS affinity, s.log_retention_policy::text AS log_policy, s.log_retention_limit AS log_limit,
       (SELECT array_agg(t.ref ORDER BY t.ref) FROM trigger t WHERE t.sensor = s.id) AS triggers,
       r.rules, r.digest, r.instances, s.xmin::text AS stamp,
       coalesce((SELECT p.updated::text FROM pack p WHERE p.id = s.pack), '') AS pack_stamp
  FROM sensor s
  JOIN runtime n ON n.id = s.runtime
  JOIN LATERAL (
       SELECT count(*)::integer AS rules,
              md5(string_agg(r.id || ':' || r.ref || ':' || r.trigger_ref || ':' || coalesce(r.trigger_params::text, ''),
                             ',' ORDER BY r.id)) AS digest,
              CASE WHEN %(with_instances)s::boolean THEN
                   jsonb_agg(jsonb_build_object('id', r.id, 'ref', r.ref, 'trigger_ref', r.trigger_ref,
                                                'config', r.trigger_params, 'created', r.created, 'updated', r.updated)
                             ORDER BY r.id)::text END AS instances
         FROM trigger t
         JOIN rule r ON r.trigger_ref = t.ref AND r.enabled
        WHERE t.sensor = s.id AND t.enabled) r ON r.rules > 0
 WHERE (s.enabled OR %(switched_off_too)s) AND (%(sensor)s::bigint IS NULL OR s.id = %(sensor)s)
 ORDER BY s.id;

-- name: sensor_named
SELECT s.id, s.enabled,
       (SELECT p.worker_name FROM sensor_process p
         WHERE p.sensor = s.id AND p.status IN ('starting', 'running')
         ORDER BY p.last_started_at DESC NULLS LAST LIMIT 1) AS running_on
  FROM sensor s
 WHERE s.ref = %(ref)s;

-- name: sensor_services
-- Those who hold their own lock are alive: a row says so for up to 90 seconds after the end of its process.
SELECT w.id, w.name, w.status::text AS status, w.cordoned, w.cordon_reason,
       extract(epoch FROM clock_timestamp() - w.last_heartbeat)::float8 AS heartbeat_age, w.capabilities,
       (SELECT count(*) FROM sensor_process p
         WHERE p.worker = w.id AND p.status IN ('starting', 'running', 'backoff'))::integer AS in_hand,
       EXISTS (SELECT 1 FROM pg_locks l
                WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.mode = 'ExclusiveLock'
                  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND l.classid = (k.key >> 32)::bit(32)::bigint::oid AND l.objid = (k.key & 4294967295)::oid) AS alive
  FROM worker w
 CROSS JOIN LATERAL (VALUES (hashtextextended(current_schema() || '.worker.' || w.id, 0))) AS k(key)
 WHERE w.worker_role = 'sensor' AND w.last_heartbeat > now() - interval '10 minutes'
 ORDER BY w.name;

-- name: processes
-- What the services say of sensors that are wanted.
SELECT p.sensor, p.worker, p.status::text AS status, p.consecutive_failures, p.last_started_at, p.last_stopped_at,
       p.last_alerted_failure_count, p.meta ->> 'told' AS told,
       extract(epoch FROM clock_timestamp() - p.updated)::float8 AS age,
       w.status::text AS worker_status, extract(epoch FROM clock_timestamp() - w.last_heartbeat)::float8 AS heartbeat_age
  FROM sensor_process p
  JOIN worker w ON w.id = p.worker
 WHERE p.sensor = ANY(%(sensors)s::bigint[]);

-- name: free_locks
-- Which of these sensors nobody runs: the schema is part of the key, two deployments in one database each have a sensor 1.
SELECT k.id
  FROM (SELECT id, hashtextextended(current_schema() || '.sensor.' || id, 0) AS key
          FROM unnest(%(sensors)s::bigint[]) AS s(id)) k
 WHERE NOT EXISTS (
       SELECT 1 FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.classid = (k.key >> 32)::bit(32)::bigint::oid AND l.objid = (k.key & 4294967295)::oid);

-- name: take_lock
SELECT pg_try_advisory_lock(hashtextextended(current_schema() || '.sensor.' || %(sensor)s::bigint, 0));

-- name: release_lock
-- The others need not wait until they look again.
SELECT pg_advisory_unlock(hashtextextended(current_schema() || '.sensor.' || %(sensor)s::bigint, 0)),
       pg_notify('server_rules_changed', '');

-- name: write_process
INSERT INTO sensor_process
       (sensor, sensor_ref, worker, worker_name, status, pid, consecutive_failures, last_exit_code, last_signal,
        last_started_at, last_stopped_at, next_restart_at, stderr_excerpt, log_artifact_ref, active_rule_count,
        last_alerted_failure_count, last_alerted_at, meta)
SELECT s.id, s.ref, %(worker)s, %(worker_name)s, %(status)s::sensor_process_status_enum, %(pid)s,
       %(consecutive_failures)s, %(last_exit_code)s, %(last_signal)s, %(last_started_at)s, %(last_stopped_at)s,
       %(next_restart_at)s, %(stderr_excerpt)s, 'sensor.' || s.ref || '.stderr', %(active_rule_count)s,
       %(last_alerted_failure_count)s, CASE WHEN %(last_alerted_failure_count)s > 0 THEN now() END, %(meta)s::jsonb
  FROM sensor s
 WHERE s.id = %(sensor)s
ON CONFLICT (sensor, worker) DO UPDATE
   SET sensor_ref = excluded.sensor_ref, worker_name = excluded.worker_name, status = excluded.status,
       pid = excluded.pid, consecutive_failures = excluded.consecutive_failures,
       last_exit_code = excluded.last_exit_code, last_signal = excluded.last_signal,
       last_started_at = coalesce(excluded.last_started_at, sensor_process.last_started_at),
       last_stopped_at = coalesce(excluded.last_stopped_at, sensor_process.last_stopped_at),
       next_restart_at = excluded.next_restart_at, stderr_excerpt = excluded.stderr_excerpt,
       log_artifact_ref = excluded.log_artifact_ref, active_rule_count = excluded.active_rule_count,
       last_alerted_at = CASE WHEN excluded.last_alerted_failure_count = 0 THEN NULL
                              WHEN excluded.last_alerted_failure_count
                                   > sensor_process.last_alerted_failure_count THEN now()
                              ELSE sensor_process.last_alerted_at END,
       last_alerted_failure_count = excluded.last_alerted_failure_count, meta = excluded.meta;

-- name: end_stale_processes
-- What an earlier life of this service left: nothing of it runs any longer.
UPDATE sensor_process
   SET status = 'stopped', pid = NULL, next_restart_at = NULL,
       last_stopped_at = CASE WHEN status IN ('backoff', 'failed') THEN coalesce(last_stopped_at, %(at)s::timestamptz)
                              ELSE coalesce(%(at)s::timestamptz, now()) END,
       meta = meta - 'told' || '{"reason": "its service ended"}'
 WHERE worker = %(worker)s AND status IN ('starting', 'running', 'backoff', 'failed')
RETURNING sensor;

-- name: absent_since
-- Since when no process of a sensor has run anywhere; of one whose service is gone, since it was last heard of.
SELECT max(CASE WHEN p.status = 'running'
                THEN greatest(w.last_heartbeat, p.last_started_at) ELSE p.last_stopped_at END)
  FROM sensor_process p
  JOIN worker w ON w.id = p.worker
 WHERE p.sensor = %(sensor)s AND p.last_started_at IS NOT NULL;

-- name: sensor_identity
INSERT INTO identity (login, display_name, attributes)
VALUES (%(login)s, %(login)s, '{"type": "sensor"}')
ON CONFLICT (login) DO UPDATE SET login = excluded.login
RETURNING id, frozen;

-- name: lock_session
SELECT a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid();

-- name: end_lock_session
-- A process id alone may have been given away again.
SELECT a.pid
  FROM pg_stat_activity a
 CROSS JOIN LATERAL pg_terminate_backend(a.pid)
 WHERE (a.pid, a.backend_start) = (%(pid)s::integer, %(backend_start)s::timestamptz) AND a.pid <> pg_backend_pid();

-- name: lock_sensor_log
-- Two services must not make a sensor's log twice, nor share a version.
SELECT pg_advisory_xact_lock(hashtextextended(%(ref)s, 0));

-- name: upsert_sensor_log
WITH refreshed AS (
    UPDATE artifact
       SET retention_policy = %(policy)s::artifact_retention_enum, retention_limit = %(amount)s
     WHERE ref = %(ref)s
       AND (retention_policy, retention_limit) IS DISTINCT FROM (%(policy)s::artifact_retention_enum, %(amount)s)
)
INSERT INTO artifact (ref, scope, owner, type, visibility, name, description, content_type, retention_policy,
                      retention_limit)
SELECT %(ref)s, 'sensor', %(sensor_ref)s, 'file_text', 'private', %(name)s, %(description)s, 'text/plain',
       %(policy)s::artifact_retention_enum, %(amount)s
 WHERE NOT EXISTS (SELECT 1 FROM artifact a WHERE a.ref = %(ref)s);

-- name: sensor_log_files
SELECT v.file_path
  FROM artifact_version v
 WHERE v.artifact = (SELECT min(a.id) FROM artifact a WHERE a.ref = %(ref)s) AND v.created_by = 'sensor'
   AND v.file_path IS NOT NULL;

-- name: insert_sensor_log_version
INSERT INTO artifact_version (artifact, version, content_type, size_bytes, file_path, meta, created_by)
SELECT a.id, n.version, 'text/plain', %(size)s, replace(%(ref)s, '.', '/') || '/v' || n.version || '.txt',
       %(meta)s::jsonb, 'sensor'
  FROM (SELECT min(id) AS id FROM artifact WHERE ref = %(ref)s) a
 CROSS JOIN LATERAL (SELECT coalesce(max(v.version), 0) + 1 AS version
                       FROM artifact_version v WHERE v.artifact = a.id) n
RETURNING id, artifact, file_path;

-- name: measure_sensor_log
WITH measured AS (
    UPDATE artifact_version SET size_bytes = %(size)s WHERE id = %(id)s RETURNING artifact, version
)
UPDATE artifact a
   SET size_bytes = %(size)s
  FROM measured m
 WHERE a.id = m.artifact AND m.version = (SELECT max(v.version) FROM artifact_version v WHERE v.artifact = a.id);
