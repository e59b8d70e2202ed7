package tbs_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// element returns one DER element of the given contents.
func element(t testing.TB, tag asn1.Tag, contents ...[]byte) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(slices.Concat(contents...)) })
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	der, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

const (
	constructed0 = asn1.Tag(0x20 | 0x80)
	constructed3 = asn1.Tag(0x23 | 0x80)
)

// parts are the elements of a tbsCertificate.
type parts struct {
	version, serial, signature, issuer, validity, subject, spki []byte
	between                                                     []byte // before the extensions
	extensions                                                  [][]byte
	behind                                                      []byte // after the extensions
}

func (p *parts) der(t testing.TB) []byte {
	t.Helper()
	return element(t, asn1.SEQUENCE, p.version, p.serial, p.signature, p.issuer, p.validity, p.subject, p.spki, p.between,
		element(t, constructed3, element(t, asn1.SEQUENCE, p.extensions...)), p.behind)
}

// extension returns the DER of an extension; id and value are hexadecimal.
func extension(t testing.TB, id, value string) []byte {
	t.Helper()
	return element(t, asn1.SEQUENCE, element(t, asn1.OBJECT_IDENTIFIER, unhex(t, id)), element(t, asn1.OCTET_STRING, unhex(t, value)))
}

func goodParts(t testing.TB) *parts {
	t.Helper()
	name := element(t, asn1.SEQUENCE)
	return &parts{
		version: unhex(t, "a003020102"), serial: unhex(t, "020101"), signature: unhex(t, identifiers[0].der), issuer: name,
		validity: element(t, asn1.SEQUENCE, []byte("\x17\x0d261122100000Z"), []byte("\x18\x0f20500101000000Z")), subject: name,
		spki: element(t, asn1.SEQUENCE), extensions: [][]byte{extension(t, "2a03", "0500")},
	}
}

