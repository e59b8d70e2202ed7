package staff_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const now = "2026-11-30T23:30:00Z"

// world is a database with two issuing CAs, and what staff does with it.
type world struct {
	*staff.Staff
	url     string
	db      *store.DB
	clock   *testkit.Clock
	series  telamon.SeriesID
	service telamon.ServiceID
	issuers [2]telamon.IssuerID
	key     *ecdsa.PrivateKey
}

// ada and bob are operators.
var (
	ada = telamon.Actor{Kind: telamon.ActorOperator, Operator: "ada", RequestID: "req_1"}
	bob = telamon.Actor{Kind: telamon.ActorOperator, Operator: "bob", RequestID: "req_2"}
)

// each runs f on both databases.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, now)
		w := &world{url: url, db: dbtest.Open(t, url, clock), clock: clock, series: telamon.NewSeriesID(), service: telamon.NewServiceID()}
		w.fill(t)
		w.start()
		f(t, w)
	})
}

// start makes the use cases over the database.
func (w *world) start() {
	w.Staff = staff.New(staff.Config{Store: w.db, Clock: w.clock, Log: slog.New(slog.DiscardHandler)})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBe(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.From(err); err == nil || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
	}
}

func (w *world) fill(t testing.TB) {
	t.Helper()
	var err error
	w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	hierarchy := telamon.NewHierarchyID()
	spec := store.Hierarchy{
		ID: hierarchy, Kind: telamon.HierarchyTLS, Name: "tls",
		Series: []telamon.Series{{ID: w.series, Hierarchy: hierarchy, Name: "tls-ec", KeyType: "EC-P256", EKUFamily: telamon.EKUTLS}},
	}
	for i, status := range []telamon.IssuerStatus{telamon.IssuerActive, telamon.IssuerPlanned} {
		w.issuers[i] = telamon.NewIssuerID()
		spec.Issuers = append(spec.Issuers, telamon.Issuer{
			ID: w.issuers[i], Hierarchy: hierarchy, Series: w.series, Role: telamon.RoleIssuing, Status: status, KeyName: "tls-" + string(rune('1'+i)),
			Certificate: w.sign(t, &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true}),
			CRLShards:   1, ActivateAt: w.clock.Now(),
		})
	}
	must(t, w.db.CreateHierarchy(t.Context(), ada, spec))
	must(t, w.db.CreateService(t.Context(), ada, &telamon.Service{
		ID: w.service, Name: "tls", PolicyTemplate: []byte("{}"), Series: w.series, Unlimited: true,
	}))
}

func (w *world) sign(t testing.TB, template *x509.Certificate) *x509.Certificate {
	t.Helper()
	template.NotBefore, template.NotAfter = w.clock.Now(), w.clock.Now().AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, template, w.key.Public(), w.key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

// A customer is an account with a pair.
type customer struct {
	w        *world
	account  telamon.AccountID
	identity telamon.IdentityID
	pair     telamon.PairID
}

func (w *world) customer(t testing.TB, name string) *customer {
	t.Helper()
	ctx := t.Context()
	account := telamon.Account{ID: telamon.NewAccountID(), Name: name}
	must(t, w.db.CreateAccount(ctx, ada, &account))
	sub := telamon.Subscription{ID: telamon.NewSubscriptionID(), Account: account.ID, Service: w.service}
	must(t, w.db.CreateSubscription(ctx, ada, &sub))
	identity := telamon.Identity{ID: telamon.NewIdentityID(), Account: account.ID, Name: name, Data: map[string]string{}}
	must(t, w.db.CreateIdentity(ctx, ada, &identity))
	must(t, w.db.MoveIdentity(ctx, ada, account.ID, identity.ID, store.IdentityMove{
		From: telamon.IdentityDraft, To: telamon.IdentityActive, Action: "identity.activate",
	}))
	credential := telamon.Credential{
		ID: telamon.NewCredentialID(), Account: account.ID, Name: "api", Key: strings.ToLower(rand.Text())[:16], SecretMAC: []byte("mac"),
		MTLS: telamon.MTLSNone,
	}
	must(t, w.db.CreateCredential(ctx, ada, &credential, sub.ID, identity.ID, nil))
	return &customer{w, account.ID, identity.ID, credential.Pair}
}

// An order says what certificates are written.
type order struct {
	n      int64
	issuer int
	key    string // whose hash is the certificate's; "" is some other one
	name   string
	from   time.Time // of the acceptance; zero: in the last ten days
	until  time.Time
}

// have writes certificates.
func (c *customer) have(t testing.TB, o order) {
	t.Helper()
	if o.name == "" {
		o.name = "www.example.com"
	}
	if o.until.IsZero() {
		o.from, o.until = c.w.clock.Now().AddDate(0, 0, -10), c.w.clock.Now()
	}
	serial := telamon.NewSerial(o.from)
	leaf := c.w.sign(t, &x509.Certificate{SerialNumber: serial.Int(), Subject: pkix.Name{Organization: []string{"Acme"}}, DNSNames: []string{o.name}})
	const step = 500 // in one transaction, which must not last for more than a few seconds on a busy machine
	for first := int64(0); first < o.n; first += step {
		n := min(step, o.n-first)
		span := o.until.Sub(o.from)
		written, err := c.w.db.Fill(t.Context(), store.FillSpec{
			Actor: ada, Account: c.account, N: n, Blob: store.Blob{DER: leaf.Raw, Request: []byte("{}")},
			From: o.from.Add(span / time.Duration(o.n) * time.Duration(first)), To: o.from.Add(span / time.Duration(o.n) * time.Duration(first+n)),
			Template: telamon.Certificate{
				Serial: serial, Pair: c.pair, Credential: "crd_00000000000000000000000000", Issuer: c.w.issuers[o.issuer], PolicyVersion: "pol_1",
				SPKIHash: sha256.Sum256([]byte(o.key)), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
			},
		})
		must(t, err)
		if written != n {
			t.Fatalf("%d certificates were written, want %d", written, n)
		}
	}
}

// revoked returns how many of the pair's certificates were ever revoked.
func (c *customer) revoked(t testing.TB) int64 {
	t.Helper()
	n, err := c.w.db.RevokedTotal(t.Context(), c.pair)
	must(t, err)
	return n
}

// work does the job of a bulk revocation, and returns what became of it.
func (w *world) work(t testing.TB, id telamon.BulkID) telamon.BulkRevocation {
	t.Helper()
	job := store.Job{Kind: store.JobBulkRevocation, Key: id.String()}
	if _, err := w.Handlers()[store.JobBulkRevocation].Run(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	b, err := w.BulkRevocation(t.Context(), ada, id)
	must(t, err)
	return b
}

// plan counts what a filter selects.
func (w *world) plan(t testing.TB, filter telamon.RevocationFilter, reason telamon.RevocationReason) telamon.BulkRevocation {
	t.Helper()
	b, err := w.PlanRevocation(t.Context(), ada, filter, staff.Revocation{Reason: reason})
	must(t, err)
	if b.State != telamon.BulkCounting {
		t.Errorf("a new plan is %s", b.State)
	}
	planned := w.work(t, b.ID)
	if planned.State != telamon.BulkPlanned {
		t.Errorf("a plan that is counted is %s", planned.State)
	}
	return planned
}
