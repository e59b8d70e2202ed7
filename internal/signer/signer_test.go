package signer_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/signer"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// list returns a tbsCertList of the CA with so many entries.
func list(t *testing.T, ca *x509.Certificate, at time.Time, entries int) ([]byte, *tbs.SignatureAlgorithm) {
	t.Helper()
	algorithm, err := tbs.SignatureFor(ca.PublicKey, "", "")
	if err != nil {
		t.Fatal(err)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddBytes(algorithm.Identifier())
		b.AddBytes(ca.RawSubject)
		b.AddASN1UTCTime(at)
		b.AddASN1UTCTime(at.AddDate(0, 0, 4))
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for range entries {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1BigInt(telamon.NewSerial(at).Int())
					b.AddASN1UTCTime(at)
				})
			}
		})
	})
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der, algorithm
}

func TestClientIsTheKeystore(t *testing.T) {
	w := newWorld(t)
	engine, made := hierarchy(t, w.client, w.clock)
	signed, err := issue(t.Context(), engine, made, w.clock)
	if err != nil {
		t.Fatal(err)
	}
	root, ca := made.Issuers[0], made.Issuers[1]
	names, err := w.client.Names()
	if want := []string{ca.KeyName, root.KeyName}; err != nil || !slices.Equal(names, want) {
		t.Errorf("Names() = %q, %v, want %q", names, err, want)
	}
	public, err := w.client.Public(ca.KeyName)
	if err != nil || !ca.Certificate.PublicKey.(*ecdsa.PublicKey).Equal(public) {
		t.Errorf("Public(%q) is not the key of its certificate: %v", ca.KeyName, err)
	}
	if cert, err := w.client.Certificate(ca.KeyName); err != nil || !cert.Equal(ca.Certificate) {
		t.Errorf("Certificate(%q) is not the one that it was bound to: %v", ca.KeyName, err)
	}
	der, algorithm := list(t, ca.Certificate, w.clock.Now(), 100_000)
	signature, err := w.client.SignCRL(ca.KeyName, bytes.NewReader(der))
	if err != nil {
		t.Fatal(err)
	}
	if err := algorithm.Verify(ca.Certificate.PublicKey, der, signature); err != nil {
		t.Errorf("a CRL of %d octets: %v", len(der), err)
	}
	var records []keystore.Record
	for record, err := range w.client.ReadJournal(ca.KeyName) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, record)
	}
	if len(records) != 2 || records[0].Serial != signed.Serial || records[1].OfCertificate() {
		t.Errorf("the journal has %+v, want the certificate's record and the CRL's", records)
	}
	if err := w.client.Retire(ca.KeyName); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Destroy(ca.KeyName); err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys.Public(ca.KeyName); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("the destroyed key: %v", err)
	}
	n := 0
	for range w.client.ReadJournal(ca.KeyName) {
		if n++; n == 1 {
			break
		}
	}
	if err := w.client.Health(); err != nil || n != 1 {
		t.Errorf("after a journal that was not read to its end: %v", err)
	}
}

