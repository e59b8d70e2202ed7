package playground_test

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// connectONE returns a client of the API of DigiCert ONE that shows these certificates on
// the face that asks for one, or calls the other one without any. Its names are not looked
// up.
func (w *world) connectONE(certs ...tls.Certificate) *client {
	w.t.Helper()
	one := w.Description.DigiCertONE
	base := one.BaseURL
	if len(certs) > 0 {
		base = one.ClientAuthURL
	}
	u, err := url.Parse(base)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: certs, RootCAs: w.roots()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", u.Port()))
		},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &client{http: &http.Client{Transport: transport, Timeout: patience}, url: base}
}

// ask sends a request with an API token, unless it is empty.
func (c *client) ask(t *testing.T, token, method, path, body string) *answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("X-Api-Key", token)
	}
	return c.send(r)
}

// workAsServiceUser does what service users do, well and badly.
func (w *world) workAsServiceUser(t *testing.T, s secrets) {
	t.Helper()
	const account = "/account/api/v1"
	c, token := w.connectONE(), w.Description.DigiCertONE.APIKey
	must := func(a *answer, status int) *answer {
		t.Helper()
		if a.status != status {
			t.Fatalf("the answer is %s, want %d", a, status)
		}
		return a
	}
	keep := func(name, token string) (lookup, secret string) {
		lookup, secret, _ = strings.Cut(token, "_")
		s.text(name, secret)
		return lookup, secret
	}
	lookup, secret := keep("API token", token)
	must(c.ask(t, token, http.MethodGet, account+"/user/me", ""), http.StatusOK)
	made := must(c.ask(t, token, http.MethodPost, account+"/api-access-token", `{"name":"second"}`), http.StatusCreated)
	keep("API token of one's own", made.member("token"))
	made = must(c.ask(t, token, http.MethodPost, account+"/user", `{"user_type":"service","friendly_name":"other","email":"a@b.example",`+
		`"accounts":[{"id":"`+c.account(t, token)+`"}],"role_ids":[]}`), http.StatusCreated)
	keep("API token of a new user", made.member("api_token"))

	// A certificate whose key is made by the server: password and token are shown once.
	made = must(c.ask(t, token, http.MethodPost, account+"/client-auth-certificate/generate", `{"name":"made here","end_date":"`+
		w.clock.Now().AddDate(0, 1, 0).Format(time.DateOnly)+`","encryption":"AES","signature_hash":"SHA-256"}`), http.StatusCreated)
	password, download := made.member("password"), made.member("download_token")
	file := account + "/client-auth-certificate/" + made.member("id") + "/p12?token="
	packed := must(c.ask(t, token, http.MethodGet, file+download, ""), http.StatusOK)
	must(c.ask(t, token, http.MethodGet, file+download, ""), http.StatusNotFound)
	private, leaf, _, err := pkcs12.DecodeChain(packed.body, password)
	key, ok := private.(*rsa.PrivateKey)
	if err != nil || !ok {
		t.Fatalf("the file holds %T, %v", private, err)
	}
	s["download token"], s["PKCS #12 file"] = []byte(download), packed.body[len(packed.body)/2:][:48]
	s["password of the file, after its name"] = []byte(`password":"` + password) // which is short
	s.key("key that was made here", key)
	must(w.connectONE(tlsCertificate(leaf.Raw, key)).ask(t, "", http.MethodGet, account+"/user/me", ""), http.StatusOK)

	wrong := strings.Repeat("fedcba98", 8)
	s.text("wrong API token", wrong)
	for name, a := range map[string]*answer{
		"a wrong token":         c.ask(t, lookup+"_"+wrong, http.MethodGet, account+"/user/me", ""),
		"half a token":          c.ask(t, secret, http.MethodGet, account+"/user/me", ""),
		"a token in the query":  c.ask(t, "", http.MethodGet, account+"/user/me?x-api-key="+token, ""),
		"a token for a path":    c.ask(t, token, http.MethodGet, account+"/account/"+secret, ""),
		"a token for a CSR":     c.ask(t, token, http.MethodPost, account+"/client-auth-certificate", `{"csr":"`+token+`","name":"x"}`),
		"a token for an end":    c.ask(t, token, http.MethodPost, account+"/api-access-token", `{"name":"x","end_date":"`+token+`"}`),
		"a token for a filter":  c.ask(t, token, http.MethodGet, account+"/audit-log?from="+token, ""),
		"a token as a bearer's": (&client{http: c.http, url: c.url, token: token}).do(http.MethodGet, account+"/user/me", nil),
	} {
		if a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %s", name, a)
		}
	}
}

// account returns the ID of the account of a token's user.
func (c *client) account(t *testing.T, token string) string {
	t.Helper()
	return c.ask(t, token, http.MethodGet, "/account/api/v1/user/me", "").member("primary_account_id")
}
