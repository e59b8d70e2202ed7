package portal_test

import (
	"encoding/csv"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/portal"
)

// domainService gives an account a service that demands domain validation, and an active
// identity, whose ID it returns.
func (w *town) domainService(t testing.TB, account telamon.AccountID) string {
	t.Helper()
	ctx := t.Context()
	service := got(w.iam.CreateService(ctx, townOperator, iam.ServiceSpec{
		Name: "TLS " + account.String(), PolicyTemplate: []byte(townPolicy), Series: "tls-ec", Unlimited: true, DomainValidation: true,
	}))(t)
	got(w.iam.Subscribe(ctx, townOperator, account, service.ID))(t)
	identity := got(w.iam.CreateIdentity(ctx, townOperator, account, "Northwind OV", map[string]string{"organization": "Northwind Energy Supply Ltd"}))(t)
	for _, to := range []telamon.IdentityState{telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive} {
		must(t, w.iam.MoveIdentity(ctx, townOperator, account, identity.ID, iam.IdentityMove{To: to, Reason: "a test"}))
	}
	return identity.ID.String()
}

// claim adds a domain in the portal and returns the path of its page.
func (g *guest) claim(t testing.TB, identity, kind, name string) string {
	t.Helper()
	return g.post(t, http.StatusSeeOther, "/domains/new", "identity", identity, "kind", kind, "name", name, "then", "verify").header.Get("Location")
}

// form returns the values of a form.
func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

var codeInPage = regexp.MustCompile(`telamon-domain-verification=[0-9a-f]{32}`)

// code returns the first code on a page.
func (g *guest) code(t testing.TB, path string) string {
	t.Helper()
	a := g.get(t, path)
	code := codeInPage.FindString(a.body)
	if a.status != http.StatusOK || code == "" {
		t.Fatalf("%s = %d, without a code:\n%s", path, a.status, a.body)
	}
	return code
}

// settled loads the page of a claim until no check runs.
func (g *guest) settled(t testing.TB, path string) string {
	t.Helper()
	for range 500 {
		a := g.get(t, path)
		if !strings.Contains(a.body, `aria-busy="true"`) {
			return a.body
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	t.Fatalf("a check of %s does not end", path)
	return ""
}

// mustSay holds that a page has each of the texts.
func mustSay(t testing.TB, body string, texts ...string) {
	t.Helper()
	body = strings.ReplaceAll(body, "<wbr>", "")
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not say %q:\n%s", text, body)
		}
	}
}

// A claimant is who may claim domains for an account, and for which identity they do.
type claimant struct {
	*guest
	account  telamon.AccountID
	identity string
}

// claimManager is the address of the claimant.
const claimManager = "domains@northwind.example"

// back signs the claimant in again, whose session has ended.
func (g *claimant) back(t testing.TB) {
	t.Helper()
	g.post(t, http.StatusSeeOther, "/sign-in", "email", claimManager, "password", horse, "next", "/")
}

// TestDomains walks through claims by every method: what is published is found, and what is
// not is told. Records, files and mails are real ones. The parts follow one another in time.
func TestDomains(t *testing.T) {
	w := newTown(t)
	w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	g := &claimant{guest: w.member(t, account, claimManager, "manage_domains"), account: account}
	mustSay(t, g.get(t, "/domains/new").body, "Needs an active identity")
	g.identity = w.domainService(t, account)
	mustSay(t, g.get(t, "/domains").body, "No domains yet", `href="/domains/new"`)
	t.Run("names that cannot be claimed", g.refusedNames)
	t.Run("DNS, and a new code", g.byDNS)
	t.Run("DNS by CNAME", g.byCNAME)
	t.Run("HTTP", g.byHTTP)
	t.Run("an address", g.ofAddress)
	t.Run("a standing record", g.byStandingRecord)
	t.Run("mail", g.byMail)
	t.Run("a code that has expired", g.expiredCode)
	t.Run("the list and its file", g.listed)
	t.Run("strangers, readers and the end", g.othersAndEnd)
	if log := w.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log has an error:\n%s", log)
	}
}

// refusedNames claims what nobody can claim.
func (g *claimant) refusedNames(t *testing.T) {
	for name, want := range map[string]string{
		"co.uk": "public suffix", "intranet": "one label", "192.0.2.1": "This is an IP address", "www.localhost": "reserved",
		"1.0.0.127.in-addr.arpa": "reserved", "*.example.com": "wildcard", "a..b": "not a domain name", "": "not a domain name",
	} {
		a := g.post(t, http.StatusUnprocessableEntity, "/domains/new", "identity", g.identity, "kind", "domain", "name", name, "then", "later")
		mustSay(t, a.body, want, `class="error-summary"`)
	}
	g.post(t, http.StatusUnprocessableEntity, "/domains/new", "identity", g.identity, "kind", "ip", "name", "10.0.0.1", "then", "later")
	g.post(t, http.StatusUnprocessableEntity, "/domains/new", "identity", "x", "kind", "domain", "name", "a.example.com", "then", "later")
	stranger := telamon.NewIdentityID().String()
	if a := g.send(t, http.MethodPost, "/domains/new", form("identity", stranger, "kind", "domain", "name", "a.example.com")); a.status != http.StatusNotFound {
		t.Errorf("a claim for an unknown identity = %d", a.status)
	}
	mustSay(t, g.get(t, "/domains").body, "No domains yet")
}

