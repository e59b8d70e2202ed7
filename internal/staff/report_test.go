package staff_test

import (
	"encoding/pem"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestRequirement97ProblemReports follows reports of strangers: the operators are told of
// each and again when its answer is overdue, a case keeps the time of the report, nothing is
// revoked, and each is decided once.
func TestRequirement97ProblemReports(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, from := t.Context(), netip.MustParseAddr("198.51.100.7")
		w.Staff = staff.New(staff.Config{
			Store: w.db, Clock: w.clock, Log: slog.New(slog.DiscardHandler), Rules: rules.Default(), Mailboxes: []string{"ops@example.com"},
		})
		c := w.customer(t, "Acme")
		sample := c.one(t)
		filing := func(change func(*staff.Filing)) staff.Filing {
			f := staff.Filing{Reporter: "eve@example.net", Category: "key_compromise", Certificates: sample.Serial, Words: "The key is in a public repository."}
			change(&f)
			return f
		}
		mails := func(want int) {
			t.Helper()
			sending, err := w.db.Jobs(ctx, store.JobMailSend, 99)
			must(t, err)
			if len(sending) != want {
				t.Errorf("%d mails wait, want %d", len(sending), want)
			}
		}

		// What is wrong is told at once, and nothing is written.
		for name, tt := range map[string]struct {
			change func(*staff.Filing)
			field  string
		}{
			"no address":      {func(f *staff.Filing) { f.Reporter = "eve" }, "reporter"},
			"a name with it":  {func(f *staff.Filing) { f.Reporter = "Eve <eve@example.net>" }, "reporter"},
			"no category":     {func(f *staff.Filing) { f.Category = "dislike" }, "category"},
			"too few words":   {func(f *staff.Filing) { f.Words = "bad" }, "words"},
			"too many words":  {func(f *staff.Filing) { f.Words = strings.Repeat("x", 4001) }, "words"},
			"control in them": {func(f *staff.Filing) { f.Words = "a bell rings \a here" }, "words"},
			"no serial":       {func(f *staff.Filing) { f.Certificates = "the one of www.example.com" }, "certificates"},
			"another CA's":    {func(f *staff.Filing) { f.Certificates = strings.Repeat("7f", 20) }, "certificates"},
			"a private key": {func(f *staff.Filing) {
				f.Certificates = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
			}, "certificates"},
		} {
			_, err := w.FileReport(ctx, from, "req_1", filing(tt.change))
			if f := fault.From(err); err == nil || f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Path != tt.field {
				t.Errorf("%s: %v", name, err)
			}
		}
		mails(0)

		file := func(change func(*staff.Filing)) telamon.ProblemReport {
			t.Helper()
			r, err := w.FileReport(ctx, from, "req_1", filing(change))
			must(t, err)
			stored, err := w.ReportOf(ctx, ada, r.ID)
			must(t, err)
			return stored
		}
		first, second := file(func(*staff.Filing) {}), file(func(f *staff.Filing) { f.Certificates = telamon.NewSerial(w.clock.Now()).String() })
		mails(2)
		if first.State != telamon.ReportNew || !first.Known || second.Known || first.Address != from || len(first.Serials) != 1 ||
			first.AnswerBy.Sub(first.ReceivedAt) != 24*time.Hour {
			t.Errorf("the reports are %+v and %+v", first, second)
		}
		open, err := w.OpenReports(ctx, ada)
		must(t, err)
		if len(open) != 2 || c.revoked(t) != 0 {
			t.Errorf("%d reports wait, %d certificates are revoked", len(open), c.revoked(t))
		}

		// The timer of one stops, that of the other runs out.
		must(t, w.AnswerReport(ctx, ada, first.ID))
		mustBe(t, w.AnswerReport(ctx, bob, first.ID), fault.Conflict, "report_answered")
		w.clock.Advance(24 * time.Hour)
		for range 2 {
			_, _, err := w.WatchCases(ctx)
			must(t, err)
		}
		mails(3)
		if second, err = w.ReportOf(ctx, ada, second.ID); err != nil || !second.IsOverdue(w.clock.Now()) || second.ToldAt.IsZero() {
			t.Errorf("the second one is %+v, %v", second, err)
		}

		// A case begins when the report came in, and is made once.
		made, err := w.AcceptReport(ctx, ada, first.ID, staff.Report{Category: "misuse", Summary: "It is so.", Serials: first.Serials})
		must(t, err)
		if !made.ReportedAt.Equal(first.ReceivedAt) || made.DueAt.Sub(first.ReceivedAt) != 5*rules.Day || made.Reporter != "eve@example.net" {
			t.Errorf("the case is %+v", made)
		}
		_, err = w.AcceptReport(ctx, bob, first.ID, staff.Report{Category: "misuse", Summary: "It is so."})
		mustBe(t, err, fault.Conflict, "report_decided")
		if cases, err := w.Cases(ctx, ada, store.Page{Limit: 9}); err != nil || len(cases) != 1 {
			t.Errorf("there are %d cases, %v", len(cases), err)
		}
		mustBe(t, w.DismissReport(ctx, ada, second.ID, ""), fault.Invalid, "invalid_member")
		must(t, w.DismissReport(ctx, ada, second.ID, "not our certificate"))
		mustBe(t, w.DismissReport(ctx, ada, telamon.NewReportID(), "x"), fault.NotFound, "report_not_found")
		all, err := w.Reports(ctx, ada, store.Page{Limit: 9})
		must(t, err)
		if len(all) != 2 || all[0].State != telamon.ReportDismissed || all[0].Reason != "not our certificate" || all[1].Case != made.ID {
			t.Errorf("the reports are %+v", all)
		}

		// Strangers read nothing, and neither do customers.
		for _, actor := range []telamon.Actor{{Kind: telamon.ActorAnonymous}, {Kind: telamon.ActorUser, Account: c.account, User: telamon.NewUserID(), Roles: []string{authz.RoleAdministrator}}} {
			_, err := w.Reports(ctx, actor, store.Page{Limit: 9})
			mustBe(t, err, fault.Denied, "access_denied")
		}
		params := []byte(`{"report":"` + second.ID.String() + `"}`)
		message, err := w.RenderMail(ctx, &store.Mail{Template: notify.TemplateReportFiled, Params: params})
		if err != nil || !strings.Contains(message.Text, "eve@example.net") || strings.Contains(message.Subject, "eve") {
			t.Errorf("the mail is %+v, %v", message, err)
		}
	})
}

func FuzzParseCertificates(f *testing.F) {
	f.Add("01:00:aa, 0x0100000000000000000000000000000f\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		serials, err := staff.ParseCertificates(text)
		if err != nil && serials != nil {
			t.Fatalf("ParseCertificates(%q) = %v with an error", text, serials)
		}
		var again []string
		for _, s := range serials {
			again = append(again, s.String())
		}
		twice, err := staff.ParseCertificates(strings.Join(again, "\n"))
		if err != nil || len(twice) != len(serials) {
			t.Errorf("ParseCertificates(%q) = %v, which is read as %v, %v", text, serials, twice, err)
		}
	})
}
