package ra

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// A CertificateRequest is what a subscriber asks for.
type CertificateRequest struct {
	Policy             policy.Request
	PublicKey          string // PEM of a SubjectPublicKeyInfo or of a CSR
	PublicKeySignature string // base64 of a signature over the SubjectPublicKeyInfo; "" if absent
	// Agreement is the version of the Subscriber Agreement that the user accepts who
	// requests it; ignored if a credential does.
	Agreement string
}

// Issue issues a certificate and returns its serial number. When it returns nil,
// the certificate is durable and can be retrieved. Otherwise nothing was issued
// and no quota was used; the refusal is in the audit log.
//
// It reports Invalid with a field for each thing that the policy forbids, in the
// order in which they are checked; Invalid with agreement if a user has not accepted the
// Subscriber Agreement of today; Limited with quota_reached; Denied if the
// account, identity or service may not issue now; Unavailable if the database
// cannot say that the certificate is durable.
func (ra *RA) Issue(ctx context.Context, actor telamon.Actor, req *CertificateRequest) (telamon.Serial, error) {
	if actor.Kind == telamon.ActorUser && req.Agreement != ra.agreement {
		return telamon.Serial{}, ra.refuse(ctx, actor, authz.CertificateIssue, "", &fault.Fault{
			Kind: fault.Invalid, Code: "agreement", Detail: "Accept the Subscriber Agreement, version " + ra.agreement + ".",
			Fields: []fault.Field{{Path: "agreement", Problem: "is not accepted"}},
		})
	}
	return ra.issue(ctx, actor, authz.CertificateIssue, req, nil)
}

// Check reports what Issue would report of the request itself, and does nothing
// else: no quota is used and nothing is written.
func (ra *RA) Check(ctx context.Context, actor telamon.Actor, req *CertificateRequest) error {
	scope, err := ra.requestScope(ctx, actor, authz.CertificateIssue)
	if err != nil {
		return err
	}
	_, err = ra.decide(ctx, scope, req, ra.clock.Now())
	return err
}

// issue runs steps 4 to 12 and audits what it refuses. A rekey passes the
// certificate whose content the new one must repeat.
func (ra *RA) issue(ctx context.Context, actor telamon.Actor, action authz.Action, req *CertificateRequest, old *rekeyed) (telamon.Serial, error) {
	accepted, object := ra.clock.Now(), ""
	if old != nil {
		object = old.serial.String()
	}
	scope, err := ra.requestScope(ctx, actor, action)
	if err != nil {
		return telamon.Serial{}, ra.refuse(ctx, actor, action, object, err)
	}
	decision, err := ra.decide(ctx, scope, req, accepted)
	if err != nil {
		return telamon.Serial{}, ra.refuse(ctx, actor, action, object, err)
	}
	logged := ra.isLogged(scope)
	token, err := ra.issuance.Prepare(ctx, issuance.Request{ // steps 7 to 9
		Issuer: actor.Issuer, Profile: profileOf(scope.Policy), Policies: decision.Policies,
		NotBefore: decision.NotBefore, NotAfter: decision.NotAfter, Content: decision.Content,
		PublicKey: decision.key, SignatureAlgorithm: decision.SignatureAlgorithm, HashAlgorithm: decision.HashAlgorithm,
		Precertificate: logged,
	})
	if err != nil {
		return telamon.Serial{}, ra.refuse(ctx, actor, action, object, err)
	}
	if old != nil {
		if err := old.mustMatch(token.TBS()); err != nil {
			return telamon.Serial{}, ra.refuse(ctx, actor, action, object, err)
		}
	}
	var signed *issuance.Signed // step 10
	if logged {
		signed, err = ra.signLogged(ctx, actor, scope, token)
	} else {
		signed, err = ra.issuance.Sign(ctx, token)
	}
	if err != nil {
		return telamon.Serial{}, ra.refuse(ctx, actor, action, object, err)
	}
	request, err := json.Marshal(&req.Policy)
	if err != nil {
		return telamon.Serial{}, fmt.Errorf("keep the request: %w", err)
	}
	cert := &telamon.Certificate{
		Serial: signed.Serial, Pair: actor.Pair, Credential: actor.Credential, Issuer: signed.Issuer,
		PolicyVersion: scope.PolicyVersion, CRLShard: signed.CRLShard, SPKIHash: signed.SPKIHash,
		NotBefore: signed.NotBefore, NotAfter: signed.NotAfter, AcceptedAt: accepted, UpdatedAt: accepted,
		Status: telamon.StatusIssued,
	}
	if old != nil {
		cert.RekeyOf = &old.serial
	}
	var draw telamon.SubscriptionID
	if !scope.Service.Unlimited {
		draw = scope.Subscription.ID
	}
	// Steps 11 and 12.
	err = ra.store.IssueCertificate(ctx, draw, cert, store.Blob{
		DER: signed.DER, Names: signed.Names, Request: request, Evidence: decision.evidence, Precertified: logged, Requester: requesterOf(actor, req),
	}, telamon.Event{
		Actor: actor, Account: actor.Account, Action: string(action), Object: signed.Serial.String(), Result: "ok",
		After: issuedFacts{
			Issuer: signed.Issuer, Policy: scope.PolicyVersion, NotAfter: signed.NotAfter, RekeyOf: cert.RekeyOf, Agreement: req.Agreement,
		},
	})
	if err != nil && logged {
		ra.abandon(ctx, actor, signed.Serial)
	}
	return signed.Serial, err
}

