-- name: clock_and_server
-- The clock, the version, and whether this connection is encrypted.
SELECT clock_timestamp() AS clock, current_setting('server_version') AS version,
       coalesce((SELECT s.ssl FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()), false) AS encrypted;

-- name: missing_permissions
-- What the agent does to each table, and may not; a table that is not there at all is listed whole.
SELECT needed.name || ' (' || needed.privilege || ')' AS permission
  FROM (SELECT name, unnest(string_to_array(privileges, ' ')) AS privilege
          FROM (VALUES ('worker', 'SELECT INSERT UPDATE'), ('runtime', 'SELECT INSERT'),
                       ('runtime_version', 'SELECT UPDATE'), ('execution', 'SELECT UPDATE'), ('action', 'SELECT'),
                       ('pack', 'SELECT'), ('key', 'SELECT'), ('enforcement', 'SELECT'),
                       ('artifact', 'SELECT INSERT UPDATE'), ('artifact_version', 'SELECT INSERT UPDATE DELETE'),
                       ('execution_secret_value', 'SELECT INSERT UPDATE'), ('pack_environment', 'SELECT INSERT UPDATE'),
                       ('worker_history', 'INSERT'), ('execution_history', 'INSERT'), ('audit_event', 'INSERT')
               ) AS tables (name, privileges)) AS needed
 WHERE to_regclass(needed.name) IS NULL
    OR NOT has_table_privilege(to_regclass(needed.name), needed.privilege)
UNION ALL
SELECT needed.name || ' (USAGE)'
  FROM (VALUES ('worker_id_seq'), ('runtime_id_seq'), ('artifact_id_seq'), ('artifact_version_id_seq'),
               ('execution_secret_value_id_seq'), ('pack_environment_id_seq'), ('audit_event_id_seq')
       ) AS needed (name)
 WHERE to_regclass(needed.name) IS NOT NULL
   AND NOT has_sequence_privilege(to_regclass(needed.name), 'USAGE');
