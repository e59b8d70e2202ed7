package commerce_test

import (
	"context"
	"database/sql"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// now is such that a month later is a shorter month.
const now = "2027-01-31T10:00:00Z"

const terms = "4.2 of 2026-03-01"

// The templates of services: one takes a name from an identity, the other does not.
const (
	ovPolicy = `{"subject_dn": {"common_name": {"presence": "REQUIRED", "format": "^[a-z.]+$"},
		"organization": {"presence": "STATIC", "format": "{{identity.organization}}"}},
		"san": {"dns_names": {"static": false, "list": ["^.*$"], "mincount": 0, "maxcount": 10}}}`
	dvPolicy = `{"subject_dn": {"common_name": {"presence": "REQUIRED", "format": "^[a-z.]+$"}},
		"san": {"dns_names": {"static": false, "list": ["^.*$"], "mincount": 0, "maxcount": 3}}}`
)

var (
	operator = telamon.Actor{Kind: telamon.ActorOperator, Operator: "ada", RequestID: "req_1"}
	seller   = telamon.Actor{
		Kind: telamon.ActorUser, User: telamon.NewUserID(), UserName: "Sal", Account: telamon.NewAccountID(), Roles: []string{authz.RoleSales},
	}
)

// A world is a platform with three services, an account that buys and another one.
type world struct {
	*commerce.Service
	url     string
	db      *store.DB
	clock   *testkit.Clock
	ov, dv  telamon.ServiceID
	free    telamon.ServiceID // draws no quota
	account telamon.AccountID
	other   telamon.AccountID
	buyer   telamon.Actor // an administrator of account

	mu      sync.Mutex
	ensured []telamon.AccountID // for which an identity was asked
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := &world{url: url, clock: testkit.NewClock(t, now)}
		w.db = dbtest.Open(t, url, w.clock)
		w.fill(t)
		f(t, w)
	})
}

func (w *world) fill(t *testing.T) {
	t.Helper()
	ctx, hierarchy, series := t.Context(), telamon.NewHierarchyID(), telamon.NewSeriesID()
	must(t, w.db.CreateHierarchy(ctx, operator, store.Hierarchy{
		ID: hierarchy, Kind: telamon.HierarchyTLS, Name: "tls",
		Series: []telamon.Series{{ID: series, Hierarchy: hierarchy, Name: "tls-ec", KeyType: "EC-P256", EKUFamily: telamon.EKUTLS}},
	}))
	service := func(name, policy string, unlimited bool) telamon.ServiceID {
		s := telamon.Service{ID: telamon.NewServiceID(), Name: name, PolicyTemplate: []byte(policy), Series: series, DomainValidation: true, Unlimited: unlimited}
		must(t, w.db.CreateService(ctx, operator, &s))
		return s.ID
	}
	w.ov, w.dv, w.free = service("TLS OV", ovPolicy, false), service("TLS DV", dvPolicy, false), service("mTLS", ovPolicy, true)
	account := func(name string) telamon.AccountID {
		a := telamon.Account{ID: telamon.NewAccountID(), Name: name}
		must(t, w.db.CreateAccount(ctx, operator, &a))
		return a.ID
	}
	w.account, w.other = account("Northwind"), account("Globex")
	w.buyer = w.user(t, w.account, "ada@example.com", authz.RoleAdministrator)
	dir, err := directory.New(ctx, directory.Config{Store: w.db, Clock: w.clock, OnIssuers: func([]telamon.Issuer, []telamon.Series) {}})
	must(t, err)
	w.Service = commerce.New(commerce.Config{
		Store: w.db, Directory: dir, Clock: w.clock, Terms: terms, CreditLimits: map[string]int64{"EUR": 350_000}, Mailboxes: []string{"pki@example.com"},
		PortalURL: "https://portal.example.com",
		EnsureDVIdentity: func(_ context.Context, account telamon.AccountID) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ensured = append(w.ensured, account)
			return nil
		},
	})
}

// user makes a person of an account, and returns them as an actor.
func (w *world) user(t *testing.T, account telamon.AccountID, email string, roles ...string) telamon.Actor {
	t.Helper()
	u := telamon.User{ID: telamon.NewUserID(), Account: account, Kind: telamon.StandardUser, Email: email, Name: email, Roles: roles, Locale: "en_US"}
	must(t, w.db.CreateUser(t.Context(), operator, &u))
	return telamon.Actor{
		Kind: telamon.ActorUser, Account: account, User: u.ID, UserName: "Ada Wolff", Roles: roles, Address: netip.MustParseAddr("192.0.2.7"),
	}
}

// spec is a quote of one line.
func (w *world) spec(service telamon.ServiceID, amount, price int64) commerce.QuoteSpec {
	return commerce.QuoteSpec{Currency: "EUR", Lines: []commerce.Line{{Service: service, Amount: amount, Price: price}}}
}

// sent returns a quote that the account can accept.
func (w *world) sent(t *testing.T, spec commerce.QuoteSpec) *telamon.Quote {
	t.Helper()
	q := got(w.CreateQuote(t.Context(), seller, w.account, spec))(t)
	return got(w.SendQuote(t.Context(), seller, w.account, q.ID))(t)
}

var yes = commerce.Answer{Quote: true, Terms: terms, PO: "PO-4711"}

// bought returns a quote that the account has accepted.
func (w *world) bought(t *testing.T, spec commerce.QuoteSpec) *telamon.Quote {
	t.Helper()
	return got(w.AcceptQuote(t.Context(), w.buyer, w.account, w.sent(t, spec).ID, yes))(t)
}

// raw is a connection of the test's own to the database.
func (w *world) raw(t *testing.T) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", w.url
	if path, ok := strings.CutPrefix(w.url, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// number returns what a query counts.
func (w *world) number(t *testing.T, query string, args ...any) (n int64) {
	t.Helper()
	must(t, w.raw(t).QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

func (w *world) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := w.raw(t).ExecContext(t.Context(), query, args...)
	must(t, err)
}

// mails returns how many mails of a template there are.
func (w *world) mails(t *testing.T, template string) int64 {
	t.Helper()
	return w.number(t, "SELECT count(*) FROM mail WHERE template = $1", template)
}

// run does the job of a kind and key, which must be there, and returns when it comes again.
func (w *world) run(t *testing.T, kind, key string) time.Time {
	t.Helper()
	return got(w.Handlers()[kind].Run(t.Context(), store.Job{Kind: kind, Key: key}))(t)
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

func mustBe(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.From(err); err == nil || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
	}
}
