package lifecycle_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

var operator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_1"}

// world is an installation with a TLS and a client-auth hierarchy of one series each.
type world struct {
	*lifecycle.Life
	url    string
	clock  *testkit.Clock
	db     *store.DB
	keys   *keystore.Keystore
	kek    keystore.KEK
	dir    string // of the keystore
	engine *issuance.Engine
	know   *directory.Directory
}

// must returns what a call gives and ends the test if it fails.
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBe(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f, is := errors.AsType[*fault.Fault](err); !is || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
	}
}

// each runs f with a world on each database.
func each(t *testing.T, start string, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { f(t, newWorld(t, url, start)) })
}

func newWorld(t testing.TB, url, start string) *world {
	t.Helper()
	w := &world{url: url, clock: testkit.NewClock(t, start), dir: filepath.Join(t.TempDir(), "keys")}
	w.db = dbtest.Open(t, url, w.clock)
	w.kek, _ = keystore.NewKEK()
	w.keys = must(keystore.Create(keystore.Config{Dir: w.dir, KEK: w.kek, Clock: w.clock}))(t)
	t.Cleanup(func() { w.keys.Close() })
	w.engine = issuance.New(issuance.Config{Keys: w.keys, Clock: w.clock, StatusBaseURL: "http://status.example"})
	for _, spec := range []issuance.HierarchySpec{
		{Name: "tls", Kind: telamon.HierarchyTLS, Series: []issuance.SeriesSpec{
			{Name: "tls-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUTLS, Years: 3, CRLShards: 2}}},
		{Name: "client-auth", Kind: telamon.HierarchyClientAuth, Series: []issuance.SeriesSpec{
			{Name: "client-auth-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUClientAuth, Years: 7, Rotation: telamon.RotateYearly}}},
	} {
		spec.Organization, spec.RootKeyType, spec.RootYears = "Example", tbs.ECP256, 20
		made := must(w.engine.CreateHierarchy(t.Context(), spec))(t)
		ok(t, w.db.CreateHierarchy(t.Context(), operator, store.Hierarchy{
			ID: made.ID, Kind: spec.Kind, Name: spec.Name, Series: made.Series, Issuers: made.Issuers,
		}))
	}
	w.know = must(directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock, OnIssuers: w.engine.Load}))(t)
	w.Life = w.replica()
	return w
}

// replica returns use cases as after a restart.
func (w *world) replica() *lifecycle.Life {
	return lifecycle.New(lifecycle.Config{
		Store: w.db, Issuance: w.engine, Keys: w.keys, Clock: w.clock, Rules: rules.Default(), Changed: w.know.Refresh,
		Operators: []string{"operator@example.com"},
	})
}

// turn moves the clock to an instant and does what is due.
func (w *world) turn(t testing.TB, at string) {
	t.Helper()
	w.clock.Advance(instant(t, at).Sub(w.clock.Now()))
	ok(t, w.know.Poll(t.Context()))
	ok(t, w.Turn(t.Context()))
	ok(t, w.Enforce(t.Context()))
}

// line says how the issuing CAs of a series stand, the one that starts first first.
func (w *world) line(t testing.TB, series string) []telamon.Issuer {
	t.Helper()
	one := must(w.engine.SeriesNamed(series))(t)
	issuers, _, err := w.db.Issuers(t.Context())
	ok(t, err)
	issuers = slices.DeleteFunc(issuers, func(i telamon.Issuer) bool { return i.Series != one.ID })
	slices.SortFunc(issuers, func(a, b telamon.Issuer) int { return a.ActivateAt.Compare(b.ActivateAt) })
	return issuers
}

func (w *world) want(t testing.TB, series, line string) {
	t.Helper()
	var got []string
	for _, i := range w.line(t, series) {
		got = append(got, string(i.Status)+" "+i.ActivateAt.Format("2006-01-02"))
	}
	if text := strings.Join(got, ", "); text != line {
		t.Errorf("at %s the series %s is %s\nwant %s", w.clock.Now().Format(time.RFC3339), series, text, line)
	}
}

// active returns the issuing CA that new tokens get.
func (w *world) active(t testing.TB, series string) *telamon.Issuer {
	t.Helper()
	return must(w.engine.Active(must(w.engine.SeriesNamed(series))(t).ID))(t)
}

// takeRoot moves the key of a root out of the keystore into a new one, which signs
// nothing but what the ceremony asks for, and opens the rest anew.
func (w *world) takeRoot(t testing.TB, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ok(t, w.keys.Close())
	for _, file := range []string{name + ".key", name + ".journal"} {
		ok(t, os.Rename(filepath.Join(w.dir, file), filepath.Join(dir, file)))
	}
	w.keys = must(keystore.Open(keystore.Config{Dir: w.dir, KEK: w.kek, Clock: w.clock}))(t)
	w.engine = issuance.New(issuance.Config{Keys: w.keys, Clock: w.clock, StatusBaseURL: "http://status.example"})
	w.know = must(directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock, OnIssuers: w.engine.Load}))(t)
	w.Life = w.replica()
	return dir
}

// leaf signs a certificate by an issuing CA and returns its DER.
func (w *world) leaf(t testing.TB, issuer telamon.IssuerID, eku string, life time.Duration) (*issuance.Signed, error) {
	t.Helper()
	now := w.clock.Now().Truncate(time.Second)
	token, err := w.engine.Prepare(t.Context(), issuance.Request{
		Issuer: issuer, NotBefore: now, NotAfter: now.Add(life - time.Second), PublicKey: subjectKey(t), Content: leafContent(t, eku),
	})
	if err != nil {
		return nil, err
	}
	return w.engine.Sign(t.Context(), token)
}

// newWorldSQLite is a world on SQLite alone, for what the database does not matter to.
func newWorldSQLite(t testing.TB) *world {
	t.Helper()
	return newWorld(t, dbtest.SQLite(t), start)
}
