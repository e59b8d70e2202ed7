package signin

import (
	"context"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// Invite asks somebody by mail to become a user of the account with these roles of the
// portal, one at least. Who is invited chooses the password.
//
// It reports Invalid with invalid_invitation; Conflict with email_taken, already_invited or
// administrator_limit; what authz.MayAssign reports; Denied with second_factor_stale if a
// role is one that needs a second factor; and Limited.
func (s *Service) Invite(ctx context.Context, actor telamon.Actor, account telamon.AccountID, email, language string, roles []string) (*store.Invitation, error) {
	if err := authz.Check(actor, authz.UserInvite, account); err != nil {
		return nil, err
	}
	var p problems
	email = p.email(email)
	roles = p.roles(roles)
	if len(roles) == 0 {
		p.Add("roles", "are required: one at least")
	}
	if err := p.Fault("invalid_invitation"); err != nil {
		return nil, err
	}
	if err := s.mayAssign(ctx, actor, account, "", roles); err != nil {
		return nil, err
	}
	link := s.newLink()
	i := &store.Invitation{
		ID: telamon.NewInvitationID(), Account: account, Email: email, Locale: locale(language), Roles: roles, InvitedBy: actor.User,
		ExpiresAt: link.ExpiresAt,
	}
	if err := s.store.Invite(ctx, actor, i, link); err != nil {
		return nil, err
	}
	s.wake()
	return i, nil
}

// roles checks roles of the portal and returns them sorted, each once.
func (p *problems) roles(roles []string) []string {
	for _, role := range roles {
		if !authz.IsPortalRole(role) {
			p.Add("roles", "there is no role "+role)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(roles)))
}

// mayAssign is authz.MayAssign with what it has to know of the account.
func (s *Service) mayAssign(ctx context.Context, actor telamon.Actor, account telamon.AccountID, user telamon.UserID, roles []string) error {
	profile, err := s.store.AccountProfile(ctx, account)
	if err != nil {
		return err
	}
	if err := authz.MayAssign(actor, account, profile.Kind == store.AccountStaff, user, roles); err != nil {
		return err
	}
	if slices.ContainsFunc(roles, authz.NeedsFactor) {
		return authz.MustBeFresh(actor, s.clock.Now())
	}
	return nil
}

// Members lists the people of an account with what they sign in by. It reports Denied and
// NotFound.
func (s *Service) Members(ctx context.Context, actor telamon.Actor, account telamon.AccountID, f store.MemberFilter) ([]store.Member, error) {
	if err := authz.Check(actor, authz.UserRead, account); err != nil {
		return nil, err
	}
	return s.store.Members(ctx, account, f)
}

// Member returns a person of an account. It reports Denied and NotFound, also for a service
// user, who is no person.
func (s *Service) Member(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) (*store.Member, error) {
	if err := authz.Check(actor, authz.UserRead, account); err != nil {
		return nil, err
	}
	return s.store.Member(ctx, account, id)
}

// Invitations lists the invitations of the account that nobody has accepted yet.
func (s *Service) Invitations(ctx context.Context, actor telamon.Actor, account telamon.AccountID) ([]store.Invitation, error) {
	if err := authz.Check(actor, authz.UserInvite, account); err != nil {
		return nil, err
	}
	return s.store.Invitations(ctx, account)
}

// InviteAgain mails a new link for an invitation; former ones are good no more. It reports
// NotFound and Limited.
func (s *Service) InviteAgain(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.InvitationID) error {
	if err := authz.Check(actor, authz.UserInvite, account); err != nil {
		return err
	}
	defer s.wake()
	return s.store.InviteAgain(ctx, actor, account, id, s.newLink())
}

// WithdrawInvitation ends an invitation. It reports NotFound.
func (s *Service) WithdrawInvitation(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.InvitationID) error {
	if err := authz.Check(actor, authz.UserInvite, account); err != nil {
		return err
	}
	return s.store.WithdrawInvitation(ctx, actor, account, id)
}

// An Invited is what a mailed link invites to.
type Invited struct {
	Email   string
	Account string // its name
	Roles   []string
}

// Invitation returns what the link of this value invites to. It changes nothing. It
// reports NotFound with link_invalid.
func (s *Service) Invitation(ctx context.Context, value string) (*Invited, error) {
	link, err := s.link(ctx, value, store.LinkInvite)
	if err != nil {
		return nil, err
	}
	i, err := s.store.Invitation(ctx, telamon.InvitationID(link.Subject))
	if err != nil {
		return nil, err
	}
	account, err := s.store.Account(ctx, i.Account)
	if err != nil {
		return nil, err
	}
	return &Invited{Email: i.Email, Account: account.Name, Roles: i.Roles}, nil
}

// AcceptInvitation takes the value of the link that Invite mailed, once, and makes the
// user, who can sign in then. It reports Invalid with invalid_user, after which the link is
// still good, and NotFound with link_invalid.
func (s *Service) AcceptInvitation(ctx context.Context, value, name, newPassword string, from Client) error {
	link, err := s.link(ctx, value, store.LinkInvite)
	if err != nil {
		return err
	}
	var p problems
	p.text("name", name, maxName, true)
	p.password(newPassword)
	if err := p.Fault("invalid_user"); err != nil {
		return err
	}
	hash, err := s.passwords.Hash(ctx, newPassword)
	if err != nil {
		return err
	}
	user := &telamon.User{ID: telamon.NewUserID(), Kind: telamon.StandardUser, Name: name, PasswordHash: hash}
	if err := s.store.AcceptInvitation(ctx, from.stranger(), link, user); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, user.ID.String())
	return nil
}

