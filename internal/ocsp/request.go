package ocsp

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The bounds of a request. One certificate and a nonce of 32 octets make 150
// octets; a signed request with the certificates of its signer some thousand.
const (
	MaxRequest = 8 << 10 // octets
	maxCerts   = 16
	maxNonce   = 128 // octets (RFC 9654, Section 2.1)
)

// ErrMalformed is returned for what is no OCSPRequest that may be answered. The
// answer is [MalformedRequest].
var ErrMalformed = errors.New("the request is malformed")

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// A CertID names a certificate by its issuer and its serial number (RFC 6960,
// Section 4.1.1).
type CertID struct {
	Hash              crypto.Hash // SHA1 or SHA256; 0: another, by which we know no issuer
	NameHash, KeyHash []byte      // of the issuer
	Serial            *big.Int
}

// A Request is what a client asks for. Who asks is left out: nobody is refused.
type Request struct {
	Certs []CertID // at least one
	Nonce []byte   // 1 to 128 octets, nil if there is none
}

// The explicit and implicit tags that the syntax uses.
var (
	tag0 = cbasn1.Tag(0).ContextSpecific().Constructed()
	tag1 = cbasn1.Tag(1).ContextSpecific().Constructed()
	tag2 = cbasn1.Tag(2).ContextSpecific().Constructed()
)

var (
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidBasic  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidNonce  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
)

// ParseRequest reads the DER of an OCSPRequest (RFC 6960, Section 4.1.1). A
// signature and the requestor's name must have their form and are not looked into;
// extensions that are not known are passed over unless they are critical.
//
// It reports ErrMalformed for anything else, for more than MaxRequest octets or 16
// certificates, and for a nonce of no octets or more than 128 (RFC 9654, Section 2.1).
func ParseRequest(der []byte) (*Request, error) {
	if len(der) > MaxRequest {
		return nil, malformed("it is too long")
	}
	input := cryptobyte.String(der)
	var outer, tbs cryptobyte.String
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return nil, malformed("it is no OCSPRequest")
	}
	if !outer.Empty() && (!skipSignature(&outer) || !outer.Empty()) {
		return nil, malformed("its signature has another form")
	}
	return parseTBS(tbs)
}

// skipSignature passes over an optionalSignature.
func skipSignature(s *cryptobyte.String) bool {
	var wrapped, body, certs cryptobyte.String
	var bits asn1.BitString
	if !s.ReadASN1(&wrapped, tag0) || !wrapped.ReadASN1(&body, cbasn1.SEQUENCE) || !wrapped.Empty() ||
		!body.SkipASN1(cbasn1.SEQUENCE) || !body.ReadASN1BitString(&bits) {
		return false
	}
	if body.Empty() {
		return true
	}
	return body.ReadASN1(&certs, tag0) && body.Empty() && certs.SkipASN1(cbasn1.SEQUENCE) && certs.Empty()
}

// parseTBS reads the content of a TBSRequest.
func parseTBS(tbs cryptobyte.String) (*Request, error) {
	var wrapped, list cryptobyte.String
	if tbs.PeekASN1Tag(tag0) {
		var version int
		if !tbs.ReadASN1(&wrapped, tag0) || !wrapped.ReadASN1Integer(&version) || !wrapped.Empty() || version != 0 {
			return nil, malformed("its version is not 1")
		}
	}
	if tbs.PeekASN1Tag(tag1) {
		var name cryptobyte.String
		var tag cbasn1.Tag
		if !tbs.ReadASN1(&wrapped, tag1) || !wrapped.ReadAnyASN1(&name, &tag) || !wrapped.Empty() {
			return nil, malformed("its requestor has no name")
		}
	}
	if !tbs.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() {
		return nil, malformed("it asks for no certificate")
	}
	r := &Request{}
	for !list.Empty() {
		if len(r.Certs) == maxCerts {
			return nil, malformed("it asks for too many certificates")
		}
		id, err := parseSingle(&list)
		if err != nil {
			return nil, err
		}
		r.Certs = append(r.Certs, id)
	}
	if tbs.Empty() {
		return r, nil
	}
	var err error
	if r.Nonce, err = parseExtensions(&tbs, tag2); err != nil {
		return nil, err
	}
	if !tbs.Empty() {
		return nil, malformed("something follows its extensions")
	}
	return r, nil
}

