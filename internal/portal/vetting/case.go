package vetting

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/vetting"
)

// thisCase returns the case of the address.
func (c *call) thisCase() (*vetting.Case, error) {
	id, err := telamon.ParseVettingCaseID(c.R.PathValue("case"))
	if err != nil {
		return nil, page.OrNotFound(err)
	}
	return c.vetting.Case(c.R.Context(), c.Actor, id)
}

// A caseView is a case as its page shows it.
type caseView struct {
	facts    []ui.Fact
	supplied []ui.Fact // what the applicant says of whom to ask, which no contact may rest on
	files    ui.Table
	upload   *ui.Form // nil: nothing can be added
	file     ui.Field
	kinds    []kindView
	barred   string // why the agent may not work on the case, "" if they may
	outcome  []ui.Fact
	acts     []act // what can be decided
	waits    string
}

// A kindView is one part of the checklist.
type kindView struct {
	name, lead string
	state      ui.State
	entries    []entryView
	add        string // the address that adds an entry; "" if none can be added
}

// An entryView is an entry of the checklist.
type entryView struct {
	state  ui.State
	facts  []ui.Fact
	strike string // the address that strikes it; "" if that cannot be
}

// An act is a decision that can be taken.
type act struct {
	text, url string
	danger    bool
}

// show serves GET /operator/vetting/{case}.
func (c *call) show() error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	return c.showCase(http.StatusOK, k, "")
}

// showCase shows a case, with what is wrong with a file that was sent.
func (c *call) showCase(status int, k *vetting.Case, problem string) error {
	state := c.stateOf(k.State)
	head := ui.Head{
		Up: &ui.Link{Text: c.Say("vetting.title"), URL: page.VettingPath}, Title: k.Reference(), State: &state,
		Lead: c.Say("vetting.case.lead", "identity", k.Identity.Name, "account", k.AccountName),
	}
	v := caseView{facts: c.requested(k), supplied: c.supplied(k), files: c.files(k), kinds: c.checklist(k)}
	if k.Barred != "" {
		v.barred = c.Say("vetting.barred")
	}
	if k.State.IsOpen() && k.Barred == "" {
		v.upload = &ui.Form{Action: casePath(k.ID) + "/evidence", Button: c.Say("vetting.keep")}
		v.file = ui.Field{Name: "file", Type: "file", Label: c.Say("vetting.file"), Hint: c.Say("vetting.file.hint"), Error: problem, Require: true}
		v.acts, v.waits = c.acts(k)
	}
	v.outcome = c.outcome(k)
	return c.Show(status, head.Title, casePage(head, v))
}

// requested is what is to be vetted.
func (c *call) requested(k *vetting.Case) []ui.Fact {
	facts := []ui.Fact{
		{Key: c.Say("vetting.type"), Value: ui.Words(c.typeWords(k.Identity.Type, k.Again))},
		{Key: c.Say("vetting.account"), Value: ui.Words(k.AccountName)},
	}
	for _, member := range []string{"organization", "organizational_unit", "locality", "state", "country"} {
		value := k.Identity.Data[member]
		if value == "" {
			continue
		}
		if member == "country" {
			value = c.Language().Country(value) + " (" + value + ")"
		}
		facts = append(facts, ui.Fact{Key: c.Say("identity.field." + member), Value: ui.Words(value)})
	}
	return append(facts, ui.Fact{Key: c.Say("vetting.opened"), Value: ui.Moment(k.OpenedAt)})
}

// supplied is what the applicant says of whom to ask.
func (c *call) supplied(k *vetting.Case) []ui.Fact {
	facts := []ui.Fact{{Key: c.Say("vetting.requested_by"), Value: ui.Words(c.nameOf(k.Account, k.OpenedBy))}}
	if contact := k.Identity.Customer; contact != nil {
		words := strings.TrimSuffix(contact.Name+", "+contact.Email+", "+contact.Phone, ", ")
		facts = append(facts, ui.Fact{Key: c.Say("identity.customer"), Value: ui.Words(words)})
	}
	return facts
}

// nameOf returns what somebody is called whom an event names.
func (c *call) nameOf(account telamon.AccountID, subject string) string {
	id, err := telamon.ParseUserID(subject)
	if err != nil {
		return subject
	}
	u, err := c.iam.User(c.R.Context(), c.Actor, account, id)
	if err != nil {
		return subject
	}
	return u.Name + " (" + u.Email + ")"
}

// files lists the evidence.
func (c *call) files(k *vetting.Case) ui.Table {
	table := ui.Table{
		Label: c.Say("vetting.evidence"), Empty: ui.Empty{Title: c.Say("vetting.evidence.empty"), Lead: c.Say("vetting.evidence.empty.do")},
		Columns: []ui.Column{{Name: c.Say("vetting.file")}, {Name: c.Say("vetting.size"), Number: true}, {Name: c.Say("vetting.agent")}, {Name: c.Say("vetting.at")}},
	}
	for _, e := range k.Evidence {
		table.Rows = append(table.Rows, ui.Row{URL: casePath(k.ID) + "/evidence/" + e.ID.String(), Cells: page.Cells(
			ui.Words(e.Name), ui.Words(c.Say("vetting.kib", "n", c.Language().Count((e.Size+1023)/1024))), ui.Words(e.AgentName), ui.Day(e.At))})
	}
	return table
}

