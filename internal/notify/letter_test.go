package notify

import (
	"slices"
	"strings"
	"testing"
)

func letterOf(text string) Letter {
	return Letter{Platform: text, Account: text, Person: text, From: text, Link: link, At: deadline, Expires: deadline}
}

// TestLetterLint holds what every letter must be in every language, whatever strangers
// choose.
func TestLetterLint(t *testing.T) {
	for _, language := range LetterLanguages() {
		for _, name := range LetterTemplates() {
			for _, what := range LetterNotices {
				for _, text := range []string{"example.test", evil, strings.Repeat("長", 2000), ""} {
					l := letterOf(text)
					l.Locale, l.What = language+"_XX", what
					m, err := RenderLetter(name, l)
					if err != nil {
						t.Fatalf("%s in %s: %v", name, language, err)
					}
					m.Text, m.HTML = strings.ReplaceAll(m.Text, link, portal), strings.ReplaceAll(m.HTML, strings.ReplaceAll(link, "&", "&amp;"), portal)
					lint(t, name+" in "+language, m)
				}
			}
		}
	}
}

// TestLetterLanguages finds every letter in every language, none of them the same.
func TestLetterLanguages(t *testing.T) {
	for _, name := range LetterTemplates() {
		seen := map[string]bool{}
		for _, language := range LetterLanguages() {
			l := letterOf("Acme")
			l.Locale, l.What = language+"_XX", "password"
			m, err := RenderLetter(name, l)
			if err != nil || seen[m.Text] || !strings.Contains(m.HTML, `<html lang="`+language+`">`) {
				t.Errorf("%s in %s: %v, %q", name, language, err, m.Text)
			}
			seen[m.Text] = true
		}
		l := letterOf("Acme")
		l.Locale, l.What = "ja_JP", "password"
		if m, err := RenderLetter(name, l); err != nil || !seen[m.Text] {
			t.Errorf("%s in a language without texts: %v, %q", name, err, m.Text)
		}
	}
	for _, language := range LetterLanguages() {
		if len(letters[language]) != len(letters["en"]) || letterFooters[language] == "" {
			t.Errorf("letters in %s: %d", language, len(letters[language]))
		}
	}
}

func TestLetterRefuses(t *testing.T) {
	for name, change := range map[string]func(*Letter) string{
		"another template": func(*Letter) string { return TemplateClaimApproval },
		"another notice":   func(l *Letter) string { l.What = "nothing"; return "sign_in_notice" },
		"no link":          func(l *Letter) string { l.Link = ""; return "sign_in_verify" },
		"a script":         func(l *Letter) string { l.Link = "javascript:alert(1)"; return "sign_in_verify" },
	} {
		l := letterOf("Acme")
		if _, err := RenderLetter(change(&l), l); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !slices.IsSorted(LetterTemplates()) || len(LetterTemplates()) != 5 {
		t.Errorf("the templates are %v", LetterTemplates())
	}
}
