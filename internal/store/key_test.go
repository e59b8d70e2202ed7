package store_test

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestRequirement86BlockedMeanwhile writes a batch of certificates, two of whose keys were
// blocked after they were signed: those are refused and draw no quota.
func TestRequirement86BlockedMeanwhile(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		const n = 11
		w.addLot(t, n+1, clock.Now().Add(time.Hour))
		certs := make([]*telamon.Certificate, n)
		for i := range certs {
			certs[i] = w.cert(w.pair)
			certs[i].SPKIHash = sha256.Sum256(fmt.Append(nil, "key ", i))
		}
		serial := certs[3].Serial
		for _, block := range []telamon.KeyBlock{
			{SPKIHash: certs[3].SPKIHash, Source: telamon.BlockedByStaff},
			{SPKIHash: certs[5].SPKIHash, Account: w.account, Source: telamon.BlockedByAccount, Serial: &serial},
			{SPKIHash: certs[7].SPKIHash, Account: telamon.NewAccountID(), Source: telamon.BlockedByAccount, Serial: &serial},
		} {
			if err := w.db.BlockKey(t.Context(), operator, block); err != nil {
				t.Fatal(err)
			}
		}
		release := w.holdBatch(t)
		errs := make([]chan error, n)
		for i := range certs {
			errs[i] = make(chan error, 1)
			go func() { errs[i] <- w.issue(t.Context(), certs[i]) }()
		}
		until(t, "all units in the queue", func() bool { return store.Waiting(w.db) == n })
		release()
		for i, why := range map[int]string{3: "this CA knows", 5: serial.String()} {
			err := <-errs[i]
			mustBe(t, err, fault.Invalid, "policy")
			if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != "public_key" || !strings.Contains(f.Fields[0].Problem, why) {
				t.Errorf("the fields are %+v, want public_key for %q", f.Fields, why)
			}
			if got := w.results(t, certs[i].Serial); len(got) != 1 || got[0] != "policy" {
				t.Errorf("the audit log has the results %v, want policy", got)
			}
		}
		for i := range errs {
			if i == 3 || i == 5 {
				continue
			}
			if err := <-errs[i]; err != nil {
				t.Errorf("certificate %d: %v", i, err)
			}
		}
		if used := w.number(t, "SELECT used FROM quota_lot"); used != n-1 { // with the one that was held
			t.Errorf("%d of the quota are used, want %d", used, n-1)
		}
		w.checkCounts(t)
	})
}

// TestRequirement86ClientKeyBlockedMeanwhile writes an mTLS certificate whose key was
// blocked after it was signed.
func TestRequirement86ClientKeyBlockedMeanwhile(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		leaf, err := x509.ParseCertificate(w.blob.DER)
		if err != nil {
			t.Fatal(err)
		}
		cert := &telamon.ClientCert{
			ID: telamon.NewClientCertID(), Account: w.account, Fingerprint: sha256.Sum256(leaf.Raw), Serial: w.serial, Issuer: w.issuer,
			SPKIHash: sha256.Sum256(leaf.RawSubjectPublicKeyInfo), NotAfter: leaf.NotAfter, Certificate: leaf,
		}
		block := telamon.KeyBlock{SPKIHash: cert.SPKIHash, Account: w.account, Source: telamon.BlockedByAccount}
		if err := w.db.BlockKey(t.Context(), operator, block); err != nil {
			t.Fatal(err)
		}
		mustBe(t, w.db.CreateClientCert(t.Context(), operator, cert), fault.Conflict, "key_blocked")
		if err := w.db.UnblockKey(t.Context(), operator, cert.SPKIHash, w.account); err != nil {
			t.Fatal(err)
		}
		if err := w.db.CreateClientCert(t.Context(), operator, cert); err != nil {
			t.Error(err)
		}
	})
}
