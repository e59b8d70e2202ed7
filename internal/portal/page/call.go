package page

import (
	"context"
	"encoding/csv"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/web"
)

// sessionCookie holds the value of a session. The prefix keeps it to this host and to
// TLS (RFC 6265bis, Section 4.1.3.2).
const sessionCookie = "__Host-session"

// A Call is one request of somebody who has signed in, or is about to.
type Call struct {
	*Shell
	W       http.ResponseWriter
	R       *http.Request
	Session *signin.Session
	Actor   telamon.Actor // of what the session may do; a stranger while it needs something
}

// Account returns the account that the call is about.
func (c *Call) Account() telamon.AccountID { return c.Session.Account.ID }

// Context returns that of the request.
func (c *Call) Context() context.Context { return c.R.Context() }

// May reports whether the person may do something to what belongs to the account.
func (c *Call) May(action authz.Action) bool {
	return authz.Check(c.Actor, action, c.Account()) == nil
}

// Language returns the language of the request.
func (c *Call) Language() *ui.Language { return LanguageOf(c.R) }

// Say returns a message in the language of the request.
func (c *Call) Say(key string, pairs ...string) string { return c.Language().Say(key, pairs...) }

// Many returns the message of a number of things.
func (c *Call) Many(key string, n int, pairs ...string) string {
	return c.Language().Many(key, int64(n), pairs...)
}

// ActIf leads to a page if the person may do what it is for.
func (c *Call) ActIf(action authz.Action, key, path string) *ui.Link {
	if !c.May(action) {
		return nil
	}
	return &ui.Link{Text: c.Say(key), URL: path}
}

// CancelTo is the way out of a form, to a page that changes nothing.
func (c *Call) CancelTo(path string) *ui.Link {
	return &ui.Link{Text: c.Say("confirm.cancel"), URL: path}
}

// Show answers with a page in the shell.
func (c *Call) Show(status int, title string, parts ...templ.Component) error {
	page := ui.Page{Title: title, Scripts: true, HTMX: true}
	return c.Render(status, ShellPage(page, c.Chrome(), templ.Join(parts...)))
}

// Render answers with a page, or a part of one, that loads scripts.
func (c *Call) Render(status int, page templ.Component) error {
	return c.RenderWith(ScriptsPolicy, status, page)
}

// RenderWith answers with a page under a content security policy of its own.
func (c *Call) RenderWith(policy string, status int, page templ.Component) error {
	c.W.Header().Set("Content-Security-Policy", policy)
	return c.Shell.Render(c.W, c.R, status, page)
}

// Redirect leads the browser to another page of ours, which it gets by GET.
func (c *Call) Redirect(to string) error {
	Redirect(c.W, c.R, to)
	return nil
}

// Form returns the values of the form that was sent. It reports Malformed.
func (c *Call) Form() (url.Values, error) {
	if err := c.R.ParseForm(); err != nil {
		return nil, fault.New(fault.Malformed, "form_unreadable", "The form cannot be read.")
	}
	return c.R.PostForm, nil
}

// CSV answers with a file of comma-separated values (RFC 4180), as its rows come. A row
// with an error ends the file: the connection is cut, so that nobody takes it for whole.
// Cells that a spreadsheet would take for formulas begin with an apostrophe.
func (c *Call) CSV(name string, header []string, rows iter.Seq2[[]string, error]) error {
	w := csv.NewWriter(c.W)
	begun := false
	begin := func() error {
		c.W.Header().Set("Content-Type", "text/csv; charset=utf-8")
		c.W.Header().Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
		begun = true
		return w.Write(header)
	}
	for row, err := range rows {
		if err != nil && !begun {
			return err
		}
		if err != nil {
			c.Log.ErrorContext(c.Context(), "a file ended early", "request_id", web.RequestID(c.Context()), "route", c.R.Pattern, "error", err)
			panic(http.ErrAbortHandler)
		}
		if !begun {
			if err := begin(); err != nil {
				return nil // nobody reads any more
			}
		}
		for i, cell := range row {
			row[i] = plainCell(cell)
		}
		if w.Write(row) != nil {
			return nil
		}
	}
	if !begun && begin() != nil {
		return nil
	}
	w.Flush()
	return nil
}

// plainCell is a cell that no spreadsheet takes for a formula.
func plainCell(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// ClientOf returns where a request comes from.
func ClientOf(r *http.Request) signin.Client {
	ctx := r.Context()
	return signin.Client{Address: web.ClientOf(ctx).Address, Agent: r.UserAgent(), RequestID: web.RequestID(ctx)}
}

// SetSession gives the browser the value of a session; "" takes it away. It ends with
// the browser: the session itself ends earlier.
func SetSession(w http.ResponseWriter, value string) {
	c := &http.Cookie{Name: sessionCookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// SessionValue returns the value of the request's session, "" for none.
func SessionValue(r *http.Request) string {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// begin finds the session of a request. It answers by itself, and returns nil, if there
// is none.
func (s *Shell) begin(w http.ResponseWriter, r *http.Request) (*Call, error) {
	session, err := s.signin.Session(r.Context(), SessionValue(r), ClientOf(r))
	if fault.Is(err, fault.Unauthenticated) {
		to := signin.SignInPath
		if r.Method == http.MethodGet && r.URL.Path != "/" {
			to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
		}
		if SessionValue(r) != "" {
			SetSession(w, "")
		}
		Redirect(w, r, to)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Call{Shell: s, W: w, R: r, Session: session, Actor: session.Actor()}, nil
}

// needPages are the pages on which sessions do what they need.
var needPages = map[signin.Need]string{
	signin.NeedSecondFactor: SecondFactorPath,
	signin.NeedProfile:      WelcomePath,
	signin.NeedAgreement:    AgreementPath,
	signin.NeedEnrolment:    EnrolPath,
}

// Person is a handler for people who have signed in: others go to the sign-in, and those
// whose session needs something more to the page of that.
func (s *Shell) Person(h func(*Call) error) http.HandlerFunc {
	return s.AnySession(func(c *Call) error {
		if page := needPages[c.Session.Need]; page != "" {
			return c.Redirect(page)
		}
		return h(c)
	})
}

// Needs is a handler for people whose session needs just this: others go to the
// dashboard, from where they are led on.
func (s *Shell) Needs(need signin.Need, h func(*Call) error) http.HandlerFunc {
	return s.AnySession(func(c *Call) error {
		if c.Session.Need != need {
			return c.Redirect(HomePath)
		}
		return h(c)
	})
}

// AnySession is a handler for people with a session, whatever it needs: the use cases
// say whether it may do this. What changes something counts for the account.
func (s *Shell) AnySession(h func(*Call) error) http.HandlerFunc {
	return s.Handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := s.begin(w, r)
		if c == nil {
			return err
		}
		if r.Method == http.MethodPost {
			if err := s.forms.Allow(c.Account().String()); err != nil {
				return err
			}
		}
		return h(c)
	})
}

// Redirect leads the browser to another page of ours, which it gets by GET.
func Redirect(w http.ResponseWriter, r *http.Request, to string) {
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// OwnPath returns where somebody wanted to go before they had to sign in: a path of
// ours, or "/" for whatever else it says.
func OwnPath(text string) string {
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
