package ct_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	zct "github.com/zmap/zcrypto/ct"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/ct"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/ctlog"
)

const now = "2026-11-22T10:00:00Z"

// patience is how long tests wait for logs that never answer.
const patience = 2 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ca is a root that signs precertificates itself.
type ca struct {
	cert   *x509.Certificate
	signer crypto.Signer
	at     time.Time
}

func newCA(t testing.TB, at time.Time) *ca {
	t.Helper()
	key, signer := newKey(t)
	c := &ca{signer: signer, at: at}
	c.cert = c.sign(t, &tbs.Template{
		Serial: telamon.NewSerial(at), NotBefore: at, NotAfter: at.AddDate(1, 0, 0), PublicKey: key, CA: &tbs.CAConstraints{MaxPathLen: 0},
		Content: telamon.Content{Subject: name(t, "root"), KeyUsage: x509.KeyUsageCertSign},
	})
	return c
}

func newKey(t testing.TB) (*tbs.PublicKey, crypto.Signer) {
	t.Helper()
	signer, err := tbs.ECP256.Generate(rand.Reader)
	must(t, err)
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	must(t, err)
	key, err := tbs.NewPublicKey(spki)
	must(t, err)
	return key, signer
}

func name(t testing.TB, text string) []telamon.Attribute {
	t.Helper()
	commonName, err := x509.ParseOID("2.5.4.3")
	must(t, err)
	return []telamon.Attribute{{Type: commonName, Value: telamon.TypedValue{Type: telamon.UTF8String, Text: text}}}
}

func (c *ca) sign(t testing.TB, template *tbs.Template) *x509.Certificate {
	t.Helper()
	var err error
	template.Signature, err = tbs.SignatureFor(c.signer.Public(), "", "")
	must(t, err)
	der, err := tbs.Build(template)
	must(t, err)
	signature, err := template.Signature.Sign(c.signer, der)
	must(t, err)
	der, err = tbs.Assemble(der, template.Signature, signature)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

// leaf returns the template of a leaf.
func (c *ca) leaf(t testing.TB) *tbs.Template {
	t.Helper()
	key, _ := newKey(t)
	return &tbs.Template{
		Serial: telamon.NewSerial(c.at), Issuer: c.cert, NotBefore: c.at, NotAfter: c.at.AddDate(0, 1, 0), PublicKey: key,
		Content: telamon.Content{SAN: telamon.SubjectAltName{DNSNames: []string{"www.example.com"}}}, Poison: true,
	}
}

// logs starts a log for each operator.
func logs(t testing.TB, clock *testkit.Clock, root *x509.Certificate, operators ...string) ([]*ctlog.Log, ct.Config) {
	t.Helper()
	cfg := ct.Config{Want: 2, Timeout: patience, Clock: clock}
	var all []*ctlog.Log
	for _, operator := range operators {
		l := ctlog.Start(t, clock.Now)
		l.Accept(root)
		all = append(all, l)
		cfg.Logs = append(cfg.Logs, ct.LogConfig{URL: l.URL + "/", Key: l.Key, Operator: operator})
	}
	return all, cfg
}

// TestSubmit has timestamps that another implementation verifies, of entries that are in
// the Merkle trees of their logs.
func TestSubmit(t *testing.T) {
	clock := testkit.NewClock(t, now)
	issuer := newCA(t, clock.Now())
	all, cfg := logs(t, clock, issuer.cert, "a", "b")
	s, err := ct.New(cfg)
	must(t, err)
	template := issuer.leaf(t)
	pre := issuer.sign(t, template)
	scts, err := s.Submit(t.Context(), pre.Raw, []*x509.Certificate{issuer.cert})
	must(t, err)
	list, err := ct.EncodeList(scts)
	must(t, err)
	template.Poison, template.SCTList = false, list
	final := issuer.sign(t, template)

	logged, err := tbs.Logged(final.RawTBSCertificate)
	must(t, err)
	if promised, err := tbs.Logged(pre.RawTBSCertificate); err != nil || !bytes.Equal(promised, logged) {
		t.Errorf("the certificate does not correspond to its precertificate: %v", err)
	}
	embedded, err := tbs.SCTListOf(final.RawTBSCertificate)
	must(t, err)
	read, err := ct.ParseList(embedded)
	if err != nil || len(read) != 2 {
		t.Fatalf("the certificate has %d timestamps, %v; want 2", len(read), err)
	}
	keyHash := sha256.Sum256(issuer.cert.RawSubjectPublicKeyInfo)
	for _, sct := range read {
		log := all[0]
		if sct.LogID != sha256.Sum256(log.Key) {
			log = all[1]
		}
		verifyIndependently(t, sct, log.Key, keyHash, logged)
		if err := log.Includes(sct.At, keyHash, logged); err != nil {
			t.Errorf("the log's tree does not hold the entry: %v", err)
		}
	}
	if read[0].LogID == read[1].LogID {
		t.Error("both timestamps are of one log")
	}
}

// verifyIndependently verifies a timestamp by zcrypto.
func verifyIndependently(t *testing.T, sct *ct.SCT, spki []byte, keyHash [32]byte, logged []byte) {
	t.Helper()
	encoded, err := sct.Encode()
	must(t, err)
	theirs, err := zct.DeserializeSCT(bytes.NewReader(encoded))
	must(t, err)
	key, err := x509.ParsePKIXPublicKey(spki)
	must(t, err)
	verifier, err := zct.NewSignatureVerifier(key)
	must(t, err)
	err = verifier.VerifySCTSignature(*theirs, zct.LogEntry{Leaf: zct.MerkleTreeLeaf{
		LeafType: zct.TimestampedEntryLeafType,
		TimestampedEntry: zct.TimestampedEntry{
			Timestamp: theirs.Timestamp, EntryType: zct.PrecertLogEntryType,
			PrecertEntry: zct.PreCert{IssuerKeyHash: keyHash, TBSCertificate: logged},
		},
	}})
	if err != nil {
		t.Errorf("another implementation refuses the timestamp: %v", err)
	}
}

// TestBadLogs has one log of each kind of trouble: it is done without where others are
// left, and the submission fails where they are not.
func TestBadLogs(t *testing.T) {
	clock := testkit.NewClock(t, now)
	issuer := newCA(t, clock.Now())
	for _, tt := range []struct {
		name string
		mode ctlog.Mode
	}{
		{"slow", ctlog.Slow}, {"failing", ctlog.Failing}, {"garbled", ctlog.Garbled}, {"forging", ctlog.Forging},
		{"swapping", ctlog.Swapping}, {"ahead", ctlog.Ahead}, {"behind", ctlog.Behind},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all, cfg := logs(t, clock, issuer.cert, "a", "b", "c")
			s, err := ct.New(cfg)
			must(t, err)
			pre := issuer.sign(t, issuer.leaf(t))
			all[0].Be(tt.mode)
			scts, err := s.Submit(t.Context(), pre.Raw, []*x509.Certificate{issuer.cert})
			if err != nil || len(scts) != 2 {
				t.Fatalf("two good logs give %d timestamps, %v", len(scts), err)
			}
			for _, sct := range scts {
				if sct.LogID == sha256.Sum256(all[0].Key) {
					t.Error("the bad log's timestamp is taken")
				}
			}
			all[1].Be(tt.mode)
			scts, err = s.Submit(t.Context(), pre.Raw, []*x509.Certificate{issuer.cert})
			f := fault.From(err)
			if err == nil || f.Kind != fault.Unavailable || f.Code != "ct_unavailable" || f.RetryAfter == 0 {
				t.Errorf("one good log gives %d timestamps, %v; want ct_unavailable", len(scts), err)
			}
		})
	}
}

