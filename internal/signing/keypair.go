package signing

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// KeyPair returns a key pair of the account that is not deleted. It reports NotFound.
func (s *Signing) KeyPair(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.KeyPairID) (telamon.KeyPair, error) {
	if err := authz.Check(actor, authz.KeyPairRead, account); err != nil {
		return telamon.KeyPair{}, err
	}
	return s.listed(ctx, account, id)
}

// listed returns a key pair that is not deleted.
func (s *Signing) listed(ctx context.Context, account telamon.AccountID, id telamon.KeyPairID) (telamon.KeyPair, error) {
	k, err := s.Store.KeyPair(ctx, account, id)
	if err == nil && k.State == telamon.Deleted {
		return telamon.KeyPair{}, errNoKeyPair()
	}
	return k, err
}

func errNoKeyPair() error {
	return fault.New(fault.NotFound, "key_pair_not_found", "There is no such key pair.")
}

// KeyPairs returns a part of the list of the account's key pairs, and how long the whole
// list is.
func (s *Signing) KeyPairs(ctx context.Context, actor telamon.Actor, account telamon.AccountID, f store.KeyPairFilter) ([]telamon.KeyPair, int64, error) {
	if err := authz.Check(actor, authz.KeyPairRead, account); err != nil {
		return nil, 0, err
	}
	return s.Store.KeyPairs(ctx, account, f)
}

// Page returns key pairs of the account in the order of their making, a page at a time.
func (s *Signing) Page(ctx context.Context, actor telamon.Actor, account telamon.AccountID, page store.Page) ([]telamon.KeyPair, error) {
	pairs, _, err := s.KeyPairs(ctx, actor, account, store.KeyPairFilter{After: telamon.KeyPairID(page.After), Limit: int64(page.Limit)})
	return pairs, err
}

// Account returns the account of a user whose key pairs the user may see.
func (s *Signing) Account(ctx context.Context, actor telamon.Actor) (telamon.Account, error) {
	if err := authz.Check(actor, authz.KeyPairRead, actor.Account); err != nil {
		return telamon.Account{}, err
	}
	return s.Store.Account(ctx, actor.Account)
}

// Chain returns the certificates above that of a key pair, up to the root; nil if it has
// none.
func (s *Signing) Chain(k *telamon.KeyPair) ([]*x509.Certificate, error) {
	if k.Certificate == nil {
		return nil, nil
	}
	return s.Issuance.Chain(k.Issuer)
}

// Disable makes a key pair sign no more until it is enabled: not once after Disable has
// returned, on any replica. It reports NotFound and Conflict.
func (s *Signing) Disable(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.KeyPairID) error {
	return s.set(ctx, actor, authz.KeyPairDisable, account, id, telamon.Disabled)
}

// Enable makes a disabled key pair sign again. It reports NotFound and Conflict.
func (s *Signing) Enable(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.KeyPairID) error {
	return s.set(ctx, actor, authz.KeyPairEnable, account, id, telamon.Active)
}

func (s *Signing) set(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.KeyPairID, to telamon.State) error {
	if err := authz.Check(actor, action, account); err != nil {
		return err
	}
	_, err := s.Store.SetKeyPairState(ctx, actor, account, id, to)
	return err
}

// Delete ends a key pair for good and destroys its key. Its certificate is not revoked:
// what it signed stays good, and nobody can sign any more.
//
// It reports NotFound, Conflict, and Unavailable with key_not_destroyed if the keystore
// does not answer; the key pair is then deleted, and its key destroyed later.
func (s *Signing) Delete(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.KeyPairID) error {
	if err := authz.Check(actor, authz.KeyPairDelete, account); err != nil {
		return err
	}
	k, err := s.Store.SetKeyPairState(ctx, actor, account, id, telamon.Deleted)
	if err != nil {
		return err
	}
	return s.destroyed(ctx, &k)
}

// Revoke revokes the certificate of a key pair, also of a deleted one, ends the key pair
// and destroys its key.
//
// It reports Invalid with invalid_reason, and what Delete reports; Conflict too with
// no_certificate or already_revoked.
func (s *Signing) Revoke(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.KeyPairID, reason telamon.RevocationReason) error {
	if err := authz.Check(actor, authz.KeyPairDelete, account); err != nil {
		return err
	}
	if !slices.Contains(telamon.RevocationReasons, reason) {
		var p field.Problems
		p.Add("reason", fmt.Sprintf("is none of %v", telamon.RevocationReasons))
		return p.Fault("invalid_reason")
	}
	k, err := s.Store.RevokeKeyPair(ctx, actor, account, id, reason)
	if err != nil {
		return err
	}
	return s.destroyed(ctx, &k)
}

// destroyed destroys the key of a key pair that has ended.
func (s *Signing) destroyed(ctx context.Context, k *telamon.KeyPair) error {
	if err := s.destroy(k.KeyName); err != nil {
		s.Log.ErrorContext(ctx, "the key of a key pair that has ended is not destroyed yet", "key_pair", k.ID, "error", err)
		return &fault.Fault{
			Kind: fault.Unavailable, Code: "key_not_destroyed",
			Detail: "The key pair signs no more, but its key could not be destroyed yet. That is tried again.", Cause: err,
		}
	}
	return nil
}

// destroy destroys a key. It does nothing if the keystore has none of the name.
func (s *Signing) destroy(name string) error {
	if err := s.Keys.Retire(name); errors.Is(err, keystore.ErrNoKey) {
		return nil
	} else if err != nil {
		return err
	}
	if err := s.Keys.Destroy(name); !errors.Is(err, keystore.ErrNoKey) {
		return err
	}
	return nil
}

// discard destroys the key of a key pair that was not made.
func (s *Signing) discard(ctx context.Context, k *telamon.KeyPair) {
	if err := s.destroy(k.KeyName); err != nil {
		s.Log.WarnContext(ctx, "the key of a key pair that was not made is left; it signs nothing", "key", k.KeyName, "error", err)
	}
}

// swept remembers which key pairs that have ended have no key here any more.
type swept struct {
	mu   sync.Mutex
	gone map[telamon.KeyPairID]bool // guarded by mu
}

// Sweep destroys the keys of key pairs that have ended, as far as this process has them:
// one that could not be destroyed at the time, or of which another process of the same
// keystore has removed the file. It looks for each key once.
func (s *Signing) Sweep(ctx context.Context) error {
	s.swept.mu.Lock()
	defer s.swept.mu.Unlock()
	if s.swept.gone == nil {
		s.swept.gone = map[telamon.KeyPairID]bool{}
	}
	keys, err := s.Store.KeyPairKeys(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, k := range keys {
		if !k.Ended() || s.swept.gone[k.ID] {
			continue
		}
		if err := s.destroy(k.Name); err != nil {
			errs = append(errs, fmt.Errorf("destroy the key of key pair %s: %w", k.ID, err))
			continue
		}
		s.swept.gone[k.ID] = true
	}
	return errors.Join(errs...)
}
