package domains

import (
	"net/http"

	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// goesOn reports whether err only says what the claim's page says anyway: that a check
// runs, or that the code has expired.
func goesOn(err error) bool {
	flt := fault.From(err)
	return flt != nil && (flt.Code == "check_running" || flt.Code == fault.CodeClaimExpired)
}

// check serves POST /domains/{id}/check: the check begins, and the page shows what it sees.
func (c *call) check() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	d, actor, err := c.acting()
	if err != nil {
		return err
	}
	ch, id := chosen(d, form), d.Claim.ID
	switch ch.way {
	case wayHTTP:
		_, err = c.ra.StartHTTP(c.Context(), actor, d.Claim.Kind, id, ch.scheme)
	case wayEmail:
		return page.ErrNotFound
	default:
		at := ch.at()
		_, err = c.ra.StartDNS(c.Context(), actor, id, &at)
	}
	if err != nil && !goesOn(err) {
		return err
	}
	return c.Redirect(pathOf(id) + "?" + ch.values().Encode() + "#watch")
}

// mail serves POST /domains/{id}/mail: a mailbox is asked for approval.
func (c *call) mail() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	d, actor, err := c.acting()
	if err != nil {
		return err
	}
	_, err = c.ra.SendApproval(c.Context(), actor, d.Claim.ID, form.Get("address"))
	switch flt := fault.From(err); {
	case err == nil, goesOn(err):
		return c.Redirect(pathOf(d.Claim.ID) + "?method=" + wayEmail + "#watch")
	case flt.Code == "email_address":
		c.R.URL.RawQuery = "method=" + wayEmail
		return c.showWith(http.StatusUnprocessableEntity, c.Say("domains.wrong.mailbox"))
	case flt.Code == "rate_limited":
		c.R.URL.RawQuery = "method=" + wayEmail
		return c.showWith(http.StatusTooManyRequests, c.Say("domains.wrong.mails"))
	}
	return err
}

// askRenew serves GET /domains/{id}/renew: what a new code does.
func (c *call) askRenew() error {
	effects := []string{c.Say("domains.renew.effect"), c.Say("domains.renew.effect.old")}
	return c.confirm(authz.ClaimReassert, "domains.renew", "/renew", effects, false)
}

// renew serves POST /domains/{id}/renew.
func (c *call) renew() error {
	d, actor, err := c.acting()
	if err != nil {
		return err
	}
	if _, err := c.ra.ReassertClaim(c.Context(), actor, d.Claim.Kind, d.Claim.ID); err != nil {
		return err
	}
	return c.Redirect(pathOf(d.Claim.ID))
}

// askDelete serves GET /domains/{id}/delete: what will happen.
func (c *call) askDelete() error {
	effects := []string{c.Say("domains.delete.effect"), c.Say("domains.delete.effect.checks")}
	return c.confirm(authz.ClaimDelete, "domains.delete", "/delete", effects, true)
}

// delete serves POST /domains/{id}/delete.
func (c *call) delete() error {
	d, actor, err := c.acting()
	if err != nil {
		return err
	}
	if err := c.ra.DeleteClaim(c.Context(), actor, d.Claim.Kind, d.Claim.ID); err != nil {
		return err
	}
	return c.Redirect(page.DomainsPath)
}

// confirm asks once before an act on the claim of the address.
func (c *call) confirm(action authz.Action, key, path string, effects []string, danger bool) error {
	if err := authz.Check(c.Actor, action, c.Account()); err != nil {
		return err
	}
	d, err := c.detail()
	if err != nil {
		return err
	}
	_, names, err := c.identityNames()
	if err != nil {
		return err
	}
	k, here := &d.Claim, pathOf(d.Claim.ID)
	title := c.Say(key+".ask", "name", k.Name)
	return c.Show(http.StatusOK, title, page.ConfirmPage(
		ui.Head{Up: &ui.Link{Text: k.Name, URL: here}, Title: title},
		ui.Confirmation{
			Object: []ui.Fact{
				{Key: c.Say("domains.name"), Value: ui.Words(k.Name)}, {Key: c.Say("domains.identity"), Value: ui.Words(names[k.Identity])},
				{Key: c.Say("domains.state"), Value: ui.Status(c.state(k))}, {Key: c.Say("domains.expires"), Value: expiry(k)},
			},
			Effects: effects, Keeps: c.Say(key + ".keeps"),
			Form: ui.Form{Action: here + path, Button: c.Say(key + ".button"), Danger: danger, Cancel: c.CancelTo(here)},
		}))
}
