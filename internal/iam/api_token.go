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
// It reports Invalid with invalid_api_token, NotFound if there is no such user, Denied with
// role_not_yours for a user who has more rights than the actor, or with second_factor_stale
// for one of a role that needs a second factor, and Conflict with name_taken or
// too_many_api_tokens.
func (s *IAM) CreateAPIToken(ctx context.Context, actor telamon.Actor, n NewAPIToken) (*telamon.APIToken, string, error) {
	if err := authz.CheckUser(actor, authz.APITokenCreate, n.Account, n.User); err != nil {
		return nil, "", err
	}
	if err := s.mayReach(ctx, actor, n.User, authz.MayGive); err != nil { // who then could act with them
		return nil, "", err
	}
	if actor.Session != "" {
		owner, err := s.liveUser(ctx, n.Account, n.User)
		if err != nil {
			return nil, "", err
		}
		if err := s.mustBeFreshFor(actor, owner.Roles); err != nil {
			return nil, "", err
		}
	}
	var p problems
	name := p.DisplayName("name", n.Name)
	p.end("end_date", n.EndsAt, s.clock.Now())
	if err := p.Fault("invalid_api_token"); err != nil {
		return nil, "", err
	}
	k, token := s.newAPIToken(n.Account, n.User, name, n.EndsAt)
	if err := s.store.CreateAPIToken(ctx, actor, k, maxAPITokens); err != nil {
		return nil, "", err
	}
	s.changed(ctx, store.ChangeAPIToken, k.ID.String())
	return k, token, nil
}

// mayReach checks that the rule, one of authz.MayGive and authz.MayChange, lets the actor
// do something to another user, or to what they authenticate by, that the actor may do to
// users. It reports NotFound for a user who is deleted, and Denied with role_not_yours.
func (s *IAM) mayReach(ctx context.Context, actor telamon.Actor, user telamon.UserID, rule func(telamon.Actor, []string) error) error {
	if actor.Kind != telamon.ActorUser || actor.User == user {
		return nil
	}
	u, err := s.liveUser(ctx, actor.Account, user)
	if err != nil {
		return err
	}
	return rule(actor, u.Roles)
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

// APITokens lists the API tokens of a user in the order in which they were made, in every
// state but deleted. It reports NotFound.
func (s *IAM) APITokens(ctx context.Context, actor telamon.Actor, account telamon.AccountID, user telamon.UserID) ([]telamon.APIToken, error) {
	if err := authz.CheckUser(actor, authz.APITokenRead, account, user); err != nil {
		return nil, err
	}
	if _, err := s.liveUser(ctx, account, user); err != nil {
		return nil, err
	}
	return s.store.APITokens(ctx, account, user)
}

// APIToken returns an API token of the account. It reports NotFound.
func (s *IAM) APIToken(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.APITokenID) (telamon.APIToken, error) {
	return s.apiTokenFor(ctx, actor, account, id, authz.APITokenRead)
}

// apiTokenFor returns an API token if the actor may do all actions to it. It reports Denied
// with role_not_yours to who may read it only, by whose it is.
func (s *IAM) apiTokenFor(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.APITokenID, actions ...authz.Action) (telamon.APIToken, error) {
	// Who may do this to nobody's is told so whether it exists or not. What is the
	// actor's own is known once it was read.
	if actor.Kind != telamon.ActorUser {
		if err := authz.Check(actor, actions[0], account); err != nil {
			return telamon.APIToken{}, err
		}
	}
	k, err := s.store.APIToken(ctx, account, id)
	if err != nil {
		return telamon.APIToken{}, err
	}
	for _, action := range actions {
		if err := authz.CheckUser(actor, action, account, k.User); err != nil {
			return telamon.APIToken{}, err
		}
	}
	if actions[0] != authz.APITokenRead {
		if err := s.mayReach(ctx, actor, k.User, authz.MayChange); err != nil {
			return telamon.APIToken{}, err
		}
	}
	return k, nil
}

// An APITokenChange says what to change of an API token. What is nil stays.
type APITokenChange = store.APITokenChange

// UpdateAPIToken changes an API token that has not expired, and returns it as it is now.
//
// It reports Invalid with invalid_api_token, or api_token_ended if it has expired;
// NotFound; Denied with role_not_yours; and Conflict with name_taken.
func (s *IAM) UpdateAPIToken(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.APITokenID, c APITokenChange) (telamon.APIToken, error) {
	if _, err := s.apiTokenFor(ctx, actor, account, id, actionsOf(c)...); err != nil {
		return telamon.APIToken{}, err
	}
	var p problems
	if c.Name != nil {
		name := p.DisplayName("name", *c.Name)
		c.Name = &name
	}
	if c.EndsAt != nil {
		p.end("end_date", *c.EndsAt, s.clock.Now())
		end := lastSecond(*c.EndsAt)
		c.EndsAt = &end
	}
	if err := p.Fault("invalid_api_token"); err != nil {
		return telamon.APIToken{}, err
	}
	k, err := s.store.UpdateAPIToken(ctx, actor, account, id, c)
	if err != nil {
		return telamon.APIToken{}, err
	}
	s.changed(ctx, store.ChangeAPIToken, id.String())
	return k, nil
}

// actionsOf returns what a change does.
func actionsOf(c APITokenChange) []authz.Action {
	actions := []authz.Action{authz.APITokenUpdate}
	switch {
	case c.Enabled == nil:
	case *c.Enabled:
		actions = append(actions, authz.APITokenEnable)
	default:
		actions = append(actions, authz.APITokenDisable)
	}
	return actions
}

// DeleteAPIToken ends an API token for ever, at once. It reports NotFound, and Denied with
// role_not_yours.
func (s *IAM) DeleteAPIToken(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.APITokenID) error {
	if _, err := s.apiTokenFor(ctx, actor, account, id, authz.APITokenDelete); err != nil {
		return err
	}
	if err := s.store.DeleteAPIToken(ctx, actor, account, id); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeAPIToken, id.String())
	return nil
}
