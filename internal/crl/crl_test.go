package crl

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

var (
	thisUpdate = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	nextUpdate = thisUpdate.Add(7 * 24 * time.Hour)
)

// ca is a CA of a test.
type ca struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newCA(t testing.TB, keyType tbs.KeyType, name string, usage x509.KeyUsage) *ca {
	t.Helper()
	key, err := keyType.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: thisUpdate, NotAfter: thisUpdate.AddDate(30, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: usage,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &ca{key, cert}
}

func (c *ca) template(t testing.TB) Template {
	t.Helper()
	algorithm, err := tbs.SignatureFor(c.key.Public(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return Template{Issuer: c.cert, Signature: algorithm, Number: 1_796_040_000_000, ThisUpdate: thisUpdate, NextUpdate: nextUpdate}
}

// sign returns the DER of a CRL.
func (c *ca) sign(t testing.TB, template Template, entries []Entry) []byte {
	t.Helper()
	b, err := NewBuilder(template, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range entries {
		if err := b.Add(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	draft, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	list, err := io.ReadAll(draft.TBS())
	if err != nil {
		t.Fatal(err)
	}
	signature, err := template.Signature.Sign(c.key, list)
	if err != nil {
		t.Fatal(err)
	}
	in, size, err := draft.Signed(signature)
	if err != nil {
		t.Fatal(err)
	}
	der, err := io.ReadAll(in)
	if err != nil || int64(len(der)) != size || draft.Entries != int64(len(entries)) {
		t.Fatalf("the CRL has %d octets and %d entries, and says %d and %d: %v", len(der), len(entries), size, draft.Entries, err)
	}
	return der
}

// read opens a CRL and reads its entries.
func (c *ca) read(der []byte) (*List, []Entry, error) {
	list, err := Open(bytes.NewReader(der), int64(len(der)), c.cert)
	if err != nil {
		return nil, nil, err
	}
	var entries []Entry
	err = list.Entries(func(e *Entry) error {
		entries = append(entries, *e)
		return nil
	})
	return list, entries, err
}

// oneOfEach has every reason, and times of both encodings.
func oneOfEach() []Entry {
	var entries []Entry
	for i, reason := range telamon.RevocationReasons {
		at := thisUpdate.Add(-time.Duration(i) * time.Hour)
		entries = append(entries, Entry{Serial: telamon.NewSerial(at), RevokedAt: at, Reason: reason})
	}
	return append(entries,
		Entry{Serial: telamon.NewSerial(thisUpdate), RevokedAt: thisUpdate, Reason: telamon.ReasonKeyCompromise, InvalidAt: thisUpdate.Add(-time.Hour)},
		Entry{Serial: telamon.NewSerial(thisUpdate), RevokedAt: thisUpdate, Reason: telamon.ReasonUnspecified, InvalidAt: thisUpdate.Add(-time.Hour)},
		Entry{Serial: telamon.NewSerial(thisUpdate), RevokedAt: time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), Reason: telamon.ReasonSuperseded})
}

func TestEncode(t *testing.T) {
	const url = "http://status.example/crl/iss_1/3.crl"
	for _, keyType := range []tbs.KeyType{tbs.ECP256, tbs.ECP384, tbs.RSA2048} {
		issuer := newCA(t, keyType, "Test CA", x509.KeyUsageCRLSign)
		sharded, delta := issuer.template(t), issuer.template(t)
		sharded.DistributionPoint = url
		delta.Base, delta.DistributionPoint = delta.Number-1, url
		long := issuer.template(t)
		long.NextUpdate, long.FreshestURL = time.Date(2051, 2, 3, 4, 5, 6, 0, time.UTC), url
		for name, tt := range map[string]struct {
			template Template
			entries  []Entry
			critical int
		}{
			"empty": {issuer.template(t), nil, 0}, "every reason": {issuer.template(t), oneOfEach(), 0},
			"a shard": {sharded, oneOfEach(), 1}, "a delta": {delta, oneOfEach()[:1], 2}, "after 2050": {long, oneOfEach(), 0},
		} {
			t.Run(string(keyType)+" "+name, func(t *testing.T) {
				der := issuer.sign(t, tt.template, tt.entries)
				std, err := x509.ParseRevocationList(der)
				if err != nil {
					t.Fatal(err)
				}
				if err := std.CheckSignatureFrom(issuer.cert); err != nil {
					t.Error(err)
				}
				if std.Number.Int64() != tt.template.Number || !std.ThisUpdate.Equal(thisUpdate) || !std.NextUpdate.Equal(tt.template.NextUpdate) ||
					!bytes.Equal(std.AuthorityKeyId, issuer.cert.SubjectKeyId) || len(std.RevokedCertificateEntries) != len(tt.entries) {
					t.Errorf("the standard library reads number %s, %s to %s, %d entries", std.Number, std.ThisUpdate, std.NextUpdate, len(std.RevokedCertificateEntries))
				}
				critical := 0
				for _, e := range std.Extensions {
					if e.Critical {
						critical++
					}
				}
				if critical != tt.critical {
					t.Errorf("%d extensions are critical, want %d", critical, tt.critical)
				}
				for i, e := range std.RevokedCertificateEntries {
					want := tt.entries[i]
					if e.SerialNumber.Cmp(want.Serial.Int()) != 0 || !e.RevocationTime.Equal(want.RevokedAt) || int64(e.ReasonCode) != codes[want.Reason] {
						t.Errorf("entry %d is %+v, want %+v", i, e, want)
					}
					if want.Reason == telamon.ReasonUnspecified && want.InvalidAt.IsZero() && len(e.Extensions) != 0 {
						t.Errorf("an unspecified reason is written: %v", e.Extensions)
					}
				}
				list, entries, err := issuer.read(der)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.entries, entries); diff != "" {
					t.Errorf("the entries come back changed (-want +got):\n%s", diff)
				}
				if list.Number.Int64() != tt.template.Number || list.DistributionPoint != tt.template.DistributionPoint ||
					(list.Base != nil) != (tt.template.Base > 0) || !list.NextUpdate.Equal(tt.template.NextUpdate) {
					t.Errorf("the list comes back as %+v", list)
				}
			})
		}
	}
}

// TestSpool builds lists of about the size at which entries go to a file, and looks
// what is left of the file.
func TestSpool(t *testing.T) {
	issuer := newCA(t, tbs.ECP256, "Test CA", x509.KeyUsageCRLSign)
	one := oneOfEach()[1]
	for _, n := range []int{spoolMemory / 64, spoolMemory / 32, spoolMemory / 16} {
		entries := make([]Entry, n)
		for i := range entries {
			entries[i] = one
			entries[i].Serial = telamon.NewSerial(thisUpdate)
		}
		_, got, err := issuer.read(issuer.sign(t, issuer.template(t), entries))
		same := func(a, b Entry) bool {
			return a.Serial == b.Serial && a.RevokedAt.Equal(b.RevokedAt) && a.Reason == b.Reason
		}
		if !slices.EqualFunc(entries, got, same) || err != nil {
			t.Fatalf("of %d entries, %d come back, or changed: %v", n, len(got), err)
		}
	}
	dir := t.TempDir()
	b, err := NewBuilder(issuer.template(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	for range spoolMemory / 16 {
		if err := b.Add(&one); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := os.ReadDir(dir); len(files) != 1 || err != nil {
		t.Errorf("%d files while entries are spooled, %v; want one", len(files), err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); len(files) != 0 || err != nil {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}

func TestSpoolFails(t *testing.T) {
	issuer := newCA(t, tbs.ECP256, "Test CA", x509.KeyUsageCRLSign)
	b, err := NewBuilder(issuer.template(t), t.TempDir()+"/missing")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	one := oneOfEach()[1]
	for range spoolMemory / 16 {
		if err = b.Add(&one); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a spool that cannot be made is told as %v", err)
	}
}

func TestTemplateRefused(t *testing.T) {
	issuer := newCA(t, tbs.ECP256, "Test CA", x509.KeyUsageCRLSign)
	for name, change := range map[string]func(*Template){
		"no issuer":               func(t *Template) { t.Issuer = nil },
		"no algorithm":            func(t *Template) { t.Signature = nil },
		"an issuer without an ID": func(t *Template) { t.Issuer = &x509.Certificate{} },
		"no number":               func(t *Template) { t.Number = 0 },
		"a base after it":         func(t *Template) { t.Base = t.Number },
		"an end at its beginning": func(t *Template) { t.NextUpdate = t.ThisUpdate },
	} {
		template := issuer.template(t)
		change(&template)
		if _, err := NewBuilder(template, ""); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	b, err := NewBuilder(issuer.template(t), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]Entry{
		"no serial number":  {RevokedAt: thisUpdate, Reason: telamon.ReasonUnspecified},
		"an unknown reason": {Serial: telamon.NewSerial(thisUpdate), RevokedAt: thisUpdate, Reason: "certificateHold"},
		"an empty reason":   {Serial: telamon.NewSerial(thisUpdate), RevokedAt: thisUpdate},
		"a year of 5 digits": {
			Serial: telamon.NewSerial(thisUpdate), RevokedAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), Reason: telamon.ReasonSuperseded},
	} {
		if err := b.Add(&e); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestHeader compares lengths with those of package cryptobyte.
func TestHeader(t *testing.T) {
	for _, length := range []int{0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0xffffff, 0x1000000} {
		var b cryptobyte.Builder
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, length)) })
		want, err := b.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		want = want[:len(want)-length]
		if got := appendHeader(nil, asn1.SEQUENCE, int64(length)); !bytes.Equal(got, want) {
			t.Errorf("the header of %d octets is %x, want %x", length, got, want)
		}
		if n, octets, ok := readHeader(want); n != int64(length) || octets != int64(len(want)) || !ok {
			t.Errorf("the header %x is read as %d in %d octets, %t", want, n, octets, ok)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	issuer := newCA(t, tbs.ECP256, "Test CA", x509.KeyUsageCRLSign)
	good := issuer.sign(t, issuer.template(t), oneOfEach()[:2])
	refuse := func(name string, from *ca, der []byte, want error) {
		t.Helper()
		if _, _, err := from.read(der); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	refuse("another name", newCA(t, tbs.ECP256, "Other CA", x509.KeyUsageCRLSign), good, ErrForeign)
	refuse("another key of the name", newCA(t, tbs.ECP256, "Test CA", x509.KeyUsageCRLSign), good, ErrSignature)
	refuse("a key of another kind", newCA(t, tbs.RSA2048, "Test CA", x509.KeyUsageCRLSign), good, ErrSignature)
	refuse("a CA that may not sign CRLs", newCA(t, tbs.ECP256, "Test CA", x509.KeyUsageCertSign), good, ErrForeign)
	refuse("nothing", issuer, nil, ErrMalformed)
	refuse("a certificate", issuer, issuer.cert.Raw, ErrMalformed)
	refuse("more behind it", issuer, append(bytes.Clone(good), 0), ErrMalformed)
	refuse("an endless length", issuer, []byte("\x30\x80\x30\x80"), ErrMalformed)
	refuse("a length beyond the end", issuer, []byte("\x30\x84\xff\xff\xff\xff\x30\x84\xff\xff\xff\xf0"), ErrMalformed)
	refuse("a nest of sequences", issuer, bytes.Repeat([]byte("\x30\x82\x10\x00"), 4096), ErrMalformed)
	for n := range good {
		if _, _, err := issuer.read(good[:n]); err == nil {
			t.Errorf("the first %d octets are accepted", n)
		}
		changed := bytes.Clone(good)
		changed[n] ^= 0x01
		if _, _, err := issuer.read(changed); err == nil {
			t.Errorf("octet %d may be changed", n)
		}
	}
}

// TestOpenRefusesContent signs lists that are none of ours.
func TestOpenRefusesContent(t *testing.T) {
	issuer := newCA(t, tbs.ECP256, "Test CA", x509.KeyUsageCRLSign)
	serial := telamon.NewSerial(thisUpdate).Int()
	list := func(change func(*x509.RevocationList)) []byte {
		t.Helper()
		template := &x509.RevocationList{
			Number: big.NewInt(7), ThisUpdate: thisUpdate, NextUpdate: nextUpdate,
			RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: serial, RevocationTime: thisUpdate}},
		}
		change(template)
		der, err := x509.CreateRevocationList(rand.Reader, template, issuer.cert, issuer.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	if _, entries, err := issuer.read(list(func(*x509.RevocationList) {})); len(entries) != 1 || err != nil {
		t.Fatalf("a list of the standard library is read as %v, %v", entries, err)
	}
	critical := func(oid []int, value string) pkix.Extension {
		return pkix.Extension{Id: oid, Critical: true, Value: []byte(value)}
	}
	for name, change := range map[string]func(*x509.RevocationList){
		"an unknown critical extension": func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{critical([]int{1, 2, 3}, "\x05\x00")}
		},
		"an indirect CRL": func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{critical(oidDistributionPoint, "\x30\x03\x84\x01\xff")}
		},
		"an extension twice": func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: oidCRLNumber, Value: []byte("\x02\x01\x07")}}
		},
		"certificateHold":         func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = 6 },
		"a foreign serial number": func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].SerialNumber = big.NewInt(5) },
		"an entry of another CA": func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{critical([]int{2, 5, 29, 29}, "\x30\x00")}
		},
		"an entry that is too large": func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Value: make([]byte, maxEntry)}}
		},
		"extensions that are too large": func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Value: make([]byte, maxTail)}}
		},
	} {
		if _, _, err := issuer.read(list(change)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}
