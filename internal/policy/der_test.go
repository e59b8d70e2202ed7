package policy_test

import (
	"testing"

	"github.com/telamon-ca/telamon/internal/policy"
)

// TestDER has the contents of each type that a DER value may hold.
func TestDER(t *testing.T) {
	tests := []struct {
		name string
		der  string
		ok   bool
	}{
		{"BOOLEAN true", "0101ff", true},
		{"BOOLEAN false", "010100", true},
		{"BOOLEAN of BER", "010105", false},
		{"BOOLEAN of two octets", "0102ffff", false},
		{"INTEGER zero", "020100", true},
		{"INTEGER 255", "020200ff", true},
		{"INTEGER -128", "020180", true},
		{"INTEGER 127 with a zero", "0202007f", false},
		{"INTEGER -1 with a sign", "0202ffff", false},
		{"INTEGER without content", "0200", false},
		{"ENUMERATED with a zero", "0a020001", false},
		{"BIT STRING", "03020780", true},
		{"BIT STRING empty", "030100", true},
		{"BIT STRING without content", "0300", false},
		{"BIT STRING of eight unused bits", "03020800", false},
		{"BIT STRING of unused bits of nothing", "030101", false},
		{"BIT STRING with unused bits that are set", "030207c0", false},
		{"OCTET STRING", "0402e9ff", true},
		{"OCTET STRING in parts", "2403040100", false},
		{"NULL", "0500", true},
		{"NULL with content", "050100", false},
		{"OID", "06032a0304", true},
		{"OID of large arcs", "06042a867f01", true},
		{"OID without content", "0600", false},
		{"OID cut off", "06022a86", false},
		{"OID with a zero septet", "06032a8001", false},
		{"RELATIVE-OID", "0d0101", true},
		{"UTF8String", "0c02c3a4", true},
		{"UTF8String that is not UTF-8", "0c01ff", false},
		{"PrintableString", "130141", true},
		{"PrintableString of other characters", "1303e9e9e9", false},
		{"PrintableString with an at sign", "130140", false},
		{"IA5String", "160140", true},
		{"IA5String above ASCII", "1601e9", false},
		{"NumericString", "12023120", true},
		{"NumericString with a letter", "120141", false},
		{"VisibleString", "1a0141", true},
		{"VisibleString with a control character", "1a0107", false},
		{"BMPString", "1e020041", true},
		{"BMPString of half a character", "1e0141", false},
		{"BMPString with a surrogate", "1e02d800", false},
		{"UniversalString", "1c0400000041", true},
		{"UniversalString beyond Unicode", "1c0400110000", false},
		{"UniversalString of half a character", "1c020041", false},
		{"UTCTime", "170d3236313132323130303030305a", true},
		{"UTCTime of no date", "170d3236313333323130303030305a", false},
		{"GeneralizedTime", "180f32303236313132323130303030305a", true},
		{"GeneralizedTime with a fraction", "181132303236313132323130303030302e305a", false},
		{"end of contents", "0000", false},
		{"REAL", "090100", false},
		{"SEQUENCE that is primitive", "1000", false},
		{"SEQUENCE that is empty", "3000", true},
		{"SET", "31030101ff", true},
		{"SEQUENCE with a bad BOOLEAN", "3003010105", false},
		{"a bad UTF8String four levels down", "3009a007300531030c01ff", false},
		{"a bad BOOLEAN under a context tag", "a003010105", false},
		{"context tag of anything", "8002ffff", true},
		{"length that is not minimal", "04810141", false},
		{"indefinite length", "30800000", false},
	}
	p := compile(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const id = "1.3.6.1.4.1.99999.3"
			d, fields := p.Evaluate(&policy.Request{
				Subject: map[string]string{"common_name": "x"}, CustomExtensions: map[string]string{id: tt.der},
			}, now)
			want := ""
			if !tt.ok {
				want = "custom_extensions." + id + ": is invalid"
			}
			if got := words(fields); got != want || (d != nil) != tt.ok {
				t.Errorf("%s is refused by %q, want %q", tt.der, got, want)
			}
		})
	}
}
