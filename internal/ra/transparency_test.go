package ra_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/ct"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit/ctlog"
)

// withLogs has the use cases log what is issued by the series, to two logs.
func (w *world) withLogs(t *testing.T) []*ctlog.Log {
	t.Helper()
	chain, err := w.engine.Chain(w.issuer.ID)
	must(t, err)
	cfg := ct.Config{Want: 2, Timeout: 2 * time.Second, Clock: w.clock}
	var logs []*ctlog.Log
	for _, operator := range []string{"a", "b"} {
		l := ctlog.Start(t, w.clock.Now)
		l.Accept(chain[len(chain)-1])
		logs = append(logs, l)
		cfg.Logs = append(cfg.Logs, ct.LogConfig{URL: l.URL, Key: l.Key, Operator: operator})
	}
	submitter, err := ct.New(cfg)
	must(t, err)
	w.transparency = ra.Transparency{Logs: submitter, Series: []string{"tls-ec"}}
	w.start(t)
	return logs
}

// precertificate returns the one precertificate that the actor's request made.
func (w *world) precertificate(t testing.TB, actor telamon.Actor) *store.Precertificate {
	t.Helper()
	for _, e := range w.events(t, actor) {
		if e.Action == "precertificate.create" {
			serial, _, err := telamon.ParseSerial(e.Object)
			must(t, err)
			p, err := w.db.Precertificate(t.Context(), serial)
			must(t, err)
			return p
		}
	}
	t.Fatal("the request made no precertificate")
	return nil
}

// TestRequirement89Transparency has a certificate with the timestamps of two logs, which
// hold its precertificate, and a private one without.
func TestRequirement89Transparency(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		logs := w.withLogs(t)
		spec := strictContent(domainAlone...)
		spec.Unlimited = false
		c := w.customer(t, spec, 5)
		before, actor := c.standing(t), c.actor()
		serial, err := w.ra.Issue(t.Context(), actor, request(newKey(t).csr, "www.example.com"))
		must(t, err)
		_, cert := c.certificate(t, serial)
		mustBeClean(t, cert.Raw)
		list, err := tbs.SCTListOf(cert.RawTBSCertificate)
		must(t, err)
		scts, err := ct.ParseList(list)
		if err != nil || len(scts) != 2 {
			t.Fatalf("the certificate has %d timestamps, %v; want 2", len(scts), err)
		}
		logged, err := tbs.Logged(cert.RawTBSCertificate)
		must(t, err)
		keyHash := sha256.Sum256(w.issuer.Certificate.RawSubjectPublicKeyInfo)
		for _, log := range logs {
			for _, sct := range scts {
				if sct.LogID != sha256.Sum256(log.Key) {
					continue
				}
				if err := log.Includes(sct.At, keyHash, logged); err != nil {
					t.Errorf("a log that signed does not hold the precertificate: %v", err)
				}
			}
		}
		p := w.precertificate(t, actor)
		pre, err := x509.ParseCertificate(p.DER)
		must(t, err)
		if promised, err := tbs.Logged(pre.RawTBSCertificate); err != nil || !bytes.Equal(promised, logged) {
			t.Errorf("the certificate does not correspond to its precertificate: %v", err)
		}
		if p.Status != store.PrecertificateIssued || p.Serial != serial {
			t.Errorf("the precertificate is %s and of %s, want issued and %s", p.Status, p.Serial, serial)
		}
		c.mustStand(t, standing{before.issued + 1, before.revoked, before.quota - 1, before.listed + 1, before.expiring + 1})
		journaled := 0
		for record, err := range w.keys.ReadJournal(w.issuer.KeyName) {
			must(t, err)
			if record.Serial == serial {
				journaled++
			}
		}
		if journaled != 2 {
			t.Errorf("the key's journal has %d signatures of the serial number, want 2", journaled)
		}

		// A rekey is logged as well, and its content may not differ.
		w.clock.Advance(time.Second)
		again, err := w.ra.Rekey(t.Context(), c.actor(), serial, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		must(t, err)
		if _, cert := c.certificate(t, again); !hasTimestamps(t, cert) {
			t.Error("a rekey has no timestamps")
		}

		// The profile of a private service is never logged, although its series is.
		private, size := w.customer(t, unlimited(), 0), logs[0].Size()
		_, cert = private.certificate(t, private.issue(t, "www.example.com"))
		if hasTimestamps(t, cert) || logs[0].Size() != size {
			t.Error("a private certificate is logged")
		}
	})
}

