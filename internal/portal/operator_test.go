package portal_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/pquerna/otp/totp"
	xhtml "golang.org/x/net/html"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/api/atlas"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/portal/operator"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/web"
)

// operating makes what the town's operators have: four eyes are on.
func (w *town) operating(t testing.TB, keys *keystore.Keystore, engine *issuance.Engine, dir *directory.Directory, log *slog.Logger) operator.Config {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	w.logSigner = got(audit.NewSigner("town.example.test/log", private))(t)
	w.office = staff.New(staff.Config{Store: w.db, Clock: w.clock, Log: log, FourEyes: true, Rules: rules.Default(), Mailboxes: []string{"ops@example.test"}})
	life := lifecycle.New(lifecycle.Config{Store: w.db, Issuance: engine, Keys: keys, Clock: w.clock, Log: log, Rules: rules.Default(), Changed: dir.Refresh})
	crls := publish.New(publish.Config{Store: w.db, Issuers: engine, Keys: keys, Clock: w.clock, Log: log, Schedule: publish.DefaultSchedule})
	return operator.Config{
		Staff: w.office, Life: life, CRLs: crls, Verifier: got(audit.NewVerifier("town.example.test/log", public))(t), Ready: w.db.Ready,
		Acts: admin.New(admin.Config{
			IAM: w.iam, SignIn: w.signin, Staff: w.office, Store: w.db, Life: life, Issuance: engine, CRLs: crls, Clock: w.clock, Log: log,
		}),
		ParseRequest: atlas.ParseRequest, Answer: atlas.Answer, Reporters: web.NewLimiter(w.clock, 1.0/600, 6),
	}
}

// operator signs one of the CA's staff in, with a second factor that was shown just now.
func (w *town) operator(t testing.TB, account telamon.AccountID, email string, roles ...string) *guest {
	t.Helper()
	user := got(w.iam.CreateUser(t.Context(), townOperator, iam.NewUser{Account: account, Email: email, Name: strings.Split(email, "@")[0], Password: horse}))(t)
	must(t, w.signin.SetRoles(t.Context(), townOperator, account, user.ID, roles))
	g := w.guest(t)
	g.post(t, http.StatusSeeOther, "/sign-in", "email", email, "password", horse, "next", "/")
	secret := totpSecret.FindStringSubmatch(g.get(t, "/second-factor/enrol/totp").body)
	if secret == nil {
		t.Fatal("the page of one-time passwords has no secret")
	}
	g.post(t, http.StatusOK, "/second-factor/enrol/totp", "code", got(totp.GenerateCode(secret[1], w.clock.Now()))(t))
	return g
}

var (
	hiddenValue = regexp.MustCompile(`<input type="hidden" name="([a-z0-9]+)" value="([^"]*)"`)
	reportID    = regexp.MustCompile(`rpt_[0-9a-v]{26}`)
	caseID      = regexp.MustCompile(`cas_[0-9a-v]{26}`)
	proposalID  = regexp.MustCompile(`/operator/approvals/(apv_[0-9a-v]{26})`)
)

// hidden returns a hidden value of a page's form.
func hidden(t testing.TB, body, name string) string {
	t.Helper()
	for _, found := range hiddenValue.FindAllStringSubmatch(body, -1) {
		if found[1] == name {
			return html.UnescapeString(found[2])
		}
	}
	t.Fatalf("the page has no hidden %s", name)
	return ""
}

