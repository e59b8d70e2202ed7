package commerce

import (
	"context"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Product is a service that an account subscribes to, with the packs of its quota.
type Product struct {
	Subscription telamon.Subscription
	Service      telamon.Service
	// Packs are all lots, in the order in which they are drawn; none if it is Unlimited.
	Packs []store.Pack
	// Granted and Left are what the running packs began with, and what is left of them:
	// Left is what GET /quotas/issuance answers.
	Granted, Left int64
	EndsAt        time.Time // of the last pack that has not ended; zero: there is none
	SANLimit      int       // names of a certificate beside its common name; -1: the policy sets none
}

// Live reports whether the product has a term that has not ended.
func (p *Product) Live() bool { return p.Service.Unlimited || !p.EndsAt.IsZero() }

// PercentUsed returns how much of the running packs is used, rounded down.
func (p *Product) PercentUsed() int64 {
	if p.Granted == 0 {
		return 0
	}
	return (p.Granted - p.Left) * 100 / p.Granted
}

// maxProducts is of how many subscriptions of an account the use is told.
const maxProducts = 1000

// Products returns what the account subscribes to and how much of it is used.
func (s *Service) Products(ctx context.Context, actor telamon.Actor, account telamon.AccountID) ([]Product, error) {
	if err := authz.Check(actor, authz.SubscriptionRead, account); err != nil {
		return nil, err
	}
	subs, err := s.store.Subscriptions(ctx, account, store.Page{Limit: maxProducts})
	if err != nil {
		return nil, err
	}
	packs, err := s.store.Packs(ctx, account)
	if err != nil {
		return nil, err
	}
	now := s.clock.Now()
	products := make([]Product, len(subs))
	for i, sub := range subs {
		p := &products[i]
		p.Subscription = sub
		if p.Service, err = s.store.Service(ctx, sub.Service); err != nil {
			return nil, err
		}
		p.SANLimit = sanLimit(&p.Service)
		for _, pack := range packs {
			if pack.Subscription == sub.ID && !p.Service.Unlimited {
				p.add(pack, now)
			}
		}
	}
	return products, nil
}

// add counts a pack.
func (p *Product) add(pack store.Pack, now time.Time) {
	p.Packs = append(p.Packs, pack)
	if !pack.ExpiresAt.After(now) {
		return
	}
	if pack.ExpiresAt.After(p.EndsAt) {
		p.EndsAt = pack.ExpiresAt
	}
	if !pack.StartsAt.After(now) {
		p.Granted += pack.Amount
		p.Left += max(pack.Amount-pack.Used, 0)
	}
}

// sanLimit returns how many names a service allows, -1 if it sets no limit.
func sanLimit(service *telamon.Service) int {
	model, err := policy.ParseModel(service.PolicyTemplate)
	if err != nil {
		return -1
	}
	limit := 0
	for _, rule := range []policy.ListRule{model.SAN.DNSNames, model.SAN.Emails, model.SAN.URIs, model.SAN.IPAddresses} {
		if rule.Static {
			limit += len(rule.List)
		} else {
			limit += rule.MaxCount
		}
	}
	return limit
}

// A Trend is numbers of certificates in spans of equal length, the first of which begins
// at From.
type Trend struct {
	From   time.Time
	Span   time.Duration
	Counts []int64
}

// Total is the sum of a trend.
func (t Trend) Total() (sum int64) {
	for _, n := range t.Counts {
		sum += n
	}
	return sum
}

// The spans of trends.
const (
	issuedDays    = 30
	expiringWeeks = 12
)

// Trends are how many certificates of an account were issued on each of the last 30 days,
// today included, and how many end in each of the next 12 weeks, from today on, in UTC.
type Trends struct{ Issued, Expiring Trend }

// Trends returns the trends of an account. They are read from the counts of hours, and cost
// the same however many certificates there are.
func (s *Service) Trends(ctx context.Context, actor telamon.Actor, account telamon.AccountID) (Trends, error) {
	if err := authz.Check(actor, authz.StatisticsRead, account); err != nil {
		return Trends{}, err
	}
	const day = 24 * time.Hour
	today := s.clock.Now().UTC().Truncate(day)
	t := Trends{
		Issued:   Trend{From: today.Add(-(issuedDays - 1) * day), Span: day},
		Expiring: Trend{From: today, Span: 7 * day},
	}
	var err error
	if t.Issued.Counts, err = s.store.AccountCounts(ctx, account, store.Issued, t.Issued.From, 24, issuedDays); err != nil {
		return Trends{}, err
	}
	t.Expiring.Counts, err = s.store.AccountCounts(ctx, account, store.Expiring, t.Expiring.From, 7*24, expiringWeeks)
	return t, err
}

// Accounts lists accounts by name, for staff, with how many the filter has in all and how
// many of these come no later than its After.
func (s *Service) Accounts(ctx context.Context, actor telamon.Actor, f store.AccountFilter) (list []store.AccountLine, total, before int64, err error) {
	if err := authz.Check(actor, authz.AccountRead, ""); err != nil {
		return nil, 0, 0, err
	}
	return s.store.FindAccounts(ctx, f)
}

// Thresholds are the percentages of a used quota at which people are told (spec:
// portal-and-onboarding.md, Section 3.10), the highest first.
var Thresholds = []int64{100, 95, 80}

// WatchEvery is how often it is looked which quota is nearly used.
const WatchEvery = 5 * time.Minute

// watchStep is how many pools are read at a time.
const watchStep = 500

// runWatch does the job that tells people whose quota is nearly used: once for each
// threshold and set of running packs, and of the highest alone if several were passed since
// it looked last. It reads lots, and issuance does not wait for it.
func (s *Service) runWatch(ctx context.Context, _ store.Job) (time.Time, error) {
	after := telamon.SubscriptionID("")
	for {
		pools, err := s.store.UsedPools(ctx, after, Thresholds[len(Thresholds)-1], watchStep)
		if err != nil {
			return time.Time{}, err
		}
		for _, p := range pools {
			if err := s.tell(ctx, p); err != nil {
				return time.Time{}, err
			}
		}
		if len(pools) < watchStep {
			return s.clock.Now().Add(WatchEvery), nil
		}
		after = pools[len(pools)-1].Subscription
	}
}

// tell tells the buyers of an account of a pool, if they were not told yet.
func (s *Service) tell(ctx context.Context, p store.Pool) error {
	for _, percent := range Thresholds {
		if p.Used*100 < p.Amount*percent {
			continue
		}
		if p.Told >= percent {
			return nil
		}
		extra, err := s.mailsTo(ctx, p.Account, notify.TemplateQuotaUsed, mailParams{Service: p.Service, Percent: percent, Used: p.Used, Amount: p.Amount})
		if err != nil {
			return err
		}
		if told, err := s.store.TellOfPool(ctx, p, percent, extra); err != nil || !told {
			return err
		}
		s.wake()
		return nil
	}
	return nil
}
