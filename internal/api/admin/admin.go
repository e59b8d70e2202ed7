// Package admin serves the admin API: every use case of package iam, the issuers, how
// certificates were validated, and the audit log, as JSON over HTTP. Its Client is what the
// commands of "telamon admin" are made of.
//
// The same routes have two faces. On a Unix socket, whoever can open it is an operator;
// which one, the user at the other end of the socket or a token tells. Over TLS a machine is
// a service user with the roles of that user: see [API.Machines]. What needs a second
// operator waits for one. Errors are application/problem+json (RFC 9457) with a code, the
// request's ID and a list of fields. Bodies are read strictly.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/signing"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/web"
)

// Config names what the API is made of.
type Config struct {
	IAM      *iam.IAM
	Signing  *signing.Signing
	SignIn   *signin.Service // nil without a portal
	RA       *ra.RA          // how certificates were validated
	Staff    *staff.Staff
	Commerce *commerce.Service
	Store    *store.DB       // the audit log and the issuers
	Life     *lifecycle.Life // the life of issuing CAs
	Issuance *issuance.Engine
	CRLs     *publish.Publisher
	Clock    telamon.Clock
	Log      *slog.Logger
	Verifier note.Verifier // of the audit log's checkpoints
	// VerifierKey is the text of Verifier, for those who verify elsewhere.
	VerifierKey string
	// Ready reports why the process cannot do its work.
	Ready func(context.Context) error
	// Version is the program's.
	Version string
	// Operators knows who opened the socket.
	Operators *staff.Operators
}

// server has the routes, and what they are made of.
type server struct {
	Config
	mux      *http.ServeMux
	routes   []registered // in the order of their registration
	document func() []byte
}

// API is the admin API. Its methods do the same for the portal. It is safe for concurrent
// use.
type API struct{ s *server }

// New returns the API.
func New(cfg Config) *API {
	s := &server{Config: cfg, mux: http.NewServeMux()}
	s.meRoutes()
	s.accountRoutes()
	s.signInRoutes()
	s.serviceRoutes()
	s.quoteRoutes()
	s.credentialRoutes()
	s.keyPairRoutes()
	s.platformRoutes()
	s.issuerRoutes()
	s.evidenceRoutes()
	s.revokeRoutes()
	s.crlRoutes()
	s.approvalRoutes()
	s.caseRoutes()
	s.document = sync.OnceValue(s.describe)
	return &API{s}
}

// ServeHTTP serves a request that came over the Unix socket.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.s.serve(w, r) }

// serve serves a request by its route.
func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == documentPath {
		s.serveDocument(w, r)
		return
	}
	if handler, pattern := s.mux.Handler(r); pattern == "" {
		// The mux's own answer has the status: 404, or 405 with Allow.
		recorded := &statusOnly{header: w.Header()}
		handler.ServeHTTP(recorded, r)
		s.refuse(w, r, recorded.status, errNoRoute)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// statusOnly takes the status and header of an answer and drops its body.
type statusOnly struct {
	header http.Header
	status int
}

func (w *statusOnly) Header() http.Header         { return w.header }
func (w *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (w *statusOnly) WriteHeader(status int)      { w.status = status }

// A call is one request on its way through its route.
type call struct {
	*server
	r     *http.Request
	actor telamon.Actor
	raw   []byte // the body, once it was read
}

// route serves a pattern with a use case, whose result is answered as JSON with
// the status, or with 204 if there is none.
func (s *server) route(pattern string, status int, do func(ctx context.Context, c *call) (any, error)) {
	s.routes = append(s.routes, registered{pattern, status})
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c := &call{server: s, r: r}
		result, err := any(nil), error(nil)
		if c.actor, err = s.actor(r); err == nil {
			result, err = do(r.Context(), c)
		}
		if in, ok := r.Context().Value(insideKey{}).(*inside); ok {
			in.result, in.err = result, err
			return
		}
		switch {
		case err != nil:
			s.refuseFault(w, r, wouldAllow(r.Context(), err))
		case result == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			s.write(w, r, "application/json", status, result)
		}
	})
}

