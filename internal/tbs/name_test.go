package tbs_test

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// sealed returns a leaf with this content, issued by a root of P-256.
func sealed(t testing.TB, content telamon.Content) *x509.Certificate {
	t.Helper()
	issuer, issuerKey := root(t, tbs.ECP256, "", "")
	return issue(t, leafTemplate(t, issuer, issuerKey, content), issuerKey)
}

// refuses holds that Build refuses this content.
func refuses(t testing.TB, content telamon.Content) {
	t.Helper()
	issuer, issuerKey := root(t, tbs.ECP256, "", "")
	if der, err := tbs.Build(leafTemplate(t, issuer, issuerKey, content)); err == nil || der != nil {
		t.Errorf("Build = %x, %v, want an error alone", der, err)
	}
}

// bounds are the upper bounds of RFC 5280, Appendix A.1, and of X.520 for what is
// not there, in characters.
var bounds = []struct {
	oid   string
	value telamon.ValueType
	bound int
}{
	{"2.5.4.3", telamon.UTF8String, 64},
	{"2.5.4.4", telamon.UTF8String, 64},
	{"2.5.4.5", telamon.PrintableString, 64},
	{"2.5.4.6", telamon.PrintableString, 2},
	{"2.5.4.7", telamon.UTF8String, 128},
	{"2.5.4.8", telamon.UTF8String, 128},
	{"2.5.4.9", telamon.UTF8String, 128},
	{"2.5.4.10", telamon.UTF8String, 64},
	{"2.5.4.11", telamon.UTF8String, 64},
	{"2.5.4.12", telamon.UTF8String, 64},
	{"2.5.4.15", telamon.UTF8String, 128},
	{"2.5.4.17", telamon.UTF8String, 40},
	{"2.5.4.42", telamon.UTF8String, 64},
	{"2.5.4.65", telamon.UTF8String, 128},
	{"2.5.4.97", telamon.UTF8String, 256},
	{"1.2.840.113549.1.9.1", telamon.IA5String, 255},
	{"1.3.6.1.4.1.311.60.2.1.1", telamon.UTF8String, 128},
	{"1.3.6.1.4.1.311.60.2.1.2", telamon.UTF8String, 128},
	{"1.3.6.1.4.1.311.60.2.1.3", telamon.PrintableString, 2},
}

// longest returns a text of so many characters, which take two octets each where
// the type allows it.
func longest(value telamon.ValueType, n int) string {
	if value == telamon.UTF8String {
		return strings.Repeat("ö", n)
	}
	return strings.Repeat("A", n)
}

func TestUpperBounds(t *testing.T) {
	var content telamon.Content
	for _, b := range bounds {
		content.Subject = append(content.Subject, attribute(t, b.oid, b.value, longest(b.value, b.bound)))
	}
	cert := sealed(t, content)
	structure := newWorkshop(t).asn1(cert.RawSubject)
	for i, b := range bounds {
		if got, ok := tbs.UpperBound(b.oid); !ok || got != b.bound {
			t.Errorf("UpperBound(%s) = %d, %v, want %d", b.oid, got, ok, b.bound)
		}
		want := longest(b.value, b.bound)
		if got := cert.Subject.Names[i]; got.Type.String() != b.oid || got.Value != want {
			t.Errorf("attribute %d is %s=%v, want %s=%s", i, got.Type, got.Value, b.oid, want)
		}
		kind := map[telamon.ValueType]string{
			telamon.UTF8String: "UTF8STRING", telamon.PrintableString: "PRINTABLESTRING", telamon.IA5String: "IA5STRING",
		}[b.value]
		if line := fmt.Sprintf("l=%4d prim:    %-18s:%s\n", len(want), kind, want); !strings.Contains(structure, line) {
			t.Errorf("openssl does not show %s of %s in\n%s", kind, b.oid, structure)
		}
		t.Run(b.oid, func(t *testing.T) {
			for _, n := range []int{0, b.bound + 1} {
				refuses(t, telamon.Content{Subject: []telamon.Attribute{attribute(t, b.oid, b.value, longest(b.value, n))}})
			}
		})
	}
}

