package iam_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestUpdateUser changes all that can be changed of a service user, and of a person.
func TestUpdateUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		manager := w.newActor(t, "manager", "AM_USER_MANAGER")
		m := w.newMachine(t, w.account, "robot", w.clock.Now().AddDate(1, 0, 0))
		id, end := m.actor.User, w.clock.Now().Add(2*time.Second)
		u := got(w.UpdateUser(ctx, manager, w.account, id, iam.UserChange{
			Name: new(" Robot 2 "), Description: new("signs"), Email: new("New@Example.com"), EndsAt: &end, Roles: []string{"SM_SIGNER", "SM_SIGNER"},
		}))(t)
		read := got(w.User(ctx, operator, w.account, id))(t)
		if u.Name != "Robot 2" || u.Description != "signs" || u.Email != "new@example.com" || !slices.Equal(u.Roles, []string{"SM_SIGNER"}) ||
			!u.EndsAt.Equal(end.Truncate(time.Second)) || read.Name != u.Name || read.Email != u.Email || !read.EndsAt.Equal(u.EndsAt) {
			t.Errorf("UpdateUser = %+v, and then User = %+v", u, read)
		}
		if got := w.show(t, m.key, m.der, true); got != "key and cert" {
			t.Errorf("before the end: %s", got)
		}
		w.clock.Advance(u.EndsAt.Sub(w.clock.Now()) + 999*time.Millisecond)
		if got := w.show(t, m.key, m.der, true); got != "key and cert" {
			t.Errorf("in the last second: %s", got)
		}
		w.clock.Advance(time.Millisecond)
		must(t, w.dir.Poll(ctx))
		if got := w.show(t, m.key, m.der, true); got != noKey {
			t.Errorf("after the end: %s", got)
		}
		got(w.UpdateUser(ctx, operator, w.account, id, iam.UserChange{EndsAt: new(time.Time)}))(t)
		if got := w.show(t, m.key, m.der, true); got != "key and cert" {
			t.Errorf("without an end: %s", got)
		}
		before := len(w.events(t, "user.update"))
		if u := got(w.UpdateUser(ctx, manager, w.account, id, iam.UserChange{Name: new("Robot 2"), Roles: []string{"SM_SIGNER"}}))(t); u.Name != "Robot 2" {
			t.Errorf("changed to what it is: %+v", u)
		}
		if n := len(w.events(t, "user.update")); n != before {
			t.Errorf("a change of nothing wrote %d events", n-before)
		}
		if events := w.events(t, "user.set_roles"); len(events) != 1 || !strings.Contains(string(events[0].Before), "AM_VIEW_ONLY") {
			t.Errorf("the roles were changed in %d events", len(events))
		}
		mustBe(t, errorOf(w.UpdateUser(ctx, manager, w.account, id, iam.UserChange{Name: new("MANAGER")})), fault.Conflict, "name_taken")
		person := newUser(w, "ada@example.com")
		person.Roles = []string{"AM_VIEW_ONLY"}
		ada := got(w.CreateUser(ctx, operator, person))(t).ID
		bob := got(w.CreateUser(ctx, operator, newUser(w, "bob@example.com")))(t).ID // with a role of the portal
		mustBe(t, errorOf(w.UpdateUser(ctx, operator, w.account, ada, iam.UserChange{Email: new("BOB@example.com")})), fault.Conflict, "email_taken")
		// Whoever has the mailbox can set the password of a person with more rights; and who
		// cannot give a role of the portal takes none away.
		mustBe(t, errorOf(w.UpdateUser(ctx, manager, w.account, bob, iam.UserChange{Email: new("eve@example.com")})), fault.Denied, "role_not_yours")
		mustBe(t, errorOf(w.UpdateUser(ctx, manager, w.account, bob, iam.UserChange{Roles: []string{}})), fault.Denied, "role_not_yours")
		if u := got(w.UpdateUser(ctx, manager, w.account, ada, iam.UserChange{Name: new("Ada K. Lovelace")}))(t); u.Name != "Ada K. Lovelace" || u.PasswordHash == "" {
			t.Errorf("a person is %+v", u)
		}
		must(t, w.DeleteUser(ctx, operator, w.account, id))
		mustBe(t, errorOf(w.UpdateUser(ctx, manager, w.account, id, iam.UserChange{Name: new("late")})), fault.NotFound, "user_not_found")
	})
}

