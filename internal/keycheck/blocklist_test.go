package keycheck_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/keycheck"
)

// opensslModulus returns the hash of an RSA key as openssl makes it: the last 20 digits
// of the SHA-1 of what "openssl rsa -modulus" prints.
func opensslModulus(t *testing.T, spki []byte) string {
	t.Helper()
	show := exec.Command("openssl", "rsa", "-pubin", "-inform", "DER", "-modulus", "-noout")
	show.Stdin = bytes.NewReader(spki)
	modulus, err := show.Output()
	if err != nil {
		t.Fatal(err)
	}
	hash := exec.Command("openssl", "dgst", "-sha1", "-r")
	hash.Stdin = bytes.NewReader(modulus)
	sum, err := hash.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(sum[20:40])
}

func spkiOf(t testing.TB, key crypto.PublicKey) (der []byte, hash [32]byte) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der, sha256.Sum256(der)
}

// TestConvert blocks an RSA and an ECDSA key by lists of every known format, made as
// the tools of those formats make them, and checks that no other key is blocked.
func TestConvert(t *testing.T) {
	newRSA := func() *rsa.PublicKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return &key.PublicKey
	}
	key, other, curve := newRSA(), newRSA(), curveKey(t, elliptic.P384())
	der, hash := spkiOf(t, key)
	curveDER, curveHash := spkiOf(t, curve)
	point, err := curve.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	x := sha256.Sum256(new(big.Int).SetBytes(point[1:49]).Bytes())
	number := sha256.Sum256(key.N.Bytes())
	openssl := opensslModulus(t, der)
	pemOf := func(der []byte) string { return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})) }
	tests := []struct {
		format, text string
		n            int
		curve        bool // the ECDSA key is on the list, too
	}{
		{"openssl-vulnkey", "# a comment\n" + openssl + "\n", 1, false},
		{"boulder-weak", fmt.Sprintf("[%q]", openssl), 1, false},
		{"dwk", fmt.Sprintf("%x\n%x\n", number, x), 2, true},
		{"badkeys", string(number[:15]) + "\x07" + string(x[:15]) + "\x08", 2, true},
		{"boulder-blocked", "blocked:\n  - " + base64.StdEncoding.EncodeToString(hash[:]) +
			"\nblockedHashesHex:\n  - " + hex.EncodeToString(curveHash[:]) + "\n", 2, true},
		{"spki", fmt.Sprintf("%x\n\n%X\n", hash, curveHash), 2, true},
		{"pem", pemOf(der) + "between\n" + pemOf(curveDER), 2, true},
	}
	if got := len(keycheck.Formats()); got != len(tests) {
		t.Errorf("there are %d formats, want the %d of this test", got, len(tests))
	}
	for _, tt := range tests {
		t.Run(tt.format, func(t *testing.T) {
			var out bytes.Buffer
			if err := keycheck.WriteBlocklistHead(&out, "it is known"); err != nil {
				t.Fatal(err)
			}
			n, err := keycheck.Convert(tt.format, strings.NewReader(tt.text), &out)
			if err != nil || n != tt.n {
				t.Fatalf("Convert() = %d, %v, want %d", n, err, tt.n)
			}
			list, err := keycheck.ParseBlocklist(&out)
			if err != nil || list.Len() != tt.n {
				t.Fatalf("ParseBlocklist() has %d entries, %v, want %d", list.Len(), err, tt.n)
			}
			var c keycheck.Checker
			c.Replace(list)
			if got := c.Weakness(key, hash); got != "it is known" {
				t.Errorf("the RSA key: %q", got)
			}
			if got := c.Weakness(curve, curveHash); (got == "it is known") != tt.curve {
				t.Errorf("the ECDSA key: %q", got)
			}
			if _, hash := spkiOf(t, other); c.Weakness(other, hash) != "" {
				t.Errorf("another key: %q", c.Weakness(other, hash))
			}
			c.Replace(nil)
			if got := c.Weakness(key, hash); got != "" {
				t.Errorf("without a list: %q", got)
			}
		})
	}
}

