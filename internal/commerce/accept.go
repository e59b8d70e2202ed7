package commerce

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/store"
)

// An Answer is what a customer says who accepts a quote.
type Answer struct {
	Quote bool   // the box of the quote is ticked
	Terms string // the version of the legal terms whose box is ticked; "": it is not
	PO    string // the purchase order number
	NoPO  bool   // they need none
}

const maxPO = 64 // characters

// check reports what is missing of an answer (QTE-01).
func (a *Answer) check() error {
	var p problems
	if !a.Quote {
		p.Add("quote", "is not ticked")
	}
	if a.Terms == "" {
		p.Add("terms", "is not ticked")
	}
	if (a.PO == "") != a.NoPO {
		p.Add("po_number", "give one, or tick that none is needed")
	}
	if p.Fault("") != nil {
		return &fault.Fault{
			Kind: fault.Invalid, Code: "quote_incomplete", Detail: `Tick both boxes and give a PO number or "no PO".`, Fields: p.Problems,
		}
	}
	if a.PO != "" {
		p.Text("po_number", a.PO, maxPO)
	}
	return p.Fault("invalid_quote")
}

// AcceptQuote accepts a quote for the account: once, however often it is asked for. When it
// returns, subscriptions and quota are there, or the quote waits for its credit to be
// cleared, and who accepted which terms when and from where is kept.
//
// It reports Invalid with quote_incomplete or invalid_quote, NotFound, and Conflict with
// wrong_state, quote_over, agreement_changed or changed_meanwhile.
func (s *Service) AcceptQuote(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.QuoteID, a Answer) (*telamon.Quote, error) {
	q, err := s.mine(ctx, actor, authz.QuoteAccept, account, id)
	if err != nil {
		return nil, err
	}
	if err := mustMove(q, telamon.QuoteAccepted); err != nil {
		return nil, err
	}
	if err := s.mustHold(q); err != nil {
		return nil, err
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	if a.Terms != s.terms {
		return nil, fault.New(fault.Conflict, "agreement_changed", "The agreement has changed. Read the new version.")
	}
	checks := s.checksCredit(q)
	to := telamon.QuoteActive
	if checks {
		to = telamon.QuoteCreditCheck
	}
	acceptance := telamon.Acceptance{By: actor.User, Name: actor.UserName, Address: actor.Address, Terms: a.Terms, PO: a.PO}
	q.Acceptance = &acceptance
	extra, err := s.mails(ctx, q, telamon.QuoteAccepted)
	if err != nil {
		return nil, err
	}
	if checks {
		extra.Mails = append(extra.Mails, s.operatorMails(q)...)
	}
	if err := s.store.AcceptQuote(ctx, actor, q, acceptance, checks, extra); err != nil {
		return nil, err
	}
	if to == telamon.QuoteActive {
		s.activated(ctx, q)
	}
	s.wake()
	return s.reread(ctx, q)
}

// checksCredit reports whether an operator must clear a quote.
func (s *Service) checksCredit(q *telamon.Quote) bool {
	limit, ok := s.limits[q.Currency]
	return ok && q.Total() > limit
}

// activated is called when a quote has become active: others see its subscriptions at
// once, and what else it brings is made, by its job if not now.
func (s *Service) activated(ctx context.Context, q *telamon.Quote) {
	for _, l := range q.Lines {
		s.directory.Refresh(ctx, store.Change{Kind: store.ChangeSubscription, Object: l.Subscription.String()})
	}
	if err := s.fulfil(ctx, q); err != nil {
		s.log.WarnContext(ctx, "an order is fulfilled later", "quote", q.ID, "error", err)
	}
	s.wake()
}

// fulfil makes what an active quote brings beyond subscriptions and quota: one identity for
// all services whose certificates name domains alone. Doing it again does nothing.
func (s *Service) fulfil(ctx context.Context, q *telamon.Quote) error {
	for _, l := range q.Lines {
		service, err := s.store.Service(ctx, l.Service)
		if err != nil {
			return err
		}
		if NamesDomainsAlone(&service) {
			return s.ensureDV(ctx, q.Account)
		}
	}
	return nil
}

// NamesDomainsAlone reports whether the service demands domains and takes nothing from an
// identity, so that an account needs no vetting for it (DV).
func NamesDomainsAlone(service *telamon.Service) bool {
	if !service.DomainValidation {
		return false
	}
	model, err := policy.ParseModel(service.PolicyTemplate)
	if err != nil {
		return false
	}
	_, err = model.Bind(nil)
	return err == nil
}

// runFulfil does the job of an active quote.
func (s *Service) runFulfil(ctx context.Context, job store.Job) (time.Time, error) {
	id, err := telamon.ParseQuoteID(job.Key)
	if err != nil {
		return time.Time{}, err
	}
	q, err := s.store.Quote(ctx, "", id)
	if err != nil || q.State != telamon.QuoteActive {
		return time.Time{}, err
	}
	return time.Time{}, s.fulfil(ctx, &q)
}

// Reorder makes a quote for what a pack of the account held, at its price and with a term
// of its own, which its buyers can accept for DefaultOffer. One that waits already is
// returned as it is.
//
// It reports NotFound, and Conflict with trial_not_reordered, pack_without_quote for one
// that was granted without a price, or wrong_state if its quote was cancelled.
func (s *Service) Reorder(ctx context.Context, actor telamon.Actor, account telamon.AccountID, lot telamon.LotID) (*telamon.Quote, error) {
	if err := authz.Check(actor, authz.QuoteReorder, account); err != nil {
		return nil, err
	}
	pack, err := s.store.PackOf(ctx, account, lot)
	if err != nil {
		return nil, err
	}
	switch {
	case pack.Trial:
		return nil, fault.New(fault.Conflict, "trial_not_reordered", "This was a trial. Ask for a quote.")
	case pack.Quote == "" || pack.Price == 0: // nothing would bound how often it is taken
		return nil, fault.New(fault.Conflict, "pack_without_quote", "This was granted without a price. Ask for a quote.")
	}
	of, err := s.store.Quote(ctx, account, pack.Quote)
	if err != nil {
		return nil, err
	}
	if of.State == telamon.QuoteCancelled {
		return nil, fault.New(fault.Conflict, "wrong_state", "The quote of this pack was cancelled. Ask for a new one.")
	}
	if pack.Position >= len(of.Lines) {
		return nil, fmt.Errorf("quote %s has no line %d", of.ID, pack.Position)
	}
	line := of.Lines[pack.Position]
	line.Subscription, line.Lot = "", ""
	if waiting, err := s.waiting(ctx, &of, line); waiting != nil || err != nil {
		return waiting, err
	}
	now := s.clock.Now().UTC().Truncate(time.Second)
	q := &telamon.Quote{
		ID: telamon.NewQuoteID(), Account: account, Currency: of.Currency, Lines: []telamon.QuoteLine{line}, ReorderOf: of.ID,
		SentAt: now, ValidUntil: now.Add(DefaultOffer),
	}
	return q, s.store.CreateQuote(ctx, actor, q, store.Extra{})
}

// waiting returns the reorder of a line that can still be accepted, nil if there is none.
func (s *Service) waiting(ctx context.Context, of *telamon.Quote, line telamon.QuoteLine) (*telamon.Quote, error) {
	list, err := s.store.Quotes(ctx, store.QuoteFilter{Account: of.Account, Limit: 100})
	if err != nil {
		return nil, err
	}
	for _, q := range list {
		if q.State == telamon.QuoteSent && q.ReorderOf == of.ID && len(q.Lines) == 1 && q.Lines[0] == line && s.mustHold(&q) == nil {
			return &q, nil
		}
	}
	return nil, nil
}
