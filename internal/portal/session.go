package portal

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/web"
)

// sessionCookie holds the value of a session. The prefix keeps it to this host and to
// TLS (RFC 6265bis, Section 4.1.3.2).
const sessionCookie = "__Host-session"

// A call is one request of somebody who has signed in, or is about to.
type call struct {
	*face
	w       http.ResponseWriter
	r       *http.Request
	session *signin.Session
	actor   telamon.Actor // of what the session may do; a stranger while it needs something
}

// account returns the account that the call is about.
func (c *call) account() telamon.AccountID { return c.session.Account.ID }

// clientOf returns where a request comes from.
func clientOf(r *http.Request) signin.Client {
	ctx := r.Context()
	return signin.Client{Address: web.ClientOf(ctx).Address, Agent: r.UserAgent(), RequestID: web.RequestID(ctx)}
}

// setSession gives the browser the value of a session; "" takes it away. It ends with
// the browser: the session itself ends earlier.
func setSession(w http.ResponseWriter, value string) {
	c := &http.Cookie{Name: sessionCookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// sessionValue returns the value of the request's session, "" for none.
func sessionValue(r *http.Request) string {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// begin finds the session of a request. It answers by itself, and returns nil, if there
// is none.
func (f *face) begin(w http.ResponseWriter, r *http.Request) (*call, error) {
	session, err := f.signin.Session(r.Context(), sessionValue(r), clientOf(r))
	if fault.Is(err, fault.Unauthenticated) {
		to := signin.SignInPath
		if r.Method == http.MethodGet && r.URL.Path != "/" {
			to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
		}
		if sessionValue(r) != "" {
			setSession(w, "")
		}
		redirect(w, r, to)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &call{face: f, w: w, r: r, session: session, actor: session.Actor()}, nil
}

// needPages are the pages on which sessions do what they need.
var needPages = map[signin.Need]string{
	signin.NeedSecondFactor: secondFactorPath,
	signin.NeedProfile:      welcomePath,
	signin.NeedAgreement:    agreementPath,
	signin.NeedEnrolment:    enrolPath,
}

// person is a handler for people who have signed in: others go to the sign-in, and those
// whose session needs something more to the page of that.
func (f *face) person(h func(*call) error) http.HandlerFunc {
	return f.handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := f.begin(w, r)
		if c == nil {
			return err
		}
		if page := needPages[c.session.Need]; page != "" {
			redirect(w, r, page)
			return nil
		}
		return h(c)
	})
}

// needs is a handler for people whose session needs just this: others go to the
// dashboard, from where they are led on.
func (f *face) needs(need signin.Need, h func(*call) error) http.HandlerFunc {
	return f.handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := f.begin(w, r)
		if c == nil {
			return err
		}
		if c.session.Need != need {
			redirect(w, r, "/")
			return nil
		}
		return h(c)
	})
}

// redirect leads the browser to another page of ours, which it gets by GET.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// ownPath returns where somebody wanted to go before they had to sign in: a path of
// ours, or "/" for whatever else it says.
func ownPath(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || len(text) > 1024 || strings.ContainsAny(text, "\\\r\n\t") {
		return "/"
	}
	own := (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).RequestURI()
	if !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || !strings.HasPrefix(own, "/") || strings.HasPrefix(own, "//") {
		return "/"
	}
	return own
}
