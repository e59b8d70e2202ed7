// Package accounts serves the pages of the CA's own staff, but for those of vetting: the
// accounts of the platform and what is offered to them.
//
// It holds no rules: the use cases say who of the staff may do what, and to everybody else
// these pages do not exist.
package accounts

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
	p.accountRoutes(mux)
	p.quoteRoutes(mux)
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
