package notify

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	portal = "https://portal.example.test/claims"
	secret = "0123456789abcdef0123456789abcdef"
	link   = "https://portal.example.test/approve?id=mla_1&value=" + secret
)

// evil is a name that an account may have chosen.
const evil = "A<b>&\"'\r\nBcc: x@evil.test\n\nhttps://evil.test/ \u202egnp.exe {{.Link}} <a href=\"http://evil.test\">x</a>"

var deadline = time.Date(2026, 11, 27, 17, 0, 59, 0, time.FixedZone("CET", 3600))

// mails returns data for each template, with the same text for what strangers
// choose.
func mails(text string) map[string]any {
	data := map[string]any{}
	for _, name := range Templates() {
		data[name] = ClaimMail{
			Account: text, Identity: text, Domain: text, Method: text, Token: secret, Problem: text, Deadline: deadline, Days: 7, PortalURL: portal,
		}
	}
	for _, name := range []string{TemplateIssuerSwitch, TemplateIssuerUnsigned} {
		data[name] = IssuerMail{Account: text, Series: text, Name: text, At: deadline, Days: 7}
	}
	data[TemplateCertificatesExpiring] = CertificatesMail{
		Account: text, Certificates: []CertificateLine{{Name: text, Serial: "01", NotAfter: deadline, Days: 7}, {Name: text, Days: 1}}, More: 3, PortalURL: portal,
	}
	data[TemplateCaseOverdue] = CaseMail{Case: text, Category: text, ReportedAt: deadline, DueAt: deadline, Certificates: 3}
	for _, name := range []string{TemplateReportFiled, TemplateReportOverdue} {
		data[name] = ReportMail{Report: text, Category: text, Reporter: text, ReceivedAt: deadline, AnswerBy: deadline, Certificates: 2}
	}
	data[TemplateClaimApproval] = ApprovalMail{
		Account: text, Domain: text, Address: "admin@example.test", Link: link, Expires: deadline, Platform: text,
	}
	return data
}

var (
	urls  = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^\s"<>]*`)
	hrefs = regexp.MustCompile(`(?i)(?:href|src|action)\s*=\s*["']?([^"'\s>]*)`)
	tags  = regexp.MustCompile(`<[^>]*>`)
)

// TestTemplateLint holds what every mail must be, whatever strangers choose.
func TestTemplateLint(t *testing.T) {
	for _, text := range []string{"example.test", "a<b>.test", evil, strings.Repeat("長", 2000), ""} {
		for name, data := range mails(text) {
			m, err := Render(name, data)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			lint(t, name, m)
		}
	}
}

func lint(t *testing.T, name string, m Message) {
	t.Helper()
	if strings.Contains(m.Subject, secret) || strings.Contains(m.Subject, "://") || strings.ContainsAny(m.Subject, "\r\n") || m.Subject == "" {
		t.Errorf("%s: the subject is %q", name, m.Subject)
	}
	known := []string{portal, link}
	for _, found := range slices.Concat(urls.FindAllString(m.Text, -1), urls.FindAllString(html.UnescapeString(tags.ReplaceAllString(m.HTML, "")), -1)) {
		if !slices.Contains(known, found) {
			t.Errorf("%s: a link to %s", name, found)
		}
	}
	for _, found := range hrefs.FindAllStringSubmatch(tagsOnly(m.HTML), -1) {
		if !slices.Contains(known, html.UnescapeString(found[1])) {
			t.Errorf("%s: a link to %s in HTML", name, found[1])
		}
	}
	for _, forbidden := range []string{"<b>", "<script", "<img", "\u202e", "ZgotmplZ", "<no value>", "%!"} {
		if strings.Contains(m.HTML, forbidden) {
			t.Errorf("%s: the HTML has %q", name, forbidden)
		}
	}
	if strings.Contains(m.Text, "\nBcc:") || strings.Contains(m.Text, "<no value>") || strings.Contains(m.Text, "\r") {
		t.Errorf("%s: the text is %q", name, m.Text)
	}
	if !strings.Contains(m.Text, "2026-11-27 16:00 UTC") || !strings.Contains(m.HTML, "2026-11-27 16:00 UTC") {
		t.Errorf("%s: the time is missing: %s", name, m.Text)
	}
	if !strings.HasPrefix(name, TemplateClaimTokenIssued) && name != TemplateClaimApproval && strings.Contains(m.Text+m.HTML, secret) {
		t.Errorf("%s: shows the token", name)
	}
	if strings.Count(m.HTML, "<html") != 1 || strings.Count(m.HTML, "</html>") != 1 {
		t.Errorf("%s: the HTML is not one page", name)
	}
}

