package certs

import (
	"net/url"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/portal/page"
)

// FuzzFilter reads addresses of the list: what can be read leads to itself again, and to
// a page after it.
func FuzzFilter(f *testing.F) {
	f.Add("q=*.example.com&status=expiring-30&after=1795424398250.01079C2861D93ACDB2099D9ECDA46202.100.1204331")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		read, err := parseFilter(q)
		if err != nil {
			if read != nil {
				t.Errorf("%q is read as %+v with an error", query, read)
			}
			return
		}
		again := func(address string) *filter {
			rest, ok := strings.CutPrefix(address, page.CertificatesPath)
			if !ok {
				t.Fatalf("%q leads to %q", query, address)
			}
			q, err := url.ParseQuery(strings.TrimPrefix(rest, "?"))
			if err != nil {
				t.Fatal(err)
			}
			f, err := parseFilter(q)
			if err != nil {
				t.Fatalf("%q leads to %q, which cannot be read: %v", query, address, err)
			}
			return f
		}
		if same := again(read.address(page.CertificatesPath)); same.values.Encode() != read.values.Encode() {
			t.Errorf("%q leads to %q", query, same.values.Encode())
		}
		if at := read.search.After; at != nil && read.first < 1<<39 {
			next := again(read.next(at, read.first+9))
			if *next.search.After != *at || next.first != read.first+10 || next.total != read.total {
				t.Errorf("after %q comes %+v", query, next)
			}
		}
	})
}
