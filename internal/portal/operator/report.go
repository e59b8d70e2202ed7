package operator

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/web"
)

func (p *Pages) reportRoutes(mux page.Router) {
	mux.HandleFunc("GET "+reportsPath, p.person((*call).reports))
	mux.HandleFunc("GET "+reportsPath+"/{id}", p.person((*call).report))
	mux.HandleFunc("GET "+reportsPath+"/{id}/answered", p.person((*call).askAnswered))
	mux.HandleFunc("POST "+reportsPath+"/{id}/answered", p.person((*call).answered))
	mux.HandleFunc("GET "+reportsPath+"/{id}/accept", p.person((*call).askAccept))
	mux.HandleFunc("POST "+reportsPath+"/{id}/accept", p.person((*call).accept))
	mux.HandleFunc("GET "+reportsPath+"/{id}/dismiss", p.person((*call).askDismiss))
	mux.HandleFunc("POST "+reportsPath+"/{id}/dismiss", p.person((*call).dismiss))
	mux.HandleFunc("GET "+casesPath+"/new", p.person((*call).askCase))
	mux.HandleFunc("POST "+casesPath+"/new", p.person((*call).openCase))
	mux.HandleFunc("GET "+casesPath+"/{id}", p.person((*call).revocationCase))
	mux.HandleFunc("GET "+casesPath+"/{id}/close", p.person((*call).askClose))
	mux.HandleFunc("POST "+casesPath+"/{id}/close", p.person((*call).closeCase))
}

// categories are the categories of problems, the most urgent first.
func (p *Pages) categories(l *ui.Language, value string) ui.Field {
	f := ui.Field{Name: "category", Label: l.Say("operator.column.category"), Value: value, Require: true, Options: []ui.Option{{Text: l.Say("operator.report.choose")}}}
	for _, d := range p.Staff.Deadlines() {
		f.Options = append(f.Options, ui.Option{Value: d.Category, Text: categoryWords(l, d.Category)})
	}
	return f
}

// categoryWords is a category in words, or as the rules name it.
func categoryWords(l *ui.Language, category string) string {
	if key := "operator.category." + category; l.Has(key) {
		return l.Say(key)
	}
	return category
}

// reportFields are what somebody says who reports a problem.
func (p *Pages) reportFields(r *http.Request, in staff.Filing) []ui.Field {
	l := page.LanguageOf(r)
	return []ui.Field{
		{Name: "reporter", Label: l.Say("operator.report.reporter"), Hint: l.Say("operator.report.reporter.hint"), Type: "email", Auto: "email", Value: in.Reporter, Require: true, Max: 254},
		p.categories(l, in.Category),
		{Name: "certificates", Label: l.Say("operator.report.certificates"), Hint: l.Say("operator.report.certificates.hint"), Value: in.Certificates, Lines: 5, Code: true},
		{Name: "words", Label: l.Say("operator.report.words"), Hint: l.Say("operator.report.words.hint"), Value: in.Words, Lines: 8, Require: true, Max: 4000},
	}
}

// askReport serves GET /report: a form for anybody.
func (p *Pages) askReport(w http.ResponseWriter, r *http.Request) error {
	return p.showReport(w, r, http.StatusOK, p.reportFields(r, staff.Filing{}))
}

func (p *Pages) showReport(w http.ResponseWriter, r *http.Request, status int, fields []ui.Field) error {
	form := ui.Form{Action: page.ReportPath, Button: page.LanguageOf(r).Say("operator.report.button")}
	return p.shell.Render(w, r, status, reportPage(form, fields))
}

// fileReport serves POST /report. What is wrong is said without a trace; a private key is
// neither kept nor repeated.
func (p *Pages) fileReport(w http.ResponseWriter, r *http.Request) error {
	from := page.ClientOf(r)
	if err := p.Reporters.Allow(web.AddressKey(from.Address)); err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return fault.New(fault.Malformed, "form_unreadable", "The form cannot be read.")
	}
	in := staff.Filing{
		Reporter: r.PostForm.Get("reporter"), Category: r.PostForm.Get("category"), Certificates: r.PostForm.Get("certificates"), Words: r.PostForm.Get("words"),
	}
	filed, err := p.Staff.FileReport(r.Context(), from.Address, from.RequestID, in)
	if err != nil {
		if fault.From(err).Code == "private_key" {
			in.Certificates, in.Words = "", ""
		}
		fields := p.reportFields(r, in)
		keys := map[string]string{
			"reporter": "operator.report.reporter.wrong", "category": "operator.report.category.wrong", "certificates": "operator.report.certificates.wrong",
			"words": "operator.report.words.wrong",
		}
		if fault.From(err).Code == "private_key" {
			keys["certificates"] = "operator.report.private_key"
		}
		if !page.Blame(r, fields, err, keys) {
			return err
		}
		return p.showReport(w, r, http.StatusUnprocessableEntity, fields)
	}
	l := page.LanguageOf(r)
	facts := []ui.Fact{
		{Key: l.Say("operator.column.reference"), Value: ui.Identifier(filed.ID.String())},
		{Key: l.Say("operator.column.answer_by"), Value: ui.Moment(filed.AnswerBy)},
	}
	return p.shell.Render(w, r, http.StatusCreated, reportedPage(filed.ID.String(), facts))
}

