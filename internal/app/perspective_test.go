package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/testkit"
	outside "github.com/telamon-ca/telamon/internal/world"
)

// A pair is a self-signed certificate in files.
type pair struct{ cert, key, fingerprint string }

// newPair writes a self-signed certificate that serves as that of a CA, of a server
// on 127.0.0.1 and of a client.
func newPair(t *testing.T, dir, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	p := pair{filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"), hex.EncodeToString(sum[:])}
	for path, block := range map[string]*pem.Block{p.cert: {Type: "CERTIFICATE", Bytes: der}, p.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// agentConfig is a good configuration of an agent that is asked by the client.
func agentConfig(name, region string, own, client pair) app.AgentConfig {
	cfg := app.DefaultAgentConfig()
	cfg.Name, cfg.Region, cfg.Listen = name, region, "127.0.0.1:0"
	cfg.TLS = app.TLSConfig{CertFile: own.cert, KeyFile: own.key}
	cfg.ClientFingerprints = []string{client.fingerprint}
	cfg.Resolver = "127.0.0.1:53"
	return cfg
}

// runAgent runs an agent until the test ends, and checks that it drains.
func runAgent(t *testing.T, cfg app.AgentConfig, clock telamon.Clock) *app.Agent {
	t.Helper()
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	agent, err := app.ListenAgent(t.Context(), cfg, clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the agent ends with %v", err)
			}
		case <-time.After(patience):
			t.Error("the agent does not end")
		}
	})
	return agent
}

