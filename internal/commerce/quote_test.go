package commerce_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestQuote goes from a draft to a pack from which certificates can be issued.
func TestQuote(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		spec := w.spec(w.ov, 10, 120_000)
		spec.Note = "As we spoke about."
		spec.Lines = append(spec.Lines, commerce.Line{Service: w.dv, Amount: 5, Months: 1, Trial: true}, commerce.Line{Service: w.free, Price: 1})
		draft := got(w.CreateQuote(ctx, seller, w.account, spec))(t)
		if list := got(w.Quotes(ctx, w.buyer, store.QuoteFilter{Account: w.account, Limit: 9}))(t); len(list) != 0 {
			t.Errorf("the account sees %d drafts", len(list))
		}
		if _, err := w.Quote(ctx, w.buyer, w.account, draft.ID); true {
			mustBe(t, err, fault.NotFound, "quote_not_found")
		}
		_, err := w.AcceptQuote(ctx, w.buyer, w.account, draft.ID, yes)
		mustBe(t, err, fault.NotFound, "quote_not_found")
		q := got(w.SendQuote(ctx, seller, w.account, draft.ID))(t)
		if q.State != telamon.QuoteSent || q.Total() != 120_001 || q.CreatedBy != seller.User.String() {
			t.Errorf("it is %+v", q)
		}
		if n := w.mails(t, notify.TemplateQuoteSent); n != 1 {
			t.Errorf("%d mails tell of it, want one", n)
		}
		for name, a := range map[string]commerce.Answer{
			"nothing": {}, "no terms": {Quote: true, NoPO: true}, "no quote": {Terms: terms, NoPO: true},
			"no number": {Quote: true, Terms: terms}, "both": {Quote: true, Terms: terms, PO: "1", NoPO: true},
		} {
			if _, err := w.AcceptQuote(ctx, w.buyer, w.account, q.ID, a); true {
				t.Log(name)
				mustBe(t, err, fault.Invalid, "quote_incomplete")
			}
		}
		_, err = w.AcceptQuote(ctx, w.buyer, w.account, q.ID, commerce.Answer{Quote: true, Terms: "4.1", NoPO: true})
		mustBe(t, err, fault.Conflict, "agreement_changed")
		if n := w.number(t, "SELECT count(*) FROM subscription"); n != 0 {
			t.Fatalf("%d subscriptions before it was accepted", n)
		}
		q = got(w.AcceptQuote(ctx, w.buyer, w.account, q.ID, yes))(t)
		if a := q.Acceptance; q.State != telamon.QuoteActive || a == nil || a.PO != "PO-4711" || a.Terms != terms || a.By != w.buyer.User ||
			a.Name != "Ada Wolff" || a.Address != w.buyer.Address || !a.At.Equal(w.clock.Now()) {
			t.Errorf("it is %+v, accepted %+v", q, q.Acceptance)
		}
		products := got(w.Products(ctx, w.buyer, w.account))(t)
		if len(products) != 3 {
			t.Fatalf("there are %d products, want 3", len(products))
		}
		ov := products[0]
		if ov.Granted != 10 || ov.Left != 10 || ov.SANLimit != 10 || !ov.EndsAt.Equal(w.clock.Now().AddDate(1, 0, 0)) || ov.Packs[0].Quote != q.ID {
			t.Errorf("the first product is %+v", ov)
		}
		if end := products[1].EndsAt.Format(time.DateOnly); end != "2027-02-28" || !products[1].Packs[0].Trial {
			t.Errorf("a month from 31 January ends on %s", end)
		}
		if free := products[2]; !free.Live() || len(free.Packs) != 0 {
			t.Errorf("the service without quota is %+v", free)
		}
		if !slices.Equal(w.ensured, []telamon.AccountID{w.account}) {
			t.Errorf("a DV identity was asked for of %v, want once of the account", w.ensured)
		}
		_, err = w.AcceptQuote(ctx, w.buyer, w.account, q.ID, yes)
		mustBe(t, err, fault.Conflict, "wrong_state")
	})
}

