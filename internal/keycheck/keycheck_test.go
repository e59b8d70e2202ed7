package keycheck_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/keycheck"
)

// TestWeakness makes a key with each weakness that keys in the world have had.
func TestWeakness(t *testing.T) {
	good, err := rsa.GenerateKey(rand.Reader, 2048)
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
	// with returns a key of 2048 bits that has the factor.
	with := func(factor int64) *rsa.PublicKey {
		f := big.NewInt(factor)
		return key(65537, f, p, cofactor(t, new(big.Int).Mul(f, p), 2048))
	}
	point := func(curve elliptic.Curve, x, y int64) *ecdsa.PublicKey {
		//lint:ignore SA1019 what replaces these fields makes no such key
		return &ecdsa.PublicKey{Curve: curve, X: big.NewInt(x), Y: big.NewInt(y)}
	}
	roca := rocaPrime(t)
	tests := []struct {
		name string
		key  crypto.PublicKey
		want string // part of the weakness, "" for none
	}{
		{"RSA", &good.PublicKey, ""},
		{"RSA with exponent 3", key(3, p, q), ""},
		{"even exponent", key(65536, p, q), "exponent"},
		{"exponent 1", key(1, p, q), "exponent"},
		{"negative exponent", key(-3, p, q), "exponent"},
		{"even modulus", key(65537, big.NewInt(2), p, q), "even"},
		{"modulus 0", key(65537, big.NewInt(0)), "even"},
		{"negative modulus", key(65537, big.NewInt(-1), p, q), "even"},
		{"modulus 1", key(65537, big.NewInt(1)), "fewer than 2048"},
		{"2040 bits", key(65537, p, cofactor(t, p, 2040)), "fewer than 2048"},
		{"2050 bits", key(65537, p, cofactor(t, p, 2050)), "divisible by 8"},
		{"small factor 3", with(3), "small prime"},
		{"small factor 751", with(751), "small prime"},
		{"factor 757 is not small", with(757), ""},
		{"ROCA", key(65537, roca, rocaPrime(t)), "ROCA"},
		{"one ROCA prime is no fingerprint", key(65537, roca, cofactor(t, roca, 2048)), ""},
		{"close primes", key(65537, p, nextPrime(p)), "close together"},
		{"primes 99 rounds apart", fermat(t, 99), "close together"},
		{"primes 101 rounds apart", fermat(t, 101), ""},
		{"a square", key(65537, p, p), "close together"},
		{"a cube", power(3, 2048), "power"},
		{"a fifth power", power(5, 2048), "power"},
		{"a 229th power", &rsa.PublicKey{N: new(big.Int).Exp(big.NewInt(761), big.NewInt(229), nil), E: 65537}, "power"},
		{"P-256", curveKey(t, elliptic.P256()), ""},
		{"P-384", curveKey(t, elliptic.P384()), ""},
		{"P-521", curveKey(t, elliptic.P521()), ""},
		{"P-224", curveKey(t, elliptic.P224()), "none of"},
		{"no curve", new(ecdsa.PublicKey), "none of"},
		{"beside the curve", point(elliptic.P256(), 1, 1), "no point"},
		{"infinity", point(elliptic.P256(), 0, 0), "no point"},
		{"outside the field", point(elliptic.P256(), -1, 1), "no point"},
		{"Ed25519", ed25519.PublicKey{}, "type is unknown"},
		{"nothing", nil, "type is unknown"},
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

func curveKey(t testing.TB, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

// cofactor returns a prime whose product with n has exactly so many bits.
func cofactor(t testing.TB, n *big.Int, bits int) *big.Int {
	t.Helper()
	for range 10_000 {
		p, err := rand.Prime(rand.Reader, bits-n.BitLen()+1)
		if err != nil {
			t.Fatal(err)
		}
		if new(big.Int).Mul(n, p).BitLen() == bits {
			return p
		}
		if p, err = rand.Prime(rand.Reader, bits-n.BitLen()); err != nil {
			t.Fatal(err)
		}
		if new(big.Int).Mul(n, p).BitLen() == bits {
			return p
		}
	}
	t.Fatalf("no prime makes a modulus of %d bits", bits)
	return nil
}

// power returns a key whose modulus is the kth power of a prime and has so many bits.
func power(k, bits int) *rsa.PublicKey {
	// The largest root that has so many bits is the kth root of 2^bits, rounded down.
	root := new(big.Int).Lsh(big.NewInt(1), uint(bits/k+1))
	limit, exponent := new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(int64(k))
	for step := uint(bits/k + 1); ; step-- { // bisection by bits
		bit := new(big.Int).Lsh(big.NewInt(1), step)
		if lower := new(big.Int).Sub(root, bit); lower.Sign() > 0 && new(big.Int).Exp(lower, exponent, nil).Cmp(limit) >= 0 {
			root = lower
		}
		if step == 0 {
			break
		}
	}
	for !root.ProbablyPrime(20) || new(big.Int).Exp(root, exponent, nil).Cmp(limit) >= 0 {
		root.Sub(root, big.NewInt(1))
	}
	return &rsa.PublicKey{N: new(big.Int).Exp(root, exponent, nil), E: 65537}
}

// fermat returns a key of 2048 bits of two numbers that Fermat's method finds in so
// many rounds: a² − b² for the a of that round. Its factors need not be primes.
func fermat(t testing.TB, rounds int64) *rsa.PublicKey {
	t.Helper()
	// With a and b so, the method begins at a − rounds + 1: b² lies just above the
	// gap of that many squares.
	a := new(big.Int).Lsh(big.NewInt(1), 1023)
	a.Add(a, new(big.Int).Lsh(big.NewInt(1), 1022)).Add(a, big.NewInt(16))
	for range 200_000 {
		a.Add(a, big.NewInt(1))
		gap := new(big.Int).Mul(big.NewInt(2*(rounds-1)), a)
		b := gap.Sqrt(gap)
		b.Add(b, big.NewInt(2))
		n := new(big.Int).Mul(new(big.Int).Sub(a, b), new(big.Int).Add(a, b))
		key := &rsa.PublicKey{N: n, E: 65537}
		if first := new(big.Int).Sqrt(n); n.Bit(0) == 1 && new(big.Int).Sub(a, first).Int64() == rounds && !hasSmallFactor(n) {
			return key
		}
	}
	t.Fatalf("no modulus takes %d rounds", rounds)
	return nil
}

func hasSmallFactor(n *big.Int) bool {
	for p := int64(3); p < 752; p += 2 {
		if new(big.Int).Mod(n, big.NewInt(p)).Sign() == 0 {
			return true
		}
	}
	return false
}

// rocaPrime returns a prime of 1024 bits, the upper two set, of the form of the
// vulnerable library, k·M + (65537^a mod M), where M is the product of the first 126
// primes.
func rocaPrime(t *testing.T) *big.Int {
	t.Helper()
	m, count := big.NewInt(1), 0
	for n := int64(2); count < 126; n++ {
		if p := big.NewInt(n); p.ProbablyPrime(0) {
			m.Mul(m, p)
			count++
		}
	}
	limit := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 1024), m)
	for {
		a, err := rand.Int(rand.Reader, m)
		if err != nil {
			t.Fatal(err)
		}
		k, err := rand.Int(rand.Reader, limit)
		if err != nil {
			t.Fatal(err)
		}
		candidate := new(big.Int).Exp(big.NewInt(65537), a, m)
		candidate.Add(candidate, k.Mul(k, m))
		if candidate.Bit(1023) == 1 && candidate.Bit(1022) == 1 && candidate.BitLen() == 1024 && candidate.ProbablyPrime(20) {
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

// FuzzWeakness checks that no number makes the checks fail, that what is refused for
// its factors can be factored, and that what passes has no small factor.
func FuzzWeakness(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key.N.Bytes(), 65537)
	f.Add(power(3, 2048).N.Bytes(), 3)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, modulus []byte, e int) {
		if len(modulus) > 512 {
			return
		}
		n := new(big.Int).SetBytes(modulus)
		weakness := keycheck.Weakness(&rsa.PublicKey{N: n, E: e})
		if weakness == "" && (n.BitLen() < 2048 || n.BitLen()%8 != 0 || e < 3 || e%2 == 0 || n.Bit(0) == 0 || hasSmallFactor(n)) {
			t.Errorf("%x with the exponent %d passes", n, e)
		}
		if strings.Contains(weakness, "small prime") && !hasSmallFactor(n) {
			t.Errorf("%x has no small factor", n)
		}
	})
}

// BenchmarkWeakness measures what a certificate pays for the checks of its key.
func BenchmarkWeakness(b *testing.B) {
	for _, bits := range []int{2048, 3072, 4096} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("RSA "+big.NewInt(int64(bits)).String(), func(b *testing.B) { measure(b, &key.PublicKey) })
	}
	b.Run("P-256", func(b *testing.B) { measure(b, curveKey(b, elliptic.P256())) })
}

func measure(b *testing.B, key crypto.PublicKey) {
	b.ReportAllocs()
	for b.Loop() {
		if keycheck.Weakness(key) != "" {
			b.Fatal("a good key is weak")
		}
	}
}
