package dcv_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/world"
)

const token = "0123456789abcdef0123456789abcdef"

// outside is an engine over real servers on loopback.
type outside struct {
	*world.World
	t      *testing.T
	engine *dcv.Engine
	clock  *testkit.Clock
}

// newOutside returns an engine that may reach the networks that are allowed.
func newOutside(t *testing.T, allowed ...string) *outside {
	t.Helper()
	w, err := world.Start(world.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	o := &outside{World: w, t: t, clock: testkit.NewClock(t, "2026-11-27T16:00:00Z")}
	client := resolver.New(resolver.Config{Address: w.DNS.Addr(), Timeout: 300 * time.Millisecond, Attempts: 2})
	var policy egress.Policy
	for _, prefix := range allowed {
		policy.Allow = append(policy.Allow, netip.MustParsePrefix(prefix))
	}
	dialer := &egress.Dialer{Policy: policy, Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
		answer, err := client.Lookup(ctx, host, resolver.TypeA)
		if err != nil {
			return nil, err
		}
		return answer.Addresses, nil
	}}
	o.engine = dcv.New(dcv.Config{
		Resolver: client, Dial: dialer.DialContext, CAAValid: 8 * time.Hour, Clock: o.clock,
		HTTPPort: netip.MustParseAddrPort(w.HTTP.Addr()).Port(), HTTPSPort: netip.MustParseAddrPort(w.HTTP.TLSAddr()).Port(),
	})
	return o
}

// record adds a record to the world.
func (o *outside) record(name, kind, value string) {
	o.t.Helper()
	if err := o.DNS.Add(name, kind, value); err != nil {
		o.t.Fatal(err)
	}
}

// dns looks for the token of a claimed name at an authorization domain name.
func (o *outside) dns(name, adn string) dcv.Finding {
	o.t.Helper()
	return o.ask(dcv.Question{
		Method: telamon.MethodDNS, Kind: telamon.ClaimDomain, Name: name, ADN: adn, Values: dcv.TokenValues("prefix=", token),
	})
}

func (o *outside) ask(q dcv.Question) dcv.Finding {
	o.t.Helper()
	finding, err := o.engine.Validate(o.t.Context(), q)
	if err != nil {
		o.t.Fatal(err)
	}
	if finding.Found == (finding.Problem != "") || finding.Found == (finding.Coverage == "") {
		o.t.Errorf("the finding is %+v", finding)
	}
	return finding
}

// file looks for the token in a file of a host.
func (o *outside) file(host, scheme string) dcv.Finding {
	o.t.Helper()
	return o.ask(dcv.Question{
		Method: telamon.MethodHTTP, Kind: telamon.ClaimDomain, Name: host, ADN: host, Scheme: scheme, Values: dcv.TokenValues("prefix=", token),
	})
}

// TestTXTZones has the zones of requirement 61.
func TestTXTZones(t *testing.T) {
	o := newOutside(t)
	o.record("whole.example.com", "TXT", "prefix="+token)
	o.record("bare.example.com", "TXT", token)
	o.record("twice.example.com", "TXT", "prefix=prefix="+token)
	o.record("beside.example.com", "TXT", "v=spf1 -all")
	o.record("beside.example.com", "TXT", "prefix="+token)
	if err := o.DNS.AddTXTStrings("split.example.com", "prefix=", token[:7], token[7:]); err != nil {
		t.Fatal(err)
	}
	o.record("case.example.com", "TXT", "prefix="+strings.ToUpper(token))
	o.record("merged.example.com", "TXT", "v=spf1 -all prefix="+token)
	o.record("padded.example.com", "TXT", " prefix="+token)
	o.record("thrice.example.com", "TXT", "prefix=prefix=prefix="+token)
	o.record("part.example.com", "TXT", "prefix="+token[1:])
	for host, want := range map[string]bool{
		"whole": true, "bare": true, "twice": true, "beside": true, "split": true,
		"case": false, "merged": false, "padded": false, "thrice": false, "part": false, "nothing": false,
	} {
		name := host + ".example.com"
		if got := o.dns(name, name); got.Found != want {
			t.Errorf("%s: %+v, want found %v", host, got, want)
		}
	}
	if got := o.dns("merged.example.com", "merged.example.com").Problem; got != "No matching TXT record at merged.example.com. Found: 1 records." {
		t.Errorf("DOM-02 reads %q", got)
	}
}

