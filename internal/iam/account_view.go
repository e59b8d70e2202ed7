package iam

import (
	"context"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
)

// roleAccountAdmin is the role of those who are shown as an account's administrators.
const roleAccountAdmin = "AM_ACCOUNT_ADMIN"

// AccountAdmins returns the users of the account who administer it and are not deleted,
// in the order in which they were made.
func (s *IAM) AccountAdmins(ctx context.Context, actor telamon.Actor, account telamon.AccountID) ([]telamon.User, error) {
	if err := authz.Check(actor, authz.AccountRead, account); err != nil {
		return nil, err
	}
	var admins []telamon.User
	page := store.Page{Limit: 1000}
	for {
		users, err := s.store.Users(ctx, account, page)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			if u.State != telamon.Deleted && slices.Contains(u.Roles, roleAccountAdmin) {
				admins = append(admins, u)
			}
		}
		if len(users) < page.Limit {
			return admins, nil
		}
		page.After = users[len(users)-1].ID.String()
	}
}

// Roles returns the roles that users of the actor's account may have.
func (s *IAM) Roles(_ context.Context, actor telamon.Actor) ([]authz.Role, error) {
	if err := authz.Check(actor, authz.RoleRead, actor.Account); err != nil {
		return nil, err
	}
	return authz.Roles(), nil
}
