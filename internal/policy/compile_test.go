package policy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/globalsign/hvclient"
	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
)

func TestCompileRefuses(t *testing.T) {
	ext := func(id string, rule policy.ExtensionRule) func(*policy.Model) {
		return func(m *policy.Model) { m.CustomExtensions[id] = rule }
	}
	text := policy.ExtensionRule{Presence: policy.Optional, ValueType: telamon.UTF8String, ValueFormat: "."}
	tests := []struct {
		name   string
		change func(*policy.Model)
		path   string
	}{
		{"empty presence", func(m *policy.Model) { m.SubjectDN.Strings["state"] = policy.StringRule{} }, "subject_dn.state.presence"},
		{"empty static text", func(m *policy.Model) { m.SubjectDN.Strings["state"] = policy.StringRule{Presence: policy.Static} }, "subject_dn.state.format"},
		{"static country that is none", func(m *policy.Model) {
			m.SubjectDN.Strings["country"] = policy.StringRule{Presence: policy.Static, Format: "Germany"}
		}, "subject_dn.country.format"},
		{"bad pattern", func(m *policy.Model) {
			m.SubjectDN.Strings["state"] = policy.StringRule{Presence: policy.Optional, Format: "("}
		}, "subject_dn.state.format"},
		{"FORBIDDEN hash", func(m *policy.Model) { m.Signature.HashAlgorithm.Presence = policy.Forbidden }, "signature.hash_algorithm.presence"},
		{"no hash", func(m *policy.Model) { m.Signature.HashAlgorithm.List = nil }, "signature.hash_algorithm.list"},
		{"SHA-1", func(m *policy.Model) { m.Signature.HashAlgorithm.List = []string{"SHA-1"} }, "signature.hash_algorithm.list"},
		{"an algorithm of another key", func(m *policy.Model) { m.Signature.Algorithm.List = []string{"ECDSA"} }, "signature.algorithm.list"},
		{"extension under 2.5.29", ext("2.5.29.19", text), "custom_extensions.2.5.29.19"},
		{"extension under PKIX", ext("1.3.6.1.5.5.7.1.1", text), "custom_extensions.1.3.6.1.5.5.7.1.1"},
		{"no check by OCSP", ext("1.3.6.1.5.5.7.48.1.5", text), "custom_extensions.1.3.6.1.5.5.7.48.1.5"},
		{"extension of CT", ext("1.3.6.1.4.1.11129.2.4.2", text), "custom_extensions.1.3.6.1.4.1.11129.2.4.2"},
		{"extension of the template", ext("1.3.6.1.4.1.311.21.7", text), "custom_extensions.1.3.6.1.4.1.311.21.7"},
		{"extension without an OID", ext("one.two", text), "custom_extensions.one.two"},
		{"extension under 2.5.29 with a zero", ext("02.5.29.17", text), "custom_extensions.02.5.29.17"},
		{"extension under 2.5.29 with a zero within", ext("2.5.029.17", text), "custom_extensions.2.5.029.17"},
		{"common name of DER", func(m *policy.Model) {
			m.SubjectDN.ExtraAttributes["2.5.4.3"] = policy.TypedRule{ValueType: telamon.DER, ValueFormat: ".", MaxCount: 1}
		}, "subject_dn.extra_attributes.2.5.4.3.value_type"},
		{"e-mail of DER", func(m *policy.Model) {
			m.SubjectDN.ExtraAttributes["1.2.840.113549.1.9.1"] = policy.TypedRule{ValueType: telamon.DER, ValueFormat: ".", MaxCount: 1}
		}, "subject_dn.extra_attributes.1.2.840.113549.1.9.1.value_type"},
		{"unit of DER", func(m *policy.Model) {
			m.SubjectDN.ExtraAttributes["2.5.4.11"] = policy.TypedRule{ValueType: telamon.DER, ValueFormat: ".", MaxCount: 1}
		}, "subject_dn.extra_attributes.2.5.4.11.value_type"},
		{"title of NIL", func(m *policy.Model) {
			m.SubjectDN.ExtraAttributes["2.5.4.12"] = policy.TypedRule{ValueType: telamon.Nil, ValueFormat: ".", MaxCount: 1}
		}, "subject_dn.extra_attributes.2.5.4.12.value_type"},
		{"attribute with a zero", func(m *policy.Model) {
			m.SubjectDN.ExtraAttributes["2.5.4.03"] = policy.TypedRule{ValueType: telamon.UTF8String, ValueFormat: ".", MaxCount: 1}
		}, "subject_dn.extra_attributes.2.5.4.03"},
		{"static DER of two elements", ext("1.3.6.1.4.1.99999.8", policy.ExtensionRule{
			Presence: policy.Static, ValueType: telamon.DER, ValueFormat: "05000500"}), "custom_extensions.1.3.6.1.4.1.99999.8.format"},
		{"unknown value type", ext("1.3.6.1.4.1.99999.8", policy.ExtensionRule{
			Presence: policy.Optional, ValueType: "BMPSTRING"}), "custom_extensions.1.3.6.1.4.1.99999.8.value_type"},
		{"keyCertSign", func(m *policy.Model) { m.KeyUsages["key_certificate_sign"] = policy.BooleanOptional }, "key_usages.key_certificate_sign"},
		{"cRLSign", func(m *policy.Model) { m.KeyUsages["crl_sign"] = policy.StaticTrue }, "key_usages.crl_sign"},
		{"keyEncipherment of an ECDSA key", func(m *policy.Model) {
			m.PublicKey = policy.PublicKey{KeyType: "ECDSA", AllowedLengths: []int{256}, KeyFormat: "PKCS10"}
		}, "key_usages.key_encipherment"},
		{"dataEncipherment of an ECDSA key", func(m *policy.Model) {
			m.PublicKey = policy.PublicKey{KeyType: "ECDSA", AllowedLengths: []int{256}, KeyFormat: "PKCS10"}
			m.KeyUsages["data_encipherment"] = policy.StaticTrue
		}, "key_usages.data_encipherment"},
		{"encipherOnly of no agreement", func(m *policy.Model) {
			m.KeyUsages["encipher_only"], m.KeyUsages["key_agreement"] = policy.StaticTrue, policy.StaticFalse
		}, "key_usages.encipher_only"},
		{"an unknown flag", func(m *policy.Model) { m.KeyUsages["key_agreement"] = "MAYBE" }, "key_usages.key_agreement"},
		{"static anyExtendedKeyUsage", func(m *policy.Model) {
			m.ExtendedKeyUsages.EKUs = policy.ListRule{Static: true, List: []string{"2.5.29.37.0"}}
		}, "extended_key_usages.ekus.list"},
		{"static EKU outside the family", func(m *policy.Model) {
			m.ExtendedKeyUsages.EKUs = policy.ListRule{Static: true, List: []string{"1.3.6.1.5.5.7.3.3"}}
		}, "extended_key_usages.ekus.list"},
		{"no range of validity", func(m *policy.Model) { m.Validity.SecondsMin = m.Validity.SecondsMax + 1 }, "validity"},
		{"no range of items", func(m *policy.Model) { m.SAN.URIs.MinCount = 6 }, "san.uris"},
		{"items that nothing matches", func(m *policy.Model) { m.SAN.URIs.List, m.SAN.URIs.MinCount = nil, 1 }, "san.uris.list"},
		{"static items fewer than mincount", func(m *policy.Model) {
			m.SAN.DNSNames = policy.ListRule{Static: true, List: []string{"a.example", "A.example."}, MinCount: 2, MaxCount: 2}
		}, "san.dns_names.list"},
		{"no static items but mincount", func(m *policy.Model) {
			m.ExtendedKeyUsages.EKUs = policy.ListRule{Static: true, MinCount: 1, MaxCount: 1}
		}, "extended_key_usages.ekus.list"},
		{"static item that is empty", func(m *policy.Model) {
			m.SubjectDN.OrganizationalUnits = policy.ListRule{Static: true, List: []string{""}}
		}, "subject_dn.organizational_unit.list"},
		{"static attribute beyond its bound", func(m *policy.Model) {
			m.SubjectDN.ExtraAttributes["2.5.4.12"] = policy.TypedRule{Static: true, ValueType: telamon.UTF8String, ValueFormat: strings.Repeat("a", 65)}
		}, "subject_dn.extra_attributes.2.5.4.12.value_format"},
		{"key type", func(m *policy.Model) { m.PublicKey.KeyType = "ANY" }, "public_key.key_type"},
		{"key length", func(m *policy.Model) { m.PublicKey.AllowedLengths = []int{1024} }, "public_key.allowed_lengths"},
		{"no key length", func(m *policy.Model) { m.PublicKey.AllowedLengths = nil }, "public_key.allowed_lengths"},
		{"key format", func(m *policy.Model) { m.PublicKey.KeyFormat = "" }, "public_key.key_format"},
		{"possession", func(m *policy.Model) { m.PublicKeySignature = policy.Static }, "public_key_signature"},
		{"STATIC date of birth", func(m *policy.Model) { m.SubjectDA.DateOfBirth = policy.Static }, "subject_da.date_of_birth"},
		{"PDS language", func(m *policy.Model) {
			m.QualifiedStatements.ETSIPDS.Policies = map[string]string{"eng": "https://a.example"}
		}, "qualified_statements.etsi_qc_pds.eng"},
		{"negative template version", func(m *policy.Model) { m.MSExtensionTemplate.MajorVersion.Min = -1 }, "ms_extension_template.major_version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			model := fullModel(t)
			tt.change(model)
			_, err := policy.Compile(model, limits)
			f := fault.From(err)
			if f == nil || f.Kind != fault.Invalid || !slices.ContainsFunc(f.Fields, func(f fault.Field) bool { return f.Path == tt.path }) {
				t.Errorf("Compile reports %v, want something wrong with %s", err, tt.path)
			}
		})
	}
}

