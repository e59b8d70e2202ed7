package signin_test

import (
	"bytes"
	"image/png"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

var profile = signin.Profile{
	Name: "Ada Lovelace", JobTitle: "PKI engineer", Phone: "+44 20 7946 0000", Locale: "en_US", Kind: store.AccountDirect,
	Company: store.Company{Name: "Acme K.K.", Locality: "Tokyo", Country: "JP"},
}

// person is somebody who has finished the wizard and enrolled one-time passwords.
type person struct {
	email, value, secret string
	recovery             []string
}

// welcome takes a person who has registered through the wizard, to the enrolment.
func (w *world) welcome(t testing.TB, email, company string) (value string) {
	t.Helper()
	ctx := t.Context()
	w.registered(t, email)
	value, s := w.signIn(t, email, horse)
	p := profile
	p.Company.Name = company
	must(t, w.CompleteProfile(ctx, s, p))
	must(t, w.AcceptAgreement(ctx, w.live(t, value), "2026-11"))
	return value
}

// administrator returns the first person of a new account, ready to act.
func (w *world) administrator(t testing.TB, email, company string) *person {
	t.Helper()
	p := &person{email: email, value: w.welcome(t, email, company)}
	w.enrol(t, p)
	return p
}

// enrol enrols one-time passwords.
func (w *world) enrol(t testing.TB, p *person) {
	t.Helper()
	s := w.live(t, p.value)
	secret := got(w.BeginTOTP(t.Context(), s))(t)
	p.secret = secret.Secret
	enrolled := got(w.ConfirmTOTP(t.Context(), s, w.code(t, p)))(t)
	p.value, p.recovery = enrolled.Value, enrolled.RecoveryCodes
	w.mails(t, p.email)
	w.clock.Advance(30 * time.Second)
}

// code is what the person's authenticator app shows.
func (w *world) code(t testing.TB, p *person) string {
	t.Helper()
	return got(totp.GenerateCode(p.secret, w.clock.Now()))(t)
}

func TestRequirement04Wizard(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.registered(t, ada)
		value, s := w.signIn(t, ada, horse)
		mustBe(t, w.AcceptAgreement(ctx, s, "2026-11"), fault.Conflict, "wrong_stage")
		if err := authz.Check(s.Actor(), authz.CredentialRead, s.Account.ID); !fault.Is(err, fault.Denied) {
			t.Errorf("who has not finished reads credentials: %v", err)
		}
		mustBe(t, errorOf(w.Sessions(ctx, s)), fault.Denied, "session_unready")
		mustBe(t, errorOf(w.BeginTOTP(ctx, s)), fault.Denied, "session_unready")
		for path, change := range map[string]func(*signin.Profile){
			"name":     func(p *signin.Profile) { p.Name = "" },
			"company":  func(p *signin.Profile) { p.Company.Name = strings.Repeat("a", 101) },
			"country":  func(p *signin.Profile) { p.Company.Country = "Japan" },
			"locality": func(p *signin.Profile) { p.Company.Locality = " x" },
			"phone":    func(p *signin.Profile) { p.Phone = "1\n2" },
			"kind":     func(p *signin.Profile) { p.Kind = store.AccountStaff },
		} {
			bad := profile
			change(&bad)
			err := w.CompleteProfile(ctx, s, bad)
			mustBe(t, err, fault.Invalid, "invalid_profile")
			if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != path {
				t.Errorf("%s: the fields are %v", path, f.Fields)
			}
		}
		must(t, w.CompleteProfile(ctx, s, profile))
		mustBe(t, w.CompleteProfile(ctx, s, profile), fault.Conflict, "wrong_stage")
		s = w.live(t, value)
		if s.Need != signin.NeedAgreement || s.User.Name != "Ada Lovelace" || s.Account.Name != "Acme K.K." {
			t.Errorf("the session is %+v, want one that needs the agreement", s)
		}
		mustBe(t, w.AcceptAgreement(ctx, s, "2025-01"), fault.Conflict, "agreement_changed")
		must(t, w.AcceptAgreement(ctx, s, w.Agreement()))
		if s = w.live(t, value); s.Need != signin.NeedEnrolment {
			t.Errorf("the session needs %q, want the enrolment of a factor", s.Need)
		}
		kept := got(w.db.AccountProfile(ctx, s.Account.ID))(t)
		if kept.AgreementVersion != "2026-11" || !kept.AgreementAt.Equal(w.clock.Now()) || kept.AgreementFrom != "192.0.2.7" ||
			kept.AgreementBy != s.User.ID || kept.Company != profile.Company || kept.Kind != store.AccountDirect {
			t.Errorf("the profile is %+v", kept)
		}
		// Another account of that company's name.
		other := w.live(t, w.welcome(t, "bob@example.com", "Acme K.K."))
		if !strings.HasPrefix(other.Account.Name, "Acme K.K. (") {
			t.Errorf("the other account is named %q", other.Account.Name)
		}
	})
}