// checklist is what was checked and what is missing.
func (c *call) checklist(k *vetting.Case) []kindView {
	var kinds []kindView
	for _, kind := range telamon.CheckKinds() {
		v := kindView{
			name: c.Say("vetting.check." + string(kind)), lead: c.Say("vetting.check." + string(kind) + ".lead"),
			state: ui.State{Tone: ui.Good, Word: c.Say("vetting.check.done")},
		}
		if slices.Contains(k.Missing, kind) {
			v.state = ui.State{Tone: ui.Pending, Word: c.Say("vetting.check.missing")}
		}
		if k.State.IsOpen() && k.Barred == "" {
			v.add = casePath(k.ID) + "/checks/new?kind=" + string(kind)
		}
		for i := range k.Checks {
			if k.Checks[i].Kind == kind {
				v.entries = append(v.entries, c.entry(k, &k.Checks[i]))
			}
		}
		kinds = append(kinds, v)
	}
	return kinds
}

// entry is one entry of the checklist.
func (c *call) entry(k *vetting.Case, e *telamon.VettingCheck) entryView {
	v := entryView{state: ui.State{Tone: ui.Good, Word: c.Say("vetting.independent")}}
	switch {
	case !e.StruckAt.IsZero():
		v.state = ui.State{Tone: ui.Off, Word: c.Say("vetting.struck"), Reason: c.Say("vetting.struck.by", "name", c.nameOf(c.Account(), e.StruckBy))}
	case !e.Independent:
		v.state = ui.State{Tone: ui.Bad, Word: c.Say("vetting.supplied"), Reason: c.Say("vetting.supplied.why")}
	}
	v.facts = []ui.Fact{{Key: c.Say("vetting.source"), Value: ui.Words(e.Source)}}
	if e.Method != "" {
		v.facts = append(v.facts, ui.Fact{Key: c.Say("vetting.method"), Value: ui.Words(c.Say("vetting.method." + string(e.Method)))},
			ui.Fact{Key: c.Say("vetting.contact"), Value: ui.Words(e.Contact)})
	}
	if i := slices.IndexFunc(k.Evidence, func(f telamon.VettingEvidence) bool { return f.ID == e.Evidence }); i >= 0 {
		v.facts = append(v.facts, ui.Fact{Key: c.Say("vetting.evidence"), Value: fileLink(casePath(k.ID)+"/evidence/"+e.Evidence.String(), k.Evidence[i].Name)})
	}
	if e.Note != "" {
		v.facts = append(v.facts, ui.Fact{Key: c.Say("vetting.note"), Value: prose(e.Note)})
	}
	v.facts = append(v.facts, ui.Fact{Key: c.Say("vetting.agent"), Value: ui.Words(e.AgentName)}, ui.Fact{Key: c.Say("vetting.at"), Value: ui.Moment(e.At)})
	if e.StruckAt.IsZero() && k.State.IsOpen() && k.Barred == "" {
		v.strike = casePath(k.ID) + "/checks/" + e.ID.String() + "/strike"
	}
	return v
}

// acts are the decisions that the agent can take, and what the case waits for otherwise.
func (c *call) acts(k *vetting.Case) ([]act, string) {
	reject := act{c.Say("vetting.reject"), casePath(k.ID) + "/reject", true}
	switch {
	case len(k.Missing) > 0:
		var missing []string
		for _, kind := range k.Missing {
			missing = append(missing, c.Say("vetting.check."+string(kind)))
		}
		return []act{reject}, c.Say("vetting.waits.checks", "missing", strings.Join(missing, ", "))
	case k.State == telamon.VettingQueued:
		return []act{{c.Say("vetting.process"), casePath(k.ID) + "/process", false}, reject}, c.Say("vetting.waits.process")
	case k.ProcessedBy == c.Actor.Subject():
		return []act{reject}, c.Say("vetting.waits.second")
	}
	return []act{{c.Say("vetting.approve"), casePath(k.ID) + "/approve", false}, reject}, c.Say("vetting.waits.approve")
}

// outcome is what was decided so far.
func (c *call) outcome(k *vetting.Case) []ui.Fact {
	var facts []ui.Fact
	if !k.ProcessedAt.IsZero() {
		facts = append(facts, ui.Fact{Key: c.Say("vetting.processed_by"), Value: ui.Words(c.nameOf(c.Account(), k.ProcessedBy))},
			ui.Fact{Key: c.Say("vetting.processed_at"), Value: ui.Moment(k.ProcessedAt)})
	}
	if !k.EndedAt.IsZero() {
		facts = append(facts, ui.Fact{Key: c.Say("vetting.decided_by"), Value: ui.Words(c.nameOf(c.Account(), k.EndedBy))},
			ui.Fact{Key: c.Say("vetting.decided_at"), Value: ui.Moment(k.EndedAt)})
	}
	if k.Reason != "" {
		facts = append(facts, ui.Fact{Key: c.Say("vetting.reason"), Value: prose(k.Reason)})
	}
	return facts
}

