package tbs

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The content types of RFC 5652, Sections 4 and 5.1.
var (
	oidData       = []int{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = []int{1, 2, 840, 113549, 1, 7, 2}
)

// CertsOnly returns the certificates as the DER of a SignedData that signs nothing: a
// "certs-only" message (RFC 5652, Section 5; RFC 5280, Section 4.2.2.1). Its order is
// that of DER and says nothing.
func CertsOnly(certs []*x509.Certificate) ([]byte, error) {
	sorted := make([][]byte, len(certs))
	for i, cert := range certs {
		sorted[i] = cert.Raw
	}
	slices.SortFunc(sorted, bytes.Compare) // of a SET OF (X.690, Section 11.6)
	explicit := asn1.Tag(0).ContextSpecific().Constructed()
	set := func(*cryptobyte.Builder) {}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSignedData)
		b.AddASN1(explicit, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)        // version: no attribute certificates (Section 5.1)
				b.AddASN1(asn1.SET, set) // digestAlgorithms
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) })
				b.AddASN1(explicit, func(b *cryptobyte.Builder) { // certificates, an implicit SET
					for _, der := range sorted {
						b.AddBytes(der)
					}
				})
				b.AddASN1(asn1.SET, set) // signerInfos
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode certificates: %w", err)
	}
	return der, nil
}
