package clients

import (
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
)

const editMePath = page.MePath + "/edit"

// meRoutes are the pages of one's own details.
func (p *Pages) meRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.MePath, p.person((*call).me))
	mux.HandleFunc("GET "+editMePath, p.person((*call).editMe))
	mux.HandleFunc("POST "+editMePath, p.person((*call).updateMe))
}

// me serves GET /me: who one is, and what one's programs authenticate by.
func (c *call) me() error {
	u, err := c.holder(c.Actor.User)
	if err != nil {
		return err
	}
	has, err := c.belongings(u)
	if err != nil {
		return err
	}
	var roles []string
	for _, r := range u.Roles {
		roles = append(roles, c.roleName(r))
	}
	head := ui.Head{Title: c.Say("me.title"), Lead: c.Say("me.lead"), ID: u.ID.String(), Quiet: []ui.Link{
		{Text: c.Say("me.edit"), URL: editMePath}, {Text: c.Say("nav.settings"), URL: page.SettingsPath},
	}}
	facts := []ui.Fact{
		{Key: c.Say("credential.name"), Value: ui.Words(u.Name)},
		{Key: c.Say("sign_in.email"), Value: ui.Words(u.Email)},
		{Key: c.Say("approve.account"), Value: ui.Words(c.Session.Account.Name)},
		{Key: c.Say("settings.roles"), Value: words(strings.Join(roles, ", "), c.Say("mtls.none"))},
		{Key: c.Say("me.language"), Value: ui.Words(localeName(u.Locale))},
	}
	return c.Show(http.StatusOK, head.Title, userPage(head, facts, has))
}

// localeName is what speakers of a mail's language call it.
func localeName(locale string) string {
	language, _, _ := strings.Cut(locale, "_")
	for _, l := range ui.Languages {
		if l.Tag == language {
			return l.Name
		}
	}
	return locale
}

// meFields are what one says of oneself.
func (c *call) meFields(name, locale string) []ui.Field {
	language := ui.Field{Name: "locale", Label: c.Say("me.language"), Hint: c.Say("me.language.hint"), Value: locale}
	for _, l := range signin.Locales {
		language.Options = append(language.Options, ui.Option{Value: l, Text: localeName(l)})
	}
	return []ui.Field{{Name: "name", Label: c.Say("credential.name"), Value: name, Auto: "name", Require: true, Max: 128, Focus: true}, language}
}

func (c *call) meForm(status int, fields []ui.Field) error {
	head := ui.Head{Up: &ui.Link{Text: c.Say("me.title"), URL: page.MePath}, Title: c.Say("me.edit")}
	form := ui.Form{Action: editMePath, Button: c.Say("service_users.save"), Cancel: c.CancelTo(page.MePath)}
	return c.Show(status, head.Title, page.FormPage(head, form, fields))
}

// editMe serves GET /me/edit.
func (c *call) editMe() error {
	u, err := c.holder(c.Actor.User)
	if err != nil {
		return err
	}
	return c.meForm(http.StatusOK, c.meFields(u.Name, u.Locale))
}

// updateMe serves POST /me/edit.
func (c *call) updateMe() error {
	v, err := c.Form()
	if err != nil {
		return err
	}
	if _, err := c.iam.UpdateMe(c.Context(), c.Actor, iam.Profile{Name: v.Get("name"), Locale: v.Get("locale")}); err != nil {
		fields := c.meFields(v.Get("name"), v.Get("locale"))
		if !page.Blame(c.R, fields, err, map[string]string{"name": "error.required"}) {
			return err
		}
		return c.meForm(http.StatusUnprocessableEntity, fields)
	}
	return c.Redirect(page.MePath)
}
