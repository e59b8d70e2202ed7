package keystore

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
)

// record returns a record of the nth second.
func record(n int) Record {
	at := time.Date(2026, 11, 22, 10, 0, n, 0, time.UTC)
	return Record{At: at, Serial: telamon.NewSerial(at), Hash: [32]byte{byte(n)}}
}

// TestJournalTorn checks that a write which a full disk cut short spoils neither
// the records after it nor the next opening.
func TestJournalTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.journal")
	j, err := openJournal(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	first, lost, second := record(1), record(2), record(3)
	if err := j.append(first); err != nil {
		t.Fatal(err)
	}
	writable := j.file
	if j.file, err = os.Open(path); err != nil { // cannot be written to
		t.Fatal(err)
	}
	if err := j.append(lost); err == nil {
		t.Fatal("a record that could not be written is reported as written")
	}
	j.file.Close()
	j.file = writable
	if _, err := j.file.Write(lost.Marshal()[:7]); err != nil { // what the disk had room for
		t.Fatal(err)
	}
	if err := j.append(second); err != nil {
		t.Fatalf("a record after a torn one: %v", err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}

	if j, err = openJournal(path, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("open the journal again: %v", err)
	}
	defer j.close()
	if j.lastTime() != second.At.UnixMilli() {
		t.Errorf("the last record is of %d, want %d", j.lastTime(), second.At.UnixMilli())
	}
	holds(t, path, slices.Concat(first.Marshal(), second.Marshal()))
}

// TestJournalPowerFailure opens journals whose ends a power failure has damaged:
// what is whole stays, and what comes next stands right behind it.
func TestJournalPowerFailure(t *testing.T) {
	first, second := record(1), record(2)
	noise := bytes.Repeat([]byte{0xa5}, RecordSize)
	tests := []struct {
		name string
		end  []byte
		ok   bool
	}{
		{"nothing", nil, true},
		{"a part of a record", second.Marshal()[:59], true},
		{"zeros in the place of a record", make([]byte, RecordSize), true},
		{"zeros and a part", make([]byte, 3*RecordSize+7), true},
		{"many zeros", make([]byte, 1<<20), true},
		{"records of noise", bytes.Repeat(noise, 10), true},
		{"more noise than a power failure leaves", bytes.Repeat(noise, maxDamage/RecordSize+1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ca.journal")
			was := append(first.Marshal(), tt.end...)
			if err := os.WriteFile(path, was, 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			j, err := openJournal(path, slog.New(slog.NewTextHandler(&log, nil)))
			if !tt.ok {
				if text, readErr := os.ReadFile(path); err == nil || !bytes.Equal(text, was) {
					t.Errorf("it opens or was changed: %v, %v", err, readErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer j.close()
			if j.lastTime() != first.At.UnixMilli() {
				t.Errorf("the last record is of %d, want %d", j.lastTime(), first.At.UnixMilli())
			}
			if logged := log.Len() > 0; logged != (len(tt.end) > 0) {
				t.Errorf("%d octets were cut off, and the log says %q", len(tt.end), &log)
			}
			if err := j.append(second); err != nil {
				t.Fatal(err)
			}
			holds(t, path, slices.Concat(first.Marshal(), second.Marshal()))
		})
	}
}

// TestJournalShared has two processes write to one journal, in which each leaves a torn
// record: neither spoils what the other writes, nor keeps it from writing.
func TestJournalShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.journal")
	one, other := openTest(t, path), openTest(t, path)
	var want []byte
	for n := range 6 {
		writes, tears := one, other
		if n%2 == 1 {
			writes, tears = other, one
		}
		lost, next := record(50), record(n)
		if _, err := tears.file.Write(lost.Marshal()[:7+n]); err != nil { // what the disk had room for
			t.Fatal(err)
		}
		if err := writes.append(next); err != nil {
			t.Fatalf("record %d: %v", n, err)
		}
		want = append(want, next.Marshal()...)
	}
	holds(t, path, want)
}

// TestJournalWaits holds that a process which opens or appends waits for a record that
// another is just writing, and does not take it for a torn one.
func TestJournalWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.journal")
	one, other := openTest(t, path), openTest(t, path)
	first, second := record(1), record(2)
	appended := make(chan error, 1)
	err := one.locked(func() error {
		half := len(first.Marshal()) / 2
		if _, err := one.file.Write(first.Marshal()[:half]); err != nil {
			return err
		}
		go func() { appended <- other.append(second) }()
		if err := lock(other.file, syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			t.Errorf("the lock of a journal that is being written to: %v, want EWOULDBLOCK", err)
		}
		_, err := one.file.Write(first.Marshal()[half:])
		return err
	})
	if err := errors.Join(err, <-appended); err != nil {
		t.Fatal(err)
	}
	holds(t, path, slices.Concat(first.Marshal(), second.Marshal()))
}

// TestJournalDisplaced opens a journal whose records are out of their places behind torn
// ones: all that are whole stay.
func TestJournalDisplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.journal")
	records := make([][]byte, 40)
	for n := range records {
		r := record(n)
		records[n] = r.Marshal()
	}
	torn := record(50)
	was := slices.Concat(slices.Concat(records[:3]...), torn.Marshal()[:7], slices.Concat(records[3:20]...),
		torn.Marshal()[:59], slices.Concat(records[20:]...), torn.Marshal()[:1])
	if err := os.WriteFile(path, was, 0o600); err != nil {
		t.Fatal(err)
	}
	j := openTest(t, path)
	holds(t, path, slices.Concat(records...))
	last, next := record(39), record(41)
	if j.lastTime() != last.At.UnixMilli() {
		t.Errorf("the last record is of %d, want %d", j.lastTime(), last.At.UnixMilli())
	}
	if err := j.append(next); err != nil {
		t.Fatal(err)
	}
	holds(t, path, slices.Concat(slices.Concat(records...), next.Marshal()))
}

func openTest(t *testing.T, path string) *journal {
	t.Helper()
	j, err := openJournal(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.close() })
	return j
}

func holds(t *testing.T, path string, want []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(text, want) {
		t.Errorf("the journal has %d octets, want %d of whole records", len(text), len(want))
	}
}
