package operator

import (
	"cmp"
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

func (p *Pages) issuerRoutes(mux page.Router) {
	mux.HandleFunc("GET "+issuersPath, p.person((*call).issuers))
	mux.HandleFunc("GET "+issuersPath+"/{id}", p.person((*call).issuer))
	mux.HandleFunc("GET "+issuersPath+"/{id}/retire", p.person((*call).askRetire))
	mux.HandleFunc("POST "+issuersPath+"/{id}/retire", p.person((*call).retire))
	mux.HandleFunc("GET "+seriesPath+"/{name}/plan", p.person((*call).askPlan))
	mux.HandleFunc("POST "+seriesPath+"/{name}/plan", p.person((*call).plan))
	mux.HandleFunc("GET "+seriesPath+"/{name}/rotate", p.person((*call).askRotate))
	mux.HandleFunc("POST "+seriesPath+"/{name}/rotate", p.person((*call).rotate))
	mux.HandleFunc("GET "+seriesPath+"/{name}/schedule", p.person((*call).askSchedule))
	mux.HandleFunc("POST "+seriesPath+"/{name}/schedule", p.person((*call).schedule))
}

var issuerTones = map[telamon.IssuerStatus]ui.Tone{
	telamon.IssuerPlanned: ui.Pending, telamon.IssuerActive: ui.Good, telamon.IssuerRetired: ui.Off,
}

func (c *call) issuerState(i *telamon.Issuer) ui.State {
	switch {
	case i.Revoked:
		return ui.State{Tone: ui.Bad, Word: c.Say("state.revoked")}
	case !i.Certificate.NotAfter.After(c.Clock.Now()):
		return ui.State{Tone: ui.Off, Word: c.Say("operator.issuer.expired")}
	}
	return ui.State{Tone: issuerTones[i.Status], Word: c.Say("operator.issuer." + string(i.Status))}
}

// issuers serves GET /operator/issuers: series, issuers and what happens to them when.
func (c *call) issuers() error {
	ctx := c.Context()
	all, _, err := c.Staff.Issuers(ctx, c.Actor)
	if err != nil {
		return err
	}
	series, err := c.Life.Schedules(ctx, c.Actor)
	if err != nil {
		return err
	}
	names := map[telamon.IssuerID]string{}
	ofSeries := map[telamon.SeriesID]string{}
	for _, i := range all {
		names[i.ID] = i.Certificate.Subject.CommonName
	}
	lines := ui.Table{Label: c.Say("operator.issuers.series"), Columns: c.columns("series", "key_type", "rotation", "active", "waiting#", "next"),
		Empty: ui.Empty{Title: c.Say("operator.issuers.none"), Lead: c.Say("operator.issuers.none.lead")}}
	for _, s := range series {
		ofSeries[s.ID] = s.Name
		at := seriesPath + "/" + url.PathEscape(s.Name)
		lines.Rows = append(lines.Rows, ui.Row{
			Cells: page.Cells(ui.Words(s.Name), ui.Words(s.KeyType), ui.Words(c.rotationWord(s.Rotation)), words(names[s.Active]), ui.Words(strconv.Itoa(len(s.Waiting))), ui.Day(s.NextAt)),
			Acts: []ui.Link{{Text: c.Say("operator.series.plan"), URL: at + "/plan"}, {Text: c.Say("operator.series.rotate"), URL: at + "/rotate"},
				{Text: c.Say("operator.series.schedule"), URL: at + "/schedule"}},
		})
	}
	table := ui.Table{Label: c.Say("operator.issuers.title"), Columns: c.columns("name", "state", "role", "series", "key", "starts", "ends")}
	slices.SortStableFunc(all, func(a, b telamon.Issuer) int {
		return cmp.Or(cmp.Compare(a.Hierarchy, b.Hierarchy), -cmp.Compare(a.Role, b.Role), cmp.Compare(ofSeries[a.Series], ofSeries[b.Series]), b.ActivateAt.Compare(a.ActivateAt))
	})
	for n := range all {
		i := &all[n]
		table.Rows = append(table.Rows, ui.Row{URL: issuersPath + "/" + i.ID.String(), Cells: page.Cells(
			ui.Words(names[i.ID]), ui.Status(c.issuerState(i)), ui.Words(c.Say("operator.issuer.role."+string(i.Role))), words(ofSeries[i.Series]), ui.Words(page.KeyWords(i.Certificate)),
			ui.Day(i.ActivateAt), ui.Day(i.Certificate.NotAfter))})
	}
	return c.detail(http.StatusOK, ui.Head{Title: c.Say("operator.issuers.title"), Lead: c.Say("operator.issuers.lead")},
		section(c.Say("operator.issuers.series"), "", ui.DataTable(lines)),
		section(c.Say("operator.issuers.calendar"), c.Say("operator.issuers.calendar.lead"), ui.DataTable(c.calendar(all, series))),
		section(c.Say("operator.issuers.all"), "", ui.DataTable(table)))
}

func (c *call) rotationWord(r telamon.Rotation) string {
	switch r {
	case telamon.RotateQuarterly, telamon.RotateYearly:
		return c.Say("operator.rotation." + string(r))
	}
	return c.Say("operator.rotation.manual")
}

// An entry is one day of the calendar.
type entry struct {
	at   time.Time
	what string // of the messages
	name string
	url  string
}

// noticeDays are how many days before a switch people are told (requirement 91).
var noticeDays = []int{30, 7}

// calendarOf is what will happen to issuers, the first at the beginning.
func calendarOf(all []telamon.Issuer, series []lifecycle.Series, now time.Time) []entry {
	var days []entry
	add := func(at time.Time, what, name, link string) {
		if at.After(now) {
			days = append(days, entry{at, what, name, link})
		}
	}
	planned := map[telamon.SeriesID]bool{}
	for _, i := range all {
		name, link := i.Certificate.Subject.CommonName, issuersPath+"/"+i.ID.String()
		if i.ActivateAt.After(now) {
			planned[i.Series] = true
			add(i.ActivateAt, "activate", name, link)
			for _, days := range noticeDays {
				add(i.ActivateAt.AddDate(0, 0, -days), "notice", name, link)
			}
		}
		add(i.RetireAt, "retire", name, link)
		add(i.SignUntil, "sign_until", name, link)
		add(i.Certificate.NotAfter, "end", name, link)
	}
	for _, s := range series {
		if !planned[s.ID] {
			add(s.NextAt, "due", s.Name, seriesPath+"/"+url.PathEscape(s.Name)+"/plan")
			if !s.NextAt.IsZero() && s.LeadDays > 0 {
				add(s.NextAt.AddDate(0, 0, -s.LeadDays), "make", s.Name, seriesPath+"/"+url.PathEscape(s.Name)+"/plan")
			}
		}
	}
	slices.SortStableFunc(days, func(a, b entry) int { return a.at.Compare(b.at) })
	return days
}

func (c *call) calendar(all []telamon.Issuer, series []lifecycle.Series) ui.Table {
	table := ui.Table{Label: c.Say("operator.issuers.calendar"), Columns: c.columns("when", "what", "name"),
		Empty: ui.Empty{Title: c.Say("operator.issuers.calendar.empty"), Lead: c.Say("operator.issuers.calendar.empty.lead")}}
	for _, e := range calendarOf(all, series, c.Clock.Now()) {
		table.Rows = append(table.Rows, ui.Row{Cells: page.Cells(ui.Moment(e.at), ui.Words(c.Say("operator.calendar."+e.what)), linked(e.name, e.url))})
	}
	return table
}

func (c *call) thisIssuer() (*telamon.Issuer, string, error) {
	id, err := telamon.ParseIssuerID(c.R.PathValue("id"))
	if err != nil {
		return nil, "", page.OrNotFound(err)
	}
	all, series, err := c.Staff.Issuers(c.Context(), c.Actor)
	if err != nil {
		return nil, "", err
	}
	for n := range all {
		if i := &all[n]; i.ID == id {
			name := ""
			for _, s := range series {
				if s.ID == i.Series {
					name = s.Name
				}
			}
			return i, name, nil
		}
	}
	return nil, "", page.ErrNotFound
}

// issuer serves GET /operator/issuers/{id}.
func (c *call) issuer() error {
	i, series, err := c.thisIssuer()
	if err != nil {
		return err
	}
	state := c.issuerState(i)
	head := ui.Head{Up: c.up("operator.issuers.title", issuersPath), Title: i.Certificate.Subject.CommonName, ID: i.ID.String(), State: &state}
	if i.Role == telamon.RoleIssuing && i.Status != telamon.IssuerRetired && c.May(authz.IssuerRetire) {
		head.Quiet = []ui.Link{{Text: c.Say("operator.issuer.retire"), URL: issuersPath + "/" + i.ID.String() + "/retire"}}
	}
	x := i.Certificate
	facts := []ui.Fact{
		c.fact("subject", ui.Words(x.Subject.String())), c.fact("role", ui.Words(c.Say("operator.issuer.role."+string(i.Role)))), c.fact("series", words(series)),
		c.fact("key", ui.Words(page.KeyWords(x))), c.fact("serial", ui.Identifier(x.SerialNumber.Text(16))), c.fact("activates", ui.Moment(i.ActivateAt)),
		c.fact("retires", ui.MomentIf(i.RetireAt)), c.fact("signs_until", ui.MomentIf(i.SignUntil)), c.fact("not_before", ui.Moment(x.NotBefore)), c.fact("ends", ui.Moment(x.NotAfter)),
		c.fact("shards", ui.Words(strconv.Itoa(i.CRLShards))),
	}
	return c.detail(http.StatusOK, head, ui.Certificate(ui.CertificateView{Chain: chainCards(c, x), Facts: facts, PEM: page.PEM(x), Hex: page.HexLines(x.Raw)}))
}

func chainCards(c *call, x *x509.Certificate) []ui.Card {
	return []ui.Card{
		{Role: c.Say("operator.column.signed_by"), Name: x.Issuer.CommonName, Detail: x.Issuer.String()},
		{Role: c.Say("operator.column.certificate"), Name: x.Subject.CommonName, Detail: ui.Date(x.NotAfter), Current: true},
	}
}

func (c *call) askRetire() error {
	i, _, err := c.thisIssuer()
	if err != nil {
		return err
	}
	tokens := ui.Field{Name: "end_tokens", Label: c.Say("operator.issuer.retire.tokens"), Hint: c.Say("operator.issuer.retire.tokens.hint"), Type: "checkbox", Value: "on"}
	alone := ui.Field{Name: "no_successor", Label: c.Say("operator.issuer.retire.alone"), Hint: c.Say("operator.issuer.retire.alone.hint"), Type: "checkbox", Value: "on"}
	return c.confirm(c.up("operator.issuer.back", issuersPath+"/"+i.ID.String()), c.Say("operator.issuer.retire.ask", "name", i.Certificate.Subject.CommonName), c.Say("operator.issuer.retire"),
		[]ui.Fact{c.fact("subject", ui.Words(i.Certificate.Subject.String())), c.fact("ends", ui.Moment(i.Certificate.NotAfter))},
		[]string{c.Say("operator.issuer.retire.effect"), c.Say("operator.two")}, true, tokens, alone)
}

func (c *call) retire() error {
	i, _, err := c.thisIssuer()
	if err != nil {
		return err
	}
	body := map[string]bool{"end_tokens": c.R.PostFormValue("end_tokens") == "on", "no_successor": c.R.PostFormValue("no_successor") == "on", "dry_run": true}
	path := "/issuers/" + i.ID.String() + "/retire"
	if _, err := c.Acts.Act(c.Context(), c.Actor, http.MethodPost, path, body); err != nil { // what cannot be done is not asked of a second person
		return err
	}
	body["dry_run"] = false
	return c.act(http.MethodPost, path, body, issuersPath+"/"+i.ID.String())
}

// thisSeries returns the series of the address.
func (c *call) thisSeries() (lifecycle.Series, error) {
	all, err := c.Life.Schedules(c.Context(), c.Actor)
	if err != nil {
		return lifecycle.Series{}, err
	}
	for _, s := range all {
		if s.Name == c.R.PathValue("name") {
			return s, nil
		}
	}
	return lifecycle.Series{}, page.ErrNotFound
}

func seriesAct(s lifecycle.Series, verb string) string {
	return "/series/" + url.PathEscape(s.Name) + "/" + verb
}

func (c *call) askPlan() error {
	s, err := c.thisSeries()
	if err != nil {
		return err
	}
	ahead := ui.Field{Name: "ahead", Label: c.Say("operator.plan.ahead"), Hint: c.Say("operator.plan.ahead.hint"), Type: "number", Value: "1", Narrow: true, First: "1", Last: "12"}
	return c.confirm(c.up("operator.issuers.title", issuersPath), c.Say("operator.plan.ask", "name", s.Name), c.Say("operator.series.plan"),
		[]ui.Fact{c.fact("rotation", ui.Words(c.rotationWord(s.Rotation))), c.fact("waiting", ui.Words(strconv.Itoa(len(s.Waiting)))), c.fact("next", ui.Moment(s.NextAt))},
		[]string{c.Say("operator.plan.effect"), c.Say("operator.two")}, false, ahead)
}

func (c *call) plan() error {
	s, err := c.thisSeries()
	if err != nil {
		return err
	}
	ahead, err := strconv.Atoi(c.R.PostFormValue("ahead"))
	if err != nil {
		return fault.New(fault.Invalid, "ahead", c.Say("operator.plan.ahead.hint"))
	}
	body := map[string]any{"series": s.Name, "ahead": ahead, "dry_run": true}
	if _, err := c.Acts.Act(c.Context(), c.Actor, http.MethodPost, "/issuers/plan", body); err != nil {
		return err
	}
	delete(body, "dry_run")
	return c.act(http.MethodPost, "/issuers/plan", body, issuersPath)
}

func (c *call) askRotate() error {
	s, err := c.thisSeries()
	if err != nil {
		return err
	}
	at := ui.Field{Name: "at", Label: c.Say("operator.rotate.at"), Hint: c.Say("operator.rotate.at.hint"), Type: "date", Narrow: true, First: ui.Date(c.Clock.Now().AddDate(0, 0, 1))}
	now := ui.Field{Name: "now", Label: c.Say("operator.rotate.now"), Hint: c.Say("operator.rotate.now.hint"), Type: "checkbox", Value: "on"}
	return c.confirm(c.up("operator.issuers.title", issuersPath), c.Say("operator.rotate.ask", "name", s.Name), c.Say("operator.series.rotate"),
		[]ui.Fact{c.fact("rotation", ui.Words(c.rotationWord(s.Rotation))), c.fact("next", ui.Moment(s.NextAt))},
		[]string{c.Say("operator.rotate.effect"), c.Say("operator.two")}, true, at, now)
}

func (c *call) rotate() error {
	s, err := c.thisSeries()
	if err != nil {
		return err
	}
	body := map[string]any{"now": c.R.PostFormValue("now") == "on", "dry_run": true}
	if text := c.R.PostFormValue("at"); text != "" {
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return fault.New(fault.Invalid, "rotate_at", c.Say("operator.rotate.at.hint"))
		}
		body["at"] = at
	}
	if _, err := c.Acts.Act(c.Context(), c.Actor, http.MethodPost, seriesAct(s, "rotate"), body); err != nil {
		return err
	}
	delete(body, "dry_run")
	return c.act(http.MethodPost, seriesAct(s, "rotate"), body, issuersPath)
}

