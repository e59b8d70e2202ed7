package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const now = "2026-11-27T16:00:00Z"

// replica is one process over a database, whose runner looks for jobs when it is told.
type replica struct {
	t      *testing.T
	db     *store.DB
	runner *jobs.Runner
	tick   chan time.Time
	stop   context.CancelFunc
	ended  chan struct{}
}

func start(t *testing.T, url string, clock *testkit.Clock, handlers map[string]jobs.Handler) *replica {
	t.Helper()
	r := &replica{t: t, db: dbtest.Open(t, url, clock), tick: make(chan time.Time), ended: make(chan struct{})}
	r.runner = jobs.New(jobs.Config{
		Store: r.db, Clock: clock, Log: slog.New(slog.DiscardHandler), Handlers: handlers, Tick: r.tick,
	})
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() {
		defer close(r.ended)
		r.runner.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
	})
	return r
}

// look makes the runner look for jobs, and returns when it has done so once.
func (r *replica) look() {
	r.tick <- time.Time{}
	r.tick <- time.Time{} // taken when the runner is at its select again
}

func put(t *testing.T, db *store.DB, clock *testkit.Clock, kind, key string) {
	t.Helper()
	if err := db.PutJob(t.Context(), store.Job{Kind: kind, Key: key, RunAt: clock.Now()}); err != nil {
		t.Fatal(err)
	}
}

// left waits until no job of the kind is left.
func left(t *testing.T, r *replica, kind string) {
	t.Helper()
	for t.Context().Err() == nil {
		list, err := r.db.Jobs(t.Context(), kind, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return
		}
		r.look()
	}
}

// TestTwoReplicas holds that each job is done once, whoever of two does it.
func TestTwoReplicas(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, now)
		var mu sync.Mutex
		done := map[string]int{}
		handlers := map[string]jobs.Handler{"test": {AtOnce: 8, Lease: time.Minute, Run: func(_ context.Context, job store.Job) (time.Time, error) {
			mu.Lock()
			defer mu.Unlock()
			done[job.Key]++
			return time.Time{}, nil
		}}}
		a, b := start(t, url, clock, handlers), start(t, url, clock, handlers)
		const n = 100
		for i := range n {
			put(t, a.db, clock, "test", fmt.Sprint(i))
		}
		a.runner.Wake()
		b.runner.Wake()
		left(t, a, "test")
		mu.Lock()
		defer mu.Unlock()
		if len(done) != n {
			t.Errorf("%d jobs were done, want %d", len(done), n)
		}
		for key, times := range done {
			if times != 1 {
				t.Errorf("job %s was done %d times", key, times)
			}
		}
	})
}

// TestTakeover holds that the job of a process that died is done by another one when
// its lease has run out, and not before.
func TestTakeover(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, now)
		dead := dbtest.Open(t, url, clock)
		put(t, dead, clock, "test", "a")
		if taken, err := dead.TakeJobs(t.Context(), "test", 1, time.Minute); len(taken) != 1 || err != nil {
			t.Fatalf("took %d jobs, %v", len(taken), err)
		} // and is heard of no more
		ran := make(chan store.Job, 1)
		other := start(t, url, clock, map[string]jobs.Handler{"test": {AtOnce: 1, Lease: time.Minute, Run: func(_ context.Context, job store.Job) (time.Time, error) {
			ran <- job
			return time.Time{}, nil
		}}})
		clock.Advance(time.Minute - time.Millisecond)
		other.look()
		select {
		case <-ran:
			t.Fatal("the job was taken over while its lease held")
		default:
		}
		clock.Advance(time.Millisecond)
		other.look()
		if job := <-ran; job.Attempts != 2 {
			t.Errorf("the job was begun %d times, want 2", job.Attempts)
		}
		left(t, other, "test")
	})
}

// TestKindsDoNotWait holds that a thousand jobs that hang do not delay one of another
// kind, nor one of their own kind as long as there is room.
func TestKindsDoNotWait(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, now)
		hang := make(chan struct{})
		live := make(chan string, 2)
		r := start(t, url, clock, map[string]jobs.Handler{
			"slow": {AtOnce: 1001, Lease: time.Hour, Run: func(ctx context.Context, job store.Job) (time.Time, error) {
				if job.Key == "live" {
					live <- job.Kind
					return time.Time{}, nil
				}
				select {
				case <-hang:
				case <-ctx.Done():
				}
				return time.Time{}, nil
			}},
			"quick": {AtOnce: 1, Lease: time.Hour, Run: func(_ context.Context, job store.Job) (time.Time, error) {
				live <- job.Kind
				return time.Time{}, nil
			}},
		})
		for i := range 1000 {
			put(t, r.db, clock, "slow", fmt.Sprint(i))
		}
		r.look()
		put(t, r.db, clock, "quick", "live")
		put(t, r.db, clock, "slow", "live")
		r.look()
		got := map[string]bool{<-live: true, <-live: true}
		if !got["slow"] || !got["quick"] {
			t.Errorf("%v were done, want both", got)
		}
		close(hang)
		left(t, r, "slow")
	})
}

