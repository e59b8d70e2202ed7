package vetting_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/vetting"
)

const day = 24 * time.Hour

// TestVetting takes a case from the queue to an active identity, by two agents, and what
// is tried on the way that must fail (requirements 27 to 29).
func TestVetting(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		queue, next, err := w.Queue(ctx, w.vic, telamon.VettingQueued, false, 0)
		must(t, err)
		if len(queue) != 1 || next != 0 || queue[0].ID != w.first || queue[0].AccountName != "Acme" || queue[0].Reference() != "VET-2026-000001" {
			t.Errorf("the queue is %+v, %d", queue, next)
		}
		mine, _, err := w.Queue(ctx, w.vic, telamon.VettingQueued, true, 0)
		must(t, err)
		if len(mine) != 0 {
			t.Errorf("of the agent's own there are %+v before they did anything", mine)
		}

		// A checklist that is not complete, or rests on the applicant's word alone.
		mustBe(t, w.Process(ctx, w.vic, w.first, "all found"), fault.Invalid, "checks_missing")
		file := w.keep(t, w.vic, w.first)
		for _, kind := range []telamon.CheckKind{telamon.CheckExistence, telamon.CheckAddress} {
			must(t, w.Record(ctx, w.vic, w.first, vetting.NewCheck{Kind: kind, Source: "a letterhead", Evidence: file}))
		}
		supplied := call()
		supplied.Independent, supplied.Source = false, "the request"
		must(t, w.Record(ctx, w.vic, w.first, supplied))
		err = w.Process(ctx, w.vic, w.first, "all found")
		mustBe(t, err, fault.Invalid, "checks_missing")
		if f := fault.From(err); len(f.Fields) != 3 {
			t.Errorf("with data of the applicant alone there is missing %v, want all three", f.Fields)
		}
		mustBe(t, w.Approve(ctx, w.wes, w.first, "fine"), fault.Conflict, "changed_meanwhile")

		w.complete(t, w.vic, w.first)
		c := got(w.Case(ctx, w.vic, w.first))(t)
		last := c.Checks[len(c.Checks)-1]
		must(t, w.Strike(ctx, w.vic, w.first, last.ID))
		mustBe(t, w.Strike(ctx, w.vic, w.first, last.ID), fault.Conflict, "check_struck")
		mustBe(t, w.Process(ctx, w.vic, w.first, "all found"), fault.Invalid, "checks_missing")
		must(t, w.Record(ctx, w.vic, w.first, call()))
		mustBe(t, w.Process(ctx, w.vic, w.first, ""), fault.Invalid, "invalid_decision")
		must(t, w.Process(ctx, w.vic, w.first, "all found"))
		w.mustBeIn(t, w.first, telamon.IdentityProcessed, telamon.VettingProcessed)

		mustBe(t, w.Approve(ctx, w.vic, w.first, "I say so myself"), fault.Denied, "same_agent")
		mustBe(t, w.Approve(ctx, w.wes, w.first, ""), fault.Invalid, "invalid_decision")
		must(t, w.Approve(ctx, w.wes, w.first, "seen"))
		w.mustBeIn(t, w.first, telamon.IdentityActive, telamon.VettingApproved)
		c = got(w.Case(ctx, w.vic, w.first))(t)
		if want := w.clock.Now().Add(398 * day).Truncate(time.Millisecond); !c.Identity.ExpiresAt.Equal(want) {
			t.Errorf("it expires at %s, want %s", c.Identity.ExpiresAt, want)
		}
		if c.ProcessedBy != w.vic.Subject() || c.EndedBy != w.wes.Subject() || c.Reason != "seen" {
			t.Errorf("the case is %+v", c.VettingCase)
		}
		mustBe(t, w.Record(ctx, w.vic, w.first, call()), fault.Conflict, "case_decided")
		mustBe(t, errorOf(w.Keep(ctx, w.vic, w.first, "late.pdf", pdf)), fault.Conflict, "case_decided")
		mustBe(t, w.Reject(ctx, w.vic, w.first, "late"), fault.Conflict, "case_decided")

		want := []string{
			"[VET-2026-000001] \"Acme K.K.\" waits for vetting", "[VET-2026-000001] \"Acme K.K.\" is checked, and waits for approval",
			"[VET-2026-000001] \"Acme K.K.\" is active",
		}
		mails := w.mails(t, "bob@example.com")
		if got := subjects(mails); !slices.Equal(got, want) {
			t.Errorf("the mails are %q, want %q", got, want)
		}
		if m := mails[0]; m.Headers["Reply-To"] != "vetting@example.com" || !strings.Contains(m.Text, portal+"/identities/"+w.identity.String()) {
			t.Errorf("the mail is %+v", m)
		}
		if got := w.mails(t, "ada@example.com"); len(got) != 3 || !strings.Contains(got[2].Subject, "ist aktiv") {
			t.Errorf("the mails in German are %q", subjects(got))
		}
		if got := w.mails(t, "eve@example.com"); len(got) != 0 {
			t.Errorf("who does not care is told %q", subjects(got))
		}
		for _, action := range []string{"identity.submit", "vetting.keep", "vetting.record", "vetting.strike", "identity.process", "identity.activate"} {
			page := got(w.db.AuditEvents(ctx, store.AuditFilter{Action: action, Object: w.identity.String()}))(t)
			if len(page.Events) == 0 {
				t.Errorf("the audit log has no %s", action)
			}
		}
		for _, e := range got(w.db.AuditEvents(ctx, store.AuditFilter{Account: w.account}))(t).Events { // sources and reasons are the CA's own
			if strings.HasPrefix(e.Action, "vetting.") || strings.Contains(string(e.After), "reason") {
				t.Errorf("the account reads %s %s", e.Action, e.After)
			}
		}
	})
}

