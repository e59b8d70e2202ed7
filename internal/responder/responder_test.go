package responder_test

import (
	"context"
	"crypto"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestRequirement93KnownWithinSeconds has two processes answer from one database: what
// one of them issues and revokes, the other knows.
func TestRequirement93KnownWithinSeconds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, there := w.responder, responder.New(func() responder.Config {
			c := w.config
			c.Store = dbtest.Open(t, w.database, w.clock)
			return c
		}())
		cert := w.sign(t, 30)
		for _, r := range []*responder.Responder{here, there} {
			mustRefuse(t, r.Answer(t.Context(), w.issuer.ID, w.request(t, cert), never), ocsp.Unauthorized)
		}
		w.store(t, cert)
		for _, r := range []*responder.Responder{here, there} {
			if got := w.ask(t, r, cert); got.Status != ocsp.Good {
				t.Errorf("right after it was issued it is %+v", got)
			}
		}
		before := w.clock.Now()
		revoke(t, w.db, cert)
		if got := w.ask(t, here, cert); got.Status != ocsp.Revoked || got.RevocationReason != ocsp.Superseded || !got.RevokedAt.Equal(before.Truncate(time.Second)) {
			t.Errorf("where it was revoked it is %+v", got)
		}
		w.clock.Advance(time.Second)
		if got := w.ask(t, there, cert); got.Status != ocsp.Revoked || got.RevocationReason != ocsp.Superseded {
			t.Errorf("a second later the other process says %+v", got)
		}
	})
}

// TestRevokedLost revokes a certificate that was lost when the database was restored.
func TestRevokedLost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cert := w.sign(t, 30)
		mustRefuse(t, w.responder.Answer(t.Context(), w.issuer.ID, w.request(t, cert), never), ocsp.Unauthorized)
		serial, _ := telamon.SerialFromInt(cert.Certificate.SerialNumber)
		must(t, w.db.RevokeLost(t.Context(), &w.issuer, serial, telamon.Revocation{Reason: telamon.ReasonSuperseded}, telamon.Event{
			Actor: operator, Action: "certificate.revoke", Object: serial.String(), Result: "ok",
		}))
		if got := w.ask(t, w.responder, cert); got.Status != ocsp.Revoked || got.RevocationReason != ocsp.Superseded || !got.RevokedAt.Equal(w.clock.Now().Truncate(time.Second)) {
			t.Errorf("it is %+v", got)
		}
	})
}

// TestReady counts signatures: an answer is signed once for everybody, and once more
// for those who name the issuer by another hash.
func TestReady(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cert := w.issue(t, 30)
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if got := w.ask(t, w.responder, cert); got.Status != ocsp.Good {
					t.Errorf("it is %+v", got)
				}
			})
		}
		all.Wait()
		for range 3 {
			w.clock.Advance(2 * time.Second)
			w.ask(t, w.responder, cert)
		}
		if n := w.keys.signed.Load(); n != 1 {
			t.Errorf("%d signatures, want one", n)
		}
		by256, err := ocsp.CreateRequest(cert.Certificate, w.issuer.Certificate, &ocsp.RequestOptions{Hash: crypto.SHA256})
		must(t, err)
		got := w.verify(t, w.responder.Answer(t.Context(), w.issuer.ID, by256, never), cert)
		if got.IssuerHash != crypto.SHA256 || w.keys.signed.Load() != 2 {
			t.Errorf("by SHA-256 it is %+v after %d signatures", got, w.keys.signed.Load())
		}
	})
}

