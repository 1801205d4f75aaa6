-- Who may do something: people and services.

CREATE TABLE identity (
    id bigserial PRIMARY KEY,
    login text NOT NULL UNIQUE,
    display_name text,
    password_hash text,
    attributes jsonb NOT NULL DEFAULT '{}',
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    frozen boolean NOT NULL DEFAULT false
);
CREATE INDEX idx_identity_attributes_gin ON identity USING gin (attributes);
CREATE INDEX idx_identity_created ON identity (created DESC);
CREATE INDEX idx_identity_frozen ON identity (frozen);
CREATE INDEX idx_identity_login ON identity (login);
CREATE INDEX idx_identity_password_hash ON identity (password_hash) WHERE password_hash IS NOT NULL;
CREATE UNIQUE INDEX uq_identity_oidc_issuer_sub
    ON identity (((attributes -> 'oidc') ->> 'issuer'), ((attributes -> 'oidc') ->> 'sub'))
    WHERE attributes ? 'oidc';
CREATE TRIGGER update_identity_updated BEFORE UPDATE ON identity
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

ALTER TABLE pack
    ADD CONSTRAINT fk_pack_installed_by FOREIGN KEY (installed_by) REFERENCES identity (id) ON DELETE SET NULL;
