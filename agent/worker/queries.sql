-- name: needed_runtimes
-- What the actions of one pack, or of all packs, are run with.
SELECT DISTINCT p.id AS pack_id, p.ref, a.runtime, coalesce(a.runtime_version_constraint, '') AS constraint,
       a.required_worker_runtimes AS required
  FROM action a
  JOIN pack p ON p.id = a.pack
 WHERE %(pack_ref)s::text IS NULL OR p.ref = %(pack_ref)s
 ORDER BY p.ref;
