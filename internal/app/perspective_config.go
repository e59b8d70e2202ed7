package app

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/web"
)

// AgentConfig is the configuration file of a remote network perspective. Each field's
// comment is its manual. Fields with an env tag may be given by that environment
// variable instead, which wins.
type AgentConfig struct {
	// Name is that of this perspective: small letters, digits and hyphens. The server
	// that asks must know it by the same name.
	Name string `yaml:"name"`
	// Region is that of the regional Internet registry where the machine is: AFRINIC,
	// APNIC, ARIN, LACNIC or RIPE NCC.
	Region string `yaml:"region"`
	// Listen is the address of the TLS listener.
	Listen string `yaml:"listen"`
	// TLS is the certificate of this perspective. Both files are needed; SIGHUP reads
	// them anew.
	TLS TLSConfig `yaml:"tls"`
	// ClientFingerprints are the SHA-256 fingerprints of the client certificates of
	// servers that may ask.
	ClientFingerprints []string `yaml:"client_fingerprints"`
	// ClientCAFile holds CAs in PEM, each of whose client certificates may ask: CAs
	// that issue for nothing else. Give it, or ClientFingerprints, or both.
	ClientCAFile string `yaml:"client_ca_file"`
	// Resolver is the resolver that is asked: "unbound" starts one as a child, with a
	// configuration of its own; ADDRESS:PORT is one that runs already. It must be in
	// this region and shared with no other perspective (BR 3.2.2.9).
	Resolver string `yaml:"resolver"`
	// DNSSEC says that the resolver of ADDRESS:PORT validates. The one of "unbound"
	// always does.
	DNSSEC bool `yaml:"dnssec"`
	// Unbound holds the settings of the resolver "unbound".
	Unbound UnboundConfig `yaml:"unbound"`
	// AllowNetworks are prefixes of addresses that files may be fetched from although
	// they are not public. They should be those of the server that asks.
	AllowNetworks []netip.Prefix `yaml:"allow_networks"`
	// HTTPPort and HTTPSPort are where files are fetched from. Anything but 80 and 443
	// is for tests.
	HTTPPort  uint16 `yaml:"http_port"`
	HTTPSPort uint16 `yaml:"https_port"`
	// Connections is how many connections there are at a time, which is also how many
	// questions are looked at; more wait.
	Connections int `yaml:"connections"`
	// Log says what is logged, to standard error: a line for each question at info.
	Log LogConfig `yaml:"log"`
	// DrainTimeout is how long questions in flight may take after a signal to stop.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
}

// DefaultAgentConfig returns the values of fields that the file leaves out.
func DefaultAgentConfig() AgentConfig {
	return AgentConfig{
		Listen: ":8444", Resolver: unboundResolver, HTTPPort: 80, HTTPSPort: 443, Connections: 1000,
		Log: LogConfig{Level: "info", Format: "json"}, DrainTimeout: dcv.Timeout + 5*time.Second,
	}
}

// LoadAgentConfig reads a configuration file over the defaults and the environment
// over both. An unknown key is an error that names its line.
func LoadAgentConfig(path string) (AgentConfig, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return AgentConfig{}, fmt.Errorf("read configuration: %w", err)
	}
	return ParseAgentConfig(text)
}

// ParseAgentConfig is LoadAgentConfig for text.
func ParseAgentConfig(text []byte) (AgentConfig, error) {
	cfg := DefaultAgentConfig()
	if err := decode(text, &cfg); err != nil {
		return AgentConfig{}, fmt.Errorf("read configuration: %w", err)
	}
	if err := env.Parse(&cfg); err != nil {
		return AgentConfig{}, fmt.Errorf("read environment: %w", err)
	}
	return cfg, nil
}

// Check reports everything that is wrong with the configuration. It reads the files
// of certificates and keys that it names.
func (c *AgentConfig) Check() error {
	var problems []error
	problem := func(field string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", field, err))
		}
	}
	problem("name, region", perspective.CheckName(c.Name, c.Region))
	_, _, err := net.SplitHostPort(c.Listen)
	problem("listen", err)
	_, err = tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
	problem("tls", err)
	if _, _, err := c.clients(); err != nil {
		problems = append(problems, err)
	}
	if c.Resolver != unboundResolver {
		_, err := netip.ParseAddrPort(c.Resolver)
		problem("resolver", err)
	}
	if c.HTTPPort == 0 || c.HTTPSPort == 0 {
		problem("http_port, https_port", errors.New("must be positive"))
	}
	if c.Connections < 1 {
		problem("connections", errors.New("must be positive"))
	}
	if c.DrainTimeout <= 0 {
		problem("drain_timeout", errors.New("must be positive"))
	}
	_, err = logLevel(c.Log.Level)
	problem("log.level", err)
	if c.Log.Format != "json" && c.Log.Format != "text" {
		problem("log.format", errors.New("must be json or text"))
	}
	return errors.Join(problems...)
}

// clients returns who may ask.
func (c *AgentConfig) clients() (fingerprints [][sha256.Size]byte, cas *x509.CertPool, err error) {
	for _, text := range c.ClientFingerprints {
		fingerprint, err := web.ParseFingerprint(text)
		if err != nil {
			return nil, nil, fmt.Errorf("client_fingerprints: %w", err)
		}
		fingerprints = append(fingerprints, fingerprint)
	}
	if c.ClientCAFile != "" {
		if cas, err = readPool(c.ClientCAFile); err != nil {
			return nil, nil, fmt.Errorf("client_ca_file: %w", err)
		}
	}
	if len(fingerprints) == 0 && cas == nil {
		return nil, nil, errors.New("client_fingerprints, client_ca_file: give at least one: nobody could ask")
	}
	return fingerprints, cas, nil
}

// readPool reads a file of certificates.
func readPool(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}

// PerspectiveTLS returns how the server of this side asks a perspective: with the
// certificate of the first two files, which are read at each handshake so that a
// renewed one needs no restart; the perspective's own certificate is verified by the
// CAs in caFile or by its SHA-256 fingerprint, of which exactly one is not "". It
// reports an error if a file cannot be read.
func PerspectiveTLS(certFile, keyFile, caFile, fingerprint string, clock telamon.Clock) (*tls.Config, error) {
	cfg := perspective.ClientTLSConfig{Clock: clock}
	cfg.Certificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate: %w", err)
		}
		return &cert, nil
	}
	if _, err := cfg.Certificate(nil); err != nil {
		return nil, err
	}
	if caFile != "" {
		pool, err := readPool(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the CAs of a perspective: %w", err)
		}
		cfg.RootCAs = pool
	}
	if fingerprint != "" {
		sum, err := web.ParseFingerprint(fingerprint)
		if err != nil {
			return nil, err
		}
		cfg.Fingerprint = &sum
	}
	return perspective.ClientTLS(cfg)
}
