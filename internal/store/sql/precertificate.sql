-- name: InsertPrecertificate :exec
INSERT INTO precertificate (serial, pair_id, credential_id, issuer_id, crl_shard, spki_hash, not_after, der, status, created_at)
VALUES (sqlc.arg(serial), sqlc.arg(pair_id), sqlc.arg(credential_id), sqlc.arg(issuer_id), sqlc.arg(crl_shard), sqlc.arg(spki_hash),
        sqlc.arg(not_after), sqlc.arg(der), 'pending', sqlc.arg(created_at));

-- name: Precertificate :many
SELECT serial, pair_id, credential_id, issuer_id, crl_shard, spki_hash, not_after, der, status, created_at
  FROM precertificate WHERE serial = sqlc.arg(serial);

-- name: LockPrecertificate :many
SELECT status FROM precertificate WHERE serial = sqlc.arg(serial) FOR UPDATE;

-- name: MovePrecertificate :execrows
UPDATE precertificate SET status = sqlc.arg(status) WHERE serial = sqlc.arg(serial) AND status = 'pending';

-- name: PendingPrecertificates :many
SELECT serial FROM precertificate
 WHERE status = 'pending' AND created_at < sqlc.arg(before) ORDER BY created_at, serial LIMIT sqlc.arg(lim);

-- name: LastPrecertificateExpiry :one
SELECT CAST(coalesce(max(not_after), 0) AS BIGINT) FROM precertificate WHERE issuer_id = sqlc.arg(issuer_id);

-- name: DropPrecertificates :execrows
DELETE FROM precertificate WHERE precertificate.serial IN
    (SELECT p.serial FROM precertificate AS p WHERE p.not_after < sqlc.arg(before) ORDER BY p.not_after, p.serial LIMIT sqlc.arg(lim));
