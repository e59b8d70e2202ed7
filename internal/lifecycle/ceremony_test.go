package lifecycle_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
)

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// snapshot is all that the store says of issuers, to see that nothing was changed.
func (w *world) snapshot(t testing.TB) string {
	t.Helper()
	issuers, series, err := w.db.Issuers(t.Context())
	ok(t, err)
	plans := must(w.db.IssuerPlans(t.Context()))(t)
	var out strings.Builder
	for _, v := range []any{issuers, series, plans} {
		text, err := json.Marshal(v)
		ok(t, err)
		out.Write(text)
	}
	return out.String()
}

// mutant is a CA certificate that a root signs and that is not what was asked for.
type mutant struct {
	name  string
	field string
	make  func(c *x509.Certificate) // changes the good certificate's template
	key   crypto.PublicKey          // nil: the planned one
}

// TestCeremony takes the root away: everything but the signing of CAs goes on, requests
// leave, certificates come back, and what is not exactly what was asked for changes
// nothing.
func TestCeremony(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		ctx := t.Context()
		offline := w.takeRoot(t, "tls-root")
		must(w.leaf(t, w.active(t, "tls-ec").ID, serverAuth, time.Hour))(t)
		w.turn(t, "2027-02-26T09:00:00Z")
		w.want(t, "tls-ec", "active 2027-01-11")
		_, err := w.Rotate(ctx, operator, lifecycle.RotateRequest{Series: "tls-ec", Now: true})
		mustBe(t, err, fault.NotReady, "root_offline")
		planned := must(w.Plan(ctx, operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 2}))(t)
		if len(planned) != 2 || planned[0].Signed || planned[0].ID == "" || !planned[1].ActivateAt.Equal(instant(t, "2027-07-12T09:00:00Z")) {
			t.Fatalf("planned are %+v", planned)
		}
		w.turn(t, "2027-03-13T09:00:00Z") // the operators are told that it waits, nobody else
		requests := must(w.Requests(ctx, operator))(t)
		file := must(lifecycle.MarshalRequests(requests))(t)
		if again := must(lifecycle.ParseRequests(file))(t); len(again) != 2 {
			t.Fatalf("%d requests", len(again))
		}
		keys := must(keystore.OpenOffline(keystore.Config{Dir: offline, KEK: w.kek, Clock: w.clock}))(t)
		defer keys.Close()
		ceremony := lifecycle.NewCeremony(keys, w.clock.Now())
		good := must(ceremony.Sign(&requests[0]))(t)

		root, rootKey := w.selfMadeRoot(t)
		before := w.snapshot(t)
		for _, bad := range mutants(t, w) {
			der := bad.sign(t, good, root, rootKey)
			_, err := w.Import(ctx, operator, pemOf(der), false)
			mustBe(t, err, fault.Invalid, "ca_certificate")
			if f := fault.From(err); !hasField(f, bad.field) {
				t.Errorf("%s: the fields are %v, want %s", bad.name, f.Fields, bad.field)
			}
		}
		_, err = w.Import(ctx, operator, pemOf(w.active(t, "tls-ec").Certificate.Raw), false)
		mustBe(t, err, fault.Conflict, "issuer_known")
		for _, text := range []string{"", "x", pemOf([]byte{1}), pemOf(good.Raw) + pemOf(good.Raw), strings.ReplaceAll(pemOf(good.Raw), "CERTIFICATE", "PUBLIC KEY")} {
			_, err := w.Import(ctx, operator, text, false)
			mustBe(t, err, fault.Malformed, "certificate_unreadable")
		}
		if _, err := w.Import(ctx, operator, pemOf(good.Raw), true); err != nil {
			t.Errorf("a dry run: %v", err)
		}
		if after := w.snapshot(t); after != before {
			t.Errorf("what was refused changed\n%s\nto\n%s", before, after)
		}

		p := must(w.Import(ctx, operator, pemOf(good.Raw), false))(t)
		if p.ID != planned[0].ID {
			t.Errorf("imported is %s, want %s", p.ID, planned[0].ID)
		}
		w.want(t, "tls-ec", "active 2027-01-11, planned 2027-04-12")
		w.turn(t, "2027-04-12T09:00:00Z")
		w.want(t, "tls-ec", "retired 2027-01-11, active 2027-04-12")
		must(w.leaf(t, p.ID, serverAuth, time.Hour))(t)
		_, err = w.Import(ctx, operator, pemOf(w.line(t, "tls-ec")[0].Certificate.Raw), false)
		mustBe(t, err, fault.Conflict, "issuer_known") // of a retired one

		// The other one comes after its instant, and starts a little later.
		late := must(lifecycle.NewCeremony(keys, w.clock.Now()).Sign(&requests[1]))(t)
		w.clock.Advance(instant(t, "2027-08-01T00:00:00Z").Sub(w.clock.Now()))
		must(w.Import(ctx, operator, pemOf(late.Raw), false))(t)
		if line := w.line(t, "tls-ec"); !line[2].ActivateAt.Equal(w.clock.Now().Add(10 * time.Minute)) {
			t.Errorf("what came late starts at %s", line[2].ActivateAt)
		}
	})
}

