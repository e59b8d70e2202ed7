package tbs_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// signers holds one key of each type, since RSA keys take long to make.
var signers = func() map[tbs.KeyType]func() crypto.Signer {
	m := map[tbs.KeyType]func() crypto.Signer{}
	for _, t := range tbs.KeyTypes() {
		m[t] = sync.OnceValue(func() crypto.Signer {
			key, err := t.Generate(rand.Reader)
			if err != nil {
				panic(err)
			}
			return key
		})
	}
	return m
}()

var (
	notBefore = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2027, 11, 22, 9, 59, 59, 0, time.UTC)
)

func publicKey(t testing.TB, signer crypto.Signer) *tbs.PublicKey {
	t.Helper()
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

func mustOID(t testing.TB, text string) x509.OID {
	t.Helper()
	id, err := x509.ParseOID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func attribute(t testing.TB, oid string, valueType telamon.ValueType, text string) telamon.Attribute {
	return telamon.Attribute{Type: mustOID(t, oid), Value: telamon.TypedValue{Type: valueType, Text: text}}
}

// issue builds, signs and parses the certificate of a template.
func issue(t testing.TB, template *tbs.Template, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	signed, err := tbs.Build(template)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	if _, err := tbs.Inspect(signed); err != nil {
		t.Fatalf("Inspect of what Build made: %v", err)
	}
	signature, err := template.Signature.Sign(signer, signed)
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	if err := template.Signature.Verify(signer.Public(), signed, signature); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	der, err := tbs.Assemble(signed, template.Signature, signature)
	if err != nil {
		t.Fatalf("Assemble: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("crypto/x509 does not parse the certificate: %v", err)
	}
	return cert
}

// root returns a self-signed root that signs by the named algorithm.
func root(t testing.TB, keyType tbs.KeyType, name, hash string) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	signer := signers[keyType]()
	algorithm, err := tbs.SignatureFor(signer.Public(), name, hash)
	if err != nil {
		t.Fatal(err)
	}
	return issue(t, &tbs.Template{
		Serial: telamon.NewSerial(notBefore), NotBefore: notBefore, NotAfter: notBefore.AddDate(20, 0, 0),
		Content: telamon.Content{
			Subject:  []telamon.Attribute{attribute(t, "2.5.4.3", telamon.UTF8String, "Test Root")},
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		},
		PublicKey: publicKey(t, signer), Signature: algorithm, CA: &tbs.CAConstraints{MaxPathLen: -1},
	}, signer), signer
}

func TestSignatureAlgorithms(t *testing.T) {
	tests := []struct {
		key        tbs.KeyType
		name, hash string
		want       x509.SignatureAlgorithm // 0: the key does not sign so
	}{
		{tbs.RSA2048, "", "", x509.SHA256WithRSA},
		{tbs.RSA2048, "RSA", "SHA-384", x509.SHA384WithRSA},
		{tbs.RSA3072, "RSA", "SHA-512", x509.SHA512WithRSA},
		{tbs.RSA4096, "RSA-PSS", "", x509.SHA256WithRSAPSS},
		{tbs.RSA2048, "RSA-PSS", "SHA-384", x509.SHA384WithRSAPSS},
		{tbs.RSA2048, "RSA-PSS", "SHA-512", x509.SHA512WithRSAPSS},
		{tbs.ECP256, "", "", x509.ECDSAWithSHA256},
		{tbs.ECP384, "", "", x509.ECDSAWithSHA384},
		{tbs.ECP521, "ECDSA", "", x509.ECDSAWithSHA512},
		{tbs.ECP256, "", "SHA-512", x509.ECDSAWithSHA512},
		{tbs.ECP256, "RSA", "", 0},
		{tbs.RSA2048, "ECDSA", "", 0},
		{tbs.RSA2048, "RSA", "SHA-1", 0},
		{tbs.ECP256, "EdDSA", "", 0},
	}
	for _, tt := range tests {
		t.Run(string(tt.key)+" "+tt.name+" "+tt.hash, func(t *testing.T) {
			if tt.want == 0 {
				if a, err := tbs.SignatureFor(signers[tt.key]().Public(), tt.name, tt.hash); err == nil {
					t.Fatalf("SignatureFor gives %s, want an error", a)
				}
				return
			}
			cert, signer := root(t, tt.key, tt.name, tt.hash)
			if cert.SignatureAlgorithm != tt.want {
				t.Errorf("the certificate is signed by %s, want %s", cert.SignatureAlgorithm, tt.want)
			}
			if err := cert.CheckSignatureFrom(cert); err != nil {
				t.Errorf("crypto/x509 does not verify it: %v", err)
			}
			if got, ok := tbs.KeyTypeOf(signer.Public()); !ok || got != tt.key {
				t.Errorf("KeyTypeOf = %s, want %s", got, tt.key)
			}
			verifyWithOpenSSL(t, cert)
		})
	}
}

// openssl runs openssl with the certificate as PEM in FILE.
func openssl(t testing.TB, cert *x509.Certificate, args ...string) string {
	t.Helper()
	w := newWorkshop(t)
	w.write("FILE", []byte(pemOf("CERTIFICATE", cert.Raw)))
	return string(w.run(nil, args...))
}

func verifyWithOpenSSL(t *testing.T, root *x509.Certificate) {
	t.Helper()
	out := openssl(t, root, "verify", "-check_ss_sig", "-attime", "1795343400", "-CAfile", "FILE", "FILE")
	if !strings.Contains(out, ": OK") {
		t.Errorf("openssl verify says %s", out)
	}
}

// fullContent uses every kind of content.
func fullContent(t testing.TB) telamon.Content {
	retention, major, minor := 10, 100, 7
	semantics, qcType := mustOID(t, "0.4.0.194121.1.1"), mustOID(t, "0.4.0.1862.1.6.1")
	return telamon.Content{
		Subject: []telamon.Attribute{
			attribute(t, "2.5.4.6", telamon.PrintableString, "DE"),
			attribute(t, "2.5.4.10", telamon.UTF8String, "Beispielwerke GmbH & Söhne"),
			attribute(t, "2.5.4.11", telamon.UTF8String, "Line 4"),
			attribute(t, "2.5.4.5", telamon.PrintableString, "SN-1234"),
			attribute(t, "2.5.4.3", telamon.UTF8String, "device-17.plant.example"),
			attribute(t, "1.2.840.113549.1.9.1", telamon.IA5String, "ops@plant.example"),
			attribute(t, "2.5.4.12", telamon.UTF8String, "controller"),
		},
		SAN: telamon.SubjectAltName{
			DNSNames: []string{"device-17.plant.example", "*.plant.example"}, Emails: []string{"ops@plant.example"},
			IPAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.17"), netip.MustParseAddr("2001:db8::1")},
			URIs:        []string{"urn:dev:17"},
			OtherNames:  []telamon.Attribute{attribute(t, "1.3.6.1.4.1.311.20.2.3", telamon.UTF8String, "device-17@plant.example")},
		},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDecipherOnly,
		ExtKeyUsage: telamon.ExtKeyUsage{Critical: true, OIDs: []x509.OID{mustOID(t, "1.3.6.1.5.5.7.3.1"), mustOID(t, "1.3.6.1.5.5.7.3.2")}},
		DirectoryAttributes: &telamon.SubjectDirectoryAttributes{
			Gender: "F", DateOfBirth: time.Date(1971, 10, 14, 0, 0, 0, 0, time.UTC), PlaceOfBirth: "Köln",
			CountryOfCitizenship: []string{"DE", "SE"}, CountryOfResidence: []string{"FR"},
			Extra: []telamon.Attribute{attribute(t, "2.5.4.12", telamon.UTF8String, "engineer")},
		},
		QCStatements: &telamon.QCStatements{
			SemanticsID: &semantics, NameAuthorities: []string{"https://register.example"}, Compliance: true, SSCD: true,
			Type: &qcType, RetentionYears: &retention,
			PDS: []telamon.PDSLocation{{Language: "en", URL: "https://pds.example/en"}},
		},
		Template: &telamon.MicrosoftTemplate{ID: mustOID(t, "1.3.6.1.4.1.311.21.8.1.2.3"), MajorVersion: &major, MinorVersion: &minor},
		Extensions: []telamon.Extension{
			{ID: mustOID(t, "1.3.6.1.4.1.99999.1"), Value: telamon.TypedValue{Type: telamon.Nil, Text: "NIL"}},
			{ID: mustOID(t, "1.3.6.1.4.1.99999.2"), Value: telamon.TypedValue{Type: telamon.UTF8String, Text: "some text"}},
			{ID: mustOID(t, "1.3.6.1.4.1.99999.3"), Critical: true, Value: telamon.TypedValue{Type: telamon.DER, Text: "30030101ff"}},
			{ID: mustOID(t, "1.3.6.1.4.1.99999.6"), Value: telamon.TypedValue{Type: telamon.Integer, Text: "70000"}},
			{ID: mustOID(t, "1.3.6.1.4.1.99999.4"), Value: telamon.TypedValue{Type: telamon.IA5String, Text: "a@b"}},
			{ID: mustOID(t, "1.3.6.1.4.1.99999.5"), Value: telamon.TypedValue{Type: telamon.PrintableString, Text: "A-1"}},
		},
	}
}

func leafTemplate(t testing.TB, issuer *x509.Certificate, issuerKey crypto.Signer, content telamon.Content) *tbs.Template {
	t.Helper()
	algorithm, err := tbs.SignatureFor(issuerKey.Public(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return &tbs.Template{
		Serial: telamon.Serial{0x01, 0x07, 0x8e, 0x3b, 15: 0xab}, Issuer: issuer, NotBefore: notBefore, NotAfter: notAfter,
		Content: content, PublicKey: publicKey(t, signers[tbs.ECP256]()), Signature: algorithm,
		CRLURLs:       []string{"http://status.example/crl/iss/0.crl"},
		CAIssuersURLs: []string{"http://status.example/ca/iss.cer"}, OCSPURLs: []string{"http://status.example/ocsp"},
		PolicyOIDs: []x509.OID{mustOID(t, "2.23.140.1.2.2")},
	}
}

// TestFullCertificate compares what openssl shows of a certificate with every
// extension with testdata/full.txt. The keys and signature are left out.
func TestFullCertificate(t *testing.T) {
	issuer, issuerKey := root(t, tbs.ECP384, "", "")
	cert := issue(t, leafTemplate(t, issuer, issuerKey, fullContent(t)), issuerKey)
	if err := cert.CheckSignatureFrom(issuer); err != nil {
		t.Errorf("the issuer did not sign it: %v", err)
	}
	text := openssl(t, cert, "x509", "-in", "FILE", "-noout", "-text", "-certopt", "no_pubkey,no_sigdump", "-nameopt", "RFC2253,show_type")
	text = hideKeyIDs(text)
	for _, id := range []string{"1.3.6.1.5.5.7.1.3", "2.5.29.9", "1.3.6.1.4.1.311.21.7", "1.3.6.1.4.1.99999.1",
		"1.3.6.1.4.1.99999.3", "1.3.6.1.4.1.99999.6", "2.5.29.17"} {
		text += "\n" + id + "\n" + parseExtension(t, cert, id)
	}
	golden := filepath.Join("testdata", "full.txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("the certificate is not that of %s (-want +got):\n%s", golden, diff)
	}
}

// hideKeyIDs replaces the key identifiers, which differ with each run's keys.
func hideKeyIDs(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Count(line, ":") == 19 {
			line = "                (key identifier)\n"
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

// parseExtension returns openssl's asn1parse of an extension's value.
func parseExtension(t testing.TB, cert *x509.Certificate, id string) string {
	t.Helper()
	return newWorkshop(t).asn1(extensionOf(t, cert, id).Value)
}

// extensionOf returns an extension of the certificate.
func extensionOf(t testing.TB, cert *x509.Certificate, id string) pkix.Extension {
	t.Helper()
	i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.String() == id })
	if i < 0 {
		t.Fatalf("the certificate has no extension %s", id)
	}
	return cert.Extensions[i]
}

// TestWhatGoCannotParse encodes what crypto/x509 refuses to read: integers in
// names and identifiers with arcs of more than 31 bits.
func TestWhatGoCannotParse(t *testing.T) {
	issuer, issuerKey := root(t, tbs.ECP256, "", "")
	const uuidOID = "2.25.329800735698586629295641978511506172918"
	template := leafTemplate(t, issuer, issuerKey, telamon.Content{
		Subject:    []telamon.Attribute{attribute(t, "1.3.6.1.4.1.99999.5", telamon.Integer, "-129")},
		Extensions: []telamon.Extension{{ID: mustOID(t, uuidOID), Value: telamon.TypedValue{Type: telamon.Integer, Text: "70000"}}},
	})
	signed, err := tbs.Build(template)
	if err != nil {
		t.Fatal(err)
	}
	text := hex.EncodeToString(signed)
	id, err := mustOID(t, uuidOID).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"the integer -129 in the name": "0202ff7f",
		"the extension's integer":      "04050203011170",
		"an identifier of 128 bits":    hex.EncodeToString(id),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the certificate has not %s, %s: %s", name, want, text)
		}
	}
}

// BenchmarkBuild builds what most certificates are, and one with every extension.
func BenchmarkBuild(b *testing.B) {
	issuer, issuerKey := root(b, tbs.ECP256, "", "")
	plain := named(b)
	plain.SAN.DNSNames = []string{"device-17.plant.example"}
	plain.KeyUsage = x509.KeyUsageDigitalSignature
	plain.ExtKeyUsage.OIDs = []x509.OID{mustOID(b, "1.3.6.1.5.5.7.3.1")}
	for name, content := range map[string]telamon.Content{"a TLS server": plain, "every extension": fullContent(b)} {
		b.Run(name, func(b *testing.B) {
			template := leafTemplate(b, issuer, issuerKey, content)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tbs.Build(template); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
