package accounts

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

const quotesPath = page.OperatorQuotesPath

func quotePath(id telamon.QuoteID) string { return quotesPath + "/" + id.String() }

func (p *Pages) quoteRoutes(mux page.Router) {
	mux.HandleFunc("GET "+quotesPath, p.person((*call).quotes))
	mux.HandleFunc("GET "+quotesPath+"/new", p.person((*call).newQuote))
	mux.HandleFunc("POST "+quotesPath+"/new", p.person((*call).createQuote))
	mux.HandleFunc("GET "+quotesPath+"/{quote}", p.person((*call).quote))
	mux.HandleFunc("POST "+quotesPath+"/{quote}/send", p.person(func(c *call) error { return c.step(c.commerce.SendQuote) }))
	mux.HandleFunc("POST "+quotesPath+"/{quote}/clear", p.person(func(c *call) error { return c.step(c.commerce.ClearQuote) }))
	mux.HandleFunc("GET "+quotesPath+"/{quote}/cancel", p.person((*call).askCancel))
	mux.HandleFunc("POST "+quotesPath+"/{quote}/cancel", p.person((*call).cancelQuote))
}

// quotes serves GET /operator/quotes, the newest first.
func (c *call) quotes() error {
	q := c.R.URL.Query()
	state := telamon.QuoteState(q.Get("state"))
	list, err := c.commerce.Quotes(c.Context(), c.Actor, store.QuoteFilter{State: state, Before: telamon.QuoteID(q.Get("before")), Limit: page.PerPage})
	if err != nil {
		return err
	}
	names := map[telamon.AccountID]string{}
	for _, one := range list {
		if names[one.Account] != "" {
			continue
		}
		a, err := c.iam.Account(c.Context(), c.Actor, one.Account)
		if err != nil {
			return err
		}
		names[one.Account] = a.Name
	}
	table := page.QuoteTable(c.Call, list, names)
	table.Empty = ui.Empty{Title: c.Say("quote.empty"), Lead: c.Say("quote.empty.staff"), Act: &ui.Link{Text: c.Say("accounts.title"), URL: accountsPath}}
	if len(list) == page.PerPage {
		next := url.Values{"state": {string(state)}, "before": {list[len(list)-1].ID.String()}}
		table.Pager = &ui.Pager{First: 1, Last: int64(len(list)), Total: -1, Next: quotesPath + "?" + next.Encode()}
	}
	states := []ui.Option{{Text: c.Say("list.any")}}
	for _, s := range telamon.QuoteStates {
		if s != telamon.QuoteAccepted { // which is never seen
			states = append(states, ui.Option{Value: string(s), Text: page.QuoteState(c.Call, &telamon.Quote{State: s}).Word})
		}
	}
	head := ui.Head{Title: c.Say("quote.all"), Lead: c.Say("quote.lead.staff"), Quiet: []ui.Link{{Text: c.Say("accounts.title"), URL: accountsPath}}}
	filter := ui.Filter{Action: quotesPath, Fields: []ui.Field{{Name: "state", Label: c.Say("credential.state"), Value: string(state), Options: states}}, Target: "list"}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, true))
}

// maxFormLines is how many lines the form of a quote has; the admin API takes more.
const maxFormLines = 3

// quoteFields are what is asked of who makes a quote.
func (c *call) quoteFields(values url.Values) ([]ui.Field, error) {
	options, err := c.services()
	if err != nil {
		return nil, err
	}
	fields := []ui.Field{
		{Name: "currency", Label: c.Say("quote.currency"), Value: "EUR", Max: 3, Narrow: true, Require: true},
		{Name: "valid_until", Label: c.Say("quote.until"), Type: "date", Narrow: true, Value: c.Clock.Now().Add(commerce.DefaultOffer).UTC().Format(time.DateOnly)},
		{Name: "note", Label: c.Say("quote.note"), Max: 500},
	}
	for i := range maxFormLines {
		n, line := strconv.Itoa(i+1), fmt.Sprintf("lines[%d].", i)
		fields = append(fields,
			ui.Field{Name: line + "service", Label: c.Say("quote.line.service", "n", n), Options: append([]ui.Option{{Text: "–"}}, options...)},
			ui.Field{Name: line + "amount", Label: c.Say("quote.line.amount", "n", n), Mode: "numeric", Narrow: true},
			ui.Field{Name: line + "months", Label: c.Say("quote.line.months", "n", n), Value: strconv.Itoa(commerce.DefaultMonths), Mode: "numeric", Narrow: true},
			ui.Field{Name: line + "price", Label: c.Say("quote.line.price", "n", n), Hint: c.Say("quote.line.price.hint"), Mode: "decimal", Narrow: true},
		)
	}
	if values != nil {
		for i := range fields {
			fields[i].Value = values.Get(fields[i].Name)
		}
	}
	return fields, nil
}

// quoteAccount returns the account that a new quote is for.
func (c *call) quoteAccount(text string) (telamon.Account, error) {
	id, err := telamon.ParseAccountID(text)
	if err != nil {
		return telamon.Account{}, page.OrNotFound(err)
	}
	if err := authz.Check(c.Actor, authz.QuoteCreate, id); err != nil {
		return telamon.Account{}, err
	}
	return c.iam.Account(c.Context(), c.Actor, id)
}

// newQuote serves GET /operator/quotes/new.
func (c *call) newQuote() error {
	a, err := c.quoteAccount(c.R.URL.Query().Get("account"))
	if err != nil {
		return err
	}
	fields, err := c.quoteFields(nil)
	if err != nil {
		return err
	}
	return c.showNew(http.StatusOK, a, fields)
}

