package digicertone

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/web"
)

// Paths that the tests ask for, and what they send in headers.
const (
	accountPath    = "/account/api/v1/account"
	helloPath      = "/mpki/api/v1/hello"
	transaction    = "0190a5d2-7c1e-7f00-8a2b-0123456789AB"
	noTransaction  = "0190a5d2-7c1e-7f00-8a2b-0123456789AB\" level=ERROR"
	preflightAsked = "Access-Control-Request-Method"
)

// TestStrangers holds what each face answers to a caller who shows nothing of worth, over
// both versions of HTTP and of TLS; and that none of it ends in an error of TLS.
func TestStrangers(t *testing.T) {
	w := newWorld(t, nil)
	expired := &x509.Certificate{NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0)}
	keys := map[string]crypto.Signer{"no certificate": nil}
	_, keys["Ed25519"], _ = ed25519.GenerateKey(rand.Reader)
	keys["RSA"] = got(rsa.GenerateKey(rand.Reader, 2048))(t)
	certs := map[string]*tls.Certificate{
		"no certificate": nil,
		"self-signed":    newCertificate(t, nil, &x509.Certificate{}),
		"expired":        newCertificate(t, nil, expired),
		"for servers":    newCertificate(t, nil, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}),
		"Ed25519":        newCertificate(t, keys["Ed25519"], &x509.Certificate{}),
		"RSA":            newCertificate(t, keys["RSA"], &x509.Certificate{}),
	}
	two := *certs["self-signed"]
	two.Certificate = append(two.Certificate, certs["expired"].Certificate...)
	certs["two certificates"] = &two
	for name, cert := range certs {
		for _, c := range []client{{}, {http11: true}, {tls12: true}} {
			c.cert = cert
			for _, c.auth = range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, clientauth %v, HTTP/1.1 %v, TLS 1.2 %v", name, c.auth, c.http11, c.tls12), func(t *testing.T) {
					asked := false
					c.asked = &asked
					a := w.do(t, c, "GET", helloPath, "")
					if c.auth {
						a.mustBe(t, 403, bodyNoAuth)
					} else {
						a.mustBe(t, 401, bodyKey)
					}
					if asked != c.auth {
						t.Errorf("the server asks for a certificate: %v", asked)
					}
					if want := map[bool]string{true: "HTTP/1.1", false: "HTTP/2.0"}[c.http11]; a.proto != want {
						t.Errorf("the answer is in %s", a.proto)
					}
					if got := a.header.Get("Content-Type"); got != "application/json" {
						t.Errorf("the type is %q", got)
					}
				})
			}
		}
	}
}

// TestKeysOfStrangers holds that no key that is not ours is looked at twice.
func TestKeysOfStrangers(t *testing.T) {
	w := newWorld(t, nil)
	for _, key := range []string{
		"x", "01" + strings.Repeat("a", 24) + "_" + strings.Repeat("b", 64), strings.Repeat("k", 8000), "Bearer x", "\u00e9",
	} {
		for _, auth := range []bool{false, true} {
			w.do(t, client{auth: auth, key: key}, "GET", helloPath, "").mustBe(t, 401, bodyKey)
		}
	}
	for _, header := range []string{"Authorization", "Cookie"} {
		w.do(t, client{}, "GET", helloPath+"?x-api-key=x", "", header, "Bearer x").mustBe(t, 401, bodyKey)
	}
	w.do(t, client{auth: true}, "GET", helloPath, "", "x-api-key", "").mustBe(t, 403, bodyNoAuth)
}

