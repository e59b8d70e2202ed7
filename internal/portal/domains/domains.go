// Package domains serves the pages of an account's domains: claims to names and addresses,
// the records by which control of them is shown, and what checks have seen.
//
// It holds no rules: packages ra and iam have them. People choose an identity, and the
// pages act by a pair of it.
package domains

import (
	"net/http"

	"golang.org/x/net/idna"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// Pages serves the pages.
type Pages struct {
	shell *page.Shell
	iam   *iam.IAM
	ra    *ra.RA
}

// New returns the pages.
func New(shell *page.Shell, iam *iam.IAM, ra *ra.RA) *Pages { return &Pages{shell, iam, ra} }

// csvPath is the path of the list as a file.
const csvPath = page.DomainsPath + ".csv"

// Routes adds the pages to a router.
func (p *Pages) Routes(mux page.Router) {
	one := page.DomainsPath + "/{id}"
	mux.HandleFunc("GET "+page.DomainsPath, p.person((*call).list))
	mux.HandleFunc("GET "+csvPath, p.person((*call).file))
	mux.HandleFunc("GET "+page.DomainNewPath, p.person((*call).ask))
	mux.HandleFunc("POST "+page.DomainNewPath, p.person((*call).submit))
	mux.HandleFunc("GET "+one, p.person((*call).show))
	mux.HandleFunc("POST "+one+"/check", p.person((*call).check))
	mux.HandleFunc("POST "+one+"/mail", p.person((*call).mail))
	mux.HandleFunc("GET "+one+"/renew", p.person((*call).askRenew))
	mux.HandleFunc("POST "+one+"/renew", p.person((*call).renew))
	mux.HandleFunc("GET "+one+"/delete", p.person((*call).askDelete))
	mux.HandleFunc("POST "+one+"/delete", p.person((*call).delete))
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

// detail returns the claim of the address.
func (c *call) detail() (*ra.ClaimDetail, error) {
	id, err := telamon.ParseClaimID(c.R.PathValue("id"))
	if err != nil {
		return nil, page.OrNotFound(err)
	}
	return c.ra.AccountClaim(c.Context(), c.Actor, c.Account(), id)
}

// actorFor returns the person as one who acts for the claims of an identity.
func (c *call) actorFor(identity telamon.IdentityID) (telamon.Actor, error) {
	pair, err := c.iam.DomainPair(c.Context(), c.Actor, c.Account(), identity)
	if err != nil {
		return telamon.Actor{}, err
	}
	return c.ra.For(c.Context(), c.Actor, pair.ID)
}

// acting returns the claim of the address, and the person as one who acts for it.
func (c *call) acting() (*ra.ClaimDetail, telamon.Actor, error) {
	d, err := c.detail()
	if err != nil {
		return nil, telamon.Actor{}, err
	}
	actor, err := c.actorFor(d.Claim.Identity)
	return d, actor, err
}

// identityNames are the names of the account's identities.
func (c *call) identityNames() ([]telamon.Identity, map[telamon.IdentityID]string, error) {
	list, err := c.iam.Identities(c.Context(), c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	names := make(map[telamon.IdentityID]string, len(list))
	for _, i := range list {
		names[i.ID] = i.Name
	}
	return list, names, err
}

// pathOf is the path of a claim's page.
func pathOf(id telamon.ClaimID) string { return page.DomainsPath + "/" + id.String() }

// spoken is a domain as people write it in their own script, "" if that is no other way.
func spoken(name string) string {
	text, err := idna.Display.ToUnicode(name)
	if err != nil || text == name {
		return ""
	}
	return text
}

// state returns a claim's state in words.
func (c *call) state(k *telamon.Claim) ui.State {
	now := c.Clock.Now()
	switch {
	case k.Status == telamon.ClaimVerified && k.ExpiresAt.Sub(now) <= store.ExpiringSpan:
		return ui.State{Tone: ui.Warn, Word: c.Say("domains.state.expiring")}
	case k.Status == telamon.ClaimVerified:
		return ui.State{Tone: ui.Good, Word: c.Say("domains.state.verified")}
	case !k.VerifiedAt.IsZero():
		return ui.State{Tone: ui.Bad, Word: c.Say("domains.state.expired")}
	case !now.Before(k.AssertBy):
		return ui.State{Tone: ui.Warn, Word: c.Say("domains.state.pending"), Reason: c.codeExpired(k)}
	}
	return ui.State{Tone: ui.Pending, Word: c.Say("domains.state.pending")}
}

// codeExpired says that the claim needs a new code (DOM-01).
func (c *call) codeExpired(k *telamon.Claim) string {
	return c.Say("domains.code_expired", "date", ui.Date(k.AssertBy))
}
