package tbs_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// named returns content with a subject and nothing else.
func named(t testing.TB) telamon.Content {
	return telamon.Content{Subject: []telamon.Attribute{attribute(t, "2.5.4.3", telamon.UTF8String, "x")}}
}

// parse reads DER into what to points to, and all of it.
func parse(t testing.TB, der []byte, to any) {
	t.Helper()
	if rest, err := asn1.Unmarshal(der, to); err != nil || len(rest) > 0 {
		t.Fatalf("%x is read as %+v with the rest %x: %v", der, to, rest, err)
	}
}

func TestExtensionValues(t *testing.T) {
	const id = "1.3.6.1.4.1.99999.7"
	large := new(big.Int).Lsh(big.NewInt(1), 200)
	tests := []struct {
		name  string
		value telamon.TypedValue
		shown string // by openssl behind the length, empty if it is no string or number
		read  any    // by encoding/asn1
	}{
		{"UTF-8", telamon.TypedValue{Type: telamon.UTF8String, Text: "Köln 東京 🏭"}, "UTF8STRING :Köln 東京 🏭", "Köln 東京 🏭"},
		{"no text", telamon.TypedValue{Type: telamon.UTF8String}, "UTF8STRING :", ""},
		{"the whole of PrintableString", telamon.TypedValue{Type: telamon.PrintableString, Text: "AZ az 09 '()+,-./:=?"},
			"PRINTABLESTRING :AZ az 09 '()+,-./:=?", "AZ az 09 '()+,-./:=?"},
		{"IA5", telamon.TypedValue{Type: telamon.IA5String, Text: "a@b_*&~"}, "IA5STRING :a@b_*&~", "a@b_*&~"},
		{"zero", telamon.TypedValue{Type: telamon.Integer, Text: "0"}, "INTEGER :00", big.NewInt(0)},
		{"a sign bit to be kept clear", telamon.TypedValue{Type: telamon.Integer, Text: "128"}, "INTEGER :80", big.NewInt(128)},
		{"the smallest of one octet", telamon.TypedValue{Type: telamon.Integer, Text: "-128"}, "INTEGER :-80", big.NewInt(-128)},
		{"below one octet", telamon.TypedValue{Type: telamon.Integer, Text: "-129"}, "INTEGER :-81", big.NewInt(-129)},
		{"leading zeros", telamon.TypedValue{Type: telamon.Integer, Text: "007"}, "INTEGER :07", big.NewInt(7)},
		{"more than 64 bits", telamon.TypedValue{Type: telamon.Integer, Text: large.String()},
			"INTEGER :01" + strings.Repeat("00", 25), large},
		{"nothing at all", telamon.TypedValue{Type: telamon.Nil, Text: "NIL"}, "NULL", asn1.RawValue{Tag: 5, Bytes: []byte{}, FullBytes: []byte{5, 0}}},
		{"DER of a text", telamon.TypedValue{Type: telamon.DER, Text: "0C0178"}, "UTF8STRING :x", "x"},
		{"DER of a sequence", telamon.TypedValue{Type: telamon.DER, Text: "3006020101020102"}, "", []int{1, 2}},
		{"DER of an application's tag", telamon.TypedValue{Type: telamon.DER, Text: "4101ff"}, "appl [ 1 ]",
			asn1.RawValue{Class: 1, Tag: 1, Bytes: []byte{0xff}, FullBytes: []byte{0x41, 1, 0xff}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, critical := range []bool{false, true} {
				content := named(t)
				content.Extensions = []telamon.Extension{{ID: mustOID(t, id), Critical: critical, Value: tt.value}}
				cert := sealed(t, content)
				e := extensionOf(t, cert, id)
				if e.Critical != critical {
					t.Errorf("critical is %v, want %v", e.Critical, critical)
				}
				shown := newWorkshop(t).asn1(e.Value)
				if _, got, _ := strings.Cut(shown, "prim: "); tt.shown != "" && strings.Join(strings.Fields(got), " ") != tt.shown {
					t.Errorf("openssl shows %q, want %q", got, tt.shown)
				}
				readAs(t, e.Value, tt.read)
			}
		})
	}
}

