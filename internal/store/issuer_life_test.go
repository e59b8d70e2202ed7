package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// lifeStart is when the first issuing CA of these tests starts.
const lifeStart = "2027-01-11T09:00:00Z"

// plan writes a plan of an issuing CA that starts then, and makes it an issuer.
func (w *world) plan(t *testing.T, activate time.Time) telamon.IssuerID {
	t.Helper()
	p := store.IssuerPlan{
		ID: telamon.NewIssuerID(), Series: w.series, Parent: w.issuer, KeyName: "tls-" + activate.Format("20060102t150405"),
		ActivateAt: activate, Request: []byte(`{}`),
	}
	if err := w.db.PlanIssuer(t.Context(), operator, p); err != nil {
		t.Fatal(err)
	}
	issuers, _, err := w.db.Issuers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := issuers[0]
	i.ID, i.KeyName, i.ActivateAt = p.ID, p.KeyName, activate
	if err := w.db.AddIssuer(t.Context(), operator, &i); err != nil {
		t.Fatal(err)
	}
	return p.ID
}

// line returns how the issuing CAs of the series stand, the one that starts first first:
// status, when it retires and until when it signs, by the minutes since the start.
func (w *world) line(t *testing.T, start time.Time) string {
	t.Helper()
	issuers, _, err := w.db.Issuers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(issuers, func(a, b telamon.Issuer) int { return a.ActivateAt.Compare(b.ActivateAt) })
	minutes := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return at.Sub(start).String()
	}
	var out []string
	for _, i := range issuers {
		out = append(out, string(i.Status)+" "+minutes(i.RetireAt)+" "+minutes(i.SignUntil))
	}
	return strings.Join(out, ", ")
}

func wantFault(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
	}
}

// TestIssuerLife goes through the life of the issuing CAs of a series.
func TestIssuerLife(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		ctx, clock := t.Context(), testkit.NewClock(t, lifeStart)
		w := newWorld(t, dbtest.Open(t, url, clock), clock)
		start := clock.Now()
		want := func(line string) {
			t.Helper()
			if got := w.line(t, start); got != line {
				t.Errorf("the line is %s\nwant        %s", got, line)
			}
		}
		want("active - -")
		later := w.plan(t, start.Add(2*time.Hour))
		want("active 2h0m0s 2h11m0s, planned - -")
		next := w.plan(t, start.Add(time.Hour))
		want("active 1h0m0s 1h11m0s, planned 2h0m0s 2h11m0s, planned - -")

		// What is not there, not in its state, or taken.
		_, err := w.db.RecordSwitches(ctx, operator, telamon.NewSeriesID())
		wantFault(t, err, fault.NotFound, "series_not_found")
		wantFault(t, w.db.RescheduleIssuer(ctx, operator, w.series, next, start.Add(2*time.Hour)), fault.Conflict, "issuer_planned")
		wantFault(t, w.db.RescheduleIssuer(ctx, operator, w.series, next, start.Add(-time.Minute)), fault.Conflict, "issuer_state")
		wantFault(t, w.db.RescheduleIssuer(ctx, operator, w.series, w.issuer, start.Add(3*time.Hour)), fault.Conflict, "issuer_state")
		wantFault(t, w.db.RotateNow(ctx, operator, w.series, w.issuer, false), fault.Conflict, "issuer_state")
		wantFault(t, w.db.RotateNow(ctx, operator, w.series, telamon.NewIssuerID(), false), fault.NotFound, "issuer_not_found")
		wantFault(t, w.db.ExpireIssuer(ctx, operator, next), fault.Conflict, "issuer_state")
		wantFault(t, w.db.DropIssuerPlan(ctx, operator, next), fault.Conflict, "plan_not_found")
		wantFault(t, w.db.PlanIssuer(ctx, operator, store.IssuerPlan{
			ID: telamon.NewIssuerID(), Series: w.series, Parent: w.issuer, KeyName: "x", ActivateAt: start.Add(time.Hour),
		}), fault.Conflict, "issuer_planned")
		want("active 1h0m0s 1h11m0s, planned 2h0m0s 2h11m0s, planned - -")

		// Rescheduled, then switched by the clock and recorded.
		if err := w.db.RescheduleIssuer(ctx, operator, w.series, next, start.Add(90*time.Minute)); err != nil {
			t.Fatal(err)
		}
		want("active 1h30m0s 1h41m0s, planned 2h0m0s 2h11m0s, planned - -")
		clock.Advance(90 * time.Minute)
		wantFault(t, w.db.RescheduleIssuer(ctx, operator, w.series, next, start.Add(3*time.Hour)), fault.Conflict, "issuer_state")
		if n, err := w.db.RecordSwitches(ctx, operator, w.series); n != 1 || err != nil {
			t.Errorf("%d switches were recorded, %v", n, err)
		}
		want("retired 1h30m0s 1h41m0s, active 2h0m0s 2h11m0s, planned - -")
		if n, err := w.db.RecordSwitches(ctx, operator, w.series); n != 0 || err != nil {
			t.Errorf("%d switches were recorded again, %v", n, err)
		}

		// An emergency ends the tokens of the active one, and later those of the first.
		clock.Advance(time.Minute)
		if err := w.db.RotateNow(ctx, operator, w.series, later, true); err != nil {
			t.Fatal(err)
		}
		want("retired 1h30m0s 1h41m0s, retired 1h31m0s -, active - -")
		if err := w.db.RetireIssuer(ctx, operator, w.series, w.issuer, true); err != nil {
			t.Fatal(err)
		}
		want("retired 1h30m0s -, retired 1h31m0s -, active - -")
		wantFault(t, w.db.RetireIssuer(ctx, operator, w.series, w.issuer, true), fault.Conflict, "issuer_state")

		// One that never starts, an active one without a successor, and the end.
		never := w.plan(t, start.Add(5*time.Hour))
		if err := w.db.RetireIssuer(ctx, operator, w.series, never, false); err != nil {
			t.Fatal(err)
		}
		want("retired 1h30m0s -, retired 1h31m0s -, active - -, retired - -")
		if err := w.db.RetireIssuer(ctx, operator, w.series, later, false); err != nil {
			t.Fatal(err)
		}
		want("retired 1h30m0s -, retired 1h31m0s -, retired 1h31m0.001s 1h42m0s, retired - -")
		if err := w.db.ExpireIssuer(ctx, operator, never); err != nil {
			t.Fatal(err)
		}
		want("retired 1h30m0s -, retired 1h31m0s -, retired 1h31m0.001s 1h42m0s, expired - -")
	})
}

