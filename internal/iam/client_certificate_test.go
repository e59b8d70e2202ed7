package iam_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// TestIssueClientCert checks every field of an mTLS certificate.
func TestIssueClientCert(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a, b := w.newLogin(t, "a", nil).credential.ID, w.newLogin(t, "b", nil).credential.ID
		issued := w.issue(t, good(0), a, b, a)
		cert, at := issued.Certificate, w.clock.Now()
		if n := cert.Subject.String(); n != "CN="+a.String()+",O="+w.account.String() {
			t.Errorf("the subject is %s, want IDs of ours", n)
		}
		if len(cert.DNSNames)+len(cert.EmailAddresses)+len(cert.IPAddresses)+len(cert.URIs) > 0 {
			t.Error("the certificate has alternative names")
		}
		if !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || len(cert.UnknownExtKeyUsage) > 0 ||
			cert.KeyUsage != x509.KeyUsageDigitalSignature || cert.IsCA {
			t.Errorf("the usages are %v, %v and %b", cert.ExtKeyUsage, cert.UnknownExtKeyUsage, cert.KeyUsage)
		}
		if back := at.Sub(cert.NotBefore); back < 0 || back > 48*time.Hour {
			t.Errorf("it begins %s before it was made", back)
		}
		if want := cert.NotBefore.AddDate(5, 0, 0); !cert.NotAfter.Equal(want) || !issued.NotAfter.Equal(want) {
			t.Errorf("it ends on %s and in our books on %s, want %s", cert.NotAfter, issued.NotAfter, want)
		}
		if len(cert.SerialNumber.Bytes()) > 20 || cert.SerialNumber.BitLen() < 64 || len(cert.CRLDistributionPoints) != 1 || len(cert.IssuingCertificateURL) != 1 {
			t.Errorf("the serial is %x, the CRLs %v and the issuers %v", cert.SerialNumber, cert.CRLDistributionPoints, cert.IssuingCertificateURL)
		}
		if !bytes.Equal(cert.RawSubjectPublicKeyInfo, good(0).spki(t)) {
			t.Error("it certifies another key")
		}
		read := got(w.ClientCert(ctx, operator, w.account, issued.ID))(t)
		links := []telamon.CredentialID{a, b}
		if !slices.Equal(read.Credentials, links) || !slices.Equal(issued.Credentials, links) || read.State != telamon.Active ||
			!read.Certificate.Equal(cert) || read.Fingerprint != sha256.Sum256(cert.Raw) || read.Serial != issued.Serial {
			t.Errorf("ClientCert = %+v", read)
		}
		verify(t, issued, at)
	})
}

// verify checks the chain as a customer would: with the issuing CA's certificate
// that was downloaded.
func verify(t *testing.T, issued *iam.IssuedClientCert, at time.Time) {
	t.Helper()
	if len(issued.Chain) != 2 {
		t.Fatalf("the chain has %d certificates, want the issuing CA and the root", len(issued.Chain))
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	between.AddCert(issued.Chain[0])
	roots.AddCert(issued.Chain[1])
	_, err := issued.Certificate.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		t.Errorf("crypto/x509 does not verify it: %v", err)
	}
	dir := t.TempDir()
	for name, cert := range map[string]*x509.Certificate{"leaf.pem": issued.Certificate, "ica.pem": issued.Chain[0]} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(block("CERTIFICATE", cert.Raw)), 0o600))
	}
	openssl(t, dir, "openssl verify -partial_chain -no_check_time -purpose sslclient -x509_strict -CAfile ica.pem leaf.pem")
}

// openssl runs a command line of OpenSSL in dir and returns what it prints.
func openssl(t testing.TB, dir, line string) []byte {
	t.Helper()
	words := strings.Fields(line)
	if _, err := exec.LookPath(words[0]); err != nil {
		testkit.Require(t, "openssl")
	}
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", line, err, out, stderr.Bytes())
	}
	return out
}

