package publish_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const day = 24 * time.Hour

// TestRequirement92CRLsForThirtyDays lives through thirty days, two hours at a time and
// five seconds at a time after a revocation. BR 4.9.7: at least every four days, a
// nextUpdate of at most ten days, strictly increasing numbers; 4.10.1: entries until
// after the certificate's expiry.
func TestRequirement92CRLsForThirtyDays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		type revoked struct {
			cert  *telamon.Certificate
			place int
			gone  bool // from the CRLs, after its expiry
		}
		var all []*revoked
		numbers := map[[2]int]int64{}
		check := func() {
			t.Helper()
			now := w.clock.Now()
			for place := range w.issuers {
				for shard := range w.issuers[place].CRLShards {
					list := w.crl(t, place, shard)
					every, life := 4*day, 10*day
					if place == root {
						every, life = 365*day, 365*day
					}
					if now.After(list.NextUpdate) || now.Sub(list.ThisUpdate) > every || list.NextUpdate.Sub(list.ThisUpdate) > life {
						t.Fatalf("at %s the CRL %d/%d is of %s to %s", now, place, shard, list.ThisUpdate, list.NextUpdate)
					}
					key := [2]int{place, shard}
					if n := list.Number.Int64(); n < numbers[key] {
						t.Fatalf("the number of CRL %d/%d went from %d to %d", place, shard, numbers[key], n)
					}
					numbers[key] = list.Number.Int64()
					for _, r := range all {
						if r.place != place || r.cert.CRLShard != shard {
							continue
						}
						found := entry(list, r.cert) != nil
						switch {
						case !found && !r.cert.NotAfter.Before(list.ThisUpdate.Add(-day)):
							t.Fatalf("at %s the entry of %s, which expires at %s, is gone", now, r.cert.Serial, r.cert.NotAfter)
						case found && now.After(r.cert.NotAfter.Add(3*day)):
							t.Fatalf("at %s the entry of %s, which expired at %s, is still there", now, r.cert.Serial, r.cert.NotAfter)
						}
						r.gone = !found
					}
				}
			}
		}
		w.turn(t)
		check()
		for n := range 30 * 12 {
			w.clock.Advance(2*time.Hour - time.Minute)
			w.turn(t)
			before := len(all)
			if n%7 == 0 {
				place := single + n%3
				cert, _ := w.issue(t, place, time.Duration(1+n%5)*day)
				w.revoke(t, cert, telamon.Revocation{Reason: telamon.ReasonSuperseded})
				w.turn(t)
				number := w.crl(t, place, cert.CRLShard).Number.Int64()
				// Another one right behind it has to wait for the gap.
				second, _ := w.issue(t, place, 5*day)
				w.revoke(t, second, telamon.Revocation{Reason: telamon.ReasonUnspecified})
				all = append(all, &revoked{cert: cert, place: place}, &revoked{cert: second, place: place})
				for range 11 {
					w.clock.Advance(5 * time.Second)
					w.turn(t)
				}
				w.clock.Advance(5 * time.Second)
				for _, r := range all[before:] {
					if entry(w.crl(t, place, r.cert.CRLShard), r.cert) == nil {
						t.Fatalf("a minute after its revocation, %s is on no CRL", r.cert.Serial)
					}
				}
				if n := w.crl(t, place, cert.CRLShard).Number.Int64(); cert.CRLShard == second.CRLShard && n <= number {
					t.Fatalf("the number stayed at %d, was %d", n, number)
				}
			} else {
				w.clock.Advance(time.Minute)
				w.turn(t)
			}
			check()
		}
		expired := 0
		for _, r := range all {
			if r.gone {
				expired++
			}
		}
		if len(all) < 100 || expired < 50 {
			t.Errorf("of %d revoked certificates, %d have left the CRLs: the test shows nothing", len(all), expired)
		}
		if rows := w.shards(t); len(rows) != 7 {
			t.Errorf("there are %d shards, want 7", len(rows))
		}
	})
}

// shards returns the shards by the store.
func (w *world) shards(t testing.TB) []store.CRLShard {
	t.Helper()
	shards, err := w.db.CRLShards(t.Context())
	must(t, err)
	return shards
}

