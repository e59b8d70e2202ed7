// Package commerce holds the use cases of what accounts are offered, have and use: quotes
// from the draft to the end of their terms, packs of quota, who is told that quota is
// nearly used, and how much of what is issued when.
//
// It knows no HTTP and no SQL, and takes no money: an accepted quote is an order with a
// purchase order number. What a quote makes are ordinary subscriptions and lots, from which
// certificates are issued without a look at this package.
package commerce

import (
	"context"
	"log/slog"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/store"
)

// Config names what the use cases are made of.
type Config struct {
	Store     *store.DB
	Directory *directory.Directory
	Clock     telamon.Clock
	Log       *slog.Logger
	// Terms is the version of the legal terms that customers accept with a quote.
	Terms string
	// CreditLimits are the totals, in minor units by currency, above which an operator must
	// clear an accepted quote. A currency without one needs no clearance.
	CreditLimits map[string]int64
	// EnsureDVIdentity makes the identity of an account that has bought a service whose
	// certificates name domains alone, unless it has one; nil makes none.
	EnsureDVIdentity func(ctx context.Context, account telamon.AccountID) error
	// Mailboxes are those of operators, who are told of quotes whose credit must be checked.
	Mailboxes []string
	// Platform is the name of the installation, for mails.
	Platform string
	// PortalURL is the portal's address, without a final slash; "" leaves links out of mails.
	PortalURL string
	// WakeJobs is called when there may be jobs to do; may be nil.
	WakeJobs func()
}

// Service serves the use cases. It is safe for concurrent use.
type Service struct {
	store     *store.DB
	directory *directory.Directory
	clock     telamon.Clock
	log       *slog.Logger
	terms     string
	limits    map[string]int64
	ensureDV  func(context.Context, telamon.AccountID) error
	mailboxes []string
	platform  string
	portalURL string
	wake      func()
}

// New returns the use cases.
func New(cfg Config) *Service {
	s := &Service{
		store: cfg.Store, directory: cfg.Directory, clock: cfg.Clock, log: cfg.Log, terms: cfg.Terms, limits: cfg.CreditLimits,
		ensureDV: cfg.EnsureDVIdentity, mailboxes: cfg.Mailboxes, platform: cfg.Platform, portalURL: cfg.PortalURL, wake: cfg.WakeJobs,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.wake == nil {
		s.wake = func() {}
	}
	if s.ensureDV == nil {
		s.ensureDV = func(context.Context, telamon.AccountID) error { return nil }
	}
	return s
}

// system is the actor of what the platform does by itself.
var system = telamon.Actor{Kind: telamon.ActorSystem}

// Handlers returns what does the jobs of quotes and quota.
func (s *Service) Handlers() map[string]jobs.Handler {
	return map[string]jobs.Handler{
		store.JobQuoteExpire: {Run: s.runExpiry, AtOnce: 2, Lease: time.Minute},
		store.JobQuoteFulfil: {Run: s.runFulfil, AtOnce: 2, Lease: time.Minute},
		store.JobQuotaWatch:  {Run: s.runWatch, AtOnce: 1, Lease: 5 * time.Minute},
	}
}

// StartJobs makes sure that the work that comes again by itself is there. It is called at
// each start.
func (s *Service) StartJobs(ctx context.Context) error {
	return s.store.EnsureJob(ctx, store.Job{Kind: store.JobQuotaWatch, RunAt: s.clock.Now()})
}

// Terms returns the version of the legal terms that a quote is accepted with.
func (s *Service) Terms() string { return s.terms }

// problems gathers what is wrong with a request.
type problems struct{ field.Problems }
