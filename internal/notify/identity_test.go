package notify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/notify"
)

// TestRenderIdentity holds that each mail about an identity is whole in each language, that
// its subject has the case's reference, and that no name makes a link or a line of its own.
func TestRenderIdentity(t *testing.T) {
	for _, template := range notify.IdentityTemplates() {
		for _, locale := range []string{"en_US", "de_DE", "ja_JP"} {
			for _, again := range []bool{false, true} {
				m, err := notify.RenderIdentity(template, notify.IdentityMail{
					Locale: locale, Platform: "Telamon", Account: "Acme\r\nBcc: all@example.com", Identity: "https://evil.example <b>{case}</b>",
					Case: "VET-2026-000123", Again: again, Reason: "none of {reason}", Expires: time.Date(2027, 1, 2, 3, 4, 0, 0, time.UTC), Days: 1,
					ReplyTo: "vetting@example.com", Link: "https://portal.example/identities/idn_1",
				})
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(m.Subject, "[VET-2026-000123] ") || strings.ContainsAny(m.Subject, "\r\n") || m.Headers["Reply-To"] != "vetting@example.com" {
					t.Errorf("%s in %s: the subject is %q, the headers are %v", template, locale, m.Subject, m.Headers)
				}
				if strings.Contains(m.Text+m.HTML, "https://evil") || strings.Contains(m.HTML, "<b>") || !strings.Contains(m.Text, "none of {reason}") ||
					strings.Contains(m.Text, "Acme\r\n") || strings.Contains(m.Text, "{days}") || !strings.Contains(m.Text, "VET-2026-000123") {
					t.Errorf("%s in %s: the text is %q", template, locale, m.Text)
				}
				if german := strings.Contains(m.HTML, `lang="de"`); german != (locale == "de_DE") {
					t.Errorf("%s in %s is German: %t", template, locale, german)
				}
			}
		}
	}
	if _, err := notify.RenderIdentity("identity_queued", notify.IdentityMail{Link: "javascript:alert(1)"}); err == nil {
		t.Error("a link that is none was written")
	}
	if _, err := notify.RenderIdentity("none", notify.IdentityMail{}); err == nil {
		t.Error("an unknown template was written")
	}
	m, err := notify.RenderIdentity("identity_active", notify.IdentityMail{Identity: "Acme"})
	if err != nil || m.Subject != `"Acme" is active` || m.Headers != nil {
		t.Errorf("without a case it is %+v, %v", m, err)
	}
}
