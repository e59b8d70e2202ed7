package staff_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
)

// one writes a certificate and returns it.
func (c *customer) one(t testing.TB) telamon.BulkSample {
	t.Helper()
	key := "of one " + telamon.NewJobID().String()
	c.have(t, order{n: 1, key: key, from: c.w.clock.Now(), until: c.w.clock.Now()})
	return c.w.plan(t, telamon.RevocationFilter{Key: hashOf(key)}, telamon.ReasonSuperseded).Sample[0]
}

// TestRequirement96RevocationByTheCA follows cases of each length from their report to
// their end: what is overdue shows, the operators are told once, and only what is revoked
// can be closed without saying why.
func TestRequirement96RevocationByTheCA(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.Staff = staff.New(staff.Config{
			Store: w.db, Clock: w.clock, Log: slog.New(slog.DiscardHandler), Rules: rules.Default(), Mailboxes: []string{"ops@example.com"},
		})
		c := w.customer(t, "Acme")
		sample := c.one(t)
		serial, _, err := telamon.ParseSerial(sample.Serial)
		must(t, err)
		reported := w.clock.Now().Add(-time.Hour)
		open := func(category string, serials ...telamon.Serial) *telamon.RevocationCase {
			t.Helper()
			opened, err := w.OpenCase(ctx, ada, staff.Report{Category: category, Summary: "reported", Reporter: "eve@example.net", Serials: serials, ReportedAt: reported})
			must(t, err)
			return opened
		}
		day, five, week := open("unauthorized_request", serial), open("misuse"), open("issuing_ca")
		for _, tt := range []struct {
			c    *telamon.RevocationCase
			want time.Duration
		}{{day, 24 * time.Hour}, {five, 5 * rules.Day}, {week, 7 * rules.Day}} {
			if got := tt.c.DueAt.Sub(reported); got != tt.want {
				t.Errorf("%s is due %s after the report, want %s", tt.c.Category, got, tt.want)
			}
		}
		watch := func(wantOpen, wantOverdue int) {
			t.Helper()
			open, overdue, err := w.WatchCases(ctx)
			must(t, err)
			if open != wantOpen || overdue != wantOverdue {
				t.Errorf("%d are open and %d overdue, want %d and %d", open, overdue, wantOpen, wantOverdue)
			}
		}
		mails := func(want int) []store.Job {
			t.Helper()
			sending, err := w.db.Jobs(ctx, store.JobMailSend, 9)
			must(t, err)
			if len(sending) != want {
				t.Errorf("%d mails wait, want %d", len(sending), want)
			}
			return sending
		}
		w.clock.Advance(23*time.Hour - time.Second)
		watch(3, 0)
		mails(0)
		w.clock.Advance(time.Second)
		watch(3, 1)
		watch(3, 1)
		mails(1)
		_, err = w.CloseCase(ctx, ada, day.ID, "revoked", false)
		mustBe(t, err, fault.Conflict, "case_unrevoked")

		params, err := json.Marshal(map[string]any{"case": day.ID})
		must(t, err)
		mail := &store.Mail{Recipient: "ops@example.com", Template: notify.TemplateCaseOverdue, Params: params}
		if message, err := w.RenderMail(ctx, mail); err != nil || message.Subject != "Certificates must be revoked by now: case "+day.ID.String() {
			t.Errorf("the mail is %q, %v", message.Subject, err)
		}
		siblings, err := w.Revoke(ctx, ada, serial, staff.Revocation{Reason: telamon.ReasonPrivilegeWithdrawn})
		if err != nil || siblings != nil {
			t.Fatalf("the revocation offers %+v, %v", siblings, err)
		}
		_, err = w.Revoke(ctx, ada, serial, staff.Revocation{Reason: telamon.ReasonSuperseded})
		mustBe(t, err, fault.Conflict, fault.CodeAlreadyRevoked)
		closed, err := w.CloseCase(ctx, ada, day.ID, "revoked", false)
		must(t, err)
		if closed.ClosedBy != "operator:ada" || closed.IsOverdue(w.clock.Now()) || closed.ToldAt.IsZero() {
			t.Errorf("the closed case is %+v", closed)
		}
		_, err = w.CloseCase(ctx, ada, day.ID, "again", false)
		mustBe(t, err, fault.Conflict, "case_closed")
		if _, err := w.RenderMail(ctx, mail); !errors.Is(err, notify.ErrMoot) {
			t.Errorf("the mail of a closed case: %v", err)
		}
		watch(2, 0)
		w.clock.Advance(6 * rules.Day)
		watch(2, 2)
		mails(3)
		if all, err := w.Cases(ctx, ada, store.Page{Limit: 9}); err != nil || len(all) != 3 {
			t.Errorf("%d cases are listed, %v", len(all), err)
		}
	})
}

