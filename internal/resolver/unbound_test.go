package resolver_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/world"
)

// startUnbound returns a validating resolver that stops with the test.
func startUnbound(t *testing.T, cfg resolver.UnboundConfig) *resolver.Unbound {
	t.Helper()
	cfg.Dir = t.TempDir()
	u, err := resolver.StartUnbound(t.Context(), cfg)
	if errors.Is(err, resolver.ErrNoUnbound) {
		testkit.Require(t, "unbound")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// A tree is a signed zone test. with two children, one of which is not signed.
type tree struct {
	*world.DNS
	unbound *resolver.Unbound
	client  *resolver.Client
}

func signedTree(t *testing.T) tree {
	t.Helper()
	d := startDNS(t)
	anchor, err := d.Sign("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Sign("signed.test"); err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{"plain.test", "deep.plain.test"} {
		if err := d.Zone(zone); err != nil {
			t.Fatal(err)
		}
	}
	add(t, d,
		"test TXT top", "signed.test TXT child", "a.signed.test A 192.0.2.1", "www.signed.test CNAME a.signed.test",
		"out.signed.test CNAME www.plain.test", "old.signed.test DNAME signed.test", "*.wild.signed.test TXT any",
		"b.ent.signed.test TXT below", `signed.test CAA 0 issue "ca.example"`,
		"www.plain.test TXT plain", "in.plain.test CNAME a.signed.test", "x.deep.plain.test TXT deeper",
	)
	var stubs []resolver.Stub
	for _, zone := range []string{"test", "signed.test", "plain.test", "deep.plain.test"} {
		stubs = append(stubs, resolver.Stub{Zone: zone, Address: d.Addr()})
	}
	u := startUnbound(t, resolver.UnboundConfig{TrustAnchors: []string{anchor}, Stubs: stubs})
	c := resolver.New(resolver.Config{Address: u.Address(), DNSSEC: true, Anchors: u.Anchors()})
	return tree{d, u, c}
}

// TestSecure validates what there is of signed zones: records, aliases, wildcards and
// denials of each form.
func TestSecure(t *testing.T) {
	tr := signedTree(t)
	if got := tr.unbound.Anchors(); !slices.Equal(got, []string{"test"}) {
		t.Errorf("the anchors are %q", got)
	}
	tests := []struct {
		name   string
		rtype  resolver.Type
		want   string // chain | TXT and the number of other records
		secure bool
	}{
		{"test", resolver.TypeTXT, "|top 0", true},
		{"signed.test", resolver.TypeTXT, "|child 0", true},
		{"signed.test", resolver.TypeCAA, "| 1", true},
		{"www.signed.test", resolver.TypeA, "a.signed.test| 1", true},
		{"www.old.signed.test", resolver.TypeA, "www.signed.test a.signed.test| 1", true},
		{"x.y.wild.signed.test", resolver.TypeTXT, "|any 0", true},
		{"x.y.wild.signed.test", resolver.TypeA, "| 0", true},
		{"a.signed.test", resolver.TypeTXT, "| 0", true},
		{"ent.signed.test", resolver.TypeTXT, "| 0", true},
		{"no.signed.test", resolver.TypeCAA, "| 0", true},
		{"_no.so.deep.signed.test", resolver.TypeTXT, "| 0", true},
		{"no.test", resolver.TypeTXT, "| 0", true},
		{"www.plain.test", resolver.TypeTXT, "|plain 0", false},
		{"no.plain.test", resolver.TypeTXT, "| 0", false},
		{"x.deep.plain.test", resolver.TypeTXT, "|deeper 0", false},
		{"in.plain.test", resolver.TypeA, "a.signed.test| 1", false},
		{"out.signed.test", resolver.TypeTXT, "www.plain.test|plain 0", false},
	}
	for _, tt := range tests {
		a := lookup(t, tr.client, tt.name, tt.rtype)
		got := fmt.Sprintf("%s|%s %d", strings.Join(a.Chain, " "), strings.Join(a.TXT, ","), len(a.CAA)+len(a.Addresses))
		if got != tt.want || a.Secure != tt.secure {
			t.Errorf("Lookup(%s, %d) = %q, secure %t, want %q, %t", tt.name, tt.rtype, got, a.Secure, tt.want, tt.secure)
		}
	}
}

func TestBogus(t *testing.T) {
	tr := signedTree(t)
	for name, harm := range map[string]func(string) error{"broken": tr.Break, "expired": tr.Expire} {
		if err := harm("signed.test"); err != nil {
			t.Fatal(err)
		}
		for i, ask := range []string{name + ".signed.test", name + "2.signed.test"} {
			if i == 0 {
				add(t, tr.DNS, ask+" TXT x")
			}
			a, err := tr.client.Lookup(t.Context(), ask, resolver.TypeTXT)
			if _, ok := errors.AsType[*resolver.LookupError](err); !ok || !errors.Is(err, resolver.ErrBogus) {
				t.Errorf("Lookup(%s) with signatures that are %s: %+v, %v", ask, name, a, err)
			}
			// The second time it may come from the cache.
			if _, err := tr.client.Lookup(t.Context(), ask, resolver.TypeTXT); !errors.Is(err, resolver.ErrBogus) {
				t.Errorf("Lookup(%s) again: %v", ask, err)
			}
			if proven, err := tr.client.ProvenInsecure(t.Context(), ask); proven || err != nil {
				t.Errorf("%s with bogus answers is proven to be unsigned: %t, %v", ask, proven, err)
			}
		}
		if err := tr.Repair("signed.test"); err != nil {
			t.Fatal(err)
		}
	}
	add(t, tr.DNS, "mended.signed.test TXT x")
	if a := lookup(t, tr.client, "mended.signed.test", resolver.TypeTXT); !a.Secure || len(a.TXT) != 1 {
		t.Errorf("after the repair: %+v", a)
	}
}

func TestProvenInsecure(t *testing.T) {
	for _, fault := range []world.Fault{"", world.ServFail, world.Drop, world.Refused, world.Lame} {
		t.Run(string(fault), func(t *testing.T) {
			tr := signedTree(t)
			if fault != "" {
				for _, name := range []string{"plain.test", "*.plain.test", "signed.test", "*.signed.test"} {
					tr.Fail(name, fault)
				}
			}
			for name, want := range map[string]bool{
				"plain.test": true, "www.plain.test": true, "_x.www.plain.test": true, "x.deep.plain.test": true,
				"test": false, "signed.test": false, "a.signed.test": false, "no.test": false, "a.no.test": false,
				"example": false, "www.example": false,
			} {
				// Questions that the fault leaves open may outlast this, and prove nothing.
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				got, err := tr.client.ProvenInsecure(ctx, name)
				cancel()
				if got != want || err != nil && (fault != world.Drop || want) {
					t.Errorf("ProvenInsecure(%s) = %t, %v, want %t", name, got, err, want)
				}
			}
			off := resolver.New(resolver.Config{Address: tr.unbound.Address(), Anchors: tr.unbound.Anchors()})
			if got, err := off.ProvenInsecure(t.Context(), "www.plain.test"); got || err != nil {
				t.Errorf("without DNSSEC it is proven: %t, %v", got, err)
			}
		})
	}
}

// TestDeadServer holds that 10 s are enough to look twice at a zone whose server does
// not answer, and to prove that it is unsigned.
func TestDeadServer(t *testing.T) {
	tr := signedTree(t)
	tr.Fail("plain.test", world.Drop)
	tr.Fail("*.plain.test", world.Drop)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 {
		if a, err := tr.client.Lookup(ctx, "www.plain.test", resolver.TypeCAA); err == nil || errors.Is(err, resolver.ErrBogus) {
			t.Errorf("a dead server answers %v, %v", a, err)
		}
	}
	if got, err := tr.client.ProvenInsecure(ctx, "www.plain.test"); !got || err != nil {
		t.Errorf("ProvenInsecure = %t, %v, want true", got, err)
	}
}

// TestProvenInsecureBelowAlias holds that a CNAME to an unsigned zone does not make
// its own zone an unsigned one.
func TestProvenInsecureBelowAlias(t *testing.T) {
	tr := signedTree(t)
	for name, want := range map[string]bool{
		"out.signed.test": false, "x.out.signed.test": false, "x.old.signed.test": false, "in.plain.test": true,
	} {
		if got, err := tr.client.ProvenInsecure(t.Context(), name); got != want || err != nil {
			t.Errorf("ProvenInsecure(%s) = %t, %v, want %t", name, got, err, want)
		}
	}
}

// TestProvenInsecureNeedsAnchor holds that a resolver which does not validate the zone
// that the client takes for an anchor proves nothing, nor one whose anchor is broken.
func TestProvenInsecureNeedsAnchor(t *testing.T) {
	tr := signedTree(t)
	for _, anchors := range [][]string{nil, {"plain.test"}, {"no.test"}, {"example"}} {
		c := resolver.New(resolver.Config{Address: tr.unbound.Address(), DNSSEC: true, Anchors: anchors, Timeout: 200 * time.Millisecond, Attempts: 1})
		if got, err := c.ProvenInsecure(t.Context(), "www.plain.test"); got || err != nil {
			t.Errorf("with the anchors %q it is proven: %t, %v", anchors, got, err)
		}
	}
	tr = signedTree(t)
	tr.FailType("plain.test", "DS", world.ServFail)
	if got, err := tr.client.ProvenInsecure(t.Context(), "www.plain.test"); got || err != nil {
		t.Errorf("without the parent's answer it is proven: %t, %v", got, err)
	}
}

// TestRootAnchor has the tree under a signed root.
func TestRootAnchor(t *testing.T) {
	d := startDNS(t)
	anchor, err := d.Sign(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{"example", "signed.example"} {
		if _, err := d.Sign(zone); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Zone("plain.example"); err != nil {
		t.Fatal(err)
	}
	add(t, d, "www.signed.example A 192.0.2.1", "www.plain.example A 192.0.2.2")
	var stubs []resolver.Stub
	for _, zone := range []string{".", "example", "signed.example", "plain.example"} {
		stubs = append(stubs, resolver.Stub{Zone: zone, Address: d.Addr()})
	}
	u := startUnbound(t, resolver.UnboundConfig{TrustAnchors: []string{anchor}, Stubs: stubs})
	c := resolver.New(resolver.Config{Address: u.Address(), DNSSEC: true})
	for name, secure := range map[string]bool{"www.signed.example": true, "www.plain.example": false, "no.signed.example": true, "no.nowhere": true} {
		if a := lookup(t, c, name, resolver.TypeA); a.Secure != secure {
			t.Errorf("%s: %+v, secure should be %t", name, a, secure)
		}
		want := name == "www.plain.example"
		if got, err := c.ProvenInsecure(t.Context(), name); got != want || err != nil {
			t.Errorf("ProvenInsecure(%s) = %t, %v, want %t", name, got, err, want)
		}
	}
}

// TestForward has unbound ask a resolver that is another unbound.
func TestForward(t *testing.T) {
	tr := signedTree(t)
	anchor, err := tr.Sign("test")
	if err != nil {
		t.Fatal(err)
	}
	// A stub for a zone below test. lifts the rule that test. does not exist.
	u := startUnbound(t, resolver.UnboundConfig{
		TrustAnchors: []string{anchor}, Forward: []string{tr.unbound.Address()},
		Stubs: []resolver.Stub{{Zone: "deep.plain.test", Address: tr.Addr()}}, CacheMiB: 1, MaxTTL: time.Second,
	})
	c := resolver.New(resolver.Config{Address: u.Address(), DNSSEC: true, Anchors: u.Anchors()})
	if a := lookup(t, c, "a.signed.test", resolver.TypeA); !a.Secure || len(a.Addresses) != 1 || a.TTL > time.Second {
		t.Errorf("over a forwarder: %+v", a)
	}
	if got, err := c.ProvenInsecure(t.Context(), "www.plain.test"); !got || err != nil {
		t.Errorf("over a forwarder an unsigned zone is proven: %t, %v", got, err)
	}
}

func TestNoUnbound(t *testing.T) {
	_, err := resolver.StartUnbound(t.Context(), resolver.UnboundConfig{Binary: filepath.Join(t.TempDir(), "unbound"), Dir: t.TempDir()})
	if !errors.Is(err, resolver.ErrNoUnbound) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestUnboundConfig(t *testing.T) {
	good := resolver.UnboundConfig{Binary: "/bin/sh", Dir: t.TempDir()}
	for name, change := range map[string]func(*resolver.UnboundConfig){
		"no directory":  func(c *resolver.UnboundConfig) { c.Dir = "" },
		"a quote":       func(c *resolver.UnboundConfig) { c.Dir = "a\"\nserver:" },
		"no DS record":  func(c *resolver.UnboundConfig) { c.TrustAnchors = []string{"test. IN A 192.0.2.1"} },
		"no record":     func(c *resolver.UnboundConfig) { c.TrustAnchors = []string{""} },
		"no zone":       func(c *resolver.UnboundConfig) { c.Stubs = []resolver.Stub{{Address: "127.0.0.1:53"}} },
		"a bad zone":    func(c *resolver.UnboundConfig) { c.Stubs = []resolver.Stub{{Zone: "a\"b", Address: "127.0.0.1:53"}} },
		"a host name":   func(c *resolver.UnboundConfig) { c.Stubs = []resolver.Stub{{Zone: "test", Address: "ns.test:53"}} },
		"no port":       func(c *resolver.UnboundConfig) { c.Forward = []string{"127.0.0.1"} },
		"a small cache": func(c *resolver.UnboundConfig) { c.CacheMiB = -1 },
	} {
		cfg := good
		change(&cfg)
		if u, err := resolver.StartUnbound(t.Context(), cfg); err == nil {
			t.Errorf("%s: unbound starts", name)
			_ = u.Close()
		}
	}
}

// program returns the path of a shell script.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "unbound")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnboundDoesNotStart(t *testing.T) {
	var log bytes.Buffer
	_, err := resolver.StartUnbound(t.Context(), resolver.UnboundConfig{
		Binary: program(t, "echo 'no such option' >&2; exit 1"), Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err == nil || !strings.Contains(err.Error(), "no such option") || !strings.Contains(log.String(), "no such option") {
		t.Errorf("a program that ends at once: %v, log %q", err, log.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = resolver.StartUnbound(ctx, resolver.UnboundConfig{Binary: program(t, "exec sleep 60"), Dir: t.TempDir()})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a program that does not answer: %v", err)
	}
}

func TestUnboundEnds(t *testing.T) {
	u := startUnbound(t, resolver.UnboundConfig{})
	select {
	case <-u.Done():
		t.Fatal("it has ended at once")
	default:
	}
	if err := u.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-u.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it was killed, and is not done")
	}
	if err := u.Close(); err != nil {
		t.Errorf("Close after the end: %v", err)
	}
	if _, err := resolver.New(resolver.Config{Address: u.Address()}).Lookup(t.Context(), "localhost", resolver.TypeA); err == nil {
		t.Error("a resolver that has ended answers")
	}
}

// parentDir names the environment variable by which TestUnboundEndsWithParent tells
// its child where to run unbound.
const parentDir = "TELAMON_TEST_UNBOUND_DIR"

// TestUnboundEndsWithParent kills a process that runs unbound.
func TestUnboundEndsWithParent(t *testing.T) {
	if dir := os.Getenv(parentDir); dir != "" {
		u, err := resolver.StartUnbound(t.Context(), resolver.UnboundConfig{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("address %s\n", u.Address())
		<-u.Done() // never: the process is killed before
		return
	}
	if runtime.GOOS != "linux" {
		testkit.Require(t, "Linux")
	}
	startUnbound(t, resolver.UnboundConfig{}) // there is one
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestUnboundEndsWithParent$")
	cmd.Env = append(os.Environ(), parentDir+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var address string
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		address, _ = strings.CutPrefix(lines.Text(), "address ")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if address == "" {
		t.Fatal("it did not start unbound")
	}
	c := resolver.New(resolver.Config{Address: address, Timeout: 100 * time.Millisecond, Attempts: 1})
	tick, late := time.NewTicker(10*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for {
		if _, err := c.Lookup(t.Context(), "localhost", resolver.TypeA); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the parent of unbound at %q was killed, and it answers still", address)
		}
	}
}
