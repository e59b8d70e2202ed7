package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/world"
)

// startDNS returns a DNS that stops with the test.
func startDNS(t *testing.T) *world.DNS {
	t.Helper()
	d, err := world.StartDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// add adds records, each "name type value".
func add(t *testing.T, d *world.DNS, records ...string) {
	t.Helper()
	for _, r := range records {
		f := strings.SplitN(r, " ", 3)
		if err := d.Add(f[0], f[1], f[2]); err != nil {
			t.Fatal(err)
		}
	}
}

// lookup looks up what must have an answer.
func lookup(t *testing.T, c *resolver.Client, name string, rtype resolver.Type) *resolver.Answer {
	t.Helper()
	a, err := c.Lookup(t.Context(), name, rtype)
	if err != nil {
		t.Fatalf("Lookup(%s, %d): %v", name, rtype, err)
	}
	return a
}

func TestLookup(t *testing.T) {
	d := startDNS(t)
	long := strings.Repeat("0123456789", 40)
	add(t, d,
		"example.test A 192.0.2.1", "example.test A 192.0.2.2", "example.test AAAA 2001:db8::1",
		`_dnsauth.example.test TXT token=01"\abc`, "long.example.test TXT "+long, "odd.example.test TXT \x00\xff;é\\",
		`example.test CAA 0 issue "ca.example; accounturi=x"`, `example.test CAA 128 IODEF "mailto:a@example.test"`,
		"www.example.test CNAME Web.Example.test", "web.example.test CNAME example.test",
		"old.test DNAME example.test", "deep.below.example.test A 192.0.2.3",
		"*.wild.example.test TXT any",
	)
	if err := d.AddTXTStrings("split.example.test", "to", "", "ken"); err != nil {
		t.Fatal(err)
	}
	c := resolver.New(resolver.Config{Address: d.Addr()})
	tests := []struct {
		name  string
		rtype resolver.Type
		want  string // chain | TXT | addresses | CAA
	}{
		{"example.test", resolver.TypeA, "||192.0.2.1 192.0.2.2|"},
		{"example.test", resolver.TypeAAAA, "||2001:db8::1|"},
		{"_dnsauth.example.test", resolver.TypeTXT, `|token=01"\abc||`},
		{"long.example.test", resolver.TypeTXT, "|" + long + "||"},
		{"odd.example.test", resolver.TypeTXT, "|\x00\xff;é\\||"},
		{"split.example.test", resolver.TypeTXT, "|token||"},
		{"example.test", resolver.TypeCAA, `|||0 issue ca.example; accounturi=x, 128 iodef mailto:a@example.test`},
		{"www.example.test", resolver.TypeA, "web.example.test example.test||192.0.2.1 192.0.2.2|"},
		{"www.example.test", resolver.TypeTXT, "web.example.test example.test|||"},
		{"_dnsauth.old.test", resolver.TypeTXT, `_dnsauth.example.test|token=01"\abc||`},
		{"www.old.test", resolver.TypeAAAA, "www.example.test web.example.test example.test||2001:db8::1|"},
		{"below.example.test", resolver.TypeA, "|||"},
		{"no.example.test", resolver.TypeCAA, "|||"},
		{"a.b.wild.example.test", resolver.TypeTXT, "|any||"},
	}
	for _, tt := range tests {
		a := lookup(t, c, tt.name, tt.rtype)
		var addresses, caa []string
		for _, address := range a.Addresses {
			addresses = append(addresses, address.String())
		}
		for _, r := range a.CAA {
			caa = append(caa, fmt.Sprintf("%d %s %s", r.Flag, r.Tag, r.Value))
		}
		slices.Sort(addresses)
		slices.Sort(caa)
		got := strings.Join([]string{
			strings.Join(a.Chain, " "), strings.Join(a.TXT, ","), strings.Join(addresses, " "), strings.Join(caa, ", "),
		}, "|")
		if got != tt.want {
			t.Errorf("Lookup(%s, %d) = %q, want %q", tt.name, tt.rtype, got, tt.want)
		}
		if a.Secure {
			t.Errorf("Lookup(%s, %d) is secure, and nobody validated it", tt.name, tt.rtype)
		}
	}
}

func TestCriticalCAA(t *testing.T) {
	if !(resolver.CAA{Flag: 128}).IsCritical() || (resolver.CAA{Flag: 1}).IsCritical() {
		t.Error("the critical flag is not the highest bit")
	}
}

func TestTTL(t *testing.T) {
	d := startDNS(t)
	d.SetTTL(300)
	for _, r := range []struct {
		name, rtype, value string
		ttl                uint32
	}{
		{"a.test", "TXT", "x", 100}, {"a.test", "TXT", "y", 90},
		{"b.test", "CNAME", "a.test", 30}, {"c.test", "CNAME", "no.test", 20}, {"d.test", "CNAME", "a.test", 200},
		{"zone.test", "SOA", "ns.test. host.test. 1 2 3 4 77", 120},
		{"huge.test", "TXT", "x", 1 << 31},
	} {
		if err := d.AddTTL(r.name, r.rtype, r.value, r.ttl); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Zone("zone.test"); err != nil {
		t.Fatal(err)
	}
	c := resolver.New(resolver.Config{Address: d.Addr()})
	for name, want := range map[string]time.Duration{
		"a.test": 90, "b.test": 30, "c.test": 20, "d.test": 90,
		"no.test": 300, "zone.test": 77, "no.zone.test": 77, "huge.test": 1<<31 - 1,
	} {
		if got := lookup(t, c, name, resolver.TypeTXT).TTL; got != want*time.Second {
			t.Errorf("the answer for %s may be kept for %v, want %v", name, got, want*time.Second)
		}
	}
}

func TestChains(t *testing.T) {
	d := startDNS(t)
	for i := range 20 {
		add(t, d, fmt.Sprintf("c%d.test CNAME c%d.test", i, i+1))
	}
	add(t, d, "c20.test TXT end", "loop1.test CNAME loop2.test", "loop2.test CNAME loop1.test", "self.test CNAME self.test",
		"sub.self2.test CNAME x.sub.self2.test", "grow.test DNAME a.grow.test")
	c := resolver.New(resolver.Config{Address: d.Addr()})
	a := lookup(t, c, "c10.test", resolver.TypeTXT)
	if len(a.Chain) != 10 || a.Chain[9] != "c20.test" || !slices.Equal(a.TXT, []string{"end"}) {
		t.Errorf("ten links give %+v", a)
	}
	for name, reason := range map[string]string{
		"c9.test":     "there are more than 10 CNAME records in a row",
		"c0.test":     "there are more than 10 CNAME records in a row", // more than the server follows
		"loop1.test":  "the CNAME records are a loop",
		"self.test":   "the CNAME records are a loop",
		"x.grow.test": "there are more than 10 CNAME records in a row",
	} {
		_, err := c.Lookup(t.Context(), name, resolver.TypeTXT)
		if failed, ok := errors.AsType[*resolver.LookupError](err); !ok || failed.Reason != reason || failed.Name != name {
			t.Errorf("Lookup(%s) reports %v, want %q", name, err, reason)
		}
	}
}

func TestResponseCodes(t *testing.T) {
	d := startDNS(t)
	add(t, d, "a.test TXT x", "to.test CNAME a.test")
	c := resolver.New(resolver.Config{Address: d.Addr(), Timeout: 100 * time.Millisecond})
	for fault, reason := range map[world.Fault]string{
		world.ServFail: "SERVFAIL", world.Refused: "REFUSED", world.Drop: "no answer in time",
		world.Lame: "what was asked is not a recursive resolver",
	} {
		d.FailType("a.test", "TXT", fault)
		began := time.Now()
		_, err := c.Lookup(t.Context(), "a.test", resolver.TypeTXT)
		if failed, ok := errors.AsType[*resolver.LookupError](err); !ok || failed.Reason != reason || errors.Is(err, resolver.ErrBogus) {
			t.Errorf("Lookup with the fault %q reports %v, want %q", fault, err, reason)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Lookup with the fault %q took %v", fault, took)
		}
		if a := lookup(t, c, "a.test", resolver.TypeA); len(a.Addresses) != 0 {
			t.Errorf("the fault of one type gives another %v", a)
		}
	}
	d.Mend("a.test")
	d.Forget()
	d.Fail("a.test", world.Drop)
	if _, err := c.Lookup(t.Context(), "a.test", resolver.TypeTXT); err == nil {
		t.Error("a lookup without an answer succeeds")
	}
	if got := len(d.Queries()); got != 2 {
		t.Errorf("a question without an answer is asked %d times, want 2", got)
	}
	d.Mend("a.test")
	lookup(t, c, "to.test", resolver.TypeTXT)
}

func TestContext(t *testing.T) {
	d := startDNS(t)
	d.Fail("*.test", world.Drop)
	c := resolver.New(resolver.Config{Address: d.Addr(), Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Lookup(ctx, "a.test", resolver.TypeA)
	if failed, ok := errors.AsType[*resolver.LookupError](err); !ok || failed.Reason != "no answer in time" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lookup past its context reports %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := c.Lookup(ctx, "a.test", resolver.TypeA); !errors.Is(err, context.Canceled) {
		t.Errorf("Lookup with a cancelled context reports %v", err)
	}
}

func TestNoResolver(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := packets.LocalAddr().String()
	if err := packets.Close(); err != nil {
		t.Fatal(err)
	}
	c := resolver.New(resolver.Config{Address: address, Timeout: 5 * time.Second})
	_, err = c.Lookup(t.Context(), "a.test", resolver.TypeA)
	if failed, ok := errors.AsType[*resolver.LookupError](err); !ok || failed.Reason != "the resolver cannot be asked" || failed.Err == nil {
		t.Errorf("Lookup without a resolver reports %v", err)
	}
	for _, name := range []string{"", ".", "a..test", strings.Repeat("a", 64) + ".test"} {
		if _, err := c.Lookup(t.Context(), name, resolver.TypeA); err == nil || !strings.Contains(err.Error(), "not a domain name") {
			t.Errorf("Lookup(%q) reports %v", name, err)
		}
	}
}

func TestTruncation(t *testing.T) {
	d := startDNS(t)
	add(t, d, "small.test TXT x")
	for i := range 100 {
		add(t, d, fmt.Sprintf("big.test TXT %040d", i))
	}
	d.Fail("small.test", world.Truncate)
	c := resolver.New(resolver.Config{Address: d.Addr()})
	for name, want := range map[string]int{"small.test": 1, "big.test": 100} {
		d.Forget()
		if a := lookup(t, c, name, resolver.TypeTXT); len(a.TXT) != want {
			t.Errorf("%s has %d records, want %d", name, len(a.TXT), want)
		}
		queries := []world.Query{{Name: name, Type: "TXT", Net: "udp"}, {Name: name, Type: "TXT", Net: "tcp"}}
		if got := d.Queries(); !slices.Equal(got, queries) {
			t.Errorf("%s was asked for with %v, want %v", name, got, queries)
		}
	}
}

// TestManyRecords asks for more records than are kept, and for 10,000, which are more
// than a message holds: part of them is no answer.
func TestManyRecords(t *testing.T) {
	d := startDNS(t)
	for i := range 2000 {
		add(t, d, fmt.Sprintf("many.test TXT %d", i))
	}
	for i := range 10_000 {
		add(t, d, fmt.Sprintf("endless.test TXT %d", i))
	}
	c := resolver.New(resolver.Config{Address: d.Addr()})
	if a := lookup(t, c, "many.test", resolver.TypeTXT); len(a.TXT) != resolver.MaxRecords {
		t.Errorf("of 2000 records %d are kept, want %d", len(a.TXT), resolver.MaxRecords)
	}
	_, err := c.Lookup(t.Context(), "endless.test", resolver.TypeTXT)
	if failed, ok := errors.AsType[*resolver.LookupError](err); !ok || failed.Reason != "the answer is too large" {
		t.Errorf("10,000 records give %v", err)
	}
}

// A forger is a resolver that sends several messages for each question, over UDP.
func forger(t *testing.T, replies func(q *dns.Msg) [][]byte) string {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		packets.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if err := q.Unpack(buf[:n]); err != nil {
				continue
			}
			for _, wire := range replies(q) {
				if _, err := packets.WriteTo(wire, from); err != nil {
					return
				}
			}
		}
	}()
	return packets.LocalAddr().String()
}

// reply returns the wire form of an answer to q with one A record, changed.
func reply(t *testing.T, q *dns.Msg, address string, change func(m *dns.Msg)) []byte {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	m.AuthenticatedData = true
	m.Answer = []dns.RR{&dns.A{
		Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 9},
		A:   net.ParseIP(address),
	}}
	change(m)
	wire, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return wire
}

// TestForgedAnswers holds that messages which do not answer the very question are
// ignored: the right one is waited for.
func TestForgedAnswers(t *testing.T) {
	address := forger(t, func(q *dns.Msg) [][]byte {
		whole := reply(t, q, "192.0.2.66", func(*dns.Msg) {})
		return [][]byte{
			reply(t, q, "192.0.2.66", func(m *dns.Msg) { m.Id++ }),
			reply(t, q, "192.0.2.66", func(m *dns.Msg) { m.Question[0].Name = "other.test." }),
			reply(t, q, "192.0.2.66", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }),
			reply(t, q, "192.0.2.66", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
			reply(t, q, "192.0.2.66", func(m *dns.Msg) { m.Question = nil }),
			reply(t, q, "192.0.2.66", func(m *dns.Msg) { m.Response = false }),
			reply(t, q, "192.0.2.66", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
			whole[:len(whole)-5], whole[:len(whole)-27], whole[:14], whole[:12], whole[:3], {},
			reply(t, q, "192.0.2.1", func(m *dns.Msg) { m.Question[0].Name = "A.Test." }),
		}
	})
	c := resolver.New(resolver.Config{Address: address, Timeout: 2 * time.Second})
	a := lookup(t, c, "a.test", resolver.TypeA)
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1")}; !slices.Equal(a.Addresses, want) {
		t.Errorf("the answer is %v, want %v", a.Addresses, want)
	}
	if a.Secure {
		t.Error("AD is believed of a resolver that does not validate")
	}
	c = resolver.New(resolver.Config{Address: address, Timeout: 2 * time.Second, DNSSEC: true})
	if a := lookup(t, c, "a.test", resolver.TypeA); !a.Secure {
		t.Error("AD is not believed of a resolver that validates")
	}
}

// TestHostileAnswers gives answers whose records do not belong together.
func TestHostileAnswers(t *testing.T) {
	rr := func(text string) dns.RR {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	tests := []struct {
		name    string
		answer  []dns.RR
		want    string // the TXT records
		problem string
	}{
		{"records of others", []dns.RR{rr(`b.test. 5 IN TXT evil`), rr(`a.test. 5 IN TXT good`), rr(`a.test. 5 CH TXT evil`)}, "good", ""},
		{"beside a CNAME", []dns.RR{rr(`a.test. 5 IN CNAME b.test.`), rr(`a.test. 5 IN TXT evil`), rr(`b.test. 5 IN TXT good`)}, "good", ""},
		{"in no order", []dns.RR{rr(`c.test. 5 IN TXT good`), rr(`b.test. 5 IN CNAME c.test.`), rr(`A.test. 5 IN CNAME B.test.`)}, "good", ""},
		{"two CNAMEs", []dns.RR{rr(`a.test. 5 IN CNAME b.test.`), rr(`a.test. 5 IN CNAME c.test.`)}, "", "there is more than one CNAME record at one name"},
		{"a DNAME alone", []dns.RR{rr(`test. 5 IN DNAME example.`), rr(`a.example. 5 IN TXT good`)}, "good", ""},
		{"a DNAME at the name", []dns.RR{rr(`a.test. 5 IN DNAME example.`), rr(`example. 5 IN TXT evil`)}, "", ""},
		{"a CNAME of a child", []dns.RR{rr(`x.a.test. 5 IN CNAME b.test.`), rr(`b.test. 5 IN TXT evil`)}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := forger(t, func(q *dns.Msg) [][]byte {
				return [][]byte{reply(t, q, "192.0.2.1", func(m *dns.Msg) { m.Answer = tt.answer })}
			})
			a, err := resolver.New(resolver.Config{Address: address}).Lookup(t.Context(), "a.test", resolver.TypeTXT)
			if tt.problem != "" {
				if failed, ok := errors.AsType[*resolver.LookupError](err); !ok || failed.Reason != tt.problem {
					t.Errorf("the answer is %v, %v, want %q", a, err, tt.problem)
				}
				return
			}
			if err != nil || strings.Join(a.TXT, ",") != tt.want {
				t.Errorf("the answer is %v, %v, want %q", a, err, tt.want)
			}
		})
	}
}

// TestAsksForTarget has a resolver that leaves CNAMEs to its clients.
func TestAsksForTarget(t *testing.T) {
	address := forger(t, func(q *dns.Msg) [][]byte {
		return [][]byte{reply(t, q, "192.0.2.1", func(m *dns.Msg) {
			if m.Question[0].Name == "b.test." {
				m.AuthenticatedData = false
				return
			}
			m.Answer = []dns.RR{&dns.CNAME{
				Hdr:    dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 9},
				Target: "b.test.",
			}}
		})}
	})
	a := lookup(t, resolver.New(resolver.Config{Address: address, DNSSEC: true}), "a.test", resolver.TypeA)
	if !slices.Equal(a.Chain, []string{"b.test"}) || len(a.Addresses) != 1 {
		t.Errorf("the answer is %+v", a)
	}
	if a.Secure {
		t.Error("an answer is secure of which a part is not")
	}
}

