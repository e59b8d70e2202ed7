package ra_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/ra"
	outside "github.com/telamon-ca/telamon/internal/world"
)

// TestCoverage has what each way of showing control is good for. Requirements 62, 64
// and 76.
func TestCoverage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		actor := c.actor()
		req := request(newKey(t).csr, "device-17")
		req.Policy.SAN.DNSNames = []string{"shop.example.com", "*.shop.example.com"}
		_, err := w.ra.Issue(t.Context(), actor, req)
		mustBe(t, err, fault.Invalid, "name_not_covered")
		mustName(t, err, "shop.example.com", "*.shop.example.com")
		mustKeepFields(t, w.mustAudit(t, actor, "certificate.issue", "", "name_not_covered"), err)

		byDNS := c.verify(t, "shop.example.com")
		c.mustIssue(t, "shop.example.com", "a.b.shop.example.com", "*.shop.example.com")
		c.mustIssue(t, "SHOP.example.com", "*.a.shop.example.com")
		c.mustNotCover(t, "example.com", "*.example.com", "myshop.example.com")
		c.mustNotCover(t, "shop.example.com.evil.org")
		_, err = c.tryNames(t, "shop.example.com", "example.org", "a.shop.example.com")
		mustName(t, err, "example.org")

		byHTTP := c.claim(t, "http.example.org")
		c.serve(t, byHTTP, "http.example.org")
		if !c.checkHTTP(t, byHTTP.ID, "http") {
			t.Fatal("the file does not verify")
		}
		c.mustIssue(t, "http.example.org", "a.shop.example.com")
		c.mustNotCover(t, "a.http.example.org", "*.http.example.org", "example.org")

		byAlias := c.claim(t, "alias.example.org")
		w.record(t, "alias.example.org", "CNAME", "hosting.example.net")
		c.publish(t, byAlias, "hosting.example.net")
		if !c.checkDNS(t, byAlias.ID, "") {
			t.Fatal("the alias does not verify")
		}
		if e := c.lastLine(t, byAlias.ID).Evidence; !slices.Equal(e.Through, []string{"hosting.example.net"}) {
			t.Errorf("the evidence is %+v, want the CNAME", e)
		}
		c.mustIssue(t, "alias.example.org")
		c.mustNotCover(t, "a.alias.example.org", "*.alias.example.org", "hosting.example.net")

		// A tree above makes up for what an exact claim does not cover.
		c.verify(t, "example.org")
		c.mustIssue(t, "a.http.example.org", "*.alias.example.org")
		must(t, w.ra.DeleteClaim(t.Context(), c.actor(), telamon.ClaimDomain, byDNS.ID))
		c.mustNotCover(t, "shop.example.com")

		// What the operator blocks is not certified, whoever showed control of it.
		c.verify(t, "example.com")
		c.mustIssue(t, "shop.example.com")
		_, err = c.tryNames(t, "shop.example.com", "a.blocked.example.com")
		mustBe(t, err, fault.Invalid, "name_not_covered")
		mustName(t, err, "a.blocked.example.com")
		if f := fault.From(err); f.Fields[0].Problem != "is blocked" {
			t.Errorf("the problem is %q", f.Fields[0].Problem)
		}
	})
}

