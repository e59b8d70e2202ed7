package iam_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// TestCertHolders holds whose certificates somebody sees, and for whom they may make one.
func TestCertHolders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		stranger := w.newUser(t, w.other, telamon.ServiceUser, "stranger", time.Time{})
		w.certificateOf(t, stranger, "theirs")
		boss, robot := w.newActor(t, "Boss", "administrator"), w.newActor(t, "Robot", "SM_SIGNER")
		late := w.newActor(t, "Late")
		must(t, w.DeleteUser(ctx, operator, w.account, late.User))
		for _, u := range []telamon.Actor{boss, robot} {
			w.certificateOf(t, u, "first")
			w.certificateOf(t, u, "second")
		}
		gone := w.certificateOf(t, robot, "third")
		must(t, w.DeleteUserCert(ctx, robot, gone.ID))
		w.newLogin(t, "api", good(2)) // a credential's certificate is nobody's
		tests := []struct {
			role    string
			sees    int      // certificates
			holders []string // beside itself
		}{
			{"administrator", 4, []string{"Boss", "Robot"}},
			{"AM_USER_MANAGER", 4, []string{"Robot"}}, // the administrator has more rights than it could give
			{"manage_credentials", 0, nil},
			{"read_only", 4, nil},
			{"auditor", 4, nil},
			{"SM_SIGNER", 0, nil},
		}
		for _, tt := range tests {
			actor := w.newActor(t, "A "+tt.role, tt.role)
			certs := got(w.AccountUserCerts(ctx, actor, w.account))(t)
			if len(certs) != tt.sees || slices.ContainsFunc(certs, func(c telamon.ClientCert) bool { return c.User == "" || c.Account != w.account }) {
				t.Errorf("%s sees %d certificates, want %d of users of the account", tt.role, len(certs), tt.sees)
			}
			if !slices.IsSortedFunc(certs, func(a, b telamon.ClientCert) int { return b.CreatedAt.Compare(a.CreatedAt) }) {
				t.Errorf("%s: the newest are not first", tt.role)
			}
			holders := ids(got(w.CertHolders(ctx, actor, w.account))(t), func(u telamon.User) string { return u.Name })
			holders = slices.DeleteFunc(holders, func(name string) bool { return name != "Boss" && name != "Robot" && name[:2] == "A " })
			if !slices.Equal(holders, tt.holders) {
				t.Errorf("%s may make certificates for %q, want %q", tt.role, holders, tt.holders)
			}
			must(t, w.DeleteUser(ctx, operator, w.account, actor.User))
			mustBeKind(t, errorOf(w.AccountUserCerts(ctx, boss, w.other)), fault.NotFound)
		}
		if own := got(w.AccountUserCerts(ctx, robot, w.account))(t); len(own) != 2 || own[0].Name != "second" || own[0].User != robot.User {
			t.Errorf("a user without a role for it sees %+v, want their own two", own)
		}
	})
}

// certificateOf issues a certificate for a new key.
func (w *world) certificateOf(t testing.TB, actor telamon.Actor, name string) *iam.IssuedUserCert {
	t.Helper()
	w.clock.Advance(time.Millisecond)
	return got(w.IssueUserCert(t.Context(), actor, iam.UserCertRequest{CSR: curveRequest(t), Name: name}))(t)
}

// TestCertTerm holds that certificates can be issued to the end that is offered, and not
// beyond.
func TestCertTerm(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx := t.Context()
	until := func(days int) time.Time { return w.clock.Now().Truncate(time.Second).AddDate(0, 0, days) }
	ada := w.newUser(t, w.account, telamon.StandardUser, "ada", time.Time{})
	must(t, errorOf3(w.CreateAPIToken(ctx, ada, iam.NewAPIToken{Account: w.account, User: ada.User, Name: "a", EndsAt: until(40)})))
	tests := []struct {
		name  string
		actor telamon.Actor
		last  string
		bound string
		usual string
	}{
		{"without an end", w.serviceUser(t, "free"), "2027-12-24T23:59:59Z", "", "2027-11-22T23:59:59Z"},
		{"of a user who ends", w.newUser(t, w.account, telamon.ServiceUser, "robot", until(30)), "2026-12-22T23:59:00Z", "user", "2026-12-22T23:59:00Z"},
		{"of a user who ends later", w.newUser(t, w.account, telamon.ServiceUser, "old", until(4000)), "2027-12-24T23:59:59Z", "", "2027-11-22T23:59:59Z"},
		{"of a person whose tokens end", ada, "2027-01-01T23:59:00Z", "tokens", "2027-01-01T23:59:00Z"},
	}
	for _, tt := range tests {
		term := got(w.CertTerm(ctx, tt.actor, ""))(t)
		if term.Last.Format(time.RFC3339) != tt.last || term.Bound != tt.bound || term.Usual.Format(time.RFC3339) != tt.usual {
			t.Errorf("%s: %+v, want until %s because of %q, usually %s", tt.name, term, tt.last, tt.bound, tt.usual)
		}
		last, beyond := term.Last.Format(time.RFC3339), term.Last.Add(time.Second).Format(time.RFC3339)
		must(t, errorOf(w.IssueUserCert(ctx, tt.actor, iam.UserCertRequest{CSR: curveRequest(t), Name: "last", End: &last})))
		mustBe(t, errorOf(w.IssueUserCert(ctx, tt.actor, iam.UserCertRequest{CSR: curveRequest(t), Name: "beyond", End: &beyond})), fault.Invalid, "invalid_end")
	}
}

