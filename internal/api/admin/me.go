package admin

import (
	"context"
	"net/http"

	"github.com/telamon-ca/telamon"
)

// Me says who calls, and as what.
type Me struct {
	Kind     telamon.ActorKind `json:"kind"`               // user or operator
	Operator string            `json:"operator,omitempty"` // the name of one who has shown it
	Account  telamon.AccountID `json:"account,omitempty"`  // of a user
	User     telamon.UserID    `json:"user,omitempty"`
	Name     string            `json:"name,omitempty"`
	Roles    []string          `json:"roles,omitempty"` // that count: those of the CA's staff need the certificate
	// Token and ClientCertificate are what the user showed.
	Token             telamon.APITokenID   `json:"token,omitempty"`
	ClientCertificate telamon.ClientCertID `json:"client_certificate,omitempty"`
}

// mePattern is the one route that needs no permission: it tells nobody more than they have
// shown.
const mePattern = "GET /me"

func (s *server) meRoutes() {
	s.route(mePattern, http.StatusOK, func(_ context.Context, c *call) (any, error) {
		a := c.actor
		return Me{
			Kind: a.Kind, Operator: a.Operator, Account: a.Account, User: a.User, Name: a.UserName, Roles: a.Roles,
			Token: a.Token, ClientCertificate: a.ClientCert,
		}, nil
	})
}
