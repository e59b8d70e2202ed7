package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/staff"
)

// A Case is a report or a finding by which certificates must be revoked within a time.
type Case struct {
	ID         telamon.CaseID `json:"id"`
	State      string         `json:"state"` // open, overdue or closed
	Category   string         `json:"category"`
	Summary    string         `json:"summary"`
	Reporter   string         `json:"reporter,omitempty"`
	Serials    []string       `json:"serials"`
	ReportedAt time.Time      `json:"reported_at"`
	DueAt      time.Time      `json:"due_at"`
	ToldAt     *time.Time     `json:"told_at,omitempty"`
	ClosedAt   *time.Time     `json:"closed_at,omitempty"`
	ClosedBy   string         `json:"closed_by,omitempty"`
	Outcome    string         `json:"outcome,omitempty"`
}

func (s *server) caseOf(c telamon.RevocationCase) Case {
	out := Case{
		ID: c.ID, State: "open", Category: c.Category, Summary: c.Summary, Reporter: c.Reporter, Serials: []string{}, ReportedAt: c.ReportedAt,
		DueAt: c.DueAt, ToldAt: timeOf(c.ToldAt), ClosedAt: timeOf(c.ClosedAt), ClosedBy: c.ClosedBy, Outcome: c.Outcome,
	}
	switch {
	case !c.ClosedAt.IsZero():
		out.State = "closed"
	case c.IsOverdue(s.Clock.Now()):
		out.State = "overdue"
	}
	for _, serial := range c.Serials {
		out.Serials = append(out.Serials, serial.String())
	}
	return out
}

// NewCase is the body that opens a case. Without ReportedAt its clock begins now.
type NewCase struct {
	Category   string     `json:"category"`
	Summary    string     `json:"summary"`
	Reporter   string     `json:"reporter,omitempty"`
	Serials    []string   `json:"serials,omitempty"`
	ReportedAt *time.Time `json:"reported_at,omitempty"`
}

// CloseCase is the body that closes a case. Keep says that its certificates need not be
// revoked, for what Outcome tells.
type CloseCase struct {
	Outcome string `json:"outcome"`
	Keep    bool   `json:"keep,omitempty"`
}

// A Deadline is a category of cases, with the hours until a certificate must be revoked
// and the reason that it gets.
type Deadline struct {
	Category string `json:"category"`
	Hours    int    `json:"hours"`
	Reason   string `json:"reason"`
}

func (s *server) caseRoutes() {
	listRoute(s, "GET /cases", s.Staff.Cases, s.caseOf, func(c telamon.RevocationCase) string { return c.ID.String() })
	s.route("POST /cases", http.StatusCreated, func(ctx context.Context, c *call) (any, error) {
		var in NewCase
		if err := c.body(&in); err != nil {
			return nil, err
		}
		report := staff.Report{Category: in.Category, Summary: in.Summary, Reporter: in.Reporter, ReportedAt: valueOf(in.ReportedAt)}
		for _, text := range in.Serials {
			serial, ours, err := telamon.ParseSerial(text)
			if err != nil || !ours {
				return nil, fault.New(fault.NotFound, "certificate_not_found", "There is no such certificate.")
			}
			report.Serials = append(report.Serials, serial)
		}
		opened, err := s.Staff.OpenCase(ctx, c.actor, report)
		return made(opened, err, s.caseOf)
	})
	s.route("GET /cases/categories", http.StatusOK, func(_ context.Context, c *call) (any, error) {
		if err := c.may(authz.CaseRead); err != nil {
			return nil, err
		}
		list := List[Deadline]{Items: []Deadline{}}
		for _, d := range s.Staff.Deadlines() {
			list.Items = append(list.Items, Deadline{d.Category, int(d.Within.Hours()), d.Reason})
		}
		return list, nil
	})
	s.route("GET /cases/{case}", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		id, err := id(c, "case", telamon.ParseCaseID)
		if err != nil {
			return nil, err
		}
		found, err := s.Staff.Case(ctx, c.actor, id)
		return s.caseOf(found), err
	})
	s.route("POST /cases/{case}/close", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		id, err := id(c, "case", telamon.ParseCaseID)
		if err != nil {
			return nil, err
		}
		var in CloseCase
		if err := c.body(&in); err != nil {
			return nil, err
		}
		closed, err := s.Staff.CloseCase(ctx, c.actor, id, in.Outcome, in.Keep)
		return s.caseOf(closed), err
	})
}
