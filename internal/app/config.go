package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"

	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/retention"
	"github.com/telamon-ca/telamon/internal/signer"
	"github.com/telamon-ca/telamon/internal/web"
	"github.com/telamon-ca/telamon/internal/witness"
)

// Config is the configuration file. Each field's comment is its manual. Fields
// with an env tag may be given by that environment variable instead, which wins;
// they are those that hold secrets or differ between replicas.
type Config struct {
	// Database is "sqlite:PATH" for the embedded database, or a PostgreSQL
	// connection string for replicas that share one.
	Database string `yaml:"database" env:"TELAMON_DATABASE"`
	// Keys says where the keystore is and what it is encrypted under.
	Keys KeysConfig `yaml:"keys"`
	// Listen is the address of the TLS listener of all faces.
	Listen string `yaml:"listen" env:"TELAMON_LISTEN"`
	// StatusListen is the address of the plain HTTP listener: CRLs, OCSP, issuer
	// certificates, /healthz and /readyz.
	StatusListen string `yaml:"status_listen" env:"TELAMON_STATUS_LISTEN"`
	// MetricsListen is the private address of /metrics and /debug/pprof; "" turns
	// it off.
	MetricsListen string `yaml:"metrics_listen" env:"TELAMON_METRICS_LISTEN"`
	// AdminSocket is the path of the Unix socket of the admin API, mode 0600.
	AdminSocket string `yaml:"admin_socket" env:"TELAMON_ADMIN_SOCKET"`
	// AdminGroup is a group of the system whose members may open AdminSocket, which
	// then has the mode 0660. Who is none of Operators is refused.
	AdminGroup string `yaml:"admin_group"`
	// Operators are the people who operate the CA. Without any, whoever runs the
	// server is "the operator".
	Operators []OperatorConfig `yaml:"operators"`
	// FourEyes says whether changes of services and issuing CAs and bulk revocations
	// wait for the approval of a second operator: on, off, or auto, which is on if
	// there are at least two operators.
	FourEyes string `yaml:"four_eyes"`
	// StatusBaseURL is the http URL under which StatusListen is reached from
	// outside, without a final slash. It goes into every certificate, for that
	// certificate's life: there is no default and it must not change.
	StatusBaseURL string `yaml:"status_base_url"`
	// Names are the host names of the faces.
	Names NamesConfig `yaml:"names"`
	// TLS is the server's own certificate. Without files, the server issues
	// itself one from its TLS hierarchy and renews it.
	TLS TLSConfig `yaml:"tls"`
	// Proxy names proxies that end TLS in front of this server.
	Proxy ProxyConfig `yaml:"proxy"`
	// Atlas holds the settings of the Atlas face.
	Atlas AtlasConfig `yaml:"atlas"`
	// DigiCertONE holds the settings of the faces of DigiCert ONE.
	DigiCertONE DigiCertONEConfig `yaml:"digicert_one"`
	// Validation says how control of domains is validated.
	Validation ValidationConfig `yaml:"validation"`
	// Portal says how people register and sign in, where names.portal has a name.
	Portal PortalConfig `yaml:"portal"`
	// Lint says how certificates are linted before they are signed.
	Lint LintConfig `yaml:"lint"`
	// OCSP says how requests for the status of one certificate are answered.
	OCSP OCSPConfig `yaml:"ocsp"`
	// CT says which certificates carry timestamps of logs of Certificate Transparency.
	CT CTConfig `yaml:"ct"`
	// Mail is the server that takes our mail; without a host no mail is sent.
	Mail MailConfig `yaml:"mail"`
	// CRL says how often CRLs are published and where they are copied to.
	CRL CRLConfig `yaml:"crl"`
	// MTLSKeyTypes are the key types that mTLS certificates may have: RSA
	// (2048 to 8192 bits), EC-P256, EC-P384.
	MTLSKeyTypes []string `yaml:"mtls_key_types"`
	// BlockedKeysFile is a list of keys that are certified for nobody, as of
	// Debian's weak keys; "telamon blocklist" makes one. SIGHUP reads it anew.
	BlockedKeysFile string `yaml:"blocked_keys_file"`
	// Limits bound what one caller may take.
	Limits LimitsConfig `yaml:"limits"`
	// Audit says where the audit log's checkpoints are kept.
	Audit AuditConfig `yaml:"audit"`
	// Retention says for how long records are kept.
	Retention RetentionConfig `yaml:"retention"`
	// Log says what is logged, to standard error.
	Log LogConfig `yaml:"log"`
	// Tracing sends OpenTelemetry traces; off without an endpoint.
	Tracing TracingConfig `yaml:"tracing"`
	// DrainTimeout is how long requests in flight may take after a signal to stop.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
}

