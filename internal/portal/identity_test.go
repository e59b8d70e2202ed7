package portal_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestIdentityPages requests an identity, from the question of its type to its withdrawal.
func TestIdentityPages(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	g.wants(t, "/identities", "No identities yet", "/identities/new")
	g.wants(t, "/identities/new", "No active product matches this profile type.")
	g.post(t, http.StatusConflict, "/identities/new", "type", "tls_ov", "name", "x", "data.organization", "x", "data.locality", "x", "data.country", "GB")
	w.equip(t, account)
	g.wants(t, "/identities/new", `value="tls_ov" checked`, `value="tls_dv" disabled`)
	form := g.wants(t, "/identities/new?type=tls_ov", `name="data.organization"`, "Germany (DE)", "Åland Islands (AX)")
	if strings.Contains(form.body, "organizational_unit") || strings.Contains(form.body, `name="owner"`) {
		t.Error("the form of a server's identity asks for a unit, or an account that has no customers for whose it is")
	}
	long := strings.Repeat("京", 65)
	refused := g.post(t, http.StatusUnprocessableEntity, "/identities/new", "type", "tls_ov", "name", "Tokyo <b>", "data.organization", long, "data.locality", "-", "data.country", "XX")
	for _, want := range []string{`href="#f-data.organization"`, `href="#f-data.locality"`, `href="#f-data.country"`, "Tokyo &lt;b&gt;", long} {
		if !strings.Contains(refused.body, want) {
			t.Errorf("what is wrong lacks %s", want)
		}
	}
	made := g.post(t, http.StatusSeeOther, "/identities/new", "type", "tls_ov", "name", "Tokyo", "data.organization", "東京ガス株式会社", "data.locality", "東京", "data.state", "", "data.country", "JP")
	here := made.header.Get("Location")
	g.wants(t, here, "東京ガス株式会社", "Japan (JP)", here+"/edit", here+"/submit", "A submitted profile cannot be changed")
	g.wants(t, here+"/edit", "東京", `value="Tokyo"`)
	g.post(t, http.StatusUnprocessableEntity, here+"/edit", "name", "", "data.organization", "x", "data.locality", "x", "data.country", "JP")
	g.post(t, http.StatusSeeOther, here+"/edit", "name", "Osaka", "data.organization", "大阪ガス株式会社", "data.locality", "大阪", "data.country", "JP")
	g.post(t, http.StatusSeeOther, here+"/submit")
	queued := g.wants(t, here, "Osaka", "Queued for vetting", "VET-2026-000001", "Tell your reception")
	if strings.Contains(queued.body, here+"/edit") || strings.Contains(queued.body, here+"/withdraw") {
		t.Error("what was submitted can be edited or withdrawn")
	}
	for _, path := range []string{"/edit", "/submit"} { // IDN-01
		a := g.post(t, http.StatusConflict, here+path, "name", "Kyoto", "data.organization", "x", "data.locality", "x", "data.country", "JP")
		if !strings.Contains(a.body, "A submitted profile cannot be changed. Submit a new one.") || !strings.Contains(a.body, "IDN-01") {
			t.Errorf("%s says\n%s", path, a.body)
		}
	}
	if a := g.get(t, here+"/edit"); a.status != http.StatusSeeOther {
		t.Errorf("editing what was submitted = %d", a.status)
	}

	id := telamon.IdentityID(strings.TrimPrefix(here, "/identities/"))
	for _, to := range []telamon.IdentityState{telamon.IdentityProcessed, telamon.IdentityActive} {
		must(t, w.iam.MoveIdentity(t.Context(), townOperator, account, id, iam.IdentityMove{To: to, ExpiresAt: w.clock.Now().AddDate(0, 1, 0)}))
	}
	g.wants(t, here, "Approved", "Have it vetted again", here+"/withdraw", here+"/requesters")
	g.post(t, http.StatusSeeOther, here+"/vet-again")
	if a := g.wants(t, here, "VET-2026-000002"); strings.Contains(a.body, "/vet-again") {
		t.Error("it can be vetted again twice at once")
	}
	g.post(t, http.StatusConflict, here+"/vet-again")
	people(t, w, g, account, here)
	g.wants(t, "/identities?state=active&q=osaka", "Osaka")
	if a := g.get(t, "/identities/list.csv?state=active"); a.header.Get("Content-Type") != "text/csv; charset=utf-8" || strings.Count(a.body, "\n") != 3 || !strings.Contains(a.body, "大阪ガス株式会社") {
		t.Errorf("the file is %v\n%s", a.header, a.body)
	}
	g.wants(t, here+"/withdraw", "大阪ガス株式会社", "at once and for good")
	g.post(t, http.StatusSeeOther, here+"/withdraw")
	g.wants(t, here, "Withdrawn")
	g.post(t, http.StatusConflict, here+"/withdraw")
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	reader.wants(t, here, "Osaka")
	for _, path := range []string{"/identities/new", here + "/withdraw", here + "/requesters", here + "/edit"} {
		if a := reader.get(t, path); a.status != http.StatusForbidden {
			t.Errorf("GET %s for a reader = %d", path, a.status)
		}
	}
	reader.post(t, http.StatusForbidden, here+"/submit")
	reader.post(t, http.StatusForbidden, here+"/requesters", "who", "any")
}

// people says who may request for an identity (requirement 32).
func people(t *testing.T, w *town, g *guest, account telamon.AccountID, here string) {
	t.Helper()
	w.member(t, account, "mia@northwind.example", "manage_certificates")
	users := got(w.iam.Users(t.Context(), townOperator, account, store.Page{Limit: 9}))(t)
	page := g.wants(t, here+"/requesters", "mia@northwind.example", ada)
	if !strings.Contains(page.body, `value="any" checked`) {
		t.Error("at first not everybody may request")
	}
	if a := g.post(t, http.StatusUnprocessableEntity, here+"/requesters", "who", "some"); !strings.Contains(a.body, `href="#f-user"`) {
		t.Error("nobody is chosen, and the page does not say so")
	}
	g.post(t, http.StatusSeeOther, here+"/requesters", "who", "some", "user", users[0].ID.String())
	if a := g.wants(t, here, users[0].Email); strings.Contains(a.body, users[1].Email) {
		t.Error("the page names somebody who may not")
	}
	if a := g.send(t, http.MethodPost, here+"/requesters", url.Values{"who": {"some"}, "user": {"usr_x"}}); a.status != http.StatusNotFound {
		t.Errorf("an ID that is none = %d", a.status)
	}
	g.post(t, http.StatusSeeOther, here+"/requesters", "who", "any")
}

// TestCustomerIdentity holds that a service provider says whose an identity is
// (requirement 11).
func TestCustomerIdentity(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	got(w.raw.ExecContext(t.Context(), "UPDATE account_profile SET kind = 'service_provider' WHERE account_id = ?", account.String()))(t)
	g.wants(t, "/identities/new?type=tls_ov", `name="owner"`, `name="customer.email"`)
	form := []string{"type", "tls_ov", "name", "Globex", "data.organization", "Globex Ltd", "data.locality", "Leeds", "data.country", "GB", "owner", "customer"}
	if a := g.post(t, http.StatusUnprocessableEntity, "/identities/new", form...); !strings.Contains(a.body, `href="#f-customer.email"`) {
		t.Errorf("no contact is given, and the page does not say so:\n%s", a.body)
	}
	made := g.post(t, http.StatusSeeOther, "/identities/new", append(form, "customer.name", "Bob Lee", "customer.email", "bob@globex.example")...)
	g.wants(t, made.header.Get("Location"), "Bob Lee, bob@globex.example")
}
