package portal_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

// wants holds that a page answers and shows some texts.
func (g *guest) wants(t *testing.T, path string, texts ...string) answer {
	t.Helper()
	a := g.get(t, path)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s = %d:\n%s\n%s", path, a.status, a.body, g.town.log.String())
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
	// Nor do operators and machines give the role, who go past the pages.
	account := w.accountOf(t, ada)
	_, err := w.iam.CreateUser(t.Context(), townOperator, iam.NewUser{Account: account, Email: "f@northwind.example", Name: "F", Roles: []string{"administrator"}})
	if !fault.Is(err, fault.Conflict) || fault.From(err).Code != "administrator_limit" {
		t.Errorf("an operator is told %v", err)
	}
	u := got(w.iam.CreateUser(t.Context(), townOperator, iam.NewUser{Account: account, Email: "f@northwind.example", Name: "F", Roles: []string{"finance"}}))(t)
	_, err = w.iam.UpdateUser(t.Context(), townOperator, account, u.ID, iam.UserChange{Roles: []string{"administrator"}})
	if !fault.Is(err, fault.Conflict) || fault.From(err).Code != "administrator_limit" {
		t.Errorf("an operator is told %v", err)
	}
	w.member(t, w.accountOf(t, ada), "e@northwind.example", "finance")
	if a := g.post(t, http.StatusUnprocessableEntity, "/members/"+w.userOf(t, "e@northwind.example").String()+"/roles", "roles", "administrator"); !strings.Contains(a.body, "as many administrators as it may") {
		t.Errorf("a promotion is refused without a reason:\n%s", a.body)
	}
}

// TestAudit shows what happened in an account, and proves it.
func TestAudit(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	other := w.admin(t, "eve@globex.example", "Globex")
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	auditor := w.member(t, account, "auditor@northwind.example", "auditor")
	id := w.userOf(t, "reader@northwind.example").String()
	g.post(t, http.StatusSeeOther, "/members/"+id+"/roles", "roles", "finance", "roles", "read_only")
	g.wants(t, "/audit", "user.set_roles", "Ada Wolff", "/audit/evt_")
	event := got(w.db.AuditEvents(t.Context(), store.AuditFilter{Account: account, Action: "user.set_roles"}))(t).Events[0]
	path := "/audit/" + event.ID.String()
	for _, g := range []*guest{g, auditor} {
		g.wants(t, path, "user.set_roles", "Ada Wolff", id, "roles[0]", "finance", "read_only", path+"/proof.json")
	}
	// Credentials have names too, and who has none is said in words.
	w.equip(t, account)
	credential, _ := g.made(t, account, "metering_prod")
	must(t, w.db.RecordEvent(t.Context(), telamon.Event{
		Actor: telamon.Actor{Kind: telamon.ActorCredential, Account: account, Credential: telamon.CredentialID(credential)}, Account: account,
		Action: "certificate.issue", Object: "01", Result: "ok",
	}))
	issued := got(w.db.AuditEvents(t.Context(), store.AuditFilter{Account: account, Action: "certificate.issue"}))(t).Events[0]
	g.wants(t, "/audit?action=certificate.issue", ">metering_prod</td>")
	g.wants(t, "/audit/"+issued.ID.String(), "metering_prod", credential)
	g.wants(t, "/audit?actor=operator", ">Operator</td>")
	for query, found := range map[string]bool{
		"action=user.set_roles": true, "action=user.set_role": false, "object=" + id: true, "object=x": false, "actor=ada": true,
		"actor=" + w.userOf(t, ada).String(): true, "actor=nobody": false, "result=ok": true, "result=failed&action=user.set_roles": false,
		"from=2020-01-01&action=user.set_roles": true, "to=2020-01-01": false, "from=x&to=y": true,
	} {
		a := g.get(t, "/audit?"+query)
		if has := strings.Contains(a.body, path+`"`); a.status != http.StatusOK || has != found {
			t.Errorf("by %s the event is found: %v (%d), want %v", query, has, a.status, found)
		}
	}
	if a := g.get(t, "/audit?after=x"); a.status != http.StatusNotFound {
		t.Errorf("a page after nothing = %d", a.status)
	}
	lines := g.get(t, "/audit.jsonl?action=user.set_roles")
	payload := got(audit.Decode([]byte(strings.TrimSuffix(lines.body, "\n"))))(t)
	if payload.ID != event.ID || lines.header.Get("Content-Type") != "application/jsonl; charset=utf-8" {
		t.Errorf("the lines are %v %q", lines.header, lines.body)
	}
	if a := g.get(t, "/audit.csv?object="+id); !strings.HasPrefix(a.body, "id,at,actor") || !strings.Contains(a.body, "user.set_roles") {
		t.Errorf("the file is %q", a.body)
	}
	if a := g.get(t, path+"/proof.json"); a.status != http.StatusServiceUnavailable {
		t.Errorf("the proof of an event without a place = %d", a.status)
	}
	reader.post(t, http.StatusSeeOther, "/sign-in", "email", "reader@northwind.example", "password", horse)
	for _, p := range []string{"/audit", path, "/audit.csv", "/audit.jsonl", path + "/proof.json"} {
		if a := reader.get(t, p); a.status != http.StatusForbidden {
			t.Errorf("%s for a reader = %d", p, a.status)
		}
	}
	for _, p := range []string{path, path + "/proof.json"} {
		if a := other.get(t, p); a.status != http.StatusNotFound {
			t.Errorf("%s of another account = %d", p, a.status)
		}
	}
	for _, p := range []string{"/audit", "/audit.csv", "/audit.jsonl"} {
		if a := other.get(t, p); a.status != http.StatusOK || strings.Contains(a.body, "northwind") || strings.Contains(a.body, account.String()) {
			t.Errorf("%s of another account = %d, or tells of this one", p, a.status)
		}
	}
}

