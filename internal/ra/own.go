package ra

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Holding is a certificate of an account, with all that is known of it.
type Holding struct {
	Certificate telamon.Certificate
	Pair        telamon.Pair
	DER         []byte
	Chain       []*x509.Certificate // of its own issuer, that first
	Names       []telamon.NameEvidence
	// Verifications are what Names refer to, as far as they are kept.
	Verifications map[telamon.VerificationID]telamon.Verification
	Requester     *telamon.Requester    // nil if a credential requested it
	Rekeys        []telamon.Certificate // of it, the newest first, at most maxRekeys
}

// maxRekeys is how many rekeys of a certificate are shown with it.
const maxRekeys = 20

// owned returns a certificate of the actor's account, and the actor as one who acts for
// its pair. It reports NotFound for one of another account.
func (ra *RA) owned(ctx context.Context, actor telamon.Actor, action authz.Action, serial telamon.Serial) (telamon.Actor, *store.CertificateNames, error) {
	if err := authz.Check(actor, action, actor.Account); err != nil {
		return actor, nil, err
	}
	kept, err := ra.store.CertificateEvidence(ctx, serial)
	if err != nil {
		return actor, nil, err
	}
	if kept.Account != actor.Account {
		return actor, nil, fault.New(fault.NotFound, "certificate_not_found", "Not found")
	}
	actor, err = ra.For(ctx, actor, kept.Certificate.Pair)
	return actor, kept, err
}

// ForCertificate returns the actor as one who acts for the pair of a certificate of their
// account. It reports NotFound for one of another account.
func (ra *RA) ForCertificate(ctx context.Context, actor telamon.Actor, serial telamon.Serial) (telamon.Actor, error) {
	actor, _, err := ra.owned(ctx, actor, authz.CertificateRead, serial)
	return actor, err
}

// Holding returns a certificate of the actor's account. It reports NotFound.
func (ra *RA) Holding(ctx context.Context, actor telamon.Actor, serial telamon.Serial) (*Holding, error) {
	actor, kept, err := ra.owned(ctx, actor, authz.CertificateRead, serial)
	if err != nil {
		return nil, err
	}
	h := &Holding{Certificate: kept.Certificate, Verifications: map[telamon.VerificationID]telamon.Verification{}}
	if h.Pair, err = ra.store.Pair(ctx, kept.Certificate.Pair); err != nil {
		return nil, err
	}
	blob, err := ra.store.CertificateBlob(ctx, &kept.Certificate)
	if err != nil {
		return nil, err
	}
	h.DER = blob.DER
	if h.Chain, err = ra.issuance.Chain(kept.Certificate.Issuer); err != nil {
		return nil, err
	}
	if h.Requester, err = ra.store.CertificateRequester(ctx, serial); err != nil {
		return nil, err
	}
	found, err := ra.store.FindCertificates(ctx, store.CertificateSearch{
		Pairs: []telamon.PairID{kept.Certificate.Pair}, RekeyOf: &serial, Limit: maxRekeys,
	})
	if err != nil {
		return nil, err
	}
	h.Rekeys = found.Rows
	if authz.Check(actor, authz.CertificateEvidence, actor.Account) != nil {
		return h, nil
	}
	h.Names = kept.Names
	for _, n := range kept.Names {
		if n.Verification == "" {
			continue
		}
		records, err := ra.store.Verifications(ctx, []telamon.VerificationID{n.Verification})
		if fault.Is(err, fault.NotFound) { // dropped by now
			continue
		}
		if err != nil {
			return nil, err
		}
		h.Verifications[n.Verification] = records[0]
	}
	return h, nil
}

// Terms are what a certificate of a pair can be asked for.
type Terms struct {
	Policy *policy.Policy
	// Longest is the last end that a certificate may have which is requested now, and
	// Default the one that it has if none is asked for.
	Longest, Default time.Time
	Quota            int64  // how many more may be issued; UnlimitedQuota if the service draws none
	Agreement        string // the version that must be accepted
}

