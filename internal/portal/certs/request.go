package certs

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// maxText is the longest CSR and list of names, in octets.
const maxText = 32 << 10

// A draft is what the wizard of requests was told so far.
type draft struct {
	all     *catalogue
	offer   *iam.Offer        // nil: not chosen
	holder  *telamon.Identity // likewise
	csrText string            // as it was pasted
	csr     *tbs.CSR          // nil: not read
}

// values are the answers before the CSR, for addresses.
func (d *draft) values() url.Values {
	q := url.Values{}
	if d.offer != nil {
		q.Set("service", d.offer.Subscription.ID.String())
	}
	if d.holder != nil {
		q.Set("identity", d.holder.ID.String())
	}
	return q
}

// draft reads what the wizard was told.
func (c *call) draft(q url.Values) (*draft, error) {
	if err := authz.Check(c.Actor, authz.CertificateIssue, c.Account()); err != nil {
		return nil, err
	}
	all, err := c.catalogue()
	if err != nil {
		return nil, err
	}
	all.offers = slices.DeleteFunc(all.offers, func(o iam.Offer) bool { return !o.Live })
	all.identities = slices.DeleteFunc(all.identities, func(i telamon.Identity) bool { return i.State != telamon.IdentityActive })
	d := &draft{all: all}
	for i, o := range all.offers {
		if o.Subscription.ID.String() == q.Get("service") {
			d.offer = &all.offers[i]
		}
	}
	for i, holder := range all.identities {
		if holder.ID.String() == q.Get("identity") {
			d.holder = &all.identities[i]
		}
	}
	return d, nil
}

// wizard returns the frame of a step.
func (c *call) wizard(d *draft, step int) ui.Wizard {
	w := ui.Wizard{Current: step}
	start := page.CertificateNewPath + "?" + d.values().Encode()
	for _, key := range []string{"certificates.step.service", "certificates.step.csr", "certificates.step.request"} {
		w.Steps = append(w.Steps, c.Say(key))
	}
	w.URLs = []string{start + "&again=", start}
	if d.offer != nil && step > 0 {
		w.Summary = append(w.Summary, ui.Fact{Key: c.Say("certificates.filter.service"), Value: ui.Words(d.offer.Service.Name)})
	}
	if d.holder != nil && step > 0 {
		w.Summary = append(w.Summary, ui.Fact{Key: c.Say("certificates.filter.identity"), Value: ui.Words(d.holder.Name)})
	}
	if d.csr != nil && step > 1 {
		w.Summary = append(w.Summary, ui.Fact{Key: c.Say("mtls.inspect.key"), Value: ui.Words(page.KeyOf(d.csr.PublicKey))})
	}
	return w
}

func (c *call) requestHead() ui.Head {
	return ui.Head{Up: &ui.Link{Text: c.Say("certificates.title"), URL: page.CertificatesPath}, Title: c.Say("certificates.request")}
}

// newRequest serves GET /certificates/new: the service and the identity, then the CSR.
func (c *call) newRequest() error {
	q := c.R.URL.Query()
	d, err := c.draft(q)
	if err != nil {
		return err
	}
	head := c.requestHead()
	if len(d.all.offers) == 0 || len(d.all.identities) == 0 {
		return c.Show(http.StatusOK, head.Title, page.WizardPage(head, c.wizard(d, 0), page.NeedsFirst(c.Say("certificates.needs"), c.Say("certificates.needs.do"),
			&ui.Link{Text: c.Say("nav.identities"), URL: page.IdentitiesPath})))
	}
	if d.offer != nil && d.holder != nil && !q.Has("again") {
		return c.askCSR(http.StatusOK, d, "")
	}
	v := requestView{fields: []ui.Field{
		page.One(ui.Field{Name: "service", Label: c.Say("certificates.filter.service"), Options: d.all.serviceOptions(), Value: q.Get("service"), Require: true}),
		page.One(ui.Field{Name: "identity", Label: c.Say("certificates.filter.identity"), Hint: c.Say("certificates.identity.hint"), Options: d.all.identityOptions(), Value: q.Get("identity"), Require: true}),
	}}
	form := ui.Form{Get: true, Action: page.CertificateNewPath, Button: c.Say("wizard.continue"), Cancel: c.cancel()}
	return c.Show(http.StatusOK, head.Title, page.WizardPage(head, c.wizard(d, 0), requestStep(form, v)))
}

func (c *call) cancel() *ui.Link {
	return c.CancelTo(page.CertificatesPath)
}