// requesterOf returns the user who requests a certificate, nil for a credential.
func requesterOf(actor telamon.Actor, req *CertificateRequest) *telamon.Requester {
	if actor.Kind != telamon.ActorUser {
		return nil
	}
	return &telamon.Requester{User: actor.User, Name: actor.UserName, Agreement: req.Agreement}
}

// issuedFacts is what the audit log keeps of an issuance beside its serial.
type issuedFacts struct {
	Issuer   telamon.IssuerID `json:"issuer"`
	Policy   string           `json:"policy"`
	NotAfter time.Time        `json:"not_after"`
	RekeyOf  *telamon.Serial  `json:"rekey_of,omitempty"`

	Agreement string `json:"agreement,omitempty"`
}

// refusalLimit bounds how long a refused request waits for its audit event.
const refusalLimit = 5 * time.Second

// refuse audits that a request was refused, even if its client does not wait for
// the answer, and returns why. The object is the certificate that the request
// named, "" if none. A refusal that cannot be audited is reported all the same.
func (ra *RA) refuse(ctx context.Context, actor telamon.Actor, action authz.Action, object string, cause error) error {
	f := fault.From(cause)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalLimit)
	defer cancel()
	err := ra.store.RecordEvent(ctx, telamon.Event{
		Actor: actor, Account: actor.Account, Action: string(action), Object: object, Result: f.Code,
		After: refusedFacts{Fields: f.Fields},
	})
	if err != nil {
		ra.log.WarnContext(ctx, "a refusal was not audited", "action", string(action), "code", f.Code, "error", err)
	}
	return cause
}

// refusedFacts is what the audit log keeps of a refusal: which rules, no values.
type refusedFacts struct {
	Fields []fault.Field `json:"fields,omitempty"`
}

// A decision is what a certificate will say, for which key, and how its names were
// validated.
type decision struct {
	*policy.Decision
	key      *tbs.PublicKey
	evidence []byte // JSON; nil if the service demands none
}

