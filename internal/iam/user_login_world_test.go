package iam_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// machine is a service user with an API key and a client certificate.
type machine struct {
	actor telamon.Actor
	key   string
	token telamon.APITokenID
	der   []byte
	cert  telamon.ClientCertID
}

// newMachine makes a service user of the account.
func (w *world) newMachine(t testing.TB, account telamon.AccountID, name string, ends time.Time) *machine {
	t.Helper()
	n := newServiceUser(account, name)
	n.EndsAt = ends
	u, key, err := w.CreateServiceUser(t.Context(), operator, n)
	must(t, err)
	m := &machine{actor: actorOf(u), key: key, token: got(w.dir.APIToken(t.Context(), key[:26]))(t).ID}
	issued := got(w.IssueUserCert(t.Context(), m.actor, iam.UserCertRequest{CSR: curveRequest(t), Name: name}))(t)
	m.der, m.cert = issued.Certificate.Raw, issued.ID
	return m
}

// odd replaces the machine's certificate by one that the platform would not issue.
func (w *world) odd(t testing.TB, m *machine, change func(*issuance.Request)) {
	t.Helper()
	key := got(tbs.ParseBareCSR(curveRequest(t)))(t).PublicKey
	series := got(w.dir.SeriesNamed(t.Context(), "mtls-ec"))(t)
	issuer := got(w.engine.Active(series.ID))(t)
	request := issuance.Request{
		Issuer: issuer.ID, NotBefore: issuer.Certificate.NotBefore, NotAfter: w.clock.Now().Truncate(time.Second).AddDate(0, 0, 30),
		Content: telamon.Content{
			Subject:     []telamon.Attribute{{Type: got(x509.ParseOID("2.5.4.3"))(t), Value: telamon.TypedValue{Type: telamon.UTF8String, Text: "odd"}}},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: telamon.ExtKeyUsage{OIDs: telamon.EKUClientAuth.OIDs()},
		},
		PublicKey: key,
	}
	change(&request)
	signed := got(w.engine.Sign(t.Context(), got(w.engine.Prepare(t.Context(), request))(t)))(t)
	w.keep(t, m, signed.DER, signed.Issuer, signed.CRLShard)
}

// keep replaces the machine's certificate by one that is in the store as if the issuer
// had signed it.
func (w *world) keep(t testing.TB, m *machine, der []byte, issuer telamon.IssuerID, shard int) {
	t.Helper()
	parsed := got(x509.ParseCertificate(der))(t)
	serial, ok := telamon.SerialFromInt(parsed.SerialNumber)
	if !ok {
		t.Fatalf("%x is no serial number of ours", parsed.SerialNumber)
	}
	cert := &telamon.ClientCert{
		ID: telamon.NewClientCertID(), Account: m.actor.Account, User: m.actor.User, Name: "odd " + serial.String()[:8],
		Fingerprint: sha256.Sum256(der), Serial: serial, Issuer: issuer, Certificate: parsed,
		SPKIHash: sha256.Sum256(parsed.RawSubjectPublicKeyInfo), CRLShard: shard, NotAfter: parsed.NotAfter,
	}
	must(t, w.db.CreateUserCert(t.Context(), operator, cert, nil))
	must(t, w.dir.Poll(t.Context()))
	m.der, m.cert = der, cert.ID
}

// foreign returns a certificate for a public key that another platform's CA signed, or
// that signed itself if the CA's key is the same one's.
func foreign(t testing.TB, ca crypto.Signer, public crypto.PublicKey, serial *big.Int) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "somebody"}, NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter: time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return got(x509.CreateCertificate(rand.Reader, template, template, public, ca))(t)
}

// outcome says by what a request was authenticated, or the fault.
func outcome(actor telamon.Actor, err error) string {
	switch {
	case err != nil:
		f := fault.From(err)
		return f.Kind.String() + " " + f.Code
	case actor.Token != "" && actor.ClientCert != "":
		return "key and cert"
	case actor.Token != "":
		return "key"
	case actor.ClientCert != "":
		return "cert"
	}
	return "nothing"
}

// show returns what comes of showing a key and a certificate on a face.
func (w *world) show(t testing.TB, key string, der []byte, asks bool) string {
	t.Helper()
	return outcome(w.AuthenticateUser(t.Context(), iam.Shown{Key: key, Certificate: der, AsksCertificate: asks, Address: home}))
}

// refusals writes the refusals and returns those of users since the last call: object and
// reason, in order, each once.
func (w *world) refusals(t testing.TB, seen map[telamon.EventID]bool) []string {
	t.Helper()
	lines := map[string]bool{}
	for _, e := range w.events(t, "user.authenticate") {
		if !seen[e.ID] {
			seen[e.ID] = true
			lines[line(e)] = true
		}
	}
	return slices.Sorted(maps.Keys(lines))
}

func line(e *audit.Payload) string {
	whose := "stranger"
	if e.Account != "" {
		whose = e.Account.String()
	}
	return whose + " " + e.Object + " " + e.Result
}
