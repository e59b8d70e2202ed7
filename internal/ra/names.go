package ra

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/fault"
)

// checkNames runs step 6 for a service with domain validation: every name must
// be covered by a verified claim. No claim can be verified yet, so every name
// that would need one is refused.
func checkNames(scope *directory.Scope, content *telamon.Content) error {
	if !scope.Service.DomainValidation {
		return nil
	}
	var uncovered []fault.Field
	for _, name := range namesOf(content) {
		uncovered = append(uncovered, fault.Field{Path: name, Problem: "no verified claim"})
	}
	if len(uncovered) == 0 {
		return nil
	}
	return &fault.Fault{
		Kind: fault.Invalid, Code: "name_not_covered", Detail: "san: failed dns/email domain name verification", Fields: uncovered,
	}
}

// namesOf returns all that a relying party could take for the name of a host or
// mailbox, wherever it stands, as it is written.
func namesOf(content *telamon.Content) []string {
	var names []string
	names = append(names, content.SAN.DNSNames...)
	names = append(names, content.SAN.Emails...)
	for _, ip := range content.SAN.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range content.SAN.URIs {
		if namesHost(uri) {
			names = append(names, uri)
		}
	}
	for _, other := range content.SAN.OtherNames {
		if rule, ok := otherNames[other.Type.String()]; ok && (!isText(other.Value) || rule(other.Value.Text)) {
			names = append(names, other.Value.Text)
		}
	}
	for _, a := range content.Subject {
		if rule, ok := attributes[a.Type.String()]; ok && (!isText(a.Value) || rule(a.Value.Text)) {
			names = append(names, a.Value.Text)
		}
	}
	return names
}

// attributes says of the attributes of a subject that hold hosts or mailboxes
// which of their texts do.
var attributes = map[string]func(string) bool{
	"2.5.4.3":                    looksLikeName, // commonName
	"1.2.840.113549.1.9.1":       always,        // emailAddress (PKCS #9)
	"0.9.2342.19200300.100.1.3":  always,        // mail (RFC 4524)
	"0.9.2342.19200300.100.1.25": always,        // domainComponent (RFC 4519)
}

// otherNames says of the forms of otherName that hold hosts or mailboxes which of
// their texts do.
var otherNames = map[string]func(string) bool{
	"1.3.6.1.4.1.311.20.2.3": func(text string) bool { return strings.Contains(text, "@") }, // user principal name
	"1.3.6.1.5.5.7.8.5":      always,                                                        // XmppAddr (RFC 6120)
	"1.3.6.1.5.5.7.8.7":      always,                                                        // SRVName (RFC 4985)
	"1.3.6.1.5.5.7.8.9":      always,                                                        // SmtpUTF8Mailbox (RFC 9598)
}

func always(string) bool { return true }

// isText reports whether a value can be judged by its text. What DER says is not
// looked into.
func isText(v telamon.TypedValue) bool {
	return v.Type == telamon.UTF8String || v.Type == telamon.PrintableString || v.Type == telamon.IA5String
}

// dots are the full stop and what IDNA takes for it (UTS #46).
const dots = ".\u3002\uff0e\uff61"

// looksLikeName reports whether a common name would be taken for a host, an
// address or a mailbox. It rather sees one too many: a client may be laxer than
// dnsname.Parse.
func looksLikeName(text string) bool {
	text = strings.TrimSpace(text)
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return true
	}
	return strings.Contains(text, "@") || strings.HasPrefix(text, "*.") || dnsname.LooksLikeHost(text) ||
		strings.ContainsAny(text, dots) && !strings.ContainsFunc(text, unicode.IsSpace)
}

// namesHost reports whether a URI has an authority, or a mailbox as in mailto.
func namesHost(uri string) bool {
	u, err := url.Parse(uri)
	return err != nil || u.Host != "" || strings.Contains(u.Opaque, "@")
}