// readAs holds that DER is read as want.
func readAs(t *testing.T, der []byte, want any) {
	t.Helper()
	switch want := want.(type) {
	case string:
		var got string
		parse(t, der, &got)
		if got != want {
			t.Errorf("%x is read as %q, want %q", der, got, want)
		}
	case *big.Int:
		var got *big.Int
		parse(t, der, &got)
		if got.Cmp(want) != 0 {
			t.Errorf("%x is read as %s, want %s", der, got, want)
		}
	case []int:
		var got []int
		parse(t, der, &got)
		if !slices.Equal(got, want) {
			t.Errorf("%x is read as %v, want %v", der, got, want)
		}
	case asn1.RawValue:
		var got asn1.RawValue
		parse(t, der, &got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%x is read otherwise (-want +got):\n%s", der, diff)
		}
	default:
		t.Fatalf("a %T is not compared", want)
	}
}

func TestValuesThatCannotBeEncoded(t *testing.T) {
	for _, v := range []telamon.TypedValue{
		{Type: telamon.UTF8String, Text: "\xff"},
		{Type: telamon.UTF8String, Text: "\xed\xa0\x80"}, // a surrogate
		{Type: telamon.PrintableString, Text: "a@b"},
		{Type: telamon.PrintableString, Text: "a_b"},
		{Type: telamon.PrintableString, Text: "*.example"},
		{Type: telamon.PrintableString, Text: "A&B"},
		{Type: telamon.PrintableString, Text: "ö"},
		{Type: telamon.IA5String, Text: "ö"},
		{Type: telamon.IA5String, Text: "\x80"},
		{Type: telamon.Integer, Text: ""},
		{Type: telamon.Integer, Text: "x"},
		{Type: telamon.Integer, Text: "0x10"},
		{Type: telamon.Integer, Text: "1e3"},
		{Type: telamon.Integer, Text: "1.0"},
		{Type: telamon.Integer, Text: " 1"},
		{Type: telamon.Integer, Text: "1_000"},
		{Type: telamon.DER, Text: ""},
		{Type: telamon.DER, Text: "0"},
		{Type: telamon.DER, Text: "xx"},
		{Type: telamon.DER, Text: "05000500"},   // two elements
		{Type: telamon.DER, Text: "0402ff"},     // cut short
		{Type: telamon.DER, Text: "30800000"},   // of indefinite length
		{Type: telamon.DER, Text: "048101ff"},   // a length of more octets than needed
		{Type: telamon.DER, Text: "05 00"},      // with a space
		{Type: telamon.DER, Text: "0x0500"},     // as C writes it
		{Type: "BMPSTRING", Text: "x"},          // of a type that policies do not have
		{Type: "utf8string", Text: "x"},         // in another case
		{Type: telamon.ValueType(""), Text: ""}, // of no type
	} {
		t.Run(string(v.Type)+" "+v.Text, func(t *testing.T) {
			content := named(t)
			content.Extensions = []telamon.Extension{{ID: mustOID(t, "1.3.6.1.4.1.99999.7"), Value: v}}
			refuses(t, content)
			refuses(t, telamon.Content{Subject: []telamon.Attribute{{Type: mustOID(t, "1.3.6.1.4.1.99999.7"), Value: v}}})
			refuses(t, telamon.Content{SAN: telamon.SubjectAltName{OtherNames: []telamon.Attribute{{Type: mustOID(t, "1.3.6.1.4.1.99999.7"), Value: v}}}})
			content = named(t)
			content.DirectoryAttributes = &telamon.SubjectDirectoryAttributes{Extra: []telamon.Attribute{{Type: mustOID(t, "1.3.6.1.4.1.99999.7"), Value: v}}}
			refuses(t, content)
		})
	}
}

