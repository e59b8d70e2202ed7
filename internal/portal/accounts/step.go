package accounts

import (
	"context"
	"net/http"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// step moves the quote that the path names, and shows what has become of it.
func (c *call) step(do func(context.Context, telamon.Actor, telamon.AccountID, telamon.QuoteID) (*telamon.Quote, error)) error {
	q, err := c.quoteFound()
	if err != nil {
		return err
	}
	if _, err := do(c.Context(), c.Actor, q.Account, q.ID); err != nil {
		return err
	}
	return c.Redirect(quotePath(q.ID))
}

// askCancel serves GET /operator/quotes/{quote}/cancel.
func (c *call) askCancel() error {
	q, err := c.quoteFound()
	if err != nil {
		return err
	}
	return c.showCancel(http.StatusOK, q, ui.Field{Name: "reason", Label: c.Say("quote.cancel.reason"), Max: 500, Require: true})
}

func (c *call) showCancel(status int, q *telamon.Quote, reason ui.Field) error {
	if err := authz.Check(c.Actor, authz.QuoteCancel, q.Account); err != nil {
		return err
	}
	effects := []string{c.Say("quote.cancel.effect")}
	if q.State == telamon.QuoteActive {
		effects = append(effects, c.Say("quote.cancel.quota"))
	}
	up := &ui.Link{Text: c.Say("quote.title", "total", page.Money(q.Total(), q.Currency)), URL: quotePath(q.ID)}
	title := c.Say("quote.cancel.ask")
	return c.Show(status, title, cancelPage(ui.Head{Up: up, Title: title}, ui.Confirmation{
		Object: page.QuoteFacts(c.Call, q), Effects: effects, Keeps: c.Say("quote.cancel.keeps"),
		Form: ui.Form{Action: quotePath(q.ID) + "/cancel", Button: c.Say("quote.cancel.button"), Danger: true, Cancel: c.CancelTo(up.URL)},
	}, reason))
}

// cancelQuote serves POST /operator/quotes/{quote}/cancel.
func (c *call) cancelQuote() error {
	q, err := c.quoteFound()
	if err != nil {
		return err
	}
	form, err := c.Form()
	if err != nil {
		return err
	}
	why := form.Get("reason")
	_, err = c.commerce.CancelQuote(c.Context(), c.Actor, q.Account, q.ID, why)
	if fault.Is(err, fault.Invalid) {
		return c.showCancel(http.StatusUnprocessableEntity, q, ui.Field{
			Name: "reason", Label: c.Say("quote.cancel.reason"), Max: 500, Require: true, Value: why, Error: c.Say("quote.cancel.reason.missing"),
		})
	}
	if err != nil {
		return err
	}
	return c.Redirect(quotePath(q.ID))
}
