-- The hot path is three statements made of the four pieces below (see ``statements.py``): finish executions, claim others,
-- or both in one round trip and one commit.
--   $1 ids of the finished, $2 their statuses, $3 their results (a JSON array in the same order),
--   $4 whether ends may be written that need files to be measured, in a transaction that the caller has begun,
--   $5 ids to claim, $6 those of them that may be ours already, $7 the worker.
-- They are planned once, for a handful of ids: "is not distinct" and the status as text keep the planner from the indexes
-- that would make it read everything this worker ever ran.

-- name: finished
-- Only a row that is still ours and still running is finished: what somebody else wrote meanwhile stands.
-- With it come the files that the action allocated itself through the API: their sizes are known only now, and must be
-- written in the same transaction; without $4 such executions are left for the next one.
UPDATE execution e
   SET status = t.status::execution_status_enum, result = $3 -> (t.number::integer - 1)
  FROM unnest($1, $2) WITH ORDINALITY AS t(id, status, number)
  JOIN execution old ON old.id = t.id
 CROSS JOIN LATERAL (
       SELECT jsonb_agg(jsonb_build_object('id', v.id, 'artifact', v.artifact, 'execution', v.execution,
                                           'file_path', v.file_path, 'size_bytes', v.size_bytes)) AS allocated
         FROM artifact_version v
        WHERE v.execution = t.id AND v.file_path IS NOT NULL AND v.created_by IS DISTINCT FROM 'worker') AS files
 WHERE e.id = t.id AND e.worker IS NOT DISTINCT FROM $7 AND e.status::text IN ('running', 'canceling')
   AND ($4 OR files.allocated IS NULL)
RETURNING e.id AS finished_id, old.status::text AS previous, files.allocated, e.updated;

-- name: claimed
-- The conditional update is the claim : whoever changes the row runs the execution.
UPDATE execution
   SET status = 'running', started_at = now()
 WHERE id = ANY($5) AND worker IS NOT DISTINCT FROM $7
   AND (status::text = 'scheduled' OR (status::text = 'running' AND id = ANY($6)))
RETURNING id, action, action_ref, config, env_vars, parent, enforcement, executor, permission_set_refs,
          workflow_task, started_at;

-- name: claimed_rows
-- The stamps change whenever the action, and whenever its runtime or one of its versions does, so that nothing cached is
-- ever stale. Stored secrets come along: they may change at any time, and a statement of their own would cost more.
SELECT c.id AS execution_id, a.id AS action, c.action_ref, c.config, c.env_vars, c.parent, c.enforcement, c.executor,
       c.permission_set_refs, c.workflow_task, c.started_at, f.rule_ref, f.trigger_ref,
       p.action_ref AS parent_action_ref, a.xmin::text AS stamp,
       concat_ws('.', r.xmin::text,
                 (SELECT sum(v.xmin::text::bigint) FROM runtime_version v WHERE v.runtime = a.runtime)) AS runtime_stamp,
       (SELECT jsonb_agg(jsonb_build_object(
                   'owner_type', k.owner_type, 'ref', k.ref, 'name', k.name, 'encrypted', k.encrypted,
                   'encryption_key_hash', k.encryption_key_hash, 'value', k.value::text, 'owner_pack', k.owner_pack,
                   'owner_action', k.owner_action) ORDER BY k.owner_type, k.name)
          FROM key k
         WHERE k.owner_type = 'system'
            OR (k.owner_type = 'pack' AND k.owner_pack = a.pack)
            OR (k.owner_type = 'action' AND k.owner_action = a.id)) AS keys,
       (SELECT jsonb_agg(jsonb_build_object(
                   'json_path', s.json_path, 'encrypted_value', s.encrypted_value,
                   'encryption_key_hash', s.encryption_key_hash) ORDER BY s.json_path)
          FROM execution_secret_value s
         WHERE s.entity_type = 'execution_config' AND s.entity_id = c.id) AS cut_out
  FROM claimed c
  LEFT JOIN action a ON a.id = coalesce(c.action, (SELECT x.id FROM action x WHERE x.ref = c.action_ref))
  LEFT JOIN runtime r ON r.id = a.runtime
  LEFT JOIN enforcement f ON f.id = c.enforcement
  LEFT JOIN execution p ON p.id = c.parent;

-- name: finished_rows
SELECT finished_id, previous, allocated, updated FROM finished;

-- name: claimed_and_finished_rows
-- A join that never matches: each row is a claimed or a finished one, and the columns of the other are NULL.
SELECT * FROM ({claimed}) AS c FULL JOIN ({finished}) AS f ON false;

