-- Executions, what causes them (enforcements), what they follow (workflows), and who is told.

CREATE FUNCTION notify_enforcement_created() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM notify_listeners('enforcement_created', json_build_object(
        'entity_type', 'enforcement', 'entity_id', NEW.id, 'id', NEW.id, 'rule', NEW.rule, 'rule_ref', NEW.rule_ref,
        'trigger_ref', NEW.trigger_ref, 'event', NEW.event, 'status', NEW.status, 'condition', NEW.condition,
        'conditions', NEW.conditions, 'config', NEW.config, 'payload', NEW.payload, 'created', NEW.created,
        'resolved_at', NEW.resolved_at), 'payload');
    RETURN NULL;
END
$$;

CREATE FUNCTION notify_enforcement_status_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF OLD.status IS DISTINCT FROM NEW.status THEN
        PERFORM notify_listeners('enforcement_status_changed', json_build_object(
            'entity_type', 'enforcement', 'entity_id', NEW.id, 'id', NEW.id, 'rule', NEW.rule,
            'rule_ref', NEW.rule_ref, 'trigger_ref', NEW.trigger_ref, 'event', NEW.event, 'status', NEW.status,
            'old_status', OLD.status, 'condition', NEW.condition, 'conditions', NEW.conditions, 'config', NEW.config,
            'payload', NEW.payload, 'created', NEW.created, 'resolved_at', NEW.resolved_at), 'payload');
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION notify_execution_created() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    rule text;
    trigger text;
BEGIN
    IF NEW.enforcement IS NOT NULL THEN
        SELECT rule_ref, trigger_ref INTO rule, trigger FROM enforcement WHERE id = NEW.enforcement;
    END IF;
    PERFORM notify_listeners('execution_created', json_build_object(
        'entity_type', 'execution', 'entity_id', NEW.id, 'id', NEW.id, 'action_id', NEW.action,
        'action_ref', NEW.action_ref, 'status', NEW.status, 'enforcement', NEW.enforcement, 'rule_ref', rule,
        'trigger_ref', trigger, 'parent', NEW.parent, 'started_at', NEW.started_at,
        'workflow_task', NEW.workflow_task, 'created', NEW.created, 'updated', NEW.updated), 'workflow_task');
    RETURN NULL;
END
$$;

CREATE FUNCTION notify_execution_status_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    rule text;
    trigger text;
BEGIN
    IF OLD.status = NEW.status THEN
        RETURN NULL;
    END IF;
    IF NEW.enforcement IS NOT NULL THEN
        SELECT rule_ref, trigger_ref INTO rule, trigger FROM enforcement WHERE id = NEW.enforcement;
    END IF;
    PERFORM notify_listeners('execution_status_changed', json_build_object(
        'entity_type', 'execution', 'entity_id', NEW.id, 'id', NEW.id, 'action_id', NEW.action,
        'action_ref', NEW.action_ref, 'status', NEW.status, 'old_status', OLD.status,
        'enforcement', NEW.enforcement, 'rule_ref', rule, 'trigger_ref', trigger, 'parent', NEW.parent,
        'started_at', NEW.started_at, 'workflow_task', NEW.workflow_task, 'created', NEW.created,
        'updated', NEW.updated), 'workflow_task');
    RETURN NULL;
END
$$;

-- Its trigger fires only for an execution of a workflow whose status changed.
CREATE FUNCTION notify_workflow_execution_status_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM notify_listeners('workflow_execution_status_changed', json_build_object(
        'entity_type', 'execution', 'entity_id', NEW.id, 'id', NEW.id, 'action_ref', NEW.action_ref,
        'workflow_def', NEW.workflow_def, 'status', NEW.status, 'old_status', OLD.status, 'parent', NEW.parent,
        'created', NEW.created, 'updated', NEW.updated), 'action_ref');
    RETURN NULL;
END
$$;

-- The row says which channel; it is one of the few notifications that other programs choose themselves.
CREATE FUNCTION notify_on_insert() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM notify_listeners(NEW.channel, json_build_object(
        'id', NEW.id, 'entity_type', NEW.entity_type, 'entity', NEW.entity, 'activity', NEW.activity), 'activity');
    RETURN NULL;
END
$$;

