package iam_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

func TestAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a := got(w.CreateAccount(ctx, operator, iam.NewAccount{Name: "東京ガス"}))(t)
		if read, err := w.Account(ctx, operator, a.ID); err != nil || read != *a || a.State != telamon.Active || !a.CreatedAt.Equal(w.clock.Now()) {
			t.Errorf("Account = %+v, %v, want %+v, active", read, err, a)
		}
		if read, err := w.AccountNamed(ctx, operator, a.Name); err != nil || read.ID != a.ID {
			t.Errorf("AccountNamed = %+v, %v", read, err)
		}
		all := got(w.Accounts(ctx, operator, store.Page{Limit: 2}))(t)
		rest := got(w.Accounts(ctx, operator, store.Page{After: all[1].ID.String(), Limit: 2}))(t)
		if names := ids(append(all, rest...), func(a telamon.Account) string { return a.Name }); !slices.Equal(names, []string{"Acme", "Globex", "東京ガス"}) {
			t.Errorf("Accounts = %v in two pages", names)
		}
		for name, bad := range map[string]string{
			"empty": "", "long": strings.Repeat("é", 129), "blank before": " a", "blank after": "a ", "line": "a\nb", "octets": "a\xff",
			"direction": "a\u202eb",
		} {
			if err := errorOf(w.CreateAccount(ctx, operator, iam.NewAccount{Name: bad})); !fault.Is(err, fault.Invalid) || fault.From(err).Fields[0].Path != "name" {
				t.Errorf("%s: %v, want an invalid name", name, err)
			}
		}
		must(t, errorOf(w.CreateAccount(ctx, operator, iam.NewAccount{Name: strings.Repeat("é", 128)})))
		mustBe(t, errorOf(w.CreateAccount(ctx, operator, iam.NewAccount{Name: "Acme"})), fault.Conflict, "name_taken")
	})
}

// states goes through the life that accounts, users and credentials share.
func states(t *testing.T, disable, enable, remove func() error) {
	t.Helper()
	const wrong = "wrong_state"
	mustBe(t, enable(), fault.Conflict, wrong)
	must(t, disable())
	mustBe(t, disable(), fault.Conflict, wrong)
	must(t, enable())
	must(t, disable())
	must(t, remove())
	for _, change := range []func() error{disable, enable, remove} {
		mustBe(t, change(), fault.Conflict, wrong)
	}
}

func TestAccountStates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		states(t, func() error { return w.DisableAccount(ctx, operator, w.other) },
			func() error { return w.EnableAccount(ctx, operator, w.other) },
			func() error { return w.DeleteAccount(ctx, operator, w.other) })
		if a, err := w.Account(ctx, operator, w.other); err != nil || a.State != telamon.Deleted {
			t.Errorf("Account = %+v, %v, want deleted", a, err)
		}
		mustBe(t, errorOf(w.CreateIdentity(ctx, operator, w.other, "late", nil)), fault.Conflict, "wrong_state")
		mustBe(t, errorOf(w.CreateAccount(ctx, operator, iam.NewAccount{Name: "Globex"})), fault.Conflict, "name_taken")
		for action, want := range map[string]int{"account.disable": 2, "account.enable": 1, "account.delete": 1} {
			if n := len(w.events(t, action)); n != want {
				t.Errorf("%d events say %s, want %d", n, action, want)
			}
		}
	})
}

func newUser(w *world, email string) iam.NewUser {
	return iam.NewUser{Account: w.account, Email: email, Name: "Ada", Roles: []string{"read_only", "finance", "read_only"}, Password: "correct horse"}
}

func TestUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		u := got(w.CreateUser(ctx, operator, newUser(w, "Ada@Example.com")))(t)
		read := got(w.User(ctx, operator, w.account, u.ID))(t)
		if read.Email != "ada@example.com" || !slices.Equal(read.Roles, []string{"finance", "read_only"}) || read.State != telamon.Active {
			t.Errorf("User = %+v, want a lower-case address and sorted roles", read)
		}
		if all, err := w.Users(ctx, operator, w.account, store.Page{Limit: 9}); err != nil || len(all) != 1 || all[0].ID != u.ID {
			t.Errorf("Users = %+v, %v", all, err)
		}
		again := newUser(w, "ADA@EXAMPLE.COM")
		again.Account = w.other
		mustBe(t, errorOf(w.CreateUser(ctx, operator, again)), fault.Conflict, "email_taken")
		again.Account = telamon.NewAccountID()
		mustBe(t, errorOf(w.CreateUser(ctx, operator, again)), fault.NotFound, "account_not_found")
		states(t, func() error { return w.DisableUser(ctx, operator, w.account, u.ID) },
			func() error { return w.EnableUser(ctx, operator, w.account, u.ID) },
			func() error { return w.DeleteUser(ctx, operator, w.account, u.ID) })
		mustBe(t, w.SetPassword(ctx, operator, w.account, u.ID, "a new password"), fault.NotFound, "user_not_found")
		mustBe(t, errorOf(w.CreateUser(ctx, operator, newUser(w, "ada@example.com"))), fault.Conflict, "email_taken")
	})
}

