package keystore_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
)

const now = "2026-11-22T10:00:00Z"

// store is a keystore with a root and an issuing CA for TLS.
type store struct {
	*keystore.Keystore
	clock *testkit.Clock
	kek   keystore.KEK
	dir   string
	ca    *x509.Certificate
}

func newStore(t *testing.T) *store {
	t.Helper()
	return newStoreOn(t, nil)
}

// newStoreOn is newStore with a device for the private halves.
func newStoreOn(t *testing.T, device keystore.Device) *store {
	t.Helper()
	s := &store{clock: testkit.NewClock(t, now), dir: filepath.Join(t.TempDir(), "keys")}
	s.kek, _ = keystore.NewKEK()
	var err error
	if s.Keystore, err = keystore.Create(keystore.Config{Dir: s.dir, KEK: s.kek, Clock: s.clock, Device: device}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	rootTBS := s.template(t, "root", nil, &tbs.CAConstraints{MaxPathLen: 1})
	signature, err := s.SelfSign("root", rootTBS)
	if err != nil {
		t.Fatal(err)
	}
	root := s.bind(t, "root", rootTBS, signature, keystore.Purpose{Role: telamon.RoleRoot})
	caTBS := s.template(t, "ca", root, &tbs.CAConstraints{MaxPathLen: 0})
	if signature, err = s.SignCertificate("root", caTBS); err != nil {
		t.Fatal(err)
	}
	s.ca = s.bind(t, "ca", caTBS, signature, keystore.Purpose{Role: telamon.RoleIssuing, EKUFamily: telamon.EKUTLS})
	return s
}

// template makes a key and returns a CA certificate for it, to be signed.
func (s *store) template(t *testing.T, name string, issuer *x509.Certificate, ca *tbs.CAConstraints) []byte {
	t.Helper()
	public, err := s.Generate(name, tbs.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	signer, content := public, telamon.Content{Subject: commonName(t, name), KeyUsage: x509.KeyUsageCertSign}
	if issuer != nil {
		signer, content.ExtKeyUsage.OIDs = issuer.PublicKey, telamon.EKUTLS.OIDs()
	}
	return build(t, &tbs.Template{
		Serial: telamon.NewSerial(s.clock.Now()), Issuer: issuer, NotBefore: s.clock.Now(), NotAfter: s.clock.Now().AddDate(5, 0, 0),
		Content: content, PublicKey: spki(t, public), CA: ca, Signature: signature(t, signer),
	})
}

func build(t *testing.T, template *tbs.Template) []byte {
	t.Helper()
	der, err := tbs.Build(template)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func signature(t *testing.T, key any) *tbs.SignatureAlgorithm {
	t.Helper()
	a, err := tbs.SignatureFor(key, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func spki(t *testing.T, key any) *tbs.PublicKey {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := tbs.NewPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func oid(t *testing.T, dotted string) x509.OID {
	t.Helper()
	id, err := x509.ParseOID(dotted)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func commonName(t *testing.T, text string) []telamon.Attribute {
	return []telamon.Attribute{{Type: oid(t, "2.5.4.3"), Value: telamon.TypedValue{Type: telamon.UTF8String, Text: text}}}
}

func (s *store) bind(t *testing.T, name string, tbsDER, sig []byte, purpose keystore.Purpose) *x509.Certificate {
	t.Helper()
	purpose.Certificate = assemble(t, tbsDER, sig)
	if err := s.Bind(name, purpose); err != nil {
		t.Fatal(err)
	}
	return purpose.Certificate
}

func assemble(t *testing.T, tbsDER, sig []byte) *x509.Certificate {
	t.Helper()
	facts, err := tbs.Inspect(tbsDER)
	if err != nil {
		t.Fatal(err)
	}
	der, err := tbs.Assemble(tbsDER, facts.Signature, sig)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// leaf is a template that the CA's purpose allows.
func (s *store) leaf(t *testing.T) *tbs.Template {
	t.Helper()
	return &tbs.Template{
		Serial: telamon.NewSerial(s.clock.Now()), Issuer: s.ca, NotBefore: s.ca.NotBefore, NotAfter: s.ca.NotBefore.AddDate(1, 0, 0),
		Content: telamon.Content{
			Subject: commonName(t, "leaf"), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: telamon.ExtKeyUsage{OIDs: []x509.OID{oid(t, "1.3.6.1.5.5.7.3.1")}},
		},
		PublicKey: spki(t, s.ca.PublicKey), Signature: signature(t, s.ca.PublicKey),
	}
}

func TestPurpose(t *testing.T) {
	s := newStore(t)
	tests := []struct {
		name   string
		key    string
		change func(*tbs.Template)
		want   string // part of the refusal, "" for none
	}{
		{"a leaf", "ca", func(*tbs.Template) {}, ""},
		{"a leaf from the root", "root", func(*tbs.Template) {}, "issuer's name"},
		{"a CA from the issuing CA", "ca", func(l *tbs.Template) { l.CA = &tbs.CAConstraints{} }, "signs no CAs"},
		{"keyCertSign", "ca", func(l *tbs.Template) { l.Content.KeyUsage |= x509.KeyUsageCertSign }, "neither certificates"},
		{"cRLSign", "ca", func(l *tbs.Template) { l.Content.KeyUsage |= x509.KeyUsageCRLSign }, "neither certificates"},
		{"an EKU outside the family", "ca", func(l *tbs.Template) {
			l.Content.ExtKeyUsage.OIDs = append(l.Content.ExtKeyUsage.OIDs, oid(t, "1.3.6.1.5.5.7.3.3"))
		}, "outside the family"},
		{"beyond the CA", "ca", func(l *tbs.Template) { l.NotAfter = s.ca.NotAfter.Add(time.Second) }, "exceeds"},
		{"before the CA", "ca", func(l *tbs.Template) { l.NotBefore = s.ca.NotBefore.Add(-time.Second) }, "exceeds"},
		{"a serial of another form", "ca", func(l *tbs.Template) { l.Serial[0] = 0x02 }, "another form"},
		{"an algorithm of another key", "ca", func(l *tbs.Template) {
			key, err := tbs.RSA2048.Generate(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			l.Signature = signature(t, key.Public())
		}, "does not sign by"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaf := s.leaf(t)
			tt.change(leaf)
			der := build(t, leaf)
			sig, err := s.SignCertificate(tt.key, der)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("SignCertificate: %v", err)
				}
				if err := leaf.Signature.Verify(s.ca.PublicKey, der, sig); err != nil {
					t.Errorf("the signature does not verify: %v", err)
				}
				return
			}
			if !errors.Is(err, keystore.ErrPurpose) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("SignCertificate reports %v, want ErrPurpose with %q", err, tt.want)
			}
		})
	}
}

func TestClockBehind(t *testing.T) {
	s := newStore(t)
	s.clock.Advance(time.Hour)
	if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	behind, err := keystore.Open(keystore.Config{Dir: s.dir, KEK: s.kek, Clock: testkit.NewClock(t, now)})
	if err != nil {
		t.Fatal(err)
	}
	defer behind.Close()
	if _, err := behind.SignCertificate("ca", build(t, s.leaf(t))); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("a key whose clock went back an hour since its last signature reports %v, want ErrPurpose", err)
	}
}

func TestBindIsForGood(t *testing.T) {
	s := newStore(t)
	if err := s.Bind("ca", keystore.Purpose{Role: telamon.RoleIssuing, EKUFamily: telamon.EKUAny, Certificate: s.ca}); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("a second purpose reports %v, want ErrPurpose", err)
	}
	if _, err := s.Generate("other", tbs.ECP256); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind("other", keystore.Purpose{Role: telamon.RoleIssuing, Certificate: s.ca}); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("the certificate of another key reports %v, want ErrPurpose", err)
	}
	if _, err := s.SignCertificate("other", build(t, s.leaf(t))); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("a key without a purpose reports %v, want ErrPurpose", err)
	}
	if _, err := s.Generate("other", tbs.ECP256); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("a second key of the name reports %v, want ErrExists", err)
	}
}