// TestErrors holds that callers tell the errors of a signer apart as they do those
// of a keystore.
func TestErrors(t *testing.T) {
	w := newWorld(t)
	_, made := hierarchy(t, w.client, w.clock)
	ca := made.Issuers[1]
	empty, err := w.client.Generate("next", tbs.ECP256)
	if err != nil || empty == nil {
		t.Fatal(err)
	}
	if der, err := w.client.RequestCertificate("next", ca.Certificate.RawSubject); err != nil {
		t.Error(err)
	} else if csr, err := x509.ParseCertificateRequest(der); err != nil || csr.CheckSignature() != nil || !bytes.Equal(csr.RawSubject, ca.Certificate.RawSubject) {
		t.Errorf("the request for a certificate is not one of the key: %v", err)
	}
	if cert, err := w.client.Certificate("next"); cert != nil || err != nil {
		t.Errorf("the certificate of a key without a purpose is %v, %v", cert, err)
	}
	_, noRequest := w.client.RequestCertificate(ca.KeyName, ca.Certificate.RawSubject)
	_, noKey := w.client.Public("none")
	_, badName := w.client.Generate("../x", tbs.ECP256)
	_, badType := w.client.Generate("x", "RSA-512")
	_, exists := w.client.Generate("next", tbs.ECP256)
	_, purpose := w.client.SignCertificate(ca.KeyName, []byte{0x30, 0})
	_, wrongRole := w.client.SignCRL("next", strings.NewReader("no list"))
	_, _, noResponder := w.client.SignOCSP(ca.KeyName, nil)
	_, noRoot := w.client.SelfSign(ca.KeyName, ca.Certificate.RawTBSCertificate)
	var journals []error
	for _, name := range []string{"none", "../keys/" + ca.KeyName} {
		for _, err := range w.client.ReadJournal(name) {
			journals = append(journals, err)
		}
	}
	if len(journals) != 2 || !errors.Is(journals[0], keystore.ErrNoKey) || !errors.Is(journals[1], keystore.ErrNoKey) {
		t.Errorf("journals that are not there: %v", journals)
	}
	tests := []struct {
		name string
		got  error
		want error // nil is an error of another kind
	}{
		{"no key", noKey, keystore.ErrNoKey},
		{"a bad name", badName, nil},
		{"a bad type", badType, nil},
		{"a taken name", exists, keystore.ErrExists},
		{"no certificate", purpose, nil},
		{"no CRL", wrongRole, keystore.ErrPurpose},
		{"a CA for a responder", noResponder, keystore.ErrPurpose},
		{"a bound key for a root", noRoot, keystore.ErrPurpose},
		{"a bound key for a request", noRequest, keystore.ErrPurpose},
		{"bound twice", w.client.Bind(ca.KeyName, keystore.Purpose{Role: telamon.RoleIssuing, Certificate: ca.Certificate}), keystore.ErrPurpose},
		{"bound to nothing", w.client.Bind("next", keystore.Purpose{}), keystore.ErrPurpose},
		{"destroyed unretired", w.client.Destroy(ca.KeyName), keystore.ErrPurpose},
		{"checked without a key", w.client.CheckKey("none"), keystore.ErrNoKey},
	}
	for _, tt := range tests {
		if tt.got == nil || tt.want != nil && !errors.Is(tt.got, tt.want) || errors.Is(tt.got, signer.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

// TestCRLThatCannotBeRead holds that a list which ends with an error is not signed.
func TestCRLThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	_, made := hierarchy(t, w.client, w.clock)
	ca := made.Issuers[1]
	der, _ := list(t, ca.Certificate, w.clock.Now(), 10_000)
	cause := errors.New("the disk is gone")
	for _, n := range []int{0, 10, 100, 70_000, len(der)} {
		content := io.MultiReader(bytes.NewReader(der[:n]), &failing{cause})
		if _, err := w.client.SignCRL(ca.KeyName, content); !errors.Is(err, cause) {
			t.Errorf("after %d octets: %v, want the reader's error", n, err)
		}
	}
	for _, err := range w.client.ReadJournal(ca.KeyName) {
		t.Errorf("something was journaled, and so perhaps signed: %v", err)
	}
}

type failing struct{ cause error }

func (f *failing) Read([]byte) (int, error) { return 0, f.cause }

func TestStrangersAreRefused(t *testing.T) {
	w := newWorld(t)
	wait := 100 * time.Millisecond
	other := newIdentity(t, "server") // the name adds nothing
	if err := w.dial(w.us, w.server, patience).Health(); err != nil {
		t.Fatal(err)
	}
	if err := w.dial(other, w.server, wait).Health(); !errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("a client with another certificate: %v", err)
	}
	if err := w.dial(w.us, other, wait).Health(); !errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("a signer with another certificate: %v", err)
	}
	wrongUser, err := signer.NewClient(signer.ClientConfig{
		Socket: w.socket, Certificate: w.us.pair, Server: w.server.cert, UIDs: []uint32{1 << 20}, Wait: wait,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := wrongUser.Health(); !errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("a signer that runs as another user: %v", err)
	}
	for name, config := range map[string]*tls.Config{
		"no certificate":   {NextProtos: []string{"telamon-signer/1"}},
		"another protocol": {NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{w.us.pair}},
		"no protocol":      {Certificates: []tls.Certificate{w.us.pair}},
		"TLS 1.2":          {NextProtos: []string{"telamon-signer/1"}, Certificates: []tls.Certificate{w.us.pair}, MaxVersion: tls.VersionTLS12},
	} {
		config.InsecureSkipVerify = true
		if n := w.raw(config, []byte("H\x00\x00\x00\x16{\"operation\":\"health\"}E\x00\x00\x00\x00")); n != 0 {
			t.Errorf("with %s %d octets are answered", name, n)
		}
	}
	w.uids = []uint32{1 << 20}
	w.end()
	w.start()
	w.uids = nil
	if err := w.dialAs(wait).Health(); !errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("a client that runs as another user: %v", err)
	}
	if !strings.Contains(w.log.String(), "the other end runs as user") {
		t.Errorf("the log does not tell of a refused user:\n%s", w.log)
	}
}

