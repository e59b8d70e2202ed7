package iam

import (
	"context"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
)

// Activities returns a page of what an account is shown of the audit log, which is what is
// about its users and what they authenticate by, and how many entries there are in all: see
// [store.DB.Activities]. A filter without an account is for that of the actor.
//
// It reports Denied, and Invalid with activity_page or activity_span.
func (s *IAM) Activities(ctx context.Context, actor telamon.Actor, f store.ActivityFilter) ([]telamon.Activity, int64, error) {
	if f.Account == "" {
		f.Account = actor.Account
	}
	if err := authz.Check(actor, authz.AuditRead, f.Account); err != nil {
		return nil, 0, err
	}
	return s.store.Activities(ctx, f)
}
