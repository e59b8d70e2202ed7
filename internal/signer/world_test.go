package signer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/signer"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
)

const now = "2026-11-22T10:00:00Z"

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// world is a keystore behind a signer, and a client.
type world struct {
	t      testing.TB
	clock  *testkit.Clock
	keys   *keystore.Keystore
	client *signer.Client

	socket     string
	server, us identity
	uids       []uint32
	log        *lockedBuffer

	stop  context.CancelFunc
	ended chan error
}

// identity is what one end proves itself by.
type identity struct {
	pair tls.Certificate
	cert *x509.Certificate
}

func newIdentity(t testing.TB, name string) identity {
	t.Helper()
	certificate, key, err := signer.NewIdentity(name)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := signer.ParsePeer(certificate)
	if err != nil {
		t.Fatal(err)
	}
	return identity{pair, parsed}
}

func newWorld(t testing.TB) *world { return newWorldOn(t, nil) }

// newWorldOn is newWorld with a device that has the keys.
func newWorldOn(t testing.TB, device keystore.Device) *world {
	t.Helper()
	// The path of a Unix socket has at most 107 bytes; those of tests may be long.
	dir, err := os.MkdirTemp("", "telamon-signer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{
		t: t, clock: testkit.NewClock(t, now), socket: filepath.Join(dir, "s"), uids: []uint32{uint32(os.Getuid())},
		server: newIdentity(t, "signer"), us: newIdentity(t, "server"), log: &lockedBuffer{},
	}
	kek, _ := keystore.NewKEK()
	if w.keys, err = keystore.Create(keystore.Config{Dir: filepath.Join(dir, "keys"), KEK: kek, Clock: w.clock, Device: device}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.keys.Close() })
	w.start()
	w.client = w.dial(w.us, w.server, patience)
	return w
}

// start starts the signer.
func (w *world) start() {
	w.t.Helper()
	server, err := signer.NewServer(signer.ServerConfig{
		Keys: w.keys, Certificate: w.server.pair, Clients: []*x509.Certificate{w.us.cert}, UIDs: w.uids,
		Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	listener, err := net.Listen("unix", w.socket)
	if err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	w.ended = make(chan error, 1)
	ended := w.ended
	go func() { ended <- server.Serve(ctx, listener) }()
	w.t.Cleanup(w.end)
}

// end stops the signer, if it runs, and waits until it has stopped.
func (w *world) end() {
	w.stop()
	select {
	case err := <-w.ended:
		if err != nil {
			w.t.Errorf("the signer ended with: %v", err)
		}
		w.ended <- nil
	case <-time.After(patience):
		w.t.Error("the signer does not end")
	}
}

func (w *world) dial(us, server identity, wait time.Duration) *signer.Client {
	w.t.Helper()
	c, err := signer.NewClient(signer.ClientConfig{Socket: w.socket, Certificate: us.pair, Server: server.cert, UIDs: w.uids, Wait: wait})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// hierarchy makes a root and an issuing CA by the keys.
func hierarchy(t testing.TB, keys issuance.Keys, clock telamon.Clock) (*issuance.Engine, *issuance.Hierarchy) {
	t.Helper()
	engine := issuance.New(issuance.Config{Keys: keys, Clock: clock, StatusBaseURL: "http://status.example"})
	made, err := engine.CreateHierarchy(t.Context(), issuance.HierarchySpec{
		Name: "tls", Kind: telamon.HierarchyTLS, RootKeyType: tbs.ECP384, RootYears: 20,
		Series: []issuance.SeriesSpec{{Name: "tls-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUTLS, Years: 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	engine.Load(made.Issuers, made.Series)
	return engine, made
}

// engineOf returns an engine that issues by other keys.
func engineOf(t testing.TB, keys issuance.Keys, made *issuance.Hierarchy, clock telamon.Clock) *issuance.Engine {
	t.Helper()
	engine := issuance.New(issuance.Config{Keys: keys, Clock: clock, StatusBaseURL: "http://status.example"})
	engine.Load(made.Issuers, made.Series)
	return engine
}

// leafKey is the key of every leaf: it signs nothing.
var leafKey = sync.OnceValues(func() (*tbs.PublicKey, error) {
	key, err := tbs.ECP256.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return tbs.NewPublicKey(spki)
})

// issue has the engine issue a certificate.
func issue(ctx context.Context, engine *issuance.Engine, made *issuance.Hierarchy, clock telamon.Clock) (*issuance.Signed, error) {
	key, err := leafKey()
	if err != nil {
		return nil, err
	}
	serverAuth, err := x509.ParseOID("1.3.6.1.5.5.7.3.1")
	if err != nil {
		return nil, err
	}
	from := clock.Now()
	token, err := engine.Prepare(ctx, issuance.Request{
		Issuer: made.Issuers[1].ID, NotBefore: from, NotAfter: from.AddDate(0, 3, 0).Add(-time.Second), PublicKey: key,
		Content: telamon.Content{
			SAN: telamon.SubjectAltName{DNSNames: []string{"a.example"}}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: telamon.ExtKeyUsage{OIDs: []x509.OID{serverAuth}},
		},
	})
	if err != nil {
		return nil, err
	}
	return engine.Sign(ctx, token)
}

// lockedBuffer is a buffer that several goroutines may use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
