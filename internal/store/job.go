package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// The kinds of jobs.
const (
	JobClaimCheck  = "claim.check"  // looks for a claim's token again; the key is the claim
	JobClaimRemind = "claim.remind" // reminds of a claim's deadlines; the key is the claim
	JobMailSend    = "mail.send"    // sends a mail of the outbox; the key is the mail

	// Lets vetted identities expire and tells of those that will; there is one, with the key "".
	JobIdentityEnd = "identity.end"

	// Tells each day of certificates that expire soon; there is one, with the key "".
	JobCertificateRemind = "certificate.remind"
	JobClientCertRemind  = "client_certificate.remind" // likewise, of client certificates
)

// A Job is work that one process does at a time, and another one if that dies.
type Job struct {
	ID       telamon.JobID // set by the store
	Kind     string
	Key      string // unique for the kind: a new job takes the place of the old one
	Args     []byte // JSON
	RunAt    time.Time
	Attempts int // how often it was begun, this time included
}

// PutJob writes a job. It takes the place of one of the same kind and key, also of one
// that runs, which then ends without a trace.
func (db *DB) PutJob(ctx context.Context, j Job) error {
	return db.update(ctx, func(t *txn) error { return t.putJob(ctx, j) })
}

// EnsureJob writes a job unless there is one of its kind and key, which stays as it is.
// It is for work that comes again by itself.
func (db *DB) EnsureJob(ctx context.Context, j Job) error {
	return db.update(ctx, func(t *txn) error {
		return t.Queries.EnsureJob(ctx, queries.EnsureJobParams{
			ID: telamon.NewJobID().String(), Kind: j.Kind, Key: j.Key, RunAt: j.RunAt.UnixMilli(), CreatedAt: t.millis(),
		})
	})
}

func (t *txn) putJob(ctx context.Context, j Job) error {
	args := string(j.Args)
	if args == "" {
		args = "{}"
	}
	err := t.Queries.PutJob(ctx, queries.PutJobParams{
		ID: telamon.NewJobID().String(), Kind: j.Kind, Key: j.Key, Args: args, RunAt: j.RunAt.UnixMilli(), CreatedAt: t.millis(),
	})
	if err != nil {
		return fmt.Errorf("put job %s %s: %w", j.Kind, j.Key, err)
	}
	return nil
}

func (t *txn) dropJob(ctx context.Context, kind, key string) error {
	if err := t.Queries.DropJob(ctx, queries.DropJobParams{Kind: kind, Key: key}); err != nil {
		return fmt.Errorf("drop job %s %s: %w", kind, key, err)
	}
	return nil
}

