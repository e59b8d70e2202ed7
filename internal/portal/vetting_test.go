package portal_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// agent signs in a vetting agent of an account of the CA's own.
func (w *town) agent(t testing.TB, account telamon.AccountID, email string) *guest {
	t.Helper()
	return w.operator(t, account, email, "vetting_agent")
}

// staff makes an account of the CA's own.
func (w *town) staff(t testing.TB, name string) telamon.AccountID {
	t.Helper()
	account := got(w.iam.CreateAccount(t.Context(), townOperator, iam.NewAccount{Name: name}))(t).ID
	must(t, w.signin.MakeStaffAccount(t.Context(), townOperator, account))
	return account
}

// upload sends a form with a file.
func (g *guest) upload(t *testing.T, path, name string, content []byte) answer {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if name != "" {
		got(got(form.CreateFormFile("file", name))(t).Write(content))(t)
	}
	must(t, form.Close())
	r := got(http.NewRequestWithContext(t.Context(), http.MethodPost, g.town.url+path, &body))(t)
	r.Header = g.header.Clone()
	r.Header.Set("Content-Type", form.FormDataContentType())
	response := got(g.http.Do(r))(t)
	defer response.Body.Close()
	var text bytes.Buffer
	got(text.ReadFrom(response.Body))(t)
	return answer{response.StatusCode, response.Header, text.String()}
}

var (
	caseLink   = regexp.MustCompile(`/operator/vetting/vet_[a-z0-9]+`)
	fileLink   = regexp.MustCompile(`/operator/vetting/vet_[a-z0-9]+/evidence/(evd_[a-z0-9]+)`)
	strikeLink = regexp.MustCompile(`/operator/vetting/vet_[a-z0-9]+/checks/vck_[a-z0-9]+/strike`)
)

// TestVettingPages vets an identity as two agents do in their browsers.
func TestVettingPages(t *testing.T) {
	w := newTown(t)
	customer := w.admin(t, ada, "Northwind Energy Supply Ltd")
	w.equip(t, w.accountOf(t, ada))
	made := customer.post(t, http.StatusSeeOther, "/identities/new", "type", "tls_ov", "name", "Leeds <i>",
		"data.organization", "Northwind Energy Supply Ltd", "data.locality", "Leeds", "data.country", "GB")
	identity := made.header.Get("Location")
	customer.post(t, http.StatusSeeOther, identity+"/submit")
	ours := w.staff(t, "The CA")
	vic, wes := w.agent(t, ours, "vic@ca.example"), w.agent(t, ours, "wes@ca.example")

	queue := vic.wants(t, "/operator/vetting", "VET-2026-000001", "Northwind Energy Supply Ltd", "Leeds &lt;i&gt;", "Queued (1)", `href="/operator/vetting"`)
	here := caseLink.FindString(queue.body)
	if a := vic.wants(t, "/operator/vetting?who=mine"); strings.Contains(a.body, here) {
		t.Error("a case that the agent did nothing in is theirs")
	}
	if a := vic.wants(t, "/operator/vetting?q=globex"); strings.Contains(a.body, here) {
		t.Error("the search finds everything")
	}
	vic.wants(t, here, "Legal existence", "Supplied by the applicant", ada, "No files yet")
	for _, bad := range []struct{ name, content string }{{"", ""}, {"a.html", "<html>"}, {"page.txt", "<script>alert(1)</script>"}, {"big.txt", strings.Repeat("x", 5<<20+1)}} {
		if a := vic.upload(t, here+"/evidence", bad.name, []byte(bad.content)); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `id="f-file-error"`) {
			t.Errorf("%q was answered %d", bad.name, a.status)
		}
	}
	const record = "%PDF-1.7\nthe register"
	if a := vic.upload(t, here+"/evidence", `register "GB".pdf`, []byte(record+strings.Repeat(" ", 1<<20))); a.status != http.StatusSeeOther {
		t.Fatalf("a file of a megabyte was answered %d\n%s", a.status, a.body)
	}
	page := vic.wants(t, here, "register _GB_.pdf", "1,025 KiB")
	found := fileLink.FindStringSubmatch(page.body)
	file := vic.get(t, found[0])
	if h := file.header; !strings.HasPrefix(file.body, record) || h.Get("Content-Type") != "application/pdf" || h.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(h.Get("Content-Disposition"), "attachment;") || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the file is %v", h)
	}

	// Entries: what lacks something, what is the applicant's, what counts.
	vic.wants(t, here+"/checks/new?kind=contact", "Call to the number in an independent source")
	wrong := vic.post(t, http.StatusUnprocessableEntity, here+"/checks/new", "kind", "contact", "source", "", "method", "listed_number", "origin", "applicant")
	for _, field := range []string{"source", "contact", "note"} {
		if !strings.Contains(wrong.body, `href="#f-`+field+`"`) {
			t.Errorf("what is wrong lacks %s", field)
		}
	}
	vic.post(t, http.StatusSeeOther, here+"/checks/new", "kind", "contact", "source", "the form", "method", "listed_number", "contact", "+44 113", "note", "called", "origin", "applicant")
	for _, kind := range []string{"existence", "address"} {
		vic.post(t, http.StatusSeeOther, here+"/checks/new", "kind", kind, "source", "Companies House", "origin", "independent", "evidence", found[1])
	}
	page = vic.wants(t, here, "From the applicant", "Before it can be approved there is missing: Contact.")
	if strings.Contains(page.body, here+"/process") {
		t.Error("a case with data of the applicant alone can be processed")
	}
	vic.post(t, http.StatusUnprocessableEntity, here+"/process", "reason", "found")
	links := strikeLink.FindAllString(page.body, -1)
	vic.post(t, http.StatusSeeOther, links[len(links)-1])
	vic.post(t, http.StatusSeeOther, here+"/checks/new", "kind", "contact", "source", "Dun & Bradstreet", "method", "listed_number", "contact", "+44 113 496 0100", "note", "Ms Lee:\nyes", "origin", "independent")
	vic.wants(t, here, "Struck", "Dun &amp; Bradstreet", here+"/process")
	vic.wants(t, here+"/process", "VET-2026-000001")
	if a := vic.post(t, http.StatusUnprocessableEntity, here+"/process", "reason", " "); !strings.Contains(a.body, `href="#f-reason"`) {
		t.Error("there is no reason, and the page does not say so")
	}
	vic.post(t, http.StatusSeeOther, here+"/process", "reason", "found")
	vic.post(t, http.StatusConflict, here+"/process", "reason", "found")
	if a := vic.wants(t, here, "Another agent has to approve it."); strings.Contains(a.body, here+"/approve") {
		t.Error("the agent who processed it can approve it")
	}
	vic.post(t, http.StatusForbidden, here+"/approve", "reason", "I say so myself")
	customer.wants(t, identity, "In vetting")
	wes.wants(t, here+"/approve", "active until 2027-12-25")
	wes.post(t, http.StatusSeeOther, here+"/approve", "reason", "seen")
	customer.wants(t, identity, "Approved", "2027-12-25")
	wes.wants(t, "/operator/vetting?state=approved&who=mine", "VET-2026-000001")
	if a := wes.upload(t, here+"/evidence", "late.pdf", []byte(record)); a.status != http.StatusConflict {
		t.Errorf("a file for a case that is decided = %d", a.status)
	}
	w.strangersToVetting(t, vic, customer, here, found[0])
	w.ownCase(t, ours, vic)
}

