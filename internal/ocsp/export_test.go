package ocsp

import (
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Marshal returns the DER of an OCSPRequest for certificates, of version 1 and
// unsigned, with a nonce unless it is nil.
func (r *Request) Marshal() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for i := range r.Certs {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addCertID(b, &r.Certs[i]) })
				}
			})
			if r.Nonce == nil {
				return
			}
			b.AddASN1(tag2, func(b *cryptobyte.Builder) { addNonce(b, r.Nonce) })
		})
	})
	return b.Bytes()
}
