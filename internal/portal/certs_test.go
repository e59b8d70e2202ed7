package portal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/csv"
	"encoding/pem"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal"
	"github.com/telamon-ca/telamon/internal/store"
)

// sitePolicy is a policy of certificates of web sites.
const sitePolicy = `{
	"validity": {"secondsmin": 1, "secondsmax": 34300000},
	"subject_dn": {
		"common_name": {"presence": "OPTIONAL", "format": "^[a-z0-9.*-]+$"},
		"organization": {"presence": "STATIC", "format": "{{identity.organization}}"}
	},
	"san": {"dns_names": {"static": false, "list": ["."], "mincount": 1, "maxcount": 3}},
	"key_usages": {"digital_signature": "STATIC_TRUE"},
	"extended_key_usages": {"ekus": {"static": true, "list": ["1.3.6.1.5.5.7.3.1"]}},
	"signature": {
		"algorithm": {"presence": "OPTIONAL", "list": ["ECDSA"]},
		"hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256", "SHA-384"]}
	},
	"public_key": {"key_type": "ECDSA", "allowed_lengths": [256], "key_format": "PKCS10"},
	"public_key_signature": "OPTIONAL"
}`

// siteKey is a key with a CSR that names a web site.
type siteKey struct{ csr, private string }

func newSiteKey(t *testing.T, names ...string) siteKey {
	t.Helper()
	key := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, key))(t)
	private := got(x509.MarshalPKCS8PrivateKey(key))(t)
	return siteKey{
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}
}

// sites gives an account a service for web sites, and returns what a request names.
func (w *town) sites(t *testing.T, account telamon.AccountID, validated bool, quota int64) (pairs []string) {
	t.Helper()
	ctx := t.Context()
	service := got(w.iam.CreateService(ctx, townOperator, iam.ServiceSpec{
		Name: map[bool]string{false: "Web sites", true: "Verified sites"}[validated], PolicyTemplate: []byte(sitePolicy), Series: "tls-ec", DomainValidation: validated, Unlimited: quota == 0,
	}))(t)
	sub := got(w.iam.Subscribe(ctx, townOperator, account, service.ID))(t)
	if quota > 0 {
		got(w.iam.GrantQuota(ctx, townOperator, iam.Grant{Account: account, Subscription: sub.ID, Amount: quota, EndsAt: w.clock.Now().AddDate(1, 0, 0)}))(t)
	}
	identities := got(w.iam.Identities(ctx, townOperator, account, store.Page{Limit: 10}))(t)
	return []string{"service", sub.ID.String(), "identity", identities[0].ID.String()}
}

const agreed = "4.2 of 2026-03-01"

// requested requests a certificate, and returns the path of its page.
func (g *guest) requested(t *testing.T, pairs []string, csr string, more ...string) string {
	t.Helper()
	form := append(append(more, "step", "request", "csr", csr, "names", "www.example.com", "agreement", agreed), pairs...) // the first of a name counts
	a := g.post(t, http.StatusSeeOther, "/certificates/new", form...)
	path, ok := strings.CutSuffix(a.header.Get("Location"), "?issued=")
	if !ok || !strings.HasPrefix(path, "/certificates/01") {
		t.Fatalf("the request leads to %s", a.header.Get("Location"))
	}
	return path
}

