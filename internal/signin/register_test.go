package signin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/password"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

func TestRequirement01Registration(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		must(t, w.Register(ctx, " Ada@Example.com", horse, "de-DE", home))
		w.mayNot(t, ada, horse, fault.Denied, "email_unverified")
		w.mayNot(t, ada, horse+"!", fault.Unauthenticated, "sign_in_refused")
		value := w.link(t, ada, signin.VerifyPath)
		must(t, w.CheckLink(ctx, value, store.LinkVerify)) // a program that opens links
		w.mayNot(t, ada, horse, fault.Denied, "email_unverified")
		must(t, w.Verify(ctx, value, horse, home))
		_, s := w.signIn(t, ada, horse)
		if s.User.Email != ada || !slices.Equal(s.User.Roles, []string{"administrator"}) || s.User.Locale != "de_DE" || s.Need != signin.NeedProfile {
			t.Errorf("the session is %+v, want an administrator's who must complete the profile", s)
		}
		for action, want := range map[string]int{"user.register": 1, "user.verify": 1, "account.create": 1, "user.create": 1} {
			if n := len(w.events(t, action)); n != want {
				t.Errorf("%d events say %s, want %d", n, action, want)
			}
		}
	})
}

func TestRegisterInvalid(t *testing.T) {
	w := newWorld(t, sqlite(t))
	for name, tt := range map[string]struct{ email, password, path string }{
		"no address":       {"", horse, "email"},
		"a display name":   {"Ada <ada@example.com>", horse, "email"},
		"a line":           {"ada@example.com\r\nBcc: x@example.com", horse, "email"},
		"a short password": {ada, "short", "password"},
	} {
		err := w.Register(t.Context(), tt.email, tt.password, "en", home)
		mustBe(t, err, fault.Invalid, "invalid_registration")
		if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != tt.path {
			t.Errorf("%s: the fields are %v", name, f.Fields)
		}
	}
	if n := w.count(t, "SELECT count(*) FROM registration"); n != 0 {
		t.Errorf("%d registrations were written", n)
	}
}

// TestRequirement02Links uses each kind of link twice, late, changed and for another
// purpose.
func TestRequirement02Links(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		dead := func(what string, err error) {
			t.Helper()
			if f := fault.From(err); err == nil || f.Kind != fault.NotFound || f.Code != "link_invalid" {
				t.Errorf("%s: %v, want link_invalid", what, err)
			}
		}
		must(t, w.Register(ctx, ada, horse, "en", home))
		verify := w.link(t, ada, signin.VerifyPath)
		must(t, w.Register(ctx, "late@example.com", horse, "en", home))
		late := w.link(t, "late@example.com", signin.VerifyPath)
		dead("for another purpose", w.Reset(ctx, verify, horse, home))
		for _, value := range []string{"", "x", verify[:len(verify)-1], verify + "A", flipped(verify, 3), flipped(verify, len(verify)-4), late[:22] + verify[22:]} {
			dead("changed", w.Verify(ctx, value, horse, home))
		}
		must(t, w.Verify(ctx, verify, horse, home))
		dead("a second time", w.Verify(ctx, verify, horse, home))
		dead("a second time", w.CheckLink(ctx, verify, store.LinkVerify))
		w.clock.Advance(signin.LinkLife)
		dead("after 24 hours", w.Verify(ctx, late, horse, home))
		w.mayNot(t, "late@example.com", horse, fault.Unauthenticated, "sign_in_refused")

		must(t, w.RequestReset(ctx, ada, home))
		reset := w.link(t, ada, signin.ResetPath)
		dead("for another purpose", w.Verify(ctx, reset, horse, home))
		w.clock.Advance(signin.LinkLife - time.Second)
		mustBe(t, w.Reset(ctx, reset, "short", home), fault.Invalid, "invalid_password")
		must(t, w.Reset(ctx, reset, "another good password", home))
		dead("a second time", w.Reset(ctx, reset, horse, home))
		w.signIn(t, ada, "another good password")

		// Neither the value nor a hash of it is anywhere in the database.
		for _, value := range []string{verify, late, reset} {
			for _, column := range []string{"mail.params", "mailed_link.nonce", "mailed_link.id", "audit_event.payload"} {
				table, name, _ := strings.Cut(column, ".")
				if n := w.count(t, fmt.Sprintf("SELECT count(*) FROM %s WHERE CAST(%s AS TEXT) LIKE '%%%s%%'", table, name, value)); n > 0 {
					t.Errorf("%s has the value of a link", column)
				}
			}
		}
	})
}

// flipped changes one character.
func flipped(text string, at int) string {
	b := []byte(text)
	if b[at] = 'A'; text[at] == 'A' {
		b[at] = 'B'
	}
	return string(b)
}

