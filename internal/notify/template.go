package notify

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"
)

// The templates. [TemplateClaimApproval] takes an [ApprovalMail], those of issuers an
// [IssuerMail], the others of claims a [ClaimMail].
const (
	TemplateClaimApproval      = "claim_approval"       // asks a mailbox to approve a claim
	TemplateClaimTokenIssued   = "claim_token_issued"   // a claim has a new token
	TemplateClaimTokenExpiring = "claim_token_expiring" // a token was not used, and will soon end
	TemplateClaimVerified      = "claim_verified"       // control was shown
	TemplateClaimFailing       = "claim_failing"        // a repeated check finds nothing any more
	TemplateClaimExpiring      = "claim_expiring"       // a verification will soon end
	TemplateIssuerSwitch       = "issuer_switch"        // an issuing CA will soon be exchanged
	TemplateIssuerUnsigned     = "issuer_unsigned"      // the next one has no certificate yet

	TemplateCertificatesExpiring = "certificates_expiring" // takes a [CertificatesMail]
	TemplateCaseOverdue          = "case_overdue"          // takes a [CaseMail]
	TemplateReportFiled          = "report_filed"          // takes a [ReportMail]
	TemplateReportOverdue        = "report_overdue"        // likewise
)

// Templates returns the names of all templates that [Render] takes.
func Templates() []string {
	return []string{
		TemplateClaimApproval, TemplateClaimTokenIssued, TemplateClaimTokenExpiring, TemplateClaimVerified, TemplateClaimFailing,
		TemplateClaimExpiring, TemplateIssuerSwitch, TemplateIssuerUnsigned, TemplateCertificatesExpiring, TemplateCaseOverdue,
		TemplateReportFiled, TemplateReportOverdue,
	}
}

// readerTemplates are those of Templates that are in the language of their reader, a person
// of an account. The others go to operators and to the mailboxes of domains, whose language
// nobody knows, and are in English.
func readerTemplates() []string {
	return []string{
		TemplateClaimTokenIssued, TemplateClaimTokenExpiring, TemplateClaimVerified, TemplateClaimFailing, TemplateClaimExpiring,
		TemplateCertificatesExpiring,
	}
}

// An ApprovalMail is what the mail to a mailbox of a domain says. Its Link holds
// the secret by which the reader approves, so the message is as secret.
type ApprovalMail struct {
	Account  string // the name of the account that asks
	Domain   string // what is claimed
	Address  string // of the mailbox, to which the mail goes
	Link     string // an absolute URL of the portal
	Expires  time.Time
	Platform string // the name of the installation
}

// A ClaimMail is what mail to the people of an account says of one of its claims.
type ClaimMail struct {
	Locale   string // such as "de_DE"; English is used for languages without a text
	Account  string
	Identity string
	Domain   string
	Method   string // how control was shown, or is to be; "" if it is not known
	Token    string // of claim_token_issued, which alone shows it: the value to publish
	Problem  string // one line: why a check fails
	Deadline time.Time
	Days     int // until the deadline
	// PortalURL is the page to go to: an absolute URL, or "" if there is none.
	PortalURL string
}

// A CertificatesMail is what mail to the people of an account says of its certificates.
type CertificatesMail struct {
	Locale       string // as of a ClaimMail
	Account      string
	Certificates []CertificateLine // one at least
	More         int               // that are not shown
	PortalURL    string            // an absolute URL, or "" if there is none
}

// A CertificateLine is one certificate in a mail.
type CertificateLine struct {
	Name     string // its common name, or its first other name
	Serial   string
	NotAfter time.Time
	Days     int // until then
}

// Total is how many certificates the mail is about.
func (d CertificatesMail) Total() int { return len(d.Certificates) + d.More }

// An IssuerMail is what mail says of a switch to another issuing CA: to the people of an
// account, or to the operators if there is none.
type IssuerMail struct {
	Account   string
	Series    string
	Name      string // of the issuing CA that starts
	At        time.Time
	Days      int    // until then
	PortalURL string // always ""
}

