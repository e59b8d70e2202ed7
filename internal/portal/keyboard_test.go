package portal_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/telamon-ca/telamon/internal/testkit/browse"
)

// TestByKeyboard makes a credential and an mTLS certificate by keys alone, from the
// dashboard to the pages of the results, and reads pages as a screen reader does.
func TestByKeyboard(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	domain := g.claim(t, w.domainService(t, account), "domain", "shop.example.com")
	v := browse.NewVisit(t, w.url)
	g.moveTo(t, v)
	v.Open(t, "/")
	v.Arrive(t, "/")
	inOrder(t, v.Reading(t), "RootWebArea Dashboard", "link Skip", "button Ada Wolff", "navigation ", "link Dashboard", "link Domains", "heading Dashboard", "heading Get a service", "heading Generate an API credential", "link Generate credential", "heading Prove control of a domain")
	v.TabTo(t, `.todo a[href="/credentials/new"]`)
	v.Keys(t, kb.Enter)
	v.Arrive(t, "/credentials/new")
	inOrder(t, v.Reading(t), "heading Generate API credential", "navigation Steps", "radio ", "button Continue", "complementary Summary")
	next := func(shows string) {
		t.Helper()
		v.TabTo(t, ".form-acts button")
		v.Keys(t, kb.Enter)
		v.Do(t, chromedp.WaitVisible(chromedp.CSS(shows)))
	}
	next("[name=service][type=radio]")
	v.TabTo(t, "[name=service]")
	v.Keys(t, " ")
	next("[name=identity][type=radio]")
	v.TabTo(t, "[name=identity]")
	v.Keys(t, " ")
	next("#f-name")
	inOrder(t, v.Reading(t), "heading Generate API credential", "StaticText Familiar name", "textbox Familiar name", "group Must log-ins", "radio Required", "button Generate credential")
	v.TabTo(t, "#f-name")
	v.Keys(t, "metering_prod")
	next("[data-secret-cover]")
	v.TabTo(t, "[data-stored]")
	v.Keys(t, " ")
	v.TabTo(t, ".form-acts button")
	v.Keys(t, kb.Enter)
	v.Arrive(t, "/credentials/crd_")

	v.TabTo(t, `#nav a[href="/mtls"]`)
	v.Keys(t, kb.Enter)
	v.Arrive(t, "/mtls")
	v.TabTo(t, `main a[href^="/mtls/new"]`)
	v.Keys(t, kb.Enter)
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[value=direct]")))
	v.TabTo(t, "[name=connect]")
	for range 2 {
		if !browse.Run(t, v.Browser, chromedp.Evaluate[bool](`document.querySelector("[value=direct]").checked`)) {
			v.Keys(t, kb.ArrowDown)
		}
	}
	next("[name=credential]")
	if !browse.Run(t, v.Browser, chromedp.Evaluate[bool](`document.querySelector("[name=credential]").checked`)) {
		v.TabTo(t, "[name=credential]")
		v.Keys(t, " ")
	}
	next("#f-csr")
	v.TabTo(t, "#f-csr")
	v.Paste(t, newCSR(t))
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".inspection .notice.good")))
	v.TabTo(t, ".form-acts button")
	v.Keys(t, kb.Enter)
	v.Arrive(t, "/mtls/mtl_")
	if text := v.TextOf(t, "figure.block code"); !strings.Contains(text, "BEGIN CERTIFICATE") {
		t.Errorf("the page of the result shows %q", text)
	}

	v.Open(t, domain)
	v.Arrive(t, domain)
	inOrder(t, v.Reading(t), "heading shop.example.com", "link New code", "heading Show control", "link DNS TXT",
		"StaticText Authorization domain name", "combobox Authorization domain name", "button Copy", "button Check now", "heading About this claim")
	v.Quiet(t)
}

// inOrder holds that there are lines with these beginnings, one after the other.
func inOrder(t *testing.T, lines []string, beginnings ...string) {
	t.Helper()
	rest := lines
	for _, b := range beginnings {
		at := slices.IndexFunc(rest, func(line string) bool { return strings.HasPrefix(line, b) })
		if at < 0 {
			t.Errorf("%q is not read, or not in its place:\n%s", b, strings.Join(lines, "\n"))
			return
		}
		rest = rest[at+1:]
	}
}
