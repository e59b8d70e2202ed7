package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/doctor"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/playground"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
	"github.com/telamon-ca/telamon/signer/internal/softhsm"
)

// platform is a whole platform whose CA keys are in a signer.
type platform struct {
	t   *testing.T
	dir string
	*playground.Running

	stop  context.CancelFunc
	ended chan error
}

// startPlatform makes a playground with a signer, and waits until it has performed its
// main job: a certificate was issued over the Atlas API, and verified.
func startPlatform(t *testing.T, p *process) *platform {
	t.Helper()
	w := &platform{t: t, dir: filepath.Join(t.TempDir(), "p"), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	t.Cleanup(w.end)
	started := make(chan *playground.Running, 1)
	var log logBuffer
	go func() {
		w.ended <- playground.Run(ctx, playground.Options{
			Dir: w.dir, Listen: "127.0.0.1:0", StatusListen: "127.0.0.1:0", Signer: p.server, Out: io.Discard, Log: &log,
			Started: func(r *playground.Running) { started <- r },
		})
	}()
	select {
	case w.Running = <-started:
	case err := <-w.ended:
		w.ended <- err
		t.Fatalf("the platform did not start: %v\n%s\n%s", err, &log, p.log)
	case <-time.After(4 * patience):
		t.Fatalf("the platform does not start\n%s\n%s", &log, p.log)
	}
	return w
}

func (w *platform) end() {
	w.stop()
	select {
	case err := <-w.ended:
		if err != nil {
			w.t.Errorf("the platform ended with: %v", err)
		}
		w.ended <- nil
	case <-time.After(patience):
		w.t.Error("the platform does not end")
	}
}

// client is a client of the Atlas API.
type client struct {
	http       *http.Client
	url, token string
}

func (w *platform) client() *client {
	w.t.Helper()
	credential, err := w.Description.Credential("dev_ecdsa")
	if err != nil {
		w.t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(credential.CertFile, credential.KeyFile)
	if err != nil {
		w.t.Fatal(err)
	}
	roots, err := os.ReadFile(w.Description.ServerCAFile)
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	transport := &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}}
	w.t.Cleanup(transport.CloseIdleConnections)
	c := &client{http: &http.Client{Transport: transport, Timeout: patience}, url: w.Description.AtlasURL}
	var login struct {
		Token string `json:"access_token"`
	}
	status, _, body := c.do(http.MethodPost, "/login", map[string]any{"api_key": credential.APIKey, "api_secret": credential.APISecret})
	if err := json.Unmarshal(body, &login); err != nil || status != http.StatusOK {
		w.t.Fatalf("login: %d, %s", status, body)
	}
	c.token = login.Token
	return c
}

