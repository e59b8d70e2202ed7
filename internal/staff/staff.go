// Package staff holds the use cases of the CA's own staff about what was issued: revoking
// any certificate, one or thousands, blocking keys, and keeping the times in which
// certificates must be revoked. Package ra is for subscribers.
//
// It knows no HTTP and no SQL, authenticates nobody, and holds no keys. What needs two
// people is for its callers to ask: see [Staff.Approve] and package authz.
package staff

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
)

// Config names what the use cases are made of.
type Config struct {
	Store *store.DB
	Clock telamon.Clock
	Log   *slog.Logger
	// FourEyes says that what authz.NeedsTwo names waits for a second operator.
	FourEyes bool
	// Operators says which users of the portal are operators with a name, too; nil: none.
	Operators *Operators
	// Rules say by when what must be revoked.
	Rules *rules.Table
	// Mailboxes are told of cases that are overdue.
	Mailboxes []string
	// WakeJobs is called when there may be jobs to do; may be nil.
	WakeJobs func()
}

// Staff serves the use cases. It is safe for concurrent use.
type Staff struct {
	store     *store.DB
	clock     telamon.Clock
	log       *slog.Logger
	fourEyes  bool
	operators *Operators
	rules     *rules.Table
	mailboxes []string
	wakeJobs  func()
}

// New returns the use cases.
func New(cfg Config) *Staff {
	s := &Staff{store: cfg.Store, clock: cfg.Clock, log: cfg.Log, fourEyes: cfg.FourEyes, operators: cfg.Operators, rules: cfg.Rules, mailboxes: cfg.Mailboxes, wakeJobs: cfg.WakeJobs}
	if s.wakeJobs == nil {
		s.wakeJobs = func() {}
	}
	return s
}

// Handlers returns what does the jobs of bulk revocations and proposals.
func (s *Staff) Handlers() map[string]jobs.Handler {
	return map[string]jobs.Handler{
		store.JobBulkRevocation: {Run: s.runBulk, AtOnce: 2, Lease: time.Minute},
		store.JobProposalExpire: {Run: s.runExpiry, AtOnce: 1, Lease: time.Minute},
	}
}

// futureTolerance is how far a time of compromise may lie ahead of our clock.
const futureTolerance = 300 * time.Second

// A Revocation says why staff revokes. The CA may give every reason (BR 7.2.2); which
// ones it must give by when is in the dated rules: see [Staff.OpenCase].
type Revocation struct {
	Reason        telamon.RevocationReason
	CompromisedAt time.Time // of the key; zero if not told, and for every other reason
}

// check returns what is wrong with a revocation, and forgets a time that is for
// compromises alone.
func (s *Staff) check(rev *Revocation) error {
	if !slices.Contains(telamon.RevocationReasons, rev.Reason) {
		return invalid("reason", "is none of the revocation reasons")
	}
	if rev.Reason != telamon.ReasonKeyCompromise {
		rev.CompromisedAt = time.Time{}
	}
	if rev.CompromisedAt.After(s.clock.Now().Add(futureTolerance)) {
		return invalid("compromised_at", "is in the future")
	}
	if !rev.CompromisedAt.IsZero() && rev.CompromisedAt.Before(telamon.FirstCompromise) {
		return invalid("compromised_at", "is before 2000")
	}
	return nil
}

func invalid(path, problem string) error {
	return &fault.Fault{
		Kind: fault.Invalid, Code: "invalid_member", Detail: path + ": " + problem,
		Fields: []fault.Field{{Path: path, Problem: problem}},
	}
}

