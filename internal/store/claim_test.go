package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// A claimant is an identity that claims names.
type claimant struct {
	*world
	identity telamon.IdentityID
}

// newClaimant adds an identity of the world's account.
func (w *world) newClaimant(t testing.TB) *claimant {
	t.Helper()
	c := &claimant{w, telamon.NewIdentityID()}
	w.exec(t, "INSERT INTO identity (id, account_id, name, data, state, created_at) VALUES ($1, $2, 'Acme', '{}', 'active', 0)",
		c.identity.String(), w.account.String())
	return c
}

const aToken = "0123456789abcdef0123456789abcdef"

// draft returns a claim that was not submitted yet.
func (c *claimant) draft(kind telamon.ClaimKind, name string) *telamon.Claim {
	now := c.clock.Now()
	return &telamon.Claim{
		ID: telamon.NewClaimID(), Account: c.account, Identity: c.identity, Kind: kind, Name: name,
		Token: aToken, TokenAt: now, AssertBy: now.Add(30 * 24 * time.Hour), Round: 1,
	}
}

// submit submits a claim to a domain.
func (c *claimant) submit(t testing.TB, name string) *telamon.Claim {
	t.Helper()
	claim := c.draft(telamon.ClaimDomain, name)
	if existing, err := c.db.SubmitClaim(t.Context(), operator, claim, store.Extra{}); existing || err != nil {
		t.Fatalf("submit a claim to %s: %v, %v", name, existing, err)
	}
	return claim
}

// read returns the claim as it is kept.
func (c *claimant) read(t testing.TB, id telamon.ClaimID) *telamon.Claim {
	t.Helper()
	claim, err := c.db.AnyClaim(t.Context(), id)
	if err != nil {
		t.Fatalf("read claim %s: %v", id, err)
	}
	return claim
}

// start returns a check of the claim, for the next ten seconds.
func start(claim *telamon.Claim, id string) store.CheckStart {
	return store.CheckStart{
		ID: id, Round: claim.Round, Lasts: 10 * time.Second,
		Job: store.Job{Kind: store.JobClaimCheck, Key: claim.ID.String(), Args: []byte(`{"a":1}`)},
	}
}

// missing returns the end of a check that found nothing.
func missing(claim *telamon.Claim, check, text string) store.CheckEnd {
	return store.CheckEnd{CheckID: check, Round: claim.Round, Entry: telamon.ClaimLogEntry{
		Status: telamon.LogError, Method: telamon.MethodDNS, Description: text, Evidence: telamon.Evidence{Records: 3},
	}}
}

// shown returns the end of a check that found the token.
func (c *claimant) shown(claim *telamon.Claim, check string, expires time.Time) store.CheckEnd {
	end := missing(claim, check, "claim successfully verified")
	end.Entry.Status = telamon.LogSuccess
	end.ExpiresAt = expires
	end.Verification = &telamon.Verification{
		ID: telamon.NewVerificationID(), Claim: claim.ID, Account: claim.Account, Identity: claim.Identity, Kind: claim.Kind,
		Name: claim.Name, ADN: claim.Name, Method: telamon.MethodDNS, Coverage: telamon.CoversTree, At: c.clock.Now(),
		TokenAt: claim.TokenAt, Evidence: telamon.Evidence{Records: 2, DNSSEC: telamon.DNSSECSecure},
	}
	return end
}

// verify checks the claim with success.
func (c *claimant) verify(t testing.TB, claim *telamon.Claim, expires time.Time) *telamon.Verification {
	t.Helper()
	check := telamon.NewJobID().String()
	if err := c.db.BeginCheck(t.Context(), claim.ID, start(claim, check)); err != nil {
		t.Fatalf("begin a check of %s: %v", claim.Name, err)
	}
	end := c.shown(claim, check, expires)
	if err := c.db.EndCheck(t.Context(), operator, claim.ID, end); err != nil {
		t.Fatalf("end a check of %s: %v", claim.Name, err)
	}
	return end.Verification
}

