package portal_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/web"
)

// value is that of a link that can be used.
const value = "0l9sYk3vQ2mTt7cX_b-4Nw1aZ8dR5eGhJ6uPqLoIyUE"

// A desk keeps approvals as the registration authority does: each value works once.
type desk struct {
	mu       sync.Mutex
	account  string
	links    map[string]*telamon.Approval
	fails    error // what every call reports, if it is not nil
	values   []string
	approved []string // values, once for each approval that happened
	address  netip.Addr
	request  string
}

func (d *desk) Approval(_ context.Context, value string) (*telamon.Approval, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, err := d.find(value)
	return a, d.account, err
}

func (d *desk) Approve(_ context.Context, address netip.Addr, requestID, value string) (*telamon.Approval, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, err := d.find(value)
	if err != nil {
		return nil, err
	}
	a.UsedAt = a.CreatedAt.Add(time.Hour)
	d.approved = append(d.approved, value)
	d.address, d.request = address, requestID
	used := *a
	return &used, nil
}

// find returns the approval of a value that can be used. The caller holds d.mu.
func (d *desk) find(value string) (*telamon.Approval, error) {
	d.values = append(d.values, value)
	a := d.links[value]
	switch {
	case d.fails != nil:
		return nil, d.fails
	case a == nil:
		return nil, fault.New(fault.NotFound, "approval_not_found", "There is no such approval.")
	case !a.UsedAt.IsZero():
		return nil, fault.New(fault.Conflict, "approval_used", "It was used.")
	}
	return a, nil
}

// fail makes every call report err.
func (d *desk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = err
}

// calls returns how often the desk was asked anything and how often it approved.
func (d *desk) calls() (asked, approved int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.values), len(d.approved)
}

// newDesk returns a desk at which value approves name.
func newDesk(name string) *desk {
	return &desk{account: "Shop Ltd", links: map[string]*telamon.Approval{value: newApproval(name)}}
}

func newApproval(name string) *telamon.Approval {
	at := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	return &telamon.Approval{
		ID: telamon.NewMailApprovalID(), Claim: telamon.NewClaimID(), Account: telamon.NewAccountID(), Name: name,
		Address: "admin@example.com", ADN: "example.com", Method: telamon.MethodEmail, CreatedAt: at, ExpiresAt: at.AddDate(0, 0, 7),
	}
}

// A buffer may be written and read at the same time.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A site is a portal on a TLS listener.
type site struct {
	address string
	log     *buffer
}

// serve starts a portal as the program does.
func serve(t testing.TB, d *desk) *site {
	t.Helper()
	cert := certificate(t)
	s := &site{log: &buffer{}}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	handler := web.Instrument{Face: "portal", Log: log, MaxBody: 1 << 16}.Wrap(
		portal.New(portal.Config{Approvals: d, Log: log, Platform: "Example Trust"}))
	faces := web.NewFaces(&web.Face{
		Name: "portal", Hosts: []string{"localhost"}, Handler: handler,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
	})
	listener, err := tls.Listen("tcp", "127.0.0.1:0", faces.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	srv := web.NewServer(web.Clients{}.Wrap(faces), log)
	go srv.Serve(listener)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		web.Drain(ctx, srv)
	})
	s.address = listener.Addr().String()
	return s
}

// certificate returns a self-signed certificate for localhost.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// An answer is all of one.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask makes a request with a target as it stands, which no HTTP client has cleaned.
func (s *site) ask(t *testing.T, method, target string, header http.Header) answer {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"http/1.1"}}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)

	var request bytes.Buffer
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, target)
	header.Write(&request)
	if method == http.MethodPost {
		request.WriteString("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n")
	}
	request.WriteString("\r\n")
	if _, err := conn.Write(request.Bytes()); err != nil {
		t.Fatal(err)
	}
	return read(t, conn, method)
}

func read(t *testing.T, conn io.Reader, method string) answer {
	t.Helper()
	raw, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

const link = portal.ApprovePath + value

func TestAskChangesNothing(t *testing.T) {
	d := newDesk("shop.example.com")
	s := serve(t, d)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodGet} {
		got := s.ask(t, method, link, http.Header{"Sec-Purpose": {"prefetch"}, "Sec-Fetch-Site": {"cross-site"}})
		if got.status != http.StatusOK {
			t.Fatalf("%s = %d, want 200", method, got.status)
		}
		if (got.body == "") != (method == http.MethodHead) {
			t.Errorf("%s has a body of %d bytes", method, len(got.body))
		}
		text := strings.ReplaceAll(got.body, "<wbr>", "")
		for _, want := range []string{">shop.example.com<", "admin@example.com", "Shop Ltd", "3.2.2.4.4", "2026-12-04 10:00 UTC", "Example Trust"} {
			if method == http.MethodGet && !strings.Contains(text, want) {
				t.Errorf("the page does not say %q", want)
			}
		}
	}
	if asked, approved := d.calls(); asked != 3 || approved != 0 {
		t.Errorf("the desk was asked %d times and approved %d times, want 3 and none", asked, approved)
	}
}

