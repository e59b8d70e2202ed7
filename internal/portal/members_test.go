package portal_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// wants holds that a page answers and shows some texts.
func (g *guest) wants(t *testing.T, path string, texts ...string) answer {
	t.Helper()
	a := g.get(t, path)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s = %d %v:\n%s", path, a.status, a.header, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%s lacks %q:\n%s", path, text, a.body)
		}
	}
	return a
}

// TestMembers invites somebody, changes what they may do, and lets go of them.
func TestMembers(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	const bob = "bob@northwind.example"

	if a := g.post(t, http.StatusUnprocessableEntity, "/members/invite", "email", bob, "language", "de_DE"); !strings.Contains(a.body, `href="#f-roles"`) {
		t.Errorf("no role is ticked, and the page does not say so:\n%s", a.body)
	}
	g.post(t, http.StatusUnprocessableEntity, "/members/invite", "email", "bob", "language", "de_DE", "roles", "finance")
	g.post(t, http.StatusUnprocessableEntity, "/members/invite", "email", ada, "language", "de_DE", "roles", "finance")
	g.post(t, http.StatusForbidden, "/members/invite", "email", bob, "roles", "ca_operator")
	g.post(t, http.StatusSeeOther, "/members/invite", "email", bob, "language", "de_DE", "roles", "finance", "roles", "manage_domains")
	g.post(t, http.StatusUnprocessableEntity, "/members/invite", "email", bob, "roles", "finance")
	first := w.mailed(t, bob)
	g.wants(t, "/members", bob, "Finance, Manage domains", "Pending")
	invitation := got(w.signin.Invitations(t.Context(), townOperator, account))(t)[0].ID.String()
	g.wants(t, "/members/invitations/"+invitation+"/again", bob)
	g.post(t, http.StatusSeeOther, "/members/invitations/"+invitation+"/again")
	link := w.mailed(t, bob)
	invited := w.guest(t)
	invited.post(t, http.StatusNotFound, first, "name", "Bob Lee", "password", horse)
	invited.post(t, http.StatusSeeOther, link, "name", "Bob Lee", "password", horse)
	invited.post(t, http.StatusSeeOther, "/sign-in", "email", bob, "password", horse)
	g.post(t, http.StatusNotFound, "/members/invitations/"+invitation+"/withdraw")
	g.post(t, http.StatusSeeOther, "/members/invite", "email", "carol@northwind.example", "roles", "auditor")
	invitation = got(w.signin.Invitations(t.Context(), townOperator, account))(t)[0].ID.String()
	g.wants(t, "/members/invitations/"+invitation+"/withdraw", "carol@northwind.example")
	g.post(t, http.StatusSeeOther, "/members/invitations/"+invitation+"/withdraw")

	list := g.wants(t, "/members?q=bob&role=finance", "Bob Lee")
	if strings.Contains(list.body, ada) && strings.Contains(list.body, "(you)") {
		t.Error("the search finds everybody")
	}
	if a := g.get(t, "/members.csv"); !strings.HasPrefix(a.body, "id,name,email") || strings.Count(a.body, "\n") != 3 || a.header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Errorf("the file is\n%s", a.body)
	}
	people := got(w.signin.Members(t.Context(), townOperator, account, store.MemberFilter{Search: "bob", Page: store.Page{Limit: 2}}))(t)
	id := people[0].ID.String()
	page := g.wants(t, "/members/"+id, "Bob Lee", "/roles", "/lock", "/disable", "/delete", "/end-sessions")
	for _, never := range []string{"/unlock", "/enable", "/reset-factor"} {
		if strings.Contains(page.body, id+never+`"`) {
			t.Errorf("the page leads to %s", never)
		}
	}
	own := "/members/" + w.userOf(t, ada).String()
	if a := g.wants(t, own); strings.Contains(a.body, "/delete") || strings.Contains(a.body, "/roles") {
		t.Error("one's own page leads to acts that nobody does to themselves")
	}
	g.post(t, http.StatusUnprocessableEntity, own+"/roles", "roles", "finance")
	for _, verb := range []string{"lock", "disable", "delete"} {
		g.post(t, http.StatusForbidden, own+"/"+verb)
	}

	g.wants(t, "/members/"+id+"/roles", `value="finance" checked`)
	g.post(t, http.StatusSeeOther, "/members/"+id+"/roles", "roles", "read_only")
	if a := invited.get(t, "/"); a.status != http.StatusSeeOther {
		t.Errorf("who has other roles is still signed in: %d", a.status)
	}
	for _, step := range []struct{ verb, word string }{{"lock", "Locked"}, {"unlock", "Active"}, {"disable", "Disabled"}, {"enable", "Active"}, {"end-sessions", "Active"}} {
		g.wants(t, "/members/"+id+"/"+step.verb, "Bob Lee", "What will happen")
		g.post(t, http.StatusSeeOther, "/members/"+id+"/"+step.verb)
		g.wants(t, "/members/"+id, step.word)
	}
	g.post(t, http.StatusConflict, "/members/"+id+"/unlock")
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	for path, want := range map[string]int{
		"/members": 200, "/members.csv": 200, "/members/" + id: 200, "/members/invite": 403, "/members/" + id + "/roles": 403,
		"/members/" + id + "/lock": 403, "/members/" + id + "/delete": 403,
	} {
		a := reader.get(t, path)
		if a.status != want || want == 200 && (strings.Contains(a.body, "/invite\"") || strings.Contains(a.body, "/delete\"")) {
			t.Errorf("%s for a reader = %d, want %d and no acts", path, a.status, want)
		}
	}
	for _, verb := range []string{"roles", "lock", "unlock", "disable", "enable", "delete", "end-sessions", "reset-factor"} {
		reader.post(t, http.StatusForbidden, "/members/"+id+"/"+verb, "roles", "administrator")
	}
	reader.post(t, http.StatusForbidden, "/members/invite", "email", "eve@evil.example", "roles", "auditor")
	finance := w.member(t, account, "finance@northwind.example", "finance")
	if a := finance.get(t, "/members"); a.status != http.StatusForbidden {
		t.Errorf("the members for who may not read users = %d", a.status)
	}
	g.post(t, http.StatusSeeOther, "/members/"+id+"/delete")
	if a := g.get(t, "/members/"+id); a.status != http.StatusNotFound {
		t.Errorf("a deleted member = %d", a.status)
	}
}

