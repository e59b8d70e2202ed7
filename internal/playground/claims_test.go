package playground_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/globalsign/hvclient"
)

// claimant is hvclient as the credential whose service demands domain validation.
type claimant struct {
	*hvclient.Client
	t *testing.T
	w *world
}

func newClaimant(t *testing.T, w *world) *claimant {
	t.Helper()
	client, err := hvclient.NewClient(t.Context(), w.hvConfig(w.credential("dev_tls")))
	if err != nil {
		t.Fatal(err)
	}
	return &claimant{client, t, w}
}

// submit claims a domain and returns the claim's ID and the value to publish.
func (c *claimant) submit(domain string) (id, value string) {
	c.t.Helper()
	info, err := c.ClaimSubmit(c.t.Context(), domain)
	if err != nil {
		c.t.Fatalf("claim %s: %v", domain, err)
	}
	if left := info.AssertBy.Sub(c.w.clock.Now()); left != 30*24*time.Hour || info.Token == "" {
		c.t.Errorf("the token %q of %s can be used for %s", info.Token, domain, left)
	}
	return info.ID, info.Token
}

// checked compares what a check reported.
func (c *claimant) checked(what string, got bool, err error, want bool) {
	c.t.Helper()
	if got != want || err != nil {
		c.t.Errorf("%s: %v, %v; want %v", what, got, err, want)
	}
}

func (c *claimant) retrieve(id string) *hvclient.Claim {
	c.t.Helper()
	claim, err := c.ClaimRetrieve(c.t.Context(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	return claim
}

// statusOf is the status of an error of the API, 0 if it is none.
func statusOf(err error) int {
	if refusal, ok := errors.AsType[hvclient.APIError](err); ok {
		return refusal.StatusCode
	}
	return 0
}

// TestHVClientClaims drives every call about claims that the real client library has.
func TestHVClientClaims(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c, ctx := newClaimant(t, w), t.Context()
		id, value := c.submit("shop.example.com")
		if again, same := c.submit("Shop.Example.com."); again != id || same != value {
			t.Errorf("claimed again, the claim is %s with %s; want %s with %s", again, same, id, value)
		}
		verified, err := c.ClaimDNS(ctx, id, "")
		c.checked("before the record is there", verified, err, false)
		must(t, w.World.DNS.Add("shop.example.com", "TXT", value))
		verified, err = c.ClaimDNS(ctx, id, "shop.example.com")
		c.checked("when it is there", verified, err, true)
		claim := c.retrieve(id)
		if claim.Status != hvclient.StatusVerified || claim.Domain != "shop.example.com." || len(claim.Log) != 2 ||
			claim.Log[0].Status != hvclient.VerificationError || claim.Log[1].Status != hvclient.VerificationSuccess {
			t.Errorf("the claim is %+v", claim)
		}
		renewed, err := c.ClaimReassert(ctx, id)
		if err != nil || renewed.ID != id || renewed.Token == value {
			t.Fatalf("reasserted: %+v, %v", renewed, err)
		}
		if after := c.retrieve(id); after.Status != hvclient.StatusVerified || !after.ExpiresAt.Equal(claim.ExpiresAt) {
			t.Errorf("reasserted, the claim is %+v", after)
		}
		verified, err = c.ClaimDNS(ctx, id, "")
		c.checked("by the old record", verified, err, false)

		host, file := c.submit("www.example.net")
		w.World.HTTP.Put("www.example.net", "/.well-known/pki-validation/gsdv.txt", []byte(file+"\n"))
		must(t, w.World.DNS.Add("www.example.net", "A", "127.0.0.1"))
		verified, err = c.ClaimHTTP(ctx, host, "www.example.net", "HTTPS")
		c.checked("by a file", verified, err, true)

		mailed, _ := c.submit("example.org")
		boxes, err := c.ClaimEmailRetrieve(ctx, mailed)
		if err != nil || len(boxes.Constructed) != 5 || len(boxes.DNS.SOA.Emails) != 0 {
			t.Errorf("the mailboxes are %+v, %v", boxes, err)
		}
		verified, err = c.ClaimEmail(ctx, mailed, "hostmaster@example.org")
		c.checked("by mail, before it is approved", verified, err, false)
		if _, err := c.ClaimEmail(ctx, mailed, "mallory@example.org"); statusOf(err) != http.StatusUnprocessableEntity {
			t.Errorf("by a mailbox of another's choice: %v", err)
		}
		must(t, (&applicant{w: w, t: t}).Approve("hostmaster@example.org"))
		verified, err = c.ClaimEmail(ctx, mailed, "hostmaster@example.org")
		c.checked("by mail, when it is approved", verified, err, true)

		c.lists(map[hvclient.ClaimStatus][]string{
			hvclient.StatusVerified: {"example.org.", "shop.example.com.", "www.example.net."}, hvclient.StatusPending: nil,
		})
		must(t, c.ClaimDelete(ctx, mailed))
		if _, err := c.ClaimRetrieve(ctx, mailed); statusOf(err) != http.StatusNotFound {
			t.Errorf("a deleted claim: %v", err)
		}
		c.lists(map[hvclient.ClaimStatus][]string{hvclient.StatusVerified: {"shop.example.com.", "www.example.net."}})
	})
}

