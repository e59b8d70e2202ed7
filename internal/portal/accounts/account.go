package accounts

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

const accountsPath = page.OperatorAccountsPath

func accountPath(id telamon.AccountID) string { return accountsPath + "/" + id.String() }

func (p *Pages) accountRoutes(mux page.Router) {
	mux.HandleFunc("GET "+accountsPath, p.person((*call).accounts))
	mux.HandleFunc("GET "+accountsPath+"/{account}", p.person((*call).account))
	mux.HandleFunc("POST "+accountsPath+"/{account}/grant", p.person((*call).grant))
	for _, verb := range []string{"disable", "enable"} {
		mux.HandleFunc("GET "+accountsPath+"/{account}/"+verb, p.person(func(c *call) error { return c.askState(verb) }))
		mux.HandleFunc("POST "+accountsPath+"/{account}/"+verb, p.person(func(c *call) error { return c.setState(verb) }))
	}
}

// stateOf is a state in words.
func (c *call) stateOf(s telamon.State) ui.State {
	words := page.StateWords[s]
	words.Word = c.Say(words.Word)
	return words
}

// accounts serves GET /operator/accounts, by name.
func (c *call) accounts() error {
	q := c.R.URL.Query()
	f := store.AccountFilter{
		Search: strings.TrimSpace(q.Get("q")), State: telamon.State(q.Get("state")), After: q.Get("after"), Limit: page.PerPage,
	}
	list, total, before, err := c.commerce.Accounts(c.Context(), c.Actor, f)
	if err != nil {
		return err
	}
	l := c.Language()
	table := ui.Table{
		Label: c.Say("accounts.title"), Empty: ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")},
		Columns: []ui.Column{
			{Name: c.Say("credential.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("accounts.users"), Number: true},
			{Name: c.Say("services.title"), Number: true}, {Name: c.Say("credentials.title"), Number: true}, {Name: c.Say("quote.created")},
		},
		Pager: &ui.Pager{First: before + 1, Last: before + int64(len(list)), Total: total},
	}
	for _, a := range list {
		table.Rows = append(table.Rows, ui.Row{URL: accountPath(a.ID), Cells: page.Cells(
			ui.Words(a.Name), ui.Status(c.stateOf(a.State)), ui.Words(l.Count(a.Users)), ui.Words(l.Count(a.Subscriptions)),
			ui.Words(l.Count(a.Credentials)), ui.Day(a.CreatedAt),
		)})
	}
	next := url.Values{"q": {f.Search}, "state": {string(f.State)}}
	if before > 0 {
		table.Pager.Previous = accountsPath + "?" + next.Encode()
	}
	if before+int64(len(list)) < total && len(list) > 0 {
		next.Set("after", list[len(list)-1].Name)
		table.Pager.Next = accountsPath + "?" + next.Encode()
	}
	filter := ui.Filter{
		Action: accountsPath, Search: f.Search, Hint: c.Say("accounts.search"), Target: "list",
		Fields: []ui.Field{{Name: "state", Label: c.Say("credential.state"), Value: string(f.State), Options: []ui.Option{
			{Text: c.Say("list.any")}, {Value: string(telamon.Active), Text: c.Say("state.active")},
			{Value: string(telamon.Disabled), Text: c.Say("state.disabled")}, {Value: string(telamon.Deleted), Text: c.Say("state.deleted")},
		}}},
	}
	head := ui.Head{Title: c.Say("accounts.title"), Lead: c.Say("accounts.lead")}
	if c.mayAny(authz.QuoteRead) {
		head.Quiet = []ui.Link{{Text: c.Say("quote.all"), URL: quotesPath}}
	}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, true))
}

// mayAny reports whether the person may do something to whatever account.
func (c *call) mayAny(action authz.Action) bool { return authz.Check(c.Actor, action, "") == nil }

// found returns the account that the path names, to staff alone.
func (c *call) found() (telamon.Account, error) {
	id, err := telamon.ParseAccountID(c.R.PathValue("account"))
	if err != nil {
		return telamon.Account{}, page.OrNotFound(err)
	}
	if err := authz.Check(c.Actor, authz.AccountRead, ""); err != nil {
		return telamon.Account{}, err
	}
	return c.iam.Account(c.Context(), c.Actor, id)
}

