package lint_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/tbs"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func linter(t testing.TB, ignore ...string) *lint.Linter {
	t.Helper()
	l, err := lint.New(lint.Config{Ignore: ignore})
	must(t, err)
	return l
}

func oid(t testing.TB, dotted string) x509.OID {
	t.Helper()
	id, err := x509.ParseOID(dotted)
	must(t, err)
	return id
}

func utf8(t testing.TB, dotted, text string) telamon.Attribute {
	return telamon.Attribute{Type: oid(t, dotted), Value: telamon.TypedValue{Type: telamon.UTF8String, Text: text}}
}

func newKey(t testing.TB, keyType tbs.KeyType) (*tbs.PublicKey, crypto.Signer) {
	t.Helper()
	signer, err := keyType.Generate(rand.Reader)
	must(t, err)
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	must(t, err)
	key, err := tbs.NewPublicKey(spki)
	must(t, err)
	return key, signer
}

// issuer is a CA that certificates are built for; its own certificate is a root's.
type issuer struct {
	cert *x509.Certificate
	key  *tbs.PublicKey
}

func newIssuer(t testing.TB, keyType tbs.KeyType) *issuer {
	t.Helper()
	key, signer := newKey(t, keyType)
	tmpl := rootTemplate(t, key)
	der, err := tbs.Build(tmpl)
	must(t, err)
	signature, err := tmpl.Signature.Sign(signer, der)
	must(t, err)
	der, err = tbs.Assemble(der, tmpl.Signature, signature)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &issuer{cert, key}
}

func rootTemplate(t testing.TB, key *tbs.PublicKey) *tbs.Template {
	t.Helper()
	algorithm, err := tbs.SignatureFor(key.Key, "", "")
	must(t, err)
	return &tbs.Template{
		Serial: telamon.NewSerial(now), NotBefore: now, NotAfter: now.AddDate(20, 0, 0), PublicKey: key, Signature: algorithm,
		CA: &tbs.CAConstraints{MaxPathLen: 1},
		Content: telamon.Content{
			Subject: []telamon.Attribute{
				{Type: oid(t, "2.5.4.6"), Value: telamon.TypedValue{Type: telamon.PrintableString, Text: "XX"}},
				utf8(t, "2.5.4.10", "Example"), utf8(t, "2.5.4.3", "Example root"),
			},
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		},
	}
}

// leaf returns the template of a leaf for www.example.com.
func (i *issuer) leaf(t testing.TB, key *tbs.PublicKey, change func(*tbs.Template)) *tbs.Template {
	t.Helper()
	algorithm, err := tbs.SignatureFor(i.cert.PublicKey, "", "")
	must(t, err)
	tmpl := &tbs.Template{
		Serial: telamon.NewSerial(now), Issuer: i.cert, NotBefore: now, NotAfter: now.Add(90*24*time.Hour - time.Second),
		PublicKey: key, Signature: algorithm,
		CRLURLs: []string{"http://status.example/crl/a/0.crl"}, CAIssuersURLs: []string{"http://status.example/ca/a.cer"},
		Content: telamon.Content{
			Subject:     []telamon.Attribute{utf8(t, "2.5.4.3", "www.example.com")},
			SAN:         telamon.SubjectAltName{DNSNames: []string{"www.example.com"}},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: telamon.ExtKeyUsage{OIDs: []x509.OID{oid(t, "1.3.6.1.5.5.7.3.1")}},
		},
	}
	if change != nil {
		change(tmpl)
	}
	return tmpl
}

func build(t testing.TB, tmpl *tbs.Template) []byte {
	t.Helper()
	der, err := tbs.Build(tmpl)
	must(t, err)
	return der
}

func names(fields []fault.Field) string {
	var list []string
	for _, f := range fields {
		list = append(list, f.Path)
	}
	return strings.Join(list, " ")
}