// strangersToVetting holds that there is nothing of it for the customer, and for other IDs.
func (w *town) strangersToVetting(t *testing.T, agent, customer *guest, here, file string) {
	t.Helper()
	for _, path := range []string{"/operator/vetting", here, file, here + "/reject", here + "/checks/new?kind=contact"} {
		if a := customer.get(t, path); a.status != http.StatusNotFound {
			t.Errorf("GET %s for the customer = %d", path, a.status)
		}
	}
	if a := customer.get(t, "/"); strings.Contains(a.body, "/operator/vetting") {
		t.Error("the customer is led to the console")
	}
	for _, path := range []string{"/evidence", "/checks/new", "/approve", "/reject"} {
		if a := customer.send(t, http.MethodPost, here+path, url.Values{"reason": {"mine"}}); a.status != http.StatusNotFound {
			t.Errorf("POST %s for the customer = %d", path, a.status)
		}
	}
	for _, path := range []string{"/operator/vetting/vet_x", here + "x", here + "/evidence/evd_x", here + "/evidence/" + telamon.NewEvidenceID().String(), here + "/checks/new?kind=x"} {
		if a := agent.get(t, path); a.status != http.StatusNotFound {
			t.Errorf("GET %s = %d", path, a.status)
		}
	}
}

// ownCase holds that agents look at the case of their own account and change nothing.
func (w *town) ownCase(t *testing.T, ours telamon.AccountID, agent *guest) {
	t.Helper()
	w.equipAgain(t, ours)
	ctx := t.Context()
	own := got(w.iam.DraftIdentity(ctx, townOperator, ours, iam.IdentityForm{Type: telamon.IdentityTLSOV, Name: "The CA", Data: map[string]string{
		"organization": "The CA Ltd", "locality": "York", "country": "GB",
	}}))(t)
	must(t, w.iam.SubmitIdentity(ctx, townOperator, ours, own.ID))
	here := caseLink.FindString(agent.wants(t, "/operator/vetting", "VET-2026-000002").body)
	if a := agent.wants(t, here, "The case is of your own account"); strings.Contains(a.body, here+"/reject") || strings.Contains(a.body, here+"/checks/new") {
		t.Error("an agent is led to vet their own account")
	}
	agent.post(t, http.StatusForbidden, here+"/reject", "reason", "no")
	if a := agent.upload(t, here+"/evidence", "a.pdf", []byte("%PDF-1.7")); a.status != http.StatusForbidden {
		t.Errorf("a file for the own case = %d", a.status)
	}
}

// equipAgain subscribes another account to the service of the town.
func (w *town) equipAgain(t *testing.T, account telamon.AccountID) {
	t.Helper()
	service := got(w.iam.ServiceNamed(t.Context(), townOperator, "Client authentication"))(t)
	got(w.iam.Subscribe(t.Context(), townOperator, account, service.ID))(t)
}