// TestIssuerNotice gives a notice once for each instant of a switch.
func TestIssuerNotice(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		ctx, clock := t.Context(), testkit.NewClock(t, lifeStart)
		w := newWorld(t, dbtest.Open(t, url, clock), clock)
		next := w.plan(t, clock.Now().Add(24*time.Hour))
		notice := store.Notice{Issuer: next, ActivateAt: clock.Now().Add(24 * time.Hour), Days: 7}
		mail := []store.Mail{{Recipient: "operator@example.com", Template: "issuer_switch", Params: []byte(`{}`)}}
		if err := w.db.GiveNotice(ctx, operator, notice, mail); err != nil {
			t.Fatal(err)
		}
		wantFault(t, w.db.GiveNotice(ctx, operator, notice, mail), fault.Conflict, "notice_given")
		given, err := w.db.Notices(ctx)
		if err != nil || len(given) != 1 || given[0] != notice {
			t.Errorf("the notices are %v, %v", given, err)
		}
		if jobs, err := w.db.Jobs(ctx, store.JobMailSend, 10); err != nil || len(jobs) != 1 {
			t.Errorf("%d mails wait, %v, want 1", len(jobs), err)
		}
	})
}

// TestCross keeps a cross certificate and chooses the chain.
func TestCross(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		ctx, clock := t.Context(), testkit.NewClock(t, lifeStart)
		w := newWorld(t, dbtest.Open(t, url, clock), clock)
		crosses := func() []telamon.CrossCertificate {
			t.Helper()
			issuers, _, err := w.db.Issuers(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return issuers[0].Crosses
		}
		ca := w.sign(t)
		cross := telamon.CrossCertificate{ID: telamon.NewCrossID(), Certificate: ca, SignerCertificate: ca}
		if err := w.db.AddCross(ctx, operator, w.issuer, "", cross); err != nil {
			t.Fatal(err)
		}
		again := cross
		again.ID = telamon.NewCrossID()
		wantFault(t, w.db.AddCross(ctx, operator, w.issuer, w.issuer, again), fault.Conflict, "cross_known")
		wantFault(t, w.db.UseCross(ctx, operator, w.issuer, telamon.NewCrossID()), fault.NotFound, "cross_not_found")
		for _, use := range []telamon.CrossID{cross.ID, cross.ID, ""} {
			if err := w.db.UseCross(ctx, operator, w.issuer, use); err != nil {
				t.Fatal(err)
			}
			if got := crosses(); len(got) != 1 || got[0].Active != (use != "") || !got[0].Certificate.Equal(ca) {
				t.Errorf("using %q, the cross certificates are %+v", use, got)
			}
		}
	})
}

// TestSchedule changes how a series is rotated, and refuses what the schema forbids.
func TestSchedule(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		ctx, clock := t.Context(), testkit.NewClock(t, lifeStart)
		w := newWorld(t, dbtest.Open(t, url, clock), clock)
		series := func() telamon.Series {
			t.Helper()
			_, all, err := w.db.Issuers(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return all[0]
		}
		s := series()
		if s.Rotation != telamon.RotateQuarterly || s.LeadDays != telamon.DefaultLeadDays || s.LeafDays != 0 {
			t.Errorf("a new series is %+v", s)
		}
		s.Rotation, s.LeadDays, s.LeafDays = telamon.RotateYearly, 100, 90
		if err := w.db.SetSchedule(ctx, operator, s); err != nil || series() != s {
			t.Errorf("changed: %+v, %v", series(), err)
		}
		bad := s
		bad.Rotation = "weekly"
		if err := w.db.SetSchedule(ctx, operator, bad); err == nil || series() != s {
			t.Errorf("a rotation that is none: %v", err)
		}
		bad = s
		bad.ID = telamon.NewSeriesID()
		wantFault(t, w.db.SetSchedule(ctx, operator, bad), fault.NotFound, "series_not_found")
	})
}
