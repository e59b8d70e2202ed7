package admin_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestMachines has service users call over TLS, by what they show.
func TestMachines(t *testing.T) {
	w := newWorldWith(t, dbtest.SQLite(t), withMachines)
	acme, other := w.account("Acme"), w.account("Other")
	own := "/accounts/" + acme.String()
	robot := w.machine(acme, "robot", "administrator")

	t.Run("its own account", func(t *testing.T) {
		for _, header := range []string{"Authorization", "x-api-key"} {
			m := *robot
			m.header = header
			var me admin.Me
			if err := json.Unmarshal([]byte(m.call(get, "/me", nil).mustBe(t, 200, "").body), &me); err != nil {
				t.Fatal(err)
			}
			if me.User != m.user || me.Account != acme || !slices.Equal(me.Roles, []string{"administrator"}) || me.Token == "" || me.ClientCertificate != "" {
				t.Errorf("with %s it is %+v", header, me)
			}
		}
		robot.call(get, own, nil).mustBe(t, 200, "")
		robot.call(get, "//accounts/"+acme.String()+"/users/", nil).mustBe(t, 200, "")
		robot.call(post, own+"/identities", admin.IdentityData{Name: "x", Data: map[string]string{"organization": "x"}}).mustBe(t, 201, "")
		robot.call(get, own+"/audit/events", nil).mustBe(t, 200, "")
		w.mustTell("identity.create " + robot.user.String())
	})
	t.Run("what is not its own", func(t *testing.T) {
		for _, path := range []string{"/accounts/" + other.String(), "/accounts/" + idOf("acc"), "/accounts", "/audit/events"} {
			robot.call(get, path, nil).mustBe(t, 404, "not_found")
		}
		robot.call(get, "/issuers", nil).mustBe(t, 403, "access_denied")
		robot.call(get, "/nothing", nil).mustBe(t, 404, "no_such_route")
		robot.call(del, "/accounts", nil).mustBe(t, 405, "no_such_route")
		robot.at(adminHost, get, own, nil).mustBe(t, 404, "no_such_route") // without /v1
	})
	t.Run("the document", func(t *testing.T) {
		stranger := &machine{w: w, http: w.https(nil)}
		a := stranger.at(adminHost, get, "/openapi.json", nil).mustBe(t, 200, "")
		if !strings.Contains(a.body, `"/accounts/{account}/users"`) || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("the document is %.200s", a.body)
		}
		stranger.at(adminHost, post, "/openapi.json", nil).mustBe(t, 405, "no_such_route")
	})
	t.Run("who shows too little", func(t *testing.T) {
		certified := robot.certified()
		for name, m := range map[string]machine{
			"nothing": {http: robot.http}, "a certificate alone": {http: certified.http},
			"another scheme": {http: robot.http, header: "authorization", token: "Basic " + robot.token},
		} {
			m.w = w
			a := m.call(get, own, nil).mustBe(t, 401, "api_token_needed")
			if a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: the header is %v", name, a.header)
			}
		}
		for _, token := range []string{"x", robot.token + "0", strings.ToUpper(robot.token), robot.token[:90] + "z"} {
			m := *robot
			m.token = token
			m.call(get, own, nil).mustBe(t, 401, "invalid_api_key")
		}
		two := *w.machine(other, "two")
		two.http = certified.http
		two.call(get, "/me", nil).mustBe(t, 403, "credentials_of_different_users")
	})
	t.Run("a person", func(t *testing.T) {
		person := do[admin.User](w, post, own+"/users", admin.NewUser{Email: "ada@example.com", Name: "Ada", Roles: []string{"administrator"}})
		token := do[admin.CreatedAPIToken](w, post, own+"/users/"+person.ID.String()+"/tokens", admin.NewAPIToken{Name: "a"}).Token
		(&machine{w: w, http: robot.http, token: token, header: "Authorization"}).call(get, own, nil).mustBe(t, 403, "service_user_needed")
	})
	t.Run("another face", func(t *testing.T) {
		robot.at(portalHost, get, "/v1/accounts", nil).mustBe(t, 404, "")
		robot.at("ca.example.com", get, "/v1/accounts", nil).mustBe(t, 404, "")
	})
	t.Run("a token that is disabled", func(t *testing.T) {
		m := w.machine(acme, "short")
		tokens := do[admin.List[admin.APIToken]](w, get, own+"/users/"+m.user.String()+"/tokens", nil)
		w.done(post, own+"/tokens/"+tokens.Items[0].ID.String()+"/disable", nil)
		m.call(get, "/me", nil).mustBe(t, 401, "invalid_api_key")
	})
}

