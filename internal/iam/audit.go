package iam

import (
	"context"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// AuditEvents returns a page of what happened in an account: see [store.DB.AuditEvents]. A
// filter without an account is for that of the actor. It reports Denied and NotFound, and
// Malformed with event_id.
func (s *IAM) AuditEvents(ctx context.Context, actor telamon.Actor, f store.AuditFilter) (store.AuditPage, error) {
	if f.Account == "" {
		f.Account = actor.Account
	}
	if err := authz.Check(actor, authz.AuditRead, f.Account); err != nil {
		return store.AuditPage{}, err
	}
	return s.store.AuditEvents(ctx, f)
}

// AuditEvent returns one event of an account. It reports Denied, and NotFound.
func (s *IAM) AuditEvent(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.EventID) (*audit.Payload, error) {
	if err := authz.Check(actor, authz.AuditRead, account); err != nil {
		return nil, err
	}
	return s.store.AuditEvent(ctx, account, id)
}

// AuditProof returns the proof that an event of an account is in the log. It reports
// Denied, NotFound, and NotReady with event_not_sequenced.
func (s *IAM) AuditProof(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.EventID) (*store.AuditProof, error) {
	if err := authz.Check(actor, authz.AuditRead, account); err != nil {
		return nil, err
	}
	if account == "" {
		return nil, fault.New(fault.NotFound, "event_not_found", "There is no such event.")
	}
	return s.store.AuditProof(ctx, account, id)
}

// AuditNames returns the names of those users and credentials of an account who are among
// actors, as audit events name them. It reports Denied and NotFound.
func (s *IAM) AuditNames(ctx context.Context, actor telamon.Actor, account telamon.AccountID, actors []string) (map[string]string, error) {
	if err := authz.Check(actor, authz.AuditRead, account); err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, who := range actors {
		if _, known := names[who]; known {
			continue
		}
		name, err := s.nameOf(ctx, account, who)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		names[who] = name
	}
	return names, nil
}

// nameOf is the name of a user or a credential of an account, "" for whoever is neither.
func (s *IAM) nameOf(ctx context.Context, account telamon.AccountID, who string) (string, error) {
	if id, err := telamon.ParseUserID(who); err == nil {
		user, err := s.store.User(ctx, account, id)
		return user.Name, err
	}
	if id, err := telamon.ParseCredentialID(who); err == nil {
		credential, err := s.store.Credential(ctx, account, id)
		return credential.Name, err
	}
	return "", nil
}
