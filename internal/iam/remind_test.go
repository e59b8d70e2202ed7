package iam_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// reminders runs the daily job until a day and returns what it said that day, a line for
// each mail: recipient, and what it names with the days that are left.
func (w *world) reminders(t *testing.T, due time.Time) (lines []string, again time.Time) {
	t.Helper()
	w.clock.Advance(due.Sub(w.clock.Now()))
	run := w.Handlers()[store.JobClientCertRemind].Run
	again = got(run(t.Context(), store.Job{Kind: store.JobClientCertRemind, RunAt: due}))(t)
	for _, m := range w.mails(t) {
		var p iam.ExpiringParams
		must(t, json.Unmarshal(m.Params, &p))
		line := m.Recipient
		for _, c := range p.Certificates {
			line += fmt.Sprintf(" %s%s/%d", c.Name, c.Credentials, c.Days)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines, again
}

// mails returns the mails that were written since the last call, and takes them away.
func (w *world) mails(t *testing.T) []*store.Mail {
	t.Helper()
	var all []*store.Mail
	for _, due := range got(w.db.TakeJobs(t.Context(), store.JobMailSend, 100, time.Minute))(t) {
		all = append(all, got(w.db.Mail(t.Context(), telamon.MailID(due.Key)))(t))
		must(t, w.db.FinishJob(t.Context(), due.ID))
	}
	return all
}

// TestReminders holds who is told of which client certificates, and on which days.
func TestReminders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		person := func(name string, roles ...string) telamon.Actor {
			u := &telamon.User{
				ID: telamon.NewUserID(), Account: w.account, Kind: telamon.StandardUser, Name: name, Email: name + "@example.com", Roles: roles, Locale: "de_DE",
			}
			must(t, w.db.CreateUser(ctx, operator, u))
			must(t, w.dir.Poll(ctx))
			return actorOf(u)
		}
		person("boss", "administrator")
		person("keeper", "manage_credentials")
		ada := person("ada", "read_only")
		gone := person("gone", "administrator")
		must(t, w.DisableUser(ctx, operator, w.account, gone.User))
		robot, idle := w.newActor(t, "Robot"), w.newActor(t, "Idle")
		end := "2027-06-30" // 220 days from now
		issue := func(actor telamon.Actor, name, end string) *iam.IssuedUserCert {
			return got(w.IssueUserCert(ctx, actor, iam.UserCertRequest{CSR: curveRequest(t), Name: name, End: &end}))(t)
		}
		issue(ada, "laptop", end)
		issue(robot, "build", end)
		issue(robot, "brief", "2026-12-02") // lives for ten days: one day before is early enough
		issue(idle, "unused", end)
		off := issue(robot, "off", end)
		must(t, errorOf(w.DisableUserCert(ctx, robot, off.ID)))
		must(t, w.DisableUser(ctx, operator, w.account, idle.User))
		login := w.newLogin(t, "metering", good(0))
		must(t, w.StartJobs(ctx))

		at := func(date string) time.Time { return got(time.Parse(time.RFC3339, date+"T05:00:00Z"))(t) }
		for _, tt := range []struct {
			day  string
			want []string
		}{
			{"2026-11-25", nil},
			{"2026-12-02", []string{"boss@example.com brief/1"}},
			{"2027-03-31", nil},
			{"2027-04-02", []string{"ada@example.com laptop/90", "boss@example.com build/90"}},
			{"2027-04-03", nil},
			{"2027-05-02", []string{"ada@example.com laptop/60", "boss@example.com build/60"}},
			{"2027-06-01", []string{"ada@example.com laptop/30", "boss@example.com build/30"}},
			{"2027-06-17", []string{"ada@example.com laptop/14", "boss@example.com build/14"}},
			{"2027-06-24", []string{"ada@example.com laptop/7", "boss@example.com build/7"}},
			{"2027-06-30", []string{"ada@example.com laptop/1", "boss@example.com build/1"}},
			{"2027-07-01", nil},
		} {
			lines, again := w.reminders(t, at(tt.day))
			if !slices.Equal(lines, tt.want) {
				t.Errorf("on %s: %q, want %q", tt.day, lines, tt.want)
			}
			if !again.Equal(at(tt.day).AddDate(0, 0, 1)) {
				t.Errorf("on %s: again at %s", tt.day, again)
			}
		}
		cert := got(w.ClientCert(ctx, operator, w.account, login.cert))(t)
		lines, _ := w.reminders(t, cert.NotAfter.Add(-7*24*time.Hour))
		if want := []string{"boss@example.com metering/7", "keeper@example.com metering/7"}; !slices.Equal(lines, want) {
			t.Errorf("of an mTLS certificate: %q, want %q", lines, want)
		}
	})
}

// TestRenderReminder holds the page that a mail leads to, and its language.
func TestRenderReminder(t *testing.T) {
	w := newWorld(t, sqlite(t))
	portal := iam.New(iam.Config{Store: w.db, Clock: w.clock, Platform: "Trust", PortalURL: "https://portal.example"})
	user, api := iam.ExpiringCert{Name: "build", Serial: "0A", Days: 7}, iam.ExpiringCert{ForAPI: true, Serial: "0B", Days: 7}
	for _, tt := range []struct {
		certs []iam.ExpiringCert
		page  string
	}{
		{[]iam.ExpiringCert{user}, "https://portal.example/client-certificates\n"},
		{[]iam.ExpiringCert{api}, "https://portal.example/mtls\n"},
		{[]iam.ExpiringCert{user, api}, "https://portal.example/\n"},
	} {
		text := got(json.Marshal(iam.ExpiringParams{Locale: "de_DE", Certificates: tt.certs}))(t)
		m := &store.Mail{Account: w.account, Template: notify.TemplateClientCertsExpiring, Params: text}
		message := got(portal.RenderMail(t.Context(), m))(t)
		if !strings.Contains(message.Text, tt.page) || !strings.Contains(message.Subject, "Client-Zertifikat") {
			t.Errorf("the mail is %q: %s, want a link to %s", message.Subject, message.Text, tt.page)
		}
		if message := got(w.RenderMail(t.Context(), m))(t); strings.Contains(message.Text, "https://") {
			t.Errorf("without a portal the mail is %s", message.Text)
		}
	}
}
