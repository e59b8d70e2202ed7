package lifecycle_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// day is 86,400 seconds.
const day = 24 * time.Hour

// leafLife is that of the certificates of the simulation: longer than a quarter's half,
// so that every one outlives a switch or comes near it, and short enough for keys to end.
const leafLife = 60 * day

// simulation is a platform that lives for two years.
type simulation struct {
	*world
	crls    *publish.Publisher
	ocsp    *responder.Responder
	account telamon.AccountID
	issued  []*telamon.ClientCert
	revoked map[telamon.ClientCertID]bool
	files   string
	stride  time.Duration // from one step to the next
	asked   int           // how often openssl was asked
}

// TestTwoYears lives through two years of quarterly rotations. At every step, which are a
// fortnight apart (on PostgreSQL six weeks) and around every switch, the background work is done, certificates
// are issued and revoked, and openssl judges the newest certificate, the newest revoked
// one, and the oldest that is still valid, by chain, CRL and OCSP: of issuing CAs that
// are active and of those that are retired.
func TestTwoYears(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		testkit.Require(t, "openssl")
	}
	for name, url := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, url(t))
			if s.stride = 14 * day; name == "postgres" {
				s.stride = 42 * day
			}
			begin := s.clock.Now()
			end := begin.AddDate(2, 0, 0)
			for step := 0; s.clock.Now().Before(end); step++ {
				if step > 150 {
					t.Fatal("two years take too many steps")
				}
				s.step(t, step)
				s.advance(t)
			}
			s.afterwards(t)
		})
	}
}

func newSimulation(t *testing.T, url string) *simulation {
	t.Helper()
	s := &simulation{world: newWorld(t, url, start), account: telamon.NewAccountID(), revoked: map[telamon.ClientCertID]bool{}, files: t.TempDir()}
	ok(t, s.db.CreateAccount(t.Context(), operator, &telamon.Account{ID: s.account, Name: "Acme"}))
	_, err := s.SetSchedule(t.Context(), operator, "tls-ec", func(v *telamon.Series) { v.LeafDays = int(leafLife / day) }, false)
	ok(t, err)
	s.crls = publish.New(publish.Config{Store: s.db, Issuers: s.engine, Keys: s.keys, Clock: s.clock, Schedule: publish.DefaultSchedule})
	s.ocsp = responder.New(responder.Config{
		Store: s.db, Engine: s.engine, Keys: s.keys, Clock: s.clock, Validity: 96 * time.Hour, CacheOctets: 1 << 20,
	})
	return s
}

// work does the background work once, as every replica does.
func (s *simulation) work(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	ok(t, s.know.Poll(ctx))
	ok(t, s.Turn(ctx))
	ok(t, s.know.Poll(ctx))
	ok(t, s.Enforce(ctx))
	ok(t, s.crls.Turn(ctx))
	ok(t, s.ocsp.Refresh(ctx))
}

// advance moves to the next step: a stride on, or the second before, the instant and
// the end of the tokens of a switch, if one of those comes first.
func (s *simulation) advance(t *testing.T) {
	t.Helper()
	now := s.clock.Now()
	next := now.Add(s.stride)
	for _, i := range s.line(t, "tls-ec") {
		for _, at := range []time.Time{i.ActivateAt.Add(-time.Second), i.ActivateAt, i.ActivateAt.Add(telamon.TokenReach + 5*time.Second)} {
			if at.After(now) && at.Before(next) {
				next = at
			}
		}
	}
	s.clock.Advance(next.Sub(now))
}

// step works, issues, revokes and judges.
func (s *simulation) step(t *testing.T, n int) {
	t.Helper()
	s.work(t)
	active := s.active(t, "tls-ec")
	newest := s.issue(t, active.ID)
	if n%3 == 2 { // one that a retired issuing CA may have issued
		s.revoke(t, s.issued[len(s.issued)-3])
	}
	s.clock.Advance(2 * time.Second)
	s.work(t)
	s.clock.Advance(time.Minute) // the gap between CRLs of a shard
	s.work(t)
	s.judge(t, newest, false)
	var oldest, oldestRevoked *telamon.ClientCert
	for _, c := range s.issued {
		switch {
		case !c.NotAfter.After(s.clock.Now()):
		case s.revoked[c.ID] && oldestRevoked == nil:
			oldestRevoked = c
		case !s.revoked[c.ID] && oldest == nil:
			oldest = c
		}
	}
	s.judge(t, oldest, false)
	if oldestRevoked != nil {
		s.judge(t, oldestRevoked, true)
	}
}

