package staff_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// TestRequirement98BulkRevocation revokes 10,000 certificates of one account. The process
// dies in the middle, and another one goes on: each certificate is revoked once, with an
// event of its own, and nobody else's is touched.
func TestRequirement98BulkRevocation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const n = 10_000
		c, other := w.customer(t, "Acme"), w.customer(t, "Other")
		c.have(t, order{n: n})
		other.have(t, order{n: 300})
		plan := w.plan(t, telamon.RevocationFilter{Account: c.account}, telamon.ReasonCessationOfOperation)
		if plan.Matched != n || plan.Examined != n+300 || len(plan.Sample) != 20 || plan.RequestedBy != "operator:ada" || c.revoked(t) != 0 {
			t.Fatalf("the plan has matched %d of %d and shows %d; %d are revoked", plan.Matched, plan.Examined, len(plan.Sample), c.revoked(t))
		}
		if plan.Sample[0].Account != c.account || plan.Sample[0].Issuer != w.issuers[0] {
			t.Errorf("the sample begins with %+v", plan.Sample[0])
		}
		w.clock.Advance(time.Second)
		c.have(t, order{n: 1, from: w.clock.Now(), until: w.clock.Now()}) // not in the plan

		begun, err := w.BeginRevocation(t.Context(), bob, plan.ID)
		must(t, err)
		if begun.State != telamon.BulkRevoking || begun.Examined != 0 {
			t.Errorf("after its beginning it is %s", begun.State)
		}
		_, err = w.BeginRevocation(t.Context(), bob, plan.ID)
		mustBe(t, err, fault.Conflict, "wrong_state")

		ctx, die := context.WithCancel(t.Context())
		var told atomic.Int64
		w.db.OnRevoked(func(telamon.Serial) {
			if told.Add(1) == 3_000 {
				die()
			}
		})
		job := store.Job{Kind: store.JobBulkRevocation, Key: plan.ID.String()}
		if _, err := w.Handlers()[store.JobBulkRevocation].Run(ctx, job); err == nil {
			t.Error("a job whose process stops ends without an error")
		}
		if part := c.revoked(t); part < 3_000 || part >= n {
			t.Fatalf("%d are revoked when the process died", part)
		}
		must(t, w.db.Close())
		w.db = dbtest.Open(t, w.url, w.clock)
		w.start()
		w.clock.Advance(2 * time.Minute)
		done := w.work(t, plan.ID)
		if done.State != telamon.BulkDone || done.Revoked != n || done.Examined < n || done.Examined > n+300+1 || !done.FinishedAt.Equal(w.clock.Now()) {
			t.Errorf("at its end it is %s with %d revoked of %d examined, at %s", done.State, done.Revoked, done.Examined, done.FinishedAt)
		}
		if c.revoked(t) != n || other.revoked(t) != 0 {
			t.Errorf("%d and %d of another account are revoked", c.revoked(t), other.revoked(t))
		}
		if again := w.work(t, plan.ID); again.Revoked != n {
			t.Errorf("done again, it has revoked %d", again.Revoked)
		}
		seen := map[string]int{}
		w.eachEvent(t, func(e *audit.Payload) {
			if e.Action == "certificate.revoke" {
				seen[e.Object]++
			}
		})
		if len(seen) != n {
			t.Errorf("%d certificates have events, want %d", len(seen), n)
		}
		for serial, times := range seen {
			if times != 1 {
				t.Errorf("%s has %d events", serial, times)
			}
		}
	})
}

