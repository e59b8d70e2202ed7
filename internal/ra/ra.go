// Package ra is the registration authority: the use cases of requesting,
// rekeying, revoking and reporting certificates, and of claiming the domains that
// they name. It decides by policy and ownership, asks package dcv to look at domains
// and package issuance to sign, and package store to keep.
//
// It knows no HTTP and no SQL, authenticates nobody (package iam does), and holds
// no keys. Every use case takes the authenticated actor first and is scoped to
// the actor's pair of subscription and identity: what belongs to another pair is
// not found.
//
// The numbered steps in its comments are those of docs/ISSUANCE.md.
package ra

import (
	"context"
	"crypto/x509"
	"log/slog"
	"sync"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keycheck"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/store"
)

// UnlimitedQuota is what a service without a quota reports: clients decode an
// integer and know no word for "unlimited".
const UnlimitedQuota = 2147483647

// Config names what a registration authority is made of.
type Config struct {
	Store     *store.DB
	Directory *directory.Directory
	Issuance  *issuance.Engine
	Clock     telamon.Clock
	Log       *slog.Logger

	// KeyCheck refuses weak and listed keys; nil knows no list.
	KeyCheck *keycheck.Checker
	// Validation is needed for claims and by services that demand them.
	Validation Validation
	// Transparency says which certificates are logged.
	Transparency Transparency
	// Agreement is the version of the Subscriber Agreement that people accept with each
	// request.
	Agreement string
	// WakeJobs is called when there may be jobs to do; may be nil.
	WakeJobs func()
}

// RA serves the use cases. It is safe for concurrent use.
type RA struct {
	store     *store.DB
	directory *directory.Directory
	issuance  *issuance.Engine
	clock     telamon.Clock
	log       *slog.Logger
	keycheck  *keycheck.Checker
	agreement string

	validation   Validation
	transparency Transparency
	wakeJobs     func()

	checks    sync.WaitGroup // checks of requests, which outlive their clients
	repeating chan struct{}  // holds one for each repeated check that writes; see writesAtOnce
}

// New returns a registration authority.
func New(cfg Config) *RA {
	return &RA{
		store: cfg.Store, directory: cfg.Directory, issuance: cfg.Issuance, clock: cfg.Clock, log: cfg.Log, keycheck: cfg.KeyCheck, agreement: cfg.Agreement,
		validation: cfg.Validation, transparency: cfg.Transparency, wakeJobs: cfg.WakeJobs, repeating: make(chan struct{}, writesAtOnce),
	}
}

// Wait waits until the checks that requests began have ended and are written, or until
// ctx ends: a job does again what is cut short. No request may come any more.
func (ra *RA) Wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		ra.checks.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// For returns the actor as one who acts for a pair of an account, which people choose and
// credentials are bound to. Requests are signed by the issuing CA that is active now.
//
// It reports NotFound for a pair of an account that the actor reaches nothing of.
func (ra *RA) For(ctx context.Context, actor telamon.Actor, pair telamon.PairID) (telamon.Actor, error) {
	actor.Pair = pair
	if _, err := ra.readScope(ctx, actor, authz.PolicyRead); err != nil {
		return telamon.Actor{}, err
	}
	issuer, err := ra.directory.ActiveIssuer(ctx, pair)
	if err != nil {
		return telamon.Actor{}, err
	}
	actor.Issuer = issuer.ID
	return actor, nil
}

// scope returns what the actor may use, after checking that it may do action.
func (ra *RA) scope(ctx context.Context, actor telamon.Actor, action authz.Action) (*directory.Scope, error) {
	return scopeOf(actor, action, func() (*directory.Scope, error) { return ra.directory.Scope(ctx, actor.Pair) })
}

// requestScope is scope for requests for certificates, which the account may have left to
// some of its people. Credentials are not bound by that.
func (ra *RA) requestScope(ctx context.Context, actor telamon.Actor, action authz.Action) (*directory.Scope, error) {
	scope, err := ra.scope(ctx, actor, action)
	if err != nil {
		return nil, err
	}
	if actor.Kind == telamon.ActorUser && !scope.Identity.MayRequest(actor.User) {
		return nil, fault.New(fault.Denied, "not_a_requester",
			"Your account has named who may request certificates for this identity, and you are not among them: one of those can request it, or put you on the list.")
	}
	return scope, nil
}

// readScope is scope for what an identity that is not active any more may still do.
func (ra *RA) readScope(ctx context.Context, actor telamon.Actor, action authz.Action) (*directory.Scope, error) {
	return scopeOf(actor, action, func() (*directory.Scope, error) { return ra.directory.ReadScope(ctx, actor.Pair) })
}

// scopeOf returns the scope of the actor's pair if the actor may do action, and to what is
// of the pair's account.
func scopeOf(actor telamon.Actor, action authz.Action, read func() (*directory.Scope, error)) (*directory.Scope, error) {
	if err := authz.Check(actor, action, actor.Account); err != nil {
		return nil, err
	}
	scope, err := read()
	if err != nil {
		return nil, err
	}
	if err := authz.Check(actor, action, scope.Account.ID); err != nil {
		return nil, err
	}
	return scope, nil
}

// Policy returns the effective validation policy of the actor's pair.
func (ra *RA) Policy(ctx context.Context, actor telamon.Actor) (*policy.Policy, error) {
	scope, err := ra.scope(ctx, actor, authz.PolicyRead)
	if err != nil {
		return nil, err
	}
	return scope.Policy, nil
}

// TrustChain returns the chain of the issuer that signs for the actor's token:
// the issuing CA first, the root last.
func (ra *RA) TrustChain(ctx context.Context, actor telamon.Actor) ([]*x509.Certificate, error) {
	if _, err := ra.readScope(ctx, actor, authz.PolicyRead); err != nil {
		return nil, err
	}
	return ra.issuance.Chain(actor.Issuer)
}
