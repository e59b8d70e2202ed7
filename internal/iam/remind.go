package iam

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

const day = 24 * time.Hour

// remindSteps are the days before its end at which people are told of a client certificate
// (spec: portal-and-onboarding.md, Section 3.6).
var remindSteps = []int{90, 60, 30, 14, 7, 1}

// remindHour is when, in UTC, people are told each day.
const remindHour = 5

// Bounds of the mails of one account on one day.
const (
	maxRemindLines  = 50 // that one mail shows
	maxRemindPeople = 50
)

// remindStep returns at how many days before its end a certificate is at a time, if that
// is one at which people are told, and 0 otherwise. What lives for a short time is not
// mentioned in the first half of its life.
func remindStep(cert *telamon.ClientCert, at time.Time) int {
	for _, n := range remindSteps {
		ahead := at.Add(time.Duration(n) * day)
		if cert.NotAfter.After(ahead.Add(-day)) && !cert.NotAfter.After(ahead) {
			begin := cert.NotBefore
			if begin.IsZero() { // of an older release
				begin = cert.CreatedAt
			}
			if 2*time.Duration(n)*day <= cert.NotAfter.Sub(begin) {
				return n
			}
		}
	}
	return 0
}

// StartJobs makes sure that the work that comes again by itself is there. It is called at
// each start.
func (s *IAM) StartJobs(ctx context.Context) error {
	return s.store.EnsureJob(ctx, store.Job{Kind: store.JobClientCertRemind, RunAt: jobs.NextHour(s.clock.Now(), remindHour)})
}

// Handlers returns what does the jobs about client certificates.
func (s *IAM) Handlers() map[string]jobs.Handler {
	return map[string]jobs.Handler{store.JobClientCertRemind: {Run: s.remindOfCerts, AtOnce: 1, Lease: time.Minute}}
}

// remindOfCerts does the daily job: one mail to each of the people who look after client
// certificates that came to a step in the day that ended with the job's time. A job that
// is done again after a crash may tell an account twice.
func (s *IAM) remindOfCerts(ctx context.Context, job store.Job) (time.Time, error) {
	due := map[telamon.AccountID][]endingCert{}
	last := job.RunAt.Add(time.Duration(remindSteps[0]) * day)
	page := store.Page{Limit: 1000}
	for {
		certs, err := s.store.EndingClientCerts(ctx, job.RunAt, last, page)
		if err != nil {
			return time.Time{}, err
		}
		for _, cert := range certs {
			if n := remindStep(&cert, job.RunAt); n > 0 {
				due[cert.Account] = append(due[cert.Account], endingCert{cert, n})
			}
		}
		if len(certs) < page.Limit {
			break
		}
		page.After = certs[len(certs)-1].ID.String()
	}
	for account, certs := range due {
		if err := s.remindAccount(ctx, account, certs); err != nil {
			return time.Time{}, fmt.Errorf("remind %s: %w", account, err)
		}
	}
	return jobs.NextDay(job.RunAt, s.clock.Now(), remindHour), nil
}

// An endingCert is a client certificate that comes to an end in some days.
type endingCert struct {
	telamon.ClientCert
	days int
}

// ExpiringParams are the parameters of a mail about client certificates.
type ExpiringParams struct {
	Locale       string         `json:"locale"`
	Certificates []ExpiringCert `json:"certificates"`
	More         int            `json:"more,omitempty"`
}

// An ExpiringCert is one of them.
type ExpiringCert struct {
	Name        string    `json:"name,omitempty"`
	Holder      string    `json:"holder,omitempty"` // if the reader is another user
	Credentials string    `json:"credentials,omitempty"`
	ForAPI      bool      `json:"for_api,omitempty"` // it is for credentials
	Serial      string    `json:"serial"`
	NotAfter    time.Time `json:"not_after"`
	Days        int       `json:"days"`
}

// remindAccount writes the mails of an account: to people of their own certificates, to
// those who may make service users' of these, and to those who link certificates to
// credentials of those.
func (s *IAM) remindAccount(ctx context.Context, account telamon.AccountID, certs []endingCert) error {
	owner, err := s.store.Account(ctx, account)
	if err != nil || owner.State != telamon.Active {
		return err
	}
	slices.SortFunc(certs, func(a, b endingCert) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.ID, b.ID))
	})
	users, people, err := s.remindable(ctx, account)
	if err != nil {
		return err
	}
	names, err := s.credentialNames(ctx, account, certs)
	if err != nil {
		return err
	}
	var extra store.Extra
	for _, person := range people {
		params := ExpiringParams{Locale: person.Locale}
		for _, cert := range certs {
			line, ok := expiringFor(person, cert, users, names)
			switch {
			case !ok:
			case len(params.Certificates) == maxRemindLines:
				params.More++
			default:
				params.Certificates = append(params.Certificates, line)
			}
		}
		if len(params.Certificates) == 0 {
			continue
		}
		text, err := json.Marshal(params)
		if err != nil {
			return fmt.Errorf("encode a mail about client certificates: %w", err)
		}
		extra.Mails = append(extra.Mails, store.Mail{
			Account: account, Recipient: person.Email, Template: notify.TemplateClientCertsExpiring, Params: text,
		})
		if len(extra.Mails) == maxRemindPeople {
			break
		}
	}
	return s.store.PutExtra(ctx, extra)
}

