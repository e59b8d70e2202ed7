package dcv

import (
	"context"
	"net/mail"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/resolver"
)

// constructed are the local parts of addresses that stand for a domain's owner (BR
// 3.2.2.4.4).
var constructed = []string{"admin", "administrator", "webmaster", "hostmaster", "postmaster"}

// contactLabel is where a contact is published in a TXT record (BR 3.2.2.4.14).
const contactLabel = "_validation-contactemail"

// maxContacts is how many published contacts of a domain are listed.
const maxContacts = 50

// A Mailbox may approve a claim.
type Mailbox struct {
	Address string
	ADN     string // the domain that it stands for
	Method  telamon.Method
	Through []string // the CNAMEs of the claimed name that led to a contact
	DNSSEC  telamon.DNSSEC
}

// Mailboxes are the addresses that may approve a claim, and what went wrong while
// looking for published contacts.
type Mailboxes struct {
	List     []Mailbox
	Problems []string

	contacts int // of List, that are published
}

// Mailboxes lists the mailboxes that may approve a claim to name, within Timeout: the
// constructed ones of the name and of its parents down to the registrable domain or
// private suffix, and the contacts that these publish in CAA and TXT records. The SOA
// record and registration data are no source of contacts any more (SC-080).
func (e *Engine) Mailboxes(ctx context.Context, name string, private []dnsname.Name) Mailboxes {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	var found Mailboxes
	domains := AllowedDomains(name, private)
	for _, domain := range domains {
		for _, local := range constructed {
			found.List = append(found.List, Mailbox{Address: local + "@" + domain, ADN: domain, Method: telamon.MethodEmail})
		}
	}
	for _, domain := range domains {
		e.contacts(ctx, &found, domain, domain == name)
	}
	return found
}

// contacts adds the published contacts of one authorization domain name. own says that
// it is the claimed name, at which alone a CNAME is followed; see tokenRecord.
func (e *Engine) contacts(ctx context.Context, found *Mailboxes, domain string, own bool) {
	answer, err := e.cfg.Resolver.Lookup(ctx, domain, resolver.TypeCAA)
	switch {
	case err != nil:
		found.Problems = append(found.Problems, lookupProblem(domain, err))
	case len(answer.Chain) == 0 || own:
		for _, r := range answer.CAA[:min(len(answer.CAA), MaxRecords)] {
			if strings.EqualFold(r.Tag, "contactemail") {
				e.addContact(found, r.Value, Mailbox{ADN: domain, Method: telamon.MethodEmailCAA, Through: answer.Chain, DNSSEC: e.dnssec(answer)})
			}
		}
	}
	name := contactLabel + "." + domain
	if answer, err = e.cfg.Resolver.Lookup(ctx, name, resolver.TypeTXT); err != nil {
		found.Problems = append(found.Problems, lookupProblem(name, err))
		return
	}
	for _, txt := range answer.TXT[:min(len(answer.TXT), MaxRecords)] {
		e.addContact(found, txt, Mailbox{ADN: domain, Method: telamon.MethodEmailTXT, DNSSEC: e.dnssec(answer)})
	}
}

func (e *Engine) addContact(found *Mailboxes, text string, box Mailbox) {
	address, ok := parseContact(text)
	known := slices.ContainsFunc(found.List, func(b Mailbox) bool { return strings.EqualFold(b.Address, address) })
	if !ok || known || found.contacts >= maxContacts {
		return
	}
	found.contacts++
	box.Address = address
	found.List = append(found.List, box)
}

// Lengths of an address and of its local part (RFC 5321, Section 4.5.3.1).
const (
	maxAddress   = 254
	maxLocalPart = 64
)

// parseContact reads one published address: nothing but an addr-spec of ASCII (RFC
// 5322, Section 3.4.1) whose domain is a domain name.
func parseContact(text string) (string, bool) {
	if len(text) > maxAddress {
		return "", false
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return "", false
		}
	}
	parsed, err := mail.ParseAddress(text)
	if err != nil || parsed.Name != "" || parsed.Address != text {
		return "", false
	}
	at := strings.LastIndexByte(text, '@')
	if at > maxLocalPart {
		return "", false
	}
	name, err := dnsname.Parse(text[at+1:])
	if err != nil || name.IsWildcard() {
		return "", false
	}
	return text, true
}
