package iam_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
)

// rawKey is an RSA key that crypto/rsa need not approve of.
type rawKey struct {
	n, d *big.Int
	e    int
}

// newKey makes the key of two primes.
func newKey(t testing.TB, e int, p, q *big.Int) *rawKey {
	t.Helper()
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	d := new(big.Int).ModInverse(big.NewInt(int64(e)), phi)
	if d == nil {
		d = one // an exponent that no private key belongs to
	}
	return &rawKey{n: new(big.Int).Mul(p, q), d: d, e: e}
}

// goodKeys are keys for as many clients.
var goodKeys = sync.OnceValue(func() (keys [3]*rsa.PrivateKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// good returns the key of client i.
func good(i int) *rawKey {
	key := goodKeys()[i]
	return &rawKey{n: key.N, d: key.D, e: key.E}
}

// shortKey returns a key of 1024 bits.
func shortKey(t testing.TB) *rawKey {
	t.Helper()
	key := got(rsa.GenerateKey(rand.Reader, 1024))(t)
	return &rawKey{n: key.N, d: key.D, e: key.E}
}

// closeKey returns a key of two primes that are next to each other.
func closeKey(t testing.TB) *rawKey {
	t.Helper()
	p := goodKeys()[0].Primes[0]
	q := new(big.Int).Add(p, big.NewInt(2))
	for !q.ProbablyPrime(20) {
		q.Add(q, big.NewInt(2))
	}
	return newKey(t, 65537, p, q)
}

// rocaKey returns a key of two primes k·M + (65537^a mod M), where M is the
// product of the first 126 primes (CVE-2017-15361).
func rocaKey(t testing.TB) *rawKey {
	t.Helper()
	m, count := big.NewInt(1), 0
	for n := int64(2); count < 126; n++ {
		if p := big.NewInt(n); p.ProbablyPrime(0) {
			m.Mul(m, p)
			count++
		}
	}
	prime := func() *big.Int {
		for {
			k := got(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 52)))(t)
			k.SetBit(k, 52, 1) // so that two primes make 2048 bits
			candidate := new(big.Int).Exp(big.NewInt(65537), got(rand.Int(rand.Reader, m))(t), m)
			if candidate.Add(candidate, k.Mul(k, m)); candidate.BitLen() == 1024 && candidate.ProbablyPrime(20) {
				return candidate
			}
		}
	}
	for {
		if key := newKey(t, 65537, prime(), prime()); key.n.BitLen() == 2048 && key.d.BitLen() > 1 {
			return key
		}
	}
}

// spki returns the DER of the SubjectPublicKeyInfo.
func (k *rawKey) spki(t testing.TB) []byte {
	t.Helper()
	return got(x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: k.n, E: k.e}))(t)
}

// public returns the PEM of the public key.
func (k *rawKey) public(t testing.TB) string {
	t.Helper()
	return block("PUBLIC KEY", k.spki(t))
}

// csr returns the PEM of a request that names somebody whom the certificate must
// not name.
func (k *rawKey) csr(t testing.TB) string {
	t.Helper()
	return block("CERTIFICATE REQUEST", k.request(t))
}

// request returns the DER of a PKCS #10 request (RFC 2986, Section 4.2), signed by
// PKCS #1 v1.5 with SHA-256 and big integers.
func (k *rawKey) request(t testing.TB) []byte {
	t.Helper()
	raw := func(b []byte) asn1.RawValue { return asn1.RawValue{FullBytes: b} }
	info := got(asn1.Marshal(struct {
		Version    int
		Subject    asn1.RawValue
		Key        asn1.RawValue
		Attributes asn1.RawValue
	}{
		Subject: raw(got(asn1.Marshal(pkix.Name{CommonName: "attacker"}.ToRDNSequence()))(t)), Key: raw(k.spki(t)),
		Attributes: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true},
	}))(t)
	sum := sha256.Sum256(info)
	digest := got(asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, Parameters: asn1.NullRawValue}, sum[:]}))(t)
	em := make([]byte, (k.n.BitLen()+7)/8)
	em[1] = 1
	for i := 2; i < len(em)-len(digest)-1; i++ {
		em[i] = 0xff
	}
	copy(em[len(em)-len(digest):], digest)
	signature := new(big.Int).Exp(new(big.Int).SetBytes(em), k.d, k.n).FillBytes(make([]byte, len(em)))
	return got(asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		raw(info), pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	}))(t)
}

// curveCSR returns the PEM of a request for a new key on the curve.
func curveCSR(t testing.TB, curve elliptic.Curve) string {
	t.Helper()
	key := got(ecdsa.GenerateKey(curve, rand.Reader))(t)
	return block("CERTIFICATE REQUEST", got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(t))
}

// privatePEM returns the PEM of client i's private key.
func privatePEM(t testing.TB, i int) string {
	t.Helper()
	return block("PRIVATE KEY", got(x509.MarshalPKCS8PrivateKey(goodKeys()[i]))(t))
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
