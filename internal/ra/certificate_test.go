package ra_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestOtherPairs checks that nothing of a certificate can be seen or done by any
// pair but its own, not even by one of the same account, subscription or identity.
func TestOtherPairs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c := w.customer(t, metered(), 9)
		serial := c.issue(t, "www.example.com")
		sameSubscription, sameIdentity := *c, w.customer(t, metered(), 9)
		sameSubscription.credential = c.newCredential(t, w.newIdentity(t, time.Time{}))
		for name, other := range map[string]*customer{"same subscription": &sameSubscription, "same identity": sameIdentity} {
			t.Run(name, func(t *testing.T) {
				_, _, err := w.ra.Certificate(ctx, other.actor(), serial)
				mustBe(t, err, fault.NotFound, "certificate_not_found")
				_, _, unknown := w.ra.Certificate(ctx, other.actor(), telamon.NewSerial(w.clock.Now()))
				if unknown == nil || err == nil || err.Error() != unknown.Error() {
					t.Errorf("another pair's certificate reports %v, and none %v", err, unknown)
				}
				actor := other.actor()
				mustBe(t, w.ra.Revoke(ctx, actor, serial, ra.Revocation{Reason: telamon.ReasonUnspecified}), fault.NotFound, "certificate_not_found")
				w.mustAudit(t, actor, "certificate.revoke", serial.String(), "certificate_not_found")
				if s := other.standing(t); s.issued != 0 || s.listed != 0 || s.expiring != 0 {
					t.Errorf("the other pair sees %+v", s)
				}
			})
		}
		t.Run("same pair", func(t *testing.T) {
			second := *c
			second.credential = c.newCredential(t, w.identity)
			if entry, _ := second.certificate(t, serial); entry.Credential != c.credential.ID || entry.Status != telamon.StatusIssued {
				t.Errorf("another credential of the pair sees %+v", entry)
			}
		})
	})
}

// TestRevoke revokes for each reason, once.
func TestRevoke(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c := w.customer(t, metered(), 20)
		for _, reason := range telamon.RevocationReasons {
			t.Run(string(reason), func(t *testing.T) {
				serial := c.issue(t, "www.example.com")
				w.clock.Advance(time.Minute)
				before, actor, at := c.standing(t), c.actor(), w.clock.Now()
				must(t, w.ra.Revoke(ctx, actor, serial, ra.Revocation{Reason: reason, CompromisedAt: at.Add(-time.Hour)}))
				entry, _ := c.certificate(t, serial)
				want := telamon.Revocation{At: at, Reason: reason}
				if reason == telamon.ReasonKeyCompromise { // the time is read for no other reason
					want.CompromisedAt = at.Add(-time.Hour)
				}
				if entry.Status != telamon.StatusRevoked || *entry.Revocation != want || !entry.UpdatedAt.Equal(at) {
					t.Errorf("the certificate is %s of %s with %+v, want %+v", entry.Status, entry.UpdatedAt, entry.Revocation, want)
				}
				w.mustAudit(t, actor, "certificate.revoke", serial.String(), "ok")
				before.revoked++
				c.mustStand(t, before)

				w.clock.Advance(time.Minute)
				again := c.actor()
				err := w.ra.Revoke(ctx, again, serial, ra.Revocation{Reason: telamon.ReasonSuperseded})
				mustBe(t, err, fault.Conflict, fault.CodeAlreadyRevoked)
				w.mustAudit(t, again, "certificate.revoke", serial.String(), fault.CodeAlreadyRevoked)
				if still, _ := c.certificate(t, serial); *still.Revocation != want || !still.UpdatedAt.Equal(at) {
					t.Errorf("a second revocation changed it to %+v", still.Revocation)
				}
				c.mustStand(t, before)
			})
		}
	})
}

// TestRevokeRefusals changes nothing.
func TestRevokeRefusals(t *testing.T) {
	other := newKey(t)
	each(t, func(t *testing.T, w *world) {
		strictSpec := unlimited(domainAlone...)
		strictSpec.StrictContent = true
		c, strict := w.customer(t, metered(), 20), w.customer(t, strictSpec, 0)
		at := w.clock.Now()
		for _, tt := range []struct {
			name string
			c    *customer
			rev  ra.Revocation
			path string
		}{
			{"no reason", c, ra.Revocation{}, "revocation_reason"},
			{"unknown reason", c, ra.Revocation{Reason: "removeFromCRL"}, "revocation_reason"},
			{"reason of private services alone", strict, ra.Revocation{Reason: telamon.ReasonPrivilegeWithdrawn}, "revocation_reason"},
			{"compromise in the future", c, ra.Revocation{
				Reason: telamon.ReasonKeyCompromise, CompromisedAt: at.Add(301 * time.Second),
			}, "revocation_time"},
			{"attestation by another key", c, ra.Revocation{
				Reason: telamon.ReasonKeyCompromise, Attestation: other.csr,
			}, "key_compromise_attestation"},
			{"attestation that is no CSR", c, ra.Revocation{
				Reason: telamon.ReasonKeyCompromise, Attestation: other.public,
			}, "key_compromise_attestation"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				serial := tt.c.issue(t, "www.example.com")
				before, actor := tt.c.standing(t), tt.c.actor()
				err := w.ra.Revoke(t.Context(), actor, serial, tt.rev)
				mustBe(t, err, fault.Invalid, "invalid_member")
				mustName(t, err, tt.path)
				w.mustAudit(t, actor, "certificate.revoke", serial.String(), "invalid_member")
				tt.c.mustStand(t, before)
				if entry, _ := tt.c.certificate(t, serial); entry.Status != telamon.StatusIssued || entry.Revocation != nil {
					t.Errorf("the certificate is %s with %+v", entry.Status, entry.Revocation)
				}
			})
		}
		t.Run("unknown serial number", func(t *testing.T) {
			actor, serial := c.actor(), telamon.NewSerial(at)
			err := w.ra.Revoke(t.Context(), actor, serial, ra.Revocation{})
			mustBe(t, err, fault.NotFound, "certificate_not_found")
			w.mustAudit(t, actor, "certificate.revoke", serial.String(), "certificate_not_found")
		})
	})
}

