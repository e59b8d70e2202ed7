// Package jobs does the durable background work: it takes jobs that are due from the
// store, one process at a time, keeps its hold on those that run, and tries failed
// ones again. It does not know what any job does; handlers do.
//
// A job is done at least once. It is not done by two processes at a time as long as
// their clocks agree; a process that dies loses its jobs when their leases run out.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Handler does the jobs of one kind.
type Handler struct {
	// Run does a job. A job that comes again by itself returns when; the zero time
	// ends it. After an error it is tried again, by Backoff.
	Run func(ctx context.Context, job store.Job) (again time.Time, err error)
	// AtOnce is how many jobs of the kind one process does at a time. Kinds do not
	// wait for one another.
	AtOnce int
	// Lease is how long another process waits before it takes a job over. It is
	// renewed while the job runs.
	Lease time.Duration
	// Attempts is how often a job is tried before it is given up; 0 is without end.
	Attempts int
	// GivenUp is told of a job that was given up, before it is deleted; may be nil.
	GivenUp func(ctx context.Context, job store.Job, cause error) error
}

// Backoff is how long a job waits after its nth failure: from a few seconds to six
// hours, a little apart from others.
func Backoff(attempt int) time.Duration {
	wait := 5 * time.Second << min(max(attempt-1, 0), 12)
	wait = min(wait, 6*time.Hour)
	return wait + rand.N(wait/5)
}

// NextHour returns the next time after now at which it is that hour, in UTC: for work that
// comes once a day.
func NextHour(now time.Time, hour int) time.Time {
	now = now.UTC()
	next := time.Date(now.Year(), now.Month(), now.Day(), hour, 0, 0, 0, time.UTC)
	if !next.After(now) {
		next = next.AddDate(0, 0, 1)
	}
	return next
}

// NextDay returns when daily work comes again that was due at a time: a day later, so that
// none is left out, unless it was away for more than a week, of which nobody wants to hear.
func NextDay(due, now time.Time, hour int) time.Time {
	next := due.AddDate(0, 0, 1)
	if ahead := NextHour(now, hour); next.Before(ahead.AddDate(0, 0, -7)) {
		return ahead
	}
	return next
}

// Config names what a runner is made of.
type Config struct {
	Store    *store.DB
	Clock    telamon.Clock
	Log      *slog.Logger
	Handlers map[string]Handler // by kind
	// Tick wakes the runner to look for jobs that are due; see Poll.
	Tick <-chan time.Time
}

// Poll is how often a runner should look for jobs. What this process puts is found at
// once, by Wake.
const Poll = time.Second

// Runner does jobs until its context ends. It is safe for concurrent use.
type Runner struct {
	cfg   Config
	wake  chan struct{}
	kinds map[string]*kind
}

// kind is the state of one kind of jobs.
type kind struct {
	name string
	Handler

	mu      sync.Mutex
	running map[telamon.JobID]bool // guarded by mu
}

// New returns a runner.
func New(cfg Config) *Runner {
	r := &Runner{cfg: cfg, wake: make(chan struct{}, 1), kinds: map[string]*kind{}}
	for name, h := range cfg.Handlers {
		r.kinds[name] = &kind{name: name, Handler: h, running: map[telamon.JobID]bool{}}
	}
	return r
}

// Wake makes the runner look for jobs now.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it is about to
	}
}

// Run does jobs until ctx ends, and returns when those that were running have ended;
// their context ends too.
func (r *Runner) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	failing := false
	for {
		err := r.begin(ctx, &work)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			r.cfg.Log.ErrorContext(ctx, "cannot take jobs", "error", err)
		case err == nil && failing:
			r.cfg.Log.InfoContext(ctx, "jobs are taken again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-r.cfg.Tick:
		case <-r.wake:
		}
	}
}

// begin takes as many jobs of each kind as there is room for, and does them.
func (r *Runner) begin(ctx context.Context, work *sync.WaitGroup) error {
	var errs []error
	for _, k := range r.kinds {
		room := k.room()
		if room <= 0 {
			continue
		}
		taken, err := r.cfg.Store.TakeJobs(ctx, k.name, room, k.Lease)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, job := range taken {
			if !k.enter(job.ID) {
				continue
			}
			work.Go(func() {
				r.do(ctx, k, job)
				k.leave(job.ID)
				if len(taken) == room { // more may have waited for the room
					r.Wake()
				}
			})
		}
	}
	return errors.Join(errs...)
}

// room is how many more jobs of the kind may run.
func (k *kind) room() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.AtOnce - len(k.running)
}

// enter notes that a job runs. It reports false if it does already: its lease ran out
// while the database could not be reached, and this process took it once more.
func (k *kind) enter(id telamon.JobID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.running[id] {
		return false
	}
	k.running[id] = true
	return true
}

func (k *kind) leave(id telamon.JobID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.running, id)
}

// do does one job, and writes what became of it.
func (r *Runner) do(ctx context.Context, k *kind, job store.Job) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	var keeping sync.WaitGroup
	keeping.Go(func() { r.keep(running, k, job, stop) })
	again, err := r.run(running, k, job)
	stop()
	keeping.Wait()
	ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	if err = r.end(ended, k, job, again, err, ctx.Err() != nil); err != nil && !isLost(err) {
		r.cfg.Log.ErrorContext(ctx, "cannot end a job", "kind", job.Kind, "key", job.Key, "error", err)
	}
}

// endLimit bounds how long the end of a job may take to be written.
const endLimit = 5 * time.Second

// run calls the handler. A panic is an error like any other.
func (r *Runner) run(ctx context.Context, k *kind, job store.Job) (again time.Time, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return k.Run(ctx, job)
}

// keep renews the lease of a job that runs, until ctx ends. A job that is lost is
// stopped: another process does it.
func (r *Runner) keep(ctx context.Context, k *kind, job store.Job, stop func()) {
	ticker := time.NewTicker(k.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.cfg.Store.RenewJob(ctx, job.ID, k.Lease); isLost(err) {
			stop()
			return
		}
	}
}

// isLost reports whether this process no longer holds a job.
func isLost(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Code == "job_lost"
}

// end writes what became of a job. One that failed because the process stops is given
// back as if it had not been begun.
func (r *Runner) end(ctx context.Context, k *kind, job store.Job, again time.Time, cause error, stopping bool) error {
	db := r.cfg.Store
	switch {
	case cause == nil && again.IsZero():
		return db.FinishJob(ctx, job.ID)
	case cause == nil:
		return db.RepeatJob(ctx, job.ID, again, 0, "")
	case stopping:
		return db.RepeatJob(ctx, job.ID, job.RunAt, job.Attempts-1, "")
	case k.Attempts == 0 || job.Attempts < k.Attempts:
		r.cfg.Log.InfoContext(ctx, "a job failed and will be tried again", "kind", job.Kind, "key", job.Key, "attempt", job.Attempts, "error", cause)
		return db.RepeatJob(ctx, job.ID, r.cfg.Clock.Now().Add(Backoff(job.Attempts)), job.Attempts, cause.Error())
	}
	r.cfg.Log.ErrorContext(ctx, "a job is given up", "kind", job.Kind, "key", job.Key, "attempts", job.Attempts, "error", cause)
	if k.GivenUp != nil {
		if err := k.GivenUp(ctx, job, cause); err != nil {
			return errors.Join(err, db.RepeatJob(ctx, job.ID, r.cfg.Clock.Now().Add(Backoff(job.Attempts)), job.Attempts, cause.Error()))
		}
	}
	return db.FinishJob(ctx, job.ID)
}