func TestRequirement06TOTP(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		value := w.welcome(t, ada, "Acme")
		s := w.live(t, value)
		if a := s.Actor(); a.Kind != telamon.ActorAnonymous {
			t.Errorf("who has no factor acts as %+v", a)
		}
		first := got(w.BeginTOTP(ctx, s))(t)
		secret := got(w.BeginTOTP(ctx, s))(t) // the page was loaded again
		if picture, err := png.Decode(bytes.NewReader(secret.PNG)); err != nil || picture.Bounds().Dx() != 240 {
			t.Errorf("the QR code cannot be read: %v", err)
		}
		if !strings.HasPrefix(secret.URL, "otpauth://totp/Telamon:ada@example.com?") || len(secret.Secret) != 32 {
			t.Errorf("the app is told %s", secret.URL)
		}
		old := got(totp.GenerateCode(first.Secret, w.clock.Now()))(t)
		mustBe(t, errorOf(w.ConfirmTOTP(ctx, s, old)), fault.Denied, "second_factor_wrong")
		p := &person{email: ada, secret: secret.Secret}
		enrolled := got(w.ConfirmTOTP(ctx, s, w.code(t, p)))(t)
		w.ended(t, value) // the session has another value
		s = w.live(t, enrolled.Value)
		if a := s.Actor(); s.Need != signin.NeedNothing || a.Kind != telamon.ActorUser || a.User != s.User.ID || !a.SecondFactorAt.Equal(w.clock.Now()) {
			t.Errorf("the actor is %+v", a)
		}
		if len(enrolled.RecoveryCodes) != 10 || len(w.mails(t, ada)) != 1 {
			t.Errorf("there are the recovery codes %v", enrolled.RecoveryCodes)
		}
		mustBe(t, errorOf(w.BeginTOTP(ctx, s)), fault.Conflict, "factor_exists")
		if n := w.count(t, "SELECT count(*) FROM person WHERE CAST(totp_sealed AS TEXT) LIKE '%"+secret.Secret+"%'"); n != 0 {
			t.Error("the secret is in the database")
		}

		// Signing in from now on.
		_, s = w.signIn(t, ada, horse)
		if s.Need != signin.NeedSecondFactor || s.Actor().Kind != telamon.ActorAnonymous {
			t.Errorf("the session needs %q", s.Need)
		}
		mustBe(t, errorOf(w.Sessions(ctx, s)), fault.Denied, "session_unready")
		mustBe(t, errorOf(w.BeginTOTP(ctx, s)), fault.Denied, "session_unready")
		mustBe(t, errorOf(w.SecondFactor(ctx, s, w.code(t, p))), fault.Denied, "second_factor_wrong") // that of the enrolment
		w.clock.Advance(30 * time.Second)
		code := w.code(t, p)
		value = got(w.SecondFactor(ctx, s, code[:3]+" "+code[3:]))(t)
		_, again := w.signIn(t, ada, horse)
		mustBe(t, errorOf(w.SecondFactor(ctx, again, code)), fault.Denied, "second_factor_wrong") // replayed
		w.clock.Advance(90 * time.Second)
		mustBe(t, errorOf(w.SecondFactor(ctx, again, got(totp.GenerateCode(p.secret, w.clock.Now().Add(-60*time.Second)))(t))), fault.Denied, "second_factor_wrong")
		must(t, errorOf(w.SecondFactor(ctx, again, got(totp.GenerateCode(p.secret, w.clock.Now().Add(-30*time.Second)))(t))))
		if w.live(t, value).Need != signin.NeedNothing {
			t.Error("the first session is not ready")
		}
	})
}

