package crl

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon/internal/tbs"
)

// A Template says what a CRL says of itself.
type Template struct {
	Issuer     *x509.Certificate
	Signature  *tbs.SignatureAlgorithm
	Number     int64 // of this CRL, above all earlier ones of its scope
	ThisUpdate time.Time
	NextUpdate time.Time
	// DistributionPoint is the URL in the certificates of this shard, for the issuing
	// distribution point, which is critical. "" writes none: the CRL then holds
	// everything that the issuer revoked.
	DistributionPoint string
	// Base is the number of the complete CRL that this one adds to; 0 if this one is
	// complete.
	Base int64
	// FreshestURL is where the delta CRL to this one is; "" if there is none.
	FreshestURL string
}

// A Builder takes the entries of a CRL one after another. The length of a CRL stands at
// its beginning, before entries whose number nobody knows: encoded entries are spooled,
// in memory while they are few and to a temporary file beyond, so that the database is
// read once and memory stays constant.
type Builder struct {
	template Template
	encoder  entryEncoder
	spool    spool
	entries  int64
}

// NewBuilder returns a builder that spools to a file in dir, "" for the system's
// directory of temporary files. The caller closes it.
func NewBuilder(t Template, dir string) (*Builder, error) {
	switch {
	case t.Issuer == nil || t.Signature == nil:
		return nil, errors.New("a CRL needs an issuer and a signature algorithm")
	case len(t.Issuer.SubjectKeyId) == 0:
		return nil, errors.New("the issuer has no subject key identifier") // Section 5.2.1
	case t.Number < 1:
		return nil, errors.New("a CRL needs a positive number")
	case t.Base < 0 || t.Base >= t.Number && t.Base != 0:
		return nil, errors.New("a delta CRL follows its base")
	case !t.NextUpdate.After(t.ThisUpdate):
		return nil, errors.New("nextUpdate must be after thisUpdate")
	}
	return &Builder{template: t, spool: spool{dir: dir}}, nil
}

// ErrEntry is why Add added nothing: the entry says what a CRL cannot. The builder is as
// it was before.
var ErrEntry = errors.New("the entry cannot be encoded")

// Add adds an entry. The order is the caller's. It reports ErrEntry.
func (b *Builder) Add(e *Entry) error {
	der, err := b.encoder.encode(e)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEntry, err)
	}
	b.entries++
	return b.spool.write(der)
}

// Close removes the spool.
func (b *Builder) Close() error { return b.spool.close() }

// Finish returns the CRL without its signature. Nothing can be added any more, and the
// draft is good until Close.
func (b *Builder) Finish() (*Draft, error) {
	if err := b.spool.flush(); err != nil {
		return nil, err
	}
	first, last, err := b.template.around()
	if err != nil {
		return nil, fmt.Errorf("encode CRL: %w", err)
	}
	if b.spool.size > 0 { // an empty list is left out (Section 5.1.2.6)
		first = appendHeader(first, asn1.SEQUENCE, b.spool.size)
	}
	body := int64(len(first)) + b.spool.size + int64(len(last))
	if body > maxSize {
		return nil, fmt.Errorf("a CRL of %d octets is too large", body)
	}
	return &Draft{
		head: append(appendHeader(nil, asn1.SEQUENCE, body), first...), tail: last, spool: &b.spool,
		algorithm: b.template.Signature, key: b.template.Issuer.PublicKey, Entries: b.entries,
	}, nil
}

// around returns what stands before and after the list of entries in a tbsCertList.
func (t *Template) around() (first, last []byte, err error) {
	var b cryptobyte.Builder
	b.AddASN1Int64(1) // v2
	b.AddBytes(t.Signature.Identifier())
	b.AddBytes(t.Issuer.RawSubject)
	addTime(&b, t.ThisUpdate)
	addTime(&b, t.NextUpdate)
	if first, err = b.Bytes(); err != nil {
		return nil, nil, err
	}
	var e cryptobyte.Builder
	e.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, t.addExtensions)
	})
	last, err = e.Bytes()
	return first, last, err
}

