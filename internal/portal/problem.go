package portal

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/web"
)

// A problem is a page that says what happened, why, and what to do.
type problem struct {
	status int
	tone   ui.Tone
	key    string // its messages are "problem.", the key, and .state, .title, .why or .do
	code   string // of the portal's error catalogue, "" if it has none
	detail string // what a message puts in place of {detail}
}

// say returns one of the problem's messages.
func (p problem) say(ctx context.Context, part string) string {
	return ui.Say(ctx, "problem."+p.key+"."+part, "detail", p.detail)
}

// deadLink returns the problem of a link by which nothing can be approved (ACC-01).
// Its status is 410 where the link was good once: it will not be again.
func deadLink(status int, key string) problem {
	return problem{status: status, tone: ui.Bad, key: key, code: "ACC-01"}
}

// The problems that are no links'.
var (
	noPage      = problem{status: http.StatusNotFound, tone: ui.Bad, key: "no_page"}
	wrongMethod = problem{status: http.StatusMethodNotAllowed, tone: ui.Bad, key: "wrong_method"}
	foreign     = problem{status: http.StatusForbidden, tone: ui.Bad, key: "foreign"}
	forged      = problem{status: http.StatusForbidden, tone: ui.Bad, key: "forged"}
	// busy says nothing about what was done: the outcome of a commit can be unknown.
	busy   = problem{status: http.StatusServiceUnavailable, tone: ui.Warn, key: "busy"}
	broken = problem{status: http.StatusInternalServerError, tone: ui.Warn, key: "broken"}
)

// approvalProblem returns the page of a fault of an approval.
func approvalProblem(f *fault.Fault) problem {
	switch f.Kind {
	case fault.NotFound:
		return deadLink(http.StatusNotFound, "link_unknown")
	case fault.Conflict:
		return conflict(f.Code)
	case fault.Malformed, fault.Invalid, fault.Unauthenticated, fault.Denied:
		return problem{status: http.StatusForbidden, tone: ui.Bad, key: "not_approvable", detail: f.Detail}
	case fault.NotReady, fault.Limited, fault.Unavailable:
		p := busy
		if f.Kind == fault.Limited {
			p.status = http.StatusTooManyRequests
		}
		return p
	default:
		return broken
	}
}

// problemOf returns the page of a fault of any other page.
func problemOf(f *fault.Fault) problem {
	switch f.Kind {
	case fault.NotFound:
		if f.Code == "link_invalid" {
			return problem{status: http.StatusNotFound, tone: ui.Bad, key: "mail_link", code: "ACC-01"}
		}
		return problem{status: http.StatusNotFound, tone: ui.Bad, key: "missing"}
	case fault.Denied, fault.Unauthenticated:
		return problem{status: http.StatusForbidden, tone: ui.Bad, key: "denied"}
	case fault.Conflict:
		return problem{status: http.StatusConflict, tone: ui.Bad, key: "moved", detail: f.Detail}
	case fault.Malformed, fault.Invalid:
		return problem{status: http.StatusUnprocessableEntity, tone: ui.Bad, key: "refused", detail: f.Detail}
	case fault.NotReady, fault.Unavailable:
		return problem{status: http.StatusServiceUnavailable, tone: ui.Warn, key: "later"}
	case fault.Limited:
		return problem{status: http.StatusTooManyRequests, tone: ui.Warn, key: "later"}
	default:
		return problem{status: http.StatusInternalServerError, tone: ui.Warn, key: "failed"}
	}
}

// isApproval reports whether a request is for the page of an approval.
func isApproval(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, ApprovePath) }

// conflict returns the problem of a link that was good once and is not any more.
func conflict(code string) problem {
	switch code {
	case "approval_used":
		return deadLink(http.StatusGone, "link_used")
	case "approval_expired":
		return deadLink(http.StatusGone, "link_expired")
	case "claim_moved":
		return deadLink(http.StatusGone, "link_moved")
	default:
		return deadLink(http.StatusGone, "link_changed")
	}
}

// handle turns a handler that returns an error into one that shows it.
func (f *face) handle(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			f.fail(w, r, err)
		}
	}
}

// retryAfter is what a busy answer asks for if the fault does not say.
const retryAfter = time.Minute

// fail answers with the fault in err, and logs what is not the visitor's doing.
func (f *face) fail(w http.ResponseWriter, r *http.Request, err error) {
	flt := fault.From(err)
	ctx := r.Context()
	if isStale(err) {
		askFreshFactor(w, r)
		return
	}
	if (flt.Kind == fault.Internal || flt.Kind == fault.Unavailable) && !errors.Is(err, context.Canceled) {
		f.log.ErrorContext(ctx, "request failed", "request_id", web.RequestID(ctx), "method", r.Method, "route", r.Pattern,
			"code", flt.Code, "error", redact(err, r.PathValue("value")))
	}
	p := problemOf(flt)
	if isApproval(r) {
		p = approvalProblem(flt)
	}
	if p.status == http.StatusServiceUnavailable || p.status == http.StatusTooManyRequests {
		wait := cmp.Or(flt.RetryAfter, retryAfter)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	f.problem(p)(w, r)
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

// problem returns a handler that shows p.
func (f *face) problem(p problem) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := web.RequestID(r.Context())
		if err := f.render(w, r, p.status, problemPage(p, id, f.signin != nil && !isApproval(r))); err != nil {
			f.log.ErrorContext(r.Context(), "request failed", "request_id", id, "route", r.Pattern, "error", err)
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
}

// notAllowed returns a handler that answers 405 and says which methods there are.
func (f *face) notAllowed(allow string) http.HandlerFunc {
	show := f.problem(wrongMethod)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		show(w, r)
	}
}