// TestUpperBoundOfDER holds that the bound of a value that is given as DER is that
// of its text, not of the hexadecimal digits.
func TestUpperBoundOfDER(t *testing.T) {
	der := func(tag byte, text string) telamon.Attribute {
		return attribute(t, "2.5.4.11", telamon.DER, hex.EncodeToString(append([]byte{tag, 0x81, byte(len(text))}, text...)))
	}
	short := func(tag byte, text string) telamon.Attribute {
		return attribute(t, "2.5.4.11", telamon.DER, hex.EncodeToString(append([]byte{tag, byte(len(text))}, text...)))
	}
	cert := sealed(t, telamon.Content{Subject: []telamon.Attribute{der(0x0c, strings.Repeat("ö", 64)), short(0x13, strings.Repeat("A", 64))}})
	if got := cert.Subject.OrganizationalUnit; len(got) != 2 || got[0] != strings.Repeat("ö", 64) || got[1] != strings.Repeat("A", 64) {
		t.Errorf("the units are %q", got)
	}
	for _, unit := range []telamon.Attribute{der(0x0c, strings.Repeat("ö", 65)), short(0x13, strings.Repeat("A", 65)), short(0x13, "")} {
		refuses(t, telamon.Content{Subject: []telamon.Attribute{unit}})
	}
}

func TestNames(t *testing.T) {
	t.Run("an attribute without a bound", func(t *testing.T) {
		const id = "0.9.2342.19200300.100.1.25" // domainComponent
		if n, ok := tbs.UpperBound(id); ok {
			t.Errorf("UpperBound = %d", n)
		}
		text := strings.Repeat("a", 4096)
		cert := sealed(t, telamon.Content{Subject: []telamon.Attribute{attribute(t, id, telamon.IA5String, text)}})
		if got := cert.Subject.Names[0].Value; got != text {
			t.Errorf("the attribute is %v", got)
		}
	})
	t.Run("attributes in their order, repeated", func(t *testing.T) {
		cert := sealed(t, telamon.Content{Subject: []telamon.Attribute{
			attribute(t, "2.5.4.11", telamon.UTF8String, "b"), attribute(t, "2.5.4.3", telamon.UTF8String, "x"), attribute(t, "2.5.4.11", telamon.UTF8String, "a"),
		}})
		out := openssl(t, cert, "x509", "-in", "FILE", "-noout", "-subject", "-nameopt", "oneline,-space_eq")
		if strings.TrimSpace(out) != "subject=OU=b, CN=x, OU=a" {
			t.Errorf("openssl shows %s", out)
		}
	})
	t.Run("an attribute without a type", func(t *testing.T) {
		refuses(t, telamon.Content{Subject: []telamon.Attribute{{Value: telamon.TypedValue{Type: telamon.UTF8String, Text: "x"}}}})
	})
}

// TestEmptySubject holds that alternative names stand in for a subject, and are
// critical then (RFC 5280, Section 4.2.1.6).
func TestEmptySubject(t *testing.T) {
	for _, critical := range []bool{false, true} {
		cert := sealed(t, telamon.Content{SAN: telamon.SubjectAltName{Critical: critical, DNSNames: []string{"a.example"}}})
		if hex.EncodeToString(cert.RawSubject) != "3000" || len(cert.DNSNames) != 1 || cert.DNSNames[0] != "a.example" {
			t.Errorf("the subject is %x, the names are %q", cert.RawSubject, cert.DNSNames)
		}
		out := openssl(t, cert, "x509", "-in", "FILE", "-noout", "-text")
		if !strings.Contains(out, "Subject Alternative Name: critical\n                DNS:a.example\n") || !strings.Contains(out, "Subject: \n") {
			t.Errorf("openssl shows\n%s", out)
		}
	}
	t.Run("with a subject", func(t *testing.T) {
		for _, critical := range []bool{false, true} {
			cert := sealed(t, telamon.Content{
				Subject: []telamon.Attribute{attribute(t, "2.5.4.3", telamon.UTF8String, "x")},
				SAN:     telamon.SubjectAltName{Critical: critical, URIs: []string{"urn:x"}},
			})
			out := openssl(t, cert, "x509", "-in", "FILE", "-noout", "-text")
			if strings.Contains(out, "Subject Alternative Name: critical\n") != critical {
				t.Errorf("critical %v: openssl shows\n%s", critical, out)
			}
		}
	})
	t.Run("without names", func(t *testing.T) { refuses(t, telamon.Content{KeyUsage: x509.KeyUsageDigitalSignature}) })
	t.Run("of a CA", func(t *testing.T) {
		issuer, issuerKey := root(t, tbs.ECP256, "", "")
		template := leafTemplate(t, issuer, issuerKey, telamon.Content{SAN: telamon.SubjectAltName{DNSNames: []string{"a.example"}}})
		template.CA = &tbs.CAConstraints{}
		if der, err := tbs.Build(template); err == nil {
			t.Errorf("Build = %x, want an error", der)
		}
	})
}

