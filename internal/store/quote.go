package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// The kinds of jobs about quotes; the key is the quote.
const (
	JobQuoteExpire = "quote.expire" // ends an offer that nobody accepted, or an order whose terms are over
	JobQuoteFulfil = "quote.fulfil" // makes what an order brings beyond subscriptions and quota
)

// CreateQuote writes a quote that is a draft, or sent already if its SentAt is set, with
// the mails and jobs that come with it, and sets CreatedAt and SentAt. It reports NotFound
// if there is no such account or service, and Conflict with wrong_state for a deleted one.
func (db *DB) CreateQuote(ctx context.Context, actor telamon.Actor, q *telamon.Quote, extra Extra) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.mustHaveAccount(ctx, q.Account); err != nil {
			return err
		}
		q.CreatedAt, q.CreatedBy = timeOf(t.millis()), actor.Subject()
		if q.State = telamon.QuoteDraft; !q.SentAt.IsZero() {
			q.State, q.SentAt = telamon.QuoteSent, q.CreatedAt
		}
		err := t.InsertQuote(ctx, queries.InsertQuoteParams{
			ID: q.ID.String(), AccountID: q.Account.String(), State: string(q.State), Currency: q.Currency, Note: q.Note,
			ReorderOf: textOrNil(q.ReorderOf), CreatedBy: q.CreatedBy, CreatedAt: t.millis(),
			ValidUntil: q.ValidUntil.UnixMilli(), SentAt: millisOrNil(q.SentAt),
		})
		if err != nil {
			return fmt.Errorf("insert quote %s: %w", q.ID, err)
		}
		if err := t.insertQuoteLines(ctx, q); err != nil {
			return err
		}
		if q.State == telamon.QuoteSent {
			if err := t.putJob(ctx, Job{Kind: JobQuoteExpire, Key: q.ID.String(), RunAt: q.ValidUntil}); err != nil {
				return err
			}
		}
		if err := t.addExtra(ctx, extra); err != nil {
			return err
		}
		return t.auditQuote(ctx, actor, q, "quote.create", quoteFacts(q))
	})
}

func (t *txn) insertQuoteLines(ctx context.Context, q *telamon.Quote) error {
	for i, l := range q.Lines {
		if _, err := t.Service(ctx, l.Service.String()); err != nil {
			return found(err, "service_not_found", "service")
		}
		err := t.InsertQuoteLine(ctx, queries.InsertQuoteLineParams{
			QuoteID: q.ID.String(), Position: int64(i), ServiceID: l.Service.String(), Amount: l.Amount, Months: int64(l.Months),
			Trial: l.Trial, Price: l.Price,
		})
		if err != nil {
			return fmt.Errorf("insert a line of quote %s: %w", q.ID, err)
		}
	}
	return nil
}

// quoteFacts are what the audit log says of a quote.
func quoteFacts(q *telamon.Quote) map[string]any {
	lines := make([]map[string]any, len(q.Lines))
	for i, l := range q.Lines {
		lines[i] = map[string]any{"service": l.Service, "amount": l.Amount, "months": l.Months, "trial": l.Trial, "price": l.Price}
	}
	facts := map[string]any{"state": q.State, "currency": q.Currency, "total": q.Total(), "lines": lines, "valid_until": q.ValidUntil}
	if q.ReorderOf != "" {
		facts["reorder_of"] = q.ReorderOf
	}
	return facts
}

func (t *txn) auditQuote(ctx context.Context, actor telamon.Actor, q *telamon.Quote, action string, after any) error {
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: q.Account, Action: action, Object: q.ID.String(), Result: "ok", After: after,
	})
}

