package ra

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// Claims are scoped to the identity of the actor's pair: credentials of the same
// identity share them, and what belongs to another identity is not found.

// claimTries is how often a change of a claim is tried that others make in vain.
const claimTries = 4

// SubmitClaim claims a domain or an IP address for the actor's identity, and returns
// the claim. If the identity has claimed it before, that is the claim. Its token can be
// used, and is the same as before if that can; a claim that is verified already and was
// not reasserted since needs no other one.
//
// It reports Invalid with claim_name if the name cannot be claimed.
func (ra *RA) SubmitClaim(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, name string) (*telamon.Claim, error) {
	scope, err := ra.scope(ctx, actor, authz.ClaimSubmit)
	if err != nil {
		return nil, err
	}
	claimed, err := ra.claimable(kind, name)
	if err != nil {
		return nil, ra.refuse(ctx, actor, authz.ClaimSubmit, "", err)
	}
	for try := 1; ; try++ {
		claim, err := ra.submit(ctx, actor, scope, kind, claimed)
		if err == nil || try == claimTries || !movedOn(err) {
			return claim, err
		}
	}
}

// movedOn reports whether a change of a claim failed because somebody else changed it
// in the meantime.
func movedOn(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && (f.Code == "claim_moved" || f.Code == "claim_not_found")
}

// submit claims a name once.
func (ra *RA) submit(ctx context.Context, actor telamon.Actor, scope *directory.Scope, kind telamon.ClaimKind, claimed string) (*telamon.Claim, error) {
	now := ra.clock.Now()
	claim := &telamon.Claim{
		ID: telamon.NewClaimID(), Account: scope.Account.ID, Identity: scope.Identity.ID, Kind: kind, Name: claimed,
		Token: newToken(), TokenAt: now, AssertBy: now.Add(ra.validation.Rules.TokenLife()), Round: 1, Open: true,
		Status: telamon.ClaimPending,
	}
	extra, err := ra.tokenIssued(ctx, scope, claim)
	if err != nil {
		return nil, err
	}
	existing, err := ra.store.SubmitClaim(ctx, actor, claim, extra)
	if err != nil {
		return nil, err
	}
	if !existing {
		ra.wake()
		return claim, nil
	}
	ra.judge(claim, now)
	if _, err := ra.assertable(claim, now); err != nil {
		return ra.reassert(ctx, actor, scope, claim)
	}
	return claim, nil
}

// newToken returns the random part of a token: 128 bits of the CSPRNG, where BR 1.6.1
// (Random Value) asks for 112.
func newToken() string {
	var b [16]byte
	rand.Read(b[:]) // does not fail (crypto/rand)
	return hex.EncodeToString(b[:])
}

// claimable returns a name in its usual form. It reports Invalid unless control of it
// can be shown.
func (ra *RA) claimable(kind telamon.ClaimKind, text string) (string, error) {
	if kind == telamon.ClaimIP {
		return ra.claimableAddress(text)
	}
	name, err := dnsname.ParseClaim(text, ra.validation.PrivateSuffixes)
	if err != nil {
		return "", claimName("domain", err.Error(), err)
	}
	if ra.validation.blocks(name) {
		return "", claimName("blacklist", "is blocked", nil)
	}
	return name.String(), nil
}

func (ra *RA) claimableAddress(text string) (string, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return "", claimName("ip_address", "not an IP address", nil)
	}
	if addr = addr.Unmap(); ra.validation.Networks.Check(addr) != nil {
		return "", claimName("ip_address", "is in a range that is reserved", nil) // BR 4.2.2
	}
	return addr.String(), nil
}

// claimName is the fault of a name that cannot be claimed. Its cause is one of the errors
// of package dnsname, nil for a rule of the platform.
func claimName(path, problem string, cause error) error {
	return &fault.Fault{
		Kind: fault.Invalid, Code: "claim_name", Detail: path + ": " + problem, Cause: cause,
		Fields: []fault.Field{{Path: path, Problem: problem}},
	}
}

// TokenValue returns what the applicant publishes: the complete value of a TXT
// record or the content of a file.
func (ra *RA) TokenValue(c *telamon.Claim) string { return ra.validation.TokenPrefix + c.Token }

// Claim returns one of the identity's claims of the kind and the newest lines of its
// log, oldest first. It reports NotFound.
func (ra *RA) Claim(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID) (*telamon.Claim, []telamon.ClaimLogEntry, error) {
	_, claim, err := ra.claim(ctx, actor, authz.ClaimRead, kind, id)
	if err != nil {
		return nil, nil, err
	}
	log, err := ra.store.ClaimLog(ctx, id)
	return claim, log, err
}

// claim returns one of the identity's claims of the kind, as it is now, after
// checking that the actor may do the action.
func (ra *RA) claim(ctx context.Context, actor telamon.Actor, action authz.Action, kind telamon.ClaimKind, id telamon.ClaimID) (*directory.Scope, *telamon.Claim, error) {
	scope, err := ra.readScope(ctx, actor, action)
	if err != nil {
		return nil, nil, err
	}
	claim, err := ra.store.Claim(ctx, scope.Identity.ID, kind, id)
	if err != nil {
		return nil, nil, err
	}
	ra.judge(claim, ra.clock.Now())
	return scope, claim, nil
}

// judge makes a claim pending whose verification may not be relied on any more.
func (ra *RA) judge(claim *telamon.Claim, now time.Time) {
	if !now.Before(ra.reliableUntil(claim)) {
		claim.Status = telamon.ClaimPending
	}
}

