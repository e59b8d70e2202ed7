package perspective

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
)

// ClientConfig says where a remote perspective is and who it has to be.
type ClientConfig struct {
	Name   string // see CheckName
	Region string
	URL    string // https://host or https://host:port
	// TLS holds the certificate of this side and how that of the other side is
	// verified; see [ClientTLS]. It is not changed.
	TLS *tls.Config
	// Timeout bounds a question from start to end; 0 and more than dcv.Timeout are
	// dcv.Timeout.
	Timeout time.Duration
}

// Client asks a remote perspective. It is a [dcv.Perspective], and safe for
// concurrent use. Connections are kept for further questions; nothing else is.
type Client struct {
	name, region, base string
	timeout            time.Duration
	http               *http.Client
}

// The limits of the connections to one perspective.
const (
	idleConnections = 16
	idleTimeout     = time.Minute // shorter than that of the other side
	maxHeader       = 16 << 10
)

// NewClient returns a client, after checking the configuration: it connects to
// nothing yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := CheckName(cfg.Name, cfg.Region); err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("perspective %s: %w", cfg.Name, err)
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("perspective %s: %q is not https://host:port and nothing else", cfg.Name, cfg.URL)
	}
	if cfg.TLS == nil || len(cfg.TLS.Certificates) == 0 && cfg.TLS.GetClientCertificate == nil {
		return nil, fmt.Errorf("perspective %s: there is no client certificate", cfg.Name)
	}
	if cfg.TLS.InsecureSkipVerify && cfg.TLS.VerifyConnection == nil {
		return nil, fmt.Errorf("perspective %s: nothing verifies its certificate", cfg.Name)
	}
	config := cfg.TLS.Clone()
	config.MinVersion = tls.VersionTLS13
	return &Client{
		name: cfg.Name, region: cfg.Region, base: "https://" + u.Host, timeout: bounded(cfg.Timeout, dcv.Timeout),
		http: &http.Client{
			Transport: &http.Transport{
				Proxy: nil, TLSClientConfig: config, TLSHandshakeTimeout: dcv.Timeout, DisableCompression: true,
				MaxIdleConns: idleConnections, MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: idleTimeout,
				MaxResponseHeaderBytes: maxHeader,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close ends the connections that wait for further questions.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Validate implements dcv.Perspective. It reports an error if the perspective cannot
// be reached or does not prove who it is, refuses the question, or answers for
// another attempt, under another name, or at more length than is read. An error of
// one that did not answer in time has context.DeadlineExceeded in its chain.
func (c *Client) Validate(ctx context.Context, q dcv.Question) (dcv.Finding, error) {
	return ask(ctx, c, validatePath, q, checkFinding)
}

// CheckCAA implements dcv.Perspective. Its errors are those of Validate.
func (c *Client) CheckCAA(ctx context.Context, q dcv.CAAQuestion) (telamon.CAACheck, error) {
	return ask(ctx, c, caaPath, q, checkCAA)
}

// Health asks the perspective who it is, and reports an error if it is another one
// than configured.
func (c *Client) Health(ctx context.Context) (Health, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var health Health
	err := c.exchange(ctx, http.MethodGet, healthPath, nil, &health)
	if err == nil {
		err = c.is(health.Name, health.Region)
	}
	if err != nil {
		return Health{}, fmt.Errorf("ask perspective %s: %w", c.name, err)
	}
	return health, nil
}

// ask asks one question.
func ask[Q, R any](ctx context.Context, c *Client, path string, q Q, check func(Q, R) error) (R, error) {
	var none R
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	sent := request[Q]{Attempt: newAttempt(), TimeoutMS: remaining(ctx).Milliseconds(), Question: q}
	body, err := json.Marshal(sent)
	if err != nil {
		return none, fmt.Errorf("ask perspective %s: %w", c.name, err)
	}
	var got response[R]
	if err := c.exchange(ctx, http.MethodPost, path, body, &got); err != nil {
		return none, fmt.Errorf("ask perspective %s: %w", c.name, err)
	}
	err = c.is(got.Perspective, got.Region)
	if err == nil && got.Attempt != sent.Attempt {
		err = errors.New("the answer is of another attempt")
	}
	if err == nil {
		err = check(q, got.Result)
	}
	if err != nil {
		return none, fmt.Errorf("ask perspective %s: %w", c.name, err)
	}
	return got.Result, nil
}

// remaining is the time that the other side has: a tenth less than ctx, half a second
// at most, so that it can still say that it ran out of time. It is at least a
// millisecond, the least that can be asked for.
func remaining(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline() // the caller has set one
	left := time.Until(deadline)
	return max(left-min(left/10, 500*time.Millisecond), time.Millisecond)
}

// is returns an error unless an answer comes from the configured perspective.
func (c *Client) is(name, region string) error {
	if name != c.name || region != c.region {
		return fmt.Errorf("it says that it is %q in the region %q, not %q in %q", shortened(name), shortened(region), c.name, c.region)
	}
	return nil
}

// exchange makes one request and reads its answer.
func (c *Client) exchange(ctx context.Context, method, path string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		// Not sent: it lets the transport try again if a kept connection has died.
		req.Header["Idempotency-Key"] = []string{}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return err
	case len(text) > maxBody:
		return fmt.Errorf("the answer has more than %d octets", maxBody)
	case res.StatusCode != http.StatusOK:
		return refused(res.StatusCode, text)
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errors.New("the answer is not application/json")
	}
	if err := decode(bytes.NewReader(text), answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// refused returns the error of an answer that is not 200.
func refused(status int, text []byte) error {
	if status == http.StatusGatewayTimeout {
		return fmt.Errorf("status %d: %w", status, context.DeadlineExceeded)
	}
	var said problem
	if err := decode(bytes.NewReader(text), &said); err != nil || said.Error == "" {
		return fmt.Errorf("status %d", status)
	}
	return fmt.Errorf("status %d: %s", status, shortened(said.Error))
}
