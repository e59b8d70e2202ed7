// Package dnsname reads domain names as certificates hold them: A-labels in lower
// case without a final dot, with or without a wildcard label. It knows public
// suffixes and authorization domain names (BR 1.6.1) and does no I/O.
package dnsname

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/weppos/publicsuffix-go/publicsuffix"
	"golang.org/x/net/idna"
)

// A Name is a domain name of at least one label, in lower case, without a final
// dot. Its leftmost label may be "*".
type Name string

// What can be wrong with a name.
var (
	ErrSyntax   = errors.New("not a domain name")
	ErrLength   = errors.New("a label or the name is too long")
	ErrWildcard = errors.New("a wildcard must be the whole leftmost label, above at least two others")
	ErrAddress  = errors.New("an IP address is not a domain name")
	ErrIDNA     = errors.New("not a valid internationalized domain name")
)

// Parse reads a name of letters, digits and hyphens (RFC 5890, Section 2.3.1), in
// any case and with or without a final dot. U-labels are converted to A-labels.
func Parse(text string) (Name, error) {
	name := strings.TrimSuffix(text, ".")
	if name == "" {
		return "", ErrSyntax
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "", ErrAddress
	}
	rest, wildcard := strings.CutPrefix(name, "*.")
	if strings.Contains(rest, "*") || wildcard && !strings.Contains(rest, ".") {
		return "", ErrWildcard
	}
	rest, err := toASCII(rest)
	if err != nil {
		return "", err
	}
	if err := checkLabels(rest); err != nil {
		return "", err
	}
	if wildcard {
		rest = "*." + rest
	}
	if len(rest) > 253 { // RFC 1035, Section 2.3.4: 255 octets on the wire
		return "", ErrLength
	}
	return Name(rest), nil
}

// toASCII converts U-labels and lowers the case. Names of LDH labels alone, which
// almost all are, do not need the tables of IDNA.
func toASCII(name string) (string, error) {
	lower := strings.ToLower(name)
	plain := !strings.Contains(lower, "xn--")
	for i := 0; plain && i < len(lower); i++ {
		plain = lower[i] < 0x80
	}
	if plain {
		return lower, nil
	}
	ascii, err := idna.Lookup.ToASCII(lower)
	if err != nil {
		return "", ErrIDNA
	}
	return ascii, nil
}

func checkLabels(name string) error {
	allDigits := false
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return ErrSyntax
		}
		if len(label) > 63 {
			return ErrLength
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return ErrSyntax
		}
		allDigits = true
		for i := range len(label) {
			c := label[i]
			switch {
			case c >= '0' && c <= '9':
			case c >= 'a' && c <= 'z', c == '-':
				allDigits = false
			default:
				return ErrSyntax
			}
		}
	}
	if allDigits { // a top-level domain is never all digits (RFC 3696, Section 2)
		return ErrSyntax
	}
	return nil
}

// String returns the name.
func (n Name) String() string { return string(n) }

// IsWildcard reports whether the leftmost label is "*".
func (n Name) IsWildcard() bool { return strings.HasPrefix(string(n), "*.") }

// Base returns the name without its wildcard label, if it has one.
func (n Name) Base() Name { return Name(strings.TrimPrefix(string(n), "*.")) }

// Registrable returns the domain that a registry would register: one label more
// than a public suffix of the ICANN section. It is empty for public suffixes,
// single labels and what no registry serves.
func (n Name) Registrable() Name {
	domain, err := publicsuffix.DomainFromListWithOptions(publicsuffix.DefaultList, string(n.Base()),
		&publicsuffix.FindOptions{IgnorePrivate: true, DefaultRule: nil})
	if err != nil {
		return ""
	}
	return Name(domain)
}

// AuthorizationDomains returns the names at which control of n can be shown: n
// without its wildcard and its parents, down to the registrable domain. There are
// none for a name that has no registrable domain.
func (n Name) AuthorizationDomains() []Name {
	last := n.Registrable()
	if last == "" {
		return nil
	}
	var names []Name
	for name := n.Base(); ; {
		names = append(names, name)
		if name == last {
			return names
		}
		_, parent, ok := strings.Cut(string(name), ".")
		if !ok {
			return names
		}
		name = Name(parent)
	}
}

// specialUse are top-level domains that no registry serves (RFC 6761, RFC 6762,
// RFC 7686, RFC 8375, RFC 9476) and reverse names.
var specialUse = map[string]bool{
	"alt": true, "arpa": true, "example": true, "internal": true, "invalid": true, "local": true, "localhost": true,
	"onion": true, "test": true,
}

// IsSpecialUse reports whether the name lies under a domain that no registry
// serves, so that its control cannot be shown on the public Internet.
func (n Name) IsSpecialUse() bool {
	return specialUse[string(n[strings.LastIndexByte(string(n), '.')+1:])]
}

// LooksLikeHost reports whether text, such as a common name, would be taken for a
// host: it parses as a domain name of at least two labels.
func LooksLikeHost(text string) bool {
	name, err := Parse(text)
	return err == nil && strings.Contains(string(name), ".")
}
