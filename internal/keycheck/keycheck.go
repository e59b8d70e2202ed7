// Package keycheck finds subject keys that nobody should certify: RSA keys whose
// private half can be computed from the public one. It is pure and does not judge
// whether a key's type and size are allowed: the validation policy does.
package keycheck

import (
	"crypto"
	"crypto/rsa"
	"math/big"
	"math/bits"
)

// fermatRounds is how many rounds of Fermat's method a modulus must withstand
// (BR 6.1.1.3).
const fermatRounds = 100

// smallFactorLimit bounds the prime factors that a modulus must not have
// (BR 6.1.6, after NIST SP 800-89, Section 5.3.3).
const smallFactorLimit = 752

// Weakness returns why the key must not be certified, in words that finish the
// sentence "is weak: …", or "" if no weakness was found. Keys that are not RSA
// have none that can be seen here: their points are checked when they are parsed.
func Weakness(key crypto.PublicKey) string {
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return ""
	}
	n, one := public.N, big.NewInt(1)
	switch {
	case public.E < 3 || public.E%2 == 0:
		return "its public exponent is even or below 3"
	case n.Bit(0) == 0:
		return "its modulus is even"
	case new(big.Int).GCD(nil, nil, n, smallPrimes).Cmp(one) != 0:
		return "its modulus has a small prime factor"
	case isROCA(n):
		return "it was made by the ROCA method (CVE-2017-15361)"
	case isFermatClose(n):
		return "its prime factors are close together (CVE-2022-26320)"
	}
	return ""
}

// smallPrimes is the product of the odd primes below smallFactorLimit.
var smallPrimes = func() *big.Int {
	product := big.NewInt(1)
	for _, p := range primesBelow(smallFactorLimit)[1:] {
		product.Mul(product, big.NewInt(int64(p)))
	}
	return product
}()

// isFermatClose reports whether n factors within fermatRounds of Fermat's method:
// n = a² − b² for an a that is close to its square root. A square counts.
func isFermatClose(n *big.Int) bool {
	one := big.NewInt(1)
	a := new(big.Int).Sqrt(n)
	if new(big.Int).Mul(a, a).Cmp(n) != 0 {
		a.Add(a, one)
	}
	b2, root := new(big.Int), new(big.Int)
	for range fermatRounds {
		b2.Sub(b2.Mul(a, a), n)
		root.Sqrt(b2)
		if root.Mul(root, root).Cmp(b2) == 0 {
			return true
		}
		a.Add(a, one)
	}
	return false
}

// A residueSet holds the residues of the powers of 65537 modulo a small prime, as
// bits.
type residueSet struct {
	prime    uint64
	residues [3]uint64 // rocaPrimeLimit bits
}

// rocaPrimeLimit bounds the primes of the ROCA fingerprint: up to it, every
// affected key size uses all primes.
const rocaPrimeLimit = 168

// rocaSets is the ROCA fingerprint: the primes of an affected key are congruent
// to powers of 65537 modulo every small prime, and so is their product. Primes for
// which every residue is such a power tell nothing and are left out.
var rocaSets = func() []residueSet {
	var sets []residueSet
	for _, p := range primesBelow(rocaPrimeLimit)[1:] {
		set := residueSet{prime: uint64(p)}
		for x := uint64(1); !set.has(x); x = x * 65537 % set.prime {
			set.residues[x/64] |= 1 << (x % 64)
		}
		if set.len() < p-1 {
			sets = append(sets, set)
		}
	}
	return sets
}()

func (s *residueSet) has(x uint64) bool { return s.residues[x/64]&(1<<(x%64)) != 0 }

func (s *residueSet) len() int {
	n := 0
	for _, word := range s.residues {
		n += bits.OnesCount64(word)
	}
	return n
}

// isROCA reports whether n bears the fingerprint of RSA keys of the vulnerable
// library (Nemec et al., CCS 2017, Section 3). An ordinary key does so with a
// probability below 2^-27.
func isROCA(n *big.Int) bool {
	p, r := new(big.Int), new(big.Int)
	for i := range rocaSets {
		r.Mod(n, p.SetUint64(rocaSets[i].prime))
		if !rocaSets[i].has(r.Uint64()) {
			return false
		}
	}
	return true
}

// primesBelow returns the primes below limit, from 2 on.
func primesBelow(limit int) []int {
	var primes []int
	for n := 2; n < limit; n++ {
		if big.NewInt(int64(n)).ProbablyPrime(0) { // exact below 2^64
			primes = append(primes, n)
		}
	}
	return primes
}
