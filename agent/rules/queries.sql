-- name: take_events
-- Events that nobody has in hand, oldest first; they stay taken until the transaction ends.
SELECT event FROM server_event WHERE processed IS NULL ORDER BY event LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: event_for_rules
SELECT e.id, e.trigger, e.trigger_ref, e.payload, e.created, e.rule, e.rule_ref, t.enabled AS trigger_enabled,
       t.out_schema
  FROM event e
  LEFT JOIN trigger t ON t.id = e.trigger
 WHERE e.id = %(id)s;

-- name: rules_of_event
-- Kept from being deleted until what they start is written.
SELECT r.id, r.ref, r.pack_ref, r.trigger_ref, r.enabled, r.conditions, r.action_params, r.permission_set_refs,
       r.owner_identity, a.ref AS action_ref, a.param_schema, p.config AS pack_config, p.conf_schema AS pack_schema
  FROM rule r
  JOIN pack p ON p.id = r.pack
  LEFT JOIN action a ON a.id = r.action
 WHERE r.enabled AND r.trigger_ref = %(trigger_ref)s AND (%(rule)s::bigint IS NULL OR r.id = %(rule)s)
 ORDER BY r.id
   FOR KEY SHARE OF r;

-- name: enforce
-- Once a rule and event, whoever else tries.
INSERT INTO enforcement (rule, rule_ref, trigger_ref, config, event, status, payload, condition, conditions, resolved_at)
VALUES (%(rule)s, %(rule_ref)s, %(trigger_ref)s, %(config)s::jsonb, %(event)s, %(status)s::enforcement_status_enum,
        coalesce(%(payload)s::jsonb, 'null'::jsonb), 'all', %(conditions)s::jsonb, clock_timestamp())
ON CONFLICT (rule, event) WHERE rule IS NOT NULL AND event IS NOT NULL DO NOTHING
RETURNING id;

-- name: note_failure
INSERT INTO server_enforcement (enforcement, stage, error, path, kind)
VALUES (%(enforcement)s, %(stage)s, %(error)s, %(path)s, %(kind)s)
ON CONFLICT (enforcement) DO NOTHING;

-- name: keep_secret
INSERT INTO execution_secret_value
       (entity_type, entity_id, json_path, source_kind, source_ref, encrypted_value, encryption_key_hash)
VALUES ('enforcement_config', %(id)s, %(path)s, 'parameter_schema', %(path)s, %(value)s::jsonb, %(hash)s)
ON CONFLICT DO NOTHING;

-- name: event_done
UPDATE server_event
   SET processed = clock_timestamp(), rules = %(rules)s, matched = %(matched)s, failed = %(failed)s, note = %(note)s
 WHERE event = %(event)s;

-- name: register_part
INSERT INTO server_part (name) VALUES ('rules') ON CONFLICT DO NOTHING;

-- name: forget_processed
-- What is said of events that are gone, or long over.
DELETE FROM server_event
 WHERE event IN (SELECT s.event FROM server_event s
                  WHERE s.processed < now() - interval '30 days' ORDER BY s.processed LIMIT 1000);

-- name: forget_deliveries
DELETE FROM server_webhook_delivery
 WHERE (trigger, delivery) IN (SELECT d.trigger, d.delivery FROM server_webhook_delivery d
                                WHERE d.created < now() - interval '1 day' ORDER BY d.created LIMIT 1000);

-- name: forget_event_keys
DELETE FROM server_event_key
 WHERE (identity, key) IN (SELECT k.identity, k.key FROM server_event_key k
                            WHERE k.created < now() - interval '1 day' ORDER BY k.created LIMIT 100000);

-- name: rule
SELECT r.id, r.ref, r.pack, r.pack_ref, r.label, r.description, r.action, r.action_ref, r.trigger, r.trigger_ref,
       r.conditions, r.action_params, r.trigger_params, r.permission_set_refs, r.enabled, r.is_adhoc, r.owner_identity,
       r.created, r.updated
  FROM rule r
 WHERE r.ref = %(ref)s;

