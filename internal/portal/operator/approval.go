package operator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

func (p *Pages) approvalRoutes(mux page.Router) {
	mux.HandleFunc("GET "+approvalsPath, p.person((*call).approvals))
	mux.HandleFunc("GET "+approvalsPath+"/{id}", p.person((*call).approval))
	mux.HandleFunc("POST "+approvalsPath+"/{id}/approve", p.person(func(c *call) error { return c.decide(true) }))
	mux.HandleFunc("POST "+approvalsPath+"/{id}/reject", p.person(func(c *call) error { return c.decide(false) }))
}

var proposalTones = map[telamon.ProposalState]ui.Tone{
	telamon.ProposalPending: ui.Warn, telamon.ProposalBegun: ui.Pending, telamon.ProposalExecuted: ui.Good,
	telamon.ProposalRejected: ui.Off, telamon.ProposalExpired: ui.Off,
}

func (c *call) proposalState(p *telamon.Proposal) ui.State {
	state := ui.State{Tone: proposalTones[p.State], Word: c.Say("operator.approval." + string(p.State))}
	if p.State == telamon.ProposalExecuted && p.Outcome != "ok" {
		state = ui.State{Tone: ui.Bad, Word: c.Say("operator.approval.failed"), Reason: p.Outcome}
	}
	return state
}

// approvals serves GET /operator/approvals: the acts that wait for a second person, and
// those that had one.
func (c *call) approvals() error {
	list, err := c.Staff.Proposals(c.Context(), c.Actor, store.Page{Limit: page.MaxRows})
	if err != nil {
		return err
	}
	slices.Reverse(list)
	waiting, err := c.Staff.PendingProposals(c.Context(), c.Actor)
	if err != nil {
		return err
	}
	list = ahead(waiting, list, func(p *telamon.Proposal) telamon.ApprovalID { return p.ID })
	slices.SortStableFunc(list, func(a, b telamon.Proposal) int {
		waits := func(p *telamon.Proposal) int {
			if p.State == telamon.ProposalPending {
				return 0
			}
			return 1
		}
		return waits(&a) - waits(&b)
	})
	part, pager := page.PageOf(list, c.R.URL.Query(), approvalsPath)
	table := ui.Table{Label: c.Say("operator.approvals.title"), Pager: pager, Columns: c.columns("act", "state", "asked_by", "asked", "expires"),
		Empty: ui.Empty{Title: c.Say("operator.approvals.empty"), Lead: c.Say("operator.approvals.empty.lead")}}
	for i := range part {
		p := &part[i]
		table.Rows = append(table.Rows, ui.Row{URL: approvalsPath + "/" + p.ID.String(), Cells: page.Cells(
			ui.Words(sentence(p.Summary)), ui.Status(c.proposalState(p)), ui.Words(c.personName(p.RequestedBy, p)), ui.Day(p.CreatedAt), ui.Day(p.ExpiresAt))})
	}
	head := ui.Head{Title: c.Say("operator.approvals.title"), Lead: c.Say("operator.approvals.lead")}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, ui.Filter{}, table, false))
}

// sentence is a text that begins with a capital letter.
func sentence(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[n:]
}

// personName is the name of who asked for or decided something, as far as it is known here.
func (c *call) personName(by string, p *telamon.Proposal) string {
	id, err := telamon.ParseUserID(by)
	if err != nil {
		return by
	}
	account := c.Account()
	if id == p.User {
		account = p.Account
	}
	user, err := c.IAM.User(c.Context(), c.Actor, account, id)
	if err != nil {
		return by
	}
	return user.Name
}

func (c *call) thisProposal() (telamon.Proposal, error) {
	id, err := telamon.ParseApprovalID(c.R.PathValue("id"))
	if err != nil {
		return telamon.Proposal{}, page.OrNotFound(err)
	}
	return c.Staff.Proposal(c.Context(), c.Actor, id)
}

// exact is a request as people can read it, all of it.
func exact(request []byte) string {
	var in struct {
		Method string `json:"method"`
		Path   string `json:"path"`
		Body   string `json:"body"`
	}
	if err := json.Unmarshal(request, &in); err != nil {
		return string(request)
	}
	var body bytes.Buffer
	if json.Indent(&body, []byte(in.Body), "", "  ") != nil {
		body.Reset()
		body.WriteString(in.Body)
	}
	return in.Method + " " + in.Path + "\n\n" + body.String()
}