// TestRequirement93NeverGood asks for what no answer may call good.
func TestRequirement93NeverGood(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cert := w.issue(t, 30)
		answer := func(issuer telamon.IssuerID, der []byte) *responder.Answer {
			return w.responder.Answer(t.Context(), issuer, der, always)
		}
		unassigned := w.sign(t, 30)
		mustRefuse(t, answer(w.issuer.ID, w.request(t, unassigned)), ocsp.Unauthorized)
		t.Run("a responder's certificate is known", func(t *testing.T) {
			by := w.ask(t, w.responder, cert).Certificate
			own := &telamon.ClientCert{Certificate: by}
			if got := w.ask(t, w.responder, own); got.Status != ocsp.Good {
				t.Errorf("it is %+v", got)
			}
		})
		t.Run("a serial number of another form", func(t *testing.T) {
			foreign := *cert.Certificate
			foreign.SerialNumber = telamon.Serial{0x7f}.Int()
			der, err := ocsp.CreateRequest(&foreign, w.issuer.Certificate, nil)
			must(t, err)
			mustRefuse(t, answer(w.issuer.ID, der), ocsp.Unauthorized)
		})
		t.Run("another issuer's name and key", func(t *testing.T) {
			der, err := ocsp.CreateRequest(cert.Certificate, w.root.Certificate, nil)
			must(t, err)
			mustRefuse(t, answer(w.issuer.ID, der), ocsp.Unauthorized)
			mustRefuse(t, answer(w.root.ID, der), ocsp.Unauthorized) // roots have no OCSP
		})
		t.Run("another issuer's URL", func(t *testing.T) {
			mustRefuse(t, answer(w.root.ID, w.request(t, cert)), ocsp.Unauthorized)
			mustRefuse(t, answer(telamon.NewIssuerID(), w.request(t, cert)), ocsp.Unauthorized)
		})
		t.Run("malformed", func(t *testing.T) {
			der := w.request(t, cert)
			for _, bad := range [][]byte{nil, {0x30}, der[:len(der)-1], append(der, 0)} {
				mustRefuse(t, answer(w.issuer.ID, bad), ocsp.Malformed)
			}
		})
		t.Run("a series without OCSP", func(t *testing.T) {
			c := w.config
			c.Without = []string{"tls-ec"}
			mustRefuse(t, responder.New(c).Answer(t.Context(), w.issuer.ID, w.request(t, cert), always), ocsp.Unauthorized)
		})
		t.Run("expired", func(t *testing.T) {
			short := w.issue(t, 1)
			w.clock.Advance(24*time.Hour - 2*time.Second)
			if got := w.ask(t, w.responder, short); got.Status != ocsp.Good {
				t.Errorf("in its last second it is %+v", got)
			}
			w.clock.Advance(2 * time.Second)
			mustRefuse(t, answer(w.issuer.ID, w.request(t, short)), ocsp.Unauthorized)
		})
		t.Run("a disabled mTLS certificate is not revoked", func(t *testing.T) {
			must(t, w.db.SetClientCertState(t.Context(), operator, cert.Account, cert.ID, telamon.Disabled, ""))
			w.clock.Advance(time.Second)
			if got := w.ask(t, w.responder, cert); got.Status != ocsp.Good {
				t.Errorf("it is %+v", got)
			}
		})
	})
}

// TestRequirement93HalfTime asks for longer than answers of each validity hold: none is
// given out that is past half of its life or four days old, and those that are asked
// for are signed before somebody has to wait.
func TestRequirement93HalfTime(t *testing.T) {
	for _, tt := range []struct {
		validity time.Duration
		database func(testing.TB) string
	}{{responder.MinValidity, dbtest.SQLite}, {96 * time.Hour, dbtest.Postgres}, {responder.MaxValidity, dbtest.SQLite}} {
		t.Run(tt.validity.String(), func(t *testing.T) {
			w := newWorld(t, tt.database(t), "EC-P256")
			w.config.Validity = tt.validity
			w.responder = responder.New(w.config)
			cert, idle := w.issue(t, 300), w.issue(t, 300)
			w.ask(t, w.responder, cert)
			w.ask(t, w.responder, idle)
			stats := w.responder.Stats()
			for range 50 {
				w.clock.Advance(tt.validity / 25)
				must(t, w.responder.Refresh(t.Context()))
				signed := stats.Signed.Load()
				got := w.ask(t, w.responder, cert)
				age, most := w.clock.Now().Sub(got.ThisUpdate), min(tt.validity/2, 4*24*time.Hour)
				if age > most || got.NextUpdate.Sub(got.ThisUpdate) != tt.validity-time.Second {
					t.Fatalf("an answer is %s old and holds for %s", age, got.NextUpdate.Sub(got.ThisUpdate))
				}
				if stats.Signed.Load() != signed {
					t.Fatalf("somebody waited for a signature when the answer was %s old", age)
				}
			}
			if n := w.keys.signed.Load(); n > 10 {
				t.Errorf("%d signatures; what nobody asks for is not to be signed again", n)
			}
		})
	}
}

