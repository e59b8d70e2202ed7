package world

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// wantSignatures says that the resolver wants signatures.
func wantSignatures(q *dns.Msg) { q.SetEdns0(4096, true) }

// unsigned returns the sets of a section, as "name type", that have no good signature
// of one of the keys.
func unsigned(section []dns.RR, keys []*dns.DNSKEY) []string {
	sets := map[string][]dns.RR{}
	name := func(rr dns.RR, t uint16) string { return rr.Header().Name + " " + dns.Type(t).String() }
	for _, rr := range section {
		if rr.Header().Rrtype != dns.TypeRRSIG {
			sets[name(rr, rr.Header().Rrtype)] = append(sets[name(rr, rr.Header().Rrtype)], rr)
		}
	}
	for _, rr := range section {
		sig, ok := rr.(*dns.RRSIG)
		if !ok {
			continue
		}
		for _, key := range keys {
			if set := sets[name(sig, sig.TypeCovered)]; set != nil && sig.Verify(key, set) == nil {
				delete(sets, name(sig, sig.TypeCovered))
			}
		}
	}
	var left []string
	for set := range sets {
		left = append(left, set)
	}
	slices.Sort(left)
	return left
}

func TestDNSSigned(t *testing.T) {
	d := startDNS(t)
	ds, err := d.Sign("test")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.Sign("Test."); err != nil || again != ds {
		t.Errorf("signed again it is %s, %v, want %s", again, err, ds)
	}
	if _, err := d.Sign("child.test"); err != nil {
		t.Fatal(err)
	}
	if err := d.Zone("plain.test"); err != nil {
		t.Fatal(err)
	}
	addDNS(t, d, "a.test TXT x", "a.test TXT y", "w.child.test CNAME a.test", "*.wild.test A 192.0.2.1", "x.plain.test A 192.0.2.2", "old.test DNAME child.test")
	var keys []*dns.DNSKEY
	for _, zone := range []string{"test", "child.test"} {
		m := askDNS(t, d, "tcp", zone, dns.TypeDNSKEY, wantSignatures)
		key, ok := m.Answer[0].(*dns.DNSKEY)
		if !ok || len(unsigned(m.Answer, []*dns.DNSKEY{key})) != 0 {
			t.Fatalf("the keys of %s: %v", zone, m)
		}
		keys = append(keys, key)
	}
	if got := keys[0].ToDS(dns.SHA256).String(); got != ds {
		t.Errorf("the DS record is %s, want %s", got, ds)
	}
	if m := askDNS(t, d, "tcp", "child.test", dns.TypeDS, wantSignatures); m.Answer[0].String() != keys[1].ToDS(dns.SHA256).String() {
		t.Errorf("the DS record in the parent: %v", m)
	}
	tests := []struct {
		name              string
		qtype             uint16
		answer, authority int // sets
		unsigned          string
	}{
		{"a.test", dns.TypeTXT, 1, 0, ""},
		{"a.test", dns.TypeA, 0, 2, ""},
		{"w.child.test", dns.TypeTXT, 2, 0, ""},
		{"child.test", dns.TypeDS, 1, 0, ""},
		{"plain.test", dns.TypeDS, 0, 2, ""},
		{"x.wild.test", dns.TypeA, 1, 1, ""},
		{"x.wild.test", dns.TypeTXT, 0, 3, ""},
		{"wild.test", dns.TypeTXT, 0, 2, ""},
		{"no.test", dns.TypeTXT, 0, 3, ""},
		{"w.old.test", dns.TypeTXT, 4, 0, "w.old.test. CNAME"}, // which the DNAME vouches for
		{"x.plain.test", dns.TypeA, 1, 0, "x.plain.test. A"},
		{"no.plain.test", dns.TypeA, 0, 1, "plain.test. SOA"},
	}
	for _, tt := range tests {
		m := askDNS(t, d, "tcp", tt.name, tt.qtype, wantSignatures)
		left := append(unsigned(m.Answer, keys), unsigned(m.Ns, keys)...)
		if a, n := len(unsigned(m.Answer, nil)), len(unsigned(m.Ns, nil)); strings.Join(left, ", ") != tt.unsigned || a != tt.answer || n != tt.authority {
			t.Errorf("%s %s: %d and %d sets, unsigned are %q, want %d, %d, %q: %v", tt.name, dns.Type(tt.qtype), a, n, left, tt.answer, tt.authority, tt.unsigned, m)
		}
	}
	if m := askDNS(t, d, "tcp", "no.test", dns.TypeTXT, nil); len(m.Ns) != 1 {
		t.Errorf("who wants no signatures gets %v", m)
	}
}