// TestSecondFactorOnce shows one code in many sessions at once: it is good in one of them.
func TestSecondFactorOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.administrator(t, ada, "Acme")
		var sessions []*signin.Session
		for range 4 {
			_, s := w.signIn(t, ada, horse)
			sessions = append(sessions, s)
		}
		code := w.code(t, p)
		var wg sync.WaitGroup
		values := make(chan string, len(sessions))
		for _, s := range sessions {
			wg.Go(func() {
				value, _ := w.SecondFactor(t.Context(), s, code)
				values <- value
			})
		}
		wg.Wait()
		close(values)
		right := 0
		for value := range values {
			if value != "" {
				right++
			}
		}
		if right != 1 {
			t.Errorf("the code was good %d times", right)
		}
	})
}

// TestSecondFactorLock guesses codes with the right password: the guesses count.
func TestSecondFactorLock(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := w.administrator(t, ada, "Acme")
		for range signin.MaxFailures {
			_, s := w.signIn(t, ada, horse) // does not begin the count anew
			mustBe(t, errorOf(w.SecondFactor(ctx, s, "000000")), fault.Denied, "second_factor_wrong")
		}
		w.mayNot(t, ada, horse, fault.Denied, "too_many_attempts")
		w.ended(t, p.value)
		w.mails(t, ada)
		must(t, w.RequestReset(ctx, ada, home))
		must(t, w.Reset(ctx, w.link(t, ada, signin.ResetPath), "another good password", home))
		_, s := w.signIn(t, ada, "another good password")
		if s.Need != signin.NeedSecondFactor {
			t.Errorf("after a reset the session needs %q: the mailbox alone opens the account", s.Need)
		}
	})
}

func TestRecoveryCodes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := w.administrator(t, ada, "Acme")
		_, s := w.signIn(t, ada, horse)
		mustBe(t, errorOf(w.SecondFactor(ctx, s, "aaaa-aaaa-aaaa-aaaa")), fault.Denied, "second_factor_wrong")
		value := got(w.SecondFactor(ctx, s, strings.ToUpper(p.recovery[0])))(t)
		if mails := w.mails(t, ada); len(mails) != 1 || !strings.Contains(mails[0].Text, "recovery code") {
			t.Errorf("%d mails tell of the code", len(mails))
		}
		_, s = w.signIn(t, ada, horse)
		mustBe(t, errorOf(w.SecondFactor(ctx, s, p.recovery[0])), fault.Denied, "second_factor_wrong")
		if f := got(w.Factors(ctx, w.live(t, value)))(t); !f.TOTP || f.RecoveryCodes != 9 || !f.Required {
			t.Errorf("the factors are %+v", f)
		}
		codes := got(w.NewRecoveryCodes(ctx, w.live(t, value)))(t)
		mustBe(t, errorOf(w.SecondFactor(ctx, s, p.recovery[1])), fault.Denied, "second_factor_wrong")
		must(t, errorOf(w.SecondFactor(ctx, s, codes[9])))
		for _, code := range codes {
			if n := w.count(t, "SELECT count(*) FROM recovery_code WHERE CAST(mac AS TEXT) LIKE '%"+code+"%'"); n != 0 {
				t.Error("a code is in the database")
			}
		}
	})
}

// TestStepUp lets a second factor get stale, and shows it again.
func TestStepUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := w.administrator(t, ada, "Acme")
		w.clock.Advance(authz.FreshFor - time.Minute)
		s := w.live(t, p.value)
		must(t, authz.MustBeFresh(s.Actor(), w.clock.Now()))
		w.clock.Advance(time.Minute)
		mustBe(t, authz.MustBeFresh(s.Actor(), w.clock.Now()), fault.Denied, "second_factor_stale")
		mustBe(t, errorOf(w.NewRecoveryCodes(ctx, s)), fault.Denied, "second_factor_stale")
		mustBe(t, errorOf(w.BeginPasskey(ctx, s)), fault.Denied, "second_factor_stale")
		mustBe(t, w.RemoveTOTP(ctx, s), fault.Denied, "second_factor_stale")
		value := got(w.SecondFactor(ctx, s, w.code(t, p)))(t)
		w.ended(t, p.value)
		must(t, errorOf(w.NewRecoveryCodes(ctx, w.live(t, value))))
		must(t, authz.MustBeFresh(telamon.Actor{Kind: telamon.ActorOperator}, w.clock.Now()))
	})
}

