package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// listen serves on addr until the test ends, and counts the connections.
func listen(t *testing.T, addr string) (port string, count *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	count = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, count
}

// answers is a Lookup that gives one answer after the other, and the last one from
// then on.
type answers struct {
	calls atomic.Int32
	given [][]string
}

func (a *answers) lookup(context.Context, string) ([]netip.Addr, error) {
	n := int(a.calls.Add(1)) - 1
	var addrs []netip.Addr
	for _, text := range a.given[min(n, len(a.given)-1)] {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

func allow(prefixes ...string) Policy {
	var p Policy
	for _, text := range prefixes {
		p.Allow = append(p.Allow, netip.MustParsePrefix(text))
	}
	return p
}

// TestDialDenied checks that a listener on loopback is out of reach by whatever
// name, unless the configuration names its range.
func TestDialDenied(t *testing.T) {
	port, count := listen(t, "127.0.0.1:0")
	for _, host := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "64:ff9b::7f00:1", "rebind.test"} {
		d := &Dialer{Lookup: (&answers{given: [][]string{{"127.0.0.1"}}}).lookup, Timeout: time.Second}
		conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err == nil {
			conn.Close()
		}
		if denied, ok := errors.AsType[*DeniedError](err); !ok || denied.Host != host {
			t.Errorf("dial %s: %v, want it denied", host, err)
		}
	}
	d := &Dialer{Policy: allow("127.0.0.0/8"), Lookup: (&answers{given: [][]string{{"127.0.0.1"}}}).lookup, Timeout: 5 * time.Second}
	conn, err := d.DialContext(t.Context(), "tcp", "inside.test:"+port)
	if err != nil {
		t.Fatalf("dial an admitted range: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read = %v", err)
	}
	conn.Close()
	if n := count.Load(); n != 1 {
		t.Errorf("%d connections, want the one that was admitted", n)
	}
}

// TestRebinding checks that the address which was checked is the one that is
// dialled: a name is looked up once, and of several addresses only admitted ones
// are dialled. 127.0.0.2 plays the public address.
func TestRebinding(t *testing.T) {
	secretPort, secret := listen(t, "127.0.0.1:0")
	_, public := listen(t, "127.0.0.2:"+secretPort)
	tests := []struct {
		name  string
		given [][]string
	}{
		{"public at first, then loopback", [][]string{{"127.0.0.2"}, {"127.0.0.1"}}},
		{"a mix, loopback first", [][]string{{"127.0.0.1", "127.0.0.2"}}},
		{"a mix with disguises", [][]string{{"::ffff:127.0.0.1", "::1", "0.0.0.0", "127.0.0.2", "127.0.0.1"}}},
		{"mapped", [][]string{{"::ffff:127.0.0.2"}, {"127.0.0.1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := public.Load()
			a := &answers{given: tt.given}
			d := &Dialer{Policy: allow("127.0.0.2/32"), Lookup: a.lookup, Timeout: 5 * time.Second}
			conn, err := d.DialContext(t.Context(), "tcp", "rebind.test:"+secretPort)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got := conn.RemoteAddr().String(); got != "127.0.0.2:"+secretPort {
				t.Errorf("connected to %s", got)
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("read = %v", err)
			}
			if public.Load() != before+1 || a.calls.Load() != 1 {
				t.Errorf("%d connections and %d lookups, want one of each", public.Load()-before, a.calls.Load())
			}
		})
	}
	if n := secret.Load(); n != 0 {
		t.Errorf("%d connections reached loopback", n)
	}
}

// TestConfirm checks the last look at a socket's own address.
func TestConfirm(t *testing.T) {
	d := &Dialer{Policy: allow("127.0.0.2/32")}
	chosen := netip.MustParseAddrPort("127.0.0.2:80")
	for address, ok := range map[string]bool{
		"127.0.0.2:80": true, "[::ffff:127.0.0.2]:80": true, "127.0.0.2:81": false, "127.0.0.1:80": false, "x": false,
	} {
		if err := d.confirm(chosen, address); (err == nil) != ok {
			t.Errorf("confirm(%s) = %v, want ok %t", address, err, ok)
		}
	}
	if err := (&Dialer{}).confirm(chosen, "127.0.0.2:80"); err == nil {
		t.Error("an address that the policy does not admit is confirmed")
	}
}

func TestAddresses(t *testing.T) {
	failure := errors.New("SERVFAIL")
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "fails.test":
			return nil, failure
		case "many.test":
			var addrs []netip.Addr
			for i := range 1000 {
				addrs = append(addrs, netip.AddrFrom4([4]byte{8, 8, byte(i >> 8), byte(i)}))
			}
			return addrs, nil
		case "mixed.test":
			return []netip.Addr{
				netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("::ffff:8.8.8.8"), netip.MustParseAddr("2a00::1"),
			}, nil
		}
		return nil, nil
	}
	d := &Dialer{Lookup: lookup}
	got, err := d.Addresses(t.Context(), "mixed.test")
	if want := []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("2a00::1")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Addresses = %v, %v, want %v", got, err, want)
	}
	if got, err := d.Addresses(t.Context(), "many.test"); err != nil || len(got) != MaxAddresses {
		t.Errorf("%d addresses, %v; want %d", len(got), err, MaxAddresses)
	}
	if _, err := d.Addresses(t.Context(), "fails.test"); !errors.Is(err, failure) {
		t.Errorf("err = %v, want the lookup's", err)
	}
	if _, err := d.Addresses(t.Context(), "none.test"); !errors.Is(err, ErrNoAddress) {
		t.Errorf("err = %v, want ErrNoAddress", err)
	}
	if _, err := (&Dialer{}).Addresses(t.Context(), "8.8.8.8.test"); err == nil {
		t.Error("a name is looked up without a Lookup")
	}
	if got, err := (&Dialer{}).Addresses(t.Context(), "8.8.8.8"); err != nil || len(got) != 1 {
		t.Errorf("Addresses of an IP address = %v, %v", got, err)
	}
}

