package clients

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// Where the key of a new certificate comes from.
const (
	keyHere = "here" // made here, and handed out once
	keyCSR  = "csr"  // the user's own, which stays where it is
)

// maxCSR is the longest text of a CSR, in octets.
const maxCSR = 32 << 10

// A draft is what the wizard was told so far. All of it is in the address.
type draft struct {
	user  telamon.User
	how   string
	after telamon.ClientCert // that it takes the place of; empty: none

	holders []telamon.User // that can be chosen
}

// draft reads what the wizard was told. It reports NotFound for a user for whom the person
// may make none.
func (c *call) draft(q url.Values) (*draft, error) {
	d := &draft{}
	var err error
	if d.holders, err = c.iam.CertHolders(c.Context(), c.Actor, c.Account()); err != nil {
		return nil, err
	}
	d.user = d.holders[0]
	if id := q.Get("user"); id != "" {
		i := slices.IndexFunc(d.holders, func(u telamon.User) bool { return u.ID.String() == id })
		if i < 0 {
			return nil, page.ErrNotFound
		}
		d.user = d.holders[i]
	}
	if how := q.Get("how"); how == keyHere || how == keyCSR {
		d.how = how
	}
	if id, err := telamon.ParseClientCertID(q.Get("after")); err == nil {
		if d.after, err = c.iam.UserCert(c.Context(), c.Actor, id); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// values are the answers to the first question.
func (d *draft) values() url.Values {
	v := url.Values{"user": {d.user.ID.String()}}
	if d.how != "" {
		v.Set("how", d.how)
	}
	if d.after.ID != "" {
		v.Set("after", d.after.ID.String())
	}
	return v
}

// nextName is a nickname for the one that takes another's place.
func (d *draft) nextName(now time.Time) string {
	if d.after.ID == "" {
		return ""
	}
	return d.after.Name + " " + now.UTC().Format("2006-01")
}

// wizard returns the wizard's frame at a step.
func (c *call) wizard(d *draft, step int) ui.Wizard {
	first := d.values()
	first.Del("how")
	w := ui.Wizard{Current: step, URLs: []string{newPath + "?" + first.Encode()}}
	for _, key := range []string{"clients.step.who", "clients.step.what", "clients.step.result"} {
		w.Steps = append(w.Steps, c.Say(key))
	}
	if step > 0 {
		w.Summary = []ui.Fact{
			{Key: c.Say("clients.user"), Value: ui.Words(d.user.Name)}, {Key: c.Say("clients.how"), Value: ui.Words(c.Say("clients.how." + d.how))},
		}
	}
	if step == 2 { // what is made is made
		w.URLs = nil
	}
	if d.after.ID != "" {
		w.Summary = append(w.Summary, ui.Fact{Key: c.Say("clients.after"), Value: ui.Words(d.after.Name)})
	}
	return w
}

func (c *call) newHead() ui.Head {
	return ui.Head{Up: &ui.Link{Text: c.Say("clients.title"), URL: page.ClientCertificatesPath}, Title: c.Say("clients.new")}
}

// newCertificate serves GET /client-certificates/new: the wizard.
func (c *call) newCertificate() error {
	d, err := c.draft(c.R.URL.Query())
	if err != nil {
		return err
	}
	if d.how == "" {
		return c.askWho(d)
	}
	term, err := c.iam.CertTerm(c.Context(), c.Actor, d.user.ID)
	if err != nil {
		return err
	}
	f := c.fields(d, term, url.Values{"name": {d.nextName(c.Clock.Now())}, "end": {ui.Date(term.Usual)}})
	return c.askWhat(http.StatusOK, d, term, f)
}

// askWho asks for whom the certificate is, and where its key comes from.
func (c *call) askWho(d *draft) error {
	head := c.newHead()
	form := ui.Form{Action: newPath, Get: true, Button: c.Say("wizard.continue"), Cancel: c.CancelTo(page.ClientCertificatesPath)}
	if d.after.ID != "" {
		form.Hidden = []ui.Option{{Value: "after", Text: d.after.ID.String()}}
	}
	var who []ui.Field
	if len(d.holders) > 1 {
		f := ui.Field{Name: "user", Label: c.Say("clients.ask.user"), Hint: c.Say("clients.ask.user.hint"), Value: d.user.ID.String()}
		for _, u := range d.holders {
			text := u.Name
			if u.ID == c.Actor.User {
				text = c.Say("clients.myself", "name", u.Name)
			}
			f.Options = append(f.Options, ui.Option{Value: u.ID.String(), Text: text})
		}
		who = append(who, f)
	}
	how := ui.Field{Name: "how", Label: c.Say("clients.ask.how"), Value: keyHere, Require: true, Options: []ui.Option{
		{Value: keyHere, Text: c.Say("clients.how.here"), Hint: c.Say("clients.how.here.hint")},
		{Value: keyCSR, Text: c.Say("clients.how.csr"), Hint: c.Say("clients.how.csr.hint")},
	}}
	return c.Show(http.StatusOK, head.Title, page.WizardPage(head, c.wizard(d, 0), whoStep(form, who, how)))
}

// The fields of the second question.
type fields struct {
	name, end, csr, hash ui.Field
	encryption           ui.Field
	quick                []ui.Option // usual ends
}

// all are those of them that are asked for.
func (f fields) all(how string) []ui.Field {
	if how == keyCSR {
		return []ui.Field{f.csr, f.name, f.end}
	}
	return []ui.Field{f.name, f.end, f.encryption, f.hash}
}

// fields are the fields of the second question with their values.
func (c *call) fields(d *draft, term iam.CertTerm, v url.Values) fields {
	today := c.Clock.Now()
	f := fields{
		name: ui.Field{
			Name: "name", Label: c.Say("clients.nickname"), Hint: c.Say("clients.nickname.hint"), Value: v.Get("name"), Require: true, Max: 255, Focus: d.how == keyHere,
		},
		end: ui.Field{
			Name: "end", Label: c.Say("clients.end"), Hint: c.endHint(term), Value: v.Get("end"), First: ui.Date(today), Last: ui.Date(term.Last), Require: true,
		},
		csr: ui.Field{
			Name: "csr", Label: c.Say("mtls.ask.csr"), Hint: c.Say("clients.ask.csr.hint"), Value: v.Get("csr"), Lines: 9, Code: true, Require: true, Max: maxCSR,
			Inspect: true, Focus: d.how == keyCSR,
		},
		encryption: ui.Field{Name: "encryption", Label: c.Say("clients.encryption"), Value: value(v, "encryption", "AES"), Require: true, Options: []ui.Option{
			{Value: "AES", Text: "AES-256", Hint: c.Say("clients.encryption.aes")}, {Value: "3DES", Text: "3DES", Hint: c.Say("clients.encryption.3des")},
		}},
		hash: ui.Field{Name: "hash", Label: c.Say("clients.hash"), Hint: c.Say("clients.hash.hint"), Value: value(v, "hash", "SHA-256"), Narrow: true},
	}
	for _, h := range []string{"SHA-256", "SHA-384", "SHA-512"} {
		f.hash.Options = append(f.hash.Options, ui.Option{Value: h, Text: h})
	}
	for _, choice := range []struct {
		key string
		at  time.Time
	}{{"clients.quick.days", today.AddDate(0, 0, 90)}, {"clients.quick.year", today.AddDate(1, 0, 0)}, {"clients.quick.longest", term.Last}} {
		if ui.Date(choice.at) <= ui.Date(term.Last) {
			f.quick = append(f.quick, ui.Option{Value: ui.Date(choice.at), Text: c.Say(choice.key)})
		}
	}
	return f
}

func value(v url.Values, name, otherwise string) string {
	if text := v.Get(name); text != "" {
		return text
	}
	return otherwise
}

// endHint says how long a certificate may live, and why.
func (c *call) endHint(term iam.CertTerm) string {
	key := "clients.end.hint"
	if term.Bound != "" {
		key += "." + term.Bound
	}
	return c.Say(key, "date", ui.Date(term.Last))
}

// askWhat shows the second question, unless nobody can answer it.
func (c *call) askWhat(status int, d *draft, term iam.CertTerm, f fields) error {
	head, w := c.newHead(), c.wizard(d, 1)
	if !term.Last.After(c.Clock.Now()) {
		return c.Show(http.StatusOK, head.Title, page.WizardPage(head, w, page.NeedsFirst(c.Say("clients.ended"), c.Say("clients.ended.do"), nil)))
	}
	form := ui.Form{
		Action: newPath, Button: c.Say("clients.create"), Hidden: page.Hidden(d.values()), Cancel: c.CancelTo(page.ClientCertificatesPath),
	}
	if d.how == keyCSR {
		form.Inspect, form.PrivateKey = inspectPath, c.Say("error.private_key")
	}
	return c.Show(status, head.Title, page.WizardPage(head, w, whatStep(form, d.how, f)))
}

// endOf is an end as the use case takes it: a day is its last second, but the last day is
// the last second of the term, which may come earlier.
func endOf(text string, term iam.CertTerm) *string {
	text = strings.TrimSpace(text)
	if text == ui.Date(term.Last) {
		text = ui.RFC3339(term.Last)
	}
	return &text
}

// createCertificate serves POST /client-certificates/new. Its answer for a key that was made
// here is the only page that ever has the password and what fetches the file.
func (c *call) createCertificate() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	d, err := c.draft(form)
	if err != nil {
		return err
	}
	if d.how == "" {
		return c.Redirect(newPath + "?" + d.values().Encode())
	}
	term, err := c.iam.CertTerm(c.Context(), c.Actor, d.user.ID)
	if err != nil {
		return err
	}
	if d.how == keyCSR {
		issued, err := c.iam.IssueUserCert(c.Context(), c.Actor, iam.UserCertRequest{
			User: d.user.ID, CSR: form.Get("csr"), Name: form.Get("name"), End: endOf(form.Get("end"), term),
		})
		if err != nil {
			return c.refused(d, term, form, err)
		}
		return c.Redirect(certificatePath(issued.ID) + "?issued")
	}
	made, err := c.iam.GenerateUserCert(c.Context(), c.Actor, iam.GeneratedCertRequest{
		User: d.user.ID, Name: form.Get("name"), End: endOf(form.Get("end"), term), Encryption: form.Get("encryption"), Hash: form.Get("hash"),
	})
	if err != nil {
		return c.refused(d, term, form, err)
	}
	head := ui.Head{Title: c.Say("clients.made", "name", made.Name), State: &ui.State{Tone: ui.Good, Word: c.Say("state.active")}}
	return c.Show(http.StatusOK, head.Title, madePage(head, c.wizard(d, 2), madeCert{
		password: made.Password.Reveal(), download: made.Download.Reveal(), path: certificatePath(made.ID), curl: c.curlP12(),
	}))
}

// A madeCert is what is shown once of a certificate whose key was made here.
type madeCert struct {
	password, download string
	path               string // the page of the certificate
	curl               string
}

// curlP12 is the command that uses the file. The password is put in place of its name.
func (c *call) curlP12() string {
	if c.api.ClientAuth == "" {
		return ""
	}
	return fmt.Sprintf("read -rs PASSWORD\ncurl --cert-type P12 --cert \"%s:$PASSWORD\" \\\n  %s/account/api/v1/user/me", p12Name, c.api.ClientAuth)
}

// refused shows the second question again, with what is wrong.
func (c *call) refused(d *draft, term iam.CertTerm, form url.Values, err error) error {
	flt := fault.From(err)
	if flt.Code == "private_key" { // it goes nowhere, not even back
		form.Set("csr", "")
	}
	f := c.fields(d, term, form)
	switch flt.Code {
	case "invalid_name":
		f.name.Error = c.Say("clients.nickname.error")
	case "name_taken":
		f.name.Error = c.Say("error.name_taken")
	case "invalid_end":
		f.end.Error = c.Say("clients.end.error", "first", ui.Date(c.Clock.Now()), "last", ui.Date(term.Last))
	case "invalid_encryption":
		f.encryption.Error = c.Say("error.kind")
	case "invalid_signature_hash":
		f.hash.Error = c.Say("clients.hash.error")
	case "private_key":
		f.csr.Error = c.Say("error.private_key")
	case "csr_unreadable", "csr_signature", "key_not_allowed", "key_weak", "key_blocked", "key_of_another_account":
		f.csr.Error = c.Say("error.mtls."+flt.Code, "keys", userKeys)
	case "invalid_subject":
		f.csr.Error = c.Say("clients.subject.error")
	default:
		return err
	}
	return c.askWhat(http.StatusUnprocessableEntity, d, term, f)
}

// userKeys are the keys that certificates of users may have (digicert-one.md, Section 6.4).
const userKeys = "RSA 2048–4096, EC P-256, EC P-384"

// inspectCSR serves POST /client-certificates/inspect: what a CSR holds, as a part of a page.
// Nothing of it is kept.
func (c *call) inspectCSR() error {
	key, name, err := c.iam.InspectUserCSR(c.Context(), c.Actor, c.R.PostFormValue("csr"))
	if err != nil {
		code, problem := fault.From(err).Code, ""
		switch code {
		case "private_key":
			problem = c.Say("error.private_key")
		case "invalid_subject":
			problem = c.Say("clients.subject.error")
		case "csr_unreadable", "csr_signature", "key_not_allowed", "key_weak":
			problem = c.Say("error.mtls."+code, "keys", userKeys)
		default:
			return err
		}
		return c.Render(http.StatusOK, page.Inspection(problem, nil))
	}
	return c.Render(http.StatusOK, page.Inspection("", []ui.Fact{
		{Key: c.Say("mtls.inspect.key"), Value: ui.Words(page.KeyOf(key))}, {Key: c.Say("clients.common_name"), Value: ui.Words(name)},
	}))
}
