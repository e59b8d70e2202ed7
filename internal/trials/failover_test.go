//go:build linux

package trials

import (
	"os"
	"testing"
	"time"
)

// testFailovers kills the primary of two PostgreSQL servers, of which the other is its
// synchronous standby, and promotes that one. Our server knows both and finds the new
// primary by itself. In some trials the standby hears nothing of the last commits: the
// primary has them on its disk, nobody was told, and with the primary they are lost.
func testFailovers(t *testing.T, y *tally) {
	s, primary := newPostgres(t, y)
	standby := newCluster(t)
	s.configure(map[string]any{"database": dsn(primary.dir, standby.dir)})
	f := &life{site: s}
	for i := range share(t, failoverTrials) {
		y.add("trials", 1)
		line := follow(t, primary, standby)
		l := f.load()
		if i%3 == 2 {
			y.add("primary killed after it was cut off from its standby", 1)
			line.hold(true)
			// Longer than a transaction lasts, so that its end is not known.
			l.wait(cutOff)
		} else {
			y.add("primary killed", 1)
		}
		primary.kill()
		s.red(l)
		line.close()
		standby.run("pg_ctl", "-D", standby.data(), "-w", "promote")
		f.recovered(l)
		primary, standby = standby, primary
	}
	f.finish()
}

// cutOff is how long a primary is cut off from its standby before it is killed.
const cutOff = 7 * time.Second

// follow makes the standby a copy of the primary, through a proxy, and has every
// COMMIT of the primary wait for it.
func follow(t *testing.T, primary, standby *cluster) *proxy {
	t.Helper()
	if err := os.RemoveAll(standby.data()); err != nil {
		t.Fatal(err)
	}
	standby.run("pg_basebackup", "-d", dsn(primary.dir), "-D", standby.data(), "-R", "-X", "stream", "-c", "fast", "--no-sync")
	between := temporary(t)
	line := newProxy(t, between, primary.dir)
	if err := os.Chmod(between, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(between+"/"+socketName, 0o777); err != nil {
		t.Fatal(err)
	}
	settings := "primary_conninfo = '" + dsn(between) + " application_name=standby'\nsynchronous_standby_names = ''\n"
	file, err := os.OpenFile(standby.data()+"/postgresql.auto.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString(settings)
		file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	standby.start()
	primary.exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
	primary.exec("SELECT pg_reload_conf()")
	inStep := func() bool {
		state, err := primary.query("SELECT coalesce(max(sync_state), '') FROM pg_stat_replication")
		return err == nil && state == "sync"
	}
	if !await(primary.done, inStep) {
		t.Fatalf("the standby does not follow\n%s\n%s", primary.log, standby.log)
	}
	return line
}
