package keystore

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestHealth takes the disk away from a journal and gives it back. The keystore says
// at once that it cannot sign, and finds out by itself that it can again.
func TestHealth(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ca.journal")
	j, err := openJournal(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	ks, k := &Keystore{dir: dir}, &key{journal: j}
	state := func(when string, failing, ready bool) {
		t.Helper()
		if err := ks.Failing(); (err != nil) != failing {
			t.Errorf("%s, Failing is %v", when, err)
		}
		if err := ks.Ready(); (err == nil) != ready {
			t.Errorf("%s, Ready is %v", when, err)
		}
	}
	state("at first", false, true)

	writable := j.file
	if j.file, err = os.Open(path); err != nil { // cannot be written to
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := ks.record(k, record(1)); err == nil {
		t.Fatal("a record that could not be written is reported as written")
	}
	state("after a record that was not written", true, false)
	if err := ks.Ready(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Ready reports %v, want what its own look found", err)
	}

	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	j.file.Close()
	j.file = writable
	state("when the disk is back", true, true)
	state("after the look", false, true)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the look left %d files, %v", len(entries), err)
	}
	if err := ks.record(k, record(2)); err != nil {
		t.Fatal(err)
	}
	state("after a record", false, true)
}

// TestHealthByRecord lets the next record show that the disk is back.
func TestHealthByRecord(t *testing.T) {
	j, err := openJournal(filepath.Join(t.TempDir(), "ca.journal"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	ks, k := &Keystore{dir: t.TempDir()}, &key{journal: j}
	ks.health.note(errRecord)
	if ks.Failing() == nil {
		t.Error("a failure was not noted")
	}
	if err := ks.record(k, record(1)); err != nil || ks.Failing() != nil {
		t.Errorf("a record is written (%v), and Failing is %v", err, ks.Failing())
	}
}