// TestBindWantsTheRole binds a key to a certificate of its own that is not of the role.
func TestBindWantsTheRole(t *testing.T) {
	s := newStore(t)
	root, err := s.Certificate("root")
	if err != nil {
		t.Fatal(err)
	}
	der := s.template(t, "next", root, &tbs.CAConstraints{MaxPathLen: 0})
	sig, err := s.SignCertificate("root", der)
	if err != nil {
		t.Fatal(err)
	}
	for _, purpose := range []keystore.Purpose{
		{Role: telamon.RoleRoot},
		{Role: telamon.RoleResponder},
		{Role: "ca"},
		{Role: telamon.RoleIssuing},
		{Role: telamon.RoleIssuing, EKUFamily: telamon.EKUServerAuth},
		{Role: telamon.RoleIssuing, EKUFamily: telamon.EKUSigning},
	} {
		purpose.Certificate = assemble(t, der, sig)
		if err := s.Bind("next", purpose); !errors.Is(err, keystore.ErrPurpose) {
			t.Errorf("role %q, family %q: %v, want ErrPurpose", purpose.Role, purpose.EKUFamily, err)
		}
	}
	s.bind(t, "next", der, sig, keystore.Purpose{Role: telamon.RoleIssuing, EKUFamily: telamon.EKUTLS})
}

