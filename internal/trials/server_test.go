//go:build linux

package trials

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// A server is one life of the program.
type server struct {
	cmd    *exec.Cmd
	atlas  string // the URL of its API
	status string // and of /readyz
	log    *tail
	done   chan struct{} // closed when it has ended, with err
	err    error
}

// startServer starts the program on a configuration and waits until it serves. If it
// ends before, it returns what it said.
func startServer(program, config string, env ...string) (*server, error) {
	s := &server{
		cmd: exec.Command(program, "serve", "-config", config),
		log: &tail{}, done: make(chan struct{}),
	}
	s.cmd.Env = append(append(os.Environ(), "TELAMON_LISTEN=127.0.0.1:0", "TELAMON_STATUS_LISTEN=127.0.0.1:0"), env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	serving := make(chan struct{})
	go func() {
		s.follow(out, serving)
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	select {
	case <-serving:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("the server did not start: %w\n%s", s.err, s.log)
	case <-time.After(patience):
		s.kill()
		return nil, fmt.Errorf("the server did not start in time\n%s", s.log)
	}
}

// follow keeps the end of the server's log, and finds its addresses there.
func (s *server) follow(out io.Reader, serving chan struct{}) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s.log.add(lines.Text())
		var record struct {
			Message string `json:"msg"`
			Address string `json:"address"`
			Status  string `json:"status_address"`
		}
		if s.atlas == "" && json.Unmarshal(lines.Bytes(), &record) == nil && record.Message == "serving" {
			s.atlas, s.status = "https://"+record.Address+"/v2", "http://"+record.Status
			close(serving)
		}
	}
	io.Copy(io.Discard, out) // after a line that is too long
}

// kill ends the server at once and waits.
func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.done
}

// stop asks the server to stop and waits.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		s.kill()
		t.Errorf("the server does not stop\n%s", s.log)
		return
	}
	if s.err != nil {
		t.Errorf("the server stops with %v\n%s", s.err, s.log)
	}
}

// ready asks /readyz.
func (s *server) ready() bool {
	res, err := readyClient.Get(s.status + "/readyz")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

var readyClient = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

// awaitReady waits until /readyz answers as wanted and returns how long that took. It
// returns false if the server ended, or patience did.
func (s *server) awaitReady(want bool) (time.Duration, bool) {
	began := time.Now()
	ok := await(s.done, func() bool { return s.ready() == want })
	return time.Since(began), ok
}

// await looks again and again whether a condition holds, until it does, something is
// over, or patience is.
func await(over <-chan struct{}, holds func() bool) bool { return awaitFor(patience, over, holds) }

// awaitFor is await with another patience.
func awaitFor(patience time.Duration, over <-chan struct{}, holds func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-over:
			return false
		case <-end:
			return false
		}
	}
	return true
}

// A tail keeps the last lines of a log, and those about background work, each of which
// is logged but once.
type tail struct {
	mu    sync.Mutex
	lines []string
	work  []string
}

const tailLines = 15

func (l *tail) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(line, "background work") && len(l.work) < tailLines {
		l.work = append(l.work, line)
		return
	}
	if l.lines = append(l.lines, line); len(l.lines) > tailLines {
		l.lines = l.lines[1:]
	}
}

// Write adds what a program printed.
func (l *tail) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		l.add(strings.TrimSuffix(line, "\n"))
	}
	return len(text), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(slices.Concat(l.work, l.lines), "\n")
}
