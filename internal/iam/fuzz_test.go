package iam_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// seeded fails if the target's corpus has gone away.
func seeded(f *testing.F) {
	f.Helper()
	if seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name())); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
}

// keyCodes are the codes of keys that are refused.
var keyCodes = []string{
	"private_key", "csr_unreadable", "public_key_unreadable", "csr_signature", "key_not_allowed", "key_weak",
}

// checkKey checks what read made of a text: a key that is good, or a fault that
// tells the customer what is wrong and does not repeat the text.
func checkKey(t *testing.T, read func(string) (*tbs.PublicKey, error), text string) *tbs.PublicKey {
	t.Helper()
	key, err := read(text)
	if err != nil {
		f := fault.From(err)
		if key != nil || f.Kind != fault.Invalid || !slices.Contains(keyCodes, f.Code) || len(f.Fields) != 1 || strings.Contains(f.Error(), "-----BEGIN") {
			t.Fatalf("%q is read as %+v, %v", text, key, err)
		}
		return nil
	}
	if strings.Contains(text, "PRIVATE KEY") {
		t.Fatalf("%q is accepted, with a private key", text)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Key)
	if err != nil || !bytes.Equal(spki, key.SPKI) || key.Hash != sha256.Sum256(spki) {
		t.Fatalf("%q has a key that is written as %x, %v, and was read from %x", text, spki, err, key.SPKI)
	}
	if k, ok := key.Key.(*rsa.PublicKey); ok && (k.N.BitLen() < 2048 || k.N.BitLen() > 8192 || k.N.BitLen() != key.Bits || k.E < 3) {
		t.Fatalf("%q has an RSA key of %d bits and the exponent %d", text, k.N.BitLen(), k.E)
	}
	if again, err := read("\r\n" + text + "\r\n"); err != nil || again.Hash != key.Hash {
		t.Fatalf("%q is read as another key with white space around it: %v", text, err)
	}
	return key
}

// FuzzClientKey reads CSRs as IssueClientCert does.
func FuzzClientKey(f *testing.F) {
	seeded(f)
	f.Add(good(0).csr(f) + privatePEM(f, 0)) // no file of the corpus may hold one
	f.Fuzz(func(t *testing.T, text string) {
		key := checkKey(t, iam.ClientKey, text)
		if key == nil {
			return
		}
		if other, err := iam.DeliveryKey(text); key.Algorithm == "RSA" != (err == nil) || err == nil && other.Hash != key.Hash {
			t.Fatalf("%q has an %s key, which is a delivery's as %+v, %v", text, key.Algorithm, other, err)
		}
	})
}

// FuzzUserCSR reads CSRs as IssueUserCert does. What is accepted has a key of an allowed
// size, one common name and nothing that cannot be shown.
func FuzzUserCSR(f *testing.F) {
	seeded(f)
	f.Add(named(f, 0, "build"))
	f.Add(named(f, 0, "build") + privatePEM(f, 0))
	f.Fuzz(func(t *testing.T, text string) {
		key, subject, err := iam.UserCSR(text)
		if err != nil {
			if f := fault.From(err); f.Kind != fault.Invalid || len(f.Fields) != 1 || key != nil || strings.Contains(f.Error(), "-----BEGIN") {
				t.Fatalf("%q is read as %+v, %v", text, key, err)
			}
			return
		}
		if k, ok := key.Key.(*rsa.PublicKey); ok && (k.N.BitLen() < 2048 || k.N.BitLen() > 4096) || strings.Contains(text, "PRIVATE KEY") {
			t.Fatalf("%q is accepted", text)
		}
		commonNames := 0
		for _, a := range subject {
			if a.Type.String() == "2.5.4.3" {
				commonNames++
			}
			if a.Value.Text == "" || strings.ContainsFunc(a.Value.Text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("%q has the subject %+v", text, subject)
			}
		}
		if commonNames != 1 || len(subject) > 16 {
			t.Fatalf("%q has the subject %+v", text, subject)
		}
	})
}

// FuzzDeliveryKey reads public keys as Onboard does.
func FuzzDeliveryKey(f *testing.F) {
	seeded(f)
	f.Add(privatePEM(f, 0))
	f.Add(good(0).public(f) + privatePEM(f, 0))
	f.Fuzz(func(t *testing.T, text string) {
		if key := checkKey(t, iam.DeliveryKey, text); key != nil && key.Algorithm != "RSA" {
			t.Fatalf("%q has an %s key, to which nothing can be encrypted", text, key.Algorithm)
		}
	})
}

// FuzzAddress reads entries of allow-lists.
func FuzzAddress(f *testing.F) {
	seeded(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := iam.ParseAddress(text)
		if err != nil {
			if p.IsValid() {
				t.Fatalf("%q is %s with an error", text, p)
			}
			return
		}
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || strings.Contains(text, "%") {
			t.Fatalf("%q is %s", text, p)
		}
		if again, err := iam.ParseAddress(p.String()); err != nil || again != p {
			t.Fatalf("%q is %s, which is read as %s, %v", text, p, again, err)
		}
	})
}

// oneKey is a keystore of one secret, so that the corpus holds genuine tokens.
type oneKey struct{}

func (oneKey) PepperVersion() int { return 1 }

func (oneKey) MAC(label string, version int, data []byte) []byte {
	mac := hmac.New(sha256.New, fmt.Appendf(nil, "%s %d", label, version))
	mac.Write(data)
	return mac.Sum(nil)
}

// FuzzToken reads tokens. Nobody can make one by changing another: what is
// accepted is text that was written so.
func FuzzToken(f *testing.F) {
	seeded(f)
	s := iam.New(iam.Config{Keys: oneKey{}, Clock: testkit.NewClock(f, now)})
	f.Fuzz(func(t *testing.T, text string) {
		again, err := s.ParseToken(text)
		if err != nil {
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != text {
			t.Fatalf("%q is a token and not how one is written", text)
		}
		other, err := again()
		if err != nil || len(other) != len(text) {
			t.Fatalf("%q has claims that make %q, %v", text, other, err)
		}
		// The claims are the same but for the random octets and so the MAC.
		const claims = 1 + 8 + 16 + 16 + 8 + 16
		if same, _ := base64.RawURLEncoding.DecodeString(other); !bytes.Equal(same[:claims], raw[:claims]) {
			t.Fatalf("%q has claims that make %q", text, other)
		}
	})
}

// FuzzAPIKey checks that whatever is read as an API key is written as it was read, and has
// the form of one that the platform makes.
func FuzzAPIKey(f *testing.F) {
	seeded(f)
	f.Fuzz(func(t *testing.T, text string) {
		lookup, secret, ok := iam.ParseAPIKey(text)
		if ok != tokenForm.MatchString(text) {
			t.Fatalf("%q is read as a key: %v", text, ok)
		}
		if !ok && lookup+secret != "" {
			t.Fatalf("%q is no key, and has the parts %q and %q", text, lookup, secret)
		}
		if ok && lookup+"_"+secret != text {
			t.Fatalf("%q has the parts %q and %q", text, lookup, secret)
		}
	})
}
