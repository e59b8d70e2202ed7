package app_test

import (
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/telamon-ca/telamon/internal/app"
)

// leastConfig is all that a configuration must say.
const leastConfig = `
database: sqlite:telamon.db
keys: {dir: keys, kek_file: kek}
status_base_url: http://ca.example.com
names: {atlas: [ca.example.com]}
`

// fullConfig gives every field a value that is not its default.
const fullConfig = `
database: host=db.example.com dbname=ca
keys:
  dir: /var/lib/telamon/keys
  kek_file: /etc/telamon/kek
  signer: {socket: /run/telamon-signer/s, cert_file: us.crt, key_file: us.key, signer_cert_file: signer.crt, uids: [998], wait: 1s}
listen: 192.0.2.1:443
status_listen: 192.0.2.1:80
metrics_listen: 127.0.0.1:9091
admin_socket: /run/admin.sock
admin_group: telamon-operators
operators:
  - {name: ada, uid: 4001}
  - {name: bob, token_sha256: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f, email: bob@ca.example.com}
four_eyes: "on"
status_base_url: http://ca.example.com/pki
blocked_keys_file: /etc/telamon/blocked-keys
names: {atlas: [ca.example.com, 192.0.2.1], portal: [portal.example.com], digicert_one: [one.example.com], admin: [admin.example.com]}
portal: {agreement: 2026-11-30, administrator_limit: 5, provider_networks: [10.1.0.0/16], credit_limits: [CHF 4000.00, JPY 512345]}
tls: {cert_file: server.crt, key_file: server.key}
proxy:
  trusted: [192.0.2.0/24, "2001:db8::/32"]
  fingerprints: ["` + fingerprint + `"]
  insecure_serial_only: true
crl:
  every: 12h
  lifetime: 48h
  root_every: 240h
  root_lifetime: 720h
  directory: testdata
  bucket: {endpoint: "https://s3.example.com", name: status, prefix: ca/, region: eu-central-1, access_key: key}
atlas: {at_root: true}
digicert_one: {signing_needs_both: true, allow_cert_self_issue: false, burst: {requests: 10, window: 1s}, sustained: {requests: 50, window: 1m}}
mtls_key_types: [EC-P256, EC-P384]
validation:
  resolver: 127.0.0.1:53
  dnssec: true
  unbound: {binary: /usr/sbin/unbound, dir: /run/telamon, trust_anchors: [". DS 1 8 2 00"], forward: ["192.0.2.53:53"]}
  token_prefix: "example="
  issuer_domains: [ca.example.com]
  private_suffixes: [corp.internal]
  blocked_domains: [example.org]
  allow_networks: [10.0.0.0/8]
  http_port: 8080
  https_port: 8443
  inline: 2s
  rules_file: ../rules/rules.yaml
  perspectives:
    - {name: a, region: RIPE NCC, url: "https://a.example:8445", ca_file: ca.pem, cert_file: c.pem, key_file: k.pem}
lint:
  ignore: [e_subj_email_not_in_san]
ocsp:
  off: true
  without: [signing-rsa]
  in_certificates: [tls-ec]
  validity: 12h
  max_age: 1m
  nonce: live
  live_rate: 7
  live_address_rate: 0.5
  cache_bytes: 1048576
ct:
  series: [strict-tls-ec]
  logs:
    - {url: "https://log.example/2027/", operator: A, key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdmmgWyuPIFOhAg+wcudGLVVZEXFQkUNCDma8Obt4VyBiHWQY5ShCLdPsUmD+FHCHWpIOIVzrj7reqJjUnBBHcA==}
    - {url: "https://other.example/", operator: B, key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEM1QCHXtFppUVqzQL+T1AYzrGaoJTvcnNJNlaaDhjeZzCxPfASSilsZn3CbkuK6tbsAwKduM+HdnTmSN8IpPA6Q==}
    - {url: "https://third.example/", operator: B, key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqG5212BK950kU/XDvNG2WSYfC8qXOQa5HsvPNPgs08cV7COYg5RggiAs1bwhgXChpAJokX1PUHVgEXJywnVC5A==}
  scts: 3
  timeout: 5s
  ca_file: testdata/mail-ca.pem
mail:
  host: smtp.example.com
  port: 2525
  starttls: opportunistic
  implicit_tls: true
  ca_file: testdata/mail-ca.pem
  from: ca@example.com
  username: ca
  platform: Example
  portal_url: https://portal.example.com
  operators: [pki@example.com]
  vetting: vetting@example.com
limits:
  connections: 6
  body_bytes: 65536
  credential_rate: 1.5
  credential_burst: 2
  account_rate: 3.5
  account_burst: 4
  form_rate: 4.5
  form_burst: 5
  address_rate: 0.5
  address_burst: 3
  request_timeout: 5s
audit:
  checkpoint_file: /mnt/elsewhere/checkpoint
  webhook_url: https://siem.example.com/telamon
  witness_url: https://witness.example/log
  witness_key: ` + witnessKey + `
retention: {certificates: 17520h, archive_dir: /srv/archive, audit: 26280h}
log: {level: debug, format: text}
tracing: {endpoint: "http://127.0.0.1:4318", ratio: 1}
drain_timeout: 1m30s
`

