package atlas

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/ra"
)

// TestDecodeEveryMember reads a request that has every member of the API.
func TestDecodeEveryMember(t *testing.T) {
	const body = `{
		"validity": {"not_before": 1767225600, "not_after": 1775001600},
		"subject_dn": {
			"common_name": "cn", "given_name": "gn", "surname": "sn", "organization": "o", "organizational_unit": ["ou1", "ou2"],
			"organization_identifier": "oid", "country": "DE", "state": "st", "locality": "l", "street_address": "sa",
			"postal_code": "pc", "email": "e", "pseudonym": "p", "serial_number": "no",
			"jurisdiction_of_incorporation_locality_name": "jl", "jurisdiction_of_incorporation_state_or_province_name": "js",
			"jurisdiction_of_incorporation_country_name": "jc", "business_category": "bc",
			"extra_attributes": [{"type": "2.5.4.12", "value": "title"}, {"type": "2.5.4.13"}]
		},
		"san": {
			"dns_names": ["a.example", "a.example"], "emails": ["a@b.example"], "ip_addresses": ["192.0.2.1", "2001:db8::1"],
			"uris": ["urn:dev:17"], "other_names": [{"type": "1.3.6.1.4.1.311.20.2.3", "value": "upn"}]
		},
		"key_usages": {
			"digital_signature": true, "content_commitment": false, "key_encipherment": true, "data_encipherment": false,
			"key_agreement": true, "key_certificate_sign": false, "crl_sign": true, "encipher_only": false, "decipher_only": true
		},
		"extended_key_usages": ["1.3.6.1.5.5.7.3.1"],
		"subject_da": {
			"gender": "F", "date_of_birth": "1970-01-31", "place_of_birth": "Ulm", "country_of_citizenship": ["DE"],
			"country_of_residence": ["FR", "JP"], "extra_attributes": [{"type": "1.2.3", "value": "v"}]
		},
		"qualified_statements": {
			"semantics": {"identifier": "0.4.0.194121.1.1", "name_authorities": ["urn:a"]},
			"etsi_qc_compliance": true, "etsi_qc_sscd_compliance": true, "etsi_qc_type": "0.4.0.1862.1.6.1",
			"etsi_qc_retention_period": 10, "etsi_qc_pds": {"EN": "https://pds.example/en", "DE": "https://pds.example/de"}
		},
		"ms_extension_template": {"id": "1.3.6.1.4.1.311.21.8.1", "major_version": 100, "minor_version": 0},
		"custom_extensions": {"1.3.6.1.4.1.99999.1": "NIL", "1.3.6.1.4.1.99999.2": "text"},
		"signature": {"algorithm": "rsa-pss", "hash_algorithm": "Sha-384"},
		"public_key": "PEM\r\n", "public_key_signature": "MEYCIQ=="
	}`
	major, minor := int64(100), int64(0)
	want := &ra.CertificateRequest{
		Policy: policy.Request{
			NotBefore: 1767225600, NotAfter: 1775001600,
			Subject: map[string]string{
				"common_name": "cn", "given_name": "gn", "surname": "sn", "organization": "o", "organization_identifier": "oid",
				"country": "DE", "state": "st", "locality": "l", "street_address": "sa", "postal_code": "pc", "email": "e",
				"pseudonym": "p", "serial_number": "no", "jurisdiction_of_incorporation_locality_name": "jl",
				"jurisdiction_of_incorporation_state_or_province_name": "js",
				"jurisdiction_of_incorporation_country_name":           "jc", "business_category": "bc",
			},
			OrganizationalUnits: []string{"ou1", "ou2"},
			ExtraAttributes:     []policy.TypeAndValue{{Type: "2.5.4.12", Value: "title"}, {Type: "2.5.4.13"}},
			SAN: policy.SANRequest{
				DNSNames: []string{"a.example", "a.example"}, Emails: []string{"a@b.example"},
				IPAddresses: []string{"192.0.2.1", "2001:db8::1"}, URIs: []string{"urn:dev:17"},
				OtherNames: []policy.TypeAndValue{{Type: "1.3.6.1.4.1.311.20.2.3", Value: "upn"}},
			},
			KeyUsages: map[string]bool{
				"digital_signature": true, "content_commitment": false, "key_encipherment": true, "data_encipherment": false,
				"key_agreement": true, "key_certificate_sign": false, "crl_sign": true, "encipher_only": false, "decipher_only": true,
			},
			ExtendedKeyUsages: []string{"1.3.6.1.5.5.7.3.1"},
			SubjectDA: policy.SubjectDARequest{
				Gender: "F", DateOfBirth: "1970-01-31", PlaceOfBirth: "Ulm", CountryOfCitizenship: []string{"DE"},
				CountryOfResidence: []string{"FR", "JP"}, ExtraAttributes: []policy.TypeAndValue{{Type: "1.2.3", Value: "v"}},
			},
			QualifiedStatements: policy.QCRequest{
				SemanticsIdentifier: "0.4.0.194121.1.1", NameAuthorities: []string{"urn:a"}, Compliance: true, SSCDCompliance: true,
				Type: "0.4.0.1862.1.6.1", RetentionPeriod: 10,
				PDS: map[string]string{"EN": "https://pds.example/en", "DE": "https://pds.example/de"},
			},
			MSTemplate:         policy.MSTemplateRequest{ID: "1.3.6.1.4.1.311.21.8.1", MajorVersion: &major, MinorVersion: &minor},
			CustomExtensions:   map[string]string{"1.3.6.1.4.1.99999.1": "NIL", "1.3.6.1.4.1.99999.2": "text"},
			SignatureAlgorithm: "RSA-PSS", HashAlgorithm: "SHA-384",
		},
		PublicKey: "PEM\r\n", PublicKeySignature: "MEYCIQ==",
	}
	got, err := decodeCertificateRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the request differs (-want +got):\n%s", diff)
	}
}

