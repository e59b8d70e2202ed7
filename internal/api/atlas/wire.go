package atlas

import (
	"bytes"
	"cmp"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/ra"
)

// The members of subject_dn that are strings.
var subjectMembers = []string{
	"business_category", "common_name", "country", "email", "given_name",
	"jurisdiction_of_incorporation_country_name", "jurisdiction_of_incorporation_locality_name",
	"jurisdiction_of_incorporation_state_or_province_name", "locality", "organization",
	"organization_identifier", "postal_code", "pseudonym", "serial_number", "state", "street_address", "surname",
}

// The members of key_usages.
var keyUsageMembers = []string{
	"content_commitment", "crl_sign", "data_encipherment", "decipher_only", "digital_signature",
	"encipher_only", "key_agreement", "key_certificate_sign", "key_encipherment",
}

// unsetDate is how hvclient spells a date_of_birth that was not set.
const unsetDate = "0001-01-01"

// The first and last second that a year of four digits has. What lies outside is
// no time of a certificate (RFC 5280, Section 4.1.2.5.2) nor of this API.
const (
	minUnix = -62135596800
	maxUnix = 253402300799
)

// ParseRequest reads the body of POST /certificates, for those who try a policy out. It
// reports Malformed.
func ParseRequest(body []byte) (*ra.CertificateRequest, error) { return decodeCertificateRequest(body) }

// decodeCertificateRequest reads the body of POST /certificates. It reports
// Malformed; whether the values may stand is for the policy to say.
func decodeCertificateRequest(body []byte) (*ra.CertificateRequest, error) {
	req := &ra.CertificateRequest{}
	err := readBody(body, func(m members) {
		p := &req.Policy
		validity := m.inside("validity")
		p.NotBefore, _ = validity.integer("not_before")
		p.NotAfter, _ = validity.integer("not_after")
		readSubject(m.inside("subject_dn"), p)
		p.SAN = readSAN(m.inside("san"))
		p.KeyUsages = readKeyUsages(m.inside("key_usages"))
		p.ExtendedKeyUsages = m.texts("extended_key_usages")
		p.SubjectDA = readSubjectDA(m.inside("subject_da"))
		p.QualifiedStatements = readQualifiedStatements(m.inside("qualified_statements"))
		p.MSTemplate = readTemplate(m.inside("ms_extension_template"))
		p.CustomExtensions = m.textMap("custom_extensions")
		p.SignatureAlgorithm, p.HashAlgorithm = readSignature(m.inside("signature"))
		req.PublicKey = m.text("public_key")
		req.PublicKeySignature = m.text("public_key_signature")
	})
	if err != nil {
		return nil, err
	}
	return req, nil
}

func readSubject(m members, p *policy.Request) {
	for _, name := range subjectMembers {
		if value := m.text(name); value != "" {
			if p.Subject == nil {
				p.Subject = map[string]string{}
			}
			p.Subject[name] = value
		}
	}
	p.OrganizationalUnits = m.texts("organizational_unit")
	p.ExtraAttributes = readTypesAndValues(m, "extra_attributes")
}

func readSAN(m members) policy.SANRequest {
	return policy.SANRequest{
		DNSNames:    m.texts("dns_names"),
		Emails:      m.texts("emails"),
		IPAddresses: m.texts("ip_addresses"),
		URIs:        m.texts("uris"),
		OtherNames:  readTypesAndValues(m, "other_names"),
	}
}

// readKeyUsages keeps an explicit false apart from an absent member: the policy
// refuses it where the usage is STATIC_TRUE.
func readKeyUsages(m members) map[string]bool {
	var usages map[string]bool
	for _, name := range keyUsageMembers {
		if value, given := m.flag(name); given {
			if usages == nil {
				usages = map[string]bool{}
			}
			usages[name] = value
		}
	}
	return usages
}

func readSubjectDA(m members) policy.SubjectDARequest {
	da := policy.SubjectDARequest{
		Gender:               m.text("gender"),
		DateOfBirth:          m.text("date_of_birth"),
		PlaceOfBirth:         m.text("place_of_birth"),
		CountryOfCitizenship: m.texts("country_of_citizenship"),
		CountryOfResidence:   m.texts("country_of_residence"),
		ExtraAttributes:      readTypesAndValues(m, "extra_attributes"),
	}
	if da.DateOfBirth == unsetDate {
		da.DateOfBirth = ""
	}
	return da
}