// TestAcceptAtOnce accepts one quote fifty times at once: it is bought once.
func TestAcceptAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		spec := w.spec(w.ov, 10, 100)
		spec.Lines = append(spec.Lines, commerce.Line{Service: w.ov, Amount: 3, Months: 6, Price: 5})
		q := w.sent(t, spec)
		errs := make([]error, 50)
		var work sync.WaitGroup
		for i := range errs {
			work.Go(func() { _, errs[i] = w.AcceptQuote(t.Context(), w.buyer, w.account, q.ID, yes) })
		}
		work.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if f := fault.From(err); f.Kind != fault.Conflict {
				t.Errorf("a loser is told %v", err)
			}
		}
		if won != 1 {
			t.Errorf("%d of 50 accepted it, want one", won)
		}
		for query, want := range map[string]int64{
			"SELECT count(*) FROM subscription": 1, "SELECT count(*) FROM quota_lot": 2,
			"SELECT count(*) FROM mail WHERE template = 'quote_accepted'": 1,
		} {
			if n := w.number(t, query); n != want {
				t.Errorf("%s = %d, want %d", query, n, want)
			}
		}
	})
}

func TestCreditCheck(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		if q := w.bought(t, w.spec(w.ov, 1, 350_000)); q.State != telamon.QuoteActive {
			t.Errorf("a quote of exactly the limit is %s", q.State)
		}
		q := w.bought(t, w.spec(w.dv, 1, 350_001))
		if q.State != telamon.QuoteCreditCheck || w.number(t, "SELECT count(*) FROM quota_lot") != 1 {
			t.Errorf("above the limit it is %s", q.State)
		}
		if n := w.number(t, "SELECT count(*) FROM mail WHERE recipient = 'pki@example.com'"); n != 1 {
			t.Errorf("%d mails to the operators", n)
		}
		_, err := w.ClearQuote(ctx, seller, w.account, q.ID)
		mustBe(t, err, fault.Denied, "access_denied")
		q = got(w.ClearQuote(ctx, operator, w.account, q.ID))(t)
		if q.State != telamon.QuoteActive || q.ClearedBy != "operator:ada" || q.Lines[0].Lot == "" {
			t.Errorf("a cleared quote is %+v", q)
		}
		_, err = w.ClearQuote(ctx, operator, w.account, q.ID)
		mustBe(t, err, fault.Conflict, "wrong_state")
		refused := w.bought(t, w.spec(w.dv, 1, 400_000))
		refused = got(w.CancelQuote(ctx, operator, w.account, refused.ID, "No credit."))(t)
		if refused.State != telamon.QuoteCancelled || refused.EndedWhy != "No credit." || refused.Acceptance == nil {
			t.Errorf("a refused quote is %+v", refused)
		}
		if n := w.mails(t, notify.TemplateQuoteResult); n != 2 {
			t.Errorf("%d mails tell of the results, want 2", n)
		}
	})
}

func TestExpiry(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		offer, order := w.sent(t, w.spec(w.ov, 1, 1)), w.bought(t, w.spec(w.dv, 1, 1))
		if again := w.run(t, store.JobQuoteExpire, offer.ID.String()); !again.Equal(offer.ValidUntil) {
			t.Errorf("the job of an offer comes again at %s", again)
		}
		w.clock.Set(offer.ValidUntil)
		_, err := w.AcceptQuote(ctx, w.buyer, w.account, offer.ID, yes)
		mustBe(t, err, fault.Conflict, "quote_over")
		w.run(t, store.JobQuoteExpire, offer.ID.String())
		if q := got(w.Quote(ctx, w.buyer, w.account, offer.ID))(t); q.State != telamon.QuoteExpired {
			t.Errorf("the offer is %s", q.State)
		}
		ends := order.Lines[0].Ends(order.ActiveAt)
		if again := w.run(t, store.JobQuoteExpire, order.ID.String()); !again.Equal(ends) {
			t.Errorf("the job of an order comes again at %s, want %s", again, ends)
		}
		w.clock.Set(ends)
		w.run(t, store.JobQuoteExpire, order.ID.String())
		if q := got(w.Quote(ctx, w.buyer, w.account, order.ID))(t); q.State != telamon.QuoteExpired {
			t.Errorf("the order is %s", q.State)
		}
	})
}

// TestCancelActive takes back what is left of an order.
func TestCancelActive(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		q := w.bought(t, w.spec(w.ov, 10, 1))
		_, err := w.CancelQuote(t.Context(), w.buyer, w.account, q.ID, "I do not want it.")
		mustBe(t, err, fault.Denied, "access_denied")
		got(w.CancelQuote(t.Context(), seller, w.account, q.ID, "Not paid."))(t) // in the same millisecond
		w.clock.Advance(time.Second)
		if p := got(w.Products(t.Context(), w.buyer, w.account))(t)[0]; p.Live() || p.Left != 0 || len(p.Packs) != 1 {
			t.Errorf("the product is %+v", p)
		}
	})
}

