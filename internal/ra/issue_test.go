package ra_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/ra"
)

// TestIssue issues in each way of sending a public key and looks at all that a
// subscriber, a relying party and an auditor see of it.
func TestIssue(t *testing.T) {
	pkcs8 := []string{`"PKCS10"`, `"PKCS8"`}
	each(t, func(t *testing.T, w *world) {
		key := newKey(t)
		for _, mode := range []struct {
			name      string
			spec      iam.ServiceSpec
			publicKey string
			signature string
		}{
			{"PKCS10", metered(), key.csr, ""},
			{"PKCS10 with a signature too", metered(), key.csr, key.signature},
			{"PKCS10 where possession must be proved", metered(`"OPTIONAL"
}`, `"REQUIRED"
}`), key.csr, ""},
			{"PKCS8", metered(pkcs8...), key.public, ""},
			{"PKCS8 with signature", metered(append(pkcs8, `"OPTIONAL"
}`, `"REQUIRED"
}`)...), key.public, key.signature},
		} {
			t.Run(mode.name, func(t *testing.T) {
				c := w.customer(t, mode.spec, 5)
				req := request(mode.publicKey, "www.example.com")
				req.PublicKeySignature = mode.signature
				actor := c.actor()
				serial, err := w.ra.Issue(t.Context(), actor, req)
				if err != nil {
					t.Fatal(err)
				}
				c.mustHold(t, serial, key)
				if got, want := c.standing(t), (standing{issued: 1, quota: 4, listed: 1, expiring: 1}); got != want {
					t.Errorf("the customer stands at %+v, want %+v", got, want)
				}
				event := w.mustAudit(t, actor, "certificate.issue", serial.String(), "ok")
				var facts struct {
					Issuer telamon.IssuerID
					Policy string
				}
				if err := json.Unmarshal(event.After, &facts); err != nil || facts.Issuer != w.issuer.ID || facts.Policy == "" {
					t.Errorf("the audit event says %s, %v", event.After, err)
				}
			})
		}
	})
}

// mustHold checks a certificate that was issued by template for www.example.com.
func (c *customer) mustHold(t *testing.T, serial telamon.Serial, key *subjectKey) {
	t.Helper()
	w := c.w
	entry, cert := c.certificate(t, serial)
	if entry.Status != telamon.StatusIssued || entry.Pair != c.credential.Pair || entry.Credential != c.credential.ID ||
		entry.Issuer != w.issuer.ID || entry.CRLShard < 0 || entry.CRLShard >= shards || !entry.AcceptedAt.Equal(w.clock.Now()) {
		t.Errorf("the ledger entry is %+v", entry)
	}
	if cert.Subject.CommonName != "www.example.com" || !slices.Equal(cert.Subject.Organization, []string{"Acme K.K."}) ||
		!slices.Equal(cert.DNSNames, []string{"www.example.com"}) {
		t.Errorf("the certificate is for %s and %q", cert.Subject, cert.DNSNames)
	}
	if !key.signer.Public().(*ecdsa.PublicKey).Equal(cert.PublicKey) {
		t.Error("the certificate is for another key")
	}
	if from := w.clock.Now(); !cert.NotBefore.Equal(from) || !cert.NotAfter.Equal(from.Add(7776000*time.Second)) {
		t.Errorf("the certificate is valid from %s to %s, want the most that the policy allows from %s on", cert.NotBefore, cert.NotAfter, from)
	}
	crl := baseURL + "/crl/" + w.issuer.ID.String() + "/" + strconv.Itoa(entry.CRLShard) + ".crl"
	if !slices.Equal(cert.CRLDistributionPoints, []string{crl}) {
		t.Errorf("the CRL is at %q, want %q", cert.CRLDistributionPoints, crl)
	}
	if ca := baseURL + "/ca/" + w.issuer.ID.String() + ".cer"; !slices.Equal(cert.IssuingCertificateURL, []string{ca}) {
		t.Errorf("the issuer is at %q, want %q", cert.IssuingCertificateURL, ca)
	}
	chain, err := w.ra.TrustChain(t.Context(), c.actor())
	if err != nil || len(chain) != 2 {
		t.Fatalf("TrustChain = %d certificates, %v, want the issuing CA and the root", len(chain), err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	between.AddCert(chain[0])
	roots.AddCert(chain[1])
	_, err = cert.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: w.clock.Now(), DNSName: "www.example.com",
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		t.Errorf("the chain does not verify: %v", err)
	}
}

// weakKey returns an RSA key of 2048 bits whose modulus is divisible by three.
func weakKey(t *testing.T) string {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 2000))
	must(t, err)
	n.SetBit(n, 2046, 1).SetBit(n, 0, 1)
	n.Mul(n, big.NewInt(3))
	spki, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
	must(t, err)
	return encodePEM("PUBLIC KEY", spki)
}

