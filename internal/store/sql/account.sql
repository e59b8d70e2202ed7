-- name: InsertAccount :exec
INSERT INTO account (id, name, state, created_at, starts_at, ends_at)
VALUES (sqlc.arg(id), sqlc.arg(name), sqlc.arg(state), sqlc.arg(created_at), sqlc.narg(starts_at), sqlc.narg(ends_at));

-- name: Account :one
SELECT id, name, state, created_at, starts_at, ends_at FROM account WHERE id = sqlc.arg(id);

-- name: AccountByName :one
SELECT id, name, state, created_at, starts_at, ends_at FROM account WHERE name = sqlc.arg(name);

-- name: Accounts :many
SELECT id, name, state, created_at, starts_at, ends_at FROM account WHERE id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(lim);

-- name: SetAccountState :execrows
UPDATE account SET state = sqlc.arg(to_state) WHERE id = sqlc.arg(id) AND state = sqlc.arg(from_state);

-- name: SetAccountPeriod :execrows
UPDATE account SET starts_at = sqlc.narg(starts_at), ends_at = sqlc.narg(ends_at)
 WHERE id = sqlc.arg(id) AND state <> 'deleted';

-- name: InsertUser :exec
INSERT INTO account_user (id, account_id, email, name, password_hash, roles, state, created_at, kind, name_key, contact,
                          description, locale, ends_at, created_by)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(email), sqlc.arg(name), sqlc.arg(password_hash), sqlc.arg(roles),
        sqlc.arg(state), sqlc.arg(created_at), sqlc.arg(kind), sqlc.arg(name_key), sqlc.arg(contact),
        sqlc.arg(description), sqlc.arg(locale), sqlc.narg(ends_at), sqlc.arg(created_by));

-- name: User :one
SELECT id, account_id, email, name, password_hash, roles, state, created_at, kind, name_key, contact, description, locale,
       ends_at, locked_at, created_by
  FROM account_user
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: LockUser :one
SELECT id, account_id, email, name, password_hash, roles, state, created_at, kind, name_key, contact, description, locale,
       ends_at, locked_at, created_by
  FROM account_user
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) FOR UPDATE;

-- name: Users :many
SELECT id, account_id, email, name, password_hash, roles, state, created_at, kind, name_key, contact, description, locale,
       ends_at, locked_at, created_by
  FROM account_user
 WHERE account_id = sqlc.arg(account_id) AND id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(lim);

-- name: LiveUsers :many
SELECT id, account_id, email, name, password_hash, roles, state, created_at, kind, name_key, contact, description, locale,
       ends_at, locked_at, created_by
  FROM account_user
 WHERE account_id = sqlc.arg(account_id) AND id > sqlc.arg(after) AND state <> 'deleted'
   AND (kind = sqlc.arg(kind) OR sqlc.arg(kind) = '')
 ORDER BY id LIMIT sqlc.arg(lim);

-- name: UserByID :one
SELECT id, account_id, email, name, password_hash, roles, state, created_at, kind, name_key, contact, description, locale,
       ends_at, locked_at, created_by
  FROM account_user WHERE id = sqlc.arg(id);

-- name: AllUsers :many
SELECT id, account_id, email, name, password_hash, roles, state, created_at, kind, name_key, contact, description, locale,
       ends_at, locked_at, created_by
  FROM account_user WHERE state <> 'deleted';

-- name: SetUserState :execrows
UPDATE account_user SET state = sqlc.arg(to_state)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = sqlc.arg(from_state);

-- name: SetUserLocked :execrows
UPDATE account_user SET locked_at = sqlc.arg(at)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state <> 'deleted' AND locked_at IS NULL;

-- name: SetUserUnlocked :execrows
UPDATE account_user SET locked_at = NULL
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state <> 'deleted' AND locked_at IS NOT NULL;

-- name: UpdateUser :execrows
UPDATE account_user
   SET name = sqlc.arg(name), name_key = sqlc.arg(name_key), email = sqlc.arg(email), contact = sqlc.arg(contact),
       description = sqlc.arg(description), locale = sqlc.arg(locale), roles = sqlc.arg(roles), ends_at = sqlc.narg(ends_at)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state <> 'deleted';

-- name: SetUserPassword :execrows
UPDATE account_user SET password_hash = sqlc.arg(password_hash)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state <> 'deleted';

-- name: InsertIdentity :exec
INSERT INTO identity (id, account_id, name, data, state, expires_at, created_at, kind, customer)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(name), sqlc.arg(data), sqlc.arg(state), sqlc.narg(expires_at),
        sqlc.arg(created_at), sqlc.arg(kind), sqlc.arg(customer));

-- name: Identity :one
SELECT id, account_id, name, data, state, expires_at, created_at, kind, customer, requesters, vetted_at, told_days
  FROM identity
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: IdentityByID :one
SELECT id, account_id, name, data, state, expires_at, created_at, kind, customer, requesters, vetted_at, told_days
  FROM identity WHERE id = sqlc.arg(id);

-- name: Identities :many
SELECT id, account_id, name, data, state, expires_at, created_at, kind, customer, requesters, vetted_at, told_days
  FROM identity
 WHERE account_id = sqlc.arg(account_id) AND id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(lim);

-- name: AllIdentities :many
SELECT id, account_id, name, data, state, expires_at, created_at, kind, customer, requesters, vetted_at, told_days
  FROM identity;

-- name: EditDraftIdentity :execrows
UPDATE identity SET name = sqlc.arg(name), data = sqlc.arg(data), customer = sqlc.arg(customer)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = 'draft';