// parseSingle reads a Request, which asks for one certificate.
func parseSingle(list *cryptobyte.String) (id CertID, err error) {
	var single, body, algorithm, name, key cryptobyte.String
	if !list.ReadASN1(&single, cbasn1.SEQUENCE) || !single.ReadASN1(&body, cbasn1.SEQUENCE) {
		return id, malformed("it asks for something else than a certificate")
	}
	id.Serial = new(big.Int)
	if !body.ReadASN1(&algorithm, cbasn1.SEQUENCE) ||
		!body.ReadASN1(&name, cbasn1.OCTET_STRING) || !body.ReadASN1(&key, cbasn1.OCTET_STRING) ||
		!body.ReadASN1Integer(id.Serial) || !body.Empty() {
		return id, malformed("it names a certificate in another form")
	}
	if id.Hash, err = parseHash(algorithm); err != nil {
		return id, err
	}
	id.NameHash, id.KeyHash = name, key
	if !single.Empty() {
		if _, err := parseExtensions(&single, tag0); err != nil {
			return id, err
		}
		if !single.Empty() {
			return id, malformed("something follows the extensions of a certificate")
		}
	}
	return id, nil
}

// parseHash reads the content of an AlgorithmIdentifier, whose parameters are NULL
// or absent (RFC 4055, Section 2.1). Other algorithms than ours may have others.
func parseHash(s cryptobyte.String) (crypto.Hash, error) {
	var id asn1.ObjectIdentifier
	var parameters cryptobyte.String
	var tag cbasn1.Tag
	if !s.ReadASN1ObjectIdentifier(&id) || !s.Empty() && !s.ReadAnyASN1(&parameters, &tag) || !s.Empty() {
		return 0, malformed("a hash algorithm has another form")
	}
	hash := hashOf(id)
	if hash != 0 && (tag != 0 && tag != cbasn1.NULL || !parameters.Empty()) {
		return 0, malformed("a hash algorithm has parameters")
	}
	return hash, nil
}

// hashOf returns the hash algorithm, 0 if it is none by which we know issuers.
func hashOf(id asn1.ObjectIdentifier) crypto.Hash {
	switch {
	case id.Equal(oidSHA1):
		return crypto.SHA1
	case id.Equal(oidSHA256):
		return crypto.SHA256
	}
	return 0
}

// parseExtensions reads Extensions under an explicit tag and returns the nonce
// among them.
func parseExtensions(s *cryptobyte.String, tag cbasn1.Tag) (nonce []byte, err error) {
	var wrapped, list cryptobyte.String
	if !s.ReadASN1(&wrapped, tag) || !wrapped.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapped.Empty() || list.Empty() {
		return nil, malformed("its extensions have another form")
	}
	for !list.Empty() {
		var e, value cryptobyte.String
		var id asn1.ObjectIdentifier
		var critical bool
		if !list.ReadASN1(&e, cbasn1.SEQUENCE) || !e.ReadASN1ObjectIdentifier(&id) ||
			e.PeekASN1Tag(cbasn1.BOOLEAN) && !e.ReadASN1Boolean(&critical) ||
			!e.ReadASN1(&value, cbasn1.OCTET_STRING) || !e.Empty() {
			return nil, malformed("an extension has another form")
		}
		switch {
		case id.Equal(oidNonce) && tag == tag2:
			if nonce != nil {
				return nil, malformed("it has two nonces")
			}
			if nonce, err = parseNonce(value); err != nil {
				return nil, err
			}
		case critical:
			return nil, malformed("a critical extension is not known")
		}
	}
	return nonce, nil
}

func parseNonce(value cryptobyte.String) ([]byte, error) {
	var nonce cryptobyte.String
	if !value.ReadASN1(&nonce, cbasn1.OCTET_STRING) || !value.Empty() || len(nonce) < 1 || len(nonce) > maxNonce {
		return nil, malformed("its nonce does not have 1 to 128 octets")
	}
	return bytes.Clone(nonce), nil
}
