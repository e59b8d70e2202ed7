package notify

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An IdentityMail tells the people of an account of one of its identities.
type IdentityMail struct {
	Locale   string // such as "de_DE"; English is used for languages without a text
	Platform string // the name of the installation
	Account  string
	Identity string
	Case     string    // the reference of the case, which the subject shows; "" if there is none
	Again    bool      // it was vetted before, and stays what it is meanwhile
	Reason   string    // of a rejection
	Expires  time.Time // zero: never
	Days     int       // until then
	ReplyTo  string    // the address that answers go to; "": nobody reads them
	Link     string    // the identity's page: an absolute URL of the portal, "" if there is none
}

// identityText is such a mail in one language. In the place of names in braces come values.
type identityText struct {
	subject string
	before  []string
	again   []string // in place of before if the identity was vetted before; nil: before
}

// identityWords are what all such mails of a language have.
type identityWords struct {
	button, reason, answer string
	day, days              string
	texts                  map[string]identityText
}

var identityLanguages = map[string]identityWords{
	"en": {
		button: "Open the identity", reason: "Reason: {reason}",
		answer: "To ask or to add something, answer this mail and leave {case} in its subject.", day: "1 day", days: "{n} days",
		texts: map[string]identityText{
			"identity_queued": {
				subject: "\"{identity}\" waits for vetting",
				before: []string{
					"The identity \"{identity}\" of the account \"{account}\" was requested. A vetting agent checks its name and address in independent sources, and then gets in touch with the organization.",
					"Tell your reception: somebody may call the organization's public number and ask for the person who is responsible.",
				},
				again: []string{"The identity \"{identity}\" of the account \"{account}\" is being vetted again. It stays what it is meanwhile, and so does whatever uses it."},
			},
			"identity_processed": {
				subject: "\"{identity}\" is checked, and waits for approval",
				before:  []string{"The checks of the identity \"{identity}\" of the account \"{account}\" are done. A second agent looks at them now; you need do nothing."},
			},
			"identity_active": {
				subject: "\"{identity}\" is active",
				before:  []string{"The identity \"{identity}\" of the account \"{account}\" is active: you can make credentials and request certificates for it."},
				again:   []string{"The identity \"{identity}\" of the account \"{account}\" was vetted again. Nothing that uses it has to be changed."},
			},
			"identity_rejected": {
				subject: "\"{identity}\" could not be verified",
				before:  []string{"The identity \"{identity}\" of the account \"{account}\" could not be verified.", "What was submitted cannot be changed: request a new identity once the reason is gone."},
				again:   []string{"The identity \"{identity}\" of the account \"{account}\" could not be verified this time. It stays active until its end, if that has not come."},
			},
			"identity_expiring": {
				subject: "\"{identity}\" must be vetted again within {days}",
				before:  []string{"The vetting of the identity \"{identity}\" of the account \"{account}\" is good until {expires}. After that nothing is issued for it.", "Have it vetted again on its page. Credentials and certificates stay as they are."},
			},
			"identity_expired": {
				subject: "\"{identity}\" has expired",
				before:  []string{"The vetting of the identity \"{identity}\" of the account \"{account}\" was good until {expires}. Nothing is issued for it until it is vetted again, which you can ask for on its page.", "Credentials stay, and go on working then."},
			},
		},
	},
	"de": {
		button: "Identität öffnen", reason: "Grund: {reason}",
		answer: "Für Fragen und Nachträge antworten Sie auf diese E-Mail und lassen {case} im Betreff.", day: "1 Tag", days: "{n} Tagen",
		texts: map[string]identityText{
			"identity_queued": {
				subject: "\"{identity}\" wartet auf die Prüfung",
				before: []string{
					"Die Identität \"{identity}\" des Kontos \"{account}\" wurde beantragt. Das Prüfteam sucht Name und Anschrift in unabhängigen Quellen und nimmt dann Verbindung mit der Organisation auf.",
					"Sagen Sie Ihrem Empfang Bescheid: Jemand ruft vielleicht die öffentliche Nummer der Organisation an und fragt nach der zuständigen Person.",
				},
				again: []string{"Die Identität \"{identity}\" des Kontos \"{account}\" wird erneut geprüft. Sie und alles, was sie benutzt, bleibt solange, was es ist."},
			},
			"identity_processed": {
				subject: "\"{identity}\" ist geprüft und wartet auf die Freigabe",
				before:  []string{"Die Prüfungen der Identität \"{identity}\" des Kontos \"{account}\" sind erledigt. Eine zweite Person sieht sie jetzt an; Sie müssen nichts tun."},
			},
			"identity_active": {
				subject: "\"{identity}\" ist aktiv",
				before:  []string{"Die Identität \"{identity}\" des Kontos \"{account}\" ist aktiv: Sie können Zugangsdaten erstellen und Zertifikate für sie beantragen."},
				again:   []string{"Die Identität \"{identity}\" des Kontos \"{account}\" wurde erneut geprüft. Was sie benutzt, bleibt, wie es ist."},
			},
			"identity_rejected": {
				subject: "\"{identity}\" ließ sich nicht bestätigen",
				before:  []string{"Die Identität \"{identity}\" des Kontos \"{account}\" ließ sich nicht bestätigen.", "Eingereichte Angaben lassen sich nicht ändern: Beantragen Sie eine neue Identität, sobald der Grund behoben ist."},
				again:   []string{"Die Identität \"{identity}\" des Kontos \"{account}\" ließ sich diesmal nicht bestätigen. Sie bleibt bis zu ihrem Ende aktiv, wenn es noch nicht erreicht ist."},
			},
			"identity_expiring": {
				subject: "\"{identity}\" muss in {days} wieder geprüft sein",
				before:  []string{"Die Prüfung der Identität \"{identity}\" des Kontos \"{account}\" gilt bis {expires}. Danach wird für sie nichts mehr ausgestellt.", "Lassen Sie sie auf ihrer Seite erneut prüfen. Zugangsdaten und Zertifikate bleiben, wie sie sind."},
			},
			"identity_expired": {
				subject: "\"{identity}\" ist abgelaufen",
				before:  []string{"Die Prüfung der Identität \"{identity}\" des Kontos \"{account}\" galt bis {expires}. Für sie wird nichts ausgestellt, bis sie erneut geprüft ist; das können Sie auf ihrer Seite verlangen.", "Zugangsdaten bleiben und gelten dann weiter."},
			},
		},
	},
}