func TestUserChangeInvalid(t *testing.T) {
	w := newWorld(t, sqlite(t))
	id := w.newActor(t, "robot").User
	past, now := w.clock.Now().Add(-time.Second), w.clock.Now()
	far := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	huge := strings.Repeat("é", 1<<19)
	for name, tt := range map[string]struct {
		path   string
		change iam.UserChange
	}{
		"no name":                   {"friendly_name", iam.UserChange{Name: new("")}},
		"a slash":                   {"friendly_name", iam.UserChange{Name: new("a/b")}},
		"a huge name":               {"friendly_name", iam.UserChange{Name: &huge}},
		"a line in the description": {"description", iam.UserChange{Description: new("a\nb")}},
		"a huge description":        {"description", iam.UserChange{Description: &huge}},
		"no address":                {"email", iam.UserChange{Email: new("")}},
		"a huge address":            {"email", iam.UserChange{Email: new(huge + "@example.com")}},
		"an end in the past":        {"end_date", iam.UserChange{EndsAt: &past}},
		"an end now":                {"end_date", iam.UserChange{EndsAt: &now}},
		"an end too far":            {"end_date", iam.UserChange{EndsAt: &far}},
		"an unknown role":           {"roles", iam.UserChange{Roles: []string{"root"}}},
	} {
		err := errorOf(w.UpdateUser(t.Context(), operator, w.account, id, tt.change))
		mustBe(t, err, fault.Invalid, "invalid_user")
		if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != tt.path || len(f.Error()) > 1000 {
			t.Errorf("%s: the fields are %v, want %s alone", name, f.Fields, tt.path)
		}
	}
}

// TestRolesOfUsers holds who may give which roles, and that nobody changes their own, nor
// acts with rights that they could not give.
func TestRolesOfUsers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		manager, admin := w.newActor(t, "manager", "AM_USER_MANAGER"), w.newActor(t, "admin", "AM_ACCOUNT_ADMIN")
		robot := w.newActor(t, "robot")
		set := func(by telamon.Actor, of telamon.UserID, roles ...string) error {
			return errorOf(w.UpdateUser(ctx, by, w.account, of, iam.UserChange{Roles: roles}))
		}
		must(t, set(manager, robot.User, "SM_SIGNER", "AM_ACCOUNT_USER"))
		mustBe(t, set(manager, robot.User, "AM_ACCOUNT_ADMIN"), fault.Denied, "role_not_yours")
		mustBe(t, set(manager, robot.User, "administrator"), fault.Denied, "role_not_yours")
		must(t, set(admin, robot.User, "AM_ACCOUNT_MANAGER", "SM_SIGNER"))
		mustBe(t, set(manager, robot.User, "SM_SIGNER"), fault.Denied, "role_not_yours") // takes one away that is not theirs to give
		mustBe(t, set(admin, admin.User, "AM_ACCOUNT_ADMIN", "SM_SIGNER"), fault.Denied, "own_roles")
		must(t, set(admin, admin.User, "AM_ACCOUNT_ADMIN"))
		must(t, set(operator, admin.User, "AM_ACCOUNT_ADMIN", "SM_SIGNER"))
		n := newServiceUser(w.account, "second admin")
		n.Roles = []string{"AM_ACCOUNT_ADMIN"}
		mustBe(t, errorOf3(w.CreateServiceUser(ctx, manager, n)), fault.Denied, "role_not_yours")
		u, _, err := w.CreateServiceUser(ctx, admin, n)
		must(t, err)
		if u.CreatedBy != admin.User {
			t.Errorf("the user was made by %q, want %s", u.CreatedBy, admin.User)
		}
		token := iam.NewAPIToken{Account: w.account, User: u.ID, Name: "stolen"}
		mustBe(t, errorOf3(w.CreateAPIToken(ctx, manager, token)), fault.Denied, "role_not_yours")
		mustBe(t, errorOf(w.IssueUserCert(ctx, manager, iam.UserCertRequest{CSR: curveRequest(t), Name: "stolen", User: u.ID})), fault.Denied, "role_not_yours")
		_, _, err = w.CreateAPIToken(ctx, admin, token)
		must(t, err)
		mustBe(t, set(w.newActor(t, "viewer", "AM_VIEW_ONLY"), robot.User, "SM_SIGNER"), fault.Denied, "access_denied")
		mustBe(t, set(robot, admin.User, "SM_SIGNER"), fault.NotFound, "not_found")
		for _, code := range authz.RoleCodes() {
			n := newServiceUser(w.account, "of "+code)
			n.Roles = []string{code}
			_, _, err := w.CreateServiceUser(ctx, operator, n)
			must(t, err)
		}
	})
}

