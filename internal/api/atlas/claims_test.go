package atlas

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
)

const goodClaim = "01A21DFF92C571679C1637AF2AA344A6" // fakeClaimID

var fakeClaimID = telamon.ClaimIDFromBytes([16]byte{0x01, 0xa2, 0x1d, 0xff, 0x92, 0xc5, 0x71, 0x67, 0x9c, 0x16, 0x37, 0xaf, 0x2a, 0xa3, 0x44, 0xa6})

// newClaimAPI returns an API over a fake that knows a pending claim.
func newClaimAPI(t testing.TB) (*API, *fake) {
	api, f := newTestAPI(t)
	f.claim = telamon.Claim{
		ID: fakeClaimID, Kind: telamon.ClaimDomain, Name: "shop.example", CreatedAt: time.Unix(1767225600, 5e8),
		Token: "9f3c", AssertBy: time.Unix(1769817600, 0), Status: telamon.ClaimPending,
	}
	return api, f
}

const (
	pendingClaim = `{"id":"` + goodClaim + `","status":"PENDING","domain":"shop.example.","created_at":1767225600,"expires_at":0,` +
		`"assert_by":1769817600,"token":"prefix=9f3c","log":[]}`
	tokenAnswer = `{"token":"prefix=9f3c","assert_by":1769817600,"id":"` + goodClaim + `","domain":"shop.example."}`
	noMailboxes = `{"constructed":[],"DNS":{"SOA":{"emails":[]},"CAA":{"emails":[]},"TXT":{"emails":[]}}}`
)

