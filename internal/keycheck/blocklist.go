package keycheck

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync/atomic"
)

// The kinds of entries of a block list: what of a key is hashed, and how.
const (
	// KindSPKI is the SHA-256 of the key's SubjectPublicKeyInfo in DER.
	KindSPKI = "spki-sha256"
	// KindNumber is the SHA-256 of the modulus of an RSA key, or of the X coordinate of
	// an ECDSA key, as an unsigned number without leading zeros.
	KindNumber = "number-sha256"
	// KindOpenSSL is the last ten octets of the SHA-1 of what "openssl rsa -modulus"
	// prints, which lists of Debian weak keys use.
	KindOpenSSL = "openssl-sha1"
)

// hashLimits are the least and the greatest number of octets of an entry's hash.
var hashLimits = map[string][2]int{KindSPKI: {15, 32}, KindNumber: {15, 32}, KindOpenSSL: {10, 10}}

// blocklistHead is the first line of a block list; its number is the format's.
const blocklistHead = "telamon-blocklist 1"

// prefixLen is how many octets of a hash are kept: 120 bits meet no other key by
// chance.
const prefixLen = 15

// An entry is the beginning of a key's hash and the number of the reason why the key is
// blocked.
type entry struct {
	prefix [prefixLen]byte
	reason uint8
}

// A Blocklist holds keys that must not be certified: 16 octets of memory for each. It
// is not changed after it was read.
type Blocklist struct {
	reasons []string
	entries map[string][]entry // by kind, sorted by prefix
}

// maxReasons is how many reasons a block list can have.
const maxReasons = 255

// ParseBlocklist reads a block list: its head, then lines "reason: WHY", in words that
// finish the sentence "the key is weak: …", and entries "KIND HEX" that are blocked for
// the reason above them. Empty lines and those that begin with # are left out. An error
// names the line.
func ParseBlocklist(r io.Reader) (*Blocklist, error) {
	b := &Blocklist{entries: map[string][]entry{}}
	lines := bufio.NewScanner(r)
	n, begun := 0, false
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var err error
		if !begun {
			if begun = true; line != blocklistHead {
				err = fmt.Errorf("the first line is not %q", blocklistHead)
			}
		} else if line != blocklistHead { // lists can be put together
			err = b.add(line)
		}
		if err != nil {
			return nil, fmt.Errorf("block list, line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("block list, line %d: %w", n+1, err)
	}
	if !begun {
		return nil, errors.New("block list: it is empty")
	}
	for kind := range b.entries {
		slices.SortFunc(b.entries[kind], func(x, y entry) int { return bytes.Compare(x.prefix[:], y.prefix[:]) })
	}
	return b, nil
}

func (b *Blocklist) add(line string) error {
	if reason, ok := strings.CutPrefix(line, "reason:"); ok {
		return b.addReason(strings.TrimSpace(reason))
	}
	kind, text, _ := strings.Cut(line, " ")
	limits, ok := hashLimits[kind]
	if !ok {
		return fmt.Errorf("%q is neither \"reason:\" nor a kind of entry", kind)
	}
	hash, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(hash) < limits[0] || len(hash) > limits[1] {
		return fmt.Errorf("%s wants %d to %d octets in hexadecimal", kind, limits[0], limits[1])
	}
	if len(b.reasons) == 0 {
		return errors.New("the entry has no \"reason:\" above it")
	}
	e := entry{reason: uint8(len(b.reasons) - 1)}
	copy(e.prefix[:], hash)
	b.entries[kind] = append(b.entries[kind], e)
	return nil
}

func (b *Blocklist) addReason(reason string) error {
	switch {
	case reason == "" || len(reason) > 200:
		return errors.New("a reason has 1 to 200 octets")
	case strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' || r == 0x7f || r == '�' }):
		return errors.New("the reason holds characters that cannot be printed")
	case len(b.reasons) == maxReasons:
		return fmt.Errorf("there are more than %d reasons", maxReasons)
	}
	b.reasons = append(b.reasons, reason)
	return nil
}

// Len returns how many entries the list has.
func (b *Blocklist) Len() int {
	n := 0
	for _, entries := range b.entries {
		n += len(entries)
	}
	return n
}

// Reason returns why the key is on the list, or "". A nil list is empty. spkiHash is
// the SHA-256 of the key's SubjectPublicKeyInfo.
func (b *Blocklist) Reason(key crypto.PublicKey, spkiHash [32]byte) string {
	if b == nil || len(b.entries) == 0 {
		return ""
	}
	if reason := b.find(KindSPKI, spkiHash[:]); reason != "" {
		return reason
	}
	switch public := key.(type) {
	case *rsa.PublicKey:
		if reason := b.findNumber(public.N.Bytes()); reason != "" {
			return reason
		}
		if len(b.entries[KindOpenSSL]) > 0 {
			return b.find(KindOpenSSL, opensslHash(public.N))
		}
	case *ecdsa.PublicKey:
		if point, err := public.Bytes(); err == nil { // 4, X and Y, of one length
			return b.findNumber(bytes.TrimLeft(point[1:1+len(point)/2], "\x00"))
		}
	}
	return ""
}

func (b *Blocklist) findNumber(n []byte) string {
	if len(b.entries[KindNumber]) == 0 {
		return ""
	}
	hash := sha256.Sum256(n)
	return b.find(KindNumber, hash[:])
}

func (b *Blocklist) find(kind string, hash []byte) string {
	var wanted [prefixLen]byte
	copy(wanted[:], hash)
	entries := b.entries[kind]
	i, found := slices.BinarySearchFunc(entries, wanted, func(e entry, w [prefixLen]byte) int { return bytes.Compare(e.prefix[:], w[:]) })
	if !found {
		return ""
	}
	return b.reasons[entries[i].reason]
}

// opensslHash returns the hash of KindOpenSSL.
func opensslHash(modulus *big.Int) []byte {
	sum := sha1.Sum(fmt.Appendf(nil, "Modulus=%X\n", modulus))
	return sum[10:]
}

// A Checker refuses weak keys and those of the block list in force. Its zero value has
// no list. It is safe for concurrent use.
type Checker struct{ list atomic.Pointer[Blocklist] }

// Replace puts a list, which may be nil, in the place of the one in force.
func (c *Checker) Replace(list *Blocklist) { c.list.Store(list) }

// Weakness is [Weakness], and the reason of the block list if the key is on it.
// spkiHash is the SHA-256 of the key's SubjectPublicKeyInfo. A nil checker has no list.
func (c *Checker) Weakness(key crypto.PublicKey, spkiHash [32]byte) string {
	if weakness := Weakness(key); weakness != "" || c == nil {
		return weakness
	}
	return c.list.Load().Reason(key, spkiHash)
}