func TestDNSBitmaps(t *testing.T) {
	d := startDNS(t)
	for _, zone := range []string{"test", "child.test"} {
		if _, err := d.Sign(zone); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Zone("plain.test"); err != nil {
		t.Fatal(err)
	}
	addDNS(t, d, "a.test TXT x", "a.test A 192.0.2.1", "b.ent.test TXT x", "plain.test TXT x", "child.test TXT x")
	for question, want := range map[string]string{
		"a.test CAA":     "A TXT RRSIG NSEC",
		"ent.test CAA":   "RRSIG NSEC",
		"plain.test DS":  "NS RRSIG NSEC",
		"child.test CAA": "NS SOA TXT RRSIG NSEC DNSKEY",
		"test CAA":       "NS SOA RRSIG NSEC DNSKEY",
	} {
		name, rtype, _ := strings.Cut(question, " ")
		m := askDNS(t, d, "tcp", name, dns.StringToType[rtype], wantSignatures)
		for _, rr := range m.Ns {
			if nsec, ok := rr.(*dns.NSEC); ok {
				var types []string
				for _, t := range nsec.TypeBitMap {
					types = append(types, dns.Type(t).String())
				}
				if got := strings.Join(types, " "); got != want || nsec.Hdr.Name != name+"." {
					t.Errorf("%s: %v, want the types %s", question, nsec, want)
				}
			}
		}
		if len(unsigned(m.Ns, nil)) != 2 {
			t.Errorf("%s: %v, want a denial", question, m)
		}
	}
}

func TestDNSHarm(t *testing.T) {
	d := startDNS(t)
	if _, err := d.Sign("test"); err != nil {
		t.Fatal(err)
	}
	if err := d.Zone("plain.test"); err != nil {
		t.Fatal(err)
	}
	addDNS(t, d, "a.test TXT x")
	key := []*dns.DNSKEY{d.zones["test."].key}
	state := func() (broken, expired bool) {
		m := askDNS(t, d, "tcp", "a.test", dns.TypeTXT, wantSignatures)
		sig, ok := m.Answer[1].(*dns.RRSIG)
		if !ok {
			t.Fatalf("there is no signature: %v", m)
		}
		return len(unsigned(m.Answer, key)) > 0, !sig.ValidityPeriod(time.Now())
	}
	for _, tt := range []struct {
		do              func(string) error
		broken, expired bool
	}{{d.Repair, false, false}, {d.Break, true, false}, {d.Repair, false, false}, {d.Expire, false, true}, {d.Repair, false, false}} {
		if err := tt.do("Test."); err != nil {
			t.Fatal(err)
		}
		if broken, expired := state(); broken != tt.broken || expired != tt.expired {
			t.Errorf("signatures are broken %t, expired %t, want %t, %t", broken, expired, tt.broken, tt.expired)
		}
	}
	for _, zone := range []string{"plain.test", "no.test", ""} {
		if err := d.Break(zone); err == nil {
			t.Errorf("Break(%q) finds signatures", zone)
		}
	}
	if _, err := d.Sign("a b"); err == nil {
		t.Error("a zone has a name that is none")
	}
}

// order compares names in canonical order (RFC 4034, Section 6.1).
func order(a, b string) int {
	wire := func(name string) (labels [][]byte) {
		buf := make([]byte, 256)
		end, err := dns.PackDomainName(dns.CanonicalName(name), buf, 0, nil, false)
		if err != nil {
			return nil
		}
		for off := 0; off < end-1; off += 1 + int(buf[off]) {
			labels = append(labels, buf[off+1:off+1+int(buf[off])])
		}
		slices.Reverse(labels)
		return labels
	}
	return slices.CompareFunc(wire(a), wire(b), func(a, b []byte) int { return bytes.Compare(a, b) })
}

func TestOrder(t *testing.T) {
	full := strings.Repeat("a", 63)
	longest := full + "." + full + "." + full + "." + strings.Repeat("a", 61) + "."
	for _, name := range []string{
		"a.test.", "b.test.", "z.test.", "0.test.", "-.test.", "_.test.", "*.test.", `\000.test.`, `a\000.test.`, `\255.test.`, `\[.test.`, `\@.test.`,
		`a\255.test.`, full + ".test.", longest, "test.", `{.test.`,
	} {
		if b, a := before(name), after(name); order(b, name) >= 0 || order(name, a) >= 0 || b == "" || a == "" {
			t.Errorf("before and after %s are %s and %s", name, b, a)
		}
		if order(name, below(name)) >= 0 {
			t.Errorf("below %s is %s", name, below(name))
		}
		// What lies below a name that does not exist comes before what follows it.
		if deeper, a := "z."+name, after(name); len(deeper) < 250 && order(deeper, a) >= 0 {
			t.Errorf("%s comes after %s", deeper, a)
		}
	}
	if order("a.test.", "z.a.test.") >= 0 || order("z.a.test.", "b.test.") >= 0 || order("B.test.", "a.test.") <= 0 {
		t.Error("the order of the test is wrong")
	}
}

// FuzzDNSMessage answers whatever is sent: with a message that can be sent and fits,
// and with denials that cover what was asked for and nothing that exists.
func FuzzDNSMessage(f *testing.F) {
	d, err := StartDNS("127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := d.Close(); err != nil {
			f.Error(err)
		}
	})
	for _, zone := range []string{".", "test", "child.test"} {
		if _, err := d.Sign(zone); err != nil {
			f.Fatal(err)
		}
	}
	exist := []string{"a.test", "b.ent.test", "x.child.test", "*.wild.test", "old.test"}
	for _, name := range exist {
		rtype, value := "TXT", "x"
		if name == "old.test" {
			rtype, value = "DNAME", "child.test"
		}
		if err := d.Add(name, rtype, value); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte, tcp bool) {
		q := new(dns.Msg)
		if err := q.Unpack(wire); err != nil {
			return
		}
		network, size := "udp", maxUDPReply
		if tcp {
			network, size = "tcp", dns.MaxMsgSize
		}
		m := d.reply(q, network)
		out, err := m.Pack()
		if err != nil || len(out) > size {
			t.Fatalf("the answer has %d octets: %v", len(out), err)
		}
		if m.Rcode == dns.RcodeServerFailure {
			t.Errorf("the answer to %v is %v", q, m)
		}
		for _, rr := range m.Ns {
			nsec, ok := rr.(*dns.NSEC)
			if !ok {
				continue
			}
			for _, name := range exist {
				if name += "."; order(nsec.Hdr.Name, name) < 0 && order(name, nsec.NextDomain) < 0 {
					t.Errorf("%v denies %s, which exists", nsec, name)
				}
			}
			if order(nsec.Hdr.Name, nsec.NextDomain) >= 0 && nsec.NextDomain != "." {
				t.Errorf("%v ends before it starts", nsec)
			}
		}
	})
}

