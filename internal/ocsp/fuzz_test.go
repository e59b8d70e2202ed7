package ocsp_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/telamon-ca/telamon/internal/ocsp"
)

// FuzzParseRequest holds that a request that is read is within the bounds, that
// what is written again is read alike, and that what Go reads is read here too,
// unless it breaks a rule that Go does not know.
func FuzzParseRequest(f *testing.F) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzParseRequest")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := ocsp.ParseRequest(der)
		if err != nil {
			if r != nil || !errors.Is(err, ocsp.ErrMalformed) {
				t.Fatalf("ParseRequest(%x) = %+v, %v", der, r, err)
			}
			return
		}
		if len(r.Certs) < 1 || len(r.Certs) > 16 || len(r.Nonce) > 128 || r.Nonce != nil && len(r.Nonce) < 1 {
			t.Errorf("%x is read as %+v", der, r)
		}
		for _, id := range r.Certs {
			if id.Hash == 0 {
				return // cannot be written
			}
		}
		written, err := r.Marshal()
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", r, err)
		}
		again, err := ocsp.ParseRequest(written)
		if err != nil || len(again.Certs) != len(r.Certs) || !bytes.Equal(again.Nonce, r.Nonce) {
			t.Fatalf("%x is read as %+v, written as %x and read as %+v, %v", der, r, written, again, err)
		}
		other, err := xocsp.ParseRequest(written)
		if err != nil || other.SerialNumber.Cmp(r.Certs[0].Serial) != 0 || !bytes.Equal(other.IssuerKeyHash, r.Certs[0].KeyHash) {
			t.Errorf("%x is read by Go as %+v, %v", written, other, err)
		}
	})
}
