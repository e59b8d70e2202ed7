package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Quote is an offer of services to an account, and once it is accepted an order.
type Quote struct {
	ID         telamon.QuoteID    `json:"id"`
	Account    telamon.AccountID  `json:"account"`
	State      telamon.QuoteState `json:"state"`
	Currency   string             `json:"currency"`
	Total      string             `json:"total"` // a decimal number
	Note       string             `json:"note,omitempty"`
	Lines      []QuoteLine        `json:"lines"`
	ReorderOf  telamon.QuoteID    `json:"reorder_of,omitempty"`
	CreatedBy  string             `json:"created_by"`
	CreatedAt  time.Time          `json:"created_at"`
	ValidUntil time.Time          `json:"valid_until"`
	SentAt     *time.Time         `json:"sent_at,omitempty"`
	Acceptance *Acceptance        `json:"acceptance,omitempty"`
	ActiveAt   *time.Time         `json:"active_at,omitempty"`
	ClearedBy  string             `json:"cleared_by,omitempty"`
	EndedAt    *time.Time         `json:"ended_at,omitempty"`
	EndedWhy   string             `json:"ended_why,omitempty"`
}

// A QuoteLine is one service of a quote. In the body that makes one, the service is given
// by ID or name.
type QuoteLine struct {
	Service      string                 `json:"service"`
	Amount       int64                  `json:"amount"`
	Months       int                    `json:"months,omitempty"` // 12 if it is left out
	Trial        bool                   `json:"trial,omitempty"`
	Price        string                 `json:"price"` // a decimal number, such as 1250.00
	Subscription telamon.SubscriptionID `json:"subscription,omitempty"`
	Lot          telamon.LotID          `json:"lot,omitempty"`
}

// An Acceptance is how a quote was accepted.
type Acceptance struct {
	At      time.Time      `json:"at"`
	By      telamon.UserID `json:"by"`
	Name    string         `json:"name"`
	Address string         `json:"address"`
	Terms   string         `json:"terms"`
	PO      string         `json:"po_number,omitempty"`
}

// NewQuote is the body that makes a quote, or replaces what a draft says. Without
// ValidUntil it can be accepted for 30 days.
type NewQuote struct {
	Currency   string      `json:"currency"`
	Note       string      `json:"note,omitempty"`
	ValidUntil *time.Time  `json:"valid_until,omitempty"`
	Lines      []QuoteLine `json:"lines"`
}

// CancelQuote is the body that cancels a quote.
type CancelQuote struct {
	Reason string `json:"reason"`
}

func quoteOf(q telamon.Quote) Quote {
	out := Quote{
		ID: q.ID, Account: q.Account, State: q.State, Currency: q.Currency, Total: commerce.Price(q.Total(), q.Currency), Note: q.Note,
		ReorderOf: q.ReorderOf, CreatedBy: q.CreatedBy, CreatedAt: q.CreatedAt, ValidUntil: q.ValidUntil, SentAt: timeOf(q.SentAt),
		ActiveAt: timeOf(q.ActiveAt), ClearedBy: q.ClearedBy, EndedAt: timeOf(q.EndedAt), EndedWhy: q.EndedWhy,
	}
	for _, l := range q.Lines {
		out.Lines = append(out.Lines, QuoteLine{
			Service: l.Service.String(), Amount: l.Amount, Months: l.Months, Trial: l.Trial, Price: commerce.Price(l.Price, q.Currency),
			Subscription: l.Subscription, Lot: l.Lot,
		})
	}
	if a := q.Acceptance; a != nil {
		out.Acceptance = &Acceptance{At: a.At, By: a.By, Name: a.Name, Address: a.Address.String(), Terms: a.Terms, PO: a.PO}
	}
	return out
}

