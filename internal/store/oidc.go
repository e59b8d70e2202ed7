package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// An OIDC is the OpenID provider by which the people of an account may sign in.
type OIDC struct {
	Account      telamon.AccountID
	Issuer       string
	ClientID     string
	SecretSealed []byte
	AcceptsMFA   bool
	Domains      []string // of work addresses that lead to it, sorted
	ChangedAt    time.Time
}

// OIDC returns an account's provider, nil if there is none.
func (db *DB) OIDC(ctx context.Context, account telamon.AccountID) (*OIDC, error) {
	rows, err := db.queries().AccountOIDC(ctx, account.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read the provider of %s: %w", account, err))
	}
	if len(rows) == 0 {
		return nil, nil
	}
	domains, err := db.queries().OIDCDomains(ctx, account.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read the domains of %s: %w", account, err))
	}
	r := rows[0]
	return &OIDC{
		Account: account, Issuer: r.Issuer, ClientID: r.ClientID, SecretSealed: r.SecretSealed, AcceptsMFA: r.AcceptsMfa,
		Domains: domains, ChangedAt: timeOf(r.ChangedAt),
	}, nil
}

// PutOIDC sets an account's provider and ChangedAt. It reports Conflict with
// oidc_domain_taken if a domain leads to another account's provider.
func (db *DB) PutOIDC(ctx context.Context, actor telamon.Actor, o *OIDC) error {
	return db.update(ctx, func(t *txn) error {
		o.ChangedAt = timeOf(t.millis())
		err := t.PutAccountOIDC(ctx, queries.PutAccountOIDCParams{
			AccountID: o.Account.String(), Issuer: o.Issuer, ClientID: o.ClientID, SecretSealed: o.SecretSealed,
			AcceptsMfa: o.AcceptsMFA, ChangedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("set the provider of %s: %w", o.Account, err)
		}
		if err := t.putOIDCDomains(ctx, o); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: o.Account, Action: "account.set_oidc", Object: o.Account.String(), Result: "ok",
			After: map[string]any{"issuer": o.Issuer, "client_id": o.ClientID, "accepts_mfa": o.AcceptsMFA, "domains": o.Domains},
		})
	})
}

func (t *txn) putOIDCDomains(ctx context.Context, o *OIDC) error {
	if err := t.DropOIDCDomains(ctx, o.Account.String()); err != nil {
		return fmt.Errorf("drop the domains of %s: %w", o.Account, err)
	}
	for _, name := range o.Domains {
		n, err := t.PutOIDCDomain(ctx, queries.PutOIDCDomainParams{Name: name, AccountID: o.Account.String()})
		if err != nil {
			return fmt.Errorf("set the domain %s: %w", name, err)
		}
		if n != 1 {
			return &fault.Fault{
				Kind: fault.Conflict, Code: "oidc_domain_taken", Detail: "Another account signs in the people of " + name + ".",
				Fields: []fault.Field{{Path: "domains", Problem: name + " leads to another account's provider"}},
			}
		}
	}
	return nil
}

// OIDCAccount returns the account to whose provider the work addresses of a domain lead,
// "" if there is none. The account controls the domain, or one that it is in, still.
func (db *DB) OIDCAccount(ctx context.Context, domain dnsname.Name) (telamon.AccountID, error) {
	rows, err := db.queries().OIDCDomain(ctx, string(domain))
	if err != nil || len(rows) == 0 {
		return "", db.judge(ctx, err)
	}
	account := telamon.AccountID(rows[0])
	ok, err := db.ControlsDomain(ctx, account, domain)
	if err != nil || !ok {
		return "", err
	}
	return account, nil
}

// ControlsDomain reports whether an identity of the account has a verified claim that covers
// the domain.
func (db *DB) ControlsDomain(ctx context.Context, account telamon.AccountID, domain dnsname.Name) (bool, error) {
	for _, name := range domain.AuthorizationDomains() {
		rows, err := db.queries().VerifiedDomain(ctx, queries.VerifiedDomainParams{
			AccountID: account.String(), Name: string(name), Now: db.clock.Now().UnixMilli(),
		})
		if err != nil {
			return false, db.judge(ctx, fmt.Errorf("look for a claim of %s: %w", name, err))
		}
		for _, coverage := range rows {
			if name == domain || coverage != nil && telamon.Coverage(*coverage) == telamon.CoversTree {
				return true, nil
			}
		}
	}
	return false, nil
}

