package lifecycle_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/atlas"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/keycheck"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/web"
)

const policyTemplate = `{
	"validity": {"secondsmin": 60, "secondsmax": 17280000, "not_before_negative_skew": 120, "not_before_positive_skew": 3600},
	"subject_dn": {"common_name": {"presence": "REQUIRED", "format": "^[a-z0-9.-]+$"}},
	"key_usages": {"digital_signature": "STATIC_TRUE"},
	"extended_key_usages": {"ekus": {"static": true, "list": ["1.3.6.1.5.5.7.3.1"]}},
	"signature": {
		"algorithm": {"presence": "OPTIONAL", "list": ["ECDSA"]},
		"hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256"]}
	},
	"public_key": {"key_type": "ECDSA", "allowed_lengths": [256], "key_format": "PKCS10"},
	"public_key_signature": "OPTIONAL"
}`

// customer is a client of the Atlas API.
type customer struct {
	*world
	iam         *iam.IAM
	api         http.Handler
	key, secret string
	csr         string
}

func newCustomer(t *testing.T, w *world) *customer {
	t.Helper()
	ctx, checker := t.Context(), new(keycheck.Checker)
	c := &customer{world: w}
	c.iam = iam.New(iam.Config{
		Store: w.db, Directory: w.know, Issuance: w.engine, Keys: w.keys, Clock: w.clock, KeyCheck: checker,
		ClientSeriesRSA: "client-auth-ec", ClientSeriesEC: "client-auth-ec",
	})
	authority := ra.New(ra.Config{
		Store: w.db, Directory: w.know, Issuance: w.engine, Clock: w.clock, Log: slog.New(slog.DiscardHandler), KeyCheck: checker,
		Validation: ra.Validation{Rules: rules.Default()},
	})
	c.api = web.Clients{}.Wrap(atlas.New(atlas.Config{RA: authority, IAM: c.iam, Clock: w.clock, Log: slog.New(slog.DiscardHandler)}))
	account := must(c.iam.CreateAccount(ctx, operator, iam.NewAccount{Name: "Acme"}))(t).ID
	service := must(c.iam.CreateService(ctx, operator, iam.ServiceSpec{
		Name: "tls", PolicyTemplate: []byte(policyTemplate), Series: "tls-ec", Unlimited: true,
	}))(t).ID
	subscription := must(c.iam.Subscribe(ctx, operator, account, service))(t).ID
	identity := must(c.iam.CreateIdentity(ctx, operator, account, "Acme", map[string]string{"organization": "Acme"}))(t).ID
	for _, state := range []telamon.IdentityState{telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive} {
		ok(t, c.iam.MoveIdentity(ctx, operator, account, identity, iam.IdentityMove{To: state}))
	}
	credential, secret, err := c.iam.CreateCredential(ctx, operator, iam.CredentialSpec{
		Account: account, Name: "api", Subscription: subscription, Identity: identity, MTLS: telamon.MTLSNone,
	})
	ok(t, err)
	c.key, c.secret = credential.Key, secret.Reveal()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(t)
	c.csr = string(bytes.TrimSpace(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})))
	return c
}

// call makes a request with a token, and decodes the answer into answer unless it is nil.
func (c *customer) call(t *testing.T, token, method, target string, body, answer any) *httptest.ResponseRecorder {
	t.Helper()
	text, err := json.Marshal(body)
	ok(t, err)
	r := httptest.NewRequest(method, "/v2"+target, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	ok(t, c.know.Poll(t.Context())) // as the background does each 250 ms
	w := httptest.NewRecorder()
	c.api.ServeHTTP(w, r)
	if answer != nil && w.Code < 300 {
		ok(t, json.Unmarshal(w.Body.Bytes(), answer))
	}
	return w
}

func (c *customer) login(t *testing.T) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	w := c.call(t, "", "POST", "/login", map[string]string{"api_key": c.key, "api_secret": c.secret}, &answer)
	if answer.AccessToken == "" {
		t.Fatalf("login: %d %s", w.Code, w.Body)
	}
	return answer.AccessToken
}

// chain returns what trustchain answers, parsed.
func (c *customer) chain(t *testing.T, token string) []*x509.Certificate {
	t.Helper()
	var texts []string
	if w := c.call(t, token, "GET", "/trustchain", nil, &texts); len(texts) != 2 {
		t.Fatalf("trustchain: %d %s", w.Code, w.Body)
	}
	var chain []*x509.Certificate
	for _, text := range texts {
		block, _ := pem.Decode([]byte(text))
		chain = append(chain, must(x509.ParseCertificate(block.Bytes))(t))
	}
	return chain
}

