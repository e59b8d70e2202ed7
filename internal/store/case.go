package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

func caseOf(r queries.RevocationCase) (telamon.RevocationCase, error) {
	c := telamon.RevocationCase{
		ID: telamon.CaseID(r.ID), Category: r.Category, Summary: r.Summary, Reporter: r.Reporter, ReportedAt: timeOf(r.ReportedAt),
		DueAt: timeOf(r.DueAt), ToldAt: optional(r.ToldAt), ClosedAt: optional(r.ClosedAt), ClosedBy: r.ClosedBy, Outcome: r.Outcome,
		CreatedAt: timeOf(r.CreatedAt),
	}
	var serials []string
	if err := json.Unmarshal([]byte(r.Serials), &serials); err != nil {
		return c, fmt.Errorf("decode the certificates of case %s: %w", r.ID, err)
	}
	for _, text := range serials {
		serial, _, err := telamon.ParseSerial(text)
		if err != nil {
			return c, fmt.Errorf("decode the certificates of case %s: %w", r.ID, err)
		}
		c.Serials = append(c.Serials, serial)
	}
	return c, nil
}

// CreateCase writes a case with the audit event, and sets CreatedAt.
func (db *DB) CreateCase(ctx context.Context, actor telamon.Actor, c *telamon.RevocationCase) error {
	return db.update(ctx, func(t *txn) error { return t.createCase(ctx, actor, c) })
}

func (t *txn) createCase(ctx context.Context, actor telamon.Actor, c *telamon.RevocationCase) error {
	texts := mapped(c.Serials, telamon.Serial.String)
	serials, err := json.Marshal(texts)
	if err != nil {
		return fmt.Errorf("encode the certificates of case %s: %w", c.ID, err)
	}
	c.CreatedAt = timeOf(t.millis())
	err = t.InsertCase(ctx, queries.InsertCaseParams{
		ID: c.ID.String(), Category: c.Category, Summary: c.Summary, Reporter: c.Reporter, Serials: string(serials),
		ReportedAt: c.ReportedAt.UnixMilli(), DueAt: c.DueAt.UnixMilli(), CreatedAt: t.millis(),
	})
	if err != nil {
		return fmt.Errorf("insert case %s: %w", c.ID, err)
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Action: "case.open", Object: c.ID.String(), Result: "ok",
		After: map[string]any{"category": c.Category, "reported_at": c.ReportedAt, "due_at": c.DueAt, "certificates": texts},
	})
}

// Case returns a case. It reports NotFound.
func (db *DB) Case(ctx context.Context, id telamon.CaseID) (telamon.RevocationCase, error) {
	row, err := db.queries().CaseByID(ctx, id.String())
	if err != nil {
		return telamon.RevocationCase{}, db.judge(ctx, found(err, "case_not_found", "case"))
	}
	return caseOf(row)
}

// Cases lists cases, closed ones too.
func (db *DB) Cases(ctx context.Context, page Page) ([]telamon.RevocationCase, error) {
	rows, err := db.queries().Cases(ctx, queries.CasesParams{After: page.After, Lim: page.limit()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list cases: %w", err))
	}
	return mappedOrError(rows, caseOf)
}

// OpenCases returns every case that is open, those that are due first at the beginning.
func (db *DB) OpenCases(ctx context.Context) ([]telamon.RevocationCase, error) {
	rows, err := db.queries().OpenCases(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list open cases: %w", err))
	}
	return mappedOrError(rows, caseOf)
}

// CloseCase closes an open case, with the audit event. It reports NotFound, and Conflict
// with case_closed.
func (db *DB) CloseCase(ctx context.Context, actor telamon.Actor, id telamon.CaseID, outcome string) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.CaseByID(ctx, id.String())
		if err != nil {
			return found(err, "case_not_found", "case")
		}
		changed, err := t.Queries.CloseCase(ctx, queries.CloseCaseParams{ID: id.String(), Now: t.millis(), ClosedBy: actor.Subject(), Outcome: outcome})
		if err != nil {
			return fmt.Errorf("close case %s: %w", id, err)
		}
		if changed != 1 {
			return fault.New(fault.Conflict, "case_closed", "The case is closed already.")
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "case.close", Object: id.String(), Result: "ok",
			After: map[string]any{"outcome": outcome, "late": t.millis() > row.DueAt},
		})
	})
}

// TellOverdue writes that the operators are told of an overdue case, with the mails and
// the audit event, once: it does nothing if that was written before or the case is closed.
func (db *DB) TellOverdue(ctx context.Context, actor telamon.Actor, c *telamon.RevocationCase, mails []Mail) error {
	return db.update(ctx, func(t *txn) error {
		changed, err := t.NoteCaseTold(ctx, queries.NoteCaseToldParams{ID: c.ID.String(), Now: t.millis()})
		if err != nil || changed == 0 {
			return err
		}
		if err := t.addExtra(ctx, Extra{Mails: mails}); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "case.overdue", Object: c.ID.String(), Result: "ok",
			After: map[string]any{"category": c.Category, "due_at": c.DueAt, "mails": len(mails)},
		})
	})
}