-- name: list_rules
SELECT r.id, r.ref, r.pack, r.pack_ref, r.label, r.description, r.action, r.action_ref, r.trigger, r.trigger_ref,
       r.conditions, r.action_params, r.trigger_params, r.permission_set_refs, r.enabled, r.is_adhoc, r.owner_identity,
       r.created, r.updated
  FROM rule r
 WHERE (%(pack_ref)s::text IS NULL OR r.pack_ref = %(pack_ref)s)
   AND (%(action_ref)s::text IS NULL OR r.action_ref = %(action_ref)s)
   AND (%(trigger_ref)s::text IS NULL OR r.trigger_ref = %(trigger_ref)s)
   AND (%(enabled)s::boolean IS NULL OR r.enabled = %(enabled)s)
 ORDER BY r.ref
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_rules
SELECT count(1) AS total
  FROM rule r
 WHERE (%(pack_ref)s::text IS NULL OR r.pack_ref = %(pack_ref)s)
   AND (%(action_ref)s::text IS NULL OR r.action_ref = %(action_ref)s)
   AND (%(trigger_ref)s::text IS NULL OR r.trigger_ref = %(trigger_ref)s)
   AND (%(enabled)s::boolean IS NULL OR r.enabled = %(enabled)s);

-- name: rules_of_trigger
-- What a sensor is told of the rules of its trigger.
SELECT r.id, r.ref, r.trigger_ref, r.enabled, r.trigger_params, r.created, r.updated
  FROM rule r
 WHERE r.trigger_ref = %(trigger_ref)s
 ORDER BY r.id
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: rules_version
-- Changes with whatever a sensor is told.
SELECT md5(coalesce((SELECT t.enabled::text FROM trigger t WHERE t.ref = %(trigger_ref)s), '')
           || coalesce(string_agg(r.id || ':' || r.enabled || ':' || coalesce(r.trigger_params::text, ''), ','
                                  ORDER BY r.id), '')) AS version,
       count(r.id) AS total
  FROM rule r
 WHERE r.trigger_ref = %(trigger_ref)s;

-- name: create_rule
INSERT INTO rule (ref, pack, pack_ref, label, description, action, action_ref, trigger, trigger_ref, conditions,
                  action_params, trigger_params, permission_set_refs, enabled, is_adhoc, owner_identity)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(label)s, %(description)s, %(action)s, %(action_ref)s, %(trigger)s,
        %(trigger_ref)s, %(conditions)s::jsonb, %(action_params)s::jsonb, %(trigger_params)s::jsonb,
        %(permission_set_refs)s, %(enabled)s, true, %(owner)s)
RETURNING id;

-- name: update_rule
UPDATE rule
   SET label = %(label)s, description = %(description)s, action = %(action)s, action_ref = %(action_ref)s,
       trigger = %(trigger)s, trigger_ref = %(trigger_ref)s, conditions = %(conditions)s::jsonb,
       action_params = %(action_params)s::jsonb, trigger_params = %(trigger_params)s::jsonb,
       permission_set_refs = %(permission_set_refs)s, enabled = %(enabled)s
 WHERE id = %(id)s;

-- name: switch_rule
UPDATE rule SET enabled = %(enabled)s WHERE ref = %(ref)s
RETURNING id, ref, pack_ref, trigger_ref, trigger_params;

-- name: delete_rule
DELETE FROM rule WHERE ref = %(ref)s RETURNING id;

-- name: target_action
SELECT id, ref, param_schema FROM action WHERE ref = %(ref)s;

-- name: target_trigger
SELECT id, ref, param_schema FROM trigger WHERE ref = %(ref)s;

-- name: target_pack
SELECT id, ref FROM pack WHERE ref = %(ref)s;

-- name: trigger
SELECT t.id, t.ref, t.pack, t.pack_ref, t.label, t.description, t.enabled, t.is_adhoc, t.param_schema, t.out_schema,
       t.webhook_enabled, t.webhook_key, t.sensor, t.sensor_ref, t.created, t.updated
  FROM trigger t
 WHERE t.ref = %(ref)s;

