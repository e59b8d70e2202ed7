package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/witness"
)

// TestPutBack starts a server on a database that is older than the checkpoint that
// was kept elsewhere.
func TestPutBack(t *testing.T) {
	path, kept := filepath.Join(t.TempDir(), "telamon.db"), filepath.Join(t.TempDir(), "checkpoint")
	w := newWorld(t, "sqlite:"+path)
	w.cfg.Audit.CheckpointFile = kept
	w.install()
	serve := func(object string) []byte {
		t.Helper()
		w.start()
		err := w.app.Store.RecordEvent(t.Context(), telamon.Event{Actor: app.System, Action: "identity.read", Object: object, Result: "ok"})
		if err := errors.Join(err, w.stop(), w.app.Close()); err != nil {
			t.Fatal(err)
		}
		database, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return database
	}
	old := serve("first")
	serve("second")
	text, err := os.ReadFile(kept)
	if err != nil || !strings.HasPrefix(string(text), "telamon-audit\n") {
		t.Fatalf("the last checkpoint was not kept: %q, %v", text, err)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	log, level, err := app.NewLog(w.cfg.Log, w.log)
	if err != nil {
		t.Fatal(err)
	}
	_, err = app.Open(t.Context(), w.cfg, w.clock, log, level)
	if !errors.Is(err, witness.ErrRolledBack) || !strings.Contains(err.Error(), "hint: ") {
		t.Errorf("a database that was put back opens with %v, want ErrRolledBack and a hint", err)
	}
	if after, err := os.ReadFile(kept); err != nil || string(after) != string(text) {
		t.Errorf("the kept checkpoint is now %q, %v", after, err)
	}
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	w.open()
}