// TestLastUse checks that uses are noted, the latest of them, whoever writes first, and
// that what cannot be written is not forgotten.
func TestLastUse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		m := w.newMachine(t, w.account, "alpha", time.Time{})
		twin, _ := w.secondReplica(t)
		uses := func() time.Time {
			all := got(w.UserCertUses(ctx, m.actor, w.account))(t)
			if len(all) > 1 {
				t.Errorf("there are %d uses", len(all))
			}
			return all[m.cert]
		}
		must(t, w.WriteLastUses(ctx))
		if at := uses(); !at.IsZero() {
			t.Errorf("it was used at %s before it was used", at)
		}
		first := w.clock.Now()
		w.show(t, "", m.der, true)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := w.WriteLastUses(gone); err == nil {
			t.Fatal("it was written all the same; this proves nothing")
		}
		w.clock.Advance(time.Minute)
		later := w.clock.Now()
		must(t, errorOf(twin.AuthenticateUser(ctx, iam.Shown{Certificate: m.der, AsksCertificate: true, Address: home})))
		must(t, twin.WriteLastUses(ctx))
		must(t, w.WriteLastUses(ctx)) // an earlier one
		if at := uses(); !at.Equal(later.Truncate(time.Millisecond)) {
			t.Errorf("it was used last at %s, want %s and not %s", at, later, first)
		}
		if all := got(w.UserCertUses(ctx, w.newActor(t, "nobody"), w.account))(t); len(all) > 0 {
			t.Errorf("somebody who sees no certificate sees the uses %v", all)
		}
		invariant.Check(t, w.db)
		w.show(t, "", m.der, true)
		must(t, w.DeleteUser(ctx, operator, w.account, m.actor.User))
		must(t, w.WriteLastUses(ctx)) // of one that has gone
	})
}

// TestUpdateMe holds that people change their name and the language of their mails, and
// nothing else of themselves, and that service users do not.
func TestUpdateMe(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		ada := w.newUser(t, w.account, telamon.StandardUser, "ada", time.Time{})
		u := got(w.UpdateMe(ctx, ada, iam.Profile{Name: " Ada Wolff ", Locale: "de_DE"}))(t)
		if read := got(w.User(ctx, operator, w.account, ada.User))(t); u.Name != "Ada Wolff" || read.Name != u.Name || read.Locale != "de_DE" || read.Email != "ada@example.com" {
			t.Errorf("she is %+v", read)
		}
		for _, p := range []iam.Profile{{Locale: "de_DE"}, {Name: "a\nb", Locale: "de_DE"}, {Name: "Ada"}, {Name: "Ada", Locale: "xx_XX"}, {Name: "Ada", Locale: "de_DE_DE"}} {
			mustBe(t, errorOf(w.UpdateMe(ctx, ada, p)), fault.Invalid, "invalid_user")
		}
		mustBe(t, errorOf(w.UpdateMe(ctx, w.serviceUser(t, "robot"), iam.Profile{Name: "Robot 2", Locale: "en_US"})), fault.Denied, "access_denied")
		if events := w.events(t, "user.update"); len(events) != 1 || events[0].Actor != ada.User.String() {
			t.Errorf("the audit log has %d events", len(events))
		}
		if key, name, err := w.InspectUserCSR(ctx, ada, curveRequest(t)); err != nil || key.Algorithm != "ECDSA" || name != "curve" {
			t.Errorf("a request is for %v, %q, %v", key, name, err)
		}
		if _, _, err := w.InspectUserCSR(ctx, ada, privatePEM(t, 0)); fault.From(err).Code != "private_key" {
			t.Errorf("a private key is %v", err)
		}
	})
}
