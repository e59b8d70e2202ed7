package admin

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// RevocationReason is the body that says why a certificate is to be revoked.
type RevocationReason struct {
	Reason        telamon.RevocationReason `json:"reason"`
	CompromisedAt *time.Time               `json:"compromised_at,omitempty"`
}

func (in *RevocationReason) revocation() staff.Revocation {
	return staff.Revocation{Reason: in.Reason, CompromisedAt: valueOf(in.CompromisedAt)}
}

// RevokeCertificate is the body that revokes one certificate. Issuer is named for one
// that is in no ledger, since it was lost when the database was restored.
type RevokeCertificate struct {
	Issuer telamon.IssuerID `json:"issuer,omitempty"`
	RevocationReason
}

// A Revoked is a certificate that was revoked. If its key is compromised, Siblings is
// the plan to revoke every other certificate for the key: begin it, or leave it.
type Revoked struct {
	Serial   string `json:"serial"`
	Siblings *Bulk  `json:"siblings,omitempty"`
}

// NewBulk is the body that plans a bulk revocation. The account is given by name or ID.
type NewBulk struct {
	Filter telamon.RevocationFilter `json:"filter"`
	RevocationReason
}

// A Bulk is a bulk revocation as it is now.
type Bulk struct {
	ID            telamon.BulkID           `json:"id"`
	State         telamon.BulkState        `json:"state"`
	Filter        telamon.RevocationFilter `json:"filter"`
	Reason        telamon.RevocationReason `json:"reason"`
	CompromisedAt *time.Time               `json:"compromised_at,omitempty"`
	AsOf          time.Time                `json:"as_of"`
	Examined      int64                    `json:"examined"`
	Matched       int64                    `json:"matched"`
	Revoked       int64                    `json:"revoked"`
	RequestedBy   string                   `json:"requested_by"`
	CreatedAt     time.Time                `json:"created_at"`
	StartedAt     *time.Time               `json:"started_at,omitempty"`
	FinishedAt    *time.Time               `json:"finished_at,omitempty"`
	Sample        []telamon.BulkSample     `json:"sample"`
}

func bulkOf(b telamon.BulkRevocation) Bulk {
	return Bulk{
		ID: b.ID, State: b.State, Filter: b.Filter, Reason: b.Reason, CompromisedAt: timeOf(b.CompromisedAt), AsOf: b.AsOf,
		Examined: b.Examined, Matched: b.Matched, Revoked: b.Revoked, RequestedBy: b.RequestedBy, CreatedAt: b.CreatedAt,
		StartedAt: timeOf(b.StartedAt), FinishedAt: timeOf(b.FinishedAt), Sample: append([]telamon.BulkSample{}, b.Sample...),
	}
}

// A BlockedKey is a key that is certified no more: for its account, or for nobody.
type BlockedKey struct {
	ID      string                 `json:"id"` // for the "after" of lists
	Key     string                 `json:"key"`
	Account telamon.AccountID      `json:"account"`
	Source  telamon.KeyBlockSource `json:"source"`
	Serial  string                 `json:"serial,omitempty"`
	At      time.Time              `json:"at"`
}

func blockedKeyOf(b telamon.KeyBlock) BlockedKey {
	out := BlockedKey{ID: store.KeyBlockID(&b), Key: hex.EncodeToString(b.SPKIHash[:]), Account: b.Account, Source: b.Source, At: b.At}
	if b.Serial != nil {
		out.Serial = b.Serial.String()
	}
	return out
}

// BlockKey is the body that blocks a key: the SHA-256 of its SubjectPublicKeyInfo in
// hexadecimal, or a public key, CSR or certificate in PEM. Give one of them.
type BlockKey struct {
	Key string `json:"key,omitempty"`
	PEM string `json:"pem,omitempty"`
}

// hash returns the hash of the key's SubjectPublicKeyInfo.
func (in *BlockKey) hash() ([32]byte, error) {
	if filter := (telamon.RevocationFilter{Key: in.Key}); in.PEM == "" {
		if hash, ok := filter.KeyHash(); ok {
			return hash, nil
		}
	} else if hash, ok := keyInPEM(in.PEM); ok && in.Key == "" {
		return hash, nil
	}
	return [32]byte{}, &fault.Fault{
		Kind: fault.Invalid, Code: "invalid_key", Detail: "Give the SHA-256 of a SubjectPublicKeyInfo, or one public key, CSR or certificate in PEM.",
	}
}

