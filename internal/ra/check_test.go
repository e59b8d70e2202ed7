package ra_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	outside "github.com/telamon-ca/telamon/internal/world"
)

// checkError checks a claim at an authorization domain name and returns the error.
func (c *customer) checkError(t testing.TB, id telamon.ClaimID, adn string) error {
	t.Helper()
	verified, err := c.w.ra.CheckDNS(t.Context(), c.actor(), id, &adn)
	if verified {
		t.Errorf("the claim is verified at %q", adn)
	}
	return err
}

// TestCheckClaim goes through the answers to a client that asks for checks until the claim is
// verified. Requirement 60.
func TestCheckClaim(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "shop.example.com")
		if c.checkDNS(t, claim.ID, "") {
			t.Error("a claim is verified without a record")
		}
		c.mustLog(t, claim.ID, telamon.LogError, telamon.MethodDNS, "no valid DNS records returned: No matching TXT record at shop.example.com. Found: 0 records.")
		w.clock.Advance(time.Second)

		// A server that does not answer lets the request go, and the check run on.
		w.with(t, impatient)
		revive := w.lookups.hang("shop.example.com")
		if c.checkDNS(t, claim.ID, "") {
			t.Error("a claim is verified by a server that does not answer")
		}
		_, err := w.ra.CheckDNS(t.Context(), c.actor(), claim.ID, nil)
		mustBe(t, err, fault.NotReady, "check_running")
		if n := len(c.lines(t, claim.ID)); n != 1 {
			t.Errorf("while a check runs the log has %d lines, want that of the first one", n)
		}
		c.publish(t, claim, "shop.example.com")
		revive()
		eventually(t, "the check found the record", func() bool { return c.look(t, claim.ID).Status == telamon.ClaimVerified })
		c.mustLog(t, claim.ID, telamon.LogSuccess, telamon.MethodDNS, "claim successfully verified")

		// Nothing is looked at any more.
		w.outside.DNS.Forget()
		for _, adn := range []string{"", "example.com"} {
			if !c.checkDNS(t, claim.ID, adn) {
				t.Error("a verified claim is checked again")
			}
		}
		if asked := w.outside.DNS.Queries(); len(asked) != 0 {
			t.Errorf("for a verified claim the DNS is asked %v", asked)
		}
		done := c.look(t, claim.ID)
		want := *claim
		want.Status, want.Open, want.Verification, want.Method, want.ADN, want.Coverage, want.VerifiedAt, want.ExpiresAt =
			telamon.ClaimVerified, false, done.Verification, telamon.MethodDNS, "shop.example.com", telamon.CoversTree, w.clock.Now(), date(t, "2027-03-15T00:00:00Z")
		if *done != want || done.Verification == "" {
			t.Errorf("the claim is %+v, want %+v", done, want)
		}
		records, err := w.db.Verifications(t.Context(), []telamon.VerificationID{done.Verification})
		must(t, err)
		if r := records[0]; r.Claim != claim.ID || r.Name != "shop.example.com" || r.ADN != "shop.example.com" || r.Method != telamon.MethodDNS ||
			!r.At.Equal(w.clock.Now()) || !r.TokenAt.Equal(claim.TokenAt) || r.Evidence.Records != 1 || r.Evidence.DNSSEC != telamon.DNSSECOff {
			t.Errorf("the record of the validation is %+v", r)
		}
	})
}

// TestDroppedName is TestCheckClaim for a server that takes questions and is silent, so that
// the resolver itself runs out of time.
func TestDroppedName(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), clockAt(t, now))
	w.with(t, impatient)
	c := w.customer(t, validated(), 0)
	claim := c.claim(t, "shop.example.com")
	w.outside.DNS.Fail("shop.example.com", outside.Drop)
	if c.checkDNS(t, claim.ID, "") {
		t.Error("a claim is verified by a server that does not answer")
	}
	_, err := w.ra.CheckDNS(t.Context(), c.actor(), claim.ID, nil)
	mustBe(t, err, fault.NotReady, "check_running")
	eventually(t, "the check ended", func() bool { return len(c.lines(t, claim.ID)) == 1 })
	c.mustLog(t, claim.ID, telamon.LogError, telamon.MethodDNS, "no answer in time")
}