// TestRefusals goes through what is wrong with requests. Of a refused one only an
// audit event is left, which says why.
func TestRefusals(t *testing.T) {
	key, other := newKey(t), newKey(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	pkcs8 := []string{`"PKCS10"`, `"PKCS8"`}
	optional := metered(pkcs8...)
	required := metered(append(pkcs8, `"OPTIONAL"
}`, `"REQUIRED"
}`)...)
	forbidden := metered(append(pkcs8, `"OPTIONAL"
}`, `"FORBIDDEN"
}`)...)
	rsaKeys := metered(append(pkcs8, `"key_type": "ECDSA", "allowed_lengths": [256]`, `"key_type": "RSA", "allowed_lengths": [2048]`)...)
	strict := metered()
	strict.DomainValidation = true
	tests := []struct {
		name   string
		spec   iam.ServiceSpec
		change func(*ra.CertificateRequest)
		code   string
		paths  []string
	}{
		{"a forbidden value", metered(), func(r *ra.CertificateRequest) { r.Policy.Subject["common_name"] = "WWW" }, "policy", []string{"subject_dn.common_name"}},
		{"a missing value", metered(), func(r *ra.CertificateRequest) { r.Policy.Subject = nil }, "policy", []string{"subject_dn.common_name"}},
		{"too long", metered(), func(r *ra.CertificateRequest) { r.Policy.NotAfter = 4e9 }, "policy", []string{"validity.not_after"}},
		{"from yesterday", metered(), func(r *ra.CertificateRequest) { r.Policy.NotBefore = 1e9 }, "policy", []string{"validity.not_before"}},
		{"an unknown hash", metered(), func(r *ra.CertificateRequest) { r.Policy.HashAlgorithm = "SHA-1" }, "policy", []string{"signature.hash_algorithm"}},
		{"all at once", metered(), func(r *ra.CertificateRequest) {
			r.Policy.NotAfter, r.Policy.Subject, r.PublicKey = 4e9, nil, ""
		}, "policy", []string{"validity.not_after", "subject_dn.common_name", "public_key"}},
		{"no key", metered(), func(r *ra.CertificateRequest) { r.PublicKey = "" }, "policy", []string{"public_key"}},
		{"no PEM", metered(), func(r *ra.CertificateRequest) { r.PublicKey = "MFkw" }, "policy", []string{"public_key"}},
		{"a bare key for a CSR", metered(), func(r *ra.CertificateRequest) { r.PublicKey = key.public }, "policy", []string{"public_key"}},
		{"a CSR for a bare key", optional, func(r *ra.CertificateRequest) { r.PublicKey = key.csr }, "policy", []string{"public_key"}},
		{"a key of another size", metered(), func(r *ra.CertificateRequest) { r.PublicKey = keyOf(t, p384).csr }, "policy", []string{"public_key"}},
		{"a key of another type", optional, func(r *ra.CertificateRequest) { r.PublicKey = weakKey(t) }, "policy", []string{"public_key"}},
		{"a weak key", rsaKeys, func(r *ra.CertificateRequest) { r.PublicKey = weakKey(t) }, "policy", []string{"public_key"}},
		{"a CSR with a wrong signature", metered(), func(r *ra.CertificateRequest) { r.PublicKey = spoilt(t, key.csr) }, "policy", []string{"public_key"}},
		{"no proof of possession", required, func(r *ra.CertificateRequest) { r.PublicKey = key.public }, "policy", []string{"public_key_signature"}},
		{"the proof of another key", required, func(r *ra.CertificateRequest) {
			r.PublicKey, r.PublicKeySignature = key.public, other.signature
		}, "policy", []string{"public_key_signature"}},
		{"a wrong proof that need not be", optional, func(r *ra.CertificateRequest) {
			r.PublicKey, r.PublicKeySignature = key.public, other.signature
		}, "policy", []string{"public_key_signature"}},
		{"a wrong proof beside a CSR", metered(), func(r *ra.CertificateRequest) { r.PublicKeySignature = other.signature }, "policy", []string{"public_key_signature"}},
		{"a proof that is not base64", optional, func(r *ra.CertificateRequest) {
			r.PublicKey, r.PublicKeySignature = key.public, "%"
		}, "policy", []string{"public_key_signature"}},
		{"a forbidden proof", forbidden, func(r *ra.CertificateRequest) {
			r.PublicKey, r.PublicKeySignature = key.public, key.signature
		}, "policy", []string{"public_key_signature"}},
		{"names without a claim", strict, func(r *ra.CertificateRequest) {
			r.Policy.SAN.DNSNames = []string{"a.example", "*.b.example"}
		}, "name_not_covered", []string{"a.example", "*.b.example", "www.example.com"}},
		{"a host in the subject without a claim", strict, func(r *ra.CertificateRequest) {
			r.Policy.SAN.DNSNames = nil
		}, "name_not_covered", []string{"www.example.com"}},
	}
	each(t, func(t *testing.T, w *world) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := w.customer(t, tt.spec, 3)
				before := c.standing(t)
				req, actor := request(key.csr, "www.example.com"), c.actor()
				tt.change(req)
				_, err := w.ra.Issue(t.Context(), actor, req)
				mustBe(t, err, fault.Invalid, tt.code)
				mustName(t, err, tt.paths...)
				c.mustStand(t, before)
				mustKeepFields(t, w.mustAudit(t, actor, "certificate.issue", "", tt.code), err)

				checked := c.actor()
				err = w.ra.Check(t.Context(), checked, req)
				mustBe(t, err, fault.Invalid, tt.code)
				if n := len(w.events(t, checked)); n != 0 {
					t.Errorf("Check left %d audit events", n)
				}
			})
		}
	})
}