CREATE TABLE enforcement (
    id bigserial PRIMARY KEY,
    rule bigint REFERENCES rule (id) ON DELETE SET NULL,
    rule_ref text NOT NULL,
    trigger_ref text NOT NULL,
    config jsonb,
    event bigint,
    status enforcement_status_enum NOT NULL DEFAULT 'created',
    payload jsonb NOT NULL,
    condition enforcement_condition_enum NOT NULL DEFAULT 'all',
    conditions jsonb NOT NULL DEFAULT '[]',
    created timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    CONSTRAINT enforcement_condition_check CHECK (condition IN ('any', 'all'))
);
CREATE INDEX idx_enforcement_conditions_gin ON enforcement USING gin (conditions);
CREATE INDEX idx_enforcement_created ON enforcement (created DESC);
CREATE INDEX idx_enforcement_event ON enforcement (event);
CREATE INDEX idx_enforcement_event_status ON enforcement (event, status);
CREATE INDEX idx_enforcement_payload_gin ON enforcement USING gin (payload);
CREATE INDEX idx_enforcement_rule ON enforcement (rule);
CREATE INDEX idx_enforcement_rule_ref ON enforcement (rule_ref);
CREATE INDEX idx_enforcement_rule_status ON enforcement (rule, status);
CREATE INDEX idx_enforcement_status ON enforcement (status);
CREATE INDEX idx_enforcement_status_created ON enforcement (status, created DESC);
CREATE INDEX idx_enforcement_trigger_ref ON enforcement (trigger_ref);
CREATE UNIQUE INDEX uq_enforcement_rule_event ON enforcement (rule, event)
    WHERE rule IS NOT NULL AND event IS NOT NULL;
CREATE TRIGGER enforcement_created_notify AFTER INSERT ON enforcement
    FOR EACH ROW EXECUTE FUNCTION notify_enforcement_created();
CREATE TRIGGER enforcement_status_changed_notify AFTER UPDATE ON enforcement
    FOR EACH ROW EXECUTE FUNCTION notify_enforcement_status_changed();

CREATE TABLE execution (
    id bigserial PRIMARY KEY,
    action bigint REFERENCES action (id) ON DELETE SET NULL,
    action_ref text NOT NULL,
    config jsonb,
    env_vars jsonb,
    parent bigint REFERENCES execution (id) ON DELETE SET NULL,
    enforcement bigint REFERENCES enforcement (id) ON DELETE SET NULL,
    executor bigint REFERENCES identity (id) ON DELETE SET NULL,
    permission_set_refs text[] NOT NULL DEFAULT ARRAY[]::text[],
    artifact_retention_policy artifact_retention_enum,
    artifact_retention_limit integer,
    worker_selector jsonb,
    worker_tolerations jsonb,
    worker_affinity jsonb,
    worker bigint REFERENCES worker (id) ON DELETE SET NULL,
    status execution_status_enum NOT NULL DEFAULT 'requested',
    result jsonb,
    started_at timestamptz,
    created timestamptz NOT NULL DEFAULT now(),
    workflow_def bigint REFERENCES workflow_definition (id) ON DELETE SET NULL,
    workflow_task jsonb,
    retry_count integer NOT NULL DEFAULT 0,
    max_retries integer,
    retry_reason text,
    original_execution bigint REFERENCES execution (id) ON DELETE SET NULL,
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT execution_artifact_retention_limit_positive CHECK (
        artifact_retention_limit IS NULL OR artifact_retention_limit > 0
    )
);
CREATE INDEX idx_execution_action ON execution (action);
CREATE INDEX idx_execution_action_ref ON execution (action_ref);
CREATE INDEX idx_execution_action_status ON execution (action, status);
CREATE INDEX idx_execution_created ON execution (created DESC);
CREATE INDEX idx_execution_enforcement ON execution (enforcement);
CREATE INDEX idx_execution_env_vars_gin ON execution USING gin (env_vars);
CREATE INDEX idx_execution_executor ON execution (executor);
CREATE INDEX idx_execution_executor_created ON execution (executor, created DESC);
CREATE INDEX idx_execution_original_execution ON execution (original_execution)
    WHERE original_execution IS NOT NULL;
