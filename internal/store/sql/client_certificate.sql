-- name: ClaimClientKey :exec
INSERT INTO client_key (spki_hash, account_id) VALUES (sqlc.arg(spki_hash), sqlc.arg(account_id))
ON CONFLICT (spki_hash) DO NOTHING;

-- name: ClientKeyOwner :many
SELECT account_id FROM client_key WHERE spki_hash = sqlc.arg(spki_hash);

-- name: InsertClientCert :exec
INSERT INTO client_certificate (id, account_id, fingerprint, serial, issuer_id, der, spki_hash, crl_shard, not_after,
                                state, created_at, user_id, name, name_key, not_before)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(fingerprint), sqlc.arg(serial), sqlc.arg(issuer_id), sqlc.arg(der),
        sqlc.arg(spki_hash), sqlc.arg(crl_shard), sqlc.arg(not_after), sqlc.arg(state), sqlc.arg(created_at),
        sqlc.narg(user_id), sqlc.arg(name), sqlc.arg(name_key), sqlc.narg(not_before));

-- name: ClientCert :one
SELECT id, account_id, fingerprint, serial, issuer_id, der, spki_hash, crl_shard, not_after, state, revoked_at, reason,
       created_at, user_id, name, name_key, not_before, first_used_at, deleted_at
  FROM client_certificate WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: ClientCertsOfAccount :many
SELECT id, account_id, fingerprint, serial, issuer_id, der, spki_hash, crl_shard, not_after, state, revoked_at, reason,
       created_at, user_id, name, name_key, not_before, first_used_at, deleted_at
  FROM client_certificate WHERE account_id = sqlc.arg(account_id) AND id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(lim);

-- name: ClientCertBySerial :one
SELECT der FROM client_certificate WHERE serial = sqlc.arg(serial) AND user_id IS NULL;

-- name: ClientCertFacts :one
SELECT id, account_id, fingerprint, serial, issuer_id, spki_hash, crl_shard, not_after, state, created_at, user_id, name, not_before,
       first_used_at, deleted_at
  FROM client_certificate WHERE id = sqlc.arg(id);

-- name: ClientCertFactsByFingerprint :one
SELECT id, account_id, fingerprint, serial, issuer_id, spki_hash, crl_shard, not_after, state, created_at, user_id, name, not_before,
       first_used_at, deleted_at
  FROM client_certificate WHERE fingerprint = sqlc.arg(fingerprint);

-- name: AllClientCertFacts :many
SELECT id, account_id, fingerprint, serial, issuer_id, spki_hash, crl_shard, not_after, state, created_at, user_id, name, not_before,
       first_used_at, deleted_at
  FROM client_certificate;

-- name: SetClientCertState :execrows
UPDATE client_certificate SET state = sqlc.arg(to_state), revoked_at = sqlc.narg(revoked_at), reason = sqlc.narg(reason)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = sqlc.arg(from_state);

-- name: NoteFirstUse :execrows
UPDATE client_certificate SET first_used_at = sqlc.arg(at)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND first_used_at IS NULL;

-- name: NoteClientCertUse :exec
INSERT INTO client_certificate_use (client_certificate_id, used_at)
SELECT id, CAST(sqlc.arg(at) AS BIGINT) FROM client_certificate WHERE id = sqlc.arg(id)
ON CONFLICT (client_certificate_id) DO UPDATE SET used_at = excluded.used_at
 WHERE client_certificate_use.used_at < excluded.used_at;

-- name: UserCertUses :many
SELECT u.client_certificate_id, u.used_at
  FROM client_certificate AS c JOIN client_certificate_use AS u ON u.client_certificate_id = c.id
 WHERE c.account_id = sqlc.arg(account_id) AND c.user_id IS NOT NULL AND c.deleted_at IS NULL;

-- name: ClientCertLinks :many
SELECT credential_id FROM client_certificate_link
 WHERE client_certificate_id = sqlc.arg(client_certificate_id) ORDER BY credential_id;

-- name: ClientCertsOfCredential :many
SELECT client_certificate_id FROM client_certificate_link
 WHERE credential_id = sqlc.arg(credential_id) ORDER BY client_certificate_id;

-- name: AllClientCertLinks :many
SELECT client_certificate_id, credential_id FROM client_certificate_link ORDER BY client_certificate_id, credential_id;

