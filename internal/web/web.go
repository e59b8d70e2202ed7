// Package web is the HTTP plumbing that the faces share: who is at the other end
// of a connection, request IDs, logs and metrics, rate limits, the choice of a face
// by TLS server name, and servers with limits that start and drain in order.
//
// It knows no routes, bodies or errors of any dialect, and judges no certificate:
// it says which one the client proved to hold. It trusts headers of proxies that
// the configuration names, and of nobody else.
package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// contextKey is the type of this package's keys in a context.
type contextKey int

const (
	clientKey contextKey = iota
	requestIDKey
)

// RequestID returns the request's ID, by which logs, audit events and answers
// refer to it; "" outside of Instrument.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// newRequestID returns 16 random octets in hexadecimal. None is taken from
// outside: a client could choose one that confuses the logs.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:]) // does not fail (crypto/rand)
	return hex.EncodeToString(b[:])
}

// Observer is told of every request that was served. The pattern is "" if no route
// matched.
type Observer func(face, pattern, method string, status int, took time.Duration)

// Instrument gives each request an ID, limits its body and time, logs it, tells
// observe, and turns a panic into an answer of 500 without a body.
type Instrument struct {
	Face    string
	Log     *slog.Logger
	Observe Observer      // nil: nobody
	Timeout time.Duration // of a whole request; 0: none
	MaxBody int64         // bytes; 0: no limit
	// MaxBodyOf is the limit of one request, in place of MaxBody; nil: that is all's.
	MaxBodyOf func(*http.Request) int64
}

// Wrap returns next, instrumented.
func (i Instrument) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := newRequestID()
		ctx := context.WithValue(r.Context(), requestIDKey, id)
		if i.Timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, i.Timeout)
			defer cancel()
		}
		r = r.WithContext(ctx)
		limit := i.MaxBody
		if i.MaxBodyOf != nil {
			limit = i.MaxBodyOf(r)
		}
		if limit > 0 && r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
		w.Header().Set("X-Request-Id", id)
		recorded := &recorder{ResponseWriter: w}
		defer i.finish(recorded, r, id, start)
		next.ServeHTTP(recorded, r)
	})
}

// finish runs after a request, also after one that panicked.
func (i Instrument) finish(w *recorder, r *http.Request, id string, start time.Time) {
	if cause := recover(); cause != nil {
		if cause == http.ErrAbortHandler {
			panic(cause)
		}
		i.Log.ErrorContext(r.Context(), "handler panicked", "request_id", id, "face", i.Face, "route", r.Pattern,
			"cause", cause, "stack", string(debug.Stack()))
		if w.status == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	took := time.Since(start)
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	if i.Observe != nil {
		i.Observe(i.Face, r.Pattern, r.Method, status, took)
	}
	i.Log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("request_id", id), slog.String("face", i.Face),
		slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Int("status", status),
		slog.Duration("took", took), slog.String("address", ClientOf(r.Context()).Address.String()))
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the underlying writer.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