// TestTokenDeadline has the last second of a token, the first one after it, and a token
// that runs out while it is looked for. Requirements 59 and 60.
func TestTokenDeadline(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		late, slow, good := c.claim(t, "late.example.com"), c.claim(t, "slow.example.com"), c.claim(t, "good.example.com")
		for _, claim := range []*telamon.Claim{late, slow, good} {
			c.publish(t, claim, claim.Name)
		}
		w.at(t, good.AssertBy.Add(-time.Second))
		if !c.checkDNS(t, good.ID, "") {
			t.Error("a token does not verify in its last second")
		}
		revive := w.lookups.hang("slow.example.com")
		var asking sync.WaitGroup
		asking.Go(func() {
			if c.checkDNS(t, slow.ID, "") {
				t.Error("a token verifies that ran out while it was looked for")
			}
		})
		eventually(t, "the check runs", func() bool { return w.lookups.hanging() > 0 })
		w.clock.Advance(time.Second)
		revive()
		asking.Wait()
		c.mustLog(t, slow.ID, telamon.LogError, telamon.MethodDNS, "The token has expired.")
		for _, claim := range []*telamon.Claim{late, slow} {
			for _, use := range []func() (bool, error){
				func() (bool, error) { return w.ra.CheckDNS(t.Context(), c.actor(), claim.ID, nil) },
				func() (bool, error) {
					return w.ra.CheckHTTP(t.Context(), c.actor(), telamon.ClaimDomain, claim.ID, "http", nil)
				},
				func() (bool, error) { return w.ra.SendApproval(t.Context(), c.actor(), claim.ID, "admin@example.com") },
			} {
				verified, err := use()
				mustBe(t, err, fault.Conflict, fault.CodeClaimExpired)
				if f := fault.From(err); verified || f.Detail != "Claim expired. Reassert first" {
					t.Errorf("the answer is %v, %q", verified, f.Detail)
				}
			}
			c.mustStatus(t, claim.ID, telamon.ClaimPending)
		}
		if !c.checkDNS(t, good.ID, "") {
			t.Error("a verified claim is not verified any more after the deadline of its token")
		}
	})
}

// TestTokenRecords has the records that show control and those that do not.
// Requirement 61.
func TestTokenRecords(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		dns := w.outside.DNS
		tests := []struct {
			name, adn string
			publish   func(t *testing.T, name, token string)
			verified  bool
			coverage  telamon.Coverage
		}{
			{"the value", "", func(t *testing.T, name, token string) { w.record(t, name, "TXT", tokenPrefix+token) }, true, telamon.CoversTree},
			{"the token alone", "", func(t *testing.T, name, token string) { w.record(t, name, "TXT", token) }, true, telamon.CoversTree},
			{"the prefix twice", "", func(t *testing.T, name, token string) {
				w.record(t, name, "TXT", tokenPrefix+tokenPrefix+token)
			}, true, telamon.CoversTree},
			{"the prefix three times", "", func(t *testing.T, name, token string) {
				w.record(t, name, "TXT", strings.Repeat(tokenPrefix, 3)+token)
			}, false, ""},
			{"beside others", "", func(t *testing.T, name, token string) {
				w.record(t, name, "TXT", "v=spf1 -all")
				w.record(t, name, "TXT", tokenPrefix+token)
				w.record(t, name, "TXT", tokenPrefix+strings.Repeat("0", 32))
			}, true, telamon.CoversTree},
			{"in split strings", "", func(t *testing.T, name, token string) {
				must(t, dns.AddTXTStrings(name, tokenPrefix[:7], tokenPrefix[7:]+token[:9], token[9:]))
			}, true, telamon.CoversTree},
			{"in upper case", "", func(t *testing.T, name, token string) { w.record(t, name, "TXT", strings.ToUpper(tokenPrefix+token)) }, false, ""},
			{"merged with another value", "", func(t *testing.T, name, token string) {
				w.record(t, name, "TXT", tokenPrefix+token+" v=spf1")
			}, false, ""},
			{"with a blank", "", func(t *testing.T, name, token string) { w.record(t, name, "TXT", " "+tokenPrefix+token) }, false, ""},
			{"at a name below", "", func(t *testing.T, name, token string) { w.record(t, "a."+name, "TXT", tokenPrefix+token) }, false, ""},
			{"at an underscore label", "_telamon.NAME.", func(t *testing.T, name, token string) {
				w.record(t, "_telamon."+name, "TXT", tokenPrefix+token)
			}, true, telamon.CoversTree},
			{"at an alias of an underscore label", "_telamon.NAME", func(t *testing.T, name, token string) {
				w.record(t, "_telamon."+name, "CNAME", "proof.example.org")
				w.record(t, "proof.example.org", "TXT", tokenPrefix+token)
			}, true, telamon.CoversTree},
			{"at an alias of the name itself", "", func(t *testing.T, name, token string) {
				w.record(t, name, "CNAME", "target.example.org")
				w.record(t, "target.example.org", "TXT", tokenPrefix+token)
			}, true, telamon.CoversExact},
			{"at the parent", "Example.com.", func(t *testing.T, _, token string) {
				w.record(t, "example.com", "TXT", tokenPrefix+token)
			}, true, telamon.CoversTree},
			{"at an underscore label of the parent", "_a-1.example.com", func(t *testing.T, _, token string) {
				w.record(t, "_a-1.example.com", "TXT", tokenPrefix+token)
			}, true, telamon.CoversTree},
			{"at the parent, which was not asked for", "", func(t *testing.T, _, token string) {
				w.record(t, "example.com", "TXT", tokenPrefix+token)
			}, false, ""},
		}
		for i, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				dns.Clear()
				name := fmt.Sprintf("shop%d.example.com", i)
				claim := c.claim(t, name)
				tt.publish(t, name, claim.Token)
				adn := strings.Replace(tt.adn, "NAME", name, 1)
				if verified := c.checkDNS(t, claim.ID, adn); verified != tt.verified {
					t.Errorf("the claim is verified: %t; the log says %+v", verified, c.lastLine(t, claim.ID))
				}
				after := c.look(t, claim.ID)
				if after.Coverage != tt.coverage {
					t.Errorf("the verification covers %q, want %q", after.Coverage, tt.coverage)
				}
				if want := strings.ToLower(strings.TrimSuffix(adn, ".")); tt.verified && want != "" && after.ADN != want {
					t.Errorf("control was shown at %q, want %q", after.ADN, want)
				}
			})
		}
	})
}

