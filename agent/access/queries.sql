-- name: secret
SELECT value FROM server_secret WHERE name = %(name)s;

-- name: make_secret
INSERT INTO server_secret (name, value) VALUES (%(name)s, %(value)s) ON CONFLICT (name) DO NOTHING;

-- name: identity_by_login
SELECT id, login, display_name, password_hash, frozen, attributes FROM identity WHERE login = %(login)s;

-- name: identity_by_id
SELECT id, login, display_name, password_hash, frozen, attributes FROM identity WHERE id = %(id)s;

-- name: account
-- An account with its permission sets, directly assigned and through roles: nearly every request asks for both.
SELECT i.id, i.login, i.display_name, i.password_hash, i.frozen, i.attributes,
       array(SELECT p.ref FROM permission_set p WHERE p.id = ANY (a.sets) ORDER BY p.ref) AS refs,
       array(SELECT p.grants FROM permission_set p WHERE p.id = ANY (a.sets) ORDER BY p.ref) AS grants
  FROM identity i
 CROSS JOIN LATERAL (
       SELECT array(SELECT permset FROM permission_assignment WHERE identity = i.id
                    UNION ALL
                    SELECT r.permset
                      FROM permission_set_role_assignment r
                      JOIN identity_role_assignment o ON o.role = r.role
                     WHERE o.identity = i.id) AS sets) a
 WHERE i.id = %(id)s;

-- name: sets_by_ref
SELECT ref, grants FROM permission_set WHERE ref = ANY (%(refs)s);

-- name: create_identity
INSERT INTO identity (login, display_name, password_hash, attributes)
VALUES (%(login)s, %(display_name)s, %(password_hash)s, %(attributes)s)
ON CONFLICT (login) DO NOTHING
RETURNING id;

-- name: set_password
UPDATE identity SET password_hash = %(hash)s WHERE id = %(id)s;

-- name: set_display_name
UPDATE identity SET display_name = %(display_name)s WHERE id = %(id)s;

-- name: assign_set
INSERT INTO permission_assignment (identity, permset)
SELECT %(identity)s, id FROM permission_set WHERE ref = %(ref)s
ON CONFLICT (identity, permset) DO NOTHING;

-- name: has_set
SELECT 1 FROM permission_set WHERE ref = %(ref)s;

-- name: add_refresh_token
INSERT INTO server_refresh_token (token_hash, family, identity, integration_token, expires_at)
VALUES (%(hash)s, %(family)s, %(identity)s, %(integration_token)s, to_timestamp(%(expires)s));

-- name: find_refresh_token
-- Locked: of two requests at once, the second one sees what the first has made of it.
SELECT t.family, t.identity, t.integration_token, i.login, i.frozen,
       extract(epoch FROM clock_timestamp() - t.replaced_at)::float8 AS replaced_for,
       t.expires_at < clock_timestamp() AS expired,
       coalesce(n.revoked_at IS NOT NULL OR n.expires_at < clock_timestamp(), false) AS revoked
  FROM server_refresh_token t
  JOIN identity i ON i.id = t.identity
  LEFT JOIN integration_token n ON n.id = t.integration_token
 WHERE t.token_hash = %(hash)s
   FOR UPDATE OF t;

-- name: replace_refresh_token
UPDATE server_refresh_token SET replaced_at = coalesce(replaced_at, clock_timestamp()) WHERE token_hash = %(hash)s;

-- name: revoke_family
DELETE FROM server_refresh_token WHERE family = %(family)s;

-- name: revoke_identity
DELETE FROM server_refresh_token WHERE identity = %(identity)s;

-- name: login_failures
SELECT kind, failures, extract(epoch FROM clock_timestamp() - latest)::float8 AS seconds
  FROM server_login_failure
 WHERE (kind = 'account' AND subject = %(account)s) OR (kind = 'address' AND subject = %(address)s);

-- name: note_failure
-- An hour without one forgets those before.
INSERT INTO server_login_failure AS f (kind, subject, failures)
VALUES ('account', %(account)s, 1), ('address', %(address)s, 1)
ON CONFLICT (kind, subject) DO UPDATE
   SET failures = CASE WHEN f.latest < clock_timestamp() - interval '1 hour' THEN 1 ELSE f.failures + 1 END,
       latest = clock_timestamp();

-- name: forget_failures
DELETE FROM server_login_failure WHERE kind = 'account' AND subject = %(account)s;

-- name: find_integration_token
SELECT t.id, t.identity, i.login, i.display_name, i.frozen,
       t.revoked_at IS NOT NULL OR coalesce(t.expires_at < clock_timestamp(), false) AS useless
  FROM integration_token t
  JOIN identity i ON i.id = t.identity
 WHERE t.token_hash = %(hash)s;

-- name: use_integration_token
UPDATE integration_token SET last_used_at = clock_timestamp(), last_used_ip = %(address)s WHERE id = %(id)s;

-- name: accounts
SELECT i.id, i.login, i.display_name, i.frozen, i.created,
       array(SELECT p.ref FROM permission_assignment a JOIN permission_set p ON p.id = a.permset
              WHERE a.identity = i.id ORDER BY p.ref) AS sets
  FROM identity i
 ORDER BY i.login;

-- name: freeze
UPDATE identity SET frozen = %(frozen)s WHERE id = %(id)s;
