package portal

import (
	"strings"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// pageRoutes are the pages of people who have signed in.
func (f *face) pageRoutes(mux router) {
	mux.HandleFunc("GET /{$}", f.person((*call).dashboard))
	mux.HandleFunc("GET "+servicesPath, f.person((*call).services))
	mux.HandleFunc("GET "+identitiesPath, f.person((*call).identities))
	f.factorRoutes(mux)
	f.welcomeRoutes(mux)
	f.credentialRoutes(mux)
	f.mtlsRoutes(mux)
	f.settingsRoutes(mux)
}

// may reports whether the person may do something to what belongs to the account.
func (c *call) may(action authz.Action) bool {
	return authz.Check(c.actor, action, c.account()) == nil
}

// say returns a message in the language of the request.
func (c *call) say(key string, pairs ...string) string { return language(c.r).Say(key, pairs...) }

// many returns the message of a number of things.
func (c *call) many(key string, n int, pairs ...string) string {
	return language(c.r).Many(key, int64(n), pairs...)
}

// show answers with a page in the shell.
func (c *call) show(status int, title string, parts ...templ.Component) error {
	page := ui.Page{Title: title, Scripts: true, HTMX: true}
	return c.renderScripted(c.w, c.r, status, shellPage(page, c.chrome(), templ.Join(parts...)))
}

// chrome is what is around a page: the navigation, as far as the person may go.
func (c *call) chrome() ui.Chrome {
	here := "/" + strings.SplitN(c.r.URL.Path, "/", 3)[1]
	group := func(items ...ui.NavItem) ui.NavGroup {
		var shown []ui.NavItem
		for _, i := range items {
			if i.URL != "" {
				i.Current = i.URL == here
				shown = append(shown, i)
			}
		}
		return ui.NavGroup{Items: shown}
	}
	item := func(key, path string, action authz.Action) ui.NavItem {
		if action != "" && !c.may(action) {
			return ui.NavItem{}
		}
		return ui.NavItem{Text: c.say(key), URL: path}
	}
	var groups []ui.NavGroup
	for _, g := range []ui.NavGroup{
		group(item("nav.dashboard", "/", "")),
		group(item("nav.services", servicesPath, authz.SubscriptionRead), item("nav.identities", identitiesPath, authz.IdentityRead)),
		group(item("nav.credentials", credentialsPath, authz.CredentialRead), item("nav.mtls", mtlsPath, authz.ClientCertificateRead)),
		group(item("nav.settings", settingsPath, "")),
	} {
		if len(g.Items) > 0 {
			groups = append(groups, g)
		}
	}
	return ui.Chrome{
		Groups: groups, Account: c.session.Account.Name, User: c.session.User.Name, Email: c.session.User.Email, Home: "/",
		Me: []ui.Link{{Text: c.say("nav.settings"), URL: settingsPath}}, SignOut: signOutPath,
	}
}
