// Package crl encodes certificate revocation lists and reads them, as streams: neither
// holds the entries, of which there may be millions. It knows RFC 5280, Section 5, and
// nothing of databases or keys: what a list must hold and who signs it is its caller's
// business. What it writes to disk is public.
package crl

import (
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
)

// An Entry is one revoked certificate.
type Entry struct {
	Serial    telamon.Serial
	RevokedAt time.Time // whole seconds; earlier for a compromised key than when it was told
	Reason    telamon.RevocationReason
	// InvalidAt is when the key is known or suspected to have been compromised
	// (RFC 5280, Section 5.3.2). The zero time writes nothing.
	InvalidAt time.Time
}

// codes are the CRLReasons of RFC 5280, Section 5.3.1. Unspecified is never written
// (BR 7.2.2).
var codes = map[telamon.RevocationReason]int64{
	telamon.ReasonKeyCompromise: 1, telamon.ReasonAffiliationChanged: 3, telamon.ReasonSuperseded: 4,
	telamon.ReasonCessationOfOperation: 5, telamon.ReasonPrivilegeWithdrawn: 9,
}

// reasonOf returns the reason of a code, false if it is none that the platform uses.
func reasonOf(code int) (telamon.RevocationReason, bool) {
	for reason, c := range codes {
		if c == int64(code) {
			return reason, true
		}
	}
	return telamon.ReasonUnspecified, code == 0
}

// The object identifiers of extensions (RFC 5280, Section 5.2 and 5.3).
var (
	oidAuthorityKeyID    = []int{2, 5, 29, 35}
	oidCRLNumber         = []int{2, 5, 29, 20}
	oidDeltaIndicator    = []int{2, 5, 29, 27}
	oidDistributionPoint = []int{2, 5, 29, 28}
	oidFreshestCRL       = []int{2, 5, 29, 46}
	oidReasonCode        = []int{2, 5, 29, 21}
	oidInvalidityDate    = []int{2, 5, 29, 24}
)

// addExtension adds an Extension; critical FALSE is left out, as DER has it of a
// DEFAULT.
func addExtension(b *cryptobyte.Builder, oid []int, critical bool, value cryptobyte.BuilderContinuation) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1(asn1.OCTET_STRING, value)
	})
}

// firstGeneralized is the first year of which a time is a GeneralizedTime (RFC 5280,
// Section 5.1.2.4).
const firstGeneralized = 2050

func addTime(b *cryptobyte.Builder, t time.Time) {
	if t = t.UTC(); t.Year() < firstGeneralized {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// entryEncoder encodes entries. What many of them share is encoded once.
type entryEncoder struct {
	serial     big.Int
	buffer     [256]byte
	at         time.Time                           // of atDER
	atDER      []byte                              // of the last time
	extensions map[telamon.RevocationReason][]byte // DER of those of entries with a reason alone
}

// encode returns the DER of an entry, which the next call overwrites.
func (c *entryEncoder) encode(e *Entry) ([]byte, error) {
	extensions, err := c.extensionsOf(e)
	if err != nil {
		return nil, err
	}
	if !e.RevokedAt.Equal(c.at) || c.atDER == nil {
		var b cryptobyte.Builder
		addTime(&b, e.RevokedAt)
		if c.atDER, err = b.Bytes(); err != nil {
			return nil, fmt.Errorf("encode the time of entry %s: %w", e.Serial, err)
		}
		c.at = e.RevokedAt
	}
	c.serial.SetBytes(e.Serial[:])
	if c.serial.Sign() == 0 {
		return nil, errors.New("an entry has no serial number")
	}
	b := cryptobyte.NewFixedBuilder(c.buffer[:0])
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(&c.serial)
		b.AddBytes(c.atDER)
		b.AddBytes(extensions)
	})
	return b.Bytes()
}

// extensionsOf returns the DER of an entry's extensions, nothing if it has none.
func (c *entryEncoder) extensionsOf(e *Entry) ([]byte, error) {
	if known, ok := c.extensions[e.Reason]; ok && e.InvalidAt.IsZero() {
		return known, nil
	}
	code, coded := codes[e.Reason]
	if !coded && e.Reason != telamon.ReasonUnspecified {
		return nil, fmt.Errorf("entry %s has the unknown reason %q", e.Serial, e.Reason)
	}
	if !coded && e.InvalidAt.IsZero() {
		return nil, nil
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if coded {
			addExtension(b, oidReasonCode, false, func(b *cryptobyte.Builder) { b.AddASN1Enum(code) })
		}
		if !e.InvalidAt.IsZero() {
			addExtension(b, oidInvalidityDate, false, func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(e.InvalidAt.UTC()) })
		}
	})
	der, err := b.Bytes()
	if err == nil && e.InvalidAt.IsZero() {
		if c.extensions == nil {
			c.extensions = map[telamon.RevocationReason][]byte{}
		}
		c.extensions[e.Reason] = der
	}
	return der, err
}
