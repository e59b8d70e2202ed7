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

-- name: APIToken :one
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state <> 'deleted';

-- name: LockAPIToken :one
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state <> 'deleted' FOR UPDATE;

-- name: APITokensOfUser :many
SELECT id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, ends_at, created_at
  FROM api_token WHERE account_id = sqlc.arg(account_id) AND user_id = sqlc.arg(user_id) AND state <> 'deleted' ORDER BY id;

-- name: UpdateAPIToken :execrows
UPDATE api_token SET name = sqlc.arg(name), name_key = sqlc.arg(name_key), ends_at = sqlc.narg(ends_at), state = sqlc.arg(state)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state <> 'deleted';

-- name: DeleteAPIToken :execrows
UPDATE api_token SET state = 'deleted' WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state <> 'deleted';