// Revoke revokes a certificate of whatever account. When it returns, that is durable. If
// its key is compromised, the key is certified no more for anybody, and a bulk
// revocation of every other certificate for the key is planned, which the caller may
// begin; it is nil for other reasons.
//
// A certificate that is revoked for another reason is changed to keyCompromise
// (BR 7.2.2), also if somebody revokes it meanwhile; one whose key was blocked for its
// account alone is blocked for everybody. Otherwise Revoke reports Conflict with already_revoked; it reports
// NotFound and Invalid as well. See [Staff.RevokeLost] for certificates that are in no ledger.
func (s *Staff) Revoke(ctx context.Context, actor telamon.Actor, serial telamon.Serial, rev Revocation) (*telamon.BulkRevocation, error) {
	if err := authz.Check(actor, authz.CertificateRevoke, ""); err != nil {
		return nil, err
	}
	if err := s.check(&rev); err != nil {
		return nil, err
	}
	cert, account, err := s.store.CertificateOf(ctx, serial)
	if err != nil {
		return nil, err
	}
	event := telamon.Event{
		Actor: actor, Account: account, Action: string(authz.CertificateRevoke), Object: serial.String(), Result: "ok",
		Before: map[string]any{"status": cert.Status}, After: map[string]any{"reason": rev.Reason},
	}
	entry := telamon.Revocation{Reason: rev.Reason, CompromisedAt: rev.CompromisedAt}
	if rev.Reason != telamon.ReasonKeyCompromise {
		return nil, s.store.RevokeCertificate(ctx, cert.Pair, serial, entry, event)
	}
	block := &telamon.KeyBlock{SPKIHash: cert.SPKIHash, Source: telamon.BlockedByStaff, Serial: &serial}
	event.After = map[string]any{"reason": rev.Reason, "key_blocked_by": block.Source}
	if err := s.store.RevokeAndBlock(ctx, cert.Pair, serial, entry, block, event); err != nil {
		return nil, err
	}
	return s.planSiblings(ctx, actor, cert, rev)
}

// RevokeLost revokes a certificate that the issuing CA has signed and that is in no
// ledger, since it was issued after the backup from which the database was restored.
// Nothing more is known of it: its key is not blocked. It does what [Staff.Revoke] does
// if the issuer's certificate is known after all. It reports NotFound with issuer_not_found,
// Conflict with already_revoked and with wrong_state, and Invalid.
func (s *Staff) RevokeLost(ctx context.Context, actor telamon.Actor, id telamon.IssuerID, serial telamon.Serial, rev Revocation) (*telamon.BulkRevocation, error) {
	if err := authz.Check(actor, authz.CertificateRevoke, ""); err != nil {
		return nil, err
	}
	if err := s.check(&rev); err != nil {
		return nil, err
	}
	issuers, _, err := s.store.Issuers(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(issuers, func(i telamon.Issuer) bool { return i.ID == id })
	if at < 0 {
		return nil, fault.New(fault.NotFound, "issuer_not_found", "There is no such issuer.")
	}
	if issuers[at].Role != telamon.RoleIssuing {
		return nil, invalid("issuer", "is a root: a CA is revoked as an issuer")
	}
	cert, _, err := s.store.CertificateOf(ctx, serial)
	if err == nil && cert.Issuer == id {
		return s.Revoke(ctx, actor, serial, rev)
	}
	if err == nil {
		return nil, invalid("issuer", "is not the one of this certificate")
	}
	if !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	return nil, s.store.RevokeLost(ctx, &issuers[at], serial, telamon.Revocation{Reason: rev.Reason, CompromisedAt: rev.CompromisedAt}, telamon.Event{
		Actor: actor, Action: string(authz.CertificateRevoke), Object: serial.String(), Result: "ok",
		After: map[string]any{"reason": rev.Reason, "issuer": id, "lost": true},
	})
}

// BlockKey blocks a key for everybody: it is certified no more. It reports Conflict with
// key_blocked.
func (s *Staff) BlockKey(ctx context.Context, actor telamon.Actor, spki [32]byte) error {
	if err := authz.Check(actor, authz.KeyBlock, ""); err != nil {
		return err
	}
	return s.store.BlockKey(ctx, actor, telamon.KeyBlock{SPKIHash: spki, Source: telamon.BlockedByStaff})
}

// UnblockKey ends what staff said of a key, or with an account what that account said. It
// reports NotFound with key_not_blocked, and Conflict with key_attested.
func (s *Staff) UnblockKey(ctx context.Context, actor telamon.Actor, spki [32]byte, account telamon.AccountID) error {
	if err := authz.Check(actor, authz.KeyUnblock, account); err != nil {
		return err
	}
	return s.store.UnblockKey(ctx, actor, spki, account)
}

// BlockedKeys lists blocked keys.
func (s *Staff) BlockedKeys(ctx context.Context, actor telamon.Actor, page store.Page) ([]telamon.KeyBlock, error) {
	if err := authz.Check(actor, authz.KeyRead, ""); err != nil {
		return nil, err
	}
	return s.store.BlockedKeys(ctx, page)
}
