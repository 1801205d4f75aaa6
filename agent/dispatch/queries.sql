-- name: take_turn
-- One dispatcher places at a time: the next one sees what this one has given away. Placing need not outlive a crash of
-- the database: what was placed is requested again then, and a worker that claims first ignores a dispatch of such a row.
SELECT pg_advisory_xact_lock(%(space)s, hashtext(current_schema())), set_config('synchronous_commit', 'off', true);

-- name: outlive_a_crash
SELECT set_config('synchronous_commit', 'on', true);

-- name: announce_presence
-- Held by each dispatcher for as long as its connection lives: others can tell that one runs.
SELECT pg_advisory_lock_shared(%(space)s, hashtext(current_schema()));

-- name: fleet
-- Workers that may get something now or have something in hand; the partial index makes the counts cheap.
SELECT w.id, w.name, w.status::text AS status, w.cordoned, w.cordon_reason,
       extract(epoch FROM clock_timestamp() - w.last_heartbeat)::float8 AS heartbeat_age, w.capabilities, w.updated,
       coalesce(h.in_hand, 0)::integer AS in_hand, coalesce(h.scheduled, 0)::integer AS scheduled
  FROM worker w
  LEFT JOIN (SELECT worker, count(*) AS in_hand, count(*) FILTER (WHERE status = 'scheduled') AS scheduled
               FROM execution
              WHERE status IN ('scheduled', 'running', 'canceling')
              GROUP BY worker) h ON h.worker = w.id
 WHERE w.worker_role = 'action' AND (w.status IN ('active', 'busy') OR h.in_hand > 0)
 ORDER BY w.name;

-- name: demands
-- Walks over the distinct demands of what waits, one look into the index for each, however many rows share it. Begins
-- behind the demand where an earlier walk ended.
WITH RECURSIVE demand AS (
    (SELECT e.action, md5(coalesce(e.worker_selector::text, '') || ';' || coalesce(e.worker_tolerations::text, '') || ';'
                          || coalesce(e.worker_affinity::text, '')) AS placement, e.id
       FROM execution e
      WHERE e.status = 'requested'
        AND (e.action, md5(coalesce(e.worker_selector::text, '') || ';' || coalesce(e.worker_tolerations::text, '') || ';'
                           || coalesce(e.worker_affinity::text, ''))) > (%(action)s, %(placement)s)
      ORDER BY 1, 2, 3
      LIMIT 1)
    UNION ALL
    SELECT later.action, later.placement, later.id
      FROM demand d
     CROSS JOIN LATERAL (
        SELECT e.action, md5(coalesce(e.worker_selector::text, '') || ';' || coalesce(e.worker_tolerations::text, '')
                             || ';' || coalesce(e.worker_affinity::text, '')) AS placement, e.id
          FROM execution e
         WHERE e.status = 'requested'
           AND (e.action, md5(coalesce(e.worker_selector::text, '') || ';' || coalesce(e.worker_tolerations::text, '')
                              || ';' || coalesce(e.worker_affinity::text, ''))) > (d.action, d.placement)
         ORDER BY 1, 2, 3
         LIMIT 1) AS later
)
SELECT d.action, d.placement, d.id AS oldest, a.ref AS action_ref, a.workflow_def IS NOT NULL AS is_workflow,
       a.runtime_version_constraint, a.required_worker_runtimes, a.worker_selector, a.worker_tolerations,
       a.worker_affinity, r.name AS runtime_name, r.aliases AS runtime_aliases, e.worker_selector AS own_selector,
       e.worker_tolerations AS own_tolerations, e.worker_affinity AS own_affinity
  FROM (SELECT * FROM demand LIMIT %(limit)s) AS d
  JOIN execution e ON e.id = d.id
  JOIN action a ON a.id = d.action
  LEFT JOIN runtime r ON r.id = a.runtime
 ORDER BY d.id;

-- name: place
-- The oldest of one demand that nobody else is looking at go to ``workers``, both in their order; a retry only when its
-- time has come. An array in the middle: however many wait, what is updated is found by its keys.
WITH ready AS (
    SELECT e.id
      FROM execution e
     WHERE e.status = 'requested' AND e.action = %(action)s
       AND md5(coalesce(e.worker_selector::text, '') || ';' || coalesce(e.worker_tolerations::text, '') || ';'
               || coalesce(e.worker_affinity::text, '')) = %(placement)s
       AND NOT EXISTS (SELECT 1 FROM server_delay d WHERE d.execution = e.id AND d.not_before > clock_timestamp())
     ORDER BY e.id
     LIMIT %(count)s
       FOR UPDATE OF e SKIP LOCKED
), chosen AS (
    SELECT c.id, c.worker
      FROM unnest(ARRAY(SELECT id FROM ready ORDER BY id), %(workers)s::bigint[]) AS c (id, worker)
     WHERE c.id IS NOT NULL
)
UPDATE execution e SET status = 'scheduled', worker = c.worker
  FROM chosen c
 WHERE e.id = c.id AND e.status = 'requested'
