package iam_test

import (
	"regexp"
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

func newServiceUser(account telamon.AccountID, name string) iam.NewServiceUser {
	return iam.NewServiceUser{Account: account, FriendlyName: name, Email: "Ada@Example.com", Roles: []string{"SM_SIGNER", "AM_VIEW_ONLY"}}
}

var tokenForm = regexp.MustCompile(`^01[0-9a-f]{24}_[0-9a-f]{64}$`)

// actorOf is the user as an actor, as one authenticates by a token.
func actorOf(u *telamon.User) telamon.Actor {
	return telamon.Actor{
		Kind: telamon.ActorUser, Account: u.Account, User: u.ID, UserName: u.Name, Roles: u.Roles, Token: telamon.NewAPITokenID(), Address: home,
	}
}

// newActor makes a service user of these roles.
func (w *world) newActor(t testing.TB, name string, roles ...string) telamon.Actor {
	t.Helper()
	n := newServiceUser(w.account, name)
	n.Roles = roles
	u, _, err := w.CreateServiceUser(t.Context(), operator, n)
	must(t, err)
	return actorOf(u)
}

// TestCreateServiceUser reads back a service user and the token that was made with it,
// from the database and from the directory.
func TestCreateServiceUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		n := newServiceUser(w.account, "Größe 7_b-c")
		n.Description, n.EndsAt = "builds, and signs", time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)
		u, token, err := w.CreateServiceUser(ctx, operator, n)
		must(t, err)
		if !tokenForm.MatchString(token) {
			t.Errorf("the token's form is not that of the specification (%d characters)", len(token))
		}
		read := got(w.User(ctx, operator, w.account, u.ID))(t)
		if read.Kind != telamon.ServiceUser || read.Email != "ada@example.com" || read.Name != n.FriendlyName || read.Description != n.Description ||
			!slices.Equal(read.Roles, []string{"AM_VIEW_ONLY", "SM_SIGNER"}) || !read.EndsAt.Equal(n.EndsAt) || read.CreatedBy != "" {
			t.Errorf("User = %+v", read)
		}
		k := got(w.dir.APIToken(ctx, token[:26]))(t)
		if k.User != u.ID || k.Account != w.account || !k.Usable(w.clock.Now()) || !k.EndsAt.IsZero() {
			t.Errorf("the directory has the token %+v", k)
		}
		for _, e := range w.events(t, "api_token.create") {
			if strings.Contains(string(e.After), token[27:]) {
				t.Error("the audit log has the token's secret")
			}
		}
		again := newServiceUser(w.account, "GRÖßE 7_B-C")
		mustBe(t, errorOf3(w.CreateServiceUser(ctx, operator, again)), fault.Conflict, "name_taken")
		again.Account = w.other
		_, _, err = w.CreateServiceUser(ctx, operator, again)
		must(t, err)
		again.Account = telamon.NewAccountID()
		mustBe(t, errorOf3(w.CreateServiceUser(ctx, operator, again)), fault.NotFound, "account_not_found")
		if all := got(w.Users(ctx, operator, w.account, store.Page{Limit: 9}))(t); len(all) != 1 {
			t.Errorf("%d users are there, want 1", len(all))
		}
	})
}

func TestCreateAPIToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		self, other := w.newActor(t, "self"), w.newActor(t, "other")
		n := iam.NewAPIToken{Account: w.account, User: self.User, Name: "build", EndsAt: w.clock.Now().Add(time.Second)}
		k, token, err := w.CreateAPIToken(ctx, self, n)
		must(t, err)
		if !tokenForm.MatchString(token) || token[:26] != k.Lookup {
			t.Errorf("the token's form is not that of the specification, or not found by %s", k.Lookup)
		}
		if read := got(w.dir.APIToken(ctx, k.Lookup))(t); read.User != self.User || !read.EndsAt.Equal(n.EndsAt.Truncate(time.Second)) {
			t.Errorf("the directory has %+v", read)
		}
		n.Name = "BUILD"
		mustBe(t, errorOf3(w.CreateAPIToken(ctx, self, n)), fault.Conflict, "name_taken")
		n.User = other.User
		mustBe(t, errorOf3(w.CreateAPIToken(ctx, self, n)), fault.NotFound, "not_found")
		_, _, err = w.CreateAPIToken(ctx, w.newActor(t, "manager", "AM_USER_MANAGER"), n)
		must(t, err)
		mustBe(t, errorOf3(w.CreateAPIToken(ctx, w.newActor(t, "viewer", "AM_VIEW_ONLY"), n)), fault.Denied, "access_denied")
		n.User, n.EndsAt = self.User, w.clock.Now()
		n.Name = strings.Repeat("é", 256)
		err = errorOf3(w.CreateAPIToken(ctx, self, n))
		mustBe(t, err, fault.Invalid, "invalid_api_token")
		if f := fault.From(err); len(f.Fields) != 2 {
			t.Errorf("the fields are %v, want name and end", f.Fields)
		}
	})
}

// TestFreshForMachines asks people for a fresh second factor before something is made or
// changed that acts with roles which need one, and nobody else.
func TestFreshForMachines(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx := t.Context()
	machine, plain := w.newActor(t, "machine", authz.RoleAdministrator), w.newActor(t, "plain")
	stale := telamon.Actor{
		Kind: telamon.ActorUser, Account: w.account, User: telamon.NewUserID(), Roles: []string{authz.RoleAdministrator},
		Session: telamon.NewSessionID(), SecondFactorAt: w.clock.Now().Add(-authz.FreshFor),
	}
	fresh := stale
	fresh.SecondFactorAt = w.clock.Now()
	roles := []string{authz.RoleManageCredentials}
	for _, what := range []func(telamon.Actor) error{
		func(by telamon.Actor) error {
			n := newServiceUser(w.account, "another")
			n.Roles = roles
			return errorOf3(w.CreateServiceUser(ctx, by, n))
		},
		func(by telamon.Actor) error {
			return errorOf3(w.CreateAPIToken(ctx, by, iam.NewAPIToken{Account: w.account, User: machine.User, Name: "more"}))
		},
		func(by telamon.Actor) error {
			return errorOf(w.UpdateUser(ctx, by, w.account, plain.User, iam.UserChange{Roles: roles}))
		},
		func(by telamon.Actor) error { return errorOf(w.CertTerm(ctx, by, machine.User)) },
	} {
		mustBe(t, what(stale), fault.Denied, "second_factor_stale")
		must(t, what(fresh))
	}
	must(t, errorOf3(w.CreateServiceUser(ctx, stale, newServiceUser(w.account, "a signer"))))
	other := w.newActor(t, "other")
	must(t, errorOf3(w.CreateAPIToken(ctx, stale, iam.NewAPIToken{Account: w.account, User: other.User, Name: "build"})))
}
