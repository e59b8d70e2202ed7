package portal

import (
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
)

// The pages of one's own settings.
const (
	settingsPath = "/settings"
	passwordPath = settingsPath + "/password"
	sessionsPath = settingsPath + "/sessions"
	factorsPath  = settingsPath + "/factors"
)

// settingsRoutes are the pages of one's own settings.
func (f *face) settingsRoutes(mux router) {
	mux.HandleFunc("GET "+settingsPath, f.person((*call).settings))
	mux.HandleFunc("GET "+passwordPath, f.person((*call).askPassword))
	mux.HandleFunc("POST "+passwordPath, f.person((*call).changePassword))
	mux.HandleFunc("POST "+sessionsPath+"/others", f.person((*call).endOtherSessions))
	mux.HandleFunc("POST "+sessionsPath+"/{session}", f.person((*call).endSession))
	mux.HandleFunc("GET "+factorsPath+"/totp", f.person((*call).askRemoveTOTP))
	mux.HandleFunc("POST "+factorsPath+"/totp", f.person((*call).removeTOTP))
	mux.HandleFunc("GET "+factorsPath+"/codes", f.person((*call).askNewCodes))
	mux.HandleFunc("POST "+factorsPath+"/codes", f.person((*call).newCodes))
	mux.HandleFunc("GET "+factorsPath+"/passkeys/{passkey}", f.person((*call).askRemovePasskey))
	mux.HandleFunc("POST "+factorsPath+"/passkeys/{passkey}", f.person((*call).removePasskey))
}

// settings serves GET /settings: who one is here, and how one signs in.
func (c *call) settings() error {
	ctx := c.r.Context()
	sessions, err := c.signin.Sessions(ctx, c.session)
	if err != nil {
		return err
	}
	factors, err := c.signin.Factors(ctx, c.session)
	if err != nil {
		return err
	}
	var roles []string
	for _, code := range c.session.User.Roles {
		name := code
		if key := "role." + code; language(c.r).Has(key) {
			name = c.say(key)
		}
		roles = append(roles, name)
	}
	head := ui.Head{Title: c.say("settings.title"), Lead: c.say("settings.lead")}
	facts := []ui.Fact{
		{Key: c.say("welcome.name"), Value: ui.Words(c.session.User.Name)},
		{Key: c.say("sign_in.email"), Value: ui.Words(c.session.User.Email)},
		{Key: c.say("approve.account"), Value: ui.Words(c.session.Account.Name)},
		{Key: c.say("settings.roles"), Value: ui.Words(strings.Join(roles, ", "))},
	}
	return c.show(http.StatusOK, head.Title, settingsPage(head, facts, c.factorRows(factors), factors, sessions, c.session.ID))
}

// factorRows are the lines of second factors.
func (c *call) factorRows(f signin.FactorInfo) []ui.Row {
	var rows []ui.Row
	remove := func(path string) []ui.Link { return []ui.Link{{Text: c.say("settings.remove"), URL: path}} }
	if f.TOTP {
		rows = append(rows, ui.Row{
			Cells: cells(ui.Words(c.say("enrol.totp")), ui.Words("–"), ui.Words("–")), Acts: remove(factorsPath + "/totp"),
		})
	}
	for _, k := range f.Passkeys {
		rows = append(rows, ui.Row{
			Cells: cells(ui.Words(c.say("enrol.passkey")+": "+k.Name), ui.Day(k.CreatedAt), ui.Day(k.LastUsedAt)), Acts: remove(factorsPath + "/passkeys/" + k.ID.String()),
		})
	}
	return rows
}

// passwordFields are the present password and the new one.
func (c *call) passwordFields() []ui.Field {
	present := ui.Field{Name: "present", Label: c.say("settings.password.present"), Type: "password", Auto: "current-password", Require: true, Max: 1024, Focus: true}
	return []ui.Field{present, passwordField(c.r, "reset.new.title")}
}

// askPassword serves GET /settings/password.
func (c *call) askPassword() error { return c.passwordPage(http.StatusOK, c.passwordFields()) }

func (c *call) passwordPage(status int, fields []ui.Field) error {
	title := c.say("settings.password.title")
	head := ui.Head{Up: &ui.Link{Text: c.say("settings.title"), URL: settingsPath}, Title: title, Lead: c.say("settings.password.lead")}
	form := ui.Form{Action: passwordPath, Button: title, Cancel: &ui.Link{Text: c.say("confirm.cancel"), URL: settingsPath}}
	return c.show(status, title, formPage(head, form, fields))
}

