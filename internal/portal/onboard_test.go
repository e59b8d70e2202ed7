package portal_test

import (
	"net/netip"
	"strings"
	"testing"

	"crypto/x509"
	"encoding/pem"

	"github.com/chromedp/chromedp"

	"github.com/telamon-ca/telamon/internal/testkit/browse"
)

const (
	ada   = "ada@northwind.example"
	horse = "correct horse battery"
)

// enter registers somebody and signs them in, up to the dashboard.
func (w *town) enter(t *testing.T, v *browse.Visit) {
	t.Helper()
	v.Open(t, "/")
	v.At(t, "/sign-in", "sign-in")
	v.Press(t, `a[href="/register"]`)
	v.At(t, "/register", "register")
	v.Fill(t, "email", ada)
	v.Fill(t, "password", horse)
	v.Press(t, "main button[type=submit]")
	v.Do(t, chromedp.WaitNotPresent(chromedp.ID("f-email")))
	v.At(t, "/register", "registered")
	v.Open(t, w.mailed(t, ada))
	v.At(t, "/verify/", "verify")
	v.Fill(t, "password", horse)
	v.Press(t, "main button[type=submit]")
	v.At(t, "/sign-in", "verified")
	v.Fill(t, "email", ada)
	v.Fill(t, "password", horse)
	v.Press(t, "main button[type=submit]")
	v.At(t, "/welcome", "welcome")
	for name, text := range map[string]string{
		"name": "Ada Wolff", "company": "Northwind Energy Supply Ltd", "locality": "Leeds", "country": "GB", "job_title": "PKI lead",
	} {
		v.Fill(t, name, text)
	}
	v.Press(t, ".form-acts button")
	v.At(t, "/welcome/agreement", "agreement")
	v.Press(t, "#f-accept")
	v.Press(t, ".form-acts button")
	v.At(t, "/second-factor/enrol", "enrol")
	v.Press(t, `a[href="/second-factor/enrol/totp"]`)
	v.At(t, "/second-factor/enrol/totp", "totp")
	v.Open(t, "/second-factor/enrol")
	v.Press(t, "form[data-passkey] button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".codes")))
	v.At(t, "/second-factor/enrol/passkey", "recovery")
	v.Press(t, "[data-stored]")
	v.Press(t, ".form-acts button")
	v.At(t, "/", "dashboard-new")
}

// TestOnboarding is the way from an address to a client that logs in: registration, the
// first sign-in, an API credential and an mTLS certificate, in a browser.
func TestOnboarding(t *testing.T) {
	w := newTown(t)
	v := browse.NewVisit(t, w.url)
	w.enter(t, v)
	if blocked := v.TextOf(t, ".todo li:first-child .blocked-reason"); !strings.Contains(blocked, "operator") {
		t.Errorf("the first step waits for %q", blocked)
	}
	v.Open(t, "/credentials")
	v.At(t, "/credentials", "credentials-empty")
	w.equip(t, w.accountOf(t, ada))

	v.Open(t, "/")
	v.Press(t, `.todo a[href="/credentials/new"]`)
	v.At(t, "/credentials/new", "credential-delivery")
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[name=service][type=radio]")))
	v.At(t, "/credentials/new", "credential-service")
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[name=identity][type=radio]")))
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-name")))
	v.Fill(t, "name", "Metering!")
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".error-summary")))
	v.At(t, "/credentials/new", "credential-name-wrong")
	v.Fill(t, "name", "metering_prod")
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[data-secret-cover]")))
	v.At(t, "/credentials/new", "credential-secret")
	key, secret := v.TextOf(t, ".copy-box code"), v.TextOf(t, "#secret")
	v.Press(t, "[data-stored]")
	v.Press(t, ".form-acts button")
	v.At(t, "/credentials/crd_", "credential")

	v.Press(t, `.acts a[href^="/mtls/new"]`)
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[name=credential]")))
	v.Open(t, "/mtls/new")
	v.At(t, "/mtls/new", "mtls-connect")
	v.Press(t, "[value=direct]")
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[name=credential]")))
	v.At(t, "/mtls/new", "mtls-credentials")
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-csr")))
	csr := newCSR(t)
	v.Do(t, chromedp.SetValue(chromedp.ID("f-csr"), csr), chromedp.Evaluate[chromedp.Void](`document.getElementById("f-csr").dispatchEvent(new Event("input"))`))
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".inspection .notice.good")))
	v.At(t, "/mtls/new", "mtls-request")
	v.Press(t, ".form-acts button")
	v.At(t, "/mtls/mtl_", "mtls-issued")
	block, _ := pem.Decode([]byte(v.TextOf(t, "figure.block code")))
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

	v.Open(t, "/mtls")
	v.At(t, "/mtls", "mtls")
	v.Open(t, "/")
	v.At(t, "/", "dashboard")
	v.Open(t, "/credentials")
	v.At(t, "/credentials", "credentials")
	v.Press(t, ".row-link")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(`.acts a[href$="/disable"]`)))
	v.Press(t, `.acts a[href$="/disable"]`)
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".danger")))
	v.At(t, "/credentials/crd_", "credential-disable")
	v.Press(t, ".danger")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".state.off")))
	if _, err := w.iam.Login(t.Context(), netip.MustParseAddr("192.0.2.7"), leaf.Raw, key, secret); err == nil {
		t.Error("a disabled credential logs in")
	}
	v.Open(t, "/services")
	v.At(t, "/services", "services")
	v.Open(t, "/identities")
	v.At(t, "/identities", "identities")
	v.Open(t, "/settings")
	v.At(t, "/settings", "settings")
	v.Press(t, ".me-button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#me form[action='/sign-out'] button")))
	v.Press(t, "#me form[action='/sign-out'] button")
	v.At(t, "/sign-in", "signed-out")
	v.Fill(t, "email", ada)
	v.Fill(t, "password", "wrong horse battery")
	v.Press(t, "main button[type=submit]")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".error-summary")))
	v.At(t, "/sign-in", "sign-in-refused")
	v.Fill(t, "password", horse)
	v.Press(t, "main button[type=submit]")
	v.At(t, "/second-factor", "second-factor")
	v.Press(t, "form[data-passkey] button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".todo")))
	if log := w.log.String(); strings.Contains(log, secret) || strings.Contains(log, horse) || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log holds a secret, or an error:\n%s", log)
	}
}
