package signin_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// seeded fails if the target's corpus has gone away.
func seeded(f *testing.F) {
	f.Helper()
	if seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name())); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
}

// FuzzEmail reads addresses: what is accepted is one mailbox, on one line, and is read
// again as itself.
func FuzzEmail(f *testing.F) {
	seeded(f)
	f.Fuzz(func(t *testing.T, text string) {
		email, ok := signin.CanonicalEmail(text)
		if !ok {
			if email != "" {
				t.Fatalf("%q is refused as %q", text, email)
			}
			return
		}
		list, err := mail.ParseAddressList(email)
		if err != nil || len(list) != 1 || strings.ContainsFunc(email, unicode.IsControl) || strings.ContainsAny(email, " ,<>") && !strings.Contains(email, "\"") {
			t.Fatalf("%q is read as %q: %v", text, email, err)
		}
		if again, ok := signin.CanonicalEmail(email); !ok || again != email {
			t.Fatalf("%q is read as %q, which is read as %q", text, email, again)
		}
	})
}

// FuzzRecoveryCode reads recovery codes: however one is typed, it is the same.
func FuzzRecoveryCode(f *testing.F) {
	seeded(f)
	f.Fuzz(func(t *testing.T, text string) {
		code := signin.CanonicalRecovery(text)
		if code == "" {
			return
		}
		typed := strings.ToUpper(code[:5] + " - " + code[5:])
		if len(code) != 16 || signin.CanonicalRecovery(code) != code || signin.CanonicalRecovery(typed) != code {
			t.Fatalf("%q is read as %q, and %q as %q", text, code, typed, signin.CanonicalRecovery(typed))
		}
	})
}

// FuzzClient takes what browsers say of themselves and of their language.
func FuzzClient(f *testing.F) {
	seeded(f)
	f.Fuzz(func(t *testing.T, text string) {
		agent := signin.AgentOf(signin.Client{Agent: text})
		if len(agent) > 200 || !utf8.ValidString(agent) || strings.ContainsFunc(agent, unicode.IsControl) {
			t.Fatalf("%q is kept as %q", text, agent)
		}
		if l := signin.Locale(text); l != "en_US" && l != "de_DE" {
			t.Fatalf("the locale of %q is %q", text, l)
		}
	})
}

// FuzzPasskey reads what browsers answer. It looks for panics: nothing random is signed.
func FuzzPasskey(f *testing.F) {
	seeded(f)
	f.Fuzz(func(_ *testing.T, answer []byte) {
		signin.ParsePasskey(answer)
	})
}

// oneKey is a keystore of one secret.
type oneKey struct{}

func (oneKey) MAC(label string, version int, data []byte) []byte {
	mac := hmac.New(sha256.New, fmt.Appendf(nil, "%s %d", label, version))
	mac.Write(data)
	return mac.Sum(nil)
}

func (oneKey) SealSecret(string, []byte, []byte) ([]byte, error) { return nil, errors.New("sealed") }
func (oneKey) OpenSecret(string, []byte, []byte) ([]byte, error) { return nil, errors.New("sealed") }

// FuzzLink reads the values of mailed links, of which the database has none.
func FuzzLink(f *testing.F) {
	seeded(f)
	clock := testkit.NewClock(f, now)
	s, err := signin.New(signin.Config{Store: dbtest.Open(f, dbtest.SQLite(f), clock), Keys: oneKey{}, Clock: clock, PortalURL: portal})
	must(f, err)
	f.Fuzz(func(t *testing.T, value string) {
		err := s.CheckLink(context.Background(), value, store.LinkReset)
		if !fault.Is(err, fault.NotFound) || fault.From(err).Code != "link_invalid" {
			t.Fatalf("%q: %v", value, err)
		}
	})
}