// dialAs is dial for a world whose signer admits other users.
func (w *world) dialAs(wait time.Duration) *signer.Client {
	w.uids = []uint32{uint32(os.Getuid())}
	return w.dial(w.us, w.server, wait)
}

// tls is how a client connects that the signer admits.
func (w *world) tls() *tls.Config {
	return &tls.Config{NextProtos: []string{"telamon-signer/1"}, Certificates: []tls.Certificate{w.us.pair}, InsecureSkipVerify: true}
}

// raw sends octets over TLS and returns how many come back before the end.
func (w *world) raw(config *tls.Config, octets []byte) int64 {
	w.t.Helper()
	conn, err := net.Dial("unix", w.socket)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	secure := tls.Client(conn, config)
	if _, err := secure.Write(octets); err != nil {
		return 0 // the handshake was refused
	}
	secure.CloseWrite() // which fails if the signer has closed already
	n, err := io.Copy(io.Discard, secure)
	if errors.Is(err, context.DeadlineExceeded) {
		w.t.Error("a connection is kept that should have ended")
	}
	return n
}

// TestMalformed holds that what is no message ends the connection, and nothing else.
func TestMalformed(t *testing.T) {
	w := newWorld(t)
	frame := func(kind byte, length int, content string) string {
		return string([]byte{kind, byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}) + content
	}
	header := func(text string) string { return frame('H', len(text), text) }
	end := frame('E', 0, "")
	health := header(`{"operation":"health"}`)
	tests := []struct {
		name, octets string
		answered     bool
	}{
		{"health", health + end, true},
		{"twice", health + end + health + end, true},
		{"an unknown operation", header(`{"operation":"sign"}`) + end, true},
		{"no operation", header(`{}`) + end, true},
		{"a body that failed", header(`{"operation":"sign_crl","name":"x"}`) + frame('F', 20, `{"failure":"failed"}`), true},
		{"nothing", "", false},
		{"noise", strings.Repeat("\xa5", 100), false},
		{"a part of a frame", health[:8], false},
		{"no end", health, false},
		{"no header", end, false},
		{"data first", frame('D', 1, "x") + end, false},
		{"a header of nothing", frame('H', 0, "") + end, false},
		{"a long header", frame('H', 1<<16+1, strings.Repeat(" ", 1<<16+1)) + end, false},
		{"a huge frame", frame('D', 0xffffffff, ""), false},
		{"an unknown kind", frame('X', 1, "x"), false},
		{"an unknown field", header(`{"operation":"health","hashes":"x"}`) + end, false},
		{"two values", header(`{"operation":"health"}{}`) + end, false},
		{"no JSON", header(`health`) + end, false},
		{"two headers", health + health + end, false},
		{"an end with content", health + frame('E', 1, "x"), false},
		{"data of nothing", health + frame('D', 0, "") + end, false},
		{"a failure that says nothing", health + frame('F', 2, `{}`), false},
		{"too much for a body", health + strings.Repeat(frame('D', 1<<16, strings.Repeat("x", 1<<16)), 65) + end, false},
	}
	for _, tt := range tests {
		n := w.raw(w.tls(), []byte(tt.octets))
		if (n > 0) != tt.answered {
			t.Errorf("%s: %d octets are answered, want any: %t", tt.name, n, tt.answered)
		}
	}
	if err := w.client.Health(); err != nil {
		t.Error(err)
	}
}