// TestReorder buys a pack again: a term of its own, drawn after the older one, and never a
// trial, what cost nothing, or what was cancelled.
func TestReorder(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		spec := w.spec(w.ov, 10, 100)
		spec.Lines = append(spec.Lines, commerce.Line{Service: w.dv, Amount: 5, Trial: true})
		first := w.bought(t, spec)
		_, err := w.Reorder(ctx, w.buyer, w.account, first.Lines[1].Lot)
		mustBe(t, err, fault.Conflict, "trial_not_reordered")
		granted := telamon.Lot{
			ID: telamon.NewLotID(), Subscription: first.Lines[0].Subscription, Amount: 7, StartsAt: w.clock.Now(), ExpiresAt: w.clock.Now().AddDate(0, 1, 0),
		}
		must(t, w.db.GrantLot(ctx, operator, w.account, &granted))
		_, err = w.Reorder(ctx, w.buyer, w.account, granted.ID)
		mustBe(t, err, fault.Conflict, "pack_without_quote")
		stranger := w.user(t, w.other, "eve@example.com", authz.RoleAdministrator)
		_, err = w.Reorder(ctx, stranger, w.other, first.Lines[0].Lot)
		mustBe(t, err, fault.NotFound, "pack_not_found")
		w.clock.Advance(24 * time.Hour)
		q := got(w.Reorder(ctx, w.buyer, w.account, first.Lines[0].Lot))(t)
		if again := got(w.Reorder(ctx, w.buyer, w.account, first.Lines[0].Lot))(t); again.ID != q.ID {
			t.Error("asking again makes another quote")
		}
		if q.State != telamon.QuoteSent || q.ReorderOf != first.ID || q.Total() != 100 {
			t.Errorf("the reorder is %+v", q)
		}
		q = got(w.AcceptQuote(ctx, w.buyer, w.account, q.ID, commerce.Answer{Quote: true, Terms: terms, NoPO: true}))(t)
		p := got(w.Products(ctx, w.buyer, w.account))(t)[0]
		if len(p.Packs) != 3 || p.Packs[1].ID != first.Lines[0].Lot || p.Packs[2].ID != q.Lines[0].Lot || p.Left != 27 {
			t.Errorf("the packs are drawn in the order %+v", p.Packs)
		}
		if want := w.clock.Now().AddDate(1, 0, 0); !p.EndsAt.Equal(want) {
			t.Errorf("its term ends %s, want %s", p.EndsAt, want)
		}
		// Not what costs nothing, nor what the staff has cancelled.
		free, ended := w.bought(t, w.spec(w.ov, 3, 0)), w.bought(t, w.spec(w.ov, 3, 100))
		must(t, errorOf(w.CancelQuote(ctx, operator, w.account, ended.ID, "was not paid")))
		mustBe(t, errorOf(w.Reorder(ctx, w.buyer, w.account, free.Lines[0].Lot)), fault.Conflict, "pack_without_quote")
		mustBe(t, errorOf(w.Reorder(ctx, w.buyer, w.account, ended.Lines[0].Lot)), fault.Conflict, "wrong_state")
	})
}

// TestMoves asks for steps at random: a quote goes only where the table says, and what it
// was once is in the audit log.
func TestMoves(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, seed := t.Context(), rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		steps := []func(q *telamon.Quote) error{
			func(q *telamon.Quote) error { return errorOf(w.SendQuote(ctx, operator, w.account, q.ID)) },
			func(q *telamon.Quote) error { return errorOf(w.AcceptQuote(ctx, w.buyer, w.account, q.ID, yes)) },
			func(q *telamon.Quote) error { return errorOf(w.ClearQuote(ctx, operator, w.account, q.ID)) },
			func(q *telamon.Quote) error { return errorOf(w.CancelQuote(ctx, operator, w.account, q.ID, "so")) },
			func(q *telamon.Quote) error {
				return errorOf(w.EditQuote(ctx, operator, w.account, q.ID, w.spec(w.ov, 2, 9)))
			},
			func(q *telamon.Quote) error {
				w.clock.Advance(40 * 24 * time.Hour)
				return errorOf(w.Handlers()[store.JobQuoteExpire].Run(ctx, store.Job{Key: q.ID.String()}))
			},
		}
		seen := map[telamon.QuoteState]bool{}
		for range 12 {
			q := got(w.CreateQuote(ctx, operator, w.account, w.spec(w.ov, 1, random.Int64N(700_000))))(t)
			for range 8 {
				before := got(w.AnyQuote(ctx, operator, q.ID))(t)
				err := steps[random.IntN(len(steps))](before)
				after := got(w.AnyQuote(ctx, operator, q.ID))(t)
				moved := after.State != before.State
				accepted := commerce.MayBecome(before.State, telamon.QuoteAccepted) && commerce.MayBecome(telamon.QuoteAccepted, after.State)
				if moved && !commerce.MayBecome(before.State, after.State) && !accepted {
					t.Errorf("a quote went from %s to %s", before.State, after.State)
				}
				if moved && err != nil {
					t.Errorf("it moved to %s, and told %v", after.State, err)
				}
				if (after.Lines[0].Lot != "") != !after.ActiveAt.IsZero() {
					t.Errorf("a quote that is %s has the lot %q", after.State, after.Lines[0].Lot)
				}
				seen[after.State] = true
			}
		}
		if len(seen) < 4 {
			t.Errorf("only %v were seen", seen)
		}
	})
}

