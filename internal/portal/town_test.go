package portal_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/openid"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/portal"
	"github.com/telamon-ca/telamon/internal/portal/clients"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/vetting"
	"github.com/telamon-ca/telamon/internal/web"
	outside "github.com/telamon-ca/telamon/internal/world"
)

// townPolicy is a policy whose organization comes from the identity.
const townPolicy = `{
	"validity": {"secondsmin": 1, "secondsmax": 86400},
	"subject_dn": {
		"common_name": {"presence": "REQUIRED", "format": "^[a-z]+$"},
		"organization": {"presence": "STATIC", "format": "{{identity.organization}}"}
	},
	"extended_key_usages": {"ekus": {"static": true, "list": ["1.3.6.1.5.5.7.3.2"]}},
	"signature": {
		"algorithm": {"presence": "OPTIONAL", "list": ["ECDSA"]},
		"hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256"]}
	},
	"public_key": {"key_type": "ECDSA", "allowed_lengths": [256], "key_format": "PKCS10"},
	"public_key_signature": "OPTIONAL"
}`

var townOperator = telamon.Actor{Kind: telamon.ActorOperator, RequestID: "req_operator"}

// A town is a whole platform with its portal on a TLS listener.
type town struct {
	url      string // of the portal
	db       *store.DB
	raw      *sql.DB
	clock    *testkit.Clock
	iam      *iam.IAM
	ra       *ra.RA
	signin   *signin.Service
	office   *staff.Staff
	commerce *commerce.Service
	forms    *web.Limiter // of accounts
	log      *buffer
	sent     *buffer // the bodies of all requests

	logSigner note.Signer    // of the audit log's checkpoints
	outside   *outside.World // the DNS and the web that domains are looked at in
}

func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{clock: testkit.NewClock(t, "2026-11-22T09:41:00Z"), log: &buffer{}, sent: &buffer{}}
	w.forms = web.NewLimiter(w.clock, 0.1, 5000)
	database := dbtest.SQLite(t)
	w.db = dbtest.Open(t, database, w.clock)
	w.raw = got(sql.Open("sqlite", "file:"+strings.TrimPrefix(database, "sqlite:")+"?_pragma=busy_timeout(5000)"))(t)
	t.Cleanup(func() { w.raw.Close() })
	kek, _ := keystore.NewKEK()
	keys := got(keystore.Create(keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: w.clock}))(t)
	t.Cleanup(func() { keys.Close() })
	engine := issuance.New(issuance.Config{Keys: keys, Clock: w.clock, StatusBaseURL: "http://status.example", Lint: got(lint.New(lint.Config{}))(t).Check})
	for _, spec := range []issuance.HierarchySpec{
		{Name: "mtls", Kind: telamon.HierarchyClientAuth, Series: []issuance.SeriesSpec{{Name: "mtls", KeyType: tbs.ECP256, EKUFamily: telamon.EKUClientAuth, Years: 10}}},
		{Name: "tls", Kind: telamon.HierarchyTLS, Series: []issuance.SeriesSpec{{Name: "tls-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUTLS, Years: 5}}},
	} {
		spec.RootKeyType, spec.RootYears = tbs.ECP256, 20
		made := got(engine.CreateHierarchy(t.Context(), spec))(t)
		must(t, w.db.CreateHierarchy(t.Context(), townOperator, store.Hierarchy{ID: made.ID, Kind: spec.Kind, Name: spec.Name, Series: made.Series, Issuers: made.Issuers}))
	}
	dir := got(directory.New(t.Context(), directory.Config{Store: w.db, Clock: w.clock, OnIssuers: engine.Load}))(t)
	w.iam = iam.New(iam.Config{Store: w.db, Directory: dir, Issuance: engine, Keys: keys, Passwords: testkit.Passwords, Clock: w.clock, ClientSeriesRSA: "mtls", ClientSeriesEC: "mtls"})
	cert := certificate(t)
	server := httptest.NewUnstartedServer(nil)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	w.url = "https://localhost:" + server.Listener.Addr().String()[strings.LastIndex(server.Listener.Addr().String(), ":")+1:]
	providers := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} // those of tests
	w.signin = got(signin.New(signin.Config{
		Store: w.db, Directory: dir, Keys: keys, Passwords: testkit.Passwords, Clock: w.clock, PortalURL: w.url, Platform: "Example Trust", Agreement: "4.2 of 2026-03-01",
		OpenID: openid.New(providers, w.clock),
	}))(t)
	log := slog.New(slog.NewTextHandler(w.log, nil))
	w.ra = ra.New(ra.Config{Store: w.db, Directory: dir, Issuance: engine, Clock: w.clock, Log: log, Agreement: "4.2 of 2026-03-01", Validation: w.validation(t, keys, log)})
	w.commerce = commerce.New(commerce.Config{Store: w.db, Directory: dir, Clock: w.clock, Terms: "4.2 of 2026-03-01", PortalURL: w.url})
	pages := portal.New(portal.Config{
		Approvals: newDesk("shop.example.com"), Clock: w.clock, Log: log, Platform: "Example Trust", SignIn: w.signin, IAM: w.iam, Commerce: w.commerce,
		RA: w.ra, Vetting: vetting.New(vetting.Config{Store: w.db, Directory: dir, Clock: w.clock}), AtlasURL: "https://atlas.example.test", RenderMail: w.signin.ShowMail,
		DigiCertONE: clients.API{Base: "https://one.example.test", ClientAuth: "https://clientauth.one.example.test"},
		Operator:    w.operating(t, keys, engine, dir, log), Forms: w.forms,
	})
	served := web.Clients{}.Wrap(web.Instrument{Face: "portal", Log: log, MaxBodyOf: portal.MaxBody}.Wrap(pages))
	server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, w.sent), r.Body}
		served.ServeHTTP(rw, r)
	})
	server.StartTLS()
	t.Cleanup(server.Close)
	return w
}