// EditQuote replaces currency, note, lines and ValidUntil of a draft. It reports Conflict
// with changed_meanwhile if it is none any more, and NotFound if there is no such service.
func (db *DB) EditQuote(ctx context.Context, actor telamon.Actor, q *telamon.Quote) error {
	return db.update(ctx, func(t *txn) error {
		err := mustChange(t.EditDraftQuote(ctx, queries.EditDraftQuoteParams{
			ID: q.ID.String(), Currency: q.Currency, Note: q.Note, ValidUntil: q.ValidUntil.UnixMilli(),
		}))
		if err != nil {
			return fmt.Errorf("edit quote %s: %w", q.ID, err)
		}
		if err := t.DropQuoteLines(ctx, q.ID.String()); err != nil {
			return fmt.Errorf("drop the lines of quote %s: %w", q.ID, err)
		}
		if err := t.insertQuoteLines(ctx, q); err != nil {
			return err
		}
		return t.auditQuote(ctx, actor, q, "quote.update", quoteFacts(q))
	})
}

// SendQuote shows a draft to its account, with the mails that tell of it. It reports
// Conflict with changed_meanwhile if it is no draft any more, or its time is over.
func (db *DB) SendQuote(ctx context.Context, actor telamon.Actor, q *telamon.Quote, extra Extra) error {
	return db.update(ctx, func(t *txn) error {
		if err := mustChange(t.SendDraftQuote(ctx, queries.SendDraftQuoteParams{ID: q.ID.String(), Now: t.millis()})); err != nil {
			return fmt.Errorf("send quote %s: %w", q.ID, err)
		}
		if err := t.putJob(ctx, Job{Kind: JobQuoteExpire, Key: q.ID.String(), RunAt: q.ValidUntil}); err != nil {
			return err
		}
		if err := t.addExtra(ctx, extra); err != nil {
			return err
		}
		return t.auditQuote(ctx, actor, q, "quote.send", map[string]any{"valid_until": q.ValidUntil, "total": q.Total(), "currency": q.Currency})
	})
}

// AcceptQuote accepts a quote that was sent, and makes it active, with its subscriptions
// and lots, or has its credit checked first; all of it is durable on return, and happens
// once, however often it is asked for. It sets the state, the acceptance's time and what
// the lines made. It reports Conflict with changed_meanwhile if the quote cannot be
// accepted any more.
func (db *DB) AcceptQuote(ctx context.Context, actor telamon.Actor, q *telamon.Quote, a telamon.Acceptance, checkCredit bool, extra Extra) error {
	return db.update(ctx, func(t *txn) error {
		if _, err := t.LockAccount(ctx, q.Account.String()); err != nil {
			return found(err, "account_not_found", "account")
		}
		a.At = timeOf(t.millis())
		err := mustChange(t.AcceptSentQuote(ctx, queries.AcceptSentQuoteParams{
			AccountID: q.Account.String(), ID: q.ID.String(), Now: t.millis(), AcceptedBy: a.By.String(), AcceptedName: a.Name,
			AcceptedFrom: addressText(a.Address), Terms: a.Terms, PoNumber: a.PO,
		}))
		if err != nil {
			return fmt.Errorf("accept quote %s: %w", q.ID, err)
		}
		q.State, q.Acceptance = telamon.QuoteAccepted, &a
		err = t.auditQuote(ctx, actor, q, "quote.accept", map[string]any{
			"total": q.Total(), "currency": q.Currency, "terms": a.Terms, "po_number": a.PO, "name": a.Name,
		})
		if err != nil {
			return err
		}
		if err := t.addExtra(ctx, extra); err != nil {
			return err
		}
		if !checkCredit {
			return t.activateQuote(ctx, actor, q, "")
		}
		if err := mustChange(t.CheckCreditOfQuote(ctx, q.ID.String())); err != nil {
			return fmt.Errorf("have the credit of quote %s checked: %w", q.ID, err)
		}
		q.State = telamon.QuoteCreditCheck
		return t.dropJob(ctx, JobQuoteExpire, q.ID.String())
	})
}

