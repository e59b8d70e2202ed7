package policy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

var identity = map[string]string{"organization": "Example Works", "country": "DE"}

// limits are those of an RSA series for TLS.
var limits = policy.Limits{EKUFamily: telamon.EKUTLS, KeyType: "RSA-2048"}

func fullModel(t testing.TB) *policy.Model {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "playground", "policies", "full.json"))
	if err != nil {
		t.Fatal(err)
	}
	template, err := policy.ParseModel(text)
	if err != nil {
		t.Fatalf("full.json: %v", err)
	}
	model, err := template.Bind(identity)
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// compile compiles the full policy after a change.
func compile(t testing.TB, change func(*policy.Model)) *policy.Policy {
	t.Helper()
	model := fullModel(t)
	if change != nil {
		change(model)
	}
	p, err := policy.Compile(model, limits)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return p
}

// words joins what is wrong with a request as the API would say it.
func words(fields []fault.Field) string {
	var all []string
	for _, f := range fields {
		all = append(all, f.Path+": "+f.Problem)
	}
	return strings.Join(all, "; ")
}

type edit = func(*policy.Request)

func i64(n int64) *int64 { return &n }

// TestMembers has every member of a request, given rightly and wrongly.
func TestMembers(t *testing.T) {
	subject := func(name, value string) edit { return func(r *policy.Request) { r.Subject[name] = value } }
	extension := func(id, value string) edit {
		return func(r *policy.Request) { r.CustomExtensions = map[string]string{id: value} }
	}
	usage := func(name string, value bool) edit {
		return func(r *policy.Request) { r.KeyUsages = map[string]bool{name: value} }
	}
	qc := func(change func(*policy.QCRequest)) edit {
		return func(r *policy.Request) { change(&r.QualifiedStatements) }
	}
	at := now.Unix()
	tests := []struct {
		name string
		edit edit
		want string // what is wrong, "" for nothing
	}{
		{"not_before now", func(r *policy.Request) { r.NotBefore = at }, ""},
		{"not_before at the negative skew", func(r *policy.Request) { r.NotBefore = at - 120 }, ""},
		{"not_before at the positive skew", func(r *policy.Request) { r.NotBefore = at + 3600 }, ""},
		{"not_before too early", func(r *policy.Request) { r.NotBefore = at - 121 }, "validity.not_before: is not allowed"},
		{"not_before too late", func(r *policy.Request) { r.NotBefore = at + 3601 }, "validity.not_before: is not allowed"},
		{"not_before of a zero Go time", func(r *policy.Request) { r.NotBefore = -62135596800 }, "validity.not_before: is not allowed"},
		{"not_after at the minimum", func(r *policy.Request) { r.NotAfter = at + 3600 }, ""},
		{"not_after below the minimum", func(r *policy.Request) { r.NotAfter = at + 3599 }, "validity.not_after: is too short"},
		{"not_after at the maximum", func(r *policy.Request) { r.NotAfter = at + 34214400 }, ""},
		{"not_after above the maximum", func(r *policy.Request) { r.NotAfter = at + 34214401 }, "validity.not_after: is too long"},
		{"not_after of a zero Go time", func(r *policy.Request) { r.NotAfter = -62135596800 }, "validity.not_after: is too short"},
		{"common_name missing", subject("common_name", ""), "subject_dn.common_name: is required"},
		{"common_name wrong", subject("common_name", "a/b"), "subject_dn.common_name: does not match the required format"},
		{"given_name", subject("given_name", "Åse"), ""},
		{"given_name wrong", subject("given_name", "1"), "subject_dn.given_name: does not match the required format"},
		{"given_name too long", subject("given_name", strings.Repeat("a", 65)), "subject_dn.given_name: is invalid"},
		{"surname", subject("surname", "Nordmann"), ""},
		{"surname wrong", subject("surname", "-"), "subject_dn.surname: does not match the required format"},
		{"organization as it is", subject("organization", "Example Works"), ""},
		{"organization another", subject("organization", "Evil"), "subject_dn.organization: is static"},
		{"organizational_unit", func(r *policy.Request) { r.OrganizationalUnits = []string{"Line 4", "Line 4", "Hall"} }, ""},
		{"organizational_unit too many", func(r *policy.Request) { r.OrganizationalUnits = []string{"a", "b", "c", "d"} },
			"subject_dn.organizational_unit: has to have between 0 and 3 items"},
		{"organizational_unit wrong", func(r *policy.Request) { r.OrganizationalUnits = []string{"a/b"} },
			"subject_dn.organizational_unit: does not match the required format"},
		{"organization_identifier", subject("organization_identifier", "NTRDE-HRB1"), ""},
		{"organization_identifier wrong", subject("organization_identifier", "HRB1"), "subject_dn.organization_identifier: does not match the required format"},
		{"country another", subject("country", "FR"), "subject_dn.country: is static"},
		{"country not a country, but static first", subject("country", "Fake"), "subject_dn.country: is static"},
		{"state", subject("state", "Bavaria"), ""},
		{"state wrong", subject("state", "1"), "subject_dn.state: does not match the required format"},
		{"locality", subject("locality", "Hof"), ""},
		{"locality wrong", subject("locality", "1"), "subject_dn.locality: does not match the required format"},
		{"street_address", subject("street_address", "Weg 1"), ""},
		{"street_address too long", subject("street_address", strings.Repeat("a", 129)), "subject_dn.street_address: is invalid"},
		{"postal_code", subject("postal_code", "12345"), ""},
		{"postal_code wrong", subject("postal_code", "1234"), "subject_dn.postal_code: does not match the required format"},
		{"email", subject("email", "ops@plant.example"), ""},
		{"email wrong", subject("email", "o ps@plant.example"), "subject_dn.email: is invalid"},
		{"pseudonym", subject("pseudonym", "Nobody"), ""},
		{"pseudonym with a control character", subject("pseudonym", "a\x00b"), "subject_dn.pseudonym: is invalid"},
		{"serial_number", subject("serial_number", "SN1234"), ""},
		{"serial_number wrong", subject("serial_number", "sn"), "subject_dn.serial_number: does not match the required format"},
		{"jurisdiction locality", subject("jurisdiction_of_incorporation_locality_name", "Hof"), ""},
		{"jurisdiction state", subject("jurisdiction_of_incorporation_state_or_province_name", "Bavaria"), ""},
		{"jurisdiction country", subject("jurisdiction_of_incorporation_country_name", "DE"), ""},
		{"jurisdiction country wrong", subject("jurisdiction_of_incorporation_country_name", "D1"),
			"subject_dn.jurisdiction_of_incorporation_country_name: does not match the required format"},
		{"business_category", subject("business_category", "Private Organization"), ""},
		{"a member that is not known", subject("shoe_size", "46"), "subject_dn.shoe_size: is forbidden"},
		{"extra_attributes", func(r *policy.Request) { r.ExtraAttributes = []policy.TypeAndValue{{"2.5.4.12", "controller"}} }, ""},
		{"extra_attributes too many", func(r *policy.Request) {
			r.ExtraAttributes = []policy.TypeAndValue{{"2.5.4.12", "a"}, {"2.5.4.12", "b"}}
		}, "subject_dn.extra_attributes.2.5.4.12: has to have between 0 and 1 items"},
		{"extra_attributes of another type", func(r *policy.Request) { r.ExtraAttributes = []policy.TypeAndValue{{"2.5.4.13", "a"}} },
			"subject_dn.extra_attributes.2.5.4.13: is forbidden"},
		{"dns_names", func(r *policy.Request) {
			r.SAN.DNSNames = []string{"a.plant.example", "*.plant.example", "A.b.Plant.Example."}
		}, ""},
		{"dns_names by pattern", func(r *policy.Request) { r.SAN.DNSNames = []string{"plant.example"} }, ""},
		{"dns_names outside", func(r *policy.Request) { r.SAN.DNSNames = []string{"evilplant.example"} }, "san.dns_names: does not match the required format"},
		{"dns_names not a name", func(r *policy.Request) { r.SAN.DNSNames = []string{"a b.plant.example"} }, "san.dns_names: is invalid"},
		{"emails", func(r *policy.Request) { r.SAN.Emails = []string{"Ops@Plant.example"} }, ""},
		{"emails outside", func(r *policy.Request) { r.SAN.Emails = []string{"ops@example.org"} }, "san.emails: does not match the required format"},
		{"emails not an address", func(r *policy.Request) { r.SAN.Emails = []string{"a@b@plant.example"} }, "san.emails: is invalid"},
		{"ip_addresses", func(r *policy.Request) { r.SAN.IPAddresses = []string{"192.0.2.1", "2001:db8::1"} }, ""},
		{"ip_addresses outside", func(r *policy.Request) { r.SAN.IPAddresses = []string{"10.0.0.1"} }, "san.ip_addresses: does not match the required format"},
		{"ip_addresses not an address", func(r *policy.Request) { r.SAN.IPAddresses = []string{"192.0.2.300"} }, "san.ip_addresses: is invalid"},
		{"uris", func(r *policy.Request) { r.SAN.URIs = []string{"urn:dev:17"} }, ""},
		{"uris outside", func(r *policy.Request) { r.SAN.URIs = []string{"https://example.org"} }, "san.uris: does not match the required format"},
		{"uris not a URI", func(r *policy.Request) { r.SAN.URIs = []string{"urn:dev: 17"} }, "san.uris: is invalid"},
		{"other_names", func(r *policy.Request) {
			r.SAN.OtherNames = []policy.TypeAndValue{{"1.3.6.1.4.1.311.20.2.3", "a@plant.example"}}
		}, ""},
		{"other_names wrong", func(r *policy.Request) { r.SAN.OtherNames = []policy.TypeAndValue{{"1.3.6.1.4.1.311.20.2.3", "a"}} },
			"san.other_names.1.3.6.1.4.1.311.20.2.3: does not match the required format"},
		{"other_names of another type", func(r *policy.Request) { r.SAN.OtherNames = []policy.TypeAndValue{{"1.2.3", "a"}} },
			"san.other_names.1.2.3: is forbidden"},
		{"digital_signature true", usage("digital_signature", true), ""},
		{"digital_signature false", usage("digital_signature", false), "key_usages.digital_signature: is static"},
		{"content_commitment false", usage("content_commitment", false), ""},
		{"content_commitment true", usage("content_commitment", true), "key_usages.content_commitment: is static"},
		{"key_encipherment", usage("key_encipherment", true), ""},
		{"data_encipherment true", usage("data_encipherment", true), "key_usages.data_encipherment: is static"},
		{"key_agreement", usage("key_agreement", true), ""},
		{"key_certificate_sign true", usage("key_certificate_sign", true), "key_usages.key_certificate_sign: is static"},
		{"crl_sign true", usage("crl_sign", true), "key_usages.crl_sign: is static"},
		{"encipher_only true", usage("encipher_only", true), "key_usages.encipher_only: is static"},
		{"decipher_only true", usage("decipher_only", true), "key_usages.decipher_only: is static"},
		{"a usage that is not known", usage("levitation", true), "key_usages.levitation: is forbidden"},
		{"extended_key_usages", func(r *policy.Request) { r.ExtendedKeyUsages = []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"} }, ""},
		{"extended_key_usages outside the family", func(r *policy.Request) { r.ExtendedKeyUsages = []string{"1.3.6.1.5.5.7.3.3"} },
			"extended_key_usages: is not allowed"},
		{"extended_key_usages any", func(r *policy.Request) { r.ExtendedKeyUsages = []string{"2.5.29.37.0"} }, "extended_key_usages: is not allowed"},
		{"extended_key_usages not an OID", func(r *policy.Request) { r.ExtendedKeyUsages = []string{"serverAuth"} },
			"extended_key_usages: does not match the required format"},
		{"extended_key_usages with a zero", func(r *policy.Request) {
			r.ExtendedKeyUsages = []string{"1.3.6.1.5.5.7.3.1", "01.3.6.1.5.5.7.3.1"}
		}, "extended_key_usages: does not match the required format"},
		{"gender", func(r *policy.Request) { r.SubjectDA.Gender = "F" }, ""},
		{"gender wrong", func(r *policy.Request) { r.SubjectDA.Gender = "X" }, "subject_da.gender: does not match the required format"},
		{"date_of_birth", func(r *policy.Request) { r.SubjectDA.DateOfBirth = "1971-10-14" }, ""},
		{"date_of_birth unset", func(r *policy.Request) { r.SubjectDA.DateOfBirth = "0001-01-01" }, ""},
		{"date_of_birth wrong", func(r *policy.Request) { r.SubjectDA.DateOfBirth = "14.10.1971" }, "subject_da.date_of_birth: is invalid"},
		{"place_of_birth", func(r *policy.Request) { r.SubjectDA.PlaceOfBirth = "Köln" }, ""},
		{"country_of_citizenship", func(r *policy.Request) { r.SubjectDA.CountryOfCitizenship = []string{"DE", "SE"} }, ""},
		{"country_of_citizenship wrong", func(r *policy.Request) { r.SubjectDA.CountryOfCitizenship = []string{"de"} },
			"subject_da.country_of_citizenship: does not match the required format"},
		{"country_of_residence", func(r *policy.Request) { r.SubjectDA.CountryOfResidence = []string{"FR"} }, ""},
		{"subject_da.extra_attributes", func(r *policy.Request) {
			r.SubjectDA.ExtraAttributes = []policy.TypeAndValue{{"1.3.6.1.4.1.99999.9", "x"}}
		}, ""},
		{"semantics.identifier", qc(func(q *policy.QCRequest) { q.SemanticsIdentifier = "0.4.0.194121.1.1" }), ""},
		{"semantics.identifier wrong", qc(func(q *policy.QCRequest) { q.SemanticsIdentifier = "1.2.3" }),
			"qualified_statements.semantics.identifier: does not match the required format"},
		{"name_authorities", qc(func(q *policy.QCRequest) { q.NameAuthorities = []string{"https://ra.example"} }), ""},
		{"etsi_qc_compliance", qc(func(q *policy.QCRequest) { q.Compliance = true }), ""},
		{"etsi_qc_sscd_compliance", qc(func(q *policy.QCRequest) { q.SSCDCompliance = true }), ""},
		{"etsi_qc_type", qc(func(q *policy.QCRequest) { q.Type = "0.4.0.1862.1.6.1" }), ""},
		{"etsi_qc_type wrong", qc(func(q *policy.QCRequest) { q.Type = "0.4.0.1862.1.6.9" }),
			"qualified_statements.etsi_qc_type: does not match the required format"},
		{"etsi_qc_retention_period", qc(func(q *policy.QCRequest) { q.RetentionPeriod = 30 }), ""},
		{"etsi_qc_retention_period too long", qc(func(q *policy.QCRequest) { q.RetentionPeriod = 31 }),
			"qualified_statements.etsi_qc_retention_period: is not allowed"},
		{"etsi_qc_pds as it is", qc(func(q *policy.QCRequest) { q.PDS = map[string]string{"en": "https://pds.example/en"} }), ""},
		{"etsi_qc_pds another", qc(func(q *policy.QCRequest) { q.PDS = map[string]string{"EN": "https://evil.example"} }),
			"qualified_statements.etsi_qc_pds: is static"},
		{"template", func(r *policy.Request) {
			r.MSTemplate = policy.MSTemplateRequest{ID: "1.3.6.1.4.1.311.21.8.1", MajorVersion: i64(100), MinorVersion: i64(0)}
		}, ""},
		{"template of another id", func(r *policy.Request) { r.MSTemplate.ID = "1.2.3" }, "ms_extension_template.id: does not match the required format"},
		{"template version too high", func(r *policy.Request) {
			r.MSTemplate = policy.MSTemplateRequest{ID: "1.3.6.1.4.1.311.21.8.1", MajorVersion: i64(201)}
		}, "ms_extension_template.major_version: is not allowed"},
		{"template version without id", func(r *policy.Request) { r.MSTemplate.MajorVersion = i64(1) }, "ms_extension_template.id: is required"},
		{"template minor without major", func(r *policy.Request) {
			r.MSTemplate = policy.MSTemplateRequest{ID: "1.3.6.1.4.1.311.21.8.1", MinorVersion: i64(1)}
		}, "ms_extension_template.major_version: is required"},
		{"extension NIL", extension("1.3.6.1.4.1.99999.1", "NIL"), ""},
		{"extension NIL wrong", extension("1.3.6.1.4.1.99999.1", "NULL"), "custom_extensions.1.3.6.1.4.1.99999.1: does not match the required format"},
		{"extension UTF8STRING", extension("1.3.6.1.4.1.99999.2", "some text"), ""},
		{"extension DER", extension("1.3.6.1.4.1.99999.3", "30030101ff"), ""},
		{"extension DER of two elements", extension("1.3.6.1.4.1.99999.3", "05000500"), "custom_extensions.1.3.6.1.4.1.99999.3: is invalid"},
		{"extension DER cut off", extension("1.3.6.1.4.1.99999.3", "3003"), "custom_extensions.1.3.6.1.4.1.99999.3: is invalid"},
		{"extension DER broken inside", extension("1.3.6.1.4.1.99999.3", "30030105ff"), "custom_extensions.1.3.6.1.4.1.99999.3: is invalid"},
		{"extension INTEGER", extension("1.3.6.1.4.1.99999.4", "-70000"), ""},
		{"extension IA5STRING wrong", extension("1.3.6.1.4.1.99999.5", "ä"), "custom_extensions.1.3.6.1.4.1.99999.5: is invalid"},
		{"extension PRINTABLESTRING static", extension("1.3.6.1.4.1.99999.6", "Other"), "custom_extensions.1.3.6.1.4.1.99999.6: is static"},
		{"extension not in the policy", extension("1.3.6.1.4.1.99999.7", "x"), "custom_extensions.1.3.6.1.4.1.99999.7: is forbidden"},
		{"signature.algorithm in any case", func(r *policy.Request) { r.SignatureAlgorithm = "rsa-pss" }, ""},
		{"signature.algorithm another", func(r *policy.Request) { r.SignatureAlgorithm = "ECDSA" }, "signature.algorithm: is not allowed"},
		{"signature.hash_algorithm", func(r *policy.Request) { r.HashAlgorithm = "sha-384" }, ""},
		{"signature.hash_algorithm another", func(r *policy.Request) { r.HashAlgorithm = "SHA-512" }, "signature.hash_algorithm: is not allowed"},
		{"everything at once, in order", func(r *policy.Request) {
			r.Subject = map[string]string{"country": "FR", "surname": "1"}
			r.NotAfter, r.HashAlgorithm = 1, "MD5"
		}, "validity.not_after: is too short; subject_dn.common_name: is required; subject_dn.country: is static; " +
			"subject_dn.surname: does not match the required format; signature.hash_algorithm: is not allowed"},
	}
	p := compile(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := &policy.Request{Subject: map[string]string{"common_name": "device"}}
			tt.edit(req)
			decision, fields := p.Evaluate(req, now)
			if got := words(fields); got != tt.want {
				t.Errorf("the request is refused by %q, want %q", got, tt.want)
			}
			if (decision == nil) != (tt.want != "") {
				t.Errorf("the decision is %v although %q is wrong", decision, tt.want)
			}
		})
	}
}