func hasTimestamps(t testing.TB, cert *x509.Certificate) bool {
	t.Helper()
	list, err := tbs.SCTListOf(cert.RawTBSCertificate)
	must(t, err)
	return list != nil
}

// TestLogsFail has logs that give no timestamps: nothing is issued, no quota is used,
// and the precertificate, which counts as issued, is known and revoked.
func TestLogsFail(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		logs := w.withLogs(t)
		spec := strictContent(domainAlone...)
		spec.Unlimited = false
		c := w.customer(t, spec, 2)
		for _, mode := range []ctlog.Mode{ctlog.Slow, ctlog.Failing, ctlog.Forging} {
			logs[0].Be(mode)
			before, actor := c.standing(t), c.actor()
			_, err := w.ra.Issue(t.Context(), actor, request(newKey(t).csr, "www.example.com"))
			mustBe(t, err, fault.Unavailable, "ct_unavailable")
			c.mustStand(t, before)
			p := w.precertificate(t, actor)
			if p.Status != store.PrecertificateAbandoned {
				t.Errorf("the precertificate is %s, want abandoned", p.Status)
			}
			w.mustBeRevoked(t, p)
			if _, _, err := w.ra.Certificate(t.Context(), c.actor(), p.Serial); !fault.Is(err, fault.NotFound) {
				t.Errorf("the subscriber gets the precertificate: %v", err)
			}
			var actions []string
			for _, e := range w.events(t, actor) {
				actions = append(actions, e.Action+" "+e.Result)
			}
			if got := strings.Join(actions, ", "); got != "precertificate.create ok, precertificate.abandon ok, certificate.issue ct_unavailable" {
				t.Errorf("the audit log says %q", got)
			}
		}
		logs[0].Be(ctlog.Good)
		c.issue(t, "www.example.com")
		c.issue(t, "www.example.com")

		// Without quota no log is asked.
		size, actor := logs[1].Size(), c.actor()
		_, err := w.ra.Issue(t.Context(), actor, request(newKey(t).csr, "www.example.com"))
		mustBe(t, err, fault.Limited, fault.CodeQuotaReached)
		if logs[1].Size() != size {
			t.Error("a log was bothered without quota")
		}
	})
}

// mustBeRevoked checks that relying parties are told that a precertificate is revoked.
func (w *world) mustBeRevoked(t testing.TB, p *store.Precertificate) {
	t.Helper()
	status, err := w.db.SerialStatus(t.Context(), p.Serial)
	must(t, err)
	if status.Revocation == nil || status.Issuer != p.Issuer || !status.NotAfter.Equal(p.NotAfter) {
		t.Errorf("the status of the precertificate is %+v, want revoked", status)
	}
	listed := 0
	must(t, w.db.RevokedOf(t.Context(), p.Issuer, p.CRLShard, time.Time{}, func(e *store.RevokedEntry) error {
		if e.Serial == p.Serial && e.Reason == telamon.ReasonUnspecified {
			listed++
		}
		return nil
	}))
	if listed != 1 {
		t.Errorf("the CRL names the precertificate %d times, want once", listed)
	}
	shards, err := w.db.CRLShards(t.Context())
	must(t, err)
	for _, s := range shards {
		if s.Issuer == p.Issuer && s.Shard == p.CRLShard && s.IsDirty() {
			return
		}
	}
	t.Error("no new CRL is due")
}

