package ra_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
	outside "github.com/telamon-ca/telamon/internal/world"
)

const (
	now     = "2026-11-22T10:00:00Z"
	baseURL = "http://status.example"
	shards  = 4
)

var operator = telamon.Actor{Kind: telamon.ActorOperator}

// policyTemplate is the policy of most services here; see template.
const policyTemplate = `{
	"validity": {"secondsmin": 60, "secondsmax": 7776000, "not_before_negative_skew": 120, "not_before_positive_skew": 3600},
	"subject_dn": {
		"common_name": {"presence": "REQUIRED", "format": "^[a-z0-9.-]+$"},
		"organization": {"presence": "STATIC", "format": "{{identity.organization}}"}
	},
	"san": {"dns_names": {"static": false, "list": ["."], "mincount": 0, "maxcount": 3}},
	"key_usages": {"digital_signature": "STATIC_TRUE"},
	"extended_key_usages": {"ekus": {"static": true, "list": ["1.3.6.1.5.5.7.3.1"]}},
	"signature": {
		"algorithm": {"presence": "OPTIONAL", "list": ["ECDSA"]},
		"hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256", "SHA-384"]}
	},
	"public_key": {"key_type": "ECDSA", "allowed_lengths": [256], "key_format": "PKCS10"},
	"public_key_signature": "OPTIONAL"
}`

// domainAlone are the changes of policyTemplate by which certificates name nobody, as
// strict content has it unless they say where that is.
var domainAlone = []string{`"organization": {"presence": "STATIC", "format": "{{identity.organization}}"}`, `"organization": {"presence": "FORBIDDEN"}`}

// template returns policyTemplate with each odd text of changes in the place of
// the one before it.
func template(changes ...string) []byte {
	return []byte(strings.NewReplacer(changes...).Replace(policyTemplate))
}

// world is the platform with one issuing CA and one account.
type world struct {
	t            testing.TB // that the world lives for
	url          string
	db           *store.DB
	clock        *testkit.Clock
	keys         *keys
	engine       *issuance.Engine
	directory    *directory.Directory
	iam          *iam.IAM
	ra           *ra.RA
	outside      *outside.World // its DNS, web and mail servers
	lookups      *lookups
	adjust       []func(*ra.Validation)                       // what tests change of the configuration of validation
	remotes      func(local *dcv.Engine) []perspective.Remote // nil: there are none
	issuer       telamon.Issuer
	transparency ra.Transparency // none until a test sets it
	agreement    string          // likewise
	account      telamon.AccountID
	identity     telamon.IdentityID
	log          strings.Builder // of the use cases; read while nothing runs
}

// keys is a keystore that a test can make fail around a signature.
type keys struct {
	*keystore.Keystore
	before func() error // nil does nothing
	after  func()
}

func (k *keys) SignCertificate(name string, tbsDER []byte) ([]byte, error) {
	if k.before != nil {
		if err := k.before(); err != nil {
			return nil, err
		}
	}
	signature, err := k.Keystore.SignCertificate(name, tbsDER)
	if k.after != nil {
		k.after()
	}
	return signature, err
}

// each runs f on both databases, and checks the invariants when it ends.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url, testkit.NewClock(t, now))
		f(t, w)
		invariant.Check(t, w.db)
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB, url string, clock *testkit.Clock) *world {
	t.Helper()
	linter, err := lint.New(lint.Config{})
	must(t, err)
	return newLintedWorld(t, url, clock, linter.Check)
}

// newLintedWorld is newWorld with a lint; nil lints nothing.
func newLintedWorld(t testing.TB, url string, clock *testkit.Clock, check func(context.Context, telamon.Profile, []byte) []fault.Field) *world {
	t.Helper()
	w := &world{t: t, url: url, db: dbtest.Open(t, url, clock), clock: clock}
	kek, _ := keystore.NewKEK()
	keystore, err := keystore.Create(keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: clock})
	must(t, err)
	t.Cleanup(func() { keystore.Close() })
	w.keys = &keys{Keystore: keystore}
	w.engine = issuance.New(issuance.Config{Keys: w.keys, Clock: clock, StatusBaseURL: baseURL, Lint: check})
	made, err := w.engine.CreateHierarchy(t.Context(), issuance.HierarchySpec{
		Name: "tls", Kind: telamon.HierarchyTLS, Organization: "Example", RootKeyType: tbs.ECP256, RootYears: 20,
		Series: []issuance.SeriesSpec{{Name: "tls-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUTLS, Years: 5, CRLShards: shards}},
	})
	must(t, err)
	must(t, w.db.CreateHierarchy(t.Context(), operator, store.Hierarchy{
		ID: made.ID, Kind: telamon.HierarchyTLS, Name: "tls", Series: made.Series, Issuers: made.Issuers,
	}))
	w.issuer = made.Issuers[1]
	w.outside, err = outside.Start(outside.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, w.outside.Close()) })
	w.lookups = newLookups(w.outside.DNS.Addr())
	w.start(t)
	account, err := w.iam.CreateAccount(t.Context(), operator, iam.NewAccount{Name: "Acme"})
	must(t, err)
	w.account = account.ID
	w.identity = w.newIdentity(t, time.Time{})
	return w
}

