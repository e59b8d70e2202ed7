package playground_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/globalsign/hvclient"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/playground"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/browse"
)

const (
	newcomer         = "grace@northwind.example"
	newcomerPassword = "correct horse battery"
	newcomerCompany  = "Northwind Energy Supply Ltd"
)

// TestPortal is the whole way of a certificate admin who has never seen the platform, in
// a browser: registration, the first sign-in, an identity, a service that is granted, an
// API credential and an mTLS certificate, with which a real client logs in; a domain by
// DNS, a certificate for it, its rekey and its revocation; and a client certificate whose
// PKCS #12 file curl uses.
func TestPortal(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{})
	v := browse.NewVisit(t, w.Description.PortalURL)
	a := &applicant{w: w, t: t}
	w.register(t, v, a)
	account := w.equipNewcomer(t, v)
	key, secret := newCredential(t, v)
	w.newMTLS(t, v, key, secret)
	w.proveDomain(t, v, a)
	w.certify(t, v)
	w.useClientCertificate(t, v)
	illustrate(t, v)
	if n, err := w.App.Store.AuditEvents(t.Context(), store.AuditFilter{Account: account}); err != nil || len(n.Events) < 10 {
		t.Errorf("the audit log has %d events of the account, %v", len(n.Events), err)
	}
	if log := string(w.log.Bytes()); strings.Contains(log, secret) || strings.Contains(log, newcomerPassword) {
		t.Error("a secret is in the log")
	}
}

// illustrate leaves the pictures of docs/PORTAL.md, if somebody asks for pictures.
func illustrate(t *testing.T, v *browse.Visit) {
	t.Helper()
	for name, path := range map[string]string{
		"dashboard": "/", "domains": "/domains", "certificates": "/certificates", "mtls": "/mtls/new?connect=direct", "client-certificates": "/client-certificates",
		"members": "/members", "audit": "/audit",
	} {
		v.Open(t, path)
		v.Do(t, chromedp.WaitVisible(chromedp.CSS("main h1")))
		v.Shoot(t, "docs-"+name)
	}
	v.Quiet(t)
}

// register asks for an account and does what the first sign-in asks.
func (w *world) register(t *testing.T, v *browse.Visit, a *applicant) {
	t.Helper()
	v.Open(t, "/register")
	v.Arrive(t, "/register")
	v.Fill(t, "email", newcomer)
	v.Fill(t, "password", newcomerPassword)
	v.Press(t, "main button[type=submit]")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".below a[href='/sign-in']")))
	link, err := a.linkTo(newcomer, regexp.MustCompile(`https://\S+(/verify/[A-Za-z0-9_-]+)`))
	if err != nil {
		t.Fatal(err)
	}
	v.Open(t, link[strings.Index(link, "/verify/"):])
	v.Arrive(t, "/verify/")
	v.Fill(t, "password", newcomerPassword)
	v.Press(t, "main .form-acts button")
	v.Arrive(t, "/sign-in")
	v.Fill(t, "email", newcomer)
	v.Fill(t, "password", newcomerPassword)
	v.Press(t, "main button[type=submit]")
	v.Arrive(t, "/welcome")
	for name, text := range map[string]string{
		"name": "Grace Murray", "company": newcomerCompany, "locality": "Leeds", "country": "GB", "job_title": "PKI lead",
	} {
		v.Fill(t, name, text)
	}
	v.Press(t, ".form-acts button")
	v.Arrive(t, "/welcome/agreement")
	v.Press(t, "#f-accept")
	v.Press(t, ".form-acts button")
	v.Arrive(t, "/second-factor/enrol")
	v.Press(t, "form[data-passkey] button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".codes")))
	v.Press(t, "[data-stored]")
	v.Press(t, ".form-acts button")
	v.Arrive(t, "/")
}

