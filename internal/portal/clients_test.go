package portal_test

import (
	"crypto/tls"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/chromedp/chromedp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/digicertone"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/browse"
	"github.com/telamon-ca/telamon/internal/web"
)

var (
	passwordShown = regexp.MustCompile(`id="password"[^>]*data-secret-value>([A-Za-z0-9]{12})<`)
	downloadShown = regexp.MustCompile(`action="(/client-certificates/[a-z0-9_]+/p12)"[^>]*>\s*<input type="hidden" name="download" value="([A-Za-z0-9_-]{43})"`)
	tokenShown    = regexp.MustCompile(`id="token"[^>]*data-secret-value>(01[0-9a-f]{24}_[0-9a-f]{64})<`)
)

// made makes a client certificate with its key in the portal, and returns its ID, the
// password and what fetches the file.
func (g *guest) p12(t *testing.T, pairs ...string) (id, password, download string) {
	t.Helper()
	body := g.post(t, http.StatusOK, "/client-certificates/new", append([]string{"how", "here"}, pairs...)...).body
	shown, fetch := passwordShown.FindStringSubmatch(body), downloadShown.FindStringSubmatch(body)
	if shown == nil || fetch == nil || !strings.Contains(body, "data-guard") {
		t.Fatalf("the page shows no password or no file:\n%s", body)
	}
	return strings.Split(fetch[1], "/")[2], shown[1], fetch[2]
}

// serviceUser makes a service user in the portal, and returns its ID and its token.
func (g *guest) serviceUser(t *testing.T, name string, roles ...string) (id, token string) {
	t.Helper()
	form := []string{"friendly_name", name, "email", "ops@example.com", "description", "Deploys"}
	for _, r := range roles {
		form = append(form, "roles", r)
	}
	body := g.post(t, http.StatusOK, "/service-users/new", form...).body
	shown := tokenShown.FindStringSubmatch(body)
	next := regexp.MustCompile(`action="/service-users/(usr_[a-z0-9]+)"`).FindStringSubmatch(body)
	if shown == nil || next == nil {
		t.Fatalf("the page shows no token:\n%s", body)
	}
	return next[1], shown[1]
}

// clientAuth serves the API of DigiCert ONE that asks for client certificates, over the
// same accounts as the portal, and returns its address.
func (w *town) clientAuth(t *testing.T) string {
	t.Helper()
	log := slog.New(slog.NewTextHandler(w.log, nil))
	api := digicertone.New(digicertone.Config{IAM: w.iam, Clock: w.clock, Log: log})
	server := httptest.NewUnstartedServer(web.Clients{}.Wrap(web.Instrument{Face: "digicert_one_clientauth", Log: log, MaxBody: 1 << 16}.Wrap(api.Face(true))))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}, ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// curl runs curl with a file that has a certificate and its key, and returns what it prints.
func curl(t *testing.T, url, file, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Certificate_pkcs12.p12")
	must(t, os.WriteFile(path, []byte(file), 0o600))
	c := exec.CommandContext(t.Context(), "curl", "-sSk", "--max-time", "20", "--cert-type", "P12", "--cert", path+":"+password, url+"/account/api/v1/user/me")
	return string(got(c.Output())(t))
}