func TestKeyUsage(t *testing.T) {
	tests := []struct {
		usage x509.KeyUsage
		value string // of the bit string, without zero bits behind the last
		shown string
	}{
		{x509.KeyUsageDigitalSignature, "03020780", "Digital Signature"},
		{x509.KeyUsageContentCommitment, "03020640", "Non Repudiation"},
		{x509.KeyUsageKeyEncipherment, "03020520", "Key Encipherment"},
		{x509.KeyUsageDataEncipherment, "03020410", "Data Encipherment"},
		{x509.KeyUsageKeyAgreement, "03020308", "Key Agreement"},
		{x509.KeyUsageCertSign, "03020204", "Certificate Sign"},
		{x509.KeyUsageCRLSign, "03020102", "CRL Sign"},
		{x509.KeyUsageEncipherOnly | x509.KeyUsageKeyAgreement, "03020009", "Key Agreement, Encipher Only"},
		{x509.KeyUsageDecipherOnly, "0303070080", "Decipher Only"},
		{1<<9 - 1, "030307ff80", "Digital Signature, Non Repudiation, Key Encipherment, Data Encipherment, Key Agreement, " +
			"Certificate Sign, CRL Sign, Encipher Only, Decipher Only"},
	}
	for _, tt := range tests {
		t.Run(tt.shown, func(t *testing.T) {
			content := named(t)
			content.KeyUsage = tt.usage
			cert := sealed(t, content)
			e := extensionOf(t, cert, "2.5.29.15")
			if !e.Critical || hex.EncodeToString(e.Value) != tt.value || cert.KeyUsage != tt.usage {
				t.Errorf("the usage is %b in %x, critical %v", cert.KeyUsage, e.Value, e.Critical)
			}
			out := openssl(t, cert, "x509", "-in", "FILE", "-noout", "-ext", "keyUsage")
			if want := "X509v3 Key Usage: critical\n    " + tt.shown + "\n"; out != want {
				t.Errorf("openssl shows %q, want %q", out, want)
			}
			facts, err := tbs.Inspect(cert.RawTBSCertificate)
			if err != nil || facts.KeyUsage != tt.usage {
				t.Errorf("Inspect finds %b, %v", facts.KeyUsage, err)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		for _, e := range sealed(t, named(t)).Extensions {
			if e.Id.String() == "2.5.29.15" || e.Id.String() == "2.5.29.37" || e.Id.String() == "2.5.29.17" {
				t.Errorf("it has the extension %s", e.Id)
			}
		}
	})
	t.Run("a tenth", func(t *testing.T) {
		content := named(t)
		content.KeyUsage = 1 << 9
		refuses(t, content)
	})
}

func TestAlternativeNames(t *testing.T) {
	san := func(s telamon.SubjectAltName) telamon.Content {
		content := named(t)
		content.SAN = s
		return content
	}
	t.Run("other names of every type", func(t *testing.T) {
		cert := sealed(t, san(telamon.SubjectAltName{OtherNames: []telamon.Attribute{
			attribute(t, "1.3.6.1.4.1.311.20.2.3", telamon.UTF8String, "user@plant.example"),
			attribute(t, "1.3.6.1.5.5.7.8.7", telamon.IA5String, "_xmpp.plant.example"),
			attribute(t, "1.3.6.1.4.1.99999.8", telamon.PrintableString, "A-1"),
			attribute(t, "1.3.6.1.4.1.99999.8", telamon.Integer, "-1"),
			attribute(t, "1.3.6.1.4.1.99999.8", telamon.DER, "3003020105"),
			attribute(t, "1.3.6.1.4.1.99999.8", telamon.Nil, "NIL"),
		}}))
		var names []asn1.RawValue
		parse(t, extensionOf(t, cert, "2.5.29.17").Value, &names)
		type otherName struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue // the [0] and within it the value
		}
		want := []string{
			"1.3.6.1.4.1.311.20.2.3=0c12" + hex.EncodeToString([]byte("user@plant.example")),
			"1.3.6.1.5.5.7.8.7=1613" + hex.EncodeToString([]byte("_xmpp.plant.example")),
			"1.3.6.1.4.1.99999.8=1303412d31", "1.3.6.1.4.1.99999.8=0201ff", "1.3.6.1.4.1.99999.8=3003020105", "1.3.6.1.4.1.99999.8=0500",
		}
		var got []string
		for _, name := range names {
			var other otherName
			rest, err := asn1.UnmarshalWithParams(name.FullBytes, &other, "tag:0")
			if err != nil || len(rest) > 0 {
				t.Fatalf("%x: %v", name.FullBytes, err)
			}
			got = append(got, other.Type.String()+"="+hex.EncodeToString(other.Value.Bytes))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the names are others (-want +got):\n%s", diff)
		}
		out := openssl(t, cert, "x509", "-in", "FILE", "-noout", "-ext", "subjectAltName")
		if !strings.Contains(out, "UPN::user@plant.example") || strings.Count(strings.ToLower(out), "othername:") != 6 {
			t.Errorf("openssl shows %s", out)
		}
	})
	t.Run("addresses", func(t *testing.T) {
		cert := sealed(t, san(telamon.SubjectAltName{IPAddresses: []netip.Addr{
			netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("::"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1"),
		}}))
		const want = "30308704000000008710000000000000000000000000000000008704c0000201871020010db8000000000000000000000001"
		if got := hex.EncodeToString(extensionOf(t, cert, "2.5.29.17").Value); got != want {
			t.Errorf("the names are %s, want %s", got, want)
		}
		if !cert.IPAddresses[2].Equal(cert.IPAddresses[2].To4()) || len(cert.IPAddresses) != 4 {
			t.Errorf("crypto/x509 reads %s", cert.IPAddresses)
		}
	})
	for name, s := range map[string]telamon.SubjectAltName{
		"no address":          {IPAddresses: []netip.Addr{{}}},
		"an empty name":       {DNSNames: []string{""}},
		"a U-label":           {DNSNames: []string{"bücher.example"}},
		"an e-mail in UTF-8":  {Emails: []string{"ö@plant.example"}},
		"a URI in UTF-8":      {URIs: []string{"https://ö.example"}},
		"another without oid": {OtherNames: []telamon.Attribute{{Value: telamon.TypedValue{Type: telamon.Nil}}}},
	} {
		t.Run(name, func(t *testing.T) { refuses(t, san(s)) })
	}
}

func TestDirectoryAttributes(t *testing.T) {
	type directoryAttribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
	tests := []struct {
		name string
		sda  telamon.SubjectDirectoryAttributes
		want []string // type and the one value
	}{
		{"a date of birth in its zone", telamon.SubjectDirectoryAttributes{DateOfBirth: time.Date(1899, 12, 31, 23, 59, 0, 0, time.FixedZone("west", -12*3600))},
			[]string{"1.3.6.1.5.5.7.9.1=24:18991231120000Z"}},
		{"a place of birth", telamon.SubjectDirectoryAttributes{PlaceOfBirth: "Köln"}, []string{"1.3.6.1.5.5.7.9.2=12:Köln"}},
		{"a gender", telamon.SubjectDirectoryAttributes{Gender: "m"}, []string{"1.3.6.1.5.5.7.9.3=19:m"}},
		{"countries", telamon.SubjectDirectoryAttributes{CountryOfCitizenship: []string{"SE", "DE"}, CountryOfResidence: []string{"FR"}},
			[]string{"1.3.6.1.5.5.7.9.4=19:SE", "1.3.6.1.5.5.7.9.4=19:DE", "1.3.6.1.5.5.7.9.5=19:FR"}},
		{"others", telamon.SubjectDirectoryAttributes{Extra: []telamon.Attribute{
			attribute(t, "2.5.4.12", telamon.UTF8String, "engineer"), attribute(t, "1.3.6.1.4.1.99999.9", telamon.DER, "1e020041")}},
			[]string{"2.5.4.12=12:engineer", "1.3.6.1.4.1.99999.9=30:\x00A"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			content := named(t)
			content.DirectoryAttributes = &tt.sda
			cert := sealed(t, content)
			e := extensionOf(t, cert, "2.5.29.9")
			var attributes []directoryAttribute
			parse(t, e.Value, &attributes)
			var got []string
			for _, a := range attributes {
				if len(a.Values) != 1 {
					t.Errorf("%s has %d values", a.Type, len(a.Values))
				}
				got = append(got, a.Type.String()+"="+big.NewInt(int64(a.Values[0].Tag)).String()+":"+string(a.Values[0].Bytes))
			}
			if !slices.Equal(got, tt.want) || e.Critical {
				t.Errorf("the attributes are %q, critical %v, want %q", got, e.Critical, tt.want)
			}
			if lines := strings.Count(newWorkshop(t).asn1(e.Value), "OBJECT"); lines != len(tt.want) {
				t.Errorf("openssl shows %d attributes, want %d", lines, len(tt.want))
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		content := named(t)
		content.DirectoryAttributes = &telamon.SubjectDirectoryAttributes{}
		for _, e := range sealed(t, content).Extensions {
			if e.Id.String() == "2.5.29.9" {
				t.Errorf("it has the extension with %x", e.Value)
			}
		}
	})
	for name, sda := range map[string]telamon.SubjectDirectoryAttributes{
		"another gender":      {Gender: "X"},
		"two letters":         {Gender: "MF"},
		"a gender in UTF-8":   {Gender: "ö"},
		"a country in UTF-8":  {CountryOfResidence: []string{"Ö!"}},
		"a birth beyond time": {DateOfBirth: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			content := named(t)
			content.DirectoryAttributes = &sda
			refuses(t, content)
		})
	}
}

func TestQCStatements(t *testing.T) {
	semantics, kind, years, none := mustOID(t, "0.4.0.194121.1.2"), mustOID(t, "0.4.0.1862.1.6.2"), 30, 0
	tests := []struct {
		name       string
		statements telamon.QCStatements
		want       string
		shown      []string // among openssl's lines
	}{
		{"compliance", telamon.QCStatements{Compliance: true}, "300a3008060604008e460101", []string{"OBJECT            :0.4.0.1862.1.1"}},
		{"a device", telamon.QCStatements{SSCD: true}, "300a3008060604008e460104", []string{":0.4.0.1862.1.4"}},
		{"a type", telamon.QCStatements{Type: &kind}, "30153013060604008e4601063009060704008e46010602", []string{":0.4.0.1862.1.6.2"}},
		{"retention", telamon.QCStatements{RetentionYears: &years}, "300d300b060604008e46010302011e", []string{"INTEGER           :1E"}},
		{"retention of no years", telamon.QCStatements{RetentionYears: &none}, "300d300b060604008e460103020100", []string{"INTEGER           :00"}},
		{"semantics", telamon.QCStatements{SemanticsID: &semantics}, "3017301506082b06010505070b023009060704008bec490102", []string{":0.4.0.194121.1.2"}},
		{"name authorities alone", telamon.QCStatements{NameAuthorities: []string{"urn:a", "urn:b"}},
			"301e301c06082b06010505070b023010300e860575726e3a61860575726e3a62", []string{"cont [ 6 ]"}},
		{"disclosure in two languages", telamon.QCStatements{PDS: []telamon.PDSLocation{{Language: "de", URL: "http://d"}, {Language: "en", URL: "http://e"}}},
			"302c302a060604008e4601053020" + "300e1608" + hex.EncodeToString([]byte("http://d")) + "13026465" +
				"300e1608" + hex.EncodeToString([]byte("http://e")) + "1302656e", []string{"IA5STRING         :http://d", "PRINTABLESTRING   :de"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			content := named(t)
			content.QCStatements = &tt.statements
			e := extensionOf(t, sealed(t, content), "1.3.6.1.5.5.7.1.3")
			if e.Critical || hex.EncodeToString(e.Value) != tt.want {
				t.Errorf("the statements are %x, critical %v, want %s", e.Value, e.Critical, tt.want)
			}
			out := newWorkshop(t).asn1(e.Value)
			for _, line := range tt.shown {
				if !strings.Contains(out, line) {
					t.Errorf("openssl does not show %q in\n%s", line, out)
				}
			}
		})
	}
	for name, statements := range map[string]telamon.QCStatements{
		"a language by its name":      {PDS: []telamon.PDSLocation{{Language: "eng", URL: "http://e"}}},
		"a language that is none":     {PDS: []telamon.PDSLocation{{Language: "e_", URL: "http://e"}}},
		"disclosure at a UTF-8 place": {PDS: []telamon.PDSLocation{{Language: "en", URL: "http://ö"}}},
		"an authority in UTF-8":       {NameAuthorities: []string{"http://ö"}},
		"semantics without arcs":      {SemanticsID: &x509.OID{}},
		"a type without arcs":         {Type: &x509.OID{}},
	} {
		t.Run(name, func(t *testing.T) {
			content := named(t)
			content.QCStatements = &statements
			refuses(t, content)
		})
	}
}

func TestMicrosoftTemplate(t *testing.T) {
	n := func(i int) *int { return &i }
	type template struct {
		ID           asn1.ObjectIdentifier
		Major, Minor int64 `asn1:"optional,default:-1"`
	}
	id := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 21, 8, 1}
	tests := []struct {
		name         string
		major, minor *int
		critical     bool
		want         template
	}{
		{"the identifier alone", nil, nil, false, template{id, -1, -1}},
		{"a major version", n(100), nil, false, template{id, 100, -1}},
		{"both versions", n(100), n(0), true, template{id, 100, 0}},
		{"the largest versions", n(1<<32 - 1), n(1<<32 - 1), false, template{id, 1<<32 - 1, 1<<32 - 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			content := named(t)
			content.Template = &telamon.MicrosoftTemplate{Critical: tt.critical, ID: mustOID(t, id.String()), MajorVersion: tt.major, MinorVersion: tt.minor}
			e := extensionOf(t, sealed(t, content), "1.3.6.1.4.1.311.21.7")
			var got template
			parse(t, e.Value, &got)
			if diff := cmp.Diff(tt.want, got); diff != "" || e.Critical != tt.critical {
				t.Errorf("the template is another, critical %v (-want +got):\n%s", e.Critical, diff)
			}
			if out := newWorkshop(t).asn1(e.Value); !strings.Contains(out, ":1.3.6.1.4.1.311.21.8.1\n") {
				t.Errorf("openssl shows\n%s", out)
			}
		})
	}
	for name, tt := range map[string]telamon.MicrosoftTemplate{
		"a minor version alone": {ID: mustOID(t, "1.2.3"), MinorVersion: n(1)},
		"a negative version":    {ID: mustOID(t, "1.2.3"), MajorVersion: n(-1)},
		"a version of 33 bits":  {ID: mustOID(t, "1.2.3"), MajorVersion: n(1), MinorVersion: n(1 << 32)},
		"no identifier":         {MajorVersion: n(1)},
	} {
		t.Run(name, func(t *testing.T) {
			content := named(t)
			content.Template = &tt
			refuses(t, content)
		})
	}
}

// TestIssuersExtensions tests what the issuer adds.
func TestIssuersExtensions(t *testing.T) {
	issuer, issuerKey := root(t, tbs.ECP256, "", "")
	template := leafTemplate(t, issuer, issuerKey, named(t))
	template.CRLURLs = []string{"http://a.example/1.crl", "http://b.example/1.crl"}
	template.OCSPURLs, template.CAIssuersURLs = []string{"http://a.example/ocsp"}, nil
	template.PolicyOIDs = []x509.OID{mustOID(t, "2.23.140.1.2.1"), mustOID(t, "1.3.6.1.4.1.99999.1.1")}
	cert := issue(t, template, issuerKey)
	if !slices.Equal(cert.CRLDistributionPoints, template.CRLURLs) || !slices.Equal(cert.OCSPServer, template.OCSPURLs) || cert.IssuingCertificateURL != nil {
		t.Errorf("the status URLs are %q, %q, %q", cert.CRLDistributionPoints, cert.OCSPServer, cert.IssuingCertificateURL)
	}
	if !slices.EqualFunc(cert.Policies, template.PolicyOIDs, x509.OID.Equal) {
		t.Errorf("the policies are %v", cert.Policies)
	}
	out := openssl(t, cert, "x509", "-in", "FILE", "-noout", "-ext", "crlDistributionPoints,authorityInfoAccess,certificatePolicies")
	for _, want := range []string{"URI:http://a.example/1.crl\n      URI:http://b.example/1.crl\n", "OCSP - URI:http://a.example/ocsp\n",
		"Policy: 2.23.140.1.2.1\n    Policy: 1.3.6.1.4.1.99999.1.1\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("openssl does not show %q in\n%s", want, out)
		}
	}
	if strings.Count(out, "Full Name") != 1 {
		t.Errorf("there is not one distribution point in\n%s", out)
	}
	if !bytes.Equal(cert.AuthorityKeyId, issuer.SubjectKeyId) || !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		t.Error("it does not name its issuer")
	}
	for name, change := range map[string]func(*tbs.Template){
		"a CRL over TLS":               func(l *tbs.Template) { l.CRLURLs = []string{"https://a.example/1.crl"} },
		"a responder over TLS":         func(l *tbs.Template) { l.OCSPURLs = []string{"https://a.example/ocsp"} },
		"an issuer by its path":        func(l *tbs.Template) { l.CAIssuersURLs = []string{"/ca.cer"} },
		"an issuer without a host":     func(l *tbs.Template) { l.CAIssuersURLs = []string{"http:///ca.cer"} },
		"a CRL in UTF-8":               func(l *tbs.Template) { l.CRLURLs = []string{"http://ö.example/1.crl"} },
		"a policy without arcs":        func(l *tbs.Template) { l.PolicyOIDs = []x509.OID{{}} },
		"a usage without arcs":         func(l *tbs.Template) { l.Content.ExtKeyUsage.OIDs = []x509.OID{{}} },
		"a serial number of zero":      func(l *tbs.Template) { l.Serial = telamon.Serial{} },
		"no key":                       func(l *tbs.Template) { l.PublicKey = nil },
		"no signature algorithm":       func(l *tbs.Template) { l.Signature = nil },
		"a key that is none":           func(l *tbs.Template) { l.PublicKey = &tbs.PublicKey{SPKI: []byte{0x30, 0}} },
		"an issuer without identifier": func(l *tbs.Template) { l.Issuer = &x509.Certificate{RawSubject: issuer.RawSubject} },
	} {
		t.Run(name, func(t *testing.T) {
			changed := *template
			change(&changed)
			if der, err := tbs.Build(&changed); err == nil {
				t.Errorf("Build = %x, want an error", der)
			}
		})
	}
}

