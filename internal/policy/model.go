// Package policy is the validation policy engine: the model of what a credential
// may ask for, in the JSON of the Atlas API, and its evaluation over a request. It
// is pure: no I/O, no accounts, no keys. A policy is compiled once per version,
// and what could forge CA-like or misleading certificates is refused then.
//
// It trusts the operator who wrote a policy for what a subject may say, and
// nobody for what a certificate must never hold.
package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// A Presence says whether a value may or must be given.
type Presence string

// The presences.
const (
	Optional  Presence = "OPTIONAL"
	Required  Presence = "REQUIRED"
	Forbidden Presence = "FORBIDDEN"
	Static    Presence = "STATIC"
)

// A Boolean says what a flag may be.
type Boolean string

// The boolean policies.
const (
	BooleanOptional Boolean = "OPTIONAL"
	StaticTrue      Boolean = "STATIC_TRUE"
	StaticFalse     Boolean = "STATIC_FALSE"
)

// A StringRule is the rule of one text: Format is a regular expression (RE2,
// searched) if it is OPTIONAL or REQUIRED, and the text itself if it is STATIC.
type StringRule struct {
	Presence    Presence `json:"presence"`
	Format      string   `json:"format"`
	IgnoreEmpty bool     `json:"ignore_empty,omitempty"`
}

// A ListRule is the rule of a list of texts. If it is static, List holds the
// values; otherwise each value must match one of its patterns or suffixes.
type ListRule struct {
	Static      bool     `json:"static"`
	List        []string `json:"list"`
	MinCount    int      `json:"mincount"`
	MaxCount    int      `json:"maxcount"`
	IgnoreEmpty bool     `json:"ignore_empty,omitempty"`
}

// A TypedRule is the rule of the values of one OID.
type TypedRule struct {
	Static      bool              `json:"static"`
	ValueType   telamon.ValueType `json:"value_type"`
	ValueFormat string            `json:"value_format"`
	MinCount    int               `json:"mincount"`
	MaxCount    int               `json:"maxcount"`
}

// A TypedRules maps dotted OIDs to rules. An OID that is not in it is forbidden.
type TypedRules map[string]TypedRule

// An IntegerRule is the rule of a number.
type IntegerRule struct {
	Presence Presence `json:"presence"`
	Min      int64    `json:"min"`
	Max      int64    `json:"max"`
}

// A ChoiceRule is the rule of an algorithm.
type ChoiceRule struct {
	Presence Presence `json:"presence"`
	List     []string `json:"list"`
}

// A Model is a validation policy as the API shows it. It is data: Compile checks it.
type Model struct {
	Validity            Validity                 `json:"validity"`
	SubjectDN           SubjectDN                `json:"subject_dn"`
	SAN                 SAN                      `json:"san"`
	KeyUsages           map[string]Boolean       `json:"key_usages"`
	ExtendedKeyUsages   ExtendedKeyUsages        `json:"extended_key_usages"`
	SubjectDA           *SubjectDA               `json:"subject_da,omitempty"`
	QualifiedStatements *QualifiedStatements     `json:"qualified_statements,omitempty"`
	MSExtensionTemplate *MSTemplate              `json:"ms_extension_template,omitempty"`
	CustomExtensions    map[string]ExtensionRule `json:"custom_extensions,omitempty"`
	Signature           Signature                `json:"signature"`
	PublicKey           PublicKey                `json:"public_key"`
	PublicKeySignature  Presence                 `json:"public_key_signature"`
}

// Validity bounds the validity of certificates, in seconds.
type Validity struct {
	SecondsMin            int64 `json:"secondsmin"`
	SecondsMax            int64 `json:"secondsmax"`
	NotBeforeNegativeSkew int64 `json:"not_before_negative_skew"`
	NotBeforePositiveSkew int64 `json:"not_before_positive_skew"`
	IssuerExpiry          int64 `json:"issuer_expiry"` // Unix seconds; 0: unknown
}

// SubjectDN holds the rules of subject_dn members.
type SubjectDN struct {
	Strings             map[string]StringRule // by member; one that is absent is FORBIDDEN
	OrganizationalUnits ListRule
	ExtraAttributes     TypedRules
}

// SAN holds the rules of alternative names.
type SAN struct {
	Critical    bool       `json:"critical"`
	DNSNames    ListRule   `json:"dns_names"`
	Emails      ListRule   `json:"emails"`
	IPAddresses ListRule   `json:"ip_addresses"`
	URIs        ListRule   `json:"uris"`
	OtherNames  TypedRules `json:"other_names"`
}

// ExtendedKeyUsages holds the rule of extended key usages.
type ExtendedKeyUsages struct {
	Critical bool     `json:"critical"`
	EKUs     ListRule `json:"ekus"`
}