// TestDecodeAbsent holds the ways of saying "absent" against a request that leaves
// everything out.
func TestDecodeAbsent(t *testing.T) {
	empty := &ra.CertificateRequest{}
	for _, body := range []string{
		`{}`,
		"\ufeff{}\n",
		`{"validity":null,"subject_dn":null,"san":null,"key_usages":null,"extended_key_usages":null,"subject_da":null,
		  "qualified_statements":null,"ms_extension_template":null,"custom_extensions":null,"signature":null,"public_key":null,"public_key_signature":null}`,
		`{"validity":{},"subject_dn":{},"san":{},"key_usages":{},"extended_key_usages":[],"subject_da":{},
		  "qualified_statements":{},"ms_extension_template":{},"custom_extensions":{},"signature":{},"public_key":"","public_key_signature":""}`,
		`{"validity":{"not_before":0,"not_after":0}}`,
		`{"validity":[],"subject_dn":"","san":[],"key_usages":[],"extended_key_usages":{},"public_key":[]}`,
		`{"subject_dn":{"common_name":null,"country":"","organizational_unit":[],"extra_attributes":null}}`,
		`{"san":{"dns_names":[],"emails":null,"other_names":[{}]}}`,
		`{"san":{"dns_names":["",null],"other_names":[{"type":"","value":null}]}}`,
		`{"key_usages":{"digital_signature":null}}`,
		`{"subject_da":{"date_of_birth":"0001-01-01"}}`,
		`{"qualified_statements":{"semantics":{"identifier":"","name_authorities":[]},"etsi_qc_compliance":false,
		  "etsi_qc_sscd_compliance":false,"etsi_qc_type":"","etsi_qc_retention_period":0,"etsi_qc_pds":{"EN":""}}}`,
		`{"custom_extensions":{"1.2.3":null,"1.2.4":""}}`,
		`{"unknown":1,"subject_dn":{"nick_name":"x"},"key_usages":{"any":true}}`,
	} {
		got, err := decodeCertificateRequest([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if diff := cmp.Diff(empty, got); diff != "" {
			t.Errorf("%s is not absent (-want +got):\n%s", body, diff)
		}
	}
}

func TestDecodeExplicitFalse(t *testing.T) {
	got, err := decodeCertificateRequest([]byte(`{"key_usages":{"crl_sign":false}}`))
	if err != nil {
		t.Fatal(err)
	}
	if value, given := got.Policy.KeyUsages["crl_sign"]; value || !given {
		t.Errorf("an explicit false is %v, given %v; want false and given", value, given)
	}
}

func TestDecodeMalformed(t *testing.T) {
	tests := []struct{ name, body, path string }{
		{"nothing", ``, "body"},
		{"broken off", `{"validity":`, "body"},
		{"two values", `{} {}`, "body"},
		{"no object", `[]`, "body"},
		{"null", `null`, "body"},
		{"text", `"{}"`, "body"},
		{"not UTF-8", "{\"public_key\":\"\xff\"}", "body"},
		{"half a surrogate pair", `{"public_key":"\ud800"}`, "body"},
		{"a member twice", `{"public_key":"a","public_key":"a"}`, "body"},
		{"twice inside", `{"san":{"uris":[],"uris":[]}}`, "body"},
		{"too deep", strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40), "body"},
		{"trailing comma", `{"san":{"uris":["a",]}}`, "body"},
		{"fraction", `{"validity":{"not_before":60.5}}`, "validity.not_before"},
		{"exponent", `{"validity":{"not_after":1e9}}`, "validity.not_after"},
		{"text for a time", `{"validity":{"not_after":"1767225600"}}`, "validity.not_after"},
		{"too large", `{"validity":{"not_after":9223372036854775808}}`, "validity.not_after"},
		{"number for a text", `{"subject_dn":{"common_name":7}}`, "subject_dn.common_name"},
		{"false for a text", `{"subject_dn":{"common_name":false}}`, "subject_dn.common_name"},
		{"text for a list", `{"san":{"dns_names":"a.example"}}`, "san.dns_names"},
		{"number in a list", `{"san":{"dns_names":["a.example",5]}}`, "san.dns_names[1]"},
		{"text for a pair", `{"san":{"other_names":["1.2.3"]}}`, "san.other_names[0]"},
		{"number in a pair", `{"san":{"other_names":[{"type":"1.2.3","value":5}]}}`, "san.other_names[0].value"},
		{"text for true", `{"key_usages":{"crl_sign":"true"}}`, "key_usages.crl_sign"},
		{"number for true", `{"qualified_statements":{"etsi_qc_compliance":1}}`, "qualified_statements.etsi_qc_compliance"},
		{"list for an object", `{"custom_extensions":["1.2.3"]}`, "custom_extensions"},
		{"number for an extension", `{"custom_extensions":{"1.2.3":5}}`, "custom_extensions.1.2.3"},
		{"number for an object", `{"signature":256}`, "signature"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeCertificateRequest([]byte(tt.body))
			f := fault.From(err)
			if got != nil || f == nil || f.Kind != fault.Malformed || len(f.Fields) == 0 || f.Fields[0].Path != tt.path {
				t.Errorf("%s: %v, %v; want Malformed for %s", tt.body, got, err, tt.path)
			}
		})
	}
	t.Run("a few are named", func(t *testing.T) {
		_, err := decodeCertificateRequest([]byte(`{"extended_key_usages":[` + strings.Repeat("1,", 1000) + `1]}`))
		if f := fault.From(err); f == nil || len(f.Fields) != maxReported {
			t.Errorf("%v, want %d fields", err, maxReported)
		}
	})
}

