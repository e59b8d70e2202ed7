package ra_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// TestRekey certifies another key for the content and end of a certificate.
func TestRekey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 5)
		req := request(newKey(t).csr, "www.example.com")
		req.Policy.NotAfter = w.clock.Now().Add(30 * 24 * time.Hour).Unix()
		old, err := w.ra.Issue(t.Context(), c.actor(), req)
		must(t, err)
		w.clock.Advance(time.Hour)

		key, actor := newKey(t), c.actor()
		serial, err := w.ra.Rekey(t.Context(), actor, old, &ra.RekeyRequest{PublicKey: key.csr, HashAlgorithm: "sha-384"})
		must(t, err)
		entry, cert := c.certificate(t, serial)
		_, oldCert := c.certificate(t, old)
		content, err := tbs.ContentOf(cert.Raw)
		must(t, err)
		if oldContent, err := tbs.ContentOf(oldCert.Raw); err != nil || !slices.Equal(content, oldContent) {
			t.Errorf("the content differs, %v", err)
		}
		if spki, err := tbs.ParsePublicKey(key.public); err != nil || entry.SPKIHash != spki.Hash {
			t.Errorf("the certificate is for another key than was sent, %v", err)
		}
		if !cert.NotBefore.Equal(w.clock.Now()) || !cert.NotAfter.Equal(oldCert.NotAfter) {
			t.Errorf("the certificate is from %s to %s, want from now to %s", cert.NotBefore, cert.NotAfter, oldCert.NotAfter)
		}
		if entry.RekeyOf == nil || *entry.RekeyOf != old || cert.SignatureAlgorithm == oldCert.SignatureAlgorithm {
			t.Errorf("it is a rekey of %v, and signed by %s", entry.RekeyOf, cert.SignatureAlgorithm)
		}
		if was, _ := c.certificate(t, old); was.Status != telamon.StatusIssued {
			t.Errorf("the old certificate is %s", was.Status)
		}
		if got, want := c.standing(t), (standing{issued: 2, quota: 3, listed: 2, expiring: 2}); got != want {
			t.Errorf("the customer stands at %+v, want %+v", got, want)
		}
		event := w.mustAudit(t, actor, "certificate.rekey", serial.String(), "ok")
		var facts struct {
			RekeyOf telamon.Serial `json:"rekey_of"`
		}
		if err := json.Unmarshal(event.After, &facts); err != nil || facts.RekeyOf != old {
			t.Errorf("the audit event says %s, %v", event.After, err)
		}

		// A rekey can be rekeyed, and nothing forbids to keep the key.
		third, err := w.ra.Rekey(t.Context(), c.actor(), serial, &ra.RekeyRequest{PublicKey: key.csr})
		must(t, err)
		if again, _ := c.certificate(t, third); again.SPKIHash != entry.SPKIHash || *again.RekeyOf != serial || !again.NotAfter.Equal(entry.NotAfter) {
			t.Errorf("the rekey of the rekey is %+v", again)
		}
	})
}

// TestRekeyRefusals leaves nothing but an audit event that names the certificate.
func TestRekeyRefusals(t *testing.T) {
	key, other := newKey(t), newKey(t)
	tests := []struct {
		name   string
		change func(t *testing.T, c *customer, serial *telamon.Serial, req *ra.RekeyRequest)
		kind   fault.Kind
		code   string
		paths  []string
	}{
		{"no key", func(_ *testing.T, _ *customer, _ *telamon.Serial, req *ra.RekeyRequest) { req.PublicKey = "" },
			fault.Invalid, "policy", []string{"public_key"}},
		{"a key in another form", func(_ *testing.T, _ *customer, _ *telamon.Serial, req *ra.RekeyRequest) { req.PublicKey = key.public },
			fault.Invalid, "policy", []string{"public_key"}},
		{"a CSR with a wrong signature", func(t *testing.T, _ *customer, _ *telamon.Serial, req *ra.RekeyRequest) {
			req.PublicKey = spoilt(t, key.csr)
		}, fault.Invalid, "policy", []string{"public_key"}},
		{"a wrong proof of possession", func(_ *testing.T, _ *customer, _ *telamon.Serial, req *ra.RekeyRequest) {
			req.PublicKeySignature = other.signature
		}, fault.Invalid, "policy", []string{"public_key_signature"}},
		{"an algorithm that the policy forbids", func(_ *testing.T, _ *customer, _ *telamon.Serial, req *ra.RekeyRequest) {
			req.SignatureAlgorithm = "RSA"
		}, fault.Invalid, "policy", []string{"signature.algorithm"}},
		{"an unknown certificate", func(_ *testing.T, c *customer, serial *telamon.Serial, _ *ra.RekeyRequest) {
			*serial = telamon.NewSerial(c.w.clock.Now())
		}, fault.NotFound, "certificate_not_found", nil},
		{"another pair's certificate", func(t *testing.T, c *customer, serial *telamon.Serial, _ *ra.RekeyRequest) {
			*serial = c.w.customer(t, unlimited(), 0).issue(t, "www.example.com")
		}, fault.NotFound, "certificate_not_found", nil},
		{"a revoked certificate", func(t *testing.T, c *customer, serial *telamon.Serial, _ *ra.RekeyRequest) {
			must(t, c.w.ra.Revoke(t.Context(), c.actor(), *serial, ra.Revocation{Reason: telamon.ReasonSuperseded}))
		}, fault.Invalid, "not_issued", nil},
		{"names that the policy of today forbids", func(t *testing.T, c *customer, _ *telamon.Serial, _ *ra.RekeyRequest) {
			c.change(t, metered(`^[a-z0-9.-]+$`, `^device-[0-9]+$`))
		}, fault.Invalid, "policy", []string{"subject_dn.common_name"}},
		{"a validity that is too long today", func(t *testing.T, c *customer, _ *telamon.Serial, _ *ra.RekeyRequest) {
			c.change(t, metered(`7776000`, `86400`))
		}, fault.Invalid, "policy", []string{"validity.not_after"}},
		{"a key that the policy of today forbids", func(t *testing.T, c *customer, _ *telamon.Serial, _ *ra.RekeyRequest) {
			c.change(t, metered(`[256]`, `[384]`))
		}, fault.Invalid, "policy", []string{"public_key"}},
		{"content that the policy of today changes", func(t *testing.T, c *customer, _ *telamon.Serial, _ *ra.RekeyRequest) {
			c.change(t, metered(`"list": ["1.3.6.1.5.5.7.3.1"]`, `"list": ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]`))
		}, fault.Invalid, "content_changed", nil},
		{"names that need a claim today", func(t *testing.T, c *customer, _ *telamon.Serial, _ *ra.RekeyRequest) {
			spec := metered()
			spec.DomainValidation = true
			c.change(t, spec)
		}, fault.Invalid, "name_not_covered", []string{"www.example.com"}},
	}
	each(t, func(t *testing.T, w *world) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := w.customer(t, metered(), 5)
				serial, req := c.issue(t, "www.example.com"), &ra.RekeyRequest{PublicKey: key.csr}
				tt.change(t, c, &serial, req)
				before, actor := c.standing(t), c.actor()
				_, err := w.ra.Rekey(t.Context(), actor, serial, req)
				mustBe(t, err, tt.kind, tt.code)
				mustName(t, err, tt.paths...)
				c.mustStand(t, before)
				w.mustAudit(t, actor, "certificate.rekey", serial.String(), tt.code)
			})
		}
	})
}

