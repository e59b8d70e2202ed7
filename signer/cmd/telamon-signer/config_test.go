package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const leastConfig = "socket: s\nkeys: {dir: keys, kek_file: kek}\ncert_file: signer.crt\nkey_file: signer.key\nclient_cert_files: [server.crt]\n"

func TestParseConfig(t *testing.T) {
	if _, err := parseConfig([]byte(leastConfig)); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"nothing":           "",
		"an unknown key":    leastConfig + "pin: 1234\n",
		"another format":    leastConfig + "log_format: xml\n",
		"no socket":         strings.Replace(leastConfig, "socket: s\n", "", 1),
		"no clients":        strings.Replace(leastConfig, "[server.crt]", "[]", 1),
		"no encryption key": strings.Replace(leastConfig, ", kek_file: kek", "", 1),
		"no YAML":           "a: b: c",
	} {
		if cfg, err := parseConfig([]byte(text)); err == nil {
			t.Errorf("%s is read as %+v", name, cfg)
		}
	}
	t.Setenv(envKEK, strings.Repeat("00", 32))
	if _, err := parseConfig([]byte(leastConfig)); err == nil {
		t.Error("two key-encryption keys are read")
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(leastConfig))
	f.Fuzz(func(t *testing.T, text []byte) {
		if cfg, err := parseConfig(text); err == nil && (cfg.Socket == "" || cfg.Keys.Dir == "" || len(cfg.ClientCertFiles) == 0) {
			t.Errorf("%q is accepted as %+v", text, cfg)
		}
	})
}

// TestPIN holds that a PIN comes from the environment, or from a file that nobody else
// can read.
func TestPIN(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := &Config{PINFile: path}
	if pin, err := cfg.pin(); err != nil || pin != "1234" {
		t.Errorf("the file's PIN is %q, %v", pin, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.pin(); err == nil {
		t.Error("a PIN is read that others can read")
	}
	t.Setenv(envPIN, "5678")
	if pin, err := cfg.pin(); err != nil || pin != "5678" {
		t.Errorf("the environment's PIN is %q, %v", pin, err)
	}
}
