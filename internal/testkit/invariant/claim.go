package invariant

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// claims checks the claims of an identity: the counts say as many as the pages of each
// status hold, and each verified claim has its verification.
func (c *checker) claims(ctx context.Context, identity telamon.IdentityID) {
	c.t.Helper()
	for _, kind := range []telamon.ClaimKind{telamon.ClaimDomain, telamon.ClaimIP} {
		seen := map[telamon.ClaimID]bool{}
		pending := c.claimsOf(ctx, identity, kind, telamon.ClaimPending, seen)
		verified := c.claimsOf(ctx, identity, kind, telamon.ClaimVerified, seen)
		all := c.claimsOf(ctx, identity, kind, "", nil)
		if all != pending+verified || all != int64(len(seen)) {
			c.t.Errorf("identity %s has %d claims to a %s, of which %d are pending and %d verified", identity, all, kind, pending, verified)
		}
	}
}

// claimsOf reads all pages of a status and returns how many claims they hold. It adds
// the claims to seen.
func (c *checker) claimsOf(ctx context.Context, identity telamon.IdentityID, kind telamon.ClaimKind, status telamon.ClaimStatus, seen map[telamon.ClaimID]bool) (n int64) {
	c.t.Helper()
	for page := int64(1); ; page++ {
		rows, total, err := c.db.ListClaims(ctx, store.ClaimQuery{Identity: identity, Kind: kind, Status: status, Page: page, PerPage: perPage})
		if err != nil {
			c.t.Fatalf("list the claims of %s: %v", identity, err)
		}
		for _, row := range rows {
			if seen != nil {
				seen[row.ID] = true
			}
			if status != "" && row.Status != status {
				c.t.Errorf("claim %s is %s and listed as %s", row.ID, row.Status, status)
			}
			if status == telamon.ClaimVerified {
				c.verified(ctx, &row)
			}
		}
		if n += int64(len(rows)); len(rows) == 0 {
			if n != total {
				c.t.Errorf("%d claims of %s to a %s are counted as %q, but there are %d", total, identity, kind, status, n)
			}
			return n
		}
	}
}

func (c *checker) verified(ctx context.Context, claim *telamon.Claim) {
	c.t.Helper()
	records, err := c.db.Verifications(ctx, []telamon.VerificationID{claim.Verification})
	if err != nil {
		c.t.Errorf("claim %s is verified by %s: %v", claim.ID, claim.Verification, err)
		return
	}
	v := records[0]
	if v.Claim != claim.ID || v.Identity != claim.Identity || v.Kind != claim.Kind || v.Name != claim.Name || v.Method != claim.Method ||
		v.Coverage != claim.Coverage || !v.At.Equal(claim.VerifiedAt) {
		c.t.Errorf("claim %s to %s is verified by %+v", claim.ID, claim.Name, v)
	}
}

// evidence checks how the names of a certificate were validated: by verifications of its
// account that are older than it is, and all of them if the service demands it.
func (c *checker) evidence(ctx context.Context, cert *telamon.Certificate, signed *x509.Certificate) {
	c.t.Helper()
	kept, err := c.db.CertificateEvidence(ctx, cert.Serial)
	if err != nil {
		c.t.Errorf("the evidence of certificate %s: %v", cert.Serial, err)
		return
	}
	var names []string
	for _, n := range kept.Names {
		names = append(names, n.Name)
		if n.Verification != "" {
			c.validatedBy(ctx, cert, kept.Account, n)
		} else if c.demandsValidation(cert.Pair) {
			c.t.Errorf("the name %s of certificate %s was not validated", n.Name, cert.Serial)
		}
	}
	if !c.demandsValidation(cert.Pair) {
		return
	}
	for _, name := range signed.DNSNames {
		if !slices.Contains(names, name) {
			c.t.Errorf("the name %s of certificate %s has no evidence", name, cert.Serial)
		}
	}
}

func (c *checker) validatedBy(ctx context.Context, cert *telamon.Certificate, account telamon.AccountID, n telamon.NameEvidence) {
	c.t.Helper()
	records, err := c.db.Verifications(ctx, []telamon.VerificationID{n.Verification})
	if err != nil {
		c.t.Errorf("the name %s of certificate %s was validated by %s: %v", n.Name, cert.Serial, n.Verification, err)
		return
	}
	if v := records[0]; v.Account != account || v.At.After(cert.AcceptedAt.Add(time.Millisecond)) {
		c.t.Errorf("the name %s of certificate %s of %s, accepted at %s, was validated by %s at %s", n.Name, cert.Serial, account, cert.AcceptedAt, v.Account, v.At)
	}
}

// demandsValidation reports whether the pair's service has demanded domain validation
// ever since it was made.
func (c *checker) demandsValidation(pair telamon.PairID) bool {
	for _, p := range c.directory.Pairs {
		for _, sub := range c.directory.Subscriptions {
			for _, service := range c.directory.Services {
				if p.ID == pair && sub.ID == p.Subscription && service.ID == sub.Service {
					return service.DomainValidation && service.Version == 1
				}
			}
		}
	}
	return false
}
