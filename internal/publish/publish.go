// Package publish keeps CRLs fresh: it knows which are due, builds them from the
// ledger, has the keystore sign them, stores them for every replica to serve, and copies
// them to where CDNs fetch them. Its rules are those of docs/REVOCATION.md. It revokes
// nothing and decides nothing about certificates.
//
// Whoever can change the database can leave entries out of CRLs; the audit log still
// holds the revocations.
package publish

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// issuers is what the publisher needs of package issuance.
type issuers interface {
	Issuers() []*telamon.Issuer
	Issuer(id telamon.IssuerID) (*telamon.Issuer, error)
	Series(id telamon.SeriesID) (telamon.Series, error)
	CRLURL(id telamon.IssuerID, shard int) string
}

// signer signs CRLs. The keystore of this process is one.
type signer interface {
	Public(name string) (crypto.PublicKey, error)
	SignCRL(name string, tbsCertList io.Reader) (signature []byte, err error)
}

// Config names what a publisher is made of.
type Config struct {
	Store    *store.DB
	Issuers  issuers
	Keys     signer
	Clock    telamon.Clock
	Log      *slog.Logger
	Schedule Schedule
	// Copies are the places that every CRL is copied to.
	Copies []Target
	// TempDir is where large CRLs are spooled; "" is the system's.
	TempDir string
	// Observe is told of each CRL that was tried, for metrics; may be nil.
	Observe func(Outcome)
}

// An Outcome is what became of one attempt.
type Outcome struct {
	CRL  *store.CRL // nil if it failed
	Took time.Duration
	Err  error
}

// A Publisher publishes CRLs. It is safe for concurrent use, but for Turn and Copy, each
// of which one goroutine calls at a time.
type Publisher struct {
	cfg    Config
	shelf  shelf
	copies []*copier

	building sync.Mutex // one CRL is built at a time: memory and the signer are bounded

	mu       sync.Mutex
	failures map[shard]failure              // guarded by mu
	ends     map[telamon.IssuerID]time.Time // when the certificates of retired issuers end; guarded by mu
	keys     map[string]holding             // by name; guarded by mu
	health   atomic.Pointer[Health]
}

// shard names a CRL.
type shard struct {
	issuer telamon.IssuerID
	n      int
}

// failure is a CRL that could not be published.
type failure struct {
	times int
	until time.Time // when it is tried again
	err   error
}

// New returns a publisher that has looked at nothing yet: see Turn.
func New(cfg Config) *Publisher {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Outcome) {}
	}
	p := &Publisher{cfg: cfg, failures: map[shard]failure{}, ends: map[telamon.IssuerID]time.Time{}, keys: map[string]holding{}}
	p.shelf.init()
	p.health.Store(&Health{})
	for _, target := range cfg.Copies {
		p.copies = append(p.copies, newCopier(target))
	}
	return p
}

// The lease by which one process publishes at a time. It saves work: what makes CRL
// numbers rise is the store.
const (
	leaseName   = "crl"
	leaseTime   = 20 * time.Second // a process that dies must not keep a revocation off the CRLs for a minute
	copyingTime = 2 * time.Minute  // for a target that replicas share
)

// kept is how many CRLs of a shard are kept at the least: the newest, and those that a
// slow client may still be reading. See store.PurgeCRLs.
const kept = 3

// Poll is how often Turn should be called: with the time that a CRL takes it bounds how
// soon a revocation is published.
const Poll = 2 * time.Second