// TestUsersOutOfReach holds that nobody changes a user who has more rights, nor what they
// authenticate by: a manager of users neither ends administrators, nor brings back what one
// of them disabled, nor sets their address.
func TestUsersOutOfReach(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		manager, admin := w.newActor(t, "manager", "AM_USER_MANAGER"), w.newActor(t, "admin", "AM_ACCOUNT_ADMIN")
		m := w.newMachine(t, w.account, "boss", time.Time{})
		file := got(w.GenerateUserCert(ctx, m.actor, iam.GeneratedCertRequest{Name: "file"}))(t)
		end := w.clock.Now().AddDate(1, 0, 0)
		id := m.actor.User
		all := func(by telamon.Actor) map[string]error {
			return map[string]error{
				"disable": w.DisableUser(ctx, by, w.account, id), "enable": w.EnableUser(ctx, by, w.account, id),
				"lock": w.LockUser(ctx, by, w.account, id), "unlock": w.UnlockUser(ctx, by, w.account, id),
				"address":           errorOf(w.UpdateUser(ctx, by, w.account, id, iam.UserChange{Email: new("m@example.com")})),
				"roles":             errorOf(w.UpdateUser(ctx, by, w.account, id, iam.UserChange{Roles: []string{}})),
				"end of token":      errorOf(w.UpdateAPIToken(ctx, by, w.account, m.token, iam.APITokenChange{EndsAt: &end})),
				"enable token":      errorOf(w.UpdateAPIToken(ctx, by, w.account, m.token, iam.APITokenChange{Enabled: new(true)})),
				"delete token":      w.DeleteAPIToken(ctx, by, w.account, m.token),
				"disable cert":      errorOf(w.DisableUserCert(ctx, by, m.cert)),
				"enable cert":       errorOf(w.EnableUserCert(ctx, by, m.cert)),
				"delete cert":       w.DeleteUserCert(ctx, by, m.cert),
				"download the file": errorOf(w.DownloadPKCS12(ctx, by, file.ID, file.Download.Reveal())),
				"delete":            w.DeleteUser(ctx, by, w.account, id),
			}
		}
		for _, role := range []string{"AM_ACCOUNT_ADMIN", "AM_ACCOUNT_MANAGER", "administrator"} {
			got(w.UpdateUser(ctx, operator, w.account, id, iam.UserChange{Roles: []string{role}}))(t)
			before := len(got(w.db.AuditEvents(ctx, store.AuditFilter{}))(t).Events)
			for what, err := range all(manager) {
				if f := fault.From(err); err == nil || f.Kind != fault.Denied || f.Code != "role_not_yours" {
					t.Errorf("%s of a user with %s by a manager of users: %v", what, role, err)
				}
			}
			if n := len(got(w.db.AuditEvents(ctx, store.AuditFilter{}))(t).Events); n != before {
				t.Errorf("what was refused wrote %d events", n-before)
			}
			if shown := w.show(t, m.key, m.der, true); shown != "key and cert" {
				t.Errorf("after what was refused: %s", shown)
			}
		}
		got(w.UpdateUser(ctx, operator, w.account, id, iam.UserChange{Roles: []string{"AM_ACCOUNT_ADMIN", "SM_SIGNER"}}))(t)
		for _, do := range []func(context.Context, telamon.Actor, telamon.AccountID, telamon.UserID) error{w.LockUser, w.UnlockUser, w.DisableUser, w.EnableUser, w.DeleteUser} {
			must(t, do(ctx, admin, w.account, id))
		}
	})
}

