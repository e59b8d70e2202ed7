package telamon

import "time"

// A ClaimKind says what a claim is about.
type ClaimKind string

// The kinds of claims.
const (
	ClaimDomain ClaimKind = "domain"
	ClaimIP     ClaimKind = "ip"
)

// A ClaimStatus is the state of a claim. A claim whose verification has expired is
// pending again.
type ClaimStatus string

// The states.
const (
	ClaimPending  ClaimStatus = "pending"
	ClaimVerified ClaimStatus = "verified"
)

// A Claim is an identity's claim to control a domain or an IP address. Names under
// it can be certified while it is verified. It is unique for its identity, kind and
// name.
type Claim struct {
	ID        ClaimID
	Account   AccountID
	Identity  IdentityID
	Kind      ClaimKind
	Name      string // a domain of A-labels without a final dot, or an IP address in its usual form
	CreatedAt time.Time

	// The token is the random part of the value that the applicant publishes: 32
	// hexadecimal digits. Round counts the tokens that the claim has had.
	Token    string
	TokenAt  time.Time // when it was made
	AssertBy time.Time // the last moment at which it can be used, exclusive
	Round    int64
	OldToken string // the token before it; "" if there was none
	// Open reports that the token has not been used to verify the claim yet.
	Open bool
	// CheckUntil is when a check that runs is over at the latest; zero: none runs.
	CheckUntil time.Time

	Status ClaimStatus
	// Of the last verification; zero if the claim was never verified.
	Verification VerificationID
	VerifiedAt   time.Time
	Method       Method
	ADN          string
	Coverage     Coverage
	ExpiresAt    time.Time // the end of the verified period, exclusive
}

// A Method is a way to show control of a domain or an IP address, by our names.
type Method string

// The methods. Their rules are those of the TLS Baseline Requirements.
const (
	MethodDNS      Method = "dns"         // a TXT record with a token: 3.2.2.4.7
	MethodPersist  Method = "dns-persist" // a standing TXT record: 3.2.2.4.22
	MethodHTTP     Method = "http"        // a file: 3.2.2.4.18, of an IP address 3.2.2.5.1
	MethodEmail    Method = "email"       // mail to a constructed address: 3.2.2.4.4
	MethodEmailCAA Method = "email-caa"   // mail to a contact of a CAA record: 3.2.2.4.13
	MethodEmailTXT Method = "email-txt"   // mail to a contact of a TXT record: 3.2.2.4.14
)

var methodRules = map[Method][2]string{
	MethodDNS:      {"3.2.2.4.7", "ca-tbr-7"},
	MethodPersist:  {"3.2.2.4.22", "ca-tbr-22"},
	MethodHTTP:     {"3.2.2.4.18", "ca-tbr-18"},
	MethodEmail:    {"3.2.2.4.4", "ca-tbr-4"},
	MethodEmailCAA: {"3.2.2.4.13", "ca-tbr-13"},
	MethodEmailTXT: {"3.2.2.4.14", "ca-tbr-14"},
}

// Rule returns the section of the TLS Baseline Requirements that describes the
// method for a claim of the kind, "" for an unknown method.
func (m Method) Rule(kind ClaimKind) string {
	if kind == ClaimIP && m == MethodHTTP {
		return "3.2.2.5.1"
	}
	return methodRules[m][0]
}

// CAALabel returns the method's label in the CAA parameter validationmethods (RFC
// 8657, Section 4; BR 4.2.2.1.2), "" for an unknown method.
func (m Method) CAALabel() string { return methodRules[m][1] }

// IsEmail reports whether the method is one of those that send mail.
func (m Method) IsEmail() bool {
	return m == MethodEmail || m == MethodEmailCAA || m == MethodEmailTXT
}

// A Coverage says which names a verification is good for.
type Coverage string

// The coverages.
const (
	// CoversTree: the claimed name, all names below it, and wildcards of either.
	CoversTree Coverage = "tree"
	// CoversExact: the claimed name alone (BR 3.2.2.4.18; evidence through a CNAME of
	// the claimed name itself).
	CoversExact Coverage = "exact"
)

