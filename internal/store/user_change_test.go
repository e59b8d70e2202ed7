package store_test

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// newToken returns an API token of a user that is not stored.
func newToken(u telamon.User, name string) *telamon.APIToken {
	id := telamon.NewAPITokenID()
	return &telamon.APIToken{ID: id, Account: u.Account, User: u.ID, Name: name, Lookup: id.String(), SecretMAC: []byte("mac"), PepperVersion: 1}
}

// TestServiceUser writes a service user with a token, and reads what was written, what was
// changed, and what is left when a rule is broken.
func TestServiceUser(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx := t.Context()
		u := telamon.User{
			ID: telamon.NewUserID(), Account: w.account, Kind: telamon.ServiceUser, Email: "a@example.com", Name: "Größe", Description: "builds",
			Roles: []string{"SM_SIGNER"}, EndsAt: clock.Now().UTC().Truncate(time.Second).AddDate(1, 0, 0), CreatedBy: telamon.NewUserID(),
		}
		k := newToken(u, "Default")
		k.EndsAt = u.EndsAt
		must(t, w.db.CreateServiceUser(ctx, operator, &u, k))
		read, err := w.db.User(ctx, w.account, u.ID)
		if diff := cmp.Diff(u, read); diff != "" || err != nil {
			t.Errorf("the user (-want +got), %v:\n%s", err, diff)
		}
		token, err := w.db.APIToken(ctx, w.account, k.ID)
		if diff := cmp.Diff(*k, token); diff != "" || err != nil {
			t.Errorf("the token (-want +got), %v:\n%s", err, diff)
		}
		second := u
		second.ID, second.Name = telamon.NewUserID(), "grÖße"
		mustBe(t, w.db.CreateServiceUser(ctx, operator, &second, newToken(second, "Default")), fault.Conflict, "name_taken")
		second.Name = "second"
		must(t, w.db.CreateServiceUser(ctx, operator, &second, newToken(second, "Default")))
		refusal := errors.New("refused")
		_, err = w.db.UpdateUser(ctx, operator, w.account, u.ID, store.UserChange{Name: new("other")}, func(before, after *telamon.User) error {
			if before.Name != "Größe" || after.Name != "other" {
				t.Errorf("asked about %q and %q", before.Name, after.Name)
			}
			return refusal
		})
		if !errors.Is(err, refusal) {
			t.Errorf("a change that may not be: %v", err)
		}
		yes := func(_, _ *telamon.User) error { return nil }
		changed, err := w.db.UpdateUser(ctx, operator, w.account, u.ID, store.UserChange{Name: new("other"), EndsAt: new(time.Time), Roles: []string{}}, yes)
		u.Name, u.EndsAt, u.Roles = "other", time.Time{}, []string{}
		if diff := cmp.Diff(u, changed); diff != "" || err != nil {
			t.Errorf("the changed user (-want +got), %v:\n%s", err, diff)
		}
		if live, err := w.db.LiveUsers(ctx, w.account, telamon.ServiceUser, store.Page{Limit: 1, After: u.ID.String()}); err != nil || len(live) != 1 || live[0].ID != second.ID {
			t.Errorf("the users after the first: %v, %v", live, err)
		}
		mustBe(t, w.db.CreateAPIToken(ctx, operator, newToken(u, "one more"), 1), fault.Conflict, "too_many_api_tokens")
		mustBe(t, w.db.CreateAPIToken(ctx, operator, newToken(u, "DEFAULT"), 9), fault.Conflict, "name_taken")
		must(t, w.db.CreateAPIToken(ctx, operator, newToken(second, "one more"), 9))
		_, err = w.db.UpdateAPIToken(ctx, operator, telamon.NewAccountID(), k.ID, store.APITokenChange{Enabled: new(bool)})
		mustBe(t, err, fault.NotFound, "api_token_not_found")
	})
}

