package playground_test

import (
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon/internal/playground"
)

// fullRequest has every member of a request for a certificate.
func fullRequest(t *testing.T, w *world) map[string]any {
	t.Helper()
	now := w.clock.Now()
	return map[string]any{
		"validity": map[string]any{"not_before": now.Unix() - 60, "not_after": now.AddDate(0, 0, 90).Unix()},
		"subject_dn": map[string]any{
			"common_name": "device-17.plant.example", "given_name": "Jörg", "surname": "Müller",
			"organization": "Telamon Playground", "organizational_unit": []string{"Line 4", "Line 5"},
			"organization_identifier": "NTRDE-HRB1234", "country": "GB", "state": "Bavaria", "locality": "Munich",
			"street_address": "Hauptstraße 1", "postal_code": "80331", "email": "ops@plant.example", "pseudonym": "seventeen",
			"serial_number": "SN1234", "jurisdiction_of_incorporation_locality_name": "Munich",
			"jurisdiction_of_incorporation_state_or_province_name": "Bavaria",
			"jurisdiction_of_incorporation_country_name":           "DE", "business_category": "Private Organization",
			"extra_attributes": []any{map[string]any{"type": "2.5.4.12", "value": "controller"}},
		},
		"san": map[string]any{
			"dns_names": []string{"device-17.plant.example", "plant.example"}, "emails": []string{"ops@plant.example"},
			"ip_addresses": []string{"192.0.2.17", "2001:db8::1"}, "uris": []string{"urn:dev:17"},
			"other_names": []any{map[string]any{"type": "1.3.6.1.4.1.311.20.2.3", "value": "device-17@plant.example"}},
		},
		"key_usages": map[string]any{
			"digital_signature": true, "content_commitment": false, "key_encipherment": true, "data_encipherment": false,
			"key_agreement": false, "key_certificate_sign": false, "crl_sign": false, "encipher_only": false, "decipher_only": false,
		},
		"extended_key_usages": []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"},
		"subject_da": map[string]any{
			"gender": "F", "date_of_birth": "1971-10-14", "place_of_birth": "Köln",
			"country_of_citizenship": []string{"DE", "SE"}, "country_of_residence": []string{"FR"},
			"extra_attributes": []any{map[string]any{"type": "1.3.6.1.4.1.99999.9", "value": "engineer"}},
		},
		"qualified_statements": map[string]any{
			"semantics":          map[string]any{"identifier": "0.4.0.194121.1.1", "name_authorities": []string{"https://register.example"}},
			"etsi_qc_compliance": true, "etsi_qc_sscd_compliance": true, "etsi_qc_type": "0.4.0.1862.1.6.1",
			"etsi_qc_retention_period": 10, "etsi_qc_pds": map[string]any{"EN": "https://pds.example/en"},
		},
		"ms_extension_template": map[string]any{"id": "1.3.6.1.4.1.311.21.8.1.2.3", "major_version": 100, "minor_version": 7},
		"custom_extensions": map[string]any{
			"1.3.6.1.4.1.99999.1": "NIL", "1.3.6.1.4.1.99999.2": "söme text", "1.3.6.1.4.1.99999.3": "30030101ff",
			"1.3.6.1.4.1.99999.4": "-70000", "1.3.6.1.4.1.99999.5": "a@b", "1.3.6.1.4.1.99999.6": "Telamon",
		},
		"signature":            map[string]any{"algorithm": "RSA-PSS", "hash_algorithm": "SHA-384"},
		"public_key":           csrFor(t, rsaKey()),
		"public_key_signature": "",
	}
}

// unlike are the parts of openssl's text that differ from run to run.
var unlike = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?m)^ +01(:[0-9a-f]{2}){15}$`), "                (serial number)"},
	{regexp.MustCompile(`(?m)^ +[0-9A-F]{2}(:[0-9A-F]{2}){19}$`), "                (key identifier)"},
	{regexp.MustCompile(`(?m)^( +Not (?:Before|After )): .*$`), "$1: (time)"},
	{regexp.MustCompile(`(CN=Telamon tls-rsa) [0-9]{4}-[0-9]{2}`), "$1 (month)"},
	{regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/(crl|ca)/iss_[0-9a-z]+`), "http://(status)/$1/(issuer)"},
}

