package playground

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed" // the policies
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/digicertone"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/signing"
	"github.com/telamon-ca/telamon/internal/tbs"
)

//go:embed policies/private.json
var privatePolicy []byte

//go:embed policies/tls.json
var tlsPolicy []byte

//go:embed policies/full.json
var fullPolicy []byte

// accountName is the name of the playground's account.
const accountName = "playground"

// quota is what each subscription is granted, in certificates.
const quota = 1_000_000

// credentialSpec is one way that clients work: a service with a policy, and a
// credential of the same name.
type credentialSpec struct {
	name             string
	keyType          string
	lengths          []int
	keyFormat        string
	keySignature     string
	series           string
	domainValidation bool
	full             bool
}

var credentials = []credentialSpec{
	{name: "dev_pkcs10", keyType: "RSA", lengths: []int{2048, 3072, 4096}, keyFormat: "PKCS10", keySignature: "FORBIDDEN", series: app.SeriesTLSRSA},
	{name: "dev_pkcs8", keyType: "RSA", lengths: []int{2048, 3072, 4096}, keyFormat: "PKCS8", keySignature: "FORBIDDEN", series: app.SeriesTLSRSA},
	{name: "dev_pkcs8_signed", keyType: "RSA", lengths: []int{2048, 3072, 4096}, keyFormat: "PKCS8", keySignature: "REQUIRED", series: app.SeriesTLSRSA},
	{name: "dev_ecdsa", keyType: "ECDSA", lengths: []int{256, 384, 521}, keyFormat: "PKCS10", keySignature: "FORBIDDEN", series: app.SeriesTLSEC},
	{name: "dev_tls", keyType: "RSA", lengths: []int{2048, 3072, 4096}, keyFormat: "PKCS10", keySignature: "FORBIDDEN", series: app.SeriesTLSRSA, domainValidation: true},
	{name: "dev_full", keyType: "RSA", keyFormat: "PKCS10", keySignature: "FORBIDDEN", series: app.SeriesTLSRSA, full: true},
}

// policy returns the template of the service's policy.
func (c *credentialSpec) policy() ([]byte, error) {
	if c.full {
		return fullPolicy, nil
	}
	template := privatePolicy
	if c.domainValidation {
		template = tlsPolicy
	}
	var model map[string]any
	if err := json.Unmarshal(template, &model); err != nil {
		return nil, fmt.Errorf("the policy of %s: %w", c.name, err)
	}
	algorithms := []string{"RSA", "RSA-PSS"}
	switch {
	case c.domainValidation:
		algorithms = algorithms[:1]
	case strings.HasSuffix(c.series, "-ec"):
		algorithms = []string{"ECDSA"}
	}
	model["signature"] = map[string]any{
		"algorithm":      map[string]any{"presence": "OPTIONAL", "list": algorithms},
		"hash_algorithm": map[string]any{"presence": "OPTIONAL", "list": []string{"SHA-256", "SHA-384", "SHA-512"}},
	}
	if usages, ok := model["key_usages"].(map[string]any); ok && c.keyType == "ECDSA" {
		usages["key_encipherment"] = "STATIC_FALSE" // RFC 5480, Section 3
	}
	model["public_key"] = map[string]any{"key_type": c.keyType, "allowed_lengths": c.lengths, "key_format": c.keyFormat}
	model["public_key_signature"] = c.keySignature
	return json.Marshal(model)
}

// operator is the actor of all that the playground makes.
var operator = telamon.Actor{Kind: telamon.ActorOperator}

// describe returns the playground's description with the addresses of this run. It
// makes the account and all that belongs to it if they are not there.
func (p *playground) describe(ctx context.Context, server *app.Server) (*Description, error) {
	d, err := ReadDescription(p.path(descriptionFile))
	if err != nil {
		d = &Description{Account: accountName, ServerCAFile: p.path(serverCAFile), ConfigFile: p.path(configFile)}
		if err := p.furnish(ctx, d); err != nil {
			return nil, err
		}
	}
	if d.DigiCertONE != nil {
		port := fmt.Sprint(server.Addr.(*net.TCPAddr).Port)
		d.DigiCertONE.BaseURL = "https://" + net.JoinHostPort(digicertONEHost, port)
		d.DigiCertONE.ClientAuthURL = "https://" + net.JoinHostPort(digicertone.ClientAuthPrefix+digicertONEHost, port)
	}
	d.AtlasURL, d.StatusURL = "https://"+reachable(server.Addr)+"/v2", p.cfg.StatusBaseURL
	p.describeWorld(d, server)
	if err := p.writeServerCA(); err != nil {
		return nil, err
	}
	return d, d.write(p.Dir)
}

// reachable returns an address that a client of this machine can dial.
func reachable(addr net.Addr) string {
	tcp := addr.(*net.TCPAddr)
	if tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
	}
	return tcp.String()
}

