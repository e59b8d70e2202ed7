package crl

import (
	"bufio"
	"bytes"
	"crypto/x509"
	encoding "encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// Bounds of what is read whole, in octets. Lists may be of any size; what is around
// them and each entry may not.
const (
	maxHead  = 16 << 10
	maxTail  = 16 << 10
	maxEntry = 2 << 10
)

// Why a CRL is refused.
var (
	ErrMalformed = errors.New("it is no CRL")
	ErrForeign   = errors.New("it is a CRL of another issuer")
	ErrSignature = errors.New("the CRL's signature does not verify")
)

// A List is a CRL whose signature was verified.
type List struct {
	Number                 *big.Int
	ThisUpdate, NextUpdate time.Time
	DistributionPoint      string   // the URL of its shard, "" if it is of the whole issuer
	Base                   *big.Int // of a delta CRL; nil for a complete one

	from        io.ReaderAt
	first, size int64 // of the entries
}

// Open verifies the CRL of the given size that from holds: its signature, that it is
// the issuer's, and its form. Nothing is held but what stands around the entries; from
// must not change while the list is used.
//
// It reports ErrForeign for a CRL under another name, ErrSignature for one that another
// key signed or that was altered, and ErrMalformed for what is no CRL of version 2, is
// an indirect one, or has a critical extension that is not known.
func Open(from io.ReaderAt, size int64, issuer *x509.Certificate) (*List, error) {
	if issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0 { // Section 6.3.3 (f)
		return nil, fmt.Errorf("the issuer may not sign CRLs: %w", ErrForeign)
	}
	outer, err := openElement(from, 0, size)
	if err != nil || outer.end != size {
		return nil, malformed("the outer sequence", err)
	}
	list, err := openElement(from, outer.begin, outer.end)
	if err != nil {
		return nil, malformed("tbsCertList", err)
	}
	l := &List{from: from}
	identifier, rest, err := l.readHead(list, issuer)
	if err != nil {
		return nil, err
	}
	if err := verify(from, outer, list, identifier, issuer); err != nil {
		return nil, err
	}
	return l, l.readRest(list, rest)
}

// malformed reports what cannot be read, and keeps an error of the reader.
func malformed(what string, err error) error {
	if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, ErrMalformed)
}

// element is where a SEQUENCE lies.
type element struct{ start, begin, end int64 } // of the header, of the content, past it

// openElement finds the SEQUENCE that starts at an offset and ends at limit or before.
// Package cryptobyte opens only what it has whole.
func openElement(from io.ReaderAt, start, limit int64) (element, error) {
	var header [6]byte
	n, err := from.ReadAt(header[:min(int64(len(header)), max(0, limit-start))], start)
	if err != nil && !errors.Is(err, io.EOF) {
		return element{}, err
	}
	length, octets, ok := readHeader(header[:n])
	e := element{start, start + octets, start + octets + length}
	if !ok || header[0] != byte(asn1.SEQUENCE) || e.end > limit {
		return element{}, ErrMalformed
	}
	return e, nil
}

// readHeader returns the length of the element that prefix begins with, and that of its
// header. The length is definite and in its shortest form, of four octets at most.
func readHeader(prefix []byte) (length, octets int64, ok bool) {
	if len(prefix) < 2 || prefix[0]&0x1f == 0x1f {
		return 0, 0, false
	}
	if prefix[1] < 0x80 {
		return int64(prefix[1]), 2, true
	}
	n := int(prefix[1] & 0x7f)
	if n < 1 || n > 4 || len(prefix) < 2+n || prefix[2] == 0 {
		return 0, 0, false
	}
	for _, b := range prefix[2 : 2+n] {
		length = length<<8 | int64(b)
	}
	return length, int64(2 + n), length >= 0x80
}