func TestUserInvalid(t *testing.T) {
	w := newWorld(t, sqlite(t))
	tests := []struct {
		name, path string
		change     func(*iam.NewUser)
	}{
		{"no name", "name", func(n *iam.NewUser) { n.Name = "" }},
		{"no address", "email", func(n *iam.NewUser) { n.Email = "" }},
		{"a display name", "email", func(n *iam.NewUser) { n.Email = "Ada <ada@example.com>" }},
		{"two addresses", "email", func(n *iam.NewUser) { n.Email = "ada@example.com, bob@example.com" }},
		{"a line in the address", "email", func(n *iam.NewUser) { n.Email = "ada@example.com\r\nBcc: all@example.com" }},
		{"a long address", "email", func(n *iam.NewUser) { n.Email = strings.Repeat("a", 251) + "@b.c" }},
		{"an unknown role", "roles", func(n *iam.NewUser) { n.Roles = []string{"root"} }},
		{"a short password", "password", func(n *iam.NewUser) { n.Password = "ééééééééééé" }},
		{"a long password", "password", func(n *iam.NewUser) { n.Password = strings.Repeat("a", 1025) }},
		{"a password that is no text", "password", func(n *iam.NewUser) { n.Password = "correct horse\xff" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newUser(w, "ada@example.com")
			tt.change(&n)
			err := errorOf(w.CreateUser(t.Context(), operator, n))
			mustBe(t, err, fault.Invalid, "invalid_user")
			if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != tt.path {
				t.Errorf("the fields are %v, want %s alone", f.Fields, tt.path)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		none := newUser(w, "ada@example.com")
		none.Password = ""
		id := got(w.CreateUser(ctx, operator, none))(t).ID
		check := func(password string) error {
			t.Helper()
			return w.CheckPassword(ctx, got(w.User(ctx, operator, w.account, id))(t), password)
		}
		refused := func(what, password string) {
			t.Helper()
			if err := check(password); !fault.Is(err, fault.Unauthenticated) || err.Error() != "unauthorized: Unauthorized" {
				t.Errorf("%s: %v, want the one answer", what, err)
			}
		}
		refused("no password is set", "")
		refused("no password is set", "correct horse")
		must(t, w.SetPassword(ctx, operator, w.account, id, "correct horse"))
		first := got(w.User(ctx, operator, w.account, id))(t).PasswordHash
		if !strings.HasPrefix(first, "$argon2id$v=19$m=8,t=1,p=1$") || strings.Contains(first, "correct") {
			t.Errorf("the hash is %s", first)
		}
		must(t, check("correct horse"))
		refused("another password", "Correct horse")
		refused("the empty password", "")
		refused("a very long password", strings.Repeat("correct horse", 1000))
		must(t, w.SetPassword(ctx, operator, w.account, id, "correct horse"))
		if second := got(w.User(ctx, operator, w.account, id))(t).PasswordHash; second == first {
			t.Error("the same password has the same hash: there is no salt")
		}
		mustBe(t, w.SetPassword(ctx, operator, w.account, id, "short"), fault.Invalid, "invalid_password")
		must(t, check("correct horse"))
		must(t, w.DisableUser(ctx, operator, w.account, id))
		refused("a disabled user", "correct horse")
		for _, e := range w.events(t, "user.set_password") {
			if e.Before != nil || e.After != nil {
				t.Errorf("the audit log has %s and %s of a password", e.Before, e.After)
			}
		}
	})
}

// TestHash checks what is read of a stored hash: only what was written so, and
// only at a bounded cost.
func TestHash(t *testing.T) {
	w := newWorld(t, sqlite(t))
	n := newUser(w, "ada@example.com")
	u := *got(w.CreateUser(t.Context(), operator, n))(t)
	must(t, w.CheckPassword(t.Context(), u, n.Password))
	for name, change := range map[string][2]string{
		"another function":   {"argon2id", "argon2i"},
		"another version":    {"v=19", "v=16"},
		"too much memory":    {"m=8,", "m=4000000,"},
		"too many passes":    {"t=1", "t=17"},
		"no pass":            {"t=1", "t=0"},
		"no thread":          {"p=1", "p=0"},
		"a sign":             {"m=8,", "m=+8,"},
		"a number too large": {"p=1", "p=257"},
		"no hash":            {u.PasswordHash[strings.LastIndex(u.PasswordHash, "$"):], "$"},
		"one more part":      {"$argon2id", "$$argon2id"},
	} {
		broken := u
		broken.PasswordHash = strings.Replace(u.PasswordHash, change[0], change[1], 1)
		if err := w.CheckPassword(t.Context(), broken, n.Password); broken.PasswordHash == u.PasswordHash || !fault.Is(err, fault.Internal) {
			t.Errorf("%s (%s): %v, want an internal error", name, broken.PasswordHash, errors.Unwrap(err))
		}
	}
}

// TestLockUser locks a user, whose state stays what it is.
func TestLockUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		n := newUser(w, "ada@example.com")
		n.Password = "a long enough password"
		id := got(w.CreateUser(ctx, operator, n))(t).ID
		mustBe(t, w.UnlockUser(ctx, operator, w.account, id), fault.Conflict, "wrong_state")
		must(t, w.LockUser(ctx, operator, w.account, id))
		mustBe(t, w.LockUser(ctx, operator, w.account, id), fault.Conflict, "wrong_state")
		locked := got(w.dir.User(ctx, id))(t)
		if locked.State != telamon.Active || locked.Status(w.clock.Now()) != telamon.UserLocked {
			t.Errorf("the locked user is %+v", locked)
		}
		mustBe(t, w.CheckPassword(ctx, *locked, n.Password), fault.Unauthenticated, "unauthorized")
		must(t, w.DisableUser(ctx, operator, w.account, id))
		must(t, w.EnableUser(ctx, operator, w.account, id))
		if u := got(w.dir.User(ctx, id))(t); u.Status(w.clock.Now()) != telamon.UserLocked {
			t.Errorf("enabling a locked user gives %+v", u)
		}
		must(t, w.UnlockUser(ctx, operator, w.account, id))
		must(t, w.CheckPassword(ctx, *got(w.dir.User(ctx, id))(t), n.Password))
		must(t, w.DeleteUser(ctx, operator, w.account, id))
		mustBe(t, w.LockUser(ctx, operator, w.account, id), fault.Conflict, "wrong_state")
		for action, want := range map[string]int{"user.lock": 1, "user.unlock": 1} {
			if events := w.events(t, action); len(events) != want || events[0].Object != id.String() {
				t.Errorf("the audit log has %+v of %s", events, action)
			}
		}
	})
}

