package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// How sessions begin.
const (
	methodPassword = "password"
	methodOIDC     = "oidc"
)

// A Need is what a session must do before anything else.
type Need string

// The needs, in the order in which they are met.
const (
	NeedSecondFactor Need = "second_factor" // show the factor that the person has
	NeedProfile      Need = "profile"       // the wizard of the first sign-in
	NeedAgreement    Need = "agreement"     // likewise
	NeedEnrolment    Need = "enrolment"     // a role asks for a second factor, and there is none
	NeedNothing      Need = ""
)

// A Session is one sign-in of a person in one browser, as of one request.
type Session struct {
	ID             telamon.SessionID
	User           telamon.User
	Account        telamon.Account
	Need           Need
	Method         string    // how it began: "password" or "oidc"
	SecondFactorAt time.Time // zero: none was shown
	CreatedAt      time.Time
	SeenAt         time.Time
	EndsAt         time.Time // at the latest
	Address        netip.Addr
	Agent          string // what the browser said that it is when it signed in
	TOTP           bool   // the person has one-time passwords
	Passkeys       int    // how many the person has

	from     Client // of this request
	value    string
	ceremony []byte
}

// Actor returns who acts by the session: the user once it needs nothing more, and a
// stranger before.
func (s *Session) Actor() telamon.Actor {
	if s.Need != NeedNothing {
		return s.from.stranger()
	}
	return s.own()
}

// own is the user as the actor of what concerns themselves, whatever the session needs.
func (s *Session) own() telamon.Actor {
	return telamon.Actor{
		Kind: telamon.ActorUser, Account: s.Account.ID, Address: s.from.Address.Unmap(), RequestID: s.from.RequestID, User: s.User.ID,
		UserName: s.User.Name, Roles: slices.Clone(s.User.Roles), Session: s.ID, SecondFactorAt: s.SecondFactorAt,
	}
}

// ready reports Denied unless the session needs nothing more.
func (s *Session) ready() error {
	if s.Need != NeedNothing {
		return fault.New(fault.Denied, "session_unready", "Finish signing in first.")
	}
	return nil
}

func errEnded() error {
	return fault.New(fault.Unauthenticated, "session_ended", "Your session has ended. Sign in again.")
}

// sessionOctets of randomness are a session's value: 256 bits.
const sessionOctets = 32

func newValue() string {
	value := make([]byte, sessionOctets)
	rand.Read(value) // does not fail (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(value)
}

