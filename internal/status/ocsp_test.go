package status

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/ocsp"
)

// FuzzDecodePath holds that what a path is decoded to is bounded, and that what clients
// write for it is decoded to the same.
func FuzzDecodePath(f *testing.F) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzDecodePath")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		der := decodePath(text)
		if len(der) > ocsp.MaxRequest {
			t.Fatalf("%d octets are decoded from %d", len(der), len(text))
		}
		if len(der) == 0 || der[0] != 0x30 { // no request, and may begin with a slash
			return
		}
		standard := base64.StdEncoding.EncodeToString(der)
		for _, written := range []string{standard, "/" + standard, strings.TrimRight(standard, "="), url.QueryEscape(standard), base64.URLEncoding.EncodeToString(der)} {
			if got := decodePath(written); !bytes.Equal(got, der) {
				t.Errorf("%q is decoded to %x, want %x", written, got, der)
			}
		}
	})
}
