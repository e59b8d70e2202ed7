package domains

import (
	"errors"
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// maxName is the longest text of a domain that a form takes: that of a name with a final
// dot, and more for letters of other scripts.
const maxName = 512

// When a new claim is verified.
const (
	thenVerify = "verify"
	thenLater  = "later"
)

// A draft is what a form says of a new claim.
type draft struct{ identity, kind, name, then string }

// fields are those of the form.
func (c *call) fields(d draft, claimants []telamon.Identity) (identity, kind, name, then ui.Field) {
	identity = ui.Field{
		Name: "identity", Label: c.Say("domains.ask.identity"), Hint: c.Say("domains.ask.identity.hint"), Value: d.identity, Require: true,
	}
	for _, i := range claimants {
		identity.Options = append(identity.Options, ui.Option{Value: i.ID.String(), Text: i.Name})
	}
	kind = ui.Field{Name: "kind", Label: c.Say("domains.ask.kind"), Value: d.kind, Require: true, Options: []ui.Option{
		{Value: string(telamon.ClaimDomain), Text: c.Say("domains.kind.domain"), Hint: c.Say("domains.kind.domain.hint")},
		{Value: string(telamon.ClaimIP), Text: c.Say("domains.kind.ip"), Hint: c.Say("domains.kind.ip.hint")},
	}}
	name = ui.Field{
		Name: "name", Label: c.Say("domains.ask.name"), Hint: c.Say("domains.ask.name.hint"), Value: d.name, Require: true, Max: maxName, Code: true,
		Focus: d.name == "", Mode: "url",
	}
	then = ui.Field{Name: "then", Label: c.Say("domains.ask.then"), Value: d.then, Require: true, Options: []ui.Option{
		{Value: thenVerify, Text: c.Say("domains.then.verify"), Hint: c.Say("domains.then.verify.hint")},
		{Value: thenLater, Text: c.Say("domains.then.later"), Hint: c.Say("domains.then.later.hint")},
	}}
	return identity, kind, name, then
}

func (c *call) newHead() ui.Head {
	return ui.Head{
		Up: &ui.Link{Text: c.Say("domains.title"), URL: page.DomainsPath}, Title: c.Say("domains.new"), Lead: c.Say("domains.new.lead"),
	}
}

// ask serves GET /domains/new.
func (c *call) ask() error {
	if err := authz.Check(c.Actor, authz.ClaimSubmit, c.Account()); err != nil {
		return err
	}
	q := c.R.URL.Query()
	return c.askAgain(http.StatusOK, draft{identity: q.Get("identity"), kind: string(telamon.ClaimDomain), name: q.Get("name"), then: thenVerify}, nil)
}

// askAgain shows the form, with what is wrong with what it said.
func (c *call) askAgain(status int, d draft, wrong map[string]string) error {
	claimants, err := c.iam.Claimants(c.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	head := c.newHead()
	if len(claimants) == 0 {
		return c.Show(http.StatusOK, head.Title, ui.Header(head), page.NeedsFirst(c.Say("domains.needs"), c.Say("domains.needs.do"),
			&ui.Link{Text: c.Say("nav.dashboard"), URL: page.HomePath}))
	}
	identity, kind, name, then := c.fields(d, claimants)
	identity.Error, kind.Error, name.Error = wrong["identity"], wrong["kind"], wrong["name"]
	form := ui.Form{Action: page.DomainNewPath, Button: c.Say("domains.new.button"), Cancel: c.CancelTo(page.DomainsPath)}
	return c.Show(status, head.Title, newPage(head, form, identity, kind, name, then))
}

// submit serves POST /domains/new.
func (c *call) submit() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	d := draft{form.Get("identity"), form.Get("kind"), strings.TrimSpace(form.Get("name")), form.Get("then")}
	if d.kind != string(telamon.ClaimIP) {
		d.kind = string(telamon.ClaimDomain)
	}
	if err := authz.Check(c.Actor, authz.ClaimSubmit, c.Account()); err != nil {
		return err
	}
	identity, err := telamon.ParseIdentityID(d.identity)
	if err != nil {
		return c.askAgain(http.StatusUnprocessableEntity, d, map[string]string{"identity": c.Say("domains.wrong.identity")})
	}
	actor, err := c.actorFor(identity)
	if err != nil {
		if fault.Is(err, fault.Conflict) {
			return c.askAgain(http.StatusUnprocessableEntity, d, map[string]string{"identity": c.Say("domains.wrong.identity")})
		}
		return err
	}
	claim, err := c.ra.SubmitClaim(c.Context(), actor, telamon.ClaimKind(d.kind), d.name)
	if err != nil {
		if problem := c.wrongName(err); problem != "" {
			return c.askAgain(http.StatusUnprocessableEntity, d, map[string]string{"name": problem})
		}
		return err
	}
	if d.then == thenLater {
		return c.Redirect(page.DomainsPath)
	}
	return c.Redirect(pathOf(claim.ID))
}

// wrongNames are the messages about names that cannot be claimed.
var wrongNames = map[string]error{
	"domains.wrong.wildcard": dnsname.ErrClaimWildcard, "domains.wrong.single": dnsname.ErrSingleLabel,
	"domains.wrong.reserved": dnsname.ErrSpecialUse, "domains.wrong.suffix": dnsname.ErrPublicSuffix,
	"domains.wrong.internal": dnsname.ErrNoRegistry, "domains.wrong.address": dnsname.ErrAddress,
}

// wrongName says why a name cannot be claimed, "" if err blames something else.
func (c *call) wrongName(err error) string {
	flt := fault.From(err)
	if flt.Code != "claim_name" || len(flt.Fields) == 0 {
		return ""
	}
	switch flt.Fields[0].Path {
	case "ip_address":
		return c.Say("domains.wrong.ip")
	case "blacklist":
		return c.Say("domains.wrong.blocked")
	}
	for key, cause := range wrongNames {
		if errors.Is(err, cause) {
			return c.Say(key)
		}
	}
	return c.Say("domains.wrong.syntax")
}
