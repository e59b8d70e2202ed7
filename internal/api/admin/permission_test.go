package admin_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/web"
)

var update = flag.Bool("update", false, "write the golden file")

const golden = "testdata/permissions.golden"

// TestPermissions calls every route as every kind of caller, in their own account and in
// another one, and holds the answers against a golden file. What nobody may be told of
// another account's is checked beside it.
func TestPermissions(t *testing.T) {
	m := newMatrix(t, dbtest.SQLite(t))
	var text strings.Builder
	text.WriteString("# Every route of the admin API, and what each kind of caller is answered: made by\n" +
		"# \"go test ./internal/api/admin -run TestPermissions -update\". Callers are service users with that role\n" +
		"# alone; those of the staff show their client certificate, too. \"operator\" is on the socket. 422, 409 and\n" +
		"# 404 with a code of its own say that the caller may do it, and that this object or body was refused.\n" +
		"# Who shows nothing is answered with 401 on every route.\n")
	for _, pattern := range m.api.Routes() {
		fmt.Fprintf(&text, "\n%s\n", pattern)
		for _, relation := range relationsOf(pattern) {
			m.row(&text, pattern, relation)
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("who may call what is not as in %s any more; -update writes it anew:\n%s", golden, difference(string(want), text.String()))
	}
	t.Run("ids of another account", m.foreignIDs)
}

// difference returns the lines that only one of two texts has.
func difference(want, got string) string {
	var out strings.Builder
	is, was := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, line := range was {
		if !slices.Contains(is, line) {
			out.WriteString("- " + line + "\n")
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			out.WriteString("+ " + line + "\n")
		}
	}
	return out.String()
}

// The relations of what is in a path to the caller.
const (
	nobodys = "" // the platform's
	own     = "own"
	other   = "other" // of another account
	self    = "self"  // the caller themselves
)

func relationsOf(pattern string) []string {
	switch {
	case !strings.Contains(pattern, "{account}"):
		return []string{nobodys}
	case strings.HasPrefix(pattern, "GET") && strings.Contains(pattern, "{user}"):
		return []string{own, other, self}
	}
	return []string{own, other}
}

// caller is one kind of caller.
type caller struct {
	name    string
	account telamon.AccountID // empty: not a user
	user    telamon.UserID
	token   string
	cert    *x509.Certificate
	staff   bool
}

// matrix is a platform with callers, and with objects in three accounts.
type matrix struct {
	*world
	api      *admin.API
	logged   http.Handler // of operators
	machines http.Handler
	callers  []caller
	acme     telamon.AccountID
	ours     telamon.AccountID // the staff's
	third    telamon.AccountID // nobody's who calls
	objects  map[telamon.AccountID]map[string]string
	platform map[string]string // IDs of what is the platform's own
	n        int               // makes names differ

	atlasToken string // of TestAdvisories
}

func newMatrix(t *testing.T, url string) *matrix {
	t.Helper()
	w := newWorldWith(t, url, func(cfg *app.Config) {
		withMachines(cfg)
		cfg.MTLSKeyTypes = []string{"EC-P256"}
	})
	a := w.app
	m := &matrix{world: w, objects: map[telamon.AccountID]map[string]string{}}
	m.api = a.AdminAPI()
	m.logged = web.Instrument{Face: "admin", Log: a.Log}.Wrap(m.api)
	m.machines = web.Clients{}.Wrap(m.api.Machines(admin.MachineFace{}))
	m.must(post, "/services", admin.ServiceSpec{Name: "web", Series: "tls-ec", Unlimited: true, Policy: json.RawMessage(policy)})
	m.acme, m.ours, m.third = m.newAccount("Acme"), m.newAccount("Our CA"), m.newAccount("Third")
	m.must(post, "/accounts/"+m.ours.String()+"/make-staff", nil)
	issuers := decoded[admin.List[admin.Issuer]](m, m.must(get, "/issuers", nil))
	i := slices.IndexFunc(issuers.Items, func(i admin.Issuer) bool { return i.Role == telamon.RoleIssuing })
	events := decoded[admin.AuditList](m, m.must(get, "/audit/events?limit=1", nil))
	m.platform = map[string]string{
		"issuer": issuers.Items[i].ID.String(), "serial": issuers.Items[i].Serial, "series": issuers.Items[i].Series, "service": "web",
		"event": events.Items[0].ID.String(), "approval": idOf("apv"), "revocation": idOf("blk"), "quote": idOf("quo"), "key": strings.Repeat("ab", 32),
	}
	m.platform["case"] = decoded[admin.Case](m, m.must(post, "/cases", admin.NewCase{
		Category: decoded[admin.List[admin.Deadline]](m, m.must(get, "/cases/categories", nil)).Items[0].Category, Summary: "x",
	})).ID.String()
	m.newCallers()
	return m
}

// newCallers makes a service user for each role.
func (m *matrix) newCallers() {
	m.t.Helper()
	m.callers = []caller{{name: "operator"}, {name: "stranger"}, m.caller("no_role", m.acme)}
	for _, role := range authz.Roles() {
		if !authz.IsStaffRole(role.Code) {
			m.callers = append(m.callers, m.caller(role.Code, m.acme, role.Code))
			continue
		}
		one := m.caller(role.Code, m.ours, role.Code)
		one.staff, one.cert = true, &x509.Certificate{Raw: m.machineNamed(one).certified().cert.Certificate[0]}
		m.callers = append(m.callers, one)
		if role.Code == authz.RoleCAOperator {
			one.name, one.cert, one.staff = one.name+"_by_token_alone", nil, false
			m.callers = append(m.callers, one)
		}
	}
}

func (m *matrix) caller(name string, account telamon.AccountID, roles ...string) caller {
	m.t.Helper()
	made := m.machine(account, name, roles...)
	return caller{name: name, account: account, user: made.user, token: made.token}
}

func (m *matrix) machineNamed(c caller) *machine {
	return &machine{w: m.world, account: c.account, user: c.user, token: c.token, header: "Authorization"}
}

// newAccount makes an account with one object of each kind.
func (m *matrix) newAccount(name string) telamon.AccountID {
	m.t.Helper()
	m.n++
	account := decoded[admin.Account](m, m.must(post, "/accounts", admin.NewAccount{Name: fmt.Sprintf("%s %d", name, m.n)})).ID
	at := "/accounts/" + account.String()
	m.objects[account] = map[string]string{
		"subscription": decoded[admin.Subscription](m, m.must(post, at+"/subscriptions", admin.NewSubscription{Service: "web"})).ID.String(),
	}
	for _, kind := range []string{"user", "api_token", "identity", "credential", "client_certificate", "key_pair"} {
		m.renew(account, kind)
	}
	return account
}

// renew makes a new object of a kind in the account.
func (m *matrix) renew(account telamon.AccountID, kind string) {
	m.t.Helper()
	m.n++
	name, at, has := fmt.Sprintf("x %d", m.n), "/accounts/"+account.String(), m.objects[account]
	switch kind {
	case "user":
		has[kind] = decoded[admin.User](m, m.must(post, at+"/users", admin.NewUser{Email: fmt.Sprintf("x%d@example.com", m.n), Name: name, Roles: []string{}})).ID.String()
	case "api_token":
		m.renew(account, "user")
		has[kind] = decoded[admin.APIToken](m, m.must(post, at+"/users/"+has["user"]+"/tokens", admin.NewAPIToken{Name: name})).ID.String()
	case "identity":
		has[kind] = m.newIdentity(at, name)
	case "credential":
		active := m.newIdentity(at, name+" active")
		for _, to := range []telamon.IdentityState{telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive} {
			m.must(post, at+"/identities/"+active+"/move", admin.IdentityMove{To: to, ExpiresAt: new(m.clock.Now().AddDate(1, 0, 0))})
		}
		has["active identity"] = active
		has[kind] = decoded[admin.Credential](m, m.must(post, at+"/credentials", admin.NewCredential{
			Name: fmt.Sprintf("x%d", m.n), Subscription: telamon.SubscriptionID(has["subscription"]), Identity: telamon.IdentityID(active),
		})).ID.String()
	case "client_certificate":
		has[kind] = decoded[admin.ClientCertificate](m, m.must(post, at+"/client-certificates", admin.NewClientCertificate{
			CSR: csrOf(m.t, ecKey(m.t)), Credentials: []telamon.CredentialID{telamon.CredentialID(has["credential"])},
		})).ID.String()
	case "key_pair":
		has[kind] = decoded[admin.KeyPair](m, m.must(post, at+"/key-pairs", admin.NewKeyPair{
			Name: fmt.Sprintf("x%d", m.n), KeyType: "EC-P256", Certificate: &admin.KeyPairCertificate{},
		})).ID.String()
	}
}

func (m *matrix) newIdentity(at, name string) string {
	m.t.Helper()
	return decoded[admin.Identity](m, m.must(post, at+"/identities", admin.IdentityData{Name: name, Data: map[string]string{"organization": "x"}})).ID.String()
}

// must calls as the operator, who must not be refused.
func (m *matrix) must(method, path string, body any) answer {
	m.t.Helper()
	text := ""
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			m.t.Fatal(err)
		}
		text = string(encoded)
	}
	a := m.by(caller{name: "operator"}, method, path, text)
	if a.status >= 400 {
		m.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a
}

