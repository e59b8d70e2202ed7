// Package directory answers what every request asks: which credential, client
// certificate, account and policy is this, and may it be used now. It keeps a
// snapshot of the store in memory, applies this process's own changes at once and
// those of others through the store's change feed, and falls back to queries when
// it cannot follow the feed. It authenticates nobody and writes nothing but the
// effective policies that it compiled.
//
// It trusts the store. If it can learn nothing from it, it refuses.
package directory

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

const (
	// PollInterval is how often the change feed is to be read.
	PollInterval = 250 * time.Millisecond
	// staleAfter is the age from which the snapshot is not trusted.
	staleAfter = time.Second
	// reconcileEvery is how often the whole directory is read anew, in case the
	// feed missed something.
	reconcileEvery = time.Minute
	// manyChanges is how many changes are dearer to apply than to read everything.
	manyChanges = 500
	// rememberFor is for how long a change that was applied is remembered: longer
	// than the feed repeats it, by the clocks of all replicas.
	rememberFor = 5 * time.Minute
	// queryLimit bounds a query that stands in for the snapshot.
	queryLimit = 2 * time.Second
)

// Config names what a directory is made of.
type Config struct {
	Store *store.DB
	Clock telamon.Clock
	Log   *slog.Logger
	// OnIssuers is called with all issuers and series when they were read, first by
	// New; nil is not called. It must not call the directory.
	OnIssuers func([]telamon.Issuer, []telamon.Series)
}

// Directory is a snapshot that follows the store. It is safe for concurrent use.
type Directory struct {
	store     *store.DB
	clock     telamon.Clock
	log       *slog.Logger
	onIssuers func([]telamon.Issuer, []telamon.Series)
	current   atomic.Pointer[snapshot]
	polled    atomic.Int64 // Unix milliseconds from which on current may be behind
	policies  policies

	mu         sync.Mutex // held while current is replaced
	applied    map[[16]byte]time.Time
	followed   time.Time // the start of the last poll that succeeded, as wall time
	reconciled time.Time // likewise, of one that read everything
}

// New reads the whole directory.
func New(ctx context.Context, cfg Config) (*Directory, error) {
	d := &Directory{
		store: cfg.Store, clock: cfg.Clock, log: cfg.Log, onIssuers: cfg.OnIssuers, applied: map[[16]byte]time.Time{},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.current.Store(&snapshot{})
	if err := d.Poll(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Run polls the change feed at each tick until ctx ends. The ticks are those of a
// ticker of PollInterval.
func (d *Directory) Run(ctx context.Context, ticks <-chan time.Time) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		limited, cancel := context.WithTimeout(ctx, queryLimit)
		err := d.Poll(limited)
		cancel()
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			d.log.ErrorContext(ctx, "the directory cannot follow the store", "error", err)
		case err == nil && failing:
			d.log.InfoContext(ctx, "the directory follows the store again")
		}
		failing = err != nil
	}
}

// Poll applies what changed since the last time, or reads everything if that is
// due or the last time is too long ago for the feed. If it returns nil, the directory knows everything that was committed
// before the call.
func (d *Directory) Poll(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock.Now().Round(0) // wall time: that of a suspended machine goes on
	changes, err := d.store.Changes(ctx)
	if err != nil {
		return err
	}
	fresh := changes[:0]
	for _, c := range changes {
		if _, seen := d.applied[c.ID]; !seen {
			fresh = append(fresh, c)
		}
	}
	if d.lost(now) || now.Sub(d.reconciled) >= reconcileEvery || len(fresh) > manyChanges {
		err = d.reconcile(ctx, now)
	} else if len(fresh) > 0 {
		err = d.apply(ctx, fresh)
	}
	if err != nil {
		return err
	}
	for _, c := range fresh {
		d.applied[c.ID] = now
	}
	d.followed = now
	d.polled.Store(now.UnixMilli())
	return nil
}

// lost reports whether the feed may not tell everything that has changed since the
// last poll: it is too long ago, or the clock went back. The caller holds d.mu.
func (d *Directory) lost(now time.Time) bool {
	gap := now.Sub(d.followed)
	return gap < 0 || gap > store.ChangeGap
}

// reconcile reads everything. The caller holds d.mu.
func (d *Directory) reconcile(ctx context.Context, now time.Time) error {
	all, err := d.store.LoadDirectory(ctx)
	if err != nil {
		return err
	}
	d.replace((&snapshot{}).with(all), all)
	d.reconciled = now
	for id, at := range d.applied {
		if now.Sub(at) > rememberFor {
			delete(d.applied, id)
		}
	}
	return nil
}

