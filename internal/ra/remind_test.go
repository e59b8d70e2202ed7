package ra_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

const day = 24 * time.Hour

// owner is who is told of the account's domains.
const owner = "owner@acme.example"

// TestReminders goes through the life of a claim and the mails that tell of it: a token
// is issued, expires, is found, and the verification expires; and then of the next one.
// Requirement 73.
func TestReminders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.newUser(t, owner, "administrator")
		w.newUser(t, "finance@acme.example", "finance")
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "example.com")
		var told []string
		expect := func(at time.Time, subjects ...string) {
			t.Helper()
			w.runJobsUntil(t, at.Add(-time.Second))
			if got := w.subjects(owner); !slices.Equal(got, told) {
				t.Fatalf("before %s the mails are %q, want %q", at, got, told)
			}
			w.runJobsUntil(t, at)
			told = append(told, subjects...)
			if got := w.subjects(owner); !slices.Equal(got, told) {
				t.Fatalf("at %s the mails are %q, want %q", at, got, told)
			}
		}
		w.runJobs(t)
		told = append(told, "Show control of example.com")
		if text := w.mail(t, owner).Text; !strings.Contains(text, w.ra.TokenValue(claim)) || !strings.Contains(text, "30 days") {
			t.Errorf("the mail has not the token or its time:\n%s", text)
		}
		expect(claim.AssertBy.Add(-7*day), "The token for example.com ends in 7 days")
		expect(claim.AssertBy.Add(-day), "The token for example.com ends in 1 day")
		w.runJobsUntil(t, claim.AssertBy.Add(day))

		claim = c.verify(t, "example.com") // submits again, which is another token
		w.runJobs(t)
		told = append(told, "Show control of example.com", "Control of example.com is shown")
		slices.Sort(told[3:]) // both came at the same time
		got := w.subjects(owner)
		slices.Sort(got[3:])
		if !slices.Equal(got, told) {
			t.Fatalf("the mails are %q, want %q", got, told)
		}
		w.outside.Mail.Clear()
		told = nil
		for _, m := range w.outside.Mail.Messages() {
			t.Fatalf("there is still a mail: %s", m.Subject)
		}
		for _, days := range []int{30, 14, 7, 1} {
			subject := map[int]string{
				30: "Control of example.com must be shown again within 30 days", 14: "Control of example.com must be shown again within 14 days",
				7: "Control of example.com must be shown again within 7 days", 1: "Control of example.com must be shown again within 1 day",
			}[days]
			expect(claim.ExpiresAt.Add(-time.Duration(days)*day), subject)
		}
		// The claim expires, of which no mail tells: one came the day before.
		w.runJobsUntil(t, claim.ExpiresAt.Add(-time.Second))
		stored, err := w.db.AnyClaim(t.Context(), claim.ID)
		must(t, err)
		if stored.Status != telamon.ClaimVerified {
			t.Error("the claim expires too early")
		}
		w.runJobsUntil(t, claim.ExpiresAt)
		if stored, err = w.db.AnyClaim(t.Context(), claim.ID); err != nil || stored.Status != telamon.ClaimPending {
			t.Errorf("the claim that has expired is %+v, %v", stored, err)
		}
		w.mustExpire(t, claim.ID)
		if got := w.subjects(owner); !slices.Equal(got, told) {
			t.Errorf("the mails are %q, want %q", got, told)
		}
		if got := w.subjects("finance@acme.example"); len(got) != 0 {
			t.Errorf("somebody who has nothing to do with domains is told %q", got)
		}
		if jobs, err := w.db.Jobs(t.Context(), store.JobClaimRemind, 9); err != nil || len(jobs) != 0 {
			t.Errorf("there are still the reminders %+v, %v", jobs, err)
		}
	})
}

// mustExpire checks that the audit log tells once of the claim's end.
func (w *world) mustExpire(t testing.TB, id telamon.ClaimID) {
	t.Helper()
	var events []*audit.Payload
	filter := store.AuditFilter{}
	for more := true; more; more = filter.After != "" {
		page, err := w.db.AuditEvents(t.Context(), filter)
		must(t, err)
		for _, event := range page.Events {
			if event.Action == "claim.expire" && event.Object == id.String() {
				events = append(events, event)
			}
		}
		filter.After = page.Next
	}
	if len(events) != 1 || events[0].Kind != telamon.ActorSystem {
		t.Errorf("the audit log tells of the end of the claim %d times", len(events))
	}
}

// TestRemindersOfRenewal has a claim that is renewed before it expires: the reminders of
// its old end go, those of the new one come, and both run side by side while the claim
// is verified and waits for its next token.
func TestRemindersOfRenewal(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.newUser(t, owner, "manage_domains")
		c := w.customer(t, validated(), 0)
		w.at(t, date(t, "2027-04-01T00:00:00Z"))
		claim := c.verify(t, "example.com")
		w.at(t, claim.ExpiresAt.Add(-20*day))
		w.runJobs(t)
		w.outside.Mail.Clear()
		renewed := c.reassert(t, claim.ID)
		w.runJobsUntil(t, claim.ExpiresAt.Add(-14*day))
		if got, want := w.subjects(owner), []string{"Show control of example.com", "Control of example.com must be shown again within 14 days"}; !slices.Equal(got, want) {
			t.Errorf("the mails are %q, want %q", got, want)
		}
		c.publish(t, renewed, "example.com")
		if !c.checkDNS(t, claim.ID, "") {
			t.Fatal("the record does not verify")
		}
		w.runJobs(t)
		w.outside.Mail.Clear()
		after := c.look(t, claim.ID)
		w.runJobsUntil(t, after.ExpiresAt.Add(-30*day-time.Second))
		if got := w.subjects(owner); len(got) != 0 {
			t.Errorf("of the old end and the used token people are told %q", got)
		}
		c.mustIssue(t, "example.com") // beyond the old end
		w.runJobsUntil(t, after.ExpiresAt.Add(-30*day))
		if got := w.subjects(owner); !slices.Equal(got, []string{"Control of example.com must be shown again within 30 days"}) {
			t.Errorf("the mails are %q", got)
		}
	})
}

