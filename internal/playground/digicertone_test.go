package playground_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
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
	c, token := w.connectONE(), w.Description.DigiCertONE.APIKey
	lookup, secret, _ := strings.Cut(token, "_")
	s.text("API token", secret)
	wrong := strings.Repeat("fedcba98", 8)
	s.text("wrong API token", wrong)
	if a := c.ask(t, token, http.MethodGet, "/mpki/api/v1/hello", ""); a.status != http.StatusOK {
		t.Errorf("hello: %s", a)
	}
	pair := "/signingmanager/api/v1/keypairs/" + w.Description.DigiCertONE.KeyPairID
	if a := c.ask(t, token, http.MethodGet, pair, ""); a.status != http.StatusOK {
		t.Errorf("the key pair: %s", a)
	}
	if a := c.ask(t, token, http.MethodPost, pair+"/sign", `{"sig_alg":"SHA256withECDSA","hash":""}`); a.status != http.StatusForbidden {
		t.Errorf("a signature for a mere token: %s", a)
	}
	for name, a := range map[string]*answer{
		"a wrong token":        c.ask(t, lookup+"_"+wrong, http.MethodGet, "/mpki/api/v1/hello", ""),
		"half a token":         c.ask(t, secret, http.MethodGet, "/mpki/api/v1/hello", ""),
		"a token in the query": c.ask(t, "", http.MethodGet, "/mpki/api/v1/hello?x-api-key="+token, ""),
		"a token for a path":   c.ask(t, token, http.MethodGet, "/account/api/v1/account/"+secret, ""),
	} {
		if a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %s", name, a)
		}
	}
}
