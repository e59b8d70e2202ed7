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

// TestDomains walks through claims by every method: what is published is found, and what is
// not is told. Records, files and mails are real ones.
func TestDomains(t *testing.T) {
	w := newTown(t)
	w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	const manager = "domains@northwind.example"
	g := w.member(t, account, manager, "manage_domains")
	back := func(t testing.TB) { // after the session has ended
		g.post(t, http.StatusSeeOther, "/sign-in", "email", manager, "password", horse, "next", "/")
	}
	mustSay(t, g.get(t, "/domains/new").body, "Needs an active identity")
	identity := w.domainService(t, account)
	mustSay(t, g.get(t, "/domains").body, "No domains yet", `href="/domains/new"`)

	t.Run("names that cannot be claimed", func(t *testing.T) {
		for name, want := range map[string]string{
			"co.uk": "public suffix", "intranet": "one label", "192.0.2.1": "This is an IP address", "www.localhost": "reserved",
			"1.0.0.127.in-addr.arpa": "reserved", "*.example.com": "wildcard", "a..b": "not a domain name", "": "not a domain name",
		} {
			a := g.post(t, http.StatusUnprocessableEntity, "/domains/new", "identity", identity, "kind", "domain", "name", name, "then", "later")
			mustSay(t, a.body, want, `class="error-summary"`)
		}
		g.post(t, http.StatusUnprocessableEntity, "/domains/new", "identity", identity, "kind", "ip", "name", "10.0.0.1", "then", "later")
		g.post(t, http.StatusUnprocessableEntity, "/domains/new", "identity", "x", "kind", "domain", "name", "a.example.com", "then", "later")
		stranger := telamon.NewIdentityID().String()
		if a := g.send(t, http.MethodPost, "/domains/new", form("identity", stranger, "kind", "domain", "name", "a.example.com")); a.status != http.StatusNotFound {
			t.Errorf("a claim for an unknown identity = %d", a.status)
		}
		mustSay(t, g.get(t, "/domains").body, "No domains yet")
	})

	t.Run("DNS, and a new code", func(t *testing.T) {
		path := g.claim(t, identity, "domain", "Bücher.Example.com")
		mustSay(t, g.get(t, path).body, "xn--bcher-kva.example.com", "bücher.example.com")
		old := g.code(t, path)
		mustSay(t, g.get(t, path+"?method=dns&at=example.com").body, `example.com. 300 IN TXT &#34;`+old+`&#34;`)
		check := func() string {
			to := g.post(t, http.StatusSeeOther, path+"/check", "method", "dns", "at", "example.com").header.Get("Location")
			return g.settled(t, strings.TrimSuffix(to, "#watch"))
		}
		mustSay(t, check(), "No matching TXT record at example.com. Found: 0 records.", "Expected: "+old, "looks again by itself")
		must(t, w.outside.DNS.Add("example.com", "TXT", old))
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
		must(t, w.outside.DNS.Add("example.com", "TXT", fresh))
		w.clock.Advance(time.Minute)
		if page := check(); strings.Contains(page, "The old record does not count") {
			t.Error("a verified claim still compares codes")
		}
		w.clock.Advance(90 * 24 * time.Hour) // the dated rules end it after 113
		back(t)
		mustSay(t, g.get(t, "/domains?state=expiring").body, "Expires soon")
	})

	t.Run("DNS by CNAME", func(t *testing.T) {
		path := g.claim(t, identity, "domain", "alias.example.net")
		at := path + "?method=cname&at=example.net&to=codes.example.org"
		code := g.code(t, at)
		mustSay(t, g.get(t, at).body, "_acme-challenge.example.net. 300 IN CNAME codes.example.org.", "codes.example.org. 300 IN TXT")
		must(t, w.outside.DNS.Add("_acme-challenge.example.net", "CNAME", "codes.example.org."))
		must(t, w.outside.DNS.Add("codes.example.org", "TXT", code))
		g.post(t, http.StatusSeeOther, path+"/check", "method", "cname", "at", "example.net", "to", "codes.example.org")
		mustSay(t, g.settled(t, path), "The domain is verified.")
	})

	t.Run("HTTP", func(t *testing.T) {
		path := g.claim(t, identity, "domain", "web.example.net")
		code := g.code(t, path+"?method=http")
		must(t, w.outside.DNS.Add("web.example.net", "A", "127.0.0.1"))
		w.outside.HTTP.Handle("web.example.net", http.RedirectHandler("http://elsewhere.example.net/", http.StatusMovedPermanently))
		g.post(t, http.StatusSeeOther, path+"/check", "method", "http", "scheme", "http")
		mustSay(t, g.settled(t, path), "http://web.example.net/.well-known/pki-validation/gsdv.txt answered 301. Redirects are not followed.") // DOM-03
		w.outside.HTTP.Handle("web.example.net", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.Write([]byte(code)) }))
		g.post(t, http.StatusSeeOther, path+"/check", "method", "http", "scheme", "https")
		mustSay(t, g.settled(t, path), "The domain is verified.", "web.example.net alone")
	})

	t.Run("an address", func(t *testing.T) {
		path := g.claim(t, identity, "ip", "127.0.0.1")
		code := g.code(t, path)
		w.outside.HTTP.Put("127.0.0.1", "/.well-known/pki-validation/gsdv.txt", []byte(code))
		g.post(t, http.StatusSeeOther, path+"/check", "method", "http", "scheme", "http")
		mustSay(t, g.settled(t, path), "The domain is verified.")
	})

	t.Run("a standing record", func(t *testing.T) {
		path := g.claim(t, identity, "domain", "stands.example.net")
		page := g.get(t, path+"?method=persist").body
		value := "ca.example.net; accounturi=acct:" + account.String() + "@ca.example.net"
		mustSay(t, page, "_validation-persist.stands.example.net", value, "10 days")
		must(t, w.outside.DNS.Add("_validation-persist.stands.example.net", "TXT", value))
		g.post(t, http.StatusSeeOther, path+"/check", "method", "persist", "at", "stands.example.net")
		mustSay(t, g.settled(t, path), "The domain is verified.", "Expires soon")
	})

	t.Run("mail", func(t *testing.T) {
		path := g.claim(t, identity, "domain", "mail.example.net")
		mustSay(t, g.get(t, path+"?method=email").body, "hostmaster@mail.example.net", "admin@example.net")
		g.post(t, http.StatusUnprocessableEntity, path+"/mail", "address", "eve@example.org")
		g.post(t, http.StatusSeeOther, path+"/mail", "address", "admin@example.net")
		mustSay(t, g.get(t, path).body, "Mail sent to admin@example.net.")
		var id telamon.MailID
		must(t, w.raw.QueryRowContext(t.Context(), "SELECT id FROM mail WHERE recipient = 'admin@example.net' AND template = ?", notify.TemplateClaimApproval).Scan(&id))
		message := got(w.ra.RenderMail(t.Context(), got(w.db.Mail(t.Context(), id))(t)))(t)
		_, value, _ := strings.Cut(message.Text, portal.ApprovePath)
		value, _, _ = strings.Cut(value, "\n")
		got(w.ra.Approve(t.Context(), netip.MustParseAddr("192.0.2.9"), "req_mailbox", strings.TrimSpace(value)))(t)
		mustSay(t, g.get(t, path).body, `class="state good"`)
	})

	t.Run("a code that has expired", func(t *testing.T) {
		path := g.claim(t, identity, "domain", "late.example.net")
		w.clock.Advance(31 * 24 * time.Hour)
		back(t)
		g.post(t, http.StatusSeeOther, path+"/check", "method", "dns", "at", "late.example.net")
		mustSay(t, g.get(t, path).body, "Create a new code.", path+"/renew")
		mustSay(t, g.get(t, "/domains?state=expired").body, "stands.example.net")
	})

	t.Run("the list and its file", func(t *testing.T) {
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
	})

	t.Run("strangers, readers and the end", func(t *testing.T) {
		path := g.claim(t, identity, "domain", "last.example.net")
		other := w.admin(t, "eve@globex.example", "Globex")
		reader := w.member(t, account, "reader@northwind.example", "read_only")
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
	})
	if log := w.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log has an error:\n%s", log)
	}
}
