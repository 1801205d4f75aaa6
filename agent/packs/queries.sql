-- name: upsert_pack
-- First of all: its lock on the pack's row lets two registrations of one pack go one after the other.
-- The configuration that an operator changed stays; the file only adds what is missing. How the pack was first
-- installed stays too: it decides whether this program may remove anything.
INSERT INTO pack (ref, label, description, version, conf_schema, config, meta, tags, runtime_deps, dependencies,
                  is_standard, installation_method, installed_at, storage_path)
VALUES (%(ref)s, %(label)s, %(description)s, %(version)s, %(conf_schema)s, %(config)s, %(meta)s, %(tags)s,
        %(runtime_deps)s, %(dependencies)s, %(is_standard)s, %(installation_method)s, now(), %(storage_path)s)
ON CONFLICT (ref) DO UPDATE
   SET label = excluded.label, description = excluded.description, version = excluded.version,
       conf_schema = excluded.conf_schema, config = excluded.config || pack.config,
       meta = pack.meta || excluded.meta,
       tags = excluded.tags, runtime_deps = excluded.runtime_deps, dependencies = excluded.dependencies,
       is_standard = excluded.is_standard, storage_path = coalesce(excluded.storage_path, pack.storage_path)
RETURNING id, xmax = 0 AS created, installation_method IS NOT DISTINCT FROM %(installation_method)s AS ours;

-- name: upsert_runtime
-- The pack and the mark of an automatic registration stay as they are.
INSERT INTO runtime (ref, pack, pack_ref, description, name, aliases, distributions, installation, execution_config)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(description)s, %(name)s, %(aliases)s, %(distributions)s,
        %(installation)s, %(execution_config)s)
ON CONFLICT (ref) DO UPDATE
   SET description = excluded.description, name = excluded.name, aliases = excluded.aliases,
       distributions = excluded.distributions, installation = excluded.installation,
       execution_config = excluded.execution_config
RETURNING id, xmax = 0 AS created;

-- name: upsert_version
-- What was verified stays verified; a new row is unavailable until a machine has seen the version.
INSERT INTO runtime_version (runtime, runtime_ref, version, version_major, version_minor, version_patch,
                             execution_config, distributions, is_default, available, meta)
VALUES (%(runtime)s, %(runtime_ref)s, %(version)s, %(major)s, %(minor)s, %(patch)s,
        %(execution_config)s, %(distributions)s, %(is_default)s, false, %(meta)s)
ON CONFLICT (runtime, version) DO UPDATE
   SET runtime_ref = excluded.runtime_ref, version_major = excluded.version_major,
       version_minor = excluded.version_minor, version_patch = excluded.version_patch,
       execution_config = excluded.execution_config, distributions = excluded.distributions,
       is_default = excluded.is_default, meta = excluded.meta;

-- name: delete_versions
-- Versions that an agent found by itself are not the file's to remove.
DELETE FROM runtime_version
 WHERE runtime = %(runtime)s AND version <> ALL(%(versions)s) AND NOT meta @> '{"auto_detected": true}'
RETURNING version;

-- name: runtimes
SELECT id, ref, name, aliases, execution_config FROM runtime ORDER BY ref;

-- name: upsert_trigger
-- Whether it is enabled is the operator's decision once it exists.
INSERT INTO trigger (ref, pack, pack_ref, label, description, enabled, param_schema, out_schema)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(label)s, %(description)s, %(enabled)s, %(param_schema)s, %(out_schema)s)
ON CONFLICT (ref) DO UPDATE
   SET label = excluded.label, description = excluded.description, is_adhoc = false,
       param_schema = excluded.param_schema, out_schema = excluded.out_schema
RETURNING id, xmax = 0 AS created;

