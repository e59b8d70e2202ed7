package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// TestServerCertificate follows the certificate that the platform issues to itself
// through its renewal.
func TestServerCertificate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.start()
		first := w.shown("ca.example.com")
		leaf := first[0]
		if want := []string{"ca.example.com", "*.ca.example.com"}; !slices.Equal(leaf.DNSNames, want) {
			t.Errorf("the names are %q, want %q", leaf.DNSNames, want)
		}
		if len(leaf.IPAddresses) != 2 || !leaf.IPAddresses[0].Equal(net.ParseIP("192.0.2.1")) || !leaf.IPAddresses[1].Equal(net.ParseIP("2001:db8::1")) {
			t.Errorf("the addresses are %v", leaf.IPAddresses)
		}
		if leaf.Subject.CommonName != "ca.example.com" || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
			t.Errorf("it is for %s with %v", leaf.Subject, leaf.ExtKeyUsage)
		}
		if len(first) != 2 || leaf.CheckSignatureFrom(first[1]) != nil {
			t.Errorf("%d certificates are shown, and they are no chain", len(first))
		}
		if now := w.clock.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			t.Errorf("at %s it is valid from %s to %s", now, leaf.NotBefore, leaf.NotAfter)
		}

		renewAt := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
		w.advance(renewAt.Sub(w.clock.Now()) - time.Second)
		w.reload(nil)
		if again := w.shown("ca.example.com")[0]; !again.Equal(leaf) {
			t.Error("it is renewed before two thirds of its life")
		}
		w.advance(time.Second)
		w.reload(nil)
		second := w.shown("ca.example.com")[0]
		if second.Equal(leaf) || !second.NotAfter.After(leaf.NotAfter) || !slices.Equal(second.DNSNames, leaf.DNSNames) {
			t.Errorf("after two thirds of its life it is %s", second.NotAfter)
		}
		if string(second.RawSubjectPublicKeyInfo) == string(leaf.RawSubjectPublicKeyInfo) {
			t.Error("the new certificate has the old key")
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		invariant.Check(t, w.app.Store)
	})
}

// reload reloads the server with a configuration that the change made.
func (w *world) reload(change func(*app.Config)) {
	w.t.Helper()
	cfg := w.cfg
	if change != nil {
		change(&cfg)
	}
	if err := w.server.Reload(w.t.Context(), cfg); err != nil {
		w.t.Error(err)
	}
}

// TestSecondStart starts an installation again: the platform's account is made once.
func TestSecondStart(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 2 {
			w.start()
			if err := w.stop(); err != nil {
				t.Fatal(err)
			}
			accounts, err := w.app.IAM.Accounts(t.Context(), app.System, store.Page{Limit: 10})
			if err != nil || len(accounts) != 1 {
				t.Errorf("there are %d accounts, %v", len(accounts), err)
			}
			if err := w.app.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestStartAtOnce starts replicas of a new installation at the same time.
func TestStartAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cfg.AdminSocket = ""
		replicas := make([]*world, 3)
		var all sync.WaitGroup
		for i := range replicas {
			replicas[i] = &world{t: t, cfg: w.cfg, clock: w.clock, log: &buffer{}}
			replicas[i].open()
		}
		for _, r := range replicas {
			all.Go(func() {
				server, err := r.app.Listen(t.Context())
				if err != nil {
					t.Errorf("a replica does not start: %v", err)
					return
				}
				server.Close()
			})
		}
		all.Wait()
		a, page := replicas[0].app, store.Page{Limit: 10}
		account, err := a.IAM.AccountNamed(t.Context(), app.System, "telamon_platform")
		if err != nil {
			t.Fatal(err)
		}
		credentials, err := a.IAM.Credentials(t.Context(), app.System, account.ID, page)
		if err != nil || len(credentials) != 1 || credentials[0].State != telamon.Disabled {
			t.Errorf("the platform's credentials are %+v, %v, want one that is disabled", credentials, err)
		}
		if identities, err := a.IAM.Identities(t.Context(), app.System, account.ID, page); err != nil || len(identities) != 1 {
			t.Errorf("its identities are %+v, %v, want one", identities, err)
		}
		invariant.Check(t, a.Store)
	})
}