func keyInPEM(text string) (hash [32]byte, ok bool) {
	if key, err := tbs.ParsePublicKey(text); err == nil {
		return key.Hash, true
	}
	if csr, err := tbs.ParseCSR(text); err == nil {
		return csr.PublicKey.Hash, true
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return hash, false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return hash, false
	}
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo), true
}

// serial reads the serial number in the path.
func (c *call) serial() (telamon.Serial, error) {
	serial, ours, err := telamon.ParseSerial(c.r.PathValue("serial"))
	if err != nil || !ours {
		return serial, fault.New(fault.NotFound, "certificate_not_found", "There is no such certificate.")
	}
	return serial, nil
}

func (s *server) revokeRoutes() {
	s.route("POST /certificates/{serial}/revoke", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		serial, err := c.serial()
		if err != nil {
			return nil, err
		}
		var in RevokeCertificate
		if err := c.body(&in); err != nil {
			return nil, err
		}
		var siblings *telamon.BulkRevocation
		if in.Issuer == "" {
			siblings, err = s.Staff.Revoke(ctx, c.actor, serial, in.revocation())
		} else {
			siblings, err = s.Staff.RevokeLost(ctx, c.actor, in.Issuer, serial, in.revocation())
		}
		if err != nil {
			return nil, err
		}
		out := Revoked{Serial: serial.String()}
		if siblings != nil {
			bulk := bulkOf(*siblings)
			out.Siblings = &bulk
		}
		return out, nil
	})
	listRoute(s, "GET /revocations", s.Staff.BulkRevocations, bulkOf, func(b telamon.BulkRevocation) string { return b.ID.String() })
	s.route("POST /revocations", http.StatusCreated, func(ctx context.Context, c *call) (any, error) {
		var in NewBulk
		if err := c.body(&in); err != nil {
			return nil, err
		}
		if in.Filter.Account != "" {
			account, err := c.accountNamed(ctx, in.Filter.Account.String())
			if err != nil {
				return nil, err
			}
			in.Filter.Account = account.ID
		}
		bulk, err := s.Staff.PlanRevocation(ctx, c.actor, in.Filter, in.revocation())
		return made(bulk, err, bulkOf)
	})
	s.route("GET /revocations/{revocation}", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		id, err := id(c, "revocation", telamon.ParseBulkID)
		if err != nil {
			return nil, err
		}
		bulk, err := s.Staff.BulkRevocation(ctx, c.actor, id)
		return bulkOf(bulk), err
	})
	s.route("POST /revocations/{revocation}/begin", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		id, err := id(c, "revocation", telamon.ParseBulkID)
		if err != nil {
			return nil, err
		}
		planned, err := s.Staff.BulkRevocation(ctx, c.actor, id)
		if err != nil {
			return nil, err
		}
		if planned.State != telamon.BulkPlanned { // what is approved must be counted
			return nil, fault.New(fault.Conflict, "wrong_state", "The bulk revocation is "+string(planned.State)+"; only a planned one can begin.")
		}
		if err := c.approve(ctx, authz.BulkExecute, fmt.Sprintf("revoke the %d certificates of %s", planned.Matched, id)); err != nil {
			return nil, err
		}
		bulk, err := s.Staff.BeginRevocation(ctx, c.actor, id)
		return bulkOf(bulk), err
	})
	s.keyRoutes()
}

func (s *server) keyRoutes() {
	listRoute(s, "GET /keys", s.Staff.BlockedKeys, blockedKeyOf, func(b telamon.KeyBlock) string { return store.KeyBlockID(&b) })
	s.route("POST /keys", http.StatusNoContent, func(ctx context.Context, c *call) (any, error) {
		var in BlockKey
		if err := c.body(&in); err != nil {
			return nil, err
		}
		hash, err := in.hash()
		if err != nil {
			return nil, err
		}
		return nil, s.Staff.BlockKey(ctx, c.actor, hash)
	})
	s.route("DELETE /keys/{key}", http.StatusNoContent, func(ctx context.Context, c *call) (any, error) {
		filter := telamon.RevocationFilter{Key: c.r.PathValue("key")}
		hash, ok := filter.KeyHash()
		if !ok {
			return nil, fault.New(fault.NotFound, "key_not_blocked", "This key is not blocked like this.")
		}
		var account telamon.AccountID
		if text := c.r.URL.Query().Get("account"); text != "" {
			found, err := c.accountNamed(ctx, text)
			if err != nil {
				return nil, err
			}
			account = found.ID
		}
		if err := c.approve(ctx, authz.KeyUnblock, "certify a blocked key again: "+filter.Key); err != nil {
			return nil, err
		}
		return nil, s.Staff.UnblockKey(ctx, c.actor, hash, account)
	})
}
