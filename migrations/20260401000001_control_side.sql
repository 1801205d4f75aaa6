-- The control side: who may do what, events, webhooks, inquiries, and how many executions of an action may run at once.

CREATE TYPE inquiry_status_enum AS ENUM ('pending', 'responded', 'timeout', 'cancelled');
CREATE TYPE policy_method_enum AS ENUM ('cancel', 'enqueue');

CREATE FUNCTION notify_event_created() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM notify_listeners('event_created', json_build_object(
        'entity_type', 'event', 'entity_id', NEW.id, 'id', NEW.id, 'trigger', NEW.trigger,
        'trigger_ref', NEW.trigger_ref, 'source', NEW.source, 'source_ref', NEW.source_ref, 'rule', NEW.rule,
        'rule_ref', NEW.rule_ref, 'created', NEW.created, 'has_payload', NEW.payload IS NOT NULL), 'source_ref');
    RETURN NULL;
END
$$;

CREATE TABLE event (
    id bigserial NOT NULL,
    trigger bigint REFERENCES trigger (id) ON DELETE SET NULL,
    trigger_ref text NOT NULL,
    config jsonb,
    payload jsonb,
    source bigint REFERENCES sensor (id) ON DELETE SET NULL,
    source_ref text,
    created timestamptz NOT NULL DEFAULT now(),
    rule bigint REFERENCES rule (id) ON DELETE SET NULL,
    rule_ref text,
    PRIMARY KEY (id, created)
);
CREATE INDEX idx_event_created ON event (created DESC);
CREATE INDEX idx_event_payload_gin ON event USING gin (payload);
CREATE INDEX idx_event_source ON event (source);
CREATE INDEX idx_event_source_created ON event (source, created DESC);
CREATE INDEX idx_event_trigger ON event (trigger);
CREATE INDEX idx_event_trigger_created ON event (trigger, created DESC);
CREATE INDEX idx_event_trigger_ref ON event (trigger_ref);
CREATE INDEX idx_event_trigger_ref_created ON event (trigger_ref, created DESC);
CREATE TRIGGER event_created_notify AFTER INSERT ON event
    FOR EACH ROW EXECUTE FUNCTION notify_event_created();

CREATE TABLE permission_set (
    id bigserial PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    pack bigint REFERENCES pack (id) ON DELETE CASCADE,
    pack_ref text,
    label text,
    description text,
    grants jsonb NOT NULL DEFAULT '[]',
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT permission_set_ref_format CHECK (ref ~ '^[^.]+\.[^.]+$'),
    CONSTRAINT permission_set_ref_lowercase CHECK (ref = lower(ref))
);
CREATE INDEX idx_permission_set_created ON permission_set (created DESC);
CREATE INDEX idx_permission_set_pack ON permission_set (pack);
CREATE INDEX idx_permission_set_ref ON permission_set (ref);
CREATE TRIGGER update_permission_set_updated BEFORE UPDATE ON permission_set
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE permission_assignment (
    id bigserial PRIMARY KEY,
    identity bigint NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    permset bigint NOT NULL REFERENCES permission_set (id) ON DELETE CASCADE,
    created timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unique_identity_permset UNIQUE (identity, permset)
);
CREATE INDEX idx_permission_assignment_created ON permission_assignment (created DESC);
CREATE INDEX idx_permission_assignment_identity ON permission_assignment (identity);
CREATE INDEX idx_permission_assignment_identity_created ON permission_assignment (identity, created DESC);
CREATE INDEX idx_permission_assignment_permset ON permission_assignment (permset);
CREATE INDEX idx_permission_assignment_permset_created ON permission_assignment (permset, created DESC);

CREATE TABLE identity_role_assignment (
    id bigserial PRIMARY KEY,
    identity bigint NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    role text NOT NULL,
    source text NOT NULL DEFAULT 'manual',
    managed boolean NOT NULL DEFAULT false,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unique_identity_role_assignment UNIQUE (identity, role)
);
CREATE INDEX idx_identity_role_assignment_identity ON identity_role_assignment (identity);
CREATE INDEX idx_identity_role_assignment_role ON identity_role_assignment (role);
CREATE INDEX idx_identity_role_assignment_source ON identity_role_assignment (source);
CREATE TRIGGER update_identity_role_assignment_updated BEFORE UPDATE ON identity_role_assignment
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE permission_set_role_assignment (
    id bigserial PRIMARY KEY,
    permset bigint NOT NULL REFERENCES permission_set (id) ON DELETE CASCADE,
    role text NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unique_permission_set_role_assignment UNIQUE (permset, role)
);
CREATE INDEX idx_permission_set_role_assignment_permset ON permission_set_role_assignment (permset);
CREATE INDEX idx_permission_set_role_assignment_role ON permission_set_role_assignment (role);