func hasField(f *fault.Fault, path string) bool {
	for _, field := range f.Fields {
		if field.Path == path {
			return true
		}
	}
	return false
}

// selfMadeRoot is a root of the name of ours by another key.
func (w *world) selfMadeRoot(t *testing.T) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	var ours *x509.Certificate
	issuers, _, err := w.db.Issuers(t.Context())
	ok(t, err)
	for _, i := range issuers {
		if i.Role == telamon.RoleRoot && strings.Contains(i.Certificate.Subject.CommonName, "tls root") {
			ours = i.Certificate
		}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: ours.RawSubject, SubjectKeyId: ours.SubjectKeyId, NotBefore: ours.NotBefore, NotAfter: ours.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)))(t), key
}

// mutants are wrong in one thing each, beside the signature of a root that is not ours.
func mutants(t *testing.T, w *world) []mutant {
	t.Helper()
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	now := w.clock.Now()
	return []mutant{
		{"a foreign issuer", "signature", func(*x509.Certificate) {}, nil},
		{"another key", "public_key", func(*x509.Certificate) {}, other.Public()},
		{"expired", "not_after", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, nil},
		{"too long", "not_after", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Second) }, nil},
		{"not yet", "not_before", func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }, nil},
		{"long ago", "not_before", func(c *x509.Certificate) { c.NotBefore = now.AddDate(-5, 0, 0) }, nil},
		{"another family", "extended_key_usage", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, nil},
		{"one usage more", "extended_key_usage", func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) }, nil},
		{"any usage", "extended_key_usage", func(c *x509.Certificate) { c.ExtKeyUsage = nil }, nil},
		{"CAs below", "basic_constraints", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false }, nil},
		{"no CA", "basic_constraints", func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, -1, false }, nil},
		{"no CRLs", "key_usage", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }, nil},
		{"another name", "subject", func(c *x509.Certificate) { c.RawSubject, c.Subject = nil, pkix.Name{CommonName: "Evil"} }, nil},
		{"another serial number", "serial_number", func(c *x509.Certificate) { c.SerialNumber = big.NewInt(7) }, nil},
		{"another CRL", "crl_distribution_points", func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://evil.example/0.crl"} }, nil},
		{"another issuer URL", "authority_info_access", func(c *x509.Certificate) { c.IssuingCertificateURL = nil }, nil},
		{"names it may sign", "name_constraints", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} }, nil},
	}
}

// sign makes the mutant of a good certificate.
func (m mutant) sign(t *testing.T, good, root *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	template := *good
	template.SignatureAlgorithm, template.ExtraExtensions, template.Extensions = 0, nil, nil
	m.make(&template)
	public := m.key
	if public == nil {
		public = good.PublicKey
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, root, public, key)
	if err != nil {
		t.Fatalf("%s: %v", m.name, err)
	}
	return der
}

