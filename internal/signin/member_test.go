package signin_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

const bob = "bob@example.com"

// joined invites somebody, who accepts. Who invites is an operator.
func (w *world) joined(t testing.TB, account telamon.AccountID, email string, roles ...string) telamon.UserID {
	t.Helper()
	ctx := t.Context()
	must(t, errorOf(w.Invite(ctx, operator, account, email, "en", roles)))
	must(t, w.AcceptInvitation(ctx, w.link(t, email, signin.InvitationPath), "Bob", horse, home))
	value, s := w.signIn(t, email, horse)
	must(t, w.SignOut(ctx, value, home))
	return s.User.ID
}

func TestRequirement10Invitation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		admin := w.live(t, w.administrator(t, ada, "Acme").value)
		account := admin.Account.ID
		for name, roles := range map[string][]string{"no role": nil, "an unknown role": {"root"}, "a role of another application": {"AM_ACCOUNT_ADMIN"}} {
			err := errorOf(w.Invite(ctx, admin.Actor(), account, bob, "de", roles))
			if f := fault.From(err); err == nil || f.Code != "invalid_invitation" || f.Fields[0].Path != "roles" {
				t.Errorf("%s: %v", name, err)
			}
		}
		i := got(w.Invite(ctx, admin.Actor(), account, "Bob@example.com", "de", []string{"finance", "manage_domains", "finance"}))(t)
		mustBe(t, errorOf(w.Invite(ctx, admin.Actor(), account, bob, "de", []string{"finance"})), fault.Conflict, "already_invited")
		mustBe(t, errorOf(w.Invite(ctx, admin.Actor(), account, ada, "de", []string{"finance"})), fault.Conflict, "email_taken")
		mails := w.mails(t, bob)
		if len(mails) != 1 || !strings.Contains(mails[0].Text, "Ada Lovelace lädt Sie") || !strings.Contains(mails[0].Text, `"Acme"`) {
			t.Fatalf("the invitation is %+v", mails)
		}
		first := linkOf.FindStringSubmatch(mails[0].Text)[2]
		must(t, w.InviteAgain(ctx, admin.Actor(), account, i.ID))
		value := w.link(t, bob, signin.InvitationPath)
		mustBe(t, w.AcceptInvitation(ctx, first, "Bob", horse, home), fault.NotFound, "link_invalid")
		if shown := got(w.Invitation(ctx, value))(t); shown.Email != bob || shown.Account != "Acme" || !slices.Equal(shown.Roles, []string{"finance", "manage_domains"}) {
			t.Errorf("the page shows %+v", shown)
		}
		mustBe(t, w.AcceptInvitation(ctx, value, "Bob", "short", home), fault.Invalid, "invalid_user")
		must(t, w.AcceptInvitation(ctx, value, "Bob", horse, home))
		mustBe(t, w.AcceptInvitation(ctx, value, "Bob", horse, home), fault.NotFound, "link_invalid")
		_, s := w.signIn(t, bob, horse)
		if s.Need != signin.NeedNothing || !slices.Equal(s.Actor().Roles, []string{"finance", "manage_domains"}) || s.Account.ID != account ||
			s.User.Locale != "de_DE" || s.User.CreatedBy != admin.User.ID {
			t.Errorf("the session is %+v", s)
		}
		if all := got(w.Invitations(ctx, admin.Actor(), account))(t); len(all) != 0 {
			t.Errorf("there are still the invitations %+v", all)
		}
		mustBe(t, errorOf(w.Invite(ctx, s.Actor(), account, "eve@example.com", "en", []string{"finance"})), fault.Denied, "access_denied")
		mustBe(t, errorOf(w.Invite(ctx, admin.Actor(), telamon.NewAccountID(), "eve@example.com", "en", []string{"finance"})), fault.NotFound, "not_found")
	})
}

func TestInvitationEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		account := &telamon.Account{ID: telamon.NewAccountID(), Name: "Acme"}
		must(t, w.db.CreateAccount(ctx, operator, account))
		must(t, w.dir.Poll(ctx))
		invite := func(email string) (*store.Invitation, string) {
			t.Helper()
			i := got(w.Invite(ctx, operator, account.ID, email, "en", []string{"auditor"}))(t)
			return i, w.link(t, email, signin.InvitationPath)
		}
		i, withdrawn := invite(bob)
		must(t, w.WithdrawInvitation(ctx, operator, account.ID, i.ID))
		mustBe(t, w.WithdrawInvitation(ctx, operator, account.ID, i.ID), fault.NotFound, "invitation_not_found")
		mustBe(t, w.InviteAgain(ctx, operator, account.ID, i.ID), fault.NotFound, "invitation_not_found")
		mustBe(t, w.AcceptInvitation(ctx, withdrawn, "Bob", horse, home), fault.NotFound, "link_invalid")
		_, late := invite(bob)
		w.clock.Advance(signin.LinkLife)
		must(t, w.dir.Poll(ctx))
		mustBe(t, w.AcceptInvitation(ctx, late, "Bob", horse, home), fault.NotFound, "link_invalid")
		_, raced := invite(bob)
		w.registered(t, bob) // they registered by themselves meanwhile
		mustBe(t, w.AcceptInvitation(ctx, raced, "Bob", horse, home), fault.NotFound, "link_invalid")
	})
}

