package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A CRLNumber is the number of the newest CRL of an issuer's shard, or one that the next
// must be above.
type CRLNumber struct {
	Issuer telamon.IssuerID `json:"issuer"`
	Shard  int              `json:"shard"`
	Number int64            `json:"number"`
}

// CRLNumbers returns the numbers of all shards that have one.
func (db *DB) CRLNumbers(ctx context.Context) ([]CRLNumber, error) {
	rows, err := db.queries().CRLNumbers(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read CRL numbers: %w", err))
	}
	return mapped(rows, func(r queries.CRLNumbersRow) CRLNumber {
		return CRLNumber{telamon.IssuerID(r.IssuerID), int(r.Shard), r.Number}
	}), nil
}

// Reapplied says what came of revocations that a published CRL names.
type Reapplied struct {
	Revoked int // certificates that were not revoked
	Unknown int // of those, the ones that are in no ledger: they are revoked from now on
}

// ReapplyRevocations revokes what a published CRL of the issuer's shard names and the
// database does not know to be revoked, with the CRL's dates and reasons and with audit
// events, in one transaction: a caller gives some hundreds of entries at a time. Those
// that are in no ledger are kept as revoked until the issuer expires, which NotAfter of
// an entry need not say. The key of an account's certificate that is compromised is blocked
// for that account. Entries may be given again.
func (db *DB) ReapplyRevocations(ctx context.Context, actor telamon.Actor, issuer *telamon.Issuer, shard int, entries []RevokedEntry) (Reapplied, error) {
	var done Reapplied
	err := db.update(ctx, func(t *txn) error {
		done = Reapplied{}
		var sums counts
		var unknown []string
		for i := range entries {
			known, err := t.reapply(ctx, actor, issuer, shard, &entries[i], &sums)
			if err != nil {
				return fmt.Errorf("revoke %s again: %w", entries[i].Serial, err)
			}
			switch known {
			case reapplied:
				done.Revoked++
			case reappliedUnknown:
				done.Revoked++
				done.Unknown++
				unknown = append(unknown, entries[i].Serial.String())
			}
		}
		if done.Revoked == 0 {
			return nil
		}
		if err := sums.write(ctx, t); err != nil {
			return err
		}
		if err := t.reviseShards(ctx, map[shardKey]bool{{issuer.ID.String(), int64(shard)}: true}); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "epoch.revoke", Object: issuer.ID.String(), Result: "ok",
			After: map[string]any{"shard": shard, "revoked": done.Revoked, "unknown": unknown},
		})
	})
	return done, err
}

// What reapply did.
type reapplication uint8

const (
	alreadyRevoked reapplication = iota
	reapplied
	reappliedUnknown
)

