// Package openid is a relying party of OpenID Connect: it leads a browser to a provider,
// exchanges the code that comes back, and verifies the ID token. It keeps no state of a
// sign-in, and does not know whom an identity belongs to.
//
// It trusts a provider for the identities of those who chose that provider, and for nothing
// else: the provider's addresses are chosen by customers, so they are dialled by package
// egress, its answers are bounded, and redirects are not followed.
package openid

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/fault"
)

const (
	timeout  = 5 * time.Second // for an answer of a provider
	maxBody  = 1 << 20         // octets of it
	fresh    = time.Hour       // after which a provider's endpoints are read again
	maxKnown = 1000            // providers that are remembered
)

// algorithms are those by which ID tokens may be signed: none that takes a shared secret,
// so that nobody signs with what is public, and not "none".
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// A Provider is a provider and what we are to it.
type Provider struct {
	Issuer       string // an https URL
	ClientID     string
	ClientSecret string
	RedirectURL  string // where it sends browsers back
}

// A Flow is what binds a token to one sign-in. Both values are secrets of that sign-in.
type Flow struct {
	Nonce    string
	Verifier string // of PKCE (RFC 7636)
}

// NewVerifier returns a new value for Flow.Verifier.
func NewVerifier() string { return oauth2.GenerateVerifier() }

// An Identity is what a verified ID token says.
type Identity struct {
	Issuer, Subject string
	Email           string // as the provider writes it
	EmailVerified   bool
	MFA             bool // the provider saw several factors: the method "mfa" (RFC 8176)
}

// A RefusedError says why what a provider gave is not believed. It holds nothing that the
// provider answered.
type RefusedError struct{ cause error }

// Error implements error.
func (e *RefusedError) Error() string { return "the provider's answer is refused: " + e.cause.Error() }

// NewHTTP returns the client by which providers are asked through a dialer.
func NewHTTP(dialer *egress.Dialer) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded bounds the bodies of answers.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxBody)
	}
	return answer, err
}

// Client asks providers. It is safe for concurrent use.
type Client struct {
	http  *http.Client
	clock telamon.Clock

	mu    sync.Mutex
	known map[string]*described // by issuer; guarded by mu
}

// described is a provider as it described itself.
type described struct {
	read     time.Time
	provider *oidc.Provider
}

// New returns a client that asks by an HTTP client, whose answers it bounds.
func New(client *http.Client, clock telamon.Clock) *Client {
	own := *client
	if own.Transport == nil {
		own.Transport = http.DefaultTransport
	}
	own.Transport = bounded{own.Transport}
	return &Client{http: &own, clock: clock, known: map[string]*described{}}
}

// Check asks a provider for its endpoints. It fails if it does not answer as one of this
// issuer (OpenID Connect Discovery, Section 4.3), and if an endpoint is not at an https URL:
// the client's secret goes there, and browsers do.
func (c *Client) Check(ctx context.Context, issuer string) error {
	_, err := c.describe(ctx, issuer)
	return err
}

func (c *Client) describe(ctx context.Context, issuer string) (*oidc.Provider, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, c.http), timeout)
	defer cancel()
	p, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	var endpoints struct {
		Keys string `json:"jwks_uri"`
	}
	if err := p.Claims(&endpoints); err != nil {
		return nil, fmt.Errorf("read the provider's endpoints: %w", err)
	}
	for _, text := range []string{p.Endpoint().AuthURL, p.Endpoint().TokenURL, endpoints.Keys} {
		if u, err := url.Parse(text); err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, errors.New("the provider has an endpoint that is not an https URL")
		}
	}
	return p, nil
}

// provider returns what a provider said of itself within the hour. It reports Unavailable.
func (c *Client) provider(ctx context.Context, issuer string) (*oidc.Provider, error) {
	now := c.clock.Now()
	c.mu.Lock()
	known := c.known[issuer]
	c.mu.Unlock()
	if known != nil && now.Sub(known.read) < fresh {
		return known.provider, nil
	}
	found, err := c.describe(ctx, issuer)
	if err != nil {
		return nil, &fault.Fault{
			Kind: fault.Unavailable, Code: "oidc_unavailable", Detail: "The provider does not answer. Retry later.", RetryAfter: timeout, Cause: err,
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxKnown {
		clear(c.known)
	}
	c.known[issuer] = &described{read: now, provider: found}
	return found, nil
}

func (p *Provider) config(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: p.RedirectURL,
		Scopes: []string{oidc.ScopeOpenID, "email"},
	}
}

// Page returns the provider's page that a browser is to go to. It reports Unavailable.
func (c *Client) Page(ctx context.Context, p *Provider, state string, f Flow) (string, error) {
	found, err := c.provider(ctx, p.Issuer)
	if err != nil {
		return "", err
	}
	return p.config(found).AuthCodeURL(state, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), nil
}

// Exchange exchanges a code for an ID token and verifies it: signature by an algorithm
// that we chose, issuer, audience, times, nonce, and the hash of the access token if there
// is one (OpenID Connect Core, Section 3.1.3.7). It returns a [RefusedError] if the answer
// is not right, and reports Unavailable.
func (c *Client) Exchange(ctx context.Context, p *Provider, code string, f Flow) (*Identity, error) {
	found, err := c.provider(ctx, p.Issuer)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, c.http), 2*timeout)
	defer cancel()
	granted, err := p.config(found).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return nil, &RefusedError{errors.New("the code was not exchanged")} // the cause may hold what it answered
	}
	raw, ok := granted.Extra("id_token").(string)
	if !ok {
		return nil, &RefusedError{errors.New("there is no ID token")}
	}
	token, err := found.VerifierContext(ctx, &oidc.Config{
		ClientID: p.ClientID, SupportedSigningAlgs: algorithms, Now: c.clock.Now,
	}).Verify(ctx, raw)
	if err != nil {
		return nil, &RefusedError{err}
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(f.Nonce)) != 1 {
		return nil, &RefusedError{errors.New("the nonce is another one")}
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(granted.AccessToken); err != nil {
			return nil, &RefusedError{err}
		}
	}
	var claims struct {
		Email         string   `json:"email"`
		EmailVerified bool     `json:"email_verified"`
		Methods       []string `json:"amr"`
	}
	if err := token.Claims(&claims); err != nil {
		return nil, &RefusedError{fmt.Errorf("read the claims: %w", err)}
	}
	return &Identity{
		Issuer: token.Issuer, Subject: token.Subject, Email: claims.Email, EmailVerified: claims.EmailVerified,
		MFA: slices.Contains(claims.Methods, "mfa"),
	}, nil
}