// changePassword serves POST /settings/password.
func (c *call) changePassword() error {
	err := c.signin.ChangePassword(c.r.Context(), c.session, c.r.PostFormValue("present"), c.r.PostFormValue("password"))
	if err != nil {
		fields := c.passwordFields()
		switch fault.From(err).Code {
		case "password_wrong":
			fields[0].Error = c.say("error.present")
		case "too_many_attempts":
			fields[0].Error = c.say("sign_in.locked.do")
		default:
			if !blame(c.r, fields, err, map[string]string{"password": "error.password"}) {
				return err
			}
		}
		return c.passwordPage(http.StatusUnprocessableEntity, fields)
	}
	redirect(c.w, c.r, settingsPath)
	return nil
}

// endOtherSessions serves POST /settings/sessions/others.
func (c *call) endOtherSessions() error {
	if _, err := c.signin.EndOtherSessions(c.r.Context(), c.session); err != nil {
		return err
	}
	redirect(c.w, c.r, settingsPath)
	return nil
}

// endSession serves POST /settings/sessions/{session}.
func (c *call) endSession() error {
	id, err := telamon.ParseSessionID(c.r.PathValue("session"))
	if err != nil {
		return orNotFound(err)
	}
	if err := c.signin.EndSession(c.r.Context(), c.session, id); err != nil {
		return err
	}
	redirect(c.w, c.r, settingsPath)
	return nil
}

// confirmFactor asks once before a factor is changed, after a factor was shown lately.
func (c *call) confirmFactor(key, path string, danger bool, object []ui.Fact) error {
	if err := authz.MustBeFresh(c.actor, c.clock.Now()); err != nil {
		return err
	}
	return c.show(http.StatusOK, c.say(key+".ask"), confirmPage(
		ui.Head{Up: &ui.Link{Text: c.say("settings.title"), URL: settingsPath}, Title: c.say(key + ".ask")},
		ui.Confirmation{
			Object: object, Effects: []string{c.say(key + ".effect")},
			Form: ui.Form{Action: path, Button: c.say(key + ".button"), Danger: danger, Cancel: &ui.Link{Text: c.say("confirm.cancel"), URL: settingsPath}},
		}))
}

// askRemoveTOTP serves GET /settings/factors/totp.
func (c *call) askRemoveTOTP() error {
	return c.confirmFactor("settings.totp", factorsPath+"/totp", true, nil)
}

// removeTOTP serves POST /settings/factors/totp.
func (c *call) removeTOTP() error { return c.changed(c.signin.RemoveTOTP(c.r.Context(), c.session)) }

// changed goes back to the settings if err is nil.
func (c *call) changed(err error) error {
	if err != nil {
		return err
	}
	redirect(c.w, c.r, settingsPath)
	return nil
}

// askNewCodes serves GET /settings/factors/codes.
func (c *call) askNewCodes() error {
	return c.confirmFactor("settings.codes", factorsPath+"/codes", false, nil)
}

// newCodes serves POST /settings/factors/codes.
func (c *call) newCodes() error {
	codes, err := c.signin.NewRecoveryCodes(c.r.Context(), c.session)
	if err != nil {
		return err
	}
	return c.renderScripted(c.w, c.r, http.StatusOK, recoveryPage(codes))
}

// askRemovePasskey serves GET /settings/factors/passkeys/{passkey}.
func (c *call) askRemovePasskey() error {
	factors, err := c.signin.Factors(c.r.Context(), c.session)
	if err != nil {
		return err
	}
	for _, k := range factors.Passkeys {
		if k.ID.String() == c.r.PathValue("passkey") {
			return c.confirmFactor("settings.passkey", factorsPath+"/passkeys/"+k.ID.String(), true, []ui.Fact{
				{Key: c.say("enrol.passkey"), Value: ui.Words(k.Name)}, {Key: c.say("credential.last_used"), Value: ui.Moment(k.LastUsedAt)},
			})
		}
	}
	return errNotFound
}

// removePasskey serves POST /settings/factors/passkeys/{passkey}.
func (c *call) removePasskey() error {
	id, err := telamon.ParsePasskeyID(c.r.PathValue("passkey"))
	if err != nil {
		return orNotFound(err)
	}
	return c.changed(c.signin.RemovePasskey(c.r.Context(), c.session, id))
}
