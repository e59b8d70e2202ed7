package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

func reportOf(r queries.ProblemReport) (telamon.ProblemReport, error) {
	out := telamon.ProblemReport{
		ID: telamon.ReportID(r.ID), Category: r.Category, Reporter: r.Reporter, Known: r.Known, Words: r.Words,
		State: telamon.ReportState(r.State), ReceivedAt: timeOf(r.ReceivedAt), AnswerBy: timeOf(r.AnswerBy), AnsweredAt: optional(r.AnsweredAt),
		AnsweredBy: r.AnsweredBy, ToldAt: optional(r.ToldAt), DecidedAt: optional(r.DecidedAt), DecidedBy: r.DecidedBy, Reason: r.Reason,
		Case: telamon.CaseID(r.CaseID),
	}
	out.Address, _ = netip.ParseAddr(r.Address) // it may have none
	var serials []string
	if err := json.Unmarshal([]byte(r.Serials), &serials); err != nil {
		return out, fmt.Errorf("decode the certificates of report %s: %w", r.ID, err)
	}
	for _, text := range serials {
		serial, _, err := telamon.ParseSerial(text)
		if err != nil {
			return out, fmt.Errorf("decode the certificates of report %s: %w", r.ID, err)
		}
		out.Serials = append(out.Serials, serial)
	}
	return out, nil
}

// The bounds of what strangers can have written: how many reports may wait for somebody to
// decide about them, and how many do while each is still told by mail.
const (
	maxNewReports  = 5000
	mailNewReports = 25
)

// CreateReport writes a problem report with the audit event, and the mails that tell of it
// unless many wait already, which are known to be there. It sets State and ReceivedAt. It
// reports Limited with reports_waiting if too many wait.
func (db *DB) CreateReport(ctx context.Context, actor telamon.Actor, r *telamon.ProblemReport, mails []Mail) error {
	texts := mapped(r.Serials, telamon.Serial.String)
	serials, err := json.Marshal(texts)
	if err != nil {
		return fmt.Errorf("encode the certificates of report %s: %w", r.ID, err)
	}
	return db.update(ctx, func(t *txn) error {
		waiting, err := t.CountNewReports(ctx)
		if err != nil {
			return fmt.Errorf("count reports: %w", err)
		}
		if waiting >= maxNewReports {
			return fault.New(fault.Limited, "reports_waiting", "Too many reports wait to be read. Send this one by mail.")
		}
		r.State, r.ReceivedAt = telamon.ReportNew, timeOf(t.millis())
		r.AnswerBy = r.ReceivedAt.Add(telamon.AnswerWithin)
		address := ""
		if r.Address.IsValid() {
			address = r.Address.Unmap().String()
		}
		err = t.InsertReport(ctx, queries.InsertReportParams{
			ID: r.ID.String(), Category: r.Category, Reporter: r.Reporter, Serials: string(serials), Known: r.Known, Words: r.Words, Address: address,
			ReceivedAt: t.millis(), AnswerBy: r.AnswerBy.UnixMilli(),
		})
		if err != nil {
			return fmt.Errorf("insert report %s: %w", r.ID, err)
		}
		if waiting < mailNewReports {
			if err := t.addExtra(ctx, Extra{Mails: mails}); err != nil {
				return err
			}
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "report.file", Object: r.ID.String(), Result: "ok",
			After: map[string]any{"category": r.Category, "certificates": texts, "answer_by": r.AnswerBy},
		})
	})
}

// Report returns a problem report. It reports NotFound.
func (db *DB) Report(ctx context.Context, id telamon.ReportID) (telamon.ProblemReport, error) {
	row, err := db.queries().ReportByID(ctx, id.String())
	if err != nil {
		return telamon.ProblemReport{}, db.judge(ctx, found(err, "report_not_found", "report"))
	}
	return reportOf(row)
}

// endOfReports is after the ID of every report.
const endOfReports = "rpt~"