// do makes a request. Its status is 0 if there is no whole answer.
func (c *client) do(method, path string, body any) (status int, location string, answer []byte) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return 0, "", fmt.Append(nil, err)
		}
	}
	req, err := http.NewRequest(method, c.url+path, bytes.NewReader(text))
	if err != nil {
		return 0, "", fmt.Append(nil, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
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

// privateKeys returns what another PKCS #11 program says of the token's private keys.
func privateKeys(t *testing.T, token softhsm.Token) []string {
	t.Helper()
	out, err := pkcs11Tool(t, token, "--list-objects", "--type", "privkey")
	if err != nil {
		t.Fatalf("pkcs11-tool: %v\n%s", err, out)
	}
	parts := strings.Split(out, "Private Key Object")
	return parts[1:]
}

func pkcs11Tool(t *testing.T, token softhsm.Token, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("pkcs11-tool"); err != nil {
		testkit.Require(t, "pkcs11-tool (Debian: opensc)")
	}
	args = append([]string{"--module", softhsm.Module(t), "--token-label", softhsm.Label, "--login", "--pin", token.PIN}, args...)
	out, err := exec.Command("pkcs11-tool", args...).CombinedOutput()
	return string(out), err
}

// How the signer is killed: so often, after so many answers, of so many requests at
// most.
const (
	killRounds   = 2
	killAfter    = 25
	killRequests = 120
	killClients  = 4
)

// TestSoftHSM runs a platform whose CA keys never leave a token: it is made, issues,
// loses its signer under load, again and again, rotates, and publishes a CRL and OCSP
// answers. Every certificate that was answered with 201 exists, and every request is
// answered, with 201 or a clear 503.
func TestSoftHSM(t *testing.T) {
	token := softhsm.New(t)
	p := newProcess(t, token)
	p.start()
	w := startPlatform(t, p)
	keys := privateKeys(t, token)
	if len(keys) != 9 { // three roots, five issuing CAs and a key pair
		t.Errorf("the token has %d private keys", len(keys))
	}
	for _, key := range keys {
		if !strings.Contains(key, "always sensitive") || !strings.Contains(key, "never extractable") {
			t.Errorf("a key can leave the token: %s", key)
		}
	}
	entries, err := filepath.Glob(filepath.Join(w.dir, "keys", "*"))
	for _, path := range entries {
		if base := filepath.Base(path); !strings.HasPrefix(base, "_") {
			t.Errorf("the server's keystore has %s", base)
		}
	}
	if err != nil || len(entries) == 0 {
		t.Errorf("the server's keystore has %d files, %v", len(entries), err)
	}
	var issued []string
	csr := newCSR(t)
	for range killRounds {
		issued = append(issued, w.issueWhileKilled(p, csr)...)
	}
	c := w.client()
	for _, serial := range issued {
		if status, _, body := c.do(http.MethodGet, "/certificates/"+serial, nil); status != http.StatusOK {
			t.Errorf("%s was answered with 201, and is answered with %d now: %s", serial, status, body)
		}
	}
	w.checkKeyPair()
	w.checkRotation(csr)
	for _, key := range privateKeys(t, token) {
		if !strings.Contains(key, "always sensitive") || !strings.Contains(key, "never extractable") {
			t.Errorf("a key can leave the token: %s", key)
		}
	}
	// One issuing CA and one OCSP responder are new.
	if out, err := p.run("keys", "-check"); err != nil || strings.Count(out, "there\n") != 11 {
		t.Errorf("keys -check: %v\n%s", err, out)
	}
	w.checkDoctor()
	invariant.Check(t, w.App.Store)
	if err := p.end(syscall.SIGTERM); err != nil {
		t.Errorf("the signer ended by SIGTERM with: %v\n%s", err, p.log)
	}
}

// issueWhileKilled has certificates issued from several connections, kills the signer
// when some were answered, starts it again, and returns the serial numbers of all that
// were answered with 201.
func (w *platform) issueWhileKilled(p *process, csr string) []string {
	w.t.Helper()
	answered := make(chan string, killRequests)
	var clients sync.WaitGroup
	var refused atomic.Int64
	for range killClients {
		c := w.client()
		clients.Go(func() {
			for range killRequests / killClients {
				status, location, body := c.do(http.MethodPost, "/certificates", map[string]any{
					"subject_dn": map[string]any{"common_name": "testsubject"}, "public_key": csr,
				})
				switch status {
				case http.StatusCreated:
					answered <- location[strings.LastIndexByte(location, '/')+1:]
				case http.StatusServiceUnavailable:
					refused.Add(1)
				default:
					w.t.Errorf("POST /certificates: %d, %s", status, body)
				}
			}
		})
	}
	go func() {
		clients.Wait()
		close(answered)
	}()
	var issued []string
	for serial := range answered {
		if issued = append(issued, serial); len(issued) == killAfter {
			if err := p.end(syscall.SIGKILL); err == nil {
				w.t.Error("a killed signer ends well")
			}
			p.start()
		}
	}
	if n := len(issued) + int(refused.Load()); n != killRequests || len(issued) <= killAfter {
		w.t.Errorf("%d requests were answered with 201 and %d with 503, want %d in all", len(issued), refused.Load(), killRequests)
	}
	return issued
}

// operator is who rotates.
var operator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_1"}

// certificate has a certificate issued, and returns it and its issuer.
func (w *platform) certificate(csr string) (*client, *x509.Certificate, *telamon.Issuer) {
	w.t.Helper()
	c := w.client()
	status, location, body := c.do(http.MethodPost, "/certificates", map[string]any{
		"subject_dn": map[string]any{"common_name": "testsubject"}, "public_key": csr,
	})
	if status != http.StatusCreated {
		w.t.Fatalf("POST /certificates: %d, %s", status, body)
	}
	var answer struct {
		Certificate string `json:"certificate"`
	}
	status, _, body = c.do(http.MethodGet, "/certificates/"+location[strings.LastIndexByte(location, '/')+1:], nil)
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		w.t.Fatalf("GET %s: %d, %s", location, status, body)
	}
	block, _ := pem.Decode([]byte(answer.Certificate))
	if block == nil {
		w.t.Fatalf("GET %s answers %s", location, body)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	issuers, _, err := w.App.Store.Issuers(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, issuer := range issuers {
		if cert.CheckSignatureFrom(issuer.Certificate) == nil {
			return c, cert, &issuer
		}
	}
	w.t.Fatalf("no issuer has signed %s", location)
	return nil, nil, nil
}

// checkRotation rotates the series that issues, revokes a certificate of the new issuing
// CA, and finds it revoked in the CRL and the OCSP answer that keys of the token signed.
func (w *platform) checkRotation(csr string) {
	w.t.Helper()
	ctx := w.t.Context()
	_, _, old := w.certificate(csr)
	series, err := w.App.Issuance.Series(old.Series)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.App.Life.Rotate(ctx, operator, lifecycle.RotateRequest{Series: series.Name, Now: true, EndTokens: true}); err != nil {
		w.t.Fatal(err)
	}
	c, cert, next := w.certificate(csr)
	if next.ID == old.ID {
		w.t.Fatal("the old issuing CA signs after the rotation")
	}
	if status, _, body := c.do(http.MethodDelete, fmt.Sprintf("/certificates/%X", cert.SerialNumber), nil); status != http.StatusNoContent {
		w.t.Fatalf("DELETE: %d, %s", status, body)
	}
	if _, err := w.App.Publisher.Publish(ctx, operator, next.ID); err != nil {
		w.t.Fatal(err)
	}
	crl, err := x509.ParseRevocationList(w.fetch(http.MethodGet, cert.CRLDistributionPoints[0], nil))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := crl.CheckSignatureFrom(next.Certificate); err != nil {
		w.t.Errorf("the CRL: %v", err)
	}
	if len(crl.RevokedCertificateEntries) != 1 || crl.RevokedCertificateEntries[0].SerialNumber.Cmp(cert.SerialNumber) != 0 {
		w.t.Errorf("the CRL has %+v, want %X", crl.RevokedCertificateEntries, cert.SerialNumber)
	}
	question, err := ocsp.CreateRequest(cert, next.Certificate, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := ocsp.ParseResponseForCert(w.fetch(http.MethodPost, w.Description.StatusURL+"/ocsp/"+next.ID.String(), question), cert, next.Certificate)
	if err != nil || answer.Status != ocsp.Revoked || answer.Certificate == nil {
		w.t.Errorf("the OCSP answer is %+v, %v, want revoked, by a responder", answer, err)
	}
}

// fetch returns what a URL of the plain listener answers.
func (w *platform) fetch(method, url string, body []byte) []byte {
	w.t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %s: %s, %s, %v", method, url, res.Status, answer, err)
	}
	return answer
}

// checkKeyPair signs a hash with the playground's key pair, whose private half is in the
// token, and looks for the signature in the signer's journal.
func (w *platform) checkKeyPair() {
	w.t.Helper()
	pairs, err := w.App.Store.KeyPairKeys(w.t.Context())
	if err != nil || len(pairs) != 1 {
		w.t.Fatalf("there are the key pairs %+v, %v", pairs, err)
	}
	k := &pairs[0]
	user := telamon.Actor{Kind: telamon.ActorUser, Account: k.Account, User: telamon.NewUserID(), Roles: []string{"SM_SIGNER"}}
	digest := sha256.Sum256([]byte("what is signed"))
	signed, err := w.App.Signing.Sign(w.t.Context(), user, k.Account, k.ID, "SHA256withECDSA", digest[:])
	if err != nil {
		w.t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(k.SPKI)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := signed.Algorithm.VerifyDigest(public, digest[:], signed.Octets); err != nil {
		w.t.Error(err)
	}
	n := 0
	for record, err := range w.App.CAKeys.ReadJournal(k.Name) {
		if n++; err != nil || record.OfCertificate() {
			w.t.Errorf("the journal has %+v, %v", record, err)
		}
	}
	if n != 1 {
		w.t.Errorf("the journal has %d records, want one", n)
	}
}

// checkDoctor has the installation examined: the keys and journals are behind the signer.
func (w *platform) checkDoctor() {
	w.t.Helper()
	report := doctor.Examine(w.t.Context(), w.App.Config, doctor.Options{Clock: telamon.SystemClock{}})
	checked := map[string]doctor.Level{}
	for _, f := range report.Findings {
		if f.Level == doctor.Fail {
			w.t.Errorf("%+v", f)
		}
		checked[f.Check] = f.Level
	}
	for _, check := range []string{"signer", "keys", "keypairs", "journal"} {
		if _, ok := checked[check]; !ok {
			w.t.Errorf("there is no finding of %s: %+v", check, report.Findings)
		}
	}
}