func TestRequirement08Roles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		admin := w.live(t, w.administrator(t, ada, "Acme").value)
		account, actor := admin.Account.ID, admin.Actor()
		id := w.joined(t, account, bob, "finance")
		value, s := w.signIn(t, bob, horse)
		mustBe(t, w.SetRoles(ctx, s.Actor(), account, admin.User.ID, nil), fault.Denied, "access_denied")
		mustBe(t, w.SetRoles(ctx, s.Actor(), account, id, []string{"administrator"}), fault.Denied, "access_denied")
		mustBe(t, w.SetRoles(ctx, actor, account, admin.User.ID, []string{"administrator", "finance"}), fault.Denied, "own_roles")
		mustBe(t, w.SetRoles(ctx, actor, account, id, []string{"root"}), fault.Invalid, "invalid_roles")
		mustBe(t, w.SetRoles(ctx, actor, account, id, []string{"ca_operator"}), fault.Denied, "staff_role")
		mustBe(t, w.SetRoles(ctx, actor, account, telamon.NewUserID(), nil), fault.NotFound, "user_not_found")
		w.live(t, value)

		must(t, w.SetRoles(ctx, actor, account, id, []string{"manage_credentials"}))
		w.ended(t, value)
		if _, s = w.signIn(t, bob, horse); s.Need != signin.NeedEnrolment {
			t.Errorf("who may manage credentials needs %q, want the enrolment of a factor", s.Need)
		}
		mustBe(t, w.SetRoles(ctx, operator, account, admin.User.ID, []string{"finance"}), fault.Conflict, "last_administrator")
		must(t, w.SetRoles(ctx, actor, account, id, []string{"administrator"}))
		must(t, w.SetRoles(ctx, operator, account, admin.User.ID, []string{"finance"}))
		mustBe(t, w.SetMemberState(ctx, operator, account, id, telamon.Deleted), fault.Conflict, "last_administrator")
	})
}

func TestRequirement08LastAdministrator(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := w.administrator(t, ada, "Acme")
		admin := w.live(t, p.value)
		account, actor := admin.Account.ID, admin.Actor()
		mustBe(t, w.SetMemberState(ctx, actor, account, admin.User.ID, telamon.Disabled), fault.Denied, "own_user")
		mustBe(t, w.SetMemberState(ctx, operator, account, admin.User.ID, telamon.Disabled), fault.Conflict, "last_administrator")
		mustBe(t, w.SetMemberState(ctx, operator, account, admin.User.ID, "revoked"), fault.Invalid, "invalid_state")
		id := w.joined(t, account, bob, "administrator")
		value, _ := w.signIn(t, bob, horse)
		must(t, w.SetMemberState(ctx, actor, account, id, telamon.Disabled))
		w.ended(t, value)
		w.mayNot(t, bob, horse, fault.Unauthenticated, "sign_in_refused")
		mustBe(t, w.SetMemberState(ctx, operator, account, admin.User.ID, telamon.Deleted), fault.Conflict, "last_administrator")
		must(t, w.SetMemberState(ctx, actor, account, id, telamon.Active))
		w.ended(t, value)

		// Two administrators go at once, again and again: one of them stays.
		for range 5 {
			var wg sync.WaitGroup
			errs := make([]error, 2)
			for i, user := range []telamon.UserID{admin.User.ID, id} {
				wg.Go(func() {
					if i == 0 {
						errs[i] = w.db.SetUserState(ctx, operator, account, user, telamon.Disabled)
					} else {
						errs[i] = w.db.AssignRoles(ctx, operator, account, user, []string{"finance"})
					}
				})
			}
			wg.Wait()
			if n := w.count(t, "SELECT count(*) FROM account_user WHERE state = 'active' AND roles = 'administrator'"); n != 1 {
				t.Fatalf("%d administrators are left: %v", n, errs)
			}
			if errs[0] == nil {
				must(t, w.db.SetUserState(ctx, operator, account, admin.User.ID, telamon.Active))
			}
			if errs[1] == nil {
				must(t, w.db.AssignRoles(ctx, operator, account, id, []string{"administrator"}))
			}
		}
	})
}