// mustAgree compares the counts of claims with the claims.
func (w *world) mustAgree(t testing.TB) {
	t.Helper()
	count := func(query string) map[string]int64 {
		t.Helper()
		rows, err := store.Reader(w.db).Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		counts := map[string]int64{}
		for rows.Next() {
			var identity, kind, part string
			var start, n int64
			if err := rows.Scan(&identity, &kind, &part, &start, &n); err != nil {
				t.Fatal(err)
			}
			counts[fmt.Sprint(identity, " ", kind, " ", part, " ", start)] += n
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return counts
	}
	for _, unit := range []string{"2592000", "3600", "1"} {
		start := "created_at / 1000 / " + unit
		want := count("SELECT identity_id, kind, 'all', " + start + ", count(*) FROM claim GROUP BY identity_id, kind, " + start +
			" UNION ALL SELECT identity_id, kind, 'verified', " + start + ", count(*) FROM claim WHERE status = 'verified' GROUP BY identity_id, kind, " + start)
		got := count("SELECT identity_id, kind, part, start, n FROM claim_count WHERE n <> 0 AND unit = " + unit)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("the counts of %s s disagree with the claims (-claims +counts):\n%s", unit, diff)
		}
	}
}

// jobs returns the jobs of the kind.
func (w *world) jobs(t testing.TB, kind string) []store.Job {
	t.Helper()
	jobs, err := w.db.Jobs(t.Context(), kind, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func TestSubmitClaim(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		draft := c.draft(telamon.ClaimDomain, "shop.example.com")
		want := *draft
		want.CreatedAt, want.Status, want.Open = clock.Now(), telamon.ClaimPending, true
		extra := store.Extra{
			Jobs:  []store.Job{{Kind: store.JobClaimRemind, Key: draft.ID.String(), RunAt: clock.Now().Add(time.Hour)}},
			Mails: []store.Mail{{Account: w.account, Recipient: "ann@example.com", Template: "claim_token_issued", Params: []byte(`{}`)}},
		}
		if existing, err := w.db.SubmitClaim(t.Context(), operator, draft, extra); existing || err != nil {
			t.Fatalf("submitted: %v, %v", existing, err)
		}
		if diff := gocmp.Diff(&want, draft); diff != "" {
			t.Errorf("the claim (-want +got):\n%s", diff)
		}
		if got, err := w.db.Claim(t.Context(), c.identity, telamon.ClaimDomain, draft.ID); err != nil || *got != want {
			t.Errorf("the claim is kept as %+v, %v", got, err)
		}
		if len(w.jobs(t, store.JobClaimRemind)) != 1 || len(w.jobs(t, store.JobMailSend)) != 1 {
			t.Error("what came with the claim is not kept")
		}
		again := c.draft(telamon.ClaimDomain, "shop.example.com")
		again.Token = strings.Repeat("f", 32)
		if existing, err := w.db.SubmitClaim(t.Context(), operator, again, extra); !existing || err != nil || *again != want {
			t.Errorf("submitted again: %v, %v, %+v; want the claim that is there", existing, err, again)
		}
		if n := len(w.jobs(t, store.JobMailSend)); n != 1 {
			t.Errorf("%d mails after the claim was submitted again, want the first", n)
		}
		other := w.newClaimant(t)
		other.submit(t, "shop.example.com")
		address := c.draft(telamon.ClaimIP, "2001:db8::1")
		if existing, err := w.db.SubmitClaim(t.Context(), operator, address, store.Extra{}); existing || err != nil {
			t.Errorf("a claim to an address: %v, %v", existing, err)
		}
		_, err := w.db.Claim(t.Context(), other.identity, telamon.ClaimDomain, draft.ID)
		mustBe(t, err, fault.NotFound, "claim_not_found")
		_, err = w.db.Claim(t.Context(), c.identity, telamon.ClaimIP, draft.ID)
		mustBe(t, err, fault.NotFound, "claim_not_found")
		_, err = w.db.AnyClaim(t.Context(), telamon.NewClaimID())
		mustBe(t, err, fault.NotFound, "claim_not_found")
		if n := len(w.events(t, "claim.submit")); n != 3 {
			t.Errorf("%d audit events of submissions, want 3", n)
		}
		w.mustAgree(t)
	})
}

