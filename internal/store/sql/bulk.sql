-- name: InsertBulk :exec
INSERT INTO bulk_revocation (id, filter, reason, compromised_at, state, as_of, cursor, examined, matched, revoked, sample, requested_by, created_at)
VALUES (sqlc.arg(id), sqlc.arg(filter), sqlc.arg(reason), sqlc.narg(compromised_at), 'counting', sqlc.arg(as_of), sqlc.arg(cursor), 0, 0, 0,
        '[]', sqlc.arg(requested_by), sqlc.arg(created_at));

-- name: Bulk :one
SELECT id, filter, reason, compromised_at, state, as_of, cursor, examined, matched, revoked, sample, requested_by, created_at,
       started_at, finished_at
  FROM bulk_revocation WHERE id = sqlc.arg(id);

-- name: Bulks :many
SELECT id, filter, reason, compromised_at, state, as_of, cursor, examined, matched, revoked, sample, requested_by, created_at,
       started_at, finished_at
  FROM bulk_revocation WHERE id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(lim);

-- name: AdvanceBulk :execrows
UPDATE bulk_revocation
   SET cursor = sqlc.arg(next), examined = examined + sqlc.arg(examined), matched = matched + sqlc.arg(matched),
       revoked = revoked + sqlc.arg(revoked), sample = sqlc.arg(sample)
 WHERE id = sqlc.arg(id) AND state = sqlc.arg(state) AND cursor = sqlc.arg(cursor);

-- name: MoveBulk :execrows
UPDATE bulk_revocation
   SET state = sqlc.arg(to_state), cursor = sqlc.arg(cursor), examined = CASE WHEN CAST(sqlc.arg(restart) AS BOOLEAN) THEN 0 ELSE examined END,
       started_at = coalesce(sqlc.narg(started_at), started_at), finished_at = coalesce(sqlc.narg(finished_at), finished_at)
 WHERE id = sqlc.arg(id) AND state = sqlc.arg(from_state);

-- name: ScanEnd :many
SELECT serial FROM certificate
 WHERE serial > sqlc.arg(after) AND serial < sqlc.arg(past) ORDER BY serial LIMIT 1 OFFSET sqlc.arg(skip);

-- name: ScanCount :one
SELECT count(*) FROM certificate WHERE serial > sqlc.arg(after) AND serial < sqlc.arg(past);

-- name: ScanCertificates :many
SELECT c.serial, c.pair_id, c.issuer_id, c.crl_shard, c.spki_hash, c.not_after, c.accepted_at, p.account_id
  FROM certificate AS c JOIN pair AS p ON p.id = c.pair_id
 WHERE c.serial > sqlc.arg(after) AND c.serial <= sqlc.arg(last) AND c.status = 'issued' AND c.not_after > sqlc.arg(now)
   AND c.accepted_at >= sqlc.arg(from_at) AND c.accepted_at <= sqlc.arg(until_at)
   AND (CAST(sqlc.arg(issuer_id) AS TEXT) = '' OR c.issuer_id = CAST(sqlc.arg(issuer_id) AS TEXT))
   AND (NOT CAST(sqlc.arg(by_key) AS BOOLEAN) OR c.spki_hash = sqlc.arg(spki_hash))
   AND (CAST(sqlc.arg(account_id) AS TEXT) = '' OR p.account_id = CAST(sqlc.arg(account_id) AS TEXT))
   AND (CAST(sqlc.arg(identity_id) AS TEXT) = '' OR p.identity_id = CAST(sqlc.arg(identity_id) AS TEXT))
 ORDER BY c.serial;

-- name: RevokeFound :execrows
UPDATE certificate
   SET status = 'revoked', updated_at = sqlc.arg(now), revoked_at = sqlc.arg(now), reason = CAST(sqlc.arg(reason) AS TEXT),
       compromised_at = sqlc.narg(compromised_at)
 WHERE serial = sqlc.arg(serial) AND status = 'issued';

-- name: MarkCompromised :many
UPDATE certificate
   SET updated_at = sqlc.arg(now), reason = 'keyCompromise', compromised_at = coalesce(sqlc.narg(compromised_at), compromised_at)
 WHERE serial = sqlc.arg(serial) AND status = 'revoked' AND reason <> 'keyCompromise'
RETURNING issuer_id, crl_shard;