// TestValidity holds that times are UTCTime through 2049 and GeneralizedTime from
// 2050 on (RFC 5280, Section 4.1.2.5).
func TestValidity(t *testing.T) {
	east := time.FixedZone("east", 9*3600)
	tests := []struct {
		name          string
		before, after time.Time
		want          string // what openssl shows, empty if refused
	}{
		{"in the years of UTCTime", time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC),
			"UTCTIME :500101000000Z, UTCTIME :491231235959Z"},
		{"across 2050", notBefore, time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), "UTCTIME :261122100000Z, GENERALIZEDTIME :20500101000000Z"},
		{"after 2050", time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2050, 1, 1, 0, 0, 1, 0, time.UTC),
			"GENERALIZEDTIME :20500101000000Z, GENERALIZEDTIME :20500101000001Z"},
		{"before 1950", time.Date(1949, 12, 31, 23, 59, 59, 0, time.UTC), notAfter, "GENERALIZEDTIME :19491231235959Z, UTCTIME :271122095959Z"},
		{"without an end", notBefore, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "UTCTIME :261122100000Z, GENERALIZEDTIME :99991231235959Z"},
		{"2050 in the east alone", notBefore, time.Date(2050, 1, 1, 8, 59, 59, 0, east), "UTCTIME :261122100000Z, UTCTIME :491231235959Z"},
		{"a leap day", time.Date(2028, 2, 29, 12, 0, 0, 0, east), time.Date(2052, 2, 29, 0, 0, 0, 0, time.UTC),
			"UTCTIME :280229030000Z, GENERALIZEDTIME :20520229000000Z"},
		{"beyond 9999", notBefore, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		{"before the year 0", time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), notAfter, ""},
		{"a part of a second", notBefore.Add(time.Millisecond), notAfter, ""},
		{"a part of a second at the end", notBefore, notAfter.Add(time.Nanosecond), ""},
		{"nothing", notBefore, notBefore, ""},
		{"backwards", notAfter, notBefore, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			issuer, issuerKey := root(t, tbs.ECP256, "", "")
			template := leafTemplate(t, issuer, issuerKey, fullContent(t))
			template.NotBefore, template.NotAfter = tt.before, tt.after
			if tt.want == "" {
				if der, err := tbs.Build(template); err == nil {
					t.Fatalf("Build = %x, want an error", der)
				}
				return
			}
			cert := issue(t, template, issuerKey)
			var times []string
			for line := range strings.Lines(openssl(t, cert, "asn1parse", "-in", "FILE")) {
				if _, shown, ok := strings.Cut(line, "prim: "); ok && strings.Contains(line, "TIME ") {
					times = append(times, strings.Join(strings.Fields(shown), " "))
				}
			}
			if got := strings.Join(times, ", "); got != tt.want {
				t.Errorf("openssl shows %s, want %s", got, tt.want)
			}
			facts, err := tbs.Inspect(cert.RawTBSCertificate)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range [][2]time.Time{{cert.NotBefore, cert.NotAfter}, {facts.NotBefore, facts.NotAfter}} {
				if !got[0].Equal(tt.before) || !got[1].Equal(tt.after) {
					t.Errorf("the validity is from %s to %s", got[0], got[1])
				}
			}
		})
	}
}
