package staff_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestRevokeLost revokes a certificate that was issued after the backup from which the
// database was restored.
func TestRevokeLost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		lost := telamon.NewSerial(w.clock.Now())
		rev := staff.Revocation{Reason: telamon.ReasonPrivilegeWithdrawn}
		_, err := w.Revoke(t.Context(), ada, lost, rev)
		mustBe(t, err, fault.NotFound, "certificate_not_found")
		_, err = w.RevokeLost(t.Context(), ada, telamon.NewIssuerID(), lost, rev)
		mustBe(t, err, fault.NotFound, "issuer_not_found")
		_, err = w.RevokeLost(t.Context(), ada, w.issuers[0], lost, staff.Revocation{Reason: "boredom"})
		mustBe(t, err, fault.Invalid, "invalid_member")
		stranger := telamon.Actor{Kind: telamon.ActorAnonymous}
		if _, err := w.RevokeLost(t.Context(), stranger, w.issuers[0], lost, rev); err == nil {
			t.Error("whoever comes revokes")
		}

		_, err = w.RevokeLost(t.Context(), ada, w.issuers[0], lost, rev)
		must(t, err)
		_, err = w.RevokeLost(t.Context(), ada, w.issuers[0], lost, rev)
		mustBe(t, err, fault.Conflict, "already_revoked")
		var named []store.RevokedEntry
		must(t, w.db.RevokedOf(t.Context(), w.issuers[0], lost.Shard(1), time.Time{}, func(e *store.RevokedEntry) error {
			named = append(named, *e)
			return nil
		}))
		if len(named) != 1 || named[0].Serial != lost || named[0].Reason != rev.Reason || !named[0].At.Equal(w.clock.Now()) {
			t.Errorf("the next CRL names %+v", named)
		}
		shards, err := w.db.CRLShards(t.Context())
		must(t, err)
		if len(shards) != 1 || !shards[0].IsDirty() {
			t.Errorf("no CRL is due: %+v", shards)
		}
		events := 0
		w.eachEvent(t, func(e *audit.Payload) {
			if e.Action == "certificate.revoke" && e.Object == lost.String() {
				events++
			}
		})
		if events != 1 {
			t.Errorf("the audit log has %d events of it, want one", events)
		}

		// One that is in the ledger is revoked as ever, if the issuer is its own.
		c := w.customer(t, "Acme")
		c.have(t, order{n: 1})
		known, _, err := telamon.ParseSerial(w.plan(t, telamon.RevocationFilter{Account: c.account}, telamon.ReasonSuperseded).Sample[0].Serial)
		must(t, err)
		_, err = w.RevokeLost(t.Context(), ada, w.issuers[1], known, rev)
		mustBe(t, err, fault.Invalid, "invalid_member")
		_, err = w.RevokeLost(t.Context(), ada, w.issuers[0], known, rev)
		must(t, err)
		if n := c.revoked(t); n != 1 {
			t.Errorf("%d certificates of the account are revoked, want one", n)
		}
	})
}