// TestProofAtThePage verifies the proof that the page of an event gives, with the log's
// verifier key and nothing else of ours.
func TestProofAtThePage(t *testing.T) {
	w := newTown(t)
	w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.member(t, account, "auditor@northwind.example", "auditor")
	private, public, err := note.GenerateKey(rand.Reader, "audit.test")
	must(t, err)
	w.clock.Advance(max(0, time.Until(w.clock.Now())) + time.Since(w.clock.Now()) + time.Minute) // the IDs of events have the system's time
	sequencer := w.db.NewSequencer(got(note.NewSigner(private))(t))
	for range 5 {
		got(sequencer.Turn(t.Context()))(t)
	}
	g := w.guest(t)
	g.post(t, http.StatusSeeOther, "/sign-in", "email", "auditor@northwind.example", "password", horse)
	event := got(w.db.AuditEvents(t.Context(), store.AuditFilter{Account: account, Action: "user.create", Limit: 1}))(t).Events[0]
	a := g.get(t, "/audit/"+event.ID.String()+"/proof.json")
	var proof struct {
		Event, Proof string
		Seq          int64
	}
	if a.status != http.StatusOK || json.Unmarshal([]byte(a.body), &proof) != nil {
		t.Fatalf("the proof = %d %s", a.status, a.body)
	}
	lines, checkpoint, _ := strings.Cut(proof.Proof, "\n\n")
	signed := got(audit.OpenCheckpoint(checkpoint, got(note.NewVerifier(public))(t)))(t)
	var hashes tlog.RecordProof
	for _, line := range strings.Split(lines, "\n")[2:] {
		hashes = append(hashes, got(tlog.ParseHash(line))(t))
	}
	must(t, tlog.CheckRecord(hashes, signed.Tree.Size, signed.Tree.Root, proof.Seq, audit.LeafHash([]byte(proof.Event))))
	if payload := got(audit.Decode([]byte(proof.Event)))(t); payload.ID != event.ID {
		t.Errorf("it is the proof of %s", payload.ID)
	}
}

