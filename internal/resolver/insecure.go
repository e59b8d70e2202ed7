package resolver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A step says what the DS records of a name tell of the zones above it.
type step int

const (
	onward   step = iota // still in a signed zone: go on below
	insecure             // the name is in an unsigned zone, and so is all below
	unproven             // nothing is proven, of this name and of all below
)

// ProvenInsecure reports whether the resolver can prove that the zone which holds the
// name is not signed (RFC 4035, Section 4.3), also while that zone itself does not
// answer. The proof is the parent's: a delegation without DS records (RFC 4035,
// Section 5.2).
//
// It walks down from the closest trust anchor. Whatever fails on the way, and a name
// under no anchor, is no proof, and no error. It reports an error only if ctx ended.
// Without Config.DNSSEC it is false.
func (c *Client) ProvenInsecure(ctx context.Context, name string) (bool, error) {
	if !c.cfg.DNSSEC {
		return false, nil
	}
	proven := c.provenInsecure(ctx, dns.CanonicalName(name))
	if err := ctx.Err(); err != nil && !proven {
		return false, fmt.Errorf("prove that %s is unsigned: %w", name, err)
	}
	return proven, nil
}

func (c *Client) provenInsecure(ctx context.Context, name string) bool {
	i := slices.IndexFunc(c.anchors, func(zone string) bool { return dns.IsSubDomain(zone, name) })
	if i < 0 {
		return false
	}
	anchor := c.anchors[i]
	// Unless the anchor's own zone is secure, the resolver does not validate as it
	// should, and what it says without AD proves nothing.
	if m, err := c.ask(ctx, anchor, dns.TypeSOA); err != nil || !m.AuthenticatedData || !slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
		return at(rr, anchor, dns.TypeSOA)
	}) {
		return false
	}
	labels := dns.SplitDomainName(name)
	for depth := dns.CountLabel(anchor) + 1; depth <= len(labels); depth++ {
		switch c.step(ctx, dns.Fqdn(strings.Join(labels[len(labels)-depth:], "."))) {
		case insecure:
			return true
		case unproven:
			return false
		}
	}
	return false
}

// step asks for the DS records of a name that is below a zone known to be secure, with
// no unsigned zone between.
func (c *Client) step(ctx context.Context, name string) step {
	m, err := c.ask(ctx, name, dns.TypeDS)
	if err != nil {
		return unproven
	}
	// A name with a CNAME is no zone, and AD then speaks of the target as well.
	if to, _, err := link(m.Answer, name); err != nil {
		return unproven
	} else if to != "" {
		if m, err = c.ask(ctx, name, dns.TypeCNAME); err != nil {
			return unproven
		}
		if m.AuthenticatedData {
			return onward
		}
		return insecure
	}
	switch {
	case !m.AuthenticatedData:
		return insecure
	case m.Rcode == dns.RcodeNameError: // and nothing exists below (RFC 8020)
		return unproven
	case slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return at(rr, name, dns.TypeDS) }):
		return onward
	case slices.ContainsFunc(m.Ns, func(rr dns.RR) bool { return delegates(rr, name) }):
		return insecure
	}
	return onward
}

// delegates says whether rr is the proof that the name is a zone of its own without
// DS records (RFC 4035, Section 5.2; RFC 5155, Section 8.9).
func delegates(rr dns.RR, name string) bool {
	var types []uint16
	switch rr := rr.(type) {
	case *dns.NSEC:
		if dns.CanonicalName(rr.Hdr.Name) == name {
			types = rr.TypeBitMap
		}
	case *dns.NSEC3:
		if rr.Match(name) {
			types = rr.TypeBitMap
		}
	}
	return slices.Contains(types, dns.TypeNS) && !slices.Contains(types, dns.TypeDS) && !slices.Contains(types, dns.TypeSOA)
}