// reportState is a report's state in words: what is overdue is bad.
func (c *call) reportState(r *telamon.ProblemReport) ui.State {
	now := c.Clock.Now()
	switch {
	case r.IsOverdue(now):
		return ui.State{Tone: ui.Bad, Word: c.Say("operator.reports.overdue"), Reason: ui.UTC(r.AnswerBy)}
	case r.AnsweredAt.IsZero():
		return ui.State{Tone: ui.Warn, Word: c.Say("operator.reports.unanswered"), Reason: ui.UTC(r.AnswerBy)}
	case r.State == telamon.ReportNew:
		return ui.State{Tone: ui.Pending, Word: c.Say("operator.reports.undecided")}
	case r.State == telamon.ReportAccepted:
		return ui.State{Tone: ui.Good, Word: c.Say("operator.reports.accepted")}
	}
	return ui.State{Tone: ui.Off, Word: c.Say("operator.reports.dismissed")}
}

// caseState is a case's state in words: what is overdue is bad.
func (c *call) caseState(k *telamon.RevocationCase) ui.State {
	switch {
	case !k.ClosedAt.IsZero():
		return ui.State{Tone: ui.Off, Word: c.Say("operator.cases.closed")}
	case k.IsOverdue(c.Clock.Now()):
		return ui.State{Tone: ui.Bad, Word: c.Say("operator.cases.overdue")}
	case k.DueAt.Sub(c.Clock.Now()) < 24*time.Hour:
		return ui.State{Tone: ui.Warn, Word: c.Say("operator.cases.soon")}
	}
	return ui.State{Tone: ui.Pending, Word: c.Say("operator.cases.open")}
}

// reports serves GET /operator/reports: what was reported, and the cases with their clocks.
func (c *call) reports() error {
	ctx, l := c.Context(), c.Language()
	reports, err := c.Staff.Reports(ctx, c.Actor, store.Page{Limit: page.MaxRows})
	if err != nil {
		return err
	}
	due, err := c.Staff.OpenReports(ctx, c.Actor)
	if err != nil {
		return err
	}
	reports = ahead(due, reports, func(r *telamon.ProblemReport) telamon.ReportID { return r.ID })
	slices.SortStableFunc(reports, func(a, b telamon.ProblemReport) int { return urgency(&a) - urgency(&b) })
	cases, err := c.Staff.Cases(ctx, c.Actor, store.Page{Limit: page.MaxRows})
	if err != nil {
		return err
	}
	slices.SortStableFunc(cases, func(a, b telamon.RevocationCase) int {
		if a.ClosedAt.IsZero() != b.ClosedAt.IsZero() {
			if a.ClosedAt.IsZero() {
				return -1
			}
			return 1
		}
		return a.DueAt.Compare(b.DueAt)
	})
	filed := ui.Table{Label: c.Say("operator.reports.filed"), Columns: c.columns("category", "state", "reporter", "certificates#", "received"),
		Empty: ui.Empty{Title: c.Say("operator.reports.empty"), Lead: c.Say("operator.reports.empty.lead")}}
	for i := range reports {
		r := &reports[i]
		filed.Rows = append(filed.Rows, ui.Row{URL: reportsPath + "/" + r.ID.String(), Cells: page.Cells(
			ui.Words(categoryWords(l, r.Category)), ui.Status(c.reportState(r)), ui.Name(r.Reporter, ""), ui.Words(l.Count(int64(len(r.Serials)))), ui.Day(r.ReceivedAt))})
	}
	open := ui.Table{Label: c.Say("operator.cases.title"), Columns: c.columns("case", "state", "category", "certificates#", "due"),
		Empty: ui.Empty{Title: c.Say("operator.cases.empty"), Lead: c.Say("operator.cases.empty.lead")}}
	for i := range cases {
		k := &cases[i]
		open.Rows = append(open.Rows, ui.Row{URL: casesPath + "/" + k.ID.String(), Cells: page.Cells(
			ui.Words(firstLine(k.Summary)), ui.Status(c.caseState(k)), ui.Words(categoryWords(l, k.Category)), ui.Words(l.Count(int64(len(k.Serials)))), ui.Moment(k.DueAt))})
	}
	head := ui.Head{Title: c.Say("operator.reports.title"), Lead: c.Say("operator.reports.lead"),
		Act:   &ui.Link{Text: c.Say("operator.cases.new"), URL: casesPath + "/new"},
		Quiet: []ui.Link{{Text: c.Say("operator.reports.form"), URL: page.ReportPath}}}
	return c.detail(http.StatusOK, head,
		section(c.Say("operator.reports.filed"), c.Say("operator.reports.filed.lead"), ui.DataTable(filed)),
		section(c.Say("operator.cases.title"), c.Say("operator.cases.lead"), ui.DataTable(open)))
}