// Reports lists problem reports, the newest first.
func (db *DB) Reports(ctx context.Context, page Page) ([]telamon.ProblemReport, error) {
	rows, err := db.queries().Reports(ctx, queries.ReportsParams{Before: cmp.Or(page.After, endOfReports), Lim: page.limit()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list reports: %w", err))
	}
	return mappedOrError(rows, reportOf)
}

// UnansweredReports returns the reports without a preliminary answer, those that are due
// first at the beginning, at most as many as may wait.
func (db *DB) UnansweredReports(ctx context.Context) ([]telamon.ProblemReport, error) {
	rows, err := db.queries().UnansweredReports(ctx, maxNewReports)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list reports without an answer: %w", err))
	}
	return mappedOrError(rows, reportOf)
}

// AnswerReport writes that the reporter has a preliminary answer, which stops its timer. It
// reports NotFound, and Conflict with report_answered.
func (db *DB) AnswerReport(ctx context.Context, actor telamon.Actor, id telamon.ReportID) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.ReportByID(ctx, id.String())
		if err != nil {
			return found(err, "report_not_found", "report")
		}
		changed, err := t.Queries.AnswerReport(ctx, queries.AnswerReportParams{ID: id.String(), Now: t.millis(), AnsweredBy: actor.Subject()})
		if err != nil {
			return fmt.Errorf("answer report %s: %w", id, err)
		}
		if changed != 1 {
			return fault.New(fault.Conflict, "report_answered", "The report was answered already.")
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "report.answer", Object: id.String(), Result: "ok", After: map[string]any{"late": t.millis() > row.AnswerBy},
		})
	})
}

// AcceptReport makes the case of a new report, with the audit events of both. It reports
// NotFound, and Conflict with report_decided.
func (db *DB) AcceptReport(ctx context.Context, actor telamon.Actor, id telamon.ReportID, c *telamon.RevocationCase) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.createCase(ctx, actor, c); err != nil {
			return err
		}
		return t.decideReport(ctx, actor, id, telamon.ReportAccepted, "", c.ID)
	})
}

// DismissReport ends a new report without a case, with the audit event. It reports NotFound,
// and Conflict with report_decided.
func (db *DB) DismissReport(ctx context.Context, actor telamon.Actor, id telamon.ReportID, reason string) error {
	return db.update(ctx, func(t *txn) error {
		return t.decideReport(ctx, actor, id, telamon.ReportDismissed, reason, "")
	})
}

func (t *txn) decideReport(ctx context.Context, actor telamon.Actor, id telamon.ReportID, to telamon.ReportState, reason string, made telamon.CaseID) error {
	changed, err := t.Queries.DecideReport(ctx, queries.DecideReportParams{
		ID: id.String(), ToState: string(to), Now: t.millis(), DecidedBy: actor.Subject(), Reason: reason, CaseID: made.String(),
	})
	if err != nil {
		return fmt.Errorf("decide report %s: %w", id, err)
	}
	if changed != 1 {
		if _, err := t.ReportByID(ctx, id.String()); err != nil {
			return found(err, "report_not_found", "report")
		}
		return fault.New(fault.Conflict, "report_decided", "Somebody has decided about this report already.")
	}
	action, after := "report.accept", map[string]any{"case": made}
	if to == telamon.ReportDismissed {
		action, after = "report.dismiss", map[string]any{"reason": reason}
	}
	return t.audit(ctx, telamon.Event{Actor: actor, Action: action, Object: id.String(), Result: "ok", After: after})
}

// TellReportOverdue writes that the operators are told of a report whose answer is overdue,
// with the mails and the audit event, once: it does nothing if that was written before or
// the report is answered.
func (db *DB) TellReportOverdue(ctx context.Context, actor telamon.Actor, r *telamon.ProblemReport, mails []Mail) error {
	return db.update(ctx, func(t *txn) error {
		changed, err := t.NoteReportTold(ctx, queries.NoteReportToldParams{ID: r.ID.String(), Now: t.millis()})
		if err != nil || changed == 0 {
			return err
		}
		if err := t.addExtra(ctx, Extra{Mails: mails}); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "report.overdue", Object: r.ID.String(), Result: "ok", After: map[string]any{"answer_by": r.AnswerBy, "mails": len(mails)},
		})
	})
}
