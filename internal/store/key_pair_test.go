package store_test

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// newKeyPair returns a key pair that is not written yet, with a certificate if it is
// certified.
func (w *world) newKeyPair(t testing.TB, te *tenant, name string, certified bool) *telamon.KeyPair {
	t.Helper()
	id := telamon.NewKeyPairID()
	k := &telamon.KeyPair{
		ID: id, Account: te.account.ID, Name: name, KeyType: "EC-P256", KeyName: strings.ReplaceAll(id.String(), "_", "-"), SPKI: []byte(id),
	}
	if certified {
		var err error
		if k.Certificate, err = x509.ParseCertificate(w.blob.DER); err != nil {
			t.Fatal(err)
		}
		k.Serial, k.Issuer, k.CRLShard = telamon.NewSerial(w.clock.Now()), w.issuer, 0
	}
	return k
}

func TestKeyPairs(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, te, other := t.Context(), w.newTenant(t, "Tenant"), w.newTenant(t, "Other")
		bare, certified := w.newKeyPair(t, te, "Bare", false), w.newKeyPair(t, te, "Certified", true)
		for _, k := range []*telamon.KeyPair{bare, certified, w.newKeyPair(t, te, "bare too", false), w.newKeyPair(t, other, "Bare", true)} {
			must(t, w.db.CreateKeyPair(ctx, operator, k))
		}
		mustBe(t, w.db.CreateKeyPair(ctx, operator, w.newKeyPair(t, te, "BARE", false)), fault.Conflict, "name_taken")
		nobody := w.newKeyPair(t, te, "Nobody's", false)
		nobody.Account = telamon.NewAccountID()
		mustBe(t, w.db.CreateKeyPair(ctx, operator, nobody), fault.NotFound, "account_not_found")
		for _, k := range []*telamon.KeyPair{bare, certified} {
			got, err := w.db.KeyPair(ctx, te.account.ID, k.ID)
			if diff := cmp.Diff(*k, got, comparers); diff != "" || err != nil {
				t.Errorf("the key pair (-want +got), %v:\n%s", err, diff)
			}
			_, err = w.db.KeyPair(ctx, other.account.ID, k.ID)
			mustBe(t, err, fault.NotFound, "key_pair_not_found")
		}
		set := func(id telamon.KeyPairID, to telamon.State) error {
			_, err := w.db.SetKeyPairState(ctx, operator, te.account.ID, id, to)
			return err
		}
		must(t, set(bare.ID, telamon.Disabled))
		mustBe(t, set(bare.ID, telamon.Disabled), fault.Conflict, "wrong_state")
		must(t, set(bare.ID, telamon.Active))
		must(t, set(bare.ID, telamon.Deleted))
		mustBe(t, set(bare.ID, telamon.Active), fault.Conflict, "wrong_state")
		_, err := w.db.SetKeyPairState(ctx, operator, other.account.ID, certified.ID, telamon.Disabled)
		mustBe(t, err, fault.NotFound, "key_pair_not_found")
		_, err = w.db.RevokeKeyPair(ctx, operator, te.account.ID, bare.ID, telamon.ReasonSuperseded)
		mustBe(t, err, fault.Conflict, "no_certificate")
		must(t, w.db.CreateKeyPair(ctx, operator, w.newKeyPair(t, te, "bare", false))) // the name is free again

		for _, action := range []string{"key_pair.disable", "key_pair.enable", "key_pair.delete"} {
			if n := len(w.events(t, action)); n != 1 {
				t.Errorf("the audit log has %d events %s, want one", n, action)
			}
		}
		keys, err := w.db.KeyPairKeys(ctx)
		if n := len(keys); n != 5 || err != nil || keys[0].ID != bare.ID || keys[0].State != telamon.Deleted || keys[1].Name != certified.KeyName {
			t.Errorf("the keys are %+v, %v", keys, err)
		}
	})
}

