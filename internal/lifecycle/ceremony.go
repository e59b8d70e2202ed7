package lifecycle

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/telamon-ca/telamon/internal/crl"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
)

// requestVersion is that of the form of a file of requests.
const requestVersion = 1

// maxRequests bounds a file: every series twelve times.
const maxRequests = 1000

// requestFile is what a ceremony carries to a root.
type requestFile struct {
	Version  int                  `json:"version"`
	Requests []issuance.CARequest `json:"requests"`
}

// MarshalRequests returns the file that carries requests to a root.
func MarshalRequests(requests []issuance.CARequest) ([]byte, error) {
	text, err := json.MarshalIndent(requestFile{requestVersion, requests}, "", "  ")
	return append(text, '\n'), err
}

// ParseRequests reads such a file strictly.
func ParseRequests(text []byte) ([]issuance.CARequest, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var f requestFile
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("read the requests: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read the requests: there is more after the JSON value")
	}
	switch {
	case f.Version != requestVersion:
		return nil, fmt.Errorf("read the requests: they are of version %d, not %d", f.Version, requestVersion)
	case len(f.Requests) == 0 || len(f.Requests) > maxRequests:
		return nil, fmt.Errorf("read the requests: there are %d, not 1 to %d", len(f.Requests), maxRequests)
	}
	return f.Requests, nil
}

// Digest names a file, for people who compare what left one machine with what has come
// to another: the SHA-256 of its octets.
func Digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// A Ceremony signs requests with roots of a keystore that no server uses.
type Ceremony struct {
	keys *keystore.Keystore
	now  time.Time
}

// NewCeremony returns a ceremony at an instant.
func NewCeremony(keys *keystore.Keystore, now time.Time) *Ceremony { return &Ceremony{keys, now} }

// Root returns the name of the key and the certificate of the root that a request is
// for. It reports an error if the keystore has it not, or would refuse the request.
func (c *Ceremony) Root(r *issuance.CARequest) (string, *x509.Certificate, error) {
	name, cert, err := c.root(r.Root, r.RootKeyID)
	if err != nil {
		return "", nil, err
	}
	_, err = r.Template(cert, c.now)
	return name, cert, err
}

// root returns the name of the key and the certificate of the root with a subject key
// identifier. Its ID is for the message alone.
func (c *Ceremony) root(id, keyID string) (string, *x509.Certificate, error) {
	for _, name := range c.keys.Names() {
		cert, err := c.keys.Certificate(name)
		if err != nil {
			return "", nil, err
		}
		if cert != nil && bytes.Equal(cert.RawIssuer, cert.RawSubject) && hex.EncodeToString(cert.SubjectKeyId) == keyID {
			return name, cert, nil
		}
	}
	return "", nil, fmt.Errorf("the keystore has no root %s (key %s)", id, keyID)
}

// SignCRL returns the DER of the CRL that a request asks for, by the root that it names.
func (c *Ceremony) SignCRL(r *crl.Request) ([]byte, error) {
	name, cert, err := c.root(r.Issuer.String(), r.KeyID)
	if err != nil {
		return nil, err
	}
	return r.Sign(cert, c.now, func(tbsCertList io.Reader) ([]byte, error) { return c.keys.SignCRL(name, tbsCertList) })
}

// Sign signs a request.
func (c *Ceremony) Sign(r *issuance.CARequest) (*x509.Certificate, error) {
	name, root, err := c.Root(r)
	if err != nil {
		return nil, err
	}
	return issuance.SignCA(c.keys, name, root, r, c.now)
}
