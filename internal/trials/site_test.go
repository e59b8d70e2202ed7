//go:build linux

package trials

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sys/unix"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/playground"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// A site is an installation and what its clients were told.
type site struct {
	t           *testing.T
	program     string
	dir, config string
	access      *access
	book        *book
	random      *rand.Rand
	tally       *tally
	party       relyingParty
	endings     []ending // of the trials so far
	checkpoints []string // of the audit log, in the order in which they were seen
}

// furnish has the program make a playground in a directory, with an account and a
// credential. A database of "" is SQLite's.
func furnish(t *testing.T, program, dir, database string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	args := []string{"dev", "-dir", dir, "-listen", "127.0.0.1:0", "-status-listen", "127.0.0.1:0"}
	if database != "" {
		args = append(args, "-database", database)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "ready: ") {
			ready = true
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !ready {
		t.Fatalf("make a playground: %v\n%s", err, &log)
	}
}

// template is a playground that every series of trials on a disk begins with.
var template struct {
	dir string
}

// newSite puts an installation into a directory.
func newSite(t *testing.T, program, dir string, random *rand.Rand, y *tally) *site {
	t.Helper()
	if err := run("cp", "-a", template.dir+"/.", dir); err != nil {
		t.Fatal(err)
	}
	return openSite(t, program, template.dir, dir, random, y)
}

// openSite returns the installation of a directory, whose files may name another one.
func openSite(t *testing.T, program, from, dir string, random *rand.Rand, y *tally) *site {
	t.Helper()
	s := &site{
		t: t, program: program, dir: dir, config: filepath.Join(dir, "telamon.yaml"), book: newBook(), random: random, tally: y,
	}
	for _, name := range []string{s.config, filepath.Join(dir, "dev.json")} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(text), from, dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.configure(map[string]any{"log": map[string]any{"level": "info", "format": "json"}})
	description, err := playground.ReadDescription(filepath.Join(dir, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	s.access = newAccess(t, description)
	unix.Sync() // what the trials begin with is older than they are
	return s
}

// lifeLimit is how much is acknowledged at most before a server is ended, so that what
// is compared in the end stays within bounds.
const lifeLimit = 150

// configure sets keys of the configuration.
func (s *site) configure(set map[string]any) {
	s.t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	var cfg map[string]any
	if err := yaml.Unmarshal(text, &cfg); err != nil {
		s.t.Fatal(err)
	}
	for key, value := range set {
		cfg[key] = value
	}
	if text, err = yaml.Marshal(cfg); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start starts the server and waits until it is ready.
func (s *site) start() *server {
	s.t.Helper()
	began := time.Now()
	srv, err := startServer(s.program, s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, ok := srv.awaitReady(true); !ok {
		srv.kill()
		s.t.Fatalf("the server is not ready\n%s", srv.log)
	}
	s.tally.took("from start to ready", time.Since(began))
	return srv
}

// load compares what the server says with the book, and then loads it.
func (s *site) load(srv *server) *load {
	s.t.Helper()
	c := s.compare(srv, false)
	s.book.open()
	return startLoad(s.t, srv, c, s.book, s.random, 1+s.random.Int64N(lifeLimit))
}

// red waits until the server says that it is not ready, and counts how long that took.
func (s *site) red(l *load) {
	s.t.Helper()
	took, err := l.awaitRed()
	if err != nil {
		s.t.Error(err)
	}
	s.tally.took("from the first failed write to /readyz 503", took)
}

// compare asks the server for every certificate about which something is new, or for
// all, and returns the client that asked.
func (s *site) compare(srv *server, all bool) *client {
	s.t.Helper()
	var c *client
	var err error
	ok := await(srv.done, func() bool { // as long as its database recovers
		c, err = s.access.login(srv)
		return err == nil
	})
	if !ok {
		s.t.Fatalf("%v\n%s", err, srv.log)
	}
	serials := make(chan string)
	var clients sync.WaitGroup
	for range workers {
		clients.Go(func() {
			for serial := range serials {
				if err := s.ask(c, serial); err != nil {
					s.tally.add("losses", 1)
					s.t.Error(err)
				}
			}
		})
	}
	for _, serial := range s.book.pending(all) {
		serials <- serial
	}
	close(serials)
	clients.Wait()
	s.watchCRL(srv, c)
	return c
}

// ask compares one certificate. An answer of 503 says nothing of it: it is asked again.
func (s *site) ask(c *client, serial string) error {
	var a *answer
	var err error
	await(nil, func() bool {
		if a, err = c.do(http.MethodGet, "/certificates/"+serial, nil); err != nil || a.status != http.StatusServiceUnavailable {
			return true
		}
		s.tally.add("readings answered with 503", 1)
		return false
	})
	if err != nil {
		return err
	}
	return s.book.compare(serial, a)
}

// api calls the admin API.
func (s *site) api(method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	return admin.NewClient(filepath.Join(s.dir, "admin.sock")).Do(ctx, method, path, body, answer)
}

// keepCheckpoint fetches the newest checkpoint of the audit log, which every later log
// must contain.
func (s *site) keepCheckpoint() {
	var kept struct {
		Checkpoint string `json:"checkpoint"`
	}
	if err := s.api(http.MethodGet, "/audit/checkpoint", nil, &kept); err != nil {
		s.t.Errorf("fetch a checkpoint: %v", err)
		return
	}
	if n := len(s.checkpoints); n == 0 || s.checkpoints[n-1] != kept.Checkpoint {
		s.checkpoints = append(s.checkpoints, kept.Checkpoint)
		s.tally.add("checkpoints trusted", 1)
	}
}

// finish looks at everything once more: through the API, with the audit log's own
// verification by every checkpoint that was seen, and in the database. If whole is
// set, it first lets the audit log catch up with all events.
func (s *site) finish(whole bool) {
	s.t.Helper()
	srv := s.start()
	c := s.compare(srv, true)
	s.checkCRL(srv, c, whole)
	c.close()
	if whole {
		s.catchUp(srv)
	}
	s.keepCheckpoint()
	srv.stop(s.t)
	s.verifyAudit()
	s.checkDatabase()
	certificates, revocations := s.book.counts()
	s.tally.add("acknowledged certificates, each found", certificates)
	s.tally.add("acknowledged revocations, each found", revocations)
}

// catchUp waits until every audit event has its place. A server that was killed holds
// the lease of the log for ten seconds more.
func (s *site) catchUp(srv *server) {
	s.t.Helper()
	var status admin.Status
	if !await(srv.done, func() bool {
		return s.api(http.MethodGet, "/status", nil, &status) == nil && status.Ready && status.AuditPending == 0
	}) {
		s.t.Errorf("%d audit events have no place in the log\n%s", status.AuditPending, srv.log)
	}
}

func (s *site) verifyAudit() {
	s.t.Helper()
	args := []string{"audit", "verify", "-config", s.config}
	for i, text := range s.checkpoints {
		path := filepath.Join(s.t.TempDir(), fmt.Sprintf("checkpoint-%d", i))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
		args = append(args, "-checkpoint", path)
	}
	if out, err := exec.Command(s.program, args...).CombinedOutput(); err != nil {
		s.t.Errorf("audit verify: %v\n%s", err, out)
	}
}

// checkDatabase reads the ledger without the server.
func (s *site) checkDatabase() {
	s.t.Helper()
	cfg, err := app.LoadConfig(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	db, err := app.OpenDatabase(s.t.Context(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	directory, err := db.LoadDirectory(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var pair telamon.PairID
	for _, c := range directory.Credentials {
		if c.Name == credential {
			pair = c.Pair
		}
	}
	for _, text := range s.book.pending(true) {
		serial, _, err := telamon.ParseSerial(text)
		if err != nil {
			s.t.Fatal(err)
		}
		cert, err := db.Certificate(s.t.Context(), pair, serial)
		if err == nil && (cert.Status == telamon.StatusRevoked) != s.book.entries[text].revoked {
			err = errors.New("it is " + string(cert.Status))
		}
		if err != nil {
			s.tally.add("losses", 1)
			s.t.Errorf("certificate %s in the database: %v", text, err)
		}
	}
	invariant.Check(s.t, db)
}
