package issuance_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
)

const now = "2026-11-22T10:00:00Z"

// world is a keystore and an engine with one hierarchy.
type world struct {
	clock  *testkit.Clock
	keys   *keystore.Keystore
	engine *issuance.Engine
	made   *issuance.Hierarchy
}

func newWorld(t testing.TB, root tbs.KeyType, series ...issuance.SeriesSpec) *world {
	t.Helper()
	w := &world{clock: testkit.NewClock(t, now)}
	kek, _ := keystore.NewKEK()
	var err error
	if w.keys, err = keystore.Create(keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: w.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.keys.Close() })
	w.engine = issuance.New(issuance.Config{Keys: w.keys, Clock: w.clock, StatusBaseURL: "http://status.example"})
	w.made, err = w.engine.CreateHierarchy(t.Context(), issuance.HierarchySpec{
		Name: "test", Kind: telamon.HierarchyTLS, Organization: "Example", RootKeyType: root, RootYears: 20, Series: series,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.engine.Load(w.made.Issuers, w.made.Series)
	return w
}

// tlsSeries is the series that most tests sign with.
var tlsSeries = issuance.SeriesSpec{Name: "tls-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUTLS, Years: 5, CRLShards: 4}

func oid(t testing.TB, dotted string) x509.OID {
	t.Helper()
	id, err := x509.ParseOID(dotted)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func subjectKey(t testing.TB) *tbs.PublicKey {
	t.Helper()
	signer, err := tbs.ECP256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	key, err := tbs.NewPublicKey(spki)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (w *world) request(t testing.TB) issuance.Request {
	t.Helper()
	from := w.clock.Now()
	return issuance.Request{
		Issuer: w.made.Issuers[1].ID, NotBefore: from, NotAfter: from.AddDate(0, 3, 0).Add(-time.Second), PublicKey: subjectKey(t),
		Content: telamon.Content{
			Subject:     []telamon.Attribute{{Type: oid(t, "2.5.4.3"), Value: telamon.TypedValue{Type: telamon.UTF8String, Text: "device"}}},
			SAN:         telamon.SubjectAltName{DNSNames: []string{"device.example"}},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: telamon.ExtKeyUsage{OIDs: []x509.OID{oid(t, "1.3.6.1.5.5.7.3.1")}},
		},
	}
}

func (w *world) issue(t testing.TB, req issuance.Request) (*issuance.Signed, error) {
	t.Helper()
	token, err := w.engine.Prepare(t.Context(), req)
	if err != nil {
		return nil, err
	}
	return w.engine.Sign(t.Context(), token)
}

func TestIssuersOfEveryKeyType(t *testing.T) {
	for _, keyType := range tbs.KeyTypes() {
		t.Run(string(keyType), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tbs.ECP384, issuance.SeriesSpec{Name: "tls", KeyType: keyType, EKUFamily: telamon.EKUTLS, Years: 5})
			signed, err := w.issue(t, w.request(t))
			if err != nil {
				t.Fatal(err)
			}
			chain, err := w.engine.Chain(signed.Issuer)
			if err != nil || len(chain) != 2 {
				t.Fatalf("Chain gives %d certificates, %v; want the issuing CA and the root", len(chain), err)
			}
			verify(t, signed.DER, chain)
		})
	}
}

// verify checks the chain with crypto/x509 and with openssl.
func verify(t *testing.T, der []byte, chain []*x509.Certificate) {
	t.Helper()
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	between.AddCert(chain[0])
	roots.AddCert(chain[len(chain)-1])
	at, _ := time.Parse(time.RFC3339, now)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at.Add(time.Hour)}); err != nil {
		t.Errorf("crypto/x509 does not verify the chain: %v", err)
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		testkit.Require(t, "openssl")
	}
	dir := t.TempDir()
	write := func(name string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	out, err := exec.Command("openssl", "verify", "-x509_strict", "-no_check_time", "-CAfile", write("root.pem", chain[1].Raw),
		"-untrusted", write("ca.pem", chain[0].Raw), write("leaf.pem", der)).CombinedOutput()
	if err != nil {
		t.Errorf("openssl does not verify the chain: %v\n%s", err, out)
	}
}

func TestIssuedCertificate(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	req := w.request(t)
	signed, err := w.issue(t, req)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(signed.DER)
	if err != nil {
		t.Fatal(err)
	}
	issuer := w.made.Issuers[1]
	if serial, ok := telamon.SerialFromInt(cert.SerialNumber); !ok || serial != signed.Serial {
		t.Errorf("the certificate's serial is %x, want %s", cert.SerialNumber, signed.Serial)
	}
	wantCRL := "http://status.example/crl/" + issuer.ID.String() + "/" + string(rune('0'+signed.CRLShard)) + ".crl"
	if len(cert.CRLDistributionPoints) != 1 || cert.CRLDistributionPoints[0] != wantCRL {
		t.Errorf("CRL distribution points are %q, want %q", cert.CRLDistributionPoints, wantCRL)
	}
	wantAIA := "http://status.example/ca/" + issuer.ID.String() + ".cer"
	if len(cert.IssuingCertificateURL) != 1 || cert.IssuingCertificateURL[0] != wantAIA {
		t.Errorf("issuer URLs are %q, want %q", cert.IssuingCertificateURL, wantAIA)
	}
	if !cert.NotBefore.Equal(req.NotBefore) || !cert.NotAfter.Equal(req.NotAfter) || signed.SPKIHash != req.PublicKey.Hash {
		t.Errorf("validity %s to %s or key is not as requested", cert.NotBefore, cert.NotAfter)
	}
	if signed.Issuer != issuer.ID || signed.CRLShard >= issuer.CRLShards {
		t.Errorf("issuer %s shard %d, want %s and a shard below %d", signed.Issuer, signed.CRLShard, issuer.ID, issuer.CRLShards)
	}
}

func TestIssuingCACertificate(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	root, ca := w.made.Issuers[0].Certificate, w.made.Issuers[1].Certificate
	if !root.IsCA || !ca.IsCA || !ca.MaxPathLenZero || ca.MaxPathLen != 0 {
		t.Error("the issuing CA is not a CA of path length 0")
	}
	if len(ca.ExtKeyUsage) != 2 || ca.KeyUsage&x509.KeyUsageCertSign == 0 || ca.KeyUsage&x509.KeyUsageCRLSign == 0 {
		t.Errorf("the issuing CA has key usage %b and EKUs %v", ca.KeyUsage, ca.ExtKeyUsage)
	}
	if err := ca.CheckSignatureFrom(root); err != nil {
		t.Errorf("the root did not sign the issuing CA: %v", err)
	}
}

func TestPrepareRefuses(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	tests := []struct {
		name   string
		change func(*issuance.Request)
		kind   fault.Kind
		code   string
	}{
		{"unknown issuer", func(r *issuance.Request) { r.Issuer = telamon.NewIssuerID() }, fault.Unavailable, "issuer_unknown"},
		{"root as issuer", func(r *issuance.Request) { r.Issuer = w.made.Issuers[0].ID }, fault.Unavailable, "issuer_not_active"},
		{"beyond the issuer", func(r *issuance.Request) { r.NotAfter = r.NotBefore.AddDate(6, 0, 0) }, fault.Invalid, "issuer_limit"},
		{"before the issuer", func(r *issuance.Request) { r.NotBefore = r.NotBefore.AddDate(-1, 0, 0) }, fault.Invalid, "issuer_limit"},
		{"EKU outside the family", func(r *issuance.Request) {
			r.Content.ExtKeyUsage.OIDs = []x509.OID{oid(t, "1.3.6.1.5.5.7.3.3")}
		}, fault.Invalid, "issuer_limit"},
		{"any EKU", func(r *issuance.Request) {
			r.Content.ExtKeyUsage.OIDs = []x509.OID{oid(t, telamon.AnyExtendedKeyUsage)}
		}, fault.Invalid, "issuer_limit"},
		{"RSA by an EC key", func(r *issuance.Request) { r.SignatureAlgorithm = "RSA" }, fault.Invalid, "signature_algorithm"},
		{"half a second", func(r *issuance.Request) { r.NotAfter = r.NotAfter.Add(time.Second / 2) }, fault.Invalid, "not_encodable"},
		{"no names", func(r *issuance.Request) { r.Content.Subject, r.Content.SAN = nil, telamon.SubjectAltName{} }, fault.Invalid, "not_encodable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := w.request(t)
			tt.change(&req)
			_, err := w.engine.Prepare(t.Context(), req)
			if f := fault.From(err); f == nil || f.Kind != tt.kind || f.Code != tt.code {
				t.Errorf("Prepare reports %v, want %s %s", err, tt.kind, tt.code)
			}
		})
	}
}

