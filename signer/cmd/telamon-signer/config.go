package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/signer/device"
)

// Config is the configuration file. docs/HSM.md has its manual.
type Config struct {
	// Socket is the path of the Unix socket.
	Socket string `yaml:"socket"`
	// UIDs are the users, by number, as which the server may run; none is the
	// signer's own.
	UIDs []uint32 `yaml:"uids"`
	// Keys says where the purposes, the references and the journals of the keys are.
	Keys struct {
		// Dir is a keystore's directory, mode 0700, of the signer alone.
		Dir string `yaml:"dir"`
		// KEKFile is a file of 32 bytes, as 64 hexadecimal digits, that encrypts it.
		// The environment variable TELAMON_SIGNER_KEK wins.
		KEKFile string `yaml:"kek_file"`
	} `yaml:"keys"`
	// Device is the URI of the device that makes and has the keys; "" keeps them in
	// Keys.Dir.
	Device string `yaml:"device"`
	// PINFile is a file with the device's PIN. The environment variable
	// TELAMON_SIGNER_PIN wins.
	PINFile string `yaml:"pin_file"`
	// CertFile and KeyFile are what the signer proves itself by.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ClientCertFiles are the certificates of the servers that may connect.
	ClientCertFiles []string `yaml:"client_cert_files"`
	// LogFormat is json or text.
	LogFormat string `yaml:"log_format"`
}

// The environment variables, which win over files.
const (
	envPIN = "TELAMON_SIGNER_PIN"
	envKEK = "TELAMON_SIGNER_KEK"
)

func loadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return cfg, nil
}

// parseConfig reads the text of a configuration and checks it.
func parseConfig(text []byte) (cfg *Config, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the file confuses the decoder: %v", r)
		}
	}()
	cfg = &Config{LogFormat: "json"}
	decoder := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	if err := decoder.Decode(cfg); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var problems []error
	for _, field := range []struct{ name, value string }{
		{"socket", cfg.Socket}, {"keys.dir", cfg.Keys.Dir}, {"cert_file", cfg.CertFile}, {"key_file", cfg.KeyFile},
	} {
		if field.value == "" {
			problems = append(problems, errors.New(field.name+" is required"))
		}
	}
	if len(cfg.ClientCertFiles) == 0 {
		problems = append(problems, errors.New("client_cert_files is required"))
	}
	if (cfg.Keys.KEKFile == "") == (os.Getenv(envKEK) == "") {
		problems = append(problems, errors.New("give either keys.kek_file or the environment variable "+envKEK))
	}
	if cfg.LogFormat != "json" && cfg.LogFormat != "text" {
		problems = append(problems, errors.New("log_format is neither json nor text"))
	}
	return cfg, errors.Join(problems...)
}

// newLog returns the log, to standard error.
func (c *Config) newLog(w io.Writer) *slog.Logger {
	if c.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

// kek returns the key-encryption key.
func (c *Config) kek() (keystore.KEK, error) {
	if text := os.Getenv(envKEK); text != "" {
		return keystore.ParseKEK(text)
	}
	return keystore.ReadKEK(c.Keys.KEKFile)
}

// pin returns the device's PIN, "" if none is given.
func (c *Config) pin() (string, error) {
	if text := os.Getenv(envPIN); text != "" {
		return text, nil
	}
	if c.PINFile == "" {
		return "", nil
	}
	info, err := os.Stat(c.PINFile)
	if err != nil {
		return "", fmt.Errorf("read PIN: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read PIN: %s can be read by others (mode %o): make it 0600", c.PINFile, info.Mode().Perm())
	}
	text, err := os.ReadFile(c.PINFile)
	if err != nil {
		return "", fmt.Errorf("read PIN: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// openDevice connects to the device, nil if the keys are in files.
func (c *Config) openDevice(ctx context.Context, log *slog.Logger) (*device.Device, error) {
	if c.Device == "" {
		return nil, nil
	}
	pin, err := c.pin()
	if err != nil {
		return nil, err
	}
	return device.Open(ctx, device.Config{URI: c.Device, PIN: pin, Log: log})
}

// keystoreConfig says where the keystore is.
func (c *Config) keystoreConfig(d *device.Device, log *slog.Logger) (keystore.Config, error) {
	kek, err := c.kek()
	if err != nil {
		return keystore.Config{}, err
	}
	cfg := keystore.Config{Dir: c.Keys.Dir, KEK: kek, Clock: telamon.SystemClock{}, Log: log}
	if d != nil {
		cfg.Device = d
	}
	return cfg, nil
}