// KeysConfig says where the keystore is. Give either KEKFile or KEK.
type KeysConfig struct {
	// Dir is the keystore's directory, mode 0700.
	Dir string `yaml:"dir"`
	// KEKFile is a file of 32 bytes, as 64 hexadecimal digits, that encrypts
	// the keystore. Keep it apart from backups of Dir.
	KEKFile string `yaml:"kek_file"`
	// KEK is the content of such a file. It cannot stand in the file of the
	// configuration; only the environment gives it.
	KEK Secret `yaml:"-" env:"TELAMON_KEK"`
	// Signer is the process that has the CA keys. Without its socket they are in Dir.
	Signer SignerConfig `yaml:"signer"`
}

// SignerConfig names a telamon-signer, in which new CA keys are made. CA keys that
// are in the keystore's directory stay there until they are destroyed, and so do the
// platform's own secrets.
type SignerConfig struct {
	// Socket is the path of the signer's Unix socket.
	Socket string `yaml:"socket"`
	// CertFile and KeyFile are what this server proves itself by to the signer.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// SignerCertFile is the certificate that the signer proves itself by.
	SignerCertFile string `yaml:"signer_cert_file"`
	// UIDs are the users, by number, as which the signer may run; none is the server's
	// own.
	UIDs []uint32 `yaml:"uids"`
	// Wait is how long a request waits for a signer that does not answer, before it
	// gets 503 and /readyz turns red.
	Wait time.Duration `yaml:"wait"`
}

// NamesConfig holds the host names by which the face of a connection is chosen.
// A connection that names none of them gets the Atlas face.
type NamesConfig struct {
	// Atlas are the names of the Atlas API.
	Atlas []string `yaml:"atlas"`
	// Portal are the names of the portal, where people sign in and mailboxes approve
	// claims. Without one there is no portal, and no validation by e-mail.
	Portal []string `yaml:"portal"`
	// DigiCertONE are the base names of the API of DigiCert ONE, such as
	// one.example.com. For each, clientauth.one.example.com is served too, on which
	// clients are asked for certificates. Without one there is no such API.
	DigiCertONE []string `yaml:"digicert_one"`
	// Admin are the names of the admin API for machines, such as admin.example.com, on
	// which clients are asked for certificates. Without one it is on the admin socket
	// alone.
	Admin []string `yaml:"admin"`
}

// PortalConfig says how people register and sign in.
type PortalConfig struct {
	// Agreement is the version of the service agreement that people accept for a new
	// account, such as "4.2 of 2026-03-01". Its text is yours to give them. Who has
	// accepted an earlier version is not asked again.
	Agreement string `yaml:"agreement"`
	// AdministratorLimit is how many administrators the account of a service provider may
	// have.
	AdministratorLimit int `yaml:"administrator_limit"`
	// ProviderNetworks are private networks in which OpenID providers of accounts may be.
	// Customers choose the addresses of their providers, so that only public ones are asked
	// otherwise.
	ProviderNetworks []netip.Prefix `yaml:"provider_networks"`
	// CreditLimits are the totals, one for each currency, above which an operator must
	// clear a quote that was accepted before its services are there, such as "EUR 3500.00".
	// A currency that is not named needs no clearance.
	CreditLimits []string `yaml:"credit_limits"`
}

// TLSConfig names the files of the server's certificate; give both or none.
type TLSConfig struct {
	// CertFile is a PEM chain, the server's certificate first.
	CertFile string `yaml:"cert_file"`
	// KeyFile is its private key in PEM.
	KeyFile string `yaml:"key_file"`
}