func TestRequirement06Passkey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		value := w.welcome(t, ada, "Acme")
		key := newAuthenticator(t)
		answer := key.create(t, got(w.BeginPasskey(ctx, w.live(t, value)))(t))
		mustBe(t, errorOf(w.AddPasskey(ctx, w.live(t, value), "", answer)), fault.Invalid, "invalid_passkey")
		enrolled := got(w.AddPasskey(ctx, w.live(t, value), "Laptop", answer))(t)
		if s := w.live(t, enrolled.Value); s.Need != signin.NeedNothing || s.Passkeys != 1 || len(enrolled.RecoveryCodes) != 10 {
			t.Errorf("the session is %+v", s)
		}
		mustBe(t, errorOf(w.AddPasskey(ctx, w.live(t, enrolled.Value), "Laptop", answer)), fault.Denied, "passkey_refused")

		signIn := func() (string, *signin.Session, []byte) {
			t.Helper()
			value, s := w.signIn(t, ada, horse)
			if s.Need != signin.NeedSecondFactor {
				t.Fatalf("the session needs %q", s.Need)
			}
			asked := got(w.BeginPasskeyFactor(ctx, s))(t)
			return value, w.live(t, value), asked
		}
		_, s, asked := signIn()
		answer = key.get(t, asked)
		value = got(w.PasskeyFactor(ctx, s, answer))(t)
		if w.live(t, value).Need != signin.NeedNothing {
			t.Error("the session is not ready")
		}
		refused := func(what string, err error) {
			t.Helper()
			if f := fault.From(err); err == nil || f.Code != "second_factor_wrong" {
				t.Errorf("%s: %v", what, err)
			}
		}
		refused("the answer of another session", errorOf(w.PasskeyFactor(ctx, w.live(t, value), answer)))
		_, s, asked = signIn()
		key.counter -= 2
		refused("a counter that went back", errorOf(w.PasskeyFactor(ctx, s, key.get(t, asked))))
		key.counter += 2
		_, s, asked = signIn()
		key.origin = "https://portal.example.evil"
		refused("another origin", errorOf(w.PasskeyFactor(ctx, s, key.get(t, asked))))
		key.origin = portal
		_, s, asked = signIn()
		w.clock.Advance(5 * time.Minute)
		refused("too late", errorOf(w.PasskeyFactor(ctx, s, key.get(t, asked))))
		_, s, asked = signIn()
		must(t, errorOf(w.PasskeyFactor(ctx, s, key.get(t, asked))))
		_, s, asked = signIn()
		other := newAuthenticator(t)
		other.id, other.user = key.id, key.user
		refused("another key", errorOf(w.PasskeyFactor(ctx, s, other.get(t, asked))))
		_, s, _ = signIn()
		refused("no answer", errorOf(w.PasskeyFactor(ctx, s, []byte("{}"))))
		refused("no ceremony", errorOf(w.PasskeyFactor(ctx, s, key.get(t, asked))))
	})
}

func TestRemoveFactor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := w.administrator(t, ada, "Acme")
		s := w.live(t, p.value)
		mustBe(t, w.RemoveTOTP(ctx, s), fault.Conflict, "last_factor")
		mustBe(t, w.RemovePasskey(ctx, s, telamon.NewPasskeyID()), fault.NotFound, "factor_not_found")
		key := newAuthenticator(t)
		asked := got(w.BeginPasskey(ctx, s))(t)
		enrolled := got(w.AddPasskey(ctx, w.live(t, p.value), "Key", key.create(t, asked)))(t)
		if len(enrolled.RecoveryCodes) != 0 {
			t.Error("a second factor has recovery codes of its own")
		}
		s = w.live(t, enrolled.Value)
		must(t, w.RemoveTOTP(ctx, s))
		f := got(w.Factors(ctx, s))(t)
		if f.TOTP || len(f.Passkeys) != 1 || f.Passkeys[0].Name != "Key" || f.RecoveryCodes != 10 {
			t.Errorf("the factors are %+v", f)
		}
		mustBe(t, w.RemovePasskey(ctx, s, f.Passkeys[0].ID), fault.Conflict, "last_factor")
	})
}
