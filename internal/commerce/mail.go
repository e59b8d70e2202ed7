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

// mailParams are the parameters of a mail, about a quote or about quota.
type mailParams struct {
	Locale  string          `json:"locale,omitempty"` // of the reader
	Quote   telamon.QuoteID `json:"quote,omitempty"`
	Service string          `json:"service,omitempty"`
	Percent int64           `json:"percent,omitempty"`
	Used    int64           `json:"used,omitempty"`
	Amount  int64           `json:"amount,omitempty"`
}

// mails returns the mails to the buyers of a quote's account that tell what it becomes.
func (s *Service) mails(ctx context.Context, q *telamon.Quote, becomes telamon.QuoteState) (store.Extra, error) {
	return s.mailsTo(ctx, q.Account, templateOf[becomes], mailParams{Quote: q.ID})
}

// mailsTo returns the mails to the buyers of an account, each in the reader's language.
func (s *Service) mailsTo(ctx context.Context, account telamon.AccountID, template string, params mailParams) (extra store.Extra, err error) {
	page := store.Page{Limit: 1000}
	for {
		users, err := s.store.Users(ctx, account, page)
		if err != nil {
			return extra, err
		}
		for _, u := range users {
			buys := slices.ContainsFunc(u.Roles, func(role string) bool { return slices.Contains(buyers, role) })
			if buys && u.Kind == telamon.StandardUser && u.Status(s.clock.Now()) == telamon.UserActive && len(extra.Mails) < maxRecipients {
				params.Locale = u.Locale
				text, err := json.Marshal(params)
				if err != nil {
					return extra, fmt.Errorf("encode the mail %s: %w", template, err)
				}
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
	text, err := json.Marshal(mailParams{Quote: q.ID})
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
	var p mailParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	if m.Template == notify.TemplateQuotaUsed {
		return s.renderQuota(ctx, m, p)
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
		Locale: p.Locale, Platform: s.platform, Account: account.Name, Quote: q.ID.String(), Total: Price(q.Total(), q.Currency) + " " + q.Currency, Deadline: q.ValidUntil,
		CreditCheck: s.checksCredit(&q), Cancelled: q.State == telamon.QuoteCancelled, Reason: q.EndedWhy, At: m.CreatedAt,
	}
	if q.Acceptance != nil {
		data.Person, data.PO = q.Acceptance.Name, q.Acceptance.PO
	}
	for _, l := range q.Lines {
		service, err := s.store.Service(ctx, l.Service)
		if err != nil {
			return notify.Message{}, err
		}
		line := notify.QuoteLine{Service: service.Name, Amount: l.Amount, Months: l.Months}
		if !l.Trial {
			line.Price = Price(l.Price, q.Currency) + " " + q.Currency
		}
		data.Lines = append(data.Lines, line)
	}
	if s.portalURL != "" && m.Account != "" {
		data.Link = s.portalURL + QuotePath + q.ID.String()
	}
	return notify.RenderQuote(m.Template, data)
}

func (s *Service) renderQuota(ctx context.Context, m *store.Mail, p mailParams) (notify.Message, error) {
	account, err := s.store.Account(ctx, m.Account)
	if err != nil {
		return notify.Message{}, err
	}
	data := notify.QuotaMail{
		Locale: p.Locale, Platform: s.platform, Account: account.Name, Service: p.Service, Percent: p.Percent, Used: p.Used, Amount: p.Amount, At: m.CreatedAt,
	}
	if s.portalURL != "" {
		data.Link = s.portalURL + ServicesPath
	}
	return notify.RenderQuota(data)
}
