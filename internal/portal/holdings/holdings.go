// Package holdings serves the pages of what an account is given: services, quotes and identities.
//
// It holds no rules: packages iam and commerce have them.
package holdings

import (
	"net/http"

	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
)

// Pages serves the pages.
type Pages struct {
	shell    *page.Shell
	iam      *iam.IAM
	commerce *commerce.Service
}

// New returns the pages.
func New(shell *page.Shell, iam *iam.IAM, commerce *commerce.Service) *Pages {
	return &Pages{shell: shell, iam: iam, commerce: commerce}
}

// Routes adds the pages to a router.
func (p *Pages) Routes(mux page.Router) {
	p.serviceRoutes(mux)
	p.identityRoutes(mux)
}

// A call is one request of somebody who has signed in.
type call struct {
	*page.Call
	*Pages
}

// person is a handler for people who have signed in.
func (p *Pages) person(h func(*call) error) http.HandlerFunc {
	return p.shell.Person(func(c *page.Call) error { return h(&call{c, p}) })
}