// TestRequirement85RevocationOnCRL looks at the entry of each reason: no reasonCode for
// an unspecified one, and the date of the compromise where it was told (BR 7.2.2).
func TestRequirement85RevocationOnCRL(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		compromised := w.clock.Now().Add(-72 * time.Hour)
		for _, tt := range []struct {
			name     string
			rev      telamon.Revocation
			code     int
			backdate bool
		}{
			{"no reason", telamon.Revocation{Reason: telamon.ReasonUnspecified}, 0, false},
			{"keyCompromise", telamon.Revocation{Reason: telamon.ReasonKeyCompromise}, 1, false},
			{"keyCompromise of a time", telamon.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: compromised}, 1, true},
			{"keyCompromise to come", telamon.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: w.clock.Now().Add(day)}, 1, false},
			{"affiliationChanged", telamon.Revocation{Reason: telamon.ReasonAffiliationChanged}, 3, false},
			{"superseded with a time", telamon.Revocation{Reason: telamon.ReasonSuperseded, CompromisedAt: compromised}, 4, false},
			{"cessationOfOperation", telamon.Revocation{Reason: telamon.ReasonCessationOfOperation}, 5, false},
			{"privilegeWithdrawn", telamon.Revocation{Reason: telamon.ReasonPrivilegeWithdrawn}, 9, false},
		} {
			for _, place := range []int{single, sharded, strict} {
				cert, _ := w.issue(t, place, 30*day)
				w.revoke(t, cert, tt.rev)
				at := w.clock.Now().Truncate(time.Second)
				w.clock.Advance(time.Minute)
				w.turn(t)
				e := entry(w.crl(t, place, cert.CRLShard), cert)
				if e == nil {
					t.Fatalf("%s: the certificate is not on the CRL", tt.name)
				}
				want, extensions := at, 0
				if tt.code != 0 {
					extensions++
				}
				if tt.backdate {
					want = compromised.Truncate(time.Second)
					if place != strict { // which has no invalidityDate
						extensions++
					}
				}
				if e.ReasonCode != tt.code || !e.RevocationTime.Equal(want) || len(e.Extensions) != extensions {
					t.Errorf("%s: the entry is %+v; want reason %d at %s and %d extensions", tt.name, e, tt.code, want, extensions)
				}
			}
		}
		// Later evidence changes an entry.
		cert, _ := w.issue(t, single, 30*day)
		w.revoke(t, cert, telamon.Revocation{Reason: telamon.ReasonSuperseded})
		w.clock.Advance(time.Minute)
		w.turn(t)
		w.revoke(t, cert, telamon.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: compromised, Attested: true})
		w.clock.Advance(time.Minute)
		w.turn(t)
		if e := entry(w.crl(t, single, 0), cert); e == nil || e.ReasonCode != 1 || !e.RevocationTime.Equal(compromised.Truncate(time.Second)) {
			t.Errorf("after an attestation the entry is %+v", e)
		}
	})
}

// TestServedAtOnce looks at what is served whenever a CRL is signed: those before it.
func TestServedAtOnce(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	var served []int
	w.keys.signed = func() {
		n := 0
		for _, issuer := range w.issuers {
			for shard := range issuer.CRLShards {
				if w.publisher.Newest(issuer.ID, shard) != nil {
					n++
				}
			}
		}
		served = append(served, n)
	}
	w.turn(t)
	if !slices.Equal(served, []int{0, 1, 2, 3, 4, 5, 6}) {
		t.Errorf("of seven CRLs, so many are served while the next one is built: %v", served)
	}
}

// writer gives what is written to it to a function.
type writer func(b []byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}

