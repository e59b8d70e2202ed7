package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/policy"
)

// An IdentityField is one piece of data that an identity of a type has.
type IdentityField struct {
	Member   string // of subject_dn
	Required bool
}

// An IdentityType is what identities of a type consist of and are for.
type IdentityType struct {
	Type   telamon.IdentityType
	Vetted bool // by agents; others are active at once
	Fields []IdentityField
	// Families are the extended key usages of the services that it is for; EKUAny is in all.
	Families []telamon.EKUFamily
}

var organization = []IdentityField{{"organization", true}, {"locality", true}, {"state", false}, {"country", true}}

// identityTypes are the types, in the order in which people choose. No TLS type has an
// organizational unit, which no certificate of a server may carry (BR 7.1.2.7.2).
var identityTypes = []IdentityType{
	{telamon.IdentityTLSOV, true, organization, []telamon.EKUFamily{telamon.EKUTLS, telamon.EKUServerAuth}},
	{telamon.IdentityTLSDV, false, nil, []telamon.EKUFamily{telamon.EKUTLS, telamon.EKUServerAuth}},
	{telamon.IdentityClient, true, organization, []telamon.EKUFamily{telamon.EKUClientAuth}},
	{telamon.IdentitySigning, true, append(slices.Clone(organization), IdentityField{"organizational_unit", false}),
		[]telamon.EKUFamily{telamon.EKUSigning}},
}

// IdentityTypes returns the types of identities. The caller must not change what they hold.
func IdentityTypes() []IdentityType { return slices.Clone(identityTypes) }

// IdentityTypeOf returns the type of a name, and false if there is none.
func IdentityTypeOf(name telamon.IdentityType) (IdentityType, bool) {
	i := slices.IndexFunc(identityTypes, func(t IdentityType) bool { return t.Type == name })
	if i < 0 {
		return IdentityType{}, false
	}
	return identityTypes[i], true
}

// attributeLengths are the upper bounds of attributes in characters (RFC 5280, Appendix
// A.1).
var attributeLengths = map[string]int{
	"organization": 64, "organizational_unit": 64, "common_name": 64, "locality": 128, "state": 128, "country": 2,
}

// attribute checks one piece of data that may come to stand in a subject.
func (p *problems) attribute(path, member, value string) {
	limit, known := attributeLengths[member]
	if !known {
		limit = maxValue
	}
	before := len(p.Problems)
	p.Text(path, value, limit)
	switch {
	case len(p.Problems) > before:
	case strings.Trim(value, "-. ") == "":
		p.Add(path, "says nothing: leave it out if there is none")
	case member == "country" && !field.IsCountry(value):
		p.Add(path, "is not a code of two capital letters (ISO 3166-1)")
	}
}

// form checks the data of an identity of a type.
func (p *problems) form(t IdentityType, data map[string]string) {
	for _, f := range t.Fields {
		if f.Required && data[f.Member] == "" {
			p.Add("data."+f.Member, "is required")
		}
	}
	for member := range data {
		if !slices.ContainsFunc(t.Fields, func(f IdentityField) bool { return f.Member == member }) {
			p.Add("data", fmt.Sprintf("has %.70q, which identities of this type have not", member))
		}
	}
}

// customer checks the contact of a service provider's customer.
func (p *problems) customer(c *telamon.Contact) {
	if c == nil {
		return
	}
	p.Text("customer.name", c.Name, maxName)
	p.email("customer.email", c.Email)
	if c.Phone != "" {
		p.Text("customer.phone", c.Phone, maxName)
	}
}

// Fits reports whether an identity of the type is for a service whose series has this
// family. The service's policy decides how deep servers are vetted: one that takes text of
// an identity is for organizations, one that takes none for domains alone. An identity
// without a type is the operator's own word and fits whatever its data fits.
func (t IdentityType) fits(service *telamon.Service, family telamon.EKUFamily) bool {
	if family == telamon.EKUAny {
		return t.Vetted || !takesIdentity(service)
	}
	if !slices.Contains(t.Families, family) {
		return false
	}
	if family == telamon.EKUTLS || family == telamon.EKUServerAuth {
		return t.Vetted == takesIdentity(service)
	}
	return true
}

// takesIdentity reports whether certificates of the service carry text of an identity.
func takesIdentity(service *telamon.Service) bool {
	model, err := policy.ParseModel(service.PolicyTemplate)
	if err != nil {
		return true // it cannot be used in any case
	}
	_, err = model.Bind(nil)
	return err != nil
}

// FitsService reports whether an identity of the type may be used with a service, as far as
// the type says. It reports Unavailable.
func (s *IAM) fitsService(ctx context.Context, name telamon.IdentityType, service *telamon.Service) (bool, error) {
	if name == "" {
		return true, nil
	}
	t, ok := IdentityTypeOf(name)
	if !ok {
		return false, nil
	}
	series, err := s.directory.Series(ctx, service.Series)
	if err != nil {
		return false, err
	}
	return t.fits(service, series.EKUFamily), nil
}

// OfferedTypes returns the types of identities that a service of the account with a term
// that has not ended is for.
func (s *IAM) OfferedTypes(ctx context.Context, actor telamon.Actor, account telamon.AccountID) ([]IdentityType, error) {
	offers, err := s.Offers(ctx, actor, account)
	if err != nil {
		return nil, err
	}
	var types []IdentityType
	for _, t := range identityTypes {
		for i := range offers {
			if !offers[i].Live {
				continue
			}
			fits, err := s.fitsService(ctx, t.Type, &offers[i].Service)
			if err != nil {
				return nil, err
			}
			if fits {
				types = append(types, t)
				break
			}
		}
	}
	return types, nil
}

// Fitting lists the active identities of the account that can be used with one of its
// subscriptions, for wizards to offer. It reports NotFound.
func (s *IAM) Fitting(ctx context.Context, actor telamon.Actor, account telamon.AccountID, subscription telamon.SubscriptionID) ([]telamon.Identity, error) {
	if err := authz.Check(actor, authz.IdentityRead, account); err != nil {
		return nil, err
	}
	sub, err := s.store.Subscription(ctx, account, subscription)
	if err != nil {
		return nil, err
	}
	service, err := s.store.Service(ctx, sub.Service)
	if err != nil {
		return nil, err
	}
	all, err := s.activeIdentities(ctx, account)
	if err != nil {
		return nil, err
	}
	var fitting []telamon.Identity
	for _, i := range all {
		switch err := s.mustMatch(ctx, &service, &i); {
		case err == nil:
			fitting = append(fitting, i)
		case !fault.Is(err, fault.Invalid):
			return nil, err
		}
	}
	return fitting, nil
}
