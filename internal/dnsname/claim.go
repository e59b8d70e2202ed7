package dnsname

import (
	"errors"
	"strings"
)

// Why control of a name cannot be shown.
var (
	ErrClaimWildcard = errors.New("a wildcard cannot be claimed: claim the domain below it")
	ErrSingleLabel   = errors.New("a name of one label is not a domain that can be claimed")
	ErrSpecialUse    = errors.New("the name is reserved: no registry serves it")
	ErrPublicSuffix  = errors.New("the name is a public suffix: claim a domain below it")
	ErrNoRegistry    = errors.New("the name is internal: it is under no public suffix")
	ErrADN           = errors.New("not an authorization domain name")
)

// ParseClaim reads the name of a domain that may be claimed: what Parse reads, but no
// wildcard, and at or under a registrable domain. Names at or under one of the private
// suffixes, which the operator vouches for, may be reserved or internal ones.
func ParseClaim(text string, private []Name) (Name, error) {
	name, err := Parse(text)
	switch {
	case err != nil:
		return "", err
	case name.IsWildcard():
		return "", ErrClaimWildcard
	case name.privateSuffix(private) != "":
		return name, nil
	case !strings.Contains(string(name), "."):
		return "", ErrSingleLabel
	case name.IsSpecialUse():
		return "", ErrSpecialUse
	case name.Registrable() != "":
		return name, nil
	case (Name("a." + string(name))).Registrable() != "":
		return "", ErrPublicSuffix
	}
	return "", ErrNoRegistry
}

// privateSuffix returns the longest of the private suffixes that the name is at or
// under, "" if it is under none.
func (n Name) privateSuffix(private []Name) Name {
	var longest Name
	for _, suffix := range private {
		if n.IsWithin(suffix) && len(suffix) > len(longest) {
			longest = suffix
		}
	}
	return longest
}

// IsWithin reports whether the name is domain or lies below it.
func (n Name) IsWithin(domain Name) bool {
	return n == domain || strings.HasSuffix(string(n), "."+string(domain))
}

// AuthorizationDomainsWithin is AuthorizationDomains for names that may be under one
// of the private suffixes, which then is the last of them.
func (n Name) AuthorizationDomainsWithin(private []Name) []Name {
	last := n.Base().privateSuffix(private)
	if last == "" {
		return n.AuthorizationDomains()
	}
	var names []Name
	for name := n.Base(); ; {
		names = append(names, name)
		if name == last {
			return names
		}
		_, parent, _ := strings.Cut(string(name), ".") // ends at last, which is a suffix
		name = Name(parent)
	}
}

// An ADN is an authorization domain name as an applicant may ask for it: a domain
// name, or one label that begins with an underscore in front of a domain name.
type ADN struct {
	Underscore string // the label with its underscore, "" if there is none
	Domain     Name
}

// ParseADN reads an authorization domain name, in any case and with or without a
// final dot.
func ParseADN(text string) (ADN, error) {
	var adn ADN
	rest := strings.ToLower(text)
	if strings.HasPrefix(rest, "_") {
		var ok bool
		if adn.Underscore, rest, ok = strings.Cut(rest, "."); !ok {
			return ADN{}, ErrADN
		}
		if err := checkUnderscore(adn.Underscore); err != nil {
			return ADN{}, err
		}
	}
	domain, err := Parse(rest)
	if err != nil {
		return ADN{}, err
	}
	if domain.IsWildcard() {
		return ADN{}, ErrADN
	}
	adn.Domain = domain
	if len(adn.String()) > 253 { // RFC 1035, Section 2.3.4
		return ADN{}, ErrLength
	}
	return adn, nil
}

// checkUnderscore reports what is wrong with an underscore label (RFC 8552).
func checkUnderscore(label string) error {
	if len(label) < 2 || len(label) > 63 {
		return ErrADN
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return ErrADN
		}
	}
	return nil
}

// String returns the name, in lower case and without a final dot.
func (a ADN) String() string {
	if a.Underscore == "" {
		return a.Domain.String()
	}
	return a.Underscore + "." + a.Domain.String()
}
