package atlas

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/web"
)

const goodSerial = "01077F000000000000000000000000AA" // fakeSerial

// ask serves one request. A body is sent as JSON with the token.
func ask(api http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, in)
	r.Header.Set("Authorization", "Bearer "+fakeToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// TestAnswers holds what each route answers when all is well.
func TestAnswers(t *testing.T) {
	const login = `{"api_key":"key","api_secret":"secret"}`
	tests := []struct {
		name, method, target, body string
		status                     int
		want                       string // the body
	}{
		{"login", "POST", "/v2/login", login, 200, `{"access_token":"good.token","token_type":"Bearer","expires_in":600}`},
		{"trust chain", "GET", "/v2/trustchain", "", 200,
			`["-----BEGIN CERTIFICATE-----\naXNzdWluZw==\n-----END CERTIFICATE-----\n","-----BEGIN CERTIFICATE-----\ncm9vdA==\n-----END CERTIFICATE-----\n"]`},
		{"issued", "GET", "/v2/counters/certificates/issued", "", 200, `{"value":42}`},
		{"revoked", "GET", "/v2/counters/certificates/revoked", "", 200, `{"value":7}`},
		{"quota", "GET", "/v2/quotas/issuance", "", 200, `{"value":2147483647}`},
		{"issue", "POST", "/v2/certificates", `{}`, 201, ""},
		{"rekey", "POST", "/v2/certificates/" + goodSerial + "/rekey", `{}`, 201, ""},
		{"revoke", "PATCH", "/v2/certificates/" + goodSerial, `{"revocation_reason":"superseded"}`, 204, ""},
		{"revoke as before", "DELETE", "/v2/certificates/" + goodSerial, "", 204, ""},
		{"empty list", "GET", "/v2/stats/issued", "", 200, `[]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api, _ := newTestAPI(t)
			w := ask(api, tt.method, tt.target, tt.body)
			if w.Code != tt.status || w.Body.String() != tt.want {
				t.Fatalf("%s %s: %d %s, want %d %s", tt.method, tt.target, w.Code, w.Body, tt.status, tt.want)
			}
			mediaType := ""
			if tt.want != "" {
				mediaType = "application/json;charset=utf-8"
			}
			if got := w.Header().Get("Content-Type"); got != mediaType {
				t.Errorf("Content-Type %q, want %q", got, mediaType)
			}
			location := ""
			if tt.status == http.StatusCreated {
				location = "/v2/certificates/" + goodSerial
				if got := w.Header().Get("Content-Length"); got != "0" {
					t.Errorf("Content-Length %q, want 0", got)
				}
			}
			if got := w.Header().Get("Location"); got != location {
				t.Errorf("Location %q, want %q", got, location)
			}
		})
	}
}

func TestGetCertificate(t *testing.T) {
	for status, word := range map[telamon.CertificateStatus]string{telamon.StatusIssued: "ISSUED", telamon.StatusRevoked: "REVOKED"} {
		api, fake := newTestAPI(t)
		fake.status = status
		w := ask(api, "GET", "/v2/certificates/"+goodSerial, "")
		var body certificateBody
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		block, rest := pem.Decode([]byte(body.Certificate))
		if block == nil || len(rest) > 0 || strings.HasSuffix(body.Certificate, "\n\n") || strings.Contains(body.Certificate, "\r") {
			t.Errorf("not one block and one newline: %q", body.Certificate)
		}
		if body.Status != word || body.UpdatedAt != 1767225601 {
			t.Errorf("%s, %d; want %s, 1767225601", body.Status, body.UpdatedAt, word)
		}
	}
	t.Run("of a status that clients cannot read", func(t *testing.T) {
		api, fake := newTestAPI(t)
		fake.status = "expired"
		if w := ask(api, "GET", "/v2/certificates/"+goodSerial, ""); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%d %s, want 503", w.Code, w.Body)
		}
	})
}

// TestSerialForms holds every spelling of a serial in a path.
func TestSerialForms(t *testing.T) {
	tests := []struct {
		text   string
		status int
	}{
		{goodSerial, 200},
		{strings.ToLower(goodSerial), 200},
		{goodSerial[1:], 200},
		{"00000000" + goodSerial, 200},
		{"%30" + goodSerial[1:], 200},
		{strings.Repeat("F", 40), 404},
		{"00000001" + goodSerial, 404},
		{"1", 404},
		{strings.Repeat("0", 41), 422},
		{"0x01", 422},
		{"01%2F02", 422},
		{"01:07:7F:00:00:00:00:00:00:00:00:00:00:00:00:AA", 422},
	}
	for _, tt := range tests {
		for _, route := range [][3]string{
			{"GET", "", ""}, {"DELETE", "", ""}, {"PATCH", "", `{"revocation_reason":"unspecified"}`}, {"POST", "/rekey", `{}`},
		} {
			api, fake := newTestAPI(t)
			w := ask(api, route[0], "/v2/certificates/"+tt.text+route[1], route[2])
			switch reached := len(fake.asked) == 1 && fake.asked[0] == fakeSerial; {
			case reached != (tt.status == 200):
				t.Errorf("%s %s: reached the use case as %v", route[0], tt.text, fake.asked)
			case !reached && w.Code != tt.status:
				t.Errorf("%s %s: %d %s, want %d", route[0], tt.text, w.Code, w.Body, tt.status)
			}
			if tt.status == 422 && !strings.Contains(w.Body.String(), `"invalid serial number length"`) {
				t.Errorf("%s %s: %s", route[0], tt.text, w.Body)
			}
		}
	}
}

// TestRouting holds which paths and methods exist, however they are spelled.
func TestRouting(t *testing.T) {
	tests := []struct {
		method, target string
		status         int
		allow          string
	}{
		{"GET", "/v2/trustchain", 200, ""},
		{"GET", "/v2/trustchain/", 200, ""},
		{"GET", "//v2///trustchain//", 200, ""},
		{"GET", "/v2/trust%63hain", 200, ""},
		{"HEAD", "/v2/trustchain", 200, ""},
		{"GET", "/v2/trustchain/x", 404, ""},
		{"GET", "/v2/trustchain%2F", 404, ""},
		{"GET", "/v2/Trustchain", 404, ""},
		{"GET", "/v2/x/../trustchain", 404, ""},
		{"GET", "/v2/%2e/trustchain", 404, ""},
		{"GET", "/v2", 404, ""},
		{"GET", "/", 404, ""},
		{"GET", "/trustchain", 404, ""},
		{"GET", "/v2.1/trustchain", 404, ""},
		{"POST", "/v2/claims/domains", 405, "GET, HEAD"},
		{"POST", "/v2/claims/ipaddresses/", 405, "GET, HEAD"},
		{"PUT", "/v2/claims/domains/" + goodClaim, 405, "DELETE, GET, HEAD, POST"},
		{"PATCH", "/v2/claims/ipaddresses/" + goodClaim, 405, "DELETE, GET, HEAD, POST"},
		{"DELETE", "/v2/claims/domains/" + goodClaim + "/dns", 405, "GET, HEAD, POST"},
		{"GET", "/v2/claims/domains/" + goodClaim + "/http", 405, "POST"},
		{"PUT", "/v2/claims/domains/" + goodClaim + "/email", 405, "GET, HEAD, POST"},
		{"GET", "/v2/claims/domains/" + goodClaim + "/reassert", 405, "POST"},
		{"GET", "/v2/claims/ipaddresses/" + goodClaim + "/http", 405, "POST"},
		{"POST", "/v2/claims/ipaddresses/" + goodClaim + "/dns", 404, ""},
		{"POST", "/v2/claims/ipaddresses/" + goodClaim + "/email", 404, ""},
		{"POST", "/v2/claims/domainsshop.example.net", 404, ""},
		{"GET", "/v2/claims", 404, ""},
		{"POST", "/v2/trustchain", 405, "GET, HEAD"},
		{"GET", "/v2/login", 405, "POST"},
		{"GET", "/v2/certificates/", 405, "POST"},
		{"PUT", "/v2/certificates/01", 405, "DELETE, GET, HEAD, PATCH"},
		{"GET", "/v2/certificates/01/rekey", 405, "POST"},
		{"OPTIONS", "/v2/certificates", 405, "POST"},
		{"CONNECT", "/v2/certificates", 405, "POST"},
	}
	api, _ := newTestAPI(t)
	for _, tt := range tests {
		w := ask(api, tt.method, tt.target, "")
		if w.Code != tt.status || w.Header().Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d, Allow %q; want %d, %q", tt.method, tt.target, w.Code, w.Header().Get("Allow"), tt.status, tt.allow)
		}
		if w.Code >= 400 && w.Header().Get("Content-Type") != typeProblem {
			t.Errorf("%s %s: Content-Type %q", tt.method, tt.target, w.Header().Get("Content-Type"))
		}
	}
}

func TestServedAtRootToo(t *testing.T) {
	_, fake := newTestAPI(t)
	api := New(Config{RA: fake, IAM: fake, Clock: testkit.NewClock(t, testNow), Log: slog.New(slog.DiscardHandler), AtRoot: true})
	for _, target := range []string{"/certificates", "/v2/certificates"} {
		w := ask(api, "POST", target, `{}`)
		if got := w.Header().Get("Location"); w.Code != 201 || got != "/v2/certificates/"+goodSerial {
			t.Errorf("POST %s: %d, Location %q", target, w.Code, got)
		}
	}
}

// TestPatternIsTheLabel holds that whoever measures requests can label them by
// their route, and by nothing that a client chose.
func TestPatternIsTheLabel(t *testing.T) {
	api, _ := newTestAPI(t)
	for target, want := range map[string]string{"//v2/certificates/01/": "/v2/certificates/{sn}", "/v2/x": "/", "/v2/../x": ""} {
		r := httptest.NewRequest("GET", target, nil)
		api.ServeHTTP(httptest.NewRecorder(), r)
		if r.Pattern != want {
			t.Errorf("%s has the pattern %q, want %q", target, r.Pattern, want)
		}
	}
}

// TestOrderOfChecks breaks more and more of a request from the last check to the
// first: the earliest one answers.
func TestOrderOfChecks(t *testing.T) {
	api, fake := newTestAPI(t)
	fake.err = fault.New(fault.Limited, fault.CodeQuotaReached, "")
	const target, bad, jsonType = "/v2/certificates/" + goodSerial, `{"revocation_reason":`, "application/json"
	tests := []struct {
		name                       string
		method, target, body       string
		token, mediaType, encoding string
		status                     int
	}{
		{"quota", "PATCH", target, `{"revocation_reason":"superseded"}`, fakeToken, jsonType, "", 402},
		{"semantics", "PATCH", target, `{}`, fakeToken, jsonType, "", 422},
		{"JSON before the serial", "PATCH", "/v2/certificates/zz", bad, fakeToken, jsonType, "", 400},
		{"type", "PATCH", target, bad, fakeToken, "text/plain", "", 415},
		{"compressed", "PATCH", target, bad, fakeToken, jsonType, "gzip", 415},
		{"token", "PATCH", target, bad, "bad", "text/plain", "", 401},
		{"method", "PUT", target, bad, "bad", "text/plain", "", 405},
		{"route", "PUT", "/v2/x", bad, "bad", "text/plain", "", 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(api, tt.method, tt.target, tt.body, "Authorization", "Bearer "+tt.token, "Content-Type", tt.mediaType, "Content-Encoding", tt.encoding)
			if w.Code != tt.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, tt.status)
			}
		})
	}
}

func TestContentTypes(t *testing.T) {
	tests := []struct {
		value string
		ok    bool
	}{
		{"application/json;charset=utf-8", true},
		{"application/json; charset=UTF-8", true},
		{"application/json;charset=UTF-8", true},
		{`Application/JSON ; Charset="utf-8"`, true},
		{"application/json", true},
		{"application/json;", true},
		{"application/json; profile=x", true},
		{"", false},
		{"text/json", false},
		{"application/json;charset=iso-8859-1", false},
		{"application/json; profile=x; charset=utf-16", false},
		{"application/jsonp", false},
		{"application/problem+json", false},
		{"application/x-www-form-urlencoded", false},
	}
	for _, tt := range tests {
		if got := isJSON(http.Header{"Content-Type": {tt.value}}); got != tt.ok {
			t.Errorf("Content-Type %q is JSON: %v, want %v", tt.value, got, tt.ok)
		}
	}
	if isJSON(http.Header{"Content-Type": {"application/json", "text/plain"}}) || isJSON(http.Header{}) {
		t.Error("two types or none are JSON")
	}
}

func TestAuthorizationHeader(t *testing.T) {
	tests := []struct {
		value  string
		status int
	}{
		{"Bearer " + fakeToken, 200},
		{"bearer " + fakeToken, 200},
		{"BEARER   " + fakeToken + " ", 200},
		{"Bearer", 401},
		{"Bearer ", 401},
		{"", 401},
		{fakeToken, 401},
		{"Basic " + fakeToken, 401},
		{"Bearer " + fakeToken + " x", 401},
		{"Bearer " + strings.Repeat("a", maxToken+1), 401},
	}
	api, _ := newTestAPI(t)
	for _, tt := range tests {
		w := ask(api, "GET", "/v2/trustchain", "", "Authorization", tt.value)
		if w.Code != tt.status || (w.Code == 401) != (w.Header().Get("WWW-Authenticate") == "Bearer") {
			t.Errorf("Authorization %.40q: %d %v, want %d", tt.value, w.Code, w.Header(), tt.status)
		}
		const login = `{"api_key":"key","api_secret":"secret"}`
		if w := ask(api, "POST", "/v2/login", login, "Authorization", tt.value); w.Code != 200 {
			t.Errorf("login with Authorization %.40q: %d %s, want 200", tt.value, w.Code, w.Body)
		}
	}
}

func TestModeChecksOnly(t *testing.T) {
	for mode, only := range map[string]bool{"domain-validation": true, "Domain-Validation": true, "other": false, "": false} {
		api, fake := newTestAPI(t)
		w := ask(api, "POST", "/v2/certificates", `{}`, "mode", mode)
		if fake.checked != only || (fake.issued == nil) != only || (w.Code == 204) != only {
			t.Errorf("mode %q: %d, checked %v, issued %v", mode, w.Code, fake.checked, fake.issued)
		}
		if only && (w.Header().Get("Location") != "" || w.Body.Len() > 0) {
			t.Errorf("mode %q: %v %s", mode, w.Header(), w.Body)
		}
	}
}

// TestBodyTooLong sends to each route a body of the longest length, which is not
// complained about, and one that is a byte longer.
func TestBodyTooLong(t *testing.T) {
	small := func(api *API) { api.maxBody = 1 << 10 }
	for _, tt := range []struct {
		name, method, path string
		set                func(*API)
		limit              int
	}{
		{"a request", "POST", "/v2/certificates", nil, DefaultMaxBody},
		{"a rekey", "POST", "/v2/certificates/01/rekey", nil, DefaultMaxBody},
		{"a login", "POST", "/v2/login", nil, 4 << 10},
		{"a revocation", "PATCH", "/v2/certificates/01", nil, 64 << 10},
		{"a check", "POST", "/v2/claims/domains/" + goodClaim + "/dns", nil, 8 << 10},
		{"a mailbox", "POST", "/v2/claims/domains/" + goodClaim + "/email", nil, 8 << 10},
		{"a login where little is allowed", "POST", "/v2/login", small, 1 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{tt.limit, tt.limit + 1} {
				api, fake := newTestAPI(t)
				if tt.set != nil {
					tt.set(api)
				}
				frame := `{"x":""}`
				w := ask(api, tt.method, tt.path, `{"x":"`+strings.Repeat("a", size-len(frame))+`"}`)
				tooLong := strings.Contains(w.Body.String(), "is too long")
				if tooLong != (size > tt.limit) || tooLong && (w.Code != 400 || fake.issued != nil) {
					t.Errorf("%d bytes: %d %s", size, w.Code, w.Body)
				}
			}
		})
	}
}

func TestPanicIsAnswered(t *testing.T) {
	_, fake := newTestAPI(t)
	api := New(Config{RA: panicking{fake}, IAM: fake, Clock: testkit.NewClock(t, testNow), Log: slog.New(slog.DiscardHandler)})
	w := ask(api, "GET", "/v2/trustchain", "")
	if w.Code != 503 || w.Header().Get("Content-Type") != typeProblem || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %v %s, want 503", w.Code, w.Header(), w.Body)
	}
}

// panicking has a bug.
type panicking struct{ *fake }

func (panicking) TrustChain(context.Context, telamon.Actor) ([]*x509.Certificate, error) {
	panic("a secret of the inside")
}

// TestRateLimits holds that an address and a credential are each bounded, with a
// word on when to come back, and that another address is not.
func TestRateLimits(t *testing.T) {
	clock := testkit.NewClock(t, testNow)
	call := func(api http.Handler, address, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/v2/trustchain", nil)
		r.RemoteAddr = net.JoinHostPort(address, "1")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		web.Clients{}.Wrap(api).ServeHTTP(w, r)
		return w
	}
	limited := func(t *testing.T, w *httptest.ResponseRecorder) {
		t.Helper()
		if w.Code != 429 || w.Header().Get("Retry-After") != "10" || !strings.Contains(w.Body.String(), "Rate Limit Reached") {
			t.Errorf("%d, Retry-After %q, %s; want 429 and 10", w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
	from := func(api http.Handler, address string) *httptest.ResponseRecorder {
		return call(api, address, fakeToken)
	}
	t.Run("address", func(t *testing.T) {
		_, fake := newTestAPI(t)
		api := New(Config{RA: fake, IAM: fake, Clock: clock, Log: slog.New(slog.DiscardHandler), Addresses: web.NewLimiter(clock, 0.1, 2)})
		refused := func(address string) *httptest.ResponseRecorder { return call(api, address, "no-token") }
		for range 2 {
			if w := refused("2001:db8::1"); w.Code != 401 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		limited(t, refused("2001:db8::2"))
		if w := refused("2001:db8:0:1::1"); w.Code != 401 {
			t.Errorf("another network: %d %s", w.Code, w.Body)
		}
		for range 3 {
			if w := from(api, "2001:db8::1"); w.Code != 200 {
				t.Errorf("a good token: %d %s", w.Code, w.Body)
			}
		}
		clock.Advance(10 * time.Second)
		if w := refused("2001:db8::1"); w.Code != 401 {
			t.Errorf("later: %d %s", w.Code, w.Body)
		}
	})
	t.Run("credential", func(t *testing.T) {
		_, fake := newTestAPI(t)
		api := New(Config{RA: fake, IAM: fake, Clock: clock, Log: slog.New(slog.DiscardHandler), Credentials: web.NewLimiter(clock, 0.1, 1)})
		if w := from(api, "192.0.2.1"); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		limited(t, from(api, "192.0.2.2"))
	})
	t.Run("account", func(t *testing.T) {
		_, fake := newTestAPI(t)
		accounts := web.NewLimiter(clock, 0.1, 2)
		api := New(Config{RA: fake, IAM: fake, Clock: clock, Log: slog.New(slog.DiscardHandler), Accounts: accounts})
		if err := accounts.Allow(fake.account.String()); err != nil { // another credential of theirs
			t.Fatal(err)
		}
		if w := from(api, "192.0.2.1"); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		limited(t, from(api, "192.0.2.2"))
		fake.account = telamon.NewAccountID()
		if w := from(api, "192.0.2.1"); w.Code != 200 {
			t.Errorf("another account: %d %s", w.Code, w.Body)
		}
	})
}

func TestAddressKey(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
	} {
		if got := web.AddressKey(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

// TestStatistics holds the windows, the paging and the headers of lists.
func TestStatistics(t *testing.T) {
	const now = 1767225600
	tests := []struct {
		target        string
		total         int64
		listing       store.Listing
		from, to      int64
		page, perPage int64
		links         string
	}{
		{"issued", 0, store.Issued, now - 600, now, 1, 100,
			`</v2/stats/issued?from=1767225000&page=1&to=1767225600>; rel="last"`},
		{"revoked?page=0&per_page=0", 100, store.Revoked, now - 600, now, 1, 100,
			`</v2/stats/revoked?from=1767225000&page=1&per_page=100&to=1767225600>; rel="last"`},
		{"expiring", 1, store.Expiring, now, now + 2592000, 1, 100,
			`</v2/stats/expiring?from=1767225600&page=1&to=1769817600>; rel="last"`},
		{"issued?page=3&from=1767225600&to=1767225600", 401, store.Issued, now, now, 3, 100,
			`</v2/stats/issued?from=1767225600&page=2&to=1767225600>; rel="previous", ` +
				`</v2/stats/issued?from=1767225600&page=4&to=1767225600>; rel="next", ` +
				`</v2/stats/issued?from=1767225600&page=5&to=1767225600>; rel="last"`},
		{"issued?page=999&per_page=1000&x=next", 150, store.Issued, now - 600, now, 999, 100,
			`</v2/stats/issued?from=1767225000&page=2&per_page=100&to=1767225600>; rel="previous", ` +
				`</v2/stats/issued?from=1767225000&page=2&per_page=100&to=1767225600>; rel="last"`},
		{"issued?per_page=-5", 0, store.Issued, now - 600, now, 1, 100,
			`</v2/stats/issued?from=1767225000&page=1&per_page=100&to=1767225600>; rel="last"`},
		{"issued?from=1767225500", 0, store.Issued, now - 100, now, 1, 100,
			`</v2/stats/issued?from=1767225500&page=1&to=1767225600>; rel="last"`},
		{"revoked?to=1767225500", 0, store.Revoked, now - 700, now - 100, 1, 100,
			`</v2/stats/revoked?from=1767224900&page=1&to=1767225500>; rel="last"`},
		{"expiring?from=0", 0, store.Expiring, 0, 2592000, 1, 100,
			`</v2/stats/expiring?from=0&page=1&to=2592000>; rel="last"`},
		{"expiring?to=1767225700", 0, store.Expiring, now, now + 100, 1, 100,
			`</v2/stats/expiring?from=1767225600&page=1&to=1767225700>; rel="last"`},
		{"issued?from=1764633600&to=1767225600&per_page=7", 8, store.Issued, now - 2592000, now, 1, 7,
			`</v2/stats/issued?from=1764633600&page=2&per_page=7&to=1767225600>; rel="next", ` +
				`</v2/stats/issued?from=1764633600&page=2&per_page=7&to=1767225600>; rel="last"`},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			api, fake := newTestAPI(t)
			fake.total = tt.total
			fake.rows = []store.ListedCertificate{{Serial: fakeSerial, NotBefore: time.Unix(now, 0), NotAfter: time.Unix(now+60, 0)}}
			w := ask(api, "GET", "/v2/stats/"+tt.target, "")
			const row = `[{"serial_number":"` + goodSerial + `","not_before":1767225600,"not_after":1767225660}]`
			if w.Code != 200 || w.Body.String() != row {
				t.Fatalf("%d %s, want 200 %s", w.Code, w.Body, row)
			}
			l := fake.listed
			if l.listing != tt.listing || l.from != tt.from || l.to != tt.to || l.page != tt.page || l.perPage != tt.perPage {
				t.Errorf("lists %+v, want %d from %d to %d, page %d of %d", l, tt.listing, tt.from, tt.to, tt.page, tt.perPage)
			}
			if got := w.Header().Get("Links"); got != tt.links {
				t.Errorf("Links: %s\nwant   %s", got, tt.links)
			}
			if got := w.Header().Get("Total-Count"); got != fmt.Sprint(tt.total) {
				t.Errorf("Total-Count %s, want %d", got, tt.total)
			}
		})
	}
}

func TestStatisticsRefused(t *testing.T) {
	tests := []struct {
		query  string
		status int
		want   string
	}{
		{"page=one", 422, "page: is invalid"},
		{"per_page=1.5", 422, "per_page: is invalid"},
		{"from=yesterday", 422, "from: is invalid"},
		{"to=99999999999999999999", 422, "to: is invalid"},
		{"from=-99999999999999999999", 422, "from: is invalid"},
		{"from=5&to=4", 422, "from: is after to"},
		{"from=1767225601", 422, "from: is after to"},
		{"from=0&to=2592001", 422, "to: is more than 2592000 seconds after from"},
		{"from=%zz", 400, "Bad Request"},
		{"from=1;to=2", 400, "Bad Request"},
	}
	for _, tt := range tests {
		api, _ := newTestAPI(t)
		w := ask(api, "GET", "/v2/stats/issued?"+tt.query, "")
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != tt.status || p.Description != tt.want {
			t.Errorf("%s: %d %s, want %d %s", tt.query, w.Code, w.Body, tt.status, tt.want)
		}
	}
}
