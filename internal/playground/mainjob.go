package playground

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// certificateFile holds the certificate of the last main job and its chain.
const certificateFile = "certificate.pem"

// mainJob performs the main job as a client of the server: a login over mTLS, the
// policy, a certificate for a new key, its retrieval, the trust chain, and the
// verification of the whole. It returns the path of the certificate.
func (p *playground) mainJob(ctx context.Context, d *Description) (string, error) {
	credential := &d.Credentials[0]
	c, err := p.newClient(d, credential)
	if err != nil {
		return "", err
	}
	defer c.http.CloseIdleConnections()
	fmt.Fprintf(p.Out, "the main job, as credential %s over mTLS:\n", credential.Name)
	if err := c.login(ctx, credential); err != nil {
		return "", err
	}
	if _, err := c.do(ctx, http.MethodGet, "/validationpolicy", nil, nil, "the validation policy"); err != nil {
		return "", err
	}
	csr, err := newCSR()
	if err != nil {
		return "", err
	}
	header, err := c.do(ctx, http.MethodPost, "/certificates", map[string]any{
		"validity":   map[string]any{"not_before": p.Clock.Now().Unix(), "not_after": 0},
		"subject_dn": map[string]any{"common_name": "testsubject"},
		"signature":  map[string]any{"hash_algorithm": "SHA-256"},
		"public_key": csr,
	}, nil, "a certificate for a new RSA key")
	if err != nil {
		return "", err
	}
	location := header.Get("Location")
	serial := location[strings.LastIndexByte(location, '/')+1:]
	var issued struct {
		Certificate string `json:"certificate"`
	}
	if _, err := c.do(ctx, http.MethodGet, "/certificates/"+serial, nil, &issued, "the certificate "+serial); err != nil {
		return "", err
	}
	var chain []string
	if _, err := c.do(ctx, http.MethodGet, "/trustchain", nil, &chain, "the trust chain"); err != nil {
		return "", err
	}
	leaf, err := verify(issued.Certificate, chain, p.Clock.Now())
	if err != nil {
		return "", err
	}
	fmt.Fprintf(p.Out, "  the chain verifies: %s, valid until %s\n", leaf.Subject, leaf.NotAfter.Format(time.RFC3339))
	text := issued.Certificate
	for _, ca := range chain {
		text += "\n" + ca
	}
	path := p.path(certificateFile)
	fmt.Fprintf(p.Out, "  certificate and chain: %s\n", path)
	return path, writeFile(path, []byte(text+"\n"))
}

// client speaks the Atlas API as simply as a client can.
type client struct {
	http  *http.Client
	url   string
	token string
	out   io.Writer
}

func (p *playground) newClient(d *Description, c *Credential) (*client, error) {
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	roots, err := os.ReadFile(d.ServerCAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, Time: p.Clock.Now, MinVersion: tls.VersionTLS12}
	return &client{
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 30 * time.Second}, url: d.AtlasURL, out: p.Out,
	}, nil
}

func (c *client) login(ctx context.Context, credential *Credential) error {
	var answer struct {
		Token string `json:"access_token"`
	}
	body := map[string]any{"api_key": credential.APIKey, "api_secret": credential.APISecret}
	if _, err := c.do(ctx, http.MethodPost, "/login", body, &answer, "a token"); err != nil {
		return err
	}
	c.token = answer.Token
	return nil
}

// do makes a request, prints it as a line of the transcript, and decodes the
// answer.
func (c *client) do(ctx context.Context, method, path string, body, answer any, what string) (http.Header, error) {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json;charset=utf-8")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	start := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c.out, "  %-4s %-20s %d  %s (%d ms)\n", method, path[:min(len(path), 20)], res.StatusCode, what, time.Since(start).Milliseconds())
	if res.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, res.Status, bytes.TrimSpace(text))
	}
	if answer != nil {
		if err := json.Unmarshal(text, answer); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	return res.Header, nil
}

// newCSR returns the PEM of a CSR for a new RSA key.
func newCSR() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), err
}

// verify checks a certificate against the chain that the server gave, whose last
// element is the root.
func verify(text string, chain []string, now time.Time) (*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("the trust chain is empty")
	}
	parse := func(text string) (*x509.Certificate, error) {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return nil, fmt.Errorf("no PEM in %.40q", text)
		}
		return x509.ParseCertificate(block.Bytes)
	}
	leaf, err := parse(text)
	if err != nil {
		return nil, err
	}
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for i, text := range chain {
		ca, err := parse(text)
		if err != nil {
			return nil, err
		}
		if i == len(chain)-1 {
			options.Roots.AddCert(ca)
		} else {
			options.Intermediates.AddCert(ca)
		}
	}
	_, err = leaf.Verify(options)
	return leaf, err
}