// TestADNAttack has requirement 62: whoever controls the target of a parent's CNAME or
// DNAME controls nothing of the names below the parent.
func TestADNAttack(t *testing.T) {
	o := newOutside(t)
	o.record("example.org", "TXT", "prefix="+token)
	o.record("example.com", "CNAME", "example.org")
	if got := o.dns("blog.example.com", "example.com"); got.Found || !strings.Contains(got.Problem, "is an alias") {
		t.Errorf("control of example.org authorizes blog.example.com: %+v", got)
	}
	// The claimed name itself may be an alias; then nothing but it is shown.
	if got := o.dns("example.com", "example.com"); !got.Found || got.Coverage != telamon.CoversExact ||
		!slices.Equal(got.Evidence.Through, []string{"example.org"}) {
		t.Errorf("a CNAME of the claimed name: %+v", got)
	}
	// A name with an underscore label resolves like any other, also through DNAME.
	o.record("_acme-challenge.example.net", "CNAME", "a.example.org")
	o.record("a.example.org", "CNAME", "b.example.org")
	o.record("b.example.org", "TXT", token)
	if got := o.dns("www.example.net", "_acme-challenge.example.net"); !got.Found || got.Coverage != telamon.CoversTree ||
		!slices.Equal(got.Evidence.Through, []string{"a.example.org", "b.example.org"}) {
		t.Errorf("a CNAME at an underscore label: %+v", got)
	}
	o.record("old.example.edu", "DNAME", "new.example.org")
	o.record("sub.new.example.org", "TXT", token)
	if got := o.dns("x.sub.old.example.edu", "sub.old.example.edu"); got.Found {
		t.Errorf("a DNAME above a parent: %+v", got)
	}
}

// TestAuthorizationDomainOf has what an applicant may ask for, and never past the base
// domain (requirement 62).
func TestAuthorizationDomainOf(t *testing.T) {
	tests := []struct {
		name, asked, want string
		method            telamon.Method
	}{
		{"a.b.example.co.uk", "a.b.example.co.uk", "a.b.example.co.uk", telamon.MethodDNS},
		{"a.b.example.co.uk", "B.example.co.uk.", "b.example.co.uk", telamon.MethodDNS},
		{"a.b.example.co.uk", "example.co.uk", "example.co.uk", telamon.MethodDNS},
		{"a.b.example.co.uk", "co.uk", "", ""},
		{"a.b.example.co.uk", "uk", "", ""},
		{"a.b.example.co.uk", "x.a.b.example.co.uk", "", ""},
		{"a.b.example.co.uk", "other.co.uk", "", ""},
		{"a.b.example.co.uk", "_any.b.example.co.uk", "_any.b.example.co.uk", telamon.MethodDNS},
		{"a.b.example.co.uk", "_a._b.example.co.uk", "", ""},
		{"a.b.example.co.uk", "_any.co.uk", "", ""},
		{"a.b.example.co.uk", "_validation-persist.example.co.uk", "example.co.uk", telamon.MethodPersist},
		{"a.b.example.co.uk", "*.example.co.uk", "", ""},
		{"a.b.example.co.uk", "", "", ""},
	}
	for _, tt := range tests {
		got, method, err := dcv.AuthorizationDomain(tt.name, tt.asked, nil)
		if got != tt.want || method != tt.method || (err == nil) != (tt.want != "") {
			t.Errorf("%q for %s: %q by %q, %v; want %q by %q", tt.asked, tt.name, got, method, err, tt.want, tt.method)
		}
	}
}

// TestStanding has the standing record of requirement 63.
func TestStanding(t *testing.T) {
	o := newOutside(t)
	const account = "acct:acc_1@ca.example.com"
	ask := func(name string) dcv.Finding {
		t.Helper()
		return o.ask(dcv.Question{
			Method: telamon.MethodPersist, Kind: telamon.ClaimDomain, Name: name, ADN: name, Issuers: []string{"ca.example.com"}, AccountURI: account,
		})
	}
	soon := o.clock.Now().Add(time.Hour).Unix()
	for name, tt := range map[string]struct {
		record string
		found  bool
	}{
		"plain.example.com":   {"ca.example.com; accounturi=" + account, true},
		"until.example.com":   {fmt.Sprintf("CA.example.com;accounturi=%s;persistUntil=%d", account, soon), true},
		"unknown.example.com": {"ca.example.com; policy=wildcard; accounturi=" + account + "; colour=blue", true},
		"past.example.com":    {fmt.Sprintf("ca.example.com; accounturi=%s; persistUntil=%d", account, soon-3600), false},
		"other.example.com":   {"ca.example.com; accounturi=acct:acc_2@ca.example.com", false},
		"nobody.example.com":  {"ca.example.com", false},
		"foreign.example.com": {"other.example; accounturi=" + account, false},
		"double.example.com":  {"ca.example.com; accounturi=" + account + "; accounturi=" + account, false},
		"broken.example.com":  {"ca.example.com; accounturi=" + account + "; persistUntil=soon", false},
		"token.example.com":   {"prefix=" + token, false},
	} {
		o.record("_validation-persist."+name, "TXT", tt.record)
		got := ask(name)
		if got.Found != tt.found || got.Found && got.Coverage != telamon.CoversTree {
			t.Errorf("%q: %+v, want found %v", tt.record, got, tt.found)
		}
	}
	if got := ask("until.example.com"); got.Evidence.Until == nil || got.Evidence.Until.Unix() != soon {
		t.Errorf("the record stands until %v", got.Evidence.Until)
	}
	// The name is never exchanged for the target of its CNAME.
	o.record("alias.example.com", "CNAME", "plain.example.com")
	if got := ask("alias.example.com"); got.Found {
		t.Errorf("through a CNAME of the name itself: %+v", got)
	}
	o.record("_validation-persist.moved.example.com", "CNAME", "_validation-persist.plain.example.com")
	if got := ask("moved.example.com"); !got.Found {
		t.Errorf("through a CNAME of the record itself: %+v", got)
	}
}

