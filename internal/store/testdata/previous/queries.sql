-- name: Account
SELECT id, name, state, created_at FROM account WHERE id = $1

-- name: AccountByName
SELECT id, name, state, created_at FROM account WHERE name = $1

-- name: Accounts
SELECT id, name, state, created_at FROM account WHERE id > $1 ORDER BY id LIMIT $2

-- name: AllIdentities
SELECT id, account_id, name, data, state, expires_at, created_at FROM identity

-- name: AllPairs
SELECT id, account_id, subscription_id, identity_id, created_at FROM pair

-- name: AllSubscriptions
SELECT id, account_id, service_id, created_at FROM subscription

-- name: ChangeService
UPDATE service
   SET version = version + 1, policy_template = $1, series_id = $2,
       domain_validation = $3, strict_content = $4,
       strict_caa = $5, strict_mpic = $6, unlimited = $7,
       sticky_tokens = $8,
       changed_at = $9
 WHERE id = $10 AND version = $11

-- name: EditDraftIdentity
UPDATE identity SET name = $1, data = $2
 WHERE account_id = $3 AND id = $4 AND state = 'draft'

-- name: Identities
SELECT id, account_id, name, data, state, expires_at, created_at FROM identity
 WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3

-- name: Identity
SELECT id, account_id, name, data, state, expires_at, created_at FROM identity
 WHERE account_id = $1 AND id = $2

-- name: IdentityByID
SELECT id, account_id, name, data, state, expires_at, created_at FROM identity WHERE id = $1

-- name: InsertAccount
INSERT INTO account (id, name, state, created_at)
VALUES ($1, $2, $3, $4)

-- name: InsertIdentity
INSERT INTO identity (id, account_id, name, data, state, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6,
        $7)

-- name: InsertLot
INSERT INTO quota_lot (id, subscription_id, amount, used, starts_at, expires_at, created_at)
VALUES ($1, $2, $3, 0, $4, $5,
        $6)

-- name: InsertPair
INSERT INTO pair (id, account_id, subscription_id, identity_id, created_at)
VALUES ($1, $2, $3, $4, $5)

-- name: InsertService
INSERT INTO service (id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa,
                     strict_mpic, unlimited, created_at, changed_at, sticky_tokens)
VALUES ($1, $2, $3, $4, $5,
        $6, $7, $8, $9,
        $10, $11, $12, $13)

-- name: InsertSubscription
INSERT INTO subscription (id, account_id, service_id, created_at)
VALUES ($1, $2, $3, $4)

-- name: InsertUser
INSERT INTO account_user (id, account_id, email, name, password_hash, roles, state, created_at)
VALUES ($1, $2, $3, $4, $5, $6,
        $7, $8)

-- name: Lots
SELECT l.id, l.subscription_id, l.amount, l.used, l.starts_at, l.expires_at, l.created_at
  FROM subscription AS s JOIN quota_lot AS l ON l.subscription_id = s.id
 WHERE s.account_id = $1 AND s.id = $2
 ORDER BY l.expires_at, l.id

-- name: MoveIdentity
UPDATE identity SET state = $1, expires_at = $2
 WHERE account_id = $3 AND id = $4 AND state = $5

-- name: NextPairID
SELECT CAST(coalesce(max(id), 0) + 1 AS BIGINT) FROM pair

-- name: PairByID
SELECT id, account_id, subscription_id, identity_id, created_at FROM pair WHERE id = $1

-- name: PairOf
SELECT id, account_id, subscription_id, identity_id, created_at FROM pair
 WHERE account_id = $1 AND subscription_id = $2
   AND identity_id = $3

-- name: Service
SELECT id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa, strict_mpic,
       unlimited, created_at, changed_at, sticky_tokens
  FROM service WHERE id = $1

-- name: ServiceByName
SELECT id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa, strict_mpic,
       unlimited, created_at, changed_at, sticky_tokens
  FROM service WHERE name = $1