// urgency orders reports: without an answer, without a decision, the others.
func urgency(r *telamon.ProblemReport) int {
	switch {
	case r.AnsweredAt.IsZero():
		return 0
	case r.State == telamon.ReportNew:
		return 1
	}
	return 2
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	if runes := []rune(line); len(runes) > 80 {
		line = string(runes[:80]) + "…"
	}
	return line
}

func (c *call) thisReport() (telamon.ProblemReport, error) {
	id, err := telamon.ParseReportID(c.R.PathValue("id"))
	if err != nil {
		return telamon.ProblemReport{}, page.OrNotFound(err)
	}
	return c.Staff.ReportOf(c.Context(), c.Actor, id)
}

// serials are certificates, each leading to what can be done about it.
func (c *call) serials(list []telamon.Serial) templ.Component {
	if len(list) == 0 {
		return words("")
	}
	var all []templ.Component
	for i, s := range list {
		if i > 0 {
			all = append(all, ui.Words(", "))
		}
		all = append(all, linked(page.ShortSerial(s), certificatesPath+"?serial="+s.String()))
	}
	return templ.Join(all...)
}

// report serves GET /operator/reports/{id}.
func (c *call) report() error {
	r, err := c.thisReport()
	if err != nil {
		return err
	}
	here, state := reportsPath+"/"+r.ID.String(), c.reportState(&r)
	head := ui.Head{Up: c.up("operator.reports.title", reportsPath), Title: categoryWords(c.Language(), r.Category), ID: r.ID.String(), State: &ui.State{Tone: state.Tone, Word: state.Word}}
	if r.AnsweredAt.IsZero() {
		head.Quiet = append(head.Quiet, ui.Link{Text: c.Say("operator.reports.answer"), URL: here + "/answered"})
	}
	if r.State == telamon.ReportNew {
		head.Quiet = append(head.Quiet, ui.Link{Text: c.Say("operator.reports.dismiss"), URL: here + "/dismiss"})
		head.Act = &ui.Link{Text: c.Say("operator.reports.accept"), URL: here + "/accept"}
	}
	facts := []ui.Fact{
		c.fact("reporter", ui.Identifier(r.Reporter)), c.fact("received", ui.Moment(r.ReceivedAt)), c.fact("answer_by", ui.Moment(r.AnswerBy)),
		c.fact("answered", ui.MomentIf(r.AnsweredAt)), c.fact("certificates", c.serials(r.Serials)),
	}
	if !r.Known {
		facts = append(facts, c.fact("known", ui.Words(c.Say("operator.reports.unknown"))))
	}
	if r.Address.IsValid() {
		facts = append(facts, c.fact("from", ui.Words(r.Address.String())))
	}
	if r.Reason != "" {
		facts = append(facts, c.fact("reason", plain(r.Reason)))
	}
	if r.Case != "" {
		facts = append(facts, c.fact("case", linked(r.Case.String(), casesPath+"/"+r.Case.String())))
	}
	return c.detail(http.StatusOK, head, ui.Facts(facts), section(c.Say("operator.report.words"), "", plain(r.Words)))
}

func (c *call) askAnswered() error {
	r, err := c.thisReport()
	if err != nil {
		return err
	}
	return c.confirm(c.up("operator.reports.back", reportsPath+"/"+r.ID.String()), c.Say("operator.reports.answer.ask"), c.Say("operator.reports.answer"),
		[]ui.Fact{c.fact("reporter", ui.Words(r.Reporter)), c.fact("answer_by", ui.Moment(r.AnswerBy))}, []string{c.Say("operator.reports.answer.effect")}, false)
}