// TestAuthorizationDomains has the names at which control of a domain can be shown, and
// the attack by the CNAME of a parent. Requirement 62.
func TestAuthorizationDomains(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "www.shop.example.co.uk")
		allowed, err := w.ra.AllowedDomains(t.Context(), c.actor(), claim.ID)
		if want := []string{"www.shop.example.co.uk", "shop.example.co.uk", "example.co.uk"}; err != nil || !slices.Equal(allowed, want) {
			t.Errorf("AllowedDomains = %q, %v, want %q", allowed, err, want)
		}
		for _, adn := range []string{
			"", ".", "co.uk", "uk", "example.org", "a.www.shop.example.co.uk", "www.example.co.uk", "ample.co.uk", "*.example.co.uk", "_",
			"_.example.co.uk", "_a", "_a._b.example.co.uk", "a._b.example.co.uk", "_a.co.uk", "_a.b.example.co.uk", "192.0.2.1", "example.co.uk..",
			"_" + strings.Repeat("a", 63) + ".example.co.uk",
		} {
			err := c.checkError(t, claim.ID, adn)
			mustBe(t, err, fault.Invalid, "authorization_domain")
			mustName(t, err, "authorization_domain")
			if t.Failed() {
				t.Fatalf("at the name %q", adn)
			}
		}
		if n := len(c.lines(t, claim.ID)); n != 0 {
			t.Errorf("names at which nothing can be shown left %d lines in the log", n)
		}

		// Whoever controls example.org must not authorize names below example.com.
		blog := c.claim(t, "blog.example.com")
		w.record(t, "example.com", "CNAME", "example.org")
		w.record(t, "example.org", "TXT", w.ra.TokenValue(blog))
		if c.checkDNS(t, blog.ID, "example.com") {
			t.Error("a record that the CNAME of a parent leads to shows control")
		}
		c.mustLog(t, blog.ID, telamon.LogError, telamon.MethodDNS, "is an alias")
		c.mustNotCover(t, "blog.example.com")
	})
}

// TestOldRecord has the record of the last token, which stands in the way of those who
// renew: it does not count, and the log says so. Requirement 63.
func TestOldRecord(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		claim := c.verify(t, "example.com")
		renewed := c.reassert(t, claim.ID)
		if c.checkDNS(t, claim.ID, "") {
			t.Error("the record of the old token verifies")
		}
		c.mustLog(t, claim.ID, telamon.LogError, telamon.MethodDNS, "No matching TXT record at example.com. Found: 1 records.") // DOM-02
		c.mustStatus(t, claim.ID, telamon.ClaimVerified)
		w.record(t, "example.com", "TXT", w.ra.TokenValue(renewed)) // beside it
		if !c.checkDNS(t, claim.ID, "") {
			t.Error("the new record does not verify beside the old one")
		}
		if after := c.look(t, claim.ID); after.ExpiresAt.Equal(claim.ExpiresAt) {
			t.Error("the end of the verification has not changed, by which clients see that it was renewed")
		}
	})
}

