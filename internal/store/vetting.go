package store

import (
	"context"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

func vettingCaseOf(r queries.VettingCase) telamon.VettingCase {
	return telamon.VettingCase{
		ID: telamon.VettingCaseID(r.ID), Number: r.Number, Account: telamon.AccountID(r.AccountID), Identity: telamon.IdentityID(r.IdentityID),
		State: telamon.VettingState(r.State), Again: r.Again, OpenedAt: timeOf(r.OpenedAt), OpenedBy: r.OpenedBy,
		ProcessedAt: timeOrZero(r.ProcessedAt), ProcessedBy: r.ProcessedBy, EndedAt: timeOrZero(r.EndedAt), EndedBy: r.EndedBy,
		Reason: r.Reason,
	}
}

// openCase opens a case for an identity. It reports Conflict with case_open if it has one.
func (t *txn) openCase(ctx context.Context, actor telamon.Actor, i *telamon.Identity, again bool) (*telamon.VettingCase, error) {
	number, err := t.NextVettingNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("number a case of vetting: %w", err)
	}
	c := &telamon.VettingCase{
		ID: telamon.NewVettingCaseID(), Number: number, Account: i.Account, Identity: i.ID, State: telamon.VettingQueued,
		Again: again, OpenedAt: timeOf(t.millis()), OpenedBy: actor.Subject(),
	}
	err = t.InsertVettingCase(ctx, queries.InsertVettingCaseParams{
		ID: c.ID.String(), Number: number, AccountID: i.Account.String(), IdentityID: i.ID.String(), Again: again,
		OpenedAt: t.millis(), OpenedBy: c.OpenedBy,
	})
	switch {
	case violates(err, "vetting_case_number_is_unique"):
		return nil, errAgain // another replica opened one meanwhile
	case violates(err, "vetting_case_one_is_open"):
		return nil, fault.New(fault.Conflict, "case_open", "The identity is being vetted already.")
	case err != nil:
		return nil, fmt.Errorf("insert case of vetting %s: %w", c.ID, err)
	}
	return c, nil
}

