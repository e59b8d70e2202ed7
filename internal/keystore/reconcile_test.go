package keystore_test

import (
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
)

// ledger yields the entries, and then the error if there is one.
func ledger(err error, entries ...telamon.SignedTBS) iter.Seq2[telamon.SignedTBS, error] {
	return func(yield func(telamon.SignedTBS, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(telamon.SignedTBS{}, err)
		}
	}
}

func TestReconcile(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	a, b, c := telamon.NewSerial(at), telamon.NewSerial(at), telamon.NewSerial(at)
	record := func(serial telamon.Serial, hash byte) keystore.Record {
		return keystore.Record{At: at, Serial: serial, Hash: [32]byte{hash}}
	}
	entry := func(serial telamon.Serial, hash byte) telamon.SignedTBS {
		return telamon.SignedTBS{Serial: serial, Hash: [32]byte{hash}}
	}
	type serials = []telamon.Serial
	tests := []struct {
		name                               string
		records                            []keystore.Record
		ledger                             []telamon.SignedTBS
		unledgered, unjournaled, different serials
	}{
		{"nothing", nil, nil, nil, nil, nil},
		{"both agree", []keystore.Record{record(a, 1), record(b, 2)}, []telamon.SignedTBS{entry(b, 2), entry(a, 1)}, nil, nil, nil},
		{"a CRL", []keystore.Record{{At: at, Hash: [32]byte{9}}}, nil, nil, nil, nil},
		{"a request that failed", []keystore.Record{record(a, 1), record(b, 2)}, []telamon.SignedTBS{entry(b, 2)}, serials{a}, nil, nil},
		{"the oldest first", []keystore.Record{record(a, 1), {At: at.Add(-time.Minute), Serial: b}}, nil, serials{b, a}, nil, nil},
		{"signed past the journal", []keystore.Record{record(a, 1)}, []telamon.SignedTBS{entry(a, 1), entry(c, 3)}, nil, serials{c}, nil},
		{"other bytes", []keystore.Record{record(a, 1)}, []telamon.SignedTBS{entry(a, 2)}, nil, nil, serials{a}},
		{"a precertificate and its certificate", []keystore.Record{record(a, 1), record(a, 2)}, []telamon.SignedTBS{entry(a, 2)}, nil, nil, nil},
		{"asked for again, and failed", []keystore.Record{record(a, 1), record(a, 1)}, nil, serials{a}, nil, nil},
	}
	for _, tt := range tests {
		got, err := keystore.Reconcile(tt.records, ledger(nil, tt.ledger...))
		if err != nil || got.Compared != len(tt.ledger) || !slices.Equal(got.Unledgered, tt.unledgered) ||
			!slices.Equal(got.Unjournaled, tt.unjournaled) || !slices.Equal(got.Different, tt.different) {
			t.Errorf("%s: %+v, %v, want %v, %v, %v", tt.name, got, err, tt.unledgered, tt.unjournaled, tt.different)
		}
	}
	cause := errors.New("the database is gone")
	if got, err := keystore.Reconcile(nil, ledger(cause)); got != nil || !errors.Is(err, cause) {
		t.Errorf("a ledger that cannot be read gives %+v, %v", got, err)
	}
	if from := keystore.CompareFrom([]keystore.Record{record(a, 1), record(b, 2)}); !from.Equal(at.Add(30 * time.Minute)) {
		t.Errorf("records that begin at %s are compared from %s", at, from)
	}
}
