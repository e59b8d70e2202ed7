//go:build linux

package trials

import (
	"path/filepath"
	"testing"
	"time"
)

// How many trials of each kind are made on PostgreSQL when diskTrials are made on disks.
const (
	killTrials     = 10
	cutTrials      = 10
	failoverTrials = 3
)

// share returns how many trials of a kind are made.
func share(t *testing.T, trials int) int {
	return max(1, trials*number(t, envTrials, diskTrials)/diskTrials)
}

// furnished is an installation on PostgreSQL that the tests copy.
var furnished struct {
	home, data string
}

// makeFurnished makes it: the parent test owns its directories.
func makeFurnished(t *testing.T) {
	t.Helper()
	c := newCluster(t)
	c.initialize()
	c.start()
	furnished.home, furnished.data = temporary(t), c.data()
	furnish(t, program(t), filepath.Join(furnished.home, "site"), dsn(c.dir))
	c.stop()
}

// newPostgres returns a copy of the furnished installation, and the server that runs
// its database.
func newPostgres(t *testing.T, y *tally) (*site, *cluster) {
	t.Helper()
	c := newCluster(t)
	if err := run("cp", "-a", furnished.data, c.data()); err != nil {
		t.Fatal(err)
	}
	c.start()
	dir := filepath.Join(temporary(t), "s")
	from := filepath.Join(furnished.home, "site")
	if err := run("cp", "-a", from, dir); err != nil {
		t.Fatal(err)
	}
	s := openSite(t, program(t), from, dir, chance(t), y)
	s.configure(map[string]any{"database": dsn(c.dir)})
	return s, c
}

// TestPostgresTrials takes the database away from a running server in every way that
// a database goes. Whatever was acknowledged is there afterwards, and the server works
// on by itself.
func TestPostgresTrials(t *testing.T) {
	makeFurnished(t)
	y := newTally()
	t.Run("kinds", func(t *testing.T) {
		t.Run("killed", func(t *testing.T) { t.Parallel(); testKills(t, y) })
		t.Run("cut", func(t *testing.T) { t.Parallel(); testCuts(t, y) })
		t.Run("failover", func(t *testing.T) { t.Parallel(); testFailovers(t, y) })
	})
	y.log(t)
}

// life keeps a server running over trials, and makes a new one where a trial killed it.
type life struct {
	site *site
	srv  *server
}

// load starts the server if it does not run, and loads it.
func (f *life) load() *load {
	f.site.t.Helper()
	if f.srv == nil {
		f.srv = f.site.start()
	}
	l := f.site.load(f.srv)
	l.wait(between(f.site.random, 20*time.Millisecond, 300*time.Millisecond))
	l.trouble()
	return l
}

// kill kills the server as well.
func (f *life) kill() {
	f.srv.kill()
	f.srv = nil
}

// recovered waits until the server, if it still runs, is ready and issues, and ends
// the load. The time runs from when the database can be used again.
func (f *life) recovered(l *load) {
	f.site.t.Helper()
	if f.srv != nil {
		took, ok := f.srv.awaitReady(true)
		before := l.acknowledged.Load()
		if !ok || !await(f.srv.done, func() bool { return l.acknowledged.Load() > before }) {
			f.site.t.Fatalf("the database is back, and the server does not work\n%s", f.srv.log)
		}
		f.site.tally.took("from a database that answers to /readyz 200", took)
	}
	l.end()
	if f.site.t.Failed() {
		f.site.t.FailNow()
	}
}

// finish ends the last server and looks at everything.
func (f *life) finish() {
	f.site.t.Helper()
	if f.srv != nil {
		f.site.keepCheckpoint()
		f.srv.stop(f.site.t)
	}
	f.site.finish(true)
}

// testKills kills PostgreSQL: all of it, or one process, alone or with our server.
func testKills(t *testing.T, y *tally) {
	s, c := newPostgres(t, y)
	f := &life{site: s}
	for range share(t, killTrials) {
		y.add("trials", 1)
		l := f.load()
		switch s.random.IntN(4) {
		case 0:
			y.add("one process of PostgreSQL killed", 1)
			c.killOne(s.random)
		case 1:
			y.add("PostgreSQL and the server killed", 1)
			c.kill()
			f.kill()
			c.start()
		default:
			y.add("PostgreSQL killed", 1)
			c.kill()
			s.red(l)
			c.start()
		}
		f.recovered(l)
	}
	f.finish()
}

// testCuts cuts connections to PostgreSQL, most of them around a COMMIT.
func testCuts(t *testing.T, y *tally) {
	s, c := newPostgres(t, y)
	between := temporary(t)
	p := newProxy(t, between, c.dir)
	s.configure(map[string]any{"database": dsn(between)})
	f := &life{site: s}
	for range share(t, cutTrials) {
		y.add("trials", 1)
		l := f.load()
		how := anyCut(s.random)
		y.add(cutNames[how], 1)
		if how == cutsByTime {
			p.cutAll()
		} else {
			before := p.done()
			p.cutNext(how)
			if !await(f.srv.done, func() bool { return p.done() > before }) {
				t.Fatalf("no COMMIT came\n%s", f.srv.log)
			}
		}
		if s.random.IntN(5) == 0 {
			y.add("the server killed right after a cut", 1)
			f.kill()
		}
		f.recovered(l)
	}
	s.configure(map[string]any{"database": dsn(c.dir)})
	f.finish()
}