// TestSeveralClientCerts checks that there is no renewal: one credential has
// several live certificates, of the same key too, which is told.
func TestSeveralClientCerts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		l := w.newLogin(t, "api", good(0))
		second, again := w.issue(t, good(1), l.credential.ID), w.issue(t, good(0), l.credential.ID)
		if second.KeyReused || !again.KeyReused {
			t.Errorf("a new key is called reused: %t, and an old one: %t", second.KeyReused, again.KeyReused)
		}
		for _, peer := range [][]byte{l.peer, second.Certificate.Raw, again.Certificate.Raw} {
			must(t, errorOf(w.Login(t.Context(), home, peer, l.key, l.secret)))
		}
		all := got(w.ClientCerts(t.Context(), operator, w.account, store.Page{Limit: 9}))(t)
		want := []telamon.ClientCertID{l.cert, second.ID, again.ID}
		if list := ids(all, func(c telamon.ClientCert) telamon.ClientCertID { return c.ID }); !slices.Equal(list, want) {
			t.Errorf("ClientCerts = %v, want %v", list, want)
		}
	})
}

// TestClientKeys goes through the keys and texts that are refused, and checks that
// nothing is left of them.
func TestClientKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, l := t.Context(), w.newLogin(t, "api", nil)
		der := good(0).request(t)
		forged := slices.Clone(der)
		forged[len(forged)-1] ^= 1
		renamed := bytes.Replace(slices.Clone(der), []byte("attacker"), []byte("defender"), 1)
		even := newKey(t, 65536, goodKeys()[0].Primes[0], goodKeys()[0].Primes[1])
		one := newKey(t, 1, goodKeys()[0].Primes[0], goodKeys()[0].Primes[1])
		small := &rawKey{n: new(big.Int).Mul(goodKeys()[0].Primes[0], goodKeys()[0].Primes[1]), d: big.NewInt(1), e: 2}
		tests := []struct{ name, csr, code string }{
			{"nothing", "", "csr_unreadable"},
			{"no PEM", base64.StdEncoding.EncodeToString(der), "csr_unreadable"},
			{"no DER", block("CERTIFICATE REQUEST", []byte("request")), "csr_unreadable"},
			{"bytes after the request", block("CERTIFICATE REQUEST", append(slices.Clone(der), 0)), "csr_unreadable"},
			{"two requests", good(0).csr(t) + good(1).csr(t), "csr_unreadable"},
			{"a certificate", block("CERTIFICATE", w.issue(t, good(0), l.credential.ID).Certificate.Raw), "csr_unreadable"},
			{"a public key without possession", good(0).public(t), "csr_unreadable"},
			{"a private key", privatePEM(t, 0), "private_key"},
			{"a private key before the request", privatePEM(t, 0) + good(0).csr(t), "private_key"},
			{"a private key behind the request", good(0).csr(t) + privatePEM(t, 0), "private_key"},
			{"an encrypted private key", block("ENCRYPTED PRIVATE KEY", []byte("sealed")), "private_key"},
			{"an old private key", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(goodKeys()[0])), "private_key"},
			{"a forged signature", block("CERTIFICATE REQUEST", forged), "csr_signature"},
			{"another subject than was signed", block("CERTIFICATE REQUEST", renamed), "csr_signature"},
			{"RSA of 1024 bits", shortKey(t).csr(t), "key_not_allowed"},
			{"P-256", curveCSR(t, elliptic.P256()), "key_not_allowed"},
			{"P-384", curveCSR(t, elliptic.P384()), "key_not_allowed"},
			{"the exponent 1", one.csr(t), "key_not_allowed"},
			{"the exponent 2", small.csr(t), "key_not_allowed"},
			{"an even exponent", even.csr(t), "key_not_allowed"},
			{"close primes", closeKey(t).csr(t), "key_weak"},
			{"ROCA", rocaKey(t).csr(t), "key_weak"},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				err := errorOf(w.IssueClientCert(t.Context(), operator, iam.ClientCertRequest{
					Account: w.account, Credentials: []telamon.CredentialID{l.credential.ID}, CSR: tt.csr,
				}))
				mustBe(t, err, fault.Invalid, tt.code)
				if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != "csr" || strings.Contains(f.Error(), "-----") {
					t.Errorf("the fault is %v, want one of the CSR that does not repeat it", f)
				}
			})
		}
		if all := got(w.ClientCerts(ctx, operator, w.account, store.Page{Limit: 9}))(t); len(all) != 1 {
			t.Errorf("the refusals left %d certificates, want the one of before", len(all))
		}
		must(t, w.WriteRefusals(ctx, true))
		for _, e := range got(w.db.AuditEvents(ctx, store.AuditFilter{}))(t).Events {
			if strings.Contains(string(e.After), "PRIVATE") || strings.Contains(e.Object, "PRIVATE") {
				t.Errorf("the audit log holds %s", e.After)
			}
		}
	})
}

