package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// JobQuotaWatch looks now and then which quota is nearly used; there is one, with the key "".
const JobQuotaWatch = "quota.watch"

// A Pool is the lots of a subscription whose terms run, from which it is issued.
type Pool struct {
	Subscription telamon.SubscriptionID
	Account      telamon.AccountID
	Service      string // its name
	Amount, Used int64
	Told         int64 // of how many percent of these very lots people were told; 0: of none

	key [sha256.Size]byte // of the IDs of its lots
}

// UsedPools returns up to limit pools of which this percentage or more is used, in the
// order of their subscriptions, after a subscription. It reads the lots that run alone, and
// no certificates, and keeps nobody waiting.
func (db *DB) UsedPools(ctx context.Context, after telamon.SubscriptionID, percent int64, limit int) ([]Pool, error) {
	rows, err := db.queries().UsedPools(ctx, queries.UsedPoolsParams{
		After: after.String(), Now: db.clock.Now().UnixMilli(), Percent: percent, Lim: Page{Limit: limit}.limit(),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read which quota is used: %w", err))
	}
	return mapped(rows, func(r queries.UsedPoolsRow) Pool {
		p := Pool{
			Subscription: telamon.SubscriptionID(r.SubscriptionID), Account: telamon.AccountID(r.AccountID), Service: r.ServiceName,
			Amount: r.Amount, Used: r.Used, key: sha256.Sum256([]byte(r.Lots)),
		}
		if r.Told != nil && bytes.Equal(r.Pool, p.key[:]) {
			p.Told = *r.Told
		}
		return p
	}), nil
}

// TellOfPool writes that people are told of a pool of which so many percent are used, with
// the mails, unless they were told of this or of more of the same lots meanwhile. It
// returns whether it did.
func (db *DB) TellOfPool(ctx context.Context, p Pool, percent int64, extra Extra) (told bool, err error) {
	err = db.update(ctx, func(t *txn) error {
		changed, err := t.TellOfQuota(ctx, queries.TellOfQuotaParams{
			SubscriptionID: p.Subscription.String(), Pool: p.key[:], Told: percent, ToldAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("tell of the quota of %s: %w", p.Subscription, err)
		}
		if told = changed == 1; !told {
			return nil
		}
		return t.addExtra(ctx, extra)
	})
	return told, err
}

// AccountCounts returns how many certificates of all pairs of the account are in a listing,
// in n spans of so many whole hours each, from an hour on. The cost grows with the pairs
// and with the hours in which there are any, and not with the number of certificates.
func (db *DB) AccountCounts(ctx context.Context, account telamon.AccountID, l Listing, from time.Time, hours int64, n int) ([]int64, error) {
	first := floorDiv(from.Unix(), 3600)
	rows, err := db.queries().CountsOfAccount(ctx, queries.CountsOfAccountParams{
		AccountID: account.String(), Kind: string(l.kind()), First: first, Last: first + hours*int64(n), Span: hours,
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("count the certificates of %s: %w", account, err))
	}
	counts := make([]int64, n)
	for _, r := range rows {
		if r.Part >= 0 && r.Part < int64(n) {
			counts[r.Part] += r.N
		}
	}
	return counts, nil
}

// An AccountLine is an account in a list of operators, with how much it has.
type AccountLine struct {
	ID                                telamon.AccountID
	Name                              string
	State                             telamon.State
	CreatedAt                         time.Time
	Users, Subscriptions, Credentials int64 // that are not deleted
}

// An AccountFilter narrows a list of accounts.
type AccountFilter struct {
	Search string        // a part of the name, in whatever case, or a whole ID; "": all
	State  telamon.State // "": in every state
	After  string        // the name of the last account that the caller has
	Limit  int
}

// FindAccounts lists accounts by name, and returns how many the filter has in all and how
// many of these come no later than After.
func (db *DB) FindAccounts(ctx context.Context, f AccountFilter) (list []AccountLine, total, before int64, err error) {
	pattern := "%" + likeEscapes.Replace(strings.ToLower(f.Search)) + "%"
	err = db.view(ctx, func(read *queries.Queries) error {
		counts, err := read.CountAccounts(ctx, queries.CountAccountsParams{
			After: f.After, State: string(f.State), Pattern: pattern, AccountID: f.Search,
		})
		if err != nil {
			return fmt.Errorf("count accounts: %w", err)
		}
		total, before = counts.Total, counts.Before
		rows, err := read.FindAccounts(ctx, queries.FindAccountsParams{
			After: f.After, State: string(f.State), Pattern: pattern, AccountID: f.Search, Lim: Page{Limit: f.Limit}.limit(),
		})
		if err != nil {
			return fmt.Errorf("find accounts: %w", err)
		}
		list = mapped(rows, func(r queries.FindAccountsRow) AccountLine {
			return AccountLine{
				ID: telamon.AccountID(r.ID), Name: r.Name, State: telamon.State(r.State), CreatedAt: timeOf(r.CreatedAt),
				Users: r.Users, Subscriptions: r.Subscriptions, Credentials: r.Credentials,
			}
		})
		return nil
	})
	return list, total, before, db.judge(ctx, err)
}

// likeEscapes makes a text stand for itself in a pattern of LIKE, whose escape is "!".
var likeEscapes = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")
