package portal_test

import (
	"context"
	"crypto/rsa"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/browse"
)

// downloaded waits for a file and returns its bytes.
func downloaded(t *testing.T, path string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			return b
		}
		select {
		case <-ctx.Done():
			files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
			t.Fatalf("%s was not saved; there is %v", path, files)
		case <-ticks.C:
		}
	}
}

// moveTo goes on in a browser.
func (g *guest) moveTo(t *testing.T, v *browse.Visit) {
	t.Helper()
	for _, k := range g.http.Jar.Cookies(got(url.Parse(v.URL))(t)) {
		_, err := chromedp.Call(v.Ctx, network.SetCookie, network.SetCookieParams{Name: k.Name, Value: k.Value, URL: v.URL, Path: "/", Secure: new(true), HTTPOnly: new(true)})
		must(t, err)
	}
}

// lookAtDomains looks at the pages of domains: empty, asked for, and after a check that
// found nothing and a new code.
func lookAtDomains(t *testing.T, w *town, g *guest, v *browse.Visit) {
	t.Helper()
	path := g.claim(t, w.domainService(t, w.accountOf(t, ada)), "domain", "bücher.example.com")
	g.post(t, http.StatusSeeOther, path+"/check", "method", "dns", "at", "example.com")
	g.settled(t, path)
	g.post(t, http.StatusSeeOther, path+"/renew")
	for name, at := range map[string]string{
		"domains": "/domains", "domain-new": "/domains/new", "domain-cname": path + "?method=cname", "domain-mail": path + "?method=email",
	} {
		v.Open(t, at)
		v.At(t, "/domains", name)
	}
	v.Open(t, path)
	v.Press(t, `form[action$="/check"] button`)
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#watch:not([aria-busy]) #log li:nth-child(2)")))
}

// TestKeyInBrowser makes a key, a certificate and a PKCS #12 file in Chromium, and holds
// that the private key is sent to nobody.
func TestKeyInBrowser(t *testing.T) {
	t.Parallel()
	if len(ui.PKI.Bytes) >= 400_000 {
		t.Errorf("the library has %d octets", len(ui.PKI.Bytes))
	}
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	credential, _ := g.made(t, account, "metering_prod")
	v := browse.NewVisit(t, w.url)
	g.moveTo(t, v)
	dir := t.TempDir()
	must(t, browse.Command(v.Browser, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir,
	}))

	lookAtDomains(t, w, g, v)
	v.Open(t, "/mtls/new?connect=direct&step=csr&how=here&credential="+credential)
	v.At(t, "/mtls/new", "mtls-key")
	v.Press(t, "form[data-make-key] button")
	browse.Run(t, v.Browser, chromedp.Poll[bool](`document.querySelector("form[data-p12]") && !document.querySelector("form[data-p12]").hidden`))
	v.At(t, "/mtls/mtl_", "mtls-key-made")
	v.Press(t, "[data-generate]")
	password := browse.Run(t, v.Browser, chromedp.Evaluate[string](`document.querySelector("[name=password]").value`))
	if len(password) != 20 {
		t.Fatalf("the password is %q", password)
	}
	guard := `(() => { const e = new Event("beforeunload", {cancelable: true}); dispatchEvent(e); return e.defaultPrevented })()`
	if !browse.Run(t, v.Browser, chromedp.Evaluate[bool](guard)) {
		t.Error("the page may be left before the file is saved")
	}
	v.Press(t, "form[data-p12] button[type=submit]")
	path := filepath.Join(dir, "metering_prod.p12")
	bytes := downloaded(t, path)
	browse.Run(t, v.Browser, chromedp.Poll[bool](`document.querySelector("form[data-p12] [data-key-status]").textContent !== ""`))
	if browse.Run(t, v.Browser, chromedp.Evaluate[bool](guard)) {
		t.Error("the page may not be left after the file is saved")
	}

	key, leaf, chain, err := pkcs12.DecodeChain(bytes, password)
	if err != nil || len(chain) != 1 {
		t.Fatalf("the file has %d more certificates, %v", len(chain), err)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok || private.N.BitLen() != 3072 || !private.PublicKey.Equal(leaf.PublicKey) {
		t.Error("the key is not that of the certificate, or is no RSA key of 3072 bits")
	}
	if err := leaf.CheckSignatureFrom(chain[0]); err != nil {
		t.Errorf("the other certificate is not the issuing CA: %v", err)
	}
	sent, err := url.QueryUnescape(w.sent.String())
	must(t, err)
	if !strings.Contains(sent, "-----BEGIN CERTIFICATE REQUEST-----") {
		t.Error("what was sent was not seen")
	}
	if strings.Contains(sent, "PRIVATE") || strings.Contains(sent, password) {
		t.Error("the private key or the password of the file was sent")
	}
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		testkit.Require(t, "openssl")
	}
	out, err := exec.CommandContext(t.Context(), openssl, "pkcs12", "-in", path, "-passin", "pass:"+password, "-noenc", "-info", "-nokeys").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "AES-256-CBC") {
		t.Errorf("openssl says of the file: %v\n%s", err, out)
	}

	// What is loaded anew has no key.
	v.Do(t, chromedp.Reload())
	v.Arrive(t, "/mtls/mtl_")
	if !browse.Run(t, v.Browser, chromedp.Evaluate[bool](`document.querySelector("form[data-p12]").hidden && !document.querySelector("[data-p12-lost]").hidden`)) {
		t.Error("a page without the key offers its file")
	}
	if a := g.get(t, "/mtls/new?connect=direct&step=csr&how=here&credential="+credential); a.status != http.StatusOK || strings.Contains(a.body, ui.PKI.Path+`"></script>`) {
		t.Errorf("the page loads the library before it is needed: %d", a.status)
	}
}
