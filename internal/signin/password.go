package signin

import (
	"context"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// A reason is why a sign-in was refused: for the audit log, never for the one who tries.
// Reasons are never renamed.
type reason string

// The reasons.
const (
	emailUnknown  reason = "email_unknown"
	passwordWrong reason = "password_wrong"
	unverified    reason = "email_unverified"
	lockedOut     reason = "locked_out"
	userInactive  reason = "user_inactive" // disabled, ended, or locked by an administrator; or the account is
	mailLimit     reason = "mail_limit"
	factorWrong   reason = "second_factor_wrong"
	oidcNoFlow    reason = "oidc_flow"    // not begun in this browser, begun too long ago, or ended before
	oidcToken     reason = "oidc_token"   // what the provider gave is not believed
	oidcUnknown   reason = "oidc_unknown" // nobody of the account has the verified address
)

// actionSignIn is the action of audit events of sign-ins and of those that count refusals.
const actionSignIn = "user.sign_in"

func errRefused() error {
	return fault.New(fault.Unauthenticated, "sign_in_refused", "The e-mail address or the password is not right.")
}

func errTooMany() error {
	return fault.New(fault.Denied, "too_many_attempts", "Too many attempts. Reset your password to unlock.")
}

// SignIn starts a session of the person of an address and password. It returns the value
// of the session's cookie, and the session, which says what it needs next: a second factor
// if the person has one.
//
// It reports Unauthenticated with sign_in_refused; Denied with too_many_attempts, also for
// the right password, after six failures in a row, whether or not the address is
// somebody's; and Denied with email_unverified for the right password of a registration
// whose link was not opened.
func (s *Service) SignIn(ctx context.Context, email, given string, from Client) (value string, _ *Session, err error) {
	email, ok := canonicalEmail(email)
	if !ok {
		return "", nil, s.refuse(from, nil, "", emailUnknown)
	}
	n, c, err := s.store.BeginAttempt(ctx, email)
	if err != nil {
		return "", nil, err
	}
	if n > MaxFailures || c.LockedOut {
		s.count(from, c.User, email, lockedOut)
		return "", nil, errTooMany()
	}
	right, registered, err := s.checkPassword(ctx, c, given)
	if err != nil {
		return "", nil, err
	}
	switch {
	case registered:
		s.count(from, nil, email, unverified)
		return "", nil, fault.New(fault.Denied, "email_unverified", "Open the link in the mail that you got first, or have it sent again.")
	case !right:
		return "", nil, s.fail(ctx, n, c, email, from)
	}
	if ok, err := s.active(ctx, c.User); err != nil || !ok {
		if err != nil {
			return "", nil, err
		}
		return "", nil, s.refuse(from, c.User, email, userInactive)
	}
	return s.start(ctx, c, methodPassword, false, from)
}

// checkPassword reports whether the password is the user's, or that of a registration of
// nobody yet. It computes one hash at least, whoever it is.
func (s *Service) checkPassword(ctx context.Context, c *store.Candidate, given string) (right, registered bool, err error) {
	if c.User != nil {
		right, err = s.passwords.Verify(ctx, c.User.PasswordHash, given)
		return right, false, err
	}
	hash := ""
	if len(c.Registrations) > 0 {
		hash = c.Registrations[0].PasswordHash
	}
	registered, err = s.passwords.Verify(ctx, hash, given)
	return false, registered, err
}

// fail says that attempt n failed. The sixth one locks.
func (s *Service) fail(ctx context.Context, n int64, c *store.Candidate, email string, from Client) error {
	why := passwordWrong
	if c.User == nil {
		why = emailUnknown
	}
	if err := s.lockAfter(ctx, n, c.User, from); err != nil {
		return err
	}
	return s.refuse(from, c.User, email, why)
}

// lockAfter locks the user if the attempt which failed is the last one that is allowed.
func (s *Service) lockAfter(ctx context.Context, n int64, u *telamon.User, from Client) error {
	if u == nil || n < MaxFailures {
		return nil
	}
	if err := s.store.LockOut(ctx, from.stranger(), u, notice(noticeLocked, from)); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, u.ID.String())
	return nil
}

