package store

import (
	"context"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// Bounds of a case.
const (
	maxCaseChecks   = 100
	maxCaseEvidence = 50
)

func vettingCheckOf(r queries.VettingCheck) telamon.VettingCheck {
	return telamon.VettingCheck{
		ID: telamon.VettingCheckID(r.ID), Case: telamon.VettingCaseID(r.CaseID), Kind: telamon.CheckKind(r.Kind), Source: r.Source,
		Independent: r.Independent, Method: telamon.ContactMethod(r.Method), Contact: r.Contact, Evidence: telamon.EvidenceID(r.EvidenceID),
		Note: r.Note, Agent: r.Agent, AgentName: r.AgentName, At: timeOf(r.At), StruckAt: timeOrZero(r.StruckAt), StruckBy: r.StruckBy,
	}
}

// AddVettingCheck writes a check of an open case, and sets who did it and when. It reports
// NotFound, also if the case has no such evidence; Conflict with case_decided; and Invalid
// with case_full.
func (db *DB) AddVettingCheck(ctx context.Context, actor telamon.Actor, k *telamon.VettingCheck) error {
	return db.update(ctx, func(t *txn) error {
		c, checks, err := t.lockOpenCase(ctx, k.Case)
		if err != nil {
			return err
		}
		if len(checks) >= maxCaseChecks {
			return fault.New(fault.Invalid, "case_full", fmt.Sprintf("A case has %d checks at most.", maxCaseChecks))
		}
		if k.Evidence != "" {
			_, err := t.VettingEvidenceContent(ctx, queries.VettingEvidenceContentParams{CaseID: k.Case.String(), ID: k.Evidence.String()})
			if err != nil {
				return found(err, "evidence_not_found", "evidence")
			}
		}
		k.Agent, k.AgentName, k.At = actor.Subject(), agentName(actor), timeOf(t.millis())
		err = t.InsertVettingCheck(ctx, queries.InsertVettingCheckParams{
			ID: k.ID.String(), CaseID: k.Case.String(), Kind: string(k.Kind), Source: k.Source, Independent: k.Independent,
			Method: string(k.Method), Contact: k.Contact, EvidenceID: k.Evidence.String(), Note: k.Note, Agent: k.Agent,
			AgentName: k.AgentName, At: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert check %s: %w", k.ID, err)
		}
		return t.auditCase(ctx, actor, &c, "vetting.record", map[string]any{
			"check": k.ID, "kind": k.Kind, "source": k.Source, "independent": k.Independent, "method": k.Method, "evidence": k.Evidence,
		})
	})
}

// StrikeVettingCheck strikes a check of an open case. It reports NotFound, and Conflict
// with case_decided or check_struck.
func (db *DB) StrikeVettingCheck(ctx context.Context, actor telamon.Actor, id telamon.VettingCaseID, check telamon.VettingCheckID) error {
	return db.update(ctx, func(t *txn) error {
		c, checks, err := t.lockOpenCase(ctx, id)
		if err != nil {
			return err
		}
		there := false
		for _, k := range checks {
			there = there || k.ID == check
		}
		if !there {
			return fault.New(fault.NotFound, "check_not_found", "There is no such check.")
		}
		changed, err := t.Queries.StrikeVettingCheck(ctx, queries.StrikeVettingCheckParams{
			CaseID: id.String(), ID: check.String(), Now: t.millis(), Agent: actor.Subject(),
		})
		if err != nil {
			return fmt.Errorf("strike check %s: %w", check, err)
		}
		if changed != 1 {
			return fault.New(fault.Conflict, "check_struck", "The check is struck already.")
		}
		return t.auditCase(ctx, actor, &c, "vetting.strike", map[string]any{"check": check})
	})
}

// VettingChecks returns the checks of a case, struck ones too, in the order in which they
// were noted.
func (db *DB) VettingChecks(ctx context.Context, id telamon.VettingCaseID) ([]telamon.VettingCheck, error) {
	rows, err := db.queries().VettingChecks(ctx, id.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list the checks of case %s: %w", id, err))
	}
	return mapped(rows, vettingCheckOf), nil
}

// AddVettingEvidence writes a file for an open case, and sets who kept it and when. It
// reports NotFound, Conflict with case_decided, and Invalid with case_full.
func (db *DB) AddVettingEvidence(ctx context.Context, actor telamon.Actor, e *telamon.VettingEvidence, content []byte) error {
	return db.update(ctx, func(t *txn) error {
		c, _, err := t.lockOpenCase(ctx, e.Case)
		if err != nil {
			return err
		}
		kept, err := t.VettingEvidence(ctx, e.Case.String())
		if err != nil {
			return fmt.Errorf("list the evidence of case %s: %w", e.Case, err)
		}
		if len(kept) >= maxCaseEvidence {
			return fault.New(fault.Invalid, "case_full", fmt.Sprintf("A case has %d files at most.", maxCaseEvidence))
		}
		e.Agent, e.AgentName, e.At = actor.Subject(), agentName(actor), timeOf(t.millis())
		err = t.InsertVettingEvidence(ctx, queries.InsertVettingEvidenceParams{
			ID: e.ID.String(), CaseID: e.Case.String(), Name: e.Name, MediaType: e.MediaType, Size: e.Size, Sha256: e.SHA256[:],
			Content: content, Agent: e.Agent, AgentName: e.AgentName, At: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert evidence %s: %w", e.ID, err)
		}
		return t.auditCase(ctx, actor, &c, "vetting.keep", map[string]any{
			"evidence": e.ID, "file": e.Name, "type": e.MediaType, "size": e.Size, "sha256": fmt.Sprintf("%x", e.SHA256),
		})
	})
}

// VettingEvidence lists the files of a case, the oldest first.
func (db *DB) VettingEvidence(ctx context.Context, id telamon.VettingCaseID) ([]telamon.VettingEvidence, error) {
	rows, err := db.queries().VettingEvidence(ctx, id.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list the evidence of case %s: %w", id, err))
	}
	return mapped(rows, func(r queries.VettingEvidenceRow) telamon.VettingEvidence {
		return telamon.VettingEvidence{
			ID: telamon.EvidenceID(r.ID), Case: id, Name: r.Name, MediaType: r.MediaType, Size: r.Size, SHA256: [32]byte(r.Sha256),
			Agent: r.Agent, AgentName: r.AgentName, At: timeOf(r.At),
		}
	}), nil
}

// VettingEvidenceContent returns a file of a case. It reports NotFound.
func (db *DB) VettingEvidenceContent(ctx context.Context, id telamon.VettingCaseID, evidence telamon.EvidenceID) (telamon.VettingEvidence, []byte, error) {
	r, err := db.queries().VettingEvidenceContent(ctx, queries.VettingEvidenceContentParams{CaseID: id.String(), ID: evidence.String()})
	if err != nil {
		return telamon.VettingEvidence{}, nil, db.judge(ctx, found(err, "evidence_not_found", "evidence"))
	}
	return telamon.VettingEvidence{
		ID: evidence, Case: id, Name: r.Name, MediaType: r.MediaType, Size: r.Size, SHA256: [32]byte(r.Sha256),
		Agent: r.Agent, AgentName: r.AgentName, At: timeOf(r.At),
	}, r.Content, nil
}

func (t *txn) lockOpenCase(ctx context.Context, id telamon.VettingCaseID) (telamon.VettingCase, []telamon.VettingCheck, error) {
	c, checks, err := t.lockCase(ctx, id)
	if err == nil && !c.State.IsOpen() {
		err = fault.New(fault.Conflict, "case_decided", "The case is decided.")
	}
	return c, checks, err
}

// auditCase writes an event of the CA's own work on a case, which is not for the readers of
// the account's log: sources, evidence and reasons.
func (t *txn) auditCase(ctx context.Context, actor telamon.Actor, c *telamon.VettingCase, action string, after map[string]any) error {
	after["case"], after["account"] = c.Reference(), c.Account
	return t.audit(ctx, telamon.Event{
		Actor: actor, Action: action, Object: c.Identity.String(), Result: "ok", After: after,
	})
}

// agentName is what people are told of who did something.
func agentName(actor telamon.Actor) string {
	if actor.UserName != "" {
		return actor.UserName
	}
	return actor.Subject()
}
