package store

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// CreateCredential writes a new credential for one of its account's subscriptions
// and identities, with a client certificate that is linked to it unless cert is
// nil. It sets the credential's Pair, State, Epoch and CreatedAt, and the
// certificate's State, Credentials and CreatedAt.
//
// It reports NotFound if the account has no such subscription or identity, and
// Conflict if a credential of the account has the name, or if the certificate's
// key is another account's (key_of_another_account).
func (db *DB) CreateCredential(ctx context.Context, actor telamon.Actor, c *telamon.Credential, subscription telamon.SubscriptionID, identity telamon.IdentityID, cert *telamon.ClientCert) error {
	err := db.update(ctx, func(t *txn) error {
		if err := t.mustHaveAccount(ctx, c.Account); err != nil {
			return err
		}
		pair, err := t.pairOf(ctx, c.Account, subscription, identity)
		if err != nil {
			return err
		}
		c.Pair = pair
		if err := t.insertCredential(ctx, actor, c); err != nil || cert == nil {
			return err
		}
		cert.Credentials = []telamon.CredentialID{c.ID}
		return t.insertClientCert(ctx, actor, cert)
	})
	if violates(err, "credential_name_is_unique") {
		return fault.New(fault.Conflict, "name_taken", "Name already used.")
	}
	return err
}

func (t *txn) insertCredential(ctx context.Context, actor telamon.Actor, c *telamon.Credential) error {
	c.State, c.Epoch, c.CreatedAt = telamon.Active, 1, timeOf(t.millis())
	err := t.InsertCredential(ctx, queries.InsertCredentialParams{
		ID: c.ID.String(), AccountID: c.Account.String(), Name: c.Name, ApiKey: c.Key, SecretMac: c.SecretMAC,
		PepperVersion: int64(c.PepperVersion), PairID: int64(c.Pair), Mtls: string(c.MTLS), AllowedIps: addressesText(c.AllowedIPs),
		State: string(c.State), Epoch: c.Epoch, CreatedAt: t.millis(),
	})
	if err != nil {
		return fmt.Errorf("insert credential %s: %w", c.ID, err)
	}
	if err := t.changed(ctx, ChangeCredential, c.ID.String()); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: c.Account, Action: "credential.create", Object: c.ID.String(), Result: "ok",
		After: map[string]any{"name": c.Name, "key": c.Key, "pair": c.Pair, "mtls": c.MTLS, "allowed_ips": c.AllowedIPs},
	})
}

// credentialIn returns a credential of the account that is not deleted.
func (t *txn) credentialIn(ctx context.Context, account telamon.AccountID, id telamon.CredentialID) (telamon.Credential, error) {
	row, err := t.Credential(ctx, queries.CredentialParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return telamon.Credential{}, found(err, "credential_not_found", "credential")
	}
	if telamon.State(row.State) == telamon.Deleted {
		return telamon.Credential{}, fault.New(fault.Conflict, "wrong_state", "The credential is deleted.")
	}
	return credentialOf(row)
}

// Credential returns a credential of the account with its last use. It reports
// NotFound.
func (db *DB) Credential(ctx context.Context, account telamon.AccountID, id telamon.CredentialID) (telamon.Credential, error) {
	q := db.queries()
	row, err := q.Credential(ctx, queries.CredentialParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return telamon.Credential{}, db.judge(ctx, found(err, "credential_not_found", "credential"))
	}
	c, err := credentialOf(row)
	if err != nil {
		return c, err
	}
	uses, err := q.CredentialUse(ctx, id.String())
	if err != nil {
		return c, db.judge(ctx, fmt.Errorf("read use of credential %s: %w", id, err))
	}
	for _, use := range uses {
		c.LastUsedAt, c.LastUsedFrom = timeOf(use.At), use.Address
	}
	return c, nil
}

// Credentials lists the credentials of the account with their last use, deleted
// ones too.
func (db *DB) Credentials(ctx context.Context, account telamon.AccountID, page Page) ([]telamon.Credential, error) {
	rows, err := db.queries().CredentialsOfAccount(ctx, queries.CredentialsOfAccountParams{
		AccountID: account.String(), After: page.After, Lim: page.limit(),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list credentials of %s: %w", account, err))
	}
	return mappedOrError(rows, func(r queries.CredentialsOfAccountRow) (telamon.Credential, error) {
		c, err := credentialOf(r.Credential)
		c.LastUsedAt = timeOrZero(r.UsedAt)
		if r.UsedFrom != nil {
			c.LastUsedFrom = *r.UsedFrom
		}
		return c, err
	})
}

// SetCredentialState disables, enables or deletes a credential and ends its
// tokens. Deleting also takes it off its client certificates. It returns what
// changed. It reports NotFound, and Conflict if the credential's state does not
// allow it.
func (db *DB) SetCredentialState(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.CredentialID, to telamon.State) ([]Change, error) {
	var changes []Change
	err := db.update(ctx, func(t *txn) error {
		row, err := t.Credential(ctx, queries.CredentialParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "credential_not_found", "credential")
		}
		from := telamon.State(row.State)
		if err := checkStateChange(from, to); err != nil {
			return err
		}
		err = mustChange(t.SetCredentialState(ctx, queries.SetCredentialStateParams{
			AccountID: account.String(), ID: id.String(), FromState: string(from), ToState: string(to),
		}))
		if err != nil {
			return fmt.Errorf("change state of credential %s: %w", id, err)
		}
		changes = []Change{{Kind: ChangeCredential, Object: id.String()}}
		if to == telamon.Deleted {
			certs, err := t.detachCredential(ctx, id)
			if err != nil {
				return err
			}
			changes = append(changes, certs...)
		}
		for _, c := range changes {
			if err := t.changed(ctx, c.Kind, c.Object); err != nil {
				return err
			}
		}
		return t.audit(ctx, stateEvent(actor, account, "credential", id.String(), from, to))
	})
	return changes, err
}