// TestStandingRecord verifies by a record that stands: it names the platform and the
// account, and is good for ten days at a time. Requirement 63.
func TestStandingRecord(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		account := "accounturi=acct:" + w.account.String() + "@" + issuerDomain
		const at = "_validation-persist.example.com"
		claim := c.claim(t, "shop.example.com")
		for _, value := range []string{
			w.ra.TokenValue(claim), issuerDomain, "other.example; " + account, issuerDomain + "; accounturi=acct:acc_x@" + issuerDomain,
			issuerDomain + "; " + account + "; persistUntil=1000000000",
		} {
			w.outside.DNS.Clear()
			w.record(t, at, "TXT", value)
			if c.checkDNS(t, claim.ID, at) {
				t.Errorf("%q verifies", value)
			}
			c.mustLog(t, claim.ID, telamon.LogError, telamon.MethodPersist, "at "+at)
		}
		w.outside.DNS.Clear()
		w.record(t, at, "TXT", issuerDomain+"; "+account)
		if !c.checkDNS(t, claim.ID, at) {
			t.Fatalf("the standing record does not verify: %+v", c.lastLine(t, claim.ID))
		}
		end := w.clock.Now().Add(10 * 24 * time.Hour)
		if after := c.look(t, claim.ID); after.Method != telamon.MethodPersist || after.ADN != "example.com" ||
			after.Coverage != telamon.CoversTree || !after.ExpiresAt.Equal(end) {
			t.Errorf("the claim is %+v, want it verified for ten days", after)
		}
		w.at(t, end.Add(-time.Second))
		c.mustIssue(t, "shop.example.com", "*.shop.example.com", "a.shop.example.com")
		c.mustNotCover(t, "example.com") // of which nothing was claimed
		w.clock.Advance(time.Second)
		c.mustNotCover(t, "shop.example.com")
		c.mustStatus(t, claim.ID, telamon.ClaimPending)
		mustBe(t, c.checkError(t, claim.ID, at), fault.Conflict, fault.CodeClaimExpired)

		// The same record renews, and ends when it says so.
		c.reassert(t, claim.ID)
		until := w.clock.Now().Add(time.Hour).Truncate(time.Second)
		w.outside.DNS.Clear()
		w.record(t, at, "TXT", fmt.Sprintf("%s; %s; persistUntil=%d", issuerDomain, account, until.Unix()))
		if !c.checkDNS(t, claim.ID, at) {
			t.Fatal("the standing record does not renew")
		}
		if after := c.look(t, claim.ID); !after.ExpiresAt.Equal(until) {
			t.Errorf("the verification ends %s, want %s as the record says", after.ExpiresAt, until)
		}
	})
}

// TestCheckHTTP verifies by a file of the claimed host, and by nothing else.
// Requirement 64.
func TestCheckHTTP(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		for _, scheme := range []string{"http", "https"} {
			host := scheme + ".example.com"
			claim := c.claim(t, host)
			c.serve(t, claim, host)
			if !c.checkHTTP(t, claim.ID, scheme) {
				t.Fatalf("%s: %+v", scheme, c.lastLine(t, claim.ID))
			}
			line := c.lastLine(t, claim.ID)
			if url := scheme + "://" + host + filePath; line.Evidence.URL != url || !slices.Equal(line.Evidence.Addresses, []string{"127.0.0.1"}) {
				t.Errorf("the evidence is %+v, want %s at 127.0.0.1", line.Evidence, url)
			}
			if after := c.look(t, claim.ID); after.Method != telamon.MethodHTTP || after.Coverage != telamon.CoversExact {
				t.Errorf("the claim is %+v, want it verified for the host alone", after)
			}
			c.mustIssue(t, host)
			c.mustNotCover(t, "a."+host, "*."+host)
			for _, r := range w.outside.HTTP.Requests() {
				if strings.Contains(r.Path, claim.Token) || strings.Contains(r.Host, claim.Token) {
					t.Errorf("the token is in the URL of the request %+v", r)
				}
			}
		}
		claim := c.claim(t, "example.com")
		for _, tt := range []struct{ scheme, adn, field string }{
			{"ftp", "example.com", "scheme"}, {"", "example.com", "scheme"}, {"http", "", "authorization_domain"},
			{"http", "www.example.com", "authorization_domain"}, {"http", "com", "authorization_domain"},
			{"http", "*.example.com", "authorization_domain"}, {"http", "127.0.0.1", "authorization_domain"},
		} {
			_, err := w.ra.CheckHTTP(t.Context(), c.actor(), telamon.ClaimDomain, claim.ID, tt.scheme, &tt.adn)
			if f := fault.From(err); f == nil || f.Kind != fault.Invalid {
				t.Errorf("a check of %q by %q reports %v, want Invalid", tt.adn, tt.scheme, err)
			}
			mustName(t, err, tt.field)
		}
		adn := "Example.com."
		if _, err := w.ra.CheckHTTP(t.Context(), c.actor(), telamon.ClaimDomain, claim.ID, "http", &adn); err != nil {
			t.Errorf("a check of the claimed name in another form reports %v", err)
		}
	})
}