// TestCoveredNames is TestNames once the domain is verified: the names of it are
// certified in each form, and those of others are not. Requirement 76.
func TestCoveredNames(t *testing.T) {
	commonName := func(text string) func(*policy.Request) {
		return func(r *policy.Request) { r.Subject["common_name"] = text }
	}
	uri := func(text string) func(*policy.Request) {
		return func(r *policy.Request) { r.SAN.URIs = []string{text} }
	}
	other := func(id, text string) func(*policy.Request) {
		return func(r *policy.Request) { r.SAN.OtherNames = []policy.TypeAndValue{{Type: id, Value: text}} }
	}
	const upn, srv = "1.3.6.1.4.1.311.20.2.3", "1.3.6.1.5.5.7.8.7"
	tests := []struct {
		name    string
		change  func(*policy.Request)
		covered bool
	}{
		{"a host", commonName("www.example.com"), true},
		{"a host between blanks", commonName(" www.example.com "), true},
		{"a wildcard", commonName("*.example.com"), true},
		{"another host", commonName("www.example.org"), false},
		{"a mailbox in the common name", commonName("alice@example.com"), true},
		{"another mailbox in the common name", commonName("alice@example.org"), false},
		{"a host and another one", commonName("alice@example.org/www.example.com"), false},
		{"an e-mail address", func(r *policy.Request) { r.SAN.Emails = []string{"alice@mail.example.com"} }, true},
		{"another e-mail address", func(r *policy.Request) { r.SAN.Emails = []string{"alice@example.org"} }, false},
		{"a subject's e-mail address", func(r *policy.Request) { r.Subject["email"] = "alice@example.com" }, true},
		{"another subject's e-mail address", func(r *policy.Request) { r.Subject["email"] = "alice@example.org" }, false},
		{"a URI", uri("https://user@www.example.com:8443/a?b=example.org"), true},
		{"another URI", uri("https://www.example.com@example.org/"), false},
		{"a URI of a mailbox", uri("mailto:alice@example.com"), true},
		{"another URI of a mailbox", uri("mailto:alice@example.org"), false},
		{"a URI of two mailboxes", uri("mailto:alice@example.com,bob@example.org"), false},
		{"a SIP host", uri("sip:sip.example.com"), true},
		{"a SIP host with a port", uri("sip:sip.example.com:5061"), true},
		{"another SIP host", uri("sip:sip.example.org"), false},
		{"a SIP user", uri("sip:alice@example.com"), true},
		{"a SIP address", uri("sip:192.0.2.1"), false},
		{"a URN", uri("urn:oid:1.2.3"), true},
		{"a principal", other(upn, "alice@example.com"), true},
		{"another principal", other(upn, "alice@corp.example.org"), false},
		{"a service", other(srv, "_mail.example.com"), true},
		{"another service", other(srv, "_mail.example.org"), false},
		{"a service without a label", other(srv, "mail.example.com"), false},
		{"an address", func(r *policy.Request) { r.SAN.IPAddresses = []string{"127.0.0.1"} }, false},
	}
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(anyName...), 0)
		c.verify(t, "example.com")
		key := newKey(t)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				req := request(key.csr, "device-17")
				req.Policy.SAN.DNSNames = nil
				tt.change(&req.Policy)
				_, err := w.ra.Issue(t.Context(), c.actor(), req)
				if tt.covered {
					must(t, err)
					return
				}
				mustBe(t, err, fault.Invalid, "name_not_covered")
			})
		}
	})
}

// TestReuse has the second before and the one after the end of verifications, which are
// judged when something is issued. Requirements 70 and 71.
func TestReuse(t *testing.T) {
	tests := []struct{ verified, ends string }{
		{"2026-11-22T10:00:00Z", "2027-03-15T00:00:00Z"}, // 113 days: the rule becomes shorter before 200 have passed
		{"2026-12-05T00:00:01Z", "2027-03-15T00:00:01Z"}, // 100 days, though it was verified under the rule of 200
		{"2027-04-01T00:00:00Z", "2027-07-10T00:00:00Z"}, // 100 days
		{"2029-01-01T00:00:00Z", "2029-03-15T00:00:00Z"}, // the rule becomes shorter
		{"2029-03-10T12:00:00Z", "2029-03-20T12:00:00Z"}, // 10 days
		{"2029-06-01T00:00:00Z", "2029-06-11T00:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.verified, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				c := w.customer(t, validated(), 0)
				w.at(t, date(t, tt.verified))
				claim := c.verify(t, "example.com")
				end := date(t, tt.ends)
				if !claim.ExpiresAt.Equal(end) {
					t.Errorf("the verification ends %s, want %s", claim.ExpiresAt, end)
				}
				w.at(t, end.Add(-time.Second))
				c.mustIssue(t, "example.com")
				c.mustStatus(t, claim.ID, telamon.ClaimVerified)
				w.clock.Advance(time.Second)
				c.mustNotCover(t, "example.com")
				c.mustStatus(t, claim.ID, telamon.ClaimPending)
				stored, err := w.db.AnyClaim(t.Context(), claim.ID)
				must(t, err)
				if stored.Status != telamon.ClaimVerified {
					t.Error("the claim was made pending before; this does not prove that the end is judged at issuance")
				}
			})
		})
	}
}

// strict is a service as a public CA's, with the names' validation.
func strict(change func(*iam.ServiceSpec), changes ...string) iam.ServiceSpec {
	spec := validated(changes...)
	change(&spec)
	return spec
}

