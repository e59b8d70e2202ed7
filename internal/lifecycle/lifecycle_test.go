package lifecycle_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const (
	serverAuth  = "1.3.6.1.5.5.7.3.1"
	clientAuth  = "1.3.6.1.5.5.7.3.2"
	codeSigning = "1.3.6.1.5.5.7.3.3"
)

// leafKey is the key of all leaves: its making is not what these tests measure.
var leafKey = sync.OnceValues(func() (*tbs.PublicKey, error) {
	signer, err := tbs.ECP256.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil, err
	}
	return tbs.NewPublicKey(spki)
})

func subjectKey(t testing.TB) *tbs.PublicKey {
	t.Helper()
	return must(leafKey())(t)
}

func leafContent(t testing.TB, eku string) telamon.Content {
	t.Helper()
	name := telamon.Attribute{
		Type: must(x509.ParseOID("2.5.4.3"))(t), Value: telamon.TypedValue{Type: telamon.UTF8String, Text: "device"},
	}
	return telamon.Content{
		Subject: []telamon.Attribute{name}, SAN: telamon.SubjectAltName{DNSNames: []string{"device.example"}},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: telamon.ExtKeyUsage{OIDs: []x509.OID{must(x509.ParseOID(eku))(t)}},
	}
}

// start is the day on which the installations of these tests are made.
const start = "2027-01-11T09:00:00Z"

// TestSchedule goes through a quarter: the next issuing CA is made ahead, notices are
// given once, the switch happens by the clock, and the old key ends to sign.
func TestSchedule(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.turn(t, start)
		w.want(t, "tls-ec", "active 2027-01-11")
		w.turn(t, "2027-02-26T08:59:59Z")
		w.want(t, "tls-ec", "active 2027-01-11")
		w.turn(t, "2027-02-26T09:00:00Z") // 45 days before
		w.want(t, "tls-ec", "active 2027-01-11, planned 2027-04-12")
		w.want(t, "client-auth-ec", "active 2027-01-11")
		line := w.line(t, "tls-ec")
		next := line[1]
		if want := instant(t, "2027-07-12T09:00:00Z").Add((398 + 90) * 24 * time.Hour); !next.Certificate.NotAfter.Equal(want) {
			t.Errorf("the next issuing CA ends at %s, want %s", next.Certificate.NotAfter, want)
		}
		if next.CRLShards != 2 || next.Certificate.Subject.CommonName != "Telamon tls-ec 2027-04" {
			t.Errorf("the next issuing CA is %s with %d shards", next.Certificate.Subject, next.CRLShards)
		}
		if !line[0].RetireAt.Equal(next.ActivateAt) || !line[0].SignUntil.Equal(next.ActivateAt.Add(telamon.TokenReach)) {
			t.Errorf("the first hands over at %s and signs until %s", line[0].RetireAt, line[0].SignUntil)
		}
		if _, err := w.leaf(t, next.ID, serverAuth, time.Hour); !fault.Is(err, fault.Unavailable) {
			t.Errorf("what is planned signs: %v", err)
		}

		mails := func(want int) {
			t.Helper()
			jobs := must(w.db.Jobs(ctx, store.JobMailSend, 100))(t)
			if len(jobs) != want {
				t.Errorf("at %s %d mails were written, want %d", w.clock.Now().Format(time.DateTime), len(jobs), want)
			}
		}
		w.turn(t, "2027-03-13T08:59:59Z")
		mails(0)
		w.turn(t, "2027-03-13T09:00:00Z") // 30 days before
		mails(1)
		w.Life = w.replica()
		w.turn(t, "2027-03-14T09:00:00Z")
		mails(1)
		w.turn(t, "2027-04-05T09:00:00Z") // 7 days before
		w.turn(t, "2027-04-06T09:00:00Z")
		mails(2)

		w.turn(t, "2027-04-12T08:59:59Z")
		old := w.active(t, "tls-ec")
		w.clock.Advance(time.Second) // nobody takes a turn
		if got := w.active(t, "tls-ec"); got.ID != next.ID || old.ID != line[0].ID {
			t.Errorf("at the instant %s is active, want %s", got.ID, next.ID)
		}
		must(w.leaf(t, old.ID, serverAuth, time.Hour))(t)
		must(w.leaf(t, next.ID, serverAuth, time.Hour))(t)
		ok(t, w.Turn(ctx))
		w.want(t, "tls-ec", "retired 2027-01-11, active 2027-04-12")
		w.turn(t, "2027-04-12T09:10:59Z")
		must(w.leaf(t, old.ID, serverAuth, time.Hour))(t)
		w.turn(t, "2027-04-12T09:11:00Z") // 660 seconds after
		if _, err := w.leaf(t, old.ID, serverAuth, time.Hour); !fault.Is(err, fault.Unavailable) {
			t.Errorf("the old one still signs: %v", err)
		}
		w.turn(t, "2027-04-12T09:11:05Z") // and another replica's clock
		if _, err := w.keys.SignCertificate(old.KeyName, next.Certificate.RawTBSCertificate); !errors.Is(err, keystore.ErrPurpose) || !strings.Contains(err.Error(), "retired") {
			t.Errorf("its key: %v, want that it is retired", err)
		}
		mails(2)
	})
}

