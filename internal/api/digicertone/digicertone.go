// Package digicertone speaks the wire dialect of DigiCert ONE: Account Manager's
// users, API tokens, client authentication certificates and audit log, and the calls
// of Software Trust that sign hashes. It parses a request, calls one use case of
// package iam or signing, and renders the outcome; it holds no rule about users,
// certificates or keys.
//
// The same routes are served on two faces. That of the base host name never asks for
// a client certificate; that of clientauth. and the base host name does, and takes
// what the client shows. What is shown is judged anew for each request, by package
// iam. It trusts nothing of a request but what package web established of the
// connection. It never redirects. Where the documents are silent,
// docs/DIGICERT-ONE.md says what was chosen and why.
package digicertone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/signing"
	"github.com/telamon-ca/telamon/internal/web"
)

// Config names what the API is made of.
type Config struct {
	IAM     *iam.IAM
	Signing *signing.Signing
	Clock   telamon.Clock
	Log     *slog.Logger

	// Callers bound how often one API token may call, or a user by certificate alone;
	// Strangers how often one address may call without being known. Each limiter has to
	// allow a call. None sets no bound.
	Callers, Strangers []*web.Limiter
	// Accounts bounds how often all callers of one account may call; nil sets no bound.
	Accounts *web.Limiter

	// MaxBody is the longest request body in bytes; 0 is defaultMaxBody.
	MaxBody int64
	// SigningNeedsBoth makes routes that sign need an API token beside the client
	// certificate.
	SigningNeedsBoth bool
}

// ClientAuthPrefix stands before the base host name in that of the face that asks for
// client certificates. Clients put it there and cut it off themselves (digicert-one.md,
// Section 2.1).
const ClientAuthPrefix = "clientauth."

// defaultMaxBody holds a CSR of a 16,384 bit key many times.
const defaultMaxBody = 512 << 10

// A factor is what a route needs to be shown beside being allowed at all
// (digicert-one.md, Section 8).
type factor int

const (
	factorAny  factor = iota // an API token or a client certificate
	factorCert               // a client certificate
	factorBoth               // a client certificate and an API token
)

// met reports whether the actor showed what the factor asks for.
func (f factor) met(actor telamon.Actor) bool {
	switch f {
	case factorAny:
		return actor.Token != "" || actor.ClientCert != ""
	case factorCert:
		return actor.ClientCert != ""
	case factorBoth:
		return actor.Token != "" && actor.ClientCert != ""
	}
	return false
}

// API serves the dialect. It is safe for concurrent use.
type API struct {
	iam       *iam.IAM
	signing   *signing.Signing
	clock     telamon.Clock
	log       *slog.Logger
	callers   []*web.Limiter
	strangers []*web.Limiter
	customers *web.Limiter
	maxBody   int64
	protected factor                      // of routes that sign
	routes    map[string]map[string]route // by path and method; not changed after New
	mux       *http.ServeMux
	me        meCache
}

// New returns the API.
func New(cfg Config) *API {
	a := &API{
		iam: cfg.IAM, signing: cfg.Signing, clock: cfg.Clock, log: cfg.Log, callers: cfg.Callers, strangers: cfg.Strangers, customers: cfg.Accounts,
		maxBody: cmp.Or(cfg.MaxBody, defaultMaxBody), protected: factorCert,
		routes: map[string]map[string]route{}, mux: http.NewServeMux(),
	}
	if cfg.SigningNeedsBoth {
		a.protected = factorBoth
	}
	a.userRoutes()
	a.tokenRoutes()
	a.accountRoutes()
	a.roleRoutes()
	a.auditLogRoutes()
	a.certRoutes()
	a.signingRoutes()
	a.helloRoutes()
	for path, methods := range a.routes {
		a.mux.Handle(path, a.dispatch(path, methods))
	}
	a.mux.Handle("/", a.handler("", func(*call) error { return errNoRoute }))
	return a
}

// A route is what serves one method of one path.
type route struct {
	factor factor
	serve  func(*call) error
}

// route registers what serves a pattern of a method and a path, such as
// "GET /account/api/v1/user/{id}". It is called by New alone. It panics if the pattern
// is not of this form or registered already.
func (a *API) route(pattern string, needs factor, serve func(*call) error) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok || !strings.HasPrefix(path, "/") {
		panic("digicertone: the pattern " + pattern + " is not a method and a path")
	}
	if a.routes[path] == nil {
		a.routes[path] = map[string]route{}
	}
	if _, twice := a.routes[path][method]; twice {
		panic("digicertone: the pattern " + pattern + " is registered twice")
	}
	a.routes[path][method] = route{factor: needs, serve: serve}
}

// A call is one request on its way through its route.
type call struct {
	api   *API
	w     http.ResponseWriter
	r     *http.Request
	path  string // of the route's pattern; "" if there is none
	actor telamon.Actor
}

// may checks that the caller may do an action in their account. Routes ask it before they look at
// what the request says (digicert-one.md, Section 3.3, steps 5 to 7).
func (c *call) may(action authz.Action) error {
	return authz.Check(c.actor, action, c.actor.Account)
}