-- name: list_triggers
SELECT t.id, t.ref, t.pack, t.pack_ref, t.label, t.description, t.enabled, t.is_adhoc, t.webhook_enabled, t.sensor,
       t.sensor_ref, t.created, t.updated
  FROM trigger t
 WHERE (%(pack_ref)s::text IS NULL OR t.pack_ref = %(pack_ref)s)
   AND (%(enabled)s::boolean IS NULL OR t.enabled = %(enabled)s)
 ORDER BY t.ref
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_triggers
SELECT count(1) AS total
  FROM trigger t
 WHERE (%(pack_ref)s::text IS NULL OR t.pack_ref = %(pack_ref)s)
   AND (%(enabled)s::boolean IS NULL OR t.enabled = %(enabled)s);

-- name: create_trigger
INSERT INTO trigger (ref, pack, pack_ref, label, description, enabled, is_adhoc, param_schema, out_schema)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(label)s, %(description)s, %(enabled)s, true, %(param_schema)s::jsonb,
        %(out_schema)s::jsonb)
RETURNING id;

-- name: update_trigger
UPDATE trigger
   SET label = coalesce(%(label)s, label),
       description = CASE WHEN %(set_description)s THEN %(description)s ELSE description END,
       param_schema = CASE WHEN %(set_param_schema)s THEN %(param_schema)s::jsonb ELSE param_schema END,
       out_schema = CASE WHEN %(set_out_schema)s THEN %(out_schema)s::jsonb ELSE out_schema END,
       enabled = coalesce(%(enabled)s, enabled)
 WHERE ref = %(ref)s;

-- name: switch_trigger
UPDATE trigger SET enabled = %(enabled)s WHERE ref = %(ref)s RETURNING id;

-- name: delete_trigger
DELETE FROM trigger WHERE ref = %(ref)s RETURNING id;

-- name: sensor
SELECT s.id, s.ref, s.pack, s.pack_ref, s.label, s.description, s.entrypoint, s.runtime, s.runtime_ref,
       s.runtime_version_constraint, s.enabled, s.is_adhoc, s.param_schema, s.config, s.worker_selector,
       s.worker_tolerations, s.worker_affinity, s.log_retention_policy::text AS log_retention_policy,
       s.log_retention_limit, s.artifact_retention_policy::text AS artifact_retention_policy,
       s.artifact_retention_limit, s.created, s.updated,
       coalesce((SELECT jsonb_agg(t.ref ORDER BY t.ref) FROM trigger t WHERE t.sensor = s.id), '[]') AS trigger_refs,
       coalesce((SELECT jsonb_agg(jsonb_build_object(
                     'worker', p.worker_name, 'status', p.status, 'pid', p.pid,
                     'consecutive_failures', p.consecutive_failures, 'last_exit_code', p.last_exit_code,
                     'last_signal', p.last_signal, 'last_started_at', p.last_started_at,
                     'last_stopped_at', p.last_stopped_at, 'next_restart_at', p.next_restart_at,
                     'active_rule_count', p.active_rule_count, 'stderr_excerpt', p.stderr_excerpt,
                     'reason', p.meta -> 'reason')
                     ORDER BY p.worker_name)
                   FROM sensor_process p WHERE p.sensor = s.id), '[]') AS processes
  FROM sensor s
 WHERE s.ref = %(ref)s;

-- name: list_sensors
SELECT s.id, s.ref, s.pack, s.pack_ref, s.label, s.description, s.entrypoint, s.runtime, s.runtime_ref,
       s.enabled, s.created, s.updated,
       coalesce((SELECT jsonb_agg(t.ref ORDER BY t.ref) FROM trigger t WHERE t.sensor = s.id), '[]') AS trigger_refs,
       (SELECT string_agg(DISTINCT p.status::text, ', ') FROM sensor_process p WHERE p.sensor = s.id) AS process_status
  FROM sensor s
 WHERE (%(pack_ref)s::text IS NULL OR s.pack_ref = %(pack_ref)s)
   AND (%(enabled)s::boolean IS NULL OR s.enabled = %(enabled)s)
   AND (%(trigger_ref)s::text IS NULL
        OR s.id = (SELECT t.sensor FROM trigger t WHERE t.ref = %(trigger_ref)s))
 ORDER BY s.ref
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_sensors
SELECT count(1) AS total
  FROM sensor s
 WHERE (%(pack_ref)s::text IS NULL OR s.pack_ref = %(pack_ref)s)
   AND (%(enabled)s::boolean IS NULL OR s.enabled = %(enabled)s)
   AND (%(trigger_ref)s::text IS NULL
        OR s.id = (SELECT t.sensor FROM trigger t WHERE t.ref = %(trigger_ref)s));