// lists compares the domains of the lists of claims, by pages of one.
func (c *claimant) lists(want map[hvclient.ClaimStatus][]string) {
	c.t.Helper()
	for status, domains := range want {
		var got []string
		for page := 1; ; page++ {
			claims, total, err := c.ClaimsDomains(c.t.Context(), page, 1, status)
			if err != nil || total != int64(len(domains)) {
				c.t.Fatalf("page %d of %v: %d in all, %v; want %d", page, status, total, err, len(domains))
			}
			if len(claims) == 0 {
				break
			}
			got = append(got, claims[0].Domain)
		}
		slices.Sort(got)
		if !slices.Equal(got, domains) {
			c.t.Errorf("the claims that are %v are %q, want %q", status, got, domains)
		}
	}
}

// request asks for a certificate for the name, and returns the refusal's description,
// "" if it is issued.
func (c *claimant) request(name string) string {
	c.t.Helper()
	_, err := c.CertificateRequest(c.t.Context(), &hvclient.Request{
		Validity: &hvclient.Validity{NotBefore: c.w.clock.Now(), NotAfter: time.Unix(0, 0)},
		SAN:      &hvclient.SAN{DNSNames: []string{name}}, CSR: emptyCSR(c.t, rsaKey()),
	})
	if err == nil {
		return ""
	}
	refusal, ok := errors.AsType[hvclient.APIError](err)
	if !ok {
		c.t.Fatal(err)
	}
	return refusal.Description
}

// TestDomainValidation holds that a service with domain validation refuses a name that
// no claim covers, issues when one does, and refuses again when the claim has expired,
// when it is deleted, and when CAA forbids.
func TestDomainValidation(t *testing.T) {
	t.Parallel()
	const uncovered, forbidden = "san: failed dns/email domain name verification", "san: CAA records do not allow issuance"
	each(t, func(t *testing.T, w *world) {
		c, ctx := newClaimant(t, w), t.Context()
		asked := func(when, name, want string) {
			t.Helper()
			if got := c.request(name); got != want {
				t.Errorf("%s, %s is answered %q, want %q", when, name, got, want)
			}
		}
		verify := func(domain string) (id string) {
			t.Helper()
			id, value := c.submit(domain)
			must(t, w.World.DNS.Add(domain, "TXT", value))
			verified, err := c.ClaimDNS(ctx, id, "")
			c.checked("verify "+domain, verified, err, true)
			return id
		}
		asked("before any claim", "www.shop.example.com", uncovered)
		id := verify("shop.example.com")
		asked("verified", "www.shop.example.com", "")
		asked("verified", "*.shop.example.com", "")
		asked("verified", "example.com", uncovered)

		must(t, w.World.DNS.Add("shop.example.com", "CAA", `0 issue "other.example"`))
		asked("when CAA names another CA", "www.shop.example.com", forbidden)
		must(t, w.World.DNS.Add("shop.example.com", "CAA", `0 issue "`+w.Description.IssuerDomains[0]+`; validationmethods=ca-tbr-18"`))
		asked("when CAA wants another method", "www.shop.example.com", forbidden)
		must(t, w.World.DNS.Add("shop.example.com", "CAA", `0 issue "`+w.Description.IssuerDomains[0]+`; validationmethods=ca-tbr-7"`))
		asked("when CAA allows it", "www.shop.example.com", "")

		expires := c.retrieve(id).ExpiresAt
		w.advance(expires.Sub(w.clock.Now()) - time.Second)
		asked("a second before the end", "www.shop.example.com", "")
		w.advance(time.Second)
		asked("when the verification has expired", "www.shop.example.com", uncovered)
		if claim := c.retrieve(id); claim.Status != hvclient.StatusPending {
			t.Errorf("an expired claim is %v", claim.Status)
		}
		if _, err := c.ClaimDNS(ctx, id, ""); statusOf(err) != http.StatusFailedDependency {
			t.Errorf("a check of an expired claim: %v, want status 424", err)
		}

		other := verify("pay.example.net")
		asked("verified", "pay.example.net", "")
		must(t, c.ClaimDelete(ctx, other))
		asked("when the claim is deleted", "pay.example.net", uncovered)
		for _, name := range []string{"com", "co.uk", "intranet", "192.0.2.1", "a.local", "1.0.0.127.in-addr.arpa", strings.Repeat("a", 64) + ".example.com"} {
			if _, err := c.ClaimSubmit(ctx, name); statusOf(err) != http.StatusUnprocessableEntity {
				t.Errorf("a claim to %q: %v, want status 422", name, err)
			}
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
