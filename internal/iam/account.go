package iam

import (
	"context"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
)

const maxName = 128 // characters of a name for display

// A Period is a service period: its first and its last instant, in whole seconds. Zero is
// no bound.
type Period struct{ StartsAt, EndsAt time.Time }

// NewAccount says what account to make.
type NewAccount struct {
	Name string
	Period
}

// CreateAccount makes an active account. It reports Invalid, and Conflict with
// name_taken.
func (s *IAM) CreateAccount(ctx context.Context, actor telamon.Actor, n NewAccount) (*telamon.Account, error) {
	if err := authz.Check(actor, authz.AccountCreate, ""); err != nil {
		return nil, err
	}
	var p problems
	p.Text("name", n.Name, maxName)
	p.period(&n.Period)
	if err := p.Fault("invalid_account"); err != nil {
		return nil, err
	}
	a := &telamon.Account{ID: telamon.NewAccountID(), Name: n.Name, StartsAt: n.StartsAt, EndsAt: n.EndsAt}
	if err := s.store.CreateAccount(ctx, actor, a); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeAccount, a.ID.String())
	return a, nil
}

// period checks a service period, and takes off what is less than a second.
func (p *problems) period(period *Period) {
	period.StartsAt, period.EndsAt = period.StartsAt.UTC().Truncate(time.Second), period.EndsAt.UTC().Truncate(time.Second)
	far := func(at time.Time) bool { return !at.IsZero() && (at.Year() < 2000 || at.Year() > 9999) }
	switch {
	case far(period.StartsAt):
		p.Add("starts_at", "is not in the years 2000 to 9999")
	case far(period.EndsAt):
		p.Add("ends_at", "is not in the years 2000 to 9999")
	case !period.EndsAt.IsZero() && period.EndsAt.Before(period.StartsAt):
		p.Add("ends_at", "is before starts_at")
	}
}

// SetServicePeriod replaces an account's service period, outside of which its users are
// refused, at once. Its API credentials are bounded by their subscriptions instead. It
// reports Invalid, NotFound, and Conflict with wrong_state for a deleted account.
func (s *IAM) SetServicePeriod(ctx context.Context, actor telamon.Actor, id telamon.AccountID, period Period) error {
	if err := authz.Check(actor, authz.AccountUpdate, id); err != nil {
		return err
	}
	var p problems
	p.period(&period)
	if err := p.Fault("invalid_account"); err != nil {
		return err
	}
	if err := s.store.SetAccountPeriod(ctx, actor, id, period.StartsAt, period.EndsAt); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeAccount, id.String())
	return nil
}

// Account returns an account. It reports NotFound.
func (s *IAM) Account(ctx context.Context, actor telamon.Actor, id telamon.AccountID) (telamon.Account, error) {
	if err := authz.Check(actor, authz.AccountRead, id); err != nil {
		return telamon.Account{}, err
	}
	return s.store.Account(ctx, id)
}

// AccountNamed returns the account of a name. It reports NotFound.
func (s *IAM) AccountNamed(ctx context.Context, actor telamon.Actor, name string) (telamon.Account, error) {
	if err := authz.Check(actor, authz.AccountRead, ""); err != nil {
		return telamon.Account{}, err
	}
	return s.store.AccountByName(ctx, name)
}

// Accounts lists all accounts.
func (s *IAM) Accounts(ctx context.Context, actor telamon.Actor, page store.Page) ([]telamon.Account, error) {
	if err := authz.Check(actor, authz.AccountRead, ""); err != nil {
		return nil, err
	}
	return s.store.Accounts(ctx, page)
}

// DisableAccount makes every login and token of the account be refused at once. It
// reports NotFound, and Conflict with wrong_state; so do the next two.
func (s *IAM) DisableAccount(ctx context.Context, actor telamon.Actor, id telamon.AccountID) error {
	return s.setAccountState(ctx, actor, authz.AccountDisable, id, telamon.Disabled)
}

// EnableAccount ends a DisableAccount.
func (s *IAM) EnableAccount(ctx context.Context, actor telamon.Actor, id telamon.AccountID) error {
	return s.setAccountState(ctx, actor, authz.AccountEnable, id, telamon.Active)
}

// DeleteAccount disables the account for ever. What it issued stays in the ledger.
func (s *IAM) DeleteAccount(ctx context.Context, actor telamon.Actor, id telamon.AccountID) error {
	return s.setAccountState(ctx, actor, authz.AccountDelete, id, telamon.Deleted)
}

func (s *IAM) setAccountState(ctx context.Context, actor telamon.Actor, action authz.Action, id telamon.AccountID, to telamon.State) error {
	if err := authz.Check(actor, action, id); err != nil {
		return err
	}
	if err := authz.MustBeFresh(actor, s.clock.Now()); err != nil {
		return err
	}
	if err := s.store.SetAccountState(ctx, actor, id, to); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeAccount, id.String())
	return nil
}