// TestUserEnds disables a user and enables them again, and then ends them with all that
// they had.
func TestUserEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		admin := w.newActor(t, "admin", "AM_USER_MANAGER")
		m, other := w.newMachine(t, w.account, "robot", time.Time{}), w.newMachine(t, w.account, "other", time.Time{})
		id := m.actor.User
		second, secondKey, err := w.CreateAPIToken(ctx, m.actor, iam.NewAPIToken{Account: w.account, User: id, Name: "second"})
		must(t, err)
		got(w.UpdateAPIToken(ctx, m.actor, w.account, second.ID, iam.APITokenChange{Enabled: new(bool)}))(t)
		file := got(w.GenerateUserCert(ctx, m.actor, iam.GeneratedCertRequest{Name: "portal"}))(t)
		revoked := got(w.IssueUserCert(ctx, m.actor, iam.UserCertRequest{CSR: curveRequest(t), Name: "lost"}))(t)
		must(t, w.RevokeClientCert(ctx, operator, w.account, revoked.ID, telamon.ReasonKeyCompromise))

		must(t, w.DisableUser(ctx, admin, w.account, id))
		for _, shown := range []string{w.show(t, m.key, m.der, true), w.show(t, m.key, nil, false), w.show(t, secondKey, nil, false)} {
			if shown != noKey {
				t.Errorf("of a disabled user: %s", shown)
			}
		}
		if got := w.show(t, "", m.der, true); got != noAuth {
			t.Errorf("the certificate of a disabled user: %s", got)
		}
		mustBe(t, w.DisableUser(ctx, admin, w.account, id), fault.Conflict, "wrong_state")
		must(t, w.EnableUser(ctx, admin, w.account, id))
		if got := []string{w.show(t, m.key, m.der, true), w.show(t, secondKey, nil, false)}; !slices.Equal(got, []string{"key and cert", noKey}) {
			t.Errorf("of a user who is enabled again: %q; what was disabled must stay so", got)
		}

		must(t, w.DeleteUser(ctx, admin, w.account, id))
		if got := []string{w.show(t, m.key, nil, false), w.show(t, secondKey, nil, false), w.show(t, "", m.der, true)}; !slices.Equal(got, []string{noKey, noKey, noAuth}) {
			t.Errorf("of a deleted user: %q", got)
		}
		if got := w.show(t, other.key, other.der, true); got != "key and cert" {
			t.Errorf("of another user: %s", got)
		}
		for certID, reason := range map[telamon.ClientCertID]telamon.RevocationReason{
			m.cert: telamon.ReasonCessationOfOperation, file.ID: telamon.ReasonCessationOfOperation, revoked.ID: telamon.ReasonKeyCompromise,
		} {
			c := got(w.db.ClientCert(ctx, w.account, certID))(t)
			if c.State != telamon.Revoked || c.DeletedAt.IsZero() {
				t.Errorf("a certificate is %s, deleted at %s", c.State, c.DeletedAt)
			}
			if status := got(w.db.SerialStatus(ctx, c.Serial))(t); status.Revocation == nil || status.Revocation.Reason != reason {
				t.Errorf("a certificate is %+v, want revoked for %s", status, reason)
			}
		}
		if _, err := w.DownloadPKCS12(ctx, m.actor, file.ID, file.Download.Reveal()); !fault.Is(err, fault.NotFound) {
			t.Errorf("the file of a deleted user: %v", err)
		}
		for action, want := range map[string]int{"user.delete": 1, "api_token.delete": 2, "client_certificate.delete": 3} {
			if n := len(w.events(t, action)); n != want {
				t.Errorf("%d events say %s, want %d", n, action, want)
			}
		}
		mustBe(t, w.DeleteUser(ctx, admin, w.account, id), fault.NotFound, "user_not_found")
		mustBe(t, w.EnableUser(ctx, admin, w.account, id), fault.NotFound, "user_not_found")
		mustBe(t, errorOf(w.User(ctx, admin, w.account, id)), fault.NotFound, "user_not_found")
		mustBe(t, errorOf(w.APITokens(ctx, admin, w.account, id)), fault.NotFound, "user_not_found")
		mustBe(t, errorOf3(w.CreateAPIToken(ctx, operator, iam.NewAPIToken{Account: w.account, User: id, Name: "late"})), fault.NotFound, "user_not_found")
		_, _, err = w.CreateServiceUser(ctx, admin, iam.NewServiceUser{Account: w.account, FriendlyName: "ROBOT", Email: "a@example.com"})
		must(t, err) // the name is free again
	})
}