// TestRequirement79CAAAtIssuance has the records that let the platform issue, and those
// that forbid it.
func TestRequirement79CAAAtIssuance(t *testing.T) {
	const critical, iodef = `128 unknown "x"`, `128 iodef "mailto:a@example.com"`
	tests := []struct {
		name    string
		records []string
		forbids []string // of shop.example.com, *.shop.example.com and a.shop.example.com
	}{
		{"none", nil, nil},
		{"us", []string{`0 issue "ca.example.net"`}, nil},
		{"us in other letters", []string{`0 ISSUE "CA.Example.NET"`}, nil},
		{"others", []string{`0 issue "ca.example.org"`}, []string{"shop.example.com", "*.shop.example.com", "a.shop.example.com"}},
		{"us among others", []string{`0 issue "ca.example.org"`, `0 issue "ca.example.net"`}, nil},
		{"nobody", []string{`0 issue ";"`}, []string{"shop.example.com", "*.shop.example.com", "a.shop.example.com"}},
		{"wildcards by others", []string{`0 issue "ca.example.net"`, `0 issuewild "ca.example.org"`}, []string{"*.shop.example.com"}},
		{"wildcards alone", []string{`0 issue ";"`, `0 issuewild "ca.example.net"`}, []string{"shop.example.com", "a.shop.example.com"}},
		{"an unknown property", []string{`0 unknown "x"`}, nil},
		{"an unknown critical property", []string{`0 issue "ca.example.net"`, critical}, []string{"shop.example.com", "*.shop.example.com", "a.shop.example.com"}},
		{"a known critical property", []string{iodef}, nil},
		{"our account", []string{`0 issue "ca.example.net; accounturi=ACCOUNT"`}, nil},
		{"another account", []string{`0 issue "ca.example.net; accounturi=acct:acc_x@ca.example.net"`}, []string{"shop.example.com", "*.shop.example.com", "a.shop.example.com"}},
		{"our method", []string{`0 issue "ca.example.net; validationmethods=ca-tbr-18,ca-tbr-7"`}, nil},
		{"another method", []string{`0 issue "ca.example.net; validationmethods=ca-tbr-18"`}, []string{"shop.example.com", "*.shop.example.com", "a.shop.example.com"}},
	}
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, strict(func(s *iam.ServiceSpec) { s.StrictCAA = true }), 0)
		c.verify(t, "example.com")
		account := "acct:" + w.account.String() + "@" + issuerDomain
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				w.outside.DNS.Clear()
				w.record(t, "example.com", "CAA", `0 issue "ca.example.org"`) // further up, and so without effect
				for _, value := range tt.records {
					w.record(t, "shop.example.com", "CAA", strings.ReplaceAll(value, "ACCOUNT", account))
				}
				if tt.records == nil {
					w.outside.DNS.Clear()
				}
				_, err := c.tryNames(t, "shop.example.com", "*.shop.example.com", "a.shop.example.com")
				if tt.forbids == nil {
					if err != nil {
						t.Errorf("refused: %v, %+v", err, fault.From(err).Fields)
					}
					return
				}
				mustBe(t, err, fault.Invalid, "caa_forbids")
				mustName(t, err, tt.forbids...)
			})
		}
		// A host in the subject alone is one all the same.
		w.outside.DNS.Clear()
		w.record(t, "example.com", "CAA", `0 issue "ca.example.org"`)
		req := request(newKey(t).csr, "www.example.com")
		req.Policy.SAN.DNSNames = nil
		err := errorOf(w.ra.Issue(t.Context(), c.actor(), req))
		mustBe(t, err, fault.Invalid, "caa_forbids")
		mustName(t, err, "www.example.com")
		// It is for services that demand it.
		w.customer(t, validated(), 0).mustIssue(t, "www.example.com")
		// An issue record further down is found at the target of a CNAME.
		w.outside.DNS.Clear()
		w.record(t, "shop.example.com", "CNAME", "hosting.example.org")
		w.record(t, "hosting.example.org", "CAA", `0 issue "ca.example.org"`)
		_, err = c.tryNames(t, "shop.example.com")
		mustBe(t, err, fault.Invalid, "caa_forbids")
	})
}

