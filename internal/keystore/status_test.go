package keystore_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// list is what a tbsCertList says.
type list struct {
	version                int64 // as encoded; 1 is v2
	issuer                 []byte
	thisUpdate, nextUpdate time.Time
	signature              *tbs.SignatureAlgorithm
	entries                int
}

func (s *store) list(t *testing.T) list {
	return list{1, s.ca.RawSubject, s.clock.Now(), s.clock.Now().AddDate(0, 0, 7), signature(t, s.ca.PublicKey), 0}
}

func (l list) marshal(t *testing.T) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(l.version)
		b.AddBytes(l.signature.Identifier())
		b.AddBytes(l.issuer)
		b.AddASN1UTCTime(l.thisUpdate)
		b.AddASN1UTCTime(l.nextUpdate)
		if l.entries == 0 {
			return
		}
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for range l.entries {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1BigInt(telamon.NewSerial(l.thisUpdate).Int())
					b.AddASN1UTCTime(l.thisUpdate)
				})
			}
		})
	})
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSignCRL(t *testing.T) {
	s := newStore(t)
	leaf := build(t, s.leaf(t))
	tests := []struct {
		name   string
		key    string
		change func(*list)
		bytes  func([]byte) []byte // nil: as they are
		want   string              // part of the refusal, "" for none
	}{
		{"empty", "ca", func(*list) {}, nil, ""},
		{"of 20,000 entries", "ca", func(l *list) { l.entries = 20_000 }, nil, ""},
		{"of another CA", "root", func(*list) {}, nil, "issuer's name"},
		{"of version 1", "ca", func(l *list) { l.version = 0 }, nil, "no tbsCertList"},
		{"of yesterday", "ca", func(l *list) { l.thisUpdate = l.thisUpdate.AddDate(0, 0, -1) }, nil, "thisUpdate is not now"},
		{"of tomorrow", "ca", func(l *list) { l.thisUpdate = l.thisUpdate.AddDate(0, 0, 1) }, nil, "thisUpdate is not now"},
		{"that ends before it starts", "ca", func(l *list) { l.nextUpdate = l.thisUpdate }, nil, "nextUpdate"},
		{"a tbsCertificate", "ca", func(*list) {}, func([]byte) []byte { return leaf }, "no tbsCertList"},
		{"cut off", "ca", func(l *list) { l.entries = 9 }, func(b []byte) []byte { return b[:len(b)-1] }, "octets"},
		{"with something behind it", "ca", func(*list) {}, func(b []byte) []byte { return append(b, 0) }, "octets"},
		{"nothing", "ca", func(*list) {}, func([]byte) []byte { return nil }, "no tbsCertList"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := s.list(t)
			tt.change(&l)
			der := l.marshal(t)
			if tt.bytes != nil {
				der = tt.bytes(der)
			}
			sig, err := s.SignCRL(tt.key, iotest.OneByteReader(bytes.NewReader(der)))
			if tt.want != "" {
				if !errors.Is(err, keystore.ErrPurpose) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("SignCRL reports %v, want ErrPurpose with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatalf("SignCRL: %v", err)
			}
			signed, err := tbs.Assemble(der, l.signature, sig)
			if err != nil {
				t.Fatal(err)
			}
			crl, err := x509.ParseRevocationList(signed)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.signature.Verify(s.ca.PublicKey, crl.RawTBSRevocationList, crl.Signature); err != nil || len(crl.RevokedCertificateEntries) != l.entries {
				t.Errorf("the CRL has %d entries and verifies with %v, want %d and nil", len(crl.RevokedCertificateEntries), err, l.entries)
			}
		})
	}
	var crls int
	for r, err := range s.ReadJournal("ca") {
		if err != nil {
			t.Fatal(err)
		}
		if !r.OfCertificate() {
			crls++
		}
	}
	if crls != 2 {
		t.Errorf("the journal has %d CRLs, want the 2 that were signed", crls)
	}
}

func TestSignCRLReportsTheReader(t *testing.T) {
	s := newStore(t)
	l := s.list(t)
	l.entries = 2000
	broken := errors.New("the disk is gone")
	_, err := s.SignCRL("ca", iotest.TimeoutReader(bytes.NewReader(l.marshal(t))))
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a reader that fails later reports %v, want its error", err)
	}
	if _, err := s.SignCRL("ca", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a reader that fails at once reports %v, want its error", err)
	}
}

