package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A Directory holds the objects that authentication and authorization look up on
// every request: all of them, or those that were asked for. Client certificates
// are without their parsed form, credentials without their last use.
type Directory struct {
	Accounts      []telamon.Account
	Identities    []telamon.Identity
	Services      []telamon.Service
	Subscriptions []telamon.Subscription
	Pairs         []telamon.Pair
	Credentials   []telamon.Credential
	ClientCerts   []telamon.ClientCert
	Users         []telamon.User
	APITokens     []telamon.APIToken
	Issuers       []telamon.Issuer
	Series        []telamon.Series
}

// LoadDirectory reads everything that a directory holds, as of one instant, but
// for deleted credentials.
func (db *DB) LoadDirectory(ctx context.Context) (*Directory, error) {
	d := &Directory{}
	err := db.view(ctx, func(q *queries.Queries) error {
		return errors.Join(
			d.addAccounts(ctx, q), d.addCredentials(ctx, q), d.addClientCerts(ctx, q), d.addUsers(ctx, q), d.addIssuers(ctx, q),
		)
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("load the directory: %w", err))
	}
	return d, nil
}

func (d *Directory) addAccounts(ctx context.Context, q *queries.Queries) error {
	accounts, err := q.Accounts(ctx, queries.AccountsParams{Lim: math.MaxInt32})
	if err != nil {
		return fmt.Errorf("read accounts: %w", err)
	}
	identities, err := q.AllIdentities(ctx)
	if err != nil {
		return fmt.Errorf("read identities: %w", err)
	}
	services, err := q.Services(ctx, queries.ServicesParams{Lim: math.MaxInt32})
	if err != nil {
		return fmt.Errorf("read services: %w", err)
	}
	subscriptions, err := q.AllSubscriptions(ctx)
	if err != nil {
		return fmt.Errorf("read subscriptions: %w", err)
	}
	pairs, err := q.AllPairs(ctx)
	if err != nil {
		return fmt.Errorf("read pairs: %w", err)
	}
	d.Accounts, d.Services = mapped(accounts, accountOf), mapped(services, serviceOf)
	d.Subscriptions, d.Pairs = mapped(subscriptions, subscriptionOf), mapped(pairs, pairOf)
	d.Identities, err = mappedOrError(identities, identityOf)
	return err
}

func (d *Directory) addCredentials(ctx context.Context, q *queries.Queries) error {
	rows, err := q.LiveCredentials(ctx)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	d.Credentials, err = mappedOrError(rows, credentialOf)
	return err
}

func (d *Directory) addClientCerts(ctx context.Context, q *queries.Queries) error {
	rows, err := q.AllClientCertFacts(ctx)
	if err != nil {
		return fmt.Errorf("read client certificates: %w", err)
	}
	links, err := q.AllClientCertLinks(ctx)
	if err != nil {
		return fmt.Errorf("read links of client certificates: %w", err)
	}
	byCert := map[string][]telamon.CredentialID{}
	for _, l := range links {
		byCert[l.ClientCertificateID] = append(byCert[l.ClientCertificateID], telamon.CredentialID(l.CredentialID))
	}
	for _, r := range rows {
		cert := clientCertOf(queries.ClientCertFactsRow(r))
		cert.Credentials = byCert[r.ID]
		d.ClientCerts = append(d.ClientCerts, cert)
	}
	return nil
}

func (d *Directory) addUsers(ctx context.Context, q *queries.Queries) error {
	users, err := q.AllUsers(ctx)
	if err != nil {
		return fmt.Errorf("read users: %w", err)
	}
	tokens, err := q.AllAPITokens(ctx)
	if err != nil {
		return fmt.Errorf("read API tokens: %w", err)
	}
	d.Users, d.APITokens = mapped(users, userOf), mapped(tokens, apiTokenOf)
	return nil
}

