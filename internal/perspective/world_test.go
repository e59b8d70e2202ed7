package perspective_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/world"
)

// token is the secret of the tests' questions: it must not come up in any log.
const token = "5e1a9c07d3f24b86a0c1e2f3d4b5a697"

// today is when the tests happen, if the date does not matter: 4 remote perspectives
// are needed.
const today = "2026-11-27T12:00:00Z"

// ofTXT is the question that most tests ask.
var ofTXT = dcv.Question{
	Method: telamon.MethodDNS, Kind: telamon.ClaimDomain, Name: "www.example.com", ADN: "www.example.com", Values: []string{token},
}

// regions of the agents, in their order.
var regions = []string{"RIPE NCC", "ARIN", "APNIC", "LACNIC", "AFRINIC", "RIPE NCC", "ARIN"}

// fake is a perspective that sees what the test says.
type fake struct {
	validate func(context.Context, dcv.Question) (dcv.Finding, error)
	caa      func(context.Context, dcv.CAAQuestion) (telamon.CAACheck, error)
}

func (f fake) Validate(ctx context.Context, q dcv.Question) (dcv.Finding, error) {
	return f.validate(ctx, q)
}

func (f fake) CheckCAA(ctx context.Context, q dcv.CAAQuestion) (telamon.CAACheck, error) {
	return f.caa(ctx, q)
}

// sees is a perspective with that finding.
func sees(f dcv.Finding) dcv.Perspective {
	return fake{validate: func(context.Context, dcv.Question) (dcv.Finding, error) { return f, nil }}
}

func found(c telamon.Coverage) dcv.Perspective { return sees(dcv.Finding{Found: true, Coverage: c}) }

// missing is a perspective that sees nothing.
func missing() dcv.Perspective {
	return sees(dcv.Finding{Problem: "No matching TXT record at www.example.com. Found: 0 records."})
}

// slow is a perspective that does not answer before its time is over.
func slow() dcv.Perspective {
	return fake{validate: func(ctx context.Context, _ dcv.Question) (dcv.Finding, error) {
		<-ctx.Done()
		return dcv.Finding{}, ctx.Err()
	}}
}

// failing is a perspective that fails.
func failing(err error) dcv.Perspective {
	return fake{validate: func(context.Context, dcv.Question) (dcv.Finding, error) { return dcv.Finding{}, err }}
}

// authority is a CA of the test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var serials atomic.Int64

// template is a certificate that is valid in 2026 and 2027.
func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
}

