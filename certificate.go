package telamon

import "time"

// CertificateStatus is the state of an issued certificate. An expired one keeps
// the state that it had.
type CertificateStatus string

// The states.
const (
	StatusIssued  CertificateStatus = "issued"
	StatusRevoked CertificateStatus = "revoked"
)

// A RevocationReason is a reason code of RFC 5280, Section 5.3.1, by its name there.
type RevocationReason string

// The reasons that the platform uses. Unspecified is written to a CRL by leaving
// the reason out.
const (
	ReasonUnspecified          RevocationReason = "unspecified"
	ReasonKeyCompromise        RevocationReason = "keyCompromise"
	ReasonAffiliationChanged   RevocationReason = "affiliationChanged"
	ReasonSuperseded           RevocationReason = "superseded"
	ReasonCessationOfOperation RevocationReason = "cessationOfOperation"
	ReasonPrivilegeWithdrawn   RevocationReason = "privilegeWithdrawn"
)

// RevocationReasons are all reasons, in the order of their codes.
var RevocationReasons = []RevocationReason{
	ReasonUnspecified, ReasonKeyCompromise, ReasonAffiliationChanged, ReasonSuperseded,
	ReasonCessationOfOperation, ReasonPrivilegeWithdrawn,
}

// reasonCodes are the codes of RFC 5280, Section 5.3.1.
var reasonCodes = map[RevocationReason]int{
	ReasonUnspecified: 0, ReasonKeyCompromise: 1, ReasonAffiliationChanged: 3, ReasonSuperseded: 4,
	ReasonCessationOfOperation: 5, ReasonPrivilegeWithdrawn: 9,
}

// Code returns the CRLReason of CRLs and OCSP answers. It is 0, which both leave
// out, for unspecified and for a reason that is not known.
func (r RevocationReason) Code() int { return reasonCodes[r] }

// A Certificate is the ledger entry of one issued certificate.
type Certificate struct {
	Serial        Serial
	Pair          PairID
	Credential    CredentialID
	Issuer        IssuerID
	PolicyVersion string // of the effective policy that accepted the request
	CRLShard      int
	SPKIHash      [32]byte  // SHA-256 of the DER SubjectPublicKeyInfo
	NotBefore     time.Time // whole seconds
	NotAfter      time.Time // whole seconds
	AcceptedAt    time.Time // when the request was accepted, milliseconds
	RekeyOf       *Serial   // the certificate whose content this one copied
	Status        CertificateStatus
	UpdatedAt     time.Time // of the last change of Status
	Revocation    *Revocation
}

// A Requester is the user who requested a certificate in the portal.
type Requester struct {
	User      UserID `json:"user"`
	Name      string `json:"name"`      // of the user, as it was then
	Agreement string `json:"agreement"` // the version of the Subscriber Agreement that they accepted for it
}

// A SavedView is a filter of the list of certificates to which a user gave a name.
type SavedView struct {
	ID        SavedViewID
	User      UserID
	Name      string // of each user once
	Query     string // of the list's address, such as "status=expiring"
	CreatedAt time.Time
}

// A Revocation says when and why a certificate was revoked.
type Revocation struct {
	At            time.Time // by our clock
	Reason        RevocationReason
	CompromisedAt time.Time // when the key was compromised, zero if not told
	Attested      bool      // the compromised key itself signed an attestation
}

// FirstCompromise is the earliest time of a compromise that is told to anybody: before
// it there is no certificate that Telamon signed. The UTCTime of a CRL has no years
// before 1950 (RFC 5280, Section 5.1.2.6).
var FirstCompromise = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// Date returns the revocation date of CRLs and OCSP answers: when the key was
// compromised, if that is told and came before the revocation, and when the
// certificate was revoked otherwise. So signatures made in between are not trusted
// (BR 7.2.2; RFC 5280, Section 5.3.2 has no better place for it in OCSP). A compromise
// before [FirstCompromise] counts as one of then.
func (r *Revocation) Date() time.Time {
	if r.Reason != ReasonKeyCompromise || r.CompromisedAt.IsZero() || !r.CompromisedAt.Before(r.At) {
		return r.At
	}
	if r.CompromisedAt.Before(FirstCompromise) {
		return FirstCompromise
	}
	return r.CompromisedAt
}

// A SignedTBS is what a key was asked to sign, or has signed, as its journal and the
// ledger are compared by.
type SignedTBS struct {
	Serial Serial
	Hash   [32]byte // SHA-256 of the tbsCertificate
}