// active reports whether the user and their account may act now.
func (s *Service) active(ctx context.Context, u *telamon.User) (bool, error) {
	account, err := s.directory.Account(ctx, u.Account)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now := s.clock.Now()
	return u.Kind == telamon.StandardUser && u.Status(now) == telamon.UserActive && account.Usable(now), nil
}

// count counts a refusal under the user, or under what was given in its place.
func (s *Service) count(from Client, u *telamon.User, given string, why reason) {
	r := audit.Refusal{Address: from.Address, Credential: given, Reason: string(why)}
	if u != nil {
		r.Account, r.Credential = u.Account, u.ID.String()
	}
	s.refused.Add(r)
}

// refuse counts a refusal and returns the one answer.
func (s *Service) refuse(from Client, u *telamon.User, given string, why reason) error {
	s.count(from, u, given, why)
	return errRefused()
}

// WriteRefusals writes the counts of refusals to the audit log: those of a minute ago and
// earlier, or all of them at the end of the process. It is called every few seconds. What
// it could not write it keeps for the next time.
func (s *Service) WriteRefusals(ctx context.Context, all bool) error {
	return s.unwritten.Write(ctx, all, []*audit.Counter{s.refused}, nil, s.store.RecordEvents)
}

// RequestReset mails a link to the person of an address, which Reset takes. To others it
// mails nothing, and the caller learns nothing of it. It reports Invalid with invalid_email.
func (s *Service) RequestReset(ctx context.Context, email string, from Client) error {
	var p problems
	email = p.email(email)
	if err := p.Fault("invalid_email"); err != nil {
		return err
	}
	sent, err := s.store.RequestReset(ctx, from.stranger(), email, s.newLink())
	return s.noteUnsent(sent, err, email, from)
}

// Reset takes the value of the link that RequestReset mailed, once, and sets a new
// password. All sessions of the person end, and so does a lock because of failed attempts.
// It reports Invalid with invalid_password, after which the link is still good, and
// NotFound with link_invalid.
func (s *Service) Reset(ctx context.Context, value, newPassword string, from Client) error {
	link, err := s.link(ctx, value, store.LinkReset)
	if err != nil {
		return err
	}
	var p problems
	p.password(newPassword)
	if err := p.Fault("invalid_password"); err != nil {
		return err
	}
	hash, err := s.passwords.Hash(ctx, newPassword)
	if err != nil {
		return err
	}
	user, err := s.store.ResetPassword(ctx, from.stranger(), link, hash, notice(noticePassword, from))
	if err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, user.ID.String())
	return nil
}

// ChangePassword sets a new password of the session's own user, who gives the present one
// too. The user's other sessions end; this one goes on. Failures count as those of SignIn
// do. It reports Invalid with invalid_password, Denied with password_wrong, and
// Denied with too_many_attempts.
func (s *Service) ChangePassword(ctx context.Context, session *Session, present, newPassword string) error {
	if err := session.ready(); err != nil {
		return err
	}
	var p problems
	p.password(newPassword)
	if err := p.Fault("invalid_password"); err != nil {
		return err
	}
	n, c, err := s.store.BeginAttempt(ctx, session.User.Email)
	if err != nil {
		return err
	}
	if n > MaxFailures || c.User == nil {
		return errTooMany()
	}
	right, err := s.passwords.Verify(ctx, c.User.PasswordHash, present)
	if err != nil {
		return err
	}
	if !right {
		s.count(session.from, c.User, "", passwordWrong)
		if err := s.lockAfter(ctx, n, c.User, session.from); err != nil {
			return err
		}
		return fault.New(fault.Denied, "password_wrong", "The present password is not right.")
	}
	hash, err := s.passwords.Hash(ctx, newPassword)
	if err != nil {
		return err
	}
	c.User.PasswordHash = hash
	err = s.store.ChangePassword(ctx, session.Actor(), hash, boundTo(c.User), notice(noticePassword, session.from))
	if err != nil {
		return err
	}
	s.changed(ctx, store.ChangeUser, c.User.ID.String())
	return s.store.ReturnAttempt(ctx, c.User.Email)
}