// TestMachinesOfStaff has roles of the CA's staff count beside a client certificate only.
func TestMachinesOfStaff(t *testing.T) {
	w := newWorldWith(t, dbtest.SQLite(t), withMachines)
	acme, ours := w.account("Acme"), w.staff()
	robot := w.machine(ours, "robot", "ca_operator")
	for _, path := range []string{"/accounts", "/accounts/" + acme.String(), "/accounts/Acme/users", "/issuers", "/accounts/" + idOf("acc")} {
		robot.call(get, path, nil).mustBe(t, 403, "client_certificate_needed")
	}
	robot.call(get, "/accounts/"+ours.String()+"/users", nil).mustBe(t, 403, "client_certificate_needed") // by that role alone
	robot.call(get, "/me", nil).mustBe(t, 200, "")

	t.Run("it gets no certificate by its token", func(t *testing.T) {
		in := admin.NewUserCertificate{Name: "stolen", CSR: csrNamed(t, ecKey(t), "robot.example")}
		robot.call(post, "/accounts/"+ours.String()+"/users/"+robot.user.String()+"/client-certificates", in).mustBe(t, 403, "client_certificate_needed")
		one := *robot
		one.header = "x-api-key"
		one.at(oneHost, post, "/account/api/v1/client-auth-certificate", map[string]string{"name": "stolen", "csr": in.CSR}).mustBe(t, 403, "")
		list := do[admin.List[admin.ClientCertificate]](w, get, "/accounts/"+ours.String()+"/client-certificates", nil)
		if len(list.Items) != 0 {
			t.Errorf("it has %+v", list.Items)
		}
	})

	certified := robot.certified()
	certified.call(get, "/accounts", nil).mustBe(t, 200, "")
	certified.call(get, "/accounts/Acme/users", nil).mustBe(t, 200, "")
	certified.call(get, "/accounts/"+idOf("acc")+"/users", nil).mustBe(t, 404, "account_not_found")
	certified.call(post, "/accounts/Acme/users", admin.NewUser{}).mustBe(t, 403, "access_denied") // no role for it
	certified.call(get, "/status", nil).mustBe(t, 200, "")

	t.Run("an administrator of the staff's account", func(t *testing.T) {
		boss := w.machine(ours, "boss", "administrator")
		users := "/accounts/" + ours.String() + "/users/"
		boss.call(post, users+robot.user.String()+"/tokens", admin.NewAPIToken{Name: "mine"}).mustBe(t, 403, "role_not_yours")
		boss.call(post, users+robot.user.String()+"/client-certificates", admin.NewUserCertificate{Name: "mine", CSR: csrNamed(t, ecKey(t), "x")}).mustBe(t, 403, "role_not_yours")
		boss.call(post, users+boss.user.String()+"/roles", admin.Roles{Roles: []string{"administrator", "ca_operator"}}).mustBe(t, 403, "own_roles")
	})
	t.Run("of another account", func(t *testing.T) {
		m := w.machine(acme, "plain")
		w.refused(post, "/accounts/Acme/users/"+m.user.String()+"/roles", admin.Roles{Roles: []string{"ca_operator"}}, 403, "staff_role")
	})
}

// TestMachineAsks has machines of the staff ask for what needs two people, who are not
// machines.
func TestMachineAsks(t *testing.T) {
	w := newWorldWith(t, dbtest.SQLite(t), func(cfg *app.Config) {
		withMachines(cfg)
		withOperators(cfg)
		cfg.Operators[0].Email = "ops@example.com" // of the person behind the machines
	})
	ada, bob := w.as("ada's token"), w.as("bob's token")
	ours := w.staff()
	first, second := w.machine(ours, "first", "ca_operator").certified(), w.machine(ours, "second", "ca_operator").certified()
	w.machine(ours, "plain", "administrator").call(post, "/services", admin.ServiceSpec{}).mustBe(t, 403, "access_denied")

	waits := func(method, path string, body any) (string, admin.Approve) {
		t.Helper()
		first.call(method, path, body).mustBe(t, 409, "approval_needed")
		list := do[admin.List[admin.Approval]](w, get, "/approvals", nil)
		i := slices.IndexFunc(list.Items, func(a admin.Approval) bool { return a.State == telamon.ProposalPending && a.RequestedBy == "ada" })
		if i < 0 {
			t.Fatalf("%s waits for nobody: %+v", path, list.Items)
		}
		return "/approvals/" + list.Items[i].ID.String() + "/approve", admin.Approve{SHA256: list.Items[i].SHA256}
	}
	path, body := waits(post, "/services", admin.ServiceSpec{Name: "web", Series: "tls-ec", Unlimited: true, Policy: json.RawMessage(policy)})
	for _, m := range []*machine{first, second} {
		if a := m.call(post, path, body); a.status != 403 || a.code() != "not_a_person" && a.code() != "own_proposal" {
			t.Errorf("a machine approves with %d %s", a.status, a.body)
		}
	}
	ada.refused(post, path, body, 403, "own_proposal")
	if done := do[admin.Approval](bob, post, path, body); done.Outcome != "ok" || done.DecidedBy != "bob" {
		t.Errorf("it ended as %+v", done)
	}
	w.mustTell("proposal.create "+first.user.String(), "proposal.approve operator:bob", "service.create "+first.user.String())

	// Who has lost the role meanwhile does nothing.
	web := do[admin.Service](w, get, "/services/web", nil)
	change := web.Spec()
	change.StrictCAA = true
	path, body = waits(put, "/services/web", change)
	first.setRoles(nil)
	if late := do[admin.Approval](bob, post, path, body); late.Outcome != "access_denied" {
		t.Errorf("it ended as %+v", late)
	}
	w.done(post, "/accounts/"+ours.String()+"/users/"+second.user.String()+"/disable", nil)
	second.call(get, "/approvals", nil).mustBe(t, 401, "invalid_api_key")
}

