package publish

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/telamon-ca/telamon/internal/store"
)

// BucketConfig names an S3-compatible bucket.
type BucketConfig struct {
	Endpoint  string // the service's URL
	Name      string
	Prefix    string // before the paths
	Region    string
	AccessKey string
	Secret    string
}

// A Bucket is a Target in S3 or something that speaks its protocol. Requests are signed
// by Signature Version 4, their bodies included, and name the bucket in their path.
type Bucket struct {
	base   *url.URL
	cfg    BucketConfig
	signer *v4.Signer
	client *http.Client
}

// bucketTimeout bounds one upload.
const bucketTimeout = time.Minute

// Check reports what is wrong with the configuration, but for a secret that is missing.
func (c BucketConfig) Check() error {
	base, err := url.Parse(c.Endpoint)
	switch {
	case err != nil:
		return fmt.Errorf("endpoint: %w", err)
	case base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.RawQuery != "" || base.User != nil:
		return errors.New("endpoint must be an http or https URL of a host")
	case c.Name == "" || strings.Contains(c.Name, "/"):
		return errors.New("name is required, without a slash")
	case c.Region == "" || c.AccessKey == "":
		return errors.New("region and access_key are required")
	}
	return nil
}

// NewBucket returns the target of a bucket, which need not answer yet.
func NewBucket(cfg BucketConfig) (*Bucket, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Secret == "" {
		return nil, errors.New("the secret of the access key is required")
	}
	base, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	// Paths are escaped once in S3, and not again for the signature.
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	client := &http.Client{Timeout: bucketTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a redirected request would have another signature
	}}
	return &Bucket{base, cfg, signer, client}, nil
}

// Name implements Target.
func (b *Bucket) Name() string { return b.base.JoinPath(b.cfg.Name, b.cfg.Prefix).String() }

// Shared implements Target.
func (b *Bucket) Shared() bool { return true }

// Put implements Target. An object of S3 is replaced at once.
func (b *Bucket) Put(ctx context.Context, path string, crl *store.CRL, write func(io.Writer) error) error {
	in, out := io.Pipe()
	defer in.Close()
	go func() { out.CloseWithError(write(out)) }()
	place := b.base.JoinPath(b.cfg.Name, b.cfg.Prefix, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, place.String(), in)
	if err != nil {
		return err
	}
	hash := hex.EncodeToString(crl.SHA256[:])
	req.ContentLength = crl.Size
	req.Header.Set("Content-Type", "application/pkix-crl")
	req.Header.Set("Cache-Control", CacheControl(crl, b.now()))
	req.Header.Set("X-Amz-Content-Sha256", hash)
	credentials := aws.Credentials{AccessKeyID: b.cfg.AccessKey, SecretAccessKey: b.cfg.Secret}
	if err := b.signer.SignHTTP(ctx, credentials, req, hash, "s3", b.cfg.Region, b.now()); err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	res, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 512)) // says why, as XML
		return fmt.Errorf("PUT %s: %s: %s", place, res.Status, text)
	}
	return nil
}

// now is the system's time: the service compares it with its own.
func (b *Bucket) now() time.Time { return time.Now().UTC() }