// TestClaimAnswers holds what each route of claims answers when all is well.
func TestClaimAnswers(t *testing.T) {
	const domains, one = "/v2/claims/domains", "/v2/claims/domains/" + goodClaim
	tests := []struct {
		name, method, target, body string
		status                     int
		want                       string // the body
		located                    bool
	}{
		{"submit", "POST", domains + "/shop.example", "", 201, tokenAnswer, true},
		{"reassert", "POST", one + "/reassert", "", 201, tokenAnswer, true},
		{"show", "GET", one, "", 200, pendingClaim, false},
		{"list", "GET", domains, "", 200, "[" + pendingClaim + "]", false},
		{"delete", "DELETE", one, "", 204, "", false},
		{"allowed domains, none", "GET", one + "/dns", "", 200, "[]", false},
		{"check by DNS", "POST", one + "/dns", "", 201, "", false},
		{"check by HTTP", "POST", one + "/http", "", 201, "", false},
		{"mailboxes, none", "GET", one + "/email", "", 200, noMailboxes, false},
		{"mail", "POST", one + "/email", `{"email_address":"admin@shop.example"}`, 201, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api, _ := newClaimAPI(t)
			w := ask(api, tt.method, tt.target, tt.body)
			if w.Code != tt.status || w.Body.String() != tt.want {
				t.Fatalf("%s %s: %d %s, want %d %s", tt.method, tt.target, w.Code, w.Body, tt.status, tt.want)
			}
			mediaType, location, length := "", "", ""
			if tt.want != "" {
				mediaType, length = typeJSON, fmt.Sprint(len(tt.want))
			} else if tt.status == http.StatusCreated {
				length = "0"
			}
			if tt.located {
				location = one
			}
			for name, want := range map[string]string{"Content-Type": mediaType, "Location": location, "Content-Length": length} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestClaimSegment holds that POST takes the segment after the kind as what is
// claimed, decoded once, and every other method as a claim's ID.
func TestClaimSegment(t *testing.T) {
	for target, want := range map[string]string{
		"/v2/claims/domains/Shop.Example.":            "Shop.Example.",
		"/v2/claims/domains/shop.example/":            "shop.example",
		"/v2/claims/domains/%2A.shop.example":         "*.shop.example",
		"/v2/claims/domains/%252A.shop.example":       "%2A.shop.example",
		"/v2/claims/domains/a%2Fb.example":            "a/b.example",
		"/v2/claims/domains/b%C3%BCcher.example":      "bücher.example",
		"/v2/claims/domains/" + goodClaim:             goodClaim,
		"/v2/claims/ipaddresses/2001:db8::1":          "2001:db8::1",
		"/v2/claims/ipaddresses/2001%3Adb8%3A%3A1%2F": "2001:db8::1/",
	} {
		api, fake := newClaimAPI(t)
		kind := telamon.ClaimDomain
		if strings.Contains(target, "ipaddresses") {
			kind = telamon.ClaimIP
		}
		if w := ask(api, "POST", target, ""); w.Code != 201 || fake.claims.name != want || fake.claims.kind != kind {
			t.Errorf("POST %s: %d, claims %s %q, want %s %q", target, w.Code, fake.claims.kind, fake.claims.name, kind, want)
		}
	}
	mixed := strings.ToLower(goodClaim[:16]) + goodClaim[16:]
	for segment, status := range map[string]int{
		goodClaim: 0, strings.ToLower(goodClaim): 0, mixed: 0, "%30" + goodClaim[1:]: 0, goodClaim + "/": 0,
		goodClaim[1:]: 404, "0" + goodClaim: 404, goodClaim + "00": 404, "01": 404, "shop.example": 404,
		strings.Repeat("G", 32): 404, fakeClaimID.String(): 404, "01-" + goodClaim[2:]: 404,
	} {
		for _, route := range [][3]string{
			{"GET", "domains", ""}, {"DELETE", "domains", ""}, {"GET", "domains", "/dns"}, {"POST", "domains", "/dns"}, {"POST", "domains", "/http"},
			{"GET", "domains", "/email"}, {"POST", "domains", "/email"}, {"POST", "domains", "/reassert"},
			{"GET", "ipaddresses", ""}, {"DELETE", "ipaddresses", ""}, {"POST", "ipaddresses", "/http"}, {"POST", "ipaddresses", "/reassert"},
		} {
			api, fake := newClaimAPI(t)
			body := ""
			if route[0] == "POST" && route[2] == "/email" {
				body = `{"email_address":"a@b.example"}`
			}
			w := ask(api, route[0], "/v2/claims/"+route[1]+"/"+segment+route[2], body)
			if asked := fake.claims.id == fakeClaimID; asked == (status == 404) || (w.Code == 404) != (status == 404) {
				t.Errorf("%s %s%s of %s: %d %s, asks for %q", route[0], segment, route[2], route[1], w.Code, w.Body, fake.claims.id)
			}
		}
	}
}

// TestClaimStates holds what a claim looks like in each state and by each method.
func TestClaimStates(t *testing.T) {
	verified := func(m telamon.Method) func(*telamon.Claim) {
		return func(c *telamon.Claim) {
			c.Status, c.Method, c.VerifiedAt, c.ExpiresAt = telamon.ClaimVerified, m, time.Unix(1767226000, 0), time.Unix(1784000000, 0)
		}
	}
	tests := []struct {
		name   string
		change func(*telamon.Claim)
		want   map[string]any // members that differ from those of a pending claim
	}{
		{"pending", func(*telamon.Claim) {}, nil},
		{"verified by DNS", verified(telamon.MethodDNS), map[string]any{"status": "VERIFIED", "last_verification_method": "DNS"}},
		{"by a standing record", verified(telamon.MethodPersist), map[string]any{"status": "VERIFIED", "last_verification_method": "DNS"}},
		{"by HTTP", verified(telamon.MethodHTTP), map[string]any{"status": "VERIFIED", "last_verification_method": "HTTP"}},
		{"by e-mail", verified(telamon.MethodEmail), map[string]any{"status": "VERIFIED", "last_verification_method": "EMAIL"}},
		{"by a contact in CAA", verified(telamon.MethodEmailCAA), map[string]any{"status": "VERIFIED", "last_verification_method": "EMAIL"}},
		{"by a contact in TXT", verified(telamon.MethodEmailTXT), map[string]any{"status": "VERIFIED", "last_verification_method": "EMAIL"}},
		{"expired", func(c *telamon.Claim) {
			verified(telamon.MethodDNS)(c)
			c.Status = telamon.ClaimPending
		}, map[string]any{"last_verification_method": "DNS"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api, fake := newClaimAPI(t)
			tt.change(&fake.claim)
			var want map[string]any
			if err := json.Unmarshal([]byte(pendingClaim), &want); err != nil {
				t.Fatal(err)
			}
			for name, value := range tt.want {
				want[name] = value
			}
			if tt.want != nil {
				want["expires_at"], want["last_verified_at"] = 1784000000.0, 1767226000.0
			}
			for _, target := range []string{"/v2/claims/domains/" + goodClaim, "/v2/claims/domains"} {
				w := ask(api, "GET", target, "")
				var got map[string]any
				if err := json.Unmarshal([]byte(strings.Trim(w.Body.String(), "[]")), &got); err != nil {
					t.Fatalf("GET %s: %s: %v", target, w.Body, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("GET %s differs (-want +got):\n%s", target, diff)
				}
			}
		})
	}
}

func TestClaimLog(t *testing.T) {
	api, fake := newClaimAPI(t)
	fake.log = []telamon.ClaimLogEntry{
		{At: time.Unix(1767225700, 9e8), Status: telamon.LogError, Method: telamon.MethodHTTP, Description: "<url>: status"},
		{At: time.Unix(1767225800, 0), Status: telamon.LogInfo, Method: telamon.MethodEmailTXT, Description: "mail sent"},
		{At: time.Unix(1767225900, 0), Status: telamon.LogSuccess, Method: telamon.MethodPersist, Description: "claim successfully verified"},
	}
	const want = `[{"status":"ERROR","description":"\u003curl\u003e: status","timestamp":1767225700,"method":"HTTP"},` +
		`{"status":"INFO","description":"mail sent","timestamp":1767225800,"method":"EMAIL"},` +
		`{"status":"SUCCESS","description":"claim successfully verified","timestamp":1767225900,"method":"DNS"}]`
	for _, target := range []string{"/v2/claims/domains/" + goodClaim, "/v2/claims/domains"} {
		if w := ask(api, "GET", target, ""); !strings.Contains(w.Body.String(), `"log":`+want) {
			t.Errorf("GET %s: %s, want the log %s", target, w.Body, want)
		}
	}
}

// TestAddressClaims holds that claims to IP addresses have a member of their own and
// are located where they are.
func TestAddressClaims(t *testing.T) {
	const one = "/v2/claims/ipaddresses/" + goodClaim
	for _, tt := range []struct{ method, target, location, list string }{
		{"POST", "/v2/claims/ipaddresses/2001:db8::1", one, ""},
		{"POST", one + "/reassert", one, ""},
		{"GET", one, "", ""},
		{"GET", "/v2/claims/ipaddresses?page=2&domain=x.example", "", `</v2/claims/ipaddresses?page=1>; rel="previous", </v2/claims/ipaddresses?page=1>; rel="last"`},
	} {
		api, fake := newClaimAPI(t)
		fake.claim.Kind, fake.claim.Name = telamon.ClaimIP, "2001:db8::1"
		w := ask(api, tt.method, tt.target, "")
		if !strings.Contains(w.Body.String(), `"ip_address":"2001:db8::1"`) || strings.Contains(w.Body.String(), `"domain"`) {
			t.Errorf("%s %s: %d %s", tt.method, tt.target, w.Code, w.Body)
		}
		if w.Header().Get("Location") != tt.location || w.Header().Get("Links") != tt.list {
			t.Errorf("%s %s: %v", tt.method, tt.target, w.Header())
		}
		if kind := fake.claims.kind + fake.claims.listing.Kind; kind != telamon.ClaimIP {
			t.Errorf("%s %s asks for claims of kind %q", tt.method, tt.target, kind)
		}
		if fake.claims.listing.Pattern != "" {
			t.Errorf("addresses are looked for by %q", fake.claims.listing.Pattern)
		}
	}
}

// TestCheckRequests holds what a check is asked to look at.
func TestCheckRequests(t *testing.T) {
	const absent = "(absent)"
	tests := []struct {
		name, path, body, mediaType string
		status                      int
		at, scheme                  string
	}{
		{"no body", "/dns", "", "", 201, absent, ""},
		{"no body and a type", "/dns", "", "application/json; charset=UTF-8", 201, absent, ""},
		{"no body and any type", "/dns", "", "text/plain", 201, absent, ""},
		{"a newline", "/dns", "\n", "application/json", 201, absent, ""},
		{"no members", "/dns", `{}`, "application/json", 201, absent, ""},
		{"null", "/dns", `{"authorization_domain":null}`, "application/json", 201, absent, ""},
		{"a list of nothing", "/dns", `{"authorization_domain":[]}`, "application/json", 201, absent, ""},
		{"an object of nothing", "/dns", `{"authorization_domain":{"x":""}}`, "application/json", 201, absent, ""},
		{"other members", "/dns", `{"scheme":"https","x":1}`, "application/json", 201, absent, ""},
		{"a domain", "/dns", `{"authorization_domain":"_x.Shop.Example."}`, "application/json;charset=utf-8", 201, "_x.Shop.Example.", ""},
		{"the empty text", "/dns", `{"authorization_domain":""}`, "application/json", 422, "", ""},
		{"a number", "/dns", `{"authorization_domain":5}`, "application/json", 400, "", ""},
		{"no object", "/dns", `"shop.example"`, "application/json", 400, "", ""},
		{"no JSON", "/dns", `authorization_domain=x`, "application/json", 400, "", ""},
		{"a form", "/dns", `authorization_domain=x`, "application/x-www-form-urlencoded", 415, "", ""},
		{"no type", "/dns", `{}`, "", 415, "", ""},

		{"no body", "/http", "", "", 201, absent, "http"},
		{"no members", "/http", `{}`, "application/json", 201, absent, "http"},
		{"a scheme", "/http", `{"scheme":"https"}`, "application/json", 201, absent, "https"},
		{"in upper case", "/http", `{"scheme":"HTTP"}`, "application/json", 201, absent, "http"},
		{"one that is no scheme", "/http", `{"scheme":"FTP"}`, "application/json", 201, absent, "ftp"}, // for ra to judge
		{"an empty scheme", "/http", `{"scheme":""}`, "application/json", 201, absent, "http"},
		{"both", "/http", `{"authorization_domain":"shop.example","scheme":"Https"}`, "application/json", 201, "shop.example", "https"},
		{"the empty text", "/http", `{"authorization_domain":"","scheme":"http"}`, "application/json", 422, "", ""},
		{"a number for a scheme", "/http", `{"scheme":80}`, "application/json", 400, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.path+" "+tt.name, func(t *testing.T) {
			api, fake := newClaimAPI(t)
			w := ask(api, "POST", "/v2/claims/domains/"+goodClaim+tt.path, tt.body, "Content-Type", tt.mediaType)
			got := ""
			switch {
			case fake.claims.adn != nil:
				got = *fake.claims.adn
			case fake.claims.id != "":
				got = absent
			}
			if w.Code != tt.status || got != tt.at || fake.claims.scheme != tt.scheme {
				t.Errorf("%s: %d %s, looks at %q by %q; want %d, %q by %q", tt.body, w.Code, w.Body, got, fake.claims.scheme, tt.status, tt.at, tt.scheme)
			}
		})
	}
	t.Run("of an address", func(t *testing.T) {
		api, fake := newClaimAPI(t)
		w := ask(api, "POST", "/v2/claims/ipaddresses/"+goodClaim+"/http", `{"authorization_domain":"x","authorization_ip_address":"192.0.2.1"}`)
		if at := fake.claims.adn; w.Code != 201 || at == nil || *at != "192.0.2.1" || fake.claims.kind != telamon.ClaimIP {
			t.Errorf("%d %s, looks at %v of kind %q", w.Code, w.Body, at, fake.claims.kind)
		}
		if w := ask(api, "POST", "/v2/claims/ipaddresses/"+goodClaim+"/http", `{"authorization_ip_address":""}`); w.Code != 422 {
			t.Errorf("the empty text: %d %s, want 422", w.Code, w.Body)
		}
	})
	t.Run("the body before the claim", func(t *testing.T) {
		api, _ := newClaimAPI(t)
		for body, want := range map[string]int{`{`: 400, `{"authorization_domain":""}`: 422, `{}`: 404} {
			if w := ask(api, "POST", "/v2/claims/domains/01/dns", body); w.Code != want {
				t.Errorf("%s: %d %s, want %d", body, w.Code, w.Body, want)
			}
		}
	})
}

// TestChunksWithoutContent holds over a real connection that a request whose chunks
// hold nothing has no body, and that one whose chunks do is read.
func TestChunksWithoutContent(t *testing.T) {
	api, fake := newClaimAPI(t)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	for _, tt := range []struct {
		body, mediaType string
		status          int
	}{
		{"", "", 201}, {`{"authorization_domain":"x.example"}`, "application/json", 201}, {`{}`, "", 415},
	} {
		fake.claims = claimsAsked{}
		r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/v2/claims/domains/"+goodClaim+"/dns", io.NopCloser(strings.NewReader(tt.body)))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
		r.Header.Set("Authorization", "Bearer "+fakeToken)
		if tt.mediaType != "" {
			r.Header.Set("Content-Type", tt.mediaType)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if named := fake.claims.adn != nil; answer.StatusCode != tt.status || named != (tt.status == 201 && tt.body != "") {
			t.Errorf("%q: %d, looks at a name: %v; want %d", tt.body, answer.StatusCode, named, tt.status)
		}
	}
}

// TestChecksAnswer holds the outcomes of each way to show control.
func TestChecksAnswer(t *testing.T) {
	tests := []struct {
		name     string
		verified bool
		err      error
		status   int
		body     string
	}{
		{"not yet", false, nil, 201, ""},
		{"verified", true, nil, 204, ""},
		{"an earlier check runs", false, fault.New(fault.NotReady, "check_running", "x"), 202, `{"description":"Operation in progress"}`},
		{"after assert_by", false, fault.New(fault.Conflict, fault.CodeClaimExpired, "x"), 424, `{"description":"Claim expired. Reassert first"}`},
		{"reasserted meanwhile", false, fault.New(fault.Conflict, "claim_moved", "x"), 503, `{"description":"Service busy, please retry later"}`},
		{"no such claim", false, fault.New(fault.NotFound, "claim_not_found", "x"), 404, `{"description":"Not found"}`},
		{"too many", false, fault.New(fault.Limited, fault.CodeRateLimited, "x"), 429, `{"description":"Rate Limit Reached"}`},
	}
	for _, tt := range tests {
		for _, path := range []string{"domains/" + goodClaim + "/dns", "domains/" + goodClaim + "/http", "domains/" + goodClaim + "/email", "ipaddresses/" + goodClaim + "/http"} {
			api, fake := newClaimAPI(t)
			fake.verify, fake.err = tt.verified, tt.err
			w := ask(api, "POST", "/v2/claims/"+path, `{"email_address":"admin@shop.example"}`)
			if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Location") != "" {
				t.Errorf("%s, %s: %d %s %v, want %d %s", tt.name, path, w.Code, w.Body, w.Header(), tt.status, tt.body)
			}
			mediaType := ""
			switch {
			case tt.status == http.StatusAccepted:
				mediaType = typeJSON
			case tt.status >= 400:
				mediaType = typeProblem
			}
			if got := w.Header().Get("Content-Type"); got != mediaType {
				t.Errorf("%s, %s: Content-Type %q, want %q", tt.name, path, got, mediaType)
			}
		}
	}
}

func TestMailboxes(t *testing.T) {
	api, fake := newClaimAPI(t)
	fake.boxes = dcv.Mailboxes{
		List: []dcv.Mailbox{
			{Address: "admin@shop.example", Method: telamon.MethodEmail}, {Address: "a@caa.example", Method: telamon.MethodEmailCAA},
			{Address: "b@txt.example", Method: telamon.MethodEmailTXT}, {Address: "postmaster@shop.example", Method: telamon.MethodEmail},
		},
		Problems: []string{"no answer"},
	}
	const want = `{"constructed":["admin@shop.example","postmaster@shop.example"],"DNS":{"SOA":{"emails":[]},` +
		`"CAA":{"emails":["a@caa.example"],"errors":["no answer"]},"TXT":{"emails":["b@txt.example"]}}}`
	if w := ask(api, "GET", "/v2/claims/domains/"+goodClaim+"/email", ""); w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %s, want 200 %s", w.Code, w.Body, want)
	}
}

func TestSendMail(t *testing.T) {
	for body, want := range map[string]struct {
		status  int
		address string
	}{
		`{"email_address":"Admin@shop.example"}`: {201, "Admin@shop.example"},
		`{"email_address":""}`:                   {422, ""},
		`{"email_address":null}`:                 {422, ""},
		`{}`:                                     {422, ""},
		`{"email_address":["a@b.example"]}`:      {400, ""},
		`[]`:                                     {400, ""},
		``:                                       {411, ""},
	} {
		api, fake := newClaimAPI(t)
		w := ask(api, "POST", "/v2/claims/domains/"+goodClaim+"/email", body)
		if w.Code != want.status || fake.claims.address != want.address {
			t.Errorf("%s: %d %s, mail to %q; want %+v", body, w.Code, w.Body, fake.claims.address, want)
		}
	}
}

// TestClaimsList holds the parameters, the paging and the headers of the list.
func TestClaimsList(t *testing.T) {
	listing := func(change func(*ra.ClaimListing)) ra.ClaimListing {
		l := ra.ClaimListing{Kind: telamon.ClaimDomain, Page: 1, PerPage: 100}
		change(&l)
		return l
	}
	at := func(unix int64) time.Time { return time.Unix(unix, 0).UTC() }
	tests := []struct {
		query string
		total int64
		want  ra.ClaimListing
		links string
	}{
		{"", 0, listing(func(*ra.ClaimListing) {}), `</v2/claims/domains?page=1>; rel="last"`},
		{"page=0&per_page=0&status=&domain=&from=&to=", 100, listing(func(*ra.ClaimListing) {}), `</v2/claims/domains?page=1&per_page=100>; rel="last"`},
		{"status=PENDING&page=1&per_page=20", 21, listing(func(l *ra.ClaimListing) { l.Status, l.PerPage = telamon.ClaimPending, 20 }),
			`</v2/claims/domains?page=2&per_page=20&status=PENDING>; rel="next", </v2/claims/domains?page=2&per_page=20&status=PENDING>; rel="last"`},
		{"page=2&per_page=500&status=verified", 250, listing(func(l *ra.ClaimListing) { l.Status, l.Page = telamon.ClaimVerified, 2 }),
			`</v2/claims/domains?page=1&per_page=100&status=VERIFIED>; rel="previous", ` +
				`</v2/claims/domains?page=3&per_page=100&status=VERIFIED>; rel="next", </v2/claims/domains?page=3&per_page=100&status=VERIFIED>; rel="last"`},
		{"page=999", 150, listing(func(l *ra.ClaimListing) { l.Page = 999 }),
			`</v2/claims/domains?page=2>; rel="previous", </v2/claims/domains?page=2>; rel="last"`},
		{"from=0&to=1767225600", 1, listing(func(l *ra.ClaimListing) { l.From, l.To = at(0), at(1767225600) }),
			`</v2/claims/domains?from=0&page=1&to=1767225600>; rel="last"`},
		{"from=1000&to=1000000000&x=next", 0, listing(func(l *ra.ClaimListing) { l.From, l.To = at(1000), at(1000000000) }),
			`</v2/claims/domains?from=1000&page=1&to=1000000000>; rel="last"`},
		{"to=-62135596800", 0, listing(func(l *ra.ClaimListing) { l.To = at(minUnix + 1) }),
			`</v2/claims/domains?page=1&to=-62135596800>; rel="last"`},
		{"domain=%25.Shop._x.example.", 1, listing(func(l *ra.ClaimListing) { l.Pattern = "%.shop._x.example." }),
			`</v2/claims/domains?domain=%25.shop._x.example.&page=1>; rel="last"`},
		{"domain=next.NEXT.example", 1, listing(func(l *ra.ClaimListing) { l.Pattern = "next.next.example" }),
			`</v2/claims/domains?domain=%6Eext.%6Eext.example&page=1>; rel="last"`},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			api, fake := newTestAPI(t) // without a claim
			fake.total = tt.total
			w := ask(api, "GET", "/v2/claims/domains?"+tt.query, "")
			if w.Code != 200 || w.Body.String() != "[]" || w.Header().Get("Content-Type") != typeJSON || w.Header().Get("Location") != "" {
				t.Fatalf("%d %s %v, want 200 []", w.Code, w.Body, w.Header())
			}
			if diff := cmp.Diff(tt.want, fake.claims.listing); diff != "" {
				t.Errorf("the listing differs (-want +got):\n%s", diff)
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

func TestClaimsListRefused(t *testing.T) {
	tests := []struct {
		query  string
		status int
		want   string
	}{
		{"status=EXPIRED", 422, "status: is invalid"},
		{"status=PENDING,VERIFIED", 422, "status: is invalid"},
		{"page=one", 422, "page: is invalid"},
		{"per_page=1.5", 422, "per_page: is invalid"},
		{"from=yesterday", 422, "from: is invalid"},
		{"from=x&to=x", 422, "from: is invalid"},
		{"to=99999999999999999999", 422, "to: is invalid"},
		{"from=5&to=4", 422, "from: is after to"},
		{"domain=%zz", 400, "Bad Request"},
	}
	for _, tt := range tests {
		for range 5 { // always the same word first
			api, fake := newClaimAPI(t)
			w := ask(api, "GET", "/v2/claims/domains?"+tt.query, "")
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != tt.status || p.Description != tt.want {
				t.Errorf("%s: %d %s, want %d %s", tt.query, w.Code, w.Body, tt.status, tt.want)
			}
			if fake.claims.listing != (ra.ClaimListing{}) {
				t.Errorf("%s: lists %+v", tt.query, fake.claims.listing)
			}
		}
	}
}

// TestClaimFaults holds that what a use case reports reaches the client from every
// route, and that nothing of an answer was begun by then.
func TestClaimFaults(t *testing.T) {
	const one = "/v2/claims/domains/" + goodClaim
	for _, route := range [][2]string{
		{"POST", "/v2/claims/domains/shop.example"}, {"GET", "/v2/claims/domains"}, {"GET", one}, {"HEAD", one}, {"DELETE", one}, {"GET", one + "/dns"},
		{"POST", one + "/dns"}, {"POST", one + "/http"}, {"GET", one + "/email"}, {"POST", one + "/email"}, {"POST", one + "/reassert"},
		{"POST", "/v2/claims/ipaddresses/192.0.2.1"}, {"GET", "/v2/claims/ipaddresses"}, {"GET", "/v2/claims/ipaddresses/" + goodClaim},
	} {
		api, fake := newClaimAPI(t)
		fake.err = fault.New(fault.Denied, "not_permitted", "This is not permitted.")
		body := ""
		if strings.HasSuffix(route[1], "/email") && route[0] == "POST" {
			body = `{"email_address":"a@b.example"}`
		}
		w := ask(api, route[0], route[1], body)
		if w.Code != 403 || w.Body.String() != `{"description":"This is not permitted."}` {
			t.Errorf("%s %s: %d %s, want 403", route[0], route[1], w.Code, w.Body)
		}
		for _, name := range []string{"Location", "Links", "Total-Count"} {
			if w.Header().Get(name) != "" {
				t.Errorf("%s %s: %s is %q", route[0], route[1], name, w.Header().Get(name))
			}
		}
		if w := ask(api, route[0], route[1], body, "Authorization", ""); w.Code != 401 {
			t.Errorf("%s %s without a token: %d, want 401", route[0], route[1], w.Code)
		}
	}
}
