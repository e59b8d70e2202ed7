package ra

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// Mailboxes returns the mailboxes that may approve one of the identity's claims. There
// are none once the methods by e-mail have ended (BR 3.2.2.4.4). It reports NotFound.
func (ra *RA) Mailboxes(ctx context.Context, actor telamon.Actor, id telamon.ClaimID) (dcv.Mailboxes, error) {
	_, claim, err := ra.claim(ctx, actor, authz.ClaimRead, telamon.ClaimDomain, id)
	if err != nil {
		return dcv.Mailboxes{}, err
	}
	return ra.mailboxes(ctx, claim), nil
}

func (ra *RA) mailboxes(ctx context.Context, claim *telamon.Claim) dcv.Mailboxes {
	if !ra.mailApproves(ra.clock.Now()) {
		return dcv.Mailboxes{}
	}
	return ra.validation.Engine.Mailboxes(ctx, claim.Name, ra.validation.PrivateSuffixes)
}

// SendApproval sends a mail that asks for approval of one of the identity's claims to
// one of its mailboxes, each with a value of its own, and reports whether the claim is
// verified already.
//
// It reports NotFound; Invalid with email_address if it is none of the mailboxes;
// Conflict with claim_expired; and Limited with rate_limited.
func (ra *RA) SendApproval(ctx context.Context, actor telamon.Actor, id telamon.ClaimID, address string) (verified bool, err error) {
	scope, claim, err := ra.claim(ctx, actor, authz.ClaimMail, telamon.ClaimDomain, id)
	if err != nil {
		return false, err
	}
	if verified, err := ra.assertable(claim, ra.clock.Now()); verified || err != nil {
		return verified, err
	}
	boxes := ra.mailboxes(ctx, claim)
	at := slices.IndexFunc(boxes.List, func(b dcv.Mailbox) bool { return strings.EqualFold(b.Address, address) })
	if at < 0 {
		return false, &fault.Fault{
			Kind: fault.Invalid, Code: "email_address", Detail: "email_address: is not allowed",
			Fields: []fault.Field{{Path: "email_address", Problem: "is not allowed"}},
		}
	}
	box := boxes.List[at]
	approval := &telamon.Approval{
		ID: telamon.NewMailApprovalID(), Claim: claim.ID, Account: scope.Account.ID, Identity: claim.Identity, Name: claim.Name,
		Round: claim.Round, Address: box.Address, ADN: box.ADN, Method: box.Method, Through: box.Through, Nonce: make([]byte, 16),
		ExpiresAt: earliest(claim.AssertBy, ra.validation.Rules.EmailMethodsEnd()),
	}
	rand.Read(approval.Nonce) // does not fail (crypto/rand)
	params, err := json.Marshal(approvalParams{approval.ID})
	if err != nil {
		return false, fmt.Errorf("encode a mail about claim %s: %w", id, err)
	}
	entry := telamon.ClaimLogEntry{
		Status: telamon.LogInfo, Method: box.Method, Description: "mail sent to " + box.Address,
		Evidence: telamon.Evidence{Mailbox: box.Address, Through: box.Through, DNSSEC: box.DNSSEC},
	}
	err = ra.store.CreateApproval(ctx, actor, approval, entry, store.Extra{Mails: []store.Mail{{
		Account: scope.Account.ID, Recipient: box.Address, Template: notify.TemplateClaimApproval, Params: params,
	}}})
	ra.wake()
	return false, err
}

// approvalParams are the parameters of a mail that asks for approval. The value of its
// link is made when it is sent.
type approvalParams struct {
	Approval telamon.MailApprovalID `json:"approval"`
}

// approvalOctets is the length of the value in a link, before its encoding: 160 bits,
// where BR 1.6.1 (Random Value) asks for 112.
const approvalOctets = 20

// ApprovalValue returns the value in the link of a mail that asks for approval. It is
// as good as the approval itself: nobody but the mailbox may learn it.
func (ra *RA) ApprovalValue(a *telamon.Approval) string {
	id, _ := a.ID.Bytes()
	return base64.RawURLEncoding.EncodeToString(append(id[:], ra.validation.MAC(a.Nonce)[:approvalOctets]...))
}

