// Package portal serves people with a browser. Its one task is the approval of
// domain claims: whoever got a mail that asks for one opens the link in it, reads
// what approving does, and presses a button or closes the page.
//
// It holds no rule about claims: the value of a link is judged where approvals are
// kept, and the pages say what came out. Opening a link changes nothing, so that
// scanners and previews of mail programs do no harm; only the button's POST does,
// and not one that another site makes a browser send. Whoever holds a link's value
// may approve, and nothing else is asked of a visitor. So the value is in no page,
// no log and no address but the page's own. There are no scripts, no cookies and
// nothing from other hosts.
//
// It trusts what package web established of the connection, and escapes all that
// it shows.
package portal

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/web"
)

// approvals is what the pages ask of the registration authority. Both report
// NotFound, Conflict (approval_used, approval_expired, claim_moved) and
// Unavailable.
type approvals interface {
	// Approval returns what the value of a link stands for, and the name of the
	// account that asked. It changes nothing.
	Approval(ctx context.Context, value string) (*telamon.Approval, string, error)
	// Approve uses the link up: the claim is verified when it returns nil.
	Approve(ctx context.Context, address netip.Addr, requestID, value string) (*telamon.Approval, error)
}

// Config names what the portal is made of.
type Config struct {
	Approvals approvals
	Clock     telamon.Clock // nil is the system's
	Log       *slog.Logger
	Platform  string // the platform's name in the header of each page; "" is Telamon
	// Addresses bounds how often one address may open or use links. Nil sets no bound.
	Addresses *web.Limiter
}

// ApprovePath is the path of the approval page, to which the value of a link is
// appended.
const ApprovePath = "/claims/approve/"

// face answers requests.
type face struct {
	approvals approvals
	clock     telamon.Clock
	log       *slog.Logger
	platform  string
	addresses *web.Limiter
}

// newFace returns a face without routes.
func newFace(cfg Config) *face {
	f := &face{approvals: cfg.Approvals, clock: cfg.Clock, log: cfg.Log, platform: cfg.Platform, addresses: cfg.Addresses}
	if f.platform == "" {
		f.platform = "Telamon"
	}
	if f.clock == nil {
		f.clock = telamon.SystemClock{}
	}
	return f
}

// New returns the handler. It expects web.Clients and web.Instrument around it, and
// TLS: only over TLS do browsers say where a POST comes from. It never redirects.
func New(cfg Config) http.Handler {
	f := newFace(cfg)
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(f.problem(foreign))

	mux := http.NewServeMux()
	mux.HandleFunc("GET "+ApprovePath+"{value}", f.handle(f.ask))
	mux.HandleFunc("POST "+ApprovePath+"{value}", f.handle(f.approve))
	mux.HandleFunc(ApprovePath+"{value}", f.notAllowed("GET, HEAD, POST"))
	for _, a := range ui.Assets {
		mux.HandleFunc("GET "+a.Path, serveAsset(a))
		mux.HandleFunc(a.Path, f.notAllowed("GET, HEAD"))
	}
	mux.HandleFunc("/", f.problem(noPage))
	return secured(f.exact(crossOrigin.Handler(mux)))
}

// exact answers 404 for each path that http.ServeMux would redirect to a cleaner
// one: no link of ours has such a path, and a redirect would repeat what it holds.
func (f *face) exact(next http.Handler) http.Handler {
	none := f.problem(noPage)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/") || path.Clean(r.URL.Path) != r.URL.Path {
			none(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// securityHeaders are in every answer. The page's address holds the value of a
// link, so that nobody else may get it as a referrer, frame the page or share its
// window.
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; " +
		"frame-ancestors 'none'; base-uri 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Referrer-Policy":              "no-referrer",
	"Strict-Transport-Security":    "max-age=31536000",
	"X-Content-Type-Options":       "nosniff",
}

// scriptsPolicy is the content security policy of pages that load scripts, which are
// ours alone. Nothing is evaluated and nothing is inline.
const scriptsPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// secured adds the security headers to every answer, and forbids to store it.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range securityHeaders {
			w.Header().Set(name, value)
		}
		w.Header().Set("Cache-Control", "no-store") // assets say otherwise
		next.ServeHTTP(w, r)
	})
}
