package signin_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

func sqlite(t testing.TB) string { t.Helper(); return dbtest.SQLite(t) }

func TestRequirement05Lock(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.registered(t, ada)
		wrong := func(n int) {
			t.Helper()
			for range n {
				w.mayNot(t, ada, "wrong password", fault.Unauthenticated, "sign_in_refused")
			}
		}
		wrong(5)
		value, _ := w.signIn(t, ada, horse) // the counter begins anew
		wrong(5)
		w.signIn(t, ada, horse)
		wrong(6)
		w.mayNot(t, ada, horse, fault.Denied, "too_many_attempts")
		mustBe(t, errorOf(w.Session(ctx, value, home)), fault.Unauthenticated, "session_ended")
		mails := w.mails(t, ada)
		if len(mails) != 1 || !strings.Contains(mails[0].Subject, "locked") {
			t.Errorf("%d mails tell of the lock", len(mails))
		}
		w.clock.Advance(30 * 24 * time.Hour)
		w.mayNot(t, ada, horse, fault.Denied, "too_many_attempts")
		must(t, w.RequestReset(ctx, ada, home))
		must(t, w.Reset(ctx, w.link(t, ada, signin.ResetPath), "another good password", home))
		w.mayNot(t, ada, horse, fault.Unauthenticated, "sign_in_refused")
		w.signIn(t, ada, "another good password")
		if events := w.events(t, "user.lock"); len(events) != 1 {
			t.Errorf("%d events say that the user was locked", len(events))
		}
		var refused int
		for _, e := range w.events(t, "user.sign_in") {
			if e.Result == "password_wrong" {
				refused++
			}
		}
		if refused == 0 {
			t.Error("no event counts the refusals")
		}
	})
}

// TestRequirement05AtOnce tries many passwords at once: six of them are judged.
func TestRequirement05AtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.registered(t, ada)
		var wg sync.WaitGroup
		codes := make(chan string, 20)
		for range cap(codes) {
			wg.Go(func() {
				_, _, err := w.SignIn(t.Context(), ada, "wrong password", home)
				codes <- fault.From(err).Code
			})
		}
		wg.Wait()
		close(codes)
		counts := map[string]int{}
		for code := range codes {
			counts[code]++
		}
		if counts["sign_in_refused"] != signin.MaxFailures || counts["too_many_attempts"] != cap(codes)-signin.MaxFailures {
			t.Errorf("the answers are %v", counts)
		}
	})
}

// TestLockedByAdministrator finds that a reset does not lift a lock that was set for
// another reason than failures.
func TestLockedByAdministrator(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.registered(t, ada)
		must(t, errorOf(w.raw.ExecContext(ctx, "UPDATE account_user SET locked_at = 1")))
		w.clock.Advance(time.Minute)
		must(t, w.dir.Poll(ctx))
		w.mayNot(t, ada, horse, fault.Unauthenticated, "sign_in_refused")
		must(t, w.RequestReset(ctx, ada, home))
		must(t, w.Reset(ctx, w.link(t, ada, signin.ResetPath), "another good password", home))
		w.mayNot(t, ada, "another good password", fault.Unauthenticated, "sign_in_refused")
	})
}

func TestSignInRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.registered(t, ada)
		_, s := w.signIn(t, ada, horse)
		for _, email := range []string{"", "ada", "Ada <ada@example.com>", s.User.ID.String(), "nobody@example.com"} {
			w.mayNot(t, email, horse, fault.Unauthenticated, "sign_in_refused")
		}
		w.mayNot(t, ada, strings.Repeat("a", 5000), fault.Unauthenticated, "sign_in_refused")
		must(t, w.db.SetAccountState(ctx, operator, s.Account.ID, telamon.Disabled))
		must(t, w.dir.Poll(ctx))
		w.mayNot(t, ada, horse, fault.Unauthenticated, "sign_in_refused")
	})
}