// TestOneCopyInMemory has many clients ask for a CRL at once, before it is in memory:
// they are given the same bytes.
func TestOneCopyInMemory(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.turn(t)
	crl := w.publisher.Newest(w.issuers[single].ID, 0)
	given := make(chan *byte, 20)
	var clients sync.WaitGroup
	for range cap(given) {
		clients.Go(func() {
			if err := w.publisher.Write(t.Context(), writer(func(b []byte) { given <- &b[0] }), crl); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	close(given)
	first, n := <-given, 1
	for b := range given {
		if b != first {
			t.Fatal("a CRL is in memory twice")
		}
		n++
	}
	if n != cap(given) {
		t.Errorf("the CRL was written %d times, want %d", n, cap(given))
	}
}

// TestOldCompromise has a subscriber tell of a compromise in 1906, which no UTCTime can
// say, and a row be of a reason that there is not: the CRLs name both, and the others.
func TestOldCompromise(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, place := range []int{single, sharded, strict} {
			cert, _ := w.issue(t, place, 30*day)
			old := time.Date(1906, 4, 18, 5, 12, 0, 0, time.UTC)
			w.revoke(t, cert, telamon.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: old})
			w.clock.Advance(time.Minute)
			w.turn(t)
			if e := entry(w.crl(t, place, cert.CRLShard), cert); e == nil || !e.RevocationTime.Equal(telamon.FirstCompromise) {
				t.Errorf("the entry on the CRL of issuer %d is %+v", place, e)
			}
		}
		bad := telamon.Serial{1, 2, 3}
		must(t, w.db.RevokeCA(t.Context(), operator, store.RevokedCA{
			Parent: w.issuers[root].ID, Issuer: w.issuers[single].ID, Serial: bad, NotAfter: w.clock.Now().Add(day),
		}, telamon.Revocation{Reason: "boredom"}))
		w.clock.Advance(time.Minute)
		w.turn(t)
		if e := entry(w.crl(t, root, 0), &telamon.Certificate{Serial: bad}); e == nil || e.ReasonCode != 0 {
			t.Errorf("the entry of an unknown reason is %+v", e)
		}
	})
}

// TestDistributionPoint compares the issuing distribution point of each CRL with what
// stands in the certificates of its shard, octet for octet (BR 7.2.2.1).
func TestDistributionPoint(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.turn(t)
	for place := range w.issuers {
		seen := map[int]bool{}
		for n := 0; place != root && len(seen) < w.issuers[place].CRLShards; n++ {
			if n == 100 {
				t.Fatalf("a hundred certificates use the shards %v", seen)
			}
			entry, cert := w.issue(t, place, day)
			if seen[entry.CRLShard] {
				continue
			}
			seen[entry.CRLShard] = true
			point, critical := distributionPoint(t, w.crl(t, place, entry.CRLShard))
			wanted := place == sharded || place == strict
			if (point != "") != wanted || critical != wanted || wanted && point != cert.CRLDistributionPoints[0] {
				t.Errorf("issuer %d: the CRL is of %q (critical %t), the certificate says %q", place, point, critical, cert.CRLDistributionPoints)
			}
		}
	}
}

func distributionPoint(t *testing.T, list *x509.RevocationList) (url string, critical bool) {
	t.Helper()
	for _, e := range list.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 28}) {
			var idp struct {
				Point struct {
					FullName []asn1.RawValue `asn1:"optional,tag:0"`
				} `asn1:"optional,tag:0"`
			}
			if rest, err := asn1.Unmarshal(e.Value, &idp); err != nil || len(rest) > 0 || len(idp.Point.FullName) != 1 {
				t.Fatalf("the distribution point is %x: %v", e.Value, err)
			}
			return string(idp.Point.FullName[0].Bytes), e.Critical
		}
	}
	return "", false
}

// TestClientCertificateAndCA has the other two kinds of certificates revoked.
func TestClientCertificateAndCA(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.turn(t)
		entryOf, cert := w.issue(t, single, 30*day) // its bytes serve as a client certificate's
		client := &telamon.ClientCert{
			ID: telamon.NewClientCertID(), Account: w.account, Serial: telamon.NewSerial(w.clock.Now()), Issuer: w.issuers[single].ID,
			Certificate: cert, NotAfter: cert.NotAfter, SPKIHash: entryOf.SPKIHash,
		}
		must(t, w.db.CreateClientCert(t.Context(), operator, client))
		must(t, w.db.SetClientCertState(t.Context(), operator, w.account, client.ID, telamon.Disabled, ""))
		w.clock.Advance(time.Minute)
		w.turn(t)
		if n := len(w.crl(t, single, 0).RevokedCertificateEntries); n != 0 {
			t.Errorf("a disabled client certificate is on the CRL: %d entries", n)
		}
		must(t, w.db.SetClientCertState(t.Context(), operator, w.account, client.ID, telamon.Revoked, telamon.ReasonKeyCompromise))
		sub := w.issuers[strict]
		serial, _ := telamon.SerialFromInt(sub.Certificate.SerialNumber)
		ca := store.RevokedCA{Parent: sub.Parent, Issuer: sub.ID, Serial: serial, NotAfter: sub.Certificate.NotAfter}
		must(t, w.db.RevokeCA(t.Context(), operator, ca, telamon.Revocation{Reason: telamon.ReasonCessationOfOperation}))
		if err := w.db.RevokeCA(t.Context(), operator, ca, telamon.Revocation{Reason: telamon.ReasonSuperseded}); !fault.Is(err, fault.Conflict) {
			t.Errorf("a CA is revoked twice: %v", err)
		}
		w.clock.Advance(time.Minute)
		w.turn(t)
		if e := entry(w.crl(t, single, 0), &telamon.Certificate{Serial: client.Serial}); e == nil || e.ReasonCode != 1 {
			t.Errorf("the client certificate's entry is %+v", e)
		}
		if e := entry(w.crl(t, root, 0), &telamon.Certificate{Serial: serial}); e == nil || e.ReasonCode != 5 {
			t.Errorf("the CA's entry is %+v", e)
		}
	})
}

