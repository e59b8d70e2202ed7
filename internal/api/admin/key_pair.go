package admin

import (
	"context"
	"encoding/pem"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/signing"
)

// A KeyPair is a key pair of an account that signs hashes.
type KeyPair struct {
	ID          telamon.KeyPairID        `json:"id"`
	Name        string                   `json:"name"`
	KeyType     string                   `json:"key_type"`
	KeyName     string                   `json:"key_name"` // in the keystore
	State       telamon.State            `json:"state"`
	PublicKey   string                   `json:"public_key"` // PEM
	Serial      string                   `json:"serial,omitempty"`
	Subject     string                   `json:"subject,omitempty"`
	Issuer      telamon.IssuerID         `json:"issuer,omitempty"`
	NotAfter    *time.Time               `json:"not_after,omitempty"`
	Certificate string                   `json:"certificate,omitempty"` // PEM
	RevokedAt   *time.Time               `json:"revoked_at,omitempty"`
	Reason      telamon.RevocationReason `json:"reason,omitempty"`
	CreatedAt   time.Time                `json:"created_at"`
}

func keyPairOf(k telamon.KeyPair) KeyPair {
	out := KeyPair{
		ID: k.ID, Name: k.Name, KeyType: k.KeyType, KeyName: k.KeyName, State: k.State, CreatedAt: k.CreatedAt,
		PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.SPKI})),
	}
	if k.Certificate != nil {
		out.Serial, out.Subject, out.Issuer = k.Serial.String(), k.Certificate.Subject.String(), k.Issuer
		out.NotAfter, out.Certificate = timeOf(k.Certificate.NotAfter), pemOf(k.Certificate)
	}
	if k.Revocation != nil {
		out.RevokedAt, out.Reason = timeOf(k.Revocation.At), k.Revocation.Reason
	}
	return out
}

// NewKeyPair is the body that makes a key pair.
type NewKeyPair struct {
	Name        string              `json:"name"`
	KeyType     string              `json:"key_type"`              // such as "EC-P256" or "RSA-3072"
	Certificate *KeyPairCertificate `json:"certificate,omitempty"` // asks for one
}

// KeyPairCertificate asks for a certificate of a key pair.
type KeyPairCertificate struct {
	CommonName string `json:"common_name,omitempty"` // default: the key pair's name
	Days       int    `json:"days,omitempty"`        // default: 365
}

func (s *server) keyPairRoutes() {
	const all, name = "/accounts/{account}/key-pairs", "key_pair"
	const one = all + "/{key_pair}"
	accountListRoute(s, "GET "+all, s.Signing.Page, keyPairOf, func(k telamon.KeyPair) string { return k.ID.String() })
	accountPostRoute(s, "POST "+all, func(ctx context.Context, c *call, account telamon.AccountID, in *NewKeyPair) (any, error) {
		req := signing.NewKeyPair{Account: account, Name: in.Name, KeyType: in.KeyType}
		if in.Certificate != nil {
			req.Certify = &signing.NewCertificate{CommonName: in.Certificate.CommonName, Days: in.Certificate.Days}
		}
		k, err := s.Signing.Create(ctx, c.actor, req)
		return made(k, err, keyPairOf)
	})
	objectRoute(s, "GET "+one, name, telamon.ParseKeyPairID, s.Signing.KeyPair, keyPairOf)
	actionRoute(s, "POST "+one+"/disable", name, telamon.ParseKeyPairID, s.Signing.Disable)
	actionRoute(s, "POST "+one+"/enable", name, telamon.ParseKeyPairID, s.Signing.Enable)
	changeRoute(s, "POST "+one+"/revoke", name, telamon.ParseKeyPairID,
		func(ctx context.Context, c *call, account telamon.AccountID, id telamon.KeyPairID, in *Revocation) error {
			return s.Signing.Revoke(ctx, c.actor, account, id, in.Reason)
		})
	actionRoute(s, "DELETE "+one, name, telamon.ParseKeyPairID, s.Signing.Delete)
}
