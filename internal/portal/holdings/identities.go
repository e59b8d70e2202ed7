package holdings

import (
	"net/http"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

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
	q := c.R.URL.Query()
	list, err := c.iam.Identities(c.R.Context(), c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	if err != nil {
		return err
	}
	search := strings.ToLower(strings.TrimSpace(q.Get("q")))
	matches := slices.DeleteFunc(slices.Clone(list), func(i telamon.Identity) bool {
		return search != "" && !strings.Contains(strings.ToLower(i.Name+" "+i.Data["organization"]), search)
	})
	part, pager := page.PageOf(matches, q, page.IdentitiesPath)
	table := ui.Table{
		Label: c.Say("identities.title"), Pager: pager,
		Empty: ui.Empty{Title: c.Say("identities.empty"), Lead: c.Say("dashboard.identity.lead")},
		Columns: []ui.Column{
			{Name: c.Say("credential.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("identities.organization")}, {Name: c.Say("mtls.expires")},
		},
	}
	if len(list) > 0 {
		table.Empty = ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")}
	}
	for _, i := range part {
		state := identityStates[i.State]
		state.Word = c.Say(state.Word)
		if state.Reason != "" {
			state.Reason = c.Say(state.Reason)
		}
		table.Rows = append(table.Rows, ui.Row{Cells: page.Cells(ui.Words(i.Name), ui.Status(state), ui.Words(i.Data["organization"]), ui.Day(i.ExpiresAt))})
	}
	head := ui.Head{Title: c.Say("identities.title"), Lead: c.Say("identities.lead")}
	filter := ui.Filter{Action: page.IdentitiesPath, Search: q.Get("q"), Hint: c.Say("identities.search"), Target: "list"}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, len(list) > 0))
}
