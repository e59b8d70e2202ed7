package policy

import (
	"crypto/x509"
	"slices"
	"unicode/utf8"

	"github.com/telamon-ca/telamon"
)

// member is a text of subject_dn.
type member struct {
	name  string // of the API
	oid   x509.OID
	value telamon.ValueType
	bound int // characters (RFC 5280, Appendix A.1)
}

// subjectMembers are the texts of subject_dn in the order in which they are
// encoded, from the general to the particular as directories have them;
// organizational_unit comes after organization_identifier, and extra_attributes
// come last. Country and serial number are PrintableStrings and e-mail an
// IA5String (RFC 5280, Appendix A.1), the rest UTF8Strings (Section 4.1.2.4).
var subjectMembers = [...]member{
	{"country", mustOID("2.5.4.6"), telamon.PrintableString, 2},
	{"state", mustOID("2.5.4.8"), telamon.UTF8String, 128},
	{"locality", mustOID("2.5.4.7"), telamon.UTF8String, 128},
	{"street_address", mustOID("2.5.4.9"), telamon.UTF8String, 128},
	{"postal_code", mustOID("2.5.4.17"), telamon.UTF8String, 40},
	{"organization", mustOID("2.5.4.10"), telamon.UTF8String, 64},
	{"organization_identifier", mustOID("2.5.4.97"), telamon.UTF8String, 256},
	{"business_category", mustOID("2.5.4.15"), telamon.UTF8String, 128},
	{"jurisdiction_of_incorporation_locality_name", mustOID("1.3.6.1.4.1.311.60.2.1.1"), telamon.UTF8String, 128},
	{"jurisdiction_of_incorporation_state_or_province_name", mustOID("1.3.6.1.4.1.311.60.2.1.2"), telamon.UTF8String, 128},
	{"jurisdiction_of_incorporation_country_name", mustOID("1.3.6.1.4.1.311.60.2.1.3"), telamon.PrintableString, 2},
	{"serial_number", mustOID("2.5.4.5"), telamon.PrintableString, 64},
	{"common_name", mustOID("2.5.4.3"), telamon.UTF8String, 64},
	{"given_name", mustOID("2.5.4.42"), telamon.UTF8String, 64},
	{"surname", mustOID("2.5.4.4"), telamon.UTF8String, 64},
	{"pseudonym", mustOID("2.5.4.65"), telamon.UTF8String, 128},
	{"email", mustOID("1.2.840.113549.1.9.1"), telamon.IA5String, 255},
}

// afterOrganization is the member behind which the organizational units stand.
const afterOrganization = "organization_identifier"

var organizationalUnit = member{memberOU, mustOID("2.5.4.11"), telamon.UTF8String, 64}

// title has no member of its own; extra_attributes may carry it.
var title = member{"title", mustOID("2.5.4.12"), telamon.UTF8String, 64}

// SubjectMembers returns the names of the texts of subject_dn.
func SubjectMembers() []string {
	names := make([]string, len(subjectMembers))
	for i := range subjectMembers {
		names[i] = subjectMembers[i].name
	}
	return names
}

func subjectMember(name string) (*member, bool) {
	i := slices.IndexFunc(subjectMembers[:], func(m member) bool { return m.name == name })
	if i < 0 {
		return nil, false
	}
	return &subjectMembers[i], true
}

// attributeOf returns the rules of an attribute of the subject, whether or not it
// has a member of its own.
func attributeOf(id x509.OID) (*member, bool) {
	for _, m := range [...]*member{&organizationalUnit, &title} {
		if m.oid.Equal(id) {
			return m, true
		}
	}
	for i := range subjectMembers {
		if subjectMembers[i].oid.Equal(id) {
			return &subjectMembers[i], true
		}
	}
	return nil, false
}

// valid reports whether text can be encoded as the member's value.
func (m *member) valid(text string) bool {
	if m.bound == 2 {
		return len(text) == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z'
	}
	if utf8.RuneCountInString(text) > m.bound {
		return false
	}
	if m.name == "email" {
		return validEmail(text)
	}
	return validValue(m.value, text)
}

func (m *member) attribute(text string) telamon.Attribute {
	return telamon.Attribute{Type: m.oid, Value: telamon.TypedValue{Type: m.value, Text: text}}
}

// commonOIDs are identifiers that most requests name, read once.
var commonOIDs = func() map[string]x509.OID {
	m := map[string]x509.OID{}
	for _, family := range []telamon.EKUFamily{telamon.EKUTLS, telamon.EKUSigning} {
		for _, id := range family.OIDs() {
			m[id.String()] = id
		}
	}
	return m
}()

func mustOID(dotted string) x509.OID {
	if id, ok := commonOIDs[dotted]; ok {
		return id
	}
	id, err := x509.ParseOID(dotted)
	if err != nil {
		panic(err) // a constant of this package
	}
	return id
}