// TestFailingSigner has the signer fail: it is tried again ever more rarely, the CRL
// that is out stays, and the process is not ready when that is about to expire.
func TestFailingSigner(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.turn(t)
	before := w.der(t, single, 0)
	w.keys.fail = errSigner
	cert, _ := w.issue(t, single, 30*day)
	w.revoke(t, cert, telamon.Revocation{Reason: telamon.ReasonSuperseded})
	w.clock.Advance(time.Minute)
	attempts := func(turns int, step time.Duration) (n int) {
		for range turns {
			if w.publisher.Turn(context.Background()) != nil {
				n++
			}
			w.clock.Advance(step)
		}
		return n
	}
	if n := attempts(60, publish.Poll); n < 3 || n > 6 {
		t.Errorf("in two minutes it was tried %d times", n)
	}
	if !bytes.Equal(before, w.der(t, single, 0)) || w.publisher.Ready() != nil {
		t.Errorf("while the signer is away the CRL changed, or the process is not ready: %v", w.publisher.Ready())
	}
	states, err := w.publisher.States(t.Context())
	must(t, err)
	for _, s := range states {
		if s.Issuer == w.issuers[single].ID && (s.Failures < 3 || !strings.Contains(s.Problem, errSigner.Error()) || !s.IsDirty()) {
			t.Errorf("the state says %+v", s)
		}
	}
	if n := strings.Count(w.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("the log has %d errors, want one: %s", n, &w.log)
	}
	if _, err := w.publisher.Publish(t.Context(), operator, w.issuers[single].ID); !fault.Is(err, fault.Unavailable) ||
		!strings.Contains(fault.From(err).Detail, errSigner.Error()) {
		t.Errorf("publish it by hand: %v", err)
	}
	w.clock.Advance(7*day - 2*time.Hour)
	attempts(1, 0)
	if w.publisher.Ready() != nil {
		t.Errorf("two hours before the end of the CRL: %v", w.publisher.Ready())
	}
	w.clock.Advance(90 * time.Minute)
	if w.publisher.Ready() == nil {
		t.Error("half an hour before the end of the CRL the process is ready")
	}
	w.keys.fail = nil
	w.clock.Advance(5 * time.Minute)
	w.turn(t)
	if entry(w.crl(t, single, 0), cert) == nil || w.publisher.Ready() != nil {
		t.Errorf("when the signer is back: %v", w.publisher.Ready())
	}
}

// TestWrongSignature has the signer sign with another CA's key.
func TestWrongSignature(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.turn(t)
	number := w.crl(t, single, 0).Number
	w.issuers[single].Certificate, w.issuers[strict].Certificate = w.issuers[strict].Certificate, w.issuers[single].Certificate
	w.engine.Load(w.issuers, w.series)
	w.clock.Advance(day)
	if err := w.publisher.Turn(t.Context()); err == nil {
		t.Error("a CRL under another CA's name is published")
	}
	if got := w.publisher.Newest(w.issuers[single].ID, 0).Number; got != number.Int64() {
		t.Errorf("the number went from %s to %d", number, got)
	}
}

