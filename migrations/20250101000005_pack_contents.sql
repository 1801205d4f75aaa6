-- What a pack defines: workflows, actions, sensors, triggers and the rules that tie them together.

CREATE TABLE workflow_definition (
    id bigserial PRIMARY KEY,
    ref varchar(255) NOT NULL UNIQUE,
    pack bigint NOT NULL REFERENCES pack (id) ON DELETE CASCADE,
    pack_ref varchar(255) NOT NULL,
    label varchar(255) NOT NULL,
    description text,
    version varchar(50) NOT NULL,
    param_schema jsonb,
    out_schema jsonb,
    definition jsonb NOT NULL,
    tags text[] DEFAULT '{}',
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_workflow_def_pack ON workflow_definition (pack);
CREATE INDEX idx_workflow_def_ref ON workflow_definition (ref);
CREATE INDEX idx_workflow_def_tags ON workflow_definition USING gin (tags);
CREATE TRIGGER update_workflow_definition_updated BEFORE UPDATE ON workflow_definition
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE action (
    id bigserial PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    pack bigint NOT NULL REFERENCES pack (id) ON DELETE CASCADE,
    pack_ref text NOT NULL,
    label text NOT NULL,
    description text,
    entrypoint text NOT NULL,
    runtime bigint REFERENCES runtime (id),
    param_schema jsonb,
    out_schema jsonb,
    parameter_delivery text NOT NULL DEFAULT 'stdin',
    parameter_format text NOT NULL DEFAULT 'json',
    output_format text NOT NULL DEFAULT 'text',
    is_adhoc boolean NOT NULL DEFAULT false,
    timeout_seconds integer,
    max_retries integer DEFAULT 0,
    runtime_version_constraint text,
    accesses_mcp boolean NOT NULL DEFAULT false,
    default_execution_permission_set_refs text[] NOT NULL DEFAULT ARRAY[]::text[],
    log_retention_policy artifact_retention_enum,
    log_retention_limit integer,
    artifact_retention_policy artifact_retention_enum,
    artifact_retention_limit integer,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    workflow_def bigint REFERENCES workflow_definition (id) ON DELETE CASCADE,
    required_worker_runtimes jsonb NOT NULL DEFAULT '{}',
    worker_selector jsonb NOT NULL DEFAULT '{}',
    worker_tolerations jsonb NOT NULL DEFAULT '[]',
    worker_affinity jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT action_artifact_retention_limit_positive CHECK (artifact_retention_limit IS NULL OR artifact_retention_limit > 0),
    CONSTRAINT action_log_retention_limit_positive CHECK (log_retention_limit IS NULL OR log_retention_limit > 0),
    CONSTRAINT action_output_format_check CHECK (output_format IN ('text', 'json', 'yaml', 'jsonl')),
    CONSTRAINT action_parameter_delivery_check CHECK (parameter_delivery IN ('stdin', 'file')),
    CONSTRAINT action_parameter_format_check CHECK (parameter_format IN ('dotenv', 'json', 'yaml')),
    CONSTRAINT action_ref_format CHECK (ref ~ '^[^.]+\.[^.]+$'),
    CONSTRAINT action_ref_lowercase CHECK (ref = lower(ref))
);
CREATE INDEX idx_action_accesses_mcp ON action (accesses_mcp) WHERE accesses_mcp = true;
CREATE INDEX idx_action_created ON action (created DESC);
CREATE INDEX idx_action_default_execution_permission_set_refs ON action USING gin (default_execution_permission_set_refs);
CREATE INDEX idx_action_is_adhoc ON action (is_adhoc) WHERE is_adhoc = true;
CREATE INDEX idx_action_output_format ON action (output_format);
CREATE INDEX idx_action_pack ON action (pack);
CREATE INDEX idx_action_parameter_delivery ON action (parameter_delivery);
CREATE INDEX idx_action_parameter_format ON action (parameter_format);
CREATE INDEX idx_action_ref ON action (ref);
CREATE INDEX idx_action_runtime ON action (runtime);
CREATE INDEX idx_action_workflow_def ON action (workflow_def);
CREATE TRIGGER update_action_updated BEFORE UPDATE ON action
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE sensor (
    id bigserial PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    pack bigint REFERENCES pack (id) ON DELETE CASCADE,
    pack_ref text,
    label text NOT NULL,
    description text,
    entrypoint text NOT NULL,
    runtime bigint NOT NULL REFERENCES runtime (id) ON DELETE CASCADE,
    runtime_ref text NOT NULL,
    enabled boolean NOT NULL,
    is_adhoc boolean NOT NULL DEFAULT false,
    param_schema jsonb,
    config jsonb,
    runtime_version_constraint text,
    worker_selector jsonb NOT NULL DEFAULT '{}',
    worker_tolerations jsonb NOT NULL DEFAULT '[]',
    worker_affinity jsonb NOT NULL DEFAULT '{}',
    log_retention_policy artifact_retention_enum,
    log_retention_limit integer,
    artifact_retention_policy artifact_retention_enum,
    artifact_retention_limit integer,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sensor_artifact_retention_limit_positive CHECK (artifact_retention_limit IS NULL OR artifact_retention_limit > 0),
    CONSTRAINT sensor_log_retention_limit_positive CHECK (log_retention_limit IS NULL OR log_retention_limit > 0),
    CONSTRAINT sensor_ref_format CHECK (ref ~ '^[^.]+\.[^.]+$'),
    CONSTRAINT sensor_ref_lowercase CHECK (ref = lower(ref))
);
CREATE INDEX idx_sensor_created ON sensor (created DESC);
CREATE INDEX idx_sensor_enabled ON sensor (enabled) WHERE enabled = true;
CREATE INDEX idx_sensor_is_adhoc ON sensor (is_adhoc) WHERE is_adhoc = true;
CREATE INDEX idx_sensor_pack ON sensor (pack);
CREATE INDEX idx_sensor_ref ON sensor (ref);
CREATE INDEX idx_sensor_runtime ON sensor (runtime);
CREATE INDEX idx_sensor_worker_affinity_gin ON sensor USING gin (worker_affinity);
CREATE INDEX idx_sensor_worker_selector_gin ON sensor USING gin (worker_selector);
CREATE INDEX idx_sensor_worker_tolerations_gin ON sensor USING gin (worker_tolerations);
CREATE TRIGGER update_sensor_updated BEFORE UPDATE ON sensor
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE trigger (
    id bigserial PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    pack bigint REFERENCES pack (id) ON DELETE CASCADE,
    pack_ref text,
    label text NOT NULL,
    description text,
    enabled boolean NOT NULL DEFAULT true,
    is_adhoc boolean NOT NULL DEFAULT false,
    param_schema jsonb,
    out_schema jsonb,
    webhook_enabled boolean NOT NULL DEFAULT false,
    webhook_key varchar(64) UNIQUE,
    webhook_config jsonb DEFAULT '{}',
    sensor bigint CONSTRAINT trigger_sensor_fk REFERENCES sensor (id) ON DELETE SET NULL,
    sensor_ref text,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT trigger_ref_format CHECK (ref ~ '^[^.]+\.[^.]+$'),
    CONSTRAINT trigger_ref_lowercase CHECK (ref = lower(ref))
);
CREATE INDEX idx_trigger_created ON trigger (created DESC);
CREATE INDEX idx_trigger_enabled ON trigger (enabled) WHERE enabled = true;
CREATE INDEX idx_trigger_enabled_created ON trigger (enabled, created DESC) WHERE enabled = true;
CREATE INDEX idx_trigger_pack ON trigger (pack);
CREATE INDEX idx_trigger_pack_enabled ON trigger (pack, enabled);
CREATE INDEX idx_trigger_ref ON trigger (ref);
CREATE INDEX idx_trigger_sensor ON trigger (sensor) WHERE sensor IS NOT NULL;
CREATE INDEX idx_trigger_webhook_key ON trigger (webhook_key) WHERE webhook_key IS NOT NULL;
CREATE TRIGGER update_trigger_updated BEFORE UPDATE ON trigger
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE rule (
    id bigserial PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    pack bigint NOT NULL REFERENCES pack (id) ON DELETE CASCADE,
    pack_ref text NOT NULL,
    label text NOT NULL,
    description text,
    action bigint REFERENCES action (id) ON DELETE SET NULL,
    action_ref text NOT NULL,
    trigger bigint REFERENCES trigger (id) ON DELETE SET NULL,
    trigger_ref text NOT NULL,
    conditions jsonb NOT NULL DEFAULT '[]',
    action_params jsonb DEFAULT '{}',
    trigger_params jsonb DEFAULT '{}',
    permission_set_refs text[],
    enabled boolean NOT NULL,
    is_adhoc boolean NOT NULL DEFAULT false,
    owner_identity bigint REFERENCES identity (id) ON DELETE SET NULL,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rule_ref_format CHECK (ref ~ '^[^.]+\.[^.]+$'),
    CONSTRAINT rule_ref_lowercase CHECK (ref = lower(ref))
);
CREATE INDEX idx_rule_action ON rule (action);
CREATE INDEX idx_rule_action_enabled ON rule (action, enabled);
CREATE INDEX idx_rule_action_params_gin ON rule USING gin (action_params);
CREATE INDEX idx_rule_created ON rule (created DESC);
CREATE INDEX idx_rule_enabled ON rule (enabled) WHERE enabled = true;
CREATE INDEX idx_rule_is_adhoc ON rule (is_adhoc) WHERE is_adhoc = true;
CREATE INDEX idx_rule_owner_identity ON rule (owner_identity);
CREATE INDEX idx_rule_pack ON rule (pack);
CREATE INDEX idx_rule_pack_enabled ON rule (pack, enabled);
CREATE INDEX idx_rule_permission_set_refs ON rule USING gin (permission_set_refs)
    WHERE permission_set_refs IS NOT NULL;
CREATE INDEX idx_rule_ref ON rule (ref);
CREATE INDEX idx_rule_trigger ON rule (trigger);
CREATE INDEX idx_rule_trigger_enabled ON rule (trigger, enabled);
CREATE INDEX idx_rule_trigger_params_gin ON rule USING gin (trigger_params);
CREATE TRIGGER update_rule_updated BEFORE UPDATE ON rule
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();
