// Package atlas speaks the wire dialect of the Atlas Certificate Management API
// v2: paths, headers, JSON, statuses and error texts, so that clients written for
// that service work unchanged. It parses a request, calls one use case of package
// ra or iam, and renders the outcome; it holds no rule about certificates,
// accounts or domains.
//
// It trusts nothing of a request but what package web established of the
// connection: the peer's address and client certificate. It never redirects, and
// answers 401 only where a new login can help. Where the documents of the API are
// silent, docs/ATLAS-DIVERGENCES.md says what was chosen and why.
package atlas

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/web"
)

// registration is what the dialect asks of the registration authority.
type registration interface {
	Issue(ctx context.Context, actor telamon.Actor, req *ra.CertificateRequest) (telamon.Serial, error)
	Check(ctx context.Context, actor telamon.Actor, req *ra.CertificateRequest) error
	Rekey(ctx context.Context, actor telamon.Actor, serial telamon.Serial, req *ra.RekeyRequest) (telamon.Serial, error)
	Certificate(ctx context.Context, actor telamon.Actor, serial telamon.Serial) (*telamon.Certificate, []byte, error)
	Revoke(ctx context.Context, actor telamon.Actor, serial telamon.Serial, rev ra.Revocation) error
	Policy(ctx context.Context, actor telamon.Actor) (*policy.Policy, error)
	TrustChain(ctx context.Context, actor telamon.Actor) ([]*x509.Certificate, error)
	IssuedCount(ctx context.Context, actor telamon.Actor) (int64, error)
	RevokedCount(ctx context.Context, actor telamon.Actor) (int64, error)
	Quota(ctx context.Context, actor telamon.Actor) (int64, error)
	List(ctx context.Context, actor telamon.Actor, l store.Listing, from, to time.Time, page, perPage int64) ([]store.ListedCertificate, int64, error)
	claimRegistration
}

// claimRegistration is what the dialect asks of it about claims.
type claimRegistration interface {
	SubmitClaim(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, name string) (*telamon.Claim, error)
	Claim(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID) (*telamon.Claim, []telamon.ClaimLogEntry, error)
	Claims(ctx context.Context, actor telamon.Actor, l ra.ClaimListing) ([]ra.ListedClaim, int64, error)
	DeleteClaim(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID) error
	ReassertClaim(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID) (*telamon.Claim, error)
	AllowedDomains(ctx context.Context, actor telamon.Actor, id telamon.ClaimID) ([]string, error)
	CheckDNS(ctx context.Context, actor telamon.Actor, id telamon.ClaimID, adn *string) (verified bool, err error)
	CheckHTTP(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID, scheme string, adn *string) (verified bool, err error)
	Mailboxes(ctx context.Context, actor telamon.Actor, id telamon.ClaimID) (dcv.Mailboxes, error)
	SendApproval(ctx context.Context, actor telamon.Actor, id telamon.ClaimID, address string) (verified bool, err error)
	TokenValue(c *telamon.Claim) string
}

// access is what the dialect asks of identity and access management.
type access interface {
	Login(ctx context.Context, address netip.Addr, peerDER []byte, key, secret string) (token string, err error)
	Authorize(ctx context.Context, token string, address netip.Addr, peerDER []byte) (telamon.Actor, error)
}

// Config names what the API is made of.
type Config struct {
	RA    registration
	IAM   access
	Clock telamon.Clock
	Log   *slog.Logger

	// Addresses bounds how often one address may log in or bring a token that is
	// refused, Credentials how often one credential may call, and Accounts all credentials
	// of one account. Nil sets no bound.
	Addresses, Credentials, Accounts *web.Limiter

	// MaxBody is the longest request body in bytes; 0 is DefaultMaxBody. Some routes
	// take less.
	MaxBody int64
	// AtRoot serves the routes at the root too, for clients whose base URL has no
	// /v2. Location and Links start with /v2 all the same.
	AtRoot bool
}

// DefaultMaxBody holds a request of a hundred of the longest names and an 8192
// bit key more than ten times.
const DefaultMaxBody = 512 << 10

// base is the path under which the API is mounted.
const base = "/v2"

// API serves the dialect. It is safe for concurrent use.
type API struct {
	ra          registration
	iam         access
	clock       telamon.Clock
	log         *slog.Logger
	addresses   *web.Limiter
	credentials *web.Limiter
	accounts    *web.Limiter
	maxBody     int64
	mux         *http.ServeMux
}

// New returns the API.
func New(cfg Config) *API {
	a := &API{
		ra: cfg.RA, iam: cfg.IAM, clock: cfg.Clock, log: cfg.Log,
		addresses: cfg.Addresses, credentials: cfg.Credentials, accounts: cfg.Accounts, maxBody: cfg.MaxBody,
		mux: http.NewServeMux(),
	}
	if a.maxBody == 0 {
		a.maxBody = DefaultMaxBody
	}
	for path, methods := range a.routes() {
		a.mux.Handle(base+path, a.dispatch(methods))
		if cfg.AtRoot {
			a.mux.Handle(path, a.dispatch(methods))
		}
	}
	a.mux.Handle("/", a.handler(func(*call) error {
		return fault.New(fault.NotFound, codeNoRoute, "Not found")
	}))
	return a
}

// A route is what serves one method of one path.
type route struct {
	serve func(*call) error
	open  bool // needs no token
	body  bool // needs a JSON body
	// mayHaveBody takes a JSON body or none.
	mayHaveBody bool
	// longest is the most bytes of the body; 0 is MaxBody, which holds in any case.
	longest int64
}

