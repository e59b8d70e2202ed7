package tbs_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os/exec"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestCertsOnly has openssl read a certs-only message.
func TestCertsOnly(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		testkit.Require(t, "openssl")
	}
	key, err := tbs.ECP256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3} {
		var certs []*x509.Certificate
		for i := range n {
			template := &x509.Certificate{
				SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Unix(1<<32, 0), IsCA: true, BasicConstraintsValid: true,
			}
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			certs = append(certs, cert)
		}
		der, err := tbs.CertsOnly(certs)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), openssl, "pkcs7", "-inform", "DER", "-print_certs")
		cmd.Stdin = bytes.NewReader(der)
		out, err := cmd.CombinedOutput()
		if got := bytes.Count(out, []byte("BEGIN CERTIFICATE")); got != n || err != nil {
			t.Errorf("openssl reads %d of %d certificates, %v: %s", got, n, err, out)
		}
	}
}
