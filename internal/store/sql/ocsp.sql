-- name: SerialStatus :many
SELECT c.issuer_id, c.crl_shard, c.not_after, c.revoked_at, c.reason, c.compromised_at
  FROM certificate AS c WHERE c.serial = sqlc.arg(serial)
UNION ALL
SELECT m.issuer_id, m.crl_shard, m.not_after, m.revoked_at, m.reason, CAST(NULL AS BIGINT)
  FROM client_certificate AS m WHERE m.serial = sqlc.arg(serial)
UNION ALL
SELECT CAST(coalesce(k.issuer_id, '') AS TEXT), CAST(coalesce(k.crl_shard, 0) AS BIGINT), CAST(coalesce(k.not_after, 0) AS BIGINT),
       k.revoked_at, k.reason, CAST(NULL AS BIGINT)
  FROM key_pair AS k WHERE k.serial = sqlc.arg(serial)
UNION ALL
SELECT r.issuer_id, CAST(0 AS BIGINT), r.not_after, CAST(NULL AS BIGINT), CAST(NULL AS TEXT), CAST(NULL AS BIGINT)
  FROM ocsp_responder AS r WHERE r.serial = sqlc.arg(serial)
UNION ALL
SELECT v.issuer_id, v.crl_shard, v.not_after, v.revoked_at, v.reason, v.compromised_at
  FROM ca_revocation AS v WHERE v.serial = sqlc.arg(serial)
UNION ALL
SELECT p.issuer_id, p.crl_shard, p.not_after, CAST(NULL AS BIGINT), CAST(NULL AS TEXT), CAST(NULL AS BIGINT)
  FROM precertificate AS p WHERE p.serial = sqlc.arg(serial) AND p.status = 'pending';

-- name: ShardRevisions :many
SELECT issuer_id, shard, revision FROM crl_shard;

-- name: InsertResponder :exec
INSERT INTO ocsp_responder (key_name, issuer_id, serial, certificate, not_before, not_after, status, created_at)
VALUES (sqlc.arg(key_name), sqlc.arg(issuer_id), sqlc.arg(serial), sqlc.arg(certificate), sqlc.arg(not_before),
        sqlc.arg(not_after), 'active', sqlc.arg(created_at));

-- name: Responders :many
SELECT key_name, issuer_id, serial, certificate, not_before, not_after, status, created_at, retired_at
  FROM ocsp_responder WHERE status <> 'destroyed' ORDER BY issuer_id, not_after, key_name;

-- name: RetireResponder :execrows
UPDATE ocsp_responder SET status = 'retired', retired_at = sqlc.arg(now) WHERE key_name = sqlc.arg(key_name) AND status = 'active';

-- name: DestroyResponder :execrows
UPDATE ocsp_responder SET status = 'destroyed' WHERE key_name = sqlc.arg(key_name) AND status = 'retired';
