package admin

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// A Credential is an API key, without its secret.
type Credential struct {
	ID           telamon.CredentialID   `json:"id"`
	Name         string                 `json:"name"`
	APIKey       string                 `json:"api_key"`
	Subscription telamon.SubscriptionID `json:"subscription"`
	Identity     telamon.IdentityID     `json:"identity"`
	MTLS         telamon.MTLSMode       `json:"mtls"`
	AllowedIPs   []netip.Prefix         `json:"allowed_ips"`
	State        telamon.State          `json:"state"`
	LastUsedAt   *time.Time             `json:"last_used_at,omitempty"`
	LastUsedFrom string                 `json:"last_used_from,omitempty"`
	CreatedAt    time.Time              `json:"created_at"`
}

// NewCredential is the body that makes a credential.
type NewCredential struct {
	Name         string                 `json:"name"`
	Subscription telamon.SubscriptionID `json:"subscription"`
	Identity     telamon.IdentityID     `json:"identity"`
	MTLS         telamon.MTLSMode       `json:"mtls,omitempty"`
	AllowedIPs   []string               `json:"allowed_ips,omitempty"`
}

func (in *NewCredential) spec(account telamon.AccountID) iam.CredentialSpec {
	return iam.CredentialSpec{
		Account: account, Name: in.Name, Subscription: in.Subscription, Identity: in.Identity, MTLS: in.MTLS, AllowedIPs: in.AllowedIPs,
	}
}

// A CreatedCredential is a credential with its secret, which is shown once.
type CreatedCredential struct {
	Credential
	APISecret string `json:"api_secret"`
}

// Relink is the body that moves a credential to another subscription and identity.
type Relink struct {
	Subscription telamon.SubscriptionID `json:"subscription"`
	Identity     telamon.IdentityID     `json:"identity"`
}

// AllowedIPs is the body that replaces a credential's allow-list.
type AllowedIPs struct {
	AllowedIPs []string `json:"allowed_ips"`
}

// A ClientCertificate is an mTLS certificate, of credentials or of a user.
type ClientCertificate struct {
	ID          telamon.ClientCertID   `json:"id"`
	User        telamon.UserID         `json:"user,omitempty"`
	Name        string                 `json:"name,omitempty"` // of a user's
	Serial      string                 `json:"serial"`
	Subject     string                 `json:"subject"`
	Issuer      telamon.IssuerID       `json:"issuer"`
	Fingerprint string                 `json:"fingerprint"` // SHA-256 of the certificate
	NotAfter    time.Time              `json:"not_after"`
	State       telamon.State          `json:"state"`
	Credentials []telamon.CredentialID `json:"credentials"`
	Certificate string                 `json:"certificate"` // PEM
	CreatedAt   time.Time              `json:"created_at"`
	DeletedAt   *time.Time             `json:"deleted_at,omitempty"` // of a user's
}

func clientCertificateOf(cert telamon.ClientCert) ClientCertificate {
	out := ClientCertificate{
		ID: cert.ID, User: cert.User, Name: cert.Name, Serial: cert.Serial.String(), Issuer: cert.Issuer, Fingerprint: hex.EncodeToString(cert.Fingerprint[:]),
		NotAfter: cert.NotAfter, State: cert.State, Credentials: orEmpty(cert.Credentials), CreatedAt: cert.CreatedAt,
	}
	if !cert.DeletedAt.IsZero() {
		out.DeletedAt = &cert.DeletedAt
	}
	if cert.Certificate != nil {
		out.Subject, out.Certificate = cert.Certificate.Subject.String(), pemOf(cert.Certificate)
	}
	return out
}

func pemOf(certs ...*x509.Certificate) string {
	var text strings.Builder
	for _, cert := range certs {
		pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // a Builder does not fail
	}
	return text.String()
}

// NewClientCertificate is the body that asks for an mTLS certificate.
type NewClientCertificate struct {
	CSR         string                 `json:"csr"`         // PEM; of it only the key is read
	Credentials []telamon.CredentialID `json:"credentials"` // at least one
}

// An IssuedClientCertificate is an mTLS certificate that was just issued.
type IssuedClientCertificate struct {
	ClientCertificate
	Chain     string `json:"chain"` // PEM, from its issuing CA to the root
	KeyReused bool   `json:"key_reused"`
}

func issuedOf(cert iam.IssuedClientCert) IssuedClientCertificate {
	return IssuedClientCertificate{
		ClientCertificate: clientCertificateOf(cert.ClientCert), Chain: pemOf(cert.Chain...), KeyReused: cert.KeyReused,
	}
}

// Links is the body that changes the credentials that a certificate is good for.
type Links struct {
	Add    []telamon.CredentialID `json:"add,omitempty"`
	Remove []telamon.CredentialID `json:"remove,omitempty"`
}

// Revocation is the body that revokes; the reason is one of RFC 5280, Section
// 5.3.1, or empty.
type Revocation struct {
	Reason telamon.RevocationReason `json:"reason,omitempty"`
}

// Onboard is the body that onboards a customer who sent a public key.
type Onboard struct {
	NewCredential
	PublicKey string `json:"public_key"` // PEM of an RSA key or of a CSR
}

// An Onboarding is what such a customer gets.
type Onboarding struct {
	Credential        Credential              `json:"credential"`
	Encrypted         []byte                  `json:"encrypted_credential"` // RSAES-OAEP
	DecryptCommand    string                  `json:"decrypt_command"`
	ClientCertificate IssuedClientCertificate `json:"client_certificate"`
}