// TestUpdateAPIToken changes a token in every way, up to its last second.
func TestUpdateAPIToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		self := w.newActor(t, "self")
		end := w.clock.Now().Add(2 * time.Second)
		k, text, err := w.CreateAPIToken(ctx, self, iam.NewAPIToken{Account: w.account, User: self.User, Name: "build", EndsAt: end})
		must(t, err)
		change := func(c iam.APITokenChange) (telamon.APIToken, error) {
			return w.UpdateAPIToken(ctx, self, w.account, k.ID, c)
		}
		if c := got(change(iam.APITokenChange{Name: new("Build 2"), Enabled: new(bool)}))(t); c.Name != "Build 2" || c.State != telamon.Disabled || !c.EndsAt.Equal(k.EndsAt) {
			t.Errorf("UpdateAPIToken = %+v", c)
		}
		if got := w.show(t, text, nil, false); got != noKey {
			t.Errorf("a disabled token: %s", got)
		}
		got(change(iam.APITokenChange{Enabled: new(true)}))(t)
		if got := w.show(t, text, nil, false); got != "key" {
			t.Errorf("a token that is enabled again: %s", got)
		}
		mustBe(t, errorOf(change(iam.APITokenChange{Name: new("default")})), fault.Conflict, "name_taken")
		mustBe(t, errorOf(change(iam.APITokenChange{EndsAt: new(w.clock.Now())})), fault.Invalid, "invalid_api_token")
		mustBe(t, errorOf(change(iam.APITokenChange{Name: new("a/b")})), fault.Invalid, "invalid_api_token")
		if c := got(w.APIToken(ctx, self, w.account, k.ID))(t); c.Name != "Build 2" || c.State != telamon.Active {
			t.Errorf("what was refused left %+v", c)
		}
		w.clock.Advance(k.EndsAt.Sub(w.clock.Now()) + 999*time.Millisecond)
		if c := got(change(iam.APITokenChange{EndsAt: new(w.clock.Now().Add(2 * time.Second))}))(t); !c.EndsAt.After(k.EndsAt) {
			t.Errorf("the end is %s, want a later one", c.EndsAt)
		}
		w.clock.Advance(5 * time.Second)
		must(t, w.dir.Poll(ctx))
		for _, c := range []iam.APITokenChange{{Name: new("late")}, {EndsAt: new(w.clock.Now().Add(time.Hour))}, {EndsAt: new(time.Time)}, {Enabled: new(true)}} {
			mustBe(t, errorOf(change(c)), fault.Invalid, "api_token_ended")
		}
		if got := w.show(t, text, nil, false); got != noKey {
			t.Errorf("an expired token: %s", got)
		}
		if all := got(w.APITokens(ctx, self, w.account, self.User))(t); len(all) != 2 || all[1].ID != k.ID || all[0].Name != "Default" {
			t.Errorf("APITokens = %+v", all)
		}
		must(t, w.DeleteAPIToken(ctx, self, w.account, k.ID))
		mustBe(t, w.DeleteAPIToken(ctx, self, w.account, k.ID), fault.NotFound, "api_token_not_found")
		mustBe(t, errorOf(change(iam.APITokenChange{Name: new("late")})), fault.NotFound, "api_token_not_found")
		_, _, err = w.CreateAPIToken(ctx, self, iam.NewAPIToken{Account: w.account, User: self.User, Name: "BUILD 2"})
		must(t, err)
	})
}

