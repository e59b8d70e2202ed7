package world

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func startDNS(t *testing.T) *DNS {
	t.Helper()
	d, err := StartDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// addDNS adds records, each "name type value".
func addDNS(t *testing.T, d *DNS, records ...string) {
	t.Helper()
	for _, r := range records {
		f := strings.SplitN(r, " ", 3)
		if err := d.Add(f[0], f[1], f[2]); err != nil {
			t.Fatal(err)
		}
	}
}

// askDNS asks a question over the network, changed.
func askDNS(t *testing.T, d *DNS, network, name string, qtype uint16, change func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), qtype)
	if change != nil {
		change(q)
	}
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	m, _, err := c.ExchangeContext(t.Context(), q, d.Addr())
	if err != nil {
		t.Fatalf("ask for %s %s over %s: %v", name, dns.Type(qtype), network, err)
	}
	return m
}

// brief returns a section in one line: the values, or the types of denials.
func brief(section []dns.RR) string {
	var out []string
	for _, rr := range section {
		switch rr.(type) {
		case *dns.SOA, *dns.RRSIG:
			out = append(out, dns.Type(rr.Header().Rrtype).String())
		default:
			out = append(out, withoutDot(rr.Header().Name)+" "+value(rr))
		}
	}
	return strings.Join(out, ", ")
}

func TestDNSAnswers(t *testing.T) {
	d := startDNS(t)
	addDNS(t, d, "Example.test A 192.0.2.1", "www.example.test CNAME example.test.", "deep.down.test TXT x",
		"old.test DNAME example.test", "*.wild.test A 192.0.2.2", "here.wild.test TXT x", "loop.test CNAME loop.test",
		"a.test MX 10 mail.test", `caa.test CAA 0 issue "ca.example; a=b"`)
	if err := d.Zone("zone.test"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name              string
		qtype             uint16
		rcode             int
		answer, authority string
	}{
		{"example.test", dns.TypeA, 0, "example.test 192.0.2.1", ""},
		{"EXAMPLE.Test", dns.TypeA, 0, "example.test 192.0.2.1", ""},
		{"example.test", dns.TypeAAAA, 0, "", "SOA"},
		{"www.example.test", dns.TypeA, 0, "www.example.test example.test., example.test 192.0.2.1", ""},
		{"www.example.test", dns.TypeCNAME, 0, "www.example.test example.test.", ""},
		{"www.example.test", dns.TypeTXT, 0, "www.example.test example.test.", "SOA"},
		{"no.example.test", dns.TypeA, dns.RcodeNameError, "", "SOA"},
		{"down.test", dns.TypeTXT, 0, "", "SOA"},
		{"www.old.test", dns.TypeA, 0, "old.test example.test., www.old.test www.example.test., www.example.test example.test., example.test 192.0.2.1", ""},
		{"old.test", dns.TypeA, 0, "", "SOA"},
		{"x.y.wild.test", dns.TypeA, 0, "x.y.wild.test 192.0.2.2", ""},
		{"here.wild.test", dns.TypeA, 0, "", "SOA"},
		{"x.here.wild.test", dns.TypeA, dns.RcodeNameError, "", "SOA"},
		{"x.wild.test", dns.TypeTXT, 0, "", "SOA"},
		{"loop.test", dns.TypeA, 0, "loop.test loop.test.", ""},
		{"a.test", dns.TypeMX, 0, "a.test 10 mail.test.", ""},
		{"caa.test", dns.TypeCAA, 0, `caa.test 0 issue "ca.example; a=b"`, ""},
		{"zone.test", dns.TypeNS, 0, "zone.test ns.invalid.", ""},
		{"zone.test", dns.TypeSOA, 0, "SOA", ""},
		{"zone.test", dns.TypeDS, 0, "", "SOA"},
		{"zone.test", dns.TypeDNSKEY, 0, "", "SOA"},
		{".", dns.TypeNS, 0, ". ns.invalid.", ""},
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, tt := range tests {
			m := askDNS(t, d, network, tt.name, tt.qtype, nil)
			if m.Rcode != tt.rcode || brief(m.Answer) != tt.answer || brief(m.Ns) != tt.authority || !m.Authoritative || !m.RecursionAvailable || m.Truncated {
				t.Errorf("%s %s over %s: %v, want %d, %q, %q", tt.name, dns.Type(tt.qtype), network, m, tt.rcode, tt.answer, tt.authority)
			}
		}
	}
}

