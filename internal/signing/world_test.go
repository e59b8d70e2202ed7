package signing_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/signing"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const now = "2026-11-22T10:00:00Z"

var operator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_1"}

// world is a signing hierarchy and two accounts.
type world struct {
	*signing.Signing
	db     *store.DB
	clock  *testkit.Clock
	keys   *breakable
	engine *issuance.Engine

	account, other telamon.AccountID
	signer, reader telamon.Actor // users of the account, the first with a client certificate
}

// each runs f on both databases.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { f(t, newWorld(t, url)) })
}

func newWorld(t testing.TB, url string) *world {
	t.Helper()
	w := &world{clock: testkit.NewClock(t, now)}
	w.db = dbtest.Open(t, url, w.clock)
	kek, _ := keystore.NewKEK()
	keys, err := keystore.Create(keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: w.clock})
	must(t, err)
	t.Cleanup(func() { keys.Close() })
	w.keys = &breakable{Keystore: keys}
	linter, err := lint.New(lint.Config{})
	must(t, err)
	w.engine = issuance.New(issuance.Config{Keys: keys, Clock: w.clock, StatusBaseURL: "http://status.example", Lint: linter.Check})
	for _, spec := range []issuance.HierarchySpec{
		{Name: "signing", Kind: telamon.HierarchySigning, Series: []issuance.SeriesSpec{
			{Name: "signing-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUSigning, Years: 7},
		}},
		{Name: "any", Kind: telamon.HierarchySigning, Series: []issuance.SeriesSpec{
			{Name: "any-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUAny, Years: 1},
		}},
	} {
		spec.RootKeyType, spec.RootYears, spec.Organization = tbs.ECP256, 20, "Telamon"
		made, err := w.engine.CreateHierarchy(t.Context(), spec)
		must(t, err)
		must(t, w.db.CreateHierarchy(t.Context(), operator, store.Hierarchy{
			ID: made.ID, Kind: spec.Kind, Name: spec.Name, Series: made.Series, Issuers: made.Issuers,
		}))
	}
	_, err = directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock, OnIssuers: w.engine.Load})
	must(t, err)
	w.Signing = w.replica(w.keys)
	acme, globex := telamon.Account{ID: telamon.NewAccountID(), Name: "Acme"}, telamon.Account{ID: telamon.NewAccountID(), Name: "Globex"}
	must(t, errors.Join(w.db.CreateAccount(t.Context(), operator, &acme), w.db.CreateAccount(t.Context(), operator, &globex)))
	w.account, w.other = acme.ID, globex.ID
	w.signer = telamon.Actor{
		Kind: telamon.ActorUser, Account: w.account, User: telamon.NewUserID(), UserName: "build", Roles: []string{"SM_SIGNER"},
		Token: telamon.NewAPITokenID(), ClientCert: telamon.NewClientCertID(),
	}
	w.reader = telamon.Actor{
		Kind: telamon.ActorUser, Account: w.account, User: telamon.NewUserID(), UserName: "audit", Roles: []string{"AM_VIEW_ONLY"},
		Token: telamon.NewAPITokenID(),
	}
	return w
}

// replica returns use cases over the same database by other keys.
func (w *world) replica(keys signing.Keys) *signing.Signing {
	return signing.New(signing.Config{Store: w.db, Issuance: w.engine, Keys: keys, Clock: w.clock, Series: "signing-ec"})
}

// create makes a key pair of the account.
func (w *world) create(t testing.TB, name string, keyType tbs.KeyType, certify *signing.NewCertificate) *telamon.KeyPair {
	t.Helper()
	k, err := w.Create(t.Context(), operator, signing.NewKeyPair{Account: w.account, Name: name, KeyType: string(keyType), Certify: certify})
	must(t, err)
	return k
}

// events returns the audit events of an action, the oldest first.
func (w *world) events(t testing.TB, action string) []*audit.Payload {
	t.Helper()
	page, err := w.db.AuditEvents(t.Context(), store.AuditFilter{Action: action, Limit: 100})
	must(t, err)
	return page.Events
}

// breakable is a keystore that can be told to fail.
type breakable struct {
	*keystore.Keystore
	bind, sign, destroy error
	flip                bool // signatures are wrong
}

func (k *breakable) Bind(name string, purpose keystore.Purpose) error {
	return errors.Join(k.bind, k.Keystore.Bind(name, purpose))
}

func (k *breakable) SignHash(name string, owner keystore.Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) ([]byte, error) {
	if k.sign != nil {
		return nil, k.sign
	}
	signature, err := k.Keystore.SignHash(name, owner, algorithm, digest)
	if k.flip && err == nil {
		signature[len(signature)-1] ^= 1
	}
	return signature, err
}

func (k *breakable) Destroy(name string) error {
	if k.destroy != nil {
		return k.destroy
	}
	return k.Keystore.Destroy(name)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mustBe fails unless err is a fault of the kind and code.
func mustBe(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Kind != kind || f.Code != code {
		t.Errorf("%v, want %s %s", err, kind, code)
	}
}
