package staff

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Filing is what somebody says who reports a problem (BR 4.9.3).
type Filing struct {
	Reporter     string // an address of mail
	Category     string
	Certificates string // serial numbers, one in a line, or certificates in PEM
	Words        string
}

// The bounds of a filing.
const (
	maxReporter       = 254    // of an address (RFC 5321, Section 4.5.3.1.3)
	maxCertificates   = 64_000 // octets
	maxWords          = 4000   // octets
	maxReportSerials  = 20
	minReportedLetter = 10
)

// FileReport writes the problem report of somebody at an address, who need not be anybody
// here, and has the operators told by mail. It revokes nothing. When it returns, the report
// is durable and its 24 hours until the preliminary answer run.
//
// It reports Invalid with a field for each thing that is wrong, with private_key if a
// certificate is a private key, which is not kept; and Limited with reports_waiting.
func (s *Staff) FileReport(ctx context.Context, address netip.Addr, requestID string, f Filing) (*telamon.ProblemReport, error) {
	actor := telamon.Actor{Kind: telamon.ActorAnonymous, Address: address.Unmap(), RequestID: requestID}
	if err := authz.Check(actor, authz.ReportFile, ""); err != nil {
		return nil, err
	}
	serials, err := s.checkFiling(&f)
	if err != nil {
		return nil, err
	}
	r := &telamon.ProblemReport{
		ID: telamon.NewReportID(), Category: f.Category, Reporter: f.Reporter, Serials: serials, Known: true, Words: f.Words, Address: address,
	}
	for _, serial := range serials {
		if _, _, err := s.store.CertificateOf(ctx, serial); fault.Is(err, fault.NotFound) {
			r.Known = false
		} else if err != nil {
			return nil, err
		}
	}
	mails, err := s.reportMails(r, notify.TemplateReportFiled)
	if err != nil {
		return nil, err
	}
	if err := s.store.CreateReport(ctx, actor, r, mails); err != nil {
		return nil, err
	}
	s.wakeJobs()
	return r, nil
}

// checkFiling returns the certificates that a filing names, and what is wrong with it.
func (s *Staff) checkFiling(f *Filing) ([]telamon.Serial, error) {
	var fields []fault.Field
	add := func(path, problem string) { fields = append(fields, fault.Field{Path: path, Problem: problem}) }
	f.Reporter, f.Words = strings.TrimSpace(f.Reporter), strings.TrimSpace(strings.ReplaceAll(f.Words, "\r\n", "\n"))
	if parsed, err := mail.ParseAddress(f.Reporter); err != nil || parsed.Address != f.Reporter || len(f.Reporter) > maxReporter {
		add("reporter", "is no address of mail")
	}
	if _, known := s.rules.Deadline(f.Category, s.clock.Now()); !known {
		add("category", "is none of "+strings.Join(s.categories(s.clock.Now()), ", "))
	}
	if len(f.Words) < minReportedLetter || !isText(f.Words, maxWords) {
		add("words", fmt.Sprintf("is not a text of %d to %d octets", minReportedLetter, maxWords))
	}
	serials, err := ParseCertificates(f.Certificates)
	if err != nil {
		add("certificates", err.Error())
	}
	for _, text := range []string{f.Certificates, f.Words} {
		if strings.Contains(text, "PRIVATE KEY-----") {
			return nil, &fault.Fault{
				Kind: fault.Invalid, Code: "private_key", Detail: "Send no private key: it was not kept. A request (CSR) that the key has signed proves that it is known, " +
					"if its common name says so.", Fields: []fault.Field{{Path: "certificates", Problem: "is a private key"}},
			}
		}
	}
	if len(fields) > 0 {
		return nil, &fault.Fault{Kind: fault.Invalid, Code: "invalid_report", Detail: fields[0].Path + ": " + fields[0].Problem, Fields: fields}
	}
	return serials, nil
}

// ParseCertificates reads which certificates a text names: serial numbers in hexadecimal,
// with or without colons, one in a line or between commas, or certificates in PEM. A text
// without any is no error. Each certificate is there once.
func ParseCertificates(text string) ([]telamon.Serial, error) {
	if len(text) > maxCertificates {
		return nil, fmt.Errorf("has more than %d octets", maxCertificates)
	}
	var serials []telamon.Serial
	add := func(text string) error {
		serial, ours, err := telamon.ParseSerial(text)
		if err != nil {
			return errors.New("has a serial number that is none in hexadecimal")
		}
		if !ours {
			return errors.New("names a certificate that is none of this CA's")
		}
		if !slices.Contains(serials, serial) {
			serials = append(serials, serial)
		}
		return nil
	}
	rest := []byte(text)
	var outside strings.Builder
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			outside.Write(rest)
			break
		}
		before, _, _ := strings.Cut(string(rest), "-----BEGIN")
		outside.WriteString(before + "\n")
		rest = after
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("has a PEM block that is no certificate")
		}
		if err := add(cert.SerialNumber.Text(16)); err != nil {
			return nil, err
		}
	}
	for line := range strings.FieldsFuncSeq(outside.String(), func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ';' }) {
		line = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == ':' {
				return -1
			}
			return r
		}, line)
		if line == "" {
			continue
		}
		if err := add(strings.TrimPrefix(strings.ToLower(line), "0x")); err != nil {
			return nil, err
		}
	}
	if len(serials) > maxReportSerials {
		return nil, fmt.Errorf("names more than %d certificates: say in words what they have in common", maxReportSerials)
	}
	return serials, nil
}