// TestSubmitClaimAtOnce submits the same name by many at once, who get one claim.
func TestSubmitClaimAtOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		const many = 24
		drafts := make([]*telamon.Claim, many)
		var made sync.Map
		var wg sync.WaitGroup
		for i := range many {
			drafts[i] = c.draft(telamon.ClaimDomain, "example.com")
			extra := store.Extra{Jobs: []store.Job{{Kind: store.JobClaimRemind, Key: drafts[i].ID.String(), RunAt: clock.Now()}}}
			wg.Go(func() {
				existing, err := w.db.SubmitClaim(t.Context(), operator, drafts[i], extra)
				if err != nil {
					t.Error(err)
				}
				if !existing {
					made.Store(drafts[i].ID, true)
				}
			})
		}
		wg.Wait()
		n := 0
		for range made.Range {
			n++
		}
		for _, d := range drafts {
			if d.ID != drafts[0].ID {
				t.Errorf("one got claim %s, another %s", d.ID, drafts[0].ID)
			}
		}
		jobs := w.jobs(t, store.JobClaimRemind)
		if n != 1 || len(jobs) != 1 || jobs[0].Key != drafts[0].ID.String() || len(w.events(t, "claim.submit")) != 1 {
			t.Errorf("%d made the claim, with jobs %v, want one", n, jobs)
		}
		w.mustAgree(t)
	})
}

// TestClaimsAtOnce submits, verifies, expires, lists and deletes few names by many at
// once: each call has one of the outcomes it promises, and the counts agree.
func TestClaimsAtOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		fine := func(what string, err error) {
			if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotReady) {
				t.Errorf("%s: %v", what, err)
			}
		}
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := range 25 {
					claim := c.draft(telamon.ClaimDomain, []string{"a.example", "b.example", "c.example"}[(worker+i)%3])
					_, err := w.db.SubmitClaim(t.Context(), operator, claim, store.Extra{})
					if err != nil {
						t.Errorf("submit: %v", err)
						continue
					}
					check := telamon.NewJobID().String()
					if err = w.db.BeginCheck(t.Context(), claim.ID, start(claim, check)); err == nil {
						err = w.db.EndCheck(t.Context(), operator, claim.ID, c.shown(claim, check, clock.Now().Add(time.Minute)))
					}
					fine("check", err)
					clock.Advance(15 * time.Second)
					switch i % 3 {
					case 0:
						fine("delete", w.db.DeleteClaim(t.Context(), operator, c.identity, claim.ID))
					case 1:
						_, err = w.db.ExpireClaim(t.Context(), operator, claim.ID, store.Extra{})
						fine("expire", err)
					default:
						claim.Round++
						fine("reassert", w.db.ReassertClaim(t.Context(), operator, claim, store.Extra{}))
					}
					_, _, err = w.db.ListClaims(t.Context(), store.ClaimQuery{
						Identity: c.identity, Kind: telamon.ClaimDomain, Status: telamon.ClaimVerified, Page: 1, PerPage: 10,
					})
					if err != nil {
						t.Errorf("list: %v", err)
					}
				}
			})
		}
		wg.Wait()
		w.mustAgree(t)
	})
}

func TestReassertClaim(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim := c.submit(t, "example.com")
		v := c.verify(t, claim, clock.Now().Add(100*24*time.Hour))
		verified := c.read(t, claim.ID)
		if err := w.db.BeginCheck(t.Context(), claim.ID, start(claim, "chk_1")); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Hour)
		renewed := *verified
		renewed.Round, renewed.Open, renewed.Token = 2, true, strings.Repeat("e", 32)
		renewed.OldToken = claim.Token
		renewed.TokenAt, renewed.AssertBy = clock.Now(), clock.Now().Add(30*24*time.Hour)
		skipped := renewed
		skipped.Round = 3
		mustBe(t, w.db.ReassertClaim(t.Context(), operator, &skipped, store.Extra{}), fault.Conflict, "claim_moved")
		stranger := renewed
		stranger.Identity = w.newClaimant(t).identity
		mustBe(t, w.db.ReassertClaim(t.Context(), operator, &stranger, store.Extra{}), fault.NotFound, "claim_not_found")
		if len(w.jobs(t, store.JobClaimCheck)) != 1 {
			t.Error("the job of the check that runs is gone before the claim is reasserted")
		}
		if err := w.db.ReassertClaim(t.Context(), operator, &renewed, store.Extra{}); err != nil {
			t.Fatal(err)
		}
		mustBe(t, w.db.ReassertClaim(t.Context(), operator, &renewed, store.Extra{}), fault.Conflict, "claim_moved")
		if got := c.read(t, claim.ID); *got != renewed || got.Status != telamon.ClaimVerified || got.Verification != v.ID {
			t.Errorf("the claim is %+v, want a verified one with another token", got)
		}
		mustBe(t, w.db.EndCheck(t.Context(), operator, claim.ID, c.shown(claim, "chk_1", clock.Now())), fault.Conflict, "claim_moved")
		mustBe(t, w.db.BeginCheck(t.Context(), claim.ID, start(claim, "chk_2")), fault.Conflict, "claim_moved")
		if jobs := w.jobs(t, store.JobClaimCheck); len(jobs) != 0 {
			t.Errorf("the check that was abandoned has left %v", jobs)
		}
		if err := w.db.BeginCheck(t.Context(), claim.ID, start(&renewed, "chk_3")); err != nil {
			t.Errorf("a check with the new token: %v", err)
		}
		if n := len(w.events(t, "claim.reassert")); n != 1 {
			t.Errorf("%d audit events, want one", n)
		}
		w.mustAgree(t)
	})
}