// errNoApproval is the fault of every value that is not that of an approval.
func errNoApproval() error {
	return fault.New(fault.NotFound, "approval_not_found", "This link is no longer valid. Request a new one.")
}

// Approval returns what the value of a link approves, and the name of the account that
// asked. It changes nothing.
//
// It reports NotFound with approval_not_found; Conflict with approval_used if the link
// was used or the claim has been verified with this token in another way,
// approval_expired, or claim_moved if the claim has another token by now.
func (ra *RA) Approval(ctx context.Context, value string) (*telamon.Approval, string, error) {
	b, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(b) != 16+approvalOctets {
		return nil, "", errNoApproval()
	}
	approval, err := ra.store.Approval(ctx, telamon.MailApprovalIDFromBytes([16]byte(b[:16])))
	if fault.Is(err, fault.NotFound) {
		return nil, "", errNoApproval()
	}
	if err != nil {
		return nil, "", err
	}
	if subtle.ConstantTimeCompare([]byte(value), []byte(ra.ApprovalValue(approval))) != 1 {
		return nil, "", errNoApproval()
	}
	if err := ra.usable(ctx, approval); err != nil {
		return nil, "", err
	}
	account, err := ra.store.Account(ctx, approval.Account)
	if err != nil {
		return nil, "", err
	}
	return approval, account.Name, nil
}

// usable reports why an approval cannot be used now, as Approval does.
func (ra *RA) usable(ctx context.Context, approval *telamon.Approval) error {
	now := ra.clock.Now()
	claim, err := ra.store.AnyClaim(ctx, approval.Claim)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	case !approval.UsedAt.IsZero():
		return fault.New(fault.Conflict, "approval_used", "This link was used already.")
	case !now.Before(approval.ExpiresAt) || !now.Before(ra.validation.Rules.EmailMethodsEnd()):
		return fault.New(fault.Conflict, "approval_expired", "This link is no longer valid. Request a new one.")
	case claim == nil || claim.Round != approval.Round:
		return fault.New(fault.Conflict, "claim_moved", "The claim has been reasserted or deleted since.")
	case !claim.Open: // an approval would make another verification of a token that was used
		return fault.New(fault.Conflict, "approval_used", "The claim is verified already.")
	}
	return nil
}

// Approve uses the value of a link, once: the claim is verified. It reports what
// Approval reports.
func (ra *RA) Approve(ctx context.Context, address netip.Addr, requestID, value string) (*telamon.Approval, error) {
	approval, _, err := ra.Approval(ctx, value)
	if err != nil {
		return nil, err
	}
	actor := telamon.Actor{Kind: telamon.ActorAnonymous, Account: approval.Account, Address: address, RequestID: requestID}
	if err := authz.Check(actor, authz.ClaimApprove, approval.Account); err != nil {
		return nil, err
	}
	claim, err := ra.store.AnyClaim(ctx, approval.Claim)
	if err != nil {
		return nil, err
	}
	now := ra.clock.Now()
	evidence := telamon.Evidence{Mailbox: approval.Address, Through: approval.Through}
	v := &telamon.Verification{
		ID: telamon.NewVerificationID(), Claim: claim.ID, Account: claim.Account, Identity: claim.Identity, Kind: claim.Kind,
		Name: claim.Name, ADN: approval.ADN, Method: approval.Method, Coverage: telamon.CoversTree, At: now,
		TokenAt: approval.CreatedAt, Evidence: evidence,
	}
	if len(approval.Through) > 0 { // a contact of the target of the claimed name's CNAME
		v.Coverage = telamon.CoversExact
	}
	end := store.CheckEnd{Round: approval.Round, Entry: telamon.ClaimLogEntry{
		Status: telamon.LogSuccess, Method: approval.Method, Description: "claim successfully verified", Evidence: evidence,
	}}
	if err := ra.concludeVerified(ctx, claim, v, &end); err != nil {
		return nil, err
	}
	if err := ra.store.UseApproval(ctx, actor, approval, end); err != nil {
		return nil, err
	}
	ra.wake()
	return approval, nil
}