// decide runs steps 4 to 6: what the certificate will say, or every reason why there
// will be none. It looks at the network for a service that demands CAA, and changes
// nothing.
func (ra *RA) decide(ctx context.Context, scope *directory.Scope, req *CertificateRequest, now time.Time) (*decision, error) {
	asked := req.Policy
	if scope.Policy.Strict() {
		asked.MaxSeconds = int64(ra.validation.Rules.MaxValidity(latest(now, asked.NotBefore)) / time.Second)
	}
	accepted, fields := scope.Policy.Evaluate(&asked, now) // step 4
	key, keyFields := ra.checkKey(scope.Policy.PublicKeyRule(), req)
	if len(keyFields) == 0 {
		var err error
		if keyFields, err = ra.checkBlocked(ctx, scope.Pair.Account, key); err != nil {
			return nil, err
		}
	}
	if fields = append(fields, keyFields...); len(fields) > 0 {
		return nil, &fault.Fault{
			Kind: fault.Invalid, Code: "policy", Detail: "The request does not meet the validation policy.", Fields: fields,
		}
	}
	evidence, err := ra.checkNames(ctx, scope, &accepted.Content, now) // step 6
	if err != nil {
		return nil, err
	}
	return &decision{accepted, key, evidence}, nil
}

// latest is the later of now and a wanted notBefore, which is 0 if none is wanted. Limits
// of validity only fall, and both the day of the signature and that of the certificate
// are of the rule.
func latest(now time.Time, notBefore int64) time.Time {
	if from := time.Unix(notBefore, 0); from.After(now) {
		return from
	}
	return now
}

// profileOf returns the rules that certificates of a policy meet.
func profileOf(p *policy.Policy) telamon.Profile {
	if p.Strict() {
		return telamon.ProfileStrictTLS
	}
	return telamon.ProfilePrivate
}

// checkKey begins step 5: the key's form, proof of possession, type, size, known
// weaknesses and the list of blocked keys. It stops at the first failure, since later
// ones follow from it.
func (ra *RA) checkKey(rule policy.KeyRule, req *CertificateRequest) (*tbs.PublicKey, []fault.Field) {
	refuse := func(path, problem string) (*tbs.PublicKey, []fault.Field) {
		return nil, []fault.Field{{Path: path, Problem: problem}}
	}
	if req.PublicKey == "" {
		return refuse("public_key", "is required")
	}
	var key *tbs.PublicKey
	var err error
	if rule.Format == "PKCS10" {
		var csr *tbs.CSR
		if csr, err = tbs.ParseCSR(req.PublicKey); err == nil {
			key = csr.PublicKey
		}
	} else {
		key, err = tbs.ParsePublicKey(req.PublicKey)
	}
	if err != nil {
		return refuse("public_key", "is invalid")
	}
	if key.Algorithm != rule.KeyType || !rule.AllowsLength(key.Bits) {
		return refuse("public_key", "is not allowed")
	}
	if problem := checkPossession(rule, key, req.PublicKeySignature); problem != "" {
		return refuse("public_key_signature", problem)
	}
	if weakness := ra.keycheck.Weakness(key.Key, key.Hash); weakness != "" {
		return refuse("public_key", "is weak: "+weakness)
	}
	return key, nil
}

// checkBlocked is the end of step 5: the key must not be known to be compromised.
func (ra *RA) checkBlocked(ctx context.Context, account telamon.AccountID, key *tbs.PublicKey) ([]fault.Field, error) {
	block, err := ra.store.KeyBlock(ctx, key.Hash, account)
	if err != nil || block == nil {
		return nil, err
	}
	return []fault.Field{{Path: "public_key", Problem: "is blocked: " + block.Why()}}, nil
}

// checkPossession returns what is wrong with the proof of possession, or "". A
// CSR, whose own signature was verified, is one already.
func checkPossession(rule policy.KeyRule, key *tbs.PublicKey, signature string) string {
	switch {
	case signature == "" && rule.Signature == "REQUIRED" && rule.Format != "PKCS10":
		return "is required"
	case signature == "":
		return ""
	case rule.Signature == "FORBIDDEN":
		return "is forbidden"
	case tbs.VerifyPossession(key, signature) != nil:
		return "is invalid"
	}
	return ""
}
