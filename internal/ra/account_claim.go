package ra

import (
	"context"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// People see the claims of all identities of their account. What they do to one of them
// they do by a pair of its identity.

// AccountClaims returns claims of an account, the newest first, and how many there are in
// all, up to store.MaxAccountClaims. Which ones, query says, whose account and pattern are
// those of the arguments. It reports Invalid with claim_pattern if the pattern breaks the
// rules of wildcards.
func (ra *RA) AccountClaims(ctx context.Context, actor telamon.Actor, account telamon.AccountID, pattern string, query store.AccountClaimQuery) ([]telamon.Claim, int64, error) {
	if err := authz.Check(actor, authz.ClaimRead, account); err != nil {
		return nil, 0, err
	}
	query.Account = account
	if pattern != "" {
		var err error
		if query.Pattern, err = store.ParseClaimPattern(pattern); err != nil {
			return nil, 0, invalidPattern(err)
		}
	}
	claims, total, err := ra.store.ListAccountClaims(ctx, query)
	now := ra.clock.Now()
	for i := range claims {
		ra.judge(&claims[i], now)
	}
	return claims, total, err
}

// invalidPattern is the fault of a pattern.
func invalidPattern(err error) error {
	return &fault.Fault{
		Kind: fault.Invalid, Code: "claim_pattern", Detail: "The pattern breaks the rules of wildcards.",
		Fields: []fault.Field{{Path: "domain", Problem: err.Error()}},
	}
}

// A ClaimDetail is a claim with what its owner needs to show control of the name.
type ClaimDetail struct {
	Claim telamon.Claim
	Log   []telamon.ClaimLogEntry // the newest lines, oldest first
	// Running reports that a check runs. NextCheck is when the platform looks again by
	// itself; zero: it does not.
	Running   bool
	NextCheck time.Time
	// Value is what a TXT record or a file has to say, OldValue what it had to say before
	// the claim was reasserted, which does not count any more; "" if there was none.
	Value, OldValue string
	Domains         []string // the authorization domain names, the claimed one first; none of an IP address
	// Standing is the value of a standing record; "" if the platform offers none.
	Standing string
	ByMail   bool // mailboxes may approve the claim
}

// AccountClaim returns a claim of an account. It reports NotFound.
func (ra *RA) AccountClaim(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClaimID) (*ClaimDetail, error) {
	if err := authz.Check(actor, authz.ClaimRead, account); err != nil {
		return nil, err
	}
	claim, err := ra.store.AccountClaim(ctx, account, id)
	if err != nil {
		return nil, err
	}
	now := ra.clock.Now()
	ra.judge(claim, now)
	d := &ClaimDetail{Claim: *claim, Running: claim.CheckUntil.After(now), Value: ra.TokenValue(claim)}
	if claim.OldToken != "" {
		d.OldValue = ra.validation.TokenPrefix + claim.OldToken
	}
	if claim.Kind == telamon.ClaimDomain {
		d.Domains = dcv.AllowedDomains(claim.Name, ra.validation.PrivateSuffixes)
		d.Standing = ra.validation.standing(account.String())
		d.ByMail = ra.mailApproves(now)
	}
	if d.Log, err = ra.store.ClaimLog(ctx, id); err != nil {
		return nil, err
	}
	if !d.Running {
		d.NextCheck, err = ra.store.JobAt(ctx, store.JobClaimCheck, id.String())
	}
	return d, err
}

// PersistReuse is how long a validation by a standing record is good for.
func (ra *RA) PersistReuse() time.Duration { return ra.validation.Rules.PersistReuse() }

// standing is what a standing record of the account says (BR 3.2.2.4.22), "" if the
// platform has no name to be said there.
func (v *Validation) standing(account string) string {
	if len(v.Issuers) == 0 {
		return ""
	}
	return v.Issuers[0] + "; accounturi=" + v.accountURI(account)
}

// mailApproves reports whether mailboxes may approve claims at the instant.
func (ra *RA) mailApproves(at time.Time) bool {
	return ra.validation.ApprovalURL != "" && at.Before(ra.validation.Rules.EmailMethodsEnd())
}
