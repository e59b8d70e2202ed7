-- name: InsertRegistration :exec
INSERT INTO registration (id, email, locale, password_hash, created_at, expires_at)
VALUES (sqlc.arg(id), sqlc.arg(email), sqlc.arg(locale), sqlc.arg(password_hash), sqlc.arg(created_at), sqlc.arg(expires_at));

-- name: Registration :one
SELECT id, email, locale, password_hash, created_at, expires_at, verified_at FROM registration WHERE id = sqlc.arg(id);

-- name: PendingRegistrations :many
SELECT id, email, locale, password_hash, created_at, expires_at, verified_at FROM registration
 WHERE email = sqlc.arg(email) AND verified_at IS NULL AND expires_at > CAST(sqlc.arg(now) AS BIGINT)
 ORDER BY id DESC LIMIT 10;

-- name: VerifyRegistration :execrows
UPDATE registration SET verified_at = CAST(sqlc.arg(now) AS BIGINT) WHERE id = sqlc.arg(id) AND verified_at IS NULL;

-- name: DropRegistration :execrows
DELETE FROM registration WHERE id = sqlc.arg(id) AND verified_at IS NULL;

-- name: InsertMailedLink :exec
INSERT INTO mailed_link (id, purpose, email, subject, nonce, created_at, expires_at)
VALUES (sqlc.arg(id), sqlc.arg(purpose), sqlc.arg(email), sqlc.arg(subject), sqlc.arg(nonce), sqlc.arg(created_at),
        sqlc.arg(expires_at));

-- name: MailedLink :one
SELECT id, purpose, email, subject, nonce, created_at, expires_at, used_at FROM mailed_link WHERE id = sqlc.arg(id);

-- name: UseMailedLink :execrows
UPDATE mailed_link SET used_at = CAST(sqlc.arg(now) AS BIGINT)
 WHERE id = sqlc.arg(id) AND used_at IS NULL AND expires_at > CAST(sqlc.arg(now) AS BIGINT);

-- name: EndMailedLinks :exec
UPDATE mailed_link SET used_at = CAST(sqlc.arg(now) AS BIGINT) WHERE subject = sqlc.arg(subject) AND used_at IS NULL;

-- name: CountMailedLinks :one
SELECT count(*) FROM mailed_link WHERE email = sqlc.arg(email) AND created_at > sqlc.arg(since);

-- name: ReserveAttempt :one
INSERT INTO sign_in_attempt (email_hash, failures, last_at) VALUES (sqlc.arg(email_hash), 1, sqlc.arg(now))
ON CONFLICT (email_hash) DO UPDATE SET failures = sign_in_attempt.failures + 1, last_at = excluded.last_at
RETURNING failures;

-- name: Attempts :many
SELECT failures FROM sign_in_attempt WHERE email_hash = sqlc.arg(email_hash);

-- name: ReturnAttempt :exec
UPDATE sign_in_attempt SET failures = failures - 1 WHERE email_hash = sqlc.arg(email_hash) AND failures > 0;

-- name: ClearAttempts :execrows
DELETE FROM sign_in_attempt WHERE email_hash = sqlc.arg(email_hash);

-- name: PersonByEmail :many
SELECT id, account_id, email, name, password_hash, roles, state, created_at, kind, name_key, contact, description, locale,
       ends_at, locked_at, created_by
  FROM account_user WHERE email = sqlc.arg(email) AND kind = 'standard';

-- name: LockPerson :execrows
UPDATE account_user SET locked_at = CAST(sqlc.arg(now) AS BIGINT) WHERE id = sqlc.arg(id) AND locked_at IS NULL;

-- name: UnlockPerson :execrows
UPDATE account_user SET locked_at = NULL WHERE id = sqlc.arg(id) AND locked_at IS NOT NULL;

-- name: NamePerson :execrows
UPDATE account_user SET name = sqlc.arg(name), name_key = sqlc.arg(name_key), locale = sqlc.arg(locale)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state <> 'deleted';

-- name: AssignRoles :execrows
UPDATE account_user SET roles = sqlc.arg(to_roles)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND roles = sqlc.arg(from_roles) AND state <> 'deleted';

-- name: NameAccount :execrows
UPDATE account SET name = sqlc.arg(name) WHERE id = sqlc.arg(id) AND state <> 'deleted';