// TestPresence has every row of the evaluation table for a text.
func TestPresence(t *testing.T) {
	rule := func(presence policy.Presence, format string) *policy.Policy {
		return compile(t, func(m *policy.Model) {
			m.SubjectDN.Strings["state"] = policy.StringRule{Presence: presence, Format: format}
		})
	}
	tests := []struct {
		name   string
		policy *policy.Policy
		value  string
		want   string // the problem
		state  string // in the certificate
	}{
		{"OPTIONAL absent", rule(policy.Optional, "^a+$"), "", "", ""},
		{"OPTIONAL right", rule(policy.Optional, "^a+$"), "aa", "", "aa"},
		{"OPTIONAL wrong", rule(policy.Optional, "^a+$"), "ab", "does not match the required format", ""},
		{"OPTIONAL searched", rule(policy.Optional, "a"), "bab", "", "bab"},
		{"REQUIRED absent", rule(policy.Required, "^a+$"), "", "is required", ""},
		{"REQUIRED right", rule(policy.Required, "^a+$"), "a", "", "a"},
		{"REQUIRED wrong", rule(policy.Required, "^a+$"), "b", "does not match the required format", ""},
		{"FORBIDDEN absent", rule(policy.Forbidden, ""), "", "", ""},
		{"FORBIDDEN given", rule(policy.Forbidden, ""), "a", "is forbidden", ""},
		{"STATIC absent", rule(policy.Static, "Bavaria"), "", "", "Bavaria"},
		{"STATIC same", rule(policy.Static, "Bavaria"), "Bavaria", "", "Bavaria"},
		{"STATIC other", rule(policy.Static, "Bavaria"), "bavaria", "is static", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, fields := tt.policy.Evaluate(&policy.Request{Subject: map[string]string{"common_name": "x", "state": tt.value}}, now)
			want := ""
			if tt.want != "" {
				want = "subject_dn.state: " + tt.want
			}
			if got := words(fields); got != want {
				t.Fatalf("refused by %q, want %q", got, want)
			}
			if d == nil {
				return
			}
			state := ""
			for _, a := range d.Content.Subject {
				if a.Type.String() == "2.5.4.8" {
					state = a.Value.Text
				}
			}
			if state != tt.state {
				t.Errorf("the certificate has the state %q, want %q", state, tt.state)
			}
		})
	}
}

