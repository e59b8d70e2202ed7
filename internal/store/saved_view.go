package store

import (
	"context"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// MaxSavedViews is how many views a user saves at most.
const MaxSavedViews = 50

// SaveView keeps a view of the user, and sets CreatedAt. It reports Conflict with
// view_exists if they have one of the name, and Limited with too_many_views.
func (db *DB) SaveView(ctx context.Context, actor telamon.Actor, v *telamon.SavedView) error {
	return db.update(ctx, func(t *txn) error {
		n, err := t.CountSavedViews(ctx, v.User.String())
		if err != nil {
			return fmt.Errorf("count saved views: %w", err)
		}
		if n >= MaxSavedViews {
			return fault.New(fault.Limited, "too_many_views", fmt.Sprintf("There are %d saved views: delete one first.", n))
		}
		v.CreatedAt = timeOf(t.millis())
		err = t.InsertSavedView(ctx, queries.InsertSavedViewParams{
			ID: v.ID.String(), UserID: v.User.String(), Name: v.Name, Query: v.Query, CreatedAt: t.millis(),
		})
		if violates(err, "saved_view_name_is_unique") {
			return fault.New(fault.Conflict, "view_exists", "There is a saved view of this name.")
		}
		if err != nil {
			return fmt.Errorf("save view %s: %w", v.ID, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: actor.Account, Action: "view.save", Object: v.ID.String(), Result: "ok", After: map[string]any{"name": v.Name},
		})
	})
}

// SavedViews returns the views of a user, by name.
func (db *DB) SavedViews(ctx context.Context, user telamon.UserID) ([]telamon.SavedView, error) {
	rows, err := db.queries().SavedViews(ctx, user.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list saved views of %s: %w", user, err))
	}
	return mapped(rows, func(r queries.SavedView) telamon.SavedView {
		return telamon.SavedView{
			ID: telamon.SavedViewID(r.ID), User: telamon.UserID(r.UserID), Name: r.Name, Query: r.Query, CreatedAt: timeOf(r.CreatedAt),
		}
	}), nil
}

// DropView deletes a view of the actor. It reports NotFound.
func (db *DB) DropView(ctx context.Context, actor telamon.Actor, id telamon.SavedViewID) error {
	return db.update(ctx, func(t *txn) error {
		n, err := t.DropSavedView(ctx, queries.DropSavedViewParams{UserID: actor.User.String(), ID: id.String()})
		if err != nil {
			return fmt.Errorf("delete view %s: %w", id, err)
		}
		if n != 1 {
			return fault.New(fault.NotFound, "view_not_found", "There is no such saved view.")
		}
		return t.audit(ctx, telamon.Event{Actor: actor, Account: actor.Account, Action: "view.delete", Object: id.String(), Result: "ok"})
	})
}