func TestRetireAndDestroy(t *testing.T) {
	s := newStore(t)
	if err := s.Destroy("ca"); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("destroying a key in use reports %v, want ErrPurpose", err)
	}
	if err := s.Retire("ca"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("a retired key reports %v, want ErrPurpose", err)
	}
	if err := s.Destroy("ca"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Public("ca"); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("a destroyed key reports %v, want ErrNoKey", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "ca.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a destroyed key: %v, want none", err)
	}
}

// TestDestroyOverwrites keeps the file of a key by a second name.
func TestDestroyOverwrites(t *testing.T) {
	s := newStore(t)
	if err := s.Retire("ca"); err != nil {
		t.Fatal(err)
	}
	path, kept := filepath.Join(s.dir, "ca.key"), filepath.Join(t.TempDir(), "kept")
	if err := os.Link(path, kept); err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy("ca"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(kept); err != nil || len(b) == 0 || !bytes.Equal(b, make([]byte, len(b))) {
		t.Errorf("the file was not overwritten: %d octets, %v", len(b), err)
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "ca.*")); err != nil || !slices.Equal(left, []string{filepath.Join(s.dir, "ca.journal")}) {
		t.Errorf("of the key there are %q, %v, want its journal", left, err)
	}
}

// TestDestroyKilled opens the keystore after each step of Destroy's.
func TestDestroyKilled(t *testing.T) {
	for _, overwritten := range []bool{false, true} {
		s := newStore(t)
		if err := errors.Join(s.Retire("ca"), s.Close()); err != nil {
			t.Fatal(err)
		}
		gone := filepath.Join(s.dir, "ca.gone")
		if err := os.Rename(filepath.Join(s.dir, "ca.key"), gone); err != nil {
			t.Fatal(err)
		}
		if overwritten {
			if err := os.WriteFile(gone, make([]byte, 100), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		again, err := keystore.Open(keystore.Config{Dir: s.dir, KEK: s.kek, Clock: s.clock})
		if err != nil {
			t.Fatalf("overwritten %t: %v", overwritten, err)
		}
		defer again.Close()
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("overwritten %t: what was left: %v, want none", overwritten, err)
		}
		if names := again.Names(); !slices.Equal(names, []string{"root"}) {
			t.Errorf("overwritten %t: the keys are %q", overwritten, names)
		}
	}
}

func TestOpen(t *testing.T) {
	other, _ := keystore.NewKEK()
	copyFile := func(from, to string) func(*testing.T, *store) {
		return func(t *testing.T, s *store) {
			b, err := os.ReadFile(filepath.Join(s.dir, from))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(s.dir, to), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		damage func(*testing.T, *store)
		want   string // part of the error, "" for none
	}{
		{"as it was left", func(*testing.T, *store) {}, ""},
		{"another key-encryption key", func(_ *testing.T, s *store) { s.kek = other }, "wrong key-encryption key"},
		{"exchanged files", copyFile("root.key", "ca.key"), "wrong key-encryption key"},
		{"a renamed copy", copyFile("root.key", "extra.key"), "wrong key-encryption key"},
		{"a flipped bit", func(t *testing.T, s *store) {
			path := filepath.Join(s.dir, "ca.key")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)-1] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "the file was changed"},
		{"no keystore", func(t *testing.T, s *store) { s.dir = t.TempDir() }, "run telamon init"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			mac := s.MAC("pepper", 1, []byte("secret"))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			tt.damage(t, s)
			again, err := keystore.Open(keystore.Config{Dir: s.dir, KEK: s.kek, Clock: s.clock})
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Open reports %v, want %q in it", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if !bytes.Equal(mac, again.MAC("pepper", 1, []byte("secret"))) {
				t.Error("the same label and version give another MAC after Open")
			}
			if _, err := again.SignCertificate("ca", build(t, s.leaf(t))); err != nil {
				t.Errorf("a key that was opened does not sign: %v", err)
			}
		})
	}
	if _, err := keystore.Create(keystore.Config{Dir: newStore(t).dir, KEK: other, Clock: telamon.SystemClock{}}); err == nil {
		t.Error("Create makes a keystore over another one")
	}
}

