package admin_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

const (
	get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
)

// TestOperator walks through every route, as the operator who takes in a customer.
func TestOperator(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		accounts(w)
		users(w)
		identity := identities(w)
		subscription, other := services(w)
		credentials(w, identity, subscription, other)
		platform(w)
		invariant.Check(t, w.app.Store)
	})
}

func accounts(w *world) {
	t := w.t
	acme := do[admin.Account](w, post, "/accounts", admin.NewAccount{Name: "Acme"})
	if acme.Name != "Acme" || acme.State != telamon.Active || !acme.CreatedAt.Equal(w.clock.Now()) {
		t.Errorf("the account is %+v", acme)
	}
	if byName, byID := do[admin.Account](w, get, "/accounts/Acme", nil), do[admin.Account](w, get, "/accounts/"+acme.ID.String(), nil); byName != acme || byID != acme {
		t.Errorf("got %+v and %+v, want %+v", byName, byID, acme)
	}
	gone := do[admin.Account](w, post, "/accounts", admin.NewAccount{Name: "Gone"})
	w.done(post, "/accounts/Gone/disable", nil)
	if state := do[admin.Account](w, get, "/accounts/Gone", nil).State; state != telamon.Disabled {
		t.Errorf("a disabled account is %s", state)
	}
	w.done(post, "/accounts/Gone/enable", nil)
	w.done(del, "/accounts/Gone", nil)
	w.refused(post, "/accounts/"+gone.ID.String()+"/enable", nil, http.StatusConflict, "wrong_state")
	starts, ends := w.clock.Now().Truncate(time.Second), w.clock.Now().Truncate(time.Second).AddDate(1, 0, 0)
	w.done(put, "/accounts/Acme/service-period", admin.ServicePeriod{StartsAt: &starts, EndsAt: &ends})
	if got := do[admin.Account](w, get, "/accounts/Acme", nil); !got.StartsAt.Equal(starts) || !got.EndsAt.Equal(ends) {
		t.Errorf("the account is %+v, want one from %s to %s", got, starts, ends)
	}
	w.refused(put, "/accounts/Acme/service-period", admin.ServicePeriod{StartsAt: &ends, EndsAt: &starts}, http.StatusUnprocessableEntity, "invalid_account")
	w.refused(put, "/accounts/Gone/service-period", admin.ServicePeriod{}, http.StatusConflict, "wrong_state")
	w.done(put, "/accounts/Acme/service-period", admin.ServicePeriod{})
	if got := do[admin.Account](w, get, "/accounts/Acme", nil); got != acme {
		t.Errorf("the account is %+v, want %+v again", got, acme)
	}
	var names []string
	for next := "?limit=1"; next != ""; {
		page := do[admin.List[admin.Account]](w, get, "/accounts"+next, nil)
		for _, account := range page.Items {
			names = append(names, account.Name)
		}
		if next = ""; page.Next != "" {
			next = "?limit=1&after=" + page.Next
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"Acme", "Gone", "telamon_platform"}) {
		t.Errorf("page by page, the accounts are %q", names)
	}
}

func users(w *world) {
	t := w.t
	ada := do[admin.User](w, post, "/accounts/Acme/users", admin.NewUser{Email: "ada@example.com", Name: "Ada", Roles: []string{"auditor"}})
	one := "/accounts/Acme/users/" + ada.ID.String()
	w.done(post, one+"/password", admin.Password{Password: "a long enough password"})
	w.refused(post, one+"/password", admin.Password{Password: "short"}, http.StatusUnprocessableEntity, "invalid_password")
	w.done(post, one+"/disable", nil)
	if got := do[admin.User](w, get, one, nil); got.State != telamon.Disabled || !slices.Equal(got.Roles, ada.Roles) {
		t.Errorf("a disabled user is %+v", got)
	}
	w.done(post, one+"/enable", nil)
	w.done(post, one+"/lock", nil)
	w.refused(post, one+"/lock", nil, http.StatusConflict, "wrong_state")
	if got := do[admin.User](w, get, one, nil); got.State != telamon.Active || got.LockedAt == nil {
		t.Errorf("a locked user is %+v", got)
	}
	w.done(post, one+"/unlock", nil)
	w.refused(post, one+"/unlock", nil, http.StatusConflict, "wrong_state")
	w.done(del, one, nil)
	w.refused(post, one+"/lock", nil, http.StatusConflict, "wrong_state")
	if list := do[admin.List[admin.User]](w, get, "/accounts/Acme/users", nil); len(list.Items) != 1 || list.Items[0].Email != "ada@example.com" {
		t.Errorf("the users are %+v", list)
	}
	w.refused(get, "/accounts/telamon_platform/users/"+ada.ID.String(), nil, http.StatusNotFound, "user_not_found")
	serviceUsers(w)
}