-- name: LockAccount :one
SELECT id, name, state, created_at, starts_at, ends_at FROM account WHERE id = sqlc.arg(id) FOR UPDATE;

-- name: CountAdministrators :one
SELECT count(*) FROM account_user
 WHERE account_id = sqlc.arg(account_id) AND id <> sqlc.arg(without) AND kind = 'standard' AND state = 'active'
   AND (ends_at IS NULL OR ends_at > CAST(sqlc.arg(now) AS BIGINT))
   AND ' ' || roles || ' ' LIKE '% administrator %';

-- name: InsertPerson :exec
INSERT INTO person (user_id, stage) VALUES (sqlc.arg(user_id), sqlc.arg(stage)) ON CONFLICT (user_id) DO NOTHING;

-- name: CountInvitedAdministrators :one
SELECT count(*) FROM invitation
 WHERE account_id = sqlc.arg(account_id) AND state = 'pending' AND expires_at > CAST(sqlc.arg(now) AS BIGINT)
   AND ' ' || roles || ' ' LIKE '% administrator %';

-- name: PendingInvitationsTo :one
SELECT count(*) FROM invitation
 WHERE account_id = sqlc.arg(account_id) AND email = sqlc.arg(email) AND state = 'pending'
   AND expires_at > CAST(sqlc.arg(now) AS BIGINT);

-- name: Person :many
SELECT user_id, stage, job_title, phone, signed_in_at, locked_out, totp_sealed, totp_active, totp_step FROM person
 WHERE user_id = sqlc.arg(user_id);

-- name: SetLockedOut :execrows
UPDATE person SET locked_out = sqlc.arg(locked_out) WHERE user_id = sqlc.arg(user_id) AND locked_out <> sqlc.arg(locked_out);

-- name: MoveStage :execrows
UPDATE person SET stage = sqlc.arg(to_stage) WHERE user_id = sqlc.arg(user_id) AND stage = sqlc.arg(from_stage);

-- name: NoteSignIn :exec
UPDATE person
   SET signed_in_at = CAST(sqlc.arg(now) AS BIGINT),
       stage = CASE WHEN stage = 'verified' THEN 'profile_incomplete' ELSE stage END
 WHERE user_id = sqlc.arg(user_id);

-- name: DescribePerson :execrows
UPDATE person SET job_title = sqlc.arg(job_title), phone = sqlc.arg(phone) WHERE user_id = sqlc.arg(user_id);

-- name: PutTOTP :execrows
UPDATE person SET totp_sealed = sqlc.arg(sealed), totp_step = 0 WHERE user_id = sqlc.arg(user_id) AND NOT totp_active;

-- name: UseTOTP :execrows
UPDATE person SET totp_step = CAST(sqlc.arg(step) AS BIGINT), totp_active = TRUE
 WHERE user_id = sqlc.arg(user_id) AND totp_active = sqlc.arg(was_active) AND totp_sealed = sqlc.arg(sealed) AND totp_step < CAST(sqlc.arg(step) AS BIGINT);

-- name: DropTOTP :execrows
UPDATE person SET totp_sealed = NULL, totp_active = FALSE, totp_step = 0
 WHERE user_id = sqlc.arg(user_id) AND totp_sealed IS NOT NULL;

-- name: InsertRecoveryCode :exec
INSERT INTO recovery_code (user_id, mac) VALUES (sqlc.arg(user_id), sqlc.arg(mac));

-- name: UseRecoveryCode :execrows
DELETE FROM recovery_code WHERE user_id = sqlc.arg(user_id) AND mac = sqlc.arg(mac);

-- name: DropRecoveryCodes :exec
DELETE FROM recovery_code WHERE user_id = sqlc.arg(user_id);

-- name: CountRecoveryCodes :one
SELECT count(*) FROM recovery_code WHERE user_id = sqlc.arg(user_id);

-- name: InsertPasskey :exec
INSERT INTO passkey (id, user_id, name, credential_id, credential, created_at)
VALUES (sqlc.arg(id), sqlc.arg(user_id), sqlc.arg(name), sqlc.arg(credential_id), sqlc.arg(credential), sqlc.arg(created_at));

-- name: Passkeys :many
SELECT id, user_id, name, credential_id, credential, created_at, last_used_at FROM passkey
 WHERE user_id = sqlc.arg(user_id) ORDER BY id;

