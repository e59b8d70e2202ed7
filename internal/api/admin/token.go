package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// An APIToken is a secret of a user, without the secret.
type APIToken struct {
	ID        telamon.APITokenID `json:"id"`
	User      telamon.UserID     `json:"user"`
	Name      string             `json:"name"`
	State     telamon.State      `json:"state"`
	EndsAt    *time.Time         `json:"ends_at,omitempty"` // the last second
	CreatedAt time.Time          `json:"created_at"`
}

func apiTokenOf(k telamon.APIToken) APIToken {
	return APIToken{ID: k.ID, User: k.User, Name: k.Name, State: k.State, EndsAt: timeOf(k.EndsAt), CreatedAt: k.CreatedAt}
}

// NewAPIToken is the body that makes an API token.
type NewAPIToken struct {
	Name   string     `json:"name"`
	EndsAt *time.Time `json:"ends_at,omitempty"`
}

// A CreatedAPIToken is an API token with its text, which is shown once.
type CreatedAPIToken struct {
	APIToken
	Token string `json:"token"`
}

// APITokenChange is the body that changes an API token. What is left out stays as it is.
type APITokenChange struct {
	Name   *string    `json:"name,omitempty"`
	EndsAt *time.Time `json:"ends_at,omitempty"`
	NoEnd  bool       `json:"no_end,omitempty"` // removes the end
}

func (s *server) tokenRoutes() {
	const all, one, name = "/accounts/{account}/users/{user}/tokens", "/accounts/{account}/tokens/{api_token}", "api_token"
	s.route("GET "+all, http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		account, user, err := object(ctx, c, "user", telamon.ParseUserID)
		if err != nil {
			return nil, err
		}
		tokens, err := s.IAM.APITokens(ctx, c.actor, account, user)
		list := List[APIToken]{Items: []APIToken{}} // whole: a user has a hundred at most
		for _, k := range tokens {
			list.Items = append(list.Items, apiTokenOf(k))
		}
		return list, err
	})
	accountPostRoute(s, "POST "+all, func(ctx context.Context, c *call, account telamon.AccountID, in *NewAPIToken) (any, error) {
		user, err := id(c, "user", telamon.ParseUserID)
		if err != nil {
			return nil, err
		}
		end, err := endOf(in.EndsAt)
		if err != nil {
			return nil, err
		}
		k, token, err := s.IAM.CreateAPIToken(ctx, c.actor, iam.NewAPIToken{Account: account, User: user, Name: in.Name, EndsAt: end})
		return made(k, err, func(k telamon.APIToken) CreatedAPIToken {
			return CreatedAPIToken{APIToken: apiTokenOf(k), Token: token}
		})
	})
	objectRoute(s, "GET "+one, name, telamon.ParseAPITokenID, s.IAM.APIToken, apiTokenOf)
	changeRoute(s, "PUT "+one, name, telamon.ParseAPITokenID,
		func(ctx context.Context, c *call, account telamon.AccountID, token telamon.APITokenID, in *APITokenChange) error {
			end, err := newEnd(in.EndsAt, in.NoEnd)
			if err == nil {
				_, err = s.IAM.UpdateAPIToken(ctx, c.actor, account, token, iam.APITokenChange{Name: in.Name, EndsAt: end})
			}
			return err
		})
	actionRoute(s, "POST "+one+"/disable", name, telamon.ParseAPITokenID, s.enableAPIToken(false))
	actionRoute(s, "POST "+one+"/enable", name, telamon.ParseAPITokenID, s.enableAPIToken(true))
	actionRoute(s, "DELETE "+one, name, telamon.ParseAPITokenID, s.IAM.DeleteAPIToken)
}

func (s *server) enableAPIToken(enabled bool) func(context.Context, telamon.Actor, telamon.AccountID, telamon.APITokenID) error {
	return func(ctx context.Context, actor telamon.Actor, account telamon.AccountID, token telamon.APITokenID) error {
		_, err := s.IAM.UpdateAPIToken(ctx, actor, account, token, iam.APITokenChange{Enabled: &enabled})
		return err
	}
}
