package playground_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/playground"
)

// run runs a program on what it gets from standard input.
func run(t *testing.T, in, program string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	var said bytes.Buffer
	command.Stdin, command.Stderr = strings.NewReader(in), &said
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s%s", program, strings.Join(args, " "), err, out, said.Bytes())
	}
	return string(out)
}

func openssl(t *testing.T, in string, args ...string) string {
	t.Helper()
	return run(t, in, "openssl", args...)
}

// requestFor asks for a plain certificate in the way of a credential.
func requestFor(t *testing.T, c *playground.Credential) map[string]any {
	t.Helper()
	request := plainRequest(t)
	var key crypto.Signer = rsaKey()
	if c.KeyType == "ECDSA" {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, request["public_key"] = made, csrFor(t, made)
	}
	if c.KeyFormat == "PKCS10" {
		return request
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	request["public_key"] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	if c.SignsKeys {
		digest := sha256.Sum256(spki)
		signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		request["public_key_signature"] = base64.StdEncoding.EncodeToString(signature)
	}
	return request
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOpenSSLVerifies has openssl check what each credential is issued.
func TestOpenSSLVerifies(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		for i := range w.Description.Credentials {
			credential := &w.Description.Credentials[i]
			t.Run(credential.Name, func(t *testing.T) {
				c, dir := w.loggedIn(credential.Name), t.TempDir()
				a := c.do(http.MethodGet, "/trustchain", nil)
				var chain []string
				if err := json.Unmarshal(a.body, &chain); err != nil || len(chain) != 2 {
					t.Fatalf("the trust chain: %s", a)
				}
				issuing, root := writeFile(t, filepath.Join(dir, "issuing.pem"), chain[0]), writeFile(t, filepath.Join(dir, "root.pem"), chain[1])
				openssl(t, "", "verify", "-x509_strict", "-CAfile", root, issuing)
				if credential.DomainValidation {
					return // it has no claims, so it is issued nothing
				}
				_, cert := c.issue(t, requestFor(t, credential))
				leaf := writeFile(t, filepath.Join(dir, "leaf.pem"), cert)
				openssl(t, "", "verify", "-x509_strict", "-CAfile", root, "-untrusted", issuing, leaf)
			})
		}
		t.Run("the main job's", func(t *testing.T) {
			openssl(t, "", "verify", "-x509_strict", "-CAfile", w.Description.ServerCAFile, "-untrusted", w.Certificate, w.Certificate)
		})
	})
}

// TestToolsLogIn has curl and openssl s_client log in with the files of a playground.
func TestToolsLogIn(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{})
	for _, c := range w.Description.Credentials {
		body := fmt.Sprintf(`{"api_key": %q, "api_secret": %q}`, c.APIKey, c.APISecret)
		t.Run("curl as "+c.Name, func(t *testing.T) {
			out := run(t, body, "curl", "--silent", "--show-error", "--fail", "--cacert", w.Description.ServerCAFile, "--cert", c.CertFile, "--key", c.KeyFile,
				"--header", "Content-Type: application/json;charset=utf-8", "--data-binary", "@-", w.Description.AtlasURL+"/login")
			if token := (&answer{body: []byte(out)}).member("access_token"); token == "" {
				t.Errorf("curl was answered %s", out)
			}
		})
		t.Run("openssl as "+c.Name, func(t *testing.T) {
			u, err := url.Parse(w.Description.AtlasURL)
			if err != nil {
				t.Fatal(err)
			}
			request := fmt.Sprintf("POST /v2/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			out := openssl(t, request, "s_client", "-quiet", "-connect", u.Host, "-servername", "localhost", "-verify_hostname", "localhost",
				"-verify_return_error", "-CAfile", w.Description.ServerCAFile, "-cert", c.CertFile, "-key", c.KeyFile)
			if !strings.HasPrefix(out, "HTTP/1.1 200 OK\r\n") || !strings.Contains(out, `"access_token"`) {
				t.Errorf("openssl was answered %s", out)
			}
		})
	}
}