func TestRequirement11AdministratorLimit(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.registered(t, ada)
		value, s := w.signIn(t, ada, horse)
		provider := profile
		provider.Kind = store.AccountServiceProvider
		must(t, w.CompleteProfile(ctx, s, provider))
		account := s.Account.ID
		must(t, w.AcceptAgreement(ctx, w.live(t, value), "2026-11"))
		second := w.joined(t, account, "second@example.com", "finance")
		invite := func(email string) error {
			return errorOf(w.Invite(ctx, operator, account, email, "en", []string{"administrator"}))
		}
		must(t, invite("third@example.com"))
		must(t, w.SetRoles(ctx, operator, account, second, []string{"administrator"}))
		mustBe(t, invite("fourth@example.com"), fault.Conflict, "administrator_limit")
		other := w.joined(t, account, "other@example.com", "finance")
		mustBe(t, w.SetRoles(ctx, operator, account, other, []string{"administrator"}), fault.Conflict, "administrator_limit")
		w.clock.Advance(25 * time.Hour) // the invitation has ended
		must(t, invite("fourth@example.com"))
	})
}

func TestStaffAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		account := &telamon.Account{ID: telamon.NewAccountID(), Name: "Our CA"}
		must(t, w.db.CreateAccount(ctx, operator, account))
		must(t, w.dir.Poll(ctx))
		roles := []string{"vetting_agent"}
		mustBe(t, errorOf(w.Invite(ctx, operator, account.ID, bob, "en", roles)), fault.Denied, "staff_role")
		mustBe(t, w.MakeStaffAccount(ctx, telamon.Actor{Kind: telamon.ActorUser, Account: account.ID, Roles: []string{"administrator"}}, account.ID), fault.Denied, "access_denied")
		mustBe(t, w.MakeStaffAccount(ctx, operator, telamon.NewAccountID()), fault.NotFound, "account_not_found")
		must(t, w.MakeStaffAccount(ctx, operator, account.ID))
		w.joined(t, account.ID, bob, roles...)
		if _, s := w.signIn(t, bob, horse); s.Need != signin.NeedEnrolment {
			t.Errorf("a vetting agent needs %q, want the enrolment of a factor", s.Need)
		}
	})
}

func TestResetFactors(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := w.administrator(t, ada, "Acme")
		admin := w.live(t, p.value)
		account := admin.Account.ID
		id := w.joined(t, account, bob, "administrator")
		b := &person{email: bob}
		b.value, _ = w.signIn(t, bob, horse)
		w.enrol(t, b)
		mustBe(t, w.ResetFactors(ctx, admin.Actor(), account, admin.User.ID, home), fault.Denied, "own_user")
		mustBe(t, w.ResetFactors(ctx, admin.Actor(), telamon.NewAccountID(), id, home), fault.NotFound, "not_found")
		w.clock.Advance(11 * time.Minute)
		mustBe(t, w.ResetFactors(ctx, admin.Actor(), account, id, home), fault.Denied, "second_factor_stale")
		p.value = got(w.SecondFactor(ctx, w.live(t, p.value), w.code(t, p)))(t)
		must(t, w.ResetFactors(ctx, w.live(t, p.value).Actor(), account, id, home))
		w.ended(t, b.value)
		if _, s := w.signIn(t, bob, horse); s.Need != signin.NeedEnrolment {
			t.Errorf("the session needs %q, want the enrolment of a factor", s.Need)
		}
		mustBe(t, w.ResetFactors(ctx, w.live(t, p.value).Actor(), account, id, home), fault.NotFound, "factor_not_found")
	})
}