-- name: UsePasskey :execrows
UPDATE passkey SET credential = sqlc.arg(credential), last_used_at = CAST(sqlc.arg(now) AS BIGINT)
 WHERE user_id = sqlc.arg(user_id) AND credential_id = sqlc.arg(credential_id) AND credential = sqlc.arg(was);

-- name: DropPasskey :execrows
DELETE FROM passkey WHERE user_id = sqlc.arg(user_id) AND id = sqlc.arg(id);

-- name: InsertSession :exec
INSERT INTO session (id, value_hash, user_id, account_id, bound_to, method, created_at, seen_at, ends_at, factor_at, address, agent)
VALUES (sqlc.arg(id), sqlc.arg(value_hash), sqlc.arg(user_id), sqlc.arg(account_id), sqlc.arg(bound_to), sqlc.arg(method),
        sqlc.arg(created_at), sqlc.arg(created_at), sqlc.arg(ends_at), sqlc.narg(factor_at), sqlc.arg(address), sqlc.arg(agent));

-- name: SessionByValue :many
SELECT s.id, s.user_id, s.account_id, s.bound_to, s.method, s.created_at, s.seen_at, s.ends_at, s.factor_at, s.address, s.agent,
       s.ceremony, CAST(coalesce(p.stage, 'active') AS TEXT) AS stage, CAST(coalesce(p.totp_active, FALSE) AS BOOLEAN) AS totp,
       (SELECT count(*) FROM passkey AS k WHERE k.user_id = s.user_id) AS passkeys
  FROM session AS s LEFT JOIN person AS p ON p.user_id = s.user_id
 WHERE s.value_hash = sqlc.arg(value_hash);

-- name: SessionsOf :many
SELECT id, user_id, account_id, bound_to, method, created_at, seen_at, ends_at, factor_at, address, agent FROM session
 WHERE user_id = sqlc.arg(user_id) AND ends_at > CAST(sqlc.arg(now) AS BIGINT) AND seen_at > sqlc.arg(seen_after) ORDER BY id;

-- name: TouchSession :exec
UPDATE session SET seen_at = CAST(sqlc.arg(now) AS BIGINT) WHERE id = sqlc.arg(id) AND seen_at < CAST(sqlc.arg(now) AS BIGINT);

-- name: RenewSession :execrows
UPDATE session
   SET value_hash = sqlc.arg(value_hash), factor_at = CAST(sqlc.arg(now) AS BIGINT), seen_at = CAST(sqlc.arg(now) AS BIGINT),
       ceremony = NULL
 WHERE id = sqlc.arg(id) AND user_id = sqlc.arg(user_id);

-- name: BindSession :execrows
UPDATE session SET bound_to = sqlc.arg(bound_to) WHERE id = sqlc.arg(id) AND user_id = sqlc.arg(user_id);

-- name: SetCeremony :execrows
UPDATE session SET ceremony = sqlc.arg(ceremony) WHERE id = sqlc.arg(id);

-- name: TakeCeremony :execrows
UPDATE session SET ceremony = NULL WHERE id = sqlc.arg(id) AND ceremony = sqlc.arg(ceremony);

-- name: EndSession :execrows
DELETE FROM session WHERE user_id = sqlc.arg(user_id) AND id = sqlc.arg(id);

-- name: EndSessions :execrows
DELETE FROM session WHERE user_id = sqlc.arg(user_id) AND id <> sqlc.arg(but);

-- name: AccountProfile :many
SELECT account_id, kind, company, agreement_version, agreement_at, agreement_from, agreement_by FROM account_profile
 WHERE account_id = sqlc.arg(account_id);

-- name: PutAccountProfile :exec
INSERT INTO account_profile (account_id, kind, company) VALUES (sqlc.arg(account_id), sqlc.arg(kind), sqlc.arg(company))
ON CONFLICT (account_id) DO UPDATE SET kind = excluded.kind, company = excluded.company;

-- name: AcceptAgreement :execrows
UPDATE account_profile
   SET agreement_version = sqlc.arg(version), agreement_at = CAST(sqlc.arg(now) AS BIGINT), agreement_from = sqlc.arg(address),
       agreement_by = sqlc.arg(user_id)
 WHERE account_id = sqlc.arg(account_id);

-- name: InsertInvitation :exec
INSERT INTO invitation (id, account_id, email, locale, roles, invited_by, state, created_at, expires_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(email), sqlc.arg(locale), sqlc.arg(roles), sqlc.arg(invited_by), 'pending',
        sqlc.arg(created_at), sqlc.arg(expires_at));