func (p *playground) furnish(ctx context.Context, d *Description) error {
	use := p.app.IAM
	account, err := use.CreateAccount(ctx, operator, iam.NewAccount{Name: accountName})
	if err != nil {
		return err
	}
	identity, err := p.app.ActiveIdentity(ctx, operator, account.ID, "Telamon Playground",
		map[string]string{"organization": "Telamon Playground", "country": "GB", "locality": "London"})
	if err != nil {
		return err
	}
	if err := p.addPerson(ctx, account.ID, d); err != nil {
		return err
	}
	for i := range credentials {
		made, err := p.addCredential(ctx, account.ID, identity.ID, &credentials[i])
		if err != nil {
			return fmt.Errorf("make %s: %w", credentials[i].name, err)
		}
		d.Credentials = append(d.Credentials, *made)
	}
	if err := p.addServiceUser(ctx, account.ID, d); err != nil {
		return err
	}
	return p.addKeyPair(ctx, account.ID, d)
}

// addKeyPair makes a key pair with a certificate, by which the service user can sign.
func (p *playground) addKeyPair(ctx context.Context, account telamon.AccountID, d *Description) error {
	k, err := p.app.Signing.Create(ctx, operator, signing.NewKeyPair{
		Account: account, Name: "playground-key", KeyType: string(tbs.ECP256), Certify: &signing.NewCertificate{CommonName: "Telamon Playground"},
	})
	if err != nil {
		return fmt.Errorf("make the key pair: %w", err)
	}
	d.DigiCertONE.KeyPairID = digicertone.KeyPairID(k.ID)
	return nil
}

// digicertONEHost is the base name of the playground's API of DigiCert ONE.
const digicertONEHost = "one.localhost"

// addServiceUser makes the service user of DigiCert ONE, who may do all that there is.
func (p *playground) addServiceUser(ctx context.Context, account telamon.AccountID, d *Description) error {
	user, token, err := p.app.IAM.CreateServiceUser(ctx, operator, iam.NewServiceUser{
		Account: account, FriendlyName: "playground-service-user", Description: "made by telamon dev", Email: userEmail,
		Roles: []string{"AM_ACCOUNT_ADMIN", "SM_KEY_MANAGER", "SM_SIGNER"},
	})
	if err != nil {
		return fmt.Errorf("make the service user: %w", err)
	}
	d.DigiCertONE = &DigiCertONE{APIKey: token, UserID: digicertone.UserID(user.ID)}
	return nil
}

// addCredential makes a service, a subscription with quota, a credential and its
// mTLS certificate.
func (p *playground) addCredential(ctx context.Context, account telamon.AccountID, identity telamon.IdentityID, spec *credentialSpec) (*Credential, error) {
	use := p.app.IAM
	template, err := spec.policy()
	if err != nil {
		return nil, err
	}
	service, err := use.CreateService(ctx, operator, iam.ServiceSpec{
		Name: spec.name, PolicyTemplate: template, Series: spec.series, DomainValidation: spec.domainValidation,
		StrictContent: spec.domainValidation, StrictCAA: spec.domainValidation,
	})
	if err != nil {
		return nil, err
	}
	subscription, err := use.Subscribe(ctx, operator, account, service.ID)
	if err != nil {
		return nil, err
	}
	_, err = use.GrantQuota(ctx, operator, iam.Grant{
		Account: account, Subscription: subscription.ID, Amount: quota, EndsAt: p.Clock.Now().AddDate(10, 0, 0),
	})
	if err != nil {
		return nil, err
	}
	made, secret, err := use.CreateCredential(ctx, operator, iam.CredentialSpec{
		Account: account, Name: spec.name, Subscription: subscription.ID, Identity: identity,
	})
	if err != nil {
		return nil, err
	}
	out := &Credential{
		Name: spec.name, APIKey: made.Key, APISecret: secret.Reveal(), DomainValidation: spec.domainValidation,
		CertFile: p.path(spec.name + ".crt"), KeyFile: p.path(spec.name + ".key"), HVClientConfigFile: p.path("hvclient-" + spec.name + ".json"),
		KeyType: spec.keyType, KeyFormat: spec.keyFormat, SignsKeys: spec.keySignature == "REQUIRED",
	}
	return out, p.addClientCert(ctx, account, made.ID, out)
}

// addClientCert makes the credential's mTLS key and has it certified, as a
// customer who pastes a CSR into the portal.
func (p *playground) addClientCert(ctx context.Context, account telamon.AccountID, credential telamon.CredentialID, c *Credential) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	cert, err := p.app.IAM.IssueClientCert(ctx, operator, iam.ClientCertRequest{
		Account: account, Credentials: []telamon.CredentialID{credential},
		CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})),
	})
	if err != nil {
		return err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate.Raw})
	if err := writeFile(c.CertFile, chain); err != nil {
		return err
	}
	return writeFile(c.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// writeServerCA writes the roots by which clients verify the server's certificate
// and those that it issues.
func (p *playground) writeServerCA() error {
	roots := map[string][]byte{}
	for _, name := range []string{app.SeriesTLSRSA, app.SeriesTLSEC} {
		series, err := p.app.Issuance.SeriesNamed(name)
		if err != nil {
			return err
		}
		issuer, err := p.app.Issuance.Active(series.ID)
		if err != nil {
			return err
		}
		chain, err := p.app.Issuance.Chain(issuer.ID)
		if err != nil {
			return err
		}
		root := chain[len(chain)-1]
		roots[string(root.RawSubject)] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	}
	var text []byte
	for root := range maps.Values(roots) {
		text = append(text, root...)
	}
	return writeFile(p.path(serverCAFile), text)
}