func TestWaitsForTheSigner(t *testing.T) {
	w := newWorld(t)
	engine, made := hierarchy(t, w.client, w.clock)
	w.end()
	_, err := issue(t.Context(), engineOf(t, w.dial(w.us, w.server, 50*time.Millisecond), made, w.clock), made, w.clock)
	if !errors.Is(err, signer.ErrUnavailable) || errors.Is(err, signer.ErrUnknown) {
		t.Errorf("without a signer: %v", err)
	}
	waits := make(chan error, 1)
	go func() {
		_, err := issue(context.Background(), engine, made, w.clock)
		waits <- err
	}()
	w.start()
	if err := <-waits; err != nil {
		t.Errorf("what waited for the signer: %v", err)
	}
	// The idle connections of the client ended with the first signer. What must not
	// be repeated meets none of them.
	w.end()
	w.start()
	der, _ := list(t, made.Issuers[1].Certificate, w.clock.Now(), 1)
	if _, err := w.client.SignCRL(made.Issuers[1].KeyName, bytes.NewReader(der)); err != nil {
		t.Errorf("a CRL after the signer was started again: %v", err)
	}
	if _, err := w.client.Generate("next", tbs.ECP256); err != nil {
		t.Errorf("a key after the signer was started again: %v", err)
	}
}

// TestRestartsUnderLoad holds that requests which meet a signer that stops get their
// certificate from the next one.
func TestRestartsUnderLoad(t *testing.T) {
	w := newWorld(t)
	engine, made := hierarchy(t, w.client, w.clock)
	var clients sync.WaitGroup
	var issued atomic.Int64
	const each, workers, restarts = 60, 4, 5
	steps := make(chan struct{}, each*workers)
	for range workers {
		clients.Go(func() {
			for range each {
				if _, err := issue(context.Background(), engine, made, w.clock); err != nil {
					t.Errorf("a request that met a restart: %v", err)
				}
				issued.Add(1)
				steps <- struct{}{}
			}
		})
	}
	for range restarts {
		for range each * workers / (restarts + 1) {
			<-steps
		}
		w.end()
		w.start()
	}
	clients.Wait()
	records := 0
	for _, err := range w.keys.ReadJournal(made.Issuers[1].KeyName) {
		if err != nil {
			t.Fatal(err)
		}
		records++
	}
	if n := int(issued.Load()); n != each*workers || records < n {
		t.Errorf("%d certificates and %d records, want %d and no fewer", n, records, each*workers)
	}
}

