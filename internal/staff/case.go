package staff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Report is what makes a case: somebody's problem report (BR 4.9.3) or a finding.
type Report struct {
	Category   string
	Summary    string
	Reporter   string // how to reach who reported it; "" for a finding of our own
	Serials    []telamon.Serial
	ReportedAt time.Time // zero is now
}

const (
	maxSummary      = 1000 // octets
	maxCaseSerials  = 1000
	maxReportInPast = 10 * 365 * rules.Day
)

// OpenCase begins the clock of a report: the dated rules say by when the certificates must
// be revoked. It reports Invalid for what is wrong with the report, and NotFound for a
// certificate that is not there.
func (s *Staff) OpenCase(ctx context.Context, actor telamon.Actor, r Report) (*telamon.RevocationCase, error) {
	if err := authz.Check(actor, authz.CaseOpen, ""); err != nil {
		return nil, err
	}
	c, err := s.newCase(ctx, r)
	if err != nil {
		return nil, err
	}
	return c, s.store.CreateCase(ctx, actor, c)
}

// newCase is the case of a report, which is not written yet.
func (s *Staff) newCase(ctx context.Context, r Report) (*telamon.RevocationCase, error) {
	now := s.clock.Now().UTC()
	if r.ReportedAt.IsZero() {
		r.ReportedAt = now
	}
	deadline, known := s.rules.Deadline(r.Category, r.ReportedAt)
	switch {
	case !known:
		return nil, invalid("category", "is none of "+strings.Join(s.categories(now), ", "))
	case !isText(r.Summary, maxSummary) || r.Summary == "":
		return nil, invalid("summary", "is not a text of 1 to 1000 octets")
	case !isText(r.Reporter, maxSummary):
		return nil, invalid("reporter", "is not a text of at most 1000 octets")
	case len(r.Serials) > maxCaseSerials:
		return nil, invalid("serials", "are more than 1000: name what they have in common in the summary")
	case r.ReportedAt.After(now.Add(futureTolerance)) || now.Sub(r.ReportedAt) > maxReportInPast:
		return nil, invalid("reported_at", "is in the future, or more than ten years ago")
	}
	for _, serial := range r.Serials {
		if _, _, err := s.store.CertificateOf(ctx, serial); err != nil {
			return nil, err
		}
	}
	return &telamon.RevocationCase{
		ID: telamon.NewCaseID(), Category: r.Category, Summary: r.Summary, Reporter: r.Reporter, Serials: r.Serials, ReportedAt: r.ReportedAt,
		DueAt: r.ReportedAt.Add(deadline.Within),
	}, nil
}

// isText reports whether a text is short enough and can be printed.
func isText(text string, most int) bool {
	return len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' })
}

func (s *Staff) categories(at time.Time) (names []string) {
	for _, d := range s.rules.Deadlines(at) {
		names = append(names, d.Category)
	}
	return names
}

// Deadlines returns the categories of cases with their times, as they are now.
func (s *Staff) Deadlines() []rules.Deadline { return s.rules.Deadlines(s.clock.Now()) }

// CloseCase ends the clock of a case. The certificates that it names must be revoked by
// then, unless keep says that they need not be, which the outcome must explain.
//
// It reports NotFound, Invalid, and Conflict with case_closed or case_unrevoked.
func (s *Staff) CloseCase(ctx context.Context, actor telamon.Actor, id telamon.CaseID, outcome string, keep bool) (telamon.RevocationCase, error) {
	if err := authz.Check(actor, authz.CaseClose, ""); err != nil {
		return telamon.RevocationCase{}, err
	}
	if !isText(outcome, maxSummary) || outcome == "" {
		return telamon.RevocationCase{}, invalid("outcome", "is not a text of 1 to 1000 octets")
	}
	c, err := s.store.Case(ctx, id)
	if err != nil {
		return c, err
	}
	for _, serial := range c.Serials {
		cert, _, err := s.store.CertificateOf(ctx, serial)
		if err != nil && !fault.Is(err, fault.NotFound) { // what is past its retention is past revocation
			return c, err
		}
		if err == nil && !keep && cert.Status != telamon.StatusRevoked && s.clock.Now().Before(cert.NotAfter) {
			return c, fault.New(fault.Conflict, "case_unrevoked", "Certificate "+serial.String()+" is not revoked.")
		}
	}
	if err := s.store.CloseCase(ctx, actor, id, outcome); err != nil {
		return c, err
	}
	return s.store.Case(ctx, id)
}

// Case returns a case. It reports NotFound.
func (s *Staff) Case(ctx context.Context, actor telamon.Actor, id telamon.CaseID) (telamon.RevocationCase, error) {
	if err := authz.Check(actor, authz.CaseRead, ""); err != nil {
		return telamon.RevocationCase{}, err
	}
	return s.store.Case(ctx, id)
}

// Cases lists cases, closed ones too.
func (s *Staff) Cases(ctx context.Context, actor telamon.Actor, page store.Page) ([]telamon.RevocationCase, error) {
	if err := authz.Check(actor, authz.CaseRead, ""); err != nil {
		return nil, err
	}
	return s.store.Cases(ctx, page)
}

// WatchCases tells the operators by mail of cases that have become overdue, and of reports
// whose answer has, each once, and returns how many cases are open and overdue. It is
// background work.
func (s *Staff) WatchCases(ctx context.Context) (open, overdue int, err error) {
	cases, err := s.store.OpenCases(ctx)
	if err != nil {
		return 0, 0, err
	}
	errs := []error{s.watchReports(ctx)}
	for i := range cases {
		c := &cases[i]
		if !c.IsOverdue(s.clock.Now()) {
			continue
		}
		overdue++
		if c.ToldAt.IsZero() {
			errs = append(errs, s.tell(ctx, c))
		}
	}
	return len(cases), overdue, errors.Join(errs...)
}

// caseMail are the parameters of a mail about a case.
type caseMail struct {
	Case telamon.CaseID `json:"case"`
}

func (s *Staff) tell(ctx context.Context, c *telamon.RevocationCase) error {
	params, err := json.Marshal(caseMail{c.ID})
	if err != nil {
		return fmt.Errorf("encode a mail of case %s: %w", c.ID, err)
	}
	var mails []store.Mail
	for _, address := range s.mailboxes {
		mails = append(mails, store.Mail{Recipient: address, Template: notify.TemplateCaseOverdue, Params: params})
	}
	if err := s.store.TellOverdue(ctx, system, c, mails); err != nil {
		return err
	}
	s.log.ErrorContext(ctx, "certificates must be revoked by now", "case", c.ID.String(), "category", c.Category, "due_at", c.DueAt)
	s.wakeJobs()
	return nil
}

// IsTemplate reports whether RenderMail makes the mails of this template.
func IsTemplate(name string) bool {
	return name == notify.TemplateCaseOverdue || name == notify.TemplateReportFiled || name == notify.TemplateReportOverdue
}

// RenderMail makes the message of a mail about a case or a report, or notify.ErrMoot once
// that is over.
func (s *Staff) RenderMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	if m.Template != notify.TemplateCaseOverdue {
		return s.renderReport(ctx, m)
	}
	var p caseMail
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	c, err := s.store.Case(ctx, p.Case)
	if err != nil {
		return notify.Message{}, err
	}
	if !c.ClosedAt.IsZero() {
		return notify.Message{}, notify.ErrMoot
	}
	return notify.Render(m.Template, notify.CaseMail{
		Case: c.ID.String(), Category: c.Category, ReportedAt: c.ReportedAt, DueAt: c.DueAt, Certificates: len(c.Serials),
	})
}
