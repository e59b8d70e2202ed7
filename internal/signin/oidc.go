package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/openid"
	"github.com/telamon-ca/telamon/internal/store"
)

// The pages of the portal by which people get to an account's provider, each followed by
// the account's ID, and to which the provider sends their browsers back.
const (
	ProviderPath = "/sign-in/oidc"
	OIDCPath     = ProviderPath + "/callback"
)

const (
	oidcFlowLife  = 10 * time.Minute // for a person at the provider
	oidcSecret    = "oidc_client_secret"
	oidcFlowLabel = "oidc_flow"
	maxURL        = 300
	maxDomains    = 20
)

// OIDC is how the people of an account sign in by an OpenID provider. They must be users
// of the account already: by the address that the provider has verified.
type OIDC struct {
	Issuer       string // an https URL
	ClientID     string
	ClientSecret string // never given out again
	// AcceptsMFA says that a second factor which was shown to the provider (RFC 8176: the
	// method "mfa") counts here.
	AcceptsMFA bool
	// Domains are those of work addresses that lead to it: the account controls each by a
	// verified claim.
	Domains []string
}

// errNoOIDC is the fault of an account without a provider.
func errNoOIDC() error {
	return fault.New(fault.NotFound, "oidc_not_found", "There is no sign-in by a provider here.")
}

func errOIDC() error {
	return fault.New(fault.Unauthenticated, "oidc_refused", "The provider did not sign you in here. Try again, or ask your administrator.")
}

// SetOIDC sets an account's provider after asking it for its endpoints. An administrator
// must have shown a second factor lately. Without a secret the present one stays, if issuer
// and client do too.
//
// It reports Denied; Invalid with invalid_oidc; Conflict with oidc_domain_taken; and Invalid
// with oidc_unreachable if the provider does not answer as one.
func (s *Service) SetOIDC(ctx context.Context, actor telamon.Actor, account telamon.AccountID, o OIDC) error {
	if err := s.mayUpdate(actor, account); err != nil {
		return err
	}
	before, err := s.store.OIDC(ctx, account)
	if err != nil {
		return err
	}
	keep := o.ClientSecret == "" && before != nil && before.Issuer == o.Issuer && before.ClientID == o.ClientID
	var p problems
	if u, err := url.Parse(o.Issuer); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(o.Issuer) > maxURL {
		p.Add("issuer", "is not an https URL without a query")
	}
	p.text("client_id", o.ClientID, maxURL, true)
	if !keep {
		p.text("client_secret", o.ClientSecret, 1024, true)
	}
	domains, err := s.domains(ctx, &p, account, o.Domains)
	if err != nil {
		return err
	}
	if err := p.Fault("invalid_oidc"); err != nil {
		return err
	}
	if err := s.ask(ctx, o.Issuer); err != nil {
		return err
	}
	set := &store.OIDC{Account: account, Issuer: o.Issuer, ClientID: o.ClientID, AcceptsMFA: o.AcceptsMFA, Domains: domains}
	if keep {
		set.SecretSealed = before.SecretSealed
	} else if set.SecretSealed, err = s.keys.SealSecret(oidcSecret, []byte(account), []byte(o.ClientSecret)); err != nil {
		return err
	}
	return s.store.PutOIDC(ctx, actor, set)
}

// domains checks the domains of work addresses: of each the account has a verified claim.
func (s *Service) domains(ctx context.Context, p *problems, account telamon.AccountID, texts []string) ([]string, error) {
	if len(texts) > maxDomains {
		p.Add("domains", fmt.Sprintf("are more than %d", maxDomains))
		return nil, nil
	}
	var names []string
	for _, text := range texts {
		name, err := dnsname.Parse(text)
		if err != nil || name.IsWildcard() {
			p.Add("domains", fmt.Sprintf("%q is not a domain", text))
			continue
		}
		ok, err := s.store.ControlsDomain(ctx, account, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			p.Add("domains", fmt.Sprintf("%s is not a verified domain of this account", name))
		}
		names = append(names, name.String())
	}
	return slices.Compact(slices.Sorted(slices.Values(names))), nil
}