// ClearQuote lets a quote pass its credit check: it becomes active as if it had been
// accepted now, with the mails that tell of it. It sets what [DB.AcceptQuote] sets, and
// reports Conflict with changed_meanwhile.
func (db *DB) ClearQuote(ctx context.Context, actor telamon.Actor, q *telamon.Quote, extra Extra) error {
	return db.update(ctx, func(t *txn) error {
		if _, err := t.LockAccount(ctx, q.Account.String()); err != nil {
			return found(err, "account_not_found", "account")
		}
		q.State = telamon.QuoteCreditCheck
		if err := t.addExtra(ctx, extra); err != nil {
			return err
		}
		return t.activateQuote(ctx, actor, q, actor.Subject())
	})
}

// activateQuote makes the subscriptions and lots of a quote, whose account is locked.
func (t *txn) activateQuote(ctx context.Context, actor telamon.Actor, q *telamon.Quote, clearedBy string) error {
	err := mustChange(t.ActivateQuote(ctx, queries.ActivateQuoteParams{
		ID: q.ID.String(), FromState: string(q.State), Now: t.millis(), ClearedBy: clearedBy,
	}))
	if err != nil {
		return fmt.Errorf("activate quote %s: %w", q.ID, err)
	}
	var last time.Time // when its last term is over
	open := false      // a line has no end
	for i := range q.Lines {
		ends, err := t.fulfil(ctx, actor, q, i)
		if err != nil {
			return err
		}
		open = open || ends.IsZero()
		if ends.After(last) {
			last = ends
		}
	}
	q.State, q.ActiveAt, q.ClearedBy = telamon.QuoteActive, timeOf(t.millis()), clearedBy
	if err := t.putJob(ctx, Job{Kind: JobQuoteFulfil, Key: q.ID.String(), RunAt: t.now}); err != nil {
		return err
	}
	if open {
		err = t.dropJob(ctx, JobQuoteExpire, q.ID.String())
	} else {
		err = t.putJob(ctx, Job{Kind: JobQuoteExpire, Key: q.ID.String(), RunAt: last})
	}
	if err != nil {
		return err
	}
	action := "quote.activate"
	if clearedBy != "" {
		action = "quote.clear"
	}
	return t.auditQuote(ctx, actor, q, action, map[string]any{"lines": q.Lines})
}

// fulfil makes what a line says, and returns when its term is over; zero: never.
func (t *txn) fulfil(ctx context.Context, actor telamon.Actor, q *telamon.Quote, i int) (ends time.Time, err error) {
	l := &q.Lines[i]
	subs, err := t.SubscriptionTo(ctx, queries.SubscriptionToParams{AccountID: q.Account.String(), ServiceID: l.Service.String()})
	if err != nil {
		return ends, fmt.Errorf("read the subscription to %s: %w", l.Service, err)
	}
	if len(subs) > 0 {
		l.Subscription = telamon.SubscriptionID(subs[0].ID)
	} else {
		sub := telamon.Subscription{ID: telamon.NewSubscriptionID(), Account: q.Account, Service: l.Service}
		if err := t.createSubscription(ctx, actor, &sub); err != nil {
			return ends, err
		}
		l.Subscription = sub.ID
	}
	if l.Lot = ""; l.Amount > 0 {
		starts := timeOf(t.millis())
		ends = l.Ends(starts)
		lot := telamon.Lot{ID: telamon.NewLotID(), Subscription: l.Subscription, Amount: l.Amount, StartsAt: starts, ExpiresAt: ends}
		if err := t.grantLot(ctx, actor, q.Account, &lot); err != nil {
			return ends, err
		}
		l.Lot = lot.ID
	}
	sub := l.Subscription.String()
	err = mustChange(t.FulfilQuoteLine(ctx, queries.FulfilQuoteLineParams{
		QuoteID: q.ID.String(), Position: int64(i), SubscriptionID: &sub, LotID: textOrNil(l.Lot),
	}))
	if err != nil {
		return ends, fmt.Errorf("fulfil a line of quote %s: %w", q.ID, err)
	}
	return ends, nil
}

