package world

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	// nameServer and hostmaster stand in the NS and SOA records of zones that were
	// given none. There is no such host, and nobody looks for it.
	nameServer = "ns.invalid."
	hostmaster = "hostmaster.invalid."

	keyFlags    = 257 // a zone key and secure entry point (RFC 4034, Section 2.1.1)
	keyProtocol = 3   // RFC 4034, Section 2.1.2
	keyBits     = 256
)

// A zone is a part of the name space with data and a key of its own. DNS.mu guards
// it.
type zone struct {
	apex    string
	key     *dns.DNSKEY // nil if the zone is not signed
	signer  crypto.Signer
	broken  bool // signatures are wrong
	expired bool // signatures are out of date
}

// Zone declares that a zone begins at the name, unsigned unless Sign says otherwise.
func (d *DNS) Zone(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.declare(name)
	return err
}

// declare returns the zone that begins at the name. It needs d.mu.
func (d *DNS) declare(name string) (*zone, error) {
	apex, err := parseOwner(name)
	if err != nil {
		return nil, fmt.Errorf("declare zone %q: %w", name, err)
	}
	z := d.zones[apex]
	if z == nil {
		z = &zone{apex: apex}
		d.zones[apex] = z
		d.serial++
	}
	return z, nil
}

// Sign signs the zone that begins at the name with a new key of ECDSA P-256 (RFC
// 6605), and declares the zone if it was not. It returns the zone's DS record in
// presentation form, fit for a trust anchor. A signed parent serves the same record
// from now on. Nothing changes for a zone that is signed already.
func (d *DNS) Sign(name string) (ds string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	z, err := d.declare(name)
	if err != nil {
		return "", err
	}
	if z.key == nil {
		key := &dns.DNSKEY{
			Hdr:   dns.RR_Header{Name: z.apex, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: d.ttl},
			Flags: keyFlags, Protocol: keyProtocol, Algorithm: dns.ECDSAP256SHA256,
		}
		private, err := key.Generate(keyBits)
		if err != nil {
			return "", fmt.Errorf("make a key of zone %s: %w", z.apex, err)
		}
		signer, ok := private.(crypto.Signer)
		if !ok {
			return "", fmt.Errorf("make a key of zone %s: it cannot sign", z.apex)
		}
		z.key, z.signer = key, signer
		d.serial++
	}
	return z.key.ToDS(dns.SHA256).String(), nil
}

// Break makes the signatures of a signed zone wrong until Repair: its answers are
// bogus. The one of the zone's DNSKEY records stays good, so that a resolver need
// not forget a bad key before it sees the repair.
func (d *DNS) Break(name string) error { return d.harm(name, func(z *zone) { z.broken = true }) }

// Expire makes the signatures of a signed zone end a day ago until Repair, but for
// the one of its DNSKEY records.
func (d *DNS) Expire(name string) error { return d.harm(name, func(z *zone) { z.expired = true }) }

// Repair undoes Break and Expire.
func (d *DNS) Repair(name string) error {
	return d.harm(name, func(z *zone) { z.broken, z.expired = false, false })
}

func (d *DNS) harm(name string, change func(*zone)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	z := d.zones[dns.CanonicalName(name)]
	if z == nil || z.key == nil {
		return fmt.Errorf("there is no signed zone %q", name)
	}
	change(z)
	return nil
}

// zoneOf returns the zone that answers for a name and type: the deepest, but of DS
// records the one above (RFC 4035, Section 3.1.4.1). It needs d.mu.
func (d *DNS) zoneOf(name string, qtype uint16) *zone {
	if z := d.zones[name]; z != nil && (qtype != dns.TypeDS || name == ".") {
		return z
	}
	for above := range ancestors(name) {
		if z := d.zones[above]; z != nil {
			return z
		}
	}
	return d.zones["."]
}

// exists says whether there is anything at the name or below. It needs d.mu.
func (d *DNS) exists(name string) bool {
	if d.names[name] != nil || d.zones[name] != nil {
		return true
	}
	for owner := range d.names {
		if dns.IsSubDomain(name, owner) {
			return true
		}
	}
	for apex := range d.zones {
		if dns.IsSubDomain(name, apex) {
			return true
		}
	}
	return false
}

// set returns the records of a type that zone z has at the owner, with those that
// follow from its being a zone. It needs d.mu.
func (d *DNS) set(z *zone, owner string, rtype uint16) []dns.RR {
	child := d.zones[owner]
	switch {
	case child != nil && child != z: // z is the parent, to which the DS records belong
		if rtype == dns.TypeDS && child.key != nil {
			return []dns.RR{child.key.ToDS(dns.SHA256)}
		}
		return nil
	case child == nil:
		return d.names[owner][rtype]
	}
	if set := d.names[owner][rtype]; set != nil {
		return set
	}
	switch header := (dns.RR_Header{Name: owner, Rrtype: rtype, Class: dns.ClassINET, Ttl: d.ttl}); {
	case rtype == dns.TypeDNSKEY && z.key != nil:
		return []dns.RR{z.key}
	case rtype == dns.TypeNS:
		return []dns.RR{&dns.NS{Hdr: header, Ns: nameServer}}
	case rtype == dns.TypeSOA:
		return []dns.RR{&dns.SOA{
			Hdr: header, Ns: nameServer, Mbox: hostmaster, Serial: d.serial,
			Refresh: 3600, Retry: 600, Expire: 86400, Minttl: d.ttl,
		}}
	}
	return nil
}

// types returns the types of all that zone z has at the owner, sorted, for an NSEC
// record (RFC 4034, Section 4.1.2). It needs d.mu.
func (d *DNS) types(z *zone, owner string) []uint16 {
	types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
	switch child := d.zones[owner]; {
	case child != nil && child != z:
		types = append(types, dns.TypeNS)
		if child.key != nil {
			types = append(types, dns.TypeDS)
		}
	default:
		for t := range d.names[owner] {
			types = append(types, t)
		}
		if child == z {
			types = append(types, dns.TypeNS, dns.TypeSOA, dns.TypeDNSKEY)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// sign returns the signature of a set of records of the zone.
func (z *zone) sign(set []dns.RR) (*dns.RRSIG, error) {
	// Resolvers judge signatures by the time of day, and so it is the one that counts.
	from, to := time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	harmless := set[0].Header().Rrtype == dns.TypeDNSKEY
	if z.expired && !harmless {
		from, to = from.Add(-48*time.Hour), to.Add(-48*time.Hour)
	}
	sig := &dns.RRSIG{
		Algorithm: z.key.Algorithm, SignerName: z.apex, KeyTag: z.key.KeyTag(),
		Inception: uint32(from.Unix()), Expiration: uint32(to.Unix()),
	}
	sig.Hdr.Ttl = set[0].Header().Ttl
	if err := sig.Sign(z.signer, set); err != nil {
		return nil, fmt.Errorf("sign %s: %w", set[0].Header().Name, err)
	}
	if z.broken && !harmless {
		raw, err := base64.StdEncoding.DecodeString(sig.Signature)
		if err != nil || len(raw) == 0 {
			return nil, errors.Join(errors.New("a signature that is not Base64"), err)
		}
		raw[0] ^= 1
		sig.Signature = base64.StdEncoding.EncodeToString(raw)
	}
	return sig, nil
}
