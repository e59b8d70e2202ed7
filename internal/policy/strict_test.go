package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/policy"
)

// strictPolicy admits everything that a strict service could be asked for, so that
// only the rules of strict TLS refuse.
func strictPolicy(t *testing.T, keyType string) *policy.Policy {
	t.Helper()
	text := `{"validity": {"secondsmin": 1, "secondsmax": 17280000, "not_before_negative_skew": 864000, "not_before_positive_skew": 864000},
		"subject_dn": {"extra_attributes": {"2.5.4.12": {"value_type": "UTF8STRING", "value_format": ".", "maxcount": 1}}`
	for _, member := range policy.SubjectMembers() {
		text += `, "` + member + `": {"presence": "OPTIONAL", "format": "."}`
	}
	text += `}, "san": {"dns_names": {"list": ["."], "maxcount": 9}, "emails": {"list": ["."], "maxcount": 9},
		"ip_addresses": {"list": ["."], "maxcount": 9}, "uris": {"list": ["."], "maxcount": 9}},
		"key_usages": {"digital_signature": "OPTIONAL", "content_commitment": "OPTIONAL", "key_agreement": "OPTIONAL"},
		"extended_key_usages": {"ekus": {"list": ["."], "maxcount": 3}},
		"signature": {"algorithm": {"presence": "FORBIDDEN"}, "hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256"]}},
		"public_key": {"key_type": "` + keyType + `", "allowed_lengths": [` + map[string]string{"RSA": "2048", "ECDSA": "256"}[keyType] + `], "key_format": "PKCS10"},
		"public_key_signature": "OPTIONAL"}`
	model, err := policy.ParseModel([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Compile(model, policy.Limits{EKUFamily: telamon.EKUTLS, KeyType: "EC-P256", Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRequirement82StrictRules has one request for each rule of BR 7.1.2.7.
func TestRequirement82StrictRules(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const serverAuth, clientAuth = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
	type subject = map[string]string
	organization := func(change ...string) subject {
		s := subject{"common_name": "www.example.com", "organization": "Example", "country": "JP", "locality": "Tokyo"}
		for i := 0; i < len(change); i += 2 {
			s[change[i]] = change[i+1]
		}
		return s
	}
	tests := []struct {
		name   string
		change func(*policy.Request)
		want   string // the refused paths, or the reserved policy
	}{
		{"domain", nil, "2.23.140.1.2.1"},
		{"domain of a country", func(r *policy.Request) { r.Subject["country"] = "JP" }, "2.23.140.1.2.1"},
		{"no subject", func(r *policy.Request) { r.Subject = nil }, "2.23.140.1.2.1"},
		{"domain with a place", func(r *policy.Request) { r.Subject["locality"] = "Tokyo" }, "subject_dn.locality"},
		{"domain with a title", func(r *policy.Request) { r.ExtraAttributes = []policy.TypeAndValue{{Type: "2.5.4.12", Value: "Dr."}} }, "subject_dn.title"},
		{"organization", func(r *policy.Request) { r.Subject = organization() }, "2.23.140.1.2.2"},
		{"organization of a state", func(r *policy.Request) { r.Subject = organization("locality", "", "state", "Tokyo") }, "2.23.140.1.2.2"},
		{"organization nowhere", func(r *policy.Request) { r.Subject = organization("locality", "", "country", "") }, "subject_dn.country subject_dn.locality"},
		{"organization with a person", func(r *policy.Request) { r.Subject = organization("surname", "Doe") }, "subject_dn.surname"},
		{"person", func(r *policy.Request) {
			r.Subject = organization("organization", "", "given_name", "Jo", "surname", "Doe")
		}, "2.23.140.1.2.3"},
		{"person of half a name", func(r *policy.Request) { r.Subject = organization("organization", "", "surname", "Doe") }, "subject_dn.given_name"},
		{"placeholder", func(r *policy.Request) { r.Subject = organization("locality", " - ") }, "subject_dn.locality"},
		{"common name elsewhere", func(r *policy.Request) { r.Subject["common_name"] = "example.com" }, "subject_dn.common_name"},
		{"common name of an address", func(r *policy.Request) {
			r.SAN.IPAddresses, r.Subject["common_name"] = []string{"2001:DB8::1"}, "2001:0db8::1"
		}, "2.23.140.1.2.1"},
		{"no name", func(r *policy.Request) { r.SAN.DNSNames, r.Subject = nil, organization("common_name", "") }, "san"},
		{"mailbox", func(r *policy.Request) { r.SAN.Emails = []string{"a@example.com"} }, "san.emails"},
		{"URI", func(r *policy.Request) { r.SAN.URIs = []string{"https://www.example.com/"} }, "san.uris"},
		{"clientAuth too", func(r *policy.Request) { r.ExtendedKeyUsages = []string{serverAuth, clientAuth} }, "extended_key_usages"},
		{"clientAuth alone", func(r *policy.Request) { r.ExtendedKeyUsages = []string{clientAuth} }, "extended_key_usages"},
		{"no usage", func(r *policy.Request) { r.ExtendedKeyUsages = nil }, "extended_key_usages"},
		{"commitment", func(r *policy.Request) { r.KeyUsages["content_commitment"] = true }, "key_usages.content_commitment"},
		{"agreement alone", func(r *policy.Request) { r.KeyUsages = map[string]bool{"key_agreement": true} }, "key_usages.digital_signature"},
		{"two days ago", func(r *policy.Request) { r.NotBefore = now.Add(-48 * time.Hour).Unix() }, "2.23.140.1.2.1"},
		{"longer ago", func(r *policy.Request) { r.NotBefore = now.Add(-48*time.Hour - time.Second).Unix() }, "validity.not_before"},
		{"in three days", func(r *policy.Request) { r.NotBefore = now.Add(72 * time.Hour).Unix() }, "validity.not_before"},
	}
	p := strictPolicy(t, "ECDSA")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := &policy.Request{
				Subject: subject{"common_name": "www.example.com"}, SAN: policy.SANRequest{DNSNames: []string{"www.example.com"}},
				KeyUsages: map[string]bool{"digital_signature": true}, ExtendedKeyUsages: []string{serverAuth},
			}
			if tt.change != nil {
				tt.change(req)
			}
			decision, fields := p.Evaluate(req, now)
			var got []string
			for _, f := range fields {
				got = append(got, f.Path)
			}
			if decision != nil {
				for _, id := range decision.Policies {
					got = append(got, id.String())
				}
			}
			if !slices.Equal(got, strings.Fields(tt.want)) {
				t.Errorf("the decision is %q, want %q; %v", got, tt.want, fields)
			}
		})
	}
	rsa := &policy.Request{
		SAN: policy.SANRequest{DNSNames: []string{"www.example.com"}}, ExtendedKeyUsages: []string{serverAuth},
		KeyUsages: map[string]bool{"digital_signature": true, "key_agreement": true},
	}
	if _, fields := strictPolicy(t, "RSA").Evaluate(rsa, now); len(fields) != 1 || fields[0].Path != "key_usages.key_agreement" {
		t.Errorf("an RSA key that agrees is refused with %v", fields)
	}
}