// ProxyConfig names the proxies whose headers are believed.
type ProxyConfig struct {
	// Trusted are the addresses of proxies, as prefixes.
	Trusted []netip.Prefix `yaml:"trusted"`
	// Fingerprints are SHA-256 fingerprints of the client certificates by which
	// proxies authenticate themselves. Without any, client certificate headers
	// are not believed.
	Fingerprints []string `yaml:"fingerprints"`
	// InsecureSerialOnly believes X-SSL-Client-Serial from a trusted address, also
	// without a certificate of the proxy. The serial number selects one of our own
	// mTLS certificates; whoever can send from there is believed.
	InsecureSerialOnly bool `yaml:"insecure_serial_only"`
}

// AtlasConfig holds the settings of the Atlas face.
type AtlasConfig struct {
	// AtRoot serves the routes without /v2 as well.
	AtRoot bool `yaml:"at_root"`
}

// DigiCertONEConfig holds the settings of the faces of DigiCert ONE.
type DigiCertONEConfig struct {
	// SigningNeedsBoth makes signing need an API token beside the client certificate.
	SigningNeedsBoth bool `yaml:"signing_needs_both"`
	// AllowCertSelfIssue lets users make, enable, disable and delete client authentication
	// certificates by a client certificate alone, so that a program without an API token
	// can exchange its own before it ends. Otherwise that needs an API token.
	AllowCertSelfIssue bool `yaml:"allow_cert_self_issue"`
	// Burst and Sustained bound the requests of one API token, of one user by certificate
	// alone, and of one address without either; both hold.
	Burst     RateConfig `yaml:"burst"`
	Sustained RateConfig `yaml:"sustained"`
}

// RateConfig bounds requests.
type RateConfig struct {
	// Requests is how many may be made at once.
	Requests int `yaml:"requests"`
	// Window is the time in which as many may be made again.
	Window time.Duration `yaml:"window"`
}

// ValidationConfig says how control of domains is validated.
type ValidationConfig struct {
	// Resolver is the resolver that is asked: "unbound" starts one as a child of the
	// server, with a configuration of its own, that validates DNSSEC up to the root;
	// HOST:PORT is one that runs already, best on this machine. Without one, claims
	// cannot be verified.
	Resolver string `yaml:"resolver"`
	// DNSSEC says that the resolver of HOST:PORT validates, so that its AD bit is
	// believed. The one of "unbound" always does.
	DNSSEC bool `yaml:"dnssec"`
	// Unbound holds the settings of the resolver "unbound".
	Unbound UnboundConfig `yaml:"unbound"`
	// TokenPrefix stands before the random part of a token in what applicants publish.
	TokenPrefix string `yaml:"token_prefix"`
	// IssuerDomains are the names by which CAA records know this CA, such as
	// ca.example.com. Services with strict CAA need one; the first one is also the
	// host of account URIs (acct:ACCOUNT@HOST).
	IssuerDomains []string `yaml:"issuer_domains"`
	// PrivateSuffixes are domains that no registry serves and that you vouch for,
	// such as corp.internal: names under them can be claimed.
	PrivateSuffixes []string `yaml:"private_suffixes"`
	// BlockedDomains may not be claimed nor certified, with all below them.
	BlockedDomains []string `yaml:"blocked_domains"`
	// AllowNetworks are prefixes of addresses that files may be fetched from and that
	// may be claimed although they are not public, such as 10.0.0.0/8.
	AllowNetworks []netip.Prefix `yaml:"allow_networks"`
	// HTTPPort and HTTPSPort are where files are fetched from. Anything but 80 and 443
	// is for tests: no public CA may use it.
	HTTPPort  uint16 `yaml:"http_port"`
	HTTPSPort uint16 `yaml:"https_port"`
	// Inline is how long a request waits for the check that it asked for.
	Inline time.Duration `yaml:"inline"`
	// RulesFile replaces the built-in dated rules of public CAs (reuse periods,
	// perspectives, ends of methods); see internal/rules/rules.yaml for its form.
	RulesFile string `yaml:"rules_file"`
	// Perspectives are the remote network perspectives (telamon perspective) that
	// services with strict MPIC ask.
	Perspectives []PerspectiveConfig `yaml:"perspectives"`
}

