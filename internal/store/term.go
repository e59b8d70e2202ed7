package store

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dnsname"
)

// termTable is what certificates are found by.
var (
	termTable     = newTable("certificate_term", "pair_id, term, accepted_at, serial", "")
	termOnceTable = newTable("certificate_term", "pair_id, term, accepted_at, serial", " ON CONFLICT DO NOTHING")
)

// The kinds of terms.
const (
	termName       = "name" // one of the certificate's names, as searchedName writes it
	termBelow      = "below"
	termKey        = "key" // the SHA-256 of the SubjectPublicKeyInfo
	termRekey      = "rekey"
	termCredential = "credential" // an ID; empty if it was requested in the portal
)

// termOf is the term of a value: the first octets of a hash, as a signed number, which
// both databases keep in eight. Two values of one account that share a term would be
// found by one another, which nobody waits for: 2^32 of them are needed.
func termOf(kind, value string) int64 {
	var room [128]byte
	sum := sha256.Sum256(append(append(append(room[:0], kind...), 0), value...))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// appendTerms appends the rows of a certificate's terms.
func appendTerms(args []any, c *telamon.Certificate, terms []int64) []any {
	var pair, at, serial any = int64(c.Pair), c.AcceptedAt.UnixMilli(), c.Serial[:] // made any once
	for _, term := range terms {
		args = append(args, pair, term, at, serial)
	}
	return args
}

// termsOf returns the terms of a certificate, each once, in order.
func termsOf(c *telamon.Certificate, blob *Blob) []int64 {
	terms := []int64{termOf(termCredential, c.Credential.String()), termOf(termKey, string(c.SPKIHash[:]))}
	if c.RekeyOf != nil {
		terms = append(terms, termOf(termRekey, string(c.RekeyOf[:])))
	}
	for _, name := range certificateNames(blob) {
		name = searchedName(name)
		terms = append(terms, termOf(termName, name))
		for _, domain := range domainsAbove(name) {
			terms = append(terms, termOf(termBelow, domain))
		}
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}

// certificateNames returns the common name of a certificate and its alternative names.
// They may repeat. In bytes that cannot be read there are none.
func certificateNames(blob *Blob) []string {
	if len(blob.Names) > 0 {
		return blob.Names
	}
	cert, err := x509.ParseCertificate(blob.DER)
	if err != nil {
		return nil
	}
	names := slices.Concat([]string{cert.Subject.CommonName}, cert.DNSNames, cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range cert.URIs {
		names = append(names, uri.String())
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// searchedName is a name as it is found: domains in lower case and without a final dot,
// IP addresses in their one form, anything else in lower case.
func searchedName(text string) string {
	text = strings.TrimSpace(text)
	if ip, err := netip.ParseAddr(text); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	if name, err := dnsname.Parse(text); err == nil {
		return name.String()
	}
	return strings.ToLower(text)
}

// domainsAbove returns the domains of two labels or more that a name, written as
// searchedName does, is below: those above a domain, the one of a mailbox or a URI and
// those above it.
func domainsAbove(name string) (domains []string) {
	host, itself := name, false
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		host, itself = name[at+1:], true
	} else if strings.Contains(name, "//") { // as each URI with a host has
		if u, err := url.Parse(name); err == nil && u.Host != "" {
			host, itself = u.Hostname(), true
		}
	}
	if !dnsname.LooksLikeHost(host) {
		return nil
	}
	if !itself {
		_, host, _ = strings.Cut(host, ".")
	}
	for ; strings.Contains(host, "."); _, host, _ = strings.Cut(host, ".") {
		domains = append(domains, host)
	}
	return domains
}

// searchTerm is the term that a text of a search asks for: "*.example.com" for every
// name below a domain of at least two labels, anything else for that name.
func searchTerm(text string) int64 {
	name := searchedName(text)
	if domain, ok := strings.CutPrefix(name, "*."); ok {
		return termOf(termBelow, domain)
	}
	return termOf(termName, name)
}
