package signer_test

import (
	"errors"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// TestKeyPair makes a key pair behind a signer, signs hashes by it, and holds that the
// purpose is the signer's to check.
func TestKeyPair(t *testing.T) {
	w := newWorld(t)
	_, made := hierarchy(t, w.client, w.clock)
	ca := made.Issuers[1]
	owner := keystore.Owner{Account: telamon.NewAccountID(), KeyPair: telamon.NewKeyPairID()}
	public, err := w.client.Generate("pair", tbs.RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	purpose := keystore.Purpose{Role: telamon.RoleKeyPair, Owner: owner}
	if err := w.client.Bind("pair", purpose); err != nil {
		t.Fatal(err)
	}
	if described, err := w.client.Describe("pair"); err != nil || described.Purpose != purpose {
		t.Errorf("the key pair is described as %+v, %v", described, err)
	}
	digest := make([]byte, 48)
	for _, name := range []string{"RSA", "RSA-PSS"} {
		algorithm, err := tbs.SignatureNamed(name, "SHA-384")
		if err != nil {
			t.Fatal(err)
		}
		signature, err := w.client.SignHash("pair", owner, algorithm, digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := algorithm.VerifyDigest(public, digest, signature); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	n := 0
	for record, err := range w.client.ReadJournal("pair") {
		if n++; err != nil || record.OfCertificate() {
			t.Errorf("record %d is %+v, %v", n, record, err)
		}
	}
	if n != 2 {
		t.Errorf("the journal has %d records, want 2", n)
	}

	rsa384, err := tbs.SignatureNamed("RSA", "SHA-384")
	if err != nil {
		t.Fatal(err)
	}
	ecdsa256, err := tbs.SignatureNamed("ECDSA", "SHA-256")
	if err != nil {
		t.Fatal(err)
	}
	stranger := keystore.Owner{Account: telamon.NewAccountID(), KeyPair: owner.KeyPair}
	_, foreign := w.client.SignHash("pair", stranger, rsa384, digest)
	_, short := w.client.SignHash("pair", owner, rsa384, digest[:20])
	_, byCA := w.client.SignHash(ca.KeyName, owner, ecdsa256, digest[:32])
	_, none := w.client.SignHash("pair", owner, nil, digest)
	_, certificate := w.client.SignCertificate("pair", ca.Certificate.RawTBSCertificate)
	if err := w.client.Retire("pair"); err != nil {
		t.Fatal(err)
	}
	_, retired := w.client.SignHash("pair", owner, rsa384, digest)
	for what, err := range map[string]error{
		"another account": foreign, "a short digest": short, "the key of a CA": byCA, "no algorithm": none,
		"a certificate": certificate, "a retired key": retired,
	} {
		if !errors.Is(err, keystore.ErrPurpose) {
			t.Errorf("%s: %v, want ErrPurpose", what, err)
		}
	}
	if err := w.client.Destroy("pair"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys.Public("pair"); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("the destroyed key: %v", err)
	}
}