// TestFull compares what openssl shows of a certificate that was asked for with
// every member, and of one with none but the least, with files.
func TestFull(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.loggedIn("dev_full")
		for name, request := range map[string]map[string]any{"full": fullRequest(t, w), "least": plainRequest(t)} {
			t.Run(name, func(t *testing.T) {
				_, cert := c.issue(t, request)
				text := openssl(t, cert, "x509", "-noout", "-text", "-certopt", "no_pubkey,no_sigdump", "-nameopt", "RFC2253,sep_multiline")
				for _, u := range unlike {
					text = u.pattern.ReplaceAllString(text, u.instead)
				}
				golden := filepath.Join("testdata", name+".txt")
				if os.Getenv("UPDATE_GOLDEN") != "" {
					if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), text); diff != "" {
					t.Errorf("the certificate is not that of %s (-want +got):\n%s", golden, diff)
				}
			})
		}
	})
}

// TestFullParsed reads the certificate of every member back.
func TestFullParsed(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{})
	_, text := w.loggedIn("dev_full").issue(t, fullRequest(t, w))
	cert := parseCertificate(t, text)
	now := w.clock.Now()
	if !cert.NotBefore.Equal(now.Add(-time.Minute)) || !cert.NotAfter.Equal(now.AddDate(0, 0, 90)) {
		t.Errorf("valid from %v to %v, at %v", cert.NotBefore, cert.NotAfter, now)
	}
	if !rsaKey().PublicKey.Equal(cert.PublicKey) || cert.SignatureAlgorithm != x509.SHA384WithRSAPSS || cert.IsCA {
		t.Errorf("signed with %v, CA %v, for the key that was sent or not", cert.SignatureAlgorithm, cert.IsCA)
	}
	subject := map[string][]any{}
	for _, name := range cert.Subject.Names {
		subject[name.Type.String()] = append(subject[name.Type.String()], name.Value)
	}
	wantSubject := map[string][]any{
		"2.5.4.3": {"device-17.plant.example"}, "2.5.4.42": {"Jörg"}, "2.5.4.4": {"Müller"}, "2.5.4.10": {"Telamon Playground"},
		"2.5.4.11": {"Line 4", "Line 5"}, "2.5.4.97": {"NTRDE-HRB1234"}, "2.5.4.6": {"GB"}, "2.5.4.8": {"Bavaria"}, "2.5.4.7": {"Munich"},
		"2.5.4.9": {"Hauptstraße 1"}, "2.5.4.17": {"80331"}, "1.2.840.113549.1.9.1": {"ops@plant.example"}, "2.5.4.65": {"seventeen"},
		"2.5.4.5": {"SN1234"}, "1.3.6.1.4.1.311.60.2.1.1": {"Munich"}, "1.3.6.1.4.1.311.60.2.1.2": {"Bavaria"},
		"1.3.6.1.4.1.311.60.2.1.3": {"DE"}, "2.5.4.15": {"Private Organization"}, "2.5.4.12": {"controller"},
	}
	if diff := cmp.Diff(wantSubject, subject); diff != "" {
		t.Errorf("the subject (-want +got):\n%s", diff)
	}
	extensions := map[string]string{}
	for _, e := range cert.Extensions {
		extensions[e.Id.String()] = hex.EncodeToString(e.Value)
	}
	for id, want := range map[string]string{
		"1.3.6.1.4.1.99999.1": "0500", "1.3.6.1.4.1.99999.2": "0c0a" + hex.EncodeToString([]byte("söme text")), "1.3.6.1.4.1.99999.3": "30030101ff",
		"1.3.6.1.4.1.99999.4": "0203feee90", "1.3.6.1.4.1.99999.5": "1603" + hex.EncodeToString([]byte("a@b")),
		"1.3.6.1.4.1.99999.6": "1307" + hex.EncodeToString([]byte("Telamon")),
	} {
		if extensions[id] != want {
			t.Errorf("extension %s is %q, want %q", id, extensions[id], want)
		}
	}
	shown := openssl(t, text, "x509", "-noout", "-ext", "keyUsage,extendedKeyUsage,subjectAltName")
	for _, want := range []string{
		"Digital Signature, Key Encipherment", "TLS Web Server Authentication, TLS Web Client Authentication", "DNS:plant.example",
		"email:ops@plant.example", "IP Address:192.0.2.17", "IP Address:2001:DB8:0:0:0:0:0:1", "URI:urn:dev:17", "UPN::device-17@plant.example",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("openssl x509 -ext does not show %q: %s", want, shown)
		}
	}
}
