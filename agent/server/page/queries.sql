-- name: workers_of_executions
-- What the list of the API leaves out: where each of these ran, and how long.
-- A large result is not read for its length of time: it lies elsewhere, and compressed.
SELECT e.id, w.name AS worker,
       CASE WHEN pg_column_size(e.result) > 1500 THEN NULL
            WHEN e.result ->> 'duration_ms' ~ '^[0-9]{1,15}$' THEN (e.result ->> 'duration_ms')::float8 / 1000 END AS seconds
  FROM execution e
  LEFT JOIN worker w ON w.id = e.worker
 WHERE e.id = ANY (%(ids)s);

-- name: worker_name
SELECT name FROM worker WHERE id = %(id)s;

-- name: environment_built_for
-- The environment that its own worker built while it waited for it; with a state while it is being built.
SELECT e.status::text AS status, e.installed_at
  FROM execution x
  JOIN action a ON a.id = x.action
  JOIN pack_environment e ON e.pack = a.pack AND e.runtime = a.runtime
 WHERE x.id = %(id)s AND x.started_at IS NOT NULL
   AND ((e.status = 'installing' AND e.claimed_by_worker = x.worker AND x.status = 'running')
        OR (e.metadata -> 'worker' = to_jsonb(x.worker) AND e.installed_at >= x.started_at
            AND (x.status = 'running' OR e.installed_at <= x.updated)))
 ORDER BY e.installed_at
 LIMIT 1;

-- name: names_of_identities
SELECT id, login FROM identity WHERE id = ANY (%(ids)s);

-- name: status_of
SELECT status::text AS status FROM execution WHERE id = %(id)s;
