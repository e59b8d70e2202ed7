package directory

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Scope is a pair with all that it consists of, and the effective validation
// policy: the service's template with the identity's data, within what the active
// issuing CA of the service's series can sign. Nobody may change it.
type Scope struct {
	Pair          telamon.Pair
	Account       telamon.Account
	Subscription  telamon.Subscription
	Service       telamon.Service
	Identity      telamon.Identity
	Policy        *policy.Policy
	PolicyVersion string // kept in the store when Scope returns it
}

// Scope returns what the pair may issue by. It reports NotFound; Denied with
// account_not_active, identity_not_active, identity_expired or policy_unusable;
// and Unavailable.
func (d *Directory) Scope(ctx context.Context, id telamon.PairID) (*Scope, error) {
	scope, err := d.scope(ctx, id)
	if err != nil {
		return nil, err
	}
	if scope.Identity.State != telamon.IdentityActive {
		return nil, fault.New(fault.Denied, "identity_not_active", "The identity is not active.")
	}
	if e := scope.Identity.ExpiresAt; !e.IsZero() && !d.clock.Now().Before(e) {
		return nil, fault.New(fault.Denied, "identity_expired", "The identity has expired.")
	}
	return scope, nil
}

// ReadScope is Scope for reading and revoking, which an identity that is not
// active any more does not end.
func (d *Directory) ReadScope(ctx context.Context, id telamon.PairID) (*Scope, error) {
	return d.scope(ctx, id)
}

func (d *Directory) scope(ctx context.Context, id telamon.PairID) (*Scope, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindScope(ctx, id) })
	if err != nil {
		return nil, err
	}
	pair := s.pairs[id]
	if pair == nil {
		return nil, fault.New(fault.NotFound, "pair_not_found", "There is no such object.")
	}
	account, subscription, identity := s.accounts[pair.Account], s.subscriptions[pair.Subscription], s.identities[pair.Identity]
	if account == nil || subscription == nil || identity == nil || s.services[subscription.Service] == nil {
		return nil, fmt.Errorf("pair %d is not complete", id)
	}
	if account.State != telamon.Active {
		return nil, fault.New(fault.Denied, "account_not_active", "The account is not active.")
	}
	scope := &Scope{
		Pair: *pair, Account: *account, Subscription: *subscription, Identity: *identity, Service: *s.services[subscription.Service],
	}
	return scope, d.addPolicy(ctx, s, scope)
}

// policies caches the effective policy of each service and identity.
type policies struct {
	entries   sync.Map   // policyKey to *policyEntry
	compiling sync.Mutex // held while one is compiled and kept
}

type policyKey struct {
	service  telamon.ServiceID
	identity telamon.IdentityID
}

// policyEntry is an effective policy and what it was made of. An identity's data
// does not change once the identity can be used.
type policyEntry struct {
	service int // the version
	issuer  telamon.IssuerID
	policy  *policy.Policy
}

// addPolicy sets the scope's policy. A policy's version is kept in the store
// before anything is issued by it.
func (d *Directory) addPolicy(ctx context.Context, s *snapshot, scope *Scope) error {
	now := d.clock.Now()
	issuer := s.lines.Active(scope.Service.Series, now)
	if issuer == nil {
		return errNoIssuer()
	}
	key := policyKey{scope.Service.ID, scope.Identity.ID}
	fits := func() bool {
		cached, ok := d.policies.entries.Load(key)
		if !ok {
			return false
		}
		entry := cached.(*policyEntry)
		if entry.service != scope.Service.Version || entry.issuer != issuer.ID {
			return false
		}
		scope.Policy, scope.PolicyVersion = entry.policy, entry.policy.Version()
		return true
	}
	if fits() {
		return nil
	}
	d.policies.compiling.Lock()
	defer d.policies.compiling.Unlock()
	if fits() {
		return nil
	}
	p, err := s.compile(&scope.Service, scope.Identity.Data, now)
	if err != nil {
		d.log.WarnContext(ctx, "a policy cannot be used", "service", scope.Service.ID, "identity", scope.Identity.ID, "error", err)
		return &fault.Fault{
			Kind: fault.Denied, Code: "policy_unusable", Detail: "The service and the identity do not fit each other.", Cause: err,
		}
	}
	model, err := json.Marshal(p.Model())
	if err != nil {
		return fmt.Errorf("encode policy %s: %w", p.Version(), err)
	}
	if err := d.store.SavePolicyVersion(ctx, p.Version(), model); err != nil {
		return err
	}
	scope.Policy, scope.PolicyVersion = p, p.Version()
	if scope.Identity.State != telamon.IdentityDraft {
		d.policies.entries.Store(key, &policyEntry{scope.Service.Version, issuer.ID, p})
	}
	return nil
}