-- name: load_actions
SELECT id, ref, pack, pack_ref, entrypoint, runtime, runtime_version_constraint, is_adhoc, parameter_delivery,
       parameter_format, output_format, param_schema, out_schema, timeout_seconds, log_retention_policy::text,
       log_retention_limit
  FROM action
 WHERE id = ANY(%(ids)s::bigint[]);

-- name: unclaimed
-- Why a dispatch could not be claimed: a second delivery, cancelled meanwhile, given to another worker, or gone.
SELECT id, status::text, worker FROM execution WHERE id = ANY(%(ids)s::bigint[]);

-- name: cancel_unstarted
-- `canceling` when its dispatch arrives: nothing of it runs here, so it is over (promise: every execution ends).
UPDATE execution
   SET status = 'cancelled', result = %(result)s::jsonb
 WHERE id = %(id)s AND status = 'canceling' AND worker = %(worker)s
RETURNING id, action, action_ref, status::text, result, updated;

-- name: cancelled_unstarted
-- The update before may have been committed although its answer was lost.
SELECT id, action, action_ref, status::text, result, updated
  FROM execution
 WHERE id = %(id)s AND status = 'cancelled' AND worker = %(worker)s AND result = %(result)s::jsonb;

-- name: recorded_ends
SELECT id, status::text, result, updated FROM execution WHERE id = ANY(%(ids)s::bigint[]);

-- name: lock_log_artifacts
-- Two executions of one action that end at the same time must not make its log artifact twice, nor share a version.
SELECT pg_advisory_xact_lock(hashtextextended(ref, 0))
  FROM jsonb_to_recordset(%(logs)s::jsonb) AS t(ref text)
 GROUP BY ref
 ORDER BY ref;

-- name: upsert_log_artifacts
WITH wanted AS (
    SELECT DISTINCT ON (t.ref) t.ref, t.owner, t.name, t.description, t.policy::artifact_retention_enum AS policy, t.amount
      FROM jsonb_to_recordset(%(logs)s::jsonb)
           AS t(ref text, owner text, name text, description text, policy text, amount integer)
), refreshed AS (
    UPDATE artifact a
       SET retention_policy = w.policy, retention_limit = w.amount
      FROM wanted w
     WHERE a.ref = w.ref AND (a.retention_policy, a.retention_limit) IS DISTINCT FROM (w.policy, w.amount)
)
INSERT INTO artifact (ref, scope, owner, type, visibility, name, description, content_type, retention_policy, retention_limit)
SELECT w.ref, 'action', w.owner, 'file_text', 'private', w.name, w.description, 'text/plain', w.policy, w.amount
  FROM wanted w
 WHERE NOT EXISTS (SELECT 1 FROM artifact a WHERE a.ref = w.ref);

-- name: lock_artifact_versions
-- The reference serialises the numbering of versions by this lock.
SELECT pg_advisory_xact_lock(id) FROM (
    SELECT min(a.id) AS id
      FROM artifact a
      JOIN jsonb_to_recordset(%(logs)s::jsonb) AS t(ref text) ON t.ref = a.ref
     GROUP BY a.ref
     ORDER BY 1) AS artifacts;

-- name: insert_log_versions
-- The path of a version's file follows from its number, hence it is made here; one that went over HTTP has its path.
WITH logs AS (
    SELECT t.execution, t.stream, t.size_bytes, t.ref, t.file_path, (SELECT min(a.id) FROM artifact a WHERE a.ref = t.ref) AS artifact
      FROM jsonb_to_recordset(%(logs)s::jsonb) AS t(execution bigint, stream text, size_bytes bigint, ref text, file_path text)
     WHERE NOT EXISTS (
           SELECT 1 FROM artifact_version v
            WHERE v.execution = t.execution AND v.created_by = 'worker' AND v.meta ->> 'stream' = t.stream)
), numbered AS (
    SELECT l.execution, l.stream, l.size_bytes, l.artifact, l.ref, l.file_path,
           row_number() OVER (PARTITION BY l.artifact ORDER BY l.execution)
           + coalesce((SELECT max(v.version) FROM artifact_version v WHERE v.artifact = l.artifact), 0) AS version
      FROM logs l
)
INSERT INTO artifact_version (artifact, version, execution, content_type, size_bytes, file_path, meta, created_by)
SELECT n.artifact, n.version, n.execution, 'text/plain', n.size_bytes,
       coalesce(n.file_path, replace(n.ref, '.', '/') || '/v' || n.version || '.txt'),
       jsonb_build_object('stream', n.stream, 'execution_id', n.execution), 'worker'
  FROM numbered n
RETURNING id, execution, meta ->> 'stream' AS stream, file_path;

-- name: measure_versions
UPDATE artifact_version v
   SET size_bytes = t.size_bytes
  FROM jsonb_to_recordset(%(sizes)s::jsonb) AS t(id bigint, size_bytes bigint)
 WHERE v.id = t.id;

