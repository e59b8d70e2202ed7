package admin_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestAdvisories does on the whole platform what the advisories of others tell of:
// docs/SECURITY.md has the list, and what is tested elsewhere.
func TestAdvisories(t *testing.T) {
	url := dbtest.SQLite(t)
	m := newMatrix(t, url)
	secrets := m.plant()
	t.Run("revoking another account's certificate", m.revokeForeign)
	t.Run("escalation through roles", m.escalate)
	t.Run("private keys are refused", func(t *testing.T) { secrets = append(secrets, m.uploadKeys(t)...) })
	t.Run("secrets in answers", func(t *testing.T) { m.readEverything(t, secrets) })
	t.Run("plaintext in the database and the logs", func(t *testing.T) {
		path := strings.TrimPrefix(url, "sqlite:")
		var kept []byte
		for _, file := range []string{path, path + "-wal"} {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, text...)
		}
		for _, s := range secrets {
			switch form := s.in(kept); {
			case form != "" && !s.stored:
				t.Errorf("%s is stored, %s", s.what, form)
			case form == "" && s.stored:
				t.Errorf("%s was not found, so this proves nothing", s.what)
			}
		}
		logs := []byte(m.logs.String())
		if !bytes.Contains(logs, []byte(`"msg":"request"`)) {
			t.Fatal("requests were not logged, so this proves nothing")
		}
		for _, s := range secrets {
			if form := s.in(logs); form != "" {
				t.Errorf("%s is in the log, %s", s.what, form)
			}
		}
	})
}

// A planted is what must not come out again.
type planted struct {
	what   string
	value  []byte
	stored bool // it is kept, such as a hash
}

// in says in which form the value is in a text, "" if it is not.
func (p planted) in(text []byte) string {
	for form, value := range map[string]string{
		"as it is": string(p.value), "in hexadecimal": hex.EncodeToString(p.value), "in HEXADECIMAL": strings.ToUpper(hex.EncodeToString(p.value)),
		"in base64": base64.RawStdEncoding.EncodeToString(p.value), "in base64url": base64.RawURLEncoding.EncodeToString(p.value),
	} {
		if bytes.Contains(text, []byte(value)) {
			return form
		}
	}
	return ""
}

// plant makes secrets of every kind in the account of the callers.
func (m *matrix) plant() []planted {
	m.t.Helper()
	ctx, at := m.t.Context(), "/accounts/"+m.acme.String()
	var all []planted
	add := func(what string, value []byte, stored bool) {
		m.t.Helper()
		if len(value) < 8 {
			m.t.Fatalf("%s is %q", what, value)
		}
		all = append(all, planted{what, value, stored})
	}
	const first, second = "a planted password 1", "a planted password 2"
	person := decoded[admin.User](m, m.must(post, at+"/users", admin.NewUser{Email: "planted@example.com", Name: "Planted", Roles: []string{"administrator"}, Password: first}))
	m.must(post, at+"/users/"+person.ID.String()+"/password", admin.Password{Password: second})
	add("a password", []byte(first), false)
	add("a password", []byte(second), false)
	from := signin.Client{RequestID: "req_1"}
	if _, _, err := m.app.SignIn.SignIn(ctx, "planted@example.com", "a wrong planted password", from); err == nil {
		m.t.Error("a wrong password signs in")
	}
	add("a wrong password", []byte("a wrong planted password"), false)
	value, session, err := m.app.SignIn.SignIn(ctx, "planted@example.com", second, from)
	if err != nil {
		m.t.Fatal(err)
	}
	add("a session", []byte(value), false)
	totp, err := m.app.SignIn.BeginTOTP(ctx, session)
	if err != nil {
		m.t.Fatal(err)
	}
	add("the secret of one-time passwords", []byte(totp.Secret), false)
	stored, err := m.app.Store.User(ctx, m.acme, person.ID)
	if err != nil {
		m.t.Fatal(err)
	}
	add("the hash of a password", []byte(stored.PasswordHash), true)

	robot := decoded[admin.CreatedUser](m, m.must(post, at+"/users", admin.NewUser{Kind: telamon.ServiceUser, Email: "ops@example.com", Name: "planted", Roles: []string{}}))
	add("an API token", []byte(robot.APIToken), false)
	lookup, secret, _ := strings.Cut(robot.APIToken, "_")
	add("the secret of an API token", []byte(secret), false)
	token, err := m.app.Directory.APIToken(ctx, lookup)
	if err != nil {
		m.t.Fatal(err)
	}
	add("the MAC of an API token", token.SecretMAC, true)

	made := decoded[admin.CreatedCredential](m, m.must(post, at+"/credentials", admin.NewCredential{
		Name: "planted", Subscription: telamon.SubscriptionID(m.objects[m.acme]["subscription"]),
		Identity: telamon.IdentityID(m.objects[m.acme]["active identity"]), MTLS: telamon.MTLSNone,
	}))
	add("an API secret", []byte(made.APISecret), false)
	credential, err := m.app.Directory.Credential(ctx, made.ID)
	if err != nil {
		m.t.Fatal(err)
	}
	add("the MAC of an API secret", credential.SecretMAC, true)
	has := m.objects[m.acme] // which readEverything reads
	has["user"], has["api_token"], has["credential"] = robot.ID.String(), token.ID.String(), made.ID.String()
	m.atlasToken = m.login(made)
	add("a token of the Atlas API", []byte(m.atlasToken), false)
	return all
}