// TestCeremonyRefuses gives a root requests that are not for it.
func TestCeremonyRefuses(t *testing.T) {
	w := newWorldSQLite(t)
	offline := w.takeRoot(t, "tls-root")
	planned := must(w.Plan(t.Context(), operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 1}))(t)
	good := must(w.Requests(t.Context(), operator))(t)[0]
	keys := must(keystore.OpenOffline(keystore.Config{Dir: offline, KEK: w.kek, Clock: w.clock}))(t)
	defer keys.Close()
	ceremony := lifecycle.NewCeremony(keys, w.clock.Now())
	for name, change := range map[string]func(*issuance.CARequest){
		"another root":       func(r *issuance.CARequest) { r.RootKeyID = "00" },
		"another name":       func(r *issuance.CARequest) { r.CommonName = "Evil" },
		"beyond the root":    func(r *issuance.CARequest) { r.NotAfter = r.NotAfter.AddDate(30, 0, 0) },
		"expired":            func(r *issuance.CARequest) { r.NotAfter = w.clock.Now() },
		"an unknown family":  func(r *issuance.CARequest) { r.EKUFamily = "evil" },
		"no CSR":             func(r *issuance.CARequest) { r.CSR = "" },
		"a CSR that is none": func(r *issuance.CARequest) { r.CSR = strings.Replace(r.CSR, "MI", "MM", 1) },
	} {
		r := good
		change(&r)
		if cert, err := ceremony.Sign(&r); err == nil {
			t.Errorf("%s: it signed %s", name, cert.Subject)
		}
	}
	if cert, err := ceremony.Sign(&good); err != nil || cert.Subject.CommonName != planned[0].CommonName {
		t.Errorf("the good one: %v", err)
	}
	if _, err := keystore.OpenOffline(keystore.Config{Dir: t.TempDir(), KEK: w.kek, Clock: w.clock}); err == nil {
		t.Error("a directory without keys opens")
	}
}

// FuzzParseRequests reads files of requests: what is read is written again, and signs
// nothing that panics.
func FuzzParseRequests(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		requests, err := lifecycle.ParseRequests(text)
		if err != nil {
			return
		}
		again, err := lifecycle.MarshalRequests(requests)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := lifecycle.ParseRequests(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		root := &x509.Certificate{NotAfter: time.Date(2047, 1, 1, 0, 0, 0, 0, time.UTC)}
		for i := range requests {
			if _, err := requests[i].Template(root, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)); err == nil {
				t.Error("a root without a key signs")
			}
		}
	})
}