func TestKeyPairLists(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, te, second := t.Context(), w.newTenant(t, "Tenant"), telamon.KeyPairID("")
		for _, k := range []*telamon.KeyPair{
			w.newKeyPair(t, te, "a", false), w.newKeyPair(t, te, "b", true), w.newKeyPair(t, te, "c", true), w.newKeyPair(t, te, "d", true),
			w.newKeyPair(t, te, "e", true), w.newKeyPair(t, w.newTenant(t, "Other"), "b", true),
		} {
			must(t, w.db.CreateKeyPair(ctx, operator, k))
			switch k.Name {
			case "b":
				if second == "" {
					second = k.ID
				}
			case "c":
				_, err := w.db.RevokeKeyPair(ctx, operator, te.account.ID, k.ID, telamon.ReasonSuperseded)
				must(t, err)
			case "d":
				_, err := w.db.SetKeyPairState(ctx, operator, te.account.ID, k.ID, telamon.Deleted)
				must(t, err)
			}
		}
		check := func(what string, f store.KeyPairFilter, want string, total int64) {
			t.Helper()
			pairs, n, err := w.db.KeyPairs(ctx, te.account.ID, f)
			var names string
			for _, k := range pairs {
				names += k.Name
			}
			if names != want || n != total || err != nil {
				t.Errorf("%s: %q of %d, %v; want %q of %d", what, names, n, err, want, total)
			}
		}
		check("all", store.KeyPairFilter{Limit: 10}, "abce", 4)
		check("a slice", store.KeyPairFilter{Limit: 2, Offset: 1}, "bc", 4)
		check("a page", store.KeyPairFilter{Limit: 10, After: second}, "ce", 2)
		check("behind the end", store.KeyPairFilter{Limit: 2, Offset: 9}, "", 4)
		check("by name", store.KeyPairFilter{Limit: 10, Name: "B"}, "b", 1)
		check("by another's name", store.KeyPairFilter{Limit: 10, Name: "d"}, "", 0)
		pairs, _, err := w.db.KeyPairs(ctx, te.account.ID, store.KeyPairFilter{Limit: 10, Name: "e"})
		must(t, err)
		check("by its certificate", store.KeyPairFilter{Limit: 10, Serial: &pairs[0].Serial}, "e", 1)
		check("by no certificate", store.KeyPairFilter{Limit: 10, Serial: &telamon.Serial{}}, "", 0)
		check("any certificate", store.KeyPairFilter{Limit: 10, Status: store.CertificateAny}, "bce", 3)
		check("active", store.KeyPairFilter{Limit: 10, Status: store.CertificateActive}, "be", 2)
		check("revoked", store.KeyPairFilter{Limit: 10, Status: store.CertificateGone}, "c", 1)
		check("expired", store.KeyPairFilter{Limit: 10, Status: store.CertificateEnded}, "", 0)
		clock.Advance(2 * 366 * 24 * time.Hour)
		check("active, when all have expired", store.KeyPairFilter{Limit: 10, Status: store.CertificateActive}, "", 0)
		check("expired", store.KeyPairFilter{Limit: 10, Status: store.CertificateEnded}, "be", 2)
	})
}

// TestRevokeKeyPair holds that the certificate of a key pair is told of as any other is.
func TestRevokeKeyPair(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, te := t.Context(), w.newTenant(t, "Tenant")
		k := w.newKeyPair(t, te, "key", true)
		k.SPKI = w.blob.DER // of any length
		must(t, w.db.CreateKeyPair(ctx, operator, k))
		_, err := w.db.SetKeyPairState(ctx, operator, te.account.ID, k.ID, telamon.Deleted)
		must(t, err)
		if revoked, known, err := w.db.IsRevoked(ctx, k.Serial); revoked || !known || err != nil {
			t.Errorf("the certificate of a deleted key pair is revoked %t, known %t, %v", revoked, known, err)
		}
		var signed []telamon.Serial
		for s, err := range w.db.SignedBy(ctx, w.issuer, time.Time{}, clock.Now()) {
			must(t, err)
			signed = append(signed, s.Serial)
		}
		if !slices.Equal(signed, []telamon.Serial{k.Serial}) {
			t.Errorf("the issuer has signed %v, want %s", signed, k.Serial)
		}
		var told []telamon.Serial
		w.db.OnRevoked(func(serial telamon.Serial) { told = append(told, serial) })
		was, err := w.db.RevokeKeyPair(ctx, operator, te.account.ID, k.ID, telamon.ReasonKeyCompromise)
		if err != nil || was.State != telamon.Deleted || !slices.Equal(told, []telamon.Serial{k.Serial}) {
			t.Errorf("RevokeKeyPair returns %+v, %v, and told of %v", was, err, told)
		}
		_, err = w.db.RevokeKeyPair(ctx, operator, te.account.ID, k.ID, telamon.ReasonSuperseded)
		mustBe(t, err, fault.Conflict, fault.CodeAlreadyRevoked)
		var named []telamon.Serial
		must(t, w.db.RevokedOf(ctx, w.issuer, 0, time.Time{}, func(e *store.RevokedEntry) error {
			named = append(named, e.Serial)
			return nil
		}))
		if shard := w.shard(t); !slices.Equal(named, told) || !shard.IsDirty() {
			t.Errorf("the next CRL names %v and is due %t", named, shard.IsDirty())
		}
		if n := w.number(t, "SELECT count(*) FROM blocked_key WHERE serial = $1", k.Serial[:]); n != 1 {
			t.Errorf("%d blocks of the compromised key", n)
		}
		got, err := w.db.KeyPair(ctx, te.account.ID, k.ID)
		if err != nil || got.State != telamon.Revoked || got.Revocation == nil || got.Revocation.Reason != telamon.ReasonKeyCompromise {
			t.Errorf("the key pair is %+v, %v", got, err)
		}
	})
}