// responder makes the certificate of a responder and binds its key.
func (s *store) responder(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	public, err := s.Generate(name, tbs.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	template := s.leaf(t)
	template.PublicKey, template.OCSPNoCheck = spki(t, public), true
	template.Content.ExtKeyUsage.OIDs = []x509.OID{oid(t, telamon.OCSPSigning)}
	der := build(t, template)
	sig, err := s.SignCertificate("ca", der)
	if err != nil {
		t.Fatal(err)
	}
	return s.bind(t, name, der, sig, keystore.Purpose{Role: telamon.RoleResponder})
}

func TestResponderCertificate(t *testing.T) {
	s := newStore(t)
	tests := []struct {
		name   string
		change func(*tbs.Template)
		want   bool
	}{
		{"a responder", func(*tbs.Template) {}, true},
		{"without nocheck", func(l *tbs.Template) { l.OCSPNoCheck = false }, false},
		{"with another usage", func(l *tbs.Template) {
			l.Content.ExtKeyUsage.OIDs = append(l.Content.ExtKeyUsage.OIDs, oid(t, "1.3.6.1.5.5.7.3.1"))
		}, false},
		{"that signs CRLs", func(l *tbs.Template) { l.Content.KeyUsage |= x509.KeyUsageCRLSign }, false},
		{"a CA", func(l *tbs.Template) { l.CA = &tbs.CAConstraints{} }, false},
	}
	for _, retired := range []bool{false, true} {
		for _, tt := range tests {
			template := s.leaf(t)
			template.OCSPNoCheck, template.Content.ExtKeyUsage.OIDs = true, []x509.OID{oid(t, telamon.OCSPSigning)}
			tt.change(template)
			_, err := s.SignCertificate("ca", build(t, template))
			if tt.want && err != nil || !tt.want && !errors.Is(err, keystore.ErrPurpose) {
				t.Errorf("%s, signed by a CA (retired: %t): %v, want allowed: %t", tt.name, retired, err, tt.want)
			}
		}
		if err := s.Retire("ca"); err != nil {
			t.Fatal(err)
		}
	}
	for _, family := range []telamon.EKUFamily{telamon.EKUAny, telamon.EKUTLS, telamon.EKUClientAuth, telamon.EKUSigning} {
		if family.Allows(oid(t, telamon.OCSPSigning)) {
			t.Errorf("the family %s allows a subscriber to be an OCSP responder", family)
		}
	}
	l := s.list(t)
	if _, err := s.SignCRL("ca", bytes.NewReader(l.marshal(t))); err != nil {
		t.Errorf("a retired CA does not sign its CRL: %v", err)
	}
}

// responseData is a ResponseData of the responder with the one response.
func responseData(t *testing.T, keyHash []byte, producedAt time.Time, response []byte) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1OctetString(keyHash) })
		b.AddASN1GeneralizedTime(producedAt)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(response) })
	})
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSignOCSP(t *testing.T) {
	s := newStore(t)
	cert := s.responder(t, "responder")
	var bits cryptobyte.String
	spki, own := cryptobyte.String(cert.RawSubjectPublicKeyInfo), cryptobyte.String(nil)
	if !spki.ReadASN1(&own, asn1.SEQUENCE) || !own.SkipASN1(asn1.SEQUENCE) || !own.ReadASN1(&bits, asn1.BIT_STRING) {
		t.Fatal("the responder's key cannot be read")
	}
	hash := sha1.Sum(bits[1:])
	other := slices.Repeat([]byte{1}, 20)
	response, at := []byte{0x30, 0x00}, s.clock.Now()
	l := s.list(t)
	tests := []struct {
		name string
		key  string
		data []byte
		want string // part of the refusal, "" for none
	}{
		{"a response", "responder", responseData(t, hash[:], at, response), ""},
		{"by the CA", "ca", responseData(t, hash[:], at, response), "no key of a responder"},
		{"of another responder", "responder", responseData(t, other, at, response), "responder's ID"},
		{"of yesterday", "responder", responseData(t, hash[:], at.AddDate(0, 0, -1), response), "producedAt"},
		{"of tomorrow", "responder", responseData(t, hash[:], at.AddDate(0, 0, 1), response), "producedAt"},
		{"without a response", "responder", responseData(t, hash[:], at, nil), "no ResponseData"},
		{"with something behind it", "responder", append(responseData(t, hash[:], at, response), 0), "no ResponseData"},
		{"a tbsCertificate", "responder", build(t, s.leaf(t)), "no ResponseData"},
		{"a tbsCertList", "responder", l.marshal(t), "no ResponseData"},
		{"nothing", "responder", nil, "no ResponseData"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sig, algorithm, err := s.SignOCSP(tt.key, tt.data)
			if tt.want != "" {
				if !errors.Is(err, keystore.ErrPurpose) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("SignOCSP reports %v, want ErrPurpose with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatalf("SignOCSP: %v", err)
			}
			if err := algorithm.Verify(cert.PublicKey, tt.data, sig); err != nil {
				t.Errorf("the signature: %v", err)
			}
		})
	}
	if _, err := s.SignCertificate("responder", build(t, s.leaf(t))); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("a responder that signs a certificate reports %v, want ErrPurpose", err)
	}
	if _, err := s.SignCRL("responder", bytes.NewReader(l.marshal(t))); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("a responder that signs a CRL reports %v, want ErrPurpose", err)
	}
	if err := s.Retire("responder"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.SignOCSP("responder", responseData(t, hash[:], at, response)); !errors.Is(err, keystore.ErrPurpose) {
		t.Errorf("a retired responder reports %v, want ErrPurpose", err)
	}
}

// A key does not sign if the clock is more than five minutes behind its last
// signature, whatever it signs, and does again when the clock has caught up.
func TestClockGuard(t *testing.T) {
	tests := []struct {
		behind time.Duration
		want   bool // that it signs
	}{
		{0, true}, {2 * time.Minute, true}, {5 * time.Minute, true}, {5*time.Minute + time.Millisecond, false}, {time.Hour, false},
	}
	for _, tt := range tests {
		s := newStore(t)
		s.clock.Advance(2 * time.Hour)
		if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); err != nil {
			t.Fatal(err)
		}
		s.clock.Set(s.clock.Now().Add(-tt.behind))
		l := s.list(t)
		_, certErr := s.SignCertificate("ca", build(t, s.leaf(t)))
		_, crlErr := s.SignCRL("ca", bytes.NewReader(l.marshal(t)))
		for what, err := range map[string]error{"certificate": certErr, "CRL": crlErr} {
			if (err == nil) != tt.want {
				t.Errorf("%v behind the last signature, a %s: %v, want signed: %t", tt.behind, what, err, tt.want)
			}
		}
		s.clock.Advance(tt.behind)
		if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); err != nil {
			t.Errorf("when the clock had caught up %v: %v", tt.behind, err)
		}
	}
}
