package policy

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
)

// What strict TLS says of a subscriber certificate, by OID.
const (
	oidServerAuth = "1.3.6.1.5.5.7.3.1"
	oidClientAuth = "1.3.6.1.5.5.7.3.2"

	// The reserved certificate policies (BR 7.1.6.1).
	oidDomainValidated       = "2.23.140.1.2.1"
	oidOrganizationValidated = "2.23.140.1.2.2"
	oidIndividualValidated   = "2.23.140.1.2.3"
)

// noClientAuth is the answer to who asks for clientAuth. It is a rule of root programs
// from a day of rules.Table.ClientAuthEnd on, and ours from the first: issuing CAs of
// strict TLS carry serverAuth alone.
const noClientAuth = "clientAuth (" + oidClientAuth + ") is not allowed in strict TLS"

// maxSkew is how far notBefore may be from the signature (BR 7.1.2.7).
const maxSkew = 48 * time.Hour

// strictModel refuses what no certificate of strict TLS could have.
func (c *compiler) strictModel(m *Model) {
	if !c.limits.Strict {
		return
	}
	if m.SAN.Critical {
		c.refuse("san.critical", "must be false: it is critical only if the subject is empty (BR 7.1.2.7.12)")
	}
	if m.ExtendedKeyUsages.EKUs.Static && slices.Contains(m.ExtendedKeyUsages.EKUs.List, oidClientAuth) {
		c.refuse("extended_key_usages.ekus.list", noClientAuth)
	}
}

// strict refuses what BR 7.1.2.7 forbids in a TLS certificate, whatever the policy
// admits, and makes the common name the copy of a name that it must be. It returns the
// reserved certificate policy that the subject's data calls for.
func (e *evaluation) strict(notBefore, now time.Time) []x509.OID {
	if notBefore.Sub(now).Abs() > maxSkew {
		e.refuse("validity.not_before", "must be within 48 hours of now")
	}
	e.strictNames()
	e.strictUsages()
	return []x509.OID{mustOID(e.strictSubject())}
}

// strictNames holds BR 7.1.2.7.12: host names and addresses, and nothing else.
func (e *evaluation) strictNames() {
	san := &e.content.SAN
	if len(san.DNSNames)+len(san.IPAddresses) == 0 {
		e.refuse("san", "needs a DNS name or an IP address in strict TLS")
	}
	for _, other := range []struct {
		path string
		n    int
	}{{"san.emails", len(san.Emails)}, {"san.uris", len(san.URIs)}, {"san.other_names", len(san.OtherNames)}} {
		if other.n > 0 {
			e.refuse(other.path, "is not allowed in strict TLS")
		}
	}
}

// strictUsages holds BR 7.1.2.7.10 and 7.1.2.7.11.
func (e *evaluation) strictUsages() {
	const path = "extended_key_usages"
	given := map[string]bool{}
	for _, id := range e.content.ExtKeyUsage.OIDs {
		given[id.String()] = true
	}
	switch {
	case given[oidClientAuth]:
		e.refuse(path, noClientAuth)
	case !given[oidServerAuth]:
		e.refuse(path, "must hold serverAuth ("+oidServerAuth+") in strict TLS")
	case len(given) > 1:
		e.refuse(path, "must hold serverAuth alone in strict TLS")
	}
	allowed := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment
	if e.policy.model.PublicKey.KeyType == "ECDSA" {
		allowed = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement
	}
	usage := e.content.KeyUsage
	for bit := range KeyUsageNames {
		if u := x509.KeyUsage(1) << bit; usage&u != 0 && allowed&u == 0 {
			e.refuse(keyUsagePaths[bit], "is not allowed in strict TLS for this type of key")
		}
	}
	if usage != 0 && usage&(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment) == 0 {
		e.refuse("key_usages.digital_signature", "is required in strict TLS")
	}
}

// strictSubject holds BR 7.1.2.7.2 to 7.1.2.7.4 and returns the policy of the kind of
// subject: one of an organization, a person, or a domain alone.
func (e *evaluation) strictSubject() string {
	texts := map[string]int{} // how often a member is there
	for i := range e.content.Subject {
		a := &e.content.Subject[i]
		name := a.Type.String()
		if m, known := attributeOf(a.Type); known {
			name = m.name
		}
		texts[name]++
		if isPlaceholder(a.Value.Text) {
			e.refuse("subject_dn."+name, isInvalid)
		}
		if name == "common_name" && !e.copyName(a) {
			e.refuse("subject_dn.common_name", "must be one of the DNS names or IP addresses in strict TLS")
		}
	}
	for _, name := range sortedKeys(texts) {
		if texts[name] > 1 && name != "0.9.2342.19200300.100.1.25" { // domainComponent
			e.refuse("subject_dn."+name, "must be there once in strict TLS")
		}
	}
	require := func(name, or string) {
		switch {
		case texts[name]+texts[or] > 0:
		case or == "":
			e.refuse("subject_dn."+name, "is required in strict TLS")
		default:
			e.refuse("subject_dn."+name, "or "+or+" is required in strict TLS")
		}
	}
	forbid := func(names ...string) {
		for _, name := range names {
			if texts[name] > 0 {
				e.refuse("subject_dn."+name, "is not allowed in strict TLS")
			}
		}
	}
	forbid(memberOU)
	switch {
	case texts["organization"] > 0:
		require("country", "")
		require("locality", "state")
		forbid("given_name", "surname")
		return oidOrganizationValidated
	case texts["given_name"]+texts["surname"] > 0:
		require("given_name", "")
		require("surname", "")
		require("country", "")
		require("locality", "state")
		return oidIndividualValidated
	}
	for _, name := range sortedKeys(texts) {
		if name != "country" && name != "common_name" {
			forbid(name)
		}
	}
	return oidDomainValidated
}

// copyName makes a common name the copy of the alternative name that it spells (BR
// 7.1.4.3). It reports false if there is none.
func (e *evaluation) copyName(a *telamon.Attribute) bool {
	text := canonicalIP(canonicalDNS(a.Value.Text))
	san := &e.content.SAN
	if !slices.Contains(san.DNSNames, text) && !slices.ContainsFunc(san.IPAddresses, func(ip netip.Addr) bool { return ip.String() == text }) {
		return false
	}
	a.Value.Text = text
	return true
}
