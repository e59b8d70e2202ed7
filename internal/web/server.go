package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// The limits of connections. They end what a slow or idle client holds.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
)

// NewServer returns a server with limits on time and size. What net/http has to
// say, such as failed handshakes, is logged at debug level: strangers cause it.
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(debugHandler{log.Handler()}, slog.LevelDebug),
	}
}

// debugHandler lowers the level of what passes through it.
type debugHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h debugHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	r.Message = strings.TrimSpace(r.Message)
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// Drain stops the servers: no new connections, and what is in flight may finish
// until ctx ends. It reports the servers whose requests were cut off.
func Drain(ctx context.Context, servers ...*http.Server) error {
	results := make(chan error)
	for _, s := range servers {
		go func() { results <- s.Shutdown(ctx) }()
	}
	var errs []error
	for range servers {
		if err := <-results; err != nil {
			errs = append(errs, fmt.Errorf("drain: %w", err))
		}
	}
	for _, s := range servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