// TestRotate switches by hand.
func TestRotate(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		ctx := t.Context()
		before := w.snapshot(t)
		for _, bad := range []struct {
			req  lifecycle.RotateRequest
			kind fault.Kind
			code string
		}{
			{lifecycle.RotateRequest{Series: "nowhere"}, fault.NotFound, "series_not_found"},
			{lifecycle.RotateRequest{Series: "tls-ec", EndTokens: true}, fault.Invalid, "rotate_at"},
			{lifecycle.RotateRequest{Series: "tls-ec", Now: true, At: w.clock.Now().Add(time.Hour)}, fault.Invalid, "rotate_at"},
			{lifecycle.RotateRequest{Series: "tls-ec", At: w.clock.Now()}, fault.Invalid, "rotate_at"},
		} {
			_, err := w.Rotate(ctx, operator, bad.req)
			mustBe(t, err, bad.kind, bad.code)
		}
		_, err := w.Rotate(ctx, telamon.Actor{Kind: telamon.ActorCredential, Account: "acc"}, lifecycle.RotateRequest{Series: "tls-ec", Now: true})
		mustBe(t, err, fault.Denied, "access_denied")
		dry := must(w.Rotate(ctx, operator, lifecycle.RotateRequest{Series: "tls-ec", DryRun: true}))(t)
		if dry.Next != "" || dry.NextName != "Telamon tls-ec 2027-04" || !dry.At.Equal(instant(t, "2027-04-12T09:00:00Z")) {
			t.Errorf("a dry run says %+v", dry)
		}
		if after := w.snapshot(t); after != before {
			t.Errorf("what was refused, or dry, changed\n%s\nto\n%s", before, after)
		}
		first := w.active(t, "tls-ec")
		switched := must(w.Rotate(ctx, operator, lifecycle.RotateRequest{Series: "tls-ec", Now: true}))(t)
		if got := w.active(t, "tls-ec"); got.ID != switched.Next || switched.Current != first.ID {
			t.Errorf("active is %s, and the rotation says %+v", got.ID, switched)
		}
		must(w.leaf(t, first.ID, serverAuth, time.Hour))(t)
		w.clock.Advance(time.Minute)
		emergency := must(w.Rotate(ctx, operator, lifecycle.RotateRequest{Series: "tls-ec", Now: true, EndTokens: true}))(t)
		if _, err := w.leaf(t, switched.Next, serverAuth, time.Hour); !fault.Is(err, fault.Unavailable) {
			t.Errorf("after an emergency the old one signs: %v", err)
		}
		_, err = w.Retire(ctx, operator, lifecycle.RetireRequest{Issuer: emergency.Next})
		mustBe(t, err, fault.Conflict, "no_successor")
		names := map[string]bool{}
		for _, i := range w.line(t, "tls-ec") {
			names[i.Certificate.Subject.CommonName] = true
		}
		if len(names) != 3 {
			t.Errorf("three issuing CAs have the names %v", names)
		}

		// One that is planned and given up: its key is destroyed.
		planned := must(w.Plan(ctx, operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 1}))(t)[0]
		var key string
		for _, i := range w.line(t, "tls-ec") {
			if i.ID == planned.ID {
				key = i.KeyName
			}
		}
		must(w.keys.Public(key))(t)
		must(w.Retire(ctx, operator, lifecycle.RetireRequest{Issuer: planned.ID}))(t)
		ok(t, w.Turn(ctx))
		ok(t, w.Enforce(ctx))
		if _, err := w.keys.Public(key); err == nil {
			t.Error("the key of an issuing CA that never starts is kept")
		}
	})
}

// keysOf returns the names of the keys that wait for a series, with and without a certificate.
func (w *world) keysOf(t *testing.T, series string) map[telamon.IssuerID]string {
	t.Helper()
	names := map[telamon.IssuerID]string{}
	for _, i := range w.line(t, series) {
		names[i.ID] = i.KeyName
	}
	for _, p := range must(w.db.IssuerPlans(t.Context()))(t) {
		names[p.ID] = p.KeyName
	}
	return names
}