func serviceUsers(w *world) {
	t, ends := w.t, w.clock.Now().UTC().Truncate(time.Second).AddDate(1, 0, 0)
	const all = "/accounts/Acme/users"
	in := admin.NewUser{Kind: telamon.ServiceUser, Email: "ops@example.com", Name: "CI", Description: "builds", Roles: []string{"SM_SIGNER"}, EndsAt: &ends}
	made := do[admin.CreatedUser](w, post, all, in)
	if len(made.APIToken) != 91 || made.Kind != telamon.ServiceUser || !made.EndsAt.Equal(ends) || made.Description != "builds" {
		t.Errorf("a service user is %+v, with a token of %d characters", made.User, len(made.APIToken))
	}
	w.refused(post, all, in, http.StatusConflict, "name_taken")
	for _, wrong := range []admin.NewUser{
		{Kind: telamon.ServiceUser, Email: "a@b.c", Name: "CI 2", Password: "a long enough password"}, {Kind: "robot", Email: "a@b.c", Name: "CI 2"},
		{Email: "bob@example.com", Name: "Bob", EndsAt: &ends}, {Email: "bob@example.com", Name: "Bob", Description: "x"},
		{Kind: telamon.ServiceUser, Email: "a@b.c", Name: "a/b"},
	} {
		w.refused(post, all, wrong, http.StatusUnprocessableEntity, "invalid_user")
	}
	one := all + "/" + made.ID.String()
	zero := time.Time{} // in a body an end like any other
	const unprocessable = http.StatusUnprocessableEntity
	w.refused(post, all, admin.NewUser{Kind: telamon.ServiceUser, Email: "a@b.c", Name: "CI 2", EndsAt: &zero}, unprocessable, "invalid_end")
	w.refused(put, one, admin.UserChange{EndsAt: &zero}, unprocessable, "invalid_end")
	w.refused(post, one+"/tokens", admin.NewAPIToken{Name: "zero", EndsAt: &zero}, unprocessable, "invalid_end")
	w.refused(put, "/accounts/Acme/service-period", admin.ServicePeriod{EndsAt: &zero}, unprocessable, "invalid_end")
	w.refused(post, "/accounts", admin.NewAccount{Name: "Zero", ServicePeriod: admin.ServicePeriod{EndsAt: &zero}}, unprocessable, "invalid_end")
	if got := do[admin.User](w, get, one, nil); got.EndsAt == nil || !got.EndsAt.Equal(ends) {
		t.Errorf("after changes that were refused the user is %+v", got)
	}
	w.done(put, one, admin.UserChange{Name: new("CI one"), Roles: []string{"AM_VIEW_ONLY"}, NoEnd: true})
	w.refused(put, one, admin.UserChange{Roles: []string{"root"}}, http.StatusUnprocessableEntity, "invalid_user")
	if got := do[admin.User](w, get, one, nil); got.Name != "CI one" || got.EndsAt != nil || got.Description != "builds" || got.Roles[0] != "AM_VIEW_ONLY" {
		t.Errorf("a changed user is %+v", got)
	}
	k := do[admin.CreatedAPIToken](w, post, one+"/tokens", admin.NewAPIToken{Name: "build", EndsAt: &ends})
	token := "/accounts/Acme/tokens/" + k.ID.String()
	w.refused(post, one+"/tokens", admin.NewAPIToken{Name: "Build"}, http.StatusConflict, "name_taken")
	w.refused(post, one+"/tokens", admin.NewAPIToken{}, http.StatusUnprocessableEntity, "invalid_api_token")
	w.refused(put, token, admin.APITokenChange{EndsAt: &zero}, unprocessable, "invalid_end")
	w.done(put, token, admin.APITokenChange{Name: new("build 2"), NoEnd: true})
	w.done(post, token+"/disable", nil)
	if got := do[admin.APIToken](w, get, token, nil); got.Name != "build 2" || got.State != telamon.Disabled || got.EndsAt != nil || got.User != made.ID {
		t.Errorf("a changed token is %+v", got)
	}
	w.done(post, token+"/enable", nil)
	if list := do[admin.List[admin.APIToken]](w, get, one+"/tokens", nil); len(list.Items) != 2 || list.Items[1].State != telamon.Active {
		t.Errorf("the tokens are %+v", list)
	}
	w.refused(get, "/accounts/telamon_platform/tokens/"+k.ID.String(), nil, http.StatusNotFound, "api_token_not_found")
	w.refused(get, "/accounts/Acme/tokens/build", nil, http.StatusNotFound, "api_token_not_found")
	w.done(del, token, nil)
	w.refused(del, token, nil, http.StatusNotFound, "api_token_not_found")
	w.done(del, one, nil)
	w.refused(get, one+"/tokens", nil, http.StatusNotFound, "user_not_found")
}

