package openid_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/openid"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestHostileProvider asks providers that do not answer as one should. A whole sign-in is
// in the tests of package signin.
func TestHostileProvider(t *testing.T) {
	asked := 0
	var server *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/moved/.well-known/openid-configuration", http.StatusFound)
	})
	mux.HandleFunc("/moved/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Write([]byte(`{"issuer":"` + server.URL + `"}`))
	})
	mux.HandleFunc("/large/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"issuer":"` + server.URL + `/large","x":"` + strings.Repeat("x", 2<<20) + `"}`))
	})
	mux.HandleFunc("/other/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"issuer":"https://another.example"}`))
	})
	for path, endpoints := range map[string]string{
		"/plain":  `"authorization_endpoint":"https://idp.example/a","token_endpoint":"http://idp.example/t","jwks_uri":"https://idp.example/k"`,
		"/script": `"authorization_endpoint":"javascript:alert(1)","token_endpoint":"https://idp.example/t","jwks_uri":"https://idp.example/k"`,
		"/keys":   `"authorization_endpoint":"https://idp.example/a","token_endpoint":"https://idp.example/t","jwks_uri":"file:///etc/passwd"`,
		"/few":    `"authorization_endpoint":"https://idp.example/a","jwks_uri":"https://idp.example/k"`,
	} {
		mux.HandleFunc(path+"/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"issuer":"` + server.URL + path + `",` + endpoints + `}`))
		})
	}
	server = httptest.NewTLSServer(mux)
	defer server.Close()
	loopback := openid.NewHTTP(&egress.Dialer{Policy: egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	loopback.Transport.(*http.Transport).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	clock := testkit.NewClock(t, "2026-11-30T12:00:00Z")
	client := openid.New(loopback, clock)
	for _, path := range []string{"", "/large", "/other", "/none", "/plain", "/script", "/keys", "/few"} {
		if err := client.Check(t.Context(), server.URL+path); err == nil {
			t.Errorf("%q answers as a provider", path)
		}
	}
	if asked != 0 {
		t.Error("a redirect was followed")
	}
	if _, err := client.Page(t.Context(), &openid.Provider{Issuer: server.URL + "/large"}, "state", openid.Flow{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Page = %v, want an unavailable provider", err)
	}
	public := openid.New(openid.NewHTTP(&egress.Dialer{Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
	}}), clock)
	for _, issuer := range []string{server.URL, "https://metadata.example", "https://[::1]:8443"} {
		err := public.Check(t.Context(), issuer)
		if _, denied := errors.AsType[*egress.DeniedError](err); !denied {
			t.Errorf("%s was asked: %v", issuer, err)
		}
	}
}