// Turn publishes what is due, if this process holds the lease, and lets what is published
// be served. It returns what failed; everything else was done.
func (p *Publisher) Turn(ctx context.Context) error {
	states, err := p.refresh(ctx)
	if err != nil {
		return err
	}
	var errs []error
	if due := p.due(states); len(due) > 0 {
		if errs = append(errs, p.publishDue(ctx, due)); ctx.Err() == nil {
			if states, err = p.refresh(ctx); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
	}
	p.judge(states)
	return errors.Join(errs...)
}

// publishDue publishes what is due, the most urgent first.
func (p *Publisher) publishDue(ctx context.Context, due []State) (err error) {
	var errs []error
	mine := false
	defer func() {
		if mine && ctx.Err() == nil {
			err = errors.Join(err, p.cfg.Store.DropLease(ctx, leaseName))
		}
	}()
	for _, state := range due {
		held, err := p.cfg.Store.TakeLease(ctx, leaseName, leaseTime)
		if err != nil || !held {
			return errors.Join(append(errs, err)...)
		}
		mine = true
		issuer, err := p.cfg.Issuers.Issuer(state.Issuer)
		if err != nil { // it was there a moment ago
			continue
		}
		if _, err := p.publish(ctx, system, issuer, state.Shard); err != nil && !isSuperseded(err) {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
		if _, err := p.refresh(ctx); err != nil { // it is served while the next one, which may be large, is built
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// system is who publishes by schedule.
var system = telamon.Actor{Kind: telamon.ActorSystem}

// Publish publishes every CRL of an issuer now, and returns those that it published. It
// reports NotFound for an unknown issuer, Conflict with crl_offline if its key is not
// here and with issuer_expired if it signs nothing any more, and Unavailable with
// crl_failed, which says why.
func (p *Publisher) Publish(ctx context.Context, actor telamon.Actor, id telamon.IssuerID) ([]*store.CRL, error) {
	issuer, err := p.cfg.Issuers.Issuer(id)
	if err != nil {
		return nil, err
	}
	if issuer.Status == telamon.IssuerExpired || p.cfg.Clock.Now().After(issuer.Certificate.NotAfter) {
		return nil, fault.New(fault.Conflict, "issuer_expired", "The issuer has expired and signs nothing any more.")
	}
	if p.isOffline(issuer) {
		return nil, fault.New(fault.Conflict, "crl_offline", "The issuer's key is not here: its CRLs are signed elsewhere and imported.")
	}
	var out []*store.CRL
	for n := range issuer.CRLShards {
		crl, err := p.publish(ctx, actor, issuer, n)
		if isSuperseded(err) { // by one that may have been begun earlier
			crl, err = p.publish(ctx, actor, issuer, n)
		}
		if err != nil {
			return out, &fault.Fault{
				Kind: fault.Unavailable, Code: "crl_failed", Detail: "The CRL cannot be published now: " + err.Error() + ".", Cause: err,
			}
		}
		out = append(out, crl)
	}
	_, err = p.refresh(ctx)
	return out, err
}

// publish publishes one CRL, and notes whether it failed.
func (p *Publisher) publish(ctx context.Context, actor telamon.Actor, issuer *telamon.Issuer, n int) (*store.CRL, error) {
	p.building.Lock()
	defer p.building.Unlock()
	start := p.cfg.Clock.Now()
	crl, err := p.build(ctx, actor, issuer, n)
	if isSuperseded(err) {
		return nil, err
	}
	p.cfg.Observe(Outcome{CRL: crl, Took: p.cfg.Clock.Now().Sub(start), Err: err})
	key := shard{issuer.ID, n}
	if err != nil {
		p.noteFailure(ctx, key, err)
		return nil, fmt.Errorf("publish CRL %d of %s: %w", n, issuer.ID, err)
	}
	p.noteSuccess(ctx, key)
	p.cfg.Log.InfoContext(ctx, "published a CRL", "issuer", issuer.ID, "shard", n, "number", crl.Number, "entries", crl.Entries,
		"size", crl.Size, "next_update", crl.NextUpdate)
	if err := p.cfg.Store.PurgeCRLs(ctx, issuer.ID, n, kept); err != nil { // the next one purges again
		p.cfg.Log.WarnContext(ctx, "cannot purge old CRLs", "issuer", issuer.ID, "shard", n, "error", err)
	}
	return crl, nil
}

// isSuperseded reports whether another process was first.
func isSuperseded(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Code == store.CodeCRLSuperseded
}

// How long a CRL that failed waits for the next attempt, after the first failure and at
// the most.
const (
	firstWait = 5 * time.Second
	lastWait  = 5 * time.Minute
)

func (p *Publisher) noteFailure(ctx context.Context, key shard, err error) {
	p.mu.Lock()
	f := p.failures[key]
	f.times++
	f.err = err
	f.until = p.cfg.Clock.Now().Add(min(firstWait<<min(f.times-1, 10), lastWait))
	p.failures[key] = f
	p.mu.Unlock()
	level := slog.LevelWarn
	if f.times == 1 {
		level = slog.LevelError
	}
	p.cfg.Log.Log(ctx, level, "cannot publish a CRL", "issuer", key.issuer, "shard", key.n, "attempt", f.times, "next", f.until, "error", err)
}

func (p *Publisher) noteSuccess(ctx context.Context, key shard) {
	p.mu.Lock()
	f, failed := p.failures[key]
	delete(p.failures, key)
	p.mu.Unlock()
	if failed {
		p.cfg.Log.InfoContext(ctx, "a CRL is published again", "issuer", key.issuer, "shard", key.n, "attempts", f.times)
	}
}

// hasKey reports whether the keystore or the signer has the issuer's key, as of the last
// minute: a signer may be far away. One that does not answer has it: its CRLs fail and
// are not somebody else's.
func (p *Publisher) hasKey(issuer *telamon.Issuer) bool {
	now := p.cfg.Clock.Now()
	p.mu.Lock()
	known, ok := p.keys[issuer.KeyName]
	p.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.here
	}
	_, err := p.cfg.Keys.Public(issuer.KeyName)
	known = holding{!errors.Is(err, keystore.ErrNoKey), now.Add(time.Minute)}
	p.mu.Lock()
	p.keys[issuer.KeyName] = known
	p.mu.Unlock()
	return known.here
}

// isOffline reports whether the issuer's CRLs are signed elsewhere. Those of an issuing CA
// that has certificates never are: without its key they fail.
func (p *Publisher) isOffline(issuer *telamon.Issuer) bool {
	return (issuer.Role == telamon.RoleRoot || issuer.Status == telamon.IssuerPlanned) && !p.hasKey(issuer)
}

// holding is whether a key is here.
type holding struct {
	here  bool
	until time.Time // when that is looked at again
}

// judge sets what Ready and Health report.
func (p *Publisher) judge(states []State) {
	health := &Health{}
	now := p.cfg.Clock.Now()
	for _, s := range states {
		if s.Done {
			continue
		}
		if s.Failures > 0 {
			health.Failing++
		}
		if s.IsDirty() {
			health.Waiting = max(health.Waiting, now.Sub(s.RevisedAt))
		}
		if s.CRL == nil {
			continue
		}
		if health.NextUpdate.IsZero() || s.CRL.NextUpdate.Before(health.NextUpdate) {
			health.NextUpdate = s.CRL.NextUpdate
		}
		if !s.Offline && (health.ours.IsZero() || s.CRL.NextUpdate.Before(health.ours)) {
			health.ours = s.CRL.NextUpdate
		}
	}
	for _, c := range p.copies {
		health.Uncopied += p.uncopied(c)
	}
	p.health.Store(health)
}

// Health is how publishing does, as of the last turn. The CRLs of offline roots count.
type Health struct {
	NextUpdate time.Time     // of the CRL that expires first and must be renewed; zero if there is none
	Waiting    time.Duration // of the oldest revocation that no CRL holds
	Failing    int           // CRLs whose last attempt by this process failed
	Uncopied   int           // CRLs that a target has not

	ours time.Time // as NextUpdate, of CRLs that are signed here
}

// Health returns how publishing does. It answers from memory.
func (p *Publisher) Health() Health { return *p.health.Load() }

// notReadyBefore is how long before the end of a CRL the process is not ready: then
// what it issues could soon not be checked.
const notReadyBefore = time.Hour

// Ready reports that a CRL that is signed here is about to expire or has expired. It
// answers from memory.
func (p *Publisher) Ready() error {
	next := p.Health().ours
	if next.IsZero() || p.cfg.Clock.Now().Before(next.Add(-notReadyBefore)) {
		return nil
	}
	return fmt.Errorf("a CRL was not renewed: it is good until %s", next.Format(time.RFC3339))
}