// TestRequirement13PasswordChange changes a password in one browser: another one is out,
// and this one stays.
func TestRequirement13PasswordChange(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := w.administrator(t, ada, "Acme")
		_, s := w.signIn(t, ada, horse)
		other := got(w.SecondFactor(ctx, s, w.code(t, p)))(t)
		if all := got(w.Sessions(ctx, w.live(t, p.value)))(t); len(all) != 2 || all[0].Agent != "Firefox" || all[1].Address != home.Address {
			t.Errorf("the sessions are %+v", all)
		}
		mustBe(t, w.ChangePassword(ctx, w.live(t, p.value), "wrong password", "another good password"), fault.Denied, "password_wrong")
		mustBe(t, w.ChangePassword(ctx, w.live(t, p.value), horse, "short"), fault.Invalid, "invalid_password")
		must(t, w.ChangePassword(ctx, w.live(t, p.value), horse, "another good password"))
		w.ended(t, other)
		w.live(t, p.value)
		replica, _ := w.replica(t)
		must(t, errorOf(replica.Session(ctx, p.value, home)))
		w.mayNot(t, ada, horse, fault.Unauthenticated, "sign_in_refused")
		third, s := w.signIn(t, ada, "another good password")
		mustBe(t, w.EndSession(ctx, w.live(t, p.value), telamon.NewSessionID()), fault.NotFound, "session_not_found")
		must(t, w.EndSession(ctx, w.live(t, p.value), s.ID))
		w.ended(t, third)
		third, _ = w.signIn(t, ada, "another good password")
		if n := got(w.EndOtherSessions(ctx, w.live(t, p.value)))(t); n != 1 {
			t.Errorf("%d sessions were ended", n)
		}
		w.ended(t, third)
		if n := got(w.EndSessionsOf(ctx, operator, s.Account.ID, s.User.ID))(t); n != 1 {
			t.Errorf("%d sessions were ended by an operator", n)
		}
		w.ended(t, p.value)
	})
}

func TestMembers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p := w.administrator(t, ada, "Acme")
		admin := w.live(t, p.value)
		account, actor := admin.Account.ID, admin.Actor()
		id := w.joined(t, account, bob, "finance", "auditor")
		w.administrator(t, "eve@example.com", "Globex")
		list := func(f store.MemberFilter) (emails []string) {
			t.Helper()
			f.Limit = 10
			for _, m := range got(w.Members(ctx, actor, account, f))(t) {
				emails = append(emails, m.Email)
			}
			return emails
		}
		for name, tt := range map[string]struct {
			f    store.MemberFilter
			want []string
		}{
			"all":            {store.MemberFilter{}, []string{ada, bob}},
			"the next page":  {store.MemberFilter{Page: store.Page{After: admin.User.ID.String()}}, []string{bob}},
			"by a name":      {store.MemberFilter{Search: "LOVELACE"}, []string{ada}},
			"by an address":  {store.MemberFilter{Search: "bob@"}, []string{bob}},
			"by a role":      {store.MemberFilter{Role: "finance"}, []string{bob}},
			"part of a role": {store.MemberFilter{Role: "fin"}, nil},
			"no wildcard":    {store.MemberFilter{Search: "%"}, nil},
		} {
			if got := list(tt.f); !slices.Equal(got, tt.want) {
				t.Errorf("%s: %q, want %q", name, got, tt.want)
			}
		}
		if m := got(w.Member(ctx, actor, account, admin.User.ID))(t); !m.HasFactor() || !m.TOTP || m.SignedInAt.IsZero() {
			t.Errorf("the administrator is %+v", m)
		}
		if m := got(w.Member(ctx, actor, account, id))(t); m.HasFactor() || m.Name != "Bob" {
			t.Errorf("the other one is %+v", m)
		}
		service := &telamon.User{ID: telamon.NewUserID(), Account: account, Kind: telamon.ServiceUser, Name: "build"}
		must(t, w.db.CreateUser(ctx, operator, service))
		for what, err := range map[string]error{
			"see": errorOf(w.Member(ctx, actor, account, service.ID)), "disable": w.SetMemberState(ctx, actor, account, service.ID, telamon.Disabled),
			"lock": w.SetMemberLock(ctx, actor, account, service.ID, true), "end the sessions of": errorOf(w.EndSessionsOf(ctx, actor, account, service.ID)),
		} {
			if !fault.Is(err, fault.NotFound) {
				t.Errorf("%s a service user: %v", what, err)
			}
		}
		must(t, w.SetRoles(ctx, actor, account, id, []string{"finance"}))
		_, finance := w.signIn(t, bob, horse)
		mustBe(t, errorOf(w.Members(ctx, finance.Actor(), account, store.MemberFilter{})), fault.Denied, "access_denied")
		mustBe(t, errorOf(w.Member(ctx, finance.Actor(), account, id)), fault.Denied, "access_denied")
		mustBe(t, errorOf(w.Members(ctx, actor, telamon.NewAccountID(), store.MemberFilter{})), fault.NotFound, "not_found")
	})
}

