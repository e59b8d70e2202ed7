package ra_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/ra"
)

const month = 30 * 24 * time.Hour

// TestClaimNames has what cannot be claimed: nobody could show control of it, or it is
// nobody's. Requirement 58.
func TestClaimNames(t *testing.T) {
	domains := []string{
		"", ".", "com", "com.", "co.uk", "localhost", "example", "www.example", "printer.local", "host.internal", "a.corp",
		"192.0.2.1", "2001:db8::1", "[2001:db8::1]", "1.2.0.192.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa", "x.onion",
		"*.example.com", "%2a.example.com", "a_b.example.com", "_acme-challenge.example.com", "-a.example.com", "a-.example.com",
		"a..example.com", ".example.com", "example.com..", "exa mple.com", "example.com/", "example.com:443", "a@example.com",
		strings.Repeat("a", 64) + ".example.com", strings.Repeat("a.", 125) + "example.com", "xn--a.example.com", "ex\x00ample.com",
		"blocked.example.com", "a.blocked.example.com",
	}
	addresses := []string{
		"", "example.com", "256.0.0.1", "192.0.2", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "fe80::1%eth0", "::ffff:10.0.0.1",
		"2001:db8::1", "192.0.2.1", "64:ff9b::a00:1", "0.0.0.0", "255.255.255.255", "[2606:4700::1]", "127.0.0.0/8",
	}
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		refused := func(kind telamon.ClaimKind, name string) {
			t.Helper()
			actor := c.actor()
			claim, err := w.ra.SubmitClaim(t.Context(), actor, kind, name)
			if claim != nil {
				t.Errorf("%q was claimed as %q", name, claim.Name)
			}
			mustBe(t, err, fault.Invalid, "claim_name")
			if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Problem == "" {
				t.Errorf("the fault of %q has the fields %+v, want one with a problem", name, f.Fields)
			}
			mustKeepFields(t, w.mustAudit(t, actor, "claim.submit", "", "claim_name"), err)
		}
		for _, name := range domains {
			refused(telamon.ClaimDomain, name)
		}
		for _, name := range addresses {
			refused(telamon.ClaimIP, name)
		}
		for asked, name := range map[string]string{
			"Example.COM": "example.com", "example.co.uk.": "example.co.uk", "a.b.c.example.org": "a.b.c.example.org",
			"bücher.example.com": "xn--bcher-kva.example.com", "notblocked.example.com": "notblocked.example.com",
		} {
			if claim := c.claim(t, asked); claim.Name != name {
				t.Errorf("%q was claimed as %q, want %q", asked, claim.Name, name)
			}
		}
		for asked, name := range map[string]string{
			"8.8.8.8": "8.8.8.8", "2606:4700:0::1": "2606:4700::1", "::ffff:8.8.4.4": "8.8.4.4", "127.0.0.1": "127.0.0.1", // which is allowed here
		} {
			claim, err := w.ra.SubmitClaim(t.Context(), c.actor(), telamon.ClaimIP, asked)
			if err != nil || claim.Name != name {
				t.Errorf("%q was claimed as %+v, %v, want %q", asked, claim, err, name)
			}
		}
	})
}

