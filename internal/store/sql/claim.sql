-- name: InsertClaim :execrows
INSERT INTO claim (id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open,
                   status, created_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(identity_id), sqlc.arg(kind), sqlc.arg(name), sqlc.arg(labels),
        sqlc.arg(lookup), sqlc.arg(token), sqlc.arg(token_at), sqlc.arg(assert_by), sqlc.arg(round), TRUE,
        'pending', sqlc.arg(created_at))
ON CONFLICT (identity_id, kind, name) DO NOTHING;

-- name: Claim :one
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim WHERE identity_id = sqlc.arg(identity_id) AND kind = sqlc.arg(kind) AND id = sqlc.arg(id);

-- name: ClaimByID :one
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim WHERE id = sqlc.arg(id);

-- name: LockClaim :one
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim WHERE id = sqlc.arg(id) FOR UPDATE;

-- name: ClaimByName :one
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim WHERE identity_id = sqlc.arg(identity_id) AND kind = sqlc.arg(kind) AND name = sqlc.arg(name);

-- name: BeginClaimCheck :execrows
UPDATE claim SET check_id = CAST(sqlc.arg(check_id) AS TEXT), check_until = CAST(sqlc.arg(check_until) AS BIGINT)
 WHERE id = sqlc.arg(id) AND round = sqlc.arg(round)
   AND (check_until IS NULL OR check_until <= CAST(sqlc.arg(now) AS BIGINT) OR check_id = CAST(sqlc.arg(check_id) AS TEXT));

-- name: EndClaimCheck :execrows
UPDATE claim SET check_id = NULL, check_until = NULL
 WHERE id = sqlc.arg(id) AND round = sqlc.arg(round) AND check_id = CAST(sqlc.arg(check_id) AS TEXT);

-- name: VerifyClaim :execrows
UPDATE claim
   SET status = 'verified', token_open = FALSE, verification_id = CAST(sqlc.arg(verification_id) AS TEXT),
       verified_at = CAST(sqlc.arg(verified_at) AS BIGINT), method = CAST(sqlc.arg(method) AS TEXT), adn = CAST(sqlc.arg(adn) AS TEXT),
       coverage = CAST(sqlc.arg(coverage) AS TEXT), expires_at = CAST(sqlc.arg(expires_at) AS BIGINT),
       check_id = NULL, check_until = NULL
 WHERE id = sqlc.arg(id) AND round = sqlc.arg(round);

-- name: ReassertClaim :execrows
UPDATE claim
   SET old_token = CAST(sqlc.arg(old_token) AS TEXT), token = sqlc.arg(token), token_at = sqlc.arg(token_at), assert_by = sqlc.arg(assert_by), round = round + 1,
       token_open = TRUE, check_id = NULL, check_until = NULL
 WHERE identity_id = sqlc.arg(identity_id) AND id = sqlc.arg(id);

-- name: ExpireClaim :execrows
UPDATE claim SET status = 'pending'
 WHERE id = sqlc.arg(id) AND status = 'verified' AND expires_at <= CAST(sqlc.arg(now) AS BIGINT);

-- name: ExpiredClaims :many
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim
 WHERE identity_id = sqlc.arg(identity_id) AND status = 'verified' AND expires_at <= CAST(sqlc.arg(now) AS BIGINT)
 ORDER BY expires_at, id LIMIT sqlc.arg(lim);

-- name: DeleteClaim :execrows
DELETE FROM claim WHERE id = sqlc.arg(id);

-- name: DeleteClaimLog :exec
DELETE FROM claim_log WHERE claim_id = sqlc.arg(claim_id);

-- name: EndVerifications :exec
UPDATE verification SET ended_at = CAST(sqlc.arg(now) AS BIGINT) WHERE claim_id = sqlc.arg(claim_id) AND ended_at IS NULL;

-- name: InsertClaimLog :exec
INSERT INTO claim_log (claim_id, id, at, status, method, description, evidence)
VALUES (sqlc.arg(claim_id), sqlc.arg(id), sqlc.arg(at), sqlc.arg(status), sqlc.arg(method), sqlc.arg(description), sqlc.arg(evidence));

-- name: TrimClaimLog :exec
DELETE FROM claim_log AS l WHERE l.claim_id = sqlc.arg(claim_id) AND l.id < (
    SELECT k.id FROM claim_log AS k WHERE k.claim_id = sqlc.arg(claim_id) ORDER BY k.id DESC LIMIT 1 OFFSET sqlc.arg(keep));

-- name: ClaimLog :many
SELECT claim_id, id, at, status, method, description, evidence FROM claim_log WHERE claim_id = sqlc.arg(claim_id) ORDER BY id;

