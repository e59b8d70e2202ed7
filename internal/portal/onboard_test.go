package portal_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"crypto/x509"
	"encoding/pem"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// A visit is somebody's way through the portal in a browser. Each page that is looked at
// is checked, and kept as a picture if somebody asks for it.
type visit struct {
	*browser
	town *town
	axe  string
}

// visit opens a browser before a portal. Its passkeys are made and shown by themselves.
func (w *town) visit(t *testing.T) *visit {
	t.Helper()
	v := &visit{browser: openBrowser(t), town: w, axe: axe(t)}
	if _, err := chromedp.Call(v.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(v.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	v.look(t, 1280, 800, "light")
	return v
}

// open goes to a page by its path.
func (v *visit) open(t *testing.T, path string) {
	t.Helper()
	v.do(t, chromedp.Navigate(v.town.url+path))
}

// at waits for the page of a path, and checks it in each size and colour scheme.
func (v *visit) at(t *testing.T, path, name string) {
	t.Helper()
	v.arrive(t, path)
	v.do(t, chromedp.Evaluate[chromedp.Void](v.axe+"\n;undefined"))
	pictures := os.Getenv("TELAMON_TEST_SCREENSHOTS") != ""
	for _, width := range []int64{360, 768, 1280} {
		for _, scheme := range []string{"dark", "light"} {
			checked := scheme == "light" && width != 768
			if !checked && !pictures {
				continue
			}
			full := fmt.Sprintf("%s-%d-%s", name, width, scheme)
			v.look(t, width, 800, scheme)
			v.shoot(t, full)
			if checked {
				v.check(t, full, width)
			}
			if checked && width == 1280 { // the gallery has every component in other sizes and colours
				v.checkAxe(t, full)
			}
		}
	}
	v.quiet(t)
}

// arrive waits until the page of a path is loaded.
func (v *visit) arrive(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, 15*time.Second)
	defer cancel()
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	here := `document.readyState === "complete" && (location.pathname.startsWith("` + path + `") && "` + path + `" !== "/" || location.pathname === "` + path + `")`
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](here)) // fails while a page makes way for the next
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the page of %s does not come: %v", path, err)
		case <-ticks.C:
		}
	}
}

// fill puts text into the field of a name.
func (v *visit) fill(t *testing.T, name, text string) {
	t.Helper()
	v.do(t, chromedp.SetValue(chromedp.CSS(`[name="`+name+`"]`), text))
}

// press presses what a selector finds.
func (v *visit) press(t *testing.T, selector string) {
	t.Helper()
	v.do(t, chromedp.Click(chromedp.CSS(selector)))
}

// textOf returns the text of what a selector finds.
func (v *visit) textOf(t *testing.T, selector string) string {
	t.Helper()
	return run(t, v.browser, chromedp.TextContent(chromedp.CSS(selector)))
}

const (
	ada   = "ada@northwind.example"
	horse = "correct horse battery"
)

