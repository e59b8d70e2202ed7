package telamon

import (
	"net/netip"
	"time"
)

// A RevocationCase is a report or a finding by which certificates must be revoked within a
// time (BR 4.9.1).
type RevocationCase struct {
	ID         CaseID
	Category   string // of the dated rules
	Summary    string
	Reporter   string   // who is told what came of it; "" for a finding of our own
	Serials    []Serial // the certificates that it is about, if they are known
	ReportedAt time.Time
	DueAt      time.Time
	ToldAt     time.Time // when the operators were told that it is overdue; zero before
	ClosedAt   time.Time // zero while it is open
	ClosedBy   string
	Outcome    string // what came of it, in words
	CreatedAt  time.Time
}

// IsOverdue reports whether the case should have been closed before now.
func (c *RevocationCase) IsOverdue(now time.Time) bool {
	return c.ClosedAt.IsZero() && !now.Before(c.DueAt)
}

// A ReportState is how far a problem report has come.
type ReportState string

// The states.
const (
	ReportNew       ReportState = "new"
	ReportAccepted  ReportState = "accepted" // a case was made of it
	ReportDismissed ReportState = "dismissed"
)

// AnswerWithin is by when who reported a problem gets a preliminary answer (BR 4.9.5).
const AnswerWithin = 24 * time.Hour

// A ProblemReport is what somebody told the CA of certificates (BR 4.9.3). It revokes
// nothing.
type ProblemReport struct {
	ID         ReportID
	Category   string // of the dated rules, as the reporter sees it
	Reporter   string // the address that is answered to
	Serials    []Serial
	Known      bool // the certificates are all in the ledger
	Words      string
	Address    netip.Addr // from where it came
	State      ReportState
	ReceivedAt time.Time
	AnswerBy   time.Time
	AnsweredAt time.Time // zero before
	AnsweredBy string
	ToldAt     time.Time // when the operators were told that the answer is overdue; zero before
	DecidedAt  time.Time // zero before
	DecidedBy  string
	Reason     string // why it was dismissed
	Case       CaseID // what was made of it
}

// IsOverdue reports whether the preliminary answer should have been given before now.
func (r *ProblemReport) IsOverdue(now time.Time) bool {
	return r.AnsweredAt.IsZero() && !now.Before(r.AnswerBy)
}