// csrField asks for a CSR.
func (c *call) csrField(value, problem string) ui.Field {
	return ui.Field{
		Name: "csr", Label: c.Say("mtls.ask.csr"), Hint: c.Say("certificates.csr.hint"), Value: value, Lines: 9, Code: true, Require: true, Max: maxText,
		Inspect: true, Focus: value == "", Error: problem,
	}
}

// askCSR shows the question for the CSR.
func (c *call) askCSR(status int, d *draft, problem string) error {
	head := c.requestHead()
	form := ui.Form{
		Action: page.CertificateNewPath, Button: c.Say("certificates.check"), Hidden: append(page.Hidden(d.values()), ui.Option{Value: "step", Text: "check"}),
		Cancel: c.cancel(), Inspect: inspectPath, PrivateKey: c.Say("error.private_key"),
	}
	return c.Show(status, head.Title, page.WizardPage(head, c.wizard(d, 1), requestStep(form, requestView{fields: []ui.Field{c.csrField(d.csrText, problem)}})))
}

// csrProblem says what is wrong with a CSR.
func (c *call) csrProblem(err error) string {
	switch code := fault.From(iam.CSRFault(err)).Code; code {
	case "private_key":
		return c.Say("error.private_key")
	case "csr_unreadable", "csr_signature":
		return c.Say("error.mtls." + code)
	}
	return c.Say("certificates.csr.wrong")
}

// inspect serves POST /certificates/inspect: what a CSR holds, as a part of a page.
// Nothing of it is kept.
func (c *call) inspect() error {
	if err := authz.Check(c.Actor, authz.CertificateIssue, c.Account()); err != nil {
		return err
	}
	csr, err := tbs.ParseCSR(c.R.PostFormValue("csr"))
	if err != nil {
		return c.Render(http.StatusOK, page.Inspection(c.csrProblem(err), nil))
	}
	facts := []ui.Fact{{Key: c.Say("mtls.inspect.key"), Value: ui.Words(page.KeyOf(csr.PublicKey))}}
	if cn, all := namesOf(csr); cn != "" || len(all) > 0 {
		facts = append(facts, ui.Fact{Key: c.Say("certificates.names"), Value: nameList(all)})
	}
	return c.Render(http.StatusOK, page.Inspection("", facts))
}

// namesOf returns the common name of a CSR, and its alternative names, which are the
// common name if there are no others.
func namesOf(csr *tbs.CSR) (common string, names []string) {
	r := csr.Request
	names = slices.Concat(r.DNSNames, r.EmailAddresses)
	for _, ip := range r.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range r.URIs {
		names = append(names, uri.String())
	}
	if len(names) == 0 && strings.Contains(r.Subject.CommonName, ".") {
		names = []string{r.Subject.CommonName}
	}
	return r.Subject.CommonName, names
}

// request serves POST /certificates/new: it reads the CSR, asks for the rest, and
// requests the certificate.
func (c *call) request() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	d, err := c.draft(form)
	if err != nil {
		return err
	}
	if d.offer == nil || d.holder == nil {
		return c.Redirect(page.CertificateNewPath + "?" + d.values().Encode())
	}
	d.csrText = form.Get("csr")
	if d.csr, err = tbs.ParseCSR(d.csrText); err != nil {
		if fault.From(iam.CSRFault(err)).Code == "private_key" { // it goes nowhere, not even back
			d.csrText = ""
		}
		return c.askCSR(http.StatusUnprocessableEntity, d, c.csrProblem(err))
	}
	pair, err := c.iam.PairFor(c.Context(), c.Actor, c.Account(), d.offer.Subscription.ID, d.holder.ID)
	if err != nil {
		return err
	}
	actor, err := c.ra.For(c.Context(), c.Actor, pair.ID)
	if err != nil {
		return err
	}
	terms, err := c.ra.Terms(c.Context(), actor)
	if err != nil {
		return err
	}
	if form.Get("step") != "request" {
		common, names := namesOf(d.csr)
		form = url.Values{"common_name": {common}, "names": {strings.Join(names, "\n")}, "not_after": {ui.Date(terms.Default)}}
		return c.askRest(http.StatusOK, d, c.restOf(d, terms, form))
	}
	v := c.restOf(d, terms, form)
	req, ok := c.requestOf(d, terms, form, &v)
	if !ok {
		return c.askRest(http.StatusUnprocessableEntity, d, v)
	}
	serial, err := c.ra.Issue(c.Context(), actor, req)
	if err != nil {
		if !c.blame(&v, err, d.offer, len(v.asked), terms) {
			return err
		}
		return c.askRest(http.StatusUnprocessableEntity, d, v)
	}
	return c.Redirect(pathOf(serial) + "?issued=")
}

