// Package audit is the tamper-evident log of audit events: how an event is
// encoded, how events are ordered into a Merkle tree, and how the tree is proved
// and verified. It is pure: package store keeps the rows and the tree's tiles, and
// nothing here authenticates anybody.
//
// It trusts nothing that it verifies but the checkpoints' verifier key.
package audit

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
)

// saltLength is enough that the hash of an event tells nothing about it once its
// payload was erased.
const saltLength = 16

// Payload is an event as it is kept: JSON with the members in this order.
type Payload struct {
	Salt      []byte            `json:"salt"`
	ID        telamon.EventID   `json:"id"`
	At        time.Time         `json:"at"`
	Actor     string            `json:"actor"`
	Kind      telamon.ActorKind `json:"actor_kind"`
	Account   telamon.AccountID `json:"account,omitempty"`
	Address   netip.Addr        `json:"address,omitzero"`
	RequestID string            `json:"request_id,omitempty"`
	Action    string            `json:"action"`
	Object    string            `json:"object,omitempty"`
	Result    string            `json:"result"`
	Before    json.RawMessage   `json:"before,omitempty"`
	After     json.RawMessage   `json:"after,omitempty"`
}

// Encode returns the bytes of an event that the log keeps, with a fresh salt:
// encoding an event twice gives different bytes. The caller owns them.
func Encode(e telamon.Event) ([]byte, error) {
	p := Payload{
		Salt: make([]byte, saltLength), ID: e.ID, At: e.At.UTC().Truncate(time.Millisecond), Actor: e.Actor.Subject(),
		Kind: e.Actor.Kind, Account: e.Account, Address: e.Actor.Address, RequestID: e.Actor.RequestID,
		Action: e.Action, Object: e.Object, Result: e.Result,
	}
	rand.Read(p.Salt) // does not fail (crypto/rand)
	var err error
	if p.Before, err = rawOrNil(e.Before); err != nil {
		return nil, fmt.Errorf("encode the state before %s: %w", e.Action, err)
	}
	if p.After, err = rawOrNil(e.After); err != nil {
		return nil, fmt.Errorf("encode the state after %s: %w", e.Action, err)
	}
	return json.Marshal(&p)
}

func rawOrNil(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

// Decode reads an event that Encode wrote. It refuses unknown members, a second
// value and an event without an ID, action or result.
func Decode(payload []byte) (*Payload, error) {
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	var p Payload
	if err := decoder.Decode(&p); err != nil {
		return nil, fmt.Errorf("decode audit event: %w", err)
	}
	if decoder.InputOffset() != int64(len(payload)) {
		return nil, fmt.Errorf("decode audit event: %d bytes after it", int64(len(payload))-decoder.InputOffset())
	}
	if _, ok := p.ID.Bytes(); !ok || p.Action == "" || p.Result == "" || len(p.Salt) != saltLength {
		return nil, fmt.Errorf("decode audit event: it has no id, action, result or salt")
	}
	return &p, nil
}

// LeafHash returns the hash of an event's bytes in the tree.
func LeafHash(payload []byte) tlog.Hash { return tlog.RecordHash(payload) }