func TestDeleteClaim(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim, kept := c.submit(t, "example.com"), c.submit(t, "example.net")
		v, other := c.verify(t, claim, clock.Now().Add(time.Hour)), c.verify(t, kept, clock.Now().Add(time.Hour))
		if err := w.db.PutJob(t.Context(), store.Job{Kind: store.JobClaimRemind, Key: claim.ID.String(), RunAt: clock.Now()}); err != nil {
			t.Fatal(err)
		}
		if err := w.db.BeginCheck(t.Context(), claim.ID, start(claim, "chk_1")); err != nil {
			t.Fatal(err)
		}
		stranger := w.newClaimant(t)
		mustBe(t, w.db.DeleteClaim(t.Context(), operator, stranger.identity, claim.ID), fault.NotFound, "claim_not_found")
		clock.Advance(time.Minute)
		if err := w.db.DeleteClaim(t.Context(), operator, c.identity, claim.ID); err != nil {
			t.Fatal(err)
		}
		mustBe(t, w.db.DeleteClaim(t.Context(), operator, c.identity, claim.ID), fault.NotFound, "claim_not_found")
		mustBe(t, w.db.EndCheck(t.Context(), operator, claim.ID, c.shown(claim, "chk_1", clock.Now())), fault.NotFound, "claim_not_found")
		if left := append(w.jobs(t, store.JobClaimCheck), w.jobs(t, store.JobClaimRemind)...); len(left) != 0 {
			t.Errorf("the claim has left the jobs %v", left)
		}
		if log, err := w.db.ClaimLog(t.Context(), claim.ID); len(log) != 0 || err != nil {
			t.Errorf("the claim has left a log: %v, %v", log, err)
		}
		records, err := w.db.Verifications(t.Context(), []telamon.VerificationID{other.ID, v.ID})
		if diff := gocmp.Diff([]telamon.Verification{*other, *v}, records); diff != "" || err != nil {
			t.Errorf("the verifications: %v (-want +got):\n%s", err, diff)
		}
		if n := w.number(t, "SELECT count(*) FROM verification WHERE id = $1 AND ended_at = $2", v.ID.String(), clock.Now().UnixMilli()); n != 1 {
			t.Error("the verification of the deleted claim has not ended now")
		}
		if n := w.number(t, "SELECT count(*) FROM verification WHERE id = $1 AND ended_at IS NULL", other.ID.String()); n != 1 {
			t.Error("the verification of the other claim has ended")
		}
		if n := len(w.events(t, "claim.delete")); n != 1 {
			t.Errorf("%d audit events, want one", n)
		}
		w.mustAgree(t)
		again := c.submit(t, "example.com")
		if got := c.read(t, again.ID); got.Status != telamon.ClaimPending || got.Verification != "" {
			t.Errorf("the name is claimed again as %+v, want a new pending claim", got)
		}
	})
}

func TestExpireClaim(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim := c.submit(t, "example.com")
		c.verify(t, claim, clock.Now().Add(time.Hour))
		extra := store.Extra{Jobs: []store.Job{{Kind: store.JobClaimRemind, Key: claim.ID.String(), RunAt: clock.Now()}}}
		expire := func(want bool) {
			t.Helper()
			if got, err := w.db.ExpireClaim(t.Context(), operator, claim.ID, extra); got != want || err != nil {
				t.Errorf("expired: %v, %v; want %v", got, err, want)
			}
			if n := len(w.jobs(t, store.JobClaimRemind)); (n == 1) != want {
				t.Errorf("%d jobs came with it", n)
			}
		}
		clock.Advance(time.Hour - time.Millisecond)
		expire(false)
		clock.Advance(time.Millisecond)
		expire(true)
		if got := c.read(t, claim.ID); got.Status != telamon.ClaimPending || got.Verification == "" || got.ExpiresAt != clock.Now() {
			t.Errorf("the claim is %+v, want a pending one that tells of its verification", got)
		}
		extra = store.Extra{}
		if again, err := w.db.ExpireClaim(t.Context(), operator, claim.ID, extra); again || err != nil {
			t.Errorf("expired again: %v, %v", again, err)
		}
		_, err := w.db.ExpireClaim(t.Context(), operator, telamon.NewClaimID(), extra)
		mustBe(t, err, fault.NotFound, "claim_not_found")
		if n := len(w.events(t, "claim.expire")); n != 1 {
			t.Errorf("%d audit events, want one", n)
		}
		w.mustAgree(t)
	})
}

