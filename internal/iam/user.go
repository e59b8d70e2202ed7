package iam

import (
	"context"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/password"
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
// account, and Conflict with email_taken, or with administrator_limit in the account of a
// service provider.
func (s *IAM) CreateUser(ctx context.Context, actor telamon.Actor, n NewUser) (*telamon.User, error) {
	if err := authz.Check(actor, authz.UserCreate, n.Account); err != nil {
		return nil, err
	}
	var p problems
	p.Text("name", n.Name, maxName)
	p.email("email", n.Email)
	roles := p.roles(n.Roles)
	if n.Password != "" {
		p.password(n.Password)
	}
	if err := p.Fault("invalid_user"); err != nil {
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
		if u.PasswordHash, err = s.passwords.Hash(ctx, n.Password); err != nil {
			return nil, err
		}
	}
	if err := s.store.CreateUser(ctx, actor, u); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeUser, u.ID.String())
	return u, nil
}

// password checks a new password.
func (p *problems) password(text string) {
	if problem := password.Problem(text); problem != "" {
		p.Add("password", problem)
	}
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

// User returns a user of the account; to users one who is deleted is none. It reports
// NotFound.
func (s *IAM) User(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) (telamon.User, error) {
	if err := authz.CheckUser(actor, authz.UserRead, account, id); err != nil {
		return telamon.User{}, err
	}
	if actor.Kind == telamon.ActorUser {
		return s.liveUser(ctx, account, id)
	}
	return s.store.User(ctx, account, id)
}

// liveUser returns a user of the account who is not deleted.
func (s *IAM) liveUser(ctx context.Context, account telamon.AccountID, id telamon.UserID) (telamon.User, error) {
	u, err := s.store.User(ctx, account, id)
	if err == nil && u.State == telamon.Deleted {
		return telamon.User{}, fault.New(fault.NotFound, "user_not_found", "There is no such user.")
	}
	return u, err
}

// Me returns the user who acts and their account, as the directory has them. The caller
// must not change what they hold. It reports NotFound for an actor who is no user.
func (s *IAM) Me(ctx context.Context, actor telamon.Actor) (*telamon.User, *telamon.Account, error) {
	if err := authz.CheckUser(actor, authz.UserRead, actor.Account, actor.User); err != nil {
		return nil, nil, err
	}
	user, err := s.directory.User(ctx, actor.User)
	if err != nil {
		return nil, nil, err
	}
	account, err := s.directory.Account(ctx, user.Account)
	if err != nil {
		return nil, nil, err
	}
	return user, account, nil
}

// Users lists the users of the account, deleted ones too.
func (s *IAM) Users(ctx context.Context, actor telamon.Actor, account telamon.AccountID, page store.Page) ([]telamon.User, error) {
	if err := authz.Check(actor, authz.UserRead, account); err != nil {
		return nil, err
	}
	return s.store.Users(ctx, account, page)
}

// A UserFilter selects users. What is empty selects all.
type UserFilter struct {
	Kind   telamon.UserKind
	Status telamon.UserStatus
	Name   string // a part of the name, without regard to case
	Email  string // without regard to case
}

func (f UserFilter) selects(u *telamon.User, now time.Time) bool {
	return (f.Status == "" || u.Status(now) == f.Status) &&
		(f.Name == "" || strings.Contains(strings.ToLower(u.Name), strings.ToLower(f.Name))) &&
		(f.Email == "" || u.Email == strings.ToLower(f.Email))
}

// FindUsers lists the users of the account who are not deleted and whom the filter
// selects, in the order in which they were made.
func (s *IAM) FindUsers(ctx context.Context, actor telamon.Actor, account telamon.AccountID, f UserFilter) ([]telamon.User, error) {
	if err := authz.Check(actor, authz.UserRead, account); err != nil {
		return nil, err
	}
	found, now := []telamon.User(nil), s.clock.Now()
	page := store.Page{Limit: 1000}
	for {
		users, err := s.store.LiveUsers(ctx, account, f.Kind, page)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			if f.selects(&u, now) {
				found = append(found, u)
			}
		}
		if len(users) < page.Limit {
			return found, nil
		}
		page.After = users[len(users)-1].ID.String()
	}
}

// DisableUser makes all that a user authenticates by be refused at once, whatever the
// state of each. It reports NotFound, Denied with role_not_yours, and Conflict with
// wrong_state; so do the next two.
func (s *IAM) DisableUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	return s.setUserState(ctx, actor, authz.UserDisable, account, id, telamon.Disabled)
}

// EnableUser ends a DisableUser: what was itself disabled stays so.
func (s *IAM) EnableUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	return s.setUserState(ctx, actor, authz.UserEnable, account, id, telamon.Active)
}

func (s *IAM) setUserState(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.UserID, to telamon.State) error {
	if err := s.maySetState(ctx, actor, action, account, id); err != nil {
		return err
	}
	if err := s.store.SetUserState(ctx, actor, account, id, to); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, id.String())
	return nil
}

// maySetState checks that the actor may change a user's state or lock. To users, one who is
// deleted is none.
func (s *IAM) maySetState(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.UserID) error {
	if err := authz.CheckUser(actor, action, account, id); err != nil {
		return err
	}
	return s.mayReach(ctx, actor, id, authz.MayChange)
}