// TestReapplyKeyPair brings back the revocation of a key pair's certificate.
func TestReapplyKeyPair(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, te := t.Context(), w.newTenant(t, "Tenant")
		issuers, _, err := w.db.Issuers(ctx)
		must(t, err)
		k := w.newKeyPair(t, te, "key", true)
		must(t, w.db.CreateKeyPair(ctx, operator, k))
		at := clock.Now().Add(-time.Hour).Truncate(time.Second)
		entries := []store.RevokedEntry{{Serial: k.Serial, At: at, Reason: telamon.ReasonSuperseded}}
		for _, want := range []store.Reapplied{{Revoked: 1}, {}} {
			if got, err := w.db.ReapplyRevocations(ctx, operator, &issuers[0], 0, entries); got != want || err != nil {
				t.Errorf("ReapplyRevocations: %+v, %v; want %+v", got, err, want)
			}
		}
		if got, err := w.db.KeyPair(ctx, te.account.ID, k.ID); err != nil || got.Revocation == nil || !got.Revocation.At.Equal(at) {
			t.Errorf("the key pair is %+v, %v", got, err)
		}
		if events := w.events(t, "key_pair.revoke"); len(events) != 1 || events[0].Account != te.account.ID {
			t.Errorf("the audit log has the events %+v, want one of the account", events)
		}
	})
}

// TestRecordSignature records signatures at once, while one of two key pairs is disabled.
func TestRecordSignature(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		ctx, te := t.Context(), w.newTenant(t, "Tenant")
		active, disabled := w.newKeyPair(t, te, "active", false), w.newKeyPair(t, te, "disabled", false)
		for _, k := range []*telamon.KeyPair{active, disabled} {
			must(t, w.db.CreateKeyPair(ctx, operator, k))
		}
		_, err := w.db.SetKeyPairState(ctx, operator, te.account.ID, disabled.ID, telamon.Disabled)
		must(t, err)
		record := func(ctx context.Context, account telamon.AccountID, id telamon.KeyPairID) error {
			event, err := w.db.RecordSignature(ctx, account, id, telamon.Event{
				Actor: operator, Account: account, Action: "key_pair.sign", Object: id.String(), Result: "ok", After: map[string]any{"digest": "00"},
			})
			if err == nil && event == "" {
				return errors.New("the event has no ID")
			}
			return err
		}
		const n = 20
		errs := make(chan error, 2*n)
		var all sync.WaitGroup
		for _, k := range []*telamon.KeyPair{active, disabled} {
			for range n {
				all.Go(func() { errs <- record(ctx, te.account.ID, k.ID) })
			}
		}
		all.Wait()
		close(errs)
		refused := 0
		for err := range errs {
			if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == "key_pair_not_active" && f.Kind == fault.Conflict {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		results := map[string]int{}
		for _, e := range w.events(t, "key_pair.sign") {
			results[e.Result]++
		}
		if refused != n || results["ok"] != n || results["key_pair_not_active"] != n {
			t.Errorf("%d were refused, and the audit log has %v; want %d of each", refused, results, n)
		}
		mustBe(t, record(ctx, telamon.NewAccountID(), active.ID), fault.NotFound, "key_pair_not_found")
	})
}
