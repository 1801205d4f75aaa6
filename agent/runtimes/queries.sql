-- name: runtimes
SELECT id, ref, name, aliases, pack, pack_ref, distributions, installation, execution_config, auto_detected,
       detection_config
  FROM runtime
 ORDER BY ref;

-- name: runtime_versions
SELECT id, runtime, runtime_ref, version, execution_config, distributions, is_default, available, verified_at,
       coalesce((meta ->> 'disabled')::text NOT IN ('false', ''), FALSE) AS disabled,
       meta @> '{"auto_detected": true}' AS auto_detected
  FROM runtime_version
 ORDER BY runtime_ref, version_major DESC NULLS LAST, version_minor DESC NULLS LAST, version_patch DESC NULLS LAST;

-- name: insert_runtime
-- Another agent that finds the same interpreter at the same moment is not an error.
INSERT INTO runtime (ref, description, name, aliases, distributions, installation, installers, execution_config,
                     auto_detected, detection_config)
VALUES (%(ref)s, %(description)s, %(name)s, %(aliases)s, %(distributions)s, %(installation)s, '{}'::jsonb,
        %(execution_config)s, TRUE, %(detection_config)s)
ON CONFLICT (ref) DO NOTHING
RETURNING id;

-- name: insert_version
-- Another agent that finds the same version at the same moment is not an error. Whether it is available is decided by
-- each machine's verification.
INSERT INTO runtime_version (runtime, runtime_ref, version, version_major, version_minor, version_patch,
                             execution_config, distributions, is_default, available, meta)
VALUES (%(runtime)s, %(runtime_ref)s, %(version)s, %(major)s, %(minor)s, %(patch)s,
        %(execution_config)s, %(distributions)s, FALSE, TRUE, %(meta)s)
ON CONFLICT (runtime, version) DO NOTHING
RETURNING id;

-- name: mark_available
-- Rows that say so already, and lately, stay as they are: every change makes all workers load them again.
UPDATE runtime_version
   SET available = TRUE, verified_at = now()
 WHERE id = ANY (%(ids)s)
   AND (NOT available OR verified_at IS NULL OR verified_at < now() - interval '1 hour');

-- name: mark_unavailable
UPDATE runtime_version
   SET available = FALSE, verified_at = now()
 WHERE id = ANY (%(ids)s)
   AND (available OR verified_at IS NULL OR verified_at < now() - interval '1 hour');

-- name: other_offers
-- What the other live workers say of themselves; the executor considers a worker dead after 90 seconds.
SELECT capabilities -> 'runtime_versions' AS runtime_versions,
       capabilities -> 'detected_interpreters' AS detected_interpreters
  FROM worker
 WHERE id IS DISTINCT FROM %(worker)s
   AND status IN ('active', 'busy')
   AND last_heartbeat > now() - interval '90 seconds';
