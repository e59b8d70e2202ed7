package digicertone

import (
	"net/http"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
)

func (a *API) tokenRoutes() {
	a.route("GET /account/api/v1/api-access-token", factorAny, a.tokens)
	a.route("POST /account/api/v1/api-access-token", factorAny, a.createToken)
	a.route("GET /account/api/v1/api-access-token/{id}", factorAny, a.token)
	a.route("PUT /account/api/v1/api-access-token/{id}", factorAny, a.updateToken)
	a.route("DELETE /account/api/v1/api-access-token/{id}", factorAny, a.deleteToken)
}

// wireToken is an API access token (digicert-one.md, Section 6.3).
type wireToken struct {
	ID        string  `json:"id"`
	UserID    string  `json:"user_id"`
	Name      string  `json:"name"`
	Enabled   bool    `json:"enabled"`
	CreatedAt string  `json:"created_at"`
	EndDate   *string `json:"end_date"`
	Token     string  `json:"token,omitempty"` // of one that was just made
}

func wireTokenOf(k *telamon.APIToken) *wireToken {
	return &wireToken{
		ID: uuidOf(k.ID), UserID: uuidOf(k.User), Name: k.Name, Enabled: k.State == telamon.Active,
		CreatedAt: formatTime(k.CreatedAt), EndDate: formatEnd(k.EndsAt),
	}
}

// tokenIn is the body of POST and PUT /api-access-token.
type tokenIn struct {
	Name    *string  `json:"name"`
	EndDate nullable `json:"end_date"` // null: none
	Enabled *bool    `json:"enabled"`  // of PUT
	UserID  *string  `json:"user_id"`  // of POST; absent: the caller's own
}

// tokens serves GET /api-access-token?user_id=, whose parameter is required.
func (a *API) tokens(c *call) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	user, err := userParameter(query)
	if err != nil {
		return err
	}
	if user == "" {
		return badRequest("user_id", "is required")
	}
	tokens, err := a.iam.APITokens(c.r.Context(), c.actor, c.actor.Account, user)
	if err != nil {
		return err
	}
	return writeArrayOf(c, tokens, wireTokenOf)
}

// owner returns whom POST makes a token for.
func (in *tokenIn) owner(actor telamon.Actor) (telamon.UserID, error) {
	if in.UserID == nil {
		return actor.User, nil
	}
	return memberID("user_id", *in.UserID, telamon.UserIDFromBytes)
}

// newToken returns what POST asks for.
func (in *tokenIn) newToken(account telamon.AccountID, user telamon.UserID) (iam.NewAPIToken, error) {
	n := iam.NewAPIToken{Account: account, User: user, Name: textOf(in.Name)}
	end, err := in.EndDate.end("end_date")
	if err == nil && end != nil {
		n.EndsAt = *end
	}
	return n, err
}

// createToken serves POST /api-access-token.
func (a *API) createToken(c *call) error {
	var in tokenIn
	if err := c.decode(&in); err != nil {
		return err
	}
	user, err := in.owner(c.actor)
	if err != nil {
		return err
	}
	if err := a.mayDoTo(c, authz.APITokenCreate, user); err != nil {
		return err
	}
	n, err := in.newToken(c.actor.Account, user)
	if err != nil {
		return err
	}
	k, text, err := a.iam.CreateAPIToken(c.r.Context(), c.actor, n)
	if err != nil {
		return err
	}
	out := wireTokenOf(k)
	out.Token = text
	return writeJSON(c.w, http.StatusCreated, out)
}

// token serves GET /api-access-token/{id}.
func (a *API) token(c *call) error {
	id, err := pathID(c, telamon.APITokenIDFromBytes)
	if err != nil {
		return err
	}
	k, err := a.iam.APIToken(c.r.Context(), c.actor, c.actor.Account, id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, wireTokenOf(&k))
}

// updateToken serves PUT /api-access-token/{id}.
func (a *API) updateToken(c *call) error {
	id, err := pathID(c, telamon.APITokenIDFromBytes)
	if err != nil {
		return err
	}
	if err := a.mayChangeToken(c, id); err != nil {
		return err
	}
	var in tokenIn
	if err := c.decode(&in); err != nil {
		return err
	}
	change := iam.APITokenChange{Name: in.Name, Enabled: in.Enabled}
	if change.EndsAt, err = in.EndDate.end("end_date"); err != nil {
		return err
	}
	k, err := a.iam.UpdateAPIToken(c.r.Context(), c.actor, c.actor.Account, id, change)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, wireTokenOf(&k))
}

// mayChangeToken checks, before a body is looked at, that the caller may change a token.
func (a *API) mayChangeToken(c *call, id telamon.APITokenID) error {
	k, err := a.iam.APIToken(c.r.Context(), c.actor, c.actor.Account, id)
	if err != nil {
		return err
	}
	return authz.CheckUser(c.actor, authz.APITokenUpdate, c.actor.Account, k.User)
}

// deleteToken serves DELETE /api-access-token/{id}.
func (a *API) deleteToken(c *call) error {
	id, err := pathID(c, telamon.APITokenIDFromBytes)
	if err != nil {
		return err
	}
	if err := a.iam.DeleteAPIToken(c.r.Context(), c.actor, c.actor.Account, id); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
