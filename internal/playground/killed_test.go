package playground_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/playground"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// The variables that make the test binary another program.
const (
	configVariable   = "TELAMON_TEST_HVCLIENT"      // hvclient with this configuration file
	dirVariable      = "TELAMON_TEST_PLAYGROUND"    // a playground in this directory
	databaseVariable = "TELAMON_TEST_PLAYGROUND_DB" // and on this database
)

func TestMain(m *testing.M) {
	var err error
	switch file, dir := os.Getenv(configVariable), os.Getenv(dirVariable); {
	case file != "":
		err = hvclientProcess(context.Background(), file)
	case dir != "":
		err = playground.Run(context.Background(), playground.Options{
			Dir: dir, Listen: "127.0.0.1:0", StatusListen: "127.0.0.1:0", Database: os.Getenv(databaseVariable), Out: os.Stdout, Log: os.Stderr,
		})
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestKilled kills a server that issues and revokes, at no moment in particular.
// What it said was done is done, and what holds of every database holds.
func TestKilled(t *testing.T) {
	t.Parallel()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		if strings.HasPrefix(url, "sqlite:") {
			url = "" // a playground makes its own
		}
		server := startProcess(t, dir, url)
		issued, revoked := keepBusy(t, dir, server)
		w := start(t, playground.Options{Dir: dir, Clock: telamon.SystemClock{}}) // as the process had
		c := w.loggedIn("dev_pkcs10")
		for location := range issued {
			a := c.do(http.MethodGet, strings.TrimPrefix(location, "/v2"), nil)
			if a.status != http.StatusOK || revoked[location] && a.member("status") != "REVOKED" {
				t.Errorf("%s, revoked %v: %s", location, revoked[location], a)
			}
		}
		c.issue(t, plainRequest(t))
	})
}

// startProcess runs a playground in a process of its own and waits until it serves.
func startProcess(t *testing.T, dir, database string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), dirVariable+"="+dir, databaseVariable+"="+database)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "ready: ") {
			return command
		}
	}
	t.Fatalf("the playground did not start: %v", command.Wait())
	panic("unreachable")
}

// keepBusy has clients issue and revoke, kills the server in the middle, and
// returns the locations of what was answered.
func keepBusy(t *testing.T, dir string, server *exec.Cmd) (issued, revoked map[string]bool) {
	t.Helper()
	const clients, enough = 8, 100
	d, err := playground.ReadDescription(filepath.Join(dir, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Running: &playground.Running{Description: d}, t: t, dir: dir}
	c, request := w.loggedIn("dev_pkcs10"), plainRequest(t)
	issued, revoked = map[string]bool{}, map[string]bool{}
	var mu sync.Mutex
	reached := make(chan struct{})
	reach := sync.OnceFunc(func() { close(reached) })
	count := func(into map[string]bool, location string) {
		mu.Lock()
		defer mu.Unlock()
		if into[location] = true; len(issued) >= enough {
			reach()
		}
	}
	var work sync.WaitGroup
	for range clients {
		work.Go(func() {
			for {
				a := c.do(http.MethodPost, "/certificates", request)
				if a.status != http.StatusCreated {
					return // it was killed, or this ends the test
				}
				location := a.header.Get("Location")
				count(issued, location)
				if a := c.do(http.MethodDelete, strings.TrimPrefix(location, "/v2"), nil); a.status != http.StatusNoContent {
					return
				}
				count(revoked, location)
			}
		})
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		work.Wait()
	}()
	select {
	case <-reached:
	case <-stopped:
		t.Error("the clients were refused")
	}
	if err := server.Process.Kill(); err != nil {
		t.Error(err)
	}
	<-stopped
	server.Wait() // it says that it was killed
	return issued, revoked
}