-- name: Services
SELECT id, name, version, policy_template, series_id, domain_validation, strict_content, strict_caa, strict_mpic,
       unlimited, created_at, changed_at, sticky_tokens
  FROM service WHERE id > $1 ORDER BY id LIMIT $2

-- name: SetAccountState
UPDATE account SET state = $1 WHERE id = $2 AND state = $3

-- name: SetUserPassword
UPDATE account_user SET password_hash = $1
 WHERE account_id = $2 AND id = $3 AND state <> 'deleted'

-- name: SetUserState
UPDATE account_user SET state = $1
 WHERE account_id = $2 AND id = $3 AND state = $4

-- name: Subscription
SELECT id, account_id, service_id, created_at FROM subscription
 WHERE account_id = $1 AND id = $2

-- name: SubscriptionByID
SELECT id, account_id, service_id, created_at FROM subscription WHERE id = $1

-- name: Subscriptions
SELECT id, account_id, service_id, created_at FROM subscription
 WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3

-- name: User
SELECT id, account_id, email, name, password_hash, roles, state, created_at FROM account_user
 WHERE account_id = $1 AND id = $2

-- name: Users
SELECT id, account_id, email, name, password_hash, roles, state, created_at FROM account_user
 WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3

-- name: AccountEventsAfter
SELECT id, at, account_id, payload FROM audit_event
 WHERE account_id = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4

-- name: AccountEventsBefore
SELECT id, at, account_id, payload FROM audit_event
 WHERE account_id = $1 AND id < $2 AND id > $3 ORDER BY id DESC LIMIT $4

-- name: AuditHead
SELECT size, root, checkpoint, at FROM audit_tree WHERE id = 1

-- name: CountEvents
SELECT count(*) FROM audit_event WHERE id >= $1 AND id <= $2

-- name: CountEventsAfter
SELECT count(*) FROM (SELECT e.id FROM audit_event AS e WHERE e.id > $1 ORDER BY e.id LIMIT $2) AS recent

-- name: Event
SELECT id, at, account_id, payload FROM audit_event WHERE id = $1

-- name: EventIDs
SELECT id FROM audit_event WHERE id >= $1 AND id <= $2 ORDER BY id

-- name: EventsAfter
SELECT id, at, account_id, payload FROM audit_event
 WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3

-- name: EventsBefore
SELECT id, at, account_id, payload FROM audit_event
 WHERE id < $1 AND id > $2 ORDER BY id DESC LIMIT $3

-- name: FirstEventAfter
SELECT id FROM audit_event WHERE id > $1 ORDER BY id LIMIT 1

-- name: InsertSegment
INSERT INTO audit_segment (first_seq, events, first_id, last_id, ids, leaves)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: LastSequenced
SELECT last_id FROM audit_segment ORDER BY last_id DESC LIMIT 1

-- name: LeaseHolder
SELECT holder FROM lease WHERE name = $1 AND expires_at >= $2

