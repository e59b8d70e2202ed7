package publish_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const now = "2026-11-30T10:00:00.250Z"

var operator = telamon.Actor{Kind: telamon.ActorOperator}

// world is a hierarchy of three series, a customer, and a publisher.
type world struct {
	url       string
	db        *store.DB
	clock     *testkit.Clock
	keys      *keys
	engine    *issuance.Engine
	publisher *publish.Publisher
	issuers   []telamon.Issuer // the root, one shard, four shards, strict
	series    []telamon.Series
	pair      telamon.PairID
	account   telamon.AccountID
	targets   []publish.Target
	log       bytes.Buffer
}

// The places of issuers.
const (
	root = iota
	single
	sharded
	strict
)

// keys is a keystore that a test can make fail.
type keys struct {
	*keystore.Keystore
	fail   error
	signed func() // is told of each signature; may be nil
}

func (k *keys) SignCRL(name string, list io.Reader) ([]byte, error) {
	if k.fail != nil {
		return nil, k.fail
	}
	if k.signed != nil {
		defer k.signed()
	}
	return k.Keystore.SignCRL(name, list)
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
	dbtest.EachURL(t, func(t *testing.T, url string) { f(t, newWorld(t, url)) })
}

func newWorld(t testing.TB, url string) *world {
	t.Helper()
	w := &world{url: url, clock: testkit.NewClock(t, now)}
	w.db = dbtest.Open(t, url, w.clock)
	kek, _ := keystore.NewKEK()
	made, err := keystore.Create(keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: w.clock})
	must(t, err)
	t.Cleanup(func() { made.Close() })
	w.keys = &keys{Keystore: made}
	w.engine = issuance.New(issuance.Config{Keys: w.keys, Clock: w.clock, StatusBaseURL: "http://status.example"})
	h, err := w.engine.CreateHierarchy(t.Context(), issuance.HierarchySpec{
		Name: "tls", Kind: telamon.HierarchyTLS, Organization: "Example", RootKeyType: tbs.ECP384, RootYears: 20,
		Series: []issuance.SeriesSpec{
			{Name: "tls-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUTLS, Years: 3, CRLShards: 1},
			{Name: "tls-sharded", KeyType: tbs.ECP384, EKUFamily: telamon.EKUTLS, Years: 3, CRLShards: 4},
			{Name: "strict", KeyType: tbs.ECP256, EKUFamily: telamon.EKUServerAuth, Years: 3, CRLShards: 1},
		},
	})
	must(t, err)
	must(t, w.db.CreateHierarchy(t.Context(), operator, store.Hierarchy{
		ID: h.ID, Kind: telamon.HierarchyTLS, Name: "tls", Series: h.Series, Issuers: h.Issuers,
	}))
	w.issuers, w.series = h.Issuers, h.Series
	w.engine.Load(w.issuers, w.series)
	w.addCustomer(t)
	w.start()
	return w
}

// start makes a publisher that knows nothing yet.
func (w *world) start() {
	w.publisher = publish.New(publish.Config{
		Store: w.db, Issuers: w.engine, Keys: w.keys, Clock: w.clock, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Schedule: publish.DefaultSchedule, Copies: w.targets,
	})
}

// addCustomer makes what a certificate needs in the ledger.
func (w *world) addCustomer(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	account := telamon.Account{ID: telamon.NewAccountID(), Name: "Acme"}
	must(t, w.db.CreateAccount(ctx, operator, &account))
	w.account = account.ID
	service := telamon.Service{ID: telamon.NewServiceID(), Name: "tls", Series: w.series[0].ID, PolicyTemplate: []byte("{}"), Unlimited: true}
	must(t, w.db.CreateService(ctx, operator, &service))
	subscription := telamon.Subscription{ID: telamon.NewSubscriptionID(), Account: account.ID, Service: service.ID}
	must(t, w.db.CreateSubscription(ctx, operator, &subscription))
	identity := telamon.Identity{ID: telamon.NewIdentityID(), Account: account.ID, Name: "Acme"}
	must(t, w.db.CreateIdentity(ctx, operator, &identity))
	credential := telamon.Credential{
		ID: telamon.NewCredentialID(), Account: account.ID, Name: "acme", MTLS: telamon.MTLSNone, SecretMAC: []byte{1}, PepperVersion: 1,
	}
	must(t, w.db.CreateCredential(ctx, operator, &credential, subscription.ID, identity.ID, nil))
	w.pair = credential.Pair
}

