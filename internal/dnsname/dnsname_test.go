package dnsname_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/dnsname"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		text string
		want dnsname.Name
		err  error
	}{
		{"example.com", "example.com", nil},
		{"WWW.Example.COM.", "www.example.com", nil},
		{"*.example.com", "*.example.com", nil},
		{"bücher.example", "xn--bcher-kva.example", nil},
		{"host", "host", nil},
		{long + ".com", dnsname.Name(long + ".com"), nil},
		{"a" + long + ".com", "", dnsname.ErrLength},
		{strings.Repeat("a.", 126) + "com", "", dnsname.ErrLength},
		{"", "", dnsname.ErrSyntax},
		{".", "", dnsname.ErrSyntax},
		{"a..b", "", dnsname.ErrSyntax},
		{"example.com..", "", dnsname.ErrSyntax},
		{"-a.com", "", dnsname.ErrSyntax},
		{"a-.com", "", dnsname.ErrSyntax},
		{"a_b.com", "", dnsname.ErrSyntax},
		{"a b.com", "", dnsname.ErrSyntax},
		{"a.123", "", dnsname.ErrSyntax},
		{"*", "", dnsname.ErrWildcard},
		{"*.com", "", dnsname.ErrWildcard},
		{"www.*.com", "", dnsname.ErrWildcard},
		{"w*.example.com", "", dnsname.ErrWildcard},
		{"192.0.2.1", "", dnsname.ErrAddress},
		{"2001:db8::1", "", dnsname.ErrAddress},
		{"xn--a.example", "", dnsname.ErrIDNA},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := dnsname.Parse(tt.text)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Parse(%q) = %q, %v; want %q, %v", tt.text, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestAuthorizationDomains(t *testing.T) {
	tests := []struct {
		name dnsname.Name
		want string
	}{
		{"a.b.example.com", "a.b.example.com b.example.com example.com"},
		{"*.shop.example.co.uk", "shop.example.co.uk example.co.uk"},
		{"example.com", "example.com"},
		{"foo.github.io", "foo.github.io github.io"}, // the private section does not count
		{"com", ""},
		{"co.uk", ""},
		{"host", ""},
	}
	for _, tt := range tests {
		t.Run(string(tt.name), func(t *testing.T) {
			var want []dnsname.Name
			for _, f := range strings.Fields(tt.want) {
				want = append(want, dnsname.Name(f))
			}
			if got := tt.name.AuthorizationDomains(); !slices.Equal(got, want) {
				t.Errorf("authorization domains are %q, want %q", got, want)
			}
		})
	}
}

func TestIsSpecialUse(t *testing.T) {
	for name, want := range map[dnsname.Name]bool{
		"a.example": true, "localhost": true, "1.2.0.192.in-addr.arpa": true, "printer.local": true,
		"example.com": false, "test.example.org": false,
	} {
		if got := name.IsSpecialUse(); got != want {
			t.Errorf("%q is special use: %v, want %v", name, got, want)
		}
	}
}

func TestLooksLikeHost(t *testing.T) {
	for text, want := range map[string]bool{
		"www.example.com": true, "*.example.com": true, "testsubject": false, "Alice Example": false, "192.0.2.1": false,
	} {
		if got := dnsname.LooksLikeHost(text); got != want {
			t.Errorf("%q looks like a host: %v, want %v", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	corpus, err := os.ReadFile("testdata/names.txt")
	if err != nil || len(corpus) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	for line := range strings.Lines(string(corpus)) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := dnsname.Parse(s)
		if err != nil {
			if n != "" {
				t.Fatalf("Parse(%q) = %q with an error", s, n)
			}
			return
		}
		if again, err := dnsname.Parse(string(n)); err != nil || again != n {
			t.Errorf("Parse(%q) = %q, which parses as %q, %v", s, n, again, err)
		}
		for _, adn := range n.AuthorizationDomains() {
			if strings.Contains(string(adn), "*") || !strings.HasSuffix(string(n), string(adn)) {
				t.Errorf("%q has the authorization domain %q", n, adn)
			}
		}
	})
}