func TestCheckClaim(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim := c.submit(t, "example.com")
		begin := func(id string) error { return w.db.BeginCheck(t.Context(), claim.ID, start(claim, id)) }
		end := func(e store.CheckEnd) error { return w.db.EndCheck(t.Context(), operator, claim.ID, e) }
		mustBe(t, w.db.BeginCheck(t.Context(), telamon.NewClaimID(), start(claim, "chk_1")), fault.NotFound, "claim_not_found")
		mustBe(t, end(missing(claim, "chk_1", "")), fault.Conflict, "claim_moved")
		for range 2 { // the second as if the outcome of the first was not known
			if err := begin("chk_1"); err != nil {
				t.Fatal(err)
			}
		}
		if jobs := w.jobs(t, store.JobClaimCheck); len(jobs) != 1 || !jobs[0].RunAt.Equal(clock.Now().Add(10*time.Second)) || string(jobs[0].Args) != `{"a":1}` {
			t.Errorf("the check has left %v, want a job for when it must be over", jobs)
		}
		clock.Advance(10*time.Second - time.Millisecond)
		mustBe(t, begin("chk_2"), fault.NotReady, "check_running")
		clock.Advance(time.Millisecond)
		if err := begin("chk_2"); err != nil {
			t.Fatalf("a check after the time of the one before: %v", err)
		}
		mustBe(t, end(c.shown(claim, "chk_1", clock.Now())), fault.Conflict, "claim_moved")
		other := missing(claim, "chk_2", "")
		other.Round = 2
		mustBe(t, end(other), fault.Conflict, "claim_moved")

		failed := missing(claim, "chk_2", "nothing there")
		failed.Next = &store.Job{Kind: store.JobClaimCheck, Key: claim.ID.String(), RunAt: clock.Now().Add(time.Minute)}
		if err := end(failed); err != nil {
			t.Fatal(err)
		}
		if jobs := w.jobs(t, store.JobClaimCheck); len(jobs) != 1 || !jobs[0].RunAt.Equal(failed.Next.RunAt) {
			t.Errorf("the check that failed has left %v, want the next one", jobs)
		}
		if got := c.read(t, claim.ID); got.Status != telamon.ClaimPending || !got.Open {
			t.Errorf("after a check that failed the claim is %+v", got)
		}

		verified := c.verify(t, claim, clock.Now().Add(time.Hour))
		got := c.read(t, claim.ID)
		want := *claim
		want.Status, want.Open, want.Verification, want.VerifiedAt = telamon.ClaimVerified, false, verified.ID, clock.Now()
		want.Method, want.ADN, want.Coverage, want.ExpiresAt = telamon.MethodDNS, "example.com", telamon.CoversTree, clock.Now().Add(time.Hour)
		if diff := gocmp.Diff(&want, got); diff != "" {
			t.Errorf("the verified claim (-want +got):\n%s", diff)
		}
		if jobs := w.jobs(t, store.JobClaimCheck); len(jobs) != 0 {
			t.Errorf("the check that found the token has left %v", jobs)
		}
		clock.Advance(2 * time.Hour) // expired, and nobody has looked
		c.verify(t, claim, clock.Now().Add(time.Hour))
		log, err := w.db.ClaimLog(t.Context(), claim.ID)
		if err != nil || len(log) != 3 || log[0].Description != "nothing there" || log[0].Evidence.Records != 3 ||
			log[1].Status != telamon.LogSuccess || log[2].At != clock.Now() {
			t.Errorf("the log is %+v, %v; want a failure and two successes", log, err)
		}
		if n := len(w.events(t, "claim.verify")); n != 2 {
			t.Errorf("%d audit events of verifications, want 2", n)
		}
		w.mustAgree(t)
	})
}

