package portal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal"
	"github.com/telamon-ca/telamon/internal/store"
)

// filled is a route's method and path with values for its parameters.
func filled(t *testing.T, pattern string, values map[string]string) (method, path string) {
	t.Helper()
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		t.Fatalf("the route %s has no method", pattern)
	}
	path = strings.ReplaceAll(path, "{$}", "")
	for name, value := range values {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	return method, path
}

// TestStrangers holds that every page of people who have signed in sends others to the
// sign-in, and that a value which is no session's does not help.
func TestStrangers(t *testing.T) {
	w := newTown(t)
	routes := portal.PageRoutes()
	if len(routes) < 25 {
		t.Fatalf("only %d routes: this test proves nothing", len(routes))
	}
	for _, cookie := range []string{"", strings.Repeat("A", 43), "x"} {
		g := w.guest(t)
		if cookie != "" {
			g.header.Set("Cookie", "__Host-session="+cookie)
		}
		for _, pattern := range routes {
			method, path := filled(t, pattern, map[string]string{"id": telamon.NewCredentialID().String(), "serial": telamon.NewSerial(w.clock.Now()).String()})
			a := g.send(t, method, path, url.Values{})
			if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/sign-in") {
				t.Errorf("%s with the cookie %q = %d %v", pattern, cookie, a.status, a.header)
			}
		}
	}
}

// TestForgery holds that no form does anything that another site makes a browser send.
func TestForgery(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	posts := 0
	for _, site := range []string{"cross-site", "same-site"} {
		g.header.Set("Sec-Fetch-Site", site)
		for _, pattern := range append(portal.SignRoutes(), portal.PageRoutes()...) {
			method, path := filled(t, pattern, map[string]string{"id": telamon.NewCredentialID().String(), "value": "x"})
			if method != http.MethodPost {
				continue
			}
			posts++
			if a := g.send(t, method, path, url.Values{}); a.status != http.StatusForbidden {
				t.Errorf("%s from another site = %d", pattern, a.status)
			}
		}
	}
	if posts < 20 {
		t.Errorf("only %d forms were sent", posts)
	}
	g.header.Set("Sec-Fetch-Site", "same-origin")
	if a := g.get(t, "/"); a.status != http.StatusOK {
		t.Errorf("the session has ended: %d", a.status)
	}
}

// made makes a credential and a certificate in the portal, and returns their IDs.
func (g *guest) made(t *testing.T, account telamon.AccountID, name string) (credential, cert string) {
	t.Helper()
	w, ctx := g.town, t.Context()
	offers := got(w.iam.Offers(ctx, townOperator, account))(t)
	identities := got(w.iam.Identities(ctx, townOperator, account, store.Page{Limit: 10}))(t)
	g.post(t, http.StatusOK, "/credentials/new", "delivery", "view", "service", offers[0].Subscription.ID.String(),
		"identity", identities[0].ID.String(), "name", name, "mtls", "required")
	for _, k := range got(w.iam.Credentials(ctx, townOperator, account, store.Page{Limit: 10}))(t) {
		if k.Name == name {
			credential = k.ID.String()
		}
	}
	a := g.post(t, http.StatusSeeOther, "/mtls/new", "connect", "direct", "credential", credential, "csr", newCSR(t))
	cert, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Location"), "/mtls/"), "?")
	return credential, cert
}

