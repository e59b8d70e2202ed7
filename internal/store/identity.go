package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// CreateIdentity writes a new identity, which is a draft, and sets CreatedAt. It
// reports NotFound if there is no such account.
func (db *DB) CreateIdentity(ctx context.Context, actor telamon.Actor, i *telamon.Identity) error {
	data, err := json.Marshal(i.Data)
	if err != nil {
		return fmt.Errorf("encode identity %s: %w", i.ID, err)
	}
	return db.update(ctx, func(t *txn) error {
		if err := t.mustHaveAccount(ctx, i.Account); err != nil {
			return err
		}
		i.State, i.ExpiresAt, i.CreatedAt = telamon.IdentityDraft, time.Time{}, timeOf(t.millis())
		err := t.InsertIdentity(ctx, queries.InsertIdentityParams{
			ID: i.ID.String(), AccountID: i.Account.String(), Name: i.Name, Data: string(data), State: string(i.State),
			CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert identity %s: %w", i.ID, err)
		}
		if err := t.changed(ctx, ChangeIdentity, i.ID.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: i.Account, Action: "identity.create", Object: i.ID.String(), Result: "ok",
			After: map[string]any{"name": i.Name, "data": i.Data},
		})
	})
}

// Identity returns an identity of the account. It reports NotFound.
func (db *DB) Identity(ctx context.Context, account telamon.AccountID, id telamon.IdentityID) (telamon.Identity, error) {
	row, err := db.queries().Identity(ctx, queries.IdentityParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return telamon.Identity{}, db.judge(ctx, found(err, "identity_not_found", "identity"))
	}
	return identityOf(row)
}

// Identities lists the identities of the account.
func (db *DB) Identities(ctx context.Context, account telamon.AccountID, page Page) ([]telamon.Identity, error) {
	rows, err := db.queries().Identities(ctx, queries.IdentitiesParams{
		AccountID: account.String(), After: page.After, Lim: page.limit(),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list identities of %s: %w", account, err))
	}
	return mappedOrError(rows, identityOf)
}

// EditIdentity replaces the name and data of a draft. It reports NotFound, and
// Conflict with identity_submitted if the identity is no draft any more.
func (db *DB) EditIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID, name string, data map[string]string) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode identity %s: %w", id, err)
	}
	return db.update(ctx, func(t *txn) error {
		row, err := t.Identity(ctx, queries.IdentityParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "identity_not_found", "identity")
		}
		before, err := identityOf(row)
		if err != nil {
			return err
		}
		changed, err := t.EditDraftIdentity(ctx, queries.EditDraftIdentityParams{
			AccountID: account.String(), ID: id.String(), Name: name, Data: string(text),
		})
		if err != nil {
			return fmt.Errorf("edit identity %s: %w", id, err)
		}
		if changed != 1 {
			return fault.New(fault.Conflict, "identity_submitted", "A submitted profile cannot be changed. Submit a new one.")
		}
		if err := t.changed(ctx, ChangeIdentity, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "identity.edit", Object: id.String(), Result: "ok",
			Before: map[string]any{"name": before.Name, "data": before.Data}, After: map[string]any{"name": name, "data": data},
		})
	})
}

// An IdentityMove is one step of an identity's life. The caller knows which are
// allowed.
type IdentityMove struct {
	From, To  telamon.IdentityState
	Action    string    // of the audit event, such as "identity.activate"
	Reason    string    // for the audit event; "" if there is none to tell
	ExpiresAt time.Time // of the identity from now on; zero: never
}

// MoveIdentity moves an identity from one state to another. It reports NotFound,
// and Conflict if the identity is not in the state m.From.
func (db *DB) MoveIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID, m IdentityMove) error {
	return db.update(ctx, func(t *txn) error {
		changed, err := t.MoveIdentity(ctx, queries.MoveIdentityParams{
			AccountID: account.String(), ID: id.String(), FromState: string(m.From), ToState: string(m.To),
			ExpiresAt: millisOrNil(m.ExpiresAt),
		})
		if err != nil {
			return fmt.Errorf("move identity %s to %s: %w", id, m.To, err)
		}
		if changed != 1 {
			if _, err := t.Identity(ctx, queries.IdentityParams{AccountID: account.String(), ID: id.String()}); err != nil {
				return found(err, "identity_not_found", "identity")
			}
			return errMoved()
		}
		if err := t.changed(ctx, ChangeIdentity, id.String()); err != nil {
			return err
		}
		after := map[string]any{"state": m.To}
		if m.Reason != "" {
			after["reason"] = m.Reason
		}
		if !m.ExpiresAt.IsZero() {
			after["expires_at"] = m.ExpiresAt
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: m.Action, Object: id.String(), Result: "ok",
			Before: map[string]any{"state": m.From}, After: after,
		})
	})
}

func identityOf(r queries.Identity) (telamon.Identity, error) {
	i := telamon.Identity{
		ID: telamon.IdentityID(r.ID), Account: telamon.AccountID(r.AccountID), Name: r.Name,
		State: telamon.IdentityState(r.State), ExpiresAt: timeOrZero(r.ExpiresAt), CreatedAt: timeOf(r.CreatedAt),
	}
	if err := json.Unmarshal([]byte(r.Data), &i.Data); err != nil {
		return i, fmt.Errorf("read data of identity %s: %w", r.ID, err)
	}
	return i, nil
}

// mappedOrError returns f of each element, or f's first error.
func mappedOrError[A, B any](list []A, f func(A) (B, error)) ([]B, error) {
	out := make([]B, len(list))
	for i, one := range list {
		var err error
		if out[i], err = f(one); err != nil {
			return nil, err
		}
	}
	return out, nil
}
