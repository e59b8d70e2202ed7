package playground_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/globalsign/hvclient"

	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/playground"
	"github.com/telamon-ca/telamon/internal/store"
)

// keyModes are the credentials of the three ways to send a key, and how hvclient
// is told.
var keyModes = []struct {
	credential string
	format     hvclient.KeyFormat
	signature  hvclient.Presence
	set        func(t *testing.T, r *hvclient.Request, key *rsa.PrivateKey)
}{
	{"dev_pkcs10", hvclient.PKCS10, hvclient.Forbidden, func(t *testing.T, r *hvclient.Request, key *rsa.PrivateKey) { r.CSR = emptyCSR(t, key) }},
	{"dev_pkcs8", hvclient.PKCS8, hvclient.Forbidden, func(_ *testing.T, r *hvclient.Request, key *rsa.PrivateKey) { r.PublicKey = &key.PublicKey }},
	{"dev_pkcs8_signed", hvclient.PKCS8, hvclient.Required, func(_ *testing.T, r *hvclient.Request, key *rsa.PrivateKey) { r.PrivateKey = key }},
}

func emptyCSR(t *testing.T, key *rsa.PrivateKey) *x509.CertificateRequest {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// hvConfig returns the client's configuration as its file says, but that the file
// cannot name the roots.
func (w *world) hvConfig(c *playground.Credential) *hvclient.Config {
	w.t.Helper()
	config, err := hvclient.NewConfigFromFile(c.HVClientConfigFile)
	if err != nil {
		w.t.Fatal(err)
	}
	config.TLSRoots = w.roots()
	return config
}

// TestHVClient drives every call of the real client library that this server has.
func TestHVClient(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		for _, mode := range keyModes {
			t.Run(mode.credential, func(t *testing.T) {
				client, err := hvclient.NewClient(t.Context(), w.hvConfig(w.credential(mode.credential)))
				if err != nil {
					t.Fatal(err)
				}
				// A key of its own, since the account may not use one again that it says is compromised.
				key, err := rsa.GenerateKey(rand.Reader, 2048)
				if err != nil {
					t.Fatal(err)
				}
				h := &hvSession{Client: client, t: t, w: w, key: key}
				policy, err := h.Policy(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if policy.PublicKey == nil || policy.PublicKey.KeyFormat != mode.format || policy.PublicKeySignature != mode.signature {
					t.Errorf("the policy wants keys %+v, signature %v", policy.PublicKey, policy.PublicKeySignature)
				}
				serials := h.issue(mode.set)
				h.revoke(serials[:2])
				h.statistics(serials)
				h.relogin()
			})
		}
	})
}

// hvSession is one client on its way through the API.
type hvSession struct {
	*hvclient.Client
	t   *testing.T
	w   *world
	key *rsa.PrivateKey // that is certified
}

// certificates is how many each session issues: two pages and a half.
const certificates = 5

