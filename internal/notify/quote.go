package notify

import (
	"fmt"
	htmltemplate "html/template"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"
)

// The mails of quotes and quota. [RenderQuote] makes the first three, [RenderQuota] the last.
const (
	TemplateQuoteSent     = "quote_sent"     // can be accepted
	TemplateQuoteAccepted = "quote_accepted" // was accepted
	TemplateQuoteResult   = "quote_result"   // passed its credit check, or was cancelled
	TemplateQuotaUsed     = "quota_used"
)

// A QuoteMail is what mail says of a quote, to the people of its account or, of one whose
// credit must be checked, to the operators.
type QuoteMail struct {
	Locale      string // such as "de_DE"; English is used for languages without a text
	Platform    string // the name of the installation
	Account     string
	Quote       string // its ID
	Total       string // with the currency
	Lines       []QuoteLine
	Deadline    time.Time // until when it can be accepted
	At          time.Time // when it was accepted, cleared or cancelled
	Person      string    // who accepted it
	PO          string    // the purchase order number, "" for none
	CreditCheck bool      // of quote_accepted: it waits for an operator
	Cancelled   bool      // of quote_result
	Reason      string    // of a quote that was cancelled, "" for none
	Link        string    // the quote's page: an absolute URL of the portal, "" if there is none
}

// A QuoteLine is one line of a quote in a mail.
type QuoteLine struct {
	Service string
	Amount  int64 // of certificates, 0 without quota
	Months  int
	Price   string // with the currency, "" of a trial
}

// A QuotaMail tells a person of an account that a service's quota is nearly used.
type QuotaMail struct {
	Locale   string // as of a QuoteMail
	Platform string
	Account  string
	Service  string
	Percent  int64 // 80, 95 or 100
	Used     int64
	Amount   int64
	At       time.Time // when it was so
	Link     string    // the page of services: an absolute URL of the portal, "" if there is none
}

// A quoteText is such a mail in one language, without its lines. In the place of names in
// braces come values.
type quoteText struct{ subject, lead, rule string }

// quoteWords are what the mails of a language say.
type quoteWords struct {
	sent, accepted, checked, cleared, cancelled, used, usedUp quoteText
	order, reason                                             string // what is added to a text
	line, amount, unlimited, trial                            string
	quote, services                                           string // buttons
}

var quoteLanguages = map[string]quoteWords{
	"en": {
		sent: quoteText{"A quote waits for you: {total}", "We offer to {account}, for {total} in all:",
			"The quote {quote} can be accepted until {deadline}, by an administrator or somebody with the role Finance. Its services are there at once."},
		accepted: quoteText{"A quote was accepted: {total}", "{person} accepted the quote {quote} of {account}, for {total} in all, at {at}{order}:",
			"Its services are there now."},
		checked: quoteText{"A quote was accepted, and its credit is checked: {total}", "{person} accepted the quote {quote} of {account}, for {total} in all, at {at}{order}:",
			"At this amount an operator checks the credit first. Then the services are there at once, and nothing has to be accepted again."},
		cleared: quoteText{"A quote passed its credit check: {total}", "The quote {quote} of {account}, for {total}, passed its credit check at {at}:",
			"Its services are there now, and nothing has to be accepted again."},
		cancelled: quoteText{"A quote was cancelled: {total}", "The quote {quote} of {account}, for {total}, was cancelled at {at}.{reason}",
			"What it granted can be used no more. Certificates that were issued stay as they are."},
		used: quoteText{"The quota of {service} is used to {percent} %", "Of the quota of the service \"{service}\" of the account \"{account}\", {used} of {amount} certificates were used at {at}.",
			"When it is used up, no certificate is issued until there is more. Reorder a pack, or ask for a quote."},
		usedUp: quoteText{"The quota of {service} is used up", "Of the quota of the service \"{service}\" of the account \"{account}\", {used} of {amount} certificates were used at {at}.",
			"No certificate is issued until there is more. Reorder a pack, or ask for a quote."},
		order: ", with the purchase order number {po}", reason: " The reason: {reason}",
		line: "{service}: {amount} for {months} months, {price}", amount: "{n} certificates", unlimited: "without quota", trial: "a trial",
		quote: "Open the quote", services: "Open the services",
	},
	"de": {
		sent: quoteText{"Ein Angebot wartet auf Sie: {total}", "Wir bieten {account} für insgesamt {total} an:",
			"Das Angebot {quote} kann bis {deadline} angenommen werden, von einem Administrator oder jemandem mit der Rolle Finanzen. Seine Dienste sind dann sofort da."},
		accepted: quoteText{"Ein Angebot wurde angenommen: {total}", "{person} hat das Angebot {quote} von {account} für insgesamt {total} um {at} angenommen{order}:",
			"Seine Dienste sind jetzt da."},
		checked: quoteText{"Ein Angebot wurde angenommen, die Bonität wird geprüft: {total}", "{person} hat das Angebot {quote} von {account} für insgesamt {total} um {at} angenommen{order}:",
			"Bei diesem Betrag prüfen die Betreiber zuerst die Bonität. Danach sind die Dienste sofort da, und niemand muss noch einmal annehmen."},
		cleared: quoteText{"Die Bonität zu einem Angebot ist geprüft: {total}", "Zum Angebot {quote} von {account} für {total} war die Prüfung der Bonität um {at} erfolgreich:",
			"Seine Dienste sind jetzt da, und niemand muss noch einmal annehmen."},
		cancelled: quoteText{"Ein Angebot wurde storniert: {total}", "Das Angebot {quote} von {account} für {total} wurde um {at} storniert.{reason}",
			"Was es gewährt hat, kann nicht mehr benutzt werden. Ausgestellte Zertifikate bleiben, wie sie sind."},
		used: quoteText{"Das Kontingent von {service} ist zu {percent} % verbraucht", "Vom Kontingent des Dienstes \"{service}\" des Kontos \"{account}\" waren um {at} {used} von {amount} Zertifikaten verbraucht.",
			"Ist es aufgebraucht, wird kein Zertifikat ausgestellt, bis es mehr gibt. Bestellen Sie ein Paket nach, oder bitten Sie um ein Angebot."},
		usedUp: quoteText{"Das Kontingent von {service} ist aufgebraucht", "Vom Kontingent des Dienstes \"{service}\" des Kontos \"{account}\" waren um {at} {used} von {amount} Zertifikaten verbraucht.",
			"Es wird kein Zertifikat ausgestellt, bis es mehr gibt. Bestellen Sie ein Paket nach, oder bitten Sie um ein Angebot."},
		order: ", mit der Bestellnummer {po}", reason: " Der Grund: {reason}",
		line: "{service}: {amount} für {months} Monate, {price}", amount: "{n} Zertifikate", unlimited: "ohne Kontingent", trial: "zur Probe",
		quote: "Angebot öffnen", services: "Dienste öffnen",
	},
}

