package tbs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/tbs"
)

// asPEM returns text, or if it is no PEM a block with it, so that changes reach
// the DER as well as the armor.
func asPEM(blockType, text string) string {
	if strings.Contains(text, "-----") {
		return text
	}
	return pemOf(blockType, []byte(text))
}

// FuzzParsePublicKey holds that a key that is read is the only block of its text,
// has one encoding, and is of a kind that policies name.
func FuzzParsePublicKey(f *testing.F) {
	hasSeeds(f)
	f.Add(vectorKey)
	label := "PRIVATE KEY" // not a whole header, since no private key is checked in
	f.Add("-----BEGIN " + label + "-----\nAAAA\n-----END " + label + "-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		text = asPEM("PUBLIC KEY", text)
		key, err := tbs.ParsePublicKey(text)
		if err != nil {
			if key != nil || !errors.Is(err, tbs.ErrPEM) && !errors.Is(err, tbs.ErrPrivateKey) && !errors.Is(err, tbs.ErrKey) {
				t.Fatalf("ParsePublicKey(%q) = %+v, %v", text, key, err)
			}
			return
		}
		checkKey(t, key)
		if strings.Count(text, "-----BEGIN ") != 1 || strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("%q is read although it holds more than a key", text)
		}
		again, err := tbs.ParsePublicKey(pemOf("PUBLIC KEY", key.SPKI))
		if err != nil || !bytes.Equal(again.SPKI, key.SPKI) {
			t.Errorf("%q is %x, which is read as %+v, %v", text, key.SPKI, again, err)
		}
	})
}

// checkKey holds what is true of every key that was read.
func checkKey(t *testing.T, key *tbs.PublicKey) {
	t.Helper()
	if canonical, err := x509.MarshalPKIXPublicKey(key.Key); err != nil || !bytes.Equal(canonical, key.SPKI) {
		t.Errorf("the key %x is written as %x, %v", key.SPKI, canonical, err)
	}
	bits := 0
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		bits = k.N.BitLen()
	case *ecdsa.PublicKey:
		bits = k.Curve.Params().BitSize
	}
	_, isRSA := key.Key.(*rsa.PublicKey)
	if bits == 0 || key.Bits != bits || isRSA != (key.Algorithm == "RSA") || key.Hash != sha256.Sum256(key.SPKI) {
		t.Errorf("a %T of %d bits is %+v", key.Key, bits, key)
	}
}

// FuzzParseCSR holds that a request that is read has proven its key, as
// crypto/x509 finds it too. Most changes break the signature; the seeds are
// signed by keys that nobody has any more.
func FuzzParseCSR(f *testing.F) {
	hasSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		text = asPEM("CERTIFICATE REQUEST", text)
		csr, err := tbs.ParseCSR(text)
		if bare, other := tbs.ParseBareCSR(text); err == nil && (other != nil || !bytes.Equal(bare.Raw, csr.Raw)) {
			t.Fatalf("ParseBareCSR(%q) = %+v, %v", text, bare, other)
		}
		if err != nil {
			known := false
			for _, want := range []error{tbs.ErrPEM, tbs.ErrPrivateKey, tbs.ErrRequest, tbs.ErrKey, tbs.ErrSelfSignature} {
				known = known || errors.Is(err, want)
			}
			if csr != nil || !known {
				t.Fatalf("ParseCSR(%q) = %+v, %v", text, csr, err)
			}
			return
		}
		checkKey(t, csr.PublicKey)
		block, rest := pem.Decode([]byte(strings.TrimSpace(text) + "\n"))
		if block == nil || len(bytes.TrimSpace(rest)) > 0 || !bytes.Equal(block.Bytes, csr.Raw) {
			t.Errorf("%q is read as %x", text, csr.Raw)
		}
		request, err := x509.ParseCertificateRequest(csr.Raw)
		if err != nil || request.CheckSignature() != nil || !bytes.Equal(request.RawSubjectPublicKeyInfo, csr.PublicKey.SPKI) {
			t.Errorf("crypto/x509 reads %x as %+v, %v", csr.Raw, request, err)
		}
	})
}

// FuzzInspect holds that a signer judges what relying parties will see: where
// crypto/x509 reads the certificate too, it finds the same.
func FuzzInspect(f *testing.F) {
	hasSeeds(f)
	f.Add(goodParts(f).der(f))
	f.Fuzz(func(t *testing.T, der []byte) {
		facts, err := tbs.Inspect(der)
		content, contentErr := tbs.ContentOfTBS(der)
		if (err == nil) != (contentErr == nil) || (facts == nil) != (err != nil) || err == nil && !bytes.HasPrefix(content, facts.Subject) {
			t.Fatalf("Inspect(%x) = %+v, %v; its content is %x, %v", der, facts, err, content, contentErr)
		}
		if err != nil {
			return
		}
		whole, err := tbs.Assemble(der, facts.Signature, []byte("signature"))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := tbs.ContentOf(whole); err != nil || !bytes.Equal(again, content) {
			t.Errorf("the certificate's content is %x, %v, want %x", again, err, content)
		}
		if cert, err := x509.ParseCertificate(whole); err == nil {
			compareFacts(t, facts, cert)
		}
	})
}

func compareFacts(t *testing.T, facts *tbs.Facts, cert *x509.Certificate) {
	t.Helper()
	switch {
	case facts.Serial.Cmp(cert.SerialNumber) != 0:
		t.Errorf("the serial number is %x, want %x", facts.Serial, cert.SerialNumber)
	case !bytes.Equal(facts.Issuer, cert.RawIssuer), !bytes.Equal(facts.Subject, cert.RawSubject), !bytes.Equal(facts.SPKI, cert.RawSubjectPublicKeyInfo):
		t.Errorf("the names and the key are %x, %x, %x, want %x, %x, %x", facts.Issuer, facts.Subject, facts.SPKI,
			cert.RawIssuer, cert.RawSubject, cert.RawSubjectPublicKeyInfo)
	case !facts.NotBefore.Equal(cert.NotBefore), !facts.NotAfter.Equal(cert.NotAfter):
		t.Errorf("the validity is %s to %s, want %s to %s", facts.NotBefore, facts.NotAfter, cert.NotBefore, cert.NotAfter)
	case facts.IsCA != cert.IsCA, cert.BasicConstraintsValid && facts.MaxPathLen != cert.MaxPathLen:
		t.Errorf("it is a CA: %v with the path length %d, want %v, %d", facts.IsCA, facts.MaxPathLen, cert.IsCA, cert.MaxPathLen)
	case facts.KeyUsage != cert.KeyUsage:
		t.Errorf("the key usage is %b, want %b", facts.KeyUsage, cert.KeyUsage)
	case len(facts.ExtKeyUsage) != len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage):
		t.Errorf("the extended key usages are %v, want %v and %v", facts.ExtKeyUsage, cert.ExtKeyUsage, cert.UnknownExtKeyUsage)
	}
}

// hasSeeds holds that the target's corpus is there: without it, it proves little.
func hasSeeds(f *testing.F) {
	f.Helper()
	seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name()))
	if err != nil || len(seeds) < 4 {
		f.Fatalf("%d seeds: %v", len(seeds), err)
	}
}