// TestOwnAccount holds that no agent vets their own account, and that nobody else than
// agents sees a case.
func TestOwnAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		_, own := w.request(t, w.staff)
		mustBe(t, errorOf(w.Keep(ctx, w.vic, own, "a.pdf", pdf)), fault.Denied, "own_account")
		mustBe(t, w.Record(ctx, w.vic, own, call()), fault.Denied, "own_account")
		mustBe(t, w.Process(ctx, w.vic, own, "me"), fault.Denied, "own_account")
		mustBe(t, w.Approve(ctx, w.vic, own, "me"), fault.Denied, "own_account")
		mustBe(t, w.Reject(ctx, w.vic, own, "me"), fault.Denied, "own_account")
		if c := got(w.Case(ctx, w.vic, own))(t); c.Barred != "own_account" {
			t.Errorf("the agent is barred by %q", c.Barred)
		}
		file := w.keep(t, w.vic, w.first)
		for name, err := range map[string]error{
			"queue":    func() error { _, _, err := w.Queue(ctx, w.requester, telamon.VettingQueued, false, 0); return err }(),
			"counts":   errorOf(w.Counts(ctx, w.requester)),
			"case":     errorOf(w.Case(ctx, w.requester, w.first)),
			"evidence": func() error { _, _, err := w.Evidence(ctx, w.requester, w.first, file); return err }(),
			"record":   w.Record(ctx, w.requester, w.first, call()),
			"strike":   w.Strike(ctx, w.requester, w.first, telamon.NewVettingCheckID()),
			"process":  w.Process(ctx, w.requester, w.first, "mine"),
			"reject":   w.Reject(ctx, w.requester, w.first, "mine"),
		} {
			if !fault.Is(err, fault.Denied) {
				t.Errorf("the %s for the customer: %v, want denied", name, err)
			}
		}
		mustBe(t, w.Process(ctx, w.vic, telamon.NewVettingCaseID(), "none"), fault.NotFound, "case_not_found")
		mustBe(t, w.Strike(ctx, w.vic, w.first, telamon.NewVettingCheckID()), fault.NotFound, "check_not_found")
		_, _, err := w.Evidence(ctx, w.vic, own, file) // of another case
		mustBe(t, err, fault.NotFound, "evidence_not_found")
	})
}

func TestReject(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		mustBe(t, w.Reject(ctx, w.vic, w.first, " "), fault.Invalid, "invalid_decision")
		must(t, w.Reject(ctx, w.vic, w.first, "The register does not know it."))
		w.mustBeIn(t, w.first, telamon.IdentityRejected, telamon.VettingRejected)
		mails := w.mails(t, "bob@example.com")
		last := mails[len(mails)-1]
		if last.Subject != "[VET-2026-000001] \"Acme K.K.\" could not be verified" || !strings.Contains(last.Text, "The register does not know it.") {
			t.Errorf("the mail is %+v", last)
		}
	})
}

