-- Secrets: keys by owner, and the values that were taken out of an execution's public JSON.

-- A key of the system has no owner row; any other key has exactly one, of the type that it names.
CREATE FUNCTION validate_key_owner() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    owners integer := num_nonnulls(NEW.owner_identity, NEW.owner_pack, NEW.owner_action, NEW.owner_sensor);
    owner_id bigint;
BEGIN
    IF NEW.owner_type = 'system' THEN
        IF owners > 0 THEN
            RAISE EXCEPTION 'key % belongs to the system and must not name an owner', NEW.ref
                USING ERRCODE = 'check_violation';
        END IF;
        NEW.owner := 'system';
        RETURN NEW;
    END IF;
    owner_id := CASE NEW.owner_type
        WHEN 'identity' THEN NEW.owner_identity
        WHEN 'pack' THEN NEW.owner_pack
        WHEN 'action' THEN NEW.owner_action
        WHEN 'sensor' THEN NEW.owner_sensor
    END;
    IF owners <> 1 OR owner_id IS NULL THEN
        RAISE EXCEPTION 'key % must name exactly one owner, and that is of type %', NEW.ref, NEW.owner_type
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.owner := owner_id::text;
    RETURN NEW;
END
$$;

CREATE TABLE key (
    id bigserial PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    owner_type owner_type_enum NOT NULL,
    owner text,
    owner_identity bigint REFERENCES identity (id),
    owner_pack bigint REFERENCES pack (id),
    owner_pack_ref text,
    owner_action bigint REFERENCES action (id) ON DELETE CASCADE,
    owner_action_ref text,
    owner_sensor bigint REFERENCES sensor (id) ON DELETE CASCADE,
    owner_sensor_ref text,
    name text NOT NULL,
    encrypted boolean NOT NULL,
    encryption_key_hash text,
    value jsonb NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT key_ref_format CHECK (ref ~ '^[^.]+(\.[^.]+)*$'),
    CONSTRAINT key_ref_lowercase CHECK (ref = lower(ref))
);
CREATE INDEX idx_key_created ON key (created DESC);
CREATE INDEX idx_key_owner_action ON key (owner_action);
CREATE INDEX idx_key_owner_identity ON key (owner_identity);
CREATE INDEX idx_key_owner_identity_name ON key (owner_identity, name);
CREATE INDEX idx_key_owner_pack ON key (owner_pack);
CREATE INDEX idx_key_owner_pack_name ON key (owner_pack, name);
CREATE INDEX idx_key_owner_sensor ON key (owner_sensor);
CREATE INDEX idx_key_owner_type ON key (owner_type);
CREATE INDEX idx_key_owner_type_owner ON key (owner_type, owner);
CREATE INDEX idx_key_ref ON key (ref);
CREATE UNIQUE INDEX idx_key_unique ON key (owner_type, owner, name);
CREATE TRIGGER update_key_updated BEFORE UPDATE ON key
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();
CREATE TRIGGER validate_key_owner_trigger BEFORE INSERT OR UPDATE ON key
    FOR EACH ROW EXECUTE FUNCTION validate_key_owner();

CREATE TABLE execution_secret_value (
    id bigserial PRIMARY KEY,
    entity_type text NOT NULL,
    entity_id bigint NOT NULL,
    json_path text NOT NULL,
    source_kind text NOT NULL,
    source_ref text,
    encrypted_value jsonb NOT NULL,
    encryption_key_hash text,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (entity_type, entity_id, json_path)
);
CREATE INDEX idx_execution_secret_value_entity ON execution_secret_value (entity_type, entity_id);