// ReportOf returns a problem report. It reports NotFound.
func (s *Staff) ReportOf(ctx context.Context, actor telamon.Actor, id telamon.ReportID) (telamon.ProblemReport, error) {
	if err := authz.Check(actor, authz.ReportRead, ""); err != nil {
		return telamon.ProblemReport{}, err
	}
	return s.store.Report(ctx, id)
}

// Reports lists problem reports, the newest first.
func (s *Staff) Reports(ctx context.Context, actor telamon.Actor, page store.Page) ([]telamon.ProblemReport, error) {
	if err := authz.Check(actor, authz.ReportRead, ""); err != nil {
		return nil, err
	}
	return s.store.Reports(ctx, page)
}

// OpenReports returns the problem reports whose preliminary answer is due or overdue, the
// most urgent first.
func (s *Staff) OpenReports(ctx context.Context, actor telamon.Actor) ([]telamon.ProblemReport, error) {
	if err := authz.Check(actor, authz.ReportRead, ""); err != nil {
		return nil, err
	}
	return s.store.UnansweredReports(ctx)
}

// AnswerReport says that the reporter has had a preliminary answer. It reports NotFound, and
// Conflict with report_answered.
func (s *Staff) AnswerReport(ctx context.Context, actor telamon.Actor, id telamon.ReportID) error {
	if err := authz.Check(actor, authz.ReportAnswer, ""); err != nil {
		return err
	}
	return s.store.AnswerReport(ctx, actor, id)
}

// AcceptReport makes a case of a new report, of a category that may be another than the
// reporter's; its deadline runs from when the report came in. It reports what OpenCase
// reports, and Conflict with report_decided.
func (s *Staff) AcceptReport(ctx context.Context, actor telamon.Actor, id telamon.ReportID, r Report) (*telamon.RevocationCase, error) {
	if err := authz.Check(actor, authz.ReportAccept, ""); err != nil {
		return nil, err
	}
	filed, err := s.store.Report(ctx, id)
	if err != nil {
		return nil, err
	}
	r.Reporter, r.ReportedAt = filed.Reporter, filed.ReceivedAt
	c, err := s.newCase(ctx, r)
	if err != nil {
		return nil, err
	}
	return c, s.store.AcceptReport(ctx, actor, id, c)
}

// DismissReport ends a new report without a case, for a reason. It reports NotFound, Invalid,
// and Conflict with report_decided.
func (s *Staff) DismissReport(ctx context.Context, actor telamon.Actor, id telamon.ReportID, reason string) error {
	if err := authz.Check(actor, authz.ReportDismiss, ""); err != nil {
		return err
	}
	if reason == "" || !isText(reason, maxSummary) {
		return invalid("reason", "is not a text of 1 to 1000 octets")
	}
	return s.store.DismissReport(ctx, actor, id, reason)
}

// watchReports tells the operators by mail of reports whose answer has become overdue, each
// once.
func (s *Staff) watchReports(ctx context.Context) error {
	reports, err := s.store.UnansweredReports(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i := range reports {
		r := &reports[i]
		if !r.IsOverdue(s.clock.Now()) || !r.ToldAt.IsZero() {
			continue
		}
		mails, err := s.reportMails(r, notify.TemplateReportOverdue)
		if err == nil {
			err = s.store.TellReportOverdue(ctx, system, r, mails)
		}
		errs = append(errs, err)
		s.log.ErrorContext(ctx, "a problem report has no answer yet", "report", r.ID.String(), "answer_by", r.AnswerBy)
		s.wakeJobs()
	}
	return errors.Join(errs...)
}

// reportParams are the parameters of a mail about a report.
type reportParams struct {
	Report telamon.ReportID `json:"report"`
}

func (s *Staff) reportMails(r *telamon.ProblemReport, template string) ([]store.Mail, error) {
	params, err := json.Marshal(reportParams{r.ID})
	if err != nil {
		return nil, fmt.Errorf("encode a mail of report %s: %w", r.ID, err)
	}
	var mails []store.Mail
	for _, address := range s.mailboxes {
		mails = append(mails, store.Mail{Recipient: address, Template: template, Params: params})
	}
	return mails, nil
}

// renderReport makes the message of a mail about a report, or notify.ErrMoot once it is
// answered.
func (s *Staff) renderReport(ctx context.Context, m *store.Mail) (notify.Message, error) {
	var p reportParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	r, err := s.store.Report(ctx, p.Report)
	if err != nil {
		return notify.Message{}, err
	}
	if !r.AnsweredAt.IsZero() {
		return notify.Message{}, notify.ErrMoot
	}
	return notify.Render(m.Template, notify.ReportMail{
		Report: r.ID.String(), Category: r.Category, Reporter: r.Reporter, ReceivedAt: r.ReceivedAt, AnswerBy: r.AnswerBy, Certificates: len(r.Serials),
	})
}