func decoded[T any](m *matrix, a answer) T {
	m.t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		m.t.Fatalf("%s: %v", a.body, err)
	}
	return v
}

// by calls as somebody.
func (m *matrix) by(c caller, method, path, body string) answer {
	m.t.Helper()
	w, handler := httptest.NewRecorder(), m.logged
	if c.name != "operator" {
		handler, path = m.machines, admin.MachinePrefix+path
	}
	r := httptest.NewRequestWithContext(m.t.Context(), method, path, strings.NewReader(body))
	if c.token != "" {
		r.Header.Set("X-Api-Key", c.token)
	}
	if c.cert != nil {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.cert}}
	}
	handler.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// denied is the answer of most rows to most callers.
const denied = "403 access_denied"

// row has every caller call a route, and writes who is answered what.
func (m *matrix) row(text *strings.Builder, pattern, relation string) {
	m.t.Helper()
	answers := map[string][]string{}
	for _, c := range m.callers {
		if c.account == "" && relation != nobodys && relation != other {
			continue
		}
		a := m.try(c, pattern, relation)
		if a.status >= 500 {
			m.t.Errorf("%s as %s: %d %s", pattern, c.name, a.status, a.body)
		}
		what := strings.TrimSpace(fmt.Sprint(a.status, " ", a.code()))
		answers[what] = append(answers[what], c.name)
		if may := a.code() != "access_denied" && a.code() != "not_found"; relation == other && may && c.account != "" && !c.staff && a.code() != "client_certificate_needed" {
			m.t.Errorf("%s of another account is answered with %d %s to %s", pattern, a.status, a.body, c.name)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(answers)) {
		who := strings.Join(answers[what], " ")
		switch {
		case what == "401 api_token_needed" && who == "stranger":
			continue
		case what == denied:
			who = "everybody else"
		}
		fmt.Fprintf(text, "  %-5s %s: %s\n", relation, what, who)
	}
}

var parameterIn = regexp.MustCompile(`\{(\w+)\}`)

// try has a caller call a route, and makes good what the call has taken.
func (m *matrix) try(c caller, pattern, relation string) answer {
	m.t.Helper()
	account := c.account
	if relation == other || account == "" {
		account = m.third
	}
	method, path, _ := strings.Cut(pattern, " ")
	path = parameterIn.ReplaceAllStringFunc(path, func(in string) string {
		name := strings.Trim(in, "{}")
		switch {
		case name == "account":
			return account.String()
		case name == "user" && relation == self:
			return c.user.String()
		case m.objects[account][name] != "":
			return m.objects[account][name]
		case m.platform[name] != "":
			return m.platform[name]
		}
		m.t.Fatalf("%s: give the matrix an object for {%s}", pattern, name)
		return ""
	})
	a := m.by(c, method, path, m.bodyOf(pattern, account))
	if a.status < 300 && method != get {
		m.makeGood(pattern, account)
	}
	return a
}

// bodyOf is what is sent to a route: as little as shows whether the caller may.
func (m *matrix) bodyOf(pattern string, account telamon.AccountID) string {
	has := m.objects[account]
	switch _, path, _ := strings.Cut(pattern, " "); {
	case strings.HasPrefix(pattern, get), strings.HasPrefix(pattern, del):
		return ""
	case strings.HasPrefix(path, "/issuers/plan"):
		return `{"dry_run": true, "ahead": 1}`
	case strings.HasSuffix(path, "/issuers/{issuer}/revoke"), strings.HasSuffix(path, "/key-pairs/{key_pair}/revoke"):
		return `{"reason": "superseded"` + map[bool]string{true: `, "dry_run": true`}[strings.HasPrefix(path, "/issuers")] + `}`
	case strings.HasPrefix(path, "/issuers/") && !strings.HasSuffix(path, "/chain"), strings.HasPrefix(path, "/series/"):
		return `{"dry_run": true}`
	case path == "/crls/publish":
		return `{"issuer": "` + idOf("iss") + `"}`
	case path == "/keys":
		return `{"key": "` + strings.Repeat("cd", 32) + `"}`
	case strings.HasSuffix(path, "/move"):
		return `{"to": "queued"}`
	case strings.HasSuffix(path, "/relink"):
		return `{"subscription": "` + has["subscription"] + `", "identity": "` + has["active identity"] + `"}`
	case strings.HasSuffix(path, "/password"):
		return `{"password": "a long enough password"}`
	case strings.HasSuffix(path, "/tokens"):
		m.n++
		return fmt.Sprintf(`{"name": "x %d"}`, m.n)
	case strings.HasSuffix(path, "/lots"):
		return `{"amount": 1, "ends_at": "2030-01-01T00:00:00Z"}`
	case strings.HasSuffix(path, "/links"):
		return `{"add": ["` + has["credential"] + `"]}`
	case strings.HasSuffix(path, "/subscriptions"):
		return `{"service": "none"}`
	}
	return "{}"
}

// makeGood makes new objects in the place of those that a call has used up.
func (m *matrix) makeGood(pattern string, account telamon.AccountID) {
	m.t.Helper()
	names := parameterIn.FindAllStringSubmatch(pattern, -1)
	if len(names) == 0 || names[0][1] != "account" {
		return
	}
	if len(names) > 1 {
		if kind := names[len(names)-1][1]; kind != "subscription" {
			m.renew(account, kind)
		}
		return
	}
	switch _, path, _ := strings.Cut(pattern, " "); {
	case strings.HasSuffix(path, "/disable"):
		m.must(post, "/accounts/"+account.String()+"/enable", nil)
	case strings.HasPrefix(pattern, del), strings.HasSuffix(path, "/make-staff"):
		if account != m.third {
			m.t.Errorf("%s was done to a caller's account", pattern)
		}
		m.third = m.newAccount("Third")
	}
}

// foreignIDs has an administrator name objects of another account below their own, in the
// path and in bodies.
func (m *matrix) foreignIDs(t *testing.T) {
	i := slices.IndexFunc(m.callers, func(c caller) bool { return c.name == authz.RoleAdministrator })
	administrator, mine, theirs := m.callers[i], m.objects[m.acme], m.objects[m.third]
	for _, pattern := range m.api.Routes() {
		names := parameterIn.FindAllStringSubmatch(pattern, -1)
		if len(names) < 2 || names[0][1] != "account" {
			continue
		}
		method, path, _ := strings.Cut(pattern, " ")
		path = parameterIn.ReplaceAllStringFunc(path, func(in string) string {
			if in == "{account}" {
				return m.acme.String()
			}
			return theirs[strings.Trim(in, "{}")]
		})
		for _, c := range []caller{administrator, {name: "operator"}} {
			a := m.by(c, method, path, m.bodyOf(pattern, m.third))
			if forbidden := a.status == 403 && a.code() == "access_denied" && c.name != "operator"; a.status != 404 && !forbidden {
				t.Errorf("%s with the ID of another account is answered with %d %s to %s", pattern, a.status, a.body, c.name)
			}
		}
	}
	at := "/accounts/" + m.acme.String()
	for _, in := range []struct {
		path string
		body any
	}{
		{at + "/credentials", admin.NewCredential{Name: "new", Subscription: telamon.SubscriptionID(theirs["subscription"]), Identity: telamon.IdentityID(mine["active identity"])}},
		{at + "/credentials", admin.NewCredential{Name: "new", Subscription: telamon.SubscriptionID(mine["subscription"]), Identity: telamon.IdentityID(theirs["active identity"])}},
		{at + "/credentials/" + mine["credential"] + "/relink", admin.Relink{Subscription: telamon.SubscriptionID(theirs["subscription"]), Identity: telamon.IdentityID(mine["active identity"])}},
		{at + "/credentials/" + mine["credential"] + "/relink", admin.Relink{Subscription: telamon.SubscriptionID(mine["subscription"]), Identity: telamon.IdentityID(theirs["active identity"])}},
		{at + "/client-certificates", admin.NewClientCertificate{CSR: csrOf(t, ecKey(t)), Credentials: []telamon.CredentialID{telamon.CredentialID(theirs["credential"])}}},
		{at + "/client-certificates/" + mine["client_certificate"] + "/links", admin.Links{Add: []telamon.CredentialID{telamon.CredentialID(theirs["credential"])}}},
	} {
		text, err := json.Marshal(in.body)
		if err != nil {
			t.Fatal(err)
		}
		if a := m.by(administrator, post, in.path, string(text)); a.status != 404 {
			t.Errorf("%s with %s is answered with %d %s", in.path, text, a.status, a.body)
		}
	}
}
