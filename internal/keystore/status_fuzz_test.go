package keystore

import (
	"bufio"
	"bytes"
	"testing"
	"time"
)

// FuzzReadCRLHead holds that what stands before a CRL's entries is read only of
// something that begins as a SEQUENCE with a v2 and two times, and says its size.
func FuzzReadCRLHead(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		head, err := readCRLHead(bufio.NewReaderSize(bytes.NewReader(b), crlHeadSize))
		if err != nil {
			return
		}
		if head.size < 2 || head.signature == nil || len(head.issuer) == 0 || head.thisUpdate.IsZero() || head.nextUpdate.IsZero() {
			t.Errorf("%x is read as %+v", b, head)
		}
		_ = (&Purpose{}).refusesResponse(b, time.Unix(0, 0))
	})
}
