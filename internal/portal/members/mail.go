package members

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// mailRoutes are the pages of the mails that were sent.
func (p *Pages) mailRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.MailPath, p.person((*call).mails))
	mux.HandleFunc("POST "+page.MailPath+"/history", p.person((*call).setHistory))
	mux.HandleFunc("GET "+page.MailPath+"/{id}", p.person((*call).mail))
}

// mailStates are the tone and the message of each state.
var mailStates = map[store.MailState]ui.State{
	store.MailQueued: {Tone: ui.Pending, Word: "mail.queued"}, store.MailSent: {Tone: ui.Good, Word: "mail.sent"}, store.MailFailed: {Tone: ui.Bad, Word: "mail.failed"},
}

func (c *call) mailState(m *store.Mail) ui.State {
	s := mailStates[m.State]
	s.Word, s.Reason = c.Say(s.Word), m.LastError
	return s
}

// mails serves GET /mail.
func (c *call) mails() error {
	q := c.R.URL.Query()
	f := store.MailFilter{
		Account: c.Account(), Recipient: q.Get("q"), State: store.MailState(q.Get("state")), After: telamon.MailID(q.Get("after")), Limit: page.PerPage,
		From: day(q.Get("from")), To: day(q.Get("to")),
	}
	if !f.To.IsZero() {
		f.To = f.To.AddDate(0, 0, 1)
	}
	list, err := c.iam.Mails(c.Context(), c.Actor, f)
	head := ui.Head{Title: c.Say("mail.title"), Lead: c.Say("mail.lead")}
	switchable := c.May(authz.AccountSettings)
	if err != nil && fault.From(err).Code == "mail_history_off" {
		return c.Show(http.StatusOK, head.Title, mailOffPage(head, switchable))
	}
	if err != nil {
		return err
	}
	table := ui.Table{
		Label: c.Say("mail.title"), Empty: ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("mail.empty")},
		Columns: []ui.Column{{Name: c.Say("mail.at")}, {Name: c.Say("mail.to")}, {Name: c.Say("mail.about")}, {Name: c.Say("credential.state")}},
	}
	for _, m := range list.Mails {
		table.Rows = append(table.Rows, ui.Row{URL: page.MailPath + "/" + m.ID.String(), Cells: page.Cells(
			ui.Moment(m.CreatedAt), ui.Words(m.Recipient), ui.Words(c.MailName(m.Template)), ui.Status(c.mailState(&m)))})
	}
	n := int64(len(list.Mails))
	table.Pager = &ui.Pager{First: min(1, n), Last: n, Total: n}
	if f.After != "" {
		table.Pager.Previous, table.Pager.Total = page.Address(page.MailPath, q, "after", ""), -1
	}
	if list.Next != "" {
		table.Pager.Next, table.Pager.Total = page.Address(page.MailPath, q, "after", list.Next.String()), -1
	}
	state := ui.Field{Name: "state", Label: c.Say("credential.state"), Value: string(f.State), Options: []ui.Option{{Text: c.Say("list.any")}}}
	for _, s := range []store.MailState{store.MailQueued, store.MailSent, store.MailFailed} {
		state.Options = append(state.Options, ui.Option{Value: string(s), Text: c.Say(mailStates[s].Word)})
	}
	filter := ui.Filter{Action: page.MailPath, Search: q.Get("q"), Hint: c.Say("mail.to"), Target: "list", Fields: []ui.Field{
		{Name: "from", Label: c.Say("audit.from"), Type: "date", Value: q.Get("from"), Narrow: true},
		{Name: "to", Label: c.Say("audit.to"), Type: "date", Value: q.Get("to"), Narrow: true}, state,
	}}
	return c.Show(http.StatusOK, head.Title, mailsPage(head, filter, table, switchable))
}

// setHistory serves POST /mail/history, which switches the list on or off.
func (c *call) setHistory() error {
	to := store.AccountSettings{MailHistory: c.R.PostFormValue("history") == "on"}
	if err := c.iam.SetAccountSettings(c.Context(), c.Actor, c.Account(), to); err != nil {
		return err
	}
	return c.Redirect(page.MailPath)
}

// mail serves GET /mail/{id}: what the mail said, with what would open something left out.
func (c *call) mail() error {
	id, err := telamon.ParseMailID(c.R.PathValue("id"))
	if err != nil {
		return page.OrNotFound(err)
	}
	m, err := c.iam.Mail(c.Context(), c.Actor, c.Account(), id)
	if err != nil {
		return err
	}
	state := c.mailState(m)
	facts := []ui.Fact{
		{Key: c.Say("mail.to"), Value: ui.Words(m.Recipient)}, {Key: c.Say("mail.at"), Value: ui.Moment(m.CreatedAt)},
		{Key: c.Say("mail.ended"), Value: ui.MomentIf(m.EndedAt)},
	}
	if state.Reason != "" {
		facts = append(facts, ui.Fact{Key: c.Say("mail.problem"), Value: ui.Words(state.Reason)})
		state.Reason = ""
	}
	text := ""
	if c.render != nil {
		message, err := c.render(c.Context(), m)
		switch {
		case err == nil:
			facts, text = append(facts, ui.Fact{Key: c.Say("mail.subject"), Value: ui.Words(message.Subject)}), message.Text
		case !errors.Is(err, notify.ErrMoot) && !fault.Is(err, fault.NotFound):
			return err
		}
	}
	head := ui.Head{Up: &ui.Link{Text: c.Say("mail.title"), URL: page.MailPath}, Title: c.MailName(m.Template), ID: id.String(), State: &state}
	head.Quiet = []ui.Link{{Text: c.Say("mail.same"), URL: page.MailPath + "?" + url.Values{"q": {m.Recipient}}.Encode()}}
	return c.Show(http.StatusOK, head.Title, mailPage(head, facts, text))
}
