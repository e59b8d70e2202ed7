package telamon

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// An ID names one object of kind K: a prefix that says the kind, such as "acc_",
// and 26 characters that sort by the time at which the ID was made.
type ID[K kind] string

// kind is a type that only names what an ID belongs to.
type kind interface{ prefix() string }

type (
	accountKind      struct{}
	userKind         struct{}
	serviceKind      struct{}
	subscriptionKind struct{}
	lotKind          struct{}
	identityKind     struct{}
	credentialKind   struct{}
	clientCertKind   struct{}
	issuerKind       struct{}
	seriesKind       struct{}
	hierarchyKind    struct{}
	eventKind        struct{}
	claimKind        struct{}
	approvalKind     struct{}
	verificationKind struct{}
	mailApprovalKind struct{}
	mailKind         struct{}
	jobKind          struct{}
	bulkKind         struct{}
	caseKind         struct{}
	reportKind       struct{}
	crossKind        struct{}
	crlKind          struct{}
	apiTokenKind     struct{}
	keyPairKind      struct{}
	registrationKind struct{}
	mailedLinkKind   struct{}
	sessionKind      struct{}
	invitationKind   struct{}
	passkeyKind      struct{}
	vettingCaseKind  struct{}
	vettingCheckKind struct{}
	evidenceKind     struct{}
	savedViewKind    struct{}
	quoteKind        struct{}
)

// ProcessKind is the kind of IDs that name a running process and what is its own:
// leases, commit markers, changes.
type ProcessKind struct{}

func (accountKind) prefix() string      { return "acc" }
func (userKind) prefix() string         { return "usr" }
func (serviceKind) prefix() string      { return "svc" }
func (subscriptionKind) prefix() string { return "sub" }
func (lotKind) prefix() string          { return "lot" }
func (identityKind) prefix() string     { return "idn" }
func (credentialKind) prefix() string   { return "crd" }
func (clientCertKind) prefix() string   { return "mtl" }
func (issuerKind) prefix() string       { return "iss" }
func (seriesKind) prefix() string       { return "ser" }
func (hierarchyKind) prefix() string    { return "hie" }
func (eventKind) prefix() string        { return "evt" }
func (claimKind) prefix() string        { return "clm" }
func (approvalKind) prefix() string     { return "apv" }
func (verificationKind) prefix() string { return "vrf" }
func (mailApprovalKind) prefix() string { return "map" }
func (mailKind) prefix() string         { return "mai" }
func (jobKind) prefix() string          { return "job" }
func (bulkKind) prefix() string         { return "blk" }
func (caseKind) prefix() string         { return "cas" }
func (reportKind) prefix() string       { return "rpt" }
func (crossKind) prefix() string        { return "crs" }
func (crlKind) prefix() string          { return "crl" }
func (apiTokenKind) prefix() string     { return "tok" }
func (keyPairKind) prefix() string      { return "kpr" }
func (registrationKind) prefix() string { return "reg" }
func (mailedLinkKind) prefix() string   { return "lnk" }
func (sessionKind) prefix() string      { return "ses" }
func (invitationKind) prefix() string   { return "inv" }
func (passkeyKind) prefix() string      { return "pky" }
func (vettingCaseKind) prefix() string  { return "vet" }
func (vettingCheckKind) prefix() string { return "vck" }
func (evidenceKind) prefix() string     { return "evd" }
func (savedViewKind) prefix() string    { return "vew" }
func (quoteKind) prefix() string        { return "quo" }
func (ProcessKind) prefix() string      { return "prc" }

// The IDs of the platform's objects.
type (
	AccountID      = ID[accountKind]
	UserID         = ID[userKind]
	ServiceID      = ID[serviceKind]
	SubscriptionID = ID[subscriptionKind]
	LotID          = ID[lotKind]
	IdentityID     = ID[identityKind]
	CredentialID   = ID[credentialKind]
	ClientCertID   = ID[clientCertKind]
	IssuerID       = ID[issuerKind]
	SeriesID       = ID[seriesKind]
	HierarchyID    = ID[hierarchyKind]
	EventID        = ID[eventKind]
	ClaimID        = ID[claimKind]
	ApprovalID     = ID[approvalKind]
	VerificationID = ID[verificationKind]
	MailApprovalID = ID[mailApprovalKind]
	MailID         = ID[mailKind]
	JobID          = ID[jobKind]
	BulkID         = ID[bulkKind]
	CaseID         = ID[caseKind]
	ReportID       = ID[reportKind]
	CrossID        = ID[crossKind]
	CRLID          = ID[crlKind]
	APITokenID     = ID[apiTokenKind]
	KeyPairID      = ID[keyPairKind]
	RegistrationID = ID[registrationKind]
	MailedLinkID   = ID[mailedLinkKind]
	SessionID      = ID[sessionKind]
	InvitationID   = ID[invitationKind]
	PasskeyID      = ID[passkeyKind]
	VettingCaseID  = ID[vettingCaseKind]
	VettingCheckID = ID[vettingCheckKind]
	EvidenceID     = ID[evidenceKind]
	SavedViewID    = ID[savedViewKind]
	QuoteID        = ID[quoteKind]
)

