-- name: InsertCredential :exec
INSERT INTO credential (id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state,
                        epoch, created_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(name), sqlc.arg(api_key), sqlc.arg(secret_mac),
        sqlc.arg(pepper_version), sqlc.arg(pair_id), sqlc.arg(mtls), sqlc.arg(allowed_ips), sqlc.arg(state),
        sqlc.arg(epoch), sqlc.arg(created_at));

-- name: Credential :one
SELECT id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state, epoch, created_at
  FROM credential WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: CredentialByID :one
SELECT id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state, epoch, created_at
  FROM credential WHERE id = sqlc.arg(id);

-- name: CredentialByKey :one
SELECT id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state, epoch, created_at
  FROM credential WHERE api_key = sqlc.arg(api_key);

-- name: LiveCredentials :many
SELECT id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state, epoch, created_at
  FROM credential WHERE state <> 'deleted';

-- name: CredentialsOfAccount :many
SELECT sqlc.embed(c), u.at AS used_at, u.address AS used_from
  FROM credential AS c LEFT JOIN credential_use AS u ON u.credential_id = c.id
 WHERE c.account_id = sqlc.arg(account_id) AND c.id > sqlc.arg(after)
 ORDER BY c.id LIMIT sqlc.arg(lim);

-- name: CredentialUse :many
SELECT at, address FROM credential_use WHERE credential_id = sqlc.arg(credential_id);

-- name: SetCredentialState :execrows
UPDATE credential SET state = sqlc.arg(to_state), epoch = epoch + 1
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = sqlc.arg(from_state);

-- name: SetCredentialPair :execrows
UPDATE credential SET pair_id = sqlc.arg(pair_id), epoch = epoch + 1
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND epoch = sqlc.arg(epoch) AND state <> 'deleted';

-- name: SetCredentialAddresses :execrows
UPDATE credential SET allowed_ips = sqlc.arg(allowed_ips), epoch = epoch + 1
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND epoch = sqlc.arg(epoch) AND state <> 'deleted';

-- name: NoteCredentialUse :exec
INSERT INTO credential_use (credential_id, at, address)
VALUES (sqlc.arg(credential_id), sqlc.arg(at), sqlc.arg(address))
ON CONFLICT (credential_id) DO UPDATE SET at = excluded.at, address = excluded.address;