// detachCredential takes a credential off its client certificates and returns
// those that changed.
func (t *txn) detachCredential(ctx context.Context, id telamon.CredentialID) ([]Change, error) {
	certs, err := t.ClientCertsOfCredential(ctx, id.String())
	if err != nil {
		return nil, fmt.Errorf("read certificates of credential %s: %w", id, err)
	}
	var changes []Change
	for _, cert := range certs {
		_, err := t.UnlinkClientCert(ctx, queries.UnlinkClientCertParams{ClientCertificateID: cert, CredentialID: id.String()})
		if err != nil {
			return nil, fmt.Errorf("unlink certificate %s: %w", cert, err)
		}
		changes = append(changes, Change{Kind: ChangeClientCert, Object: cert})
	}
	return changes, nil
}

// RelinkCredential moves a credential to another subscription and identity of its
// account and ends its tokens. It reports NotFound if the account has not all of
// them, and Conflict for a deleted credential.
func (db *DB) RelinkCredential(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.CredentialID, subscription telamon.SubscriptionID, identity telamon.IdentityID) error {
	return db.update(ctx, func(t *txn) error {
		before, err := t.credentialIn(ctx, account, id)
		if err != nil {
			return err
		}
		pair, err := t.pairOf(ctx, account, subscription, identity)
		if err != nil {
			return err
		}
		err = mustChange(t.SetCredentialPair(ctx, queries.SetCredentialPairParams{
			AccountID: account.String(), ID: id.String(), Epoch: before.Epoch, PairID: int64(pair),
		}))
		if err != nil {
			return fmt.Errorf("relink credential %s: %w", id, err)
		}
		if err := t.changed(ctx, ChangeCredential, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "credential.relink", Object: id.String(), Result: "ok",
			Before: map[string]any{"pair": before.Pair}, After: map[string]any{"pair": pair, "subscription": subscription, "identity": identity},
		})
	})
}

// SetCredentialAddresses replaces a credential's IP allow-list, of which none
// means any address, and ends its tokens. It reports NotFound, and Conflict for a
// deleted credential.
func (db *DB) SetCredentialAddresses(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.CredentialID, allowed []netip.Prefix) error {
	return db.update(ctx, func(t *txn) error {
		before, err := t.credentialIn(ctx, account, id)
		if err != nil {
			return err
		}
		err = mustChange(t.SetCredentialAddresses(ctx, queries.SetCredentialAddressesParams{
			AccountID: account.String(), ID: id.String(), Epoch: before.Epoch, AllowedIps: addressesText(allowed),
		}))
		if err != nil {
			return fmt.Errorf("change addresses of credential %s: %w", id, err)
		}
		if err := t.changed(ctx, ChangeCredential, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "credential.set_ips", Object: id.String(), Result: "ok",
			Before: map[string]any{"allowed_ips": before.AllowedIPs}, After: map[string]any{"allowed_ips": allowed},
		})
	})
}

// NoteCredentialUse writes when and from where a credential was used last, and the
// audit event of it, grouped with the writes of others.
func (db *DB) NoteCredentialUse(ctx context.Context, id telamon.CredentialID, at time.Time, address netip.Addr, event telamon.Event) error {
	return db.committer.commit(ctx, &unit{
		event: event, key: "credential_use " + id.String(),
		apply: func(ctx context.Context, t *txn) error {
			err := t.NoteCredentialUse(ctx, queries.NoteCredentialUseParams{
				CredentialID: id.String(), At: at.UnixMilli(), Address: addressText(address),
			})
			if err != nil {
				return fmt.Errorf("note use of credential %s: %w", id, err)
			}
			return nil
		},
	})
}

func credentialOf(r queries.Credential) (telamon.Credential, error) {
	c := telamon.Credential{
		ID: telamon.CredentialID(r.ID), Account: telamon.AccountID(r.AccountID), Name: r.Name, Key: r.ApiKey, SecretMAC: r.SecretMac,
		PepperVersion: int(r.PepperVersion), Pair: telamon.PairID(r.PairID), MTLS: telamon.MTLSMode(r.Mtls),
		State: telamon.State(r.State), Epoch: r.Epoch, CreatedAt: timeOf(r.CreatedAt),
	}
	for text := range strings.FieldsSeq(r.AllowedIps) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return c, fmt.Errorf("read addresses of credential %s: %w", r.ID, err)
		}
		c.AllowedIPs = append(c.AllowedIPs, prefix)
	}
	return c, nil
}

func addressesText(prefixes []netip.Prefix) string {
	return strings.Join(mapped(prefixes, netip.Prefix.String), " ")
}

// addressText returns the text of an address, "" for none.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// errOtherAccount is the fault of a public key that another account uses.
func errOtherAccount() error {
	return fault.New(fault.Conflict, "key_of_another_account", "This key is in use by somebody else. Make a new key.")
}
