package iam

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Secret is an API secret on its way to its owner, the only time it is known.
// Printing, logging and encoding it hide it, also in a field of something else;
// Reveal does not. The zero value is no secret.
type Secret struct {
	text *string // behind a pointer, which is all that fmt sees of an unexported field
}

const hidden = "[hidden]"

// Reveal returns the secret's text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format hides the secret from every verb of fmt.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// String hides the secret.
func (Secret) String() string { return hidden }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// A CredentialSpec says what credential to make.
type CredentialSpec struct {
	Account      telamon.AccountID
	Name         string // ^[a-z0-9_]{1,64}$, unique in the account; it cannot be changed
	Subscription telamon.SubscriptionID
	Identity     telamon.IdentityID
	MTLS         telamon.MTLSMode // "" is required
	AllowedIPs   []string         // addresses and prefixes; none allows any address
}

var credentialName = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

// CreateCredential makes an active credential and returns its secret, which nobody
// can learn again.
//
// It reports Invalid; NotFound if the account has no such subscription or
// identity; Conflict with name_taken, identity_not_active or service_expired; and
// Invalid with a field for each reason why service and identity do not fit.
func (s *IAM) CreateCredential(ctx context.Context, actor telamon.Actor, spec CredentialSpec) (*telamon.Credential, Secret, error) {
	c, secret, err := s.newCredential(ctx, actor, spec)
	if err != nil {
		return nil, Secret{}, err
	}
	if err := s.store.CreateCredential(ctx, actor, c, spec.Subscription, spec.Identity, nil); err != nil {
		return nil, Secret{}, err
	}
	s.changed(ctx, store.ChangeCredential, c.ID.String())
	return c, secret, nil
}

// newCredential checks spec and makes a credential that is not stored yet.
func (s *IAM) newCredential(ctx context.Context, actor telamon.Actor, spec CredentialSpec) (*telamon.Credential, Secret, error) {
	if err := authz.Check(actor, authz.CredentialCreate, spec.Account); err != nil {
		return nil, Secret{}, err
	}
	if spec.MTLS == "" {
		spec.MTLS = telamon.MTLSRequired
	}
	var p problems
	if !credentialName.MatchString(spec.Name) {
		p.Add("name", "is not 1 to 64 of a-z, 0-9 and _")
	}
	if spec.MTLS != telamon.MTLSRequired && spec.MTLS != telamon.MTLSNone {
		p.Add("mtls", "is neither required nor none")
	}
	allowed := p.addresses("allowed_ips", spec.AllowedIPs)
	if err := p.Fault("invalid_credential"); err != nil {
		return nil, Secret{}, err
	}
	if err := s.mustFit(ctx, spec.Account, spec.Subscription, spec.Identity); err != nil {
		return nil, Secret{}, err
	}
	c := &telamon.Credential{
		ID: telamon.NewCredentialID(), Account: spec.Account, Name: spec.Name, Key: randomHex(8), PepperVersion: s.keys.PepperVersion(),
		MTLS: spec.MTLS, AllowedIPs: allowed,
	}
	text := randomHex(20)
	c.SecretMAC = s.secretMAC(c.ID, c.PepperVersion, text)
	return c, Secret{&text}, nil
}

// randomHex returns n octets of the CSPRNG as hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // does not fail (crypto/rand)
	return hex.EncodeToString(b)
}

// secretMAC returns what is kept of a secret. It binds the secret to its
// credential, so that it proves nothing in another one's row.
func (s *IAM) secretMAC(id telamon.CredentialID, pepper int, secret string) []byte {
	return s.keys.MAC("pepper", pepper, []byte(id.String()+"\x00"+secret))
}

// mustFit checks that a subscription and an identity of the account can be used
// together: the identity is active, the subscription has a term that has not
// ended, and the identity has what the service's policy needs.
func (s *IAM) mustFit(ctx context.Context, account telamon.AccountID, subscription telamon.SubscriptionID, identity telamon.IdentityID) error {
	sub, err := s.store.Subscription(ctx, account, subscription)
	if err != nil {
		return err
	}
	idn, err := s.store.Identity(ctx, account, identity)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	if idn.State != telamon.IdentityActive || !idn.ExpiresAt.IsZero() && !idn.ExpiresAt.After(now) {
		return fault.New(fault.Conflict, "identity_not_active", "Needs an active identity and an active product.")
	}
	service, err := s.store.Service(ctx, sub.Service)
	if err != nil {
		return err
	}
	if !service.Unlimited {
		lots, err := s.store.Lots(ctx, account, subscription)
		if err != nil {
			return err
		}
		live := false
		for _, lot := range lots {
			live = live || lot.ExpiresAt.After(now)
		}
		if !live {
			return fault.New(fault.Conflict, "service_expired", "Needs an active identity and an active product.")
		}
	}
	return s.mustMatch(ctx, &service, &idn)
}

