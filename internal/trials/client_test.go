//go:build linux

package trials

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/telamon-ca/telamon/internal/playground"
)

// credential is the playground's that the clients use: elliptic curves are fast.
const credential = "dev_ecdsa"

// An access is what clients need to know of an installation.
type access struct {
	credential *playground.Credential
	tls        *tls.Config
}

func newAccess(t *testing.T, d *playground.Description) *access {
	t.Helper()
	c, err := d.Credential(credential)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := os.ReadFile(d.ServerCAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	return &access{credential: c, tls: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}}
}

// newCSR returns a request for a key of its own: one that was compromised is certified
// no more.
func newCSR() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), nil
}

// A client speaks to one life of a server. It is safe for concurrent use.
type client struct {
	http       *http.Client
	url, token string
}

// login makes a client of a server.
func (a *access) login(s *server) (*client, error) {
	c := &client{url: s.atlas, http: &http.Client{
		Timeout: patience, Transport: &http.Transport{TLSClientConfig: a.tls.Clone(), MaxIdleConnsPerHost: workers},
	}}
	answer, err := c.do(http.MethodPost, "/login", map[string]any{"api_key": a.credential.APIKey, "api_secret": a.credential.APISecret})
	if err != nil {
		return nil, err
	}
	var login struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(answer.body, &login); err != nil || answer.status != http.StatusOK {
		c.close()
		return nil, fmt.Errorf("login: %s", answer)
	}
	c.token = login.Token
	return c, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// An answer was read whole.
type answer struct {
	status   int
	location string
	body     []byte
}

func (a *answer) String() string { return fmt.Sprintf("%d, %.300s", a.status, a.body) }

// do makes a request. It returns an error if there is no whole answer.
func (c *client) do(method, path string, body any) (*answer, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequest(method, c.url+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return &answer{res.StatusCode, res.Header.Get("Location"), read}, nil
}
