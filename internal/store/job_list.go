package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A QueuedJob is a job as people look at it.
type QueuedJob struct {
	Job
	Holder    string    // the process that does it, "" for none
	HeldUntil time.Time // zero: nobody holds it
	LastError string
	CreatedAt time.Time
}

// A JobKind is how many jobs of a kind there are.
type JobKind struct {
	Kind     string
	N        int64
	First    time.Time // when the first is due
	Attempts int64     // the most that one of them had
}

// JobKinds returns the kinds of which there are jobs.
func (db *DB) JobKinds(ctx context.Context) ([]JobKind, error) {
	rows, err := db.queries().CountJobs(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("count jobs: %w", err))
	}
	return mapped(rows, func(r queries.CountJobsRow) JobKind { return JobKind{r.Kind, r.N, timeOf(r.First), r.Attempts} }), nil
}

// QueuedJobs returns up to limit jobs of the kind, of every kind if it is empty, those that
// are due first.
func (db *DB) QueuedJobs(ctx context.Context, kind string, limit int) ([]QueuedJob, error) {
	rows, err := db.queries().AllJobs(ctx, queries.AllJobsParams{Kind: kind, Lim: int32(min(limit, math.MaxInt32))})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list jobs: %w", err))
	}
	return mapped(rows, queuedOf), nil
}

// QueuedJob returns a job. It reports NotFound.
func (db *DB) QueuedJob(ctx context.Context, id telamon.JobID) (QueuedJob, error) {
	row, err := db.queries().JobByID(ctx, id.String())
	if err != nil {
		return QueuedJob{}, db.judge(ctx, found(err, "job_not_found", "job"))
	}
	return queuedOf(row), nil
}

func queuedOf(r queries.Job) QueuedJob {
	q := QueuedJob{
		Job:    Job{ID: telamon.JobID(r.ID), Kind: r.Kind, Key: r.Key, RunAt: timeOf(r.RunAt), Attempts: int(r.Attempts)},
		Holder: r.Holder, LastError: r.LastError, CreatedAt: timeOf(r.CreatedAt),
	}
	if r.LeaseUntil > 0 {
		q.HeldUntil = timeOf(r.LeaseUntil)
	}
	return q
}

// RunJobNow makes a job due that waits for its time, with the audit event. It reports
// NotFound, and Conflict with job_not_waiting if it is due or runs.
func (db *DB) RunJobNow(ctx context.Context, actor telamon.Actor, id telamon.JobID) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.JobByID(ctx, id.String())
		if err != nil {
			return found(err, "job_not_found", "job")
		}
		changed, err := t.Queries.RunJobNow(ctx, queries.RunJobNowParams{ID: id.String(), Now: t.millis()})
		if err != nil {
			return fmt.Errorf("run job %s: %w", id, err)
		}
		if changed != 1 {
			return fault.New(fault.Conflict, "job_not_waiting", "The job does not wait: it is due already, or runs.")
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "job.run", Object: id.String(), Result: "ok",
			Before: map[string]any{"run_at": timeOf(row.RunAt)}, After: map[string]any{"kind": row.Kind, "key": row.Key},
		})
	})
}
