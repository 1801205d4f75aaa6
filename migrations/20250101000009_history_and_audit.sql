-- What happened to executions and workers. Every execution passes here three times (made, claimed, ended), so these
-- functions look only at the columns that they record.

CREATE TABLE execution_history (
    time timestamptz NOT NULL DEFAULT now(),
    operation text NOT NULL,
    entity_id bigint NOT NULL,
    entity_ref text,
    changed_fields text[] NOT NULL DEFAULT '{}',
    old_values jsonb,
    new_values jsonb
);
CREATE INDEX idx_execution_history_changed_fields ON execution_history USING gin (changed_fields);
CREATE INDEX idx_execution_history_entity ON execution_history (entity_id, "time" DESC);
CREATE INDEX idx_execution_history_entity_ref ON execution_history (entity_ref, "time" DESC);
CREATE INDEX idx_execution_history_status_changes ON execution_history ("time" DESC)
    WHERE 'status' = ANY (changed_fields);

CREATE TABLE worker_history (
    time timestamptz NOT NULL DEFAULT now(),
    operation text NOT NULL,
    entity_id bigint NOT NULL,
    entity_ref text,
    changed_fields text[] NOT NULL DEFAULT '{}',
    old_values jsonb,
    new_values jsonb
);
CREATE INDEX idx_worker_history_changed_fields ON worker_history USING gin (changed_fields);
CREATE INDEX idx_worker_history_entity ON worker_history (entity_id, "time" DESC);
CREATE INDEX idx_worker_history_entity_ref ON worker_history (entity_ref, "time" DESC);
CREATE INDEX idx_worker_history_status_changes ON worker_history ("time" DESC)
    WHERE 'status' = ANY (changed_fields);

CREATE TABLE audit_event (
    id bigserial,
    created timestamptz NOT NULL DEFAULT now(),
    category audit_category_enum NOT NULL,
    event_type text NOT NULL,
    outcome audit_outcome_enum NOT NULL,
    actor_identity bigint,
    actor_login text,
    actor_token_type text,
    actor_ip inet,
    actor_user_agent text,
    request_id uuid,
    resource_type text,
    resource_id bigint,
    resource_ref text,
    http_method text,
    http_path text,
    http_status integer,
    duration_ms integer,
    details jsonb,
    correlation_chain jsonb,
    PRIMARY KEY (id, created)
);
CREATE INDEX idx_audit_event_actor ON audit_event (actor_identity, created DESC)
    WHERE actor_identity IS NOT NULL;
