package iam

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// identityMoves are the steps of an identity's life that are allowed, and what
// each is. An expired identity is vetted again; a rejected or withdrawn one is
// replaced by a new one.
var identityMoves = map[telamon.IdentityState]map[telamon.IdentityState]authz.Action{
	telamon.IdentityDraft: {
		telamon.IdentityQueued: authz.IdentitySubmit,
	},
	telamon.IdentityQueued: {
		telamon.IdentityProcessed: authz.IdentityProcess,
		telamon.IdentityRejected:  authz.IdentityReject,
	},
	telamon.IdentityProcessed: {
		telamon.IdentityActive:   authz.IdentityActivate,
		telamon.IdentityRejected: authz.IdentityReject,
	},
	telamon.IdentityActive: {
		telamon.IdentityExpired:   authz.IdentityExpire,
		telamon.IdentityWithdrawn: authz.IdentityWithdraw,
	},
	telamon.IdentityExpired: {
		telamon.IdentityActive: authz.IdentityActivate,
	},
}

// identityMember is the name of one piece of an identity's data: a member of
// subject_dn, or whatever else a policy template refers to.
var identityMember = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

const (
	maxMembers = 64
	maxValue   = 1024 // characters
)

func (p *problems) identity(name string, data map[string]string) {
	p.Text("name", name, maxName)
	if len(data) > maxMembers {
		p.Add("data", fmt.Sprintf("has more than %d members", maxMembers))
	}
	for _, member := range slices.Sorted(maps.Keys(data)) {
		if !identityMember.MatchString(member) {
			p.Add("data", fmt.Sprintf("has a member %.70q, which is no name", member))
			continue
		}
		p.Text("data."+member, data[member], maxValue)
	}
}

// CreateIdentity makes a draft, whose data can still be edited. It reports Invalid,
// and NotFound if there is no such account.
func (s *IAM) CreateIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, name string, data map[string]string) (*telamon.Identity, error) {
	if err := authz.Check(actor, authz.IdentityCreate, account); err != nil {
		return nil, err
	}
	var p problems
	p.identity(name, data)
	if err := p.Fault("invalid_identity"); err != nil {
		return nil, err
	}
	i := &telamon.Identity{ID: telamon.NewIdentityID(), Account: account, Name: name, Data: data}
	if err := s.store.CreateIdentity(ctx, actor, i); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeIdentity, i.ID.String())
	return i, nil
}

// EditIdentity replaces the name and data of a draft. It reports Invalid, NotFound,
// and Conflict with identity_submitted if it is no draft any more.
func (s *IAM) EditIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID, name string, data map[string]string) error {
	if err := authz.Check(actor, authz.IdentityCreate, account); err != nil {
		return err
	}
	var p problems
	p.identity(name, data)
	if err := p.Fault("invalid_identity"); err != nil {
		return err
	}
	if err := s.store.EditIdentity(ctx, actor, account, id, name, data); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeIdentity, id.String())
	return nil
}

// Identity returns an identity of the account. It reports NotFound.
func (s *IAM) Identity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID) (telamon.Identity, error) {
	if err := authz.Check(actor, authz.IdentityRead, account); err != nil {
		return telamon.Identity{}, err
	}
	return s.store.Identity(ctx, account, id)
}

// Identities lists the identities of the account.
func (s *IAM) Identities(ctx context.Context, actor telamon.Actor, account telamon.AccountID, page store.Page) ([]telamon.Identity, error) {
	if err := authz.Check(actor, authz.IdentityRead, account); err != nil {
		return nil, err
	}
	return s.store.Identities(ctx, account, page)
}

// An IdentityMove moves an identity to a state.
type IdentityMove struct {
	To        telamon.IdentityState
	Reason    string    // required to reject
	ExpiresAt time.Time // read if To is active: when the vetting must be repeated; zero: never
}

// MoveIdentity moves an identity along one of the allowed steps; what it does to
// logins and issuance, it does at once. It reports Invalid, NotFound, and Conflict
// with wrong_state if there is no such step from where the identity is.
func (s *IAM) MoveIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID, m IdentityMove) error {
	if err := authz.Check(actor, authz.IdentityRead, account); err != nil {
		return err
	}
	identity, err := s.store.Identity(ctx, account, id)
	if err != nil {
		return err
	}
	action, ok := identityMoves[identity.State][m.To]
	if !ok {
		return fault.New(fault.Conflict, "wrong_state", fmt.Sprintf("It is %s, so it cannot become %.20s.", identity.State, m.To))
	}
	if err := authz.Check(actor, action, account); err != nil {
		return err
	}
	var p problems
	if m.Reason != "" || m.To == telamon.IdentityRejected {
		p.Text("reason", m.Reason, maxValue)
	}
	move := store.IdentityMove{
		From: identity.State, To: m.To, Action: string(action), Reason: m.Reason, ExpiresAt: identity.ExpiresAt,
	}
	if m.To == telamon.IdentityActive {
		move.ExpiresAt = m.ExpiresAt
		if !m.ExpiresAt.IsZero() && !m.ExpiresAt.After(s.clock.Now()) {
			p.Add("expires_at", "is not in the future")
		}
	}
	if err := p.Fault("invalid_move"); err != nil {
		return err
	}
	if err := s.store.MoveIdentity(ctx, actor, account, id, move); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeIdentity, id.String())
	return nil
}