// account serves GET /operator/accounts/{account}.
func (c *call) account() error {
	a, err := c.found()
	if err != nil {
		return err
	}
	fields, err := c.grantFields()
	if err != nil {
		return err
	}
	return c.showAccount(http.StatusOK, a, fields)
}

// hidden makes nothing of the refusal of what a role does not show.
func hidden(err error) error {
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func (c *call) showAccount(status int, a telamon.Account, fields []ui.Field) error {
	ctx, l := c.Context(), c.Language()
	state := c.stateOf(a.State)
	view := accountView{Facts: []ui.Fact{
		{Key: c.Say("accounts.id"), Value: ui.Identifier(a.ID.String())}, {Key: c.Say("quote.created"), Value: ui.Moment(a.CreatedAt)},
	}}
	count := func(key string, n int, err error) error {
		if err == nil {
			view.Facts = append(view.Facts, ui.Fact{Key: c.Say(key), Value: ui.Words(l.Count(int64(n)))})
		}
		return hidden(err)
	}
	all := store.Page{Limit: page.MaxRows}
	users, err := c.iam.Users(ctx, c.Actor, a.ID, all)
	if err := count("accounts.users", len(users), err); err != nil {
		return err
	}
	identities, err := c.iam.Identities(ctx, c.Actor, a.ID, all)
	if err := count("identities.title", len(identities), err); err != nil {
		return err
	}
	credentials, err := c.iam.Credentials(ctx, c.Actor, a.ID, all)
	if err := count("credentials.title", len(credentials), err); err != nil {
		return err
	}
	products, err := c.commerce.Products(ctx, c.Actor, a.ID)
	if hidden(err) != nil {
		return err
	}
	view.Products = ui.Table{Label: c.Say("services.title"), Empty: ui.Empty{Title: c.Say("services.empty")}, Columns: []ui.Column{
		{Name: c.Say("credential.service")}, {Name: c.Say("services.left"), Number: true}, {Name: c.Say("services.granted"), Number: true}, {Name: c.Say("services.ends")},
	}}
	for _, p := range products {
		left, granted := l.Count(p.Left), l.Count(p.Granted)
		if p.Service.Unlimited {
			left, granted = c.Say("services.unlimited"), "–"
		}
		view.Products.Rows = append(view.Products.Rows, ui.Row{Cells: page.Cells(ui.Words(p.Service.Name), ui.Words(left), ui.Words(granted), ui.Day(p.EndsAt))})
	}
	if a.State == telamon.Active && c.mayAny(authz.SubscriptionGrant) && len(fields) > 0 {
		view.Fields = fields
		view.Form = ui.Form{Action: accountPath(a.ID) + "/grant", Button: c.Say("accounts.grant.button")}
	}
	head := ui.Head{Up: &ui.Link{Text: c.Say("accounts.title"), URL: accountsPath}, Title: a.Name, State: &state}
	if c.mayAny(authz.QuoteCreate) && a.State == telamon.Active {
		head.Act = &ui.Link{Text: c.Say("quote.new"), URL: quotesPath + "/new?account=" + a.ID.String()}
	}
	switch {
	case a.State == telamon.Active && c.mayAny(authz.AccountDisable):
		head.Quiet = []ui.Link{{Text: c.Say("accounts.disable.button"), URL: accountPath(a.ID) + "/disable"}}
	case a.State == telamon.Disabled && c.mayAny(authz.AccountEnable):
		head.Quiet = []ui.Link{{Text: c.Say("accounts.enable.button"), URL: accountPath(a.ID) + "/enable"}}
	}
	return c.Show(status, a.Name, accountPage(head, view))
}

// services are the services as options, none for who may not see them.
func (c *call) services() ([]ui.Option, error) {
	list, err := c.iam.Services(c.Context(), c.Actor, store.Page{Limit: page.MaxRows})
	if hidden(err) != nil {
		return nil, err
	}
	var options []ui.Option
	for _, s := range list {
		options = append(options, ui.Option{Value: s.ID.String(), Text: s.Name})
	}
	return options, nil
}

// grantFields are what is asked of who grants a service.
func (c *call) grantFields() ([]ui.Field, error) {
	options, err := c.services()
	if err != nil || len(options) == 0 {
		return nil, err
	}
	return []ui.Field{
		{Name: "service", Label: c.Say("credential.service"), Options: options},
		{Name: "amount", Label: c.Say("quote.amount"), Hint: c.Say("accounts.grant.amount"), Mode: "numeric", Narrow: true},
		{Name: "ends_at", Label: c.Say("services.ends"), Type: "date", Narrow: true, Value: c.Clock.Now().AddDate(1, 0, 0).UTC().Format(time.DateOnly)},
	}, nil
}

// grant serves POST /operator/accounts/{account}/grant: a subscription if there is none, and
// quota unless the service draws none.
func (c *call) grant() error {
	a, err := c.found()
	if err != nil {
		return err
	}
	form, err := c.Form()
	if err != nil {
		return err
	}
	fields, err := c.grantFields()
	if err != nil {
		return err
	}
	for i := range fields {
		fields[i].Value = form.Get(fields[i].Name)
	}
	id, err := telamon.ParseServiceID(form.Get("service"))
	if err != nil {
		return page.OrNotFound(err)
	}
	service, err := c.iam.Service(c.Context(), c.Actor, id)
	if err != nil {
		return err
	}
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	if err != nil {
		amount = 0
	}
	ends, err := time.Parse(time.DateOnly, form.Get("ends_at"))
	if err != nil {
		ends = time.Time{}
	}
	grant := iam.Grant{Account: a.ID, Amount: amount, EndsAt: ends}
	if err := c.iam.CheckGrant(grant); err != nil && !service.Unlimited {
		page.Blame(c.R, fields, err, map[string]string{"amount": "accounts.grant.wrong_amount", "ends_at": "accounts.grant.wrong_end"})
		return c.showAccount(http.StatusUnprocessableEntity, a, fields)
	}
	products, err := c.commerce.Products(c.Context(), c.Actor, a.ID)
	if err != nil {
		return err
	}
	for _, p := range products {
		if p.Service.ID == id {
			grant.Subscription = p.Subscription.ID
		}
	}
	if grant.Subscription == "" {
		sub, err := c.iam.Subscribe(c.Context(), c.Actor, a.ID, id)
		if err != nil {
			return err
		}
		grant.Subscription = sub.ID
	}
	if !service.Unlimited {
		if _, err := c.iam.GrantQuota(c.Context(), c.Actor, grant); err != nil {
			return err
		}
	}
	return c.Redirect(accountPath(a.ID))
}

// askState serves GET /operator/accounts/{account}/disable and /enable.
func (c *call) askState(verb string) error {
	a, err := c.found()
	if err != nil {
		return err
	}
	action := map[string]authz.Action{"disable": authz.AccountDisable, "enable": authz.AccountEnable}[verb]
	if err := authz.Check(c.Actor, action, a.ID); err != nil {
		return err
	}
	key := "accounts." + verb
	title := c.Say(key+".ask", "name", a.Name)
	up := &ui.Link{Text: a.Name, URL: accountPath(a.ID)}
	return c.Show(http.StatusOK, title, page.ConfirmPage(ui.Head{Up: up, Title: title}, ui.Confirmation{
		Object:  []ui.Fact{{Key: c.Say("accounts.id"), Value: ui.Identifier(a.ID.String())}},
		Effects: []string{c.Say(key + ".effect")}, Keeps: c.Say(key + ".keeps"),
		Form: ui.Form{Action: accountPath(a.ID) + "/" + verb, Button: c.Say(key + ".button"), Danger: verb == "disable", Cancel: c.CancelTo(up.URL)},
	}))
}

// setState serves POST /operator/accounts/{account}/disable and /enable.
func (c *call) setState(verb string) error {
	a, err := c.found()
	if err != nil {
		return err
	}
	do := c.iam.DisableAccount
	if verb == "enable" {
		do = c.iam.EnableAccount
	}
	if err := do(c.Context(), c.Actor, a.ID); err != nil && !fault.Is(err, fault.Conflict) {
		return err
	}
	return c.Redirect(accountPath(a.ID))
}
