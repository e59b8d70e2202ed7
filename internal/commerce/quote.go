package commerce

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// quoteMoves are the steps of a quote's life that are allowed (spec:
// portal-and-onboarding.md, Section 3.3). A quote that was accepted cannot be taken back
// by its account.
var quoteMoves = map[telamon.QuoteState][]telamon.QuoteState{
	telamon.QuoteDraft:       {telamon.QuoteSent, telamon.QuoteCancelled},
	telamon.QuoteSent:        {telamon.QuoteAccepted, telamon.QuoteExpired, telamon.QuoteCancelled},
	telamon.QuoteAccepted:    {telamon.QuoteCreditCheck, telamon.QuoteActive},
	telamon.QuoteCreditCheck: {telamon.QuoteActive, telamon.QuoteCancelled},
	telamon.QuoteActive:      {telamon.QuoteExpired, telamon.QuoteCancelled},
}

// MayBecome reports whether a quote in one state may move to another.
func MayBecome(from, to telamon.QuoteState) bool { return slices.Contains(quoteMoves[from], to) }

func mustMove(q *telamon.Quote, to telamon.QuoteState) error {
	if !MayBecome(q.State, to) {
		return fault.New(fault.Conflict, "wrong_state", fmt.Sprintf("The quote is %s, so it cannot become %s.", q.State, to))
	}
	return nil
}

// Bounds of a quote.
const (
	maxLines     = 50
	maxNote      = 500 // characters
	maxMonths    = 60
	maxAmount    = 1<<31 - 1 // what clients read as a 32-bit integer
	longestOffer = 366 * 24 * time.Hour

	// DefaultMonths is the term of a line that says none.
	DefaultMonths = 12
	// DefaultOffer is for how long a quote that says nothing can be accepted.
	DefaultOffer = 30 * 24 * time.Hour
)

// A QuoteSpec is what staff says of a quote.
type QuoteSpec struct {
	Currency   string // ISO 4217
	Note       string // to the customer; may be empty
	ValidUntil time.Time
	Lines      []Line
}

// A Line is one service of a quote.
type Line struct {
	Service telamon.ServiceID
	Amount  int64 // certificates; 0 for a service without quota
	Months  int   // 0 is DefaultMonths
	Trial   bool  // has no price
	Price   int64 // in minor units of the currency
}

// check checks what staff says of a quote, and returns its lines. ValidUntil is kept in
// whole seconds.
func (s *Service) check(ctx context.Context, spec *QuoteSpec) ([]telamon.QuoteLine, error) {
	var p problems
	now := s.clock.Now()
	if spec.ValidUntil.IsZero() {
		spec.ValidUntil = now.Add(DefaultOffer)
	}
	spec.ValidUntil = spec.ValidUntil.UTC().Truncate(time.Second)
	if _, ok := digitsOf(spec.Currency); !ok {
		p.Add("currency", "is no currency such as EUR")
	}
	if spec.Note != "" {
		p.Text("note", spec.Note, maxNote)
	}
	if !spec.ValidUntil.After(now) || spec.ValidUntil.After(now.Add(longestOffer)) {
		p.Add("valid_until", "is not in the year to come")
	}
	if len(spec.Lines) < 1 || len(spec.Lines) > maxLines {
		p.Add("lines", fmt.Sprintf("are not 1 to %d", maxLines))
		return nil, p.Fault("invalid_quote")
	}
	lines := make([]telamon.QuoteLine, len(spec.Lines))
	for i, l := range spec.Lines {
		if l.Months == 0 {
			l.Months = DefaultMonths
		}
		service, err := s.store.Service(ctx, l.Service)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		p.line(fmt.Sprintf("lines[%d].", i), l, service, err == nil)
		lines[i] = telamon.QuoteLine{Service: l.Service, Amount: l.Amount, Months: l.Months, Trial: l.Trial, Price: l.Price}
	}
	return lines, p.Fault("invalid_quote")
}

// line checks a line for a service, which was found or not.
func (p *problems) line(path string, l Line, service telamon.Service, found bool) {
	switch {
	case !found:
		p.Add(path+"service", "is no service")
	case service.Unlimited && l.Amount != 0:
		p.Add(path+"amount", "must be 0: the service draws no quota")
	case !service.Unlimited && (l.Amount < 1 || l.Amount > maxAmount):
		p.Add(path+"amount", "is not from 1 to 2147483647")
	}
	if l.Months < 1 || l.Months > maxMonths {
		p.Add(path+"months", fmt.Sprintf("is not from 1 to %d", maxMonths))
	}
	switch {
	case l.Price < 0 || l.Price > MaxPrice:
		p.Add(path+"price", "is not from 0 to 1000000000000 minor units")
	case l.Trial && l.Price != 0:
		p.Add(path+"price", "must be 0: it is a trial")
	}
}

