-- name: outdate_changed
-- Another path or manifest makes a row outdated, unless somebody is installing right now: that one finishes first.
UPDATE pack_environment
   SET status = 'outdated',
       install_error = NULL,
       claimed_by_worker = NULL,
       claim_expires_at = NULL
 WHERE pack = %(pack)s
   AND runtime = %(runtime)s
   AND runtime_version IS NOT DISTINCT FROM %(runtime_version)s
   AND (env_path <> %(env_path)s OR manifest_checksum IS DISTINCT FROM %(manifest_checksum)s)
   AND NOT (status = 'installing' AND coalesce(claim_expires_at > now(), false))

-- name: upsert_environment
INSERT INTO pack_environment
       (pack, pack_ref, runtime, runtime_ref, runtime_version, runtime_version_text, env_path, manifest_checksum)
VALUES (%(pack)s, %(pack_ref)s, %(runtime)s, %(runtime_ref)s, %(runtime_version)s, %(runtime_version_text)s,
        %(env_path)s, %(manifest_checksum)s)
ON CONFLICT (env_key) DO UPDATE
   SET pack_ref = excluded.pack_ref,
       runtime_ref = excluded.runtime_ref,
       runtime_version_text = excluded.runtime_version_text,
       env_path = excluded.env_path,
       manifest_checksum = excluded.manifest_checksum
RETURNING id, status::text, manifest_checksum

-- name: read_environment
SELECT id, status::text, manifest_checksum
  FROM pack_environment
 WHERE id = %(id)s

-- name: mark_outdated
UPDATE pack_environment
   SET status = 'outdated'
 WHERE id = %(id)s AND status = 'ready'

-- name: claim
UPDATE pack_environment
   SET status = 'installing',
       claimed_by_worker = %(worker)s,
       claim_expires_at = now() + make_interval(secs => %(lease)s),
       install_error = NULL
 WHERE id = %(id)s
   AND (status IN ('pending', 'failed', 'outdated')
        OR (status = 'installing' AND (claim_expires_at IS NULL OR claim_expires_at <= now())))
RETURNING id

-- name: renew
UPDATE pack_environment
   SET claim_expires_at = now() + make_interval(secs => %(lease)s)
 WHERE id = %(id)s AND status = 'installing' AND claimed_by_worker = %(worker)s
RETURNING id

-- name: ready
-- Who built it, how large it is and how long that took stay, for people who look at it.
UPDATE pack_environment
   SET status = 'ready',
       metadata = coalesce(metadata, '{}') || %(built)s::jsonb,
       manifest_checksum = %(manifest_checksum)s,
       installed_at = now(),
       last_verified = now(),
       install_error = NULL,
       claimed_by_worker = NULL,
       claim_expires_at = NULL
 WHERE id = %(id)s AND claimed_by_worker = %(worker)s
RETURNING id

-- name: used
UPDATE pack_environment
   SET metadata = coalesce(metadata, '{}') || jsonb_build_object('last_used', now())
 WHERE pack = %(pack)s AND runtime = %(runtime)s AND runtime_version IS NOT DISTINCT FROM %(runtime_version)s

-- name: failed
UPDATE pack_environment
   SET status = 'failed',
       install_error = %(error)s,
       claimed_by_worker = NULL,
       claim_expires_at = NULL
 WHERE id = %(id)s AND claimed_by_worker = %(worker)s
RETURNING id