-- name: ClaimsFrom :many
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim
 WHERE identity_id = sqlc.arg(identity_id) AND kind = sqlc.arg(kind)
   AND created_at >= sqlc.arg(first) AND created_at <= sqlc.arg(last)
 ORDER BY created_at DESC, id DESC LIMIT sqlc.arg(lim) OFFSET sqlc.arg(skip);

-- name: ClaimsOfStatusFrom :many
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim
 WHERE identity_id = sqlc.arg(identity_id) AND kind = sqlc.arg(kind) AND status = sqlc.arg(status)
   AND created_at >= sqlc.arg(first) AND created_at <= sqlc.arg(last)
 ORDER BY created_at DESC, id DESC LIMIT sqlc.arg(lim) OFFSET sqlc.arg(skip);

-- The names decide what is read by a pattern: "+ 0" keeps SQLite from reading by the
-- time.
-- name: ClaimsLike :many
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim
 WHERE id IN (
    SELECT c.id FROM claim AS c
     WHERE c.identity_id = sqlc.arg(identity_id) AND c.kind = sqlc.arg(kind) AND c.labels = sqlc.arg(labels)
       AND c.lookup >= sqlc.arg(low) AND c.lookup < sqlc.arg(high) AND c.name LIKE sqlc.arg(pattern)
       AND c.created_at + 0 >= sqlc.arg(first) AND c.created_at + 0 <= sqlc.arg(last)
       AND (CAST(sqlc.arg(status) AS TEXT) = '' OR c.status = sqlc.arg(status))
     ORDER BY c.created_at + 0 DESC, c.id DESC LIMIT sqlc.arg(lim) OFFSET sqlc.arg(skip))
 ORDER BY created_at DESC, id DESC;

-- name: CountClaimsLike :one
SELECT count(*) FROM claim
 WHERE identity_id = sqlc.arg(identity_id) AND kind = sqlc.arg(kind) AND labels = sqlc.arg(labels)
   AND lookup >= sqlc.arg(low) AND lookup < sqlc.arg(high) AND name LIKE sqlc.arg(pattern)
   AND created_at + 0 >= sqlc.arg(first) AND created_at + 0 <= sqlc.arg(last)
   AND (CAST(sqlc.arg(status) AS TEXT) = '' OR status = sqlc.arg(status));

-- name: AccountClaim :one
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: AccountClaims :many
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token
  FROM claim
 WHERE account_id = sqlc.arg(account_id) AND id < sqlc.arg(before)
   AND (CAST(sqlc.arg(kind) AS TEXT) = '' OR kind = sqlc.arg(kind))
   AND (CAST(sqlc.arg(identity_id) AS TEXT) = '' OR identity_id = sqlc.arg(identity_id))
   AND (CAST(sqlc.arg(state) AS TEXT) = ''
        OR sqlc.arg(state) = 'pending' AND verified_at IS NULL
        OR sqlc.arg(state) = 'verified' AND status = 'verified' AND expires_at > CAST(sqlc.arg(now) AS BIGINT)
        OR sqlc.arg(state) = 'expiring' AND status = 'verified' AND expires_at > CAST(sqlc.arg(now) AS BIGINT)
           AND expires_at <= CAST(sqlc.arg(soon) AS BIGINT)
        OR sqlc.arg(state) = 'expired' AND verified_at IS NOT NULL
           AND (status = 'pending' OR expires_at <= CAST(sqlc.arg(now) AS BIGINT)))
   AND (CAST(sqlc.arg(pattern) AS TEXT) = ''
        OR labels = sqlc.arg(labels) AND lookup >= sqlc.arg(low) AND lookup < sqlc.arg(high) AND name LIKE sqlc.arg(pattern))
 ORDER BY id DESC LIMIT sqlc.arg(lim) OFFSET sqlc.arg(skip);

-- name: CountAccountClaims :one
SELECT count(*) FROM (
    SELECT 1 AS one FROM claim
     WHERE account_id = sqlc.arg(account_id)
       AND (CAST(sqlc.arg(kind) AS TEXT) = '' OR kind = sqlc.arg(kind))
       AND (CAST(sqlc.arg(identity_id) AS TEXT) = '' OR identity_id = sqlc.arg(identity_id))
       AND (CAST(sqlc.arg(state) AS TEXT) = ''
            OR sqlc.arg(state) = 'pending' AND verified_at IS NULL
            OR sqlc.arg(state) = 'verified' AND status = 'verified' AND expires_at > CAST(sqlc.arg(now) AS BIGINT)
            OR sqlc.arg(state) = 'expiring' AND status = 'verified' AND expires_at > CAST(sqlc.arg(now) AS BIGINT)
               AND expires_at <= CAST(sqlc.arg(soon) AS BIGINT)
            OR sqlc.arg(state) = 'expired' AND verified_at IS NOT NULL
               AND (status = 'pending' OR expires_at <= CAST(sqlc.arg(now) AS BIGINT)))
       AND (CAST(sqlc.arg(pattern) AS TEXT) = ''
            OR labels = sqlc.arg(labels) AND lookup >= sqlc.arg(low) AND lookup < sqlc.arg(high) AND name LIKE sqlc.arg(pattern))
     LIMIT sqlc.arg(lim)) AS counted;

