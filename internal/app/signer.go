package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/signer"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// CAKeys are the CA keys, wherever they are: in the keystore, behind a signer, or in
// both while an installation moves.
type CAKeys interface {
	issuance.Keys
	CheckKey(name string) error
	SignHash(name string, owner keystore.Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) ([]byte, error)
	ReadJournal(name string) iter.Seq2[keystore.Record, error]
}

// problem reports what is wrong with the configuration of a signer. Nothing is wrong
// with none.
func (c *SignerConfig) problem() error {
	files := c.CertFile != "" && c.KeyFile != "" && c.SignerCertFile != ""
	switch {
	case c.Socket == "" && (c.CertFile != "" || c.KeyFile != "" || c.SignerCertFile != ""):
		return errors.New("socket is required")
	case c.Socket != "" && !files:
		return errors.New("cert_file, key_file and signer_cert_file are required with a socket")
	case c.Wait <= 0:
		return errors.New("wait must be positive")
	}
	return nil
}

// client returns a client of the signer, nil if none is configured. It need not
// answer yet.
func (c *SignerConfig) client() (*signer.Client, error) {
	if c.Socket == "" {
		return nil, nil
	}
	if err := c.problem(); err != nil {
		return nil, fmt.Errorf("keys.signer: %w", err)
	}
	own, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("keys.signer: %w", err)
	}
	text, err := os.ReadFile(c.SignerCertFile)
	if err != nil {
		return nil, fmt.Errorf("keys.signer: %w", err)
	}
	peer, err := signer.ParsePeer(text)
	if err != nil {
		return nil, fmt.Errorf("keys.signer: read %s: %w", c.SignerCertFile, err)
	}
	uids := c.UIDs
	if len(uids) == 0 {
		uids = []uint32{uint32(os.Getuid())}
	}
	return signer.NewClient(signer.ClientConfig{Socket: c.Socket, Certificate: own, Server: peer, UIDs: uids, Wait: c.Wait})
}

// caKeys returns the CA keys of a keystore and of a signer, which may be nil.
func caKeys(files *keystore.Keystore, client *signer.Client) CAKeys {
	if client == nil {
		return files
	}
	return signer.NewSplit(client, files)
}

// OpenSigner returns a client of the signer that the configuration names, for tools;
// nil if it names none. The caller closes it.
func OpenSigner(cfg Config) (*signer.Client, error) { return cfg.Keys.Signer.client() }

// askSigner looks whether the signer could sign.
func (a *App) askSigner(context.Context) error {
	if a.signer == nil {
		return nil
	}
	return a.signer.Health()
}

// signerFailing reports from memory why the signer cannot sign.
func (a *App) signerFailing() error {
	if a.signer == nil {
		return nil
	}
	return a.signer.Failing()
}
