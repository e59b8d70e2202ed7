package iam

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Passwords have at least minPassword characters and at most maxPassword octets.
const (
	minPassword = 12
	maxPassword = 1024
)

// password checks a new password.
func (p *problems) password(password string) {
	switch {
	case !utf8.ValidString(password):
		p.Add("password", "is not valid UTF-8")
	case utf8.RuneCountInString(password) < minPassword:
		p.Add("password", fmt.Sprintf("has fewer than %d characters", minPassword))
	case len(password) > maxPassword:
		p.Add("password", fmt.Sprintf("has more than %d octets", maxPassword))
	}
}

// argonCost is the cost of an argon2id hash (RFC 9106).
type argonCost struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

// cost is what new hashes take: 19 MiB and two passes, the least that the OWASP
// Password Storage Cheat Sheet recommends.
var cost = argonCost{memory: 19 << 10, time: 2, threads: 1}

// maxCost bounds what a stored hash can make the server spend.
var maxCost = argonCost{memory: 1 << 20, time: 16, threads: 16}

const (
	saltLength = 16
	hashLength = 32
)

var errHash = errors.New("not an argon2id hash")

// phc is an argon2id hash with its cost and salt.
type phc struct {
	argonCost
	salt, hash []byte
}

// String returns the hash in the PHC string format.
func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.hash))
}

// parsePHC reads what String wrote, and nothing else.
func parsePHC(text string) (phc, error) {
	var h phc
	parts := strings.Split(text, "$")
	if len(parts) != 6 {
		return h, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return h, errHash
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.hash) < 16 || len(h.hash) > 64 || h.String() != text {
		return h, errHash
	}
	if h.memory > maxCost.memory || h.time > maxCost.time || h.threads > maxCost.threads || h.time == 0 || h.threads == 0 {
		return h, errHash
	}
	return h, nil
}

// hashPassword waits for its turn: as many hashes as there are processors are
// computed at a time.
func (s *IAM) hashPassword(ctx context.Context, password string) (string, error) {
	h := phc{argonCost: cost, salt: make([]byte, saltLength)}
	rand.Read(h.salt) // does not fail (crypto/rand)
	var err error
	if h.hash, err = s.argon(ctx, password, h.salt, cost, hashLength); err != nil {
		return "", err
	}
	return h.String(), nil
}

func (s *IAM) argon(ctx context.Context, password string, salt []byte, c argonCost, length int) ([]byte, error) {
	if err := s.hashing.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait for a password hash: %w", err)
	}
	defer s.hashing.Release(1)
	return argon2.IDKey([]byte(password), salt, c.time, c.memory, c.threads, uint32(length)), nil
}

// verifyPassword reports whether password has this hash. It takes its time for an
// empty hash too, so that nobody learns from it whether there is one.
func (s *IAM) verifyPassword(ctx context.Context, hash, password string) (bool, error) {
	if len(password) > maxPassword {
		return false, nil
	}
	want := phc{argonCost: cost, salt: make([]byte, saltLength), hash: make([]byte, hashLength)}
	if hash != "" {
		var err error
		if want, err = parsePHC(hash); err != nil {
			return false, err
		}
	}
	got, err := s.argon(ctx, password, want.salt, want.argonCost, len(want.hash))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want.hash) == 1 && hash != "", nil
}