// A requestView is a form of a request.
type requestView struct {
	fields    []ui.Field
	end       ui.Field // a date; no Name: it is not asked for
	choices   []ui.Option
	agreement ui.Field // likewise
	other     []string // what is wrong beside them
	asked     []string // the alternative names that were asked for
}

func (v requestView) all() []ui.Field { return append(slices.Clone(v.fields), v.end, v.agreement) }

// field returns the field of a name, nil if it is not asked for.
func (v *requestView) field(name string) *ui.Field {
	switch name {
	case v.end.Name:
		return &v.end
	case v.agreement.Name:
		return &v.agreement
	}
	for i := range v.fields {
		if v.fields[i].Name == name {
			return &v.fields[i]
		}
	}
	return nil
}

// askRest shows what is asked beside the CSR.
func (c *call) askRest(status int, d *draft, v requestView) error {
	head := c.requestHead()
	form := ui.Form{
		Action: page.CertificateNewPath, Button: c.Say("certificates.request"), Cancel: c.cancel(),
		Hidden: append(page.Hidden(d.values()), ui.Option{Value: "step", Text: "request"}, ui.Option{Value: "csr", Text: d.csrText}),
	}
	return c.Show(status, head.Title, page.WizardPage(head, c.wizard(d, 2), requestStep(form, v)))
}

// restOf are the fields that the policy allows, as they were answered.
func (c *call) restOf(d *draft, terms *ra.Terms, form url.Values) requestView {
	m := terms.Policy.Model()
	v := requestView{}
	for _, name := range policy.SubjectMembers() {
		rule, ok := m.SubjectDN.Strings[name]
		if !ok || rule.Presence != policy.Required && rule.Presence != policy.Optional {
			continue
		}
		f := ui.Field{Name: name, Label: c.subjectLabel(name), Value: form.Get(name), Max: 256, Require: rule.Presence == policy.Required}
		v.fields = append(v.fields, f)
	}
	if most := sanCount(m); most > 0 {
		v.fields = append(v.fields, ui.Field{
			Name: "names", Label: c.Say("certificates.names"), Hint: c.Many("certificates.names.hint", most), Value: form.Get("names"), Lines: 4, Code: true, Max: maxText,
		})
	}
	if hashes := m.Signature.HashAlgorithm; hashes.Presence != policy.Static && hashes.Presence != policy.Forbidden && len(hashes.List) > 1 {
		f := ui.Field{Name: "hash", Label: c.Say("certificates.hash"), Value: form.Get("hash"), Options: []ui.Option{{Text: c.Say("certificates.hash.usual")}}}
		for _, h := range hashes.List {
			f.Options = append(f.Options, ui.Option{Value: h, Text: h})
		}
		v.fields = append(v.fields, f)
	}
	now := c.Clock.Now()
	v.end = ui.Field{
		Name: "not_after", Label: c.Say("certificates.end"), Hint: c.Say("certificates.end.hint", "date", ui.UTC(terms.Longest)), Value: form.Get("not_after"),
		First: ui.Date(now), Last: ui.Date(terms.Longest),
	}
	for _, choice := range []struct {
		days int
		key  string
	}{{90, "certificates.end.90"}, {365, "certificates.end.year"}} {
		if at := now.AddDate(0, 0, choice.days); at.Before(terms.Default) {
			v.choices = append(v.choices, ui.Option{Value: ui.Date(at), Text: c.Say(choice.key)})
		}
	}
	v.choices = append(v.choices, ui.Option{Value: ui.Date(terms.Default), Text: c.Say("certificates.end.longest")})
	v.agreement = ui.Field{
		Name: "agreement", Label: c.Say("certificates.agree", "version", terms.Agreement), Value: terms.Agreement, Require: true, Type: "checkbox",
	}
	return v
}

// subjectLabel names a member of the subject.
func (c *call) subjectLabel(name string) string {
	if name == "common_name" {
		return c.Say("certificates.common_name")
	}
	return strings.ToUpper(name[:1]) + strings.ReplaceAll(name[1:], "_", " ")
}

// sanCount is how many alternative names a policy allows at most.
func sanCount(m *policy.Model) int {
	n := 0
	for _, rule := range []policy.ListRule{m.SAN.DNSNames, m.SAN.Emails, m.SAN.IPAddresses, m.SAN.URIs} {
		if !rule.Static {
			n += rule.MaxCount
		}
	}
	return n
}

