// Package keycheck finds subject keys that nobody should certify: those whose private
// half can be computed from the public one, those of a wrong form, and those on a list
// of blocked keys. It does not judge whether a key's type and size are allowed, which
// the validation policy does, nor whether a key was reported to be compromised, which
// the store knows.
//
// Its checks are pure. Which list is in force is told to a Checker.
package keycheck

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
)

// Weakness returns why the key must not be certified, in words that finish the
// sentence "is weak: …", or "" if no weakness was found: of an RSA key its form and
// whether it factors easily (BR 6.1.1.3, 6.1.5, 6.1.6), of an ECDSA key whether it is
// a point on its curve (full validation of NIST SP 800-56A, Section 5.6.2.3.3; the
// curves have the cofactor 1).
func Weakness(key crypto.PublicKey) string {
	switch public := key.(type) {
	case *rsa.PublicKey:
		return rsaWeakness(public)
	case *ecdsa.PublicKey:
		return curveWeakness(public)
	}
	return "its type is unknown"
}

func curveWeakness(key *ecdsa.PublicKey) string {
	switch key.Curve {
	case elliptic.P256(), elliptic.P384(), elliptic.P521():
	default:
		return "its curve is none of P-256, P-384 and P-521"
	}
	if _, err := key.ECDH(); err != nil { // which refuses the point at infinity as well
		return "it is no point on its curve"
	}
	return ""
}
