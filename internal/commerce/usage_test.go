package commerce_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestQuotaMails uses a pool up: people are told once at each threshold, and again of
// another pool.
func TestQuotaMails(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		q := w.bought(t, w.spec(w.ov, 100, 1))
		lot := q.Lines[0].Lot.String()
		for _, step := range []struct {
			used, mails int64
		}{{79, 0}, {80, 1}, {81, 1}, {94, 1}, {96, 2}, {96, 2}, {100, 3}, {100, 3}} {
			w.exec(t, "UPDATE quota_lot SET used = $1 WHERE id = $2", step.used, lot)
			if again := w.run(t, store.JobQuotaWatch, ""); !again.Equal(w.clock.Now().Add(commerce.WatchEvery)) {
				t.Errorf("the watch comes again at %s", again)
			}
			if n := w.mails(t, notify.TemplateQuotaUsed); n != step.mails {
				t.Errorf("at %d of 100 there are %d mails, want %d", step.used, n, step.mails)
			}
		}
		more := w.bought(t, w.spec(w.ov, 10, 1)) // 100 of 110 used: another pool, at 90 %
		w.run(t, store.JobQuotaWatch, "")
		w.exec(t, "UPDATE quota_lot SET used = 10 WHERE id = $1", more.Lines[0].Lot.String())
		w.run(t, store.JobQuotaWatch, "")
		if n := w.mails(t, notify.TemplateQuotaUsed); n != 5 {
			t.Errorf("with another pack there are %d mails, want 5", n)
		}
		w.clock.Advance(400 * 24 * time.Hour)
		w.run(t, store.JobQuotaWatch, "")
		if n := w.mails(t, notify.TemplateQuotaUsed); n != 5 {
			t.Error("people are told of quota whose term is over")
		}
	})
}

func TestTrends(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		q := w.bought(t, w.spec(w.ov, 100, 1))
		today := w.clock.Now().UTC().Truncate(24*time.Hour).Unix() / 3600
		for pair, account := range []telamon.AccountID{w.account, w.account, w.other} {
			identity := telamon.Identity{ID: telamon.NewIdentityID(), Account: account, Name: "i", Data: map[string]string{}}
			must(t, w.db.CreateIdentity(t.Context(), operator, &identity))
			w.exec(t, "INSERT INTO pair (id, account_id, subscription_id, identity_id, created_at) VALUES ($1, $2, $3, $4, 0)",
				pair+1, account.String(), q.Lines[0].Subscription.String(), identity.ID.String())
		}
		for _, c := range []struct {
			pair  int
			kind  string
			start int64
			n     int
		}{
			{1, "issued", today, 3}, {2, "issued", today + 23, 4}, {3, "issued", today, 100}, {1, "issued", today - 29*24, 5},
			{1, "issued", today - 29*24 - 1, 9}, {1, "revoked", today, 9}, {2, "expiring", today + 7*24, 2}, {1, "expiring", today + 12*7*24, 9},
		} {
			w.exec(t, "INSERT INTO hour_count (pair_id, kind, start, n) VALUES ($1, $2, $3, $4)", c.pair, c.kind, c.start, c.n)
		}
		trends := got(w.Trends(t.Context(), w.buyer, w.account))(t)
		issued, expiring := trends.Issued, trends.Expiring
		if len(issued.Counts) != 30 || issued.Counts[29] != 7 || issued.Counts[0] != 5 || issued.Total() != 12 {
			t.Errorf("issued by day: %v", issued.Counts)
		}
		if len(expiring.Counts) != 12 || expiring.Counts[1] != 2 || expiring.Total() != 2 {
			t.Errorf("expiring by week: %v", expiring.Counts)
		}
		if got := issued.From.Format(time.DateOnly); got != "2027-01-02" {
			t.Errorf("the first day is %s", got)
		}
	})
}

