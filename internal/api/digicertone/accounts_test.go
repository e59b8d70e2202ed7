package digicertone

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/web"
)

func TestServicePeriod(t *testing.T) {
	day := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	account := telamon.Account{CreatedAt: day("2026-11-22T23:59:59Z")}
	if got, want := servicePeriodOf(&account), (servicePeriod{"2026-11-22", "9999-12-31"}); got != want {
		t.Errorf("without bounds: %v, want %v", got, want)
	}
	account.StartsAt, account.EndsAt = day("2026-12-01T00:00:00+09:00"), day("2027-11-30T23:59:59Z")
	if got, want := servicePeriodOf(&account), (servicePeriod{"2026-11-30", "2027-11-30"}); got != want {
		t.Errorf("with bounds: %v, want %v", got, want)
	}
}

func TestFriendlyIdentifier(t *testing.T) {
	for name, want := range map[string]string{
		"Acme K.K.": "acme-k-k", "playground": "playground", " a -- b ": "a-b", "Ökologie 2": "ökologie-2", "!": "",
	} {
		if got := friendlyIdentifier(name); got != want {
			t.Errorf("the identifier of %q is %q, want %q", name, got, want)
		}
	}
}

// TestRoleIDs holds that each role is found by its ID, and by no other's.
func TestRoleIDs(t *testing.T) {
	seen := map[[16]byte]bool{}
	for _, r := range ofDialect(authz.Roles()) {
		id := roleID(r.Code)
		if found, ok := roleOfID(id); !ok || found.Code != r.Code || seen[id] {
			t.Errorf("the ID of %s is that of %s", r.Code, found.Code)
		}
		seen[id] = true
	}
	if r, ok := roleOfID([16]byte{}); ok {
		t.Errorf("no ID is that of %s", r.Code)
	}
	// Clients may keep it.
	if got := formatUUID(roleID("AM_ACCOUNT_ADMIN")); got != "3cc04ac7-9b33-5ecd-b6aa-becb0951e4a3" {
		t.Errorf("the ID of AM_ACCOUNT_ADMIN is now %s", got)
	}
}

func TestHello(t *testing.T) {
	w := newWorld(t, nil)
	key := w.serviceUserKey(t, "greeter")
	a := w.do(t, client{key: key}, "GET", helloPath, "")
	a.mustBe(t, 200, "Hello from DigiCert ONE - Trust Lifecycle Manager REST API!")
	if got := a.header.Get("Content-Type"); got != "text/plain" {
		t.Errorf("the type is %q", got)
	}
	w.do(t, client{key: key}, "HEAD", helloPath, "").mustBe(t, 200, "")
	w.do(t, client{key: key}, "GET", helloPath, "", "Accept", "text/plain").mustBe(t, 200, a.body)
	w.do(t, client{key: key, auth: true, tls12: true, http11: true}, "GET", "/"+helloPath+"/", "").mustBe(t, 200, a.body)
	w.do(t, client{key: key}, "GET", accountPath, "", "Accept", "text/html").mustBe(t, 406,
		`{"errors":[{"code":"invalid_request","message":"Accept must allow application/json"}]}`)
	w.do(t, client{key: key + "0"}, "GET", helloPath, "").mustBe(t, 401, bodyKey)
}

func TestAccounts(t *testing.T) {
	w := newWorld(t, nil)
	c, admin := w.serviceUser(t, "admin", time.Time{}, "AM_ACCOUNT_ADMIN")
	key := c.key
	none := w.serviceUserKey(t, "none", "AM_DEFAULT_USER")
	other := got(w.iam.CreateAccount(t.Context(), operator, iam.NewAccount{Name: "Globex"}))(t).ID
	id := uuidOf(w.account)
	want := `{"id":"` + id + `","name":"Acme","active":true,"service_period":{"from":"2026-11-22","to":"9999-12-31"},` +
		`"friendly_identifier":"acme","admins":[{"id":"` + uuidOf(admin) + `","name":"admin","email":"ops@example.com"}],` +
		`"sign_in_methods":[{"signInMethod":"standard","status":"enabled","mfaStatus":"disabled","clientAuthCertLoginEnabled":false}],` +
		`"locale":"en_US"}`
	missing := `{"errors":[{"code":"resource_not_found","message":"Account not found"}]}`
	denied := `{"errors":[{"code":"access_denied","message":"You do not have permission to perform this operation"}]}`
	tests := []struct {
		name, key, path string
		status          int
		body            string
	}{
		{"the list", key, accountPath, 200, "[" + want + "]"},
		{"beyond the list", key, accountPath + "?offset=1", 200, "[]"},
		{"a bad limit", key, accountPath + "?limit=0", 400,
			`{"errors":[{"code":"invalid_request","message":"limit: has to be a number from 1 to 100","field":"limit"}]}`},
		{"by its ID", key, accountPath + "/" + id, 200, want},
		{"in upper case", key, accountPath + "/" + strings.ToUpper(id), 200, want},
		{"another account", key, accountPath + "/" + uuidOf(other), 404, missing},
		{"no account", key, accountPath + "/" + uuidOf(telamon.NewAccountID()), 404, missing},
		{"no ID", key, accountPath + "/me", 404, missing},
		{"an ID of the platform's own form", key, accountPath + "/" + w.account.String(), 404, missing},
		{"without the permission", none, accountPath, 403, denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.do(t, client{key: tt.key}, "GET", tt.path, "").mustBe(t, tt.status, tt.body)
		})
	}
}

