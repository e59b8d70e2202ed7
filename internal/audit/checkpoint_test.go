package audit_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon/internal/audit"
)

const origin = "audit.ca.example"

// newKey returns the signer and the verifier of a new log key.
func newKey(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := audit.NewSigner(name, private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := audit.NewVerifier(name, public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

func TestCheckpoint(t *testing.T) {
	signer, verifier := newKey(t, origin)
	tree, _ := grow(t, 300)
	want := audit.Checkpoint{Origin: origin, Tree: tree, At: noon}
	signed, err := audit.SignCheckpoint(want, signer)
	if err != nil {
		t.Fatal(err)
	}
	text := "audit.ca.example\n300\n" + tree.Root.String() + "\ntime 2026-11-22T12:00:00.123Z\n"
	if !strings.HasPrefix(signed, text+"\n") {
		t.Errorf("the note is\n%s\nwant it to begin with\n%s", signed, text)
	}
	got, err := audit.OpenCheckpoint(signed, verifier)
	if err != nil || got != want {
		t.Errorf("OpenCheckpoint = %+v, %v; want %+v", got, err, want)
	}
	for i := range len(text) {
		bad := []byte(signed)
		bad[i] ^= 1
		if c, err := audit.OpenCheckpoint(string(bad), verifier); err == nil {
			t.Fatalf("with octet %d altered OpenCheckpoint = %+v, want an error", i, c)
		}
	}
	_, stranger := newKey(t, origin)
	if c, err := audit.OpenCheckpoint(signed, stranger); err == nil {
		t.Errorf("with another key of the same name OpenCheckpoint = %+v", c)
	}
	if signed, err := audit.SignCheckpoint(audit.Checkpoint{Origin: "other", Tree: tree, At: noon}, signer); err == nil {
		t.Errorf("SignCheckpoint signs for another log: %s", signed)
	}
	other, err := note.Sign(&note.Note{Text: strings.Replace(text, origin, "other", 1)}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := audit.OpenCheckpoint(string(other), verifier); err == nil {
		t.Errorf("OpenCheckpoint accepts another log's checkpoint: %+v", c)
	}
	free, err := note.Sign(&note.Note{Text: "hello\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := audit.OpenCheckpoint(string(free), verifier); err == nil {
		t.Errorf("OpenCheckpoint accepts another note: %+v", c)
	}
}

func TestNewSignerRefuses(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.NewSigner(origin, key); err == nil {
		t.Error("NewSigner accepts an ECDSA key")
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb"} {
		if _, err := audit.NewSigner(name, private); err == nil {
			t.Errorf("NewSigner accepts the name %q", name)
		}
	}
}

func TestParseCheckpointRefuses(t *testing.T) {
	root := tlog.Hash{1, 2}.String()
	good := "log\n7\n" + root + "\ntime 2026-11-22T12:00:00.000Z\n"
	if _, err := audit.ParseCheckpoint(good); err != nil {
		t.Fatalf("ParseCheckpoint(%q): %v", good, err)
	}
	tests := []struct{ name, text string }{
		{"empty", ""},
		{"no origin", strings.TrimPrefix(good, "log")},
		{"no last line feed", strings.TrimSuffix(good, "\n")},
		{"one line more", good + "more\n"},
		{"an empty line more", good + "\n"},
		{"a negative size", strings.Replace(good, "7", "-7", 1)},
		{"a size with a sign", strings.Replace(good, "7", "+7", 1)},
		{"a size with a zero", strings.Replace(good, "7", "07", 1)},
		{"a great size", strings.Replace(good, "7", "9223372036854775808", 1)},
		{"a short root", strings.Replace(good, root, root[:40], 1)},
		{"a root in another alphabet", strings.Replace(good, "=", "", 1)},
		{"no time", strings.Replace(good, "time ", "", 1)},
		{"a time zone", strings.Replace(good, ".000Z", ".000+00:00", 1)},
		{"microseconds", strings.Replace(good, ".000Z", ".000000Z", 1)},
		{"carriage returns", strings.ReplaceAll(good, "\n", "\r\n")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := audit.ParseCheckpoint(tt.text); err == nil {
				t.Errorf("ParseCheckpoint(%q) = %+v, want an error", tt.text, c)
			}
		})
	}
}

// FuzzParseCheckpoint holds that only what Text returns is accepted.
func FuzzParseCheckpoint(f *testing.F) {
	corpus, err := os.ReadFile("testdata/checkpoints.txt")
	if err != nil || len(corpus) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	for text := range strings.SplitSeq(string(corpus), "--\n") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := audit.ParseCheckpoint(text)
		if err != nil {
			if c != (audit.Checkpoint{}) {
				t.Fatalf("ParseCheckpoint(%q) = %+v with an error", text, c)
			}
			return
		}
		if c.Text() != text || c.Tree.Size < 0 {
			t.Errorf("ParseCheckpoint(%q) prints as %q", text, c.Text())
		}
	})
}