// TestRekeyByTheTime rekeys until the certificate's end, whatever the policy's
// shortest validity, and not after.
func TestRekeyByTheTime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 5)
		serial := c.issue(t, "www.example.com") // for 7776000 seconds
		rekey := func() error {
			_, err := w.ra.Rekey(t.Context(), c.actor(), serial, &ra.RekeyRequest{PublicKey: newKey(t).csr})
			return err
		}
		w.clock.Advance((7776000 - 60) * time.Second)
		if err := rekey(); err != nil {
			t.Errorf("a minute before the end, which is the shortest validity: %v", err)
		}
		w.clock.Advance(59 * time.Second)
		if err := rekey(); err != nil {
			t.Errorf("a second before the end: %v", err)
		}
		w.clock.Advance(time.Second)
		mustBe(t, rekey(), fault.Invalid, "not_issued")
		if s := c.standing(t); s.issued != 3 || s.quota != 2 {
			t.Errorf("the customer stands at %+v", s)
		}
	})
}

// TestRekeyOfAFixedTerm rekeys where the policy has one validity for all, and
// refuses as ever what is requested anew for less.
func TestRekeyOfAFixedTerm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(`"secondsmin": 60`, `"secondsmin": 7776000`), 5)
		first := c.issue(t, "www.example.com")
		w.clock.Advance(time.Hour)
		second, err := w.ra.Rekey(t.Context(), c.actor(), first, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		must(t, err)
		w.clock.Advance(time.Hour)
		third, err := w.ra.Rekey(t.Context(), c.actor(), second, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		must(t, err)
		was, _ := c.certificate(t, first)
		is, _ := c.certificate(t, third)
		if !is.NotAfter.Equal(was.NotAfter) || !is.NotBefore.Equal(w.clock.Now()) {
			t.Errorf("the rekey is from %s to %s, want from now to %s", is.NotBefore, is.NotAfter, was.NotAfter)
		}
		req := request(newKey(t).csr, "www.example.com")
		req.Policy.NotAfter = is.NotAfter.Unix()
		_, err = w.ra.Issue(t.Context(), c.actor(), req)
		mustBe(t, err, fault.Invalid, "policy")
		mustName(t, err, "validity.not_after")
	})
}

// TestRekeyDrawsQuota counts a rekey as an issuance.
func TestRekeyDrawsQuota(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 2)
		serial := c.issue(t, "www.example.com")
		_, err := w.ra.Rekey(t.Context(), c.actor(), serial, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		must(t, err)
		before := c.standing(t)
		_, err = w.ra.Rekey(t.Context(), c.actor(), serial, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		mustBe(t, err, fault.Limited, fault.CodeQuotaReached)
		c.mustStand(t, before)
	})
}

// TestRekeyAfterAHarmlessChange goes by the policy of today, whose version the new
// certificate has.
func TestRekeyAfterAHarmlessChange(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 5)
		old := c.issue(t, "www.example.com")
		c.change(t, metered(`"maxcount": 3`, `"maxcount": 4`))
		serial, err := w.ra.Rekey(t.Context(), c.actor(), old, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		must(t, err)
		was, _ := c.certificate(t, old)
		is, _ := c.certificate(t, serial)
		if is.PolicyVersion == was.PolicyVersion || is.PolicyVersion == "" {
			t.Errorf("the rekey is by policy %q, as the old certificate was", is.PolicyVersion)
		}
		p, err := w.ra.Policy(t.Context(), c.actor())
		if err != nil || p.Version() != is.PolicyVersion {
			t.Errorf("Policy is version %s, %v, want %s", p.Version(), err, is.PolicyVersion)
		}
	})
}
