package access

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// How somebody connects.
const (
	connectPartner = "partner"
	connectDirect  = "direct"
)

// howHere makes the key in the browser, instead of pasting a CSR.
const howHere = "here"

// maxCSR is the longest text of a CSR, in octets.
const maxCSR = 32 << 10

// A mtlsDraft is what the wizard of mTLS certificates was told so far.
type mtlsDraft struct {
	connect string
	chosen  []telamon.Credential
	asked   bool // the question which credentials was answered, if with none

	credentials []telamon.Credential // that can be chosen
}

// mtlsDraft reads what the wizard was told.
func (c *call) mtlsDraft(q url.Values) (*mtlsDraft, error) {
	d := &mtlsDraft{asked: q.Has("step")}
	if v := q.Get("connect"); v == connectPartner || v == connectDirect {
		d.connect = v
	}
	list, err := c.iam.Credentials(c.R.Context(), c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		if k.State == telamon.Deleted {
			continue
		}
		d.credentials = append(d.credentials, k)
		if slices.Contains(q["credential"], k.ID.String()) {
			d.chosen = append(d.chosen, k)
		}
	}
	return d, nil
}

// names are those of the chosen credentials.
func (d *mtlsDraft) names() string {
	var list []string
	for _, k := range d.chosen {
		list = append(list, k.Name)
	}
	return strings.Join(list, ", ")
}

// values are the answers to the questions before the step.
func (d *mtlsDraft) values(step int) url.Values {
	v := url.Values{}
	if step > 0 {
		v.Set("connect", d.connect)
	}
	if step > 1 {
		for _, k := range d.chosen {
			v.Add("credential", k.ID.String())
		}
	}
	return v
}

// mtlsWizard returns the wizard's frame at a step.
func (c *call) mtlsWizard(d *mtlsDraft, step int) ui.Wizard {
	w := ui.Wizard{Current: step}
	for i, key := range []string{"mtls.step.connect", "mtls.step.credentials", "mtls.step.request", "mtls.step.result"} {
		w.Steps = append(w.Steps, c.Say(key))
		if step < 3 { // what is issued is issued
			w.URLs = append(w.URLs, page.MTLSNewPath+"?"+d.values(i).Encode())
		}
	}
	if d.connect != "" {
		w.Summary = append(w.Summary, ui.Fact{Key: c.Say("mtls.step.connect"), Value: ui.Words(c.Say("mtls.connect." + d.connect))})
	}
	if step > 0 {
		w.Summary = append(w.Summary, ui.Fact{Key: c.Say("mtls.credentials"), Value: ui.Picked(c.Say("mtls.none"), d.names())})
	}
	return w
}

func (c *call) mtlsHead() ui.Head {
	return ui.Head{Up: &ui.Link{Text: c.Say("mtls.title"), URL: page.MTLSPath}, Title: c.Say("mtls.new")}
}

// newMTLS serves GET /mtls/new: the wizard, one question at a time.
func (c *call) newMTLS() error {
	if err := authz.Check(c.Actor, authz.ClientCertificateIssue, c.Account()); err != nil {
		return err
	}
	d, err := c.mtlsDraft(c.R.URL.Query())
	if err != nil {
		return err
	}
	head, cancel := c.mtlsHead(), c.CancelTo(page.MTLSPath)
	form := ui.Form{Action: page.MTLSNewPath, Get: true, Button: c.Say("wizard.continue"), Cancel: cancel}
	switch {
	case d.connect == "":
		f := ui.Field{Name: "connect", Label: c.Say("mtls.ask.connect"), Require: true, Options: []ui.Option{
			{Value: connectPartner, Text: c.Say("mtls.connect.partner"), Hint: c.Say("mtls.connect.partner.hint")},
			{Value: connectDirect, Text: c.Say("mtls.connect.direct"), Hint: c.Say("mtls.connect.direct.hint")},
		}}
		return c.Show(http.StatusOK, head.Title, page.WizardPage(head, c.mtlsWizard(d, 0), page.ChoiceStep(form, f)))
	case d.connect == connectPartner:
		w := c.mtlsWizard(d, 0)
		return c.Show(http.StatusOK, head.Title, page.WizardPage(head, w, page.NeedsFirst(c.Say("mtls.partner.title"), c.Say("mtls.partner.lead"),
			c.ActIf(authz.CredentialCreate, "dashboard.credential.act", page.CredentialNewPath))))
	case len(d.credentials) == 0:
		return c.Show(http.StatusOK, head.Title, page.WizardPage(head, c.mtlsWizard(d, 1), page.NeedsFirst(c.Say("mtls.needs"), c.Say("mtls.needs.do"),
			c.ActIf(authz.CredentialCreate, "dashboard.credential.act", page.CredentialNewPath))))
	case len(d.chosen) == 0 || !d.asked:
		return c.pickCredentials(d, form)
	}
	if c.R.URL.Query().Get("how") == howHere {
		return c.offerKey(d)
	}
	return c.askCSR(http.StatusOK, d, c.csrField(""))
}