RETURNING e.id, e.action_ref, e.config, e.worker, e.updated;

-- name: fail_unplaceable
-- Only rows that have waited long enough themselves, however long others of their demand have.
WITH late AS (
    SELECT e.id
      FROM execution e
     WHERE e.status = 'requested' AND e.action = %(action)s
       AND md5(coalesce(e.worker_selector::text, '') || ';' || coalesce(e.worker_tolerations::text, '') || ';'
               || coalesce(e.worker_affinity::text, '')) = %(placement)s
       AND e.updated <= clock_timestamp() - %(seconds)s * interval '1 second'
       AND NOT EXISTS (SELECT 1 FROM server_delay d WHERE d.execution = e.id AND d.not_before > clock_timestamp())
     ORDER BY e.id
     LIMIT %(count)s
       FOR UPDATE OF e SKIP LOCKED
)
UPDATE execution e
   SET status = 'failed',
       result = %(result)s::jsonb || jsonb_build_object('failed_at', to_jsonb(clock_timestamp() AT TIME ZONE 'UTC'))
  FROM late
 WHERE e.id = late.id AND e.status = 'requested'
RETURNING e.id, e.action AS action_id, e.action_ref, 'requested' AS previous, e.status::text AS status, e.result, e.updated;

-- name: fail_orphans
-- Their action was deleted before they were placed.
WITH late AS (
    SELECT id FROM execution WHERE status = 'requested' AND action IS NULL
     ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
)
UPDATE execution e
   SET status = 'failed', result = jsonb_build_object(
           'succeeded', false, 'error', 'Execution is unschedulable', 'cause', 'invalid',
           'message', 'the action ' || e.action_ref || ' does not exist', 'action_ref', e.action_ref,
           'failed_by', 'execution_scheduler')
  FROM late
 WHERE e.id = late.id AND e.status = 'requested'
RETURNING e.id, e.action AS action_id, e.action_ref, 'requested' AS previous, e.status::text AS status, e.result, e.updated;

-- name: unclaimed
-- What was given to a worker and has not been begun for a while.
SELECT e.id, e.worker, e.updated, extract(epoch FROM clock_timestamp() - e.updated)::float8 AS age,
       a.runtime_version_constraint, a.required_worker_runtimes, a.worker_selector, a.worker_tolerations,
       a.worker_affinity, r.name AS runtime_name, r.aliases AS runtime_aliases, e.worker_selector AS own_selector,
       e.worker_tolerations AS own_tolerations, e.worker_affinity AS own_affinity
  FROM execution e
  LEFT JOIN action a ON a.id = e.action
  LEFT JOIN runtime r ON r.id = a.runtime
 WHERE e.status = 'scheduled' AND e.updated < clock_timestamp() - %(seconds)s * interval '1 second'
 ORDER BY e.id
 LIMIT 1000;

-- name: recall
WITH chosen AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(updated)s::timestamptz[]) AS c (id, updated)
)
UPDATE execution e SET status = 'requested', worker = NULL
  FROM chosen c
 WHERE e.id = c.id AND e.status = 'scheduled' AND e.updated = c.updated
RETURNING e.id;

-- name: recall_from_worker
UPDATE execution SET status = 'requested', worker = NULL
 WHERE worker = %(worker)s AND status = 'scheduled'
RETURNING id;

-- name: time_out_scheduled
WITH chosen AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(updated)s::timestamptz[]) AS c (id, updated)
)
UPDATE execution e
   SET status = 'failed', result = jsonb_build_object(
           'succeeded', false, 'error',
           'Execution timeout: worker did not pick up task within ' || %(seconds)s::text || ' seconds', 'cause', 'worker_lost',
           'failed_by', 'execution_timeout_monitor', 'timeout_seconds', %(seconds)s::integer,
           'age_seconds', round(extract(epoch FROM clock_timestamp() - e.updated)), 'original_status', 'scheduled')
  FROM chosen c
 WHERE e.id = c.id AND e.status = 'scheduled' AND e.updated = c.updated
