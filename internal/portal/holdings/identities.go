package holdings

import (
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
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

// stateOrder is the order in which states are offered.
var stateOrder = []telamon.IdentityState{
	telamon.IdentityActive, telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityDraft, telamon.IdentityRejected,
	telamon.IdentityExpired, telamon.IdentityWithdrawn,
}

// stateOf returns the state of an identity in words.
func (c *call) stateOf(i *telamon.Identity) ui.State {
	state := identityStates[i.State]
	if ends := i.ExpiresAt; i.State == telamon.IdentityActive && !ends.IsZero() && ends.Sub(c.Clock.Now()) < page.AttentionSpan {
		state = ui.State{Tone: ui.Warn, Word: "state.active", Reason: "identity.ending.why"}
	}
	state.Word = c.Say(state.Word)
	if state.Reason != "" {
		state.Reason = c.Say(state.Reason)
	}
	return state
}

// typeOf returns what the type of an identity is called.
func (c *call) typeOf(i *telamon.Identity) string {
	if i.Type == "" {
		return c.Say("identity.type.operator")
	}
	return c.Say("identity.type." + string(i.Type))
}

// matching returns the identities of the account that the address asks for, and how many
// there are in all.
func (c *call) matching() (matches []telamon.Identity, all int, err error) {
	q := c.R.URL.Query()
	list, err := c.iam.Identities(c.R.Context(), c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	if err != nil {
		return nil, 0, err
	}
	search, state := strings.ToLower(strings.TrimSpace(q.Get("q"))), telamon.IdentityState(q.Get("state"))
	matches = slices.DeleteFunc(slices.Clone(list), func(i telamon.Identity) bool {
		return search != "" && !strings.Contains(strings.ToLower(i.Name+" "+i.Data["organization"]), search) || state != "" && i.State != state
	})
	return matches, len(list), nil
}

// identities serves GET /identities: for whom certificates of the account speak.
func (c *call) identities() error {
	q := c.R.URL.Query()
	matches, all, err := c.matching()
	if err != nil {
		return err
	}
	part, pager := page.PageOf(matches, q, page.IdentitiesPath)
	table := ui.Table{
		Label: c.Say("identities.title"), Pager: pager, CSV: page.IdentitiesPath + "/list.csv?" + q.Encode(),
		Empty: ui.Empty{
			Title: c.Say("identities.empty"), Lead: c.Say("dashboard.identity.lead"),
			Act: c.ActIf(authz.IdentityCreate, "identity.new", page.IdentityNewPath),
		},
		Columns: []ui.Column{
			{Name: c.Say("credential.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("identity.type")},
			{Name: c.Say("identities.organization")}, {Name: c.Say("mtls.expires")},
		},
	}
	if all > 0 {
		table.Empty = ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")}
	}
	for _, i := range part {
		ends := ui.DayIf(i.ExpiresAt)
		if i.State == telamon.IdentityActive {
			ends = ui.Day(i.ExpiresAt) // perhaps never
		}
		table.Rows = append(table.Rows, ui.Row{URL: identityPath(i.ID), Cells: page.Cells(
			ui.Words(i.Name), ui.Status(c.stateOf(&i)), ui.Words(c.typeOf(&i)), ui.Words(i.Data["organization"]), ends)})
	}
	states := ui.Field{Name: "state", Label: c.Say("credential.state"), Value: q.Get("state"), Options: []ui.Option{{Text: c.Say("list.any")}}}
	for _, s := range stateOrder {
		states.Options = append(states.Options, ui.Option{Value: string(s), Text: c.Say(identityStates[s].Word)})
	}
	head := ui.Head{Title: c.Say("identities.title"), Lead: c.Say("identities.lead"), Act: c.ActIf(authz.IdentityCreate, "identity.new", page.IdentityNewPath)}
	if all == 0 { // the empty list has the button
		head.Act = nil
	}
	filter := ui.Filter{Action: page.IdentitiesPath, Search: q.Get("q"), Hint: c.Say("identities.search"), Target: "list", Fields: []ui.Field{states}}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, all > 0))
}

// identitiesCSV serves GET /identities/list.csv.
func (c *call) identitiesCSV() error {
	matches, _, err := c.matching()
	if err != nil {
		return err
	}
	var rows iter.Seq2[[]string, error] = func(yield func([]string, error) bool) {
		for _, i := range matches {
			expires := ""
			if !i.ExpiresAt.IsZero() {
				expires = i.ExpiresAt.UTC().Format(time.RFC3339)
			}
			d := i.Data
			row := []string{i.ID.String(), i.Name, string(i.Type), string(i.State), d["organization"], d["locality"], d["state"], d["country"], expires}
			if !yield(row, nil) {
				return
			}
		}
	}
	return c.CSV("identities", []string{"id", "name", "type", "status", "organization", "locality", "state", "country", "expires_at"}, rows)
}
