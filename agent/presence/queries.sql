-- name: find_worker
-- The row of this name, whatever its role: names are unique across roles.
SELECT id, worker_role::text, status::text, host, last_heartbeat,
       coalesce((meta ->> 'attune_drained')::timestamptz = last_heartbeat, false)
  FROM worker
 WHERE name = %(name)s;

-- name: insert_worker
-- A concurrent start under the same name makes the same row; the loser finds it in its next look.
INSERT INTO worker (name, worker_type, worker_role, runtime, host, port, status, capabilities, last_heartbeat)
VALUES (%(name)s, %(worker_type)s::worker_type_enum, 'action', %(runtime)s, %(host)s, %(port)s, 'inactive',
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
SELECT pg_try_advisory_lock(%(key)s), a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid();

-- name: lock_holder
-- Who holds the lock: a bigint key is stored as two 32-bit halves.
SELECT coalesce(a.client_addr::text, 'the database''s own host'), a.application_name, a.pid, a.backend_start
  FROM pg_locks l
  JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.classid = (%(key)s::bigint >> 32)::bit(32)::bigint::oid
   AND l.objid = (%(key)s::bigint & 4294967295)::oid
 LIMIT 1;

-- name: end_session
-- Its locks go with it. A user may end the sessions of its own.
SELECT pg_terminate_backend(%(pid)s);

-- name: set_status
UPDATE worker SET status = %(status)s::worker_status_enum, last_heartbeat = now(), updated = now() WHERE id = %(id)s;

-- name: set_drained
-- The last write of a life that has reported everything: the next one has nothing to repeat. A heartbeat outdates it.
UPDATE worker
   SET status = 'inactive', last_heartbeat = now(), updated = now(),
       meta = coalesce(meta, '{}') || jsonb_build_object('attune_drained', now())
 WHERE id = %(id)s;

-- name: set_capabilities
UPDATE worker SET capabilities = %(capabilities)s::jsonb, updated = now() WHERE id = %(id)s;

-- name: beat
-- After an outage the executor has marked this worker inactive: a beat brings it back
-- (promise: a heartbeat restores active).
UPDATE worker SET last_heartbeat = now(), updated = now(), status = 'active' WHERE id = %(id)s;

-- name: beat_while_busy
UPDATE worker SET last_heartbeat = now(), updated = now() WHERE id = %(id)s;
