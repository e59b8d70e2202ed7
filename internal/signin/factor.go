package signin

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"image/png"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// One-time passwords (RFC 6238): six digits of HMAC-SHA-1 each 30 seconds, which is all
// that the common authenticator apps know. A code is good in its own step and in the one
// before and after (RFC 6238, Section 5.2).
const (
	totpPeriod = 30
	totpSkew   = 1
	totpSecret = 20 // octets (RFC 4226, Section 4)
	totpLabel  = "totp"
)

// Recovery codes stand in for a factor that is lost: ten of 80 bits, each for one use.
const (
	recoveryCodes  = 10
	recoveryOctets = 10
	recoveryLength = 16 // in base32, whose decoder skips line ends
	recoveryLabel  = "recovery_code"
	recoveryMAC    = 1 // the version of the MACs' secret
)

var recoveryEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// factor names, in the audit log.
const (
	factorTOTP     = "totp"
	factorPasskey  = "passkey"
	factorRecovery = "recovery_code"
)

func errFactor() error {
	return fault.New(fault.Denied, "second_factor_wrong", "The code is not right, or was used before.")
}

// A TOTPSecret is what an authenticator app is told, once.
type TOTPSecret struct {
	Secret string // base32
	URL    string // otpauth://…
	PNG    []byte // the URL as a QR code
}

// mayEnrol reports Denied unless the session may add a factor: it needs to, or it needs
// nothing and has shown a factor lately, if its person has one.
func (s *Service) mayEnrol(session *Session) error {
	if session.Need == NeedEnrolment {
		return nil
	}
	if err := session.ready(); err != nil {
		return err
	}
	if session.TOTP || session.Passkeys > 0 {
		return authz.MustBeFresh(session.own(), s.clock.Now())
	}
	return nil
}

// BeginTOTP makes the secret of one-time passwords, which are a factor once ConfirmTOTP was
// given a first code. It reports Denied with session_unready and second_factor_stale, and
// Conflict with factor_exists.
func (s *Service) BeginTOTP(ctx context.Context, session *Session) (*TOTPSecret, error) {
	if err := s.mayEnrol(session); err != nil {
		return nil, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: s.platform, AccountName: session.User.Email, Period: totpPeriod, SecretSize: totpSecret})
	if err != nil {
		return nil, fmt.Errorf("make the secret of one-time passwords: %w", err)
	}
	sealed, err := s.keys.SealSecret(totpLabel, []byte(session.User.ID), []byte(key.Secret()))
	if err != nil {
		return nil, err
	}
	picture, err := key.Image(240, 240)
	if err != nil {
		return nil, fmt.Errorf("draw a QR code: %w", err)
	}
	var code bytes.Buffer
	if err := png.Encode(&code, picture); err != nil {
		return nil, fmt.Errorf("draw a QR code: %w", err)
	}
	if err := s.store.PutTOTP(ctx, session.User.ID, sealed); err != nil {
		return nil, err
	}
	return &TOTPSecret{Secret: key.Secret(), URL: key.URL(), PNG: code.Bytes()}, nil
}

// Enrolled is what comes of a new factor.
type Enrolled struct {
	Value string // of the session's cookie from now on
	// RecoveryCodes are shown this once; none if the person has codes from another factor.
	RecoveryCodes []string
}

// ConfirmTOTP makes the one-time passwords that BeginTOTP began a factor, by their first
// code. It reports Denied with second_factor_wrong, too_many_attempts and as BeginTOTP.
func (s *Service) ConfirmTOTP(ctx context.Context, session *Session, code string) (*Enrolled, error) {
	if err := s.mayEnrol(session); err != nil {
		return nil, err
	}
	factors, err := s.store.Factors(ctx, session.User.ID)
	if err != nil {
		return nil, err
	}
	if factors.TOTPActive || factors.TOTPSealed == nil {
		return nil, fault.New(fault.Conflict, "factor_exists", "There are no one-time passwords that wait for their first code.")
	}
	proof, err := s.checkTOTP(session.User.ID, factors, code)
	if err != nil {
		return nil, err
	}
	if proof == nil {
		return nil, errFactor()
	}
	codes, macs := s.recoveryFor(session.User.ID, factors)
	value := newValue()
	err = s.store.AddTOTP(ctx, session.own(), &session.User, *proof, macs, value, notice(noticeFactorAdded, session.from))
	if err != nil {
		return nil, err
	}
	return &Enrolled{Value: value, RecoveryCodes: codes}, nil
}

