package ct

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// An SCT is a signed certificate timestamp of version 1 (RFC 6962, Section 3.2): a log's
// promise to publish a certificate.
type SCT struct {
	LogID      [32]byte // SHA-256 of the log's SubjectPublicKeyInfo
	At         time.Time
	Extensions []byte
	Algorithm  uint16 // SignatureAndHashAlgorithm (RFC 5246, Section 7.4.1.4.1)
	Signature  []byte
}

// The algorithms that logs sign by (RFC 6962, Section 2.1.4).
const (
	sha256ECDSA = 0x0403
	sha256RSA   = 0x0401
)

// errSCT is the error of bytes that are no timestamp.
var errSCT = errors.New("the bytes are no signed certificate timestamp")

// maxTime bounds timestamps, so that every one is a time.
var maxTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// ParseSCT reads the TLS encoding of a timestamp. It refuses another version, trailing
// bytes and times after the year 9999.
func ParseSCT(b []byte) (*SCT, error) {
	input := cryptobyte.String(b)
	var version uint8
	var id []byte
	var millis uint64
	var extensions, signature cryptobyte.String
	s := &SCT{}
	if !input.ReadUint8(&version) || version != 0 || !input.ReadBytes(&id, len(s.LogID)) || !input.ReadUint64(&millis) ||
		!input.ReadUint16LengthPrefixed(&extensions) || !input.ReadUint16(&s.Algorithm) || !input.ReadUint16LengthPrefixed(&signature) ||
		!input.Empty() || millis > uint64(maxTime.UnixMilli()) {
		return nil, errSCT
	}
	s.LogID, s.At = [32]byte(id), time.UnixMilli(int64(millis)).UTC()
	s.Extensions, s.Signature = extensions, signature
	return s, nil
}

// Encode returns the TLS encoding. It reports an error if a part is too long.
func (s *SCT) Encode() ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint8(0) // v1
	b.AddBytes(s.LogID[:])
	b.AddUint64(uint64(s.At.UnixMilli()))
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Extensions) })
	b.AddUint16(s.Algorithm)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Signature) })
	return b.Bytes()
}

// EncodeList returns the TLS encoding of a SignedCertificateTimestampList, which is what
// the extension of a certificate holds (RFC 6962, Section 3.3).
func EncodeList(scts []*SCT) ([]byte, error) {
	if len(scts) == 0 {
		return nil, errors.New("a list of timestamps is not empty")
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, s := range scts {
			encoded, err := s.Encode()
			if err != nil {
				b.SetError(err)
				return
			}
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(encoded) })
		}
	})
	return b.Bytes()
}

// ParseList reads what EncodeList wrote.
func ParseList(encoded []byte) ([]*SCT, error) {
	input := cryptobyte.String(encoded)
	var list cryptobyte.String
	if !input.ReadUint16LengthPrefixed(&list) || !input.Empty() || list.Empty() {
		return nil, errors.New("the bytes are no list of timestamps")
	}
	var scts []*SCT
	for !list.Empty() {
		var one cryptobyte.String
		if !list.ReadUint16LengthPrefixed(&one) {
			return nil, errSCT
		}
		s, err := ParseSCT(one)
		if err != nil {
			return nil, err
		}
		scts = append(scts, s)
	}
	return scts, nil
}

// A logKey is the public key of a log.
type logKey struct {
	id     [32]byte
	public crypto.PublicKey
}

// parseLogKey reads a SubjectPublicKeyInfo: ECDSA on P-256, or RSA of 2048 bits or more
// (RFC 6962, Section 2.1.4).
func parseLogKey(spki []byte) (logKey, error) {
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return logKey{}, err
	}
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize != 256 {
			return logKey{}, errors.New("the key is on another curve than P-256")
		}
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return logKey{}, errors.New("the RSA key is too short")
		}
	default:
		return logKey{}, fmt.Errorf("logs sign by no key of type %T", public)
	}
	return logKey{id: sha256.Sum256(spki), public: public}, nil
}

// verify reports an error unless s is a timestamp of this log for the logged
// tbsCertificate of an issuer.
func (k *logKey) verify(s *SCT, issuer *x509.Certificate, logged []byte) error {
	if s.LogID != k.id {
		return errors.New("the timestamp is of another log")
	}
	input, err := s.signed(issuer, logged)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(input)
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		if s.Algorithm == sha256ECDSA && ecdsa.VerifyASN1(public, digest[:], s.Signature) {
			return nil
		}
	case *rsa.PublicKey:
		if s.Algorithm == sha256RSA && rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], s.Signature) == nil {
			return nil
		}
	}
	return errors.New("the log's signature does not verify")
}

// signed returns what the log signed of a precertificate (RFC 6962, Section 3.2).
func (s *SCT) signed(issuer *x509.Certificate, logged []byte) ([]byte, error) {
	issuerKey := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	b := cryptobyte.NewBuilder(nil)
	b.AddUint8(0) // v1
	b.AddUint8(0) // certificate_timestamp
	b.AddUint64(uint64(s.At.UnixMilli()))
	b.AddUint16(1) // precert_entry
	b.AddBytes(issuerKey[:])
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(logged) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Extensions) })
	return b.Bytes()
}
