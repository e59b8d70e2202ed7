package iam

import (
	"context"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
)

// The form of an API token: its left part finds it, its right part is the secret
// (digicert-one.md, Section 3.1).
const (
	keyVersion      = "01"
	keyLookupOctets = 12 // 24 hexadecimal digits after the version
	keySecretOctets = 32 // 64 hexadecimal digits
)

// maxAPITokens is how many API tokens one user has at most; two that are made at once may
// pass it.
const maxAPITokens = 100

// A NewAPIToken says what API token to make.
type NewAPIToken struct {
	Account telamon.AccountID
	User    telamon.UserID // its owner
	Name    string         // unique among the owner's without regard to case
	EndsAt  time.Time      // the last second; zero: none
}

// CreateAPIToken makes an API token that is good at once, and returns its text, which
// nobody can learn again.
//
// It reports Invalid with invalid_api_token, NotFound if there is no such user, and
// Conflict with name_taken.
func (s *IAM) CreateAPIToken(ctx context.Context, actor telamon.Actor, n NewAPIToken) (*telamon.APIToken, string, error) {
	if err := authz.CheckUser(actor, authz.APITokenCreate, n.Account, n.User); err != nil {
		return nil, "", err
	}
	var p problems
	name := p.displayName("name", n.Name)
	p.end("end_date", n.EndsAt, s.clock.Now())
	if err := p.fault("invalid_api_token"); err != nil {
		return nil, "", err
	}
	k, token := s.newAPIToken(n.Account, n.User, name, n.EndsAt)
	if err := s.store.CreateAPIToken(ctx, actor, k, maxAPITokens); err != nil {
		return nil, "", err
	}
	s.changed(ctx, store.ChangeAPIToken, k.ID.String())
	return k, token, nil
}

// newAPIToken makes an API token that is not stored yet, and its text.
func (s *IAM) newAPIToken(account telamon.AccountID, user telamon.UserID, name string, endsAt time.Time) (*telamon.APIToken, string) {
	k := &telamon.APIToken{
		ID: telamon.NewAPITokenID(), Account: account, User: user, Name: name, Lookup: keyVersion + randomHex(keyLookupOctets),
		PepperVersion: s.keys.PepperVersion(), EndsAt: lastSecond(endsAt),
	}
	secret := randomHex(keySecretOctets)
	k.SecretMAC = s.apiTokenMAC(k.ID, k.PepperVersion, secret)
	return k, k.Lookup + "_" + secret
}
