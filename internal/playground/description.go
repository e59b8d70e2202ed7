package playground

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Description is what DIR/dev.json says of a playground. It holds secrets, as
// the rest of DIR does: they open nothing but the playground.
type Description struct {
	AtlasURL     string       `json:"atlas_url"`  // of the Atlas API, with its /v2
	StatusURL    string       `json:"status_url"` // of issuer certificates and /healthz
	ServerCAFile string       `json:"server_ca_file"`
	ConfigFile   string       `json:"config_file"` // for "telamon admin -config"
	Account      string       `json:"account"`     // the name of the account
	Credentials  []Credential `json:"credentials"`
	// DigiCertONE is nil in playgrounds that were made without it.
	DigiCertONE *DigiCertONE `json:"digicert_one,omitempty"`

	// The world in which domains are validated: DNS, web servers and mail, which only
	// this machine reaches. See docs/DOMAIN-VALIDATION.md.
	PortalURL      string   `json:"portal_url"`       // where people sign in, and mailboxes approve
	AdminURL       string   `json:"admin_url"`        // of the admin API for machines
	DNSAddr        string   `json:"dns_addr"`         // answers for every name, over UDP and TCP
	DNSControlURL  string   `json:"dns_control_url"`  // of /records and /faults
	HTTPControlURL string   `json:"http_control_url"` // of /files/HOST/PATH
	MailboxURL     string   `json:"mailbox_url"`      // the mails so far, as JSON
	IssuerDomains  []string `json:"issuer_domains"`   // by which CAA records know the playground
	Users          []User   `json:"users"`
}

// A User is a person of the account, who can sign in to the portal.
type User struct {
	Email      string `json:"email"`
	Password   string `json:"password,omitempty"`    // "" in playgrounds that were made without it
	TOTPSecret string `json:"totp_secret,omitempty"` // of one-time passwords, in base32 (RFC 6238)
}

// DigiCertONE is a service user of the API of DigiCert ONE, who may do all that there is.
// The hosts of its URLs are of this machine: curl and browsers know that of every name
// under localhost.
type DigiCertONE struct {
	BaseURL       string `json:"base_url"`       // without a path, such as https://one.localhost:8443
	ClientAuthURL string `json:"clientauth_url"` // the same of the face that asks for certificates
	APIKey        string `json:"api_key"`
	UserID        string `json:"user_id"`     // as the API spells it
	KeyPairID     string `json:"key_pair_id"` // of a key pair that signs; likewise
}

// A Credential is one way that clients work.
type Credential struct {
	Name               string `json:"name"`
	APIKey             string `json:"api_key"`
	APISecret          string `json:"api_secret"`
	CertFile           string `json:"cert_file"`
	KeyFile            string `json:"key_file"`
	HVClientConfigFile string `json:"hvclient_config_file"`
	DomainValidation   bool   `json:"domain_validation"`
	KeyType            string `json:"key_type"`   // of the keys that are certified: RSA or ECDSA
	KeyFormat          string `json:"key_format"` // PKCS10 or PKCS8
	SignsKeys          bool   `json:"signs_keys"` // public_key_signature is required
}

// ReadDescription reads a dev.json.
func ReadDescription(path string) (*Description, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the playground's description: %w", err)
	}
	d := &Description{}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return d, nil
}

// Credential returns the credential of a name.
func (d *Description) Credential(name string) (*Credential, error) {
	var names []string
	for i := range d.Credentials {
		if d.Credentials[i].Name == name {
			return &d.Credentials[i], nil
		}
		names = append(names, d.Credentials[i].Name)
	}
	return nil, fmt.Errorf("there is no credential %q: give one of %s", name, strings.Join(names, ", "))
}

// hvclientConfig is the configuration file of hvclient.
type hvclientConfig struct {
	URL       string `json:"url"`
	APIKey    string `json:"api_key"`
	APISecret string `json:"api_secret"`
	CertFile  string `json:"cert_file"`
	KeyFile   string `json:"key_file"`
	Timeout   int    `json:"timeout"` // seconds
}

// write writes dev.json, last of all: where it stands, the playground is complete.
func (d *Description) write(dir string) error {
	for i := range d.Credentials {
		c := &d.Credentials[i]
		config := hvclientConfig{URL: d.AtlasURL, APIKey: c.APIKey, APISecret: c.APISecret, CertFile: c.CertFile, KeyFile: c.KeyFile, Timeout: 60}
		if err := writeJSON(c.HVClientConfigFile, config); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(dir, descriptionFile), d)
}

// writeJSON replaces a file that its owner alone can read, at once.
func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'))
}

func writeFile(path string, text []byte) error {
	draft := path + ".new"
	if err := os.WriteFile(draft, text, 0o600); err != nil {
		return err
	}
	return os.Rename(draft, path)
}
