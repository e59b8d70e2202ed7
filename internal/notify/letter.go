package notify

import (
	"embed"
	"fmt"
	htmltemplate "html/template"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"
)

// A Letter is what mail to a person about their sign-in says. Its Link may hold the secret
// of a link that is good once, so the message is as secret.
type Letter struct {
	Locale   string    // such as "de_DE"; English is used for languages without a text
	Platform string    // the name of the installation
	Account  string    // "" if there is none yet
	Person   string    // who did it: of invitations
	What     string    // of notices: one of [LetterNotices]
	From     string    // an address: from where, "" if it is not known
	Link     string    // an absolute URL of the portal
	At       time.Time // when it was
	Expires  time.Time // of links that are good once
}

// LetterNotices are what a notice may tell of.
var LetterNotices = []string{"locked", "password", "factor_added", "factor_removed", "recovery_code"}

// letterText is a letter in one language. Its texts are templates over a Letter.
type letterText struct {
	subject string
	before  []string // paragraphs before the link
	button  string
	after   []string
}

// letterShown is a letter as the layout shows it.
type letterShown struct {
	Language, Subject, Button, Link, Footer string
	Before, After                           []string
}

//go:embed letter/*.tmpl
var letterFiles embed.FS

var (
	letterPlain = texttemplate.Must(texttemplate.ParseFS(letterFiles, "letter/letter.text.tmpl"))
	letterHTML  = htmltemplate.Must(htmltemplate.ParseFS(letterFiles, "letter/letter.html.tmpl"))
)

// LetterLanguages returns the languages that letters are written in.
func LetterLanguages() []string { return []string{"en", "de"} }

