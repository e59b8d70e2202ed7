package keystore

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// SignCRL signs a tbsCertList (RFC 5280, Section 5.1.2), which it reads to its end
// and never holds whole, and returns the signature. A retired CA signs CRLs too.
//
// It refuses, with ErrPurpose, what is no CRL of version 2 by this CA, an algorithm
// of another key, a thisUpdate that is not now, and a clock behind the last
// signature. It believes its caller for the entries.
func (ks *Keystore) SignCRL(name string, tbsCertList io.Reader) ([]byte, error) {
	signature, err := ks.signCRL(name, tbsCertList)
	if err != nil {
		return nil, fmt.Errorf("sign a CRL with %s: %w", name, err)
	}
	return signature, nil
}

// signCRL reads the list without a lock: it comes as fast as its caller gives it,
// and a change of any key that waited for it would keep all others from signing.
// What is checked first, the CA's certificate, does not change.
func (ks *Keystore) signCRL(name string, tbsCertList io.Reader) ([]byte, error) {
	ks.mu.RLock()
	k, err := ks.key(name)
	var purpose Purpose
	if err == nil {
		purpose = k.purpose
	}
	ks.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	if purpose.Certificate == nil || purpose.Role == telamon.RoleResponder {
		return nil, fmt.Errorf("it is no key of a CA: %w", ErrPurpose)
	}
	now := ks.clock.Now()
	list := bufio.NewReaderSize(tbsCertList, crlHeadSize)
	head, err := readCRLHead(list)
	if err != nil {
		return nil, err
	}
	if problem := head.problem(purpose.Certificate, now); problem != "" {
		return nil, fmt.Errorf("%s: %w", problem, ErrPurpose)
	}
	algorithm, err := tbs.SignatureFor(k.signer.Public(), head.signature.Name(), head.signature.HashName())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrPurpose)
	}
	digest, journaled := algorithm.Hash().New(), sha256.New()
	if n, err := io.Copy(io.MultiWriter(digest, journaled), list); err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	} else if n != head.size {
		return nil, fmt.Errorf("it has %d octets and says %d: %w", n, head.size, ErrPurpose)
	}
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	if _, err := ks.key(name); err != nil { // it was destroyed meanwhile
		return nil, err
	}
	if err := k.advance(now.UnixMilli()); err != nil {
		return nil, err
	}
	if err := ks.record(k, Record{At: now, Hash: [32]byte(journaled.Sum(nil))}); err != nil {
		return nil, err
	}
	return algorithm.SignDigest(k.signer, digest.Sum(nil))
}

// crlHead is what stands before the entries of a CRL.
type crlHead struct {
	size                   int64 // of the whole tbsCertList, in octets
	signature              *tbs.SignatureAlgorithm
	issuer                 []byte // DER
	thisUpdate, nextUpdate time.Time
}

// crlHeadSize bounds it, in octets; a name of a CA is at most a few hundred.
const crlHeadSize = 16 << 10

var errCRL = fmt.Errorf("the bytes are no tbsCertList: %w", ErrPurpose)

// readCRLHead reads the head and consumes nothing. A tbsCertificate and a
// ResponseData are not taken for one: their first fields have other tags.
func readCRLHead(list *bufio.Reader) (*crlHead, error) {
	octets, err := list.Peek(crlHeadSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	size, rest, ok := openSequence(octets)
	if !ok {
		return nil, errCRL
	}
	head := &crlHead{size: size}
	body := cryptobyte.String(rest)
	var version int64
	var signature, issuer cryptobyte.String
	if !body.ReadASN1Integer(&version) || version != 1 || // v2
		!body.ReadASN1Element(&signature, cbasn1.SEQUENCE) || !body.ReadASN1Element(&issuer, cbasn1.SEQUENCE) ||
		!readTime(&body, &head.thisUpdate) || !readTime(&body, &head.nextUpdate) {
		return nil, errCRL
	}
	head.issuer = issuer
	head.signature, err = tbs.SignatureByIdentifier(signature)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrPurpose)
	}
	return head, nil
}

// openSequence returns the size of the SEQUENCE that prefix begins with, its header
// included, and what of its content is in prefix. Package cryptobyte opens only
// what it has whole.
func openSequence(prefix []byte) (size int64, content []byte, ok bool) {
	if len(prefix) < 2 || prefix[0] != 0x30 {
		return 0, nil, false
	}
	if prefix[1] < 0x80 {
		return 2 + int64(prefix[1]), prefix[2:], true
	}
	octets := int(prefix[1] & 0x7f)
	if octets < 1 || octets > 4 || len(prefix) < 2+octets || prefix[2] == 0 {
		return 0, nil, false
	}
	for _, b := range prefix[2 : 2+octets] {
		size = size<<8 | int64(b)
	}
	if size < 0x80 {
		return 0, nil, false // not the shortest form
	}
	return size + 2 + int64(octets), prefix[2+octets:], true
}