// UnboundConfig holds the settings of the resolver that the server starts.
type UnboundConfig struct {
	// Binary is the program; "" looks for unbound.
	Binary string `yaml:"binary"`
	// Dir is where the server makes a directory for what it generates; "" is where the
	// system has such.
	Dir string `yaml:"dir"`
	// TrustAnchors are DS records, for networks with a root of their own; none are the
	// two of the public root.
	TrustAnchors []string `yaml:"trust_anchors"`
	// Forward are resolvers ADDRESS:PORT that are asked instead of the authoritative
	// servers, for networks that let no other DNS out. Their answers are validated.
	Forward []string `yaml:"forward"`
}

// LintConfig says how certificates are linted before they are signed, always and by
// the lints of their profile; see CERTIFICATES.md.
type LintConfig struct {
	// Ignore are names of lints that judge no certificate, such as
	// e_subj_email_not_in_san. The server warns at its start of each that belongs to
	// strict TLS: a public CA may ignore none.
	Ignore []string `yaml:"ignore"`
}

// CTConfig says which certificates are logged (RFC 6962): a precertificate is submitted
// to all logs at once, and the certificate carries the first timestamps that verify.
type CTConfig struct {
	// Series are the names of issuer series, such as strict-tls-ec, whose certificates
	// are logged if their service has strict content; none by default. A log publishes
	// every name: private ones are never logged.
	Series []string `yaml:"series"`
	// Logs are the logs, at least two and of at least two operators.
	Logs []CTLogConfig `yaml:"logs"`
	// SCTs is how many timestamps a certificate gets. Root programs ask for 2 up to a
	// validity of 180 days and for 3 above.
	SCTs int `yaml:"scts"`
	// Timeout is how long the logs may take together. If too few answered well, the
	// request gets 503.
	Timeout time.Duration `yaml:"timeout"`
	// CAFile holds the CA of logs that a public CA does not certify, in PEM; "" is the
	// system's.
	CAFile string `yaml:"ca_file"`
}

// CTLogConfig names one log.
type CTLogConfig struct {
	// URL is the log's prefix, before ct/v1/.
	URL string `yaml:"url"`
	// Key is its public key: base64 of the DER SubjectPublicKeyInfo, as lists of logs
	// have it.
	Key string `yaml:"key"`
	// Operator is whose log it is.
	Operator string `yaml:"operator"`
}

