package access

import (
	"bytes"
	"encoding/csv"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/web"
)

// How the secret of a new credential is delivered.
const (
	deliverHere = "view"
	deliverFile = "file"
)

// A credentialDraft is what the wizard of credentials was told so far. All of it is in
// the address, and nothing of it is secret.
type credentialDraft struct {
	delivery     string
	subscription telamon.SubscriptionID
	identity     telamon.IdentityID

	offers     []iam.Offer        // that can be chosen
	identities []telamon.Identity // likewise
}

// draft reads what the wizard was told; what is not the account's or cannot be used is
// as if it had not been told.
func (c *call) draft(q url.Values) (*credentialDraft, error) {
	ctx, d := c.R.Context(), &credentialDraft{}
	if v := q.Get("delivery"); v == deliverHere || v == deliverFile {
		d.delivery = v
	}
	offers, err := c.iam.Offers(ctx, c.Actor, c.Account())
	if err != nil {
		return nil, err
	}
	for _, o := range offers {
		if o.Live {
			d.offers = append(d.offers, o)
			if o.Subscription.ID.String() == q.Get("service") {
				d.subscription = o.Subscription.ID
			}
		}
	}
	identities, err := c.iam.Identities(ctx, c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	if d.subscription != "" { // those that fit it alone
		identities, err = c.iam.FittingIdentities(ctx, c.Actor, c.Account(), d.subscription)
	}
	if err != nil {
		return nil, err
	}
	for _, i := range identities {
		if i.State == telamon.IdentityActive {
			d.identities = append(d.identities, i)
			if i.ID.String() == q.Get("identity") {
				d.identity = i.ID
			}
		}
	}
	return d, nil
}

// step returns the index of the question that is to be asked.
func (d *credentialDraft) step() int {
	switch {
	case d.delivery == "":
		return 0
	case d.subscription == "":
		return 1
	case d.identity == "":
		return 2
	}
	return 3
}

// values are the answers to the questions before the step.
func (d *credentialDraft) values(step int) url.Values {
	v := url.Values{}
	for i, answer := range []struct{ name, value string }{
		{"delivery", d.delivery}, {"service", d.subscription.String()}, {"identity", d.identity.String()},
	} {
		if i < step {
			v.Set(answer.name, answer.value)
		}
	}
	return v
}

// wizard returns the wizard's frame at a step.
func (c *call) credentialWizard(d *credentialDraft, step int) ui.Wizard {
	w := ui.Wizard{Current: step}
	for i, key := range []string{"credential.step.delivery", "credential.step.service", "credential.step.identity", "credential.step.name", "credential.step.result"} {
		w.Steps = append(w.Steps, c.Say(key))
		w.URLs = append(w.URLs, page.CredentialNewPath+"?"+d.values(i).Encode())
	}
	if d.delivery != "" {
		w.Summary = append(w.Summary, ui.Fact{Key: c.Say("credential.step.delivery"), Value: ui.Words(c.Say("credential.delivery." + d.delivery))})
	}
	for _, o := range d.offers {
		if o.Subscription.ID == d.subscription {
			w.Summary = append(w.Summary, ui.Fact{Key: c.Say("credential.service"), Value: ui.Words(o.Service.Name)})
		}
	}
	for _, i := range d.identities {
		if i.ID == d.identity {
			w.Summary = append(w.Summary, ui.Fact{Key: c.Say("credential.identity"), Value: ui.Words(i.Name)})
		}
	}
	return w
}

// newCredential serves GET /credentials/new: the wizard, one question at a time.
func (c *call) newCredential() error {
	if err := authz.Check(c.Actor, authz.CredentialCreate, c.Account()); err != nil {
		return err
	}
	d, err := c.draft(c.R.URL.Query())
	if err != nil {
		return err
	}
	head := c.credentialHead()
	if len(d.offers) == 0 || len(d.identities) == 0 { // CRD-01
		return c.Show(http.StatusOK, head.Title, ui.Header(head), page.NeedsFirst(c.Say("credential.needs"), c.Say("credential.needs.do"), &ui.Link{Text: c.Say("nav.dashboard"), URL: "/"}))
	}
	step := d.step()
	form := ui.Form{
		Action: page.CredentialNewPath, Get: true, Button: c.Say("wizard.continue"), Hidden: page.Hidden(d.values(step)),
		Cancel: c.CancelTo(page.CredentialsPath),
	}
	w := c.credentialWizard(d, step)
	switch step {
	case 0:
		return c.Show(http.StatusOK, head.Title, page.WizardPage(head, w, page.ChoiceStep(form, c.deliveryField())))
	case 1:
		f := ui.Field{Name: "service", Label: c.Say("credential.ask.service"), Hint: c.Say("credential.ask.service.hint"), Require: true}
		for _, o := range d.offers {
			f.Options = append(f.Options, ui.Option{Value: o.Subscription.ID.String(), Text: o.Service.Name, Hint: c.offerHint(o)})
		}
		return c.Show(http.StatusOK, head.Title, page.WizardPage(head, w, page.ChoiceStep(form, page.One(f))))
	case 2:
		f := ui.Field{Name: "identity", Label: c.Say("credential.ask.identity"), Hint: c.Say("credential.ask.identity.hint"), Require: true}
		for _, i := range d.identities {
			f.Options = append(f.Options, ui.Option{Value: i.ID.String(), Text: i.Name, Hint: i.Data["organization"]})
		}
		return c.Show(http.StatusOK, head.Title, page.WizardPage(head, w, page.ChoiceStep(form, page.One(f))))
	}
	return c.askName(http.StatusOK, d, c.nameFields(d, "", ""), string(telamon.MTLSRequired))
}

func (c *call) credentialHead() ui.Head {
	return ui.Head{Up: &ui.Link{Text: c.Say("credentials.title"), URL: page.CredentialsPath}, Title: c.Say("credential.new")}
}

func (c *call) deliveryField() ui.Field {
	return ui.Field{Name: "delivery", Label: c.Say("credential.ask.delivery"), Value: deliverHere, Require: true, Options: []ui.Option{
		{Value: deliverHere, Text: c.Say("credential.delivery.view"), Hint: c.Say("credential.delivery.view.hint")},
		{Value: deliverFile, Text: c.Say("credential.delivery.file"), Hint: c.Say("credential.delivery.file.hint")},
	}}
}

// offerHint says what is left of a service.
func (c *call) offerHint(o iam.Offer) string {
	if o.Service.Unlimited {
		return c.Say("offer.unlimited")
	}
	l := page.LanguageOf(c.R)
	return c.Say("offer.left", "left", l.Count(o.Left), "of", l.Count(o.Granted), "end", ui.Date(o.EndsAt))
}

// nameFields are the fields of the last question.
func (c *call) nameFields(d *credentialDraft, name, publicKey string) []ui.Field {
	fields := []ui.Field{{
		Name: "name", Label: c.Say("credential.ask.name"), Hint: c.Say("credential.ask.name.hint"), Value: name, Code: true, Require: true, Max: 64, Focus: name == "",
	}}
	if d.delivery == deliverFile {
		fields = append(fields, ui.Field{
			Name: "public_key", Label: c.Say("credential.ask.key"), Hint: c.Say("credential.ask.key.hint"), Value: publicKey, Code: true, Lines: 8, Require: true, Max: 16384,
		})
	}
	return fields
}

// askName shows the last question.
func (c *call) askName(status int, d *credentialDraft, fields []ui.Field, mtls string) error {
	head := c.credentialHead()
	form := ui.Form{
		Action: page.CredentialNewPath, Button: c.Say("dashboard.credential.act"), Hidden: page.Hidden(d.values(3)),
		Cancel: c.CancelTo(page.CredentialsPath),
	}
	mode := ui.Field{Name: "mtls", Label: c.Say("credential.ask.mtls"), Value: mtls, Require: true, Options: []ui.Option{
		{Value: string(telamon.MTLSRequired), Text: c.Say("credential.mtls.required"), Hint: c.Say("credential.mtls.required.hint")},
		{Value: string(telamon.MTLSNone), Text: c.Say("credential.mtls.none"), Hint: c.Say("credential.mtls.none.hint")},
	}}
	return c.Show(status, head.Title, page.WizardPage(head, c.credentialWizard(d, 3), nameStep(form, fields, mode)))
}

// credentialProblems are the messages for what can be wrong with a new credential.
var credentialProblems = map[string]string{"name": "error.credential_name", "public_key": "error.public_key"}

// createCredential serves POST /credentials/new. Its answer is the only page that ever
// has the secret.
func (c *call) createCredential() error {
	ctx, form := c.R.Context(), func(name string) string { return strings.TrimSpace(c.R.PostFormValue(name)) }
	if _, err := c.Form(); err != nil {
		return err
	}
	d, err := c.draft(c.R.PostForm)
	if err != nil {
		return err
	}
	if d.step() != 3 {
		return c.Redirect(page.CredentialNewPath + "?" + d.values(d.step()).Encode())
	}
	spec := iam.CredentialSpec{
		Account: c.Account(), Name: form("name"), Subscription: d.subscription, Identity: d.identity, MTLS: telamon.MTLSMode(form("mtls")),
	}
	page := newSecret{name: spec.Name}
	var made *telamon.Credential
	if d.delivery == deliverFile {
		made, page.sealed, err = c.iam.CreateEncryptedCredential(ctx, c.Actor, spec, form("public_key"))
	} else {
		var secret iam.Secret
		made, secret, err = c.iam.CreateCredential(ctx, c.Actor, spec)
		page.secret = secret.Reveal()
	}
	if err != nil {
		return c.credentialRefused(d, err)
	}
	page.key, page.next = made.Key, credentialPath(made.ID)
	head := ui.Head{Title: c.Say("credential.made", "name", made.Name), State: &ui.State{Tone: ui.Good, Word: c.Say("state.active")}}
	return c.Show(http.StatusOK, head.Title, secretPage(head, page))
}

// credentialRefused shows the last question again, with what is wrong.
func (c *call) credentialRefused(d *credentialDraft, err error) error {
	key := c.R.PostFormValue("public_key")
	if fault.From(err).Code == "private_key" { // it goes nowhere, not even back
		key = ""
	}
	fields := c.nameFields(d, c.R.PostFormValue("name"), key)
	if fault.From(err).Code == "name_taken" {
		fields[0].Error = c.Say("error.name_taken")
	} else if !page.Blame(c.R, fields, err, credentialProblems) {
		return err
	}
	if fault.From(err).Code == "private_key" && len(fields) > 1 {
		fields[1].Error = c.Say("error.private_key")
	}
	return c.askName(http.StatusUnprocessableEntity, d, fields, c.R.PostFormValue("mtls"))
}

// A newSecret is what is shown once of a new credential.
type newSecret struct {
	name, key, secret string
	sealed            iam.Delivery // in place of the secret; nil if it is shown
	next              string       // where one goes on
}

// csv is the address of the credential as a file of comma-separated values (RFC 4180).
// The file is in the address itself: it is nowhere else.
func (s newSecret) csv() templ.SafeURL {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"name", "api_key", "api_secret"}) // a buffer takes all
	w.Write([]string{s.name, s.key, s.secret})
	w.Flush()
	return page.DataURL("text/csv", b.Bytes())
}