// TestClaimToken has the life of tokens. Requirements 59 and 111.
func TestClaimToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		first := c.claim(t, "shop.example.com")
		if first.Status != telamon.ClaimPending || !first.Open || !first.ExpiresAt.IsZero() || !first.CreatedAt.Equal(w.clock.Now()) ||
			!first.AssertBy.Equal(w.clock.Now().Add(month)) {
			t.Errorf("the new claim is %+v, want a pending one with 30 days", first)
		}
		if value := w.ra.TokenValue(first); value != tokenPrefix+first.Token {
			t.Errorf("TokenValue = %q", value)
		}
		w.clock.Advance(time.Hour)
		for _, name := range []string{"shop.example.com", "shop.example.com.", "SHOP.example.COM"} {
			if again := c.claim(t, name); again.ID != first.ID || again.Token != first.Token || !again.AssertBy.Equal(first.AssertBy) || again.Name != first.Name {
				t.Errorf("%s is claimed as %+v, want the claim and the token that are there", name, again)
			}
		}
		// Another identity has a claim of its own to the same domain.
		other := &customer{w: w, sub: c.sub}
		other.credential = c.newCredential(t, w.newIdentity(t, time.Time{}))
		if theirs := other.claim(t, "shop.example.com"); theirs.ID == first.ID || theirs.Token == first.Token {
			t.Errorf("two identities share the claim %s or its token", first.ID)
		}

		// The last second of a token, and the one after.
		w.at(t, first.AssertBy.Add(-time.Second))
		if again := c.claim(t, "shop.example.com"); again.Token != first.Token {
			t.Error("a token that can still be used was replaced")
		}
		w.at(t, first.AssertBy)
		second := c.claim(t, "shop.example.com")
		if second.ID != first.ID || second.Token == first.Token || !second.AssertBy.Equal(w.clock.Now().Add(month)) {
			t.Errorf("after the deadline the claim is %+v, want another token for %s", second, first.ID)
		}

		// A verified claim needs no token; one whose verification expired does.
		c.publish(t, second, "shop.example.com")
		if !c.checkDNS(t, second.ID, "") {
			t.Fatal("the second token does not verify")
		}
		w.at(t, second.AssertBy.Add(time.Second))
		if again := c.claim(t, "shop.example.com"); again.Token != second.Token || again.Status != telamon.ClaimVerified {
			t.Errorf("submitting a verified claim gives %+v, want it as it was", again)
		}
		w.at(t, c.look(t, second.ID).ExpiresAt)
		third := c.claim(t, "shop.example.com")
		if third.ID != first.ID || third.Token == second.Token || !third.Open || third.Status != telamon.ClaimPending {
			t.Errorf("submitting an expired claim gives %+v, want another token", third)
		}
	})
}

// TestTokensAreRandom looks at a thousand tokens: each has 128 bits of its own.
// Requirement 59.
func TestTokensAreRandom(t *testing.T) {
	w := newWorld(t, sqliteURL(t), clockAt(t, now))
	c := w.customer(t, validated(), 0)
	const n = 1000
	seen, ones := map[string]bool{}, [128]int{}
	note := func(token string) {
		var bytes [16]byte
		if _, err := fmt.Sscanf(token, "%32x", (*hexBytes)(&bytes)); err != nil || len(token) != 32 || strings.ToLower(token) != token {
			t.Fatalf("the token is %q: %v", token, err)
		}
		if seen[token] {
			t.Fatalf("the token %s came twice", token)
		}
		seen[token] = true
		for bit := range ones {
			ones[bit] += int(bytes[bit/8] >> (bit % 8) & 1)
		}
	}
	claim := c.claim(t, "example.com")
	note(claim.Token)
	for range n/2 - 1 {
		note(c.reassert(t, claim.ID).Token)
	}
	for i := range n / 2 {
		note(c.claim(t, fmt.Sprintf("a%d.example.com", i)).Token)
	}
	for bit, count := range ones { // eight standard deviations, which no honest coin leaves
		if count < n/2-127 || count > n/2+127 {
			t.Errorf("bit %d is set in %d of %d tokens", bit, count, n)
		}
	}
}

// hexBytes reads hexadecimal digits by the verb %x.
type hexBytes [16]byte

func (h *hexBytes) Scan(state fmt.ScanState, _ rune) error {
	token, err := state.Token(true, nil)
	if err != nil || len(token) != 32 {
		return errors.Join(errors.New("not 32 digits"), err)
	}
	for i := range h {
		if _, err := fmt.Sscanf(string(token[2*i:2*i+2]), "%02x", &h[i]); err != nil {
			return err
		}
	}
	return nil
}

