package responder_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// responderKeys returns the names of the responders' keys that are in the keystore.
func (w *world) responderKeys() []string {
	return slices.DeleteFunc(w.keys.Names(), func(name string) bool { return !strings.Contains(name, "-ocsp-") })
}

// TestRequirement93RespondersRotate asks once a day for a year, in the middle of which
// the issuing CA is retired: there is always an answer, by a responder whose successor
// comes in time, and keys of those before are destroyed.
func TestRequirement93RespondersRotate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cert := w.issue(t, 500)
		var by []*x509.Certificate
		for day := range 365 {
			w.clock.Advance(24 * time.Hour)
			if day == 182 {
				must(t, w.keys.Keystore.Retire(w.issuer.KeyName))
				retired := slices.Clone(w.made.Issuers)
				retired[1].Status = telamon.IssuerRetired
				w.engine.Load(retired, w.made.Series)
			}
			must(t, w.responder.Refresh(t.Context()))
			got := w.ask(t, w.responder, cert)
			if got.Status != ocsp.Good || got.NextUpdate.Sub(got.ThisUpdate) != w.config.Validity-time.Second {
				t.Fatalf("after %d days it is %+v", day, got)
			}
			if len(by) == 0 || !by[len(by)-1].Equal(got.Certificate) {
				by = append(by, got.Certificate)
			}
			if n := len(w.responderKeys()); n > 2 {
				t.Fatalf("after %d days there are %d keys of responders", day, n)
			}
		}
		if len(by) < 20 || len(by) > 30 {
			t.Errorf("%d responders in a year, want about 24", len(by))
		}
		for _, cert := range by {
			w.mustBeResponder(t, cert)
		}
		if last := by[len(by)-1]; last.NotBefore.Before(w.clock.Now().AddDate(0, 0, -20)) {
			t.Errorf("the retired issuing CA's responder is of %s", last.NotBefore)
		}
	})
}

// mustBeResponder holds that a certificate is one of a delegated responder and of
// nothing else (RFC 6960, Section 4.2.2.2; BR 7.1.2.8).
func (w *world) mustBeResponder(t *testing.T, cert *x509.Certificate) {
	t.Helper()
	if err := cert.CheckSignatureFrom(w.issuer.Certificate); err != nil {
		t.Errorf("%s: %v", cert.Subject, err)
	}
	if cert.IsCA || cert.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}) ||
		len(cert.UnknownExtKeyUsage)+len(cert.CRLDistributionPoints)+len(cert.OCSPServer) > 0 {
		t.Errorf("%s is CA %t, for %b and %v", cert.Subject, cert.IsCA, cert.KeyUsage, cert.ExtKeyUsage)
	}
	noCheck := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	if i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(noCheck) }); i < 0 || !bytes.Equal(cert.Extensions[i].Value, asn1.NullBytes) {
		t.Errorf("%s has no id-pkix-ocsp-nocheck", cert.Subject)
	}
}

// TestResponderEndsWithItsIssuer asks in the last days of an issuing CA.
func TestResponderEndsWithItsIssuer(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cert, end := w.issue(t, 1), w.issuer.Certificate.NotAfter
		w.ask(t, w.responder, cert)
		w.clock.Advance(end.Sub(w.clock.Now()) - 40*24*time.Hour)
		cert = w.issue(t, 40)
		for range 13 {
			w.clock.Advance(3 * 24 * time.Hour)
			must(t, w.responder.Refresh(t.Context()))
			if got := w.ask(t, w.responder, cert); got.NextUpdate.After(end) {
				t.Errorf("the answer holds to %s, and the issuing CA to %s", got.NextUpdate, end)
			}
		}
		w.clock.Advance(48 * time.Hour)
		must(t, w.responder.Refresh(t.Context()))
		mustRefuse(t, w.responder.Answer(t.Context(), w.issuer.ID, w.request(t, cert), always), ocsp.Unauthorized)
		w.clock.Advance(11 * 24 * time.Hour)
		for range 3 {
			must(t, w.responder.Refresh(t.Context()))
		}
		if left := w.responderKeys(); len(left) > 0 {
			t.Errorf("the keys %q are left", left)
		}
	})
}

// TestResponderOfAnother has a process with the same keystore use the responder that
// another one has made, and one with a keystore of its own make its own.
func TestResponderOfAnother(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		dir, copied := w.dir, filepath.Join(t.TempDir(), "copy")
		must(t, os.CopyFS(copied, os.DirFS(dir)))
		beside := func(dir string) *responder.Responder {
			t.Helper()
			opened, err := keystore.Open(keystore.Config{Dir: dir, KEK: w.kek, Clock: w.clock})
			must(t, err)
			t.Cleanup(func() { opened.Close() })
			c := w.config
			c.Keys, c.ReadKeys = opened, opened.Refresh
			c.Engine = issuance.New(issuance.Config{Keys: opened, Clock: w.clock, StatusBaseURL: w.baseURL})
			c.Engine.Load(w.made.Issuers, w.made.Series)
			return responder.New(c)
		}
		same, other := beside(dir), beside(copied)
		cert := w.issue(t, 100)
		here := w.ask(t, w.responder, cert).Certificate
		if got := w.ask(t, same, cert).Certificate; !got.Equal(here) {
			t.Errorf("a process with the same keystore signs by %s, want %s", got.SerialNumber, here.SerialNumber)
		}
		if got := w.ask(t, other, cert).Certificate; got.Equal(here) {
			t.Error("a process that has not the key signs by it")
		}
		for range 35 {
			w.clock.Advance(24 * time.Hour)
			for _, r := range []*responder.Responder{w.responder, same, other} {
				must(t, r.Refresh(t.Context()))
				if got := w.ask(t, r, cert); got.Status != ocsp.Good {
					t.Fatalf("it is %+v", got)
				}
			}
		}
		responders, err := w.db.Responders(t.Context())
		if err != nil || len(responders) > 4 {
			t.Errorf("%d responders with a key, %v", len(responders), err)
		}
	})
}

// TestResponderOfRSA has the responder of an RSA issuing CA sign by RSA.
func TestResponderOfRSA(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), tbs.RSA2048)
	got := w.ask(t, w.responder, w.issue(t, 30))
	if got.SignatureAlgorithm != x509.SHA256WithRSA || got.Certificate.PublicKeyAlgorithm != x509.RSA {
		t.Errorf("it is signed by %s with a key of %s", got.SignatureAlgorithm, got.Certificate.PublicKeyAlgorithm)
	}
}

// TestResponderMadeAhead makes responders of those series alone that name OCSP in their
// certificates, before anybody asks.
func TestResponderMadeAhead(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		must(t, w.responder.Refresh(t.Context()))
		if got := w.responderKeys(); len(got) != 0 {
			t.Errorf("there are %q before anybody asked", got)
		}
		w.config.Always = []string{"tls-ec"}
		must(t, responder.New(w.config).Refresh(t.Context()))
		if got := w.responderKeys(); len(got) != 1 || !strings.HasPrefix(got[0], w.issuer.KeyName+"-ocsp-") {
			t.Errorf("there are %q", got)
		}
	})
}