func errNoIssuer() error {
	return fault.New(fault.Unavailable, "no_active_issuer", "No issuing CA is active now.")
}

// compile makes the effective policy of a service and an identity's data, at an instant.
func (s *snapshot) compile(service *telamon.Service, data map[string]string, now time.Time) (*policy.Policy, error) {
	series, issuer := s.series[service.Series], s.lines.Active(service.Series, now)
	if series == nil || issuer == nil {
		return nil, errNoIssuer()
	}
	model, err := policy.ParseModel(service.PolicyTemplate)
	if err != nil {
		return nil, err
	}
	bound, err := model.Bind(data)
	if err != nil {
		return nil, err
	}
	return policy.Compile(bound, policy.Limits{
		EKUFamily: series.EKUFamily, KeyType: series.KeyType, IssuerExpiry: issuer.Certificate.NotAfter,
		Strict: service.StrictContent || series.EKUFamily == telamon.EKUServerAuth, // what serverAuth alone is for
	})
}

// Compile returns the policy that a service would give an identity with this data,
// and keeps nothing. It reports Invalid, with a field for each thing that is wrong,
// and Unavailable if the service's series has no active issuing CA.
func (d *Directory) Compile(ctx context.Context, service *telamon.Service, data map[string]string) (*policy.Policy, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindIssuers(ctx) })
	if err != nil {
		return nil, err
	}
	return s.compile(service, data, d.clock.Now())
}

// SeriesNamed returns the issuer series of a name. The caller must not change it.
// It reports NotFound and Unavailable.
func (d *Directory) SeriesNamed(ctx context.Context, name string) (*telamon.Series, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindIssuers(ctx) })
	if err != nil {
		return nil, err
	}
	for _, series := range s.series {
		if series.Name == name {
			return series, nil
		}
	}
	return found[telamon.Series](nil, "series_not_found")
}

// Series returns an issuer series. The caller must not change it. It reports NotFound and
// Unavailable.
func (d *Directory) Series(ctx context.Context, id telamon.SeriesID) (*telamon.Series, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindIssuers(ctx) })
	if err != nil {
		return nil, err
	}
	return found(s.series[id], "series_not_found")
}

// Issuer returns an issuer in any state. The caller must not change it. It reports
// NotFound and Unavailable.
func (d *Directory) Issuer(ctx context.Context, id telamon.IssuerID) (*telamon.Issuer, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindIssuers(ctx) })
	if err != nil {
		return nil, err
	}
	return found(s.issuers[id], "issuer_not_found")
}

// ActiveIssuer returns the issuing CA that new tokens for the pair's service get now. The
// caller must not change it. It reports NotFound and Unavailable.
func (d *Directory) ActiveIssuer(ctx context.Context, id telamon.PairID) (*telamon.Issuer, error) {
	s, err := d.lookup(ctx, func(ctx context.Context) (*store.Directory, error) { return d.store.FindScope(ctx, id) })
	if err != nil {
		return nil, err
	}
	pair := s.pairs[id]
	if pair == nil || s.subscriptions[pair.Subscription] == nil {
		return found[telamon.Issuer](nil, "pair_not_found")
	}
	service := s.services[s.subscriptions[pair.Subscription].Service]
	if service == nil {
		return nil, errNoIssuer()
	}
	issuer := s.lines.Active(service.Series, d.clock.Now())
	if issuer == nil {
		return nil, errNoIssuer()
	}
	return issuer, nil
}
