package bench

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/crypto/ocsp"
)

// prepareOCSP measures answers that are ready: to POST, without a nonce, for all the
// certificates in turn. Each is asked for once before, and its answer verified.
func prepareOCSP(ctx context.Context, clients []*client, serials []string) (operation, error) {
	for _, c := range clients {
		if err := c.dialStatus(ctx); err != nil {
			return operation{}, err
		}
	}
	issuer, path, err := findResponder(clients[0], serials[0])
	if err != nil {
		return operation{}, err
	}
	requests := make([][]byte, len(serials))
	for i, text := range serials {
		serial, ok := new(big.Int).SetString(text, 16)
		if !ok {
			return operation{}, fmt.Errorf("%q is no serial number", text)
		}
		der, err := ocsp.CreateRequest(&x509.Certificate{SerialNumber: serial}, issuer, nil)
		if err != nil {
			return operation{}, err
		}
		c := clients[0].status
		requests[i] = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/ocsp-request\r\nContent-Length: %d\r\n\r\n%s",
			path, c.host, len(der), der)
		r, err := c.exchange(requests[i])
		if err != nil {
			return operation{}, err
		}
		answer, err := ocsp.ParseResponse(r.body, issuer)
		if err != nil || answer.Status != ocsp.Good || answer.SerialNumber.Cmp(serial) != 0 {
			return operation{}, fmt.Errorf("the answer for %s is %+v, %w", text, answer, err)
		}
	}
	const least = 200 // octets of an answer that says something
	return operation{do: func(c *client, n int64) error {
		r, err := c.status.exchange(requests[n%int64(len(requests))])
		if err != nil {
			return err
		}
		if len(r.body) < least {
			return fmt.Errorf("the answer has %d octets", len(r.body))
		}
		return r.expect(http.StatusOK)
	}}, nil
}

// findResponder returns the issuer of a certificate, from where the certificate says
// that it is, and the path at which OCSP answers for it.
func findResponder(c *client, serial string) (issuer *x509.Certificate, path string, err error) {
	cert, err := readCertificate(c, serial)
	if err != nil {
		return nil, "", err
	}
	if len(cert.IssuingCertificateURL) == 0 {
		return nil, "", errors.New("the certificate does not say where its issuer's is")
	}
	u, err := url.Parse(cert.IssuingCertificateURL[0])
	if err != nil {
		return nil, "", err
	}
	r, err := c.status.send(http.MethodGet, u.Path, nil, "")
	if err == nil {
		err = r.expect(http.StatusOK)
	}
	if err != nil {
		return nil, "", err
	}
	if issuer, err = x509.ParseCertificate(r.body); err != nil {
		return nil, "", err
	}
	at := strings.LastIndex(u.Path, "/ca/")
	if at < 0 {
		return nil, "", fmt.Errorf("%s is no URL of an issuer of ours", u)
	}
	return issuer, u.Path[:at] + "/ocsp/" + strings.TrimSuffix(u.Path[at+len("/ca/"):], ".cer"), nil
}
