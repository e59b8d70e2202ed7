package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

var (
	certificateTable = newTable("certificate", "serial, pair_id, credential_id, issuer_id, policy_version, crl_shard, "+
		"spki_hash, not_before, not_after, accepted_at, rekey_of, status, updated_at, attested", "")
	derTable      = newTable("certificate_der", "serial, not_after, der, request", "")
	evidenceTable = newTable("certificate_evidence", "serial, names", "")

	requesterTable = newTable("certificate_requester", "serial, user_id, user_name, agreement", "")
)

// appendCertificate appends the row of a newly issued certificate to args.
func appendCertificate(args []any, c *telamon.Certificate) []any {
	var rekeyOf any
	if c.RekeyOf != nil {
		rekeyOf = c.RekeyOf[:]
	}
	return append(args,
		c.Serial[:], int64(c.Pair), c.Credential.String(), c.Issuer.String(), c.PolicyVersion, int64(c.CRLShard),
		c.SPKIHash[:], c.NotBefore.UnixMilli(), c.NotAfter.UnixMilli(), c.AcceptedAt.UnixMilli(), rekeyOf,
		string(telamon.StatusIssued), c.UpdatedAt.UnixMilli(), false)
}

// A Blob is what is kept of a certificate apart from its facts.
type Blob struct {
	DER []byte
	// Names are the common name and the alternative names in DER but other names, which it
	// is found by; if there are none here, DER is read for them. CertificateBlob does not
	// read them.
	Names   []string
	Request []byte // the accepted request as JSON, which a rekey repeats
	// Evidence says how the names were validated, as JSON of telamon.NameEvidence;
	// nil if the service demands none. CertificateBlob does not read it.
	Evidence []byte
	// Precertified says that a precertificate of the serial number is pending, which
	// this is the certificate of. CertificateBlob does not read it.
	Precertified bool
	// Requester says who requested it in the portal; nil if a credential did.
	// CertificateBlob does not read it.
	Requester *telamon.Requester
}

// IssueCertificate writes the ledger entry of a signed certificate, its bytes, what it is
// found by, its counts, its draw from the quota of subscription ("" draws none) and the audit
// event, all or nothing: when it returns nil, they are durable.
//
// It reports Limited with quota_reached if no quota is left, Denied with
// service_expired if the subscription has no term that holds now, and Invalid with
// policy if the key is blocked, for everybody or for the event's account; the refusal is
// audited and nothing else is written. It reports Unavailable
// with precertificate_abandoned if a precertificate was abandoned meanwhile, and if the
// database cannot say that the certificate is durable.
func (db *DB) IssueCertificate(ctx context.Context, subscription telamon.SubscriptionID, cert *telamon.Certificate, blob Blob, event telamon.Event) error {
	return db.committer.commit(ctx, &unit{draw: subscription, cert: cert, blob: blob, terms: termsOf(cert, &blob), event: event})
}

// RecordEvent writes an audit event that changes nothing else, grouped with the
// writes of others.
func (db *DB) RecordEvent(ctx context.Context, event telamon.Event) error {
	return db.committer.commit(ctx, &unit{event: event})
}

// errNoCertificate is the fault of a serial number that the pair has not.
func errNoCertificate() error {
	return fault.New(fault.NotFound, "certificate_not_found", "Not found")
}

// Certificate returns the ledger entry of one of the pair's certificates. It
// reports NotFound if the pair has none with this serial.
func (db *DB) Certificate(ctx context.Context, pair telamon.PairID, serial telamon.Serial) (*telamon.Certificate, error) {
	row, err := db.queries().Certificate(ctx, queries.CertificateParams{PairID: int64(pair), Serial: serial[:]})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoCertificate()
	}
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read certificate %s: %w", serial, err))
	}
	return certificateOf(row), nil
}

// CertificateBlob returns the bytes of a certificate whose entry was read before.
// It reports NotFound if they were dropped since.
func (db *DB) CertificateBlob(ctx context.Context, cert *telamon.Certificate) (Blob, error) {
	row, err := db.queries().CertificateDER(ctx, queries.CertificateDERParams{
		Serial: cert.Serial[:], NotAfter: cert.NotAfter.UnixMilli(),
	})
	if errors.Is(err, sql.ErrNoRows) { // dropped since the entry was read
		return Blob{}, errNoCertificate()
	}
	if err != nil {
		return Blob{}, db.judge(ctx, fmt.Errorf("read bytes of certificate %s: %w", cert.Serial, err))
	}
	return Blob{DER: row.Der, Request: row.Request}, nil
}

func certificateOf(r queries.Certificate) *telamon.Certificate {
	c := &telamon.Certificate{
		Serial: telamon.Serial(r.Serial), Pair: telamon.PairID(r.PairID),
		Credential: telamon.CredentialID(r.CredentialID), Issuer: telamon.IssuerID(r.IssuerID),
		PolicyVersion: r.PolicyVersion, CRLShard: int(r.CrlShard), SPKIHash: [32]byte(r.SpkiHash),
		NotBefore: timeOf(r.NotBefore), NotAfter: timeOf(r.NotAfter), AcceptedAt: timeOf(r.AcceptedAt),
		Status: telamon.CertificateStatus(r.Status), UpdatedAt: timeOf(r.UpdatedAt),
	}
	if len(r.RekeyOf) == len(c.Serial) {
		old := telamon.Serial(r.RekeyOf)
		c.RekeyOf = &old
	}
	if r.RevokedAt != nil {
		c.Revocation = &telamon.Revocation{At: timeOf(*r.RevokedAt), Attested: r.Attested}
		if r.Reason != nil {
			c.Revocation.Reason = telamon.RevocationReason(*r.Reason)
		}
		if r.CompromisedAt != nil {
			c.Revocation.CompromisedAt = timeOf(*r.CompromisedAt)
		}
	}
	return c
}

