package portal_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/iam"
)

// offer sends an account a quote of a new service.
func (w *town) offer(t *testing.T, account telamon.AccountID, name string, trial bool) *telamon.Quote {
	t.Helper()
	service := got(w.iam.CreateService(t.Context(), townOperator, iam.ServiceSpec{Name: name, PolicyTemplate: []byte(townPolicy), Series: "tls-ec"}))(t)
	line := commerce.Line{Service: service.ID, Amount: 1200, Price: 125_000, Trial: trial}
	if trial {
		line.Price = 0
	}
	q := got(w.commerce.CreateQuote(t.Context(), townOperator, account, commerce.QuoteSpec{
		Currency: "EUR", Note: "As we spoke about.", Lines: []commerce.Line{line},
	}))(t)
	return got(w.commerce.SendQuote(t.Context(), townOperator, account, q.ID))(t)
}

// TestQuotePages goes from an offer to a pack, and from a pack to a reorder, without scripts.
func TestQuotePages(t *testing.T) {
	w := newTown(t)
	owner := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	q := w.offer(t, account, "Business TLS", false)
	trial := w.offer(t, account, "Trial TLS", true)
	path := "/quotes/" + q.ID.String()
	if a := owner.get(t, "/quotes"); !strings.Contains(a.body, path) || !strings.Contains(a.body, "1250.00 EUR") {
		t.Errorf("the list is\n%s", a.body)
	}
	if a := owner.get(t, path); !strings.Contains(a.body, "Business TLS") || !strings.Contains(a.body, "1,200") || !strings.Contains(a.body, path+"/accept") {
		t.Errorf("the quote is\n%s", a.body)
	}
	const qte01 = `Tick both boxes and give a PO number or &#34;no PO&#34;.`
	a := owner.post(t, http.StatusUnprocessableEntity, path+"/accept", "po_number", "PO-4711", "quote", "yes")
	if !strings.Contains(a.body, qte01) || !strings.Contains(a.body, `value="PO-4711"`) {
		t.Errorf("an answer that lacks a box is answered with\n%s", a.body)
	}
	if a := owner.post(t, http.StatusUnprocessableEntity, path+"/accept", "quote", "yes", "terms", "4.1", "no_po", "yes"); !strings.Contains(a.body, "The terms have changed") {
		t.Error("other terms are accepted")
	}
	finance := w.member(t, account, "finance@northwind.example", "finance")
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	if a := reader.get(t, path); a.status != http.StatusOK || strings.Contains(a.body, "/accept") {
		t.Errorf("somebody who may only read gets %d", a.status)
	}
	reader.post(t, http.StatusForbidden, path+"/accept", "quote", "yes", "terms", w.commerce.Terms(), "no_po", "yes")
	stranger := w.admin(t, "eve@globex.example", "Globex")
	for _, at := range []string{path, path + "/accept"} {
		if a := stranger.send(t, map[bool]string{true: http.MethodPost, false: http.MethodGet}[strings.HasSuffix(at, "accept")], at, nil); a.status != http.StatusNotFound {
			t.Errorf("%s answers another account with %d", at, a.status)
		}
	}
	for range 2 { // pressing twice buys once
		finance.post(t, http.StatusSeeOther, path+"/accept", "quote", "yes", "terms", w.commerce.Terms(), "po_number", "PO-4711")
	}
	if a := owner.get(t, path); strings.Contains(a.body, "/accept\"") || !strings.Contains(a.body, "PO-4711") || !strings.Contains(a.body, "finance@northwind.example") {
		t.Errorf("the accepted quote is\n%s", a.body)
	}
	finance.post(t, http.StatusSeeOther, "/quotes/"+trial.ID.String()+"/accept", "quote", "yes", "terms", w.commerce.Terms(), "no_po", "yes")

	products := got(w.commerce.Products(t.Context(), townOperator, account))(t)
	if len(products) != 2 || products[0].Left != got(w.db.Remaining(t.Context(), products[0].Subscription.ID))(t) || products[0].Left != 1200 {
		t.Fatalf("the products are %+v", products)
	}
	pack, tried := products[0].Packs[0].ID.String(), products[1].Packs[0].ID.String()
	a = owner.get(t, "/services")
	if !strings.Contains(a.body, "/services/packs/"+pack+"/reorder") || strings.Contains(a.body, tried+"/reorder") || !strings.Contains(a.body, "1,200") {
		t.Errorf("the services are\n%s", a.body)
	}
	owner.post(t, http.StatusConflict, "/services/packs/"+tried+"/reorder")
	stranger.post(t, http.StatusNotFound, "/services/packs/"+pack+"/reorder")
	reader.post(t, http.StatusForbidden, "/services/packs/"+pack+"/reorder")
	if a := owner.get(t, "/services/packs/"+pack+"/reorder"); a.status != http.StatusOK || !strings.Contains(a.body, "1250.00 EUR") {
		t.Errorf("asking for a reorder gives %d", a.status)
	}
	a = owner.post(t, http.StatusSeeOther, "/services/packs/"+pack+"/reorder")
	if to := a.header.Get("Location"); !strings.HasPrefix(to, "/quotes/quo_") || !strings.Contains(owner.get(t, to).body, to+"/accept") {
		t.Errorf("a reorder leads to %s", to)
	}
}
