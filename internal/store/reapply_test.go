package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestReapplyRevocations brings back the revocations of a CRL that is newer than the
// database: of a certificate, an mTLS certificate, a precertificate that is pending and one
// that nobody knows.
func TestReapplyRevocations(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		issuers, _, err := w.db.Issuers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		issuer := &issuers[0]
		known, done, fine := w.cert(w.pair), w.cert(w.another), w.cert(w.pair)
		for _, cert := range []*telamon.Certificate{known, done, fine} {
			w.mustIssue(t, cert)
		}
		if err := w.db.RevokeCertificate(t.Context(), w.another, done.Serial, telamon.Revocation{Reason: telamon.ReasonSuperseded}, w.event(done)); err != nil {
			t.Fatal(err)
		}
		client, unknown := telamon.NewSerial(clock.Now()), telamon.NewSerial(clock.Now())
		w.exec(t, "INSERT INTO client_certificate (id, account_id, fingerprint, serial, issuer_id, der, spki_hash, crl_shard, not_after, state, created_at)"+
			" VALUES ('mtl_1', $1, $2, $2, $3, $2, $2, 0, $4, 'active', 0)", w.account.String(), client[:], w.issuer.String(), clock.Now().Add(time.Hour).UnixMilli())
		pending := telamon.NewSerial(clock.Now())
		w.exec(t, "INSERT INTO precertificate (serial, pair_id, credential_id, issuer_id, crl_shard, spki_hash, not_after, der, status, created_at)"+
			" VALUES ($1, $2, 'crd_1', $3, 0, $1, $4, $1, 'pending', 0)", pending[:], int64(w.pair), w.issuer.String(), clock.Now().Add(time.Hour).UnixMilli())
		at := clock.Now().Add(-3 * time.Hour).Truncate(time.Second)
		var entries []store.RevokedEntry
		for _, serial := range []telamon.Serial{known.Serial, done.Serial, client, pending, unknown} {
			entries = append(entries, store.RevokedEntry{Serial: serial, At: at, Reason: telamon.ReasonKeyCompromise, CompromisedAt: at.Add(-time.Hour)})
		}
		for _, want := range []store.Reapplied{{Revoked: 4, Unknown: 2}, {}} { // the second time there is nothing to do
			if got, err := w.db.ReapplyRevocations(t.Context(), operator, issuer, 0, entries); got != want || err != nil {
				t.Errorf("ReapplyRevocations: %+v, %v; want %+v", got, err, want)
			}
		}
		var named []telamon.Serial
		err = w.db.RevokedOf(t.Context(), w.issuer, 0, time.Time{}, func(e *store.RevokedEntry) error {
			named = append(named, e.Serial)
			if isDone := e.Serial == done.Serial; !isDone && (!e.At.Equal(at) || e.Reason != telamon.ReasonKeyCompromise) || isDone && e.At.Equal(at) {
				t.Errorf("%s is revoked as %+v", e.Serial, e)
			}
			return nil
		})
		if err != nil || len(named) != 5 || slices.Contains(named, fine.Serial) {
			t.Errorf("the next CRL names %s, %v", named, err)
		}
		for _, serial := range named {
			if is, isKnown, err := w.db.IsRevoked(t.Context(), serial); !is || !isKnown || err != nil {
				t.Errorf("%s is revoked %v and known %v: %v", serial, is, isKnown, err)
			}
		}
		if is, isKnown, err := w.db.IsRevoked(t.Context(), fine.Serial); is || !isKnown || err != nil {
			t.Errorf("a certificate that is on no CRL: %v, %v, %v", is, isKnown, err)
		}
		if is, isKnown, err := w.db.IsRevoked(t.Context(), telamon.NewSerial(at)); is || isKnown || err != nil {
			t.Errorf("a serial number that nobody has: %v, %v, %v", is, isKnown, err)
		}
		if shard := w.shard(t); !shard.IsDirty() {
			t.Error("no new CRL is due")
		}
		if n := w.number(t, "SELECT count(*) FROM blocked_key WHERE spki_hash = $1 AND account_id = $2 AND serial = $3", known.SPKIHash[:], w.account.String(), known.Serial[:]); n != 1 {
			t.Errorf("%d blocks of the compromised key were brought back, want one", n)
		}
		if n := w.number(t, "SELECT n FROM counter WHERE pair_id = $1 AND kind = 'revoked'", int64(w.pair)); n != 1 {
			t.Errorf("%d revocations of the pair are counted, want 1", n)
		}
		events := w.events(t, "epoch.revoke")
		if len(events) != 1 || !strings.Contains(string(events[0].After), unknown.String()) {
			t.Errorf("the audit log has %d events, want one that names %s", len(events), unknown)
		}
		for _, action := range []string{"certificate.revoke", "client_certificate.revoke"} {
			if n := len(w.events(t, action)); n != 1 {
				t.Errorf("the audit log has %d events %s, want one", n, action)
			}
		}
	})
}

