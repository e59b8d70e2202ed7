package iam_test

import (
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

// TestAuthenticateMachine has a service user of the CA's staff show what it has.
func TestAuthenticateMachine(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		m := w.newMachine(t, w.account, "robot", time.Time{})
		must(t, w.db.AssignRoles(ctx, operator, w.account, m.actor.User, []string{authz.RoleCAOperator, authz.RoleAuditor}))
		must(t, w.dir.Poll(ctx))
		show := func(key string, der []byte) (iam.Machine, error) {
			return w.AuthenticateMachine(ctx, iam.Shown{Key: key, Certificate: der, AsksCertificate: true, Address: home})
		}

		alone := got(show(m.key, nil))(t)
		if !slices.Equal(alone.Roles, []string{authz.RoleAuditor}) || !alone.Withheld {
			t.Errorf("by its token alone it is %+v", alone)
		}
		mustBe(t, alone.MustShowCertificate(), fault.Denied, "client_certificate_needed")
		if now := got(w.dir.User(ctx, m.actor.User))(t); len(now.Roles) != 2 {
			t.Errorf("the directory has lost roles: %v", now.Roles)
		}
		both := got(show(m.key, m.der))(t)
		if len(both.Roles) != 2 || both.Withheld || both.MustShowCertificate() != nil || both.ClientCert != m.cert {
			t.Errorf("by both it is %+v", both)
		}
		mustBe(t, errorOf(show("", m.der)), fault.Unauthenticated, "api_token_needed")
		mustBe(t, errorOf(show("", nil)), fault.Unauthenticated, "api_token_needed")
		mustBe(t, errorOf(show("x", m.der)), fault.Unauthenticated, "invalid_api_key")

		t.Run("no certificate by the token of one of the staff", func(t *testing.T) {
			for _, by := range []telamon.Actor{alone.Actor, {Kind: telamon.ActorUser, Account: w.account, User: m.actor.User, Token: m.token, Roles: both.Roles}} {
				mustBe(t, errorOf(w.IssueUserCert(ctx, by, iam.UserCertRequest{CSR: curveRequest(t), Name: "stolen"})), fault.Denied, "client_certificate_needed")
				mustBe(t, errorOf(w.GenerateUserCert(ctx, by, iam.GeneratedCertRequest{Name: "stolen"})), fault.Denied, "client_certificate_needed")
			}
			must(t, errorOf(w.IssueUserCert(ctx, both.Actor, iam.UserCertRequest{CSR: curveRequest(t), Name: "next"})))
			must(t, errorOf(w.IssueUserCert(ctx, operator, iam.UserCertRequest{Account: w.account, User: m.actor.User, CSR: curveRequest(t), Name: "another"})))
			mustBe(t, errorOf(w.IssueUserCert(ctx, operator, iam.UserCertRequest{Account: w.other, User: m.actor.User, CSR: curveRequest(t), Name: "x"})), fault.NotFound, "user_not_found")
		})
		t.Run("a person", func(t *testing.T) {
			person := got(w.CreateUser(ctx, operator, newUser(w, "ada@example.com")))(t)
			_, key, err := w.CreateAPIToken(ctx, operator, iam.NewAPIToken{Account: w.account, User: person.ID, Name: "first"})
			must(t, err)
			mustBe(t, errorOf(show(key, nil)), fault.Denied, "service_user_needed")
		})
	})
}