// TestTokensOfOthers holds who may see and change whose tokens.
func TestTokensOfOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		owner := w.newMachine(t, w.account, "owner", time.Time{})
		for name, tt := range map[string]struct {
			actor        telamon.Actor
			read, change fault.Kind // 0: may
		}{
			"a manager":                    {w.newActor(t, "manager", "AM_USER_MANAGER"), 0, 0},
			"a viewer":                     {w.newActor(t, "viewer", "AM_VIEW_ONLY"), 0, fault.Denied},
			"a user without a right":       {w.newActor(t, "nobody"), fault.NotFound, fault.NotFound},
			"a manager of another account": {w.newMachine(t, w.other, "elsewhere", time.Time{}).actor, fault.NotFound, fault.NotFound},
		} {
			check := func(what string, err error, want fault.Kind) {
				t.Helper()
				if err != nil && want == 0 || want != 0 && !fault.Is(err, want) {
					t.Errorf("%s %s: %v, want %s", name, what, err, want)
				}
			}
			check("lists", errorOf(w.APITokens(ctx, tt.actor, w.account, owner.actor.User)), tt.read)
			check("reads", errorOf(w.APIToken(ctx, tt.actor, w.account, owner.token)), tt.read)
			check("disables", errorOf(w.UpdateAPIToken(ctx, tt.actor, w.account, owner.token, iam.APITokenChange{Enabled: new(bool)})), tt.change)
			check("sees", errorOf(w.User(ctx, tt.actor, w.account, owner.actor.User)), tt.read)
			check("changes", errorOf(w.UpdateUser(ctx, tt.actor, w.account, owner.actor.User, iam.UserChange{Description: &name})), tt.change)
			got(w.UpdateAPIToken(ctx, owner.actor, w.account, owner.token, iam.APITokenChange{Enabled: new(true)}))(t)
		}
		if got := w.show(t, owner.key, nil, false); got != "key" {
			t.Errorf("the owner: %s", got)
		}
	})
}

// TestFindUsers goes through the filters of lists.
func TestFindUsers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		n := newServiceUser(w.account, "Build One")
		n.EndsAt = w.clock.Now().Add(time.Second)
		one, _, err := w.CreateServiceUser(ctx, operator, n)
		must(t, err)
		two := w.newActor(t, "build two").User
		must(t, w.DisableUser(ctx, operator, w.account, two))
		ada := got(w.CreateUser(ctx, operator, newUser(w, "ada@example.com")))(t).ID
		gone := w.newActor(t, "build three").User
		must(t, w.DeleteUser(ctx, operator, w.account, gone))
		w.newMachine(t, w.other, "build four", time.Time{})
		w.clock.Advance(3 * time.Second)
		must(t, w.dir.Poll(ctx))
		for name, tt := range map[string]struct {
			filter iam.UserFilter
			want   []telamon.UserID
		}{
			"all":        {iam.UserFilter{}, []telamon.UserID{one.ID, two, ada}},
			"services":   {iam.UserFilter{Kind: telamon.ServiceUser}, []telamon.UserID{one.ID, two}},
			"people":     {iam.UserFilter{Kind: telamon.StandardUser}, []telamon.UserID{ada}},
			"disabled":   {iam.UserFilter{Status: telamon.UserDisabled}, []telamon.UserID{two}},
			"expired":    {iam.UserFilter{Status: telamon.UserExpired}, []telamon.UserID{one.ID}},
			"a name":     {iam.UserFilter{Name: "BUILD"}, []telamon.UserID{one.ID, two}},
			"an address": {iam.UserFilter{Email: "Ada@example.com", Kind: telamon.StandardUser}, []telamon.UserID{ada}},
			"nobody":     {iam.UserFilter{Name: "three"}, nil},
		} {
			found := got(w.FindUsers(ctx, operator, w.account, tt.filter))(t)
			if ids := ids(found, func(u telamon.User) telamon.UserID { return u.ID }); !slices.Equal(ids, tt.want) {
				t.Errorf("%s: %v, want %v", name, ids, tt.want)
			}
		}
	})
}