// caseOf returns the open case of an identity, nil if there is none.
func (t *txn) caseOf(ctx context.Context, id telamon.IdentityID) (*telamon.VettingCase, error) {
	rows, err := t.OpenVettingCase(ctx, id.String())
	if err != nil {
		return nil, fmt.Errorf("read the case of identity %s: %w", id, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	c := vettingCaseOf(rows[0])
	return &c, nil
}

// identityMails are the mails that tell of an identity's new state.
var identityMails = map[telamon.IdentityState]string{
	telamon.IdentityQueued: TemplateIdentityQueued, telamon.IdentityProcessed: TemplateIdentityProcessed,
	telamon.IdentityActive: TemplateIdentityActive, telamon.IdentityRejected: TemplateIdentityRejected,
	telamon.IdentityExpired: TemplateIdentityExpired,
}

// followIdentity brings the case of an identity that was moved to where the identity is,
// and tells the account.
func (t *txn) followIdentity(ctx context.Context, actor telamon.Actor, i *telamon.Identity, m IdentityMove) error {
	c, err := t.caseOf(ctx, i.ID)
	if err != nil {
		return err
	}
	ends := map[telamon.IdentityState]telamon.VettingState{
		telamon.IdentityActive: telamon.VettingApproved, telamon.IdentityRejected: telamon.VettingRejected,
		telamon.IdentityWithdrawn: telamon.VettingClosed,
	}
	switch to := ends[m.To]; {
	case m.To == telamon.IdentityQueued && i.Type != "":
		c, err = t.openCase(ctx, actor, i, false)
	case c != nil && m.To == telamon.IdentityProcessed:
		err = t.processCase(ctx, actor, c)
	case c != nil && to != "":
		err = t.endCase(ctx, actor, c, to, m.Reason)
	}
	if err != nil {
		return err
	}
	template := identityMails[m.To]
	if template == "" || i.Type == "" && m.To != telamon.IdentityExpired {
		return nil
	}
	p := IdentityParams{Expires: m.ExpiresAt}
	if c != nil {
		p.Case = c.ID
	}
	return t.tellOfIdentity(ctx, i, template, p)
}

func (t *txn) processCase(ctx context.Context, actor telamon.Actor, c *telamon.VettingCase) error {
	changed, err := t.ProcessVettingCase(ctx, queries.ProcessVettingCaseParams{ID: c.ID.String(), Now: t.millis(), Agent: actor.Subject()})
	return mustChange(changed, err)
}

func (t *txn) endCase(ctx context.Context, actor telamon.Actor, c *telamon.VettingCase, to telamon.VettingState, reason string) error {
	changed, err := t.EndVettingCase(ctx, queries.EndVettingCaseParams{
		ID: c.ID.String(), FromState: string(c.State), ToState: string(to), Now: t.millis(), Agent: actor.Subject(), Reason: reason,
	})
	return mustChange(changed, err)
}

// VettingCase returns a case. It reports NotFound.
func (db *DB) VettingCase(ctx context.Context, id telamon.VettingCaseID) (telamon.VettingCase, error) {
	row, err := db.queries().VettingCase(ctx, id.String())
	if err != nil {
		return telamon.VettingCase{}, db.judge(ctx, found(err, "case_not_found", "case"))
	}
	return vettingCaseOf(row), nil
}

// VettingCasesOf returns the cases of an identity of the account, the newest first, at
// most limit.
func (db *DB) VettingCasesOf(ctx context.Context, account telamon.AccountID, id telamon.IdentityID, limit int) ([]telamon.VettingCase, error) {
	rows, err := db.queries().VettingCasesOf(ctx, queries.VettingCasesOfParams{AccountID: account.String(), IdentityID: id.String(), Lim: int32(limit)})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list the cases of identity %s: %w", id, err))
	}
	return mapped(rows, vettingCaseOf), nil
}

// A VettingFilter selects cases.
type VettingFilter struct {
	State telamon.VettingState
	Agent string // as telamon.Actor.Subject names actors: who did something in them; "": anybody
	After int64  // the number of the last case that was seen
	Limit int
}

// A QueuedCase is a case with what a list of cases shows.
type QueuedCase struct {
	telamon.VettingCase
	AccountName  string
	IdentityName string
	IdentityType telamon.IdentityType
	Data         string // the identity's, as JSON
}

// VettingQueue lists cases, the oldest first.
func (db *DB) VettingQueue(ctx context.Context, f VettingFilter) ([]QueuedCase, error) {
	rows, err := db.queries().VettingQueue(ctx, queries.VettingQueueParams{
		State: string(f.State), After: f.After, Agent: f.Agent, Lim: int32(f.Limit),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list cases of vetting: %w", err))
	}
	return mapped(rows, func(r queries.VettingQueueRow) QueuedCase {
		return QueuedCase{
			VettingCase: vettingCaseOf(queries.VettingCase{
				ID: r.ID, Number: r.Number, AccountID: r.AccountID, IdentityID: r.IdentityID, State: r.State, Again: r.Again,
				OpenedAt: r.OpenedAt, OpenedBy: r.OpenedBy, ProcessedAt: r.ProcessedAt, ProcessedBy: r.ProcessedBy,
				EndedAt: r.EndedAt, EndedBy: r.EndedBy, Reason: r.Reason,
			}),
			AccountName: r.AccountName, IdentityName: r.IdentityName, IdentityType: telamon.IdentityType(r.IdentityKind), Data: r.IdentityData,
		}
	}), nil
}

// CountVettingCases returns how many cases are in each state.
func (db *DB) CountVettingCases(ctx context.Context) (map[telamon.VettingState]int64, error) {
	rows, err := db.queries().CountVettingCases(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("count cases of vetting: %w", err))
	}
	counts := map[telamon.VettingState]int64{}
	for _, r := range rows {
		counts[telamon.VettingState(r.State)] = r.N
	}
	return counts, nil
}

// OpenVettingAgain opens a case for an identity that was vetted, and tells the account. It
// reports NotFound, and Conflict with wrong_state or case_open.
func (db *DB) OpenVettingAgain(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID) (c *telamon.VettingCase, err error) {
	err = db.update(ctx, func(t *txn) error {
		identity, err := t.identity(ctx, account, id)
		if err != nil {
			return err
		}
		if identity.State != telamon.IdentityActive && identity.State != telamon.IdentityExpired {
			return fault.New(fault.Conflict, "wrong_state", fmt.Sprintf("It is %s, so it cannot be vetted again.", identity.State))
		}
		if c, err = t.openCase(ctx, actor, &identity, true); err != nil {
			return err
		}
		if err := t.tellOfIdentity(ctx, &identity, TemplateIdentityQueued, IdentityParams{Case: c.ID}); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "identity.vet_again", Object: id.String(), Result: "ok",
			After: map[string]any{"case": c.Reference()},
		})
	})
	return c, err
}

