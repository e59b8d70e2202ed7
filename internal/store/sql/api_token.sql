-- name: AllAPITokens :many
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE state <> 'deleted';

-- name: APITokenByID :one
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE id = sqlc.arg(id);

-- name: APITokenByLookup :one
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE lookup = sqlc.arg(lookup);

-- name: InsertAPIToken :exec
INSERT INTO api_token (id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(user_id), sqlc.arg(name), sqlc.arg(name_key), sqlc.arg(lookup),
        sqlc.arg(secret_mac), sqlc.arg(pepper_version), sqlc.arg(state), sqlc.narg(ends_at), sqlc.arg(created_at));

-- name: CountAPITokens :one
SELECT count(*) FROM api_token WHERE user_id = sqlc.arg(user_id) AND state <> 'deleted';
