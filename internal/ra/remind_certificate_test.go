package ra_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/ra"
)

// TestRequirement88ExpiryMailsScale follows certificates of three validities to their
// end: each is told of at the steps of its validity, the ones of a day in one mail, and
// a revoked one no more.
func TestRequirement88ExpiryMailsScale(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.newUser(t, owner, "manage_certificates")
		w.newUser(t, "domains@acme.example", "manage_domains")
		w.at(t, time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC))
		must(t, w.ra.StartJobs(t.Context()))
		c := w.customer(t, unlimited(`"secondsmax": 7776000`, `"secondsmax": 31536000`), 0)
		issue := func(name string, days int) telamon.Serial {
			t.Helper()
			req := request(newKey(t).csr, name)
			req.Policy.NotBefore = w.clock.Now().Unix()
			req.Policy.NotAfter = w.clock.Now().Add(time.Duration(days)*day - time.Second).Unix()
			serial, err := w.ra.Issue(t.Context(), c.actor(), req)
			must(t, err)
			return serial
		}
		start := w.clock.Now()
		issue("short.example.com", 47)
		issue("long.example.com", 200)
		issue("week.example.com", 7)
		revoked := issue("revoked.example.com", 47)
		must(t, w.ra.Revoke(t.Context(), c.actor(), revoked, ra.Revocation{Reason: telamon.ReasonSuperseded}))
		w.runJobsUntil(t, start.Add(201*day))

		var got []string
		for _, m := range w.outside.Mail.Messages() {
			if !slices.Contains(m.To, owner) {
				t.Errorf("%q is told", m.To)
			}
			got = append(got, m.Subject)
		}
		var want []string
		want = append(want, "week.example.com expires in 1 day")
		for _, days := range []string{"14 days", "7 days", "3 days", "1 day"} {
			want = append(want, "short.example.com expires in "+days)
		}
		for _, days := range []string{"60 days", "30 days", "14 days", "7 days", "1 day"} {
			want = append(want, "long.example.com expires in "+days)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the mails are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestExpiryMailsOfMany has more certificates than a mail shows, in one mail.
func TestExpiryMailsOfMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.newUser(t, owner, "administrator")
		w.at(t, time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC))
		must(t, w.ra.StartJobs(t.Context()))
		must(t, w.ra.StartJobs(t.Context())) // as another replica does
		c := w.customer(t, unlimited(`"secondsmax": 7776000`, `"secondsmax": 31536000`), 0)
		for i := range 60 {
			req := request(newKey(t).csr, fmt.Sprintf("host%d.example.com", i))
			req.Policy.NotBefore = w.clock.Now().Unix()
			req.Policy.NotAfter = w.clock.Now().Add(47*day - time.Second).Unix()
			_, err := w.ra.Issue(t.Context(), c.actor(), req)
			must(t, err)
		}
		w.runJobsUntil(t, w.clock.Now().Add(34*day))
		m := w.mail(t, owner)
		if got := w.subjects(owner); len(got) != 1 || m.Subject != "60 certificates expire, the first in 14 days" ||
			strings.Count(m.Text, "serial number") != 50 || !strings.Contains(m.Text, "And 10 more.") {
			t.Errorf("the mails are %q, and the last says\n%s", got, m.Text)
		}
	})
}
