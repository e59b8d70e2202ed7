package iam

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/telamon-ca/telamon"
)

const (
	// TokenLife is how long clients may use a token.
	TokenLife = 600 * time.Second
	// TokenGrace is for how much longer a token is accepted: some clients use theirs
	// to the last second and cannot recover from a refusal.
	TokenGrace = telamon.TokenReach - TokenLife
	// tokenSkew is how far another replica's clock may be ahead of ours.
	tokenSkew = telamon.ClockSkew
)

// The layout of a token before its base64url: the version, when it was made in
// Unix milliseconds, the credential, the issuer, the credential's epoch, the client
// certificate, random octets, and the MAC over all of it.
const (
	tokenVersion   = 1
	tokenBody      = 1 + 8 + 16 + 16 + 8 + 16 + 8
	tokenMAC       = 32
	tokenTextBytes = ((tokenBody+tokenMAC)*8 + 5) / 6
)

// claims is what a token says.
type claims struct {
	at         time.Time // whole milliseconds
	credential telamon.CredentialID
	issuer     telamon.IssuerID // that signs for this token
	epoch      int64
	cert       [16]byte // of the SHA-256 of the client certificate; zero without one
}

var (
	errTokenShape   = errors.New("not a token of ours")
	errTokenForged  = errors.New("the token's MAC does not verify")
	tokenTextFormat = base64.RawURLEncoding.Strict()
)

// newToken returns a token that nobody can make without the keystore. No two are
// the same.
func (s *IAM) newToken(c claims) (string, error) {
	credential, ok1 := c.credential.Bytes()
	issuer, ok2 := c.issuer.Bytes()
	if !ok1 || !ok2 {
		return "", errors.New("make a token: an ID is not of ours")
	}
	b := make([]byte, 0, tokenBody+tokenMAC)
	b = append(b, tokenVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(c.at.UnixMilli()))
	b = append(b, credential[:]...)
	b = append(b, issuer[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.epoch))
	b = append(b, c.cert[:]...)
	b = append(b, make([]byte, 8)...)
	rand.Read(b[tokenBody-8:]) // does not fail (crypto/rand)
	return tokenTextFormat.EncodeToString(append(b, s.tokenMAC(c.at, b)...)), nil
}

// tokenMAC is under the key of the day on which the token was made: since a token
// is not good for a day, the keys of two days are in use at most.
func (s *IAM) tokenMAC(at time.Time, body []byte) []byte {
	return s.keys.MAC("token", int(at.Unix()/(24*60*60)), body)
}

// parseToken returns what a token of ours says, whether it is still good or not.
func (s *IAM) parseToken(text string) (claims, error) {
	if len(text) != tokenTextBytes {
		return claims{}, errTokenShape
	}
	b, err := tokenTextFormat.DecodeString(text)
	if err != nil || len(b) != tokenBody+tokenMAC || b[0] != tokenVersion {
		return claims{}, errTokenShape
	}
	at := time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:]))).UTC()
	if subtle.ConstantTimeCompare(s.tokenMAC(at, b[:tokenBody]), b[tokenBody:]) != 1 {
		return claims{}, errTokenForged
	}
	return claims{
		at: at, credential: telamon.CredentialIDFromBytes([16]byte(b[9:])), issuer: telamon.IssuerIDFromBytes([16]byte(b[25:])),
		epoch: int64(binary.BigEndian.Uint64(b[41:])), cert: [16]byte(b[49:]),
	}, nil
}
