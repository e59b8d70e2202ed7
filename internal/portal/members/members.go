// Package members serves the pages of who belongs to an account and what happened in it:
// people and invitations, the sign-in by an OpenID provider, the audit log, and the
// history of mails.
//
// It holds no rules: package signin has those of people, package iam the others.
package members

import (
	"context"
	"net/http"

	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Renderer makes the message of a mail again, with what would open something left out. It
// reports [notify.ErrMoot] if there is nothing to make it of any more.
type Renderer func(ctx context.Context, m *store.Mail) (notify.Message, error)

// Pages serves the pages.
type Pages struct {
	shell  *page.Shell
	signin *signin.Service
	iam    *iam.IAM
	render Renderer // nil: mails are listed, and not shown
}

// New returns the pages.
func New(shell *page.Shell, signin *signin.Service, iam *iam.IAM, render Renderer) *Pages {
	return &Pages{shell: shell, signin: signin, iam: iam, render: render}
}

// Routes adds the pages to a router.
func (p *Pages) Routes(mux page.Router) {
	p.memberRoutes(mux)
	p.invitationRoutes(mux)
	p.auditRoutes(mux)
	p.mailRoutes(mux)
	p.providerRoutes(mux)
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