// TestRequirement96Backdated changes an entry to keyCompromise on later evidence, with the
// time of the compromise, and offers the siblings.
func TestRequirement96Backdated(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c, other := w.customer(t, "Acme"), w.customer(t, "Other")
		c.have(t, order{n: 3, key: "shared"})
		other.have(t, order{n: 2, key: "shared"})
		other.have(t, order{n: 2, key: "theirs"})
		serial, _, err := telamon.ParseSerial(w.plan(t, telamon.RevocationFilter{Account: c.account}, telamon.ReasonSuperseded).Sample[0].Serial)
		must(t, err)
		_, err = w.Revoke(ctx, ada, serial, staff.Revocation{Reason: telamon.ReasonSuperseded})
		must(t, err)
		compromised := w.clock.Now().Add(-48 * time.Hour)
		siblings, err := w.Revoke(ctx, ada, serial, staff.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: compromised})
		must(t, err)
		entry, _, err := w.db.CertificateOf(ctx, serial)
		must(t, err)
		if entry.Revocation.Reason != telamon.ReasonKeyCompromise || !entry.Revocation.Date().Equal(compromised) || entry.Revocation.Attested {
			t.Errorf("the entry is %+v", entry.Revocation)
		}
		if block, err := w.db.KeyBlock(ctx, entry.SPKIHash, other.account); err != nil || block == nil || block.Source != telamon.BlockedByStaff {
			t.Errorf("the key is blocked by %+v, %v", block, err)
		}
		if planned := w.work(t, siblings.ID); planned.Matched != 4 || planned.Reason != telamon.ReasonKeyCompromise || !planned.CompromisedAt.Equal(compromised) {
			t.Errorf("the siblings are %+v", planned)
		}
		_, err = w.BeginRevocation(ctx, ada, siblings.ID)
		must(t, err)
		w.clock.Advance(2 * time.Minute)
		if done := w.work(t, siblings.ID); done.Revoked != 4 || c.revoked(t) != 3 || other.revoked(t) != 2 {
			t.Errorf("%d are revoked: %d and %d", done.Revoked, c.revoked(t), other.revoked(t))
		}
		_, err = w.Revoke(ctx, ada, serial, staff.Revocation{Reason: telamon.ReasonKeyCompromise})
		mustBe(t, err, fault.Conflict, fault.CodeAlreadyRevoked)
	})
}

// TestRequirement96StaffAgrees has an account revoke a certificate before staff does, for
// each reason: what staff was told of its key holds for everybody.
func TestRequirement96StaffAgrees(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, c := t.Context(), w.customer(t, "Acme")
		for _, reason := range []telamon.RevocationReason{telamon.ReasonSuperseded, telamon.ReasonKeyCompromise} {
			serial, _, err := telamon.ParseSerial(c.one(t).Serial)
			must(t, err)
			entry, _, err := w.db.CertificateOf(ctx, serial)
			must(t, err)
			var block *telamon.KeyBlock
			if reason == telamon.ReasonKeyCompromise {
				block = &telamon.KeyBlock{SPKIHash: entry.SPKIHash, Account: c.account, Source: telamon.BlockedByAccount, Serial: &serial}
			}
			event := telamon.Event{Actor: ada, Account: c.account, Action: "certificate.revoke", Object: serial.String(), Result: "ok"}
			must(t, w.db.RevokeAndBlock(ctx, c.pair, serial, telamon.Revocation{Reason: reason}, block, event))
			siblings, err := w.Revoke(ctx, ada, serial, staff.Revocation{Reason: telamon.ReasonKeyCompromise})
			if err != nil || siblings == nil {
				t.Fatalf("after %s the answer is %+v, %v", reason, siblings, err)
			}
			if entry, _, err = w.db.CertificateOf(ctx, serial); err != nil || entry.Revocation.Reason != telamon.ReasonKeyCompromise {
				t.Errorf("after %s the entry is %+v, %v", reason, entry.Revocation, err)
			}
			blocked, err := w.db.KeyBlock(ctx, entry.SPKIHash, telamon.NewAccountID())
			if err != nil || blocked == nil || blocked.Source != telamon.BlockedByStaff {
				t.Errorf("after %s the key is blocked by %+v, %v", reason, blocked, err)
			}
		}
	})
}

// TestOpenCaseRefusals opens nothing.
func TestOpenCaseRefusals(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Staff = staff.New(staff.Config{Store: w.db, Clock: w.clock, Rules: rules.Default()})
		good := staff.Report{Category: "misuse", Summary: "x"}
		for name, tt := range map[string]struct {
			change func(*staff.Report)
			kind   fault.Kind
			code   string
		}{
			"an unknown category": {func(r *staff.Report) { r.Category = "boredom" }, fault.Invalid, "invalid_member"},
			"no summary":          {func(r *staff.Report) { r.Summary = "" }, fault.Invalid, "invalid_member"},
			"an unclean summary":  {func(r *staff.Report) { r.Summary = "a\x00b" }, fault.Invalid, "invalid_member"},
			"in the future":       {func(r *staff.Report) { r.ReportedAt = w.clock.Now().Add(time.Hour) }, fault.Invalid, "invalid_member"},
			"long ago":            {func(r *staff.Report) { r.ReportedAt = w.clock.Now().AddDate(-11, 0, 0) }, fault.Invalid, "invalid_member"},
			"too many":            {func(r *staff.Report) { r.Serials = make([]telamon.Serial, 1001) }, fault.Invalid, "invalid_member"},
			"no such certificate": {func(r *staff.Report) { r.Serials = []telamon.Serial{telamon.NewSerial(w.clock.Now())} }, fault.NotFound, "certificate_not_found"},
		} {
			t.Run(name, func(t *testing.T) {
				report := good
				tt.change(&report)
				_, err := w.OpenCase(t.Context(), ada, report)
				mustBe(t, err, tt.kind, tt.code)
			})
		}
		_, err := w.OpenCase(t.Context(), telamon.Actor{Kind: telamon.ActorCredential}, good)
		mustBe(t, err, fault.Denied, "access_denied")
		if all, err := w.Cases(t.Context(), ada, store.Page{Limit: 9}); err != nil || len(all) != 0 {
			t.Errorf("the refusals left %d cases, %v", len(all), err)
		}
	})
}