// TestFileResponses has servers whose answer does not count, though each would lead a
// browser to the token. Requirement 64.
func TestFileResponses(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), clockAt(t, now))
	c := w.customer(t, validated(), 0)
	elsewhere := c.claim(t, "elsewhere.example.com")
	tests := []struct {
		name    string
		answer  func(rw http.ResponseWriter, r *http.Request, value string)
		problem string
	}{
		{"a redirect", func(rw http.ResponseWriter, r *http.Request, _ string) {
			http.Redirect(rw, r, "http://elsewhere.example.com"+filePath, http.StatusMovedPermanently)
		}, "status code of the request is not 200: 301"},
		{"another redirect", func(rw http.ResponseWriter, r *http.Request, _ string) {
			http.Redirect(rw, r, filePath, http.StatusTemporaryRedirect)
		}, "status code of the request is not 200: 307"},
		{"another success", func(rw http.ResponseWriter, _ *http.Request, value string) {
			rw.WriteHeader(http.StatusAccepted)
			fmt.Fprint(rw, value)
		}, "status code of the request is not 200: 202"},
		{"an error with the token", func(rw http.ResponseWriter, _ *http.Request, value string) {
			rw.WriteHeader(http.StatusNotFound)
			fmt.Fprint(rw, value)
		}, "status code of the request is not 200: 404"},
		{"a long file", func(rw http.ResponseWriter, _ *http.Request, value string) {
			fmt.Fprint(rw, value, strings.Repeat("\n", 5000))
		}, "the file is longer than"},
		{"a page", func(rw http.ResponseWriter, _ *http.Request, value string) {
			fmt.Fprint(rw, "<p>", value, "</p>")
		}, "the file does not hold the token"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host := fmt.Sprintf("shop%d.example.com", i)
			claim := c.claim(t, host)
			value := w.ra.TokenValue(claim)
			w.record(t, host, "A", "127.0.0.1")
			w.outside.HTTP.Handle(host, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { tt.answer(rw, r, value) }))
			w.outside.HTTP.Put(elsewhere.Name, filePath, []byte(value))
			if c.checkHTTP(t, claim.ID, "http") {
				t.Error("the claim is verified")
			}
			c.mustLog(t, claim.ID, telamon.LogError, telamon.MethodHTTP, "http://"+host+filePath+": "+tt.problem)
			if line := c.lastLine(t, claim.ID); strings.Contains(line.Description, claim.Token) {
				t.Error("the log repeats what the server said")
			}
		})
	}
}