-- name: upsert_rule
-- Whether it is enabled is the operator's decision once it exists.
INSERT INTO rule (ref, pack, pack_ref, label, description, action, action_ref, trigger, trigger_ref, conditions,
                  action_params, trigger_params, permission_set_refs, enabled)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(label)s, %(description)s,
        (SELECT id FROM action WHERE ref = %(action_ref)s), %(action_ref)s,
        (SELECT id FROM trigger WHERE ref = %(trigger_ref)s), %(trigger_ref)s,
        %(conditions)s, %(action_params)s, %(trigger_params)s, %(permission_set_refs)s, %(enabled)s)
ON CONFLICT (ref) DO UPDATE
   SET label = excluded.label, description = excluded.description, action = excluded.action,
       action_ref = excluded.action_ref, trigger = excluded.trigger, trigger_ref = excluded.trigger_ref,
       conditions = excluded.conditions, action_params = excluded.action_params,
       trigger_params = excluded.trigger_params, permission_set_refs = excluded.permission_set_refs,
       is_adhoc = false
RETURNING id, xmax = 0 AS created;

-- name: relink_rules
-- Rules of any pack that name a part of this one which was not there, or was gone for a while.
UPDATE rule r
   SET action = coalesce(r.action, (SELECT a.id FROM action a WHERE a.ref = r.action_ref)),
       trigger = coalesce(r.trigger, (SELECT t.id FROM trigger t WHERE t.ref = r.trigger_ref))
 WHERE (r.action IS NULL AND EXISTS (SELECT 1 FROM action a WHERE a.ref = r.action_ref AND a.pack = %(pack)s))
    OR (r.trigger IS NULL AND EXISTS (SELECT 1 FROM trigger t WHERE t.ref = r.trigger_ref AND t.pack = %(pack)s));

-- name: rules_without_target
SELECT ref, CASE WHEN trigger IS NULL THEN 'trigger ' || trigger_ref ELSE 'action ' || action_ref END
  FROM rule
 WHERE ref = ANY(%(refs)s) AND (trigger IS NULL OR action IS NULL)
 ORDER BY ref;

-- name: vanished_rules
SELECT r.id, r.ref, NULL::text AS reason
  FROM rule r
 WHERE r.pack = %(pack)s AND NOT r.is_adhoc AND r.ref <> ALL(%(refs)s)
 ORDER BY r.ref
   FOR UPDATE OF r;

-- name: delete_rule
DELETE FROM rule WHERE id = %(id)s;

-- name: has_permission_sets
SELECT to_regclass('permission_set') IS NOT NULL;

-- name: upsert_permission_set
INSERT INTO permission_set (ref, pack, pack_ref, label, description, grants)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(label)s, %(description)s, %(grants)s)
ON CONFLICT (ref) DO UPDATE
   SET label = excluded.label, description = excluded.description, grants = excluded.grants
RETURNING id, xmax = 0 AS created;

-- name: upsert_action
INSERT INTO action (ref, pack, pack_ref, label, description, entrypoint, runtime, param_schema, out_schema,
                    parameter_delivery, parameter_format, output_format, timeout_seconds, max_retries,
                    runtime_version_constraint, accesses_mcp, default_execution_permission_set_refs,
                    log_retention_policy, log_retention_limit, artifact_retention_policy, artifact_retention_limit,
                    required_worker_runtimes, worker_selector, worker_tolerations, worker_affinity)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(label)s, %(description)s, %(entrypoint)s, %(runtime)s, %(param_schema)s,
        %(out_schema)s, %(parameter_delivery)s, %(parameter_format)s, %(output_format)s, %(timeout_seconds)s,
        %(max_retries)s, %(runtime_version_constraint)s, %(accesses_mcp)s, %(permission_set_refs)s,
        %(log_policy)s::artifact_retention_enum, %(log_limit)s,
        %(artifact_policy)s::artifact_retention_enum, %(artifact_limit)s,
        %(required_worker_runtimes)s, %(worker_selector)s, %(worker_tolerations)s, %(worker_affinity)s)