// TestClientCertificates makes certificates for oneself and for a service user, by a key of
// the platform and by a CSR, and finds the secrets on one page alone.
func TestClientCertificates(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	robot, token := g.serviceUser(t, "CI 1", "SM_SIGNER")

	first := g.get(t, "/client-certificates/new").body
	if !strings.Contains(first, "(myself)") || !strings.Contains(first, robot) {
		t.Errorf("it is not asked for whom the certificate is: %s", first)
	}
	second := g.get(t, "/client-certificates/new?how=here&user="+robot).body
	for _, want := range []string{`min="2026-11-22"`, `max="2027-12-24"`, `value="2027-11-22"`, `data-value="2027-02-20"`, `value="3DES"`, "SHA-512"} {
		if !strings.Contains(second, want) {
			t.Errorf("the second question has no %s", want)
		}
	}
	id, password, download := g.p12(t, "user", robot, "name", "CI pipeline", "end", "2027-01-10", "encryption", "AES", "hash", "SHA-384")
	for name, form := range map[string][]string{
		"a nickname": {"name", "a/b", "end", "2027-01-10"}, "a name that is taken": {"name", "ci PIPELINE", "end", "2027-01-10"}, "an end": {"name", "b", "end", "2029-01-01"},
		"no day": {"name", "b", "end", "soon"}, "an encryption": {"name", "b", "end", "2027-01-10", "encryption", "RC2"}, "a hash": {"name", "b", "end", "2027-01-10", "hash", "MD5"},
	} {
		if a := g.post(t, http.StatusUnprocessableEntity, "/client-certificates/new", append([]string{"how", "here", "user", robot}, form...)...); strings.Count(a.body, `class="error-summary"`) != 1 {
			t.Errorf("%s is not blamed", name)
		}
	}

	file := g.post(t, http.StatusOK, "/client-certificates/"+id+"/p12", "download", download)
	if got := file.header.Get("Content-Disposition"); got != `attachment; filename="Certificate_pkcs12.p12"` || file.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the file is %q %v", got, file.header)
	}
	key, leaf, ca, err := pkcs12.DecodeChain([]byte(file.body), password)
	if err != nil || key == nil || len(ca) != 1 || leaf.CheckSignatureFrom(ca[0]) != nil || leaf.Subject.CommonName != "CI pipeline" ||
		leaf.NotAfter.Format(time.RFC3339) != "2027-01-10T23:59:59Z" {
		t.Errorf("the file holds %v and %v, %v", leaf, ca, err)
	}
	face := w.clientAuth(t)
	if body := curl(t, face, file.body, password); !strings.Contains(body, `"friendly_name":"CI 1"`) {
		t.Errorf("curl with the file is answered %s", body)
	}
	must(t, w.iam.WriteFirstUses(t.Context()))
	must(t, w.iam.WriteLastUses(t.Context()))
	if body := g.get(t, "/client-certificates/"+id).body; strings.Count(body, "2026-11-22 09:41 UTC") < 3 { // created, used first, used last
		t.Errorf("the page does not say when it was used: %s", body)
	}
	g.post(t, http.StatusSeeOther, "/client-certificates/"+id+"/disable")
	if body := curl(t, face, file.body, password); !strings.Contains(body, "No authentication data provided") {
		t.Errorf("curl with a disabled certificate is answered %s", body)
	}
	g.post(t, http.StatusSeeOther, "/client-certificates/"+id+"/enable")
	if body := curl(t, face, file.body, password); !strings.Contains(body, `"friendly_name":"CI 1"`) {
		t.Errorf("curl with an enabled certificate is answered %s", body)
	}
	again := g.post(t, http.StatusGone, "/client-certificates/"+id+"/p12", "download", download)
	if !strings.Contains(again.body, "downloaded before") || strings.Contains(again.body, download) {
		t.Errorf("the second download says %s", again.body)
	}

	issued := g.post(t, http.StatusSeeOther, "/client-certificates/new", "how", "csr", "user", robot, "name", "by CSR", "end", "2027-12-24", "csr", newCSR(t)).header.Get("Location")
	if body := g.get(t, issued).body; !strings.Contains(body, "curl --cert by-csr.cer --key by-csr.key") || !strings.Contains(body, "BEGIN CERTIFICATE") {
		t.Errorf("the page of a certificate by CSR is %s", body)
	}
	secretPEM := strings.ReplaceAll("-----BEGIN KEY-----\nMC4CAQ\n-----END KEY-----\n", "KEY", "PRIVATE KEY")
	bad := g.post(t, http.StatusUnprocessableEntity, "/client-certificates/new", "how", "csr", "user", robot, "name", "x", "end", "2027-01-10", "csr", secretPEM)
	if strings.Contains(bad.body, "MC4CAQ") || !strings.Contains(html.UnescapeString(bad.body), "This is a private key") {
		t.Error("a private key is repeated, or not called one")
	}
	if body := g.post(t, http.StatusOK, "/client-certificates/inspect", "csr", newCSR(t)).body; !strings.Contains(body, "2048 bit") {
		t.Errorf("the inspection says %s", body)
	}

	for _, path := range []string{
		"/client-certificates", "/client-certificates?state=soon", "/client-certificates/list.csv", "/client-certificates/" + id, "/client-certificates/" + id + "/delete",
		"/service-users", "/service-users/" + robot, "/service-users/" + robot + "/edit", "/service-users/" + robot + "/delete", "/me", "/me/edit", "/client-certificates/" + id + "/certificate.cer",
	} {
		a := g.get(t, path)
		if a.status != http.StatusOK || strings.Contains(a.body, password) || strings.Contains(a.body, download) || strings.Contains(a.body, token) {
			t.Errorf("%s = %d, or tells a secret", path, a.status)
		}
	}
	if log := w.log.String(); strings.Contains(log, password) || strings.Contains(log, download) || strings.Contains(log, token) {
		t.Error("the log has a secret")
	}

	rows := strings.Count(g.get(t, "/client-certificates/list.csv").body, "\n")
	only := g.get(t, "/client-certificates?q=pipeline&state=active&user="+robot).body
	if rows != 3 || !strings.Contains(only, "CI pipeline") || strings.Contains(only, "by CSR") {
		t.Errorf("the file has %d lines, and the search finds %s", rows, only)
	}

	// Near its end it asks for the next one, and both are shown.
	w.clock.Advance(48 * 24 * time.Hour) // two days are left
	g = w.again(t, ada)
	body := g.get(t, "/client-certificates/"+id).body
	if !strings.Contains(body, "after="+id) || !strings.Contains(body, "Expires soon") {
		t.Errorf("it does not offer the next one: %s", body)
	}
	if body := g.get(t, "/").body; !strings.Contains(body, "CI pipeline expires") {
		t.Errorf("the dashboard does not warn of it: %s", body)
	}
	if next := g.get(t, "/client-certificates/new?how=here&after="+id+"&user="+robot).body; !strings.Contains(next, `value="CI pipeline 2027-01"`) {
		t.Errorf("the next one has no nickname: %s", next)
	}
	g.p12(t, "user", robot, "after", id, "name", "CI pipeline 2027-01", "end", "2027-12-24")
	if body := g.get(t, "/client-certificates/"+id).body; !strings.Contains(body, "CI pipeline 2027-01") || !strings.Contains(body, "Last used") {
		t.Errorf("the next one is not beside it: %s", body)
	}
	g.post(t, http.StatusSeeOther, "/client-certificates/"+id+"/disable")
	if body := g.get(t, "/client-certificates/"+id).body; !strings.Contains(body, "Disabled") || !strings.Contains(body, id+"/enable") {
		t.Errorf("it is not disabled: %s", body)
	}
	g.post(t, http.StatusSeeOther, "/client-certificates/"+id+"/enable")
	g.post(t, http.StatusSeeOther, "/client-certificates/"+id+"/delete")
	if a := g.get(t, "/client-certificates/"+id); a.status != http.StatusNotFound {
		t.Errorf("a deleted one = %d", a.status)
	}
}