// SubjectDA holds the rules of subject directory attributes.
type SubjectDA struct {
	Gender               StringRule `json:"gender"`
	DateOfBirth          Presence   `json:"date_of_birth"`
	PlaceOfBirth         StringRule `json:"place_of_birth"`
	CountryOfCitizenship ListRule   `json:"country_of_citizenship"`
	CountryOfResidence   ListRule   `json:"country_of_residence"`
	ExtraAttributes      TypedRules `json:"extra_attributes"`
}

// QualifiedStatements holds the rules of qualified certificate statements.
type QualifiedStatements struct {
	Semantics           Semantics   `json:"semantics"`
	ETSIQCCompliance    Boolean     `json:"etsi_qc_compliance"`
	ETSIQCSSCD          Boolean     `json:"etsi_qc_sscd_compliance"`
	ETSIQCType          StringRule  `json:"etsi_qc_type"`
	ETSIRetentionPeriod IntegerRule `json:"etsi_qc_retention_period"`
	ETSIPDS             PDSRule     `json:"etsi_qc_pds"`
}

// Semantics holds the rules of the semantics statement.
type Semantics struct {
	Identifier      StringRule `json:"identifier"`
	NameAuthorities ListRule   `json:"name_authorities"`
}

// A PDSRule maps languages to the patterns of URLs, or to the URLs if it is STATIC.
type PDSRule struct {
	Presence Presence          `json:"presence"`
	Policies map[string]string `json:"policies"`
}

// MSTemplate holds the rules of the Microsoft template extension.
type MSTemplate struct {
	Critical     bool        `json:"critical"`
	TemplateID   StringRule  `json:"template_id"`
	MajorVersion IntegerRule `json:"major_version"`
	MinorVersion IntegerRule `json:"minor_version"`
}

// An ExtensionRule is the rule of one custom extension.
type ExtensionRule struct {
	Presence    Presence          `json:"presence"`
	Critical    bool              `json:"critical"`
	ValueType   telamon.ValueType `json:"value_type"`
	ValueFormat string            `json:"value_format"`
}

// Signature holds the rules of how the issuer signs.
type Signature struct {
	Algorithm     ChoiceRule `json:"algorithm"`
	HashAlgorithm ChoiceRule `json:"hash_algorithm"`
}

// PublicKey says what subject keys are accepted.
type PublicKey struct {
	KeyType        string `json:"key_type"` // RSA or ECDSA
	AllowedLengths []int  `json:"allowed_lengths"`
	KeyFormat      string `json:"key_format"` // PKCS8 or PKCS10
}

// KeyUsageNames are the members of key_usages, in the order of their bits
// (RFC 5280, Section 4.2.1.3).
var KeyUsageNames = []string{
	"digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
	"key_certificate_sign", "crl_sign", "encipher_only", "decipher_only",
}

// ParseModel reads a policy's JSON. It reports Invalid with a field for what
// cannot be read or is not known. Members of subject_dn and key_usages that are
// left out are FORBIDDEN and STATIC_FALSE; what the values mean together is
// checked by Compile.
func ParseModel(text []byte) (*Model, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var m Model
	if err := decoder.Decode(&m); err != nil {
		return nil, unreadable(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, unreadable(errors.New("more than one JSON value"))
	}
	m.complete()
	return &m, nil
}

func unreadable(err error) error {
	path := "policy"
	if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && typed.Field != "" {
		path = typed.Field
	}
	return &fault.Fault{
		Kind: fault.Invalid, Code: "policy_unreadable", Detail: "The policy cannot be read.",
		Fields: []fault.Field{{Path: path, Problem: strings.TrimPrefix(err.Error(), "json: ")}}, Cause: err,
	}
}

// complete gives every member that must be shown a value that is never null.
func (m *Model) complete() {
	if m.SubjectDN.Strings == nil {
		m.SubjectDN.Strings = map[string]StringRule{}
	}
	for _, member := range subjectMembers {
		if _, ok := m.SubjectDN.Strings[member.name]; !ok {
			m.SubjectDN.Strings[member.name] = StringRule{Presence: Forbidden}
		}
	}
	if m.KeyUsages == nil {
		m.KeyUsages = map[string]Boolean{}
	}
	for _, name := range KeyUsageNames {
		if _, ok := m.KeyUsages[name]; !ok {
			m.KeyUsages[name] = StaticFalse
		}
	}
	lists := []*ListRule{
		&m.SubjectDN.OrganizationalUnits, &m.SAN.DNSNames, &m.SAN.Emails, &m.SAN.IPAddresses, &m.SAN.URIs, &m.ExtendedKeyUsages.EKUs,
	}
	maps := []*TypedRules{&m.SubjectDN.ExtraAttributes, &m.SAN.OtherNames}
	if da := m.SubjectDA; da != nil {
		lists = append(lists, &da.CountryOfCitizenship, &da.CountryOfResidence)
		maps = append(maps, &da.ExtraAttributes)
	}
	if qc := m.QualifiedStatements; qc != nil {
		lists = append(lists, &qc.Semantics.NameAuthorities)
		if qc.ETSIPDS.Policies == nil {
			qc.ETSIPDS.Policies = map[string]string{}
		}
	}
	for _, l := range lists {
		if l.List == nil {
			l.List = []string{}
		}
	}
	for _, rules := range maps {
		if *rules == nil {
			*rules = TypedRules{}
		}
	}
	for _, c := range []*ChoiceRule{&m.Signature.Algorithm, &m.Signature.HashAlgorithm} {
		if c.List == nil {
			c.List = []string{}
		}
	}
	if m.PublicKey.AllowedLengths == nil {
		m.PublicKey.AllowedLengths = []int{}
	}
}

// clone returns a deep copy.
func (m *Model) clone() *Model {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // a Model holds nothing that JSON cannot
	}
	c, err := ParseModel(text)
	if err != nil {
		panic(err)
	}
	return c
}