// TestEarlyEnd has a process with a wrong clock note that an issuing CA has expired: the
// others keep its key until it is so by their clocks.
func TestEarlyEnd(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.turn(t, "2027-02-26T09:00:00Z")
		w.turn(t, "2027-04-12T12:00:00Z")
		old := w.line(t, "tls-ec")[0]
		ok(t, w.db.ExpireIssuer(ctx, operator, old.ID))
		if err := w.Enforce(ctx); err == nil || !strings.Contains(err.Error(), "compare the clocks") {
			t.Errorf("the end of a CA whose last CRL is not out: %v", err)
		}
		must(w.keys.Public(old.KeyName))(t)
		w.clock.Advance(old.Certificate.NotAfter.Add(10 * day).Sub(w.clock.Now()))
		must(w.keys.Public(old.KeyName))(t)
		w.clock.Advance(time.Second)
		ok(t, w.Enforce(ctx))
		if _, err := w.keys.Public(old.KeyName); !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("after its time its key: %v", err)
		}
	})
}

// ledger counts what a root signs, and can be one that has no root.
type ledger struct {
	issuance.Keys
	root string
	away atomic.Bool
	n    atomic.Int32
}

func (k *ledger) Public(name string) (crypto.PublicKey, error) {
	if name == k.root && k.away.Load() {
		return nil, keystore.ErrNoKey
	}
	return k.Keys.Public(name)
}

func (k *ledger) SignCertificate(name string, tbsDER []byte) ([]byte, error) {
	if name == k.root {
		k.n.Add(1)
	}
	return k.Keys.SignCertificate(name, tbsDER)
}

// TestSignOnce has several callers of two servers ask for the same issuing CA: its root
// signs one certificate, and all get that one.
func TestSignOnce(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		ctx := t.Context()
		keys := &ledger{Keys: w.keys, root: "tls-root"}
		engine := issuance.New(issuance.Config{Keys: keys, Clock: w.clock, StatusBaseURL: "http://status.example"})
		server := func(db *store.DB) *lifecycle.Life {
			return lifecycle.New(lifecycle.Config{Store: db, Issuance: engine, Keys: keys, Clock: w.clock, Rules: rules.Default()})
		}
		one, other := server(w.db), server(dbtest.Open(t, w.url, w.clock))
		keys.away.Store(true)
		planned := must(one.Plan(ctx, operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 1}))(t)
		if planned[0].Signed {
			t.Fatal("a root that is away signs")
		}
		keys.away.Store(false)
		var all sync.WaitGroup
		for _, server := range []*lifecycle.Life{one, other, one, other} {
			all.Go(func() {
				got, err := server.Plan(ctx, operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 1})
				if err != nil || len(got) != 1 || !got[0].Signed || got[0].ID != planned[0].ID {
					t.Errorf("planned is %+v: %v", got, err)
				}
			})
		}
		all.Wait()
		if n := keys.n.Load(); n != 1 {
			t.Errorf("the root signed %d times", n)
		}
		w.want(t, "tls-ec", "active 2027-01-11, planned 2027-04-12")

		// A server that died holds the lease: the others say so, and go on when it has run out.
		keys.away.Store(true)
		must(one.Plan(ctx, operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 2}))(t)
		keys.away.Store(false)
		must(dbtest.Open(t, w.url, w.clock).TakeLease(ctx, "ca-signing", time.Minute))(t)
		_, err := one.Plan(ctx, operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 2})
		mustBe(t, err, fault.NotReady, "signing_busy")
		w.clock.Advance(61 * time.Second)
		must(one.Plan(ctx, operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 2}))(t)
		w.want(t, "tls-ec", "active 2027-01-11, planned 2027-04-12, planned 2027-07-12")
	})
}