// FuzzDNSAdd adds a record. What is accepted is there, once, and can be removed.
func FuzzDNSAdd(f *testing.F) {
	d, err := StartDNS("127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := d.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, name, rtype, value string) {
		d.Clear()
		err := d.Add(name, rtype, value)
		records := d.Records()
		if err != nil {
			if len(records) != 0 {
				t.Fatalf("Add(%q, %q, %q) reports %v and adds %v", name, rtype, value, err, records)
			}
			return
		}
		if len(records) != 1 {
			t.Fatalf("Add(%q, %q, %q) adds %v", name, rtype, value, records)
		}
		r := records[0]
		if err := d.Add(r.Name, r.Type, r.Value); err != nil || !slices.Equal(d.Records(), records) {
			t.Errorf("%v added again is %v, %v", r, d.Records(), err)
		}
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(r.Name), dns.StringToType[r.Type])
		if m := d.reply(q, "tcp"); len(m.Answer) == 0 && !m.Truncated {
			t.Errorf("%v cannot be asked for: %v", r, m)
		} else if _, err := m.Pack(); err != nil {
			t.Errorf("%v cannot be sent: %v", r, err)
		}
		if n := d.Remove(r.Name, r.Type, r.Value); n != 1 {
			t.Errorf("of %v there are %d", r, n)
		}
	})
}