// readHead reads what stands before the entries, and returns the AlgorithmIdentifier
// and the offset of what follows.
func (l *List) readHead(list element, issuer *x509.Certificate) (identifier []byte, rest int64, err error) {
	head := make([]byte, min(maxHead, list.end-list.begin))
	if _, err := l.from.ReadAt(head, list.begin); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("read the head: %w", err)
	}
	s := cryptobyte.String(head)
	var version int64
	var algorithm, name cryptobyte.String
	if !s.ReadASN1Integer(&version) || version != 1 || // v2
		!s.ReadASN1Element(&algorithm, asn1.SEQUENCE) || !s.ReadASN1Element(&name, asn1.SEQUENCE) ||
		!readTime(&s, &l.ThisUpdate) || !readTime(&s, &l.NextUpdate) { // nextUpdate is required (Section 5.1.2.5)
		return nil, 0, malformed("the head", nil)
	}
	if !bytes.Equal(name, issuer.RawSubject) {
		return nil, 0, ErrForeign
	}
	return algorithm, list.begin + int64(len(head)-len(s)), nil
}

func readTime(s *cryptobyte.String, out *time.Time) bool {
	if s.PeekASN1Tag(asn1.UTCTime) {
		return s.ReadASN1UTCTime(out)
	}
	return s.ReadASN1GeneralizedTime(out)
}

// verify verifies the signature over the list.
func verify(from io.ReaderAt, outer, list element, identifier []byte, issuer *x509.Certificate) error {
	if outer.end-list.end > maxTail {
		return malformed("the signature", nil)
	}
	end := make([]byte, outer.end-list.end)
	if _, err := from.ReadAt(end, list.end); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the signature: %w", err)
	}
	s := cryptobyte.String(end)
	var algorithm cryptobyte.String
	var signature encoding.BitString
	if !s.ReadASN1Element(&algorithm, asn1.SEQUENCE) || !s.ReadASN1BitString(&signature) || !s.Empty() ||
		signature.BitLength%8 != 0 || !bytes.Equal(algorithm, identifier) { // Section 5.1.1.2
		return malformed("the signature", nil)
	}
	known, err := tbs.SignatureByIdentifier(algorithm)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrSignature)
	}
	digest := known.Hash().New()
	if _, err := io.Copy(digest, io.NewSectionReader(from, list.start, list.end-list.start)); err != nil {
		return fmt.Errorf("read the CRL: %w", err)
	}
	if err := known.VerifyDigest(issuer.PublicKey, digest.Sum(nil), signature.Bytes); err != nil {
		return ErrSignature
	}
	return nil
}

// readRest finds the entries, which start at rest if there are any, and reads the
// extensions behind them.
func (l *List) readRest(list element, rest int64) error {
	if entries, err := openElement(l.from, rest, list.end); err == nil {
		l.first, l.size, rest = entries.begin, entries.end-entries.begin, entries.end
	} else if !errors.Is(err, ErrMalformed) {
		return fmt.Errorf("read the entries: %w", err)
	}
	if list.end-rest > maxTail {
		return malformed("the extensions", nil)
	}
	tail := make([]byte, list.end-rest)
	if _, err := l.from.ReadAt(tail, rest); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the extensions: %w", err)
	}
	s := cryptobyte.String(tail)
	var explicit, extensions cryptobyte.String
	if !s.ReadASN1(&explicit, asn1.Tag(0).ContextSpecific().Constructed()) || !s.Empty() ||
		!explicit.ReadASN1(&extensions, asn1.SEQUENCE) || !explicit.Empty() {
		return malformed("the extensions", nil)
	}
	err := eachExtension(extensions, func(oid string, critical bool, value cryptobyte.String) bool {
		switch oid {
		case "2.5.29.20":
			l.Number = new(big.Int)
			return value.ReadASN1Integer(l.Number) && value.Empty() && l.Number.Sign() >= 0
		case "2.5.29.27":
			l.Base = new(big.Int)
			return value.ReadASN1Integer(l.Base) && value.Empty() && l.Base.Sign() >= 0
		case "2.5.29.28":
			return l.readDistributionPoint(value)
		}
		return !critical
	})
	if err == nil && l.Number == nil { // required (Section 5.2.3)
		err = malformed("the number", nil)
	}
	return err
}

