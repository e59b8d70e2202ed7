package iam

import (
	"context"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Profile is what a person says of themself.
type Profile struct {
	Name   string
	Locale string // the language of mails, such as "de_DE"
}

// UpdateMe changes what the person who acts says of themself. What else a user has is for
// others to change. It reports Invalid with invalid_user, NotFound, and Denied to service
// users.
func (s *IAM) UpdateMe(ctx context.Context, actor telamon.Actor, p Profile) (telamon.User, error) {
	if err := authz.CheckUser(actor, authz.UserRead, actor.Account, actor.User); err != nil {
		return telamon.User{}, err
	}
	user, err := s.liveUser(ctx, actor.Account, actor.User)
	if err != nil {
		return telamon.User{}, err
	}
	if user.Kind != telamon.StandardUser {
		return telamon.User{}, fault.New(fault.Denied, "access_denied", "You are not allowed to do this.")
	}
	var wrong problems
	p.Name = strings.TrimSpace(p.Name)
	wrong.Text("name", p.Name, maxName)
	language, _, ok := strings.Cut(p.Locale, "_")
	if !ok || len(p.Locale) != len("en_US") || !slices.Contains(notify.LetterLanguages(), language) {
		wrong.Add("locale", "is none of the languages of mails")
	}
	if err := wrong.Fault("invalid_user"); err != nil {
		return telamon.User{}, err
	}
	user, err = s.store.UpdateUser(ctx, actor, actor.Account, actor.User, store.UserChange{Name: &p.Name, Locale: &p.Locale},
		func(_, _ *telamon.User) error { return nil })
	if err != nil {
		return telamon.User{}, err
	}
	s.changed(ctx, store.ChangeUser, actor.User.String())
	return user, nil
}
