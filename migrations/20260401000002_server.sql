-- What `attune server` keeps beside the tables that it shares with other services. Any deployment's database may have it.

-- Made once where the configuration names none, such as the secret that signs tokens: replicas and workers share it.
CREATE TABLE server_secret (
    name text PRIMARY KEY,
    value text NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);

-- Messages that belong to committed rows and wait for a broker outside this database.
CREATE TABLE server_outbox (
    id bigserial PRIMARY KEY,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    body bytea NOT NULL,
    message_id text NOT NULL,
    correlation_id text NOT NULL,
    sent_at bigint NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);

-- A retry waits here for its time; its execution is `requested` already and not placed before.
CREATE TABLE server_delay (
    execution bigint PRIMARY KEY REFERENCES execution (id) ON DELETE CASCADE,
    not_before timestamptz NOT NULL
);
CREATE INDEX server_delay_not_before ON server_delay (not_before);

-- What was decided about an attempt that failed: the execution that tries again, or null for none.
CREATE TABLE server_retry (
    attempt bigint PRIMARY KEY REFERENCES execution (id) ON DELETE CASCADE,
    next bigint REFERENCES execution (id) ON DELETE SET NULL,
    decided timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX server_retry_next ON server_retry (next) WHERE next IS NOT NULL;

-- An answer to a request that carried an Idempotency-Key, written with the execution that it made.
CREATE TABLE server_idempotency (
    identity bigint NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    key text NOT NULL,
    body_hash text NOT NULL,
    execution bigint REFERENCES execution (id) ON DELETE SET NULL,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (identity, key)
);
CREATE INDEX server_idempotency_created ON server_idempotency (created);
CREATE INDEX server_idempotency_execution ON server_idempotency (execution);

-- Refresh tokens: only hashes; those that came from one log-in are a family and are revoked together.
CREATE TABLE server_refresh_token (
    token_hash text PRIMARY KEY,
    family uuid NOT NULL,
    identity bigint NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    integration_token bigint REFERENCES integration_token (id) ON DELETE CASCADE,
    created timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    replaced_at timestamptz
);
CREATE INDEX server_refresh_token_family ON server_refresh_token (family);
CREATE INDEX server_refresh_token_identity ON server_refresh_token (identity);
CREATE INDEX server_refresh_token_integration ON server_refresh_token (integration_token)
    WHERE integration_token IS NOT NULL;
CREATE INDEX server_refresh_token_expires_at ON server_refresh_token (expires_at);

-- Failed log-ins, per account and per address: the next attempt is answered later.
CREATE TABLE server_login_failure (
    kind text NOT NULL CHECK (kind IN ('account', 'address')),
    subject text NOT NULL,
    failures integer NOT NULL,
    latest timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, subject)
);
CREATE INDEX server_login_failure_latest ON server_login_failure (latest);
