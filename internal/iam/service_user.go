package iam

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
)

const (
	// maxDescription is how many characters a user's description has (digicert-one.md, Section 6.2).
	maxDescription = 1000
	// firstToken is the name of the API token that is made together with a service user
	// (digicert-one.md, Section 6.2).
	firstToken = "Default"
)

// A NewServiceUser says what service user to make.
type NewServiceUser struct {
	Account      telamon.AccountID
	FriendlyName string // unique in the account without regard to case
	Description  string
	Email        string    // of the person responsible; nothing is sent to it
	EndsAt       time.Time // the last second; zero: none
	Roles        []string
}

// CreateServiceUser makes an active service user with one API token, and returns that
// token, which nobody can learn again.
//
// It reports Invalid with invalid_user, NotFound if there is no such account, Denied with
// role_not_yours, or with second_factor_stale if a role is one that needs a second factor,
// and Conflict with name_taken.
func (s *IAM) CreateServiceUser(ctx context.Context, actor telamon.Actor, n NewServiceUser) (*telamon.User, string, error) {
	if err := authz.Check(actor, authz.UserCreate, n.Account); err != nil {
		return nil, "", err
	}
	var p problems
	name := p.DisplayName("friendly_name", n.FriendlyName)
	p.description(n.Description)
	p.email("email", n.Email)
	roles := p.roles(n.Roles)
	p.end("end_date", n.EndsAt, s.clock.Now())
	if err := p.Fault("invalid_user"); err != nil {
		return nil, "", err
	}
	if err := authz.MayGive(actor, roles); err != nil {
		return nil, "", err
	}
	if err := s.mustBeFreshFor(actor, roles); err != nil {
		return nil, "", err
	}
	u := &telamon.User{
		ID: telamon.NewUserID(), Account: n.Account, Kind: telamon.ServiceUser, Name: name, Description: n.Description,
		Email: strings.ToLower(n.Email), Roles: roles, EndsAt: lastSecond(n.EndsAt), CreatedBy: actor.User,
	}
	k, token := s.newAPIToken(u.Account, u.ID, firstToken, time.Time{})
	if err := s.store.CreateServiceUser(ctx, actor, u, k); err != nil {
		return nil, "", err
	}
	s.directory.Refresh(ctx, store.Change{Kind: store.ChangeUser, Object: u.ID.String()},
		store.Change{Kind: store.ChangeAPIToken, Object: k.ID.String()})
	return u, token, nil
}

// mustBeFreshFor reports Denied with second_factor_stale to a person whose second factor is
// not fresh, if one of the roles needs one: what is made here acts with them by itself, and
// is never asked for a factor.
func (s *IAM) mustBeFreshFor(actor telamon.Actor, roles []string) error {
	if slices.ContainsFunc(roles, authz.NeedsFactor) {
		return authz.MustBeFresh(actor, s.clock.Now())
	}
	return nil
}

// lastSecond returns an end in whole seconds.
func lastSecond(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Second)
}

// description checks a text that may be empty.
func (p *problems) description(value string) {
	if value != "" {
		p.Text("description", value, maxDescription)
	}
}

// email checks the address of a person.
func (p *problems) email(path, value string) {
	if !isEmail(value) {
		p.Add(path, "is not an e-mail address")
	}
}

// roles checks the codes of roles and returns them in order, each once. Roles of the CA's
// staff are given by package signin alone, which knows whose account may have them.
func (p *problems) roles(codes []string) []string {
	sorted := slices.Compact(slices.Sorted(slices.Values(codes)))
	for _, code := range sorted {
		if _, ok := authz.RoleNamed(code); !ok || authz.IsStaffRole(code) {
			p.Add("roles", "is none of "+strings.Join(authz.RoleCodes(), ", "))
			break
		}
	}
	return sorted
}

// end checks the last second of something, which none may have.
func (p *problems) end(path string, at, now time.Time) {
	switch {
	case at.IsZero():
	case at.Year() > 9999:
		p.Add(path, "is after the year 9999")
	case !at.After(now):
		p.Add(path, "is not in the future")
	}
}
