package portal

import (
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
)

// The pages of one's own settings.
const (
	passwordPath = page.SettingsPath + "/password"
	sessionsPath = page.SettingsPath + "/sessions"
	factorsPath  = page.SettingsPath + "/factors"
)

// settingsRoutes are the pages of one's own settings.
func (f *face) settingsRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.SettingsPath, f.person((*call).settings))
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
	ctx := c.R.Context()
	sessions, err := c.signin.Sessions(ctx, c.Session)
	if err != nil {
		return err
	}
	factors, err := c.signin.Factors(ctx, c.Session)
	if err != nil {
		return err
	}
	var roles []string
	for _, code := range c.Session.User.Roles {
		name := code
		if key := "role." + code; page.LanguageOf(c.R).Has(key) {
			name = c.Say(key)
		}
		roles = append(roles, name)
	}
	head := ui.Head{Title: c.Say("settings.title"), Lead: c.Say("settings.lead")}
	if c.May(authz.AccountSettings) {
		head.Quiet = []ui.Link{{Text: c.Say("settings.provider"), URL: page.SettingsPath + "/sign-in"}}
	}
	facts := []ui.Fact{
		{Key: c.Say("welcome.name"), Value: ui.Words(c.Session.User.Name)},
		{Key: c.Say("sign_in.email"), Value: ui.Words(c.Session.User.Email)},
		{Key: c.Say("approve.account"), Value: ui.Words(c.Session.Account.Name)},
		{Key: c.Say("settings.roles"), Value: ui.Words(strings.Join(roles, ", "))},
	}
	return c.Show(http.StatusOK, head.Title, settingsPage(head, facts, c.factorRows(factors), factors, sessions, c.Session.ID))
}

// factorRows are the lines of second factors.
func (c *call) factorRows(f signin.FactorInfo) []ui.Row {
	var rows []ui.Row
	remove := func(path string) []ui.Link { return []ui.Link{{Text: c.Say("settings.remove"), URL: path}} }
	if f.TOTP {
		rows = append(rows, ui.Row{
			Cells: page.Cells(ui.Words(c.Say("enrol.totp")), ui.Words("–"), ui.Words("–")), Acts: remove(factorsPath + "/totp"),
		})
	}
	for _, k := range f.Passkeys {
		rows = append(rows, ui.Row{
			Cells: page.Cells(ui.Words(c.Say("enrol.passkey")+": "+k.Name), ui.Day(k.CreatedAt), ui.Day(k.LastUsedAt)), Acts: remove(factorsPath + "/passkeys/" + k.ID.String()),
		})
	}
	return rows
}

// passwordFields are the present password and the new one.
func (c *call) passwordFields() []ui.Field {
	present := ui.Field{Name: "present", Label: c.Say("settings.password.present"), Type: "password", Auto: "current-password", Require: true, Max: 1024, Focus: true}
	return []ui.Field{present, passwordField(c.R, "reset.new.title")}
}

// askPassword serves GET /settings/password.
func (c *call) askPassword() error { return c.passwordPage(http.StatusOK, c.passwordFields()) }

func (c *call) passwordPage(status int, fields []ui.Field) error {
	title := c.Say("settings.password.title")
	head := ui.Head{Up: &ui.Link{Text: c.Say("settings.title"), URL: page.SettingsPath}, Title: title, Lead: c.Say("settings.password.lead")}
	form := ui.Form{Username: c.Session.User.Email, Action: passwordPath, Button: title, Cancel: c.CancelTo(page.SettingsPath)}
	return c.Show(status, title, page.FormPage(head, form, fields))
}