// issue issues a certificate under a token and returns it.
func (c *customer) issue(t *testing.T, token string) *x509.Certificate {
	t.Helper()
	w := c.call(t, token, "POST", "/certificates", map[string]any{
		"subject_dn": map[string]string{"common_name": "www.example.com"}, "public_key": c.csr,
	}, nil)
	if w.Code != http.StatusCreated {
		t.Fatalf("issue: %d %s", w.Code, w.Body)
	}
	return c.retrieve(t, token, path.Base(w.Header().Get("Location")))
}

func (c *customer) retrieve(t *testing.T, token, serial string) *x509.Certificate {
	t.Helper()
	var answer struct {
		Certificate string `json:"certificate"`
	}
	if w := c.call(t, token, "GET", "/certificates/"+serial, nil, &answer); answer.Certificate == "" {
		t.Fatalf("retrieve: %d %s", w.Code, w.Body)
	}
	block, _ := pem.Decode([]byte(answer.Certificate))
	return must(x509.ParseCertificate(block.Bytes))(t)
}

// agrees holds that what a token issues is of the issuing CA that its trustchain names.
func (c *customer) agrees(t *testing.T, token string, want *telamon.Issuer) *x509.Certificate {
	t.Helper()
	cert, chain := c.issue(t, token), c.chain(t, token)
	if !chain[0].Equal(want.Certificate) || cert.CheckSignatureFrom(chain[0]) != nil {
		t.Errorf("at %s trustchain answers %s, and the certificate is by %s, want %s",
			c.clock.Now().Format(time.RFC3339Nano), chain[0].Subject.CommonName, cert.Issuer.CommonName, want.Certificate.Subject.CommonName)
	}
	return cert
}

// TestRequirement91SwitchAtTheSetInstant has a token on each side of a switch, and no
// background work around it: the new token issues by the new issuing CA from the very
// instant on, the old one finishes on its own, and for each the trust chain is that of
// what it issues. After an emergency the old token is good for nothing.
func TestRequirement91SwitchAtTheSetInstant(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		c := newCustomer(t, w)
		w.turn(t, "2027-02-26T09:00:00Z")
		line := w.line(t, "tls-ec")
		w.clock.Advance(instant(t, "2027-04-12T09:00:00Z").Sub(w.clock.Now()) - time.Millisecond)
		old := c.login(t)
		c.agrees(t, old, &line[0])
		w.clock.Advance(time.Millisecond)
		fresh := c.login(t)
		c.agrees(t, fresh, &line[1])
		c.agrees(t, old, &line[0])
		w.clock.Advance(telamon.TokenReach - 2*time.Millisecond)
		c.agrees(t, old, &line[0])
		w.clock.Advance(time.Millisecond)
		if got := c.call(t, old, "GET", "/trustchain", nil, nil); got.Code != http.StatusUnauthorized {
			t.Errorf("after %s the old token gets %d", telamon.TokenReach, got.Code)
		}
		ok(t, w.Turn(t.Context()))
		ok(t, w.Enforce(t.Context()))
		last := c.login(t)
		c.agrees(t, last, &line[1])

		must(w.Rotate(t.Context(), operator, lifecycle.RotateRequest{Series: "tls-ec", Now: true, EndTokens: true}))(t)
		for _, target := range []string{"/trustchain", "/validationpolicy"} {
			if got := c.call(t, last, "GET", target, nil, nil); got.Code != http.StatusUnauthorized {
				t.Errorf("after an emergency GET %s gives %d", target, got.Code)
			}
		}
		c.agrees(t, c.login(t), w.active(t, "tls-ec"))
	})
}

// TestRequirement87ChainOfItsOwnIssuer holds that the chain of a certificate is that of
// its own issuer, whoever is active by now.
func TestRequirement87ChainOfItsOwnIssuer(t *testing.T) {
	each(t, start, func(t *testing.T, w *world) {
		c := newCustomer(t, w)
		first := w.active(t, "tls-ec")
		cert := c.agrees(t, c.login(t), first)
		serial, _ := telamon.SerialFromInt(cert.SerialNumber)
		for _, at := range []string{"2027-02-26T09:00:00Z", "2027-04-12T09:00:00Z", "2027-05-28T09:00:00Z", "2027-07-12T09:00:00Z", "2027-07-12T09:12:00Z"} {
			w.turn(t, at)
		}
		token := c.login(t)
		if c.chain(t, token)[0].Equal(first.Certificate) {
			t.Fatal("there was no rotation; this proves nothing")
		}
		again := c.retrieve(t, token, serial.String())
		entry, _, err := w.db.CertificateOf(t.Context(), serial)
		ok(t, err)
		chain := must(w.engine.Chain(entry.Issuer))(t)
		if !again.Equal(cert) || entry.Issuer != first.ID || !chain[0].Equal(first.Certificate) || again.CheckSignatureFrom(chain[0]) != nil {
			t.Errorf("two rotations later the certificate is by %s, and its chain begins with %s", entry.Issuer, chain[0].Subject.CommonName)
		}
		w.verifyTo(t, again.Raw, chain, chain[1])
	})
}