// DropOIDC removes an account's provider. It reports NotFound.
func (db *DB) DropOIDC(ctx context.Context, actor telamon.Actor, account telamon.AccountID) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.DropOIDCDomains(ctx, account.String()); err != nil {
			return fmt.Errorf("drop the domains of %s: %w", account, err)
		}
		n, err := t.DropAccountOIDC(ctx, account.String())
		if err != nil {
			return fmt.Errorf("drop the provider of %s: %w", account, err)
		}
		if n != 1 {
			return fault.New(fault.NotFound, "oidc_not_found", "There is no sign-in by a provider here.")
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "account.remove_oidc", Object: account.String(), Result: "ok",
		})
	})
}

// An OIDCFlow is a sign-in whose person is at the provider.
type OIDCFlow struct {
	Account   telamon.AccountID
	Sealed    []byte
	ExpiresAt time.Time
}

// PutOIDCFlow keeps a flow by the hashes of its state and of its browser's value.
func (db *DB) PutOIDCFlow(ctx context.Context, f OIDCFlow, state, browser string) error {
	return db.update(ctx, func(t *txn) error {
		err := t.InsertOIDCFlow(ctx, queries.InsertOIDCFlowParams{
			StateHash: valueHash(state), BrowserHash: valueHash(browser), AccountID: f.Account.String(), Sealed: f.Sealed,
			ExpiresAt: f.ExpiresAt.UnixMilli(),
		})
		if err != nil {
			return fmt.Errorf("insert a flow: %w", err)
		}
		return nil
	})
}

// TakeOIDCFlow returns and forgets a flow, nil if there is none of this state and browser.
func (db *DB) TakeOIDCFlow(ctx context.Context, state, browser string) (f *OIDCFlow, err error) {
	err = db.update(ctx, func(t *txn) error {
		f = nil
		rows, err := t.Queries.TakeOIDCFlow(ctx, queries.TakeOIDCFlowParams{StateHash: valueHash(state), BrowserHash: valueHash(browser)})
		if err != nil {
			return fmt.Errorf("take a flow: %w", err)
		}
		if len(rows) > 0 {
			f = &OIDCFlow{Account: telamon.AccountID(rows[0].AccountID), Sealed: rows[0].Sealed, ExpiresAt: timeOf(rows[0].ExpiresAt)}
		}
		return nil
	})
	return f, err
}

// An OIDCIdentity is who signed in at an account's provider.
type OIDCIdentity struct {
	Account         telamon.AccountID
	Issuer, Subject string
	Email           string
	Verified        bool // by the provider: the address is theirs
}

// LinkOIDC returns the person of the account who has this identity: the one that it was
// linked with before, or else, once and for good, the one of its verified address. It
// returns nil if there is none.
func (db *DB) LinkOIDC(ctx context.Context, actor telamon.Actor, id OIDCIdentity) (c *Candidate, err error) {
	err = db.update(ctx, func(t *txn) error {
		c = nil
		users, err := t.OIDCSubject(ctx, queries.OIDCSubjectParams{AccountID: id.Account.String(), Issuer: id.Issuer, Subject: id.Subject})
		if err != nil {
			return fmt.Errorf("look an identity up: %w", err)
		}
		if len(users) > 0 {
			row, err := t.User(ctx, queries.UserParams{AccountID: id.Account.String(), ID: users[0]})
			if err != nil {
				return fmt.Errorf("read user %s: %w", users[0], err)
			}
			u := userOf(row)
			c = &Candidate{User: &u}
			return t.addPerson(ctx, c)
		}
		if !id.Verified {
			return nil
		}
		u, err := t.personByEmail(ctx, id.Email)
		if err != nil || u == nil || u.Account != id.Account {
			return err
		}
		linked, err := t.CountOIDCSubjects(ctx, queries.CountOIDCSubjectsParams{
			AccountID: id.Account.String(), Issuer: id.Issuer, UserID: u.ID.String(),
		})
		if err != nil {
			return fmt.Errorf("count the identities of %s: %w", u.ID, err)
		}
		if linked > 0 { // the provider has given the address to somebody else
			return nil
		}
		err = t.InsertOIDCSubject(ctx, queries.InsertOIDCSubjectParams{
			AccountID: id.Account.String(), Issuer: id.Issuer, Subject: id.Subject, UserID: u.ID.String(), LinkedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("link user %s: %w", u.ID, err)
		}
		c = &Candidate{User: u}
		if err := t.addPerson(ctx, c); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: id.Account, Action: "user.link_oidc", Object: u.ID.String(), Result: "ok",
			After: map[string]any{"issuer": id.Issuer, "subject": id.Subject},
		})
	})
	return c, err
}
