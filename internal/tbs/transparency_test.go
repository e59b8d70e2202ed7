package tbs

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
)

// transparencyTemplate is a leaf with a custom extension, so that the extension of
// Certificate Transparency is not the only last one.
func transparencyTemplate(t testing.TB) *Template {
	t.Helper()
	signer, err := ECP256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewPublicKey(spki)
	if err != nil {
		t.Fatal(err)
	}
	algorithm, err := SignatureFor(key.Key, "", "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	return &Template{
		Serial: telamon.NewSerial(now), NotBefore: now, NotAfter: now.AddDate(0, 1, 0), PublicKey: key, Signature: algorithm,
		Content: telamon.Content{
			SAN: telamon.SubjectAltName{DNSNames: []string{"www.example.com"}},
			Extensions: []telamon.Extension{
				{ID: oid(1, 3, 6, 1, 4, 1, 99999, 1), Value: telamon.TypedValue{Type: telamon.Nil, Text: "NIL"}},
			},
		},
	}
}

// TestLogged has what logs sign: the same of a precertificate, of its certificate, and of
// one that was never logged.
func TestLogged(t *testing.T) {
	template := transparencyTemplate(t)
	plain, err := Build(template)
	if err != nil {
		t.Fatal(err)
	}
	template.Poison = true
	pre, err := Build(template)
	if err != nil {
		t.Fatal(err)
	}
	template.Poison, template.SCTList = false, []byte{0, 1, 7}
	final, err := Build(template)
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{"plain": plain, "precertificate": pre, "certificate": final} {
		if got, err := Logged(der); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: Logged gives other bytes, %v", name, err)
		}
		content, err := ContentOfTBS(der)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := ContentOfTBS(plain); err != nil || !bytes.Equal(same, content) {
			t.Errorf("%s: its content is another, %v", name, err)
		}
	}
	if list, err := SCTListOf(final); err != nil || !bytes.Equal(list, template.SCTList) {
		t.Errorf("SCTListOf gives %x, %v", list, err)
	}
	if list, err := SCTListOf(pre); err != nil || list != nil {
		t.Errorf("SCTListOf of a precertificate gives %x, %v", list, err)
	}
	template.Poison = true
	if _, err := Build(template); err == nil {
		t.Error("a precertificate has timestamps")
	}
	if _, err := Logged(pre[:len(pre)-1]); err == nil {
		t.Error("Logged reads a part of a certificate")
	}
}
