package vetting

import (
	"net/http"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/vetting"
)

// Where something came from.
const (
	fromSource    = "independent"
	fromApplicant = "applicant"
)

// kindOf returns the kind of check that a form is for. It reports NotFound.
func kindOf(text string) (telamon.CheckKind, error) {
	kind := telamon.CheckKind(text)
	if !slices.Contains(telamon.CheckKinds(), kind) {
		return "", page.ErrNotFound
	}
	return kind, nil
}

// askCheck serves GET /operator/vetting/{case}/checks/new.
func (c *call) askCheck() error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	kind, err := kindOf(c.R.URL.Query().Get("kind"))
	if err != nil {
		return err
	}
	if !k.State.IsOpen() {
		return c.Redirect(casePath(k.ID))
	}
	return c.showCheck(http.StatusOK, k, vetting.NewCheck{Kind: kind}, nil)
}

// checkProblems are the messages for what can be wrong with an entry.
var checkProblems = map[string]string{
	"source": "vetting.wrong.source", "evidence": "vetting.wrong.evidence", "method": "vetting.wrong.method", "contact": "vetting.wrong.contact",
	"note": "vetting.wrong.note",
}

// showCheck shows the form of an entry, with what is wrong with it.
func (c *call) showCheck(status int, k *vetting.Case, n vetting.NewCheck, cause error) error {
	evidence := ui.Field{Name: "evidence", Label: c.Say("vetting.evidence"), Value: n.Evidence.String(), Options: []ui.Option{{Text: c.Say("vetting.evidence.none")}}}
	for _, e := range k.Evidence {
		evidence.Options = append(evidence.Options, ui.Option{Value: e.ID.String(), Text: e.Name})
	}
	if len(k.Evidence) == 0 {
		evidence.Hint = c.Say("vetting.evidence.empty.do")
	}
	fields := []ui.Field{{
		Name: "source", Label: c.Say("vetting.source"), Hint: c.Say("vetting.source.hint." + string(n.Kind)), Value: n.Source, Require: true, Max: 200,
	}}
	if n.Kind == telamon.CheckContact {
		method := ui.Field{Name: "method", Label: c.Say("vetting.method"), Value: string(n.Method), Require: true}
		for _, m := range telamon.ContactMethods() {
			method.Options = append(method.Options, ui.Option{Value: string(m), Text: c.Say("vetting.method." + string(m))})
		}
		fields = append(fields, method, ui.Field{
			Name: "contact", Label: c.Say("vetting.contact"), Hint: c.Say("vetting.contact.hint"), Value: n.Contact, Require: true, Max: 200,
		})
	} else {
		evidence.Require = true
	}
	fields = append(fields, evidence, ui.Field{Name: "note", Label: c.Say("vetting.note"), Hint: c.Say("vetting.note.hint." + string(n.Kind)), Value: n.Note, Lines: 4, Max: 2000})
	if cause != nil && !page.Blame(c.R, fields, cause, checkProblems) {
		return cause
	}
	origin := ui.Field{Name: "origin", Label: c.Say("vetting.origin"), Require: true, Options: []ui.Option{
		{Value: fromSource, Text: c.Say("vetting.origin.independent"), Hint: c.Say("vetting.origin.independent.hint")},
		{Value: fromApplicant, Text: c.Say("vetting.origin.applicant"), Hint: c.Say("vetting.supplied.why")},
	}}
	if cause != nil {
		origin.Value = fromApplicant
		if n.Independent {
			origin.Value = fromSource
		}
	}
	title := c.Say("vetting.check." + string(n.Kind))
	head := ui.Head{Up: &ui.Link{Text: k.Reference(), URL: casePath(k.ID)}, Title: title, Lead: c.Say("vetting.check." + string(n.Kind) + ".lead")}
	form := ui.Form{
		Action: casePath(k.ID) + "/checks/new", Button: c.Say("vetting.record"), Hidden: []ui.Option{{Value: "kind", Text: string(n.Kind)}},
		Cancel: c.CancelTo(casePath(k.ID)),
	}
	return c.Show(status, title, checkPage(head, form, fields, origin))
}

// record serves POST /operator/vetting/{case}/checks/new.
func (c *call) record() error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	form, err := c.Form()
	if err != nil {
		return err
	}
	kind, err := kindOf(form.Get("kind"))
	if err != nil {
		return err
	}
	value := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	n := vetting.NewCheck{
		Kind: kind, Source: value("source"), Independent: value("origin") == fromSource, Method: telamon.ContactMethod(value("method")),
		Contact: value("contact"), Note: value("note"),
	}
	if text := value("evidence"); text != "" {
		if n.Evidence, err = telamon.ParseEvidenceID(text); err != nil {
			return page.OrNotFound(err)
		}
	}
	err = c.vetting.Record(c.R.Context(), c.Actor, k.ID, n)
	if fault.Is(err, fault.Invalid) {
		return c.showCheck(http.StatusUnprocessableEntity, k, n, err)
	}
	if err != nil {
		return err
	}
	return c.Redirect(casePath(k.ID))
}

// strike serves POST /operator/vetting/{case}/checks/{check}/strike.
func (c *call) strike() error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	check, err := telamon.ParseVettingCheckID(c.R.PathValue("check"))
	if err != nil {
		return page.OrNotFound(err)
	}
	if err := c.vetting.Strike(c.R.Context(), c.Actor, k.ID, check); err != nil {
		return err
	}
	return c.Redirect(casePath(k.ID))
}
