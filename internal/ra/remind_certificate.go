package ra

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// certificateSteps are the days before its expiry at which people are told of a
// certificate; see remindsAt.
var certificateSteps = []int{60, 30, 14, 7, 3, 1}

// remindsAt reports whether people are told of a certificate of this validity n days
// before it ends: not before two thirds of its life are over, so that a certificate of
// 47 days has 14, 7, 3 and 1. Three days before is for those of less than 60 days alone.
func remindsAt(validity time.Duration, n int) bool {
	return 3*time.Duration(n)*day <= validity && (n != 3 || validity < 60*day)
}

// certificateRoles are the roles of those who are told of an account's certificates.
var certificateRoles = []string{"administrator", "manage_certificates"}

// Bounds of a mail about certificates, and of what is looked at for it.
const (
	maxShownCertificates = 50
	maxEnding            = 10_000 // of a pair that come to a step on one day
)

// remindHour is when, in UTC, people are told each day.
const remindHour = 5

// StartJobs makes sure that the work that comes again by itself is there. It is called
// at each start.
func (ra *RA) StartJobs(ctx context.Context) error {
	return ra.store.EnsureJob(ctx, store.Job{Kind: store.JobCertificateRemind, RunAt: jobs.NextHour(ra.clock.Now(), remindHour)})
}

// CertificatesParams are the parameters of a mail about certificates.
type CertificatesParams struct {
	Locale       string              `json:"locale,omitempty"` // of the reader
	Certificates []CertificateParams `json:"certificates"`
	More         int                 `json:"more,omitempty"`
}

// CertificateParams are those of one of them.
type CertificateParams struct {
	Name     string    `json:"name"`
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"not_after"`
	Days     int       `json:"days"`
}

// remindOfCertificates does the daily job: one mail to the people of each account that
// has certificates that came to a step in the day that ended with the job's time. What
// came to a step later, as of a process that is late, is told by the next one. A job
// that is done again after a crash may tell an account twice.
func (ra *RA) remindOfCertificates(ctx context.Context, job store.Job) (time.Time, error) {
	pairs, err := ra.store.Pairs(ctx)
	if err != nil {
		return time.Time{}, err
	}
	slices.SortFunc(pairs, func(a, b telamon.Pair) int { return cmp.Compare(a.Account, b.Account) })
	until := job.RunAt
	for len(pairs) > 0 {
		account := pairs[0].Account
		n := slices.IndexFunc(pairs, func(p telamon.Pair) bool { return p.Account != account })
		if n < 0 {
			n = len(pairs)
		}
		if err := ra.remindAccount(ctx, account, pairs[:n], until); err != nil {
			return time.Time{}, fmt.Errorf("remind %s: %w", account, err)
		}
		pairs = pairs[n:]
	}
	ra.wake()
	return jobs.NextDay(until, ra.clock.Now(), remindHour), nil
}

// remindAccount writes the mails of an account, if there is anything to tell.
func (ra *RA) remindAccount(ctx context.Context, account telamon.AccountID, pairs []telamon.Pair, until time.Time) error {
	var params CertificatesParams
	for _, n := range certificateSteps {
		for _, pair := range pairs {
			ahead := until.Add(time.Duration(n) * day)
			ending, err := ra.store.EndingCertificates(ctx, pair.ID, ahead.Add(-day), ahead, maxEnding)
			if err != nil {
				return err
			}
			for _, c := range ending {
				if !remindsAt(c.NotAfter.Sub(c.NotBefore)+time.Second, n) {
					continue
				}
				if len(params.Certificates) == maxShownCertificates {
					params.More++
					continue
				}
				line, err := ra.endingLine(ctx, pair.ID, c)
				if err != nil {
					return err
				}
				line.Days = daysLeft(c.NotAfter, until)
				params.Certificates = append(params.Certificates, line)
			}
		}
	}
	if len(params.Certificates) == 0 {
		return nil
	}
	slices.SortStableFunc(params.Certificates, func(a, b CertificateParams) int { return a.NotAfter.Compare(b.NotAfter) })
	people, err := ra.recipients(ctx, account, certificateRoles)
	if err != nil || len(people) == 0 {
		return err
	}
	var extra store.Extra
	for _, person := range people {
		params.Locale = person.Locale
		text, err := json.Marshal(params)
		if err != nil {
			return fmt.Errorf("encode a mail about certificates: %w", err)
		}
		extra.Mails = append(extra.Mails, store.Mail{
			Account: account, Recipient: person.Email, Template: notify.TemplateCertificatesExpiring, Params: text,
		})
	}
	return ra.store.PutExtra(ctx, extra)
}

// endingLine returns what a mail says of a certificate.
func (ra *RA) endingLine(ctx context.Context, pair telamon.PairID, c store.EndingCertificate) (CertificateParams, error) {
	line := CertificateParams{Serial: c.Serial.String(), NotAfter: c.NotAfter, Name: c.Serial.String()}
	entry, err := ra.store.Certificate(ctx, pair, c.Serial)
	if fault.Is(err, fault.NotFound) { // dropped meanwhile
		return line, nil
	}
	if err != nil {
		return line, err
	}
	blob, err := ra.store.CertificateBlob(ctx, entry)
	if err != nil {
		return line, err
	}
	cert, err := x509.ParseCertificate(blob.DER)
	if err != nil {
		return line, nil // of a content that this parser does not know; the serial number names it
	}
	for _, names := range [][]string{{cert.Subject.CommonName}, cert.DNSNames, cert.EmailAddresses, cert.Subject.Organization} {
		if len(names) > 0 && names[0] != "" {
			line.Name = names[0]
			break
		}
	}
	return line, nil
}

// renderCertificates makes the message of a mail about certificates.
func (ra *RA) renderCertificates(m *store.Mail, account string) (notify.Message, error) {
	var p CertificatesParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	data := notify.CertificatesMail{Locale: p.Locale, Account: account, More: p.More, PortalURL: ra.validation.PortalURL}
	for _, c := range p.Certificates {
		data.Certificates = append(data.Certificates, notify.CertificateLine{Name: c.Name, Serial: c.Serial, NotAfter: c.NotAfter, Days: c.Days})
	}
	return notify.Render(m.Template, data)
}
