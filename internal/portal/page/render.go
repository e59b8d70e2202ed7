package page

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

// LanguageOf returns the language in which a request is answered.
func LanguageOf(r *http.Request) *ui.Language {
	chosen := ""
	if c, err := r.Cookie(languageCookie); err == nil {
		chosen = c.Value
	}
	return ui.Choose(chosen, r.Header.Get("Accept-Language"))
}

// ChooseLanguage serves POST /language, and goes back to where one was.
func (s *Shell) ChooseLanguage(w http.ResponseWriter, r *http.Request) error {
	for _, l := range ui.Languages {
		if l.Tag == r.PostFormValue("language") {
			http.SetCookie(w, &http.Cookie{
				Name: languageCookie, Value: l.Tag, Path: "/", MaxAge: 365 * 24 * 60 * 60, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
			})
		}
	}
	Redirect(w, r, OwnPath(r.PostFormValue("next")))
	return nil
}

// RenderScripted is Render for a page that loads scripts.
func (s *Shell) RenderScripted(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	w.Header().Set("Content-Security-Policy", ScriptsPolicy)
	return s.Render(w, r, status, page)
}

// Render answers with a page. An error leaves the answer unwritten.
func (s *Shell) Render(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	view := ui.View{Language: LanguageOf(r), Now: s.Clock.Now(), Platform: s.Platform}
	if s.signin != nil && r.Method == http.MethodGet && !strings.Contains(r.Pattern, "{value}") { // which is a secret
		view.Here = OwnPath(r.URL.RequestURI())
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

// ServeAsset returns a handler that answers with an asset, compressed for those who
// take it so.
func ServeAsset(a *ui.Asset) http.HandlerFunc {
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

// ScriptsPolicy is the content security policy of pages that load scripts, which are
// ours alone. Nothing is evaluated and nothing is inline.
const ScriptsPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
