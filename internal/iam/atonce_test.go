package iam_test

import (
	"sync"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

// atOnce calls f for 0 to n-1 at once and returns how many succeeded. The others
// must report a conflict.
func atOnce(t testing.TB, n int, f func(i int) error) int {
	t.Helper()
	errs, start := make([]error, n), make(chan struct{})
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	calls.Wait()
	succeeded := 0
	for _, err := range errs {
		if err == nil {
			succeeded++
		} else {
			mustBeKind(t, err, fault.Conflict)
		}
	}
	return succeeded
}

// TestOneOfMany checks that of several who want the same at once, one gets it.
func TestOneOfMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		draft := got(w.CreateIdentity(ctx, operator, w.account, "draft", nil))(t).ID
		var made sync.Map
		for name, f := range map[string]func(i int) error{
			"an account's name": func(int) error { return errorOf(w.CreateAccount(ctx, operator, iam.NewAccount{Name: "Initech"})) },
			"a service's name":  func(int) error { return errorOf(w.CreateService(ctx, operator, serviceSpec("new"))) },
			"an address":        func(int) error { return errorOf(w.CreateUser(ctx, operator, newUser(w, "ada@example.com"))) },
			"a credential's name": func(int) error {
				c, _, err := w.CreateCredential(ctx, operator, w.spec("api"))
				if err == nil {
					made.Store(c.ID, c.Pair)
				}
				return err
			},
			"a step of an identity": func(int) error {
				return w.MoveIdentity(ctx, operator, w.account, draft, iam.IdentityMove{To: telamon.IdentityQueued})
			},
			"a version of a service": func(int) error { return errorOf(w.ChangeService(ctx, operator, w.service, 1, serviceSpec(""))) },
		} {
			if n := atOnce(t, 4, f); n != 1 {
				t.Errorf("%d got %s, want one", n, name)
			}
		}
		made.Range(func(id, pair any) bool {
			if c := got(w.Credential(ctx, operator, w.account, id.(telamon.CredentialID)))(t); c.Pair != pair {
				t.Errorf("the credential is of the pair %d, and its maker was told %d", c.Pair, pair)
			}
			return true
		})
	})
}

// TestOneKeyOfMany lets two accounts onboard with one key at once: one of them
// gets all, and the other nothing.
func TestOneKeyOfMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		theirs := iam.CredentialSpec{
			Account: w.other, Name: "api", Subscription: got(w.Subscribe(ctx, operator, w.other, w.service))(t).ID,
			Identity: w.newIdentity(t, w.other),
		}
		specs := []iam.CredentialSpec{w.spec("api"), theirs}
		n := atOnce(t, 2, func(i int) error { return errorOf(w.Onboard(ctx, operator, specs[i], good(0).public(t))) })
		credentials, certs := 0, 0
		for _, account := range []telamon.AccountID{w.account, w.other} {
			credentials += len(got(w.Credentials(ctx, operator, account, store.Page{Limit: 9}))(t))
			certs += len(got(w.ClientCerts(ctx, operator, account, store.Page{Limit: 9}))(t))
		}
		if n != 1 || credentials != 1 || certs != 1 {
			t.Errorf("%d accounts got the key, with %d credentials and %d certificates in all, want one", n, credentials, certs)
		}
	})
}
