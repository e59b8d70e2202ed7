-- name: OpenLots :many
SELECT id, amount, used FROM quota_lot
 WHERE subscription_id = sqlc.arg(subscription_id) AND starts_at <= sqlc.arg(now) AND expires_at > sqlc.arg(now)
 ORDER BY expires_at, id FOR UPDATE;

-- name: DrawLot :exec
UPDATE quota_lot SET used = used + sqlc.arg(n) WHERE id = sqlc.arg(id);

-- name: Remaining :one
SELECT CAST(coalesce(sum(amount - used), 0) AS BIGINT) FROM quota_lot
 WHERE subscription_id = sqlc.arg(subscription_id) AND starts_at <= sqlc.arg(now) AND expires_at > sqlc.arg(now);

-- name: Certificate :one
SELECT serial, pair_id, credential_id, issuer_id, policy_version, crl_shard, spki_hash, not_before, not_after,
       accepted_at, rekey_of, status, updated_at, revoked_at, reason, compromised_at, attested
  FROM certificate WHERE pair_id = sqlc.arg(pair_id) AND serial = sqlc.arg(serial);

-- name: CertificateDER :one
SELECT der, request FROM certificate_der WHERE serial = sqlc.arg(serial) AND not_after = sqlc.arg(not_after);

-- name: RevokeIssued :many
UPDATE certificate
   SET status = 'revoked', updated_at = sqlc.arg(now), revoked_at = sqlc.arg(now), reason = CAST(sqlc.arg(reason) AS TEXT),
       compromised_at = sqlc.narg(compromised_at), attested = sqlc.arg(attested)
 WHERE pair_id = sqlc.arg(pair_id) AND serial = sqlc.arg(serial) AND status = 'issued'
RETURNING issuer_id, crl_shard;

-- name: AttestRevoked :many
UPDATE certificate
   SET updated_at = sqlc.arg(now), reason = 'keyCompromise',
       compromised_at = coalesce(sqlc.narg(compromised_at), compromised_at), attested = TRUE
 WHERE pair_id = sqlc.arg(pair_id) AND serial = sqlc.arg(serial) AND status = 'revoked' AND NOT attested
RETURNING issuer_id, crl_shard;

-- name: InsertPolicyVersion :exec
INSERT INTO policy_version (version, model, created_at)
VALUES (sqlc.arg(version), sqlc.arg(model), sqlc.arg(created_at))
ON CONFLICT (version) DO NOTHING;

-- name: PolicyVersion :one
SELECT model FROM policy_version WHERE version = sqlc.arg(version);

-- name: Counter :many
SELECT n FROM counter WHERE pair_id = sqlc.arg(pair_id) AND kind = sqlc.arg(kind);

-- name: HourCounts :many
SELECT start, n FROM hour_count
 WHERE pair_id = sqlc.arg(pair_id) AND kind = sqlc.arg(kind) AND start >= sqlc.arg(first) AND start <= sqlc.arg(last)
 ORDER BY start;

-- name: SecondCounts :many
SELECT start, n FROM second_count
 WHERE pair_id = sqlc.arg(pair_id) AND kind = sqlc.arg(kind) AND start >= sqlc.arg(first) AND start <= sqlc.arg(last)
 ORDER BY start;

-- name: IssuedFrom :many
SELECT serial, not_before, not_after FROM certificate
 WHERE pair_id = sqlc.arg(pair_id) AND accepted_at >= sqlc.arg(first) AND accepted_at <= sqlc.arg(last)
 ORDER BY accepted_at, serial LIMIT sqlc.arg(lim) OFFSET sqlc.arg(skip);

-- name: ExpiringFrom :many
SELECT serial, not_before, not_after FROM certificate
 WHERE pair_id = sqlc.arg(pair_id) AND not_after >= sqlc.arg(first) AND not_after <= sqlc.arg(last)
 ORDER BY not_after, serial LIMIT sqlc.arg(lim) OFFSET sqlc.arg(skip);

-- name: RevokedFrom :many
SELECT serial, not_before, not_after FROM certificate
 WHERE pair_id = sqlc.arg(pair_id) AND revoked_at >= CAST(sqlc.arg(first) AS BIGINT) AND revoked_at <= CAST(sqlc.arg(last) AS BIGINT)
 ORDER BY revoked_at, serial LIMIT sqlc.arg(lim) OFFSET sqlc.arg(skip);

-- name: DropDER :exec
DELETE FROM certificate_der WHERE serial = sqlc.arg(serial) AND not_after = sqlc.arg(not_after);

-- name: PairIDs :many
SELECT id FROM pair ORDER BY id;

-- name: DropCertificates :many
DELETE FROM certificate WHERE serial IN
    (SELECT c.serial FROM certificate AS c
      WHERE c.pair_id = sqlc.arg(pair_id) AND c.not_after < sqlc.arg(before)
      ORDER BY c.not_after, c.serial LIMIT sqlc.arg(lim))
RETURNING serial, pair_id, credential_id, issuer_id, policy_version, spki_hash, not_before, accepted_at, not_after, rekey_of, revoked_at,
          reason, compromised_at;

-- name: OldestCertificate :many
SELECT serial FROM certificate ORDER BY serial LIMIT 1;

-- name: DropHour :execrows
DELETE FROM hour_count
 WHERE pair_id = sqlc.arg(pair_id) AND kind = sqlc.arg(kind) AND start = sqlc.arg(start) AND n = sqlc.arg(n);

-- name: LessenHour :execrows
UPDATE hour_count SET n = n - sqlc.arg(n)
 WHERE pair_id = sqlc.arg(pair_id) AND kind = sqlc.arg(kind) AND start = sqlc.arg(start);

-- name: DropSecond :execrows
DELETE FROM second_count
 WHERE pair_id = sqlc.arg(pair_id) AND kind = sqlc.arg(kind) AND start = sqlc.arg(start) AND n = sqlc.arg(n);

-- name: LessenSecond :execrows
UPDATE second_count SET n = n - sqlc.arg(n)
 WHERE pair_id = sqlc.arg(pair_id) AND kind = sqlc.arg(kind) AND start = sqlc.arg(start);

-- name: EndingBetween :many
SELECT serial, not_before, not_after FROM certificate
 WHERE pair_id = sqlc.arg(pair_id) AND not_after > sqlc.arg(after) AND not_after <= sqlc.arg(until) AND status = 'issued'
 ORDER BY not_after, serial LIMIT sqlc.arg(lim);

-- name: SignedBetween :many
SELECT serial, der FROM (
    SELECT c.serial, d.der
      FROM certificate AS c JOIN certificate_der AS d ON d.serial = c.serial AND d.not_after = c.not_after
     WHERE c.issuer_id = sqlc.arg(issuer_id) AND c.serial > sqlc.arg(after) AND c.serial < sqlc.arg(before)
    UNION ALL
    SELECT m.serial, m.der FROM client_certificate AS m
     WHERE m.issuer_id = sqlc.arg(issuer_id) AND m.serial > sqlc.arg(after) AND m.serial < sqlc.arg(before)
    UNION ALL
    SELECT k.serial, k.certificate FROM key_pair AS k
     WHERE k.issuer_id = sqlc.arg(issuer_id) AND k.serial > sqlc.arg(after) AND k.serial < sqlc.arg(before)
) AS signed
 ORDER BY serial LIMIT sqlc.arg(lim);
