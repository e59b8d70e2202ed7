package members

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// auditRoutes are the pages of what happened in the account.
func (p *Pages) auditRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.AuditPath, p.person((*call).audit))
	mux.HandleFunc("GET "+page.AuditPath+".csv", p.person((*call).auditCSV))
	mux.HandleFunc("GET "+page.AuditPath+".jsonl", p.person((*call).auditLines))
	mux.HandleFunc("GET "+page.AuditPath+"/{id}", p.person((*call).auditEvent))
	mux.HandleFunc("GET "+page.AuditPath+"/{id}/proof.json", p.person((*call).auditProof))
}

// auditScan is how many events a page looks at for those that a filter asks for.
const auditScan = 5000

// auditFilter is what the address asks for, of the whole list.
func (c *call) auditFilter() (store.AuditFilter, error) {
	q := c.R.URL.Query()
	f := store.AuditFilter{
		Account: c.Account(), Action: strings.TrimSpace(q.Get("action")), Object: strings.TrimSpace(q.Get("object")), Failed: q.Get("result") == "failed",
		From: day(q.Get("from")), To: day(q.Get("to")),
	}
	if !f.To.IsZero() {
		f.To = f.To.AddDate(0, 0, 1) // that day too
	}
	if q.Get("result") == "ok" {
		f.Result = "ok"
	}
	who := strings.TrimSpace(q.Get("actor"))
	f.Actor = who
	if who == "" || !c.May(authz.UserRead) {
		return f, nil
	}
	if _, err := telamon.ParseUserID(who); err == nil {
		return f, nil
	}
	people, err := c.signin.Members(c.Context(), c.Actor, c.Account(), store.MemberFilter{Search: who, Page: store.Page{Limit: 1}})
	if err == nil && len(people) > 0 {
		f.Actor = people[0].ID.String()
	}
	return f, err
}

// day reads a date as its first instant, zero for what is none.
func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// audit serves GET /audit.
func (c *call) audit() error {
	f, err := c.auditFilter()
	if err != nil {
		return err
	}
	q := c.R.URL.Query()
	f.Newest, f.After, f.Limit, f.Scan = true, telamon.EventID(q.Get("after")), page.PerPage, auditScan
	list, err := c.iam.AuditEvents(c.Context(), c.Actor, f)
	if err != nil && fault.From(err).Code == "event_id" {
		return page.ErrNotFound
	}
	if err != nil {
		return err
	}
	names, err := c.actorNames(list.Events)
	if err != nil {
		return err
	}
	table := ui.Table{
		Label: c.Say("audit.title"), CSV: page.AuditPath + ".csv?" + q.Encode(),
		Empty:   ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")},
		Columns: []ui.Column{{Name: c.Say("audit.at")}, {Name: c.Say("audit.action")}, {Name: c.Say("audit.actor")}, {Name: c.Say("audit.object")}, {Name: c.Say("audit.result")}},
	}
	for _, e := range list.Events {
		table.Rows = append(table.Rows, ui.Row{URL: page.AuditPath + "/" + e.ID.String(), Cells: page.Cells(
			ui.Moment(e.At), code(e.Action), page.Actor(c.Call, e.Actor, names), ui.ShortID(e.Object), ui.Status(c.result(e)))})
	}
	n := int64(len(list.Events))
	table.Pager = &ui.Pager{First: min(1, n), Last: n, Total: n}
	if f.After != "" {
		table.Pager.Previous, table.Pager.Total = page.Address(page.AuditPath, q, "after", ""), -1
	}
	further := ""
	if list.Next != "" {
		table.Pager.Total = -1
		further = page.Address(page.AuditPath, q, "after", list.Next.String())
		if n == page.PerPage {
			table.Pager.Next, further = further, ""
		}
	}
	head := ui.Head{Title: c.Say("audit.title"), Lead: c.Say("audit.lead"), Quiet: []ui.Link{{Text: c.Say("audit.jsonl"), URL: page.AuditPath + ".jsonl?" + q.Encode()}}}
	return c.Show(http.StatusOK, head.Title, auditPage(head, c.auditFields(q), table, further, c.scanned(list.Next)))
}

