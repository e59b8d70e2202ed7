package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
)

var (
	eventTable     = newTable("audit_event", "id, at, account_id, payload", "")
	eventOnceTable = newTable("audit_event", "id, at, account_id, payload", " ON CONFLICT (id) DO NOTHING")
)

// encodeEvent returns the bytes of an event that the audit log keeps.
func encodeEvent(e telamon.Event) ([]byte, error) {
	payload, err := audit.Encode(e)
	if err != nil {
		return nil, fmt.Errorf("encode audit event %s: %w", e.Action, err)
	}
	return payload, nil
}

// appendEvent appends the row of an event to args.
func appendEvent(args []any, e *telamon.Event, payload []byte) ([]any, error) {
	id, ok := e.ID.Bytes()
	if !ok {
		return nil, errors.New("an audit event has no id")
	}
	return append(args, id[:], e.At.UnixMilli(), e.Account.String(), payload), nil
}

// audit writes an event in the transaction. It gives the event its ID and, if it
// has none, the transaction's time.
func (t *txn) audit(ctx context.Context, e telamon.Event) error {
	e.ID = telamon.NewEventID()
	return t.record(ctx, eventTable, e)
}

// record writes an event that has an ID, and what its account is shown of it. If it has
// no time it is given the transaction's.
func (t *txn) record(ctx context.Context, into *table, e telamon.Event) error {
	if e.At.IsZero() {
		e.At = t.now
	}
	payload, err := encodeEvent(e)
	if err != nil {
		return err
	}
	row, err := appendEvent(nil, &e, payload)
	if err != nil {
		return err
	}
	t.objects = append(t.objects, e.Action+" "+e.Object)
	if err := t.insert(ctx, into, row); err != nil {
		return err
	}
	shown := activityTable
	if into == eventOnceTable {
		shown = activityOnceTable
	}
	return t.activity(ctx, shown, e)
}
