package responder_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/status"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/web"
)

// operator is who acts in these tests.
var operator = telamon.Actor{Kind: telamon.ActorOperator}

// world is an issuing CA with an account, and a responder. The certificates are mTLS
// certificates: they need nothing else around them.
type world struct {
	database  string // its URL
	db        *store.DB
	clock     *testkit.Clock
	dir       string // of the keystore
	kek       keystore.KEK
	keys      *keys
	engine    *issuance.Engine
	made      *issuance.Hierarchy
	root      telamon.Issuer
	issuer    telamon.Issuer
	account   telamon.AccountID
	config    responder.Config
	responder *responder.Responder
	baseURL   string // of the status face over HTTP, once it is served
	http      http.Handler
}

// keys is a keystore that counts signatures and can be made to fail.
type keys struct {
	*keystore.Keystore
	down   atomic.Bool
	signed atomic.Int64
}

var errDown = errors.New("the signer is down")

func (k *keys) SignOCSP(name string, data []byte) ([]byte, *tbs.SignatureAlgorithm, error) {
	if k.down.Load() {
		return nil, nil, errDown
	}
	k.signed.Add(1)
	return k.Keystore.SignOCSP(name, data)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// each runs f on both databases.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { f(t, newWorld(t, url, tbs.ECP256)) })
}

// newWorld makes a world whose time is the present: openssl has no other clock.
func newWorld(t testing.TB, url string, keyType tbs.KeyType) *world {
	t.Helper()
	clock := testkit.NewClock(t, time.Now().UTC().Format(time.RFC3339))
	w := &world{database: url, db: dbtest.Open(t, url, clock), clock: clock, account: telamon.NewAccountID()}
	w.kek, _ = keystore.NewKEK()
	w.dir = filepath.Join(t.TempDir(), "keys")
	opened, err := keystore.Create(keystore.Config{Dir: w.dir, KEK: w.kek, Clock: clock})
	must(t, err)
	t.Cleanup(func() { opened.Close() })
	w.keys = &keys{Keystore: opened}
	linter, err := lint.New(lint.Config{})
	must(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.http.ServeHTTP(rw, r) }))
	t.Cleanup(server.Close)
	w.baseURL = server.URL
	w.engine = issuance.New(issuance.Config{
		Keys: w.keys, Clock: clock, StatusBaseURL: w.baseURL, Lint: linter.Check, OCSPSeries: []string{"tls-ec"},
	})
	w.made, err = w.engine.CreateHierarchy(t.Context(), issuance.HierarchySpec{
		Name: "tls", Kind: telamon.HierarchyTLS, Organization: "Example", RootKeyType: tbs.ECP256, RootYears: 20,
		Series: []issuance.SeriesSpec{{Name: "tls-ec", KeyType: keyType, EKUFamily: telamon.EKUTLS, Years: 3, CRLShards: 1}},
	})
	must(t, err)
	must(t, w.db.CreateHierarchy(t.Context(), operator, store.Hierarchy{
		ID: w.made.ID, Kind: telamon.HierarchyTLS, Name: "tls", Series: w.made.Series, Issuers: w.made.Issuers,
	}))
	w.engine.Load(w.made.Issuers, w.made.Series)
	w.root, w.issuer = w.made.Issuers[0], w.made.Issuers[1]
	must(t, w.db.CreateAccount(t.Context(), operator, &telamon.Account{ID: w.account, Name: "Acme"}))
	w.config = responder.Config{
		Store: w.db, Engine: w.engine, Keys: w.keys, ReadKeys: w.keys.Refresh, Clock: clock, Validity: 96 * time.Hour, CacheOctets: 1 << 20,
	}
	w.use(responder.New(w.config))
	return w
}

// use serves the responder over HTTP.
func (w *world) use(r *responder.Responder) {
	w.responder = r
	w.http = status.New(status.Config{Issuers: w.engine, OCSP: status.OCSPConfig{
		Answers: r, Clock: w.clock, MaxAge: 10 * time.Minute, Live: web.NewLimiter(w.clock, 10, 20), LiveAddresses: web.NewLimiter(w.clock, 1, 2),
	}})
}

// url returns where OCSP answers for the issuing CA.
func (w *world) url() string { return w.baseURL + "/ocsp/" + w.issuer.ID.String() }

// issue signs and stores a certificate that lives for so many days.
func (w *world) issue(t testing.TB, days int) *telamon.ClientCert {
	t.Helper()
	cert := w.sign(t, days)
	w.store(t, cert)
	return cert
}