// equipNewcomer is what the CA's staff does for the new account: it grants a service, and
// vets the identity that was requested in the browser.
func (w *world) equipNewcomer(t *testing.T, v *browse.Visit) telamon.AccountID {
	t.Helper()
	ctx := t.Context()
	account, err := w.App.IAM.AccountNamed(ctx, operator, newcomerCompany)
	if err != nil {
		t.Fatal(err)
	}
	service, err := w.App.IAM.ServiceNamed(ctx, operator, "dev_tls")
	if err != nil {
		t.Fatal(err)
	}
	sub, err := w.App.IAM.Subscribe(ctx, operator, account.ID, service.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.App.IAM.GrantQuota(ctx, operator, iam.Grant{Account: account.ID, Subscription: sub.ID, Amount: 10, EndsAt: w.clock.Now().AddDate(1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	v.Open(t, "/identities/new?type=tls_ov")
	v.Arrive(t, "/identities/new")
	for name, text := range map[string]string{"name": "Northwind OV", "data.organization": newcomerCompany, "data.locality": "Leeds", "data.country": "GB"} {
		v.Fill(t, name, text)
	}
	v.Press(t, ".form-acts button")
	v.Arrive(t, "/identities/idn_")
	v.Press(t, `form[action$="/submit"] button`)
	v.Do(t, chromedp.WaitNotPresent(chromedp.CSS(`form[action$="/submit"]`)))
	list, err := w.App.IAM.Identities(ctx, operator, account.ID, store.Page{Limit: 9})
	if err != nil || len(list) != 1 || list[0].State != telamon.IdentityQueued {
		t.Fatalf("the identities are %+v, %v", list, err)
	}
	for _, to := range []telamon.IdentityState{telamon.IdentityProcessed, telamon.IdentityActive} {
		move := iam.IdentityMove{To: to, Reason: "vetted", ExpiresAt: w.clock.Now().AddDate(1, 0, 0)}
		if err := w.App.IAM.MoveIdentity(ctx, operator, account.ID, list[0].ID, move); err != nil {
			t.Fatal(err)
		}
	}
	return account.ID
}

// newCredential makes an API credential, whose key and secret are on one page.
func newCredential(t *testing.T, v *browse.Visit) (key, secret string) {
	t.Helper()
	v.Open(t, "/credentials/new")
	v.Arrive(t, "/credentials/new")
	v.Press(t, ".form-acts button")
	for _, question := range []string{"service", "identity"} {
		v.Do(t, chromedp.WaitVisible(chromedp.CSS("[name="+question+"][type=radio]")))
		v.Press(t, ".form-acts button")
	}
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-name")))
	v.Fill(t, "name", "northwind_prod")
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[data-secret-cover]")))
	key, secret = v.TextOf(t, ".copy-box code"), v.TextOf(t, "#secret")
	v.Press(t, "[data-stored]")
	v.Press(t, ".form-acts button")
	v.Arrive(t, "/credentials/crd_")
	return key, secret
}

// newMTLS makes an mTLS certificate of a pasted CSR, and logs in with it by the real
// client library.
func (w *world) newMTLS(t *testing.T, v *browse.Visit, apiKey, apiSecret string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	v.Open(t, "/mtls/new?connect=direct")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[name=credential]")))
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-csr")))
	v.Fill(t, "csr", csrFor(t, key))
	v.Press(t, "form[data-private-key] .form-acts button")
	v.Arrive(t, "/mtls/mtl_")
	leaf := parseCertificate(t, v.TextOf(t, "figure.block code"))
	client, err := hvclient.NewClient(t.Context(), &hvclient.Config{
		URL: w.Description.AtlasURL, TLSCert: leaf, TLSKey: key, TLSRoots: w.roots(), APIKey: apiKey, APISecret: apiSecret, Timeout: patience,
	})
	if err != nil {
		t.Fatalf("the client does not log in with what the portal gave: %v", err)
	}
	if left, err := client.QuotaIssuance(t.Context()); err != nil || left != 10 {
		t.Errorf("the quota is %d, %v", left, err)
	}
}

// proveDomain shows control of a domain by DNS.
func (w *world) proveDomain(t *testing.T, v *browse.Visit, a *applicant) {
	t.Helper()
	v.Open(t, "/domains/new")
	v.Arrive(t, "/domains/new")
	v.Fill(t, "name", "northwind.example.com")
	v.Press(t, ".form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(`form[action$="/check"] button`)))
	value := regexp.MustCompile(`globalsign-domain-verification=[0-9a-f]{32}`).FindString(v.TextOf(t, "main"))
	if err := a.AddRecord("northwind.example.com", "TXT", value); err != nil {
		t.Fatal(err)
	}
	v.Press(t, `form[action$="/check"] button`)
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#watch .state.good"))) // by itself, when the check has ended
	v.Shoot(t, "docs-domain")
	v.Quiet(t)
}

// certify requests a certificate for the domain, reissues it for another key, and revokes
// the first one.
func (w *world) certify(t *testing.T, v *browse.Visit) {
	t.Helper()
	key := func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	v.Open(t, "/certificates/new")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-service")))
	v.Press(t, "main form .form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-csr")))
	v.Fill(t, "csr", csrFor(t, key()))
	v.Press(t, "form[data-private-key] .form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-names")))
	v.Fill(t, "names", "northwind.example.com")
	v.Press(t, "#f-agreement")
	v.Press(t, "main form .form-acts button")
	serial := w.arriveAt(t, v, "")
	v.Shoot(t, "docs-certificate")
	if names := w.leaf(t, v).DNSNames; !slices.Equal(names, []string{"northwind.example.com"}) {
		t.Errorf("the certificate is for %q", names)
	}

	v.Open(t, "/certificates/"+serial+"/reissue")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-csr")))
	v.Fill(t, "csr", csrFor(t, key()))
	v.Press(t, "main form .form-acts button")
	second := w.arriveAt(t, v, serial)
	if w.leaf(t, v).SerialNumber == nil || second == serial {
		t.Errorf("the reissued certificate is %s", second)
	}

	v.Open(t, "/certificates/"+serial+"/revoke")
	v.Press(t, ".danger")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(".state.bad")))
	for text, want := range map[string]telamon.CertificateStatus{serial: telamon.StatusRevoked, second: telamon.StatusIssued} {
		parsed, _, _ := telamon.ParseSerial(text)
		if cert, _, err := w.App.Store.CertificateOf(t.Context(), parsed); err != nil || cert.Status != want {
			t.Errorf("certificate %s is %+v, %v; want %s", text, cert, err, want)
		}
	}
}