func readTime(s *cryptobyte.String, out *time.Time) bool {
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		return s.ReadASN1UTCTime(out)
	}
	return s.ReadASN1GeneralizedTime(out)
}

// statusTolerance is how far the time in a CRL or an OCSP response may lie from
// that of its signature: it may have taken a while to write, and be dated back.
const statusTolerance = time.Hour

// problem returns why the CA's purpose does not allow the CRL, or "".
func (h *crlHead) problem(ca *x509.Certificate, now time.Time) string {
	switch {
	case !bytes.Equal(h.issuer, ca.RawSubject):
		return "the issuer's name is not the CA's"
	case h.thisUpdate.Before(now.Add(-statusTolerance)) || h.thisUpdate.After(now.Add(clockTolerance)):
		return "its thisUpdate is not now"
	case !h.nextUpdate.After(h.thisUpdate):
		return "its nextUpdate is not after its thisUpdate"
	}
	return ""
}

// SignOCSP signs the DER of a ResponseData (RFC 6960, Section 4.2.1) with the key of
// a responder, and returns the signature and its algorithm, the default of the key.
// Responses are not journaled: a responder's key makes no certificates.
//
// It refuses, with ErrPurpose, a key that is no responder's, one that is retired,
// what is no ResponseData of this responder, a producedAt that is not now, and a
// clock behind the last signature. It believes its caller for the status.
func (ks *Keystore) SignOCSP(name string, responseData []byte) ([]byte, *tbs.SignatureAlgorithm, error) {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	k, err := ks.key(name)
	if err != nil {
		return nil, nil, err
	}
	now := ks.clock.Now()
	if problem := k.purpose.refusesResponse(responseData, now); problem != "" {
		return nil, nil, fmt.Errorf("sign a response with %s: %s: %w", name, problem, ErrPurpose)
	}
	algorithm, err := tbs.SignatureFor(k.signer.Public(), "", "")
	if err != nil {
		return nil, nil, fmt.Errorf("sign a response with %s: %w", name, err)
	}
	if err := k.advance(now.UnixMilli()); err != nil {
		return nil, nil, fmt.Errorf("sign a response with %s: %w", name, err)
	}
	signature, err := algorithm.Sign(k.signer, responseData)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a response with %s: %w", name, err)
	}
	return signature, algorithm, nil
}

// refusesResponse returns why the purpose does not allow a ResponseData, or "".
func (p *Purpose) refusesResponse(responseData []byte, now time.Time) string {
	const none = "the bytes are no ResponseData"
	switch {
	case p.Role != telamon.RoleResponder:
		return "it is no key of a responder"
	case p.Retired:
		return "the key is retired"
	}
	input := cryptobyte.String(responseData)
	var body, byKey, keyHash, responses cryptobyte.String
	var producedAt time.Time
	if !input.ReadASN1(&body, cbasn1.SEQUENCE) || !input.Empty() ||
		!body.ReadASN1(&byKey, cbasn1.Tag(2).ContextSpecific().Constructed()) ||
		!byKey.ReadASN1(&keyHash, cbasn1.OCTET_STRING) || !byKey.Empty() ||
		!body.ReadASN1GeneralizedTime(&producedAt) ||
		!body.ReadASN1(&responses, cbasn1.SEQUENCE) || responses.Empty() {
		return none
	}
	own, err := keyHashOf(p.Certificate)
	switch {
	case err != nil:
		return err.Error()
	case !bytes.Equal(keyHash, own):
		return "the responder's ID is not that of the key"
	case producedAt.Before(now.Add(-statusTolerance)) || producedAt.After(now.Add(clockTolerance)):
		return "its producedAt is not now"
	}
	return ""
}

// keyHashOf returns the SHA-1 hash of a certificate's public key, by which a
// responder names itself (RFC 6960, Section 4.2.1). It secures nothing.
func keyHashOf(cert *x509.Certificate) ([]byte, error) {
	input := cryptobyte.String(cert.RawSubjectPublicKeyInfo)
	var spki cryptobyte.String
	var bits asn1.BitString
	if !input.ReadASN1(&spki, cbasn1.SEQUENCE) || !spki.SkipASN1(cbasn1.SEQUENCE) || !spki.ReadASN1BitString(&bits) {
		return nil, errors.New("the responder's key cannot be read")
	}
	sum := sha1.Sum(bits.RightAlign())
	return sum[:], nil
}
