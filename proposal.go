package telamon

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// A ProposalState is the place of a proposal in its life.
type ProposalState string

// The states. A proposal that was approved is begun while it is carried out; one that
// stays so belongs to a process that died, and whether the act was done must be looked
// up: it is never done twice.
const (
	ProposalPending  ProposalState = "pending"
	ProposalRejected ProposalState = "rejected"
	ProposalExpired  ProposalState = "expired"
	ProposalBegun    ProposalState = "begun"
	ProposalExecuted ProposalState = "executed"
)

// A Proposal is an act of an operator that waits for the approval of another, or had it.
type Proposal struct {
	ID          ApprovalID
	Action      string
	Summary     string
	Request     []byte // exactly what is carried out
	RequestedBy string // see [Actor.StaffName]
	State       ProposalState
	CreatedAt   time.Time
	ExpiresAt   time.Time
	DecidedBy   string    // who approved or rejected it
	DecidedAt   time.Time // zero before
	Reason      string    // why, if somebody said so
	Outcome     string    // "ok", or the code of the fault; empty until it was carried out

	// Account and User are who asked for it in the portal; empty for an operator of the
	// admin socket.
	Account AccountID
	User    UserID
}

// Hash returns the SHA-256 of the request in hexadecimal, by which two people know that
// they speak of the same act.
func (p *Proposal) Hash() string {
	sum := sha256.Sum256(p.Request)
	return hex.EncodeToString(sum[:])
}