// arriveAt waits for the page of a certificate that is not the one before, and returns its
// serial number.
func (w *world) arriveAt(t *testing.T, v *browse.Visit, before string) string {
	t.Helper()
	v.Do(t, chromedp.WaitVisible(chromedp.CSS(`a[href$="/revoke"]`)))
	v.Arrive(t, "/certificates/0")
	path := browse.Run(t, v.Browser, chromedp.Evaluate[string](`location.pathname`))
	if serial := strings.TrimPrefix(path, "/certificates/"); serial != before && len(serial) == 32 {
		return serial
	}
	t.Fatalf("the page is %s", path)
	panic("unreachable")
}

// leaf is the certificate that a page leads to as a file.
func (w *world) leaf(t *testing.T, v *browse.Visit) *x509.Certificate {
	t.Helper()
	return parseCertificate(t, browse.Run(t, v.Browser, chromedp.Evaluate[string](`fetch(document.querySelector("a[download]").href).then(r => r.text())`, chromedp.EvalAwaitPromise)))
}

// useClientCertificate makes a client certificate with its key in the portal, and uses its
// PKCS #12 file with curl.
func (w *world) useClientCertificate(t *testing.T, v *browse.Visit) {
	t.Helper()
	v.Open(t, "/client-certificates/new")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[name=how]")))
	v.Press(t, "main form .form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("#f-name")))
	v.Fill(t, "name", "laptop")
	v.Fill(t, "end", w.clock.Now().AddDate(0, 3, 0).Format(time.DateOnly))
	v.Press(t, "main form .form-acts button")
	v.Do(t, chromedp.WaitVisible(chromedp.CSS("[data-secret-cover]")))
	password := v.TextOf(t, "#password")
	text := browse.Run(t, v.Browser, chromedp.Evaluate[string](`(f => fetch(f.action, {method: "POST", body: new URLSearchParams(new FormData(f))})
		.then(r => r.arrayBuffer()).then(b => btoa(String.fromCharCode(...new Uint8Array(b)))))(document.querySelector("form[action$='/p12']"))`, chromedp.EvalAwaitPromise))
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	v.Press(t, "[data-stored]") // the page asks before it is left without
	v.Press(t, "form[data-stored-form] button")
	v.Do(t, chromedp.WaitNotPresent(chromedp.CSS("[data-guard]")))
	file := writeFile(t, filepath.Join(t.TempDir(), "laptop.p12"), string(packed))
	one, err := url.Parse(w.Description.DigiCertONE.ClientAuthURL)
	if err != nil {
		t.Fatal(err)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		testkit.Require(t, "curl")
	}
	out, err := exec.CommandContext(t.Context(), curl, "-sS", "--fail-with-body", "--cacert", w.Description.ServerCAFile,
		"--resolve", one.Host+":127.0.0.1", "--cert-type", "P12", "--cert", file+":"+password,
		w.Description.DigiCertONE.ClientAuthURL+"/account/api/v1/user/me").CombinedOutput()
	if err != nil || !strings.Contains(string(out), newcomer) {
		t.Errorf("curl says %v\n%s", err, out)
	}
}