RETURNING e.id, e.action AS action_id, e.action_ref, 'scheduled' AS previous, e.status::text AS status, e.result, e.updated;

-- name: restore_scheduling
-- Another scheduler took them and did not come back.
UPDATE execution SET status = 'requested', worker = NULL
 WHERE id IN (SELECT id FROM execution
               WHERE status = 'scheduling' AND updated < clock_timestamp() - interval '30 seconds'
               ORDER BY updated LIMIT 500 FOR UPDATE SKIP LOCKED)
RETURNING id;

-- name: server_is_settled
-- After the database was away every worker looks silent: they get the time to say that they are not.
SELECT clock_timestamp() - pg_postmaster_start_time() > %(seconds)s * interval '1 second';

-- name: lost_workers
-- What has work in hand and can't do it any more; a missing row is a worker too.
SELECT DISTINCT e.worker
  FROM execution e
  LEFT JOIN worker w ON w.id = e.worker
 WHERE e.status IN ('running', 'canceling')
   AND (w.id IS NULL OR w.status IN ('inactive', 'error') OR w.last_heartbeat IS NULL
        OR w.last_heartbeat < clock_timestamp() - interval '90 seconds');

-- name: abandon
-- The worker is looked at again under the row's lock: it may have come back.
WITH lost AS (
    SELECT e.id, e.status::text AS was, w.id AS worker, w.name, w.status::text AS worker_status, w.last_heartbeat
      FROM execution e
      LEFT JOIN worker w ON w.id = e.worker
     WHERE e.status IN ('running', 'canceling') AND e.worker IS NOT DISTINCT FROM %(worker)s
       AND (w.id IS NULL OR w.status IN ('inactive', 'error') OR w.last_heartbeat IS NULL
            OR w.last_heartbeat < clock_timestamp() - %(silence)s * interval '1 second')
     ORDER BY e.id
     LIMIT 500
       FOR UPDATE OF e SKIP LOCKED
)
UPDATE execution e
   SET status = CASE lost.was WHEN 'canceling' THEN 'cancelled' ELSE 'abandoned' END::execution_status_enum,
       result = CASE lost.was
           WHEN 'canceling' THEN jsonb_build_object(
               'succeeded', false, 'cancelled', true, 'error', 'Execution cancelled by user; its worker is gone',
               'cause', 'cancelled')
           ELSE jsonb_build_object(
               'succeeded', false, 'error', 'the worker ' || coalesce(lost.name, 'that ran this execution') || ' is gone',
               'cause', 'worker_lost', 'abandoned_by', 'execution_reconciliation_monitor',
               'original_status', 'running',
               'worker', jsonb_build_object('id', lost.worker, 'name', lost.name, 'status', lost.worker_status,
                                            'last_heartbeat', lost.last_heartbeat),
               'reconciled_at', clock_timestamp()) END
  FROM lost
 WHERE e.id = lost.id AND e.status::text = lost.was
RETURNING e.id, e.action AS action_id, e.action_ref, lost.was AS previous, e.status::text AS status, e.result, e.updated;

-- name: silent_workers
-- One that has just been registered may not have sent its first heartbeat yet.
UPDATE worker
   SET status = 'inactive'
 WHERE status IN ('active', 'busy')
   AND coalesce(last_heartbeat, created) < clock_timestamp() - interval '90 seconds'
RETURNING id, name, worker_role::text AS role, cordoned, last_heartbeat;

-- name: ephemeral_leftovers
-- Workers whose name never returns and which have been silent for three of their own beats.
SELECT id, name
  FROM worker
 WHERE worker_role = 'action' AND status IN ('active', 'busy') AND capabilities -> 'ephemeral' = 'true'
   AND last_heartbeat < clock_timestamp()
       - 3 * greatest(1, least(90, coalesce((capabilities ->> 'heartbeat_interval')::float8, 30))) * interval '1 second';

-- name: retire_worker
UPDATE worker SET status = 'inactive' WHERE id = %(id)s AND status IN ('active', 'busy');

-- name: overdue_cancellations
-- Their worker lives, and has not ended them: the request may have been lost.
SELECT e.id AS execution_id, e.worker AS worker_id
  FROM execution e
 WHERE e.status = 'canceling' AND e.worker IS NOT NULL AND e.updated < clock_timestamp() - interval '15 seconds'
 ORDER BY e.id
 LIMIT 500;