// TestClientKeyTypes lets the configuration allow other keys than RSA.
func TestClientKeyTypes(t *testing.T) {
	w := newWorld(t, sqlite(t))
	id := w.newLogin(t, "api", nil).credential.ID
	curves := w.replica(w.clock, "EC-P256", "EC-P384")
	issue := func(csr string) (*iam.IssuedClientCert, error) {
		return curves.IssueClientCert(t.Context(), operator, iam.ClientCertRequest{
			Account: w.account, Credentials: []telamon.CredentialID{id}, CSR: csr,
		})
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		issued := got(issue(curveCSR(t, curve)))(t)
		verify(t, issued, w.clock.Now())
		if issued.Chain[0].Subject.CommonName != "Telamon mtls-ec 2026-11" {
			t.Errorf("it is issued by %s, want the series for EC keys", issued.Chain[0].Subject)
		}
	}
	mustBe(t, errorOf(issue(curveCSR(t, elliptic.P521()))), fault.Invalid, "key_not_allowed")
	mustBe(t, errorOf(issue(good(0).csr(t))), fault.Invalid, "key_not_allowed")
}

// TestKeyOfAnotherAccount checks that a key belongs to the first account that has a
// certificate for it, for ever.
func TestKeyOfAnotherAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		l := w.newLogin(t, "api", good(0))
		must(t, w.RevokeClientCert(ctx, operator, w.account, l.cert, ""))
		spec := iam.CredentialSpec{
			Account: w.other, Name: "api", Subscription: got(w.Subscribe(ctx, operator, w.other, w.service))(t).ID, Identity: w.newIdentity(t, w.other),
		}
		c, _, err := w.CreateCredential(ctx, operator, spec)
		must(t, err)
		req := iam.ClientCertRequest{Account: w.other, Credentials: []telamon.CredentialID{c.ID}, CSR: good(0).csr(t)}
		mustBe(t, errorOf(w.IssueClientCert(ctx, operator, req)), fault.Conflict, "key_of_another_account")
		req.CSR = good(1).csr(t)
		must(t, errorOf(w.IssueClientCert(ctx, operator, req)))
		mustBe(t, errorOf(w.IssueClientCert(ctx, operator, iam.ClientCertRequest{
			Account: w.account, Credentials: []telamon.CredentialID{l.credential.ID}, CSR: req.CSR,
		})), fault.Conflict, "key_of_another_account")
	})
}

