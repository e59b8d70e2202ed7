package iam

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
)

// A reason is why an authentication was refused: for the audit log of the
// credential's owner, never for the wire. Reasons are never renamed.
type reason string

// The reasons.
const (
	loginMalformed       reason = "login_malformed"
	credentialUnknown    reason = "credential_unknown"
	secretWrong          reason = "secret_wrong"
	credentialDisabled   reason = "credential_disabled"
	accountDisabled      reason = "account_disabled"
	addressNotAllowed    reason = "address_not_allowed"
	certificateMissing   reason = "certificate_missing"
	certificateUnknown   reason = "certificate_unknown"
	certificateNotLinked reason = "certificate_not_linked"
	certificateRevoked   reason = "certificate_revoked"
	certificateDisabled  reason = "certificate_disabled"
	certificateExpired   reason = "certificate_expired"
	tokenMalformed       reason = "token_malformed"
	tokenForged          reason = "token_forged"
	tokenFromTheFuture   reason = "token_from_the_future"
	tokenExpired         reason = "token_expired"
	tokenEpoch           reason = "token_epoch"       // the credential was changed since
	tokenCertificate     reason = "token_certificate" // presented with another certificate
	tokenIssuer          reason = "token_issuer"      // its issuing CA signs no more
)

// actionToken is the action of audit events that count refused tokens.
const actionToken = "credential.authorize"

// errUnauthorized is the one answer to every refused authentication.
func errUnauthorized() error {
	return fault.New(fault.Unauthenticated, "unauthorized", "Unauthorized")
}

// Login returns a token for the credential of an API key and secret, which the
// client uses from the address and with the certificate (DER, nil if it presented
// none) that it will use the token with. When it returns a token, the login is in
// the audit log.
//
// It reports Invalid with invalid_login_request if key or secret cannot be any;
// Unauthenticated, always the same, if any of the rest is not right, of which the
// audit log has the reason; and Unavailable.
func (s *IAM) Login(ctx context.Context, address netip.Addr, peer []byte, key, secret string) (string, error) {
	if !keyShape.MatchString(key) || !secretShape.MatchString(secret) {
		s.refusedLogins.Add(audit.Refusal{Address: address, Reason: string(loginMalformed)})
		return "", fault.New(fault.Invalid, "invalid_login_request", "Invalid login request")
	}
	key = canonicalKey(key)
	credential, err := s.directory.CredentialByKey(ctx, key)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return "", err
	}
	if err != nil {
		s.secretMAC("", s.keys.PepperVersion(), secret) // as long as for a known key
		return "", s.refuse(s.refusedLogins, address, nil, key, credentialUnknown)
	}
	mac := s.secretMAC(credential.ID, credential.PepperVersion, secret)
	if subtle.ConstantTimeCompare(mac, credential.SecretMAC) != 1 {
		return "", s.refuse(s.refusedLogins, address, credential, "", secretWrong)
	}
	cert, why, err := s.judge(ctx, credential, address, peer)
	if err != nil {
		return "", err
	}
	if why != "" {
		return "", s.refuse(s.refusedLogins, address, credential, "", why)
	}
	return s.grant(ctx, address, credential, cert)
}