// TestExtendedErrors holds which SERVFAILs count as forgery.
func TestExtendedErrors(t *testing.T) {
	tests := []struct {
		name      string
		codes     []uint16
		unchecked int // response code with CD
		bogus     bool
	}{
		{"bogus", []uint16{dns.ExtendedErrorCodeDNSBogus}, dns.RcodeServerFailure, true},
		{"expired", []uint16{dns.ExtendedErrorCodeNoReachableAuthority, dns.ExtendedErrorCodeSignatureExpired}, dns.RcodeServerFailure, true},
		{"no NSEC", []uint16{dns.ExtendedErrorCodeNSECMissing}, dns.RcodeServerFailure, true},
		{"indeterminate", []uint16{dns.ExtendedErrorCodeDNSSECIndeterminate}, dns.RcodeSuccess, false},
		{"no authority", []uint16{dns.ExtendedErrorCodeNoReachableAuthority}, dns.RcodeSuccess, false},
		{"untold, and good without validation", nil, dns.RcodeSuccess, true},
		{"untold, and no name without validation", []uint16{dns.ExtendedErrorCodeOther}, dns.RcodeNameError, true},
		{"untold, and failing without validation", nil, dns.RcodeServerFailure, false},
		{"untold, and refused without validation", nil, dns.RcodeRefused, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := forger(t, func(q *dns.Msg) [][]byte {
				return [][]byte{reply(t, q, "192.0.2.1", func(m *dns.Msg) {
					m.Answer, m.Rcode = nil, dns.RcodeServerFailure
					if q.CheckingDisabled {
						m.Rcode = tt.unchecked
						return
					}
					m.SetEdns0(1232, true)
					for _, code := range tt.codes {
						m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code})
					}
				})}
			})
			_, err := resolver.New(resolver.Config{Address: address, DNSSEC: true}).Lookup(t.Context(), "a.test", resolver.TypeA)
			if errors.Is(err, resolver.ErrBogus) != tt.bogus || err == nil {
				t.Errorf("Lookup reports %v, bogus should be %t", err, tt.bogus)
			}
			_, err = resolver.New(resolver.Config{Address: address}).Lookup(t.Context(), "a.test", resolver.TypeA)
			if errors.Is(err, resolver.ErrBogus) || err == nil {
				t.Errorf("without DNSSEC Lookup reports %v", err)
			}
		})
	}
}

// TestTransientFailure has a resolver whose SERVFAIL was over when it was asked why.
func TestTransientFailure(t *testing.T) {
	asked := 0
	address := forger(t, func(q *dns.Msg) [][]byte {
		asked++
		return [][]byte{reply(t, q, "192.0.2.1", func(m *dns.Msg) {
			if asked == 1 {
				m.Answer, m.Rcode = nil, dns.RcodeServerFailure
			}
		})}
	})
	a := lookup(t, resolver.New(resolver.Config{Address: address, DNSSEC: true}), "a.test", resolver.TypeA)
	if len(a.Addresses) != 1 || !a.Secure {
		t.Errorf("the answer is %+v", a)
	}
}