// apply reads what the changes name. The caller holds d.mu.
func (d *Directory) apply(ctx context.Context, changes []store.Change) error {
	changed, err := d.store.LoadChanged(ctx, changes)
	if err != nil {
		return err
	}
	d.replace(d.current.Load().with(changed), changed)
	return nil
}

// replace makes s the snapshot. Issuers are announced first, so that whoever finds
// an issuer here can use it.
func (d *Directory) replace(s *snapshot, read *store.Directory) {
	if len(read.Issuers) > 0 && d.onIssuers != nil {
		d.onIssuers(read.Issuers, read.Series)
	}
	d.current.Store(s)
}

// Refresh applies changes that this process has just made: when it returns, every
// lookup knows of them. If they cannot be read, the directory is stale until the
// next poll that succeeds, and lookups query.
func (d *Directory) Refresh(ctx context.Context, changes ...store.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryLimit)
	defer cancel()
	if err := d.apply(ctx, changes); err != nil {
		d.polled.Store(0)
		d.log.WarnContext(ctx, "the directory could not read a change", "error", err)
	}
}

// Fresh reports whether the snapshot is trusted: the last successful poll is at
// most a second old, and not in the future.
func (d *Directory) Fresh() bool {
	polled := d.polled.Load() // before the clock is read: a poll meanwhile is no clock that went back
	age := d.clock.Now().UnixMilli() - polled
	return age >= 0 && age <= staleAfter.Milliseconds()
}

// lookup returns the snapshot if it is trusted, and otherwise one of what query
// finds. It reports Unavailable if there is no answer.
func (d *Directory) lookup(ctx context.Context, query func(context.Context) (*store.Directory, error)) (*snapshot, error) {
	if d.Fresh() {
		return d.current.Load(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	found, err := query(ctx)
	if err != nil {
		return nil, &fault.Fault{
			Kind: fault.Unavailable, Code: "directory_unavailable", Detail: "The service is busy. Retry later.",
			RetryAfter: 2 * time.Second, Cause: err,
		}
	}
	return (&snapshot{}).with(found), nil
}

// CredentialByKey returns the credential of an API key, which is given in lower
// case. The caller must not change it. It reports NotFound, also for a deleted
// credential, and Unavailable.
func (d *Directory) CredentialByKey(ctx context.Context, key string) (*telamon.Credential, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindCredentialByKey(ctx, key) })
	if err != nil {
		return nil, err
	}
	return found(s.credentials[s.keys[key]], "credential_not_found")
}

// Credential is CredentialByKey by ID.
func (d *Directory) Credential(ctx context.Context, id telamon.CredentialID) (*telamon.Credential, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindCredential(ctx, id) })
	if err != nil {
		return nil, err
	}
	return found(s.credentials[id], "credential_not_found")
}

// ClientCert returns the client certificate of this SHA-256 of its DER, in any
// state and without its parsed form. The caller must not change it. It reports
// NotFound and Unavailable.
func (d *Directory) ClientCert(ctx context.Context, fingerprint [32]byte) (*telamon.ClientCert, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindClientCert(ctx, fingerprint) })
	if err != nil {
		return nil, err
	}
	return found(s.certs[fingerprint], "client_certificate_not_found")
}

// User returns a user. The caller must not change it. It reports NotFound, sooner or
// later also of one who is deleted, and Unavailable.
func (d *Directory) User(ctx context.Context, id telamon.UserID) (*telamon.User, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindUser(ctx, id) })
	if err != nil {
		return nil, err
	}
	return found(s.users[id], "user_not_found")
}

// APIToken returns the API token of a left part, in any state. The caller must not change
// it. It reports NotFound and Unavailable.
func (d *Directory) APIToken(ctx context.Context, lookup string) (*telamon.APIToken, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindAPIToken(ctx, lookup) })
	if err != nil {
		return nil, err
	}
	return found(s.tokens[lookup], "api_token_not_found")
}

// Account returns an account in any state. The caller must not change it. It
// reports NotFound and Unavailable.
func (d *Directory) Account(ctx context.Context, id telamon.AccountID) (*telamon.Account, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindAccount(ctx, id) })
	if err != nil {
		return nil, err
	}
	return found(s.accounts[id], "account_not_found")
}

// found returns the object, or a NotFound fault with the code, which ends in
// _not_found.
func found[T any](object *T, code string) (*T, error) {
	if object == nil {
		what := strings.ReplaceAll(strings.TrimSuffix(code, "_not_found"), "_", " ")
		return nil, fault.New(fault.NotFound, code, "There is no such "+what+".")
	}
	return object, nil
}
