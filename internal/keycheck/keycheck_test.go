package keycheck_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/keycheck"
)

func TestWeakness(t *testing.T) {
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, q := good.Primes[0], good.Primes[1]
	key := func(e int, factors ...*big.Int) *rsa.PublicKey {
		n := big.NewInt(1)
		for _, f := range factors {
			n.Mul(n, f)
		}
		return &rsa.PublicKey{N: n, E: e}
	}
	tests := []struct {
		name string
		key  crypto.PublicKey
		want string // part of the weakness, "" for none
	}{
		{"RSA", &good.PublicKey, ""},
		{"P-256", &curve.PublicKey, ""},
		{"even exponent", key(65536, p, q), "exponent"},
		{"exponent 1", key(1, p, q), "exponent"},
		{"even modulus", key(65537, big.NewInt(2), p, q), "even"},
		{"small factor 3", key(65537, big.NewInt(3), p, q), "small prime"},
		{"small factor 751", key(65537, big.NewInt(751), p, q), "small prime"},
		{"factor 757 is not small", key(65537, big.NewInt(757), p, q), ""},
		{"ROCA", key(65537, rocaPrime(t), rocaPrime(t)), "ROCA"},
		{"one ROCA prime is no fingerprint", key(65537, rocaPrime(t), p), ""},
		{"close primes", key(65537, p, nextPrime(p)), "close together"},
		{"a square", key(65537, p, p), "close together"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := keycheck.Weakness(tt.key)
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("Weakness() = %q, want %q in it", got, tt.want)
			}
		})
	}
}

// rocaPrime returns a 1024-bit prime of the form of the vulnerable library,
// k·M + (65537^a mod M), where M is the product of the first 126 primes.
func rocaPrime(t *testing.T) *big.Int {
	t.Helper()
	m, count := big.NewInt(1), 0
	for n := int64(2); count < 126; n++ {
		if p := big.NewInt(n); p.ProbablyPrime(0) {
			m.Mul(m, p)
			count++
		}
	}
	for {
		a, err := rand.Int(rand.Reader, m)
		if err != nil {
			t.Fatal(err)
		}
		k, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 53))
		if err != nil {
			t.Fatal(err)
		}
		candidate := new(big.Int).Exp(big.NewInt(65537), a, m)
		candidate.Add(candidate, k.Mul(k, m))
		if candidate.ProbablyPrime(20) {
			return candidate
		}
	}
}

// nextPrime returns the smallest prime above p.
func nextPrime(p *big.Int) *big.Int {
	next := new(big.Int).Add(p, big.NewInt(2))
	for !next.ProbablyPrime(20) {
		next.Add(next, big.NewInt(2))
	}
	return next
}

func BenchmarkWeakness(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if keycheck.Weakness(&key.PublicKey) != "" {
			b.Fatal("a good key is weak")
		}
	}
}