// TestFailures has a job that fails, comes again, is given up, and one that comes
// again by itself.
func TestFailures(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, now)
		attempts, givenUp, rounds := make(chan int, 10), make(chan error, 1), make(chan int, 10)
		failure := errors.New("broken")
		r := start(t, url, clock, map[string]jobs.Handler{
			"fails": {AtOnce: 1, Lease: time.Minute, Attempts: 3,
				Run: func(_ context.Context, job store.Job) (time.Time, error) {
					attempts <- job.Attempts
					if job.Attempts == 2 {
						panic("at the disco")
					}
					return time.Time{}, failure
				},
				GivenUp: func(_ context.Context, _ store.Job, cause error) error { givenUp <- cause; return nil }},
			"repeats": {AtOnce: 1, Lease: time.Minute, Run: func(_ context.Context, job store.Job) (time.Time, error) {
				rounds <- job.Attempts
				if len(rounds) == 2 {
					return time.Time{}, nil
				}
				return clock.Now().Add(time.Hour), nil
			}},
		})
		put(t, r.db, clock, "fails", "a")
		for want := 1; want <= 3; want++ {
			r.look()
			if got := <-attempts; got != want {
				t.Errorf("attempt %d, want %d", got, want)
			}
			waits(t, r, "fails", want < 3)
			clock.Advance(time.Hour)
		}
		if cause := <-givenUp; !errors.Is(cause, failure) {
			t.Errorf("given up because of %v", cause)
		}
		put(t, r.db, clock, "repeats", "b")
		r.look()
		<-rounds
		rounds <- 0 // so that the second time is the last
		waits(t, r, "repeats", true)
		clock.Advance(time.Hour)
		left(t, r, "repeats")
	})
}

// waits waits until a job of the kind is back with the store, or gone.
func waits(t *testing.T, r *replica, kind string, want bool) {
	t.Helper()
	for t.Context().Err() == nil {
		taken, err := r.db.JobsDue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		due := false
		for _, d := range taken {
			due = due || d.Kind == kind
		}
		list, err := r.db.Jobs(t.Context(), kind, 1)
		if err != nil {
			t.Fatal(err)
		}
		if !due && (len(list) > 0) == want {
			return
		}
	}
}

// TestStop holds that a job that is cut short because the process stops is given back
// at once, and does not count as an attempt.
func TestStop(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, now)
		began := make(chan struct{})
		r := start(t, url, clock, map[string]jobs.Handler{"test": {AtOnce: 1, Lease: time.Hour, Run: func(ctx context.Context, _ store.Job) (time.Time, error) {
			close(began)
			<-ctx.Done()
			return time.Time{}, ctx.Err()
		}}})
		put(t, r.db, clock, "test", "a")
		r.runner.Wake()
		<-began
		r.stop()
		<-r.ended
		other := dbtest.Open(t, url, clock)
		if taken, err := other.TakeJobs(t.Context(), "test", 1, time.Minute); len(taken) != 1 || err != nil || taken[0].Attempts != 1 {
			t.Errorf("another process takes %+v, %v; want the job, for the first time", taken, err)
		}
	})
}

func TestBackoff(t *testing.T) {
	for attempt := range 100 {
		if wait := jobs.Backoff(attempt); wait < 5*time.Second || wait > 8*time.Hour {
			t.Errorf("after %d failures a job waits %s", attempt, wait)
		}
	}
}

// TestTakenAgain holds that a process does not do a job twice at a time that it takes
// again after its lease ran out.
func TestTakenAgain(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, now)
		began, end := make(chan struct{}, 2), make(chan struct{})
		r := start(t, url, clock, map[string]jobs.Handler{"test": {AtOnce: 2, Lease: time.Hour, Run: func(context.Context, store.Job) (time.Time, error) {
			began <- struct{}{}
			<-end
			return time.Time{}, nil
		}}})
		put(t, r.db, clock, "test", "a")
		r.look()
		<-began
		clock.Advance(2 * time.Hour) // and the lease, which is renewed by the real time, has run out
		r.look()
		select {
		case <-began:
			t.Error("the job runs twice")
		default:
		}
		close(end)
		left(t, r, "test")
	})
}