// TestLists has the rows of the evaluation table for lists, flags and algorithms.
func TestLists(t *testing.T) {
	dns := func(rule policy.ListRule) *policy.Policy {
		return compile(t, func(m *policy.Model) { m.SAN.DNSNames = rule })
	}
	static := policy.ListRule{Static: true, List: []string{"a.example", "b.example"}}
	anything := policy.ListRule{List: []string{"."}, MinCount: 1, MaxCount: 2}
	hash := func(presence policy.Presence, list ...string) *policy.Policy {
		return compile(t, func(m *policy.Model) { m.Signature.HashAlgorithm = policy.ChoiceRule{Presence: presence, List: list} })
	}
	names := func(names ...string) *policy.Request {
		return &policy.Request{Subject: map[string]string{"common_name": "x"}, SAN: policy.SANRequest{DNSNames: names}}
	}
	hashed := func(name string) *policy.Request {
		return &policy.Request{Subject: map[string]string{"common_name": "x"}, HashAlgorithm: name}
	}
	tests := []struct {
		name   string
		policy *policy.Policy
		req    *policy.Request
		want   string // the problem
		got    func(*policy.Decision) string
		value  string
	}{
		{"static absent", dns(static), names(), "", joinDNS, "a.example b.example"},
		{"static same set", dns(static), names("B.example", "a.example."), "", joinDNS, "a.example b.example"},
		{"static other", dns(static), names("a.example"), "san.dns_names: is static", nil, ""},
		{"below mincount", dns(anything), names(), "san.dns_names: has to have between 1 and 2 items", nil, ""},
		{"duplicates fold", dns(anything), names("a.example", "A.EXAMPLE", "a.example.", "b.example"), "", joinDNS, "a.example b.example"},
		{"above maxcount", dns(anything), names("a.example", "b.example", "c.example"), "san.dns_names: has to have between 1 and 2 items", nil, ""},
		{"empty list admits none", dns(policy.ListRule{MaxCount: 5}), names("a.example"), "san.dns_names: does not match the required format", nil, ""},
		{"the single dot is a pattern", dns(policy.ListRule{List: []string{"."}, MaxCount: 1}), names("a.example"), "", joinDNS, "a.example"},
		{"a suffix does not cover its own domain", dns(policy.ListRule{List: []string{".a.example"}, MaxCount: 1}), names("a.example"),
			"san.dns_names: does not match the required format", nil, ""},
		{"a suffix covers wildcards", dns(policy.ListRule{List: []string{".a.example"}, MaxCount: 1}), names("*.a.example"), "", joinDNS, "*.a.example"},
		{"hash OPTIONAL absent takes the first", hash(policy.Optional, "SHA-384", "SHA-256"), hashed(""), "", theHash, "SHA-384"},
		{"hash REQUIRED absent", hash(policy.Required, "SHA-256"), hashed(""), "signature.hash_algorithm: is required", nil, ""},
		{"hash REQUIRED given", hash(policy.Required, "SHA-256"), hashed("sha-256"), "", theHash, "SHA-256"},
		{"hash STATIC absent", hash(policy.Static, "SHA-512"), hashed(""), "", theHash, "SHA-512"},
		{"hash STATIC same", hash(policy.Static, "SHA-512"), hashed("SHA-512"), "", theHash, "SHA-512"},
		{"hash STATIC other", hash(policy.Static, "SHA-512"), hashed("SHA-256"), "signature.hash_algorithm: is static", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, fields := tt.policy.Evaluate(tt.req, now)
			if got := words(fields); got != tt.want {
				t.Fatalf("refused by %q, want %q", got, tt.want)
			}
			if d != nil && tt.got(d) != tt.value {
				t.Errorf("the decision has %q, want %q", tt.got(d), tt.value)
			}
		})
	}
}

