-- name: workers_of_executions
-- What the list of the API leaves out: where each of these ran, and how long.
SELECT e.id, w.name AS worker, CASE WHEN e.result ->> 'duration_ms' ~ '^[0-9]{1,15}$' THEN (e.result ->> 'duration_ms')::float8 / 1000 END AS seconds
  FROM execution e
  LEFT JOIN worker w ON w.id = e.worker
 WHERE e.id = ANY (%(ids)s);

-- name: worker_name
SELECT name FROM worker WHERE id = %(id)s;

-- name: environments_of_pack
SELECT e.runtime_ref, e.runtime_version_text, e.status::text AS status, e.env_path, e.installed_at, e.last_verified,
       e.install_error, e.metadata, w.name AS worker
  FROM pack_environment e
  LEFT JOIN worker w ON w.id = e.claimed_by_worker
 WHERE e.pack_ref = %(ref)s
 ORDER BY e.runtime_ref, e.runtime_version_text NULLS FIRST;

-- name: names_of_identities
SELECT id, login FROM identity WHERE id = ANY (%(ids)s);

-- name: status_of
SELECT status::text AS status FROM execution WHERE id = %(id)s;
