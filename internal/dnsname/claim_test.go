package dnsname_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/dnsname"
)

var private = []dnsname.Name{"corp.internal", "lab"}

// TestParseClaim has requirements 58 and 111: what can be claimed, and the reasons
// why the rest cannot.
func TestParseClaim(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		name, text string
		want       dnsname.Name
		err        error
	}{
		{"a domain", "example.com", "example.com", nil},
		{"a final dot", "Shop.Example.COM.", "shop.example.com", nil},
		{"a U-label", "bücher.example.com", "xn--bcher-kva.example.com", nil},
		{"an A-label", "XN--BCHER-KVA.example.com", "xn--bcher-kva.example.com", nil},
		{"under a suffix of two labels", "example.co.uk", "example.co.uk", nil},
		{"a private domain of the list", "me.github.io", "me.github.io", nil},
		{"the owner of such a domain", "github.io", "github.io", nil},
		{"the longest label", long + ".example.com", dnsname.Name(long + ".example.com"), nil},
		{"two final dots", "example.com..", "", dnsname.ErrSyntax},
		{"nothing", "", "", dnsname.ErrSyntax},
		{"the root", ".", "", dnsname.ErrSyntax},
		{"a wildcard", "*.example.com", "", dnsname.ErrClaimWildcard},
		{"a wildcard elsewhere", "a.*.example.com", "", dnsname.ErrWildcard},
		{"an encoded wildcard", "%2a.example.com", "", dnsname.ErrSyntax},
		{"an IPv4 address", "192.0.2.1", "", dnsname.ErrAddress},
		{"an IPv4 address with a dot", "192.0.2.1.", "", dnsname.ErrAddress},
		{"an IPv6 address", "2001:db8::1", "", dnsname.ErrAddress},
		{"an IPv6 address in brackets", "[2001:db8::1]", "", dnsname.ErrSyntax},
		{"half an address", "1.2.3", "", dnsname.ErrSyntax},
		{"a single label", "intranet", "", dnsname.ErrSingleLabel},
		{"a top-level domain", "com", "", dnsname.ErrSingleLabel},
		{"a public suffix", "co.uk", "", dnsname.ErrPublicSuffix},
		{"a reserved name", "shop.example", "", dnsname.ErrSpecialUse},
		{"a test name", "a.test", "", dnsname.ErrSpecialUse},
		{"an onion", "abc.onion", "", dnsname.ErrSpecialUse},
		{"a reverse name", "1.2.0.192.in-addr.arpa", "", dnsname.ErrSpecialUse},
		{"an IPv6 reverse name", "8.b.d.0.1.0.0.2.ip6.arpa", "", dnsname.ErrSpecialUse},
		{"an internal name", "mail.corp", "", dnsname.ErrNoRegistry},
		{"an internal name under .internal", "db.internal", "", dnsname.ErrSpecialUse},
		{"under a private suffix", "db.corp.internal", "db.corp.internal", nil},
		{"a private suffix", "corp.internal", "corp.internal", nil},
		{"a private suffix of one label", "lab", "lab", nil},
		{"beside a private suffix", "xcorp.internal", "", dnsname.ErrSpecialUse},
		{"an underscore", "_dmarc.example.com", "", dnsname.ErrSyntax},
		{"a blank", "shop example.com", "", dnsname.ErrSyntax},
		{"a NUL", "shop\x00.example.com", "", dnsname.ErrSyntax},
		{"a slash", "example.com/a", "", dnsname.ErrSyntax},
		{"a port", "example.com:443", "", dnsname.ErrSyntax},
		{"a mailbox", "a@example.com", "", dnsname.ErrSyntax},
		{"an over-long label", long + "a.example.com", "", dnsname.ErrLength},
		{"an over-long name", strings.Repeat("a.", 124) + "example.com", "", dnsname.ErrLength},
		{"a mixed-script homograph", "ex\u0430mple.com", "xn--exmple-4nf.com", nil},
		{"a zero-width joiner out of place", "exam\u200dple.com", "", dnsname.ErrIDNA},
		{"a bad A-label", "xn--a.example.com", "", dnsname.ErrIDNA},
		{"not UTF-8", "caf\xe9.example.com", "", dnsname.ErrIDNA},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := dnsname.ParseClaim(tt.text, private)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("ParseClaim(%q) = %q, %v; want %q, %v", tt.text, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestAuthorizationDomainsWithin(t *testing.T) {
	tests := []struct {
		name dnsname.Name
		want string
	}{
		{"a.b.example.com", "a.b.example.com b.example.com example.com"},
		{"*.b.example.co.uk", "b.example.co.uk example.co.uk"},
		{"example.com", "example.com"},
		{"a.db.corp.internal", "a.db.corp.internal db.corp.internal corp.internal"},
		{"corp.internal", "corp.internal"},
		{"a.lab", "a.lab lab"},
		{"a.internal", ""},
	}
	for _, tt := range tests {
		var got []string
		for _, n := range tt.name.AuthorizationDomainsWithin(private) {
			got = append(got, n.String())
		}
		if !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s has the authorization domains %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestParseADN(t *testing.T) {
	tests := []struct {
		text string
		want dnsname.ADN
		err  error
	}{
		{"Example.com.", dnsname.ADN{Domain: "example.com"}, nil},
		{"_ACME-challenge.example.com", dnsname.ADN{Underscore: "_acme-challenge", Domain: "example.com"}, nil},
		{"_a._b.example.com", dnsname.ADN{}, dnsname.ErrSyntax},
		{"a._b.example.com", dnsname.ADN{}, dnsname.ErrSyntax},
		{"_", dnsname.ADN{}, dnsname.ErrADN},
		{"_.example.com", dnsname.ADN{}, dnsname.ErrADN},
		{"_a b.example.com", dnsname.ADN{}, dnsname.ErrADN},
		{"_" + strings.Repeat("a", 63) + ".example.com", dnsname.ADN{}, dnsname.ErrADN},
		{"_a.*.example.com", dnsname.ADN{}, dnsname.ErrADN},
		{"*.example.com", dnsname.ADN{}, dnsname.ErrADN},
		{"", dnsname.ADN{}, dnsname.ErrSyntax},
	}
	for _, tt := range tests {
		got, err := dnsname.ParseADN(tt.text)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("ParseADN(%q) = %q, %v; want %q, %v", tt.text, got, err, tt.want, tt.err)
		}
	}
}

func FuzzParseClaim(f *testing.F) {
	for _, seed := range []string{"example.com.", "_x.example.com", "*.example.com", "bücher.example.com", "192.0.2.1", "db.corp.internal"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := dnsname.ParseClaim(text, private)
		if err != nil {
			if name != "" {
				t.Fatalf("ParseClaim(%q) = %q with an error", text, name)
			}
			return
		}
		if again, err := dnsname.ParseClaim(name.String()+".", private); err != nil || again != name {
			t.Errorf("ParseClaim(%q) = %q, which parses as %q, %v", text, name, again, err)
		}
		parents := name.AuthorizationDomainsWithin(private)
		if len(parents) == 0 || parents[0] != name {
			t.Fatalf("%q has the authorization domains %q", name, parents)
		}
		for _, parent := range parents {
			if !name.IsWithin(parent) {
				t.Errorf("%q is no parent of %q", parent, name)
			}
			if adn, err := dnsname.ParseADN("_x." + parent.String()); err == nil && adn.Domain != parent {
				t.Errorf("_x.%s parses as %q", parent, adn)
			}
		}
	})
}
