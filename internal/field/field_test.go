package field_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
)

// seeded fails if the target's corpus has gone away.
func seeded(f *testing.F) {
	f.Helper()
	if seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name())); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
}

// TestProblems holds that one fault tells everything that is wrong.
func TestProblems(t *testing.T) {
	var p field.Problems
	p.Text("name", "Acme", 4)
	kept := p.DisplayName("title", " a b ")
	if err := p.Fault("invalid"); err != nil || kept != "a b" {
		t.Errorf("of what is right there is %v, and %q is kept", err, kept)
	}
	p.Text("none", "", 4)
	p.Text("long", "Ácmes", 4)
	p.Text("blank", "a ", 4)
	p.Text("control", "a\x07", 4)
	p.Text("octets", "\xff", 4)
	p.DisplayName("title", "a/b")
	f := fault.From(p.Fault("invalid"))
	want := []fault.Field{
		{Path: "none", Problem: "is required"}, {Path: "long", Problem: "has more than 4 characters"},
		{Path: "blank", Problem: "begins or ends with a blank"}, {Path: "control", Problem: "holds characters that cannot be shown"},
		{Path: "octets", Problem: "holds characters that cannot be shown"}, {Path: "title", Problem: field.DisplayNameRule},
	}
	if f.Kind != fault.Invalid || f.Code != "invalid" || f.Detail != "none: is required" || !slices.Equal(f.Fields, want) {
		t.Errorf("the fault is %+v, want the fields %+v", f, want)
	}
}

// TestDisplayName goes through names that people give, and through those that they cannot.
func TestDisplayName(t *testing.T) {
	long := strings.Repeat("é", 255)
	for name, want := range map[string]string{
		"a b-c_1": "a b-c_1", " build ": "build", "Überprüfung 2": "Überprüfung 2", "証明書-1": "証明書-1", "ใบรับรอง": "ใบรับรอง",
		"e\u0301": "é", "١٢٣": "١٢٣", long: long, "_": "_", "-": "-",
	} {
		if kept, ok := field.DisplayName(name); !ok || kept != want {
			t.Errorf("%q is kept as %q, %t, want %q", name, kept, ok, want)
		}
	}
	for _, name := range []string{
		"", "  ", "a/b", "a.b", "a\tb", "a\nb", "a\x00b", "a\u00a0b", "<b>", "a'b", "\xff", "\u0301a", "a \u0301", "½", "🙂",
		long + "x", strings.Repeat("a", 1<<20),
	} {
		if kept, ok := field.DisplayName(name); ok || kept != "" {
			t.Errorf("%.40q is kept as %.40q, %t", name, kept, ok)
		}
	}
}

// TestParseEnd goes through the forms of end dates.
func TestParseEnd(t *testing.T) {
	for text, want := range map[string]string{
		"2027-01-02T03:04:05Z":                "2027-01-02T03:04:05Z",
		"2027-01-02":                          "2027-01-02T23:59:59Z",
		"2027-01-02T03:04:05.999Z":            "2027-01-02T03:04:05Z",
		"2027-01-02T03:04:05+09:00":           "2027-01-01T18:04:05Z",
		"2027-01-02T03:04:05.123456789-01:30": "2027-01-02T04:34:05Z",
		"2028-02-29":                          "2028-02-29T23:59:59Z",
		"9999-12-31T23:59:59Z":                "9999-12-31T23:59:59Z",
	} {
		if at, ok := field.ParseEnd(text); !ok || at.Format(time.RFC3339) != want || at.Location() != time.UTC {
			t.Errorf("%q is read as %s, %t, want %s", text, at, ok, want)
		}
	}
	for _, text := range []string{
		"", " ", "tomorrow", "2027", "2027-1-2", "2027-02-29", "2027-13-01", "20270102", "2027-01-02 03:04:05", "2027-01-02T03:04:05",
		"2027-01-02T3:04:05Z", "2027-01-02t03:04:05z", "2027-01-02T24:00:00Z", "2027-01-02T23:59:60Z", "2027-01-02T03:04:05,5Z",
		"2027-01-02T03:04:05+24:00", " 2027-01-02", "2027-01-02 ", "-2027-01-02", "12027-01-02", "1798848000", "2027-01-02Z",
		"9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01",
		"0001-01-01T00:00:00Z", "0001-01-01T09:00:00.5+09:00", // the zero time, which means no end
	} {
		if at, ok := field.ParseEnd(text); ok {
			t.Errorf("%q is read as %s", text, at)
		}
	}
}

// FuzzDisplayName reads names. What is kept is kept the same when it is read again.
func FuzzDisplayName(f *testing.F) {
	seeded(f)
	f.Fuzz(func(t *testing.T, name string) {
		kept, ok := field.DisplayName(name)
		if !ok {
			return
		}
		if n := utf8.RuneCountInString(kept); n < 1 || n > 255 || strings.TrimSpace(kept) != kept {
			t.Fatalf("%q is kept as %q", name, kept)
		}
		if strings.ContainsFunc(kept, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(`/\<>"'&;`, r) }) {
			t.Fatalf("%q is kept as %q", name, kept)
		}
		if again, ok := field.DisplayName(kept); !ok || again != kept {
			t.Fatalf("%q is kept as %q, and that as %q, %t", name, kept, again, ok)
		}
	})
}

// FuzzParseEnd reads end dates. What is read is a second that has a form of its own.
func FuzzParseEnd(f *testing.F) {
	seeded(f)
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := field.ParseEnd(text)
		if !ok {
			return
		}
		form := at.Format(time.RFC3339)
		if again, ok := field.ParseEnd(form); !ok || !again.Equal(at) || at.Location() != time.UTC || at.Nanosecond() != 0 {
			t.Fatalf("%q is read as %s, and that as %s, %t", text, form, again, ok)
		}
	})
}