func TestInspect(t *testing.T) {
	type edit = func(*parts)
	extensions := func(list ...[]byte) edit { return func(p *parts) { p.extensions = list } }
	const constraints, usage, extended = "551d13", "551d0f", "551d25"
	tests := []struct {
		name string
		edit edit
		ok   bool
	}{
		{"as it should be", func(*parts) {}, true},
		{"version 1", func(p *parts) { p.version = nil }, false},
		{"version 2", func(p *parts) { p.version = unhex(t, "a003020101") }, false},
		{"version 4", func(p *parts) { p.version = unhex(t, "a003020103") }, false},
		{"two versions", func(p *parts) { p.version = unhex(t, "a006020102020102") }, false},
		{"no serial number", func(p *parts) { p.serial = nil }, false},
		{"a serial number with zeros before", func(p *parts) { p.serial = unhex(t, "02020001") }, false},
		{"no signature algorithm", func(p *parts) { p.signature = nil }, false},
		{"an unknown signature algorithm", func(p *parts) { p.signature = unhex(t, "300506032b6570") }, false},
		{"no subject", func(p *parts) { p.subject = nil }, false},
		{"a set as subject", func(p *parts) { p.subject = unhex(t, "3100") }, false},
		{"no start", func(p *parts) { p.validity = element(t, asn1.SEQUENCE, []byte("\x18\x0f20500101000000Z")) }, false},
		{"three times", func(p *parts) {
			p.validity = element(t, asn1.SEQUENCE, bytes.Repeat([]byte("\x17\x0d261122100000Z"), 3))
		}, false},
		{"a 30th of February", func(p *parts) {
			p.validity = element(t, asn1.SEQUENCE, []byte("\x17\x0d260230100000Z"), []byte("\x17\x0d261122100000Z"))
		}, false},
		{"no key", func(p *parts) { p.spki = nil }, false},
		{"an issuer's unique identifier", func(p *parts) { p.between = unhex(t, "810100") }, false},
		{"a subject's unique identifier", func(p *parts) { p.between = unhex(t, "820100") }, false},
		{"more behind the extensions", func(p *parts) { p.behind = unhex(t, "0500") }, false},
		{"an extension twice", extensions(extension(t, "2a03", "0500"), extension(t, "2a04", "0500"), extension(t, "2a03", "0101ff")), false},
		{"an extension without a value", extensions(element(t, asn1.SEQUENCE, unhex(t, "06022a03"))), false},
		{"an extension without an identifier", extensions(element(t, asn1.SEQUENCE, unhex(t, "04020500"))), false},
		{"an identifier of no arcs", extensions(element(t, asn1.SEQUENCE, unhex(t, "0600"), unhex(t, "04020500"))), false},
		{"an identifier that does not end", extensions(element(t, asn1.SEQUENCE, unhex(t, "06022a83"), unhex(t, "04020500"))), false},
		{"critical FALSE", extensions(element(t, asn1.SEQUENCE, unhex(t, "06022a03"), unhex(t, "010100"), unhex(t, "04020500"))), false},
		{"critical TRUE", extensions(element(t, asn1.SEQUENCE, unhex(t, "06022a03"), unhex(t, "0101ff"), unhex(t, "04020500"))), true},
		{"critical of BER", extensions(element(t, asn1.SEQUENCE, unhex(t, "06022a03"), unhex(t, "010101"), unhex(t, "04020500"))), false},
		{"more behind a value", extensions(element(t, asn1.SEQUENCE, unhex(t, "06022a03"), unhex(t, "04020500"), unhex(t, "0500"))), false},
		{"a number as extension", extensions(unhex(t, "020101")), false},
		{"a number as basic constraints", extensions(extension(t, constraints, "020101")), false},
		{"no basic constraints", extensions(extension(t, constraints, "3000")), true},
		{"more behind basic constraints", extensions(extension(t, constraints, "30000500")), false},
		{"more within basic constraints", extensions(extension(t, constraints, "30060101ff0101ff")), false},
		{"a negative path length", extensions(extension(t, constraints, "30060101ff0201ff")), false},
		{"a path length beyond numbers", extensions(extension(t, constraints, "300e0101ff0209010000000000000000")), false},
		{"a key usage of nothing", extensions(extension(t, usage, "030100")), true},
		{"a key usage with set bits that are unused", extensions(extension(t, usage, "03020701")), false},
		{"more behind a key usage", extensions(extension(t, usage, "030207800500")), false},
		{"an octet string as key usage", extensions(extension(t, usage, "040180")), false},
		{"no extended key usage", extensions(extension(t, extended, "3000")), false},
		{"an extended key usage", extensions(extension(t, extended, "300406022a03")), true},
		{"more behind an extended key usage", extensions(extension(t, extended, "300406022a030500")), false},
		{"a number as extended key usage", extensions(extension(t, extended, "3003020101")), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := goodParts(t)
			tt.edit(p)
			der := p.der(t)
			facts, err := tbs.Inspect(der)
			if (err == nil) != tt.ok || (facts == nil) != (err != nil) {
				t.Errorf("Inspect(%x) = %+v, %v, want it accepted: %v", der, facts, err, tt.ok)
			}
			for _, more := range [][]byte{append(bytes.Clone(der), 0), der[:len(der)-1], append([]byte{0x31}, der[1:]...)} {
				if facts, err := tbs.Inspect(more); err == nil {
					t.Errorf("Inspect(%x) = %+v", more, facts)
				}
			}
		})
	}
}

// TestFacts compares what a signer finds with what was asked for.
func TestFacts(t *testing.T) {
	issuer, issuerKey := root(t, tbs.ECP384, "", "")
	template := leafTemplate(t, issuer, issuerKey, fullContent(t))
	cert := issue(t, template, issuerKey)
	facts, err := tbs.Inspect(cert.RawTBSCertificate)
	if err != nil {
		t.Fatal(err)
	}
	if facts.Serial.Cmp(template.Serial.Int()) != 0 || facts.Signature != template.Signature || facts.IsCA || facts.MaxPathLen != -1 {
		t.Errorf("the facts are %+v", facts)
	}
	if !bytes.Equal(facts.Issuer, issuer.RawSubject) || !bytes.Equal(facts.Subject, cert.RawSubject) || !bytes.Equal(facts.SPKI, template.PublicKey.SPKI) {
		t.Errorf("the names and the key are %x, %x, %x", facts.Issuer, facts.Subject, facts.SPKI)
	}
	if facts.KeyUsage != template.Content.KeyUsage || !facts.HasExtKeyUsage ||
		!slices.EqualFunc(facts.ExtKeyUsage, template.Content.ExtKeyUsage.OIDs, x509.OID.Equal) {
		t.Errorf("the usages are %b, %v", facts.KeyUsage, facts.ExtKeyUsage)
	}
}