// TestCertificates requests a certificate, looks at it and its files, reissues and revokes
// it, and finds it by filters, a saved view and a file.
func TestCertificates(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	g.wants(t, "/certificates", "No certificates yet", "/certificates/new")
	g.wants(t, "/certificates/new", "Needs an active identity and an active product.")
	w.equip(t, account)
	pairs := w.sites(t, account, false, 4)
	key := newSiteKey(t, "www.example.com", "example.com")

	g.wants(t, "/certificates/new", "Web sites", "Northwind OV")
	g.wants(t, "/certificates/new?"+url.Values{"service": {pairs[1]}, "identity": {pairs[3]}}.Encode(), "Check this CSR")
	if a := g.post(t, http.StatusOK, "/certificates/inspect", "csr", key.csr); !strings.Contains(a.body, "ECDSA, 256 bit") || !strings.Contains(a.body, "www.example.com") {
		t.Errorf("the CSR holds\n%s", a.body)
	}
	checked := g.post(t, http.StatusOK, "/certificates/new", append([]string{"step", "check", "csr", key.csr}, pairs...)...)
	for _, text := range []string{"www.example.com\nexample.com</textarea>", `value="www.example.com"`, "SHA-384", `max="2027-12-24"`, "version 4.2 of 2026-03-01", "Longest"} {
		if !strings.Contains(checked.body, text) {
			t.Errorf("the form lacks %q", text)
		}
	}
	for _, wrong := range []struct{ what, text, name, value string }{
		{"agreement", "Accept the agreement of today", "agreement", ""},
		{"an old agreement", "Accept the agreement of today", "agreement", "1"},
		{"end", "is too long", "not_after", "2031-01-01"},
		{"no day", "such as 2026-11-22", "not_after", "soon"},
		{"names", "Too many names (4 of 3). (CRT-02)", "names", "a.example.com\nb.example.com\nc.example.com\nd.example.com"},
		{"common name", "does not match the required format", "common_name", "Ada Lovelace"},
		{"key", "Key type does not match the product. (CRT-02)", "csr", newCSR(t)},
		{"no CSR", "certificate request", "csr", "hello"},
		{"private key", "private key", "csr", key.private},
	} {
		form := url.Values{"step": {"request"}, "csr": {key.csr}, "names": {"www.example.com"}, "agreement": {agreed}, pairs[0]: {pairs[1]}, pairs[2]: {pairs[3]}}
		form.Set(wrong.name, wrong.value)
		a := g.send(t, http.MethodPost, "/certificates/new", form)
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, wrong.text) || strings.Contains(a.body, "BEGIN PRIVATE KEY") {
			t.Errorf("%s: %d, and not %q: %q", wrong.what, a.status, wrong.text, errorsIn(a.body))
		}
	}
	if left := got(w.iam.Offers(t.Context(), townOperator, account))(t); left[1].Left != 4 {
		t.Errorf("refused requests have used quota: %+v", left[1])
	}

	path := g.requested(t, pairs, key.csr, "common_name", "www.example.com", "hash", "SHA-384", "not_after", "2026-12-31")
	serial := strings.TrimPrefix(path, "/certificates/")
	g.wants(t, path+"?issued=", "The certificate is ready", "Ada Wolff", "Subscriber Agreement 4.2 of 2026-03-01 accepted", "2026-12-31 23:59 UTC", serial,
		"ECDSA-SHA384", "serverAuth", "/reissue", "/revoke")
	w.files(t, g, path)

	w.clock.Advance(time.Minute)
	g.wants(t, path+"/reissue", "same names")
	g.post(t, http.StatusUnprocessableEntity, path+"/reissue", "csr", key.private)
	next := g.post(t, http.StatusSeeOther, path+"/reissue", "csr", newSiteKey(t, "ignored.example").csr).header.Get("Location")
	g.wants(t, strings.TrimSuffix(next, "?issued="), "Reissue of", serial[:8], "2026-12-31 23:59 UTC", "www.example.com")
	g.wants(t, path, "Reissues of it")
	again := g.requested(t, pairs, key.csr) // of the same key

	g.wants(t, path+"/revoke", "keyCompromise", "cessationOfOperation", "the key is blocked everywhere")
	for _, bad := range [][]string{
		{"reason", "privilegeWithdrawn"}, {"reason", "x"}, {"reason", "keyCompromise", "compromised_at", "2031-01-01T00:00"}, {"reason", "keyCompromise", "compromised_at", "soon"},
	} {
		g.post(t, http.StatusUnprocessableEntity, path+"/revoke", bad...)
	}
	g.post(t, http.StatusSeeOther, path+"/revoke", "reason", "keyCompromise", "compromised_at", "2026-11-20T10:00")
	g.wants(t, path, "Revoked", "keyCompromise", "2026-11-20 10:00 UTC", "certificates with the same key")
	g.post(t, http.StatusConflict, path+"/revoke", "reason", "superseded")
	g.post(t, http.StatusUnprocessableEntity, path+"/reissue", "csr", newSiteKey(t, "x.example").csr)
	sibling := strings.TrimPrefix(again, "/certificates/")
	g.wants(t, path+"/same-key", sibling[len(sibling)-6:], "Revoke ticked certificates")
	g.post(t, http.StatusUnprocessableEntity, path+"/same-key")
	g.post(t, http.StatusSeeOther, path+"/same-key", "serial", sibling)
	g.wants(t, again, "Revoked", "keyCompromise", "2026-11-20 10:00 UTC")
	g.wants(t, path+"/same-key", "No other certificate")
	blocked := g.post(t, http.StatusUnprocessableEntity, "/certificates/new", append([]string{"step", "request", "csr", key.csr, "names", "www.example.com", "agreement", agreed}, pairs...)...)
	if !strings.Contains(blocked.body, "is blocked") {
		t.Errorf("the blocked key is refused by\n%s", blocked.body)
	}

	g.requested(t, pairs, newSiteKey(t, "a.example").csr, "names", "shop.example.org") // the last of the quota
	full := g.post(t, http.StatusUnprocessableEntity, "/certificates/new", append([]string{"step", "request", "csr", newSiteKey(t, "a.example").csr, "names", "www.example.com", "agreement", agreed}, pairs...)...)
	if !strings.Contains(full.body, "Quota used up: 0 of 4 left. (CRT-04)") {
		t.Errorf("a used quota is refused by\n%s", full.body)
	}
	w.searches(t, g, serial)
}

