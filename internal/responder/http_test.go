package responder_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// files writes the issuer, its root and a certificate for programs to read.
type files struct{ dir, roots, issuer string }

func (w *world) files(t *testing.T) *files {
	t.Helper()
	f := &files{dir: t.TempDir()}
	f.issuer = f.pem(t, "issuer", w.issuer.Certificate.Raw)
	f.roots = f.pem(t, "roots", w.root.Certificate.Raw, w.issuer.Certificate.Raw)
	return f
}

func (f *files) pem(t *testing.T, name string, certs ...[]byte) string {
	t.Helper()
	var text []byte
	for _, der := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	path := filepath.Join(f.dir, name+".pem")
	must(t, os.WriteFile(path, text, 0o600))
	return path
}

// run runs a program and returns what it prints.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		testkit.Require(t, name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

// TestRequirement93OpenSSL has openssl ask and verify.
func TestRequirement93OpenSSL(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		f := w.files(t)
		good, revoked, unassigned := w.issue(t, 30), w.issue(t, 30), w.sign(t, 30)
		revoke(t, w.db, revoked)
		at := w.clock.Now()
		paths := map[*telamon.ClientCert]string{}
		for name, cert := range map[string]*telamon.ClientCert{"good": good, "revoked": revoked, "unassigned": unassigned} {
			paths[cert] = f.pem(t, name, cert.Certificate.Raw)
		}
		ask := func(args ...string) string {
			t.Helper()
			out, err := run(t, "openssl", append([]string{"ocsp", "-CAfile", f.roots, "-issuer", f.issuer, "-url", w.url()}, args...)...)
			if err != nil && !strings.Contains(out, "Responder Error") {
				t.Fatalf("openssl ocsp %q: %v\n%s", args, err, out)
			}
			return out
		}
		says := func(out string, want ...string) {
			t.Helper()
			for _, text := range want {
				if !strings.Contains(out, text) {
					t.Errorf("openssl says\n%swant %q", out, text)
				}
			}
		}
		says(ask("-cert", paths[good]), "Response verify OK", paths[good]+": good", "no nonce in response")
		says(ask("-no_nonce", "-sha256", "-cert", paths[good]), "Response verify OK", paths[good]+": good")
		says(ask("-cert", paths[revoked]), "Response verify OK", paths[revoked]+": revoked", "Reason: superseded",
			"Revocation Time: "+at.Format("Jan _2 15:04:05 2006 GMT"))
		says(ask("-cert", paths[unassigned]), "Responder Error: unauthorized (6)")
		says(ask("-issuer", f.pem(t, "root", w.root.Certificate.Raw), "-cert", paths[good]), "Responder Error: unauthorized (6)")
		says(ask("-cert", paths[good], "-cert", paths[revoked]), "Response verify OK", paths[good]+": good", paths[revoked]+": revoked")

		// By GET, whose answer openssl verifies from a file.
		request, response := filepath.Join(f.dir, "request"), filepath.Join(f.dir, "response")
		if out, err := run(t, "openssl", "ocsp", "-issuer", f.issuer, "-cert", paths[good], "-no_nonce", "-reqout", request); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		der, err := os.ReadFile(request)
		must(t, err)
		res, body := w.get(t, "/"+url.QueryEscape(base64.StdEncoding.EncodeToString(der)), nil)
		if res.StatusCode != http.StatusOK {
			t.Errorf("GET gives %s", res.Status)
		}
		must(t, os.WriteFile(response, body, 0o600))
		out, err := run(t, "openssl", "ocsp", "-CAfile", f.roots, "-issuer", f.issuer, "-cert", paths[good], "-no_nonce", "-respin", response)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		says(out, "Response verify OK", paths[good]+": good")
	})
}

// TestRequirement93LiveNonce has openssl demand its nonce back, more often than one
// address may.
func TestRequirement93LiveNonce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.config.LiveNonce = true
		w.use(responder.New(w.config))
		f, cert := w.files(t), w.issue(t, 30)
		path := f.pem(t, "leaf", cert.Certificate.Raw)
		for n, want := range []bool{true, true, false, false} { // two at once, then one a second
			out, err := run(t, "openssl", "ocsp", "-CAfile", f.roots, "-issuer", f.issuer, "-url", w.url(), "-cert", path, "-nonce")
			if err != nil || !strings.Contains(out, "Response verify OK") || !strings.Contains(out, path+": good") {
				t.Fatalf("request %d: %v\n%s", n, err, out)
			}
			if got := !strings.Contains(out, "no nonce in response"); got != want {
				t.Errorf("request %d has a nonce in the answer: %t, want %t\n%s", n, got, want, out)
			}
		}
		if live := w.responder.Stats().Live.Load(); live != 2 {
			t.Errorf("%d live answers", live)
		}
		// Several certificates cannot have an answer that is ready.
		out, _ := run(t, "openssl", "ocsp", "-CAfile", f.roots, "-issuer", f.issuer, "-url", w.url(), "-cert", path, "-cert", path)
		if !strings.Contains(out, "Responder Error: trylater (3)") {
			t.Errorf("two certificates beyond the rate: %s", out)
		}
		w.clock.Advance(time.Minute)
		revoke(t, w.db, cert)
		out, err := run(t, "openssl", "ocsp", "-CAfile", f.roots, "-issuer", f.issuer, "-url", w.url(), "-cert", path, "-nonce", "-status_age", "1000")
		if strings.Contains(out, "no nonce") || !strings.Contains(out, path+": revoked") {
			t.Errorf("a live answer after the revocation: %v\n%s", err, out)
		}
	})
}

