package signin_test

import (
	"database/sql"
	"net/http"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/openid"
	"github.com/telamon-ca/telamon/internal/password"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const (
	now    = "2026-11-30T12:00:00.250Z"
	portal = "https://portal.example.test"
	horse  = "correct horse battery"
	ada    = "ada@example.com"
)

var (
	home     = signin.Client{Address: netip.MustParseAddr("192.0.2.7"), Agent: "Firefox", RequestID: "req_1"}
	operator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_op"}
)

// world is a platform that people sign in to.
type world struct {
	*signin.Service
	url   string
	db    *store.DB
	raw   *sql.DB
	clock *testkit.Clock
	keys  *keystore.Keystore
	dir   *directory.Directory
	// passwords are hashed at no cost unless a test says otherwise
	passwords *password.Hasher
	// client asks OpenID providers; nil: there are none
	client *http.Client
}

// each runs f on both databases.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { f(t, newWorld(t, url)) })
}

func newWorld(t testing.TB, url string) *world {
	t.Helper()
	w := &world{url: url, clock: testkit.NewClock(t, now), passwords: testkit.Passwords}
	w.db, w.raw = dbtest.Open(t, url, w.clock), openRaw(t, url)
	kek, _ := keystore.NewKEK()
	w.keys = got(keystore.Create(keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: w.clock}))(t)
	t.Cleanup(func() { w.keys.Close() })
	w.Service, w.dir = w.replica(t)
	return w
}

// replica returns use cases of another process over the same database and keys.
func (w *world) replica(t testing.TB) (*signin.Service, *directory.Directory) {
	t.Helper()
	dir := got(directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock}))(t)
	var client *openid.Client
	if w.client != nil {
		client = openid.New(w.client, w.clock)
	}
	service, err := signin.New(signin.Config{
		Store: w.db, Directory: dir, Keys: w.keys, Passwords: w.passwords, Clock: w.clock, PortalURL: portal, Platform: "Telamon",
		Agreement: "2026-11", OpenID: client,
	})
	must(t, err)
	return service, dir
}

func openRaw(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	raw := got(sql.Open(driver, dsn))(t)
	t.Cleanup(func() { raw.Close() })
	return raw
}

// mails renders all mails to an address that were not taken yet, the oldest first.
func (w *world) mails(t testing.TB, to string) []notify.Message {
	t.Helper()
	rows := got(w.raw.QueryContext(t.Context(), "SELECT id FROM mail WHERE recipient = '"+to+"' AND state = 'queued' ORDER BY created_at, id"))(t)
	defer rows.Close()
	var ids []telamon.MailID
	for rows.Next() {
		var id telamon.MailID
		must(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	must(t, rows.Err())
	rows.Close()
	var out []notify.Message
	for _, id := range ids {
		m := got(w.db.Mail(t.Context(), id))(t)
		if !signin.IsTemplate(m.Template) {
			t.Fatalf("mail %s is of no template of this package", m.Template)
		}
		message := got(w.RenderMail(t.Context(), m))(t)
		must(t, w.db.EndMail(t.Context(), id, store.MailSent, ""))
		out = append(out, message)
	}
	return out
}

var linkOf = regexp.MustCompile(regexp.QuoteMeta(portal) + `(/[a-z-]+/)([A-Za-z0-9_-]+)`)

// link returns the value of the link in the one mail to an address, which must lead to
// the page.
func (w *world) link(t testing.TB, to, page string) string {
	t.Helper()
	mails := w.mails(t, to)
	if len(mails) != 1 {
		t.Fatalf("%d mails went to %s, want one", len(mails), to)
	}
	found := linkOf.FindStringSubmatch(mails[0].Text)
	if found == nil || found[1] != page {
		t.Fatalf("the mail to %s has no link to %s:\n%s", to, page, mails[0].Text)
	}
	return found[2]
}

// registered registers and verifies a person.
func (w *world) registered(t testing.TB, email string) {
	t.Helper()
	must(t, w.Register(t.Context(), email, horse, "en", home))
	must(t, w.Verify(t.Context(), w.link(t, email, signin.VerifyPath), horse, home))
}

// signIn signs in, which must succeed.
func (w *world) signIn(t testing.TB, email, password string) (string, *signin.Session) {
	t.Helper()
	value, s, err := w.SignIn(t.Context(), email, password, home)
	must(t, err)
	return value, s
}

func (w *world) mayNot(t testing.TB, email, password string, kind fault.Kind, code string) {
	t.Helper()
	value, s, err := w.SignIn(t.Context(), email, password, home)
	mustBe(t, err, kind, code)
	if value != "" || s != nil {
		t.Error("a refused sign-in has a session")
	}
}

// events writes the refusals and returns the audit events of an action.
func (w *world) events(t testing.TB, action string) []*audit.Payload {
	t.Helper()
	must(t, w.WriteRefusals(t.Context(), true))
	page := got(w.db.AuditEvents(t.Context(), store.AuditFilter{Action: action}))(t)
	return page.Events
}

// count returns what an SQL query counts.
func (w *world) count(t testing.TB, query string) (n int) {
	t.Helper()
	must(t, w.raw.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// mustBe checks a fault's kind and code.
func mustBe(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.From(err); err == nil || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
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