// TestFiles has requirement 64.
func TestFiles(t *testing.T) {
	const path = "/.well-known/pki-validation/gsdv.txt"
	o := newOutside(t, "127.0.0.0/8")
	host := func(name string, serve http.HandlerFunc) string {
		name += ".example.com"
		o.record(name, "A", "127.0.0.1")
		o.HTTP.Handle(name, serve)
		return name
	}
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path || r.URL.RawQuery != "" || strings.Contains(fmt.Sprint(r.Header, r.URL), token) {
				t.Errorf("the request is %s with %v", r.URL, r.Header)
			}
			fmt.Fprint(w, s)
		}
	}
	good := host("good", text(" \r\nprefix="+token+"\n"))
	for _, scheme := range []string{"http", "https"} {
		got := o.file(good, scheme)
		if !got.Found || got.Coverage != telamon.CoversExact || got.Evidence.URL != scheme+"://"+good+path ||
			!slices.Equal(got.Evidence.Addresses, []string{"127.0.0.1"}) {
			t.Errorf("%s: %+v", scheme, got)
		}
	}
	refused := map[string]struct {
		host string
		want string
	}{
		"another text":   {host("other", text("prefix="+token+"x")), "does not hold the token"},
		"within a text":  {host("within", text("a "+token+" b")), "does not hold the token"},
		"nothing":        {host("empty", text("")), "does not hold the token"},
		"a long file":    {host("long", text(token+strings.Repeat(" ", dcv.MaxFile))), "is longer than"},
		"an endless one": {host("endless", endless), "is longer than"},
		"a redirect": {host("moved", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+good+path, http.StatusMovedPermanently)
		}), "status code of the request is not 200: 301"},
		"another success": {host("accepted", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, token)
		}), "not 200: 202"},
		"no such file": {func() string { o.record("none.example.com", "A", "127.0.0.1"); return "none.example.com" }(), "not 200: 404"},
		"endless headers": {host("headers", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 10_000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", 100))
			}
			fmt.Fprint(w, token)
		}), "the connection failed"},
		"compressed": {host("gzip", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "" {
				t.Error("compression is asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte{0x1f, 0x8b})
		}), "does not hold the token"},
		"no address": {"nowhere.example.com", "nowhere.example.com has no address."},
	}
	for name, tt := range refused {
		got := o.file(tt.host, "http")
		if got.Found || !strings.Contains(got.Problem, tt.want) || strings.Contains(got.Problem, token) {
			t.Errorf("%s: %+v, want a problem with %q", name, got, tt.want)
		}
	}
	other := o.ask(dcv.Question{
		Method: telamon.MethodHTTP, Kind: telamon.ClaimDomain, Name: "x." + good, ADN: good, Scheme: "http", Values: []string{token},
	})
	if other.Found {
		t.Errorf("a file shows control of a name below its host: %+v", other)
	}
}

// endless writes until the client goes away.
func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := w.Write(make([]byte, 4096)); err != nil {
			return
		}
	}
}