func readQualifiedStatements(m members) policy.QCRequest {
	semantics := m.inside("semantics")
	qc := policy.QCRequest{
		SemanticsIdentifier: semantics.text("identifier"),
		NameAuthorities:     semantics.texts("name_authorities"),
		Type:                m.text("etsi_qc_type"),
		PDS:                 m.textMap("etsi_qc_pds"),
	}
	qc.Compliance, _ = m.flag("etsi_qc_compliance")
	qc.SSCDCompliance, _ = m.flag("etsi_qc_sscd_compliance")
	qc.RetentionPeriod, _ = m.integer("etsi_qc_retention_period")
	return qc
}

func readTemplate(m members) policy.MSTemplateRequest {
	t := policy.MSTemplateRequest{ID: m.text("id")}
	if n, given := m.integer("major_version"); given {
		t.MajorVersion = &n
	}
	if n, given := m.integer("minor_version"); given {
		t.MinorVersion = &n
	}
	return t
}

// readSignature returns the algorithm words in the spelling of the policy.
func readSignature(m members) (algorithm, hash string) {
	return strings.ToUpper(m.text("algorithm")), strings.ToUpper(m.text("hash_algorithm"))
}

func readTypesAndValues(m members, name string) []policy.TypeAndValue {
	var all []policy.TypeAndValue
	m.objects(name, func(m members) {
		all = append(all, policy.TypeAndValue{Type: m.text("type"), Value: m.text("value")})
	})
	return all
}

// decodeRekey reads the body of POST /certificates/{sn}/rekey. Members that
// would change the content of the certificate are ignored.
func decodeRekey(body []byte) (*ra.RekeyRequest, error) {
	req := &ra.RekeyRequest{}
	err := readBody(body, func(m members) {
		req.PublicKey = m.text("public_key")
		req.PublicKeySignature = m.text("public_key_signature")
		req.SignatureAlgorithm, req.HashAlgorithm = readSignature(m.inside("signature"))
	})
	if err != nil {
		return nil, err
	}
	return req, nil
}

// decodeRevocation reads the body of PATCH /certificates/{sn}. It reports
// Malformed, and Invalid if the reason is missing or none that the API knows.
func decodeRevocation(body []byte) (ra.Revocation, error) {
	var reason string
	var at int64
	var rev ra.Revocation
	err := readBody(body, func(m members) {
		reason = m.text("revocation_reason")
		at, _ = m.integer("revocation_time")
		rev.Attestation = m.text("key_compromise_attestation")
	})
	if err != nil {
		return ra.Revocation{}, err
	}
	if reason == "" {
		return ra.Revocation{}, invalid("revocation_reason", "is required")
	}
	for _, known := range telamon.RevocationReasons {
		if strings.EqualFold(reason, string(known)) {
			rev.Reason = known
		}
	}
	if rev.Reason == "" {
		return ra.Revocation{}, invalid("revocation_reason", "is invalid")
	}
	if rev.Reason != telamon.ReasonKeyCompromise || at == 0 {
		return rev, nil
	}
	if at < minUnix || at > maxUnix {
		return ra.Revocation{}, invalid("revocation_time", "is invalid")
	}
	rev.CompromisedAt = time.Unix(at, 0).UTC()
	return rev, nil
}

// decodeLogin reads the body of POST /login, whose members have two spellings. It
// reports Malformed; package iam judges what they say.
func decodeLogin(body []byte) (key, secret string, err error) {
	err = readBody(body, func(m members) {
		key = cmp.Or(m.text("api_key"), m.text("key"))
		secret = cmp.Or(m.text("api_secret"), m.text("secret"))
	})
	if err != nil {
		return "", "", err
	}
	return key, secret, nil
}

// decodeCheck reads the body of a check, which may be none: where to look, nil if that
// is left out, and the scheme in lower case, http by default. It reports Malformed, and
// Invalid if where to look is an empty text, the one that does not stand for absence.
func decodeCheck(body []byte, member string) (at *string, scheme string, err error) {
	empty := false
	if len(bytes.TrimSpace(body)) > 0 {
		err = readBody(body, func(m members) {
			if text := m.text(member); text != "" {
				at = &text
			}
			empty = m.object[member] == ""
			scheme = strings.ToLower(m.text("scheme"))
		})
	}
	switch {
	case err != nil:
		return nil, "", err
	case empty:
		return nil, "", invalid(member, "is required")
	}
	return at, cmp.Or(scheme, "http"), nil
}

// decodeMailbox reads the body of POST /claims/domains/{id}/email. It reports
// Malformed, and Invalid if the address is missing.
func decodeMailbox(body []byte) (address string, err error) {
	if err := readBody(body, func(m members) { address = m.text("email_address") }); err != nil {
		return "", err
	}
	if address == "" {
		return "", invalid("email_address", "is required")
	}
	return address, nil
}
