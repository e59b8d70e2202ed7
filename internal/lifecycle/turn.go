package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// Every is how often a process should call Turn and Enforce. Nothing waits for them: a
// switch happens by the clock.
const Every = 10 * time.Second

// lease is held by the process that does what is due. RSA keys take seconds.
const (
	leaseName  = "lifecycle"
	leaseLasts = time.Minute
)

// system is the actor of what happens by the schedule.
var system = telamon.Actor{Kind: telamon.ActorSystem}

// Turn does what is due, if this process is the one: records switches that the clock has
// made, makes and signs the next issuing CAs, gives notices, and ends CAs whose last CRL
// is out. Without anything due it writes nothing. What fails does not keep the rest.
func (l *Life) Turn(ctx context.Context) error {
	if due, err := l.anythingDue(ctx); err != nil || !due {
		return err
	}
	held, err := l.Store.TakeLease(ctx, leaseName, leaseLasts)
	if err != nil || !held {
		return err
	}
	defer l.Store.DropLease(context.WithoutCancel(ctx), leaseName) // it ends by itself too
	s, err := l.read(ctx)                                          // once more: another one may just have done it
	if err != nil {
		return err
	}
	var errs []error
	for _, series := range slices.SortedFunc(slices.Values(s.series), compareSeries) {
		if err := l.turnSeries(ctx, s, series); err != nil {
			errs = append(errs, fmt.Errorf("series %s: %w", series.Name, err))
		}
	}
	return errors.Join(append(errs, l.giveNotices(ctx), l.expire(ctx, s))...)
}

// anythingDue reports whether a turn has something to do.
func (l *Life) anythingDue(ctx context.Context) (bool, error) {
	s, err := l.read(ctx)
	if err != nil {
		return false, err
	}
	for _, series := range s.series {
		if len(s.unrecorded(series.ID)) > 0 || s.successorDue(series) || s.signable(series, l) {
			return true, nil
		}
	}
	notices, err := l.dueNotices(ctx, s)
	if err != nil || len(notices) > 0 {
		return len(notices) > 0, err
	}
	ended, err := l.ended(ctx, s)
	return len(ended) > 0, err
}

// unrecorded returns the issuing CAs of a series that have started by the clock alone.
func (s *state) unrecorded(series telamon.SeriesID) []*telamon.Issuer {
	return slices.DeleteFunc(slices.Clone(s.issuers), func(i *telamon.Issuer) bool {
		return i.Series != series || i.Status != telamon.IssuerPlanned || i.ActivateAt.After(s.now)
	})
}

// successorDue reports whether the time has come to make a successor.
func (s *state) successorDue(series telamon.Series) bool {
	line := s.line(series.ID)
	at, ok := s.due(series, line)
	return ok && len(s.waiting(line)) < maxAhead && !s.now.Before(at.AddDate(0, 0, -series.LeadDays))
}

// signable reports whether a plan of the series waits whose root is here.
func (s *state) signable(series telamon.Series, l *Life) bool {
	return slices.ContainsFunc(s.plans, func(p store.IssuerPlan) bool {
		root, err := s.issuer(p.Parent)
		if p.Series != series.ID || err != nil {
			return false
		}
		_, rootErr := l.Keys.Public(root.KeyName)
		_, keyErr := l.Keys.Public(p.KeyName)
		return rootErr == nil && keyErr == nil
	})
}

// turnSeries does what is due for one series.
func (l *Life) turnSeries(ctx context.Context, s *state, series telamon.Series) error {
	if len(s.unrecorded(series.ID)) > 0 {
		n, err := l.Store.RecordSwitches(ctx, system, series.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			l.Log.InfoContext(ctx, "the issuing CA was exchanged", "series", series.Name)
			l.changed(ctx, "")
		}
	}
	for _, p := range slices.Clone(s.plans) {
		if p.Series == series.ID {
			if err := l.trySign(ctx, system, &Planned{ID: p.ID}); err != nil {
				return err
			}
		}
	}
	for range maxAhead { // a long lead may want several
		fresh, err := l.read(ctx)
		if err != nil || !fresh.successorDue(series) {
			return err
		}
		at, _ := fresh.due(series, fresh.line(series.ID))
		p, root, err := l.successor(ctx, fresh, series, at)
		if err != nil {
			return err
		}
		if err := l.begin(ctx, system, fresh, series, p, root); err != nil {
			return err
		}
		if err := l.trySign(ctx, system, p); err != nil {
			return err
		}
		if !p.Signed {
			l.Log.WarnContext(ctx, "an issuing CA waits for the signature of its root, which is not here: see telamon issuer plan -export",
				"series", series.Name, "activate_at", p.ActivateAt)
		}
	}
	return nil
}