CREATE TABLE integration_token (
    id bigserial PRIMARY KEY,
    identity bigint NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    label text NOT NULL,
    description text,
    token_hash text NOT NULL UNIQUE,
    token_prefix text NOT NULL,
    token_suffix text NOT NULL,
    created_by bigint REFERENCES identity (id) ON DELETE SET NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    last_used_ip text,
    revoked_at timestamptz,
    revoked_by bigint REFERENCES identity (id) ON DELETE SET NULL,
    revocation_reason text,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT integration_token_label_non_empty CHECK (length(trim(label)) > 0),
    CONSTRAINT integration_token_revocation_consistent CHECK (
        (revoked_at IS NULL AND revoked_by IS NULL AND revocation_reason IS NULL) OR revoked_at IS NOT NULL
    )
);
CREATE INDEX idx_integration_token_active_lookup ON integration_token (token_hash) WHERE revoked_at IS NULL;
CREATE INDEX idx_integration_token_created ON integration_token (created DESC);
CREATE INDEX idx_integration_token_expires_at ON integration_token (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX idx_integration_token_identity ON integration_token (identity);
CREATE INDEX idx_integration_token_last_used_at ON integration_token (last_used_at DESC NULLS LAST);
CREATE TRIGGER update_integration_token_updated BEFORE UPDATE ON integration_token
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE webhook_event_log (
    id bigserial PRIMARY KEY,
    trigger_id bigint NOT NULL REFERENCES trigger (id) ON DELETE CASCADE,
    trigger_ref text NOT NULL,
    webhook_key varchar(64) NOT NULL,
    event_id bigint,
    source_ip text,
    user_agent text,
    payload_size_bytes integer,
    headers jsonb,
    status_code integer NOT NULL,
    error_message text,
    processing_time_ms integer,
    hmac_verified boolean,
    rate_limited boolean NOT NULL DEFAULT false,
    ip_allowed boolean,
    created timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_webhook_event_log_key_created ON webhook_event_log (webhook_key, created DESC);
CREATE INDEX idx_webhook_event_log_rate_limit ON webhook_event_log (trigger_id, webhook_key, source_ip, created DESC) WHERE rate_limited = false;
CREATE INDEX idx_webhook_event_log_trigger_created ON webhook_event_log (trigger_id, created DESC);

CREATE TABLE inquiry (
    id bigserial PRIMARY KEY,
    execution bigint NOT NULL REFERENCES execution (id) ON DELETE CASCADE,
    prompt text NOT NULL,
    response_schema jsonb,
    assigned_to bigint REFERENCES identity (id) ON DELETE SET NULL,
    status inquiry_status_enum NOT NULL DEFAULT 'pending',
    response jsonb,
    timeout_at timestamptz,
    responded_at timestamptz,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_inquiry_assigned_status ON inquiry (assigned_to, status);
CREATE INDEX idx_inquiry_assigned_to ON inquiry (assigned_to);
CREATE INDEX idx_inquiry_created ON inquiry (created DESC);
CREATE INDEX idx_inquiry_execution_status ON inquiry (execution, status);
CREATE INDEX idx_inquiry_response_gin ON inquiry USING gin (response);
CREATE INDEX idx_inquiry_status ON inquiry (status);
CREATE INDEX idx_inquiry_status_created ON inquiry (status, created DESC);
CREATE INDEX idx_inquiry_timeout_at ON inquiry (timeout_at) WHERE timeout_at IS NOT NULL;
CREATE UNIQUE INDEX uq_inquiry_execution ON inquiry (execution) WHERE execution IS NOT NULL;

-- One body for the three channels of an inquiry.
CREATE FUNCTION notify_inquiry(channel text, changed inquiry) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM notify_listeners(channel, json_build_object(
        'entity_type', 'inquiry', 'entity_id', changed.id, 'id', changed.id, 'execution', changed.execution,
        'status', changed.status, 'assigned_to', changed.assigned_to, 'timeout_at', changed.timeout_at,
        'responded_at', changed.responded_at, 'created', changed.created, 'updated', changed.updated), 'assigned_to');
END
$$;

CREATE FUNCTION notify_inquiry_created() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM notify_inquiry('inquiry_created', NEW);
    RETURN NULL;
END
$$;

CREATE FUNCTION notify_inquiry_responded() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.status = 'responded' AND OLD.status <> 'responded' THEN
        PERFORM notify_inquiry('inquiry_responded', NEW);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION notify_inquiry_timeout() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.status = 'timeout' AND OLD.status <> 'timeout' THEN
        PERFORM notify_inquiry('inquiry_timeout', NEW);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER inquiry_created_notify AFTER INSERT ON inquiry
    FOR EACH ROW EXECUTE FUNCTION notify_inquiry_created();
CREATE TRIGGER inquiry_responded_notify AFTER UPDATE ON inquiry
    FOR EACH ROW EXECUTE FUNCTION notify_inquiry_responded();
CREATE TRIGGER inquiry_timeout_notify AFTER UPDATE ON inquiry
    FOR EACH ROW EXECUTE FUNCTION notify_inquiry_timeout();
CREATE TRIGGER update_inquiry_updated BEFORE UPDATE ON inquiry
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE policy (
    id bigserial PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    pack bigint REFERENCES pack (id) ON DELETE CASCADE,
    pack_ref text,
    action bigint REFERENCES action (id) ON DELETE CASCADE,
    action_ref text,
    parameters text[] NOT NULL DEFAULT ARRAY[]::text[],
    method policy_method_enum NOT NULL,
    threshold integer NOT NULL,
    name text NOT NULL,
    description text,
    tags text[] NOT NULL DEFAULT ARRAY[]::text[],
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT policy_ref_format CHECK (ref ~ '^[^.]+\.[^.]+$'),
    CONSTRAINT policy_ref_lowercase CHECK (ref = lower(ref)),
    CONSTRAINT policy_threshold_positive CHECK (threshold > 0)
);
CREATE INDEX idx_policy_action ON policy (action);
CREATE INDEX idx_policy_action_created ON policy (action, created DESC);
CREATE INDEX idx_policy_created ON policy (created DESC);
CREATE INDEX idx_policy_pack ON policy (pack);
CREATE INDEX idx_policy_pack_created ON policy (pack, created DESC);
CREATE INDEX idx_policy_parameters_gin ON policy USING gin (parameters);
CREATE INDEX idx_policy_ref ON policy (ref);
CREATE INDEX idx_policy_tags_gin ON policy USING gin (tags);
CREATE TRIGGER update_policy_updated BEFORE UPDATE ON policy
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE execution_admission_state (
    id bigserial PRIMARY KEY,
    action_id bigint NOT NULL REFERENCES action (id) ON DELETE CASCADE,
    group_key text,
    group_key_normalized text GENERATED ALWAYS AS (coalesce(group_key, '')) STORED,
    max_concurrent integer NOT NULL,
    next_queue_order bigint NOT NULL DEFAULT 1,
    total_enqueued bigint NOT NULL DEFAULT 0,
    total_completed bigint NOT NULL DEFAULT 0,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_execution_admission_state_action ON execution_admission_state (action_id);
CREATE UNIQUE INDEX uq_execution_admission_state_identity ON execution_admission_state (action_id, group_key_normalized);
CREATE TRIGGER update_execution_admission_state_updated BEFORE UPDATE ON execution_admission_state
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE execution_admission_entry (
    id bigserial PRIMARY KEY,
    state_id bigint NOT NULL REFERENCES execution_admission_state (id) ON DELETE CASCADE,
    execution_id bigint NOT NULL UNIQUE REFERENCES execution (id) ON DELETE CASCADE,
    status text NOT NULL,
    queue_order bigint NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT execution_admission_entry_status_check CHECK (status IN ('active', 'queued'))
);
CREATE INDEX idx_execution_admission_entry_execution ON execution_admission_entry (execution_id);
CREATE INDEX idx_execution_admission_entry_state_status_queue ON execution_admission_entry (state_id, status, queue_order);
CREATE TRIGGER update_execution_admission_entry_updated BEFORE UPDATE ON execution_admission_entry
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE queue_stats (
    action_id bigint PRIMARY KEY REFERENCES action (id) ON DELETE CASCADE,
    queue_length integer NOT NULL DEFAULT 0,
    active_count integer NOT NULL DEFAULT 0,
    max_concurrent integer NOT NULL DEFAULT 1,
    oldest_enqueued_at timestamptz,
    total_enqueued bigint NOT NULL DEFAULT 0,
    total_completed bigint NOT NULL DEFAULT 0,
    last_updated timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_queue_stats_last_updated ON queue_stats (last_updated);
