-- The statements of the broker inside the database. Acknowledged messages are deleted; one in hand carries a session.

-- name: declare_exchange
INSERT INTO mq_exchange (name, kind) VALUES (%(name)s, %(kind)s) ON CONFLICT (name) DO NOTHING;

-- name: exchange_kind
SELECT kind FROM mq_exchange WHERE name = %(name)s;

-- name: declare_queue
INSERT INTO mq_queue (name, arguments, message_ttl, dead_letter_exchange)
VALUES (%(name)s, %(arguments)s, %(ttl_ms)s * interval '1 millisecond', %(dead_letter_exchange)s)
ON CONFLICT (name) DO NOTHING;

-- name: same_arguments
SELECT arguments = %(arguments)s FROM mq_queue WHERE name = %(name)s;

-- name: bind
INSERT INTO mq_binding (exchange, routing_key, queue, pattern)
VALUES (%(exchange)s, %(routing_key)s, %(queue)s, %(pattern)s)
ON CONFLICT (exchange, routing_key, queue) DO NOTHING;

-- name: unbind
DELETE FROM mq_binding WHERE exchange = %(exchange)s AND routing_key = %(routing_key)s AND queue = %(queue)s;

-- name: delete_queues
-- Messages and bindings go with a queue; its consumers are told.
WITH gone AS (DELETE FROM mq_queue WHERE name = ANY (%(names)s) RETURNING name)
SELECT pg_notify(mq_channel(name), '') FROM gone;

-- name: publish
-- The order of the arrays is the order in the queues.
WITH sent AS (
    SELECT exchange, routing_key, body, message_id, correlation_id, sent_at, position
    FROM unnest(%(exchanges)s::text[], %(routing_keys)s::text[], %(bodies)b::bytea[], %(message_ids)s::text[],
                %(correlation_ids)s::text[], %(timestamps)s::bigint[])
         WITH ORDINALITY AS u (exchange, routing_key, body, message_id, correlation_id, sent_at, position)
), stored AS (
    INSERT INTO mq_message (queue, exchange, routing_key, body, message_id, correlation_id, sent_at, expires_at)
    SELECT target.name, sent.exchange, sent.routing_key, sent.body, sent.message_id, sent.correlation_id,
           to_timestamp(sent.sent_at), clock_timestamp() + target.message_ttl
    FROM sent
    CROSS JOIN LATERAL mq_route(sent.exchange, sent.routing_key) AS route (queue)
    JOIN mq_queue target ON target.name = route.queue
    ORDER BY sent.position
    RETURNING queue
)
SELECT pg_notify(mq_channel(told.queue), '') FROM (SELECT DISTINCT queue FROM stored) AS told;

-- name: new_session
SELECT nextval('mq_session')::integer AS session, mq_channel(%(queue)s) AS channel;

-- name: hold_session
-- The schema is part of the key: the sessions of each one are numbered from 1. The earlier key, which is the number alone,
-- is held shared: consumers of release 0.1.0 look for it.
SELECT pg_try_advisory_lock(hashtextextended(current_schema() || '.mq_session.' || %(session)s::integer, 0)),
       pg_try_advisory_lock_shared(%(earlier)s, %(session)s);

-- name: take
WITH ready AS (
    SELECT id FROM mq_message
    WHERE queue = %(queue)s AND session IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
    ORDER BY id
    LIMIT %(count)s
    FOR UPDATE SKIP LOCKED
)
UPDATE mq_message AS m SET session = %(session)s FROM ready WHERE m.id = ready.id
RETURNING m.id, m.redelivered, m.body;

-- name: acknowledge
DELETE FROM mq_message WHERE id = ANY (%(ids)s) AND session = %(session)s;

-- name: requeue
WITH returned AS (
    UPDATE mq_message SET session = NULL, redelivered = true
    WHERE id = ANY (%(ids)s) AND session = %(session)s
    RETURNING queue
)
SELECT pg_notify(mq_channel(told.queue), '') FROM (SELECT DISTINCT queue FROM returned) AS told;

-- name: drop
SELECT mq_bury(array(
    SELECT id FROM mq_message WHERE id = ANY (%(ids)s) AND session = %(session)s ORDER BY id FOR UPDATE));

-- name: release_session
-- What a session leaves in hand when it ends, or what one that was lost had.
WITH returned AS (
    UPDATE mq_message SET session = NULL, redelivered = true WHERE session = %(session)s RETURNING queue
)
SELECT pg_notify(mq_channel(told.queue), '') FROM (SELECT DISTINCT queue FROM returned) AS told;

-- name: release_dead_sessions
WITH returned AS (
    UPDATE mq_message AS m SET session = NULL, redelivered = true
    WHERE m.session IS NOT NULL AND m.session <> %(session)s AND NOT EXISTS (
        SELECT 1 FROM pg_locks l
         CROSS JOIN hashtextextended(current_schema() || '.mq_session.' || m.session, 0) AS key
        WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock'
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND ((l.objsubid = 1 AND l.classid = (key >> 32)::bit(32)::bigint::oid AND l.objid = (key & 4294967295)::oid)
               OR (l.objsubid = 2 AND l.classid = %(earlier)s::oid AND l.objid = m.session::oid)))
    RETURNING m.queue
)
SELECT pg_notify(mq_channel(told.queue), '') FROM (SELECT DISTINCT queue FROM returned) AS told;

-- name: bury_expired
SELECT mq_bury(expired.ids) FROM (
    SELECT array(
        SELECT id FROM mq_message
        WHERE session IS NULL AND expires_at <= clock_timestamp()
        ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED) AS ids
) AS expired
WHERE cardinality(expired.ids) > 0;
