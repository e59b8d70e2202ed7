// Package holdings serves the pages of what an account is given: services and identities.
//
// It holds no rules: package iam has them.
package holdings

import (
	"net/http"

	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
)

// Pages serves the pages.
type Pages struct {
	shell *page.Shell
	iam   *iam.IAM
}

// New returns the pages.
func New(shell *page.Shell, iam *iam.IAM) *Pages { return &Pages{shell: shell, iam: iam} }

// Routes adds the pages to a router.
func (p *Pages) Routes(mux page.Router) {
	mux.HandleFunc("GET "+page.ServicesPath, p.person((*call).services))
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