// TestLostAnswer holds that what must not be done twice is not, and that its caller
// is told so.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t)
	if err := w.client.Health(); err != nil {
		t.Fatal(err)
	}
	direct, cut := w.socket, w.socket+"-cut"
	listener, err := net.Listen("unix", cut)
	if err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	defer relays.Wait()
	defer listener.Close()
	var cuts atomic.Int64
	relays.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			relays.Go(func() { relay(t, direct, conn, &cuts) })
		}
	})
	w.socket = cut
	client := w.dial(w.us, w.server, 200*time.Millisecond)
	w.socket = direct
	if _, err := client.Generate("next", tbs.ECP256); !errors.Is(err, signer.ErrUnknown) || !errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("a key whose answer was lost: %v", err)
	}
	if n := cuts.Load(); n != 1 {
		t.Errorf("it was asked for %d times, want once", n)
	}
	if _, err := client.Public("next"); !errors.Is(err, signer.ErrUnavailable) || errors.Is(err, signer.ErrUnknown) || cuts.Load() < 3 {
		t.Errorf("what may be repeated was asked for %d times: %v", cuts.Load()-1, err)
	}
}

// relay lets through what the client says, and cuts the connection at the first
// record of application data that the signer answers with after the handshake.
func relay(t *testing.T, signer string, client net.Conn, cuts *atomic.Int64) {
	defer client.Close()
	server, err := net.Dial("unix", signer)
	if err != nil {
		t.Error(err)
		return
	}
	defer server.Close()
	var back sync.WaitGroup
	back.Go(func() {
		defer client.Close()
		// The server's flight of the handshake is one write; what follows is an answer.
		buffer := make([]byte, 1<<16)
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
		if _, err := server.Read(buffer); err == nil {
			cuts.Add(1)
		}
	})
	io.Copy(server, client)
	server.Close()
	back.Wait()
}

func TestSplit(t *testing.T) {
	w := newWorld(t)
	kek, _ := keystore.NewKEK()
	files, err := keystore.Create(keystore.Config{Dir: t.TempDir(), KEK: kek, Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	_, made := hierarchy(t, files, w.clock)
	root, ca := made.Issuers[0], made.Issuers[1]
	split := signer.NewSplit(w.client, files)
	engine := engineOf(t, split, made, w.clock)
	if _, err := issue(t.Context(), engine, made, w.clock); err != nil {
		t.Errorf("the key of the files: %v", err)
	}
	if _, err := split.Generate(ca.KeyName, tbs.ECP256); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("a name that the files have: %v", err)
	}
	if _, err := split.Generate("tls-ec-next", tbs.ECP256); err != nil {
		t.Fatal(err)
	}
	if got := w.keys.Names(); !slices.Equal(got, []string{"tls-ec-next"}) {
		t.Errorf("the signer has %q, want the new key", got)
	}
	names, err := split.Names()
	if want := []string{ca.KeyName, "tls-ec-next", root.KeyName}; err != nil || !slices.Equal(names, want) {
		t.Errorf("Names() = %q, %v, want %q", names, err, want)
	}
	if err := errors.Join(split.Retire(ca.KeyName), split.Destroy(ca.KeyName)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for record, err := range split.ReadJournal(ca.KeyName) {
		if err != nil {
			t.Errorf("the journal of a destroyed key: %v, %v", record, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("the journal of a destroyed key has %d records, want one", n)
	}
	for _, err := range split.ReadJournal("none") {
		if !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("the journal of no key: %v", err)
		}
	}
	owner := keystore.Owner{Account: telamon.NewAccountID(), KeyPair: telamon.NewKeyPairID()}
	if err := split.Bind("tls-ec-next", keystore.Purpose{Role: telamon.RoleKeyPair, Owner: owner}); err != nil {
		t.Fatal(err)
	}
	algorithm, err := tbs.SignatureNamed("ECDSA", "SHA-256")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := split.SignHash("tls-ec-next", owner, algorithm, make([]byte, 32)); err != nil {
		t.Errorf("a hash, by the signer: %v", err)
	}
	if _, err := split.SignHash(root.KeyName, owner, algorithm, make([]byte, 32)); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("a hash, by a root of the files: %v, want ErrPurpose", err)
	}
	w.end()
	if _, err := split.SignCRL(root.KeyName, strings.NewReader("no list")); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("the key of the files without a signer: %v", err)
	}
}