-- name: MoveIdentity :execrows
UPDATE identity SET state = sqlc.arg(to_state), expires_at = sqlc.narg(expires_at)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = sqlc.arg(from_state);

-- name: NoteIdentityVetted :exec
UPDATE identity SET vetted_at = CAST(sqlc.arg(now) AS BIGINT), told_days = sqlc.arg(told_days) WHERE id = sqlc.arg(id);

-- name: SetIdentityRequesters :execrows
UPDATE identity SET requesters = sqlc.arg(requesters)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state NOT IN ('rejected', 'withdrawn');

-- name: NoteIdentityTold :execrows
UPDATE identity SET told_days = sqlc.arg(told_days)
 WHERE id = sqlc.arg(id) AND state = 'active' AND expires_at = CAST(sqlc.arg(expires_at) AS BIGINT) AND told_days = sqlc.arg(before);

-- name: EndingIdentities :many
SELECT id, account_id, name, data, state, expires_at, created_at, kind, customer, requesters, vetted_at, told_days
  FROM identity
 WHERE state = 'active' AND expires_at <= CAST(sqlc.arg(until) AS BIGINT)
   AND (expires_at > CAST(sqlc.arg(after_at) AS BIGINT) OR expires_at = CAST(sqlc.arg(after_at) AS BIGINT) AND id > sqlc.arg(after))
 ORDER BY expires_at, id LIMIT sqlc.arg(lim);

-- name: IdentitiesOfType :one
SELECT count(*) FROM identity
 WHERE account_id = sqlc.arg(account_id) AND kind = sqlc.arg(kind) AND state = 'active';

-- name: InsertService :exec
INSERT INTO service (id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa,
                     strict_mpic, unlimited, created_at, changed_at, sticky_tokens)
VALUES (sqlc.arg(id), sqlc.arg(name), sqlc.arg(version), sqlc.arg(policy_template), sqlc.arg(series_id),
        sqlc.arg(domain_validation), sqlc.arg(strict_content), sqlc.arg(strict_caa), sqlc.arg(strict_mpic),
        sqlc.arg(unlimited), sqlc.arg(created_at), sqlc.arg(changed_at), sqlc.arg(sticky_tokens));

-- name: Service :one
SELECT id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa, strict_mpic,
       unlimited, created_at, changed_at, sticky_tokens
  FROM service WHERE id = sqlc.arg(id);

-- name: ServiceByName :one
SELECT id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa, strict_mpic,
       unlimited, created_at, changed_at, sticky_tokens
  FROM service WHERE name = sqlc.arg(name);

-- name: Services :many
SELECT id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa, strict_mpic,
       unlimited, created_at, changed_at, sticky_tokens
  FROM service WHERE id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(lim);

-- name: ChangeService :execrows
UPDATE service
   SET version = version + 1, policy_template = sqlc.arg(policy_template), series_id = sqlc.arg(series_id),
       domain_validation = sqlc.arg(domain_validation), strict_content = sqlc.arg(strict_content),
       strict_caa = sqlc.arg(strict_caa), strict_mpic = sqlc.arg(strict_mpic), unlimited = sqlc.arg(unlimited),
       sticky_tokens = sqlc.arg(sticky_tokens),
       changed_at = sqlc.arg(changed_at)
 WHERE id = sqlc.arg(id) AND version = sqlc.arg(version);

-- name: InsertSubscription :exec
INSERT INTO subscription (id, account_id, service_id, created_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(service_id), sqlc.arg(created_at));

-- name: Subscription :one
SELECT id, account_id, service_id, created_at FROM subscription
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: SubscriptionByID :one
SELECT id, account_id, service_id, created_at FROM subscription WHERE id = sqlc.arg(id);

-- name: Subscriptions :many
SELECT id, account_id, service_id, created_at FROM subscription
 WHERE account_id = sqlc.arg(account_id) AND id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(lim);

-- name: AllSubscriptions :many
SELECT id, account_id, service_id, created_at FROM subscription;

-- name: InsertLot :exec
INSERT INTO quota_lot (id, subscription_id, amount, used, starts_at, expires_at, created_at)
VALUES (sqlc.arg(id), sqlc.arg(subscription_id), sqlc.arg(amount), 0, sqlc.arg(starts_at), sqlc.arg(expires_at),
        sqlc.arg(created_at));

-- name: Lots :many
SELECT l.id, l.subscription_id, l.amount, l.used, l.starts_at, l.expires_at, l.created_at
  FROM subscription AS s JOIN quota_lot AS l ON l.subscription_id = s.id
 WHERE s.account_id = sqlc.arg(account_id) AND s.id = sqlc.arg(subscription_id)
 ORDER BY l.expires_at, l.id;

-- name: PairOf :one
SELECT id, account_id, subscription_id, identity_id, created_at FROM pair
 WHERE account_id = sqlc.arg(account_id) AND subscription_id = sqlc.arg(subscription_id)
   AND identity_id = sqlc.arg(identity_id);

-- name: PairByID :one
SELECT id, account_id, subscription_id, identity_id, created_at FROM pair WHERE id = sqlc.arg(id);

-- name: PairsOfAccount :many
SELECT id, account_id, subscription_id, identity_id, created_at FROM pair WHERE account_id = sqlc.arg(account_id) ORDER BY id;

-- name: AllPairs :many
SELECT id, account_id, subscription_id, identity_id, created_at FROM pair;

-- name: NextPairID :one
SELECT CAST(coalesce(max(id), 0) + 1 AS BIGINT) FROM pair;

-- name: InsertPair :exec
INSERT INTO pair (id, account_id, subscription_id, identity_id, created_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(subscription_id), sqlc.arg(identity_id), sqlc.arg(created_at));
