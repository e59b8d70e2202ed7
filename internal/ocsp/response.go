package ocsp

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A ResponseStatus says how a request fared (RFC 6960, Section 4.2.1).
type ResponseStatus uint8

// The states of a response.
const (
	Successful       ResponseStatus = 0
	MalformedRequest ResponseStatus = 1
	InternalError    ResponseStatus = 2
	TryLater         ResponseStatus = 3
	// Unauthorized says that we cannot answer for this certificate: we know no such
	// issuer or no such certificate (RFC 5019, Section 2.2.3).
	Unauthorized ResponseStatus = 6
)

// Error returns the DER of the response that holds nothing but its status. It is
// not signed.
func Error(status ResponseStatus) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(status)) })
	return b.BytesOrPanic() // five octets
}

// A Single is what is said of one certificate: it is good, or it was revoked.
type Single struct {
	ID         CertID
	RevokedAt  time.Time // zero: good
	Reason     int       // a CRLReason (RFC 5280, Section 5.3.1); 0 is left out
	ThisUpdate time.Time
	NextUpdate time.Time
}

// A Response is what a responder signs.
type Response struct {
	ResponderKeyHash []byte // see [KeyHash]
	ProducedAt       time.Time
	Singles          []Single
	Nonce            []byte // of the request, nil leaves it out
}

// Data returns the DER of the ResponseData (RFC 6960, Section 4.2.1). All times are
// cut to seconds. It reports an error for a certificate whose issuer is named by
// another hash than SHA-1 or SHA-256.
func (r *Response) Data() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 256))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag2, func(b *cryptobyte.Builder) { b.AddASN1OctetString(r.ResponderKeyHash) }) // byKey
		addTime(b, r.ProducedAt)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for i := range r.Singles {
				addSingle(b, &r.Singles[i])
			}
		})
		if r.Nonce == nil {
			return
		}
		b.AddASN1(tag1, func(b *cryptobyte.Builder) { addNonce(b, r.Nonce) })
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("build an OCSP response: %w", err)
	}
	return der, nil
}

// addNonce adds Extensions that hold a nonce alone.
func addNonce(b *cryptobyte.Builder, nonce []byte) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidNonce)
			b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
		})
	})
}

func addSingle(b *cryptobyte.Builder, s *Single) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addCertID(b, &s.ID)
		if s.RevokedAt.IsZero() {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {})
		} else {
			b.AddASN1(tag1, func(b *cryptobyte.Builder) {
				addTime(b, s.RevokedAt)
				if s.Reason != 0 {
					b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.Reason)) })
				}
			})
		}
		addTime(b, s.ThisUpdate)
		b.AddASN1(tag0, func(b *cryptobyte.Builder) { addTime(b, s.NextUpdate) })
	})
}

// addCertID adds what names the certificate. The hash algorithm has NULL for
// parameters, as in the requests of all widely used clients.
func addCertID(b *cryptobyte.Builder, id *CertID) {
	var algorithm asn1.ObjectIdentifier
	switch id.Hash {
	case crypto.SHA1:
		algorithm = oidSHA1
	case crypto.SHA256:
		algorithm = oidSHA256
	default:
		b.SetError(errors.New("a certificate is named by a hash that is not known"))
		return
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(algorithm)
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(id.NameHash)
		b.AddASN1OctetString(id.KeyHash)
		b.AddASN1BigInt(id.Serial)
	})
}

// addTime adds a GeneralizedTime in whole seconds (RFC 5019, Section 2.2.4).
func addTime(b *cryptobyte.Builder, t time.Time) {
	b.AddASN1GeneralizedTime(t.UTC().Truncate(time.Second))
}

// Assemble returns the DER of the OCSPResponse from a ResponseData, the DER of the
// AlgorithmIdentifier by which it was signed, the signature, and the responder's
// certificate. It checks none of them.
func Assemble(data, algorithm, signature []byte, responder *x509.Certificate) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(data)+len(signature)+len(responder.Raw)+96))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(Successful))
		b.AddASN1(tag0, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidBasic)
				b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(data)
						b.AddBytes(algorithm)
						b.AddASN1BitString(signature)
						b.AddASN1(tag0, func(b *cryptobyte.Builder) {
							b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(responder.Raw) })
						})
					})
				})
			})
		})
	})
	return b.Bytes()
}
