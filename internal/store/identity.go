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
	return db.update(ctx, func(t *txn) error {
		if err := t.mustHaveAccount(ctx, i.Account); err != nil {
			return err
		}
		return t.createIdentity(ctx, actor, i)
	})
}

func (t *txn) createIdentity(ctx context.Context, actor telamon.Actor, i *telamon.Identity) error {
	data, customer, err := identityTexts(i)
	if err != nil {
		return err
	}
	i.State, i.ExpiresAt, i.CreatedAt = telamon.IdentityDraft, time.Time{}, timeOf(t.millis())
	err = t.InsertIdentity(ctx, queries.InsertIdentityParams{
		ID: i.ID.String(), AccountID: i.Account.String(), Name: i.Name, Data: data, State: string(i.State),
		CreatedAt: t.millis(), Kind: string(i.Type), Customer: customer,
	})
	if err != nil {
		return fmt.Errorf("insert identity %s: %w", i.ID, err)
	}
	if err := t.changed(ctx, ChangeIdentity, i.ID.String()); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: i.Account, Action: "identity.create", Object: i.ID.String(), Result: "ok", After: identityFacts(i),
	})
}

// identityTexts returns what is kept of an identity's data and customer.
func identityTexts(i *telamon.Identity) (data, customer string, err error) {
	text, err := json.Marshal(i.Data)
	if err != nil {
		return "", "", fmt.Errorf("encode identity %s: %w", i.ID, err)
	}
	if i.Customer == nil {
		return string(text), "", nil
	}
	contact, err := json.Marshal(i.Customer)
	if err != nil {
		return "", "", fmt.Errorf("encode the customer of identity %s: %w", i.ID, err)
	}
	return string(text), string(contact), nil
}

// identityFacts is what the audit log keeps of what an identity consists of: not the
// customer's contact, who is a person.
func identityFacts(i *telamon.Identity) map[string]any {
	facts := map[string]any{"name": i.Name, "data": i.Data}
	if i.Type != "" {
		facts["type"] = i.Type
	}
	if i.Customer != nil {
		facts["of_a_customer"] = true
	}
	return facts
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

// EditIdentity replaces the name, data and customer of a draft. It reports NotFound, and
// Conflict with identity_submitted if the identity is no draft any more.
func (db *DB) EditIdentity(ctx context.Context, actor telamon.Actor, i *telamon.Identity) error {
	data, customer, err := identityTexts(i)
	if err != nil {
		return err
	}
	return db.update(ctx, func(t *txn) error {
		before, err := t.identity(ctx, i.Account, i.ID)
		if err != nil {
			return err
		}
		changed, err := t.EditDraftIdentity(ctx, queries.EditDraftIdentityParams{
			AccountID: i.Account.String(), ID: i.ID.String(), Name: i.Name, Data: data, Customer: customer,
		})
		if err != nil {
			return fmt.Errorf("edit identity %s: %w", i.ID, err)
		}
		if changed != 1 {
			return fault.New(fault.Conflict, "identity_submitted", "A submitted profile cannot be changed. Submit a new one.")
		}
		if err := t.changed(ctx, ChangeIdentity, i.ID.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: i.Account, Action: "identity.edit", Object: i.ID.String(), Result: "ok",
			Before: identityFacts(&before), After: identityFacts(i),
		})
	})
}

// identity reads an identity of the account. It reports NotFound.
func (t *txn) identity(ctx context.Context, account telamon.AccountID, id telamon.IdentityID) (telamon.Identity, error) {
	row, err := t.Identity(ctx, queries.IdentityParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return telamon.Identity{}, found(err, "identity_not_found", "identity")
	}
	return identityOf(row)
}

// An IdentityMove is one step of an identity's life. The caller knows which are
// allowed.
type IdentityMove struct {
	From, To  telamon.IdentityState
	Action    string    // of the audit event, such as "identity.activate"
	Reason    string    // for the audit event; "" if there is none to tell
	Untold    bool      // the reason is the CA's own: the account's event is without it
	ExpiresAt time.Time // of the identity from now on; zero: never
	// ToldDays is the step of its reminders that the end of an identity which becomes active
	// is beyond already; 0: none.
	ToldDays int
}

// MoveIdentity moves an identity from one state to another, its open case of vetting with
// it, and writes the mails that tell the account of it. What is queued gets a case if it
// has a type. It reports NotFound, and Conflict if the identity is not in the state m.From.
func (db *DB) MoveIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID, m IdentityMove) error {
	return db.update(ctx, func(t *txn) error {
		identity, err := t.identity(ctx, account, id)
		if err != nil {
			return err
		}
		if err := t.moveIdentity(ctx, actor, &identity, m); err != nil {
			return err
		}
		return t.followIdentity(ctx, actor, &identity, m)
	})
}

// moveIdentity moves an identity, which it changes, and writes the audit event.
func (t *txn) moveIdentity(ctx context.Context, actor telamon.Actor, i *telamon.Identity, m IdentityMove) error {
	changed, err := t.MoveIdentity(ctx, queries.MoveIdentityParams{
		AccountID: i.Account.String(), ID: i.ID.String(), FromState: string(m.From), ToState: string(m.To),
		ExpiresAt: millisOrNil(m.ExpiresAt),
	})
	if err := mustChange(changed, err); err != nil {
		return fmt.Errorf("move identity %s to %s: %w", i.ID, m.To, err)
	}
	i.State, i.ExpiresAt = m.To, m.ExpiresAt
	if m.To == telamon.IdentityActive {
		err := t.NoteIdentityVetted(ctx, queries.NoteIdentityVettedParams{ID: i.ID.String(), Now: t.millis(), ToldDays: int64(m.ToldDays)})
		if err != nil {
			return fmt.Errorf("note that identity %s is vetted: %w", i.ID, err)
		}
		i.VettedAt = timeOf(t.millis())
	}
	if err := t.changed(ctx, ChangeIdentity, i.ID.String()); err != nil {
		return err
	}
	after := map[string]any{"state": m.To}
	if m.Reason != "" && !m.Untold {
		after["reason"] = m.Reason
	}
	if !m.ExpiresAt.IsZero() {
		after["expires_at"] = m.ExpiresAt
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: i.Account, Action: m.Action, Object: i.ID.String(), Result: "ok",
		Before: map[string]any{"state": m.From}, After: after,
	})
}

