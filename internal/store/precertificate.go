package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A PrecertificateStatus is the place of a precertificate in its life.
type PrecertificateStatus string

// The states. A pending one becomes one of the others, for good.
const (
	PrecertificatePending   PrecertificateStatus = "pending"
	PrecertificateIssued    PrecertificateStatus = "issued"    // its certificate is in the ledger
	PrecertificateAbandoned PrecertificateStatus = "abandoned" // there will be none; it is revoked
)

// A Precertificate is a signed precertificate (RFC 6962, Section 3.1). It counts as a
// certificate of its serial number for everybody who asks for its status.
type Precertificate struct {
	Serial     telamon.Serial
	Pair       telamon.PairID
	Credential telamon.CredentialID
	Issuer     telamon.IssuerID
	CRLShard   int
	SPKIHash   [32]byte
	NotAfter   time.Time
	DER        []byte
	Status     PrecertificateStatus // not read by SavePrecertificate
	CreatedAt  time.Time            // set by the store
}

// SavePrecertificate writes a signed precertificate, which is pending from then on, and
// the audit event. When it returns nil, both are durable: only then may a log see it.
// It reports Unavailable if the database cannot say so.
func (db *DB) SavePrecertificate(ctx context.Context, p *Precertificate, event telamon.Event) error {
	return db.committer.commit(ctx, &unit{event: event, key: p.Serial.String(), apply: func(ctx context.Context, t *txn) error {
		err := t.InsertPrecertificate(ctx, queries.InsertPrecertificateParams{
			Serial: p.Serial[:], PairID: int64(p.Pair), CredentialID: p.Credential.String(), IssuerID: p.Issuer.String(),
			CrlShard: int64(p.CRLShard), SpkiHash: p.SPKIHash[:], NotAfter: p.NotAfter.UnixMilli(), Der: p.DER, CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert precertificate %s: %w", p.Serial, err)
		}
		return nil
	}})
}

// Precertificate returns a precertificate. It reports NotFound.
func (db *DB) Precertificate(ctx context.Context, serial telamon.Serial) (*Precertificate, error) {
	rows, err := db.queries().Precertificate(ctx, serial[:])
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read precertificate %s: %w", serial, err))
	}
	if len(rows) == 0 {
		return nil, errNoCertificate()
	}
	r := rows[0]
	return &Precertificate{
		Serial: telamon.Serial(r.Serial), Pair: telamon.PairID(r.PairID), Credential: telamon.CredentialID(r.CredentialID),
		Issuer: telamon.IssuerID(r.IssuerID), CRLShard: int(r.CrlShard), SPKIHash: [32]byte(r.SpkiHash), NotAfter: timeOf(r.NotAfter),
		DER: r.Der, Status: PrecertificateStatus(r.Status), CreatedAt: timeOf(r.CreatedAt),
	}, nil
}

// AbandonPrecertificate ends a pending precertificate that becomes no certificate, and
// revokes it: logs and others may have it. It writes the audit event. It reports
// Conflict with precertificate_not_pending if its certificate was written, or it was
// abandoned before.
func (db *DB) AbandonPrecertificate(ctx context.Context, actor telamon.Actor, serial telamon.Serial) error {
	err := db.update(ctx, func(t *txn) error { return t.abandon(ctx, actor, serial) })
	if err == nil {
		db.revoked(serial)
	}
	return err
}

// errNotPending is the fault of a precertificate that has moved on.
func errNotPending() error {
	return fault.New(fault.Conflict, "precertificate_not_pending", "The precertificate is not pending.")
}

