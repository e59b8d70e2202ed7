package store

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// CreateKeyPair writes a new key pair with its certificate, if it has one, and sets its
// State and CreatedAt. It reports NotFound if there is no such account, and Conflict with
// name_taken if one of this name has its key.
func (db *DB) CreateKeyPair(ctx context.Context, actor telamon.Actor, k *telamon.KeyPair) error {
	err := db.update(ctx, func(t *txn) error {
		if err := t.mustHaveAccount(ctx, k.Account); err != nil {
			return err
		}
		k.State, k.CreatedAt = telamon.Active, timeOf(t.millis())
		p := queries.InsertKeyPairParams{
			ID: k.ID.String(), AccountID: k.Account.String(), Name: k.Name, NameKey: nameKey(k.Name), KeyType: k.KeyType,
			KeyName: k.KeyName, Spki: k.SPKI, State: string(k.State), CreatedAt: t.millis(),
		}
		after := map[string]any{"name": k.Name, "key_type": k.KeyType}
		if k.Certificate != nil {
			shard := int64(k.CRLShard)
			p.Certificate, p.Serial, p.IssuerID = k.Certificate.Raw, k.Serial[:], textOrNil(k.Issuer)
			p.CrlShard, p.NotAfter = &shard, millisOrNil(k.Certificate.NotAfter)
			after["serial"], after["issuer"], after["not_after"] = k.Serial.String(), k.Issuer, k.Certificate.NotAfter
		}
		if err := t.InsertKeyPair(ctx, p); err != nil {
			return fmt.Errorf("insert key pair %s: %w", k.ID, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: k.Account, Action: "key_pair.create", Object: k.ID.String(), Result: "ok", After: after,
		})
	})
	if violates(err, "key_pair_name_is_unique") {
		return fault.New(fault.Conflict, "name_taken", "A key pair of this name exists.")
	}
	return err
}

// KeyPair returns a key pair of the account, also one without a key. It reports NotFound.
func (db *DB) KeyPair(ctx context.Context, account telamon.AccountID, id telamon.KeyPairID) (telamon.KeyPair, error) {
	row, err := db.queries().KeyPair(ctx, queries.KeyPairParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return telamon.KeyPair{}, db.judge(ctx, found(err, "key_pair_not_found", "key pair"))
	}
	return keyPairOf(row)
}

// A CertificateStatus is what a list of key pairs asks of their certificates.
type CertificateStatus string

// The statuses. All but the first leave out what has no certificate.
const (
	CertificateOrNone CertificateStatus = ""
	CertificateAny    CertificateStatus = "any"
	CertificateActive CertificateStatus = "active" // neither expired nor revoked
	CertificateEnded  CertificateStatus = "expired"
	CertificateGone   CertificateStatus = "revoked"
)

// A KeyPairFilter says which of an account's key pairs a list has, in the order of their
// making. Deleted ones are in none.
type KeyPairFilter struct {
	After         telamon.KeyPairID // the last one that the caller has; "" starts the list
	Serial        *telamon.Serial   // of the certificate; nil: all
	Name          string            // whole, without regard to case; "": all
	Status        CertificateStatus
	Offset, Limit int64
}

// maxKeyPairsListed is how many key pairs are listed at a time.
const maxKeyPairsListed = 1000

