-- name: LockAPITokensOfUser :many
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE account_id = sqlc.arg(account_id) AND user_id = sqlc.arg(user_id) AND state <> 'deleted' ORDER BY id FOR UPDATE;

-- name: LiveCertsOfUser :many
SELECT id, serial, issuer_id, crl_shard, state FROM client_certificate
 WHERE account_id = sqlc.arg(account_id) AND user_id = sqlc.narg(user_id) AND deleted_at IS NULL ORDER BY id FOR UPDATE;

-- name: EndCertOfUser :execrows
UPDATE client_certificate
   SET state = 'revoked', revoked_at = coalesce(revoked_at, sqlc.arg(now)), reason = coalesce(reason, sqlc.arg(reason)),
       deleted_at = sqlc.arg(now)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND deleted_at IS NULL;

-- name: DropDownloadsOfUser :exec
DELETE FROM pkcs12_download WHERE client_certificate_id IN (
    SELECT id FROM client_certificate WHERE account_id = sqlc.arg(account_id) AND user_id = sqlc.narg(user_id));
