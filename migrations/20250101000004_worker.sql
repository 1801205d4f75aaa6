-- Workers: who can run something, and whether they are well.

CREATE TABLE worker (
    id bigserial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    worker_type worker_type_enum NOT NULL,
    worker_role worker_role_enum NOT NULL,
    runtime bigint REFERENCES runtime (id) ON DELETE SET NULL,
    host text,
    port integer,
    status worker_status_enum NOT NULL DEFAULT 'active',
    capabilities jsonb,
    meta jsonb,
    last_heartbeat timestamptz,
    cordoned boolean NOT NULL DEFAULT false,
    cordon_reason text,
    cordoned_by bigint REFERENCES identity (id) ON DELETE SET NULL,
    cordoned_at timestamptz,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_worker_capabilities_gin ON worker USING gin (capabilities);
CREATE INDEX idx_worker_capabilities_health_status ON worker USING gin (((capabilities -> 'health') -> 'status'));
CREATE INDEX idx_worker_cordoned ON worker (cordoned) WHERE cordoned = true;
CREATE INDEX idx_worker_created ON worker (created DESC);
CREATE INDEX idx_worker_last_heartbeat ON worker (last_heartbeat DESC) WHERE last_heartbeat IS NOT NULL;
CREATE INDEX idx_worker_meta_gin ON worker USING gin (meta);
CREATE INDEX idx_worker_name ON worker (name);
CREATE INDEX idx_worker_role ON worker (worker_role);
CREATE INDEX idx_worker_role_cordoned_status ON worker (worker_role, cordoned, status);
CREATE INDEX idx_worker_runtime ON worker (runtime);
CREATE INDEX idx_worker_status ON worker (status);
CREATE INDEX idx_worker_status_role ON worker (status, worker_role);
CREATE INDEX idx_worker_type ON worker (worker_type);
CREATE TRIGGER update_worker_updated BEFORE UPDATE ON worker
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

CREATE VIEW healthy_workers AS
SELECT
    id,
    name,
    worker_type,
    worker_role,
    runtime,
    status,
    capabilities,
    last_heartbeat,
    coalesce(capabilities -> 'health' ->> 'status', 'healthy') AS health_status,
    coalesce((capabilities -> 'health' ->> 'queue_depth')::integer, 0) AS queue_depth,
    coalesce((capabilities -> 'health' ->> 'consecutive_failures')::integer, 0) AS consecutive_failures
FROM worker
WHERE
    status = 'active'
    AND last_heartbeat > now() - interval '30 seconds'
    AND (capabilities -> 'health' IS NULL OR capabilities -> 'health' ->> 'status' IN ('healthy', 'degraded'));

-- Executions that wait on a worker, as far as it tells; null when it doesn't.
CREATE FUNCTION get_worker_queue_depth(worker_id bigint) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT (capabilities -> 'health' ->> 'queue_depth')::integer FROM worker WHERE id = worker_id
$$;
