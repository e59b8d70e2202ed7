package telamon

import (
	"fmt"
	"time"
)

// IdentityType says what an identity is for, and so what it consists of; package iam has
// the table.
type IdentityType string

// The types.
const (
	IdentityTLSOV   IdentityType = "tls_ov"  // an organization in certificates of servers
	IdentityTLSDV   IdentityType = "tls_dv"  // names of servers alone
	IdentityClient  IdentityType = "client"  // an organization whose clients authenticate
	IdentitySigning IdentityType = "signing" // an organization that signs documents or mail
)

// identityReminders are how many days before its end people are told of an identity.
var identityReminders = []int{7, 14, 30, 60}

// IdentityReminder returns the step of the reminders of an identity's end that has come at
// an instant: 60, 30, 14 or 7 days; 0 if none has, or there is no end.
func IdentityReminder(end, at time.Time) int {
	for _, n := range identityReminders {
		if !end.IsZero() && end.Sub(at) <= time.Duration(n)*24*time.Hour {
			return n
		}
	}
	return 0
}

// A Contact is somebody at a customer of a service provider.
type Contact struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Phone string `json:"phone,omitempty"`
}

// A VettingState is the place of a case in the work of the vetting agents.
type VettingState string

// The states.
const (
	VettingQueued    VettingState = "queued"    // nobody has finished the checks
	VettingProcessed VettingState = "processed" // it waits for a second agent
	VettingApproved  VettingState = "approved"
	VettingRejected  VettingState = "rejected"
	VettingClosed    VettingState = "closed" // the identity was withdrawn meanwhile
)

// IsOpen reports whether somebody has yet to decide.
func (s VettingState) IsOpen() bool { return s == VettingQueued || s == VettingProcessed }

// A VettingCase is one vetting of one identity: the first one, or a later one, by which it
// stays active or becomes so again.
type VettingCase struct {
	ID          VettingCaseID
	Number      int64 // counts the platform's cases
	Account     AccountID
	Identity    IdentityID
	State       VettingState
	Again       bool // the identity was vetted before
	OpenedAt    time.Time
	OpenedBy    string    // as [Actor.Subject] names actors
	ProcessedAt time.Time // zero: not yet
	ProcessedBy string
	EndedAt     time.Time // zero while it is open
	EndedBy     string
	Reason      string // of the decision
}

// Reference is what people call the case, in the subjects of mails too.
func (c *VettingCase) Reference() string {
	return fmt.Sprintf("VET-%d-%06d", c.OpenedAt.UTC().Year(), c.Number)
}

// A CheckKind is what a vetting agent checks.
type CheckKind string

// The kinds: each must be done for a case.
const (
	CheckExistence CheckKind = "existence" // that the organization legally exists
	CheckAddress   CheckKind = "address"   // its name and address
	CheckContact   CheckKind = "contact"   // that it knows of the request
)

// CheckKinds returns all of them, in the order in which they are done.
func CheckKinds() []CheckKind { return []CheckKind{CheckExistence, CheckAddress, CheckContact} }

// A ContactMethod is how an organization was asked whether it knows of the request.
type ContactMethod string

// The methods.
const (
	ContactListedNumber  ContactMethod = "listed_number"       // a call to its number in an independent source
	ContactLetter        ContactMethod = "letter"              // a password by post to the registered address
	ContactAttestation   ContactMethod = "attestation"         // of a lawyer, notary or accountant
	ContactSigned        ContactMethod = "signed_confirmation" // with a publicly trusted certificate
	ContactTelephoneBill ContactMethod = "telephone_bill"      // a recent one
)

// ContactMethods returns all of them.
func ContactMethods() []ContactMethod {
	return []ContactMethod{ContactListedNumber, ContactLetter, ContactAttestation, ContactSigned, ContactTelephoneBill}
}

// A VettingCheck is what an agent noted of one check. It is never changed; a wrong one is
// struck.
type VettingCheck struct {
	ID     VettingCheckID
	Case   VettingCaseID
	Kind   CheckKind
	Source string // where it was looked up
	// Independent reports whether what the check rests on, the contact data too, came from
	// that source and not from the applicant. What did not counts for nothing.
	Independent bool
	Method      ContactMethod // of a contact
	Contact     string        // the number or address that was used for it
	Evidence    EvidenceID    // empty: none
	Note        string
	Agent       string // as Actor.Subject names actors
	AgentName   string // as it was then
	At          time.Time
	StruckAt    time.Time // zero: it stands
	StruckBy    string
}

// Counts reports whether the check is one by which a case can be decided.
func (c *VettingCheck) Counts() bool { return c.StruckAt.IsZero() && c.Independent }

// VettingEvidence is a file that an agent kept for a case.
type VettingEvidence struct {
	ID        EvidenceID
	Case      VettingCaseID
	Name      string // of the file
	MediaType string // found by its content
	Size      int64  // octets
	SHA256    [32]byte
	Agent     string
	AgentName string
	At        time.Time
}