// validation is how the town looks at the world outside.
func (w *town) validation(t testing.TB, keys *keystore.Keystore, log *slog.Logger) ra.Validation {
	t.Helper()
	w.outside = got(outside.Start(outside.Config{}))(t)
	t.Cleanup(func() { must(t, w.outside.Close()) })
	port := func(address string) uint16 { return netip.MustParseAddrPort(address).Port() }
	lookups := resolver.New(resolver.Config{Address: w.outside.DNS.Addr(), Timeout: time.Second})
	v := ra.Validation{
		Rules: rules.Default(), TokenPrefix: "telamon-domain-verification=", Issuers: []string{"ca.example.net"}, Inline: ra.DefaultInline,
		Networks:    egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		ApprovalURL: w.url + portal.ApprovePath, PortalURL: w.url, Platform: "Example Trust",
		MAC: func(nonce []byte) []byte { return keys.MAC("mail-approval", 1, nonce) },
	}
	dialer := &egress.Dialer{Policy: v.Networks, Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
		answer, err := lookups.Lookup(ctx, host, resolver.TypeA)
		if err != nil {
			return nil, err
		}
		return answer.Addresses, nil
	}}
	v.Engine = dcv.New(dcv.Config{
		Resolver: lookups, Dial: dialer.DialContext, CAAValid: v.Rules.CAAValid(), Clock: w.clock,
		HTTPPort: port(w.outside.HTTP.Addr()), HTTPSPort: port(w.outside.HTTP.TLSAddr()),
	})
	v.Panel = got(perspective.NewPanel(perspective.PanelConfig{Local: v.Engine, Rules: v.Rules, Clock: w.clock, Log: log}))(t)
	return v
}

var linkInMail = regexp.MustCompile(`https://localhost:[0-9]+(/[a-z-]+/[A-Za-z0-9_-]+)`)

// mailed returns the path of the link in the last mail to an address.
func (w *town) mailed(t testing.TB, to string) string {
	t.Helper()
	var id telamon.MailID
	must(t, w.raw.QueryRowContext(t.Context(), "SELECT id FROM mail WHERE recipient = ? ORDER BY created_at DESC, id DESC LIMIT 1", to).Scan(&id))
	message := got(w.signin.RenderMail(t.Context(), got(w.db.Mail(t.Context(), id))(t)))(t)
	found := linkInMail.FindStringSubmatch(message.Text)
	if found == nil {
		t.Fatalf("the mail to %s has no link:\n%s", to, message.Text)
	}
	return found[1]
}

// accountOf returns the account of a person.
func (w *town) accountOf(t testing.TB, email string) (id telamon.AccountID) {
	t.Helper()
	must(t, w.raw.QueryRowContext(t.Context(), "SELECT account_id FROM account_user WHERE email = ?", email).Scan(&id))
	return id
}

// equip gives an account a service and an active identity, as an operator does.
func (w *town) equip(t testing.TB, account telamon.AccountID) {
	t.Helper()
	ctx := t.Context()
	service := got(w.iam.CreateService(ctx, townOperator, iam.ServiceSpec{Name: "Client authentication", PolicyTemplate: []byte(townPolicy), Series: "tls-ec", Unlimited: true}))(t)
	got(w.iam.Subscribe(ctx, townOperator, account, service.ID))(t)
	identity := got(w.iam.CreateIdentity(ctx, townOperator, account, "Northwind OV", map[string]string{"organization": "Northwind Energy Supply Ltd"}))(t)
	for _, to := range []telamon.IdentityState{telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive} {
		must(t, w.iam.MoveIdentity(ctx, townOperator, account, identity.ID, iam.IdentityMove{To: to, Reason: "a test"}))
	}
}

// newCSR returns a CSR for a new RSA key.
func newCSR(t testing.TB) string {
	t.Helper()
	key := got(rsa.GenerateKey(rand.Reader, 2048))(t)
	der := got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "metering"}}, key))(t)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// newECCSR returns a CSR for a new key on P-256.
func newECCSR(t testing.TB) string {
	t.Helper()
	key := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(t)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got returns a function that gives the value, or ends the test if there is an error.
func got[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}
