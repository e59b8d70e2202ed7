package portal

import (
	"net/http"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/web"
)

// The pages of people who have not signed in. Those to which mails lead are in package
// signin.
const (
	registerPath = "/register"
	resendPath   = "/register/resend"
	resetPath    = "/reset"
)

// signRoutes are the pages by which one gets in and out.
func (f *face) signRoutes(mux page.Router) {
	mux.HandleFunc("GET "+signin.SignInPath, f.shell.Handle(f.askSignIn))
	mux.HandleFunc("POST "+signin.SignInPath, f.limited(f.signIn))
	mux.HandleFunc("POST "+page.SignOutPath, f.shell.Handle(f.signOut))
	mux.HandleFunc("POST "+ui.LanguagePath, f.shell.Handle(f.shell.ChooseLanguage))
	f.providerRoutes(mux)
	mux.HandleFunc("GET "+registerPath, f.shell.Handle(f.askRegister))
	mux.HandleFunc("POST "+registerPath, f.limited(f.register))
	mux.HandleFunc("GET "+resendPath, f.shell.Handle(f.askResend))
	mux.HandleFunc("POST "+resendPath, f.limited(f.resend))
	mux.HandleFunc("GET "+signin.VerifyPath+"{value}", f.limited(f.askVerify))
	mux.HandleFunc("POST "+signin.VerifyPath+"{value}", f.limited(f.verify))
	mux.HandleFunc("GET "+signin.InvitationPath+"{value}", f.limited(f.askInvitation))
	mux.HandleFunc("POST "+signin.InvitationPath+"{value}", f.limited(f.acceptInvitation))
	mux.HandleFunc("GET "+resetPath, f.shell.Handle(f.askReset))
	mux.HandleFunc("POST "+resetPath, f.limited(f.requestReset))
	mux.HandleFunc("GET "+signin.ResetPath+"{value}", f.limited(f.askNewPassword))
	mux.HandleFunc("POST "+signin.ResetPath+"{value}", f.limited(f.setNewPassword))
}

// limited is a handler that one address may not call too often.
func (f *face) limited(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return f.shell.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := f.addresses.Allow(web.AddressKey(web.ClientOf(r.Context()).Address)); err != nil {
			return err
		}
		return h(w, r)
	})
}

// signInNews are what the page of the sign-in may have to tell first, by the word in its
// address.
var signInNews = map[string]string{
	"signed-out": "sign_in.signed_out", "verified": "sign_in.verified", "reset": "sign_in.reset",
	"discarded": "sign_in.discarded",
}

// askSignIn serves GET /sign-in.
func (f *face) askSignIn(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	news, next := signInNews[q.Get("news")], page.OwnPath(q.Get("next"))
	if news == "" && q.Has("next") && next != "/" {
		news = "sign_in.ended"
	}
	return f.shell.RenderScripted(w, r, http.StatusOK, signInPage("", next, news, ""))
}

// signInRefusals are what the page says of faults of a sign-in, and with which status.
var signInRefusals = map[string]string{
	"sign_in_refused": "sign_in.refused", "too_many_attempts": "sign_in.locked", "email_unverified": "sign_in.unverified",
}

// signIn serves POST /sign-in.
func (f *face) signIn(w http.ResponseWriter, r *http.Request) error {
	email, next := r.PostFormValue("email"), page.OwnPath(r.PostFormValue("next"))
	value, _, err := f.signin.SignIn(r.Context(), email, r.PostFormValue("password"), page.ClientOf(r))
	if err != nil {
		key := signInRefusals[fault.From(err).Code]
		if key == "" {
			return err
		}
		return f.shell.RenderScripted(w, r, http.StatusForbidden, signInPage(email, next, "", key))
	}
	page.SetSession(w, value)
	page.Redirect(w, r, next)
	return nil
}

// signOut serves POST /sign-out.
func (f *face) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := f.signin.SignOut(r.Context(), page.SessionValue(r), page.ClientOf(r)); err != nil {
		return err
	}
	page.SetSession(w, "")
	page.Redirect(w, r, signin.SignInPath+"?news=signed-out")
	return nil
}

// askRegister serves GET /register.
func (f *face) askRegister(w http.ResponseWriter, r *http.Request) error {
	return f.shell.RenderScripted(w, r, http.StatusOK, registerPage(f.registerFields(r, "")))
}

