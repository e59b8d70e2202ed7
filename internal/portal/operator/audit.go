package operator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

func (p *Pages) auditRoutes(mux page.Router) {
	mux.HandleFunc("GET "+auditPath, p.person((*call).events))
	mux.HandleFunc("GET "+auditPath+"/{id}", p.person((*call).event))
}

// auditFilter reads what is asked for from an address. A day that cannot be read, an
// account that is none, and the like narrow the list to nothing by their error.
func auditFilter(q url.Values) (store.AuditFilter, error) {
	f := store.AuditFilter{
		Account: telamon.AccountID(q.Get("account")), Actor: q.Get("actor"), Action: q.Get("action"), Object: q.Get("q"), Result: q.Get("result"),
		After: telamon.EventID(q.Get("after")), Newest: true, Limit: page.PerPage,
	}
	for name, into := range map[string]*time.Time{"from": &f.From, "to": &f.To} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return f, fault.New(fault.Malformed, "day", "Days are written as 2026-11-30.")
		}
		*into = day
	}
	if !f.To.IsZero() {
		f.To = f.To.AddDate(0, 0, 1)
	}
	return f, nil
}

// events serves GET /operator/audit: what happened, of all accounts.
func (c *call) events() error {
	q := c.R.URL.Query()
	f, err := auditFilter(q)
	if err != nil {
		return err
	}
	found, err := c.Staff.Events(c.Context(), c.Actor, f)
	if err != nil {
		return err
	}
	names, err := c.actorNames(found.Events)
	if err != nil {
		return err
	}
	table := ui.Table{Label: c.Say("operator.audit.title"), Columns: c.columns("when", "action", "actor", "object", "result"), Empty: ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")}}
	for _, e := range found.Events {
		tone := ui.Good
		if e.Result != "ok" {
			tone = ui.Bad
		}
		table.Rows = append(table.Rows, ui.Row{URL: auditPath + "/" + e.ID.String(), Cells: page.Cells(
			ui.Moment(e.At), ui.Words(e.Action), page.Actor(c.Call, e.Actor, names), ui.ShortID(e.Object), ui.Status(ui.State{Tone: tone, Word: e.Result}))})
	}
	if found.Next != "" {
		q.Set("after", found.Next.String())
		table.Pager = &ui.Pager{First: min(1, int64(len(found.Events))), Last: int64(len(found.Events)), Total: -1, Next: auditPath + "?" + q.Encode()}
	}
	field := func(name string) ui.Field {
		return ui.Field{Name: name, Label: c.Say("operator.column." + name), Value: q.Get(name), Max: 200}
	}
	from, to := field("from_day"), field("to_day")
	from.Name, from.Type, from.Value, to.Name, to.Type, to.Value = "from", "date", q.Get("from"), "to", "date", q.Get("to")
	head := ui.Head{Title: c.Say("operator.audit.title"), Lead: c.Say("operator.audit.lead")}
	filter := ui.Filter{Action: auditPath, Search: q.Get("q"), Hint: c.Say("operator.column.object"), Target: "list",
		Fields: []ui.Field{field("action"), field("actor"), field("account"), field("result"), from, to}}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, true))
}

// actorNames returns the names of those who did something: of the accounts that it was
// done in, and of the CA's staff.
func (c *call) actorNames(events []*audit.Payload) (map[string]string, error) {
	actors := map[telamon.AccountID][]string{}
	for _, e := range events {
		actors[c.Account()] = append(actors[c.Account()], e.Actor)
		if e.Account != "" && e.Account != c.Account() {
			actors[e.Account] = append(actors[e.Account], e.Actor)
		}
	}
	names := map[string]string{}
	for account, who := range actors {
		found, err := c.IAM.AuditNames(c.Context(), c.Actor, account, who)
		if err != nil {
			return nil, err
		}
		for id, name := range found {
			if name != "" {
				names[id] = name
			}
		}
	}
	return names, nil
}

// diff lists the values that differ between two JSON texts.
func diff(before, after json.RawMessage) []page.Difference {
	return slices.DeleteFunc(page.Diff(before, after), func(d page.Difference) bool { return !d.Changed() })
}

// event serves GET /operator/audit/{id}: who, what, when, from where, what changed, and the
// proof that it is in the log.
func (c *call) event() error {
	p, err := c.Staff.Event(c.Context(), c.Actor, telamon.EventID(c.R.PathValue("id")), c.Verifier)
	if err != nil {
		return err
	}
	e := p.Event
	names, err := c.actorNames([]*audit.Payload{e})
	if err != nil {
		return err
	}
	facts := []ui.Fact{
		c.fact("when", ui.Moment(e.At)), c.fact("action", ui.Words(e.Action)), c.fact("actor", page.ActorWhole(c.Call, e.Actor, names, "")), c.fact("object", words(e.Object)),
		c.fact("account", words(e.Account.String())), c.fact("result", ui.Words(e.Result)), c.fact("request", words(e.RequestID)),
	}
	if e.Address.IsValid() {
		facts = append(facts, c.fact("from", ui.Words(e.Address.String())))
	}
	lines := diff(e.Before, e.After)
	changed := ui.Words("")
	if len(lines) > 0 {
		changed = section(c.Say("operator.audit.changed"), "", diffTable(c.Say("operator.column.before"), c.Say("operator.column.after"), lines))
	}
	head := ui.Head{Up: c.up("operator.audit.title", auditPath), Title: e.Action, ID: e.ID.String()}
	return c.detail(http.StatusOK, head, ui.Facts(facts), changed, section(c.Say("operator.audit.proof"), c.Say("operator.audit.proof.lead"), c.proof(p.Placed, p.Verified, p.Seq, p.Tree, p.Text, p.Proof)))
}

// proof says where an event is in the log, and whether that was proven.
func (c *call) proof(placed, verified bool, seq int64, tree audit.Tree, text []byte, proof string) templ.Component {
	if !placed {
		return notice(ui.Pending, c.Say("operator.audit.unplaced"), c.Say("operator.audit.unplaced.lead"))
	}
	said := notice(ui.Good, c.Say("operator.audit.verified"), c.Say("operator.audit.verified.lead"))
	if !verified {
		said = notice(ui.Bad, c.Say("operator.audit.unverified"), c.Say("operator.audit.unverified.do"))
	}
	facts := []ui.Fact{
		c.fact("place", ui.Words(strconv.FormatInt(seq, 10))), c.fact("tree", ui.Words(strconv.FormatInt(tree.Size, 10))), c.fact("root", ui.Identifier(tree.Root.String())),
	}
	return templ.Join(said, ui.Facts(facts), ui.CopyBlock(c.Say("operator.audit.text"), string(text)), ui.CopyBlock(c.Say("operator.audit.proof"), proof),
		download(c.Say("operator.audit.text.download"), page.DataURL("application/json", text), "event.json"),
		download(c.Say("operator.audit.proof.download"), page.DataURL("text/plain", []byte(proof)), "event.tlog-proof"))
}