func identities(w *world) telamon.IdentityID {
	t := w.t
	draft := do[admin.Identity](w, post, "/accounts/Acme/identities", admin.IdentityData{Name: "Acme", Data: map[string]string{"organization": "Acme"}})
	one := "/accounts/Acme/identities/" + draft.ID.String()
	w.done(put, one, admin.IdentityData{Name: "Acme plc", Data: map[string]string{"organization": "Acme plc"}})
	ends := w.clock.Now().AddDate(1, 0, 0)
	for _, move := range []admin.IdentityMove{{To: telamon.IdentityQueued}, {To: telamon.IdentityProcessed}, {To: telamon.IdentityActive, ExpiresAt: &ends}} {
		w.done(post, one+"/move", move)
	}
	w.refused(post, one+"/move", admin.IdentityMove{To: telamon.IdentityQueued}, http.StatusConflict, "wrong_state")
	w.refused(put, one, admin.IdentityData{Name: "x", Data: map[string]string{"organization": "x"}}, http.StatusConflict, "identity_submitted")
	got := do[admin.Identity](w, get, one, nil)
	if got.State != telamon.IdentityActive || got.Data["organization"] != "Acme plc" || got.ExpiresAt == nil || !got.ExpiresAt.Equal(ends) {
		t.Errorf("the identity is %+v", got)
	}
	if list := do[admin.List[admin.Identity]](w, get, "/accounts/Acme/identities", nil); len(list.Items) != 1 || list.Items[0].ID != draft.ID {
		t.Errorf("the identities are %+v", list)
	}
	return draft.ID
}

