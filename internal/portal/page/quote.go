package page

import (
	"context"
	"strconv"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// Money writes an amount with its currency.
func Money(minor int64, currency string) string {
	return commerce.Price(minor, currency) + " " + currency
}

// quoteStates are the tone and the message of each state of a quote.
var quoteStates = map[telamon.QuoteState]ui.State{
	telamon.QuoteDraft:       {Tone: ui.Off, Word: "quote.draft"},
	telamon.QuoteSent:        {Tone: ui.Pending, Word: "quote.sent"},
	telamon.QuoteAccepted:    {Tone: ui.Pending, Word: "quote.accepted"},
	telamon.QuoteCreditCheck: {Tone: ui.Pending, Word: "quote.credit_check", Reason: "quote.credit_check.why"},
	telamon.QuoteActive:      {Tone: ui.Good, Word: "state.active"},
	telamon.QuoteExpired:     {Tone: ui.Off, Word: "state.expired"},
	telamon.QuoteCancelled:   {Tone: ui.Bad, Word: "quote.cancelled"},
}

// QuoteState is the state of a quote in words.
func QuoteState(c *Call, q *telamon.Quote) ui.State {
	s := quoteStates[q.State]
	s.Word = c.Say(s.Word)
	if s.Reason != "" {
		s.Reason = c.Say(s.Reason)
	}
	if q.EndedWhy != "" {
		s.Reason = q.EndedWhy
	}
	return s
}

// QuoteTable is a list of quotes; with names of their accounts, it is one of all accounts,
// whose lines lead to the pages of staff.
func QuoteTable(c *Call, list []telamon.Quote, accounts map[telamon.AccountID]string) ui.Table {
	t := ui.Table{Label: c.Say("quote.all"), Columns: []ui.Column{
		{Name: c.Say("quote.column")}, {Name: c.Say("credential.state")}, {Name: c.Say("quote.total"), Number: true},
		{Name: c.Say("quote.until")}, {Name: c.Say("quote.created")},
	}}
	at := QuotesPath
	if accounts != nil {
		at = OperatorPath + QuotesPath
		t.Columns = append(t.Columns, ui.Column{Name: c.Say("quote.account")})
	}
	for i := range list {
		q := &list[i]
		cells := Cells(ui.ShortID(q.ID.String()), ui.Status(QuoteState(c, q)), ui.Words(Money(q.Total(), q.Currency)), ui.Day(q.ValidUntil), ui.Day(q.CreatedAt))
		if accounts != nil {
			cells = append(cells, ui.Words(accounts[q.Account]))
		}
		t.Rows = append(t.Rows, ui.Row{URL: at + "/" + q.ID.String(), Cells: cells})
	}
	return t
}

// QuoteFacts are what a quote says beside its lines.
func QuoteFacts(c *Call, q *telamon.Quote) []ui.Fact {
	facts := []ui.Fact{
		{Key: c.Say("quote.column"), Value: ui.Identifier(q.ID.String())},
		{Key: c.Say("quote.total"), Value: ui.Words(Money(q.Total(), q.Currency))},
		{Key: c.Say("quote.until"), Value: ui.Moment(q.ValidUntil)},
	}
	if a := q.Acceptance; a != nil {
		po := a.PO
		if po == "" {
			po = c.Say("quote.no_po")
		}
		facts = append(facts,
			ui.Fact{Key: c.Say("quote.accepted_by"), Value: ui.Words(a.Name)}, ui.Fact{Key: c.Say("quote.accepted_at"), Value: ui.Moment(a.At)},
			ui.Fact{Key: c.Say("quote.po"), Value: ui.Words(po)}, ui.Fact{Key: c.Say("quote.terms_version"), Value: ui.Words(a.Terms)})
	}
	return facts
}

// namer knows the names of services.
type namer interface {
	ServiceName(ctx context.Context, actor telamon.Actor, q *telamon.Quote, id telamon.ServiceID) (string, error)
}

// QuoteLines are the lines of a quote.
func QuoteLines(c *Call, q *telamon.Quote, names namer) (ui.Table, error) {
	t := ui.Table{Label: c.Say("quote.lines"), Columns: []ui.Column{
		{Name: c.Say("credential.service")}, {Name: c.Say("quote.amount"), Number: true}, {Name: c.Say("quote.months"), Number: true},
		{Name: c.Say("quote.price"), Number: true},
	}}
	for _, l := range q.Lines {
		name, err := names.ServiceName(c.Context(), c.Actor, q, l.Service)
		if err != nil {
			return t, err
		}
		amount, price := c.Language().Count(l.Amount), Money(l.Price, q.Currency)
		if l.Amount == 0 {
			amount = c.Say("services.unlimited")
		}
		if l.Trial {
			price = c.Say("quote.trial")
		}
		t.Rows = append(t.Rows, ui.Row{Cells: Cells(ui.Words(name), ui.Words(amount), ui.Words(strconv.Itoa(l.Months)), ui.Words(price))})
	}
	return t, nil
}
