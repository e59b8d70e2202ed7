package ra

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dnsname"
)

// A named is a name in a certificate that a verified claim must cover.
type named struct {
	text     string // as it is written; refusals name it
	kind     telamon.ClaimKind
	host     string // a domain without its wildcard label, or an IP address; "" if no claim can cover it
	wildcard bool
	mailbox  bool // host is the domain of one
}

// domain is the host with its wildcard label.
func (n named) domain() string {
	if n.wildcard {
		return "*." + n.host
	}
	return n.host
}

// hasCAA reports whether the name is one that the properties issue and issuewild of CAA
// records speak of (RFC 8659, Section 4.1).
func (n named) hasCAA() bool { return n.kind == telamon.ClaimDomain && !n.mailbox }

// namesOf returns all that a relying party could take for the name of a host or
// mailbox, wherever it stands, each once.
func namesOf(content *telamon.Content) []named {
	seen := map[named]bool{}
	return slices.DeleteFunc(allNames(content), func(n named) bool {
		again := seen[n]
		seen[n] = true
		return again
	})
}

func allNames(content *telamon.Content) []named {
	var names []named
	for _, name := range content.SAN.DNSNames {
		names = append(names, hostName(name, name))
	}
	for _, email := range content.SAN.Emails {
		names = append(names, mailboxName(email))
	}
	for _, ip := range content.SAN.IPAddresses {
		names = append(names, named{text: ip.String(), kind: telamon.ClaimIP, host: ip.String()})
	}
	for _, uri := range content.SAN.URIs {
		if n, ok := uriName(uri); ok {
			names = append(names, n)
		}
	}
	for _, other := range content.SAN.OtherNames {
		if read, ok := otherNames[other.Type.String()]; ok {
			names = appendName(names, other.Value, read)
		}
	}
	for _, a := range content.Subject {
		if read, ok := attributes[a.Type.String()]; ok {
			names = appendName(names, a.Value, read)
		}
	}
	return append(names, domainComponents(content.Subject)...)
}

// appendName appends the name that a value holds, if it does. What DER says is not
// looked into: no claim covers it.
func appendName(names []named, v telamon.TypedValue, read func(string) (named, bool)) []named {
	if !isText(v) {
		return append(names, named{text: v.Text})
	}
	if n, ok := read(v.Text); ok {
		names = append(names, n)
	}
	return names
}

// isText reports whether a value can be judged by its text.
func isText(v telamon.TypedValue) bool {
	return v.Type == telamon.UTF8String || v.Type == telamon.PrintableString || v.Type == telamon.IA5String
}

// attributes read the attributes of a subject that may hold hosts or mailboxes.
var attributes = map[string]func(string) (named, bool){
	"2.5.4.3":                   commonName,          // commonName
	"1.2.840.113549.1.9.1":      always(mailboxName), // emailAddress (PKCS #9)
	"0.9.2342.19200300.100.1.3": always(mailboxName), // mail (RFC 4524)
}

// otherNames read the forms of otherName that may hold hosts or mailboxes.
var otherNames = map[string]func(string) (named, bool){
	"1.3.6.1.4.1.311.20.2.3": func(text string) (named, bool) { // user principal name
		return mailboxName(text), strings.Contains(text, "@")
	},
	"1.3.6.1.5.5.7.8.5": always(xmppName),    // XmppAddr (RFC 6120, Section 13.7.1.4)
	"1.3.6.1.5.5.7.8.7": always(serviceName), // SRVName (RFC 4985)
	"1.3.6.1.5.5.7.8.9": always(mailboxName), // SmtpUTF8Mailbox (RFC 9598)
}

func always(read func(string) named) func(string) (named, bool) {
	return func(text string) (named, bool) { return read(text), true }
}