// TestPrivateAddresses has names that lead where only the platform can reach: they are
// not connected to unless the operator allows it. Requirement 65.
func TestPrivateAddresses(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), clockAt(t, now))
	c := w.customer(t, validated(), 0)
	allowed := c.claim(t, "allowed.example.com")
	c.serve(t, allowed, "allowed.example.com")
	if !c.checkHTTP(t, allowed.ID, "http") {
		t.Fatal("a range that the operator allows is refused; this proves nothing")
	}
	w.with(t, func(v *ra.Validation) { v.Networks.Allow = nil })
	served := len(w.outside.HTTP.Requests())
	for i, address := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"} {
		t.Run(address, func(t *testing.T) {
			host, rtype := fmt.Sprintf("shop%d.example.com", i), "A"
			if strings.Contains(address, ":") {
				rtype = "AAAA"
			}
			claim := c.claim(t, host)
			w.record(t, host, rtype, address)
			w.outside.HTTP.Put(host, filePath, []byte(w.ra.TokenValue(claim)))
			for _, scheme := range []string{"http", "https"} {
				w.clock.Advance(time.Second)
				if c.checkHTTP(t, claim.ID, scheme) {
					t.Error("the claim is verified")
				}
				c.mustLog(t, claim.ID, telamon.LogError, telamon.MethodHTTP, "which is not allowed")
			}
			if _, err := w.ra.SubmitClaim(t.Context(), c.actor(), telamon.ClaimIP, address); !fault.Is(err, fault.Invalid) {
				t.Errorf("the address can be claimed: %v", err)
			}
		})
	}
	if got := len(w.outside.HTTP.Requests()); got != served {
		t.Errorf("%d requests were made", got-served)
	}
}

// TestCheckAddress verifies a claim to an IP address by a file, and issues by it.
func TestCheckAddress(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(anyName...), 0)
		claim, err := w.ra.SubmitClaim(t.Context(), c.actor(), telamon.ClaimIP, "127.0.0.1")
		must(t, err)
		try := func(address string) error {
			req := request(newKey(t).csr, "device-17")
			req.Policy.SAN.DNSNames, req.Policy.SAN.IPAddresses = nil, []string{address}
			return errorOf(w.ra.Issue(t.Context(), c.actor(), req))
		}
		mustBe(t, try("127.0.0.1"), fault.Invalid, "name_not_covered")
		other := "127.0.0.2"
		_, err = w.ra.CheckHTTP(t.Context(), c.actor(), telamon.ClaimIP, claim.ID, "http", &other)
		mustBe(t, err, fault.Invalid, "authorization_domain")
		mustName(t, err, "authorization_ip_address")
		c.serve(t, claim, "127.0.0.1")
		verified, err := w.ra.CheckHTTP(t.Context(), c.actor(), telamon.ClaimIP, claim.ID, "https", nil)
		if !verified || err != nil {
			t.Fatalf("the address is verified: %t, %v", verified, err)
		}
		must(t, try("127.0.0.1"))
		mustBe(t, try("127.0.0.2"), fault.Invalid, "name_not_covered")
		mustName(t, try("127.0.0.2"), "127.0.0.2")
		must(t, w.ra.DeleteClaim(t.Context(), c.actor(), telamon.ClaimIP, claim.ID))
		mustBe(t, try("127.0.0.1"), fault.Invalid, "name_not_covered")
	})
}

// TestFollowUps has the checks that follow one which found nothing, and the mail when
// all have failed. Requirements 60 and 73.
func TestFollowUps(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.newUser(t, "domains@acme.example", "manage_domains")
		c := w.customer(t, validated(), 0)
		failing, mended := c.claim(t, "failing.example.com"), c.claim(t, "mended.example.com")
		start := w.clock.Now()
		if c.checkDNS(t, failing.ID, "") || c.checkDNS(t, mended.ID, "example.com") {
			t.Fatal("a claim is verified without a record")
		}
		after := []time.Duration{
			0, 30 * time.Second, 150 * time.Second, 750 * time.Second, 4350 * time.Second, // 30 s, 2 and 10 min, 1 h apart
		}
		w.runJobsUntil(t, start.Add(after[2]-time.Second))
		c.publish(t, mended, "example.com")
		w.runJobsUntil(t, start.Add(24*time.Hour))
		var at []time.Duration
		for _, line := range c.lines(t, failing.ID) {
			at = append(at, line.At.Sub(start))
			if line.Status != telamon.LogError || !strings.Contains(line.Description, "No matching TXT record") {
				t.Errorf("the log says %+v", line)
			}
		}
		if !slices.Equal(at, after) {
			t.Errorf("the claim was checked after %v, want %v", at, after)
		}
		lines := c.lines(t, mended.ID)
		if last := lines[len(lines)-1]; len(lines) != 3 || last.Status != telamon.LogSuccess || !last.At.Equal(start.Add(after[2])) {
			t.Errorf("the claim whose record came late has the log %+v", lines)
		}
		if got := c.look(t, mended.ID); got.Status != telamon.ClaimVerified || got.ADN != "example.com" {
			t.Errorf("the claim whose record came late is %+v", got)
		}
		if subjects := w.subjects("domains@acme.example"); !slices.Contains(subjects, "Control of failing.example.com could not be shown") ||
			!slices.Contains(subjects, "Control of mended.example.com is shown") || len(subjects) != 4 { // and two of new tokens
			t.Errorf("the mails are %q", subjects)
		}
		if text := w.mail(t, "domains@acme.example").Text; !strings.Contains(text, "No matching TXT record at failing.example.com. Found: 0 records.") {
			t.Errorf("the mail does not say what was found:\n%s", text)
		}
		if jobs, err := w.db.Jobs(t.Context(), store.JobClaimCheck, 9); err != nil || len(jobs) != 0 {
			t.Errorf("there are still the checks %+v, %v", jobs, err)
		}
	})
}