// again signs an administrator in once more, whose session has ended.
func (w *town) again(t *testing.T, email string) *guest {
	t.Helper()
	account := w.accountOf(t, email)
	return w.member(t, account, "second-"+email, "AM_USER_MANAGER", "read_only")
}

// TestServiceUsers walks through the life of a service user and of its tokens.
func TestServiceUsers(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	if body := g.get(t, "/service-users").body; !strings.Contains(body, "No service users yet") {
		t.Errorf("the empty list is %s", body)
	}
	if body := g.get(t, "/service-users/new").body; !strings.Contains(body, `value="SM_SIGNER"`) || !strings.Contains(body, `value="administrator"`) || strings.Contains(body, "ca_operator") {
		t.Errorf("the roles are %s", body)
	}
	robot, _ := g.serviceUser(t, "CI 1")
	user := telamon.UserID(robot)
	g.post(t, http.StatusUnprocessableEntity, "/service-users/new", "friendly_name", "ci 1", "email", "ops@example.com")
	g.post(t, http.StatusUnprocessableEntity, "/service-users/new", "friendly_name", "CI 2", "email", "nobody")
	g.post(t, http.StatusUnprocessableEntity, "/service-users/new", "friendly_name", "CI 2", "email", "ops@example.com", "end_date", "2026-11-21")
	g.post(t, http.StatusUnprocessableEntity, "/service-users/new", "friendly_name", "CI 2", "email", "ops@example.com", "end_date", "tomorrow")
	g.post(t, http.StatusUnprocessableEntity, "/service-users/new", "friendly_name", "CI 2", "email", "ops@example.com", "roles", "ca_operator")
	g.post(t, http.StatusSeeOther, "/service-users/"+robot+"/edit", "friendly_name", "CI one", "email", "pki@example.com", "end_date", "2027-06-30", "roles", "SM_SIGNER")
	u := got(w.iam.User(t.Context(), townOperator, account, user))(t)
	if u.Name != "CI one" || u.Email != "pki@example.com" || !slices.Equal(u.Roles, []string{"SM_SIGNER"}) || u.EndsAt.Format(time.RFC3339) != "2027-06-30T23:59:59Z" {
		t.Errorf("it was changed to %+v", u)
	}
	if body := g.get(t, "/client-certificates/new?how=here&user="+robot).body; !strings.Contains(body, `max="2027-06-30"`) {
		t.Errorf("its certificates may outlive it: %s", body)
	}
	g.p12(t, "user", robot, "name", "longest", "end", "2027-06-30")

	text := tokenShown.FindStringSubmatch(g.post(t, http.StatusOK, "/tokens/new", "user", robot, "name", "second", "end_date", "2027-01-31").body)
	if text == nil {
		t.Fatal("no token is shown")
	}
	g.post(t, http.StatusUnprocessableEntity, "/tokens/new", "user", robot, "name", "SECOND")
	g.post(t, http.StatusUnprocessableEntity, "/tokens/new", "user", robot, "name", "third", "end_date", "2026-01-31")
	var second telamon.APIToken
	for _, k := range got(w.iam.APITokens(t.Context(), townOperator, account, user))(t) {
		if k.Name == "second" {
			second = k
		}
	}
	path := "/tokens/" + second.ID.String()
	g.post(t, http.StatusSeeOther, path+"/edit", "name", "renamed", "end_date", "")
	g.post(t, http.StatusSeeOther, path+"/disable")
	if k := got(w.iam.APIToken(t.Context(), townOperator, account, second.ID))(t); k.Name != "renamed" || !k.EndsAt.IsZero() || k.State != telamon.Disabled {
		t.Errorf("the token is %+v", k)
	}
	g.post(t, http.StatusSeeOther, path+"/enable")
	if body := g.get(t, "/service-users/"+robot).body; !strings.Contains(body, "renamed") || strings.Contains(body, text[1]) {
		t.Errorf("the user's page is %s", body)
	}
	if body := g.get(t, path+"/delete").body; !strings.Contains(body, "renamed") || strings.Contains(body, second.Lookup) {
		t.Errorf("the question is %s", body)
	}
	g.post(t, http.StatusSeeOther, path+"/delete")
	for _, verb := range []string{"disable", "enable", "delete"} {
		if a := g.get(t, "/service-users/"+robot+"/"+verb); verb != "enable" && a.status != http.StatusOK {
			t.Errorf("the question about %s = %d", verb, a.status)
		}
		g.post(t, http.StatusSeeOther, "/service-users/"+robot+"/"+verb)
	}
	if a := g.get(t, "/service-users/"+robot); a.status != http.StatusNotFound {
		t.Errorf("a deleted one = %d", a.status)
	}

	g.post(t, http.StatusSeeOther, "/me/edit", "name", "Ada K. Wolff", "locale", "de_DE")
	if body := g.get(t, "/me").body; !strings.Contains(body, "Ada K. Wolff") || !strings.Contains(body, "Deutsch") || !strings.Contains(body, "Client authentication certificates") ||
		!strings.Contains(body, "/client-certificates/new?user=") || !strings.Contains(body, "/tokens/new?user=") {
		t.Errorf("one's own page is %s", body)
	}
	g.post(t, http.StatusUnprocessableEntity, "/me/edit", "name", "", "locale", "de_DE")
	if !tokenShown.MatchString(g.post(t, http.StatusOK, "/tokens/new", "name", "laptop").body) {
		t.Error("one gets no token of one's own")
	}
}

