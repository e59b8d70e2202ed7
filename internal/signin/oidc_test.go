package signin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/openid"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/testkit/idp"
)

// withProvider returns use cases that ask the provider, which is that of ada's account.
func (w *world) withProvider(t testing.TB, p *idp.Provider, mfa bool) (*person, telamon.AccountID) {
	t.Helper()
	w.client = p.Server.Client()
	w.Service, w.dir = w.replica(t)
	admin := w.administrator(t, ada, "Acme")
	s := w.live(t, admin.value)
	must(t, w.SetOIDC(t.Context(), s.Actor(), s.Account.ID, signin.OIDC{
		Issuer: p.Server.URL, ClientID: idp.ClientID, ClientSecret: idp.ClientSecret, AcceptsMFA: mfa,
	}))
	return admin, s.Account.ID
}

// visit goes to the provider and comes back.
func (w *world) visit(t testing.TB, p *idp.Provider, account telamon.AccountID) (string, *signin.Session, error) {
	t.Helper()
	page, browser, err := w.BeginOIDC(t.Context(), account)
	must(t, err)
	state, code := p.Authorize(t, page, portal+signin.OIDCPath)
	return w.FinishOIDC(t.Context(), state, code, browser, home)
}

func TestOIDC(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := idp.New(t, w.clock, ada)
		admin, account := w.withProvider(t, p, true)
		value, s, err := w.visit(t, p, account)
		must(t, err)
		if s.Need != signin.NeedSecondFactor || s.Method != "oidc" || s.User.Email != ada {
			t.Errorf("the session is %+v, want one that needs a second factor", s)
		}
		must(t, errorOf(w.SecondFactor(ctx, w.live(t, value), w.code(t, admin))))

		// The provider says that it saw a second factor; the subject is known by now.
		p.Claims = map[string]any{"amr": []string{"pwd", "mfa"}, "email": "renamed@example.com", "email_verified": false}
		value, s, err = w.visit(t, p, account)
		must(t, err)
		if s.Need != signin.NeedNothing || w.live(t, value).Actor().SecondFactorAt.IsZero() {
			t.Errorf("the session needs %q", s.Need)
		}
		shown := got(w.OIDC(ctx, s.Actor(), account))(t)
		if shown.ClientSecret != "" || shown.Issuer != p.Server.URL || !shown.AcceptsMFA {
			t.Errorf("the setting is shown as %+v", shown)
		}
		if n := w.count(t, "SELECT count(*) FROM account_oidc WHERE CAST(secret_sealed AS TEXT) LIKE '%secret%'"); n != 0 {
			t.Error("the client's secret is in the database")
		}
		must(t, w.RemoveOIDC(ctx, s.Actor(), account))
		mustBe(t, w.RemoveOIDC(ctx, s.Actor(), account), fault.NotFound, "oidc_not_found")
		_, _, err = w.BeginOIDC(ctx, account)
		mustBe(t, err, fault.NotFound, "oidc_not_found")
	})
}

// TestOIDCForged gives tokens that are wrong in one way each.
func TestOIDCForged(t *testing.T) {
	w := newWorld(t, sqlite(t))
	p := idp.New(t, w.clock, ada)
	_, account := w.withProvider(t, p, true)
	other := got(rsa.GenerateKey(rand.Reader, 2048))(t)
	curve := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: got(x509.MarshalPKIXPublicKey(p.Key.Public()))(t)})
	right := p.Sign
	unsigned := func(_ testing.TB, payload []byte) string {
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
		return header + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	for _, tt := range []struct {
		name   string
		claims map[string]any
		sign   func(testing.TB, []byte) string
	}{
		{"signed by another key", nil, p.Signer(jose.RS256, other)},
		{"signed by another kind of key", nil, p.Signer(jose.ES256, curve)},
		{"a MAC by the public key", nil, p.Signer(jose.HS256, public)},
		{"a MAC by the public key's modulus", nil, p.Signer(jose.HS256, p.Key.N.Bytes())},
		{"a MAC by the client's secret", nil, p.Signer(jose.HS256, []byte(strings.Repeat(idp.ClientSecret, 2)))},
		{"not signed", nil, unsigned},
		{"changed after it was signed", nil, func(t testing.TB, payload []byte) string {
			parts := strings.Split(right(t, payload), ".")
			parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), `"pwd"`, `"mfa"`, 1) + " "))
			return strings.Join(parts, ".")
		}},
		{"for another client", map[string]any{"aud": "another"}, right},
		{"of another issuer", map[string]any{"iss": "https://evil.example"}, right},
		{"expired", map[string]any{"exp": w.clock.Now().Add(-time.Minute).Unix()}, right},
		{"of another flow", map[string]any{"nonce": "another"}, right},
		{"without a nonce", map[string]any{"nonce": ""}, right},
		{"for another access token", map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, right},
		{"an address that is not verified", map[string]any{"email_verified": false}, right},
		{"an address of nobody", map[string]any{"email": "eve@example.com"}, right},
		{"no address", map[string]any{"email": ""}, right},
		{"an address that is none", map[string]any{"email": "Ada <ada@example.com>"}, right},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.Claims, p.Sign = tt.claims, tt.sign
			value, s, err := w.visit(t, p, account)
			mustBe(t, err, fault.Unauthenticated, "oidc_refused")
			if value != "" || s != nil {
				t.Error("there is a session")
			}
		})
	}
	p.Claims, p.Sign = nil, right
	must(t, func() error { _, _, err := w.visit(t, p, account); return err }())
	p.Claims = map[string]any{"sub": "another"} // the provider has given the address to somebody else
	_, _, err := w.visit(t, p, account)
	mustBe(t, err, fault.Unauthenticated, "oidc_refused")
}

