package holdings

import (
	"net/http"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// packsPath is below which the packs of an account are.
const packsPath = page.ServicesPath + "/packs"

// serviceRoutes adds the pages of services and quotes to a router.
func (p *Pages) serviceRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.ServicesPath, p.person((*call).services))
	mux.HandleFunc("GET "+packsPath+"/{pack}/reorder", p.person((*call).askReorder))
	mux.HandleFunc("POST "+packsPath+"/{pack}/reorder", p.person((*call).reorder))
	mux.HandleFunc("GET "+page.QuotesPath, p.person((*call).quotes))
	mux.HandleFunc("GET "+page.QuotesPath+"/{quote}", p.person((*call).quote))
	mux.HandleFunc("POST "+page.QuotesPath+"/{quote}/accept", p.person((*call).accept))
}

// services serves GET /services: what the account subscribes to, and what is left of it.
func (c *call) services() error {
	products, err := c.commerce.Products(c.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	table := ui.Table{
		Label: c.Say("services.title"), Empty: ui.Empty{Title: c.Say("services.empty"), Lead: c.Say("dashboard.service.lead")},
		Columns: []ui.Column{
			{Name: c.Say("credential.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("services.left"), Number: true},
			{Name: c.Say("services.granted"), Number: true}, {Name: c.Say("services.names"), Number: true}, {Name: c.Say("services.ends")},
		},
	}
	packs := ui.Table{
		Label: c.Say("services.packs"),
		Columns: []ui.Column{
			{Name: c.Say("credential.service")}, {Name: c.Say("credential.state")}, {Name: c.Say("services.total"), Number: true},
			{Name: c.Say("services.spent"), Number: true}, {Name: c.Say("services.left"), Number: true},
			{Name: c.Say("services.begins")}, {Name: c.Say("services.ends")},
		},
	}
	for i := range products {
		table.Rows = append(table.Rows, ui.Row{Cells: c.productCells(&products[i])})
		for _, pack := range products[i].Packs {
			packs.Rows = append(packs.Rows, c.packRow(&products[i], pack))
		}
	}
	head := ui.Head{Title: c.Say("services.title"), Lead: c.Say("services.lead")}
	if link := c.ActIf(authz.QuoteRead, "quote.all", page.QuotesPath); link != nil {
		head.Quiet = []ui.Link{*link}
	}
	return c.Show(http.StatusOK, head.Title, servicesPage(head, table, packs))
}

// nearlyUsed is the part of a quota, in percent, from which its use is worth a warning.
var nearlyUsed = commerce.Thresholds[len(commerce.Thresholds)-1]

// productCells are the cells of a service.
func (c *call) productCells(p *commerce.Product) []templ.Component {
	l := c.Language()
	names := "–"
	if p.SANLimit >= 0 {
		names = l.Count(int64(p.SANLimit))
	}
	state := ui.State{Tone: ui.Good, Word: c.Say("state.active")}
	switch {
	case !p.Live():
		state = ui.State{Tone: ui.Bad, Word: c.Say("services.over"), Reason: c.Say("credential.warning.service.do")}
	case p.Service.Unlimited:
		return page.Cells(ui.Words(p.Service.Name), ui.Status(state), ui.Words(c.Say("services.unlimited")), ui.Words("–"), ui.Words(names), ui.Words("–"))
	case p.Granted == 0:
		state = ui.State{Tone: ui.Pending, Word: c.Say("services.to_come")}
	case p.Left == 0:
		state = ui.State{Tone: ui.Bad, Word: c.Say("services.used")}
	case p.PercentUsed() >= nearlyUsed:
		state = ui.State{Tone: ui.Warn, Word: c.Say("services.nearly")}
	}
	return page.Cells(ui.Words(p.Service.Name), ui.Status(state), ui.Words(l.Count(p.Left)), ui.Words(l.Count(p.Granted)), ui.Words(names), ui.Day(p.EndsAt))
}

// packRow is the line of a pack, with the act of reordering it if that can be done.
func (c *call) packRow(p *commerce.Product, pack store.Pack) ui.Row {
	l, now := c.Language(), c.Clock.Now()
	state := ui.State{Tone: ui.Good, Word: c.Say("state.active")}
	switch {
	case !pack.ExpiresAt.After(now):
		state = ui.State{Tone: ui.Off, Word: c.Say("services.over")}
	case pack.StartsAt.After(now):
		state = ui.State{Tone: ui.Pending, Word: c.Say("services.to_come")}
	case pack.Used >= pack.Amount:
		state = ui.State{Tone: ui.Bad, Word: c.Say("services.used")}
	}
	if pack.Trial {
		state.Reason = c.Say("quote.trial")
	}
	row := ui.Row{Cells: page.Cells(
		ui.Words(p.Service.Name), ui.Status(state), ui.Words(l.Count(pack.Amount)), ui.Words(l.Count(pack.Used)),
		ui.Words(l.Count(pack.Amount-pack.Used)), ui.Day(pack.StartsAt), ui.Day(pack.ExpiresAt),
	)}
	if pack.Quote != "" && !pack.Trial && pack.Price > 0 && c.May(authz.QuoteReorder) {
		row.Acts = []ui.Link{{Text: c.Say("quote.reorder"), URL: packsPath + "/" + pack.ID.String() + "/reorder"}}
	}
	return row
}

// pack returns the pack that the path names, with its product.
func (c *call) pack() (*commerce.Product, store.Pack, error) {
	id, err := telamon.ParseLotID(c.R.PathValue("pack"))
	if err != nil {
		return nil, store.Pack{}, page.OrNotFound(err)
	}
	if err := authz.Check(c.Actor, authz.QuoteReorder, c.Account()); err != nil {
		return nil, store.Pack{}, err
	}
	products, err := c.commerce.Products(c.Context(), c.Actor, c.Account())
	if err != nil {
		return nil, store.Pack{}, err
	}
	for i := range products {
		for _, pack := range products[i].Packs {
			if pack.ID == id {
				return &products[i], pack, nil
			}
		}
	}
	return nil, store.Pack{}, page.ErrNotFound
}

// askReorder serves GET /services/packs/{pack}/reorder: what a reorder is, before it is made.
func (c *call) askReorder() error {
	product, pack, err := c.pack()
	if err != nil {
		return err
	}
	price := c.Say("quote.trial")
	if pack.Currency != "" {
		price = commerce.Price(pack.Price, pack.Currency) + " " + pack.Currency
	}
	up := &ui.Link{Text: c.Say("services.title"), URL: page.ServicesPath}
	confirmation := ui.Confirmation{
		Object: []ui.Fact{
			{Key: c.Say("credential.service"), Value: ui.Words(product.Service.Name)},
			{Key: c.Say("quote.amount"), Value: ui.Words(c.Language().Count(pack.Amount))},
			{Key: c.Say("quote.price"), Value: ui.Words(price)},
		},
		Effects: []string{c.Say("quote.reorder.effect"), c.Say("quote.reorder.drawn")}, Keeps: c.Say("quote.reorder.keeps"),
		Form: ui.Form{Action: packsPath + "/" + pack.ID.String() + "/reorder", Button: c.Say("quote.reorder.button"), Cancel: c.CancelTo(up.URL)},
	}
	title := c.Say("quote.reorder.title", "name", product.Service.Name)
	return c.Show(http.StatusOK, title, page.ConfirmPage(ui.Head{Up: up, Title: title}, confirmation))
}

// reorder serves POST /services/packs/{pack}/reorder.
func (c *call) reorder() error {
	id, err := telamon.ParseLotID(c.R.PathValue("pack"))
	if err != nil {
		return page.OrNotFound(err)
	}
	q, err := c.commerce.Reorder(c.Context(), c.Actor, c.Account(), id)
	if err != nil {
		return err
	}
	return c.Redirect(quotePath(q.ID))
}