-- name: create_sensor
INSERT INTO sensor (ref, pack, pack_ref, label, description, entrypoint, runtime, runtime_ref, enabled, is_adhoc,
                    param_schema, config, runtime_version_constraint, worker_selector, worker_tolerations,
                    worker_affinity, log_retention_policy, log_retention_limit, artifact_retention_policy,
                    artifact_retention_limit)
VALUES (%(ref)s, %(pack)s, %(pack_ref)s, %(label)s, %(description)s, %(entrypoint)s, %(runtime)s, %(runtime_ref)s,
        %(enabled)s, true, %(param_schema)s::jsonb, %(config)s::jsonb, %(runtime_version_constraint)s,
        %(worker_selector)s::jsonb, %(worker_tolerations)s::jsonb, %(worker_affinity)s::jsonb,
        %(log_retention_policy)s::artifact_retention_enum, %(log_retention_limit)s,
        %(artifact_retention_policy)s::artifact_retention_enum, %(artifact_retention_limit)s)
RETURNING id;

-- name: update_sensor
UPDATE sensor
   SET label = %(label)s, description = %(description)s, entrypoint = %(entrypoint)s, runtime = %(runtime)s,
       runtime_ref = %(runtime_ref)s, enabled = %(enabled)s, param_schema = %(param_schema)s::jsonb,
       config = %(config)s::jsonb, runtime_version_constraint = %(runtime_version_constraint)s,
       worker_selector = %(worker_selector)s::jsonb, worker_tolerations = %(worker_tolerations)s::jsonb,
       worker_affinity = %(worker_affinity)s::jsonb,
       log_retention_policy = %(log_retention_policy)s::artifact_retention_enum,
       log_retention_limit = %(log_retention_limit)s,
       artifact_retention_policy = %(artifact_retention_policy)s::artifact_retention_enum,
       artifact_retention_limit = %(artifact_retention_limit)s
 WHERE id = %(id)s;

-- name: delete_api_sensor
WITH unlinked AS (UPDATE trigger SET sensor = NULL, sensor_ref = NULL WHERE sensor = %(id)s)
DELETE FROM sensor WHERE id = %(id)s;

-- name: triggers_to_link
SELECT wanted.ref, t.id, t.pack_ref, t.sensor, t.sensor_ref
  FROM unnest(%(refs)s::text[]) AS wanted (ref)
  LEFT JOIN trigger t ON t.ref = wanted.ref
 ORDER BY wanted.ref;

-- name: link_refs
UPDATE trigger SET sensor = %(sensor)s, sensor_ref = %(sensor_ref)s
 WHERE ref = ANY(%(refs)s::text[]) AND sensor IS DISTINCT FROM %(sensor)s;

-- name: unlink_others
UPDATE trigger SET sensor = NULL, sensor_ref = NULL WHERE sensor = %(sensor)s AND ref <> ALL(%(refs)s::text[]);

-- name: switch_sensor
UPDATE sensor SET enabled = %(enabled)s WHERE ref = %(ref)s RETURNING id;

-- name: insert_event
INSERT INTO event (trigger, trigger_ref, config, payload, source, source_ref, rule, rule_ref)
SELECT t.id, t.ref, %(config)s::jsonb, %(payload)s::jsonb, (SELECT s.id FROM sensor s WHERE s.ref = %(sensor_ref)s),
       %(source_ref)s, %(rule)s, %(rule_ref)s
  FROM trigger t
 WHERE t.ref = %(trigger_ref)s
RETURNING id, trigger, created;

-- name: claim_event_key
-- Whoever sends the same at the same time waits here for the first one.
INSERT INTO server_event_key (identity, key) VALUES (%(identity)s, %(key)s)
ON CONFLICT DO NOTHING
RETURNING key;