-- name: finish_unplaced_cancellations
-- Nobody was ever asked to run them.
UPDATE execution e
   SET status = 'cancelled', result = jsonb_build_object(
           'succeeded', false, 'error', 'Cancelled by user before execution started', 'cause', 'cancelled')
 WHERE e.status = 'canceling' AND e.worker IS NULL
RETURNING e.id, e.action AS action_id, e.action_ref, 'canceling' AS previous, e.status::text AS status, e.result, e.updated;

-- name: failed_attempts
-- Attempts about which nothing was decided yet; the mark goes on with what was seen.
SELECT e.id, e.status::text AS status, e.result ->> 'cause' AS cause, e.retry_count,
       coalesce(e.max_retries, a.max_retries, 0) AS max_retries, coalesce(s.retry_abandoned, false) AS retry_abandoned,
       e.updated
  FROM execution e
  LEFT JOIN action a ON a.id = e.action
  LEFT JOIN server_action s ON s.action = e.action
 WHERE e.status IN ('failed', 'abandoned') AND e.updated > %(since)s
   AND e.retry_count < coalesce(e.max_retries, a.max_retries, 0)
   AND e.workflow_task IS NULL AND e.workflow_def IS NULL AND e.action IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM server_retry r WHERE r.attempt = e.id)
 ORDER BY e.updated
 LIMIT 500;

-- name: database_time
SELECT clock_timestamp();

-- name: decide_no_retry
INSERT INTO server_retry (attempt) VALUES (%(id)s) ON CONFLICT (attempt) DO NOTHING;

-- name: retry
-- One statement, so that an attempt has one successor: the decision's key is taken first. The rule is found through the
-- original. The secrets of the parameters go along.
WITH decided AS (
    INSERT INTO server_retry (attempt) VALUES (%(id)s) ON CONFLICT (attempt) DO NOTHING RETURNING attempt
), again AS (
    INSERT INTO execution (action, action_ref, config, env_vars, parent, executor, permission_set_refs,
                           artifact_retention_policy, artifact_retention_limit, worker_selector, worker_tolerations,
                           worker_affinity, status, retry_count, max_retries, retry_reason, original_execution)
    SELECT e.action, e.action_ref, e.config, e.env_vars, e.parent, e.executor, e.permission_set_refs,
           e.artifact_retention_policy, e.artifact_retention_limit, e.worker_selector, e.worker_tolerations,
           e.worker_affinity, 'requested', e.retry_count + %(step)s, coalesce(e.max_retries, %(max_retries)s),
           %(reason)s, coalesce(e.original_execution, e.id)
      FROM execution e
      JOIN decided d ON d.attempt = e.id
    RETURNING id
), secrets AS (
    INSERT INTO execution_secret_value
           (entity_type, entity_id, json_path, source_kind, source_ref, encrypted_value, encryption_key_hash)
    SELECT s.entity_type, again.id, s.json_path, s.source_kind, s.source_ref, s.encrypted_value, s.encryption_key_hash
      FROM execution_secret_value s, again
     WHERE s.entity_type = 'execution_config' AND s.entity_id = %(id)s
), delayed AS (
    INSERT INTO server_delay (execution, not_before)
    SELECT id, clock_timestamp() + %(delay)s * interval '1 second' FROM again WHERE %(delay)s > 0
)
SELECT id FROM again;

-- name: link_retry
UPDATE server_retry SET next = %(next)s WHERE attempt = %(id)s;

-- name: forget_delays
DELETE FROM server_delay d
 WHERE d.not_before < clock_timestamp() - interval '1 minute'
   AND NOT EXISTS (SELECT 1 FROM execution e WHERE e.id = d.execution AND e.status = 'requested');

-- name: clean_up
WITH answers AS (DELETE FROM server_idempotency WHERE created < clock_timestamp() - interval '24 hours'),
     tokens AS (DELETE FROM server_refresh_token WHERE expires_at < clock_timestamp())
DELETE FROM server_login_failure WHERE latest < clock_timestamp() - interval '1 day';

-- name: outbox_waits
SELECT EXISTS (SELECT 1 FROM server_outbox);

-- name: take_outbox
SELECT id, exchange, routing_key, body, message_id, correlation_id, sent_at
  FROM server_outbox
 ORDER BY id
 LIMIT 500
   FOR UPDATE SKIP LOCKED;

-- name: delete_outbox
DELETE FROM server_outbox WHERE id = ANY (%(ids)s);
