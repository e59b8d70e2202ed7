package portal

import (
	"net/http"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// askLinks serves GET /mtls/{id}/credentials: which credentials the certificate is for.
func (c *call) askLinks() error {
	k, _, err := c.thisCert()
	if err != nil {
		return err
	}
	if err := authz.Check(c.actor, authz.ClientCertificateLink, c.account()); err != nil {
		return err
	}
	return c.linksPage(http.StatusOK, k, k.Credentials, "")
}

// linksPage is the table of credentials, of which some are picked.
func (c *call) linksPage(status int, k telamon.ClientCert, picked []telamon.CredentialID, problem string) error {
	ctx, here := c.r.Context(), mtlsPath+"/"+k.ID.String()
	list, err := c.iam.Credentials(ctx, c.actor, c.account(), store.Page{Limit: maxRows})
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
		rows = append(rows, ui.PickRow{Value: v.ID.String(), Name: v.Name, Picked: slices.Contains(picked, v.ID), Cells: cells(
			ui.Words(v.Service), ui.Words(v.Identity), ui.Status(c.state(v)), ui.Day(v.LastUsedAt))})
	}
	head := ui.Head{Up: &ui.Link{Text: shortSerial(k.Serial), URL: here}, Title: c.say("mtls.links"), Lead: c.say("mtls.links.lead")}
	form := ui.Form{Action: here + "/credentials", Button: c.say("mtls.links.button"), Cancel: &ui.Link{Text: c.say("confirm.cancel"), URL: here}}
	field := ui.Field{Name: "credential", Label: c.say("mtls.ask.credentials"), Error: problem}
	return c.show(status, head.Title, ui.Header(head), pickStep(form, field, c.pickColumns(), rows))
}

// pickColumns are the columns of a table of which credentials are picked.
func (c *call) pickColumns() []ui.Column {
	return []ui.Column{
		{Name: c.say("credential.name")}, {Name: c.say("credential.service")}, {Name: c.say("credential.identity")},
		{Name: c.say("credential.state")}, {Name: c.say("credential.last_used")},
	}
}

// changeLinks serves POST /mtls/{id}/credentials. A certificate that serves no credential
// would be good for nothing: there is disabling for that.
func (c *call) changeLinks() error {
	k, _, err := c.thisCert()
	if err != nil {
		return err
	}
	if err := c.r.ParseForm(); err != nil {
		return fault.New(fault.Malformed, "form_unreadable", "The form cannot be read.")
	}
	var chosen, add, remove []telamon.CredentialID
	for _, text := range c.r.PostForm["credential"] {
		id, err := telamon.ParseCredentialID(text)
		if err != nil {
			return orNotFound(err)
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
		return c.linksPage(http.StatusUnprocessableEntity, k, nil, c.say("error.mtls.credentials"))
	}
	if len(add)+len(remove) > 0 {
		if err := c.iam.ChangeClientCertLinks(c.r.Context(), c.actor, c.account(), k.ID, add, remove); err != nil {
			return err
		}
	}
	redirect(c.w, c.r, mtlsPath+"/"+k.ID.String())
	return nil
}