// remindable returns the users of an account that can do something, and the people among
// them.
func (s *IAM) remindable(ctx context.Context, account telamon.AccountID) (map[telamon.UserID]*telamon.User, []*telamon.User, error) {
	users, people := map[telamon.UserID]*telamon.User{}, []*telamon.User(nil)
	page, now := store.Page{Limit: 1000}, s.clock.Now()
	for {
		list, err := s.store.LiveUsers(ctx, account, "", page)
		if err != nil {
			return nil, nil, err
		}
		for _, u := range list {
			if u.Status(now) != telamon.UserActive {
				continue
			}
			users[u.ID] = &u
			if u.Kind == telamon.StandardUser {
				people = append(people, &u)
			}
		}
		if len(list) < page.Limit {
			return users, people, nil
		}
		page.After = list[len(list)-1].ID.String()
	}
}

// credentialNames returns the names of the credentials that certificates are linked to.
func (s *IAM) credentialNames(ctx context.Context, account telamon.AccountID, certs []endingCert) (map[telamon.CredentialID]string, error) {
	names := map[telamon.CredentialID]string{}
	for _, cert := range certs {
		for _, id := range cert.Credentials {
			if _, known := names[id]; known {
				continue
			}
			credential, err := s.store.Credential(ctx, account, id)
			if err != nil {
				return nil, err
			}
			names[id] = credential.Name
		}
	}
	return names, nil
}

// expiringFor returns what a person is told of a certificate, and false if it is nothing:
// it is not for them to do something about it, or its user can do nothing with it.
func expiringFor(person *telamon.User, cert endingCert, users map[telamon.UserID]*telamon.User, names map[telamon.CredentialID]string) (ExpiringCert, bool) {
	line := ExpiringCert{Name: cert.Name, Serial: cert.Serial.String(), NotAfter: cert.NotAfter, Days: cert.days}
	actor := telamon.Actor{Kind: telamon.ActorUser, Account: person.Account, User: person.ID, Roles: person.Roles}
	if cert.User == "" {
		line.ForAPI = true
		var linked []string
		for _, id := range cert.Credentials {
			linked = append(linked, names[id])
		}
		slices.Sort(linked)
		line.Credentials = strings.Join(linked, ", ")
		return line, authz.Check(actor, authz.ClientCertificateLink, cert.Account) == nil
	}
	holder := users[cert.User]
	if holder == nil {
		return line, false
	}
	if holder.ID == person.ID {
		return line, true
	}
	line.Holder = holder.Name
	return line, holder.Kind == telamon.ServiceUser && authz.CheckUser(actor, authz.ClientCertificateIssue, cert.Account, holder.ID) == nil
}

// RenderMail makes the message of a mail that this package wrote.
func (s *IAM) RenderMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	account, err := s.store.Account(ctx, m.Account)
	if err != nil {
		return notify.Message{}, err
	}
	var p ExpiringParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	mail := notify.ExpiringMail{Locale: p.Locale, Platform: s.platform, Account: account.Name, More: p.More}
	forUsers := 0
	for _, c := range p.Certificates {
		if !c.ForAPI {
			forUsers++
		}
		mail.Certificates = append(mail.Certificates, notify.ExpiringLine{
			Name: c.Name, Holder: c.Holder, Credential: c.ForAPI, For: c.Credentials, Serial: c.Serial, NotAfter: c.NotAfter, Days: c.Days,
		})
	}
	if s.portalURL != "" {
		mail.Link = s.portalURL + expiringPage(forUsers, len(p.Certificates))
	}
	return notify.RenderExpiring(mail)
}

// expiringPage is the page of the portal where the next certificates are made: that of
// users', that of credentials', or the dashboard for some of each.
func expiringPage(forUsers, all int) string {
	switch forUsers {
	case all:
		return "/client-certificates"
	case 0:
		return "/mtls"
	}
	return "/"
}