// TestAttestation proves the compromise of a key, at once and later on.
func TestAttestation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c := w.customer(t, metered(), 20)
		at := w.clock.Now()
		attested := ra.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: at.Add(300 * time.Second)}
		issue := func() telamon.Serial { // for a new key, which attests
			t.Helper()
			key := newKey(t)
			attested.Attestation = key.csr
			serial, err := w.ra.Issue(ctx, c.actor(), request(key.csr, "www.example.com"))
			must(t, err)
			return serial
		}
		check := func(t *testing.T, serial telamon.Serial, revoked time.Time) {
			t.Helper()
			want := telamon.Revocation{At: revoked, Reason: telamon.ReasonKeyCompromise, CompromisedAt: attested.CompromisedAt, Attested: true}
			if entry, _ := c.certificate(t, serial); entry.Revocation == nil || *entry.Revocation != want {
				t.Errorf("the revocation is %+v, want %+v", entry.Revocation, want)
			}
			mustBe(t, w.ra.Revoke(ctx, c.actor(), serial, attested), fault.Conflict, fault.CodeAlreadyRevoked)
		}
		t.Run("at once", func(t *testing.T) {
			serial := issue()
			must(t, w.ra.Revoke(ctx, c.actor(), serial, attested))
			check(t, serial, at)
		})
		t.Run("after another reason", func(t *testing.T) {
			serial := issue()
			must(t, w.ra.Revoke(ctx, c.actor(), serial, ra.Revocation{Reason: telamon.ReasonSuperseded}))
			w.clock.Advance(time.Minute)
			before := c.standing(t)
			must(t, w.ra.Revoke(ctx, c.actor(), serial, attested))
			check(t, serial, at)
			c.mustStand(t, before)
		})
		t.Run("for another reason it is not read", func(t *testing.T) {
			serial := issue()
			must(t, w.ra.Revoke(ctx, c.actor(), serial, ra.Revocation{Reason: telamon.ReasonSuperseded, Attestation: "no CSR"}))
			if entry, _ := c.certificate(t, serial); entry.Revocation.Attested {
				t.Error("the revocation is attested")
			}
		})
	})
}

// TestRevokeAtOnce lets twenty revoke the same certificate: one does.
func TestRevokeAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 20)
		serial := c.issue(t, "www.example.com")
		errs := make([]error, 20)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				errs[i] = w.ra.Revoke(t.Context(), c.actor(), serial, ra.Revocation{Reason: telamon.ReasonSuperseded})
			})
		}
		all.Wait()
		done := 0
		for _, err := range errs {
			if err == nil {
				done++
				continue
			}
			mustBe(t, err, fault.Conflict, fault.CodeAlreadyRevoked)
		}
		if s := c.standing(t); done != 1 || s.revoked != 1 {
			t.Errorf("%d revoked it, and %d are counted", done, s.revoked)
		}
	})
}

// list returns the serial numbers of a page, and the total.
func (c *customer) list(t testing.TB, l store.Listing, from, to time.Time, page, perPage int64) ([]telamon.Serial, int64) {
	t.Helper()
	rows, total, err := c.w.ra.List(t.Context(), c.actor(), l, from, to, page, perPage)
	must(t, err)
	var serials []telamon.Serial
	for _, row := range rows {
		entry, _ := c.certificate(t, row.Serial) // only what can be retrieved is listed
		if !row.NotBefore.Equal(entry.NotBefore) || !row.NotAfter.Equal(entry.NotAfter) {
			t.Errorf("%s is listed as %s to %s", row.Serial, row.NotBefore, row.NotAfter)
		}
		serials = append(serials, row.Serial)
	}
	return serials, total
}

