// Package atlastest replays what real clients of the Atlas API send, byte for
// byte, against a running server, and checks what they rely on in the answers.
//
// A fixture is a text file of requests and expected answers (see parseScript). It
// is sent over a TLS connection as it stands, so that it can hold what an HTTP
// library would mend: doubled slashes, missing lengths, odd header spellings. The
// names of headers in answers are compared with their case. What an applicant does
// outside of the API, such as publishing a token, is in the script too. Nothing here
// knows how the server is made; it holds for any implementation of the API.
package atlastest

import (
	"crypto/tls"
	"crypto/x509"
	"embed"
	"io/fs"
	"testing"
	"time"
)

//go:embed testdata/*.txt
var scripts embed.FS

// Scripts are the fixtures of every client whose code could be read, and those
// of requests that must be refused. They name the credentials dev_pkcs10,
// dev_pkcs8, dev_pkcs8_signed, dev_ecdsa and dev_tls of "telamon dev".
var Scripts, _ = fs.Sub(scripts, "testdata")

// A Target is the server that scripts run against.
type Target struct {
	Addr        string // dialled, such as 127.0.0.1:8443
	ServerName  string // for SNI, the Host header and the server's certificate
	Roots       *x509.CertPool
	Credentials map[string]Credential
	// Now returns the server's time.
	Now func() time.Time
	// Advance moves the server's clock on. If it is nil, a script that needs it
	// fails.
	Advance func(time.Duration)
	// World is where the server looks for what shows control of domains. If it is
	// nil, a script that needs it fails.
	World World
}

// A Credential is what a client is configured with.
type Credential struct {
	Key, Secret string
	Certificate tls.Certificate // none if it has no leaf
}

// RunScripts replays every *.txt file of scripts, in the order of their names and
// one after the other, each as a subtest.
func RunScripts(t *testing.T, scripts fs.FS, target *Target) {
	t.Helper()
	names, err := fs.Glob(scripts, "*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts, so this would prove nothing: %v", err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			text, err := fs.ReadFile(scripts, name)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseScript(name, string(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := run(s, target); err != nil {
				t.Error(err)
			}
		})
	}
}
