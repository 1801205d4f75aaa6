-- An event that was sent with an Idempotency-Key, by its sender: the same key again is the same event. No foreign key to
-- it: the key of `event` has its time in it.
CREATE TABLE server_event_key (
    identity bigint NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    key text NOT NULL,
    event bigint,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (identity, key)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE INDEX server_event_key_created ON server_event_key (created);
