package portal

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
)

// factorRoutes are the pages of second factors.
func (f *face) factorRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.SecondFactorPath, f.any((*call).askFactor))
	mux.HandleFunc("POST "+page.SecondFactorPath, f.any((*call).showFactor))
	mux.HandleFunc("POST "+page.SecondFactorPath+"/options", f.any((*call).factorOptions))
	mux.HandleFunc("GET "+page.EnrolPath, f.any((*call).askEnrol))
	mux.HandleFunc("GET "+page.EnrolPath+"/totp", f.any((*call).beginTOTP))
	mux.HandleFunc("POST "+page.EnrolPath+"/totp", f.any((*call).confirmTOTP))
	mux.HandleFunc("POST "+page.EnrolPath+"/options", f.any((*call).passkeyOptions))
	mux.HandleFunc("POST "+page.EnrolPath+"/passkey", f.any((*call).addPasskey))
}

// askFactor serves GET /second-factor.
func (c *call) askFactor() error {
	if c.Session.Need != signin.NeedSecondFactor && (c.Session.Need != signin.NeedNothing || !c.hasFactor()) {
		return c.Redirect("/")
	}
	return c.factorPage(http.StatusOK, c.R.URL.Query().Get("next"), "")
}

func (c *call) hasFactor() bool { return c.Session.TOTP || c.Session.Passkeys > 0 }

// factorPage asks for a second factor.
func (c *call) factorPage(status int, next, problem string) error {
	field := ui.Field{
		Name: "code", Label: c.Say("factor.code"), Hint: c.Say("factor.code.hint"), Auto: "one-time-code", Mode: "text", Max: 32, Code: true,
		Error: problem, Focus: problem == "" && c.Session.TOTP,
	}
	return c.Render(status, factorPage(field, page.OwnPath(next), c.Session.TOTP, c.Session.Passkeys > 0))
}

// factorProblem says what is wrong with a factor that was shown, "" if err blames
// something else.
func (c *call) factorProblem(err error) string {
	switch fault.From(err).Code {
	case "second_factor_wrong", "passkey_refused":
		return c.Say("error.factor")
	case "too_many_attempts":
		return c.Say("sign_in.locked.title") + ". " + c.Say("sign_in.locked.do")
	}
	return ""
}

// showFactor serves POST /second-factor: a code, or what a passkey answered.
func (c *call) showFactor() error {
	next := page.OwnPath(c.R.PostFormValue("next"))
	var value string
	var err error
	if answer := c.R.PostFormValue("passkey"); answer != "" {
		value, err = c.signin.PasskeyFactor(c.R.Context(), c.Session, []byte(answer))
	} else {
		value, err = c.signin.SecondFactor(c.R.Context(), c.Session, c.R.PostFormValue("code"))
	}
	if err != nil {
		problem := c.factorProblem(err)
		if problem == "" {
			return err
		}
		return c.factorPage(http.StatusForbidden, next, problem)
	}
	page.SetSession(c.W, value)
	return c.Redirect(next)
}

// factorOptions serves POST /second-factor/options: what the browser asks a passkey.
func (c *call) factorOptions() error {
	return c.options(c.signin.BeginPasskeyFactor(c.R.Context(), c.Session))
}

// passkeyOptions serves POST /second-factor/enrol/options: what the browser makes a
// passkey of.
func (c *call) passkeyOptions() error {
	return c.options(c.signin.BeginPasskey(c.R.Context(), c.Session))
}

// options answers with the JSON of a ceremony.
func (c *call) options(text []byte, err error) error {
	if err != nil {
		return err
	}
	c.W.Header().Set("Content-Type", "application/json")
	c.W.Write(text)
	return nil
}

// mayEnrol reports whether the page of enrolment is for the session.
func (c *call) mayEnrol() bool {
	return c.Session.Need == signin.NeedEnrolment || c.Session.Need == signin.NeedNothing
}

// askEnrol serves GET /second-factor/enrol: which factor it will be.
func (c *call) askEnrol() error {
	if !c.mayEnrol() {
		return c.Redirect("/")
	}
	return c.Render(http.StatusOK, enrolPage(c.Session.Need == signin.NeedEnrolment, ""))
}

// picturePolicy is the content security policy of the page with the QR code, whose
// picture is in the page: it is shown once, and nothing else can fetch it.
var picturePolicy = strings.Replace(page.ScriptsPolicy, "img-src 'self'", "img-src 'self' data:", 1)

// beginTOTP serves GET /second-factor/enrol/totp: the secret, for an authenticator app.
func (c *call) beginTOTP() error {
	if !c.mayEnrol() {
		return c.Redirect("/")
	}
	return c.totpPage(http.StatusOK, "")
}

// totpPage shows a new secret and asks for its first code.
func (c *call) totpPage(status int, problem string) error {
	secret, err := c.signin.BeginTOTP(c.R.Context(), c.Session)
	if err != nil {
		return err
	}
	field := ui.Field{
		Name: "code", Label: c.Say("enrol.totp.code"), Auto: "one-time-code", Mode: "numeric", Max: 10, Code: true, Narrow: true, Require: true, Error: problem, Focus: true,
	}
	picture := "data:image/png;base64," + base64.StdEncoding.EncodeToString(secret.PNG)
	return c.RenderWith(picturePolicy, status, totpPage(picture, secret.Secret, field))
}

// confirmTOTP serves POST /second-factor/enrol/totp.
func (c *call) confirmTOTP() error {
	enrolled, err := c.signin.ConfirmTOTP(c.R.Context(), c.Session, c.R.PostFormValue("code"))
	if err != nil {
		problem := c.factorProblem(err)
		if problem == "" {
			return err
		}
		return c.totpPage(http.StatusForbidden, c.Say("error.totp"))
	}
	return c.enrolled(enrolled)
}

// addPasskey serves POST /second-factor/enrol/passkey.
func (c *call) addPasskey() error {
	enrolled, err := c.signin.AddPasskey(c.R.Context(), c.Session, c.R.PostFormValue("name"), []byte(c.R.PostFormValue("passkey")))
	if err != nil {
		problem := c.factorProblem(err)
		if problem == "" {
			return err
		}
		return c.Render(http.StatusForbidden, enrolPage(c.Session.Need == signin.NeedEnrolment, problem))
	}
	return c.enrolled(enrolled)
}

// enrolled shows the recovery codes, once, or goes on if there are none.
func (c *call) enrolled(e *signin.Enrolled) error {
	page.SetSession(c.W, e.Value)
	if len(e.RecoveryCodes) == 0 {
		return c.Redirect("/")
	}
	return c.Render(http.StatusOK, recoveryPage(e.RecoveryCodes))
}

// codesFile is the address of recovery codes as a file.
func codesFile(codes []string) templ.SafeURL {
	return page.DataURL("text/plain", []byte(strings.Join(codes, "\n")+"\n"))
}
