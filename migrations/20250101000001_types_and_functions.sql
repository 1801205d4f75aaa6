-- The enumerated types that tables share, and the two functions that many of their triggers share.

CREATE TYPE artifact_retention_enum AS ENUM ('versions', 'days', 'hours', 'minutes');
CREATE TYPE artifact_type_enum AS ENUM
    ('file_binary', 'file_datatable', 'file_image', 'file_text', 'other', 'progress', 'url');
CREATE TYPE artifact_visibility_enum AS ENUM ('public', 'private');
CREATE TYPE audit_category_enum AS ENUM ('api', 'auth', 'rbac', 'secret', 'admin', 'execution', 'pack');
CREATE TYPE audit_outcome_enum AS ENUM ('success', 'failure', 'denied');
CREATE TYPE enforcement_condition_enum AS ENUM ('any', 'all');
CREATE TYPE enforcement_status_enum AS ENUM ('created', 'processed', 'disabled');
CREATE TYPE execution_status_enum AS ENUM
    ('requested', 'scheduling', 'scheduled', 'running', 'completed', 'failed', 'canceling', 'cancelled',
     'timeout', 'abandoned');
CREATE TYPE notification_status_enum AS ENUM ('created', 'queued', 'processing', 'error');
CREATE TYPE owner_type_enum AS ENUM ('system', 'identity', 'pack', 'action', 'sensor');
CREATE TYPE pack_environment_status_enum AS ENUM ('pending', 'installing', 'ready', 'failed', 'outdated');
CREATE TYPE runtime_type_enum AS ENUM ('action', 'sensor');
CREATE TYPE sensor_process_status_enum AS ENUM ('starting', 'running', 'stopped', 'failed', 'backoff');
CREATE TYPE worker_role_enum AS ENUM ('action', 'sensor');
CREATE TYPE worker_status_enum AS ENUM ('active', 'inactive', 'busy', 'error');
CREATE TYPE worker_type_enum AS ENUM ('local', 'remote', 'container');

CREATE FUNCTION update_updated_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated := now();
    RETURN NEW;
END
$$;

-- PostgreSQL refuses a notification of 8000 bytes or more, and with it the statement that sends it. A payload that is
-- too long loses the key `expendable`; if that isn't enough, all but what identifies the row.
CREATE FUNCTION notify_listeners(channel text, payload json, expendable text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    message text := payload;
BEGIN
    IF octet_length(message) >= 8000 THEN
        message := payload::jsonb - expendable;
    END IF;
    IF octet_length(message) >= 8000 THEN
        message := json_build_object(
            'entity_type', payload -> 'entity_type', 'entity_id', payload -> 'entity_id', 'id', payload -> 'id');
    END IF;
    PERFORM pg_notify(channel, message);
END
$$;
