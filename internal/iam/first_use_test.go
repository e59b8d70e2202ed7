package iam_test

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// secondReplica returns use cases over the same database with a directory of their own.
func (w *world) secondReplica(t testing.TB) (*iam.IAM, *directory.Directory) {
	t.Helper()
	dir := got(directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock}))(t)
	return iam.New(iam.Config{
		Store: w.db, Directory: dir, Issuance: w.engine, Keys: w.keys, Clock: w.clock, ClientSeriesRSA: "mtls-rsa", ClientSeriesEC: "mtls-ec",
	}), dir
}

// TestFirstUse checks that the first use of a certificate is written once, whatever fails
// and whoever sees it first, and that requests do not wait for it.
func TestFirstUse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		m := w.newMachine(t, w.account, "alpha", time.Time{})
		twin, twinDir := w.secondReplica(t)
		w.show(t, m.key, m.der, false) // nobody saw the certificate
		must(t, w.WriteFirstUses(ctx))
		if events := w.events(t, "client_certificate.use"); len(events) != 0 {
			t.Fatalf("the audit log has %+v before the first use", events)
		}
		first := w.clock.Now()
		for range 3 {
			if got := w.show(t, "", m.der, true); got != "cert" {
				t.Fatalf("the certificate gives %s", got)
			}
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := w.WriteFirstUses(gone); err == nil {
			t.Fatal("it was written all the same; this proves nothing")
		}
		w.clock.Advance(time.Second)
		shown := iam.Shown{Certificate: m.der, AsksCertificate: true, Address: home}
		if got := outcome(twin.AuthenticateUser(ctx, shown)); got != "cert" { // before it can know of the use
			t.Fatalf("on another replica the certificate gives %s", got)
		}
		must(t, w.WriteFirstUses(ctx))
		must(t, twin.WriteFirstUses(ctx))
		for name, dir := range map[string]*directory.Directory{"this": w.dir, "the other": twinDir} {
			if cert := got(dir.ClientCert(ctx, sha256.Sum256(m.der)))(t); !cert.FirstUsedAt.Equal(first.Truncate(time.Millisecond)) {
				t.Errorf("%s replica knows of a first use at %s, want %s", name, cert.FirstUsedAt, first)
			}
		}
		w.show(t, "", m.der, true)
		must(t, w.WriteFirstUses(ctx))
		events := w.events(t, "client_certificate.use")
		if len(events) != 1 || events[0].Object != m.cert.String() || events[0].Actor != m.actor.User.String() || events[0].ClientCert != m.cert ||
			events[0].Address != home || events[0].Account != w.account || events[0].Result != "ok" {
			t.Errorf("the audit log has %+v", events)
		}
		seen, total, err := w.Activities(ctx, operator, store.ActivityFilter{Account: w.account, Action: "authenticate", Limit: 9})
		if err != nil || total != 1 || seen[0].User != m.actor.User || seen[0].Failed {
			t.Errorf("the account is shown %+v, %v", seen, err)
		}
		invariant.Check(t, w.db)
	})
}

// TestUsersOnTwoReplicas changes what a user authenticates by on one replica, where it
// holds at once, and looks at the other after one reading of the change feed, which
// replicas read every [directory.PollInterval], four times a second.
func TestUsersOnTwoReplicas(t *testing.T) {
	if directory.PollInterval > time.Second/2 {
		t.Errorf("changes are read every %s: replicas must agree within a second", directory.PollInterval)
	}
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		m := w.newMachine(t, w.account, "alpha", time.Time{})
		twin, twinDir := w.secondReplica(t)
		look := func(replica *iam.IAM) string {
			both := iam.Shown{Key: m.key, Certificate: m.der, AsksCertificate: true, Address: home}
			return outcome(replica.AuthenticateUser(ctx, both))
		}
		steps := []struct {
			name, want string
			change     func() error
		}{
			{"disabled certificate", "key", func() error { return errorOf(w.DisableUserCert(ctx, m.actor, m.cert)) }},
			{"enabled certificate", "key and cert", func() error { return errorOf(w.EnableUserCert(ctx, m.actor, m.cert)) }},
			{"disabled user", noKey, func() error { return w.DisableUser(ctx, operator, w.account, m.actor.User) }},
			{"enabled user", "key and cert", func() error { return w.EnableUser(ctx, operator, w.account, m.actor.User) }},
			{"locked user", noKey, func() error { return w.LockUser(ctx, operator, w.account, m.actor.User) }},
			{"unlocked user", "key and cert", func() error { return w.UnlockUser(ctx, operator, w.account, m.actor.User) }},
			{"disabled account", noKey, func() error { return w.DisableAccount(ctx, operator, w.account) }},
			{"enabled account", "key and cert", func() error { return w.EnableAccount(ctx, operator, w.account) }},
			{"account of yesterday", noKey, func() error {
				return w.SetServicePeriod(ctx, operator, w.account, iam.Period{EndsAt: w.clock.Now().Add(-time.Second)})
			}},
			{"account without a term", "key and cert", func() error { return w.SetServicePeriod(ctx, operator, w.account, iam.Period{}) }},
			{"revoked certificate", "key", func() error { return w.RevokeClientCert(ctx, operator, w.account, m.cert, telamon.ReasonUnspecified) }},
		}
		for _, step := range steps {
			before := look(twin)
			must(t, step.change())
			if got := look(w.IAM); got != step.want {
				t.Errorf("%s: at once on its own replica %s, want %s", step.name, got, step.want)
			}
			if got := look(twin); got != before {
				t.Errorf("%s: the other replica knows before it has read the feed, so this proves nothing", step.name)
			}
			w.clock.Advance(directory.PollInterval)
			must(t, twinDir.Poll(ctx))
			must(t, w.dir.Poll(ctx))
			if got := look(twin); got != step.want {
				t.Errorf("%s: on the other replica %s, want %s", step.name, got, step.want)
			}
		}
		invariant.Check(t, w.db)
	})
}
