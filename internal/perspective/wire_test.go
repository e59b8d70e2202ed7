package perspective_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestAuthentication checks who asks and who answers: both ends refuse a stranger in
// the handshake.
func TestAuthentication(t *testing.T) {
	p := newPKI(t, today)
	const client, server = x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	own, alone := p.clients.issue(t, "primary", client), (*authority)(nil).issue(t, "pinned primary", client)
	agent, stranger := p.agents.issue(t, "agent-1", server), newAuthority(t, "strangers")
	foreign := stranger.issue(t, "agent-1", server)
	elsewhere := p.agents.issue(t, "agent-1", server)
	tests := []struct {
		name   string
		server func(*perspective.ServerTLSConfig)
		client func(*perspective.ClientTLSConfig)
		now    string
		ok     bool
	}{
		{name: "CA files on both sides", ok: true},
		{name: "a client of another CA", client: certified(stranger.issue(t, "primary", client))},
		{name: "a self-signed client", client: certified(alone)},
		{name: "a server's certificate as a client's", client: certified(p.clients.issue(t, "primary", server))},
		{name: "no client certificate", client: certified(&tls.Certificate{})},
		{name: "a pinned client", server: pinned(alone), client: certified(alone), ok: true},
		{name: "a client that is not the pinned one", server: pinned(alone), client: certified(own)},
		{name: "pinned or of the CA", server: func(cfg *perspective.ServerTLSConfig) {
			cfg.Fingerprints = append(cfg.Fingerprints, fingerprint(alone))
		}, client: certified(own), ok: true},
		{name: "an agent of another CA", server: serving(foreign)},
		{name: "a pinned agent", server: serving(foreign), client: pins(foreign), ok: true},
		{name: "an agent that is not the pinned one", client: pins(elsewhere)},
		{name: "certificates that are not valid yet", now: "2025-12-31T23:59:59Z"},
		{name: "certificates that have expired", now: "2028-01-01T00:00:00Z"},
		{name: "a pinned client that has expired", server: pinned(alone), client: func(cfg *perspective.ClientTLSConfig) {
			certified(alone)(cfg)
			cfg.Clock = testkit.NewClock(t, today)
		}, now: "2028-01-01T00:00:00Z"},
		{name: "a pinned agent that has expired", server: func(cfg *perspective.ServerTLSConfig) { cfg.Clock = testkit.NewClock(t, today) },
			client: pins(agent), now: "2028-01-01T00:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &pki{t: t, clock: testkit.NewClock(t, today), agents: p.agents, clients: p.clients, log: p.log}
			if tt.now != "" {
				p.clock = testkit.NewClock(t, tt.now)
			}
			asked := false
			local := fake{validate: func(context.Context, dcv.Question) (dcv.Finding, error) {
				asked = true
				return dcv.Finding{Found: true, Coverage: telamon.CoversTree}, nil
			}}
			serverTLS, clientTLS := p.serverTLS(agent), p.clientTLS(own)
			if tt.server != nil {
				tt.server(&serverTLS)
			}
			if tt.client != nil {
				tt.client(&clientTLS)
			}
			c := p.client("agent-1", "RIPE NCC", p.listen(p.handler("agent-1", "RIPE NCC", local), serverTLS), clientTLS)
			finding, err := c.Validate(t.Context(), ofTXT)
			if (err == nil) != tt.ok || finding.Found != tt.ok || asked != tt.ok {
				t.Errorf("finding = %+v, %v; asked: %t", finding, err, asked)
			}
		})
	}
}

