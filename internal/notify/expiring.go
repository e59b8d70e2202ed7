package notify

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TemplateClientCertsExpiring is the mail that [RenderExpiring] makes: client certificates
// expire soon.
const TemplateClientCertsExpiring = "client_certificates_expiring"

// An ExpiringMail tells a person of client certificates that expire soon.
type ExpiringMail struct {
	Locale       string // such as "de_DE"; English is used for languages without a text
	Platform     string // the name of the installation
	Account      string
	Certificates []ExpiringLine // one at least
	More         int            // that are not shown
	Link         string         // where new ones are made: an absolute URL of the portal, "" if there is none
}

// An ExpiringLine is one client certificate in a mail.
type ExpiringLine struct {
	Name       string // of a user's
	Holder     string // the user, if the reader is another one
	Credential bool   // it is for API credentials, and the next names them
	For        string // "" for none
	Serial     string
	NotAfter   time.Time
	Days       int // until then
}

// expiringText are the words of an ExpiringMail in one language.
type expiringText struct {
	one, many   string // the subject
	lead, rule  string
	credentials string // what one is called: for credentials, for none, of the reader, of another user
	unlinked    string
	own, of     string
	line, more  string
	button      string
	day, days   string
}

var expiringTexts = map[string]expiringText{
	"en": {
		one: "A client certificate expires in {days} ({platform})", many: "{n} client certificates expire, the first in {days} ({platform})",
		lead:        "Client certificates of the account \"{account}\" expire soon. What connects with them is refused from then on.",
		rule:        "A client certificate cannot be renewed: make another one, put it in place, and disable the old one once nothing uses it any more. Both work meanwhile.",
		credentials: "mTLS certificate of {name}", unlinked: "mTLS certificate of no credential", own: "your client certificate \"{name}\"",
		of: "client certificate \"{name}\" of {holder}", line: "{at}, in {days}: {what}, serial number {serial}", more: "And {n} more.",
		button: "Make the next one", day: "1 day", days: "{n} days",
	},
	"de": {
		one: "Ein Client-Zertifikat läuft ab, noch {days} ({platform})", many: "{n} Client-Zertifikate laufen ab, das erste noch {days} ({platform})",
		lead:        "Client-Zertifikate des Kontos \"{account}\" laufen bald ab. Was sich mit ihnen verbindet, wird ab dann abgewiesen.",
		rule:        "Ein Client-Zertifikat kann man nicht verlängern: Erstellen Sie ein neues, setzen Sie es ein, und deaktivieren Sie das alte, sobald nichts es mehr benutzt. Bis dahin gelten beide.",
		credentials: "mTLS-Zertifikat von {name}", unlinked: "mTLS-Zertifikat ohne Zugangsdaten", own: "Ihr Client-Zertifikat \"{name}\"",
		of: "Client-Zertifikat \"{name}\" von {holder}", line: "{at}, noch {days}: {what}, Seriennummer {serial}", more: "Und {n} weitere.",
		button: "Das nächste erstellen", day: "1 Tag", days: "{n} Tage",
	},
}

// RenderExpiring writes the message of client certificates that expire soon, in the
// reader's language. All texts are shown on one line and cannot make a link of their own.
// It refuses a mail about none, and a link that is not an absolute http or https URL.
func RenderExpiring(m ExpiringMail) (Message, error) {
	if len(m.Certificates) == 0 {
		return Message{}, fmt.Errorf("render the mail %s: it is about no certificate", TemplateClientCertsExpiring)
	}
	language, _, _ := strings.Cut(m.Locale, "_")
	words, ok := expiringTexts[language]
	if !ok {
		language, words = "en", expiringTexts["en"]
	}
	subject := words.one
	if n := len(m.Certificates) + m.More; n > 1 {
		subject = words.many
	}
	shown := listShown{
		Language: language, Link: m.Link, Button: words.button, Rule: words.rule, Lead: put(words.lead, "account", m.Account),
		Subject: put(subject, "n", strconv.Itoa(len(m.Certificates)+m.More), "days", words.span(m.Certificates[0].Days), "platform", m.Platform),
	}
	for _, c := range m.Certificates {
		shown.Lines = append(shown.Lines, words.write(c))
	}
	if m.More > 0 {
		shown.More = put(words.more, "n", strconv.Itoa(m.More))
	}
	return shown.render(TemplateClientCertsExpiring, m.Platform)
}

// write writes the line of a certificate.
func (t expiringText) write(c ExpiringLine) string {
	var what string
	switch {
	case c.Credential && c.For == "":
		what = t.unlinked
	case c.Credential:
		what = put(t.credentials, "name", c.For)
	case c.Holder == "":
		what = put(t.own, "name", c.Name)
	default:
		what = put(t.of, "name", c.Name, "holder", c.Holder)
	}
	return put(t.line, "at", utc(c.NotAfter), "days", t.span(c.Days), "what", what, "serial", c.Serial)
}

// span writes a number of days.
func (t expiringText) span(n int) string {
	if n == 1 {
		return t.day
	}
	return put(t.days, "n", strconv.Itoa(n))
}

// put puts values, tamed, in the place of their names in braces: each once, so that a
// value that has braces stays what it is.
func put(text string, pairs ...string) string {
	var old []string
	for i := 0; i+1 < len(pairs); i += 2 {
		old = append(old, "{"+pairs[i]+"}", tame(pairs[i+1]))
	}
	return strings.NewReplacer(old...).Replace(text)
}