// TestClaimsAtOnce has several requests for one claim at the same time: none of them is
// told of the others.
func TestClaimsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		atOnce := func(do func() (*telamon.Claim, error)) []*telamon.Claim {
			t.Helper()
			claims := make([]*telamon.Claim, 3)
			var all sync.WaitGroup
			for i := range claims {
				all.Go(func() {
					var err error
					if claims[i], err = do(); err != nil {
						t.Errorf("one of several fails: %v", err)
					}
				})
			}
			all.Wait()
			if t.Failed() {
				t.FailNow()
			}
			return claims
		}
		submit := func() (*telamon.Claim, error) {
			return w.ra.SubmitClaim(t.Context(), c.actor(), telamon.ClaimDomain, "example.com")
		}
		same := func(claims []*telamon.Claim) {
			t.Helper()
			for _, claim := range claims {
				if claim.ID != claims[0].ID || claim.Token != claims[0].Token {
					t.Errorf("requests at once made %+v and %+v", claims[0], claim)
				}
			}
		}
		first := atOnce(submit)
		same(first)
		w.at(t, first[0].AssertBy)
		renewed := atOnce(submit)
		same(renewed)
		if renewed[0].Token == first[0].Token {
			t.Error("the token was not renewed after its deadline")
		}
		reasserted := atOnce(func() (*telamon.Claim, error) {
			return w.ra.ReassertClaim(t.Context(), c.actor(), telamon.ClaimDomain, first[0].ID)
		})
		last := c.look(t, first[0].ID)
		if !slices.ContainsFunc(reasserted, func(r *telamon.Claim) bool { return r.Token == last.Token }) {
			t.Errorf("the claim has the token %s, which nobody was told", last.Token)
		}
	})
}

// TestClaimList lists by status, time, name and page. Requirement 72.
func TestClaimList(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		start := w.clock.Now()
		for _, name := range []string{"example.com", "a.example.com", "ab.example.com", "x.a.example.com", "example.org"} {
			c.claim(t, name)
			w.clock.Advance(time.Minute)
		}
		verified := c.verify(t, "verified.example.com")
		_, err := w.ra.SubmitClaim(t.Context(), c.actor(), telamon.ClaimIP, "8.8.8.8")
		must(t, err)
		list := func(l ra.ClaimListing) ([]string, int64) {
			t.Helper()
			if l.Kind == "" {
				l.Kind = telamon.ClaimDomain
			}
			if l.Page == 0 {
				l.Page, l.PerPage = 1, 100
			}
			claims, total, err := w.ra.Claims(t.Context(), c.actor(), l)
			must(t, err)
			names := []string{}
			for _, listed := range claims {
				names = append(names, listed.Claim.Name)
			}
			return names, total
		}
		all := []string{"verified.example.com", "example.org", "x.a.example.com", "ab.example.com", "a.example.com", "example.com"}
		tests := []struct {
			name    string
			listing ra.ClaimListing
			want    []string
			total   int64
		}{
			{"all, the newest first", ra.ClaimListing{}, all, 6},
			{"addresses", ra.ClaimListing{Kind: telamon.ClaimIP}, []string{"8.8.8.8"}, 1},
			{"verified", ra.ClaimListing{Status: telamon.ClaimVerified}, all[:1], 1},
			{"pending", ra.ClaimListing{Status: telamon.ClaimPending}, all[1:], 5},
			{"a page", ra.ClaimListing{Page: 2, PerPage: 4}, all[4:], 6},
			{"a page past the end", ra.ClaimListing{Page: 3, PerPage: 4}, []string{}, 6},
			{"a time", ra.ClaimListing{From: start.Add(time.Minute), To: start.Add(2 * time.Minute)}, []string{"ab.example.com", "a.example.com"}, 2},
			{"a name", ra.ClaimListing{Pattern: "example.com"}, []string{"example.com"}, 1},
			{"a name with a dot", ra.ClaimListing{Pattern: "Example.com."}, []string{"example.com"}, 1},
			{"a run", ra.ClaimListing{Pattern: "%.example.com"}, []string{"verified.example.com", "ab.example.com", "a.example.com"}, 3},
			{"a character", ra.ClaimListing{Pattern: "_.example.com"}, []string{"a.example.com"}, 1},
			{"a run at the end", ra.ClaimListing{Pattern: "example.%"}, []string{"example.org", "example.com"}, 2},
			{"all of it", ra.ClaimListing{Pattern: "%.example.com", Status: telamon.ClaimVerified}, []string{"verified.example.com"}, 1},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if got, total := list(tt.listing); !slices.Equal(got, tt.want) || total != tt.total {
					t.Errorf("the list has %q of %d, want %q of %d", got, total, tt.want, tt.total)
				}
			})
		}
		for _, pattern := range []string{"%example.com", "_xample.com", "example%", "example.c_", "a b", "..", "'"} {
			_, _, err := w.ra.Claims(t.Context(), c.actor(), ra.ClaimListing{Kind: telamon.ClaimDomain, Pattern: pattern, Page: 1, PerPage: 9})
			mustBe(t, err, fault.Invalid, "claim_pattern")
		}
		claims, _, err := w.ra.Claims(t.Context(), c.actor(), ra.ClaimListing{
			Kind: telamon.ClaimDomain, Status: telamon.ClaimVerified, Page: 1, PerPage: 9,
		})
		must(t, err)
		if len(claims) != 1 || len(claims[0].Log) != 1 || claims[0].Log[0].Status != telamon.LogSuccess {
			t.Errorf("the list of verified claims is %+v, want one with its log", claims)
		}
		w.at(t, verified.ExpiresAt)
		if got, total := list(ra.ClaimListing{Status: telamon.ClaimVerified}); len(got) != 0 || total != 0 {
			t.Errorf("after the end of the verification the list of verified claims has %q of %d", got, total)
		}
	})
}