// TestOperators walks the pages of those who operate the CA: what needs two people waits
// for another one, and nobody else gets in.
func TestOperators(t *testing.T) {
	w := newTown(t)
	customer := w.admin(t, "ada@example.com", "Northwind Energy Supply Ltd")
	account := got(w.iam.CreateAccount(t.Context(), townOperator, iam.NewAccount{Name: "Example Trust"}))(t)
	must(t, w.signin.MakeStaffAccount(t.Context(), townOperator, account.ID))
	cleo, dora := w.operator(t, account.ID, "cleo@ca.example", authz.RoleCAOperator), w.operator(t, account.ID, "dora@ca.example", authz.RoleCAOperator)
	sales, agent := w.operator(t, account.ID, "sam@ca.example", authz.RoleSales), w.operator(t, account.ID, "vera@ca.example", authz.RoleVettingAgent)
	w.equip(t, w.accountOf(t, "ada@example.com"))
	services := got(w.iam.Services(t.Context(), townOperator, store.Page{Limit: 9}))(t)
	service := "/operator/services/" + services[0].ID.String()
	issuers, _, err := w.office.Issuers(t.Context(), townOperator)
	must(t, err)
	issuing := issuers[0]
	for _, i := range issuers {
		if i.Role == telamon.RoleIssuing {
			issuing = i
		}
	}
	got(w.db.NewSequencer(w.logSigner).Turn(t.Context()))(t)
	events := got(w.office.Events(t.Context(), townOperator, store.AuditFilter{Limit: 9}))(t)
	event := "/operator/audit/" + events.Events[0].ID.String()
	pages := []string{
		"/operator/approvals", "/operator/services", service, "/operator/services/new", "/operator/issuers", "/operator/issuers/" + issuing.ID.String(),
		"/operator/issuers/" + issuing.ID.String() + "/retire", "/operator/series/tls-ec/plan", "/operator/series/tls-ec/rotate", "/operator/series/tls-ec/schedule",
		"/operator/status", "/operator/status/" + issuing.ID.String() + "/publish", "/operator/jobs", "/operator/audit", event, "/operator/mail", "/operator/reports", "/operator/cases/new",
		"/operator/certificates", "/operator/health",
	}

	t.Run("who gets in", func(t *testing.T) {
		mustKeepOut(t, w, cleo, pages, map[string]*guest{"a customer": customer, "sales": sales, "a vetting agent": agent})
		mustSay(t, cleo.get(t, event).body, "In the log, verified just now")
	})
	t.Run("policy editor", func(t *testing.T) {
		e := &policyEditor{town: w, cleo: cleo, dora: dora, service: services[0].ID, path: service}
		e.open(t)
		e.follows(t)
		e.refuses(t)
		e.tries(t)
		e.saves(t)
		e.savesOnce(t)
	})
	t.Run("problem reports", func(t *testing.T) { walkReports(t, w, account.ID, dora) })
}

// mustKeepOut holds that the operator sees each of the pages, and that the others and
// strangers do not, nor act there.
func mustKeepOut(t *testing.T, w *town, operator *guest, pages []string, others map[string]*guest) {
	t.Helper()
	for _, path := range pages {
		if a := operator.get(t, path); a.status != http.StatusOK || strings.Contains(a.body, "operator.") && strings.Contains(a.body, ">operator.") {
			t.Errorf("GET %s = %d", path, a.status)
		}
		for name, g := range others {
			if a := g.get(t, path); a.status != http.StatusForbidden && a.status != http.StatusNotFound {
				t.Errorf("GET %s by %s = %d, want 403", path, name, a.status)
			}
			if a := g.send(t, http.MethodPost, path, url.Values{}); a.status != http.StatusForbidden && a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
				t.Errorf("POST %s by %s = %d, want 403", path, name, a.status)
			}
		}
		if a := w.guest(t).get(t, path); a.status != http.StatusSeeOther {
			t.Errorf("GET %s by a stranger = %d", path, a.status)
		}
	}
}

// A policyEditor is the page of a service's policy, which cleo edits and dora approves.
type policyEditor struct {
	*town
	cleo, dora *guest
	service    telamon.ServiceID
	path       string
	body, was  string // of the page, and of the policy in it
}

// open loads the page.
func (e *policyEditor) open(t *testing.T) {
	t.Helper()
	e.body = e.cleo.get(t, e.path).body
	e.was = hidden(t, e.body, "was")
}

