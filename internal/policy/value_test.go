package policy_test

import (
	"testing"

	"github.com/telamon-ca/telamon/internal/policy"
)

// TestURIs has what RFC 5280, Section 4.2.1.6 asks of a URI.
func TestURIs(t *testing.T) {
	p := compile(t, func(m *policy.Model) { m.SAN.URIs = policy.ListRule{List: []string{"^"}, MaxCount: 1} })
	for uri, ok := range map[string]bool{
		"urn:dev:17":                     true,
		"spiffe://plant.example/line/4":  true,
		"https://a.example":              true,
		"https://a.example:8443/b?c#d":   true,
		"https://user@a.example/":        true,
		"https://192.0.2.1/":             true,
		"https://[2001:db8::1]:8443/":    true,
		"mailto:a@b.example":             true,
		"x:y":                            true,
		"x:":                             false,
		"x:#y":                           false,
		"http://":                        false,
		"http:///path":                   false,
		"file:///etc/passwd":             false,
		"http://?query":                  false,
		"http://:80/":                    false,
		"http://user@/":                  false,
		"http://192.0.2.300/":            false,
		"http://[192.0.2.1]x/":           false,
		"http://[fe80::1%25eth0]/":       false,
		"http://*.a.example/":            false,
		"http://a..example/":             false,
		"http://%C3%A4.example/":         false,
		"http://ä.example/":              false,
		"//a.example/":                   false,
		"a.example":                      false,
		"urn:dev: 17":                    false,
		"urn:dev:<17>":                   false,
		"https://a.example/\"onload=\"x": false,
	} {
		_, fields := p.Evaluate(&policy.Request{
			Subject: map[string]string{"common_name": "x"}, SAN: policy.SANRequest{URIs: []string{uri}},
		}, now)
		want := ""
		if !ok {
			want = "san.uris: is invalid"
		}
		if got := words(fields); got != want {
			t.Errorf("%s is refused by %q, want %q", uri, got, want)
		}
	}
}

// TestAddressesAsWritten matches patterns with the address, not with one of its
// spellings.
func TestAddressesAsWritten(t *testing.T) {
	p := compile(t, func(m *policy.Model) {
		m.SAN.IPAddresses = policy.ListRule{List: []string{`^192\.0\.2\.`, `^2001:db8::`}, MaxCount: 1}
	})
	for text, want := range map[string]string{
		"192.0.2.1":               "",
		"::ffff:192.0.2.1":        "",
		"2001:db8::1":             "",
		"2001:DB8:0:0::1":         "",
		"2001:0db8:0000::0001":    "",
		"2001:db8::1:0:0:0:0:1":   "san.ip_addresses: is invalid",
		"2001:db8:1::1":           "san.ip_addresses: does not match the required format",
		"::ffff:198.51.100.1":     "san.ip_addresses: does not match the required format",
		"2001:db8::1%eth0":        "san.ip_addresses: is invalid",
		"192.0.2.1, 198.51.100.1": "san.ip_addresses: is invalid",
		"2001:db8::192.0.2.1":     "",
	} {
		_, fields := p.Evaluate(&policy.Request{
			Subject: map[string]string{"common_name": "x"}, SAN: policy.SANRequest{IPAddresses: []string{text}},
		}, now)
		if got := words(fields); got != want {
			t.Errorf("%s is refused by %q, want %q", text, got, want)
		}
	}
}

// TestTypesAndValues has the elements of type-and-value lists that say one of both.
func TestTypesAndValues(t *testing.T) {
	p := compile(t, func(m *policy.Model) {
		m.SubjectDA.ExtraAttributes = policy.TypedRules{
			"1.3.6.1.4.1.99999.8": {ValueType: "NIL", ValueFormat: "^NIL$", MaxCount: 1},
			"1.3.6.1.4.1.99999.9": {ValueType: "UTF8STRING", ValueFormat: ".", MaxCount: 1},
		}
	})
	const path = "subject_da.extra_attributes"
	tests := []struct {
		name   string
		values []policy.TypeAndValue
		want   string
		text   string // of the only attribute, "" for none
	}{
		{"both", []policy.TypeAndValue{{"1.3.6.1.4.1.99999.9", "a"}}, "", "a"},
		{"neither", []policy.TypeAndValue{{"", ""}}, "", ""},
		{"a type alone", []policy.TypeAndValue{{"1.3.6.1.4.1.99999.9", ""}}, "", ""},
		{"a value alone", []policy.TypeAndValue{{"", "a"}}, path + ": is invalid", ""},
		{"a value alone after both", []policy.TypeAndValue{{"1.3.6.1.4.1.99999.9", "a"}, {"", "b"}}, path + ": is invalid", ""},
		{"NIL", []policy.TypeAndValue{{"1.3.6.1.4.1.99999.8", "NIL"}}, "", "NIL"},
		{"NIL by its type", []policy.TypeAndValue{{"1.3.6.1.4.1.99999.8", ""}}, "", "NIL"},
		{"NIL in both ways", []policy.TypeAndValue{{"1.3.6.1.4.1.99999.8", ""}, {"1.3.6.1.4.1.99999.8", "NIL"}}, "", "NIL"},
		{"NIL with another value", []policy.TypeAndValue{{"1.3.6.1.4.1.99999.8", "0"}},
			path + ".1.3.6.1.4.1.99999.8: does not match the required format", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, fields := p.Evaluate(&policy.Request{
				Subject: map[string]string{"common_name": "x"}, SubjectDA: policy.SubjectDARequest{ExtraAttributes: tt.values},
			}, now)
			if got := words(fields); got != tt.want {
				t.Fatalf("refused by %q, want %q", got, tt.want)
			}
			text := ""
			if d != nil && d.Content.DirectoryAttributes != nil && len(d.Content.DirectoryAttributes.Extra) == 1 {
				text = d.Content.DirectoryAttributes.Extra[0].Value.Text
			}
			if text != tt.text {
				t.Errorf("the certificate has %q, want %q", text, tt.text)
			}
		})
	}
}