// remoteOf is the client of an agent whose certificate is verified by a CA file, or
// by its fingerprint if that is not "".
func remoteOf(t *testing.T, cfg app.AgentConfig, agent *app.Agent, client pair, fingerprint string, clock telamon.Clock) perspective.Remote {
	t.Helper()
	caFile := ""
	if fingerprint == "" {
		caFile = cfg.TLS.CertFile
	}
	config, err := app.PerspectiveTLS(client.cert, client.key, caFile, fingerprint, clock)
	if err != nil {
		t.Fatal(err)
	}
	c, err := perspective.NewClient(perspective.ClientConfig{Name: cfg.Name, Region: cfg.Region, URL: "https://" + agent.Addr.String(), TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return perspective.Remote{Name: cfg.Name, Region: cfg.Region, Perspective: c}
}

// TestAgents runs five agents as the command does, in a world of DNS and HTTP
// (requirement 69).
func TestAgents(t *testing.T) {
	dir, clock := t.TempDir(), testkit.NewClock(t, "2026-12-20T12:00:00Z")
	dns, err := outside.StartDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	files, err := outside.StartHTTP("127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for _, r := range [][3]string{
		{"www.example.com", "TXT", "the token"}, {"www.example.com", "A", "127.0.0.1"}, {"example.com", "CAA", `0 issue "ca.example.com"`},
	} {
		if err := dns.Add(r[0], r[1], r[2]); err != nil {
			t.Fatal(err)
		}
	}
	files.Put("www.example.com", "/.well-known/pki-validation/gsdv.txt", []byte("the token\n"))
	client := newPair(t, dir, "primary")
	var remotes []perspective.Remote
	for i, region := range perspective.Regions {
		name := "agent-" + string(rune('1'+i))
		own := newPair(t, dir, name)
		cfg := agentConfig(name, region, own, client)
		cfg.Resolver, cfg.HTTPPort = dns.Addr(), netip.MustParseAddrPort(files.Addr()).Port()
		if i > 0 { // from the first one, files on this machine are out of reach
			cfg.AllowNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		fingerprint := own.fingerprint
		if i%2 == 0 {
			fingerprint, cfg.ClientFingerprints, cfg.ClientCAFile = "", nil, client.cert
		}
		remotes = append(remotes, remoteOf(t, cfg, runAgent(t, cfg, clock), client, fingerprint, clock))
	}
	local := dcv.New(dcv.Config{
		Resolver: resolver.New(resolver.Config{Address: dns.Addr()}), Clock: clock, CAAValid: time.Hour,
		HTTPPort: netip.MustParseAddrPort(files.Addr()).Port(),
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, files.Addr())
		},
	})
	panel, err := perspective.NewPanel(perspective.PanelConfig{
		Local: local, Remotes: remotes, Rules: rules.Default(), Clock: clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	q := dcv.Question{Method: telamon.MethodDNS, Kind: telamon.ClaimDomain, Name: "www.example.com", ADN: "www.example.com", Values: []string{"the token"}}
	if f, err := panel.Validate(t.Context(), q, true); err != nil || !f.Found || f.Evidence.Quorum != "5/5" {
		t.Errorf("DNS: %+v, %v", f, err)
	}
	q.Method, q.Scheme = telamon.MethodHTTP, "http"
	f, err := panel.Validate(t.Context(), q, true)
	if err != nil || !f.Found || f.Evidence.Quorum != "4/5" || f.Coverage != telamon.CoversExact {
		t.Errorf("HTTP: %+v, %v", f, err)
	}
	if views := f.Evidence.Views; len(views) != 5 || views[0].Agrees || !strings.Contains(views[0].Problem, "127.0.0.1") {
		t.Errorf("views %+v", views)
	}
	ask := dcv.CAAQuestion{Name: "www.example.com", Issuers: []string{"ca.example.com"}}
	if c, err := panel.CheckCAA(t.Context(), ask, true); err != nil || !c.Allowed || c.Quorum != "5/5" || c.Found != "example.com" {
		t.Errorf("CAA: %+v, %v", c, err)
	}
	ask.Issuers = []string{"other.example.com"}
	if c, err := panel.CheckCAA(t.Context(), ask, true); err != nil || c.Allowed {
		t.Errorf("CAA of another issuer: %+v, %v", c, err)
	}
}

// TestAgentWithUnbound runs an agent with a resolver of its own, in a world whose root
// is signed.
func TestAgentWithUnbound(t *testing.T) {
	if _, err := exec.LookPath("unbound"); err != nil {
		if _, err := os.Stat("/usr/sbin/unbound"); err != nil {
			testkit.Require(t, "unbound")
		}
	}
	dir, clock := t.TempDir(), testkit.NewClock(t, "2026-12-20T12:00:00Z")
	dns, err := outside.StartDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	anchor, err := dns.Sign(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := dns.Add("www.example.com", "TXT", "the token"); err != nil {
		t.Fatal(err)
	}
	client, own := newPair(t, dir, "primary"), newPair(t, dir, "agent")
	cfg := agentConfig("agent", "ARIN", own, client)
	cfg.Resolver = "unbound"
	cfg.Unbound = app.UnboundConfig{Dir: dir, TrustAnchors: []string{anchor}, Forward: []string{dns.Addr()}}
	remote := remoteOf(t, cfg, runAgent(t, cfg, clock), client, own.fingerprint, clock)
	q := dcv.Question{Method: telamon.MethodDNS, Kind: telamon.ClaimDomain, Name: "www.example.com", ADN: "www.example.com", Values: []string{"the token"}}
	f, err := remote.Perspective.Validate(t.Context(), q)
	if err != nil || !f.Found || f.Evidence.DNSSEC != telamon.DNSSECSecure {
		t.Errorf("finding = %+v, %v", f, err)
	}
	if err := dns.Break("."); err != nil {
		t.Fatal(err)
	}
	q.Name, q.ADN = "other.example.com", "other.example.com" // not in unbound's cache
	if f, err := remote.Perspective.Validate(t.Context(), q); err != nil || f.Found || !strings.Contains(f.Problem, "DNSSEC") {
		t.Errorf("bogus: %+v, %v", f, err)
	}
}

// TestAgentReload checks that a renewed certificate is used without a restart, on both
// sides, and that one that cannot be read changes nothing.
func TestAgentReload(t *testing.T) {
	dir, clock := t.TempDir(), testkit.NewClock(t, "2026-11-27T12:00:00Z")
	client, own := newPair(t, dir, "primary"), newPair(t, dir, "agent")
	cfg := agentConfig("agent", "ARIN", own, client)
	cfg.ClientFingerprints = nil
	cfg.ClientCAFile = filepath.Join(dir, "clients.pem")
	renewedClient, renewed := newPair(t, t.TempDir(), "primary"), newPair(t, t.TempDir(), "agent")
	both := append(read(t, client.cert), read(t, renewedClient.cert)...)
	if err := os.WriteFile(cfg.ClientCAFile, both, 0o600); err != nil {
		t.Fatal(err)
	}
	agent := runAgent(t, cfg, clock)
	health := func(fingerprint string) error {
		remote := remoteOf(t, cfg, agent, client, fingerprint, clock)
		_, err := remote.Perspective.(*perspective.Client).Health(t.Context())
		return err
	}
	if err := errors.Join(health(own.fingerprint), health("")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own.cert, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := agent.Reload(t.Context()); err == nil {
		t.Error("garbage was read")
	}
	if err := health(own.fingerprint); err != nil {
		t.Errorf("after garbage: %v", err)
	}
	for from, to := range map[string]string{renewed.cert: own.cert, renewed.key: own.key, renewedClient.cert: client.cert, renewedClient.key: client.key} {
		if err := os.WriteFile(to, read(t, from), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := health(renewed.fingerprint); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
	if err := health(own.fingerprint); err == nil {
		t.Error("the old certificate is still shown")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestAgentConfigCheck checks that everything that is wrong is named, at once.
func TestAgentConfigCheck(t *testing.T) {
	dir := t.TempDir()
	own, client := newPair(t, dir, "agent"), newPair(t, dir, "primary")
	good := agentConfig("agent", "ARIN", own, client)
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		field string
		spoil func(*app.AgentConfig)
	}{
		{"name, region", func(c *app.AgentConfig) { c.Name = "Agent 1" }},
		{"name, region", func(c *app.AgentConfig) { c.Region = "Europe" }},
		{"listen", func(c *app.AgentConfig) { c.Listen = "8444" }},
		{"tls", func(c *app.AgentConfig) { c.TLS.KeyFile = "" }},
		{"tls", func(c *app.AgentConfig) { c.TLS.KeyFile = client.key }},
		{"client_fingerprints, client_ca_file", func(c *app.AgentConfig) { c.ClientFingerprints = nil }},
		{"client_fingerprints", func(c *app.AgentConfig) { c.ClientFingerprints[0] = "00" }},
		{"client_ca_file", func(c *app.AgentConfig) { c.ClientCAFile = own.key }},
		{"client_ca_file", func(c *app.AgentConfig) { c.ClientCAFile = filepath.Join(dir, "none") }},
		{"resolver", func(c *app.AgentConfig) { c.Resolver = "dns.example.com:53" }},
		{"resolver", func(c *app.AgentConfig) { c.Resolver = "" }},
		{"http_port, https_port", func(c *app.AgentConfig) { c.HTTPSPort = 0 }},
		{"connections", func(c *app.AgentConfig) { c.Connections = 0 }},
		{"drain_timeout", func(c *app.AgentConfig) { c.DrainTimeout = 0 }},
		{"log.level", func(c *app.AgentConfig) { c.Log.Level = "loud" }},
		{"log.format", func(c *app.AgentConfig) { c.Log.Format = "xml" }},
	}
	all := good
	for _, tt := range tests {
		cfg := good
		cfg.ClientFingerprints = []string{client.fingerprint}
		tt.spoil(&cfg)
		if err := cfg.Check(); err == nil || !strings.HasPrefix(err.Error(), tt.field+": ") {
			t.Errorf("%s: %v", tt.field, err)
		}
		if !strings.HasPrefix(tt.field, "client") {
			tt.spoil(&all)
		}
	}
	if err := all.Check(); err == nil || strings.Count(err.Error(), "\n") != 8 {
		t.Errorf("all at once: %v", err)
	}
	for _, text := range []string{"nme: x", "name: x\nname: y", "name: x\n---\nname: y", "http_port: 70000"} {
		if _, err := app.ParseAgentConfig([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	if cfg, err := app.ParseAgentConfig(nil); err != nil || !reflect.DeepEqual(cfg, app.DefaultAgentConfig()) {
		t.Errorf("an empty file: %+v, %v", cfg, err)
	}
}

func TestPerspectiveTLS(t *testing.T) {
	dir, clock := t.TempDir(), testkit.NewClock(t, "2026-11-27T12:00:00Z")
	own := newPair(t, dir, "primary")
	for name, args := range map[string][4]string{
		"no certificate":        {filepath.Join(dir, "none"), own.key, own.cert, ""},
		"no key":                {own.cert, "", own.cert, ""},
		"nothing verifies":      {own.cert, own.key, "", ""},
		"two things verify":     {own.cert, own.key, own.cert, own.fingerprint},
		"a CA file without one": {own.cert, own.key, own.key, ""},
		"no CA file":            {own.cert, own.key, filepath.Join(dir, "none"), ""},
		"no fingerprint":        {own.cert, own.key, "", "0011"},
	} {
		if _, err := app.PerspectiveTLS(args[0], args[1], args[2], args[3], clock); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestAgentConfigurationPage checks that the table of keys in docs/PERSPECTIVES.md is
// what the comments of the configuration's fields say.
func TestAgentConfigurationPage(t *testing.T) {
	page := &configPage{structs: map[string]*ast.StructType{}}
	for _, name := range []string{"config.go", "perspective_config.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					page.structs[spec.Name.Name] = s
				}
			}
			return true
		})
	}
	page.text.WriteString("| key | environment | default | meaning |\n|---|---|---|---|\n")
	page.fields("AgentConfig", "", reflect.ValueOf(app.DefaultAgentConfig()))
	path := filepath.Join("..", "..", "docs", "PERSPECTIVES.md")
	text := string(read(t, path))
	const begin, end = "<!-- keys -->\n", "<!-- end of keys -->"
	before, rest, ok := strings.Cut(text, begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/PERSPECTIVES.md has no table of keys")
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+page.text.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if table != page.text.String() {
		t.Error("docs/PERSPECTIVES.md is not what perspective_config.go says: go test ./internal/app -run TestAgentConfigurationPage -update")
	}
}

// FuzzParseAgentConfig reads files that an operator may have mangled. What is read
// can be printed and read again as the same.
func FuzzParseAgentConfig(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, err := app.ParseAgentConfig(text)
		if err != nil {
			return
		}
		printed, err := yaml.Marshal(cfg)
		if err != nil {
			t.Fatalf("%+v cannot be printed: %v", cfg, err)
		}
		again, err := app.ParseAgentConfig(printed)
		if err != nil {
			t.Fatalf("what is printed cannot be read: %v\n%s", err, printed)
		}
		twice, err := yaml.Marshal(again)
		if err != nil || string(twice) != string(printed) {
			t.Errorf("printed as\n%s\nand then as\n%s\n%v", printed, twice, err)
		}
	})
}