ON CONFLICT (ref) DO UPDATE
   SET label = excluded.label, description = excluded.description, entrypoint = excluded.entrypoint,
       runtime = excluded.runtime, param_schema = excluded.param_schema, out_schema = excluded.out_schema,
       parameter_delivery = excluded.parameter_delivery, parameter_format = excluded.parameter_format,
       output_format = excluded.output_format, timeout_seconds = excluded.timeout_seconds,
       max_retries = excluded.max_retries, runtime_version_constraint = excluded.runtime_version_constraint,
       accesses_mcp = excluded.accesses_mcp,
       default_execution_permission_set_refs = excluded.default_execution_permission_set_refs,
       log_retention_policy = excluded.log_retention_policy, log_retention_limit = excluded.log_retention_limit,
       artifact_retention_policy = excluded.artifact_retention_policy,
       artifact_retention_limit = excluded.artifact_retention_limit,
       required_worker_runtimes = excluded.required_worker_runtimes, worker_selector = excluded.worker_selector,
       worker_tolerations = excluded.worker_tolerations, worker_affinity = excluded.worker_affinity,
       is_adhoc = false, workflow_def = NULL
RETURNING id, xmax = 0 AS created;

-- name: upsert_sensor
-- Whether it is enabled is the operator's decision once it exists.
INSERT INTO sensor (ref, pack, pack_ref, label, description, entrypoint, runtime, runtime_ref, enabled, param_schema,
                    config, runtime_version_constraint, log_retention_policy, log_retention_limit,
                    artifact_retention_policy, artifact_retention_limit,
                    worker_selector, worker_tolerations, worker_affinity)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(label)s, %(description)s, %(entrypoint)s, %(runtime)s, %(runtime_ref)s,
        %(enabled)s, %(param_schema)s, %(config)s, %(runtime_version_constraint)s,
        %(log_policy)s::artifact_retention_enum, %(log_limit)s,
        %(artifact_policy)s::artifact_retention_enum, %(artifact_limit)s,
        %(worker_selector)s, %(worker_tolerations)s, %(worker_affinity)s)
ON CONFLICT (ref) DO UPDATE
   SET label = excluded.label, description = excluded.description, entrypoint = excluded.entrypoint,
       runtime = excluded.runtime, runtime_ref = excluded.runtime_ref, param_schema = excluded.param_schema,
       config = excluded.config, runtime_version_constraint = excluded.runtime_version_constraint,
       log_retention_policy = excluded.log_retention_policy, log_retention_limit = excluded.log_retention_limit,
       artifact_retention_policy = excluded.artifact_retention_policy,
       artifact_retention_limit = excluded.artifact_retention_limit,
       worker_selector = excluded.worker_selector, worker_tolerations = excluded.worker_tolerations,
       worker_affinity = excluded.worker_affinity, is_adhoc = false
RETURNING id, xmax = 0 AS created;

-- name: link_triggers
-- A sensor fires triggers of its own pack; those of other packs belong to other sensors.
UPDATE trigger SET sensor = %(sensor)s, sensor_ref = %(sensor_ref)s
 WHERE pack = %(pack)s AND ref = ANY(%(triggers)s)
   AND (sensor IS DISTINCT FROM %(sensor)s OR sensor_ref IS DISTINCT FROM %(sensor_ref)s);

-- name: unlink_triggers
UPDATE trigger SET sensor = NULL, sensor_ref = NULL WHERE sensor = %(sensor)s AND ref <> ALL(%(triggers)s);

-- name: missing_triggers
SELECT wanted FROM unnest(%(triggers)s::text[]) AS wanted
 WHERE NOT EXISTS (SELECT 1 FROM trigger WHERE trigger.ref = wanted) ORDER BY wanted;

-- name: has_server_action
SELECT to_regclass('server_action') IS NOT NULL;

-- name: keep_retry_abandoned
INSERT INTO server_action (action, retry_abandoned)
SELECT a.id, true FROM action a WHERE a.pack = %(pack)s AND a.ref = ANY(%(refs)s)
ON CONFLICT (action) DO UPDATE SET retry_abandoned = true;

-- name: drop_retry_abandoned
DELETE FROM server_action s
 USING action a
 WHERE a.id = s.action AND a.pack = %(pack)s AND a.ref <> ALL(%(refs)s);