-- name: event_of_key
SELECT event FROM server_event_key WHERE identity = %(identity)s AND key = %(key)s AND event IS NOT NULL;

-- name: name_event_key
UPDATE server_event_key SET event = %(event)s WHERE identity = %(identity)s AND key = %(key)s;

-- name: rule_of_id
SELECT id, ref, trigger_ref FROM rule WHERE id = %(id)s;

-- name: event
SELECT e.id, e.trigger, e.trigger_ref, e.config, e.payload, e.source, e.source_ref, e.rule, e.rule_ref, e.created,
       t.out_schema, s.event IS NOT NULL AS known, s.processed, s.rules, s.matched, s.failed, s.note
  FROM event e
  LEFT JOIN trigger t ON t.id = e.trigger
  LEFT JOIN server_event s ON s.event = e.id
 WHERE e.id = %(id)s;

-- name: list_events
SELECT e.id, e.trigger, e.trigger_ref, e.source, e.source_ref, e.rule, e.rule_ref, e.created,
       e.payload IS NOT NULL AS has_payload, s.matched, s.failed
  FROM event e
  LEFT JOIN server_event s ON s.event = e.id
 WHERE (%(trigger)s::bigint IS NULL OR e.trigger = %(trigger)s)
   AND (%(trigger_ref)s::text IS NULL OR e.trigger_ref LIKE %(trigger_ref)s)
   AND (%(rule_ref)s::text IS NULL OR e.rule_ref = %(rule_ref)s)
   AND (%(source)s::bigint IS NULL OR e.source = %(source)s)
 ORDER BY e.created DESC, e.id DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_events
SELECT count(1) AS total
  FROM event e
 WHERE (%(trigger)s::bigint IS NULL OR e.trigger = %(trigger)s)
   AND (%(trigger_ref)s::text IS NULL OR e.trigger_ref LIKE %(trigger_ref)s)
   AND (%(rule_ref)s::text IS NULL OR e.rule_ref = %(rule_ref)s)
   AND (%(source)s::bigint IS NULL OR e.source = %(source)s);

-- name: enforcement
SELECT e.id, e.rule, e.rule_ref, e.trigger_ref, e.config, e.event, e.status::text AS status, e.payload,
       e.condition::text AS condition, e.conditions, e.created, e.resolved_at,
       f.stage AS failed_stage, f.error, f.path AS failed_path, f.kind AS failed_kind,
       (SELECT x.id FROM execution x WHERE x.enforcement = e.id AND x.parent IS NULL ORDER BY x.id LIMIT 1) AS execution
  FROM enforcement e
  LEFT JOIN server_enforcement f ON f.enforcement = e.id
 WHERE e.id = %(id)s;

-- name: list_enforcements
SELECT e.id, e.rule, e.rule_ref, e.trigger_ref, e.event, e.status::text AS status, e.condition::text AS condition,
       e.created, e.resolved_at, f.error
  FROM enforcement e
  LEFT JOIN server_enforcement f ON f.enforcement = e.id
 WHERE (%(rule)s::bigint IS NULL OR e.rule = %(rule)s)
   AND (%(event)s::bigint IS NULL OR e.event = %(event)s)
   AND (%(status)s::text IS NULL OR e.status::text = %(status)s)
   AND (%(trigger_ref)s::text IS NULL OR e.trigger_ref = %(trigger_ref)s)
   AND (%(rule_ref)s::text IS NULL OR e.rule_ref = %(rule_ref)s)
 ORDER BY e.created DESC, e.id DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_enforcements
SELECT count(1) AS total
  FROM enforcement e
 WHERE (%(rule)s::bigint IS NULL OR e.rule = %(rule)s)
   AND (%(event)s::bigint IS NULL OR e.event = %(event)s)
   AND (%(status)s::text IS NULL OR e.status::text = %(status)s)
   AND (%(trigger_ref)s::text IS NULL OR e.trigger_ref = %(trigger_ref)s)
   AND (%(rule_ref)s::text IS NULL OR e.rule_ref = %(rule_ref)s);

