-- Actions and sensors share their runtimes: core.action.python and core.sensor.python become core.python.
-- core.sensor.builtin stays: it has no counterpart among the actions' runtimes and never had one.

-- Which row each runtime becomes. The row that has the name already is kept, else the actions' one.
CREATE TABLE runtime_unification AS
SELECT
    id,
    unified_ref,
    first_value(id) OVER (
        PARTITION BY unified_ref ORDER BY ref = unified_ref DESC, runtime_type, id
    ) AS kept
FROM (
    SELECT
        id,
        ref,
        runtime_type,
        CASE
            WHEN ref LIKE '%.sensor.builtin' THEN ref
            ELSE regexp_replace(ref, '^(.+)\.(action|sensor)\.([^.]+)$', '\1.\3')
        END AS unified_ref
    FROM runtime
) AS renamed;

UPDATE action SET runtime = unified.kept
FROM runtime_unification AS unified
WHERE action.runtime = unified.id AND unified.kept <> unified.id;

UPDATE sensor SET runtime = unified.kept, runtime_ref = unified.unified_ref
FROM runtime_unification AS unified
WHERE sensor.runtime = unified.id AND (unified.kept <> unified.id OR sensor.runtime_ref <> unified.unified_ref);

UPDATE worker SET runtime = unified.kept
FROM runtime_unification AS unified
WHERE worker.runtime = unified.id AND unified.kept <> unified.id;

-- What only the duplicate knew moves over; what both know stays as the kept row has it.
UPDATE runtime
SET
    distributions = other.distributions || runtime.distributions,
    execution_config = other.execution_config || runtime.execution_config,
    installation = coalesce(runtime.installation, other.installation),
    description = coalesce(runtime.description, other.description)
FROM runtime AS other
INNER JOIN runtime_unification AS unified ON other.id = unified.id
WHERE runtime.id = unified.kept AND unified.kept <> unified.id;

-- Of a version that more than one of them had, one row stays: the kept runtime's own where it has one.
DELETE FROM runtime_version USING (
    SELECT
        version.id,
        row_number() OVER (
            PARTITION BY unified.kept, version.version ORDER BY version.runtime = unified.kept DESC, version.id
        ) AS place
    FROM runtime_version AS version
    INNER JOIN runtime_unification AS unified ON version.runtime = unified.id
) AS ranked
WHERE runtime_version.id = ranked.id AND ranked.place > 1;

UPDATE runtime_version AS version SET runtime = unified.kept
FROM runtime_unification AS unified
WHERE version.runtime = unified.id AND unified.kept <> unified.id;

-- The records of a duplicate's environments go with it: the next use makes new ones.
DELETE FROM runtime USING runtime_unification AS unified
WHERE runtime.id = unified.id AND unified.kept <> unified.id;

UPDATE runtime SET ref = unified.unified_ref
FROM runtime_unification AS unified
WHERE runtime.id = unified.id AND runtime.ref <> unified.unified_ref;

UPDATE runtime_version AS version SET runtime_ref = runtime.ref
FROM runtime
WHERE version.runtime = runtime.id AND version.runtime_ref <> runtime.ref;

UPDATE pack_environment AS environment SET runtime_ref = runtime.ref
FROM runtime
WHERE environment.runtime = runtime.id AND environment.runtime_ref <> runtime.ref;

DROP TABLE runtime_unification;

DROP INDEX idx_runtime_type;
ALTER TABLE runtime DROP COLUMN runtime_type;
DROP TYPE runtime_type_enum;

CREATE INDEX idx_runtime_name ON runtime (name);
CREATE INDEX idx_runtime_verification ON runtime USING gin ((distributions -> 'verification'));