// A Verification is the record of one successful validation. It is never changed,
// and outlives its claim: certificates refer to it.
type Verification struct {
	ID       VerificationID
	Claim    ClaimID
	Account  AccountID
	Identity IdentityID
	Kind     ClaimKind
	Name     string // what was claimed
	ADN      string // the name at which control was shown, which may be another one
	Method   Method
	Coverage Coverage
	At       time.Time
	TokenAt  time.Time // when the token that was found was made
	Evidence Evidence
}

// Evidence is what a validation saw. It holds no secret and nothing that the other
// side chose but names, addresses and counts.
type Evidence struct {
	URL       string     `json:"url,omitempty"`     // of a file
	Addresses []string   `json:"address,omitempty"` // that the file was fetched from
	Mailbox   string     `json:"mailbox,omitempty"` // that the mail went to
	Through   []string   `json:"through,omitempty"` // the CNAMEs that were followed, in order
	Records   int        `json:"records,omitempty"` // how many TXT records were there
	DNSSEC    DNSSEC     `json:"dnssec,omitempty"`
	Views     []View     `json:"views,omitempty"` // what each remote network perspective saw
	Quorum    string     `json:"quorum,omitempty"`
	Corrob    bool       `json:"corroborated,omitempty"` // the dated minimum and quorum were reached
	Until     *time.Time `json:"until,omitempty"`        // persistUntil of a standing record
}

// DNSSEC says what the resolver could prove of an answer.
type DNSSEC string

// What can be said of an answer.
const (
	DNSSECSecure   DNSSEC = "secure"   // signed, and the signatures are good
	DNSSECInsecure DNSSEC = "insecure" // proven to be unsigned
	DNSSECOff      DNSSEC = "off"      // the resolver does not validate
)

// A View is what one remote network perspective saw (BR 3.2.2.9).
type View struct {
	Perspective string `json:"perspective"` // its name
	Region      string `json:"region"`      // of its regional Internet registry, such as "RIPE NCC"
	Agrees      bool   `json:"agrees"`
	Problem     string `json:"problem,omitempty"` // why it does not
}

// A CAACheck is the outcome of looking for CAA records for one name at issuance.
type CAACheck struct {
	Name    string    `json:"name"`
	Found   string    `json:"found,omitempty"` // the domain whose records decided; "" if there are none
	Allowed bool      `json:"allowed"`
	Problem string    `json:"problem,omitempty"` // why not, or why a failed lookup was allowed
	DNSSEC  DNSSEC    `json:"dnssec,omitempty"`
	At      time.Time `json:"at"`
	GoodTo  time.Time `json:"good_to"` // exclusive: the records' TTL or 8 hours, whichever is longer (BR 4.2.2.1)
	Views   []View    `json:"views,omitempty"`
	Quorum  string    `json:"quorum,omitempty"`
	// Methods are the labels that validationmethods admits; nil is all.
	Methods []string `json:"methods,omitempty"`
}

// A ClaimLogStatus says what a line of a claim's log tells of.
type ClaimLogStatus string

// The statuses, as the Atlas API spells them.
const (
	LogSuccess ClaimLogStatus = "SUCCESS"
	LogError   ClaimLogStatus = "ERROR"
	LogInfo    ClaimLogStatus = "INFO"
)

// A ClaimLogEntry is one line of a claim's log.
type ClaimLogEntry struct {
	At          time.Time
	Status      ClaimLogStatus
	Method      Method
	Description string
	Evidence    Evidence
}

// NameEvidence says by which verification a name of a certificate was covered, and
// what CAA said.
type NameEvidence struct {
	Name         string         `json:"name"`
	Verification VerificationID `json:"verification,omitempty"`
	CAA          *CAACheck      `json:"caa,omitempty"`
}

// An Approval is a mail that asks for approval of a claim. The value in its link is
// not stored.
type Approval struct {
	ID        MailApprovalID
	Claim     ClaimID
	Account   AccountID
	Identity  IdentityID
	Name      string // what is claimed
	Round     int64  // of the claim's token for which it was sent
	Address   string
	ADN       string
	Method    Method
	Through   []string // the CNAMEs by which the address was found
	Nonce     []byte   // 16 random octets, from which the link's value is derived
	CreatedAt time.Time
	ExpiresAt time.Time // exclusive
	UsedAt    time.Time // zero: not yet
}
