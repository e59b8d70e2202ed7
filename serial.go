package telamon

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"time"
)

// A Serial is a certificate serial number of the platform's one form, 16 octets:
// 01, three octets of hours since 1970, and twelve from the CSPRNG. It is
// positive, below 2^159 (RFC 5280, Section 4.1.2.2), sorts by time, and holds 96
// random bits where BR 7.1 asks for 64.
type Serial [16]byte

// ErrSerialLength is returned by ParseSerial for input that cannot be a serial
// number: empty, not hexadecimal, or of more than 40 digits.
var ErrSerialLength = errors.New("invalid serial number length")

// NewSerial returns a new serial number of the hour of now.
func NewSerial(now time.Time) Serial {
	s := FirstSerial(now)
	rand.Read(s[4:]) // does not fail (crypto/rand)
	return s
}

// ParseSerial reads 1 to 40 hexadecimal digits of any case as a number. A number
// that is not of the platform's form is read without error into its low 16
// octets with ok false: it is a serial number, but none of ours.
func ParseSerial(text string) (s Serial, ok bool, err error) {
	if len(text) == 0 || len(text) > 40 {
		return s, false, ErrSerialLength
	}
	if len(text)%2 == 1 {
		text = "0" + text
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return s, false, ErrSerialLength
	}
	for len(b) > len(s) {
		if b[0] != 0 {
			return s, false, nil
		}
		b = b[1:]
	}
	copy(s[len(s)-len(b):], b)
	return s, s[0] == 0x01, nil
}

// Hour returns the beginning of the hour in which the serial number was made.
func (s Serial) Hour() time.Time {
	return time.Unix(3600*int64(binary.BigEndian.Uint32(s[:4])&0xffffff), 0).UTC()
}

// Shard returns which of an issuer's CRL shards a new certificate belongs to: certificates
// are spread evenly by random octets of the serial number. An issuer's number of shards
// never changes.
func (s Serial) Shard(shards int) int {
	return int(binary.BigEndian.Uint64(s[8:]) % uint64(max(shards, 1)))
}

// FirstSerial returns the number before every serial number of the hour of at, and
// after those of earlier hours. A time before 1970 is that year's first hour.
func FirstSerial(at time.Time) Serial {
	var s Serial
	binary.BigEndian.PutUint32(s[:4], uint32(max(at.Unix(), 0)/3600)&0xffffff)
	s[0] = 0x01
	return s
}

// String returns the 32 upper-case hexadecimal digits.
func (s Serial) String() string { return strings.ToUpper(hex.EncodeToString(s[:])) }

// Int returns the serial number as an integer that the caller owns.
func (s Serial) Int() *big.Int { return new(big.Int).SetBytes(s[:]) }

// SerialFromInt returns n as a Serial, and false if it is not of the platform's form.
func SerialFromInt(n *big.Int) (Serial, bool) {
	var s Serial
	if n.Sign() <= 0 || n.BitLen() > 8*len(s) {
		return s, false
	}
	n.FillBytes(s[:])
	return s, s[0] == 0x01
}