// TestAuthorities tests the basic constraints.
func TestAuthorities(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ca     *tbs.CAConstraints
		value  string // empty: no extension
		length int
	}{
		{"a leaf", nil, "", -1},
		{"without a limit", &tbs.CAConstraints{MaxPathLen: -1}, "30030101ff", -1},
		{"of leaves alone", &tbs.CAConstraints{MaxPathLen: 0}, "30060101ff020100", 0},
		{"of authorities", &tbs.CAConstraints{MaxPathLen: 1}, "30060101ff020101", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer, issuerKey := root(t, tbs.ECP256, "", "")
			template := leafTemplate(t, issuer, issuerKey, named(t))
			template.CA = tt.ca
			cert := issue(t, template, issuerKey)
			facts, err := tbs.Inspect(cert.RawTBSCertificate)
			if err != nil || facts.IsCA != (tt.ca != nil) || facts.MaxPathLen != tt.length {
				t.Errorf("Inspect finds %+v, %v", facts, err)
			}
			if cert.IsCA != facts.IsCA || cert.BasicConstraintsValid != facts.IsCA {
				t.Errorf("crypto/x509 finds a CA: %v, %v", cert.IsCA, cert.BasicConstraintsValid)
			}
			if tt.value == "" {
				return
			}
			if e := extensionOf(t, cert, "2.5.29.19"); !e.Critical || hex.EncodeToString(e.Value) != tt.value {
				t.Errorf("the constraints are %x, critical %v", e.Value, e.Critical)
			}
		})
	}
}