// services makes a service, and returns the account's subscription to it and
// another one.
func services(w *world) (subscription, other telamon.SubscriptionID) {
	t := w.t
	spec := admin.ServiceSpec{Name: "ec", Series: "tls-ec", Policy: json.RawMessage(policy)}
	service := do[admin.Service](w, post, "/services", spec)
	if service.Version != 1 || service.Series != "tls-ec" || service.Unlimited {
		t.Errorf("the service is %+v", service)
	}
	spec.Name, spec.Version, spec.Unlimited = "", 1, true
	if changed := do[admin.Service](w, put, "/services/ec", spec); changed.Version != 2 || !changed.Unlimited || changed.Name != "ec" {
		t.Errorf("the changed service is %+v", changed)
	}
	w.refused(put, "/services/ec", spec, http.StatusConflict, "changed_meanwhile")
	if got := do[admin.Service](w, get, "/services/"+service.ID.String(), nil); !json.Valid(got.Policy) || got.Version != 2 {
		t.Errorf("the service is %+v", got)
	}
	spec.Name, spec.Version = "second", 0
	do[admin.Service](w, post, "/services", spec)
	if list := do[admin.List[admin.Service]](w, get, "/services", nil); len(list.Items) != 3 { // one is the platform's own
		t.Errorf("the services are %+v", list)
	}

	const all = "/accounts/Acme/subscriptions"
	first := do[admin.Subscription](w, post, all, admin.NewSubscription{Service: "ec"})
	second := do[admin.Subscription](w, post, all, admin.NewSubscription{Service: "second"})
	if list := do[admin.List[admin.Subscription]](w, get, all, nil); len(list.Items) != 2 || first.Service != service.ID {
		t.Errorf("the subscriptions are %+v", list)
	}
	lots := all + "/" + first.ID.String() + "/lots"
	lot := do[admin.Lot](w, post, lots, admin.NewLot{Amount: 7, EndsAt: w.clock.Now().Add(time.Hour)})
	if list := do[admin.List[admin.Lot]](w, get, lots, nil); len(list.Items) != 1 || list.Items[0] != lot || lot.Amount != 7 || !lot.StartsAt.Equal(w.clock.Now()) {
		t.Errorf("the lots are %+v, want %+v", list, lot)
	}
	return first.ID, second.ID
}

func credentials(w *world, identity telamon.IdentityID, subscription, other telamon.SubscriptionID) {
	t := w.t
	const all = "/accounts/Acme/credentials"
	made := do[admin.CreatedCredential](w, post, all, admin.NewCredential{Name: "robot", Subscription: subscription, Identity: identity})
	if made.APIKey == "" || made.APISecret == "" || made.MTLS != telamon.MTLSRequired || made.Subscription != subscription {
		t.Errorf("the credential is %+v", made.Credential)
	}
	one := all + "/" + made.ID.String()
	w.done(put, one+"/allowed-ips", admin.AllowedIPs{AllowedIPs: []string{"192.0.2.1", "2001:db8::/32"}})
	w.done(post, one+"/disable", nil)
	w.done(post, one+"/relink", admin.Relink{Subscription: other, Identity: identity})
	got := do[admin.Credential](w, get, one, nil)
	if got.State != telamon.Disabled || len(got.AllowedIPs) != 2 || got.Subscription != other || got.Identity != identity {
		t.Errorf("the credential is %+v", got)
	}
	w.done(post, one+"/enable", nil)
	certs := "/accounts/Acme/client-certificates"
	cert := do[admin.IssuedClientCertificate](w, post, certs,
		admin.NewClientCertificate{CSR: csrOf(t, rsaKey()), Credentials: []telamon.CredentialID{made.ID}})
	if leaf := parse(t, cert.Certificate); leaf.PublicKey.(*rsa.PublicKey).N.Cmp(rsaKey().N) != 0 || cert.Chain == "" || cert.KeyReused {
		t.Errorf("the certificate is %+v", cert)
	}
	oneCert := certs + "/" + cert.ID.String()
	w.done(post, oneCert+"/links", admin.Links{Remove: []telamon.CredentialID{made.ID}})
	w.done(post, oneCert+"/links", admin.Links{Add: []telamon.CredentialID{made.ID}})
	w.done(post, oneCert+"/disable", nil)
	if got := do[admin.ClientCertificate](w, get, oneCert, nil); got.State != telamon.Disabled || !slices.Equal(got.Credentials, []telamon.CredentialID{made.ID}) {
		t.Errorf("the certificate is %+v", got)
	}
	w.done(post, oneCert+"/enable", nil)
	w.done(post, oneCert+"/revoke", admin.Revocation{Reason: telamon.ReasonKeyCompromise})
	w.refused(post, oneCert+"/enable", nil, http.StatusConflict, "wrong_state")
	w.refused(post, certs, admin.NewClientCertificate{CSR: csrOf(t, ecKey(t)), Credentials: []telamon.CredentialID{made.ID}},
		http.StatusUnprocessableEntity, "key_not_allowed") // of a type that the configuration does not allow
	w.done(del, one, nil)
	onboarded(w, identity, subscription)
	if list := do[admin.List[admin.Credential]](w, get, all, nil); len(list.Items) != 2 {
		t.Errorf("the credentials are %+v", list)
	}
	if list := do[admin.List[admin.ClientCertificate]](w, get, certs, nil); len(list.Items) != 2 {
		t.Errorf("the certificates are %+v", list)
	}
}

