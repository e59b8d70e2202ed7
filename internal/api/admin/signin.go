package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

// NewInvitation is the body that invites somebody to an account of the portal.
type NewInvitation struct {
	Email    string   `json:"email"`
	Language string   `json:"language,omitempty"` // of the mail, such as "de"; English without it
	Roles    []string `json:"roles"`
}

// An Invitation asks somebody to become a user.
type Invitation struct {
	ID        telamon.InvitationID `json:"id"`
	Email     string               `json:"email"`
	Roles     []string             `json:"roles"`
	ExpiresAt time.Time            `json:"expires_at"`
}

func invitationOf(i store.Invitation) Invitation {
	return Invitation{ID: i.ID, Email: i.Email, Roles: i.Roles, ExpiresAt: i.ExpiresAt}
}

// Roles is the body that sets a person's roles of the portal.
type Roles struct {
	Roles []string `json:"roles"`
}

// signIn returns the use cases of the portal's people. It reports Conflict with no_portal.
func (s *server) signIn() (*signin.Service, error) {
	if s.SignIn == nil {
		return nil, fault.New(fault.Conflict, "no_portal", "There is no portal: names.portal of the configuration is empty.")
	}
	return s.SignIn, nil
}

func (s *server) signInRoutes() {
	const one = "/accounts/{account}/users/{user}"
	s.accountAction("POST /accounts/{account}/make-staff", func(ctx context.Context, actor telamon.Actor, account telamon.AccountID) error {
		people, err := s.signIn()
		if err != nil {
			return err
		}
		return people.MakeStaffAccount(ctx, actor, account)
	})
	accountPostRoute(s, "POST /accounts/{account}/invitations", func(ctx context.Context, c *call, account telamon.AccountID, in *NewInvitation) (any, error) {
		people, err := s.signIn()
		if err != nil {
			return nil, err
		}
		i, err := people.Invite(ctx, c.actor, account, in.Email, in.Language, in.Roles)
		return made(i, err, invitationOf)
	})
	s.route("GET /accounts/{account}/invitations", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		people, err := s.signIn()
		if err != nil {
			return nil, err
		}
		account, err := c.accountID(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := people.Invitations(ctx, c.actor, account)
		return listOf(rows, store.Page{Limit: len(rows) + 1}, invitationOf, func(i store.Invitation) string { return i.ID.String() }), err
	})
	changeRoute(s, "POST "+one+"/roles", "user", telamon.ParseUserID,
		func(ctx context.Context, c *call, account telamon.AccountID, user telamon.UserID, in *Roles) error {
			people, err := s.signIn()
			if err != nil {
				return err
			}
			return people.SetRoles(ctx, c.actor, account, user, in.Roles)
		})
	actionRoute(s, "POST "+one+"/reset-factors", "user", telamon.ParseUserID,
		func(ctx context.Context, actor telamon.Actor, account telamon.AccountID, user telamon.UserID) error {
			people, err := s.signIn()
			if err != nil {
				return err
			}
			return people.ResetFactors(ctx, actor, account, user, signin.Client{RequestID: actor.RequestID})
		})
}
