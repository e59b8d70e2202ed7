// Package password makes and checks the hashes of passwords that people choose:
// argon2id (RFC 9106) in its PHC string format. It bounds what hashing costs the server,
// and keeps nothing.
//
// It trusts no hash that it reads: what is not written as it writes them, or would cost
// too much, is an error.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"
)

// Passwords have at least MinLength characters and at most MaxLength octets.
const (
	MinLength = 12
	MaxLength = 1024
)

// Problem returns what is wrong with a new password, such as "has fewer than 12
// characters", or "".
func Problem(password string) string {
	switch {
	case !utf8.ValidString(password):
		return "is not valid UTF-8"
	case utf8.RuneCountInString(password) < MinLength:
		return fmt.Sprintf("has fewer than %d characters", MinLength)
	case len(password) > MaxLength:
		return fmt.Sprintf("has more than %d octets", MaxLength)
	}
	return ""
}

// A Cost is what an argon2id hash takes (RFC 9106).
type Cost struct {
	Memory  uint32 // KiB
	Passes  uint32
	Threads uint8
}

// DefaultCost is what new hashes take: 19 MiB and two passes, the least that the OWASP
// Password Storage Cheat Sheet recommends.
var DefaultCost = Cost{Memory: 19 << 10, Passes: 2, Threads: 1}

// maxCost bounds what a stored hash can make the server spend.
var maxCost = Cost{Memory: 1 << 20, Passes: 16, Threads: 16}

const (
	saltLength = 16
	hashLength = 32
)

var errHash = errors.New("not an argon2id hash")

// phc is an argon2id hash with its cost and salt.
type phc struct {
	Cost
	salt, hash []byte
}

// String returns the hash in the PHC string format.
func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Passes, h.Threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.hash))
}

// parsePHC reads what String wrote, and nothing else.
func parsePHC(text string) (phc, error) {
	var h phc
	parts := strings.Split(text, "$")
	if len(parts) != 6 {
		return h, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.Memory, &h.Passes, &h.Threads); err != nil {
		return h, errHash
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.hash) < 16 || len(h.hash) > 64 || h.String() != text {
		return h, errHash
	}
	if h.Memory > maxCost.Memory || h.Passes > maxCost.Passes || h.Threads > maxCost.Threads || h.Passes == 0 || h.Threads == 0 {
		return h, errHash
	}
	return h, nil
}

// A Hasher computes as many hashes at a time as there are processors, which bounds their
// memory; others wait for their turn. It is safe for concurrent use.
type Hasher struct {
	turns *semaphore.Weighted
	cost  Cost // of new hashes
}

// NewHasher returns a Hasher whose new hashes take DefaultCost. A process needs one.
func NewHasher() *Hasher { return NewHasherOf(DefaultCost) }

// NewHasherOf returns a Hasher whose new hashes take another cost. Less than DefaultCost is
// for tests alone.
func NewHasherOf(cost Cost) *Hasher {
	return &Hasher{turns: semaphore.NewWeighted(int64(runtime.NumCPU())), cost: cost}
}

// Hash returns the hash of a password, with a salt of its own. It fails only if ctx ends.
func (s *Hasher) Hash(ctx context.Context, password string) (string, error) {
	h := phc{Cost: s.cost, salt: make([]byte, saltLength)}
	rand.Read(h.salt) // does not fail (crypto/rand)
	var err error
	if h.hash, err = s.argon(ctx, password, h.salt, h.Cost, hashLength); err != nil {
		return "", err
	}
	return h.String(), nil
}

func (s *Hasher) argon(ctx context.Context, password string, salt []byte, c Cost, length int) ([]byte, error) {
	if err := s.turns.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait for a password hash: %w", err)
	}
	defer s.turns.Release(1)
	return argon2.IDKey([]byte(password), salt, c.Passes, c.Memory, c.Threads, uint32(length)), nil
}

// Verify reports whether the password has this hash. It takes its time for an empty hash
// too, so that nobody learns from it whether there is one.
func (s *Hasher) Verify(ctx context.Context, hash, password string) (bool, error) {
	if len(password) > MaxLength {
		return false, nil
	}
	want := phc{Cost: s.cost, salt: make([]byte, saltLength), hash: make([]byte, hashLength)}
	if hash != "" {
		var err error
		if want, err = parsePHC(hash); err != nil {
			return false, err
		}
	}
	got, err := s.argon(ctx, password, want.salt, want.Cost, len(want.hash))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want.hash) == 1 && hash != "", nil
}