const (
	memberOU    = "organizational_unit"
	memberExtra = "extra_attributes"
)

// MarshalJSON writes every member of subject_dn, and never null.
func (s SubjectDN) MarshalJSON() ([]byte, error) {
	all := make(map[string]any, len(s.Strings)+2)
	for name, rule := range s.Strings {
		all[name] = rule
	}
	all[memberOU], all[memberExtra] = s.OrganizationalUnits, s.ExtraAttributes
	return json.Marshal(all)
}

// UnmarshalJSON refuses members that are not known.
func (s *SubjectDN) UnmarshalJSON(text []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	s.Strings = map[string]StringRule{}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		var err error
		switch _, known := subjectMember(name); {
		case name == memberOU:
			err = strict(raw[name], &s.OrganizationalUnits)
		case name == memberExtra:
			err = strict(raw[name], &s.ExtraAttributes)
		case known:
			var rule StringRule
			err = strict(raw[name], &rule)
			s.Strings[name] = rule
		default:
			err = errors.New("unknown member")
		}
		if err != nil {
			return fmt.Errorf("subject_dn.%s: %w", name, err)
		}
	}
	return nil
}

// strict decodes one JSON value without unknown members.
func strict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// placeholder marks where the text of an identity goes in a template.
const (
	placeholderOpen  = "{{identity."
	placeholderClose = "}}"
)

// Bind returns the policy with the data of an identity in the place of each
// {{identity.NAME}} that is a whole static text. It reports Invalid with a field
// for each member whose data the identity has not.
func (m *Model) Bind(identity map[string]string) (*Model, error) {
	b := binder{identity: identity}
	bound := m.clone()
	for _, name := range slices.Sorted(maps.Keys(bound.SubjectDN.Strings)) {
		rule := bound.SubjectDN.Strings[name]
		if rule.Presence == Static {
			rule.Format = b.text("subject_dn."+name, rule.Format)
			bound.SubjectDN.Strings[name] = rule
		}
	}
	b.list("subject_dn."+memberOU, &bound.SubjectDN.OrganizationalUnits)
	b.typed("subject_dn."+memberExtra, bound.SubjectDN.ExtraAttributes)
	b.list("san.dns_names", &bound.SAN.DNSNames)
	b.list("san.emails", &bound.SAN.Emails)
	b.list("san.uris", &bound.SAN.URIs)
	b.typed("san.other_names", bound.SAN.OtherNames)
	for _, id := range slices.Sorted(maps.Keys(bound.CustomExtensions)) {
		rule := bound.CustomExtensions[id]
		if rule.Presence == Static {
			rule.ValueFormat = b.text("custom_extensions."+id, rule.ValueFormat)
			bound.CustomExtensions[id] = rule
		}
	}
	if len(b.missing) > 0 {
		return nil, &fault.Fault{
			Kind: fault.Invalid, Code: "identity_incomplete", Detail: "The identity lacks data that the policy needs.", Fields: b.missing,
		}
	}
	return bound, nil
}

// binder replaces placeholders and notes those without data.
type binder struct {
	identity map[string]string
	missing  []fault.Field
}

func (b *binder) text(path, format string) string {
	inner, ok := strings.CutPrefix(format, placeholderOpen)
	if !ok {
		return format
	}
	name, ok := strings.CutSuffix(inner, placeholderClose)
	if !ok {
		return format
	}
	value := b.identity[name]
	if value == "" {
		b.missing = append(b.missing, fault.Field{Path: path, Problem: "needs the identity's " + name})
	}
	return value
}

func (b *binder) list(path string, rule *ListRule) {
	if rule.Static {
		for i := range rule.List {
			rule.List[i] = b.text(path, rule.List[i])
		}
	}
}

func (b *binder) typed(path string, rules TypedRules) {
	for _, id := range slices.Sorted(maps.Keys(rules)) {
		if rule := rules[id]; rule.Static {
			rule.ValueFormat = b.text(path+"."+id, rule.ValueFormat)
			rules[id] = rule
		}
	}
}
