package tbs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
)

// maxPEM is the longest PEM text that is read, in bytes. A CSR for RSA 8192 takes
// less than 4 KiB.
const maxPEM = 64 << 10

// What can be wrong with a key or a CSR. Callers turn them into faults.
var (
	ErrPEM           = errors.New("not one PEM block of the expected type")
	ErrPrivateKey    = errors.New("the text holds a private key")
	ErrKey           = errors.New("the public key cannot be read or is of no supported type")
	ErrRequest       = errors.New("the certificate request cannot be read")
	ErrSelfSignature = errors.New("the certificate request's own signature does not verify")
	ErrPossession    = errors.New("the signature does not prove possession of the private key")
)

// A PublicKey is a subject's public key that was read from outside. It is not
// checked for weaknesses (package keycheck) or against a policy.
type PublicKey struct {
	SPKI      []byte // DER of the SubjectPublicKeyInfo
	Key       crypto.PublicKey
	Algorithm string   // "RSA" or "ECDSA"
	Bits      int      // of the RSA modulus or the curve's field
	Hash      [32]byte // SHA-256 of SPKI
}

// A CSR is a PKCS #10 request whose own signature was verified (RFC 2986).
type CSR struct {
	Raw       []byte
	PublicKey *PublicKey
	Request   *x509.CertificateRequest // the names in it are claims of the applicant
}

// ParsePublicKey reads the PEM of a SubjectPublicKeyInfo.
func ParsePublicKey(text string) (*PublicKey, error) {
	der, err := decodePEM(text, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	return NewPublicKey(der)
}

// ParseCSR reads the PEM of a PKCS #10 request and verifies its own signature.
// Signatures over SHA-1 and MD5 prove nothing and are refused.
func ParseCSR(text string) (*CSR, error) {
	der, err := decodePEM(text, "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
	if err != nil {
		return nil, err
	}
	return parseRequest(der)
}

// ParseBareCSR is ParseCSR for a text that may also be the base64 of the DER alone, in
// one line or several.
func ParseBareCSR(text string) (*CSR, error) {
	if len(text) > maxPEM || strings.Contains(text, "-----") {
		return ParseCSR(text)
	}
	der, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, ErrPEM
	}
	if isPrivateKey(der) {
		return nil, ErrPrivateKey
	}
	return parseRequest(der)
}

// isPrivateKey reports whether der is a private key in one of its usual forms.
func isPrivateKey(der []byte) bool {
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return true
	}
	_, err := x509.ParseECPrivateKey(der)
	return err == nil
}

func parseRequest(der []byte) (*CSR, error) {
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, ErrRequest
	}
	key, err := NewPublicKey(request.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	switch request.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS,
		x509.SHA512WithRSAPSS, x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
	default:
		return nil, ErrSelfSignature
	}
	if request.CheckSignature() != nil {
		return nil, ErrSelfSignature
	}
	return &CSR{Raw: der, PublicKey: key, Request: request}, nil
}

// NewPublicKey reads the DER of a SubjectPublicKeyInfo: RSA of whole octets with
// an odd exponent from 3 on, or ECDSA on P-256, P-384 or P-521 as a named curve.
func NewPublicKey(spki []byte) (*PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, ErrKey
	}
	key := &PublicKey{SPKI: spki, Key: parsed, Hash: sha256.Sum256(spki)}
	switch k := parsed.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen()%8 != 0 || k.N.BitLen() > 16384 || k.N.Bit(0) == 0 || k.E < 3 || k.E%2 == 0 {
			return nil, ErrKey
		}
		key.Algorithm, key.Bits = "RSA", k.N.BitLen()
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return nil, ErrKey
		}
		key.Algorithm, key.Bits = "ECDSA", k.Curve.Params().BitSize
	default:
		return nil, ErrKey
	}
	// One key has one encoding here: what is certified is what we would write.
	if canonical, err := x509.MarshalPKIXPublicKey(parsed); err != nil || !bytes.Equal(canonical, spki) {
		return nil, ErrKey
	}
	return key, nil
}

// decodePEM returns the bytes of the only block in text, which must be of one of
// the types and stand alone but for white space.
func decodePEM(text string, types ...string) ([]byte, error) {
	if len(text) > maxPEM {
		return nil, ErrPEM
	}
	if strings.Contains(text, "PRIVATE KEY") {
		return nil, ErrPrivateKey
	}
	trimmed := strings.TrimSpace(text)
	// pem.Decode passes over broken blocks, so there must be no second beginning.
	if !strings.HasPrefix(trimmed, "-----BEGIN ") || strings.Count(trimmed, "-----BEGIN ") > 1 {
		return nil, ErrPEM
	}
	block, rest := pem.Decode([]byte(trimmed + "\n"))
	if block == nil || len(bytes.TrimSpace(rest)) > 0 || len(block.Headers) > 0 {
		return nil, ErrPEM
	}
	for _, t := range types {
		if block.Type == t {
			return block.Bytes, nil
		}
	}
	return nil, ErrPEM
}

// VerifyPossession reports whether signature, in standard padded base64, is the
// key's own over the SHA-256 hash of its SubjectPublicKeyInfo: PKCS #1 v1.5 for
// RSA, DER for ECDSA.
func VerifyPossession(key *PublicKey, signature string) error {
	sig, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil {
		return ErrPossession
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(k, crypto.SHA256, key.Hash[:], sig) != nil {
			return ErrPossession
		}
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(k, key.Hash[:], sig) {
			return ErrPossession
		}
	default:
		return ErrPossession
	}
	return nil
}
