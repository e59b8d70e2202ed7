package signer_test

import (
	"crypto/x509"
	"testing"

	"github.com/telamon-ca/telamon/internal/issuance"
)

// BenchmarkSign is what a signature of a P-256 key costs by the keystore itself and over
// the socket, with four callers at a time.
func BenchmarkSign(b *testing.B) {
	w := newWorld(b)
	_, made := hierarchy(b, w.client, w.clock)
	ca := made.Issuers[1]
	signed, err := issue(b.Context(), engineOf(b, w.client, made, w.clock), made, w.clock)
	if err != nil {
		b.Fatal(err)
	}
	cert, err := x509.ParseCertificate(signed.DER)
	if err != nil {
		b.Fatal(err)
	}
	for _, way := range []struct {
		name string
		keys issuance.Keys
	}{{"keystore", w.keys}, {"signer", w.client}} {
		b.Run(way.name, func(b *testing.B) {
			b.SetParallelism(2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := way.keys.SignCertificate(ca.KeyName, cert.RawTBSCertificate); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