// ask asks a provider for its endpoints.
func (s *Service) ask(ctx context.Context, issuer string) error {
	if s.openid == nil {
		return errNoOIDC()
	}
	if err := s.openid.Check(ctx, issuer); err != nil {
		return &fault.Fault{
			Kind: fault.Invalid, Code: "oidc_unreachable", Detail: "The provider does not answer as an OpenID provider of this issuer.",
			Fields: []fault.Field{{Path: "issuer", Problem: "does not answer as an OpenID provider"}}, Cause: err,
		}
	}
	return nil
}

// TestOIDC asks an account's provider for its endpoints now. It reports Denied, NotFound
// with oidc_not_found, and Invalid with oidc_unreachable.
func (s *Service) TestOIDC(ctx context.Context, actor telamon.Actor, account telamon.AccountID) error {
	o, err := s.OIDC(ctx, actor, account)
	if err != nil {
		return err
	}
	return s.ask(ctx, o.Issuer)
}

// FindProvider returns the account to whose provider a work address leads, by its domain, or
// an account's ID. What it answers is the same for every address of a domain, whether or not
// it is somebody's. It reports NotFound with oidc_not_found.
func (s *Service) FindProvider(ctx context.Context, text string) (telamon.AccountID, error) {
	text = strings.TrimSpace(text)
	account, err := telamon.ParseAccountID(text)
	if err != nil {
		email, ok := canonicalEmail(text)
		if !ok {
			return "", errNoOIDC()
		}
		domain, err := dnsname.Parse(email[strings.LastIndexByte(email, '@')+1:])
		if err != nil {
			return "", errNoOIDC()
		}
		if account, err = s.store.OIDCAccount(ctx, domain); err != nil {
			return "", err
		}
	}
	if _, err := s.ProviderOf(ctx, account); err != nil {
		return "", err
	}
	return account, nil
}

// ProviderOf returns the issuer of an account's provider. It reports NotFound with
// oidc_not_found.
func (s *Service) ProviderOf(ctx context.Context, account telamon.AccountID) (issuer string, err error) {
	o, err := s.store.OIDC(ctx, account)
	if err != nil {
		return "", err
	}
	if o == nil || s.openid == nil {
		return "", errNoOIDC()
	}
	return o.Issuer, nil
}

// ProviderURLs returns the address to which an account's provider sends browsers back, which
// it is told, and the one by which the account's people sign in.
func (s *Service) ProviderURLs(account telamon.AccountID) (callback, start string) {
	return s.portalURL + OIDCPath, s.portalURL + ProviderPath + "/" + account.String()
}

// mayUpdate reports Denied or NotFound unless the actor may change how an account's people
// sign in.
func (s *Service) mayUpdate(actor telamon.Actor, account telamon.AccountID) error {
	if err := authz.Check(actor, authz.AccountSettings, account); err != nil {
		return err
	}
	return authz.MustBeFresh(actor, s.clock.Now())
}

// OIDC returns an account's provider without its secret. It reports NotFound with
// oidc_not_found.
func (s *Service) OIDC(ctx context.Context, actor telamon.Actor, account telamon.AccountID) (*OIDC, error) {
	if err := authz.Check(actor, authz.AccountSettings, account); err != nil {
		return nil, err
	}
	o, err := s.store.OIDC(ctx, account)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, errNoOIDC()
	}
	return &OIDC{Issuer: o.Issuer, ClientID: o.ClientID, AcceptsMFA: o.AcceptsMFA, Domains: o.Domains}, nil
}

// RemoveOIDC ends the sign-in by a provider. It reports Denied and NotFound.
func (s *Service) RemoveOIDC(ctx context.Context, actor telamon.Actor, account telamon.AccountID) error {
	if err := s.mayUpdate(actor, account); err != nil {
		return err
	}
	return s.store.DropOIDC(ctx, actor, account)
}

// provider returns an account's provider with its secret, and whether a second factor that
// it saw counts.
func (s *Service) provider(ctx context.Context, account telamon.AccountID) (*openid.Provider, bool, error) {
	o, err := s.store.OIDC(ctx, account)
	if err != nil {
		return nil, false, err
	}
	if o == nil || s.openid == nil {
		return nil, false, errNoOIDC()
	}
	secret, err := s.keys.OpenSecret(oidcSecret, []byte(account), o.SecretSealed)
	if err != nil {
		return nil, false, err
	}
	return &openid.Provider{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: string(secret), RedirectURL: s.portalURL + OIDCPath,
	}, o.AcceptsMFA, nil
}

