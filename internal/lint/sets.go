package lint

import (
	"slices"
	"strings"

	"github.com/zmap/zlint/v3/lint"

	"github.com/telamon-ca/telamon"
)

// standards are the sources that every certificate of X.509 is judged by.
var standards = []lint.LintSource{
	lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC6960, lint.RFC6962, lint.RFC8813,
}

// public are the sources that strict certificates are judged by too: the Baseline
// Requirements, the policies of the root programs that agree with them, and what
// the community found to break clients. The guidelines for EV, S/MIME, code signing
// and ETSI are of certificates that no strict hierarchy issues.
var public = []lint.LintSource{
	lint.CABFBaselineRequirements, lint.MozillaRootStorePolicy, lint.ChromeRootStorePolicy, lint.AppleRootStorePolicy, lint.Community,
}

// sources returns the sources of a profile's lints.
func sources(profile telamon.Profile) []lint.LintSource {
	if profile.Strict() {
		return slices.Concat(standards, public)
	}
	return standards
}

// lintsOf returns the lints of a profile in the order of their names.
func lintsOf(profile telamon.Profile, ignored []string) []*lint.CertificateLint {
	var lints []*lint.CertificateLint
	for _, c := range lint.GlobalRegistry().CertificateLints().Lints() {
		if slices.Contains(sources(profile), c.Source) && !slices.Contains(ignored, c.Name) && !isOmitted(profile, c.Name) {
			lints = append(lints, c)
		}
	}
	slices.SortFunc(lints, func(a, b *lint.CertificateLint) int { return strings.Compare(a.Name, b.Name) })
	return lints
}

// An Omission is a lint that does not judge certificates of some profiles although
// its source is one of theirs.
type Omission struct {
	Name     string
	Profiles []telamon.Profile
	Reason   string
}

var private = []telamon.Profile{telamon.ProfilePrivate}

// omissions are all of them. What a private hierarchy may say is decided by the
// validation policies of its operator; the rest are faults of lints.
var omissions = []Omission{
	{"e_key_usage_and_extended_key_usage_inconsistent", private,
		"mTLS clients of RSA have carried keyEncipherment beside clientAuth for decades; no key does wrong by what it may not be used for"},
	{"e_rsa_allowed_ku_ee", private,
		"templates of mixed fleets set keyAgreement for RSA too, which such a key cannot do and nobody asks of it"},
	{"e_subj_email_not_in_san", private,
		"a validation policy may ask for an address in the subject alone, as RFC 5280, Section 4.1.2.6 lets legacy applications have it"},
	{"e_ext_san_uri_host_not_fqdn_or_ip", private,
		"it refuses ports (RFC 3986, Section 3.2) and trust domains of one label (SPIFFE); package policy checks the host of a URI"},
	{"e_subject_postal_code_max_length", private,
		"it applies the bound of X.400 addresses, 16; the attribute's own is 40 (X.520, ub-postal-code)"},
	{"e_subject_dn_not_printable_characters", private,
		"it takes the octets of an attribute that is no text, such as an INTEGER, for characters; package policy refuses control characters"},
	{"e_cabf_ecc_allowed_key_usages", []telamon.Profile{telamon.ProfileStrictCA},
		"it applies the table of subscriber certificates (BR 7.1.2.7.11) to CAs, which must have keyCertSign (BR 7.1.2.10.7)"},
}

// Omissions returns every lint that is left out, and why.
func Omissions() []Omission { return slices.Clone(omissions) }

// isOmitted reports whether a lint is left out for the profile.
func isOmitted(profile telamon.Profile, name string) bool {
	return slices.ContainsFunc(omissions, func(o Omission) bool { return o.Name == name && slices.Contains(o.Profiles, profile) })
}
