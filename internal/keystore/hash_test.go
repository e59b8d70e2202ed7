package keystore_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// keyPair makes a key pair of a new owner.
func (s *store) keyPair(t *testing.T, name string, keyType tbs.KeyType) keystore.Owner {
	t.Helper()
	owner := keystore.Owner{Account: telamon.NewAccountID(), KeyPair: telamon.NewKeyPairID()}
	if _, err := s.Generate(name, keyType); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(name, keystore.Purpose{Role: telamon.RoleKeyPair, Owner: owner}); err != nil {
		t.Fatal(err)
	}
	return owner
}

func algorithm(t *testing.T, name, hash string) *tbs.SignatureAlgorithm {
	t.Helper()
	a, err := tbs.SignatureNamed(name, hash)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func digestOf(h crypto.Hash) []byte {
	w := h.New()
	w.Write([]byte("what was hashed"))
	return w.Sum(nil)
}

func TestSignHash(t *testing.T) {
	s := newStore(t)
	s.responder(t, "responder")
	if _, err := s.Generate("unbound", tbs.ECP256); err != nil {
		t.Fatal(err)
	}
	ec, rsa := s.keyPair(t, "ec", tbs.ECP256), s.keyPair(t, "rsa", tbs.RSA2048)
	ecdsa256, rsa256 := algorithm(t, "ECDSA", "SHA-256"), algorithm(t, "RSA", "SHA-256")
	short := digestOf(crypto.SHA256)[:31]
	tests := []struct {
		name      string
		key       string
		owner     keystore.Owner
		algorithm *tbs.SignatureAlgorithm
		digest    []byte
		want      string // part of the refusal, "" for none
	}{
		{"ECDSA", "ec", ec, ecdsa256, digestOf(crypto.SHA256), ""},
		{"ECDSA with a longer hash", "ec", ec, algorithm(t, "ECDSA", "SHA-384"), digestOf(crypto.SHA384), ""},
		{"RSA", "rsa", rsa, rsa256, digestOf(crypto.SHA256), ""},
		{"RSA with SHA-512", "rsa", rsa, algorithm(t, "RSA", "SHA-512"), digestOf(crypto.SHA512), ""},
		{"RSA-PSS", "rsa", rsa, algorithm(t, "RSA-PSS", "SHA-384"), digestOf(crypto.SHA384), ""},
		{"a root", "root", ec, ecdsa256, digestOf(crypto.SHA256), "no key of a key pair"},
		{"an issuing CA", "ca", ec, ecdsa256, digestOf(crypto.SHA256), "no key of a key pair"},
		{"a responder", "responder", ec, ecdsa256, digestOf(crypto.SHA256), "no key of a key pair"},
		{"a key without a purpose", "unbound", ec, ecdsa256, digestOf(crypto.SHA256), "no key of a key pair"},
		{"a key without a purpose for nobody", "unbound", keystore.Owner{}, ecdsa256, digestOf(crypto.SHA256), "no key of a key pair"},
		{"another account's", "rsa", ec, rsa256, digestOf(crypto.SHA256), "another owner's"},
		{"another key pair of the account", "ec", keystore.Owner{Account: ec.Account, KeyPair: rsa.KeyPair}, ecdsa256, digestOf(crypto.SHA256), "another owner's"},
		{"nobody's", "ec", keystore.Owner{}, ecdsa256, digestOf(crypto.SHA256), "another owner's"},
		{"an algorithm of another key", "ec", ec, rsa256, digestOf(crypto.SHA256), "does not sign by RSA"},
		{"no algorithm", "ec", ec, nil, digestOf(crypto.SHA256), "no algorithm"},
		{"a short digest", "ec", ec, ecdsa256, short, "31 octets"},
		{"a digest of another hash", "rsa", rsa, rsa256, digestOf(crypto.SHA512), "64 octets"},
		{"no digest", "rsa", rsa, rsa256, nil, "0 octets"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := s.records(t, tt.key)
			signature, err := s.SignHash(tt.key, tt.owner, tt.algorithm, tt.digest)
			if tt.want != "" {
				if !errors.Is(err, keystore.ErrPurpose) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("SignHash reports %v, want ErrPurpose with %q", err, tt.want)
				}
				if n := s.records(t, tt.key); len(n) != len(before) {
					t.Errorf("what was refused is journaled: %d records, before %d", len(n), len(before))
				}
				return
			}
			if err != nil {
				t.Fatalf("SignHash: %v", err)
			}
			public, err := s.Public(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.algorithm.VerifyDigest(public, tt.digest, signature); err != nil {
				t.Errorf("the signature: %v", err)
			}
			after := s.records(t, tt.key)
			if len(after) != len(before)+1 || after[len(after)-1].OfCertificate() {
				t.Errorf("the journal has %d records, before %d: want one more, of no certificate", len(after), len(before))
			}
		})
	}
	if _, err := s.SignHash("none", ec, ecdsa256, digestOf(crypto.SHA256)); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("no key: %v, want ErrNoKey", err)
	}
}

