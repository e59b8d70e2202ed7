package ra

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/fault"
)

// A covered is a name and the verified claims that cover it, the closest first.
type covered struct {
	named
	claims []telamon.Claim
}

// checkNames runs step 6: the names of a service with domain validation are covered
// by verified claims, and CAA lets the platform issue where the service demands it.
// Corroboration is of a validation, so a service that demands it demands that too. It
// returns the evidence as JSON, nil if the service demands neither.
//
// It reports Invalid with name_not_covered or caa_forbids, and a field for each name.
func (ra *RA) checkNames(ctx context.Context, scope *directory.Scope, content *telamon.Content, now time.Time) ([]byte, error) {
	validated := scope.Service.DomainValidation || scope.Service.StrictMPIC
	if !validated && !scope.Service.StrictCAA {
		return nil, nil
	}
	names := make([]covered, 0, len(content.SAN.DNSNames))
	for _, n := range namesOf(content) {
		names = append(names, covered{named: n})
	}
	if validated {
		if err := ra.cover(ctx, scope, names, now); err != nil {
			return nil, err
		}
	}
	evidence := make([]telamon.NameEvidence, len(names))
	for i, n := range names {
		evidence[i].Name = n.text
		if len(n.claims) > 0 {
			evidence[i].Verification = n.claims[0].Verification
		}
	}
	if scope.Service.StrictCAA {
		if err := ra.checkCAA(ctx, scope, names, evidence); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(evidence)
	if err != nil {
		return nil, fmt.Errorf("encode the evidence: %w", err)
	}
	return text, nil
}

// cover finds the verified claims of each name. It reports Invalid with a field for
// each name that has none.
func (ra *RA) cover(ctx context.Context, scope *directory.Scope, names []covered, now time.Time) error {
	claims, err := ra.verifiedClaims(ctx, scope, names, now)
	if err != nil {
		return err
	}
	var uncovered []fault.Field
	for i := range names {
		n := &names[i]
		problem := "no verified claim"
		switch {
		case n.host == "":
		case n.kind == telamon.ClaimDomain && ra.validation.blocks(dnsname.Name(n.host)):
			problem = "is blocked"
		default:
			n.claims = coveringClaims(claims, n.named)
		}
		if len(n.claims) == 0 {
			uncovered = append(uncovered, fault.Field{Path: n.text, Problem: problem})
		}
	}
	if len(uncovered) == 0 {
		return nil
	}
	return &fault.Fault{
		Kind: fault.Invalid, Code: "name_not_covered", Detail: "san: failed dns/email domain name verification", Fields: uncovered,
	}
}

// blocks reports whether the operator blocks the name or a domain above it.
func (v *Validation) blocks(name dnsname.Name) bool {
	return slices.ContainsFunc(v.Blocked, func(b dnsname.Name) bool { return within(name.String(), b.String()) })
}

// within reports whether name is domain or lies below it.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// verifiedClaims returns the identity's claims to any of the names or to domains
// above them, whose verification may be relied on now.
func (ra *RA) verifiedClaims(ctx context.Context, scope *directory.Scope, names []covered, now time.Time) ([]telamon.Claim, error) {
	wanted := map[telamon.ClaimKind][]string{}
	for _, n := range names {
		if n.host == "" {
			continue
		}
		wanted[n.kind] = append(wanted[n.kind], n.host)
		if n.kind == telamon.ClaimDomain {
			for _, parent := range dnsname.Name(n.host).AuthorizationDomainsWithin(ra.validation.PrivateSuffixes) {
				wanted[n.kind] = append(wanted[n.kind], parent.String())
			}
		}
	}
	var all []telamon.Claim
	for kind, hosts := range wanted {
		slices.Sort(hosts)
		claims, err := ra.store.VerifiedClaims(ctx, scope.Identity.ID, kind, slices.Compact(hosts))
		if err != nil {
			return nil, err
		}
		all = append(all, claims...)
	}
	all = slices.DeleteFunc(all, func(c telamon.Claim) bool { return !now.Before(ra.reliableUntil(&c)) })
	if scope.Policy.Strict() || scope.Service.StrictMPIC {
		return ra.strictlyVerified(ctx, scope, all)
	}
	return all, nil
}

// reliableUntil is the first instant at which the claim's verification may no longer
// be relied on: as it was told when the claim was verified, and by the rules as they
// are now (BR 4.2.1: the age is judged at issuance).
func (ra *RA) reliableUntil(c *telamon.Claim) time.Time {
	return earliest(c.ExpiresAt, ra.validation.end(c.Method, c.VerifiedAt))
}

// end is the first instant at which a validation by the method, made at the time,
// may no longer be relied on.
func (v *Validation) end(m telamon.Method, at time.Time) time.Time {
	end := v.Rules.ReuseEnd(at)
	switch {
	case m == telamon.MethodPersist:
		end = earliest(end, at.Add(v.Rules.PersistReuse()))
	case m.IsEmail():
		end = earliest(end, v.Rules.EmailMethodsEnd())
	}
	return end
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// strictlyVerified keeps the claims whose verification meets what a strict service
// demands of it: a token of a public CA's age (BR 3.2.2.4), and corroboration.
func (ra *RA) strictlyVerified(ctx context.Context, scope *directory.Scope, claims []telamon.Claim) ([]telamon.Claim, error) {
	ids := make([]telamon.VerificationID, len(claims))
	for i, c := range claims {
		ids[i] = c.Verification
	}
	records, err := ra.store.Verifications(ctx, ids)
	if err != nil {
		return nil, err
	}
	good := map[telamon.VerificationID]bool{}
	for _, r := range records {
		fresh := r.Method == telamon.MethodPersist || r.At.Sub(r.TokenAt) <= ra.validation.Rules.TokenLife()
		corroborated := r.Evidence.Corrob || r.Method == telamon.MethodEmail // BR 3.2.2.9: not for constructed mailboxes
		good[r.ID] = (fresh || !scope.Policy.Strict()) && (corroborated || !scope.Service.StrictMPIC)
	}
	return slices.DeleteFunc(claims, func(c telamon.Claim) bool { return !good[c.Verification] }), nil
}

// coveringClaims returns the claims that cover n, the longest name first.
func coveringClaims(claims []telamon.Claim, n named) []telamon.Claim {
	var found []telamon.Claim
	for _, c := range claims {
		if c.Kind != n.kind {
			continue
		}
		exactly := c.Name == n.host && !n.wildcard
		below := c.Kind == telamon.ClaimDomain && c.Coverage == telamon.CoversTree && within(n.host, c.Name)
		if exactly || below {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b telamon.Claim) int { return len(b.Name) - len(a.Name) })
	return found
}

// caaAtOnce is how many names of one request are looked up at the same time.
const caaAtOnce = 16

// checkCAA looks for the CAA records of each name of a host, wherever the certificate
// has it, since clients are about that laxer than the rule, which is of dNSNames. It
// completes the evidence of each. If the records admit only some methods of validation,
// the claim that is named in the evidence is one of such a method.
func (ra *RA) checkCAA(ctx context.Context, scope *directory.Scope, names []covered, evidence []telamon.NameEvidence) error {
	checks, err := ra.lookUpCAA(ctx, scope, names)
	if err != nil {
		return &fault.Fault{
			Kind: fault.Unavailable, Code: "caa_unavailable", Detail: "The CAA records cannot be looked up. Retry later.", Cause: err,
		}
	}
	var forbidden []fault.Field
	for i := range names {
		if !names[i].hasCAA() {
			continue
		}
		check := checks[names[i].domain()]
		if check == nil {
			forbidden = append(forbidden, fault.Field{Path: names[i].text, Problem: "is no domain name that CAA records can be looked up for"})
			continue
		}
		evidence[i].CAA = check
		switch claim := admitted(names[i].claims, check.Methods); {
		case !check.Allowed:
			forbidden = append(forbidden, fault.Field{Path: names[i].text, Problem: check.Problem})
		case claim != nil:
			evidence[i].Verification = claim.Verification
		}
	}
	if len(forbidden) == 0 {
		return nil
	}
	return &fault.Fault{Kind: fault.Invalid, Code: "caa_forbids", Detail: "san: CAA records do not allow issuance", Fields: forbidden}
}

// lookUpCAA returns the checks of the names of hosts, by name with the wildcard label.
func (ra *RA) lookUpCAA(ctx context.Context, scope *directory.Scope, names []covered) (map[string]*telamon.CAACheck, error) {
	checks := map[string]*telamon.CAACheck{}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(caaAtOnce)
	for _, n := range names {
		if n.host == "" || !n.hasCAA() || checks[n.domain()] != nil {
			continue
		}
		check := &telamon.CAACheck{}
		checks[n.domain()] = check
		group.Go(func() (err error) {
			*check, err = ra.validation.Panel.CheckCAA(groupCtx, ra.caaQuestion(scope, n), scope.Service.StrictMPIC)
			return err
		})
	}
	return checks, group.Wait()
}

// admitted returns the first claim whose method is among labels; nil labels admit
// all.
func admitted(claims []telamon.Claim, labels []string) *telamon.Claim {
	for i := range claims {
		if labels == nil || slices.Contains(labels, claims[i].Method.CAALabel()) {
			return &claims[i]
		}
	}
	return nil
}

func (ra *RA) caaQuestion(scope *directory.Scope, n covered) dcv.CAAQuestion {
	var methods []string
	for _, c := range n.claims {
		if label := c.Method.CAALabel(); !slices.Contains(methods, label) {
			methods = append(methods, label)
		}
	}
	return dcv.CAAQuestion{
		Name: n.domain(), Issuers: ra.validation.Issuers, AccountURI: ra.validation.accountURI(scope.Account.ID.String()), Methods: methods,
	}
}
