package egress

import "net/netip"

// An entry is a range of addresses that are not hosts of the public Internet.
type entry struct {
	prefix netip.Prefix
	name   string // the registry's
	source string // the document that set the range aside
	// embeds returns the IPv4 address to which an address of the range leads by
	// translation or a tunnel; nil if the range does not embed any, or at no certain
	// place.
	embeds func(netip.Addr) netip.Addr
}

// registry holds every entry of the IANA IPv4 and IPv6 Special-Purpose Address
// Registries (RFC 6890, RFC 8190; as of 2026-11), and after them the ranges that
// IANA's address space registries set aside in another way. Entries that the
// registries call globally reachable stand here too: they are anycast services of
// the network itself, which the nearest router may answer, identifiers without a
// route, and translators.
var registry = []entry{
	v4("0.0.0.0/8", "This network", "RFC 791, Section 3.2"),
	v4("0.0.0.0/32", "This host on this network", "RFC 1122, Section 3.2.1.3"),
	v4("10.0.0.0/8", "Private-Use", "RFC 1918"),
	v4("100.64.0.0/10", "Shared Address Space", "RFC 6598"),
	v4("127.0.0.0/8", "Loopback", "RFC 1122, Section 3.2.1.3"),
	v4("169.254.0.0/16", "Link Local", "RFC 3927"),
	v4("172.16.0.0/12", "Private-Use", "RFC 1918"),
	v4("192.0.0.0/24", "IETF Protocol Assignments", "RFC 6890, Section 2.1"),
	v4("192.0.0.0/29", "IPv4 Service Continuity Prefix", "RFC 7335"),
	v4("192.0.0.8/32", "IPv4 dummy address", "RFC 7600"),
	v4("192.0.0.9/32", "Port Control Protocol Anycast", "RFC 7723"),
	v4("192.0.0.10/32", "Traversal Using Relays around NAT Anycast", "RFC 8155"),
	v4("192.0.0.170/32", "NAT64/DNS64 Discovery", "RFC 8880"),
	v4("192.0.0.171/32", "NAT64/DNS64 Discovery", "RFC 8880"),
	v4("192.0.2.0/24", "Documentation (TEST-NET-1)", "RFC 5737"),
	v4("192.31.196.0/24", "AS112-v4", "RFC 7535"),
	v4("192.52.193.0/24", "AMT", "RFC 7450"),
	v4("192.88.99.0/24", "Deprecated (6to4 Relay Anycast)", "RFC 7526"),
	v4("192.88.99.2/32", "6a44-relay anycast address", "RFC 6751"),
	v4("192.168.0.0/16", "Private-Use", "RFC 1918"),
	v4("192.175.48.0/24", "Direct Delegation AS112 Service", "RFC 7534"),
	v4("198.18.0.0/15", "Benchmarking", "RFC 2544"),
	v4("198.51.100.0/24", "Documentation (TEST-NET-2)", "RFC 5737"),
	v4("203.0.113.0/24", "Documentation (TEST-NET-3)", "RFC 5737"),
	v4("240.0.0.0/4", "Reserved", "RFC 1112, Section 4"),
	v4("255.255.255.255/32", "Limited Broadcast", "RFC 919, Section 7"),

	v6("::1/128", "Loopback Address", "RFC 4291"),
	v6("::/128", "Unspecified Address", "RFC 4291"),
	embedding("::ffff:0:0/96", "IPv4-mapped Address", "RFC 4291", lastFour),
	embedding("64:ff9b::/96", "IPv4-IPv6 Translat.", "RFC 6052", lastFour),
	v6("64:ff9b:1::/48", "IPv4-IPv6 Translat.", "RFC 8215"),
	v6("100::/64", "Discard-Only Address Block", "RFC 6666"),
	v6("100:0:0:1::/64", "Dummy IPv6 Prefix", "RFC 9780"),
	v6("2001::/23", "IETF Protocol Assignments", "RFC 2928"),
	embedding("2001::/32", "TEREDO", "RFC 4380", teredoClient),
	v6("2001:1::1/128", "Port Control Protocol Anycast", "RFC 7723"),
	v6("2001:1::2/128", "Traversal Using Relays around NAT Anycast", "RFC 8155"),
	v6("2001:1::3/128", "DNS-SD Service Registration Protocol Anycast", "RFC 9665"),
	v6("2001:2::/48", "Benchmarking", "RFC 5180"),
	v6("2001:3::/32", "AMT", "RFC 7450"),
	v6("2001:4:112::/48", "AS112-v6", "RFC 7535"),
	v6("2001:10::/28", "Deprecated (previously ORCHID)", "RFC 4843"),
	v6("2001:20::/28", "ORCHIDv2", "RFC 7343"),
	v6("2001:30::/28", "Drone Remote ID Protocol Entity Tags (DETs) Prefix", "RFC 9374"),
	v6("2001:db8::/32", "Documentation", "RFC 3849"),
	embedding("2002::/16", "6to4", "RFC 3056", sixToFour),
	v6("2620:4f:8000::/48", "Direct Delegation AS112 Service", "RFC 7534"),
	v6("3fff::/20", "Documentation", "RFC 9637"),
	v6("5f00::/16", "Segment Routing (SRv6) SIDs", "RFC 9602"),
	v6("fc00::/7", "Unique-Local", "RFC 4193"),
	v6("fe80::/10", "Link-Local Unicast", "RFC 4291"),

	// IANA IPv4 Multicast Address Space Registry.
	v4("224.0.0.0/4", "Multicast", "RFC 1112, Section 4"),
	// IANA Internet Protocol Version 6 Address Space: what is not global unicast.
	embedding("::/96", "Deprecated (IPv4-compatible Address)", "RFC 4291, Section 2.5.5.1", lastFour),
	v6("fec0::/10", "Deprecated (Site-Local Unicast)", "RFC 3879"),
	v6("ff00::/8", "Multicast", "RFC 4291, Section 2.7"),
	v6("::/3", "outside Global Unicast", "RFC 4291, Section 2.4"),
	v6("4000::/2", "outside Global Unicast", "RFC 4291, Section 2.4"),
	v6("8000::/1", "outside Global Unicast", "RFC 4291, Section 2.4"),
}

func v4(prefix, name, source string) entry {
	return entry{prefix: netip.MustParsePrefix(prefix), name: name, source: source}
}

func v6(prefix, name, source string) entry { return v4(prefix, name, source) }

func embedding(prefix, name, source string, embeds func(netip.Addr) netip.Addr) entry {
	e := v6(prefix, name, source)
	e.embeds = embeds
	return e
}

// lastFour returns the IPv4 address in the last 32 bits.
func lastFour(addr netip.Addr) netip.Addr {
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

// sixToFour returns the IPv4 address behind the prefix 2002::/16 (RFC 3056, Section
// 2).
func sixToFour(addr netip.Addr) netip.Addr {
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[2:6]))
}

// teredoClient returns the client's IPv4 address, whose bits are inverted (RFC
// 4380, Section 4).
func teredoClient(addr netip.Addr) netip.Addr {
	b := addr.As16()
	return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
}

// lookup returns the most specific entry that holds addr, and nil if there is none.
func lookup(addr netip.Addr) *entry {
	var found *entry
	for i := range registry {
		e := &registry[i]
		if e.prefix.Contains(addr) && (found == nil || e.prefix.Bits() > found.prefix.Bits()) {
			found = e
		}
	}
	return found
}