// TestDeleteUser ends a user with all that they have, and nobody else's.
func TestDeleteUser(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		ctx, te := t.Context(), w.newTenant(t, "Tenant")
		make := func(name string) (telamon.User, *telamon.APIToken, *telamon.ClientCert) {
			u := telamon.User{ID: telamon.NewUserID(), Account: te.account.ID, Kind: telamon.ServiceUser, Name: name, Email: "a@example.com"}
			k := newToken(u, "Default")
			must(t, w.db.CreateServiceUser(ctx, operator, &u, k))
			cert := w.newClientCert(t, te, name)
			cert.User, cert.Name = u.ID, "one"
			must(t, w.db.CreateUserCert(ctx, operator, cert, &store.Download{Hash: sha256.Sum256([]byte(name)), Sealed: []byte("file"), Life: time.Hour}))
			return u, k, cert
		}
		u, k, cert := make("robot")
		other, otherToken, otherCert := make("other")
		_, err := w.db.ClientCertBySerial(ctx, cert.Serial)
		mustBe(t, err, fault.NotFound, "client_certificate_not_found")
		var told []telamon.Serial
		w.db.OnRevoked(func(serial telamon.Serial) { told = append(told, serial) })
		changes, err := w.db.DeleteUser(ctx, operator, te.account.ID, u.ID)
		must(t, err)
		want := []store.Change{
			{Kind: store.ChangeUser, Object: u.ID.String()}, {Kind: store.ChangeAPIToken, Object: k.ID.String()},
			{Kind: store.ChangeClientCert, Object: cert.ID.String()},
		}
		if diff := cmp.Diff(want, changes); diff != "" {
			t.Errorf("the changes (-want +got):\n%s", diff)
		}
		if !slices.Equal(told, []telamon.Serial{cert.Serial}) {
			t.Errorf("revoked are %v, want %s", told, cert.Serial)
		}
		if status, err := w.db.SerialStatus(ctx, cert.Serial); err != nil || status.Revocation == nil || status.Revocation.Reason != telamon.ReasonCessationOfOperation {
			t.Errorf("the certificate is %+v, %v", status, err)
		}
		if status, err := w.db.SerialStatus(ctx, otherCert.Serial); err != nil || status.Revocation != nil {
			t.Errorf("another user's certificate is %+v, %v", status, err)
		}
		shards, err := w.db.CRLShards(ctx)
		if err != nil || !slices.ContainsFunc(shards, func(s store.CRLShard) bool { return s.Issuer == w.issuer && s.Shard == cert.CRLShard }) {
			t.Errorf("the shards of CRLs are %+v, %v", shards, err)
		}
		for _, query := range []string{
			"SELECT count(*) FROM pkcs12_download", "SELECT count(*) FROM api_token WHERE state = 'active'",
			"SELECT count(*) FROM client_certificate WHERE user_id IS NOT NULL AND deleted_at IS NULL",
		} {
			if n := w.number(t, query); n != 1 { // the other user's
				t.Errorf("%s: %d, want 1", query, n)
			}
		}
		all, err := w.db.LoadDirectory(ctx)
		if err != nil || len(all.Users) != 1 || all.Users[0].ID != other.ID {
			t.Errorf("the directory has the users %+v, %v", all.Users, err)
		}
		_, err = w.db.DeleteUser(ctx, operator, te.account.ID, u.ID)
		mustBe(t, err, fault.Conflict, "wrong_state")
		mustBe(t, w.db.CreateUserCert(ctx, operator, cert, nil), fault.NotFound, "user_not_found")
		if token, err := w.db.APIToken(ctx, te.account.ID, otherToken.ID); err != nil || token.User != other.ID {
			t.Errorf("another user's token is %+v, %v", token, err)
		}
		must(t, w.db.SetUserState(ctx, operator, te.account.ID, other.ID, telamon.Deleted))
		if n := w.number(t, "SELECT count(*) FROM api_token WHERE state = 'active'"); n != 0 {
			t.Errorf("%d tokens are left", n)
		}
	})
}
