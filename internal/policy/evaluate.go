package policy

import (
	"crypto/x509"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/fault"
)

// A Decision is all that a policy has to say about a certificate.
type Decision struct {
	NotBefore, NotAfter time.Time
	Content             telamon.Content
	Policies            []x509.OID // certificate policies; none unless the policy is strict
	SignatureAlgorithm  string     // "" is the issuer's default
	HashAlgorithm       string
}

// The problems of requests. Their texts are part of the API.
const (
	isRequired  = "is required"
	isStatic    = "is static"
	isForbidden = "is forbidden"
	noMatch     = "does not match the required format"
	notAllowed  = "is not allowed"
	isInvalid   = "is invalid"
	tooShort    = "is too short"
	tooLong     = "is too long"
)

// evaluation is one request on its way through the rules.
type evaluation struct {
	policy  *Policy
	request *Request
	fields  []fault.Field
	content telamon.Content
}

func (e *evaluation) refuse(path, problem string) {
	e.fields = append(e.fields, fault.Field{Path: path, Problem: problem})
}

// Evaluate decides about a request that arrived at now. It returns the complete
// decision, or everything that is wrong with the request: validity first, then the
// members in the order of the API's documentation, and within a member by name.
// It changes nothing, and gives the same answer for the same request and time.
func (p *Policy) Evaluate(req *Request, now time.Time) (*Decision, []fault.Field) {
	e := &evaluation{policy: p, request: req}
	d := &Decision{}
	d.NotBefore, d.NotAfter = e.validity(now)
	e.subject()
	e.san()
	e.keyUsages()
	e.extKeyUsages()
	e.directory()
	e.statements()
	e.template()
	e.extensions()
	d.SignatureAlgorithm = e.choice("signature.algorithm", p.model.Signature.Algorithm, req.SignatureAlgorithm)
	d.HashAlgorithm = e.choice("signature.hash_algorithm", p.model.Signature.HashAlgorithm, req.HashAlgorithm)
	if len(e.fields) == 0 && len(e.content.Subject) == 0 && e.content.SAN.IsEmpty() {
		e.refuse("subject_dn", isRequired) // a certificate names somebody (RFC 5280, Section 4.1.2.6)
	}
	if p.limits.Strict && len(e.fields) == 0 {
		d.Policies = e.strict(d.NotBefore, now)
	}
	if len(e.fields) > 0 {
		return nil, e.fields
	}
	d.Content = e.content
	return d, nil
}

// day is the day of the Baseline Requirements, in seconds (BR 1.6.1).
const day = 86400

// validity returns the validity, of which both bounds are kept as they were sent.
func (e *evaluation) validity(now time.Time) (notBefore, notAfter time.Time) {
	v, at := e.policy.model.Validity, now.Unix()
	from := e.request.NotBefore
	if from == 0 {
		from = at
	}
	if from < at-v.NotBeforeNegativeSkew || from > at+v.NotBeforePositiveSkew {
		e.refuse("validity.not_before", notAllowed)
		return
	}
	latest := from + v.SecondsMax
	if v.IssuerExpiry != 0 {
		latest = min(latest, v.IssuerExpiry)
	}
	to := e.request.NotAfter
	if to == 0 {
		to = latest
	}
	if longest := e.request.MaxSeconds; longest != 0 {
		latest = min(latest, from+longest-1)
		if e.request.NotAfter == 0 {
			// BR 6.3.2 recommends to stay a day below the longest validity.
			to = min(to, max(from+longest-1-day, from))
		}
	}
	switch {
	case to > latest:
		e.refuse("validity.not_after", tooLong)
	case to <= from || to-from < v.SecondsMin && !e.request.Rekey:
		e.refuse("validity.not_after", tooShort)
	}
	return time.Unix(from, 0).UTC(), time.Unix(to, 0).UTC()
}