// mustMatch checks that an identity is of a type that the service is for, and has what
// the service's policy needs.
func (s *IAM) mustMatch(ctx context.Context, service *telamon.Service, identity *telamon.Identity) error {
	fits, err := s.fitsService(ctx, identity.Type, service)
	if err != nil {
		return err
	}
	if !fits {
		return fault.New(fault.Invalid, "identity_type", "The service is not for identities of this type.")
	}
	_, err = s.directory.Compile(ctx, service, identity.Data)
	return err
}

// Credential returns a credential of the account with its last use. It reports
// NotFound.
func (s *IAM) Credential(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.CredentialID) (telamon.Credential, error) {
	if err := authz.Check(actor, authz.CredentialRead, account); err != nil {
		return telamon.Credential{}, err
	}
	return s.store.Credential(ctx, account, id)
}

// Credentials lists the credentials of the account with their last use, deleted
// ones too.
func (s *IAM) Credentials(ctx context.Context, actor telamon.Actor, account telamon.AccountID, page store.Page) ([]telamon.Credential, error) {
	if err := authz.Check(actor, authz.CredentialRead, account); err != nil {
		return nil, err
	}
	return s.store.Credentials(ctx, account, page)
}

// DisableCredential refuses logins with the credential and ends its tokens, at
// once. It reports NotFound, and Conflict with wrong_state; so do the next two.
func (s *IAM) DisableCredential(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.CredentialID) error {
	return s.setCredentialState(ctx, actor, authz.CredentialDisable, account, id, telamon.Disabled)
}

// EnableCredential allows logins again. Tokens of before stay ended.
func (s *IAM) EnableCredential(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.CredentialID) error {
	return s.setCredentialState(ctx, actor, authz.CredentialEnable, account, id, telamon.Active)
}

// DeleteCredential disables the credential for ever and takes it off its client
// certificates.
func (s *IAM) DeleteCredential(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.CredentialID) error {
	return s.setCredentialState(ctx, actor, authz.CredentialDelete, account, id, telamon.Deleted)
}

func (s *IAM) setCredentialState(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.CredentialID, to telamon.State) error {
	if err := authz.Check(actor, action, account); err != nil {
		return err
	}
	changes, err := s.store.SetCredentialState(ctx, actor, account, id, to)
	if err != nil {
		return err
	}
	s.directory.Refresh(ctx, changes...)
	return nil
}

// RelinkCredential moves a credential to another subscription and identity of its
// account and ends its tokens, at once. It reports what CreateCredential reports
// of those two, NotFound, and Conflict with wrong_state for a deleted credential.
func (s *IAM) RelinkCredential(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.CredentialID, subscription telamon.SubscriptionID, identity telamon.IdentityID) error {
	if err := authz.Check(actor, authz.CredentialRelink, account); err != nil {
		return err
	}
	if err := s.mustFit(ctx, account, subscription, identity); err != nil {
		return err
	}
	if err := s.store.RelinkCredential(ctx, actor, account, id, subscription, identity); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeCredential, id.String())
	return nil
}

// SetAllowedIPs replaces a credential's allow-list of addresses and prefixes, of
// which none allows any address, and ends its tokens, at once. It reports Invalid,
// NotFound, Conflict with wrong_state for a deleted credential, and Denied with
// second_factor_stale.
func (s *IAM) SetAllowedIPs(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.CredentialID, allowed []string) error {
	if err := authz.Check(actor, authz.CredentialSetIPs, account); err != nil {
		return err
	}
	if err := authz.MustBeFresh(actor, s.clock.Now()); err != nil {
		return err
	}
	var p problems
	list := p.addresses("allowed_ips", allowed)
	if err := p.Fault("invalid_addresses"); err != nil {
		return err
	}
	if err := s.store.SetCredentialAddresses(ctx, actor, account, id, list); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeCredential, id.String())
	return nil
}

// loginShape is what an API key and a secret look like on the wire.
var (
	keyShape    = regexp.MustCompile(`^[A-Fa-f0-9]{16}$`)
	secretShape = regexp.MustCompile(`^[A-Fa-f0-9]{40}$`)
)

// canonicalKey returns the key as it is stored: keys are compared without regard
// to case, secrets are not.
func canonicalKey(key string) string { return strings.ToLower(key) }