func TestApprove(t *testing.T) {
	d := newDesk("shop.example.com")
	s := serve(t, d)
	same := http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"null"}} // what browsers send without a referrer
	first := s.ask(t, http.MethodPost, link, same)
	if first.status != http.StatusOK || !strings.Contains(first.body, "shop.example.com") || !strings.Contains(first.body, "2026-11-27 11:00 UTC") {
		t.Fatalf("POST = %d %s, want 200 and the result", first.status, first.body)
	}
	if d.address != netip.MustParseAddr("127.0.0.1") || d.request == "" || d.request != first.header.Get("X-Request-Id") {
		t.Errorf("approved from %s by request %q, want 127.0.0.1 and %q", d.address, d.request, first.header.Get("X-Request-Id"))
	}
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		again := s.ask(t, method, link, same)
		if again.status != http.StatusGone || !strings.Contains(again.body, "ACC-01") || strings.Contains(again.body, "<button") {
			t.Errorf("%s after the approval = %d %s, want 410 and ACC-01, without a button", method, again.status, again.body)
		}
	}
	if _, approved := d.calls(); approved != 1 {
		t.Errorf("approved %d times, want once", approved)
	}
}

func TestCrossSite(t *testing.T) {
	d := newDesk("shop.example.com")
	s := serve(t, d)
	tests := []struct {
		name   string
		header http.Header
		status int
	}{
		{"another site", http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		{"another origin of the site", http.Header{"Sec-Fetch-Site": {"same-site"}}, http.StatusForbidden},
		{"a foreign origin, from an old browser", http.Header{"Origin": {"https://evil.example"}}, http.StatusForbidden},
		{"an opaque origin, from an old browser", http.Header{"Origin": {"null"}}, http.StatusForbidden},
		{"our origin, from an old browser", http.Header{"Origin": {"https://localhost"}}, http.StatusOK},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.ask(t, http.MethodPost, link, tt.header); got.status != tt.status {
				t.Errorf("POST = %d, want %d", got.status, tt.status)
			}
			if asked, _ := d.calls(); (asked > 0) != (i == len(tests)-1) {
				t.Errorf("the desk was asked %d times", asked)
			}
		})
	}
}

// wantHeaders are in every answer.
var wantHeaders = map[string]string{
	"Content-Security-Policy":    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	"Referrer-Policy":            "no-referrer",
	"X-Content-Type-Options":     "nosniff",
	"Cross-Origin-Opener-Policy": "same-origin",
}

func checkHeaders(t *testing.T, h http.Header) {
	t.Helper()
	for name, want := range wantHeaders {
		if got := h.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"Permissions-Policy", "Strict-Transport-Security"} {
		if h.Get(name) == "" {
			t.Errorf("there is no %s", name)
		}
	}
	if h.Get("Set-Cookie") != "" || h.Get("Location") != "" {
		t.Errorf("the answer sets a cookie or redirects: %v", h)
	}
}

func TestHeaders(t *testing.T) {
	d := newDesk("shop.example.com")
	s := serve(t, d)
	page := s.ask(t, http.MethodGet, link, nil)
	tests := []struct {
		method, target, header string
		status                 int
	}{
		{http.MethodGet, link, "", 200},
		{http.MethodHead, link, "", 200},
		{http.MethodPost, link, "cross-site", 403},
		{http.MethodPost, link, "same-origin", 200},
		{http.MethodPost, link, "same-origin", 410},
		{http.MethodGet, portal.ApprovePath + "unknown", "", 404},
		{http.MethodDelete, link, "same-origin", 405},
		{http.MethodOptions, link, "", 405},
		{http.MethodGet, "/", "", 404},
		{http.MethodGet, "/favicon.ico", "", 404},
		{http.MethodGet, "/assets/portal.css", "", 404},
		{http.MethodPost, assetOf(t, page.body, "css"), "same-origin", 405},
	}
	for _, tt := range tests {
		got := s.ask(t, tt.method, tt.target, http.Header{"Sec-Fetch-Site": {tt.header}})
		if got.status != tt.status || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s %s = %d %v, want %d and a page that is not stored", tt.method, tt.target, got.status, got.header, tt.status)
		}
		if allow := got.header.Get("Allow"); (allow != "") != (tt.status == http.StatusMethodNotAllowed) {
			t.Errorf("%s %s allows %q", tt.method, tt.target, allow)
		}
		checkHeaders(t, got.header)
	}
}