// TestOIDCFlow ends flows that were not begun so.
func TestOIDCFlow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := idp.New(t, w.clock, ada)
		_, account := w.withProvider(t, p, false)
		begin := func() (state, code, browser string) {
			t.Helper()
			page, browser, err := w.BeginOIDC(ctx, account)
			must(t, err)
			state, code = p.Authorize(t, page, portal+signin.OIDCPath)
			return state, code, browser
		}
		refused := func(what, state, code, browser string) {
			t.Helper()
			if _, _, err := w.FinishOIDC(ctx, state, code, browser, home); err == nil || fault.From(err).Code != "oidc_refused" {
				t.Errorf("%s: %v", what, err)
			}
		}
		state, code, browser := begin()
		_, otherCode, otherBrowser := begin()
		refused("another browser", state, code, otherBrowser)
		refused("no browser", state, code, "")
		refused("an unknown state", "x", code, browser)
		refused("the code of another flow", state, otherCode, browser) // PKCE
		refused("a second time", state, code, browser)
		state, code, browser = begin()
		_, _, err := w.FinishOIDC(ctx, state, code, browser, home)
		must(t, err)
		refused("a second time", state, code, browser)
		state, code, browser = begin()
		w.clock.Advance(10 * time.Minute)
		must(t, w.dir.Poll(ctx))
		refused("too late", state, code, browser)
		state, _, browser = begin()
		refused("no code", state, "", browser)
	})
}

// TestOIDCAccount signs in at one account's provider as a person of another account.
func TestOIDCAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := idp.New(t, w.clock, ada)
		_, account := w.withProvider(t, p, true)
		w.administrator(t, bob, "Globex")
		p.Claims = map[string]any{"email": bob, "sub": "bob", "amr": []string{"mfa"}}
		_, _, err := w.visit(t, p, account)
		mustBe(t, err, fault.Unauthenticated, "oidc_refused")
	})
}

// TestSetOIDC gives settings that are refused: nobody is made to ask what is not public.
func TestSetOIDC(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx := t.Context()
	p := idp.New(t, w.clock, ada)
	w.client = openid.NewHTTP(&egress.Dialer{Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
	}})
	w.Service, w.dir = w.replica(t)
	admin := w.administrator(t, ada, "Acme")
	s := w.live(t, admin.value)
	account := s.Account.ID
	set := func(issuer string) error {
		return w.SetOIDC(ctx, s.Actor(), account, signin.OIDC{Issuer: issuer, ClientID: idp.ClientID, ClientSecret: idp.ClientSecret})
	}
	for _, issuer := range []string{"", "http://idp.example", "https://u:p@idp.example", "https://idp.example/?x=1", "file:///etc/passwd", "idp.example"} {
		mustBe(t, set(issuer), fault.Invalid, "invalid_oidc")
	}
	for _, issuer := range []string{p.Server.URL, "https://metadata.example", "https://[::1]:8443", "https://10.0.0.1"} {
		err := set(issuer)
		mustBe(t, err, fault.Invalid, "oidc_unreachable")
		if _, denied := errors.AsType[*egress.DeniedError](fault.From(err).Cause); !denied {
			t.Errorf("%s was asked: %v", issuer, fault.From(err).Cause)
		}
	}
	mustBe(t, w.SetOIDC(ctx, s.Actor(), telamon.NewAccountID(), signin.OIDC{}), fault.NotFound, "not_found")
	mustBe(t, w.SetOIDC(ctx, telamon.Actor{Kind: telamon.ActorUser, Account: account, Roles: []string{"auditor"}}, account, signin.OIDC{}), fault.Denied, "access_denied")
	w.clock.Advance(11 * time.Minute)
	mustBe(t, set("https://idp.example"), fault.Denied, "second_factor_stale")
}

