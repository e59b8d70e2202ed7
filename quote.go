package telamon

import (
	"net/netip"
	"time"
)

// A QuoteState is the place of a quote in its life.
type QuoteState string

// The states; package commerce holds the allowed transitions. A quote is accepted within
// the transaction that makes it active or has its credit checked.
const (
	QuoteDraft       QuoteState = "draft"        // staff writes it; the customer does not see it
	QuoteSent        QuoteState = "sent"         // it can be accepted until ValidUntil
	QuoteAccepted    QuoteState = "accepted"     // the customer has bought
	QuoteCreditCheck QuoteState = "credit_check" // its amount needs an operator's word
	QuoteActive      QuoteState = "active"       // its subscriptions and quota are there
	QuoteExpired     QuoteState = "expired"      // nobody accepted it in time, or all its terms are over
	QuoteCancelled   QuoteState = "cancelled"
)

// QuoteStates are all of them, in the order of a quote's life.
var QuoteStates = []QuoteState{QuoteDraft, QuoteSent, QuoteAccepted, QuoteCreditCheck, QuoteActive, QuoteExpired, QuoteCancelled}

// A Quote is an offer of services to an account, and once it is accepted an order.
type Quote struct {
	ID         QuoteID
	Account    AccountID
	State      QuoteState
	Currency   string // ISO 4217, three capital letters; of every price
	Note       string // to the customer; "" is none
	Lines      []QuoteLine
	ReorderOf  QuoteID // the quote that it repeats a line of; "": none
	CreatedBy  string  // as [Actor.Subject] says
	CreatedAt  time.Time
	ValidUntil time.Time // until when it can be accepted
	SentAt     time.Time // zero: not yet
	Acceptance *Acceptance
	ActiveAt   time.Time // when its terms began; zero: not yet
	ClearedBy  string    // who let it pass the credit check; "" if there was none
	EndedAt    time.Time // when it expired or was cancelled; zero: not yet
	EndedWhy   string    // why it was cancelled
}

// Total is the sum of the lines' prices, in minor units of the currency.
func (q *Quote) Total() (sum int64) {
	for _, l := range q.Lines {
		sum += l.Price
	}
	return sum
}

// A QuoteLine is one service of a quote, and a pack once the quote is active.
type QuoteLine struct {
	Service ServiceID
	Amount  int64 // certificates; 0 for a service without quota
	Months  int   // the term, from activation on
	Trial   bool  // for trying out: it cannot be reordered
	Price   int64 // in minor units of the quote's currency, such as cents

	// The following are set once the quote is active; Lot is empty for a service without
	// quota.
	Subscription SubscriptionID
	Lot          LotID
}

// An Acceptance is how a quote was accepted.
type Acceptance struct {
	At      time.Time
	By      UserID
	Name    string     // of the person, as it was then
	Address netip.Addr // from where
	Terms   string     // the version of the legal terms
	PO      string     // the customer's purchase order number; "": they need none
}

// Ends returns when the term of a line that begins at start is over: the same day of a
// later month, or that month's last day.
func (l *QuoteLine) Ends(start time.Time) time.Time {
	end := start.AddDate(0, l.Months, 0)
	if end.Day() != start.Day() { // it went over the month's end
		end = end.AddDate(0, 0, -end.Day())
	}
	return end
}