// TestMailHistory shows what was mailed, without what opens something.
func TestMailHistory(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	g.post(t, http.StatusSeeOther, "/members/invite", "email", "bob@northwind.example", "roles", "finance")
	link := w.mailed(t, "bob@northwind.example")
	list := g.wants(t, "/mail", "bob@northwind.example", "Invitation", "/mail/mai_")
	_, id, _ := strings.Cut(list.body, `href="/mail/`)
	id, _, _ = strings.Cut(id, `"`)
	shown := g.wants(t, "/mail/"+id, "bob@northwind.example", "Ada Wolff invites", "/invitation/••••")
	if _, value, _ := strings.Cut(link[1:], "/"); strings.Contains(shown.body, value) {
		t.Error("the page has the value of the link")
	}
	other := w.admin(t, "eve@globex.example", "Globex")
	if a := other.get(t, "/mail/"+id); a.status != http.StatusNotFound {
		t.Errorf("another account's mail = %d", a.status)
	}
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	for _, path := range []string{"/mail", "/mail/" + id, "/settings/sign-in"} {
		if a := reader.get(t, path); a.status != http.StatusForbidden {
			t.Errorf("%s for a reader = %d", path, a.status)
		}
	}
	reader.post(t, http.StatusForbidden, "/mail/history", "history", "off")
	reader.post(t, http.StatusForbidden, "/settings/sign-in", "issuer", "https://idp.example", "client_id", "x", "client_secret", "y")
	g.post(t, http.StatusSeeOther, "/mail/history", "history", "off")
	if a := g.wants(t, "/mail", `value="on"`); strings.Contains(a.body, "bob@northwind.example") {
		t.Error("a history that is off is shown")
	}
	g.post(t, http.StatusSeeOther, "/mail/history", "history", "on")
	g.wants(t, "/mail", "bob@northwind.example")

	g.wants(t, "/settings/sign-in", "/sign-in/oidc/callback")
	if a := g.post(t, http.StatusUnprocessableEntity, "/settings/sign-in", "issuer", "http://idp.example", "client_id", ""); !strings.Contains(a.body, "f-issuer-error") || !strings.Contains(a.body, "f-client_secret-error") {
		t.Error("the page does not say what is wrong with a provider")
	}
	for _, path := range []string{"/sign-in/oidc/x", "/sign-in/oidc/" + account.String(), "/sign-in/oidc/x/begin", "/sign-in/oidc/" + account.String() + "/begin"} {
		if a := reader.get(t, path); a.status != http.StatusNotFound || !strings.Contains(a.body, "No provider was found") {
			t.Errorf("%s = %d", path, a.status)
		}
	}
	reader.post(t, http.StatusNotFound, "/sign-in/oidc", "account", ada)
	// Who comes from elsewhere is shown first where a provider is.
	mailed := w.guest(t)
	mailed.header.Set("Sec-Fetch-Site", "cross-site")
	here := "/sign-in/oidc/" + account.String()
	if a := mailed.get(t, here+"/begin?next=/audit"); a.status != http.StatusSeeOther || a.header.Get("Location") != here+"?next=%2Faudit" {
		t.Errorf("a link from elsewhere leads to %d %s", a.status, a.header.Get("Location"))
	}
	if a := reader.get(t, "/sign-in/oidc/callback?state=x&code=y"); a.header.Get("Location") != "/sign-in/oidc?next=%2F&problem=refused" {
		t.Errorf("a callback of nothing leads to %s", a.header.Get("Location"))
	}
}

// TestRequirement119Forms refuses the forms of an account that sent too many, for as long as it
// says. Reading goes on, and so does another account.
func TestRequirement119Forms(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ada, bob := w.admin(t, "ada@acme.example", "Acme"), w.admin(t, "bob@north.example", "Northwind")
	account := w.accountOf(t, "ada@acme.example").String()
	for range 5001 {
		if w.forms.Allow(account) != nil {
			break
		}
	}
	invite := []string{"email", "carol@acme.example", "roles", "finance"}
	a := ada.post(t, http.StatusTooManyRequests, "/members/invite", invite...)
	if a.header.Get("Retry-After") != "10" || !strings.Contains(a.body, "That was too often") {
		t.Errorf("Retry-After is %q, the page is\n%s", a.header.Get("Retry-After"), a.body)
	}
	if page := ada.get(t, "/members"); page.status != http.StatusOK || strings.Contains(page.body, "carol@acme.example") {
		t.Errorf("the page of members is %d:\n%s", page.status, page.body)
	}
	bob.post(t, http.StatusSeeOther, "/members/invite", "email", "dan@north.example", "roles", "finance")
	w.clock.Advance(10 * time.Second)
	ada.post(t, http.StatusSeeOther, "/members/invite", invite...)
}
