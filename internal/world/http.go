package world

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxRequests is how many requests the history keeps; the oldest go first.
const maxRequests = 10_000

// HTTP is the web servers of all hosts of the world: one listener for http and one
// for https, whose certificate is self-signed, since whoever validates control by a
// file does not verify it. It is safe for concurrent use.
type HTTP struct {
	plain, secure net.Listener
	servers       [2]*http.Server
	serving       sync.WaitGroup

	mu       sync.Mutex // guards what follows
	files    map[fileKey][]byte
	handlers map[string]http.Handler
	requests []Request
}

type fileKey struct{ host, path string }

// A File is one that is served.
type File struct {
	Host string `json:"host"` // lower case, without a port
	Path string `json:"path"` // starts with a slash
	Size int    `json:"size"` // in octets
}

// A Request is one that was received.
type Request struct {
	Host   string // lower case, without a port
	Path   string // decoded
	Scheme string // http or https
}

// StartHTTP listens on two addresses, whose ports may be 0, and serves until Close.
// Every host is unknown at first.
func StartHTTP(httpAddr, httpsAddr string) (*HTTP, error) {
	certificate, err := selfSigned()
	if err != nil {
		return nil, err
	}
	plain, err := net.Listen("tcp", httpAddr)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP: %w", err)
	}
	secure, err := net.Listen("tcp", httpsAddr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for HTTPS: %w", err), plain.Close())
	}
	h := &HTTP{plain: plain, secure: secure, files: map[fileKey][]byte{}, handlers: map[string]http.Handler{}}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	for i, listener := range []net.Listener{plain, tls.NewListener(secure, config)} {
		scheme := []string{"http", "https"}[i]
		h.servers[i] = newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, scheme) }))
		h.serving.Go(func() { _ = h.servers[i].Serve(listener) })
	}
	return h, nil
}

// newServer returns a server that neither waits for a header for ever nor writes to
// the log of the program. What handlers do may take any time.
func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// Addr returns the address of the plain listener.
func (h *HTTP) Addr() string { return h.plain.Addr().String() }

// TLSAddr returns the address of the TLS listener.
func (h *HTTP) TLSAddr() string { return h.secure.Addr().String() }

// Close ends the listeners and all connections, and waits for the listeners. A
// handler that still runs sees its request's context end.
func (h *HTTP) Close() error {
	err := errors.Join(h.servers[0].Close(), h.servers[1].Close())
	h.serving.Wait()
	return err
}

// Put serves a copy of body for the path, which starts with a slash, on the host.
func (h *HTTP) Put(host, path string, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[fileKey{hostOnly(host), path}] = bytes.Clone(body)
}

// Delete ends what Put began, and reports whether there was such a file.
func (h *HTTP) Delete(host, path string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := fileKey{hostOnly(host), path}
	_, ok := h.files[key]
	delete(h.files, key)
	return ok
}

// Handle lets a handler answer all requests to the host for which there is no file;
// nil ends it. The handler has to return when its request's context ends.
func (h *HTTP) Handle(host string, handler http.Handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if handler == nil {
		delete(h.handlers, hostOnly(host))
		return
	}
	h.handlers[hostOnly(host)] = handler
}

// Files returns the files that are served, in the order of their names.
func (h *HTTP) Files() []File {
	h.mu.Lock()
	defer h.mu.Unlock()
	files := make([]File, 0, len(h.files))
	for key, body := range h.files {
		files = append(files, File{key.host, key.path, len(body)})
	}
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Path, b.Path))
	})
	return files
}

// Requests returns the requests that were received, oldest first: the last 10,000.
func (h *HTTP) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests)
}

func (h *HTTP) serve(w http.ResponseWriter, r *http.Request, scheme string) {
	host := hostOnly(r.Host)
	h.mu.Lock()
	if len(h.requests) == maxRequests {
		h.requests = slices.Delete(h.requests, 0, 1)
	}
	h.requests = append(h.requests, Request{host, r.URL.Path, scheme})
	body, ok := h.files[fileKey{host, r.URL.Path}]
	handler := h.handlers[host]
	h.mu.Unlock()
	switch {
	case ok && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(body) // the client may have gone
	case ok:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a file can only be read", http.StatusMethodNotAllowed)
	case handler != nil:
		handler.ServeHTTP(w, r)
	default:
		http.Error(w, "there is no such file on this host", http.StatusNotFound)
	}
}

// hostOnly returns a host in lower case, without a port, brackets or a final dot.
func hostOnly(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func (h *HTTP) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.files)
}