// checkTOTP returns the proof that a code is, nil if it is none. Codes of steps that were
// accepted before, or earlier, are none.
func (s *Service) checkTOTP(user telamon.UserID, f store.Factors, code string) (*store.Proof, error) {
	if f.TOTPSealed == nil {
		return nil, nil
	}
	secret, err := s.keys.OpenSecret(totpLabel, []byte(user), f.TOTPSealed)
	if err != nil {
		return nil, err
	}
	step := s.clock.Now().Unix() / totpPeriod
	for at := step - totpSkew; at <= step+totpSkew; at++ {
		want, err := hotp.GenerateCodeCustom(string(secret), uint64(at), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return nil, fmt.Errorf("make a one-time password: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && at > f.TOTPStep {
			return &store.Proof{Factor: factorTOTP, Sealed: f.TOTPSealed, Step: at}, nil
		}
	}
	return nil, nil
}

// recoveryFor returns new recovery codes and their MACs if the person has none.
func (s *Service) recoveryFor(user telamon.UserID, f store.Factors) (codes []string, macs [][]byte) {
	if f.RecoveryCodes > 0 {
		return nil, nil
	}
	return s.newRecoveryCodes(user)
}

func (s *Service) newRecoveryCodes(user telamon.UserID) (codes []string, macs [][]byte) {
	for range recoveryCodes {
		octets := make([]byte, recoveryOctets)
		rand.Read(octets) // does not fail (crypto/rand)
		code := strings.ToLower(recoveryEncoding.EncodeToString(octets))
		macs = append(macs, s.recoveryMAC(user, code))
		codes = append(codes, strings.Join([]string{code[:4], code[4:8], code[8:12], code[12:]}, "-"))
	}
	return codes, macs
}

func (s *Service) recoveryMAC(user telamon.UserID, code string) []byte {
	return s.keys.MAC(recoveryLabel, recoveryMAC, slices.Concat([]byte(user), []byte{0}, []byte(code)))
}

// canonicalRecovery reads a recovery code as people type it, "" for what is none.
func canonicalRecovery(text string) string {
	code := strings.ToLower(strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, text))
	if octets, err := recoveryEncoding.DecodeString(strings.ToUpper(code)); err != nil || len(octets) != recoveryOctets || len(code) != recoveryLength {
		return ""
	}
	return code
}

// SecondFactor shows a second factor: a one-time password or a recovery code. It ends
// NeedSecondFactor, and for a session that needs nothing makes the factor fresh. It
// returns the value of the session's cookie from now on. Failures count as those of SignIn
// do. It reports Denied with second_factor_wrong and too_many_attempts.
func (s *Service) SecondFactor(ctx context.Context, session *Session, code string) (value string, err error) {
	return s.showFactor(ctx, session, func(f store.Factors) (*store.Proof, error) {
		code = strings.TrimSpace(code)
		if recovery := canonicalRecovery(code); recovery != "" {
			return &store.Proof{Factor: factorRecovery, RecoveryMAC: s.recoveryMAC(session.User.ID, recovery)}, nil
		}
		if !f.TOTPActive {
			return nil, nil
		}
		return s.checkTOTP(session.User.ID, f, strings.ReplaceAll(code, " ", ""))
	})
}

// showFactor counts an attempt, has a factor checked and uses the proof up.
func (s *Service) showFactor(ctx context.Context, session *Session, check func(store.Factors) (*store.Proof, error)) (string, error) {
	if session.Need != NeedSecondFactor && session.Need != NeedNothing {
		return "", session.ready()
	}
	n, c, err := s.store.BeginAttempt(ctx, session.User.Email)
	if err != nil {
		return "", err
	}
	if n > MaxFailures || c.LockedOut || c.User == nil {
		s.count(session.from, c.User, "", lockedOut)
		return "", errTooMany()
	}
	factors, err := s.store.Factors(ctx, session.User.ID)
	if err != nil {
		return "", err
	}
	proof, err := check(factors)
	if err != nil {
		return "", err
	}
	value := newValue()
	if proof != nil {
		var mail *store.NoticeParams
		if proof.RecoveryMAC != nil {
			told := notice(noticeRecoveryCode, session.from)
			mail = &told
		}
		err := s.store.ShowFactor(ctx, session.own(), &session.User, *proof, value, mail)
		if !isCode(err, "second_factor_wrong") {
			return value, err
		}
	}
	s.count(session.from, c.User, "", factorWrong)
	if err := s.lockAfter(ctx, n, c.User, session.from); err != nil {
		return "", err
	}
	return "", errFactor()
}