// start makes the use cases over the database, as a start of the platform does.
func (w *world) start(t testing.TB) {
	t.Helper()
	var err error
	w.directory, err = directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock, OnIssuers: w.engine.Load})
	must(t, err)
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	w.iam = iam.New(iam.Config{Store: w.db, Directory: w.directory, Issuance: w.engine, Keys: w.keys, Clock: w.clock, Log: log})
	w.ra = ra.New(ra.Config{
		Store: w.db, Directory: w.directory, Issuance: w.engine, Clock: w.clock, Log: log, Validation: w.validation(t, log),
		Transparency: w.transparency, Agreement: w.agreement,
	})
}

// restart closes the database, if that is not done yet, and starts again over it.
func (w *world) restart(t testing.TB) {
	t.Helper()
	must(t, w.db.Close())
	w.db = dbtest.Open(w.t, w.url, w.clock)
	w.start(t)
}

// newIdentity returns an active identity; a zero time lets it be so for ever.
func (w *world) newIdentity(t testing.TB, expires time.Time) telamon.IdentityID {
	t.Helper()
	i, err := w.iam.CreateIdentity(t.Context(), operator, w.account, "Acme", map[string]string{"organization": "Acme K.K."})
	must(t, err)
	for _, to := range []telamon.IdentityState{telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive} {
		must(t, w.iam.MoveIdentity(t.Context(), operator, w.account, i.ID, iam.IdentityMove{To: to, ExpiresAt: expires}))
	}
	return i.ID
}

// customer is a credential and what it belongs to.
type customer struct {
	w          *world
	spec       iam.ServiceSpec
	service    *telamon.Service
	sub        telamon.SubscriptionID
	credential *telamon.Credential
}

// unlimited is a service without quota and domain validation.
func unlimited(changes ...string) iam.ServiceSpec {
	return iam.ServiceSpec{PolicyTemplate: template(changes...), Unlimited: true}
}

// metered is a service that draws quota.
func metered(changes ...string) iam.ServiceSpec {
	return iam.ServiceSpec{PolicyTemplate: template(changes...)}
}

// customer makes a service, a subscription with a lot of quota for a year unless
// that is zero, and a credential for it.
func (w *world) customer(t testing.TB, spec iam.ServiceSpec, quota int64) *customer {
	t.Helper()
	ctx := t.Context()
	spec.Series = "tls-ec"
	if spec.Name == "" {
		spec.Name = "service " + rand.Text()
	}
	c := &customer{w: w, spec: spec}
	var err error
	c.service, err = w.iam.CreateService(ctx, operator, spec)
	must(t, err)
	sub, err := w.iam.Subscribe(ctx, operator, w.account, c.service.ID)
	must(t, err)
	c.sub = sub.ID
	if quota > 0 {
		c.grant(t, quota, time.Time{}, w.clock.Now().AddDate(1, 0, 0))
	}
	c.credential = c.newCredential(t, w.identity)
	return c
}

func (c *customer) grant(t testing.TB, amount int64, from, to time.Time) *telamon.Lot {
	t.Helper()
	lot, err := c.w.iam.GrantQuota(t.Context(), operator, iam.Grant{
		Account: c.w.account, Subscription: c.sub, Amount: amount, StartsAt: from, EndsAt: to,
	})
	must(t, err)
	return lot
}

func (c *customer) newCredential(t testing.TB, identity telamon.IdentityID) *telamon.Credential {
	t.Helper()
	credential, _, err := c.w.iam.CreateCredential(t.Context(), operator, iam.CredentialSpec{
		Account: c.w.account, Name: strings.ToLower(rand.Text()), Subscription: c.sub, Identity: identity, MTLS: telamon.MTLSNone,
	})
	must(t, err)
	return credential
}

// change changes the customer's service.
func (c *customer) change(t testing.TB, to iam.ServiceSpec) {
	t.Helper()
	to.Series = c.spec.Series
	service, err := c.w.iam.ChangeService(t.Context(), operator, c.service.ID, c.service.Version, to)
	must(t, err)
	c.service, c.spec = service, to
}

// actor is the customer in a request of its own.
func (c *customer) actor() telamon.Actor {
	return telamon.Actor{
		Kind: telamon.ActorCredential, Account: c.w.account, Address: netip.MustParseAddr("192.0.2.7"), RequestID: "req_" + rand.Text(),
		Credential: c.credential.ID, Pair: c.credential.Pair, Issuer: c.w.issuer.ID,
	}
}

// issue issues a certificate for a new key and the name.
func (c *customer) issue(t testing.TB, name string) telamon.Serial {
	t.Helper()
	serial, err := c.w.ra.Issue(t.Context(), c.actor(), request(newKey(t).csr, name))
	if err != nil {
		t.Fatalf("issue for %s: %v", name, err)
	}
	return serial
}

