package iam

import (
	"context"
	"net/mail"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// A NewUser says what user to make.
type NewUser struct {
	Account  telamon.AccountID
	Email    string // compared without regard to case
	Name     string
	Roles    []string
	Password string // "" sets none yet
}

// CreateUser makes an active user. It reports Invalid, NotFound if there is no such
// account, and Conflict with email_taken.
func (s *IAM) CreateUser(ctx context.Context, actor telamon.Actor, n NewUser) (*telamon.User, error) {
	if err := authz.Check(actor, authz.UserCreate, n.Account); err != nil {
		return nil, err
	}
	var p problems
	p.text("name", n.Name, maxName)
	p.email("email", n.Email)
	roles := p.roles(n.Roles)
	if n.Password != "" {
		p.password(n.Password)
	}
	if err := p.fault("invalid_user"); err != nil {
		return nil, err
	}
	if err := authz.MayGive(actor, roles); err != nil {
		return nil, err
	}
	u := &telamon.User{
		ID: telamon.NewUserID(), Account: n.Account, Email: strings.ToLower(n.Email), Name: n.Name, Roles: roles,
		CreatedBy: actor.User,
	}
	if n.Password != "" {
		var err error
		if u.PasswordHash, err = s.hashPassword(ctx, n.Password); err != nil {
			return nil, err
		}
	}
	if err := s.store.CreateUser(ctx, actor, u); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeUser, u.ID.String())
	return u, nil
}

// isEmail reports whether text is the plain form of an address (RFC 5322, Section
// 3.4.1), without a display name.
func isEmail(text string) bool {
	if len(text) > 254 {
		return false
	}
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && !strings.ContainsAny(text, " \t\"")
}

// User returns a user of the account. It reports NotFound.
func (s *IAM) User(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) (telamon.User, error) {
	if err := authz.Check(actor, authz.UserRead, account); err != nil {
		return telamon.User{}, err
	}
	return s.store.User(ctx, account, id)
}

// Users lists the users of the account.
func (s *IAM) Users(ctx context.Context, actor telamon.Actor, account telamon.AccountID, page store.Page) ([]telamon.User, error) {
	if err := authz.Check(actor, authz.UserRead, account); err != nil {
		return nil, err
	}
	return s.store.Users(ctx, account, page)
}

// DisableUser, EnableUser and DeleteUser report NotFound, and Conflict with
// wrong_state.
func (s *IAM) DisableUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	return s.setUserState(ctx, actor, authz.UserDisable, account, id, telamon.Disabled)
}

// EnableUser ends a DisableUser.
func (s *IAM) EnableUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	return s.setUserState(ctx, actor, authz.UserEnable, account, id, telamon.Active)
}

// DeleteUser disables a user for ever. The e-mail address stays taken.
func (s *IAM) DeleteUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	return s.setUserState(ctx, actor, authz.UserDelete, account, id, telamon.Deleted)
}

func (s *IAM) setUserState(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.UserID, to telamon.State) error {
	if err := authz.Check(actor, action, account); err != nil {
		return err
	}
	if err := s.store.SetUserState(ctx, actor, account, id, to); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, id.String())
	return nil
}

// SetPassword replaces a user's password. It reports Invalid and NotFound.
func (s *IAM) SetPassword(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, password string) error {
	if err := authz.Check(actor, authz.UserSetPassword, account); err != nil {
		return err
	}
	var p problems
	p.password(password)
	if err := p.fault("invalid_password"); err != nil {
		return err
	}
	hash, err := s.hashPassword(ctx, password)
	if err != nil {
		return err
	}
	return s.store.SetUserPassword(ctx, actor, account, id, hash)
}

// CheckPassword returns the user if the password is the user's, and an
// Unauthenticated fault otherwise. It takes as long for a user without a password.
func (s *IAM) CheckPassword(ctx context.Context, user telamon.User, password string) error {
	ok, err := s.verifyPassword(ctx, user.PasswordHash, password)
	if err != nil {
		return err
	}
	if !ok || user.Status(s.clock.Now()) != telamon.UserActive {
		return fault.New(fault.Unauthenticated, "unauthorized", "Unauthorized")
	}
	return nil
}