// TestPaths holds how paths and methods are read, and what is said about those that are
// not there.
func TestPaths(t *testing.T) {
	w := newWorld(t, nil)
	tests := []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", accountPath, 401, bodyKey},
		{"HEAD", accountPath, 401, ""},
		{"GET", "//account//api/v1/account/", 401, bodyKey},
		{"GET", "/%61ccount/api/v1/account", 401, bodyKey},
		{"GET", "/", 404, bodyNoPath},
		{"GET", "/account", 404, bodyNoPath},
		{"GET", "/account/api/v2/account", 404, bodyNoPath},
		{"GET", "/account/api/v1/Account", 404, bodyNoPath},
		{"GET", "/account/api/v1/account%2f", 404, bodyNoPath},
		{"GET", "/account/api/v1/../v1/account", 404, bodyNoPath},
		{"GET", "/account/api/v1/account/x/y", 404, bodyNoPath},
		{"PUT", "/v2/certificates", 404, bodyNoPath},
		{"POST", accountPath, 405, bodyMethod},
		{"OPTIONS", accountPath, 405, bodyMethod},
		{"TRACE", accountPath, 405, bodyMethod},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			a := w.do(t, client{}, tt.method, tt.path, "")
			a.mustBe(t, tt.status, tt.body)
			if allow := a.header.Get("Allow"); (allow == "GET, HEAD") != (tt.status == 405) {
				t.Errorf("Allow is %q", allow)
			}
			if challenge := a.header.Get("WWW-Authenticate"); (challenge != "") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate is %q", challenge)
			}
		})
	}
}

// TestMisdirected holds that a connection for one face serves no other (T8).
func TestMisdirected(t *testing.T) {
	w := newWorld(t, nil)
	for _, http11 := range []bool{false, true} {
		for _, host := range []string{elseHost, authHost, authHost + ":8443"} {
			w.do(t, client{http11: http11}, "GET", helloPath, "", "Host", host).mustBe(t, 421, bodyMisdirect)
		}
		for _, host := range []string{elseHost, baseHost, strings.ToUpper(baseHost)} {
			w.do(t, client{http11: http11, auth: true}, "GET", helloPath, "", "Host", host).mustBe(t, 421, bodyMisdirect)
		}
		w.do(t, client{http11: http11, auth: true}, "GET", helloPath, "", "Host", authHost+":8443").mustBe(t, 403, bodyNoAuth)
		w.do(t, client{http11: http11}, "GET", helloPath, "", "Host", "unknown.test").mustBe(t, 401, bodyKey)
	}
}

// TestPreflight holds that a page of another site may do nothing here (T11).
func TestPreflight(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{helloPath, "/nowhere"} {
		a := w.do(t, client{auth: true}, "OPTIONS", path, "", "Origin", "https://evil.test", preflightAsked, "GET")
		a.mustBe(t, 403, "Invalid CORS request")
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("the answer has %s", name)
			}
		}
	}
	a := w.do(t, client{auth: true}, "GET", helloPath, "", "Origin", "https://evil.test")
	a.mustBe(t, 403, bodyNoAuth)
}

// TestTransaction holds that a transaction's ID is echoed and logged, and nothing else.
func TestTransaction(t *testing.T) {
	w := newWorld(t, nil)
	echoed := func(values ...string) []string {
		r := httptest.NewRequest("GET", helloPath, nil)
		r.Header[transactionHeader] = values
		rec := httptest.NewRecorder()
		w.api.Face(true).ServeHTTP(rec, r)
		return rec.Header()[transactionHeader]
	}
	if got := echoed(transaction); len(got) != 1 || got[0] != transaction {
		t.Errorf("the transaction is echoed as %q", got)
	}
	if !strings.Contains(w.log.String(), "transaction_id="+transaction) {
		t.Errorf("the transaction is not in the log: %s", w.log)
	}
	for _, values := range [][]string{{noTransaction}, {""}, {transaction, transaction}} {
		if got := echoed(values...); got != nil {
			t.Errorf("%q is echoed as %q", values, got)
		}
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("the log is %s", w.log)
	}
}

