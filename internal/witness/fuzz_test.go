package witness

import (
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// FuzzAdd holds that a witness's answer is added to a checkpoint only if it is lines
// of signatures, one of which verifies; and none can, since nobody has the key.
func FuzzAdd(f *testing.F) {
	private, _, err := note.GenerateKey(rand.Reader, "log")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: "log\n0\nroot\n"}, signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, answer string) {
		verifier, err := NewCosigner(key)
		if err != nil {
			verifier = &cosigner{name: "witness.example"}
			if _, err := NewCosigner(strings.TrimSpace(key) + "+"); err == nil {
				t.Errorf("a key with something behind it is taken: %q", key)
			}
		}
		r := &Remote{Verifier: verifier}
		if out, err := r.add(string(signed), answer); err == nil {
			t.Errorf("the answer %q is taken: %q", answer, out)
		}
	})
}
