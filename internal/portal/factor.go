package portal

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
)

// The pages of second factors.
const (
	secondFactorPath = "/second-factor"
	enrolPath        = "/second-factor/enrol"
)

// factorRoutes are the pages of second factors.
func (f *face) factorRoutes(mux router) {
	mux.HandleFunc("GET "+secondFactorPath, f.anySession((*call).askFactor))
	mux.HandleFunc("POST "+secondFactorPath, f.anySession((*call).showFactor))
	mux.HandleFunc("POST "+secondFactorPath+"/options", f.anySession((*call).factorOptions))
	mux.HandleFunc("GET "+enrolPath, f.anySession((*call).askEnrol))
	mux.HandleFunc("GET "+enrolPath+"/totp", f.anySession((*call).beginTOTP))
	mux.HandleFunc("POST "+enrolPath+"/totp", f.anySession((*call).confirmTOTP))
	mux.HandleFunc("POST "+enrolPath+"/options", f.anySession((*call).passkeyOptions))
	mux.HandleFunc("POST "+enrolPath+"/passkey", f.anySession((*call).addPasskey))
}

// anySession is a handler for people with a session, whatever it needs: the use cases
// say whether it may do this.
func (f *face) anySession(h func(*call) error) http.HandlerFunc {
	return f.handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := f.begin(w, r)
		if c == nil {
			return err
		}
		return h(c)
	})
}

// askFactor serves GET /second-factor.
func (c *call) askFactor() error {
	if c.session.Need != signin.NeedSecondFactor && (c.session.Need != signin.NeedNothing || !c.hasFactor()) {
		redirect(c.w, c.r, "/")
		return nil
	}
	return c.factorPage(http.StatusOK, c.r.URL.Query().Get("next"), "")
}

func (c *call) hasFactor() bool { return c.session.TOTP || c.session.Passkeys > 0 }

// factorPage asks for a second factor.
func (c *call) factorPage(status int, next, problem string) error {
	field := ui.Field{
		Name: "code", Label: c.say("factor.code"), Hint: c.say("factor.code.hint"), Auto: "one-time-code", Mode: "text", Max: 32, Code: true,
		Error: problem, Focus: problem == "" && c.session.TOTP,
	}
	return c.renderScripted(c.w, c.r, status, factorPage(field, ownPath(next), c.session.TOTP, c.session.Passkeys > 0))
}

// factorProblem says what is wrong with a factor that was shown, "" if err blames
// something else.
func (c *call) factorProblem(err error) string {
	switch fault.From(err).Code {
	case "second_factor_wrong", "passkey_refused":
		return c.say("error.factor")
	case "too_many_attempts":
		return c.say("sign_in.locked.title") + ". " + c.say("sign_in.locked.do")
	}
	return ""
}

// showFactor serves POST /second-factor: a code, or what a passkey answered.
func (c *call) showFactor() error {
	next := ownPath(c.r.PostFormValue("next"))
	var value string
	var err error
	if answer := c.r.PostFormValue("passkey"); answer != "" {
		value, err = c.signin.PasskeyFactor(c.r.Context(), c.session, []byte(answer))
	} else {
		value, err = c.signin.SecondFactor(c.r.Context(), c.session, c.r.PostFormValue("code"))
	}
	if err != nil {
		problem := c.factorProblem(err)
		if problem == "" {
			return err
		}
		return c.factorPage(http.StatusForbidden, next, problem)
	}
	setSession(c.w, value)
	redirect(c.w, c.r, next)
	return nil
}

// factorOptions serves POST /second-factor/options: what the browser asks a passkey.
func (c *call) factorOptions() error {
	return c.options(c.signin.BeginPasskeyFactor(c.r.Context(), c.session))
}

// passkeyOptions serves POST /second-factor/enrol/options: what the browser makes a
// passkey of.
func (c *call) passkeyOptions() error {
	return c.options(c.signin.BeginPasskey(c.r.Context(), c.session))
}

// options answers with the JSON of a ceremony.
func (c *call) options(text []byte, err error) error {
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Write(text)
	return nil
}

// mayEnrol reports whether the page of enrolment is for the session.
func (c *call) mayEnrol() bool {
	return c.session.Need == signin.NeedEnrolment || c.session.Need == signin.NeedNothing
}

// askEnrol serves GET /second-factor/enrol: which factor it will be.
func (c *call) askEnrol() error {
	if !c.mayEnrol() {
		redirect(c.w, c.r, "/")
		return nil
	}
	return c.renderScripted(c.w, c.r, http.StatusOK, enrolPage(c.session.Need == signin.NeedEnrolment, ""))
}

// picturePolicy is the content security policy of the page with the QR code, whose
// picture is in the page: it is shown once, and nothing else can fetch it.
var picturePolicy = strings.Replace(scriptsPolicy, "img-src 'self'", "img-src 'self' data:", 1)

// beginTOTP serves GET /second-factor/enrol/totp: the secret, for an authenticator app.
func (c *call) beginTOTP() error {
	if !c.mayEnrol() {
		redirect(c.w, c.r, "/")
		return nil
	}
	return c.totpPage(http.StatusOK, "")
}

// totpPage shows a new secret and asks for its first code.
func (c *call) totpPage(status int, problem string) error {
	secret, err := c.signin.BeginTOTP(c.r.Context(), c.session)
	if err != nil {
		return err
	}
	field := ui.Field{
		Name: "code", Label: c.say("enrol.totp.code"), Auto: "one-time-code", Mode: "numeric", Max: 10, Code: true, Narrow: true, Require: true, Error: problem, Focus: true,
	}
	picture := "data:image/png;base64," + base64.StdEncoding.EncodeToString(secret.PNG)
	return c.renderWith(picturePolicy, status, totpPage(picture, secret.Secret, field))
}

// confirmTOTP serves POST /second-factor/enrol/totp.
func (c *call) confirmTOTP() error {
	enrolled, err := c.signin.ConfirmTOTP(c.r.Context(), c.session, c.r.PostFormValue("code"))
	if err != nil {
		problem := c.factorProblem(err)
		if problem == "" {
			return err
		}
		return c.totpPage(http.StatusForbidden, c.say("error.totp"))
	}
	return c.enrolled(enrolled)
}

// addPasskey serves POST /second-factor/enrol/passkey.
func (c *call) addPasskey() error {
	enrolled, err := c.signin.AddPasskey(c.r.Context(), c.session, c.r.PostFormValue("name"), []byte(c.r.PostFormValue("passkey")))
	if err != nil {
		problem := c.factorProblem(err)
		if problem == "" {
			return err
		}
		return c.renderScripted(c.w, c.r, http.StatusForbidden, enrolPage(c.session.Need == signin.NeedEnrolment, problem))
	}
	return c.enrolled(enrolled)
}

// enrolled shows the recovery codes, once, or goes on if there are none.
func (c *call) enrolled(e *signin.Enrolled) error {
	setSession(c.w, e.Value)
	if len(e.RecoveryCodes) == 0 {
		redirect(c.w, c.r, "/")
		return nil
	}
	return c.renderScripted(c.w, c.r, http.StatusOK, recoveryPage(e.RecoveryCodes))
}

// codesFile is the address of recovery codes as a file.
func codesFile(codes []string) templ.SafeURL {
	return dataURL("text/plain", []byte(strings.Join(codes, "\n")+"\n"))
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
	redirect(w, r, secondFactorPath+"?"+url.Values{"next": {next}}.Encode())
}
