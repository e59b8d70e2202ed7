package resolver

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// FuzzAnswer reads octets as the answer to a question. What it gives is bounded, and
// only records at the end of the chain count.
func FuzzAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, wire []byte, rtype uint16) {
		m, err := parse(wire)
		if err != nil {
			return
		}
		const name = "www.example.test."
		c := chain{at: name, want: rtype, secure: true}
		if err := c.read(m); err != nil {
			if text := err.Error(); strings.ContainsAny(text, "\r\n") || len(text) > 100 {
				t.Errorf("the reason is %q", text)
			}
			return
		}
		a := c.answer()
		if len(a.Chain) > MaxLinks || len(a.TXT)+len(a.CAA)+len(a.Addresses) > MaxRecords {
			t.Errorf("%d links and %d records are kept", len(a.Chain), len(c.records))
		}
		if a.TTL < 0 || a.Secure && !m.AuthenticatedData {
			t.Errorf("%+v of an answer with AD %t", a, m.AuthenticatedData)
		}
		end := name
		if len(c.links) > 0 {
			end = c.links[len(c.links)-1]
		}
		for _, rr := range c.records {
			if h := rr.Header(); h.Class != dns.ClassINET || h.Rrtype != rtype || !strings.EqualFold(h.Name, end) {
				t.Errorf("a record %v, and the end is %s", rr, end)
			}
		}
		if len(c.records) > 0 && slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return at(rr, end, dns.TypeCNAME) }) && rtype != dns.TypeCNAME {
			t.Errorf("there are records at %s beside a CNAME", end)
		}
		total := 0
		for _, text := range a.TXT {
			total += len(text)
		}
		if total > len(wire) {
			t.Errorf("%d octets of text in a message of %d", total, len(wire))
		}
		_, _ = extendedError(m)
		for _, rr := range m.Ns {
			_ = delegates(rr, name)
		}
	})
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "abc": "abc", `a\"b`: `a"b`, `\\`: `\`, `\\065`: `\065`, `\065\255`: "A\xff", `\0`: "0", `\06`: "06", `a\`: `a\`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestDelegates holds which NSEC and NSEC3 records prove an unsigned delegation.
func TestDelegates(t *testing.T) {
	hash := strings.ToLower(dns.HashName("a.test.", dns.SHA1, 0, ""))
	for text, want := range map[string]bool{
		"a.test. 5 IN NSEC b.test. NS RRSIG NSEC":                                 true,
		"A.Test. 5 IN NSEC b.test. NS RRSIG NSEC":                                 true,
		"a.test. 5 IN NSEC b.test. NS DS RRSIG NSEC":                              false,
		"a.test. 5 IN NSEC b.test. NS SOA RRSIG NSEC":                             false,
		"a.test. 5 IN NSEC b.test. A RRSIG NSEC":                                  false,
		"b.test. 5 IN NSEC c.test. NS RRSIG NSEC":                                 false,
		hash + ".test. 5 IN NSEC3 1 1 0 - " + strings.Repeat("0", 32) + " NS":     true,
		hash + ".test. 5 IN NSEC3 1 1 0 - " + strings.Repeat("0", 32) + " NS DS":  false,
		hash + ".test. 5 IN NSEC3 1 1 0 - " + strings.Repeat("0", 32) + " NS SOA": false,
		hash + ".example. 5 IN NSEC3 1 1 0 - " + strings.Repeat("0", 32) + " NS":  false,
	} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := delegates(rr, "a.test."); got != want {
			t.Errorf("delegates(%v) = %t, want %t", rr, got, want)
		}
	}
}