const witnessKey = "witness.example+0080fed4+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

const fingerprint = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

var nan = math.NaN()

func parse(t *testing.T, text string) app.Config {
	t.Helper()
	cfg, err := app.ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestParseConfig(t *testing.T) {
	t.Run("nothing", func(t *testing.T) {
		for _, text := range []string{"", " \n", "# telamon\n", "---\n"} {
			if got := parse(t, text); !reflect.DeepEqual(got, app.DefaultConfig()) {
				t.Errorf("%q is %+v", text, got)
			}
		}
	})
	t.Run("every field", func(t *testing.T) {
		got, want := parse(t, fullConfig), app.Config{
			Database: "host=db.example.com dbname=ca", Keys: app.KeysConfig{Dir: "/var/lib/telamon/keys", KEKFile: "/etc/telamon/kek", Signer: app.SignerConfig{
				Socket: "/run/telamon-signer/s", CertFile: "us.crt", KeyFile: "us.key", SignerCertFile: "signer.crt", UIDs: []uint32{998}, Wait: time.Second,
			}},
			Listen: "192.0.2.1:443", StatusListen: "192.0.2.1:80", MetricsListen: "127.0.0.1:9091", AdminSocket: "/run/admin.sock", AdminGroup: "telamon-operators", FourEyes: "on",
			Operators: []app.OperatorConfig{
				{Name: "ada", UID: new(uint32(4001))}, {Name: "bob", TokenSHA256: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", Email: "bob@ca.example.com"},
			},
			StatusBaseURL: "http://ca.example.com/pki", BlockedKeysFile: "/etc/telamon/blocked-keys",
			Names: app.NamesConfig{Atlas: []string{"ca.example.com", "192.0.2.1"}, Portal: []string{"portal.example.com"}, DigiCertONE: []string{"one.example.com"}, Admin: []string{"admin.example.com"}},
			Portal: app.PortalConfig{Agreement: "2026-11-30", AdministratorLimit: 5, ProviderNetworks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
				CreditLimits: []string{"CHF 4000.00", "JPY 512345"}},
			TLS: app.TLSConfig{CertFile: "server.crt", KeyFile: "server.key"},
			Proxy: app.ProxyConfig{
				Trusted:      []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
				Fingerprints: []string{fingerprint}, InsecureSerialOnly: true,
			},
			Retention: app.RetentionConfig{Certificates: 17520 * time.Hour, ArchiveDir: "/srv/archive", Audit: 26280 * time.Hour},
			Audit: app.AuditConfig{
				CheckpointFile: "/mnt/elsewhere/checkpoint", WebhookURL: "https://siem.example.com/telamon",
				WitnessURL: "https://witness.example/log", WitnessKey: witnessKey,
			},
			CRL: app.CRLConfig{
				Every: 12 * time.Hour, Lifetime: 48 * time.Hour, RootEvery: 240 * time.Hour, RootLifetime: 720 * time.Hour, Directory: "testdata",
				Bucket: app.BucketConfig{Endpoint: "https://s3.example.com", Name: "status", Prefix: "ca/", Region: "eu-central-1", AccessKey: "key"},
			},
			DigiCertONE: app.DigiCertONEConfig{
				SigningNeedsBoth: true, Burst: app.RateConfig{Requests: 10, Window: time.Second}, Sustained: app.RateConfig{Requests: 50, Window: time.Minute},
			},
			Atlas: app.AtlasConfig{AtRoot: true}, MTLSKeyTypes: []string{"EC-P256", "EC-P384"},
			Validation: app.ValidationConfig{
				Resolver: "127.0.0.1:53", DNSSEC: true,
				Unbound: app.UnboundConfig{
					Binary: "/usr/sbin/unbound", Dir: "/run/telamon", TrustAnchors: []string{". DS 1 8 2 00"}, Forward: []string{"192.0.2.53:53"},
				},
				TokenPrefix: "example=", IssuerDomains: []string{"ca.example.com"}, PrivateSuffixes: []string{"corp.internal"},
				BlockedDomains: []string{"example.org"}, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
				HTTPPort: 8080, HTTPSPort: 8443, Inline: 2 * time.Second, RulesFile: "../rules/rules.yaml",
				Perspectives: []app.PerspectiveConfig{{
					Name: "a", Region: "RIPE NCC", URL: "https://a.example:8445", CAFile: "ca.pem", CertFile: "c.pem", KeyFile: "k.pem",
				}},
			},
			CT: app.CTConfig{
				Series: []string{"strict-tls-ec"}, SCTs: 3, Timeout: 5 * time.Second, CAFile: "testdata/mail-ca.pem",
				Logs: []app.CTLogConfig{
					{URL: "https://log.example/2027/", Operator: "A", Key: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdmmgWyuPIFOhAg+wcudGLVVZEXFQkUNCDma8Obt4VyBiHWQY5ShCLdPsUmD+FHCHWpIOIVzrj7reqJjUnBBHcA=="},
					{URL: "https://other.example/", Operator: "B", Key: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEM1QCHXtFppUVqzQL+T1AYzrGaoJTvcnNJNlaaDhjeZzCxPfASSilsZn3CbkuK6tbsAwKduM+HdnTmSN8IpPA6Q=="},
					{URL: "https://third.example/", Operator: "B", Key: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqG5212BK950kU/XDvNG2WSYfC8qXOQa5HsvPNPgs08cV7COYg5RggiAs1bwhgXChpAJokX1PUHVgEXJywnVC5A=="},
				},
			},
			Lint: app.LintConfig{Ignore: []string{"e_subj_email_not_in_san"}},
			OCSP: app.OCSPConfig{
				Off: true, Without: []string{"signing-rsa"}, InCertificates: []string{"tls-ec"}, Validity: 12 * time.Hour, MaxAge: time.Minute,
				Nonce: "live", LiveRate: 7, LiveAddressRate: 0.5, CacheBytes: 1 << 20,
			},
			Mail: app.MailConfig{
				Host: "smtp.example.com", Port: 2525, STARTTLS: "opportunistic", ImplicitTLS: true, CAFile: "testdata/mail-ca.pem",
				From: "ca@example.com", Username: "ca", Platform: "Example", PortalURL: "https://portal.example.com", Operators: []string{"pki@example.com"},
				Vetting: "vetting@example.com",
			},
			Limits: app.LimitsConfig{
				Connections: 6, BodyBytes: 65536, CredentialRate: 1.5, CredentialBurst: 2, AccountRate: 3.5, AccountBurst: 4, FormRate: 4.5, FormBurst: 5, AddressRate: 0.5, AddressBurst: 3, RequestTimeout: 5 * time.Second,
			},
			Log: app.LogConfig{Level: "debug", Format: "text"}, Tracing: app.TracingConfig{Endpoint: "http://127.0.0.1:4318", Ratio: 1},
			DrainTimeout: 90 * time.Second,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if err := got.Check(); err != nil {
			t.Error(err)
		}
		noDefaults(t, reflect.ValueOf(got), reflect.ValueOf(app.DefaultConfig()), "")
	})
	t.Run("what stands there keeps the other defaults", func(t *testing.T) {
		got := parse(t, "limits: {credential_burst: 7}\nlog: {format: text}")
		want := app.DefaultConfig()
		want.Limits.CredentialBurst, want.Log.Format = 7, "text"
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
	for name, text := range map[string]string{
		"an unknown key":             "databse: x",
		"an unknown key in a struct": "keys: {kek: 00}",
		"a key twice":                "listen: a:1\nlisten: b:2",
		"a word for a number":        "limits: {body_bytes: many}",
		"a duration without a unit":  "drain_timeout: 10",
		"a prefix that is none":      "proxy: {trusted: [here]}",
		"a list for a text":          "database: [a, b]",
		"no YAML":                    "a: b: c",
		"a tag that makes no sense":  "mtls_key_types: !x y",
		"two documents":              leastConfig + "---\nlisten: a:1",
	} {
		t.Run(name, func(t *testing.T) {
			if cfg, err := app.ParseConfig([]byte(text)); err == nil {
				t.Errorf("read as %+v", cfg)
			}
		})
	}
	t.Run("an unknown key names its line", func(t *testing.T) {
		_, err := app.ParseConfig([]byte("listen: a:1\n\ndatabse: x\n"))
		if err == nil || !strings.Contains(err.Error(), "[3:") || !strings.Contains(err.Error(), "databse") {
			t.Errorf("got %v", err)
		}
	})
}

// noDefaults holds that fullConfig grows with the configuration.
func noDefaults(t *testing.T, got, defaults reflect.Value, name string) {
	t.Helper()
	if got.Kind() == reflect.Struct {
		for i := range got.NumField() {
			noDefaults(t, got.Field(i), defaults.Field(i), name+"."+got.Type().Field(i).Name)
		}
		return
	}
	if name != ".Keys.KEK" && name != ".Mail.Password" && name != ".Audit.WebhookSecret" && name != ".CRL.Bucket.Secret" && reflect.DeepEqual(got.Interface(), defaults.Interface()) {
		t.Errorf("%s has its default in fullConfig", name)
	}
}

func TestEnvironmentWins(t *testing.T) {
	for name, value := range map[string]string{
		"TELAMON_DATABASE": "sqlite:other.db", "TELAMON_LISTEN": "127.0.0.1:1", "TELAMON_STATUS_LISTEN": "127.0.0.1:2",
		"TELAMON_METRICS_LISTEN": "127.0.0.1:3", "TELAMON_ADMIN_SOCKET": "other.sock", "TELAMON_LOG_LEVEL": "warn",
		"TELAMON_KEK": strings.Repeat("00", 32),
	} {
		t.Setenv(name, value)
	}
	got, want := parse(t, fullConfig), parse(t, "") // of want, only what the environment gives counts
	got.Keys.KEKFile = ""
	if got.Database != "sqlite:other.db" || got.Listen != "127.0.0.1:1" || got.StatusListen != "127.0.0.1:2" || got.MetricsListen != "127.0.0.1:3" ||
		got.AdminSocket != "other.sock" || got.Log.Level != "warn" || got.Keys.KEK != want.Keys.KEK || got.Log.Format != "text" {
		t.Errorf("got %+v", got)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	text, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "0000") {
		t.Errorf("the key-encryption key is printed:\n%s", text)
	}
}

func TestCheck(t *testing.T) {
	least := parse(t, leastConfig)
	if err := least.Check(); err != nil {
		t.Fatalf("the least configuration: %v", err)
	}
	tests := []struct {
		name   string
		change func(*app.Config)
		field  string // that the problem names; "" for none
	}{
		{"no database", func(c *app.Config) { c.Database = "" }, "database"},
		{"a database of two lines", func(c *app.Config) { c.Database = "sqlite:a\n" }, "database"},
		{"no directory of keys", func(c *app.Config) { c.Keys.Dir = "" }, "keys.dir"},
		{"no key-encryption key", func(c *app.Config) { c.Keys.KEKFile = "" }, "keys"},
		{"two key-encryption keys", func(c *app.Config) { c.Keys.KEK = "00" }, "keys"},
		{"a signer without certificates", func(c *app.Config) { c.Keys.Signer.Socket = "s" }, "keys.signer"},
		{"a signer's certificate without a socket", func(c *app.Config) { c.Keys.Signer.SignerCertFile = "x" }, "keys.signer"},
		{"a signer that is not waited for", func(c *app.Config) { c.Keys.Signer.Wait = 0 }, "keys.signer"},
		{"CRLs every five days", func(c *app.Config) { c.CRL.Every, c.CRL.Lifetime = 120*time.Hour, 240*time.Hour }, "crl"},
		{"CRLs that are good for a month", func(c *app.Config) { c.CRL.Lifetime = 720 * time.Hour }, "crl"},
		{"a directory of CRLs that is not there", func(c *app.Config) { c.CRL.Directory = "testdata/none" }, "crl"},
		{"a bucket without a name", func(c *app.Config) { c.CRL.Bucket.Endpoint = "https://s3.example.com" }, "crl"},
		{"no base URL", func(c *app.Config) { c.StatusBaseURL = "" }, "status_base_url"},
		{"an https base URL", func(c *app.Config) { c.StatusBaseURL = "https://ca.example.com" }, "status_base_url"},
		{"a base URL that ends in a slash", func(c *app.Config) { c.StatusBaseURL += "/" }, "status_base_url"},
		{"a base URL with a query", func(c *app.Config) { c.StatusBaseURL += "?a" }, "status_base_url"},
		{"a base URL with a user", func(c *app.Config) { c.StatusBaseURL = "http://a@b" }, "status_base_url"},
		{"a base URL without a host", func(c *app.Config) { c.StatusBaseURL = "http:ca" }, "status_base_url"},
		{"a base URL that is none", func(c *app.Config) { c.StatusBaseURL = "http://a b" }, "status_base_url"},
		{"an address without a port", func(c *app.Config) { c.Listen = "localhost" }, "listen"},
		{"no status address", func(c *app.Config) { c.StatusListen = "" }, "status_listen"},
		{"a metrics address without a port", func(c *app.Config) { c.MetricsListen = "localhost" }, "metrics_listen"},
		{"no metrics", func(c *app.Config) { c.MetricsListen = "" }, ""},
		{"no admin socket", func(c *app.Config) { c.AdminSocket = "" }, ""},
		{"a certificate without a key", func(c *app.Config) { c.TLS.CertFile = "x" }, "tls"},
		{"a key without a certificate", func(c *app.Config) { c.TLS.KeyFile = "x" }, "tls"},
		{"no names for a certificate of its own", func(c *app.Config) { c.Names.Atlas = nil }, "names.atlas"},
		{"no names with files", func(c *app.Config) { c.Names.Atlas, c.TLS = nil, app.TLSConfig{CertFile: "x", KeyFile: "y"} }, ""},
		{"the admin API", func(c *app.Config) { c.Names.Admin = []string{"admin.example.com"} }, ""},
		{"the admin API at the portal's name", func(c *app.Config) { c.Names.Portal, c.Names.Admin = []string{"a.example"}, []string{"A.example"} }, "names.admin"},
		{"the admin API twice", func(c *app.Config) { c.Names.Admin = []string{"a.example", "a.example"} }, "names.admin"},
		{"the admin API at a name of DigiCert ONE", func(c *app.Config) {
			c.Names.Admin, c.Names.DigiCertONE = []string{"clientauth.a.example"}, []string{"a.example"}
		}, "names.digicert_one"},
		{"DigiCert ONE", func(c *app.Config) { c.Names.DigiCertONE = []string{"one.example.com", "one.example.net"} }, ""},
		{"DigiCert ONE at an address", func(c *app.Config) { c.Names.DigiCertONE = []string{"192.0.2.1"} }, "names.digicert_one"},
		{"DigiCert ONE in upper case", func(c *app.Config) { c.Names.DigiCertONE = []string{"One.example.com"} }, "names.digicert_one"},
		{"DigiCert ONE under every name", func(c *app.Config) { c.Names.DigiCertONE = []string{"*.example.com"} }, "names.digicert_one"},
		{"DigiCert ONE at a name of another face", func(c *app.Config) { c.Names.DigiCertONE = c.Names.Atlas }, "names.digicert_one"},
		{"DigiCert ONE at a name twice", func(c *app.Config) { c.Names.DigiCertONE = []string{"one.example.com", "one.example.com"} }, "names.digicert_one"},
		{"DigiCert ONE where clientauth. is", func(c *app.Config) { c.Names.DigiCertONE = []string{"a.example", "clientauth.a.example"} }, "names.digicert_one"},
		{"no requests to DigiCert ONE", func(c *app.Config) { c.DigiCertONE.Burst.Requests = 0 }, "digicert_one.burst"},
		{"a window of no time", func(c *app.Config) { c.DigiCertONE.Sustained.Window = 0 }, "digicert_one.sustained"},
		{"an unknown key type", func(c *app.Config) { c.MTLSKeyTypes = []string{"RSA", "DSA"} }, "mtls_key_types"},
		{"a fingerprint that is none", func(c *app.Config) { c.Proxy.Fingerprints = []string{"00"} }, "proxy.fingerprints"},
		{"no connections", func(c *app.Config) { c.Limits.Connections = 0 }, "limits.connections"},
		{"an OCSP answer that holds too short", func(c *app.Config) { c.OCSP.Validity = 8*time.Hour - time.Second }, "ocsp.validity"},
		{"an OCSP answer that holds too long", func(c *app.Config) { c.OCSP.Validity = 240*time.Hour + time.Second }, "ocsp.validity"},
		{"OCSP answers that no HTTP cache keeps", func(c *app.Config) { c.OCSP.MaxAge = 0 }, ""},
		{"a negative age of OCSP answers", func(c *app.Config) { c.OCSP.MaxAge = -1 }, "ocsp.max_age"},
		{"an unknown use of nonces", func(c *app.Config) { c.OCSP.Nonce = "yes" }, "ocsp.nonce"},
		{"no rate of live OCSP answers", func(c *app.Config) { c.OCSP.LiveRate = 0 }, "ocsp.live_rate"},
		{"little room for OCSP answers", func(c *app.Config) { c.OCSP.CacheBytes = 1 }, "ocsp.cache_bytes"},
		{"OCSP in certificates and not answered", func(c *app.Config) {
			c.OCSP.Without, c.OCSP.InCertificates = []string{"tls-ec"}, []string{"tls-ec"}
		}, "ocsp.in_certificates"},
		{"small bodies", func(c *app.Config) { c.Limits.BodyBytes = 65535 }, "limits.body_bytes"},
		{"no rate", func(c *app.Config) { c.Limits.CredentialRate = 0 }, "limits"},
		{"a rate that is no number", func(c *app.Config) { c.Limits.CredentialRate = nan }, "limits"},
		{"no burst", func(c *app.Config) { c.Limits.CredentialBurst = 0 }, "limits"},
		{"no rate of accounts", func(c *app.Config) { c.Limits.AccountRate = nan }, "limits"},
		{"no burst of forms", func(c *app.Config) { c.Limits.FormBurst = 0 }, "limits"},
		{"a negative rate", func(c *app.Config) { c.Limits.AddressRate = -1 }, "limits"},
		{"no burst of addresses", func(c *app.Config) { c.Limits.AddressBurst = 0 }, "limits"},
		{"no time for requests", func(c *app.Config) { c.Limits.RequestTimeout = 0 }, "limits.request_timeout"},
		{"no time to drain", func(c *app.Config) { c.DrainTimeout = -1 }, "drain_timeout"},
		{"a webhook that is no URL", func(c *app.Config) { c.Audit.WebhookURL = "siem" }, "audit.webhook_url"},
		{"a witness without a key", func(c *app.Config) { c.Audit.WitnessURL = "https://witness.example" }, "audit"},
		{"a witness with a bad key", func(c *app.Config) {
			c.Audit.WitnessURL, c.Audit.WitnessKey = "https://witness.example", "witness.example+00000000+AAAA"
		}, "audit.witness_key"},
		{"records of certificates kept for too short", func(c *app.Config) { c.Retention.Certificates = 17519 * time.Hour }, "retention"},
		{"events kept for too short", func(c *app.Config) { c.Retention.Audit = time.Hour }, "retention"},
		{"an archive of nothing", func(c *app.Config) { c.Retention.ArchiveDir = "x" }, "retention.archive_dir"},
		{"an unknown level", func(c *app.Config) { c.Log.Level = "loud" }, "log.level"},
		{"an unknown format", func(c *app.Config) { c.Log.Format = "xml" }, "log.format"},
		{"a ratio of more than all", func(c *app.Config) { c.Tracing.Ratio = 1.1 }, "tracing.ratio"},
		{"a ratio that is no number", func(c *app.Config) { c.Tracing.Ratio = nan }, "tracing.ratio"},
		{"a collector that is no URL", func(c *app.Config) { c.Tracing.Endpoint = "collector:4318" }, "tracing.endpoint"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parse(t, leastConfig)
			tt.change(&cfg)
			err := cfg.Check()
			if tt.field == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.field) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one problem of %s", err, tt.field)
			}
		})
	}
	t.Run("everything at once", func(t *testing.T) {
		cfg := app.Config{}
		err := cfg.Check()
		if n := len(strings.Split(err.Error(), "\n")); n < 9 {
			t.Errorf("%d problems are named: %v", n, err)
		}
	})
}

func TestLoadConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "telamon.yaml")
	if _, err := app.LoadConfig(path); err == nil {
		t.Error("a file that is not there is loaded")
	}
	if err := os.WriteFile(path, []byte(leastConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := app.LoadConfig(path)
	if err != nil || got.Database != "sqlite:telamon.db" {
		t.Errorf("loaded %+v, %v", got, err)
	}
}

// TestCheckValidation has what is wrong with the configuration of validation and mail.
func TestCheckValidation(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a resolver by name", "validation: {resolver: 'dns.example:53'}", "validation.resolver"},
		{"a bad issuer domain", "validation: {issuer_domains: ['ca example']}", "validation.issuer_domains"},
		{"a bad private suffix", "validation: {private_suffixes: ['-x']}", "validation.private_suffixes"},
		{"a bad blocked domain", "validation: {blocked_domains: ['*']}", "validation.blocked_domains"},
		{"a prefix with a blank", "validation: {token_prefix: 'a b'}", "validation.token_prefix"},
		{"no port", "validation: {http_port: 0}", "validation.http_port"},
		{"too long a wait", "validation: {inline: 1m}", "validation.inline"},
		{"no such rules", "validation: {rules_file: nowhere.yaml}", "validation.rules_file"},
		{"rules that are none", "validation: {rules_file: config_test.go}", "validation.rules_file"},
		{"a perspective without TLS", "validation: {perspectives: [{name: a, region: ARIN, url: 'http://a', ca_file: a, cert_file: b, key_file: c}]}", "validation.perspectives"},
		{"a perspective twice", "validation: {perspectives: [&p {name: a, region: ARIN, url: 'https://a', ca_file: a, cert_file: b, key_file: c}, *p]}", "is there twice"},
		{"a perspective without files", "validation: {perspectives: [{name: a, region: ARIN, url: 'https://a'}]}", "cert_file"},
		{"mail without a sender", "mail: {host: smtp.example.com}", "mail.from"},
		{"mail with an unknown word", "mail: {host: smtp.example.com, from: a@example.com, starttls: maybe}", "mail.host"},
		{"an agreement without a version", "portal: {agreement: ''}", "portal.agreement"},
		{"no administrators", "portal: {administrator_limit: 0}", "portal.administrator_limit"},
		{"a portal without TLS", "mail: {portal_url: 'http://portal.example.com'}", "mail.portal_url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parse(t, leastConfig+tt.text)
			if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check reports %v, want something about %s", err, tt.want)
			}
		})
	}
}
