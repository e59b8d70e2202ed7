// Package egress makes connections to addresses that strangers choose: the hosts of
// applicants, webhooks, and whatever else a configuration or a request names. It
// admits addresses of the public Internet alone, and the ranges that the
// configuration adds, so that nobody reaches what only this machine can reach. The
// address that was checked is the address that is dialled.
//
// It looks no name up by itself and speaks no protocol above TCP. It trusts nobody:
// neither the name, nor what the lookup answers, nor that two lookups agree.
package egress

import (
	"fmt"
	"net/netip"
)

// A Policy says which addresses may be connected to. The zero value admits the
// public Internet. It is safe for concurrent use.
type Policy struct {
	// Allow are ranges that are admitted although they are special-purpose, such as
	// 10.0.0.0/8 where claims are about hosts of an internal network. A range of IPv4
	// addresses admits them in their IPv6-mapped form too. A range whose addresses
	// embed IPv4 addresses (NAT64, 6to4, Teredo) does not admit those that lead to an
	// IPv4 address which is not admitted itself.
	Allow []netip.Prefix
}

// A DeniedError is an address that the policy does not admit, or a port that the
// dialer does not.
type DeniedError struct {
	Host string     // as it was asked for; "" if only an address was judged
	Addr netip.Addr // invalid if there was none to judge
	Why  string     // such as "is special-purpose: Loopback (RFC 1122, Section 3.2.1.3)"
}

// Error returns the error with the host, if there is one.
func (e *DeniedError) Error() string {
	text := e.Why
	if e.Addr.IsValid() {
		text = e.Addr.String() + " " + e.Why
	}
	if e.Host != "" && e.Host != e.Addr.String() {
		text = e.Host + ": " + text
	}
	return text
}

// Check returns nil if addr is an address of the public Internet or in a range of
// Allow, and a *[DeniedError] that names the registry's entry if not. An
// IPv4-mapped address is judged as the IPv4 address that it is. An address with a
// zone is never admitted.
func (p Policy) Check(addr netip.Addr) error {
	if !addr.IsValid() {
		return &DeniedError{Why: "not an IP address"}
	}
	if addr.Zone() != "" {
		return &DeniedError{Addr: addr, Why: "has a zone, so it is not global (RFC 4007)"}
	}
	plain := addr.Unmap()
	e := lookup(plain)
	if e == nil {
		return nil
	}
	if !p.allows(plain) {
		return &DeniedError{Addr: addr, Why: fmt.Sprintf("is special-purpose: %s (%s)", e.name, e.source)}
	}
	if e.embeds == nil {
		return nil
	}
	if err := p.Check(e.embeds(plain)); err != nil {
		return &DeniedError{Addr: addr, Why: fmt.Sprintf("leads to an IPv4 address: %v", err)}
	}
	return nil
}

// allows reports whether a range of Allow holds addr, which is not IPv4-mapped.
func (p Policy) allows(addr netip.Addr) bool {
	for _, prefix := range p.Allow {
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
