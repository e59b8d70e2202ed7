package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/signer"
)

func newServe() *cobra.Command {
	return command("serve", "Answer on the socket until SIGINT or SIGTERM",
		"What is in hand when the signal comes is finished. The device's PIN comes from pin_file or the\n"+
			"environment variable "+envPIN+".",
		func(cmd *cobra.Command, cfg *Config) error {
			return serve(cmd.Context(), cfg, cfg.newLog(cmd.ErrOrStderr()))
		})
}

func serve(ctx context.Context, cfg *Config, log *slog.Logger) error {
	serverCfg, err := cfg.serverConfig(log)
	if err != nil {
		return err
	}
	d, err := cfg.openDevice(ctx, log)
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
	if serverCfg.Keys, err = keystore.Open(ksCfg); err != nil {
		return err
	}
	defer serverCfg.Keys.Close()
	server, err := signer.NewServer(serverCfg)
	if err != nil {
		return err
	}
	listener, err := listen(cfg)
	if err != nil {
		return err
	}
	stop := refresh(ctx, serverCfg.Keys, log)
	defer stop()
	log.Info("serving", "socket", cfg.Socket, "keys", len(serverCfg.Keys.Names()))
	err = server.Serve(ctx, listener)
	log.Info("stopped")
	return err
}

// serverConfig reads the files of the certificates.
func (c *Config) serverConfig(log *slog.Logger) (signer.ServerConfig, error) {
	own, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return signer.ServerConfig{}, fmt.Errorf("cert_file: %w", err)
	}
	var clients []*x509.Certificate
	for _, path := range c.ClientCertFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return signer.ServerConfig{}, fmt.Errorf("client_cert_files: %w", err)
		}
		peer, err := signer.ParsePeer(text)
		if err != nil {
			return signer.ServerConfig{}, fmt.Errorf("client_cert_files: %s: %w", path, err)
		}
		clients = append(clients, peer)
	}
	return signer.ServerConfig{Certificate: own, Clients: clients, UIDs: c.uids(), Log: log}, nil
}

func (c *Config) uids() []uint32 {
	if len(c.UIDs) == 0 {
		return []uint32{uint32(os.Getuid())}
	}
	return c.UIDs
}

// listen opens the socket. Where another user may connect, the file system lets
// everybody knock; who may come in is told by the kernel and by TLS.
func listen(cfg *Config) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(cfg.Socket), 0o755); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := removeStale(cfg.Socket); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	listener, err := net.Listen("unix", cfg.Socket)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	mode := os.FileMode(0o600)
	if slices.ContainsFunc(cfg.uids(), func(uid uint32) bool { return uid != uint32(os.Getuid()) }) {
		mode = 0o666
	}
	if err := os.Chmod(cfg.Socket, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), listener.Close())
	}
	return listener, nil
}

// removeStale removes the socket that a killed signer left, but not one that answers.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there and is no socket", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("a signer is running on %s", path)
	}
	return os.Remove(path)
}

// refreshEvery is how often keys are looked for that another signer, which shares the
// directory, has made.
const refreshEvery = 10 * time.Second

// refresh looks for such keys until it is stopped.
func refresh(ctx context.Context, keys *keystore.Keystore, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(refreshEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := keys.Refresh(); err != nil {
					log.Error("cannot read keys that have come", "error", err)
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