var errorText = regexp.MustCompile(`<span>([^<]*)</span></p>|<li>([^<]*)</li>`)

// errorsIn are the errors that a page shows.
func errorsIn(body string) (all []string) {
	for _, m := range errorText.FindAllStringSubmatch(body, -1) {
		all = append(all, m[1]+m[2])
	}
	return all
}

// files downloads a certificate in every form, which OpenSSL reads.
func (w *town) files(t *testing.T, g *guest, path string) {
	t.Helper()
	for _, f := range []struct {
		name, contentType string
		certs             int
		command           []string
	}{
		{"leaf.pem", "application/x-pem-file", 1, []string{"storeutl", "-noout", "-text", "-certs", "/dev/stdin"}},
		{"chain.pem", "application/x-pem-file", 3, []string{"storeutl", "-noout", "-text", "-certs", "/dev/stdin"}},
		{"leaf.cer", "application/pkix-cert", 1, []string{"x509", "-inform", "DER", "-noout", "-text"}},
		{"chain.p7b", "application/pkcs7-mime", 3, []string{"pkcs7", "-inform", "DER", "-print_certs", "-noout", "-text"}},
	} {
		a := g.get(t, path+"/files/"+f.name)
		if a.status != http.StatusOK || a.header.Get("Content-Type") != f.contentType || !strings.Contains(a.header.Get("Content-Disposition"), strings.TrimPrefix(path, "/certificates/")) {
			t.Errorf("%s = %d %v", f.name, a.status, a.header)
		}
		command := exec.CommandContext(t.Context(), "openssl", f.command...)
		command.Stdin = strings.NewReader(a.body)
		text := string(got(command.CombinedOutput())(t))
		if n := strings.Count(text, "Subject Public Key Info"); n != f.certs || !strings.Contains(text, "www.example.com") {
			t.Errorf("%s holds %d certificates, want %d:\n%s", f.name, n, f.certs, text)
		}
	}
	if a := g.get(t, path+"/files/key.pem"); a.status != http.StatusNotFound {
		t.Errorf("a file that there is not = %d", a.status)
	}
}

// searches narrows the list down.
func (w *town) searches(t *testing.T, g *guest, serial string) {
	t.Helper()
	g.wants(t, "/certificates", "1–4 of 4", "shop.example.org", "Web sites", "Northwind OV")
	for query, want := range map[string]string{
		"q=shop.example.org": "1–1 of 1", "q=*.example.org": "1–1 of 1", "status=revoked": "1–2 of 2", "status=expiring-60": "1–1", "credential=portal": "1–4 of 4",
		"q=" + serial[:9]: "1–", "issued_from=2026-11-22&issued_to=2026-11-22": "1–4", "expires_to=2027-01-01": "1–2", "status=expired": "Nothing matches", "q=nobody.example": "Nothing matches",
	} {
		a := g.wants(t, "/certificates?"+query, want, "Remove this filter", "Save this view")
		if strings.Contains(a.body, serial) != (query != "q=shop.example.org" && query != "q=*.example.org" && query != "status=expiring-60" && want != "Nothing matches") {
			t.Errorf("whether %s lists %s is wrong", query, serial)
		}
	}
	for _, query := range []string{"status=gone", "issued_from=yesterday", "q=*.com", "after=1.2.3", "service=x", "credential=x", "status=expiring-x"} {
		if a := g.get(t, "/certificates?"+query); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "cannot be searched") {
			t.Errorf("%s = %d:\n%s", query, a.status, a.body)
		}
	}
	file := g.get(t, "/certificates/export.csv?status=revoked")
	lines := got(csv.NewReader(strings.NewReader(file.body)).ReadAll())(t)
	if len(lines) != 3 || lines[2][0] != serial && lines[1][0] != serial || lines[1][2] != "revoked" || lines[1][10] != "keyCompromise" {
		t.Errorf("the file is %q", lines)
	}

	view := g.post(t, http.StatusSeeOther, "/certificate-views", "name", "Gone", "query", "status=revoked&evil=1")
	if to := view.header.Get("Location"); to != "/certificates?status=revoked" {
		t.Errorf("the view leads to %s", to)
	}
	g.post(t, http.StatusUnprocessableEntity, "/certificate-views", "name", "Gone", "query", "")
	g.post(t, http.StatusUnprocessableEntity, "/certificate-views", "name", " ", "query", "status=revoked")
	list := g.wants(t, "/certificates", `href="/certificates?status=revoked"`, ">Gone<")
	_, rest, _ := strings.Cut(list.body, `href="/certificate-views/`)
	id, _, _ := strings.Cut(rest, `"`)
	other := w.member(t, w.accountOf(t, ada), "other@northwind.example", "manage_certificates")
	if a := other.get(t, "/certificates"); a.status != http.StatusOK || strings.Contains(a.body, ">Gone<") {
		t.Errorf("somebody else's list = %d, or shows the view", a.status)
	}
	other.post(t, http.StatusNotFound, "/certificate-views/"+id)
	g.wants(t, "/certificate-views/"+id, "Delete the view Gone?")
	g.post(t, http.StatusSeeOther, "/certificate-views/"+id)
	if a := g.get(t, "/certificates"); strings.Contains(a.body, ">Gone<") {
		t.Error("the view is still there")
	}
}

