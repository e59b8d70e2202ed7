package egress

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// edges are the first and last address of each range, and the addresses just
// outside with what is said of them. They are written out, so that a slip in the
// table is not repeated here.
var edges = []struct {
	first, last   string
	name          string
	before, after string // the entry of the neighbour; "" if it is admitted, "-" if there is none
}{
	{"0.0.0.0", "0.0.0.0", "This host on this network", "-", "This network"},
	{"0.0.0.1", "0.255.255.255", "This network", "This host on this network", ""},
	{"10.0.0.0", "10.255.255.255", "Private-Use", "", ""},
	{"100.64.0.0", "100.127.255.255", "Shared Address Space", "", ""},
	{"127.0.0.0", "127.255.255.255", "Loopback", "", ""},
	{"169.254.0.0", "169.254.255.255", "Link Local", "", ""},
	{"172.16.0.0", "172.31.255.255", "Private-Use", "", ""},
	{"192.0.0.0", "192.0.0.7", "IPv4 Service Continuity Prefix", "", "IPv4 dummy address"},
	{"192.0.0.8", "192.0.0.8", "IPv4 dummy address", "IPv4 Service Continuity Prefix", "Port Control Protocol Anycast"},
	{"192.0.0.9", "192.0.0.9", "Port Control Protocol Anycast", "IPv4 dummy address", "Traversal Using Relays around NAT Anycast"},
	{"192.0.0.10", "192.0.0.10", "Traversal Using Relays around NAT Anycast", "Port Control Protocol Anycast", "IETF Protocol Assignments"},
	{"192.0.0.170", "192.0.0.171", "NAT64/DNS64 Discovery", "IETF Protocol Assignments", "IETF Protocol Assignments"},
	{"192.0.0.11", "192.0.0.255", "IETF Protocol Assignments", "Traversal Using Relays around NAT Anycast", ""},
	{"192.0.2.0", "192.0.2.255", "Documentation (TEST-NET-1)", "", ""},
	{"192.31.196.0", "192.31.196.255", "AS112-v4", "", ""},
	{"192.52.193.0", "192.52.193.255", "AMT", "", ""},
	{"192.88.99.0", "192.88.99.255", "Deprecated (6to4 Relay Anycast)", "", ""},
	{"192.88.99.2", "192.88.99.2", "6a44-relay anycast address", "Deprecated (6to4 Relay Anycast)", "Deprecated (6to4 Relay Anycast)"},
	{"192.168.0.0", "192.168.255.255", "Private-Use", "", ""},
	{"192.175.48.0", "192.175.48.255", "Direct Delegation AS112 Service", "", ""},
	{"198.18.0.0", "198.19.255.255", "Benchmarking", "", ""},
	{"198.51.100.0", "198.51.100.255", "Documentation (TEST-NET-2)", "", ""},
	{"203.0.113.0", "203.0.113.255", "Documentation (TEST-NET-3)", "", ""},
	{"224.0.0.0", "239.255.255.255", "Multicast", "", "Reserved"},
	{"240.0.0.0", "255.255.255.254", "Reserved", "Multicast", "Limited Broadcast"},
	{"255.255.255.255", "255.255.255.255", "Limited Broadcast", "Reserved", "-"},

	{"::", "::", "Unspecified Address", "-", "Loopback Address"},
	{"::1", "::1", "Loopback Address", "Unspecified Address", "Deprecated (IPv4-compatible Address)"},
	{"::2", "::ffff:ffff", "Deprecated (IPv4-compatible Address)", "Loopback Address", "outside Global Unicast"},
	{"64:ff9b::", "64:ff9b::ffff:ffff", "IPv4-IPv6 Translat.", "outside Global Unicast", "outside Global Unicast"},
	{"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "IPv4-IPv6 Translat.", "outside Global Unicast", "outside Global Unicast"},
	{"100::", "100::ffff:ffff:ffff:ffff", "Discard-Only Address Block", "outside Global Unicast", "Dummy IPv6 Prefix"},
	{"100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "Dummy IPv6 Prefix", "Discard-Only Address Block", "outside Global Unicast"},
	{"::1:0:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "outside Global Unicast", "", ""},
	{"2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "TEREDO", "", "IETF Protocol Assignments"},
	{"2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "IETF Protocol Assignments", "TEREDO", ""},
	{"2001:1::1", "2001:1::1", "Port Control Protocol Anycast", "IETF Protocol Assignments", "Traversal Using Relays around NAT Anycast"},
	{"2001:1::2", "2001:1::2", "Traversal Using Relays around NAT Anycast", "Port Control Protocol Anycast", "DNS-SD Service Registration Protocol Anycast"},
	{"2001:1::3", "2001:1::3", "DNS-SD Service Registration Protocol Anycast", "Traversal Using Relays around NAT Anycast", "IETF Protocol Assignments"},
	{"2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", "Benchmarking", "IETF Protocol Assignments", "IETF Protocol Assignments"},
	{"2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", "AMT", "IETF Protocol Assignments", "IETF Protocol Assignments"},
	{"2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", "AS112-v6", "IETF Protocol Assignments", "IETF Protocol Assignments"},
	{"2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "Deprecated (previously ORCHID)", "IETF Protocol Assignments", "ORCHIDv2"},
	{"2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "ORCHIDv2", "Deprecated (previously ORCHID)", "Drone Remote ID Protocol Entity Tags (DETs) Prefix"},
	{"2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", "Drone Remote ID Protocol Entity Tags (DETs) Prefix", "ORCHIDv2", "IETF Protocol Assignments"},
	{"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "Documentation", "", ""},
	{"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4", "", ""},
	{"2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "Direct Delegation AS112 Service", "", ""},
	{"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "Documentation", "", ""},
	{"5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Segment Routing (SRv6) SIDs", "outside Global Unicast", "outside Global Unicast"},
	{"4000::", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "outside Global Unicast", "", "outside Global Unicast"},
	{"8000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "outside Global Unicast", "outside Global Unicast", "Unique-Local"},
	{"fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Unique-Local", "outside Global Unicast", "outside Global Unicast"},
	{"fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Link-Local Unicast", "outside Global Unicast", "Deprecated (Site-Local Unicast)"},
	{"fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Deprecated (Site-Local Unicast)", "Link-Local Unicast", "Multicast"},
	{"ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Multicast", "Deprecated (Site-Local Unicast)", "-"},
}

// TestRegistry checks the first and last address of every entry and the neighbours
// just outside.
func TestRegistry(t *testing.T) {
	tested := map[string]bool{"IPv4-mapped Address": true} // in TestMapped: they are judged as IPv4 addresses
	for _, tt := range edges {
		tested[tt.name] = true
		first, last := netip.MustParseAddr(tt.first), netip.MustParseAddr(tt.last)
		expect(t, first, tt.name)
		expect(t, last, tt.name)
		if tt.first == "::1:0:0:0" || tt.name == "IETF Protocol Assignments" {
			continue // inside a range that holds others; the neighbours are checked there
		}
		if tt.before != "-" {
			expect(t, first.Prev(), tt.before)
		}
		if tt.after != "-" {
			expect(t, last.Next(), tt.after)
		}
	}
	for _, public := range []string{
		"192.0.1.0", "2000::", "2001:200::", "2a00:1450::1", "3fff:1000::", "8.8.8.8", "223.255.255.255",
	} {
		expect(t, netip.MustParseAddr(public), "")
	}
	for _, e := range registry {
		if !tested[e.name] {
			t.Errorf("the entry %s %s is not tested", e.prefix, e.name)
		}
		if e.prefix != e.prefix.Masked() {
			t.Errorf("the entry %s has bits outside of its mask", e.prefix)
		}
	}
}

// expect checks that addr is refused by the named entry, or admitted if it is "".
func expect(t *testing.T, addr netip.Addr, entry string) {
	t.Helper()
	err := Policy{}.Check(addr)
	if entry == "" {
		if err != nil {
			t.Errorf("Check(%s) = %v, want it admitted", addr, err)
		}
		return
	}
	denied, ok := errors.AsType[*DeniedError](err)
	if !ok || !strings.HasPrefix(denied.Why, "is special-purpose: "+entry+" (RFC ") || denied.Addr != addr {
		t.Errorf("Check(%s) = %v, want it refused as %q", addr, err, entry)
	}
}

// TestRequirement65 checks the addresses that a fetcher must never be led to.
func TestRequirement65(t *testing.T) {
	for _, text := range []string{
		"127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "0.0.0.0", "100.64.0.1",
		"10.1.2.3", "::ffff:a9fe:a9fe", "::127.0.0.1", "fd00:ec2::254", "fe80::1%eth0", "2001:db8::1%1", "2001:0:7f00:1::", "64:ff9b:1::7f00:1",
	} {
		if err := (Policy{}).Check(netip.MustParseAddr(text)); err == nil {
			t.Errorf("%s is admitted", text)
		}
	}
	if err := (Policy{}).Check(netip.Addr{}); err == nil {
		t.Error("no address is admitted")
	}
	const want = "127.0.0.1 is special-purpose: Loopback (RFC 1122, Section 3.2.1.3)"
	if err := (Policy{}).Check(netip.MustParseAddr("127.0.0.1")); err == nil || err.Error() != want {
		t.Errorf("the refusal reads %q, want %q", err, want)
	}
}

// TestMapped checks that an IPv4-mapped address is judged as what it is.
func TestMapped(t *testing.T) {
	if err := (Policy{}).Check(netip.MustParseAddr("::ffff:8.8.8.8")); err != nil {
		t.Errorf("a mapped public address is refused: %v", err)
	}
	expect(t, netip.MustParseAddr("::ffff:0.0.0.0"), "This host on this network")
	expect(t, netip.MustParseAddr("::ffff:255.255.255.255"), "Limited Broadcast")
}

func TestAllow(t *testing.T) {
	tests := []struct {
		name, allow, addr string
		admitted          bool
	}{
		{"an IPv4 range", "127.0.0.0/8", "127.0.0.1", true},
		{"its mapped form", "127.0.0.0/8", "::ffff:127.0.0.1", true},
		{"another address", "127.0.0.0/8", "10.0.0.1", false},
		{"a mapped range", "::ffff:10.0.0.0/104", "10.255.0.1", true},
		{"a public address beside a mapped range", "::ffff:10.0.0.0/104", "11.0.0.1", true},
		{"a mapped range and another address", "::ffff:10.0.0.0/104", "127.0.0.1", false},
		{"an IPv6 range", "fd00::/8", "fd00::1", true},
		{"a zone within the range", "fe80::/10", "fe80::1%eth0", false},
		{"all of IPv6 and an IPv4 address", "::/0", "::ffff:127.0.0.1", false},
		{"a translator to a public address", "64:ff9b::/96", "64:ff9b::808:808", true},
		{"a translator to loopback", "64:ff9b::/96", "64:ff9b::7f00:1", false},
		{"6to4 to a private address", "2002::/16", "2002:a00:1::1", false},
		{"6to4 to a public address", "2002::/16", "2002:808:808::1", true},
		{"Teredo to a private address", "2001::/32", "2001:0:808:808:0:0:f5ff:fffe", false},
		{"a range with host bits", "10.1.2.3/8", "10.0.0.1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			policy := Policy{Allow: []netip.Prefix{netip.MustParsePrefix(tt.allow)}}
			if err := policy.Check(netip.MustParseAddr(tt.addr)); (err == nil) != tt.admitted {
				t.Errorf("with %s, %s = %v, want admitted %t", tt.allow, tt.addr, err, tt.admitted)
			}
		})
	}
	both := Policy{Allow: []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("127.0.0.0/8")}}
	if err := both.Check(netip.MustParseAddr("64:ff9b::7f00:1")); err != nil {
		t.Errorf("a translator to an admitted address is refused: %v", err)
	}
}

// FuzzPolicy checks that nothing which the standard library knows as local is
// admitted, and that an IPv4 address and its mapped form are judged alike.
func FuzzPolicy(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			var err error
			if addr, err = netip.ParseAddr(string(b)); err != nil {
				return
			}
		}
		err := Policy{}.Check(addr)
		ip := net.IP(addr.AsSlice())
		local := ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || !ip.IsGlobalUnicast()
		if local && err == nil {
			t.Errorf("%s is admitted", addr)
		}
		plain := addr.WithZone("").Unmap()
		if !plain.Is4() || addr.Zone() != "" {
			return
		}
		mapped := netip.AddrFrom16(plain.As16())
		if (Policy{}.Check(plain) == nil) != (Policy{}.Check(mapped) == nil) {
			t.Errorf("%s and %s are judged differently", plain, mapped)
		}
	})
}