// may reports what authz.Check does of an action on what is the platform's own.
func (c *call) may(action authz.Action) error { return authz.Check(c.actor, action, "") }

// statusOf is the status of each kind of fault.
var statusOf = map[fault.Kind]int{
	fault.Internal: http.StatusInternalServerError, fault.Malformed: http.StatusBadRequest,
	fault.Invalid: http.StatusUnprocessableEntity, fault.Unauthenticated: http.StatusUnauthorized,
	fault.Denied: http.StatusForbidden, fault.NotFound: http.StatusNotFound, fault.Conflict: http.StatusConflict,
	fault.NotReady: http.StatusConflict, fault.Limited: http.StatusTooManyRequests,
	fault.Unavailable: http.StatusServiceUnavailable,
}

// A Problem is the body of a refusal, and the error that Client returns for it.
type Problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail,omitempty"`
	Code      string         `json:"code"`
	Fields    []ProblemField `json:"fields,omitempty"`
	RequestID string         `json:"request_id,omitempty"`
}

// A ProblemField says what is wrong with one member of a request.
type ProblemField struct {
	Path    string `json:"path"`
	Problem string `json:"problem"`
}

// Error returns the problem for a person at a terminal.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, f := range p.Fields {
		if line := f.Path + ": " + f.Problem; line != p.Detail {
			text += "\n  " + line
		}
	}
	if p.Status >= http.StatusInternalServerError {
		text += " (request " + p.RequestID + ")"
	}
	return text
}

// refuseFault answers with the fault in err, and its status.
func (s *server) refuseFault(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	if f.Kind == fault.Unauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	s.refuse(w, r, statusOf[f.Kind], f)
}

func (s *server) refuse(w http.ResponseWriter, r *http.Request, status int, f *fault.Fault) {
	if f.Kind == fault.Internal || f.Kind == fault.Unavailable {
		s.Log.ErrorContext(r.Context(), "request failed", "request_id", web.RequestID(r.Context()), "route", r.Pattern, "error", f)
	}
	problem := &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: f.Detail, Code: f.Code,
		RequestID: web.RequestID(r.Context()),
	}
	for _, field := range f.Fields {
		problem.Fields = append(problem.Fields, ProblemField(field))
	}
	s.write(w, r, "application/problem+json", status, problem)
}

func (s *server) write(w http.ResponseWriter, r *http.Request, contentType string, status int, body any) {
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		s.Log.ErrorContext(r.Context(), "answer cannot be encoded", "route", r.Pattern, "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store") // some answers are secrets
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}

// body reads the request's body: one JSON value with no member that is not known.
func (c *call) body(into any) error {
	text, err := io.ReadAll(c.r.Body)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err == nil {
		c.raw, err = text, decoder.Decode(into)
	}
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more after the JSON value")
		}
	}
	if err != nil {
		return &fault.Fault{Kind: fault.Malformed, Code: "body_unreadable", Detail: "The body cannot be read: " + err.Error() + ".", Cause: err}
	}
	return nil
}

// defaultPage is how many objects a list holds if the request does not say.
const defaultPage = 100

// page reads the parameters after and limit.
func (c *call) page() (store.Page, error) {
	query := c.r.URL.Query()
	page := store.Page{After: query.Get("after"), Limit: defaultPage}
	if text := query.Get("limit"); text != "" {
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 1 || limit > 1000 {
			return page, fault.New(fault.Malformed, "limit", "The limit must be a number from 1 to 1000.")
		}
		page.Limit = limit
	}
	return page, nil
}

// orEmpty returns an empty list for none: JSON would make null of that.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// A List is a part of a list. Next, if it is not empty, is the parameter "after" of
// the next part.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// listOf returns the part of a list that a page asked for.
func listOf[T, W any](rows []T, page store.Page, wire func(T) W, id func(T) string) List[W] {
	list := List[W]{Items: make([]W, len(rows))}
	for i, row := range rows {
		list.Items[i] = wire(row)
	}
	if len(rows) > 0 && len(rows) == page.Limit {
		list.Next = id(rows[len(rows)-1])
	}
	return list
}
