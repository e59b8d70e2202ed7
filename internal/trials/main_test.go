//go:build linux

package trials

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The environment of the tests.
const (
	envTrials = "TELAMON_TRIALS"        // how many trials on disks; those on PostgreSQL follow
	envSeed   = "TELAMON_TRIALS_SEED"   // of what is left to chance
	envEnding = "TELAMON_TRIALS_ENDING" // with what the only endings begin, such as "power"
	envInside = "TELAMON_TRIALS_INSIDE"
)

// TestMain runs the tests in a mount namespace of their own, if the machine allows
// that: what they mount nobody else sees, and it is gone with them, whatever ends
// them.
func TestMain(m *testing.M) {
	if os.Getenv(envInside) == "" {
		if status, ran := runInside(); ran {
			os.Exit(status)
		}
	}
	status := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(status)
}

// runInside runs this program again in a mount namespace and returns its exit
// status; ran is false if the machine makes none.
func runInside() (status int, ran bool) {
	runtime.LockOSThread() // the child ends with the thread that started it
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, false
	}
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), true
	}
	if err != nil {
		return 1, true
	}
	return 0, true
}

// number returns the number that an environment variable gives, or what is used
// without it.
func number(t *testing.T, name string, without int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is no positive number", name, text)
	}
	return n
}

// chance returns what a test leaves to chance, from a seed that it logs.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	seed := number(t, envSeed, int(time.Now().UnixNano()))
	t.Logf("%s=%d", envSeed, seed)
	return rand.New(rand.NewPCG(uint64(seed), uint64(len(t.Name()))))
}

// between returns a duration from low to high.
func between(random *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(random.Int64N(int64(high-low)+1))
}

// programs is where the server's programs are put that the tests build.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

// program returns the path of the server's program, as it is shipped.
func program(t *testing.T) string {
	t.Helper()
	return built(t, shipped)
}

// racing is program with the race detector.
func racing(t *testing.T) string {
	t.Helper()
	return built(t, raced)
}

var (
	shipped = sync.OnceValues(func() (string, error) { return build("telamon") })
	raced   = sync.OnceValues(func() (string, error) { return build("telamon-race", "-race") })
)

func built(t *testing.T, make func() (string, error)) string {
	t.Helper()
	path, err := make()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func build(name string, flags ...string) (path string, err error) {
	programs.once.Do(func() { programs.dir, programs.err = os.MkdirTemp("", "telamon-trials-") })
	if programs.err != nil {
		return "", programs.err
	}
	path = filepath.Join(programs.dir, name)
	args := append([]string{"build", "-o", path}, flags...)
	return path, run("go", append(args, "github.com/telamon-ca/telamon/cmd/telamon")...)
}
