// Package access serves the pages of what clients log in with: API credentials and mTLS
// certificates. A secret is on one page, once; a private key is sent nowhere.
//
// It holds no rules: package iam has them.
package access

import (
	"context"
	"net/http"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/store"
)

// Pages serves the pages.
type Pages struct {
	shell *page.Shell
	iam   *iam.IAM
	// atlasURL is the address of the Atlas API, without a final slash, for commands that
	// people copy; "" leaves them out.
	atlasURL string
}

// New returns the pages.
func New(shell *page.Shell, iam *iam.IAM, atlasURL string) *Pages {
	return &Pages{shell: shell, iam: iam, atlasURL: atlasURL}
}

// Routes adds the pages to a router.
func (p *Pages) Routes(mux page.Router) {
	p.credentialRoutes(mux)
	p.mtlsRoutes(mux)
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

// ClientCerts lists the mTLS certificates of the account that are for credentials.
func ClientCerts(ctx context.Context, iam *iam.IAM, actor telamon.Actor, account telamon.AccountID) ([]telamon.ClientCert, error) {
	certs, err := iam.ClientCerts(ctx, actor, account, store.Page{Limit: page.MaxRows})
	return slices.DeleteFunc(certs, func(k telamon.ClientCert) bool { return k.User != "" }), err
}
