package crl

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// A Request is what a ceremony carries to a root that is offline, for a CRL.
type Request struct {
	Version  int              `json:"version"` // requestVersion
	Issuer   telamon.IssuerID `json:"issuer"`
	KeyID    string           `json:"key_id"` // the issuer's subject key identifier, in hexadecimal
	Number   int64            `json:"number"`
	Lifetime int64            `json:"lifetime_seconds"` // from the signature to nextUpdate
	Entries  []RequestedEntry `json:"entries"`
}

// A RequestedEntry is one that the CRL must have.
type RequestedEntry struct {
	Serial    string                   `json:"serial"`
	RevokedAt time.Time                `json:"revoked_at"`
	Reason    telamon.RevocationReason `json:"reason"`
}

const requestVersion = 1

// Bounds of a request: a root signs few certificates, and its CRL lives for a year at
// most (BR 4.9.7).
const (
	maxRequestSize  = 8 << 20
	maxRequestLives = 365 * 24 * time.Hour
)

// Marshal returns the request as a file.
func (r *Request) Marshal() ([]byte, error) {
	r.Version = requestVersion
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// ParseRequest reads such a file strictly.
func ParseRequest(text []byte) (*Request, error) {
	if len(text) > maxRequestSize {
		return nil, errors.New("read the request: it is too long")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var r Request
	if err := decoder.Decode(&r); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read the request: there is more after the JSON value")
	}
	switch {
	case r.Version != requestVersion:
		return nil, fmt.Errorf("read the request: it is of version %d, not %d", r.Version, requestVersion)
	case r.Number < 1:
		return nil, errors.New("read the request: it has no number")
	case r.Lifetime < 1 || r.Lifetime > int64(maxRequestLives/time.Second):
		return nil, fmt.Errorf("read the request: the CRL would not live for 1 second to %s", maxRequestLives)
	}
	for i := range r.Entries {
		if _, err := r.Entries[i].entry(); err != nil {
			return nil, fmt.Errorf("read the request: entry %d: %w", i+1, err)
		}
	}
	return &r, nil
}

func (e *RequestedEntry) entry() (*Entry, error) {
	serial, ours, err := telamon.ParseSerial(e.Serial)
	if _, known := codes[e.Reason]; err != nil || !ours || !known && e.Reason != telamon.ReasonUnspecified || e.RevokedAt.IsZero() {
		return nil, errors.New("it has no serial number of ours, no reason or no time")
	}
	return &Entry{Serial: serial, RevokedAt: e.RevokedAt.UTC().Truncate(time.Second), Reason: e.Reason}, nil
}

// Sign returns the DER of the CRL that the request asks for, of now. The issuer must be
// the one that it names; sign is the keystore's SignCRL with the issuer's key.
func (r *Request) Sign(issuer *x509.Certificate, now time.Time, sign func(tbsCertList io.Reader) ([]byte, error)) ([]byte, error) {
	if hex.EncodeToString(issuer.SubjectKeyId) != r.KeyID {
		return nil, errors.New("the request is for another issuer")
	}
	algorithm, err := tbs.SignatureFor(issuer.PublicKey, "", "")
	if err != nil {
		return nil, err
	}
	thisUpdate := now.UTC().Truncate(time.Second)
	builder, err := NewBuilder(Template{
		Issuer: issuer, Signature: algorithm, Number: r.Number, ThisUpdate: thisUpdate,
		NextUpdate: thisUpdate.Add(time.Duration(r.Lifetime) * time.Second),
	}, "")
	if err != nil {
		return nil, err
	}
	defer builder.Close()
	for i := range r.Entries {
		e, err := r.Entries[i].entry()
		if err != nil {
			return nil, err
		}
		if err := builder.Add(e); err != nil {
			return nil, err
		}
	}
	draft, err := builder.Finish()
	if err != nil {
		return nil, err
	}
	body, _, err := draft.Sign(sign)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(body)
}
