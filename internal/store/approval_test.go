package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// approval returns a mail that asks for approval of the claim, not yet written.
func (c *claimant) approval(claim *telamon.Claim) *telamon.Approval {
	return &telamon.Approval{
		ID: telamon.NewMailApprovalID(), Claim: claim.ID, Account: claim.Account, Identity: claim.Identity, Name: claim.Name, Round: claim.Round,
		Address: "admin@example.com", ADN: "example.com", Method: telamon.MethodEmail, Through: []string{"alias.example.net"},
		Nonce: []byte("0123456789abcdef"), ExpiresAt: c.clock.Now().Add(48 * time.Hour),
	}
}

var mailSent = telamon.ClaimLogEntry{Status: telamon.LogInfo, Method: telamon.MethodEmail, Description: "mail sent"}

// ask writes a mail that asks for approval of the claim.
func (c *claimant) ask(t testing.TB, claim *telamon.Claim) *telamon.Approval {
	t.Helper()
	a := c.approval(claim)
	if err := c.db.CreateApproval(t.Context(), operator, a, mailSent, store.Extra{}); err != nil {
		t.Fatalf("ask for approval of %s: %v", claim.Name, err)
	}
	return a
}

func TestCreateApproval(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim := c.submit(t, "example.com")
		a := c.approval(claim)
		extra := store.Extra{Mails: []store.Mail{{Account: w.account, Recipient: a.Address, Template: "claim_approval", Params: []byte(`{}`)}}}
		if err := w.db.CreateApproval(t.Context(), operator, a, mailSent, extra); err != nil {
			t.Fatal(err)
		}
		got, err := w.db.Approval(t.Context(), a.ID)
		if diff := gocmp.Diff(a, got); diff != "" || err != nil || !got.CreatedAt.Equal(clock.Now()) || !got.UsedAt.IsZero() {
			t.Errorf("the approval: %v (-want +got):\n%s", err, diff)
		}
		if log, err := w.db.ClaimLog(t.Context(), claim.ID); err != nil || len(log) != 1 || log[0].Description != "mail sent" {
			t.Errorf("the log is %v, %v; want the mail", log, err)
		}
		if n := len(w.jobs(t, store.JobMailSend)); n != 1 || len(w.events(t, "claim.mail")) != 1 {
			t.Errorf("%d mails and %d audit events, want one each", n, len(w.events(t, "claim.mail")))
		}
		old := c.approval(claim)
		old.Round = 0
		mustBe(t, w.db.CreateApproval(t.Context(), operator, old, mailSent, extra), fault.Conflict, "claim_moved")
		stranger := c.approval(claim)
		stranger.Identity = w.newClaimant(t).identity
		mustBe(t, w.db.CreateApproval(t.Context(), operator, stranger, mailSent, extra), fault.NotFound, "claim_not_found")
		_, err = w.db.Approval(t.Context(), telamon.NewMailApprovalID())
		mustBe(t, err, fault.NotFound, "approval_not_found")
		if n := len(w.jobs(t, store.JobMailSend)); n != 1 {
			t.Errorf("%d mails after refusals, want the first", n)
		}
	})
}