// TestUsersAtOnce checks that of several who want one name at once one gets it, that no
// token is left to a user who is deleted meanwhile, and that no change is lost.
func TestUsersAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		self := w.newActor(t, "self")
		if n := atOnce(t, 4, func(int) error {
			return errorOf3(w.CreateServiceUser(ctx, operator, newServiceUser(w.account, "robot")))
		}); n != 1 {
			t.Errorf("%d service users have one name", n)
		}
		if n := atOnce(t, 4, func(int) error {
			return errorOf3(w.CreateAPIToken(ctx, self, iam.NewAPIToken{Account: w.account, User: self.User, Name: "build"}))
		}); n != 1 {
			t.Errorf("%d tokens have one name", n)
		}
		changes := []iam.UserChange{{Name: new("new name")}, {Description: new("new")}, {Email: new("new@example.com")}, {Roles: []string{"SM_SIGNER"}}}
		if n := atOnce(t, len(changes), func(i int) error { return errorOf(w.UpdateUser(ctx, operator, w.account, self.User, changes[i])) }); n != len(changes) {
			t.Errorf("%d of %d changes were made", n, len(changes))
		}
		if u := got(w.User(ctx, operator, w.account, self.User))(t); u.Name != "new name" || u.Description != "new" || u.Email != "new@example.com" || len(u.Roles) != 1 {
			t.Errorf("a change was lost: %+v", u)
		}
		var key string
		atOnce(t, 4, func(i int) error {
			if i == 0 {
				return w.DeleteUser(ctx, operator, w.account, self.User)
			}
			_, text, err := w.CreateAPIToken(ctx, self, iam.NewAPIToken{Account: w.account, User: self.User, Name: "late " + string(rune('0'+i))})
			if i == 1 {
				key = text
			}
			if fault.Is(err, fault.NotFound) {
				return nil
			}
			return err
		})
		if left := got(w.db.APITokens(ctx, w.account, self.User))(t); len(left) != 0 {
			t.Errorf("a deleted user has %d tokens", len(left))
		}
		if key != "" {
			if got := w.show(t, key, nil, false); got != noKey {
				t.Errorf("a token that was made while its user was deleted: %s", got)
			}
		}
	})
}

// TestTooManyAPITokens holds the number of tokens of one user.
func TestTooManyAPITokens(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx, self := t.Context(), w.newActor(t, "self")
	create := func(name string) error {
		return errorOf3(w.CreateAPIToken(ctx, self, iam.NewAPIToken{Account: w.account, User: self.User, Name: name}))
	}
	for i := range 99 {
		must(t, create("t"+strings.Repeat("i", i)))
	}
	mustBe(t, create("one more"), fault.Conflict, "too_many_api_tokens")
	first := got(w.APITokens(ctx, self, w.account, self.User))(t)[0]
	must(t, w.DeleteAPIToken(ctx, self, w.account, first.ID))
	must(t, create("one more"))
}
