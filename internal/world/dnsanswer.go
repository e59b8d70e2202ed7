package world

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxLinks is how many CNAMEs and DNAMEs one answer follows.
const maxLinks = 16

// An answering finds the answer to one question. It needs DNS.mu for all its life.
type answering struct {
	d      *DNS
	dnssec bool // the resolver wants signatures (DO)

	rcode             int
	answer, authority []dns.RR
}

// run answers the question for a name in canonical form. A chain of CNAMEs that is a
// loop, or too long, is answered as far as it was followed.
func (a *answering) run(name string, qtype uint16) {
	seen := []string{}
	for len(seen) <= maxLinks && !slices.Contains(seen, name) {
		seen = append(seen, name)
		if name = a.step(name, qtype); name == "" {
			return
		}
	}
}

// step answers for one name, and returns where to go on, "" if the answer is
// complete.
func (a *answering) step(name string, qtype uint16) string {
	z := a.d.zoneOf(name, qtype)
	for above := range ancestors(name) {
		if above != "." && dns.IsSubDomain(z.apex, above) && a.d.names[above][dns.TypeDNAME] != nil {
			return a.redirect(z, name, above)
		}
	}
	owner := name
	if !a.d.exists(name) {
		owner = a.wildcard(z, name)
	}
	if set := a.d.set(z, owner, qtype); owner != "" && len(set) > 0 {
		a.add(z, set, owner, name)
		return ""
	}
	if set := a.d.set(z, owner, dns.TypeCNAME); owner != "" && len(set) > 0 {
		a.add(z, set, owner, name)
		return dns.CanonicalName(set[0].(*dns.CNAME).Target)
	}
	a.deny(z, name, owner)
	return ""
}

// redirect follows the DNAME at the name above (RFC 6672, Section 3.2).
func (a *answering) redirect(z *zone, name, above string) string {
	set := a.d.set(z, above, dns.TypeDNAME)
	a.add(z, set, above, above)
	target := dns.CanonicalName(set[0].(*dns.DNAME).Target)
	to := strings.TrimSuffix(name, above) + strings.TrimPrefix(target, ".")
	if _, ok := dns.IsDomainName(to); !ok {
		a.rcode = dns.RcodeYXDomain
		return ""
	}
	a.answer = append(a.answer, &dns.CNAME{
		Hdr:    dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: set[0].Header().Ttl},
		Target: to,
	})
	return to
}

// wildcard returns the wildcard of zone z that answers for a name that does not
// exist, "" if there is none (RFC 4592, Section 3.3.1).
func (a *answering) wildcard(z *zone, name string) string {
	encloser, _ := a.encloser(name)
	owner := "*." + strings.TrimPrefix(encloser, ".")
	if a.d.names[owner] == nil || !dns.IsSubDomain(z.apex, owner) {
		return ""
	}
	return owner
}

// encloser returns the closest name above that exists, and the one below it that
// does not.
func (a *answering) encloser(name string) (encloser, next string) {
	next = name
	for above := range ancestors(name) {
		if a.d.exists(above) {
			return above, next
		}
		next = above
	}
	return ".", next
}

// add adds a set that stands at the owner, a wildcard perhaps, as that of the name.
func (a *answering) add(z *zone, set []dns.RR, owner, name string) {
	a.answer = append(a.answer, a.signed(z, set, name)...)
	if owner != name {
		_, next := a.encloser(name)
		a.deniesExistence(z, next)
	}
}

// signed returns the set as that of the name, with its signature if it has one.
func (a *answering) signed(z *zone, set []dns.RR, name string) []dns.RR {
	all := set
	if a.dnssec && z.key != nil {
		sig, err := z.sign(set)
		if err != nil {
			a.rcode = dns.RcodeServerFailure
			return nil
		}
		all = append(slices.Clip(set), sig)
	}
	if set[0].Header().Name == name {
		return all
	}
	renamed := make([]dns.RR, len(all))
	for i, rr := range all {
		renamed[i] = dns.Copy(rr)
		renamed[i].Header().Name = name
	}
	return renamed
}

// deny says that there are no records of the type at the name, for which the owner
// answers: the name itself, a wildcard, or "" if it does not exist (RFC 4035,
// Section 3.1.3).
func (a *answering) deny(z *zone, name, owner string) {
	a.authority = append(a.authority, a.signed(z, a.d.set(z, z.apex, dns.TypeSOA), z.apex)...)
	if owner == "" {
		a.rcode = dns.RcodeNameError
	}
	if !a.dnssec || z.key == nil {
		return
	}
	encloser, next := a.encloser(name)
	switch owner {
	case name:
		a.nsec(z, name, below(name))
	case "":
		a.deniesExistence(z, next)
		a.deniesExistence(z, "*."+strings.TrimPrefix(encloser, "."))
	default:
		a.deniesExistence(z, next)
		a.nsec(z, owner, below(owner))
	}
}

// deniesExistence adds the NSEC record which says that the name and all below do not
// exist, and nothing else (RFC 4470).
func (a *answering) deniesExistence(z *zone, name string) {
	if a.dnssec && z.key != nil {
		a.nsec(z, before(name), after(name))
	}
}

// nsec adds an NSEC record, unless it is there.
func (a *answering) nsec(z *zone, owner, next string) {
	ttl := a.d.ttl
	if soa, ok := a.d.set(z, z.apex, dns.TypeSOA)[0].(*dns.SOA); ok {
		ttl = min(soa.Minttl, soa.Hdr.Ttl) // RFC 9077
	}
	for _, rr := range a.authority {
		if rr.Header().Rrtype == dns.TypeNSEC && rr.Header().Name == owner {
			return
		}
	}
	rr := &dns.NSEC{
		Hdr:        dns.RR_Header{Name: owner, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: ttl},
		NextDomain: next, TypeBitMap: a.d.types(z, owner),
	}
	a.authority = append(a.authority, a.signed(z, []dns.RR{rr}, owner)...)
}