// RenderQuote writes a message of a quote in the reader's language. All texts are shown on
// one line and cannot make a link of their own. It refuses a template that is none of
// quotes, and a link that is not an absolute http or https URL.
func RenderQuote(template string, m QuoteMail) (Message, error) {
	language := languageOf(m.Locale)
	words := quoteLanguages[language]
	var text quoteText
	switch {
	case template == TemplateQuoteSent:
		text = words.sent
	case template == TemplateQuoteAccepted && m.CreditCheck:
		text = words.checked
	case template == TemplateQuoteAccepted:
		text = words.accepted
	case template == TemplateQuoteResult && m.Cancelled:
		text = words.cancelled
	case template == TemplateQuoteResult:
		text = words.cleared
	default:
		return Message{}, fmt.Errorf("render a mail of a quote: there is no template %q", template)
	}
	if m.PO == "" {
		words.order = ""
	}
	if m.Reason == "" {
		words.reason = ""
	}
	lead := strings.NewReplacer("{order}", words.order, "{reason}", words.reason).Replace(text.lead)
	write := func(text string) string {
		return put(text, "account", m.Account, "quote", m.Quote, "total", m.Total, "deadline", utc(m.Deadline), "at", utc(m.At), "person", m.Person,
			"po", m.PO, "reason", m.Reason)
	}
	shown := listShown{Language: language, Subject: write(text.subject), Lead: write(lead), Rule: write(text.rule), Button: words.quote, Link: m.Link}
	if !m.Cancelled {
		for _, l := range m.Lines {
			shown.Lines = append(shown.Lines, words.write(l))
		}
	}
	return shown.render(template, m.Platform)
}

// RenderQuota writes the message of quota that is nearly used, as RenderQuote does.
func RenderQuota(m QuotaMail) (Message, error) {
	language := languageOf(m.Locale)
	words := quoteLanguages[language]
	text := words.used
	if m.Percent >= 100 {
		text = words.usedUp
	}
	write := func(text string) string {
		return put(text, "account", m.Account, "service", m.Service, "percent", strconv.FormatInt(m.Percent, 10), "used", strconv.FormatInt(m.Used, 10),
			"amount", strconv.FormatInt(m.Amount, 10), "at", utc(m.At))
	}
	shown := listShown{Language: language, Subject: write(text.subject), Lead: write(text.lead), Rule: write(text.rule), Button: words.services, Link: m.Link}
	return shown.render(TemplateQuotaUsed, m.Platform)
}

// languageOf is the language of a locale, or English.
func languageOf(locale string) string {
	language, _, _ := strings.Cut(locale, "_")
	if slices.Contains(LetterLanguages(), language) {
		return language
	}
	return "en"
}

// write writes a line of a quote.
func (w quoteWords) write(l QuoteLine) string {
	amount, price := w.unlimited, l.Price
	if l.Amount > 0 {
		amount = put(w.amount, "n", strconv.FormatInt(l.Amount, 10))
	}
	if price == "" {
		price = w.trial
	}
	return put(w.line, "service", l.Service, "amount", amount, "months", strconv.Itoa(l.Months), "price", price)
}

// A listShown is a mail with a list as the layout shows it.
type listShown struct {
	Language, Subject, Lead, Rule, More, Button, Link, Footer string
	Lines                                                     []string
}

var (
	listPlain = texttemplate.Must(texttemplate.ParseFS(letterFiles, "letter/list.text.tmpl"))
	listHTML  = htmltemplate.Must(htmltemplate.ParseFS(letterFiles, "letter/list.html.tmpl"))
)

// render adds the footer. It refuses a link that is not an absolute http or https URL.
func (s listShown) render(template, platform string) (Message, error) {
	if s.Link != "" {
		if err := checkLink(s.Link); err != nil {
			return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
		}
	}
	s.Footer = put(strings.ReplaceAll(letterFooters[s.Language], "{{.Platform}}", "{platform}"), "platform", platform)
	var plain, html strings.Builder
	if err := listPlain.Execute(&plain, s); err != nil {
		return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
	}
	if err := listHTML.Execute(&html, s); err != nil {
		return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
	}
	return Message{Subject: s.Subject, Text: plain.String(), HTML: html.String()}, nil
}