// text returns the value of a text rule, "" if there is none.
func (e *evaluation) text(path string, rule textRule, value string, valid func(string) bool) string {
	switch rule.Presence {
	case Static:
		if value != "" && value != rule.Format {
			e.refuse(path, isStatic)
		}
		return rule.Format
	case Required, Optional:
		switch {
		case value == "" && rule.Presence == Required:
			e.refuse(path, isRequired)
		case value == "":
		case !rule.pattern.MatchString(value):
			e.refuse(path, noMatch)
		case !valid(value) || e.policy.limits.Strict && isPlaceholder(value):
			e.refuse(path, isInvalid)
		}
		return value
	default: // FORBIDDEN, and what Compile lets through no other
		if value != "" {
			e.refuse(path, isForbidden)
		}
		return ""
	}
}

// isPlaceholder reports whether a value says nothing (BR 7.1.4.2): only dots,
// hyphens and spaces.
func isPlaceholder(text string) bool { return strings.Trim(text, " .-") == "" }

// list returns the values of a list rule. Equal values count once; same says
// under which key two are equal.
func (e *evaluation) list(path string, rule listRule, values []string, same func(string) string, valid func(string) bool) []string {
	values = fold(values, same)
	if rule.Static {
		if len(values) > 0 && !sameSet(values, rule.List, same) {
			e.refuse(path, isStatic)
		}
		return rule.List
	}
	if len(values) < rule.MinCount || len(values) > rule.MaxCount {
		e.refuse(path, itemCount(rule.MinCount, rule.MaxCount))
		return nil
	}
	for _, v := range values {
		if !rule.matches(v) {
			e.refuse(path, noMatch)
			return nil
		}
		if !valid(v) {
			e.refuse(path, isInvalid)
			return nil
		}
	}
	return values
}

func itemCount(low, high int) string {
	return fmt.Sprintf("has to have between %d and %d items", low, high)
}

func (l *listRule) matches(value string) bool {
	if len(l.suffixes) > 0 {
		lower := strings.ToLower(value)
		for _, suffix := range l.suffixes {
			if strings.HasSuffix(lower, suffix) {
				return true
			}
		}
	}
	return slices.ContainsFunc(l.patterns, func(p *regexp.Regexp) bool { return p.MatchString(value) })
}

// fold returns the values without repeats and empty ones, in their order.
func fold(values []string, same func(string) string) []string {
	if len(values) == 0 || len(values) == 1 && values[0] != "" {
		return values
	}
	var out []string
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		if key := same(v); v != "" && !seen[key] {
			seen[key] = true
			out = append(out, v)
		}
	}
	return out
}

func sameSet(a, b []string, same func(string) string) bool {
	if len(a) != len(b) {
		return false
	}
	keys := map[string]bool{}
	for _, v := range a {
		keys[same(v)] = true
	}
	return !slices.ContainsFunc(b, func(v string) bool { return !keys[same(v)] })
}

func exactly(text string) string { return text }

// typed returns the values of type-and-value rules, by OID and within one in the
// order of the request.
func (e *evaluation) typed(path string, rules typedRules, values []TypeAndValue) []telamon.Attribute {
	var given map[string][]string
	if len(values) > 0 {
		given = map[string][]string{}
	}
	for _, v := range values {
		rule := rules.byID[v.Type]
		switch {
		case v.Type == "" && v.Value == "":
			continue
		case v.Type == "":
			e.refuse(path, isInvalid)
			return nil
		case rule == nil:
			e.refuse(path+"."+v.Type, isForbidden)
			return nil
		case v.Value == "" && rule.ValueType == telamon.Nil: // whose type says it all
			v.Value = string(telamon.Nil)
		}
		given[v.Type] = append(given[v.Type], v.Value)
	}
	var out []telamon.Attribute
	for _, rule := range rules.sorted {
		for _, text := range e.typedValues(rule, fold(given[rule.id], exactly)) {
			out = append(out, telamon.Attribute{Type: rule.oid.Type, Value: telamon.TypedValue{Type: rule.ValueType, Text: text}})
		}
	}
	return out
}