// ActivateIdentity writes that a draft needs no vetting: the actor submits it, and the
// platform makes it active at once. It reports NotFound, and Conflict with
// identity_submitted if it is no draft.
func (db *DB) ActivateIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID) error {
	return db.update(ctx, func(t *txn) error {
		identity, err := t.identity(ctx, account, id)
		if err != nil {
			return err
		}
		if identity.State != telamon.IdentityDraft {
			return fault.New(fault.Conflict, "identity_submitted", "A submitted profile cannot be changed. Submit a new one.")
		}
		return t.activateAtOnce(ctx, actor, &identity)
	})
}

func (t *txn) activateAtOnce(ctx context.Context, actor telamon.Actor, i *telamon.Identity) error {
	platform := telamon.Actor{Kind: telamon.ActorSystem, Account: i.Account, RequestID: actor.RequestID}
	for _, step := range []struct {
		by telamon.Actor
		m  IdentityMove
	}{
		{actor, IdentityMove{From: telamon.IdentityDraft, To: telamon.IdentityQueued, Action: "identity.submit"}},
		{platform, IdentityMove{From: telamon.IdentityQueued, To: telamon.IdentityProcessed, Action: "identity.process"}},
		{platform, IdentityMove{From: telamon.IdentityProcessed, To: telamon.IdentityActive, Action: "identity.activate"}},
	} {
		if err := t.moveIdentity(ctx, step.by, i, step.m); err != nil {
			return err
		}
	}
	return t.tellOfIdentity(ctx, i, TemplateIdentityActive, IdentityParams{})
}

// EnsureIdentity makes an identity of a type that needs no vetting, active, unless the
// account has an active one of that type, and reports whether it did: of several that ask
// at once, one. It reports NotFound, and Conflict if the account is deleted.
func (db *DB) EnsureIdentity(ctx context.Context, actor telamon.Actor, i *telamon.Identity) (made bool, err error) {
	err = db.update(ctx, func(t *txn) error {
		made = false
		if err := t.lockAccount(ctx, i.Account); err != nil {
			return err
		}
		n, err := t.IdentitiesOfType(ctx, queries.IdentitiesOfTypeParams{AccountID: i.Account.String(), Kind: string(i.Type)})
		if err != nil {
			return fmt.Errorf("count identities of %s: %w", i.Account, err)
		}
		if n > 0 {
			return nil
		}
		if err := t.createIdentity(ctx, actor, i); err != nil {
			return err
		}
		made = true
		return t.activateAtOnce(ctx, actor, i)
	})
	return made, err
}

// SetIdentityRequesters says who alone may request certificates for an identity; nil is
// whoever has a role for that. It reports NotFound, and Conflict if the identity is rejected
// or withdrawn.
func (db *DB) SetIdentityRequesters(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID, users []telamon.UserID) error {
	text := ""
	if users != nil {
		encoded, err := json.Marshal(users)
		if err != nil {
			return fmt.Errorf("encode the requesters of identity %s: %w", id, err)
		}
		text = string(encoded)
	}
	return db.update(ctx, func(t *txn) error {
		before, err := t.identity(ctx, account, id)
		if err != nil {
			return err
		}
		changed, err := t.Queries.SetIdentityRequesters(ctx, queries.SetIdentityRequestersParams{
			AccountID: account.String(), ID: id.String(), Requesters: text,
		})
		if err != nil {
			return fmt.Errorf("name the requesters of identity %s: %w", id, err)
		}
		if changed != 1 {
			return fault.New(fault.Conflict, "wrong_state", fmt.Sprintf("It is %s, so nobody can use it.", before.State))
		}
		if err := t.changed(ctx, ChangeIdentity, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "identity.name_requesters", Object: id.String(), Result: "ok",
			Before: map[string]any{"requesters": before.Requesters}, After: map[string]any{"requesters": users},
		})
	})
}

func identityOf(r queries.Identity) (telamon.Identity, error) {
	i := telamon.Identity{
		ID: telamon.IdentityID(r.ID), Account: telamon.AccountID(r.AccountID), Type: telamon.IdentityType(r.Kind), Name: r.Name,
		State: telamon.IdentityState(r.State), VettedAt: timeOrZero(r.VettedAt), ExpiresAt: timeOrZero(r.ExpiresAt),
		CreatedAt: timeOf(r.CreatedAt),
	}
	if err := json.Unmarshal([]byte(r.Data), &i.Data); err != nil {
		return i, fmt.Errorf("read data of identity %s: %w", r.ID, err)
	}
	if r.Customer != "" {
		if err := json.Unmarshal([]byte(r.Customer), &i.Customer); err != nil {
			return i, fmt.Errorf("read the customer of identity %s: %w", r.ID, err)
		}
	}
	if r.Requesters != "" {
		i.Requesters = []telamon.UserID{} // not nil: a list of nobody lets nobody
		if err := json.Unmarshal([]byte(r.Requesters), &i.Requesters); err != nil {
			return i, fmt.Errorf("read the requesters of identity %s: %w", r.ID, err)
		}
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
