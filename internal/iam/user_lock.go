package iam

import (
	"context"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
)

// LockUser refuses all that the user shows, at once, until UnlockUser. Nothing else of the
// user changes. It reports NotFound, and Conflict with wrong_state if the user is locked or
// deleted.
func (s *IAM) LockUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	return s.setUserLock(ctx, actor, authz.UserLock, account, id, s.store.LockUser)
}

// UnlockUser ends a LockUser. It reports NotFound, and Conflict with wrong_state if the
// user is not locked or is deleted.
func (s *IAM) UnlockUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	return s.setUserLock(ctx, actor, authz.UserUnlock, account, id, s.store.UnlockUser)
}

func (s *IAM) setUserLock(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.UserID, set func(context.Context, telamon.Actor, telamon.AccountID, telamon.UserID) error) error {
	if err := s.maySetState(ctx, actor, action, account, id); err != nil {
		return err
	}
	if err := set(ctx, actor, account, id); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, id.String())
	return nil
}
