package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// DigiCertONE is a user of the API of DigiCert ONE. Its hosts are not looked up: they
// are at the address of the target's URL.
type DigiCertONE struct {
	BaseURL       string // such as https://one.localhost:8443
	ClientAuthURL string // the same of the face that asks for certificates
	APIKey        string
}

// prepareMe measures who-am-I over mTLS: GET /user/me on connections that show a client
// authentication certificate, which the user gets for it.
func prepareMe(ctx context.Context, target *Target, clients []*client) (operation, error) {
	if target.DigiCertONE == nil {
		return operation{}, errors.New("the playground was made without DigiCert ONE: make another one with --reset")
	}
	cert, err := issueUserCert(ctx, target, clients[0])
	if err != nil {
		return operation{}, err
	}
	for _, c := range clients {
		if c.one, err = dialONE(ctx, c, target.DigiCertONE.ClientAuthURL, *cert); err != nil {
			return operation{}, err
		}
	}
	request := fmt.Appendf(nil, "GET /account/api/v1/user/me HTTP/1.1\r\nHost: %s\r\n\r\n", clients[0].one.host)
	return operation{do: func(c *client, _ int64) error {
		r, err := c.one.exchange(request)
		if err != nil {
			return err
		}
		return r.expect(http.StatusOK)
	}}, nil
}

// dialONE connects to a face of DigiCert ONE at the address of a client.
func dialONE(ctx context.Context, at *client, base string, certs ...tls.Certificate) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no https URL", base)
	}
	c := &client{target: at.target, host: u.Host, address: at.host, tls: &tls.Config{
		RootCAs: at.tls.RootCAs, Certificates: certs, ServerName: u.Hostname(), NextProtos: []string{"http/1.1"},
	}}
	return c, c.connect(ctx)
}

// issueUserCert makes a key and has it certified for the user.
func issueUserCert(ctx context.Context, target *Target, at *client) (*tls.Certificate, error) {
	c, err := dialONE(ctx, at, target.DigiCertONE.BaseURL)
	if err != nil {
		return nil, err
	}
	defer c.close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: target.CommonName}}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{
		"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), "name": "bench " + rand.Text(),
	})
	if err != nil {
		return nil, err
	}
	r, err := c.exchange(fmt.Appendf(nil, "POST /account/api/v1/client-auth-certificate HTTP/1.1\r\nHost: %s\r\nx-api-key: %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", c.host, target.DigiCertONE.APIKey, len(body), body))
	if err != nil {
		return nil, err
	}
	if err := r.expect(http.StatusCreated); err != nil {
		return nil, fmt.Errorf("issue a client authentication certificate: %w", err)
	}
	var issued struct {
		Certificate string `json:"x509_cert"`
	}
	if err := json.Unmarshal(r.body, &issued); err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(issued.Certificate))
	if block == nil {
		return nil, errors.New("the answer holds no certificate")
	}
	return &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}, nil
}
