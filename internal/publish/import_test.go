package publish_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/crl"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// sign signs a CRL with an issuer's key, as where the key is offline.
func (w *world) sign(t *testing.T, issuer int, number int64, from, to time.Time, entries ...crl.Entry) []byte {
	t.Helper()
	cert := w.issuers[issuer].Certificate
	algorithm, err := tbs.SignatureFor(cert.PublicKey, "", "")
	must(t, err)
	b, err := crl.NewBuilder(crl.Template{Issuer: cert, Signature: algorithm, Number: number, ThisUpdate: from, NextUpdate: to}, t.TempDir())
	must(t, err)
	defer b.Close()
	for i := range entries {
		must(t, b.Add(&entries[i]))
	}
	draft, err := b.Finish()
	must(t, err)
	signature, err := w.keys.Keystore.SignCRL(w.issuers[issuer].KeyName, draft.TBS())
	must(t, err)
	in, _, err := draft.Signed(signature)
	must(t, err)
	var der bytes.Buffer
	_, err = der.ReadFrom(in)
	must(t, err)
	return der.Bytes()
}

// TestImport publishes CRLs of a root whose key is elsewhere, and refuses what is none.
func TestImport(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	now := w.clock.Now().Truncate(time.Second)
	year := now.AddDate(1, 0, 0)
	first := w.sign(t, root, 1, now, year)
	got, err := w.publisher.Import(t.Context(), operator, first)
	if must(t, err); got.Number != 1 || !bytes.Equal(w.der(t, root, 0), first) {
		t.Errorf("CRL %d is published", got.Number)
	}
	sub := w.issuers[strict]
	serial, _ := telamon.SerialFromInt(sub.Certificate.SerialNumber)
	must(t, w.db.RevokeCA(t.Context(), operator, store.RevokedCA{
		Parent: sub.Parent, Issuer: sub.ID, Serial: serial, NotAfter: sub.Certificate.NotAfter,
	}, telamon.Revocation{Reason: telamon.ReasonCessationOfOperation}))
	w.clock.Advance(time.Minute)
	now = w.clock.Now().Truncate(time.Second)
	entry := crl.Entry{Serial: serial, RevokedAt: now, Reason: telamon.ReasonCessationOfOperation}
	good := w.sign(t, root, 2, now, year, entry)
	for name, der := range map[string][]byte{
		"nothing":               nil,
		"a certificate":         sub.Certificate.Raw,
		"an altered one":        append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1),
		"the same number":       w.sign(t, root, 1, now, year, entry),
		"a forgotten entry":     w.sign(t, root, 2, now, year),
		"one that is over":      w.sign(t, root, 2, now.Add(-30*time.Minute), now.Add(-time.Second), entry),
		"one that is older":     w.sign(t, root, 2, now.Add(-30*time.Minute), year, entry),
		"no number above":       w.sign(t, root, 1<<62, now, year, entry),
		"one without its shard": w.sign(t, sharded, 2, now, now.Add(day)),
	} {
		if _, err := w.publisher.Import(t.Context(), operator, der); !fault.Is(err, fault.Invalid) || fault.From(err).Code != "crl_import" {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	if !bytes.Equal(w.der(t, root, 0), first) {
		t.Fatal("a refused CRL is published")
	}
	got, err = w.publisher.Import(t.Context(), operator, good)
	if must(t, err); got.Entries != 1 || !bytes.Equal(w.der(t, root, 0), good) {
		t.Errorf("the CRL has %d entries", got.Entries)
	}
	if w.shards(t)[0].IsDirty() {
		t.Error("the shard still waits for a CRL")
	}
}

// TestImportElsewhere has two replicas import CRLs: what the other one published counts,
// though this one has not looked yet.
func TestImportElsewhere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := w.clock.Now().Truncate(time.Second)
		year := now.AddDate(1, 0, 0)
		behind := w.publisher
		_, err := behind.Import(t.Context(), operator, w.sign(t, root, 5, now, year))
		must(t, err)
		w.start()
		ahead := w.sign(t, root, 9, now, year)
		_, err = w.publisher.Import(t.Context(), operator, ahead)
		must(t, err)
		if _, err := behind.Import(t.Context(), operator, w.sign(t, root, 7, now, year)); !fault.Is(err, fault.Invalid) {
			t.Errorf("number 7 after 9: %v, want Invalid", err)
		}
		w.turn(t)
		if !bytes.Equal(w.der(t, root, 0), ahead) {
			t.Errorf("number %d is published, want 9", w.crl(t, root, 0).Number)
		}
	})
}
