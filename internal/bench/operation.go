package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// An operation is what is measured.
type operation struct {
	do     func(c *client, n int64) error // n numbers the operation
	limit  int64                          // how often it can be done; 0: without end
	octets int64                          // of one answer, if all have the same
}

// How many keys are made, by type: enough that no cache could hold the answer,
// few enough that RSA does not take minutes.
const (
	keysECDSA = 512
	keysRSA   = 24
)

// issuedForReading is how many certificates are issued for retrieve to read and for
// ocsp to ask for.
const issuedForReading = 500

// defaultRevocations is how many certificates are issued to be revoked if no
// number of operations is given.
const defaultRevocations = 2000

// prepare makes what the operation needs and returns it with the number of keys
// that were made.
func prepare(ctx context.Context, cfg Config, clients []*client) (operation, int, error) {
	switch cfg.Operation {
	case "login":
		return operation{do: func(c *client, _ int64) error { return c.login() }}, 0, nil
	case "list":
		op, err := prepareList(clients[0])
		return op, 0, err
	case "me":
		op, err := prepareMe(ctx, &cfg.Target, clients)
		return op, 1, err
	}
	cfg.OnProgress("making keys and requests")
	bodies, err := makeRequests(ctx, &cfg.Target)
	if err != nil {
		return operation{}, 0, err
	}
	issue := func(c *client, n int64) (string, error) {
		r, err := c.do(http.MethodPost, "/certificates", bodies[n%int64(len(bodies))])
		if err != nil {
			return "", err
		}
		return path.Base(r.location), r.expect(http.StatusCreated)
	}
	if cfg.Operation == "issue" {
		return operation{do: func(c *client, n int64) error {
			_, err := issue(c, n)
			return err
		}}, len(bodies), nil
	}
	count := issuedForReading
	switch cfg.Operation {
	case "crl":
		count = 1
	case "revoke":
		count = cfg.N
		if count == 0 {
			count = defaultRevocations
		}
	}
	cfg.OnProgress(fmt.Sprintf("issuing %d certificates", count))
	serials, err := issueMany(clients, count, issue)
	if err != nil {
		return operation{}, 0, err
	}
	if cfg.Operation == "revoke" {
		body := []byte(`{"revocation_reason":"superseded"}`)
		return operation{limit: int64(count), do: func(c *client, n int64) error {
			return call(c, http.MethodPatch, "/certificates/"+serials[n], body, http.StatusNoContent)
		}}, len(bodies), nil
	}
	if cfg.Operation == "crl" {
		op, err := prepareCRL(&cfg.Target, clients[0], serials[0])
		return op, len(bodies), err
	}
	if cfg.Operation == "ocsp" {
		cfg.OnProgress("asking for each of them once")
		op, err := prepareOCSP(ctx, clients, serials)
		return op, len(bodies), err
	}
	return operation{do: func(c *client, n int64) error {
		return call(c, http.MethodGet, "/certificates/"+serials[n%int64(len(serials))], nil, http.StatusOK)
	}}, len(bodies), nil
}

func call(c *client, method, path string, body []byte, status int) error {
	r, err := c.do(method, path, body)
	if err != nil {
		return err
	}
	return r.expect(status)
}

// prepareList measures pages of the certificates issued in the last 30 days, all
// over the listing.
func prepareList(c *client) (operation, error) {
	to := time.Now().Unix()
	query := fmt.Sprintf("/stats/issued?from=%d&to=%d&per_page=100&page=", to-30*24*3600, to)
	r, err := c.do(http.MethodGet, query+"1", nil)
	if err != nil {
		return operation{}, err
	}
	if err := r.expect(http.StatusOK); err != nil {
		return operation{}, err
	}
	total, err := strconv.ParseInt(r.total, 10, 64)
	if err != nil {
		return operation{}, fmt.Errorf("read Total-Count: %w", err)
	}
	pages := max(1, (total+99)/100)
	return operation{do: func(c *client, n int64) error {
		page := 1 + n*7919%pages // a prime step visits all pages in no order
		return call(c, http.MethodGet, query+strconv.FormatInt(page, 10), nil, http.StatusOK)
	}}, nil
}

// issueMany issues certificates on all connections and returns their serials.
func issueMany(clients []*client, count int, issue func(*client, int64) (string, error)) ([]string, error) {
	serials := make([]string, count)
	var group errgroup.Group
	for worker, c := range clients {
		group.Go(func() error {
			for i := worker; i < count; i += len(clients) {
				serial, err := issue(c, int64(i))
				if err != nil {
					return err
				}
				serials[i] = serial
			}
			return nil
		})
	}
	return serials, group.Wait()
}

// makeRequests returns the bodies of certificate requests, each for another key.
func makeRequests(ctx context.Context, target *Target) ([][]byte, error) {
	count := keysECDSA
	if target.KeyType == "RSA" {
		count = keysRSA
	}
	bodies := make([][]byte, count)
	for i := range bodies {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		body, err := makeRequest(target)
		if err != nil {
			return nil, err
		}
		bodies[i] = body
	}
	return bodies, nil
}

func makeRequest(target *Target) ([]byte, error) {
	key, err := makeKey(target.KeyType)
	if err != nil {
		return nil, err
	}
	request := map[string]any{
		"validity":   map[string]int64{"not_before": 0, "not_after": 0}, // from now, as long as possible
		"subject_dn": map[string]string{"common_name": target.CommonName},
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	block := &pem.Block{Type: "PUBLIC KEY", Bytes: spki}
	if target.KeyFormat == "PKCS10" {
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			return nil, err
		}
		block = &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}
	}
	request["public_key"] = string(pem.EncodeToMemory(block))
	if target.SignsKeys {
		digest := sha256.Sum256(spki)
		signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			return nil, err
		}
		request["public_key_signature"] = base64.StdEncoding.EncodeToString(signature)
	}
	return json.Marshal(request)
}

func makeKey(keyType string) (crypto.Signer, error) {
	if keyType == "RSA" {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}
