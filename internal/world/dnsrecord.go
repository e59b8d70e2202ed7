package world

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A Record is a record of the DNS.
type Record struct {
	Name  string // lower case, without a final dot
	Type  string // such as "TXT"
	Value string // of a TXT record its text, of others the presentation form (RFC 1035, Section 5.1)
	TTL   uint32 // seconds
}

// recordTypes are the types of records that can be added.
var recordTypes = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeCNAME, dns.TypeCAA, dns.TypeMX, dns.TypeDNAME, dns.TypeNS, dns.TypeSOA,
}

const (
	maxText   = 60_000    // octets of a TXT record
	maxString = 255       // octets of a string of a TXT record (RFC 1035, Section 3.3)
	maxTTL    = 1<<31 - 1 // RFC 2181, Section 8
)

// SetTTL sets the TTL in seconds of what is added from now on, and of denials.
func (d *DNS) SetTTL(seconds uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ttl = min(seconds, maxTTL)
}

// Add adds a record. The name may have a final dot, and its first label may be "*".
// The value is in presentation form, but that of a TXT record is the plain text,
// which is split into strings of 255 octets. To add what is already there changes
// nothing. A name with a CNAME has no other records, and it has one. NS records make no
// zone: Zone does.
func (d *DNS) Add(name, rtype, value string) error {
	d.mu.RLock()
	ttl := d.ttl
	d.mu.RUnlock()
	return d.AddTTL(name, rtype, value, ttl)
}

// AddTTL is Add with a TTL in seconds, which becomes that of all records of the name
// and type.
func (d *DNS) AddTTL(name, rtype, value string, ttl uint32) error {
	rr, err := parseRecord(name, rtype, value)
	if err == nil {
		err = d.insert(rr, min(ttl, maxTTL))
	}
	if err != nil {
		return fmt.Errorf("add a record to %q: %w", name, err)
	}
	return nil
}

// AddTXTStrings adds a TXT record of the given strings, of 255 octets at most each.
func (d *DNS) AddTXTStrings(name string, strings ...string) error {
	owner, err := parseOwner(name)
	if err != nil {
		return fmt.Errorf("add a record to %q: %w", name, err)
	}
	rr, err := newTXT(owner, strings)
	if err == nil {
		d.mu.RLock()
		ttl := d.ttl
		d.mu.RUnlock()
		err = d.insert(rr, ttl)
	}
	if err != nil {
		return fmt.Errorf("add a record to %q: %w", name, err)
	}
	return nil
}

// insert puts rr into its set. A record is never changed once it is there, and sets
// only grow at the end, as answers may hold them.
func (d *DNS) insert(rr dns.RR, ttl uint32) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	owner, rtype := rr.Header().Name, rr.Header().Rrtype
	node := d.names[owner]
	set, isKnown := node[rtype], d.known[identity(rr)]
	if others := len(node) - min(len(set), 1); others > 0 && (rtype == dns.TypeCNAME || node[dns.TypeCNAME] != nil) {
		return errors.New("a CNAME stands alone")
	}
	switch single := rtype == dns.TypeCNAME || rtype == dns.TypeDNAME; {
	case single && len(set) > 0 && !isKnown:
		return fmt.Errorf("there is another %s", dns.Type(rtype))
	case rtype == dns.TypeSOA && !isKnown: // the new one counts
		d.drop(set)
		set = nil
	}
	if len(set) > 0 && set[0].Header().Ttl != ttl {
		set = slices.Clone(set)
		for i := range set {
			set[i] = dns.Copy(set[i])
			set[i].Header().Ttl = ttl
		}
	}
	if !isKnown {
		rr.Header().Ttl = ttl
		set = append(set, rr)
		d.known[identity(rr)] = true
	}
	if node == nil {
		node = map[uint16][]dns.RR{}
		d.names[owner] = node
	}
	node[rtype] = set
	d.serial++
	return nil
}

// drop forgets the identities of records that are removed.
func (d *DNS) drop(records []dns.RR) {
	for _, rr := range records {
		delete(d.known, identity(rr))
	}
}

// identity returns what tells records apart: all but the TTL.
func identity(rr dns.RR) string {
	return rr.Header().Name + " " + dns.Type(rr.Header().Rrtype).String() + " " + value(rr)
}

// Remove removes the records of the name that have the type, "" for any, and the
// value, "" for any, and returns how many there were.
func (d *DNS) Remove(name, rtype, value string) int {
	owner, err := parseOwner(name)
	if err != nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	removed := 0
	for t, set := range d.names[owner] {
		if rtype != "" && !strings.EqualFold(rtype, dns.Type(t).String()) {
			continue
		}
		var kept, gone []dns.RR
		for _, rr := range set {
			if value == "" || hasValue(rr, value) {
				gone = append(gone, rr)
			} else {
				kept = append(kept, rr)
			}
		}
		d.drop(gone)
		removed += len(gone)
		if d.names[owner][t] = kept; len(kept) == 0 {
			delete(d.names[owner], t)
		}
	}
	if len(d.names[owner]) == 0 {
		delete(d.names, owner)
	}
	d.serial++
	return removed
}

