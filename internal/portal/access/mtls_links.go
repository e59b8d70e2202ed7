package access

import (
	"net/http"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// askLinks serves GET /mtls/{id}/credentials: which credentials the certificate is for.
func (c *call) askLinks() error {
	k, _, err := c.thisCert()
	if err != nil {
		return err
	}
	if err := authz.Check(c.Actor, authz.ClientCertificateLink, c.Account()); err != nil {
		return err
	}
	return c.linksPage(http.StatusOK, k, k.Credentials, "")
}

// linksPage is the table of credentials, of which some are picked.
func (c *call) linksPage(status int, k telamon.ClientCert, picked []telamon.CredentialID, problem string) error {
	ctx, here := c.R.Context(), page.MTLSPath+"/"+k.ID.String()
	list, err := c.iam.Credentials(ctx, c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	if err != nil {
		return err
	}
	all, err := c.catalogue(ctx)
	if err != nil {
		return err
	}
	var rows []ui.PickRow
	for _, credential := range list {
		if credential.State == telamon.Deleted {
			continue
		}
		v, err := c.view(ctx, all, credential)
		if err != nil {
			return err
		}
		rows = append(rows, ui.PickRow{Value: v.ID.String(), Name: v.Name, Picked: slices.Contains(picked, v.ID), Cells: page.Cells(
			ui.Words(v.Service), ui.Words(v.Identity), ui.Status(c.state(v)), ui.Day(v.LastUsedAt))})
	}
	head := ui.Head{Up: &ui.Link{Text: page.ShortSerial(k.Serial), URL: here}, Title: c.Say("mtls.links"), Lead: c.Say("mtls.links.lead")}
	form := ui.Form{Action: here + "/credentials", Button: c.Say("mtls.links.button"), Cancel: c.CancelTo(here)}
	field := ui.Field{Name: "credential", Label: c.Say("mtls.ask.credentials"), Error: problem}
	return c.Show(status, head.Title, ui.Header(head), pickStep(form, field, c.pickColumns(), rows))
}

// pickColumns are the columns of a table of which credentials are picked.
func (c *call) pickColumns() []ui.Column {
	return []ui.Column{
		{Name: c.Say("credential.name")}, {Name: c.Say("credential.service")}, {Name: c.Say("credential.identity")},
		{Name: c.Say("credential.state")}, {Name: c.Say("credential.last_used")},
	}
}

// changeLinks serves POST /mtls/{id}/credentials. A certificate that serves no credential
// would be good for nothing: there is disabling for that.
func (c *call) changeLinks() error {
	k, _, err := c.thisCert()
	if err != nil {
		return err
	}
	if _, err := c.Form(); err != nil {
		return err
	}
	var chosen, add, remove []telamon.CredentialID
	for _, text := range c.R.PostForm["credential"] {
		id, err := telamon.ParseCredentialID(text)
		if err != nil {
			return page.OrNotFound(err)
		}
		chosen = append(chosen, id)
		if !slices.Contains(k.Credentials, id) {
			add = append(add, id)
		}
	}
	for _, id := range k.Credentials {
		if !slices.Contains(chosen, id) {
			remove = append(remove, id)
		}
	}
	if len(chosen) == 0 {
		return c.linksPage(http.StatusUnprocessableEntity, k, nil, c.Say("error.mtls.credentials"))
	}
	if len(add)+len(remove) > 0 {
		if err := c.iam.ChangeClientCertLinks(c.R.Context(), c.Actor, c.Account(), k.ID, add, remove); err != nil {
			return err
		}
	}
	return c.Redirect(page.MTLSPath + "/" + k.ID.String())
}