// userOf returns the user of an address.
func (w *town) userOf(t *testing.T, email string) (id telamon.UserID) {
	t.Helper()
	must(t, w.raw.QueryRowContext(t.Context(), "SELECT id FROM account_user WHERE email = ?", email).Scan(&id))
	return id
}

// TestRequirement11AtThePage refuses the fourth administrator of a service provider with a
// message.
func TestRequirement11AtThePage(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	got(w.raw.ExecContext(t.Context(), "UPDATE account_profile SET kind = 'service_provider'"))(t)
	for _, email := range []string{"b@northwind.example", "c@northwind.example"} {
		g.post(t, http.StatusSeeOther, "/members/invite", "email", email, "roles", "administrator")
	}
	if a := g.post(t, http.StatusUnprocessableEntity, "/members/invite", "email", "d@northwind.example", "roles", "administrator"); !strings.Contains(a.body, "as many administrators as it may") {
		t.Errorf("the fourth one is refused without a reason:\n%s", a.body)
	}
	w.member(t, w.accountOf(t, ada), "e@northwind.example", "finance")
	if a := g.post(t, http.StatusUnprocessableEntity, "/members/"+w.userOf(t, "e@northwind.example").String()+"/roles", "roles", "administrator"); !strings.Contains(a.body, "as many administrators as it may") {
		t.Errorf("a promotion is refused without a reason:\n%s", a.body)
	}
}
