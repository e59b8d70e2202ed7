package app_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	outside "github.com/telamon-ca/telamon/internal/world"
)

// TestPortalFace holds that the portal is a face of its own: it asks for no client
// certificate, which a browser would show a prompt for, and a request for it over a
// connection of the Atlas face is misdirected.
func TestPortalFace(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.cfg.Names.Portal = []string{"portal.example.com"}
	w.install()
	w.start()
	asked := map[string]bool{}
	status := func(server, host string) int {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: &tls.Config{
			ServerName: server, InsecureSkipVerify: true, // the certificate's names are compared below
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked[server] = true
				return &tls.Certificate{}, nil
			},
		}}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+w.server.Addr.String()+"/claims/approve/nothing", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if got := status("portal.example.com", "portal.example.com"); got != http.StatusNotFound || asked["portal.example.com"] {
		t.Errorf("the portal answers %d to a link that is none, and asks for a client certificate: %v", got, asked["portal.example.com"])
	}
	if status("ca.example.com", "ca.example.com"); !asked["ca.example.com"] {
		t.Error("the Atlas face does not ask for a client certificate")
	}
	if got := status("ca.example.com", "portal.example.com"); got != http.StatusMisdirectedRequest {
		t.Errorf("the portal over a connection of the Atlas face answers %d, want 421", got)
	}
	if names := w.shown("portal.example.com")[0].DNSNames; !strings.Contains(strings.Join(names, " "), "portal.example.com") {
		t.Errorf("the server's certificate is for %q", names)
	}
}

// TestResolverRestarts holds that a resolver that the server started is started again
// when it ends, and ends with the server.
func TestResolverRestarts(t *testing.T) {
	if _, err := exec.LookPath("unbound"); err != nil {
		if _, err := os.Stat("/usr/sbin/unbound"); err != nil {
			testkit.Require(t, "unbound")
		}
	}
	zone, err := outside.StartDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { zone.Close() })
	ds, err := zone.Sign(".")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dbtest.SQLite(t))
	w.cfg.Validation.Resolver, w.cfg.Validation.Unbound.TrustAnchors = "unbound", []string{ds}
	w.cfg.Validation.Unbound.Forward = []string{zone.Addr()}
	w.cfg.Validation.Unbound.Dir = t.TempDir()
	w.install()
	w.start()
	runs := regexp.MustCompile(`"the resolver runs"[^\n]*"pid":(\d+)`)
	w.await("the resolver", func() bool { return len(runs.FindAllString(w.log.String(), -1)) == 1 })
	pid, err := strconv.Atoi(runs.FindStringSubmatch(w.log.String())[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.await("the resolver to run again", func() bool { return len(runs.FindAllString(w.log.String(), -1)) == 2 })
	if err := w.stop(); err != nil {
		t.Error(err)
	}
}
