package portal

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// languageCookie holds the tag of the language that somebody has chosen.
const languageCookie = "__Host-language"

// language returns the language in which a request is answered.
func language(r *http.Request) *ui.Language {
	chosen := ""
	if c, err := r.Cookie(languageCookie); err == nil {
		chosen = c.Value
	}
	return ui.Choose(chosen, r.Header.Get("Accept-Language"))
}

// chooseLanguage serves POST /language, and goes back to where one was.
func (f *face) chooseLanguage(w http.ResponseWriter, r *http.Request) error {
	for _, l := range ui.Languages {
		if l.Tag == r.PostFormValue("language") {
			http.SetCookie(w, &http.Cookie{
				Name: languageCookie, Value: l.Tag, Path: "/", MaxAge: 365 * 24 * 60 * 60, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
			})
		}
	}
	redirect(w, r, ownPath(r.PostFormValue("next")))
	return nil
}

// renderScripted is render for a page that loads scripts.
func (f *face) renderScripted(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	w.Header().Set("Content-Security-Policy", scriptsPolicy)
	return f.render(w, r, status, page)
}

// renderWith answers with a page under a content security policy of its own.
func (c *call) renderWith(policy string, status int, page templ.Component) error {
	c.w.Header().Set("Content-Security-Policy", policy)
	return c.render(c.w, c.r, status, page)
}

// render answers with a page. An error leaves the answer unwritten.
func (f *face) render(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	view := ui.View{Language: language(r), Now: f.clock.Now(), Platform: f.platform}
	if f.signin != nil && r.Method == http.MethodGet && !strings.Contains(r.Pattern, "{value}") { // which is a secret
		view.Here = ownPath(r.URL.RequestURI())
	}
	ctx := ui.With(r.Context(), view)
	var body bytes.Buffer
	if err := page.Render(ctx, &body); err != nil {
		return fmt.Errorf("render a page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	w.Write(body.Bytes()) // a client that has gone needs no answer
	return nil
}

// serveAsset returns a handler that answers with an asset, compressed for those who
// take it so.
func serveAsset(a *ui.Asset) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", a.Type)
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Header().Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(a.Gzip)
			return
		}
		w.Write(a.Bytes)
	}
}

// acceptsGzip reports whether the request's Accept-Encoding names gzip and does not
// refuse it (RFC 9110, Section 12.5.3).
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			weight = strings.ReplaceAll(weight, " ", "")
			return !strings.HasPrefix(weight, "q=0") || strings.Trim(weight, "q=0.") != ""
		}
	}
	return false
}
