package portal_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/pquerna/otp/totp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// A guest uses the portal without a browser: forms and cookies, and no scripts.
type guest struct {
	town   *town
	http   http.Client
	header http.Header // of every request
}

// guest returns somebody who has not signed in.
func (w *town) guest(t testing.TB) *guest {
	t.Helper()
	g := &guest{town: w, header: http.Header{"Sec-Fetch-Site": {"same-origin"}}}
	g.http.Jar = got(cookiejar.New(nil))(t)
	g.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	g.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return g
}

// send makes a request and returns its whole answer.
func (g *guest) send(t testing.TB, method, path string, form url.Values) answer {
	t.Helper()
	r := got(http.NewRequestWithContext(t.Context(), method, g.town.url+path, strings.NewReader(form.Encode())))(t)
	r.Header = g.header.Clone()
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response := got(g.http.Do(r))(t)
	defer response.Body.Close()
	body := strings.ReplaceAll(string(got(io.ReadAll(response.Body))(t)), "<wbr>", "") // where words may break
	return answer{response.StatusCode, response.Header, body}
}

// get loads a page.
func (g *guest) get(t testing.TB, path string) answer {
	t.Helper()
	return g.send(t, http.MethodGet, path, nil)
}

// post sends a form, which must be answered with the status.
func (g *guest) post(t testing.TB, status int, path string, pairs ...string) answer {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	a := g.send(t, http.MethodPost, path, form)
	if a.status != status {
		t.Fatalf("POST %s = %d %v, want %d:\n%s", path, a.status, a.header, status, a.body)
	}
	return a
}

// member signs somebody in whom the operator has made, with roles that need no second
// factor.
func (w *town) member(t testing.TB, account telamon.AccountID, email string, roles ...string) *guest {
	t.Helper()
	got(w.iam.CreateUser(t.Context(), townOperator, iam.NewUser{Account: account, Email: email, Name: email, Roles: roles, Password: horse}))(t)
	g := w.guest(t)
	g.post(t, http.StatusSeeOther, "/sign-in", "email", email, "password", horse, "next", "/")
	return g
}

var totpSecret = regexp.MustCompile(`>([A-Z2-7]{32})<`)

// admin registers somebody and signs them in with a one-time password, without scripts.
func (w *town) admin(t testing.TB, email, company string) *guest {
	t.Helper()
	g := w.guest(t)
	g.post(t, http.StatusOK, "/register", "email", email, "password", horse)
	g.post(t, http.StatusSeeOther, w.mailed(t, email), "password", horse)
	g.post(t, http.StatusSeeOther, "/sign-in", "email", email, "password", horse, "next", "/credentials")
	g.post(t, http.StatusSeeOther, "/welcome", "name", "Ada Wolff", "company", company, "locality", "Leeds", "country", "gb", "kind", "direct")
	g.post(t, http.StatusSeeOther, "/welcome/agreement", "accept", "4.2 of 2026-03-01")
	secret := totpSecret.FindStringSubmatch(g.get(t, "/second-factor/enrol/totp").body)
	if secret == nil {
		t.Fatal("the page of one-time passwords has no secret")
	}
	g.post(t, http.StatusOK, "/second-factor/enrol/totp", "code", got(totp.GenerateCode(secret[1], w.clock.Now()))(t))
	return g
}
