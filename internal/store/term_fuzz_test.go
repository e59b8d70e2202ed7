package store_test

import (
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/store"
)

// FuzzSearchedName writes names as they are found: in one form, below domains of two
// labels or more that end the name.
func FuzzSearchedName(f *testing.F) {
	f.Add("*.Shop.Example.COM.")
	f.Fuzz(func(t *testing.T, text string) {
		name, above := store.SearchedName(text)
		again, _ := store.SearchedName(name)
		if again != name {
			t.Errorf("%q is %q, which is %q", text, name, again)
		}
		for i, domain := range above {
			if !strings.Contains(domain, ".") || !strings.Contains(name, domain) || i > 0 && !strings.HasSuffix(above[i-1], "."+domain) {
				t.Errorf("%q is below %q", name, above)
			}
		}
	})
}