// KeyPairs returns the part of the list that the filter asks for, and how long the whole
// list is.
func (db *DB) KeyPairs(ctx context.Context, account telamon.AccountID, f KeyPairFilter) ([]telamon.KeyPair, int64, error) {
	now, anySerial, serial := db.clock.Now().UnixMilli(), int64(1), []byte(nil)
	if f.Serial != nil {
		anySerial, serial = 0, f.Serial[:]
	}
	q := db.queries()
	total, err := q.CountKeyPairs(ctx, queries.CountKeyPairsParams{
		AccountID: account.String(), After: f.After.String(), AnySerial: anySerial, Serial: serial, NameKey: nameKey(f.Name), Status: string(f.Status), Now: &now,
	})
	if err != nil {
		return nil, 0, db.judge(ctx, fmt.Errorf("count key pairs of %s: %w", account, err))
	}
	rows, err := q.KeyPairs(ctx, queries.KeyPairsParams{
		AccountID: account.String(), After: f.After.String(), AnySerial: anySerial, Serial: serial, NameKey: nameKey(f.Name), Status: string(f.Status), Now: &now,
		Skip: int32(min(f.Offset, math.MaxInt32)), Lim: int32(min(f.Limit, maxKeyPairsListed)),
	})
	if err != nil {
		return nil, 0, db.judge(ctx, fmt.Errorf("list key pairs of %s: %w", account, err))
	}
	pairs, err := mappedOrError(rows, keyPairOf)
	return pairs, total, err
}

// SetKeyPairState disables, enables or deletes a key pair, and returns it as it was. It
// reports NotFound, and Conflict if the key pair's state does not allow it.
func (db *DB) SetKeyPairState(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.KeyPairID, to telamon.State) (telamon.KeyPair, error) {
	var was telamon.KeyPair
	err := db.update(ctx, func(t *txn) (err error) {
		if was, err = t.keyPair(ctx, account, id); err != nil {
			return err
		}
		if err := checkStateChange(was.State, to); err != nil {
			return err
		}
		err = mustChange(t.SetKeyPairState(ctx, queries.SetKeyPairStateParams{
			AccountID: account.String(), ID: id.String(), FromState: string(was.State), ToState: string(to),
		}))
		if err != nil {
			return fmt.Errorf("change state of key pair %s: %w", id, err)
		}
		return t.audit(ctx, stateEvent(actor, account, "key_pair", id.String(), was.State, to))
	})
	return was, err
}

// RevokeKeyPair revokes a key pair's certificate, also that of a deleted one, and ends the
// key pair. It returns it as it was. For keyCompromise, it blocks the key.
// It reports NotFound, and Conflict with no_certificate or already_revoked.
func (db *DB) RevokeKeyPair(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.KeyPairID, reason telamon.RevocationReason) (telamon.KeyPair, error) {
	var was telamon.KeyPair
	err := db.update(ctx, func(t *txn) (err error) {
		if was, err = t.keyPair(ctx, account, id); err != nil {
			return err
		}
		switch {
		case was.Certificate == nil:
			return fault.New(fault.Conflict, "no_certificate", "The key pair has no certificate that could be revoked.")
		case was.Revocation != nil:
			return fault.New(fault.Conflict, fault.CodeAlreadyRevoked, "Certificate is already revoked")
		}
		now, why := t.millis(), string(reason)
		err = mustChange(t.SetKeyPairState(ctx, queries.SetKeyPairStateParams{
			AccountID: account.String(), ID: id.String(), FromState: string(was.State), ToState: string(telamon.Revoked),
			RevokedAt: &now, Reason: &why,
		}))
		if err != nil {
			return fmt.Errorf("revoke key pair %s: %w", id, err)
		}
		if reason == telamon.ReasonKeyCompromise {
			if _, err := t.blockKey(ctx, keyPairBlock(actor, &was)); err != nil {
				return err
			}
		}
		if err := t.reviseShards(ctx, map[shardKey]bool{{was.Issuer.String(), int64(was.CRLShard)}: true}); err != nil {
			return err
		}
		event := stateEvent(actor, account, "key_pair", id.String(), was.State, telamon.Revoked)
		event.After = map[string]any{"state": telamon.Revoked, "serial": was.Serial.String(), "reason": reason}
		return t.audit(ctx, event)
	})
	if err == nil {
		db.revoked(was.Serial)
	}
	return was, err
}

// keyPairBlock blocks a compromised key for everybody on the word of the CA's staff, and
// otherwise for its account.
func keyPairBlock(actor telamon.Actor, k *telamon.KeyPair) *telamon.KeyBlock {
	block := &telamon.KeyBlock{SPKIHash: sha256.Sum256(k.SPKI), Source: telamon.BlockedByStaff, Serial: &k.Serial}
	if !ofStaff(actor, k.Account) {
		block.Account, block.Source = k.Account, telamon.BlockedByAccount
	}
	return block
}

