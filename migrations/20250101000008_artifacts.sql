-- What executions leave behind: artifacts and their versions.

CREATE FUNCTION notify_artifact_created() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM notify_listeners('artifact_created', json_build_object(
        'entity_type', 'artifact', 'entity_id', NEW.id, 'id', NEW.id, 'ref', NEW.ref, 'type', NEW.type,
        'visibility', NEW.visibility, 'name', NEW.name, 'scope', NEW.scope, 'owner', NEW.owner,
        'content_type', NEW.content_type, 'size_bytes', NEW.size_bytes, 'created', NEW.created), 'name');
    RETURN NULL;
END
$$;

CREATE FUNCTION notify_artifact_updated() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    latest jsonb;
    entries integer;
BEGIN
    IF NEW.type = 'progress' AND jsonb_typeof(NEW.data) = 'array' THEN
        latest := NEW.data -> -1;
        entries := jsonb_array_length(NEW.data);
    END IF;
    PERFORM notify_listeners('artifact_updated', json_build_object(
        'entity_type', 'artifact', 'entity_id', NEW.id, 'id', NEW.id, 'ref', NEW.ref, 'type', NEW.type,
        'visibility', NEW.visibility, 'name', NEW.name, 'scope', NEW.scope, 'owner', NEW.owner,
        'content_type', NEW.content_type, 'size_bytes', NEW.size_bytes, 'created', NEW.created,
        'updated', NEW.updated, 'progress_percent', latest -> 'percent', 'progress_message', latest -> 'message',
        'progress_entries', entries), 'progress_message');
    RETURN NULL;
END
$$;

-- A new version's size and type are the artifact's; of an artifact that keeps a number of versions, older ones go.
-- Retention by time is not done here.
CREATE FUNCTION enforce_artifact_retention() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    policy artifact_retention_enum;
    kept integer;
BEGIN
    UPDATE artifact
    SET size_bytes = NEW.size_bytes, content_type = coalesce(NEW.content_type, content_type)
    WHERE id = NEW.artifact
    RETURNING retention_policy, retention_limit INTO policy, kept;
    IF policy = 'versions' AND kept > 0 THEN
        DELETE FROM artifact_version
        WHERE artifact = NEW.artifact AND version <= (
            SELECT version FROM artifact_version
            WHERE artifact = NEW.artifact
            ORDER BY version DESC OFFSET kept LIMIT 1);
    END IF;
    RETURN NULL;
END
$$;

CREATE TABLE artifact (
    id bigserial PRIMARY KEY,
    ref text NOT NULL,
    scope owner_type_enum NOT NULL DEFAULT 'system',
    owner text NOT NULL DEFAULT '',
    type artifact_type_enum NOT NULL,
    visibility artifact_visibility_enum NOT NULL DEFAULT 'private',
    name text,
    description text,
    content_type text,
    size_bytes bigint,
    data jsonb,
    retention_policy artifact_retention_enum NOT NULL DEFAULT 'versions',
    retention_limit integer NOT NULL DEFAULT 1,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_artifact_created ON artifact (created DESC);
CREATE INDEX idx_artifact_name ON artifact (name);
CREATE INDEX idx_artifact_owner ON artifact (owner);
CREATE INDEX idx_artifact_ref ON artifact (ref);
CREATE INDEX idx_artifact_scope ON artifact (scope);
CREATE INDEX idx_artifact_scope_owner ON artifact (scope, owner);
CREATE INDEX idx_artifact_type ON artifact (type);
CREATE INDEX idx_artifact_type_created ON artifact (type, created DESC);
CREATE INDEX idx_artifact_visibility ON artifact (visibility);
CREATE INDEX idx_artifact_visibility_scope ON artifact (visibility, scope, owner);
CREATE TRIGGER artifact_created_notify AFTER INSERT ON artifact
    FOR EACH ROW EXECUTE FUNCTION notify_artifact_created();
CREATE TRIGGER artifact_updated_notify AFTER UPDATE ON artifact
    FOR EACH ROW EXECUTE FUNCTION notify_artifact_updated();
CREATE TRIGGER update_artifact_updated BEFORE UPDATE ON artifact
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE artifact_version (
    id bigserial PRIMARY KEY,
    artifact bigint NOT NULL REFERENCES artifact (id) ON DELETE CASCADE,
    version integer NOT NULL,
    execution bigint,
    content_type text,
    size_bytes bigint,
    content bytea,
    content_json jsonb,
    file_path text,
    meta jsonb,
    created_by text,
    created timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_artifact_version_artifact_version UNIQUE (artifact, version)
);
CREATE INDEX idx_artifact_version_artifact ON artifact_version (artifact);
CREATE INDEX idx_artifact_version_artifact_execution ON artifact_version (artifact, execution)
    WHERE execution IS NOT NULL;
CREATE INDEX idx_artifact_version_artifact_version ON artifact_version (artifact, version DESC);
CREATE INDEX idx_artifact_version_created ON artifact_version (created DESC);
CREATE INDEX idx_artifact_version_execution ON artifact_version (execution) WHERE execution IS NOT NULL;
CREATE INDEX idx_artifact_version_file_path ON artifact_version (file_path) WHERE file_path IS NOT NULL;
CREATE TRIGGER trg_enforce_artifact_retention AFTER INSERT ON artifact_version
    FOR EACH ROW EXECUTE FUNCTION enforce_artifact_retention();
