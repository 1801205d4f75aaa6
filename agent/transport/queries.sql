-- name: files_of_execution
-- What an action is to write itself, wherever the API has allocated it.
SELECT file_path FROM artifact_version
 WHERE execution = %(execution)s AND file_path IS NOT NULL AND size_bytes IS NULL AND created_by IS DISTINCT FROM 'worker'
 ORDER BY id;

-- name: known_files
-- Of files that an earlier process left, those whose row is complete.
SELECT v.execution, v.file_path
  FROM artifact_version v
  JOIN execution e ON e.id = v.execution
 WHERE v.file_path = ANY(%(paths)s) AND v.size_bytes IS NOT NULL AND v.created_by IS DISTINCT FROM 'worker'
   AND e.worker = %(worker)s;

-- name: has_kept_secret
SELECT to_regclass('server_secret') IS NOT NULL;

-- name: kept_secret
SELECT value FROM server_secret WHERE name = 'jwt_secret';