func (f *face) registerFields(r *http.Request, email string) []ui.Field {
	say := page.LanguageOf(r).Say
	return []ui.Field{
		{Name: "email", Label: say("register.email"), Hint: say("register.email.hint"), Type: "email", Value: email, Auto: "username", Require: true, Max: 254, Focus: email == ""},
		passwordField(r, "register.password"),
	}
}

// passwordField asks for a new password.
func passwordField(r *http.Request, key string) ui.Field {
	say := page.LanguageOf(r).Say
	return ui.Field{
		Name: "password", Label: say(key), Hint: say("register.password.hint"), Type: "password", Auto: "new-password", Require: true, Max: 1024,
	}
}

// register serves POST /register. Its answer is the same for an address that is
// somebody's already.
func (f *face) register(w http.ResponseWriter, r *http.Request) error {
	email := r.PostFormValue("email")
	err := f.signin.Register(r.Context(), email, r.PostFormValue("password"), page.LanguageOf(r).Tag, page.ClientOf(r))
	if err != nil {
		fields := f.registerFields(r, email)
		if !page.Blame(r, fields, err, map[string]string{"email": "error.email", "password": "error.password"}) {
			return err
		}
		return f.shell.RenderScripted(w, r, http.StatusUnprocessableEntity, registerPage(fields))
	}
	return f.shell.RenderScripted(w, r, http.StatusOK, mailedPage("mailed.register", email))
}

// emailField asks for an address.
func emailField(r *http.Request, email string) ui.Field {
	return ui.Field{
		Name: "email", Label: page.LanguageOf(r).Say("sign_in.email"), Type: "email", Value: email, Auto: "username", Require: true, Max: 254, Focus: email == "",
	}
}

// askResend serves GET /register/resend.
func (f *face) askResend(w http.ResponseWriter, r *http.Request) error {
	return f.shell.RenderScripted(w, r, http.StatusOK, askEmailPage("resend.title", resendPath, emailField(r, "")))
}

// resend serves POST /register/resend.
func (f *face) resend(w http.ResponseWriter, r *http.Request) error {
	return f.mailTo(w, r, "resend.title", resendPath, "mailed.register", f.signin.ResendVerification(r.Context(), r.PostFormValue("email"), page.ClientOf(r)))
}

// askReset serves GET /reset.
func (f *face) askReset(w http.ResponseWriter, r *http.Request) error {
	return f.shell.RenderScripted(w, r, http.StatusOK, askEmailPage("reset.title", resetPath, emailField(r, "")))
}

// requestReset serves POST /reset.
func (f *face) requestReset(w http.ResponseWriter, r *http.Request) error {
	return f.mailTo(w, r, "reset.title", resetPath, "mailed.reset", f.signin.RequestReset(r.Context(), r.PostFormValue("email"), page.ClientOf(r)))
}

// mailTo answers a form that asked for a mail: with the form again if err blames the
// address, and else with the message.
func (f *face) mailTo(w http.ResponseWriter, r *http.Request, title, path, message string, err error) error {
	email := r.PostFormValue("email")
	if err == nil {
		return f.shell.RenderScripted(w, r, http.StatusOK, mailedPage(message, email))
	}
	fields := []ui.Field{emailField(r, email)}
	if !page.Blame(r, fields, err, map[string]string{"email": "error.email"}) {
		return err
	}
	return f.shell.RenderScripted(w, r, http.StatusUnprocessableEntity, askEmailPage(title, path, fields[0]))
}

// verifyField asks for the password that was chosen at the registration.
func verifyField(r *http.Request) ui.Field {
	say := page.LanguageOf(r).Say
	return ui.Field{
		Name: "password", Label: say("verify.password"), Hint: say("verify.password.hint"), Type: "password", Auto: "current-password", Require: true, Max: 1024, Focus: true,
	}
}

// askVerify serves GET /verify/{value}, which changes nothing: programs that look through
// mail open links too.
func (f *face) askVerify(w http.ResponseWriter, r *http.Request) error {
	email, err := f.signin.Registered(r.Context(), r.PathValue("value"))
	if err != nil {
		return err
	}
	if r.URL.Query().Has("not-me") {
		return f.shell.RenderScripted(w, r, http.StatusOK, discardPage())
	}
	return f.shell.RenderScripted(w, r, http.StatusOK, verifyPage(email, verifyField(r)))
}