// TestApprovalLimit holds that a mailbox is not flooded, whatever is done to the claim.
func TestApprovalLimit(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim, other := c.submit(t, "example.com"), c.submit(t, "example.net")
		for range 19 {
			c.ask(t, claim)
		}
		// The last one goes to one of many who ask at once.
		var wg sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			wg.Go(func() {
				errs[i] = w.db.CreateApproval(t.Context(), operator, c.approval(claim), mailSent, store.Extra{})
			})
		}
		wg.Wait()
		refused := 0
		for _, err := range errs {
			if err != nil {
				refused++
				mustBe(t, err, fault.Limited, fault.CodeRateLimited)
			}
		}
		if refused != len(errs)-1 {
			t.Errorf("%d of %d were refused, want all but one", refused, len(errs))
		}
		mustBe(t, w.db.CreateApproval(t.Context(), operator, c.approval(other), mailSent, store.Extra{}), fault.Limited, fault.CodeRateLimited)
		elsewhere := c.approval(other)
		elsewhere.Address = "admin@example.net"
		if err := w.db.CreateApproval(t.Context(), operator, elsewhere, mailSent, store.Extra{}); err != nil {
			t.Errorf("a mail to another mailbox: %v", err)
		}
		if err := w.db.DeleteClaim(t.Context(), operator, c.identity, claim.ID); err != nil {
			t.Fatal(err)
		}
		claim = c.submit(t, "example.com")
		clock.Advance(24*time.Hour - time.Millisecond)
		mustBe(t, w.db.CreateApproval(t.Context(), operator, c.approval(claim), mailSent, store.Extra{}), fault.Limited, fault.CodeRateLimited)
		clock.Advance(time.Millisecond)
		c.ask(t, claim)
	})
}

func TestUseApproval(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim := c.submit(t, "example.com")
		a := c.ask(t, claim)
		if err := w.db.BeginCheck(t.Context(), claim.ID, start(claim, "chk_1")); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Second)
		// Many click at once: it counts once.
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			end := c.shown(claim, "", clock.Now().Add(time.Hour))
			wg.Go(func() { errs[i] = w.db.UseApproval(t.Context(), operator, a, end) })
		}
		wg.Wait()
		used := 0
		for _, err := range errs {
			if err == nil {
				used++
			} else {
				mustBe(t, err, fault.Conflict, "approval_used")
			}
		}
		if n := w.number(t, "SELECT count(*) FROM verification"); used != 1 || n != 1 || len(w.events(t, "claim.verify")) != 1 {
			t.Errorf("the approval was used %d times and verified %d times, want once", used, n)
		}
		if got := c.read(t, claim.ID); got.Status != telamon.ClaimVerified || got.Open {
			t.Errorf("the claim is %+v, want a verified one", got)
		}
		if kept, err := w.db.Approval(t.Context(), a.ID); err != nil || !kept.UsedAt.Equal(clock.Now()) {
			t.Errorf("the approval is kept as %+v, %v", kept, err)
		}
		mustBe(t, w.db.EndCheck(t.Context(), operator, claim.ID, c.shown(claim, "chk_1", clock.Now())), fault.Conflict, "claim_moved")
		if jobs := w.jobs(t, store.JobClaimCheck); len(jobs) != 0 {
			t.Errorf("the check that was overtaken has left %v", jobs)
		}
		w.mustAgree(t)
	})
}

// TestUseApprovalMoved holds that an approval counts for the token it was sent for.
func TestUseApprovalMoved(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim := c.submit(t, "example.com")
		a := c.ask(t, claim)
		use := func() error {
			return w.db.UseApproval(t.Context(), operator, a, c.shown(claim, "", clock.Now().Add(time.Hour)))
		}
		renewed := *claim
		renewed.Round, renewed.Token = 2, strings.Repeat("e", 32)
		if err := w.db.ReassertClaim(t.Context(), operator, &renewed, store.Extra{}); err != nil {
			t.Fatal(err)
		}
		mustBe(t, use(), fault.Conflict, "claim_moved")
		if kept, err := w.db.Approval(t.Context(), a.ID); err != nil || !kept.UsedAt.IsZero() {
			t.Errorf("the approval that was refused is kept as %+v, %v", kept, err)
		}
		if err := w.db.DeleteClaim(t.Context(), operator, c.identity, claim.ID); err != nil {
			t.Fatal(err)
		}
		mustBe(t, use(), fault.NotFound, "claim_not_found")
		again := c.submit(t, "example.com")
		mustBe(t, use(), fault.NotFound, "claim_not_found")
		if n := w.number(t, "SELECT count(*) FROM verification"); n != 0 || c.read(t, again.ID).Status != telamon.ClaimPending {
			t.Errorf("%d verifications by approvals of other tokens", n)
		}
		w.mustAgree(t)
	})
}