// pickCredentials asks which credentials the certificate is for.
func (c *call) pickCredentials(d *mtlsDraft, form ui.Form) error {
	all, err := c.catalogue(c.R.Context())
	if err != nil {
		return err
	}
	form.Hidden = append(page.Hidden(d.values(1)), ui.Option{Value: "step", Text: "csr"})
	f := ui.Field{Name: "credential", Label: c.Say("mtls.ask.credentials"), Hint: c.Say("mtls.ask.credentials.hint")}
	status := http.StatusOK
	if d.asked {
		f.Error, status = c.Say("error.mtls.credentials"), http.StatusUnprocessableEntity
	}
	var rows []ui.PickRow
	for _, k := range d.credentials {
		v, err := c.view(c.R.Context(), all, k)
		if err != nil {
			return err
		}
		picked := len(d.credentials) == 1 || slices.ContainsFunc(d.chosen, func(x telamon.Credential) bool { return x.ID == k.ID })
		if v.Warning == "credential.warning.mtls" { // that is what this wizard ends
			v.Warning = ""
		}
		rows = append(rows, ui.PickRow{Value: k.ID.String(), Name: k.Name, Picked: picked, Cells: page.Cells(
			ui.Words(v.Service), ui.Words(v.Identity), ui.Status(c.state(v)), ui.Day(k.LastUsedAt))})
	}
	head := c.mtlsHead()
	return c.Show(status, head.Title, page.WizardPage(head, c.mtlsWizard(d, 1), pickStep(form, f, c.pickColumns(), rows)))
}

// keyTypes says which keys certificates can have.
func (c *call) keyTypes() string { return strings.Join(c.iam.ClientKeyTypes(), ", ") }

// csrField asks for a CSR.
func (c *call) csrField(value string) ui.Field {
	return ui.Field{
		Name: "csr", Label: c.Say("mtls.ask.csr"), Hint: c.Say("mtls.ask.csr.hint", "keys", c.keyTypes()), Value: value, Lines: 9, Code: true,
		Require: true, Max: maxCSR, Inspect: true, Focus: value == "",
	}
}

// askCSR shows the question for the CSR.
func (c *call) askCSR(status int, d *mtlsDraft, f ui.Field) error {
	head := c.mtlsHead()
	form := ui.Form{
		Action: page.MTLSNewPath, Button: c.Say("dashboard.mtls.act"), Hidden: append(page.Hidden(d.values(2)), ui.Option{Value: "step", Text: "csr"}),
		Cancel: c.CancelTo(page.MTLSPath), Inspect: inspectPath, PrivateKey: c.Say("error.private_key"),
	}
	return c.Show(status, head.Title, page.WizardPage(head, c.mtlsWizard(d, 2), csrStep(c.keyTabs(d, ""), form, f, csrCommand(d))))
}

