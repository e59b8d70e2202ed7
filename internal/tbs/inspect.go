package tbs

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Facts is what a signer has to know of bytes that it is asked to sign. The
// slices point into the bytes that were inspected.
type Facts struct {
	Serial              *big.Int
	Signature           *SignatureAlgorithm
	Issuer, Subject     []byte // DER of the names
	NotBefore, NotAfter time.Time
	SPKI                []byte
	IsCA                bool
	MaxPathLen          int // -1: no limit; for CAs
	KeyUsage            x509.KeyUsage
	HasExtKeyUsage      bool
	ExtKeyUsage         []x509.OID
	OCSPNoCheck         bool // id-pkix-ocsp-nocheck: of a responder
	extensions          []extension
}

// extension is one extension as it stands in a certificate.
type extension struct {
	id      string
	element []byte
	value   cryptobyte.String
}

var errTBS = errors.New("the bytes are no tbsCertificate")

// Inspect reads a tbsCertificate. It refuses trailing bytes, a version other than
// 3, unknown signature algorithms, unique identifiers and an extension that comes
// twice.
func Inspect(tbsDER []byte) (*Facts, error) {
	input := cryptobyte.String(tbsDER)
	var body cryptobyte.String
	if !input.ReadASN1(&body, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, errTBS
	}
	f := &Facts{Serial: new(big.Int), MaxPathLen: -1}
	var version int64
	var wrapped, signature, issuer, validity, subject, spki, extensions, list cryptobyte.String
	if !body.ReadASN1(&wrapped, cbasn1.Tag(0).ContextSpecific().Constructed()) || !wrapped.ReadASN1Integer(&version) ||
		!wrapped.Empty() || version != 2 ||
		!body.ReadASN1Integer(f.Serial) ||
		!body.ReadASN1Element(&signature, cbasn1.SEQUENCE) ||
		!body.ReadASN1Element(&issuer, cbasn1.SEQUENCE) ||
		!body.ReadASN1(&validity, cbasn1.SEQUENCE) ||
		!body.ReadASN1Element(&subject, cbasn1.SEQUENCE) ||
		!body.ReadASN1Element(&spki, cbasn1.SEQUENCE) ||
		!body.ReadASN1(&extensions, cbasn1.Tag(3).ContextSpecific().Constructed()) || !body.Empty() ||
		!extensions.ReadASN1(&list, cbasn1.SEQUENCE) || !extensions.Empty() ||
		!readTime(&validity, &f.NotBefore) || !readTime(&validity, &f.NotAfter) || !validity.Empty() {
		return nil, errTBS
	}
	f.Issuer, f.Subject, f.SPKI = issuer, subject, spki
	var err error
	if f.Signature, err = SignatureByIdentifier(signature); err != nil {
		return nil, err
	}
	if err := f.readExtensions(list); err != nil {
		return nil, err
	}
	return f, nil
}

func readTime(s *cryptobyte.String, out *time.Time) bool {
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		return s.ReadASN1UTCTime(out)
	}
	return s.ReadASN1GeneralizedTime(out)
}

func (f *Facts) readExtensions(list cryptobyte.String) error {
	for !list.Empty() {
		var element, body cryptobyte.String
		var e extension
		if !list.ReadASN1Element(&element, cbasn1.SEQUENCE) {
			return errTBS
		}
		e.element = element
		if !element.ReadASN1(&body, cbasn1.SEQUENCE) || !readOID(&body, &e.id) {
			return errTBS
		}
		var critical bool
		if body.PeekASN1Tag(cbasn1.BOOLEAN) && (!body.ReadASN1Boolean(&critical) || !critical) {
			return errTBS // DEFAULT FALSE is never written
		}
		if !body.ReadASN1(&e.value, cbasn1.OCTET_STRING) || !body.Empty() {
			return errTBS
		}
		for _, other := range f.extensions {
			if other.id == e.id {
				return fmt.Errorf("extension %s comes twice", e.id)
			}
		}
		f.extensions = append(f.extensions, e)
		if err := f.readExtension(e); err != nil {
			return err
		}
	}
	return nil
}

// readOID reads an object identifier of arcs of any size as its dotted text.
func readOID(s *cryptobyte.String, out *string) bool {
	var content cryptobyte.String
	if !s.ReadASN1(&content, cbasn1.OBJECT_IDENTIFIER) {
		return false
	}
	var id x509.OID
	if id.UnmarshalBinary(content) != nil {
		return false
	}
	*out = id.String()
	return true
}

// readExtension reads the extensions that a signer judges.
func (f *Facts) readExtension(e extension) error {
	value := e.value
	switch e.id {
	case oidBasicConstraints.String():
		var body cryptobyte.String
		if !value.ReadASN1(&body, cbasn1.SEQUENCE) || !value.Empty() {
			return errTBS
		}
		if body.PeekASN1Tag(cbasn1.BOOLEAN) && !body.ReadASN1Boolean(&f.IsCA) {
			return errTBS
		}
		if body.PeekASN1Tag(cbasn1.INTEGER) && (!body.ReadASN1Integer(&f.MaxPathLen) || f.MaxPathLen < 0) || !body.Empty() {
			return errTBS
		}
	case oidKeyUsage.String():
		var bits asn1.BitString
		if !value.ReadASN1BitString(&bits) || !value.Empty() {
			return errTBS
		}
		for bit := range keyUsages {
			if bits.At(bit) != 0 {
				f.KeyUsage |= 1 << bit
			}
		}
	case oidExtKeyUsage.String():
		var body cryptobyte.String
		if !value.ReadASN1(&body, cbasn1.SEQUENCE) || !value.Empty() || body.Empty() {
			return errTBS
		}
		f.HasExtKeyUsage = true
		for !body.Empty() {
			var text string
			if !readOID(&body, &text) {
				return errTBS
			}
			id, err := x509.ParseOID(text)
			if err != nil {
				return errTBS
			}
			f.ExtKeyUsage = append(f.ExtKeyUsage, id)
		}
	case oidOCSPNoCheck.String():
		var null cryptobyte.String
		if !value.ReadASN1(&null, cbasn1.NULL) || !null.Empty() || !value.Empty() {
			return errTBS
		}
		f.OCSPNoCheck = true
	}
	return nil
}

// issuerExtensions are those that the issuer adds and that differ between
// certificates of the same content.
var issuerExtensions = map[string]bool{
	oidAuthorityKeyID.String(): true, oidSubjectKeyID.String(): true, oidCertificatePolicies.String(): true,
	oidCRLDistributionPoint.String(): true, oidAuthorityInfoAccess.String(): true,
	oidPoison.String(): true, oidSCTList.String(): true,
}

// ContentOfTBS returns the subject and the extensions of a tbsCertificate that
// its content gave, as bytes to be compared: two certificates say the same of
// their subject if and only if these are equal.
func ContentOfTBS(tbsDER []byte) ([]byte, error) {
	f, err := Inspect(tbsDER)
	if err != nil {
		return nil, err
	}
	content := append([]byte(nil), f.Subject...)
	for _, e := range f.extensions {
		if !issuerExtensions[e.id] {
			content = append(content, e.element...)
		}
	}
	return content, nil
}

// ContentOf is ContentOfTBS for the DER of a certificate.
func ContentOf(certificate []byte) ([]byte, error) {
	input := cryptobyte.String(certificate)
	var body, signed cryptobyte.String
	if !input.ReadASN1(&body, cbasn1.SEQUENCE) || !input.Empty() || !body.ReadASN1Element(&signed, cbasn1.SEQUENCE) {
		return nil, errors.New("the bytes are no certificate")
	}
	return ContentOfTBS(signed)
}