func errorOf[T any](_ T, err error) error { return err }

func TestQuoteProblems(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		long := strings.Repeat("x", 501)
		tests := []struct {
			name string
			spec func(*commerce.QuoteSpec)
			want string
		}{
			{"no line", func(s *commerce.QuoteSpec) { s.Lines = nil }, "lines"},
			{"no currency", func(s *commerce.QuoteSpec) { s.Currency = "eur" }, "currency"},
			{"a note", func(s *commerce.QuoteSpec) { s.Note = long }, "note"},
			{"over", func(s *commerce.QuoteSpec) { s.ValidUntil = w.clock.Now() }, "valid_until"},
			{"too far", func(s *commerce.QuoteSpec) { s.ValidUntil = w.clock.Now().AddDate(2, 0, 0) }, "valid_until"},
			{"no service", func(s *commerce.QuoteSpec) { s.Lines[0].Service = telamon.NewServiceID() }, "lines[0].service"},
			{"nothing", func(s *commerce.QuoteSpec) { s.Lines[0].Amount = 0 }, "lines[0].amount"},
			{"quota of an unlimited one", func(s *commerce.QuoteSpec) { s.Lines[0].Service = w.free }, "lines[0].amount"},
			{"too long", func(s *commerce.QuoteSpec) { s.Lines[0].Months = 61 }, "lines[0].months"},
			{"we pay", func(s *commerce.QuoteSpec) { s.Lines[0].Price = -1 }, "lines[0].price"},
			{"a trial with a price", func(s *commerce.QuoteSpec) { s.Lines[0].Trial = true }, "lines[0].price"},
		}
		for _, tt := range tests {
			spec := w.spec(w.ov, 1, 1)
			tt.spec(&spec)
			_, err := w.CreateQuote(t.Context(), operator, w.account, spec)
			f := fault.From(err)
			if f.Code != "invalid_quote" || len(f.Fields) != 1 || f.Fields[0].Path != tt.want {
				t.Errorf("%s: the error is %v of %v, want %s", tt.name, f, f.Fields, tt.want)
			}
		}
		if n := w.number(t, "SELECT count(*) FROM quote"); n != 0 {
			t.Errorf("%d quotes were made", n)
		}
	})
}

