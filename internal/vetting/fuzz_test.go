package vetting_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/vetting"
)

func sqlite(t testing.TB) string { t.Helper(); return dbtest.SQLite(t) }

// FuzzKeepable looks at files of evidence: what is kept is of a type that no browser runs,
// and its name can be sent and shown.
func FuzzKeepable(f *testing.F) {
	if seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name())); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		clean := vetting.FileName(name)
		if again := vetting.FileName(clean); again != clean {
			t.Errorf("the name %q becomes %q, and then %q", name, clean, again)
		}
		if !utf8.ValidString(clean) || utf8.RuneCountInString(clean) > 100 || strings.ContainsFunc(clean, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(`"/\%;`, r) }) {
			t.Errorf("the name %q becomes %q", name, clean)
		}
		media := vetting.MediaTypeOf(clean, content)
		if media != "" && !slices.Contains([]string{"application/pdf", "image/png", "image/jpeg", "text/plain"}, media) {
			t.Errorf("a file is %q", media)
		}
		if media == "text/plain" && !utf8.Valid(content) {
			t.Error("a text cannot be read")
		}
	})
}