// control gives an account an identity with a verified claim to a domain.
func (w *world) control(t testing.TB, account telamon.AccountID, domain string, coverage telamon.Coverage) {
	t.Helper()
	identity := telamon.NewIdentityID()
	end := w.clock.Now().Add(24 * time.Hour).UnixMilli()
	for _, text := range []string{
		fmt.Sprintf("INSERT INTO identity (id, account_id, name, data, state, created_at) VALUES ('%s', '%s', 'OV', '{}', 'active', 0)", identity, account),
		fmt.Sprintf("INSERT INTO claim (id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status, "+
			"verification_id, verified_at, coverage, expires_at, created_at) VALUES ('%s', '%s', '%s', 'domain', '%s', 2, '', 'x', 0, 0, 1, FALSE, "+
			"'verified', 'x', 0, '%s', %d, 0)", telamon.NewClaimID(), account, identity, domain, coverage, end),
	} {
		must(t, errorOf(w.raw.ExecContext(t.Context(), text)))
	}
}

// TestFindProvider holds that a work address leads to the provider of who controls its
// domain, and that nothing tells whether the address is somebody's.
func TestFindProvider(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := idp.New(t, w.clock, ada)
		admin, account := w.withProvider(t, p, false)
		actor := w.live(t, admin.value).Actor()
		set := func(domains ...string) error {
			return w.SetOIDC(ctx, actor, account, signin.OIDC{Issuer: p.Server.URL, ClientID: idp.ClientID, Domains: domains})
		}
		for _, domain := range []string{"example.com", "*.example.com", "", "evil.example"} {
			mustBe(t, set(domain), fault.Invalid, "invalid_oidc")
		}
		w.control(t, account, "example.com", telamon.CoversTree)
		w.control(t, account, "exact.org", telamon.CoversExact)
		mustBe(t, set("mail.exact.org"), fault.Invalid, "invalid_oidc")
		must(t, set("Example.com", "eu.example.com", "exact.org", "example.com"))
		if shown := got(w.OIDC(ctx, actor, account))(t); !slices.Equal(shown.Domains, []string{"eu.example.com", "exact.org", "example.com"}) {
			t.Errorf("the domains are %q", shown.Domains)
		}
		for _, text := range []string{ada, "nobody@EXAMPLE.com ", "nobody@eu.example.com", "a@exact.org", account.String()} {
			if found := got(w.FindProvider(ctx, text))(t); found != account {
				t.Errorf("%q leads to %q", text, found)
			}
		}
		for _, text := range []string{"", "ada", "ada@", "ada@us.example.com", "ada@com", telamon.NewAccountID().String(), "<ada@example.com>"} {
			mustBe(t, errorOf(w.FindProvider(ctx, text)), fault.NotFound, "oidc_not_found")
		}
		must(t, w.TestOIDC(ctx, actor, account))

		other := w.live(t, w.administrator(t, bob, "Globex").value)
		w.control(t, other.Account.ID, "example.com", telamon.CoversTree)
		taken := signin.OIDC{Issuer: p.Server.URL, ClientID: idp.ClientID, ClientSecret: idp.ClientSecret, Domains: []string{"example.com"}}
		mustBe(t, w.SetOIDC(ctx, other.Actor(), other.Account.ID, taken), fault.Conflict, "oidc_domain_taken")
		mustBe(t, w.TestOIDC(ctx, other.Actor(), account), fault.NotFound, "not_found")
		mustBe(t, w.TestOIDC(ctx, other.Actor(), other.Account.ID), fault.NotFound, "oidc_not_found")

		w.clock.Advance(25 * time.Hour) // the claims have ended
		mustBe(t, errorOf(w.FindProvider(ctx, ada)), fault.NotFound, "oidc_not_found")
		must(t, errorOf(w.FindProvider(ctx, account.String())))
		p.Server.Close()
		mustBe(t, w.TestOIDC(ctx, actor, account), fault.Invalid, "oidc_unreachable")
	})
}

// TestOIDCSecretStays holds that a provider's secret is asked for again when it would go
// elsewhere.
func TestOIDCSecretStays(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx := t.Context()
	p := idp.New(t, w.clock, ada)
	admin, account := w.withProvider(t, p, false)
	actor := w.live(t, admin.value).Actor()
	must(t, w.SetOIDC(ctx, actor, account, signin.OIDC{Issuer: p.Server.URL, ClientID: idp.ClientID, AcceptsMFA: true}))
	must(t, errorOf3(w.visit(t, p, account)))
	for _, o := range []signin.OIDC{{Issuer: idp.New(t, w.clock, ada).Server.URL, ClientID: idp.ClientID}, {Issuer: p.Server.URL, ClientID: "another"}} {
		err := w.SetOIDC(ctx, actor, account, o)
		if f := fault.From(err); err == nil || f.Code != "invalid_oidc" || f.Fields[0].Path != "client_secret" {
			t.Errorf("%+v is set without a secret: %v", o, err)
		}
	}
}

func errorOf3[A, B any](_ A, _ B, err error) error { return err }