// login returns a token of the Atlas API.
func (m *matrix) login(c admin.CreatedCredential) string {
	m.t.Helper()
	a := (&machine{w: m.world, http: m.https(nil)}).at("ca.example.com", post, "/v2/login", map[string]string{"api_key": c.APIKey, "api_secret": c.APISecret})
	return decoded[struct {
		Token string `json:"access_token"`
	}](m, a).Token
}

// readEverything calls every route that reads, as the operator and as who reads all of the
// account, and searches what they are answered.
func (m *matrix) readEverything(t *testing.T, secrets []planted) {
	auditor := m.callerNamed(authz.RoleAuditor)
	read := 0
	for _, pattern := range m.api.Routes() {
		if !strings.HasPrefix(pattern, get) {
			continue
		}
		for _, c := range []caller{{name: "operator", account: m.acme}, auditor} {
			relation := own
			if !strings.Contains(pattern, "{account}") {
				relation = nobodys
			}
			a := m.try(c, pattern, relation)
			if a.status == 200 {
				read++
			}
			for _, s := range secrets {
				if form := s.in([]byte(a.body)); form != "" {
					t.Errorf("%s has %s, %s", pattern, s.what, form)
				}
			}
		}
	}
	if read < 30 {
		t.Errorf("only %d answers were searched", read)
	}
	m.must(get, "/accounts/"+m.acme.String()+"/audit/events?limit=1000", nil)
}

func (m *matrix) callerNamed(name string) caller {
	m.t.Helper()
	i := slices.IndexFunc(m.callers, func(c caller) bool { return c.name == name })
	return m.callers[i]
}