// TestRequirement93NSS has NSS find the responder by the certificate and ask it: at
// leisure, and insisting on an answer, when it takes none for a revocation.
func TestRequirement93NSS(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		dir := t.TempDir()
		write := func(name string, der []byte) string {
			path := filepath.Join(dir, name)
			must(t, os.WriteFile(path, der, 0o600))
			return path
		}
		root, issuer := write("root.der", w.root.Certificate.Raw), write("issuer.der", w.issuer.Certificate.Raw)
		for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-n", "root", "-t", "C,,", "-i", root}} {
			if out, err := run(t, "certutil", append(args, "-d", "sql:"+dir)...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		good, revoked, unassigned := w.issue(t, 30), w.issue(t, 30), w.sign(t, 30)
		revoke(t, w.db, revoked)
		const isGood, isRevoked = "Chain is good!", "Peer's Certificate has been revoked"
		for name, tt := range map[string]struct {
			cert                *telamon.ClientCert
			leisurely, strictly string
		}{
			"good": {good, isGood, isGood}, "revoked": {revoked, isRevoked, isRevoked}, "unassigned": {unassigned, isGood, isRevoked},
		} {
			path := write(name+".der", tt.cert.Certificate.Raw)
			ask := func(want string, flags ...string) {
				t.Helper()
				args := append([]string{"-d", "sql:" + dir, "-pp", "-u", "1", "-g", "leaf", "-m", "ocsp"}, flags...)
				if out, _ := run(t, "vfychain", append(args, path, issuer)...); !strings.Contains(out, want) {
					t.Errorf("of the %s one vfychain %q says\n%swant %q", name, flags, out, want)
				}
			}
			ask(tt.leisurely)
			ask(tt.strictly, "-s", "failIfNoInfo")
		}
	})
}

// get sends a GET for what stands below the issuer's URL, as it is.
func (w *world) get(t *testing.T, below string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url()+below, nil)
	must(t, err)
	for name, values := range header {
		req.Header[name] = values
	}
	return do(t, req)
}

// do sends a request and follows no redirect.
func do(t *testing.T, req *http.Request) (*http.Response, []byte) {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return res, body
}

// withSlashes returns a certificate whose serial number makes two slashes in a row in
// the base64 text of a request.
func (w *world) withSlashes(t *testing.T) (*telamon.ClientCert, string) {
	t.Helper()
	cert := w.sign(t, 30)
	copy(cert.Serial[8:], bytes.Repeat([]byte{0xff}, 6))
	certificate := *cert.Certificate
	certificate.SerialNumber = cert.Serial.Int()
	cert.Certificate = &certificate
	w.store(t, cert)
	text := base64.StdEncoding.EncodeToString(w.request(t, cert))
	if !strings.Contains(text, "//") {
		t.Fatalf("%s has no two slashes in a row", text)
	}
	return cert, text
}

// TestRequirement93GET asks by GET in all the ways in which clients write the path.
func TestRequirement93GET(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), "EC-P256")
	cert, text := w.withSlashes(t)
	for name, below := range map[string]string{
		"as it is":              "/" + text,
		"escaped":               "/" + url.QueryEscape(text),
		"slashes alone escaped": "/" + strings.ReplaceAll(text, "/", "%2F"),
		"escaped twice":         "/" + url.QueryEscape(url.QueryEscape(text)),
		"a slash too many":      "//" + text,
		"without padding":       "/" + strings.TrimRight(text, "="),
		"of base64url":          "/" + base64.URLEncoding.EncodeToString(w.request(t, cert)),
	} {
		res, body := w.get(t, below, nil)
		response, err := ocsp.ParseResponseForCert(body, cert.Certificate, w.issuer.Certificate)
		if res.StatusCode != http.StatusOK || err != nil || response.Status != ocsp.Good {
			t.Errorf("%s: GET %s gives %s, %v", name, below, res.Status, err)
		}
	}
	for name, below := range map[string]string{
		"nothing": "", "a slash": "/", "no base64": "/MEI!", "no DER": "/AAAA", "a bad escape": "/%25zz", "spaces": "/MFE%20", "cut off": "/" + text[:40],
		"too long": "/" + strings.Repeat("A", 16<<10), "a path": "/../../ca", "something behind": "/" + text + "AAAA",
	} {
		res, body := w.get(t, below, nil)
		if _, err := ocsp.ParseResponse(body, nil); res.StatusCode != http.StatusOK || err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%s: GET gives %s, %v", name, res.Status, err)
		}
		if got := res.Header.Get("Cache-Control"); got != "no-store" || res.Header.Get("Etag") != "" {
			t.Errorf("%s: a refusal has Cache-Control %q", name, got)
		}
	}
}

