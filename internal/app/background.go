package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/retention"
	"github.com/telamon-ca/telamon/internal/witness"
)

// How often the background work is done. Each has an upper bound on the harm of
// missing a turn: none of it is needed for a request to be answered.
const (
	recoverEvery   = time.Second
	refusalsEvery  = time.Second // somebody may wait to see one in the audit log
	firstUsesEvery = time.Second
	lastUsesEvery  = time.Minute
	purgeEvery     = 10 * time.Minute
	downloadsEvery = time.Minute // what is over is not given out in any case
	abandonEvery   = time.Minute
	partitionEvery = 12 * time.Hour
	resolverEvery  = time.Second
	startJobsEvery = 12 * time.Hour
	sequenceEvery  = time.Second
	signerEvery    = time.Second
	sweepEvery     = time.Minute
)

// startBackground starts what runs beside the listeners until ctx ends.
func (a *App) startBackground(ctx context.Context, work *sync.WaitGroup, certificate *serverCertificate) {
	gauge := func(name, help string, value func() float64) {
		a.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("telamon_ready", "1 if the database can write and the directory is fresh.", func() float64 {
		if a.ready(ctx) != nil {
			return 0
		}
		return 1
	})
	gauge("telamon_audit_pending_events", "Audit events that have no place in the log yet.",
		func() float64 { return float64(a.auditPending.Load()) })
	gauge("telamon_audit_lag_seconds", "How long the oldest of them has waited.",
		func() float64 { return time.Duration(a.auditLag.Load()).Seconds() })
	gauge("telamon_audit_export_time_seconds", "When the places of audit last had the newest checkpoint, in Unix time; 0 if never.",
		func() float64 {
			if at := a.exporter.Exported(); !at.IsZero() {
				return float64(at.Unix())
			}
			return 0
		})
	a.freshen(ctx)
	work.Go(func() {
		ticker := time.NewTicker(directory.PollInterval)
		defer ticker.Stop()
		a.Directory.Run(ctx, ticker.C)
	})
	a.every(ctx, work, recoverEvery, "recover the store and the keystore", a.recoverStore)
	a.every(ctx, work, signerEvery, "ask the signer", a.askSigner)
	a.every(ctx, work, refusalsEvery, "write refused logins", func(ctx context.Context) error { return a.writeRefusals(ctx, false) })
	a.every(ctx, work, firstUsesEvery, "write first uses of client certificates", a.IAM.WriteFirstUses)
	a.every(ctx, work, lastUsesEvery, "write last uses of client certificates", a.IAM.WriteLastUses)
	a.every(ctx, work, purgeEvery, "purge feeds", a.Store.PurgeFeeds)
	a.every(ctx, work, downloadsEvery, "purge PKCS #12 files", a.Store.PurgeDownloads)
	a.every(ctx, work, purgeEvery, "purge what was for signing in", a.Store.PurgeSignIn)
	a.every(ctx, work, abandonEvery, "abandon precertificates", a.RA.AbandonPrecertificates)
	a.every(ctx, work, partitionEvery, "make partitions", a.Store.EnsurePartitions)
	a.every(ctx, work, renewEvery, "renew the server certificate", certificate.refresh)
	a.every(ctx, work, resolverEvery, "keep the resolver running", a.resolver.watch)
	a.every(ctx, work, startJobsEvery, "put the jobs that come again by themselves", a.startJobs)
	a.startCases(ctx, work)
	work.Go(func() { a.jobs.Run(ctx) })
	a.every(ctx, work, lifecycle.Every, "plan and exchange issuing CAs", a.Life.Turn)
	a.every(ctx, work, sweepEvery, "destroy the keys of key pairs that have ended", a.Signing.Sweep)
	a.every(ctx, work, lifecycle.Every, "keep keys to the life of their issuing CAs", a.enforceLifecycle)
	a.every(ctx, work, jobs.Poll, "look for jobs", a.lookForJobs)
	a.every(ctx, work, sequenceEvery, "sequence the audit log", a.sequenceAudit)
	a.every(ctx, work, retention.Every, "let go of what was kept for long enough", a.keeper.Turn)
	a.every(ctx, work, termsEvery, "make what certificates of earlier releases are found by", a.indexTerms)
	if a.OCSP != nil {
		a.every(ctx, work, responder.RefreshEvery, "keep OCSP answers ready", a.OCSP.Refresh)
	}
	a.every(ctx, work, publish.Poll, "publish CRLs", a.Publisher.Turn)
	a.every(ctx, work, publish.Poll, "copy CRLs", a.Publisher.Copy)
	a.every(ctx, work, witness.Every, "export the audit log's checkpoint", a.exporter.Turn)
}

// lookForJobs measures what jobs are due, and if there are any makes the runner look,
// unless it is looking. So an idle server writes nothing.
func (a *App) lookForJobs(ctx context.Context) error {
	due, err := a.Store.JobsDue(ctx)
	if err != nil {
		return err
	}
	if len(due) > 0 {
		select {
		case a.jobsTick <- a.Clock.Now():
		default:
		}
	}
	a.jobsDue.Reset()
	for _, d := range due {
		a.jobsDue.WithLabelValues(d.Kind).Set(float64(d.N))
	}
	return nil
}

// freshen reads the change feed and looks at the database before the first tick: it
// may be long ago that the directory was read, and a server that is not ready for a
// moment after its start is taken out by load balancers. What follows reports a
// failure.
func (a *App) freshen(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, freshenTimeout)
	defer cancel()
	a.Directory.Poll(ctx)
	a.probe(ctx)
}

