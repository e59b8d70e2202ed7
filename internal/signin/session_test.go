package signin_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/signin"
)

func (w *world) live(t testing.TB, value string) *signin.Session {
	t.Helper()
	return got(w.Session(t.Context(), value, home))(t)
}

func (w *world) ended(t testing.TB, value string) {
	t.Helper()
	mustBe(t, errorOf(w.Session(t.Context(), value, home)), fault.Unauthenticated, "session_ended")
}

func TestRequirement13SessionTimes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.registered(t, ada)
		value, _ := w.signIn(t, ada, horse)
		w.clock.Advance(signin.IdleLimit - time.Second)
		w.live(t, value)
		w.clock.Advance(signin.IdleLimit - time.Second)
		w.live(t, value)
		w.clock.Advance(signin.IdleLimit)
		w.ended(t, value)

		value, _ = w.signIn(t, ada, horse)
		for range 47 {
			w.clock.Advance(10 * time.Minute)
			w.live(t, value)
		}
		w.clock.Advance(10*time.Minute - time.Second)
		w.live(t, value)
		w.clock.Advance(time.Second)
		w.ended(t, value) // eight hours after it began
	})
}

func TestSessionValue(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.registered(t, ada)
		value, s := w.signIn(t, ada, horse)
		for _, other := range []string{"", value[:42], value + "A", flipped(value, 0), s.ID.String()} {
			w.ended(t, other)
		}
		if len(value) != 43 {
			t.Errorf("the value %q has not 256 bits", value)
		}
		if n := w.count(t, "SELECT count(*) FROM session WHERE CAST(value_hash AS TEXT) LIKE '%"+value+"%'"); n != 0 {
			t.Error("the value is in the database")
		}
		if a := w.live(t, value).Actor(); a.Kind != telamon.ActorAnonymous || a.User != "" {
			t.Errorf("who has not finished the wizard acts as %+v", a)
		}
		if err := authz.Check(s.Actor(), authz.CredentialRead, s.Account.ID); !fault.Is(err, fault.Denied) {
			t.Errorf("who has not finished the wizard may read: %v", err)
		}
		must(t, w.SignOut(ctx, value, home))
		must(t, w.SignOut(ctx, value, home))
		w.ended(t, value)
	})
}

// TestSessionOnReplica changes what a session depends on in one process, and looks at it
// in another one a moment later.
func TestSessionOnReplica(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		other, dir := w.replica(t)
		w.registered(t, ada)
		value, s := w.signIn(t, ada, horse)
		must(t, dir.Poll(ctx))
		must(t, errorOf(other.Session(ctx, value, home)))

		must(t, w.RequestReset(ctx, ada, home))
		must(t, w.Reset(ctx, w.link(t, ada, signin.ResetPath), "another good password", home))
		mustBe(t, errorOf(other.Session(ctx, value, home)), fault.Unauthenticated, "session_ended")

		value, _ = w.signIn(t, ada, "another good password")
		must(t, errorOf(other.Session(ctx, value, home))) // before it has followed the feed
		must(t, w.db.SetAccountState(ctx, operator, s.Account.ID, telamon.Disabled))
		must(t, dir.Poll(ctx))
		mustBe(t, errorOf(other.Session(ctx, value, home)), fault.Unauthenticated, "session_ended")
	})
}
