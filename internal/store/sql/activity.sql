-- name: UserOfToken :many
SELECT u.id, u.name FROM api_token AS k JOIN account_user AS u ON u.id = k.user_id
 WHERE k.account_id = sqlc.arg(account_id) AND k.id = sqlc.arg(id);

-- name: UserOfClientCert :many
SELECT u.id, u.name FROM client_certificate AS c JOIN account_user AS u ON u.id = c.user_id
 WHERE c.account_id = sqlc.arg(account_id) AND c.id = sqlc.arg(id);

-- name: NameOfUser :many
SELECT id, name FROM account_user WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: PurgeActivity :exec
DELETE FROM activity WHERE account_id = sqlc.arg(account_id) AND at = sqlc.arg(at) AND id = sqlc.arg(id);
