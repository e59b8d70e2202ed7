package iam

import (
	"context"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// Mails returns a page of the mails that were written for an account, or for everybody if
// the filter names none: see [store.DB.Mails].
//
// It reports Denied, NotFound, and NotReady with mail_history_off to people of an account
// that has switched its history off (requirement 100).
func (s *IAM) Mails(ctx context.Context, actor telamon.Actor, f store.MailFilter) (store.MailPage, error) {
	if err := s.mayReadMail(ctx, actor, f.Account); err != nil {
		return store.MailPage{}, err
	}
	return s.store.Mails(ctx, f)
}

// Mail returns one of the mails that Mails lists. It reports what Mails does.
func (s *IAM) Mail(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.MailID) (*store.Mail, error) {
	if err := s.mayReadMail(ctx, actor, account); err != nil {
		return nil, err
	}
	m, err := s.store.Mail(ctx, id)
	if err != nil {
		return nil, err
	}
	if account != "" && m.Account != account {
		return nil, fault.New(fault.NotFound, "mail_not_found", "There is no such mail.")
	}
	return m, nil
}

func (s *IAM) mayReadMail(ctx context.Context, actor telamon.Actor, account telamon.AccountID) error {
	if err := authz.Check(actor, authz.MailRead, account); err != nil {
		return err
	}
	if actor.Kind != telamon.ActorUser || account != actor.Account {
		return nil
	}
	chosen, err := s.store.AccountSettings(ctx, account)
	if err != nil || chosen.MailHistory {
		return err
	}
	return fault.New(fault.NotReady, "mail_history_off", "This account keeps no history of its mails. An administrator can switch it on.")
}

// AccountSettings returns what an account has chosen. It reports Denied and NotFound.
func (s *IAM) AccountSettings(ctx context.Context, actor telamon.Actor, account telamon.AccountID) (store.AccountSettings, error) {
	if err := authz.Check(actor, authz.AccountRead, account); err != nil {
		return store.AccountSettings{}, err
	}
	return s.store.AccountSettings(ctx, account)
}

// SetAccountSettings replaces what an account has chosen. It reports Denied and NotFound.
func (s *IAM) SetAccountSettings(ctx context.Context, actor telamon.Actor, account telamon.AccountID, to store.AccountSettings) error {
	if err := authz.Check(actor, authz.AccountSettings, account); err != nil {
		return err
	}
	return s.store.PutAccountSettings(ctx, actor, account, to)
}
