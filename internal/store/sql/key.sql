-- name: BlockKey :execrows
INSERT INTO blocked_key (spki_hash, account_id, source, serial, created_at)
VALUES (sqlc.arg(spki_hash), sqlc.arg(account_id), sqlc.arg(source), sqlc.arg(serial), sqlc.arg(now))
ON CONFLICT (spki_hash, account_id) DO UPDATE SET source = excluded.source, serial = excluded.serial
 WHERE excluded.source = 'attestation' AND blocked_key.source <> 'attestation';

-- name: KeyBlocks :many
SELECT spki_hash, account_id, source, serial, created_at FROM blocked_key
 WHERE spki_hash = sqlc.arg(spki_hash) ORDER BY account_id;

-- name: BlockedKeys :many
SELECT spki_hash, account_id, source, serial, created_at FROM blocked_key
 WHERE spki_hash > sqlc.arg(spki_hash) OR spki_hash = sqlc.arg(spki_hash) AND account_id > sqlc.arg(account_id)
 ORDER BY spki_hash, account_id LIMIT sqlc.arg(lim);

-- name: UnblockKey :execrows
DELETE FROM blocked_key
 WHERE spki_hash = sqlc.arg(spki_hash) AND account_id = sqlc.arg(account_id) AND source = sqlc.arg(source);
