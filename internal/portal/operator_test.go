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
		for _, path := range pages {
			if a := cleo.get(t, path); a.status != http.StatusOK || strings.Contains(a.body, "operator.") && strings.Contains(a.body, ">operator.") {
				t.Errorf("GET %s = %d", path, a.status)
			}
			for name, g := range map[string]*guest{"a customer": customer, "sales": sales, "a vetting agent": agent} {
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
		if body := cleo.get(t, event).body; !strings.Contains(body, "In the log, verified just now") {
			t.Errorf("the proof of an event is not verified:\n%s", body)
		}
	})

	t.Run("policy editor", func(t *testing.T) {
		body := cleo.get(t, service).body
		was := hidden(t, body, "was")
		form := func(pairs ...string) url.Values {
			v := formValues(t, body)
			for i := 0; i < len(pairs); i += 2 {
				v.Set(pairs[i], pairs[i+1])
			}
			return v
		}
		// The JSON follows the form, and the form the JSON.
		followed := cleo.send(t, http.MethodPost, service, form("act", "follow", "seconds_max", "43200"))
		if text := hidden(t, followed.body, "was"); followed.status != http.StatusOK || !strings.Contains(text, `"secondsmax": 43200`) {
			t.Errorf("after the form was changed the JSON is %d %s", followed.status, text)
		}
		followed = cleo.send(t, http.MethodPost, service, form("act", "follow", "json", strings.Replace(was, `"secondsmax": 86400`, `"secondsmax": 7200`, 1)))
		if followed.status != http.StatusOK || !strings.Contains(followed.body, `value="7200"`) {
			t.Errorf("after the JSON was changed the form does not follow: %d", followed.status)
		}
		// What cannot stand is said, and nothing is saved.
		for name, v := range map[string]url.Values{
			"no JSON":     form("act", "save", "json", "{"),
			"no number":   form("act", "save", "seconds_max", "long"),
			"both":        form("act", "save", "seconds_max", "43200", "json", strings.Replace(was, `"secondsmax": 86400`, `"secondsmax": 7200`, 1)),
			"no compiler": form("act", "save", "format.common_name", "["),
		} {
			if a := cleo.send(t, http.MethodPost, service, v); a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %d", name, a.status)
			}
		}
		// A request is tried, and nothing is issued.
		for request, want := range map[string]string{
			`{"subject_dn":{"common_name":"METER"},"public_key":` + quoted(t, newECCSR(t)) + `}`: "subject_dn.common_name: does not match the required format",
			`{"subject_dn":{"common_name":"meter"},"public_key":` + quoted(t, newECCSR(t)) + `}`: "It would get a certificate.",
			`{"subject_dn":`: "This cannot be read as a request in JSON.",
		} {
			a := cleo.send(t, http.MethodPost, service, form("act", "try", "request", request, "data", "organization=Tried Ltd"))
			if !strings.Contains(html.UnescapeString(a.body), want) {
				t.Errorf("trying %s lacks %q: %d", request, want, a.status)
			}
		}
		// Saving waits for another person; who asked cannot approve it.
		if a := cleo.send(t, http.MethodPost, service, form("act", "save", "seconds_max", "43200")); a.status != http.StatusSeeOther || a.header.Get("Location") != "/operator/approvals" {
			t.Fatalf("saving = %d %v\n%s", a.status, a.header, a.body)
		}
		found := proposalID.FindStringSubmatch(cleo.get(t, "/operator/approvals").body)
		if found == nil {
			t.Fatal("nothing waits")
		}
		path := "/operator/approvals/" + found[1]
		own := cleo.get(t, path).body
		if !strings.Contains(own, "You asked for this yourself.") || !strings.Contains(html.UnescapeString(own), `"secondsmax": 43200`) {
			t.Error("the page does not show the act, or whose it is")
		}
		seen := hidden(t, dora.get(t, path).body, "sha256")
		cleo.post(t, http.StatusForbidden, path+"/approve", "sha256", seen)
		if v := got(w.iam.Service(t.Context(), townOperator, services[0].ID))(t); v.Version != 1 {
			t.Errorf("the service is version %d before it was approved", v.Version)
		}
		dora.post(t, http.StatusConflict, path+"/approve", "sha256", strings.Repeat("0", 64))
		dora.post(t, http.StatusSeeOther, path+"/approve", "sha256", seen, "reason", "looked at it")
		v := got(w.iam.Service(t.Context(), townOperator, services[0].ID))(t)
		if v.Version != 2 || !strings.Contains(string(v.PolicyTemplate), "43200") {
			t.Errorf("the service is %+v", v)
		}
		// Who edits an old version is shown both.
		if a := cleo.send(t, http.MethodPost, service, form("act", "save", "seconds_max", "7200")); a.status != http.StatusConflict || !strings.Contains(a.body, "was changed meanwhile") {
			t.Errorf("saving an old version = %d", a.status)
		}
		w.clock.Advance(authz.FreshFor)
		body = cleo.get(t, service).body
		if a := cleo.send(t, http.MethodPost, service, form("act", "save", "seconds_max", "3600")); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/second-factor") {
			t.Errorf("saving with a stale second factor = %d %v", a.status, a.header)
		}
	})

	t.Run("problem reports", func(t *testing.T) {
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
		if body := w.operator(t, account.ID, "finn@ca.example", authz.RoleCAOperator).get(t, "/operator/reports").body; !strings.Contains(body, "Overdue") {
			t.Error("an overdue case does not show")
		}
		for range 9 {
			a = stranger.send(t, http.MethodPost, "/report", url.Values{"reporter": {"eve"}})
		}
		if a.status != http.StatusTooManyRequests {
			t.Errorf("the tenth report in a moment = %d", a.status)
		}
	})
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
