package ra_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/ra"
)

// attestation returns a CSR by the key that says that it is compromised.
func (k *subjectKey) attestation(t testing.TB) string {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "This Key is compromised"},
	}, k.signer)
	must(t, err)
	return encodePEM("CERTIFICATE REQUEST", csr)
}

// mustBlock checks that an order of the customer is refused, and why.
func (c *customer) mustBlock(t testing.TB, key *subjectKey, why string) {
	t.Helper()
	_, err := c.w.ra.Issue(t.Context(), c.actor(), request(key.csr, "www.example.com"))
	mustBe(t, err, fault.Invalid, "policy")
	mustName(t, err, "public_key")
	if got := fault.From(err).Fields[0].Problem; !strings.HasPrefix(got, "is blocked: ") || !strings.Contains(got, why) {
		t.Errorf("public_key %s, want it to tell %q", got, why)
	}
	mustBe(t, c.w.ra.Check(t.Context(), c.actor(), request(key.csr, "www.example.com")), fault.Invalid, "policy")
}

// TestRequirement86CompromisedKey blocks keys by revocations: for the account that says
// so, and for everybody by what the key itself has signed.
func TestRequirement86CompromisedKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c := w.customer(t, unlimited(), 0)
		other, err := w.iam.CreateAccount(ctx, operator, iam.NewAccount{Name: "Other"})
		must(t, err)
		elsewhere := &world{t: t, db: w.db, clock: w.clock, iam: w.iam, ra: w.ra, issuer: w.issuer, account: other.ID}
		elsewhere.identity = elsewhere.newIdentity(t, time.Time{})
		stranger := elsewhere.customer(t, unlimited(), 0)
		issue := func(c *customer, key *subjectKey) telamon.Serial {
			t.Helper()
			serial, err := w.ra.Issue(ctx, c.actor(), request(key.csr, "www.example.com"))
			must(t, err)
			return serial
		}
		revoke := func(c *customer, serial telamon.Serial, rev ra.Revocation) {
			t.Helper()
			must(t, w.ra.Revoke(ctx, c.actor(), serial, rev))
		}
		compromised := ra.Revocation{Reason: telamon.ReasonKeyCompromise}
		t.Run("another reason blocks nothing", func(t *testing.T) {
			key := newKey(t)
			revoke(c, issue(c, key), ra.Revocation{Reason: telamon.ReasonSuperseded})
			issue(c, key)
		})
		t.Run("a stranger blocks it for himself alone", func(t *testing.T) {
			key := newKey(t)
			issue(c, key)
			theirs := issue(stranger, key)
			revoke(stranger, theirs, ra.Revocation{Reason: telamon.ReasonKeyCompromise, Attestation: key.csr}) // a CSR is no secret
			stranger.mustBlock(t, key, theirs.String())
			issue(c, key)
		})
		t.Run("the account blocks it for itself", func(t *testing.T) {
			key := newKey(t)
			serial := issue(c, key)
			revoke(c, serial, compromised)
			c.mustBlock(t, key, serial.String())
			issue(stranger, key)
		})
		t.Run("its attestation blocks it for everybody", func(t *testing.T) {
			key := newKey(t)
			serial := issue(c, key)
			revoke(c, serial, ra.Revocation{Reason: telamon.ReasonKeyCompromise, Attestation: key.attestation(t)})
			c.mustBlock(t, key, "attested")
			stranger.mustBlock(t, key, "attested")
			block, err := w.db.KeyBlock(ctx, keyHash(t, key), other.ID)
			must(t, err)
			if block.Source != telamon.BlockedByAttestation || *block.Serial != serial {
				t.Errorf("the block is %+v", block)
			}
			mustBe(t, w.db.UnblockKey(ctx, operator, block.SPKIHash, ""), fault.Conflict, "key_attested")
		})
		t.Run("later attestation widens the block", func(t *testing.T) {
			key := newKey(t)
			serial := issue(c, key)
			revoke(c, serial, ra.Revocation{Reason: telamon.ReasonKeyCompromise, Attestation: key.csr})
			issue(stranger, key)
			attested := ra.Revocation{Reason: telamon.ReasonKeyCompromise, Attestation: key.attestation(t)}
			actor := c.actor()
			must(t, w.ra.Revoke(ctx, actor, serial, attested))
			w.mustAudit(t, actor, "certificate.revoke", serial.String(), "ok")
			stranger.mustBlock(t, key, "attested")
			mustBe(t, w.ra.Revoke(ctx, c.actor(), serial, attested), fault.Conflict, fault.CodeAlreadyRevoked)
		})
		t.Run("later attestation changes the entry", func(t *testing.T) {
			key := newKey(t)
			serial := issue(c, key)
			revoke(c, serial, ra.Revocation{Reason: telamon.ReasonSuperseded})
			revoke(c, serial, ra.Revocation{Reason: telamon.ReasonKeyCompromise, Attestation: key.attestation(t)})
			if entry, _ := c.certificate(t, serial); entry.Revocation.Reason != telamon.ReasonKeyCompromise || !entry.Revocation.Attested {
				t.Errorf("the revocation is %+v", entry.Revocation)
			}
			stranger.mustBlock(t, key, "attested")
		})
	})
}

func keyHash(t testing.TB, key *subjectKey) [32]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.signer.Public())
	must(t, err)
	return sha256.Sum256(der)
}

// TestRequirement86BlockedWhileSigned blocks a key when its certificate is signed and not
// yet written.
func TestRequirement86BlockedWhileSigned(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 9)
		key, before := newKey(t), c.standing(t)
		w.keys.after = func() {
			must(t, w.db.BlockKey(t.Context(), operator, telamon.KeyBlock{SPKIHash: keyHash(t, key), Source: telamon.BlockedByStaff}))
		}
		actor := c.actor()
		serial, err := w.ra.Issue(t.Context(), actor, request(key.csr, "www.example.com"))
		w.keys.after = nil
		mustBe(t, err, fault.Invalid, "policy")
		mustName(t, err, "public_key")
		w.mustAudit(t, actor, "certificate.issue", serial.String(), "policy")
		_, _, err = w.ra.Certificate(t.Context(), c.actor(), serial)
		mustBe(t, err, fault.NotFound, "certificate_not_found")
		c.mustIssueAgain(t, before)
	})
}