// TestRequirement98LateCertificate writes a certificate that a bulk revocation selects when
// its scan has passed it: the revocation is not done before it has that one, too.
func TestRequirement98LateCertificate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, "Acme")
		c.have(t, order{n: 300, key: "late"})
		plan := w.plan(t, telamon.RevocationFilter{Key: hashOf("late")}, telamon.ReasonSuperseded)
		_, err := w.BeginRevocation(t.Context(), ada, plan.ID)
		must(t, err)
		mustWait := func() {
			t.Helper()
			job := store.Job{Kind: store.JobBulkRevocation, Key: plan.ID.String()}
			again, err := w.Handlers()[store.JobBulkRevocation].Run(t.Context(), job)
			must(t, err)
			if want := plan.AsOf.Add(45 * time.Second); !again.Equal(want) {
				t.Errorf("it goes on at %s, want %s", again, want)
			}
			b, err := w.BulkRevocation(t.Context(), ada, plan.ID)
			if err != nil || b.State != telamon.BulkRevoking || b.Revoked != 300 || c.revoked(t) != 300 {
				t.Errorf("meanwhile it is %s with %d revoked, %v", b.State, b.Revoked, err)
			}
		}
		mustWait()
		w.clock.Advance(44 * time.Second)
		mustWait()
		c.have(t, order{n: 1, key: "late", from: plan.AsOf, until: plan.AsOf})
		c.have(t, order{n: 1, key: "late", from: w.clock.Now(), until: w.clock.Now()}) // accepted after the plan
		w.clock.Advance(time.Minute)
		if done := w.work(t, plan.ID); done.State != telamon.BulkDone || done.Revoked != 301 || c.revoked(t) != 301 {
			t.Errorf("at its end it is %s with %d revoked", done.State, done.Revoked)
		}
	})
}

// eachEvent calls f with every audit event.
func (w *world) eachEvent(t testing.TB, f func(*audit.Payload)) {
	t.Helper()
	filter := store.AuditFilter{}
	for range 1000 {
		page, err := w.db.AuditEvents(t.Context(), filter)
		must(t, err)
		for _, e := range page.Events {
			f(e)
		}
		if filter.After = page.Next; page.Next == "" {
			return
		}
	}
	t.Fatal("the events do not end")
}

// TestFilters selects by each member, and by all.
func TestFilters(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c, other := w.customer(t, "Acme"), w.customer(t, "Other")
		day := w.clock.Now().Add(-30 * 24 * time.Hour).Truncate(24 * time.Hour)
		at := func(hours int) *time.Time { u := day.Add(time.Duration(hours) * time.Hour); return &u }
		c.have(t, order{n: 5, name: "www.example.com", key: "a", from: *at(0), until: *at(2)})
		c.have(t, order{n: 7, name: "example.com", key: "b", issuer: 1, from: *at(10), until: *at(12)})
		c.have(t, order{n: 11, name: "*.dev.example.com", key: "a", issuer: 1, from: *at(20), until: *at(22)})
		other.have(t, order{n: 13, name: "notexample.com", key: "a", from: *at(30), until: *at(32)})
		for _, tt := range []struct {
			name   string
			filter telamon.RevocationFilter
			want   int64
		}{
			{"issuer", telamon.RevocationFilter{Issuer: w.issuers[1]}, 18},
			{"key", telamon.RevocationFilter{Key: hashOf("a")}, 29},
			{"key of none", telamon.RevocationFilter{Key: hashOf("z")}, 0},
			{"domain", telamon.RevocationFilter{Domain: "Example.com"}, 7},
			{"wildcard", telamon.RevocationFilter{Domain: "*.dev.example.com"}, 11},
			{"tree", telamon.RevocationFilter{Domain: "example.com", Tree: true}, 23},
			{"lower tree", telamon.RevocationFilter{Domain: "dev.example.com", Tree: true}, 11},
			{"account", telamon.RevocationFilter{Account: other.account}, 13},
			{"identity", telamon.RevocationFilter{Identity: c.identity}, 23},
			{"from", telamon.RevocationFilter{From: at(20)}, 24},
			{"until", telamon.RevocationFilter{Until: at(12)}, 12},
			{"from and until", telamon.RevocationFilter{From: at(10), Until: at(19)}, 7},
			{"account and key", telamon.RevocationFilter{Account: c.account, Key: hashOf("a")}, 16},
			{"all", telamon.RevocationFilter{
				Issuer: w.issuers[1], Key: hashOf("a"), Domain: "example.com", Tree: true, Account: c.account, Identity: c.identity, From: at(0), Until: at(40),
			}, 11},
		} {
			t.Run(tt.name, func(t *testing.T) {
				if got := w.plan(t, tt.filter, telamon.ReasonSuperseded); got.Matched != tt.want || int64(len(got.Sample)) != min(tt.want, 20) {
					t.Errorf("it matches %d and shows %d, want %d", got.Matched, len(got.Sample), tt.want)
				}
			})
		}
		t.Run("revoked ones do not count", func(t *testing.T) {
			plan := w.plan(t, telamon.RevocationFilter{Domain: "example.com", Tree: true}, telamon.ReasonSuperseded)
			_, err := w.BeginRevocation(t.Context(), ada, plan.ID)
			must(t, err)
			w.clock.Advance(2 * time.Minute)
			if done := w.work(t, plan.ID); done.Revoked != 23 {
				t.Errorf("%d are revoked, want 23", done.Revoked)
			}
			if left := w.plan(t, telamon.RevocationFilter{Key: hashOf("a")}, telamon.ReasonSuperseded); left.Matched != 13 {
				t.Errorf("%d are left, want 13", left.Matched)
			}
		})
		t.Run("expired ones do not count", func(t *testing.T) {
			w.clock.Advance(400 * 24 * time.Hour)
			if left := w.plan(t, telamon.RevocationFilter{Key: hashOf("a")}, telamon.ReasonSuperseded); left.Matched != 0 {
				t.Errorf("%d are left, want none", left.Matched)
			}
		})
	})
}

