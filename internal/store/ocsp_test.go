package store_test

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestSerialStatus reads the status of certificates of every kind.
func TestSerialStatus(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		var told []telamon.Serial
		w.db.OnRevoked(func(serial telamon.Serial) { told = append(told, serial) })
		status := func(serial telamon.Serial) store.SerialStatus {
			t.Helper()
			got, err := w.db.SerialStatus(t.Context(), serial)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		_, err := w.db.SerialStatus(t.Context(), telamon.NewSerial(clock.Now()))
		mustBe(t, err, fault.NotFound, "certificate_not_found")

		cert := w.cert(w.pair)
		w.mustIssue(t, cert)
		if got := status(cert.Serial); got.Issuer != w.issuer || got.CRLShard != cert.CRLShard || !got.NotAfter.Equal(cert.NotAfter) || got.Revocation != nil {
			t.Errorf("an issued one is %+v", got)
		}
		revision := func() int64 {
			t.Helper()
			all, err := w.db.Revisions(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return all[store.Shard{Issuer: w.issuer, Number: 0}]
		}
		before := revision()
		compromised := clock.Now().Add(-24 * time.Hour)
		rev := telamon.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: compromised}
		if err := w.db.RevokeCertificate(t.Context(), w.another, cert.Serial, rev, w.event(cert)); !fault.Is(err, fault.NotFound) || len(told) != 0 {
			t.Errorf("another pair's certificate: %v, told of %v", err, told)
		}
		if err := w.db.RevokeCertificate(t.Context(), w.pair, cert.Serial, rev, w.event(cert)); err != nil {
			t.Fatal(err)
		}
		if now := revision(); now == before {
			t.Errorf("the revision is still %d", now)
		}
		before = revision()
		got := status(cert.Serial)
		if r := got.Revocation; r == nil || r.Reason != rev.Reason || !r.At.Equal(clock.Now()) || !r.Date().Equal(compromised) {
			t.Errorf("a revoked one is %+v", r)
		}

		own := telamon.ClientCert{
			ID: telamon.NewClientCertID(), Account: w.account, Fingerprint: [32]byte{1}, Serial: telamon.NewSerial(clock.Now()), Issuer: w.issuer,
			SPKIHash: [32]byte{2}, NotAfter: clock.Now().AddDate(5, 0, 0), Certificate: w.sign(t),
		}
		if err := w.db.CreateClientCert(t.Context(), operator, &own); err != nil {
			t.Fatal(err)
		}
		set := func(to telamon.State) {
			t.Helper()
			if err := w.db.SetClientCertState(t.Context(), operator, w.account, own.ID, to, telamon.ReasonSuperseded); err != nil {
				t.Fatal(err)
			}
		}
		set(telamon.Disabled)
		if got := status(own.Serial); got.Issuer != w.issuer || got.Revocation != nil || !got.NotAfter.Equal(own.NotAfter) {
			t.Errorf("a disabled mTLS certificate is %+v", got)
		}
		if now := revision(); now != before {
			t.Errorf("the revision is %d although nothing was revoked since %d", now, before)
		}
		set(telamon.Revoked)
		if now := revision(); now == before {
			t.Errorf("the revision is still %d", now)
		}
		if got := status(own.Serial); got.Revocation == nil || got.Revocation.Reason != telamon.ReasonSuperseded {
			t.Errorf("a revoked mTLS certificate is %+v", got)
		}
		if !slices.Equal(told, []telamon.Serial{cert.Serial, own.Serial}) {
			t.Errorf("told of %v, want of the two that were revoked", told)
		}
	})
}

// TestResponders follows a responder through its life.
func TestResponders(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		cert, err := x509.ParseCertificate(w.blob.DER)
		if err != nil {
			t.Fatal(err)
		}
		r := store.Responder{KeyName: "tls-ocsp-1", Issuer: w.issuer, Certificate: cert}
		if err := w.db.CreateResponder(t.Context(), operator, r); err != nil {
			t.Fatal(err)
		}
		serial, _ := telamon.SerialFromInt(r.Certificate.SerialNumber)
		if got, err := w.db.SerialStatus(t.Context(), serial); err != nil || got.Issuer != w.issuer || got.Revocation != nil {
			t.Errorf("its certificate is %+v, %v", got, err)
		}
		list := func() []store.Responder {
			t.Helper()
			all, err := w.db.Responders(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		move := func(to store.ResponderStatus) error { return w.db.MoveResponder(t.Context(), operator, r.KeyName, to) }
		if all := list(); len(all) != 1 || all[0].KeyName != r.KeyName || all[0].Issuer != w.issuer || !all[0].Certificate.Equal(r.Certificate) ||
			all[0].Status != store.ResponderActive || !all[0].RetiredAt.IsZero() {
			t.Errorf("the responders are %+v", all)
		}
		mustBe(t, move(store.ResponderDestroyed), fault.Conflict, "wrong_state")
		clock.Advance(time.Hour)
		if err := move(store.ResponderRetired); err != nil {
			t.Fatal(err)
		}
		mustBe(t, move(store.ResponderRetired), fault.Conflict, "wrong_state")
		if all := list(); len(all) != 1 || all[0].Status != store.ResponderRetired || !all[0].RetiredAt.Equal(clock.Now()) {
			t.Errorf("the responders are %+v", all)
		}
		if err := move(store.ResponderDestroyed); err != nil {
			t.Fatal(err)
		}
		if all := list(); len(all) != 0 {
			t.Errorf("the responders are %+v, want none", all)
		}
		if _, err := w.db.SerialStatus(t.Context(), serial); err != nil {
			t.Errorf("the serial number is forgotten: %v", err)
		}
	})
}