// byDNS shows control by a TXT record, then by another one for a new code.
func (g *claimant) byDNS(t *testing.T) {
	path := g.claim(t, g.identity, "domain", "Bücher.Example.com")
	mustSay(t, g.get(t, path).body, "xn--bcher-kva.example.com", "bücher.example.com")
	old := g.code(t, path)
	mustSay(t, g.get(t, path+"?method=dns&at=example.com").body, `example.com. 300 IN TXT &#34;`+old+`&#34;`)
	check := func() string {
		to := g.post(t, http.StatusSeeOther, path+"/check", "method", "dns", "at", "example.com").header.Get("Location")
		return g.settled(t, strings.TrimSuffix(to, "#watch"))
	}
	mustSay(t, check(), "No matching TXT record at example.com. Found: 0 records.", "Expected: "+old, "looks again by itself")
	must(t, g.town.outside.DNS.Add("example.com", "TXT", old))
	mustSay(t, check(), "The domain is verified.", `class="state good"`, "all names below it")

	mustSay(t, g.get(t, path+"/renew").body, "does not count any more")
	g.post(t, http.StatusSeeOther, path+"/renew")
	page := g.get(t, path).body
	fresh := g.code(t, path)
	mustSay(t, page, "The old record does not count", old, fresh, `class="state good"`)
	if fresh == old {
		t.Error("the new code is the old one")
	}
	mustSay(t, check(), "No matching TXT record at example.com. Found: 1 records.", "Expected: "+fresh) // DOM-02
	must(t, g.town.outside.DNS.Add("example.com", "TXT", fresh))
	g.town.clock.Advance(time.Minute)
	if page := check(); strings.Contains(page, "The old record does not count") {
		t.Error("a verified claim still compares codes")
	}
	g.town.clock.Advance(90 * 24 * time.Hour) // the dated rules end it after 113
	g.back(t)
	mustSay(t, g.get(t, "/domains?state=expiring").body, "Expires soon")
}

// byCNAME shows control by a TXT record at the end of a CNAME.
func (g *claimant) byCNAME(t *testing.T) {
	path := g.claim(t, g.identity, "domain", "alias.example.net")
	at := path + "?method=cname&at=example.net&to=codes.example.org"
	code := g.code(t, at)
	mustSay(t, g.get(t, at).body, "_acme-challenge.example.net. 300 IN CNAME codes.example.org.", "codes.example.org. 300 IN TXT")
	must(t, g.town.outside.DNS.Add("_acme-challenge.example.net", "CNAME", "codes.example.org."))
	must(t, g.town.outside.DNS.Add("codes.example.org", "TXT", code))
	g.post(t, http.StatusSeeOther, path+"/check", "method", "cname", "at", "example.net", "to", "codes.example.org")
	mustSay(t, g.settled(t, path), "The domain is verified.")
}

// byHTTP shows control by a file, which a redirect is not.
func (g *claimant) byHTTP(t *testing.T) {
	path := g.claim(t, g.identity, "domain", "web.example.net")
	code := g.code(t, path+"?method=http")
	must(t, g.town.outside.DNS.Add("web.example.net", "A", "127.0.0.1"))
	g.town.outside.HTTP.Handle("web.example.net", http.RedirectHandler("http://elsewhere.example.net/", http.StatusMovedPermanently))
	g.post(t, http.StatusSeeOther, path+"/check", "method", "http", "scheme", "http")
	mustSay(t, g.settled(t, path), "http://web.example.net/.well-known/pki-validation/gsdv.txt answered 301. Redirects are not followed.") // DOM-03
	g.town.outside.HTTP.Handle("web.example.net", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.Write([]byte(code)) }))
	g.post(t, http.StatusSeeOther, path+"/check", "method", "http", "scheme", "https")
	mustSay(t, g.settled(t, path), "The domain is verified.", "web.example.net alone")
}

// ofAddress shows control of an IP address.
func (g *claimant) ofAddress(t *testing.T) {
	path := g.claim(t, g.identity, "ip", "127.0.0.1")
	code := g.code(t, path)
	g.town.outside.HTTP.Put("127.0.0.1", "/.well-known/pki-validation/gsdv.txt", []byte(code))
	g.post(t, http.StatusSeeOther, path+"/check", "method", "http", "scheme", "http")
	mustSay(t, g.settled(t, path), "The domain is verified.")
}