// A CaseMail tells the operators that certificates should have been revoked by now.
type CaseMail struct {
	Case         string
	Category     string
	ReportedAt   time.Time
	DueAt        time.Time
	Certificates int    // that the case names
	Account      string // always "": it is for the operators
	PortalURL    string // always ""
}

// A ReportMail tells the operators of somebody's problem report.
type ReportMail struct {
	Report       string
	Category     string
	Reporter     string
	ReceivedAt   time.Time
	AnswerBy     time.Time
	Certificates int    // that it names
	Account      string // always "": it is for the operators
	PortalURL    string // always ""
}

//go:embed *.tmpl
var templateFiles embed.FS

//go:embed de/*.tmpl
var germanFiles embed.FS

// A mailTemplate is the parts of one mail. The text defines "subject" too.
type mailTemplate struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

// templates are the mails by language and name. English has all of them.
var templates = map[string]map[string]mailTemplate{
	"en": parseTemplates(templateFiles, "", Templates(), days),
	"de": parseTemplates(germanFiles, "de/", readerTemplates(), germanDays),
}

// parseTemplates reads what is embedded in a folder, "" or one with its slash. A file that
// cannot be read is a bug, which every start would meet.
func parseTemplates(files embed.FS, folder string, names []string, days func(int) string) map[string]mailTemplate {
	functions := map[string]any{"utc": utc, "days": days}
	parsed := map[string]mailTemplate{}
	for _, name := range names {
		text := texttemplate.New(name + ".text.tmpl").Funcs(functions).Option("missingkey=error")
		html := htmltemplate.New(name + ".html.tmpl").Funcs(functions).Option("missingkey=error")
		parsed[name] = mailTemplate{
			texttemplate.Must(text.ParseFS(files, folder+name+".text.tmpl", folder+"layout.text.tmpl")),
			htmltemplate.Must(html.ParseFS(files, folder+name+".html.tmpl", folder+"layout.html.tmpl")),
		}
	}
	return parsed
}

// utc writes a time for people, to the minute.
func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// days writes a number of days.
func days(n int) string {
	if n == 1 {
		return "1 day"
	}
	return strconv.Itoa(n) + " days"
}

// germanDays writes a number of days in German.
func germanDays(n int) string {
	if n == 1 {
		return "1 Tag"
	}
	return strconv.Itoa(n) + " Tage"
}

// Render writes a message from one of the templates and its data, in the language of the
// data's locale if there is one and the template is in it, and in English otherwise. The
// message has a recipient only if the data names one. All texts of the data are shown on
// one line and cannot make a link of their own: an account may have any name. Render
// refuses an unknown template, data that is not the template's, and a link that is not an
// absolute http or https URL.
func Render(template string, data any) (Message, error) {
	t, ok := templates["en"][template]
	if !ok {
		return Message{}, fmt.Errorf("render a mail: there is no template %q", template)
	}
	var to string
	switch d := data.(type) {
	case ApprovalMail:
		if template != TemplateClaimApproval {
			return Message{}, fmt.Errorf("render the mail %s: its data is another's", template)
		}
		if err := checkLink(d.Link); err != nil {
			return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
		}
		to, data = d.Address, d.tamed()
	case ClaimMail:
		if template == TemplateClaimApproval || template == TemplateCertificatesExpiring || template == TemplateCaseOverdue || isIssuers(template) ||
			isReports(template) {
			return Message{}, fmt.Errorf("render the mail %s: its data is another's", template)
		}
		if err := checkLink(d.PortalURL); d.PortalURL != "" && err != nil {
			return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
		}
		data = d.tamed()
	case CertificatesMail:
		if template != TemplateCertificatesExpiring || len(d.Certificates) == 0 {
			return Message{}, fmt.Errorf("render the mail %s: its data is another's", template)
		}
		if err := checkLink(d.PortalURL); d.PortalURL != "" && err != nil {
			return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
		}
		data = d.tamed()
	case CaseMail:
		if template != TemplateCaseOverdue {
			return Message{}, fmt.Errorf("render the mail %s: its data is another's", template)
		}
		d.Case, d.Category, d.Account, d.PortalURL = tame(d.Case), tame(d.Category), "", ""
		data = d
	case ReportMail:
		if !isReports(template) {
			return Message{}, fmt.Errorf("render the mail %s: its data is another's", template)
		}
		d.Report, d.Category, d.Reporter, d.Account, d.PortalURL = tame(d.Report), tame(d.Category), tame(d.Reporter), "", ""
		data = d
	case IssuerMail:
		if !isIssuers(template) {
			return Message{}, fmt.Errorf("render the mail %s: its data is another's", template)
		}
		d.Account, d.Series, d.Name, d.PortalURL = tame(d.Account), tame(d.Series), tame(d.Name), ""
		data = d
	default:
		return Message{}, fmt.Errorf("render the mail %s: it cannot show a %T", template, data)
	}
	if localized, ok := templates[readerLanguage(data)][template]; ok {
		t = localized
	}
	m, err := t.render(data)
	if err != nil {
		return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
	}
	m.To = to
	return m, nil
}

