-- name: InsertHierarchy :exec
INSERT INTO hierarchy (id, kind, name, created_at)
VALUES (sqlc.arg(id), sqlc.arg(kind), sqlc.arg(name), sqlc.arg(created_at));

-- name: InsertSeries :exec
INSERT INTO issuer_series (id, hierarchy_id, name, key_type, eku_family, created_at, rotation, lead_days, leaf_days)
VALUES (sqlc.arg(id), sqlc.arg(hierarchy_id), sqlc.arg(name), sqlc.arg(key_type), sqlc.arg(eku_family), sqlc.arg(created_at),
        sqlc.arg(rotation), sqlc.arg(lead_days), sqlc.arg(leaf_days));

-- name: InsertIssuer :exec
INSERT INTO issuer (id, hierarchy_id, series_id, parent_id, role, status, key_name, certificate, crl_shards, activate_at, retire_at, created_at, sign_until)
VALUES (sqlc.arg(id), sqlc.arg(hierarchy_id), sqlc.narg(series_id), sqlc.narg(parent_id), sqlc.arg(role), sqlc.arg(status),
        sqlc.arg(key_name), sqlc.arg(certificate), sqlc.arg(crl_shards), sqlc.arg(activate_at), sqlc.narg(retire_at), sqlc.arg(created_at),
        sqlc.narg(sign_until));

-- name: Hierarchies :many
SELECT id, kind, name, created_at FROM hierarchy ORDER BY id;

-- name: AllSeries :many
SELECT id, hierarchy_id, name, key_type, eku_family, created_at, rotation, lead_days, leaf_days FROM issuer_series ORDER BY id;

-- name: Issuers :many
SELECT id, hierarchy_id, series_id, parent_id, role, status, key_name, certificate, crl_shards, activate_at, retire_at, created_at, sign_until
  FROM issuer ORDER BY id;

-- name: SetSeriesSchedule :execrows
UPDATE issuer_series SET rotation = sqlc.arg(rotation), lead_days = sqlc.arg(lead_days), leaf_days = sqlc.arg(leaf_days)
 WHERE id = sqlc.arg(id);

-- name: SetSuccession :execrows
-- The instant at which an issuing CA hands over, while that can still be moved.
UPDATE issuer SET retire_at = sqlc.narg(retire_at), sign_until = sqlc.narg(sign_until)
 WHERE id = sqlc.arg(id) AND status IN ('planned', 'active');

-- name: SetActivation :execrows
UPDATE issuer SET activate_at = sqlc.arg(activate_at)
 WHERE id = sqlc.arg(id) AND status = 'planned';

-- name: MoveIssuer :execrows
UPDATE issuer SET status = sqlc.arg(to_status)
 WHERE id = sqlc.arg(id) AND status = sqlc.arg(from_status);

-- name: EndIssuer :execrows
-- Of one that is retired, at once: it signs for no token from now on.
UPDATE issuer SET status = 'retired', retire_at = sqlc.arg(retire_at), sign_until = sqlc.narg(sign_until)
 WHERE id = sqlc.arg(id) AND status = sqlc.arg(from_status);

-- name: InsertIssuerPlan :exec
INSERT INTO issuer_plan (id, series_id, parent_id, key_name, activate_at, request, created_at)
VALUES (sqlc.arg(id), sqlc.arg(series_id), sqlc.arg(parent_id), sqlc.arg(key_name), sqlc.arg(activate_at), sqlc.arg(request),
        sqlc.arg(created_at));

-- name: IssuerPlans :many
SELECT id, series_id, parent_id, key_name, activate_at, request, created_at FROM issuer_plan ORDER BY activate_at, id;

-- name: DropIssuerPlan :execrows
DELETE FROM issuer_plan WHERE id = sqlc.arg(id);

-- name: InsertIssuerNotice :exec
INSERT INTO issuer_notice (issuer_id, activate_at, days, account_id, created_at)
VALUES (sqlc.arg(issuer_id), sqlc.arg(activate_at), sqlc.arg(days), sqlc.arg(account_id), sqlc.arg(created_at));

-- name: IssuerNotices :many
SELECT issuer_id, activate_at, days, account_id, created_at FROM issuer_notice
 WHERE activate_at > sqlc.arg(after) ORDER BY issuer_id, activate_at, days, account_id;

-- name: InsertCrossCertificate :exec
INSERT INTO cross_certificate (id, issuer_id, signer_id, certificate, signer_certificate, active, created_at)
VALUES (sqlc.arg(id), sqlc.arg(issuer_id), sqlc.narg(signer_id), sqlc.arg(certificate), sqlc.arg(signer_certificate), FALSE,
        sqlc.arg(created_at));

-- name: CrossCertificates :many
SELECT id, issuer_id, signer_id, certificate, signer_certificate, active, created_at FROM cross_certificate ORDER BY id;

-- name: ClearActiveCross :execrows
UPDATE cross_certificate SET active = FALSE WHERE issuer_id = sqlc.arg(issuer_id) AND active;

-- name: SetActiveCross :execrows
UPDATE cross_certificate SET active = TRUE WHERE issuer_id = sqlc.arg(issuer_id) AND id = sqlc.arg(id);

-- name: LockSeries :one
SELECT id FROM issuer_series WHERE id = sqlc.arg(id) FOR UPDATE;

-- name: AccountsOfSeries :many
-- The active accounts that subscribe to a service of a series.
SELECT DISTINCT account.id FROM account
  JOIN subscription ON subscription.account_id = account.id
  JOIN service ON service.id = subscription.service_id
 WHERE service.series_id = sqlc.arg(series_id) AND account.state = 'active'
 ORDER BY account.id;
