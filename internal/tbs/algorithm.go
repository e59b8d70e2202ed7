package tbs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the registry
	_ "crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A KeyType names an algorithm and size of a key, such as "EC-P256".
type KeyType string

// The key types. A new one is a row of keyTypes, the signature algorithms that it
// makes, and the reading of its public keys.
const (
	RSA2048 KeyType = "RSA-2048"
	RSA3072 KeyType = "RSA-3072"
	RSA4096 KeyType = "RSA-4096"
	ECP256  KeyType = "EC-P256"
	ECP384  KeyType = "EC-P384"
	ECP521  KeyType = "EC-P521"
)

// keyType is a row of the registry of key types.
type keyType struct {
	name        KeyType
	family      string // as policies call it: RSA or ECDSA
	defaultHash crypto.Hash
	generate    func(io.Reader) (crypto.Signer, error)
	matches     func(crypto.PublicKey) bool
}

// keyTypes are the types of keys that the platform makes for itself.
var keyTypes = []keyType{
	{RSA2048, "RSA", crypto.SHA256, generateRSA(2048), isRSA(2048)},
	{RSA3072, "RSA", crypto.SHA256, generateRSA(3072), isRSA(3072)},
	{RSA4096, "RSA", crypto.SHA256, generateRSA(4096), isRSA(4096)},
	{ECP256, "ECDSA", crypto.SHA256, generateEC(elliptic.P256()), isEC(elliptic.P256())},
	{ECP384, "ECDSA", crypto.SHA384, generateEC(elliptic.P384()), isEC(elliptic.P384())},
	{ECP521, "ECDSA", crypto.SHA512, generateEC(elliptic.P521()), isEC(elliptic.P521())},
}

func generateRSA(bits int) func(io.Reader) (crypto.Signer, error) {
	return func(random io.Reader) (crypto.Signer, error) { return rsa.GenerateKey(random, bits) }
}

func generateEC(curve elliptic.Curve) func(io.Reader) (crypto.Signer, error) {
	return func(random io.Reader) (crypto.Signer, error) { return ecdsa.GenerateKey(curve, random) }
}

func isRSA(bits int) func(crypto.PublicKey) bool {
	return func(key crypto.PublicKey) bool {
		k, ok := key.(*rsa.PublicKey)
		return ok && k.N.BitLen() == bits
	}
}

func isEC(curve elliptic.Curve) func(crypto.PublicKey) bool {
	return func(key crypto.PublicKey) bool {
		k, ok := key.(*ecdsa.PublicKey)
		return ok && k.Curve == curve
	}
}

// KeyTypes returns every key type that the platform can make.
func KeyTypes() []KeyType {
	names := make([]KeyType, len(keyTypes))
	for i, k := range keyTypes {
		names[i] = k.name
	}
	return names
}

// ParseKeyType reads a key type's name. The comparison is exact.
func ParseKeyType(name string) (KeyType, error) {
	if !slices.Contains(KeyTypes(), KeyType(name)) {
		return "", fmt.Errorf("%q is no key type: give one of %v", name, KeyTypes())
	}
	return KeyType(name), nil
}

// Generate makes a key of the type from random.
func (t KeyType) Generate(random io.Reader) (crypto.Signer, error) {
	for _, k := range keyTypes {
		if k.name == t {
			return k.generate(random)
		}
	}
	return nil, fmt.Errorf("%q is no key type", string(t))
}

// Family returns the algorithm as validation policies call it, "RSA" or "ECDSA",
// and "" for a type that is not known.
func (t KeyType) Family() string {
	for _, k := range keyTypes {
		if k.name == t {
			return k.family
		}
	}
	return ""
}

// KeyTypeOf returns the type of a public key, and false if it has none of those
// that the platform makes.
func KeyTypeOf(key crypto.PublicKey) (KeyType, bool) {
	for _, k := range keyTypes {
		if k.matches(key) {
			return k.name, true
		}
	}
	return "", false
}

// A SignatureAlgorithm is a way of signing certificates. The values are those of
// the registry; compare pointers.
type SignatureAlgorithm struct {
	name       string
	hash       crypto.Hash
	hashName   string
	identifier []byte // DER of the AlgorithmIdentifier, byte for byte as BR 7.1.3.2 has it
	sign       func(crypto.Signer, []byte, crypto.Hash) ([]byte, error)
	verify     func(crypto.PublicKey, crypto.Hash, []byte, []byte) error
}

// Name returns "RSA", "RSA-PSS" or "ECDSA".
func (a *SignatureAlgorithm) Name() string { return a.name }

// Hash returns the hash that is signed.
func (a *SignatureAlgorithm) Hash() crypto.Hash { return a.hash }

// HashName returns the hash's name as policies have it, such as "SHA-256".
func (a *SignatureAlgorithm) HashName() string { return a.hashName }

// Identifier returns the DER of the AlgorithmIdentifier. The caller must not
// change it.
func (a *SignatureAlgorithm) Identifier() []byte { return a.identifier }

// String returns the name and the hash.
func (a *SignatureAlgorithm) String() string { return a.name + " with " + a.hashName }

// pss returns the AlgorithmIdentifier of RSASSA-PSS with one hash, the given arc
// below id-sha2, for message and mask (RFC 4055, Section 3.1).
func pss(hash byte, saltLength byte) []byte {
	// id-RSASSA-PSS, hashAlgorithm [0], maskGenAlgorithm [1] id-mgf1, saltLength [2]
	text := fmt.Sprintf("304106092a864886f70d01010a3034a00f300d06096086480165030402%02x0500"+
		"a11c301a06092a864886f70d010108300d06096086480165030402%02x0500a2030201%02x", hash, hash, saltLength)
	return mustHex(text)
}