func TestPorts(t *testing.T) {
	port, count := listen(t, "127.0.0.1:0")
	number := netip.MustParseAddrPort("127.0.0.1:" + port).Port()
	d := &Dialer{Policy: allow("127.0.0.1/32"), Timeout: 5 * time.Second, Ports: map[uint16]uint16{80: number}}
	conn, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read = %v", err)
	}
	conn.Close()
	if count.Load() != 1 {
		t.Error("the port that is dialled for 80 was not reached")
	}
	for _, address := range []string{"127.0.0.1:" + port, "127.0.0.1:22"} {
		if _, err := d.DialContext(t.Context(), "tcp", address); !isDenied(err) {
			t.Errorf("dial %s: %v, want it denied", address, err)
		}
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.1:http", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+80"} {
		if _, err := d.DialContext(t.Context(), "tcp", address); err == nil {
			t.Errorf("dial %s succeeds", address)
		}
	}
	for _, network := range []string{"udp", "unix", "tcp6", "ip"} {
		if _, err := d.DialContext(t.Context(), network, "127.0.0.1:80"); err == nil {
			t.Errorf("dial by %s: %v", network, err)
		}
	}
}

func isDenied(err error) bool {
	_, ok := errors.AsType[*DeniedError](err)
	return ok
}

// TestBounded checks that a lookup which does not answer ends with the timeout, and
// that a dead address leaves time for the next one.
func TestBounded(t *testing.T) {
	d := &Dialer{Timeout: 20 * time.Millisecond, Lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	if _, err := d.DialContext(t.Context(), "tcp", "silent.test:80"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want the deadline", err)
	}
	port, count := listen(t, "127.0.0.2:0")
	closed := &Dialer{
		Policy: allow("127.0.0.0/8"), Timeout: 5 * time.Second,
		Lookup: (&answers{given: [][]string{{"127.0.0.3", "127.0.0.2"}}}).lookup,
	}
	conn, err := closed.DialContext(t.Context(), "tcp", "second.test:"+port)
	if err != nil {
		t.Fatal(err)
	}
	conn.Read(make([]byte, 1))
	conn.Close()
	if count.Load() != 1 {
		t.Error("the second address was not reached")
	}
}

// TestTransport checks the dialer within an HTTP client, redirects included.
func TestTransport(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "secret") }))
	defer inner.Close()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	outer := &http.Server{Handler: http.RedirectHandler(inner.URL, http.StatusFound)}
	go outer.Serve(l)
	defer outer.Close()
	d := &Dialer{Policy: allow("127.0.0.2/32"), Timeout: 5 * time.Second}
	client := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + l.Addr().String())
	if err == nil {
		resp.Body.Close()
	}
	if !isDenied(err) {
		t.Errorf("a redirect to loopback: %v, want it denied", err)
	}
}