// grant makes a token and writes that the credential was used.
func (s *IAM) grant(ctx context.Context, address netip.Addr, credential *telamon.Credential, cert *telamon.ClientCert) (string, error) {
	issuer, err := s.directory.ActiveIssuer(ctx, credential.Pair)
	if err != nil {
		return "", err
	}
	now := s.clock.Now()
	c := claims{at: now, credential: credential.ID, issuer: issuer.ID, epoch: credential.Epoch}
	facts := loginFacts{Issuer: issuer.ID}
	if cert != nil {
		c.cert, facts.ClientCert = [16]byte(cert.Fingerprint[:16]), cert.ID
	}
	token, err := s.newToken(c)
	if err != nil {
		return "", err
	}
	err = s.store.NoteCredentialUse(ctx, credential.ID, now, address.Unmap(), telamon.Event{
		Actor: telamon.Actor{
			Kind: telamon.ActorCredential, Account: credential.Account, Address: address.Unmap(), Credential: credential.ID,
		},
		Account: credential.Account, Action: string(authz.CredentialLogin), Object: credential.ID.String(), Result: "ok", After: facts,
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// loginFacts is what the audit log keeps of a login.
type loginFacts struct {
	ClientCert telamon.ClientCertID `json:"client_certificate,omitempty"`
	Issuer     telamon.IssuerID     `json:"issuer"`
}

// Authorize returns who acts by a token that came from this address and with this
// client certificate (DER, nil for none). The state of everything is looked at
// anew: what was disabled since the login refuses. The caller sets the RequestID.
//
// It reports Unauthenticated, always the same, and Unavailable.
func (s *IAM) Authorize(ctx context.Context, token string, address netip.Addr, peer []byte) (telamon.Actor, error) {
	c, err := s.parseToken(token)
	if err != nil {
		why := tokenMalformed
		if err == errTokenForged {
			why = tokenForged
		}
		return telamon.Actor{}, s.refuse(s.refusedTokens, address, nil, "", why)
	}
	credential, err := s.directory.Credential(ctx, c.credential)
	if fault.Is(err, fault.NotFound) {
		return telamon.Actor{}, s.refuse(s.refusedTokens, address, nil, c.credential.String(), credentialUnknown)
	}
	if err != nil {
		return telamon.Actor{}, err
	}
	if why := s.judgeToken(c, credential, peer); why != "" {
		return telamon.Actor{}, s.refuse(s.refusedTokens, address, credential, "", why)
	}
	cert, why, err := s.judge(ctx, credential, address, peer)
	if err == nil && why == "" {
		why, err = s.judgeIssuer(ctx, c.issuer)
	}
	if err != nil {
		return telamon.Actor{}, err
	}
	if why != "" {
		return telamon.Actor{}, s.refuse(s.refusedTokens, address, credential, "", why)
	}
	actor := telamon.Actor{
		Kind: telamon.ActorCredential, Account: credential.Account, Address: address.Unmap(), Credential: credential.ID,
		Pair: credential.Pair, Issuer: c.issuer,
	}
	if cert != nil {
		actor.ClientCert = cert.ID
	}
	return actor, nil
}

// judgeToken returns why a genuine token of the credential is no longer good, or "".
func (s *IAM) judgeToken(c claims, credential *telamon.Credential, peer []byte) reason {
	switch age := s.clock.Now().Sub(c.at); {
	case age < -tokenSkew:
		return tokenFromTheFuture
	case age >= TokenLife+TokenGrace:
		return tokenExpired
	case credential.State != telamon.Active:
		return credentialDisabled
	case c.epoch != credential.Epoch:
		return tokenEpoch
	case credential.MTLS == telamon.MTLSNone:
		return ""
	case len(peer) == 0:
		return certificateMissing
	}
	if sum := sha256.Sum256(peer); c.cert != [16]byte(sum[:16]) {
		return tokenCertificate
	}
	return ""
}

// judgeIssuer returns why a token that is bound to the issuer is no longer good, or "".
// A rotation lets tokens end by their age; an emergency one ends them at once.
func (s *IAM) judgeIssuer(ctx context.Context, id telamon.IssuerID) (reason, error) {
	issuer, err := s.directory.Issuer(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return tokenIssuer, nil
	}
	if err != nil {
		return "", err
	}
	if !issuer.MaySign(s.clock.Now()) {
		return tokenIssuer, nil
	}
	return "", nil
}

// judge returns why the credential cannot be used now from this address and with
// this certificate, or "" and the client certificate, which is nil if the
// credential needs none.
func (s *IAM) judge(ctx context.Context, credential *telamon.Credential, address netip.Addr, peer []byte) (*telamon.ClientCert, reason, error) {
	account, err := s.directory.Account(ctx, credential.Account)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return nil, "", err
	case err != nil || account.State != telamon.Active:
		return nil, accountDisabled, nil
	case credential.State != telamon.Active:
		return nil, credentialDisabled, nil
	case !allows(credential.AllowedIPs, address):
		return nil, addressNotAllowed, nil
	case credential.MTLS == telamon.MTLSNone:
		return nil, "", nil
	case len(peer) == 0:
		return nil, certificateMissing, nil
	}
	cert, err := s.directory.ClientCert(ctx, sha256.Sum256(peer))
	if fault.Is(err, fault.NotFound) {
		return nil, certificateUnknown, nil
	}
	if err != nil {
		return nil, "", err
	}
	return cert, judgeCert(cert, credential, s.clock.Now()), nil
}

// judgeCert returns why a client certificate of ours is not good for the
// credential, or "".
func judgeCert(cert *telamon.ClientCert, credential *telamon.Credential, now time.Time) reason {
	switch {
	case cert.Account != credential.Account || !slices.Contains(cert.Credentials, credential.ID):
		return certificateNotLinked
	case cert.State == telamon.Revoked:
		return certificateRevoked
	case cert.State != telamon.Active:
		return certificateDisabled
	case now.After(cert.NotAfter.Add(time.Second - 1)): // the second itself is valid (RFC 5280, Section 4.1.2.5)
		return certificateExpired
	}
	return ""
}

// refuse counts a refusal under the credential, or what was given in its place,
// and returns the one answer to all of them.
func (s *IAM) refuse(counter *audit.Counter, address netip.Addr, credential *telamon.Credential, given string, why reason) error {
	r := audit.Refusal{Address: address, Credential: given, Reason: string(why)}
	if credential != nil {
		r.Account, r.Credential = credential.Account, credential.ID.String()
	}
	counter.Add(r)
	return errUnauthorized()
}

// WriteRefusals writes the counts of refusals to the audit log: those of a minute
// ago and earlier, or all of them at the end of the process. It is called every few
// seconds. What it could not write it keeps for the next time, with its IDs, so that
// nothing is written twice, and takes no more from the counters until then: they are
// bounded, and go on counting.
func (s *IAM) WriteRefusals(ctx context.Context, all bool) error {
	counters := []*audit.Counter{s.refusedLogins, s.refusedTokens, s.refusedUsers}
	name := func(events []telamon.Event) { s.nameDeletedTokens(ctx, events) }
	return s.unwritten.Write(ctx, all, counters, name, s.store.RecordEvents)
}
