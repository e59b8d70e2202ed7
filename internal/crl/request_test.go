package crl_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/crl"
)

// TestRequest carries a request as a file, has it signed, and reads the CRL as others do.
func TestRequest(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCRLSign, NotBefore: at, NotAfter: at.AddDate(1, 0, 0), SubjectKeyId: []byte{1, 2, 3},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	serial := telamon.NewSerial(at)
	request := &crl.Request{
		Issuer: telamon.NewIssuerID(), KeyID: hex.EncodeToString(root.SubjectKeyId), Number: 42, Lifetime: 86400,
		Entries: []crl.RequestedEntry{{Serial: serial.String(), RevokedAt: at, Reason: telamon.ReasonKeyCompromise}},
	}
	text, err := request.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := crl.ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(list io.Reader) ([]byte, error) {
		digest := sha256.New()
		if _, err := io.Copy(digest, list); err != nil {
			return nil, err
		}
		return key.Sign(rand.Reader, digest.Sum(nil), crypto.SHA256)
	}
	now := at.Add(48 * time.Hour)
	signed, err := again.Sign(root, now, sign)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(root); err != nil || list.Number.Int64() != 42 || !list.ThisUpdate.Equal(now) ||
		!list.NextUpdate.Equal(now.Add(24*time.Hour)) || len(list.RevokedCertificateEntries) != 1 ||
		list.RevokedCertificateEntries[0].ReasonCode != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(serial.Int()) != 0 {
		t.Errorf("the CRL is %+v, %v", list, err)
	}
	if _, err := again.Sign(root, now, func(io.Reader) ([]byte, error) { return []byte{0x30, 0}, nil }); err == nil {
		t.Error("a signature that does not verify leaves the ceremony")
	}
	again.KeyID = "00"
	if _, err := again.Sign(root, now, sign); err == nil {
		t.Error("a request for another issuer is signed")
	}
	for _, change := range [][2]string{
		{`"version": 1`, `"version": 2`}, {`"number": 42`, `"number": 0`}, {"86400", "0"}, {"86400", "31536001"}, {serial.String(), "02"},
		{"keyCompromise", "certificateHold"}, {`"number"`, `"numbers"`}, {"2026-11-30T10:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		if changed == string(text) {
			t.Fatalf("%q is not in the request", change[0])
		}
		if _, err := crl.ParseRequest([]byte(changed)); err == nil {
			t.Errorf("a request with %s is read", change[1])
		}
	}
	if _, err := crl.ParseRequest(append(text, '{')); err == nil {
		t.Error("a request with something behind it is read")
	}
}

// FuzzParseRequest holds that what is read is written and read as the same.
func FuzzParseRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		request, err := crl.ParseRequest(text)
		if err != nil {
			return
		}
		first, err := request.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := crl.ParseRequest(first)
		if err != nil {
			t.Fatalf("%s is not read again: %v", first, err)
		}
		if second, err := again.Marshal(); err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s is written as %s, %v", first, second, err)
		}
	})
}