// BeginOIDC begins a sign-in by an account's provider. It returns the provider's page to
// go to, and a value for a cookie of this browser, which FinishOIDC needs. It reports
// NotFound with oidc_not_found, and Unavailable.
func (s *Service) BeginOIDC(ctx context.Context, account telamon.AccountID) (redirect, browser string, err error) {
	p, _, err := s.provider(ctx, account)
	if err != nil {
		return "", "", err
	}
	state, browser := newValue(), newValue()
	flow := openid.Flow{Nonce: newValue(), Verifier: openid.NewVerifier()}
	if redirect, err = s.openid.Page(ctx, p, state, flow); err != nil {
		return "", "", err
	}
	plain, err := json.Marshal(flow)
	if err != nil {
		return "", "", fmt.Errorf("encode a flow: %w", err)
	}
	sealed, err := s.keys.SealSecret(oidcFlowLabel, []byte(state), plain)
	if err != nil {
		return "", "", err
	}
	err = s.store.PutOIDCFlow(ctx, store.OIDCFlow{Account: account, Sealed: sealed, ExpiresAt: s.clock.Now().Add(oidcFlowLife)}, state, browser)
	if err != nil {
		return "", "", err
	}
	return redirect, browser, nil
}

// FinishOIDC ends a sign-in by a provider with the state and code that it gave the browser,
// and with the browser's value of BeginOIDC. It starts a session as SignIn does. It
// reports Unauthenticated with oidc_refused, of which the audit log has the reason.
func (s *Service) FinishOIDC(ctx context.Context, state, code, browser string, from Client) (value string, _ *Session, err error) {
	flow, err := s.store.TakeOIDCFlow(ctx, state, browser)
	if err != nil {
		return "", nil, err
	}
	if flow == nil || !s.clock.Now().Before(flow.ExpiresAt) {
		return "", nil, s.refuseOIDC(from, "", oidcNoFlow)
	}
	found, mfa, err := s.exchange(ctx, flow, state, code)
	if why, ok := errors.AsType[*openid.RefusedError](err); ok {
		s.log.InfoContext(ctx, "a sign-in by a provider was refused", "account", flow.Account, "error", why)
		return "", nil, s.refuseOIDC(from, flow.Account, oidcToken)
	}
	if err != nil {
		return "", nil, err
	}
	email, ok := canonicalEmail(found.Email)
	c, err := s.store.LinkOIDC(ctx, from.stranger(), store.OIDCIdentity{
		Account: flow.Account, Issuer: found.Issuer, Subject: found.Subject, Email: email, Verified: ok && found.EmailVerified,
	})
	if err != nil {
		return "", nil, err
	}
	if c == nil {
		return "", nil, s.refuseOIDC(from, flow.Account, oidcUnknown)
	}
	if ok, err := s.active(ctx, c.User); err != nil || !ok {
		if err != nil {
			return "", nil, err
		}
		s.count(from, c.User, "", userInactive)
		return "", nil, errOIDC()
	}
	return s.start(ctx, c, methodOIDC, mfa && found.MFA, from)
}

func (s *Service) refuseOIDC(from Client, account telamon.AccountID, why reason) error {
	s.refused.Add(audit.Refusal{Address: from.Address, Account: account, Credential: methodOIDC, Reason: string(why)})
	return errOIDC()
}

// exchange exchanges a code for who the provider says it is.
func (s *Service) exchange(ctx context.Context, flow *store.OIDCFlow, state, code string) (*openid.Identity, bool, error) {
	p, mfa, err := s.provider(ctx, flow.Account)
	if err != nil {
		return nil, false, err
	}
	plain, err := s.keys.OpenSecret(oidcFlowLabel, []byte(state), flow.Sealed)
	if err != nil {
		return nil, false, err
	}
	var kept openid.Flow
	if err := json.Unmarshal(plain, &kept); err != nil {
		return nil, false, fmt.Errorf("read a flow: %w", err)
	}
	found, err := s.openid.Exchange(ctx, p, code, kept)
	return found, mfa, err
}
