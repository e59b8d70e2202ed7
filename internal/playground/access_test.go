package playground_test

import (
	"net/http"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// member is a credential that a test made, with a client certificate for rsaKey.
type member struct {
	telamon.Credential
	secret string
	cert   *iam.IssuedClientCert
}

// addMember makes a credential of the playground's account, without a name for the
// parts of it that are those of dev_pkcs10.
func (w *world) addMember(t *testing.T, spec iam.CredentialSpec) *member {
	t.Helper()
	account, subscription, identity := w.parts(t, "dev_pkcs10")
	spec.Account, spec.Identity = account, identity
	if spec.Subscription == "" {
		spec.Subscription = subscription
	}
	made, secret, err := w.App.IAM.CreateCredential(t.Context(), operator, spec)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := w.App.IAM.IssueClientCert(t.Context(), operator, iam.ClientCertRequest{
		Account: account, Credentials: []telamon.CredentialID{made.ID}, CSR: csrFor(t, rsaKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &member{Credential: *made, secret: secret.Reveal(), cert: cert}
}

// connectMember returns a client of the member over a connection of its own.
func (w *world) connectMember(m *member) *client {
	w.t.Helper()
	return w.connect(tlsCertificate(m.cert.Certificate.Raw, rsaKey()))
}

// TestRevokedAccess takes away what a live token depends on.
func TestRevokedAccess(t *testing.T) {
	t.Parallel()
	type use = func(w *world, m *member) error
	ctx := t.Context()
	tests := []struct {
		name         string
		take, giveup use // giveup: nil if it is for ever
		tokenAgain   bool
	}{
		{"disabled credential",
			func(w *world, m *member) error { return w.App.IAM.DisableCredential(ctx, operator, m.Account, m.ID) },
			func(w *world, m *member) error { return w.App.IAM.EnableCredential(ctx, operator, m.Account, m.ID) }, false},
		{"deleted credential",
			func(w *world, m *member) error { return w.App.IAM.DeleteCredential(ctx, operator, m.Account, m.ID) }, nil, false},
		{"disabled client certificate",
			func(w *world, m *member) error {
				return w.App.IAM.DisableClientCert(ctx, operator, m.Account, m.cert.ID)
			},
			func(w *world, m *member) error {
				return w.App.IAM.EnableClientCert(ctx, operator, m.Account, m.cert.ID)
			}, true},
		{"revoked client certificate",
			func(w *world, m *member) error {
				return w.App.IAM.RevokeClientCert(ctx, operator, m.Account, m.cert.ID, "")
			}, nil, false},
		{"unlinked client certificate",
			func(w *world, m *member) error {
				return w.App.IAM.ChangeClientCertLinks(ctx, operator, m.Account, m.cert.ID, nil, []telamon.CredentialID{m.ID})
			},
			func(w *world, m *member) error {
				return w.App.IAM.ChangeClientCertLinks(ctx, operator, m.Account, m.cert.ID, []telamon.CredentialID{m.ID}, nil)
			}, true},
		{"allowed addresses",
			func(w *world, m *member) error {
				return w.App.IAM.SetAllowedIPs(ctx, operator, m.Account, m.ID, []string{"192.0.2.0/24", "2001:db8::1"})
			},
			func(w *world, m *member) error {
				return w.App.IAM.SetAllowedIPs(ctx, operator, m.Account, m.ID, []string{"127.0.0.0/8"})
			}, false},
		{"disabled account",
			func(w *world, m *member) error { return w.App.IAM.DisableAccount(ctx, operator, m.Account) },
			func(w *world, m *member) error { return w.App.IAM.EnableAccount(ctx, operator, m.Account) }, true},
	}
	each(t, func(t *testing.T, w *world) {
		for i, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				m := w.addMember(t, iam.CredentialSpec{Name: "member_" + string(rune('a'+i))})
				c := w.connectMember(m)
				expect := func(what string, a *answer, want int) {
					t.Helper()
					if a.status != want || want >= 400 && a.member("description") != "Unauthorized" {
						t.Errorf("%s: %s, want status %d", what, a, want)
					}
				}
				expect("login", c.login(m.Key, m.secret), http.StatusOK)
				serial, _ := c.issue(t, plainRequest(t))
				if err := tt.take(w, m); err != nil {
					t.Fatal(err)
				}
				expect("request", c.do(http.MethodPost, "/certificates", plainRequest(t)), http.StatusUnauthorized)
				expect("retrieval", c.do(http.MethodGet, "/certificates/"+serial, nil), http.StatusUnauthorized)
				expect("revocation", c.do(http.MethodDelete, "/certificates/"+serial, nil), http.StatusUnauthorized)
				expect("login after", c.login(m.Key, m.secret), http.StatusUnauthorized)
				if tt.giveup == nil {
					return
				}
				if err := tt.giveup(w, m); err != nil {
					t.Fatal(err)
				}
				expect("token again", c.do(http.MethodGet, "/certificates/"+serial, nil),
					map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[tt.tokenAgain])
				expect("login again", c.login(m.Key, m.secret), http.StatusOK)
				expect("retrieval again", c.do(http.MethodGet, "/certificates/"+serial, nil), http.StatusOK)
			})
		}
	})
}

// TestWithoutClientCertificate works with a credential that needs none.
func TestWithoutClientCertificate(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		m := w.addMember(t, iam.CredentialSpec{Name: "partner", MTLS: telamon.MTLSNone})
		c := w.connect()
		if a := c.login(m.Key, m.secret); a.status != http.StatusOK {
			t.Fatalf("login: %s", a)
		}
		c.issue(t, plainRequest(t))
		required := w.credential("dev_pkcs10")
		if a := w.connect().login(required.APIKey, required.APISecret); a.status != http.StatusUnauthorized {
			t.Errorf("login without the certificate that is required: %s", a)
		}
		if a := w.connect(w.pair(w.credential("dev_pkcs8"))).login(required.APIKey, required.APISecret); a.status != http.StatusUnauthorized {
			t.Errorf("login with another's certificate: %s", a)
		}
		other := w.loggedIn("dev_pkcs10")
		other.http = w.connect(w.pair(w.credential("dev_pkcs8"))).http
		if a := other.do(http.MethodGet, "/validationpolicy", nil); a.status != http.StatusUnauthorized {
			t.Errorf("a token with another's certificate: %s", a)
		}
	})
}
