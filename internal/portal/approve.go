package portal

import (
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/web"
)

// maxValue is the longest value that a link can have, with room to spare.
const maxValue = 256

// errNoLink is what a value stands for that no link can have.
var errNoLink = fault.New(fault.NotFound, "approval_not_found", "There is no such approval.")

// linkValue returns the value in a request's path: the characters of base64url (RFC
// 4648, Section 5), at least one. It reports NotFound for anything else, and Limited for
// an address that asks too often.
func (f *face) linkValue(r *http.Request) (string, error) {
	if err := f.addresses.Allow(web.AddressKey(web.ClientOf(r.Context()).Address)); err != nil {
		return "", err
	}
	value := r.PathValue("value")
	if value == "" || len(value) > maxValue {
		return "", errNoLink
	}
	for _, c := range []byte(value) {
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return "", errNoLink
		}
	}
	return value, nil
}

// methodWords are the messages that say what each method that sends mail does.
var methodWords = map[telamon.Method]string{
	telamon.MethodEmail:    "approve.method.email",
	telamon.MethodEmailCAA: "approve.method.email_caa",
	telamon.MethodEmailTXT: "approve.method.email_txt",
}

// An approval is what the pages show of one. It has no value of a link.
type approval struct {
	*telamon.Approval
	AccountName string // "" on the page of the result
}

// Rule returns the section of the TLS Baseline Requirements by which the mail was
// sent.
func (a approval) Rule() string { return a.Method.Rule(telamon.ClaimDomain) }

// How returns the message that says what the rule is.
func (a approval) How() string { return methodWords[a.Method] }

// OtherADN returns the authorization domain name if the mailbox belongs to another
// name than the one that is claimed, "" otherwise.
func (a approval) OtherADN() string {
	if a.ADN == a.Name {
		return ""
	}
	return a.ADN
}

// ask serves GET /claims/approve/{value}: what approving does, and the button. It
// changes nothing.
func (f *face) ask(w http.ResponseWriter, r *http.Request) error {
	value, err := f.linkValue(r)
	if err != nil {
		return err
	}
	asked, account, err := f.approvals.Approval(r.Context(), value)
	if err != nil {
		return err
	}
	return f.shell.Render(w, r, http.StatusOK, askPage(approval{asked, account}))
}

// approve serves POST /claims/approve/{value}, which the button sends. The link is
// used up when it answers 200: to load the result again says so.
func (f *face) approve(w http.ResponseWriter, r *http.Request) error {
	value, err := f.linkValue(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	approved, err := f.approvals.Approve(ctx, web.ClientOf(ctx).Address, web.RequestID(ctx), value)
	if err != nil {
		return err
	}
	return f.shell.Render(w, r, http.StatusOK, approvedPage(approval{Approval: approved}))
}

// deadLink returns the problem of a link by which nothing can be approved (ACC-01).
// Its status is 410 where the link was good once: it will not be again.
func deadLink(status int, key string) page.Problem {
	return page.Problem{Status: status, Tone: ui.Bad, Key: key, Code: "ACC-01"}
}

// foreign is the problem of a button that another site has pressed.
var foreign = page.Problem{Status: http.StatusForbidden, Tone: ui.Bad, Key: "foreign", Bare: true}

// approvalProblem returns the page of a fault of an approval.
func approvalProblem(f *fault.Fault) page.Problem {
	p := approvalProblemOf(f)
	p.Bare = true
	return p
}

func approvalProblemOf(f *fault.Fault) page.Problem {
	switch f.Kind {
	case fault.NotFound:
		return deadLink(http.StatusNotFound, "link_unknown")
	case fault.Conflict:
		return conflict(f.Code)
	case fault.Malformed, fault.Invalid, fault.Unauthenticated, fault.Denied:
		return page.Problem{Status: http.StatusForbidden, Tone: ui.Bad, Key: "not_approvable", Detail: f.Detail}
	case fault.NotReady, fault.Limited, fault.Unavailable:
		p := page.Problem{Status: http.StatusServiceUnavailable, Tone: ui.Warn, Key: "busy"} // the outcome of a commit can be unknown
		if f.Kind == fault.Limited {
			p.Status = http.StatusTooManyRequests
		}
		return p
	default:
		return page.Problem{Status: http.StatusInternalServerError, Tone: ui.Warn, Key: "broken"}
	}
}

// isApproval reports whether a request is for the page of an approval.
func isApproval(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, ApprovePath) }

// conflict returns the problem of a link that was good once and is not any more.
func conflict(code string) page.Problem {
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