// assetOf returns the path of the asset with this ending that a page refers to.
func assetOf(t *testing.T, body, ending string) string {
	t.Helper()
	found := regexp.MustCompile(`href="(/assets/[a-z]+\.[0-9a-f]{16}\.` + ending + `)"`).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("the page refers to no %s with a hash in its name", ending)
	}
	return found[1]
}

func TestAssets(t *testing.T) {
	s := serve(t, newDesk("shop.example.com"))
	page := s.ask(t, http.MethodGet, link, nil)
	for ending, contentType := range map[string]string{"css": "text/css; charset=utf-8", "svg": "image/svg+xml"} {
		path := assetOf(t, page.body, ending)
		got := s.ask(t, http.MethodGet, path, nil)
		if got.status != http.StatusOK || got.header.Get("Content-Type") != contentType || got.body == "" ||
			!strings.Contains(got.header.Get("Cache-Control"), "immutable") {
			t.Errorf("GET %s = %d %v", path, got.status, got.header)
		}
		checkHeaders(t, got.header)
	}
}

func TestOddPaths(t *testing.T) {
	d := newDesk("shop.example.com")
	s := serve(t, d)
	for _, target := range []string{
		portal.ApprovePath, "/claims/approve", link + "/", link + "/done", "/" + link, "/claims/./approve/" + value,
		"/claims/approve/../approve/" + value, "/claims//approve/" + value, "/CLAIMS/approve/" + value,
		portal.ApprovePath + "%2e%2e%2f" + value, portal.ApprovePath + value + "%00", portal.ApprovePath + value + "%0d%0aX:%20y",
		portal.ApprovePath + value + "%2f", portal.ApprovePath + value + "%20", portal.ApprovePath + value + ".", portal.ApprovePath + value + "=",
		portal.ApprovePath + value + "%3Cscript%3E", portal.ApprovePath + "%D0%B0%D0%B1%D0%B2", portal.ApprovePath + "%FF%FE",
		portal.ApprovePath + strings.Repeat("A", 10<<10), portal.ApprovePath + value + "'%22", portal.ApprovePath + "..", portal.ApprovePath + ".",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			got := s.ask(t, method, target, nil)
			if got.status != http.StatusNotFound || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s %.100s = %d, want the page of 404", method, target, got.status)
			}
			if strings.Contains(got.body, value) || strings.Contains(got.body, "<script") || len(got.body) > 8<<10 {
				t.Errorf("%s %.100s is repeated in the page", method, target)
			}
			checkHeaders(t, got.header)
		}
	}
	if asked, _ := d.calls(); asked != 0 {
		t.Errorf("the desk was asked for %q", d.values)
	}
}

func TestProblems(t *testing.T) {
	d := newDesk("shop.example.com")
	s := serve(t, d)
	secret := fmt.Errorf("look up %s: connection refused", value) // of a careless layer below
	tests := []struct {
		name   string
		err    error
		status int
		logged bool
	}{
		{"unknown", fault.New(fault.NotFound, "approval_not_found", "None."), 404, false},
		{"used", fault.New(fault.Conflict, "approval_used", "Used."), 410, false},
		{"expired", fault.New(fault.Conflict, "approval_expired", "Expired."), 410, false},
		{"moved", fault.New(fault.Conflict, "claim_moved", "Moved."), 410, false},
		{"by no rule", fault.New(fault.Invalid, "method_ended", "This method has ended."), 403, false},
		{"too often", &fault.Fault{Kind: fault.Limited, Code: "rate_limited", RetryAfter: 1500 * time.Millisecond}, 429, false},
		{"busy", &fault.Fault{Kind: fault.Unavailable, Code: "unavailable", Cause: secret}, 503, true},
		{"a bug", secret, 500, true},
		{"gone", fmt.Errorf("look up: %w", context.Canceled), 500, false},
	}
	pages := map[string]string{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d.fail(tt.err)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				before := strings.Count(s.log.String(), "level=ERROR")
				got := s.ask(t, method, link, nil)
				if got.status != tt.status {
					t.Errorf("%s = %d, want %d", method, got.status, tt.status)
				}
				if dead := got.status == 404 || got.status == 410; strings.Contains(got.body, "ACC-01") != dead {
					t.Errorf("%s says ACC-01: %t, want %t", method, !dead, dead)
				}
				if busy := got.status == 429 || got.status == 503; (got.header.Get("Retry-After") != "") != busy {
					t.Errorf("%s has Retry-After %q", method, got.header.Get("Retry-After"))
				}
				id := got.header.Get("X-Request-Id")
				if !strings.Contains(got.body, id) || strings.Contains(got.body, "refused") || strings.Contains(got.body, value) {
					t.Errorf("%s does not name the request, or says what is inside: %s", method, got.body)
				}
				if logged := strings.Count(s.log.String(), "level=ERROR") > before; logged != tt.logged {
					t.Errorf("%s is logged as an error: %t, want %t", method, logged, tt.logged)
				}
				pages[strings.ReplaceAll(got.body, id, "")] = tt.name
			}
		})
	}
	if len(pages) != len(tests)-2 { // busy as too often, a bug as one that went away
		t.Errorf("there are %d different pages", len(pages))
	}
}