// scanned says how far back a page has looked.
func (c *call) scanned(next telamon.EventID) string {
	id, ok := next.Bytes()
	if !ok {
		return ""
	}
	return c.Say("audit.further", "n", c.Language().Count(auditScan), "at", ui.UTC(audit.EventTime(id)))
}

// auditFields are the filters of the list.
func (c *call) auditFields(q url.Values) []ui.Field {
	return []ui.Field{
		{Name: "from", Label: c.Say("audit.from"), Type: "date", Value: q.Get("from"), Narrow: true},
		{Name: "to", Label: c.Say("audit.to"), Type: "date", Value: q.Get("to"), Narrow: true},
		{Name: "actor", Label: c.Say("audit.actor"), Value: q.Get("actor"), Max: 254},
		{Name: "action", Label: c.Say("audit.action"), Value: q.Get("action"), Max: 64, Code: true},
		{Name: "object", Label: c.Say("audit.object"), Value: q.Get("object"), Max: 128, Code: true},
		{Name: "result", Label: c.Say("audit.result"), Value: q.Get("result"), Options: []ui.Option{
			{Text: c.Say("list.any")}, {Value: "ok", Text: c.Say("audit.ok")}, {Value: "failed", Text: c.Say("audit.failed")},
		}},
	}
}

// actorNames returns the names of the users among those who did something.
func (c *call) actorNames(events []*audit.Payload) (map[string]string, error) {
	var actors []string
	for _, e := range events {
		actors = append(actors, e.Actor)
	}
	return c.iam.AuditNames(c.Context(), c.Actor, c.Account(), actors)
}

// result is how something ended.
func (c *call) result(e *audit.Payload) ui.State {
	if e.Result == "ok" {
		return ui.State{Tone: ui.Good, Word: c.Say("audit.ok")}
	}
	return ui.State{Tone: ui.Bad, Word: c.Say("audit.failed"), Reason: e.Result}
}

// auditEvents gives the whole list, the oldest first, a page at a time.
func (c *call) auditEvents(f store.AuditFilter) iter.Seq2[*audit.Payload, error] {
	return func(yield func(*audit.Payload, error) bool) {
		control := http.NewResponseController(c.W)
		for {
			// A long list takes as long as its reader does; one who has gone does not.
			_ = control.SetWriteDeadline(time.Now().Add(time.Minute))
			list, err := c.iam.AuditEvents(c.Context(), c.Actor, f)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range list.Events {
				if !yield(e, nil) {
					return
				}
			}
			if f.After = list.Next; f.After == "" {
				return
			}
		}
	}
}

// auditCSV serves GET /audit.csv.
func (c *call) auditCSV() error {
	f, err := c.auditFilter()
	if err != nil {
		return err
	}
	return c.CSV("audit", []string{"id", "at", "actor", "address", "action", "object", "result", "request_id", "before", "after"}, func(yield func([]string, error) bool) {
		for e, err := range c.auditEvents(f) {
			if err != nil {
				yield(nil, err)
				return
			}
			address := ""
			if e.Address.IsValid() {
				address = e.Address.String()
			}
			if !yield([]string{
				e.ID.String(), e.At.Format(time.RFC3339Nano), e.Actor, address, e.Action, e.Object, e.Result, e.RequestID, string(e.Before), string(e.After),
			}, nil) {
				return
			}
		}
	})
}

// auditLines serves GET /audit.jsonl: the octets of each event, a line for each, as the log
// has them. A list that could not be read to its end is cut off.
func (c *call) auditLines() error {
	f, err := c.auditFilter()
	if err != nil {
		return err
	}
	begun := false
	for e, err := range c.auditEvents(f) {
		if err != nil && !begun {
			return err
		}
		if err != nil {
			c.Log.ErrorContext(c.Context(), "a file ended early", "route", c.R.Pattern, "error", err)
			panic(http.ErrAbortHandler)
		}
		if !begun {
			c.linesHeader()
			begun = true
		}
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode %s: %w", e.ID, err)
		}
		if _, err := c.W.Write(append(line, '\n')); err != nil {
			return nil // nobody reads any more
		}
	}
	if !begun {
		c.linesHeader()
	}
	return nil
}