func TestMAC(t *testing.T) {
	s := newStore(t)
	seen := map[string]string{}
	for _, in := range []struct {
		label   string
		version int
		data    string
	}{{"pepper", 1, "x"}, {"pepper", 2, "x"}, {"token", 1, "x"}, {"pepper", 1, "y"}} {
		mac := string(s.MAC(in.label, in.version, []byte(in.data)))
		if other, ok := seen[mac]; ok || len(mac) != 32 {
			t.Errorf("MAC(%+v) is %x, of 32 bytes and not that of %s", in, mac, other)
		}
		seen[mac] = in.label
	}
}

func TestJournal(t *testing.T) {
	s := newStore(t)
	var want []telamon.Serial
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 20 {
		leaf := s.leaf(t)
		der := build(t, leaf)
		all.Go(func() {
			if _, err := s.SignCertificate("ca", der); err != nil {
				t.Error(err)
			}
			mu.Lock()
			want = append(want, leaf.Serial)
			mu.Unlock()
		})
	}
	all.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "ca.journal")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	torn := append(whole, whole[:17]...) // a crash in the middle of a record
	if err := os.WriteFile(path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := keystore.Open(keystore.Config{Dir: s.dir, KEK: s.kek, Clock: s.clock})
	if err != nil {
		t.Fatalf("a torn record is in the way: %v", err)
	}
	defer again.Close()
	got := map[telamon.Serial]bool{}
	for r, err := range again.ReadJournal("ca") {
		if err != nil {
			t.Fatal(err)
		}
		got[r.Serial] = true
	}
	for _, serial := range want {
		if !got[serial] {
			t.Errorf("the journal has no record of %s", serial)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the journal has %d records, want %d", len(got), len(want))
	}
	whole[30] ^= 1
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	var damage error
	for _, err := range again.ReadJournal("ca") {
		damage = err
	}
	if damage == nil {
		t.Error("a damaged record is not reported")
	}
}

func TestCheckpointSigner(t *testing.T) {
	s := newStore(t)
	signer, verifierKey, err := s.CheckpointSigner("audit.example")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: "a checkpoint\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		t.Errorf("the checkpoint does not verify: %v", err)
	}
	t.Run("the verifier's key alone", func(t *testing.T) {
		torn := []byte("the server is just writing")
		if err := os.WriteFile(filepath.Join(s.dir, "ca.journal"), torn, 0o600); err != nil {
			t.Fatal(err)
		}
		alone, err := keystore.CheckpointVerifier(keystore.Config{Dir: s.dir, KEK: s.kek}, "audit.example")
		if err != nil || alone != verifierKey {
			t.Errorf("it is %q, %v, want %q", alone, err, verifierKey)
		}
		if text, err := os.ReadFile(filepath.Join(s.dir, "ca.journal")); err != nil || !bytes.Equal(text, torn) {
			t.Errorf("the journal was changed to %q, %v", text, err)
		}
	})
}

func TestReadKEK(t *testing.T) {
	_, text := keystore.NewKEK()
	file := filepath.Join(t.TempDir(), "kek")
	for _, tt := range []struct {
		name, content string
		mode          os.FileMode
		ok            bool
	}{
		{"good", text + "\n", 0o600, true},
		{"readable by others", text, 0o644, false},
		{"too short", text[2:], 0o600, false},
		{"not hexadecimal", "z" + text[1:], 0o600, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			os.Remove(file)
			if err := os.WriteFile(file, []byte(tt.content), tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := keystore.ReadKEK(file)
			if (err == nil) != tt.ok {
				t.Errorf("ReadKEK reports %v, want ok=%v", err, tt.ok)
			}
			if err != nil && strings.Contains(err.Error(), text[2:]) {
				t.Error("the error shows the key")
			}
		})
	}
}