// readerLanguage is the language of the reader of a mail with that data.
func readerLanguage(data any) string {
	switch d := data.(type) {
	case ClaimMail:
		return languageOf(d.Locale)
	case CertificatesMail:
		return languageOf(d.Locale)
	}
	return "en"
}

func isIssuers(template string) bool {
	return template == TemplateIssuerSwitch || template == TemplateIssuerUnsigned
}

func isReports(template string) bool {
	return template == TemplateReportFiled || template == TemplateReportOverdue
}

func (t mailTemplate) render(data any) (Message, error) {
	var subject, text, html strings.Builder
	if err := t.text.ExecuteTemplate(&subject, "subject", data); err != nil {
		return Message{}, err
	}
	if err := t.text.Execute(&text, data); err != nil {
		return Message{}, err
	}
	if err := t.html.Execute(&html, data); err != nil {
		return Message{}, err
	}
	return Message{Subject: strings.TrimSpace(subject.String()), Text: text.String(), HTML: html.String()}, nil
}

func (d ApprovalMail) tamed() ApprovalMail {
	d.Account, d.Domain, d.Address, d.Platform = tame(d.Account), tame(d.Domain), tame(d.Address), tame(d.Platform)
	return d
}

func (d ClaimMail) tamed() ClaimMail {
	for _, field := range []*string{&d.Account, &d.Identity, &d.Domain, &d.Method, &d.Token, &d.Problem} {
		*field = tame(*field)
	}
	return d
}

func (d CertificatesMail) tamed() CertificatesMail {
	d.Account, d.Certificates = tame(d.Account), slices.Clone(d.Certificates)
	for i := range d.Certificates {
		d.Certificates[i].Name = tame(d.Certificates[i].Name)
	}
	return d
}

// maxShown is how many characters of a text are shown: more than a domain name has.
const maxShown = 300

// tame makes a text that somebody else chose fit for the middle of a sentence: on
// one line, without invisible characters and changes of direction, and such that no
// mail reader makes a link of a URL in it.
func tame(text string) string {
	shown := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(shown); len(runes) > maxShown {
		shown = string(runes[:maxShown]) + "…"
	}
	return strings.ReplaceAll(shown, "://", ": //")
}

// checkLink refuses what is not an absolute URL that a browser fetches.
func checkLink(link string) error {
	u, err := url.Parse(link)
	if err != nil || !slices.Contains([]string{"https", "http"}, u.Scheme) || u.Host == "" || u.User != nil ||
		strings.ContainsFunc(link, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"<>`, r) }) {
		return errors.New("the link is not an absolute URL of a page") // not repeated: it may hold a secret
	}
	return nil
}
