package keycheck

import (
	"crypto/rsa"
	"math/big"
	"math/bits"
)

const (
	// minModulus is the shortest modulus in bits (BR 6.1.5).
	minModulus = 2048
	// fermatRounds is how many rounds of Fermat's method a modulus must withstand
	// (BR 6.1.1.3).
	fermatRounds = 100
	// smallFactorLimit bounds the prime factors that a modulus must not have
	// (BR 6.1.6, after NIST SP 800-89, Section 5.3.3).
	smallFactorLimit = 752
	// minExponent is the least public exponent; it must be odd, too (BR 6.1.6).
	minExponent = 3
)

func rsaWeakness(key *rsa.PublicKey) string {
	n := key.N
	switch {
	case key.E < minExponent || key.E%2 == 0:
		return "its public exponent is even or below 3"
	case n.Sign() <= 0 || n.Bit(0) == 0:
		return "its modulus is even"
	case n.BitLen() < minModulus:
		return "its modulus has fewer than 2048 bits"
	case n.BitLen()%8 != 0:
		return "the length of its modulus in bits is not divisible by 8"
	case new(big.Int).GCD(nil, nil, n, smallPrimes).Cmp(one) != 0:
		return "its modulus has a small prime factor"
	case isROCA(n):
		return "it was made by the ROCA method (CVE-2017-15361)"
	case isFermatClose(n):
		return "its prime factors are close together (CVE-2022-26320)"
	case isPower(n):
		return "its modulus is a power of a number"
	}
	return ""
}

var one = big.NewInt(1)

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
	a := new(big.Int).Sqrt(n)
	if new(big.Int).Mul(a, a).Cmp(n) != 0 {
		a.Add(a, one)
	}
	b2, root, square := new(big.Int), new(big.Int), new(big.Int)
	b2.Sub(b2.Mul(a, a), n)
	step := new(big.Int).Lsh(a, 1)
	for range fermatRounds {
		if maybeSquare(b2) && square.Mul(root.Sqrt(b2), root).Cmp(b2) == 0 {
			return true
		}
		b2.Add(b2, step).Add(b2, one) // (a+1)² = a² + 2a + 1
		step.Add(step, two)
	}
	return false
}

var two = big.NewInt(2)

// squareModulus is a product of small moduli by whose residues most numbers are seen
// to be no squares, so that few roots need to be drawn (Cohen, A Course in
// Computational Algebraic Number Theory, Algorithm 1.7.3).
const squareModulus = 63 * 65 * 11

// squares tells which residues modulo 64, 63, 65 and 11 are squares.
var squares = func() map[uint64][]bool {
	sets := map[uint64][]bool{}
	for _, m := range []uint64{64, 63, 65, 11} {
		sets[m] = make([]bool, m)
		for x := range m {
			sets[m][x*x%m] = true
		}
	}
	return sets
}()

// maybeSquare reports whether x passes for a square by its residues.
func maybeSquare(x *big.Int) bool {
	if words := x.Bits(); len(words) > 0 && !squares[64][words[0]%64] {
		return false
	}
	r := residue(x, squareModulus)
	return squares[63][r%63] && squares[65][r%65] && squares[11][r%11]
}

// residue returns x mod m for an m below 2^32, without the allocations of big.Int.Mod.
func residue(x *big.Int, m uint64) uint64 {
	var r uint
	words := x.Bits()
	for i := len(words) - 1; i >= 0; i-- {
		_, r = bits.Div(r, uint(words[i]), uint(m))
	}
	return uint64(r)
}

// isPower reports whether n, which has no factor below smallFactorLimit, is x^k for a
// prime k > 2; squares are isFermatClose's. RSA keys are no prime powers (BR 6.1.6).
func isPower(n *big.Int) bool {
	for _, p := range powerProbes {
		if p.exponent*minFactorBits > n.BitLen() {
			return false
		}
		if p.allows(n) && isPowerOf(n, p.exponent) {
			return true
		}
	}
	return false
}

// minFactorBits is log2 of smallFactorLimit, rounded down.
const minFactorBits = 9

// maxModulus is the longest modulus that is read anywhere, in bits (package tbs).
const maxModulus = 16384

// A powerProbe tells most numbers that are no k-th powers by their residues modulo
// primes q with k | q − 1: x^((q−1)/k) is 0 or 1 there for k-th powers alone.
type powerProbe struct {
	exponent int
	primes   []uint64
}

// powerProbes are those of every prime exponent from 3 on that a modulus can have.
var powerProbes = func() []powerProbe {
	var probes []powerProbe
	for _, k := range primesBelow(maxModulus/minFactorBits + 1)[1:] {
		p, wanted := powerProbe{exponent: k}, 2
		if k < 30 { // one prime lets 1/k of all numbers pass
			wanted = 8
		}
		for q := int64(2*k + 1); len(p.primes) < wanted; q += int64(2 * k) {
			if big.NewInt(q).ProbablyPrime(0) {
				p.primes = append(p.primes, uint64(q))
			}
		}
		probes = append(probes, p)
	}
	return probes
}()

// allows reports whether n passes for a power by its residues.
func (p *powerProbe) allows(n *big.Int) bool {
	for _, q := range p.primes {
		x, result := residue(n, q), uint64(1)
		for e := (q - 1) / uint64(p.exponent); e > 0; e >>= 1 {
			if e&1 == 1 {
				result = result * x % q
			}
			x = x * x % q
		}
		if result > 1 {
			return false
		}
	}
	return true
}

// isPowerOf reports whether n is the k-th power of an integer, by bisection.
func isPowerOf(n *big.Int, k int) bool {
	exponent := big.NewInt(int64(k))
	low, high := big.NewInt(1), new(big.Int).Lsh(one, uint(n.BitLen()/k+1))
	middle, power := new(big.Int), new(big.Int)
	for low.Cmp(high) <= 0 {
		middle.Rsh(middle.Add(low, high), 1)
		switch power.Exp(middle, exponent, nil).Cmp(n) {
		case 0:
			return true
		case -1:
			low.Add(middle, one)
		default:
			high.Sub(middle, one)
		}
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
	for i := range rocaSets {
		if !rocaSets[i].has(residue(n, rocaSets[i].prime)) {
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