// probe tries whether the database can write and the keystore sign, which ready tells
// from then on.
func (a *App) probe(ctx context.Context) error {
	err := errors.Join(a.Store.Ready(ctx), a.Keys.Ready())
	a.unwritable.Store(&err)
	return err
}

// freshenTimeout bounds how long a start waits for a database that hangs.
const freshenTimeout = 2 * time.Second

// every does the work now and then at the interval, a little apart from other
// replicas, until ctx ends. A failure is logged when it begins and when it ends.
func (a *App) every(ctx context.Context, work *sync.WaitGroup, interval time.Duration, what string, do func(context.Context) error) {
	work.Go(func() {
		ticker := time.NewTicker(interval + rand.N(interval/10+1))
		defer ticker.Stop()
		failing := false
		for {
			err := do(ctx)
			switch {
			case err != nil && ctx.Err() != nil:
			case err != nil && !failing:
				a.Log.ErrorContext(ctx, "background work fails: "+what, "error", err)
			case err == nil && failing:
				a.Log.InfoContext(ctx, "background work succeeds again: "+what)
			}
			failing = err != nil
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
}

// recoverStore tries whether a database that failed can write again, and then
// tells what became of the commits whose outcome was unknown.
func (a *App) recoverStore(ctx context.Context) error {
	if err := a.probe(ctx); err != nil {
		return err
	}
	left, err := a.Store.Settle(ctx)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d commits have an unknown outcome", left)
	}
	return err
}

// auditAlarm is how long an event may wait for its place in the log before that is
// an error that somebody must look at.
const auditAlarm = time.Minute

// sequenceAudit gives the audit events that have come their places in the log, if
// this process holds the lease, and measures how far the log is behind. The
// measure is taken by every process: one of them sees that nobody sequences.
func (a *App) sequenceAudit(ctx context.Context) error {
	_, err := a.sequencer.Turn(ctx)
	lag, lagErr := a.Store.AuditLag(ctx)
	if err = errors.Join(err, lagErr); err != nil {
		return err
	}
	now := a.Clock.Now()
	a.auditPending.Store(lag.Pending)
	a.auditLag.Store(int64(lag.Age(now)))
	if lag.IsLate(now, auditAlarm) {
		return fmt.Errorf("%d audit events have no place in the log, the oldest for %s", lag.Pending, lag.Age(now).Round(time.Second))
	}
	return nil
}

// Why a process is not ready that cannot follow the change feed, or has not yet
// looked at its database.
var (
	errStale     = errors.New("the directory is stale")
	errNotLooked = errors.New("the database was not tried yet")
)

// ready reports why the process cannot do its work. It answers from memory, which
// the background work keeps: anybody may ask, as often as they like. A write that
// failed counts at once, and until one of its kind succeeds and so does a look.
func (a *App) ready(context.Context) error {
	if !a.Directory.Fresh() {
		return errStale
	}
	if err := errors.Join(a.Store.Failing(), a.Keys.Failing(), a.signerFailing(), a.Publisher.Ready()); err != nil {
		return err
	}
	if why := a.unwritable.Load(); why != nil {
		return *why
	}
	return errNotLooked
}

// finish does what must not be lost when the process stops, exports the last
// checkpoint, and lets another sequence the audit log at once. What became of unknown
// commits is known to this process alone, and is written before the log is sequenced.
// A place that does not take the checkpoint does not fail the stop.
func (a *App) finish(ctx context.Context) error {
	refusals := errors.Join(a.writeRefusals(ctx, true), a.IAM.WriteFirstUses(ctx), a.IAM.WriteLastUses(ctx))
	_, unknown := a.Store.Settle(ctx)
	err := errors.Join(refusals, unknown, a.sequenceAudit(ctx), a.sequencer.Stop(ctx))
	if exportErr := a.exporter.Turn(ctx); exportErr != nil {
		a.Log.ErrorContext(ctx, "the last checkpoint was not exported", "error", exportErr)
	}
	return err
}