func TestTokenIsRedeemedOnce(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	token, err := w.engine.Prepare(t.Context(), w.request(t))
	if err != nil {
		t.Fatal(err)
	}
	var wins, losses int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := w.engine.Sign(context.Background(), token)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				wins++
			} else {
				losses++
			}
		})
	}
	all.Wait()
	if wins != 1 || losses != 7 {
		t.Errorf("a token was redeemed %d times and refused %d times, want 1 and 7", wins, losses)
	}
}

func TestLintBlocks(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	engine := issuance.New(issuance.Config{
		Keys: w.keys, Clock: w.clock, StatusBaseURL: "http://status.example",
		Lint: func(context.Context, telamon.Profile, []byte) []fault.Field {
			return []fault.Field{{Path: "e_some_lint", Problem: "failed"}}
		},
	})
	engine.Load(w.made.Issuers, w.made.Series)
	_, err := engine.Prepare(t.Context(), w.request(t))
	if f := fault.From(err); f == nil || f.Code != "lint" || len(f.Fields) != 1 {
		t.Errorf("Prepare reports %v, want the failed lint", err)
	}
}

// lyingKeys signs with another key than it is asked for.
type lyingKeys struct{ *keystore.Keystore }

func (k lyingKeys) SignCertificate(name string, tbsDER []byte) ([]byte, error) {
	signature, err := k.Keystore.SignCertificate(name, tbsDER)
	if err == nil {
		signature[len(signature)-1] ^= 1
	}
	return signature, err
}