// hasValue says whether the value of rr is text, perhaps in another spelling.
func hasValue(rr dns.RR, text string) bool {
	if value(rr) == text {
		return true
	}
	other, err := parseRecord(rr.Header().Name, dns.Type(rr.Header().Rrtype).String(), text)
	return err == nil && value(other) == value(rr)
}

// Records returns what was added and not removed, by name, type and value.
func (d *DNS) Records() []Record {
	d.mu.RLock()
	defer d.mu.RUnlock()
	records := []Record{}
	for owner, node := range d.names {
		for t, set := range node {
			for _, rr := range set {
				records = append(records, Record{withoutDot(owner), dns.Type(t).String(), value(rr), rr.Header().Ttl})
			}
		}
	}
	slices.SortFunc(records, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
	})
	return records
}

// Clear removes all records and faults. Zones stay, with their keys, as resolvers may
// hold them as trust anchors.
func (d *DNS) Clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.names)
	clear(d.known)
	clear(d.faults)
	d.serial++
}

// parseRecord reads a record without a TTL.
func parseRecord(name, rtype, value string) (dns.RR, error) {
	owner, err := parseOwner(name)
	if err != nil {
		return nil, err
	}
	t := dns.StringToType[strings.ToUpper(rtype)]
	if !slices.Contains(recordTypes, t) {
		return nil, fmt.Errorf("records of the type %q cannot be added", rtype)
	}
	if t == dns.TypeTXT {
		return newTXT(owner, split(value))
	}
	if strings.ContainsAny(value, "\r\n") || strings.TrimSpace(value) == "" {
		return nil, errors.New("the value is not one line of text")
	}
	if t != dns.TypeCAA { // the others have no text but names
		value = strings.ToLower(value)
	}
	rr, err := dns.NewRR(fmt.Sprintf("%s 0 IN %s %s", owner, dns.Type(t), value))
	if err != nil || rr == nil || rr.Header().Rrtype != t || rr.Header().Name != owner {
		return nil, fmt.Errorf("the value is not that of a record of the type %s", dns.Type(t))
	}
	return rr, canPack(rr)
}

// parseOwner returns a name in canonical form.
func parseOwner(name string) (string, error) {
	owner := dns.CanonicalName(name)
	if _, ok := dns.IsDomainName(owner); !ok || name == "" {
		return "", errors.New("not a domain name")
	}
	for _, c := range []byte(owner) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.*", rune(c)) {
			return "", errors.New("not a domain name: labels are of letters, digits, hyphens and underscores")
		}
	}
	if strings.Contains(strings.TrimPrefix(owner, "*."), "*") {
		return "", errors.New("not a domain name: an asterisk is the first label or none")
	}
	return owner, nil
}

// split cuts text into strings of a TXT record.
func split(text string) []string {
	strings := []string{}
	for len(text) > maxString {
		strings = append(strings, text[:maxString])
		text = text[maxString:]
	}
	return append(strings, text)
}

// newTXT returns a TXT record of the strings.
func newTXT(owner string, texts []string) (dns.RR, error) {
	total := 0
	rr := &dns.TXT{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeTXT, Class: dns.ClassINET}}
	for _, s := range texts {
		if total += len(s) + 1; len(s) > maxString || total > maxText {
			return nil, errors.New("the text is too long for a TXT record")
		}
		rr.Txt = append(rr.Txt, strings.ReplaceAll(s, `\`, `\\`))
	}
	if len(texts) == 0 {
		return nil, errors.New("a TXT record has at least one string")
	}
	return rr, canPack(rr)
}

// canPack reports an error if rr has no wire form.
func canPack(rr dns.RR) error {
	if _, err := dns.PackRR(rr, make([]byte, dns.MaxMsgSize), 0, nil, false); err != nil {
		return fmt.Errorf("the value has no wire form: %w", err)
	}
	return nil
}

// value returns the value of a record as Record has it.
func value(rr dns.RR) string {
	if txt, ok := rr.(*dns.TXT); ok {
		return strings.ReplaceAll(strings.Join(txt.Txt, ""), `\\`, `\`)
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

// withoutDot returns a name without its final dot; the root stays ".".
func withoutDot(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// ancestors yields the names above name, the closest first and the root last.
func ancestors(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name != "." {
			off, end := dns.NextLabel(name, 0)
			if name = name[off:]; end {
				name = "."
			}
			if !yield(name) {
				return
			}
		}
	}
}
