package publish_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// run runs a program and returns what it prints and whether it succeeded.
func run(t *testing.T, name string, args ...string) (string, bool) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		testkit.Require(t, name)
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	return string(out), err == nil
}

// file writes a file of the test's own.
func file(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, content, 0o600))
	return path
}

func certPEM(certs ...*x509.Certificate) (out []byte) {
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

// TestOpenSSLAccepts has openssl check certificates with our CRLs, of each form.
func TestOpenSSLAccepts(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	dir := t.TempDir()
	for _, place := range []int{single, sharded, strict} {
		t.Run(fmt.Sprint(place), func(t *testing.T) {
			good, goodCert := w.issue(t, place, 30*day)
			bad, badCert := w.issue(t, place, 30*day)
			w.revoke(t, bad, telamon.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: w.clock.Now().Add(-time.Hour)})
			w.clock.Advance(time.Minute)
			w.turn(t)
			crls := []byte{}
			for _, at := range [][2]int{{root, 0}, {place, good.CRLShard}, {place, bad.CRLShard}} {
				crls = append(crls, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: w.der(t, at[0], at[1])})...)
			}
			list := file(t, dir, "crls.pem", crls)
			roots := file(t, dir, "root.pem", certPEM(w.issuers[root].Certificate))
			chain := file(t, dir, "chain.pem", certPEM(w.issuers[place].Certificate))
			verify := func(cert *x509.Certificate) (string, bool) {
				return run(t, "openssl", "verify", "-CAfile", roots, "-untrusted", chain, "-CRLfile", list, "-crl_check_all", "-extended_crl",
					"-attime", fmt.Sprint(w.clock.Now().Unix()), file(t, dir, "leaf.pem", certPEM(cert)))
			}
			if out, ok := verify(goodCert); !ok {
				t.Errorf("openssl refuses a good certificate: %s", out)
			}
			if out, ok := verify(badCert); ok || !strings.Contains(out, "certificate revoked") {
				t.Errorf("openssl does not see that a certificate is revoked: %s", out)
			}
			out, ok := run(t, "openssl", "crl", "-in", file(t, dir, "one.crl", w.der(t, place, bad.CRLShard)), "-inform", "DER", "-noout", "-text",
				"-CAfile", chain)
			if !ok || !strings.Contains(out, "verify OK") || !strings.Contains(out, "Key Compromise") ||
				strings.Contains(out, "Issuing Distribution Point: critical") != (place != single) {
				t.Errorf("openssl crl: %s", out)
			}
		})
	}
}

// TestNSSAccepts has NSS, by the tools of libnss3-tools, import a CRL and check
// certificates with it.
func TestNSSAccepts(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	dir := t.TempDir()
	_, goodCert := w.issue(t, single, 30*day)
	bad, badCert := w.issue(t, single, 30*day)
	w.revoke(t, bad, telamon.Revocation{Reason: telamon.ReasonSuperseded})
	w.clock.Advance(time.Minute)
	w.turn(t)
	db := "sql:" + dir
	step := func(name string, args ...string) {
		t.Helper()
		if out, ok := run(t, name, args...); !ok {
			t.Fatalf("%s %s: %s", name, strings.Join(args, " "), out)
		}
	}
	step("certutil", "-N", "-d", db, "--empty-password")
	step("certutil", "-A", "-d", db, "-n", "root", "-t", "CT,C,C", "-a", "-i", file(t, dir, "root.pem", certPEM(w.issuers[root].Certificate)))
	step("certutil", "-A", "-d", db, "-n", "ca", "-t", ",,", "-a", "-i", file(t, dir, "ca.pem", certPEM(w.issuers[single].Certificate)))
	step("certutil", "-A", "-d", db, "-n", "good", "-t", ",,", "-a", "-i", file(t, dir, "good.pem", certPEM(goodCert)))
	step("certutil", "-A", "-d", db, "-n", "bad", "-t", ",,", "-a", "-i", file(t, dir, "bad.pem", certPEM(badCert)))
	step("crlutil", "-I", "-d", db, "-i", file(t, dir, "ca.crl", w.der(t, single, 0)))
	if out, ok := run(t, "crlutil", "-L", "-d", db, "-n", "ca"); !ok || !strings.Contains(strings.ReplaceAll(strings.ToUpper(out), ":", ""), bad.Serial.String()) {
		t.Errorf("crlutil lists: %s", out)
	}
	at := w.clock.Now().Format("0601021504") + "Z"
	if out, ok := run(t, "certutil", "-V", "-d", db, "-n", "good", "-u", "V", "-b", at); !ok {
		t.Errorf("NSS refuses a good certificate: %s", out)
	}
	if out, ok := run(t, "certutil", "-V", "-d", db, "-n", "bad", "-u", "V", "-b", at); ok || !strings.Contains(strings.ToLower(out), "revoked") {
		t.Errorf("NSS does not see that a certificate is revoked: %s", out)
	}
}