// issue has an issuing CA sign a certificate and keeps it in the ledger.
func (s *simulation) issue(t *testing.T, issuer telamon.IssuerID) *telamon.ClientCert {
	t.Helper()
	signed := must(s.leaf(t, issuer, serverAuth, leafLife))(t)
	cert := &telamon.ClientCert{
		ID: telamon.NewClientCertID(), Account: s.account, Fingerprint: sha256.Sum256(signed.DER), Serial: signed.Serial, Issuer: issuer,
		SPKIHash: signed.SPKIHash, CRLShard: signed.CRLShard, NotAfter: signed.NotAfter, Certificate: must(x509.ParseCertificate(signed.DER))(t),
	}
	ok(t, s.db.CreateClientCert(t.Context(), operator, cert))
	s.issued = append(s.issued, cert)
	return cert
}

func (s *simulation) revoke(t *testing.T, cert *telamon.ClientCert) {
	t.Helper()
	ok(t, s.db.SetClientCertState(t.Context(), operator, s.account, cert.ID, telamon.Revoked, telamon.ReasonSuperseded))
	s.revoked[cert.ID] = true
}

// file writes a file for openssl.
func (s *simulation) file(t *testing.T, name, kind string, ders ...[]byte) string {
	t.Helper()
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	path := filepath.Join(s.files, name)
	ok(t, os.WriteFile(path, text, 0o600))
	return path
}

// crl returns the newest CRL of a shard.
func (s *simulation) crl(t *testing.T, issuer telamon.IssuerID, shard int) []byte {
	t.Helper()
	list := s.crls.Newest(issuer, shard)
	if list == nil {
		t.Fatalf("at %s there is no CRL of %s shard %d", s.clock.Now(), issuer, shard)
	}
	var out bytes.Buffer
	ok(t, s.crls.Write(t.Context(), &out, list))
	return out.Bytes()
}

// openssl returns what it prints, and whether it succeeds.
func (s *simulation) openssl(args ...string) (string, bool) {
	s.asked++
	out, err := exec.Command("openssl", args...).CombinedOutput()
	return string(out), err == nil
}

// judge has openssl say what a certificate's status is, now, by CRL and by OCSP.
func (s *simulation) judge(t *testing.T, cert *telamon.ClientCert, revoked bool) {
	t.Helper()
	chain := must(s.engine.Chain(cert.Issuer))(t)
	issuer := must(s.engine.Issuer(cert.Issuer))(t)
	if chain[0] != issuer.Certificate || !bytes.Equal(chain[0].RawSubject, cert.Certificate.RawIssuer) {
		t.Errorf("the chain of %s begins with %s, and it was issued by %s", cert.Serial, chain[0].Subject, cert.Certificate.Issuer)
	}
	at := fmt.Sprint(s.clock.Now().Unix())
	leaf, root := s.file(t, "leaf.pem", "CERTIFICATE", cert.Certificate.Raw), s.file(t, "root.pem", "CERTIFICATE", chain[1].Raw)
	ca := s.file(t, "ca.pem", "CERTIFICATE", chain[0].Raw)
	lists := s.file(t, "crl.pem", "X509 CRL", s.crl(t, cert.Issuer, cert.CRLShard), s.crl(t, issuer.Parent, 0))
	out, good := s.openssl("verify", "-x509_strict", "-attime", at, "-CAfile", root, "-untrusted", ca, "-crl_check_all", "-extended_crl", "-CRLfile", lists, leaf)
	if good == revoked || revoked && !strings.Contains(out, "certificate revoked") {
		t.Errorf("at %s by CRL, of %s (%s, %s), revoked %t, openssl says\n%s",
			s.clock.Now().Format(time.RFC3339), cert.Serial, chain[0].Subject.CommonName, issuer.Status, revoked, out)
	}
	request := must(ocsp.CreateRequest(cert.Certificate, chain[0], &ocsp.RequestOptions{Hash: crypto.SHA1}))(t)
	answer := s.ocsp.Answer(t.Context(), cert.Issuer, request, func() bool { return false })
	file := filepath.Join(s.files, "ocsp.der")
	ok(t, os.WriteFile(file, answer.DER, 0o600))
	out, good = s.openssl("ocsp", "-respin", file, "-issuer", ca, "-cert", leaf, "-CAfile", root, "-attime", at, "-no_nonce")
	want := map[bool]string{false: "good", true: "revoked"}[revoked]
	says := slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool { return line == want || strings.HasSuffix(line, ": "+want) })
	response := must(ocsp.ParseResponseForCert(answer.DER, cert.Certificate, chain[0]))(t) // openssl judges its times by the machine's clock
	current := !response.ThisUpdate.After(s.clock.Now()) && response.NextUpdate.After(s.clock.Now())
	if !good || !current || !says || !strings.Contains(out, "Response verify OK") {
		t.Errorf("at %s by OCSP, of %s (%s, %s), want %q, openssl says\n%s",
			s.clock.Now().Format(time.RFC3339), cert.Serial, chain[0].Subject.CommonName, issuer.Status, want, out)
	}
}