// staleAfter is how long after its own end an issuing CA is given up whose last CRL never
// came: nobody accepts anything that it signs. No CRL is good for longer (BR 7.2).
const staleAfter = 10 * day

// ended returns the retired issuing CAs that sign nothing more, not even status: that
// never started, or whose last CRL is out, which outlives all that they signed.
func (l *Life) ended(ctx context.Context, s *state) ([]*telamon.Issuer, error) {
	var out []*telamon.Issuer
	for _, i := range s.issuers {
		if i.Role != telamon.RoleIssuing || i.Status != telamon.IssuerRetired {
			continue
		}
		if i.RetireAt.IsZero() || s.now.After(i.Certificate.NotAfter.Add(staleAfter)) {
			out = append(out, i)
			continue
		}
		last, err := l.Store.LastCRL(ctx, i)
		if err != nil {
			return out, err
		}
		if !last.At.IsZero() {
			out = append(out, i)
		}
	}
	return out, nil
}

// expire notes which issuing CAs have ended. Each process destroys its copy of their keys
// then, by Enforce.
func (l *Life) expire(ctx context.Context, s *state) error {
	ended, err := l.ended(ctx, s)
	errs := []error{err}
	for _, i := range ended {
		if err := l.Store.ExpireIssuer(ctx, system, i.ID); err != nil {
			errs = append(errs, err)
			continue
		}
		l.Log.InfoContext(ctx, "an issuing CA has ended, and its key is destroyed", "issuer", i.ID, "subject", i.Certificate.Subject.String())
		l.changed(ctx, i.ID)
	}
	return errors.Join(errs...)
}

// Enforce brings this process's keystore to where the issuers stand: keys of issuing CAs
// that sign for no token any more sign status alone, and those of ended ones are
// destroyed. It reports keys that this keystore lacks although their CA is to sign: it
// must be copied here before the CA starts.
func (l *Life) Enforce(ctx context.Context) error {
	s, err := l.read(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, i := range s.issuers {
		if i.Role != telamon.RoleIssuing {
			continue
		}
		switch {
		case i.Status == telamon.IssuerExpired:
			err = l.enforceEnd(ctx, s, i)
		case i.Status == telamon.IssuerPlanned || i.MaySign(s.now.Add(-telamon.ClockSkew)):
			_, err = l.Keys.Public(i.KeyName)
		default:
			if err = l.Keys.Retire(i.KeyName); errors.Is(err, keystore.ErrNoKey) {
				err = nil // its status comes from another replica
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("issuer %s (%s): %w", i.ID, i.Certificate.Subject.CommonName, err))
		}
	}
	return errors.Join(errs...)
}

// enforceEnd destroys the key of an expired issuing CA. That it has expired may be the
// word of a process whose clock is wrong: unless it never started, this process sees for
// itself that its last CRL is out, or by its own clock that nobody wants one.
func (l *Life) enforceEnd(ctx context.Context, s *state, i *telamon.Issuer) error {
	if _, err := l.Keys.Public(i.KeyName); errors.Is(err, keystore.ErrNoKey) {
		return nil // it is done, and needs no look at the CRLs
	}
	if i.RetireAt.IsZero() || s.now.After(i.Certificate.NotAfter.Add(staleAfter)) {
		return l.destroy(i.KeyName)
	}
	retired := *i
	retired.Status = telamon.IssuerRetired // as it was when its last CRL was made
	last, err := l.Store.LastCRL(ctx, &retired)
	if err != nil {
		return err
	}
	if !last.At.IsZero() && !last.At.After(s.now.Add(telamon.ClockSkew)) {
		return l.destroy(i.KeyName)
	}
	return errors.Join(l.Keys.Retire(i.KeyName), errEarlyEnd)
}

// errEarlyEnd says that a key is kept although its CA is expired.
var errEarlyEnd = errors.New("it was noted as expired, but its last CRL is not out and its time is not over by this server's clock:" +
	" its key is kept; compare the clocks of the servers")

// destroy retires and destroys a key. One that is gone is good.
func (l *Life) destroy(name string) error {
	err := l.Keys.Retire(name)
	if err == nil {
		err = l.Keys.Destroy(name)
	}
	if errors.Is(err, keystore.ErrNoKey) {
		return nil
	}
	return err
}

// isConflict reports whether another process was first.
func isConflict(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Kind == fault.Conflict
}