// states brings a claim into each state in which it can be.
func states(c *customer) map[string]func(t *testing.T, name string) *telamon.Claim {
	return map[string]func(t *testing.T, name string) *telamon.Claim{
		"pending": func(t *testing.T, name string) *telamon.Claim { return c.claim(t, name) },
		"past its deadline": func(t *testing.T, name string) *telamon.Claim {
			claim := c.claim(t, name)
			c.w.at(t, claim.AssertBy)
			return claim
		},
		"verified": func(t *testing.T, name string) *telamon.Claim { return c.verify(t, name) },
		"reasserted while verified": func(t *testing.T, name string) *telamon.Claim {
			return c.reassert(t, c.verify(t, name).ID)
		},
		"expired": func(t *testing.T, name string) *telamon.Claim {
			claim := c.verify(t, name)
			c.w.at(t, claim.ExpiresAt)
			return claim
		},
		"about to be checked again": func(t *testing.T, name string) *telamon.Claim {
			claim := c.claim(t, name)
			if c.checkDNS(t, claim.ID, "") {
				t.Fatalf("%s is verified without a record", name)
			}
			return claim
		},
		"being checked": func(t *testing.T, name string) *telamon.Claim {
			claim := c.claim(t, name)
			t.Cleanup(c.w.lookups.hang(name))
			ctx, goAway := context.WithCancel(t.Context())
			var asking sync.WaitGroup
			asking.Go(func() {
				_, err := c.w.ra.CheckDNS(ctx, c.actor(), claim.ID, nil)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the check of a client that went away reports %v", err)
				}
			})
			eventually(t, "the check runs", func() bool { return c.w.lookups.hanging() > 0 })
			goAway()
			asking.Wait()
			return claim
		},
		"waiting for a mailbox": func(t *testing.T, name string) *telamon.Claim {
			claim := c.claim(t, name)
			_, err := c.w.ra.SendApproval(t.Context(), c.actor(), claim.ID, "admin@"+name)
			must(t, err)
			return claim
		},
	}
}

