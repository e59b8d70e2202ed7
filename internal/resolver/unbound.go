package resolver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// The trust anchors of the root zone, KSK-2017 and KSK-2024, as published by IANA in
// https://data.iana.org/root-anchors/root-anchors.xml.
const (
	RootKSK2017 = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
	RootKSK2024 = ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16"
)

// ErrNoUnbound says that the program is not there.
var ErrNoUnbound = errors.New("unbound is not installed: install it, or name the address of a validating resolver")

const (
	startTime = 10 * time.Second       // until unbound answers
	stopTime  = 5 * time.Second        // until it is killed
	pollEvery = 20 * time.Millisecond  // while it starts
	pollTime  = 500 * time.Millisecond // of each try
	ports     = 3                      // how many are tried, as one may be taken in between
	lastLines = 2048                   // octets of unbound's last words that an error repeats
)

// A Stub names the server of a zone, for zones that the public DNS does not know or
// knows differently.
type Stub struct {
	Zone    string
	Address string // IP address and port of an authoritative server
}

// An UnboundConfig says how to run unbound.
type UnboundConfig struct {
	// Binary is the program; "" looks for unbound in PATH and where distributions put
	// it.
	Binary string
	// Dir is an existing directory of the caller's, for the configuration that is
	// generated. Two processes must not share it.
	Dir string
	// TrustAnchors are DS records in presentation form; none are those of the root.
	TrustAnchors []string
	Stubs        []Stub
	// Forward are the IP addresses and ports of recursive resolvers that are asked
	// instead of the servers of the Internet; none are needed where those can be
	// reached.
	Forward []string
	// CacheMiB bounds each of the two caches, of messages and of records; 0 is 4.
	CacheMiB int
	// MaxTTL is how long an answer is cached at most, whatever its own TTL; 0 is 60 s.
	// It bounds the TTL of answers too. Denials are cached for 5 s at most.
	MaxTTL time.Duration
	Log    *slog.Logger // nil discards what unbound says
}

// Unbound is a running resolver that validates DNSSEC: a child process that listens
// on loopback alone and ends with its parent. It is safe for concurrent use.
type Unbound struct {
	address string
	anchors []string
	process *os.Process
	done    chan struct{} // closed when the process has ended
	tail    *tail

	stop sync.Once
}

// StartUnbound starts unbound and waits until it answers, within ctx and 10 s. ctx
// does not bound its life after that: the caller must Close it. It reports
// ErrNoUnbound if the program is not there.
func StartUnbound(ctx context.Context, cfg UnboundConfig) (*Unbound, error) {
	binary, err := findUnbound(cfg.Binary)
	if err != nil {
		return nil, err
	}
	conf, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("configure unbound: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	var failed error
	for range ports {
		u, err := conf.start(ctx, binary, cfg.Log)
		if err == nil {
			return u, nil
		}
		if failed = err; ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("start unbound: %w", failed)
}

// findUnbound returns the path of the program.
func findUnbound(binary string) (string, error) {
	candidates := []string{"unbound", "/usr/sbin/unbound", "/usr/local/sbin/unbound"}
	if binary != "" {
		candidates = []string{binary}
	}
	for _, c := range candidates {
		path, err := exec.LookPath(c)
		if err == nil {
			return path, nil
		}
		if binary != "" && !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find unbound: %w", err)
		}
	}
	return "", ErrNoUnbound
}

// start starts unbound on a port that is free now.
func (c *unboundFile) start(ctx context.Context, binary string, log *slog.Logger) (*Unbound, error) {
	port, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	path := filepath.Join(c.dir, "unbound.conf")
	if err := os.WriteFile(path, c.render(port), 0o600); err != nil {
		return nil, fmt.Errorf("write its configuration: %w", err)
	}
	u := &Unbound{
		address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port).String(),
		anchors: c.zones(), done: make(chan struct{}), tail: &tail{log: log},
	}
	if err := u.run(binary, path); err != nil {
		return nil, err
	}
	if err := u.ready(ctx); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	return u, nil
}

