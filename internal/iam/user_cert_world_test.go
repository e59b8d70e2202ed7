package iam_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// newUser puts a user of the kind into an account, with an end or the zero time.
func (w *world) newUser(t testing.TB, account telamon.AccountID, kind telamon.UserKind, name string, end time.Time) telamon.Actor {
	t.Helper()
	u := &telamon.User{ID: telamon.NewUserID(), Account: account, Kind: kind, Name: name, Email: name + "@example.com", EndsAt: end}
	must(t, w.db.CreateUser(t.Context(), operator, u))
	must(t, w.dir.Poll(t.Context()))
	return telamon.Actor{
		Kind: telamon.ActorUser, Account: account, User: u.ID, UserName: name, Token: telamon.NewAPITokenID(), RequestID: "req_1",
	}
}

// service is a service user without an end.
func (w *world) serviceUser(t testing.TB, name string) telamon.Actor {
	t.Helper()
	return w.newUser(t, w.account, telamon.ServiceUser, name, time.Time{})
}

// requestOf returns the PEM of a key's request with a subject and what else is in the
// template.
func requestOf(t testing.TB, key crypto.Signer, request x509.CertificateRequest) string {
	t.Helper()
	return block("CERTIFICATE REQUEST", got(x509.CreateCertificateRequest(rand.Reader, &request, key))(t))
}

// named returns the PEM of a request of client i for a common name.
func named(t testing.TB, i int, commonName string) string {
	t.Helper()
	return requestOf(t, goodKeys()[i], x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}})
}

// certificate issues a certificate that must be.
func (w *world) certificate(t testing.TB, actor telamon.Actor, name string) *iam.IssuedUserCert {
	t.Helper()
	return got(w.IssueUserCert(t.Context(), actor, iam.UserCertRequest{CSR: named(t, 0, "build.example"), Name: name}))(t)
}

// curveRequest returns the PEM of a request for a new key on P-256.
func curveRequest(t testing.TB) string {
	t.Helper()
	key := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	return requestOf(t, key, x509.CertificateRequest{Subject: pkix.Name{CommonName: "curve"}})
}
