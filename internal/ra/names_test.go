package ra_test

import (
	"testing"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
)

// anyName changes the policy to one that takes names of every form.
var anyName = []string{
	`"^[a-z0-9.-]+$"},`, `"."}, "email": {"presence": "OPTIONAL", "format": "."}, "extra_attributes": {
		"0.9.2342.19200300.100.1.25": {"static": false, "value_type": "IA5STRING", "value_format": ".", "mincount": 0, "maxcount": 1},
		"0.9.2342.19200300.100.1.3": {"static": false, "value_type": "DER", "value_format": ".", "mincount": 0, "maxcount": 1},
		"2.5.4.3": {"static": false, "value_type": "UTF8STRING", "value_format": ".", "mincount": 0, "maxcount": 1}},`,
	`"maxcount": 3}},`, `"maxcount": 3},
		"emails": {"static": false, "list": ["."], "mincount": 0, "maxcount": 3},
		"ip_addresses": {"static": false, "list": ["."], "mincount": 0, "maxcount": 3},
		"uris": {"static": false, "list": ["."], "mincount": 0, "maxcount": 3},
		"other_names": {
			"1.3.6.1.4.1.311.20.2.3": {"static": false, "value_type": "UTF8STRING", "value_format": ".", "mincount": 0, "maxcount": 1},
			"1.3.6.1.5.5.7.8.7": {"static": false, "value_type": "IA5STRING", "value_format": ".", "mincount": 0, "maxcount": 1},
			"1.3.6.1.5.5.7.8.9": {"static": false, "value_type": "DER", "value_format": ".", "mincount": 0, "maxcount": 1},
			"1.3.6.1.4.1.99999.7": {"static": false, "value_type": "UTF8STRING", "value_format": ".", "mincount": 0, "maxcount": 1}}},`,
}

// TestNames has what a service with domain validation takes for a name that needs
// a claim, and what it issues without one.
func TestNames(t *testing.T) {
	commonName := func(text string) func(*policy.Request) {
		return func(r *policy.Request) { r.Subject["common_name"] = text }
	}
	uri := func(text string) func(*policy.Request) {
		return func(r *policy.Request) { r.SAN.URIs = []string{text} }
	}
	other := func(id, text string) func(*policy.Request) {
		return func(r *policy.Request) { r.SAN.OtherNames = []policy.TypeAndValue{{Type: id, Value: text}} }
	}
	attribute := func(id, text string) func(*policy.Request) {
		return func(r *policy.Request) { r.ExtraAttributes = []policy.TypeAndValue{{Type: id, Value: text}} }
	}
	const upn = "1.3.6.1.4.1.311.20.2.3"
	tests := []struct {
		name   string
		change func(*policy.Request)
		paths  []string // that are not covered
	}{
		{"a device", commonName("device-17"), nil},
		{"a person", commonName("Dr. Alice Example"), nil},
		{"a host", commonName("www.example.com"), []string{"www.example.com"}},
		{"a host between blanks", commonName(" www.example.com "), []string{" www.example.com "}},
		{"a host that does not parse", commonName("www_1.example.com"), []string{"www_1.example.com"}},
		{"a host with the full stop of IDNA", commonName("www。example"), []string{"www。example"}},
		{"a wildcard", commonName("*.com"), []string{"*.com"}},
		{"a wildcard of nothing", commonName("*. com"), []string{"*. com"}},
		{"an IPv4 address", commonName("192.0.2.1"), []string{"192.0.2.1"}},
		{"an IPv6 address", commonName("2001:db8::1"), []string{"2001:db8::1"}},
		{"an IPv6 address as in a URI", commonName(" [2001:db8::1]"), []string{" [2001:db8::1]"}},
		{"a mailbox", commonName("Alice <alice@example>"), []string{"Alice <alice@example>"}},
		{"a second common name", attribute("2.5.4.3", "www.example.com"), []string{"www.example.com"}},
		{"a subject's e-mail address", func(r *policy.Request) { r.Subject["email"] = "a@example.com" }, []string{"a@example.com"}},
		{"mail of DER", attribute("0.9.2342.19200300.100.1.3", "160140"), []string{"160140"}},
		{"a domain component", attribute("0.9.2342.19200300.100.1.25", "com"), []string{"com"}},
		{"alternative names", func(r *policy.Request) {
			r.SAN = policy.SANRequest{
				DNSNames: []string{"a.example"}, Emails: []string{"a@example.com"}, IPAddresses: []string{"2001:DB8::1"},
			}
		}, []string{"a.example", "a@example.com", "2001:db8::1"}},
		{"a URI of a host", uri("https://www.example.com/a"), []string{"https://www.example.com/a"}},
		{"a URI of an address", uri("https://[2001:db8::1]:8443"), []string{"https://[2001:db8::1]:8443"}},
		{"a URI of a mailbox", uri("mailto:a@example.com"), []string{"mailto:a@example.com"}},
		{"a URN", uri("urn:dev:17"), nil},
		{"a principal with a domain", other(upn, "a@example.com"), []string{"a@example.com"}},
		{"a principal without one", other(upn, "alice"), nil},
		{"a service's name", other("1.3.6.1.5.5.7.8.7", "_mail.example.com"), []string{"_mail.example.com"}},
		{"a mailbox of DER", other("1.3.6.1.5.5.7.8.9", "0c0140"), []string{"0c0140"}},
		{"another form of name", other("1.3.6.1.4.1.99999.7", "a@example.com"), nil},
	}
	each(t, func(t *testing.T, w *world) {
		spec := unlimited(anyName...)
		spec.DomainValidation = true
		c := w.customer(t, spec, 0)
		key := newKey(t)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				req := request(key.csr, "device-17")
				req.Policy.SAN.DNSNames = nil
				tt.change(&req.Policy)
				_, err := w.ra.Issue(t.Context(), c.actor(), req)
				if tt.paths == nil {
					must(t, err)
					return
				}
				mustBe(t, err, fault.Invalid, "name_not_covered")
				mustName(t, err, tt.paths...)
			})
		}
	})
}