// onboarded takes in a customer who sent a public key, and reads what is sent back.
func onboarded(w *world, identity telamon.IdentityID, subscription telamon.SubscriptionID) {
	t := w.t
	key, err := rsa.GenerateKey(rand.Reader, 2048) // a key that was revoked is not certified again
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	made := do[admin.Onboarding](w, post, "/accounts/Acme/onboard", admin.Onboard{
		NewCredential: admin.NewCredential{Name: "customer", Subscription: subscription, Identity: identity}, PublicKey: text,
	})
	delivered, err := rsa.DecryptOAEP(sha256.New(), nil, key, made.Encrypted, nil)
	if err != nil {
		t.Fatal(err)
	}
	var secret struct {
		Key    string `json:"api_key"`
		Secret string `json:"api_secret"`
	}
	if err := json.Unmarshal(delivered, &secret); err != nil || secret.Key != made.Credential.APIKey || secret.Secret == "" {
		t.Errorf("delivered are %d bytes for %s, %v", len(delivered), made.Credential.APIKey, err)
	}
	if made.DecryptCommand == "" || !slices.Equal(made.ClientCertificate.Credentials, []telamon.CredentialID{made.Credential.ID}) {
		t.Errorf("made %+v", made)
	}
}

func platform(w *world) {
	t := w.t
	issuers := do[admin.List[admin.Issuer]](w, get, "/issuers", nil)
	if len(issuers.Items) != 8 || parse(t, issuers.Items[0].Certificate).Subject.String() != issuers.Items[0].Subject {
		t.Errorf("the issuers are %+v", issuers)
	}
	status := do[admin.Status](w, get, "/status", nil)
	if !status.Ready || status.Database != w.app.Store.Engine() || status.Schema == 0 || status.AuditVerifier == "" {
		t.Errorf("the status is %+v", status)
	}
	events := do[admin.AuditList](w, get, "/audit/events?account=Acme&action=credential.delete&newest=true&limit=10", nil)
	if len(events.Items) != 1 || events.Items[0].Kind != telamon.ActorOperator || events.Items[0].RequestID == "" {
		t.Errorf("the events are %+v", events)
	}
	n, query := 0, "/audit/events?from=2020-01-01T00:00:00Z&to=2999-01-01T00:00:00Z&limit=20&newest=false"
	for next := query; next != ""; {
		page := do[admin.AuditList](w, get, next, nil)
		if n += len(page.Items); len(page.Unreadable) != 0 {
			t.Errorf("%q cannot be read", page.Unreadable)
		}
		if next = ""; page.Next != "" {
			next = query + "&after=" + string(page.Next)
		}
	}
	if n < 30 {
		t.Errorf("page by page, there are %d events", n)
	}
	verified := do[admin.Verification](w, post, "/audit/verify", admin.Verify{})
	if !verified.OK || verified.Events+verified.Pending == 0 || verified.Count != 0 {
		t.Errorf("the log is %+v", verified)
	}
	kept := do[map[string]any](w, get, "/audit/checkpoint", nil)
	if kept["verifier"] != status.AuditVerifier {
		t.Errorf("the checkpoint is %v", kept)
	}
	if text, ok := kept["checkpoint"].(string); ok && text != "" {
		if !do[admin.Verification](w, post, "/audit/verify", admin.Verify{Checkpoints: []string{text}}).OK {
			t.Error("the log does not hold its own checkpoint")
		}
	}
	w.refused(post, "/audit/verify", admin.Verify{Checkpoints: []string{"mine"}}, http.StatusUnprocessableEntity, "checkpoint")
}

// parse returns the first certificate of a PEM text.
func parse(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("no PEM in %.100q", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