func TestServicePeriod(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		start := w.clock.Now().Truncate(time.Second)
		for name, bad := range map[string]iam.Period{
			"ends before it starts": {StartsAt: start, EndsAt: start.Add(-time.Second)},
			"starts long ago":       {StartsAt: start.AddDate(-100, 0, 0)}, "ends too late": {EndsAt: start.AddDate(8000, 0, 0)},
		} {
			mustBe(t, errorOf(w.CreateAccount(ctx, operator, iam.NewAccount{Name: "Bad", Period: bad})), fault.Invalid, "invalid_account")
			if err := w.SetServicePeriod(ctx, operator, w.account, bad); !fault.Is(err, fault.Invalid) {
				t.Errorf("a period that %s: %v, want invalid", name, err)
			}
		}
		a := got(w.CreateAccount(ctx, operator, iam.NewAccount{Name: "Term", Period: iam.Period{StartsAt: start, EndsAt: start.Add(time.Second)}}))(t)
		usable := func(at time.Time) bool { return got(w.dir.Account(ctx, a.ID))(t).Usable(at) }
		for after, want := range map[time.Duration]bool{
			-1: false, 0: true, time.Second: true, 2*time.Second - 1: true, 2 * time.Second: false,
		} {
			if usable(start.Add(after)) != want {
				t.Errorf("%s after its start the account is usable: %v, want %v", after, !want, want)
			}
		}
		must(t, w.SetServicePeriod(ctx, operator, a.ID, iam.Period{}))
		if !usable(start.AddDate(-1, 0, 0)) || !usable(start.AddDate(100, 0, 0)) {
			t.Error("an account without bounds is not always usable")
		}
		if events := w.events(t, "account.update"); len(events) != 1 || string(events[0].After) != `{"ends_at":null,"starts_at":null}` {
			t.Errorf("the audit log has %+v", events)
		}
		must(t, w.DeleteAccount(ctx, operator, a.ID))
		mustBe(t, w.SetServicePeriod(ctx, operator, a.ID, iam.Period{}), fault.Conflict, "wrong_state")
		mustBe(t, w.SetServicePeriod(ctx, operator, telamon.NewAccountID(), iam.Period{}), fault.NotFound, "account_not_found")
	})
}