func TestValueStaysSecret(t *testing.T) {
	d := newDesk("shop.example.com")
	s := serve(t, d)
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPost, http.MethodGet, http.MethodPut} {
		got := s.ask(t, method, link, nil)
		if strings.Contains(got.body, value) || strings.Contains(fmt.Sprint(got.header), value) {
			t.Errorf("%s repeats the value", method)
		}
		for _, found := range regexp.MustCompile(`(?:href|src|action|content)="([^"]*)"`).FindAllStringSubmatch(got.body, -1) {
			if strings.Contains(found[1], "//") {
				t.Errorf("%s refers to another host: %s", method, found[1])
			}
		}
	}
	d.fail(errors.New("commit " + value))
	s.ask(t, http.MethodPost, link, nil)
	if log := s.log.String(); strings.Contains(log, value) || !strings.Contains(log, "[value]") || !strings.Contains(log, "/claims/approve/{value}") {
		t.Errorf("the log holds the value, or not what happened:\n%s", log)
	}
}

func TestHostileNames(t *testing.T) {
	d := newDesk("shop.example.com")
	d.account = `</dd><script>alert(1)</script><img src=x onerror="alert('2')"> & ` + "\u202emoc.elpmaxe {{.Claim}}"
	d.links[value].Address = `"<b>"@example.com`
	d.links[value].Through = []string{"<i>.example.net"}
	s := serve(t, d)
	got := s.ask(t, http.MethodGet, link, nil)
	for _, tag := range []string{"<script", "<img", "<b>", "<i>"} {
		if strings.Contains(got.body, tag) {
			t.Errorf("the page has %s", tag)
		}
	}
	if want := "<bdi>" + html.EscapeString(d.account) + "</bdi>"; !strings.Contains(got.body, want) {
		t.Errorf("the page lacks the account's name as text:\n%s", got.body)
	}
}

func TestMethods(t *testing.T) {
	for method, rule := range map[telamon.Method]string{
		telamon.MethodEmail: "3.2.2.4.4", telamon.MethodEmailCAA: "3.2.2.4.13", telamon.MethodEmailTXT: "3.2.2.4.14",
	} {
		d := newDesk("shop.example.com")
		d.links[value].Method, d.links[value].Through = method, []string{"alias.example.net", "mail.example.org"}
		got := serve(t, d).ask(t, http.MethodGet, link, nil)
		got.body = strings.ReplaceAll(got.body, "<wbr>", "")
		if !strings.Contains(got.body, rule+"<") || !strings.Contains(got.body, ">alias.example.net<") || !strings.Contains(got.body, ">mail.example.org<") {
			t.Errorf("the page of %s lacks its rule or the names it was found through", method)
		}
	}
}

// TestAddressLimit holds that an address that opens links too often is refused, and
// told when to come again; assets are not links.
func TestAddressLimit(t *testing.T) {
	desk, clock := newDesk("example.com"), testkit.NewClock(t, "2026-11-27T10:00:00Z")
	pages := portal.New(portal.Config{Approvals: desk, Log: slog.New(slog.DiscardHandler), Addresses: web.NewLimiter(clock, 1, 2)})
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://portal.example"+portal.ApprovePath+value, nil))
		return w
	}
	for range 2 {
		if w := get(); w.Code != http.StatusOK {
			t.Fatalf("within the limit: %d", w.Code)
		}
	}
	if w := get(); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("beyond the limit: %d, %v", w.Code, w.Header())
	}
	if asked, _ := desk.calls(); asked != 2 {
		t.Errorf("the desk was asked %d times, want 2", asked)
	}
	clock.Advance(time.Second)
	if w := get(); w.Code != http.StatusOK {
		t.Errorf("a second later: %d", w.Code)
	}
}