// byStandingRecord shows control by a record that stays.
func (g *claimant) byStandingRecord(t *testing.T) {
	path := g.claim(t, g.identity, "domain", "stands.example.net")
	page := g.get(t, path+"?method=persist").body
	value := "ca.example.net; accounturi=acct:" + g.account.String() + "@ca.example.net"
	mustSay(t, page, "_validation-persist.stands.example.net", value, "10 days")
	must(t, g.town.outside.DNS.Add("_validation-persist.stands.example.net", "TXT", value))
	g.post(t, http.StatusSeeOther, path+"/check", "method", "persist", "at", "stands.example.net")
	mustSay(t, g.settled(t, path), "The domain is verified.", "Expires soon")
}

// byMail shows control by a mailbox of the domain.
func (g *claimant) byMail(t *testing.T) {
	path := g.claim(t, g.identity, "domain", "mail.example.net")
	mustSay(t, g.get(t, path+"?method=email").body, "hostmaster@mail.example.net", "admin@example.net")
	g.post(t, http.StatusUnprocessableEntity, path+"/mail", "address", "eve@example.org")
	g.post(t, http.StatusSeeOther, path+"/mail", "address", "admin@example.net")
	mustSay(t, g.get(t, path).body, "Mail sent to admin@example.net.")
	var id telamon.MailID
	must(t, g.town.raw.QueryRowContext(t.Context(), "SELECT id FROM mail WHERE recipient = 'admin@example.net' AND template = ?", notify.TemplateClaimApproval).Scan(&id))
	message := got(g.town.ra.RenderMail(t.Context(), got(g.town.db.Mail(t.Context(), id))(t)))(t)
	_, value, _ := strings.Cut(message.Text, portal.ApprovePath)
	value, _, _ = strings.Cut(value, "\n")
	got(g.town.ra.Approve(t.Context(), netip.MustParseAddr("192.0.2.9"), "req_mailbox", strings.TrimSpace(value)))(t)
	mustSay(t, g.get(t, path).body, `class="state good"`)
}

// expiredCode checks a code after its 30 days.
func (g *claimant) expiredCode(t *testing.T) {
	path := g.claim(t, g.identity, "domain", "late.example.net")
	g.town.clock.Advance(31 * 24 * time.Hour)
	g.back(t)
	g.post(t, http.StatusSeeOther, path+"/check", "method", "dns", "at", "late.example.net")
	mustSay(t, g.get(t, path).body, "Create a new code.", path+"/renew")
	mustSay(t, g.get(t, "/domains?state=expired").body, "stands.example.net")
}

// listed searches the list, and gets it as a file.
func (g *claimant) listed(t *testing.T) {
	a := g.get(t, "/domains?q="+"%25.example.net&kind=domain")
	mustSay(t, a.body, "late.example.net", "web.example.net")
	if strings.Contains(a.body, "bücher") {
		t.Error("the pattern is not heeded")
	}
	if a := g.get(t, "/domains?q=%25example.net"); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong pattern = %d", a.status)
	}
	file := g.get(t, "/domains.csv?q=%25.example.net")
	rows, err := csv.NewReader(strings.NewReader(file.body)).ReadAll()
	if err != nil || len(rows) != 6 || rows[1][1] != "late.example.net" {
		t.Errorf("the file is %q, %v", rows, err)
	}
}

// othersAndEnd lets others try, and deletes the claim.
func (g *claimant) othersAndEnd(t *testing.T) {
	path := g.claim(t, g.identity, "domain", "last.example.net")
	other := g.town.admin(t, "eve@globex.example", "Globex")
	reader := g.town.member(t, g.account, "reader@northwind.example", "read_only")
	for _, act := range []string{"/check", "/mail", "/renew", "/delete"} {
		if a := other.send(t, http.MethodPost, path+act, form()); a.status != http.StatusNotFound {
			t.Errorf("another account's %s = %d", act, a.status)
		}
		if a := reader.send(t, http.MethodPost, path+act, form()); a.status != http.StatusForbidden {
			t.Errorf("a reader's %s = %d", act, a.status)
		}
	}
	if a := other.get(t, path); a.status != http.StatusNotFound || !strings.Contains(other.get(t, "/domains").body, "No domains yet") {
		t.Errorf("another account sees the claim: %d", a.status)
	}
	if a := reader.get(t, path); a.status != http.StatusOK || strings.Contains(a.body, path+"/delete") || strings.Contains(a.body, path+"/check") {
		t.Errorf("a reader's page = %d, with buttons", a.status)
	}
	mustSay(t, g.get(t, path+"/delete").body, "Nothing is issued for this name", "Certificates that were issued stay valid")
	g.post(t, http.StatusSeeOther, path+"/delete")
	if a := g.get(t, path); a.status != http.StatusNotFound {
		t.Errorf("a deleted claim = %d", a.status)
	}
}
