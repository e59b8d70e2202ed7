package app_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"strings"
	"testing"
)

// TestServerCertificateOfONE holds that a certificate that the operator brings is for both
// names, when the server starts and when it reads the files anew, and that the one it has
// stays if it is not (digicert-one.md, Section 2.2, T10).
func TestServerCertificateOfONE(t *testing.T) {
	o := newOne(t)
	stranger := dial{}
	if got := o.me(stranger, clientauthHost, ""); !got.is(isNoAuth) {
		t.Fatalf("before: %s", got)
	}
	key := newKey(t)
	half, _ := selfSigned(t, key, &x509.Certificate{Subject: pkix.Name{CommonName: oneHost}, DNSNames: []string{oneHost}})
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		o.cfg.TLS.CertFile: {Type: "CERTIFICATE", Bytes: half.Raw}, o.cfg.TLS.KeyFile: {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	complaint := func(err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "tls.cert_file: names.digicert_one: ") || !strings.Contains(err.Error(), clientauthHost) {
			t.Errorf("the error is %v", err)
		}
	}
	complaint(o.server.Reload(t.Context(), o.cfg))
	if got := o.me(stranger, clientauthHost, ""); !got.is(isNoAuth) {
		t.Errorf("after a reload that failed: %s", got)
	}
	server, err := o.app.Listen(t.Context())
	if complaint(err); err == nil {
		server.Close()
	}
}
