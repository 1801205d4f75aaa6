-- name: find_worker
-- The row of this name, whatever its role: names are unique across roles.
SELECT id, worker_role::text AS role, host, last_heartbeat,
       coalesce((meta ->> 'attune_drained')::timestamptz = last_heartbeat, false) AS drained,
       CASE WHEN meta ->> 'attune_unannounced' ~ '^[0-9]{1,11}$'
            THEN to_timestamp((meta ->> 'attune_unannounced')::bigint) END AS unannounced
  FROM worker
 WHERE name = %(name)s;

-- name: insert_worker
-- A concurrent start under the same name makes the same row; the loser finds it in its next look.
INSERT INTO worker (name, worker_type, worker_role, runtime, host, port, status, capabilities, last_heartbeat)
VALUES (%(name)s, %(worker_type)s::worker_type_enum, %(role)s::worker_role_enum, %(runtime)s, %(host)s, %(port)s, 'inactive',
        %(capabilities)s::jsonb, now())
ON CONFLICT (name) DO NOTHING;

-- name: refresh_worker
-- Type, role, runtime and cordon stay as they are: they are the operator's, and so is the rest of meta. So does the heartbeat of the earlier
-- life until what that one left is reconciled: a start that fails before must not make it look recent.
UPDATE worker
   SET status = 'inactive', host = %(host)s, port = %(port)s, capabilities = %(capabilities)s::jsonb, updated = now(),
       meta = CASE WHEN %(origin)s::jsonb = '{}' THEN meta
                   ELSE coalesce(meta, '{}') || jsonb_build_object('origin', %(origin)s::jsonb) END
 WHERE id = %(id)s;

-- name: lock_worker
-- The schema is part of the key. The earlier key is held shared: enough to keep an agent out that takes it for itself.
SELECT CASE WHEN NOT pg_try_advisory_lock_shared(%(earlier)s) THEN false
            WHEN pg_try_advisory_lock(hashtextextended(current_schema() || %(name)s, 0)) THEN true
            ELSE NOT pg_advisory_unlock_shared(%(earlier)s) END AS locked, a.pid, a.backend_start
  FROM pg_stat_activity a
 WHERE a.pid = pg_backend_pid();

-- name: this_session
SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid();

-- name: unlock_worker
SELECT pg_advisory_unlock(hashtextextended(current_schema() || %(name)s, 0)), pg_advisory_unlock_shared(%(earlier)s);

-- name: lock_worker_for_transaction
SELECT CASE WHEN pg_try_advisory_xact_lock_shared(%(earlier)s)
            THEN pg_try_advisory_xact_lock(hashtextextended(current_schema() || %(name)s, 0)) ELSE false END;

-- name: lock_holder
-- Who holds the lock: a bigint key is stored as two 32-bit halves.
SELECT coalesce(a.client_addr::text, 'the database''s own host') AS address, a.application_name, a.pid, a.backend_start
  FROM (VALUES (1, hashtextextended(current_schema() || %(name)s, 0)), (2, %(earlier)s::bigint)) AS k(turn, key)
  JOIN pg_locks l ON l.classid = (k.key >> 32)::bit(32)::bigint::oid AND l.objid = (k.key & 4294967295)::oid
  JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.mode = 'ExclusiveLock'
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 ORDER BY k.turn
 LIMIT 1;

-- name: mark_session
-- Shared: every session of this worker holds it.
SELECT pg_advisory_lock_shared(hashtextextended(current_schema() || %(name)s, 0));

-- name: end_sessions
-- A pooler may have given a session to somebody else meanwhile; it has lost its locks then. The earlier key says nothing
-- of the schema, but no agent that knows only that key is alive: it would hold that worker's lock.
SELECT l.pid
  FROM (VALUES (hashtextextended(current_schema() || %(name)s, 0)), (%(earlier)s::bigint)) AS k(key)
  JOIN pg_locks l ON l.classid = (k.key >> 32)::bit(32)::bigint::oid AND l.objid = (k.key & 4294967295)::oid
  JOIN pg_stat_activity a ON a.pid = l.pid
 CROSS JOIN LATERAL pg_terminate_backend(l.pid)
 WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (%(pid)s::integer IS NULL
        OR (a.pid, a.backend_start) = (%(pid)s::integer, %(backend_start)s::timestamptz));