// keep serves POST /operator/vetting/{case}/evidence: a form with one file.
func (c *call) keep() error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	name, content, err := upload(c.R)
	if err == nil {
		_, err = c.vetting.Keep(c.R.Context(), c.Actor, k.ID, name, content)
	}
	if fault.Is(err, fault.Invalid) {
		return c.showCase(http.StatusUnprocessableEntity, k, c.Say("vetting.file.wrong"))
	}
	if err != nil {
		return err
	}
	return c.Redirect(casePath(k.ID))
}

// upload reads the file of a form. It reports Malformed, and Invalid with evidence_size.
func upload(r *http.Request) (name string, content []byte, err error) {
	unreadable := fault.New(fault.Malformed, "form_unreadable", "The form cannot be read.")
	form, err := r.MultipartReader()
	if err != nil {
		return "", nil, unreadable
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) { // no file was chosen
			return "", nil, fault.New(fault.Invalid, "evidence_size", "A file of evidence has 1 octet to 5 MiB.")
		}
		if err != nil {
			return "", nil, unreadable
		}
		if part.FormName() != "file" {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(part, vetting.MaxEvidence+1))
		if err != nil {
			return "", nil, unreadable
		}
		return part.FileName(), content, nil
	}
}

// evidence serves GET /operator/vetting/{case}/evidence/{file}.
func (c *call) evidence() error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	id, err := telamon.ParseEvidenceID(c.R.PathValue("file"))
	if err != nil {
		return page.OrNotFound(err)
	}
	file, content, err := c.vetting.Evidence(c.R.Context(), c.Actor, k.ID, id)
	if err != nil {
		return err
	}
	h := c.W.Header()
	h.Set("Content-Type", file.MediaType)
	if file.MediaType == "text/plain" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": file.Name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", fmt.Sprint(len(content)))
	c.W.Write(content) // a client that has gone needs no answer
	return nil
}

// decisions are what can be decided of a case, and what of it says so.
var decisions = map[string]struct {
	action authz.Action
	danger bool
	do     func(c *call, k *vetting.Case, reason string) error
}{
	"process": {authz.IdentityProcess, false, func(c *call, k *vetting.Case, reason string) error {
		return c.vetting.Process(c.R.Context(), c.Actor, k.ID, reason)
	}},
	"approve": {authz.IdentityActivate, false, func(c *call, k *vetting.Case, reason string) error {
		return c.vetting.Approve(c.R.Context(), c.Actor, k.ID, reason)
	}},
	"reject": {authz.IdentityReject, true, func(c *call, k *vetting.Case, reason string) error {
		return c.vetting.Reject(c.R.Context(), c.Actor, k.ID, reason)
	}},
}

// askDecision serves GET /operator/vetting/{case}/{verb}.
func (c *call) askDecision(verb string) error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	if !k.State.IsOpen() {
		return c.Redirect(casePath(k.ID))
	}
	return c.showDecision(http.StatusOK, k, verb, ui.Field{})
}

func (c *call) showDecision(status int, k *vetting.Case, verb string, reason ui.Field) error {
	d, key := decisions[verb], "vetting."+verb
	reason.Name, reason.Label, reason.Hint = "reason", c.Say("vetting.reason"), c.Say(key+".reason")
	reason.Lines, reason.Max, reason.Require = 4, 2000, true
	title := c.Say(key+".title", "case", k.Reference())
	effect := c.Say(key+".effect", "until", ui.Date(k.Until))
	confirmation := ui.Confirmation{
		Object: c.requested(k), Effects: []string{effect}, Keeps: c.Say(key + ".keeps"),
		Form: ui.Form{
			Action: casePath(k.ID) + "/" + verb, Button: c.Say(key), Danger: d.danger,
			Cancel: c.CancelTo(casePath(k.ID)),
		},
	}
	head := ui.Head{Up: &ui.Link{Text: k.Reference(), URL: casePath(k.ID)}, Title: title}
	return c.Show(status, title, decisionPage(head, confirmation, reason))
}

// decide serves POST /operator/vetting/{case}/{verb}.
func (c *call) decide(verb string) error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	form, err := c.Form()
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(form.Get("reason"))
	err = decisions[verb].do(c, k, reason)
	if err != nil && fault.From(err).Code == "invalid_decision" {
		return c.showDecision(http.StatusUnprocessableEntity, k, verb, ui.Field{Value: reason, Error: c.Say("vetting.reason.wrong")})
	}
	if err != nil {
		return err
	}
	return c.Redirect(casePath(k.ID))
}
