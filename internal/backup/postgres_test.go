package backup_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the PostgreSQL driver

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/backup"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// cluster is a throw-away PostgreSQL server that archives its WAL.
type cluster struct {
	t        *testing.T
	dir, bin string
	asRoot   bool
}

// patience bounds each of PostgreSQL's tools.
const patience = time.Minute

func newCluster(t *testing.T) *cluster {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		testkit.Require(t, "PostgreSQL's own tools (apt install postgresql)")
	}
	slices.Sort(bins)
	dir, err := os.MkdirTemp("", "telamon-pitr-") // the path of a Unix socket must be short
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: dir, bin: bins[len(bins)-1], asRoot: os.Getuid() == 0}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if c.asRoot { // the server refuses to run as root
		c.run("chown", "postgres", dir)
	}
	c.tool("initdb", "-D", c.path("data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
	c.as("mkdir", c.path("wal"))
	c.as("sh", "-c", "cat >>"+c.path("data", "postgresql.auto.conf")+" <<.\n"+
		"listen_addresses = ''\nunix_socket_directories = '"+dir+"'\nfsync = off\n"+
		"archive_mode = on\narchive_command = 'cp %p "+c.path("wal")+"/%f'\n.")
	c.start()
	t.Cleanup(c.stop)
	return c
}

func (c *cluster) path(names ...string) string {
	return filepath.Join(append([]string{c.dir}, names...)...)
}

func (c *cluster) dsn() string { return "host=" + c.dir + " user=postgres dbname=postgres" }

// run runs a program and returns what it prints.
func (c *cluster) run(name string, args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// as runs a program as the user that runs the server.
func (c *cluster) as(args ...string) {
	c.t.Helper()
	if c.asRoot {
		args = append([]string{"runuser", "-u", "postgres", "--"}, args...)
	}
	c.run(args[0], args[1:]...)
}

func (c *cluster) tool(name string, args ...string) {
	c.t.Helper()
	c.as(append([]string{filepath.Join(c.bin, name)}, args...)...)
}

func (c *cluster) start() {
	c.t.Helper()
	c.tool("pg_ctl", "-D", c.path("data"), "-l", c.path("log"), "-w", "start")
}

func (c *cluster) stop() {
	c.t.Helper()
	c.tool("pg_ctl", "-D", c.path("data"), "-m", "fast", "-w", "stop")
}

// query returns the one text that a statement gives.
func (c *cluster) query(statement string) (text string) {
	c.t.Helper()
	db, err := sql.Open("pgx", c.dsn())
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(statement).Scan(&text); err != nil {
		c.t.Fatalf("%s: %v", statement, err)
	}
	return text
}

// awaitPromotion waits until the server has replayed what it should.
func (c *cluster) awaitPromotion() {
	c.t.Helper()
	ticker, deadline := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer ticker.Stop()
	for c.query("SELECT pg_is_in_recovery()::text") != "false" {
		select {
		case <-ticker.C:
		case <-deadline:
			c.t.Fatal("the server does not end its recovery")
		}
	}
}

// TestPostgresPointInTime goes back to a point in time with PostgreSQL's own tools, as
// docs/RECOVERY.md says: the database is admitted only when its loss is accepted.
func TestPostgresPointInTime(t *testing.T) {
	c := newCluster(t)
	w := newWorld(t)
	w.lose(true)
	w.cfg.Database = c.dsn()
	clock := telamon.SystemClock{}
	at := func() backup.Config {
		cfg := w.config()
		cfg.Clock = clock
		return cfg
	}
	if err := app.Init(t.Context(), w.cfg, app.InitOptions{}, clock, w.config().Log); err != nil {
		t.Fatal(err)
	}
	w.serveBy(clock, w.record("before the base backup"))
	c.tool("pg_basebackup", "-h", c.dir, "-U", "postgres", "-D", c.path("base"), "-c", "fast")
	keys := filepath.Join(w.dir, "keys.backup")
	if _, err := backup.Create(t.Context(), at(), keys); err != nil {
		t.Fatal(err)
	}
	w.serveBy(clock, w.record("kept"))
	target := c.query("SELECT clock_timestamp()::text")
	w.serveBy(clock, w.record("lost"))
	exported := w.exported()
	c.query("SELECT pg_switch_wal()::text")

	c.stop()
	c.as("mv", c.path("data"), c.path("damaged"))
	c.as("cp", "-a", c.path("base"), c.path("data"))
	c.as("sh", "-c", "cat >>"+c.path("data", "postgresql.auto.conf")+" <<.\n"+
		"restore_command = 'cp "+c.path("wal")+"/%f %p'\nrecovery_target_time = '"+target+"'\nrecovery_target_action = 'promote'\n.")
	c.as("touch", c.path("data", "recovery.signal"))
	c.start()
	c.awaitPromotion()

	o := backup.Options{Evidence: exported, Act: true, Actor: operator}
	if _, err := backup.Restore(t.Context(), at(), o); !errors.Is(err, backup.ErrLoss) {
		t.Errorf("the database of an earlier time: %v, want ErrLoss", err)
	}
	// The keystore is lost too.
	if err := os.RemoveAll(w.cfg.Keys.Dir); err != nil {
		t.Fatal(err)
	}
	o.Archive, o.AcceptLoss = keys, true
	if r, err := backup.Restore(t.Context(), at(), o); err != nil || !r.Done {
		t.Fatalf("restore: %v", err)
	}
	w.serveBy(clock, func(a *app.App) {
		page, err := a.Store.AuditEvents(t.Context(), store.AuditFilter{Action: "identity.read"})
		if err != nil {
			t.Fatal(err)
		}
		var objects []string
		for _, e := range page.Events {
			objects = append(objects, e.Object)
		}
		if got := strings.Join(objects, ", "); got != "before the base backup, kept" {
			t.Errorf("the restored audit log has %q, want all but what came after the point in time", got)
		}
	})
	w.mustHold()
}
