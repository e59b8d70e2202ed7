package ra_test

import (
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestAccountClaims holds what people see of the claims of their account: what there is to
// publish, what was published before, and when the platform looks again.
func TestAccountClaims(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c := w.customer(t, validated(), 9)
		reader := telamon.Actor{Kind: telamon.ActorUser, Account: w.account, User: telamon.NewUserID(), Roles: []string{authz.RoleReadOnly}}
		claim, err := w.ra.SubmitClaim(ctx, c.actor(), telamon.ClaimDomain, "www.example.com")
		must(t, err)
		first := w.ra.TokenValue(claim)
		detail := func() *ra.ClaimDetail {
			d, err := w.ra.AccountClaim(ctx, reader, w.account, claim.ID)
			must(t, err)
			return d
		}
		d := detail()
		standing := issuerDomain + "; accounturi=acct:" + w.account.String() + "@" + issuerDomain
		if d.Value != first || d.OldValue != "" || len(d.Domains) != 2 || d.Standing != standing || !d.ByMail || d.Running || !d.NextCheck.IsZero() {
			t.Errorf("the claim is %+v", d)
		}
		if verified, err := w.ra.StartDNS(ctx, c.actor(), claim.ID, nil); verified || err != nil {
			t.Fatalf("without a record: %t, %v", verified, err)
		}
		eventually(t, "the check is over", func() bool { return !detail().Running }) // it may take longer than a page waits
		if d = detail(); d.Running || len(d.Log) != 1 || !d.NextCheck.After(w.clock.Now()) {
			t.Errorf("after a check that found nothing: %+v", d)
		}
		renewed, err := w.ra.ReassertClaim(ctx, c.actor(), telamon.ClaimDomain, claim.ID)
		must(t, err)
		if d = detail(); d.OldValue != first || d.Value != w.ra.TokenValue(renewed) || d.Value == first || !d.NextCheck.IsZero() {
			t.Errorf("after it was reasserted: %+v", d)
		}

		all, total, err := w.ra.AccountClaims(ctx, reader, w.account, "%.example.com", store.AccountClaimQuery{Limit: 9})
		if err != nil || total != 1 || len(all) != 1 || all[0].ID != claim.ID {
			t.Errorf("the list is %+v of %d, %v", all, total, err)
		}
		_, _, err = w.ra.AccountClaims(ctx, reader, w.account, "%example.com", store.AccountClaimQuery{Limit: 9})
		mustBe(t, err, fault.Invalid, "claim_pattern")
		stranger := reader
		stranger.Account = telamon.NewAccountID()
		_, _, err = w.ra.AccountClaims(ctx, stranger, w.account, "", store.AccountClaimQuery{Limit: 9})
		mustBe(t, err, fault.NotFound, "not_found")
		_, err = w.ra.AccountClaim(ctx, stranger, w.account, claim.ID)
		mustBe(t, err, fault.NotFound, "not_found")
		_, err = w.ra.AccountClaim(ctx, stranger, stranger.Account, claim.ID)
		mustBe(t, err, fault.NotFound, "claim_not_found")
	})
}