// TestTwoReplicas has two processes publish the same CRL: one number, one CRL.
func TestTwoReplicas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.turn(t)
		other := dbtest.Open(t, w.url, w.clock)
		w.clock.Advance(time.Minute)
		id := w.issuers[single].ID
		a, err := w.db.BeginCRL(t.Context(), id, 0)
		must(t, err)
		b, err := other.BeginCRL(t.Context(), id, 0)
		must(t, err)
		if a.Number != b.Number {
			t.Fatalf("the numbers are %d and %d", a.Number, b.Number)
		}
		a.NextUpdate, b.NextUpdate = a.ThisUpdate.Add(day), b.ThisUpdate.Add(day)
		published, err := other.PublishCRL(t.Context(), operator, b, strings.NewReader("b"))
		must(t, err)
		if _, err := w.db.PublishCRL(t.Context(), operator, a, strings.NewReader("a")); fault.From(err).Code != store.CodeCRLSuperseded {
			t.Errorf("the second CRL of a number: %v", err)
		}
		next, err := w.db.BeginCRL(t.Context(), id, 0)
		must(t, err)
		if next.Number != published.Number+1 {
			t.Errorf("the next number in the same millisecond is %d after %d", next.Number, published.Number)
		}
		data, err := w.db.CRLChunk(t.Context(), published.ID, 0)
		if must(t, err); string(data) != "b" {
			t.Errorf("what is published is %q", data)
		}
	})
}

// TestPublisherDies has the process die that has just published, and so holds the lease.
// Another one has the next revocation on a CRL within a minute all the same.
func TestPublisherDies(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cert, _ := w.issue(t, single, day)
		w.turn(t)
		w.db = dbtest.Open(t, w.url, w.clock)
		w.start()
		w.revoke(t, cert, telamon.Revocation{Reason: telamon.ReasonSuperseded})
		for range 29 {
			w.clock.Advance(publish.Poll)
			w.turn(t)
		}
		if n := len(w.crl(t, single, cert.CRLShard).RevokedCertificateEntries); n != 1 {
			t.Errorf("58 seconds after the revocation, the CRL has %d entries", n)
		}
	})
}

// TestLostMark revokes while a CRL is built: the next one must hold it.
func TestLostMark(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.turn(t)
		next, err := w.db.BeginCRL(t.Context(), w.issuers[single].ID, 0)
		must(t, err)
		cert, _ := w.issue(t, single, 30*day)
		w.revoke(t, cert, telamon.Revocation{Reason: telamon.ReasonSuperseded})
		next.NextUpdate = next.ThisUpdate.Add(day)
		_, err = w.db.PublishCRL(t.Context(), operator, next, strings.NewReader("without it"))
		must(t, err)
		w.clock.Advance(time.Minute)
		w.turn(t)
		if entry(w.crl(t, single, 0), cert) == nil {
			t.Error("a revocation during the making of a CRL is lost")
		}
	})
}

// TestLastCRL retires an issuer: its CRLs go on until its last certificate has expired,
// and then there is one more.
func TestLastCRL(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.turn(t)
		_, late := w.issue(t, sharded, 40*day)
		revoked, _ := w.issue(t, sharded, 20*day)
		w.clock.Advance(10 * day)
		issuer := &w.issuers[sharded]
		last := func() store.LastCRL {
			t.Helper()
			got, err := w.db.LastCRL(t.Context(), issuer)
			must(t, err)
			return got
		}
		if got := last(); !got.End.IsZero() {
			t.Errorf("an active issuer ends at %s", got.End)
		}
		issuer.Status, issuer.RetireAt = telamon.IssuerRetired, w.clock.Now()
		w.engine.Load(w.issuers, w.series)
		w.revoke(t, revoked, telamon.Revocation{Reason: telamon.ReasonSuperseded})
		w.turn(t)
		if got := last(); !got.End.IsZero() {
			t.Errorf("an issuer with tokens in flight ends at %s", got.End)
		}
		for range 29 {
			w.clock.Advance(day)
			w.turn(t)
			list := w.crl(t, sharded, revoked.CRLShard)
			if w.clock.Now().Sub(list.ThisUpdate) > 2*time.Second {
				t.Fatalf("at %s the CRL of a retired issuer is of %s", w.clock.Now(), list.ThisUpdate)
			}
			if got := last(); !got.End.Equal(late.NotAfter) || !got.At.IsZero() {
				t.Fatalf("the last certificate expires at %s, and the store says %+v", late.NotAfter, got)
			}
		}
		w.clock.Advance(day + 2*time.Second) // past the last certificate
		w.turn(t)
		got := last()
		if !got.At.After(late.NotAfter) || !got.Until.After(late.NotAfter) {
			t.Fatalf("the last CRL is of %s until %s, the last certificate until %s", got.At, got.Until, late.NotAfter)
		}
		w.clock.Advance(30 * day)
		w.turn(t)
		if again := last(); again != got {
			t.Errorf("a month later the last CRL is %+v, was %+v", again, got)
		}
		if w.publisher.Ready() != nil {
			t.Errorf("a CRL that ended for good makes the process unready: %v", w.publisher.Ready())
		}
	})
}

