package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/signer"
)

func newInit() *cobra.Command {
	return command("init", "Make the signer's keystore and what both ends prove themselves by",
		"The key-encryption key and the certificates are made where the configuration says that they\n"+
			"are, unless they are there. The server gets, beside the signer's certificate, a certificate and\n"+
			"a key of its own: move that key to it. A keystore that exists is not touched. No CA key is\n"+
			"made: telamon init asks for them.",
		func(cmd *cobra.Command, cfg *Config) error {
			if err := makeKEK(cfg); err != nil {
				return err
			}
			log := cfg.newLog(cmd.ErrOrStderr())
			d, err := cfg.openDevice(cmd.Context(), log) // before anything is made that depends on it
			if err != nil {
				return err
			}
			if d != nil {
				defer d.Close()
			}
			ksCfg, err := cfg.keystoreConfig(d, log)
			if err != nil {
				return err
			}
			ks, err := keystore.Create(ksCfg)
			if err != nil {
				return err
			}
			if err := ks.Close(); err != nil {
				return err
			}
			return makePair(cmd, cfg, false)
		})
}

func newPair() *cobra.Command {
	return command("pair", "Exchange what both ends prove themselves by",
		"Makes another certificate and key for the signer and for its first server, and replaces the\n"+
			"files. Then restart the signer, bring the files to the server, and restart that.",
		func(cmd *cobra.Command, cfg *Config) error { return makePair(cmd, cfg, true) })
}

// makeKEK makes the key-encryption key's file, unless there is one.
func makeKEK(cfg *Config) error {
	if cfg.Keys.KEKFile == "" {
		return nil
	}
	_, text := keystore.NewKEK()
	err := writeNew(cfg.Keys.KEKFile, []byte(text+"\n"))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// makePair makes the certificates and keys of the signer and of its first server. The
// server's key is beside its certificate, with the ending .key.
func makePair(cmd *cobra.Command, cfg *Config, replace bool) error {
	client := cfg.ClientCertFiles[0]
	clientKey := strings.TrimSuffix(client, filepath.Ext(client)) + ".key"
	for _, end := range []struct{ name, cert, key string }{
		{"telamon-signer", cfg.CertFile, cfg.KeyFile}, {"telamon", client, clientKey},
	} {
		if _, err := os.Stat(end.cert); err == nil && !replace {
			continue
		}
		cert, key, err := signer.NewIdentity(end.name)
		if err != nil {
			return err
		}
		for path, text := range map[string][]byte{end.key: key, end.cert: cert} {
			if replace {
				if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
			if err := writeNew(path, text); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "telamon-signer: this is keys.signer of the server's configuration; the files are to be where the server reads them:")
	text, err := yaml.Marshal(struct {
		Socket         string `yaml:"socket"`
		CertFile       string `yaml:"cert_file"`
		KeyFile        string `yaml:"key_file"`
		SignerCertFile string `yaml:"signer_cert_file"`
	}{cfg.Socket, client, clientKey, cfg.CertFile})
	if err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(text)
	return err
}

// writeNew writes a file that must not exist, for its owner alone, and durably.
func writeNew(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
