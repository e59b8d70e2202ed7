// Package page is what every page of the portal needs: the session behind a request, the
// shell around a page with its navigation, the answers to faults, lists, forms, files,
// and the templates that pages share.
//
// It serves no page of its own and knows no use case but those of sessions: the packages
// beside it each serve the pages of one area, and package portal puts them together. The
// paths of all pages are here, so that pages lead to one another without knowing each
// other.
package page

import (
	"log/slog"
	"net/http"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/web"
)

// Config names what pages are made of.
type Config struct {
	Clock    telamon.Clock // nil is the system's
	Log      *slog.Logger
	Platform string          // the platform's name in the header of each page; "" is Telamon
	SignIn   *signin.Service // nil: nobody signs in
	// Forms bounds how often people of one account may send forms; nil sets no bound.
	Forms *web.Limiter
}

// A Shell is what the pages of a portal have in common. It is safe for concurrent use.
type Shell struct {
	Clock    telamon.Clock
	Log      *slog.Logger
	Platform string

	signin *signin.Service // nil: nobody signs in
	forms  *web.Limiter
}

// New returns a shell.
func New(cfg Config) *Shell {
	s := &Shell{Clock: cfg.Clock, Log: cfg.Log, Platform: cfg.Platform, signin: cfg.SignIn, forms: cfg.Forms}
	if s.Platform == "" {
		s.Platform = "Telamon"
	}
	if s.Clock == nil {
		s.Clock = telamon.SystemClock{}
	}
	return s
}

// A Router takes routes. It is an [http.ServeMux], or a test that looks at all of them.
type Router interface {
	HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request))
}