// TestCertificateIsolation holds that a certificate of another account is not found on any
// route, that readers only see, and that names must be verified.
func TestCertificateIsolation(t *testing.T) {
	w := newTown(t)
	owner := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	pairs := w.sites(t, account, false, 0)
	path := owner.requested(t, pairs, newSiteKey(t, "www.example.com").csr)
	serial := strings.TrimPrefix(path, "/certificates/")
	other := w.admin(t, "eve@globex.example", "Globex")
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	finance := w.member(t, account, "finance@northwind.example", "finance")
	tried := 0
	for _, pattern := range portal.PageRoutes() {
		if !strings.Contains(pattern, "{serial}") {
			continue
		}
		tried++
		values := url.Values{"csr": {newSiteKey(t, "x.example").csr}, "reason": {"superseded"}, "serial": {serial}}
		for _, bad := range []string{serial, "x", "01", strings.Repeat("0", 32), serial + "00"} {
			by := owner
			if bad == serial {
				by = other
			}
			method, path := filled(t, pattern, map[string]string{"serial": bad, "file": "leaf.pem"})
			if a := by.send(t, method, path, values); a.status != http.StatusNotFound || strings.Contains(a.body, "example.com") {
				t.Errorf("%s of %s = %d", pattern, bad, a.status)
			}
		}
		method, path := filled(t, pattern, map[string]string{"serial": serial, "file": "leaf.pem"})
		want := http.StatusForbidden
		if strings.HasSuffix(pattern, "{serial}") || strings.Contains(pattern, "/files/") {
			want = http.StatusOK
		}
		if a := reader.send(t, method, path, values); a.status != want || strings.Contains(a.body, "/revoke\"") || strings.Contains(a.body, "/reissue\"") {
			t.Errorf("%s for a reader = %d, want %d and no acts", pattern, a.status, want)
		}
		if a := finance.send(t, method, path, values); a.status != http.StatusForbidden {
			t.Errorf("%s for who may not read certificates = %d", pattern, a.status)
		}
	}
	if tried < 8 {
		t.Errorf("only %d routes were tried", tried)
	}
	for _, who := range []*guest{reader, finance} {
		who.post(t, http.StatusForbidden, "/certificates/new", append([]string{"step", "request", "csr", "x", "agreement", agreed}, pairs...)...)
	}
	if a := other.get(t, "/certificates?q=www.example.com"); a.status != http.StatusOK || strings.Contains(a.body, serial) {
		t.Errorf("another account finds it: %d", a.status)
	}
	if a := other.get(t, "/certificates/export.csv"); a.status != http.StatusOK || strings.Count(a.body, "\n") != 1 {
		t.Errorf("another account's file is\n%s", a.body)
	}
	other.post(t, http.StatusSeeOther, "/certificates/new", append([]string{"step", "request", "csr", "x"}, pairs...)...) // to its own choice
	if a := reader.get(t, "/certificates"); a.status != http.StatusOK || strings.Contains(a.body, "/certificates/new\"") {
		t.Errorf("a reader's list = %d, or leads to a request", a.status)
	}
	if a := finance.get(t, "/certificates"); a.status != http.StatusForbidden {
		t.Errorf("the list for who may not read certificates = %d", a.status)
	}
	owner.wants(t, path, "Issued")

	verified := w.sites(t, account, true, 0)
	form := append([]string{"step", "request", "csr", newSiteKey(t, "x.example").csr, "names", "a.example.com b.example.com", "agreement", agreed}, verified...)
	a := owner.post(t, http.StatusUnprocessableEntity, "/certificates/new", form...)
	for _, name := range []string{"a.example.com", "b.example.com"} {
		if !strings.Contains(a.body, name+" is not a verified domain of this identity. (CRT-01)") {
			t.Errorf("the uncovered %s is not named: %q", name, errorsIn(a.body))
		}
	}
}