// TestReady stops the database below a running server.
func TestReady(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.listen()
		w.clock.Advance(time.Minute) // the directory that Open has read is stale
		w.run()
		public, metrics := "http://"+w.server.StatusAddr.String(), "http://"+w.server.MetricsAddr.String()+"/metrics"
		w.get(public + "/healthz") // answered by a server that runs
		if status, body := w.get(public + "/readyz"); status != http.StatusOK {
			t.Errorf("at its start, /readyz answers %d, %s", status, body)
		}
		gauge := func(value string) bool {
			_, body := w.get(metrics)
			return strings.Contains(body, "\ntelamon_ready "+value+"\n")
		}
		w.await("the gauge of a server that is ready", func() bool { return gauge("1") })
		if err := w.app.Store.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.app.Store.SavePolicyVersion(t.Context(), "v", nil); err == nil {
			t.Error("a database that was closed takes a row")
		}
		if status, _ := w.get(public + "/readyz"); status != http.StatusServiceUnavailable { // though its directory is young
			t.Errorf("right after a write that failed, /readyz answers %d", status)
		}
		w.clock.Advance(10 * time.Second)
		if status, _ := w.get(public + "/readyz"); status != http.StatusServiceUnavailable {
			t.Errorf("without a database, /readyz answers %d", status)
		}
		if status, _ := w.get(public + "/healthz"); status != http.StatusOK {
			t.Errorf("without a database, /healthz answers %d", status)
		}
		if !gauge("0") {
			t.Error("without a database, telamon_ready is not 0")
		}
		w.await("an error in the log", func() bool { return strings.Contains(w.log.String(), `"level":"ERROR"`) })
		var status admin.Status
		client := admin.NewClient(w.cfg.AdminSocket)
		if err := client.Do(t.Context(), http.MethodGet, "/status", nil, &status); err != nil || status.Ready || status.NotReady == "" {
			t.Errorf("the operator reads %+v, %v", status, err)
		}
		before := w.shown("ca.example.com")[0]
		w.clock.Advance(80 * 24 * time.Hour)
		if err := w.server.Reload(t.Context(), w.cfg); err == nil {
			t.Error("a certificate was issued without a database")
		}
		if after := w.shown("ca.example.com")[0]; !after.Equal(before) {
			t.Error("a renewal that failed changed the certificate")
		}
		if err := w.stop(); err == nil {
			t.Error("the end without a database is no error")
		}
	})
}

func TestMetrics(t *testing.T) {
	w := install(t, dbtest.SQLite(t))
	w.start()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + w.server.Addr.String() + "/v2/validationpolicy")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	for _, want := range []string{
		`telamon_http_requests_total{face="atlas",method="GET",route="/v2/validationpolicy",status="4xx"} 1`,
		`telamon_http_request_seconds_count{face="atlas",method="GET",route="/v2/validationpolicy"} 1`,
		"telamon_ready ", "telamon_audit_pending_events ", "telamon_audit_lag_seconds ", "go_goroutines ", "process_open_fds ",
	} {
		if _, body := w.get("http://" + w.server.MetricsAddr.String() + "/metrics"); !strings.Contains(body, "\n"+want) {
			t.Errorf("the metrics lack %s:\n%s", want, body)
		}
	}
	if status, _ := w.get("http://" + w.server.StatusAddr.String() + "/metrics"); status != http.StatusNotFound {
		t.Errorf("the public listener answers /metrics with %d", status)
	}
}

// TestLimits makes more wrong logins than an address may.
func TestLimits(t *testing.T) {
	w := install(t, dbtest.SQLite(t))
	w.cfg.Limits.AddressRate, w.cfg.Limits.AddressBurst = 0.1, 2
	w.start()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	login := func() *http.Response {
		body := strings.NewReader(`{"api_key":"0123456789abcdef","api_secret":"0123456789abcdef0123456789abcdef01234567"}`)
		res, err := client.Post("https://"+w.server.Addr.String()+"/v2/login", "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	for range 2 {
		if res := login(); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("a wrong login is answered with %s", res.Status)
		}
	}
	if res := login(); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "10" {
		t.Errorf("one login too many is answered with %s and Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
	w.advance(10 * time.Second)
	if res := login(); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("after 10 seconds a login is answered with %s", res.Status)
	}
}

// TestConnections opens more connections than the public listeners take.
func TestConnections(t *testing.T) {
	w := install(t, dbtest.SQLite(t))
	w.cfg.Limits.Connections = 1
	w.start()
	for name, dial := range map[string]func() (net.Conn, error){
		"plain": func() (net.Conn, error) { return net.Dial("tcp", w.server.StatusAddr.String()) },
		"TLS": func() (net.Conn, error) {
			conn, err := net.Dial("tcp", w.server.Addr.String())
			return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			connect := func() net.Conn {
				t.Helper()
				conn, err := dial()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				return conn
			}
			ask := func(conn net.Conn) error {
				if _, err := conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
					return err
				}
				_, err := conn.Read(make([]byte, 4096))
				return err
			}
			first, second := connect(), connect()
			if err := ask(first); err != nil {
				t.Fatal(err)
			}
			answered := make(chan error, 1)
			go func() { answered <- ask(second) }()
			for range 20 {
				if err := ask(first); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case err := <-answered:
				t.Fatalf("the connection after the last is served: %v", err)
			default:
			}
			first.Close()
			if err := <-answered; err != nil {
				t.Errorf("when one has ended, the next is not served: %v", err)
			}
		})
	}
}