// A ClaimListing says which claims to list. Zero members leave their choice open.
type ClaimListing struct {
	Kind          telamon.ClaimKind
	Status        telamon.ClaimStatus
	From, To      time.Time // of creation, both inclusive, whole seconds
	Pattern       string    // of the name; see store.ParseClaimPattern
	Page, PerPage int64     // page counts from 1
}

// A ListedClaim is one row of a listing, with its log.
type ListedClaim struct {
	Claim telamon.Claim
	Log   []telamon.ClaimLogEntry
}

// Claims returns a page of the identity's claims, the newest first, and how many
// there are in all. It reports Invalid with claim_pattern if the pattern breaks the
// rules of wildcards.
func (ra *RA) Claims(ctx context.Context, actor telamon.Actor, l ClaimListing) ([]ListedClaim, int64, error) {
	scope, err := ra.readScope(ctx, actor, authz.ClaimRead)
	if err != nil {
		return nil, 0, err
	}
	query := store.ClaimQuery{
		Identity: scope.Identity.ID, Kind: l.Kind, Status: l.Status, From: l.From, To: l.To, Page: l.Page, PerPage: l.PerPage,
	}
	if l.Pattern != "" {
		if query.Pattern, err = store.ParseClaimPattern(l.Pattern); err != nil {
			return nil, 0, invalidPattern(err)
		}
	}
	claims, total, err := ra.store.ListClaims(ctx, query)
	if err != nil {
		return nil, 0, err
	}
	ids := make([]telamon.ClaimID, len(claims))
	for i, c := range claims {
		ids[i] = c.ID
	}
	logs, err := ra.store.ClaimLogs(ctx, ids)
	if err != nil {
		return nil, 0, err
	}
	now, list := ra.clock.Now(), make([]ListedClaim, len(claims))
	for i, c := range claims {
		ra.judge(&c, now)
		list[i] = ListedClaim{Claim: c, Log: logs[c.ID]}
	}
	return list, total, nil
}

// DeleteClaim deletes one of the identity's claims in whatever state it is. From
// then on nothing is issued by it; what was validated stays on record. It reports
// NotFound.
func (ra *RA) DeleteClaim(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID) error {
	scope, _, err := ra.claim(ctx, actor, authz.ClaimDelete, kind, id)
	if err != nil {
		return err
	}
	return ra.store.DeleteClaim(ctx, actor, scope.Identity.ID, id)
}

// ReassertClaim gives one of the identity's claims a new token and deadline, whatever
// state it is in. A check that runs is abandoned. A verified claim stays verified as
// long as it would have. A service with sticky tokens keeps the token.
//
// It reports NotFound.
func (ra *RA) ReassertClaim(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID) (*telamon.Claim, error) {
	if _, err := ra.scope(ctx, actor, authz.ClaimReassert); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		scope, claim, err := ra.claim(ctx, actor, authz.ClaimReassert, kind, id)
		if err != nil {
			return nil, err
		}
		claim, err = ra.reassert(ctx, actor, scope, claim)
		if err == nil || try == claimTries || !movedOn(err) {
			return claim, err
		}
	}
}

func (ra *RA) reassert(ctx context.Context, actor telamon.Actor, scope *directory.Scope, claim *telamon.Claim) (*telamon.Claim, error) {
	now := ra.clock.Now()
	renewed := *claim
	renewed.Round, renewed.Open, renewed.AssertBy = claim.Round+1, true, now.Add(ra.validation.Rules.TokenLife())
	renewed.CheckUntil = time.Time{}
	if !scope.Service.StickyTokens {
		renewed.Token, renewed.TokenAt, renewed.OldToken = newToken(), now, claim.Token
	}
	extra, err := ra.tokenIssued(ctx, scope, &renewed)
	if err != nil {
		return nil, err
	}
	if err := ra.store.ReassertClaim(ctx, actor, &renewed, extra); err != nil {
		return nil, err
	}
	ra.wake()
	return &renewed, nil
}

// AllowedDomains returns the authorization domain names at which control of the
// claimed domain can be shown by a TXT record. It reports NotFound.
func (ra *RA) AllowedDomains(ctx context.Context, actor telamon.Actor, id telamon.ClaimID) ([]string, error) {
	_, claim, err := ra.claim(ctx, actor, authz.ClaimRead, telamon.ClaimDomain, id)
	if err != nil {
		return nil, err
	}
	return dcv.AllowedDomains(claim.Name, ra.validation.PrivateSuffixes), nil
}

// Evidence is how the names of a certificate were validated.
type Evidence struct {
	Certificate   telamon.Certificate
	Account       telamon.AccountID
	Names         []telamon.NameEvidence
	Verifications []telamon.Verification // that Names refer to
}

// CertificateEvidence returns how the names of a certificate of any account were
// validated: the log of BR 5.4.1. It reports NotFound.
func (ra *RA) CertificateEvidence(ctx context.Context, actor telamon.Actor, serial telamon.Serial) (*Evidence, error) {
	if err := authz.Check(actor, authz.CertificateEvidence, ""); err != nil {
		return nil, err
	}
	kept, err := ra.store.CertificateEvidence(ctx, serial)
	if err != nil {
		return nil, err
	}
	e := &Evidence{Certificate: kept.Certificate, Account: kept.Account, Names: kept.Names}
	var ids []telamon.VerificationID
	for _, n := range kept.Names {
		if n.Verification != "" && !slices.Contains(ids, n.Verification) {
			ids = append(ids, n.Verification)
		}
	}
	e.Verifications, err = ra.store.Verifications(ctx, ids)
	return e, err
}