// TestPanics holds that a bug is answered like any other failure of the server.
func TestPanics(t *testing.T) {
	w := newWorld(t, nil)
	w.api.mux.Handle("/panics", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a secret of the inside") }))
	w.do(t, client{}, "GET", "/panics", "").mustBe(t, 500, `{"errors":[{"code":"internal_server_error","message":"An internal error occurred"}]}`)
	if log := w.log.String(); !strings.Contains(log, "a secret of the inside") || !strings.Contains(log, "request failed") {
		t.Errorf("the log is %s", log)
	}
}

// TestWithoutDatabase holds that callers are told when to come again, and not why, while the
// server cannot know who they are.
func TestWithoutDatabase(t *testing.T) {
	w := newWorld(t, nil)
	c, _ := w.serviceUser(t, "service", time.Time{})
	must(t, w.db.Close())
	w.clock.Advance(time.Minute)
	a := w.do(t, c, "GET", usersPath+"/me", "")
	a.mustBe(t, 503, `{"errors":[{"code":"service_unavailable","message":"The service is temporarily unavailable"}]}`)
	if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
}

// TestStrangersAreLimited holds the rate of an address that shows nothing of worth.
func TestStrangersAreLimited(t *testing.T) {
	w := newWorld(t, func(cfg *Config) {
		cfg.Strangers = []*web.Limiter{web.NewLimiter(cfg.Clock, 1, 2), web.NewLimiter(cfg.Clock, 0.1, 3)}
	})
	w.do(t, client{}, "GET", helloPath, "").mustBe(t, 401, bodyKey)
	w.do(t, client{auth: true}, "GET", helloPath, "").mustBe(t, 403, bodyNoAuth)
	limited := `{"errors":[{"code":"request_limit_exceeded","message":"Service unavailable, please limit request volume"}]}`
	a := w.do(t, client{}, "GET", helloPath, "")
	a.mustBe(t, 429, limited)
	if got := a.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %q", got)
	}
	w.clock.Advance(2 * time.Second)
	w.do(t, client{}, "GET", helloPath, "").mustBe(t, 401, bodyKey)
	if a := w.do(t, client{}, "GET", helloPath, ""); a.status != 429 || a.header.Get("Retry-After") != "8" {
		t.Errorf("beyond the second limit: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
}

func TestAccept(t *testing.T) {
	for accept, want := range map[string]bool{
		"": true, "*/*": true, "*": true, "application/json": true, "Application/JSON;charset=utf-8": true, "text/html, */*;q=0.1": true,
		"application/*": true, "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2": true, // of Java
		"text/html": false, "application/xml, text/html": false, "*/*;q=0": false, "application/json;q=0.000": false, "json": false,
	} {
		if got := acceptsJSON(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("%q allows JSON: %v", accept, got)
		}
	}
}

func TestContentType(t *testing.T) {
	for content, want := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "Application/JSON;charset=\"UTF-8\"": true,
		"": false, "text/plain": false, "application/json; charset=latin1": false, "application/problem+json": false, "application/json;;": false,
	} {
		if got := isJSON(http.Header{"Content-Type": {content}}); got != want {
			t.Errorf("%q is JSON: %v", content, got)
		}
	}
	if isJSON(http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}) {
		t.Error("what is compressed is read as JSON")
	}
}

// TestDecode holds the answers to bodies that cannot be read, through a route.
func TestDecode(t *testing.T) {
	a := &API{maxBody: 64}
	serve := func(r *http.Request) (int, string) {
		rec := httptest.NewRecorder()
		var in sample
		err := (&call{api: a, w: rec, r: r}).decode(&in)
		if err == nil {
			return 200, ""
		}
		a.log = slog.New(slog.DiscardHandler)
		a.fail(rec, r, "", err)
		return rec.Code, rec.Body.String()
	}
	request := func(content, body string) *http.Request {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", content)
		return r
	}
	if status, body := serve(request("application/json", `{"name":"a"}`)); status != 200 {
		t.Errorf("a body is answered by %d %s", status, body)
	}
	if status, _ := serve(request("text/plain", `{}`)); status != 415 {
		t.Errorf("text is answered by %d", status)
	}
	status, body := serve(request("application/json", `{"name":"`+strings.Repeat("a", 64)+`"}`))
	if want := `{"errors":[{"code":"invalid_request","message":"body: is longer than 64 bytes","field":"body"}]}`; status != 400 || body != want {
		t.Errorf("a long body is answered by %d %s", status, body)
	}
	if !json.Valid([]byte(body)) {
		t.Errorf("%s is no JSON", body)
	}
}