// approval serves GET /operator/approvals/{id}: the exact act, and what can be decided.
func (c *call) approval() error { return c.approvalPage(http.StatusOK, "") }

func (c *call) approvalPage(status int, problem string) error {
	p, err := c.thisProposal()
	if err != nil {
		return err
	}
	state := c.proposalState(&p)
	head := ui.Head{Up: c.up("operator.approvals.title", approvalsPath), Title: sentence(p.Summary), ID: p.ID.String(), State: &ui.State{Tone: state.Tone, Word: state.Word}}
	facts := []ui.Fact{
		c.fact("action", ui.Identifier(p.Action)), c.fact("asked_by", ui.Words(c.personName(p.RequestedBy, &p))), c.fact("asked", ui.Moment(p.CreatedAt)),
		c.fact("expires", ui.Moment(p.ExpiresAt)), c.fact("sha256", ui.ShortID(p.Hash())),
	}
	if p.DecidedBy != "" {
		facts = append(facts, c.fact("decided_by", ui.Words(c.personName(p.DecidedBy, &p))), c.fact("decided", ui.Moment(p.DecidedAt)), c.fact("reason", words(p.Reason)), c.fact("outcome", words(p.Outcome)))
	}
	body := ui.CopyBlock(c.Say("operator.approval.exact"), exact(p.Request))
	if p.State != telamon.ProposalPending {
		return c.detail(status, head, ui.Facts(facts), body)
	}
	here := approvalsPath + "/" + p.ID.String()
	reason := c.reasonField("operator.approval.reason.hint")
	reason.Require, reason.Error = false, problem
	hidden := []ui.Option{{Value: "sha256", Text: p.Hash()}}
	reject := reason
	reject.Error = ""
	if p.User == c.Actor.User {
		own := notice(ui.Warn, c.Say("operator.approval.own"), c.Say("operator.approval.own.do"))
		return c.detail(status, head, ui.Facts(facts), body, own,
			section(c.Say("operator.approval.withdraw"), "", actForm(ui.Form{Action: here + "/reject", Button: c.Say("operator.approval.withdraw"), Danger: true}, []ui.Field{reject})))
	}
	return c.detail(status, head, ui.Facts(facts), body,
		section(c.Say("operator.approval.approve"), c.Say("operator.approval.approve.lead"), actForm(ui.Form{Action: here + "/approve", Button: c.Say("operator.approval.approve"), Hidden: hidden}, []ui.Field{reason})),
		section(c.Say("operator.approval.reject"), c.Say("operator.approval.reject.lead"), actForm(ui.Form{Action: here + "/reject", Button: c.Say("operator.approval.reject"), Danger: true}, []ui.Field{named(reject, "f2")})))
}

// named is a field whose control has an ID of its own, where a page has two of a name.
func named(f ui.Field, _ string) ui.Field {
	f.Name = "why"
	return f
}

// decide serves POST /operator/approvals/{id}/approve and /reject.
func (c *call) decide(approve bool) error {
	p, err := c.thisProposal()
	if err != nil {
		return err
	}
	form, err := c.Form()
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(form.Get("reason") + form.Get("why"))
	if approve {
		_, err = c.Acts.Approve(c.Context(), c.Actor, p.ID, form.Get("sha256"), reason)
	} else {
		_, err = c.Staff.RejectProposal(c.Context(), c.Actor, p.ID, reason)
	}
	switch {
	case fault.Is(err, fault.Invalid):
		return c.approvalPage(http.StatusUnprocessableEntity, c.Say("operator.reason.long"))
	case err != nil && fault.From(err).Code == "own_proposal":
		return c.approvalPage(http.StatusForbidden, c.Say("operator.approval.own.do"))
	case err != nil && fault.From(err).Code == "operator_unlinked":
		return c.approvalPage(http.StatusForbidden, c.Say("operator.approval.unlinked"))
	case err != nil:
		return err
	}
	return c.Redirect(approvalsPath + "/" + p.ID.String())
}
