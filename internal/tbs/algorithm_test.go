package tbs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/tbs"
)

// identifiers are the AlgorithmIdentifiers as BR 7.1.3.2 has them, byte for byte.
var identifiers = []struct{ name, hash, der string }{
	{"RSA", "SHA-256", "300d06092a864886f70d01010b0500"},
	{"RSA", "SHA-384", "300d06092a864886f70d01010c0500"},
	{"RSA", "SHA-512", "300d06092a864886f70d01010d0500"},
	{"RSA-PSS", "SHA-256", "304106092a864886f70d01010a3034a00f300d0609608648016503040201" +
		"0500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120"},
	{"RSA-PSS", "SHA-384", "304106092a864886f70d01010a3034a00f300d0609608648016503040202" +
		"0500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130"},
	{"RSA-PSS", "SHA-512", "304106092a864886f70d01010a3034a00f300d0609608648016503040203" +
		"0500a11c301a06092a864886f70d010108300d06096086480165030402030500a203020140"},
	{"ECDSA", "SHA-256", "300a06082a8648ce3d040302"},
	{"ECDSA", "SHA-384", "300a06082a8648ce3d040303"},
	{"ECDSA", "SHA-512", "300a06082a8648ce3d040304"},
}

// TestSignatures signs by every algorithm with every key that has it, and lets
// openssl verify.
func TestSignatures(t *testing.T) {
	data := []byte("to be signed")
	for _, keyType := range tbs.KeyTypes() {
		for _, id := range identifiers {
			signer := signers[keyType]()
			algorithm, err := tbs.SignatureFor(signer.Public(), id.name, id.hash)
			if keyType.Family() != strings.TrimSuffix(id.name, "-PSS") {
				if err == nil {
					t.Errorf("a key of type %s signs by %s", keyType, algorithm)
				}
				continue
			}
			t.Run(string(keyType)+" "+id.name+" "+id.hash, func(t *testing.T) {
				if err != nil {
					t.Fatal(err)
				}
				if got := hex.EncodeToString(algorithm.Identifier()); got != id.der {
					t.Errorf("its identifier is %s, want %s", got, id.der)
				}
				if algorithm.Name() != id.name || algorithm.HashName() != id.hash || algorithm.Hash().String() != id.hash {
					t.Errorf("it is %s, of the hash %s", algorithm, algorithm.Hash())
				}
				if again, err := tbs.SignatureByIdentifier(algorithm.Identifier()); again != algorithm {
					t.Errorf("SignatureByIdentifier = %v, %v", again, err)
				}
				signature, err := algorithm.Sign(signer, data)
				if err != nil {
					t.Fatal(err)
				}
				w := newWorkshop(t)
				w.write("public.pem", []byte(w.own(signer)))
				w.write("signature", signature)
				args := []string{"dgst", "-" + strings.ToLower(strings.ReplaceAll(id.hash, "-", "")), "-verify", "public.pem", "-signature", "signature"}
				if id.name == "RSA-PSS" {
					args = append(args, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest")
				}
				if out := w.run(data, args...); string(out) != "Verified OK\n" {
					t.Errorf("openssl says %s", out)
				}
				refusesOthers(t, algorithm, keyType, data, signature)
			})
		}
	}
}

// refusesOthers holds that a signature verifies for its own data, key and
// algorithm alone.
func refusesOthers(t *testing.T, algorithm *tbs.SignatureAlgorithm, keyType tbs.KeyType, data, signature []byte) {
	t.Helper()
	key := signers[keyType]().Public()
	if err := algorithm.Verify(key, data, signature); err != nil {
		t.Errorf("the signature does not verify: %v", err)
	}
	if algorithm.Verify(key, append(bytes.Clone(data), '!'), signature) == nil {
		t.Error("it verifies for other data")
	}
	changed := bytes.Clone(signature)
	changed[len(changed)-1] ^= 1
	if algorithm.Verify(key, data, changed) == nil || algorithm.Verify(key, data, nil) == nil {
		t.Error("another signature verifies")
	}
	for _, other := range tbs.KeyTypes() {
		if other != keyType && algorithm.Verify(signers[other]().Public(), data, signature) == nil {
			t.Errorf("it verifies with a key of type %s", other)
		}
	}
	for _, id := range identifiers {
		der, err := hex.DecodeString(id.der)
		if err != nil {
			t.Fatal(err)
		}
		other, err := tbs.SignatureByIdentifier(der)
		if err != nil {
			t.Fatal(err)
		}
		if other != algorithm && other.Verify(key, data, signature) == nil {
			t.Errorf("it verifies by %s", other)
		}
	}
}

// TestUnknownIdentifiers holds that an identifier has one encoding here.
func TestUnknownIdentifiers(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                   "",
		"RSA without NULL":          "300b06092a864886f70d01010b",
		"ECDSA with NULL":           "300c06082a8648ce3d0403020500",
		"RSA with SHA-1":            "300d06092a864886f70d0101050500",
		"RSA with MD5":              "300d06092a864886f70d0101040500",
		"ECDSA with SHA-1":          "300906072a8648ce3d0401",
		"Ed25519":                   "300506032b6570",
		"PSS by its defaults":       "300d06092a864886f70d01010a3000",
		"PSS with hashes of SHA-1":  strings.ReplaceAll(identifiers[3].der, "0609608648016503040201", "06092b0e03021a00000000"),
		"PSS with a salt of no use": strings.TrimSuffix(identifiers[3].der, "20") + "00",
		"PSS with two hashes":       strings.Replace(identifiers[3].der, "030402010500a1", "030402020500a1", 1),
		"trailing data":             identifiers[0].der + "00",
	} {
		t.Run(name, func(t *testing.T) {
			der, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			if a, err := tbs.SignatureByIdentifier(der); err == nil {
				t.Errorf("SignatureByIdentifier = %s", a)
			}
		})
	}
}

func TestKeyTypes(t *testing.T) {
	for _, keyType := range tbs.KeyTypes() {
		if got, err := tbs.ParseKeyType(string(keyType)); err != nil || got != keyType {
			t.Errorf("ParseKeyType(%q) = %q, %v", keyType, got, err)
		}
		if got, ok := tbs.KeyTypeOf(signers[keyType]().Public()); !ok || got != keyType {
			t.Errorf("KeyTypeOf a key of type %s = %q, %v", keyType, got, ok)
		}
		family := string(keyType)[:2]
		if got := keyType.Family(); !slices.Contains([]string{"RSA", "ECDSA"}, got) || got[:2] != family && family != "EC" {
			t.Errorf("the family of %s is %q", keyType, got)
		}
	}
	for _, name := range []string{"", "rsa-2048", "RSA", "RSA-1024", "EC-P224", "P-256", "Ed25519"} {
		if got, err := tbs.ParseKeyType(name); err == nil {
			t.Errorf("ParseKeyType(%q) = %q", name, got)
		}
		if key, err := tbs.KeyType(name).Generate(rand.Reader); err == nil || tbs.KeyType(name).Family() != "" {
			t.Errorf("a key of type %q is a %T of the family %q", name, key, tbs.KeyType(name).Family())
		}
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"Ed25519": edwards, "P-224": &p224.PublicKey, "RSA 1024": rsaKey(1024, 65537), "nothing": nil} {
		if got, ok := tbs.KeyTypeOf(key); ok {
			t.Errorf("KeyTypeOf of %s = %s", name, got)
		}
		if a, err := tbs.SignatureFor(key, "", ""); err == nil {
			t.Errorf("SignatureFor of %s = %s", name, a)
		}
	}
}
