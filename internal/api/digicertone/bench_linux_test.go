package digicertone

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// BenchmarkMe measures GET /user/me over mTLS, on connections that are kept alive, beside
// a handler that does nothing but to write the same answer over TLS to the same client.
// Where other work takes the processors, their time is what compares.
func BenchmarkMe(b *testing.B) {
	w := newWorld(b, func(cfg *Config) { cfg.Log = slog.New(slog.DiscardHandler) })
	c, _ := w.serviceUser(b, "bench", time.Time{}, "AM_ACCOUNT_ADMIN")
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
	before := cpuTime(b, syscall.RUSAGE_SELF)
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
	spent := cpuTime(b, syscall.RUSAGE_SELF) - before
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-us/request")
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

// BenchmarkHandshake measures what a full handshake with a client certificate, both keys
// of P-256, costs the server in processor time: that of the thread on which it runs.
func BenchmarkHandshake(b *testing.B) {
	w := newWorld(b, nil)
	cert := newCertificate(b, nil, &x509.Certificate{})
	listener := got(net.Listen("tcp", "127.0.0.1:0"))(b)
	defer listener.Close()
	client := &tls.Config{RootCAs: w.roots, ServerName: authHost, Certificates: []tls.Certificate{*cert}}
	go func() {
		for {
			conn, err := tls.Dial("tcp", listener.Addr().String(), client)
			if err != nil {
				return // the listener is closed
			}
			conn.Close()
		}
	}()
	server := w.faces.TLSConfig()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var spent time.Duration
	for b.Loop() {
		plain := got(listener.Accept())(b)
		conn := tls.Server(plain, server)
		before := cpuTime(b, syscall.RUSAGE_THREAD)
		if err := conn.HandshakeContext(b.Context()); err != nil {
			b.Fatal(err)
		}
		spent += cpuTime(b, syscall.RUSAGE_THREAD) - before
		if len(conn.ConnectionState().PeerCertificates) != 1 || conn.ConnectionState().DidResume {
			b.Fatal("the handshake is not a full one with a certificate")
		}
		conn.Close()
	}
	b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "cpu-ms/handshake")
}

// cpuTime returns the processor time of the process or of the calling thread.
func cpuTime(b *testing.B, who int) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(who, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
