-- Each kind of row has a statement that finds some that may go, oldest first, and one that deletes those that were
-- found. {lock} keeps two that prune apart, and is left out of a dry run.

-- name: find_executions
-- Of one status, so that the index on (status, updated) gives them in order. Nothing goes that something unfinished
-- hangs on: a parent, a child, a further attempt.
SELECT e.id
  FROM execution e
 WHERE e.status = %(status)s::execution_status_enum AND e.updated < clock_timestamp() - %(age)s::interval
   AND NOT EXISTS (SELECT FROM execution p
                    WHERE p.id = e.parent
                      AND p.status IN ('requested', 'scheduling', 'scheduled', 'running', 'canceling'))
   AND NOT EXISTS (SELECT FROM execution c
                    WHERE c.parent = e.id
                      AND c.status IN ('requested', 'scheduling', 'scheduled', 'running', 'canceling'))
   AND NOT EXISTS (SELECT FROM execution r
                    WHERE r.original_execution = e.id
                      AND r.status IN ('requested', 'scheduling', 'scheduled', 'running', 'canceling'))
 ORDER BY e.updated
 LIMIT %(limit)s {lock};

-- name: delete_executions
WITH secrets AS (
    DELETE FROM execution_secret_value
     WHERE entity_type IN ('execution_config', 'execution_result') AND entity_id = ANY (%(ids)s))
DELETE FROM execution
 WHERE id = ANY (%(ids)s) AND status IN ('completed', 'failed', 'cancelled', 'timeout', 'abandoned');

-- name: find_enforcements
SELECT f.id
  FROM enforcement f
 WHERE f.created < clock_timestamp() - %(age)s::interval AND f.status <> 'created'
   AND NOT EXISTS (SELECT FROM execution e WHERE e.enforcement = f.id)
 ORDER BY f.created
 LIMIT %(limit)s {lock};

-- name: delete_enforcements
WITH secrets AS (
    DELETE FROM execution_secret_value WHERE entity_type = 'enforcement_config' AND entity_id = ANY (%(ids)s))
DELETE FROM enforcement WHERE id = ANY (%(ids)s);

-- name: find_events
SELECT v.id
  FROM event v
 WHERE v.created < clock_timestamp() - %(age)s::interval
   AND NOT EXISTS (SELECT FROM enforcement f WHERE f.event = v.id)
 ORDER BY v.created
 LIMIT %(limit)s {lock};

-- name: find_processed_events
-- Where rules are processed: what waits for them stays, however old it is.
SELECT v.id
  FROM event v
 WHERE v.created < clock_timestamp() - %(age)s::interval
   AND NOT EXISTS (SELECT FROM enforcement f WHERE f.event = v.id)
   AND NOT EXISTS (SELECT FROM server_event s WHERE s.event = v.id AND s.processed IS NULL)
 ORDER BY v.created
 LIMIT %(limit)s {lock};

-- name: delete_events
DELETE FROM event WHERE id = ANY (%(ids)s) AND created < clock_timestamp() - %(age)s::interval;

-- name: find_webhook_log
-- Rows are written in the order of their ids: the first ones are looked at, and no others.
SELECT l.id
  FROM webhook_event_log l
 WHERE l.id IN (SELECT id FROM webhook_event_log ORDER BY id LIMIT %(limit)s)
   AND l.created < clock_timestamp() - %(age)s::interval {lock};

-- name: delete_webhook_log
DELETE FROM webhook_event_log WHERE id = ANY (%(ids)s);

-- name: find_audit
SELECT a.id
  FROM audit_event a
 WHERE a.id IN (SELECT id FROM audit_event ORDER BY id LIMIT %(limit)s)
   AND a.created < clock_timestamp() - %(age)s::interval {lock};

-- name: delete_audit
DELETE FROM audit_event WHERE id = ANY (%(ids)s) AND created < clock_timestamp() - %(age)s::interval;

-- name: delete_history_execution
DELETE FROM execution_history
 WHERE ctid = ANY (ARRAY(SELECT ctid FROM execution_history
                          WHERE time < clock_timestamp() - %(age)s::interval LIMIT %(limit)s))
   AND time < clock_timestamp() - %(age)s::interval;

-- name: delete_history_worker
DELETE FROM worker_history
 WHERE ctid = ANY (ARRAY(SELECT ctid FROM worker_history
                          WHERE time < clock_timestamp() - %(age)s::interval LIMIT %(limit)s))
   AND time < clock_timestamp() - %(age)s::interval;

