package digicertone

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// BenchmarkMe measures GET /user/me over mTLS, on connections that are kept alive, beside
// a handler that does nothing but to write the same answer over TLS to the same client.
func BenchmarkMe(b *testing.B) {
	w := newWorld(b, func(cfg *Config) { cfg.Log = slog.New(slog.DiscardHandler) })
	c, _ := w.robot(b, "bench", time.Time{}, "AM_ACCOUNT_ADMIN")
	_, cert := w.newCert(b, c, "bench")
	a := w.do(b, client{auth: true, cert: cert}, "GET", "/account/api/v1/user/me", "")
	if a.status != http.StatusOK {
		b.Fatalf("the answer is %d %s", a.status, a.body)
	}
	b.Run("telamon", func(b *testing.B) { askAlive(b, w, w.address, *cert) })
	b.Run("trivial", func(b *testing.B) { askAlive(b, w, serveTrivial(b, w, a.body), *cert) })
}

// serveTrivial serves an answer on a listener of TLS that asks for certificates and looks
// at none, and returns its address.
func serveTrivial(b *testing.B, w *world, body string) string {
	config := &tls.Config{Certificates: []tls.Certificate{*w.server}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}}
	listener := got(tls.Listen("tcp", "127.0.0.1:0", config))(b)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		io.WriteString(w, body)
	})}
	go srv.Serve(listener)
	b.Cleanup(func() { srv.Close() })
	return listener.Addr().String()
}

// askAlive asks who it is on one connection for each processor.
func askAlive(b *testing.B, w *world, address string, cert tls.Certificate) {
	request := fmt.Appendf(nil, "GET /account/api/v1/user/me HTTP/1.1\r\nHost: %s\r\n\r\n", authHost)
	config := &tls.Config{RootCAs: w.roots, ServerName: authHost, Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := tls.Dial("tcp", address, config)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for pb.Next() {
			if err := exchange(conn, in, request); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// exchange sends a request and reads its answer, which must be 200.
func exchange(conn *tls.Conn, in *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", response.Status)
	}
	return nil
}
