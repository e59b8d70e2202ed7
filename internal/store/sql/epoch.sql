-- name: InsertEpoch :exec
INSERT INTO epoch (id, at, tree_size, tree_root, lost_size, lost_at, lost_checkpoint)
VALUES (sqlc.arg(id), sqlc.arg(at), sqlc.arg(tree_size), sqlc.arg(tree_root), sqlc.arg(lost_size), sqlc.arg(lost_at), sqlc.arg(lost_checkpoint));

-- name: Epochs :many
SELECT id, at, tree_size, tree_root, lost_size, lost_at, lost_checkpoint FROM epoch ORDER BY at, id;

-- name: RestoreRevocation :many
UPDATE certificate
   SET status = 'revoked', updated_at = sqlc.arg(now), revoked_at = sqlc.arg(revoked_at), reason = CAST(sqlc.arg(reason) AS TEXT),
       compromised_at = sqlc.narg(compromised_at)
 WHERE serial = sqlc.arg(serial) AND issuer_id = sqlc.arg(issuer_id) AND status = 'issued'
RETURNING pair_id;

-- name: RestoreClientRevocation :many
UPDATE client_certificate
   SET state = 'revoked', revoked_at = sqlc.arg(revoked_at), reason = CAST(sqlc.arg(reason) AS TEXT)
 WHERE serial = sqlc.arg(serial) AND issuer_id = sqlc.arg(issuer_id) AND state <> 'revoked'
RETURNING id, account_id;

-- name: RestoreKeyPairRevocation :many
UPDATE key_pair
   SET state = 'revoked', revoked_at = sqlc.arg(revoked_at), reason = CAST(sqlc.arg(reason) AS TEXT)
 WHERE serial = sqlc.arg(serial) AND issuer_id = sqlc.arg(issuer_id) AND revoked_at IS NULL
RETURNING id, account_id;

-- name: AccountOfPair :one
SELECT account_id FROM pair WHERE id = sqlc.arg(id);

-- name: CRLNumbers :many
SELECT issuer_id, shard, number FROM crl_shard WHERE number > 0 ORDER BY issuer_id, shard;

-- name: DropLeases :exec
DELETE FROM lease;
