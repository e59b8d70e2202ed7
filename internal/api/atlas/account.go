package atlas

import (
	"context"
	"encoding/pem"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/web"
)

// loginBody is the answer to POST /login.
type loginBody struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"` // seconds
}

// login serves POST /login. An Authorization header is ignored: clients send an
// empty or stale one.
func (a *API) login(c *call) error {
	key, secret, err := decodeLogin(c.body)
	if err != nil {
		return err
	}
	client := web.ClientOf(c.r.Context())
	token, err := a.iam.Login(c.r.Context(), client.Address, client.Certificate, key, secret)
	if err != nil {
		return err
	}
	return writeJSON(c.w, loginBody{AccessToken: token, TokenType: "Bearer", ExpiresIn: int(iam.TokenLife.Seconds())})
}

// policy serves GET /validationpolicy.
func (a *API) policy(c *call) error {
	p, err := a.ra.Policy(c.r.Context(), c.actor)
	if err != nil {
		return err
	}
	return writeJSON(c.w, p.Model())
}

// trustChain serves GET /trustchain: the issuing CA first and the root last.
func (a *API) trustChain(c *call) error {
	chain, err := a.ra.TrustChain(c.r.Context(), c.actor)
	if err != nil {
		return err
	}
	texts := make([]string, len(chain))
	for i, ca := range chain {
		texts[i] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))
	}
	return writeJSON(c.w, texts)
}

// counter returns what serves the routes that answer one number.
func (a *API) counter(count func(context.Context, telamon.Actor) (int64, error)) func(*call) error {
	return func(c *call) error {
		n, err := count(c.r.Context(), c.actor)
		if err != nil {
			return err
		}
		return writeJSON(c.w, struct {
			Value int64 `json:"value"`
		}{n})
	}
}
