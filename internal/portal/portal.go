// Package portal serves people with a browser. They sign in and look after what their
// account has; or they got a mail that asks for the approval of a domain claim, open the
// link in it, read what approving does, and press a button or close the page.
//
// It holds no rules: each page asks use cases, as the person who has signed in, and says
// what came out. Opening a page changes nothing, so that scanners and previews of mail
// programs do no harm; only a button's POST does, and not one that another site makes a
// browser send. Whoever holds the value of an approval's link may approve, and nothing
// else is asked of a visitor. So such a value is in no page, no log and no address but
// the page's own, and its pages have no scripts and no cookies.
//
// A session is a value in a cookie, which package signin judges for every request. What a
// secret is shown on is never stored by browsers, and nothing comes from other hosts.
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
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/signin"
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
	// SignIn and IAM are the use cases of people who sign in; without them there is
	// nothing but approvals.
	SignIn *signin.Service
	IAM    *iam.IAM
	RA     *ra.RA
	// AtlasURL is the address of the Atlas API, without a final slash, for commands that
	// people copy; "" leaves them out.
	AtlasURL string
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

	signin *signin.Service // nil: nobody signs in
	iam    *iam.IAM
	ra     *ra.RA

	atlasURL string
}

// A router takes routes. It is an [http.ServeMux], or a test that looks at all of them.
type router interface {
	HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request))
}

// newFace returns a face without routes.
func newFace(cfg Config) *face {
	f := &face{
		approvals: cfg.Approvals, clock: cfg.Clock, log: cfg.Log, platform: cfg.Platform, addresses: cfg.Addresses,
		signin: cfg.SignIn, iam: cfg.IAM, ra: cfg.RA, atlasURL: cfg.AtlasURL,
	}
	if f.platform == "" {
		f.platform = "Telamon"
	}
	if f.clock == nil {
		f.clock = telamon.SystemClock{}
	}
	return f
}

// New returns the handler. It expects web.Clients and web.Instrument around it, and
// TLS: only over TLS do browsers say where a POST comes from.
func New(cfg Config) http.Handler {
	f := newFace(cfg)
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isApproval(r) {
			f.problem(foreign)(w, r)
			return
		}
		f.problem(forged)(w, r)
	}))

	mux := http.NewServeMux()
	mux.HandleFunc("GET "+ApprovePath+"{value}", f.handle(f.ask))
	mux.HandleFunc("POST "+ApprovePath+"{value}", f.handle(f.approve))
	mux.HandleFunc(ApprovePath+"{value}", f.notAllowed("GET, HEAD, POST"))
	for _, a := range ui.Assets {
		mux.HandleFunc("GET "+a.Path, serveAsset(a))
		mux.HandleFunc(a.Path, f.notAllowed("GET, HEAD"))
	}
	mux.HandleFunc("/", f.problem(noPage))
	if f.signin != nil {
		f.signRoutes(mux)
		f.pageRoutes(mux)
	}
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