// RevokeCertificate is RevokeAndBlock without a key that is blocked.
func (db *DB) RevokeCertificate(ctx context.Context, pair telamon.PairID, serial telamon.Serial, rev telamon.Revocation, event telamon.Event) error {
	return db.RevokeAndBlock(ctx, pair, serial, rev, nil, event)
}

// RevokeAndBlock revokes an issued certificate of the pair, and writes the mark of its
// CRL shard and the audit event. rev.At is set by the store. A certificate that is revoked already
// is changed to an attested key compromise if rev is one, and to a key compromise if it was
// revoked for another reason and staff blocks the key (BR 7.2.2). Otherwise it is reported
// as a Conflict with already_revoked, unless the block alone is new. It reports NotFound if the pair has no such
// certificate. Whatever is revoked or changed, the key of block, unless that is nil, is
// certified no more from the same moment on.
func (db *DB) RevokeAndBlock(ctx context.Context, pair telamon.PairID, serial telamon.Serial, rev telamon.Revocation, block *telamon.KeyBlock, event telamon.Event) error {
	u := &unit{event: event, key: serial.String()}
	u.apply = func(ctx context.Context, t *txn) error {
		u.counts, u.shards = nil, nil
		changed, err := t.RevokeIssued(ctx, queries.RevokeIssuedParams{
			PairID: int64(pair), Serial: serial[:], Now: t.millis(), Reason: string(rev.Reason),
			CompromisedAt: millisOrNil(rev.CompromisedAt), Attested: rev.Attested,
		})
		if err != nil {
			return fmt.Errorf("revoke certificate %s: %w", serial, err)
		}
		for _, r := range changed {
			u.counts = []count{{pair, countRevoked, t.now.Unix(), 1}}
			u.shards = []shardKey{{r.IssuerID, r.CrlShard}}
			return nil
		}
		if rev.Attested && rev.Reason == telamon.ReasonKeyCompromise {
			attested, err := t.AttestRevoked(ctx, queries.AttestRevokedParams{
				PairID: int64(pair), Serial: serial[:], Now: t.millis(), CompromisedAt: millisOrNil(rev.CompromisedAt),
			})
			if err != nil {
				return fmt.Errorf("attest compromise of %s: %w", serial, err)
			}
			for _, r := range attested {
				u.shards = []shardKey{{r.IssuerID, r.CrlShard}}
				return nil
			}
		}
		_, err = t.Certificate(ctx, queries.CertificateParams{PairID: int64(pair), Serial: serial[:]})
		if errors.Is(err, sql.ErrNoRows) {
			return errNoCertificate()
		}
		if err != nil {
			return fmt.Errorf("read certificate %s: %w", serial, err)
		}
		if block != nil && block.Source == telamon.BlockedByStaff {
			marked, err := t.MarkCompromised(ctx, queries.MarkCompromisedParams{
				Serial: serial[:], Now: t.millis(), CompromisedAt: millisOrNil(rev.CompromisedAt),
			})
			if err != nil {
				return fmt.Errorf("mark certificate %s as compromised: %w", serial, err)
			}
			for _, r := range marked {
				u.shards = []shardKey{{r.IssuerID, r.CrlShard}}
				return nil
			}
		}
		return fault.New(fault.Conflict, fault.CodeAlreadyRevoked, "Certificate is already revoked")
	}
	if block != nil {
		u.apply = blocking(u.apply, block)
	}
	if err := db.committer.commit(ctx, u); err != nil {
		return err
	}
	db.revoked(serial)
	return nil
}

// Remaining returns how many certificates the subscription's lots still hold.
func (db *DB) Remaining(ctx context.Context, subscription telamon.SubscriptionID) (int64, error) {
	n, err := db.queries().Remaining(ctx, queries.RemainingParams{
		SubscriptionID: subscription.String(), Now: db.clock.Now().UnixMilli(),
	})
	if err != nil {
		return 0, db.judge(ctx, fmt.Errorf("read quota of %s: %w", subscription, err))
	}
	return n, nil
}

// SavePolicyVersion keeps the JSON of an effective policy as the evidence of what
// certificates were accepted under. Keeping one again does nothing.
func (db *DB) SavePolicyVersion(ctx context.Context, version string, model []byte) error {
	return db.update(ctx, func(t *txn) error {
		err := t.InsertPolicyVersion(ctx, queries.InsertPolicyVersionParams{
			Version: version, Model: string(model), CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("save policy version %s: %w", version, err)
		}
		return nil
	})
}

func timeOf(millis int64) time.Time { return time.UnixMilli(millis).UTC() }

// millisOrNil returns nil for the zero time.
func millisOrNil(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// An EndingCertificate is one that will expire.
type EndingCertificate struct {
	Serial              telamon.Serial
	NotBefore, NotAfter time.Time
}

// EndingCertificates returns up to limit certificates of the pair that are not revoked
// and whose validity ends after the first time and not after the second, the first to
// end first.
func (db *DB) EndingCertificates(ctx context.Context, pair telamon.PairID, after, until time.Time, limit int) ([]EndingCertificate, error) {
	rows, err := db.queries().EndingBetween(ctx, queries.EndingBetweenParams{
		PairID: int64(pair), After: after.UnixMilli(), Until: until.UnixMilli(), Lim: int32(limit),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list certificates that end: %w", err))
	}
	return mapped(rows, func(r queries.EndingBetweenRow) EndingCertificate {
		return EndingCertificate{telamon.Serial(r.Serial), timeOf(r.NotBefore), timeOf(r.NotAfter)}
	}), nil
}