// TestRequirement03Neutral compares what a stranger sees of a known and of an unknown
// address: the answer, and the work that is done.
func TestRequirement03Neutral(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.passwords = password.NewHasher() // whose work is what is compared
		w.Service, w.dir = w.replica(t)
		w.registered(t, ada)
		// The least of some, in turns: what else the machine does only adds, so that more
		// of them bring the two together unless the work differs.
		near := func(what string, known, unknown func(i int) error) {
			t.Helper()
			least := [2]time.Duration{time.Hour, time.Hour}
			for i := range 12 {
				for j, f := range []func(int) error{known, unknown} {
					start := time.Now()
					must(t, f(i))
					least[j] = min(least[j], time.Since(start))
				}
				if i > 1 && (least[0]-least[1]).Abs() <= 50*time.Millisecond {
					return
				}
			}
			t.Errorf("%s: %v for a known address and %v for an unknown one", what, least[0], least[1])
		}
		near("register", func(int) error { return w.Register(ctx, ada, horse, "en", home) },
			func(i int) error { return w.Register(ctx, fmt.Sprintf("new%d@example.com", i), horse, "en", home) })
		near("reset", func(int) error { return w.RequestReset(ctx, ada, home) },
			func(i int) error { return w.RequestReset(ctx, fmt.Sprintf("none%d@example.com", i), home) })
		mails := w.mails(t, ada)
		if len(mails) < 6 || !strings.Contains(mails[0].Subject, "You have an account") || linkOf.MatchString(mails[0].Text) ||
			!linkOf.MatchString(mails[len(mails)-1].Text) {
			t.Errorf("the owner got %d mails, the first of them %+v; want some that tell and some that reset", len(mails), mails[0])
		}
		if n := len(w.mails(t, "none0@example.com")); n != 0 {
			t.Errorf("%d mails went to a stranger", n)
		}
		w.signIn(t, ada, horse) // the second registration's password is nobody's
		for i := range signin.MaxFailures + 1 {
			email := "nobody@example.com"
			_, _, known := w.SignIn(ctx, ada, "wrong password", home)
			_, _, unknown := w.SignIn(ctx, email, "wrong password", home)
			if known.Error() != unknown.Error() {
				t.Errorf("attempt %d: %v for a known address, %v for an unknown one", i+1, known, unknown)
			}
		}
	})
}

// TestMailLimit floods a mailbox.
func TestMailLimit(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for range 25 {
			must(t, w.RequestReset(ctx, ada, home))
		}
		w.registered(t, "bob@example.com")
		for range 25 {
			must(t, w.RequestReset(ctx, "bob@example.com", home))
		}
		if n := len(w.mails(t, "bob@example.com")); n != 19 {
			t.Errorf("%d mails went to a mailbox after its first, want 19", n)
		}
		must(t, w.Register(ctx, ada, horse, "en", home))
		if n := len(w.mails(t, ada)); n != 0 {
			t.Errorf("%d mails went to a mailbox that was asked for 25 times", n)
		}
		w.clock.Advance(25 * time.Hour)
		w.registered(t, ada)
	})
}

// TestTwoRegistrations lets a stranger register an address before and after its owner:
// each link opens an account with the password of its own registration.
func TestTwoRegistrations(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		must(t, w.Register(ctx, ada, "a stranger's password", "en", home))
		w.mails(t, ada)
		must(t, w.Register(ctx, ada, horse, "en", home))
		owner := w.link(t, ada, signin.VerifyPath)
		must(t, w.Register(ctx, ada, "a stranger's password", "en", home))
		stranger := w.link(t, ada, signin.VerifyPath)
		must(t, w.Verify(ctx, owner, horse, home))
		mustBe(t, w.Verify(ctx, stranger, "a stranger's password", home), fault.NotFound, "link_invalid")
		w.mayNot(t, ada, "a stranger's password", fault.Unauthenticated, "sign_in_refused")
		w.signIn(t, ada, horse)
	})
}

func TestResendVerification(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		must(t, w.Register(ctx, ada, horse, "en", home))
		first := w.link(t, ada, signin.VerifyPath)
		must(t, w.ResendVerification(ctx, ada, home))
		second := w.link(t, ada, signin.VerifyPath)
		must(t, w.ResendVerification(ctx, "nobody@example.com", home))
		must(t, w.Verify(ctx, second, horse, home))
		mustBe(t, w.Verify(ctx, first, horse, home), fault.NotFound, "link_invalid")
		must(t, w.ResendVerification(ctx, ada, home))
		if n := len(w.mails(t, ada)) + len(w.mails(t, "nobody@example.com")); n != 0 {
			t.Errorf("%d more mails were sent", n)
		}
	})
}

// TestVerifyAsks gives wrong passwords to the link of a registration: who has the mailbox
// and did not register gets no account of it.
func TestVerifyAsks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		must(t, w.Register(ctx, ada, "a stranger's password", "en", home))
		strangers := w.link(t, ada, signin.VerifyPath)
		must(t, w.Register(ctx, ada, horse, "en", home))
		own := w.link(t, ada, signin.VerifyPath)
		for range signin.MaxFailures {
			mustBe(t, w.Verify(ctx, strangers, horse, home), fault.Denied, "password_wrong")
		}
		mustBe(t, w.Verify(ctx, strangers, "a stranger's password", home), fault.Denied, "too_many_attempts")
		mustBe(t, w.Verify(ctx, own, "", home), fault.Denied, "password_wrong")

		must(t, w.DiscardRegistration(ctx, strangers, home))
		mustBe(t, w.DiscardRegistration(ctx, strangers, home), fault.NotFound, "link_invalid")
		mustBe(t, w.Verify(ctx, strangers, "a stranger's password", home), fault.NotFound, "link_invalid")
		if e := w.events(t, "user.discard_registration"); len(e) != 1 {
			t.Errorf("the audit log has %d discarded registrations, want one", len(e))
		}
		must(t, w.Verify(ctx, own, horse, home))
		mustBe(t, w.DiscardRegistration(ctx, own, home), fault.NotFound, "link_invalid")
		w.signIn(t, ada, horse)
	})
}