-- name: measure_latest
UPDATE artifact a
   SET size_bytes = v.size_bytes
  FROM (SELECT DISTINCT ON (artifact) artifact, size_bytes
          FROM artifact_version
         WHERE artifact = ANY(%(artifacts)s::bigint[])
         ORDER BY artifact, version DESC) AS v
 WHERE a.id = v.artifact;

-- name: delete_versions
DELETE FROM artifact_version WHERE id = ANY(%(ids)s::bigint[]);

-- name: store_result_secret
INSERT INTO execution_secret_value
       (entity_type, entity_id, json_path, source_kind, source_ref, encrypted_value, encryption_key_hash)
VALUES ('execution_result', %(execution)s, %(json_path)s, 'parameter_schema', %(source_ref)s, %(value)s::jsonb, %(hash)s)
ON CONFLICT (entity_type, entity_id, json_path)
DO UPDATE SET encrypted_value = EXCLUDED.encrypted_value, encryption_key_hash = EXCLUDED.encryption_key_hash,
              source_ref = EXCLUDED.source_ref;

-- name: log_paths
SELECT id, execution, meta ->> 'stream' AS stream, file_path
  FROM artifact_version
 WHERE execution = ANY(%(ids)s::bigint[]) AND created_by = 'worker' AND file_path IS NOT NULL;

-- name: session
SELECT a.pid, a.backend_start, clock_timestamp() AS at
  FROM pg_stat_activity a
 WHERE a.pid = pg_backend_pid();

-- name: overdue
-- Whose dispatch must have been lost: expired, dead-lettered, unroutable. The claim makes sure that none runs twice.
SELECT id
  FROM execution
 WHERE worker = %(worker)s AND status IN ('scheduled', 'canceling') AND updated < now() - interval '10 seconds'
   AND (status = 'scheduled' OR started_at IS NULL)
 ORDER BY id
 LIMIT %(count)s;

-- name: unclaim
UPDATE execution
   SET status = 'scheduled', started_at = NULL
 WHERE id = ANY(%(ids)s::bigint[]) AND worker = %(worker)s AND status = 'running'
RETURNING id;

-- name: abandon_unknown
-- A claim of an earlier life that was committed only after this life had looked for what that one left.
UPDATE execution
   SET status = 'abandoned', result = %(result)s::jsonb
 WHERE id = %(id)s AND status = 'running' AND worker = %(worker)s AND started_at < %(began)s
RETURNING id, action, action_ref, status::text AS status, result, updated;

-- name: abandoned_unknown
-- The update before may have been committed although its answer was lost.
SELECT id, action, action_ref, status::text AS status, result, updated
  FROM execution
 WHERE id = %(id)s AND status = 'abandoned' AND worker = %(worker)s AND result = %(result)s::jsonb;

-- name: mine
SELECT id FROM execution WHERE id = ANY(%(ids)s::bigint[]) AND worker = %(worker)s;

-- name: orphaned
-- Executions that the previous process of this worker left behind; one that is being cancelled may never have started.
SELECT e.id, coalesce(e.action, a.id) AS action, e.action_ref, e.status::text
  FROM execution e
  LEFT JOIN action a ON a.ref = e.action_ref
 WHERE e.worker = %(worker)s AND e.status IN ('running', 'canceling')
 ORDER BY e.id;

-- name: recently_ended
-- Their completions may never have been published (promise: commit before publish).
-- What a monitor ended, the monitor has announced.
SELECT e.id, coalesce(e.action, a.id) AS action, e.action_ref, e.status::text, e.result, e.updated
  FROM execution e
  LEFT JOIN action a ON a.ref = e.action_ref
 WHERE e.worker = %(worker)s AND (e.started_at IS NOT NULL OR e.result ? 'cause') AND e.updated >= %(since)s
   AND e.status IN ('completed', 'failed', 'cancelled', 'timeout', 'abandoned')
   AND NOT coalesce(e.result ?| ARRAY['abandoned_by', 'corrected_by', 'failed_by'], false)
 ORDER BY e.updated, e.id;

-- name: hand_back
UPDATE execution
   SET status = 'requested', worker = NULL
 WHERE status = 'scheduled' AND worker = %(worker)s
RETURNING id, action, action_ref, parent, enforcement, config, updated;

-- name: has_scheduled
SELECT EXISTS (SELECT 1 FROM execution WHERE status = 'scheduled' AND worker = %(worker)s) AS found;

-- name: other_live_workers
SELECT count(*) AS number
  FROM worker
 WHERE worker_role = 'action' AND status = 'active' AND NOT cordoned AND id <> %(worker)s
   AND last_heartbeat > now() - interval '90 seconds';