// TestRequirement80CAALookupFails has lookups that fail: they forbid, unless the zone is
// proven to be unsigned, which the evidence tells.
func TestRequirement80CAALookupFails(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, strict(func(s *iam.ServiceSpec) { s.StrictCAA = true }), 0)
		c.verify(t, "example.com")
		w.outside.DNS.FailType("shop.example.com", "CAA", outside.ServFail)
		w.outside.DNS.Forget()
		_, err := c.tryNames(t, "shop.example.com")
		mustBe(t, err, fault.Invalid, "caa_forbids")
		mustName(t, err, "shop.example.com")
		if f := fault.From(err); !strings.Contains(f.Fields[0].Problem, "SERVFAIL") {
			t.Errorf("the problem is %q", f.Fields[0].Problem)
		}
		asked := 0
		for _, q := range w.outside.DNS.Queries() {
			if q.Name == "shop.example.com" && q.Type == "CAA" {
				asked++
			}
		}
		if asked < 2 {
			t.Errorf("the records were asked for %d times, want another try", asked)
		}
		w.lookups.mu.Lock()
		w.lookups.proven["shop.example.com"] = true
		w.lookups.mu.Unlock()
		serial := c.mustIssue(t, "shop.example.com")
		evidence, err := w.ra.CertificateEvidence(t.Context(), operator, serial)
		must(t, err)
		if caa := evidence.Names[0].CAA; caa == nil || !caa.Allowed || !strings.Contains(caa.Problem, "failed twice") {
			t.Errorf("the evidence of the lookup is %+v", caa)
		}
		// A request that ends while its names are looked up is not a refusal of them.
		revive := w.lookups.hang("example.com")
		defer revive()
		err = errorOf(w.ra.Issue(gone(t), c.actor(), request(newKey(t).csr, "shop.example.com")))
		if err == nil || fault.Is(err, fault.Invalid) {
			t.Errorf("a request that has ended reports %v", err)
		}
	})
}

// TestRequirement103EvidenceOfEachCertificate reads how the names of a certificate were
// validated, after the claims are gone.
func TestRequirement103EvidenceOfEachCertificate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, strict(func(s *iam.ServiceSpec) { s.StrictCAA = true }), 0)
		claim := c.claim(t, "shop.example.com")
		c.publish(t, claim, "_telamon.example.com")
		if !c.checkDNS(t, claim.ID, "_telamon.example.com") {
			t.Fatal("the record does not verify")
		}
		byHTTP := c.claim(t, "www.shop.example.com")
		c.serve(t, byHTTP, "www.shop.example.com")
		w.clock.Advance(time.Hour)
		if !c.checkHTTP(t, byHTTP.ID, "http") {
			t.Fatal("the file does not verify")
		}
		tree, exact := c.look(t, claim.ID), c.look(t, byHTTP.ID)
		w.record(t, "a.shop.example.com", "CAA", `0 issue "ca.example.net; validationmethods=ca-tbr-7"`)
		w.record(t, "www.shop.example.com", "CAA", `0 issue "ca.example.net; validationmethods=ca-tbr-7"`)
		closest := c.mustIssue(t, "*.shop.example.com")
		serial := c.mustIssue(t, "a.shop.example.com", "www.shop.example.com")
		for _, id := range []telamon.ClaimID{claim.ID, byHTTP.ID} {
			must(t, w.ra.DeleteClaim(t.Context(), c.actor(), telamon.ClaimDomain, id))
		}
		evidence, err := w.ra.CertificateEvidence(t.Context(), operator, serial)
		must(t, err)
		if evidence.Account != w.account || evidence.Certificate.Serial != serial || len(evidence.Names) != 2 {
			t.Fatalf("the evidence is %+v", evidence)
		}
		for i, name := range []string{"a.shop.example.com", "www.shop.example.com"} {
			// The file of www is the closest, but CAA admits the record alone.
			n := evidence.Names[i]
			if n.Name != name || n.Verification != tree.Verification || n.CAA == nil || !n.CAA.Allowed || n.CAA.Found != name ||
				!n.CAA.At.Equal(w.clock.Now()) || n.CAA.GoodTo.Sub(n.CAA.At) != 8*time.Hour {
				t.Errorf("the evidence of %s is %+v with %+v", name, n, n.CAA)
			}
		}
		if len(evidence.Verifications) != 1 {
			t.Fatalf("the evidence has %d validations", len(evidence.Verifications))
		}
		v := evidence.Verifications[0]
		if v.ID != tree.Verification || v.Name != "shop.example.com" || v.ADN != "_telamon.example.com" || v.Method.Rule(v.Kind) != "3.2.2.4.7" ||
			!v.At.Equal(tree.VerifiedAt) || v.Evidence.Records != 1 {
			t.Errorf("the validation is %+v", v)
		}
		if exact.Verification == tree.Verification {
			t.Error("two claims have one verification")
		}
		if _, err := w.ra.CertificateEvidence(t.Context(), operator, closest); err != nil {
			t.Errorf("the evidence of a wildcard: %v", err)
		}
		_, err = w.ra.CertificateEvidence(t.Context(), c.actor(), serial)
		if f := fault.From(err); f == nil || f.Kind != fault.Denied {
			t.Errorf("a customer reads the evidence: %v", err)
		}
		none := serial
		none[len(none)-1] ^= 1
		_, err = w.ra.CertificateEvidence(t.Context(), operator, none)
		mustBe(t, err, fault.NotFound, "certificate_not_found")
		// A certificate of a service that validates nothing has none.
		plain := w.customer(t, unlimited(), 0).issue(t, "www.example.com")
		if e, err := w.ra.CertificateEvidence(t.Context(), operator, plain); err != nil || len(e.Names) != 0 {
			t.Errorf("the evidence of a certificate without validation is %+v, %v", e, err)
		}
	})
}

