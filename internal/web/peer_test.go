package web_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/telamon-ca/telamon/internal/web"
)

// TestPeerUID asks the kernel who opened a Unix socket, and knows nobody elsewhere.
func TestPeerUID(t *testing.T) {
	seen := make(chan int64, 1)
	serve := func(listener net.Listener) {
		server := &http.Server{ConnContext: web.WithPeer, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			seen <- web.PeerUID(r.Context())
		})}
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
	}
	ask := func(network, address string) int64 {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}}}
		defer client.CloseIdleConnections()
		res, err := client.Get("http://x/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return <-seen
	}
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	serve(unix)
	want := int64(-1)
	if runtime.GOOS == "linux" {
		want = int64(os.Geteuid())
	}
	if got := ask("unix", unix.Addr().String()); got != want {
		t.Errorf("the user of a Unix socket is %d, want %d", got, want)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(tcp)
	if got := ask("tcp", tcp.Addr().String()); got != -1 {
		t.Errorf("the user of a TCP connection is %d", got)
	}
	if got := web.PeerUID(t.Context()); got != -1 {
		t.Errorf("the user of no connection is %d", got)
	}
}
