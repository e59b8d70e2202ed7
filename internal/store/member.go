package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// roleAdministrator is the role of which an account keeps one user at least.
const roleAdministrator = "administrator"

// An Invitation asks somebody to become a user of an account.
type Invitation struct {
	ID        telamon.InvitationID
	Account   telamon.AccountID
	Email     string
	Locale    string
	Roles     []string // sorted
	InvitedBy telamon.UserID
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Invite writes an invitation and mails its link. It sets CreatedAt. It reports NotFound;
// Conflict with email_taken if the address is a person's, with already_invited, and with
// administrator_limit if the account, being a service provider's, would have more
// administrators than it may; and Limited with rate_limited if too many links went to the address.
func (db *DB) Invite(ctx context.Context, actor telamon.Actor, i *Invitation, link MailedLink) error {
	err := db.update(ctx, func(t *txn) error {
		if err := t.lockAccount(ctx, i.Account); err != nil {
			return err
		}
		user, err := t.personByEmail(ctx, i.Email)
		if err != nil {
			return err
		}
		if user != nil {
			return fault.New(fault.Conflict, "email_taken", "A user of this e-mail address exists.")
		}
		n, err := t.PendingInvitationsTo(ctx, queries.PendingInvitationsToParams{AccountID: i.Account.String(), Email: i.Email, Now: t.millis()})
		if err != nil {
			return fmt.Errorf("count invitations: %w", err)
		}
		if n > 0 {
			return fault.New(fault.Conflict, "already_invited", "This address has an invitation already: send it again, or withdraw it.")
		}
		if slices.Contains(i.Roles, roleAdministrator) {
			if err := t.checkAdministratorLimit(ctx, i.Account); err != nil {
				return err
			}
		}
		i.CreatedAt = timeOf(t.millis())
		err = t.InsertInvitation(ctx, queries.InsertInvitationParams{
			ID: i.ID.String(), AccountID: i.Account.String(), Email: i.Email, Locale: i.Locale, Roles: strings.Join(i.Roles, " "),
			InvitedBy: i.InvitedBy.String(), CreatedAt: t.millis(), ExpiresAt: i.ExpiresAt.UnixMilli(),
		})
		if err != nil {
			return fmt.Errorf("insert invitation %s: %w", i.ID, err)
		}
		link.Purpose, link.Email, link.Subject = LinkInvite, i.Email, i.ID.String()
		if err := t.mailLink(ctx, &link, i.Account, i.Locale); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: i.Account, Action: "user.invite", Object: i.ID.String(), Result: "ok",
			After: map[string]any{"email": i.Email, "roles": i.Roles},
		})
	})
	return limited(err)
}

// limited makes a fault of errMailLimit.
func limited(err error) error {
	if errors.Is(err, errMailLimit) {
		return &fault.Fault{
			Kind: fault.Limited, Code: fault.CodeRateLimited, Detail: "Too many mails were sent to this mailbox today.",
			RetryAfter: time.Hour,
		}
	}
	return err
}

// lockAccount keeps other changes of an account's administrators out until the
// transaction ends. It reports NotFound, and Conflict if the account is deleted.
func (t *txn) lockAccount(ctx context.Context, id telamon.AccountID) error {
	row, err := t.LockAccount(ctx, id.String())
	if err != nil {
		return found(err, "account_not_found", "account")
	}
	if telamon.State(row.State) == telamon.Deleted {
		return fault.New(fault.Conflict, "wrong_state", "The account is deleted.")
	}
	return nil
}

// checkAdministratorLimit reports Conflict if a service provider's account has as many
// administrators and invitations of such as it may (requirement 11). The account is locked.
func (t *txn) checkAdministratorLimit(ctx context.Context, id telamon.AccountID) error {
	profile, err := accountProfile(ctx, t.Queries, id)
	if err != nil || profile.Kind != AccountServiceProvider {
		return err
	}
	are, err := t.CountAdministrators(ctx, queries.CountAdministratorsParams{AccountID: id.String(), Now: t.millis()})
	if err != nil {
		return fmt.Errorf("count administrators: %w", err)
	}
	invited, err := t.CountInvitedAdministrators(ctx, queries.CountInvitedAdministratorsParams{AccountID: id.String(), Now: t.millis()})
	if err != nil {
		return fmt.Errorf("count invited administrators: %w", err)
	}
	if are+invited >= t.administrators {
		return fault.New(fault.Conflict, "administrator_limit", fmt.Sprintf("A service provider's account has %d administrators at most.", t.administrators))
	}
	return nil
}

