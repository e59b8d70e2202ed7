package portal

import (
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

// welcomeRoutes are the pages of the first sign-in.
func (f *face) welcomeRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.WelcomePath, f.needs(signin.NeedProfile, (*call).askProfile))
	mux.HandleFunc("POST "+page.WelcomePath, f.needs(signin.NeedProfile, (*call).completeProfile))
	mux.HandleFunc("GET "+page.AgreementPath, f.needs(signin.NeedAgreement, (*call).askAgreement))
	mux.HandleFunc("POST "+page.AgreementPath, f.needs(signin.NeedAgreement, (*call).acceptAgreement))
}

// welcomeWizard is the frame of the first sign-in.
func (c *call) welcomeWizard(step int) ui.Wizard {
	return ui.Wizard{Current: step, Steps: []string{c.Say("welcome.step.profile"), c.Say("welcome.step.agreement"), c.Say("welcome.step.factor")}}
}

// profileFields are what the first page asks.
func (c *call) profileFields(value func(string) string) []ui.Field {
	field := func(name, auto string, required bool) ui.Field {
		f := ui.Field{Name: name, Label: c.Say("welcome." + name), Value: value(name), Auto: auto, Require: required, Max: 128}
		if !required {
			f.Label += " " + c.Say("form.optional")
		}
		return f
	}
	fields := []ui.Field{
		field("name", "name", true), field("job_title", "organization-title", false), field("phone", "tel", false),
		field("company", "organization", true), field("street", "address-line1", false), field("postal_code", "postal-code", false),
		field("locality", "address-level2", true), field("state", "address-level1", false), field("country", "country", true),
	}
	fields[3].Hint = c.Say("welcome.company.hint")
	fields[5].Narrow = true
	fields[8].Narrow, fields[8].Max, fields[8].Hint = true, 2, c.Say("welcome.country.hint")
	return fields
}

// kindField asks whom the account is for.
func (c *call) kindField(value string) ui.Field {
	return ui.Field{Name: "kind", Label: c.Say("welcome.kind"), Value: value, Require: true, Options: []ui.Option{
		{Value: string(store.AccountDirect), Text: c.Say("welcome.kind.direct")},
		{Value: string(store.AccountServiceProvider), Text: c.Say("welcome.kind.service_provider"), Hint: c.Say("welcome.kind.service_provider.hint")},
	}}
}

// askProfile serves GET /welcome.
func (c *call) askProfile() error {
	return c.profilePage(http.StatusOK, c.profileFields(func(string) string { return "" }), c.kindField(string(store.AccountDirect)))
}

func (c *call) profilePage(status int, fields []ui.Field, kind ui.Field) error {
	return c.Render(status, profilePage(c.welcomeWizard(0), fields, kind))
}

// completeProfile serves POST /welcome.
func (c *call) completeProfile() error {
	value := func(name string) string { return strings.TrimSpace(c.R.PostFormValue(name)) }
	err := c.signin.CompleteProfile(c.R.Context(), c.Session, signin.Profile{
		Name: value("name"), JobTitle: value("job_title"), Phone: value("phone"), Locale: page.LanguageOf(c.R).Tag,
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
		if !page.Blame(c.R, fields, err, keys) {
			return err
		}
		last := len(fields) - 1
		return c.profilePage(http.StatusUnprocessableEntity, fields[:last], fields[last])
	}
	return c.Redirect("/")
}

// askAgreement serves GET /welcome/agreement.
func (c *call) askAgreement() error {
	return c.agreementPage(http.StatusOK, "")
}

func (c *call) agreementPage(status int, problem string) error {
	field := ui.Field{Name: "accept", Label: c.Say("agreement.accept"), Value: c.signin.Agreement(), Error: problem, Require: true}
	return c.Render(status, agreementPage(c.welcomeWizard(1), c.signin.Agreement(), field))
}

// acceptAgreement serves POST /welcome/agreement.
func (c *call) acceptAgreement() error {
	accepted := c.R.PostFormValue("accept")
	if accepted == "" {
		return c.agreementPage(http.StatusUnprocessableEntity, c.Say("error.agreement"))
	}
	if err := c.signin.AcceptAgreement(c.R.Context(), c.Session, accepted); err != nil {
		return err
	}
	return c.Redirect("/")
}