// TestRequirement77ValidityByTheDay has the longest validity on the last second of a
// rule and on the first of the next.
func TestRequirement77ValidityByTheDay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, strict(func(s *iam.ServiceSpec) { s.StrictContent = true },
			slices.Concat(domainAlone, []string{`"secondsmax": 7776000`, `"secondsmax": 34000000`})...), 0)
		try := func(days int, less time.Duration) (telamon.Serial, error) {
			req := request(newKey(t).csr, "shop.example.com")
			if days != 0 {
				req.Policy.NotBefore = w.clock.Now().Unix()
				req.Policy.NotAfter = w.clock.Now().Add(time.Duration(days)*day - less).Unix()
			}
			return w.ra.Issue(t.Context(), c.actor(), req)
		}
		for _, tt := range []struct {
			at   string
			days int
		}{{"2027-03-14T23:59:59Z", 200}, {"2027-03-15T00:00:00Z", 100}, {"2029-03-14T23:59:59Z", 100}, {"2029-03-15T00:00:00Z", 47}} {
			w.at(t, date(t, tt.at))
			if claim := c.claim(t, "shop.example.com"); claim.Status != telamon.ClaimVerified {
				c.verify(t, "shop.example.com")
			}
			serial, err := try(tt.days, time.Second)
			if err != nil {
				t.Fatalf("%s: %d days are refused: %v", tt.at, tt.days, err)
			}
			_, cert := c.certificate(t, serial)
			if got := cert.NotAfter.Sub(cert.NotBefore) + time.Second; got != time.Duration(tt.days)*day {
				t.Errorf("%s: the certificate is good for %s", tt.at, got)
			}
			_, err = try(tt.days, 0)
			mustBe(t, err, fault.Invalid, "policy")
			mustName(t, err, "validity.not_after")
			serial, err = try(0, 0)
			must(t, err)
			_, cert = c.certificate(t, serial)
			if got := cert.NotAfter.Sub(cert.NotBefore) + time.Second; got != time.Duration(tt.days-1)*day {
				t.Errorf("%s: without a wish the certificate is good for %s, want a day less than the most", tt.at, got)
			}
		}
	})
}

// TestRequirement84RekeyNeedsValidDomains rekeys a certificate: its names are judged as
// on the day.
func TestRequirement84RekeyNeedsValidDomains(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, strict(func(s *iam.ServiceSpec) { s.StrictCAA = true }), 0)
		claim := c.verify(t, "shop.example.com")
		serial := c.mustIssue(t, "shop.example.com")
		rekey := func() (telamon.Serial, error) {
			w.clock.Advance(time.Second)
			return w.ra.Rekey(t.Context(), c.actor(), serial, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		}
		again, err := rekey()
		must(t, err)
		if e, err := w.ra.CertificateEvidence(t.Context(), operator, again); err != nil || len(e.Names) != 1 || e.Names[0].Verification != claim.Verification ||
			!e.Names[0].CAA.At.Equal(w.clock.Now()) {
			t.Errorf("the evidence of the rekeyed certificate is %+v, %v", e, err)
		}
		w.record(t, "shop.example.com", "CAA", `0 issue ";"`)
		mustBe(t, errorOf(rekey()), fault.Invalid, "caa_forbids")
		w.outside.DNS.Clear()
		must(t, w.ra.DeleteClaim(t.Context(), c.actor(), telamon.ClaimDomain, claim.ID))
		mustBe(t, errorOf(rekey()), fault.Invalid, "name_not_covered")
	})
}

