package iam

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

const maxAddresses = 256 // entries of an allow-list

// addresses reads the entries of an allow-list, in order and without
// duplicates.
func (p *problems) addresses(path string, texts []string) []netip.Prefix {
	if len(texts) > maxAddresses {
		p.Add(path, fmt.Sprintf("has more than %d entries", maxAddresses))
		return nil
	}
	var list []netip.Prefix
	for _, text := range texts {
		prefix, err := parseAddress(text)
		if err != nil {
			p.Add(path, fmt.Sprintf("%.50q %s", text, err))
		} else if !slices.Contains(list, prefix) {
			list = append(list, prefix)
		}
	}
	return list
}

// parseAddress reads an IPv4 or IPv6 address or prefix. An IPv4-mapped one
// (RFC 4291, Section 2.5.5.2) is the IPv4 one: that is how addresses are compared.
func parseAddress(text string) (netip.Prefix, error) {
	var prefix netip.Prefix
	var err error
	if strings.Contains(text, "/") {
		prefix, err = netip.ParsePrefix(text)
	} else {
		var address netip.Addr
		if address, err = netip.ParseAddr(text); err == nil {
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
	}
	if err != nil || strings.Contains(text, "%") { // a zone, which a prefix drops
		return netip.Prefix{}, errors.New("is not an IP address or prefix")
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, errors.New("covers more than the IPv4-mapped addresses")
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if prefix != prefix.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits behind the prefix: the prefix is %s", prefix.Masked())
	}
	return prefix, nil
}

// allows reports whether the allow-list, of which none means any address, holds
// the address.
func allows(list []netip.Prefix, address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	return len(list) == 0 || slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(address) })
}
