-- name: AllAPITokens :many
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE state <> 'deleted';

-- name: APITokenByID :one
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE id = sqlc.arg(id);

-- name: APITokenByLookup :one
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE lookup = sqlc.arg(lookup);