// TestClientsIsolation holds that users, tokens and certificates of another account are not
// found on any route that names one, and that nothing happens to them.
func TestClientsIsolation(t *testing.T) {
	w := newTown(t)
	owner := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	robot, _ := owner.serviceUser(t, "CI 1")
	cert, _, download := owner.p12(t, "user", robot, "name", "pipeline", "end", "2027-01-10")
	token := got(w.iam.APITokens(t.Context(), townOperator, account, telamon.UserID(robot)))(t)[0].ID.String()
	other := w.admin(t, "eve@globex.example", "Globex")
	colleague := w.member(t, account, "finance@northwind.example", "finance") // sees nobody
	tried := 0
	ids := map[string]string{"/client-certificates/": cert, "/service-users/": robot, "/tokens/": token}
	form := url.Values{"download": {download}, "friendly_name": {"stolen"}, "email": {"eve@globex.example"}, "name": {"stolen"}}
	for _, pattern := range portal.PageRoutes() {
		for prefix, id := range ids {
			if !strings.Contains(pattern, prefix+"{id}") {
				continue
			}
			tried++
			method, path := filled(t, pattern, map[string]string{"id": id})
			for who, g := range map[string]*guest{"another account": other, "a colleague who sees nobody": colleague} {
				if a := g.send(t, method, path, form); a.status != http.StatusNotFound || strings.Contains(a.body, "pipeline") || strings.Contains(a.body, "CI 1") {
					t.Errorf("%s to %s = %d", pattern, who, a.status)
				}
			}
		}
	}
	if tried < 25 {
		t.Errorf("only %d routes were tried", tried)
	}
	for _, g := range []*guest{other, colleague} {
		for _, path := range []string{"/client-certificates/new?how=here&user=" + robot, "/client-certificates/new?after=" + cert, "/tokens/new?user=" + robot} {
			if a := g.get(t, path); a.status != http.StatusNotFound {
				t.Errorf("%s = %d", path, a.status)
			}
		}
		g.post(t, http.StatusNotFound, "/client-certificates/new", "how", "here", "user", robot, "name", "stolen", "end", "2027-01-10")
		g.post(t, http.StatusNotFound, "/tokens/new", "user", robot, "name", "stolen")
		if body := g.get(t, "/client-certificates?user="+robot).body; strings.Contains(body, "pipeline") {
			t.Error("the list shows a certificate of somebody else")
		}
		g.p12(t, "name", "my own", "end", "2027-01-10")
	}
	if a := colleague.get(t, "/service-users"); a.status != http.StatusForbidden {
		t.Errorf("service users to a role that sees none = %d", a.status)
	}
	owner.post(t, http.StatusOK, "/client-certificates/"+cert+"/p12", "download", download) // still there
	if u := got(w.iam.User(t.Context(), townOperator, account, telamon.UserID(robot)))(t); u.Name != "CI 1" || u.State != telamon.Active {
		t.Errorf("the user is %+v", u)
	}
}