// TestCheck accepts a request and does nothing else.
func TestCheck(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 1)
		before, actor := c.standing(t), c.actor()
		for range 2 {
			if err := w.ra.Check(t.Context(), actor, request(newKey(t).csr, "www.example.com")); err != nil {
				t.Error(err)
			}
		}
		c.mustStand(t, before)
		if n := len(w.events(t, actor)); n != 0 {
			t.Errorf("Check left %d audit events", n)
		}
	})
}

// TestValidity takes both bounds unchanged.
func TestValidity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, unlimited(), 0)
		at := w.clock.Now().Unix()
		for _, v := range [][2]int64{{at, at + 60}, {at - 120, at + 3600}, {at + 3600, at + 3600 + 7776000}} {
			req := request(newKey(t).csr, "www.example.com")
			req.Policy.NotBefore, req.Policy.NotAfter = v[0], v[1]
			serial, err := w.ra.Issue(t.Context(), c.actor(), req)
			must(t, err)
			entry, cert := c.certificate(t, serial)
			if cert.NotBefore.Unix() != v[0] || cert.NotAfter.Unix() != v[1] || entry.NotAfter.Unix() != v[1] {
				t.Errorf("the certificate is from %d to %d, want %d", cert.NotBefore.Unix(), cert.NotAfter.Unix(), v)
			}
		}
	})
}

// TestQuotaAtOnce issues fifty at once against a quota of ten.
func TestQuotaAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const quota, wanted = 10, 50
		c := w.customer(t, metered(), quota)
		key := newKey(t)
		actors, errs := make([]telamon.Actor, wanted), make([]error, wanted)
		serials := make([]telamon.Serial, wanted)
		var all sync.WaitGroup
		for i := range wanted {
			actors[i] = c.actor()
			all.Go(func() { serials[i], errs[i] = w.ra.Issue(t.Context(), actors[i], request(key.csr, "www.example.com")) })
		}
		all.Wait()
		issued := 0
		for i, err := range errs {
			if err == nil {
				issued++
				w.mustAudit(t, actors[i], "certificate.issue", serials[i].String(), "ok")
				continue
			}
			mustBe(t, err, fault.Limited, fault.CodeQuotaReached)
			_, _, err = w.ra.Certificate(t.Context(), c.actor(), serials[i])
			mustBe(t, err, fault.NotFound, "certificate_not_found")
			w.mustAudit(t, actors[i], "certificate.issue", serials[i].String(), fault.CodeQuotaReached)
		}
		if issued != quota {
			t.Errorf("%d certificates were issued, want %d", issued, quota)
		}
		if got, want := c.standing(t), (standing{issued: quota, listed: quota, expiring: quota}); got != want {
			t.Errorf("the customer stands at %+v, want %+v", got, want)
		}
	})
}