func TestMemberLock(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		admin := w.live(t, w.administrator(t, ada, "Acme").value)
		account, actor := admin.Account.ID, admin.Actor()
		mustBe(t, w.SetMemberLock(ctx, actor, account, admin.User.ID, true), fault.Denied, "own_user")
		mustBe(t, w.SetMemberLock(ctx, operator, account, admin.User.ID, true), fault.Conflict, "last_administrator")
		id := w.joined(t, account, bob, "administrator")
		value, _ := w.signIn(t, bob, horse)
		mustBe(t, w.SetMemberLock(ctx, actor, account, id, false), fault.Conflict, "wrong_state")
		must(t, w.SetMemberLock(ctx, actor, account, id, true))
		mustBe(t, w.SetMemberLock(ctx, actor, account, id, true), fault.Conflict, "wrong_state")
		w.ended(t, value)
		w.mayNot(t, bob, horse, fault.Unauthenticated, "sign_in_refused")
		// A locked administrator cannot stand in for the last one.
		mustBe(t, w.SetRoles(ctx, operator, account, admin.User.ID, []string{"finance"}), fault.Conflict, "last_administrator")
		must(t, w.SetMemberLock(ctx, actor, account, id, false))
		w.signIn(t, bob, horse)

		// A lock because of failed attempts ends by a new password alone, unless an
		// administrator makes it theirs.
		for range signin.MaxFailures {
			w.mayNot(t, bob, "wrong password", fault.Unauthenticated, "sign_in_refused")
		}
		mustBe(t, w.SetMemberLock(ctx, actor, account, id, false), fault.Conflict, "locked_out")
		must(t, w.SetMemberLock(ctx, actor, account, id, true))
		w.mails(t, bob)
		must(t, w.RequestReset(ctx, bob, home))
		must(t, w.Reset(ctx, w.link(t, bob, signin.ResetPath), "another good password", home))
		w.mayNot(t, bob, "another good password", fault.Unauthenticated, "sign_in_refused")
		must(t, w.SetMemberLock(ctx, actor, account, id, false))
		w.signIn(t, bob, "another good password")
	})
}

// TestReachOfMemberChanges keeps people who manage users by a role of another application from
// those whose roles reach further.
func TestReachOfMemberChanges(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx := t.Context()
	admin := w.live(t, w.administrator(t, ada, "Acme").value)
	account := admin.Account.ID
	boss, clerk := w.joined(t, account, bob, "administrator"), w.joined(t, account, "carl@example.com", "read_only")
	manager := telamon.Actor{Kind: telamon.ActorUser, Account: account, User: telamon.NewUserID(), Roles: []string{"AM_USER_MANAGER", "read_only"}}
	for _, to := range []telamon.State{telamon.Disabled, telamon.Deleted} {
		mustBe(t, w.SetMemberState(ctx, manager, account, boss, to), fault.Denied, "role_not_yours")
	}
	mustBe(t, w.SetMemberLock(ctx, manager, account, boss, true), fault.Denied, "role_not_yours")
	w.signIn(t, bob, horse)
	must(t, w.SetMemberLock(ctx, manager, account, clerk, true))
	must(t, w.SetMemberLock(ctx, manager, account, clerk, false))
	must(t, w.SetMemberState(ctx, manager, account, clerk, telamon.Disabled))
	mustBe(t, w.SetMemberState(ctx, manager, account, telamon.NewUserID(), telamon.Disabled), fault.NotFound, "user_not_found")
	must(t, w.SetMemberLock(ctx, admin.Actor(), account, boss, true))
}

// TestFreshForRoles asks for a fresh second factor before others get roles that need one,
// and before a person is deleted.
func TestFreshForRoles(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx := t.Context()
	admin := w.live(t, w.administrator(t, ada, "Acme").value)
	account := admin.Account.ID
	id := w.joined(t, account, bob, "finance")
	w.clock.Advance(11 * time.Minute)
	actor := admin.Actor()
	mustBe(t, errorOf(w.Invite(ctx, actor, account, "eve@example.com", "en", []string{"manage_credentials"})), fault.Denied, "second_factor_stale")
	mustBe(t, w.SetRoles(ctx, actor, account, id, []string{"administrator"}), fault.Denied, "second_factor_stale")
	mustBe(t, w.SetMemberState(ctx, actor, account, id, telamon.Deleted), fault.Denied, "second_factor_stale")
	must(t, errorOf(w.Invite(ctx, actor, account, "eve@example.com", "en", []string{"auditor"})))
	must(t, w.SetRoles(ctx, actor, account, id, []string{"auditor"}))
	must(t, w.SetMemberState(ctx, operator, account, id, telamon.Deleted))
	mustBe(t, errorOf(w.Member(ctx, actor, account, id)), fault.NotFound, "user_not_found")
}