// TestMachineRates bounds tokens and addresses apart.
func TestMachineRates(t *testing.T) {
	w := newWorldWith(t, dbtest.SQLite(t), func(cfg *app.Config) {
		withMachines(cfg)
		cfg.Limits.CredentialRate, cfg.Limits.CredentialBurst, cfg.Limits.AddressRate, cfg.Limits.AddressBurst = 1, 3, 0.5, 2
	})
	acme := w.account("Acme")
	one, two := w.machine(acme, "one"), w.machine(acme, "two")
	stranger := &machine{w: w, http: one.http, header: "x-api-key", token: "x"}
	limited := func(a answer, seconds int) {
		t.Helper()
		a.mustBe(t, http.StatusTooManyRequests, "rate_limited")
		if got := a.header.Get("Retry-After"); got != strconv.Itoa(seconds) {
			t.Errorf("Retry-After is %q, want %d", got, seconds)
		}
	}
	for range 3 {
		one.call(get, "/me", nil).mustBe(t, 200, "")
	}
	limited(one.call(get, "/me", nil), 1)
	two.call(get, "/me", nil).mustBe(t, 200, "")
	for range 2 {
		stranger.call(get, "/me", nil).mustBe(t, 401, "invalid_api_key")
	}
	limited(stranger.call(get, "/me", nil), 2)
	limited(stranger.at(adminHost, get, "/openapi.json", nil), 2)
	two.call(get, "/me", nil).mustBe(t, 200, "") // from the same address
}

// TestRequirement119Accounts floods the server from one account: another one is served all
// the same, and whoever waits as long as they are told may call again.
func TestRequirement119Accounts(t *testing.T) {
	const burst, callers, calls = 30, 4, 100
	w := newWorldWith(t, dbtest.SQLite(t), func(cfg *app.Config) {
		withMachines(cfg)
		cfg.Limits.AccountRate, cfg.Limits.AccountBurst = 0.2, burst
	})
	loud, quiet := w.account("Loud"), w.account("Quiet")
	var loudOnes []*machine
	for i := range callers {
		loudOnes = append(loudOnes, w.machine(loud, "loud "+strconv.Itoa(i)))
	}
	other := w.machine(quiet, "quiet")
	var served, refused atomic.Int64
	var flood sync.WaitGroup
	begun := make(chan struct{})
	for _, m := range loudOnes {
		flood.Go(func() {
			for range calls {
				switch a := m.call(get, "/me", nil); {
				case a.status == http.StatusOK:
					served.Add(1)
				case a.code() == "rate_limited" && a.header.Get("Retry-After") == "5":
					if refused.Add(1) == 1 {
						close(begun)
					}
				default:
					t.Errorf("got %d %s, Retry-After %q", a.status, a.body, a.header.Get("Retry-After"))
				}
			}
		})
	}
	<-begun
	for range burst / 2 {
		other.call(get, "/me", nil).mustBe(t, 200, "")
	}
	flood.Wait()
	if served.Load() != burst || refused.Load() != callers*calls-burst {
		t.Errorf("%d were served and %d refused, want %d and the others", served.Load(), refused.Load(), burst)
	}
	w.clock.Advance(4 * time.Second)
	loudOnes[0].call(get, "/me", nil).mustBe(t, 429, "rate_limited")
	w.clock.Advance(time.Second)
	loudOnes[1].call(get, "/me", nil).mustBe(t, 200, "")
}
