package notify

import (
	"strings"
	"testing"
)

func TestMasked(t *testing.T) {
	value := strings.Repeat("aB3_", 16)
	m := Masked(Message{Subject: "Hello", Text: "Open\n\nhttps://portal.example/reset/" + value + "\n\nor https://portal.example/domains.", HTML: "<a href=\"" + value + "\">"})
	if strings.Contains(m.Text+m.HTML, value) || !strings.Contains(m.Text, "https://portal.example/reset/••••••••\n") || !strings.Contains(m.Text, "https://portal.example/domains.") {
		t.Errorf("%q, %q", m.Text, m.HTML)
	}
	for name, data := range mails("example.test") {
		m, err := Render(name, data)
		if err != nil {
			t.Fatal(err)
		}
		if shown := Masked(m); strings.Contains(shown.Text, link) || shown.Text == "" {
			t.Errorf("%s shows its link: %q", name, shown.Text)
		}
	}
}
