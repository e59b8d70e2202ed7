package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A Page asks for the next objects of a list in the order of their IDs, which is
// that of their making.
type Page struct {
	After string // the ID of the last object that the caller has; "" starts the list
	Limit int    // at most as many objects
}

func (p Page) limit() int32 { return int32(max(0, min(p.Limit, 1000))) }

// stateVerbs are the verbs of the audit events of changes to a state.
var stateVerbs = map[telamon.State]string{
	telamon.Active: "enable", telamon.Disabled: "disable", telamon.Deleted: "delete", telamon.Revoked: "revoke",
}

// checkStateChange reports Conflict unless what is in the state from may become to.
func checkStateChange(from, to telamon.State) error {
	ok := false
	switch to {
	case telamon.Active:
		ok = from == telamon.Disabled
	case telamon.Disabled:
		ok = from == telamon.Active
	case telamon.Deleted, telamon.Revoked:
		ok = from == telamon.Active || from == telamon.Disabled
	}
	if !ok {
		return fault.New(fault.Conflict, "wrong_state", fmt.Sprintf("It is %s, so it cannot become %s.", from, to))
	}
	return nil
}

// errMoved is the fault of a change that another one overtook.
func errMoved() error {
	return fault.New(fault.Conflict, "changed_meanwhile", "It was changed by somebody else meanwhile.")
}

// found turns the absence of a row into a NotFound fault about what.
func found(err error, code, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, code, "There is no such "+what+".")
	}
	return err
}

// mustChange reports a Conflict unless a conditional statement changed one row.
func mustChange(changed int64, err error) error {
	if err == nil && changed != 1 {
		return errMoved()
	}
	return err
}

// stateEvent is the audit event of a change of state.
func stateEvent(actor telamon.Actor, account telamon.AccountID, kind, object string, from, to telamon.State) telamon.Event {
	return telamon.Event{
		Actor: actor, Account: account, Action: kind + "." + stateVerbs[to], Object: object, Result: "ok",
		Before: map[string]any{"state": from}, After: map[string]any{"state": to},
	}
}

// CreateAccount writes a new account, which is active, and sets its CreatedAt. It
// reports Conflict if there is one of this name.
func (db *DB) CreateAccount(ctx context.Context, actor telamon.Actor, a *telamon.Account) error {
	err := db.update(ctx, func(t *txn) error { return t.createAccount(ctx, actor, a) })
	if violates(err, "account_name_is_unique") {
		return fault.New(fault.Conflict, "name_taken", "An account of this name exists.")
	}
	return err
}

func (t *txn) createAccount(ctx context.Context, actor telamon.Actor, a *telamon.Account) error {
	a.State, a.CreatedAt = telamon.Active, timeOf(t.millis())
	err := t.InsertAccount(ctx, queries.InsertAccountParams{
		ID: a.ID.String(), Name: a.Name, State: string(a.State), CreatedAt: t.millis(),
		StartsAt: millisOrNil(a.StartsAt), EndsAt: millisOrNil(a.EndsAt),
	})
	if err != nil {
		return fmt.Errorf("insert account %s: %w", a.Name, err)
	}
	if err := t.changed(ctx, ChangeAccount, a.ID.String()); err != nil {
		return err
	}
	facts := periodFacts(a.StartsAt, a.EndsAt)
	facts["name"] = a.Name
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: a.ID, Action: "account.create", Object: a.ID.String(), Result: "ok", After: facts,
	})
}

// Account returns an account. It reports NotFound.
func (db *DB) Account(ctx context.Context, id telamon.AccountID) (telamon.Account, error) {
	row, err := db.queries().Account(ctx, id.String())
	return accountOf(row), db.judge(ctx, found(err, "account_not_found", "account"))
}

// AccountByName returns the account of a name. It reports NotFound.
func (db *DB) AccountByName(ctx context.Context, name string) (telamon.Account, error) {
	row, err := db.queries().AccountByName(ctx, name)
	return accountOf(row), db.judge(ctx, found(err, "account_not_found", "account"))
}

// Accounts lists all accounts.
func (db *DB) Accounts(ctx context.Context, page Page) ([]telamon.Account, error) {
	rows, err := db.queries().Accounts(ctx, queries.AccountsParams{After: page.After, Lim: page.limit()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list accounts: %w", err))
	}
	return mapped(rows, accountOf), nil
}

// SetAccountState disables, enables or deletes an account. It reports NotFound,
// and Conflict if the account's state does not allow it.
func (db *DB) SetAccountState(ctx context.Context, actor telamon.Actor, id telamon.AccountID, to telamon.State) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.Account(ctx, id.String())
		if err != nil {
			return found(err, "account_not_found", "account")
		}
		from := telamon.State(row.State)
		if err := checkStateChange(from, to); err != nil {
			return err
		}
		err = mustChange(t.SetAccountState(ctx, queries.SetAccountStateParams{
			ID: id.String(), FromState: string(from), ToState: string(to),
		}))
		if err != nil {
			return fmt.Errorf("change state of account %s: %w", id, err)
		}
		if err := t.changed(ctx, ChangeAccount, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, stateEvent(actor, id, "account", id.String(), from, to))
	})
}

// SetAccountPeriod replaces the first and the last instant of an account's service period;
// zero is no bound. It reports NotFound, and Conflict if the account is deleted.
func (db *DB) SetAccountPeriod(ctx context.Context, actor telamon.Actor, id telamon.AccountID, starts, ends time.Time) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.Account(ctx, id.String())
		if err != nil {
			return found(err, "account_not_found", "account")
		}
		before := accountOf(row)
		if before.State == telamon.Deleted {
			return fault.New(fault.Conflict, "wrong_state", "The account is deleted.")
		}
		err = mustChange(t.SetAccountPeriod(ctx, queries.SetAccountPeriodParams{
			ID: id.String(), StartsAt: millisOrNil(starts), EndsAt: millisOrNil(ends),
		}))
		if err != nil {
			return fmt.Errorf("change service period of account %s: %w", id, err)
		}
		if err := t.changed(ctx, ChangeAccount, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: id, Action: "account.update", Object: id.String(), Result: "ok",
			Before: periodFacts(before.StartsAt, before.EndsAt), After: periodFacts(starts, ends),
		})
	})
}

// periodFacts is what the audit log keeps of a service period: null is no bound.
func periodFacts(starts, ends time.Time) map[string]any {
	bound := func(at time.Time) any {
		if at.IsZero() {
			return nil
		}
		return at.UTC()
	}
	return map[string]any{"starts_at": bound(starts), "ends_at": bound(ends)}
}

func accountOf(r queries.Account) telamon.Account {
	return telamon.Account{
		ID: telamon.AccountID(r.ID), Name: r.Name, State: telamon.State(r.State), CreatedAt: timeOf(r.CreatedAt),
		StartsAt: timeOrZero(r.StartsAt), EndsAt: timeOrZero(r.EndsAt),
	}
}

// mapped returns f of each element.
func mapped[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, one := range list {
		out[i] = f(one)
	}
	return out
}
