package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Service is what accounts subscribe to.
type Service struct {
	ID               telamon.ServiceID `json:"id"`
	Name             string            `json:"name"`
	Version          int               `json:"version"`
	Series           string            `json:"series"`
	DomainValidation bool              `json:"domain_validation"`
	StrictContent    bool              `json:"strict_content"`
	StrictCAA        bool              `json:"strict_caa"`
	StrictMPIC       bool              `json:"strict_mpic"`
	Unlimited        bool              `json:"unlimited"`
	StickyTokens     bool              `json:"sticky_tokens"`
	Policy           json.RawMessage   `json:"policy"`
	CreatedAt        time.Time         `json:"created_at"`
	ChangedAt        time.Time         `json:"changed_at"`
}

// ServiceSpec is the body that makes a service, or changes one: then Version is
// the version that the caller has seen, and the name stays.
type ServiceSpec struct {
	Name             string            `json:"name"`
	Version          int               `json:"version,omitempty"`
	Series           string            `json:"series"`
	DomainValidation bool              `json:"domain_validation,omitempty"`
	StrictContent    bool              `json:"strict_content,omitempty"`
	StrictCAA        bool              `json:"strict_caa,omitempty"`
	StrictMPIC       bool              `json:"strict_mpic,omitempty"`
	Unlimited        bool              `json:"unlimited,omitempty"`
	StickyTokens     bool              `json:"sticky_tokens,omitempty"`
	Policy           json.RawMessage   `json:"policy"`
	Sample           map[string]string `json:"sample,omitempty"`
}

func (in *ServiceSpec) spec() iam.ServiceSpec {
	return iam.ServiceSpec{
		Name: in.Name, PolicyTemplate: in.Policy, Series: in.Series, DomainValidation: in.DomainValidation,
		StrictContent: in.StrictContent, StrictCAA: in.StrictCAA, StrictMPIC: in.StrictMPIC, Unlimited: in.Unlimited,
		StickyTokens: in.StickyTokens,
		Sample:       in.Sample,
	}
}

// Spec returns the body that would change nothing of the service.
func (s *Service) Spec() ServiceSpec {
	return ServiceSpec{
		Version: s.Version, Series: s.Series, DomainValidation: s.DomainValidation, StrictContent: s.StrictContent,
		StrictCAA: s.StrictCAA, StrictMPIC: s.StrictMPIC, Unlimited: s.Unlimited, StickyTokens: s.StickyTokens, Policy: s.Policy,
	}
}

// A Subscription is an account's right to a service.
type Subscription struct {
	ID        telamon.SubscriptionID `json:"id"`
	Service   telamon.ServiceID      `json:"service"`
	CreatedAt time.Time              `json:"created_at"`
}

func subscriptionOf(s telamon.Subscription) Subscription {
	return Subscription{ID: s.ID, Service: s.Service, CreatedAt: s.CreatedAt}
}

// NewSubscription is the body that subscribes an account to a service, which is
// given by ID or name.
type NewSubscription struct {
	Service string `json:"service"`
}

// A Lot is a part of a subscription's quota.
type Lot struct {
	ID        telamon.LotID `json:"id"`
	Amount    int64         `json:"amount"`
	Used      int64         `json:"used"`
	StartsAt  time.Time     `json:"starts_at"`
	ExpiresAt time.Time     `json:"expires_at"`
}

func lotOf(l telamon.Lot) Lot {
	return Lot{ID: l.ID, Amount: l.Amount, Used: l.Used, StartsAt: l.StartsAt, ExpiresAt: l.ExpiresAt}
}

// NewLot is the body that grants quota. Without StartsAt it begins now.
type NewLot struct {
	Amount   int64      `json:"amount"`
	StartsAt *time.Time `json:"starts_at,omitempty"`
	EndsAt   time.Time  `json:"ends_at"`
}