// LetterTemplates returns the names of the templates that RenderLetter takes.
func LetterTemplates() []string {
	var names []string
	for name := range letters["en"] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// RenderLetter writes a message from one of LetterTemplates. All texts of the letter are
// shown on one line and cannot make a link of their own. It refuses an unknown template,
// an unknown notice, and a link that is not an absolute http or https URL.
func RenderLetter(template string, l Letter) (Message, error) {
	language, _, _ := strings.Cut(l.Locale, "_")
	if letters[language] == nil {
		language = "en"
	}
	text, ok := letters[language][template]
	if !ok {
		return Message{}, fmt.Errorf("render a letter: there is no template %q", template)
	}
	if err := checkLink(l.Link); err != nil {
		return Message{}, fmt.Errorf("render the letter %s: %w", template, err)
	}
	if l.What != "" && !slices.Contains(LetterNotices, l.What) {
		return Message{}, fmt.Errorf("render the letter %s: there is no notice %q", template, l.What)
	}
	for _, field := range []*string{&l.Platform, &l.Account, &l.Person, &l.From} {
		*field = tame(*field)
	}
	shown := letterShown{
		Language: language, Subject: l.write(text.subject), Button: l.write(text.button), Link: l.Link,
		Footer: l.write(letterFooters[language]),
	}
	for _, p := range text.before {
		shown.Before = append(shown.Before, l.write(p))
	}
	for _, p := range text.after {
		shown.After = append(shown.After, l.write(p))
	}
	var plain, html strings.Builder
	if err := letterPlain.Execute(&plain, shown); err != nil {
		return Message{}, fmt.Errorf("render the letter %s: %w", template, err)
	}
	if err := letterHTML.Execute(&html, shown); err != nil {
		return Message{}, fmt.Errorf("render the letter %s: %w", template, err)
	}
	return Message{Subject: shown.Subject, Text: plain.String(), HTML: html.String()}, nil
}

// write fills one text of the catalogue in. The catalogue is our own, and a test renders
// all of it: a text that does not parse is a bug.
func (l Letter) write(text string) string {
	var b strings.Builder
	t := texttemplate.Must(texttemplate.New("").Funcs(map[string]any{"utc": utc}).Parse(text))
	if err := t.Execute(&b, l); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

var letterFooters = map[string]string{
	"en": "This mail was sent by a program of {{.Platform}}; answers are not read.",
	"de": "Diese E-Mail hat ein Programm von {{.Platform}} verschickt; Antworten werden nicht gelesen.",
}

// letters are the texts by language and template.
var letters = map[string]map[string]letterText{
	"en": {
		"sign_in_verify": {
			subject: "Confirm your address for {{.Platform}}",
			before:  []string{"Somebody, probably you, registered at {{.Platform}} with this address and chose a password."},
			button:  "Confirm the address",
			after: []string{
				"The link can be used once, until {{utc .Expires}}. The page asks for the password that was chosen then.",
				"If it was not you, say so on that page, or do nothing. Without the password the link opens no account.",
			},
		},
		"sign_in_known": {
			subject: "You have an account at {{.Platform}}",
			before:  []string{"Somebody, perhaps you, registered at {{.Platform}} with this address at {{utc .At}}. It is that of your account already, so nothing was changed."},
			button:  "Sign in",
			after:   []string{"If you do not remember your password, reset it on that page. If it was not you, do nothing."},
		},
		"sign_in_reset": {
			subject: "Set a new password for {{.Platform}}",
			before:  []string{"Somebody, probably you, asked for a new password for your account at {{.Platform}}{{if .From}}, from {{.From}}{{end}}."},
			button:  "Set a new password",
			after: []string{
				"The link can be used once, until {{utc .Expires}}. It signs you out everywhere, and unlocks your account if too many attempts have locked it.",
				"If it was not you, do nothing: your password stays as it is.",
			},
		},
		"sign_in_invite": {
			subject: "Join {{.Account}} at {{.Platform}}",
			before:  []string{"{{if .Person}}{{.Person}} invites{{else}}The operators of {{.Platform}} invite{{end}} you to the account \"{{.Account}}\" at {{.Platform}}."},
			button:  "Accept the invitation",
			after:   []string{"You choose your password there. The link can be used once, until {{utc .Expires}}.", "If you do not know the account, do nothing."},
		},
		"sign_in_notice": {
			subject: "{{if eq .What \"locked\"}}Your account is locked{{else}}Your sign-in was changed{{end}} ({{.Platform}})",
			before: []string{
				"{{if eq .What \"locked\"}}Your account was locked: the password or the second factor was wrong six times in a row.{{end}}" +
					"{{if eq .What \"password\"}}Your password was changed. All your other sessions have ended.{{end}}" +
					"{{if eq .What \"factor_added\"}}A second factor was added to your account.{{end}}" +
					"{{if eq .What \"factor_removed\"}}A second factor was removed from your account.{{end}}" +
					"{{if eq .What \"recovery_code\"}}A recovery code was used to sign in to your account. It cannot be used again.{{end}}",
				"This was at {{utc .At}}{{if .From}}, from {{.From}}{{end}}.",
			},
			button: "Go to the sign-in page",
			after:  []string{"{{if eq .What \"locked\"}}Reset your password there to unlock it.{{else}}If it was not you, reset your password at once and tell your administrator.{{end}}"},
		},
	},
	"de": {
		"sign_in_verify": {
			subject: "Bestätigen Sie Ihre Adresse für {{.Platform}}",
			before:  []string{"Jemand, wahrscheinlich Sie, hat sich mit dieser Adresse bei {{.Platform}} registriert und ein Passwort gewählt."},
			button:  "Adresse bestätigen",
			after: []string{
				"Der Link gilt einmal und bis {{utc .Expires}}. Die Seite fragt nach dem Passwort, das dabei gewählt wurde.",
				"Wenn Sie es nicht waren, sagen Sie es auf der Seite, oder tun Sie nichts. Ohne das Passwort eröffnet der Link kein Konto.",
			},
		},
		"sign_in_known": {
			subject: "Sie haben ein Konto bei {{.Platform}}",
			before:  []string{"Jemand, vielleicht Sie, hat sich mit dieser Adresse bei {{.Platform}} registriert, um {{utc .At}}. Sie gehört schon zu Ihrem Konto; es wurde nichts geändert."},
			button:  "Anmelden",
			after:   []string{"Wenn Sie Ihr Passwort nicht mehr wissen, setzen Sie dort ein neues. Wenn Sie es nicht waren, tun Sie nichts."},
		},
		"sign_in_reset": {
			subject: "Neues Passwort für {{.Platform}}",
			before:  []string{"Jemand, wahrscheinlich Sie, möchte ein neues Passwort für Ihr Konto bei {{.Platform}} setzen{{if .From}}, von {{.From}} aus{{end}}."},
			button:  "Neues Passwort setzen",
			after: []string{
				"Der Link gilt einmal und bis {{utc .Expires}}. Er meldet Sie überall ab und entsperrt Ihr Konto, wenn es nach zu vielen Versuchen gesperrt ist.",
				"Wenn Sie es nicht waren, tun Sie nichts: Ihr Passwort bleibt, wie es ist.",
			},
		},
		"sign_in_invite": {
			subject: "Einladung zu {{.Account}} bei {{.Platform}}",
			before:  []string{"{{if .Person}}{{.Person}} lädt Sie{{else}}Die Betreiber von {{.Platform}} laden Sie{{end}} in das Konto \"{{.Account}}\" bei {{.Platform}} ein."},
			button:  "Einladung annehmen",
			after:   []string{"Dort wählen Sie Ihr Passwort. Der Link gilt einmal und bis {{utc .Expires}}.", "Wenn Sie das Konto nicht kennen, tun Sie nichts."},
		},
		"sign_in_notice": {
			subject: "{{if eq .What \"locked\"}}Ihr Konto ist gesperrt{{else}}Ihre Anmeldung wurde geändert{{end}} ({{.Platform}})",
			before: []string{
				"{{if eq .What \"locked\"}}Ihr Konto wurde gesperrt: Passwort oder zweiter Faktor waren sechsmal hintereinander falsch.{{end}}" +
					"{{if eq .What \"password\"}}Ihr Passwort wurde geändert. Alle Ihre anderen Sitzungen sind beendet.{{end}}" +
					"{{if eq .What \"factor_added\"}}Ein zweiter Faktor wurde zu Ihrem Konto hinzugefügt.{{end}}" +
					"{{if eq .What \"factor_removed\"}}Ein zweiter Faktor wurde von Ihrem Konto entfernt.{{end}}" +
					"{{if eq .What \"recovery_code\"}}Mit einem Wiederherstellungscode wurde Ihr Konto geöffnet. Er gilt nicht noch einmal.{{end}}",
				"Das war um {{utc .At}}{{if .From}}, von {{.From}} aus{{end}}.",
			},
			button: "Zur Anmeldung",
			after:  []string{"{{if eq .What \"locked\"}}Setzen Sie dort ein neues Passwort, um es zu entsperren.{{else}}Wenn Sie es nicht waren, setzen Sie sofort ein neues Passwort und verständigen Sie Ihren Administrator.{{end}}"},
		},
	},
}