// TestConvertRefuses goes through damaged lists.
func TestConvertRefuses(t *testing.T) {
	for _, tt := range []struct{ format, text, want string }{
		{"openssl-vulnkey", "00112233445566778899aa\n", "line 1"},
		{"openssl-vulnkey", "# nothing\n", "no entry"},
		{"dwk", strings.Repeat("0", 63) + "g\n", "line 1"},
		{"badkeys", strings.Repeat("x", 17), "cut short"},
		{"boulder-weak", `{"a":1}`, "cannot unmarshal"},
		{"boulder-weak", `["00"]`, "line 1"},
		{"boulder-blocked", "blocked: [AAAA]\n", "entry 1"},
		{"boulder-blocked", "blocked: {", ""},
		{"spki", "00\n", "line 1"},
		{"pem", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "none of"},
		{"pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "block 1"},
		{"pem", "nothing", "no entry"},
		{"hosts", "", "none of"},
	} {
		t.Run(tt.format, func(t *testing.T) {
			if n, err := keycheck.Convert(tt.format, strings.NewReader(tt.text), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Convert(%q) = %d, %v, want an error with %q", tt.text, n, err, tt.want)
			}
		})
	}
}

func TestParseBlocklistRefuses(t *testing.T) {
	const head, hash = "telamon-blocklist 1\n", "spki-sha256 000102030405060708090a0b0c0d0e\n"
	for name, text := range map[string]string{
		"empty":            "",
		"only a comment":   "# telamon-blocklist 1\n",
		"no head":          "reason: x\n" + hash,
		"another format":   "telamon-blocklist 2\n",
		"no reason":        head + hash,
		"an empty reason":  head + "reason:\n",
		"a long reason":    head + "reason: " + strings.Repeat("x", 201) + "\n",
		"an unclean one":   head + "reason: a\x07b\n",
		"too many reasons": head + strings.Repeat("reason: x\n", 256),
		"an unknown kind":  head + "reason: x\nmd5 00\n",
		"no hash":          head + "reason: x\nspki-sha256\n",
		"a short hash":     head + "reason: x\nspki-sha256 00\n",
		"a long hash":      head + "reason: x\nspki-sha256 " + strings.Repeat("00", 33) + "\n",
		"a long line":      head + "reason: x\n" + strings.Repeat("x", 1<<17),
	} {
		t.Run(name, func(t *testing.T) {
			if list, err := keycheck.ParseBlocklist(strings.NewReader(text)); err == nil {
				t.Errorf("ParseBlocklist() has %d entries, want an error", list.Len())
			}
		})
	}
}

// FuzzParseBlocklist checks that what is read as a list can be asked for keys, and that
// an entry of it is found.
func FuzzParseBlocklist(f *testing.F) {
	corpus, err := os.ReadFile("testdata/blocklist.txt")
	if err != nil || len(corpus) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	f.Add(string(corpus))
	f.Add("telamon-blocklist 1\n")
	key := curveKey(f, elliptic.P256())
	f.Fuzz(func(t *testing.T, text string) {
		list, err := keycheck.ParseBlocklist(strings.NewReader(text))
		if err != nil {
			return
		}
		found := 0
		for line := range strings.Lines(text) {
			digits, ok := strings.CutPrefix(strings.TrimSpace(line), keycheck.KindSPKI+" ")
			hash, err := hex.DecodeString(strings.TrimSpace(digits))
			if !ok || err != nil {
				continue
			}
			var full [32]byte
			copy(full[:], hash)
			if list.Reason(key, full) == "" {
				t.Errorf("the entry %x is not found", hash)
			}
			found++
		}
		if found > list.Len() {
			t.Errorf("%d entries of %d", list.Len(), found)
		}
	})
}

// FuzzConvert checks that whatever a converter writes can be read as a list.
func FuzzConvert(f *testing.F) {
	for _, format := range keycheck.Formats() {
		f.Add(format, "00112233445566778899\n")
		f.Add(format, "blocked: [AAAA]")
		f.Add(format, `["00112233445566778899"]`)
	}
	f.Fuzz(func(t *testing.T, format, text string) {
		var out bytes.Buffer
		if err := keycheck.WriteBlocklistHead(&out, "x"); err != nil {
			t.Fatal(err)
		}
		n, err := keycheck.Convert(format, strings.NewReader(text), &out)
		if err != nil {
			return
		}
		if list, err := keycheck.ParseBlocklist(&out); err != nil || list.Len() != n {
			t.Errorf("the list of %d entries is read as %v, %v", n, list, err)
		}
	})
}

// BenchmarkChecker measures a key against a list of a million.
func BenchmarkChecker(b *testing.B) {
	var text strings.Builder
	text.WriteString("telamon-blocklist 1\nreason: x\n")
	for i := range 1_000_000 {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		fmt.Fprintf(&text, "%s %x\n", keycheck.KindNumber, sum[:15])
	}
	list, err := keycheck.ParseBlocklist(strings.NewReader(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	var c keycheck.Checker
	c.Replace(list)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	_, hash := spkiOf(b, &key.PublicKey)
	for b.Loop() {
		if c.Weakness(&key.PublicKey, hash) != "" {
			b.Fatal("a good key is weak")
		}
	}
}
