package lint_test

import (
	stdx509 "crypto/x509"
	"testing"

	"github.com/zmap/zcrypto/x509"
	zlints "github.com/zmap/zlint/v3/lint"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// strictLeaf is what strict TLS has of a domain.
func strictLeaf(t testing.TB) func(*tbs.Template) {
	return func(m *tbs.Template) {
		m.OmitKeyID, m.PolicyOIDs = true, []stdx509.OID{oid(t, "2.23.140.1.2.1")}
	}
}

// BenchmarkCheck lints one certificate of a profile, by an issuer of a key type. The
// signature by the key that is thrown away is part of it.
func BenchmarkCheck(b *testing.B) {
	l := linter(b)
	subject, _ := newKey(b, tbs.ECP256)
	for _, keyType := range []tbs.KeyType{tbs.ECP256, tbs.RSA3072} {
		ca := newIssuer(b, keyType)
		for _, tt := range []struct {
			profile telamon.Profile
			change  func(*tbs.Template)
		}{{telamon.ProfilePrivate, nil}, {telamon.ProfileStrictTLS, strictLeaf(b)}} {
			b.Run(string(tt.profile)+"/"+string(keyType), func(b *testing.B) {
				der := build(b, ca.leaf(b, subject, tt.change))
				b.ReportAllocs()
				for b.Loop() {
					if failed := l.Check(b.Context(), tt.profile, der); len(failed) > 0 {
						b.Fatal(failed)
					}
				}
			})
		}
	}
}

// BenchmarkEach runs each lint of strict TLS alone; to rank them:
//
//	go test ./internal/lint -run '^$' -bench Each -benchtime 1000x | sort -k3nr | head
func BenchmarkEach(b *testing.B) {
	ca := newIssuer(b, tbs.ECP256)
	subject, _ := newKey(b, tbs.ECP256)
	der := build(b, ca.leaf(b, subject, strictLeaf(b)))
	algorithm, err := tbs.SignatureFor(ca.cert.PublicKey, "", "")
	must(b, err)
	_, signer := newKey(b, tbs.ECP256)
	signature, err := algorithm.Sign(signer, der)
	must(b, err)
	der, err = tbs.Assemble(der, algorithm, signature)
	must(b, err)
	cert, err := x509.ParseCertificate(der)
	must(b, err)
	configuration := zlints.NewEmptyConfig()
	for _, one := range zlints.GlobalRegistry().CertificateLints().Lints() {
		if !lint.Judges(telamon.ProfileStrictTLS, one.Name) {
			continue
		}
		b.Run(one.Name, func(b *testing.B) {
			for b.Loop() {
				one.Execute(cert, configuration)
			}
		})
	}
}
