package telamon

import (
	"crypto/x509"
	"encoding/asn1"
	"net/netip"
	"time"
)

// A ValueType says how the text of a value is encoded in a certificate. The
// words are those of the Atlas validation policy.
type ValueType string

// The value types.
const (
	IA5String       ValueType = "IA5STRING"
	PrintableString ValueType = "PRINTABLESTRING"
	UTF8String      ValueType = "UTF8STRING"
	Integer         ValueType = "INTEGER" // decimal text
	DER             ValueType = "DER"     // hexadecimal text of one complete TLV
	Nil             ValueType = "NIL"     // ASN.1 NULL; the text is "NIL"
)

// A TypedValue is a text and the way in which it is encoded.
type TypedValue struct {
	Type ValueType
	Text string
}

// An Attribute is one type and value of a name or of a directory attribute.
type Attribute struct {
	Type  x509.OID
	Value TypedValue
}

// Content is all that a certificate says at its subject's wish: what a
// validation policy accepted, complete and in the order in which it is encoded.
// It does not hold what the issuer adds (serial, validity, key identifiers,
// status URLs).
type Content struct {
	Subject             []Attribute // one relative distinguished name each
	SAN                 SubjectAltName
	KeyUsage            x509.KeyUsage // zero leaves the extension out
	ExtKeyUsage         ExtKeyUsage
	DirectoryAttributes *SubjectDirectoryAttributes // nil leaves the extension out
	QCStatements        *QCStatements               // nil leaves the extension out
	Template            *MicrosoftTemplate          // nil leaves the extension out
	Extensions          []Extension                 // sorted by OID text, no duplicates
}

// Names returns the common name and the alternative names but other names, as texts. It
// returns nil if only the certificate itself can tell, or if there are none.
func (c *Content) Names() []string {
	if len(c.SAN.URIs) > 0 { // which have more than one form
		return nil
	}
	names := make([]string, 0, 1+len(c.SAN.DNSNames)+len(c.SAN.Emails)+len(c.SAN.IPAddresses))
	for _, a := range c.Subject {
		if a.Type.EqualASN1OID(commonNameOID) {
			if a.Value.Type != UTF8String && a.Value.Type != PrintableString || len(names) > 0 {
				return nil
			}
			names = append(names, a.Value.Text)
		}
	}
	names = append(append(names, c.SAN.DNSNames...), c.SAN.Emails...)
	for _, ip := range c.SAN.IPAddresses {
		names = append(names, ip.Unmap().String())
	}
	if len(names) == 0 {
		return nil
	}
	return names
}

// commonNameOID is the type of the common name in a subject.
var commonNameOID = asn1.ObjectIdentifier{2, 5, 4, 3}

// SubjectAltName holds the subject's alternative names (RFC 5280, Section 4.2.1.6).
type SubjectAltName struct {
	Critical    bool // an empty subject makes it critical in any case
	DNSNames    []string
	Emails      []string
	IPAddresses []netip.Addr
	URIs        []string
	OtherNames  []Attribute
}

// IsEmpty reports whether there is no name at all.
func (s *SubjectAltName) IsEmpty() bool {
	return len(s.DNSNames)+len(s.Emails)+len(s.IPAddresses)+len(s.URIs)+len(s.OtherNames) == 0
}

// ExtKeyUsage holds the extended key usages; none leaves the extension out.
type ExtKeyUsage struct {
	Critical bool
	OIDs     []x509.OID
}

// SubjectDirectoryAttributes holds the attributes of RFC 3739, Section 3.2.2.
// Empty members are left out.
type SubjectDirectoryAttributes struct {
	Gender               string    // M, F, m or f
	DateOfBirth          time.Time // encoded as 12:00:00 GMT of its day; zero leaves it out
	PlaceOfBirth         string
	CountryOfCitizenship []string
	CountryOfResidence   []string
	Extra                []Attribute
}

// QCStatements holds the qualified certificate statements of RFC 3739, Section
// 3.2.6 and ETSI EN 319 412-5. Empty members are left out.
type QCStatements struct {
	SemanticsID     *x509.OID
	NameAuthorities []string // URIs
	Compliance      bool
	SSCD            bool
	Type            *x509.OID
	RetentionYears  *int
	PDS             []PDSLocation // sorted by language
}

// A PDSLocation says where the PKI disclosure statement is, in one language.
type PDSLocation struct {
	Language string // ISO 639-1, lower case
	URL      string
}

// MicrosoftTemplate is the certificate template extension
// 1.3.6.1.4.1.311.21.7. The versions are left out if nil.
type MicrosoftTemplate struct {
	Critical     bool
	ID           x509.OID
	MajorVersion *int
	MinorVersion *int
}

// An Extension is one custom extension.
type Extension struct {
	ID       x509.OID
	Critical bool
	Value    TypedValue
}
