package portal

import (
	"net/http"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/portal/ui"
)

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