// IdentityTemplates returns the names of the templates that RenderIdentity takes.
func IdentityTemplates() []string { return slices.Sorted(maps.Keys(identityLanguages["en"].texts)) }

// RenderIdentity writes a message from one of IdentityTemplates, in the reader's language.
// All texts are shown on one line and cannot make a link of their own. It refuses an unknown
// template, and a link that is not an absolute http or https URL.
func RenderIdentity(template string, m IdentityMail) (Message, error) {
	language, _, _ := strings.Cut(m.Locale, "_")
	words, ok := identityLanguages[language]
	if !ok {
		language, words = "en", identityLanguages["en"]
	}
	text, ok := words.texts[template]
	if !ok {
		return Message{}, fmt.Errorf("render a mail about an identity: there is no template %q", template)
	}
	if m.Link != "" {
		if err := checkLink(m.Link); err != nil {
			return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
		}
	}
	days := words.day
	if m.Days != 1 {
		days = put(words.days, "n", strconv.Itoa(m.Days))
	}
	write := func(text string) string {
		return put(text, "identity", m.Identity, "account", m.Account, "case", m.Case, "reason", m.Reason,
			"expires", utc(m.Expires), "days", days, "platform", m.Platform)
	}
	subject := text.subject
	if m.Case != "" {
		subject = "[{case}] " + subject
	}
	shown := letterShown{Language: language, Subject: write(subject), Button: words.button, Link: m.Link}
	before := text.before
	if m.Again && text.again != nil {
		before = text.again
	}
	for _, p := range before {
		shown.Before = append(shown.Before, write(p))
	}
	if m.Reason != "" {
		shown.Before = append(shown.Before, write(words.reason))
	}
	footer := strings.ReplaceAll(letterFooters[language], "{{.Platform}}", "{platform}")
	message := Message{Subject: shown.Subject}
	if m.ReplyTo != "" && m.Case != "" {
		footer = words.answer
		message.Headers = map[string]string{"Reply-To": m.ReplyTo}
	}
	shown.Footer = write(footer)
	var plain, html strings.Builder
	if err := letterPlain.Execute(&plain, shown); err != nil {
		return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
	}
	if err := letterHTML.Execute(&html, shown); err != nil {
		return Message{}, fmt.Errorf("render the mail %s: %w", template, err)
	}
	message.Text, message.HTML = plain.String(), html.String()
	return message, nil
}
