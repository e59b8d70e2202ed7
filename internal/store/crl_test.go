package store_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// publish publishes bytes as a CRL of the world's issuer.
func (w *world) publish(t testing.TB, body io.Reader) (*store.CRL, error) {
	t.Helper()
	next, err := w.db.BeginCRL(t.Context(), w.issuer, 0)
	if err != nil {
		t.Fatal(err)
	}
	next.NextUpdate, next.Entries = next.ThisUpdate.Add(time.Hour), 7
	return w.db.PublishCRL(t.Context(), operator, next, body)
}

// shard returns the state of the world's one shard.
func (w *world) shard(t testing.TB) store.CRLShard {
	t.Helper()
	shards, err := w.db.CRLShards(t.Context())
	if err != nil || len(shards) != 1 {
		t.Fatalf("%d shards, %v; want one", len(shards), err)
	}
	return shards[0]
}

// revoke revokes a certificate of the pair.
func (w *world) revoke(t testing.TB, serial telamon.Serial, rev telamon.Revocation) error {
	t.Helper()
	return w.db.RevokeCertificate(t.Context(), w.pair, serial, rev, telamon.Event{
		Actor: operator, Account: w.account, Action: "certificate.revoke", Object: serial.String(), Result: "ok",
	})
}

// TestCRLBytes publishes CRLs of the sizes around those of chunks and transactions.
func TestCRLBytes(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		const chunk, step = 64 << 10, 1 << 20
		for _, size := range []int{1, chunk - 1, chunk, chunk + 1, step - 1, step, step + 1, 2*step + chunk} {
			want := make([]byte, size)
			rand.Read(want)
			crl, err := w.publish(t, bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for n := range crl.Chunks() {
				data, err := w.db.CRLChunk(t.Context(), crl.ID, n)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, data...)
			}
			s := w.shard(t)
			if !bytes.Equal(got, want) || crl.Size != int64(size) || crl.SHA256 != sha256.Sum256(want) || s.CRL == nil || *s.CRL != *crl {
				t.Errorf("of %d octets, %d come back; the store says %+v", size, len(got), s.CRL)
			}
			if e := w.events(t, "crl.publish"); e[len(e)-1].Object != w.issuer.String()+"/0" {
				t.Errorf("the audit event is of %s", e[len(e)-1].Object)
			}
		}
	})
}

// TestCRLCutShort lets the bytes of a CRL fail: what is published stays, and what is
// left is purged after an hour.
func TestCRLCutShort(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		first, err := w.publish(t, bytes.NewReader([]byte("first")))
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("the disk is full")
		for _, size := range []int{0, 1 << 20, 3 << 20} {
			body := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken))
			if _, err := w.publish(t, body); !errors.Is(err, broken) {
				t.Errorf("after %d octets: %v", size, err)
			}
		}
		if s := w.shard(t); s.CRL == nil || s.CRL.ID != first.ID {
			t.Errorf("the newest CRL is %+v, want the first", s.CRL)
		}
		purge := func(want int64) {
			t.Helper()
			if err := w.db.PurgeCRLs(t.Context(), w.issuer, 0, 3); err != nil {
				t.Fatal(err)
			}
			if n := w.number(t, "SELECT count(*) FROM crl"); n != want {
				t.Errorf("%d CRLs are left, want %d", n, want)
			}
		}
		purge(3)
		clock.Advance(time.Hour + time.Millisecond)
		purge(1)
		if n := w.number(t, "SELECT count(*) FROM crl_chunk"); n != 1 {
			t.Errorf("%d chunks are left, want one", n)
		}
	})
}

// TestPurgeCRLs keeps CRLs for a quarter of an hour after the next one, and three always.
func TestPurgeCRLs(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		publish := func(times int) {
			t.Helper()
			for range times {
				if _, err := w.publish(t, bytes.NewReader([]byte("a CRL"))); err != nil {
					t.Fatal(err)
				}
				clock.Advance(time.Minute)
			}
		}
		purged := func(want int64) {
			t.Helper()
			if err := w.db.PurgeCRLs(t.Context(), w.issuer, 0, 3); err != nil {
				t.Fatal(err)
			}
			if n := w.number(t, "SELECT count(*) FROM crl"); n != want {
				t.Errorf("%d CRLs are left, want %d", n, want)
			}
		}
		publish(5)
		clock.Advance(24 * time.Hour)
		publish(4)
		purged(5) // four of the last minutes, and the one before, which was the newest until then
		clock.Advance(time.Hour)
		purged(3)
	})
}