// hostName is the name of a host, which may be a wildcard, written as text.
func hostName(text, host string) named {
	n := named{text: text, kind: telamon.ClaimDomain}
	if name, err := dnsname.Parse(host); err == nil {
		n.host, n.wildcard = name.Base().String(), name.IsWildcard()
	}
	return n
}

// plainName is hostName for what cannot be a wildcard.
func plainName(text, host string) named { return plainOf(hostName(text, host)) }

// plainOf is n, unless it is a wildcard: no claim can cover that where none belongs.
func plainOf(n named) named {
	if n.wildcard {
		n.host, n.wildcard = "", false
	}
	return n
}

// addressOrHost is the name of a host or an IP address, written as text.
func addressOrHost(text, host string) named {
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return named{text: text, kind: telamon.ClaimIP, host: ip.Unmap().WithZone("").String()}
	}
	return hostName(text, host)
}

// mailboxName is the domain of a mailbox, which is what follows the last "@".
func mailboxName(text string) named {
	at := strings.LastIndexByte(text, '@')
	if at < 1 {
		return named{text: text}
	}
	n := plainName(text, text[at+1:])
	n.mailbox = true
	return n
}

// xmppName is the domain of [local@]domain[/resource].
func xmppName(text string) named {
	address, _, _ := strings.Cut(text, "/")
	_, domain, found := strings.Cut(address, "@")
	if !found {
		domain = address
	}
	return plainName(text, domain)
}

// serviceName is the host of _service.host.
func serviceName(text string) named {
	service, host, _ := strings.Cut(text, ".")
	if !strings.HasPrefix(service, "_") {
		return named{text: text}
	}
	return plainName(text, host)
}

// uriName is the host of a URI with an authority or as in sip (RFC 5922, Section 7.1),
// or the domain of a mailbox as in mailto. It reports false for a URI that names none.
func uriName(uri string) (named, bool) {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return named{text: uri}, true
	case u.Host != "":
		return plainOf(addressOrHost(uri, u.Hostname())), true
	case strings.ContainsAny(u.Opaque, ",;%") || strings.Count(u.Opaque, "@") > 1:
		return named{text: uri}, true
	case strings.Contains(u.Opaque, "@"):
		n := mailboxName(u.Opaque)
		n.text = uri
		return n, true
	}
	host := u.Opaque
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && !dnsname.LooksLikeHost(host) {
		return named{}, false
	}
	return plainOf(addressOrHost(uri, host)), true
}

// domainComponents is the domain that the domainComponent attributes of a subject
// spell, the top-level domain first (RFC 4519, Section 2.4).
func domainComponents(subject []telamon.Attribute) []named {
	var labels []string
	for _, a := range subject {
		if a.Type.String() != "0.9.2342.19200300.100.1.25" {
			continue
		}
		if !isText(a.Value) {
			return []named{{text: a.Value.Text}}
		}
		labels = append(labels, a.Value.Text)
	}
	if labels == nil {
		return nil
	}
	slices.Reverse(labels)
	name := strings.Join(labels, ".")
	return []named{plainName(name, name)}
}

// dots are the full stop and what IDNA takes for it (UTS #46).
const dots = ".\u3002\uff0e\uff61"

// commonName is what a common name would be taken for: a host, an address or a
// mailbox, or none of them. It rather sees one too many, because a client may be
// laxer than dnsname.Parse.
func commonName(text string) (named, bool) {
	trimmed := strings.TrimSpace(text)
	if _, err := netip.ParseAddr(strings.Trim(trimmed, "[]")); err == nil {
		return addressOrHost(text, trimmed), true
	}
	if strings.Contains(trimmed, "@") {
		n := mailboxName(trimmed)
		n.text = text
		return n, true
	}
	if strings.HasPrefix(trimmed, "*.") || dnsname.LooksLikeHost(trimmed) ||
		strings.ContainsAny(trimmed, dots) && !strings.ContainsFunc(trimmed, unicode.IsSpace) {
		return hostName(text, trimmed), true
	}
	return named{}, false
}