func (c *call) answered() error {
	r, err := c.thisReport()
	if err != nil {
		return err
	}
	if err := c.Staff.AnswerReport(c.Context(), c.Actor, r.ID); err != nil {
		return err
	}
	return c.Redirect(reportsPath + "/" + r.ID.String())
}

func (c *call) reasonField(key string) ui.Field {
	return ui.Field{Name: "reason", Label: c.Say("operator.column.reason"), Hint: c.Say(key), Lines: 3, Max: 1000, Require: true, Value: c.R.PostFormValue("reason")}
}

func (c *call) askDismiss() error { return c.dismissPage("") }

func (c *call) dismissPage(problem string) error {
	r, err := c.thisReport()
	if err != nil {
		return err
	}
	field := c.reasonField("operator.reports.dismiss.hint")
	field.Error = problem
	return c.confirm(c.up("operator.reports.back", reportsPath+"/"+r.ID.String()), c.Say("operator.reports.dismiss.ask"), c.Say("operator.reports.dismiss"),
		[]ui.Fact{c.fact("reporter", ui.Words(r.Reporter)), c.fact("certificates", c.serials(r.Serials))}, []string{c.Say("operator.reports.dismiss.effect")}, true, field)
}

func (c *call) dismiss() error {
	r, err := c.thisReport()
	if err != nil {
		return err
	}
	err = c.Staff.DismissReport(c.Context(), c.Actor, r.ID, strings.TrimSpace(c.R.PostFormValue("reason")))
	if fault.Is(err, fault.Invalid) {
		return c.dismissPage(c.Say("operator.reason.wrong"))
	}
	if err != nil {
		return err
	}
	return c.Redirect(reportsPath + "/" + r.ID.String())
}

// caseFields are what makes a case.
func (c *call) caseFields(category, summary, certificates string) []ui.Field {
	return []ui.Field{
		c.categories(c.Language(), category),
		{Name: "summary", Label: c.Say("operator.column.summary"), Value: summary, Lines: 4, Max: 1000, Require: true},
		{Name: "serials", Label: c.Say("operator.column.certificates"), Hint: c.Say("operator.report.certificates.hint"), Value: certificates, Lines: 4, Code: true},
	}
}

func serialLines(list []telamon.Serial) string {
	var lines []string
	for _, s := range list {
		lines = append(lines, s.String())
	}
	return strings.Join(lines, "\n")
}

func (c *call) askAccept() error {
	r, err := c.thisReport()
	if err != nil {
		return err
	}
	return c.acceptPage(http.StatusOK, &r, c.caseFields(r.Category, r.Words[:min(len(r.Words), 1000)], serialLines(r.Serials)))
}

func (c *call) acceptPage(status int, r *telamon.ProblemReport, fields []ui.Field) error {
	here := reportsPath + "/" + r.ID.String()
	head := ui.Head{Up: c.up("operator.reports.back", here), Title: c.Say("operator.reports.accept.ask"), Lead: c.Say("operator.reports.accept.lead")}
	form := ui.Form{Action: here + "/accept", Button: c.Say("operator.reports.accept"), Cancel: c.CancelTo(here)}
	return c.Show(status, head.Title, page.FormPage(head, form, fields))
}

// caseOf reads the fields of a case. Its fields say what is wrong with the certificates.
func (c *call) caseOf() (staff.Report, []ui.Field, bool) {
	in := staff.Report{Category: c.R.PostFormValue("category"), Summary: strings.TrimSpace(strings.ReplaceAll(c.R.PostFormValue("summary"), "\r\n", "\n"))}
	fields := c.caseFields(in.Category, in.Summary, c.R.PostFormValue("serials"))
	var err error
	if in.Serials, err = staff.ParseCertificates(c.R.PostFormValue("serials")); err != nil {
		fields[2].Error = c.Say("operator.report.certificates.wrong")
		return in, fields, false
	}
	return in, fields, true
}

// blameCase says what is wrong with a case, and reports whether that was all.
func (c *call) blameCase(fields []ui.Field, err error) bool {
	if fault.Is(err, fault.NotFound) && fault.From(err).Code == "certificate_not_found" {
		fields[2].Error = c.Say("operator.cases.certificates.unknown")
		return true
	}
	return page.Blame(c.R, fields, err, map[string]string{"category": "operator.report.category.wrong", "summary": "operator.cases.summary.wrong"})
}

