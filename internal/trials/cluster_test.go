//go:build linux

package trials

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the PostgreSQL driver
	"golang.org/x/sys/unix"

	"github.com/telamon-ca/telamon/internal/testkit"
)

// A cluster is a PostgreSQL server of a test's own. It syncs its disk.
type cluster struct {
	t       *testing.T
	bin     string
	dir     string // of its data, its socket and nothing else
	account *syscall.Credential
	cmd     *exec.Cmd
	log     *tail
	done    chan struct{}
}

// newCluster prepares a directory for a server, which has no data yet.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian's
	if err != nil {
		t.Fatal(err)
	}
	if path, err := exec.LookPath("pg_basebackup"); err == nil && len(found) == 0 {
		found = append(found, filepath.Dir(path))
	}
	if len(found) == 0 {
		testkit.Require(t, "the programs of PostgreSQL's server")
	}
	c := &cluster{t: t, bin: found[len(found)-1], dir: temporary(t)}
	if os.Getuid() == 0 { // as whom PostgreSQL does not run
		c.account = accountOf(t, "postgres")
		if err := os.Chown(c.dir, int(c.account.Uid), int(c.account.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { c.kill() })
	return c
}

func accountOf(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// dsn is a connection string for the cluster whose socket is in a directory, or for
// the one of several that can be written to.
func dsn(dirs ...string) string {
	text := "host=" + strings.Join(dirs, ",") + " user=postgres dbname=postgres"
	if len(dirs) > 1 {
		text += " target_session_attrs=read-write connect_timeout=2"
	}
	return text
}

// command returns a program of PostgreSQL's that ends with this process.
func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.account, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (c *cluster) run(name string, args ...string) {
	c.t.Helper()
	if out, err := c.command(name, args...).CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (c *cluster) initialize() {
	c.t.Helper()
	c.run("initdb", "-D", c.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
}

// start starts the server and waits until it answers.
func (c *cluster) start() {
	c.t.Helper()
	began := time.Now()
	for { // its shared memory may outlive a server that was killed, for a moment
		c.launch()
		if await(c.done, func() bool { return c.answers() }) {
			return
		}
		c.kill()
		if time.Since(began) > patience {
			c.t.Fatalf("PostgreSQL does not start\n%s", c.log)
		}
	}
}

func (c *cluster) launch() {
	c.t.Helper()
	c.log, c.done = &tail{}, make(chan struct{})
	c.cmd = c.command("postgres", "-D", c.data(), "-k", c.dir, "-c", "listen_addresses=", "-c", "fsync=on",
		"-c", "max_connections=100", "-c", "shared_buffers=16MB", "-c", "wal_keep_size=64MB", "-c", "logging_collector=off")
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		cmd.Wait()
		close(done)
	}(c.cmd, c.done)
}

// answers reports whether the server, which may be a standby, answers a query.
func (c *cluster) answers() bool {
	_, err := c.query("SELECT 1")
	return err == nil
}

// query returns the one value that a query has.
func (c *cluster) query(text string) (value string, err error) {
	db, err := sql.Open("pgx", dsn(c.dir))
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRow(text).Scan(&value)
	return value, err
}

// exec runs a statement.
func (c *cluster) exec(text string) {
	c.t.Helper()
	db, err := sql.Open("pgx", dsn(c.dir))
	if err == nil {
		_, err = db.Exec(text)
		db.Close()
	}
	if err != nil {
		c.t.Fatalf("%s: %v", text, err)
	}
}

// processes returns the server's processes but its first.
func (c *cluster) processes() (pids []int) {
	pid := c.cmd.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	for _, word := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(word); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

// kill ends all of the server's processes at once, as if the machine had lost its
// power, and waits until they are gone.
func (c *cluster) kill() {
	if c.cmd == nil {
		return
	}
	select {
	case <-c.done:
		return
	default:
	}
	c.cmd.Process.Signal(syscall.SIGSTOP) // it makes no more
	pids := c.processes()
	c.cmd.Process.Kill()
	for _, pid := range pids {
		unix.Kill(pid, unix.SIGKILL)
	}
	<-c.done
	gone := func(pid int) bool { return unix.Kill(pid, 0) != nil }
	await(nil, func() bool { return !slices.ContainsFunc(pids, func(pid int) bool { return !gone(pid) }) })
}

// killOne kills one of the processes that serve connections, whereupon PostgreSQL ends
// all others and recovers by itself.
func (c *cluster) killOne(random *rand.Rand) {
	c.t.Helper()
	var serving []int
	for _, pid := range c.processes() {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.HasPrefix(string(title), "postgres: postgres postgres") {
			serving = append(serving, pid)
		}
	}
	if len(serving) == 0 {
		c.t.Error("the server has no connection")
		return
	}
	unix.Kill(serving[random.IntN(len(serving))], unix.SIGKILL)
}

// stop ends the server in order.
func (c *cluster) stop() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil { // fast shutdown
		c.t.Error(err)
	}
	select {
	case <-c.done:
	case <-time.After(patience):
		c.kill()
		c.t.Errorf("PostgreSQL does not stop\n%s", c.log)
	}
}
