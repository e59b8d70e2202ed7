package iam

import (
	"context"
	"maps"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/store"
)

// A ServiceSpec is what an operator says of a service.
type ServiceSpec struct {
	Name             string // not read by ChangeService
	PolicyTemplate   []byte // JSON of package policy
	Series           string // the issuer series' name
	DomainValidation bool
	StrictContent    bool
	StrictCAA        bool
	StrictMPIC       bool
	Unlimited        bool
	// StickyTokens lets a reasserted claim keep its token. No strict service has it.
	StickyTokens bool
	// Sample is the data of an identity, laid over that of a made-up one, with which
	// the template is tried out. It is needed for placeholders that are no members
	// of subject_dn, and is not kept.
	Sample map[string]string
}

// CreateService makes a service of version 1. It reports Invalid, with a field for
// each thing that is wrong with the policy template or that its series cannot
// sign; NotFound if there is no such series; and Conflict with name_taken.
func (s *IAM) CreateService(ctx context.Context, actor telamon.Actor, spec ServiceSpec) (*telamon.Service, error) {
	if err := authz.Check(actor, authz.ServiceCreate, ""); err != nil {
		return nil, err
	}
	var p problems
	p.Text("name", spec.Name, maxName)
	if err := p.Fault("invalid_service"); err != nil {
		return nil, err
	}
	service := &telamon.Service{ID: telamon.NewServiceID(), Name: spec.Name}
	if err := s.fill(ctx, service, spec); err != nil {
		return nil, err
	}
	if err := s.store.CreateService(ctx, actor, service); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeService, service.ID.String())
	return service, nil
}

// ChangeService replaces all of a service but its name, and gives it the next
// version. Certificates that were issued stay what they are. The version is the one
// that the caller has seen. It reports what CreateService reports, NotFound, and
// Conflict with changed_meanwhile if the version is another.
func (s *IAM) ChangeService(ctx context.Context, actor telamon.Actor, id telamon.ServiceID, version int, spec ServiceSpec) (*telamon.Service, error) {
	if err := authz.Check(actor, authz.ServiceUpdate, ""); err != nil {
		return nil, err
	}
	service, err := s.store.Service(ctx, id)
	if err != nil {
		return nil, err
	}
	service.Version = version
	if err := s.fill(ctx, &service, spec); err != nil {
		return nil, err
	}
	if err := s.store.ChangeService(ctx, actor, &service); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeService, id.String())
	return &service, nil
}

// fill sets what spec says of the service and tries out its policy.
func (s *IAM) fill(ctx context.Context, service *telamon.Service, spec ServiceSpec) error {
	series, err := s.directory.SeriesNamed(ctx, spec.Series)
	if err != nil {
		return err
	}
	service.PolicyTemplate, service.Series, service.DomainValidation = spec.PolicyTemplate, series.ID, spec.DomainValidation
	service.StrictContent, service.StrictCAA, service.StrictMPIC = spec.StrictContent, spec.StrictCAA, spec.StrictMPIC
	service.Unlimited, service.StickyTokens = spec.Unlimited, spec.StickyTokens
	if spec.StickyTokens && (spec.StrictContent || spec.StrictCAA || spec.StrictMPIC) {
		var p problems
		p.Add("sticky_tokens", "is for private services alone: a public CA needs a fresh token each time (BR 3.2.2.4)")
		return p.Fault("invalid_service")
	}
	sample := SampleIdentity()
	maps.Copy(sample, spec.Sample)
	_, err = s.directory.Compile(ctx, service, sample)
	return err
}

// SampleIdentity is the data of a made-up identity with every member of subject_dn.
func SampleIdentity() map[string]string {
	data := map[string]string{"organizational_unit": "Sample"}
	for _, member := range policy.SubjectMembers() {
		data[member] = "Sample"
	}
	data["country"], data["jurisdiction_of_incorporation_country_name"] = "XX", "XX"
	data["email"] = "sample@example.com"
	return data
}

// Service returns a service. It reports NotFound.
func (s *IAM) Service(ctx context.Context, actor telamon.Actor, id telamon.ServiceID) (telamon.Service, error) {
	if err := authz.Check(actor, authz.ServiceRead, ""); err != nil {
		return telamon.Service{}, err
	}
	return s.store.Service(ctx, id)
}

