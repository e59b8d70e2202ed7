package main_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // for tamper

	"github.com/telamon-ca/telamon"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// TestScripts runs the program as a person at a terminal does, with openssl and
// curl as the clients. The scripts have these commands beside those of testscript:
//
//	start NAME PROGRAM ARGS...      run in the background, with output in NAME.out and NAME.err
//	signal NAME SIGNAL              send it HUP, TERM, INT or KILL
//	ended NAME STATUS               wait until it ends, with this exit status
//	await FILE REGEXP [VAR]         wait until the file matches; VAR becomes the last match's group
//	exits STATUS PROGRAM ARGS...    run, and compare the exit status
//	get VAR FILE PATH               set VAR to a value of a JSON file, such as items.0.id
//	is FILE PATH VALUE              compare a value of a JSON file
//	tamper DATABASE EVENT [OLD NEW] alter the text of an audit event in the SQLite file, or remove the event
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			p := &processes{running: map[string]*process{}}
			env.Values[processesKey{}] = p
			env.Defer(p.kill)
			if env.Getenv("GORACE") == "" {
				env.Setenv("GORACE", "atexit_sleep_ms=10") // under the race detector, commands take a second to end
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start": command(2, start), "signal": command(2, signalTo), "ended": command(2, ended), "await": command(2, await),
			"exits": command(2, exits), "get": command(3, get), "is": command(3, is), "tamper": command(2, tamper),
		},
		RequireUniqueNames: true,
	})
}

// command checks the number of arguments. None of the commands can be negated.
func command(least int, run func(ts *testscript.TestScript, args []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < least {
			ts.Fatalf("a negated command, or fewer than %d arguments", least)
		}
		run(ts, args)
	}
}

// processes are those that a script has started.
type processes struct{ running map[string]*process }

type processesKey struct{}

type process struct {
	cmd   *exec.Cmd
	ended chan error // its one value is what Wait returned
}

// kill ends what a script left, such as one that failed.
func (p *processes) kill() {
	for _, one := range p.running {
		one.cmd.Process.Kill() // fails if it has ended
		<-one.ended
	}
}

func find(ts *testscript.TestScript, name string) *process {
	one := ts.Value(processesKey{}).(*processes).running[name]
	if one == nil {
		ts.Fatalf("nothing runs under the name %s", name)
	}
	return one
}

func start(ts *testscript.TestScript, args []string) {
	name := args[0]
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer out.Close()
	errOut, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer errOut.Close()
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), out, errOut
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TELAMON_KEK", "TELAMON_LOG_LEVEL", "GORACE", "GOCOVERDIR"} {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	ts.Check(cmd.Start())
	one := &process{cmd, make(chan error, 1)}
	ts.Value(processesKey{}).(*processes).running[name] = one
	go func() { one.ended <- cmd.Wait() }()
}

func signalTo(ts *testscript.TestScript, args []string) {
	signals := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	signal, ok := signals[args[1]]
	if !ok {
		ts.Fatalf("no signal %s", args[1])
	}
	ts.Check(find(ts, args[0]).cmd.Process.Signal(signal))
}

func ended(ts *testscript.TestScript, args []string) {
	one := find(ts, args[0])
	select {
	case err := <-one.ended:
		one.ended <- err
		checkStatus(ts, err, args[1])
		delete(ts.Value(processesKey{}).(*processes).running, args[0])
	case <-time.After(patience):
		ts.Fatalf("%s does not end", args[0])
	}
}

func exits(ts *testscript.TestScript, args []string) {
	checkStatus(ts, ts.Exec(args[1], args[2:]...), args[0])
}

// checkStatus compares an exit status with what a process ended with.
func checkStatus(ts *testscript.TestScript, err error, want string) {
	status := 0
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		status = failed.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(status) != want {
		ts.Fatalf("the exit status is %d, want %s", status, want)
	}
}

func await(ts *testscript.TestScript, args []string) {
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	ticker, deadline := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer ticker.Stop()
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			ts.Check(err)
		}
		if found := pattern.FindAllStringSubmatch(string(text), -1); found != nil && err == nil {
			if last := found[len(found)-1]; len(args) > 2 {
				ts.Setenv(args[2], last[len(last)-1])
			}
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			ts.Fatalf("%s does not match %s:\n%s", args[0], args[1], text)
		}
	}
}

func get(ts *testscript.TestScript, args []string) { ts.Setenv(args[0], lookUp(ts, args[1], args[2])) }

func is(ts *testscript.TestScript, args []string) {
	if got := lookUp(ts, args[0], args[1]); got != args[2] {
		ts.Fatalf("%s is %q, want %q", args[1], got, args[2])
	}
}

// lookUp returns a value of a JSON file as text: numbers in the path are places in
// an array, "len" is the length of one.
func lookUp(ts *testscript.TestScript, file, path string) string {
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile(file)))
	decoder.UseNumber()
	var value any
	ts.Check(decoder.Decode(&value))
	for _, name := range strings.Split(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			if name == "len" {
				return strconv.Itoa(len(v))
			}
			n, err := strconv.Atoi(name)
			if ts.Check(err); n >= len(v) {
				ts.Fatalf("%s: there are %d values at %s", path, len(v), name)
			}
			value = v[n]
		}
	}
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

func tamper(ts *testscript.TestScript, args []string) {
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0])+"?_pragma=busy_timeout(10000)")
	ts.Check(err)
	defer db.Close()
	id, ok := telamon.EventID(args[1]).Bytes()
	if !ok {
		ts.Fatalf("%s is no event", args[1])
	}
	query, values := "DELETE FROM audit_event WHERE id = ?", []any{id[:]}
	if len(args) == 4 {
		query = "UPDATE audit_event SET payload = CAST(replace(CAST(payload AS TEXT), ?, ?) AS BLOB) WHERE id = ?"
		values = []any{args[2], args[3], id[:]}
	}
	result, err := db.Exec(query, values...)
	ts.Check(err)
	changed, err := result.RowsAffected()
	if ts.Check(err); changed != 1 {
		ts.Fatalf("%d events were altered, want one", changed)
	}
}
