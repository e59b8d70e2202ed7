package digicertone

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// rsaKey is one key of RSA 2048 for all tests that need no other.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// serviceUser makes a service user with an end, or the zero time, and returns a client with its
// API token.
func (w *world) serviceUser(t testing.TB, name string, end time.Time, roles ...string) (client, telamon.UserID) {
	t.Helper()
	u, token, err := w.iam.CreateServiceUser(t.Context(), operator, iam.NewServiceUser{
		Account: w.account, FriendlyName: name, Email: "ops@example.com", EndsAt: end, Roles: roles,
	})
	must(t, err)
	return client{key: token}, u.ID
}

// serviceUserKey returns the API token of a new service user.
func (w *world) serviceUserKey(t testing.TB, name string, roles ...string) string {
	t.Helper()
	c, _ := w.serviceUser(t, name, time.Time{}, roles...)
	return c.key
}

// csrOf returns the PEM of a request for the key.
func csrOf(t testing.TB, key crypto.Signer, subject pkix.Name) string {
	t.Helper()
	der := got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key))(t)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// body encodes members of a request.
func body(t testing.TB, members map[string]any) string {
	t.Helper()
	return string(got(json.Marshal(members))(t))
}

// read decodes an answer, which must have the status.
func read[T any](t testing.TB, a answer, status int) T {
	t.Helper()
	var v T
	if a.status != status {
		t.Fatalf("the answer is %d %s, want %d", a.status, a.body, status)
	}
	must(t, json.Unmarshal([]byte(a.body), &v))
	return v
}

// newCert issues a certificate for a P-256 key, and returns it as a client shows it.
func (w *world) newCert(t testing.TB, c client, name string) (wireCert, *tls.Certificate) {
	t.Helper()
	key := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	a := w.do(t, c, "POST", certsPath, body(t, map[string]any{"csr": csrOf(t, key, pkix.Name{CommonName: name}), "name": name}))
	made := read[wireCert](t, a, 201)
	leaf, _ := pem.Decode([]byte(made.Certificate))
	return made, &tls.Certificate{Certificate: [][]byte{leaf.Bytes}, PrivateKey: key}
}
