-- name: InsertKeyPair :exec
INSERT INTO key_pair (id, account_id, name, name_key, key_type, key_name, spki, certificate, serial, issuer_id, crl_shard, not_after,
                      state, created_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(name), sqlc.arg(name_key), sqlc.arg(key_type), sqlc.arg(key_name),
        sqlc.arg(spki), sqlc.narg(certificate), sqlc.narg(serial), sqlc.narg(issuer_id), sqlc.narg(crl_shard), sqlc.narg(not_after),
        sqlc.arg(state), sqlc.arg(created_at));

-- name: KeyPair :one
SELECT id, account_id, name, name_key, key_type, key_name, spki, certificate, serial, issuer_id, crl_shard, not_after, revoked_at,
       reason, state, created_at
  FROM key_pair WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: LockKeyPair :one
SELECT id, account_id, name, name_key, key_type, key_name, spki, certificate, serial, issuer_id, crl_shard, not_after, revoked_at,
       reason, state, created_at
  FROM key_pair WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) FOR UPDATE;

-- name: KeyPairs :many
SELECT id, account_id, name, name_key, key_type, key_name, spki, certificate, serial, issuer_id, crl_shard, not_after, revoked_at,
       reason, state, created_at
  FROM key_pair
 WHERE account_id = sqlc.arg(account_id) AND state <> 'deleted' AND id > sqlc.arg(after)
   AND (CAST(sqlc.arg(any_serial) AS BIGINT) = 1 OR serial = sqlc.arg(serial))
   AND (CAST(sqlc.arg(name_key) AS TEXT) = '' OR name_key = CAST(sqlc.arg(name_key) AS TEXT))
   AND (CAST(sqlc.arg(status) AS TEXT) = ''
        OR certificate IS NOT NULL
           AND (CAST(sqlc.arg(status) AS TEXT) = 'any'
                OR CAST(sqlc.arg(status) AS TEXT) = 'revoked' AND state = 'revoked'
                OR CAST(sqlc.arg(status) AS TEXT) = 'active' AND state <> 'revoked' AND not_after >= sqlc.arg(now)
                OR CAST(sqlc.arg(status) AS TEXT) = 'expired' AND state <> 'revoked' AND not_after < sqlc.arg(now)))
 ORDER BY id LIMIT sqlc.arg(lim) OFFSET sqlc.arg(skip);

-- name: CountKeyPairs :one
SELECT count(*) FROM key_pair
 WHERE account_id = sqlc.arg(account_id) AND state <> 'deleted' AND id > sqlc.arg(after)
   AND (CAST(sqlc.arg(any_serial) AS BIGINT) = 1 OR serial = sqlc.arg(serial))
   AND (CAST(sqlc.arg(name_key) AS TEXT) = '' OR name_key = CAST(sqlc.arg(name_key) AS TEXT))
   AND (CAST(sqlc.arg(status) AS TEXT) = ''
        OR certificate IS NOT NULL
           AND (CAST(sqlc.arg(status) AS TEXT) = 'any'
                OR CAST(sqlc.arg(status) AS TEXT) = 'revoked' AND state = 'revoked'
                OR CAST(sqlc.arg(status) AS TEXT) = 'active' AND state <> 'revoked' AND not_after >= sqlc.arg(now)
                OR CAST(sqlc.arg(status) AS TEXT) = 'expired' AND state <> 'revoked' AND not_after < sqlc.arg(now)));

-- name: SetKeyPairState :execrows
UPDATE key_pair SET state = sqlc.arg(to_state), revoked_at = sqlc.narg(revoked_at), reason = sqlc.narg(reason)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = sqlc.arg(from_state);

-- name: KeyPairKeys :many
SELECT id, account_id, key_name, spki, state FROM key_pair ORDER BY id;