// PerspectiveConfig names one remote network perspective.
type PerspectiveConfig struct {
	// Name and Region must be those of the agent's own configuration. Region is that
	// of its regional Internet registry, such as RIPE NCC.
	Name   string `yaml:"name"`
	Region string `yaml:"region"`
	// URL is where the agent listens: https://HOST:PORT.
	URL string `yaml:"url"`
	// CAFile holds the CA of the agent's certificate in PEM, or Fingerprint is the
	// SHA-256 fingerprint of that certificate itself. Give one of them.
	CAFile      string `yaml:"ca_file"`
	Fingerprint string `yaml:"fingerprint"`
	// CertFile and KeyFile are the client certificate that the agent knows.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// MailConfig is the server that takes our mail.
type MailConfig struct {
	// Host is a name or an address, by which its certificate is verified.
	Host string `yaml:"host"`
	// Port is 587, or 465 with implicit_tls, by default.
	Port int `yaml:"port"`
	// STARTTLS is required, opportunistic or none.
	STARTTLS string `yaml:"starttls"`
	// ImplicitTLS speaks TLS from the start.
	ImplicitTLS bool `yaml:"implicit_tls"`
	// CAFile holds the CA of the server's certificate in PEM; "" is the system's.
	CAFile string `yaml:"ca_file"`
	// From is the sender: an address, or "Name <address>".
	From string `yaml:"from"`
	// Username logs in.
	Username string `yaml:"username"`
	// Password belongs to Username; only the environment gives it.
	Password Secret `yaml:"-" env:"TELAMON_MAIL_PASSWORD"`
	// Platform is what mails call this installation.
	Platform string `yaml:"platform"`
	// PortalURL is the address of the portal in mails, without a final slash; "" is
	// https:// and the first of names.portal, with the port of listen.
	PortalURL string `yaml:"portal_url"`
	// Operators are the mailboxes that are told of the platform's own matters: 30 and 7
	// days before an issuing CA is exchanged, and of requests that wait for a root.
	Operators []string `yaml:"operators"`
	// Vetting is the mailbox of the vetting agents, to which answers to mails about their
	// cases go; "" asks for none.
	Vetting string `yaml:"vetting"`
}

// CRLConfig says how often CRLs are published, how long they are good, and where they
// are copied to.
type CRLConfig struct {
	// Every is the time from one CRL of an issuing CA to the next if nothing is revoked;
	// at most 96h, as public CAs must. A revocation is on a CRL within a minute.
	Every time.Duration `yaml:"every"`
	// Lifetime is how long a CRL of an issuing CA is good: at least twice every, at most
	// 240h.
	Lifetime time.Duration `yaml:"lifetime"`
	// RootEvery and RootLifetime are the same for roots; at most 8760h.
	RootEvery    time.Duration `yaml:"root_every"`
	RootLifetime time.Duration `yaml:"root_lifetime"`
	// Directory is where every CRL is copied to, as crl/ISSUER/SHARD.crl, for a web
	// server or a CDN to serve; "" copies to none.
	Directory string `yaml:"directory"`
	// Bucket is an S3-compatible bucket that every CRL is copied to.
	Bucket BucketConfig `yaml:"bucket"`
}

// BucketConfig names an S3-compatible bucket.
type BucketConfig struct {
	// Endpoint is the service's URL, such as https://s3.eu-central-1.amazonaws.com; ""
	// copies to no bucket.
	Endpoint string `yaml:"endpoint"`
	// Name is the bucket's name; it goes into the path of requests.
	Name string `yaml:"name"`
	// Prefix stands before crl/ISSUER/SHARD.crl in the keys of objects, such as
	// "status/".
	Prefix string `yaml:"prefix"`
	// Region is what requests are signed for, such as eu-central-1.
	Region string `yaml:"region"`
	// AccessKey is the ID of the access key.
	AccessKey string `yaml:"access_key" env:"TELAMON_CRL_BUCKET_ACCESS_KEY"`
	// Secret belongs to AccessKey; only the environment gives it.
	Secret Secret `yaml:"-" env:"TELAMON_CRL_BUCKET_SECRET"`
}

// LimitsConfig bounds what one caller may take.
type LimitsConfig struct {
	// Connections is how many connections Listen and StatusListen each have at a
	// time; more wait until one ends. The process needs as many open files.
	Connections int `yaml:"connections"`
	// BodyBytes is the largest request body.
	BodyBytes int64 `yaml:"body_bytes"`
	// CredentialRate is how many requests a second one credential may make, on
	// average; CredentialBurst how many at once.
	CredentialRate  float64 `yaml:"credential_rate"`
	CredentialBurst int     `yaml:"credential_burst"`
	// AccountRate and AccountBurst are the same for all that one account has, over every
	// API together: its credentials, API tokens and client certificates. Refused requests
	// do not count.
	AccountRate  float64 `yaml:"account_rate"`
	AccountBurst int     `yaml:"account_burst"`
	// FormRate and FormBurst are the same for the forms that the people of one account
	// send in the portal. They are apart, so that who sees to it that a machine calls
	// less is not refused for its calls.
	FormRate  float64 `yaml:"form_rate"`
	FormBurst int     `yaml:"form_burst"`
	// AddressRate and AddressBurst are the same for logins and refused tokens of
	// one address, and for links of mails that it opens; an IPv6 client has a /64 of them.
	AddressRate  float64 `yaml:"address_rate"`
	AddressBurst int     `yaml:"address_burst"`
	// RequestTimeout is how long a request may take in all.
	RequestTimeout time.Duration `yaml:"request_timeout"`
}

// positive reports whether every rate and burst is, which NaN is not.
func (c *LimitsConfig) positive() bool {
	return min(c.CredentialRate, c.AccountRate, c.FormRate, c.AddressRate) > 0 &&
		min(c.CredentialBurst, c.AccountBurst, c.FormBurst, c.AddressBurst) > 0
}

// AuditConfig says where the signed checkpoints of the audit log go each minute. Keep
// one where whoever can change the database cannot: by it a log that was shortened
// or put back is told from a good one.
type AuditConfig struct {
	// CheckpointFile keeps the newest checkpoint. The server does not start on a
	// database whose log does not hold what this file holds.
	CheckpointFile string `yaml:"checkpoint_file"`
	// WebhookURL gets each checkpoint by POST, as text/plain.
	WebhookURL string `yaml:"webhook_url"`
	// WebhookSecret makes the HMAC of the header Telamon-Signature; only the
	// environment gives it.
	WebhookSecret Secret `yaml:"-" env:"TELAMON_AUDIT_WEBHOOK_SECRET"`
	// WitnessURL is the submission prefix of a witness (c2sp.org/tlog-witness) that
	// cosigns checkpoints.
	WitnessURL string `yaml:"witness_url"`
	// WitnessKey is the verifier key of its cosignatures, NAME+HASH+KEY.
	WitnessKey string `yaml:"witness_key"`
}

// problems returns what is wrong with the section.
func (c AuditConfig) problems() []error {
	var problems []error
	for field, text := range map[string]string{"audit.webhook_url": c.WebhookURL, "audit.witness_url": c.WitnessURL} {
		if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
			problems = append(problems, fmt.Errorf("%s: must be an http or https URL without a user", field))
		}
	}
	if (c.WitnessURL == "") != (c.WitnessKey == "") {
		problems = append(problems, errors.New("audit: give both witness_url and witness_key, or none"))
	}
	if c.WitnessKey != "" {
		if _, err := witness.NewCosigner(c.WitnessKey); err != nil {
			problems = append(problems, fmt.Errorf("audit.witness_key: %w", err))
		}
	}
	return problems
}

