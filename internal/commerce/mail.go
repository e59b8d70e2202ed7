package commerce

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// The pages of the portal that mails lead to.
const (
	QuotePath    = "/quotes/" // and the quote's ID
	ServicesPath = "/services"
)

// buyers are the roles of those who are told of quotes and quota.
var buyers = []string{authz.RoleAdministrator, authz.RoleFinance}

// maxRecipients is to how many people of an account a mail goes at most.
const maxRecipients = 50

// templateOf is the mail that tells of what a quote has become.
var templateOf = map[telamon.QuoteState]string{
	telamon.QuoteSent: notify.TemplateQuoteSent, telamon.QuoteAccepted: notify.TemplateQuoteAccepted,
	telamon.QuoteActive: notify.TemplateQuoteResult, telamon.QuoteCancelled: notify.TemplateQuoteResult,
}

// Templates returns the names of the mails that RenderMail makes.
func Templates() []string {
	return []string{notify.TemplateQuoteSent, notify.TemplateQuoteAccepted, notify.TemplateQuoteResult, notify.TemplateQuotaUsed}
}

// quoteParams are the parameters of a mail about a quote.
type quoteParams struct {
	Quote telamon.QuoteID `json:"quote"`
}

// quotaParams are those of a mail about quota.
type quotaParams struct {
	Service string `json:"service"`
	Percent int64  `json:"percent"`
	Used    int64  `json:"used"`
	Amount  int64  `json:"amount"`
}

// mails returns the mails to the buyers of a quote's account that tell what it becomes.
func (s *Service) mails(ctx context.Context, q *telamon.Quote, becomes telamon.QuoteState) (store.Extra, error) {
	return s.mailsTo(ctx, q.Account, templateOf[becomes], quoteParams{q.ID})
}

func (s *Service) mailsTo(ctx context.Context, account telamon.AccountID, template string, params any) (extra store.Extra, err error) {
	text, err := json.Marshal(params)
	if err != nil {
		return extra, fmt.Errorf("encode the mail %s: %w", template, err)
	}
	page := store.Page{Limit: 1000}
	for {
		users, err := s.store.Users(ctx, account, page)
		if err != nil {
			return extra, err
		}
		for _, u := range users {
			buys := slices.ContainsFunc(u.Roles, func(role string) bool { return slices.Contains(buyers, role) })
			if buys && u.Kind == telamon.StandardUser && u.Status(s.clock.Now()) == telamon.UserActive && len(extra.Mails) < maxRecipients {
				extra.Mails = append(extra.Mails, store.Mail{Account: account, Recipient: u.Email, Template: template, Params: text})
			}
		}
		if len(users) < page.Limit {
			return extra, nil
		}
		page.After = users[len(users)-1].ID.String()
	}
}

// operatorMails tell the operators of a quote whose credit they check.
func (s *Service) operatorMails(q *telamon.Quote) (mails []store.Mail) {
	text, err := json.Marshal(quoteParams{q.ID})
	if err != nil {
		return nil // an ID can be encoded
	}
	for _, address := range s.mailboxes {
		mails = append(mails, store.Mail{Recipient: address, Template: notify.TemplateQuoteAccepted, Params: text})
	}
	return mails
}

// RenderMail makes the message of a mail that this package wrote. It reports
// notify.ErrMoot once a quote that can be accepted is none any more.
func (s *Service) RenderMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	if m.Template == notify.TemplateQuotaUsed {
		return s.renderQuota(ctx, m)
	}
	var p quoteParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	q, err := s.store.Quote(ctx, "", p.Quote)
	if fault.Is(err, fault.NotFound) || err == nil && m.Template == notify.TemplateQuoteSent && q.State != telamon.QuoteSent {
		return notify.Message{}, notify.ErrMoot
	}
	if err != nil {
		return notify.Message{}, err
	}
	account, err := s.store.Account(ctx, q.Account)
	if err != nil {
		return notify.Message{}, err
	}
	data := notify.QuoteMail{
		Account: account.Name, Quote: q.ID.String(), Total: Price(q.Total(), q.Currency) + " " + q.Currency, Deadline: q.ValidUntil,
		CreditCheck: s.checksCredit(&q), Cancelled: q.State == telamon.QuoteCancelled, Reason: q.EndedWhy,
	}
	data.At = m.CreatedAt
	if q.Acceptance != nil {
		data.Person, data.PO = q.Acceptance.Name, q.Acceptance.PO
	}
	for _, l := range q.Lines {
		service, err := s.store.Service(ctx, l.Service)
		if err != nil {
			return notify.Message{}, err
		}
		data.Lines = append(data.Lines, lineText(&q, l, service.Name))
	}
	if s.portalURL != "" && m.Account != "" {
		data.PortalURL = s.portalURL + QuotePath + q.ID.String()
	}
	return notify.Render(m.Template, data)
}

// lineText writes a line of a quote in a line of text.
func lineText(q *telamon.Quote, l telamon.QuoteLine, service string) string {
	amount := "without quota"
	if l.Amount > 0 {
		amount = fmt.Sprintf("%d certificates", l.Amount)
	}
	price := Price(l.Price, q.Currency) + " " + q.Currency
	if l.Trial {
		price = "a trial"
	}
	return fmt.Sprintf("%s: %s for %d months, %s", service, amount, l.Months, price)
}

func (s *Service) renderQuota(ctx context.Context, m *store.Mail) (notify.Message, error) {
	var p quotaParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	account, err := s.store.Account(ctx, m.Account)
	if err != nil {
		return notify.Message{}, err
	}
	data := notify.QuotaMail{Account: account.Name, Service: p.Service, Percent: p.Percent, Used: p.Used, Amount: p.Amount, At: m.CreatedAt}
	if s.portalURL != "" {
		data.PortalURL = s.portalURL + ServicesPath
	}
	return notify.Render(m.Template, data)
}