// TestIsolation holds that what belongs to another account is not found, on every route
// that names it, and that nothing happens to it.
func TestIsolation(t *testing.T) {
	w := newTown(t)
	owner := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	credential, cert := owner.made(t, account, "metering_prod")
	invitation := got(w.signin.Invite(t.Context(), townOperator, account, "metering_prod@northwind.example", "en", []string{"finance"}))(t)
	domain := strings.TrimPrefix(owner.claim(t, w.domainService(t, account), "domain", "metering.example.com"), "/domains/")
	other := w.admin(t, "eve@globex.example", "Globex")
	tried := 0
	for _, pattern := range portal.PageRoutes() {
		if !strings.Contains(pattern, "{id}") {
			continue
		}
		tried++
		id := credential
		switch {
		case strings.Contains(pattern, "/mtls/"):
			id = cert
		case strings.Contains(pattern, "/members/invitations/"):
			id = invitation.ID.String()
		case strings.Contains(pattern, "/identities/"):
			id = got(w.iam.Identities(t.Context(), townOperator, account, store.Page{Limit: 1}))(t)[0].ID.String()
		case strings.Contains(pattern, "/members/"):
			id = w.userOf(t, ada).String()
		case strings.Contains(pattern, "/domains/"):
			id = domain
		}
		method, path := filled(t, pattern, map[string]string{"id": id})
		if a := other.send(t, method, path, url.Values{"allowed_ips": {"192.0.2.1"}, "sure": {"yes"}, "credential": {credential}}); a.status != http.StatusNotFound || strings.Contains(a.body, "metering_prod") {
			t.Errorf("%s of another account = %d", pattern, a.status)
		}
		for _, bad := range []string{"x", "crd_", id + "x", strings.ToUpper(id), telamon.NewAccountID().String()} {
			method, path := filled(t, pattern, map[string]string{"id": bad})
			if a := owner.send(t, method, path, url.Values{}); a.status != http.StatusNotFound {
				t.Errorf("%s of %q = %d", pattern, bad, a.status)
			}
		}
	}
	if tried < 12 {
		t.Errorf("only %d routes were tried", tried)
	}
	if a := other.post(t, http.StatusSeeOther, "/mtls/new", "connect", "direct", "credential", credential, "csr", newCSR(t)); strings.Contains(a.header.Get("Location"), "mtl_") {
		t.Error("a certificate is linked to another account's credential")
	}
	for _, path := range []string{"/credentials/" + credential, "/mtls/" + cert} {
		if a := owner.get(t, path); a.status != http.StatusOK || !strings.Contains(a.body, `class="state good"`) {
			t.Errorf("%s = %d, and is no longer as it was", path, a.status)
		}
	}
	if a := other.get(t, "/"); strings.Contains(a.body, "metering_prod") || strings.Contains(a.body, "Northwind") {
		t.Error("the dashboard of another account tells of this one")
	}
}

// TestRoles holds that a role which may only read sees lists and no buttons, and is
// refused whatever would change something.
func TestRoles(t *testing.T) {
	w := newTown(t)
	owner := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	credential, cert := owner.made(t, account, "metering_prod")
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	for path, want := range map[string]int{
		"/": 200, "/services": 200, "/identities": 200, "/credentials": 200, "/mtls": 200, "/credentials/" + credential: 200, "/mtls/" + cert: 200, "/mtls/" + cert + "/certificate.cer": 200,
		"/credentials/new": 403, "/mtls/new": 403, "/credentials/" + credential + "/delete": 403, "/mtls/" + cert + "/revoke": 403,
		"/credentials/" + credential + "/addresses": 403,
	} {
		a := reader.get(t, path)
		if a.status != want {
			t.Errorf("GET %s = %d, want %d", path, a.status, want)
		}
		for _, act := range []string{"/new\"", "/delete\"", "/revoke\"", "/disable\"", "/addresses\""} {
			if want == 200 && strings.Contains(a.body, act) {
				t.Errorf("%s leads to %s", path, act)
			}
		}
	}
	reader.post(t, http.StatusForbidden, "/credentials/"+credential+"/delete")
	reader.post(t, http.StatusForbidden, "/mtls/"+cert+"/revoke")
	finance := w.member(t, account, "finance@northwind.example", "finance")
	if a := finance.get(t, "/"); a.status != http.StatusOK || strings.Contains(a.body, `href="/credentials"`) {
		t.Errorf("the dashboard of a role without credentials = %d, or leads there", a.status)
	}
	if a := finance.get(t, "/credentials"); a.status != http.StatusForbidden {
		t.Errorf("its credentials = %d", a.status)
	}
}

// TestSessionCookie holds what the cookie is, and that signing out ends the session for
// whoever has its value.
func TestSessionCookie(t *testing.T) {
	w := newTown(t)
	w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	g := w.member(t, account, "reader@northwind.example", "read_only")
	signIn := g.post(t, http.StatusSeeOther, "/sign-in", "email", "reader@northwind.example", "password", horse, "next", "//evil.example/x")
	cookie := signIn.header.Get("Set-Cookie")
	for _, want := range []string{"__Host-session=", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie is %q, without %s", cookie, want)
		}
	}
	if strings.Contains(cookie, "Domain") || strings.Contains(cookie, "Expires") || signIn.header.Get("Location") != "/" {
		t.Errorf("the cookie is %q, and the way goes on to %q", cookie, signIn.header.Get("Location"))
	}
	if page := g.get(t, "/credentials"); page.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a page may be stored: %v", page.header)
	}
	value := regexp.MustCompile(`__Host-session=([^;]+)`).FindStringSubmatch(cookie)[1]
	g.post(t, http.StatusSeeOther, "/sign-out")
	thief := w.guest(t)
	thief.header.Set("Cookie", "__Host-session="+value)
	if a := thief.get(t, "/"); a.status != http.StatusSeeOther {
		t.Errorf("after signing out, the session's value = %d", a.status)
	}
	if log := w.log.String(); strings.Contains(log, value) {
		t.Error("the log holds a session's value")
	}
}