// RetentionConfig says for how long records are kept. Public CAs keep them for two years
// (17520h) at least; 0 is for good.
type RetentionConfig struct {
	// Certificates is how long a certificate stays in the database after its expiry,
	// with its request and the evidence of its validation.
	Certificates time.Duration `yaml:"certificates"`
	// ArchiveDir gets the certificates that are dropped, as files of compressed JSON by
	// the month of their expiry; "" keeps none of them.
	ArchiveDir string `yaml:"archive_dir"`
	// Audit is how long audit events, verifications and mails stay, and longer than
	// that while a certificate is kept that they are about. Events about CAs and their
	// keys stay for good, as do the hashes of all events: the log verifies.
	Audit time.Duration `yaml:"audit"`
}

// OCSPConfig says how OCSP is answered, at status_base_url/ocsp/ISSUER_ID.
type OCSPConfig struct {
	// Off answers nothing here; other replicas may.
	Off bool `yaml:"off"`
	// Without are issuer series for whose certificates nothing is answered.
	Without []string `yaml:"without"`
	// InCertificates are issuer series whose new certificates say where OCSP answers
	// for them. It must be answered for as long as those certificates live.
	InCertificates []string `yaml:"in_certificates"`
	// Validity is how long an answer holds: 8h to 240h.
	Validity time.Duration `yaml:"validity"`
	// MaxAge is how long HTTP caches may keep an answer. A revocation is known to
	// whoever asks through one only after that.
	MaxAge time.Duration `yaml:"max_age"`
	// Nonce is ignore or live. With live, a request with a nonce gets an answer of its
	// own, signed when it is asked for, as far as the live rates allow.
	Nonce string `yaml:"nonce"`
	// LiveRate is how many answers a second are signed for one request alone: those
	// with a nonce, and those to requests for several certificates.
	LiveRate float64 `yaml:"live_rate"`
	// LiveAddressRate is how many of them one address gets; an IPv6 client has a /64
	// of them.
	LiveAddressRate float64 `yaml:"live_address_rate"`
	// CacheBytes is how much memory the answers that are ready may take.
	CacheBytes int `yaml:"cache_bytes"`
}