// TestFollowUpOfAnotherToken has follow-ups that have nothing to do any more when they
// come.
func TestFollowUpOfAnotherToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		reasserted, deleted, asked := c.claim(t, "reasserted.example.com"), c.claim(t, "deleted.example.com"), c.claim(t, "asked.example.com")
		for _, claim := range []*telamon.Claim{reasserted, deleted, asked} {
			c.checkDNS(t, claim.ID, "")
		}
		c.reassert(t, reasserted.ID)
		must(t, w.ra.DeleteClaim(t.Context(), c.actor(), telamon.ClaimDomain, deleted.ID))
		c.publish(t, asked, asked.Name)
		if !c.checkDNS(t, asked.ID, "") {
			t.Fatal("the record does not verify")
		}
		w.outside.DNS.Forget()
		w.runJobsUntil(t, w.clock.Now().Add(24*time.Hour))
		if queries := w.outside.DNS.Queries(); len(queries) != 0 {
			t.Errorf("the DNS was asked %v", queries)
		}
		if n := len(c.lines(t, reasserted.ID)); n != 1 {
			t.Errorf("the log of the reasserted claim has %d lines, want one", n)
		}
	})
}

// TestKilledCheck kills a process while it checks: another one over the same database
// does the check again when the first one's time is up, and not before; and what the
// killed one says after that counts for nothing. Requirement 60.
func TestKilledCheck(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.with(t, impatient)
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "example.com")
		revive := w.lookups.hang("example.com")
		if c.checkDNS(t, claim.ID, "") {
			t.Fatal("a claim is verified by a server that does not answer")
		}
		eventually(t, "the check runs", func() bool { return w.lookups.hanging() > 0 })

		second := &world{
			t: w.t, url: w.url, db: dbtest.Open(t, w.url, w.clock), clock: w.clock, keys: w.keys, engine: w.engine, outside: w.outside,
			lookups: newLookups(w.outside.DNS.Addr()), issuer: w.issuer, account: w.account, identity: w.identity,
		}
		second.start(t)
		c.publish(t, claim, "example.com")
		w.clock.Advance(14 * time.Second)
		second.runJobs(t)
		if n := len(c.lines(t, claim.ID)); n != 0 {
			t.Errorf("the check was taken over before its time was up: the log has %d lines", n)
		}
		w.clock.Advance(time.Second)
		second.runJobs(t)
		c.mustStatus(t, claim.ID, telamon.ClaimVerified)
		c.mustLog(t, claim.ID, telamon.LogSuccess, telamon.MethodDNS, "claim successfully verified")
		verified := c.look(t, claim.ID)

		// The first one was not dead after all.
		w.outside.DNS.Clear()
		w.outside.DNS.Forget()
		revive()
		eventually(t, "the first check looked", func() bool { return len(w.outside.DNS.Queries()) > 0 })
		if again := c.look(t, claim.ID); *again != *verified || len(c.lines(t, claim.ID)) != 1 {
			t.Errorf("the check that was taken over still changed the claim: %+v, before %+v", again, verified)
		}
	})
}

// TestWait waits for a check whose client has gone, and not for longer than it may.
func TestWait(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.with(t, impatient)
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "example.com")
		revive := w.lookups.hang("example.com")
		if c.checkDNS(t, claim.ID, "") {
			t.Fatal("a claim is verified by a server that does not answer")
		}
		eventually(t, "the check runs", func() bool { return w.lookups.hanging() > 0 })
		if err := w.ra.Wait(gone(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("while the check runs, Wait reports %v", err)
		}
		revive()
		must(t, w.ra.Wait(t.Context()))
		if n := len(c.lines(t, claim.ID)); n != 1 {
			t.Errorf("after it the log has %d lines, want that of the check", n)
		}
	})
}