-- name: InvitationByID :one
SELECT id, account_id, email, locale, roles, invited_by, state, created_at, expires_at FROM invitation WHERE id = sqlc.arg(id);

-- name: Invitations :many
SELECT id, account_id, email, locale, roles, invited_by, state, created_at, expires_at FROM invitation
 WHERE account_id = sqlc.arg(account_id) AND state = 'pending' ORDER BY id;

-- name: EndInvitation :execrows
UPDATE invitation SET state = sqlc.arg(to_state)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = 'pending';

-- name: ProlongInvitation :execrows
UPDATE invitation SET expires_at = sqlc.arg(expires_at)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = 'pending';

-- name: AccountOIDC :many
SELECT account_id, issuer, client_id, secret_sealed, accepts_mfa, changed_at FROM account_oidc
 WHERE account_id = sqlc.arg(account_id);

-- name: PutAccountOIDC :exec
INSERT INTO account_oidc (account_id, issuer, client_id, secret_sealed, accepts_mfa, changed_at)
VALUES (sqlc.arg(account_id), sqlc.arg(issuer), sqlc.arg(client_id), sqlc.arg(secret_sealed), sqlc.arg(accepts_mfa),
        sqlc.arg(changed_at))
ON CONFLICT (account_id) DO UPDATE
   SET issuer = excluded.issuer, client_id = excluded.client_id, secret_sealed = excluded.secret_sealed,
       accepts_mfa = excluded.accepts_mfa, changed_at = excluded.changed_at;

-- name: DropAccountOIDC :execrows
DELETE FROM account_oidc WHERE account_id = sqlc.arg(account_id);

-- name: OIDCSubject :many
SELECT user_id FROM oidc_subject
 WHERE account_id = sqlc.arg(account_id) AND issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject);

-- name: CountOIDCSubjects :one
SELECT count(*) FROM oidc_subject
 WHERE account_id = sqlc.arg(account_id) AND issuer = sqlc.arg(issuer) AND user_id = sqlc.arg(user_id);

-- name: InsertOIDCSubject :exec
INSERT INTO oidc_subject (account_id, issuer, subject, user_id, linked_at)
VALUES (sqlc.arg(account_id), sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(user_id), sqlc.arg(linked_at));

-- name: InsertOIDCFlow :exec
INSERT INTO oidc_flow (state_hash, browser_hash, account_id, sealed, expires_at)
VALUES (sqlc.arg(state_hash), sqlc.arg(browser_hash), sqlc.arg(account_id), sqlc.arg(sealed), sqlc.arg(expires_at));

-- name: TakeOIDCFlow :many
DELETE FROM oidc_flow WHERE state_hash = sqlc.arg(state_hash) AND browser_hash = sqlc.arg(browser_hash)
RETURNING account_id, sealed, expires_at;

-- name: DropRegistrations :execrows
DELETE FROM registration WHERE id IN
 (SELECT r.id FROM registration AS r WHERE r.expires_at < sqlc.arg(before) ORDER BY r.expires_at LIMIT sqlc.arg(lim));

-- name: DropMailedLinks :execrows
DELETE FROM mailed_link WHERE id IN
 (SELECT l.id FROM mailed_link AS l WHERE l.expires_at < sqlc.arg(before) ORDER BY l.expires_at LIMIT sqlc.arg(lim));

-- name: DropSessions :execrows
DELETE FROM session WHERE id IN
 (SELECT s.id FROM session AS s WHERE s.ends_at < sqlc.arg(before) ORDER BY s.ends_at LIMIT sqlc.arg(lim));

-- name: DropOIDCFlows :execrows
DELETE FROM oidc_flow WHERE state_hash IN
 (SELECT f.state_hash FROM oidc_flow AS f WHERE f.expires_at < sqlc.arg(before) ORDER BY f.expires_at LIMIT sqlc.arg(lim));

-- name: DropAttempts :execrows
DELETE FROM sign_in_attempt WHERE email_hash IN
 (SELECT a.email_hash FROM sign_in_attempt AS a WHERE a.last_at < sqlc.arg(before) ORDER BY a.last_at LIMIT sqlc.arg(lim));