// enc is the address of the encrypted file.
func (s newSecret) enc() templ.SafeURL { return page.DataURL("application/octet-stream", s.sealed) }

// credentialAddresses serves GET /credentials/{id}/addresses.
func (c *call) credentialAddresses() error {
	v, err := c.thisCredential()
	if err != nil {
		return err
	}
	if err := authz.Check(c.Actor, authz.CredentialSetIPs, c.Account()); err != nil {
		return err
	}
	if err := authz.MustBeFresh(c.Actor, c.Clock.Now()); err != nil {
		return err
	}
	var lines []string
	for _, p := range v.AllowedIPs {
		lines = append(lines, plainPrefix(p))
	}
	return c.askAddresses(http.StatusOK, v, []ui.Field{c.addressField(strings.Join(lines, "\n"))})
}

func (c *call) addressField(value string) ui.Field {
	own := web.ClientOf(c.R.Context()).Address.Unmap().String()
	return ui.Field{
		Name: "allowed_ips", Label: c.Say("credential.addresses"), Hint: c.Say("credential.addresses.hint", "own", own), Value: value, Lines: 6, Code: true, Max: 8192,
	}
}

func (c *call) askAddresses(status int, v credentialView, fields []ui.Field) error {
	title := c.Say("credential.addresses.title", "name", v.Name)
	head := ui.Head{Up: &ui.Link{Text: v.Name, URL: credentialPath(v.ID)}, Title: title, Lead: c.Say("credential.addresses.lead")}
	form := ui.Form{
		Action: credentialPath(v.ID) + "/addresses", Button: c.Say("credential.addresses.button"),
		Cancel: c.CancelTo(credentialPath(v.ID)),
	}
	return c.Show(status, title, page.FormPage(head, form, fields))
}