// records returns what a key's journal has.
func (s *store) records(t *testing.T, name string) (records []keystore.Record) {
	t.Helper()
	for r, err := range s.ReadJournal(name) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// TestKeyPairSignsNothingElse holds that the key of a key pair makes no certificate, CRL
// or OCSP response, whoever asks for it.
func TestKeyPairSignsNothingElse(t *testing.T) {
	s := newStore(t)
	owner := s.keyPair(t, "pair", tbs.ECP256)
	public, err := s.Public("pair")
	if err != nil {
		t.Fatal(err)
	}
	own := build(t, &tbs.Template{
		Serial: telamon.NewSerial(s.clock.Now()), NotBefore: s.clock.Now(), NotAfter: s.clock.Now().AddDate(1, 0, 0),
		Content:   telamon.Content{Subject: commonName(t, "pair"), KeyUsage: x509.KeyUsageCertSign},
		PublicKey: spki(t, public), CA: &tbs.CAConstraints{MaxPathLen: 1}, Signature: signature(t, public),
	})
	_, self := s.SelfSign("pair", own)
	_, certificate := s.SignCertificate("pair", build(t, s.leaf(t)))
	_, list := s.SignCRL("pair", bytes.NewReader(s.list(t).marshal(t)))
	_, _, ocsp := s.SignOCSP("pair", responseData(t, make([]byte, 20), s.clock.Now(), []byte{0x30, 0}))
	ca := s.Bind("pair", keystore.Purpose{Role: telamon.RoleIssuing, EKUFamily: telamon.EKUTLS, Certificate: s.ca})
	another := s.Bind("pair", keystore.Purpose{Role: telamon.RoleKeyPair, Owner: keystore.Owner{Account: telamon.NewAccountID(), KeyPair: owner.KeyPair}})
	for what, err := range map[string]error{
		"its own root certificate": self, "a certificate": certificate, "a CRL": list, "an OCSP response": ocsp,
		"the purpose of a CA": ca, "another owner": another,
	} {
		if !errors.Is(err, keystore.ErrPurpose) {
			t.Errorf("%s: %v, want ErrPurpose", what, err)
		}
	}
	if records := s.records(t, "pair"); len(records) != 0 {
		t.Errorf("the journal has %d records of what was refused", len(records))
	}
}

func TestBindKeyPair(t *testing.T) {
	s := newStore(t)
	if _, err := s.Generate("pair", tbs.ECP256); err != nil {
		t.Fatal(err)
	}
	owner := keystore.Owner{Account: telamon.NewAccountID(), KeyPair: telamon.NewKeyPairID()}
	for _, purpose := range []keystore.Purpose{
		{Role: telamon.RoleKeyPair},
		{Role: telamon.RoleKeyPair, Owner: keystore.Owner{Account: owner.Account}},
		{Role: telamon.RoleKeyPair, Owner: keystore.Owner{KeyPair: owner.KeyPair}},
		{Role: telamon.RoleKeyPair, Owner: owner, Certificate: s.ca},
		{Role: telamon.RoleKeyPair, Owner: owner, EKUFamily: telamon.EKUAny},
		{Role: telamon.RoleIssuing, Owner: owner, EKUFamily: telamon.EKUTLS, Certificate: s.ca},
	} {
		if err := s.Bind("pair", purpose); !errors.Is(err, keystore.ErrPurpose) {
			t.Errorf("%+v: %v, want ErrPurpose", purpose, err)
		}
	}
	if err := s.Bind("pair", keystore.Purpose{Role: telamon.RoleKeyPair, Owner: owner}); err != nil {
		t.Fatal(err)
	}
	if der, err := s.RequestCertificate("pair", s.ca.RawSubject); err != nil || len(der) == 0 {
		t.Errorf("a request for the certificate of a key pair: %v", err)
	}

	// The purpose is sealed with the key, for the next process too.
	again, err := keystore.Open(keystore.Config{Dir: s.dir, KEK: s.kek, Clock: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	described, err := again.Describe("pair")
	if err != nil || described.Purpose != (keystore.Purpose{Role: telamon.RoleKeyPair, Owner: owner}) {
		t.Errorf("after it was opened the key is %+v, %v", described, err)
	}
	if _, err := again.SignHash("pair", owner, algorithm(t, "ECDSA", "SHA-256"), digestOf(crypto.SHA256)); err != nil {
		t.Error(err)
	}
}

func TestRetiredKeyPair(t *testing.T) {
	s := newStore(t)
	owner := s.keyPair(t, "pair", tbs.ECP256)
	if err := s.Destroy("pair"); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("destroying a key in use reports %v, want ErrPurpose", err)
	}
	if err := s.Retire("pair"); err != nil {
		t.Fatal(err)
	}
	_, signs := s.SignHash("pair", owner, algorithm(t, "ECDSA", "SHA-256"), digestOf(crypto.SHA256))
	_, asks := s.RequestCertificate("pair", s.ca.RawSubject)
	if !errors.Is(signs, keystore.ErrPurpose) || !errors.Is(asks, keystore.ErrPurpose) {
		t.Errorf("a retired key pair signs: %v, and asks for a certificate: %v; want ErrPurpose twice", signs, asks)
	}
	if err := s.Destroy("pair"); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(s.Names(), "pair") {
		t.Error("the destroyed key is there")
	}
}