func joinDNS(d *policy.Decision) string { return strings.Join(d.Content.SAN.DNSNames, " ") }

func theHash(d *policy.Decision) string { return d.HashAlgorithm }

func TestValidity(t *testing.T) {
	subject := map[string]string{"common_name": "x"}
	p := compile(t, func(m *policy.Model) { m.Validity.IssuerExpiry = now.Unix() + 7200 })
	d, fields := p.Evaluate(&policy.Request{Subject: subject}, now)
	if fields != nil || d.NotBefore != now || d.NotAfter != now.Add(2*time.Hour) {
		t.Errorf("without bounds the validity is %v, refused by %q; want now until the issuer expires", d, words(fields))
	}
	if _, fields := p.Evaluate(&policy.Request{Subject: subject, NotAfter: now.Unix() + 7201}, now); words(fields) != "validity.not_after: is too long" {
		t.Errorf("a certificate that outlives its issuer is refused by %q", words(fields))
	}
	model := fullModel(t)
	early, err := policy.Compile(model, policy.Limits{EKUFamily: telamon.EKUTLS, KeyType: "RSA-2048", IssuerExpiry: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if got := early.Model().Validity.IssuerExpiry; got != now.Unix()+3600 {
		t.Errorf("issuer_expiry is %d, want that of the issuer", got)
	}
	if model.Validity.IssuerExpiry != 2082758399 {
		t.Error("Compile changed the model that it was given")
	}
}

// TestOrder holds the order in which a subject is encoded.
func TestOrder(t *testing.T) {
	p := compile(t, nil)
	d, fields := p.Evaluate(&policy.Request{
		Subject:             map[string]string{"common_name": "x", "email": "a@plant.example", "state": "Bavaria", "surname": "N"},
		OrganizationalUnits: []string{"B", "A"}, ExtraAttributes: []policy.TypeAndValue{{"2.5.4.12", "t"}},
	}, now)
	if fields != nil {
		t.Fatal(words(fields))
	}
	var got []string
	for _, a := range d.Content.Subject {
		got = append(got, fmt.Sprintf("%s=%s:%s", a.Type, a.Value.Type, a.Value.Text))
	}
	want := []string{
		"2.5.4.6=PRINTABLESTRING:DE", "2.5.4.8=UTF8STRING:Bavaria", "2.5.4.10=UTF8STRING:Example Works", "2.5.4.11=UTF8STRING:B",
		"2.5.4.11=UTF8STRING:A", "2.5.4.3=UTF8STRING:x", "2.5.4.4=UTF8STRING:N", "1.2.840.113549.1.9.1=IA5STRING:a@plant.example",
		"2.5.4.12=UTF8STRING:t",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the subject is in another order (-want +got):\n%s", diff)
	}
}

func FuzzParseModel(f *testing.F) {
	full, err := os.ReadFile(filepath.Join("..", "playground", "policies", "full.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte(`{"subject_dn": {"common_name": {"presence": "STATIC", "format": "{{identity.x}}"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := policy.ParseModel(text)
		if err != nil {
			return
		}
		rendered, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("a policy that was read cannot be written: %v", err)
		}
		if _, err := policy.ParseModel(rendered); err != nil {
			t.Errorf("a policy that was written cannot be read: %v\n%s", err, rendered)
		}
		policy.Compile(m, limits) // must not panic
	})
}

func FuzzEvaluate(f *testing.F) {
	p := compile(f, nil)
	f.Add("device", "a.plant.example", "1.3.6.1.4.1.99999.3", "30030101ff", int64(0))
	f.Add("", "x", "1", "", int64(-62135596800))
	f.Fuzz(func(t *testing.T, name, dns, id, value string, notAfter int64) {
		req := &policy.Request{
			Subject: map[string]string{"common_name": name}, NotAfter: notAfter, CustomExtensions: map[string]string{id: value},
			SAN: policy.SANRequest{DNSNames: []string{dns}}, ExtendedKeyUsages: []string{id},
		}
		d, fields := p.Evaluate(req, now)
		again, sameFields := p.Evaluate(req, now)
		if (d == nil) != (len(fields) > 0) || words(fields) != words(sameFields) || (d == nil) != (again == nil) {
			t.Fatalf("the decision is %v with %q, then %v with %q", d, words(fields), again, words(sameFields))
		}
		if d == nil {
			return
		}
		if life := d.NotAfter.Sub(d.NotBefore); life < time.Hour || life > 34214400*time.Second {
			t.Errorf("the accepted validity is %s", life)
		}
		for _, dns := range d.Content.SAN.DNSNames {
			if !strings.HasSuffix(dns, ".plant.example") && dns != "plant.example" {
				t.Errorf("the name %q was accepted", dns)
			}
		}
		for _, eku := range d.Content.ExtKeyUsage.OIDs {
			if !telamon.EKUTLS.Allows(eku) {
				t.Errorf("the usage %s was accepted", eku)
			}
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	p := compile(b, nil)
	req := &policy.Request{
		Subject: map[string]string{"common_name": "device-17.plant.example"}, NotBefore: now.Unix(),
		SAN: policy.SANRequest{DNSNames: []string{"device-17.plant.example"}}, ExtendedKeyUsages: []string{"1.3.6.1.5.5.7.3.1"},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, fields := p.Evaluate(req, now); fields != nil {
			b.Fatal(words(fields))
		}
	}
}

// TestExtraAttributeBounds checks that a bound of RFC 5280 is a violation that
// names the attribute, also where the policy's format allows more.
func TestExtraAttributeBounds(t *testing.T) {
	for _, id := range []string{"2.5.4.11", "2.5.4.12", "2.5.4.17"} {
		p := compile(t, func(m *policy.Model) {
			m.SubjectDN.ExtraAttributes = policy.TypedRules{id: {ValueType: "UTF8STRING", ValueFormat: ".", MaxCount: 1}}
		})
		for n, want := range map[int]string{40: "", 65: "subject_dn.extra_attributes." + id + ": is invalid"} {
			_, fields := p.Evaluate(&policy.Request{
				Subject:         map[string]string{"common_name": "x"},
				ExtraAttributes: []policy.TypeAndValue{{Type: id, Value: strings.Repeat("a", n)}},
			}, now)
			if got := words(fields); got != want {
				t.Errorf("%d characters in %s: %q, want %q", n, id, got, want)
			}
		}
	}
}

// TestSpellingOfOIDs refuses identifiers that are not in their only spelling, also
// where the policy's patterns would take them: two spellings are no two usages.
func TestSpellingOfOIDs(t *testing.T) {
	p := compile(t, func(m *policy.Model) {
		m.ExtendedKeyUsages.EKUs = policy.ListRule{List: []string{"."}, MaxCount: 3}
	})
	for text, want := range map[string]string{
		"1.3.6.1.5.5.7.3.1":       "",
		"1.3.6.1.5.5.7.3.01":      "extended_key_usages: is invalid",
		"01.3.6.1.5.5.7.3.1":      "extended_key_usages: is invalid",
		"1.3.6.1.5.5.7.3.1.":      "extended_key_usages: is invalid",
		"1.3.6.1.5.5.7.000000003": "extended_key_usages: is invalid",
	} {
		_, fields := p.Evaluate(&policy.Request{
			Subject: map[string]string{"common_name": "x"}, ExtendedKeyUsages: []string{"1.3.6.1.5.5.7.3.1", text},
		}, now)
		if got := words(fields); got != want {
			t.Errorf("%s is refused by %q, want %q", text, got, want)
		}
	}
}

// TestRekeyValidity lets a rekey be shorter than the minimum, but not longer than
// the maximum, and not end before it starts. Accepted requests do not keep it.
func TestRekeyValidity(t *testing.T) {
	p := compile(t, nil)
	for seconds, want := range map[int64]string{
		1: "", 3599: "", 34214400: "", 0: "validity.not_after: is too short", -5: "validity.not_after: is too short",
		34214401: "validity.not_after: is too long",
	} {
		req := &policy.Request{Subject: map[string]string{"common_name": "x"}, NotAfter: now.Unix() + seconds, Rekey: true}
		if _, fields := p.Evaluate(req, now); words(fields) != want {
			t.Errorf("%d seconds are refused by %q, want %q", seconds, words(fields), want)
		}
	}
	text, err := json.Marshal(&policy.Request{Rekey: true})
	if err != nil || strings.Contains(string(text), "Rekey") {
		t.Errorf("a request is kept as %s, %v", text, err)
	}
}

// TestAgreementOnly refuses usages that say what a key is agreed for where it is
// not agreed at all.
func TestAgreementOnly(t *testing.T) {
	p := compile(t, func(m *policy.Model) {
		for _, name := range []string{"key_agreement", "encipher_only", "decipher_only"} {
			m.KeyUsages[name] = policy.BooleanOptional
		}
	})
	tests := []struct {
		name   string
		usages map[string]bool
		want   string
	}{
		{"agreement alone", map[string]bool{"key_agreement": true}, ""},
		{"agreement to encipher", map[string]bool{"key_agreement": true, "encipher_only": true}, ""},
		{"to encipher without agreement", map[string]bool{"encipher_only": true}, "key_usages.encipher_only: is not allowed"},
		{"to decipher without agreement", map[string]bool{"key_agreement": false, "decipher_only": true}, "key_usages.decipher_only: is not allowed"},
		{"no agreement and nothing else", map[string]bool{"encipher_only": false}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, fields := p.Evaluate(&policy.Request{Subject: map[string]string{"common_name": "x"}, KeyUsages: tt.usages}, now)
			if got := words(fields); got != tt.want {
				t.Errorf("refused by %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUsagesOfECDSA compiles a policy of ECDSA keys whose usages are such keys'.
func TestUsagesOfECDSA(t *testing.T) {
	compile(t, func(m *policy.Model) {
		m.PublicKey = policy.PublicKey{KeyType: "ECDSA", AllowedLengths: []int{256}, KeyFormat: "PKCS10"}
		m.KeyUsages["key_encipherment"] = policy.StaticFalse
		delete(m.KeyUsages, "data_encipherment")
	})
}

// TestStaticRepeats puts a static value into the certificate once, however often
// and in what spelling the policy has it. The policy is shown as it was written.
func TestStaticRepeats(t *testing.T) {
	static := func(list ...string) policy.ListRule {
		return policy.ListRule{Static: true, List: list, MinCount: 1, MaxCount: 3}
	}
	p := compile(t, func(m *policy.Model) {
		m.SubjectDN.OrganizationalUnits = static("Hall", "Line 4", "Hall")
		m.SAN.DNSNames = static("a.example", "A.Example.", "b.example")
		m.SAN.IPAddresses = static("2001:db8::1", "2001:DB8:0::1")
		m.ExtendedKeyUsages.EKUs = static("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.1")
	})
	for name, req := range map[string]*policy.Request{
		"not asked for": {Subject: map[string]string{"common_name": "x"}},
		"asked for": {
			Subject: map[string]string{"common_name": "x"}, OrganizationalUnits: []string{"Line 4", "Hall"},
			ExtendedKeyUsages: []string{"1.3.6.1.5.5.7.3.1"},
		},
	} {
		d, fields := p.Evaluate(req, now)
		if fields != nil {
			t.Fatalf("%s: refused by %q", name, words(fields))
		}
		var units []string
		for _, a := range d.Content.Subject {
			if a.Type.String() == "2.5.4.11" {
				units = append(units, a.Value.Text)
			}
		}
		if !slices.Equal(units, []string{"Hall", "Line 4"}) || joinDNS(d) != "a.example b.example" ||
			len(d.Content.SAN.IPAddresses) != 1 || len(d.Content.ExtKeyUsage.OIDs) != 1 {
			t.Errorf("%s: the certificate has the units %q, the names %+v and the usages %v", name, units, d.Content.SAN, d.Content.ExtKeyUsage.OIDs)
		}
	}
	if got := p.Model().SubjectDN.OrganizationalUnits.List; len(got) != 3 {
		t.Errorf("the policy shows %q", got)
	}
}