func (e *evaluation) typedValues(rule *typedRule, values []string) []string {
	path := rule.path
	if rule.Static {
		if len(values) > 0 && !slices.Equal(values, []string{rule.ValueFormat}) {
			e.refuse(path, isStatic)
		}
		return []string{rule.ValueFormat}
	}
	if len(values) < rule.MinCount || len(values) > rule.MaxCount {
		e.refuse(path, itemCount(rule.MinCount, rule.MaxCount))
		return nil
	}
	for _, v := range values {
		if !rule.pattern.MatchString(v) {
			e.refuse(path, noMatch)
			return nil
		}
		if !validValue(rule.ValueType, v) || !withinBound(rule, v) {
			e.refuse(path, isInvalid)
			return nil
		}
	}
	return values
}

// withinBound applies RFC 5280's bounds to attributes that have them by another
// name than their own member.
func withinBound(rule *typedRule, text string) bool {
	m, known := attributeOf(rule.oid.Type)
	return !known || m.valid(text)
}

// subject evaluates subject_dn, its members by name, and puts the attributes into
// the order of subjectMembers.
func (e *evaluation) subject() {
	var texts [len(subjectMembers)]string
	var units []string
	var extra []telamon.Attribute
	for _, step := range subjectSteps {
		switch step.name {
		case memberOU:
			units = e.list(step.path, e.policy.ou, e.request.OrganizationalUnits, exactly, organizationalUnit.valid)
		case memberExtra:
			extra = e.typed(step.path, e.policy.extra, e.request.ExtraAttributes)
		default:
			texts[step.index] = e.text(step.path, e.policy.subject[step.index], e.request.Subject[step.name], subjectMembers[step.index].valid)
		}
	}
	for _, name := range sortedKeys(e.request.Subject) {
		if _, known := subjectMember(name); !known && e.request.Subject[name] != "" {
			e.refuse("subject_dn."+name, isForbidden)
		}
	}
	for i := range subjectMembers {
		member := &subjectMembers[i]
		if text := texts[i]; text != "" {
			e.content.Subject = append(e.content.Subject, member.attribute(text))
		}
		if member.name == afterOrganization {
			for _, unit := range units {
				e.content.Subject = append(e.content.Subject, organizationalUnit.attribute(unit))
			}
		}
	}
	e.content.Subject = append(e.content.Subject, extra...)
}

// subjectSteps are all members of subject_dn in alphabetical order, which is that
// of evaluation.
var subjectSteps = func() []subjectStep {
	steps := []subjectStep{{name: memberOU}, {name: memberExtra}}
	for i := range subjectMembers {
		steps = append(steps, subjectStep{name: subjectMembers[i].name, index: i})
	}
	for i := range steps {
		steps[i].path = "subject_dn." + steps[i].name
	}
	slices.SortFunc(steps, func(a, b subjectStep) int { return strings.Compare(a.name, b.name) })
	return steps
}()

type subjectStep struct {
	name, path string
	index      int // in subjectMembers
}

// sortedKeys returns the keys of a small map in order.
func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}

func (e *evaluation) san() {
	p, req, san := e.policy, &e.request.SAN, &e.content.SAN
	san.Critical = p.model.SAN.Critical
	names := make([]string, len(req.DNSNames))
	for i, text := range req.DNSNames {
		names[i] = canonicalDNS(text)
	}
	for _, text := range e.list("san.dns_names", p.dnsNames, names, canonicalDNS, validDNSName) {
		san.DNSNames = append(san.DNSNames, canonicalDNS(text)) // a static one may be spelt otherwise
	}
	san.Emails = e.list("san.emails", p.emails, req.Emails, exactly, validEmail)
	addresses := make([]string, len(req.IPAddresses))
	for i, text := range req.IPAddresses {
		addresses[i] = canonicalIP(text)
	}
	for _, text := range e.list("san.ip_addresses", p.ips, addresses, canonicalIP, validIP) {
		if ip, err := netip.ParseAddr(text); err == nil {
			san.IPAddresses = append(san.IPAddresses, ip.Unmap())
		}
	}
	san.URIs = e.list("san.uris", p.uris, req.URIs, exactly, validURI)
	san.OtherNames = e.typed("san.other_names", p.otherNames, req.OtherNames)
}

