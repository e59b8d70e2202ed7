// Package idp is a small OpenID provider on loopback, for tests: discovery, keys,
// authorization with PKCE and the exchange of codes. It shows nobody a page.
package idp

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/telamon-ca/telamon"
)

// What the provider knows its client by.
const (
	ClientID     = "telamon"
	ClientSecret = "the provider's secret"
)

// A Provider signs one person in, whose address is verified.
type Provider struct {
	Server *httptest.Server
	Key    *rsa.PrivateKey

	Claims map[string]any // laid over those of a right token
	Sign   func(t testing.TB, payload []byte) string

	clock telamon.Clock
	email string
	t     testing.TB
	codes map[string]url.Values // what a code was asked for with
}

// New starts a provider. It ends with the test.
func New(t testing.TB, clock telamon.Clock, email string) *Provider {
	t.Helper()
	p := &Provider{clock: clock, email: email, t: t, codes: map[string]url.Values{}, Claims: map[string]any{}}
	p.Key = got(rsa.GenerateKey(rand.Reader, 2048))(t)
	p.Sign = p.Signer(jose.RS256, p.Key)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.json(w, map[string]any{
			"issuer": p.Server.URL, "authorization_endpoint": p.Server.URL + "/authorize", "token_endpoint": p.Server.URL + "/token",
			"jwks_uri": p.Server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.json(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.Key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Server.Close)
	return p
}

func (p *Provider) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	must(p.t, json.NewEncoder(w).Encode(v))
}

// Signer signs tokens by another algorithm or key.
func (p *Provider) Signer(algorithm jose.SignatureAlgorithm, key any) func(testing.TB, []byte) string {
	return func(t testing.TB, payload []byte) string {
		t.Helper()
		signer := got(jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil))(t)
		return got(got(signer.Sign(payload))(t).CompactSerialize())(t)
	}
}

// Authorize is the person's browser at the provider: it returns the state and the code with
// which it is sent back to redirect.
func (p *Provider) Authorize(t testing.TB, page, redirect string) (state, code string) {
	t.Helper()
	asked := got(url.Parse(page))(t).Query()
	if asked.Get("code_challenge_method") != "S256" || asked.Get("nonce") == "" || asked.Get("response_type") != "code" ||
		asked.Get("redirect_uri") != redirect || asked.Get("client_id") != ClientID {
		t.Fatalf("the provider is asked by %v", asked)
	}
	code = rand.Text()
	p.codes[code] = asked
	return asked.Get("state"), code
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if unescaped, err := url.QueryUnescape(secret); err == nil { // RFC 6749, Section 2.3.1
		secret = unescaped
	}
	asked, ok := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || id != ClientID || secret != ClientSecret || base64.RawURLEncoding.EncodeToString(challenge[:]) != asked.Get("code_challenge") {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	claims := map[string]any{
		"iss": p.Server.URL, "aud": ClientID, "sub": "248289761001", "nonce": asked.Get("nonce"), "email": p.email, "email_verified": true,
		"iat": p.clock.Now().Unix(), "exp": p.clock.Now().Add(5 * time.Minute).Unix(),
	}
	maps.Copy(claims, p.Claims)
	payload := got(json.Marshal(claims))(p.t)
	p.json(w, map[string]any{"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": p.Sign(p.t, payload)})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got returns a function that gives the value, or ends the test if there is an error.
func got[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}