func sign(t testing.TB, template *x509.Certificate, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer, signer := template, key
	if parent != nil {
		issuer, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	ca := template(name)
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign
	cert, key := sign(t, ca, nil)
	return &authority{cert, key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate for 127.0.0.1; of no authority, it is self-signed.
func (a *authority) issue(t testing.TB, name string, usage x509.ExtKeyUsage) *tls.Certificate {
	t.Helper()
	leaf := template(name)
	leaf.ExtKeyUsage, leaf.IPAddresses = []x509.ExtKeyUsage{usage}, []net.IP{net.IPv4(127, 0, 0, 1)}
	cert, key := sign(t, leaf, a)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func fingerprint(cert *tls.Certificate) [sha256.Size]byte { return sha256.Sum256(cert.Leaf.Raw) }

// pki is who trusts whom: the agents have certificates of one CA, and admit clients
// of the other.
type pki struct {
	t               testing.TB
	clock           *testkit.Clock
	agents, clients *authority
	log             *lockedBuffer
}

func newPKI(t testing.TB, now string) *pki {
	t.Helper()
	p := &pki{
		t: t, clock: testkit.NewClock(t, now), agents: newAuthority(t, "agents"), clients: newAuthority(t, "primaries"), log: new(lockedBuffer),
	}
	t.Cleanup(func() {
		if strings.Contains(p.log.String(), token) {
			t.Errorf("the token is in the log:\n%s", p.log)
		}
	})
	return p
}

func (p *pki) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// serverTLS is the configuration of an agent with the certificate, which admits
// clients of the CA of clients.
func (p *pki) serverTLS(cert *tls.Certificate) perspective.ServerTLSConfig {
	return perspective.ServerTLSConfig{
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil },
		ClientCAs:   p.clients.pool(), Clock: p.clock,
	}
}

// clientTLS is the configuration of a primary, which trusts the CA of agents.
func (p *pki) clientTLS(cert *tls.Certificate) perspective.ClientTLSConfig {
	return perspective.ClientTLSConfig{
		Certificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil },
		RootCAs:     p.agents.pool(), Clock: p.clock,
	}
}

// listen serves the handler over TLS until the test ends, and returns its URL.
func (p *pki) listen(handler http.Handler, cfg perspective.ServerTLSConfig) string {
	p.t.Helper()
	config, err := perspective.ServerTLS(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		p.t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(p.logger().Handler(), slog.LevelDebug)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	p.t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return "https://" + l.Addr().String()
}

// handler is the real one of an agent.
func (p *pki) handler(name, region string, local dcv.Perspective) http.Handler {
	p.t.Helper()
	h, err := perspective.NewHandler(perspective.HandlerConfig{Name: name, Region: region, Version: "v0.3.0", Local: local, Log: p.logger()})
	if err != nil {
		p.t.Fatal(err)
	}
	return h
}

// client returns the client of an agent by the name.
func (p *pki) client(name, region, url string, cfg perspective.ClientTLSConfig) *perspective.Client {
	p.t.Helper()
	config, err := perspective.ClientTLS(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := perspective.NewClient(perspective.ClientConfig{Name: name, Region: region, URL: url, TLS: config})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	return c
}

// remotes starts agents named agent-1, agent-2 and so on, and returns their clients.
// Nil is an agent that is not there.
func (p *pki) remotes(locals ...dcv.Perspective) []perspective.Remote {
	p.t.Helper()
	own := p.clients.issue(p.t, "primary", x509.ExtKeyUsageClientAuth)
	var remotes []perspective.Remote
	for i, local := range locals {
		name, region := fmt.Sprintf("agent-%d", i+1), regions[i]
		url := "https://" + freeAddress(p.t)
		if local != nil {
			url = p.listen(p.handler(name, region, local), p.serverTLS(p.agents.issue(p.t, name, x509.ExtKeyUsageServerAuth)))
		}
		remotes = append(remotes, perspective.Remote{
			Name: name, Region: region, Perspective: p.client(name, region, url, p.clientTLS(own)),
		})
	}
	return remotes
}

// panel returns a panel whose perspectives have a second each.
func (p *pki) panel(local dcv.Perspective, remotes []perspective.Remote) *perspective.Panel {
	p.t.Helper()
	return newPanel(p.t, perspective.PanelConfig{
		Local: local, Remotes: remotes, Rules: rules.Default(), Clock: p.clock, Log: p.logger(), Timeout: time.Second,
	})
}

func newPanel(t testing.TB, cfg perspective.PanelConfig) *perspective.Panel {
	t.Helper()
	panel, err := perspective.NewPanel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return panel
}

// freeAddress returns an address at which nothing listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// engine is a real engine that sees the world of the server.
func engine(dns *world.DNS, clock telamon.Clock) dcv.Perspective {
	dial := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.AddrError{Err: "no host here"}
	}
	return dcv.New(dcv.Config{
		Resolver: resolver.New(resolver.Config{Address: dns.Addr(), Timeout: 200 * time.Millisecond, Attempts: 2}),
		Dial:     dial, CAAValid: 8 * time.Hour, Clock: clock,
	})
}

// startDNS starts a server with the records, each a name, a type and a value.
func startDNS(t *testing.T, records ...[3]string) *world.DNS {
	t.Helper()
	dns, err := world.StartDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })
	for _, r := range records {
		if err := dns.Add(r[0], r[1], r[2]); err != nil {
			t.Fatal(err)
		}
	}
	return dns
}

// agreeing lists the perspectives of views that agree.
func agreeing(views []telamon.View) string {
	var names []string
	for _, v := range views {
		if v.Agrees {
			names = append(names, v.Perspective)
		}
	}
	return strings.Join(names, " ")
}

// problemOf returns why a perspective does not agree.
func problemOf(views []telamon.View, name string) string {
	for _, v := range views {
		if v.Perspective == name {
			return v.Problem
		}
	}
	return "no such view"
}

// lockedBuffer is a buffer for a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