// certificate returns a certificate with its entry.
func (c *customer) certificate(t testing.TB, serial telamon.Serial) (*telamon.Certificate, *x509.Certificate) {
	t.Helper()
	entry, der, err := c.w.ra.Certificate(t.Context(), c.actor(), serial)
	if err != nil {
		t.Fatalf("retrieve %s: %v", serial, err)
	}
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return entry, cert
}

// standing is what a refused request must not change.
type standing struct{ issued, revoked, quota, listed, expiring int64 }

func (c *customer) standing(t testing.TB) standing {
	t.Helper()
	var s standing
	var err error
	ctx, from, to := t.Context(), c.w.clock.Now().AddDate(-10, 0, 0), c.w.clock.Now().AddDate(10, 0, 0)
	s.issued, err = c.w.ra.IssuedCount(ctx, c.actor())
	must(t, err)
	s.revoked, err = c.w.ra.RevokedCount(ctx, c.actor())
	must(t, err)
	s.quota, err = c.w.ra.Quota(ctx, c.actor())
	must(t, err)
	_, s.listed, err = c.w.ra.List(ctx, c.actor(), store.Issued, from, to, 1, 1)
	must(t, err)
	_, s.expiring, err = c.w.ra.List(ctx, c.actor(), store.Expiring, from, to, 1, 1)
	must(t, err)
	return s
}

func (c *customer) mustStand(t testing.TB, before standing) {
	t.Helper()
	if after := c.standing(t); after != before {
		t.Errorf("the request left something behind: %+v, before %+v", after, before)
	}
}

// events returns the audit events of the actor's request.
func (w *world) events(t testing.TB, actor telamon.Actor) []*audit.Payload {
	t.Helper()
	var found []*audit.Payload
	filter := store.AuditFilter{Actor: actor.Subject()}
	for more := true; more; more = filter.After != "" {
		page, err := w.db.AuditEvents(t.Context(), filter)
		must(t, err)
		for _, event := range page.Events {
			if event.RequestID == actor.RequestID {
				found = append(found, event)
			}
		}
		filter.After = page.Next
	}
	return found
}

// mustAudit returns the one audit event of the actor's request, after checking
// what it says.
func (w *world) mustAudit(t testing.TB, actor telamon.Actor, action, object, result string) *audit.Payload {
	t.Helper()
	events := w.events(t, actor)
	if len(events) != 1 {
		t.Fatalf("the request has %d audit events, want one", len(events))
	}
	e := events[0]
	if e.Action != action || e.Object != object || e.Result != result || e.Account != actor.Account ||
		e.Actor != actor.Subject() || e.Kind != actor.Kind || e.Address != actor.Address || !e.At.Equal(w.clock.Now()) {
		t.Errorf("the audit event is %+v, want %s of %q by %s with %s", e, action, object, actor.Subject(), result)
	}
	return e
}

// mustKeepFields checks that the audit event has the fields of the fault, under the
// names that the log's readers look for.
func mustKeepFields(t testing.TB, e *audit.Payload, err error) {
	t.Helper()
	var got, want struct {
		Fields []map[string]string `json:"fields"`
	}
	must(t, json.Unmarshal(e.After, &got))
	for _, field := range fault.From(err).Fields {
		want.Fields = append(want.Fields, map[string]string{"path": field.Path, "problem": field.Problem})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the audit event has other fields (-want +got):\n%s", diff)
	}
}

func mustBe(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
	}
}

// mustName checks that the fault names exactly these fields.
func mustName(t testing.TB, err error, paths ...string) {
	t.Helper()
	var got []string
	if f := fault.From(err); f != nil {
		for _, field := range f.Fields {
			got = append(got, field.Path)
		}
	}
	if !slices.Equal(got, paths) {
		t.Errorf("the fault names %q, want %q", got, paths)
	}
}

// subjectKey is a subscriber's key in the forms in which it is sent.
type subjectKey struct {
	signer    crypto.Signer
	csr       string
	public    string // PEM of the SubjectPublicKeyInfo
	signature string // that proves possession
}

func newKey(t testing.TB) *subjectKey {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return keyOf(t, signer)
}

func keyOf(t testing.TB, signer crypto.Signer) *subjectKey {
	t.Helper()
	// The names of a CSR are not read.
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "not.read.example"}, DNSNames: []string{"not.read.example"},
	}, signer)
	must(t, err)
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	must(t, err)
	digest := sha256.Sum256(spki)
	signature, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	must(t, err)
	return &subjectKey{signer, encodePEM("CERTIFICATE REQUEST", csr), encodePEM("PUBLIC KEY", spki), base64.StdEncoding.EncodeToString(signature)}
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// spoilt returns the PEM block with its last octet changed, which is one of a
// CSR's signature.
func spoilt(t testing.TB, text string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	block.Bytes[len(block.Bytes)-1] ^= 1
	return encodePEM(block.Type, block.Bytes)
}

// request asks for a certificate with the name, in the subject and as DNS name.
func request(publicKey, name string) *ra.CertificateRequest {
	return &ra.CertificateRequest{
		Policy:    policy.Request{Subject: map[string]string{"common_name": name}, SAN: policy.SANRequest{DNSNames: []string{name}}},
		PublicKey: publicKey,
	}
}

// gone is a context that has ended.
func gone(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