func TestDNSUnanswerable(t *testing.T) {
	d := startDNS(t)
	addDNS(t, d, "a.test A 192.0.2.1")
	tests := []struct {
		name   string
		change func(*dns.Msg)
		rcode  int
	}{
		{"an opcode", func(q *dns.Msg) { q.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		{"a notification", func(q *dns.Msg) { q.Opcode = dns.OpcodeNotify }, dns.RcodeNotImplemented},
		{"a class", func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		{"everything", func(q *dns.Msg) { q.Question[0].Qtype = dns.TypeANY }, dns.RcodeNotImplemented},
		{"a transfer", func(q *dns.Msg) { q.Question[0].Qtype = dns.TypeAXFR }, dns.RcodeNotImplemented},
		{"a version of EDNS", func(q *dns.Msg) { q.SetEdns0(1232, false).IsEdns0().SetVersion(1) }, dns.RcodeBadVers},
	}
	for _, tt := range tests {
		if m := askDNS(t, d, "tcp", "a.test", dns.TypeA, tt.change); m.Rcode&0xf != tt.rcode&0xf || len(m.Answer) != 0 {
			t.Errorf("%s: %v, want the code %d", tt.name, m, tt.rcode)
		}
	}
	if m := d.reply(new(dns.Msg), "tcp"); m.Rcode != dns.RcodeFormatError {
		t.Errorf("nothing: %v", m)
	}
}

func TestDNSSizes(t *testing.T) {
	d := startDNS(t)
	for i := range 60 {
		addDNS(t, d, fmt.Sprintf("big.test TXT %040d", i))
	}
	for size, fits := range map[uint16]bool{0: false, 100: false, 1232: false, 4000: true, 65535: true} {
		m := askDNS(t, d, "udp", "big.test", dns.TypeTXT, func(q *dns.Msg) {
			if size > 0 {
				q.SetEdns0(size, false)
			}
		})
		m.Compress = true // as it was on the way
		if m.Truncated == fits || fits != (len(m.Answer) == 60) || m.Len() > max(512, int(size)) {
			t.Errorf("with %d octets: TC %t, %d records in %d octets, want all %t", size, m.Truncated, len(m.Answer), m.Len(), fits)
		}
	}
	if m := askDNS(t, d, "tcp", "big.test", dns.TypeTXT, nil); m.Truncated || len(m.Answer) != 60 {
		t.Errorf("over TCP: TC %t, %d records", m.Truncated, len(m.Answer))
	}
}

func TestDNSFaults(t *testing.T) {
	d := startDNS(t)
	addDNS(t, d, "a.test TXT x", "b.a.test TXT x")
	d.Fail("A.test.", ServFail)
	d.FailType("*.a.test", "txt", Refused)
	d.FailType("a.test", "no such type", Drop)
	if err := d.Zone("zone.test"); err != nil {
		t.Fatal(err)
	}
	d.Fail("zone.test", Refused)
	d.Fail("lame.test", Lame)
	d.Fail("cut.test", Truncate)
	tests := []struct {
		name  string
		qtype uint16
		rcode int
	}{
		{"a.test", dns.TypeTXT, dns.RcodeServerFailure},
		{"a.test", dns.TypeDS, dns.RcodeServerFailure},
		{"b.a.test", dns.TypeTXT, dns.RcodeRefused},
		{"c.b.a.test", dns.TypeTXT, dns.RcodeRefused},
		{"b.a.test", dns.TypeA, 0},
		{"test", dns.TypeTXT, 0},
		{"zone.test", dns.TypeDS, 0},
		{"zone.test", dns.TypeNS, dns.RcodeRefused},
	}
	for _, tt := range tests {
		if m := askDNS(t, d, "udp", tt.name, tt.qtype, nil); m.Rcode != tt.rcode {
			t.Errorf("%s %s: %v, want %d", tt.name, dns.Type(tt.qtype), m, tt.rcode)
		}
	}
	if m := askDNS(t, d, "udp", "lame.test", dns.TypeA, nil); m.Authoritative || m.RecursionAvailable || len(m.Ns) != 1 || m.Rcode != 0 {
		t.Errorf("a lame answer: %v", m)
	}
	if m := askDNS(t, d, "udp", "cut.test", dns.TypeA, nil); !m.Truncated || len(m.Ns) != 0 {
		t.Errorf("a truncated answer: %v", m)
	}
	if m := askDNS(t, d, "tcp", "cut.test", dns.TypeA, nil); m.Truncated || m.Rcode != dns.RcodeNameError {
		t.Errorf("its rest: %v", m)
	}
	d.Mend("a.test")
	if m := askDNS(t, d, "udp", "a.test", dns.TypeTXT, nil); m.Rcode != 0 || len(m.Answer) != 1 {
		t.Errorf("after Mend: %v", m)
	}
	d.Forget()
	d.Fail("a.test", Drop)
	c := dns.Client{Timeout: 50 * time.Millisecond}
	q := new(dns.Msg)
	q.SetQuestion("a.test.", dns.TypeTXT)
	if m, _, err := c.ExchangeContext(t.Context(), q, d.Addr()); err == nil {
		t.Errorf("Drop: %v", m)
	}
	if got, want := d.Queries(), []Query{{"a.test", "TXT", "udp"}}; !slices.Equal(got, want) {
		t.Errorf("Queries() = %v, want %v", got, want)
	}
}

func TestDNSRecords(t *testing.T) {
	d := startDNS(t)
	d.SetTTL(60)
	long := strings.Repeat(`"\;`, 200)
	addDNS(t, d, "b.test A 192.0.2.1", "a.test. TXT z", "A.test TXT "+long, "a.test TXT z", "a.test A 192.0.2.2",
		"_x.test TXT ", "zone.test SOA ns.test. host.test. 1 2 3 4 5", "zone.test SOA ns.test. host.test. 2 2 3 4 5")
	if err := d.AddTXTStrings("s.test", "one", "two"); err != nil {
		t.Fatal(err)
	}
	if err := d.AddTTL("b.test", "a", "192.0.2.3", 7); err != nil {
		t.Fatal(err)
	}
	want := []Record{
		{"_x.test", "TXT", "", 60},
		{"a.test", "A", "192.0.2.2", 60}, {"a.test", "TXT", long, 60}, {"a.test", "TXT", "z", 60},
		{"b.test", "A", "192.0.2.1", 7}, {"b.test", "A", "192.0.2.3", 7},
		{"s.test", "TXT", "onetwo", 60}, {"zone.test", "SOA", "ns.test. host.test. 2 2 3 4 5", 60},
	}
	if got := d.Records(); !slices.Equal(got, want) {
		t.Errorf("Records() = %v, want %v", got, want)
	}
	m := askDNS(t, d, "tcp", "s.test", dns.TypeTXT, nil)
	if txt, ok := m.Answer[0].(*dns.TXT); !ok || !slices.Equal(txt.Txt, []string{"one", "two"}) {
		t.Errorf("the strings are %v", m.Answer)
	}
	m = askDNS(t, d, "tcp", "a.test", dns.TypeTXT, nil)
	for _, rr := range m.Answer {
		if txt, ok := rr.(*dns.TXT); !ok || len(txt.Txt) != 1 && len(txt.Txt) != 3 {
			t.Errorf("a text of 600 octets is %v", rr)
		}
	}
	for _, tt := range []struct {
		name, rtype, value string
		want               int
	}{
		{"a.test", "TXT", "no", 0}, {"A.test.", "txt", "z", 1}, {"a.test", "", "", 2}, {"a.test", "", "", 0}, {"no.test", "", "", 0},
		{"zone.test", "SOA", "NS.test. host.test.  2 2 3 4 5", 1}, {"..", "", "", 0}, {"b.test", "AAAA", "", 0},
	} {
		if got := d.Remove(tt.name, tt.rtype, tt.value); got != tt.want {
			t.Errorf("Remove(%q, %q, %q) = %d, want %d", tt.name, tt.rtype, tt.value, got, tt.want)
		}
	}
	if m := askDNS(t, d, "udp", "a.test", dns.TypeTXT, nil); m.Rcode != dns.RcodeNameError {
		t.Errorf("a name whose records were removed: %v", m)
	}
	d.Clear()
	if got := d.Records(); len(got) != 0 {
		t.Errorf("after Clear there is %v", got)
	}
	addDNS(t, d, "b.test A 192.0.2.1") // which was forgotten
	if got := d.Records(); len(got) != 1 {
		t.Errorf("after Clear and Add there is %v", got)
	}
}

func TestDNSAddRefuses(t *testing.T) {
	d := startDNS(t)
	addDNS(t, d, "c.test CNAME a.test", "d.test DNAME a.test", "t.test TXT x")
	for _, r := range [][3]string{
		{"", "A", "192.0.2.1"}, {"a b.test", "A", "192.0.2.1"}, {"a..test", "A", "192.0.2.1"}, {"x.*.test", "A", "192.0.2.1"}, {"a*.test", "A", "192.0.2.1"},
		{`a\.b.test`, "A", "192.0.2.1"}, {strings.Repeat("a", 64) + ".test", "A", "192.0.2.1"}, {"ä.test", "A", "192.0.2.1"},
		{"a.test", "A", ""}, {"a.test", "A", "::1"}, {"a.test", "AAAA", "192.0.2.1.x"}, {"a.test", "PTR", "b.test"}, {"a.test", "RRSIG", "x"}, {"a.test", "", "x"},
		{"a.test", "CAA", "0 issue"}, {"a.test", "A", "192.0.2.1\nb.test. A 192.0.2.2"}, {"a.test", "CNAME", "a..b"}, {"a.test", "A", ";x"},
		{"$GENERATE", "A", "192.0.2.1"}, {"a.test", "TXT", strings.Repeat("x", 65_000)},
		{"c.test", "CNAME", "b.test"}, {"c.test", "TXT", "x"}, {"t.test", "CNAME", "a.test"}, {"d.test", "DNAME", "b.test"},
	} {
		if err := d.Add(r[0], r[1], r[2]); err == nil {
			t.Errorf("Add(%.80q) is accepted", r)
		}
	}
	if err := d.AddTXTStrings("a.test"); err == nil {
		t.Error("a TXT record without strings is accepted")
	}
	if err := d.AddTXTStrings("a.test", strings.Repeat("x", 256)); err == nil {
		t.Error("a string of 256 octets is accepted")
	}
	if got := d.Records(); len(got) != 3 {
		t.Errorf("what was refused is there: %v", got)
	}
	addDNS(t, d, "c.test CNAME A.test.") // is there already
}

func TestDNSAddressInUse(t *testing.T) {
	d := startDNS(t)
	if other, err := StartDNS(d.Addr()); err == nil {
		t.Error("two servers have one address")
		_ = other.Close()
	}
	if other, err := StartDNS("no address"); err == nil {
		t.Error("a server has no address")
		_ = other.Close()
	}
}

func TestDNSQueriesBounded(t *testing.T) {
	d := startDNS(t)
	for range maxQueries + 5 {
		d.remember("a.test.", dns.TypeA, "udp")
	}
	if got := len(d.Queries()); got > maxQueries || got < maxQueries*8/10 {
		t.Errorf("%d questions are remembered, want about %d", got, maxQueries)
	}
}