// issue issues a certificate of the given life, in seconds to its notAfter.
func (w *world) issue(t testing.TB, issuer int, life time.Duration) (*telamon.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := tbs.ECP256.Generate(rand.Reader)
	must(t, err)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	public, err := tbs.NewPublicKey(spki)
	must(t, err)
	eku, err := x509.ParseOID("1.3.6.1.5.5.7.3.1")
	must(t, err)
	from := w.clock.Now().Truncate(time.Second)
	token, err := w.engine.Prepare(t.Context(), issuance.Request{
		Issuer: w.issuers[issuer].ID, NotBefore: from, NotAfter: from.Add(life), PublicKey: public,
		Content: telamon.Content{
			SAN: telamon.SubjectAltName{DNSNames: []string{"www.example.com"}}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: telamon.ExtKeyUsage{OIDs: []x509.OID{eku}},
		},
	})
	must(t, err)
	signed, err := w.engine.Sign(t.Context(), token)
	must(t, err)
	entry := &telamon.Certificate{
		Serial: signed.Serial, Pair: w.pair, Credential: "crd_00000000000000000000000000", Issuer: signed.Issuer, PolicyVersion: "pol_1",
		CRLShard: signed.CRLShard, SPKIHash: signed.SPKIHash, NotBefore: signed.NotBefore, NotAfter: signed.NotAfter,
		AcceptedAt: w.clock.Now(), UpdatedAt: w.clock.Now(),
	}
	must(t, w.db.IssueCertificate(t.Context(), "", entry, store.Blob{DER: signed.DER, Request: []byte("{}")}, telamon.Event{
		Actor: operator, Account: w.account, Action: "certificate.issue", Object: entry.Serial.String(), Result: "ok",
	}))
	cert, err := x509.ParseCertificate(signed.DER)
	must(t, err)
	return entry, cert
}

func (w *world) revoke(t testing.TB, cert *telamon.Certificate, rev telamon.Revocation) {
	t.Helper()
	must(t, w.db.RevokeCertificate(t.Context(), w.pair, cert.Serial, rev, telamon.Event{
		Actor: operator, Account: w.account, Action: "certificate.revoke", Object: cert.Serial.String(), Result: "ok",
	}))
}

func (w *world) turn(t testing.TB) {
	t.Helper()
	must(t, w.publisher.Turn(context.Background()))
}

// der returns the bytes of the newest CRL of a shard, nil if there is none.
func (w *world) der(t testing.TB, issuer, shard int) []byte {
	t.Helper()
	crl := w.publisher.Newest(w.issuers[issuer].ID, shard)
	if crl == nil {
		return nil
	}
	var out bytes.Buffer
	must(t, w.publisher.Write(t.Context(), &out, crl))
	return out.Bytes()
}

// crl returns the newest CRL of a shard as the standard library reads it.
func (w *world) crl(t testing.TB, issuer, shard int) *x509.RevocationList {
	t.Helper()
	der := w.der(t, issuer, shard)
	if der == nil {
		t.Fatalf("issuer %d has no CRL %d", issuer, shard)
	}
	list, err := x509.ParseRevocationList(der)
	must(t, err)
	must(t, list.CheckSignatureFrom(w.issuers[issuer].Certificate))
	return list
}

// entry returns the certificate's entry on a CRL, nil if it is not there.
func entry(list *x509.RevocationList, cert *telamon.Certificate) *x509.RevocationListEntry {
	for i, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(cert.Serial.Int()) == 0 {
			return &list.RevokedCertificateEntries[i]
		}
	}
	return nil
}

// errSigner is a signer that is away.
var errSigner = errors.New("the signer is away")