// TestPrivate holds that what private hierarchies legitimately certify passes.
func TestPrivate(t *testing.T) {
	ca := newIssuer(t, tbs.ECP256)
	ec, _ := newKey(t, tbs.ECP256)
	rsa, _ := newKey(t, tbs.RSA2048)
	clientAuth := oid(t, "1.3.6.1.5.5.7.3.2")
	tests := []struct {
		name   string
		key    *tbs.PublicKey
		change func(*tbs.Template)
	}{
		{"server", ec, nil},
		{"RSA client with key encipherment", rsa, func(m *tbs.Template) {
			m.Content.KeyUsage |= x509.KeyUsageKeyEncipherment
			m.Content.ExtKeyUsage.OIDs = []x509.OID{clientAuth}
		}},
		{"RSA with key agreement", rsa, func(m *tbs.Template) { m.Content.KeyUsage |= x509.KeyUsageKeyAgreement }},
		{"a name alone", ec, func(m *tbs.Template) {
			m.Content.Subject, m.Content.SAN = []telamon.Attribute{utf8(t, "2.5.4.3", "testsubject")}, telamon.SubjectAltName{}
		}},
		{"thirty years", ec, func(m *tbs.Template) { m.NotAfter = now.AddDate(30, 0, 0) }},
		{"no usages", ec, func(m *tbs.Template) { m.Content.KeyUsage, m.Content.ExtKeyUsage.OIDs = 0, nil }},
		{"an own usage, critical", ec, func(m *tbs.Template) {
			m.Content.ExtKeyUsage = telamon.ExtKeyUsage{Critical: true, OIDs: []x509.OID{oid(t, "1.3.6.1.4.1.99999.1")}}
		}},
		{"no subject", ec, func(m *tbs.Template) { m.Content.Subject = nil }},
		{"an e-mail address in the subject alone", ec, func(m *tbs.Template) {
			m.Content.Subject = append(m.Content.Subject, telamon.Attribute{
				Type: oid(t, "1.2.840.113549.1.9.1"), Value: telamon.TypedValue{Type: telamon.IA5String, Text: "me@example.com"},
			})
		}},
		{"names of every kind", ec, func(m *tbs.Template) {
			m.Content.SAN = telamon.SubjectAltName{
				DNSNames: []string{"printer", "db.corp.internal", "*.example.com", "xn--bcher-kva.example"}, Emails: []string{"a.b+c@example.com"},
				IPAddresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")},
				URIs: []string{
					"spiffe://prod/ns/web", "https://host.example:8443/a?b=c", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
					"https://[2001:db8::1]:8443/", "sip:a@example.com",
				},
				OtherNames: []telamon.Attribute{utf8(t, "1.3.6.1.4.1.311.20.2.3", "me@corp.internal")},
			}
		}},
		{"a critical alternative name beside a subject", ec, func(m *tbs.Template) { m.Content.SAN.Critical = true }},
		{"the longest attributes", ec, func(m *tbs.Template) {
			long := func(n int) string { return strings.Repeat("ü", n) }
			m.Content.Subject = []telamon.Attribute{
				utf8(t, "2.5.4.8", long(128)), utf8(t, "2.5.4.7", long(128)), utf8(t, "2.5.4.9", long(128)), utf8(t, "2.5.4.17", long(40)),
				utf8(t, "2.5.4.10", long(64)), utf8(t, "2.5.4.97", long(256)), utf8(t, "2.5.4.11", long(64)), utf8(t, "2.5.4.15", long(128)),
				utf8(t, "2.5.4.3", long(64)), utf8(t, "2.5.4.42", long(64)), utf8(t, "2.5.4.4", long(64)), utf8(t, "2.5.4.65", long(128)),
				{Type: oid(t, "2.5.4.5"), Value: telamon.TypedValue{Type: telamon.PrintableString, Text: strings.Repeat("7", 64)}},
			}
		}},
		{"several units and names", ec, func(m *tbs.Template) {
			m.Content.Subject = append(m.Content.Subject, utf8(t, "2.5.4.11", "A"), utf8(t, "2.5.4.11", "B"), utf8(t, "2.5.4.3", "C"))
		}},
		{"an attribute and extension of one's own", ec, func(m *tbs.Template) {
			m.Content.Subject = append(m.Content.Subject, telamon.Attribute{
				Type: oid(t, "1.3.6.1.4.1.99999.2"), Value: telamon.TypedValue{Type: telamon.Integer, Text: "7"},
			})
			m.Content.Extensions = []telamon.Extension{
				{ID: oid(t, "1.3.6.1.4.1.99999.3"), Critical: true, Value: telamon.TypedValue{Type: telamon.Nil, Text: "NIL"}},
			}
		}},
	}
	l := linter(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if failed := l.Check(t.Context(), telamon.ProfilePrivate, build(t, ca.leaf(t, tt.key, tt.change))); len(failed) > 0 {
				t.Errorf("lints refuse it: %v", failed)
			}
		})
	}
}

// TestEveryAlgorithm lints certificates of every algorithm that the platform signs by.
func TestEveryAlgorithm(t *testing.T) {
	subject, _ := newKey(t, tbs.ECP256)
	l := linter(t)
	for _, keyType := range []tbs.KeyType{tbs.RSA2048, tbs.ECP256, tbs.ECP384, tbs.ECP521} {
		ca := newIssuer(t, keyType)
		for _, name := range []string{"RSA", "RSA-PSS", "ECDSA"} {
			for _, hash := range []string{"SHA-256", "SHA-384", "SHA-512"} {
				algorithm, err := tbs.SignatureFor(ca.cert.PublicKey, name, hash)
				if err != nil {
					continue // not of this key
				}
				t.Run(fmt.Sprintf("%s %s", keyType, algorithm), func(t *testing.T) {
					der := build(t, ca.leaf(t, subject, func(m *tbs.Template) { m.Signature = algorithm }))
					if failed := l.Check(t.Context(), telamon.ProfilePrivate, der); len(failed) > 0 {
						t.Errorf("lints refuse it: %v", failed)
					}
				})
			}
		}
	}
}