// LogConfig says what is logged.
type LogConfig struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level" env:"TELAMON_LOG_LEVEL"`
	// Format is json or text.
	Format string `yaml:"format"`
}

// TracingConfig sends traces over OTLP/HTTP.
type TracingConfig struct {
	// Endpoint is the base URL of a collector, such as http://127.0.0.1:4318, to
	// whose v1/traces they go; "" is off.
	Endpoint string `yaml:"endpoint"`
	// Ratio is the part of requests that is traced, from 0 to 1.
	Ratio float64 `yaml:"ratio"`
}

// DefaultConfig returns the values of fields that the file leaves out.
func DefaultConfig() Config {
	return Config{
		Listen: ":8443", StatusListen: ":8080", MetricsListen: "127.0.0.1:9090",
		AdminSocket: "/run/telamon/admin.sock", FourEyes: fourEyesAuto, MTLSKeyTypes: []string{"RSA"},
		Keys:        KeysConfig{Signer: SignerConfig{Wait: signer.DefaultWait}},
		DigiCertONE: defaultDigiCertONE(),
		Validation: ValidationConfig{
			TokenPrefix: "globalsign-domain-verification=", HTTPPort: 80, HTTPSPort: 443, Inline: ra.DefaultInline,
		},
		CRL: defaultCRL(), Portal: defaultPortal(),
		CT:   CTConfig{SCTs: 2, Timeout: 10 * time.Second},
		Mail: MailConfig{STARTTLS: notify.STARTTLSRequired, Platform: "Telamon"},
		Limits: LimitsConfig{
			Connections: 10000, BodyBytes: 1 << 20, CredentialRate: 5000, CredentialBurst: 10000, AccountRate: 20000, AccountBurst: 40000, FormRate: 20, FormBurst: 400, AddressRate: 100, AddressBurst: 500,
			RequestTimeout: 30 * time.Second,
		},
		OCSP: OCSPConfig{
			Validity: 96 * time.Hour, MaxAge: 10 * time.Minute, Nonce: nonceIgnore, LiveRate: 200, LiveAddressRate: 10, CacheBytes: 64 << 20,
		},
		Log: LogConfig{Level: "info", Format: "json"}, Tracing: TracingConfig{Ratio: 0.1},
		DrainTimeout: 20 * time.Second,
	}
}

// LoadConfig reads a configuration file over the defaults and the environment
// over both. An unknown key is an error that names its line.
func LoadConfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return ParseConfig(text)
}

// ParseConfig is LoadConfig for text.
func ParseConfig(text []byte) (Config, error) {
	cfg := DefaultConfig()
	if err := decode(text, &cfg); err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	if err := env.Parse(&cfg); err != nil {
		return Config{}, fmt.Errorf("read environment: %w", err)
	}
	return cfg, nil
}

// decode reads the one document of a file over what cfg, a configuration, holds. A file
// that makes the decoder panic is an error as well: a reload must not end the server.
func decode[T any](text []byte, cfg *T) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the file confuses the decoder: %v", r)
		}
	}()
	decoder, defaults := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()), *cfg
	if err := decoder.Decode(cfg); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if reflect.ValueOf(*cfg).IsZero() { // a file without a value has set everything to nothing
		*cfg = defaults
	}
	if err := decoder.Decode(new(T)); !errors.Is(err, io.EOF) {
		return errors.New("the file holds a second document")
	}
	return nil
}