func TestStrict(t *testing.T) {
	strict := policy.Limits{EKUFamily: telamon.EKUServerAuth, KeyType: "RSA-2048", Strict: true}
	_, err := policy.Compile(fullModel(t), strict)
	if f := fault.From(err); f == nil || len(f.Fields) != 1 || f.Fields[0].Path != "subject_dn.organizational_unit" {
		t.Errorf("a strict policy with OU reports %v", err)
	}
	model := fullModel(t)
	model.SubjectDN.OrganizationalUnits = policy.ListRule{}
	p, err := policy.Compile(model, strict)
	if err != nil {
		t.Fatal(err)
	}
	req := &policy.Request{Subject: map[string]string{"common_name": "x", "street_address": ". -"}, ExtendedKeyUsages: []string{"1.3.6.1.5.5.7.3.2"}}
	_, fields := p.Evaluate(req, now)
	if got, want := words(fields), "subject_dn.street_address: is invalid; extended_key_usages: is not allowed"; got != want {
		t.Errorf("a placeholder and clientAuth are refused by %q, want %q", got, want)
	}
}

func TestBind(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "playground", "policies", "full.json"))
	if err != nil {
		t.Fatal(err)
	}
	template, err := policy.ParseModel(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := template.Bind(map[string]string{"country": "DE"}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "subject_dn.organization ") {
		t.Errorf("an identity without an organization reports %v", err)
	}
	bound, err := template.Bind(identity)
	if err != nil {
		t.Fatal(err)
	}
	if got := bound.SubjectDN.Strings["organization"].Format; got != "Example Works" {
		t.Errorf("the organization is %q", got)
	}
	if got := template.SubjectDN.Strings["organization"].Format; got != "{{identity.organization}}" {
		t.Errorf("Bind changed the template to %q", got)
	}
}

func TestParseModelRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":             "{",
		"two values":           "{} {}",
		"text behind it":       "{} x",
		"an octet behind it":   "{}\x00",
		"a bracket behind it":  "{}}",
		"an unknown member":    `{"validity": {}, "colour": 1}`,
		"an unknown attribute": `{"subject_dn": {"shoe_size": {"presence": "OPTIONAL", "format": ""}}}`,
		"an unknown rule":      `{"subject_dn": {"state": {"presence": "OPTIONAL", "pattern": ""}}}`,
		"a wrong type":         `{"validity": {"secondsmin": "1"}}`,
		"a fraction":           `{"validity": {"secondsmin": 1.5}}`,
		"an array of OIDs":     `{"custom_extensions": []}`,
	} {
		if _, err := policy.ParseModel([]byte(text)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: ParseModel(%s) reports %v, want Invalid", name, text, err)
		}
	}
}

// TestRender holds the JSON that clients see: complete, never null, and readable
// by the client whose enumerations are strict.
func TestRender(t *testing.T) {
	minimal, err := policy.ParseModel([]byte(`{"validity": {"secondsmin": 1, "secondsmax": 3600},
		"subject_dn": {"common_name": {"presence": "REQUIRED", "format": "."}},
		"signature": {"algorithm": {"presence": "OPTIONAL", "list": ["RSA"]}, "hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256"]}},
		"public_key": {"key_type": "RSA", "allowed_lengths": [2048], "key_format": "PKCS8"}, "public_key_signature": "FORBIDDEN"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, model := range map[string]*policy.Model{"full": fullModel(t), "minimal": minimal} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Compile(model, limits)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(p.Model())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "null") {
				t.Errorf("the policy says null: %s", text)
			}
			var sections map[string]json.RawMessage
			if err := json.Unmarshal(text, &sections); err != nil {
				t.Fatal(err)
			}
			for _, section := range []string{"validity", "subject_dn", "san", "key_usages", "extended_key_usages", "signature", "public_key", "public_key_signature"} {
				if _, ok := sections[section]; !ok {
					t.Errorf("the policy has no %s", section)
				}
			}
			var subject map[string]map[string]any
			if err := json.Unmarshal(sections["subject_dn"], &subject); err != nil {
				t.Errorf("a member of subject_dn is no object: %v", err)
			}
			for _, member := range policy.SubjectMembers() {
				if subject[member]["presence"] == nil {
					t.Errorf("subject_dn.%s has no presence", member)
				}
			}
			var client hvclient.Policy
			if err := json.Unmarshal(text, &client); err != nil {
				t.Errorf("hvclient cannot read the policy: %v", err)
			}
			again, err := policy.ParseModel(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(p.Model(), again); diff != "" {
				t.Errorf("the policy is read back otherwise (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	a, b := compile(t, nil), compile(t, nil)
	c := compile(t, func(m *policy.Model) { m.Validity.SecondsMax++ })
	if a.Version() != b.Version() || a.Version() == c.Version() || len(a.Version()) != 32 {
		t.Errorf("versions are %s, %s and for another policy %s", a.Version(), b.Version(), c.Version())
	}
}
