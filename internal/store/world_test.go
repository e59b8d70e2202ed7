package store_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// world is what a certificate needs around it: an issuer, and an account with a
// subscription and two pairs.
type world struct {
	db            *store.DB
	clock         telamon.Clock
	issuer        telamon.IssuerID
	series        telamon.SeriesID
	account       telamon.AccountID
	subscription  telamon.SubscriptionID
	pair, another telamon.PairID // both of the subscription
	blob          store.Blob     // a real leaf's
	serial        telamon.Serial // in blob
}

// operator is who acts in these tests.
var operator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_1"}

// newWorld fills the database. The subscription has no quota yet: see addLot.
func newWorld(t testing.TB, db *store.DB, clock telamon.Clock) *world {
	t.Helper()
	w := &world{
		db: db, clock: clock, issuer: telamon.NewIssuerID(), series: telamon.NewSeriesID(),
		account: telamon.NewAccountID(), subscription: telamon.NewSubscriptionID(), pair: 1, another: 2,
	}
	ca := w.sign(t)
	hierarchy := telamon.NewHierarchyID()
	err := db.CreateHierarchy(t.Context(), operator, store.Hierarchy{
		ID: hierarchy, Kind: telamon.HierarchyTLS, Name: "tls",
		Series: []telamon.Series{{ID: w.series, Hierarchy: hierarchy, Name: "tls-ecdsa", KeyType: "EC-P256", EKUFamily: telamon.EKUTLS}},
		Issuers: []telamon.Issuer{{
			ID: w.issuer, Hierarchy: hierarchy, Series: w.series, Role: telamon.RoleIssuing, Status: telamon.IssuerActive,
			KeyName: "tls-1", Certificate: ca, CRLShards: 1, ActivateAt: clock.Now(),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	service, identity, now := telamon.NewServiceID(), telamon.NewIdentityID(), clock.Now().UnixMilli()
	w.exec(t, "INSERT INTO account (id, name, state, created_at) VALUES ($1, 'Acme', 'active', $2)", w.account.String(), now)
	w.exec(t, "INSERT INTO service (id, name, version, policy_template, series_id, domain_validation, strict_content,"+
		" strict_caa, strict_mpic, unlimited, created_at, changed_at)"+
		" VALUES ($1, 'tls', 1, '{}', $2, FALSE, FALSE, FALSE, FALSE, FALSE, $3, $3)", service.String(), w.series.String(), now)
	w.exec(t, "INSERT INTO subscription (id, account_id, service_id, created_at) VALUES ($1, $2, $3, $4)",
		w.subscription.String(), w.account.String(), service.String(), now)
	for _, pair := range []telamon.PairID{w.pair, w.another} {
		w.exec(t, "INSERT INTO identity (id, account_id, name, data, state, created_at) VALUES ($1, $2, 'Acme', '{}', 'active', $3)",
			identity.String(), w.account.String(), now)
		w.exec(t, "INSERT INTO pair (id, account_id, subscription_id, identity_id, created_at) VALUES ($1, $2, $3, $4, $5)",
			int64(pair), w.account.String(), w.subscription.String(), identity.String(), now)
		identity = telamon.NewIdentityID()
	}
	return w
}

// sign makes an issuing CA and the leaf that is the world's blob.
func (w *world) sign(t testing.TB) (ca *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := w.clock.Now().Truncate(time.Second)
	make := func(template, parent *x509.Certificate) *x509.Certificate {
		template.NotBefore, template.NotAfter = now, now.AddDate(1, 0, 0)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	ca = make(template, template)
	w.serial = telamon.NewSerial(now)
	leaf := make(&x509.Certificate{
		SerialNumber: w.serial.Int(), Subject: pkix.Name{Organization: []string{"Acme"}, CommonName: "www.example.com"},
		DNSNames: []string{"www.example.com", "example.com"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		CRLDistributionPoints: []string{"http://status.example.com/crl/iss_0/0.crl"}, IssuingCertificateURL: []string{"http://status.example.com/iss_0.cer"},
	}, ca)
	w.blob = store.Blob{DER: leaf.Raw, Request: bytes.Repeat([]byte(`{"san":{"dns_names":["www.example.com"]}}`), 8)}
	return ca
}

// exec runs SQL that the store has no method for.
func (w *world) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if err := store.Exec(context.Background(), w.db, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// number returns the number that a query gives.
func (w *world) number(t testing.TB, query string, args ...any) int64 {
	t.Helper()
	n, err := store.Number(context.Background(), w.db, query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// addLot adds quota that starts an hour ago.
func (w *world) addLot(t testing.TB, amount int64, expires time.Time) telamon.LotID {
	t.Helper()
	id, now := telamon.NewLotID(), w.clock.Now()
	w.exec(t, "INSERT INTO quota_lot (id, subscription_id, amount, used, starts_at, expires_at, created_at) VALUES ($1, $2, $3, 0, $4, $5, $6)",
		id.String(), w.subscription.String(), amount, now.Add(-time.Hour).UnixMilli(), expires.UnixMilli(), now.UnixMilli())
	return id
}

// cert returns the facts of a new certificate of the pair.
func (w *world) cert(pair telamon.PairID) *telamon.Certificate {
	now := w.clock.Now()
	return &telamon.Certificate{
		Serial: telamon.NewSerial(now), Pair: pair, Credential: "crd_00000000000000000000000000", Issuer: w.issuer,
		PolicyVersion: "pol_1", CRLShard: 0, SPKIHash: sha256.Sum256(w.blob.DER),
		NotBefore: now.Truncate(time.Second), NotAfter: now.Truncate(time.Second).Add(90 * 24 * time.Hour),
		AcceptedAt: now, Status: telamon.StatusIssued, UpdatedAt: now,
	}
}

func (w *world) event(cert *telamon.Certificate) telamon.Event {
	return telamon.Event{
		Actor: operator, Account: w.account, Action: "certificate.issue", Object: cert.Serial.String(), Result: "ok",
		After: map[string]any{"issuer": cert.Issuer, "policy": cert.PolicyVersion, "not_after": cert.NotAfter},
	}
}

// issue issues a certificate and draws quota for it.
func (w *world) issue(ctx context.Context, cert *telamon.Certificate) error {
	return w.db.IssueCertificate(ctx, w.subscription, cert, w.blob, w.event(cert))
}

// mustIssue issues a certificate without quota.
func (w *world) mustIssue(t testing.TB, cert *telamon.Certificate) {
	t.Helper()
	if err := w.db.IssueCertificate(t.Context(), "", cert, w.blob, w.event(cert)); err != nil {
		t.Fatalf("issue %s: %v", cert.Serial, err)
	}
}