// TestStatistics lists by each time, with inclusive bounds, and by pages.
func TestStatistics(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c, other := w.customer(t, metered(), 50), w.customer(t, metered(), 50)
		const life = 7776000 * time.Second
		start := w.clock.Now()
		var all []telamon.Serial
		for range 6 { // one a second, at half of it: times are rounded down
			w.clock.Advance(500 * time.Millisecond)
			all = append(all, c.issue(t, "www.example.com"))
			other.issue(t, "other.example.com")
			w.clock.Advance(500 * time.Millisecond)
		}
		want := func(what string, l store.Listing, from, to time.Time, serials []telamon.Serial) {
			t.Helper()
			got, total := c.list(t, l, from, to, 1, 100)
			if !slices.Equal(got, serials) || total != int64(len(serials)) {
				t.Errorf("%s: %d of %d are listed: %v, want %v", what, len(got), total, got, serials)
			}
		}
		second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
		want("all issued", store.Issued, start, second(5), all)
		want("both bounds", store.Issued, second(1), second(3), all[1:4])
		want("one second", store.Issued, second(2), second(2), all[2:3])
		want("before", store.Issued, second(-10), second(-1), nil)
		want("after", store.Issued, second(6), second(10), nil)
		want("all expiring", store.Expiring, start.Add(life), second(5).Add(life), all)
		want("some expiring", store.Expiring, second(4).Add(life), second(9).Add(life), all[4:])
		want("none revoked", store.Revoked, start, second(60), nil)

		w.clock.Advance(54 * time.Second)
		for _, i := range []int{4, 1} {
			must(t, w.ra.Revoke(t.Context(), c.actor(), all[i], ra.Revocation{Reason: telamon.ReasonSuperseded}))
			w.clock.Advance(2 * time.Second)
		}
		want("revoked in their order", store.Revoked, second(60), second(62), []telamon.Serial{all[4], all[1]})
		want("revoked first", store.Revoked, second(60), second(61), all[4:5])
		want("issued with the revoked ones", store.Issued, start, second(5), all)
		want("expiring with the revoked ones", store.Expiring, start.Add(life), second(5).Add(life), all)

		w.clock.Advance(life) // what has expired is listed still
		want("expired", store.Expiring, start.Add(life), second(5).Add(life), all)
	})
}

// TestPages goes through the pages of certificates of few seconds.
func TestPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, unlimited(), 0)
		start := w.clock.Now()
		const count = 7
		for i := range count {
			c.issue(t, "www.example.com")
			if i%3 == 2 {
				w.clock.Advance(time.Second)
			}
		}
		all, total := c.list(t, store.Issued, start, start.Add(time.Minute), 1, 100)
		if total != count || len(all) != count {
			t.Fatalf("%d of %d are listed, want %d", len(all), total, count)
		}
		var paged []telamon.Serial
		for page := int64(1); page <= 4; page++ {
			got, total := c.list(t, store.Issued, start, start.Add(time.Minute), page, 3)
			if total != count || len(got) != []int{3, 3, 1, 0}[page-1] {
				t.Errorf("page %d has %d of %d", page, len(got), total)
			}
			paged = append(paged, got...)
		}
		if !slices.Equal(paged, all) {
			t.Errorf("the pages have %v, and the whole list %v", paged, all)
		}
		if got, total := c.list(t, store.Issued, start, start.Add(time.Minute), 1<<62, 100); len(got) != 0 || total != count {
			t.Errorf("a page far past the end has %d of %d", len(got), total)
		}
	})
}

// TestCounters counts for the pair and at once, for all times.
func TestCounters(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 9)
		if got := c.standing(t); got != (standing{quota: 9}) {
			t.Errorf("a new customer stands at %+v", got)
		}
		serials := []telamon.Serial{c.issue(t, "a.example"), c.issue(t, "b.example")}
		w.clock.Advance(200 * 24 * time.Hour)
		serials = append(serials, c.issue(t, "c.example"))
		must(t, w.ra.Revoke(t.Context(), c.actor(), serials[0], ra.Revocation{Reason: telamon.ReasonUnspecified}))
		if got, want := c.standing(t), (standing{issued: 3, revoked: 1, quota: 6, listed: 3, expiring: 3}); got != want {
			t.Errorf("the customer stands at %+v, want %+v", got, want)
		}
		// Quota is of the subscription, and counters are of the pair.
		second := *c
		second.credential = c.newCredential(t, w.newIdentity(t, time.Time{}))
		if got := second.standing(t); got != (standing{quota: 6}) {
			t.Errorf("another pair of the subscription stands at %+v", got)
		}
	})
}

// TestPolicy gives the template with the identity's data, and follows the service.
func TestPolicy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 9)
		organization := func() string {
			t.Helper()
			p, err := w.ra.Policy(t.Context(), c.actor())
			must(t, err)
			return p.Model().SubjectDN.Strings["organization"].Format
		}
		if got := organization(); got != "Acme K.K." {
			t.Errorf("the organization is %q, want the identity's", got)
		}
		c.change(t, iam.ServiceSpec{PolicyTemplate: template("{{identity.organization}}", "Another")})
		if got := organization(); got != "Another" {
			t.Errorf("the organization is %q after the service was changed", got)
		}
		if left := c.standing(t).quota; left != 9 {
			t.Errorf("the quota is %d after the service was changed", left)
		}
	})
}