// boundTo is what a session is bound to: when the user's password or roles change, by
// whichever way, it has ended.
func boundTo(u *telamon.User) []byte {
	h := sha256.New()
	for _, part := range append([]string{u.PasswordHash}, u.Roles...) {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return h.Sum(nil)
}

// start starts a session of a person who showed who they are by the method, and with a
// second factor too if factor.
func (s *Service) start(ctx context.Context, c *store.Candidate, method string, factor bool, from Client) (string, *Session, error) {
	now := s.clock.Now()
	row := &store.Session{
		ID: telamon.NewSessionID(), User: c.User.ID, Account: c.User.Account, BoundTo: boundTo(c.User), Method: method,
		EndsAt: now.Add(SessionLife), Address: from.Address, Agent: from.agent(),
		Stage: c.Stage, TOTP: c.TOTP, Passkeys: c.Passkeys,
	}
	if factor {
		row.FactorAt = now
	}
	if row.Stage == store.StageVerified {
		row.Stage = store.StageProfile
	}
	value := newValue()
	actor := telamon.Actor{
		Kind: telamon.ActorUser, Account: c.User.Account, Address: from.Address.Unmap(), RequestID: from.RequestID,
		User: c.User.ID, UserName: c.User.Name, Session: row.ID,
	}
	attempt := store.AttemptGoesOn
	if factor || !c.TOTP && c.Passkeys == 0 {
		attempt = store.AttemptDone
	} else if method != methodPassword { // which alone began an attempt
		attempt = store.NoAttempt
	}
	if err := s.store.StartSession(ctx, actor, row, c.User, value, attempt); err != nil {
		return "", nil, err
	}
	account, err := s.directory.Account(ctx, c.User.Account)
	if err != nil {
		return "", nil, err
	}
	return value, s.session(row, c.User, account, value, from), nil
}

// Session returns the session of a cookie's value. Its user, account, roles and factors are
// looked at anew: what was disabled, locked, demoted or ended elsewhere ends it within a
// second. It reports Unauthenticated with session_ended, and Unavailable.
func (s *Service) Session(ctx context.Context, value string, from Client) (*Session, error) {
	if len(value) != base64.RawURLEncoding.EncodedLen(sessionOctets) {
		return nil, errEnded()
	}
	row, err := s.store.Session(ctx, value)
	if err != nil {
		return nil, err
	}
	now := s.clock.Now()
	if row == nil || !now.Before(row.EndsAt) || now.Sub(row.SeenAt) >= IdleLimit {
		return nil, errEnded()
	}
	user, err := s.boundUser(ctx, row)
	if err != nil {
		return nil, err
	}
	if ok, err := s.active(ctx, user); err != nil || !ok {
		if err == nil {
			err = errEnded()
		}
		return nil, err
	}
	account, err := s.directory.Account(ctx, user.Account)
	if err != nil {
		return nil, err
	}
	if now.Sub(row.SeenAt) >= seenEvery {
		if err := s.store.TouchSession(ctx, row.ID); err != nil {
			s.log.WarnContext(ctx, "a session's use could not be noted", "session", row.ID, "error", err)
		}
	}
	return s.session(row, user, account, value, from), nil
}

// boundUser returns the user of a session that is still bound to them. The directory of a
// replica may be a moment behind a change that this session made itself, so the store has
// the last word.
func (s *Service) boundUser(ctx context.Context, row *store.Session) (*telamon.User, error) {
	user, err := s.directory.User(ctx, row.User)
	if err == nil && slices.Equal(boundTo(user), row.BoundTo) {
		return user, nil
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	stored, err := s.store.User(ctx, row.Account, row.User)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if err != nil || !slices.Equal(boundTo(&stored), row.BoundTo) {
		return nil, errEnded()
	}
	return &stored, nil
}

// session makes a Session of what was read.
func (s *Service) session(row *store.Session, u *telamon.User, a *telamon.Account, value string, from Client) *Session {
	session := listed(row)
	session.User, session.Account, session.TOTP, session.Passkeys = *u, *a, row.TOTP, row.Passkeys
	session.from, session.value, session.ceremony = from, value, row.Ceremony
	session.Need = needOf(row, u)
	return session
}

// listed is a session without its user.
func listed(row *store.Session) *Session {
	return &Session{
		ID: row.ID, Method: row.Method, SecondFactorAt: row.FactorAt, CreatedAt: row.CreatedAt, SeenAt: row.SeenAt, EndsAt: row.EndsAt,
		Address: row.Address, Agent: row.Agent,
	}
}

// needOf returns what a session needs next.
func needOf(row *store.Session, u *telamon.User) Need {
	enrolled := row.TOTP || row.Passkeys > 0
	switch {
	case enrolled && row.FactorAt.IsZero():
		return NeedSecondFactor
	case row.Stage == store.StageVerified || row.Stage == store.StageProfile:
		return NeedProfile
	case row.Stage == store.StageAgreement:
		return NeedAgreement
	case !enrolled && row.FactorAt.IsZero() && slices.ContainsFunc(u.Roles, authz.NeedsFactor):
		return NeedEnrolment
	}
	return NeedNothing
}

// SignOut ends the session of a cookie's value. It does nothing if there is none.
func (s *Service) SignOut(ctx context.Context, value string, from Client) error {
	row, err := s.store.Session(ctx, value)
	if err != nil || row == nil {
		return err
	}
	actor := telamon.Actor{
		Kind: telamon.ActorUser, Account: row.Account, Address: from.Address.Unmap(), RequestID: from.RequestID, User: row.User,
		Session: row.ID,
	}
	err = s.store.EndSession(ctx, actor, row.Account, row.User, row.ID)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// Sessions lists the live sessions of the session's own user, this one among them.
func (s *Service) Sessions(ctx context.Context, session *Session) ([]Session, error) {
	if err := session.ready(); err != nil {
		return nil, err
	}
	rows, err := s.store.Sessions(ctx, session.User.ID, s.clock.Now().Add(-IdleLimit))
	if err != nil {
		return nil, err
	}
	bound := boundTo(&session.User)
	var out []Session
	for i := range rows {
		if slices.Equal(rows[i].BoundTo, bound) {
			out = append(out, *listed(&rows[i]))
		}
	}
	return out, nil
}

// EndSession ends one of the sessions of the session's own user, which may be this one. It
// reports NotFound.
func (s *Service) EndSession(ctx context.Context, session *Session, id telamon.SessionID) error {
	if err := session.ready(); err != nil {
		return err
	}
	return s.store.EndSession(ctx, session.Actor(), session.Account.ID, session.User.ID, id)
}

// EndOtherSessions ends all sessions of the session's own user but this one, and returns
// how many.
func (s *Service) EndOtherSessions(ctx context.Context, session *Session) (int64, error) {
	if err := session.ready(); err != nil {
		return 0, err
	}
	return s.store.EndSessions(ctx, session.Actor(), session.Account.ID, session.User.ID, session.ID)
}
