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
		p.attribute("data."+member, member, data[member])
	}
}

// An IdentityForm is what people say of an identity that they request.
type IdentityForm struct {
	Type telamon.IdentityType
	Name string            // a free label
	Data map[string]string // by member of subject_dn; empty values are left out
	// Customer is whom to ask at a service provider's customer; nil if the identity is the
	// account's own.
	Customer *telamon.Contact
}

// clean returns the form without empty values.
func (f IdentityForm) clean() IdentityForm {
	data := maps.Clone(f.Data)
	maps.DeleteFunc(data, func(_, value string) bool { return value == "" })
	f.Data = data
	return f
}

// checkForm reports Invalid with invalid_identity, and with identity_type if there is no
// such type.
func (s *IAM) checkForm(ctx context.Context, account telamon.AccountID, f IdentityForm) error {
	t, ok := IdentityTypeOf(f.Type)
	if !ok {
		return fault.New(fault.Invalid, "identity_type", "There is no such type of identity.")
	}
	var p problems
	p.form(t, f.Data)
	p.identity(f.Name, f.Data)
	p.customer(f.Customer)
	if f.Customer != nil {
		profile, err := s.store.AccountProfile(ctx, account)
		if err != nil {
			return err
		}
		if profile.Kind != store.AccountServiceProvider { // requirement 11
			p.Add("customer", "is for accounts of service providers")
		}
	}
	return p.Fault("invalid_identity")
}

// IsServiceProvider reports whether the account requests identities for customers of its
// own, too.
func (s *IAM) IsServiceProvider(ctx context.Context, actor telamon.Actor, account telamon.AccountID) (bool, error) {
	if err := authz.Check(actor, authz.AccountRead, account); err != nil {
		return false, err
	}
	profile, err := s.store.AccountProfile(ctx, account)
	return profile.Kind == store.AccountServiceProvider, err
}

// DraftIdentity makes a draft of a type that a service of the account is for. It reports
// Invalid, with a field for each thing to mend or with identity_type, Conflict with
// no_such_product (IDN-02), and NotFound if there is no such account.
func (s *IAM) DraftIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, f IdentityForm) (*telamon.Identity, error) {
	if err := authz.Check(actor, authz.IdentityCreate, account); err != nil {
		return nil, err
	}
	f = f.clean()
	if err := s.checkForm(ctx, account, f); err != nil {
		return nil, err
	}
	if err := s.mustBeOffered(ctx, actor, account, f.Type); err != nil {
		return nil, err
	}
	i := &telamon.Identity{
		ID: telamon.NewIdentityID(), Account: account, Type: f.Type, Name: f.Name, Data: f.Data, Customer: f.Customer,
	}
	if err := s.store.CreateIdentity(ctx, actor, i); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeIdentity, i.ID.String())
	return i, nil
}

// mustBeOffered reports Conflict with no_such_product unless a service of the account is
// for identities of the type.
func (s *IAM) mustBeOffered(ctx context.Context, actor telamon.Actor, account telamon.AccountID, name telamon.IdentityType) error {
	types, err := s.OfferedTypes(ctx, actor, account)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(types, func(t IdentityType) bool { return t.Type == name }) {
		return fault.New(fault.Conflict, "no_such_product", "No active product matches this profile type.")
	}
	return nil
}

// SubmitIdentity requests an identity, whose data nobody can change from then on. One of a
// type that needs no vetting is active at once, others wait for the vetting agents. It
// reports NotFound, and Conflict with identity_submitted (IDN-01) or no_such_product
// (IDN-02).
func (s *IAM) SubmitIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID) error {
	return s.submit(ctx, actor, account, id, "")
}

func (s *IAM) submit(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID, reason string) error {
	if err := authz.Check(actor, authz.IdentitySubmit, account); err != nil {
		return err
	}
	i, err := s.store.Identity(ctx, account, id)
	if err != nil {
		return err
	}
	if i.State != telamon.IdentityDraft {
		return fault.New(fault.Conflict, "identity_submitted", "A submitted profile cannot be changed. Submit a new one.")
	}
	t, typed := IdentityTypeOf(i.Type)
	if typed {
		if err := s.mustBeOffered(ctx, actor, account, i.Type); err != nil {
			return err
		}
	}
	if typed && !t.Vetted {
		err = s.store.ActivateIdentity(ctx, actor, account, id)
	} else {
		err = s.store.MoveIdentity(ctx, actor, account, id, store.IdentityMove{
			From: telamon.IdentityDraft, To: telamon.IdentityQueued, Action: string(authz.IdentitySubmit), Reason: reason,
		})
	}
	if err != nil {
		return err
	}
	s.changed(ctx, store.ChangeIdentity, id.String())
	return nil
}

// EnsureDVIdentity makes an active identity for domain validated certificates, in the name
// of the platform, unless the account has one; it reports whether it did. It is called when
// a product is accepted that needs one (requirement 18), by whoever may accept it. It
// reports NotFound, and Conflict if the account is deleted.
func (s *IAM) EnsureDVIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID) (bool, error) {
	if err := authz.Check(actor, authz.SubscriptionRead, account); err != nil {
		return false, err
	}
	platform := telamon.Actor{Kind: telamon.ActorSystem, Account: account, RequestID: actor.RequestID}
	i := &telamon.Identity{
		ID: telamon.NewIdentityID(), Account: account, Type: telamon.IdentityTLSDV, Name: "Domain validation", Data: map[string]string{},
	}
	made, err := s.store.EnsureIdentity(ctx, platform, i)
	if made {
		s.changed(ctx, store.ChangeIdentity, i.ID.String())
	}
	return made, err
}