// mayBecome reports Conflict with administrator_limit if a user would become one of the
// administrators of an account that has as many as it may. Whatever makes a user one goes
// through here, before it is written: it locks the account, so that of two who become one at
// once the second sees the first.
func (t *txn) mayBecome(ctx context.Context, before, after *telamon.User) error {
	if t.isAdministrator(before) || !t.isAdministrator(after) {
		return nil
	}
	if err := t.lockAccount(ctx, after.Account); err != nil {
		return err
	}
	return t.checkAdministratorLimit(ctx, after.Account)
}

// isAdministrator reports whether a user is one of those whom CountAdministrators counts.
func (t *txn) isAdministrator(u *telamon.User) bool {
	return u.Kind == telamon.StandardUser && u.State == telamon.Active && slices.Contains(u.Roles, roleAdministrator) &&
		(u.EndsAt.IsZero() || u.EndsAt.UnixMilli() > t.millis())
}

// keepAdministrator reports Conflict with last_administrator if the account would have no
// active and open administrator without the user, who is one. It locks the account, so that of two
// who go at once the second one sees that the first has gone.
func (t *txn) keepAdministrator(ctx context.Context, u *telamon.User) error {
	if u.Kind != telamon.StandardUser || u.State != telamon.Active || !slices.Contains(u.Roles, roleAdministrator) {
		return nil
	}
	if _, err := t.LockAccount(ctx, u.Account.String()); err != nil {
		return fmt.Errorf("lock account %s: %w", u.Account, err)
	}
	others, err := t.CountOpenAdministrators(ctx, queries.CountOpenAdministratorsParams{
		AccountID: u.Account.String(), Without: u.ID.String(), Now: t.millis(),
	})
	if err != nil {
		return fmt.Errorf("count administrators: %w", err)
	}
	if others == 0 {
		return fault.New(fault.Conflict, "last_administrator", "The last administrator cannot be removed.")
	}
	return nil
}

// Invitations lists the invitations of an account that nobody has accepted yet, those
// among them that have ended too.
func (db *DB) Invitations(ctx context.Context, account telamon.AccountID) ([]Invitation, error) {
	rows, err := db.queries().Invitations(ctx, account.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list invitations of %s: %w", account, err))
	}
	return mapped(rows, invitationOf), nil
}

// Invitation returns an invitation. It reports NotFound with link_invalid.
func (db *DB) Invitation(ctx context.Context, id telamon.InvitationID) (*Invitation, error) {
	row, err := db.queries().InvitationByID(ctx, id.String())
	if err != nil {
		return nil, db.judge(ctx, found(err, "link_invalid", "invitation"))
	}
	i := invitationOf(row)
	return &i, nil
}

// InviteAgain ends the links of an invitation and mails a new one, until whose end the
// invitation holds. It reports NotFound, and Limited with rate_limited.
func (db *DB) InviteAgain(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.InvitationID, link MailedLink) error {
	return limited(db.update(ctx, func(t *txn) error {
		prolonged, err := t.ProlongInvitation(ctx, queries.ProlongInvitationParams{
			AccountID: account.String(), ID: id.String(), ExpiresAt: link.ExpiresAt.UnixMilli(),
		})
		if err != nil {
			return fmt.Errorf("prolong invitation %s: %w", id, err)
		}
		if prolonged != 1 {
			return errNoInvitation()
		}
		row, err := t.InvitationByID(ctx, id.String())
		if err != nil {
			return fmt.Errorf("read invitation %s: %w", id, err)
		}
		if err := t.EndMailedLinks(ctx, queries.EndMailedLinksParams{Subject: row.ID, Now: t.millis()}); err != nil {
			return fmt.Errorf("end links of %s: %w", id, err)
		}
		l := link
		l.Purpose, l.Email, l.Subject = LinkInvite, row.Email, row.ID
		if err := t.mailLink(ctx, &l, account, row.Locale); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "user.invite_again", Object: id.String(), Result: "ok",
		})
	}))
}

func errNoInvitation() error {
	return fault.New(fault.NotFound, "invitation_not_found", "There is no such invitation.")
}