func (h *hvSession) number(read func(context.Context) (int64, error)) int64 {
	h.t.Helper()
	n, err := read(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// issue requests certificates and compares them, the quota and the counter.
func (h *hvSession) issue(setKey func(*testing.T, *hvclient.Request, *rsa.PrivateKey)) (serials []*big.Int) {
	t, ctx := h.t, h.t.Context()
	t.Helper()
	quota, issued := h.number(h.QuotaIssuance), h.number(h.CounterCertsIssued)
	chain, err := h.TrustChain(ctx)
	if err != nil || len(chain) != 2 {
		t.Fatalf("%d certificates in the trust chain, %v", len(chain), err)
	}
	now := h.w.clock.Now()
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	options.Intermediates.AddCert(chain[0])
	options.Roots.AddCert(chain[1])
	for i := range certificates {
		name := fmt.Sprintf("device-%d.example.com", i)
		request := &hvclient.Request{
			Validity: &hvclient.Validity{NotBefore: now, NotAfter: now.AddDate(0, 0, 30+i)},
			Subject:  &hvclient.DN{CommonName: name, OrganizationalUnit: []string{"Line 4"}}, SAN: &hvclient.SAN{DNSNames: []string{name}},
		}
		setKey(t, request, h.key)
		serial, err := h.CertificateRequest(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		info, err := h.CertificateRetrieve(ctx, serial)
		if err != nil {
			t.Fatal(err)
		}
		cert := info.X509
		if _, err := cert.Verify(options); err != nil {
			t.Errorf("the chain of %X does not verify: %v", serial, err)
		}
		if info.Status != hvclient.StatusIssued || cert.SerialNumber.Cmp(serial) != 0 || !h.key.PublicKey.Equal(cert.PublicKey) {
			t.Errorf("certificate %X came back as %X, %v, with another key or not", serial, cert.SerialNumber, info.Status)
		}
		if cert.Subject.CommonName != name || !slices.Equal(cert.DNSNames, []string{name}) ||
			!cert.NotBefore.Equal(now) || !cert.NotAfter.Equal(now.AddDate(0, 0, 30+i)) || !info.UpdatedAt.Equal(now) {
			t.Errorf("certificate %X is for %s, %v, from %v to %v, updated at %v", serial, cert.Subject, cert.DNSNames, cert.NotBefore, cert.NotAfter, info.UpdatedAt)
		}
		serials = append(serials, serial)
	}
	if now := h.number(h.CounterCertsIssued); now != issued+certificates {
		t.Errorf("the counter of issued certificates went from %d to %d", issued, now)
	}
	if now := h.number(h.QuotaIssuance); now != quota-certificates {
		t.Errorf("the quota went from %d to %d", quota, now)
	}
	return serials
}

// revoke revokes two certificates, the second with a reason.
func (h *hvSession) revoke(serials []*big.Int) {
	t, ctx := h.t, h.t.Context()
	t.Helper()
	revoked := h.number(h.CounterCertsRevoked)
	if err := h.CertificateRevoke(ctx, serials[0]); err != nil {
		t.Fatal(err)
	}
	compromised := h.w.clock.Now().Add(-time.Hour).Unix()
	if err := h.CertificateRevokeWithReason(ctx, serials[1], hvclient.RevocationReasonKeyCompromise, compromised); err != nil {
		t.Fatal(err)
	}
	for _, serial := range serials {
		info, err := h.CertificateRetrieve(ctx, serial)
		if err != nil || info.Status != hvclient.StatusRevoked {
			t.Errorf("certificate %X: %+v, %v, want it revoked", serial, info, err)
		}
	}
	if now := h.number(h.CounterCertsRevoked); now != revoked+2 {
		t.Errorf("the counter of revoked certificates went from %d to %d", revoked, now)
	}
	err := h.CertificateRevoke(ctx, serials[0])
	if refusal, ok := errors.AsType[hvclient.APIError](err); !ok || refusal.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("revoked once more: %v, want status 412", err)
	}
}

// statistics reads the three listings by pages of two.
func (h *hvSession) statistics(serials []*big.Int) {
	h.t.Helper()
	now, day := h.w.clock.Now(), 24*time.Hour
	h.listed("issued", h.StatsIssued, now.Add(-time.Second), now.Add(time.Second), serials)
	h.listed("revoked", h.StatsRevoked, now.Add(-time.Second), now.Add(time.Second), serials[:2])
	h.listed("expiring", h.StatsExpiring, now.Add(30*day), now.Add(30*day+certificates*day), serials)
	h.listed("expiring later", h.StatsExpiring, now.Add(60*day), now.Add(90*day), nil)
}

// listed reads a listing and compares it, where other sessions may have added to it.
func (h *hvSession) listed(name string, list func(context.Context, int, int, time.Time, time.Time) ([]hvclient.CertMeta, int64, error),
	from, to time.Time, want []*big.Int) {
	t := h.t
	t.Helper()
	const perPage = 2
	seen := map[string]hvclient.CertMeta{}
	for page := 1; ; page++ {
		rows, total, err := list(t.Context(), page, perPage, from, to)
		if err != nil {
			t.Fatalf("%s, page %d: %v", name, page, err)
		}
		for _, row := range rows {
			seen[row.SerialNumber.String()] = row
		}
		if len(rows) > perPage || len(rows) == 0 && int64(len(seen)) != total {
			t.Fatalf("%s, page %d: %d rows, %d of %d in all", name, page, len(rows), len(seen), total)
		}
		if len(rows) == 0 {
			break
		}
	}
	for _, serial := range want {
		if row, ok := seen[serial.String()]; !ok || !row.NotBefore.Equal(h.w.clock.Now()) || !row.NotAfter.After(row.NotBefore) {
			t.Errorf("certificate %X is listed as %s: %v, %+v", serial, name, ok, row)
		}
	}
	if want == nil && len(seen) > 0 {
		t.Errorf("%d certificates are %s, want none", len(seen), name)
	}
}

// relogin has the token end. The client learns it from a 401, and logs in again.
func (h *hvSession) relogin() {
	h.t.Helper()
	logins := h.logins()
	h.w.advance(659 * time.Second)
	if h.number(h.QuotaIssuance); h.logins() != logins {
		h.t.Error("the token was not good to its last second")
	}
	h.w.advance(time.Second)
	if h.number(h.QuotaIssuance); h.logins() != logins+1 {
		h.t.Errorf("%d logins after the token's end, want 1", h.logins()-logins)
	}
}

// logins returns how many logins succeeded.
func (h *hvSession) logins() int {
	h.t.Helper()
	page, err := h.w.App.Store.AuditEvents(h.t.Context(), store.AuditFilter{Action: string(authz.CredentialLogin), Result: "ok"})
	if err != nil {
		h.t.Fatal(err)
	}
	return len(page.Events)
}

// hvclientProcess is what a program of a customer does with its configuration file.
func hvclientProcess(ctx context.Context, file string) error {
	client, err := hvclient.NewClientFromFile(ctx, file)
	if err != nil {
		return err
	}
	policy, err := client.Policy(ctx)
	if err != nil {
		return err
	}
	fmt.Println(policy.PublicKey.KeyFormat)
	return nil
}

// TestHVClientConfigFile has a process of its own use each configuration file as
// it stands, since the process reads SSL_CERT_FILE once.
func TestHVClientConfigFile(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{})
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.Description.Credentials {
		t.Run(c.Name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), program)
			command.Env = append(os.Environ(), configVariable+"="+c.HVClientConfigFile, "SSL_CERT_FILE="+w.Description.ServerCAFile)
			out, err := command.CombinedOutput()
			if err != nil || string(out) != c.KeyFormat+"\n" {
				t.Errorf("hvclient says %q, %v; want key format %s", out, err, c.KeyFormat)
			}
		})
	}
	t.Run("without the roots", func(t *testing.T) {
		command := exec.CommandContext(t.Context(), program)
		command.Env = append(os.Environ(), configVariable+"="+w.Description.Credentials[0].HVClientConfigFile, "SSL_CERT_FILE="+os.DevNull, "SSL_CERT_DIR="+t.TempDir())
		if out, err := command.CombinedOutput(); err == nil {
			t.Errorf("hvclient trusts the server without its roots: %s", out)
		}
	})
}
