// Package tbs reads certificate requests and public keys strictly, and writes
// to-be-signed certificates (RFC 5280, Section 4.1) with every extension that a
// validation policy can ask for. It signs nothing, decides nothing that a policy
// decides, and trusts its caller for the content, of which it checks the encoding.
package tbs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
)

// A Template is all that a certificate will say.
type Template struct {
	Serial              telamon.Serial
	Issuer              *x509.Certificate // nil for a self-signed root
	NotBefore, NotAfter time.Time         // whole seconds
	Content             telamon.Content
	PublicKey           *PublicKey
	Signature           *SignatureAlgorithm // by which the issuer will sign

	CRLURLs       []string // one distribution point
	CAIssuersURLs []string
	OCSPURLs      []string
	PolicyOIDs    []x509.OID
	Poison        bool           // a precertificate (RFC 6962, Section 3.1)
	SCTList       []byte         // TLS encoding of a SignedCertificateTimestampList; nil for none
	OmitKeyID     bool           // no subject key identifier, which leaves need not have (BR 7.1.2.7.6)
	CA            *CAConstraints // nil for a leaf, which gets no basic constraints
	OCSPNoCheck   bool           // for an OCSP responder (RFC 6960, Section 4.2.2.2.1)
}

// CAConstraints makes a certificate one of a CA.
type CAConstraints struct {
	MaxPathLen int // negative: no limit
	// Subject and KeyID are those of the CA that is certified once more; nil: they are
	// made of the content and the key.
	Subject, KeyID []byte
}

// Build returns the DER of the tbsCertificate. It reports an error if something
// cannot be encoded as the standards want it.
func Build(t *Template) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) }) // v3
		b.AddASN1BigInt(t.Serial.Int())
		b.AddBytes(t.Signature.Identifier())
		if t.Issuer != nil {
			b.AddBytes(t.Issuer.RawSubject)
		} else {
			addName(b, t.Content.Subject)
		}
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, t.NotBefore)
			addTime(b, t.NotAfter)
		})
		if t.CA != nil && t.CA.Subject != nil {
			b.AddBytes(t.CA.Subject)
		} else {
			addName(b, t.Content.Subject)
		}
		b.AddBytes(t.PublicKey.SPKI)
		b.AddASN1(cbasn1.Tag(3).ContextSpecific().Constructed(), sequence(func(b *cryptobyte.Builder) { addExtensions(b, t) }))
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("build certificate: %w", err)
	}
	return der, nil
}

func (t *Template) check() error {
	switch {
	case t.PublicKey == nil || t.Signature == nil:
		return errors.New("build certificate: a key or a signature algorithm is missing")
	case t.Serial.Int().Sign() != 1:
		return errors.New("build certificate: the serial number is not positive")
	case !t.NotBefore.Equal(t.NotBefore.Truncate(time.Second)) || !t.NotAfter.Equal(t.NotAfter.Truncate(time.Second)):
		return errors.New("build certificate: the validity is not in whole seconds")
	case !t.NotBefore.Before(t.NotAfter):
		return errors.New("build certificate: it would end before it starts")
	case t.Content.KeyUsage&^(1<<keyUsages-1) != 0:
		return errors.New("build certificate: a key usage is not known")
	case len(t.Content.Subject) == 0 && (t.CA != nil && t.CA.Subject == nil || t.CA == nil && t.Content.SAN.IsEmpty()):
		return errors.New("build certificate: it has neither a subject nor an alternative name")
	}
	return nil
}

// addTime adds UTCTime through 2049 and GeneralizedTime from 2050 on (RFC 5280,
// Section 4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC()
	if t.Year() >= 1950 && t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// Assemble returns the DER of the certificate from its signed part, by whose
// algorithm it was signed and the signature. It checks none of them.
func Assemble(tbsDER []byte, algorithm *SignatureAlgorithm, signature []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbsDER)+len(signature)+64))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbsDER)
		b.AddBytes(algorithm.Identifier())
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}