func (c *call) askSchedule() error {
	s, err := c.thisSeries()
	if err != nil {
		return err
	}
	rotation := ui.Field{Name: "rotation", Label: c.Say("operator.column.rotation"), Value: string(s.Rotation)}
	for _, r := range []telamon.Rotation{telamon.RotateQuarterly, telamon.RotateYearly, telamon.RotateManually} {
		rotation.Options = append(rotation.Options, ui.Option{Value: string(r), Text: c.rotationWord(r)})
	}
	lead := ui.Field{Name: "lead", Label: c.Say("operator.schedule.lead"), Hint: c.Say("operator.schedule.lead.hint"), Type: "number", Narrow: true, Value: strconv.Itoa(s.LeadDays)}
	leaf := ui.Field{Name: "leaf", Label: c.Say("operator.schedule.leaf"), Hint: c.Say("operator.schedule.leaf.hint"), Type: "number", Narrow: true, Value: strconv.Itoa(s.LeafDays)}
	return c.confirm(c.up("operator.issuers.title", issuersPath), c.Say("operator.schedule.ask", "name", s.Name), c.Say("operator.series.schedule"),
		[]ui.Fact{c.fact("next", ui.Moment(s.NextAt))}, []string{c.Say("operator.schedule.effect"), c.Say("operator.two")}, false, rotation, lead, leaf)
}

func (c *call) schedule() error {
	s, err := c.thisSeries()
	if err != nil {
		return err
	}
	lead, err := strconv.Atoi(c.R.PostFormValue("lead"))
	leaf, leafErr := strconv.Atoi(c.R.PostFormValue("leaf"))
	if err != nil || leafErr != nil {
		return fault.New(fault.Invalid, "ahead", c.Say("operator.schedule.numbers"))
	}
	body := map[string]any{"rotation": c.R.PostFormValue("rotation"), "lead_days": lead, "leaf_days": leaf, "dry_run": true}
	if _, err := c.Acts.Act(c.Context(), c.Actor, http.MethodPost, seriesAct(s, "schedule"), body); err != nil {
		return err
	}
	delete(body, "dry_run")
	return c.act(http.MethodPost, seriesAct(s, "schedule"), body, issuersPath)
}
