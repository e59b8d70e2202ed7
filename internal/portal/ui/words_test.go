package ui_test

import (
	"context"
	"html"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/telamon-ca/telamon/internal/portal/ui"
)

func wordsOf(t testing.TB, text string) string {
	t.Helper()
	var b strings.Builder
	if err := ui.Words(text).Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestWords holds where words break: after marks, and never inside a part that a line can
// hold.
func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "Robot 7": "Robot 7", "a_b.c-d": "a_b.c-d", "metering_prod": "metering_<wbr>prod", "ada@northwind.example": "ada@<wbr>northwind.<wbr>example",
		"of ops/deploy-key now": "of ops/<wbr>deploy-<wbr>key now", "trailing_mark_": "trailing_<wbr>mark_",
		"<b>&amp;_under": "&lt;b&gt;&amp;amp;_<wbr>under", strings.Repeat("x", 40): strings.Repeat("x", 32) + "<wbr>" + strings.Repeat("x", 8),
	} {
		if got := wordsOf(t, text); got != want {
			t.Errorf("Words(%q) = %q, want %q", text, got, want)
		}
	}
}

// FuzzWords holds that breaks add nothing but themselves, and that no text makes markup.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{"metering_prod", "<script>_alert(1)</script>", "長い名前がここにあります_とても長い", "a  b\n\tc", "&lt;_&amp;----"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		out := wordsOf(t, text)
		plain := strings.ReplaceAll(out, "<wbr>", "")
		if strings.ContainsAny(plain, "<>\"") || html.UnescapeString(plain) != text {
			t.Errorf("Words(%q) = %q", text, out)
		}
	})
}