// asksKey marks in the context of a request that its face asks for client certificates.
type asksKey struct{}

// Face returns the handler of one of the two faces: of the one that asks for client
// certificates, or of the other, on which none is looked at.
func (a *API) Face(asksCertificate bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.serve(w, r.WithContext(context.WithValue(r.Context(), asksKey{}, asksCertificate)), r)
	})
}

// Misdirected returns the handler of requests over a connection that was made for another
// face.
func (a *API) Misdirected() http.Handler {
	return a.handler("", func(*call) error { return errMisdirected })
}

// serve serves r. Paths are read as clients spell them: with a slash at the end, with
// doubled ones, percent-encoded. The pattern is told to outer, by which metrics are
// labelled.
func (a *API) serve(w http.ResponseWriter, r, outer *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if id := transactionID(r.Header); id != "" {
		h.Set(transactionHeader, id)
		a.log.DebugContext(r.Context(), "transaction", "request_id", web.RequestID(r.Context()), "transaction_id", id)
	}
	defer a.recovered(w, r)
	if isPreflight(r) {
		refusePreflight(w)
		return
	}
	u, ok := web.CanonicalURL(r.URL)
	if !ok {
		a.fail(w, r, "", errNoRoute)
		return
	}
	r.URL = u // r is a copy already
	defer func() { outer.Pattern = r.Pattern }()
	a.mux.ServeHTTP(w, r)
}

// recovered makes of a panic the answer that clients expect of a server's error.
func (a *API) recovered(w http.ResponseWriter, r *http.Request) {
	switch cause := recover(); cause {
	case nil:
	case http.ErrAbortHandler:
		panic(cause)
	default:
		a.fail(w, r, "", fmt.Errorf("panic: %v\n%s", cause, debug.Stack()))
	}
}

// dispatch serves the methods of one path in the order of checks of the specification
// (digicert-one.md, Section 3.3): route, who it is, what the route needs to be shown;
// then the route's own: permissions, objects, validity.
func (a *API) dispatch(path string, methods map[string]route) http.Handler {
	if get, ok := methods[http.MethodGet]; ok {
		methods[http.MethodHead] = get
	}
	var allowed []string
	for method := range methods {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	notAllowed := fault.New(fault.Malformed, codeMethod, strings.Join(allowed, ", "))
	return a.handler(path, func(c *call) error {
		route, ok := methods[c.r.Method]
		if !ok {
			return notAllowed
		}
		if err := a.admit(c); err != nil {
			return err
		}
		switch {
		case route.factor.met(c.actor):
		case c.actor.ClientCert != "": // and no API token
			return errKeyFactor
		default:
			return errFactor
		}
		if path != downloadPath && !acceptsJSON(c.r.Header) {
			return errNotAcceptable
		}
		return route.serve(c)
	})
}

// handler makes an http.Handler of a function that may return an error.
func (a *API) handler(path string, serve func(*call) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serve(&call{api: a, w: w, r: r, path: path}); err != nil {
			a.fail(w, r, path, err)
		}
	})
}

// admit finds the call's actor and holds the rate of the actor and of their account, or that
// of the address from which a stranger calls.
func (a *API) admit(c *call) error {
	client := web.ClientOf(c.r.Context())
	shown := iam.Shown{Key: apiKey(c.r.Header), Address: client.Address}
	if asks, _ := c.r.Context().Value(asksKey{}).(bool); asks {
		shown.AsksCertificate, shown.Certificate = true, client.Certificate
	}
	actor, err := a.iam.AuthenticateUser(c.r.Context(), shown)
	if fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.Denied) {
		return cmp.Or(web.AllowAll(bounds(a.strangers, web.AddressKey(client.Address))...), err)
	}
	if err != nil {
		return err
	}
	actor.RequestID = web.RequestID(c.r.Context())
	c.actor = actor
	all := bounds(a.callers, cmp.Or(actor.Token.String(), actor.User.String()))
	return web.AllowAll(append(all, web.Bound{Limiter: a.customers, Key: actor.Account.String()})...)
}

// bounds are those of several limiters for one key, with room for one more.
func bounds(limiters []*web.Limiter, key string) []web.Bound {
	all := make([]web.Bound, 0, len(limiters)+1)
	for _, l := range limiters {
		all = append(all, web.Bound{Limiter: l, Key: key})
	}
	return all
}

// fail answers with the fault in err and logs what is not the caller's doing.
func (a *API) fail(w http.ResponseWriter, r *http.Request, path string, err error) {
	f := fault.From(err)
	if (f.Kind == fault.Internal || f.Kind == fault.Unavailable) && !errors.Is(err, context.Canceled) {
		a.log.ErrorContext(r.Context(), "request failed", "request_id", web.RequestID(r.Context()),
			"transaction_id", transactionID(r.Header), "method", r.Method, "route", r.Pattern, "code", f.Code, "error", err)
	}
	writeFault(w, path, f)
}