-- name: LinkClientCert :execrows
INSERT INTO client_certificate_link (client_certificate_id, credential_id, created_at)
VALUES (sqlc.arg(client_certificate_id), sqlc.arg(credential_id), sqlc.arg(created_at))
ON CONFLICT (client_certificate_id, credential_id) DO NOTHING;

-- name: UnlinkClientCert :execrows
DELETE FROM client_certificate_link
 WHERE client_certificate_id = sqlc.arg(client_certificate_id) AND credential_id = sqlc.arg(credential_id);

-- name: OldestClientCert :many
SELECT serial FROM client_certificate ORDER BY serial LIMIT 1;

-- name: ExpiredClientCerts :many
SELECT id, account_id, serial, not_after FROM client_certificate WHERE not_after < sqlc.arg(before) ORDER BY serial LIMIT sqlc.arg(lim);

-- name: UnlinkAllOfClientCert :exec
DELETE FROM client_certificate_link WHERE client_certificate_id = sqlc.arg(client_certificate_id);

-- name: DropClientCert :exec
DELETE FROM client_certificate WHERE id = sqlc.arg(id);

-- name: ClientCertsOfUser :many
SELECT id, account_id, fingerprint, serial, issuer_id, der, spki_hash, crl_shard, not_after, state, revoked_at, reason,
       created_at, user_id, name, name_key, not_before, first_used_at, deleted_at
  FROM client_certificate
 WHERE account_id = sqlc.arg(account_id) AND user_id = sqlc.arg(user_id) AND deleted_at IS NULL ORDER BY id;

-- name: UserCertFactsOfAccount :many
SELECT id, account_id, fingerprint, serial, issuer_id, spki_hash, crl_shard, not_after, state, created_at, user_id, name, not_before,
       first_used_at, deleted_at
  FROM client_certificate
 WHERE account_id = sqlc.arg(account_id) AND user_id IS NOT NULL AND deleted_at IS NULL ORDER BY id DESC LIMIT sqlc.arg(lim);

-- name: EndingClientCerts :many
SELECT id, account_id, fingerprint, serial, issuer_id, spki_hash, crl_shard, not_after, state, created_at, user_id, name, not_before,
       first_used_at, deleted_at
  FROM client_certificate
 WHERE id > sqlc.arg(after) AND not_after > sqlc.arg(ends_after) AND not_after <= sqlc.arg(ends_until) AND state = 'active'
   AND deleted_at IS NULL ORDER BY id LIMIT sqlc.arg(lim);

-- name: ClientCertNamed :many
SELECT id FROM client_certificate
 WHERE account_id = sqlc.arg(account_id) AND user_id = sqlc.arg(user_id) AND name_key = sqlc.arg(name_key) AND deleted_at IS NULL;

-- name: ActiveTokenEnds :many
SELECT ends_at FROM api_token
 WHERE account_id = sqlc.arg(account_id) AND user_id = sqlc.arg(user_id) AND state = 'active';

-- name: DeleteClientCert :execrows
UPDATE client_certificate
   SET state = 'revoked', revoked_at = sqlc.arg(revoked_at), reason = sqlc.arg(reason), deleted_at = sqlc.arg(deleted_at)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = sqlc.arg(from_state) AND deleted_at IS NULL;

-- name: InsertDownload :exec
INSERT INTO pkcs12_download (client_certificate_id, token_hash, sealed, expires_at)
VALUES (sqlc.arg(client_certificate_id), sqlc.arg(token_hash), sqlc.arg(sealed), sqlc.arg(expires_at));

-- name: Download :one
SELECT client_certificate_id, token_hash, sealed, expires_at FROM pkcs12_download
 WHERE client_certificate_id = sqlc.arg(client_certificate_id);

-- name: DropDownload :execrows
DELETE FROM pkcs12_download WHERE client_certificate_id = sqlc.arg(client_certificate_id);

-- name: DropExpiredDownloads :execrows
DELETE FROM pkcs12_download WHERE client_certificate_id IN (
    SELECT d.client_certificate_id FROM pkcs12_download AS d
     WHERE d.expires_at <= sqlc.arg(before) ORDER BY d.expires_at LIMIT sqlc.arg(lim));