-- name: rules_to_explain
-- All rules of a trigger, also those that are off; none of them is kept from being deleted.
SELECT r.id, r.ref, r.pack_ref, r.trigger_ref, r.enabled, r.conditions, r.action_params, r.permission_set_refs,
       r.owner_identity, a.ref AS action_ref, a.param_schema, p.config AS pack_config, p.conf_schema AS pack_schema
  FROM rule r
  JOIN pack p ON p.id = r.pack
  LEFT JOIN action a ON a.id = r.action
 WHERE r.trigger_ref = %(trigger_ref)s
 ORDER BY r.ref
 LIMIT 200;

-- name: enforcements_of_event
SELECT e.id, e.rule, e.rule_ref, e.status::text AS status, f.error,
       x.id AS execution, x.status::text AS execution_status
  FROM enforcement e
  LEFT JOIN server_enforcement f ON f.enforcement = e.id
  LEFT JOIN execution x ON x.enforcement = e.id AND x.parent IS NULL
 WHERE e.event = %(event)s
 ORDER BY e.id
 LIMIT 1000;

-- name: event_record
SELECT s.event IS NOT NULL AS known, s.processed, s.matched, s.failed, s.note
  FROM event e
  LEFT JOIN server_event s ON s.event = e.id
 WHERE e.id = %(id)s;

-- name: webhook
SELECT t.id, t.ref, t.webhook_config FROM trigger t WHERE t.webhook_key = %(key)s AND t.webhook_enabled;

-- name: webhook_config
SELECT t.webhook_config FROM trigger t WHERE t.ref = %(ref)s FOR UPDATE;

-- name: set_webhook
UPDATE trigger
   SET webhook_enabled = %(enabled)s, webhook_key = %(key)s,
       webhook_config = coalesce(%(config)s::jsonb, webhook_config)
 WHERE ref = %(ref)s;

-- name: webhook_rate
-- Whether an address has sent as much as it may; what was refused for that doesn't count.
SELECT count(*) >= %(requests)s AS over,
       EXISTS (SELECT FROM webhook_event_log l
                WHERE l.trigger_id = %(trigger)s AND l.webhook_key = %(key)s AND l.source_ip = %(address)s
                  AND l.rate_limited AND l.created > now() - make_interval(secs => %(seconds)s)) AS told
  FROM (SELECT 1 FROM webhook_event_log l
         WHERE l.trigger_id = %(trigger)s AND l.webhook_key = %(key)s AND l.source_ip = %(address)s
           AND NOT l.rate_limited AND l.created > now() - make_interval(secs => %(seconds)s)
         LIMIT %(requests)s) AS counted;

-- name: claim_delivery
-- Whoever sends the same at the same time waits here for the first one.
INSERT INTO server_webhook_delivery (trigger, delivery) VALUES (%(trigger)s, %(delivery)s)
ON CONFLICT DO NOTHING
RETURNING delivery;

-- name: known_delivery
SELECT event FROM server_webhook_delivery WHERE trigger = %(trigger)s AND delivery = %(delivery)s;

-- name: name_delivery
UPDATE server_webhook_delivery SET event = %(event)s WHERE trigger = %(trigger)s AND delivery = %(delivery)s;

-- name: log_webhook
INSERT INTO webhook_event_log (trigger_id, trigger_ref, webhook_key, event_id, source_ip, user_agent,
                               payload_size_bytes, headers, status_code, error_message, processing_time_ms,
                               hmac_verified, rate_limited, ip_allowed)
VALUES (%(trigger)s, %(trigger_ref)s, %(key)s, %(event)s, %(address)s, %(agent)s, %(size)s, %(headers)s, %(status)s,
        %(error)s, %(milliseconds)s, %(verified)s, %(limited)s, %(allowed)s);

-- name: forget_webhook_log
DELETE FROM webhook_event_log
 WHERE id IN (SELECT l.id FROM webhook_event_log l WHERE l.created < now() - interval '30 days' LIMIT 1000);

-- name: sensor_identity
INSERT INTO identity (login, display_name, attributes)
VALUES (%(login)s, %(login)s, '{"type": "sensor"}')
ON CONFLICT (login) DO UPDATE SET login = excluded.login
RETURNING id, frozen;