-- name: delete_history_sensor
DELETE FROM sensor_process_history
 WHERE ctid = ANY (ARRAY(SELECT ctid FROM sensor_process_history
                          WHERE time < clock_timestamp() - %(age)s::interval LIMIT %(limit)s))
   AND time < clock_timestamp() - %(age)s::interval;

-- name: count_history
SELECT (SELECT count(*) FROM execution_history WHERE time < clock_timestamp() - %(age)s::interval)
       + (SELECT count(*) FROM worker_history WHERE time < clock_timestamp() - %(age)s::interval)
       + (SELECT count(*) FROM sensor_process_history WHERE time < clock_timestamp() - %(age)s::interval) AS number;

-- name: find_workers
-- Pods that never return: gone for long, and nothing names them any more.
SELECT w.id
  FROM worker w
 WHERE w.status = 'inactive' AND w.capabilities -> 'ephemeral' = 'true'
   AND coalesce(w.last_heartbeat, w.updated) < clock_timestamp() - %(age)s::interval
   AND NOT EXISTS (SELECT FROM execution e WHERE e.worker = w.id)
 ORDER BY w.id
 LIMIT %(limit)s {lock};

-- name: delete_workers
DELETE FROM worker WHERE id = ANY (%(ids)s) AND status = 'inactive';

-- name: delete_answers
-- Answers to repeated requests are kept for a day.
DELETE FROM server_idempotency
 WHERE (identity, key) IN (SELECT identity, key FROM server_idempotency
                            WHERE created < clock_timestamp() - interval '1 day'
                            ORDER BY created LIMIT %(limit)s);

-- name: next_artifacts
SELECT max(id) AS last FROM (SELECT id FROM artifact WHERE id > %(after)s ORDER BY id LIMIT %(artifacts)s) stretch;

-- name: find_versions
-- What the policies of a stretch of artifacts no longer keep: all but the newest, or what is older. What a running
-- execution has written stays.
SELECT v.id, v.file_path
  FROM artifact a
 CROSS JOIN LATERAL (
       (SELECT n.id, n.file_path, n.execution
          FROM artifact_version n
         WHERE a.retention_policy = 'versions' AND n.artifact = a.id
         ORDER BY n.version DESC
        OFFSET greatest(a.retention_limit, 1) LIMIT %(limit)s)
       UNION ALL
       (SELECT o.id, o.file_path, o.execution
          FROM (SELECT t.id, t.file_path, t.execution, t.created
                  FROM artifact_version t
                 WHERE a.retention_policy <> 'versions' AND t.artifact = a.id
                 ORDER BY t.version
                 LIMIT %(limit)s) o
         -- Compared as lengths of time: a limit may reach back before all dates.
         WHERE clock_timestamp() - o.created > a.retention_limit * CASE a.retention_policy
                   WHEN 'days' THEN interval '1 day' WHEN 'hours' THEN interval '1 hour' ELSE interval '1 minute' END)) v
 WHERE a.id > %(after)s AND a.id <= %(last)s
   AND NOT EXISTS (SELECT FROM execution e
                    WHERE e.id = v.execution
                      AND e.status IN ('requested', 'scheduling', 'scheduled', 'running', 'canceling'))
 LIMIT %(limit)s;

-- name: bytes_of_versions
SELECT coalesce(sum(size_bytes), 0)::bigint AS bytes FROM artifact_version;

-- name: find_oldest_versions
SELECT v.id, v.file_path, coalesce(v.size_bytes, 0) AS size_bytes
  FROM artifact_version v
 WHERE NOT EXISTS (SELECT FROM execution e
                    WHERE e.id = v.execution
                      AND e.status IN ('requested', 'scheduling', 'scheduled', 'running', 'canceling'))
 ORDER BY v.created, v.id
 LIMIT %(limit)s;

-- name: delete_versions
DELETE FROM artifact_version
 WHERE id IN (SELECT id FROM artifact_version WHERE id = ANY (%(ids)s) FOR UPDATE SKIP LOCKED)
RETURNING id;

-- name: named_files
-- Which of these paths a row still names.
SELECT DISTINCT file_path FROM artifact_version WHERE file_path = ANY (%(paths)s);

-- name: known_executions
SELECT id FROM execution WHERE id = ANY (%(ids)s);