func TestAccounts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for i := range 4 {
			must(t, w.db.CreateAccount(ctx, operator, &telamon.Account{ID: telamon.NewAccountID(), Name: fmt.Sprintf("100%% Söhne_%d", i)}))
		}
		must(t, w.db.SetAccountState(ctx, operator, w.other, telamon.Disabled))
		tests := []struct {
			name   string
			filter store.AccountFilter
			want   string
			total  int64
			before int64
		}{
			{"all, two", store.AccountFilter{Limit: 2}, "100% Söhne_0, 100% Söhne_1", 6, 0},
			{"the next two", store.AccountFilter{Limit: 2, After: "100% Söhne_1"}, "100% Söhne_2, 100% Söhne_3", 6, 2},
			{"a part of the name", store.AccountFilter{Limit: 9, Search: "WIND"}, "Northwind", 1, 0},
			{"what LIKE would understand", store.AccountFilter{Limit: 9, Search: "0%_S"}, "", 0, 0},
			{"an underscore", store.AccountFilter{Limit: 9, Search: "e_3"}, "100% Söhne_3", 1, 0},
			{"an ID", store.AccountFilter{Limit: 9, Search: w.account.String()}, "Northwind", 1, 0},
			{"a state", store.AccountFilter{Limit: 9, State: telamon.Disabled}, "Globex", 1, 0},
		}
		for _, tt := range tests {
			list, total, before, err := w.Accounts(ctx, operator, tt.filter)
			must(t, err)
			var names []string
			for _, a := range list {
				names = append(names, a.Name)
			}
			if got := strings.Join(names, ", "); got != tt.want || total != tt.total || before != tt.before {
				t.Errorf("%s: %s of %d after %d, want %s of %d after %d", tt.name, got, total, before, tt.want, tt.total, tt.before)
			}
		}
		if list, _, _, _ := w.Accounts(ctx, operator, store.AccountFilter{Limit: 1, Search: "Northwind"}); list[0].Users != 1 || list[0].State != telamon.Active {
			t.Errorf("Northwind has %+v", list[0])
		}
	})
}

func TestPrice(t *testing.T) {
	for _, tt := range []struct {
		text, code string
		minor      int64
		written    string
	}{
		{"1250.00", "EUR", 125000, "1250.00"}, {"1250", "EUR", 125000, "1250.00"}, {"0.5", "EUR", 50, "0.50"}, {"1250", "JPY", 1250, "1250"},
		{"0.005", "KWD", 5, "0.005"}, {"0", "USD", 0, "0.00"},
	} {
		minor, err := commerce.ParsePrice(tt.text, tt.code)
		if minor != tt.minor || err != nil || commerce.Price(minor, tt.code) != tt.written {
			t.Errorf("%s %s = %d, %v, written %s", tt.text, tt.code, minor, err, commerce.Price(minor, tt.code))
		}
	}
	for _, text := range []string{"", ".5", "1.", "1.005", "-1", "1,50", "1e3", "١", "99999999999999", "10000000000.01", " 1"} {
		if minor, err := commerce.ParsePrice(text, "EUR"); err == nil {
			t.Errorf("ParsePrice(%q) = %d", text, minor)
		}
	}
	if _, err := commerce.ParsePrice("1", "XXX"); err == nil {
		t.Error("XXX is taken for a currency")
	}
}

// FuzzPrice holds that what is read as a price is written as the same one.
func FuzzPrice(f *testing.F) {
	f.Add("1250.00", "EUR")
	f.Fuzz(func(t *testing.T, text, code string) {
		minor, err := commerce.ParsePrice(text, code)
		if err != nil {
			if minor != 0 {
				t.Fatalf("ParsePrice(%q, %q) = %d with an error", text, code, minor)
			}
			return
		}
		written := commerce.Price(minor, code)
		if again, err := commerce.ParsePrice(written, code); again != minor || err != nil {
			t.Errorf("%q is %d, written %q, which is %d, %v", text, minor, written, again, err)
		}
	})
}
