package telamon

import "time"

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