func isCode(err error, code string) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Code == code
}

// A PasskeyInfo is what a person sees of one of their passkeys.
type PasskeyInfo struct {
	ID         telamon.PasskeyID
	Name       string
	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
}

// FactorInfo is what a person sees of their second factors.
type FactorInfo struct {
	TOTP          bool
	Passkeys      []PasskeyInfo
	RecoveryCodes int  // that are left
	Required      bool // by a role of theirs
}

// Factors returns what the session's person has. The session must need nothing more.
func (s *Service) Factors(ctx context.Context, session *Session) (FactorInfo, error) {
	if err := session.ready(); err != nil {
		return FactorInfo{}, err
	}
	f, err := s.store.Factors(ctx, session.User.ID)
	info := FactorInfo{
		TOTP: f.TOTPActive, RecoveryCodes: f.RecoveryCodes, Required: slices.ContainsFunc(session.User.Roles, authz.NeedsFactor),
	}
	for _, k := range f.Passkeys {
		info.Passkeys = append(info.Passkeys, PasskeyInfo{ID: k.ID, Name: k.Name, CreatedAt: k.CreatedAt, LastUsedAt: k.LastUsedAt})
	}
	return info, err
}

// NewRecoveryCodes makes new recovery codes; earlier ones are good no more. The session must
// have shown a factor lately. It reports Denied.
func (s *Service) NewRecoveryCodes(ctx context.Context, session *Session) ([]string, error) {
	if err := s.fresh(session); err != nil {
		return nil, err
	}
	codes, macs := s.newRecoveryCodes(session.User.ID)
	return codes, s.store.PutRecoveryCodes(ctx, session.Actor(), macs)
}

// fresh reports Denied unless the session needs nothing and has shown a factor lately.
func (s *Service) fresh(session *Session) error {
	if err := session.ready(); err != nil {
		return err
	}
	return authz.MustBeFresh(session.Actor(), s.clock.Now())
}

// RemoveTOTP removes the one-time passwords of the session's person, who must have shown a
// factor lately. It reports Denied; NotFound; and Conflict with last_factor if a role asks
// for a factor and there is no other.
func (s *Service) RemoveTOTP(ctx context.Context, session *Session) error {
	return s.removeFactor(ctx, session, "")
}

// RemovePasskey removes a passkey, as RemoveTOTP does.
func (s *Service) RemovePasskey(ctx context.Context, session *Session, id telamon.PasskeyID) error {
	if id == "" {
		return fault.New(fault.NotFound, "factor_not_found", "There is no such second factor.")
	}
	return s.removeFactor(ctx, session, id)
}

func (s *Service) removeFactor(ctx context.Context, session *Session, id telamon.PasskeyID) error {
	if err := s.fresh(session); err != nil {
		return err
	}
	required := slices.ContainsFunc(session.User.Roles, authz.NeedsFactor)
	return s.store.RemoveFactor(ctx, session.Actor(), &session.User, id, required, notice(noticeFactorRemoved, session.from))
}

// ResetFactors removes all second factors of a person of the account who has lost them; if
// a role asks for one, they must enrol another at the next sign-in. Nobody does it to
// themselves. An administrator must have shown a factor lately. It reports Denied and
// NotFound.
func (s *Service) ResetFactors(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, from Client) error {
	if err := authz.Check(actor, authz.UserResetFactor, account); err != nil {
		return err
	}
	if id == actor.User {
		return fault.New(fault.Denied, "own_user", "Nobody can do this to themselves: another administrator can.")
	}
	if err := authz.MustBeFresh(actor, s.clock.Now()); err != nil {
		return err
	}
	user, err := s.store.User(ctx, account, id)
	if err != nil {
		return err
	}
	return s.store.ResetFactors(ctx, actor, &user, notice(noticeFactorRemoved, from))
}