func (c *call) showNew(status int, a telamon.Account, fields []ui.Field) error {
	up := &ui.Link{Text: a.Name, URL: accountPath(a.ID)}
	form := ui.Form{Action: quotesPath + "/new", Button: c.Say("quote.make"), Cancel: c.CancelTo(up.URL), Hidden: []ui.Option{{Value: "account", Text: a.ID.String()}}}
	head := ui.Head{Up: up, Title: c.Say("quote.new.title", "name", a.Name), Lead: c.Say("quote.new.lead")}
	return c.Show(status, head.Title, page.FormPage(head, form, fields))
}

// createQuote serves POST /operator/quotes/new.
func (c *call) createQuote() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	a, err := c.quoteAccount(form.Get("account"))
	if err != nil {
		return err
	}
	spec, err := readQuote(form)
	if err == nil {
		q, createErr := c.commerce.CreateQuote(c.Context(), c.Actor, a.ID, spec)
		if createErr == nil {
			return c.Redirect(quotePath(q.ID))
		}
		err = createErr
	}
	fields, fieldsErr := c.quoteFields(form)
	if fieldsErr != nil {
		return fieldsErr
	}
	if !fault.Is(err, fault.Invalid) {
		return err
	}
	page.Blame(c.R, fields, err, map[string]string{"lines": "quote.line.none"})
	if f := fault.From(err); len(f.Fields) > 0 && f.Fields[0].Path == "lines" {
		fields[3].Error = c.Say("quote.line.none")
	}
	return c.showNew(http.StatusUnprocessableEntity, a, fields)
}

// readQuote reads the form of a quote. A line without a service is none; one without a price
// is a trial.
func readQuote(form url.Values) (commerce.QuoteSpec, error) {
	spec := commerce.QuoteSpec{Currency: strings.TrimSpace(form.Get("currency")), Note: strings.TrimSpace(form.Get("note"))}
	var wrong []fault.Field
	if day, err := time.Parse(time.DateOnly, form.Get("valid_until")); err == nil {
		spec.ValidUntil = day.Add(24*time.Hour - time.Second)
	}
	for i := range maxFormLines {
		at := func(name string) string { return strings.TrimSpace(form.Get(fmt.Sprintf("lines[%d].%s", i, name))) }
		if at("service") == "" {
			continue
		}
		line := commerce.Line{Service: telamon.ServiceID(at("service")), Trial: at("price") == ""}
		number := func(name string, bits int) int64 {
			n, err := strconv.ParseInt(at(name), 10, bits)
			if err != nil && at(name) != "" {
				wrong = append(wrong, fault.Field{Path: fmt.Sprintf("lines[%d].%s", i, name), Problem: "is no number"})
			}
			return n
		}
		line.Amount, line.Months = number("amount", 64), int(number("months", 32))
		if !line.Trial {
			var err error
			if line.Price, err = commerce.ParsePrice(at("price"), spec.Currency); err != nil {
				wrong = append(wrong, fault.Field{Path: fmt.Sprintf("lines[%d].price", i), Problem: err.Error()})
			}
		}
		spec.Lines = append(spec.Lines, line)
	}
	if len(wrong) > 0 {
		return spec, &fault.Fault{Kind: fault.Invalid, Code: "invalid_quote", Detail: "A number cannot be read.", Fields: wrong}
	}
	return spec, nil
}

// quoteFound returns the quote that the path names, to staff alone.
func (c *call) quoteFound() (*telamon.Quote, error) {
	id, err := telamon.ParseQuoteID(c.R.PathValue("quote"))
	if err != nil {
		return nil, page.OrNotFound(err)
	}
	return c.commerce.AnyQuote(c.Context(), c.Actor, id)
}

// quote serves GET /operator/quotes/{quote}.
func (c *call) quote() error {
	q, err := c.quoteFound()
	if err != nil {
		return err
	}
	account, err := c.iam.Account(c.Context(), c.Actor, q.Account)
	if err != nil {
		return err
	}
	lines, err := page.QuoteLines(c.Call, q, c.commerce)
	if err != nil {
		return err
	}
	facts := append([]ui.Fact{{Key: c.Say("quote.account"), Value: ui.Words(account.Name)}}, page.QuoteFacts(c.Call, q)...)
	state := page.QuoteState(c.Call, q)
	head := ui.Head{
		Up: &ui.Link{Text: c.Say("quote.all"), URL: quotesPath}, Title: c.Say("quote.title", "total", page.Money(q.Total(), q.Currency)), Lead: q.Note, State: &state,
	}
	var forms []ui.Form
	if q.State == telamon.QuoteDraft && c.mayAny(authz.QuoteSend) {
		forms = append(forms, ui.Form{Action: quotePath(q.ID) + "/send", Button: c.Say("quote.send")})
	}
	if q.State == telamon.QuoteCreditCheck && c.mayAny(authz.QuoteClear) {
		forms = append(forms, ui.Form{Action: quotePath(q.ID) + "/clear", Button: c.Say("quote.clear")})
	}
	if commerce.MayBecome(q.State, telamon.QuoteCancelled) && c.mayAny(authz.QuoteCancel) {
		head.Quiet = []ui.Link{{Text: c.Say("quote.cancel.button"), URL: quotePath(q.ID) + "/cancel"}}
	}
	return c.Show(http.StatusOK, head.Title, quotePage(head, facts, lines, forms))
}