// TestDeleteClaim deletes a claim in each state. Nothing happens to it after that, and
// nothing is issued by it. Requirement 70.
func TestDeleteClaim(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		n := 0
		for state, make := range states(c) {
			n++
			name := fmt.Sprintf("shop%d.example.com", n)
			t.Run(state, func(t *testing.T) {
				claim := make(t, name)
				actor := c.actor()
				must(t, w.ra.DeleteClaim(t.Context(), actor, telamon.ClaimDomain, claim.ID))
				w.mustAudit(t, actor, "claim.delete", claim.ID.String(), "ok")
				_, _, err := w.ra.Claim(t.Context(), c.actor(), telamon.ClaimDomain, claim.ID)
				mustBe(t, err, fault.NotFound, "claim_not_found")
				mustBe(t, w.ra.DeleteClaim(t.Context(), c.actor(), telamon.ClaimDomain, claim.ID), fault.NotFound, "claim_not_found")
				c.mustNotCover(t, name)
				w.runJobs(t)
				again := c.claim(t, name)
				if again.ID == claim.ID || again.Token == claim.Token || again.Status != telamon.ClaimPending || len(c.lines(t, again.ID)) != 0 {
					t.Errorf("the name is claimed again as %+v, want a new claim", again)
				}
			})
		}
	})
}

// TestReassertClaim reasserts a claim in each state: there is always a new token with
// its own deadline, and a verified claim stays so for as long as it was, until the new
// token has been found. Requirement 70.
func TestReassertClaim(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		n := 0
		for state, make := range states(c) {
			n++
			name := fmt.Sprintf("shop%d.example.com", n)
			t.Run(state, func(t *testing.T) {
				old := make(t, name)
				before := c.look(t, old.ID)
				w.clock.Advance(time.Hour)
				actor := c.actor()
				renewed, err := w.ra.ReassertClaim(t.Context(), actor, telamon.ClaimDomain, old.ID)
				must(t, err)
				w.mustAudit(t, actor, "claim.reassert", old.ID.String(), "ok")
				if renewed.ID != old.ID || renewed.Token == before.Token || len(renewed.Token) != 32 ||
					!renewed.AssertBy.Equal(w.clock.Now().Add(month)) {
					t.Errorf("the claim was %+v, and is %+v", before, renewed)
				}
				after := c.look(t, old.ID)
				if after.Token != renewed.Token || after.Status != before.Status || !after.ExpiresAt.Equal(before.ExpiresAt) || !after.Open {
					t.Errorf("the claim was %+v, and is %+v", before, after)
				}
				// What was published for the old token proves nothing any more.
				w.outside.DNS.Remove(name, "TXT", "")
				w.record(t, name, "TXT", w.ra.TokenValue(before))
				w.lookups.wake()
				if c.checkDNS(t, old.ID, "") {
					t.Error("the old token verifies")
				}
				c.mustStatus(t, old.ID, before.Status)
				w.record(t, name, "TXT", w.ra.TokenValue(renewed))
				if !c.checkDNS(t, old.ID, "") {
					t.Fatalf("the new token does not verify: %+v", c.lastLine(t, old.ID))
				}
				if last := c.look(t, old.ID); last.Status != telamon.ClaimVerified || last.Open || last.ExpiresAt.Equal(before.ExpiresAt) {
					t.Errorf("verified again, the claim is %+v; before it was %+v", last, before)
				}
				c.mustIssue(t, name)
			})
		}
	})
}