// TestEpochs gives up what is lost, and nothing else.
func TestEpochs(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		lost := audit.Checkpoint{Origin: "log", Tree: audit.Tree{Size: 100}, At: clock.Now().Truncate(time.Millisecond)}
		tree := audit.EmptyTree()
		tree.Size = 60
		e := &store.Epoch{Tree: tree, Lost: lost, LostNote: "signed"}
		if err := w.db.OpenEpoch(t.Context(), operator, e, map[string]any{"why": "test"}); err != nil {
			t.Fatal(err)
		}
		all, err := w.db.Epochs(t.Context())
		if err != nil || len(all) != 1 || all[0].ID != e.ID || all[0].Tree != tree || all[0].LostNote != "signed" || all[0].Lost.Tree.Size != 100 {
			t.Errorf("the epochs are %+v, %v", all, err)
		}
		if events := w.events(t, "epoch.open"); len(events) != 1 || events[0].Object != e.ID.String() {
			t.Errorf("the audit log has the epochs %+v", events)
		}
		for _, tt := range []struct {
			name string
			size int64
			at   time.Duration
			want bool
		}{
			{"the newest of the lost log", 100, 0, true},
			{"an older one", 61, -time.Hour, true},
			{"one that the backup holds", 60, -time.Hour, false},
			{"one that nobody had seen", 101, 0, false},
			{"a later one of that size", 100, time.Second, false},
		} {
			c := audit.Checkpoint{Tree: audit.Tree{Size: tt.size}, At: lost.At.Add(tt.at)}
			if got, err := w.db.GaveUp(t.Context(), c); got != tt.want || err != nil {
				t.Errorf("%s is given up: %v, %v; want %v", tt.name, got, err, tt.want)
			}
		}

		// The log of other events, of which 70 had been seen, and the last checkpoint of fewer.
		tree.Size = 90
		branch := &store.Epoch{Tree: tree, Lost: audit.Checkpoint{Tree: audit.Tree{Size: 70}, At: lost.At.Add(time.Hour)}, LostNote: "signed"}
		if err := w.db.OpenEpoch(t.Context(), operator, branch, nil); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name string
			size int64
			at   time.Duration
			want bool
		}{
			{"the largest of the branch", 70, 0, true},
			{"the last one of the branch, which is smaller", 60, time.Hour, true},
			{"a larger one, which the log should hold", 71, time.Hour, false},
			{"a later one", 60, time.Hour + time.Second, false},
		} {
			c := audit.Checkpoint{Tree: audit.Tree{Size: tt.size}, At: lost.At.Add(tt.at)}
			if got, err := w.db.GaveUp(t.Context(), c); got != tt.want || err != nil {
				t.Errorf("%s is given up: %v, %v; want %v", tt.name, got, err, tt.want)
			}
		}
	})
}