func TestWrongSignatureDoesNotLeave(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	engine := issuance.New(issuance.Config{Keys: lyingKeys{w.keys}, Clock: w.clock, StatusBaseURL: "http://status.example"})
	engine.Load(w.made.Issuers, w.made.Series)
	token, err := engine.Prepare(t.Context(), w.request(t))
	if err != nil {
		t.Fatal(err)
	}
	if signed, err := engine.Sign(t.Context(), token); err == nil || !fault.Is(err, fault.Internal) {
		t.Errorf("Sign gives %v, %v; want an Internal fault and no certificate", signed, err)
	}
}

func TestRetiredKey(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	token, err := w.engine.Prepare(t.Context(), w.request(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keys.Retire(w.made.Issuers[1].KeyName); err != nil {
		t.Fatal(err)
	}
	_, err = w.engine.Sign(t.Context(), token)
	if !fault.Is(err, fault.Unavailable) || !errors.Is(err, keystore.ErrPurpose) || strings.Contains(fault.From(err).Detail, "retired") {
		t.Errorf("Sign reports %v, want Unavailable because of the key's purpose, and no word of it to the caller", err)
	}
}

func BenchmarkPrepareAndSign(b *testing.B) {
	w := newWorld(b, tbs.ECP256, tlsSeries)
	req := w.request(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.issue(b, req); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSignedNames holds that the names that are told beside a certificate are those in it, as
// far as any are told: certificates are found by them.
func TestSignedNames(t *testing.T) {
	w := newWorld(t, tbs.ECP256, issuance.SeriesSpec{Name: "tls", KeyType: tbs.ECP256, EKUFamily: telamon.EKUTLS, Years: 5})
	commonName := func(kind telamon.ValueType, text string) telamon.Attribute {
		return telamon.Attribute{Type: oid(t, "2.5.4.3"), Value: telamon.TypedValue{Type: kind, Text: text}}
	}
	organization := telamon.Attribute{Type: oid(t, "2.5.4.10"), Value: telamon.TypedValue{Type: telamon.UTF8String, Text: "Müller"}}
	host := telamon.SubjectAltName{DNSNames: []string{"device.example"}}
	for name, tt := range map[string]struct {
		subject []telamon.Attribute
		san     telamon.SubjectAltName
		untold  bool
	}{
		"one of each": {
			[]telamon.Attribute{organization, commonName(telamon.UTF8String, "Gerät Nº 1")},
			telamon.SubjectAltName{
				DNSNames: []string{"*.Device.example", "device.example"}, Emails: []string{"Ada@device.example"},
				IPAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1:0:0:1"), netip.MustParseAddr("::ffff:192.0.2.2")},
			}, false,
		},
		"no subject":             {nil, host, false},
		"no common name":         {[]telamon.Attribute{organization}, host, false},
		"a common name alone":    {[]telamon.Attribute{commonName(telamon.PrintableString, "device 1")}, telamon.SubjectAltName{}, false},
		"a common name as DER":   {[]telamon.Attribute{commonName(telamon.DER, "0c026162")}, host, true},
		"two common names":       {[]telamon.Attribute{commonName(telamon.UTF8String, "a"), commonName(telamon.UTF8String, "b")}, host, true},
		"a URI among the others": {nil, telamon.SubjectAltName{DNSNames: host.DNSNames, URIs: []string{"https://device.example/%7Ea"}}, true},
		"no name":                {[]telamon.Attribute{organization}, telamon.SubjectAltName{}, true},
	} {
		req := w.request(t)
		req.Content.Subject, req.Content.SAN = tt.subject, tt.san
		signed, err := w.issue(t, req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tt.untold {
			if signed.Names != nil {
				t.Errorf("%s: told are %q", name, signed.Names)
			}
			continue
		}
		cert, err := x509.ParseCertificate(signed.DER)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if cert.Subject.CommonName != "" {
			want = append(want, cert.Subject.CommonName)
		}
		want = append(append(want, cert.DNSNames...), cert.EmailAddresses...)
		for _, ip := range cert.IPAddresses {
			want = append(want, ip.String())
		}
		if !slices.Equal(signed.Names, want) {
			t.Errorf("%s: told are %q, and %q are in it", name, signed.Names, want)
		}
	}
}
