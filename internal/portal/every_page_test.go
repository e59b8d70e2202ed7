package portal_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/testkit/browse"
)

// inUse gives an account of everything what people make in the portal, so that each page
// has something to show, and returns its administrator.
func (w *town) inUse(t *testing.T) *guest {
	t.Helper()
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	_, cert := g.made(t, account, "metering_prod")
	g.wants(t, "/mtls/"+cert)
	pairs := w.sites(t, account, false, 40)
	first := g.requested(t, pairs, newSiteKey(t, "www.example.com").csr)
	g.requested(t, pairs, newSiteKey(t, "shop.example.com").csr)
	g.post(t, http.StatusSeeOther, first+"/revoke", "reason", "superseded")
	identity := w.domainService(t, account)
	open := g.claim(t, identity, "domain", "bücher.example.com")
	g.post(t, http.StatusSeeOther, open+"/check", "method", "dns", "at", "example.com")
	g.settled(t, open)
	verified := g.claim(t, identity, "domain", "www.example.net")
	must(t, w.outside.DNS.Add("example.net", "TXT", g.code(t, verified)))
	g.post(t, http.StatusSeeOther, verified+"/check", "method", "dns", "at", "example.net")
	g.settled(t, verified)
	robot, _ := g.serviceUser(t, "Metering pipeline", "SM_SIGNER")
	g.p12(t, "user", robot, "name", "metering_prod", "end", "2027-01-10")
	made := g.post(t, http.StatusSeeOther, "/identities/new", "type", "tls_ov", "name", "Leeds",
		"data.organization", "Northwind Energy Supply Ltd", "data.locality", "Leeds", "data.country", "GB").header.Get("Location")
	g.post(t, http.StatusSeeOther, made+"/submit")
	g.post(t, http.StatusSeeOther, "/identities/new", "type", "tls_ov", "name", "York",
		"data.organization", "Northwind Energy Supply Ltd", "data.locality", "York", "data.country", "GB")
	g.post(t, http.StatusSeeOther, "/members/invite", "email", "carol@northwind.example", "language", "de_DE", "roles", "finance", "roles", "manage_domains")
	w.member(t, account, "reader@northwind.example", authz.RoleReadOnly)
	w.offer(t, account, "Business TLS", false)
	return g
}

// onDuty returns one of the staff who does everything, with work to do.
func (w *town) onDuty(t *testing.T) *guest {
	t.Helper()
	ours := w.staff(t, "Example Trust")
	g := w.operator(t, ours, "olga@trust.example", authz.RoleCAOperator, authz.RoleVettingAgent, authz.RoleSales)
	report := w.guest(t).post(t, http.StatusCreated, "/report", "reporter", "eve@example.net", "category", "misuse", "words", "It is used for phishing.").body
	g.post(t, http.StatusSeeOther, "/operator/reports/"+reportID.FindString(report)+"/accept", "category", "misuse", "summary", "It is so.")
	w.guest(t).post(t, http.StatusCreated, "/report", "reporter", "mallory@example.net", "category", "misuse", "words", "It is used for spam.")
	service := regexp.MustCompile(`/operator/services/svc_[0-9a-z]{26}`).FindString(g.get(t, "/operator/services").body)
	form := formValues(t, g.get(t, service).body)
	form.Set("act", "save")
	form.Set("seconds_max", "43200")
	if a := g.send(t, http.MethodPost, service, form); a.status != http.StatusSeeOther {
		t.Fatalf("changing a policy = %d", a.status)
	}
	here := caseLink.FindString(g.get(t, "/operator/vetting").body)
	g.upload(t, here+"/evidence", "register.pdf", []byte("%PDF-1.7\nthe register"))
	g.post(t, http.StatusSeeOther, here+"/checks/new", "kind", "contact", "source", "the form", "method", "listed_number", "contact", "+44 113", "note", "called", "origin", "applicant")
	account := w.accountOf(t, ada).String()
	offered := got(w.iam.ServiceNamed(t.Context(), townOperator, "Business TLS"))(t).ID.String()
	g.post(t, http.StatusSeeOther, "/operator/quotes/new", "account", account, "currency", "EUR",
		"lines[0].service", offered, "lines[0].amount", "100", "lines[0].months", "12", "lines[0].price", "12.50")
	got(w.db.NewSequencer(w.logSigner).Turn(t.Context()))(t)
	return g
}

// TestEveryPage opens every page that can be reached, wide and light, narrow and dark, and
// between: axe finds nothing serious, nothing is cut off or moves, and the browser does not
// complain. With TELAMON_TEST_SCREENSHOTS it leaves pictures of each.
func TestEveryPage(t *testing.T) {
	w := newTown(t)
	admin, staff := w.inUse(t), w.onDuty(t)
	for _, who := range []struct {
		name  string
		guest *guest
		least int // pages that they reach
	}{
		{"stranger", w.guest(t), 4}, {"administrator", admin, 60}, {"staff", staff, 35},
	} {
		t.Run(who.name, func(t *testing.T) {
			pages := who.guest.distinct(t, who.name)
			if len(pages) < who.least {
				t.Errorf("%d pages can be reached: %q", len(pages), slices.Sorted(maps.Keys(pages)))
			}
			v := browse.NewVisit(t, w.url)
			if who.name != "stranger" {
				who.guest.moveTo(t, v)
			}
			for _, route := range slices.Sorted(maps.Keys(pages)) {
				t.Run(route, func(t *testing.T) { lookAt(t, v, who.name, route, pages[route]) })
			}
		})
	}
}

// distinct returns the pages that somebody reaches, but for the same list with another filter.
func (g *guest) distinct(t *testing.T, who string) map[string]string {
	t.Helper()
	pages := g.crawl(t)
	if who == "stranger" {
		for _, path := range []string{"/sign-in", "/register", "/reset", "/report"} {
			pages[path] = path
		}
		return pages
	}
	for route := range pages {
		path, query, _ := strings.Cut(route, "?")
		own := who != "staff" || strings.HasPrefix(route, "/operator")
		if !own || query != "" && pages[path] != "" && !strings.HasSuffix(path, "/new") && !strings.Contains(query, "method") {
			delete(pages, route)
		}
	}
	return pages
}

var noName = regexp.MustCompile(`[^a-z]+`)

// lookAt looks at one page.
func lookAt(t *testing.T, v *browse.Visit, who, route, path string) {
	t.Helper()
	name := who + strings.TrimRight(noName.ReplaceAllString(strings.ReplaceAll(route, "{id}", "one"), "-"), "-")
	v.Look(t, 1280, 800, "light")
	v.Open(t, path)
	v.Arrive(t, got(url.Parse(path))(t).Path)
	if moved := browse.Run(t, v.Browser, chromedp.Evaluate[float64](shifts, chromedp.EvalAwaitPromise)); moved > 0 {
		t.Errorf("%s: the page moves by %.4f", path, moved)
	}
	v.LoadAxe(t)
	pictures := os.Getenv("TELAMON_TEST_SCREENSHOTS") != ""
	for _, at := range []struct {
		width        int64
		scheme       string
		checked, axe bool
	}{{1280, "light", true, true}, {360, "dark", true, true}, {768, "light", true, false}, {1280, "dark", false, false}, {360, "light", false, false}} {
		if !at.checked && !pictures {
			continue
		}
		full := fmt.Sprintf("%s-%d-%s", name, at.width, at.scheme)
		v.Look(t, at.width, 800, at.scheme)
		v.Shoot(t, full)
		if at.checked {
			v.Check(t, full, at.width)
		}
		if at.axe {
			v.CheckAxe(t, full)
		}
	}
	v.Quiet(t)
}
