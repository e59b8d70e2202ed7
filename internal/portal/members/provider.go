package members

import (
	"net/http"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
)

// providerPath is the page of an account's OpenID provider.
const providerPath = page.SettingsPath + "/sign-in"

// providerRoutes are the pages of an account's OpenID provider.
func (p *Pages) providerRoutes(mux page.Router) {
	mux.HandleFunc("GET "+providerPath, p.person((*call).provider))
	mux.HandleFunc("POST "+providerPath, p.person((*call).setProvider))
	mux.HandleFunc("POST "+providerPath+"/test", p.person((*call).testProvider))
	mux.HandleFunc("GET "+providerPath+"/remove", p.person((*call).askRemoveProvider))
	mux.HandleFunc("POST "+providerPath+"/remove", p.person((*call).removeProvider))
}

// present returns the account's provider, nil if there is none.
func (c *call) present() (*signin.OIDC, error) {
	o, err := c.signin.OIDC(c.Context(), c.Actor, c.Account())
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return o, err
}

// provider serves GET /settings/sign-in.
func (c *call) provider() error {
	o, err := c.present()
	if err != nil {
		return err
	}
	shown := o
	if shown == nil {
		shown = &signin.OIDC{}
	}
	return c.providerPage(http.StatusOK, o, shown, nil)
}

// providerFields ask for a provider. The secret is never shown again.
func (c *call) providerFields(o *signin.OIDC, kept bool) []ui.Field {
	secret := ui.Field{Name: "client_secret", Label: c.Say("oidc.secret"), Hint: c.Say("oidc.secret.hint"), Type: "password", Auto: "new-password", Require: true, Max: 1024}
	if kept {
		secret.Require, secret.Hint = false, c.Say("oidc.secret.kept")
	}
	return []ui.Field{
		{Name: "issuer", Label: c.Say("oidc.issuer"), Hint: c.Say("oidc.issuer.hint"), Value: o.Issuer, Type: "url", Code: true, Require: true, Max: 300},
		{Name: "client_id", Label: c.Say("oidc.client_id"), Value: o.ClientID, Code: true, Require: true, Max: 300},
		secret,
		{Name: "domains", Label: c.Say("oidc.domains"), Hint: c.Say("oidc.domains.hint"), Value: strings.Join(o.Domains, "\n"), Lines: 3, Code: true},
	}
}

// providerPage shows a provider and the form that changes it.
func (c *call) providerPage(status int, present, shown *signin.OIDC, fields []ui.Field) error {
	if fields == nil {
		fields = c.providerFields(shown, present != nil)
	}
	head := ui.Head{Up: &ui.Link{Text: c.Say("settings.title"), URL: page.SettingsPath}, Title: c.Say("oidc.title"), Lead: c.Say("oidc.lead")}
	if present != nil {
		head.State = &ui.State{Tone: ui.Good, Word: c.Say("state.active")}
		head.Quiet = []ui.Link{{Text: c.Say("oidc.remove"), URL: providerPath + "/remove"}}
	}
	callback, start := c.signin.ProviderURLs(c.Account())
	form := ui.Form{Action: providerPath, Button: c.Say("oidc.button"), Cancel: c.CancelTo(page.SettingsPath)}
	mfa := ui.Field{Name: "accepts_mfa", Value: "yes", Label: c.Say("oidc.mfa"), Hint: c.Say("oidc.mfa.hint")}
	tested := c.R.URL.Query().Get("tested")
	if !slices.Contains([]string{"ok", "failed"}, tested) {
		tested = ""
	}
	return c.Show(status, head.Title, oidcPage(head, form, fields, mfa, shown.AcceptsMFA, callback, start, present != nil, tested))
}

// setProvider serves POST /settings/sign-in.
func (c *call) setProvider() error {
	values, err := c.Form()
	if err != nil {
		return err
	}
	o := signin.OIDC{
		Issuer: strings.TrimSpace(values.Get("issuer")), ClientID: strings.TrimSpace(values.Get("client_id")), ClientSecret: values.Get("client_secret"),
		AcceptsMFA: values.Get("accepts_mfa") == "yes", Domains: strings.Fields(values.Get("domains")),
	}
	err = c.signin.SetOIDC(c.Context(), c.Actor, c.Account(), o)
	if err == nil {
		return c.Redirect(providerPath)
	}
	present, again := c.present()
	if again != nil {
		return again
	}
	fields := c.providerFields(&o, present != nil)
	keys := map[string]string{"issuer": "error.issuer", "client_id": "error.required", "client_secret": "error.oidc_secret"}
	if fault.From(err).Code == "oidc_unreachable" {
		keys["issuer"] = "error.issuer_unreachable"
	}
	if !page.Blame(c.R, fields, err, keys) {
		return err
	}
	return c.providerPage(http.StatusUnprocessableEntity, present, &o, fields)
}

// testProvider serves POST /settings/sign-in/test.
func (c *call) testProvider() error {
	err := c.signin.TestOIDC(c.Context(), c.Actor, c.Account())
	if fault.Is(err, fault.Invalid) {
		return c.Redirect(providerPath + "?tested=failed")
	}
	if err != nil {
		return err
	}
	return c.Redirect(providerPath + "?tested=ok")
}

// askRemoveProvider serves GET /settings/sign-in/remove.
func (c *call) askRemoveProvider() error {
	o, err := c.signin.OIDC(c.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	if err := authz.MustBeFresh(c.Actor, c.Clock.Now()); err != nil {
		return err
	}
	title := c.Say("oidc.remove.ask")
	return c.Show(http.StatusOK, title, page.ConfirmPage(
		ui.Head{Up: &ui.Link{Text: c.Say("oidc.title"), URL: providerPath}, Title: title},
		ui.Confirmation{
			Object:  []ui.Fact{{Key: c.Say("oidc.issuer"), Value: code(o.Issuer)}},
			Effects: []string{c.Say("oidc.remove.effect")}, Keeps: c.Say("oidc.remove.keeps"),
			Form: ui.Form{Action: providerPath + "/remove", Button: c.Say("oidc.remove.button"), Danger: true, Cancel: c.CancelTo(providerPath)},
		}))
}

// removeProvider serves POST /settings/sign-in/remove.
func (c *call) removeProvider() error {
	if err := c.signin.RemoveOIDC(c.Context(), c.Actor, c.Account()); err != nil {
		return err
	}
	return c.Redirect(providerPath)
}