func TestRoles(t *testing.T) {
	w := newWorld(t, nil)
	key := w.serviceUserKey(t, "manager", "AM_USER_MANAGER")
	none := w.serviceUserKey(t, "none", "AM_ACCOUNT_USER")
	codes := func(query string) string {
		a := w.do(t, client{key: key}, "GET", "/account/api/v1/role"+query, "")
		var list []wireRole
		if a.status != 200 || json.Unmarshal([]byte(a.body), &list) != nil {
			t.Fatalf("%s: %d %s", query, a.status, a.body)
		}
		var all []string
		for _, r := range list {
			if r.ID == "" || r.Name == "" || r.Permissions == nil {
				t.Errorf("a role is %+v", r)
			}
			all = append(all, r.Code)
		}
		return strings.Join(all, " ")
	}
	manager := "AM_DEFAULT_USER AM_ACCOUNT_USER AM_VIEW_ONLY AM_USER_MANAGER AM_ACCOUNT_MANAGER AM_ACCOUNT_ADMIN"
	for query, want := range map[string]string{
		"?application_code=account_manager": manager, "": manager + " SM_SIGNER SM_KEY_MANAGER",
		"?application_code=software_trust&limit=1": "SM_SIGNER", "?application_code=none": "",
	} {
		if got := codes(query); got != want {
			t.Errorf("%s lists %s, want %s", query, got, want)
		}
	}
	w.do(t, client{key: none}, "GET", "/account/api/v1/role", "").mustBe(t, 403,
		`{"errors":[{"code":"access_denied","message":"You do not have permission to perform this operation"}]}`)
}

// TestCallersAreLimited holds that each API token has a rate of its own.
func TestCallersAreLimited(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Callers = []*web.Limiter{web.NewLimiter(cfg.Clock, 0.5, 1)} })
	one := w.serviceUserKey(t, "one")
	two := w.serviceUserKey(t, "two")
	for _, key := range []string{one, two} {
		if a := w.do(t, client{key: key}, "GET", helloPath, ""); a.status != 200 {
			t.Errorf("the first request is answered by %d", a.status)
		}
		a := w.do(t, client{key: key}, "GET", helloPath, "")
		a.mustBe(t, 429, `{"errors":[{"code":"request_limit_exceeded","message":"Service unavailable, please limit request volume"}]}`)
		if got := a.header.Get("Retry-After"); got != "2" {
			t.Errorf("Retry-After is %q", got)
		}
	}
	w.do(t, client{}, "GET", helloPath, "").mustBe(t, 401, bodyKey)
}

// TestAccountsAreLimited holds that the users of an account share a rate, whatever each of
// them may.
func TestAccountsAreLimited(t *testing.T) {
	w := newWorld(t, func(cfg *Config) {
		cfg.Callers = []*web.Limiter{web.NewLimiter(cfg.Clock, 1, 2)}
		cfg.Accounts = web.NewLimiter(cfg.Clock, 0.25, 2)
	})
	one, two := w.serviceUserKey(t, "one"), w.serviceUserKey(t, "two")
	for _, key := range []string{one, two} {
		if a := w.do(t, client{key: key}, "GET", helloPath, ""); a.status != 200 {
			t.Errorf("the first request is answered by %d", a.status)
		}
	}
	for _, key := range []string{one, two} {
		a := w.do(t, client{key: key}, "GET", helloPath, "")
		a.mustBe(t, 429, `{"errors":[{"code":"request_limit_exceeded","message":"Service unavailable, please limit request volume"}]}`)
		if got := a.header.Get("Retry-After"); got != "4" {
			t.Errorf("Retry-After is %q", got)
		}
	}
}

func TestFactors(t *testing.T) {
	token, cert := telamon.APITokenID("t"), telamon.ClientCertID("c")
	for name, tt := range map[string]struct {
		actor           telamon.Actor
		any, cert, both bool
	}{
		"nothing":     {telamon.Actor{}, false, false, false},
		"token":       {telamon.Actor{Token: token}, true, false, false},
		"certificate": {telamon.Actor{ClientCert: cert}, true, true, false},
		"both":        {telamon.Actor{Token: token, ClientCert: cert}, true, true, true},
	} {
		if factorAny.met(tt.actor) != tt.any || factorCert.met(tt.actor) != tt.cert || factorBoth.met(tt.actor) != tt.both {
			t.Errorf("%s meets any %v, certificate %v, both %v", name, factorAny.met(tt.actor), factorCert.met(tt.actor), factorBoth.met(tt.actor))
		}
	}
	if New(Config{}).protected != factorCert || New(Config{SigningNeedsBoth: true}).protected != factorBoth {
		t.Error("signing needs something else")
	}
}