// TestNoPerspectives has services that demand corroboration of a platform that has no
// remote perspectives: nothing is verified for them and nothing is issued, whatever else
// they demand. Requirement 69.
func TestNoPerspectives(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.customer(t, validated(), 0)
		plain.verify(t, "example.com") // of the same identity, and seen from here alone
		for name, change := range map[string]func(*iam.ServiceSpec){
			"with validation":         func(s *iam.ServiceSpec) { s.StrictMPIC = true },
			"with CAA":                func(s *iam.ServiceSpec) { s.StrictMPIC, s.StrictCAA = true, true },
			"by itself":               func(s *iam.ServiceSpec) { s.StrictMPIC, s.DomainValidation = true, false },
			"with CAA and no further": func(s *iam.ServiceSpec) { s.StrictMPIC, s.StrictCAA, s.DomainValidation = true, true, false },
		} {
			t.Run(name, func(t *testing.T) {
				c := w.customer(t, strict(change), 0)
				c.mustNotCover(t, "www.example.com")
				claim := c.claim(t, strings.ReplaceAll(name, " ", "-")+".example.com")
				c.publish(t, claim, claim.Name)
				if c.checkDNS(t, claim.ID, "") {
					t.Error("a claim is verified without perspectives")
				}
				c.mustLog(t, claim.ID, telamon.LogError, telamon.MethodDNS, "Only 0 remote perspectives are configured; 4 are needed.")
			})
		}
		plain.mustIssue(t, "www.example.com")
	})
}

// dissenting is a perspective that sees nothing.
type dissenting struct{ dcv.Perspective }

func (dissenting) Validate(context.Context, dcv.Question) (dcv.Finding, error) {
	return dcv.Finding{Problem: "nothing is there"}, nil
}

// TestPerspectives has a service that demands corroboration of a platform with four
// remote perspectives, of which one may disagree: what a plain service verified does not
// do for it. Requirement 69.
func TestPerspectives(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		dissenters := 0
		w.remotes = func(local *dcv.Engine) (remotes []perspective.Remote) {
			for i := range 4 {
				r := perspective.Remote{Name: "agent-" + strconv.Itoa(i), Region: perspective.Regions[i%2], Perspective: local}
				if i < dissenters {
					r.Perspective = dissenting{local}
				}
				remotes = append(remotes, r)
			}
			return remotes
		}
		w.start(t)
		plain := w.customer(t, validated(), 0)
		claim := plain.verify(t, "example.com")
		c := w.customer(t, strict(func(s *iam.ServiceSpec) { s.StrictMPIC, s.StrictCAA = true, true }), 0)
		c.mustNotCover(t, "www.example.com")

		dissenters = 2
		w.start(t)
		claim = c.reassert(t, claim.ID)
		c.publish(t, claim, claim.Name)
		if c.checkDNS(t, claim.ID, "") {
			t.Error("two of four disagree, and the claim is verified anew")
		}
		c.mustLog(t, claim.ID, telamon.LogError, telamon.MethodDNS, "Seen from 2 of 4 vantage points; 3 needed.")

		dissenters = 1
		w.start(t)
		if !c.checkDNS(t, claim.ID, "") {
			t.Fatal("one of four disagrees, and the claim is not verified")
		}
		serial := c.mustIssue(t, "www.example.com")
		evidence, err := w.ra.CertificateEvidence(t.Context(), operator, serial)
		must(t, err)
		seen := evidence.Verifications[0].Evidence
		if seen.Quorum != "3/4" || !seen.Corrob || len(seen.Views) != 4 || seen.Views[0].Agrees || evidence.Names[0].CAA.Quorum != "4/4" {
			t.Errorf("the evidence is %+v, with CAA %+v", seen, evidence.Names[0].CAA)
		}
		w.at(t, time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC)) // five are needed
		mustBe(t, errorOf(c.tryNames(t, "www.example.com")), fault.Invalid, "caa_forbids")
	})
}

// TestTryOut asks what would be refused, and does nothing else.
func TestTryOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, strict(func(s *iam.ServiceSpec) { s.StrictCAA = true }), 0)
		try := func() error { return w.ra.Check(t.Context(), c.actor(), request(newKey(t).csr, "shop.example.com")) }
		before := c.standing(t)
		err := try()
		mustBe(t, err, fault.Invalid, "name_not_covered")
		mustName(t, err, "shop.example.com") // once, though it is in two places
		c.verify(t, "shop.example.com")
		must(t, try())
		w.record(t, "shop.example.com", "CAA", `0 issue ";"`)
		mustBe(t, try(), fault.Invalid, "caa_forbids")
		c.mustStand(t, before)
	})
}
