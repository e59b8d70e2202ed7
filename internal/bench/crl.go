package bench

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// prepareCRL measures the download of the CRL that a certificate names, over plain HTTP
// as relying parties do it, one connection for each worker.
func prepareCRL(target *Target, c *client, serial string) (operation, error) {
	at, err := crlOf(target, c, serial)
	if err != nil {
		return operation{}, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1 << 10, DisableCompression: true}
	plain := &http.Client{Transport: transport, Timeout: 10 * requestTimeout}
	fetch := func() (int64, error) {
		res, err := plain.Get(at)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		n, err := io.Copy(io.Discard, res.Body)
		if err == nil && (res.StatusCode != http.StatusOK || n != res.ContentLength) {
			err = fmt.Errorf("GET %s: %s, %d octets of %d", at, res.Status, n, res.ContentLength)
		}
		return n, err
	}
	// The first CRL comes a moment after the server's start.
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	size, err := fetch()
	for n := 1; err != nil && n < crlAttempts; n++ {
		<-ticker.C
		size, err = fetch()
	}
	if err != nil {
		return operation{}, err
	}
	return operation{octets: size, do: func(*client, int64) error {
		n, err := fetch()
		if err == nil && n != size {
			err = fmt.Errorf("the CRL has %d octets, and had %d before", n, size)
		}
		return err
	}}, nil
}

// crlAttempts is how many seconds the first CRL is waited for.
const crlAttempts = 30

// crlOf returns the address of the CRL that a certificate names, on the server that is
// measured: its host may be another one.
func crlOf(target *Target, c *client, serial string) (string, error) {
	cert, err := readCertificate(c, serial)
	if err != nil {
		return "", err
	}
	if len(cert.CRLDistributionPoints) == 0 {
		return "", errors.New("the certificate names no CRL")
	}
	at, err := url.Parse(cert.CRLDistributionPoints[0])
	if err != nil {
		return "", err
	}
	base, err := url.Parse(target.StatusURL)
	if err != nil {
		return "", err
	}
	at.Scheme, at.Host = base.Scheme, base.Host
	return at.String(), nil
}

// readCertificate returns a certificate that was issued.
func readCertificate(c *client, serial string) (*x509.Certificate, error) {
	r, err := c.do(http.MethodGet, "/certificates/"+serial, nil)
	if err != nil {
		return nil, err
	}
	if err := r.expect(http.StatusOK); err != nil {
		return nil, err
	}
	var answer struct {
		Certificate string `json:"certificate"`
	}
	if err := json.Unmarshal(r.body, &answer); err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	block, _ := pem.Decode([]byte(answer.Certificate))
	if block == nil {
		return nil, errors.New("the answer holds no certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}