// tagsOnly returns the tags of a page, without the text between them.
func tagsOnly(page string) string { return strings.Join(tags.FindAllString(page, -1), "\n") }

// inGerman returns the same mail for a reader of German, and whether there is one.
func inGerman(name string, data any) (any, bool) {
	switch d := data.(type) {
	case ClaimMail:
		d.Locale = "de_DE"
		return d, true
	case CertificatesMail:
		d.Locale = "de_DE"
		return d, true
	}
	return nil, slices.Contains(readerTemplates(), name)
}

// TestGermanLint holds the same in German, and that text and HTML say the same facts, all of
// those of the English mail, in a language throughout.
func TestGermanLint(t *testing.T) {
	facts := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC|Acme|example\.test|` + secret + `|` + regexp.QuoteMeta(portal))
	english := regexp.MustCompile(`(?i)\b(the|is|was|days?|expires?|and|sent|until|token for)\b`)
	german := regexp.MustCompile(`(?i)\b(die|der|das|ist|gilt|Tage?|noch|läuft|diese)\b`)
	found := func(text string) []string {
		all := facts.FindAllString(html.UnescapeString(text), -1)
		slices.Sort(all)
		return slices.Compact(all)
	}
	for _, text := range []string{"Acme", "example.test", evil, strings.Repeat("長", 2000), ""} {
		for name, data := range mails(text) {
			localized, ok := inGerman(name, data)
			if !ok {
				continue
			}
			original, err := Render(name, data)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			m, err := Render(name, localized)
			if err != nil {
				t.Fatalf("%s in German: %v", name, err)
			}
			lint(t, name+" in German", m)
			if want := found(original.Text); !slices.Equal(found(m.Text), want) || !slices.Equal(found(m.HTML), want) {
				t.Errorf("%s in German says %q, and %q in HTML; want %q", name, found(m.Text), found(m.HTML), want)
			}
			if !strings.Contains(m.HTML, `<html lang="de">`) || !strings.Contains(original.HTML, `<html lang="en">`) {
				t.Errorf("%s: the HTML names another language", name)
			}
			if text != "Acme" {
				continue
			}
			if rest := english.FindString(m.Subject + m.Text + tags.ReplaceAllString(m.HTML, " ")); rest != "" {
				t.Errorf("%s in German has %q: %s", name, rest, m.Text)
			}
			if rest := german.FindString(original.Subject + original.Text + tags.ReplaceAllString(original.HTML, " ")); rest != "" {
				t.Errorf("%s in English has %q: %s", name, rest, original.Text)
			}
		}
	}
}

// TestTemplateFiles checks that every embedded file belongs to a template.
func TestTemplateFiles(t *testing.T) {
	entries, err := templateFiles.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), ".")
		if name != "layout" && !slices.Contains(Templates(), name) {
			t.Errorf("the file %s belongs to no template", e.Name())
		}
	}
	if len(entries) != 2*len(Templates())+2 {
		t.Errorf("%d files for %d templates", len(entries), len(Templates()))
	}
	entries, err = germanFiles.ReadDir("de")
	if err != nil || len(entries) != 2*len(readerTemplates())+2 {
		t.Errorf("%d files in German for %d templates, %v", len(entries), len(readerTemplates()), err)
	}
}

func TestRenderApproval(t *testing.T) {
	m, err := Render(TemplateClaimApproval, ApprovalMail{
		Account: "Example Ltd", Domain: "example.test", Address: "admin@example.test", Link: link, Expires: deadline, Platform: "Telamon",
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.To != "admin@example.test" || m.Subject != "Approve certificates for example.test?" {
		t.Errorf("to %q, subject %q", m.To, m.Subject)
	}
	for _, part := range []string{"Example Ltd", "example.test", link, "used once", "did not ask", "approves nothing"} {
		if !strings.Contains(strings.Join(strings.Fields(m.Text), " "), part) {
			t.Errorf("the text lacks %q:\n%s", part, m.Text)
		}
	}
	if !strings.Contains(m.HTML, `href="`+html.EscapeString(link)+`"`) {
		t.Errorf("the HTML lacks the link:\n%s", m.HTML)
	}
}

func TestRenderToken(t *testing.T) {
	m, err := Render(TemplateClaimTokenIssued, ClaimMail{Account: "a", Identity: "i", Domain: "example.test", Token: secret, Deadline: deadline, Days: 1})
	if err != nil {
		t.Fatal(err)
	}
	if m.To != "" || !strings.Contains(m.Text, secret) || !strings.Contains(m.HTML, secret) || !strings.Contains(m.Text, "in 1 day.") {
		t.Errorf("to %q, the text is\n%s", m.To, m.Text)
	}
}

func TestRenderRefusals(t *testing.T) {
	approval := func(link string) ApprovalMail { return ApprovalMail{Link: link} }
	tests := []struct {
		name, template string
		data           any
	}{
		{"an unknown template", "claim_unknown", ClaimMail{}},
		{"a layout", "layout", ClaimMail{}},
		{"the data of a claim for an approval", TemplateClaimApproval, ClaimMail{}},
		{"the data of an approval for a claim", TemplateClaimVerified, ApprovalMail{Link: link}},
		{"the data of an issuer for a claim", TemplateClaimVerified, IssuerMail{}},
		{"the data of a claim for an issuer", TemplateIssuerSwitch, ClaimMail{}},
		{"no data", TemplateClaimVerified, nil},
		{"data that is no mail's", TemplateClaimVerified, "text"},
		{"no link", TemplateClaimApproval, approval("")},
		{"a relative link", TemplateClaimApproval, approval("/approve")},
		{"a script", TemplateClaimApproval, approval("javascript:alert(1)")},
		{"a link with a line break", TemplateClaimApproval, approval("https://a.test/\nhttps://b.test/")},
		{"a link with a user", TemplateClaimApproval, approval("https://portal@evil.test/")},
		{"a bad portal", TemplateClaimVerified, ClaimMail{PortalURL: "data:text/html,x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Render(tt.template, tt.data); err == nil {
				t.Error("it is rendered")
			}
		})
	}
	if _, err := Render(TemplateClaimApproval, approval("/"+secret)); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("err = %v, want one without the secret", err)
	}
}

// FuzzRender checks the lint with any name of an account or a domain, in each language.
func FuzzRender(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		for name, data := range mails(text) {
			checkLinks(t, name, data)
			if localized, ok := inGerman(name, data); ok {
				checkLinks(t, name+" in German", localized)
			}
		}
	})
}

// checkLinks holds that a mail, called name or what name begins with, leads to us alone, and
// that its subject is one line.
func checkLinks(t *testing.T, name string, data any) {
	t.Helper()
	template, _, _ := strings.Cut(name, " ")
	m, err := Render(template, data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if strings.ContainsAny(m.Subject, "\r\n") || strings.Contains(m.Subject, "://") {
		t.Errorf("%s: the subject is %q", name, m.Subject)
	}
	for _, found := range urls.FindAllString(m.Text, -1) {
		if found != portal && found != link {
			t.Errorf("%s: a link to %s", name, found)
		}
	}
	for _, found := range hrefs.FindAllStringSubmatch(tagsOnly(m.HTML), -1) {
		if to := html.UnescapeString(found[1]); to != portal && to != link {
			t.Errorf("%s: a link to %s in HTML", name, to)
		}
	}
}

// TestExpired has the mail of a verification that has expired, which no longer counts
// days.
func TestExpired(t *testing.T) {
	m, err := Render(TemplateClaimExpiring, ClaimMail{Account: "a", Identity: "b", Domain: "example.com", Deadline: deadline, PortalURL: portal})
	if err != nil || strings.Contains(m.Text+m.HTML+m.Subject, "0 days") || !strings.Contains(m.Text, "No certificate is issued for its names now") {
		t.Errorf("%v, %q", err, m.Text)
	}
}