-- name: MoveAuditHead
INSERT INTO audit_tree (id, size, root, checkpoint, at)
VALUES (1, $1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE
   SET size = excluded.size, root = excluded.root, checkpoint = excluded.checkpoint, at = excluded.at
 WHERE audit_tree.size = $5

-- name: SegmentIDs
SELECT first_seq, ids FROM audit_segment
 WHERE last_id >= $1 AND first_id <= $2 ORDER BY last_id

-- name: SegmentsFrom
SELECT first_seq, events, first_id, last_id, ids, leaves FROM audit_segment
 WHERE first_seq >= $1 ORDER BY first_seq LIMIT $2

-- name: SegmentsOf
SELECT first_seq, ids FROM audit_segment
 WHERE last_id >= $1 AND last_id <= $2 AND first_id <= $1 ORDER BY last_id

-- name: Tile
SELECT data FROM audit_tile WHERE level = $1 AND n = $2

-- name: TilesFrom
SELECT n, data FROM audit_tile
 WHERE level = $1 AND n >= $2 ORDER BY n LIMIT $3

-- name: AttestRevoked
UPDATE certificate
   SET updated_at = $1, reason = 'keyCompromise',
       compromised_at = coalesce($2, compromised_at), attested = TRUE
 WHERE pair_id = $3 AND serial = $4 AND status = 'revoked' AND NOT attested

-- name: Certificate
SELECT serial, pair_id, credential_id, issuer_id, policy_version, crl_shard, spki_hash, not_before, not_after,
       accepted_at, rekey_of, status, updated_at, revoked_at, reason, compromised_at, attested
  FROM certificate WHERE pair_id = $1 AND serial = $2

-- name: CertificateDER
SELECT der, request FROM certificate_der WHERE serial = $1 AND not_after = $2

-- name: Counter
SELECT n FROM counter WHERE pair_id = $1 AND kind = $2

-- name: DrawLot
UPDATE quota_lot SET used = used + $1 WHERE id = $2

-- name: DropCertificates
DELETE FROM certificate WHERE serial IN
    (SELECT c.serial FROM certificate AS c
      WHERE c.pair_id = $1 AND c.not_after < $2
      ORDER BY c.not_after, c.serial LIMIT $3)
RETURNING serial, accepted_at, not_after, revoked_at

-- name: DropDER
DELETE FROM certificate_der WHERE serial = $1 AND not_after = $2

-- name: DropHour
DELETE FROM hour_count
 WHERE pair_id = $1 AND kind = $2 AND start = $3 AND n = $4

-- name: DropSecond
DELETE FROM second_count
 WHERE pair_id = $1 AND kind = $2 AND start = $3 AND n = $4

-- name: ExpiringFrom
SELECT serial, not_before, not_after FROM certificate
 WHERE pair_id = $1 AND not_after >= $2 AND not_after <= $3
 ORDER BY not_after, serial LIMIT $5 OFFSET $4

-- name: HourCounts
SELECT start, n FROM hour_count
 WHERE pair_id = $1 AND kind = $2 AND start >= $3 AND start <= $4
 ORDER BY start

-- name: InsertPolicyVersion
INSERT INTO policy_version (version, model, created_at)
VALUES ($1, $2, $3)
ON CONFLICT (version) DO NOTHING

-- name: IssuedFrom
SELECT serial, not_before, not_after FROM certificate
 WHERE pair_id = $1 AND accepted_at >= $2 AND accepted_at <= $3
 ORDER BY accepted_at, serial LIMIT $5 OFFSET $4

-- name: LessenHour
UPDATE hour_count SET n = n - $1
 WHERE pair_id = $2 AND kind = $3 AND start = $4

-- name: LessenSecond
UPDATE second_count SET n = n - $1
 WHERE pair_id = $2 AND kind = $3 AND start = $4

-- name: OpenLots
SELECT id, amount, used FROM quota_lot
 WHERE subscription_id = $1 AND starts_at <= $2 AND expires_at > $2
 ORDER BY expires_at, id FOR UPDATE

-- name: PairIDs
SELECT id FROM pair ORDER BY id

-- name: PolicyVersion
SELECT model FROM policy_version WHERE version = $1

-- name: Remaining
SELECT CAST(coalesce(sum(amount - used), 0) AS BIGINT) FROM quota_lot
 WHERE subscription_id = $1 AND starts_at <= $2 AND expires_at > $2

-- name: RevokeIssued
UPDATE certificate
   SET status = 'revoked', updated_at = $1, revoked_at = $1, reason = CAST($2 AS TEXT),
       compromised_at = $3, attested = $4
 WHERE pair_id = $5 AND serial = $6 AND status = 'issued'

-- name: RevokedFrom
SELECT serial, not_before, not_after FROM certificate
 WHERE pair_id = $1 AND revoked_at >= CAST($2 AS BIGINT) AND revoked_at <= CAST($3 AS BIGINT)
 ORDER BY revoked_at, serial LIMIT $5 OFFSET $4

-- name: SecondCounts
SELECT start, n FROM second_count
 WHERE pair_id = $1 AND kind = $2 AND start >= $3 AND start <= $4
 ORDER BY start

-- name: AddClaimCount
INSERT INTO claim_count (identity_id, kind, part, unit, start, n)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (identity_id, kind, part, unit, start) DO UPDATE SET n = claim_count.n + excluded.n

-- name: Approval
SELECT id, claim_id, account_id, identity_id, name, round, address, adn, method, through, nonce, created_at, expires_at, used_at
  FROM mail_approval WHERE id = $1

-- name: BeginClaimCheck
UPDATE claim SET check_id = CAST($1 AS TEXT), check_until = CAST($2 AS BIGINT)
 WHERE id = $3 AND round = $4
   AND (check_until IS NULL OR check_until <= CAST($5 AS BIGINT) OR check_id = CAST($1 AS TEXT))

-- name: CertificateBySerial
SELECT c.serial, c.pair_id, c.credential_id, c.issuer_id, c.policy_version, c.crl_shard, c.spki_hash, c.not_before, c.not_after,
       c.accepted_at, c.rekey_of, c.status, c.updated_at, c.revoked_at, c.reason, c.compromised_at, c.attested, p.account_id
  FROM certificate AS c JOIN pair AS p ON p.id = c.pair_id WHERE c.serial = $1

-- name: CertificateEvidence
SELECT names FROM certificate_evidence WHERE serial = $1

-- name: Claim
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at
  FROM claim WHERE identity_id = $1 AND kind = $2 AND id = $3

-- name: ClaimByID
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at
  FROM claim WHERE id = $1

-- name: ClaimByName
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at
  FROM claim WHERE identity_id = $1 AND kind = $2 AND name = $3

-- name: ClaimCounts
SELECT start, n FROM claim_count
 WHERE identity_id = $1 AND kind = $2 AND part = $3 AND unit = $4
   AND start >= $5 AND start <= $6 AND n > 0
 ORDER BY start DESC

-- name: ClaimLog
SELECT claim_id, id, at, status, method, description, evidence FROM claim_log WHERE claim_id = $1 ORDER BY id

-- name: ClaimsFrom
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at
  FROM claim
 WHERE identity_id = $1 AND kind = $2
   AND created_at >= $3 AND created_at <= $4
 ORDER BY created_at DESC, id DESC LIMIT $6 OFFSET $5

-- name: ClaimsLike
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at
  FROM claim
 WHERE id IN (
    SELECT c.id FROM claim AS c
     WHERE c.identity_id = $1 AND c.kind = $2 AND c.labels = $3
       AND c.lookup >= $4 AND c.lookup < $5 AND c.name LIKE $6
       AND c.created_at + 0 >= $7 AND c.created_at + 0 <= $8
       AND (CAST($9 AS TEXT) = '' OR c.status = $9)
     ORDER BY c.created_at + 0 DESC, c.id DESC LIMIT $11 OFFSET $10)
 ORDER BY created_at DESC, id DESC

-- name: ClaimsOfStatusFrom
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at
  FROM claim
 WHERE identity_id = $1 AND kind = $2 AND status = $3
   AND created_at >= $4 AND created_at <= $5
 ORDER BY created_at DESC, id DESC LIMIT $7 OFFSET $6

-- name: CountApprovals
SELECT count(*) FROM mail_approval
 WHERE account_id = $1 AND address = $2 AND created_at > $3

-- name: CountClaimsLike
SELECT count(*) FROM claim
 WHERE identity_id = $1 AND kind = $2 AND labels = $3
   AND lookup >= $4 AND lookup < $5 AND name LIKE $6
   AND created_at + 0 >= $7 AND created_at + 0 <= $8
   AND (CAST($9 AS TEXT) = '' OR status = $9)

-- name: DeleteClaim
DELETE FROM claim WHERE id = $1

-- name: DeleteClaimLog
DELETE FROM claim_log WHERE claim_id = $1

-- name: EndClaimCheck
UPDATE claim SET check_id = NULL, check_until = NULL
 WHERE id = $1 AND round = $2 AND check_id = CAST($3 AS TEXT)

-- name: EndVerifications
UPDATE verification SET ended_at = CAST($1 AS BIGINT) WHERE claim_id = $2 AND ended_at IS NULL

-- name: ExpireClaim
UPDATE claim SET status = 'pending'
 WHERE id = $1 AND status = 'verified' AND expires_at <= CAST($2 AS BIGINT)

-- name: ExpiredClaims
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at
  FROM claim
 WHERE identity_id = $1 AND status = 'verified' AND expires_at <= CAST($2 AS BIGINT)
 ORDER BY expires_at, id LIMIT $3

-- name: InsertApproval
INSERT INTO mail_approval (id, claim_id, account_id, identity_id, name, round, address, adn, method, through, nonce, created_at,
                           expires_at)
VALUES ($1, $2, $3, $4, $5, $6,
        $7, $8, $9, $10, $11, $12,
        $13)

-- name: InsertClaim
INSERT INTO claim (id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open,
                   status, created_at)
VALUES ($1, $2, $3, $4, $5, $6,
        $7, $8, $9, $10, $11, TRUE,
        'pending', $12)
ON CONFLICT (identity_id, kind, name) DO NOTHING

-- name: InsertClaimLog
INSERT INTO claim_log (claim_id, id, at, status, method, description, evidence)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: InsertVerification
INSERT INTO verification (id, claim_id, account_id, identity_id, kind, name, adn, method, coverage, at, token_at, evidence)
VALUES ($1, $2, $3, $4, $5, $6,
        $7, $8, $9, $10, $11, $12)

-- name: LessenClaimCount
UPDATE claim_count SET n = n - $1
 WHERE identity_id = $2 AND kind = $3 AND part = $4 AND unit = $5
   AND start = $6

-- name: LockClaim
SELECT id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status,
       verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at
  FROM claim WHERE id = $1 FOR UPDATE

-- name: ReassertClaim
UPDATE claim
   SET token = $1, token_at = $2, assert_by = $3, round = round + 1,
       token_open = TRUE, check_id = NULL, check_until = NULL
 WHERE identity_id = $4 AND id = $5

-- name: TrimClaimLog
DELETE FROM claim_log AS l WHERE l.claim_id = $1 AND l.id < (
    SELECT k.id FROM claim_log AS k WHERE k.claim_id = $1 ORDER BY k.id DESC LIMIT 1 OFFSET $2)

-- name: UseApproval
UPDATE mail_approval SET used_at = CAST($1 AS BIGINT) WHERE id = $2 AND used_at IS NULL

-- name: VerifyClaim
UPDATE claim
   SET status = 'verified', token_open = FALSE, verification_id = CAST($1 AS TEXT),
       verified_at = CAST($2 AS BIGINT), method = CAST($3 AS TEXT), adn = CAST($4 AS TEXT),
       coverage = CAST($5 AS TEXT), expires_at = CAST($6 AS BIGINT),
       check_id = NULL, check_until = NULL
 WHERE id = $7 AND round = $8

-- name: AllClientCertFacts
SELECT id, account_id, fingerprint, serial, issuer_id, spki_hash, crl_shard, not_after, state, created_at
  FROM client_certificate

-- name: AllClientCertLinks
SELECT client_certificate_id, credential_id FROM client_certificate_link ORDER BY client_certificate_id, credential_id

-- name: ClaimClientKey
INSERT INTO client_key (spki_hash, account_id) VALUES ($1, $2)
ON CONFLICT (spki_hash) DO NOTHING

-- name: ClientCert
SELECT id, account_id, fingerprint, serial, issuer_id, der, spki_hash, crl_shard, not_after, state, revoked_at, reason,
       created_at
  FROM client_certificate WHERE account_id = $1 AND id = $2

-- name: ClientCertBySerial
SELECT der FROM client_certificate WHERE serial = $1

-- name: ClientCertFacts
SELECT id, account_id, fingerprint, serial, issuer_id, spki_hash, crl_shard, not_after, state, created_at
  FROM client_certificate WHERE id = $1

-- name: ClientCertFactsByFingerprint
SELECT id, account_id, fingerprint, serial, issuer_id, spki_hash, crl_shard, not_after, state, created_at
  FROM client_certificate WHERE fingerprint = $1

-- name: ClientCertLinks
SELECT credential_id FROM client_certificate_link
 WHERE client_certificate_id = $1 ORDER BY credential_id

-- name: ClientCertsOfAccount
SELECT id, account_id, fingerprint, serial, issuer_id, der, spki_hash, crl_shard, not_after, state, revoked_at, reason,
       created_at
  FROM client_certificate WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3

-- name: ClientCertsOfCredential
SELECT client_certificate_id FROM client_certificate_link
 WHERE credential_id = $1 ORDER BY client_certificate_id

-- name: ClientKeyOwner
SELECT account_id FROM client_key WHERE spki_hash = $1

-- name: InsertClientCert
INSERT INTO client_certificate (id, account_id, fingerprint, serial, issuer_id, der, spki_hash, crl_shard, not_after,
                                state, created_at)
VALUES ($1, $2, $3, $4, $5, $6,
        $7, $8, $9, $10, $11)

-- name: LinkClientCert
INSERT INTO client_certificate_link (client_certificate_id, credential_id, created_at)
VALUES ($1, $2, $3)
ON CONFLICT (client_certificate_id, credential_id) DO NOTHING

-- name: SetClientCertState
UPDATE client_certificate SET state = $1, revoked_at = $2, reason = $3
 WHERE account_id = $4 AND id = $5 AND state = $6

-- name: UnlinkClientCert
DELETE FROM client_certificate_link
 WHERE client_certificate_id = $1 AND credential_id = $2

-- name: Credential
SELECT id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state, epoch, created_at
  FROM credential WHERE account_id = $1 AND id = $2

-- name: CredentialByID
SELECT id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state, epoch, created_at
  FROM credential WHERE id = $1

-- name: CredentialByKey
SELECT id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state, epoch, created_at
  FROM credential WHERE api_key = $1

-- name: CredentialUse
SELECT at, address FROM credential_use WHERE credential_id = $1

-- name: CredentialsOfAccount
SELECT c.id, c.account_id, c.name, c.api_key, c.secret_mac, c.pepper_version, c.pair_id, c.mtls, c.allowed_ips, c.state, c.epoch, c.created_at, u.at AS used_at, u.address AS used_from
  FROM credential AS c LEFT JOIN credential_use AS u ON u.credential_id = c.id
 WHERE c.account_id = $1 AND c.id > $2
 ORDER BY c.id LIMIT $3

-- name: InsertCredential
INSERT INTO credential (id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state,
                        epoch, created_at)
VALUES ($1, $2, $3, $4, $5,
        $6, $7, $8, $9, $10,
        $11, $12)

-- name: LiveCredentials
SELECT id, account_id, name, api_key, secret_mac, pepper_version, pair_id, mtls, allowed_ips, state, epoch, created_at
  FROM credential WHERE state <> 'deleted'

-- name: NoteCredentialUse
INSERT INTO credential_use (credential_id, at, address)
VALUES ($1, $2, $3)
ON CONFLICT (credential_id) DO UPDATE SET at = excluded.at, address = excluded.address

-- name: SetCredentialAddresses
UPDATE credential SET allowed_ips = $1, epoch = epoch + 1
 WHERE account_id = $2 AND id = $3 AND epoch = $4 AND state <> 'deleted'

-- name: SetCredentialPair
UPDATE credential SET pair_id = $1, epoch = epoch + 1
 WHERE account_id = $2 AND id = $3 AND epoch = $4 AND state <> 'deleted'

-- name: SetCredentialState
UPDATE credential SET state = $1, epoch = epoch + 1
 WHERE account_id = $2 AND id = $3 AND state = $4

-- name: AllSeries
SELECT id, hierarchy_id, name, key_type, eku_family, created_at FROM issuer_series ORDER BY id

-- name: Hierarchies
SELECT id, kind, name, created_at FROM hierarchy ORDER BY id

-- name: InsertHierarchy
INSERT INTO hierarchy (id, kind, name, created_at)
VALUES ($1, $2, $3, $4)

-- name: InsertIssuer
INSERT INTO issuer (id, hierarchy_id, series_id, parent_id, role, status, key_name, certificate, crl_shards, activate_at, retire_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6,
        $7, $8, $9, $10, $11, $12)

-- name: InsertSeries
INSERT INTO issuer_series (id, hierarchy_id, name, key_type, eku_family, created_at)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: Issuers
SELECT id, hierarchy_id, series_id, parent_id, role, status, key_name, certificate, crl_shards, activate_at, retire_at, created_at
  FROM issuer ORDER BY id

-- name: DropJob
DELETE FROM job WHERE kind = $1 AND key = $2

-- name: EndMail
UPDATE mail SET state = $1, last_error = $2, ended_at = CAST($3 AS BIGINT)
 WHERE id = $4 AND state = 'queued'

-- name: FinishJob
DELETE FROM job WHERE id = $1 AND holder = $2

-- name: InsertMail
INSERT INTO mail (id, account_id, recipient, template, params, state, last_error, created_at)
VALUES ($1, $2, $3, $4, $5, 'queued', '', $6)

-- name: JobsDue
SELECT kind, count(*) AS n, CAST(min(run_at) AS BIGINT) AS oldest FROM job WHERE run_at <= $1 GROUP BY kind ORDER BY kind

-- name: JobsOf
SELECT id, kind, key, args, run_at, attempts, holder, lease_until, last_error, created_at
  FROM job WHERE kind = $1 ORDER BY run_at, id LIMIT $2

-- name: Mail
SELECT id, account_id, recipient, template, params, state, last_error, created_at, ended_at
  FROM mail WHERE id = $1

-- name: PutJob
INSERT INTO job (id, kind, key, args, run_at, attempts, holder, lease_until, last_error, created_at)
VALUES ($1, $2, $3, $4, $5, 0, '', 0, '', $6)
ON CONFLICT (kind, key) DO UPDATE SET id = excluded.id, args = excluded.args, run_at = excluded.run_at, attempts = 0, holder = '',
    lease_until = 0, last_error = '', created_at = excluded.created_at

-- name: RenewJob
UPDATE job SET lease_until = $1 WHERE id = $2 AND holder = $3

-- name: RepeatJob
UPDATE job SET run_at = $1, attempts = $2, holder = '', lease_until = 0, last_error = $3
 WHERE id = $4 AND holder = $5

-- name: TakeJobs
WITH due AS MATERIALIZED (
    SELECT j.id FROM job AS j
     WHERE j.kind = $3 AND j.run_at <= $4 AND j.lease_until <= $4
     ORDER BY j.run_at, j.id LIMIT $5 FOR UPDATE SKIP LOCKED)
UPDATE job SET holder = $1, lease_until = $2, attempts = attempts + 1
 WHERE id IN (SELECT due.id FROM due)
RETURNING id, kind, key, args, run_at, attempts

-- name: ChangesSince
SELECT id, at, kind, object FROM change WHERE at >= $1 ORDER BY at, id

-- name: DropChanges
DELETE FROM change WHERE id IN
    (SELECT c.id FROM change AS c WHERE c.at < $1 ORDER BY c.at LIMIT $2)

-- name: DropLease
DELETE FROM lease WHERE name = $1 AND holder = $2

-- name: DropMarkers
DELETE FROM commit_marker WHERE id IN
    (SELECT m.id FROM commit_marker AS m WHERE m.id < $1 ORDER BY m.id LIMIT $2)

-- name: InsertChange
INSERT INTO change (id, at, kind, object)
VALUES ($1, $2, $3, $4)

-- name: InsertMarker
INSERT INTO commit_marker (id, voided) VALUES ($1, $2)

-- name: Marker
SELECT voided FROM commit_marker WHERE id = $1

-- name: TakeLease
INSERT INTO lease (name, holder, expires_at)
VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE lease.expires_at < $4 OR lease.holder = excluded.holder