// afterwards looks at what two years have left.
func (s *simulation) afterwards(t *testing.T) {
	t.Helper()
	line := s.line(t, "tls-ec")
	count := map[telamon.IssuerStatus]int{}
	for n, i := range line {
		count[i.Status]++
		if n > 0 && !line[n-1].RetireAt.Equal(i.ActivateAt) {
			t.Errorf("%s hands over at %s, and the next one starts at %s", line[n-1].ID, line[n-1].RetireAt, i.ActivateAt)
		}
		if month := i.ActivateAt.Month(); !i.ActivateAt.Equal(lifecycle.SecondMonday(i.ActivateAt.Year(), month)) || month%3 != 1 {
			t.Errorf("%s starts at %s", i.ID, i.ActivateAt)
		}
		_, err := s.keys.Public(i.KeyName)
		if gone := errors.Is(err, keystore.ErrNoKey); gone != (i.Status == telamon.IssuerExpired) {
			t.Errorf("%s is %s, and its key: %v", i.ID, i.Status, err)
		}
		s.outlived(t, i)
	}
	// From January 2027 to January 2029: nine have started. The eight before the last
	// have retired, and all but those whose certificates still live are gone.
	if count[telamon.IssuerActive] != 1 || count[telamon.IssuerExpired] < 6 || len(line)-count[telamon.IssuerPlanned] != 9 {
		t.Errorf("after two years the issuing CAs are %v", count)
	}
	s.want(t, "client-auth-ec", "expired 2027-01-11, retired 2028-01-10, active 2029-01-08")
	if s.asked < 160 || len(s.revoked) < 10 {
		t.Errorf("openssl was asked %d times, and %d certificates were revoked: that proves little", s.asked, len(s.revoked))
	}
	if old := s.issued[0]; must(s.engine.Chain(old.Issuer))(t)[0].CheckSignature(
		old.Certificate.SignatureAlgorithm, old.Certificate.RawTBSCertificate, old.Certificate.Signature) != nil {
		t.Error("the chain of the first certificate is not that of its issuer any more")
	}
	t.Logf("%d certificates, %d revoked, openssl asked %d times", len(s.issued), len(s.revoked), s.asked)
}

// outlived holds that the last CRL of a CA whose key is gone outlives all that it issued.
func (s *simulation) outlived(t *testing.T, i telamon.Issuer) {
	t.Helper()
	if i.Status != telamon.IssuerExpired {
		return
	}
	var lastNotAfter time.Time
	for _, c := range s.issued {
		if c.Issuer == i.ID && c.NotAfter.After(lastNotAfter) {
			lastNotAfter = c.NotAfter
		}
	}
	for _, shard := range must(s.db.CRLShards(t.Context()))(t) {
		if shard.Issuer != i.ID {
			continue
		}
		if shard.CRL == nil || !shard.CRL.ThisUpdate.After(lastNotAfter) {
			t.Errorf("the last CRL of %s shard %d is %+v, and its last certificate ended at %s", i.ID, shard.Shard, shard.CRL, lastNotAfter)
		}
	}
	events := must(s.db.AuditEvents(t.Context(), store.AuditFilter{Object: i.ID.String(), Limit: 100}))(t)
	var actions []string
	for _, e := range events.Events {
		if strings.HasPrefix(e.Action, "issuer.") {
			actions = append(actions, e.Action)
		}
	}
	if text := strings.Join(actions, " "); !strings.Contains(text, "issuer.retire") || !strings.HasSuffix(text, "issuer.destroy") {
		t.Errorf("the audit log of %s has %s", i.ID, text)
	}
}
