package world

import (
	"github.com/miekg/dns"
)

const (
	maxLabel = 63  // octets (RFC 1035, Section 2.3.4)
	maxName  = 255 // octets in wire form, with the root's
)

// The canonical order of names is that of RFC 4034, Section 6.1: a name comes right
// before those below it. Names here are in canonical form and not the root.

// below returns the first name after name: the first of those below it.
func below(name string) string {
	if next := join([]byte{0}, name); next != "" {
		return next
	}
	return after(name)
}

// before returns a name that comes before the name, with hardly any between them.
func before(name string) string {
	label, rest := cut(name)
	last := label[len(label)-1]
	if last == 0 {
		if len(label) == 1 {
			return rest
		}
		return join(label[:len(label)-1], rest)
	}
	last--
	if 'A' <= last && last <= 'Z' { // which counts as lower case
		last = '@'
	}
	label[len(label)-1] = last
	if near := join(append(label, 255), rest); near != "" {
		return near
	}
	return join(label, rest)
}

// after returns a name that comes after the name and all below it, with hardly any
// between them. It is the end of the zone, rest, for a name at the limits of length
// that ends in octets of 255.
func after(name string) string {
	label, rest := cut(name)
	if near := join(append(label, 0), rest); near != "" {
		return near
	}
	for i := len(label) - 1; i >= 0; i-- {
		if label[i] == 255 {
			continue
		}
		label[i]++
		if 'A' <= label[i] && label[i] <= 'Z' {
			label[i] = '['
		}
		return join(label[:i+1], rest)
	}
	return rest
}

// cut returns the first label of a name, in octets, and the rest.
func cut(name string) ([]byte, string) {
	wire := make([]byte, maxName+1)
	if _, err := dns.PackDomainName(name, wire, 0, nil, false); err != nil || wire[0] == 0 {
		return []byte{'*'}, "." // not a name that a question can have
	}
	label := wire[1 : 1+wire[0] : 1+wire[0]]
	off, end := dns.NextLabel(name, 0)
	if end {
		return label, "."
	}
	return label, name[off:]
}

// join returns the name of a label in octets and the rest, "" if it would be too
// long.
func join(label []byte, rest string) string {
	if len(label) > maxLabel {
		return ""
	}
	wire := make([]byte, 2*maxName)
	wire[0] = byte(len(label))
	copy(wire[1:], label)
	end, err := dns.PackDomainName(rest, wire, 1+len(label), nil, false)
	if err != nil || end > maxName {
		return ""
	}
	name, _, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return ""
	}
	return dns.CanonicalName(name)
}
