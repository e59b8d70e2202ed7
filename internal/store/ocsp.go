package store

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A SerialStatus is what is said to relying parties of the certificate of a serial
// number: one of a subscriber, an mTLS certificate, that of a key pair or an OCSP
// responder, or one that is only known to be revoked.
type SerialStatus struct {
	Issuer     telamon.IssuerID
	CRLShard   int
	NotAfter   time.Time
	Revocation *telamon.Revocation // nil: not revoked; a disabled mTLS certificate is not
}

// SerialStatus reads the status of a serial number by primary keys. It reports
// NotFound if no certificate has it.
func (db *DB) SerialStatus(ctx context.Context, serial telamon.Serial) (SerialStatus, error) {
	rows, err := db.queries().SerialStatus(ctx, serial[:])
	if err != nil {
		return SerialStatus{}, db.judge(ctx, fmt.Errorf("read status of %s: %w", serial, err))
	}
	if len(rows) == 0 {
		return SerialStatus{}, errNoCertificate()
	}
	r := rows[max(slices.IndexFunc(rows, isRevoked), 0)] // a precertificate may be revoked beside its row
	s := SerialStatus{Issuer: telamon.IssuerID(r.IssuerID), CRLShard: int(r.CrlShard), NotAfter: timeOf(r.NotAfter)}
	if r.RevokedAt != nil {
		s.Revocation = &telamon.Revocation{At: timeOf(*r.RevokedAt), CompromisedAt: timeOrZero(r.CompromisedAt)}
		if r.Reason != nil {
			s.Revocation.Reason = telamon.RevocationReason(*r.Reason)
		}
	}
	return s, nil
}

// A Shard is one CRL shard of an issuer.
type Shard struct {
	Issuer telamon.IssuerID
	Number int
}

// Revisions returns the revision of each CRL shard in which anything was revoked: it is
// another after each transaction that revokes a certificate of the shard or changes
// its entry. Release N-1 of this release does not raise it.
func (db *DB) Revisions(ctx context.Context) (map[Shard]int64, error) {
	rows, err := db.queries().ShardRevisions(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read revisions of CRL shards: %w", err))
	}
	out := make(map[Shard]int64, len(rows))
	for _, r := range rows {
		out[Shard{telamon.IssuerID(r.IssuerID), int(r.Shard)}] = r.Revision
	}
	return out, nil
}

// OnRevoked has f called with the serial number of each certificate that this
// process revokes, before anybody is told of the revocation. f must not block. It
// takes the place of the f before.
func (db *DB) OnRevoked(f func(telamon.Serial)) { db.onRevoked.Store(&f) }

// revoked calls what OnRevoked was given.
func (db *DB) revoked(serial telamon.Serial) {
	if f := db.onRevoked.Load(); f != nil {
		(*f)(serial)
	}
}

// A ResponderStatus is the place of an OCSP responder in its life.
type ResponderStatus string

// The states, in order. One that is destroyed has no key any more.
const (
	ResponderActive    ResponderStatus = "active"
	ResponderRetired   ResponderStatus = "retired"
	ResponderDestroyed ResponderStatus = "destroyed"
)

// A Responder is a key that signs OCSP responses for one issuing CA.
type Responder struct {
	KeyName     string
	Issuer      telamon.IssuerID
	Certificate *x509.Certificate
	Status      ResponderStatus
	RetiredAt   time.Time // zero while active
}

// CreateResponder writes a new responder, which is active.
func (db *DB) CreateResponder(ctx context.Context, actor telamon.Actor, r Responder) error {
	serial, ok := telamon.SerialFromInt(r.Certificate.SerialNumber)
	if !ok {
		return fmt.Errorf("create responder %s: its serial number has another form", r.KeyName)
	}
	return db.update(ctx, func(t *txn) error {
		err := t.InsertResponder(ctx, queries.InsertResponderParams{
			KeyName: r.KeyName, IssuerID: r.Issuer.String(), Serial: serial[:], Certificate: r.Certificate.Raw,
			NotBefore: r.Certificate.NotBefore.UnixMilli(), NotAfter: r.Certificate.NotAfter.UnixMilli(), CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert responder %s: %w", r.KeyName, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "ocsp_responder.create", Object: r.KeyName, Result: "ok",
			After: map[string]any{"issuer": r.Issuer, "serial": serial.String(), "not_after": r.Certificate.NotAfter},
		})
	})
}

// Responders returns the responders that have a key, those of an issuer together
// and the one that lasts longest at the end.
func (db *DB) Responders(ctx context.Context) ([]Responder, error) {
	rows, err := db.queries().Responders(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read responders: %w", err))
	}
	return mappedOrError(rows, func(r queries.OcspResponder) (Responder, error) {
		cert, err := x509.ParseCertificate(r.Certificate)
		if err != nil {
			return Responder{}, fmt.Errorf("read certificate of responder %s: %w", r.KeyName, err)
		}
		return Responder{
			KeyName: r.KeyName, Issuer: telamon.IssuerID(r.IssuerID), Certificate: cert, Status: ResponderStatus(r.Status),
			RetiredAt: timeOrZero(r.RetiredAt),
		}, nil
	})
}

// MoveResponder retires an active responder, or notes that the key of a retired one
// is destroyed. It reports Conflict if the responder has moved on.
func (db *DB) MoveResponder(ctx context.Context, actor telamon.Actor, keyName string, to ResponderStatus) error {
	return db.update(ctx, func(t *txn) error {
		var changed int64
		var err error
		from, action := ResponderActive, "ocsp_responder.retire"
		if to == ResponderDestroyed {
			from, action = ResponderRetired, "ocsp_responder.destroy"
			changed, err = t.DestroyResponder(ctx, keyName)
		} else {
			now := t.millis()
			changed, err = t.RetireResponder(ctx, queries.RetireResponderParams{Now: &now, KeyName: keyName})
		}
		if err != nil {
			return fmt.Errorf("move responder %s to %s: %w", keyName, to, err)
		}
		if changed != 1 {
			return fault.New(fault.Conflict, "wrong_state", "The responder is not "+string(from)+".")
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: action, Object: keyName, Result: "ok",
			Before: map[string]any{"status": from}, After: map[string]any{"status": to},
		})
	})
}