// TestStickyTokens has a private service that keeps the token of a reasserted claim,
// and what that token is good for elsewhere. Requirement 63.
func TestStickyTokens(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, strict := range []func(*iam.ServiceSpec){
			func(s *iam.ServiceSpec) { s.StrictContent = true }, func(s *iam.ServiceSpec) { s.StrictCAA = true }, func(s *iam.ServiceSpec) { s.StrictMPIC = true },
		} {
			spec := validated()
			spec.Name, spec.Series, spec.StickyTokens = "strict", "tls-ec", true
			strict(&spec)
			_, err := w.iam.CreateService(t.Context(), operator, spec)
			mustBe(t, err, fault.Invalid, "invalid_service")
			mustName(t, err, "sticky_tokens")
		}
		sticky := validated()
		sticky.StickyTokens = true
		c := w.customer(t, sticky, 0)
		strictSpec := validated(domainAlone...)
		strictSpec.StrictContent = true
		strict := w.customer(t, strictSpec, 0) // of the same identity
		first := c.verify(t, "example.com")
		strict.mustIssue(t, "example.com")

		// A month and a day later, the record that still stands verifies again.
		w.clock.Advance(month + 24*time.Hour)
		renewed := c.reassert(t, first.ID)
		if renewed.Token != first.Token || !renewed.AssertBy.Equal(w.clock.Now().Add(month)) || !renewed.TokenAt.Equal(first.TokenAt) {
			t.Errorf("the claim with a sticky token was %+v, and is %+v", first, renewed)
		}
		if !c.checkDNS(t, first.ID, "") {
			t.Fatal("the sticky token does not verify")
		}
		if again := c.look(t, first.ID); !again.ExpiresAt.After(first.ExpiresAt) {
			t.Errorf("the verification ends %s, not later than the first one", again.ExpiresAt)
		}
		c.mustIssue(t, "example.com")
		strict.mustNotCover(t, "example.com") // the token is older than 30 days

		// The strict service makes a token of its own.
		fresh := strict.reassert(t, first.ID)
		if fresh.Token == first.Token {
			t.Error("a service without sticky tokens keeps the token")
		}
		strict.publish(t, fresh, "example.com")
		if !strict.checkDNS(t, first.ID, "") {
			t.Fatal("the fresh token does not verify")
		}
		strict.mustIssue(t, "example.com")
	})
}

// TestClaimScope has the claims of another identity, and of another kind: they are not
// found, whatever is asked.
func TestClaimScope(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		same := &customer{w: w, sub: c.sub}
		same.credential = c.newCredential(t, w.identity)
		other := &customer{w: w, sub: c.sub}
		other.credential = c.newCredential(t, w.newIdentity(t, time.Time{}))
		claim := c.verify(t, "example.com")
		if got := same.look(t, claim.ID); got.Token != claim.Token {
			t.Errorf("credentials of one identity see different claims: %+v", got)
		}
		ctx, id := t.Context(), claim.ID
		domain, ip := telamon.ClaimDomain, telamon.ClaimIP
		uses := map[string]func(actor telamon.Actor, kind telamon.ClaimKind) error{
			"Claim":         func(a telamon.Actor, k telamon.ClaimKind) error { _, _, err := w.ra.Claim(ctx, a, k, id); return err },
			"DeleteClaim":   func(a telamon.Actor, k telamon.ClaimKind) error { return w.ra.DeleteClaim(ctx, a, k, id) },
			"ReassertClaim": func(a telamon.Actor, k telamon.ClaimKind) error { return errorOf(w.ra.ReassertClaim(ctx, a, k, id)) },
			"CheckHTTP": func(a telamon.Actor, k telamon.ClaimKind) error {
				return errorOf(w.ra.CheckHTTP(ctx, a, k, id, "http", nil))
			},
		}
		for name, use := range uses {
			mustBe(t, use(other.actor(), domain), fault.NotFound, "claim_not_found")
			mustBe(t, use(c.actor(), ip), fault.NotFound, "claim_not_found")
			if t.Failed() {
				t.Fatalf("%s finds what is not the actor's", name)
			}
		}
		a := other.actor()
		mustBe(t, errorOf(w.ra.CheckDNS(ctx, a, id, nil)), fault.NotFound, "claim_not_found")
		mustBe(t, errorOf(w.ra.AllowedDomains(ctx, a, id)), fault.NotFound, "claim_not_found")
		mustBe(t, errorOf(w.ra.Mailboxes(ctx, a, id)), fault.NotFound, "claim_not_found")
		mustBe(t, errorOf(w.ra.SendApproval(ctx, a, id, "admin@example.com")), fault.NotFound, "claim_not_found")
		if claims, total, err := w.ra.Claims(ctx, a, ra.ClaimListing{Kind: domain, Page: 1, PerPage: 9}); len(claims) != 0 || total != 0 || err != nil {
			t.Errorf("another identity lists %d of %d claims, %v", len(claims), total, err)
		}
		other.mustNotCover(t, "example.com")
		same.mustIssue(t, "example.com")
	})
}
