package playground_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/iam"
)

// TestQuotaInParallel has 50 requests at once draw from a quota of 10.
func TestQuotaInParallel(t *testing.T) {
	t.Parallel()
	const amount, requests = 10, 50
	each(t, func(t *testing.T, w *world) {
		ctx, use := t.Context(), w.App.IAM
		account, _, _ := w.parts(t, "dev_pkcs10")
		like, err := use.ServiceNamed(ctx, operator, "dev_pkcs10")
		if err != nil {
			t.Fatal(err)
		}
		service, err := use.CreateService(ctx, operator, iam.ServiceSpec{Name: "small", PolicyTemplate: like.PolicyTemplate, Series: "tls-rsa"})
		if err != nil {
			t.Fatal(err)
		}
		subscription, err := use.Subscribe(ctx, operator, account, service.ID)
		if err != nil {
			t.Fatal(err)
		}
		_, err = use.GrantQuota(ctx, operator, iam.Grant{
			Account: account, Subscription: subscription.ID, Amount: amount, EndsAt: w.clock.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		m := w.addMember(t, iam.CredentialSpec{Name: "small", Subscription: subscription.ID})
		c := w.connectMember(m)
		if a := c.login(m.Key, m.secret); a.status != http.StatusOK {
			t.Fatalf("login: %s", a)
		}
		request, answers := plainRequest(t), make([]*answer, requests)
		var work sync.WaitGroup
		for i := range answers {
			work.Go(func() { answers[i] = c.do(http.MethodPost, "/certificates", request) })
		}
		work.Wait()
		statuses, locations := map[int]int{}, map[string]bool{}
		for _, a := range answers {
			statuses[a.status]++
			switch a.status {
			case http.StatusCreated:
				locations[a.header.Get("Location")] = true
			case http.StatusPaymentRequired:
				if a.header.Get("Content-Type") != "application/problem+json;charset=utf-8" || string(a.body) != `{"description":"Quota Reached"}` {
					t.Errorf("refused with %s, %v", a, a.header)
				}
			default:
				t.Errorf("request: %s", a)
			}
		}
		if statuses[http.StatusCreated] != amount || statuses[http.StatusPaymentRequired] != requests-amount || len(locations) != amount {
			t.Errorf("statuses %v, and %d locations", statuses, len(locations))
		}
		for location := range locations {
			if a := c.do(http.MethodGet, location[len("/v2"):], nil); a.member("status") != "ISSUED" {
				t.Errorf("%s: %s", location, a)
			}
		}
		for path, want := range map[string]string{"/quotas/issuance": "0", "/counters/certificates/issued": "10"} {
			if a := c.do(http.MethodGet, path, nil); a.member("value") != want {
				t.Errorf("%s: %s, want %s", path, a, want)
			}
		}
	})
}

// TestRevocationsInParallel revokes one certificate in both ways at once, while
// others are issued for its key.
func TestRevocationsInParallel(t *testing.T) {
	t.Parallel()
	const times = 10
	each(t, func(t *testing.T, w *world) {
		c := w.loggedIn("dev_pkcs10")
		serial, _ := c.issue(t, plainRequest(t))
		key, reason := plainRequest(t)["public_key"], map[string]any{"revocation_reason": "superseded"}
		var patched, deleted, rekeyed [times]*answer
		var work sync.WaitGroup
		for i := range times {
			work.Go(func() { patched[i] = c.do(http.MethodPatch, "/certificates/"+serial, reason) })
			work.Go(func() { deleted[i] = c.do(http.MethodDelete, "/certificates/"+serial, nil) })
			work.Go(func() {
				rekeyed[i] = c.do(http.MethodPost, "/certificates/"+serial+"/rekey", map[string]any{"public_key": key})
			})
		}
		work.Wait()
		done, rekeys := 0, 0
		for i := range times {
			for _, one := range []struct {
				answer    *answer
				did, late int
				count     *int
			}{
				{patched[i], http.StatusNoContent, http.StatusPreconditionFailed, &done},
				{deleted[i], http.StatusNoContent, http.StatusConflict, &done},
				{rekeyed[i], http.StatusCreated, http.StatusUnprocessableEntity, &rekeys},
			} {
				switch one.answer.status {
				case one.did:
					*one.count++
				case one.late:
				default:
					t.Errorf("%s, want status %d or %d", one.answer, one.did, one.late)
				}
			}
		}
		if done != 1 {
			t.Errorf("%d revocations succeeded, want 1", done)
		}
		if a := c.do(http.MethodGet, "/counters/certificates/revoked", nil); a.member("value") != "1" {
			t.Errorf("the counter of revoked certificates: %s", a)
		}
		if a := c.do(http.MethodGet, "/counters/certificates/issued", nil); a.member("value") != strconv.Itoa(2+rekeys) {
			t.Errorf("the counter of issued certificates after %d rekeys: %s", rekeys, a)
		}
		if a := c.do(http.MethodPost, "/certificates/"+serial+"/rekey", map[string]any{"public_key": key}); a.status != http.StatusUnprocessableEntity {
			t.Errorf("a rekey of what is revoked: %s", a)
		}
	})
}