// TestRotateNowPastRequests has a request wait for its root, which is away, in front of an
// issuing CA that has its certificate: the emergency takes that one, if its key is here.
func TestRotateNowPastRequests(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		ctx := t.Context()
		signed := must(w.Plan(ctx, operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 1}))(t)[0]
		must(w.Rotate(ctx, operator, lifecycle.RotateRequest{Series: "tls-ec", At: instant(t, "2027-10-11T09:00:00Z")}))(t)
		w.takeRoot(t, "tls-root")
		root := must(w.engine.Issuer(w.active(t, "tls-ec").Parent))(t)
		series := must(w.engine.SeriesNamed("tls-ec"))(t)
		plan := store.IssuerPlan{
			ID: telamon.NewIssuerID(), Series: series.ID, Parent: root.ID, KeyName: "tls-ec-asked", ActivateAt: instant(t, "2027-04-12T09:00:00Z"),
		}
		request := must(w.engine.RequestCA(issuance.NewCA{
			ID: plan.ID, Root: root, Hierarchy: telamon.HierarchyTLS, Series: series, KeyName: plan.KeyName, CommonName: "Asked", NotAfter: root.Certificate.NotAfter,
		}))(t)
		plan.Request = must(json.Marshal(request))(t)
		ok(t, w.db.PlanIssuer(ctx, operator, plan))

		keys := &ledger{Keys: w.keys, root: w.keysOf(t, "tls-ec")[signed.ID]}
		elsewhere := lifecycle.New(lifecycle.Config{Store: w.db, Issuance: w.engine, Keys: keys, Clock: w.clock, Rules: rules.Default()})
		keys.away.Store(true)
		for _, dry := range []bool{true, false} {
			_, err := elsewhere.Rotate(ctx, operator, lifecycle.RotateRequest{Series: "tls-ec", Now: true, DryRun: dry})
			mustBe(t, err, fault.NotReady, "key_missing")
		}
		if got := must(w.Rotate(ctx, operator, lifecycle.RotateRequest{Series: "tls-ec", Now: true}))(t); got.Next != signed.ID {
			t.Errorf("the switch is to %s, want %s", got.Next, signed.ID)
		}

		// A request that is given up leaves no key.
		must(w.keys.Public(plan.KeyName))(t)
		must(w.Retire(ctx, operator, lifecycle.RetireRequest{Issuer: plan.ID}))(t)
		if _, err := w.keys.Public(plan.KeyName); !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("the key of a request that was given up: %v", err)
		}
	})
}

// TestRotateSoon sets a switch for so soon an instant that the issuing CA has hardly been
// made: what is said is what is stored.
func TestRotateSoon(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		at := w.clock.Now().Add(3*time.Minute + 1500*time.Microsecond)
		got := must(w.Rotate(t.Context(), operator, lifecycle.RotateRequest{Series: "tls-ec", At: at}))(t)
		if stored := w.line(t, "tls-ec")[1].ActivateAt; !got.At.Equal(stored) || !stored.Equal(at.Truncate(time.Millisecond)) {
			t.Errorf("the switch is said to be at %s and stored for %s, want %s", got.At, stored, at)
		}
	})
}

// TestRevokeRetiredAlone has no CA revoked that signs, or will.
func TestRevokeRetiredAlone(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		ctx := t.Context()
		superseded := telamon.Revocation{Reason: telamon.ReasonSuperseded}
		planned := must(w.Plan(ctx, operator, lifecycle.PlanRequest{Series: "tls-ec", Ahead: 1}))(t)[0]
		for _, id := range []telamon.IssuerID{planned.ID, w.active(t, "tls-ec").ID} {
			for _, dry := range []bool{true, false} {
				_, err := w.Revoke(ctx, operator, lifecycle.RevokeRequest{Issuer: id, Revocation: superseded, DryRun: dry})
				mustBe(t, err, fault.Conflict, "issuer_state")
			}
		}
		must(w.Retire(ctx, operator, lifecycle.RetireRequest{Issuer: planned.ID}))(t)
		if got := must(w.Revoke(ctx, operator, lifecycle.RevokeRequest{Issuer: planned.ID, Revocation: superseded}))(t); got.Was != telamon.IssuerRetired {
			t.Errorf("what was revoked is %+v", got)
		}
	})
}