// TestClaimLogKeeps holds that a log keeps its newest lines alone.
func TestClaimLogKeeps(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim, other := c.submit(t, "example.com"), c.submit(t, "example.net")
		var want []string
		for i := range 203 {
			for _, checked := range []*telamon.Claim{claim, other} {
				if i > 0 && checked == other {
					continue
				}
				if err := w.db.BeginCheck(t.Context(), checked.ID, start(checked, "chk")); err != nil {
					t.Fatal(err)
				}
				if err := w.db.EndCheck(t.Context(), operator, checked.ID, missing(checked, "chk", fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
			}
			want = append(want, fmt.Sprint(i))
		}
		logs, err := w.db.ClaimLogs(t.Context(), []telamon.ClaimID{claim.ID, other.ID, telamon.NewClaimID()})
		if err != nil || len(logs) != 2 {
			t.Fatalf("the logs of %d claims, %v; want two", len(logs), err)
		}
		var got []string
		for _, line := range logs[claim.ID] {
			got = append(got, line.Description)
		}
		if !slices.Equal(got, want[3:]) || len(logs[other.ID]) != 1 {
			t.Errorf("the log has the lines %q, and that of another claim %d", got, len(logs[other.ID]))
		}
		if one, err := w.db.ClaimLog(t.Context(), claim.ID); err != nil || len(one) != 200 {
			t.Errorf("the log alone has %d lines, %v", len(one), err)
		}
	})
}

func TestVerifiedClaims(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c, other := w.newClaimant(t), w.newClaimant(t)
		var names, want []string
		for i := range 130 {
			name := fmt.Sprintf("n%03d.example.com", i)
			names = append(names, name, "no."+name)
			claim := c.submit(t, name)
			if i%10 == 0 {
				c.verify(t, claim, clock.Now().Add(time.Hour))
				want = append(want, name)
			} else if i%10 == 1 {
				other.verify(t, other.submit(t, name), clock.Now().Add(time.Hour))
			}
		}
		claims, err := w.db.VerifiedClaims(t.Context(), c.identity, telamon.ClaimDomain, names)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, claim := range claims {
			if claim.Status != telamon.ClaimVerified || claim != *c.read(t, claim.ID) {
				t.Errorf("the claim is %+v", claim)
			}
			got = append(got, claim.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("verified are %q, want %q", got, want)
		}
		for kind, names := range map[telamon.ClaimKind][]string{telamon.ClaimIP: names, telamon.ClaimDomain: nil} {
			if claims, err := w.db.VerifiedClaims(t.Context(), c.identity, kind, names); len(claims) != 0 || err != nil {
				t.Errorf("of kind %s and %d names, %d are verified, %v", kind, len(names), len(claims), err)
			}
		}
	})
}

// TestClaimColumns holds that claims that are read by a list of names are those that
// are read one by one, column by column.
func TestClaimColumns(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim := c.submit(t, "example.com")
		c.verify(t, claim, clock.Now().Add(time.Hour))
		if err := w.db.BeginCheck(t.Context(), claim.ID, start(claim, "chk_1")); err != nil {
			t.Fatal(err)
		}
		one, listed, err := store.ClaimRows(t.Context(), w.db, claim.ID)
		if diff := gocmp.Diff(one, listed); diff != "" || err != nil {
			t.Errorf("%v (-one by one +listed):\n%s", err, diff)
		}
	})
}

// TestClaimsAcrossReplicas begins one check by two processes at once.
func TestClaimsAcrossReplicas(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, testTime)
		a, b := dbtest.Open(t, url, clock), dbtest.Open(t, url, clock)
		c := newWorld(t, a, clock).newClaimant(t)
		claim := c.submit(t, "example.com")
		for range 20 {
			errs := make([]error, 2)
			var wg sync.WaitGroup
			for i, db := range []*store.DB{a, b} {
				wg.Go(func() {
					errs[i] = db.BeginCheck(t.Context(), claim.ID, start(claim, telamon.NewJobID().String()))
				})
			}
			wg.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Fatalf("the check was begun with %v and %v, want one alone", errs[0], errs[1])
			}
			for _, err := range errs {
				if err != nil {
					mustBe(t, err, fault.NotReady, "check_running")
				}
			}
			clock.Advance(10 * time.Second)
		}
	})
}