// TestPrecertificateSurvives has a process that ends between the precertificate and the
// certificate: until another one looks, its status is known and good, and then it is
// revoked. A certificate that comes too late is refused.
func TestPrecertificateSurvives(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, strictContent(domainAlone...), 0)
		p := w.signPrecertificate(t, c)
		must(t, w.db.SavePrecertificate(t.Context(), p, telamon.Event{Actor: c.actor(), Action: "precertificate.create", Object: p.Serial.String(), Result: "ok"}))
		w.restart(t)
		status, err := w.db.SerialStatus(t.Context(), p.Serial)
		if err != nil || status.Revocation != nil {
			t.Fatalf("the status of a pending precertificate is %+v, %v; want good", status, err)
		}
		must(t, w.ra.AbandonPrecertificates(t.Context()))
		if again, err := w.db.Precertificate(t.Context(), p.Serial); err != nil || again.Status != store.PrecertificatePending || !bytes.Equal(again.DER, p.DER) {
			t.Fatalf("a minute is no reason to abandon it: %v, %v", again, err)
		}
		w.clock.Advance(16 * time.Minute)
		must(t, w.ra.AbandonPrecertificates(t.Context()))
		must(t, w.ra.AbandonPrecertificates(t.Context())) // does nothing
		w.mustBeRevoked(t, p)

		before := c.standing(t)
		err = w.db.IssueCertificate(t.Context(), "", &telamon.Certificate{
			Serial: p.Serial, Pair: p.Pair, Credential: p.Credential, Issuer: p.Issuer, CRLShard: p.CRLShard, SPKIHash: p.SPKIHash,
			NotBefore: w.clock.Now(), NotAfter: p.NotAfter, AcceptedAt: w.clock.Now(), UpdatedAt: w.clock.Now(),
		}, store.Blob{DER: p.DER, Request: []byte("{}"), Precertified: true}, telamon.Event{Actor: c.actor(), Action: "certificate.issue", Object: p.Serial.String(), Result: "ok"})
		mustBe(t, err, fault.Unavailable, "precertificate_abandoned")
		c.mustStand(t, before)
		w.mustBeRevoked(t, p)
	})
}

// signPrecertificate signs a precertificate for the customer and stores nothing.
func (w *world) signPrecertificate(t testing.TB, c *customer) *store.Precertificate {
	t.Helper()
	csr, err := tbs.ParseCSR(newKey(t).csr)
	must(t, err)
	token, err := w.engine.Prepare(t.Context(), issuance.Request{
		Issuer: w.issuer.ID, Profile: telamon.ProfilePrivate, NotBefore: w.clock.Now(), NotAfter: w.clock.Now().AddDate(0, 1, 0),
		PublicKey: csr.PublicKey, Content: telamon.Content{SAN: telamon.SubjectAltName{DNSNames: []string{"www.example.com"}}}, Precertificate: true,
	})
	must(t, err)
	signed, err := w.engine.Sign(t.Context(), token)
	must(t, err)
	return &store.Precertificate{
		Serial: signed.Serial, Pair: c.credential.Pair, Credential: c.credential.ID, Issuer: signed.Issuer, CRLShard: signed.CRLShard,
		SPKIHash: signed.SPKIHash, NotAfter: signed.NotAfter, DER: signed.DER,
	}
}

// TestClientLeavesLog has a client that goes away while logs are asked: its
// precertificate is abandoned all the same.
func TestClientLeavesLog(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		logs := w.withLogs(t)
		logs[0].Be(ctlog.Slow)
		c := w.customer(t, strictContent(domainAlone...), 0)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			<-logs[0].Waiting
			cancel()
		}()
		actor := c.actor()
		_, err := w.ra.Issue(ctx, actor, request(newKey(t).csr, "www.example.com"))
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("the request ends with %v", err)
		}
		w.mustBeRevoked(t, w.precertificate(t, actor))
	})
}