// TestSecretOnce holds that a secret is on one page and on no other, and that a name which
// is taken, or no name, makes nothing.
func TestSecretOnce(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	offers := got(w.iam.Offers(t.Context(), townOperator, account))(t)
	identities := got(w.iam.Identities(t.Context(), townOperator, account, store.Page{Limit: 10}))(t)
	create := func(status int, name string, more ...string) answer {
		return g.post(t, status, "/credentials/new", append([]string{"service", offers[0].Subscription.ID.String(),
			"identity", identities[0].ID.String(), "name", name, "mtls", "none", "delivery", "view"}, more...)...)
	}
	secret := regexp.MustCompile(`>([0-9a-f]{40})<`).FindStringSubmatch(create(http.StatusOK, "one").body)
	if secret == nil {
		t.Fatal("the page has no secret")
	}
	for _, name := range []string{"one", "", "Two", "a b", strings.Repeat("a", 65)} {
		if a := create(http.StatusUnprocessableEntity, name); !strings.Contains(a.body, "error-summary") || !strings.Contains(a.body, `aria-invalid="true"`) {
			t.Errorf("the name %q is refused without a word", name)
		}
	}
	credentials := got(w.iam.Credentials(t.Context(), townOperator, account, store.Page{Limit: 10}))(t)
	if len(credentials) != 1 {
		t.Errorf("there are %d credentials, want one", len(credentials))
	}
	for _, path := range []string{"/", "/credentials", "/credentials/" + credentials[0].ID.String(), "/credentials/new"} {
		if strings.Contains(g.get(t, path).body, secret[1]) {
			t.Errorf("%s has the secret", path)
		}
	}
	if strings.Contains(w.log.String(), secret[1]) {
		t.Error("the log has the secret")
	}
}

// TestPrivateKey holds that a private key where a CSR belongs is refused and neither
// kept, logged nor sent back.
func TestPrivateKey(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	credential, _ := g.made(t, account, "metering_prod")
	der := got(x509.MarshalPKCS8PrivateKey(got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)))(t)
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE" + " KEY", Bytes: der}))
	inside := strings.Split(key, "\n")[1]
	for _, text := range []string{key, newCSR(t) + key} {
		a := g.post(t, http.StatusUnprocessableEntity, "/mtls/new", "connect", "direct", "credential", credential, "csr", text)
		if strings.Contains(a.body, inside) || !strings.Contains(a.body, "private key") {
			t.Error("a private key is sent back, or is not called one")
		}
		if a := g.post(t, http.StatusOK, "/mtls/inspect", "csr", text); strings.Contains(a.body, inside) || !strings.Contains(a.body, "private key") {
			t.Error("the inspection sends a private key back, or does not call it one")
		}
	}
	for _, text := range []string{"", "x", newCSR(t) + newCSR(t), strings.Replace(newCSR(t), "M", "N", 1)} {
		a := g.post(t, http.StatusUnprocessableEntity, "/mtls/new", "connect", "direct", "credential", credential, "csr", text)
		if !strings.Contains(a.body, "f-csr-error") {
			t.Errorf("of the CSR %.20q nothing is said", text)
		}
	}
	if strings.Contains(w.log.String(), inside) {
		t.Error("the log holds the key")
	}
}

// TestAllowedAddresses holds that a list without one's own address has to be confirmed.
func TestAllowedAddresses(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	credential, _ := g.made(t, account, "metering_prod")
	path := "/credentials/" + credential + "/addresses"
	if a := g.post(t, http.StatusUnprocessableEntity, path, "allowed_ips", "192.0.2.0/24"); !strings.Contains(a.body, "127.0.0.1") || !strings.Contains(a.body, "192.0.2.0/24") {
		t.Error("the page does not name one's own address, or has lost the list")
	}
	if a := g.post(t, http.StatusUnprocessableEntity, path, "allowed_ips", "no address", "sure", "yes"); !strings.Contains(a.body, "no address") {
		t.Error("the page has lost what was typed")
	}
	g.post(t, http.StatusSeeOther, path, "allowed_ips", "192.0.2.0/24", "sure", "yes")
	g.post(t, http.StatusSeeOther, path, "allowed_ips", "127.0.0.0/8\n2001:db8::1")
	page := g.get(t, "/credentials/"+credential).body
	if !strings.Contains(page, "127.0.0.0/8") || !strings.Contains(page, "2001:db8::1<") || strings.Contains(page, "192.0.2") {
		t.Errorf("the page does not show the list")
	}
}

