// Package audit is the tamper-evident log of audit events: how an event is
// encoded, how events are ordered into a Merkle tree (RFC 6962, Section 2.1), how
// the tree is proved and signed, and how a log is verified. It also counts the
// refusals of strangers, so that they cannot fill the log.
//
// It is pure: package store keeps the rows, package keystore the key that signs
// checkpoints. It authenticates nobody, and it does not know what an action means.
//
// It trusts nothing that it verifies, but the verifier key of the checkpoints and
// the earlier checkpoints that it is given.
package audit

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
)

// saltLength is enough that the hash of an event tells nothing about it once its
// payload was erased.
const saltLength = 16

// MaxPayload is the greatest length of an encoded event in bytes.
const MaxPayload = 1 << 20

// A Payload is an event as it is kept: JSON with the members in this order.
type Payload struct {
	Salt       []byte               `json:"salt"`
	ID         telamon.EventID      `json:"id"`
	At         time.Time            `json:"at"` // UTC, whole milliseconds
	Actor      string               `json:"actor"`
	Kind       telamon.ActorKind    `json:"actor_kind"`
	ClientCert telamon.ClientCertID `json:"client_cert,omitempty"`
	Account    telamon.AccountID    `json:"account,omitempty"` // empty: the platform's own
	Address    netip.Addr           `json:"address,omitzero"`
	RequestID  string               `json:"request_id,omitempty"`
	Action     string               `json:"action"`
	Object     string               `json:"object,omitempty"`
	Result     string               `json:"result"`
	Before     json.RawMessage      `json:"before,omitempty"`
	After      json.RawMessage      `json:"after,omitempty"`
}

// Encode returns the bytes of an event that the log keeps, with a fresh salt:
// encoding an event twice gives different bytes. The caller owns them. Octets
// that are not UTF-8 become U+FFFD.
//
// It fails if the event has no ID, action or result, if Before or After cannot be
// JSON, or if the whole is longer than MaxPayload.
func Encode(e telamon.Event) ([]byte, error) {
	p := Payload{
		Salt: make([]byte, saltLength), ID: e.ID, At: e.At.UTC().Truncate(time.Millisecond),
		Actor: text(e.Actor.Subject()), Kind: e.Actor.Kind, ClientCert: e.Actor.ClientCert, Account: e.Account,
		Address: e.Actor.Address, RequestID: text(e.Actor.RequestID),
		Action: text(e.Action), Object: text(e.Object), Result: text(e.Result),
	}
	rand.Read(p.Salt) // does not fail (crypto/rand)
	if err := p.check(); err != nil {
		return nil, err
	}
	var err error
	if p.Before, err = rawOrNil(e.Before); err != nil {
		return nil, fmt.Errorf("encode the state before %s: %w", e.Action, err)
	}
	if p.After, err = rawOrNil(e.After); err != nil {
		return nil, fmt.Errorf("encode the state after %s: %w", e.Action, err)
	}
	payload, err := json.Marshal(&p)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Action, err)
	}
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("encode %s: %d bytes, more than %d", e.Action, len(payload), MaxPayload)
	}
	return payload, nil
}

// text makes s valid UTF-8, so that decoding gives what was encoded.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func rawOrNil(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

var errIncomplete = errors.New("an audit event needs an id, an action, a result, an actor and a salt")

func (p *Payload) check() error {
	if _, ok := p.ID.Bytes(); !ok || p.Action == "" || p.Result == "" || p.Kind == "" || len(p.Salt) != saltLength {
		return errIncomplete
	}
	return nil
}

// Decode reads an event that Encode wrote, and nothing else: bytes that Encode
// would have written otherwise (another order or spelling of members, white space,
// unknown or repeated members) are refused. The caller owns the result.
func Decode(payload []byte) (*Payload, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("decode audit event: %d bytes, more than %d", len(payload), MaxPayload)
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	var p Payload
	if err := decoder.Decode(&p); err != nil {
		return nil, fmt.Errorf("decode audit event: %w", err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("decode audit event: %w", err)
	}
	again, err := json.Marshal(&p)
	if err != nil {
		return nil, fmt.Errorf("decode audit event: %w", err)
	}
	if !bytes.Equal(again, payload) {
		return nil, errors.New("decode audit event: not in the form that the log writes")
	}
	return &p, nil
}

// LeafHash returns the hash of an event's bytes in the tree (RFC 6962, Section 2.1).
func LeafHash(payload []byte) tlog.Hash { return tlog.RecordHash(payload) }

// EventTime returns the time at which an event's ID was made, in milliseconds: the
// first 48 bits of a UUID of version 7 (RFC 9562, Section 5.7).
func EventTime(id [16]byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)).UTC()
}

// FirstID returns the smallest event ID of the millisecond of t, which is in 1970
// or later.
func FirstID(t time.Time) [16]byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(max(t.UnixMilli(), 0))<<16)
	return id
}
