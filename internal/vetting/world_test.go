package vetting_test

import (
	"slices"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/vetting"
)

const (
	now    = "2026-11-30T12:00:00.250Z"
	portal = "https://portal.example.test"
)

var (
	operator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_op"}
	pdf      = []byte("%PDF-1.7\n1 0 obj\nendobj\n")
)

// world is a platform with a customer who has requested an identity, and two agents.
type world struct {
	*vetting.Vetting
	db        *store.DB
	clock     *testkit.Clock
	dir       *directory.Directory
	account   telamon.AccountID
	staff     telamon.AccountID
	vic, wes  telamon.Actor // agents
	requester telamon.Actor // of the customer
	identity  telamon.IdentityID
	first     telamon.VettingCaseID
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
	w.dir = got(directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock}))(t)
	w.Vetting = vetting.New(vetting.Config{
		Store: w.db, Directory: w.dir, Clock: w.clock, Platform: "Telamon", PortalURL: portal, ReplyTo: "vetting@example.com",
	})
	w.account, w.staff = w.newAccount(t, "Acme"), w.newAccount(t, "The CA")
	w.requester = w.user(t, w.account, "ada@example.com", "de_DE", authz.RoleAdministrator)
	w.user(t, w.account, "bob@example.com", "en_US", authz.RoleManageIdentities)
	w.user(t, w.account, "eve@example.com", "en_US", authz.RoleManageCertificates)
	w.vic = w.user(t, w.staff, "vic@ca.example", "en_US", authz.RoleVettingAgent)
	w.wes = w.user(t, w.staff, "wes@ca.example", "en_US", authz.RoleVettingAgent)
	w.identity, w.first = w.request(t, w.account)
	return w
}

func (w *world) newAccount(t testing.TB, name string) telamon.AccountID {
	t.Helper()
	a := telamon.Account{ID: telamon.NewAccountID(), Name: name}
	must(t, w.db.CreateAccount(t.Context(), operator, &a))
	return a.ID
}

func (w *world) user(t testing.TB, account telamon.AccountID, email, locale string, roles ...string) telamon.Actor {
	t.Helper()
	u := telamon.User{ID: telamon.NewUserID(), Account: account, Kind: telamon.StandardUser, Email: email, Name: "The " + email, Locale: locale, Roles: roles}
	must(t, w.db.CreateUser(t.Context(), operator, &u))
	return telamon.Actor{Kind: telamon.ActorUser, Account: account, User: u.ID, UserName: u.Name, Roles: roles, RequestID: "req_1"}
}

// request submits an identity of an organization.
func (w *world) request(t testing.TB, account telamon.AccountID) (telamon.IdentityID, telamon.VettingCaseID) {
	t.Helper()
	i := telamon.Identity{
		ID: telamon.NewIdentityID(), Account: account, Type: telamon.IdentityTLSOV, Name: "Acme K.K.",
		Data: map[string]string{"organization": "Acme K.K.", "locality": "Tokyo", "country": "JP"},
	}
	must(t, w.db.CreateIdentity(t.Context(), w.requester, &i))
	must(t, w.db.MoveIdentity(t.Context(), w.requester, account, i.ID, store.IdentityMove{
		From: telamon.IdentityDraft, To: telamon.IdentityQueued, Action: "identity.submit",
	}))
	return i.ID, got(w.db.VettingCasesOf(t.Context(), account, i.ID, 1))(t)[0].ID
}

// state returns the states of the identity and of the case.
func (w *world) state(t testing.TB, id telamon.VettingCaseID) (telamon.IdentityState, telamon.VettingState) {
	t.Helper()
	c := got(w.Case(t.Context(), w.vic, id))(t)
	return c.Identity.State, c.State
}

// mustBeIn checks the states of the identity and of the case.
func (w *world) mustBeIn(t testing.TB, id telamon.VettingCaseID, identity telamon.IdentityState, c telamon.VettingState) {
	t.Helper()
	if i, s := w.state(t, id); i != identity || s != c {
		t.Errorf("the identity is %s and the case %s, want %s and %s", i, s, identity, c)
	}
}

// keep keeps a file for the case.
func (w *world) keep(t testing.TB, agent telamon.Actor, id telamon.VettingCaseID) telamon.EvidenceID {
	t.Helper()
	return got(w.Keep(t.Context(), agent, id, "register.pdf", pdf))(t).ID
}

// complete notes every check as it should be.
func (w *world) complete(t testing.TB, agent telamon.Actor, id telamon.VettingCaseID) {
	t.Helper()
	file := w.keep(t, agent, id)
	for _, kind := range []telamon.CheckKind{telamon.CheckExistence, telamon.CheckAddress} {
		must(t, w.Record(t.Context(), agent, id, vetting.NewCheck{Kind: kind, Source: "Houjin Bangou", Independent: true, Evidence: file}))
	}
	must(t, w.Record(t.Context(), agent, id, call()))
}

// call is a call to the organization's listed number.
func call() vetting.NewCheck {
	return vetting.NewCheck{
		Kind: telamon.CheckContact, Source: "Dun & Bradstreet", Independent: true, Method: telamon.ContactListedNumber,
		Contact: "+81 3 5555 0100", Note: "Ms Sato, 12:10 UTC: yes, they requested it.",
	}
}

// mails takes the mails to an address that were not taken yet, the oldest first.
func (w *world) mails(t testing.TB, to string) []notify.Message {
	t.Helper()
	var out []notify.Message
	for _, job := range got(w.db.Jobs(t.Context(), store.JobMailSend, 1000))(t) {
		m := got(w.db.Mail(t.Context(), telamon.MailID(job.Key)))(t)
		if m.Recipient != to || m.State != store.MailQueued {
			continue
		}
		if !vetting.IsTemplate(m.Template) {
			t.Fatalf("mail %s is of no template of this package", m.Template)
		}
		out = append(out, got(w.RenderMail(t.Context(), m))(t))
		must(t, w.db.EndMail(t.Context(), m.ID, store.MailSent, ""))
	}
	return out
}

func mustBe(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func got[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func errorOf[T any](_ T, err error) error { return err }

// subjects returns what the mails are called.
func subjects(mails []notify.Message) []string {
	var out []string
	for _, m := range mails {
		out = append(out, m.Subject)
	}
	return slices.Clip(out)
}