// TestCRLNumbers brings the database back to before a CRL, as a restore does, and the
// clock as well.
func TestCRLNumbers(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		number := func() int64 {
			t.Helper()
			crl, err := w.publish(t, bytes.NewReader([]byte("a CRL")))
			if err != nil {
				t.Fatal(err)
			}
			return crl.Number
		}
		first := number()
		if first != clock.Now().UnixMilli() {
			t.Errorf("the first number is %d at %d", first, clock.Now().UnixMilli())
		}
		if second := number(); second != first+1 {
			t.Errorf("in the same millisecond the number is %d after %d", second, first)
		}
		clock.Advance(time.Hour)
		published := number()
		w.exec(t, "UPDATE crl_shard SET number = $1", first)
		clock.Advance(time.Second)
		if got := number(); got <= published {
			t.Errorf("after a restore the number is %d, and %d was published", got, published)
		}
		next, err := w.db.BeginCRL(t.Context(), w.issuer, 0)
		if err != nil {
			t.Fatal(err)
		}
		next.Number, next.NextUpdate = next.LastNumber, next.ThisUpdate.Add(time.Hour)
		_, err = w.db.PublishCRL(t.Context(), operator, next, bytes.NewReader([]byte("a CRL")))
		mustBe(t, err, fault.Conflict, store.CodeCRLSuperseded)
		ahead := clock.Now().Add(24 * time.Hour).UnixMilli()
		for _, seen := range []int64{ahead, first} { // a lower one changes nothing
			if err := w.db.RaiseCRLNumber(t.Context(), w.issuer, 0, seen); err != nil {
				t.Fatal(err)
			}
		}
		if got := number(); got != ahead+1 {
			t.Errorf("after number %d was seen elsewhere it is %d", ahead, got)
		}
	})
}

// TestShardIsMarked holds that what revokes marks the shard, once for a transaction, and
// what is refused does not.
func TestShardIsMarked(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		cert := w.cert(w.pair)
		w.mustIssue(t, cert)
		revision := func(want int64) {
			t.Helper()
			if s := w.shard(t); s.Revision != want || s.IsDirty() != (want > s.Published) {
				t.Errorf("the shard is %+v, want revision %d", s, want)
			}
		}
		if err := w.revoke(t, cert.Serial, telamon.Revocation{Reason: telamon.ReasonSuperseded}); err != nil {
			t.Fatal(err)
		}
		revision(1)
		at := clock.Now()
		clock.Advance(time.Second)
		mustBe(t, w.revoke(t, cert.Serial, telamon.Revocation{Reason: telamon.ReasonSuperseded}), fault.Conflict, fault.CodeAlreadyRevoked)
		mustBe(t, w.revoke(t, telamon.NewSerial(at), telamon.Revocation{Reason: telamon.ReasonSuperseded}), fault.NotFound, "certificate_not_found")
		revision(1)
		attested := telamon.Revocation{Reason: telamon.ReasonKeyCompromise, Attested: true, CompromisedAt: at.Add(-time.Hour)}
		if err := w.revoke(t, cert.Serial, attested); err != nil {
			t.Fatal(err)
		}
		revision(2)
		if s := w.shard(t); !s.RevisedAt.Equal(at.Truncate(time.Millisecond)) {
			t.Errorf("the oldest revocation without a CRL is of %s, want %s", s.RevisedAt, at)
		}
		if _, err := w.publish(t, bytes.NewReader([]byte("a CRL"))); err != nil {
			t.Fatal(err)
		}
		if s := w.shard(t); s.IsDirty() || s.Published != 2 {
			t.Errorf("after a CRL the shard is %+v", s)
		}
	})
}

// TestRevokedOf reads what a CRL holds: by issuer, shard and expiry, in order.
func TestRevokedOf(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		var want []store.RevokedEntry
		at := clock.Now().Truncate(time.Millisecond)
		for n := range 40 {
			cert := w.cert(w.pair)
			cert.CRLShard = n % 2
			cert.NotAfter = cert.NotBefore.Add(time.Duration(1+n/4) * 24 * time.Hour)
			w.mustIssue(t, cert)
			if n%4 >= 2 {
				continue
			}
			rev := telamon.Revocation{Reason: telamon.RevocationReasons[n%6]}
			if rev.Reason == telamon.ReasonKeyCompromise {
				rev.CompromisedAt = at.Add(-time.Hour)
			}
			if err := w.revoke(t, cert.Serial, rev); err != nil {
				t.Fatal(err)
			}
			if cert.CRLShard == 1 {
				want = append(want, store.RevokedEntry{
					Serial: cert.Serial, NotAfter: cert.NotAfter, At: at, Reason: rev.Reason, CompromisedAt: rev.CompromisedAt,
				})
			}
		}
		slices.SortFunc(want, func(a, b store.RevokedEntry) int { return bytes.Compare(a.Serial[:], b.Serial[:]) })
		for _, since := range []time.Time{{}, want[0].NotAfter, clock.Now().AddDate(1, 0, 0)} {
			var got []store.RevokedEntry
			err := w.db.RevokedOf(t.Context(), w.issuer, 1, since, func(r *store.RevokedEntry) error {
				got = append(got, *r)
				return nil
			})
			expected := slices.DeleteFunc(slices.Clone(want), func(r store.RevokedEntry) bool { return r.NotAfter.Before(since) })
			if err != nil || !slices.Equal(got, expected) {
				t.Errorf("since %s: %d entries, %v; want %d\n%v\n%v", since, len(got), err, len(expected), got, expected)
			}
		}
		stop := errors.New("enough")
		if err := w.db.RevokedOf(t.Context(), w.issuer, 1, time.Time{}, func(*store.RevokedEntry) error { return stop }); err != stop {
			t.Errorf("an error of the caller comes back as %v, as if it were the database's", err)
		}
		if err := w.db.RevokedOf(t.Context(), telamon.NewIssuerID(), 1, time.Time{}, func(*store.RevokedEntry) error { return stop }); err != nil {
			t.Errorf("another issuer has entries: %v", err)
		}
	})
}
