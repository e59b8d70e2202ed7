package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// Limits are what the service's issuer series allows, whatever a policy says.
type Limits struct {
	EKUFamily    telamon.EKUFamily
	KeyType      string    // of the issuer's key, such as "RSA-2048" or "EC-P256"
	IssuerExpiry time.Time // no certificate outlives it; zero: unknown
	Strict       bool      // content of public TLS (BR 7.1.2.7)
}

// A Policy is a checked and compiled Model. It is safe for concurrent use.
type Policy struct {
	model   *Model
	limits  Limits
	version string

	subject      [len(subjectMembers)]textRule
	ou           listRule
	extra        typedRules
	dnsNames     listRule
	emails       listRule
	ips          listRule
	uris         listRule
	otherNames   typedRules
	ekus         listRule
	directory    *directoryRules
	statements   *statementRules
	template     *templateRules
	extensions   []extensionRule // by OID
	extensionIDs map[string]bool
	pdsPatterns  map[string]*regexp.Regexp
}

type directoryRules struct {
	gender, place textRule
	citizenship   listRule
	residence     listRule
	extra         typedRules
}

type statementRules struct {
	identifier, qcType textRule
	authorities        listRule
}

type templateRules struct{ id textRule }

type textRule struct {
	StringRule
	pattern *regexp.Regexp // of OPTIONAL and REQUIRED
}

type listRule struct {
	ListRule
	patterns []*regexp.Regexp
	suffixes []string // lower case
}

type typedRule struct {
	TypedRule
	id      string
	path    string
	oid     telamon.Attribute // its type alone
	pattern *regexp.Regexp
}

// typedRules are the rules of type-and-value members, by OID.
type typedRules struct {
	byID   map[string]*typedRule
	sorted []*typedRule
}

type extensionRule struct {
	ExtensionRule
	oid, path string
	id        telamon.Extension // its ID and criticality alone
	text      textRule
}

// reservedArcs are those under which a custom extension could forge what a CA
// says: certificate extensions, PKIX extensions and access methods, of which
// id-pkix-ocsp-nocheck makes a responder (RFC 6960, Section 4.2.2.2.1), and
// Certificate Transparency.
var reservedArcs = []string{"2.5.29", "1.3.6.1.5.5.7.1", "1.3.6.1.5.5.7.48", "1.3.6.1.4.1.11129.2.4"}

// oidMicrosoftTemplate belongs to ms_extension_template.
const oidMicrosoftTemplate = "1.3.6.1.4.1.311.21.7"

// compiler collects what is wrong with a model.
type compiler struct {
	fields []fault.Field
	limits Limits
}

func (c *compiler) refuse(path, problem string) {
	c.fields = append(c.fields, fault.Field{Path: path, Problem: problem})
}