// form is the form of the page with other values.
func (e *policyEditor) form(t *testing.T, pairs ...string) url.Values {
	t.Helper()
	v := formValues(t, e.body)
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// follows holds that the JSON follows the form, and the form the JSON.
func (e *policyEditor) follows(t *testing.T) {
	t.Helper()
	followed := e.cleo.send(t, http.MethodPost, e.path, e.form(t, "act", "follow", "seconds_max", "43200"))
	if text := hidden(t, followed.body, "was"); followed.status != http.StatusOK || !strings.Contains(text, `"secondsmax": 43200`) {
		t.Errorf("after the form was changed the JSON is %d %s", followed.status, text)
	}
	followed = e.cleo.send(t, http.MethodPost, e.path, e.form(t, "act", "follow", "json", strings.Replace(e.was, `"secondsmax": 86400`, `"secondsmax": 7200`, 1)))
	if followed.status != http.StatusOK || !strings.Contains(followed.body, `value="7200"`) {
		t.Errorf("after the JSON was changed the form does not follow: %d", followed.status)
	}
}

// refuses holds that what cannot stand is said, and nothing is saved.
func (e *policyEditor) refuses(t *testing.T) {
	t.Helper()
	for name, v := range map[string]url.Values{
		"no JSON":     e.form(t, "act", "save", "json", "{"),
		"no number":   e.form(t, "act", "save", "seconds_max", "long"),
		"both":        e.form(t, "act", "save", "seconds_max", "43200", "json", strings.Replace(e.was, `"secondsmax": 86400`, `"secondsmax": 7200`, 1)),
		"no compiler": e.form(t, "act", "save", "format.common_name", "["),
	} {
		if a := e.cleo.send(t, http.MethodPost, e.path, v); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, a.status)
		}
	}
}

// tries tries requests, for which nothing is issued.
func (e *policyEditor) tries(t *testing.T) {
	t.Helper()
	for request, want := range map[string]string{
		`{"subject_dn":{"common_name":"METER"},"public_key":` + quoted(t, newECCSR(t)) + `}`: "subject_dn.common_name: does not match the required format",
		`{"subject_dn":{"common_name":"meter"},"public_key":` + quoted(t, newECCSR(t)) + `}`: "It would get a certificate.",
		`{"subject_dn":`: "This cannot be read as a request in JSON.",
	} {
		a := e.cleo.send(t, http.MethodPost, e.path, e.form(t, "act", "try", "request", request, "data", "organization=Tried Ltd"))
		if !strings.Contains(html.UnescapeString(a.body), want) {
			t.Errorf("trying %s lacks %q: %d", request, want, a.status)
		}
	}
}

// saves changes the policy, which waits for another person: who asked cannot approve it.
func (e *policyEditor) saves(t *testing.T) {
	t.Helper()
	if a := e.cleo.send(t, http.MethodPost, e.path, e.form(t, "act", "save", "seconds_max", "43200")); a.status != http.StatusSeeOther || a.header.Get("Location") != "/operator/approvals" {
		t.Fatalf("saving = %d %v\n%s", a.status, a.header, a.body)
	}
	found := proposalID.FindStringSubmatch(e.cleo.get(t, "/operator/approvals").body)
	if found == nil {
		t.Fatal("nothing waits")
	}
	path := "/operator/approvals/" + found[1]
	own := e.cleo.get(t, path).body
	if !strings.Contains(own, "You asked for this yourself.") || !strings.Contains(html.UnescapeString(own), `"secondsmax": 43200`) {
		t.Error("the page does not show the act, or whose it is")
	}
	mustSay(t, own, "Change the service ")
	mustSay(t, e.cleo.get(t, "/operator/audit?action=proposal.create").body, ">cleo</td>")
	seen := hidden(t, e.dora.get(t, path).body, "sha256")
	e.cleo.post(t, http.StatusForbidden, path+"/approve", "sha256", seen)
	if v := got(e.town.iam.Service(t.Context(), townOperator, e.service))(t); v.Version != 1 {
		t.Errorf("the service is version %d before it was approved", v.Version)
	}
	e.dora.post(t, http.StatusConflict, path+"/approve", "sha256", strings.Repeat("0", 64))
	e.dora.post(t, http.StatusSeeOther, path+"/approve", "sha256", seen, "reason", "looked at it")
	v := got(e.town.iam.Service(t.Context(), townOperator, e.service))(t)
	if v.Version != 2 || !strings.Contains(string(v.PolicyTemplate), "43200") {
		t.Errorf("the service is %+v", v)
	}
}

