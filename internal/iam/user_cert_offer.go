package iam

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// CertHolders returns the users for whom the actor may make client certificates: the actor
// first, then others of the account by their names. None of them is deleted. It reports
// NotFound for an actor who is no user.
func (s *IAM) CertHolders(ctx context.Context, actor telamon.Actor, account telamon.AccountID) ([]telamon.User, error) {
	if err := authz.CheckUser(actor, authz.ClientCertificateIssue, account, actor.User); err != nil {
		return nil, err
	}
	self, err := s.liveUser(ctx, account, actor.User)
	if err != nil {
		return nil, err
	}
	holders := []telamon.User{self}
	if authz.Check(actor, authz.UserRead, account) != nil || authz.Check(actor, authz.ClientCertificateIssue, account) != nil {
		return holders, nil
	}
	users, err := s.FindUsers(ctx, actor, account, UserFilter{})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(users, func(a, b telamon.User) int {
		return strings.Compare(strings.ToLower(a.Name+" "+a.ID.String()), strings.ToLower(b.Name+" "+b.ID.String()))
	})
	for _, u := range users {
		if u.ID != actor.User && authz.MayGive(actor, u.Roles) == nil {
			holders = append(holders, u)
		}
	}
	return holders, nil
}

// InspectUserCSR returns the key and the common name of a CSR that a client certificate of a
// user can be made for. Nothing of it is kept. It reports what [IAM.IssueUserCert] reports
// of a CSR by itself, and Denied to actors who are no users.
func (s *IAM) InspectUserCSR(_ context.Context, actor telamon.Actor, text string) (*tbs.PublicKey, string, error) {
	if err := authz.CheckUser(actor, authz.ClientCertificateIssue, actor.Account, actor.User); err != nil {
		return nil, "", err
	}
	key, subject, err := s.parseUserCSR(text)
	if err != nil {
		return nil, "", err
	}
	for _, a := range subject {
		if a.Type.String() == oidCommonName {
			return key, a.Value.Text, nil
		}
	}
	return key, "", nil
}

// A CertTerm is how long a client certificate that is made now may live.
type CertTerm struct {
	Last time.Time // the last second that it may have
	// Bound is what bounds it: "" for the platform's longest term, "user" for the user's own
	// end, "tokens" for that of their API tokens.
	Bound string
	Usual time.Time // the end that it has if none is asked for
}

// CertTerm returns how long a client certificate of a user, the actor if it is empty, may
// live that is made now. A Last that has passed means that none can be made. It reports
// what [IAM.IssueUserCert] reports of the user.
func (s *IAM) CertTerm(ctx context.Context, actor telamon.Actor, user telamon.UserID) (CertTerm, error) {
	owner, err := s.certOwner(ctx, actor, authz.ClientCertificateIssue, user)
	if err != nil {
		return CertTerm{}, err
	}
	last, err := s.lastEnd(ctx, owner)
	if err != nil {
		return CertTerm{}, err
	}
	today := dayOf(s.clock.Now())
	term := CertTerm{
		Last: today.AddDate(0, 0, maxUserCertDays).Add(field.DayEnd), Usual: today.AddDate(0, 0, defaultUserCertDays).Add(field.DayEnd),
	}
	if !last.at.IsZero() && last.at.Before(term.Last) {
		term.Last, term.Bound = last.at, "user"
		if last.whose != ownEnd {
			term.Bound = "tokens"
		}
	}
	if term.Last.Before(term.Usual) {
		term.Usual = term.Last
	}
	return term, nil
}
