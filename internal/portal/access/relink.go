package access

import (
	"net/http"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// askRelink serves GET /credentials/{id}/relink: for which service, and then for which
// identity the credential is to be. What cannot be used together is not offered.
func (c *call) askRelink() error {
	v, err := c.thisCredential()
	if err != nil {
		return err
	}
	if err := authz.Check(c.Actor, authz.CredentialRelink, c.Account()); err != nil {
		return err
	}
	if v.State == telamon.Deleted {
		return c.Redirect(credentialPath(v.ID))
	}
	pair, err := c.iam.PairOf(c.Context(), c.Actor, c.Account(), v.Pair)
	if err != nil {
		return err
	}
	offers, err := c.iam.Offers(c.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	offers = slices.DeleteFunc(offers, func(o iam.Offer) bool { return !o.Live })
	i := slices.IndexFunc(offers, func(o iam.Offer) bool { return o.Subscription.ID.String() == c.R.URL.Query().Get("service") })
	if i < 0 {
		return c.askService(v, pair, offers)
	}
	return c.askIdentity(http.StatusOK, v, pair, offers[i], "")
}

func (c *call) relinkHead(v credentialView) ui.Head {
	return ui.Head{
		Up: &ui.Link{Text: v.Name, URL: credentialPath(v.ID)}, Title: c.Say("credential.relink.title", "name", v.Name), Lead: c.Say("credential.relink.lead"),
	}
}

// askService asks for the service.
func (c *call) askService(v credentialView, pair telamon.Pair, offers []iam.Offer) error {
	head, path := c.relinkHead(v), credentialPath(v.ID)
	if len(offers) == 0 { // CRD-01
		return c.Show(http.StatusOK, head.Title, ui.Header(head), page.NeedsFirst(c.Say("credential.needs"), c.Say("credential.needs.do"),
			&ui.Link{Text: c.Say("nav.dashboard"), URL: page.HomePath}))
	}
	f := ui.Field{Name: "service", Label: c.Say("credential.ask.service"), Value: pair.Subscription.String(), Require: true}
	for _, o := range offers {
		f.Options = append(f.Options, ui.Option{Value: o.Subscription.ID.String(), Text: o.Service.Name, Hint: c.offerHint(o)})
	}
	form := ui.Form{Action: path + "/relink", Get: true, Button: c.Say("wizard.continue"), Cancel: c.CancelTo(path)}
	return c.Show(http.StatusOK, head.Title, ui.Header(head), page.ChoiceStep(form, page.One(f)))
}

// askIdentity asks for an identity that fits the service, and says what will happen.
func (c *call) askIdentity(status int, v credentialView, pair telamon.Pair, offer iam.Offer, problem string) error {
	head, path := c.relinkHead(v), credentialPath(v.ID)
	identities, err := c.iam.FittingIdentities(c.Context(), c.Actor, c.Account(), offer.Subscription.ID)
	if err != nil {
		return err
	}
	if len(identities) == 0 {
		return c.Show(http.StatusOK, head.Title, ui.Header(head), page.NeedsFirst(c.Say("credential.relink.none", "service", offer.Service.Name),
			c.Say("credential.relink.none.do"), &ui.Link{Text: c.Say("nav.identities"), URL: page.IdentitiesPath}))
	}
	f := ui.Field{Name: "identity", Label: c.Say("credential.ask.identity"), Hint: c.Say("credential.ask.identity.hint"), Value: pair.Identity.String(), Require: true, Error: problem}
	for _, i := range identities {
		f.Options = append(f.Options, ui.Option{Value: i.ID.String(), Text: i.Name, Hint: i.Data["organization"]})
	}
	confirmation := ui.Confirmation{
		Object: []ui.Fact{
			{Key: c.Say("credential.relink.now"), Value: ui.Words(v.Service + ", " + v.Identity)}, {Key: c.Say("credential.relink.then"), Value: ui.Words(offer.Service.Name)},
			{Key: c.Say("credential.last_used"), Value: ui.Moment(v.LastUsedAt)},
		},
		Effects: []string{c.Say("credential.relink.effect"), c.Say("credential.relink.effect.issue")}, Keeps: c.Say("credential.relink.keeps"),
		Form: ui.Form{
			Action: path + "/relink", Button: c.Say("credential.relink.button"), Danger: true, Hidden: []ui.Option{{Value: "service", Text: offer.Subscription.ID.String()}},
			Cancel: c.CancelTo(path),
		},
	}
	return c.Show(status, head.Title, relinkPage(head, confirmation, page.One(f)))
}

// relink serves POST /credentials/{id}/relink.
func (c *call) relink() error {
	v, err := c.thisCredential()
	if err != nil {
		return err
	}
	form, err := c.Form()
	if err != nil {
		return err
	}
	subscription, err := telamon.ParseSubscriptionID(form.Get("service"))
	if err != nil {
		return page.OrNotFound(err)
	}
	identity, err := telamon.ParseIdentityID(form.Get("identity"))
	if err == nil {
		err = c.iam.RelinkCredential(c.Context(), c.Actor, c.Account(), v.ID, subscription, identity)
	} else {
		err = page.OrNotFound(err)
	}
	if flt := fault.From(err); err != nil && (flt.Kind == fault.Invalid || flt.Code == "identity_not_active") { // changed since it was offered
		return c.Redirect(credentialPath(v.ID) + "/relink?service=" + subscription.String())
	}
	if err != nil {
		return err
	}
	return c.Redirect(credentialPath(v.ID))
}
