package tbs

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The extensions of Certificate Transparency (RFC 6962, Sections 3.1 and 3.3).
var (
	oidPoison  = oid(1, 3, 6, 1, 4, 1, 11129, 2, 4, 3)
	oidSCTList = oid(1, 3, 6, 1, 4, 1, 11129, 2, 4, 2)
)

// addTransparency adds what makes a precertificate useless as a certificate, or the
// timestamps that it got. Either is the last extension, so that both certificates are
// the same before it.
func addTransparency(b *cryptobyte.Builder, t *Template) {
	switch {
	case t.Poison && t.SCTList != nil:
		b.SetError(errors.New("a precertificate has no timestamps"))
	case t.Poison:
		addExtension(b, oidPoison, true, func(b *cryptobyte.Builder) { b.AddASN1(asn1.NULL, func(*cryptobyte.Builder) {}) })
	case t.SCTList != nil:
		addExtension(b, oidSCTList, false, func(b *cryptobyte.Builder) { b.AddASN1OctetString(t.SCTList) })
	}
}

// Logged returns the tbsCertificate that logs sign timestamps of: that of a
// precertificate without its poison, and of a certificate without its timestamps (RFC
// 6962, Section 3.2). A certificate corresponds to a precertificate if and only if
// both have the same.
func Logged(tbsDER []byte) ([]byte, error) {
	f, err := Inspect(tbsDER)
	if err != nil {
		return nil, err
	}
	input := cryptobyte.String(tbsDER)
	var body cryptobyte.String
	if !input.ReadASN1(&body, asn1.SEQUENCE) {
		return nil, errTBS
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbsDER)))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		extensions := asn1.Tag(3).ContextSpecific().Constructed()
		for !body.Empty() && !body.PeekASN1Tag(extensions) {
			var element cryptobyte.String
			var tag asn1.Tag
			if !body.ReadAnyASN1Element(&element, &tag) {
				b.SetError(errTBS)
				return
			}
			b.AddBytes(element)
		}
		b.AddASN1(extensions, sequence(func(b *cryptobyte.Builder) {
			for _, e := range f.extensions {
				if e.id != oidPoison.String() && e.id != oidSCTList.String() {
					b.AddBytes(e.element)
				}
			}
		}))
	})
	return b.Bytes()
}

// SCTListOf returns the TLS encoding of the list of timestamps in a tbsCertificate, nil
// if there is none.
func SCTListOf(tbsDER []byte) ([]byte, error) {
	f, err := Inspect(tbsDER)
	if err != nil {
		return nil, err
	}
	for _, e := range f.extensions {
		if e.id != oidSCTList.String() {
			continue
		}
		value := e.value
		var list cryptobyte.String
		if !value.ReadASN1(&list, asn1.OCTET_STRING) || !value.Empty() {
			return nil, errors.New("the list of timestamps is no OCTET STRING")
		}
		return list, nil
	}
	return nil, nil
}
