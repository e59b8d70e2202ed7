package app_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// The two faces of DigiCert ONE in these tests.
const (
	oneHost        = "demo.one.example"
	clientauthHost = "clientauth." + oneHost
)

// oneNow is a moment at noon, so that a day has a before and an after.
const oneNow = "2031-05-20T12:00:00Z"

// oneOperator makes what there is.
var oneOperator = telamon.Actor{Kind: telamon.ActorOperator}

// one is an installation that serves DigiCert ONE to an account of users.
type one struct {
	*world
	account telamon.AccountID
	roots   *x509.CertPool // of the server's certificate
	caFile  string         // the same in PEM
}

// freshInstallation holds the files of an installation on which nothing was done yet, by
// their path in its directory.
var freshInstallation = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "telamon-one-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	at, err := time.Parse(time.RFC3339, oneNow)
	if err != nil {
		return nil, err
	}
	clock := &testkit.Clock{}
	clock.Set(at.AddDate(0, -6, 0))
	log, _, err := app.NewLog(app.LogConfig{Level: "error", Format: "text"}, io.Discard)
	if err != nil {
		return nil, err
	}
	if err := app.Init(context.Background(), oneConfig(dir), app.InitOptions{MakeKEK: true}, clock, log); err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			files[name], err = os.ReadFile(path)
		}
		return err
	})
	return files, err
})

// oneConfig is the configuration of an installation in a directory.
func oneConfig(dir string) app.Config {
	cfg := app.DefaultConfig()
	cfg.Database = "sqlite:" + filepath.Join(dir, "telamon.db")
	cfg.Keys.Dir, cfg.Keys.KEKFile = filepath.Join(dir, "keys"), filepath.Join(dir, "kek")
	cfg.Listen, cfg.StatusListen, cfg.MetricsListen = "127.0.0.1:0", "127.0.0.1:0", ""
	cfg.AdminSocket, cfg.StatusBaseURL = "", "http://ca.example.com"
	cfg.Names.Atlas, cfg.Names.DigiCertONE = []string{"ca.example.com"}, []string{oneHost}
	cfg.TLS.CertFile, cfg.TLS.KeyFile = filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	for _, rate := range []*app.RateConfig{&cfg.DigiCertONE.Burst, &cfg.DigiCertONE.Sustained} {
		rate.Requests = 1_000_000 // the clock stands still
	}
	return cfg
}

// newOne starts an installation with one account. Its clock stands at oneNow.
func newOne(t *testing.T) *one {
	t.Helper()
	files, err := freshInstallation()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := &one{world: &world{t: t, cfg: oneConfig(dir), clock: testkit.NewClock(t, oneNow), log: &buffer{}}}
	o.makeServerCertificate(dir)
	o.start()
	account, err := o.app.IAM.CreateAccount(t.Context(), oneOperator, iam.NewAccount{Name: "Acme"})
	if err != nil {
		t.Fatal(err)
	}
	o.account = account.ID
	return o
}