-- name: ClaimCounts :many
SELECT start, n FROM claim_count
 WHERE identity_id = sqlc.arg(identity_id) AND kind = sqlc.arg(kind) AND part = sqlc.arg(part) AND unit = sqlc.arg(unit)
   AND start >= sqlc.arg(first) AND start <= sqlc.arg(last) AND n > 0
 ORDER BY start DESC;

-- name: AddClaimCount :exec
INSERT INTO claim_count (identity_id, kind, part, unit, start, n)
VALUES (sqlc.arg(identity_id), sqlc.arg(kind), sqlc.arg(part), sqlc.arg(unit), sqlc.arg(start), sqlc.arg(n))
ON CONFLICT (identity_id, kind, part, unit, start) DO UPDATE SET n = claim_count.n + excluded.n;

-- name: LessenClaimCount :execrows
UPDATE claim_count SET n = n - sqlc.arg(n)
 WHERE identity_id = sqlc.arg(identity_id) AND kind = sqlc.arg(kind) AND part = sqlc.arg(part) AND unit = sqlc.arg(unit)
   AND start = sqlc.arg(start);

-- name: InsertVerification :exec
INSERT INTO verification (id, claim_id, account_id, identity_id, kind, name, adn, method, coverage, at, token_at, evidence)
VALUES (sqlc.arg(id), sqlc.arg(claim_id), sqlc.arg(account_id), sqlc.arg(identity_id), sqlc.arg(kind), sqlc.arg(name),
        sqlc.arg(adn), sqlc.arg(method), sqlc.arg(coverage), sqlc.arg(at), sqlc.arg(token_at), sqlc.arg(evidence));

-- name: CertificateEvidence :one
SELECT names FROM certificate_evidence WHERE serial = sqlc.arg(serial);

-- name: CertificateBySerial :one
SELECT c.serial, c.pair_id, c.credential_id, c.issuer_id, c.policy_version, c.crl_shard, c.spki_hash, c.not_before, c.not_after,
       c.accepted_at, c.rekey_of, c.status, c.updated_at, c.revoked_at, c.reason, c.compromised_at, c.attested, p.account_id
  FROM certificate AS c JOIN pair AS p ON p.id = c.pair_id WHERE c.serial = sqlc.arg(serial);

-- name: InsertApproval :exec
INSERT INTO mail_approval (id, claim_id, account_id, identity_id, name, round, address, adn, method, through, nonce, created_at,
                           expires_at)
VALUES (sqlc.arg(id), sqlc.arg(claim_id), sqlc.arg(account_id), sqlc.arg(identity_id), sqlc.arg(name), sqlc.arg(round),
        sqlc.arg(address), sqlc.arg(adn), sqlc.arg(method), sqlc.arg(through), sqlc.arg(nonce), sqlc.arg(created_at),
        sqlc.arg(expires_at));

-- name: Approval :one
SELECT id, claim_id, account_id, identity_id, name, round, address, adn, method, through, nonce, created_at, expires_at, used_at
  FROM mail_approval WHERE id = sqlc.arg(id);

-- name: CountApprovals :one
SELECT count(*) FROM mail_approval
 WHERE account_id = sqlc.arg(account_id) AND address = sqlc.arg(address) AND created_at > sqlc.arg(since);

-- name: UseApproval :execrows
UPDATE mail_approval SET used_at = CAST(sqlc.arg(now) AS BIGINT) WHERE id = sqlc.arg(id) AND used_at IS NULL;

-- name: OldestVerifications :many
SELECT id, at FROM verification ORDER BY id LIMIT sqlc.arg(lim);

-- name: DropVerification :exec
DELETE FROM verification WHERE id = sqlc.arg(id);

-- name: OldestApprovals :many
SELECT id, expires_at FROM mail_approval ORDER BY id LIMIT sqlc.arg(lim);

-- name: DropApproval :exec
DELETE FROM mail_approval WHERE id = sqlc.arg(id);
