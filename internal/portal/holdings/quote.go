package holdings

import (
	"net/http"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

func quotePath(id telamon.QuoteID) string { return page.QuotesPath + "/" + id.String() }

// quotes serves GET /quotes: what was offered to the account, and what it ordered.
func (c *call) quotes() error {
	before := c.R.URL.Query().Get("before")
	list, err := c.commerce.Quotes(c.Context(), c.Actor, store.QuoteFilter{
		Account: c.Account(), Before: telamon.QuoteID(before), Limit: page.PerPage,
	})
	if err != nil {
		return err
	}
	table := page.QuoteTable(c.Call, list, nil)
	table.Empty = ui.Empty{Title: c.Say("quote.empty"), Lead: c.Say("quote.empty.do")}
	if len(list) == page.PerPage {
		table.Pager = &ui.Pager{First: 1, Last: int64(len(list)), Total: -1, Next: page.QuotesPath + "?before=" + list[len(list)-1].ID.String()}
	}
	head := ui.Head{Up: &ui.Link{Text: c.Say("services.title"), URL: page.ServicesPath}, Title: c.Say("quote.all"), Lead: c.Say("quote.lead")}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, ui.Filter{}, table, false))
}

// found returns the quote that the path names.
func (c *call) found() (*telamon.Quote, error) {
	id, err := telamon.ParseQuoteID(c.R.PathValue("quote"))
	if err != nil {
		return nil, page.OrNotFound(err)
	}
	return c.commerce.Quote(c.Context(), c.Actor, c.Account(), id)
}

// quote serves GET /quotes/{quote}.
func (c *call) quote() error {
	q, err := c.found()
	if err != nil {
		return err
	}
	return c.showQuote(http.StatusOK, q, c.acceptFields(), "")
}

// The fields of the form that accepts a quote.
const (
	fieldPO = iota
	fieldNoPO
	fieldQuote
	fieldTerms
)

// acceptFields are what is asked of who accepts a quote, in the order of the constants.
func (c *call) acceptFields() []ui.Field {
	return []ui.Field{
		{Name: "po_number", Label: c.Say("quote.po"), Hint: c.Say("quote.po.hint"), Max: 64, Narrow: true},
		{Name: "no_po", Type: "checkbox", Value: "yes", Label: c.Say("quote.no_po")},
		{Name: "quote", Type: "checkbox", Value: "yes", Label: c.Say("quote.tick"), Require: true},
		{Name: "terms", Type: "checkbox", Value: c.commerce.Terms(), Label: c.Say("quote.terms", "version", c.commerce.Terms()), Require: true},
	}
}

// showQuote answers with a quote, and the form that accepts it if that can be done.
func (c *call) showQuote(status int, q *telamon.Quote, fields []ui.Field, problem string) error {
	view := quoteView{Facts: page.QuoteFacts(c.Call, q), Problem: problem}
	var err error
	if view.Lines, err = page.QuoteLines(c.Call, q, c.commerce); err != nil {
		return err
	}
	if q.State == telamon.QuoteSent && q.ValidUntil.After(c.Clock.Now()) && c.May(authz.QuoteAccept) {
		view.Fields = fields
		view.Form = ui.Form{Action: quotePath(q.ID) + "/accept", Button: c.Say("quote.accept")}
		view.Ticked = func(name string) bool { return c.R.PostForm.Get(name) != "" }
	}
	state := page.QuoteState(c.Call, q)
	head := ui.Head{
		Up: &ui.Link{Text: c.Say("quote.all"), URL: page.QuotesPath}, Title: c.Say("quote.title", "total", page.Money(q.Total(), q.Currency)),
		Lead: q.Note, State: &state,
	}
	return c.Show(status, head.Title, quotePage(head, view))
}

// accept serves POST /quotes/{quote}/accept.
func (c *call) accept() error {
	q, err := c.found()
	if err != nil {
		return err
	}
	form, err := c.Form()
	if err != nil {
		return err
	}
	_, err = c.commerce.AcceptQuote(c.Context(), c.Actor, c.Account(), q.ID, commerce.Answer{
		Quote: form.Get("quote") != "", Terms: form.Get("terms"), PO: form.Get("po_number"), NoPO: form.Get("no_po") != "",
	})
	f := fault.From(err)
	switch {
	case err == nil || f.Kind == fault.Conflict && f.Code != "agreement_changed":
		return c.Redirect(quotePath(q.ID)) // which says what it is by now
	case f.Kind != fault.Invalid && f.Code != "agreement_changed":
		return err
	}
	fields := c.acceptFields()
	fields[fieldPO].Value = form.Get("po_number")
	problem := ""
	if f.Code == "quote_incomplete" {
		problem = c.Say("quote.incomplete")
	}
	page.Blame(c.R, fields, err, map[string]string{"po_number": "quote.po.missing", "quote": "quote.tick.missing", "terms": "quote.tick.missing"})
	if f.Code == "agreement_changed" {
		fields[fieldTerms].Error = c.Say("quote.terms.changed")
	}
	return c.showQuote(http.StatusUnprocessableEntity, q, fields, problem)
}
