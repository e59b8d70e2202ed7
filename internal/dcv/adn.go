package dcv

import (
	"errors"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dnsname"
)

// persistLabel is the label below which a standing record stands (BR 3.2.2.4.22).
const persistLabel = "_validation-persist"

// ErrADN reports an authorization domain name at which control of the claimed domain
// cannot be shown.
var ErrADN = errors.New("must be the claimed domain, a parent of it down to the registrable domain, or one label that begins with an underscore in front of one of these")

// AllowedDomains returns the authorization domain names of a claimed domain without
// an underscore label: the domain and its parents down to the registrable domain or
// the private suffix.
func AllowedDomains(name string, private []dnsname.Name) []string {
	var names []string
	for _, n := range dnsname.Name(name).AuthorizationDomainsWithin(private) {
		names = append(names, n.String())
	}
	return names
}

// AuthorizationDomain reads the name at which the applicant wants to show control of
// a claimed domain by the DNS, and returns it with the method that it belongs to. It
// reports ErrADN. Of MethodPersist, the name is the one below which the standing
// record stands.
//
// BR 3.2.2.4 has the method chosen first, then CNAMEs followed, then labels stripped.
// The applicant chooses the result here; see tokenRecord for the CNAMEs.
func AuthorizationDomain(name, asked string, private []dnsname.Name) (string, telamon.Method, error) {
	adn, err := dnsname.ParseADN(asked)
	if err != nil {
		return "", "", ErrADN
	}
	if !slices.Contains(dnsname.Name(name).AuthorizationDomainsWithin(private), adn.Domain) {
		return "", "", ErrADN
	}
	if adn.Underscore == persistLabel {
		return adn.Domain.String(), telamon.MethodPersist, nil
	}
	return adn.String(), telamon.MethodDNS, nil
}

// TokenValues returns what a TXT record or a file may say for a token: its random
// part alone, with the prefix, and with the prefix twice, as those have it who put the
// prefix before a value that began with it.
func TokenValues(prefix, token string) []string {
	if prefix == "" {
		return []string{token}
	}
	return []string{prefix + token, token, prefix + prefix + token}
}