// savesOnce shows both to who edits an old version, and asks for a fresh second factor.
func (e *policyEditor) savesOnce(t *testing.T) {
	t.Helper()
	if a := e.cleo.send(t, http.MethodPost, e.path, e.form(t, "act", "save", "seconds_max", "7200")); a.status != http.StatusConflict || !strings.Contains(a.body, "was changed meanwhile") {
		t.Errorf("saving an old version = %d", a.status)
	}
	e.town.clock.Advance(authz.FreshFor)
	e.open(t)
	if a := e.cleo.send(t, http.MethodPost, e.path, e.form(t, "act", "save", "seconds_max", "3600")); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/second-factor") {
		t.Errorf("saving with a stale second factor = %d %v", a.status, a.header)
	}
}

// walkReports reports a problem as a stranger, and makes a case of it as an operator.
func walkReports(t *testing.T, w *town, account telamon.AccountID, dora *guest) {
	t.Helper()
	stranger := w.guest(t)
	stranger.post(t, http.StatusUnprocessableEntity, "/report", "reporter", "eve", "category", "misuse", "words", "It is used for phishing.")
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("not one, but how is anybody to know")}))
	if a := stranger.post(t, http.StatusUnprocessableEntity, "/report", "reporter", "eve@example.net", "category", "key_compromise", "certificates", key, "words", "Here is the key."); strings.Contains(a.body, "bm90IG9uZS") {
		t.Error("a private key is repeated")
	}
	a := stranger.post(t, http.StatusCreated, "/report", "reporter", "eve@example.net", "category", "misuse", "words", "It is used for phishing.")
	report := "/operator/reports/" + reportID.FindString(a.body)
	dora.post(t, http.StatusSeeOther, report+"/answered")
	made := dora.post(t, http.StatusSeeOther, report+"/accept", "category", "misuse", "summary", "It is so.").header.Get("Location")
	if caseID.FindString(made) == "" || !strings.Contains(dora.get(t, made).body, "It is so.") {
		t.Errorf("the case is at %q", made)
	}
	dora.post(t, http.StatusConflict, report+"/dismiss", "reason", "no")
	w.clock.Advance(6 * rules.Day)
	if body := w.operator(t, account, "finn@ca.example", authz.RoleCAOperator).get(t, "/operator/reports").body; !strings.Contains(body, "Overdue") {
		t.Error("an overdue case does not show")
	}
	for range 9 {
		a = stranger.send(t, http.MethodPost, "/report", url.Values{"reporter": {"eve"}})
	}
	if a.status != http.StatusTooManyRequests {
		t.Errorf("the tenth report in a moment = %d", a.status)
	}
}

// quoted writes a text as JSON.
func quoted(t testing.TB, text string) string { return string(got(json.Marshal(text))(t)) }

// formValues are the values of the editor as a browser would send them.
func formValues(t testing.TB, body string) url.Values {
	t.Helper()
	v := url.Values{}
	root := got(xhtml.Parse(strings.NewReader(body)))(t)
	attribute := func(n *xhtml.Node, name string) (string, bool) {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val, true
			}
		}
		return "", false
	}
	for n := range root.Descendants() {
		name, ok := attribute(n, "name")
		if n.Type != xhtml.ElementNode || !ok {
			continue
		}
		switch n.Data {
		case "input":
			kind, _ := attribute(n, "type")
			value, _ := attribute(n, "value")
			if _, ticked := attribute(n, "checked"); kind != "checkbox" || ticked {
				v.Set(name, value)
			}
		case "textarea":
			if n.FirstChild != nil {
				v.Set(name, strings.TrimPrefix(n.FirstChild.Data, "\n"))
			}
		case "select":
			for o := range n.Descendants() {
				if _, picked := attribute(o, "selected"); picked {
					value, _ := attribute(o, "value")
					v.Set(name, value)
				}
			}
		}
	}
	return v
}