// TestSignerDown lets the signer and then the database fail.
func TestSignerDown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cert, other := w.issue(t, 300), w.issue(t, 300)
		first := w.ask(t, w.responder, cert)
		w.keys.down.Store(true)
		mustRefuse(t, w.responder.Answer(t.Context(), w.issuer.ID, w.request(t, other), never), ocsp.TryLater)
		for range 19 {
			w.clock.Advance(5 * time.Hour)
			must(t, w.responder.Refresh(t.Context()))
			if got := w.ask(t, w.responder, cert); !got.ThisUpdate.Equal(first.ThisUpdate) {
				t.Fatalf("it is signed at %s", got.ThisUpdate)
			}
		}
		w.clock.Advance(time.Hour)
		mustRefuse(t, w.responder.Answer(t.Context(), w.issuer.ID, w.request(t, cert), never), ocsp.TryLater)
		w.keys.down.Store(false)
		if got := w.ask(t, w.responder, cert); got.Status != ocsp.Good {
			t.Errorf("when the signer is up again it is %+v", got)
		}
		t.Run("a revocation is not served as good for that", func(t *testing.T) {
			w.keys.down.Store(true)
			revoke(t, w.db, cert)
			mustRefuse(t, w.responder.Answer(t.Context(), w.issuer.ID, w.request(t, cert), never), ocsp.TryLater)
			w.keys.down.Store(false)
		})
	})
}

// TestDatabaseDown closes the database: what was good is believed for a minute, and a
// revocation for as long as its answer holds.
func TestDatabaseDown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		db, err := store.Open(t.Context(), store.Config{URL: w.database, Clock: w.clock})
		must(t, err)
		w.config.Store = db
		r := responder.New(w.config)
		good, revoked := w.issue(t, 30), w.issue(t, 30)
		revoke(t, w.db, revoked)
		w.ask(t, r, good)
		w.ask(t, r, revoked)
		must(t, db.Close())
		w.clock.Advance(time.Minute)
		if got := w.ask(t, r, good); got.Status != ocsp.Good {
			t.Errorf("it is %+v", got)
		}
		w.clock.Advance(time.Second)
		mustRefuse(t, r.Answer(t.Context(), w.issuer.ID, w.request(t, good), never), ocsp.TryLater)
		w.clock.Advance(95 * time.Hour)
		if got := w.ask(t, r, revoked); got.Status != ocsp.Revoked {
			t.Errorf("it is %+v", got)
		}
	})
}

// TestDatabaseIsNotAskedAgain asks a lot while the database cannot be read: it is tried
// once a second, and answers that still hold are given out meanwhile.
func TestDatabaseIsNotAskedAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		db, err := store.Open(t.Context(), store.Config{URL: w.database, Clock: w.clock})
		must(t, err)
		w.config.Store = db
		r := responder.New(w.config)
		cert, other := w.issue(t, 30), w.issue(t, 30)
		w.ask(t, r, cert)
		must(t, db.Close())
		for second := range int64(3) {
			w.clock.Advance(time.Second)
			for range 20 {
				if got := w.ask(t, r, cert); got.Status != ocsp.Good {
					t.Fatalf("it is %+v", got)
				}
				mustRefuse(t, r.Answer(t.Context(), w.issuer.ID, w.request(t, other), never), ocsp.TryLater)
			}
			if n := r.Stats().Failed.Load(); n != second+1 {
				t.Errorf("in second %d the database was tried %d times", second, n)
			}
		}
	})
}

// TestCacheIsBounded asks for more than fits.
func TestCacheIsBounded(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), "EC-P256")
	w.config.CacheOctets = 8 << 10
	r := responder.New(w.config)
	certs := make([]*telamon.ClientCert, 12)
	for i := range certs {
		certs[i] = w.issue(t, 30)
		w.ask(t, r, certs[i])
		w.ask(t, r, certs[0]) // is used all the time, and stays
	}
	if n := w.keys.signed.Load(); n != 12 {
		t.Errorf("%d signatures for 12 certificates", n)
	}
	w.ask(t, r, certs[0])
	w.ask(t, r, certs[1])
	if n := w.keys.signed.Load(); n != 13 {
		t.Errorf("%d signatures, want one more for an answer that was dropped", n)
	}
}

// TestCanceled gives up before the answer is made: others still get it.
func TestCanceled(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), "EC-P256")
	cert := w.issue(t, 30)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.responder.Answer(ctx, w.issuer.ID, w.request(t, cert), never)
	if got := w.ask(t, w.responder, cert); got.Status != ocsp.Good || w.keys.signed.Load() != 1 {
		t.Errorf("it is %+v after %d signatures", got, w.keys.signed.Load())
	}
}
