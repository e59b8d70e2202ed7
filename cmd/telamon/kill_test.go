package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/playground"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// How the server is killed: so often, after so many answers, of so many requests
// at most.
const (
	killRounds   = 3
	killAfter    = 60
	killRequests = 300
	killClients  = 6
)

// TestKill kills the server in the middle of its work, again and again. Every
// certificate of which a client has read the 201 can be retrieved from the next
// server, what is counted is there, and the audit log is whole.
func TestKill(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { testKill(t, "") })
	t.Run("postgres", func(t *testing.T) { testKill(t, dbtest.Postgres(t)) })
}

func testKill(t *testing.T, database string) {
	dir := filepath.Join(t.TempDir(), "p")
	csr := newCSR(t)
	var issued []string
	for range killRounds {
		server := startDev(t, dir, database)
		issued = append(issued, server.issueUntilKilled(csr)...)
	}
	server := startDev(t, dir, database)
	c := server.client()
	for _, serial := range issued {
		if status, _, body := c.do(http.MethodGet, "/certificates/"+serial, nil); status != http.StatusOK {
			t.Errorf("%s was answered with 201, and is answered with %d now: %s", serial, status, body)
		}
	}
	status, _, body := c.do(http.MethodGet, "/counters/certificates/issued", nil)
	var counter struct {
		Value int `json:"value"`
	}
	if err := json.Unmarshal(body, &counter); err != nil || status != http.StatusOK || counter.Value < len(issued) {
		t.Errorf("%d certificates were answered with 201, the counter is: %d, %s", len(issued), status, body)
	}
	res, err := http.Get(server.description.StatusURL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Errorf("/readyz answers %s", res.Status)
	}
	server.end(syscall.SIGTERM)
	if out, err := exec.Command("telamon", "audit", "verify", "-config", server.description.ConfigFile).CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	cfg, err := app.LoadConfig(server.description.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	db, err := app.OpenDatabase(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	invariant.Check(t, db)
}

// dev is a running "telamon dev".
type dev struct {
	t           *testing.T
	cmd         *exec.Cmd
	errOut      *bytes.Buffer
	description *playground.Description
}

// startDev starts the playground of a directory and waits until it is ready.
func startDev(t *testing.T, dir, database string) *dev {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	d := &dev{t: t, errOut: &bytes.Buffer{}}
	args := []string{"dev", "-dir", dir, "-listen", "127.0.0.1:0", "-status-listen", "127.0.0.1:0"}
	if database != "" {
		args = append(args, "-database", database)
	}
	d.cmd = exec.CommandContext(ctx, "telamon", args...) // killed if the test ends early
	d.cmd.Stderr = d.errOut
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "ready: ") {
	}
	if !strings.HasPrefix(lines.Text(), "ready: ") {
		err := d.cmd.Wait()
		t.Fatalf("the playground did not start: %v\n%s", err, d.errOut)
	}
	if d.description, err = playground.ReadDescription(filepath.Join(dir, "dev.json")); err != nil {
		t.Fatal(err)
	}
	return d
}

// end sends a signal and waits. Only a killed server may fail.
func (d *dev) end(signal syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Wait(); (err == nil) == (signal == syscall.SIGKILL) {
		d.t.Errorf("the server ended with: %v\n%s", err, d.errOut)
	}
}

// issueUntilKilled has certificates issued from several connections, kills the
// server when it has answered some, and returns the serial numbers of all that
// were answered with 201.
func (d *dev) issueUntilKilled(csr string) (issued []string) {
	d.t.Helper()
	answered := make(chan string)
	var clients sync.WaitGroup
	for range killClients {
		c := d.client()
		clients.Go(func() {
			for range killRequests / killClients {
				status, location, body := c.do(http.MethodPost, "/certificates", map[string]any{
					"subject_dn": map[string]any{"common_name": "testsubject"}, "public_key": csr,
				})
				if status == 0 {
					return // the server is gone
				}
				if status != http.StatusCreated {
					d.t.Errorf("POST /certificates: %d, %s", status, body)
					return
				}
				answered <- location[strings.LastIndexByte(location, '/')+1:]
			}
		})
	}
	go func() {
		clients.Wait()
		close(answered)
	}()
	for serial := range answered {
		if issued = append(issued, serial); len(issued) == killAfter {
			d.end(syscall.SIGKILL)
		}
	}
	if len(issued) < killAfter || len(issued) == killRequests {
		d.t.Fatalf("%d certificates were answered before the server was killed", len(issued))
	}
	return issued
}

// wireClient speaks to the server over a connection of its own.
type wireClient struct {
	http       *http.Client
	url, token string
}

func (d *dev) client() *wireClient {
	d.t.Helper()
	credential, err := d.description.Credential("dev_ecdsa")
	if err != nil {
		d.t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(credential.CertFile, credential.KeyFile)
	if err != nil {
		d.t.Fatal(err)
	}
	roots, err := os.ReadFile(d.description.ServerCAFile)
	if err != nil {
		d.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	transport := &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}}
	d.t.Cleanup(transport.CloseIdleConnections)
	c := &wireClient{http: &http.Client{Transport: transport, Timeout: patience}, url: d.description.AtlasURL}
	status, _, body := c.do(http.MethodPost, "/login", map[string]any{"api_key": credential.APIKey, "api_secret": credential.APISecret})
	var login struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &login); err != nil || status != http.StatusOK {
		d.t.Fatalf("login: %d, %s", status, body)
	}
	c.token = login.Token
	return c
}

// do makes a request. Its status is 0 if there is no whole answer.
func (c *wireClient) do(method, path string, body any) (status int, location string, answer []byte) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, "", fmt.Append(nil, err)
	}
	if body == nil {
		text = nil
	}
	req, err := http.NewRequest(method, c.url+path, bytes.NewReader(text))
	if err != nil {
		return 0, "", fmt.Append(nil, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, "", fmt.Append(nil, err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		return 0, "", fmt.Append(nil, err)
	}
	return res.StatusCode, res.Header.Get("Location"), answer
}

func newCSR(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}
