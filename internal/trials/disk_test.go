//go:build linux

package trials

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// How many trials are made on disks, and in how many each installation is used.
const (
	diskTrials = 200
	seriesLen  = 25
	raceSeries = 2 // the one that is made with the race detector
)

// A disk trial ends with one of these.
type ending string

const (
	endKill      ending = "killed"
	endStop      ending = "stopped"
	endFull      ending = "disk filled and freed, then killed"
	endFullKill  ending = "killed on a full disk, freed before the next start"
	endFullStart ending = "killed on a full disk, freed after the next start"
	endPower     ending = "power cut"
)

// TestDiskTrials runs the program on small disks and ends it at random. Whatever it
// acknowledged is there afterwards; a full disk makes it say within a second that it
// is not ready, and it works on by itself when there is room.
func TestDiskTrials(t *testing.T) {
	y := newTally()
	makeTemplate(t)
	trials := number(t, envTrials, diskTrials)
	series := (trials + seriesLen - 1) / seriesLen
	t.Run("series", func(t *testing.T) {
		for i := range series {
			n := min(seriesLen, trials-i*seriesLen)
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				random := chance(t)
				m := []func(*testing.T) *medium{newMemory, newImage, newImage, newLimited}[i%4](t)
				binary := program
				if i == raceSeries {
					binary = racing
				}
				s := newSite(t, binary(t), m.dir, random, y)
				for range n {
					trial(s, m, pick(random, m))
				}
				s.finish(i >= series-4)
			})
		}
	})
	y.log(t)
}

// makeTemplate makes the installation that the series copy.
func makeTemplate(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "trial-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	furnish(t, program(t), dir, "")
	template.dir = dir
}

// pick says how a trial ends.
func pick(random *rand.Rand, m *medium) ending {
	endings := []ending{endKill, endKill, endKill, endKill, endKill, endStop, endFull, endFullKill}
	if m.name != "limit" { // a limit does not outlive the process
		endings = append(endings, endFullStart)
	}
	if m.cutPower != nil {
		endings = append(endings, endPower, endPower, endPower, endPower)
	}
	if only := os.Getenv(envEnding); only != "" {
		endings = slices.DeleteFunc(endings, func(e ending) bool { return !strings.HasPrefix(string(e), only) })
	}
	if len(endings) == 0 {
		return endKill
	}
	return endings[random.IntN(len(endings))]
}

// trial is one life of the server.
func trial(s *site, m *medium, how ending) {
	s.t.Helper()
	s.tally.add("trials", 1)
	s.tally.add("trials on "+m.name, 1)
	s.tally.add("ended: "+string(how), 1)
	srv := s.start()
	defer srv.kill() // if the trial ends early
	l := s.load(srv)
	l.wait(between(s.random, 20*time.Millisecond, 300*time.Millisecond))
	if s.random.IntN(5) == 0 {
		s.keepCheckpoint()
	}
	if how != endPower && s.random.IntN(4) == 0 { // while a CRL is made, if it comes to that
		published := make(chan struct{})
		go func() {
			defer close(published)
			s.publish() // what is acknowledged is noted
		}()
		defer func() { <-published }()
		after(srv, between(s.random, 0, 20*time.Millisecond))
	}
	switch how {
	case endKill:
		l.trouble()
		srv.kill()
	case endStop:
		l.trouble()
		srv.stop(s.t)
	case endPower:
		l.trouble()
		cutPower(s, m, srv)
	case endFull:
		fillDisk(s, m, l)
		freeDisk(s, m, srv, l)
		srv.kill()
	default:
		fillDisk(s, m, l)
		after(srv, between(s.random, 0, 100*time.Millisecond))
		srv.kill()
	}
	l.end()
	switch how {
	case endFullKill:
		if err := m.free(srv.cmd.Process.Pid); err != nil && m.name != "limit" {
			s.t.Fatal(err)
		}
	case endFullStart:
		startFull(s, m)
	case endPower:
		if err := m.restorePower(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.endings = append(s.endings, how)
	if s.t.Failed() {
		s.t.Fatalf("the trials ended so: %q; the last server's log was\n%s", s.endings, srv.log)
	}
}

// after waits, but no longer than the server lives.
func after(srv *server, d time.Duration) {
	select {
	case <-time.After(d):
	case <-srv.done:
	}
}

// fillDisk fills the disk, and waits until a request has failed and /readyz says so.
func fillDisk(s *site, m *medium, l *load) {
	s.t.Helper()
	l.trouble()
	if err := m.fill(l.server.cmd.Process.Pid); err != nil {
		s.t.Fatal(err)
	}
	s.red(l)
}

// freeDisk makes room, and waits until the server is ready and issues again. As often as
// not nobody asks it for anything meanwhile, as behind a load balancer that believes
// /readyz.
func freeDisk(s *site, m *medium, srv *server, l *load) {
	s.t.Helper()
	l.resting.Store(s.random.IntN(2) == 0)
	if err := m.free(srv.cmd.Process.Pid); err != nil {
		s.t.Fatal(err)
	}
	took, ok := srv.awaitReady(true)
	if !ok {
		s.t.Fatalf("there is room again, and the server is not ready\n%s", srv.log)
	}
	s.tally.took("from room on the disk to /readyz 200", took)
	l.resting.Store(false)
	before := l.acknowledged.Load()
	if !await(srv.done, func() bool { return l.acknowledged.Load() > before }) {
		s.t.Fatalf("the server is ready, and does not issue\n%s", srv.log)
	}
}

// startFull starts the server on a full disk. It may refuse; if it serves, it must
// say that it is not ready until there is room.
func startFull(s *site, m *medium) {
	s.t.Helper()
	srv, err := startServer(s.program, s.config)
	if err != nil {
		s.tally.add("starts refused on a full disk", 1)
		s.t.Log(err)
		if err := m.free(0); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	defer srv.kill()
	s.tally.add("starts on a full disk", 1)
	if err := m.free(0); err != nil {
		s.t.Fatal(err)
	}
	if took, ok := srv.awaitReady(true); ok {
		s.tally.took("from room on the disk to /readyz 200", took)
	} else {
		s.t.Errorf("started on a full disk, the server is not ready when there is room\n%s", srv.log)
	}
}

// cutPower takes the disk away, and then the process. Only what was acknowledged before
// counts: a sync that returns while the file system is shut down may say that it has
// synced what is lost. That is the kernel's doing, and no disk's: a program that does
// nothing but write and sync saw it in 4 of 60 cuts.
func cutPower(s *site, m *medium, srv *server) {
	s.t.Helper()
	s.book.close()
	if err := m.cutPower(); err != nil {
		s.t.Fatal(err)
	}
	after(srv, between(s.random, 0, 100*time.Millisecond))
	srv.kill()
}