// SetRoles replaces the roles of the portal that a user has, a person or a machine; those
// of other applications stay. A person's sessions end. It reports Invalid with
// invalid_roles, NotFound, Conflict with last_administrator and administrator_limit, and
// what Invite does of roles.
func (s *Service) SetRoles(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, roles []string) error {
	if err := authz.Check(actor, authz.UserSetRoles, account); err != nil {
		return err
	}
	var p problems
	roles = p.roles(roles)
	if err := p.Fault("invalid_roles"); err != nil {
		return err
	}
	user, err := s.store.User(ctx, account, id)
	if err != nil {
		return err
	}
	if err := s.mayAssign(ctx, actor, account, id, roles); err != nil {
		return err
	}
	for _, role := range user.Roles {
		if !authz.IsPortalRole(role) {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	if err := s.store.AssignRoles(ctx, actor, account, id, roles); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, id.String())
	return nil
}

// errOwnUser is the fault of what nobody does to themselves.
func errOwnUser() error {
	return fault.New(fault.Denied, "own_user", "Nobody can do this to themselves: another administrator can.")
}

// SetMemberState disables, enables or deletes a person of the account. Nobody does it to
// themselves, and the last administrator stays. The person's sessions end at once, and with
// the person all that they authenticate by. It reports NotFound; Conflict with wrong_state
// and last_administrator; Denied; and Denied with second_factor_stale for a deletion.
func (s *Service) SetMemberState(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, to telamon.State) error {
	action, ok := map[telamon.State]authz.Action{
		telamon.Active: authz.UserEnable, telamon.Disabled: authz.UserDisable, telamon.Deleted: authz.UserDelete,
	}[to]
	if !ok {
		return fault.New(fault.Invalid, "invalid_state", "A user is active, disabled or deleted.")
	}
	if err := s.mayChangeMember(ctx, actor, action, account, id); err != nil {
		return err
	}
	if to == telamon.Deleted {
		if err := authz.MustBeFresh(actor, s.clock.Now()); err != nil {
			return err
		}
		changes, err := s.store.DeleteUser(ctx, actor, account, id)
		s.directory.Refresh(ctx, changes...)
		return err
	}
	if err := s.store.SetUserState(ctx, actor, account, id, to); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, id.String())
	return nil
}

// mayChangeMember reports Denied or NotFound unless the actor may do this to a person of the
// account, who is somebody else; with role_not_yours if the person's roles reach further
// than the actor's, who is no administrator.
func (s *Service) mayChangeMember(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.UserID) error {
	if err := authz.Check(actor, action, account); err != nil {
		return err
	}
	if id == actor.User {
		return errOwnUser()
	}
	member, err := s.store.Member(ctx, account, id)
	if err != nil || slices.Contains(actor.Roles, authz.RoleAdministrator) { // who reaches the staff of the own account, too
		return err
	}
	return authz.MayChange(actor, member.Roles)
}

// SetMemberLock locks a person of the account, whose sessions end at once, or ends such a
// lock. Nobody does it to themselves. It reports NotFound; Denied; Conflict with wrong_state
// and last_administrator; and Conflict with locked_out for a lock because of failed attempts,
// which a new password alone ends.
func (s *Service) SetMemberLock(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, lock bool) error {
	action := authz.UserUnlock
	if lock {
		action = authz.UserLock
	}
	if err := s.mayChangeMember(ctx, actor, action, account, id); err != nil {
		return err
	}
	if err := s.store.SetMemberLock(ctx, actor, account, id, lock); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, id.String())
	return nil
}

// EndSessionsOf ends all sessions of a person of the account, and returns how many.
func (s *Service) EndSessionsOf(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) (int64, error) {
	if err := authz.Check(actor, authz.SessionEnd, account); err != nil {
		return 0, err
	}
	if _, err := s.store.Member(ctx, account, id); err != nil {
		return 0, err
	}
	return s.store.EndSessions(ctx, actor, account, id, "")
}