// TestFileSlowly has a host that sends a byte now and then: the time of a validation
// is bounded.
func TestFileSlowly(t *testing.T) {
	o := newOutside(t, "127.0.0.0/8")
	o.record("drip.example.com", "A", "127.0.0.1")
	o.HTTP.Handle("drip.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for r.Context().Err() == nil {
			fmt.Fprint(w, " ")
			http.NewResponseController(w).Flush()
			<-ticker.C
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	q := dcv.Question{Method: telamon.MethodHTTP, Kind: telamon.ClaimDomain, Name: "drip.example.com", ADN: "drip.example.com", Scheme: "http", Values: []string{token}}
	if got, err := o.engine.Validate(ctx, q); err == nil || got.Found {
		t.Errorf("a file that never ends: %+v, %v", got, err)
	}
}

// TestFetchesPublicAddressesOnly has requirement 65.
func TestFetchesPublicAddressesOnly(t *testing.T) {
	o := newOutside(t)
	for name, address := range map[string]string{"loop": "127.0.0.1", "meta": "169.254.169.254", "private": "10.1.2.3", "zero": "0.0.0.0"} {
		name += ".example.com"
		o.record(name, "A", address)
		o.HTTP.Put(name, "/.well-known/pki-validation/gsdv.txt", []byte(token))
		if got := o.file(name, "http"); got.Found || !strings.Contains(got.Problem, "has the address "+address+", which is not allowed") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	got := o.ask(dcv.Question{Method: telamon.MethodHTTP, Kind: telamon.ClaimIP, Name: "::1", ADN: "::1", Scheme: "http", Values: []string{token}})
	if got.Found || !strings.Contains(got.Problem, "::1") {
		t.Errorf("an address: %+v", got)
	}
	if len(o.HTTP.Requests()) != 0 {
		t.Errorf("the web server was asked %v", o.HTTP.Requests())
	}
}

// TestContacts has requirements 66 and 67: constructed and published mailboxes, and
// none of the SOA record.
func TestContacts(t *testing.T) {
	o := newOutside(t)
	o.record("example.com", "SOA", "ns.example.com. soa-contact.example.com. 1 7200 900 1209600 86400")
	o.record("example.com", "CAA", `0 contactemail "caa@example.net"`)
	o.record("example.com", "CAA", `0 contactemail "not a mailbox"`)
	o.record("_validation-contactemail.example.com", "TXT", "txt@example.net")
	o.record("_validation-contactemail.shop.example.com", "TXT", "a@example.net, b@example.net")
	found := o.engine.Mailboxes(t.Context(), "shop.example.com", nil)
	var got []string
	for _, box := range found.List {
		got = append(got, box.Address+" "+box.ADN+" "+string(box.Method))
		if strings.Contains(box.Address, "soa") {
			t.Errorf("a contact of the SOA record: %s", box.Address)
		}
	}
	var want []string
	for _, domain := range []string{"shop.example.com", "example.com"} {
		for _, local := range []string{"admin", "administrator", "webmaster", "hostmaster", "postmaster"} {
			want = append(want, local+"@"+domain+" "+domain+" email")
		}
	}
	want = append(want, "caa@example.net example.com email-caa", "txt@example.net example.com email-txt")
	if !slices.Equal(got, want) {
		t.Errorf("the mailboxes are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCAARecords has requirement 79.
func TestCAARecords(t *testing.T) {
	o := newOutside(t)
	zones := map[string][]string{
		"ours.example.com":      {`0 issue "ca.example.com"`},
		"others.example.com":    {`0 issue "other.example"`},
		"both.example.com":      {`0 issue "other.example"`, `0 issue "CA.example.com"`},
		"none.example.com":      {`0 issue ";"`},
		"malformed.example.com": {`0 issue "ca.example.com; x"`},
		"iodef.example.com":     {`0 iodef "mailto:a@example.com"`},
		"critical.example.com":  {`128 future "x"`, `0 issue "ca.example.com"`},
		"optional.example.com":  {`0 future "x"`, `0 issue "ca.example.com"`},
		"wild.example.com":      {`0 issue "ca.example.com"`, `0 issuewild ";"`},
		"wildonly.example.com":  {`0 issue "other.example"`, `0 issuewild "ca.example.com"`},
		"account.example.com":   {`0 issue "ca.example.com; accounturi=acct:acc_1@ca.example.com"`},
		"stranger.example.com":  {`0 issue "ca.example.com; accounturi=acct:acc_2@ca.example.com"`},
		"method.example.com":    {`0 issue "ca.example.com; validationmethods=ca-tbr-18,ca-tbr-4"`},
		"dns.example.com":       {`0 issue "ca.example.com; validationmethods=http-01,ca-tbr-7"`},
	}
	for name, records := range zones {
		for _, r := range records {
			o.record(name, "CAA", r)
		}
	}
	o.record("alias.example.net", "CNAME", "others.example.com")
	tests := []struct {
		name  string
		found string
		want  bool
	}{
		{"free.example.net", "", true},
		{"ours.example.com", "ours.example.com", true},
		{"a.b.ours.example.com", "ours.example.com", true},
		{"*.ours.example.com", "ours.example.com", true},
		{"others.example.com", "others.example.com", false},
		{"a.others.example.com", "others.example.com", false},
		{"both.example.com", "both.example.com", true},
		{"none.example.com", "none.example.com", false},
		{"malformed.example.com", "malformed.example.com", false},
		{"iodef.example.com", "iodef.example.com", true},
		{"critical.example.com", "critical.example.com", false},
		{"optional.example.com", "optional.example.com", true},
		{"wild.example.com", "wild.example.com", true},
		{"*.wild.example.com", "wild.example.com", false},
		{"wildonly.example.com", "wildonly.example.com", false},
		{"*.wildonly.example.com", "wildonly.example.com", true},
		{"account.example.com", "account.example.com", true},
		{"stranger.example.com", "stranger.example.com", false},
		{"method.example.com", "method.example.com", false},
		{"dns.example.com", "dns.example.com", true},
		{"alias.example.net", "alias.example.net", false},
	}
	for _, tt := range tests {
		check, err := o.engine.CheckCAA(t.Context(), dcv.CAAQuestion{
			Name: tt.name, Issuers: []string{"ca.example.com"}, AccountURI: "acct:acc_1@ca.example.com", Methods: []string{"ca-tbr-7"},
		})
		if err != nil || check.Allowed != tt.want || check.Found != tt.found || check.Allowed == (check.Problem != "") {
			t.Errorf("%s: %+v, %v; want allowed %v by %q", tt.name, check, err, tt.want, tt.found)
		}
		if !check.GoodTo.Equal(o.clock.Now().Add(8*time.Hour)) && check.Allowed {
			t.Errorf("%s: good to %s", tt.name, check.GoodTo)
		}
	}
	if err := o.DNS.AddTTL("slow.example.com", "CAA", `0 issue "ca.example.com"`, 86400); err != nil {
		t.Fatal(err)
	}
	check, err := o.engine.CheckCAA(t.Context(), dcv.CAAQuestion{Name: "slow.example.com", Issuers: []string{"ca.example.com"}})
	if err != nil || !check.GoodTo.Equal(o.clock.Now().Add(24*time.Hour)) {
		t.Errorf("a TTL of a day: good to %s, %v", check.GoodTo, err)
	}
}

// TestCAAFails has requirement 80 for a resolver that does not validate: a look-up that
// fails twice forbids.
func TestCAAFails(t *testing.T) {
	o := newOutside(t)
	o.DNS.FailType("broken.example.com", "CAA", world.ServFail)
	o.DNS.Forget()
	check, err := o.engine.CheckCAA(t.Context(), dcv.CAAQuestion{Name: "a.broken.example.com", Issuers: []string{"ca.example.com"}})
	if err != nil || check.Allowed || !strings.Contains(check.Problem, "SERVFAIL") {
		t.Errorf("after SERVFAIL: %+v, %v", check, err)
	}
	asked := 0
	for _, q := range o.DNS.Queries() {
		if q.Name == "broken.example.com" && q.Type == "CAA" {
			asked++
		}
	}
	if asked < 2 {
		t.Errorf("the failing name was asked for %d times, want 2", asked)
	}
}

// TestManyRecords has ten thousand TXT records, and a name whose servers are lame or
// silent: nothing is found, in bounded time.
func TestManyRecords(t *testing.T) {
	o := newOutside(t)
	for i := range 10_000 {
		o.record("many.example.com", "TXT", fmt.Sprintf("%d", i))
	}
	o.record("many.example.com", "TXT", "prefix="+token)
	if got := o.dns("many.example.com", "many.example.com"); got.Found {
		t.Errorf("ten thousand records: %+v", got)
	}
	for name, f := range map[string]world.Fault{"lame": world.Lame, "silent": world.Drop, "refused": world.Refused, "broken": world.ServFail} {
		name += ".example.com"
		o.record(name, "TXT", token)
		o.DNS.Fail(name, f)
		if got := o.dns(name, name); got.Found || !strings.HasPrefix(got.Problem, "The DNS did not answer for "+name) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	o.record("a.loop.example.com", "CNAME", "b.loop.example.com")
	o.record("b.loop.example.com", "CNAME", "a.loop.example.com")
	if got := o.dns("a.loop.example.com", "a.loop.example.com"); got.Found {
		t.Errorf("a loop of CNAMEs: %+v", got)
	}
}
