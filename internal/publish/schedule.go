package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Schedule says how often CRLs are published and how long they are good.
type Schedule struct {
	Every        time.Duration // from one CRL of an issuing CA to the next, if nothing is revoked
	Lifetime     time.Duration // from thisUpdate to nextUpdate
	RootEvery    time.Duration // the same for roots
	RootLifetime time.Duration
	// Gap is the least time between two CRLs of a shard that revocations ask for: many
	// revocations make one CRL.
	Gap time.Duration
}

// DefaultSchedule is daily, good for a week; for roots monthly, good for 90 days.
var DefaultSchedule = Schedule{
	Every: 24 * time.Hour, Lifetime: 7 * 24 * time.Hour, RootEvery: 30 * 24 * time.Hour, RootLifetime: 90 * 24 * time.Hour,
	Gap: 20 * time.Second,
}

// The bounds of a schedule (BR 4.9.7 and 7.2; a year there is 365 days).
const (
	maxEvery        = 4 * 24 * time.Hour // as not all certificates have OCSP
	maxLifetime     = 10 * 24 * time.Hour
	maxRootLifetime = 365 * 24 * time.Hour
	maxGap          = 45 * time.Second // a revocation is on a CRL within a minute
)

// Check reports what is wrong with the schedule.
func (s Schedule) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Every < time.Minute || s.Every > maxEvery {
		bad("every must be from a minute to %s", maxEvery)
	}
	if s.Lifetime > maxLifetime || s.Lifetime < 2*s.Every {
		bad("lifetime must be at least twice every, and at most %s", maxLifetime)
	}
	if s.RootEvery < time.Minute || s.RootLifetime > maxRootLifetime || s.RootLifetime < 2*s.RootEvery {
		bad("root_lifetime must be at least twice root_every, and at most %s", maxRootLifetime)
	}
	if s.Gap < 0 || s.Gap > maxGap {
		bad("the gap must be from 0 to %s", maxGap)
	}
	return errors.Join(errs...)
}

// of returns the period and the life of the issuer's CRLs.
func (s Schedule) of(issuer *telamon.Issuer) (every, lifetime time.Duration) {
	if issuer.Role == telamon.RoleRoot {
		return s.RootEvery, s.RootLifetime
	}
	return s.Every, s.Lifetime
}

// A State is a CRL shard and when its next CRL is due.
type State struct {
	store.CRLShard
	Due      time.Time // zero if Done or Offline
	Offline  bool      // the root's key is not here: CRLs are imported
	Done     bool      // the last CRL is out, or the issuer has expired
	Failures int       // attempts in a row that failed, of this process
	Problem  string    // of the last one
}

// plannedBefore is how long before its activation a planned issuing CA has a CRL, so
// that its first certificate can be checked.
const plannedBefore = 24 * time.Hour

// States returns every shard of every issuer that has CRLs, by issuer and shard.
func (p *Publisher) States(ctx context.Context) ([]State, error) {
	shards, err := p.cfg.Store.CRLShards(ctx)
	if err != nil {
		return nil, err
	}
	return p.states(ctx, shards)
}

func (p *Publisher) states(ctx context.Context, shards []store.CRLShard) ([]State, error) {
	known := make(map[shard]store.CRLShard, len(shards))
	for _, s := range shards {
		known[shard{s.Issuer, s.Shard}] = s
	}
	now := p.cfg.Clock.Now()
	var out []State
	for _, issuer := range p.cfg.Issuers.Issuers() {
		if issuer.Status == telamon.IssuerPlanned && now.Before(issuer.ActivateAt.Add(-plannedBefore)) ||
			now.Before(issuer.Certificate.NotBefore) {
			continue
		}
		end, err := p.endOf(ctx, issuer, now)
		if err != nil {
			return nil, err
		}
		for n := range issuer.CRLShards {
			state := State{CRLShard: known[shard{issuer.ID, n}]}
			state.Issuer, state.Shard = issuer.ID, n
			p.plan(&state, issuer, end, now)
			out = append(out, state)
		}
	}
	return out, nil
}

// endOf returns when the last certificate of a retired issuer expires; zero if it is
// not retired or may still sign.
func (p *Publisher) endOf(ctx context.Context, issuer *telamon.Issuer, now time.Time) (time.Time, error) {
	if issuer.Status != telamon.IssuerRetired || issuer.RetireAt.IsZero() || !now.After(issuer.RetireAt.Add(store.LateSigning)) {
		return time.Time{}, nil
	}
	p.mu.Lock()
	known, ok := p.ends[issuer.ID]
	p.mu.Unlock()
	if ok {
		return known, nil
	}
	last, err := p.cfg.Store.LastCRL(ctx, issuer)
	if err != nil || last.End.IsZero() {
		return time.Time{}, err
	}
	p.mu.Lock()
	p.ends[issuer.ID] = last.End
	p.mu.Unlock()
	return last.End, nil
}

// plan sets when the state's next CRL is due.
func (p *Publisher) plan(s *State, issuer *telamon.Issuer, end, now time.Time) {
	switch {
	case issuer.Status == telamon.IssuerExpired || now.After(issuer.Certificate.NotAfter):
		s.Done = true
		return
	case p.isOffline(issuer):
		s.Offline = true
		return
	case s.CRL == nil:
		s.Due = now
	case !end.IsZero() && s.CRL.ThisUpdate.After(end) && !s.IsDirty():
		s.Done = true
		return
	default:
		every, _ := p.cfg.Schedule.of(issuer)
		s.Due = s.CRL.ThisUpdate.Add(every)
		if !end.IsZero() && !s.CRL.ThisUpdate.After(end) && end.Before(s.Due) {
			s.Due = end.Add(time.Second) // the last one
		}
		if s.IsDirty() {
			soon := s.CRL.CreatedAt.Add(p.cfg.Schedule.Gap)
			if s.RevisedAt.After(soon) {
				soon = s.RevisedAt
			}
			if soon.Before(s.Due) {
				s.Due = soon
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, ok := p.failures[shard{s.Issuer, s.Shard}]; ok {
		s.Failures, s.Problem = f.times, f.err.Error()
		if f.until.After(s.Due) {
			s.Due = f.until
		}
	}
}

// due returns what is due now, the most urgent first.
func (p *Publisher) due(states []State) []State {
	now := p.cfg.Clock.Now()
	var due []State
	for _, s := range states {
		if !s.Due.IsZero() && !s.Due.After(now) {
			due = append(due, s)
		}
	}
	slices.SortStableFunc(due, func(a, b State) int { return a.Due.Compare(b.Due) })
	return due
}