// ServiceNamed returns the service of a name. It reports NotFound.
func (s *IAM) ServiceNamed(ctx context.Context, actor telamon.Actor, name string) (telamon.Service, error) {
	if err := authz.Check(actor, authz.ServiceRead, ""); err != nil {
		return telamon.Service{}, err
	}
	return s.store.ServiceByName(ctx, name)
}

// Services lists all services.
func (s *IAM) Services(ctx context.Context, actor telamon.Actor, page store.Page) ([]telamon.Service, error) {
	if err := authz.Check(actor, authz.ServiceRead, ""); err != nil {
		return nil, err
	}
	return s.store.Services(ctx, page)
}

// Subscribe gives an account a subscription to a service, without quota. It
// reports NotFound if there is no such account or service.
func (s *IAM) Subscribe(ctx context.Context, actor telamon.Actor, account telamon.AccountID, service telamon.ServiceID) (*telamon.Subscription, error) {
	if err := authz.Check(actor, authz.SubscriptionCreate, account); err != nil {
		return nil, err
	}
	sub := &telamon.Subscription{ID: telamon.NewSubscriptionID(), Account: account, Service: service}
	if err := s.store.CreateSubscription(ctx, actor, sub); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeSubscription, sub.ID.String())
	return sub, nil
}

// Subscriptions lists the subscriptions of the account.
func (s *IAM) Subscriptions(ctx context.Context, actor telamon.Actor, account telamon.AccountID, page store.Page) ([]telamon.Subscription, error) {
	if err := authz.Check(actor, authz.SubscriptionRead, account); err != nil {
		return nil, err
	}
	return s.store.Subscriptions(ctx, account, page)
}

// maxAmount is the largest lot: what clients read as a 32-bit integer.
const maxAmount = 1<<31 - 1

// A Grant is quota for one of an account's subscriptions.
type Grant struct {
	Account          telamon.AccountID
	Subscription     telamon.SubscriptionID
	Amount           int64     // certificates
	StartsAt, EndsAt time.Time // a zero StartsAt is now
}

// CheckGrant reports Invalid, with a field for each thing that is wrong with a grant; of
// which subscription it is, it does not look at.
func (s *IAM) CheckGrant(g Grant) error {
	now := s.clock.Now()
	if g.StartsAt.IsZero() {
		g.StartsAt = now
	}
	var p problems
	if g.Amount < 1 || g.Amount > maxAmount {
		p.Add("amount", "is not from 1 to 2147483647")
	}
	if !g.EndsAt.After(g.StartsAt) || !g.EndsAt.After(now) {
		p.Add("ends_at", "is not later than the start and now")
	}
	return p.Fault("invalid_grant")
}

// GrantQuota adds a lot to a subscription's quota. It reports Invalid, and NotFound
// if the account has no such subscription.
func (s *IAM) GrantQuota(ctx context.Context, actor telamon.Actor, g Grant) (*telamon.Lot, error) {
	if err := authz.Check(actor, authz.SubscriptionGrant, g.Account); err != nil {
		return nil, err
	}
	if g.StartsAt.IsZero() {
		g.StartsAt = s.clock.Now()
	}
	if err := s.CheckGrant(g); err != nil {
		return nil, err
	}
	lot := &telamon.Lot{
		ID: telamon.NewLotID(), Subscription: g.Subscription, Amount: g.Amount,
		StartsAt: g.StartsAt.UTC().Truncate(time.Millisecond), ExpiresAt: g.EndsAt.UTC().Truncate(time.Millisecond),
	}
	return lot, s.store.GrantLot(ctx, actor, g.Account, lot)
}

// Quota returns the lots of one of the account's subscriptions in the order in
// which they are drawn. It reports NotFound.
func (s *IAM) Quota(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.SubscriptionID) ([]telamon.Lot, error) {
	if err := authz.Check(actor, authz.SubscriptionRead, account); err != nil {
		return nil, err
	}
	if _, err := s.store.Subscription(ctx, account, id); err != nil {
		return nil, err
	}
	return s.store.Lots(ctx, account, id)
}
