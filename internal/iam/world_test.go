package iam_test

import (
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// now is a minute before the keys of token MACs change.
const now = "2026-11-22T23:59:00.250Z"

var (
	operator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_1"}
	home     = netip.MustParseAddr("192.0.2.7")
)

// template is a policy whose organization comes from the identity.
const template = `{
	"validity": {"secondsmin": 1, "secondsmax": 86400},
	"subject_dn": {
		"common_name": {"presence": "REQUIRED", "format": "^[a-z]+$"},
		"organization": {"presence": "STATIC", "format": "{{identity.organization}}"}
	},
	"extended_key_usages": {"ekus": {"static": true, "list": ["1.3.6.1.5.5.7.3.2"]}},
	"signature": {
		"algorithm": {"presence": "OPTIONAL", "list": ["ECDSA"]},
		"hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256"]}
	},
	"public_key": {"key_type": "ECDSA", "allowed_lengths": [256], "key_format": "PKCS10"},
	"public_key_signature": "OPTIONAL"
}`

// world is a platform with one account that can have credentials, and an empty one.
type world struct {
	*iam.IAM
	url    string
	db     *store.DB
	clock  *testkit.Clock
	keys   *keystore.Keystore
	engine *issuance.Engine
	dir    *directory.Directory

	account, other telamon.AccountID
	service        telamon.ServiceID
	sub            telamon.SubscriptionID
	identity       telamon.IdentityID
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
	w.keys = got(keystore.Create(keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: w.clock}))(t)
	t.Cleanup(func() { w.keys.Close() })
	linter, err := lint.New(lint.Config{})
	must(t, err)
	w.engine = issuance.New(issuance.Config{Keys: w.keys, Clock: w.clock, StatusBaseURL: "http://status.example", Lint: linter.Check})
	for _, spec := range []issuance.HierarchySpec{
		{Name: "mtls", Kind: telamon.HierarchyClientAuth, Series: []issuance.SeriesSpec{
			{Name: "mtls-rsa", KeyType: tbs.ECP384, EKUFamily: telamon.EKUClientAuth, Years: 10, CRLShards: 2},
			{Name: "mtls-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUClientAuth, Years: 10},
		}},
		{Name: "tls", Kind: telamon.HierarchyTLS, Series: []issuance.SeriesSpec{
			{Name: "tls-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUTLS, Years: 5},
		}},
	} {
		spec.RootKeyType, spec.RootYears = tbs.ECP256, 20
		made := got(w.engine.CreateHierarchy(t.Context(), spec))(t)
		must(t, w.db.CreateHierarchy(t.Context(), operator, store.Hierarchy{
			ID: made.ID, Kind: spec.Kind, Name: spec.Name, Series: made.Series, Issuers: made.Issuers,
		}))
	}
	w.dir = got(directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock, OnIssuers: w.engine.Load}))(t)
	w.IAM = w.replica(w.clock)
	w.fill(t)
	return w
}

// replica returns use cases over the same database and keys by another clock, and
// for other key types of mTLS certificates than the default.
func (w *world) replica(clock telamon.Clock, keyTypes ...string) *iam.IAM {
	return iam.New(iam.Config{
		Store: w.db, Directory: w.dir, Issuance: w.engine, Keys: w.keys, Passwords: testkit.Passwords, Clock: clock,
		ClientKeyTypes: keyTypes, ClientSeriesRSA: "mtls-rsa", ClientSeriesEC: "mtls-ec",
	})
}

func (w *world) fill(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	w.account = got(w.CreateAccount(ctx, operator, iam.NewAccount{Name: "Acme"}))(t).ID
	w.other = got(w.CreateAccount(ctx, operator, iam.NewAccount{Name: "Globex"}))(t).ID
	w.service = got(w.CreateService(ctx, operator, serviceSpec("tls")))(t).ID
	w.sub = got(w.Subscribe(ctx, operator, w.account, w.service))(t).ID
	w.identity = w.newIdentity(t, w.account)
}