// requestOf returns the request that a form makes, and false if it cannot be read.
func (c *call) requestOf(d *draft, terms *ra.Terms, form url.Values, v *requestView) (*ra.CertificateRequest, bool) {
	req := &ra.CertificateRequest{PublicKey: d.csrText, Agreement: form.Get("agreement")}
	if terms.Policy.PublicKeyRule().Format != "PKCS10" {
		req.PublicKey = spkiPEM(d.csr)
	}
	req.Policy.Subject = map[string]string{}
	for _, f := range v.fields {
		if _, ok := terms.Policy.Model().SubjectDN.Strings[f.Name]; ok && strings.TrimSpace(f.Value) != "" {
			req.Policy.Subject[f.Name] = strings.TrimSpace(f.Value)
		}
	}
	v.asked = strings.FieldsFunc(form.Get("names"), func(r rune) bool { return strings.ContainsRune(" \t\r\n,;", r) })
	for _, name := range v.asked {
		addName(&req.Policy.SAN, name)
	}
	req.Policy.HashAlgorithm = form.Get("hash")
	if text := form.Get("not_after"); text != "" && text != ui.Date(terms.Default) {
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			v.end.Error = c.Say("certificates.end.unreadable")
			return nil, false
		}
		req.Policy.NotAfter = endOf(day, terms.Longest).Unix()
	}
	return req, true
}

// endOf is the last second of a day, or the longest end if that is on it.
func endOf(day, longest time.Time) time.Time {
	end := day.AddDate(0, 0, 1).Add(-time.Second)
	if end.After(longest) && !day.After(longest) {
		return longest
	}
	return end
}

// spkiPEM writes the key of a CSR as PEM.
func spkiPEM(csr *tbs.CSR) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: csr.Request.RawSubjectPublicKeyInfo}))
}

// addName adds an alternative name of the kind that it looks like.
func addName(san *policy.SANRequest, name string) {
	switch _, err := netip.ParseAddr(name); {
	case err == nil:
		san.IPAddresses = append(san.IPAddresses, name)
	case strings.Contains(name, "://"):
		san.URIs = append(san.URIs, name)
	case strings.Contains(name, "@"):
		san.Emails = append(san.Emails, name)
	default:
		san.DNSNames = append(san.DNSNames, name)
	}
}

// blame puts what a refusal says beside the fields, in the words of the catalogue (spec:
// portal-and-onboarding.md, Section 7), and reports whether it blames the request.
func (c *call) blame(v *requestView, err error, offer *iam.Offer, names int, terms *ra.Terms) bool {
	f := fault.From(err)
	switch {
	case f.Code == fault.CodeQuotaReached:
		v.other = append(v.other, c.Say("certificates.crt_04", "n", c.Language().Count(offer.Granted)))
		return true
	case f.Kind != fault.Invalid:
		return false
	}
	for _, wrong := range f.Fields {
		field, text := wrong.Path, wrong.Problem
		switch {
		case f.Code == "name_not_covered":
			field, text = "names", c.Say("certificates.crt_01", "name", wrong.Path)
			if wrong.Problem == "is blocked" {
				text = c.Say("certificates.blocked", "name", wrong.Path)
			}
		case f.Code == "caa_forbids":
			field, text = "names", c.Say("certificates.crt_03", "name", wrong.Path)
		case wrong.Path == "public_key" && wrong.Problem == "is not allowed":
			field, text = "csr", c.Say("certificates.crt_02.key")
		case strings.HasPrefix(wrong.Path, "san") && names > sanCount(terms.Policy.Model()):
			field, text = "names", c.Say("certificates.crt_02.names", "n", strconv.Itoa(names), "max", strconv.Itoa(sanCount(terms.Policy.Model())))
		case strings.HasPrefix(wrong.Path, "san"):
			field = "names"
		case strings.HasPrefix(wrong.Path, "validity"):
			field = "not_after"
		case wrong.Path == "signature.hash_algorithm":
			field = "hash"
		case wrong.Path == "agreement":
			text = c.Say("certificates.agree.wrong")
		default:
			field = strings.TrimPrefix(wrong.Path, "subject_dn.")
		}
		at := v.field(field)
		switch {
		case at == nil && field == "csr":
			v.other = append(v.other, text)
		case at == nil:
			v.other = append(v.other, wrong.Path+": "+text)
		case at.Error == "":
			at.Error = text
		case !strings.Contains(at.Error, text):
			at.Error += " " + text
		}
	}
	if len(f.Fields) == 0 {
		v.other = append(v.other, f.Detail)
	}
	return true
}

// parsed reads a certificate of ours.
func parsed(h *ra.Holding) (*x509.Certificate, error) { return x509.ParseCertificate(h.DER) }
