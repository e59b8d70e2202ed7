package portal

import (
	"net/http"

	"github.com/a-h/templ"

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
	new(face).signRoutes(&r)
	return r
}

// PageRoutes are the routes of people who have signed in.
func PageRoutes() []string {
	var r routes
	new(face).pageRoutes(&r)
	return r
}

// OwnPath is what is made of where somebody wanted to go.
var OwnPath = ownPath

// Gallery serves pages by their paths, and the assets, as the portal serves its own.
func Gallery(cfg Config, pages map[string]templ.Component) http.Handler {
	f := newFace(cfg)
	mux := http.NewServeMux()
	for _, a := range ui.Assets {
		mux.HandleFunc("GET "+a.Path, serveAsset(a))
	}
	for path, page := range pages {
		mux.HandleFunc(path, f.handle(func(w http.ResponseWriter, r *http.Request) error {
			return f.renderScripted(w, r, http.StatusOK, page)
		}))
	}
	return secured(mux)
}