// TestTwoLots draws from the lot that expires first, whichever was granted first.
func TestTwoLots(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 2)
		early := c.grant(t, 1, time.Time{}, w.clock.Now().Add(24*time.Hour))
		later := c.grant(t, 5, w.clock.Now().AddDate(0, 1, 0), w.clock.Now().AddDate(0, 2, 0))
		quota := func(want int64) {
			t.Helper()
			if s := c.standing(t); s.quota != want {
				t.Errorf("the quota is %d, want %d", s.quota, want)
			}
		}
		used := func(id telamon.LotID) int64 {
			t.Helper()
			lots, err := w.iam.Quota(t.Context(), operator, w.account, c.sub)
			must(t, err)
			i := slices.IndexFunc(lots, func(l telamon.Lot) bool { return l.ID == id })
			return lots[i].Used
		}
		quota(3)
		c.issue(t, "first.example")
		if n := used(early.ID); n != 1 {
			t.Errorf("of the lot that expires first %d are used, want 1", n)
		}
		c.issue(t, "second.example")
		c.issue(t, "third.example")
		quota(0)
		_, err := w.ra.Issue(t.Context(), c.actor(), request(newKey(t).csr, "fourth.example"))
		mustBe(t, err, fault.Limited, fault.CodeQuotaReached)
		if n := used(later.ID); n != 0 {
			t.Errorf("of a lot that has not started %d are used", n)
		}
		w.clock.Advance(32 * 24 * time.Hour)
		quota(5)
		c.issue(t, "fourth.example")
		if n := used(later.ID); n != 1 {
			t.Errorf("of the lot that has started %d are used, want 1", n)
		}
	})
}

// TestTerm issues before and after the term of the only lot.
func TestTerm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		refused := func(t *testing.T, c *customer) {
			t.Helper()
			before, actor := c.standing(t), c.actor()
			serial, err := w.ra.Issue(t.Context(), actor, request(newKey(t).csr, "www.example.com"))
			mustBe(t, err, fault.Denied, "service_expired")
			c.mustStand(t, before)
			w.mustAudit(t, actor, "certificate.issue", serial.String(), "service_expired")
			if before.quota != 0 {
				t.Errorf("the quota is %d without a term", before.quota)
			}
		}
		c := w.customer(t, metered(), 9)
		serial := c.issue(t, "www.example.com")
		t.Run("expired", func(t *testing.T) {
			w.clock.Advance(366 * 24 * time.Hour)
			refused(t, c)
			c.certificate(t, serial)
		})
		t.Run("not started", func(t *testing.T) {
			c := w.customer(t, metered(), 9)
			sub, err := w.iam.Subscribe(t.Context(), operator, w.account, c.service.ID)
			must(t, err)
			c.sub = sub.ID
			c.grant(t, 3, w.clock.Now().Add(time.Hour), w.clock.Now().Add(2*time.Hour))
			c.credential = c.newCredential(t, w.identity)
			refused(t, c)
			w.clock.Advance(time.Hour)
			c.issue(t, "www.example.com")
		})
	})
}

// TestUnlimited draws nothing, and says so by a number that clients can read.
func TestUnlimited(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, unlimited(), 0)
		for range 3 {
			c.issue(t, "www.example.com")
		}
		if got, want := c.standing(t), (standing{issued: 3, quota: ra.UnlimitedQuota, listed: 3, expiring: 3}); got != want {
			t.Errorf("the customer stands at %+v, want %+v", got, want)
		}
	})
}

