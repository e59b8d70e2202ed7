package portal_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/testkit/idp"
)

// TestProvider signs in at the account's provider, by the pages: what the provider says
// counts, in the browser that was sent there, once, and by the algorithm of its keys alone.
func TestProvider(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	p := idp.New(t, w.clock, ada)
	admin := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada).String()
	mustSay(t, admin.get(t, "/settings/sign-in").body, `name="client_secret"`, w.url+signin.OIDCPath)
	set := []string{"issuer", p.Server.URL, "client_id", idp.ClientID, "client_secret", idp.ClientSecret, "accepts_mfa", "yes"}
	admin.post(t, http.StatusSeeOther, "/settings/sign-in", set...)
	if page := admin.get(t, "/settings/sign-in").body; strings.Contains(page, idp.ClientSecret) || !strings.Contains(page, p.Server.URL) {
		t.Error("the settings show the secret, or not the provider")
	}

	// begin goes to the provider and returns how a browser comes back from there.
	begin := func(g *guest) string {
		t.Helper()
		to := g.post(t, http.StatusSeeOther, "/sign-in/oidc", "account", account, "next", "/members").header.Get("Location")
		mustSay(t, g.get(t, to).body, strings.TrimPrefix(p.Server.URL, "https://"))
		a := g.get(t, strings.Replace(to, "?", "/begin?", 1))
		if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), p.Server.URL+"/authorize?") {
			t.Fatalf("the way to the provider is %d %v", a.status, a.header)
		}
		state, code := p.Authorize(t, a.header.Get("Location"), w.url+signin.OIDCPath)
		return signin.OIDCPath + "?" + url.Values{"state": {state}, "code": {code}}.Encode()
	}
	refused := func(name string, a answer) {
		t.Helper()
		if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/sign-in/oidc?") || !strings.Contains(a.header.Get("Location"), "problem=refused") {
			t.Errorf("%s = %d %v", name, a.status, a.header)
		}
	}

	p.Claims["amr"] = []string{"pwd", "mfa"}
	g := w.guest(t)
	back := begin(g)
	refused("another browser", w.guest(t).get(t, back))
	back = begin(g)
	if a := g.get(t, back); a.status != http.StatusSeeOther || a.header.Get("Location") != "/members" {
		t.Fatalf("coming back = %d %v", a.status, a.header)
	}
	mustSay(t, g.get(t, "/members").body, ada)
	refused("the same code again", g.get(t, back))

	der, err := x509.MarshalPKIXPublicKey(p.Key.Public())
	must(t, err)
	right := p.Sign
	p.Sign = p.Signer(jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	stranger := w.guest(t)
	refused("a token signed with the public key", stranger.get(t, begin(stranger)))
	p.Sign = right
	p.Claims["nonce"] = "of another sign-in"
	refused("the nonce of another", stranger.get(t, begin(stranger)))
	if a := stranger.get(t, "/members"); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/sign-in") {
		t.Errorf("after what was refused, the members are shown: %d", a.status)
	}
}