// TestIsolation has every use case asked by those whom it is not for.
func TestIsolation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		q := w.sent(t, w.spec(w.ov, 1, 1))
		eve := w.user(t, w.other, "eve@example.com", authz.RoleAdministrator)
		reader := w.user(t, w.account, "bob@example.com", authz.RoleReadOnly)
		useCases := map[string]struct {
			call func(by telamon.Actor, account telamon.AccountID) error
			read bool
		}{
			"CreateQuote": {func(by telamon.Actor, a telamon.AccountID) error {
				return errorOf(w.CreateQuote(ctx, by, a, w.spec(w.ov, 1, 1)))
			}, false},
			"EditQuote": {func(by telamon.Actor, a telamon.AccountID) error {
				return errorOf(w.EditQuote(ctx, by, a, q.ID, w.spec(w.ov, 1, 1)))
			}, false},
			"SendQuote": {func(by telamon.Actor, a telamon.AccountID) error { return errorOf(w.SendQuote(ctx, by, a, q.ID)) }, false},
			"AcceptQuote": {func(by telamon.Actor, a telamon.AccountID) error {
				return errorOf(w.AcceptQuote(ctx, by, a, q.ID, yes))
			}, false},
			"ClearQuote": {func(by telamon.Actor, a telamon.AccountID) error { return errorOf(w.ClearQuote(ctx, by, a, q.ID)) }, false},
			"CancelQuote": {func(by telamon.Actor, a telamon.AccountID) error {
				return errorOf(w.CancelQuote(ctx, by, a, q.ID, "so"))
			}, false},
			"Reorder": {func(by telamon.Actor, a telamon.AccountID) error {
				return errorOf(w.Reorder(ctx, by, a, telamon.NewLotID()))
			}, false},
			"Quote": {func(by telamon.Actor, a telamon.AccountID) error { return errorOf(w.Quote(ctx, by, a, q.ID)) }, true},
			"Quotes": {func(by telamon.Actor, a telamon.AccountID) error {
				return errorOf(w.Quotes(ctx, by, store.QuoteFilter{Account: a, Limit: 1}))
			}, true},
			"Products": {func(by telamon.Actor, a telamon.AccountID) error { return errorOf(w.Products(ctx, by, a)) }, true},
			"Trends":   {func(by telamon.Actor, a telamon.AccountID) error { return errorOf(w.Trends(ctx, by, a)) }, true},
			"AnyQuote": {func(by telamon.Actor, _ telamon.AccountID) error { return errorOf(w.AnyQuote(ctx, by, q.ID)) }, false},
			"AllQuotes": {func(by telamon.Actor, _ telamon.AccountID) error {
				return errorOf(w.Quotes(ctx, by, store.QuoteFilter{Limit: 1}))
			}, false},
			"Accounts": {func(by telamon.Actor, _ telamon.AccountID) error {
				_, _, _, err := w.Accounts(ctx, by, store.AccountFilter{Limit: 1})
				return err
			}, false},
		}
		for name, u := range useCases {
			for who, err := range map[string]error{
				"another account's": u.call(eve, w.account), "nobody": u.call(telamon.Actor{Kind: telamon.ActorAnonymous}, w.account),
				"a credential": u.call(telamon.Actor{Kind: telamon.ActorCredential, Account: w.other}, w.account),
			} {
				if f := fault.From(err); err == nil || f.Kind != fault.NotFound && f.Kind != fault.Denied {
					t.Errorf("%s answers %s with %v", name, who, err)
				}
			}
			if err := u.call(eve, w.other); name != "Quotes" && name != "Products" && name != "Trends" && err == nil {
				t.Errorf("%s lets an account reach another's quote by its own", name)
			}
			if err := u.call(reader, w.account); (err == nil) != u.read {
				t.Errorf("%s answers somebody who may only read with %v", name, err)
			}
		}
	})
}

// TestMails renders every mail of a quote's life.
func TestMails(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		q := w.bought(t, w.spec(w.ov, 1, 400_000))
		got(w.ClearQuote(ctx, operator, w.account, q.ID))(t)
		got(w.CancelQuote(ctx, operator, w.account, q.ID, "Not paid."))(t)
		offer := w.sent(t, w.spec(w.ov, 1, 5))
		rows, err := w.raw(t).QueryContext(ctx, "SELECT id FROM mail ORDER BY created_at, id")
		must(t, err)
		defer rows.Close()
		texts := map[string]string{}
		moot := 0
		for rows.Next() {
			var id telamon.MailID
			must(t, rows.Scan(&id))
			m := got(w.db.Mail(ctx, id))(t)
			message, err := w.RenderMail(ctx, m)
			if errors.Is(err, notify.ErrMoot) {
				moot++
				continue
			}
			must(t, err)
			texts[m.Template] += message.Subject + "\n" + message.Text
		}
		must(t, rows.Err())
		for template, want := range map[string]string{
			notify.TemplateQuoteSent: "0.05 EUR", notify.TemplateQuoteAccepted: "PO-4711", notify.TemplateQuoteResult: "Not paid.",
		} {
			if !strings.Contains(texts[template], want) {
				t.Errorf("the mails %s do not say %q:\n%s", template, want, texts[template])
			}
		}
		if !strings.Contains(texts[notify.TemplateQuoteSent], "https://portal.example.com/quotes/"+offer.ID.String()) {
			t.Error("the mail of the offer does not lead to it")
		}
		if moot != 1 {
			t.Errorf("%d mails are moot, want that of the offer which is an order by now", moot)
		}
	})
}
