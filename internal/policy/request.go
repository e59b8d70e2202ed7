package policy

// A Request is what a subscriber asks for, as a dialect understood it. An empty
// member is an absent one; a dialect that knows more ways of saying "absent" has
// applied them. The JSON form is how the platform keeps accepted requests, not a
// wire format.
type Request struct {
	NotBefore int64 `json:",omitempty"` // Unix seconds; 0: now
	NotAfter  int64 `json:",omitempty"` // Unix seconds; 0: as long as possible

	// Rekey says that NotAfter is that of another certificate: what is left of its
	// life may be shorter than the policy's minimum. It is not kept, since what was
	// accepted once is a request like any other.
	Rekey bool `json:"-"`

	// MaxSeconds is the longest validity that a rule of the day allows, both ends
	// counted (RFC 5280, Section 4.1.2.5); 0: no rule. Like Rekey it is not kept.
	MaxSeconds int64 `json:"-"`

	Subject             map[string]string `json:",omitempty"` // by subject_dn member, such as "common_name"
	OrganizationalUnits []string          `json:",omitempty"`
	ExtraAttributes     []TypeAndValue    `json:",omitempty"`

	SAN                 SANRequest
	KeyUsages           map[string]bool `json:",omitempty"` // by key_usages member; an explicit false is not absent
	ExtendedKeyUsages   []string        `json:",omitempty"` // dotted OIDs
	SubjectDA           SubjectDARequest
	QualifiedStatements QCRequest
	MSTemplate          MSTemplateRequest
	CustomExtensions    map[string]string `json:",omitempty"` // by dotted OID

	SignatureAlgorithm string `json:",omitempty"` // RSA, RSA-PSS, ECDSA, in any case
	HashAlgorithm      string `json:",omitempty"` // SHA-256, SHA-384, SHA-512, in any case
}

// A TypeAndValue is a dotted OID and a text, which may be empty.
type TypeAndValue struct{ Type, Value string }

// A SANRequest asks for alternative names.
type SANRequest struct {
	DNSNames    []string       `json:",omitempty"`
	Emails      []string       `json:",omitempty"`
	IPAddresses []string       `json:",omitempty"`
	URIs        []string       `json:",omitempty"`
	OtherNames  []TypeAndValue `json:",omitempty"`
}

// A SubjectDARequest asks for subject directory attributes.
type SubjectDARequest struct {
	Gender               string         `json:",omitempty"`
	DateOfBirth          string         `json:",omitempty"` // YYYY-MM-DD; 0001-01-01 is absent
	PlaceOfBirth         string         `json:",omitempty"`
	CountryOfCitizenship []string       `json:",omitempty"`
	CountryOfResidence   []string       `json:",omitempty"`
	ExtraAttributes      []TypeAndValue `json:",omitempty"`
}

// A QCRequest asks for qualified certificate statements; false and 0 are absent.
type QCRequest struct {
	SemanticsIdentifier string            `json:",omitempty"`
	NameAuthorities     []string          `json:",omitempty"`
	Compliance          bool              `json:",omitempty"`
	SSCDCompliance      bool              `json:",omitempty"`
	Type                string            `json:",omitempty"`
	RetentionPeriod     int64             `json:",omitempty"` // years
	PDS                 map[string]string `json:",omitempty"` // language to URL
}

// An MSTemplateRequest asks for the Microsoft template extension.
type MSTemplateRequest struct {
	ID           string `json:",omitempty"`
	MajorVersion *int64 `json:",omitempty"`
	MinorVersion *int64 `json:",omitempty"`
}