// TestWhoMayIssue goes through the states of account and identity.
func TestWhoMayIssue(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c := w.customer(t, metered(), 9)
		w.identity = w.newIdentity(t, w.clock.Now().Add(time.Hour))
		c.credential = c.newCredential(t, w.identity)
		serial := c.issue(t, "www.example.com")
		denied := func(t *testing.T, code string) {
			t.Helper()
			actor, rekeyer := c.actor(), c.actor()
			_, err := w.ra.Issue(ctx, actor, request(newKey(t).csr, "www.example.com"))
			mustBe(t, err, fault.Denied, code)
			w.mustAudit(t, actor, "certificate.issue", "", code)
			_, err = w.ra.Rekey(ctx, rekeyer, serial, &ra.RekeyRequest{PublicKey: newKey(t).csr})
			mustBe(t, err, fault.Denied, code)
			w.mustAudit(t, rekeyer, "certificate.rekey", serial.String(), code)
			_, err = w.ra.Policy(ctx, c.actor())
			mustBe(t, err, fault.Denied, code)
			mustBe(t, w.ra.Check(ctx, c.actor(), request(newKey(t).csr, "www.example.com")), fault.Denied, code)
		}
		readable := func(t *testing.T) {
			t.Helper()
			c.certificate(t, serial)
			if s := c.standing(t); s.issued != 1 || s.quota != 8 {
				t.Errorf("the customer stands at %+v", s)
			}
			if _, err := w.ra.TrustChain(ctx, c.actor()); err != nil {
				t.Error(err)
			}
		}
		t.Run("identity past its time", func(t *testing.T) {
			w.clock.Advance(time.Hour)
			denied(t, "identity_expired")
			readable(t)
		})
		t.Run("identity expired", func(t *testing.T) {
			must(t, w.iam.MoveIdentity(ctx, operator, w.account, w.identity, iam.IdentityMove{To: telamon.IdentityExpired}))
			denied(t, "identity_not_active")
			readable(t)
		})
		t.Run("identity vetted again", func(t *testing.T) {
			must(t, w.iam.MoveIdentity(ctx, operator, w.account, w.identity, iam.IdentityMove{To: telamon.IdentityActive}))
			if err := w.ra.Check(ctx, c.actor(), request(newKey(t).csr, "www.example.com")); err != nil {
				t.Error(err)
			}
		})
		t.Run("identity withdrawn", func(t *testing.T) {
			must(t, w.iam.MoveIdentity(ctx, operator, w.account, w.identity, iam.IdentityMove{To: telamon.IdentityWithdrawn}))
			denied(t, "identity_not_active")
			readable(t)
			must(t, w.ra.Revoke(ctx, c.actor(), serial, ra.Revocation{Reason: telamon.ReasonCessationOfOperation}))
		})
		t.Run("account disabled", func(t *testing.T) {
			must(t, w.iam.DisableAccount(ctx, operator, w.account))
			denied(t, "account_not_active")
			_, _, err := w.ra.Certificate(ctx, c.actor(), serial)
			mustBe(t, err, fault.Denied, "account_not_active")
			_, err = w.ra.IssuedCount(ctx, c.actor())
			mustBe(t, err, fault.Denied, "account_not_active")
			must(t, w.iam.EnableAccount(ctx, operator, w.account))
		})
	})
}

// TestWhoIsNoCredential refuses actors that hold none, whatever they name.
func TestWhoIsNoCredential(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c := w.customer(t, metered(), 9)
		serial := c.issue(t, "www.example.com")
		for _, kind := range []telamon.ActorKind{telamon.ActorOperator, telamon.ActorAnonymous, ""} {
			stranger := c.actor()
			stranger.Kind = kind
			_, err := w.ra.Issue(ctx, stranger, request(newKey(t).csr, "www.example.com"))
			mustBe(t, err, fault.Denied, "access_denied")
			_, err = w.ra.Rekey(ctx, stranger, serial, &ra.RekeyRequest{PublicKey: newKey(t).csr})
			mustBe(t, err, fault.Denied, "access_denied")
		}
		stranger := c.actor()
		stranger.Pair += 1000
		_, err := w.ra.Issue(ctx, stranger, request(newKey(t).csr, "www.example.com"))
		mustBe(t, err, fault.NotFound, "pair_not_found")
		if s := c.standing(t); s.issued != 1 || s.quota != 8 {
			t.Errorf("the customer stands at %+v", s)
		}
	})
}

// TestIssuerOfToken refuses to sign by an issuer that the actor's token does not
// name any more, so that certificates and trust chain agree.
func TestIssuerOfToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 9)
		before, actor := c.standing(t), c.actor()
		actor.Issuer = telamon.NewIssuerID()
		_, err := w.ra.Issue(t.Context(), actor, request(newKey(t).csr, "www.example.com"))
		mustBe(t, err, fault.Unavailable, "issuer_unknown")
		w.mustAudit(t, actor, "certificate.issue", "", "issuer_unknown")
		c.mustStand(t, before)
		_, err = w.ra.TrustChain(t.Context(), actor)
		mustBe(t, err, fault.NotFound, "issuer_not_found")
	})
}
