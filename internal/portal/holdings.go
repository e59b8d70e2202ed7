package portal

import (
	"net/http"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// The pages of what an account is given: services and identities.
const (
	servicesPath   = "/services"
	identitiesPath = "/identities"
)

// services serves GET /services: what the account subscribes to, and what is left of it.
func (c *call) services() error {
	offers, err := c.iam.Offers(c.r.Context(), c.actor, c.account())
	if err != nil {
		return err
	}
	table := ui.Table{
		Label: c.say("services.title"), Empty: ui.Empty{Title: c.say("services.empty"), Lead: c.say("dashboard.service.lead")},
		Columns: []ui.Column{
			{Name: c.say("credential.name")}, {Name: c.say("credential.state")}, {Name: c.say("services.left"), Number: true},
			{Name: c.say("services.granted"), Number: true}, {Name: c.say("services.ends")},
		},
	}
	for _, o := range offers {
		table.Rows = append(table.Rows, ui.Row{Cells: c.offerCells(o)})
	}
	head := ui.Head{Title: c.say("services.title"), Lead: c.say("services.lead")}
	return c.show(http.StatusOK, head.Title, listPage(head, ui.Filter{}, table, false))
}

// nearlyUsed is the part of a quota, in percent, from which its use is worth a warning
// (spec: portal-and-onboarding.md, Section 3.10).
const nearlyUsed = 80

// offerCells are the cells of a service.
func (c *call) offerCells(o iam.Offer) []templ.Component {
	l := language(c.r)
	state := ui.State{Tone: ui.Good, Word: c.say("state.active")}
	switch {
	case !o.Live:
		state = ui.State{Tone: ui.Bad, Word: c.say("services.over"), Reason: c.say("credential.warning.service.do")}
	case o.Service.Unlimited:
		return cells(ui.Words(o.Service.Name), ui.Status(state), ui.Words(c.say("services.unlimited")), ui.Words("–"), ui.Words("–"))
	case o.Granted == 0:
		state = ui.State{Tone: ui.Pending, Word: c.say("services.to_come")}
	case o.Left == 0:
		state = ui.State{Tone: ui.Bad, Word: c.say("services.used")}
	case (o.Granted-o.Left)*100 >= o.Granted*nearlyUsed:
		state = ui.State{Tone: ui.Warn, Word: c.say("services.nearly")}
	}
	return cells(ui.Words(o.Service.Name), ui.Status(state), ui.Words(l.Count(o.Left)), ui.Words(l.Count(o.Granted)), ui.Day(o.EndsAt))
}

// identityStates are the tone and the message of each state of an identity.
var identityStates = map[telamon.IdentityState]ui.State{
	telamon.IdentityDraft:     {Tone: ui.Off, Word: "identity.draft", Reason: "identity.draft.why"},
	telamon.IdentityQueued:    {Tone: ui.Pending, Word: "identity.queued", Reason: "identity.queued.why"},
	telamon.IdentityProcessed: {Tone: ui.Pending, Word: "identity.processed", Reason: "identity.processed.why"},
	telamon.IdentityActive:    {Tone: ui.Good, Word: "state.active"},
	telamon.IdentityRejected:  {Tone: ui.Bad, Word: "identity.rejected", Reason: "identity.rejected.why"},
	telamon.IdentityExpired:   {Tone: ui.Warn, Word: "state.expired", Reason: "identity.expired.why"},
	telamon.IdentityWithdrawn: {Tone: ui.Off, Word: "identity.withdrawn"},
}

// identities serves GET /identities: for whom certificates of the account speak.
func (c *call) identities() error {
	q := c.r.URL.Query()
	list, err := c.iam.Identities(c.r.Context(), c.actor, c.account(), store.Page{Limit: maxRows})
	if err != nil {
		return err
	}
	search := strings.ToLower(strings.TrimSpace(q.Get("q")))
	matches := slices.DeleteFunc(slices.Clone(list), func(i telamon.Identity) bool {
		return search != "" && !strings.Contains(strings.ToLower(i.Name+" "+i.Data["organization"]), search)
	})
	part, pager := pageOf(matches, q, identitiesPath)
	table := ui.Table{
		Label: c.say("identities.title"), Pager: pager,
		Empty: ui.Empty{Title: c.say("identities.empty"), Lead: c.say("dashboard.identity.lead")},
		Columns: []ui.Column{
			{Name: c.say("credential.name")}, {Name: c.say("credential.state")}, {Name: c.say("identities.organization")}, {Name: c.say("mtls.expires")},
		},
	}
	if len(list) > 0 {
		table.Empty = ui.Empty{Title: c.say("list.nothing"), Lead: c.say("list.nothing.do")}
	}
	for _, i := range part {
		state := identityStates[i.State]
		state.Word = c.say(state.Word)
		if state.Reason != "" {
			state.Reason = c.say(state.Reason)
		}
		table.Rows = append(table.Rows, ui.Row{Cells: cells(ui.Words(i.Name), ui.Status(state), ui.Words(i.Data["organization"]), ui.Day(i.ExpiresAt))})
	}
	head := ui.Head{Title: c.say("identities.title"), Lead: c.say("identities.lead")}
	filter := ui.Filter{Action: identitiesPath, Search: q.Get("q"), Hint: c.say("identities.search"), Target: "list"}
	return c.show(http.StatusOK, head.Title, listPage(head, filter, table, len(list) > 0))
}
