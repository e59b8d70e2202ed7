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
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/access"
	"github.com/telamon-ca/telamon/internal/portal/accounts"
	"github.com/telamon-ca/telamon/internal/portal/certs"
	"github.com/telamon-ca/telamon/internal/portal/clients"
	"github.com/telamon-ca/telamon/internal/portal/domains"
	"github.com/telamon-ca/telamon/internal/portal/holdings"
	"github.com/telamon-ca/telamon/internal/portal/members"
	"github.com/telamon-ca/telamon/internal/portal/operator"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	vettingpages "github.com/telamon-ca/telamon/internal/portal/vetting"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/vetting"
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
	SignIn   *signin.Service
	IAM      *iam.IAM
	RA       *ra.RA
	Commerce *commerce.Service
	// Vetting is the use cases of the CA's vetting agents.
	Vetting *vetting.Vetting
	// AtlasURL is the address of the Atlas API, without a final slash, for commands that
	// people copy; "" leaves them out.
	AtlasURL string
	// RenderMail makes the message of a mail again, for the history of mails; nil shows none.
	RenderMail members.Renderer
	// DigiCertONE says where users reach the API of DigiCert ONE, for commands too.
	DigiCertONE clients.API
	// Operator is what the pages of those who operate the CA are made of; without its Staff
	// there are none.
	Operator operator.Config
	// Addresses bounds how often one address may open or use links, and Forms how often
	// the people of one account may send forms. Nil sets no bound.
	Addresses, Forms *web.Limiter
}

// ApprovePath is the path of the approval page, to which the value of a link is
// appended.
const ApprovePath = "/claims/approve/"

// face answers requests.
type face struct {
	shell     *page.Shell
	approvals approvals
	addresses *web.Limiter

	signin *signin.Service // nil: nobody signs in
	iam    *iam.IAM
	ra     *ra.RA

	commerce *commerce.Service

	areas []area
}

// An area serves pages beside those of this package.
type area interface{ Routes(page.Router) }

// newFace returns a face without routes.
func newFace(cfg Config) *face {
	shell := page.New(page.Config{Clock: cfg.Clock, Log: cfg.Log, Platform: cfg.Platform, SignIn: cfg.SignIn, Forms: cfg.Forms})
	f := &face{
		shell: shell, approvals: cfg.Approvals, addresses: cfg.Addresses, signin: cfg.SignIn, iam: cfg.IAM, ra: cfg.RA, commerce: cfg.Commerce,
		areas: []area{
			holdings.New(shell, cfg.IAM, cfg.Commerce),
			accounts.New(shell, cfg.IAM, cfg.Commerce),
			access.New(shell, cfg.IAM, cfg.AtlasURL),
			vettingpages.New(shell, cfg.Vetting, cfg.IAM),
			members.New(shell, cfg.SignIn, cfg.IAM, cfg.RenderMail),
			clients.New(shell, cfg.IAM, cfg.DigiCertONE),
			domains.New(shell, cfg.IAM, cfg.RA),
			certs.New(shell, cfg.IAM, cfg.RA),
		},
	}
	if cfg.Operator.Staff != nil {
		cfg.Operator.IAM, cfg.Operator.RA = cfg.IAM, cfg.RA
		f.areas = append(f.areas, operator.New(shell, cfg.Operator))
	}
	return f
}

// A call is one request of somebody who has signed in, or is about to.
type call struct {
	*page.Call
	*face
}

// person is a handler for people who have signed in.
func (f *face) person(h func(*call) error) http.HandlerFunc {
	return f.shell.Person(func(c *page.Call) error { return h(&call{c, f}) })
}

// needs is a handler for people whose session needs just this.
func (f *face) needs(need signin.Need, h func(*call) error) http.HandlerFunc {
	return f.shell.Needs(need, func(c *page.Call) error { return h(&call{c, f}) })
}

// any is a handler for people with a session, whatever it needs.
func (f *face) any(h func(*call) error) http.HandlerFunc {
	return f.shell.AnySession(func(c *page.Call) error { return h(&call{c, f}) })
}

// pageRoutes are the pages of people who have signed in.
func (f *face) pageRoutes(mux page.Router) {
	mux.HandleFunc("GET /{$}", f.person((*call).dashboard))
	f.factorRoutes(mux)
	f.welcomeRoutes(mux)
	f.settingsRoutes(mux)
	f.reportRoutes(mux)
	for _, a := range f.areas {
		a.Routes(mux)
	}
}

// New returns the handler. It expects web.Clients and web.Instrument around it, and
// TLS: only over TLS do browsers say where a POST comes from.
func New(cfg Config) http.Handler {
	f := newFace(cfg)
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isApproval(r) {
			f.shell.Problem(foreign)(w, r)
			return
		}
		f.shell.Problem(page.Forged)(w, r)
	}))

	mux := http.NewServeMux()
	mux.HandleFunc("GET "+ApprovePath+"{value}", f.shell.HandleBy(approvalProblem, f.ask))
	mux.HandleFunc("POST "+ApprovePath+"{value}", f.shell.HandleBy(approvalProblem, f.approve))
	mux.HandleFunc(ApprovePath+"{value}", f.shell.NotAllowed("GET, HEAD, POST"))
	for _, a := range ui.Assets {
		mux.HandleFunc("GET "+a.Path, page.ServeAsset(a))
		mux.HandleFunc(a.Path, f.shell.NotAllowed("GET, HEAD"))
	}
	mux.HandleFunc("/", f.shell.Problem(page.NoPage))
	if f.signin != nil {
		f.signRoutes(mux)
		f.pageRoutes(mux)
	}
	return secured(f.exact(crossOrigin.Handler(mux)))
}

// exact answers 404 for each path that http.ServeMux would redirect to a cleaner
// one: no link of ours has such a path, and a redirect would repeat what it holds.
func (f *face) exact(next http.Handler) http.Handler {
	none := f.shell.Problem(page.NoPage)
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

// MaxBody returns how large the body of a request to the portal may be, in octets: its forms
// are small but for the one by which agents keep evidence.
func MaxBody(r *http.Request) int64 {
	const small = 64 << 10
	if strings.HasPrefix(r.URL.Path, page.VettingPath+"/") && strings.HasSuffix(r.URL.Path, "/evidence") {
		return vetting.MaxEvidence + small
	}
	return small
}
