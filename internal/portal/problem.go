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
	"github.com/telamon-ca/telamon/internal/web"
)

// A problem is a page that says what happened, why, and what to do.
type problem struct {
	status int

	Mark      string // a shape that says the state along with the words
	State     string // the state in a word or two
	Title     string
	Why       string
	Do        string
	Code      string // of the portal's error catalogue, "" if it has none
	Reference string // the request's ID
}

// deadLink returns the problem of a link by which nothing can be approved (ACC-01).
// Its status is 410 where the link was good once: it will not be again.
func deadLink(status int, why, do string) problem {
	return problem{
		status: status, Mark: "✕", State: "Not valid", Title: "This link is no longer valid", Why: why, Do: do, Code: "ACC-01",
	}
}

const requestNew = "Request a new one."

// The problems that are no links'.
var (
	noPage = problem{
		status: http.StatusNotFound, Mark: "✕", State: "Not found", Title: "There is no page at this address",
		Why: "Links in mails are long, and some mail programs break them in two.",
		Do:  "Copy the whole link from the mail into the address bar of your browser.",
	}
	wrongMethod = problem{
		status: http.StatusMethodNotAllowed, Mark: "✕", State: "Refused", Title: "This page cannot do that",
		Why: "The request has a method that the page does not know.", Do: "Open the link in a browser.",
	}
	foreign = problem{
		status: http.StatusForbidden, Mark: "✕", State: "Refused", Title: "This was not sent from our page",
		Why: "Another site made your browser send it, or your browser does not say where it comes from. Nothing was approved.",
		Do:  "Open the link in the mail with an up-to-date browser, and approve there.",
	}
	// busy says nothing about what was done: the outcome of a commit can be unknown.
	busy = problem{
		status: http.StatusServiceUnavailable, Mark: "!", State: "Try again", Title: "We cannot answer right now",
		Why: "The platform is busy, or a part of it is down.",
		Do:  "Open the link in the mail again in a minute. The page says then whether the domain was approved.",
	}
	broken = problem{
		status: http.StatusInternalServerError, Mark: "!", State: "Try again", Title: "Something failed on our side",
		Why: "The operators of the platform have been told.",
		Do:  "Open the link in the mail again later. The page says then whether the domain was approved.",
	}
)

// problemOf returns the page of a fault.
func problemOf(f *fault.Fault) problem {
	switch f.Kind {
	case fault.NotFound:
		return deadLink(http.StatusNotFound, "No mail of ours holds it, or it was changed or cut on its way to you.", requestNew)
	case fault.Conflict:
		return conflict(f.Code)
	case fault.Malformed, fault.Invalid, fault.Unauthenticated, fault.Denied:
		return problem{
			status: http.StatusForbidden, Mark: "✕", State: "Refused", Title: "This domain cannot be approved here",
			Why: f.Detail, Do: "Ask the account that claimed the domain to show control of it in another way.",
		}
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

// conflict returns the problem of a link that was good once and is not any more.
func conflict(code string) problem {
	switch code {
	case "approval_used":
		return deadLink(http.StatusGone, "It has been used: the domain was approved with it, and a link works once.",
			"Request a new one if the domain has to be approved again.")
	case "approval_expired":
		return deadLink(http.StatusGone, "It ran out before anybody used it. Nothing was approved.", requestNew)
	case "claim_moved":
		return deadLink(http.StatusGone, "The account has renewed or withdrawn its claim since this mail was sent. Nothing was approved.", requestNew)
	default:
		return deadLink(http.StatusGone, "What it was sent for has changed since.", requestNew)
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
	if (flt.Kind == fault.Internal || flt.Kind == fault.Unavailable) && !errors.Is(err, context.Canceled) {
		f.log.ErrorContext(ctx, "request failed", "request_id", web.RequestID(ctx), "method", r.Method, "route", r.Pattern,
			"code", flt.Code, "error", redact(err, r.PathValue("value")))
	}
	p := problemOf(flt)
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
		p := p
		p.Reference = web.RequestID(r.Context())
		if err := f.render(w, p.status, page{Name: "problem", Title: p.Title, Data: p}); err != nil {
			f.log.ErrorContext(r.Context(), "request failed", "request_id", p.Reference, "route", r.Pattern, "error", err)
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