CREATE INDEX idx_execution_parent ON execution (parent);
CREATE INDEX idx_execution_parent_created ON execution (parent, created DESC);
CREATE INDEX idx_execution_permission_set_refs ON execution USING gin (permission_set_refs);
CREATE INDEX idx_execution_result_gin ON execution USING gin (result);
CREATE INDEX idx_execution_status ON execution (status);
CREATE INDEX idx_execution_status_created ON execution (status, created DESC);
CREATE INDEX idx_execution_status_retry ON execution (status, retry_count)
    WHERE status = 'failed' AND retry_count < coalesce(max_retries, 0);
CREATE INDEX idx_execution_status_updated ON execution (status, updated DESC);
CREATE INDEX idx_execution_top_level_created ON execution (created DESC) WHERE parent IS NULL;
CREATE INDEX idx_execution_updated ON execution (updated DESC);
CREATE INDEX idx_execution_worker ON execution (worker);
CREATE INDEX idx_execution_worker_affinity_gin ON execution USING gin (worker_affinity)
    WHERE worker_affinity IS NOT NULL;
CREATE INDEX idx_execution_worker_created ON execution (worker, created DESC);
CREATE INDEX idx_execution_worker_selector_gin ON execution USING gin (worker_selector)
    WHERE worker_selector IS NOT NULL;
CREATE INDEX idx_execution_worker_tolerations_gin ON execution USING gin (worker_tolerations)
    WHERE worker_tolerations IS NOT NULL;
CREATE UNIQUE INDEX uq_execution_top_level_enforcement ON execution (enforcement)
    WHERE enforcement IS NOT NULL AND parent IS NULL AND (config IS NULL OR NOT config ? 'retry_of');
CREATE TRIGGER execution_created_notify AFTER INSERT ON execution
    FOR EACH ROW EXECUTE FUNCTION notify_execution_created();
CREATE TRIGGER execution_status_changed_notify AFTER UPDATE ON execution
    FOR EACH ROW EXECUTE FUNCTION notify_execution_status_changed();
CREATE TRIGGER update_execution_updated BEFORE UPDATE ON execution
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();
CREATE TRIGGER workflow_execution_status_changed_notify AFTER UPDATE ON execution
    FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.workflow_def IS NOT NULL)
    EXECUTE FUNCTION notify_workflow_execution_status_changed();

CREATE TABLE workflow_execution (
    id bigserial PRIMARY KEY,
    execution bigint NOT NULL REFERENCES execution (id) ON DELETE CASCADE,
    workflow_def bigint NOT NULL REFERENCES workflow_definition (id) ON DELETE CASCADE,
    current_tasks text[] DEFAULT '{}',
    completed_tasks text[] DEFAULT '{}',
    failed_tasks text[] DEFAULT '{}',
    skipped_tasks text[] DEFAULT '{}',
    variables jsonb DEFAULT '{}',
    task_graph jsonb NOT NULL,
    status execution_status_enum NOT NULL DEFAULT 'requested',
    error_message text,
    paused boolean NOT NULL DEFAULT false,
    pause_reason text,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_workflow_execution_execution UNIQUE (execution)
);
CREATE INDEX idx_workflow_exec_paused ON workflow_execution (paused) WHERE paused = true;
CREATE INDEX idx_workflow_exec_status ON workflow_execution (status);
CREATE INDEX idx_workflow_exec_workflow_def ON workflow_execution (workflow_def);
CREATE TRIGGER update_workflow_execution_updated BEFORE UPDATE ON workflow_execution
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE TABLE notification (
    id bigserial PRIMARY KEY,
    channel text NOT NULL,
    entity_type text NOT NULL,
    entity text NOT NULL,
    activity text NOT NULL,
    state notification_status_enum NOT NULL DEFAULT 'created',
    content jsonb,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_notification_channel ON notification (channel);
CREATE INDEX idx_notification_channel_state ON notification (channel, state);
CREATE INDEX idx_notification_content_gin ON notification USING gin (content);
CREATE INDEX idx_notification_created ON notification (created DESC);
CREATE INDEX idx_notification_entity ON notification (entity);
CREATE INDEX idx_notification_entity_type ON notification (entity_type);
CREATE INDEX idx_notification_entity_type_entity ON notification (entity_type, entity);
CREATE INDEX idx_notification_state ON notification (state);
CREATE INDEX idx_notification_state_created ON notification (state, created DESC);
CREATE TRIGGER notify_on_notification_insert AFTER INSERT ON notification
    FOR EACH ROW EXECUTE FUNCTION notify_on_insert();
CREATE TRIGGER update_notification_updated BEFORE UPDATE ON notification
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();
