-- Isolated environments of packs: who builds which, and what became of it.

CREATE TABLE pack_environment (
    id bigserial PRIMARY KEY,
    pack bigint NOT NULL REFERENCES pack (id) ON DELETE CASCADE,
    pack_ref text NOT NULL,
    runtime bigint NOT NULL REFERENCES runtime (id) ON DELETE CASCADE,
    runtime_ref text NOT NULL,
    runtime_version bigint REFERENCES runtime_version (id) ON DELETE CASCADE,
    runtime_version_text text,
    env_key text GENERATED ALWAYS AS (
        CASE
            WHEN runtime_version IS NULL THEN 'base:' || pack::text || ':' || runtime::text
            ELSE 'version:' || pack::text || ':' || runtime::text || ':' || runtime_version::text
        END
    ) STORED UNIQUE,
    env_path text NOT NULL,
    status pack_environment_status_enum NOT NULL DEFAULT 'pending',
    manifest_checksum text,
    claimed_by_worker bigint REFERENCES worker (id) ON DELETE SET NULL,
    claim_expires_at timestamptz,
    installed_at timestamptz,
    last_verified timestamptz,
    install_log text,
    install_error text,
    metadata jsonb DEFAULT '{}',
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_pack_environment_claim_expires_at ON pack_environment (claim_expires_at);
CREATE INDEX idx_pack_environment_claimed_by_worker ON pack_environment (claimed_by_worker);
CREATE INDEX idx_pack_environment_pack ON pack_environment (pack);
CREATE INDEX idx_pack_environment_pack_ref ON pack_environment (pack_ref);
CREATE INDEX idx_pack_environment_pack_runtime ON pack_environment (pack, runtime);
CREATE INDEX idx_pack_environment_runtime ON pack_environment (runtime);
CREATE INDEX idx_pack_environment_runtime_ref ON pack_environment (runtime_ref);
CREATE INDEX idx_pack_environment_runtime_version ON pack_environment (runtime_version);
CREATE INDEX idx_pack_environment_status ON pack_environment (status);
CREATE TRIGGER update_pack_environment_updated BEFORE UPDATE ON pack_environment
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE VIEW v_pack_environment_status AS
SELECT
    id,
    pack,
    pack_ref,
    runtime,
    runtime_ref,
    runtime_version,
    runtime_version_text,
    env_key,
    env_path,
    status,
    manifest_checksum,
    claimed_by_worker,
    claim_expires_at,
    installed_at,
    last_verified,
    install_error,
    created,
    updated,
    coalesce(status = 'ready' AND last_verified < now() - interval '7 days', false) AS needs_verification,
    CASE status
        WHEN 'ready' THEN 'healthy'
        WHEN 'failed' THEN 'unhealthy'
        WHEN 'pending' THEN 'provisioning'
        WHEN 'installing' THEN 'provisioning'
        WHEN 'outdated' THEN 'needs_update'
        ELSE 'unknown'
    END AS health_status
FROM pack_environment;