// TestLinks holds that a certificate is linked to what is ticked, to one credential at
// least, and to nobody else's.
func TestLinks(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	first, cert := g.made(t, account, "metering_prod")
	second, _ := g.made(t, account, "billing")
	linked := func() string {
		k := got(w.iam.ClientCert(t.Context(), townOperator, account, telamon.ClientCertID(cert)))(t)
		var list []string
		for _, id := range k.Credentials {
			list = append(list, strings.ReplaceAll(strings.ReplaceAll(id.String(), first, "first"), second, "second"))
		}
		return strings.Join(list, " ")
	}
	path := "/mtls/" + cert + "/credentials"
	if page := g.get(t, path); page.status != http.StatusOK || !strings.Contains(page.body, "billing") {
		t.Fatalf("the page = %d, without the other credential", page.status)
	}
	for _, tt := range []struct {
		status int
		chosen []string
		want   string
	}{
		{http.StatusSeeOther, []string{first, second}, "first second"}, {http.StatusSeeOther, []string{second}, "second"},
		{http.StatusUnprocessableEntity, nil, "second"}, {http.StatusNotFound, []string{second, "crd_x"}, "second"},
		{http.StatusNotFound, []string{second, telamon.NewCredentialID().String()}, "second"}, {http.StatusSeeOther, []string{second}, "second"},
	} {
		var pairs []string
		for _, id := range tt.chosen {
			pairs = append(pairs, "credential", id)
		}
		g.post(t, tt.status, path, pairs...)
		if got := linked(); got != tt.want {
			t.Errorf("after %q was chosen it is linked to %q, want %q", tt.chosen, got, tt.want)
		}
	}
}

// TestGerman holds that pages are in German for those who ask for it or choose it, every
// word of the catalogue's.
func TestGerman(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	credential, cert := g.made(t, account, "metering_prod")
	a := g.post(t, http.StatusSeeOther, "/language", "language", "de", "next", "/mtls?q=x")
	if a.header.Get("Location") != "/mtls?q=x" || !strings.Contains(g.get(t, "/").body, `lang="de"`) {
		t.Errorf("a chosen language is not kept, or one goes on to %q", a.header.Get("Location"))
	}
	g.post(t, http.StatusSeeOther, "/language", "language", "xx", "next", "//evil.example")
	g.post(t, http.StatusSeeOther, "/language", "language", "en")
	if !strings.Contains(g.get(t, "/").body, `<html lang="en">`) {
		t.Error("English is not chosen")
	}
	g.post(t, http.StatusSeeOther, "/language", "language", "de")
	stranger := w.guest(t)
	stranger.header.Set("Accept-Language", "de-CH, en;q=0.5")
	if !strings.Contains(stranger.get(t, "/sign-in").body, "Anmelden") {
		t.Error("the sign-in is not in German")
	}
	for _, path := range []string{"/", "/services", "/identities", "/settings", "/credentials", "/credentials/" + credential, "/credentials/new", "/mtls", "/mtls/" + cert, "/mtls/new", "/credentials/none"} {
		a := g.get(t, path)
		if !strings.Contains(a.body, `<html lang="de">`) {
			t.Errorf("%s is not in German", path)
		}
		for _, word := range []string{">Active<", ">Sign out<", "credential is", "The ", "Generate"} {
			if strings.Contains(a.body, word) {
				t.Errorf("%s says %q", path, word)
			}
		}
	}
}

func TestOwnPath(t *testing.T) {
	for text, want := range map[string]string{
		"/credentials": "/credentials", "/mtls?state=active&q=x": "/mtls?state=active&q=x", "": "/", "credentials": "/", "//evil.example": "/", "/\\evil.example": "/",
		"https://evil.example/": "/", "javascript:alert(1)": "/", "/x\r\nSet-Cookie: a=b": "/", "/" + strings.Repeat("a", 2000): "/", "///evil.example": "/",
		"/%2f/evil.example": "/",
	} {
		if got := portal.OwnPath(text); got != want {
			t.Errorf("from %q one goes on to %q, want %q", text, got, want)
		}
	}
}

// FuzzOwnPath holds that whatever somebody wanted to open, a browser stays on this host.
func FuzzOwnPath(f *testing.F) {
	f.Add("/credentials?q=a#b")
	base, err := url.Parse("https://portal.example/sign-in")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := portal.OwnPath(text)
		u, err := base.Parse(path)
		if err != nil || u.Host != base.Host || u.Scheme != "https" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n") {
			t.Errorf("from %q one goes on to %q", text, path)
		}
		if again := portal.OwnPath(path); again != path {
			t.Errorf("%q becomes %q", path, again)
		}
	})
}