// Compile checks a policy and makes it ready for use. It reports Invalid with a
// field for everything that is wrong: what cannot be read, what no request could
// meet, what strict clients cannot decode, what the issuer series cannot sign, and
// what could forge CA-like or misleading certificates.
//
// The model is not changed. If the limits hold an issuer's expiry, the compiled
// policy shows it as issuer_expiry unless the model has an earlier one.
func Compile(model *Model, limits Limits) (*Policy, error) {
	m := model.clone()
	if !limits.IssuerExpiry.IsZero() {
		if at := limits.IssuerExpiry.Unix(); m.Validity.IssuerExpiry == 0 || at < m.Validity.IssuerExpiry {
			m.Validity.IssuerExpiry = at
		}
	}
	c := &compiler{limits: limits}
	p := &Policy{model: m, limits: limits}
	c.validity(&m.Validity)
	c.subject(p, &m.SubjectDN)
	c.san(p, &m.SAN)
	c.keyUsages(m)
	c.ekus(p, &m.ExtendedKeyUsages)
	c.directory(p, m.SubjectDA)
	c.statements(p, m.QualifiedStatements)
	c.template(p, m.MSExtensionTemplate)
	c.extensions(p, m.CustomExtensions)
	c.signature(&m.Signature)
	c.publicKey(m)
	c.strictModel(m)
	if len(c.fields) > 0 {
		return nil, &fault.Fault{Kind: fault.Invalid, Code: "policy_invalid", Detail: "The policy cannot be used.", Fields: c.fields}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("version of a policy: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(text, "\n%s %s %t", limits.EKUFamily, limits.KeyType, limits.Strict))
	p.version = hex.EncodeToString(sum[:16])
	return p, nil
}

// Model returns the policy as the API shows it. The caller must not change it.
func (p *Policy) Model() *Model { return p.model }

// Strict reports whether certificates follow the rules of public TLS (BR 7.1.2.7).
func (p *Policy) Strict() bool { return p.limits.Strict }

// Version names what the policy says: two policies of one version accept the same.
func (p *Policy) Version() string { return p.version }

// A KeyRule says what subject keys are accepted and how possession is proved.
type KeyRule struct {
	KeyType        string // RSA or ECDSA
	AllowedLengths []int
	Format         string // PKCS8 or PKCS10
	Signature      string // REQUIRED, OPTIONAL or FORBIDDEN
}

// AllowsLength reports whether keys of this many bits are accepted.
func (r KeyRule) AllowsLength(bits int) bool { return slices.Contains(r.AllowedLengths, bits) }

// PublicKeyRule returns the policy's rule of subject keys.
func (p *Policy) PublicKeyRule() KeyRule {
	k := p.model.PublicKey
	return KeyRule{k.KeyType, k.AllowedLengths, k.KeyFormat, string(p.model.PublicKeySignature)}
}

func (c *compiler) validity(v *Validity) {
	const longest = 100 * 365 * 24 * 3600
	if v.SecondsMin < 0 || v.SecondsMax < 1 || v.SecondsMax > longest || v.SecondsMin > v.SecondsMax {
		c.refuse("validity", "secondsmin and secondsmax must be a range of 1 second to 100 years")
	}
	if v.NotBeforeNegativeSkew < 0 || v.NotBeforePositiveSkew < 0 || v.NotBeforeNegativeSkew > longest || v.NotBeforePositiveSkew > longest {
		c.refuse("validity", "skews must not be negative")
	}
	if v.IssuerExpiry < 0 {
		c.refuse("validity.issuer_expiry", "must not be negative")
	}
}

// text compiles the rule of one text; valid checks a static one.
func (c *compiler) text(path string, rule StringRule, valid func(string) bool) textRule {
	t := textRule{StringRule: rule}
	switch rule.Presence {
	case Static:
		if rule.Format == "" || !valid(rule.Format) {
			c.refuse(path+".format", "a STATIC text must be one that can be encoded")
		}
	case Optional, Required:
		t.pattern = c.pattern(path+".format", rule.Format)
	case Forbidden:
	default:
		c.refuse(path+".presence", fmt.Sprintf("%q is none of OPTIONAL, REQUIRED, FORBIDDEN, STATIC", rule.Presence))
	}
	return t
}

// maxPattern bounds the length of patterns: RE2 takes time and memory in
// proportion.
const maxPattern = 4096

func (c *compiler) pattern(path, text string) *regexp.Regexp {
	if len(text) > maxPattern {
		c.refuse(path, "is too long")
		return nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		c.refuse(path, "is not a regular expression: "+err.Error())
		return nil
	}
	return re
}

// list compiles the rule of a list; valid checks static values, which are folded
// as those of requests are. With suffixes, entries that start with "." or "@" are
// suffixes and not patterns.
func (c *compiler) list(path string, rule ListRule, suffixes bool, same func(string) string, valid func(string) bool) listRule {
	l := listRule{ListRule: rule}
	if rule.MinCount < 0 || rule.MaxCount < rule.MinCount {
		c.refuse(path, "mincount and maxcount are no range")
	}
	for _, entry := range rule.List {
		switch {
		case rule.Static:
			if entry == "" || !valid(entry) {
				c.refuse(path+".list", fmt.Sprintf("the static value %q cannot be encoded", entry))
			}
		case suffixes && (strings.HasPrefix(entry, ".") && len(entry) > 1 || strings.HasPrefix(entry, "@")):
			l.suffixes = append(l.suffixes, strings.ToLower(entry))
		default:
			if re := c.pattern(path+".list", entry); re != nil {
				l.patterns = append(l.patterns, re)
			}
		}
	}
	if rule.Static {
		l.List = fold(rule.List, same)
		if len(l.List) < rule.MinCount {
			c.refuse(path+".list", "has fewer static values than mincount asks for")
		}
	} else if len(rule.List) == 0 && rule.MinCount > 0 {
		c.refuse(path+".list", "admits no value although mincount asks for one")
	}
	return l
}

func (c *compiler) typed(path string, rules TypedRules) typedRules {
	out := typedRules{byID: map[string]*typedRule{}}
	for _, id := range slices.Sorted(maps.Keys(rules)) {
		rule := rules[id]
		at := path + "." + id
		if !validOID(id) {
			c.refuse(at, "is not an object identifier")
			continue
		}
		t := &typedRule{TypedRule: rule, id: id, path: at}
		t.oid.Type = mustOID(id)
		c.valueType(at, rule.ValueType)
		if rule.MinCount < 0 || rule.MaxCount < rule.MinCount {
			c.refuse(at, "mincount and maxcount are no range")
		}
		if rule.Static {
			if rule.ValueFormat == "" || !validValue(rule.ValueType, rule.ValueFormat) || !withinBound(t, rule.ValueFormat) {
				c.refuse(at+".value_format", "a static value must be one that can be encoded")
			}
		} else {
			t.pattern = c.pattern(at+".value_format", rule.ValueFormat)
		}
		out.byID[id] = t
		out.sorted = append(out.sorted, t)
	}
	return out
}

// isText reports whether values of a type say themselves what they are.
func isText(t telamon.ValueType) bool {
	return t == telamon.UTF8String || t == telamon.PrintableString || t == telamon.IA5String
}

func (c *compiler) valueType(path string, t telamon.ValueType) {
	switch t {
	case telamon.IA5String, telamon.PrintableString, telamon.UTF8String, telamon.Integer, telamon.DER, telamon.Nil:
	default:
		c.refuse(path+".value_type", fmt.Sprintf("%q is no value type", t))
	}
}

func (c *compiler) subject(p *Policy, s *SubjectDN) {
	for i := range subjectMembers {
		member := &subjectMembers[i]
		p.subject[i] = c.text("subject_dn."+member.name, s.Strings[member.name], member.valid)
	}
	p.ou = c.list("subject_dn."+memberOU, s.OrganizationalUnits, false, exactly, organizationalUnit.valid)
	p.extra = c.typed("subject_dn."+memberExtra, s.ExtraAttributes)
	for _, rule := range p.extra.sorted {
		if _, known := attributeOf(rule.oid.Type); known && !isText(rule.ValueType) {
			c.refuse(rule.path+".value_type", "this attribute is a text: its bounds and names are checked")
		}
	}
	if c.limits.Strict && (s.OrganizationalUnits.MaxCount > 0 || s.OrganizationalUnits.Static && len(s.OrganizationalUnits.List) > 0) {
		c.refuse("subject_dn."+memberOU, "is not allowed in strict TLS (BR 7.1.2.7.4)")
	}
}

func (c *compiler) san(p *Policy, s *SAN) {
	p.dnsNames = c.list("san.dns_names", s.DNSNames, true, canonicalDNS, validDNSName)
	p.emails = c.list("san.emails", s.Emails, true, exactly, validEmail)
	p.ips = c.list("san.ip_addresses", s.IPAddresses, false, canonicalIP, validIP)
	p.uris = c.list("san.uris", s.URIs, false, exactly, validURI)
	p.otherNames = c.typed("san.other_names", s.OtherNames)
}

func (c *compiler) boolean(path string, b Boolean) {
	switch b {
	case BooleanOptional, StaticTrue, StaticFalse:
	default:
		c.refuse(path, fmt.Sprintf("%q is none of OPTIONAL, STATIC_TRUE, STATIC_FALSE", b))
	}
}

func (c *compiler) keyUsages(m *Model) {
	usages := m.KeyUsages
	for _, name := range slices.Sorted(maps.Keys(usages)) {
		path := "key_usages." + name
		c.boolean(path, usages[name])
		switch {
		case !slices.Contains(KeyUsageNames, name):
			c.refuse(path, "is not a key usage")
		case (name == "key_certificate_sign" || name == "crl_sign") && usages[name] != StaticFalse:
			c.refuse(path, "must be STATIC_FALSE: only CAs have it")
		case m.PublicKey.KeyType == "ECDSA" && (name == "key_encipherment" || name == "data_encipherment") && usages[name] != StaticFalse:
			c.refuse(path, "must be STATIC_FALSE: no ECDSA key does it (RFC 5480, Section 3)")
		case (name == "encipher_only" || name == "decipher_only") && usages[name] == StaticTrue && usages["key_agreement"] == StaticFalse:
			c.refuse(path, "means nothing without key_agreement (RFC 5280, Section 4.2.1.3)")
		}
	}
}

func (c *compiler) ekus(p *Policy, e *ExtendedKeyUsages) {
	const path = "extended_key_usages.ekus"
	p.ekus = c.list(path, e.EKUs, false, exactly, validOID)
	if !e.EKUs.Static {
		return
	}
	for _, id := range e.EKUs.List {
		if validOID(id) && !c.limits.EKUFamily.Allows(mustOID(id)) {
			c.refuse(path+".list", id+" is outside the family "+string(c.limits.EKUFamily)+" of the issuing CA")
		}
	}
}

func (c *compiler) directory(p *Policy, d *SubjectDA) {
	if d == nil {
		return
	}
	const path = "subject_da."
	if d.DateOfBirth != Optional && d.DateOfBirth != Required && d.DateOfBirth != Forbidden {
		c.refuse(path+"date_of_birth", "must be OPTIONAL, REQUIRED or FORBIDDEN")
	}
	p.directory = &directoryRules{
		gender:      c.text(path+"gender", d.Gender, validGender),
		place:       c.text(path+"place_of_birth", d.PlaceOfBirth, validText),
		citizenship: c.list(path+"country_of_citizenship", d.CountryOfCitizenship, false, exactly, validCountry),
		residence:   c.list(path+"country_of_residence", d.CountryOfResidence, false, exactly, validCountry),
		extra:       c.typed(path+memberExtra, d.ExtraAttributes),
	}
}

func (c *compiler) integer(path string, r IntegerRule) {
	switch r.Presence {
	case Optional, Required, Forbidden, Static:
	default:
		c.refuse(path+".presence", fmt.Sprintf("%q is none of OPTIONAL, REQUIRED, FORBIDDEN, STATIC", r.Presence))
	}
	if r.Min > r.Max {
		c.refuse(path, "min and max are no range")
	}
	if r.Presence == Static && r.Min != r.Max {
		c.refuse(path, "a STATIC number needs min and max to be the same")
	}
}

func (c *compiler) statements(p *Policy, q *QualifiedStatements) {
	if q == nil {
		return
	}
	const path = "qualified_statements."
	c.boolean(path+"etsi_qc_compliance", q.ETSIQCCompliance)
	c.boolean(path+"etsi_qc_sscd_compliance", q.ETSIQCSSCD)
	c.integer(path+"etsi_qc_retention_period", q.ETSIRetentionPeriod)
	p.statements = &statementRules{
		identifier:  c.text(path+"semantics.identifier", q.Semantics.Identifier, validOID),
		qcType:      c.text(path+"etsi_qc_type", q.ETSIQCType, validOID),
		authorities: c.list(path+"semantics.name_authorities", q.Semantics.NameAuthorities, false, exactly, validURI),
	}
	p.pdsPatterns = map[string]*regexp.Regexp{}
	pds := q.ETSIPDS
	for _, language := range slices.Sorted(maps.Keys(pds.Policies)) {
		at, text := path+"etsi_qc_pds."+language, pds.Policies[language]
		if !validLanguage(language) {
			c.refuse(at, "is not a language of ISO 639-1")
		}
		if pds.Presence != Static {
			p.pdsPatterns[strings.ToLower(language)] = c.pattern(at, text)
		} else if !validURI(text) {
			c.refuse(at, "a static location must be a URI")
		}
	}
	switch pds.Presence {
	case Static, Required:
		if len(pds.Policies) == 0 {
			c.refuse(path+"etsi_qc_pds", "needs a language")
		}
	case Optional, Forbidden:
	default:
		c.refuse(path+"etsi_qc_pds.presence", fmt.Sprintf("%q is none of OPTIONAL, REQUIRED, FORBIDDEN, STATIC", pds.Presence))
	}
}

func (c *compiler) template(p *Policy, t *MSTemplate) {
	if t == nil {
		return
	}
	const path = "ms_extension_template."
	p.template = &templateRules{id: c.text(path+"template_id", t.TemplateID, validOID)}
	c.integer(path+"major_version", t.MajorVersion)
	c.integer(path+"minor_version", t.MinorVersion)
	if t.MajorVersion.Min < 0 || t.MinorVersion.Min < 0 {
		c.refuse(path+"major_version", "versions must not be negative")
	}
}

func (c *compiler) extensions(p *Policy, rules map[string]ExtensionRule) {
	p.extensionIDs = map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(rules)) {
		rule, path := rules[id], "custom_extensions."+id
		if !validOID(id) {
			c.refuse(path, "is not an object identifier")
			continue
		}
		for _, arc := range reservedArcs {
			if id == arc || strings.HasPrefix(id, arc+".") {
				c.refuse(path, "is reserved: a custom extension must not say what a CA says")
			}
		}
		if id == oidMicrosoftTemplate {
			c.refuse(path, "is reserved: use ms_extension_template")
		}
		c.valueType(path, rule.ValueType)
		e := extensionRule{ExtensionRule: rule, oid: id, path: path}
		e.id = telamon.Extension{ID: mustOID(id), Critical: rule.Critical}
		e.text = c.text(path, StringRule{Presence: rule.Presence, Format: rule.ValueFormat},
			func(text string) bool { return validValue(rule.ValueType, text) })
		p.extensions, p.extensionIDs[id] = append(p.extensions, e), true
	}
}

// hashes are those that every issuer key signs.
var hashes = []string{"SHA-256", "SHA-384", "SHA-512"}

func (c *compiler) signature(s *Signature) {
	algorithms := []string{"ECDSA"}
	if strings.HasPrefix(c.limits.KeyType, "RSA-") {
		algorithms = []string{"RSA", "RSA-PSS"}
	}
	c.choice("signature.algorithm", s.Algorithm, algorithms)
	c.choice("signature.hash_algorithm", s.HashAlgorithm, hashes)
	if s.HashAlgorithm.Presence == Forbidden {
		c.refuse("signature.hash_algorithm.presence", "must not be FORBIDDEN: clients name a hash all the same")
	}
}

func (c *compiler) choice(path string, rule ChoiceRule, known []string) {
	switch rule.Presence {
	case Forbidden:
		return
	case Optional, Required, Static:
	default:
		c.refuse(path+".presence", fmt.Sprintf("%q is none of OPTIONAL, REQUIRED, FORBIDDEN, STATIC", rule.Presence))
	}
	if len(rule.List) == 0 || rule.Presence == Static && len(rule.List) != 1 {
		c.refuse(path+".list", "must not be empty, and has one entry if it is STATIC")
	}
	for _, entry := range rule.List {
		if !slices.Contains(known, entry) {
			c.refuse(path+".list", fmt.Sprintf("%q is not what the issuing CA signs by: %v", entry, known))
		}
	}
}

// subjectKeyLengths are the sizes of keys that can be read, by type.
var subjectKeyLengths = map[string]func(int) bool{
	"RSA":   func(bits int) bool { return bits >= 2048 && bits <= 8192 && bits%8 == 0 },
	"ECDSA": func(bits int) bool { return bits == 256 || bits == 384 || bits == 521 },
}

func (c *compiler) publicKey(m *Model) {
	k := m.PublicKey
	allowed, ok := subjectKeyLengths[k.KeyType]
	if !ok {
		c.refuse("public_key.key_type", fmt.Sprintf("%q is neither RSA nor ECDSA", k.KeyType))
	}
	if len(k.AllowedLengths) == 0 {
		c.refuse("public_key.allowed_lengths", "must not be empty")
	}
	for _, bits := range k.AllowedLengths {
		if ok && !allowed(bits) {
			c.refuse("public_key.allowed_lengths", fmt.Sprintf("%d is no length of an %s key", bits, k.KeyType))
		}
	}
	if k.KeyFormat != "PKCS8" && k.KeyFormat != "PKCS10" {
		c.refuse("public_key.key_format", fmt.Sprintf("%q is neither PKCS8 nor PKCS10", k.KeyFormat))
	}
	switch m.PublicKeySignature {
	case Required, Optional, Forbidden:
	default:
		c.refuse("public_key_signature", fmt.Sprintf("%q is none of REQUIRED, OPTIONAL, FORBIDDEN", m.PublicKeySignature))
	}
	if c.limits.Strict && k.KeyFormat == "PKCS8" && m.PublicKeySignature != Required {
		c.refuse("public_key_signature", "strict TLS demands proof of possession")
	}
}