-- name: end_session
-- Its locks go with it. A user may end the sessions of its own.
SELECT pg_terminate_backend(%(pid)s);

-- name: set_status
UPDATE worker
   SET status = %(status)s::worker_status_enum, last_heartbeat = now(), updated = now(),
       meta = CASE WHEN %(unannounced)s::bigint IS NOT NULL
                   THEN coalesce(meta, '{}') || jsonb_build_object('attune_unannounced', %(unannounced)s::bigint)
                   WHEN meta ? 'attune_unannounced' THEN meta - 'attune_unannounced'
                   ELSE meta END
 WHERE id = %(id)s;

-- name: set_drained
-- The last write of a life that has reported everything: the next one has nothing to repeat. A heartbeat outdates it.
UPDATE worker
   SET status = 'inactive', last_heartbeat = now(), updated = now(),
       meta = coalesce(meta, '{}') - 'attune_unannounced' || jsonb_build_object('attune_drained', now())
 WHERE id = %(id)s;

-- name: set_capabilities
UPDATE worker SET capabilities = %(capabilities)s::jsonb, updated = now() WHERE id = %(id)s;

-- name: beat
-- After an outage the executor has marked this worker inactive: a beat brings it back. With it is written since when
-- messages wait for the broker: a life that ends before it could send them leaves them to the next one.
UPDATE worker
   SET last_heartbeat = now(), updated = now(), status = 'active',
       meta = CASE WHEN %(unannounced)s::bigint IS NOT NULL
                   THEN coalesce(meta, '{}') || jsonb_build_object('attune_unannounced', %(unannounced)s::bigint)
                   WHEN meta ? 'attune_unannounced' THEN meta - 'attune_unannounced'
                   ELSE meta END
 WHERE id = %(id)s;

-- name: beat_while_busy
UPDATE worker
   SET last_heartbeat = now(), updated = now(),
       meta = CASE WHEN %(unannounced)s::bigint IS NOT NULL
                   THEN coalesce(meta, '{}') || jsonb_build_object('attune_unannounced', %(unannounced)s::bigint)
                   WHEN meta ? 'attune_unannounced' THEN meta - 'attune_unannounced'
                   ELSE meta END
 WHERE id = %(id)s;

-- name: stale_workers
-- Each worker tells its interval; what it tells is not believed beyond the bounds of the setting. A row whose last life
-- reported everything (attune_drained) is done with, unless it was the last one and left work in its queue.
SELECT id AS worker_id, name, last_heartbeat, beat AS interval,
       extract(epoch FROM now() - last_heartbeat)::float8 AS silence
  FROM (SELECT id, name, last_heartbeat, meta,
               CASE WHEN jsonb_typeof(capabilities -> 'heartbeat_interval') = 'number'
                    THEN least(greatest((capabilities ->> 'heartbeat_interval')::float8, 1), 45) ELSE 30 END AS beat
          FROM worker
         WHERE worker_role = 'action' AND id <> %(id)s AND capabilities -> 'ephemeral' = 'true') w
 WHERE last_heartbeat < now() - 3 * beat * interval '1 second'
   AND (meta -> 'attune_drained' IS DISTINCT FROM to_jsonb(last_heartbeat)
        OR EXISTS (SELECT 1 FROM execution e WHERE e.worker = w.id AND e.status IN ('scheduled', 'running')))
 ORDER BY last_heartbeat
 LIMIT 20;

-- name: still_stale
SELECT id FROM worker WHERE id = %(id)s AND last_heartbeat = %(last_heartbeat)s;

-- name: retire_worker
UPDATE worker
   SET status = 'inactive', updated = now(),
       meta = coalesce(meta, '{}') || jsonb_build_object('attune_drained', last_heartbeat)
 WHERE id = %(id)s;

-- name: alert_trigger
SELECT id, ref FROM trigger WHERE ref = 'core.alert' AND enabled;

-- name: insert_alert
INSERT INTO event (trigger, trigger_ref, payload, source_ref)
VALUES (%(trigger)s, 'core.alert', %(payload)s::jsonb, 'attune.system')
RETURNING id, created;