func TestClientCertLinks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a, b, gone := w.newLogin(t, "a", good(0)), w.newLogin(t, "b", good(1)), w.newLogin(t, "gone", nil)
		must(t, w.DeleteCredential(ctx, operator, w.account, gone.credential.ID))
		list := func(c ...*login) []telamon.CredentialID {
			return ids(c, func(l *login) telamon.CredentialID { return l.credential.ID })
		}
		issue := func(credentials []telamon.CredentialID) error {
			return errorOf(w.IssueClientCert(ctx, operator, iam.ClientCertRequest{Account: w.account, Credentials: credentials, CSR: good(2).csr(t)}))
		}
		change := func(add, remove []telamon.CredentialID) error {
			return w.ChangeClientCertLinks(ctx, operator, w.account, a.cert, add, remove)
		}
		unknown, many := []telamon.CredentialID{telamon.NewCredentialID()}, []telamon.CredentialID{}
		for range 101 {
			many = append(many, telamon.NewCredentialID())
		}
		mustBe(t, issue(nil), fault.Invalid, "invalid_links")
		mustBe(t, issue(many), fault.Invalid, "invalid_links")
		mustBe(t, issue(unknown), fault.NotFound, "credential_not_found")
		mustBe(t, issue(list(a, gone)), fault.Conflict, "wrong_state")
		mustBe(t, change(nil, nil), fault.Invalid, "invalid_links")
		mustBe(t, change(many, nil), fault.Invalid, "invalid_links")
		mustBe(t, change(many[:100], nil), fault.Invalid, "invalid_links") // 101 with the one that it has
		mustBe(t, change(unknown, nil), fault.NotFound, "credential_not_found")
		mustBe(t, change(list(b), unknown), fault.NotFound, "link_not_found")
		mustBe(t, change(list(gone), nil), fault.Conflict, "wrong_state")
		if c := got(w.ClientCert(ctx, operator, w.account, a.cert))(t); !slices.Equal(c.Credentials, list(a)) {
			t.Errorf("the refusals left the links %v", c.Credentials)
		}

		token := w.login(t, a)
		logsIn := func(l *login, want bool) {
			t.Helper()
			if err := errorOf(w.Login(ctx, home, a.peer, l.key, l.secret)); (err == nil) != want {
				t.Errorf("the login of %s: %v", l.credential.Name, err)
			}
		}
		logsIn(b, false)
		must(t, change(list(b), nil))
		logsIn(a, true)
		logsIn(b, true)
		must(t, change(nil, list(a)))
		logsIn(a, false)
		mustBe(t, errorOf(w.Authorize(ctx, token, home, a.peer)), fault.Unauthenticated, "unauthorized")
		must(t, change(list(a), list(b)))
		logsIn(a, true)
		logsIn(b, false)
		must(t, errorOf(w.Authorize(ctx, token, home, a.peer)))
		must(t, w.RevokeClientCert(ctx, operator, w.account, a.cert, ""))
		mustBe(t, change(list(b), nil), fault.Conflict, "wrong_state")
	})
}

// TestClientCertStates checks that what is disabled or revoked stops logins and
// live tokens at once, also before another process was told by the feed.
func TestClientCertStates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		l := w.newLogin(t, "api", good(0))
		token := w.login(t, l)
		works := func(want bool) {
			t.Helper()
			if err := errorOf(w.Login(ctx, home, l.peer, l.key, l.secret)); (err == nil) != want {
				t.Errorf("a login: %v", err)
			}
			if err := errorOf(w.Authorize(ctx, token, home, l.peer)); (err == nil) != want {
				t.Errorf("a live token: %v", err)
			}
		}
		disable := func() error { return w.DisableClientCert(ctx, operator, w.account, l.cert) }
		enable := func() error { return w.EnableClientCert(ctx, operator, w.account, l.cert) }
		revoke := func() error {
			return w.RevokeClientCert(ctx, operator, w.account, l.cert, telamon.ReasonKeyCompromise)
		}
		works(true)
		mustBe(t, enable(), fault.Conflict, "wrong_state")
		must(t, disable())
		works(false)
		must(t, enable())
		works(true)
		mustBe(t, w.RevokeClientCert(ctx, operator, w.account, l.cert, "certificateHold"), fault.Invalid, "invalid_reason")
		works(true)
		must(t, revoke())
		works(false)
		for _, change := range []func() error{disable, enable, revoke} {
			mustBe(t, change(), fault.Conflict, "wrong_state")
		}
		if c := got(w.ClientCert(ctx, operator, w.account, l.cert))(t); c.State != telamon.Revoked {
			t.Errorf("it is %s, want revoked", c.State)
		}
		events := w.events(t, "client_certificate.revoke")
		if len(events) != 1 || !strings.Contains(string(events[0].After), "keyCompromise") {
			t.Errorf("the audit log says %+v", events)
		}
	})
}

