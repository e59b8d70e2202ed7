package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// eachPair runs f on both databases, each opened by two processes.
func eachPair(t *testing.T, f func(t *testing.T, a, b *store.DB, clock *testkit.Clock)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, testTime)
		f(t, dbtest.Open(t, url, clock), dbtest.Open(t, url, clock), clock)
	})
}

// take takes up to limit jobs for a minute.
func take(t testing.TB, db *store.DB, limit int) []store.Job {
	t.Helper()
	jobs, err := db.TakeJobs(t.Context(), "test", limit, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func keysOf(jobs []store.Job) []string {
	keys := []string{}
	for _, j := range jobs {
		keys = append(keys, j.Key)
	}
	return keys
}

func mustPut(t testing.TB, db *store.DB, key string, at time.Time) {
	t.Helper()
	if err := db.PutJob(t.Context(), store.Job{Kind: "test", Key: key, RunAt: at}); err != nil {
		t.Fatal(err)
	}
}

// TestTakeJobsOrder takes what has waited longest first, and what is not due not at
// all.
func TestTakeJobsOrder(t *testing.T) {
	eachPair(t, func(t *testing.T, db, _ *store.DB, clock *testkit.Clock) {
		now := clock.Now()
		for i, wait := range []int{3, 1, 4, 0, 2, 5, -1} { // seconds for which it has been due
			mustPut(t, db, fmt.Sprint(wait), now.Add(-time.Duration(wait)*time.Second))
			if i == 0 {
				if err := db.PutJob(t.Context(), store.Job{Kind: "other", Key: "3", RunAt: now.Add(-time.Hour)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := keysOf(take(t, db, 4)); !slices.Equal(got, []string{"5", "4", "3", "2"}) {
			t.Errorf("taken first are %v", got)
		}
		jobs := take(t, db, 100)
		if got := keysOf(jobs); !slices.Equal(got, []string{"1", "0"}) {
			t.Errorf("taken then are %v", got)
		}
		if j := jobs[0]; string(j.Args) != "{}" || j.Attempts != 1 || !j.RunAt.Equal(now.Add(-time.Second)) || j.ID == "" {
			t.Errorf("the job is %+v", j)
		}
		clock.Advance(time.Second)
		if got := keysOf(take(t, db, 100)); !slices.Equal(got, []string{"-1"}) {
			t.Errorf("taken a second later are %v", got)
		}
		due, err := db.JobsDue(t.Context())
		if err != nil || len(due) != 2 || due[0] != (store.JobsDue{Kind: "other", N: 1, Oldest: now.Add(-time.Hour)}) ||
			due[1] != (store.JobsDue{Kind: "test", N: 7, Oldest: now.Add(-5 * time.Second)}) {
			t.Errorf("due are %+v, %v", due, err)
		}
	})
}

// TestTakeJobsAtOnce lets two processes take jobs with many hands: no job is held by
// two, and none is forgotten.
func TestTakeJobsAtOnce(t *testing.T) {
	eachPair(t, func(t *testing.T, a, b *store.DB, clock *testkit.Clock) {
		const jobs = 200
		for i := range jobs {
			mustPut(t, a, fmt.Sprint(i), clock.Now().Add(-time.Duration(i%7)*time.Second))
		}
		var mu sync.Mutex
		held := map[telamon.JobID]int{}
		var wg sync.WaitGroup
		for i := range 8 {
			db := []*store.DB{a, b}[i%2]
			wg.Go(func() {
				for {
					taken, err := db.TakeJobs(t.Context(), "test", 3, time.Minute)
					if err != nil || len(taken) > 3 {
						t.Errorf("%d jobs taken, %v; want 3 at most", len(taken), err)
						return
					}
					mu.Lock()
					for _, j := range taken {
						held[j.ID]++
					}
					done := len(held) == jobs
					mu.Unlock()
					for _, j := range taken {
						if err := db.FinishJob(t.Context(), j.ID); err != nil {
							t.Errorf("finish %s: %v", j.Key, err)
						}
					}
					if done {
						return
					}
				}
			})
		}
		wg.Wait()
		for id, n := range held {
			if n != 1 {
				t.Errorf("job %s was held %d times", id, n)
			}
		}
		if left, err := a.Jobs(t.Context(), "test", 1000); len(left) != 0 || err != nil {
			t.Errorf("%d jobs are left, %v", len(left), err)
		}
	})
}

// TestJobTakeover lets a process take over the job of one that died.
func TestJobTakeover(t *testing.T) {
	eachPair(t, func(t *testing.T, a, b *store.DB, clock *testkit.Clock) {
		mustPut(t, a, "1", clock.Now())
		job := take(t, a, 1)[0]
		mustBe(t, b.FinishJob(t.Context(), job.ID), fault.Conflict, "job_lost")
		mustBe(t, b.RenewJob(t.Context(), job.ID, time.Minute), fault.Conflict, "job_lost")
		mustBe(t, b.RepeatJob(t.Context(), job.ID, clock.Now(), 1, ""), fault.Conflict, "job_lost")
		clock.Advance(30 * time.Second)
		if err := a.RenewJob(t.Context(), job.ID, time.Minute); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Minute - time.Millisecond)
		if got := take(t, b, 1); len(got) != 0 {
			t.Errorf("%v was taken in the last instant of its lease", got)
		}
		clock.Advance(time.Millisecond)
		again := take(t, b, 1)
		if len(again) != 1 || again[0].ID != job.ID || again[0].Attempts != 2 {
			t.Fatalf("after the lease %+v was taken, want the job for the second time", again)
		}
		mustBe(t, a.RenewJob(t.Context(), job.ID, time.Minute), fault.Conflict, "job_lost")
		mustBe(t, a.FinishJob(t.Context(), job.ID), fault.Conflict, "job_lost")
		if err := b.FinishJob(t.Context(), job.ID); err != nil {
			t.Error(err)
		}
		mustBe(t, b.FinishJob(t.Context(), job.ID), fault.Conflict, "job_lost")
	})
}

// TestPutJobReplaces puts a job in the place of one that runs.
func TestPutJobReplaces(t *testing.T) {
	eachPair(t, func(t *testing.T, a, b *store.DB, clock *testkit.Clock) {
		mustPut(t, a, "1", clock.Now())
		mustPut(t, a, "2", clock.Now().Add(time.Hour))
		old := take(t, a, 1)[0]
		if err := b.PutJob(t.Context(), store.Job{Kind: "test", Key: "1", RunAt: clock.Now(), Args: []byte(`{"n":2}`)}); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"finish": a.FinishJob(t.Context(), old.ID), "renew": a.RenewJob(t.Context(), old.ID, time.Minute),
			"repeat": a.RepeatJob(t.Context(), old.ID, clock.Now(), 1, ""),
		} {
			if f := fault.From(err); f == nil || f.Code != "job_lost" {
				t.Errorf("%s a job that was replaced: %v, want job_lost", what, err)
			}
		}
		jobs := take(t, a, 10)
		if len(jobs) != 1 || jobs[0].ID == old.ID || jobs[0].Attempts != 1 || string(jobs[0].Args) != `{"n":2}` {
			t.Fatalf("the jobs are %+v, want the new one", jobs)
		}
		mustPut(t, a, "2", clock.Now())
		if got := keysOf(take(t, b, 10)); !slices.Equal(got, []string{"2"}) {
			t.Errorf("taken are %v, want the one that was put earlier", got)
		}
	})
}

func TestRepeatJob(t *testing.T) {
	eachPair(t, func(t *testing.T, a, b *store.DB, clock *testkit.Clock) {
		mustPut(t, a, "1", clock.Now())
		job := take(t, a, 1)[0]
		if err := a.RepeatJob(t.Context(), job.ID, clock.Now().Add(time.Second), job.Attempts, "no answer"); err != nil {
			t.Fatal(err)
		}
		if got := take(t, b, 1); len(got) != 0 {
			t.Errorf("%v was taken before its time", got)
		}
		clock.Advance(time.Second)
		again := take(t, b, 1)
		if len(again) != 1 || again[0].ID != job.ID || again[0].Attempts != 2 || !again[0].RunAt.Equal(clock.Now()) {
			t.Fatalf("taken was %+v, want the job for the second time, at once", again)
		}
		mustBe(t, a.FinishJob(t.Context(), job.ID), fault.Conflict, "job_lost")
		if err := b.RepeatJob(t.Context(), job.ID, clock.Now(), 0, ""); err != nil {
			t.Fatal(err)
		}
		if got := take(t, a, 1); len(got) != 1 || got[0].Attempts != 1 {
			t.Errorf("taken was %+v, want a job that begins anew", got)
		}
	})
}