// TestClientsRoles holds who sees and who may do what to others: a reader sees and changes
// nothing, and a user manager does not reach an administrator.
func TestClientsRoles(t *testing.T) {
	w := newTown(t)
	owner := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	robot, _ := owner.serviceUser(t, "CI 1", "SM_SIGNER")
	cert, _, _ := owner.p12(t, "user", robot, "name", "pipeline", "end", "2027-01-10")
	mine, _, _ := owner.p12(t, "name", "laptop", "end", "2027-01-10")
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	for _, path := range []string{"/client-certificates/" + cert, "/service-users/" + robot, "/service-users"} {
		a := reader.get(t, path)
		for _, act := range []string{"/disable\"", "/delete\"", "/edit\"", "tokens/new", "/service-users/new"} {
			if a.status != http.StatusOK || strings.Contains(a.body, act) {
				t.Errorf("%s = %d for a reader, or leads to %s", path, a.status, act)
			}
		}
	}
	for _, path := range []string{"/client-certificates/" + cert + "/disable", "/service-users/" + robot + "/delete", "/service-users/" + robot + "/edit", "/service-users/new"} {
		reader.post(t, http.StatusForbidden, path, "friendly_name", "x", "email", "x@example.com")
	}
	reader.p12(t, "name", "my own", "end", "2027-01-10")
	manager := w.member(t, account, "manager@northwind.example", "AM_USER_MANAGER")
	manager.post(t, http.StatusForbidden, "/client-certificates/"+mine+"/disable")
	manager.post(t, http.StatusSeeOther, "/client-certificates/"+cert+"/disable")
	if body := manager.get(t, "/client-certificates/"+mine).body; strings.Contains(body, "/disable") {
		t.Error("a manager is led to what is refused")
	}
	adaID := got(w.iam.FindUsers(t.Context(), townOperator, account, iam.UserFilter{Email: ada}))(t)[0].ID.String()
	manager.post(t, http.StatusNotFound, "/client-certificates/new", "how", "here", "user", adaID, "name", "stolen", "end", "2027-01-10")
	manager.post(t, http.StatusForbidden, "/tokens/new", "user", adaID, "name", "stolen")
	if certs := got(w.db.UserCertsOfAccount(t.Context(), account))(t); len(certs) != 3 {
		t.Errorf("there are %d certificates", len(certs))
	}
	var log []string
	for _, e := range got(w.db.AuditEvents(t.Context(), store.AuditFilter{Action: "client_certificate.disable"}))(t).Events {
		log = append(log, e.Object)
	}
	if !slices.Equal(log, []string{cert}) {
		t.Errorf("the audit log has %q", log)
	}
}