// VetAgain asks for an identity that is active or has expired to be vetted again, which
// breaks nothing that uses it. It reports NotFound, and Conflict with wrong_state,
// case_open, or not_vetted if its type needs no vetting.
func (s *IAM) VetAgain(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID) (*telamon.VettingCase, error) {
	if err := authz.Check(actor, authz.IdentitySubmit, account); err != nil {
		return nil, err
	}
	i, err := s.store.Identity(ctx, account, id)
	if err != nil {
		return nil, err
	}
	if t, ok := IdentityTypeOf(i.Type); !ok || !t.Vetted {
		return nil, fault.New(fault.Conflict, "not_vetted", "Agents do not vet this identity.")
	}
	return s.store.OpenVettingAgain(ctx, actor, account, id)
}

// maxCases is how many cases of an identity are shown.
const maxCases = 50

// IdentityCases returns the cases in which an identity was vetted, the newest first.
func (s *IAM) IdentityCases(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID) ([]telamon.VettingCase, error) {
	if err := authz.Check(actor, authz.IdentityRead, account); err != nil {
		return nil, err
	}
	if _, err := s.store.Identity(ctx, account, id); err != nil {
		return nil, err
	}
	return s.store.VettingCasesOf(ctx, account, id, maxCases)
}

// maxRequesters is how many people can be named for an identity.
const maxRequesters = 100

// NameRequesters says which people of the account alone may request certificates for an
// identity; nil is whoever has a role for that. It binds people and no credentials. It
// reports Invalid, NotFound, and Conflict if the identity is rejected or withdrawn.
func (s *IAM) NameRequesters(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID, users []telamon.UserID) error {
	if err := authz.Check(actor, authz.IdentityRequesters, account); err != nil {
		return err
	}
	var p problems
	if len(users) > maxRequesters {
		p.Add("requesters", fmt.Sprintf("are more than %d", maxRequesters))
		users = nil
	}
	for _, user := range users {
		u, err := s.store.User(ctx, account, user)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err != nil || u.State == telamon.Deleted || u.Kind != telamon.StandardUser {
			p.Add("requesters", fmt.Sprintf("name %.40s, who is no person of the account", user))
		}
	}
	if err := p.Fault("invalid_requesters"); err != nil {
		return err
	}
	if users != nil {
		users = slices.Compact(slices.Sorted(slices.Values(users)))
		users = append([]telamon.UserID{}, users...) // a list of nobody is not nil
	}
	if err := s.store.SetIdentityRequesters(ctx, actor, account, id, users); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeIdentity, id.String())
	return nil
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
	i, err := s.store.Identity(ctx, account, id)
	if err != nil {
		return err
	}
	if i.Type != "" {
		return s.ReviseIdentity(ctx, actor, account, id, IdentityForm{Type: i.Type, Name: name, Data: data, Customer: i.Customer})
	}
	var p problems
	p.identity(name, data)
	if err := p.Fault("invalid_identity"); err != nil && i.State == telamon.IdentityDraft {
		return err
	}
	i.Name, i.Data = name, data
	return s.edit(ctx, actor, &i)
}

func (s *IAM) edit(ctx context.Context, actor telamon.Actor, i *telamon.Identity) error {
	if err := s.store.EditIdentity(ctx, actor, i); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeIdentity, i.ID.String())
	return nil
}

// ReviseIdentity is EditIdentity for an identity that has a type, which stays.
func (s *IAM) ReviseIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.IdentityID, f IdentityForm) error {
	if err := authz.Check(actor, authz.IdentityCreate, account); err != nil {
		return err
	}
	i, err := s.store.Identity(ctx, account, id)
	if err != nil {
		return err
	}
	f = f.clean()
	f.Type = i.Type
	if i.State == telamon.IdentityDraft { // of others the store says that they are submitted
		if err := s.checkForm(ctx, account, f); err != nil {
			return err
		}
	}
	i.Name, i.Data, i.Customer = f.Name, f.Data, f.Customer
	return s.edit(ctx, actor, &i)
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

// maxIdentities is how many identities of an account are looked at.
const maxIdentities = 1000

// activeIdentities returns the account's identities that can be used now.
func (s *IAM) activeIdentities(ctx context.Context, account telamon.AccountID) ([]telamon.Identity, error) {
	all, err := s.store.Identities(ctx, account, store.Page{Limit: maxIdentities})
	now := s.clock.Now()
	return slices.DeleteFunc(all, func(i telamon.Identity) bool {
		return i.State != telamon.IdentityActive || !i.ExpiresAt.IsZero() && !i.ExpiresAt.After(now)
	}), err
}

// MoveIdentity moves an identity along one of the allowed steps; what it does to
// logins and issuance, it does at once. Its case of vetting, if one is open, goes with it.
// People submit and withdraw by it; their vetting is package vetting's.
//
// It reports Invalid, NotFound, Denied with vetting_case to people who would vet by it, and
// Conflict with wrong_state if there is no such step from where the identity is.
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
	if actor.Kind == telamon.ActorUser && action != authz.IdentitySubmit && action != authz.IdentityWithdraw {
		return fault.New(fault.Denied, "vetting_case", "Vetting is decided in the case of the identity.")
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
		switch {
		case m.ExpiresAt.IsZero() && identity.Type != "":
			p.Add("expires_at", "is required: what was vetted must be vetted again")
		case !m.ExpiresAt.IsZero() && !m.ExpiresAt.After(s.clock.Now()):
			p.Add("expires_at", "is not in the future")
		}
		move.ToldDays = telamon.IdentityReminder(m.ExpiresAt, s.clock.Now())
	}
	if err := p.Fault("invalid_move"); err != nil {
		return err
	}
	if action == authz.IdentitySubmit {
		return s.submit(ctx, actor, account, id, m.Reason)
	}
	if err := s.store.MoveIdentity(ctx, actor, account, id, move); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeIdentity, id.String())
	return nil
}
