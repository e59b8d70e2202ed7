package playground_test

import (
	"net/http"
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