func (d *Directory) addIssuers(ctx context.Context, q *queries.Queries) (err error) {
	d.Issuers, d.Series, err = readIssuers(ctx, q)
	return err
}

// LoadChanged reads the objects that the changes name, as they are now and as of
// one instant. Pairs come with the credentials that use them; a change of an
// issuer brings all issuers and series.
func (db *DB) LoadChanged(ctx context.Context, changes []Change) (*Directory, error) {
	d := &Directory{}
	err := db.view(ctx, func(q *queries.Queries) error {
		done := map[Change]bool{}
		for _, c := range changes {
			key := Change{Kind: c.Kind, Object: c.Object}
			if done[key] {
				continue
			}
			done[key] = true
			if err := d.addChanged(ctx, q, c); err != nil {
				return fmt.Errorf("read %s %s: %w", c.Kind, c.Object, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("load changes: %w", err))
	}
	return d, nil
}

func (d *Directory) addChanged(ctx context.Context, q *queries.Queries, c Change) error {
	switch c.Kind {
	case ChangeAccount:
		row, err := q.Account(ctx, c.Object)
		d.Accounts = append(d.Accounts, accountOf(row))
		return err
	case ChangeIdentity:
		row, err := q.IdentityByID(ctx, c.Object)
		if err != nil {
			return err
		}
		identity, err := identityOf(row)
		d.Identities = append(d.Identities, identity)
		return err
	case ChangeService:
		row, err := q.Service(ctx, c.Object)
		d.Services = append(d.Services, serviceOf(row))
		return err
	case ChangeSubscription:
		row, err := q.SubscriptionByID(ctx, c.Object)
		d.Subscriptions = append(d.Subscriptions, subscriptionOf(row))
		return err
	case ChangePair:
		id, err := strconv.ParseInt(c.Object, 10, 64)
		if err != nil {
			return err
		}
		row, err := q.PairByID(ctx, id)
		d.Pairs = append(d.Pairs, pairOf(row))
		return err
	case ChangeCredential:
		row, err := q.CredentialByID(ctx, c.Object)
		if err != nil {
			return err
		}
		return d.addCredential(ctx, q, row)
	case ChangeClientCert:
		row, err := q.ClientCertFacts(ctx, c.Object)
		if err != nil {
			return err
		}
		return d.addClientCert(ctx, q, row)
	case ChangeUser:
		row, err := q.UserByID(ctx, c.Object)
		d.Users = append(d.Users, userOf(row))
		return err
	case ChangeAPIToken:
		row, err := q.APITokenByID(ctx, c.Object)
		d.APITokens = append(d.APITokens, apiTokenOf(row))
		return err
	case ChangeIssuer:
		return d.addIssuers(ctx, q)
	}
	return nil // of a later release
}

// addCredential adds a credential and its pair.
func (d *Directory) addCredential(ctx context.Context, q *queries.Queries, row queries.Credential) error {
	credential, err := credentialOf(row)
	if err != nil {
		return err
	}
	pair, err := q.PairByID(ctx, row.PairID)
	if err != nil {
		return err
	}
	d.Credentials, d.Pairs = append(d.Credentials, credential), append(d.Pairs, pairOf(pair))
	return nil
}

// addClientCert adds a client certificate with its links.
func (d *Directory) addClientCert(ctx context.Context, q *queries.Queries, row queries.ClientCertFactsRow) error {
	cert := clientCertOf(row)
	links, err := q.ClientCertLinks(ctx, row.ID)
	if err != nil {
		return err
	}
	cert.Credentials = mapped(links, toCredentialID)
	d.ClientCerts = append(d.ClientCerts, cert)
	return nil
}

// FindCredentialByKey reads one credential by its key into a directory, which
// stays empty if there is none.
func (db *DB) FindCredentialByKey(ctx context.Context, key string) (*Directory, error) {
	return db.find(ctx, func(d *Directory, q *queries.Queries) error {
		row, err := q.CredentialByKey(ctx, key)
		if err != nil {
			return err
		}
		return d.addCredential(ctx, q, row)
	})
}

// FindCredential is FindCredentialByKey by ID.
func (db *DB) FindCredential(ctx context.Context, id telamon.CredentialID) (*Directory, error) {
	return db.find(ctx, func(d *Directory, q *queries.Queries) error {
		row, err := q.CredentialByID(ctx, id.String())
		if err != nil {
			return err
		}
		return d.addCredential(ctx, q, row)
	})
}

// FindClientCert reads one client certificate by the SHA-256 hash of its DER into
// a directory, which stays empty if there is none.
func (db *DB) FindClientCert(ctx context.Context, fingerprint [32]byte) (*Directory, error) {
	return db.find(ctx, func(d *Directory, q *queries.Queries) error {
		row, err := q.ClientCertFactsByFingerprint(ctx, fingerprint[:])
		if err != nil {
			return err
		}
		return d.addClientCert(ctx, q, queries.ClientCertFactsRow(row))
	})
}

// FindUser reads one user into a directory, which stays empty if there is none.
func (db *DB) FindUser(ctx context.Context, id telamon.UserID) (*Directory, error) {
	return db.find(ctx, func(d *Directory, q *queries.Queries) error {
		row, err := q.UserByID(ctx, id.String())
		if err != nil {
			return err
		}
		d.Users = []telamon.User{userOf(row)}
		return nil
	})
}

// FindAPIToken reads one API token by its left part into a directory, which stays empty
// if there is none.
func (db *DB) FindAPIToken(ctx context.Context, lookup string) (*Directory, error) {
	return db.find(ctx, func(d *Directory, q *queries.Queries) error {
		row, err := q.APITokenByLookup(ctx, lookup)
		if err != nil {
			return err
		}
		d.APITokens = []telamon.APIToken{apiTokenOf(row)}
		return nil
	})
}

// FindAccount reads one account into a directory, which stays empty if there is
// none.
func (db *DB) FindAccount(ctx context.Context, id telamon.AccountID) (*Directory, error) {
	return db.find(ctx, func(d *Directory, q *queries.Queries) error {
		row, err := q.Account(ctx, id.String())
		if err != nil {
			return err
		}
		d.Accounts = []telamon.Account{accountOf(row)}
		return nil
	})
}

// FindScope reads a pair and all that it consists of, and the issuers, into a
// directory, which stays empty if there is no such pair.
func (db *DB) FindScope(ctx context.Context, id telamon.PairID) (*Directory, error) {
	return db.find(ctx, func(d *Directory, q *queries.Queries) error {
		pair, err := q.PairByID(ctx, int64(id))
		if err != nil {
			return err
		}
		d.Pairs = []telamon.Pair{pairOf(pair)}
		subscription, err := q.SubscriptionByID(ctx, pair.SubscriptionID)
		if err != nil {
			return err
		}
		for _, c := range []Change{
			{Kind: ChangeAccount, Object: pair.AccountID}, {Kind: ChangeIdentity, Object: pair.IdentityID},
			{Kind: ChangeSubscription, Object: pair.SubscriptionID}, {Kind: ChangeService, Object: subscription.ServiceID},
			{Kind: ChangeIssuer},
		} {
			if err := d.addChanged(ctx, q, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// find runs fn as of one instant. What it looks for need not be there.
func (db *DB) find(ctx context.Context, fn func(*Directory, *queries.Queries) error) (*Directory, error) {
	d := &Directory{}
	err := db.view(ctx, func(q *queries.Queries) error {
		return fn(d, q)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return &Directory{}, nil
	}
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("look up: %w", err))
	}
	return d, nil
}

// FindIssuers reads all issuers and series into a directory.
func (db *DB) FindIssuers(ctx context.Context) (*Directory, error) {
	return db.find(ctx, func(d *Directory, q *queries.Queries) error { return d.addIssuers(ctx, q) })
}