func certified(cert *tls.Certificate) func(*perspective.ClientTLSConfig) {
	return func(cfg *perspective.ClientTLSConfig) {
		cfg.Certificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
}

func pins(agent *tls.Certificate) func(*perspective.ClientTLSConfig) {
	return func(cfg *perspective.ClientTLSConfig) {
		sum := fingerprint(agent)
		cfg.RootCAs, cfg.Fingerprint = nil, &sum
	}
}

func pinned(client *tls.Certificate) func(*perspective.ServerTLSConfig) {
	return func(cfg *perspective.ServerTLSConfig) {
		cfg.ClientCAs, cfg.Fingerprints = nil, [][32]byte{fingerprint(client)}
	}
}

func serving(cert *tls.Certificate) func(*perspective.ServerTLSConfig) {
	return func(cfg *perspective.ServerTLSConfig) {
		cfg.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
	}
}

// TestTLSVersion checks that nothing older than TLS 1.3 is spoken.
func TestTLSVersion(t *testing.T) {
	p := newPKI(t, today)
	url := p.listen(p.handler("agent-1", "ARIN", missing()), p.serverTLS(p.agents.issue(t, "agent-1", x509.ExtKeyUsageServerAuth)))
	own := p.clients.issue(t, "primary", x509.ExtKeyUsageClientAuth)
	for version, speaks := range map[uint16]bool{tls.VersionTLS12: false, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{
			RootCAs: p.agents.pool(), Certificates: []tls.Certificate{*own}, MaxVersion: version, Time: p.clock.Now,
		})
		if err == nil {
			conn.Close()
		}
		if (err == nil) != speaks {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// TestConfigurations checks what is refused before anything is listened to or asked.
func TestConfigurations(t *testing.T) {
	p := newPKI(t, today)
	sum := [32]byte{1}
	if _, err := perspective.ServerTLS(perspective.ServerTLSConfig{Clock: p.clock}); err == nil {
		t.Error("a server that admits nobody")
	}
	for _, cfg := range []perspective.ClientTLSConfig{{Clock: p.clock}, {RootCAs: p.agents.pool(), Fingerprint: &sum, Clock: p.clock}} {
		if _, err := perspective.ClientTLS(cfg); err == nil {
			t.Error("a client that verifies its agent by nothing, or by two things")
		}
	}
	good, err := perspective.ClientTLS(p.clientTLS(p.clients.issue(t, "primary", x509.ExtKeyUsageClientAuth)))
	if err != nil {
		t.Fatal(err)
	}
	unverified := good.Clone()
	unverified.InsecureSkipVerify = true
	tests := map[string]perspective.ClientConfig{
		"no name":               {Region: "ARIN", URL: "https://a.example.com", TLS: good},
		"no region":             {Name: "a", URL: "https://a.example.com", TLS: good},
		"plain HTTP":            {Name: "a", Region: "ARIN", URL: "http://a.example.com", TLS: good},
		"no host":               {Name: "a", Region: "ARIN", URL: "https://", TLS: good},
		"a path":                {Name: "a", Region: "ARIN", URL: "https://a.example.com/v1", TLS: good},
		"a query":               {Name: "a", Region: "ARIN", URL: "https://a.example.com?x", TLS: good},
		"a password":            {Name: "a", Region: "ARIN", URL: "https://u:p@a.example.com", TLS: good},
		"not a URL":             {Name: "a", Region: "ARIN", URL: "https://a b", TLS: good},
		"no TLS":                {Name: "a", Region: "ARIN", URL: "https://a.example.com"},
		"no certificate":        {Name: "a", Region: "ARIN", URL: "https://a.example.com", TLS: &tls.Config{}},
		"nothing verifies this": {Name: "a", Region: "ARIN", URL: "https://a.example.com", TLS: unverified},
	}
	for name, cfg := range tests {
		if _, err := perspective.NewClient(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := perspective.NewClient(perspective.ClientConfig{Name: "a", Region: "ARIN", URL: "https://a.example.com:8444/", TLS: good}); err != nil {
		t.Errorf("a good one: %v", err)
	}
	if _, err := perspective.NewHandler(perspective.HandlerConfig{Name: "A", Region: "ARIN"}); err == nil {
		t.Error("a handler without a good name")
	}
}

// TestWrongAnswers checks that a client takes nothing but the answer of the right
// perspective to its own question.
func TestWrongAnswers(t *testing.T) {
	const finding = `{"found":true,"coverage":"tree","evidence":{}}`
	answer := func(name, region, attempt, result string) string {
		return fmt.Sprintf(`{"perspective":%q,"region":%q,"attempt":%q,"result":%s}`, name, region, attempt, result)
	}
	var attempts []string
	var mu sync.Mutex
	tests := []struct {
		name   string
		status int
		kind   string
		body   func(attempt string) string
		ok     bool
	}{
		{"right", 200, "application/json", func(a string) string { return answer("agent-1", "ARIN", a, finding) }, true},
		{"another attempt", 200, "application/json", func(string) string { return answer("agent-1", "ARIN", strings.Repeat("0", 32), finding) }, false},
		{"the attempt before", 200, "application/json", func(string) string { return answer("agent-1", "ARIN", attempts[0], finding) }, false},
		{"no attempt", 200, "application/json", func(string) string { return answer("agent-1", "ARIN", "", finding) }, false},
		{"another name", 200, "application/json", func(a string) string { return answer("agent-2", "ARIN", a, finding) }, false},
		{"another region", 200, "application/json", func(a string) string { return answer("agent-1", "APNIC", a, finding) }, false},
		{"no coverage", 200, "application/json", func(a string) string { return answer("agent-1", "ARIN", a, `{"found":true,"evidence":{}}`) }, false},
		{"an unknown member", 200, "application/json", func(a string) string { return answer("agent-1", "ARIN", a, `{"found":true,"coverage":"tree","x":1}`) }, false},
		{"more after it", 200, "application/json", func(a string) string { return answer("agent-1", "ARIN", a, finding) + "{}" }, false},
		{"empty", 200, "application/json", func(string) string { return "" }, false},
		{"oversize", 200, "application/json", func(a string) string { return answer("agent-1", "ARIN", a, finding) + strings.Repeat(" ", 64<<10) }, false},
		{"endless", 200, "application/json", func(string) string { return strings.Repeat("[", 1<<20) }, false},
		{"HTML", 200, "text/html", func(a string) string { return answer("agent-1", "ARIN", a, finding) }, false},
		{"a redirect", 307, "application/json", func(a string) string { return answer("agent-1", "ARIN", a, finding) }, false},
		{"an error", 500, "application/json", func(string) string { return `{"error":"the perspective failed"}` }, false},
		{"an error of somebody else", 502, "text/html", func(string) string { return "<html>" }, false},
	}
	p := newPKI(t, today)
	current := 0
	url := p.listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Attempt string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		attempts = append(attempts, in.Attempt)
		tt := tests[current]
		w.Header().Set("Content-Type", tt.kind)
		w.Header().Set("Location", "/v1/validate")
		w.WriteHeader(tt.status)
		io.WriteString(w, tt.body(in.Attempt))
	}), p.serverTLS(p.agents.issue(t, "agent-1", x509.ExtKeyUsageServerAuth)))
	c := p.client("agent-1", "ARIN", url, p.clientTLS(p.clients.issue(t, "primary", x509.ExtKeyUsageClientAuth)))
	for i, tt := range tests {
		mu.Lock()
		current = i
		mu.Unlock()
		finding, err := c.Validate(t.Context(), ofTXT)
		if (err == nil) != tt.ok || finding.Found != tt.ok {
			t.Errorf("%s: %+v, %v", tt.name, finding, err)
		}
	}
	if len(attempts) != len(tests) {
		t.Errorf("%d questions came, want %d: nothing is asked twice", len(attempts), len(tests))
	}
}

// TestWrongCAAAnswers is TestWrongAnswers for what only CAA has.
func TestWrongCAAAnswers(t *testing.T) {
	p := newPKI(t, today)
	now := p.clock.Now()
	var check telamon.CAACheck
	local := fake{caa: func(context.Context, dcv.CAAQuestion) (telamon.CAACheck, error) { return check, nil }}
	c := p.remotes(local)[0].Perspective
	tests := []struct {
		name  string
		check telamon.CAACheck
		ok    bool
	}{
		{"right", telamon.CAACheck{Name: ofCAA.Name, Allowed: true, At: now, GoodTo: now.Add(8 * time.Hour), Methods: []string{"ca-tbr-7"}}, true},
		{"of another name", telamon.CAACheck{Name: "other.example.com", Allowed: true, At: now, GoodTo: now.Add(8 * time.Hour)}, false},
		{"good for less than no time", telamon.CAACheck{Name: ofCAA.Name, Allowed: true, At: now, GoodTo: now.Add(-time.Second)}, false},
	}
	for _, tt := range tests {
		check = tt.check
		got, err := c.CheckCAA(t.Context(), ofCAA)
		if (err == nil) != tt.ok || got.Allowed != tt.ok || tt.ok && fmt.Sprint(got) != fmt.Sprint(tt.check) {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}

// TestClientTime checks that both ends keep to the time of a question.
func TestClientTime(t *testing.T) {
	p := newPKI(t, today)
	given := make(chan time.Duration, 1)
	local := fake{validate: func(ctx context.Context, _ dcv.Question) (dcv.Finding, error) {
		deadline, _ := ctx.Deadline()
		given <- time.Until(deadline)
		<-ctx.Done()
		return dcv.Finding{}, ctx.Err()
	}}
	c := p.remotes(local)[0].Perspective
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	if _, err := c.Validate(ctx, ofTXT); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if d := <-given; d > 900*time.Millisecond || d <= 0 {
		t.Errorf("the agent had %v, want a tenth less than a second", d)
	}
}

// TestKeptConnection checks that the end of a kept connection is no failure of the
// perspective.
func TestKeptConnection(t *testing.T) {
	p := newPKI(t, today)
	config, err := perspective.ServerTLS(p.serverTLS(p.agents.issue(t, "agent-1", x509.ExtKeyUsageServerAuth)))
	if err != nil {
		t.Fatal(err)
	}
	address, handler := "127.0.0.1:0", p.handler("agent-1", "ARIN", found(telamon.CoversTree))
	var c *perspective.Client
	for range 3 {
		l, err := tls.Listen("tcp", address, config)
		if err != nil {
			t.Fatal(err)
		}
		address = l.Addr().String()
		if c == nil {
			c = p.client("agent-1", "ARIN", "https://"+address, p.clientTLS(p.clients.issue(t, "primary", x509.ExtKeyUsageClientAuth)))
		}
		server := &http.Server{Handler: handler}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(l) })
		finding, err := c.Validate(t.Context(), ofTXT)
		if err != nil || !finding.Found {
			t.Errorf("after a restart: %+v, %v", finding, err)
		}
		server.Close()
		serving.Wait()
	}
}

func TestHealth(t *testing.T) {
	p := newPKI(t, today)
	own := p.clientTLS(p.clients.issue(t, "primary", x509.ExtKeyUsageClientAuth))
	url := p.listen(p.handler("agent-1", "ARIN", missing()), p.serverTLS(p.agents.issue(t, "agent-1", x509.ExtKeyUsageServerAuth)))
	health, err := p.client("agent-1", "ARIN", url, own).Health(t.Context())
	if err != nil || health != (perspective.Health{Name: "agent-1", Region: "ARIN", Version: "v0.3.0"}) {
		t.Errorf("health = %+v, %v", health, err)
	}
	if health, err := p.client("agent-1", "APNIC", url, own).Health(t.Context()); err == nil {
		t.Errorf("in another region: %+v", health)
	}
}

// post asks a handler as a client with a certificate does.
func post(h http.Handler, path, kind, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	return answered(h, r)
}

func answered(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const (
	goodAttempt = `"attempt":"0123456789abcdef0123456789abcdef","timeout_ms":5000`
	goodBody    = `{` + goodAttempt + `,"question":{"method":"dns","kind":"domain","name":"example.com","adn":"example.com","values":["x"]}}`
)

// TestHandlerRefusals checks each status that a question can be refused with.
func TestHandlerRefusals(t *testing.T) {
	p := newPKI(t, today)
	h := p.handler("agent-1", "ARIN", fake{
		validate: func(_ context.Context, q dcv.Question) (dcv.Finding, error) {
			if q.Name == "broken.example.com" {
				return dcv.Finding{}, errors.New("out of files")
			}
			return dcv.Finding{Problem: "not there"}, nil
		},
		caa: func(_ context.Context, q dcv.CAAQuestion) (telamon.CAACheck, error) {
			return telamon.CAACheck{Name: q.Name}, nil
		},
	})
	with := func(question string) string { return `{` + goodAttempt + `,"question":` + question + `}` }
	tests := []struct {
		name, path, kind, body string
		status                 int
	}{
		{"good", "/v1/validate", "application/json", goodBody, 200},
		{"good with a charset", "/v1/validate", "application/json; charset=utf-8", goodBody, 200},
		{"good CAA", "/v1/caa", "application/json", with(`{"name":"*.example.com","issuers":["ca.example.com"],"account_uri":"","methods":null}`), 200},
		{"good file of an address", "/v1/validate", "application/json", with(`{"method":"http","kind":"ip","name":"2001:db8::1","adn":"2001:db8::1","values":["x"],"scheme":"http"}`), 200},
		{"good standing record", "/v1/validate", "application/json", with(`{"method":"dns-persist","kind":"domain","name":"a.example.com","adn":"example.com","issuers":["ca.example.com"],"account_uri":"acct:1@ca.example.com"}`), 200},
		{"no type", "/v1/validate", "", goodBody, 415},
		{"another type", "/v1/validate", "text/plain", goodBody, 415},
		{"no such path", "/v1/other", "application/json", goodBody, 404},
		{"another method", "/v1/health", "application/json", goodBody, 405},
		{"empty", "/v1/validate", "application/json", "", 400},
		{"not JSON", "/v1/validate", "application/json", "question", 400},
		{"an array", "/v1/validate", "application/json", "[]", 400},
		{"an unknown member", "/v1/validate", "application/json", strings.Replace(goodBody, `"question"`, `"x":1,"question"`, 1), 400},
		{"an unknown member of the question", "/v1/validate", "application/json", strings.Replace(goodBody, `"values"`, `"x":1,"values"`, 1), 400},
		{"more after it", "/v1/validate", "application/json", goodBody + "{}", 400},
		{"garbage after it", "/v1/validate", "application/json", goodBody + "]", 400},
		{"oversize", "/v1/validate", "application/json", `{"attempt":"` + strings.Repeat("0", 64<<10) + `"}`, 413},
		{"oversize after it", "/v1/validate", "application/json", goodBody + strings.Repeat(" ", 64<<10), 413},
		{"no attempt", "/v1/validate", "application/json", strings.Replace(goodBody, "0123456789abcdef", "", 1), 400},
		{"no time", "/v1/validate", "application/json", strings.Replace(goodBody, "5000", "0", 1), 400},
		{"negative time", "/v1/validate", "application/json", strings.Replace(goodBody, "5000", "-5000", 1), 400},
		{"time beyond numbers", "/v1/validate", "application/json", strings.Replace(goodBody, "5000", "1e30", 1), 400},
		{"more time than there is", "/v1/validate", "application/json", strings.Replace(goodBody, "5000", "9223372036854775807", 1), 200},
		{"no question", "/v1/validate", "application/json", `{` + goodAttempt + `}`, 422},
		{"a method that sends mail", "/v1/validate", "application/json", strings.Replace(goodBody, `"dns"`, `"email"`, 1), 422},
		{"no kind", "/v1/validate", "application/json", strings.Replace(goodBody, `"domain"`, `""`, 1), 422},
		{"a path as a name", "/v1/validate", "application/json", strings.Replace(goodBody, `"name":"example.com"`, `"name":"example.com/x"`, 1), 422},
		{"a wildcard", "/v1/validate", "application/json", strings.Replace(goodBody, `"name":"example.com"`, `"name":"*.example.com"`, 1), 422},
		{"an authorization domain name with a line", "/v1/validate", "application/json", strings.Replace(goodBody, `"adn":"example.com"`, `"adn":"example.com\n"`, 1), 422},
		{"no values", "/v1/validate", "application/json", strings.Replace(goodBody, `["x"]`, `[]`, 1), 422},
		{"an empty value", "/v1/validate", "application/json", strings.Replace(goodBody, `["x"]`, `["x",""]`, 1), 422},
		{"too many values", "/v1/validate", "application/json", strings.Replace(goodBody, `["x"]`, `["x"`+strings.Repeat(`,"x"`, 64)+`]`, 1), 422},
		{"a standing record of nobody", "/v1/validate", "application/json", strings.Replace(goodBody, `"dns"`, `"dns-persist"`, 1), 422},
		{"CAA without issuers", "/v1/caa", "application/json", with(`{"name":"example.com","issuers":[],"account_uri":"","methods":[]}`), 422},
		{"CAA of no name", "/v1/caa", "application/json", with(`{"name":"*.","issuers":["ca.example.com"],"account_uri":"","methods":[]}`), 422},
		{"the perspective fails", "/v1/validate", "application/json", strings.Replace(goodBody, `"name":"example.com"`, `"name":"broken.example.com"`, 1), 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := post(h, tt.path, tt.kind, tt.body)
			var said struct {
				Error string `json:"error"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || w.Code != tt.status || (said.Error == "") != (w.Code == 200) {
				t.Errorf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if w.Header().Get("Content-Type") != "application/json" || strings.Contains(said.Error, "out of files") {
				t.Errorf("answer %v %s", w.Header(), w.Body)
			}
		})
	}
	plain := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/v1/validate", strings.NewReader(goodBody))
	r.Header.Set("Content-Type", "application/json")
	if h.ServeHTTP(plain, r); plain.Code != http.StatusForbidden {
		t.Errorf("without TLS: status %d", plain.Code)
	}
}

// TestManyQuestions asks many questions at once and checks that no answer goes to
// another question.
func TestManyQuestions(t *testing.T) {
	p := newPKI(t, today)
	local := fake{validate: func(_ context.Context, q dcv.Question) (dcv.Finding, error) {
		return dcv.Finding{Found: true, Coverage: telamon.CoversTree, Evidence: telamon.Evidence{URL: q.Name}}, nil
	}}
	c := p.remotes(local)[0].Perspective
	var asking sync.WaitGroup
	for n := range 100 {
		asking.Go(func() {
			q := ofTXT
			q.Name = fmt.Sprintf("n%d.example.com", n)
			finding, err := c.Validate(t.Context(), q)
			if err != nil || finding.Evidence.URL != q.Name {
				t.Errorf("%s: %+v, %v", q.Name, finding, err)
			}
		})
	}
	asking.Wait()
}

// FuzzValidateBody sends bodies to a handler: whatever they are, the answer is JSON
// with a status that is documented, and the perspective is asked only what is fit to
// be looked at.
func FuzzValidateBody(f *testing.F) {
	asked := 0
	var q dcv.Question
	h, err := perspective.NewHandler(perspective.HandlerConfig{
		Name: "agent-1", Region: "ARIN", Log: slog.New(slog.DiscardHandler),
		Local: fake{validate: func(ctx context.Context, got dcv.Question) (dcv.Finding, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > dcv.Timeout {
				return dcv.Finding{}, errors.New("there is too much time")
			}
			asked, q = asked+1, got
			return dcv.Finding{Problem: "not there"}, nil
		}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		asked = 0
		w := post(h, "/v1/validate", "application/json", string(body))
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("the answer is no JSON: %q", w.Body)
		}
		switch w.Code {
		case http.StatusOK:
			if asked != 1 || q.Name == "" || strings.ContainsAny(q.Name+q.ADN, "/@?#\\ \r\n") || len(q.Values)+len(q.Issuers) > 128 {
				t.Errorf("asked %d times, for %+v", asked, q)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
			if asked != 0 {
				t.Error("asked and refused")
			}
		case http.StatusGatewayTimeout: // one of a millisecond may be over at once
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
