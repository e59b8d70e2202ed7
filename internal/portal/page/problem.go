package page

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/web"
)

// A Problem is a page that says what happened, why, and what to do.
type Problem struct {
	Status int
	Tone   ui.Tone
	Key    string // its messages are "problem.", the key, and .state, .title, .why or .do
	Code   string // of the portal's error catalogue, "" if it has none
	Detail string // what a message puts in place of {detail}
	Bare   bool   // it leads nowhere: its reader came by a mail
}

// say returns one of the problem's messages.
func (p Problem) say(ctx context.Context, part string) string {
	return ui.Say(ctx, "problem."+p.Key+"."+part, "detail", p.Detail)
}

// The problems that are no faults.
var (
	NoPage      = Problem{Status: http.StatusNotFound, Tone: ui.Bad, Key: "no_page"}
	WrongMethod = Problem{Status: http.StatusMethodNotAllowed, Tone: ui.Bad, Key: "wrong_method"}
	Forged      = Problem{Status: http.StatusForbidden, Tone: ui.Bad, Key: "forged"}
)

// ErrNotFound is the fault of an address that leads to nothing of the account's.
var ErrNotFound = fault.New(fault.NotFound, "page_not_found", "There is nothing at this address.")

// OrNotFound turns the error of an ID that cannot be read into a NotFound fault.
func OrNotFound(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(ErrNotFound, err)
}

// catalogue has the codes of the portal's error catalogue for those of faults (spec:
// portal-and-onboarding.md, Section 7).
var catalogue = map[string]string{"identity_submitted": "IDN-01", "no_such_product": "IDN-02"}

// problemOf returns the page of a fault.
func problemOf(f *fault.Fault) Problem {
	switch f.Kind {
	case fault.NotFound:
		if f.Code == "link_invalid" {
			return Problem{Status: http.StatusNotFound, Tone: ui.Bad, Key: "mail_link", Code: "ACC-01"}
		}
		return Problem{Status: http.StatusNotFound, Tone: ui.Bad, Key: "missing"}
	case fault.Denied, fault.Unauthenticated:
		return Problem{Status: http.StatusForbidden, Tone: ui.Bad, Key: "denied"}
	case fault.Conflict:
		return Problem{Status: http.StatusConflict, Tone: ui.Bad, Key: "moved", Code: catalogue[f.Code], Detail: f.Detail}
	case fault.Malformed, fault.Invalid:
		return Problem{Status: http.StatusUnprocessableEntity, Tone: ui.Bad, Key: "refused", Detail: f.Detail}
	case fault.NotReady, fault.Unavailable:
		return Problem{Status: http.StatusServiceUnavailable, Tone: ui.Warn, Key: "later"}
	case fault.Limited:
		if f.Code == fault.CodeRateLimited {
			return Problem{Status: http.StatusTooManyRequests, Tone: ui.Warn, Key: "often"}
		}
		return Problem{Status: http.StatusTooManyRequests, Tone: ui.Warn, Key: "later"}
	default:
		return Problem{Status: http.StatusInternalServerError, Tone: ui.Warn, Key: "failed"}
	}
}

// Handle turns a handler that returns an error into one that shows it.
func (s *Shell) Handle(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return s.HandleBy(problemOf, h)
}

// HandleBy is Handle with problems of its own for faults.
func (s *Shell) HandleBy(problemOf func(*fault.Fault) Problem, h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, problemOf, err)
		}
	}
}

// retryAfter is what a busy answer asks for if the fault does not say.
const retryAfter = time.Minute

// fail answers with the fault in err, and logs what is not the visitor's doing.
func (s *Shell) fail(w http.ResponseWriter, r *http.Request, problemOf func(*fault.Fault) Problem, err error) {
	flt := fault.From(err)
	ctx := r.Context()
	if isStale(err) {
		askFreshFactor(w, r)
		return
	}
	if (flt.Kind == fault.Internal || flt.Kind == fault.Unavailable) && !errors.Is(err, context.Canceled) {
		s.Log.ErrorContext(ctx, "request failed", "request_id", web.RequestID(ctx), "method", r.Method, "route", r.Pattern,
			"code", flt.Code, "error", redact(err, r.PathValue("value")))
	}
	p := problemOf(flt)
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		wait := cmp.Or(flt.RetryAfter, retryAfter)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	s.Problem(p)(w, r)
}

// redact returns an error's text for a log, without the value of a link: whoever
// reads a log may not approve with it.
func redact(err error, value string) slog.Value {
	text := err.Error()
	if value != "" {
		text = strings.ReplaceAll(text, value, "[value]")
	}
	return slog.StringValue(text)
}

// Problem returns a handler that shows p.
func (s *Shell) Problem(p Problem) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := web.RequestID(r.Context())
		if err := s.Render(w, r, p.Status, ProblemPage(p, id, s.signin != nil && !p.Bare)); err != nil {
			s.Log.ErrorContext(r.Context(), "request failed", "request_id", id, "route", r.Pattern, "error", err)
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
}

// NotAllowed returns a handler that answers 405 and says which methods there are.
func (s *Shell) NotAllowed(allow string) http.HandlerFunc {
	show := s.Problem(WrongMethod)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		show(w, r)
	}
}

// isStale reports whether err asks for a second factor that was shown lately.
func isStale(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Code == "second_factor_stale"
}

// askFreshFactor leads to the page that asks for a second factor, and from there back to
// the page that was to be used.
func askFreshFactor(w http.ResponseWriter, r *http.Request) {
	next := r.URL.Path
	if r.Method == http.MethodGet {
		next = r.URL.RequestURI()
	}
	io.Copy(io.Discard, io.LimitReader(r.Body, 1<<16))
	Redirect(w, r, SecondFactorPath+"?"+url.Values{"next": {next}}.Encode())
}
