-- name: ReviseShard :exec
INSERT INTO crl_shard (issuer_id, shard, revision, revised_at, published, number, this_update, next_update)
VALUES (sqlc.arg(issuer_id), sqlc.arg(shard), 1, sqlc.arg(now), 0, 0, 0, 0)
ON CONFLICT (issuer_id, shard) DO UPDATE SET revision = crl_shard.revision + 1,
    revised_at = CASE WHEN crl_shard.revision > crl_shard.published THEN crl_shard.revised_at ELSE excluded.revised_at END;

-- name: AddShard :exec
INSERT INTO crl_shard (issuer_id, shard, revision, revised_at, published, number, this_update, next_update)
VALUES (sqlc.arg(issuer_id), sqlc.arg(shard), 0, 0, 0, 0, 0, 0)
ON CONFLICT (issuer_id, shard) DO NOTHING;

-- name: Shard :one
SELECT issuer_id, shard, revision, revised_at, published, crl_id, number, this_update, next_update
  FROM crl_shard WHERE issuer_id = sqlc.arg(issuer_id) AND shard = sqlc.arg(shard);

-- name: Shards :many
SELECT s.issuer_id, s.shard, s.revision, s.revised_at, s.published, s.crl_id, s.number, s.this_update, s.next_update,
       coalesce(c.number, 0) AS crl_number, coalesce(c.entries, 0) AS entries, coalesce(c.size, 0) AS size, c.sha256, coalesce(c.created_at, 0) AS created_at
  FROM crl_shard AS s LEFT JOIN crl AS c ON c.id = s.crl_id
 ORDER BY s.issuer_id, s.shard;

-- name: InsertCRL :exec
INSERT INTO crl (id, issuer_id, shard, number, state, this_update, next_update, entries, size, sha256, created_at)
VALUES (sqlc.arg(id), sqlc.arg(issuer_id), sqlc.arg(shard), sqlc.arg(number), 'building', sqlc.arg(this_update),
        sqlc.arg(next_update), sqlc.arg(entries), 0, sqlc.arg(sha256), sqlc.arg(created_at));

-- name: InsertCRLChunk :exec
INSERT INTO crl_chunk (crl_id, n, data) VALUES (sqlc.arg(crl_id), sqlc.arg(n), sqlc.arg(data));

-- name: PublishCRL :execrows
UPDATE crl SET state = 'published', size = sqlc.arg(size), sha256 = sqlc.arg(sha256)
 WHERE id = sqlc.arg(id) AND state = 'building';

-- name: MoveShard :execrows
UPDATE crl_shard
   SET crl_id = CAST(sqlc.arg(crl_id) AS TEXT), number = sqlc.arg(number), published = sqlc.arg(published),
       this_update = sqlc.arg(this_update), next_update = sqlc.arg(next_update), revised_at = sqlc.arg(revised_at)
 WHERE issuer_id = sqlc.arg(issuer_id) AND shard = sqlc.arg(shard) AND number = sqlc.arg(last_number) AND number < sqlc.arg(number);

-- name: CRLChunk :one
SELECT data FROM crl_chunk WHERE crl_id = sqlc.arg(crl_id) AND n = sqlc.arg(n);

-- name: OldCRLs :many
SELECT id FROM crl
 WHERE issuer_id = sqlc.arg(issuer_id) AND shard = sqlc.arg(shard) AND state = 'published'
 ORDER BY number DESC LIMIT sqlc.arg(lim) OFFSET sqlc.arg(keep);

-- name: CountCRLsSince :one
SELECT count(*) FROM crl
 WHERE issuer_id = sqlc.arg(issuer_id) AND shard = sqlc.arg(shard) AND state = 'published' AND created_at >= sqlc.arg(since);

-- name: DropCRL :execrows
UPDATE crl SET state = 'dropped' WHERE id = sqlc.arg(id) AND state <> 'dropped';

-- name: LeftCRLs :many
SELECT id FROM crl
 WHERE state = 'dropped' OR state = 'building' AND created_at < sqlc.arg(before)
 ORDER BY id LIMIT sqlc.arg(lim);

-- name: DropCRLChunks :execrows
DELETE FROM crl_chunk WHERE crl_chunk.crl_id = sqlc.arg(crl_id) AND crl_chunk.n IN
    (SELECT k.n FROM crl_chunk AS k WHERE k.crl_id = sqlc.arg(crl_id) ORDER BY k.n LIMIT sqlc.arg(lim));

-- name: ForgetCRL :execrows
DELETE FROM crl WHERE id = sqlc.arg(id) AND state = 'dropped';

-- name: InsertCARevocation :execrows
INSERT INTO ca_revocation (issuer_id, serial, crl_shard, not_after, revoked_at, reason, compromised_at)
VALUES (sqlc.arg(issuer_id), sqlc.arg(serial), sqlc.arg(crl_shard), sqlc.arg(not_after), sqlc.arg(revoked_at), sqlc.arg(reason),
        sqlc.narg(compromised_at))
ON CONFLICT (issuer_id, serial) DO NOTHING;

-- name: CARevocations :many
SELECT issuer_id, serial, crl_shard, not_after, revoked_at, reason, compromised_at
  FROM ca_revocation WHERE issuer_id = sqlc.arg(issuer_id) AND crl_shard = sqlc.arg(crl_shard) ORDER BY serial;

-- name: IssuerEnd :many
SELECT not_after FROM issuer_end WHERE issuer_id = sqlc.arg(issuer_id);

-- name: InsertIssuerEnd :exec
INSERT INTO issuer_end (issuer_id, not_after, counted_at)
VALUES (sqlc.arg(issuer_id), sqlc.arg(not_after), sqlc.arg(counted_at))
ON CONFLICT (issuer_id) DO NOTHING;

-- name: LastExpiryOfHour :one
SELECT CAST(coalesce(max(not_after), 0) AS BIGINT) FROM certificate
 WHERE serial >= sqlc.arg(first) AND serial < sqlc.arg(past) AND issuer_id = sqlc.arg(issuer_id);

-- name: LastClientExpiry :one
SELECT CAST(coalesce(max(not_after), 0) AS BIGINT) FROM client_certificate WHERE issuer_id = sqlc.arg(issuer_id);

-- name: LastKeyPairExpiry :one
SELECT CAST(coalesce(max(not_after), 0) AS BIGINT) FROM key_pair WHERE issuer_id = sqlc.arg(issuer_id);

-- name: RaiseCRLNumber :exec
UPDATE crl_shard SET number = sqlc.arg(number)
 WHERE issuer_id = sqlc.arg(issuer_id) AND shard = sqlc.arg(shard) AND number < sqlc.arg(number);

-- name: RevokedCAs :many
SELECT issuer_id, serial FROM ca_revocation;