// Terms returns what a certificate of the actor's pair can be asked for now.
func (ra *RA) Terms(ctx context.Context, actor telamon.Actor) (*Terms, error) {
	scope, err := ra.scope(ctx, actor, authz.CertificateIssue)
	if err != nil {
		return nil, err
	}
	now := ra.clock.Now()
	v := scope.Policy.Model().Validity
	longest := now.Unix() + v.SecondsMax
	if v.IssuerExpiry != 0 {
		longest = min(longest, v.IssuerExpiry)
	}
	usual := longest
	if scope.Policy.Strict() {
		most := int64(ra.validation.Rules.MaxValidity(now) / time.Second)
		longest = min(longest, now.Unix()+most-1)
		usual = min(usual, max(now.Unix()+most-1-24*3600, now.Unix()))
	}
	t := &Terms{Policy: scope.Policy, Longest: time.Unix(longest, 0).UTC(), Default: time.Unix(usual, 0).UTC(), Agreement: ra.agreement, Quota: UnlimitedQuota}
	if !scope.Service.Unlimited {
		left, err := ra.store.Remaining(ctx, scope.Subscription.ID)
		if err != nil {
			return nil, err
		}
		t.Quota = max(left, 0)
	}
	return t, nil
}

// maxSiblings is how many certificates of one key RevokeSiblings takes at once.
const maxSiblings = 1000

// Siblings returns the good certificates of the actor's account that have the key of a
// certificate of it, without that one itself; after is where an earlier page ended.
func (ra *RA) Siblings(ctx context.Context, actor telamon.Actor, serial telamon.Serial, after *store.CertificateCursor) (*Finding, error) {
	_, kept, err := ra.owned(ctx, actor, authz.CertificateRevoke, serial)
	if err != nil {
		return nil, err
	}
	finding, err := ra.Find(ctx, actor, &Search{
		Key: &kept.Certificate.SPKIHash, State: store.StateGood, After: after, Limit: 100, Whole: true,
	})
	if err != nil {
		return nil, err
	}
	others := finding.Certificates[:0]
	for _, c := range finding.Certificates {
		if c.Serial != serial && c.SPKIHash == kept.Certificate.SPKIHash {
			others = append(others, c)
		}
	}
	finding.Certificates = others
	return finding, nil
}

// RevokeSiblings revokes certificates of the actor's account that have the key of a
// revoked one, for its reason and with its time of compromise. What is revoked already
// stays as it is. It returns how many it revoked, which is all that is durable if it
// fails.
//
// It reports NotFound for a certificate of another account, Conflict with not_revoked if
// the first one is not revoked for a compromise of its key, and Invalid with other_key.
func (ra *RA) RevokeSiblings(ctx context.Context, actor telamon.Actor, serial telamon.Serial, siblings []telamon.Serial) (revoked int, err error) {
	_, kept, err := ra.owned(ctx, actor, authz.CertificateRevoke, serial)
	if err != nil {
		return 0, err
	}
	rev := kept.Certificate.Revocation
	if rev == nil || rev.Reason != telamon.ReasonKeyCompromise {
		return 0, fault.New(fault.Conflict, "not_revoked", "The certificate is not revoked for a compromise of its key.")
	}
	if len(siblings) > maxSiblings {
		return 0, invalid("serials", fmt.Sprintf("are more than %d", maxSiblings))
	}
	actors := make([]telamon.Actor, len(siblings))
	for i, sibling := range siblings {
		by, other, err := ra.owned(ctx, actor, authz.CertificateRevoke, sibling)
		if err != nil {
			return 0, err
		}
		if other.Certificate.SPKIHash != kept.Certificate.SPKIHash {
			return 0, fault.New(fault.Invalid, "other_key", "Certificate "+sibling.String()+" has another key.")
		}
		actors[i] = by
	}
	for i, sibling := range siblings {
		err := ra.Revoke(ctx, actors[i], sibling, Revocation{Reason: rev.Reason, CompromisedAt: rev.CompromisedAt})
		if f := fault.From(err); err != nil && f.Code == fault.CodeAlreadyRevoked {
			continue
		}
		if err != nil {
			return revoked, err
		}
		revoked++
	}
	return revoked, nil
}