func serviceSpec(name string) iam.ServiceSpec {
	return iam.ServiceSpec{Name: name, PolicyTemplate: []byte(template), Series: "tls-ec", Unlimited: true}
}

// newIdentity returns an active identity.
func (w *world) newIdentity(t testing.TB, account telamon.AccountID) telamon.IdentityID {
	t.Helper()
	id := got(w.CreateIdentity(t.Context(), operator, account, "Acme", map[string]string{"organization": "Acme K.K."}))(t).ID
	w.move(t, account, id, telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive)
	return id
}

// move moves an identity along a path that is allowed.
func (w *world) move(t testing.TB, account telamon.AccountID, id telamon.IdentityID, path ...telamon.IdentityState) {
	t.Helper()
	for _, to := range path {
		must(t, w.MoveIdentity(t.Context(), operator, account, id, iam.IdentityMove{To: to, Reason: "a test"}))
	}
}

func (w *world) spec(name string) iam.CredentialSpec {
	return iam.CredentialSpec{Account: w.account, Name: name, Subscription: w.sub, Identity: w.identity}
}

// login is what a client logs in with.
type login struct {
	credential  *telamon.Credential
	key, secret string
	peer        []byte
	cert        telamon.ClientCertID
}

// newLogin makes a credential, with a certificate for the key unless it is nil.
func (w *world) newLogin(t testing.TB, name string, key *rawKey) *login {
	t.Helper()
	spec := w.spec(name)
	if key == nil {
		spec.MTLS = telamon.MTLSNone
	}
	c, secret, err := w.CreateCredential(t.Context(), operator, spec)
	must(t, err)
	l := &login{credential: c, key: c.Key, secret: secret.Reveal()}
	if key != nil {
		issued := w.issue(t, key, c.ID)
		l.peer, l.cert = issued.Certificate.Raw, issued.ID
	}
	return l
}

// issue issues an mTLS certificate.
func (w *world) issue(t testing.TB, key *rawKey, credentials ...telamon.CredentialID) *iam.IssuedClientCert {
	t.Helper()
	return got(w.IssueClientCert(t.Context(), operator, iam.ClientCertRequest{
		Account: w.account, Credentials: credentials, CSR: key.csr(t),
	}))(t)
}

// login returns the token of a login that must succeed.
func (w *world) login(t testing.TB, l *login) string {
	t.Helper()
	return got(w.Login(t.Context(), home, l.peer, l.key, l.secret))(t)
}

// events writes the refusals and returns the audit events of an action, but for
// those whose result is "ok" if the action is a login.
func (w *world) events(t testing.TB, action string) []*audit.Payload {
	t.Helper()
	must(t, w.WriteRefusals(t.Context(), true))
	page := got(w.db.AuditEvents(t.Context(), store.AuditFilter{Action: action}))(t)
	if page.Next != "" || len(page.Unreadable) > 0 {
		t.Fatalf("the audit log goes on after %s, and %d events cannot be read", page.Next, len(page.Unreadable))
	}
	return slices.DeleteFunc(page.Events, func(p *audit.Payload) bool { return action == "credential.login" && p.Result == "ok" })
}

// mustBe checks a fault's kind and code.
func mustBe(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
	}
}

// mustBeKind checks a fault's kind alone.
func mustBeKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("the error is %v, want %s", err, kind)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got returns a function that gives the value, or ends the test if there is an error.
func got[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func errorOf[T any](_ T, err error) error { return err }

// ids returns what an ID function gives for each object.
func ids[T, I any](list []T, id func(T) I) []I {
	var out []I
	for _, one := range list {
		out = append(out, id(one))
	}
	return out
}

func sqlite(t testing.TB) string { t.Helper(); return dbtest.SQLite(t) }

func errorOf3[A, B any](_ A, _ B, err error) error { return err }