// quoteSpec reads the body that makes a quote.
func (c *call) quoteSpec(ctx context.Context, in *NewQuote) (commerce.QuoteSpec, error) {
	spec := commerce.QuoteSpec{Currency: in.Currency, Note: in.Note, ValidUntil: valueOf(in.ValidUntil)}
	for i, l := range in.Lines {
		service, err := c.service(ctx, l.Service)
		if err != nil {
			return spec, err
		}
		price, err := commerce.ParsePrice(l.Price, in.Currency)
		if err != nil {
			return spec, &fault.Fault{
				Kind: fault.Invalid, Code: "invalid_quote", Detail: "A price cannot be read.",
				Fields: []fault.Field{{Path: fmt.Sprintf("lines[%d].price", i), Problem: err.Error()}},
			}
		}
		spec.Lines = append(spec.Lines, commerce.Line{Service: service.ID, Amount: l.Amount, Months: l.Months, Trial: l.Trial, Price: price})
	}
	return spec, nil
}

// quote returns the quote that the path names.
func (c *call) quote(ctx context.Context) (*telamon.Quote, error) {
	id, err := id(c, "quote", telamon.ParseQuoteID)
	if err != nil {
		return nil, err
	}
	return c.Commerce.AnyQuote(ctx, c.actor, id)
}

func (s *server) quoteRoutes() {
	idOf := func(q telamon.Quote) string { return q.ID.String() }
	listRoute(s, "GET /quotes", func(ctx context.Context, actor telamon.Actor, page store.Page) ([]telamon.Quote, error) {
		return s.Commerce.Quotes(ctx, actor, store.QuoteFilter{Before: telamon.QuoteID(page.After), Limit: page.Limit})
	}, quoteOf, idOf)
	const all = "/accounts/{account}/quotes"
	accountListRoute(s, "GET "+all, func(ctx context.Context, actor telamon.Actor, account telamon.AccountID, page store.Page) ([]telamon.Quote, error) {
		return s.Commerce.Quotes(ctx, actor, store.QuoteFilter{Account: account, Before: telamon.QuoteID(page.After), Limit: page.Limit})
	}, quoteOf, idOf)
	accountPostRoute(s, "POST "+all, func(ctx context.Context, c *call, account telamon.AccountID, in *NewQuote) (any, error) {
		spec, err := c.quoteSpec(ctx, in)
		if err != nil {
			return nil, err
		}
		q, err := s.Commerce.CreateQuote(ctx, c.actor, account, spec)
		return made(q, err, quoteOf)
	})
	s.quoteRoute("GET /quotes/{quote}", func(_ context.Context, _ *call, q *telamon.Quote) (*telamon.Quote, error) { return q, nil })
	s.quoteRoute("PUT /quotes/{quote}", func(ctx context.Context, c *call, q *telamon.Quote) (*telamon.Quote, error) {
		var in NewQuote
		if err := c.body(&in); err != nil {
			return nil, err
		}
		spec, err := c.quoteSpec(ctx, &in)
		if err != nil {
			return nil, err
		}
		return s.Commerce.EditQuote(ctx, c.actor, q.Account, q.ID, spec)
	})
	s.quoteRoute("POST /quotes/{quote}/send", func(ctx context.Context, c *call, q *telamon.Quote) (*telamon.Quote, error) {
		return s.Commerce.SendQuote(ctx, c.actor, q.Account, q.ID)
	})
	s.quoteRoute("POST /quotes/{quote}/clear", func(ctx context.Context, c *call, q *telamon.Quote) (*telamon.Quote, error) {
		return s.Commerce.ClearQuote(ctx, c.actor, q.Account, q.ID)
	})
	s.quoteRoute("POST /quotes/{quote}/cancel", func(ctx context.Context, c *call, q *telamon.Quote) (*telamon.Quote, error) {
		var in CancelQuote
		if err := c.body(&in); err != nil {
			return nil, err
		}
		return s.Commerce.CancelQuote(ctx, c.actor, q.Account, q.ID, in.Reason)
	})
}

// quoteRoute serves a pattern with the quote that the path names, or what became of it.
func (s *server) quoteRoute(pattern string, do func(context.Context, *call, *telamon.Quote) (*telamon.Quote, error)) {
	s.route(pattern, http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		q, err := c.quote(ctx)
		if err != nil {
			return nil, err
		}
		q, err = do(ctx, c, q)
		return made(q, err, quoteOf)
	})
}