// TestPlanRefusals plans nothing.
func TestPlanRefusals(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		early, late := w.clock.Now(), w.clock.Now().Add(time.Hour)
		good, superseded := telamon.RevocationFilter{Domain: "example.com"}, staff.Revocation{Reason: telamon.ReasonSuperseded}
		for _, tt := range []struct {
			name   string
			filter telamon.RevocationFilter
			rev    staff.Revocation
			path   string
		}{
			{"everything", telamon.RevocationFilter{}, superseded, "filter"},
			{"a key that is none", telamon.RevocationFilter{Key: "00"}, superseded, "filter.key"},
			{"a domain that is none", telamon.RevocationFilter{Domain: "a b"}, superseded, "filter.domain"},
			{"the tree of a wildcard", telamon.RevocationFilter{Domain: "*.example.com", Tree: true}, superseded, "filter.domain"},
			{"a tree without a domain", telamon.RevocationFilter{Tree: true}, superseded, "filter.tree"},
			{"an end before the beginning", telamon.RevocationFilter{From: &late, Until: &early}, superseded, "filter.until"},
			{"no reason", good, staff.Revocation{}, "reason"},
			{"an unknown reason", good, staff.Revocation{Reason: "removeFromCRL"}, "reason"},
			{"a compromise to come", good, staff.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: late}, "compromised_at"},
			{"a compromise before there was the web", good, staff.Revocation{
				Reason: telamon.ReasonKeyCompromise, CompromisedAt: telamon.FirstCompromise.Add(-time.Second),
			}, "compromised_at"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				_, err := w.PlanRevocation(t.Context(), ada, tt.filter, tt.rev)
				mustBe(t, err, fault.Invalid, "invalid_member")
				if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != tt.path {
					t.Errorf("the fields are %v, want %s", f.Fields, tt.path)
				}
			})
		}
		_, err := w.PlanRevocation(t.Context(), telamon.Actor{Kind: telamon.ActorCredential}, good, superseded)
		mustBe(t, err, fault.Denied, "access_denied")
		_, err = w.BulkRevocation(t.Context(), ada, telamon.NewBulkID())
		mustBe(t, err, fault.NotFound, "revocation_not_found")
		_, err = w.BeginRevocation(t.Context(), ada, telamon.NewBulkID())
		mustBe(t, err, fault.NotFound, "revocation_not_found")
		if all, err := w.BulkRevocations(t.Context(), ada, store.Page{Limit: 9}); err != nil || len(all) != 0 {
			t.Errorf("the refusals left %d plans, %v", len(all), err)
		}
	})
}
