package ra_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	zlints "github.com/zmap/zlint/v3/lint"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

// strictContent is a service of strict content with a validity of a year at most.
func strictContent(changes ...string) iam.ServiceSpec {
	return strict(func(s *iam.ServiceSpec) { s.StrictContent, s.DomainValidation = true, false }, changes...)
}

// mustBeClean runs every lint of the Baseline Requirements and of X.509, without our
// choice among them, over an issued certificate.
func mustBeClean(t testing.TB, der []byte) {
	t.Helper()
	registry, err := zlints.GlobalRegistry().Filter(zlints.FilterOptions{IncludeSources: zlints.SourceList{
		zlints.CABFBaselineRequirements, zlints.RFC3279, zlints.RFC5280, zlints.RFC5480, zlints.RFC5891, zlints.RFC6960, zlints.RFC6962,
		zlints.RFC8813, zlints.MozillaRootStorePolicy, zlints.AppleRootStorePolicy, zlints.ChromeRootStorePolicy, zlints.Community,
	}})
	must(t, err)
	cert, err := zx509.ParseCertificate(der)
	must(t, err)
	// What the rules advise against and services choose.
	advice := []string{
		"w_subject_common_name_included",                // BR 7.1.2.7.2: not recommended
		"w_ext_subject_key_identifier_missing_sub_cert", // RFC 5280 wants what BR 7.1.2.7.6 advises against
		"w_sub_cert_aia_contains_internal_names",        // the status URL of these tests
		"w_ct_sct_policy_count_unsatisfied",             // of services without Certificate Transparency
	}
	passed := 0
	for name, result := range zlint.LintCertificateEx(cert, registry).Results {
		if result.Status == zlints.Pass {
			passed++
		}
		if result.Status >= zlints.Warn && !slices.Contains(advice, name) {
			t.Errorf("%s: %s %s", name, result.Status, result.Details)
		}
	}
	if passed < 100 {
		t.Errorf("only %d lints had anything to judge", passed)
	}
}

// TestRequirement82StrictContent has what certificates of strict TLS say, judged by
// every lint of the Baseline Requirements, and what is refused.
func TestRequirement82StrictContent(t *testing.T) {
	const org = `"organization": {"presence": "STATIC", "format": "{{identity.organization}}"}`
	const place = `, "country": {"presence": "STATIC", "format": "JP"}, "locality": {"presence": "OPTIONAL", "format": "."}`
	each(t, func(t *testing.T, w *world) {
		domain := w.customer(t, strictContent(append(domainAlone, `"REQUIRED", "format": "^[a-z0-9.-]+$"`, `"OPTIONAL", "format": "."`)...), 0)
		organization := w.customer(t, strictContent(org, org+place), 0)
		ask := func(c *customer, change func(subject map[string]string)) ([]byte, error) {
			req := request(newKey(t).csr, "www.example.com")
			if change != nil {
				change(req.Policy.Subject)
			}
			serial, err := w.ra.Issue(t.Context(), c.actor(), req)
			if err != nil {
				return nil, err
			}
			_, cert := c.certificate(t, serial)
			return cert.Raw, nil
		}
		for _, tt := range []struct {
			name     string
			c        *customer
			change   func(map[string]string)
			policies string
		}{
			{"domain", domain, nil, "2.23.140.1.2.1"},
			{"domain without a common name", domain, func(s map[string]string) { delete(s, "common_name") }, "2.23.140.1.2.1"},
			{"domain in capitals", domain, func(s map[string]string) { s["common_name"] = "WWW.Example.COM" }, "2.23.140.1.2.1"},
			{"organization", organization, func(s map[string]string) { s["locality"] = "Tokyo" }, "2.23.140.1.2.2"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				der, err := ask(tt.c, tt.change)
				if err != nil {
					t.Fatalf("it is refused: %v, %v", err, fault.From(err).Fields)
				}
				mustBeClean(t, der)
				cert, err := x509.ParseCertificate(der)
				must(t, err)
				if len(cert.Policies) != 1 || cert.Policies[0].String() != tt.policies || cert.SubjectKeyId != nil {
					t.Errorf("it has the policies %v and the key identifier %x, want %s and none", cert.Policies, cert.SubjectKeyId, tt.policies)
				}
			})
		}
		for _, tt := range []struct {
			name   string
			c      *customer
			change func(map[string]string)
			path   string
		}{
			{"a common name that is no alternative name", domain, func(s map[string]string) { s["common_name"] = "other.example.com" }, "subject_dn.common_name"},
			{"an organization nowhere", organization, nil, "subject_dn.locality"},
			{"a placeholder", organization, func(s map[string]string) { s["locality"] = "-" }, "subject_dn.locality"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				before := tt.c.standing(t)
				_, err := ask(tt.c, tt.change)
				mustBe(t, err, fault.Invalid, "policy")
				mustName(t, err, tt.path)
				tt.c.mustStand(t, before)
			})
		}
	})
}

// TestRequirement82NoClientAuth refuses clientAuth in strict TLS, in requests and in the
// policies of services.
func TestRequirement82NoClientAuth(t *testing.T) {
	const static = `{"static": true, "list": ["1.3.6.1.5.5.7.3.1"]}`
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, strictContent(append(domainAlone, static, `{"static": false, "list": ["^1\\.3\\.6\\.1\\.5\\.5\\.7\\.3\\.[12]$"], "maxcount": 2}`)...), 0)
		before, actor, req := c.standing(t), c.actor(), request(newKey(t).csr, "www.example.com")
		req.Policy.ExtendedKeyUsages = []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}
		_, err := w.ra.Issue(t.Context(), actor, req)
		mustBe(t, err, fault.Invalid, "policy")
		mustName(t, err, "extended_key_usages")
		if got := fault.From(err).Fields[0].Problem; !strings.Contains(got, "clientAuth") {
			t.Errorf("the refusal says %q and does not name clientAuth", got)
		}
		w.mustAudit(t, actor, "certificate.issue", "", "policy")
		c.mustStand(t, before)
		req.Policy.ExtendedKeyUsages = req.Policy.ExtendedKeyUsages[:1]
		if _, err := w.ra.Issue(t.Context(), c.actor(), req); err != nil {
			t.Errorf("serverAuth alone is refused: %v", err)
		}
		spec := strictContent(static, `{"static": true, "list": ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]}`)
		spec.Name, spec.Series = "both", "tls-ec"
		_, err = w.iam.CreateService(t.Context(), operator, spec)
		mustBe(t, err, fault.Invalid, "policy_invalid")
		mustName(t, err, "extended_key_usages.ekus.list")
	})
}

// TestRequirement81LintBlocks has a service whose policy makes certificates that break
// RFC 5280: a country that is no PrintableString. Nothing is issued, no quota is used,
// and the refusal is audited.
func TestRequirement81LintBlocks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		broken := w.customer(t, metered(`"organization": {`, `"extra_attributes": {"2.5.4.6": {"static": true, "value_type": "UTF8STRING", "value_format": "JP", "mincount": 1, "maxcount": 1}}, "organization": {`), 5)
		before, actor := broken.standing(t), broken.actor()
		_, err := w.ra.Issue(t.Context(), actor, request(newKey(t).csr, "www.example.com"))
		mustBe(t, err, fault.Invalid, "lint")
		mustName(t, err, "e_subject_dn_country_not_printable_string")
		if got := fault.From(err).Fields[0].Problem; !strings.HasPrefix(got, "RFC5280 (") {
			t.Errorf("the refusal says %q, want the lint's source first", got)
		}
		w.mustAudit(t, actor, "certificate.issue", "", "lint")
		broken.mustStand(t, before)
	})
}
