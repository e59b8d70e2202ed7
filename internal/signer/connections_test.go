package signer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/signer"
)

// allowed is how many connections the signer has at a time.
const allowed = 256

// TestManyCRLs asks for more of what reuses no connection than the signer has
// connections: none may be left over.
func TestManyCRLs(t *testing.T) {
	w := newWorld(t)
	_, made := hierarchy(t, w.client, w.clock)
	ca := made.Issuers[1]
	der, _ := list(t, ca.Certificate, w.clock.Now(), 1)
	for i := range allowed + 10 {
		if _, err := w.client.SignCRL(ca.KeyName, bytes.NewReader(der)); err != nil {
			t.Fatalf("CRL %d: %v", i+1, err)
		}
	}
}

// TestDialGivesUpIdle takes the last connection of the signer: the client lets go of
// the one that it has kept, since nothing else would make room.
func TestDialGivesUpIdle(t *testing.T) {
	w := newWorld(t)
	_, made := hierarchy(t, w.client, w.clock)
	ca := made.Issuers[1]
	if err := w.client.Close(); err != nil {
		t.Fatal(err)
	}
	client := w.dial(w.us, w.server, time.Second)
	if _, err := client.Names(); err != nil { // and keeps its connection
		t.Fatal(err)
	}
	for range allowed - 1 {
		conn, err := tls.Dial("unix", w.socket, w.tls())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	der, _ := list(t, ca.Certificate, w.clock.Now(), 1)
	if _, err := client.SignCRL(ca.KeyName, bytes.NewReader(der)); err == nil {
		t.Fatal("the signer has more connections than it is allowed")
	}
	if _, err := client.SignCRL(ca.KeyName, bytes.NewReader(der)); err != nil {
		t.Errorf("the connection that was kept is not given up: %v", err)
	}
}

// TestIdleConnectionsEnd holds that the signer ends a connection on which nothing is
// asked, and that a client whose connection ended so does not notice.
func TestIdleConnectionsEnd(t *testing.T) {
	w := newWorld(t)
	server, err := signer.NewServer(signer.ServerConfig{
		Keys: w.keys, Certificate: w.server.pair, Clients: []*x509.Certificate{w.us.cert}, UIDs: w.uids,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Idle: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.socket = filepath.Join(filepath.Dir(w.socket), "idle")
	listener, err := net.Listen("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	client := w.dial(w.us, w.server, patience)
	if _, err := client.Names(); err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("unix", w.socket, w.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // the client's is older
		t.Fatalf("a connection on which nothing is asked: %v, want its end", err)
	}
	if _, err := client.Names(); err != nil {
		t.Errorf("after its connection ended: %v", err)
	}
	if log := w.log.String(); log != "" {
		t.Errorf("the log says %q of a connection that nobody used", log)
	}
}