// addExtra writes the jobs and mails of a change. A mail brings the job that sends it.
func (t *txn) addExtra(ctx context.Context, extra Extra) error {
	for _, m := range extra.Mails {
		if err := t.insertMail(ctx, m); err != nil {
			return err
		}
	}
	for _, j := range extra.Jobs {
		if err := t.putJob(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// TakeJobs makes this process the holder of up to limit jobs of the kind that are due,
// for the time of the lease, and returns them, those that have waited longest first.
func (db *DB) TakeJobs(ctx context.Context, kind string, limit int, lease time.Duration) ([]Job, error) {
	var jobs []Job
	err := db.update(ctx, func(t *txn) error {
		rows, err := t.Queries.TakeJobs(ctx, queries.TakeJobsParams{
			Kind: kind, Holder: db.holder, LeaseUntil: t.now.Add(lease).UnixMilli(), Now: t.millis(), Lim: int32(min(limit, math.MaxInt32)),
		})
		if err != nil {
			return fmt.Errorf("take jobs %s: %w", kind, err)
		}
		jobs = mapped(rows, func(r queries.TakeJobsRow) Job {
			return Job{
				ID: telamon.JobID(r.ID), Kind: r.Kind, Key: r.Key, Args: []byte(r.Args), RunAt: timeOf(r.RunAt), Attempts: int(r.Attempts),
			}
		})
		return nil
	})
	// RETURNING keeps no order.
	slices.SortFunc(jobs, func(a, b Job) int { return cmp.Or(a.RunAt.Compare(b.RunAt), cmp.Compare(a.ID, b.ID)) })
	return jobs, err
}

// errJobLost is the fault of a job that this process no longer holds: another one took
// it over, or a new job took its place.
func errJobLost() error {
	return fault.New(fault.Conflict, "job_lost", "The job is no longer held by this process.")
}

// held makes errJobLost of a change of no rows.
func held(changed int64, err error) error {
	if err == nil && changed != 1 {
		return errJobLost()
	}
	return err
}

// RenewJob holds a job for the time of the lease from now. It reports Conflict with
// job_lost.
func (db *DB) RenewJob(ctx context.Context, id telamon.JobID, lease time.Duration) error {
	return db.update(ctx, func(t *txn) error {
		return held(t.Queries.RenewJob(ctx, queries.RenewJobParams{
			ID: id.String(), Holder: db.holder, LeaseUntil: t.now.Add(lease).UnixMilli(),
		}))
	})
}

// FinishJob deletes a job that is done. It reports Conflict with job_lost.
func (db *DB) FinishJob(ctx context.Context, id telamon.JobID) error {
	return db.update(ctx, func(t *txn) error {
		return held(t.Queries.FinishJob(ctx, queries.FinishJobParams{ID: id.String(), Holder: db.holder}))
	})
}

// RepeatJob gives a job back, to be run at a later time. attempts is how often it was
// begun by then, and why says what failed, "" for a job that comes again by itself. It
// reports Conflict with job_lost.
func (db *DB) RepeatJob(ctx context.Context, id telamon.JobID, at time.Time, attempts int, why string) error {
	return db.update(ctx, func(t *txn) error {
		return held(t.Queries.RepeatJob(ctx, queries.RepeatJobParams{
			ID: id.String(), Holder: db.holder, RunAt: at.UnixMilli(), Attempts: int64(attempts), LastError: why,
		}))
	})
}

// JobsDue is how many jobs of a kind are due, running ones included.
type JobsDue struct {
	Kind   string
	N      int64
	Oldest time.Time // when the oldest was due
}

// JobsDue returns what is due, by kind.
func (db *DB) JobsDue(ctx context.Context) ([]JobsDue, error) {
	rows, err := db.queries().JobsDue(ctx, db.clock.Now().UnixMilli())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read what jobs are due: %w", err))
	}
	return mapped(rows, func(r queries.JobsDueRow) JobsDue { return JobsDue{r.Kind, r.N, timeOf(r.Oldest)} }), nil
}

// JobAt returns when the job of a kind and key is due; zero if there is none.
func (db *DB) JobAt(ctx context.Context, kind, key string) (time.Time, error) {
	at, err := db.queries().JobRunAt(ctx, queries.JobRunAtParams{Kind: kind, Key: key})
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, db.judge(ctx, fmt.Errorf("read the job %s of %s: %w", kind, key, err))
	}
	return timeOf(at), nil
}

// Jobs returns up to limit jobs of the kind, those that are due first.
func (db *DB) Jobs(ctx context.Context, kind string, limit int) ([]Job, error) {
	rows, err := db.queries().JobsOf(ctx, queries.JobsOfParams{Kind: kind, Lim: int32(min(limit, math.MaxInt32))})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read jobs %s: %w", kind, err))
	}
	return mapped(rows, func(r queries.Job) Job {
		return Job{
			ID: telamon.JobID(r.ID), Kind: r.Kind, Key: r.Key, Args: []byte(r.Args), RunAt: timeOf(r.RunAt), Attempts: int(r.Attempts),
		}
	}), nil
}

// PutExtra writes jobs and mails, all or none.
func (db *DB) PutExtra(ctx context.Context, extra Extra) error {
	return db.update(ctx, func(t *txn) error { return t.addExtra(ctx, extra) })
}
