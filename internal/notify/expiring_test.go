package notify

import (
	"strings"
	"testing"
)

// TestExpiringLint holds what the mail must be in every language, whatever strangers
// choose as names.
func TestExpiringLint(t *testing.T) {
	for language := range expiringTexts {
		for _, text := range []string{"metering_prod", evil, strings.Repeat("長", 2000), "{serial}{holder}", ""} {
			m, err := RenderExpiring(ExpiringMail{
				Locale: language + "_XX", Platform: text, Account: text, More: 3, Link: portal,
				Certificates: []ExpiringLine{
					{Name: text, Holder: text, Serial: "0A", NotAfter: deadline, Days: 7}, {Name: text, Serial: "0B", NotAfter: deadline, Days: 1},
					{Credential: true, For: text, Serial: "0C", NotAfter: deadline, Days: 1}, {Credential: true, Serial: "0D", NotAfter: deadline, Days: 1},
				},
			})
			if err != nil {
				t.Fatalf("in %s: %v", language, err)
			}
			lint(t, "expiring in "+language, m)
			for _, want := range []string{"0A", "0B", "0C", "0D", "3", portal} {
				if !strings.Contains(m.Text, want) || !strings.Contains(m.HTML, want) {
					t.Errorf("in %s %q is missing: %s", language, want, m.Text)
				}
			}
		}
	}
}

// TestExpiringWords holds what is said of one certificate and of several, and in which
// language.
func TestExpiringWords(t *testing.T) {
	one := ExpiringMail{Platform: "Trust", Account: "Acme", Certificates: []ExpiringLine{{Name: "laptop", Serial: "0A", NotAfter: deadline, Days: 1}}}
	two := one
	two.Certificates = append(two.Certificates, ExpiringLine{Name: "build", Holder: "Robot", Serial: "0B", NotAfter: deadline, Days: 7})
	tests := []struct {
		locale  string
		mail    ExpiringMail
		subject string
		lines   []string
	}{
		{"en_US", one, "A client certificate expires in 1 day (Trust)", []string{`in 1 day: your client certificate "laptop", serial number 0A`}},
		{"en_US", two, "2 client certificates expire, the first in 1 day (Trust)", []string{`in 7 days: client certificate "build" of Robot, serial number 0B`}},
		{"de_DE", one, "Ein Client-Zertifikat läuft ab, noch 1 Tag (Trust)", []string{`noch 1 Tag: Ihr Client-Zertifikat "laptop", Seriennummer 0A`}},
		{"ja_JP", one, "A client certificate expires in 1 day (Trust)", nil},
	}
	for _, tt := range tests {
		tt.mail.Locale = tt.locale
		m, err := RenderExpiring(tt.mail)
		if err != nil || m.Subject != tt.subject {
			t.Errorf("in %s the subject is %q, %v; want %q", tt.locale, m.Subject, err, tt.subject)
		}
		for _, line := range tt.lines {
			if !strings.Contains(m.Text, line) {
				t.Errorf("in %s there is no %q in %s", tt.locale, line, m.Text)
			}
		}
	}
	if _, err := RenderExpiring(ExpiringMail{}); err == nil {
		t.Error("a mail about nothing is made")
	}
	one.Link = "javascript:alert(1)"
	if _, err := RenderExpiring(one); err == nil {
		t.Error("a script is a link")
	}
}