// TestOffline takes the root's key away.
func TestOffline(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.issuers[root].KeyName = "elsewhere"
	w.engine.Load(w.issuers, w.series)
	w.turn(t)
	if w.publisher.Newest(w.issuers[root].ID, 0) != nil {
		t.Error("the CRL of a key that is not here is published")
	}
	if _, err := w.publisher.Publish(t.Context(), operator, w.issuers[root].ID); fault.From(err).Code != "crl_offline" {
		t.Errorf("publish it by hand: %v", err)
	}
	if _, err := w.publisher.Publish(t.Context(), operator, telamon.NewIssuerID()); !fault.Is(err, fault.NotFound) {
		t.Errorf("of an unknown issuer: %v", err)
	}
	w.clock.Advance(4 * 365 * day)
	w.engine.Load(w.issuers, w.series)
	if _, err := w.publisher.Publish(t.Context(), operator, w.issuers[single].ID); fault.From(err).Code != "issuer_expired" {
		t.Errorf("of an expired issuer: %v", err)
	}
}

// TestOfflineHealth has an offline root's CRL be overdue, which metrics tell of and
// readiness does not, and then takes the key of an issuing CA away, which fails.
func TestOfflineHealth(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	from := w.clock.Now().Truncate(time.Second)
	der := w.sign(t, root, 1, from, from.Add(2*time.Hour))
	w.issuers[root].KeyName = "elsewhere"
	w.engine.Load(w.issuers, w.series)
	_, err := w.publisher.Import(t.Context(), operator, der)
	must(t, err)
	must(t, w.db.RevokeCA(t.Context(), operator, store.RevokedCA{
		Parent: w.issuers[root].ID, Issuer: w.issuers[single].ID, Serial: telamon.Serial{1}, NotAfter: from.Add(day),
	}, telamon.Revocation{Reason: telamon.ReasonSuperseded}))
	w.clock.Advance(90 * time.Minute)
	w.turn(t)
	h := w.publisher.Health()
	if h.Waiting != 90*time.Minute || !h.NextUpdate.Equal(from.Add(2*time.Hour)) || h.Failing != 0 || w.publisher.Ready() != nil {
		t.Errorf("with an offline root: %+v, ready: %v", h, w.publisher.Ready())
	}
	w.issuers[single].KeyName = "lost"
	w.engine.Load(w.issuers, w.series)
	w.clock.Advance(day)
	if err := w.publisher.Turn(t.Context()); !errors.Is(err, keystore.ErrNoKey) || w.publisher.Health().Failing != 1 {
		t.Errorf("without the key of an issuing CA: %v, %d failing; want 1", err, w.publisher.Health().Failing)
	}
}

// TestOldCRLsGo keeps the newest three, and no chunk of another.
func TestOldCRLsGo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.turn(t)
		var ids []telamon.CRLID
		for range 5 {
			w.clock.Advance(time.Hour)
			got, err := w.publisher.Publish(t.Context(), operator, w.issuers[single].ID)
			must(t, err)
			ids = append(ids, got[0].ID)
		}
		for i, id := range ids {
			_, err := w.db.CRLChunk(t.Context(), id, 0)
			if i >= 2 && err != nil || i < 2 && !fault.Is(err, fault.NotFound) {
				t.Errorf("CRL %d of 5: %v", i+1, err)
			}
		}
	})
}

// TestSchedule refuses what the rules do not allow.
func TestSchedule(t *testing.T) {
	if err := publish.DefaultSchedule.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*publish.Schedule){
		"rarer than every four days": func(s *publish.Schedule) { s.Every = 4*day + 1 },
		"good for more than 10 days": func(s *publish.Schedule) { s.Lifetime = 10*day + 1 },
		"good for one period":        func(s *publish.Schedule) { s.Lifetime = s.Every },
		"all the time":               func(s *publish.Schedule) { s.Every = 0 },
		"a root good for 2 years":    func(s *publish.Schedule) { s.RootLifetime = 730 * day },
		"a root yearly":              func(s *publish.Schedule) { s.RootEvery = 365 * day },
		"a gap of minutes":           func(s *publish.Schedule) { s.Gap = 2 * time.Minute },
	} {
		s := publish.DefaultSchedule
		change(&s)
		if s.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