// CreateQuote makes a draft for an account, which does not see it yet. It reports Invalid,
// with a field for each thing that is wrong, and NotFound if there is no such account.
func (s *Service) CreateQuote(ctx context.Context, actor telamon.Actor, account telamon.AccountID, spec QuoteSpec) (*telamon.Quote, error) {
	if err := authz.Check(actor, authz.QuoteCreate, account); err != nil {
		return nil, err
	}
	lines, err := s.check(ctx, &spec)
	if err != nil {
		return nil, err
	}
	q := &telamon.Quote{
		ID: telamon.NewQuoteID(), Account: account, Currency: spec.Currency, Note: spec.Note, Lines: lines, ValidUntil: spec.ValidUntil,
	}
	return q, s.store.CreateQuote(ctx, actor, q, store.Extra{})
}

// EditQuote replaces all that is said of a draft. It reports Invalid, NotFound, and
// Conflict with wrong_state or changed_meanwhile.
func (s *Service) EditQuote(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.QuoteID, spec QuoteSpec) (*telamon.Quote, error) {
	q, err := s.mine(ctx, actor, authz.QuoteUpdate, account, id)
	if err != nil {
		return nil, err
	}
	if q.State != telamon.QuoteDraft {
		return nil, fault.New(fault.Conflict, "wrong_state", fmt.Sprintf("The quote is %s: only a draft can be changed.", q.State))
	}
	if q.Lines, err = s.check(ctx, &spec); err != nil {
		return nil, err
	}
	q.Currency, q.Note, q.ValidUntil = spec.Currency, spec.Note, spec.ValidUntil
	return q, s.store.EditQuote(ctx, actor, q)
}

// mine returns a quote of the account that the actor may do the action to. To users of the
// account there are no drafts.
func (s *Service) mine(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.QuoteID) (*telamon.Quote, error) {
	if err := authz.Check(actor, action, account); err != nil {
		return nil, err
	}
	q, err := s.store.Quote(ctx, account, id)
	if err != nil {
		return nil, err
	}
	if q.State == telamon.QuoteDraft && !seesDrafts(actor) {
		return nil, fault.New(fault.NotFound, "quote_not_found", "There is no such quote.")
	}
	return &q, nil
}

// seesDrafts reports whether the actor is one of those who write quotes.
func seesDrafts(actor telamon.Actor) bool { return authz.Check(actor, authz.QuoteCreate, "") == nil }

// Quote returns a quote of the account. It reports NotFound.
func (s *Service) Quote(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.QuoteID) (*telamon.Quote, error) {
	return s.mine(ctx, actor, authz.QuoteRead, account, id)
}

// AnyQuote returns a quote of whatever account, for staff. It reports NotFound.
func (s *Service) AnyQuote(ctx context.Context, actor telamon.Actor, id telamon.QuoteID) (*telamon.Quote, error) {
	if err := authz.Check(actor, authz.QuoteRead, ""); err != nil {
		return nil, err
	}
	q, err := s.store.Quote(ctx, "", id)
	return &q, err
}

// Quotes lists quotes, the newest first: those of an account, or for staff those of all
// accounts.
func (s *Service) Quotes(ctx context.Context, actor telamon.Actor, f store.QuoteFilter) ([]telamon.Quote, error) {
	if err := authz.Check(actor, authz.QuoteRead, f.Account); err != nil {
		return nil, err
	}
	f.Drafts = seesDrafts(actor)
	return s.store.Quotes(ctx, f)
}

// SendQuote shows a draft to its account, and mails its buyers. It reports NotFound, and
// Conflict with wrong_state, quote_over or changed_meanwhile.
func (s *Service) SendQuote(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.QuoteID) (*telamon.Quote, error) {
	q, err := s.mine(ctx, actor, authz.QuoteSend, account, id)
	if err != nil {
		return nil, err
	}
	if err := mustMove(q, telamon.QuoteSent); err != nil {
		return nil, err
	}
	if err := s.mustHold(q); err != nil {
		return nil, err
	}
	extra, err := s.mails(ctx, q, telamon.QuoteSent)
	if err != nil {
		return nil, err
	}
	if err := s.store.SendQuote(ctx, actor, q, extra); err != nil {
		return nil, err
	}
	s.wake()
	return s.reread(ctx, q)
}

