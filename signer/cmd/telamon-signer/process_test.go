package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/signer/internal/softhsm"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// process is a telamon-signer with a configuration of its own.
type process struct {
	t      *testing.T
	dir    string
	config string // path
	server string // path of what init printed
	env    []string

	cmd  *exec.Cmd
	log  *logBuffer
	done chan error
}

// logBuffer is the log of a process so far.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newProcess configures a signer, on a token, or in files if it has no URI, and runs
// init.
func newProcess(t *testing.T, token softhsm.Token) *process {
	t.Helper()
	// The path of a Unix socket has at most 107 bytes; those of tests may be long.
	dir, err := os.MkdirTemp("", "telamon-signer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &process{t: t, dir: dir, config: filepath.Join(dir, "signer.yaml"), server: filepath.Join(dir, "server.yaml"), log: &logBuffer{}}
	text := fmt.Sprintf("socket: %[1]s/run/s\nkeys: {dir: %[1]s/keys, kek_file: %[1]s/kek}\ncert_file: %[1]s/signer.crt\nkey_file: %[1]s/signer.key\n"+
		"client_cert_files: [%[1]s/server.crt]\nlog_format: text\n", dir)
	if token.URI != "" {
		text += fmt.Sprintf("device: %q\npin_file: %s/pin\n", token.URI, dir)
		p.write("pin", token.PIN+"\n")
	}
	p.write("signer.yaml", text)
	out, err := p.run("init")
	if err != nil {
		t.Fatal(err)
	}
	p.write("server.yaml", out)
	return p
}

func (p *process) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// run runs a command to its end and returns its standard output.
func (p *process) run(command string, args ...string) (string, error) {
	cmd := exec.Command("telamon-signer", append([]string{command, "-config", p.config}, args...)...)
	cmd.Env = append(os.Environ(), p.env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("telamon-signer %s: %w\n%s", command, err, errOut.String())
	}
	return out.String(), nil
}

// start starts the signer and waits until it serves.
func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command("telamon-signer", "serve", "-config", p.config)
	p.cmd.Env = append(os.Environ(), p.env...)
	read, write, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Stderr = write
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	write.Close()
	p.done = make(chan error, 1)
	serving := make(chan bool, 1)
	cmd, done := p.cmd, p.done
	go func() {
		defer read.Close()
		lines := bufio.NewScanner(io.TeeReader(read, p.log))
		for lines.Scan() {
			if strings.Contains(lines.Text(), "msg=serving") {
				serving <- true
			}
		}
		done <- cmd.Wait()
	}()
	p.t.Cleanup(func() { p.end(syscall.SIGKILL) })
	select {
	case <-serving:
	case err := <-p.done:
		p.done <- err
		p.t.Fatalf("the signer did not start: %v\n%s", err, p.log)
	case <-time.After(patience):
		p.t.Fatalf("the signer does not start\n%s", p.log)
	}
}

// end sends a signal, if the signer runs, and returns how it ended.
func (p *process) end(signal syscall.Signal) error {
	p.cmd.Process.Signal(signal) // fails if it has ended
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(patience):
		return fmt.Errorf("the signer does not end by %v", signal)
	}
}