func (c *call) accept() error {
	r, err := c.thisReport()
	if err != nil {
		return err
	}
	in, fields, ok := c.caseOf()
	if !ok {
		return c.acceptPage(http.StatusUnprocessableEntity, &r, fields)
	}
	made, err := c.Staff.AcceptReport(c.Context(), c.Actor, r.ID, in)
	if err != nil {
		if c.blameCase(fields, err) {
			return c.acceptPage(http.StatusUnprocessableEntity, &r, fields)
		}
		return err
	}
	return c.Redirect(casesPath + "/" + made.ID.String())
}

func (c *call) askCase() error {
	return c.casePage(http.StatusOK, c.caseFields("", "", ""))
}

func (c *call) casePage(status int, fields []ui.Field) error {
	head := ui.Head{Up: c.up("operator.reports.title", reportsPath), Title: c.Say("operator.cases.new"), Lead: c.Say("operator.cases.new.lead")}
	form := ui.Form{Action: casesPath + "/new", Button: c.Say("operator.cases.new"), Cancel: c.CancelTo(reportsPath)}
	return c.Show(status, head.Title, page.FormPage(head, form, fields))
}

func (c *call) openCase() error {
	in, fields, ok := c.caseOf()
	if !ok {
		return c.casePage(http.StatusUnprocessableEntity, fields)
	}
	made, err := c.Staff.OpenCase(c.Context(), c.Actor, in)
	if err != nil {
		if c.blameCase(fields, err) {
			return c.casePage(http.StatusUnprocessableEntity, fields)
		}
		return err
	}
	return c.Redirect(casesPath + "/" + made.ID.String())
}

func (c *call) thisCase() (telamon.RevocationCase, error) {
	id, err := telamon.ParseCaseID(c.R.PathValue("id"))
	if err != nil {
		return telamon.RevocationCase{}, page.OrNotFound(err)
	}
	return c.Staff.Case(c.Context(), c.Actor, id)
}

// revocationCase serves GET /operator/cases/{id}.
func (c *call) revocationCase() error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	state := c.caseState(&k)
	head := ui.Head{Up: c.up("operator.reports.title", reportsPath), Title: categoryWords(c.Language(), k.Category), ID: k.ID.String(), State: &state}
	facts := []ui.Fact{
		c.fact("due", ui.Moment(k.DueAt)), c.fact("received", ui.Moment(k.ReportedAt)), c.fact("reporter", words(k.Reporter)), c.fact("certificates", c.serials(k.Serials)),
	}
	if k.ClosedAt.IsZero() {
		head.Act = &ui.Link{Text: c.Say("operator.cases.close"), URL: casesPath + "/" + k.ID.String() + "/close"}
	} else {
		facts = append(facts, c.fact("closed", ui.Moment(k.ClosedAt)), c.fact("by", ui.Words(k.ClosedBy)), c.fact("outcome", plain(k.Outcome)))
	}
	return c.detail(http.StatusOK, head, ui.Facts(facts), section(c.Say("operator.column.summary"), "", plain(k.Summary)))
}

func (c *call) askClose() error { return c.closePage("") }

func (c *call) closePage(problem string) error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	outcome := ui.Field{Name: "outcome", Label: c.Say("operator.column.outcome"), Hint: c.Say("operator.cases.close.hint"), Lines: 3, Max: 1000, Require: true, Value: c.R.PostFormValue("outcome"), Error: problem}
	keep := ui.Field{Name: "keep", Label: c.Say("operator.cases.keep"), Hint: c.Say("operator.cases.keep.hint"), Type: "checkbox", Value: "on"}
	return c.confirm(c.up("operator.cases.back", casesPath+"/"+k.ID.String()), c.Say("operator.cases.close.ask"), c.Say("operator.cases.close"),
		[]ui.Fact{c.fact("due", ui.Moment(k.DueAt)), c.fact("certificates", c.serials(k.Serials))}, []string{c.Say("operator.cases.close.effect")}, false, outcome, keep)
}

func (c *call) closeCase() error {
	k, err := c.thisCase()
	if err != nil {
		return err
	}
	_, err = c.Staff.CloseCase(c.Context(), c.Actor, k.ID, strings.TrimSpace(c.R.PostFormValue("outcome")), c.R.PostFormValue("keep") == "on")
	switch {
	case fault.Is(err, fault.Invalid):
		return c.closePage(c.Say("operator.reason.wrong"))
	case err != nil && fault.From(err).Code == "case_unrevoked":
		return c.closePage(c.Say("operator.cases.unrevoked"))
	case err != nil:
		return err
	}
	return c.Redirect(casesPath + "/" + k.ID.String())
}