// changePassword serves POST /settings/password.
func (c *call) changePassword() error {
	err := c.signin.ChangePassword(c.R.Context(), c.Session, c.R.PostFormValue("present"), c.R.PostFormValue("password"))
	if err != nil {
		fields := c.passwordFields()
		switch fault.From(err).Code {
		case "password_wrong":
			fields[0].Error = c.Say("error.present")
		case "too_many_attempts":
			fields[0].Error = c.Say("sign_in.locked.do")
		default:
			if !page.Blame(c.R, fields, err, map[string]string{"password": "error.password"}) {
				return err
			}
		}
		return c.passwordPage(http.StatusUnprocessableEntity, fields)
	}
	return c.Redirect(page.SettingsPath)
}

// endOtherSessions serves POST /settings/sessions/others.
func (c *call) endOtherSessions() error {
	if _, err := c.signin.EndOtherSessions(c.R.Context(), c.Session); err != nil {
		return err
	}
	return c.Redirect(page.SettingsPath)
}

// endSession serves POST /settings/sessions/{session}.
func (c *call) endSession() error {
	id, err := telamon.ParseSessionID(c.R.PathValue("session"))
	if err != nil {
		return page.OrNotFound(err)
	}
	if err := c.signin.EndSession(c.R.Context(), c.Session, id); err != nil {
		return err
	}
	return c.Redirect(page.SettingsPath)
}

// confirmFactor asks once before a factor is changed, after a factor was shown lately.
func (c *call) confirmFactor(key, path string, danger bool, object []ui.Fact) error {
	if err := authz.MustBeFresh(c.Actor, c.Clock.Now()); err != nil {
		return err
	}
	return c.Show(http.StatusOK, c.Say(key+".ask"), page.ConfirmPage(
		ui.Head{Up: &ui.Link{Text: c.Say("settings.title"), URL: page.SettingsPath}, Title: c.Say(key + ".ask")},
		ui.Confirmation{
			Object: object, Effects: []string{c.Say(key + ".effect")},
			Form: ui.Form{Action: path, Button: c.Say(key + ".button"), Danger: danger, Cancel: c.CancelTo(page.SettingsPath)},
		}))
}

// askRemoveTOTP serves GET /settings/factors/totp.
func (c *call) askRemoveTOTP() error {
	return c.confirmFactor("settings.totp", factorsPath+"/totp", true, nil)
}

// removeTOTP serves POST /settings/factors/totp.
func (c *call) removeTOTP() error { return c.changed(c.signin.RemoveTOTP(c.R.Context(), c.Session)) }

// changed goes back to the settings if err is nil.
func (c *call) changed(err error) error {
	if err != nil {
		return err
	}
	return c.Redirect(page.SettingsPath)
}

// askNewCodes serves GET /settings/factors/codes.
func (c *call) askNewCodes() error {
	return c.confirmFactor("settings.codes", factorsPath+"/codes", false, nil)
}

// newCodes serves POST /settings/factors/codes.
func (c *call) newCodes() error {
	codes, err := c.signin.NewRecoveryCodes(c.R.Context(), c.Session)
	if err != nil {
		return err
	}
	return c.Render(http.StatusOK, recoveryPage(codes))
}

// askRemovePasskey serves GET /settings/factors/passkeys/{passkey}.
func (c *call) askRemovePasskey() error {
	factors, err := c.signin.Factors(c.R.Context(), c.Session)
	if err != nil {
		return err
	}
	for _, k := range factors.Passkeys {
		if k.ID.String() == c.R.PathValue("passkey") {
			return c.confirmFactor("settings.passkey", factorsPath+"/passkeys/"+k.ID.String(), true, []ui.Fact{
				{Key: c.Say("enrol.passkey"), Value: ui.Words(k.Name)}, {Key: c.Say("credential.last_used"), Value: ui.Moment(k.LastUsedAt)},
			})
		}
	}
	return page.ErrNotFound
}

// removePasskey serves POST /settings/factors/passkeys/{passkey}.
func (c *call) removePasskey() error {
	id, err := telamon.ParsePasskeyID(c.R.PathValue("passkey"))
	if err != nil {
		return page.OrNotFound(err)
	}
	return c.changed(c.signin.RemovePasskey(c.R.Context(), c.Session, id))
}
