package digicertone

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"
)

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
		before := threadTime(b)
		if err := conn.HandshakeContext(b.Context()); err != nil {
			b.Fatal(err)
		}
		spent += threadTime(b) - before
		if len(conn.ConnectionState().PeerCertificates) != 1 || conn.ConnectionState().DidResume {
			b.Fatal("the handshake is not a full one with a certificate")
		}
		conn.Close()
	}
	b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "cpu-ms/handshake")
}

// threadTime returns the processor time of the calling thread.
func threadTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
