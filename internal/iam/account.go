package iam

import (
	"context"
	"net/mail"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/password"
	"github.com/telamon-ca/telamon/internal/store"
)

const maxName = 128 // characters of a name for display

// CreateAccount makes an active account. It reports Invalid, and Conflict with
// name_taken.
func (s *IAM) CreateAccount(ctx context.Context, actor telamon.Actor, name string) (*telamon.Account, error) {
	if err := authz.Check(actor, authz.AccountCreate, ""); err != nil {
		return nil, err
	}
	var p problems
	p.text("name", name, maxName)
	if err := p.fault("invalid_account"); err != nil {
		return nil, err
	}
	a := &telamon.Account{ID: telamon.NewAccountID(), Name: name}
	if err := s.store.CreateAccount(ctx, actor, a); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeAccount, a.ID.String())
	return a, nil
}

// Account returns an account. It reports NotFound.
func (s *IAM) Account(ctx context.Context, actor telamon.Actor, id telamon.AccountID) (telamon.Account, error) {
	if err := authz.Check(actor, authz.AccountRead, id); err != nil {
		return telamon.Account{}, err
	}
	return s.store.Account(ctx, id)
}

// AccountNamed returns the account of a name. It reports NotFound.
func (s *IAM) AccountNamed(ctx context.Context, actor telamon.Actor, name string) (telamon.Account, error) {
	if err := authz.Check(actor, authz.AccountRead, ""); err != nil {
		return telamon.Account{}, err
	}
	return s.store.AccountByName(ctx, name)
}

// Accounts lists all accounts.
func (s *IAM) Accounts(ctx context.Context, actor telamon.Actor, page store.Page) ([]telamon.Account, error) {
	if err := authz.Check(actor, authz.AccountRead, ""); err != nil {
		return nil, err
	}
	return s.store.Accounts(ctx, page)
}

// DisableAccount makes every login and token of the account be refused at once. It
// reports NotFound, and Conflict with wrong_state; so do the next two.
func (s *IAM) DisableAccount(ctx context.Context, actor telamon.Actor, id telamon.AccountID) error {
	return s.setAccountState(ctx, actor, authz.AccountDisable, id, telamon.Disabled)
}

// EnableAccount ends a DisableAccount.
func (s *IAM) EnableAccount(ctx context.Context, actor telamon.Actor, id telamon.AccountID) error {
	return s.setAccountState(ctx, actor, authz.AccountEnable, id, telamon.Active)
}

// DeleteAccount disables the account for ever. What it issued stays in the ledger.
func (s *IAM) DeleteAccount(ctx context.Context, actor telamon.Actor, id telamon.AccountID) error {
	return s.setAccountState(ctx, actor, authz.AccountDelete, id, telamon.Deleted)
}

func (s *IAM) setAccountState(ctx context.Context, actor telamon.Actor, action authz.Action, id telamon.AccountID, to telamon.State) error {
	if err := authz.Check(actor, action, id); err != nil {
		return err
	}
	if err := s.store.SetAccountState(ctx, actor, id, to); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeAccount, id.String())
	return nil
}

// Roles are the roles that a user may have; a user's rights are their union.
var Roles = []string{
	"administrator", "manage_identities", "manage_certificates", "manage_credentials", "manage_domains", "finance",
	"read_only", "auditor",
}

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
	if !isEmail(n.Email) {
		p.add("email", "is not an e-mail address")
	}
	for _, role := range n.Roles {
		p.oneOf("roles", role, Roles)
	}
	if n.Password != "" {
		p.password(n.Password)
	}
	if err := p.fault("invalid_user"); err != nil {
		return nil, err
	}
	u := &telamon.User{
		ID: telamon.NewUserID(), Account: n.Account, Email: strings.ToLower(n.Email), Name: n.Name,
		Roles: slices.Compact(slices.Sorted(slices.Values(n.Roles))),
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
		p.add("password", problem)
	}
}

// isEmail reports whether text is the plain form of an address (RFC 5322, Section
// 3.4.1), without a display name.
func isEmail(text string) bool {
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && len(text) <= 254 && !strings.ContainsAny(text, " \t\"")
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
func (s *IAM) SetPassword(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, newPassword string) error {
	if err := authz.Check(actor, authz.UserSetPassword, account); err != nil {
		return err
	}
	var p problems
	p.password(newPassword)
	if err := p.fault("invalid_password"); err != nil {
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
	if !ok || user.State != telamon.Active {
		return fault.New(fault.Unauthenticated, "unauthorized", "Unauthorized")
	}
	return nil
}
