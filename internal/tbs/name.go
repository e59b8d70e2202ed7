package tbs

import (
	"crypto/x509"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
)

// upperBounds are the longest values of name attributes in characters (RFC 5280,
// Appendix A.1; X.520 for those that are not there).
var upperBounds = map[string]int{
	"2.5.4.3":                  64,  // commonName
	"2.5.4.4":                  64,  // surname; RFC 5280's 32768 is ub-name, X.520 has 64
	"2.5.4.5":                  64,  // serialNumber
	"2.5.4.6":                  2,   // countryName
	"2.5.4.7":                  128, // localityName
	"2.5.4.8":                  128, // stateOrProvinceName
	"2.5.4.9":                  128, // streetAddress
	"2.5.4.10":                 64,  // organizationName
	"2.5.4.11":                 64,  // organizationalUnitName
	"2.5.4.12":                 64,  // title
	"2.5.4.15":                 128, // businessCategory
	"2.5.4.17":                 40,  // postalCode
	"2.5.4.42":                 64,  // givenName
	"2.5.4.65":                 128, // pseudonym
	"2.5.4.97":                 256, // organizationIdentifier
	"1.2.840.113549.1.9.1":     255, // emailAddress
	"1.3.6.1.4.1.311.60.2.1.1": 128, // jurisdictionLocalityName
	"1.3.6.1.4.1.311.60.2.1.2": 128, // jurisdictionStateOrProvinceName
	"1.3.6.1.4.1.311.60.2.1.3": 2,   // jurisdictionCountryName
}

// UpperBound returns how many characters the value of a name attribute may have,
// and false if no bound is known.
func UpperBound(oid string) (int, bool) {
	n, ok := upperBounds[oid]
	return n, ok
}

// addName adds a Name with one attribute in each relative distinguished name.
// EncodeName returns the DER of a name with one attribute in each relative distinguished
// name. It reports an error if an attribute cannot be encoded.
func EncodeName(name []telamon.Attribute) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	addName(b, name)
	return b.Bytes()
}

func addName(b *cryptobyte.Builder, name []telamon.Attribute) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, a := range name {
			if bound, ok := UpperBound(a.Type.String()); ok {
				if n := characters(a.Value); n < 1 || n > bound {
					b.SetError(fmt.Errorf("attribute %s has %d characters, not 1 to %d", a.Type, n, bound))
					return
				}
			}
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { addAttribute(b, a) })
		}
	})
}

// characters returns how long a value is: the characters of a text, and the
// octets within a DER element, of which a character takes one or more.
func characters(v telamon.TypedValue) int {
	der, err := ParseTLV(v.Text)
	element := cryptobyte.String(der)
	var content cryptobyte.String
	var tag cbasn1.Tag
	if v.Type != telamon.DER || err != nil || !element.ReadAnyASN1(&content, &tag) {
		return utf8.RuneCountInString(v.Text)
	}
	if tag == cbasn1.UTF8String {
		return utf8.RuneCount(content)
	}
	return len(content)
}

// addAttribute adds an AttributeTypeAndValue.
func addAttribute(b *cryptobyte.Builder, a telamon.Attribute) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, a.Type)
		addValue(b, a.Value)
	})
}

// addOID adds an object identifier of arcs of any size.
func addOID(b *cryptobyte.Builder, oid x509.OID) {
	content, err := oid.MarshalBinary()
	if err != nil || len(content) == 0 {
		b.SetError(fmt.Errorf("object identifier %q cannot be encoded", oid))
		return
	}
	b.AddASN1(cbasn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(content) })
}

// oid returns the identifier with these arcs, which are constants of this package.
func oid(arcs ...uint64) x509.OID {
	o, err := x509.OIDFromInts(arcs)
	if err != nil {
		panic(err)
	}
	return o
}
