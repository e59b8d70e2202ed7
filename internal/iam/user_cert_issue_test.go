package iam_test

import (
	"bytes"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// TestIssueUserCert checks every field of a user's certificate.
func TestIssueUserCert(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ci := w.serviceUser(t, "ci")
		issued := w.certificate(t, ci, " Build 1 ")
		cert := issued.Certificate
		if cert.Subject.String() != "CN=build.example" || issued.Name != "Build 1" || issued.User != ci.User || issued.State != telamon.Active {
			t.Errorf("the certificate is %+v for %s", issued.ClientCert, cert.Subject)
		}
		if cert.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment || !cert.BasicConstraintsValid || cert.IsCA ||
			!slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || len(cert.UnhandledCriticalExtensions) > 0 {
			t.Errorf("the usages are %b, %v and CA %t, %t", cert.KeyUsage, cert.ExtKeyUsage, cert.BasicConstraintsValid, cert.IsCA)
		}
		if !bytes.Equal(cert.RawSubjectPublicKeyInfo, good(0).spki(t)) || cert.CheckSignatureFrom(issued.CA) != nil ||
			len(cert.CRLDistributionPoints) != 1 || len(cert.SubjectKeyId) == 0 || len(cert.AuthorityKeyId) == 0 {
			t.Error("key, issuer, key identifiers or CRL are not right")
		}
		if want := issued.CA.NotBefore; !cert.NotBefore.Equal(want) || !issued.NotBefore.Equal(want) {
			t.Errorf("it begins on %s, want %s, when its issuing CA of today does", cert.NotBefore, want)
		}
		if want := "2027-11-22T23:59:59Z"; cert.NotAfter.Format(time.RFC3339) != want || issued.NotAfter.Format(time.RFC3339) != want {
			t.Errorf("it ends on %s, want %s", cert.NotAfter, want)
		}
		w.clock.Advance(24 * time.Hour)
		next := got(w.IssueUserCert(t.Context(), ci, iam.UserCertRequest{CSR: curveRequest(t), Name: "next"}))(t)
		if want := "2026-11-23T00:00:00Z"; next.NotBefore.Format(time.RFC3339) != want || next.Certificate.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("the next day's begins on %s, want %s, with the usage %b", next.NotBefore, want, next.Certificate.KeyUsage)
		}
	})
}
