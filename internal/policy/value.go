package policy

import (
	"crypto/x509"
	"math/big"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dnsname"
)

// maxText is the longest text of any value, in bytes: larger ones serve nobody
// and fill certificates.
const maxText = 4096

// validValue reports whether text can be encoded as a value of the type.
func validValue(t telamon.ValueType, text string) bool {
	if len(text) > maxText {
		return false
	}
	switch t {
	case telamon.UTF8String:
		return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
	case telamon.PrintableString:
		return isPrintable(text)
	case telamon.IA5String:
		return isASCII(text)
	case telamon.Integer:
		_, ok := new(big.Int).SetString(text, 10)
		return ok
	case telamon.DER:
		return isTLV(text)
	case telamon.Nil:
		return text == string(telamon.Nil)
	}
	return false
}

// printable is the alphabet of PrintableString (X.680, Section 41.4).
var printable = regexp.MustCompile(`^[A-Za-z0-9 '()+,./:=?-]*$`)

func isPrintable(text string) bool { return printable.MatchString(text) }

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf || unicode.IsControl(r) }) < 0
}

// validEmail reports whether text is an addr-spec of ASCII with a domain name.
func validEmail(text string) bool {
	if len(text) > 254 || !isASCII(text) {
		return false
	}
	address, err := mail.ParseAddress(text)
	if err != nil || address.Address != text || address.Name != "" {
		return false
	}
	name, err := dnsname.Parse(text[strings.LastIndexByte(text, '@')+1:])
	return err == nil && !name.IsWildcard()
}

// validURI reports whether text is an absolute URI that says something behind its
// scheme and, if it has an authority, whose host is a domain name or an IP address
// (RFC 5280, Section 4.2.1.6).
func validURI(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || !isASCII(text) || strings.ContainsAny(text, " \"<>\\^`{|}") { // RFC 3986, Appendix A
		return false
	}
	_, rest, _ := strings.Cut(text, ":")
	rest, _, _ = strings.Cut(rest, "#")
	if !strings.HasPrefix(rest, "//") {
		return rest != ""
	}
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		return validIP(host)
	}
	name, err := dnsname.Parse(host)
	return isASCII(host) && (validIP(host) || err == nil && !name.IsWildcard())
}

// validOID reports whether text is an object identifier in its only spelling:
// x509.ParseOID takes leading zeros, by which one identifier would have many.
func validOID(text string) bool {
	if _, ok := commonOIDs[text]; ok {
		return true
	}
	if len(text) > 128 {
		return false
	}
	id, err := x509.ParseOID(text)
	return err == nil && id.String() == text
}

func validDNSName(text string) bool {
	_, err := dnsname.Parse(text)
	return err == nil
}

func validIP(text string) bool {
	ip, err := netip.ParseAddr(text)
	return err == nil && ip.Zone() == ""
}

func validText(text string) bool { return validValue(telamon.UTF8String, text) }

func validCountry(text string) bool {
	return len(text) == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z'
}

func validGender(text string) bool { return len(text) == 1 && strings.Contains("MFmf", text) }

func validLanguage(text string) bool {
	return len(text) == 2 && strings.IndexFunc(text, func(r rune) bool { return r < 'A' || r > 'z' || r > 'Z' && r < 'a' }) < 0
}