// CancelQuote ends a quote, from the state that q has, with the mails that tell of it.
// What is left of the lots of an active one is lost; what was issued stays. It reports
// Conflict with changed_meanwhile.
func (db *DB) CancelQuote(ctx context.Context, actor telamon.Actor, q *telamon.Quote, why string, extra Extra) error {
	return db.update(ctx, func(t *txn) error {
		if q.State == telamon.QuoteActive {
			if _, err := t.EndLotsOfQuote(ctx, queries.EndLotsOfQuoteParams{QuoteID: q.ID.String(), Now: t.millis()}); err != nil {
				return fmt.Errorf("end the lots of quote %s: %w", q.ID, err)
			}
		}
		if err := t.endQuote(ctx, q, telamon.QuoteCancelled, why); err != nil {
			return err
		}
		if err := t.addExtra(ctx, extra); err != nil {
			return err
		}
		return t.auditQuote(ctx, actor, q, "quote.cancel", map[string]any{"reason": why})
	})
}

// ExpireQuote ends a quote whose time is over, from the state that q has. It reports
// Conflict with changed_meanwhile.
func (db *DB) ExpireQuote(ctx context.Context, actor telamon.Actor, q *telamon.Quote) error {
	return db.update(ctx, func(t *txn) error {
		from := q.State
		if err := t.endQuote(ctx, q, telamon.QuoteExpired, ""); err != nil {
			return err
		}
		return t.auditQuote(ctx, actor, q, "quote.expire", map[string]any{"from": from})
	})
}

func (t *txn) endQuote(ctx context.Context, q *telamon.Quote, to telamon.QuoteState, why string) error {
	err := mustChange(t.EndQuote(ctx, queries.EndQuoteParams{
		ID: q.ID.String(), FromState: string(q.State), ToState: string(to), Now: t.millis(), EndedWhy: why,
	}))
	if err != nil {
		return fmt.Errorf("end quote %s: %w", q.ID, err)
	}
	return t.dropJob(ctx, JobQuoteExpire, q.ID.String())
}

// Quote returns a quote with its lines. With an account it reports NotFound for the quotes
// of others.
func (db *DB) Quote(ctx context.Context, account telamon.AccountID, id telamon.QuoteID) (q telamon.Quote, err error) {
	err = db.view(ctx, func(read *queries.Queries) error {
		var row queries.Quote
		if account == "" {
			row, err = read.QuoteByID(ctx, id.String())
		} else {
			row, err = read.Quote(ctx, queries.QuoteParams{AccountID: account.String(), ID: id.String()})
		}
		if err != nil {
			return found(err, "quote_not_found", "quote")
		}
		q, err = withLines(ctx, read, row)
		return err
	})
	return q, db.judge(ctx, err)
}

func withLines(ctx context.Context, read *queries.Queries, row queries.Quote) (telamon.Quote, error) {
	q := quoteOf(row)
	rows, err := read.QuoteLines(ctx, row.ID)
	if err != nil {
		return q, fmt.Errorf("read the lines of quote %s: %w", row.ID, err)
	}
	q.Lines = mapped(rows, func(r queries.QuoteLine) telamon.QuoteLine {
		return telamon.QuoteLine{
			Service: telamon.ServiceID(r.ServiceID), Amount: r.Amount, Months: int(r.Months), Trial: r.Trial, Price: r.Price,
			Subscription: idOf[telamon.SubscriptionID](r.SubscriptionID), Lot: idOf[telamon.LotID](r.LotID),
		}
	})
	return q, nil
}

// A QuoteFilter narrows a list of quotes.
type QuoteFilter struct {
	Account telamon.AccountID  // "": those of all accounts
	State   telamon.QuoteState // "": in every state; read without an account alone
	Drafts  bool               // of an account: its drafts too
	Before  telamon.QuoteID    // older than this one; "": from the newest on
	Limit   int
}

