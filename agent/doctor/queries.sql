-- name: clock_and_server
-- The clock, the version, and whether this connection is encrypted.
SELECT clock_timestamp(), current_setting('server_version'),
       coalesce((SELECT s.ssl FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()), false);

-- name: missing_permissions
-- What the agent does to each table, and may not; a table that is not there at all is listed whole.
SELECT needed.name || ' (' || needed.privilege || ')'
  FROM (VALUES ('worker', 'SELECT'), ('worker', 'INSERT'), ('worker', 'UPDATE'),
               ('runtime', 'SELECT'), ('runtime', 'INSERT'), ('runtime', 'UPDATE'),
               ('runtime_version', 'SELECT'), ('runtime_version', 'UPDATE'),
               ('execution', 'SELECT'), ('execution', 'UPDATE'),
               ('action', 'SELECT'), ('pack', 'SELECT'), ('key', 'SELECT'),
               ('artifact', 'SELECT'), ('artifact', 'INSERT'),
               ('artifact_version', 'INSERT')) AS needed (name, privilege)
 WHERE to_regclass(needed.name) IS NULL
    OR NOT has_table_privilege(to_regclass(needed.name), needed.privilege);
