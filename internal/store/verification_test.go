package store_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestCertificateEvidence writes evidence with certificates, many at once so that they
// share commits, reads it, and drops it with them.
func TestCertificateEvidence(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		v := c.verify(t, c.submit(t, "example.com"), clock.Now().Add(time.Hour))
		names := []telamon.NameEvidence{{
			Name: "www.example.com", Verification: v.ID,
			CAA: &telamon.CAACheck{Name: "www.example.com", Found: "example.com", Allowed: true, At: clock.Now(), GoodTo: clock.Now().Add(8 * time.Hour)},
		}, {Name: "example.com", Verification: v.ID}}
		evidence, err := json.Marshal(names)
		if err != nil {
			t.Fatal(err)
		}
		w.addLot(t, 10, clock.Now().Add(time.Hour))
		certs := make([]*telamon.Certificate, 13) // three more than there is quota
		errs := make([]error, len(certs))
		var wg sync.WaitGroup
		for i := range certs {
			certs[i] = w.cert(w.pair)
			blob := w.blob
			if i%2 == 0 {
				blob.Evidence = evidence
			}
			wg.Go(func() {
				errs[i] = w.db.IssueCertificate(t.Context(), w.subscription, certs[i], blob, w.event(certs[i]))
			})
		}
		wg.Wait()
		refused, kept := 0, int64(0)
		for i, cert := range certs {
			got, err := w.db.CertificateEvidence(t.Context(), cert.Serial)
			if errs[i] != nil {
				refused++
				mustBe(t, errs[i], fault.Limited, "quota_reached")
				mustBe(t, err, fault.NotFound, "certificate_not_found")
				continue
			}
			want := &store.CertificateNames{Certificate: *cert, Account: w.account}
			if i%2 == 0 {
				want.Names = names
				kept++
			}
			if diff := gocmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("the evidence of certificate %d: %v (-want +got):\n%s", i, err, diff)
			}
		}
		if n := w.number(t, "SELECT count(*) FROM certificate_evidence"); refused != 3 || n != kept {
			t.Errorf("%d were refused and %d rows of evidence are kept; want 3 and %d", refused, n, kept)
		}
		clock.Advance(100 * 24 * time.Hour)
		if dropped, err := w.db.DropExpired(t.Context(), store.Dropping{Before: clock.Now()}); dropped != 10 || err != nil {
			t.Fatalf("%d certificates were dropped, %v", dropped, err)
		}
		if n := w.number(t, "SELECT count(*) FROM certificate_evidence"); n != 0 {
			t.Errorf("%d rows of evidence are left of dropped certificates", n)
		}
		if records, err := w.db.Verifications(t.Context(), []telamon.VerificationID{v.ID}); len(records) != 1 || err != nil {
			t.Errorf("the verification is gone with the certificates: %v", err)
		}
	})
}

func TestVerifications(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		claim := c.submit(t, "example.com")
		until := clock.Now().Add(time.Hour)
		end := c.shown(claim, "chk_1", clock.Now().Add(time.Hour))
		end.Verification.Evidence = telamon.Evidence{
			URL: "http://example.com/", Addresses: []string{"192.0.2.1"}, Through: []string{"alias.example.net"}, DNSSEC: telamon.DNSSECInsecure,
			Views:  []telamon.View{{Perspective: "p1", Region: "RIPE NCC", Agrees: true}, {Perspective: "p2", Region: "APNIC", Problem: "no answer"}},
			Quorum: "1 of 2", Corrob: true, Until: &until,
		}
		if err := w.db.BeginCheck(t.Context(), claim.ID, start(claim, "chk_1")); err != nil {
			t.Fatal(err)
		}
		if err := w.db.EndCheck(t.Context(), operator, claim.ID, end); err != nil {
			t.Fatal(err)
		}
		records, err := w.db.Verifications(t.Context(), []telamon.VerificationID{end.Verification.ID, end.Verification.ID})
		if diff := gocmp.Diff([]telamon.Verification{*end.Verification, *end.Verification}, records); diff != "" || err != nil {
			t.Errorf("the records: %v (-want +got):\n%s", err, diff)
		}
		_, err = w.db.Verifications(t.Context(), []telamon.VerificationID{end.Verification.ID, telamon.NewVerificationID()})
		mustBe(t, err, fault.NotFound, "verification_not_found")
	})
}
