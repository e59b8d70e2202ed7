package resolver

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	headerSize = 12        // octets (RFC 1035, Section 4.1.1)
	maxTTL     = 1<<31 - 1 // seconds; more counts as 0 (RFC 2181, Section 8)
)

// parse reads a message in wire form. Unlike the library it refuses one that has
// fewer records than its header says: what was cut off may be what forbids.
func parse(wire []byte) (*dns.Msg, error) {
	if len(wire) < headerSize {
		return nil, errors.New("read a DNS message: too short")
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		return nil, err
	}
	for i, n := range []int{len(m.Question), len(m.Answer), len(m.Ns), len(m.Extra)} {
		if int(binary.BigEndian.Uint16(wire[4+2*i:])) != n {
			return nil, errors.New("read a DNS message: records are missing")
		}
	}
	return m, nil
}

// A chain is the way from a name to its records, over one answer of the resolver or
// several.
type chain struct {
	at     string // the name that is asked for next, and in the end that of the records
	want   uint16
	secure bool // all answers so far were
	done   bool

	links   []string // the names that it came to after the first
	first   string   // the name it began at
	records []dns.RR // of the wanted type at the end
	ttl     uint32
	timed   bool // ttl is set
}

// read takes one answer in, to the question for c.at. It says that c is done unless
// the answer ends with a CNAME whose target it tells nothing of. Its errors are texts
// for the owner of the domain.
func (c *chain) read(m *dns.Msg) error {
	c.secure = c.secure && m.AuthenticatedData
	if c.first == "" {
		c.first = c.at
	}
	before := len(c.links)
	for {
		to, ttl, err := link(m.Answer, c.at)
		if err != nil {
			return err
		}
		if to == "" {
			break
		}
		if to == c.first || slices.Contains(c.links, to) {
			return errors.New("the CNAME records are a loop")
		}
		if len(c.links) == MaxLinks {
			return errors.New("there are more than 10 CNAME records in a row")
		}
		c.links, c.at = append(c.links, to), to
		c.keep(ttl)
	}
	for _, rr := range m.Answer {
		if at(rr, c.at, c.want) {
			c.keep(rr.Header().Ttl)
			if len(c.records) < MaxRecords {
				c.records = append(c.records, rr)
			}
		}
	}
	if len(c.records) > 0 {
		c.done = true
		return nil
	}
	denied := c.deny(m.Ns)
	c.done = denied || m.Rcode == dns.RcodeNameError || len(c.links) == before
	if c.done && !denied { // a denial without SOA is not to be kept (RFC 2308, Section 5)
		c.keep(0)
	}
	return nil
}

// deny looks for the SOA record that belongs to a denial of c.at.
func (c *chain) deny(authority []dns.RR) bool {
	for _, rr := range authority {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, c.at) {
			c.keep(min(soa.Hdr.Ttl, soa.Minttl))
			return true
		}
	}
	return false
}

// keep notes for how long a part of the answer may be kept.
func (c *chain) keep(ttl uint32) {
	if ttl > maxTTL {
		ttl = 0
	}
	if !c.timed || ttl < c.ttl {
		c.ttl, c.timed = ttl, true
	}
}

// at says whether rr is a record of the type at the name, in the Internet class.
func at(rr dns.RR, name string, rtype uint16) bool {
	h := rr.Header()
	return h.Rrtype == rtype && h.Class == dns.ClassINET && dns.CanonicalName(h.Name) == name
}

// link returns the target of the CNAME at the name, or of the one that a DNAME above
// makes (RFC 6672, Section 3.1), "" if there is neither.
func link(answer []dns.RR, name string) (to string, ttl uint32, err error) {
	for _, rr := range answer {
		cname, ok := rr.(*dns.CNAME)
		if !ok || !at(rr, name, dns.TypeCNAME) {
			continue
		}
		target := dns.CanonicalName(cname.Target)
		if to != "" && to != target {
			return "", 0, errors.New("there is more than one CNAME record at one name")
		}
		to, ttl = target, cname.Hdr.Ttl
	}
	if to != "" {
		return to, ttl, nil
	}
	for _, rr := range answer {
		dname, ok := rr.(*dns.DNAME)
		if !ok || dname.Hdr.Class != dns.ClassINET {
			continue
		}
		owner := dns.CanonicalName(dname.Hdr.Name)
		if owner == name || !dns.IsSubDomain(owner, name) {
			continue
		}
		to := strings.TrimSuffix(name, owner) + strings.TrimPrefix(dns.CanonicalName(dname.Target), ".")
		if _, ok := dns.IsDomainName(to); !ok {
			return "", 0, errors.New("a DNAME record leads to a name that is too long")
		}
		return to, dname.Hdr.Ttl, nil
	}
	return "", 0, nil
}

// answer returns what a chain that is done found.
func (c *chain) answer() *Answer {
	a := &Answer{Secure: c.secure, TTL: time.Duration(c.ttl) * time.Second}
	for _, name := range c.links {
		a.Chain = append(a.Chain, strings.TrimSuffix(name, "."))
	}
	for _, rr := range c.records {
		switch rr := rr.(type) {
		case *dns.TXT:
			var text strings.Builder
			for _, s := range rr.Txt {
				text.WriteString(unescape(s))
			}
			a.TXT = append(a.TXT, text.String())
		case *dns.CAA:
			a.CAA = append(a.CAA, CAA{Flag: rr.Flag, Tag: strings.ToLower(unescape(rr.Tag)), Value: rr.Value})
		case *dns.A:
			a.addAddress(rr.A)
		case *dns.AAAA:
			a.addAddress(rr.AAAA)
		}
	}
	return a
}

// addAddress adds an address if it is one; a record may be empty.
func (a *Answer) addAddress(octets []byte) {
	if address, ok := netip.AddrFromSlice(octets); ok {
		a.Addresses = append(a.Addresses, address)
	}
}

// unescape returns the octets of a string that the library gives in presentation form
// (RFC 1035, Section 5.1): \DDD stands for an octet, \X for X.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	isDigit := func(b byte) bool { return '0' <= b && b <= '9' }
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			out = append(out, s[i])
		case i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]):
			out = append(out, (s[i+1]-'0')*100+(s[i+2]-'0')*10+s[i+3]-'0')
			i += 3
		default:
			i++
			out = append(out, s[i])
		}
	}
	return string(out)
}