func (t *Template) addExtensions(b *cryptobyte.Builder) {
	addExtension(b, oidAuthorityKeyID, false, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(t.Issuer.SubjectKeyId) })
		})
	})
	addExtension(b, oidCRLNumber, false, func(b *cryptobyte.Builder) { b.AddASN1Int64(t.Number) })
	if t.Base > 0 {
		addExtension(b, oidDeltaIndicator, true, func(b *cryptobyte.Builder) { b.AddASN1Int64(t.Base) })
	}
	if t.DistributionPoint != "" {
		addExtension(b, oidDistributionPoint, true, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addPointName(b, t.DistributionPoint) })
		})
	}
	if t.FreshestURL != "" {
		addExtension(b, oidFreshestCRL, false, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addPointName(b, t.FreshestURL) })
			})
		})
	}
}

// The tags of a distribution point that is one URL (RFC 5280, Section 4.2.1.13).
var (
	tagPoint    = asn1.Tag(0).ContextSpecific().Constructed()
	tagFullName = asn1.Tag(0).ContextSpecific().Constructed()
	tagURI      = asn1.Tag(6).ContextSpecific()
)

// addPointName adds the member distributionPoint with a URL, octet for octet as it
// stands in certificates.
func addPointName(b *cryptobyte.Builder, url string) {
	b.AddASN1(tagPoint, func(b *cryptobyte.Builder) {
		b.AddASN1(tagFullName, func(b *cryptobyte.Builder) {
			b.AddASN1(tagURI, func(b *cryptobyte.Builder) { b.AddBytes([]byte(url)) })
		})
	})
}

// A Draft is a CRL without its signature.
type Draft struct {
	head, tail []byte // of the tbsCertList, around the entries
	algorithm  *tbs.SignatureAlgorithm
	key        crypto.PublicKey // of the issuer
	spool      *spool

	Entries int64
}

// TBS returns the tbsCertList, from its beginning each time.
func (d *Draft) TBS() io.Reader {
	return io.MultiReader(bytes.NewReader(d.head), d.spool.reader(), bytes.NewReader(d.tail))
}

// Sign has sign make the signature over the tbsCertList, which it must read to its end,
// verifies it by the issuer's key, and returns the CRL as Signed does. What does not
// verify must not leave the platform: a fault attack or a broken key.
func (d *Draft) Sign(sign func(tbsCertList io.Reader) ([]byte, error)) (crl io.Reader, size int64, err error) {
	digest := d.algorithm.Hash().New()
	signature, err := sign(io.TeeReader(d.TBS(), digest))
	if err != nil {
		return nil, 0, fmt.Errorf("sign: %w", err)
	}
	if err := d.algorithm.VerifyDigest(d.key, digest.Sum(nil), signature); err != nil {
		return nil, 0, errors.New("the signer signed wrongly: a fault attack or a broken key")
	}
	return d.Signed(signature)
}

// Signed returns the CRL with a signature over TBS, from its beginning each time, and
// its size in octets.
func (d *Draft) Signed(signature []byte) (crl io.Reader, size int64, err error) {
	var b cryptobyte.Builder
	b.AddBytes(d.algorithm.Identifier())
	b.AddASN1BitString(signature)
	end, err := b.Bytes()
	if err != nil {
		return nil, 0, fmt.Errorf("encode CRL: %w", err)
	}
	body := int64(len(d.head)) + d.spool.size + int64(len(d.tail)) + int64(len(end))
	begin := appendHeader(nil, asn1.SEQUENCE, body)
	return io.MultiReader(bytes.NewReader(begin), d.TBS(), bytes.NewReader(end)), int64(len(begin)) + body, nil
}

// maxSize bounds a CRL: a length of DER that we write or read has at most four octets.
const maxSize = 1<<32 - 1<<20

// appendHeader appends the tag and the definite length of an element whose content
// follows elsewhere. Package cryptobyte encodes only what it holds whole.
func appendHeader(der []byte, tag asn1.Tag, length int64) []byte {
	der = append(der, byte(tag))
	if length < 0x80 {
		return append(der, byte(length))
	}
	octets := 1
	for n := length >> 8; n > 0; n >>= 8 {
		octets++
	}
	der = append(der, 0x80|byte(octets))
	for shift := 8 * (octets - 1); shift >= 0; shift -= 8 {
		der = append(der, byte(length>>shift))
	}
	return der
}