// TestOperators has many logs of one operator and one of another: the timestamps are of
// both.
func TestOperators(t *testing.T) {
	clock := testkit.NewClock(t, now)
	issuer := newCA(t, clock.Now())
	all, cfg := logs(t, clock, issuer.cert, "a", "a", "a", "b")
	s, err := ct.New(cfg)
	must(t, err)
	for range 5 {
		scts, err := s.Submit(t.Context(), issuer.sign(t, issuer.leaf(t)).Raw, []*x509.Certificate{issuer.cert})
		must(t, err)
		other := sha256.Sum256(all[3].Key)
		if len(scts) != 2 || (scts[0].LogID == other) == (scts[1].LogID == other) {
			t.Error("the timestamps are not of two operators")
		}
	}
	all[3].Be(ctlog.Failing)
	if _, err := s.Submit(t.Context(), issuer.sign(t, issuer.leaf(t)).Raw, []*x509.Certificate{issuer.cert}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("logs of one operator alone give %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	clock := testkit.NewClock(t, now)
	all, good := logs(t, clock, nil, "a", "b")
	for _, tt := range []struct {
		name   string
		change func(*ct.Config)
		says   string
	}{
		{"one log", func(c *ct.Config) { c.Logs = c.Logs[:1] }, "1 logs for 2"},
		{"one timestamp", func(c *ct.Config) { c.Want = 1 }, "at least two timestamps"},
		{"one operator", func(c *ct.Config) { c.Logs[1].Operator = "a" }, "two operators"},
		{"no operator", func(c *ct.Config) { c.Logs[1].Operator = "" }, "not named"},
		{"one key", func(c *ct.Config) { c.Logs[1].Key = all[0].Key }, "same key"},
		{"no key", func(c *ct.Config) { c.Logs[1].Key = []byte("key") }, "read its key"},
		{"another URL", func(c *ct.Config) { c.Logs[1].URL = "ftp://log.example" }, "ftp://log.example"},
		{"no time", func(c *ct.Config) { c.Timeout = 0 }, "timeout"},
	} {
		cfg := good
		cfg.Logs = append([]ct.LogConfig(nil), good.Logs...)
		tt.change(&cfg)
		if _, err := ct.New(cfg); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: New reports %v, want %q", tt.name, err, tt.says)
		}
	}
	if _, err := ct.New(good); err != nil {
		t.Errorf("New refuses what is good: %v", err)
	}
}
