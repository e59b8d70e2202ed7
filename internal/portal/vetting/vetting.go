// Package vetting serves the pages of the CA's vetting agents: the queue of cases, and each
// case with its evidence, its checklist and the decision.
//
// It holds no rules: package vetting of the use cases has them. Files of evidence are sent
// as they are, to be saved and not to be shown: no browser runs what is in them.
package vetting

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/vetting"
)

// Pages serves the pages.
type Pages struct {
	shell   *page.Shell
	vetting *vetting.Vetting
	iam     *iam.IAM
}

// New returns the pages.
func New(shell *page.Shell, vetting *vetting.Vetting, iam *iam.IAM) *Pages {
	return &Pages{shell: shell, vetting: vetting, iam: iam}
}

// Routes adds the pages to a router.
func (p *Pages) Routes(mux page.Router) {
	const one = page.VettingPath + "/{case}"
	mux.HandleFunc("GET "+page.VettingPath, p.agent((*call).queue))
	mux.HandleFunc("GET "+one, p.agent((*call).show))
	mux.HandleFunc("POST "+one+"/evidence", p.agent((*call).keep))
	mux.HandleFunc("GET "+one+"/evidence/{file}", p.agent((*call).evidence))
	mux.HandleFunc("GET "+one+"/checks/new", p.agent((*call).askCheck))
	mux.HandleFunc("POST "+one+"/checks/new", p.agent((*call).record))
	mux.HandleFunc("POST "+one+"/checks/{check}/strike", p.agent((*call).strike))
	for verb := range decisions {
		mux.HandleFunc("GET "+one+"/"+verb, p.agent(func(c *call) error { return c.askDecision(verb) }))
		mux.HandleFunc("POST "+one+"/"+verb, p.agent(func(c *call) error { return c.decide(verb) }))
	}
}

// A call is one request of a vetting agent.
type call struct {
	*page.Call
	*Pages
}

// agent is a handler for vetting agents: to others there is nothing at the address.
func (p *Pages) agent(h func(*call) error) http.HandlerFunc {
	return p.shell.Person(func(c *page.Call) error {
		if !c.May(authz.VettingRead) {
			return page.ErrNotFound
		}
		return h(&call{c, p})
	})
}

// casePath is the page of a case.
func casePath(id telamon.VettingCaseID) string { return page.VettingPath + "/" + id.String() }

// states are the tone and the message of each state of a case, and stateOrder the order in
// which they are offered.
var (
	states = map[telamon.VettingState]ui.State{
		telamon.VettingQueued:    {Tone: ui.Pending, Word: "vetting.state.queued"},
		telamon.VettingProcessed: {Tone: ui.Pending, Word: "vetting.state.processed"},
		telamon.VettingApproved:  {Tone: ui.Good, Word: "vetting.state.approved"},
		telamon.VettingRejected:  {Tone: ui.Bad, Word: "vetting.state.rejected"},
		telamon.VettingClosed:    {Tone: ui.Off, Word: "vetting.state.closed"},
	}
	stateOrder = []telamon.VettingState{
		telamon.VettingQueued, telamon.VettingProcessed, telamon.VettingApproved, telamon.VettingRejected, telamon.VettingClosed,
	}
)

func (c *call) stateOf(s telamon.VettingState) ui.State {
	state := states[s]
	state.Word = c.Say(state.Word)
	return state
}

// mine is the value of the filter that leaves the agent's own cases alone.
const mine = "mine"

// queue serves GET /operator/vetting: the cases of a state, the oldest first.
func (c *call) queue() error {
	q := c.R.URL.Query()
	counts, err := c.vetting.Counts(c.R.Context(), c.Actor)
	if err != nil {
		return err
	}
	state := telamon.VettingState(q.Get("state"))
	if states[state].Word == "" {
		state = telamon.VettingQueued
	}
	after, _ := strconv.ParseInt(q.Get("after"), 10, 64)
	list, next, err := c.found(state, q.Get("who") == mine, strings.TrimSpace(q.Get("q")), after)
	if err != nil {
		return err
	}
	table := ui.Table{
		Label: c.Say("vetting.title"), Empty: ui.Empty{Title: c.Say("vetting.empty"), Lead: c.Say("vetting.empty.do")},
		Columns: []ui.Column{
			{Name: c.Say("vetting.case")}, {Name: c.Say("vetting.opened")}, {Name: c.Say("vetting.account")}, {Name: c.Say("vetting.identity")},
			{Name: c.Say("vetting.type")}, {Name: c.Say("vetting.state")},
		},
	}
	for _, one := range list {
		table.Rows = append(table.Rows, ui.Row{URL: casePath(one.ID), Cells: page.Cells(
			ui.Words(one.Reference()), ui.Day(one.OpenedAt), ui.Words(one.AccountName), ui.Words(one.IdentityName),
			ui.Words(c.typeWords(one.IdentityType, one.Again)), ui.Status(c.stateOf(one.State)))})
	}
	if next != 0 || after != 0 {
		first := int64(len(table.Rows))
		table.Pager = &ui.Pager{First: min(1, first), Last: first, Total: -1}
		if next != 0 {
			q.Set("after", strconv.FormatInt(next, 10))
			table.Pager.Next = page.VettingPath + "?" + q.Encode()
		}
	}
	byState := ui.Field{Name: "state", Label: c.Say("vetting.state"), Value: string(state)}
	for _, s := range stateOrder {
		byState.Options = append(byState.Options, ui.Option{Value: string(s), Text: c.Say(states[s].Word) + " (" + c.Language().Count(counts[s]) + ")"})
	}
	whose := ui.Field{Name: "who", Label: c.Say("vetting.whose"), Value: q.Get("who"), Options: []ui.Option{
		{Text: c.Say("vetting.whose.all")}, {Value: mine, Text: c.Say("vetting.whose.mine")},
	}}
	head := ui.Head{Title: c.Say("vetting.title"), Lead: c.Say("vetting.lead")}
	filter := ui.Filter{Action: page.VettingPath, Search: q.Get("q"), Hint: c.Say("vetting.search"), Target: "list", Fields: []ui.Field{byState, whose}}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, true))
}

// maxPages bounds how many parts of the queue a search reads.
const maxPages = 10

// found returns the cases that the filter leaves, and the number to go on from, 0 at the
// end. A search reads on until something is found.
func (c *call) found(state telamon.VettingState, own bool, search string, after int64) (list []store.QueuedCase, next int64, err error) {
	for range maxPages {
		part, on, err := c.vetting.Queue(c.R.Context(), c.Actor, state, own, after)
		if err != nil {
			return nil, 0, err
		}
		for _, one := range part {
			text := one.Reference() + " " + one.AccountName + " " + one.IdentityName + " " + one.Data
			if strings.Contains(strings.ToLower(text), strings.ToLower(search)) {
				list = append(list, one)
			}
		}
		if next = on; next == 0 || search == "" || len(list) > 0 {
			break
		}
		after = next
	}
	return list, next, nil
}

// typeWords says of which type an identity is, and whether it was vetted before.
func (c *call) typeWords(t telamon.IdentityType, again bool) string {
	words := c.Say("identity.type.operator")
	if t != "" {
		words = c.Say("identity.type." + string(t))
	}
	if again {
		words = c.Say("vetting.again", "type", words)
	}
	return words
}