// Quotes lists quotes with their lines, the newest first.
func (db *DB) Quotes(ctx context.Context, f QuoteFilter) (list []telamon.Quote, err error) {
	lim := Page{Limit: f.Limit}.limit()
	err = db.view(ctx, func(read *queries.Queries) error {
		var rows []queries.Quote
		switch {
		case f.Account != "":
			rows, err = read.QuotesOf(ctx, queries.QuotesOfParams{AccountID: f.Account.String(), Before: f.Before.String(), Drafts: f.Drafts, Lim: lim})
		case f.State != "":
			rows, err = read.QuotesIn(ctx, queries.QuotesInParams{State: string(f.State), Before: f.Before.String(), Lim: lim})
		default:
			rows, err = read.AllQuotes(ctx, queries.AllQuotesParams{Before: f.Before.String(), Lim: lim})
		}
		if err != nil {
			return fmt.Errorf("list quotes: %w", err)
		}
		for _, row := range rows {
			q, err := withLines(ctx, read, row)
			if err != nil {
				return err
			}
			list = append(list, q)
		}
		return nil
	})
	return list, db.judge(ctx, err)
}

func quoteOf(r queries.Quote) telamon.Quote {
	q := telamon.Quote{
		ID: telamon.QuoteID(r.ID), Account: telamon.AccountID(r.AccountID), State: telamon.QuoteState(r.State), Currency: r.Currency,
		Note: r.Note, ReorderOf: idOf[telamon.QuoteID](r.ReorderOf), CreatedBy: r.CreatedBy, CreatedAt: timeOf(r.CreatedAt),
		ValidUntil: timeOf(r.ValidUntil), SentAt: timeOrZero(r.SentAt), ActiveAt: timeOrZero(r.ActiveAt), ClearedBy: r.ClearedBy,
		EndedAt: timeOrZero(r.EndedAt), EndedWhy: r.EndedWhy,
	}
	if r.AcceptedAt != nil {
		address, _ := netip.ParseAddr(r.AcceptedFrom)
		q.Acceptance = &telamon.Acceptance{
			At: timeOf(*r.AcceptedAt), By: telamon.UserID(r.AcceptedBy), Name: r.AcceptedName, Address: address, Terms: r.Terms, PO: r.PoNumber,
		}
	}
	return q
}

// A Pack is a lot and the line of a quote that made it; one that an operator granted has
// no quote.
type Pack struct {
	telamon.Lot
	Quote    telamon.QuoteID
	Position int
	Trial    bool
	Price    int64 // in minor units of Currency
	Currency string
}

// Packs returns the lots of all subscriptions of an account, in the order in which they
// expire.
func (db *DB) Packs(ctx context.Context, account telamon.AccountID) (packs []Pack, err error) {
	err = db.view(ctx, func(read *queries.Queries) error {
		lots, err := read.LotsOfAccount(ctx, account.String())
		if err != nil {
			return fmt.Errorf("list the lots of %s: %w", account, err)
		}
		lines, err := read.PacksOf(ctx, account.String())
		if err != nil {
			return fmt.Errorf("list the packs of %s: %w", account, err)
		}
		of := make(map[string]queries.PacksOfRow, len(lines))
		for _, l := range lines {
			of[idOf[string](l.LotID)] = l
		}
		for _, lot := range lots {
			l := of[lot.ID]
			packs = append(packs, Pack{
				Lot: lotOf(lot), Quote: telamon.QuoteID(l.QuoteID), Position: int(l.Position), Trial: l.Trial, Price: l.Price, Currency: l.Currency,
			})
		}
		return nil
	})
	return packs, db.judge(ctx, err)
}

// errNoPack is the fault of a lot that is none of an account's.
func errNoPack() error { return fault.New(fault.NotFound, "pack_not_found", "There is no such pack.") }

// PackOf returns one of an account's packs. It reports NotFound.
func (db *DB) PackOf(ctx context.Context, account telamon.AccountID, lot telamon.LotID) (Pack, error) {
	packs, err := db.Packs(ctx, account)
	if err != nil {
		return Pack{}, err
	}
	for _, p := range packs {
		if p.ID == lot {
			return p, nil
		}
	}
	return Pack{}, errNoPack()
}
