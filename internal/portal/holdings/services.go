package holdings

import (
	"net/http"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// services serves GET /services: what the account subscribes to, and what is left of it.
func (c *call) services() error {
	offers, err := c.iam.Offers(c.R.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	table := ui.Table{
		Label: c.Say("services.title"), Empty: ui.Empty{Title: c.Say("services.empty"), Lead: c.Say("dashboard.service.lead")},
		Columns: []ui.Column{
			{Name: c.Say("credential.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("services.left"), Number: true},
			{Name: c.Say("services.granted"), Number: true}, {Name: c.Say("services.ends")},
		},
	}
	for _, o := range offers {
		table.Rows = append(table.Rows, ui.Row{Cells: c.offerCells(o)})
	}
	head := ui.Head{Title: c.Say("services.title"), Lead: c.Say("services.lead")}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, ui.Filter{}, table, false))
}

// nearlyUsed is the part of a quota, in percent, from which its use is worth a warning
// (spec: portal-and-onboarding.md, Section 3.10).
const nearlyUsed = 80

// offerCells are the cells of a service.
func (c *call) offerCells(o iam.Offer) []templ.Component {
	l := page.LanguageOf(c.R)
	state := ui.State{Tone: ui.Good, Word: c.Say("state.active")}
	switch {
	case !o.Live:
		state = ui.State{Tone: ui.Bad, Word: c.Say("services.over"), Reason: c.Say("credential.warning.service.do")}
	case o.Service.Unlimited:
		return page.Cells(ui.Words(o.Service.Name), ui.Status(state), ui.Words(c.Say("services.unlimited")), ui.Words("–"), ui.Words("–"))
	case o.Granted == 0:
		state = ui.State{Tone: ui.Pending, Word: c.Say("services.to_come")}
	case o.Left == 0:
		state = ui.State{Tone: ui.Bad, Word: c.Say("services.used")}
	case (o.Granted-o.Left)*100 >= o.Granted*nearlyUsed:
		state = ui.State{Tone: ui.Warn, Word: c.Say("services.nearly")}
	}
	return page.Cells(ui.Words(o.Service.Name), ui.Status(state), ui.Words(l.Count(o.Left)), ui.Words(l.Count(o.Granted)), ui.Day(o.EndsAt))
}
