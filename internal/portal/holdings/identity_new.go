package holdings

import (
	"net/http"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// Whose an identity is.
const (
	ownerMine     = "mine"
	ownerCustomer = "customer"
)

func (c *call) newIdentityHead() ui.Head {
	return ui.Head{Up: &ui.Link{Text: c.Say("identities.title"), URL: page.IdentitiesPath}, Title: c.Say("identity.new"), Lead: c.Say("identity.new.lead")}
}

// newIdentity serves GET /identities/new: the question of which type, and then its form.
func (c *call) newIdentity() error {
	if err := authz.Check(c.Actor, authz.IdentityCreate, c.Account()); err != nil {
		return err
	}
	offered, err := c.iam.OfferedTypes(c.R.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	head := c.newIdentityHead()
	if len(offered) == 0 { // IDN-02
		return c.Show(http.StatusOK, head.Title, ui.Header(head), page.NeedsFirst(c.Say("identity.needs"), c.Say("identity.needs.do"),
			c.ActIf(authz.SubscriptionRead, "services.title", page.ServicesPath)))
	}
	chosen := telamon.IdentityType(c.R.URL.Query().Get("type"))
	if t, ok := offeredType(offered, chosen); ok {
		return c.askIdentity(http.StatusOK, t, nil, iam.IdentityForm{}, nil)
	}
	f := ui.Field{Name: "type", Label: c.Say("identity.ask.type"), Hint: c.Say("identity.ask.type.hint"), Require: true}
	for _, t := range iam.IdentityTypes() {
		_, fits := offeredType(offered, t.Type)
		o := ui.Option{Value: string(t.Type), Text: c.Say("identity.type." + string(t.Type)), Hint: c.Say("identity.type." + string(t.Type) + ".hint"), Disabled: !fits}
		if !fits { // IDN-02
			o.Hint = c.Say("identity.needs")
		}
		f.Options = append(f.Options, o)
		if fits && f.Value == "" {
			f.Value = o.Value
		}
	}
	form := ui.Form{Action: page.IdentityNewPath, Get: true, Button: c.Say("wizard.continue"), Cancel: c.CancelTo(page.IdentitiesPath)}
	return c.Show(http.StatusOK, head.Title, page.WizardPage(head, c.identityWizard(0, nil), page.ChoiceStep(form, f)))
}

func offeredType(offered []iam.IdentityType, name telamon.IdentityType) (iam.IdentityType, bool) {
	i := slices.IndexFunc(offered, func(t iam.IdentityType) bool { return t.Type == name })
	if i < 0 {
		return iam.IdentityType{}, false
	}
	return offered[i], true
}

// identityWizard is the frame of the steps to a request.
func (c *call) identityWizard(step int, t *iam.IdentityType) ui.Wizard {
	w := ui.Wizard{
		Current: step, Steps: []string{c.Say("identity.type"), c.Say("identity.step.form"), c.Say("identity.step.review")},
		URLs: []string{page.IdentityNewPath, "", ""},
	}
	if t != nil {
		w.Summary = []ui.Fact{{Key: c.Say("identity.type"), Value: ui.Words(c.Say("identity.type." + string(t.Type)))}}
	}
	return w
}

// attributeOf is how a member of an identity is asked for: what the browser may fill in and
// how long it may be.
var attributeOf = map[string]struct {
	auto string
	max  int
}{
	"organization": {"organization", 64}, "organizational_unit": {"", 64}, "locality": {"address-level2", 128},
	"state": {"address-level1", 128}, "country": {"country", 0},
}

// identityFields are the fields of a form.
func (c *call) identityFields(t iam.IdentityType, f iam.IdentityForm, provider bool) []ui.Field {
	fields := []ui.Field{{
		Name: "name", Label: c.Say("identity.field.name"), Hint: c.Say("identity.field.name.hint"), Value: f.Name, Require: true, Max: 128, Focus: f.Name == "",
	}}
	for _, one := range t.Fields {
		a, key := attributeOf[one.Member], "identity.field."+one.Member
		field := ui.Field{Name: "data." + one.Member, Label: c.Say(key), Value: f.Data[one.Member], Require: one.Required, Auto: a.auto, Max: a.max}
		if !one.Required {
			field.Label = c.Say("identity.optional", "field", field.Label)
		}
		if c.Language().Has(key + ".hint") {
			field.Hint = c.Say(key + ".hint")
		}
		if one.Member == "country" {
			field.Options = c.Language().Countries(countries)
		}
		fields = append(fields, field)
	}
	if provider {
		contact := telamon.Contact{}
		if f.Customer != nil {
			contact = *f.Customer
		}
		fields = append(fields,
			ui.Field{Name: "customer.name", Label: c.Say("identity.customer.name"), Hint: c.Say("identity.customer.hint"), Value: contact.Name, Max: 128},
			ui.Field{Name: "customer.email", Label: c.Say("identity.customer.email"), Value: contact.Email, Type: "email", Max: 254},
			ui.Field{Name: "customer.phone", Label: c.Say("identity.customer.phone"), Value: contact.Phone, Type: "tel", Max: 64})
	}
	return fields
}

var countries = field.Countries()

// identityProblems are the messages for what can be wrong with a form.
var identityProblems = map[string]string{
	"name": "identity.error.name", "data.organization": "identity.error.text64", "data.organizational_unit": "identity.error.text64",
	"data.locality": "identity.error.text128", "data.state": "identity.error.text128", "data.country": "identity.error.country",
	"customer.name": "identity.error.name", "customer.email": "identity.error.email", "customer.phone": "identity.error.name",
}

// askIdentity shows the form of a type: of a draft that is edited, or of a new one.
func (c *call) askIdentity(status int, t iam.IdentityType, draft *telamon.Identity, f iam.IdentityForm, cause error) error {
	head := c.newIdentityHead()
	form := ui.Form{
		Action: page.IdentityNewPath, Button: c.Say("identity.preview"), Hidden: []ui.Option{{Value: "type", Text: string(t.Type)}},
		Cancel: c.CancelTo(page.IdentitiesPath),
	}
	if draft != nil {
		here := identityPath(draft.ID)
		head = ui.Head{Up: &ui.Link{Text: draft.Name, URL: here}, Title: c.Say("identity.edit.title", "name", draft.Name)}
		form.Action, form.Hidden, form.Cancel = here+"/edit", nil, c.CancelTo(here)
	}
	provider, err := c.iam.IsServiceProvider(c.R.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	fields := c.identityFields(t, f, provider)
	if cause != nil && !page.Blame(c.R, fields, cause, identityProblems) {
		return cause
	}
	var owner *ui.Field
	if provider {
		owner = &ui.Field{Name: "owner", Label: c.Say("identity.ask.owner"), Value: ownerMine, Require: true, Options: []ui.Option{
			{Value: ownerMine, Text: c.Say("identity.owner.mine")},
			{Value: ownerCustomer, Text: c.Say("identity.owner.customer"), Hint: c.Say("identity.owner.customer.hint")},
		}}
		if f.Customer != nil {
			owner.Value = ownerCustomer
		}
	}
	w := c.identityWizard(1, &t)
	return c.Show(status, head.Title, page.WizardPage(head, w, identityStep(form, fields, owner)))
}

// readIdentity returns what a form says.
func (c *call) readIdentity(t iam.IdentityType) (iam.IdentityForm, error) {
	form, err := c.Form()
	if err != nil {
		return iam.IdentityForm{}, err
	}
	value := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	f := iam.IdentityForm{Type: t.Type, Name: value("name"), Data: map[string]string{}}
	for _, one := range t.Fields {
		f.Data[one.Member] = value("data." + one.Member)
	}
	if value("owner") == ownerCustomer {
		f.Customer = &telamon.Contact{Name: value("customer.name"), Email: value("customer.email"), Phone: value("customer.phone")}
	}
	return f, nil
}

// draftIdentity serves POST /identities/new, and leads to the review.
func (c *call) draftIdentity() error {
	t, ok := iam.IdentityTypeOf(telamon.IdentityType(c.R.PostFormValue("type")))
	if !ok {
		return c.Redirect(page.IdentityNewPath)
	}
	f, err := c.readIdentity(t)
	if err != nil {
		return err
	}
	i, err := c.iam.DraftIdentity(c.R.Context(), c.Actor, c.Account(), f)
	if fault.Is(err, fault.Invalid) {
		return c.askIdentity(http.StatusUnprocessableEntity, t, nil, f, err)
	}
	if err != nil {
		return err
	}
	return c.Redirect(identityPath(i.ID))
}

// thisDraft returns the identity of the address and its type, for those who may edit it
// while it is a draft.
func (c *call) thisDraft() (telamon.Identity, iam.IdentityType, error) {
	i, err := c.thisIdentity()
	if err != nil {
		return i, iam.IdentityType{}, err
	}
	if err := authz.Check(c.Actor, authz.IdentityCreate, c.Account()); err != nil {
		return i, iam.IdentityType{}, err
	}
	t, ok := iam.IdentityTypeOf(i.Type)
	if !ok {
		return i, t, page.ErrNotFound // an operator's own word, which they alone edit
	}
	return i, t, nil
}

// editIdentity serves GET /identities/{id}/edit.
func (c *call) editIdentity() error {
	i, t, err := c.thisDraft()
	if err != nil {
		return err
	}
	if i.State != telamon.IdentityDraft {
		return c.Redirect(identityPath(i.ID))
	}
	return c.askIdentity(http.StatusOK, t, &i, iam.IdentityForm{Name: i.Name, Data: i.Data, Customer: i.Customer}, nil)
}

// reviseIdentity serves POST /identities/{id}/edit.
func (c *call) reviseIdentity() error {
	i, t, err := c.thisDraft()
	if err != nil {
		return err
	}
	f, err := c.readIdentity(t)
	if err != nil {
		return err
	}
	err = c.iam.ReviseIdentity(c.R.Context(), c.Actor, c.Account(), i.ID, f)
	if fault.Is(err, fault.Invalid) {
		return c.askIdentity(http.StatusUnprocessableEntity, t, &i, f, err)
	}
	if err != nil {
		return err
	}
	return c.Redirect(identityPath(i.ID))
}