// credentialOf reads which subscription and identity the credential's pair is.
func (s *server) credentialOf(ctx context.Context, v telamon.Credential) (Credential, error) {
	pair, err := s.Store.Pair(ctx, v.Pair)
	return Credential{
		ID: v.ID, Name: v.Name, APIKey: v.Key, Subscription: pair.Subscription, Identity: pair.Identity, MTLS: v.MTLS,
		AllowedIPs: orEmpty(v.AllowedIPs), State: v.State, LastUsedAt: timeOf(v.LastUsedAt), LastUsedFrom: v.LastUsedFrom,
		CreatedAt: v.CreatedAt,
	}, err
}

func (s *server) credentialRoutes() {
	const all, one, name = "/accounts/{account}/credentials", "/accounts/{account}/credentials/{credential}", "credential"
	s.route("GET "+all, http.StatusOK, s.credentials)
	accountPostRoute(s, "POST "+all, func(ctx context.Context, c *call, account telamon.AccountID, in *NewCredential) (any, error) {
		created, secret, err := s.IAM.CreateCredential(ctx, c.actor, in.spec(account))
		if err != nil {
			return nil, err
		}
		credential, err := s.credentialOf(ctx, *created)
		return CreatedCredential{Credential: credential, APISecret: secret.Reveal()}, err
	})
	s.route("GET "+one, http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		account, credential, err := object(ctx, c, name, telamon.ParseCredentialID)
		if err != nil {
			return nil, err
		}
		found, err := s.IAM.Credential(ctx, c.actor, account, credential)
		if err != nil {
			return nil, err
		}
		return s.credentialOf(ctx, found)
	})
	actionRoute(s, "POST "+one+"/disable", name, telamon.ParseCredentialID, s.IAM.DisableCredential)
	actionRoute(s, "POST "+one+"/enable", name, telamon.ParseCredentialID, s.IAM.EnableCredential)
	actionRoute(s, "DELETE "+one, name, telamon.ParseCredentialID, s.IAM.DeleteCredential)
	changeRoute(s, "POST "+one+"/relink", name, telamon.ParseCredentialID,
		func(ctx context.Context, c *call, account telamon.AccountID, credential telamon.CredentialID, in *Relink) error {
			return s.IAM.RelinkCredential(ctx, c.actor, account, credential, in.Subscription, in.Identity)
		})
	changeRoute(s, "PUT "+one+"/allowed-ips", name, telamon.ParseCredentialID,
		func(ctx context.Context, c *call, account telamon.AccountID, credential telamon.CredentialID, in *AllowedIPs) error {
			return s.IAM.SetAllowedIPs(ctx, c.actor, account, credential, in.AllowedIPs)
		})
	s.clientCertificateRoutes()
	accountPostRoute(s, "POST /accounts/{account}/onboard", s.onboard)
}

func (s *server) credentials(ctx context.Context, c *call) (any, error) {
	account, err := c.accountID(ctx)
	if err != nil {
		return nil, err
	}
	page, err := c.page()
	if err != nil {
		return nil, err
	}
	rows, err := s.IAM.Credentials(ctx, c.actor, account, page)
	if err != nil {
		return nil, err
	}
	list := listOf(rows, page, func(telamon.Credential) Credential { return Credential{} },
		func(v telamon.Credential) string { return v.ID.String() })
	for i, row := range rows {
		if list.Items[i], err = s.credentialOf(ctx, row); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *server) clientCertificateRoutes() {
	const all, name = "/accounts/{account}/client-certificates", "client_certificate"
	const one = all + "/{client_certificate}"
	accountListRoute(s, "GET "+all, s.IAM.ClientCerts, clientCertificateOf, func(v telamon.ClientCert) string { return v.ID.String() })
	accountPostRoute(s, "POST "+all, func(ctx context.Context, c *call, account telamon.AccountID, in *NewClientCertificate) (any, error) {
		cert, err := s.IAM.IssueClientCert(ctx, c.actor, iam.ClientCertRequest{Account: account, Credentials: in.Credentials, CSR: in.CSR})
		return made(cert, err, issuedOf)
	})
	objectRoute(s, "GET "+one, name, telamon.ParseClientCertID, s.IAM.ClientCert, clientCertificateOf)
	actionRoute(s, "POST "+one+"/disable", name, telamon.ParseClientCertID, s.IAM.DisableClientCert)
	actionRoute(s, "POST "+one+"/enable", name, telamon.ParseClientCertID, s.IAM.EnableClientCert)
	changeRoute(s, "POST "+one+"/revoke", name, telamon.ParseClientCertID,
		func(ctx context.Context, c *call, account telamon.AccountID, cert telamon.ClientCertID, in *Revocation) error {
			return s.IAM.RevokeClientCert(ctx, c.actor, account, cert, in.Reason)
		})
	changeRoute(s, "POST "+one+"/links", name, telamon.ParseClientCertID,
		func(ctx context.Context, c *call, account telamon.AccountID, cert telamon.ClientCertID, in *Links) error {
			return s.IAM.ChangeClientCertLinks(ctx, c.actor, account, cert, in.Add, in.Remove)
		})
}

func (s *server) onboard(ctx context.Context, c *call, account telamon.AccountID, in *Onboard) (any, error) {
	onboarded, err := s.IAM.Onboard(ctx, c.actor, in.spec(account), in.PublicKey)
	if err != nil {
		return nil, err
	}
	credential, err := s.credentialOf(ctx, onboarded.Credential)
	return Onboarding{
		Credential: credential, Encrypted: onboarded.Delivery, DecryptCommand: iam.DecryptCommand,
		ClientCertificate: issuedOf(onboarded.ClientCert),
	}, err
}
