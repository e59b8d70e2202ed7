package signin

import (
	"context"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Profile is what the wizard of the first sign-in asks: the person, the company, and
// whom the account is for.
type Profile struct {
	Name     string // of the person
	JobTitle string // may be empty
	Phone    string // may be empty
	Locale   string // the language of mails

	Company store.Company
	Kind    store.AccountKind // store.AccountDirect or store.AccountServiceProvider
}

// The longest texts of a profile, in characters.
const (
	maxName    = 128
	maxPhone   = 32
	maxCompany = 100 // leaves room for what makes an account's name unique
)

// CompleteProfile writes the profile of a session that needs it: the person's and the
// account's, whose name becomes that of the company. It reports Invalid with
// invalid_profile, and Conflict with wrong_stage.
func (s *Service) CompleteProfile(ctx context.Context, session *Session, p Profile) error {
	if session.Need != NeedProfile {
		return errStage()
	}
	if err := p.check(); err != nil {
		return err
	}
	p.Locale = locale(p.Locale)
	err := s.store.CompleteProfile(ctx, session.own(), store.Profile{
		Name: p.Name, JobTitle: p.JobTitle, Phone: p.Phone, Locale: p.Locale, Company: p.Company, Kind: p.Kind,
	})
	if err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, session.User.ID.String())
	s.changed(ctx, store.ChangeAccount, session.Account.ID.String())
	return nil
}

func (p *Profile) check() error {
	var wrong problems
	wrong.text("name", p.Name, maxName, true)
	wrong.text("job_title", p.JobTitle, maxName, false)
	wrong.text("phone", p.Phone, maxPhone, false)
	wrong.text("company", p.Company.Name, maxCompany, true)
	wrong.text("street", p.Company.Street, maxName, false)
	wrong.text("locality", p.Company.Locality, maxName, true)
	wrong.text("state", p.Company.State, maxName, false)
	wrong.text("postal_code", p.Company.PostalCode, maxPhone, false)
	if !isCountry(p.Company.Country) {
		wrong.Add("country", "is not a code of two capital letters (ISO 3166-1)")
	}
	if !slices.Contains([]store.AccountKind{store.AccountDirect, store.AccountServiceProvider}, p.Kind) {
		wrong.Add("kind", "is neither direct nor service_provider")
	}
	return wrong.Fault("invalid_profile")
}

func isCountry(code string) bool {
	return len(code) == 2 && code[0] >= 'A' && code[0] <= 'Z' && code[1] >= 'A' && code[1] <= 'Z'
}

// Agreement is the version of the service agreement that a session accepts.
func (s *Service) Agreement() string { return s.agreement }

// AcceptAgreement accepts the agreement of this version for the account of a session that
// needs it, which is active then. Version, time, address and person are kept. It reports
// Conflict with agreement_changed if the version is another one by now, and with wrong_stage.
func (s *Service) AcceptAgreement(ctx context.Context, session *Session, version string) error {
	if session.Need != NeedAgreement {
		return errStage()
	}
	if version != s.agreement {
		return fault.New(fault.Conflict, "agreement_changed", "The agreement has changed. Read the new version.")
	}
	return s.store.AcceptAgreement(ctx, session.own(), version)
}

func errStage() error {
	return fault.New(fault.Conflict, "wrong_stage", "This step is not the next one.")
}

// AccountProfile returns what an account said of itself, and which agreement it has
// accepted: nothing, of one that an operator made. The session must need nothing more.
func (s *Service) AccountProfile(ctx context.Context, session *Session) (store.AccountProfile, error) {
	if err := session.ready(); err != nil {
		return store.AccountProfile{}, err
	}
	return s.store.AccountProfile(ctx, session.Account.ID)
}

// MakeStaffAccount says that an account is the CA's own: its users can have the roles of
// the staff. Operators alone may. It reports NotFound and Denied.
func (s *Service) MakeStaffAccount(ctx context.Context, actor telamon.Actor, account telamon.AccountID) error {
	if actor.Kind != telamon.ActorOperator {
		return fault.New(fault.Denied, "access_denied", "You are not allowed to do this.")
	}
	return s.store.MakeStaffAccount(ctx, actor, account)
}