// readDistributionPoint reads an issuing distribution point (Section 5.2.5) of one URL.
// Anything else narrows a CRL, or makes it an indirect one.
func (l *List) readDistributionPoint(value cryptobyte.String) bool {
	var idp, point, name, url cryptobyte.String
	ok := value.ReadASN1(&idp, asn1.SEQUENCE) && value.Empty() && idp.ReadASN1(&point, tagPoint) && idp.Empty() &&
		point.ReadASN1(&name, tagFullName) && point.Empty() && name.ReadASN1(&url, tagURI) && name.Empty()
	l.DistributionPoint = string(url)
	return ok && len(url) > 0
}

// eachExtension calls read with each of extensions, of which none may come twice.
func eachExtension(extensions cryptobyte.String, read func(oid string, critical bool, value cryptobyte.String) bool) error {
	seen := map[string]bool{}
	for !extensions.Empty() {
		var one, value cryptobyte.String
		var oid encoding.ObjectIdentifier
		var critical bool
		if !extensions.ReadASN1(&one, asn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&oid) ||
			one.PeekASN1Tag(asn1.BOOLEAN) && (!one.ReadASN1Boolean(&critical) || !critical) || // DER of a DEFAULT
			!one.ReadASN1(&value, asn1.OCTET_STRING) || !one.Empty() {
			return malformed("an extension", nil)
		}
		name := oid.String()
		if seen[name] || !read(name, critical, value) {
			return malformed("extension "+name, nil)
		}
		seen[name] = true
	}
	return nil
}

// Entries calls yield with each entry in the order of the list, and ends at yield's
// first error, which it returns. It reports ErrMalformed for an entry that is none of
// ours: another form of serial number, an unknown reason or critical extension.
func (l *List) Entries(yield func(*Entry) error) error {
	in := bufio.NewReaderSize(io.NewSectionReader(l.from, l.first, l.size), 64<<10)
	var buffer [maxEntry]byte
	for n := 1; ; n++ {
		header, err := in.Peek(6)
		if len(header) == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read entry %d: %w", n, err)
		}
		length, octets, ok := readHeader(header)
		if !ok || length+octets > maxEntry {
			return malformed(fmt.Sprintf("entry %d", n), nil)
		}
		der := buffer[:length+octets]
		if _, err := io.ReadFull(in, der); err != nil {
			return malformed(fmt.Sprintf("entry %d", n), err)
		}
		entry, ok := readEntry(der)
		if !ok {
			return malformed(fmt.Sprintf("entry %d", n), nil)
		}
		if err := yield(entry); err != nil {
			return err
		}
	}
}

func readEntry(der []byte) (*Entry, bool) {
	s := cryptobyte.String(der)
	var body cryptobyte.String
	var serial big.Int
	entry := &Entry{Reason: telamon.ReasonUnspecified}
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() || !body.ReadASN1Integer(&serial) || !readTime(&body, &entry.RevokedAt) {
		return nil, false
	}
	var ok bool
	if entry.Serial, ok = telamon.SerialFromInt(&serial); !ok {
		return nil, false
	}
	if body.Empty() {
		return entry, true
	}
	var extensions cryptobyte.String
	if !body.ReadASN1(&extensions, asn1.SEQUENCE) || !body.Empty() {
		return nil, false
	}
	err := eachExtension(extensions, func(oid string, critical bool, value cryptobyte.String) bool {
		switch oid {
		case "2.5.29.21":
			var code int
			if !value.ReadASN1Enum(&code) || !value.Empty() {
				return false
			}
			entry.Reason, ok = reasonOf(code)
			return ok
		case "2.5.29.24":
			return value.ReadASN1GeneralizedTime(&entry.InvalidAt) && value.Empty()
		}
		return !critical
	})
	return entry, err == nil
}