func (t *txn) reapply(ctx context.Context, actor telamon.Actor, issuer *telamon.Issuer, shard int, e *RevokedEntry, sums *counts) (reapplication, error) {
	event := telamon.Event{Actor: actor, Action: "certificate.revoke", Object: e.Serial.String(), Result: "ok", After: map[string]any{"reason": e.Reason, "from": "crl"}}
	rows, err := t.RestoreRevocation(ctx, queries.RestoreRevocationParams{
		Now: t.millis(), RevokedAt: millisOrNil(e.At), Reason: string(e.Reason), CompromisedAt: millisOrNil(e.CompromisedAt),
		Serial: e.Serial[:], IssuerID: issuer.ID.String(),
	})
	if err != nil {
		return 0, err
	}
	if len(rows) == 1 {
		sums.add(count{telamon.PairID(rows[0]), countRevoked, e.At.Unix(), 1})
		account, err := t.AccountOfPair(ctx, rows[0])
		if err != nil {
			return 0, err
		}
		event.Account = telamon.AccountID(account)
		if e.Reason == telamon.ReasonKeyCompromise { // who blocked the key for everybody is not known
			row, err := t.Certificate(ctx, queries.CertificateParams{PairID: rows[0], Serial: e.Serial[:]})
			if err != nil {
				return 0, err
			}
			block := &telamon.KeyBlock{SPKIHash: [32]byte(row.SpkiHash), Account: event.Account, Source: telamon.BlockedByAccount, Serial: &e.Serial}
			if _, err := t.blockKey(ctx, block); err != nil {
				return 0, err
			}
		}
		return reapplied, t.audit(ctx, event)
	}
	clients, err := t.RestoreClientRevocation(ctx, queries.RestoreClientRevocationParams{
		RevokedAt: millisOrNil(e.At), Reason: string(e.Reason), Serial: e.Serial[:], IssuerID: issuer.ID.String(),
	})
	if err != nil {
		return 0, err
	}
	if len(clients) == 1 {
		event.Action, event.Object, event.Account = "client_certificate.revoke", clients[0].ID, telamon.AccountID(clients[0].AccountID)
		if err := t.changed(ctx, ChangeClientCert, clients[0].ID); err != nil {
			return 0, err
		}
		return reapplied, t.audit(ctx, event)
	}
	pairs, err := t.RestoreKeyPairRevocation(ctx, queries.RestoreKeyPairRevocationParams{
		RevokedAt: millisOrNil(e.At), Reason: string(e.Reason), Serial: e.Serial[:], IssuerID: textOrNil(issuer.ID),
	})
	if err != nil {
		return 0, err
	}
	if len(pairs) == 1 {
		event.Action, event.Object, event.Account = "key_pair.revoke", pairs[0].ID, telamon.AccountID(pairs[0].AccountID)
		return reapplied, t.audit(ctx, event)
	}
	known, err := t.SerialStatus(ctx, e.Serial[:])
	if err != nil || slices.ContainsFunc(known, isRevoked) { // a responder or a precertificate is not
		return alreadyRevoked, err
	}
	added, err := t.InsertCARevocation(ctx, queries.InsertCARevocationParams{
		IssuerID: issuer.ID.String(), Serial: e.Serial[:], CrlShard: int64(shard), NotAfter: issuer.Certificate.NotAfter.UnixMilli(),
		RevokedAt: e.At.UnixMilli(), Reason: string(e.Reason), CompromisedAt: millisOrNil(e.CompromisedAt),
	})
	if err != nil || added == 0 {
		return alreadyRevoked, err
	}
	return reappliedUnknown, nil
}

// RevokeLost revokes a certificate of the issuer that is in no ledger, since it was lost
// when the database was restored: it is kept as revoked until the issuer expires. The
// event is written with it; rev.At is set by the store. RevokeLost reports Conflict with
// already_revoked, and with wrong_state for a serial number that is known.
func (db *DB) RevokeLost(ctx context.Context, issuer *telamon.Issuer, serial telamon.Serial, rev telamon.Revocation, event telamon.Event) error {
	shard := int64(serial.Shard(issuer.CRLShards))
	err := db.update(ctx, func(t *txn) error {
		known, err := t.SerialStatus(ctx, serial[:])
		if err != nil {
			return fmt.Errorf("look for %s: %w", serial, err)
		}
		if slices.ContainsFunc(known, isRevoked) {
			return fault.New(fault.Conflict, fault.CodeAlreadyRevoked, "Certificate is already revoked")
		}
		if len(known) > 0 {
			return fault.New(fault.Conflict, "wrong_state", "This serial number is one of an mTLS certificate, a key pair, an OCSP responder or a precertificate, and not lost.")
		}
		added, err := t.InsertCARevocation(ctx, queries.InsertCARevocationParams{
			IssuerID: issuer.ID.String(), Serial: serial[:], CrlShard: shard, NotAfter: issuer.Certificate.NotAfter.UnixMilli(),
			RevokedAt: t.millis(), Reason: string(rev.Reason), CompromisedAt: millisOrNil(rev.CompromisedAt),
		})
		if err != nil {
			return fmt.Errorf("revoke lost certificate %s: %w", serial, err)
		}
		if added != 1 {
			return fault.New(fault.Conflict, fault.CodeAlreadyRevoked, "Certificate is already revoked")
		}
		if err := t.reviseShards(ctx, map[shardKey]bool{{issuer.ID.String(), shard}: true}); err != nil {
			return err
		}
		return t.audit(ctx, event)
	})
	if err == nil {
		db.revoked(serial)
	}
	return err
}

func isRevoked(r queries.SerialStatusRow) bool { return r.RevokedAt != nil }

// IsRevoked reports whether the database knows the certificate of this serial number
// to be revoked, and whether it knows it at all.
func (db *DB) IsRevoked(ctx context.Context, serial telamon.Serial) (revoked, known bool, err error) {
	status, err := db.SerialStatus(ctx, serial)
	if fault.Is(err, fault.NotFound) {
		return false, false, nil
	}
	return status.Revocation != nil, err == nil, err
}