// DeleteUser ends a user for ever, and with them their API tokens and client certificates,
// which are revoked. The e-mail address of a person stays taken; the name of a service
// user is free again.
func (s *IAM) DeleteUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	if err := s.maySetState(ctx, actor, authz.UserDelete, account, id); err != nil {
		return err
	}
	changes, err := s.store.DeleteUser(ctx, actor, account, id)
	if err != nil {
		return err
	}
	s.directory.Refresh(ctx, changes...)
	return nil
}

// A UserChange says what to change of a user. What is nil stays.
type UserChange = store.UserChange

// UpdateUser changes a user and returns the user as they are now. An end may be put off,
// brought forward and removed; nobody changes their own roles, gives others a role that has
// more rights than they have, or changes who manages what they do not.
//
// It reports Invalid with invalid_user, NotFound, Denied with own_roles or role_not_yours,
// or with second_factor_stale if a new role is one that needs a second factor, and Conflict
// with name_taken, email_taken, last_administrator or administrator_limit.
func (s *IAM) UpdateUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, c UserChange) (telamon.User, error) {
	if err := authz.CheckUser(actor, authz.UserUpdate, account, id); err != nil {
		return telamon.User{}, err
	}
	if c.Roles != nil {
		if err := authz.CheckUser(actor, authz.UserSetRoles, account, id); err != nil {
			return telamon.User{}, err
		}
	}
	c, err := s.checkUserChange(c)
	if err != nil {
		return telamon.User{}, err
	}
	u, err := s.store.UpdateUser(ctx, actor, account, id, c, func(before, after *telamon.User) error {
		return s.mayChangeUser(actor, before, after)
	})
	if err != nil {
		return telamon.User{}, err
	}
	s.changed(ctx, store.ChangeUser, id.String())
	return u, nil
}

// checkUserChange checks what a change says whoever the user is, and returns it as it is
// kept.
func (s *IAM) checkUserChange(c UserChange) (UserChange, error) {
	var p problems
	if c.Description != nil {
		p.description(*c.Description)
	}
	if c.Email != nil {
		p.email("email", *c.Email)
		lower := strings.ToLower(*c.Email)
		c.Email = &lower
	}
	if c.EndsAt != nil {
		p.end("end_date", *c.EndsAt, s.clock.Now())
		end := lastSecond(*c.EndsAt)
		c.EndsAt = &end
	}
	if c.Roles != nil {
		c.Roles = append([]string{}, p.roles(c.Roles)...)
	}
	return c, p.Fault("invalid_user")
}

// mayChangeUser checks a change of a user by who they are, in whose reach they must be: a
// person's name and a service user's friendly name follow different rules.
func (s *IAM) mayChangeUser(actor telamon.Actor, before, after *telamon.User) error {
	var p problems
	if before.Name != after.Name {
		if after.Kind == telamon.ServiceUser {
			after.Name = p.DisplayName("friendly_name", after.Name)
		} else {
			p.Text("name", after.Name, maxName)
		}
	}
	if err := p.Fault("invalid_user"); err != nil {
		return err
	}
	if actor.Kind == telamon.ActorUser && actor.User == after.ID {
		if !slices.Equal(before.Roles, after.Roles) {
			return fault.New(fault.Denied, "own_roles", "You cannot change your own roles.")
		}
		return nil
	}
	if err := authz.MayChange(actor, before.Roles); err != nil {
		return err
	}
	given := added(before.Roles, after.Roles)
	if err := authz.MayGive(actor, slices.Concat(given, ofPortal(added(after.Roles, before.Roles)))); err != nil {
		return err
	}
	return s.mustBeFreshFor(actor, given)
}

// ofPortal returns the roles of the portal among codes: nobody takes one away either who
// could not give it (requirement 8).
func ofPortal(codes []string) []string {
	return slices.DeleteFunc(codes, func(code string) bool { return !authz.IsPortalRole(code) })
}

// added returns what is in after and not in before.
func added(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(after), func(s string) bool { return slices.Contains(before, s) })
}

// SetPassword replaces a user's password. It reports Invalid and NotFound.
func (s *IAM) SetPassword(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, newPassword string) error {
	if err := authz.Check(actor, authz.UserSetPassword, account); err != nil {
		return err
	}
	var p problems
	p.password(newPassword)
	if err := p.Fault("invalid_password"); err != nil {
		return err
	}
	hash, err := s.passwords.Hash(ctx, newPassword)
	if err != nil {
		return err
	}
	return s.store.SetUserPassword(ctx, actor, account, id, hash)
}

// CheckPassword returns the user if the password is the user's, and an
// Unauthenticated fault otherwise. It takes as long for a user without a password.
func (s *IAM) CheckPassword(ctx context.Context, user telamon.User, password string) error {
	ok, err := s.passwords.Verify(ctx, user.PasswordHash, password)
	if err != nil {
		return err
	}
	if !ok || user.Status(s.clock.Now()) != telamon.UserActive {
		return fault.New(fault.Unauthenticated, "unauthorized", "Unauthorized")
	}
	return nil
}