// WithdrawInvitation ends an invitation. It reports NotFound.
func (db *DB) WithdrawInvitation(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.InvitationID) error {
	return db.update(ctx, func(t *txn) error {
		ended, err := t.EndInvitation(ctx, queries.EndInvitationParams{AccountID: account.String(), ID: id.String(), ToState: "withdrawn"})
		if err != nil {
			return fmt.Errorf("withdraw invitation %s: %w", id, err)
		}
		if ended != 1 {
			return errNoInvitation()
		}
		if err := t.EndMailedLinks(ctx, queries.EndMailedLinksParams{Subject: id.String(), Now: t.millis()}); err != nil {
			return fmt.Errorf("end links of %s: %w", id, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "user.withdraw_invitation", Object: id.String(), Result: "ok",
		})
	})
}

// AcceptInvitation uses a link up and makes the user, who has the invitation's address,
// language and roles. It reports NotFound with link_invalid, also if the address is a
// person's by now.
func (db *DB) AcceptInvitation(ctx context.Context, actor telamon.Actor, link *MailedLink, u *telamon.User) error {
	err := db.update(ctx, func(t *txn) error {
		if err := t.useLink(ctx, link, LinkInvite); err != nil {
			return err
		}
		row, err := t.InvitationByID(ctx, link.Subject)
		if err != nil {
			return found(err, "link_invalid", "invitation")
		}
		i := invitationOf(row)
		ended, err := t.EndInvitation(ctx, queries.EndInvitationParams{AccountID: row.AccountID, ID: row.ID, ToState: "accepted"})
		if err != nil {
			return fmt.Errorf("accept invitation %s: %w", i.ID, err)
		}
		if ended != 1 {
			return errLink()
		}
		u.Account, u.Email, u.Locale, u.Roles, u.CreatedBy = i.Account, i.Email, i.Locale, i.Roles, i.InvitedBy
		if err := t.insertUser(ctx, actor, u); err != nil {
			return err
		}
		if err := t.ensurePerson(ctx, u.ID); err != nil {
			return err
		}
		if _, err := t.Queries.ClearAttempts(ctx, emailHash(u.Email)); err != nil {
			return fmt.Errorf("clear attempts: %w", err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: i.Account, Action: "user.accept_invitation", Object: u.ID.String(), Result: "ok",
			After: map[string]any{"invitation": i.ID},
		})
	})
	if violates(err, "account_user_email_is_unique") {
		return errLink()
	}
	return err
}

// AssignRoles replaces the roles of a person, whose sessions end. Roles that the caller
// keeps are among those given. It reports NotFound, and Conflict with last_administrator
// and with administrator_limit.
func (db *DB) AssignRoles(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, roles []string) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.lockAccount(ctx, account); err != nil {
			return err
		}
		row, err := t.User(ctx, queries.UserParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "user_not_found", "user")
		}
		u := userOf(row)
		if u.State == telamon.Deleted {
			return fault.New(fault.NotFound, "user_not_found", "There is no such user.")
		}
		after := u
		after.Roles = roles
		if !slices.Contains(roles, roleAdministrator) {
			if err := t.keepAdministrator(ctx, &u); err != nil {
				return err
			}
		}
		if err := t.mayBecome(ctx, &u, &after); err != nil {
			return err
		}
		err = mustChange(t.Queries.AssignRoles(ctx, queries.AssignRolesParams{
			AccountID: account.String(), ID: id.String(), FromRoles: row.Roles, ToRoles: strings.Join(roles, " "),
		}))
		if err != nil {
			return fmt.Errorf("change roles of user %s: %w", id, err)
		}
		if _, err := t.Queries.EndSessions(ctx, queries.EndSessionsParams{UserID: id.String()}); err != nil {
			return fmt.Errorf("end sessions of %s: %w", id, err)
		}
		if err := t.changed(ctx, ChangeUser, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "user.set_roles", Object: id.String(), Result: "ok",
			Before: map[string]any{"roles": u.Roles}, After: map[string]any{"roles": roles},
		})
	})
}

func invitationOf(r queries.Invitation) Invitation {
	return Invitation{
		ID: telamon.InvitationID(r.ID), Account: telamon.AccountID(r.AccountID), Email: r.Email, Locale: r.Locale,
		Roles: strings.Fields(r.Roles), InvitedBy: telamon.UserID(r.InvitedBy), CreatedAt: timeOf(r.CreatedAt), ExpiresAt: timeOf(r.ExpiresAt),
	}
}