CREATE INDEX idx_audit_event_category ON audit_event (category, created DESC);
CREATE INDEX idx_audit_event_details ON audit_event USING gin (details);
CREATE INDEX idx_audit_event_event_type ON audit_event (event_type, created DESC);
CREATE INDEX idx_audit_event_outcome ON audit_event (outcome, created DESC);
CREATE INDEX idx_audit_event_request ON audit_event (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX idx_audit_event_resource ON audit_event (resource_type, resource_id, created DESC)
    WHERE resource_type IS NOT NULL;
CREATE INDEX idx_audit_event_resource_ref ON audit_event (resource_ref, created DESC)
    WHERE resource_ref IS NOT NULL;

-- A result may be large, and a copy of it would outlive it: history keeps what tells it apart.
CREATE FUNCTION jsonb_digest(value jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    told text := value;
BEGIN
    RETURN jsonb_build_object('digest', 'md5:' || md5(told), 'size', octet_length(told), 'type', jsonb_typeof(value));
END
$$;

CREATE FUNCTION record_execution_history() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    changed text[] := '{}';
    was jsonb := '{}';
    became jsonb := '{}';
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO execution_history (operation, entity_id, entity_ref, new_values) VALUES (
            TG_OP, NEW.id, NEW.action_ref, jsonb_build_object(
                'status', NEW.status, 'result', jsonb_digest(NEW.result), 'executor', NEW.executor,
                'worker', NEW.worker, 'workflow_task', NEW.workflow_task, 'env_vars', NEW.env_vars,
                'started_at', NEW.started_at));
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO execution_history (operation, entity_id, entity_ref, old_values) VALUES (
            TG_OP, OLD.id, OLD.action_ref, jsonb_build_object(
                'status', OLD.status, 'result', jsonb_digest(OLD.result), 'executor', OLD.executor,
                'worker', OLD.worker, 'workflow_task', OLD.workflow_task, 'env_vars', OLD.env_vars,
                'started_at', OLD.started_at));
        RETURN NULL;
    END IF;
    IF OLD.status IS DISTINCT FROM NEW.status THEN
        changed := changed || 'status'::text;
        was := was || jsonb_build_object('status', OLD.status);
        became := became || jsonb_build_object('status', NEW.status);
    END IF;
    IF OLD.result IS DISTINCT FROM NEW.result THEN
        changed := changed || 'result'::text;
        was := was || jsonb_build_object('result', jsonb_digest(OLD.result));
        became := became || jsonb_build_object('result', jsonb_digest(NEW.result));
    END IF;
    IF OLD.executor IS DISTINCT FROM NEW.executor THEN
        changed := changed || 'executor'::text;
        was := was || jsonb_build_object('executor', OLD.executor);
        became := became || jsonb_build_object('executor', NEW.executor);
    END IF;
    IF OLD.worker IS DISTINCT FROM NEW.worker THEN
        changed := changed || 'worker'::text;
        was := was || jsonb_build_object('worker', OLD.worker);
        became := became || jsonb_build_object('worker', NEW.worker);
    END IF;
    IF OLD.workflow_task IS DISTINCT FROM NEW.workflow_task THEN
        changed := changed || 'workflow_task'::text;
        was := was || jsonb_build_object('workflow_task', OLD.workflow_task);
        became := became || jsonb_build_object('workflow_task', NEW.workflow_task);
    END IF;
    IF OLD.env_vars IS DISTINCT FROM NEW.env_vars THEN
        changed := changed || 'env_vars'::text;
        was := was || jsonb_build_object('env_vars', OLD.env_vars);
        became := became || jsonb_build_object('env_vars', NEW.env_vars);
    END IF;
    IF OLD.started_at IS DISTINCT FROM NEW.started_at THEN
        changed := changed || 'started_at'::text;
        was := was || jsonb_build_object('started_at', OLD.started_at);
        became := became || jsonb_build_object('started_at', NEW.started_at);
    END IF;
    IF changed <> '{}' THEN
        INSERT INTO execution_history (operation, entity_id, entity_ref, changed_fields, old_values, new_values)
        VALUES (TG_OP, NEW.id, NEW.action_ref, changed, was, became);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER execution_history_trigger AFTER INSERT OR UPDATE OR DELETE ON execution
    FOR EACH ROW EXECUTE FUNCTION record_execution_history();

-- Rows of two jsonb objects with the same keys: the keys whose values differ, and those values. For tables that
-- change seldom; execution has a faster function of its own.
CREATE FUNCTION jsonb_difference(was jsonb, became jsonb, OUT changed text[], OUT old_values jsonb, OUT new_values jsonb)
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(key ORDER BY key), '{}'), jsonb_object_agg(key, was -> key), jsonb_object_agg(key, value)
    FROM jsonb_each(became)
    WHERE value IS DISTINCT FROM was -> key
$$;

-- A heartbeat alone is not history.
CREATE FUNCTION record_worker_history() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    was jsonb;
    became jsonb;
    difference record;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        was := jsonb_build_object(
            'name', OLD.name, 'status', OLD.status, 'capabilities', OLD.capabilities, 'meta', OLD.meta,
            'host', OLD.host, 'port', OLD.port, 'cordoned', OLD.cordoned, 'cordon_reason', OLD.cordon_reason,
            'cordoned_by', OLD.cordoned_by, 'cordoned_at', OLD.cordoned_at);
    END IF;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO worker_history (operation, entity_id, entity_ref, old_values)
        VALUES (TG_OP, OLD.id, OLD.name, was);
        RETURN NULL;
    END IF;
    became := jsonb_build_object(
        'name', NEW.name, 'status', NEW.status, 'capabilities', NEW.capabilities, 'meta', NEW.meta,
        'host', NEW.host, 'port', NEW.port, 'cordoned', NEW.cordoned, 'cordon_reason', NEW.cordon_reason,
        'cordoned_by', NEW.cordoned_by, 'cordoned_at', NEW.cordoned_at);
    IF TG_OP = 'INSERT' THEN
        INSERT INTO worker_history (operation, entity_id, entity_ref, new_values)
        VALUES (TG_OP, NEW.id, NEW.name, became);
    ELSIF was <> became THEN
        difference := jsonb_difference(was, became);
        INSERT INTO worker_history (operation, entity_id, entity_ref, changed_fields, old_values, new_values)
        VALUES (TG_OP, NEW.id, NEW.name, difference.changed, difference.old_values, difference.new_values);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER worker_history_trigger AFTER INSERT OR UPDATE OR DELETE ON worker
    FOR EACH ROW EXECUTE FUNCTION record_worker_history();

CREATE FUNCTION audit_execution_lifecycle() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    previous execution_status_enum;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.status = NEW.status THEN
            RETURN NULL;
        END IF;
        previous := OLD.status;
    END IF;
    INSERT INTO audit_event (
        category, event_type, outcome, actor_identity, resource_type, resource_id, resource_ref, details,
        correlation_chain)
    VALUES (
        'execution',
        CASE NEW.status
            WHEN 'running' THEN 'execution.started'
            WHEN 'timeout' THEN 'execution.timed_out'
            WHEN 'scheduling' THEN 'execution.status_changed'
            ELSE 'execution.' || NEW.status
        END,
        CASE
            WHEN NEW.status IN ('failed', 'timeout', 'abandoned') THEN 'failure'::audit_outcome_enum
            ELSE 'success'
        END,
        NEW.executor, 'execution', NEW.id, NEW.action_ref,
        jsonb_strip_nulls(jsonb_build_object(
            'operation', TG_OP, 'old_status', previous, 'new_status', NEW.status, 'action_ref', NEW.action_ref,
            'parent_execution_id', NEW.parent, 'enforcement_id', NEW.enforcement, 'worker_id', NEW.worker,
            'retry_count', NEW.retry_count, 'max_retries', NEW.max_retries,
            'original_execution', NEW.original_execution)),
        jsonb_strip_nulls(jsonb_build_object(
            'execution_id', NEW.id, 'parent_execution_id', NEW.parent, 'enforcement_id', NEW.enforcement)));
    RETURN NULL;
END
$$;

CREATE TRIGGER trg_audit_execution_lifecycle AFTER INSERT OR UPDATE OF status ON execution
    FOR EACH ROW EXECUTE FUNCTION audit_execution_lifecycle();