// sign makes a certificate that the ledger does not know.
func (w *world) sign(t testing.TB, days int) *telamon.ClientCert {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	public, err := tbs.NewPublicKey(spki)
	must(t, err)
	now := w.clock.Now().Truncate(time.Second)
	token, err := w.engine.Prepare(t.Context(), issuance.Request{
		Issuer: w.issuer.ID, NotBefore: now, NotAfter: now.AddDate(0, 0, days).Add(-time.Second), PublicKey: public,
		Content: telamon.Content{
			SAN: telamon.SubjectAltName{DNSNames: []string{"www.example.com"}}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: telamon.ExtKeyUsage{OIDs: telamon.EKUServerAuth.OIDs()},
		},
	})
	must(t, err)
	signed, err := w.engine.Sign(t.Context(), token)
	must(t, err)
	cert, err := x509.ParseCertificate(signed.DER)
	must(t, err)
	return &telamon.ClientCert{
		ID: telamon.NewClientCertID(), Account: w.account, Fingerprint: sha256.Sum256(signed.DER), Serial: signed.Serial, Issuer: w.issuer.ID,
		SPKIHash: signed.SPKIHash, NotAfter: signed.NotAfter, Certificate: cert,
	}
}

func (w *world) store(t testing.TB, cert *telamon.ClientCert) {
	t.Helper()
	must(t, w.db.CreateClientCert(t.Context(), operator, cert))
}

// revoke revokes a certificate in the database of one process.
func revoke(t testing.TB, db *store.DB, cert *telamon.ClientCert) {
	t.Helper()
	must(t, db.SetClientCertState(t.Context(), operator, cert.Account, cert.ID, telamon.Revoked, telamon.ReasonSuperseded))
}

// request returns a request for the certificate, by SHA-1 as almost all clients do.
func (w *world) request(t testing.TB, cert *telamon.ClientCert) []byte {
	t.Helper()
	der, err := ocsp.CreateRequest(cert.Certificate, w.issuer.Certificate, &ocsp.RequestOptions{Hash: crypto.SHA1})
	must(t, err)
	return der
}

func never() bool  { return false }
func always() bool { return true }

// ask returns what the responder says of a certificate, verified.
func (w *world) ask(t testing.TB, r *responder.Responder, cert *telamon.ClientCert) *ocsp.Response {
	t.Helper()
	answer := r.Answer(context.Background(), w.issuer.ID, w.request(t, cert), never)
	return w.verify(t, answer, cert)
}

// verify reads an answer about a certificate as a relying party does, and holds what is
// true of all that say something.
func (w *world) verify(t testing.TB, answer *responder.Answer, cert *telamon.ClientCert) *ocsp.Response {
	t.Helper()
	response, err := ocsp.ParseResponseForCert(answer.DER, cert.Certificate, w.issuer.Certificate)
	if err != nil {
		t.Fatalf("the answer is %v", err)
	}
	now, by := w.clock.Now(), response.Certificate
	if !response.ThisUpdate.Equal(answer.ThisUpdate) || !response.NextUpdate.Equal(answer.NextUpdate) {
		t.Errorf("it is from %s to %s and says from %s to %s", answer.ThisUpdate, answer.NextUpdate, response.ThisUpdate, response.NextUpdate)
	}
	if now.Before(response.ThisUpdate) || !now.Before(response.NextUpdate) {
		t.Errorf("at %s it holds from %s to %s", now, response.ThisUpdate, response.NextUpdate)
	}
	if by.NotAfter.Before(response.NextUpdate) || by.NotBefore.After(response.ThisUpdate) || !bytes.Equal(by.RawIssuer, w.issuer.Certificate.RawSubject) {
		t.Errorf("it holds to %s, and its responder %s to %s", response.NextUpdate, by.Subject, by.NotAfter)
	}
	return response
}

// mustRefuse holds that an answer is a refusal.
func mustRefuse(t testing.TB, answer *responder.Answer, status ocsp.ResponseStatus) {
	t.Helper()
	_, err := ocsp.ParseResponse(answer.DER, nil)
	if refused, ok := errors.AsType[ocsp.ResponseError](err); !ok || refused.Status != status {
		t.Errorf("the answer is %v, want %s", err, status)
	}
	if !answer.KeepUntil.IsZero() || !answer.ThisUpdate.IsZero() {
		t.Errorf("a refusal may be kept until %s", answer.KeepUntil)
	}
}