// TestFailures holds that failures name the lint and its source.
func TestFailures(t *testing.T) {
	ca := newIssuer(t, tbs.ECP256)
	ec, _ := newKey(t, tbs.ECP256)
	broken := build(t, ca.leaf(t, ec, func(m *tbs.Template) { m.Content.KeyUsage = x509.KeyUsageKeyEncipherment }))
	l := linter(t)
	failed := l.Check(t.Context(), telamon.ProfilePrivate, broken)
	if got := names(failed); got != "e_ecdsa_allowed_ku" {
		t.Fatalf("an EC key that enciphers fails %q, want e_ecdsa_allowed_ku", got)
	}
	if !strings.HasPrefix(failed[0].Problem, "RFC8813 (RFC 8813 Section 3): ") {
		t.Errorf("the failure says %q, want its source first", failed[0].Problem)
	}
	if failed := linter(t, "e_ecdsa_allowed_ku").Check(t.Context(), telamon.ProfilePrivate, broken); len(failed) > 0 {
		t.Errorf("the lint is ignored and still fails: %v", failed)
	}
	good := build(t, ca.leaf(t, ec, nil))
	for name, failed := range map[string][]fault.Field{
		"no certificate":     l.Check(t.Context(), telamon.ProfilePrivate, []byte("nothing")),
		"a cut one":          l.Check(t.Context(), telamon.ProfilePrivate, good[:len(good)-1]),
		"an unknown profile": l.Check(t.Context(), "other", good),
	} {
		if names(failed) != "certificate" {
			t.Errorf("%s fails %v, want that it cannot be linted", name, failed)
		}
	}
	if _, err := lint.New(lint.Config{Ignore: []string{"e_no_such_lint"}}); err == nil {
		t.Error("New takes the name of no lint")
	}
}

// TestOmissions holds that what is left out exists, says why, and would judge the
// profile.
func TestOmissions(t *testing.T) {
	for _, o := range lint.Omissions() {
		if err := lint.Known([]string{o.Name}); err != nil {
			t.Errorf("the omission of %s: %v", o.Name, err)
		}
		if len(o.Reason) < 20 || len(o.Profiles) == 0 {
			t.Errorf("the omission of %s says too little: %+v", o.Name, o)
		}
		for _, p := range o.Profiles {
			if lint.Judges(p, o.Name) || !slices.Contains(telamon.Profiles, p) {
				t.Errorf("%s judges %s all the same", o.Name, p)
			}
		}
	}
}

// TestAuthorities lints CA certificates as package issuance makes them.
func TestAuthorities(t *testing.T) {
	l := linter(t)
	root := newIssuer(t, tbs.ECP384)
	sub, _ := newKey(t, tbs.RSA3072)
	subordinate := func(policies ...string) []byte {
		tmpl := root.leaf(t, sub, func(m *tbs.Template) {
			m.Content.Subject = append(rootTemplate(t, sub).Content.Subject[:2:2], utf8(t, "2.5.4.3", "Example strict-tls-rsa"))
			m.Content.SAN, m.CA = telamon.SubjectAltName{}, &tbs.CAConstraints{MaxPathLen: 0}
			m.Content.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
			m.NotAfter = now.AddDate(3, 0, 0)
			for _, p := range policies {
				m.PolicyOIDs = append(m.PolicyOIDs, oid(t, p))
			}
		})
		return build(t, tmpl)
	}
	responder := build(t, root.leaf(t, sub, func(m *tbs.Template) {
		m.Content.Subject, m.Content.SAN = rootTemplate(t, sub).Content.Subject[:2:2], telamon.SubjectAltName{}
		m.Content.Subject = append(m.Content.Subject, utf8(t, "2.5.4.3", "Example OCSP"))
		m.Content.ExtKeyUsage.OIDs, m.OCSPNoCheck = []x509.OID{oid(t, telamon.OCSPSigning)}, true
		m.CRLURLs, m.CAIssuersURLs = nil, nil
	}))
	rootDER := root.cert.RawTBSCertificate
	for _, tt := range []struct {
		name    string
		profile telamon.Profile
		der     []byte
		fails   string
	}{
		{"root", telamon.ProfileCA, rootDER, ""},
		{"issuing CA", telamon.ProfileCA, subordinate(), ""},
		{"strict issuing CA", telamon.ProfileStrictCA, subordinate("2.5.29.32.0"), ""},
		{"strict issuing CA of two policies", telamon.ProfileStrictCA, subordinate("2.23.140.1.2.1", "2.23.140.1.2.2"), "e_ca_multiple_reserved_policy_oids"},
		{"strict issuing CA without policies", telamon.ProfileStrictCA, subordinate(), "e_invalid_ca_certificate_policies e_sub_ca_certificate_policies_missing"},
		{"responder", telamon.ProfileResponder, responder, ""},
		{"strict responder", telamon.ProfileStrictResponder, responder, ""},
		{"strict root", telamon.ProfileStrictCA, rootDER, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if failed := l.Check(t.Context(), tt.profile, tt.der); names(failed) != tt.fails {
				t.Errorf("it fails %v, want %q", failed, tt.fails)
			}
		})
	}
}