// setCredentialAddresses serves POST /credentials/{id}/addresses. A list without the
// person's own address has to be confirmed (IPR-01).
func (c *call) setCredentialAddresses() error {
	v, err := c.thisCredential()
	if err != nil {
		return err
	}
	text := c.R.PostFormValue("allowed_ips")
	list := strings.Fields(strings.ReplaceAll(text, ",", " "))
	own := web.ClientOf(c.R.Context()).Address.Unmap()
	if len(list) > 0 && !covers(list, own) && c.R.PostFormValue("sure") != "yes" {
		fields := []ui.Field{c.addressField(text), {
			Name: "sure", Type: "checkbox", Value: "yes", Label: c.Say("credential.addresses.sure"), Error: c.Say("error.own_address", "own", own.String()),
		}}
		return c.askAddresses(http.StatusUnprocessableEntity, v, fields)
	}
	if err := c.iam.SetAllowedIPs(c.R.Context(), c.Actor, c.Account(), v.ID, list); err != nil {
		fields := []ui.Field{c.addressField(text)}
		if !page.Blame(c.R, fields, err, map[string]string{"allowed_ips": "error.addresses"}) {
			return err
		}
		return c.askAddresses(http.StatusUnprocessableEntity, v, fields)
	}
	return c.Redirect(credentialPath(v.ID))
}

// covers reports whether a list allows an address. What cannot be read allows nothing.
func covers(list []string, address netip.Addr) bool {
	for _, text := range list {
		if one, err := netip.ParseAddr(text); err == nil && one.Unmap() == address {
			return true
		}
		if p, err := netip.ParsePrefix(text); err == nil && p.Contains(address) {
			return true
		}
	}
	return false
}