// TestClientPages looks at the pages in a browser, and takes a certificate with a script's
// help: the password is covered, and leaving asks until it is said to be stored.
func TestClientPages(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	robot, _ := g.serviceUser(t, "Metering pipeline", "SM_SIGNER")
	g.p12(t, "user", robot, "name", "metering_prod", "end", "2027-01-10")
	g.serviceUser(t, "Backup")
	manager := w.member(t, account, "grace@northwind.example", "AM_USER_MANAGER", "read_only")
	cert, _, _ := manager.p12(t, "user", robot, "name", "metering_prod 2027", "end", "2027-12-24")

	v := browse.NewVisit(t, w.url)
	v.Open(t, "/sign-in")
	v.Fill(t, "email", "grace@northwind.example")
	v.Fill(t, "password", horse)
	v.Press(t, "main button[type=submit]")
	v.Arrive(t, "/")
	for _, at := range []struct{ path, name string }{
		{"/client-certificates", "clients"}, {"/client-certificates/" + cert, "client"}, {"/client-certificates/" + cert + "/delete", "client-delete"},
		{"/service-users", "service-users"}, {"/service-users/new", "service-user-new"}, {"/service-users/" + robot, "service-user"}, {"/me", "me"},
		{"/tokens/new?user=" + robot, "token-new"}, {"/client-certificates/new", "client-who"},
	} {
		v.Open(t, at.path)
		v.At(t, strings.Split(at.path, "?")[0], at.name)
	}
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-end")))
	v.At(t, "/client-certificates/new", "client-what")
	v.Press(t, `[data-fill="f-end"]`)
	v.Fill(t, "name", "laptop")
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[data-secret-cover]")))
	v.At(t, "/client-certificates/new", "client-made")
	if password := v.TextOf(t, "#password"); len(password) != 12 {
		t.Errorf("the password is %q", password)
	}
	v.Press(t, "[data-stored]")
	v.Press(t, "[data-stored-form] button")
	v.Arrive(t, "/client-certificates/mtl_")
	mine := got(w.db.UserCertsOfAccount(t.Context(), account))(t)[0]
	if mine.Name != "laptop" || mine.NotAfter.Format(time.DateOnly) != "2027-02-20" {
		t.Errorf("the certificate is %q until %s, want 90 days", mine.Name, mine.NotAfter)
	}
}