// TestChecks holds what an agent has to say of each check.
func TestChecks(t *testing.T) {
	w := newWorld(t, sqlite(t))
	file := w.keep(t, w.vic, w.first)
	for _, tt := range []struct {
		name, path string
		check      vetting.NewCheck
	}{
		{"no kind", "kind", vetting.NewCheck{Source: "x", Evidence: file}},
		{"no source", "source", vetting.NewCheck{Kind: telamon.CheckAddress, Evidence: file}},
		{"no evidence", "evidence", vetting.NewCheck{Kind: telamon.CheckAddress, Source: "x"}},
		{"a method of no contact", "method", vetting.NewCheck{Kind: telamon.CheckAddress, Source: "x", Evidence: file, Method: telamon.ContactLetter}},
		{"an unknown method", "method", vetting.NewCheck{Kind: telamon.CheckContact, Source: "x", Method: "pigeon", Contact: "x", Note: "x"}},
		{"no contact data", "contact", vetting.NewCheck{Kind: telamon.CheckContact, Source: "x", Method: telamon.ContactLetter, Note: "x"}},
		{"neither note nor evidence", "note", vetting.NewCheck{Kind: telamon.CheckContact, Source: "x", Method: telamon.ContactLetter, Contact: "x"}},
		{"a note with a bell", "note", vetting.NewCheck{Kind: telamon.CheckContact, Source: "x", Method: telamon.ContactLetter, Contact: "x", Note: "\a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := w.Record(t.Context(), w.vic, w.first, tt.check)
			mustBe(t, err, fault.Invalid, "invalid_check")
			if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != tt.path {
				t.Errorf("the fields are %v, want %s alone", f.Fields, tt.path)
			}
		})
	}
	other := telamon.NewEvidenceID()
	mustBe(t, w.Record(t.Context(), w.vic, w.first, vetting.NewCheck{Kind: telamon.CheckAddress, Source: "x", Evidence: other}), fault.NotFound, "evidence_not_found")
}