func mustHex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err) // a constant of this file
	}
	return b
}

// signatureAlgorithms is the registry, the default of each name first.
var signatureAlgorithms = []*SignatureAlgorithm{
	{"RSA", crypto.SHA256, "SHA-256", mustHex("300d06092a864886f70d01010b0500"), signPKCS1, verifyPKCS1},
	{"RSA", crypto.SHA384, "SHA-384", mustHex("300d06092a864886f70d01010c0500"), signPKCS1, verifyPKCS1},
	{"RSA", crypto.SHA512, "SHA-512", mustHex("300d06092a864886f70d01010d0500"), signPKCS1, verifyPKCS1},
	{"RSA-PSS", crypto.SHA256, "SHA-256", pss(1, 32), signPSS, verifyPSS},
	{"RSA-PSS", crypto.SHA384, "SHA-384", pss(2, 48), signPSS, verifyPSS},
	{"RSA-PSS", crypto.SHA512, "SHA-512", pss(3, 64), signPSS, verifyPSS},
	{"ECDSA", crypto.SHA256, "SHA-256", mustHex("300a06082a8648ce3d040302"), signECDSA, verifyECDSA},
	{"ECDSA", crypto.SHA384, "SHA-384", mustHex("300a06082a8648ce3d040303"), signECDSA, verifyECDSA},
	{"ECDSA", crypto.SHA512, "SHA-512", mustHex("300a06082a8648ce3d040304"), signECDSA, verifyECDSA},
}

// errSignature is returned for a signature that does not verify.
var errSignature = errors.New("the signature does not verify")

func signPKCS1(s crypto.Signer, digest []byte, h crypto.Hash) ([]byte, error) {
	return s.Sign(rand.Reader, digest, h)
}

func verifyPKCS1(key crypto.PublicKey, h crypto.Hash, digest, sig []byte) error {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return errSignature
	}
	return rsa.VerifyPKCS1v15(k, h, digest, sig)
}

func signPSS(s crypto.Signer, digest []byte, h crypto.Hash) ([]byte, error) {
	return s.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h})
}

func verifyPSS(key crypto.PublicKey, h crypto.Hash, digest, sig []byte) error {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return errSignature
	}
	return rsa.VerifyPSS(k, h, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h})
}

func signECDSA(s crypto.Signer, digest []byte, h crypto.Hash) ([]byte, error) {
	return s.Sign(rand.Reader, digest, h)
}

func verifyECDSA(key crypto.PublicKey, _ crypto.Hash, digest, sig []byte) error {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(k, digest, sig) {
		return errSignature
	}
	return nil
}

// SignatureFor returns the algorithm by which key signs: name is "RSA", "RSA-PSS"
// or "ECDSA", hash "SHA-256", "SHA-384" or "SHA-512". An empty name or hash is the
// key's default: PKCS #1 v1.5 for RSA, and for ECDSA the hash of the curve's size.
func SignatureFor(key crypto.PublicKey, name, hash string) (*SignatureAlgorithm, error) {
	i := slices.IndexFunc(keyTypes, func(k keyType) bool { return k.matches(key) })
	if i < 0 {
		return nil, fmt.Errorf("a %T key signs nothing here", key)
	}
	own := &keyTypes[i]
	if name == "" {
		name = own.family
	}
	for _, a := range signatureAlgorithms {
		if a.name == name && a.fits(own.family) && (a.hashName == hash || hash == "" && a.hash == own.defaultHash) {
			return a, nil
		}
	}
	return nil, fmt.Errorf("a key of type %s does not sign by %q with %q", own.name, name, hash)
}

// fits reports whether keys of the family sign by the algorithm.
func (a *SignatureAlgorithm) fits(family string) bool {
	return a.name == family || a.name == "RSA-PSS" && family == "RSA"
}

// SignatureNamed returns the algorithm of these names, "RSA-PSS" and "SHA-256" say,
// whatever key signs by it.
func SignatureNamed(name, hash string) (*SignatureAlgorithm, error) {
	for _, a := range signatureAlgorithms {
		if a.name == name && a.hashName == hash {
			return a, nil
		}
	}
	return nil, fmt.Errorf("no signature algorithm is %.20q with %.20q", name, hash)
}

// SignatureByIdentifier returns the algorithm with this DER of an
// AlgorithmIdentifier, compared byte for byte.
func SignatureByIdentifier(der []byte) (*SignatureAlgorithm, error) {
	for _, a := range signatureAlgorithms {
		if bytes.Equal(a.identifier, der) {
			return a, nil
		}
	}
	return nil, errors.New("the signature algorithm is not known")
}

// Sign hashes and signs data.
func (a *SignatureAlgorithm) Sign(signer crypto.Signer, data []byte) ([]byte, error) {
	return a.sign(signer, a.digest(data), a.hash)
}

// SignDigest signs what was hashed before by the algorithm's hash.
func (a *SignatureAlgorithm) SignDigest(signer crypto.Signer, digest []byte) ([]byte, error) {
	return a.sign(signer, digest, a.hash)
}

// VerifyDigest reports whether sig is key's signature over what digest is the hash of.
func (a *SignatureAlgorithm) VerifyDigest(key crypto.PublicKey, digest, sig []byte) error {
	return a.verify(key, a.hash, digest, sig)
}

// Verify reports whether sig is key's signature over data.
func (a *SignatureAlgorithm) Verify(key crypto.PublicKey, data, sig []byte) error {
	return a.verify(key, a.hash, a.digest(data), sig)
}

func (a *SignatureAlgorithm) digest(data []byte) []byte {
	h := a.hash.New()
	h.Write(data)
	return h.Sum(nil)
}