// A VettingDecision is a step of a case by an agent.
type VettingDecision struct {
	Case   telamon.VettingCaseID
	From   telamon.VettingState // what the agent saw
	To     telamon.VettingState // processed, approved or rejected
	Reason string
	Move   IdentityMove // read if the identity moves with it, or gets a new end
}

// DecideVetting takes a step of a case, with the identity, the audit events and the mails.
// The account's event has no reason unless it is a rejection: why is in an event of the CA's
// own.
// The end of an identity that is vetted again while it is active is moved. may is asked, in
// the transaction, about the case and its checks; what it returns ends the change. It must
// not use the store.
//
// It reports NotFound, and Conflict if the case or the identity is in another state.
func (db *DB) DecideVetting(ctx context.Context, actor telamon.Actor, d VettingDecision, may func(*telamon.VettingCase, []telamon.VettingCheck) error) error {
	return db.update(ctx, func(t *txn) error {
		c, checks, err := t.lockCase(ctx, d.Case)
		if err != nil {
			return err
		}
		if c.State != d.From {
			return errMoved()
		}
		if err := may(&c, checks); err != nil {
			return err
		}
		identity, err := t.identity(ctx, c.Account, c.Identity)
		if err != nil {
			return err
		}
		if err := t.auditCase(ctx, actor, &c, "vetting.decide", map[string]any{"to": d.To, "reason": d.Reason}); err != nil {
			return err
		}
		d.Move.Untold = d.To != telamon.VettingRejected // which the account is told of
		if c.Again {
			return t.decideAgain(ctx, actor, d, &c, &identity)
		}
		if err := t.moveIdentity(ctx, actor, &identity, d.Move); err != nil {
			return err
		}
		return t.followIdentity(ctx, actor, &identity, d.Move)
	})
}

// decideAgain takes a step of a case by which an identity is vetted again. While it goes
// on, and if it is rejected, the identity stays what it is.
func (t *txn) decideAgain(ctx context.Context, actor telamon.Actor, d VettingDecision, c *telamon.VettingCase, i *telamon.Identity) error {
	p := IdentityParams{Case: c.ID}
	switch d.To {
	case telamon.VettingProcessed:
		if err := t.processCase(ctx, actor, c); err != nil {
			return err
		}
		if err := t.tellOfIdentity(ctx, i, TemplateIdentityProcessed, p); err != nil {
			return err
		}
	case telamon.VettingRejected:
		if err := t.endCase(ctx, actor, c, d.To, d.Reason); err != nil {
			return err
		}
		if err := t.tellOfIdentity(ctx, i, TemplateIdentityRejected, p); err != nil {
			return err
		}
	default:
		m := d.Move
		m.From = i.State // active or expired: the case would be closed otherwise
		if err := t.moveIdentity(ctx, actor, i, m); err != nil {
			return err
		}
		return t.followIdentity(ctx, actor, i, m)
	}
	after := map[string]any{"case": c.Reference(), "again": true}
	if d.Reason != "" && !d.Move.Untold {
		after["reason"] = d.Reason
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: c.Account, Action: d.Move.Action, Object: c.Identity.String(), Result: "ok", After: after,
	})
}

func (t *txn) lockCase(ctx context.Context, id telamon.VettingCaseID) (telamon.VettingCase, []telamon.VettingCheck, error) {
	row, err := t.LockVettingCase(ctx, id.String())
	if err != nil {
		return telamon.VettingCase{}, nil, found(err, "case_not_found", "case")
	}
	rows, err := t.VettingChecks(ctx, id.String())
	if err != nil {
		return telamon.VettingCase{}, nil, fmt.Errorf("read the checks of case %s: %w", id, err)
	}
	return vettingCaseOf(row), mapped(rows, vettingCheckOf), nil
}
