package portal_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
)

// operatorGuest signs in somebody of the CA's own staff, who runs it.
func (w *town) operatorGuest(t testing.TB) *guest {
	t.Helper()
	return w.operator(t, w.staff(t, "Example Trust"), "olga@trust.example", authz.RoleCAOperator)
}

var quoteID = regexp.MustCompile(`quo_[a-z0-9]{26}`)

// TestOperatorPages has staff look after an account and sell to it.
func TestOperatorPages(t *testing.T) {
	w := newTown(t)
	owner := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	service := got(w.iam.CreateService(t.Context(), townOperator, iam.ServiceSpec{Name: "Business TLS", PolicyTemplate: []byte(townPolicy), Series: "tls-ec"}))(t)
	at := "/operator/accounts/" + account.String()
	for _, path := range []string{"/operator/accounts", at, "/operator/quotes", "/operator/quotes/new?account=" + account.String(), at + "/disable"} {
		if a := owner.get(t, path); a.status != http.StatusNotFound && a.status != http.StatusForbidden {
			t.Errorf("GET %s answers an account's administrator with %d", path, a.status)
		}
	}
	owner.post(t, http.StatusNotFound, at+"/grant", "service", service.ID.String(), "amount", "5", "ends_at", "2030-01-01")

	o := w.operatorGuest(t)
	if a := o.get(t, "/operator/accounts?q=NORTH"); a.status != http.StatusOK || !strings.Contains(a.body, at) {
		t.Errorf("the accounts are %d\n%s", a.status, a.body)
	}
	if a := o.post(t, http.StatusUnprocessableEntity, at+"/grant", "service", service.ID.String(), "amount", "0", "ends_at", "2020-01-01"); strings.Count(a.body, `aria-invalid="true"`) != 2 {
		t.Errorf("a wrong grant is answered with\n%s", a.body)
	}
	o.post(t, http.StatusSeeOther, at+"/grant", "service", service.ID.String(), "amount", "5", "ends_at", "2030-01-01")
	o.post(t, http.StatusSeeOther, at+"/grant", "service", service.ID.String(), "amount", "7", "ends_at", "2030-01-01")
	if p := got(w.commerce.Products(t.Context(), townOperator, account))(t); len(p) != 1 || p[0].Left != 12 {
		t.Errorf("the grants have made %+v", p)
	}
	if a := o.get(t, at); a.status != http.StatusOK || !strings.Contains(a.body, "Business TLS") {
		t.Errorf("the account is %d\n%s", a.status, a.body)
	}

	line := []string{"account", account.String(), "currency", "EUR", "lines[0].service", service.ID.String(), "lines[0].amount", "100", "lines[0].months", "12", "lines[0].price"}
	o.post(t, http.StatusUnprocessableEntity, "/operator/quotes/new", append(line, "12,50")...)
	o.post(t, http.StatusUnprocessableEntity, "/operator/quotes/new", "account", account.String(), "currency", "EUR")
	made := o.post(t, http.StatusSeeOther, "/operator/quotes/new", append(line, "12.50")...)
	quote := made.header.Get("Location")
	id := quoteID.FindString(quote)
	if a := owner.get(t, "/quotes/"+id); a.status != http.StatusNotFound {
		t.Errorf("the account sees a draft: %d", a.status)
	}
	o.post(t, http.StatusSeeOther, quote+"/send")
	if a := owner.get(t, "/quotes/"+id); a.status != http.StatusOK {
		t.Errorf("the account does not see what was sent: %d", a.status)
	}
	o.post(t, http.StatusConflict, quote+"/clear")
	o.post(t, http.StatusUnprocessableEntity, quote+"/cancel", "reason", "")
	o.post(t, http.StatusSeeOther, quote+"/cancel", "reason", "Another offer follows.")
	if a := o.get(t, "/operator/quotes?state=cancelled"); !strings.Contains(a.body, quote) || !strings.Contains(a.body, "Northwind") {
		t.Errorf("the quotes are\n%s", a.body)
	}

	o.post(t, http.StatusSeeOther, at+"/disable")
	if a := got(w.iam.Account(t.Context(), townOperator, account))(t); a.State != telamon.Disabled {
		t.Errorf("the account is %s", a.State)
	}
	o.post(t, http.StatusSeeOther, at+"/enable")
	w.clock.Advance(authz.FreshFor)
	a := o.post(t, http.StatusSeeOther, at+"/disable")
	if now := got(w.iam.Account(t.Context(), townOperator, account))(t); now.State != telamon.Active || !strings.HasPrefix(a.header.Get("Location"), "/second-factor") {
		t.Errorf("with a stale second factor the account becomes %s", now.State)
	}
}