// keyPair returns a key pair that the transaction is about to change.
func (t *txn) keyPair(ctx context.Context, account telamon.AccountID, id telamon.KeyPairID) (telamon.KeyPair, error) {
	row, err := t.LockKeyPair(ctx, queries.LockKeyPairParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return telamon.KeyPair{}, found(err, "key_pair_not_found", "key pair")
	}
	return keyPairOf(row)
}

// RecordSignature writes the audit event of a signature by a key pair, grouped with the
// writes of others, and returns its ID. When it returns no error, the event is durable,
// and the key pair was active at that instant: a signature whose event is not recorded
// must not leave the platform.
//
// It reports NotFound, and Conflict with key_pair_not_active; the refusal is audited.
func (db *DB) RecordSignature(ctx context.Context, account telamon.AccountID, id telamon.KeyPairID, event telamon.Event) (telamon.EventID, error) {
	u := &unit{event: event, key: id.String(), apply: func(ctx context.Context, t *txn) error {
		k, err := t.LockKeyPair(ctx, queries.LockKeyPairParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "key_pair_not_found", "key pair")
		}
		if telamon.State(k.State) != telamon.Active {
			return ErrKeyPairNotActive(telamon.State(k.State))
		}
		return nil
	}}
	err := db.committer.commit(ctx, u)
	return u.event.ID, err
}

// ErrKeyPairNotActive is the fault of a key pair that does not sign.
func ErrKeyPairNotActive(state telamon.State) error {
	return fault.New(fault.Conflict, "key_pair_not_active", fmt.Sprintf("The key pair is %s.", state))
}

// A KeyPairKey is what is known of the key of a key pair.
type KeyPairKey struct {
	ID      telamon.KeyPairID
	Account telamon.AccountID
	Name    string // in the keystore
	SPKI    []byte
	State   telamon.State
}

// Ended reports whether the key pair has ended: its key signs no more and is to be destroyed.
func (k *KeyPairKey) Ended() bool { return k.State == telamon.Deleted || k.State == telamon.Revoked }

// KeyPairKeys returns the keys of all key pairs, also of those that have ended.
func (db *DB) KeyPairKeys(ctx context.Context) ([]KeyPairKey, error) {
	rows, err := db.queries().KeyPairKeys(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list the keys of key pairs: %w", err))
	}
	return mapped(rows, func(r queries.KeyPairKeysRow) KeyPairKey {
		return KeyPairKey{telamon.KeyPairID(r.ID), telamon.AccountID(r.AccountID), r.KeyName, r.Spki, telamon.State(r.State)}
	}), nil
}

func keyPairOf(r queries.KeyPair) (telamon.KeyPair, error) {
	k := telamon.KeyPair{
		ID: telamon.KeyPairID(r.ID), Account: telamon.AccountID(r.AccountID), Name: r.Name, KeyType: r.KeyType, KeyName: r.KeyName,
		SPKI: r.Spki, State: telamon.State(r.State), CreatedAt: timeOf(r.CreatedAt),
	}
	if len(r.Certificate) == 0 {
		return k, nil
	}
	var err error
	if k.Certificate, err = x509.ParseCertificate(r.Certificate); err != nil {
		return k, fmt.Errorf("read certificate of key pair %s: %w", r.ID, err)
	}
	k.Serial, k.Issuer = telamon.Serial(r.Serial), idOf[telamon.IssuerID](r.IssuerID)
	if r.CrlShard != nil {
		k.CRLShard = int(*r.CrlShard)
	}
	if r.RevokedAt != nil {
		k.Revocation = &telamon.Revocation{At: timeOf(*r.RevokedAt)}
		if r.Reason != nil {
			k.Revocation.Reason = telamon.RevocationReason(*r.Reason)
		}
	}
	return k, nil
}
