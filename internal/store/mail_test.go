package store_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

func TestMail(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		m := store.Mail{
			ID: telamon.NewMailID(), Account: w.account, Recipient: "ann@example.com", Template: "claim_verified", Params: []byte(`{"days":3}`),
		}
		if err := w.db.PutExtra(t.Context(), store.Extra{Mails: []store.Mail{m}}); err != nil {
			t.Fatal(err)
		}
		jobs := w.jobs(t, store.JobMailSend)
		if len(jobs) != 1 || jobs[0].Key != m.ID.String() || !jobs[0].RunAt.Equal(clock.Now()) {
			t.Errorf("the mail is sent by %+v, want a job that is due now", jobs)
		}
		read := func(want store.Mail) {
			t.Helper()
			got, err := w.db.Mail(t.Context(), m.ID)
			if diff := gocmp.Diff(&want, got); diff != "" || err != nil {
				t.Errorf("the mail: %v (-want +got):\n%s", err, diff)
			}
		}
		m.State, m.CreatedAt = store.MailQueued, clock.Now()
		read(m)
		clock.Advance(time.Minute)
		if err := w.db.EndMail(t.Context(), m.ID, store.MailFailed, "mailbox is unknown"); err != nil {
			t.Fatal(err)
		}
		m.State, m.LastError, m.EndedAt = store.MailFailed, "mailbox is unknown", clock.Now()
		read(m)
		clock.Advance(time.Minute)
		if err := w.db.EndMail(t.Context(), m.ID, store.MailSent, ""); err != nil {
			t.Error(err)
		}
		read(m)
		_, err := w.db.Mail(t.Context(), telamon.NewMailID())
		mustBe(t, err, fault.NotFound, "mail_not_found")
	})
}

// TestPutExtra writes all or none.
func TestPutExtra(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		m := store.Mail{ID: telamon.NewMailID(), Account: w.account, Recipient: "ann@example.com", Template: "claim_verified", Params: []byte(`{}`)}
		unnamed := m
		unnamed.ID = ""
		job := store.Job{Kind: store.JobClaimRemind, Key: "1", RunAt: clock.Now()}
		if err := w.db.PutExtra(t.Context(), store.Extra{Mails: []store.Mail{m, unnamed, unnamed}, Jobs: []store.Job{job}}); err != nil {
			t.Fatal(err)
		}
		if mails, jobs := len(w.jobs(t, store.JobMailSend)), len(w.jobs(t, store.JobClaimRemind)); mails != 3 || jobs != 1 {
			t.Errorf("%d mails and %d jobs, want 3 and 1", mails, jobs)
		}
		job.Key = "2"
		if err := w.db.PutExtra(t.Context(), store.Extra{Mails: []store.Mail{unnamed, m}, Jobs: []store.Job{job}}); err == nil {
			t.Error("a mail was written a second time under one ID")
		}
		if mails, jobs := w.number(t, "SELECT count(*) FROM mail"), len(w.jobs(t, store.JobClaimRemind)); mails != 3 || jobs != 1 {
			t.Errorf("%d mails and %d jobs after one that failed, want 3 and 1", mails, jobs)
		}
	})
}