// TestCrossSign has one root sign another, and chooses the chain.
func TestCrossSign(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		ctx := t.Context()
		issuers, _, err := w.db.Issuers(ctx)
		ok(t, err)
		var tlsRoot, authRoot telamon.Issuer
		for _, i := range issuers {
			switch {
			case i.Role == telamon.RoleRoot && strings.Contains(i.Certificate.Subject.CommonName, "tls root"):
				tlsRoot = i
			case i.Role == telamon.RoleRoot:
				authRoot = i
			}
		}
		ca := w.active(t, "tls-ec")
		signed := must(w.leaf(t, ca.ID, serverAuth, time.Hour))(t)
		_, err = w.CrossSign(ctx, operator, lifecycle.CrossRequest{Signer: authRoot.ID, Root: authRoot.ID})
		mustBe(t, err, fault.Invalid, "cross_subject")
		_, err = w.CrossSign(ctx, operator, lifecycle.CrossRequest{Signer: ca.ID, Root: tlsRoot.ID})
		mustBe(t, err, fault.Conflict, "issuer_state")
		_, err = w.CrossSign(ctx, operator, lifecycle.CrossRequest{Signer: authRoot.ID, Root: tlsRoot.ID, NotAfter: w.clock.Now().AddDate(40, 0, 0)})
		mustBe(t, err, fault.Invalid, "cross_validity")
		cross := must(w.CrossSign(ctx, operator, lifecycle.CrossRequest{Signer: authRoot.ID, Root: tlsRoot.ID, NotAfter: w.clock.Now().AddDate(0, 1, 0)}))(t)
		w.verifyTo(t, signed.DER, must(w.engine.Chain(ca.ID))(t), tlsRoot.Certificate)
		chains := must(w.engine.Chains(ca.ID))(t)
		if len(chains) != 2 || !chains[0].Active || chains[1].Active || chains[1].Through != cross.ID {
			t.Fatalf("the chains are %+v", chains)
		}
		w.verifyTo(t, signed.DER, chains[1].Certificates, authRoot.Certificate)
		ok(t, w.UseChain(ctx, operator, tlsRoot.ID, cross.ID))
		w.verifyTo(t, signed.DER, must(w.engine.Chain(ca.ID))(t), authRoot.Certificate)
		ok(t, w.UseChain(ctx, operator, tlsRoot.ID, ""))
		w.verifyTo(t, signed.DER, must(w.engine.Chain(ca.ID))(t), tlsRoot.Certificate)

		// A foreign CA's, with what is wrong with it.
		_, err = w.ImportCross(ctx, operator, authRoot.ID, pemOf(cross.Certificate.Raw), pemOf(authRoot.Certificate.Raw), false)
		mustBe(t, err, fault.Invalid, "cross_certificate")
		_, err = w.ImportCross(ctx, operator, tlsRoot.ID, pemOf(cross.Certificate.Raw), pemOf(tlsRoot.Certificate.Raw), false)
		mustBe(t, err, fault.Invalid, "cross_certificate")
		_, err = w.ImportCross(ctx, operator, tlsRoot.ID, pemOf(cross.Certificate.Raw), pemOf(authRoot.Certificate.Raw), false)
		mustBe(t, err, fault.Conflict, "cross_known")

		// One that has expired is shown to nobody, whoever chose it.
		ok(t, w.UseChain(ctx, operator, tlsRoot.ID, cross.ID))
		w.clock.Advance(cross.NotAfter.Add(time.Second).Sub(w.clock.Now()))
		chains = must(w.engine.Chains(ca.ID))(t)
		if last := must(w.engine.Chain(ca.ID))(t)[1]; !last.Equal(tlsRoot.Certificate) || !chains[0].Active || chains[1].Active {
			t.Errorf("with an expired cross certificate the chain ends with %s", last.Subject)
		}
	})
}

// verifyTo checks a chain to an anchor with crypto/x509.
func (w *world) verifyTo(t *testing.T, der []byte, chain []*x509.Certificate, anchor *x509.Certificate) {
	t.Helper()
	leaf := must(x509.ParseCertificate(der))(t)
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(anchor)
	for _, ca := range chain[:len(chain)-1] {
		between.AddCert(ca)
	}
	if last := chain[len(chain)-1]; !last.Equal(anchor) {
		t.Errorf("the chain ends with %s, want %s", last.Subject, anchor.Subject)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: w.clock.Now()}); err != nil {
		t.Errorf("the chain to %s: %v", anchor.Subject, err)
	}
}