// TestDuplicateOfOurs holds that a custom extension which the certificate has
// already is found before it is signed.
func TestDuplicateOfOurs(t *testing.T) {
	issuer, issuerKey := root(t, tbs.ECP256, "", "")
	content := named(t)
	content.Extensions = []telamon.Extension{{ID: mustOID(t, "2.5.29.14"), Value: telamon.TypedValue{Type: telamon.DER, Text: "040101"}}}
	der, err := tbs.Build(leafTemplate(t, issuer, issuerKey, content))
	if err != nil {
		t.Fatal(err)
	}
	if facts, err := tbs.Inspect(der); err == nil {
		t.Errorf("Inspect = %+v, want an error", facts)
	}
}

// TestContentOf holds that the contents of two certificates are equal exactly if
// they say the same of their subject.
func TestContentOf(t *testing.T) {
	issuer, issuerKey := root(t, tbs.ECP256, "", "")
	other, otherKey := root(t, tbs.RSA2048, "", "")
	content := func(cert *x509.Certificate) string {
		t.Helper()
		got, err := tbs.ContentOf(cert.Raw)
		if err != nil {
			t.Fatal(err)
		}
		again, err := tbs.ContentOfTBS(cert.RawTBSCertificate)
		if err != nil || !bytes.Equal(got, again) {
			t.Errorf("ContentOfTBS = %x, %v, want %x", again, err, got)
		}
		return string(got)
	}
	want := content(issue(t, leafTemplate(t, issuer, issuerKey, fullContent(t)), issuerKey))

	rekeyed := leafTemplate(t, other, otherKey, fullContent(t))
	rekeyed.Serial[15]++
	rekeyed.NotBefore = rekeyed.NotBefore.AddDate(0, 1, 0)
	rekeyed.PublicKey = publicKey(t, signers[tbs.ECP384]())
	rekeyed.CRLURLs, rekeyed.OCSPURLs = []string{"http://status.example/crl/other/3.crl"}, nil
	if content(issue(t, rekeyed, otherKey)) != want {
		t.Error("another issuer, key, time and status make another content")
	}
	for name, change := range map[string]func(*telamon.Content){
		"a subject":               func(c *telamon.Content) { c.Subject = c.Subject[1:] },
		"a subject's encoding":    func(c *telamon.Content) { c.Subject[0].Value.Type = telamon.UTF8String },
		"an alternative name":     func(c *telamon.Content) { c.SAN.DNSNames = c.SAN.DNSNames[:1] },
		"the order of the names":  func(c *telamon.Content) { slices.Reverse(c.SAN.DNSNames) },
		"a usage":                 func(c *telamon.Content) { c.KeyUsage = x509.KeyUsageDigitalSignature },
		"what is critical":        func(c *telamon.Content) { c.ExtKeyUsage.Critical = false },
		"a statement":             func(c *telamon.Content) { c.QCStatements.SSCD = false },
		"a directory attribute":   func(c *telamon.Content) { c.DirectoryAttributes.Gender = "M" },
		"a template":              func(c *telamon.Content) { c.Template = nil },
		"an extension":            func(c *telamon.Content) { c.Extensions = c.Extensions[1:] },
		"an extension's contents": func(c *telamon.Content) { c.Extensions[1].Value.Text = "other text" },
	} {
		t.Run(name, func(t *testing.T) {
			changed := fullContent(t)
			change(&changed)
			if content(issue(t, leafTemplate(t, issuer, issuerKey, changed), issuerKey)) == want {
				t.Error("the content is the same")
			}
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		for _, der := range [][]byte{nil, {0x30, 0}, append(bytes.Clone(issuer.Raw), 0), issuer.Raw[:len(issuer.Raw)-1], {0x30, 2, 0x30, 0}, issuer.RawTBSCertificate} {
			if got, err := tbs.ContentOf(der); err == nil {
				t.Errorf("ContentOf(%x) = %x", der, got)
			}
		}
	})
}