// makeServerCertificate makes the server's certificate and the CA that clients trust,
// which are good now too: curl goes by the time of the machine.
func (o *one) makeServerCertificate(dir string) {
	o.t.Helper()
	ca, caKey := selfSigned(o.t, newKey(o.t), &x509.Certificate{
		Subject: pkix.Name{CommonName: "Test server CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	key := newKey(o.t)
	leaf := signed(o.t, &x509.Certificate{
		Subject: pkix.Name{CommonName: oneHost}, DNSNames: []string{oneHost, clientauthHost},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, key.Public(), caKey)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		o.t.Fatal(err)
	}
	o.caFile = filepath.Join(dir, "ca.pem")
	for path, block := range map[string]*pem.Block{
		o.caFile:           {Type: "CERTIFICATE", Bytes: ca.Raw},
		o.cfg.TLS.CertFile: {Type: "CERTIFICATE", Bytes: leaf.Raw},
		o.cfg.TLS.KeyFile:  {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			o.t.Fatal(err)
		}
	}
	o.roots = x509.NewCertPool()
	o.roots.AddCert(ca)
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// selfSigned returns a certificate that its own key signed.
func selfSigned(t *testing.T, key crypto.Signer, template *x509.Certificate) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	return signed(t, template, template, key.Public(), key), key
}

// signed returns a certificate that is good from 2020 to 2050, unless the template says
// otherwise.
func signed(t *testing.T, template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	if template.SerialNumber == nil {
		template.SerialNumber = serial
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// foreignCert returns a certificate that its own key signed, of a subject if one is given.
func foreignCert(t *testing.T, subject ...byte) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	cert, _ := selfSigned(t, key, &x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}, RawSubject: subject})
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// A login is a service user with an API key.
type login struct {
	telamon.Actor // as which use cases are called
	id            string
	key           string
}

// wrongKey returns the user's key with another last digit.
func (u login) wrongKey() string {
	last := len(u.key) - 1
	if u.key[last] == '0' {
		return u.key[:last] + "1"
	}
	return u.key[:last] + "0"
}

// user makes a service user of an account, who ends at a time if it is not zero.
func (o *one) user(account telamon.AccountID, name string, ends time.Time, roles ...string) login {
	o.t.Helper()
	u, key, err := o.app.IAM.CreateServiceUser(o.t.Context(), oneOperator, iam.NewServiceUser{
		Account: account, FriendlyName: name, Email: "ops@example.com", EndsAt: ends, Roles: roles,
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return login{
		Actor: telamon.Actor{Kind: telamon.ActorUser, Account: account, User: u.ID, UserName: u.Name, Roles: u.Roles},
		id:    wire(o.t, u.ID), key: key,
	}
}

// wire returns an ID as the wire spells it.
func wire(t *testing.T, id interface{ Bytes() ([16]byte, bool) }) string {
	t.Helper()
	b, ok := id.Bytes()
	if !ok {
		t.Fatalf("%v is no ID", id)
	}
	return uuid.UUID(b).String()
}

// A clientCert is a client certificate of a user, with its key.
type clientCert struct {
	telamon.ClientCert
	id string
	ca *x509.Certificate
	tls.Certificate
}

// issue issues a certificate for a user by a CSR.
func (o *one) issue(u login, name string, key crypto.Signer) clientCert {
	o.t.Helper()
	issued, err := o.app.IAM.IssueUserCert(o.t.Context(), u.Actor, iam.UserCertRequest{CSR: csrFor(o.t, key, name), Name: name})
	if err != nil {
		o.t.Fatal(err)
	}
	return clientCert{
		ClientCert: issued.ClientCert, id: wire(o.t, issued.ID), ca: issued.CA,
		Certificate: tls.Certificate{Certificate: [][]byte{issued.ClientCert.Certificate.Raw}, PrivateKey: key},
	}
}

func csrFor(t *testing.T, key crypto.Signer, name string) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// A dial says how a client connects.
type dial struct {
	cert    *tls.Certificate // shown where one is asked for, whatever CAs are named; nil: none
	version uint16           // of TLS; 0: the newest
	http1   bool             // HTTP/1.1 and not HTTP/2
	cache   tls.ClientSessionCache
	sni     string // "": that of the URL
}

// client returns a client whose connections are its own.
func (o *one) client(d dial) *http.Client {
	o.t.Helper()
	config := &tls.Config{RootCAs: o.roots, MinVersion: tls.VersionTLS12, MaxVersion: d.version, ClientSessionCache: d.cache, ServerName: d.sni}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if d.cert == nil {
			return &tls.Certificate{}, nil
		}
		return d.cert, nil
	}
	transport := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: !d.http1,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, o.server.Addr.String())
		},
	}
	o.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// An answer is what a request was answered, or why it was not.
type answer struct {
	status int
	body   string
	header http.Header
	tls    *tls.ConnectionState
	proto  string
	err    error
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d %s", a.status, a.body)
}

// call does one request. A body that is no string is sent as JSON.
func (o *one) call(c *http.Client, method, host, path, key string, body any) answer {
	o.t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			o.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(o.t.Context(), method, "https://"+host+path, reader)
	if err != nil {
		o.t.Fatal(err)
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("x-api-key", key)
	}
	return send(c, req)
}

func send(c *http.Client, req *http.Request) answer {
	res, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, string(text), res.Header, res.TLS, res.Proto, err}
}

// The paths and answers that most tests are about.
const (
	userPath  = "/account/api/v1/user"
	mePath    = userPath + "/me"
	certPath  = "/account/api/v1/client-auth-certificate"
	auditPath = "/account/api/v1/audit-log"
	helloPath = "/mpki/api/v1/hello"
)

// An outcome is the status of an answer, or its status and body.
type outcome string

// The outcomes (digicert-one.md, Section 4.2).
const (
	isOK       outcome = "200"
	isNoAuth   outcome = `403 {"errors":[{"code":"AUTHORIZATION_ERROR","message":"No authentication data provided"}]}`
	isKey      outcome = `401 {"errors":[{"code":"invalid_api_key","message":"Missing or invalid API key"}]}`
	isMismatch outcome = `403 {"errors":[{"code":"AUTHORIZATION_ERROR","message":"API key and client authentication certificate belong to different users"}]}`
)

// is reports whether an answer is the outcome, in the dialect's media type.
func (a answer) is(want outcome) bool {
	if code := string(want); len(code) == 3 {
		return a.err == nil && strconv.Itoa(a.status) == code
	}
	return a.err == nil && a.String() == string(want) && a.header.Get("Content-Type") == "application/json"
}

// isUser reports whether an answer is that the client is a user.
func (a answer) isUser(u login) bool { return strings.HasPrefix(a.body, `{"id":"`+u.id+`",`) }

// me asks who the client is, over a connection of its own.
func (o *one) me(d dial, host, key string) answer {
	o.t.Helper()
	c := o.client(d)
	defer c.CloseIdleConnections()
	return o.call(c, "GET", host, mePath, key, nil)
}

// setClock moves the clock, back too, and lets the directory know.
func (o *one) setClock(at time.Time) {
	o.t.Helper()
	o.clock.Set(at)
	if err := o.app.Directory.Poll(context.Background()); err != nil {
		o.t.Fatal(err)
	}
}
