package portal

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
)

// providerCookie binds a sign-in that is at a provider to its browser, and holds the page
// that was to be seen.
const providerCookie = "__Host-provider"

// providerRoutes are the pages by which one signs in at the provider of one's account.
func (f *face) providerRoutes(mux page.Router) {
	mux.HandleFunc("GET "+signin.ProviderPath, f.shell.Handle(f.askProvider))
	mux.HandleFunc("POST "+signin.ProviderPath, f.limited(f.findProvider))
	mux.HandleFunc("GET "+signin.ProviderPath+"/{account}", f.limited(f.provider))
	mux.HandleFunc("GET "+signin.ProviderPath+"/{account}/begin", f.limited(f.beginProvider))
	mux.HandleFunc("GET "+signin.OIDCPath, f.limited(f.finishProvider))
}

// providerProblems are what the page may have to tell first, by the word in its address.
var providerProblems = map[string]int{"none": http.StatusNotFound, "refused": http.StatusForbidden, "later": http.StatusServiceUnavailable}

// askProvider serves GET /sign-in/oidc.
func (f *face) askProvider(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	return f.providerPage(w, r, q.Get("problem"), "", page.OwnPath(q.Get("next")))
}

func (f *face) providerPage(w http.ResponseWriter, r *http.Request, problem, text, next string) error {
	status := providerProblems[problem]
	if status == 0 {
		status, problem = http.StatusOK, ""
	}
	say := page.LanguageOf(r).Say
	field := ui.Field{
		Name: "account", Label: say("provider.account"), Hint: say("provider.account.hint"), Value: text, Auto: "username", Require: true, Max: 254, Focus: problem == "",
	}
	return f.shell.RenderScripted(w, r, status, askProviderPage(field, next, problem))
}

// findProvider serves POST /sign-in/oidc. It tells of a domain at most, and never of an
// address.
func (f *face) findProvider(w http.ResponseWriter, r *http.Request) error {
	text, next := r.PostFormValue("account"), page.OwnPath(r.PostFormValue("next"))
	account, err := f.signin.FindProvider(r.Context(), text)
	if fault.Is(err, fault.NotFound) {
		return f.providerPage(w, r, "none", text, next)
	}
	if err != nil {
		return err
	}
	page.Redirect(w, r, providerPath(account)+"?"+url.Values{"next": {next}}.Encode())
	return nil
}

func providerPath(account telamon.AccountID) string {
	return signin.ProviderPath + "/" + account.String()
}

// provider serves GET /sign-in/oidc/{account}: where one is about to go. It changes nothing,
// and is a link, since no form may lead to another host.
func (f *face) provider(w http.ResponseWriter, r *http.Request) error {
	next := page.OwnPath(r.URL.Query().Get("next"))
	account, err := telamon.ParseAccountID(r.PathValue("account"))
	if err != nil {
		return f.providerPage(w, r, "none", "", next)
	}
	issuer, err := f.signin.ProviderOf(r.Context(), account)
	if fault.Is(err, fault.NotFound) {
		return f.providerPage(w, r, "none", "", next)
	}
	if err != nil {
		return err
	}
	host := issuer
	if u, err := url.Parse(issuer); err == nil {
		host = u.Host
	}
	begin := providerPath(account) + "/begin?" + url.Values{"next": {next}}.Encode()
	return f.shell.RenderScripted(w, r, http.StatusOK, goToProviderPage(host, begin))
}

// beginProvider serves GET /sign-in/oidc/{account}/begin, and leads to the provider. Any
// account may name one, so a browser that another site or a mail sends here is shown first
// where it would go (Fetch Metadata, Section 2.3): ours is no way to hide that.
func (f *face) beginProvider(w http.ResponseWriter, r *http.Request) error {
	next := page.OwnPath(r.URL.Query().Get("next"))
	account, err := telamon.ParseAccountID(r.PathValue("account"))
	if err != nil {
		return f.providerPage(w, r, "none", "", next)
	}
	if from := r.Header.Get("Sec-Fetch-Site"); from != "" && from != "same-origin" {
		page.Redirect(w, r, providerPath(account)+"?"+url.Values{"next": {next}}.Encode())
		return nil
	}
	to, browser, err := f.signin.BeginOIDC(r.Context(), account)
	switch {
	case fault.Is(err, fault.NotFound):
		return f.providerPage(w, r, "none", "", next)
	case fault.Is(err, fault.Unavailable):
		return f.providerPage(w, r, "later", "", next)
	case err != nil:
		return err
	}
	setProviderCookie(w, browser+"."+base64.RawURLEncoding.EncodeToString([]byte(next)))
	page.Redirect(w, r, to)
	return nil
}

// setProviderCookie gives the browser a value for the time at the provider; "" takes it away.
func setProviderCookie(w http.ResponseWriter, value string) {
	c := &http.Cookie{Name: providerCookie, Value: value, Path: "/", MaxAge: 600, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// finishProvider serves GET /sign-in/oidc/callback, to which the provider sends browsers
// back. Whatever comes of it is at another address, so that code and state stay in none.
func (f *face) finishProvider(w http.ResponseWriter, r *http.Request) error {
	browser, next := "", ""
	if c, err := r.Cookie(providerCookie); err == nil {
		kept := ""
		browser, kept, _ = strings.Cut(c.Value, ".")
		if text, err := base64.RawURLEncoding.DecodeString(kept); err == nil {
			next = string(text)
		}
		setProviderCookie(w, "")
	}
	next = page.OwnPath(next)
	q := r.URL.Query()
	value, _, err := f.signin.FinishOIDC(r.Context(), q.Get("state"), q.Get("code"), browser, page.ClientOf(r))
	problem := ""
	switch {
	case fault.Is(err, fault.Unauthenticated), fault.Is(err, fault.NotFound):
		problem = "refused"
	case fault.Is(err, fault.Unavailable):
		problem = "later"
	case err != nil:
		return err
	}
	if problem != "" {
		page.Redirect(w, r, signin.ProviderPath+"?"+url.Values{"problem": {problem}, "next": {next}}.Encode())
		return nil
	}
	page.SetSession(w, value)
	page.Redirect(w, r, next)
	return nil
}
