package crl

import (
	"bytes"
	"crypto/x509"
	"testing"

	"github.com/telamon-ca/telamon/internal/tbs"
)

// FuzzOpen holds that no input is taken for a CRL that the issuer did not sign, and
// that what is behind a signature is read without a panic and within bounds.
func FuzzOpen(f *testing.F) {
	issuer := newCA(f, tbs.ECP256, "Test CA", x509.KeyUsageCRLSign)
	f.Add(issuer.sign(f, issuer.template(f), oneOfEach()))
	f.Add([]byte("\x30\x80\x30\x80"))
	f.Add(bytes.Repeat([]byte("\x30\x82\x10\x00"), 64))
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, err := Open(bytes.NewReader(der), int64(len(der)), issuer.cert); err == nil && len(der) == 0 {
			t.Error("nothing is a CRL")
		}
		// As if the signature had been verified.
		l := &List{from: bytes.NewReader(der)}
		whole := element{0, 0, int64(len(der))}
		if _, rest, err := l.readHead(whole, issuer.cert); err == nil && rest > whole.end {
			t.Errorf("the head ends at %d of %d", rest, whole.end)
		}
		if l.readRest(whole, 0) == nil && (l.first < 0 || l.first+l.size > whole.end) {
			t.Errorf("the entries lie at %d, %d octets of %d", l.first, l.size, whole.end)
		}
	})
}

// FuzzEntries holds that what is read as an entry is written as the same entry.
func FuzzEntries(f *testing.F) {
	var encoder entryEncoder
	var all []byte
	for _, e := range oneOfEach() {
		der, err := encoder.encode(&e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(der))
		all = append(all, der...)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, der []byte) {
		l := &List{from: bytes.NewReader(der), size: int64(len(der))}
		l.Entries(func(e *Entry) error {
			if e.RevokedAt.Year() < 1950 || e.RevokedAt.Year() > 9999 {
				return nil
			}
			again, err := encoder.encode(e)
			if err != nil {
				t.Fatalf("the entry %+v cannot be written: %v", e, err)
			}
			if back, ok := readEntry(again); !ok || !back.RevokedAt.Equal(e.RevokedAt) || back.Serial != e.Serial || back.Reason != e.Reason ||
				!back.InvalidAt.Equal(e.InvalidAt) {
				t.Fatalf("the entry %+v comes back as %+v", e, back)
			}
			return nil
		})
	})
}