// idEncoding keeps the order of the bytes that it encodes.
var idEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

const idLength = 26 // base32 of 16 bytes

// NewID returns a new ID of kind K. Its first 48 bits are the time in
// milliseconds and 74 of the others come from the CSPRNG (RFC 9562, Section 5.7).
func NewID[K kind]() ID[K] {
	u, err := uuid.NewV7()
	if err != nil { // crypto/rand does not fail on any supported system
		var b [16]byte
		rand.Read(b[:])
		u = b
	}
	var k K
	return ID[K](k.prefix() + "_" + strings.ToLower(idEncoding.EncodeToString(u[:])))
}

// NewEventID returns a new ID for an audit event.
func NewEventID() EventID { return NewID[eventKind]() }

// EventIDFromBytes returns the event ID with these 16 bytes.
func EventIDFromBytes(b [16]byte) EventID { return IDFromBytes[eventKind](b) }

// CredentialIDFromBytes returns the credential ID with these 16 bytes.
func CredentialIDFromBytes(b [16]byte) CredentialID { return IDFromBytes[credentialKind](b) }

// ClaimIDFromBytes returns the claim ID with these 16 bytes.
func ClaimIDFromBytes(b [16]byte) ClaimID { return IDFromBytes[claimKind](b) }

// MailApprovalIDFromBytes returns the approval ID with these 16 bytes.
func MailApprovalIDFromBytes(b [16]byte) MailApprovalID { return IDFromBytes[mailApprovalKind](b) }

// UserIDFromBytes returns the user ID with these 16 bytes.
func UserIDFromBytes(b [16]byte) UserID { return IDFromBytes[userKind](b) }

// AccountIDFromBytes returns the account ID with these 16 bytes.
func AccountIDFromBytes(b [16]byte) AccountID { return IDFromBytes[accountKind](b) }

// ClientCertIDFromBytes returns the client certificate ID with these 16 bytes.
func ClientCertIDFromBytes(b [16]byte) ClientCertID { return IDFromBytes[clientCertKind](b) }

// APITokenIDFromBytes returns the API token ID with these 16 bytes.
func APITokenIDFromBytes(b [16]byte) APITokenID { return IDFromBytes[apiTokenKind](b) }

// KeyPairIDFromBytes returns the key pair ID with these 16 bytes.
func KeyPairIDFromBytes(b [16]byte) KeyPairID { return IDFromBytes[keyPairKind](b) }

// MailedLinkIDFromBytes returns the ID of a mailed link with these 16 bytes.
func MailedLinkIDFromBytes(b [16]byte) MailedLinkID { return IDFromBytes[mailedLinkKind](b) }

// IssuerIDFromBytes returns the issuer ID with these 16 bytes.
func IssuerIDFromBytes(b [16]byte) IssuerID { return IDFromBytes[issuerKind](b) }