// revokeForeign has another account revoke a certificate on every face.
func (m *matrix) revokeForeign(t *testing.T) {
	atlas := &machine{w: m.world, http: m.https(nil), header: "Authorization", token: m.atlasToken}
	now := m.clock.Now().Unix()
	a := atlas.at("ca.example.com", post, "/v2/certificates", map[string]any{
		"validity": map[string]int64{"not_before": now, "not_after": now + 7200}, "subject_dn": map[string]string{"common_name": "victim"},
		"signature": map[string]string{"algorithm": "ECDSA", "hash_algorithm": "SHA-256"}, "public_key": csrOf(t, ecKey(t)),
	})
	path := a.header.Get("Location")
	serial := path[strings.LastIndex(path, "/")+1:]
	if a.status != 201 || serial == "" {
		t.Fatalf("no certificate was issued: %d %s", a.status, a.body)
	}
	status := func() string {
		t.Helper()
		return decoded[admin.CertificateEvidence](m, m.must(get, "/certificates/"+serial+"/evidence", nil)).Status
	}
	before := status()

	thirds := m.objects[m.third]
	foreign := decoded[admin.CreatedCredential](m, m.must(post, "/accounts/"+m.third.String()+"/credentials", admin.NewCredential{
		Name: "foreign", Subscription: telamon.SubscriptionID(thirds["subscription"]), Identity: telamon.IdentityID(thirds["active identity"]), MTLS: telamon.MTLSNone,
	}))
	thief := &machine{w: m.world, http: atlas.http, header: "Authorization", token: m.login(foreign)}
	thief.at("ca.example.com", del, "/v2/certificates/"+serial, nil).mustBe(t, 404, "")
	thief.at("ca.example.com", "PATCH", "/v2/certificates/"+serial, map[string]any{"revocation_reason": "keyCompromise", "revocation_time": now}).mustBe(t, 404, "")

	robot := m.machine(m.third, "thief", "administrator", "AM_ACCOUNT_ADMIN", "SM_KEY_MANAGER")
	robot.call(post, "/certificates/"+serial+"/revoke", admin.RevokeCertificate{RevocationReason: admin.RevocationReason{Reason: telamon.ReasonSuperseded}}).mustBe(t, 404, "not_found")
	for _, revoke := range []string{"/client-certificates/" + m.objects[m.acme]["client_certificate"], "/key-pairs/" + m.objects[m.acme]["key_pair"]} {
		for _, account := range []telamon.AccountID{m.acme, m.third} {
			if got := robot.call(post, "/accounts/"+account.String()+revoke+"/revoke", admin.Revocation{Reason: telamon.ReasonSuperseded}); got.status != 404 {
				t.Errorf("%s of another account is revoked with %d %s", revoke, got.status, got.body)
			}
		}
	}

	victim := m.machineNamed(m.callerNamed(authz.RoleAdministrator))
	cert := decoded[admin.IssuedUserCertificate](m, m.must(post, "/accounts/"+m.acme.String()+"/users/"+victim.user.String()+"/client-certificates",
		admin.NewUserCertificate{Name: "victim", CSR: csrNamed(t, ecKey(t), "victim")}))
	id, _ := cert.ID.Bytes()
	one := *robot
	one.header = "x-api-key"
	uuid := fmt.Sprintf("/account/api/v1/client-auth-certificate/%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	one.at(oneHost, get, uuid, nil).mustBe(t, 404, "")
	one.at(oneHost, del, uuid, nil).mustBe(t, 404, "")
	one.at(oneHost, put, uuid+"/enable", `{"enabled": false}`).mustBe(t, 404, "")
	if after := decoded[admin.ClientCertificate](m, m.must(get, "/accounts/"+m.acme.String()+"/client-certificates/"+cert.ID.String(), nil)); after.State != telamon.Active {
		t.Errorf("the user's certificate is %+v", after)
	}
	if after := status(); after != before {
		t.Errorf("the certificate was %s and is %s", before, after)
	}
	atlas.at("ca.example.com", del, "/v2/certificates/"+serial, nil).mustBe(t, 204, "")
	if after := status(); after == before {
		t.Errorf("its own account cannot revoke it: it is %s", after)
	}
}

// escalate has callers of every role try to get the rights of an administrator or of the
// staff, in their own account.
func (m *matrix) escalate(t *testing.T) {
	for _, c := range m.callers {
		if c.account == "" || c.name == authz.RoleAdministrator {
			continue
		}
		users := "/accounts/" + c.account.String() + "/users"
		boss := m.machine(c.account, "boss of "+strings.ReplaceAll(c.name, "_", " "), "administrator").user.String()
		for _, role := range []string{"administrator", "ca_operator"} {
			for _, try := range []struct {
				method, path string
				body         any
			}{
				{put, users + "/" + c.user.String(), admin.UserChange{Roles: []string{role}}},
				{post, users + "/" + c.user.String() + "/roles", admin.Roles{Roles: []string{role}}},
				{post, users, admin.NewUser{Kind: telamon.ServiceUser, Email: "e@example.com", Name: "e " + c.name[:2], Roles: []string{role}}},
				{post, users, admin.NewUser{Email: "e@example.com", Name: "e", Roles: []string{role}, Password: "a long enough password"}},
				{post, "/accounts/" + c.account.String() + "/invitations", admin.NewInvitation{Email: "e@example.com", Roles: []string{role}}},
				{post, users + "/" + boss + "/tokens", admin.NewAPIToken{Name: "mine"}},
				{post, users + "/" + boss + "/password", admin.Password{Password: "a long enough password"}},
				{post, users + "/" + boss + "/reset-factors", nil},
				{put, users + "/" + boss, admin.UserChange{Email: new("e@example.com")}},
				{post, users + "/" + boss + "/client-certificates", admin.NewUserCertificate{Name: "mine", CSR: csrNamed(t, ecKey(t), "e")}},
				{post, "/accounts/" + c.account.String() + "/make-staff", nil},
			} {
				body := ""
				if try.body != nil {
					text, err := json.Marshal(try.body)
					if err != nil {
						t.Fatal(err)
					}
					body = string(text)
				}
				if a := m.by(c, try.method, try.path, body); a.status < 400 {
					t.Errorf("%s gets the rights of %s by %s %s %s: %d", c.name, role, try.method, try.path, body, a.status)
				}
			}
		}
	}
}

// uploadKeys sends a private key wherever something public is asked for, and returns what
// would show that it was kept.
func (m *matrix) uploadKeys(t *testing.T) []planted {
	key := ecKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	both := csrNamed(t, key, "x") + text
	at, has := "/accounts/"+m.acme.String(), m.objects[m.acme]
	administrator := m.machineNamed(m.callerNamed(authz.RoleAdministrator))
	administrator.http = m.https(nil)
	atlas := &machine{w: m.world, http: administrator.http, header: "Authorization", token: m.atlasToken}
	now := m.clock.Now().Unix()
	for _, sent := range []string{text, both} {
		for name, a := range map[string]answer{
			"an mTLS certificate": administrator.call(post, at+"/client-certificates", admin.NewClientCertificate{CSR: sent, Credentials: []telamon.CredentialID{telamon.CredentialID(has["credential"])}}),
			"a user's certificate": administrator.call(post, at+"/users/"+administrator.user.String()+"/client-certificates",
				admin.NewUserCertificate{Name: "x", CSR: sent}),
			"onboarding":    administrator.call(post, at+"/onboard", admin.Onboard{PublicKey: sent, NewCredential: admin.NewCredential{Name: "x", Subscription: telamon.SubscriptionID(has["subscription"]), Identity: telamon.IdentityID(has["active identity"])}}),
			"a blocked key": m.by(caller{name: "operator"}, post, "/keys", string(encoded(t, admin.BlockKey{PEM: sent}))),
			"an import":     m.by(caller{name: "operator"}, post, "/issuers/import", string(encoded(t, admin.IssuerImport{Certificates: []string{sent}}))),
			"Atlas": atlas.at("ca.example.com", post, "/v2/certificates", map[string]any{
				"validity": map[string]int64{"not_before": now, "not_after": now + 7200}, "subject_dn": map[string]string{"common_name": "x"}, "public_key": sent,
			}),
			"DigiCert ONE": (&machine{w: m.world, http: administrator.http, header: "x-api-key", token: administrator.token}).at(oneHost, post,
				"/account/api/v1/client-auth-certificate", map[string]string{"name": "x", "csr": sent}),
		} {
			if a.status < 400 || a.status >= 500 {
				t.Errorf("%s: a private key is answered with %d %s", name, a.status, a.body)
			}
			if strings.Contains(a.body, strings.Split(text, "\n")[1]) {
				t.Errorf("%s: the key is repeated", name)
			}
		}
	}
	return []planted{{"a private key", secret, false}, {"a line of a private key", []byte(strings.Split(text, "\n")[1]), false}}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