// keyTabs are the ways to a key and its CSR.
func (c *call) keyTabs(d *mtlsDraft, how string) []ui.Tab {
	tabs := []ui.Tab{{Text: c.Say("keys.paste"), Current: how == ""}, {Text: c.Say("keys.here"), Current: how == howHere}}
	for i, way := range []string{"", howHere} {
		v := d.values(2)
		v.Set("step", "csr")
		if way != "" {
			v.Set("how", way)
		}
		tabs[i].URL = page.MTLSNewPath + "?" + v.Encode()
	}
	return tabs
}

// offerKey offers to make the key in the browser, which sends its CSR as if it had been
// pasted.
func (c *call) offerKey(d *mtlsDraft) error {
	head, hidden := c.mtlsHead(), append(page.Hidden(d.values(2)), ui.Option{Value: "step", Text: "csr"}, ui.Option{Value: "made"}, ui.Option{Value: "csr"})
	return c.Show(http.StatusOK, head.Title, page.WizardPage(head, c.mtlsWizard(d, 2), keyStep(c.keyTabs(d, howHere), hidden, d.chosen[0].Name)))
}

// csrCommand makes a key and a CSR.
func csrCommand(d *mtlsDraft) string {
	name := d.chosen[0].Name
	return "openssl req -new -newkey rsa:3072 -noenc -keyout " + name + ".key -out " + name + ".csr -subj /CN=" + name
}

// createMTLS serves POST /mtls/new.
func (c *call) createMTLS() error {
	if _, err := c.Form(); err != nil {
		return err
	}
	d, err := c.mtlsDraft(c.R.PostForm)
	if err != nil {
		return err
	}
	if d.connect != connectDirect || len(d.chosen) == 0 {
		return c.Redirect(page.MTLSNewPath + "?" + d.values(1).Encode())
	}
	req := iam.ClientCertRequest{Account: c.Account(), CSR: c.R.PostFormValue("csr")}
	for _, k := range d.chosen {
		req.Credentials = append(req.Credentials, k.ID)
	}
	issued, err := c.iam.IssueClientCert(c.R.Context(), c.Actor, req)
	if err != nil {
		problem := c.csrProblem(err)
		if problem == "" {
			return err
		}
		f := c.csrField(req.CSR)
		if fault.From(err).Code == "private_key" { // it goes nowhere, not even back
			f.Value = ""
		}
		f.Error = problem
		return c.askCSR(http.StatusUnprocessableEntity, d, f)
	}
	q := url.Values{"issued": {""}}
	if c.R.PostForm.Has("made") {
		q.Set("made", "")
	}
	if issued.KeyReused {
		q.Set("reused", "")
	}
	return c.Redirect(page.MTLSPath + "/" + issued.ID.String() + "?" + q.Encode())
}

// csrProblem says what is wrong with a CSR, "" if err blames something else.
func (c *call) csrProblem(err error) string {
	code := fault.From(err).Code
	switch code {
	case "private_key":
		return c.Say("error.private_key")
	case "csr_unreadable", "csr_signature", "key_not_allowed", "key_weak", "key_blocked", "key_of_another_account":
		return c.Say("error.mtls."+code, "keys", c.keyTypes())
	}
	return ""
}

// inspectCSR serves POST /mtls/inspect: what a CSR holds, as a part of a page. Nothing
// of it is kept.
func (c *call) inspectCSR() error {
	if err := authz.Check(c.Actor, authz.ClientCertificateIssue, c.Account()); err != nil {
		return err
	}
	csr, err := tbs.ParseCSR(c.R.PostFormValue("csr"))
	if err != nil {
		return c.Render(http.StatusOK, page.Inspection(c.csrProblem(iam.CSRFault(err)), nil))
	}
	facts := []ui.Fact{{Key: c.Say("mtls.inspect.key"), Value: ui.Words(page.KeyOf(csr.PublicKey))}}
	if subject := csr.Request.Subject.String(); subject != "" {
		facts = append(facts, ui.Fact{Key: c.Say("mtls.inspect.subject"), Value: ui.Words(subject)})
	}
	return c.Render(http.StatusOK, page.Inspection("", facts))
}