// The makers of IDs of new objects.
var (
	NewAccountID      = NewID[accountKind]
	NewUserID         = NewID[userKind]
	NewServiceID      = NewID[serviceKind]
	NewSubscriptionID = NewID[subscriptionKind]
	NewLotID          = NewID[lotKind]
	NewIdentityID     = NewID[identityKind]
	NewCredentialID   = NewID[credentialKind]
	NewClientCertID   = NewID[clientCertKind]
	NewIssuerID       = NewID[issuerKind]
	NewSeriesID       = NewID[seriesKind]
	NewHierarchyID    = NewID[hierarchyKind]
	NewClaimID        = NewID[claimKind]
	NewVerificationID = NewID[verificationKind]
	NewMailApprovalID = NewID[mailApprovalKind]
	NewMailID         = NewID[mailKind]
	NewJobID          = NewID[jobKind]
	NewBulkID         = NewID[bulkKind]
	NewCaseID         = NewID[caseKind]
	NewReportID       = NewID[reportKind]
	NewApprovalID     = NewID[approvalKind]
	NewCrossID        = NewID[crossKind]
	NewCRLID          = NewID[crlKind]
	NewSavedViewID    = NewID[savedViewKind]
	NewAPITokenID     = NewID[apiTokenKind]
	NewKeyPairID      = NewID[keyPairKind]
	NewRegistrationID = NewID[registrationKind]
	NewMailedLinkID   = NewID[mailedLinkKind]
	NewSessionID      = NewID[sessionKind]
	NewVettingCaseID  = NewID[vettingCaseKind]
	NewVettingCheckID = NewID[vettingCheckKind]
	NewEvidenceID     = NewID[evidenceKind]
	NewInvitationID   = NewID[invitationKind]
	NewPasskeyID      = NewID[passkeyKind]
	NewQuoteID        = NewID[quoteKind]
)

// ParseID reads an ID of kind K. The comparison is exact: IDs are lower case.
func ParseID[K kind](s string) (ID[K], error) {
	var k K
	rest, ok := strings.CutPrefix(s, k.prefix()+"_")
	if !ok || len(rest) != idLength || strings.ToLower(rest) != rest {
		return "", fmt.Errorf("not an id of the form %s_ and %d characters", k.prefix(), idLength)
	}
	if b, err := idEncoding.DecodeString(strings.ToUpper(rest)); err != nil || len(b) != 16 {
		return "", fmt.Errorf("not an id of the form %s_ and %d characters", k.prefix(), idLength)
	}
	return ID[K](s), nil
}

// The ID parsers of objects that are named on a wire or a command line.
var (
	ParseAccountID      = ParseID[accountKind]
	ParseUserID         = ParseID[userKind]
	ParseServiceID      = ParseID[serviceKind]
	ParseSubscriptionID = ParseID[subscriptionKind]
	ParseIdentityID     = ParseID[identityKind]
	ParseCredentialID   = ParseID[credentialKind]
	ParseClientCertID   = ParseID[clientCertKind]
	ParseIssuerID       = ParseID[issuerKind]
	ParseSeriesID       = ParseID[seriesKind]
	ParseEventID        = ParseID[eventKind]
	ParseMailID         = ParseID[mailKind]
	ParseCrossID        = ParseID[crossKind]
	ParseClaimID        = ParseID[claimKind]
	ParseBulkID         = ParseID[bulkKind]
	ParseCaseID         = ParseID[caseKind]
	ParseReportID       = ParseID[reportKind]
	ParseJobID          = ParseID[jobKind]
	ParseApprovalID     = ParseID[approvalKind]
	ParseMailApprovalID = ParseID[mailApprovalKind]
	ParseAPITokenID     = ParseID[apiTokenKind]
	ParseKeyPairID      = ParseID[keyPairKind]
	ParseSessionID      = ParseID[sessionKind]
	ParseInvitationID   = ParseID[invitationKind]
	ParsePasskeyID      = ParseID[passkeyKind]
	ParseVettingCaseID  = ParseID[vettingCaseKind]
	ParseVettingCheckID = ParseID[vettingCheckKind]
	ParseEvidenceID     = ParseID[evidenceKind]
	ParseSavedViewID    = ParseID[savedViewKind]
	ParseLotID          = ParseID[lotKind]
	ParseQuoteID        = ParseID[quoteKind]
)

// String returns the ID as it is stored and printed.
func (id ID[K]) String() string { return string(id) }

// Bytes returns the ID's 16 bytes without its prefix, and false if id was not
// made by NewID or ParseID.
func (id ID[K]) Bytes() ([16]byte, bool) {
	var out [16]byte
	var k K
	rest, ok := strings.CutPrefix(string(id), k.prefix()+"_")
	if !ok {
		return out, false
	}
	b, err := idEncoding.DecodeString(strings.ToUpper(rest))
	if err != nil || len(b) != 16 {
		return out, false
	}
	return [16]byte(b), true
}

// IDFromBytes returns the ID of kind K with these 16 bytes.
func IDFromBytes[K kind](b [16]byte) ID[K] {
	var k K
	return ID[K](k.prefix() + "_" + strings.ToLower(idEncoding.EncodeToString(b[:])))
}
