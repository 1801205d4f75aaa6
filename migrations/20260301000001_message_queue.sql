-- The message broker inside the database: exchanges, queues and bindings as RabbitMQ has them, and messages as rows.
--
-- Needs nothing else of Attune's schema. A message that a consumer has in hand carries the number of its session; the
-- session holds an advisory lock of that number, so that a dead one's messages can be told and taken by another.

CREATE TABLE mq_exchange (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('topic', 'fanout', 'direct'))
);

CREATE TABLE mq_queue (
    name text PRIMARY KEY,
    arguments jsonb NOT NULL DEFAULT '{}',
    message_ttl interval,
    dead_letter_exchange text
);

CREATE TABLE mq_binding (
    exchange text NOT NULL REFERENCES mq_exchange (name) ON DELETE CASCADE,
    routing_key text NOT NULL,
    queue text NOT NULL REFERENCES mq_queue (name) ON DELETE CASCADE,
    pattern text, -- regular expression of a topic key with wildcards; null: only the key itself
    PRIMARY KEY (exchange, routing_key, queue)
);
CREATE INDEX mq_binding_queue ON mq_binding (queue);

-- Rows live for milliseconds: vacuum early, and leave room for the update that marks one as taken.
CREATE TABLE mq_message (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL REFERENCES mq_queue (name) ON DELETE CASCADE,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    body bytea NOT NULL,
    message_id text NOT NULL,
    correlation_id text NOT NULL,
    sent_at timestamptz NOT NULL,
    expires_at timestamptz,
    session integer, -- null: ready
    redelivered boolean NOT NULL DEFAULT false
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE INDEX mq_message_ready ON mq_message (queue, id) WHERE session IS NULL;
CREATE INDEX mq_message_taken ON mq_message (session) WHERE session IS NOT NULL;
CREATE INDEX mq_message_expiring ON mq_message (expires_at) WHERE session IS NULL AND expires_at IS NOT NULL;

CREATE SEQUENCE mq_session AS integer CYCLE;

CREATE FUNCTION mq_channel(queue text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'mq_' || md5(current_schema() || '.' || queue)
$$;

CREATE FUNCTION mq_route(to_exchange text, key text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT DISTINCT b.queue
    FROM mq_exchange e
    JOIN mq_binding b ON b.exchange = e.name
    WHERE e.name = to_exchange
      AND (e.kind = 'fanout'
           OR ((e.kind = 'direct' OR b.pattern IS NULL) AND b.routing_key = key)
           OR (e.kind = 'topic' AND CASE key WHEN '' THEN '' ELSE key || '.' END ~ b.pattern))
$$;

-- Moves messages to where their queue's dead-letter exchange routes their key, which may be nowhere.
CREATE FUNCTION mq_bury(ids bigint[]) RETURNS void LANGUAGE sql VOLATILE AS $$
    WITH dead AS (
        DELETE FROM mq_message WHERE id = ANY (ids)
        RETURNING id, queue, routing_key, body, message_id, correlation_id, sent_at
    ), moved AS (
        INSERT INTO mq_message
            (queue, exchange, routing_key, body, message_id, correlation_id, sent_at, expires_at)
        SELECT target.name, origin.dead_letter_exchange, dead.routing_key, dead.body, dead.message_id,
               dead.correlation_id, dead.sent_at, clock_timestamp() + target.message_ttl
        FROM dead
        JOIN mq_queue origin ON origin.name = dead.queue
        CROSS JOIN LATERAL mq_route(origin.dead_letter_exchange, dead.routing_key) AS route (queue)
        JOIN mq_queue target ON target.name = route.queue
        ORDER BY dead.id
        RETURNING queue
    )
    SELECT pg_notify(mq_channel(told.queue), '') FROM (SELECT DISTINCT queue FROM moved) AS told
$$;