// enter registers somebody and signs them in, up to the dashboard.
func (v *visit) enter(t *testing.T) {
	t.Helper()
	v.open(t, "/")
	v.at(t, "/sign-in", "sign-in")
	v.press(t, `a[href="/register"]`)
	v.at(t, "/register", "register")
	v.fill(t, "email", ada)
	v.fill(t, "password", horse)
	v.press(t, "main button[type=submit]")
	v.do(t, chromedp.WaitVisible(chromedp.CSS(".below a[href='/sign-in']")))
	v.at(t, "/register", "registered")
	v.open(t, v.town.mailed(t, ada))
	v.at(t, "/verify/", "verify")
	v.fill(t, "password", horse)
	v.press(t, "main button[type=submit]")
	v.at(t, "/sign-in", "verified")
	v.fill(t, "email", ada)
	v.fill(t, "password", horse)
	v.press(t, "main button[type=submit]")
	v.at(t, "/welcome", "welcome")
	for name, text := range map[string]string{
		"name": "Ada Wolff", "company": "Northwind Energy Supply Ltd", "locality": "Leeds", "country": "GB", "job_title": "PKI lead",
	} {
		v.fill(t, name, text)
	}
	v.press(t, ".form-acts button")
	v.at(t, "/welcome/agreement", "agreement")
	v.press(t, "#f-accept")
	v.press(t, ".form-acts button")
	v.at(t, "/second-factor/enrol", "enrol")
	v.press(t, `a[href="/second-factor/enrol/totp"]`)
	v.at(t, "/second-factor/enrol/totp", "totp")
	v.open(t, "/second-factor/enrol")
	v.press(t, "form[data-passkey] button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS(".codes")))
	v.at(t, "/second-factor/enrol/passkey", "recovery")
	v.press(t, "[data-stored]")
	v.press(t, ".form-acts button")
	v.at(t, "/", "dashboard-new")
}

// TestOnboarding is the way from an address to a client that logs in: registration, the
// first sign-in, an API credential and an mTLS certificate, in a browser.
func TestOnboarding(t *testing.T) {
	w := newTown(t)
	v := w.visit(t)
	v.enter(t)
	if blocked := v.textOf(t, ".todo li:first-child .blocked-reason"); !strings.Contains(blocked, "operator") {
		t.Errorf("the first step waits for %q", blocked)
	}
	v.open(t, "/credentials")
	v.at(t, "/credentials", "credentials-empty")
	w.equip(t, w.accountOf(t, ada))

	v.open(t, "/")
	v.press(t, `.todo a[href="/credentials/new"]`)
	v.at(t, "/credentials/new", "credential-delivery")
	v.press(t, ".form-acts button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS("[name=service][type=radio]")))
	v.at(t, "/credentials/new", "credential-service")
	v.press(t, ".form-acts button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS("[name=identity][type=radio]")))
	v.press(t, ".form-acts button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS("#f-name")))
	v.fill(t, "name", "Metering!")
	v.press(t, ".form-acts button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS(".error-summary")))
	v.at(t, "/credentials/new", "credential-name-wrong")
	v.fill(t, "name", "metering_prod")
	v.press(t, ".form-acts button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS("[data-secret-cover]")))
	v.at(t, "/credentials/new", "credential-secret")
	key, secret := v.textOf(t, ".copy-box code"), v.textOf(t, "#secret")
	v.press(t, "[data-stored]")
	v.press(t, ".form-acts button")
	v.at(t, "/credentials/crd_", "credential")

	v.press(t, `.acts a[href^="/mtls/new"]`)
	v.do(t, chromedp.WaitVisible(chromedp.CSS("[name=credential]")))
	v.open(t, "/mtls/new")
	v.at(t, "/mtls/new", "mtls-connect")
	v.press(t, "[value=direct]")
	v.press(t, ".form-acts button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS("[name=credential]")))
	v.at(t, "/mtls/new", "mtls-credentials")
	v.press(t, ".form-acts button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS("#f-csr")))
	csr := newCSR(t)
	v.do(t, chromedp.SetValue(chromedp.ID("f-csr"), csr), chromedp.Evaluate[chromedp.Void](`document.getElementById("f-csr").dispatchEvent(new Event("input"))`))
	v.do(t, chromedp.WaitVisible(chromedp.CSS(".inspection .notice.good")))
	v.at(t, "/mtls/new", "mtls-request")
	v.press(t, ".form-acts button")
	v.at(t, "/mtls/mtl_", "mtls-issued")
	block, _ := pem.Decode([]byte(v.textOf(t, "figure.block code")))
	if block == nil {
		t.Fatal("the page has no certificate")
	}
	leaf := got(x509.ParseCertificate(block.Bytes))(t)
	request, _ := pem.Decode([]byte(csr))
	asked := got(x509.ParseCertificateRequest(request.Bytes))(t)
	if string(leaf.RawSubjectPublicKeyInfo) != string(asked.RawSubjectPublicKeyInfo) {
		t.Error("the certificate is for another key")
	}
	if token, err := w.iam.Login(t.Context(), netip.MustParseAddr("192.0.2.7"), leaf.Raw, key, secret); err != nil || token == "" {
		t.Errorf("a client cannot log in with what the portal gave it: %v", err)
	}

	v.open(t, "/mtls")
	v.at(t, "/mtls", "mtls")
	v.open(t, "/")
	v.at(t, "/", "dashboard")
	v.open(t, "/credentials")
	v.at(t, "/credentials", "credentials")
	v.press(t, ".row-link")
	v.do(t, chromedp.WaitVisible(chromedp.CSS(`.acts a[href$="/disable"]`)))
	v.press(t, `.acts a[href$="/disable"]`)
	v.do(t, chromedp.WaitVisible(chromedp.CSS(".danger")))
	v.at(t, "/credentials/crd_", "credential-disable")
	v.press(t, ".danger")
	v.do(t, chromedp.WaitVisible(chromedp.CSS(".state.off")))
	if _, err := w.iam.Login(t.Context(), netip.MustParseAddr("192.0.2.7"), leaf.Raw, key, secret); err == nil {
		t.Error("a disabled credential logs in")
	}
	v.open(t, "/services")
	v.at(t, "/services", "services")
	v.open(t, "/identities")
	v.at(t, "/identities", "identities")
	v.open(t, "/settings")
	v.at(t, "/settings", "settings")
	v.press(t, ".me-button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS("#me form[action='/sign-out'] button")))
	v.press(t, "#me form[action='/sign-out'] button")
	v.at(t, "/sign-in", "signed-out")
	v.fill(t, "email", ada)
	v.fill(t, "password", "wrong horse battery")
	v.press(t, "main button[type=submit]")
	v.do(t, chromedp.WaitVisible(chromedp.CSS(".error-summary")))
	v.at(t, "/sign-in", "sign-in-refused")
	v.fill(t, "password", horse)
	v.press(t, "main button[type=submit]")
	v.at(t, "/second-factor", "second-factor")
	v.press(t, "form[data-passkey] button")
	v.do(t, chromedp.WaitVisible(chromedp.CSS(".todo")))
	if log := w.log.String(); strings.Contains(log, secret) || strings.Contains(log, horse) || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log holds a secret, or an error:\n%s", log)
	}
}