// Bodies of a few short members. A login's is read for strangers too.
const (
	maxLoginBody      = 4 << 10
	maxRevocationBody = 64 << 10
)

// routes returns the routes by path below the base and method.
func (a *API) routes() map[string]map[string]route {
	get := func(serve func(*call) error) map[string]route {
		return map[string]route{http.MethodGet: {serve: serve}}
	}
	post := func(r route) map[string]route {
		r.body = true
		return map[string]route{http.MethodPost: r}
	}
	routes := map[string]map[string]route{
		"/login":            post(route{serve: a.login, open: true, longest: maxLoginBody}),
		"/validationpolicy": get(a.policy),
		"/trustchain":       get(a.trustChain),
		"/certificates":     post(route{serve: a.issue}),
		"/certificates/{sn}": {
			http.MethodGet:    {serve: a.certificate},
			http.MethodPatch:  {serve: a.revoke, body: true, longest: maxRevocationBody},
			http.MethodDelete: {serve: a.revokeUnspecified},
		},
		"/certificates/{sn}/rekey":       post(route{serve: a.rekey}),
		"/counters/certificates/issued":  get(a.counter(a.ra.IssuedCount)),
		"/counters/certificates/revoked": get(a.counter(a.ra.RevokedCount)),
		"/quotas/issuance":               get(a.counter(a.ra.Quota)),
		"/stats/issued":                  get(a.statistics(store.Issued)),
		"/stats/revoked":                 get(a.statistics(store.Revoked)),
		"/stats/expiring":                get(a.statistics(store.Expiring)),
	}
	a.claimRoutes(routes)
	return routes
}

// A call is one request on its way through its route.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	actor telamon.Actor // zero on an open route
	body  []byte        // nil unless the route takes one
}

// ServeHTTP serves the API. Paths are read as clients spell them: with a slash at
// the end, with doubled ones, percent-encoded.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	defer a.recovered(w, r)
	u, ok := web.CanonicalURL(r.URL)
	if !ok {
		a.fail(w, r, fault.New(fault.NotFound, codeNoRoute, "Not found"))
		return
	}
	canonical := *r
	canonical.URL = u
	defer func() { r.Pattern = canonical.Pattern }() // for whoever labels metrics by r
	a.mux.ServeHTTP(w, &canonical)
}

// recovered makes of a panic the answer that clients expect of a server's error.
func (a *API) recovered(w http.ResponseWriter, r *http.Request) {
	switch cause := recover(); cause {
	case nil:
	case http.ErrAbortHandler:
		panic(cause)
	default:
		a.fail(w, r, fmt.Errorf("panic: %v\n%s", cause, debug.Stack()))
	}
}

// dispatch serves the methods of one path in the documented order of checks:
// route, token, length, type, JSON and semantics.
func (a *API) dispatch(methods map[string]route) http.Handler {
	if get, ok := methods[http.MethodGet]; ok {
		methods[http.MethodHead] = get
	}
	var allowed []string
	for method := range methods {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return a.handler(func(c *call) error {
		route, ok := methods[c.r.Method]
		if !ok {
			return fault.New(fault.Malformed, codeMethod, allow)
		}
		if err := a.admit(c, route); err != nil {
			return err
		}
		if route.body || route.mayHaveBody && hasBody(c.r) {
			var err error
			if c.body, err = a.readBody(c.w, c.r, route.longest); err != nil {
				return err
			}
		}
		return route.serve(c)
	})
}

// handler makes an http.Handler of a function that may return an error.
func (a *API) handler(serve func(*call) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serve(&call{w: w, r: r}); err != nil {
			a.fail(w, r, err)
		}
	})
}

// admit finds the call's actor unless the route is open, and holds the rate of the
// actor, or of the address from which a stranger calls.
func (a *API) admit(c *call, route route) error {
	var err error
	if !route.open {
		if err = a.authorize(c); !fault.Is(err, fault.Unauthenticated) {
			return err
		}
	}
	return cmp.Or(a.addresses.Allow(web.AddressKey(web.ClientOf(c.r.Context()).Address)), err)
}

// errNoToken is every way in which a request can fail to bring a token.
var errNoToken = fault.New(fault.Unauthenticated, "token_missing", "Unauthorized")

// authorize finds the call's actor by its token (docs/ISSUANCE.md, step 2), and
// holds the actor's rate and that of their account.
func (a *API) authorize(c *call) error {
	token, ok := bearer(c.r.Header)
	if !ok {
		return errNoToken
	}
	client := web.ClientOf(c.r.Context())
	actor, err := a.iam.Authorize(c.r.Context(), token, client.Address, client.Certificate)
	if err != nil {
		return err
	}
	actor.RequestID = web.RequestID(c.r.Context())
	c.actor = actor
	return web.AllowAll(web.Bound{Limiter: a.credentials, Key: actor.Credential.String()}, web.Bound{Limiter: a.accounts, Key: actor.Account.String()})
}

// maxToken is the longest token that clients may be given.
const maxToken = 4096

// bearer returns the token of the Authorization header, whose scheme older
// clients spell in lower case.
func bearer(h http.Header) (string, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
		return "", false
	}
	return token, true
}

// fail answers with the fault in err and logs what is not the caller's doing.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	id := web.RequestID(r.Context())
	if (f.Kind == fault.Internal || f.Kind == fault.Unavailable) && !errors.Is(err, context.Canceled) {
		a.log.ErrorContext(r.Context(), "request failed", "request_id", id, "method", r.Method, "route", r.Pattern, "code", f.Code, "error", err)
	}
	writeFault(w, r, f, id)
}
