package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/signer"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// signerProcess is a signer with keys in files, as the configuration of a world has
// it. It is a process of its own but for its address space.
type signerProcess struct {
	w       *world
	keys    *keystore.Keystore
	pair    tls.Certificate
	clients []*x509.Certificate
	stop    context.CancelFunc
	ended   chan error
}

// newSigner makes a signer beside a world, whose configuration names it, and starts it.
func newSigner(w *world) *signerProcess {
	w.t.Helper()
	dir := filepath.Join(filepath.Dir(w.cfg.Keys.Dir), "signer")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	identity := func(name string) (certFile, keyFile string, pair tls.Certificate) {
		cert, key, err := signer.NewIdentity(name)
		if err != nil {
			w.t.Fatal(err)
		}
		if pair, err = tls.X509KeyPair(cert, key); err != nil {
			w.t.Fatal(err)
		}
		return write(name+".crt", cert), write(name+".key", key), pair
	}
	s := &signerProcess{w: w}
	cfg := &w.cfg.Keys.Signer
	cfg.Socket, cfg.Wait = filepath.Join(dir, "s"), 200*time.Millisecond
	cfg.SignerCertFile, _, s.pair = identity("signer")
	var own tls.Certificate
	cfg.CertFile, cfg.KeyFile, own = identity("server")
	s.clients = []*x509.Certificate{own.Leaf}
	kek, _ := keystore.NewKEK()
	var err error
	if s.keys, err = keystore.Create(keystore.Config{Dir: filepath.Join(dir, "keys"), KEK: kek, Clock: w.clock}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.keys.Close() })
	s.start()
	return s
}

func (s *signerProcess) start() {
	s.w.t.Helper()
	server, err := signer.NewServer(signer.ServerConfig{
		Keys: s.keys, Certificate: s.pair, Clients: s.clients, UIDs: []uint32{uint32(os.Getuid())}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.w.t.Fatal(err)
	}
	listener, err := net.Listen("unix", s.w.cfg.Keys.Signer.Socket)
	if err != nil {
		s.w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s.stop, s.ended = stop, ended
	go func() { ended <- server.Serve(ctx, listener) }()
	s.w.t.Cleanup(s.end)
}

// end stops the signer, if it runs.
func (s *signerProcess) end() {
	s.stop()
	select {
	case err := <-s.ended:
		if err != nil {
			s.w.t.Error(err)
		}
		s.ended <- nil
	case <-time.After(patience):
		s.w.t.Error("the signer does not end")
	}
}

// TestSigner runs an installation whose CA keys are behind a signer. What the
// database is makes no difference to that.
func TestSigner(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	s := newSigner(w)
	s.end()
	if err := w.init(app.InitOptions{MakeKEK: true}); !errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("Init without its signer: %v", err)
	}
	if entries, err := os.ReadDir(w.cfg.Keys.Dir); err == nil {
		t.Errorf("a keystore with %d files is left", len(entries))
	}
	s.start()
	w.install()
	names := s.keys.Names()
	if len(names) != 8 { // three roots and five issuing CAs
		t.Errorf("the signer has the keys %q", names)
	}
	inspection, err := keystore.Inspect(keystoreOf(t, w))
	if err != nil || len(inspection.Keys) != 0 {
		t.Errorf("the keystore has %d CA keys, want none: %v", len(inspection.Keys), err)
	}
	w.start() // which issues the server's own certificate
	public := "http://" + w.server.StatusAddr.String()
	ready := func(want int) func() bool {
		return func() bool {
			status, _ := w.get(public + "/readyz")
			return status == want
		}
	}
	if chain := w.shown("ca.example.com"); len(chain) < 2 || chain[0].CheckSignatureFrom(chain[1]) != nil {
		t.Error("the server's own certificate is not of its CA")
	}
	w.await("a server with a signer that is ready", ready(http.StatusOK))
	s.end()
	w.await("a server that misses its signer", ready(http.StatusServiceUnavailable))
	if err := w.app.CAKeys.CheckKey(names[0]); !errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("a key of a signer that is away: %v", err)
	}
	s.start()
	w.await("a server that has its signer again", ready(http.StatusOK))
}

// keystoreOf says where the keystore of a world is.
func keystoreOf(t *testing.T, w *world) keystore.Config {
	t.Helper()
	kek, err := keystore.ReadKEK(w.cfg.Keys.KEKFile)
	if err != nil {
		t.Fatal(err)
	}
	return keystore.Config{Dir: w.cfg.Keys.Dir, KEK: kek, Clock: w.clock}
}

// TestMoveToASigner moves a series from the keystore's files to a signer by a rotation.
// The old key stays where it is, signs status, and is destroyed there.
func TestMoveToASigner(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.install()
	s := newSigner(w)
	w.open()
	ctx := t.Context()
	series, err := w.app.Issuance.SeriesNamed(app.SeriesTLSEC)
	if err != nil {
		t.Fatal(err)
	}
	old, err := w.app.Issuance.Active(series.ID)
	if err != nil {
		t.Fatal(err)
	}
	operator := telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_1"}
	rotated, err := w.app.Life.Rotate(ctx, operator, lifecycle.RotateRequest{Series: series.Name, Now: true})
	if err != nil {
		t.Fatal(err)
	}
	next, err := w.app.Issuance.Issuer(rotated.Next)
	if err != nil {
		t.Fatal(err)
	}
	if names := s.keys.Names(); !slices.Equal(names, []string{next.KeyName}) {
		t.Errorf("the signer has the keys %q, want that of the next issuing CA alone", names)
	}
	if _, err := w.app.Keys.Public(next.KeyName); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("the next key is in the files: %v", err)
	}
	for _, id := range []telamon.IssuerID{old.ID, next.ID} {
		if _, err := w.app.Publisher.Publish(ctx, operator, id); err != nil {
			t.Errorf("a CRL of %s: %v", id, err)
		}
	}
	if err := errors.Join(w.app.CAKeys.Retire(old.KeyName), w.app.CAKeys.Destroy(old.KeyName)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(w.cfg.Keys.Dir, old.KeyName+".key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the destroyed key: %v", err)
	}
}