// Check reports everything that is wrong with the configuration for "serve".
func (c *Config) Check() error {
	var problems []error
	problem := func(field, text string) { problems = append(problems, fmt.Errorf("%s: %s", field, text)) }
	switch {
	case c.Database == "":
		problem("database", "is required")
	case strings.ContainsFunc(c.Database, unicode.IsControl):
		problem("database", "is not a single line") // as of a block of YAML
	}
	if c.Keys.Dir == "" {
		problem("keys.dir", "is required")
	}
	if (c.Keys.KEKFile == "") == (c.Keys.KEK == "") {
		problem("keys", "give either kek_file or the environment variable TELAMON_KEK")
	}
	if err := c.Keys.Signer.problem(); err != nil {
		problem("keys.signer", err.Error())
	}
	if err := checkStatusBaseURL(c.StatusBaseURL); err != nil {
		problem("status_base_url", err.Error())
	}
	for field, address := range map[string]string{"listen": c.Listen, "status_listen": c.StatusListen, "metrics_listen": c.MetricsListen} {
		if address == "" && field == "metrics_listen" {
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			problem(field, err.Error())
		}
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		problem("tls", "give both cert_file and key_file, or none")
	}
	if c.TLS.CertFile == "" && len(c.Names.Atlas) == 0 {
		problem("names.atlas", "is required if the server issues its own certificate")
	}
	if err := c.CRL.problem(); err != nil {
		problem("crl", err.Error())
	}
	for _, keyType := range c.MTLSKeyTypes {
		switch keyType {
		case "RSA", "EC-P256", "EC-P384":
		default:
			problem("mtls_key_types", fmt.Sprintf("%q is none of RSA, EC-P256, EC-P384", keyType))
		}
	}
	for _, text := range c.Proxy.Fingerprints {
		if _, err := web.ParseFingerprint(text); err != nil {
			problem("proxy.fingerprints", err.Error())
		}
	}
	problems = append(problems, c.operatorProblems()...)
	problems = append(problems, c.adminProblems()...)
	problems = append(problems, c.digicertONEProblems()...)
	problems = append(problems, c.Validation.problems()...)
	if err := lint.Known(c.Lint.Ignore); err != nil {
		problem("lint.ignore", err.Error())
	}
	if _, err := c.CT.submitter(nil, nil); err != nil {
		problem("ct", err.Error())
	}
	problems = append(problems, c.Portal.problems()...)
	problems = append(problems, c.Mail.problems(len(c.Names.Portal) > 0)...)
	problems = append(problems, c.Audit.problems()...)
	if table, err := c.Validation.rules(); err == nil { // or it is among the problems
		if err := retention.Check(table, c.Retention.Certificates, c.Retention.Audit); err != nil {
			problem("retention", err.Error())
		}
	}
	if c.Retention.ArchiveDir != "" && c.Retention.Certificates == 0 {
		problem("retention.archive_dir", "is of no use while certificates are kept for good")
	}
	problems = append(problems, c.OCSP.problems()...)
	if c.Limits.Connections < 1 {
		problem("limits.connections", "must be positive")
	}
	if c.Limits.BodyBytes < 64<<10 {
		problem("limits.body_bytes", "must be at least 65536")
	}
	if !c.Limits.positive() {
		problem("limits", "rates and bursts must be positive")
	}
	if c.Limits.RequestTimeout <= 0 || c.DrainTimeout <= 0 {
		problem("limits.request_timeout, drain_timeout", "must be positive")
	}
	if _, err := logLevel(c.Log.Level); err != nil {
		problem("log.level", err.Error())
	}
	if c.Log.Format != "json" && c.Log.Format != "text" {
		problem("log.format", "must be json or text")
	}
	if u, err := url.Parse(c.Tracing.Endpoint); c.Tracing.Endpoint != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		problem("tracing.endpoint", "must be an http or https URL")
	}
	if !(c.Tracing.Ratio >= 0 && c.Tracing.Ratio <= 1) { // nor is NaN
		problem("tracing.ratio", "must be from 0 to 1")
	}
	return errors.Join(problems...)
}

func checkStatusBaseURL(text string) error {
	if text == "" {
		return errors.New("is required: it goes into every certificate")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return err
	case u.Scheme != "http":
		return errors.New("must be an http URL: relying parties fetch it before they can check TLS (RFC 5280, Section 8)")
	case u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return errors.New("must be http://host/path and nothing else")
	case strings.HasSuffix(text, "/"):
		return errors.New("must not end in a slash")
	}
	return nil
}

// A Secret is a text that neither logs nor "config print" show.
type Secret string

const hidden = "[hidden]"

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}