-- name: LockPersonRow :one
SELECT user_id FROM person WHERE user_id = sqlc.arg(user_id) FOR UPDATE;

-- name: DropPasskeys :execrows
DELETE FROM passkey WHERE user_id = sqlc.arg(user_id);

-- name: OIDCDomains :many
SELECT name FROM oidc_domain WHERE account_id = sqlc.arg(account_id) ORDER BY name;

-- name: PutOIDCDomain :execrows
INSERT INTO oidc_domain (name, account_id) VALUES (sqlc.arg(name), sqlc.arg(account_id)) ON CONFLICT (name) DO NOTHING;

-- name: DropOIDCDomains :exec
DELETE FROM oidc_domain WHERE account_id = sqlc.arg(account_id);

-- name: OIDCDomain :many
SELECT d.account_id FROM oidc_domain AS d JOIN account_oidc AS o ON o.account_id = d.account_id WHERE d.name = sqlc.arg(name);

-- name: VerifiedDomain :many
SELECT c.coverage FROM claim AS c JOIN identity AS i ON i.id = c.identity_id
 WHERE i.account_id = sqlc.arg(account_id) AND c.account_id = sqlc.arg(account_id) AND c.kind = 'domain' AND c.name = sqlc.arg(name)
   AND c.status = 'verified' AND c.expires_at > CAST(sqlc.arg(now) AS BIGINT);

-- name: AccountSetting :many
SELECT account_id, mail_history FROM account_setting WHERE account_id = sqlc.arg(account_id);

-- name: PutAccountSetting :exec
INSERT INTO account_setting (account_id, mail_history) VALUES (sqlc.arg(account_id), sqlc.arg(mail_history))
ON CONFLICT (account_id) DO UPDATE SET mail_history = excluded.mail_history;

-- name: Members :many
SELECT u.id, u.account_id, u.email, u.name, u.password_hash, u.roles, u.state, u.created_at, u.kind, u.name_key, u.contact,
       u.description, u.locale, u.ends_at, u.locked_at, u.created_by, p.signed_in_at,
       CAST(coalesce(p.totp_active, FALSE) AS BOOLEAN) AS totp, CAST(coalesce(p.locked_out, FALSE) AS BOOLEAN) AS locked_out,
       CAST(coalesce(p.stage, 'active') AS TEXT) AS stage,
       (SELECT count(*) FROM passkey AS k WHERE k.user_id = u.id) AS passkeys
  FROM account_user AS u LEFT JOIN person AS p ON p.user_id = u.id
 WHERE u.account_id = sqlc.arg(account_id) AND u.id > sqlc.arg(after) AND u.kind = 'standard' AND u.state <> 'deleted'
   AND (u.name_key LIKE CAST(sqlc.arg(search) AS TEXT) ESCAPE '\' OR u.email LIKE CAST(sqlc.arg(search) AS TEXT) ESCAPE '\')
   AND ' ' || u.roles || ' ' LIKE CAST(sqlc.arg(role) AS TEXT) ESCAPE '\'
 ORDER BY u.id LIMIT sqlc.arg(lim);

-- name: Member :one
SELECT u.id, u.account_id, u.email, u.name, u.password_hash, u.roles, u.state, u.created_at, u.kind, u.name_key, u.contact,
       u.description, u.locale, u.ends_at, u.locked_at, u.created_by, p.signed_in_at,
       CAST(coalesce(p.totp_active, FALSE) AS BOOLEAN) AS totp, CAST(coalesce(p.locked_out, FALSE) AS BOOLEAN) AS locked_out,
       CAST(coalesce(p.stage, 'active') AS TEXT) AS stage,
       (SELECT count(*) FROM passkey AS k WHERE k.user_id = u.id) AS passkeys
  FROM account_user AS u LEFT JOIN person AS p ON p.user_id = u.id
 WHERE u.account_id = sqlc.arg(account_id) AND u.id = sqlc.arg(id) AND u.kind = 'standard' AND u.state <> 'deleted';

-- name: CountOpenAdministrators :one
SELECT count(*) FROM account_user
 WHERE account_id = sqlc.arg(account_id) AND id <> sqlc.arg(without) AND kind = 'standard' AND state = 'active'
   AND locked_at IS NULL AND (ends_at IS NULL OR ends_at > CAST(sqlc.arg(now) AS BIGINT))
   AND ' ' || roles || ' ' LIKE '% administrator %';
