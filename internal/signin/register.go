package signin

import (
	"context"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// Register begins an account: it mails a link to the address, which Verify takes. If the
// address is a person's already, its owner is told instead, and the caller learns nothing
// of it. It reports Invalid with invalid_registration.
func (s *Service) Register(ctx context.Context, email, newPassword, language string, from Client) error {
	var p problems
	email = p.email(email)
	p.password(newPassword)
	if err := p.Fault("invalid_registration"); err != nil {
		return err
	}
	hash, err := s.passwords.Hash(ctx, newPassword)
	if err != nil {
		return err
	}
	link := s.newLink()
	sent, err := s.store.Register(ctx, from.stranger(), &store.Registration{
		ID: telamon.NewRegistrationID(), Email: email, Locale: locale(language), PasswordHash: hash, ExpiresAt: link.ExpiresAt,
	}, link)
	return s.noteUnsent(sent, err, email, from)
}

// noteUnsent counts that an address gets no more mail today. The caller learns nothing of it.
func (s *Service) noteUnsent(sent bool, err error, email string, from Client) error {
	if err == nil && !sent {
		s.refused.Add(audit.Refusal{Address: from.Address, Credential: email, Reason: string(mailLimit)})
	}
	s.wake()
	return err
}

// ResendVerification mails a new link to an address that was registered and whose link was
// not opened yet. To others it mails nothing, and the caller learns nothing of it.
func (s *Service) ResendVerification(ctx context.Context, email string, from Client) error {
	var p problems
	email = p.email(email)
	if err := p.Fault("invalid_email"); err != nil {
		return err
	}
	sent, err := s.store.ResendVerification(ctx, from.stranger(), email, s.newLink())
	return s.noteUnsent(sent, err, email, from)
}

// Verify takes the value of the link that Register mailed and the password that was chosen
// then, once, and makes an account with its first administrator, who can sign in then. The
// password is asked for so that nobody opens an account which a stranger knows the password
// of, just because the mail came to them.
//
// It reports NotFound with link_invalid; Denied with password_wrong, after which the link is
// still good; and Denied with too_many_attempts after six wrong ones, which end the link.
func (s *Service) Verify(ctx context.Context, value, given string, from Client) error {
	link, err := s.link(ctx, value, store.LinkVerify)
	if err != nil {
		return err
	}
	if err := s.checkRegistered(ctx, link, given, from); err != nil {
		return err
	}
	id := telamon.NewAccountID()
	account := &telamon.Account{ID: id, Name: id.String()}
	user := &telamon.User{ID: telamon.NewUserID(), Kind: telamon.StandardUser, Roles: []string{authz.RoleAdministrator}}
	if err := s.store.VerifyRegistration(ctx, from.stranger(), link, account, user); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeAccount, account.ID.String())
	s.changed(ctx, store.ChangeUser, user.ID.String())
	return nil
}

// checkRegistered reports Denied unless the password is that of the link's registration.
// Attempts are counted for each registration, and apart from those of the address, so that
// who tries to sign in with the address keeps nobody from opening the link.
func (s *Service) checkRegistered(ctx context.Context, link *store.MailedLink, given string, from Client) error {
	n, r, err := s.store.BeginVerification(ctx, link)
	if err != nil {
		return err
	}
	if n > MaxFailures {
		s.count(from, nil, link.Email, lockedOut)
		return fault.New(fault.Denied, "too_many_attempts", "Too many attempts. Register again.")
	}
	right, err := s.passwords.Verify(ctx, r.PasswordHash, given)
	if err != nil {
		return err
	}
	if !right {
		s.count(from, nil, link.Email, passwordWrong)
		return &fault.Fault{
			Kind: fault.Denied, Code: "password_wrong", Detail: "This is not the password that was chosen for the registration.",
			Fields: []fault.Field{{Path: "password", Problem: "is not the one that was chosen"}},
		}
	}
	return nil
}

// Registered returns the address that the link of this value confirms. It changes nothing.
// It reports NotFound with link_invalid.
func (s *Service) Registered(ctx context.Context, value string) (email string, err error) {
	link, err := s.link(ctx, value, store.LinkVerify)
	if err != nil {
		return "", err
	}
	return link.Email, nil
}

// DiscardRegistration takes the value of the link that Register mailed and forgets the
// registration: it was not the owner of the mailbox who registered. It reports NotFound with
// link_invalid.
func (s *Service) DiscardRegistration(ctx context.Context, value string, from Client) error {
	link, err := s.link(ctx, value, store.LinkVerify)
	if err != nil {
		return err
	}
	return s.store.DiscardRegistration(ctx, from.stranger(), link)
}

// CheckLink reports NotFound with link_invalid unless the value is that of a link which
// can still be used. It changes nothing: programs that look through mail open links too,
// so that a link is used by a button alone.
func (s *Service) CheckLink(ctx context.Context, value string, purpose store.LinkPurpose) error {
	_, err := s.link(ctx, value, purpose)
	return err
}