// serviceOf names the series of a service, which the engine knows.
func (s *server) serviceOf(v telamon.Service) Service {
	name := v.Series.String()
	if series, err := s.Issuance.Series(v.Series); err == nil {
		name = series.Name
	}
	return Service{
		ID: v.ID, Name: v.Name, Version: v.Version, Series: name, DomainValidation: v.DomainValidation,
		StrictContent: v.StrictContent, StrictCAA: v.StrictCAA, StrictMPIC: v.StrictMPIC, Unlimited: v.Unlimited,
		StickyTokens: v.StickyTokens,
		Policy:       v.PolicyTemplate, CreatedAt: v.CreatedAt, ChangedAt: v.ChangedAt,
	}
}

// service returns the service of an ID or a name.
func (c *call) service(ctx context.Context, text string) (telamon.Service, error) {
	if id, err := telamon.ParseServiceID(text); err == nil {
		return c.IAM.Service(ctx, c.actor, id)
	}
	return c.IAM.ServiceNamed(ctx, c.actor, text)
}

func (s *server) serviceRoutes() {
	listRoute(s, "GET /services", s.IAM.Services, s.serviceOf, func(v telamon.Service) string { return v.ID.String() })
	s.route("POST /services", http.StatusCreated, func(ctx context.Context, c *call) (any, error) {
		var in ServiceSpec
		if err := c.body(&in); err != nil {
			return nil, err
		}
		if err := c.approve(ctx, authz.ServiceCreate, "make the service "+in.Name); err != nil {
			return nil, err
		}
		service, err := s.IAM.CreateService(ctx, c.actor, in.spec())
		return made(service, err, s.serviceOf)
	})
	s.route("GET /services/{service}", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		service, err := c.service(ctx, c.r.PathValue("service"))
		return s.serviceOf(service), err
	})
	s.route("PUT /services/{service}", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		var in ServiceSpec
		service, err := c.service(ctx, c.r.PathValue("service"))
		if err != nil {
			return nil, err
		}
		if err := c.body(&in); err != nil {
			return nil, err
		}
		if err := c.approve(ctx, authz.ServiceUpdate, "change the service "+service.Name); err != nil {
			return nil, err
		}
		changed, err := s.IAM.ChangeService(ctx, c.actor, service.ID, in.Version, in.spec())
		return made(changed, err, s.serviceOf)
	})
	s.subscriptionRoutes()
}

func (s *server) subscriptionRoutes() {
	const all = "/accounts/{account}/subscriptions"
	accountListRoute(s, "GET "+all, s.IAM.Subscriptions, subscriptionOf, func(v telamon.Subscription) string { return v.ID.String() })
	accountPostRoute(s, "POST "+all, func(ctx context.Context, c *call, account telamon.AccountID, in *NewSubscription) (any, error) {
		service, err := c.service(ctx, in.Service)
		if err != nil {
			return nil, err
		}
		subscription, err := s.IAM.Subscribe(ctx, c.actor, account, service.ID)
		return made(subscription, err, subscriptionOf)
	})
	const lots = all + "/{subscription}/lots"
	objectRoute(s, "GET "+lots, "subscription", telamon.ParseSubscriptionID, s.IAM.Quota, func(rows []telamon.Lot) List[Lot] {
		return listOf(rows, store.Page{}, lotOf, func(l telamon.Lot) string { return l.ID.String() })
	})
	accountPostRoute(s, "POST "+lots, func(ctx context.Context, c *call, account telamon.AccountID, in *NewLot) (any, error) {
		subscription, err := id(c, "subscription", telamon.ParseSubscriptionID)
		if err != nil {
			return nil, err
		}
		lot, err := s.IAM.GrantQuota(ctx, c.actor, iam.Grant{
			Account: account, Subscription: subscription, Amount: in.Amount, StartsAt: valueOf(in.StartsAt), EndsAt: in.EndsAt,
		})
		return made(lot, err, lotOf)
	})
}
