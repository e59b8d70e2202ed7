package iam_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

// TestUserCertEnd holds 400 random ends, at random times of the day and with and without
// an end of the user, against the rule: dates in UTC are compared as text.
func TestUserCertEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(2026, 11))
	accepted, refused := 0, 0
	for range 400 {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.Int64N(3*365*24*3600*1000)) * time.Millisecond)
		if r.IntN(4) == 0 { // the edges of a day
			now = now.Truncate(24 * time.Hour).Add([]time.Duration{0, 24*time.Hour - 1, 24*time.Hour - time.Second}[r.IntN(3)])
		}
		at := now.Add(time.Duration(r.Int64N(430*24*3600)-10*24*3600) * time.Second).Truncate(time.Second)
		if r.IntN(3) == 0 { // the edges of the rule
			at = now.Truncate(24*time.Hour).AddDate(0, 0, 396+r.IntN(3)).Add(time.Duration(r.IntN(2)) * (24*time.Hour - time.Second))
		}
		var last time.Time
		if r.IntN(3) == 0 {
			last = at.Add(time.Duration(r.IntN(3)-1) * time.Second)
		}
		zone := time.FixedZone("", (r.IntN(27)-13)*1800)
		text := at.In(zone).Format(time.RFC3339)
		end, problem := iam.UserCertEnd(&text, now, last)
		day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
		good := at.After(now) && day(at) <= day(now.UTC().AddDate(0, 0, 397)) && (last.IsZero() || !at.After(last))
		if good != (problem == "") || good && !end.Equal(at) {
			t.Errorf("at %s, with the user's end %s, %s is %s, %q; want accepted %t", now, last, text, end, problem, good)
		}
		if good {
			accepted++
		} else {
			refused++
		}
	}
	if accepted < 100 || refused < 50 {
		t.Errorf("%d were accepted and %d refused: this proves little", accepted, refused)
	}
}

// TestUserCertDefaultEnd holds the end of certificates that none was asked for.
func TestUserCertDefaultEnd(t *testing.T) {
	at := func(text string) time.Time { return got(time.Parse(time.RFC3339, text))(t) }
	for now, want := range map[string]string{
		"2025-10-20T00:00:00Z": "2026-10-20T23:59:59Z", "2026-11-22T23:59:59Z": "2027-11-22T23:59:59Z", "2027-03-01T12:00:00Z": "2028-02-29T23:59:59Z",
	} {
		if end, problem := iam.UserCertEnd(nil, at(now), time.Time{}); problem != "" || !end.Equal(at(want)) {
			t.Errorf("at %s the default is %s, %q, want %s", now, end, problem, want)
		}
	}
	last := at("2026-12-31T23:59:59Z")
	if end, problem := iam.UserCertEnd(nil, at(now), last); problem != "" || !end.Equal(last) {
		t.Errorf("the default is %s, %q, want the user's end", end, problem)
	}
	if _, problem := iam.UserCertEnd(nil, at(now), at("2026-11-22T00:00:00Z")); problem == "" {
		t.Error("a certificate of a user who has ended is allowed")
	}
}

// TestUserCertEndOfOwner holds whose end bounds a certificate: a service user's own, and
// for a person that of the API token that lives longest, if each has an end.
func TestUserCertEndOfOwner(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		until := func(days int) time.Time { return w.clock.Now().Truncate(time.Second).AddDate(0, 0, days) }
		issue := func(actor telamon.Actor, name string, days int) error {
			end := until(days).Format(time.RFC3339)
			return errorOf(w.IssueUserCert(ctx, actor, iam.UserCertRequest{CSR: named(t, 0, "a"), Name: name, End: &end}))
		}
		robot := w.newUser(t, w.account, telamon.ServiceUser, "robot", until(30))
		must(t, issue(robot, "a", 30))
		mustBe(t, issue(robot, "b", 31), fault.Invalid, "invalid_end")
		capped := got(w.IssueUserCert(ctx, robot, iam.UserCertRequest{CSR: named(t, 0, "a"), Name: "b"}))(t)
		if !capped.NotAfter.Equal(until(30)) {
			t.Errorf("the default is %s, want the user's end %s", capped.NotAfter, until(30))
		}
		token := func(actor telamon.Actor, name string, end time.Time) {
			t.Helper()
			must(t, errorOf3(w.CreateAPIToken(ctx, operator, iam.NewAPIToken{Account: w.account, User: actor.User, Name: name, EndsAt: end})))
		}
		token(robot, "short", until(1)) // which is nothing to a service user
		must(t, issue(robot, "c", 30))

		ada := w.newUser(t, w.account, telamon.StandardUser, "ada", time.Time{})
		must(t, issue(ada, "a", 397))
		mustBe(t, issue(ada, "b", 399), fault.Invalid, "invalid_end")
		token(ada, "ten", until(10))
		token(ada, "twenty", until(20))
		must(t, issue(ada, "b", 20))
		mustBe(t, issue(ada, "c", 21), fault.Invalid, "invalid_end")
		token(ada, "endless", time.Time{})
		must(t, issue(ada, "c", 300))
		bob := w.newUser(t, w.account, telamon.StandardUser, "bob", time.Time{})
		token(bob, "over", until(1))
		w.clock.Advance(48 * time.Hour)
		must(t, issue(bob, "a", 300)) // a token that has ended bounds nothing
	})
}

// TestUserCertNames holds whose names are unique, how they are compared, and that of
// several who want one at once one gets it.
func TestUserCertNames(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		ci, other := w.serviceUser(t, "ci"), w.serviceUser(t, "other")
		issue := func(actor telamon.Actor, name string) error {
			return errorOf(w.IssueUserCert(ctx, actor, iam.UserCertRequest{CSR: named(t, 0, "a"), Name: name}))
		}
		must(t, issue(ci, "Überprüfung a b-c_1"))
		for _, name := range []string{"überprüfung A B-C_1", " Überprüfung a b-c_1 ", "U\u0308berpru\u0308fung a b-c_1"} {
			err := issue(ci, name)
			mustBe(t, err, fault.Conflict, "name_taken")
			if want := " already exists. Enter a different nickname."; !strings.HasSuffix(fault.From(err).Detail, want) {
				t.Errorf("the text is %q", fault.From(err).Detail)
			}
		}
		must(t, issue(other, "Überprüfung a b-c_1"))
		if n := atOnce(t, 4, func(int) error { return issue(ci, "wanted") }); n != 1 {
			t.Errorf("%d got the name, want one", n)
		}
		if list := got(w.UserCerts(ctx, ci, ""))(t); len(list) != 2 {
			t.Errorf("%d certificates are there, want 2", len(list))
		}
	})
}