func (t *txn) abandon(ctx context.Context, actor telamon.Actor, serial telamon.Serial) error {
	changed, err := t.MovePrecertificate(ctx, queries.MovePrecertificateParams{Serial: serial[:], Status: string(PrecertificateAbandoned)})
	if err != nil {
		return fmt.Errorf("abandon precertificate %s: %w", serial, err)
	}
	if changed != 1 {
		return errNotPending()
	}
	rows, err := t.Precertificate(ctx, serial[:])
	if err == nil && len(rows) != 1 {
		err = errors.New("it has gone")
	}
	if err != nil {
		return fmt.Errorf("read precertificate %s: %w", serial, err)
	}
	p := rows[0]
	_, err = t.InsertCARevocation(ctx, queries.InsertCARevocationParams{
		IssuerID: p.IssuerID, Serial: serial[:], CrlShard: p.CrlShard, NotAfter: p.NotAfter, RevokedAt: t.millis(),
		Reason: string(telamon.ReasonUnspecified),
	})
	if err != nil {
		return fmt.Errorf("revoke precertificate %s: %w", serial, err)
	}
	if err := t.reviseShards(ctx, map[shardKey]bool{{p.IssuerID, p.CrlShard}: true}); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{Actor: actor, Account: actor.Account, Action: "precertificate.abandon", Object: serial.String(), Result: "ok"})
}

// abandonStep is how many precertificates one turn of AbandonPrecertificates ends.
const abandonStep = 100

// AbandonPrecertificates abandons those that are pending since before the bound:
// nothing works on them any more, since the process that did has ended. It returns how
// many it abandoned, and can be called again.
func (db *DB) AbandonPrecertificates(ctx context.Context, before time.Time) (abandoned int, err error) {
	for {
		serials, err := db.queries().PendingPrecertificates(ctx, queries.PendingPrecertificatesParams{Before: before.UnixMilli(), Lim: abandonStep})
		if err != nil {
			return abandoned, db.judge(ctx, fmt.Errorf("read pending precertificates: %w", err))
		}
		for _, serial := range serials {
			err := db.AbandonPrecertificate(ctx, telamon.Actor{Kind: telamon.ActorSystem}, telamon.Serial(serial))
			if fault.Is(err, fault.Conflict) { // another replica did
				continue
			}
			if err != nil {
				return abandoned, err
			}
			abandoned++
		}
		if len(serials) < abandonStep {
			return abandoned, nil
		}
	}
}

// lockPrecertificates refuses the units whose precertificate is not pending any more,
// and keeps those of the others from moving on until the transaction ends.
func (t *txn) lockPrecertificates(ctx context.Context, batch []*unit) error {
	for _, u := range batch {
		if !u.blob.Precertified || u.refused != nil {
			continue
		}
		rows, err := t.LockPrecertificate(ctx, u.cert.Serial[:])
		if err != nil {
			return fmt.Errorf("lock precertificate %s: %w", u.cert.Serial, err)
		}
		if len(rows) != 1 || rows[0] != string(PrecertificatePending) {
			u.refused = &fault.Fault{
				Kind: fault.Unavailable, Code: "precertificate_abandoned", Detail: "The request took too long. Retry it.",
				RetryAfter: time.Second,
			}
		}
	}
	return nil
}

// issuePrecertificates notes that the certificates of the units follow.
func (t *txn) issuePrecertificates(ctx context.Context, batch []*unit) error {
	for _, u := range batch {
		if !u.blob.Precertified || u.refused != nil {
			continue
		}
		changed, err := t.MovePrecertificate(ctx, queries.MovePrecertificateParams{Serial: u.cert.Serial[:], Status: string(PrecertificateIssued)})
		if err == nil && changed != 1 {
			err = errors.New("it has moved on")
		}
		if err != nil {
			return fmt.Errorf("issue by precertificate %s: %w", u.cert.Serial, err)
		}
	}
	return nil
}

// dropPrecertificates drops those that expired before the bound.
func (db *DB) dropPrecertificates(ctx context.Context, before time.Time) error {
	for {
		var n int64
		err := db.update(ctx, func(t *txn) (err error) {
			n, err = t.DropPrecertificates(ctx, queries.DropPrecertificatesParams{Before: before.UnixMilli(), Lim: dropStep})
			return err
		})
		if err != nil {
			return fmt.Errorf("drop expired precertificates: %w", err)
		}
		if n < dropStep {
			return nil
		}
	}
}