func TestEvidence(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for name, content := range map[string][]byte{
			"program.pdf": []byte("MZ\x90\x00"), "page.txt": []byte("<html><script>alert(1)</script>"), "page.pdf": []byte("just text"),
			"a.exe": pdf, "noend": pdf, "bad.txt": []byte("a\xffb"), "drawing.svg": []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`),
		} {
			mustBe(t, errorOf(w.Keep(ctx, w.vic, w.first, name, content)), fault.Invalid, "evidence_type")
		}
		mustBe(t, errorOf(w.Keep(ctx, w.vic, w.first, "a.pdf", nil)), fault.Invalid, "evidence_size")
		large := append(slices.Clone(pdf), make([]byte, vetting.MaxEvidence)...)
		mustBe(t, errorOf(w.Keep(ctx, w.vic, w.first, "a.pdf", large)), fault.Invalid, "evidence_size")
		e := got(w.Keep(ctx, w.vic, w.first, `C:\Users\vic\"register".PDF`, large[:vetting.MaxEvidence]))(t)
		if e.Name != `_register_.PDF` || e.MediaType != "application/pdf" || e.AgentName != "The vic@ca.example" {
			t.Errorf("what was kept is %+v", e)
		}
		read, content, err := w.Evidence(ctx, w.vic, w.first, e.ID)
		must(t, err)
		if !bytes.Equal(content, large[:vetting.MaxEvidence]) || read.SHA256 != e.SHA256 || read.Name != e.Name || read.MediaType != e.MediaType {
			t.Errorf("what is read is %+v", read)
		}
		text := got(w.Keep(ctx, w.vic, w.first, "call.txt", []byte("Ms Sato said yes.\r\nだいじょうぶ\n")))(t)
		if text.MediaType != "text/plain" {
			t.Errorf("a text is %s", text.MediaType)
		}
	})
}

// TestIdentityEnd moves the clock over the life of a vetting (requirements 30 and 31).
func TestIdentityEnd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.complete(t, w.vic, w.first)
		must(t, w.Process(ctx, w.vic, w.first, "found"))
		must(t, w.Approve(ctx, w.wes, w.first, "seen"))
		w.mails(t, "bob@example.com")
		must(t, w.StartJobs(ctx))
		run := func() []string {
			t.Helper()
			next := got(w.Handlers()[store.JobIdentityEnd].Run(ctx, store.Job{}))(t)
			if next.Sub(w.clock.Now()) != time.Hour {
				t.Errorf("the job comes again at %s", next)
			}
			return subjects(w.mails(t, "bob@example.com"))
		}
		told := func(days string) []string { return []string{"\"Acme K.K.\" must be vetted again within " + days} }
		left := 398
		for _, step := range []struct {
			left int
			want []string
		}{
			{61, nil}, {60, told("60 days")}, {59, nil}, {29, told("29 days")}, {14, told("14 days")}, {8, nil}, {7, told("7 days")}, {1, nil},
		} {
			w.clock.Advance(time.Duration(left-step.left) * day)
			left = step.left
			if got := run(); !slices.Equal(got, step.want) {
				t.Errorf("%d days before, told is %q, want %q", left, got, step.want)
			}
			if got := run(); len(got) != 0 {
				t.Errorf("%d days before, told again is %q", left, got)
			}
		}
		w.clock.Advance(day)
		if got := run(); !slices.Equal(got, []string{"\"Acme K.K.\" has expired"}) {
			t.Errorf("at the end, told is %q", got)
		}
		w.mustBeIn(t, w.first, telamon.IdentityExpired, telamon.VettingApproved)

		// Vetted again, it is active as it was.
		c, err := w.db.OpenVettingAgain(ctx, w.requester, w.account, w.identity)
		must(t, err)
		mustBe(t, errorOf(w.db.OpenVettingAgain(ctx, w.requester, w.account, w.identity)), fault.Conflict, "case_open")
		w.complete(t, w.wes, c.ID)
		must(t, w.Process(ctx, w.wes, c.ID, "found again"))
		w.mustBeIn(t, c.ID, telamon.IdentityExpired, telamon.VettingProcessed)
		mustBe(t, w.Approve(ctx, w.wes, c.ID, "me again"), fault.Denied, "same_agent")
		must(t, w.Approve(ctx, w.vic, c.ID, "seen again"))
		w.mustBeIn(t, c.ID, telamon.IdentityActive, telamon.VettingApproved)
		again := got(w.Case(ctx, w.vic, c.ID))(t)
		if !again.Identity.ExpiresAt.After(w.clock.Now().Add(397*day)) || !again.Again {
			t.Errorf("vetted again it is %+v", again.Identity)
		}
		if got := run(); len(got) != 3 || got[2] != "[VET-2028-000002] \"Acme K.K.\" is active" {
			t.Errorf("of the second vetting, told is %q", got)
		}
		w.clock.Advance(338 * day)
		if got := run(); !slices.Equal(got, told("60 days")) {
			t.Errorf("60 days before the second end, told is %q", got)
		}

		// While it is active, a vetting that is rejected ends nothing, and one that is
		// approved moves its end.
		c, err = w.db.OpenVettingAgain(ctx, w.requester, w.account, w.identity)
		must(t, err)
		must(t, w.Reject(ctx, w.vic, c.ID, "nobody answers"))
		w.mustBeIn(t, c.ID, telamon.IdentityActive, telamon.VettingRejected)
		c, err = w.db.OpenVettingAgain(ctx, w.requester, w.account, w.identity)
		must(t, err)
		w.complete(t, w.vic, c.ID)
		must(t, w.Process(ctx, w.vic, c.ID, "found"))
		before := got(w.Case(ctx, w.vic, c.ID))(t).Identity.ExpiresAt
		must(t, w.Approve(ctx, w.wes, c.ID, "seen"))
		if after := got(w.Case(ctx, w.vic, c.ID))(t).Identity.ExpiresAt; !after.After(before) {
			t.Errorf("its end moved from %s to %s", before, after)
		}
	})
}

// TestWithdrawn holds that the case of an identity that is withdrawn is closed.
func TestWithdrawn(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx := t.Context()
	w.complete(t, w.vic, w.first)
	must(t, w.Process(ctx, w.vic, w.first, "found"))
	must(t, w.Approve(ctx, w.wes, w.first, "seen"))
	c := got(w.db.OpenVettingAgain(ctx, w.requester, w.account, w.identity))(t)
	must(t, w.db.MoveIdentity(ctx, w.requester, w.account, w.identity, store.IdentityMove{
		From: telamon.IdentityActive, To: telamon.IdentityWithdrawn, Action: string(authz.IdentityWithdraw),
	}))
	w.mustBeIn(t, c.ID, telamon.IdentityWithdrawn, telamon.VettingClosed)
	mustBe(t, w.Process(ctx, w.vic, c.ID, "late"), fault.Conflict, "changed_meanwhile")
	counts := got(w.Counts(ctx, w.vic))(t)
	if counts[telamon.VettingClosed] != 1 || counts[telamon.VettingApproved] != 1 || counts[telamon.VettingQueued] != 0 {
		t.Errorf("the counts are %v", counts)
	}
}