func canonicalDNS(text string) string {
	if name, err := dnsname.Parse(text); err == nil {
		return string(name)
	}
	return text
}

func canonicalIP(text string) string {
	if ip, err := netip.ParseAddr(text); err == nil {
		return ip.Unmap().String()
	}
	return text
}

// flag returns the value of a boolean rule; given tells an explicit false from an
// absent value.
func (e *evaluation) flag(path string, rule Boolean, value, given bool) bool {
	switch rule {
	case StaticTrue:
		if given && !value {
			e.refuse(path, isStatic)
		}
		return true
	case StaticFalse:
		if given && value {
			e.refuse(path, isStatic)
		}
		return false
	}
	return value
}

// keyUsagePaths are the paths of KeyUsageNames.
var keyUsagePaths = func() (paths []string) {
	for _, name := range KeyUsageNames {
		paths = append(paths, "key_usages."+name)
	}
	return paths
}()

func (e *evaluation) keyUsages() {
	for bit, name := range KeyUsageNames {
		value, given := e.request.KeyUsages[name]
		if e.flag(keyUsagePaths[bit], e.policy.model.KeyUsages[name], value, given) {
			e.content.KeyUsage |= x509.KeyUsage(1) << bit
		}
	}
	// Both say for what alone the key is agreed (RFC 5280, Section 4.2.1.3).
	for bit, name := range KeyUsageNames {
		usage := x509.KeyUsage(1) << bit
		if usage&(x509.KeyUsageEncipherOnly|x509.KeyUsageDecipherOnly)&e.content.KeyUsage != 0 && e.content.KeyUsage&x509.KeyUsageKeyAgreement == 0 {
			e.refuse("key_usages."+name, notAllowed)
		}
	}
	for _, name := range sortedKeys(e.request.KeyUsages) {
		if !slices.Contains(KeyUsageNames, name) && e.request.KeyUsages[name] {
			e.refuse("key_usages."+name, isForbidden)
		}
	}
}

func (e *evaluation) extKeyUsages() {
	const path = "extended_key_usages"
	allowed := func(text string) bool { return validOID(text) && e.policy.limits.EKUFamily.Allows(mustOID(text)) }
	e.content.ExtKeyUsage.Critical = e.policy.model.ExtendedKeyUsages.Critical
	for _, text := range e.request.ExtendedKeyUsages {
		if text != "" && validOID(text) && !allowed(text) && !e.policy.ekus.Static {
			e.refuse(path, notAllowed)
			return
		}
	}
	for _, text := range e.list(path, e.policy.ekus, e.request.ExtendedKeyUsages, exactly, allowed) {
		e.content.ExtKeyUsage.OIDs = append(e.content.ExtKeyUsage.OIDs, mustOID(text))
	}
}

// choice returns the chosen algorithm as the policy spells it.
func (e *evaluation) choice(path string, rule ChoiceRule, value string) string {
	i := slices.IndexFunc(rule.List, func(entry string) bool { return strings.EqualFold(entry, value) })
	switch {
	case rule.Presence == Forbidden:
		if value != "" {
			e.refuse(path, isForbidden)
		}
		return ""
	case rule.Presence == Static:
		if value != "" && i < 0 {
			e.refuse(path, isStatic)
		}
		return rule.List[0]
	case value == "" && rule.Presence == Required:
		e.refuse(path, isRequired)
		return ""
	case value == "":
		return rule.List[0]
	case i < 0:
		e.refuse(path, notAllowed)
		return ""
	}
	return rule.List[i]
}
