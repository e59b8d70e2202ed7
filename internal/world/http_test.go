package world

import (
	"crypto/tls"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func startHTTP(t *testing.T) *HTTP {
	t.Helper()
	h, err := StartHTTP("127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

// ask sends a request for a host to an address of the world.
func ask(t *testing.T, method, scheme, addr, host, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, scheme+"://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: hostOnly(host)}, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHTTP(t *testing.T) {
	h := startHTTP(t)
	body := []byte("token")
	h.Put("Example.test.", "/.well-known/x", body)
	body[0] = 'X'
	h.Handle("moved.test", http.RedirectHandler("http://example.test/", http.StatusFound))
	h.Put("moved.test", "/file", []byte("before the handler"))
	tests := []struct {
		name, method, host, path string
		status                   int
		body                     string
	}{
		{"a file", "GET", "example.test", "/.well-known/x", 200, "token"},
		{"a host in capitals with a port", "GET", "EXAMPLE.test:80", "/.well-known/x", 200, "token"},
		{"HEAD", "HEAD", "example.test", "/.well-known/x", 200, ""},
		{"POST", "POST", "example.test", "/.well-known/x", 405, ""},
		{"another path", "GET", "example.test", "/.well-known/y", 404, ""},
		{"another host", "GET", "www.example.test", "/.well-known/x", 404, ""},
		{"a handler", "GET", "moved.test", "/other", 302, ""},
		{"a file of a host with a handler", "GET", "moved.test", "/file", 200, "before the handler"},
	}
	for _, scheme := range []string{"http", "https"} {
		addr := map[string]string{"http": h.Addr(), "https": h.TLSAddr()}[scheme]
		for _, tt := range tests {
			t.Run(scheme+": "+tt.name, func(t *testing.T) {
				status, body := ask(t, tt.method, scheme, addr, tt.host, tt.path)
				if status != tt.status || tt.body != "" && body != tt.body {
					t.Errorf("%d %q, want %d %q", status, body, tt.status, tt.body)
				}
			})
		}
	}
	requests := h.Requests()
	if want := (Request{"example.test", "/.well-known/x", "http"}); len(requests) != 2*len(tests) || requests[0] != want {
		t.Errorf("%d requests, the first is %v, want %v", len(requests), requests[0], want)
	}
	if got := requests[len(requests)-1].Scheme; got != "https" {
		t.Errorf("the last request's scheme is %s", got)
	}
	if want := []File{{"example.test", "/.well-known/x", 5}, {"moved.test", "/file", 18}}; !slices.Equal(h.Files(), want) {
		t.Errorf("Files = %v, want %v", h.Files(), want)
	}
	if !h.Delete("EXAMPLE.test", "/.well-known/x") || h.Delete("example.test", "/.well-known/x") {
		t.Error("a file is deleted once")
	}
	h.Handle("moved.test", nil)
	if status, _ := ask(t, "GET", "http", h.Addr(), "moved.test", "/other"); status != 404 {
		t.Errorf("after the handler's end: %d", status)
	}
}

// TestHTTPClose checks that a handler which drips for ever ends with the server.
func TestHTTPClose(t *testing.T) {
	h, err := StartHTTP("127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan struct{})
	h.Handle("drip.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "x")
		w.(http.Flusher).Flush()
		close(started)
		<-r.Context().Done()
		close(ended)
	}))
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+h.Addr()+"/", nil)
	req.Host = "drip.test"
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-started
	if err := h.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	<-ended
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the body ended as if it were whole")
	}
}

func TestHostOnly(t *testing.T) {
	for host, want := range map[string]string{
		"A.test": "a.test", "a.test:80": "a.test", "a.test.": "a.test", "[::1]:80": "::1", "[::1]": "::1", "127.0.0.1:1": "127.0.0.1", "": "",
	} {
		if got := hostOnly(host); got != want {
			t.Errorf("hostOnly(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestStartHTTPTaken(t *testing.T) {
	h := startHTTP(t)
	if _, err := StartHTTP("127.0.0.1:0", h.TLSAddr()); err == nil || !strings.Contains(err.Error(), "HTTPS") {
		t.Errorf("err = %v", err)
	}
	if _, err := StartHTTP(h.Addr(), "127.0.0.1:0"); err == nil {
		t.Error("a port is listened on twice")
	}
}
