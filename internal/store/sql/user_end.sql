-- name: LockAPITokensOfUser :many
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE account_id = sqlc.arg(account_id) AND user_id = sqlc.arg(user_id) AND state <> 'deleted' ORDER BY id FOR UPDATE;

-- name: LockCertsOfUser :many
SELECT id, account_id, fingerprint, serial, issuer_id, der, spki_hash, crl_shard, not_after, state, revoked_at, reason,
       created_at, user_id, name, name_key, not_before, first_used_at, deleted_at
  FROM client_certificate
 WHERE account_id = sqlc.arg(account_id) AND user_id = sqlc.narg(user_id) AND deleted_at IS NULL
 ORDER BY issuer_id, crl_shard, id FOR UPDATE;