// TestLateReminders has a platform that was off for a while: it says the latest of what
// it missed, and nothing of what is over.
func TestLateReminders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.newUser(t, owner, "administrator")
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "example.com")
		w.runJobs(t)
		w.outside.Mail.Clear()
		w.at(t, claim.AssertBy.Add(-time.Hour))
		w.runJobs(t)
		if got := w.subjects(owner); !slices.Equal(got, []string{"The token for example.com ends in 1 day"}) {
			t.Errorf("an hour before the end the mails are %q", got)
		}
		claim = c.verify(t, "example.com")
		w.runJobs(t)
		w.outside.Mail.Clear()
		w.at(t, claim.ExpiresAt.Add(-3*day))
		w.runJobs(t)
		if got := w.subjects(owner); !slices.Equal(got, []string{"Control of example.com must be shown again within 3 days"}) {
			t.Errorf("three days before the end the mails are %q", got)
		}
		w.outside.Mail.Clear()
		w.at(t, claim.ExpiresAt.Add(3*day))
		w.runJobs(t)
		if got := w.subjects(owner); len(got) != 0 {
			t.Errorf("three days after the end the mails are %q", got)
		}
		w.mustExpire(t, claim.ID)
		other := c.claim(t, "example.org")
		w.runJobs(t)
		w.outside.Mail.Clear()
		w.at(t, other.AssertBy)
		w.runJobs(t)
		if got := w.subjects(owner); len(got) != 0 {
			t.Errorf("of a token that has ended people are told %q", got)
		}
	})
}

// TestShortReminders has a verification that is good for ten days: it has the reminders
// that fit.
func TestShortReminders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.newUser(t, owner, "administrator")
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "example.com")
		w.record(t, "_validation-persist.example.com", "TXT", issuerDomain+"; accounturi=acct:"+w.account.String()+"@"+issuerDomain)
		if !c.checkDNS(t, claim.ID, "_validation-persist.example.com") {
			t.Fatalf("the standing record does not verify: %+v", c.lastLine(t, claim.ID))
		}
		w.runJobs(t)
		w.outside.Mail.Clear()
		w.runJobsUntil(t, w.clock.Now().Add(20*day))
		want := []string{"Control of example.com must be shown again within 7 days", "Control of example.com must be shown again within 1 day"}
		if got := w.subjects(owner); !slices.Equal(got, want) {
			t.Errorf("the mails are %q, want %q", got, want)
		}
		w.mustExpire(t, claim.ID)
	})
}

// TestReminderInGerman tells each person of a claim in their own language.
func TestReminderInGerman(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const reader = "leserin@acme.example"
		w.newUser(t, owner, "administrator")
		must(t, w.db.CreateUser(t.Context(), operator, &telamon.User{
			ID: telamon.NewUserID(), Account: w.account, Email: reader, Name: "Ada", Locale: "de_DE",
			Roles: []string{"manage_domains"},
		}))
		claim := w.customer(t, validated(), 0).claim(t, "example.com")
		w.runJobs(t)
		if got := w.subjects(owner); !slices.Equal(got, []string{"Show control of example.com"}) {
			t.Errorf("who reads English is told %q", got)
		}
		if got := w.subjects(reader); !slices.Equal(got, []string{"Zeigen Sie die Kontrolle über example.com"}) {
			t.Errorf("who reads German is told %q", got)
		}
		if text := w.mail(t, reader).Text; !strings.Contains(text, w.ra.TokenValue(claim)) || !strings.Contains(text, "noch 30 Tage") {
			t.Errorf("the mail has not the token or its time:\n%s", text)
		}
	})
}

// TestMailOfDeletedClaim deletes a claim before its mails are sent.
func TestMailOfDeletedClaim(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.newUser(t, owner, "administrator")
		c := w.customer(t, validated(), 0)
		claim := c.verify(t, "example.com")
		must(t, w.ra.DeleteClaim(t.Context(), c.actor(), telamon.ClaimDomain, claim.ID))
		w.runJobsUntil(t, w.clock.Now().Add(365*day))
		if got := w.subjects(owner); len(got) != 0 {
			t.Errorf("of a deleted claim people are told %q", got)
		}
		if claims, total, err := w.ra.Claims(t.Context(), c.actor(), ra.ClaimListing{Kind: telamon.ClaimDomain, Page: 1, PerPage: 9}); len(claims) != 0 || total != 0 || err != nil {
			t.Errorf("there are %d of %d claims, %v", len(claims), total, err)
		}
	})
}