func TestDecodeLogin(t *testing.T) {
	tests := []struct {
		name, body  string
		key, secret string
		malformed   bool
	}{
		{"as clients send it", `{"api_key":"k","api_secret":"s"}`, "k", "s", false},
		{"as the guide prints it", `{"key":"k","secret":"s"}`, "k", "s", false},
		{"one of each", `{"api_key":"k","secret":"s"}`, "k", "s", false},
		{"both", `{"api_key":"k","key":"x","api_secret":"s","secret":"x"}`, "k", "s", false},
		{"one of them absent", `{"api_key":"","key":"k","api_secret":null,"secret":"s"}`, "k", "s", false},
		{"no secret", `{"api_key":"k","comment":5}`, "k", "", false},
		{"number", `{"api_key":16,"api_secret":"s"}`, "", "", true},
		{"no JSON", `api_key=k`, "", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, secret, err := decodeLogin([]byte(tt.body))
			if key != tt.key || secret != tt.secret || (err != nil) != tt.malformed || err != nil && !fault.Is(err, fault.Malformed) {
				t.Errorf("%s: %q, %q, %v; want %q, %q, malformed %v", tt.body, key, secret, err, tt.key, tt.secret, tt.malformed)
			}
		})
	}
}

func TestDecodeRevocation(t *testing.T) {
	const time1 = 1767300000
	at := time.Unix(time1, 0).UTC()
	tests := []struct {
		name, body string
		want       ra.Revocation
		problem    string // of the fault, "" for none
	}{
		{"all", `{"revocation_reason":"keyCompromise","revocation_time":1767300000,"key_compromise_attestation":"csr"}`,
			ra.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: at, Attestation: "csr"}, ""},
		{"reason alone", `{"revocation_reason":"superseded"}`, ra.Revocation{Reason: telamon.ReasonSuperseded}, ""},
		{"capital", `{"revocation_reason":"Unspecified"}`, ra.Revocation{Reason: telamon.ReasonUnspecified}, ""},
		{"upper case", `{"revocation_reason":"CESSATIONOFOPERATION"}`, ra.Revocation{Reason: telamon.ReasonCessationOfOperation}, ""},
		{"no time", `{"revocation_reason":"keyCompromise","revocation_time":0}`, ra.Revocation{Reason: telamon.ReasonKeyCompromise}, ""},
		{"time of another reason", `{"revocation_reason":"privilegeWithdrawn","revocation_time":9223372036854775807}`,
			ra.Revocation{Reason: telamon.ReasonPrivilegeWithdrawn}, ""},
		{"no reason", `{}`, ra.Revocation{}, "revocation_reason: is required"},
		{"empty reason", `{"revocation_reason":""}`, ra.Revocation{}, "revocation_reason: is required"},
		{"unknown reason", `{"revocation_reason":"certificateHold"}`, ra.Revocation{}, "revocation_reason: is invalid"},
		{"no time at all", `{"revocation_reason":"keyCompromise","revocation_time":9223372036854775807}`, ra.Revocation{}, "revocation_time: is invalid"},
		{"text for a time", `{"revocation_reason":"keyCompromise","revocation_time":"now"}`, ra.Revocation{}, "Bad Request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeRevocation([]byte(tt.body))
			problem := ""
			if err != nil {
				problem = fault.From(err).Detail
			}
			if got != tt.want || problem != tt.problem {
				t.Errorf("%s: %+v, %q; want %+v, %q", tt.body, got, problem, tt.want, tt.problem)
			}
		})
	}
}

func TestDecodeRekey(t *testing.T) {
	tests := []struct {
		name, body string
		want       ra.RekeyRequest
	}{
		{"custom_clm", `{"public_key":"csr","signature":null,"public_key_signature":""}`, ra.RekeyRequest{PublicKey: "csr"}},
		{"all", `{"public_key":"k","public_key_signature":"s","signature":{"algorithm":"ecdsa","hash_algorithm":"sha-512"},"san":{"uris":["x"]}}`,
			ra.RekeyRequest{PublicKey: "k", PublicKeySignature: "s", SignatureAlgorithm: "ECDSA", HashAlgorithm: "SHA-512"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := decodeRekey([]byte(tt.body)); err != nil || *got != tt.want {
				t.Errorf("%s: %+v, %v; want %+v", tt.body, got, err, tt.want)
			}
		})
	}
}