// TestRequirement93Headers holds the headers of RFC 5019, Section 5.
func TestRequirement93Headers(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), "EC-P256")
	cert := w.issue(t, 30)
	below := "/" + url.QueryEscape(base64.StdEncoding.EncodeToString(w.request(t, cert)))
	res, body := w.get(t, below, nil)
	response, err := ocsp.ParseResponse(body, w.issuer.Certificate)
	must(t, err)
	tag := res.Header.Get("Etag")
	for name, want := range map[string]string{
		"Content-Type": "application/ocsp-response", "Cache-Control": "max-age=600, public, no-transform, must-revalidate",
		"Last-Modified": response.ThisUpdate.Format(http.TimeFormat), "Expires": response.NextUpdate.Format(http.TimeFormat),
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(tag) != 66 || res.ContentLength != int64(len(body)) {
		t.Errorf("the ETag is %s and Content-Length %d", tag, res.ContentLength)
	}
	if res, body := w.get(t, below, http.Header{"If-None-Match": {tag}}); res.StatusCode != http.StatusNotModified || len(body) > 0 || res.Header.Get("Etag") != tag {
		t.Errorf("with the ETag it is %s with %d octets", res.Status, len(body))
	}
	w.clock.Advance(w.config.Validity/2 - 5*time.Minute)
	if res, _ := w.get(t, below, nil); res.Header.Get("Cache-Control") != "max-age=299, public, no-transform, must-revalidate" {
		t.Errorf("five minutes before half-time Cache-Control is %s", res.Header.Get("Cache-Control"))
	}
	w.clock.Advance(10 * time.Minute)
	if res, body := w.get(t, below, http.Header{"If-None-Match": {tag}}); res.StatusCode != http.StatusOK || len(body) == 0 || res.Header.Get("Etag") == tag {
		t.Errorf("after half-time it is %s", res.Status)
	}
}

// TestRequirement93Methods sends what is no OCSP over HTTP.
func TestRequirement93Methods(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), "EC-P256")
	cert := w.issue(t, 30)
	tests := []struct {
		name, method, path string
		body               []byte
		status             int
		ocsp               string // of the refusal
	}{
		{"POST", "POST", w.url(), w.request(t, cert), 200, ""},
		{"POST with a slash", "POST", w.url() + "/", w.request(t, cert), 200, ""},
		{"an empty body", "POST", w.url(), nil, 200, "malformed"},
		{"a body that is too long", "POST", w.url(), bytes.Repeat([]byte{0x30}, 9000), 200, "malformed"},
		{"a body that is far too long", "POST", w.url(), make([]byte, 1<<20), 200, "malformed"},
		{"base64 in a body", "POST", w.url(), []byte(base64.StdEncoding.EncodeToString(w.request(t, cert))), 200, "malformed"},
		{"another issuer", "POST", w.baseURL + "/ocsp/" + telamon.NewIssuerID().String(), w.request(t, cert), 200, "unauthorized"},
		{"POST below", "POST", w.url() + "/AAAA", w.request(t, cert), 404, ""},
		{"no issuer", "POST", w.baseURL + "/ocsp/", w.request(t, cert), 404, ""},
		{"an issuer that is none", "POST", w.baseURL + "/ocsp/iss_x", w.request(t, cert), 404, ""},
		{"PUT", "PUT", w.url(), w.request(t, cert), 405, ""},
		{"DELETE", "DELETE", w.url(), nil, 405, ""},
		{"another path", "GET", w.baseURL + "/ocsp", nil, 404, ""},
		{"the issuer's certificate is still there", "GET", w.baseURL + "/ca/" + w.issuer.ID.String() + ".cer", nil, 200, "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.path, bytes.NewReader(tt.body))
			must(t, err)
			req.Header.Set("Content-Type", "application/ocsp-request")
			res, body := do(t, req)
			if res.StatusCode != tt.status {
				t.Errorf("it gives %s, want %d", res.Status, tt.status)
			}
			if res.StatusCode == http.StatusMethodNotAllowed && res.Header.Get("Allow") != "GET, HEAD, POST" {
				t.Errorf("it allows %q", res.Header.Get("Allow"))
			}
			if tt.status != 200 || tt.ocsp == "-" {
				return
			}
			_, err = ocsp.ParseResponse(body, w.issuer.Certificate)
			if (err == nil) != (tt.ocsp == "") || err != nil && !strings.Contains(err.Error(), tt.ocsp) {
				t.Errorf("it says %v, want %q", err, tt.ocsp)
			}
		})
	}
	t.Run("HEAD", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), "HEAD", w.url()+"/"+url.QueryEscape(base64.StdEncoding.EncodeToString(w.request(t, cert))), nil)
		must(t, err)
		if res, body := do(t, req); res.StatusCode != 200 || len(body) > 0 || res.ContentLength < 200 {
			t.Errorf("it gives %s with %d of %d octets", res.Status, len(body), res.ContentLength)
		}
	})
}