// TestRenderMail shows a notice, and drops one whose switch has moved.
func TestRenderMail(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.turn(t, "2027-03-13T09:00:00Z")
		job := must(w.db.Jobs(ctx, store.JobMailSend, 1))(t)[0]
		mail := must(w.db.Mail(ctx, telamon.MailID(job.Key)))(t)
		m := must(w.RenderMail(ctx, mail))(t)
		if mail.Recipient != "operator@example.com" || m.Subject != "The issuing CA of tls-ec changes in 30 days" ||
			!strings.Contains(m.Text, `"Telamon tls-ec 2027-04"`) || !strings.Contains(m.Text, "2027-04-12 09:00 UTC") {
			t.Errorf("to %s: %s\n%s", mail.Recipient, m.Subject, m.Text)
		}
		must(w.Rotate(ctx, operator, lifecycle.RotateRequest{Series: "tls-ec", At: instant(t, "2027-04-13T09:00:00Z")}))(t)
		if _, err := w.RenderMail(ctx, mail); !errors.Is(err, notify.ErrMoot) {
			t.Errorf("the mail of a switch that has moved: %v", err)
		}
		w.turn(t, "2027-03-14T09:00:00Z") // 30 days before the new day
		if jobs := must(w.db.Jobs(ctx, store.JobMailSend, 10))(t); len(jobs) != 2 {
			t.Errorf("%d mails were written, want one for each day of the switch", len(jobs))
		}
	})
}

// TestRequirement90SeparateHierarchies holds that an issuing CA refuses the extended key
// usages of another family: in the engine, and in the keystore if the engine does not.
func TestRequirement90SeparateHierarchies(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		for _, tt := range []struct{ series, own, foreign string }{
			{"tls-ec", serverAuth, codeSigning}, {"client-auth-ec", clientAuth, serverAuth}, {"client-auth-ec", clientAuth, telamon.AnyExtendedKeyUsage},
		} {
			ca := w.active(t, tt.series)
			must(w.leaf(t, ca.ID, tt.own, time.Hour))(t)
			if _, err := w.leaf(t, ca.ID, tt.foreign, time.Hour); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s signs %s: %v", tt.series, tt.foreign, err)
			}
			now := w.clock.Now().Truncate(time.Second)
			algorithm := must(tbs.SignatureFor(ca.Certificate.PublicKey, "", ""))(t)
			smuggled := must(tbs.Build(&tbs.Template{
				Serial: telamon.NewSerial(now), Issuer: ca.Certificate, NotBefore: now, NotAfter: now.Add(time.Hour),
				Content: leafContent(t, tt.foreign), PublicKey: subjectKey(t), Signature: algorithm,
			}))(t)
			if _, err := w.keys.SignCertificate(ca.KeyName, smuggled); !errors.Is(err, keystore.ErrPurpose) {
				t.Errorf("the key of %s signs %s: %v", tt.series, tt.foreign, err)
			}
		}
	})
}

// TestRevokeTimes refuses times at which no key of a CA can have been compromised.
func TestRevokeTimes(t *testing.T) {
	w := newWorldSQLite(t)
	w.turn(t, start)
	for _, tt := range []struct {
		at   time.Time
		code string
		kind fault.Kind
	}{
		{telamon.FirstCompromise.Add(-time.Second), "compromised_at", fault.Invalid},
		{w.clock.Now().Add(301 * time.Second), "compromised_at", fault.Invalid},
		{telamon.FirstCompromise, "issuer_state", fault.Conflict}, // the time is good, but the CA is active
		{time.Time{}, "issuer_state", fault.Conflict},
	} {
		_, err := w.Revoke(t.Context(), operator, lifecycle.RevokeRequest{
			Issuer: w.active(t, "tls-ec").ID, Revocation: telamon.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: tt.at},
		})
		mustBe(t, err, tt.kind, tt.code)
	}
}

// TestRevokeReasons refuses the reasons that a CRL does not give of a CA (BR 7.2.2).
func TestRevokeReasons(t *testing.T) {
	w := newWorldSQLite(t)
	w.turn(t, start)
	given := []telamon.RevocationReason{telamon.ReasonKeyCompromise, telamon.ReasonSuperseded, telamon.ReasonCessationOfOperation}
	for _, reason := range append(slices.Clone(telamon.RevocationReasons), "") {
		kind, code := fault.Invalid, "revocation_reason"
		if slices.Contains(given, reason) {
			kind, code = fault.Conflict, "issuer_state" // the reason is good, but the CA is active
		}
		_, err := w.Revoke(t.Context(), operator, lifecycle.RevokeRequest{
			Issuer: w.active(t, "tls-ec").ID, Revocation: telamon.Revocation{Reason: reason},
		})
		mustBe(t, err, kind, code)
	}
}
