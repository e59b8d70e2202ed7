package iam

import (
	"context"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
)

// UserCerts returns the client certificates of a user, the actor's own if it is empty, in
// every state but deleted and in the order of their making. It reports Denied and NotFound.
func (s *IAM) UserCerts(ctx context.Context, actor telamon.Actor, user telamon.UserID) ([]telamon.ClientCert, error) {
	owner, err := s.certOwner(ctx, actor, authz.ClientCertificateRead, user)
	if err != nil {
		return nil, err
	}
	return s.store.UserCerts(ctx, owner.Account, owner.ID)
}

// AccountUserCerts returns the client certificates of the users of the account, as far as
// the actor may know of them: to those who may not see other users, their own. They are in
// every state but deleted, the newest first, 10,000 at most, and without their parsed form.
// It reports Denied to actors who are no users and may not read any.
func (s *IAM) AccountUserCerts(ctx context.Context, actor telamon.Actor, account telamon.AccountID) ([]telamon.ClientCert, error) {
	all := authz.Check(actor, authz.ClientCertificateRead, account)
	if all == nil {
		all = authz.Check(actor, authz.UserRead, account)
	}
	if all == nil {
		return s.store.UserCertsOfAccount(ctx, account)
	}
	if actor.Kind != telamon.ActorUser || account != actor.Account {
		return nil, all
	}
	own, err := s.store.UserCerts(ctx, account, actor.User)
	slices.Reverse(own)
	return own, err
}

// UserCert returns a client certificate of a user. It reports NotFound, also of one that
// the actor may not know of.
func (s *IAM) UserCert(ctx context.Context, actor telamon.Actor, id telamon.ClientCertID) (telamon.ClientCert, error) {
	return s.userCertFor(ctx, actor, authz.ClientCertificateRead, id)
}

// userCertFor is UserCert for an action that is more than reading. It reports Denied to
// who may read and not do that, with role_not_yours because of whose it is.
func (s *IAM) userCertFor(ctx context.Context, actor telamon.Actor, action authz.Action, id telamon.ClientCertID) (telamon.ClientCert, error) {
	if actor.Kind != telamon.ActorUser { // who have none of their own
		if err := authz.Check(actor, action, actor.Account); err != nil {
			return telamon.ClientCert{}, err
		}
	}
	cert, err := s.store.UserCert(ctx, actor.Account, id)
	if err != nil {
		return telamon.ClientCert{}, err
	}
	if err := authz.CheckUser(actor, action, cert.Account, cert.User); err != nil {
		return telamon.ClientCert{}, err
	}
	if action == authz.ClientCertificateRead {
		return cert, nil
	}
	if err := s.maySelfIssue(actor); err != nil {
		return telamon.ClientCert{}, err
	}
	return cert, s.mayReach(ctx, actor, cert.User, authz.MayChange)
}

// DisableUserCert refuses a client certificate of a user, at once, and returns it. One that
// is refused already stays so. It reports NotFound and Denied.
func (s *IAM) DisableUserCert(ctx context.Context, actor telamon.Actor, id telamon.ClientCertID) (telamon.ClientCert, error) {
	return s.setUserCertEnabled(ctx, actor, authz.ClientCertificateDisable, id, false)
}

// EnableUserCert ends a DisableUserCert. It reports that too, and Invalid with
// client_certificate_revoked or client_certificate_expired.
func (s *IAM) EnableUserCert(ctx context.Context, actor telamon.Actor, id telamon.ClientCertID) (telamon.ClientCert, error) {
	return s.setUserCertEnabled(ctx, actor, authz.ClientCertificateEnable, id, true)
}

func (s *IAM) setUserCertEnabled(ctx context.Context, actor telamon.Actor, action authz.Action, id telamon.ClientCertID, enabled bool) (telamon.ClientCert, error) {
	if _, err := s.userCertFor(ctx, actor, action, id); err != nil {
		return telamon.ClientCert{}, err
	}
	cert, err := s.store.SetUserCertEnabled(ctx, actor, actor.Account, id, enabled)
	if err != nil {
		return telamon.ClientCert{}, err
	}
	s.changed(ctx, store.ChangeClientCert, id.String())
	return cert, nil
}

// DeleteUserCert deletes a client certificate of a user for ever: it is revoked, no list
// has it, and its name is free. It reports NotFound and Denied.
func (s *IAM) DeleteUserCert(ctx context.Context, actor telamon.Actor, id telamon.ClientCertID) error {
	if _, err := s.userCertFor(ctx, actor, authz.ClientCertificateDelete, id); err != nil {
		return err
	}
	if err := s.store.DeleteUserCert(ctx, actor, actor.Account, id); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeClientCert, id.String())
	return nil
}