// TestStoppedRunner stops a process in the middle of a follow-up: that is no failure of
// the domain, and is done again.
func TestStoppedRunner(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "example.com")
		c.checkDNS(t, claim.ID, "")
		w.clock.Advance(30 * time.Second)
		revive := w.lookups.hang("example.com")
		defer revive()
		ctx, stop := context.WithCancel(t.Context())
		r := w.newRunner(t)
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		eventually(t, "the follow-up runs", func() bool { return w.lookups.hanging() > 0 })
		stop()
		running.Wait()
		revive()
		if n := len(c.lines(t, claim.ID)); n != 1 {
			t.Errorf("the log has %d lines, want none of the check that was stopped", n)
		}
		c.publish(t, claim, "example.com")
		w.clock.Advance(15 * time.Second)
		w.runJobs(t)
		c.mustStatus(t, claim.ID, telamon.ClaimVerified)
	})
}

// TestCheckThatKills has a check that is cut short each time: it is given up, and does
// not take down one process after the other for ever.
func TestCheckThatKills(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), clockAt(t, now))
	c := w.customer(t, validated(), 0)
	claim := c.claim(t, "example.com")
	revive := w.lookups.hang("example.com")
	defer revive()
	ctx, goAway := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() { _, _ = w.ra.CheckDNS(ctx, c.actor(), claim.ID, nil) })
	begun := 0
	for ; begun < 50; begun++ {
		jobs, err := w.db.Jobs(t.Context(), store.JobClaimCheck, 1)
		must(t, err)
		if len(jobs) == 0 && begun > 0 {
			break
		}
		eventually(t, "the check runs or was given up", func() bool {
			jobs, err := w.db.Jobs(t.Context(), store.JobClaimCheck, 1)
			must(t, err)
			return w.lookups.hanging() > begun || begun > 0 && len(jobs) == 0
		})
		w.clock.Advance(15 * time.Second)
		ctx, stop := context.WithCancel(t.Context())
		r := w.newRunner(t)
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		eventually(t, "the check runs again or was given up", func() bool {
			return w.lookups.hanging() > begun+1 || r.ending.Load() > 0
		})
		stop()
		running.Wait()
	}
	goAway()
	asking.Wait()
	if begun < 3 || begun > 12 {
		t.Errorf("the check was begun %d times, want a few", begun)
	}
	if !strings.Contains(w.log.String(), "given up") {
		t.Error("nobody is told that a check was given up")
	}
}

// TestDeadServers has a thousand checks that wait for dead servers, of requests and of
// the background: a live domain is verified as fast as if there were none.
func TestDeadServers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const dead = 1000
		w.with(t, impatient)
		c := w.customer(t, validated(), 0)
		live := c.claim(t, "live.example.org")
		c.checkDNS(t, live.ID, "")
		eventually(t, "the first check of the live domain ended", func() bool { return len(c.lines(t, live.ID)) == 1 })
		revive := w.lookups.hang("example.com")
		defer revive()
		w.clock.Advance(29 * time.Second)
		for i := range dead {
			claim := c.claim(t, fmt.Sprintf("a%d.example.com", i))
			args := fmt.Sprintf(`{"question":{"method":"dns","kind":"domain","name":%q,"adn":%[1]q},"round":1,"repeat":1}`, claim.Name)
			must(t, w.db.PutJob(t.Context(), store.Job{Kind: store.JobClaimCheck, Key: claim.ID.String(), Args: []byte(args), RunAt: w.clock.Now()}))
		}
		requested := c.claim(t, "requested.example.org")
		c.publish(t, live, "live.example.org")
		c.publish(t, requested, "requested.example.org")
		w.clock.Advance(time.Second)

		r := w.newRunner(t)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		defer running.Wait()
		defer stop()
		eventually(t, "the live domain was verified beside the dead ones", func() bool {
			return c.look(t, live.ID).Status == telamon.ClaimVerified
		})
		eventually(t, "all dead ones wait", func() bool { return w.lookups.hanging() >= dead })
		began := time.Now()
		w.ra.CheckDNS(t.Context(), c.actor(), requested.ID, nil)
		eventually(t, "the requested check was done", func() bool { return c.look(t, requested.ID).Status == telamon.ClaimVerified })
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("with %d dead checks a live one takes %s", dead, took)
		} else {
			t.Logf("with %d dead checks a live one takes %s", dead, took)
		}
	})
}
