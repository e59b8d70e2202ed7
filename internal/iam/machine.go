package iam

import (
	"context"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
)

// A Machine is a service user who acts on the admin API.
type Machine struct {
	telamon.Actor
	// Withheld says that the user has roles of the CA's staff which the Actor lacks, since
	// no client certificate of the user was shown.
	Withheld bool
}

// MustShowCertificate reports Denied with client_certificate_needed if roles are withheld.
// It is what to say where one of them would be needed.
func (m *Machine) MustShowCertificate() error {
	if m.Withheld {
		return errCertificateNeeded()
	}
	return nil
}

func errCertificateNeeded() error {
	return fault.New(fault.Denied, "client_certificate_needed",
		"This is for the CA's staff: show the service user's client certificate beside its API token.")
}

// AuthenticateMachine is [IAM.AuthenticateUser] for service users, who must show an API
// token. Their roles of the CA's staff count only beside their client certificate: see
// [Machine].
//
// It reports Unauthenticated with api_token_needed and invalid_api_key; Denied with
// service_user_needed to people, whose second factor a token is not, and with
// credentials_of_different_users; and Unavailable.
func (s *IAM) AuthenticateMachine(ctx context.Context, shown Shown) (Machine, error) {
	actor, err := s.AuthenticateUser(ctx, shown)
	if shown.Key == "" && (err == nil || !fault.Is(err, fault.Unavailable)) {
		return Machine{}, fault.New(fault.Unauthenticated, "api_token_needed", "Show the API token of a service user.")
	}
	if err != nil {
		return Machine{}, err
	}
	user, err := s.directory.User(ctx, actor.User)
	if err != nil {
		return Machine{}, err
	}
	if user.Kind != telamon.ServiceUser {
		return Machine{}, fault.New(fault.Denied, "service_user_needed", "This is for service users: people use the portal.")
	}
	m := Machine{Actor: actor}
	if actor.ClientCert == "" {
		m.Roles = slices.DeleteFunc(slices.Clone(actor.Roles), authz.IsStaffRole)
		m.Withheld = len(m.Roles) < len(actor.Roles)
	}
	return m, nil
}
