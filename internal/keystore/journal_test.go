package keystore

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
)

// TestJournalTorn checks that a write which a full disk cut short spoils neither
// the records after it nor the next opening.
func TestJournalTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.journal")
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	record := func(n int) Record {
		at := at.Add(time.Duration(n) * time.Second)
		return Record{At: at, Serial: telamon.NewSerial(at), Hash: [32]byte{byte(n)}}
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
	if _, err := j.file.Write(lost.marshal()[:7]); err != nil { // what the disk had room for
		t.Fatal(err)
	}
	if err := j.append(second); err != nil {
		t.Fatalf("a record after a torn one: %v", err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}

	if j, err = openJournal(path); err != nil {
		t.Fatalf("open the journal again: %v", err)
	}
	defer j.close()
	if j.lastTime() != second.At.UnixMilli() {
		t.Errorf("the last record is of %d, want %d", j.lastTime(), second.At.UnixMilli())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := slices.Concat(first.marshal(), second.marshal()); !slices.Equal(text, want) {
		t.Errorf("the journal has %d octets, want the two records' %d", len(text), len(want))
	}
}