// TestClientCertLineEnds reads requests with the white space and line ends of other
// systems.
func TestClientCertLineEnds(t *testing.T) {
	w := newWorld(t, sqlite(t))
	id := w.newLogin(t, "api", nil).credential.ID
	csr := good(0).csr(t)
	for name, text := range map[string]string{
		"CR LF": strings.ReplaceAll(csr, "\n", "\r\n"), "white space": "\n\t " + csr + " \n\n", "no end of line": strings.TrimSpace(csr),
		"NEW": strings.ReplaceAll(csr, "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
	} {
		issued, err := w.IssueClientCert(t.Context(), operator, iam.ClientCertRequest{Account: w.account, Credentials: []telamon.CredentialID{id}, CSR: text})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b, _ := pem.Decode([]byte(csr)); !bytes.Contains(b.Bytes, issued.Certificate.RawSubjectPublicKeyInfo) {
			t.Errorf("%s: another key was certified", name)
		}
	}
}

// TestRequirement86ClientKey has no mTLS certificate for a key that is known to be
// compromised, whoever asks for it in which way, and none for the key of a certificate
// that staff revoked for that reason.
func TestRequirement86ClientKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, l := t.Context(), w.newLogin(t, "api", nil)
		ask := func(i int) error {
			return errorOf(w.IssueClientCert(ctx, operator, iam.ClientCertRequest{
				Account: w.account, Credentials: []telamon.CredentialID{l.credential.ID}, CSR: good(i).csr(t),
			}))
		}
		hash := sha256.Sum256(good(0).spki(t))
		must(t, w.db.BlockKey(ctx, operator, telamon.KeyBlock{SPKIHash: hash, Source: telamon.BlockedByStaff}))
		mustBe(t, w.db.BlockKey(ctx, operator, telamon.KeyBlock{SPKIHash: hash, Source: telamon.BlockedByStaff}), fault.Conflict, "key_blocked")
		mustBe(t, ask(0), fault.Invalid, "key_blocked")
		mustBe(t, errorOf(w.Onboard(ctx, operator, w.spec("onboarded"), good(0).public(t))), fault.Invalid, "key_blocked")
		mustBe(t, errorOf3(w.CreateEncryptedCredential(ctx, operator, w.spec("sealed"), good(0).public(t))), fault.Invalid, "key_blocked")
		must(t, w.db.UnblockKey(ctx, operator, hash, ""))
		mustBe(t, w.db.UnblockKey(ctx, operator, hash, ""), fault.NotFound, "key_not_blocked")
		must(t, ask(0))

		cert := w.issue(t, good(1), l.credential.ID)
		must(t, w.RevokeClientCert(ctx, operator, w.account, cert.ID, telamon.ReasonKeyCompromise))
		mustBe(t, ask(1), fault.Invalid, "key_blocked")
		blocks := got(w.db.BlockedKeys(ctx, store.Page{Limit: 9}))(t)
		if len(blocks) != 1 || blocks[0].SPKIHash != cert.SPKIHash || blocks[0].Source != telamon.BlockedByStaff {
			t.Errorf("the blocked keys are %+v", blocks)
		}
		if next := got(w.db.BlockedKeys(ctx, store.Page{After: store.KeyBlockID(&blocks[0]), Limit: 9}))(t); len(next) != 0 {
			t.Errorf("after the last one come %+v", next)
		}
		mustBe(t, errorOf(w.db.BlockedKeys(ctx, store.Page{After: "x", Limit: 9})), fault.Malformed, "key_id")
	})
}