-- name: vanished_actions
-- With the reason to keep each, if there is one: deleting would break a rule, take secrets along, or lose the
-- completion of an execution that is not over yet.
SELECT a.id, a.ref,
       CASE WHEN EXISTS (SELECT 1 FROM rule r WHERE r.action = a.id) THEN 'a rule runs it'
            WHEN EXISTS (SELECT 1 FROM key k WHERE k.owner_action = a.id) THEN 'it owns secrets'
            WHEN EXISTS (SELECT 1 FROM execution e WHERE e.action = a.id AND e.status IN
                         ('requested', 'scheduling', 'scheduled', 'running', 'canceling'))
                 THEN 'an execution of it is not over' END AS reason
  FROM action a
 WHERE a.pack = %(pack)s AND NOT a.is_adhoc AND a.workflow_def IS NULL AND a.ref <> ALL(%(refs)s)
 ORDER BY a.ref
   FOR UPDATE OF a;

-- name: vanished_sensors
SELECT s.id, s.ref,
       CASE WHEN EXISTS (SELECT 1 FROM key k WHERE k.owner_sensor = s.id) THEN 'it owns secrets' END AS reason
  FROM sensor s
 WHERE s.pack = %(pack)s AND NOT s.is_adhoc AND s.ref <> ALL(%(refs)s)
 ORDER BY s.ref
   FOR UPDATE OF s;

-- name: vanished_triggers
SELECT t.id, t.ref,
       CASE WHEN EXISTS (SELECT 1 FROM rule r WHERE r.trigger = t.id) THEN 'a rule listens to it' END AS reason
  FROM trigger t
 WHERE t.pack = %(pack)s AND NOT t.is_adhoc AND t.ref <> ALL(%(refs)s)
 ORDER BY t.ref
   FOR UPDATE OF t;

-- name: vanished_runtimes
-- The lock keeps others from beginning to use what is about to go: sensors would go with it.
SELECT r.id, r.ref,
       coalesce((SELECT 'action ' || a.ref || ' uses it' FROM action a WHERE a.runtime = r.id ORDER BY a.ref LIMIT 1),
                (SELECT 'sensor ' || s.ref || ' uses it' FROM sensor s WHERE s.runtime = r.id ORDER BY s.ref LIMIT 1)
               ) AS reason
  FROM runtime r
 WHERE r.pack = %(pack)s AND NOT r.auto_detected AND r.ref NOT LIKE 'auto.%%' AND r.ref <> ALL(%(refs)s)
 ORDER BY r.ref
   FOR UPDATE OF r;

-- name: vanished_permission_sets
SELECT p.id, p.ref,
       CASE WHEN EXISTS (SELECT 1 FROM permission_assignment a WHERE a.permset = p.id)
              OR EXISTS (SELECT 1 FROM permission_set_role_assignment r WHERE r.permset = p.id)
            THEN 'somebody has it' END AS reason
  FROM permission_set p
 WHERE p.pack = %(pack)s AND p.ref <> ALL(%(refs)s)
 ORDER BY p.ref
   FOR UPDATE OF p;

-- name: delete_permission_set
DELETE FROM permission_set WHERE id = %(id)s;

-- name: delete_action
DELETE FROM action WHERE id = %(id)s;

-- name: delete_sensor
DELETE FROM sensor WHERE id = %(id)s;

-- name: delete_trigger
DELETE FROM trigger WHERE id = %(id)s;

-- name: delete_runtime
DELETE FROM runtime WHERE id = %(id)s;

-- name: list_packs
SELECT p.ref, p.label, p.version, p.description, p.updated,
       (SELECT count(*) FROM action a WHERE a.pack = p.id) AS actions,
       (SELECT count(*) FROM sensor s WHERE s.pack = p.id) AS sensors,
       (SELECT count(*) FROM trigger t WHERE t.pack = p.id) AS triggers,
       (SELECT count(*) FROM runtime r WHERE r.pack = p.id) AS runtimes
  FROM pack p
 ORDER BY p.ref;