// TestRelink holds that a credential is moved to another service or identity that fits, and
// that what does not fit is neither offered nor done.
func TestRelink(t *testing.T) {
	w := newTown(t)
	owner := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account, ctx := w.accountOf(t, ada), t.Context()
	w.equip(t, account)
	credential, _ := owner.made(t, account, "metering_prod")
	second := got(w.iam.CreateIdentity(ctx, townOperator, account, "Northwind B.V.", map[string]string{"organization": "Northwind B.V."}))(t)
	for _, to := range []telamon.IdentityState{telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive} {
		must(t, w.iam.MoveIdentity(ctx, townOperator, account, second.ID, iam.IdentityMove{To: to, Reason: "a test"}))
	}
	draft := got(w.iam.CreateIdentity(ctx, townOperator, account, "Still a draft", map[string]string{"organization": "Draft"}))(t)
	path, sub := "/credentials/"+credential+"/relink", got(w.iam.Offers(ctx, townOperator, account))(t)[0].Subscription.ID.String()
	if a := owner.get(t, "/credentials/"+credential); !strings.Contains(a.body, path) {
		t.Error("the page of the credential does not lead there")
	}
	if a := owner.get(t, path); !strings.Contains(a.body, `value="`+sub+`" checked`) {
		t.Errorf("the first question is %s", a.body)
	}
	question := owner.get(t, path+"?service="+sub).body
	if !strings.Contains(question, second.ID.String()) || strings.Contains(question, draft.ID.String()) || !strings.Contains(question, "tokens end at once") {
		t.Errorf("the second question is %s", question)
	}
	owner.post(t, http.StatusSeeOther, path, "service", sub, "identity", draft.ID.String())
	owner.post(t, http.StatusNotFound, path, "service", sub, "identity", telamon.NewIdentityID().String())
	if body := owner.get(t, "/credentials/"+credential).body; !strings.Contains(body, "Northwind OV") {
		t.Errorf("what was refused changed %s", body)
	}
	owner.post(t, http.StatusSeeOther, path, "service", sub, "identity", second.ID.String())
	if body := owner.get(t, "/credentials/"+credential).body; !strings.Contains(body, "Northwind B.V.") {
		t.Errorf("it speaks for %s", body)
	}
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	reader.post(t, http.StatusForbidden, path, "service", sub, "identity", second.ID.String())
	if a := reader.get(t, path); a.status != http.StatusForbidden {
		t.Errorf("the question to a reader = %d", a.status)
	}
}

// TestEncryptedDelivery holds that the file of a credential opens with the command of the
// page and the customer's key alone, and that the secret is nowhere in the page.
func TestEncryptedDelivery(t *testing.T) {
	w := newTown(t)
	owner := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	offers := got(w.iam.Offers(t.Context(), townOperator, account))(t)
	identities := got(w.iam.Identities(t.Context(), townOperator, account, store.Page{Limit: 10}))(t)
	dir := t.TempDir()
	openssl := func(args ...string) []byte {
		c := exec.CommandContext(t.Context(), "openssl", args...)
		c.Dir = dir
		return got(c.Output())(t)
	}
	openssl("genrsa", "-out", "key.pem", "2048")
	public := string(openssl("pkey", "-in", "key.pem", "-pubout"))
	body := owner.post(t, http.StatusOK, "/credentials/new", "delivery", "file", "service", offers[0].Subscription.ID.String(),
		"identity", identities[0].ID.String(), "name", "metering_prod", "mtls", "required", "public_key", public).body
	file := regexp.MustCompile(`href="data:application/octet-stream;base64,([A-Za-z0-9+/=]+)"`).FindStringSubmatch(html.UnescapeString(body))
	if file == nil || !strings.Contains(html.UnescapeString(body), iam.DecryptCommand) {
		t.Fatalf("the page has no file or no command: %s", body)
	}
	must(t, os.WriteFile(filepath.Join(dir, "credential.enc"), got(base64.StdEncoding.DecodeString(file[1]))(t), 0o600))
	var opened struct {
		Key    string `json:"api_key"`
		Secret string `json:"api_secret"`
	}
	must(t, json.Unmarshal(openssl(strings.Fields(iam.DecryptCommand)[1:]...), &opened))
	if len(opened.Key) != 16 || len(opened.Secret) != 40 || !strings.Contains(body, opened.Key) {
		t.Errorf("the file holds %+v", opened)
	}
	pages := body + owner.get(t, "/credentials").body + w.log.String()
	if strings.Contains(pages, opened.Secret) || strings.Contains(body, "data-secret-value") {
		t.Error("the secret is in a page or in the log")
	}
}
