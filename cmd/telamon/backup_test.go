package main_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// TestBackupUnderLoad makes a backup while clients have certificates issued, loses
// everything, and restores it: what was answered before the backup began is there, and
// all of it agrees.
func TestBackupUnderLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	csr := newCSR(t)
	server := startDev(t, dir, "")
	config := server.description.ConfigFile
	stop, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var mu sync.Mutex
	var issued []string // guarded by mu
	enough := make(chan struct{})
	for range 3 {
		c := server.client()
		clients.Go(func() {
			for n := 0; n < 10_000 && stop.Err() == nil; n++ {
				status, location, body := c.do(http.MethodPost, "/certificates", map[string]any{
					"subject_dn": map[string]any{"common_name": "testsubject"}, "public_key": csr,
				})
				if status != http.StatusCreated {
					t.Errorf("POST /certificates during a backup: %d, %s", status, body)
					return
				}
				mu.Lock()
				if issued = append(issued, filepath.Base(location)); len(issued) == 30 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	mu.Lock()
	before := len(issued)
	mu.Unlock()
	archive := filepath.Join(filepath.Dir(dir), "backup.tar.gz")
	out, err := exec.Command("telamon", "backup", "-config", config, "-out", archive).CombinedOutput()
	cancel()
	clients.Wait()
	if err != nil {
		t.Fatalf("backup: %v\n%s", err, out)
	}
	server.end(syscall.SIGTERM)
	cfg, err := app.LoadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	path := cfg.Database[len("sqlite:"):]
	for _, name := range []string{path, path + "-wal", path + "-shm", cfg.Keys.Dir} {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	out, err = exec.Command("telamon", "restore", "-config", config, archive, "-crl", "none", "-accept-loss", "-yes").CombinedOutput()
	if err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	server = startDev(t, dir, "")
	c := server.client()
	for _, serial := range issued[:before] {
		if status, _, body := c.do(http.MethodGet, "/certificates/"+serial, nil); status != http.StatusOK {
			t.Errorf("%s was answered before the backup, and is answered with %d after the restore: %s", serial, status, body)
		}
	}
	server.end(syscall.SIGTERM)
	if out, err := exec.Command("telamon", "audit", "verify", "-config", config).CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	db, err := app.OpenDatabase(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	invariant.Check(t, db)
}
