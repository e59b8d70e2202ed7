package telamon

// A Profile names the rules that a certificate must meet beside its validation
// policy, and by which it is linted before it is signed.
type Profile string

// The profiles.
const (
	ProfilePrivate         Profile = "private"          // leaves of private hierarchies
	ProfileStrictTLS       Profile = "strict_tls"       // TLS leaves by the rules of public CAs (BR 7.1.2.7)
	ProfileCA              Profile = "ca"               // roots and issuing CAs of private hierarchies
	ProfileStrictCA        Profile = "strict_ca"        // those of strict hierarchies (BR 7.1.2.1, 7.1.2.6)
	ProfileResponder       Profile = "responder"        // OCSP responders of private issuing CAs
	ProfileStrictResponder Profile = "strict_responder" // those of strict issuing CAs (BR 7.1.2.8)
)

// Profiles are all profiles.
var Profiles = []Profile{
	ProfilePrivate, ProfileStrictTLS, ProfileCA, ProfileStrictCA, ProfileResponder, ProfileStrictResponder,
}

// Strict reports whether the profile is of the rules of public CAs.
func (p Profile) Strict() bool {
	return p == ProfileStrictTLS || p == ProfileStrictCA || p == ProfileStrictResponder
}
