package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestRequirement11EveryGrant holds that nothing that makes somebody an administrator goes
// past the limit of a service provider's account, and that of several at once those get
// through for whom there is room.
func TestRequirement11EveryGrant(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, admin := t.Context(), []string{"administrator"}
		w.exec(t, "INSERT INTO account_profile (account_id, kind, company) VALUES ($1, 'service_provider', '{}')", w.account.String())
		made := 0
		user := func(roles ...string) *telamon.User {
			made++
			return &telamon.User{ID: telamon.NewUserID(), Account: w.account, Email: fmt.Sprintf("u%d@example.com", made), Name: "U", Roles: roles}
		}
		join := func(u *telamon.User) telamon.UserID {
			t.Helper()
			must(t, w.db.CreateUser(ctx, operator, u))
			return u.ID
		}
		change := func(id telamon.UserID, c store.UserChange) error {
			_, err := w.db.UpdateUser(ctx, operator, w.account, id, c, func(_, _ *telamon.User) error { return nil })
			return err
		}
		state := func(id telamon.UserID, to telamon.State) error {
			return w.db.SetUserState(ctx, operator, w.account, id, to)
		}
		invite := func(email string) error {
			i := &store.Invitation{ID: telamon.NewInvitationID(), Account: w.account, Email: email, Locale: "en", Roles: admin, ExpiresAt: w.clock.Now().Add(time.Hour)}
			return w.db.Invite(ctx, operator, i, store.MailedLink{ID: telamon.NewMailedLinkID(), Nonce: []byte("nonce"), ExpiresAt: i.ExpiresAt})
		}
		count := func() int64 {
			t.Helper()
			return w.number(t, "SELECT count(*) FROM account_user WHERE state = 'active' AND kind = 'standard' AND roles = 'administrator'") +
				w.number(t, "SELECT count(*) FROM invitation WHERE state = 'pending'")
		}

		first, second := join(user(admin...)), join(user(admin...))
		soon := user(admin...)
		soon.EndsAt = w.clock.Now().Add(time.Minute)
		ended := join(soon)
		member := join(user("finance"))
		full := func(what string, err error) {
			t.Helper()
			if f := fault.From(err); f == nil || f.Kind != fault.Conflict || f.Code != "administrator_limit" {
				t.Errorf("%s past the limit: %v", what, err)
			}
		}
		robot := user(admin...)
		robot.Kind = telamon.ServiceUser
		join(robot) // is no person, and does not count
		full("a new user", w.db.CreateUser(ctx, operator, user(admin...)))
		full("a change of roles", change(member, store.UserChange{Roles: admin}))
		full("roles in the portal", w.db.AssignRoles(ctx, operator, w.account, member, admin))
		full("an invitation", invite("new@example.com"))
		must(t, change(first, store.UserChange{Name: new("Ada"), Roles: admin})) // is one already

		clock.Advance(time.Hour) // one of the three has ended
		disabled := join(user(admin...))
		later := w.clock.Now().Add(time.Hour)
		full("an end that is put off", change(ended, store.UserChange{EndsAt: &later}))
		must(t, state(disabled, telamon.Disabled))
		must(t, change(member, store.UserChange{Roles: admin}))
		full("a user who is enabled", state(disabled, telamon.Active))

		// Again and again there is room for one, and each of these wants it.
		members := []telamon.UserID{join(user("finance")), join(user("finance"))}
		for round := range 4 {
			must(t, change(member, store.UserChange{Roles: []string{"finance"}}))
			var wg sync.WaitGroup
			fresh := user(admin...)
			tries := []func() error{
				func() error { return w.db.CreateUser(ctx, operator, fresh) },
				func() error { return change(members[0], store.UserChange{Roles: admin}) },
				func() error { return w.db.AssignRoles(ctx, operator, w.account, members[1], admin) },
				func() error { return invite(fmt.Sprintf("i%d@example.com", round)) },
				func() error { return state(disabled, telamon.Active) },
			}
			errs := make([]error, len(tries))
			for i, try := range tries {
				wg.Go(func() { errs[i] = try() })
			}
			wg.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
					continue
				}
				mustBe(t, err, fault.Conflict, "administrator_limit")
			}
			if n := count(); won != 1 || n != 4 { // the one who has ended is still in the table
				t.Fatalf("round %d: %d of them got through, and there are %d: %v", round, won, n, errs)
			}
			for i, back := range []func() error{
				func() error { return state(fresh.ID, telamon.Deleted) },
				func() error { return change(members[0], store.UserChange{Roles: []string{"finance"}}) },
				func() error { return w.db.AssignRoles(ctx, operator, w.account, members[1], []string{"finance"}) },
				func() error {
					w.exec(t, "UPDATE invitation SET state = 'withdrawn' WHERE state = 'pending'")
					return nil
				},
				func() error { return state(disabled, telamon.Disabled) },
			} {
				if errs[i] == nil {
					must(t, back())
				}
			}
			must(t, change(member, store.UserChange{Roles: admin}))
		}
		must(t, state(second, telamon.Disabled))
	})
}