func TestAdminSocket(t *testing.T) {
	w := install(t, dbtest.SQLite(t))
	path := w.cfg.AdminSocket
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Run("a file that is no socket stays", func(t *testing.T) {
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.open()
		if server, err := w.app.Listen(t.Context()); err == nil {
			server.Close()
			t.Error("the server listens")
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
			t.Errorf("the file holds %q, %v", text, err)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a killed server's is replaced", func(t *testing.T) {
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		stale.Close()
	})
	w.start()
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("the socket is %v, %v", info, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("its directory holds %v, %v", left, err)
	}
	answers := func() bool {
		return admin.NewClient(path).Do(context.Background(), http.MethodGet, "/status", nil, nil) == nil
	}
	if !answers() {
		t.Error("the server does not answer")
	}
	t.Run("a running server's is not", func(t *testing.T) {
		second := &world{t: t, cfg: w.cfg, clock: w.clock, log: &buffer{}}
		second.open()
		if server, err := second.app.Listen(t.Context()); err == nil {
			server.Close()
			t.Error("a second server listens")
		}
		if !answers() {
			t.Error("the first server does not answer any more")
		}
	})
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestReload(t *testing.T) {
	w := install(t, dbtest.SQLite(t))
	w.start()
	w.reload(func(c *app.Config) { c.Log.Level = "debug" })
	if !w.app.Log.Enabled(t.Context(), -4) {
		t.Error("the level is not debug")
	}
	cfg := w.cfg
	cfg.Log.Level = "loud"
	if err := w.server.Reload(t.Context(), cfg); err == nil || !w.app.Log.Enabled(t.Context(), -4) {
		t.Errorf("an unknown level is taken: %v", err)
	}
}

// TestBlockedKeysFile puts a list of blocked keys in force by a reload, and keeps it in
// force while the file is broken.
func TestBlockedKeysFile(t *testing.T) {
	w := install(t, dbtest.SQLite(t))
	path := filepath.Join(t.TempDir(), "blocked")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("telamon-blocklist 1\n")
	w.cfg.BlockedKeysFile = path
	w.start()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(der)
	if got := w.app.KeyCheck.Weakness(key.Public(), hash); got != "" {
		t.Errorf("with an empty list: %q", got)
	}
	write(fmt.Sprintf("telamon-blocklist 1\nreason: it was published\nspki-sha256 %x\n", hash))
	w.reload(nil)
	if got := w.app.KeyCheck.Weakness(key.Public(), hash); got != "it was published" {
		t.Errorf("after the reload: %q", got)
	}
	write("nonsense")
	if err := w.server.Reload(t.Context(), w.cfg); err == nil {
		t.Error("a broken list is taken")
	}
	if got := w.app.KeyCheck.Weakness(key.Public(), hash); got != "it was published" {
		t.Errorf("after a broken list: %q", got)
	}
}

// TestSuccessor starts a server while the one before it drains.
func TestSuccessor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.start()
		inFlight := w.hold()
		defer inFlight.Close()
		w.cancel()
		w.await("the end of the admin socket's listener", func() bool {
			conn, err := net.Dial("unix", w.cfg.AdminSocket)
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
		next := &world{t: t, cfg: w.cfg, clock: w.clock, log: &buffer{}}
		next.start()
		inFlight.Close()
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		if err := admin.NewClient(w.cfg.AdminSocket).Do(t.Context(), http.MethodGet, "/status", nil, nil); err != nil {
			t.Errorf("when the first server has ended, the second answers %v", err)
		}
		if err := next.stop(); err != nil {
			t.Error(err)
		}
		if exists(w.cfg.AdminSocket) {
			t.Error("the second server leaves its socket")
		}
	})
}

// hold sends a request that is at work until the connection is closed.
func (w *world) hold() net.Conn {
	w.t.Helper()
	conn, err := tls.Dial("tcp", w.server.Addr.String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := conn.Write([]byte("POST /v2/login HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")); err != nil {
		w.t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the server wants the body: it is at work
		w.t.Fatal(err)
	}
	return conn
}

// TestDrainEnds stops a server with a request in flight that never ends.
func TestDrainEnds(t *testing.T) {
	w := install(t, dbtest.SQLite(t))
	w.cfg.DrainTimeout = 50 * time.Millisecond
	w.start()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	body := strings.NewReader(`{"api_key":"0123456789abcdef","api_secret":"0123456789abcdef0123456789abcdef01234567"}`)
	res, err := client.Post("https://"+w.server.Addr.String()+"/v2/login", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	defer w.hold().Close()
	if err := w.stop(); err == nil {
		t.Error("a request that was cut off is no error")
	}
	if !strings.Contains(w.log.String(), `"msg":"draining"`) {
		t.Errorf("the log does not say that the server drains:\n%s", w.log)
	}
	// What must not be lost is written all the same: the login that was refused.
	page, err := w.app.Store.AuditEvents(t.Context(), store.AuditFilter{Action: "credential.login"})
	if err != nil || len(page.Events) != 1 || page.Events[0].Result == "ok" {
		t.Errorf("the audit log has %d logins, %v", len(page.Events), err)
	}
	lag, err := w.app.Store.AuditLag(t.Context())
	if err != nil || lag.Pending != 0 {
		t.Errorf("%d events have no place in the log, %v", lag.Pending, err)
	}
}