// verifyRefusals are what the page says of faults of a password.
var verifyRefusals = map[string]string{"password_wrong": "error.registered", "too_many_attempts": "error.registered.locked"}

// verify serves POST /verify/{value}: the registration becomes an account, or is discarded.
func (f *face) verify(w http.ResponseWriter, r *http.Request) error {
	ctx, value := r.Context(), r.PathValue("value")
	if r.PostFormValue("act") == "discard" {
		if err := f.signin.DiscardRegistration(ctx, value, page.ClientOf(r)); err != nil {
			return err
		}
		page.Redirect(w, r, signin.SignInPath+"?news=discarded")
		return nil
	}
	err := f.signin.Verify(ctx, value, r.PostFormValue("password"), page.ClientOf(r))
	if err != nil {
		key := verifyRefusals[fault.From(err).Code]
		if key == "" {
			return err
		}
		email, err := f.signin.Registered(ctx, value)
		if err != nil {
			return err
		}
		field := verifyField(r)
		field.Error = page.LanguageOf(r).Say(key)
		return f.shell.RenderScripted(w, r, http.StatusUnprocessableEntity, verifyPage(email, field))
	}
	page.Redirect(w, r, signin.SignInPath+"?news=verified")
	return nil
}

// askNewPassword serves GET /reset/{value}.
func (f *face) askNewPassword(w http.ResponseWriter, r *http.Request) error {
	if err := f.signin.CheckLink(r.Context(), r.PathValue("value"), store.LinkReset); err != nil {
		return err
	}
	return f.shell.RenderScripted(w, r, http.StatusOK, newPasswordPage(passwordField(r, "reset.new.title")))
}

// setNewPassword serves POST /reset/{value}.
func (f *face) setNewPassword(w http.ResponseWriter, r *http.Request) error {
	err := f.signin.Reset(r.Context(), r.PathValue("value"), r.PostFormValue("password"), page.ClientOf(r))
	if err != nil {
		fields := []ui.Field{passwordField(r, "reset.new.title")}
		if !page.Blame(r, fields, err, map[string]string{"password": "error.password"}) {
			return err
		}
		return f.shell.RenderScripted(w, r, http.StatusUnprocessableEntity, newPasswordPage(fields[0]))
	}
	page.SetSession(w, "")
	page.Redirect(w, r, signin.SignInPath+"?news=reset")
	return nil
}

// invitationFields ask an invited person for what is not known of them.
func invitationFields(r *http.Request, name string) []ui.Field {
	return []ui.Field{
		{Name: "name", Label: page.LanguageOf(r).Say("welcome.name"), Value: name, Auto: "name", Require: true, Max: 128, Focus: name == ""},
		passwordField(r, "register.password"),
	}
}

// askInvitation serves GET /invitation/{value}, which changes nothing.
func (f *face) askInvitation(w http.ResponseWriter, r *http.Request) error {
	invited, err := f.signin.Invitation(r.Context(), r.PathValue("value"))
	if err != nil {
		return err
	}
	return f.shell.RenderScripted(w, r, http.StatusOK, invitationPage(invited.Account, invited.Email, invitationFields(r, "")))
}

// acceptInvitation serves POST /invitation/{value}.
func (f *face) acceptInvitation(w http.ResponseWriter, r *http.Request) error {
	ctx, value, name := r.Context(), r.PathValue("value"), r.PostFormValue("name")
	err := f.signin.AcceptInvitation(ctx, value, name, r.PostFormValue("password"), page.ClientOf(r))
	if err == nil {
		page.Redirect(w, r, signin.SignInPath+"?news=verified")
		return nil
	}
	fields := invitationFields(r, name)
	if !page.Blame(r, fields, err, map[string]string{"name": "error.required", "password": "error.password"}) {
		return err
	}
	invited, err := f.signin.Invitation(ctx, value)
	if err != nil {
		return err
	}
	return f.shell.RenderScripted(w, r, http.StatusUnprocessableEntity, invitationPage(invited.Account, invited.Email, fields))
}
