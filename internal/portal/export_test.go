package portal

import (
	"net/http"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// routes notes the patterns of routes.
type routes []string

func (r *routes) HandleFunc(pattern string, _ func(http.ResponseWriter, *http.Request)) {
	*r = append(*r, pattern)
}

// SignRoutes are the routes by which one gets in and out.
func SignRoutes() []string {
	var r routes
	newFace(Config{}).signRoutes(&r)
	return r
}

// PageRoutes are the routes of people who have signed in.
func PageRoutes() []string {
	var r routes
	newFace(Config{}).pageRoutes(&r)
	return r
}

// OwnPath is what is made of where somebody wanted to go.
var OwnPath = page.OwnPath

// Gallery serves pages by their paths, and the assets, as the portal serves its own.
func Gallery(cfg Config, pages map[string]templ.Component) http.Handler {
	f := newFace(cfg)
	mux := http.NewServeMux()
	for _, a := range ui.Assets {
		mux.HandleFunc("GET "+a.Path, page.ServeAsset(a))
	}
	for path, page := range pages {
		mux.HandleFunc(path, f.shell.Handle(func(w http.ResponseWriter, r *http.Request) error {
			return f.shell.RenderScripted(w, r, http.StatusOK, page)
		}))
	}
	return secured(mux)
}