// run starts the process. A goroutine keeps to its thread as long as the process
// lives: on Linux the child is told of the end of the thread that made it.
func (u *Unbound) run(binary, path string) error {
	// -d stays in the foreground; -p writes no file with the process's number.
	cmd := exec.Command(binary, "-d", "-p", "-c", path)
	cmd.Stdout, cmd.Stderr = u.tail, u.tail
	cmd.Env = []string{}
	cmd.WaitDelay = stopTime
	cmd.SysProcAttr = withParent()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its last words
			close(u.done)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	u.process = cmd.Process
	return nil
}

// ready waits until the resolver answers. Every resolver knows localhost (RFC 6761,
// Section 6.3), without asking anyone.
func (u *Unbound) ready(ctx context.Context) error {
	client := New(Config{Address: u.address, Timeout: pollTime, Attempts: 1})
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if _, err := client.Lookup(ctx, "localhost", TypeA); err == nil {
			return nil
		}
		select {
		case <-u.done:
			return fmt.Errorf("it ended at once: %s", u.tail)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w: %s", ctx.Err(), u.tail)
		case <-tick.C:
		}
	}
}

// Address returns the host and port at which to ask, over UDP and TCP.
func (u *Unbound) Address() string { return u.address }

// Pid returns the number of the process.
func (u *Unbound) Pid() int { return u.process.Pid }

// Anchors returns the zones of the trust anchors, for Config.Anchors.
func (u *Unbound) Anchors() []string { return slices.Clone(u.anchors) }

// Done is closed when the process has ended, by Close or by itself.
func (u *Unbound) Done() <-chan struct{} { return u.done }

// Close ends the process and waits until it has ended. If it takes longer than 5 s, it
// is killed. It may be called again.
func (u *Unbound) Close() error {
	u.stop.Do(func() {
		if err := u.process.Signal(syscall.SIGTERM); err != nil {
			_ = u.process.Kill() // it fails only if the process has ended
		}
		timer := time.NewTimer(stopTime)
		defer timer.Stop()
		select {
		case <-u.done:
		case <-timer.C:
			_ = u.process.Kill()
		}
	})
	timer := time.NewTimer(2 * stopTime)
	defer timer.Stop()
	select {
	case <-u.done:
		return nil
	case <-timer.C:
		return errors.New("stop unbound: it does not end")
	}
}

// freePort returns a port of 127.0.0.1 that is free for TCP and UDP now.
func freePort() (uint16, error) {
	var failed error
	for range 10 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		packets, err := net.ListenPacket("udp", listener.Addr().String())
		if err != nil {
			failed = errors.Join(err, listener.Close())
			continue
		}
		at, err := netip.ParseAddrPort(listener.Addr().String())
		return at.Port(), errors.Join(err, listener.Close(), packets.Close())
	}
	return 0, failed
}

// A tail logs the lines that a process writes, and keeps the end of them. It is safe
// for concurrent use.
type tail struct {
	log *slog.Logger

	mu   sync.Mutex
	line []byte // what has no line break yet
	last []byte
}

// Write takes a piece of output.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line = append(t.line, p...)
	for {
		line, rest, found := bytes.Cut(t.line, []byte("\n"))
		if !found {
			break
		}
		t.say(line)
		t.line = rest
	}
	if len(t.line) > lastLines {
		t.say(t.line)
		t.line = nil
	}
	return len(p), nil
}

// say logs and keeps one line.
func (t *tail) say(line []byte) {
	if t.log != nil {
		t.log.Info("unbound says", "line", string(line))
	}
	t.last = append(append(t.last, line...), ' ')
	if extra := len(t.last) - lastLines; extra > 0 {
		t.last = slices.Delete(t.last, 0, extra)
	}
}

// String returns the end of the output, in one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.last))
}

// zones returns the zones of the trust anchors, each once, without final dots but
// that of the root.
func (c *unboundFile) zones() []string {
	var zones []string
	for _, ds := range c.anchors {
		zone := dns.CanonicalName(ds.Hdr.Name)
		if zone != "." {
			zone = strings.TrimSuffix(zone, ".")
		}
		zones = append(zones, zone)
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}