func (c *call) linesHeader() {
	c.W.Header().Set("Content-Type", "application/jsonl; charset=utf-8")
	c.W.Header().Set("Content-Disposition", `attachment; filename="audit.jsonl"`)
}

// thisEvent returns the event of the address.
func (c *call) thisEvent() (telamon.EventID, *audit.Payload, error) {
	id, err := telamon.ParseEventID(c.R.PathValue("id"))
	if err != nil {
		return "", nil, page.OrNotFound(err)
	}
	e, err := c.iam.AuditEvent(c.Context(), c.Actor, c.Account(), id)
	return id, e, err
}

// auditEvent serves GET /audit/{id}.
func (c *call) auditEvent() error {
	id, e, err := c.thisEvent()
	if err != nil {
		return err
	}
	names, err := c.actorNames([]*audit.Payload{e})
	if err != nil {
		return err
	}
	state := c.result(e)
	head := ui.Head{Up: &ui.Link{Text: c.Say("audit.title"), URL: page.AuditPath}, Title: e.Action, ID: id.String(), State: &state}
	head.Lead, head.State.Reason = state.Reason, ""
	member := ""
	if _, err := telamon.ParseUserID(e.Actor); err == nil && c.May(authz.UserRead) {
		member = page.MembersPath + "/" + e.Actor
	}
	facts := []ui.Fact{{Key: c.Say("audit.at"), Value: ui.Moment(e.At)}, {Key: c.Say("audit.actor"), Value: page.ActorWhole(c.Call, e.Actor, names, member)}}
	if e.Address.IsValid() {
		facts = append(facts, ui.Fact{Key: c.Say("audit.address"), Value: code(e.Address.String())})
	}
	if e.Object != "" {
		facts = append(facts, ui.Fact{Key: c.Say("audit.object"), Value: ui.Identifier(e.Object)},
			ui.Fact{Key: c.Say("audit.more"), Value: linkTo(page.AuditPath+"?"+url.Values{"object": {e.Object}}.Encode(), c.Say("audit.same_object"))})
	}
	if e.RequestID != "" {
		facts = append(facts, ui.Fact{Key: c.Say("audit.request"), Value: code(e.RequestID)})
	}
	diff := ui.Table{
		Label:   c.Say("audit.diff"),
		Columns: []ui.Column{{Name: c.Say("audit.field")}, {Name: c.Say("audit.before")}, {Name: c.Say("audit.after")}},
	}
	for _, d := range page.Diff(e.Before, e.After) {
		diff.Rows = append(diff.Rows, ui.Row{Cells: page.Cells(code(d.Path), changed(d.Before, d.Changed()), changed(d.After, d.Changed()))})
	}
	return c.Show(http.StatusOK, e.Action, eventPage(head, facts, diff, page.AuditPath+"/"+id.String()+"/proof.json"))
}

// auditProof serves GET /audit/{id}/proof.json.
func (c *call) auditProof() error {
	id, _, err := c.thisEvent()
	if err != nil {
		return err
	}
	proof, err := c.iam.AuditProof(c.Context(), c.Actor, c.Account(), id)
	if err != nil {
		return err
	}
	body, err := json.MarshalIndent(map[string]any{
		"event": string(proof.Payload), "seq": proof.Seq, "proof": audit.InclusionText(proof.Seq, proof.Proof, proof.Checkpoint),
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode a proof: %w", err)
	}
	c.W.Header().Set("Content-Type", "application/json")
	c.W.Header().Set("Content-Disposition", `attachment; filename="`+id.String()+`.proof.json"`)
	c.W.Write(append(body, '\n')) // a client that has gone needs no answer
	return nil
}