// mustHold reports Conflict if the time of an offer is over.
func (s *Service) mustHold(q *telamon.Quote) error {
	if q.ValidUntil.After(s.clock.Now()) {
		return nil
	}
	return fault.New(fault.Conflict, "quote_over", "The quote could be accepted until "+q.ValidUntil.Format(time.RFC3339)+". Ask for a new one.")
}

func (s *Service) reread(ctx context.Context, q *telamon.Quote) (*telamon.Quote, error) {
	now, err := s.store.Quote(ctx, q.Account, q.ID)
	return &now, err
}

// ClearQuote says that the credit of an accepted quote is good: it becomes active without
// another acceptance. It reports NotFound, and Conflict with wrong_state or
// changed_meanwhile.
func (s *Service) ClearQuote(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.QuoteID) (*telamon.Quote, error) {
	q, err := s.mine(ctx, actor, authz.QuoteClear, account, id)
	if err != nil {
		return nil, err
	}
	if q.State != telamon.QuoteCreditCheck {
		return nil, fault.New(fault.Conflict, "wrong_state", fmt.Sprintf("The quote is %s: its credit is not being checked.", q.State))
	}
	extra, err := s.mails(ctx, q, telamon.QuoteActive)
	if err != nil {
		return nil, err
	}
	if err := s.store.ClearQuote(ctx, actor, q, extra); err != nil {
		return nil, err
	}
	s.activated(ctx, q)
	return s.reread(ctx, q)
}

// CancelQuote ends a quote that is not over, for a reason that its account is told if it
// has seen the quote. What is left of the packs of an active one is lost. It reports
// Invalid, NotFound, and Conflict with wrong_state or changed_meanwhile.
func (s *Service) CancelQuote(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.QuoteID, why string) (*telamon.Quote, error) {
	q, err := s.mine(ctx, actor, authz.QuoteCancel, account, id)
	if err != nil {
		return nil, err
	}
	var p problems
	p.Text("reason", why, maxNote)
	if err := p.Fault("invalid_quote"); err != nil {
		return nil, err
	}
	if err := mustMove(q, telamon.QuoteCancelled); err != nil {
		return nil, err
	}
	var extra store.Extra
	if q.State != telamon.QuoteDraft {
		if extra, err = s.mails(ctx, q, telamon.QuoteCancelled); err != nil {
			return nil, err
		}
	}
	if err := s.store.CancelQuote(ctx, actor, q, why, extra); err != nil {
		return nil, err
	}
	s.wake()
	return s.reread(ctx, q)
}

// overAt returns when a quote is over by itself: an offer when it cannot be accepted any
// more, an order when its last term ends. It is false for one with a line without end.
func overAt(q *telamon.Quote) (at time.Time, ends bool) {
	if q.State != telamon.QuoteActive {
		return q.ValidUntil, true
	}
	for _, l := range q.Lines {
		if l.Lot == "" {
			return at, false
		}
		if end := l.Ends(q.ActiveAt); end.After(at) {
			at = end
		}
	}
	return at, true
}

// runExpiry does the job that ends a quote when its time is over.
func (s *Service) runExpiry(ctx context.Context, job store.Job) (time.Time, error) {
	id, err := telamon.ParseQuoteID(job.Key)
	if err != nil {
		return time.Time{}, err
	}
	q, err := s.store.Quote(ctx, "", id)
	if err != nil {
		return time.Time{}, err
	}
	over, ends := overAt(&q)
	if !ends || !MayBecome(q.State, telamon.QuoteExpired) {
		return time.Time{}, nil
	}
	if over.After(s.clock.Now()) {
		return over, nil
	}
	err = s.store.ExpireQuote(ctx, system, &q)
	if fault.Is(err, fault.Conflict) { // it was accepted or cancelled meanwhile
		err = nil
	}
	return time.Time{}, err
}

// ServiceName returns the name of a service of a quote, to whoever may read the quote.
func (s *Service) ServiceName(ctx context.Context, actor telamon.Actor, q *telamon.Quote, id telamon.ServiceID) (string, error) {
	if err := authz.Check(actor, authz.QuoteRead, q.Account); err != nil {
		return "", err
	}
	service, err := s.store.Service(ctx, id)
	return service.Name, err
}
