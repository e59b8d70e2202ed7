package ra

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// futureTolerance is how far a time of compromise may lie ahead of our clock.
const futureTolerance = 300 * time.Second

// Certificate returns one of the pair's certificates and its DER bytes. It
// reports NotFound if the pair has none with this serial.
func (ra *RA) Certificate(ctx context.Context, actor telamon.Actor, serial telamon.Serial) (*telamon.Certificate, []byte, error) {
	if _, err := ra.readScope(ctx, actor, authz.CertificateRead); err != nil {
		return nil, nil, err
	}
	cert, err := ra.store.Certificate(ctx, actor.Pair, serial)
	if err != nil {
		return nil, nil, err
	}
	blob, err := ra.store.CertificateBlob(ctx, cert)
	if err != nil {
		return nil, nil, err
	}
	return cert, blob.DER, nil
}

// A Revocation says why a certificate is to be revoked.
type Revocation struct {
	Reason        telamon.RevocationReason
	CompromisedAt time.Time // of the key; zero if not told, ignored unless Reason is keyCompromise
	Attestation   string    // PEM of a CSR made with the compromised key; "" if none
}

// Revoke revokes one of the pair's certificates. When it returns nil, the
// revocation is durable.
//
// It reports NotFound if the pair has no such certificate, Invalid if a member of
// the revocation cannot stand, and Conflict with already_revoked, except that a
// revoked certificate is changed to an attested key compromise if this is one.
func (ra *RA) Revoke(ctx context.Context, actor telamon.Actor, serial telamon.Serial, rev Revocation) error {
	cert, entry, block, err := ra.revocation(ctx, actor, serial, rev)
	if err != nil {
		return ra.refuse(ctx, actor, authz.CertificateRevoke, serial.String(), err)
	}
	after := map[string]any{"reason": entry.Reason, "attested": entry.Attested}
	if block != nil {
		after["key_blocked_by"] = block.Source
	}
	return ra.store.RevokeAndBlock(ctx, actor.Pair, serial, entry, block, telamon.Event{
		Actor: actor, Account: actor.Account, Action: string(authz.CertificateRevoke), Object: serial.String(), Result: "ok",
		Before: map[string]any{"status": cert.Status}, After: after,
	})
}

// revocation returns one of the pair's certificates, what its revocation says, and whom
// it keeps from certifying the key again, nil for nobody.
func (ra *RA) revocation(ctx context.Context, actor telamon.Actor, serial telamon.Serial, rev Revocation) (*telamon.Certificate, telamon.Revocation, *telamon.KeyBlock, error) {
	entry := telamon.Revocation{Reason: rev.Reason}
	scope, err := ra.readScope(ctx, actor, authz.CertificateRevoke)
	if err != nil {
		return nil, entry, nil, err
	}
	cert, err := ra.store.Certificate(ctx, actor.Pair, serial)
	if err != nil {
		return nil, entry, nil, err
	}
	if !slices.Contains(telamon.RevocationReasons, rev.Reason) {
		return nil, entry, nil, invalid("revocation_reason", "is unknown")
	}
	ofSubscriber := scope.Service.StrictContent || actor.Kind == telamon.ActorUser && actor.Account == scope.Account.ID
	if rev.Reason == telamon.ReasonPrivilegeWithdrawn && ofSubscriber { // BR 7.2.2: it is the CA's
		return nil, entry, nil, invalid("revocation_reason", "is not allowed")
	}
	if rev.Reason != telamon.ReasonKeyCompromise {
		return cert, entry, nil, nil
	}
	if rev.CompromisedAt.After(ra.clock.Now().Add(futureTolerance)) {
		return nil, entry, nil, invalid("revocation_time", "is in the future")
	}
	entry.CompromisedAt = rev.CompromisedAt
	block := &telamon.KeyBlock{SPKIHash: cert.SPKIHash, Account: actor.Account, Source: telamon.BlockedByAccount, Serial: &serial}
	if rev.Attestation != "" {
		csr, err := tbs.ParseCSR(rev.Attestation)
		if err != nil || csr.PublicKey.Hash != cert.SPKIHash {
			return nil, entry, nil, invalid("key_compromise_attestation", "is invalid")
		}
		entry.Attested = true
		if saysCompromised(csr) {
			block.Account, block.Source = "", telamon.BlockedByAttestation
		}
	}
	return cert, entry, block, nil
}

// compromisePhrase is what the common name of an attestation says, in any case, that
// blocks its key for everybody. It cannot stand in a name of a host.
const compromisePhrase = "key is compromised"

// saysCompromised reports whether a CSR was made to say that its key is compromised. One
// that was made for a certificate was not, and it is no secret: whoever has it could
// block the key of somebody else.
func saysCompromised(csr *tbs.CSR) bool {
	return strings.Contains(strings.ToLower(csr.Request.Subject.CommonName), compromisePhrase)
}

func invalid(path, problem string) error {
	return &fault.Fault{
		Kind: fault.Invalid, Code: "invalid_member", Detail: path + ": " + problem,
		Fields: []fault.Field{{Path: path, Problem: problem}},
	}
}

// IssuedCount returns how many certificates the pair was ever issued.
func (ra *RA) IssuedCount(ctx context.Context, actor telamon.Actor) (int64, error) {
	if _, err := ra.readScope(ctx, actor, authz.StatisticsRead); err != nil {
		return 0, err
	}
	return ra.store.IssuedTotal(ctx, actor.Pair)
}

// RevokedCount returns how many certificates of the pair were ever revoked.
func (ra *RA) RevokedCount(ctx context.Context, actor telamon.Actor) (int64, error) {
	if _, err := ra.readScope(ctx, actor, authz.StatisticsRead); err != nil {
		return 0, err
	}
	return ra.store.RevokedTotal(ctx, actor.Pair)
}

// Quota returns how many more certificates may be issued, UnlimitedQuota if the
// service draws none.
func (ra *RA) Quota(ctx context.Context, actor telamon.Actor) (int64, error) {
	scope, err := ra.readScope(ctx, actor, authz.StatisticsRead)
	if err != nil {
		return 0, err
	}
	if scope.Service.Unlimited {
		return UnlimitedQuota, nil
	}
	left, err := ra.store.Remaining(ctx, scope.Subscription.ID)
	return max(left, 0), err
}

// List returns a page of the pair's certificates and how many there are in all.
// Both bounds are inclusive and whole seconds; page counts from 1.
func (ra *RA) List(ctx context.Context, actor telamon.Actor, l store.Listing, from, to time.Time, page, perPage int64) ([]store.ListedCertificate, int64, error) {
	if _, err := ra.readScope(ctx, actor, authz.StatisticsRead); err != nil {
		return nil, 0, err
	}
	return ra.store.ListCertificates(ctx, l, actor.Pair, from, to, page, perPage)
}
