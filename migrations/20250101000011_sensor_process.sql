-- Sensors as processes: where each runs, how often it failed, and its history.

CREATE TABLE sensor_process_history (
    time timestamptz NOT NULL DEFAULT now(),
    operation text NOT NULL,
    entity_id bigint NOT NULL,
    entity_ref text NOT NULL,
    worker_id bigint,
    worker_name text,
    changed_fields text[] NOT NULL DEFAULT '{}',
    old_values jsonb,
    new_values jsonb
);
CREATE INDEX idx_sensor_process_history_changed_fields ON sensor_process_history USING gin (changed_fields);
CREATE INDEX idx_sensor_process_history_entity ON sensor_process_history (entity_id, "time" DESC);
CREATE INDEX idx_sensor_process_history_entity_ref ON sensor_process_history (entity_ref, "time" DESC);
CREATE INDEX idx_sensor_process_history_status_changes ON sensor_process_history ("time" DESC)
    WHERE 'status' = ANY (changed_fields);
CREATE INDEX idx_sensor_process_history_worker ON sensor_process_history (worker_id, "time" DESC);

CREATE FUNCTION record_sensor_process_history() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    was jsonb;
    became jsonb;
    difference record;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        was := jsonb_build_object(
            'status', OLD.status, 'pid', OLD.pid, 'consecutive_failures', OLD.consecutive_failures,
            'last_exit_code', OLD.last_exit_code, 'last_signal', OLD.last_signal,
            'last_started_at', OLD.last_started_at, 'last_stopped_at', OLD.last_stopped_at,
            'next_restart_at', OLD.next_restart_at, 'active_rule_count', OLD.active_rule_count);
    END IF;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO sensor_process_history (operation, entity_id, entity_ref, worker_id, worker_name, old_values)
        VALUES (TG_OP, OLD.id, OLD.sensor_ref, OLD.worker, OLD.worker_name, was);
        RETURN NULL;
    END IF;
    became := jsonb_build_object(
        'status', NEW.status, 'pid', NEW.pid, 'consecutive_failures', NEW.consecutive_failures,
        'last_exit_code', NEW.last_exit_code, 'last_signal', NEW.last_signal,
        'last_started_at', NEW.last_started_at, 'last_stopped_at', NEW.last_stopped_at,
        'next_restart_at', NEW.next_restart_at, 'active_rule_count', NEW.active_rule_count);
    IF TG_OP = 'INSERT' THEN
        INSERT INTO sensor_process_history (operation, entity_id, entity_ref, worker_id, worker_name, new_values)
        VALUES (TG_OP, NEW.id, NEW.sensor_ref, NEW.worker, NEW.worker_name, became);
    ELSIF was <> became THEN
        difference := jsonb_difference(was, became);
        INSERT INTO sensor_process_history (
            operation, entity_id, entity_ref, worker_id, worker_name, changed_fields, old_values, new_values)
        VALUES (
            TG_OP, NEW.id, NEW.sensor_ref, NEW.worker, NEW.worker_name, difference.changed, difference.old_values,
            difference.new_values);
    END IF;
    RETURN NULL;
END
$$;

CREATE TABLE sensor_process (
    id bigserial PRIMARY KEY,
    sensor bigint NOT NULL REFERENCES sensor (id) ON DELETE CASCADE,
    sensor_ref text NOT NULL,
    worker bigint NOT NULL REFERENCES worker (id) ON DELETE CASCADE,
    worker_name text NOT NULL,
    status sensor_process_status_enum NOT NULL DEFAULT 'starting',
    pid integer,
    consecutive_failures integer NOT NULL DEFAULT 0,
    last_exit_code integer,
    last_signal integer,
    last_started_at timestamptz,
    last_stopped_at timestamptz,
    next_restart_at timestamptz,
    stderr_excerpt text,
    log_artifact_ref text,
    active_rule_count integer NOT NULL DEFAULT 0,
    last_alerted_failure_count integer NOT NULL DEFAULT 0,
    last_alerted_at timestamptz,
    meta jsonb NOT NULL DEFAULT '{}',
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sensor_process_active_rules_nonnegative CHECK (active_rule_count >= 0),
    CONSTRAINT sensor_process_alerted_failures_nonnegative CHECK (last_alerted_failure_count >= 0),
    CONSTRAINT sensor_process_failures_nonnegative CHECK (consecutive_failures >= 0),
    CONSTRAINT sensor_process_pid_positive CHECK (pid IS NULL OR pid > 0)
);
CREATE INDEX idx_sensor_process_meta_gin ON sensor_process USING gin (meta);
CREATE INDEX idx_sensor_process_next_restart ON sensor_process (next_restart_at)
    WHERE status = 'backoff' AND next_restart_at IS NOT NULL;
CREATE INDEX idx_sensor_process_sensor ON sensor_process (sensor);
CREATE INDEX idx_sensor_process_sensor_ref ON sensor_process (sensor_ref);
CREATE INDEX idx_sensor_process_status ON sensor_process (status);
CREATE INDEX idx_sensor_process_worker ON sensor_process (worker);
CREATE INDEX idx_sensor_process_worker_status ON sensor_process (worker, status);
CREATE UNIQUE INDEX ux_sensor_process_sensor_ref_worker_name ON sensor_process (sensor_ref, worker_name);
CREATE UNIQUE INDEX ux_sensor_process_sensor_worker ON sensor_process (sensor, worker);
CREATE TRIGGER sensor_process_history_trigger AFTER INSERT OR UPDATE OR DELETE ON sensor_process
    FOR EACH ROW EXECUTE FUNCTION record_sensor_process_history();
CREATE TRIGGER update_sensor_process_updated BEFORE UPDATE ON sensor_process
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();
