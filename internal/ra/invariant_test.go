package ra_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// recorder notes that a test failed, and lets it go on.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Fatalf(string, ...any) { r.failed = true; panic(r) }

// isSound reports whether the invariants hold.
func (w *world) isSound(t *testing.T) (sound bool) {
	r := &recorder{TB: t}
	defer func() {
		if p := recover(); p != nil && p != any(r) {
			panic(p)
		}
		sound = !r.failed
	}()
	invariant.Check(r, w.db)
	return
}

// TestInvariants damages the database behind the store's back, one way after the
// other, and checks that each is seen.
func TestInvariants(t *testing.T) {
	const otherPair = "(SELECT max(id) FROM pair)"
	tests := []struct{ name, table, damage string }{
		{"another validity", "certificate", "UPDATE certificate SET not_before = not_before - 1000"},
		{"another key", "certificate", "UPDATE certificate SET spki_hash = (SELECT spki_hash FROM certificate ORDER BY serial LIMIT 1)"},
		{"another CRL shard", "certificate", "UPDATE certificate SET crl_shard = crl_shard + 1"},
		{"an issuer that did not sign", "certificate", "UPDATE certificate SET issuer_id = (SELECT id FROM issuer WHERE role = 'root')"},
		{"another pair", "certificate", "UPDATE certificate SET pair_id = " + otherPair},
		{"a policy that is not kept", "certificate", "UPDATE certificate SET policy_version = 'x'"},
		{"a rekey of another pair's", "certificate", "UPDATE certificate SET rekey_of =" +
			" (SELECT serial FROM certificate WHERE pair_id = " + otherPair + ") WHERE rekey_of IS NOT NULL"},
		{"revoked without an event", "certificate", "UPDATE certificate SET status = 'revoked', revoked_at = updated_at, reason = 'superseded'"},
		{"no bytes", "certificate_der", "DELETE FROM certificate_der"},
		{"bytes of no certificate", "certificate_der", "UPDATE certificate_der SET der = request"},
		{"bytes of another certificate", "certificate_der",
			"UPDATE certificate_der SET der = (SELECT der FROM certificate_der ORDER BY serial LIMIT 1)"},
		{"no ledger entry", "certificate", "DELETE FROM certificate WHERE pair_id = " + otherPair},
		{"quota that was not drawn", "quota_lot", "UPDATE quota_lot SET used = used - 1"},
		{"quota drawn for nothing", "quota_lot", "UPDATE quota_lot SET used = used + 1"},
		{"a counter that is behind", "counter", "UPDATE counter SET n = n - 1 WHERE kind = 'issued'"},
		{"a listing that counts too many", "hour_count", "UPDATE hour_count SET n = n + 1 WHERE kind = 'expiring'"},
		{"no audit events", "audit_event", "DELETE FROM audit_event"},
		{"an audit event twice", "audit_event", "UPDATE audit_event SET payload =" +
			" (SELECT payload FROM audit_event ORDER BY id DESC LIMIT 1), account_id = (SELECT id FROM account)"},
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url, testkit.NewClock(t, now))
		c, other := w.customer(t, metered(), 9), w.customer(t, metered(), 9)
		first := c.issue(t, "www.example.com")
		w.clock.Advance(time.Second)
		_, err := w.ra.Rekey(t.Context(), c.actor(), first, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		must(t, err)
		must(t, w.ra.Revoke(t.Context(), c.actor(), first, ra.Revocation{Reason: telamon.ReasonSuperseded}))
		other.issue(t, "www.example.com")
		behind := w.behind(t)
		exec := func(t *testing.T, statements ...string) {
			t.Helper()
			for _, s := range statements {
				_, err := behind.ExecContext(t.Context(), s)
				must(t, err)
			}
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if !w.isSound(t) {
					t.Fatal("the database is not sound before; this proves nothing")
				}
				exec(t, "CREATE TABLE saved AS SELECT * FROM "+tt.table, tt.damage)
				if w.isSound(t) {
					t.Error("the damage is not seen")
				}
				exec(t, "DELETE FROM "+tt.table, "INSERT INTO "+tt.table+" SELECT * FROM saved", "DROP TABLE saved")
			})
		}
	})
}
