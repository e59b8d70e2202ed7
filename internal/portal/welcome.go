package portal

import (
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

// The pages of the first sign-in.
const (
	welcomePath   = "/welcome"
	agreementPath = "/welcome/agreement"
)

// welcomeRoutes are the pages of the first sign-in.
func (f *face) welcomeRoutes(mux router) {
	mux.HandleFunc("GET "+welcomePath, f.needs(signin.NeedProfile, (*call).askProfile))
	mux.HandleFunc("POST "+welcomePath, f.needs(signin.NeedProfile, (*call).completeProfile))
	mux.HandleFunc("GET "+agreementPath, f.needs(signin.NeedAgreement, (*call).askAgreement))
	mux.HandleFunc("POST "+agreementPath, f.needs(signin.NeedAgreement, (*call).acceptAgreement))
}

// welcomeWizard is the frame of the first sign-in.
func (c *call) welcomeWizard(step int) ui.Wizard {
	return ui.Wizard{Current: step, Steps: []string{c.say("welcome.step.profile"), c.say("welcome.step.agreement"), c.say("welcome.step.factor")}}
}

// profileFields are what the first page asks.
func (c *call) profileFields(value func(string) string) []ui.Field {
	field := func(name, auto string, required bool) ui.Field {
		f := ui.Field{Name: name, Label: c.say("welcome." + name), Value: value(name), Auto: auto, Require: required, Max: 128}
		if !required {
			f.Label += " " + c.say("form.optional")
		}
		return f
	}
	fields := []ui.Field{
		field("name", "name", true), field("job_title", "organization-title", false), field("phone", "tel", false),
		field("company", "organization", true), field("street", "address-line1", false), field("postal_code", "postal-code", false),
		field("locality", "address-level2", true), field("state", "address-level1", false), field("country", "country", true),
	}
	fields[3].Hint = c.say("welcome.company.hint")
	fields[5].Narrow = true
	fields[8].Narrow, fields[8].Max, fields[8].Hint = true, 2, c.say("welcome.country.hint")
	return fields
}

// kindField asks whom the account is for.
func (c *call) kindField(value string) ui.Field {
	return ui.Field{Name: "kind", Label: c.say("welcome.kind"), Value: value, Require: true, Options: []ui.Option{
		{Value: string(store.AccountDirect), Text: c.say("welcome.kind.direct")},
		{Value: string(store.AccountServiceProvider), Text: c.say("welcome.kind.service_provider"), Hint: c.say("welcome.kind.service_provider.hint")},
	}}
}

// askProfile serves GET /welcome.
func (c *call) askProfile() error {
	return c.profilePage(http.StatusOK, c.profileFields(func(string) string { return "" }), c.kindField(string(store.AccountDirect)))
}

func (c *call) profilePage(status int, fields []ui.Field, kind ui.Field) error {
	return c.renderScripted(c.w, c.r, status, profilePage(c.welcomeWizard(0), fields, kind))
}

// completeProfile serves POST /welcome.
func (c *call) completeProfile() error {
	value := func(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }
	err := c.signin.CompleteProfile(c.r.Context(), c.session, signin.Profile{
		Name: value("name"), JobTitle: value("job_title"), Phone: value("phone"), Locale: language(c.r).Tag,
		Company: store.Company{
			Name: value("company"), Street: value("street"), PostalCode: value("postal_code"), Locality: value("locality"), State: value("state"),
			Country: strings.ToUpper(value("country")),
		},
		Kind: store.AccountKind(value("kind")),
	})
	if err != nil {
		fields := append(c.profileFields(value), c.kindField(value("kind")))
		keys := map[string]string{"country": "error.country", "kind": "error.kind"}
		for _, f := range fields {
			if f.Require && f.Value == "" && keys[f.Name] == "" {
				keys[f.Name] = "error.required"
			}
		}
		if !blame(c.r, fields, err, keys) {
			return err
		}
		last := len(fields) - 1
		return c.profilePage(http.StatusUnprocessableEntity, fields[:last], fields[last])
	}
	redirect(c.w, c.r, "/")
	return nil
}

// askAgreement serves GET /welcome/agreement.
func (c *call) askAgreement() error {
	return c.agreementPage(http.StatusOK, "")
}

func (c *call) agreementPage(status int, problem string) error {
	field := ui.Field{Name: "accept", Label: c.say("agreement.accept"), Value: c.signin.Agreement(), Error: problem, Require: true}
	return c.renderScripted(c.w, c.r, status, agreementPage(c.welcomeWizard(1), c.signin.Agreement(), field))
}

// acceptAgreement serves POST /welcome/agreement.
func (c *call) acceptAgreement() error {
	accepted := c.r.PostFormValue("accept")
	if accepted == "" {
		return c.agreementPage(http.StatusUnprocessableEntity, c.say("error.agreement"))
	}
	if err := c.signin.AcceptAgreement(c.r.Context(), c.session, accepted); err != nil {
		return err
	}
	redirect(c.w, c.r, "/")
	return nil
}
